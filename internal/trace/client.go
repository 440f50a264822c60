package trace

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	modzip "golang.org/x/mod/zip"
	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/route"
)

// Limits of what is read. Those of go.mod and zip are go's own.
const (
	largestHeader = 64 << 10
	largestError  = 64 << 10
	largestFile   = modzip.MaxGoMod
	largestZip    = modzip.MaxZipFile
	// leastAlive is what must come within Options.Silent for a body to count as alive.
	leastAlive = 1 << 10
)

var (
	errSilent    = errors.New("the server kept silent")
	errForbidden = errors.New("link-local and metadata addresses are never asked")
	errPage      = errors.New("the answer is a web page")
	errLarge     = errors.New("the answer is larger than go would take")
)

// client makes requests one by one and leaves redirects to its caller.
type client struct {
	checked, unchecked *http.Transport
	logins             *logins
}

func newClient(o Options, l *logins) (*client, error) {
	roots, err := trusted(o)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: tunnel(o, l), MaxResponseHeaderBytes: largestHeader, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: min(o.Silent, 10*time.Second),
		DialContext: (&net.Dialer{Timeout: o.Dial, Control: func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err == nil && observe.Forbidden(a.Addr()) {
				return errForbidden
			}
			return nil
		}}).DialContext,
	}
	bare := t.Clone()
	bare.TLSClientConfig.InsecureSkipVerify = true // as GOINSECURE asks go to
	return &client{checked: t, unchecked: bare, logins: l}, nil
}

func (c *client) close() {
	c.checked.CloseIdleConnections()
	c.unchecked.CloseIdleConnections()
}

// forbidden tells hosts that are never asked, also not through an HTTP proxy.
func forbidden(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return observe.Forbidden(a)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "metadata.google.internal" || name == "metadata.goog"
}

// trusted are the roots of SSL_CERT_FILE where that is only tried; else the system's.
func trusted(o Options) (*x509.CertPool, error) {
	name := o.Config.Env.Value("SSL_CERT_FILE")
	if name == "" || name == os.Getenv("SSL_CERT_FILE") {
		return nil, nil //nolint:nilnil // crypto/tls takes nil for the system's
	}
	data, err := plainfile.Read(name)
	if err != nil {
		return nil, fmt.Errorf("reading SSL_CERT_FILE: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return pool, nil
}

// tunnel is the HTTP proxy that go would take under the settings.
func tunnel(o Options, l *logins) func(*http.Request) (*url.URL, error) {
	env := o.Config.Env
	first := func(a, b string) string {
		if v := env.Value(a); v != "" {
			return v
		}
		return env.Value(b)
	}
	c := httpproxy.Config{
		HTTPProxy: first("HTTP_PROXY", "http_proxy"), HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy: first("NO_PROXY", "no_proxy"), CGI: env.Value("REQUEST_METHOD") != "",
	}
	for _, v := range []string{c.HTTPProxy, c.HTTPSProxy} {
		if u, err := url.Parse(v); err == nil {
			l.learn(u.User)
		}
	}
	find := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

// clock notes the phases of one request; its hooks run on other goroutines, some
// after the request is over.
type clock struct {
	mu    sync.Mutex
	began time.Time
	spans []Span
	start map[Phase]time.Duration
	last  Phase // the latest that began
	done  bool
	rec   *Request
}

func (c *clock) begin(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.start[p]; !ok && !c.done {
		c.start[p], c.last = time.Since(c.began), p
	}
}

func (c *clock) end(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.start[p]
	if !ok || c.done {
		return
	}
	took := time.Since(c.began) - at
	if i := slices.IndexFunc(c.spans, func(s Span) bool { return s.Phase == p }); i >= 0 {
		c.spans[i].Took = took // addresses of a name are dialled at once
		return
	}
	c.spans = append(c.spans, Span{p, at, took})
}

// close ends what is still under way and takes no more.
func (c *clock) close() (spans []Span, last Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	for _, p := range []Phase{DNS, TCP, TLS, Wait, Body} {
		at, ok := c.start[p]
		if ok && !slices.ContainsFunc(c.spans, func(s Span) bool { return s.Phase == p }) {
			c.spans = append(c.spans, Span{p, at, time.Since(c.began) - at})
		}
	}
	slices.SortStableFunc(c.spans, func(a, b Span) int { return int(a.At - b.At) })
	return c.spans, c.last
}

func (c *clock) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { c.begin(DNS) },
		DNSDone:           func(httptrace.DNSDoneInfo) { c.end(DNS) },
		ConnectStart:      func(string, string) { c.begin(TCP) },
		ConnectDone:       func(string, string, error) { c.end(TCP) },
		TLSHandshakeStart: func() { c.begin(TLS) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { c.end(TLS) },
		GotConn: func(i httptrace.GotConnInfo) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.done {
				c.rec.Address, c.rec.Reused = i.Conn.RemoteAddr().String(), i.Reused
			}
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { c.begin(Wait) },
		GotFirstResponseByte: func() { c.end(Wait) },
	}
}

// get makes one request and reads what it answers.
func (r *runner) get(ctx context.Context, q route.Request, u *url.URL) (Request, route.Answer) {
	return r.request(ctx, "", q, u)
}

// request makes one request. peek is the method where the header of a good answer is
// enough; empty where all of it is wanted. What a host that kept silent is asked again fails at once.
func (r *runner) request(ctx context.Context, peek string, q route.Request, u *url.URL) (Request, route.Answer) {
	rec := Request{
		Kind: q.Kind, URL: shownURL(u), Server: r.hide(u.Host), Hop: q.Hop, Again: q.Again, Redirected: q.Redirected != nil,
		At: time.Since(r.began),
	}
	r.mu.Lock()
	code := r.quiet[u.Host]
	r.mu.Unlock()
	if code != "" {
		rec.Code, rec.Err = code, errSilent.Error()
		return rec, route.Answer{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := time.AfterFunc(r.Silent, func() { cancel(errSilent) })
	defer dog.Stop()
	c := &clock{began: r.began, start: map[Phase]time.Duration{}, rec: &rec}
	a, err := r.exchange(httptrace.WithClientTrace(ctx, c.hooks()), peek, q, u, c, func() { dog.Reset(r.Silent) })
	spans, last := c.close()
	rec.Spans, rec.Took = spans, time.Since(r.began)-rec.At
	if err != nil {
		rec.Err, rec.Code = r.hide(plain(err, u)), gaveUp(ctx, err, last)
		if rec.Code != "" {
			r.mu.Lock()
			r.quiet[u.Host] = rec.Code
			r.mu.Unlock()
		}
	}
	return rec, a
}

// gaveUp is the fault where it was keepwell that ended the request. Go waits 30 s for
// a connection, 10 s for a handshake and for ever for an answer.
func gaveUp(ctx context.Context, err error, last Phase) keepwell.Code {
	var timeout net.Error
	silent := errors.Is(context.Cause(ctx), errSilent) || errors.Is(context.Cause(ctx), ErrTimeout)
	if !silent && (!errors.As(err, &timeout) || !timeout.Timeout()) {
		return ""
	}
	switch last {
	case DNS, "":
		return "net/dns"
	case TCP:
		return "net/timeout"
	case TLS:
		return "net/tls-timeout"
	}
	return "net/slow"
}

// plain is an error with a URL that may be shown.
func plain(err error, u *url.URL) string {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errSilent) {
		err = errSilent
	}
	return fmt.Sprintf("Get %q: %v", shownURL(u), err)
}

// exchange sends the request and reads its answer. alive is called for each sign of
// life in the body.
func (r *runner) exchange(ctx context.Context, peek string, q route.Request, u *url.URL, c *clock, alive func()) (route.Answer, error) {
	if forbidden(u.Hostname()) {
		return route.Answer{}, errForbidden
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(peek, http.MethodGet), u.String(), http.NoBody)
	if err != nil {
		return route.Answer{}, err
	}
	transport := r.client.checked
	if q.Insecure && u.Scheme == "https" {
		transport = r.client.unchecked
	} else if q.Kind != route.VCS { // git sends its own
		c.rec.Login = r.logins.add(ctx, req, q)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return route.Answer{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts

	// A server may answer to being hung up on.
	if cause := context.Cause(ctx); cause != nil {
		return route.Answer{}, cause
	}
	c.begin(Body)
	c.rec.Status, c.rec.Protocol, c.rec.Headers = resp.StatusCode, resp.Proto, r.harmless(resp.Header)
	a := route.Answer{Status: resp.StatusCode, Location: resp.Header.Get("Location")}
	if to, err := u.Parse(a.Location); a.Location != "" && err == nil {
		c.rec.Location = shownURL(to)
		r.logins.learn(to.User)
		to.User = nil // nobody's login but that of the settings is sent
		a.Location = to.String()
	}
	if a.Status >= 400 && a.Status < 500 {
		r.logins.refused(resp)
	}
	body := &counted{r: resp.Body, alive: alive}
	switch {
	case peek != "" && a.Status == http.StatusOK:
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" || kind == "application/xhtml+xml" {
			err = errPage
		}
	case q.Kind == route.Zip && a.Status == http.StatusOK:
		err = r.spoolZip(body, resp.ContentLength, &a)
	default:
		err = r.readBody(body, q, resp, &a, c.rec)
	}
	c.end(Body)
	c.rec.Bytes = body.n
	if err != nil {
		a.Broken = true
		a.Body = nil
	}
	return a, err
}

// readBody takes a small file, or of a failure what it says.
func (r *runner) readBody(body io.Reader, q route.Request, resp *http.Response, a *route.Answer, rec *Request) error {
	most := int64(largestFile)
	if a.Status != http.StatusOK && q.Kind != route.Discovery {
		most = largestError
	}
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if int64(len(data)) > most {
		if a.Status == http.StatusOK {
			return errLarge
		}
		data = data[:most]
	}
	a.Body = data
	if a.Status != http.StatusOK {
		rec.Said = r.said(resp.Header, data)
		if errors.Is(err, io.ErrUnexpectedEOF) { // go does not mind in a failure
			err = nil
		}
	}
	return err
}

// said is the text of a failure that go would show: plain, at most 8 lines.
func (r *runner) said(h http.Header, data []byte) string {
	kind, params, _ := mime.ParseMediaType(h.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if kind != "text/plain" || charset != "" && charset != "us-ascii" && charset != "utf-8" {
		return ""
	}
	const most, lines = 8 * 81, 8
	data = data[:min(len(data), most)]
	text := strings.TrimSpace(strings.ToValidUTF8(string(data), "?"))
	list := strings.Split(text, "\n")
	return r.hide(strings.Join(list[:min(len(list), lines)], "\n"))
}

// spoolZip brings a zip into a file.
func (r *runner) spoolZip(body io.Reader, total int64, a *route.Answer) error {
	f, err := os.CreateTemp(r.spool, "*.zip")
	if err != nil {
		return err
	}
	if r.zip != nil {
		_ = r.zip.Close()
	}
	r.zip = f
	in := io.LimitReader(body, largestZip+1)
	if r.Progress != nil {
		in = io.TeeReader(in, &reporter{show: r.Progress, total: max(total, 0)})
	}
	n, err := io.Copy(f, in)
	switch {
	case err != nil:
		return err
	case n > largestZip:
		return errLarge
	}
	r.zipSize, a.File, a.Size = n, f, n
	return nil
}

type reporter struct {
	show        func(done, total int64)
	done, total int64
}

func (p *reporter) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	p.show(p.done, p.total)
	return len(b), nil
}

// counted counts, and tells a body that trickles from one that flows.
type counted struct {
	r         io.Reader
	n, window int64
	alive     func()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n == 0 && n > 0 {
		c.alive()
	}
	c.n += int64(n)
	if c.window += int64(n); c.window >= leastAlive {
		c.window = 0
		c.alive()
	}
	return n, err
}

// harmless are the headers that hold no secret and tell something.
func (r *runner) harmless(h http.Header) [][2]string {
	var list [][2]string
	for _, name := range []string{
		"Age", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Etag", "Last-Modified",
		"Retry-After", "Server", "Via", "X-Cache",
	} {
		for _, v := range h.Values(name) {
			list = append(list, [2]string{name, r.hide(v)})
		}
	}
	return list
}
