package observe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
)

// Limits of what is read of an answer.
const (
	largestHeader = 64 << 10
	largestBody   = 64 << 10
	mostRedirects = 10
	refs          = "/info/refs"
)

var (
	errLoop  = errors.New("more than 10 redirects")
	errPlain = errors.New("redirected from https to http")
)

// answer is one HTTP exchange, redirects followed.
type answer struct {
	status  int
	final   *url.URL
	hops    []string // hosts that redirects led to
	header  http.Header
	body    []byte
	cut     bool // there was more
	bodyErr error
	sent    bool          // a login went with the last request
	reading time.Duration // how long the body took
	pause   time.Duration // since its last byte, where it did not end
}

// ask is a request. The zero value of a field means GET, no such header, largestBody.
type ask struct {
	url, method, accept, part string // part is a Range
	most                      int
	page                      bool // a web page may come
}

func (a *answer) html() bool {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	start := strings.ToLower(strings.TrimSpace(string(a.body[:min(len(a.body), 256)])))
	return kind == "text/html" || strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

// said is the server's own text, for an answer that is no page.
func (a *answer) said() string {
	text := fmt.Sprint(a.status, " ", http.StatusText(a.status))
	if !a.html() && a.header.Get("Content-Encoding") == "" && len(a.body) > 0 {
		text += ": " + string(a.body[:min(len(a.body), 1000)])
	}
	return clip(text)
}

// fetch asks without cookies or decompression; a login goes along only where
// Options.Logins holds one for exactly that host, and only over TLS.
func (s *session) fetch(ctx context.Context, q ask) (*answer, error) {
	out := &answer{}
	client := &http.Client{Transport: s.transport(), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		out.hops = append(out.hops, clip(req.URL.Host))
		switch {
		case len(via) >= mostRedirects:
			return errLoop
		case forbiddenHost(req.URL.Hostname()):
			return fmt.Errorf("redirected to %s: %w", req.URL.Hostname(), ErrForbidden)
		case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
			return errPlain
		}
		req.URL.User = nil
		req.Header.Del("Referer")
		req.Header.Del("Authorization") // net/http would take it to subdomains
		out.sent = s.logIn(req)
		return nil
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), q.url, http.NoBody)
	if err != nil {
		return out, err
	}
	req.Header.Set("User-Agent", "keepwell-probe")
	for name, value := range map[string]string{"Accept": q.accept, "Range": q.part} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	out.sent = s.logIn(req)
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL is known, and could hold a query
		}
		return out, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	out.status, out.final, out.header = resp.StatusCode, resp.Request.URL, resp.Header
	out.read(resp.Body, cmp.Or(q.most, largestBody))
	return out, nil
}

// read takes the first bytes of a body and notes how they came.
func (a *answer) read(body io.Reader, most int) {
	began := time.Now()
	last := began
	buf := make([]byte, 16<<10)
	for len(a.body) <= most && a.bodyErr == nil {
		var n int
		if n, a.bodyErr = body.Read(buf); n > 0 {
			a.body, last = append(a.body, buf[:n]...), time.Now()
		}
	}
	a.reading, a.pause = time.Since(began), time.Since(last)
	if errors.Is(a.bodyErr, io.EOF) {
		a.bodyErr = nil
	}
	if len(a.body) > most {
		a.body, a.cut = a.body[:most], true
	}
}

// logIn adds the login that is held for exactly the host and port asked, over TLS only.
func (s *session) logIn(req *http.Request) bool {
	v := s.loginFor(req.URL)
	if v != "" {
		req.Header.Set("Authorization", v)
	}
	return v != ""
}

func (s *session) transport() *http.Transport {
	own := net.JoinHostPort(s.target.Host, s.target.Port)
	t := &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: largestHeader, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: s.Roots, Time: s.Now, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if s.target.Via == nil && addr == own {
				return s.connect(ctx)
			}
			return dialer().DialContext(ctx, network, addr)
		},
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		via, err := s.Proxy(r.URL)
		if err != nil || via == nil {
			return nil, err
		}
		return &url.URL{Scheme: via.Scheme, Host: via.Host}, nil // its login stays here
	}
	return t
}

// failed tells why there was no answer.
func (s *session) failed(a *answer, err error) Result {
	r := Result{State: No, Said: said(err), Facts: s.facts("phase", "status")}
	switch {
	case errors.Is(err, errLoop):
		r.Code, r.Key, r.Args = "proxy/bad-response", "probe.http.loop", []string{strings.Join(unique(a.hops), " -> ")}
	case errors.Is(err, errPlain):
		r.Code, r.Key, r.Args = "net/intercepted", "probe.http.plain", []string{strings.Join(unique(a.hops), " -> ")}
	case errors.Is(err, ErrForbidden):
		r.Code, r.Key, r.Args = "net/intercepted", "probe.http.forbidden", []string{strings.Join(unique(a.hops), " -> ")}
	case timedOut(err):
		r.Code, r.Key = "net/slow", "probe.http.silent"
	default:
		r.Code, r.Key = "net/reset", "probe.reset"
	}
	return r
}

func unique(list []string) []string {
	var out []string
	for _, v := range list {
		if len(out) == 0 || out[len(out)-1] != v {
			out = append(out, v)
		}
	}
	return out
}

func (s *session) http(ctx context.Context) []Result {
	u := *s.target.URL
	asked := strings.Trim(u.Path, "/") != "" && !s.target.speaks()
	if u.Path == "" {
		u.Path = "/"
	}
	if s.target.Repo != "" { // as git begins; git itself says what the answer means
		u.Path, u.RawPath, u.RawQuery = strings.TrimRight(u.Path, "/")+refs, "", "service=git-upload-pack"
	}
	a, err := s.fetch(ctx, ask{url: u.String()})
	if err != nil {
		return []Result{s.failed(a, err)}
	}
	r := Result{State: Yes, Key: "probe.http.status", Args: []string{strconv.Itoa(a.status)}}
	if to, ok := strings.CutSuffix(a.final.Path, refs); ok && len(a.hops) > 0 && s.target.Repo != "" {
		s.moved = &url.URL{Scheme: a.final.Scheme, Host: a.final.Host, Path: to}
	}
	if len(a.hops) > 0 {
		r.Key, r.Args = "probe.http.redirected", append(r.Args, strings.Join(unique(a.hops), " -> "))
	}
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil {
		if skew := s.Now().Sub(at).Abs(); skew > largestSkew {
			r.Key, r.Args = "probe.http.clock", []string{strconv.Itoa(a.status), skew.Round(time.Minute).String()}
		}
	}
	if code := statusFault(a, asked); code != "" {
		r.State, r.Code, r.Said = No, code, a.said()
		r.Facts = s.facts("phase", "status", "status", strconv.Itoa(a.status), "proxy", s.target.Host, "server", clip(string(a.body[:min(len(a.body), 200)])))
	}
	if a.bodyErr != nil && timedOut(a.bodyErr) {
		return []Result{s.stalled(a)}
	}
	return []Result{r}
}

// stalled tells a body that stopped from one that crawls.
func (s *session) stalled(a *answer) Result {
	r := Result{State: No, Key: "probe.http.stalled", Code: "net/slow", Said: said(a.bodyErr), Facts: s.facts("phase", "body")}
	if len(a.body) > 0 && a.pause < a.reading/3 {
		r.Key, r.Args = "probe.http.crawls", []string{strconv.Itoa(len(a.body)), seconds(a.reading)}
	}
	return r
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) }

// statusFault is the fault that a status shows by itself. A bare host may well answer
// 404 or 403 to "/"; a URL that was asked for may not.
func statusFault(a *answer, asked bool) keepwell.Code {
	switch {
	case a.sent && a.status == http.StatusUnauthorized:
		return "auth/expired-token"
	case a.sent && a.status == http.StatusForbidden:
		return "auth/forbidden"
	case a.status == http.StatusNetworkAuthenticationRequired:
		return "net/intercepted"
	case a.status == http.StatusProxyAuthRequired:
		return "net/http-proxy"
	case a.status == http.StatusTooManyRequests:
		return "proxy/rate-limited"
	case a.status >= 500:
		return "proxy/server-error"
	case asked && a.status == http.StatusUnauthorized:
		return "proxy/unauthorized"
	case asked && a.status == http.StatusForbidden:
		return "proxy/forbidden"
	case asked && (a.status == http.StatusNotFound || a.status == http.StatusGone):
		return "proxy/not-found"
	}
	return ""
}

// data fetches what must be data: a page in its place is an error of the network or
// of the server. It returns nil where r is final.
func (s *session) data(ctx context.Context, q ask) (a *answer, r Result) {
	a, err := s.fetch(ctx, q)
	if err != nil {
		return nil, s.failed(a, err)
	}
	return s.dataOf(a, q)
}

// dataOf is data for an answer that is there.
func (s *session) dataOf(a *answer, q ask) (*answer, Result) {
	r := Result{State: No, Said: a.said(), Facts: s.facts("phase", "status", "status", strconv.Itoa(a.status), "proxy", s.target.Host, "url", q.url)}
	r.Args = []string{strconv.Itoa(a.status)}
	switch {
	case s.target.Private && !a.sent && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden):
		return nil, Result{State: NotChecked, Key: "probe.private"}
	case a.status != http.StatusOK && a.status != http.StatusPartialContent:
		r.Key, r.Code = "probe.http.status", "proxy/bad-response"
		if code := statusFault(a, true); code != "" {
			r.Code = code
		}
	case a.html() && len(a.hops) > 0 && !strings.EqualFold(a.final.Hostname(), s.target.Host) && !q.page:
		r.Key, r.Args, r.Code = "probe.html.elsewhere", []string{clip(a.final.Host)}, "net/intercepted"
	case a.html() && !q.page:
		r.Key, r.Args, r.Code, r.Rival = "probe.html", nil, "proxy/bad-response", "net/intercepted"
	case a.header.Get("Content-Encoding") != "":
		r.Key, r.Args, r.Code = "probe.encoded", []string{clip(a.header.Get("Content-Encoding"))}, "proxy/bad-response"
	case a.bodyErr != nil && timedOut(a.bodyErr):
		r = s.stalled(a)
	case a.bodyErr != nil:
		r.Key, r.Args, r.Code, r.Said = "probe.http.cut", []string{strconv.Itoa(len(a.body))}, "net/reset", said(a.bodyErr)
	default:
		r.Args = nil
		return a, r
	}
	return nil, r
}

func (s *session) goproxy(ctx context.Context) []Result {
	a, r := s.data(ctx, ask{url: s.target.List})
	if a == nil {
		return []Result{r}
	}
	if !strings.HasSuffix(s.target.List, "/@v/list") {
		return []Result{{State: Yes, Key: "probe.goproxy.file", Args: []string{strconv.Itoa(len(a.body))}}}
	}
	lines := strings.Fields(string(a.body))
	for i, v := range lines {
		if !semver.IsValid(v) && (!a.cut || i < len(lines)-1) {
			r.Key, r.Code = "probe.goproxy.garbage", "proxy/bad-response"
			return []Result{r}
		}
	}
	list := []Result{{State: Yes, Key: "probe.goproxy.list", Args: []string{strconv.Itoa(len(lines))}}}
	if s.target.Supported != "" {
		through := s.supported(ctx)
		through.Code = "" // go may still go on to the next entry
		list = append(list, through)
	}
	return list
}
