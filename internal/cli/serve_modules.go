package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

const modPrefix = "/mod"

// serveModules is the module proxy of `serve`, for holders of a token with the scope mod;
// nil where no upstream is configured.
func (a *app) serveModules(ctx context.Context, p daemon.Parts) (http.Handler, error) {
	cfg := p.Config.Modules
	if len(cfg.Upstream) == 0 {
		return nil, nil //nolint:nilnil // nothing is mounted
	}
	o := moduleOptions{upstreams: cfg.Upstream, dir: cfg.Dir, exit: exitError}
	if o.dir == "" {
		o.dir = filepath.Join(p.Dir, "modules")
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return nil, o.failed("route.nogo", "hint.nogo", err)
	}
	env := layers.Env()
	lists, err := o.lists(env, publicServers(layers))
	if err != nil {
		return nil, err
	}
	store, err := o.openStore(ctx, a)
	if err != nil {
		return nil, err
	}
	p.AtEnd(func(context.Context) error { return store.Close() }) //nolint:contextcheck // it is whole at any moment
	options := teamProxy(env, lists, store, cfg.Private)
	options.Lang, options.Log = a.lang, p.Log
	proxy, err := modproxy.New(context.WithoutCancel(ctx), options)
	if err != nil {
		return nil, err
	}
	p.AtEnd(func(context.Context) error { proxy.Close(); return nil })
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { collect(keeping, store, cfg.Quota<<30) })
	p.AtEnd(func(context.Context) error { stop(); work.Wait(); return nil })
	url := ""
	if p.Config.URL != "" {
		url = strings.TrimSuffix(p.Config.URL, "/") + modPrefix
	}
	service := modproxy.NewService(proxy, modproxy.ServiceOptions{Feeds: store, URL: url, Version: version()})
	return holders(http.StripPrefix(modPrefix, service)), nil
}

// holders lets in who may fetch modules. The go command shows plain text alone.
func holders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, known := access.From(r.Context())
		lang := access.Lang(r)
		switch {
		case !known:
			w.Header().Set("WWW-Authenticate", `Basic realm="keepwell"`)
			http.Error(w, msg.Text(lang, "mod.unauthenticated")+"\n"+msg.Text(lang, "hint.mod.unauthenticated"), http.StatusUnauthorized)
		case !p.May(access.ScopeMod, access.Viewer):
			http.Error(w, msg.Text(lang, "mod.scope")+"\n"+msg.Text(lang, "hint.mod.scope"), http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// examine is `keepwell doctor MODULE` for the action doctor: as the server's user, in its
// working directory, changing nothing.
func (a *app) examine(ctx context.Context, target string) (e actions.Examination, err error) {
	const patience = 10 * time.Second
	var text bytes.Buffer
	quiet := *a
	quiet.out, quiet.errs, quiet.format, quiet.asJSON = &text, io.Discard, string(present.Text), false
	c, report, err := examineNow(ctx, &quiet, doctorOptions{asked: []string{target}, timeout: patience})
	if err != nil {
		return e, err
	}
	if e.Findings, err = quiet.describe(c, report.Findings, nil); err != nil {
		return e, err
	}
	if err := present.Outline(&text, quiet.style(), doctorPicture(&quiet, c, report)); err != nil {
		return e, err
	}
	handler, err := present.New(present.Text, &text, quiet.style())
	if err == nil && len(e.Findings) > 0 {
		err = stream(handler, "doctor", doctorTarget(c), e.Findings)
	}
	e.Text = text.String()
	return e, err
}
