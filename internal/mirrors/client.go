package mirrors

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
)

var (
	errLoop  = errors.New("more than 10 redirects")
	errPlain = errors.New("redirected from https to http")
)

// tunnelError is the HTTP proxy's refusal to connect.
type tunnelError int

func (e tunnelError) Error() string { return "the HTTP proxy answers " + strconv.Itoa(int(e)) }

// client asks one mirror, on connections that it keeps.
type client struct {
	base string // without a slash at its end
	http *http.Client

	mu   sync.Mutex
	hops []string
}

type answer struct {
	status int
	body   []byte
	cut    bool // there was more
	header http.Header
	took   time.Duration // until the last byte that was read
	flow   time.Duration // from the header on
}

func newClient(base string, o Options) *client {
	c := &client{base: strings.TrimRight(base, "/")}
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(address); err == nil && observe.Forbidden(a.Addr()) {
			return fmt.Errorf("connecting to %s: %w", a.Addr(), observe.ErrForbidden)
		}
		return nil
	}}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, MaxResponseHeaderBytes: largestHeader,
			ForceAttemptHTTP2: true, MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections,
			TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			Proxy:           func(r *http.Request) (*url.URL, error) { return o.Proxy(r.URL) },
			OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
				if resp.StatusCode != http.StatusOK {
					return tunnelError(resp.StatusCode)
				}
				return nil
			},
		},
		CheckRedirect: c.follow,
	}
	return c
}

// follow notes which hosts a mirror sends on to. What came over https stays there.
func (c *client) follow(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= mostRedirects:
		return errLoop
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errPlain
	}
	req.URL.User = nil
	req.Header.Del("Referer")
	c.sentTo(via[0].URL, req.URL)
	return nil
}

// sentTo notes the host of to, where it is another than that of from.
func (c *client) sentTo(from, to *url.URL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if host := mask.Text(to.Host); to.Host != from.Host && !slices.Contains(c.hops, host) && len(c.hops) < mostRedirects {
		c.hops = append(c.hops, host)
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// get asks for a path below the mirror, or for a whole URL, and reads at most the first
// bytes of the answer. What was read before an error counts.
func (c *client) get(ctx context.Context, what string, most int) (*answer, error) {
	if strings.HasPrefix(what, "/") {
		what = c.base + what
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, what, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.URL.User = nil // no login goes anywhere
	req.Header.Set("User-Agent", "keepwell-mirrors")
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	a := &answer{status: resp.StatusCode, header: resp.Header}
	head := time.Now()
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	a.took, a.flow = time.Since(began), time.Since(head)
	if len(a.body) > most {
		a.body, a.cut = a.body[:most], true
	}
	return a, err
}

// page reports answers that are made for people.
func (a *answer) page() bool {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	start := bytes.ToLower(bytes.TrimSpace(a.body[:min(len(a.body), 256)]))
	return kind == "text/html" || bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// why puts an error into a reason.
func why(err error) Check {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var unknownCA x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var tunnel tunnelError
	switch {
	case errors.As(err, &tunnel):
		return unknown("mirrors.why.tunnel", strconv.Itoa(int(tunnel)))
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return unknown("mirrors.why.proxy")
	case errors.Is(err, observe.ErrForbidden):
		return unknown("mirrors.why.forbidden")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return unknown("mirrors.why.time")
	case errors.As(err, &dns) && !dns.IsTimeout:
		return unknown("mirrors.why.dns")
	case errors.Is(err, syscall.ECONNREFUSED):
		return unknown("mirrors.why.refused")
	case errors.As(err, &cert), errors.As(err, &unknownCA), errors.As(err, &record):
		return unknown("mirrors.why.tls")
	case errors.Is(err, errLoop), errors.Is(err, errPlain):
		return no("mirrors.why.redirects")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unknown("mirrors.why.reset")
	}
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return unknown("mirrors.why.time")
	}
	text := mask.Text(err.Error())
	return unknown("mirrors.why.other", text[:min(len(text), 200)])
}

// wrong says why an answer is not the data that was asked for.
func (a *answer) wrong(file string) Check {
	switch {
	case a.status == http.StatusUnauthorized:
		return unknown("mirrors.why.login")
	case a.status != http.StatusOK:
		return no("mirrors.protocol.status", strconv.Itoa(a.status), file)
	case a.page():
		return no("mirrors.protocol.page", file)
	}
	return no("mirrors.protocol.wrong", file)
}
