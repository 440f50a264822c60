package observe

import (
	"bufio"
	"cmp"
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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// mostAddresses is how many addresses of a name are tried.
const mostAddresses = 8

func (s *session) dns(ctx context.Context) []Result {
	if a, err := netip.ParseAddr(s.target.Host); err == nil {
		s.addrs = []netip.Addr{a}
		return []Result{{State: NotChecked, Key: "probe.dns.address"}}
	}
	addrs, err := s.Resolve(ctx, s.target.Host)
	facts := s.facts("phase", "lookup")
	if err != nil {
		key := "probe.dns.failed"
		var d *net.DNSError
		if errors.As(err, &d) && d.IsNotFound {
			key = "probe.dns.unknown"
		} else if timedOut(err) {
			key = "probe.dns.timeout"
		}
		return []Result{{State: No, Key: key, Args: []string{s.target.Host}, Code: "net/dns", Said: said(err), Facts: facts}}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	list := strings.Join(words, ", ")
	bogus := func(a netip.Addr) bool { return a.IsUnspecified() || a.IsMulticast() }
	if len(addrs) == 0 {
		return []Result{{State: No, Key: "probe.dns.unknown", Args: []string{s.target.Host}, Code: "net/dns", Facts: facts}}
	}
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !bogus(a) }) {
		return []Result{{State: No, Key: "probe.dns.bogus", Args: []string{list}, Code: "net/intercepted", Said: s.target.Host + " -> " + list, Facts: facts}}
	}
	s.addrs = addrs
	return []Result{{State: Yes, Key: "probe.plain", Args: []string{list}}}
}

// tcp knocks at every address at once.
func (s *session) tcp(ctx context.Context) []Result {
	addrs := s.addrs[:min(len(s.addrs), mostAddresses)]
	list := make([]Result, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() { list[i] = s.knock(ctx, a) })
	}
	wg.Wait()
	// Only where no address answers is there a fault: IPv6 without a route is usual.
	if s.addr.IsValid() {
		for i := range list {
			list[i].Code = ""
		}
	}
	return list
}

func (s *session) knock(ctx context.Context, a netip.Addr) Result {
	at := net.JoinHostPort(a.String(), s.target.Port)
	if Forbidden(a) {
		return Result{State: NotChecked, Key: "probe.forbidden", Args: []string{a.String()}}
	}
	began := time.Now()
	conn, err := dialer().DialContext(ctx, "tcp", at)
	took := max(time.Since(began), 1)
	if err != nil {
		code, key := dialFault(err)
		facts := s.facts("phase", "dial", "address", a.String())
		r := Result{State: No, Took: took, Key: key, Args: []string{at}, Code: code, Said: said(err), Facts: facts}
		if code == "net/refused" && ownAddress(a) {
			r.Owner = keepwell.OwnerYou // this machine said no, not the network
		}
		return r
	}
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.addr.IsValid() {
		s.addr = a
	}
	return Result{State: Yes, Took: took, Key: "probe.tcp.open", Args: []string{at}}
}

// ownAddress reports whether an address is this machine's.
func ownAddress(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	own, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(own, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == a.Unmap()
	})
}

// dialer refuses forbidden addresses whatever name led to them.
func dialer() *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(address); err == nil && Forbidden(a.Addr()) {
			return fmt.Errorf("connecting to %s: %w", a.Addr(), ErrForbidden)
		}
		return nil
	}}
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func dialFault(err error) (code keepwell.Code, key string) {
	switch {
	case errors.Is(err, ErrForbidden):
		return "", "probe.forbidden"
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "actively refused"):
		return "net/refused", "probe.tcp.refused"
	case timedOut(err):
		return "net/timeout", "probe.tcp.timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "net/reset", "probe.reset"
	}
	return "net/unreachable", "probe.tcp.unreachable"
}

// connect opens a connection that leads to the target's port: straight to the address
// that answered, or through the HTTP proxy.
func (s *session) connect(ctx context.Context) (net.Conn, error) {
	if s.target.Via == nil {
		return dialer().DialContext(ctx, "tcp", net.JoinHostPort(s.addr.String(), s.target.Port))
	}
	conn, err := s.dialProxy(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.askTunnel(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// dialProxy connects to the HTTP proxy, over TLS where its address says https.
func (s *session) dialProxy(ctx context.Context) (net.Conn, error) {
	via := s.target.Via
	port := cmp.Or(via.Port(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
	conn, err := dialer().DialContext(ctx, "tcp", net.JoinHostPort(via.Hostname(), port))
	if err != nil || via.Scheme != "https" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: via.Hostname(), RootCAs: s.Roots, Time: s.Now, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &proxyTLSError{err}
	}
	return secure, nil
}

// proxyTLSError is a proxy that was reached, but not over TLS.
type proxyTLSError struct{ error }

func (u *proxyTLSError) Unwrap() error { return u.error }

// refusal is a proxy's answer to CONNECT that is not 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// askTunnel sends CONNECT, without credentials.
func (s *session) askTunnel(ctx context.Context, conn net.Conn) error {
	defer deadline(ctx, conn)()
	to := net.JoinHostPort(s.target.Host, s.target.Port)
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: http.Header{}}
	if err := req.Write(conn); err != nil {
		return fmt.Errorf("asking the HTTP proxy: %w", err)
	}
	// One byte at a time: what follows the header belongs to TLS.
	resp, err := http.ReadResponse(bufio.NewReaderSize(io.LimitReader(oneByte{conn}, largestHeader), 16), req)
	if err != nil {
		return fmt.Errorf("reading the HTTP proxy's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return &refusal{resp.StatusCode, resp.Status}
	}
	return nil
}

type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(len(p), 1)]) }

// deadline bounds a connection by the context; the caller runs what it returns.
func deadline(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (s *session) tunnel(ctx context.Context) []Result {
	shown := s.target.Via.Host
	fault := func(key string, err error, args ...string) []Result {
		return []Result{{State: No, Key: key, Args: args, Code: "net/http-proxy", Said: said(err), Facts: s.facts("phase", "proxyconnect")}}
	}
	if s.target.Via.Scheme != "http" && s.target.Via.Scheme != "https" || forbiddenHost(s.target.Via.Hostname()) {
		return []Result{{State: NotChecked, Key: "probe.proxy.kind", Args: []string{s.target.Via.Scheme, shown}}}
	}
	conn, err := s.dialProxy(ctx)
	var unsafe *proxyTLSError
	switch {
	case errors.As(err, &unsafe):
		return fault("probe.proxy.tls", err, shown)
	case err != nil:
		return fault("probe.proxy.dead", err, shown)
	}
	defer conn.Close() //nolint:errcheck // nothing more is asked of it
	if s.target.URL.Scheme == "http" {
		return []Result{{State: Yes, Key: "probe.tcp.open", Args: []string{shown}}}
	}
	var no *refusal
	switch err := s.askTunnel(ctx, conn); {
	case err == nil:
		return []Result{{State: Yes, Key: "probe.proxy.open", Args: []string{shown}}}
	case errors.As(err, &no) && no.status == http.StatusProxyAuthRequired && s.target.Login:
		return []Result{{State: NotChecked, Key: "probe.proxy.login", Args: []string{shown}}}
	case errors.As(err, &no):
		return fault("probe.proxy.refused", err, shown, fmt.Sprint(no.status))
	default:
		return fault("probe.proxy.silent", err, shown)
	}
}

// said is foreign text, masked and short.
func said(err error) string { return clip(err.Error()) }

func clip(text string) string {
	text = strings.Join(strings.Fields(mask.Text(strings.ToValidUTF8(text, "?"))), " ")
	if r := []rune(text); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return text
}

// facts are those that every layer knows, and pairs of further ones.
func (s *session) facts(pairs ...string) keepwell.Facts {
	out := keepwell.Facts{}
	pairs = append(pairs, "host", s.target.Host, "port", s.target.Port)
	for i := 0; i+1 < len(pairs); i += 2 {
		if keepwell.ValidFact(pairs[i], pairs[i+1]) {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}
