package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/otlp"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/server"
)

// door is how `proxy` meets its clients: who may come in, over what, and what is
// written down about it.
type door struct {
	a           *app
	o           proxyOptions
	tokens      *modproxy.Tokens
	certificate *server.Certificate
	log         *slog.Logger
	tracer      trace.Tracer
	watch       *server.Watcher
}

// newDoor reads tokens and certificate, and follows their files from then on.
func (a *app) newDoor(o proxyOptions) (*door, error) {
	d := &door{a: a, o: o, tokens: &modproxy.Tokens{}}
	if o.log != "json" && o.log != "text" {
		return nil, misused("proxy.log", o.log)
	}
	if u, err := url.Parse(o.url); o.url != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return nil, misused("proxy.url", o.url)
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return nil, misused("proxy.pair")
	}
	d.log = slog.New(d.form(a.errs))
	d.watch = &server.Watcher{Log: d.log}
	if o.tokenFile != "" {
		if err := d.loadTokens(); err != nil {
			return nil, d.badTokens(err)
		}
		d.watch.Add("tokens", []string{o.tokenFile}, d.loadTokens)
	}
	if o.tlsCert != "" {
		var err error
		if d.certificate, err = server.NewCertificate(o.tlsCert, o.tlsKey); err != nil {
			return nil, o.failed("proxy.certificate", "hint.proxy.certificate", err)
		}
		d.warnLoose(o.tlsKey)
		d.certificate.Warn(d.log, time.Now())
		d.watch.Add("certificate", d.certificate.Files(), d.loadCertificate)
	}
	return d, nil
}

// accessForm is how the records of requests are written.
func (d *door) accessForm(w io.Writer) slog.Handler {
	if d.o.log == "text" {
		return slog.NewTextHandler(w, nil)
	}
	return newAccessLog(w)
}

// form is how other records are written.
func (d *door) form(w io.Writer) slog.Handler {
	if d.o.log == "text" {
		return slog.NewTextHandler(w, nil)
	}
	return slog.NewJSONHandler(w, nil)
}

func (d *door) loadTokens() error {
	data, err := plainfile.Read(d.o.tokenFile)
	if err != nil {
		return err
	}
	d.warnLoose(d.o.tokenFile)
	return d.tokens.Load(data)
}

// badTokens says which line of the file has to be mended.
func (d *door) badTokens(err error) error {
	if p, ok := errors.AsType[*modproxy.TokenError](err); ok {
		return &failure{exit: d.o.exit, key: "proxy.token." + p.Kind, args: []any{p.Line}, hint: "hint.proxy.tokens", unwrapped: err}
	}
	return d.o.failed("proxy.tokens", "", err)
}

func (d *door) loadCertificate() error {
	err := d.certificate.Load()
	if err == nil {
		d.certificate.Warn(d.log, time.Now())
	}
	return err
}

func (d *door) warnLoose(name string) {
	if server.Loose(name) {
		fmt.Fprintln(d.a.errs, present.Visible(msg.Text(d.a.lang, "proxy.loose", name), true))
	}
}

// startTraces sets traces up, where they are wanted; end sends the last ones.
func (d *door) startTraces(ctx context.Context) (end func(), err error) {
	p, err := otlp.Start(ctx, otlp.Options{
		Endpoint: d.o.otlp, Name: "keepwell-proxy", Version: version(),
		Failed: func(err error) { d.log.Warn("cannot send traces", "error", mask.Text(err.Error())) },
	})
	switch {
	case err != nil && d.o.otlp == "": // what was set for other programs is no reason not to serve
		d.log.Warn("no traces are sent", "error", mask.Text(err.Error()))
		return func() {}, nil
	case err != nil:
		return nil, d.o.failed("proxy.otlp", "hint.proxy.otlp", aboutTraces(err))
	case p == nil:
		return func() {}, nil
	}
	d.tracer = p.Tracer("github.com/keepwell/keepwell")
	return func() {
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = p.Shutdown(ctx) // Failed was told
	}, nil
}

// aboutTraces gives an error of package otlp the words of both languages.
func aboutTraces(err error) error {
	var c *otlp.CertificateError
	switch {
	case errors.Is(err, otlp.ErrGRPC):
		return msg.NewError("otlp.grpc")
	case errors.Is(err, otlp.ErrAddress):
		return msg.NewError("otlp.address")
	case errors.As(err, &c):
		return msg.NewError("otlp.certificate", c.Name)
	}
	return err
}

// serve serves until a signal.
func (d *door) serve(ctx context.Context, p *modproxy.Proxy, store *modstore.Store, quota int64) error {
	defer runtime.KeepAlive(ballast())
	access := &buffered{w: bufio.NewWriterSize(d.a.out, 64<<10)}
	defer access.flush()
	so := modproxy.ServiceOptions{
		Tokens: d.tokens, Access: slog.New(d.accessForm(access)), Feeds: store, Tracer: d.tracer, URL: d.o.url, Version: version(),
	}
	if d.certificate != nil {
		so.Expires = d.certificate.Expires
	}
	service := modproxy.NewService(p, so)
	if !service.Guarded() && !onlyHere(d.o.listen) {
		return &failure{exit: exitError, key: "proxy.open", args: []any{d.o.listen}, hint: "hint.proxy.open"}
	}
	ln, err := server.Listen(ctx, d.o.listen)
	if err != nil {
		return d.o.failed("proxy.listen", "hint.proxy.listen", err, d.o.listen)
	}
	if !service.Guarded() && !onlyHere(ln.Addr().String()) { // systemd's socket may be another
		_ = ln.Close()
		return &failure{exit: exitError, key: "proxy.open", args: []any{ln.Addr().String()}, hint: "hint.proxy.open"}
	}
	base := d.o.url
	if base == "" {
		base = map[bool]string{true: "https", false: "http"}[d.certificate != nil] + "://" + ln.Addr().String()
	}
	fmt.Fprintln(d.a.errs, msg.Text(d.a.lang, "proxy.ready", ln.Addr().String(), base))
	var work sync.WaitGroup
	defer work.Wait()
	about, stop := context.WithCancel(ctx)
	defer stop()
	work.Go(func() { collect(about, store, quota) })
	work.Go(func() { access.follow(about) })
	if d.certificate == nil {
		ln = modproxy.Quick(ln)
	}
	err = server.Serve(ctx, ln, server.Options{
		Server: moduleServer(service), Certificate: d.certificate, Grace: d.o.grace, Stopping: service.Stop, Watcher: d.watch, Early: service.Early,
	})
	if err != nil {
		return d.o.failed("proxy.listen", "", err, d.o.listen)
	}
	d.a.ended = true // a service ends by a signal: that is no failure
	return nil
}

// ballast is memory that is never touched, and so never there: rubbish is collected when
// as much has come as is live, ballast included. What is live in a proxy is small, and it
// would be looked through for every few megabytes. Who set GOGC or GOMEMLIMIT knows better.
func ballast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	const size = 10 << 20
	return make([]byte, size)
}

// printToken makes a token for name.
func (a *app) printToken(name string) error {
	if strings.ContainsAny(name, "# \t\r\n") || strings.HasPrefix(name, "sha256:") {
		return misused("proxy.tokenname", name)
	}
	secret, line := modproxy.NewToken(name)
	_, err := fmt.Fprintf(a.out, "%s\n  %s\n%s\n  %s\n", msg.Text(a.lang, "proxy.newtoken"), secret, msg.Text(a.lang, "proxy.tokenline"), line)
	return err
}
