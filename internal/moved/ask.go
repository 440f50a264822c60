package moved

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
)

// Bounds of one answer.
const (
	mostList = 1 << 20 // a list of versions
	mostMod  = 1 << 20
	mostPage = 128 << 10
	mostZip  = 8 << 20
	mostDoc  = 16 << 20 // a registry's description of a package
	mostHead = 64 << 10
)

var (
	errSpent   = errors.New("no more requests are made for one name")
	errNobody  = errors.New("nobody is asked")
	errPrivate = errors.New("addresses of private networks are asked only where the settings name the server")
	errLarge   = errors.New("the answer is too large")
)

// answer is what a server said; status 0 where it said nothing.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
	// gone says that the name of the host does not exist.
	gone bool
}

func (a answer) found() bool {
	return a.status == http.StatusOK || a.status == http.StatusPartialContent
}

func (a answer) absent() bool { return a.status == http.StatusNotFound || a.status == http.StatusGone }

// ask makes one request, without following anything, within what is left of the budget.
func (f *finder) ask(ctx context.Context, step Step, u *url.URL, most int64, header http.Header) answer {
	switch {
	case f.Transport == nil:
		return answer{err: errNobody}
	case f.spent >= MaxRequests:
		return answer{err: errSpent}
	}
	f.spent++
	bare := *u
	bare.User = nil
	rec := Request{Step: step, URL: mask.Text(bare.String())}
	began := time.Now()
	a := f.exchange(ctx, &bare, most, header)
	rec.Status, rec.Took = a.status, time.Since(began)
	if a.err != nil {
		rec.Err = mask.Text(plain(a.err))
	}
	f.report.Requests = append(f.report.Requests, rec)
	return a
}

func (f *finder) exchange(ctx context.Context, u *url.URL, most int64, header http.Header) answer {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(f.Each, 3*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "keepwell")
	resp, err := f.Transport.RoundTrip(req)
	if err != nil {
		var dns *net.DNSError
		return answer{err: err, gone: errors.As(err, &dns) && dns.IsNotFound}
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	a := answer{status: resp.StatusCode, header: resp.Header}
	if most > 0 {
		a.body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
		switch {
		case err != nil:
			return answer{err: err}
		case int64(len(a.body)) > most:
			return answer{err: errLarge}
		}
	}
	return a
}

// follow is ask, and up to two steps further where a server leads on without leaving
// TLS: proxies keep files elsewhere.
func (f *finder) follow(ctx context.Context, step Step, u *url.URL, most int64, header http.Header) answer {
	a := f.ask(ctx, step, u, most, header)
	for range 2 {
		next, err := u.Parse(a.header.Get("Location"))
		if a.status/100 != 3 || a.header.Get("Location") == "" || err != nil || next.Scheme != u.Scheme && next.Scheme != "https" {
			return a
		}
		next.User, u = nil, next
		a = f.ask(ctx, step, u, most, header)
	}
	return a
}

// plain is an error without the address, which stands beside it.
func plain(err error) string {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

// Machine is how this machine reaches servers.
type Machine struct {
	// Configured are hosts (without port) that the settings name: they may lie in a private
	// network.
	Configured []string
	// Refuse reports addresses that are never asked, whatever the settings say.
	Refuse func(netip.Addr) bool
	// Proxy names the HTTP proxy in force; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	// Base is copied where it is not nil: roots of TLS and the like.
	Base *http.Transport
}

// NewTransport makes requests as [Options] want them. Addresses of private networks are
// refused but for configured hosts; the HTTP proxy resolves names itself.
func NewTransport(m Machine) *http.Transport {
	t := &http.Transport{}
	if m.Base != nil {
		t = m.Base.Clone()
	}
	t.Proxy = m.Proxy
	t.MaxResponseHeaderBytes = mostHead
	t.DisableCompression = true // nothing that swells
	configured := slices.Clone(m.Configured)
	if m.Proxy != nil {
		inner := m.Proxy
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (private(ip) && !slices.Contains(configured, r.URL.Hostname()) || m.Refuse != nil && m.Refuse(ip)) {
				return nil, errPrivate
			}
			return inner(r)
		}
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		trusted := slices.ContainsFunc(configured, func(c string) bool { return strings.EqualFold(c, host) }) || m.tunnel(host)
		d := net.Dialer{Timeout: 3 * time.Second, Control: func(_, at string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(at)
			if err == nil && (m.Refuse != nil && m.Refuse(a.Addr()) || !trusted && private(a.Addr())) {
				return errPrivate
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
	return t
}

// tunnel reports whether a host is the HTTP proxy of the settings.
func (m Machine) tunnel(host string) bool {
	if m.Proxy == nil {
		return false
	}
	for _, scheme := range []string{"https", "http"} {
		u, err := m.Proxy(&http.Request{URL: &url.URL{Scheme: scheme, Host: "keepwell.invalid"}})
		if err == nil && u != nil && strings.EqualFold(u.Hostname(), host) {
			return true
		}
	}
	return false
}

func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() ||
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}
