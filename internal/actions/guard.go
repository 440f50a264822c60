package actions

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
)

// Guard says where requests may go.
type Guard struct {
	// Hosts are the hosts of the http action: "hooks.example.org", with a port where it is
	// not the scheme's. Empty: none.
	Hosts []string
	// Private are those of them whose addresses may be private or this machine's.
	Private []string
}

// reserved are ranges that netip has no word for: shared (carrier) addresses, benchmarks,
// and translations that lead to IPv4.
var reserved = sync.OnceValue(func() (list []netip.Prefix) {
	for _, p := range []string{"100.64.0.0/10", "198.18.0.0/15", "192.0.0.0/24", "240.0.0.0/4", "0.0.0.0/8", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
})

// public tells whether an address is one of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is one that keeps to the guard: it looks at the address that is connected to,
// after its name was resolved.
func (g Guard) client() *http.Client {
	return newClient(func(host string) bool { return slices.Contains(g.Private, host) })
}

// trusting is for addresses of the server's configuration, which may be private.
func (Guard) trusting() *http.Client { return newClient(func(string) bool { return true }) }

func newClient(private func(host string) bool) *http.Client { return newTLSClient(private, nil) }

func newTLSClient(private func(host string) bool, secure *tls.Config) *http.Client {
	const handshake = 10 * time.Second
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: handshake}
		if !private(address) && !private(strings.TrimSuffix(strings.TrimSuffix(address, ":443"), ":80")) {
			d.Control = func(_, address string, _ syscall.RawConn) error {
				to, err := netip.ParseAddrPort(address)
				if err != nil || !public(to.Addr()) {
					return msg.Wrong("do.private", address, ErrFinal)
				}
				return nil
			}
		}
		return d.DialContext(ctx, network, address)
	}
	return &http.Client{
		// No proxy: its name lookups would not be ours. Connections are not kept, so that a
		// request is never sent twice.
		Transport:     &http.Transport{DialContext: dial, TLSClientConfig: secure, DisableKeepAlives: true, TLSHandshakeTimeout: handshake, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// allows tells whether the http action may go there.
func (g Guard) allows(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return msg.Wrong("do.address.form")
	}
	if !slices.Contains(g.Hosts, strings.ToLower(u.Host)) {
		return msg.Wrong("do.host", u.Host)
	}
	return nil
}

// answer is what a server said.
type answer struct {
	status int
	body   []byte
}

const maxAnswer = 1 << 20

// send makes one request. The error wraps ErrUnsure where it may have had an effect.
func send(ctx context.Context, c *http.Client, method, address string, headers http.Header, body []byte) (answer, error) {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, msg.Wrong("do.address.bad") // its text may hold a secret
	}
	for k, v := range headers {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "keepwell")
	req.GetBody = nil // never sent again
	reads := method == http.MethodGet || method == http.MethodHead
	resp, err := c.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which may hold a secret
		}
		if errors.Is(err, ErrFinal) { // nothing was sent, and nothing will be
			return answer{}, msg.Wrong("do.script.find", method, req.URL.Host, err)
		}
		if sent.Load() && !reads {
			return answer{}, msg.Wrong("do.request.kind", method, req.URL.Host, err, ErrUnsure)
		}
		return answer{}, msg.Wrong("do.request.kind", method, req.URL.Host, err, ErrAgain)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return a, msg.Wrong("do.answer.reading", req.URL.Host, err, ErrUnsure)
	}
	return a, nil
}

// judge makes an error of a status that is no success.
func judge(method, host string, a answer) error {
	text := msg.Wrong("do.status", host, method, a.status)
	reads := method == http.MethodGet || method == http.MethodHead
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return msg.Wrong("do.pair", text, ErrAgain)
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		if !reads {
			return msg.Wrong("do.pair", text, ErrUnsure)
		}
		return msg.Wrong("do.pair", text, ErrAgain)
	}
	return text
}
