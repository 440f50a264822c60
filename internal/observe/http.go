package observe

import (
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
	"golang.org/x/mod/sumdb/note"

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

// fetch asks without credentials, cookies or decompression.
func (s *session) fetch(ctx context.Context, raw string) (*answer, error) {
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
		return nil
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "keepwell-probe")
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
	out.body, out.bodyErr = io.ReadAll(io.LimitReader(resp.Body, largestBody+1))
	if len(out.body) > largestBody {
		out.body, out.cut = out.body[:largestBody], true
	}
	return out, nil
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
	asked := strings.Trim(u.Path, "/") != "" && s.target.Repo == ""
	if u.Path == "" {
		u.Path = "/"
	}
	if s.target.Repo != "" { // as git begins; git itself says what the answer means
		u.Path, u.RawPath, u.RawQuery = strings.TrimRight(u.Path, "/")+refs, "", "service=git-upload-pack"
	}
	a, err := s.fetch(ctx, u.String())
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
		return []Result{{State: No, Key: "probe.http.stalled", Code: "net/slow", Said: said(a.bodyErr), Facts: s.facts("phase", "body")}}
	}
	return []Result{r}
}

// statusFault is the fault that a status shows by itself. A bare host may well answer
// 404 or 403 to "/"; a URL that was asked for may not.
func statusFault(a *answer, asked bool) keepwell.Code {
	switch {
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
func (s *session) data(ctx context.Context, raw string) (a *answer, r Result) {
	a, err := s.fetch(ctx, raw)
	if err != nil {
		return nil, s.failed(a, err)
	}
	r = Result{State: No, Said: a.said(), Facts: s.facts("phase", "status", "status", strconv.Itoa(a.status), "proxy", s.target.Host, "url", raw)}
	switch {
	case s.target.Private && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden):
		return nil, Result{State: NotChecked, Key: "probe.private"}
	case a.status != http.StatusOK:
		r.Key, r.Args, r.Code = "probe.http.status", []string{strconv.Itoa(a.status)}, "proxy/bad-response"
		if code := statusFault(a, true); code != "" {
			r.Code = code
		}
		return nil, r
	case a.html() && len(a.hops) > 0 && !strings.EqualFold(a.final.Hostname(), s.target.Host):
		r.Key, r.Args, r.Code = "probe.html.elsewhere", []string{clip(a.final.Host)}, "net/intercepted"
		return nil, r
	case a.html():
		r.Key, r.Code, r.Rival = "probe.html", "proxy/bad-response", "net/intercepted"
		return nil, r
	case a.header.Get("Content-Encoding") != "":
		r.Key, r.Args, r.Code = "probe.encoded", []string{clip(a.header.Get("Content-Encoding"))}, "proxy/bad-response"
		return nil, r
	case a.bodyErr != nil && timedOut(a.bodyErr):
		r.Key, r.Code = "probe.http.stalled", "net/slow"
		return nil, r
	}
	return a, r
}

func (s *session) goproxy(ctx context.Context) []Result {
	a, r := s.data(ctx, s.target.List)
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
	return []Result{{State: Yes, Key: "probe.goproxy.list", Args: []string{strconv.Itoa(len(lines))}}}
}

// sumKey is the key of the database that go knows by its name alone
// (cmd/go/internal/modfetch/key.go).
const sumKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

func (s *session) sumdb(ctx context.Context) []Result {
	key := s.target.Key
	if key == "sum.golang.org" {
		key = sumKey
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return []Result{{State: No, Key: "probe.sumdb.key", Code: "sum/misconfigured", Said: said(err), Facts: s.facts("phase", "verify")}}
	}
	a, r := s.data(ctx, s.target.Latest)
	if a == nil {
		if r.State == No && r.Code != "net/intercepted" {
			r.Code = "sum/sumdb-unreachable"
		}
		return []Result{r}
	}
	if _, err := note.Open(a.body, note.VerifierList(verifier)); err != nil {
		return []Result{{State: No, Key: "probe.sumdb.bad", Code: "net/intercepted", Said: said(err), Facts: s.facts("phase", "verify")}}
	}
	return []Result{{State: Yes, Key: "probe.sumdb.good", Args: []string{verifier.Name()}}}
}
