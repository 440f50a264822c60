package modproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/observe"
)

// client makes the requests to upstreams. Each host that an upstream leads to is
// checked when its address is known: a redirect into the private network is refused,
// unless the upstream itself lies there.
type client struct {
	http.Client
	live    func() *live // has the hosts with private addresses that any upstream may lead to, and logins
	tunnels []string     // host:port of HTTP proxies

	mu      sync.Mutex
	private map[string]bool // host:port that were seen to have private addresses
}

// largestHeader bounds an answer's header, mostRedirects is go's own.
const (
	largestHeader = 64 << 10
	mostRedirects = 10
)

var (
	errPrivate   = errors.New("a redirect to a private address, which is refused")
	errDowngrade = errors.New("a redirect from https to http, which is refused")
	errRedirects = fmt.Errorf("stopped after %d redirects", mostRedirects)
)

// home is the upstream's host:port, in the context of each request.
type home struct{}

func newClient(o Options, now func() *live) *client {
	c := &client{live: now, private: map[string]bool{}}
	env := httpproxy.FromEnvironment()
	for _, v := range []string{env.HTTPProxy, env.HTTPSProxy} {
		if u, err := url.Parse(v); err == nil && u.Host != "" {
			c.tunnels = append(c.tunnels, withPort(u))
		}
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: largestHeader, MaxIdleConnsPerHost: 32, MaxConnsPerHost: 64, IdleConnTimeout: o.Limits.Rest,
		TLSHandshakeTimeout: o.Limits.Connect, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.Roots != nil {
		t.TLSClientConfig.RootCAs = o.Roots.TLSClientConfig.RootCAs
	}
	t.DialContext = c.dialer(o)
	c.Client = http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= mostRedirects {
			return errRedirects
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errDowngrade
		}
		r.Header.Del("Referer")
		if r.URL.Host != via[0].URL.Host { // net/http would hand it to subdomains and other ports
			r.Header.Del("Authorization")
			if sent, ok := r.Context().Value(loginKey{}).(*sentLogin); ok {
				for name := range sent.header {
					r.Header.Del(name)
				}
			}
		}
		return c.mayLead(r)
	}}
	return c
}

func (c *client) close() { c.CloseIdleConnections() }

// mayLead holds a redirect to the rule above where a connection to its host is open
// already, since then nobody dials.
func (c *client) mayLead(r *http.Request) error {
	from, _ := r.Context().Value(home{}).(string)
	to := withPort(r.URL)
	ip, err := netip.ParseAddr(r.URL.Hostname()) // through an HTTP proxy, nobody here dials
	inside := c.isPrivate(to) || err == nil && isInside(ip)
	if !inside || to == from || c.isPrivate(from) || slices.Contains(c.live().Private, r.URL.Hostname()) {
		return nil
	}
	return errPrivate
}

// dialer opens connections and holds them to the rule above.
func (c *client) dialer(o Options) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		from, _ := ctx.Value(home{}).(string)
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		free := from == address || slices.Contains(c.tunnels, address) || slices.Contains(c.live().Private, host)
		d := net.Dialer{Timeout: o.Limits.Connect, Control: func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			ip := at.Addr().Unmap()
			inside := isInside(ip)
			switch {
			case observe.Forbidden(ip):
				return errPrivate
			case inside && !free && !c.isPrivate(from):
				return errPrivate
			case inside:
				c.mu.Lock()
				c.private[address] = true
				c.mu.Unlock()
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
}

// isInside tells addresses that only a private network, or this machine, has.
func isInside(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || sharedSpace(ip)
}

// sharedSpace is 100.64.0.0/10, which providers use inside (RFC 6598).
func sharedSpace(ip netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(ip)
}

func (c *client) isPrivate(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.private[from]
}

func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// request is a GET of u's file with nothing of a client's in it. A login goes to the
// upstream's own host, over https.
func (c *client) request(ctx context.Context, u *Upstream, a ask) (*http.Request, error) {
	to := u.address(a)
	ctx = context.WithValue(ctx, home{}, withPort(to))
	if c.live().Auth != nil {
		ctx = context.WithValue(ctx, loginKey{}, &sentLogin{})
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "keepwell")
	r.Header.Set("Accept-Encoding", "identity")
	if to.Scheme == "https" {
		c.login(r, u)
	}
	return r, nil
}

// login adds the login of u: the one in its address, or else its own credential, or
// else, if it has no logins of its own, that of netrc.
func (c *client) login(r *http.Request, u *Upstream) {
	login := u.Base.User
	switch {
	case login != nil:
	case u.Logins == nil && c.live().Auth != nil:
		c.loginAs(r, c.live().Auth.Login(r.Context(), r.URL))
	case u.Logins == nil:
		if line := credentials.ForGo(c.live().logins, r.URL.Host+r.URL.Path); line != nil {
			line.Authorize(r)
		}
	default:
		named := u.Logins.of(r.URL)
		switch {
		case named == nil:
		case named.Bearer != "":
			r.Header.Set("Authorization", "Bearer "+named.Bearer)
		default:
			login = url.UserPassword(named.User, named.Password)
		}
	}
	if login != nil {
		password, _ := login.Password()
		r.SetBasicAuth(login.Username(), password)
	}
}

// sentLogin are the headers that GOAUTH gave for a request, in its context: they stay
// behind where it leads to another host.
type sentLogin struct{ header http.Header }

type loginKey struct{}

func (c *client) loginAs(r *http.Request, h http.Header) {
	if sent, ok := r.Context().Value(loginKey{}).(*sentLogin); ok {
		sent.header = h
	}
	for name, values := range h {
		r.Header[name] = values
	}
}

// ask makes a request. Of what was refused, the programs of GOAUTH are told, as go does;
// if they give another login, it is asked once more. Nobody's login goes to a server that
// the user's list does not have.
func (c *client) ask(r *http.Request, u *Upstream, a ask) (*http.Response, error) {
	resp, err := c.Do(r)
	auth := c.live().Auth
	if err != nil || auth == nil || u.Logins != nil || u.Base.User != nil || u.Spare || a.database != "" {
		return resp, err
	}
	var sent http.Header
	if s, ok := r.Context().Value(loginKey{}).(*sentLogin); ok {
		sent = s.header
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
	case http.StatusNotFound: // so some say that they know nobody
		if sent != nil {
			return resp, nil
		}
	default:
		return resp, nil
	}
	h := auth.Again(r.Context(), r.URL, resp, sent)
	if h == nil {
		return resp, nil
	}
	_ = resp.Body.Close() // what it said counts no more
	again := r.Clone(r.Context())
	for name := range sent {
		again.Header.Del(name)
	}
	c.loginAs(again, h)
	return c.Do(again)
}

// openLocal opens a file of an upstream that is a bundle, or else the directory dir.
func (u *Upstream) openLocal(dir string, a ask) (io.ReadSeekCloser, error) {
	if u.bundles != nil {
		return u.bundles.open(a.key)
	}
	return openIn(dir, a.key)
}

// openIn opens a file of a directory, which it never leaves.
func openIn(dir, name string) (io.ReadSeekCloser, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	return root.Open(name)
}

// speaksFor tells whether a file:// upstream has files of a checksum database.
func (u *Upstream) speaksFor(dir, database string) bool {
	f, err := u.openLocal(dir, ask{key: "sumdb/" + database + "/supported"})
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}
