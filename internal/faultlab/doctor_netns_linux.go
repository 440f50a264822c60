package faultlab

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A lab with a network of its own has one interface of 45.45.45.0/24 behind which
// there is nothing: its own address answers, packets to any other vanish. Names are
// resolved by a resolver of the lab at 127.0.0.1.
const (
	ownAddress   = ownNetwork + "1"
	holeAddress  = ownNetwork + "99" // packets to it vanish
	noRoute6     = "2606:4700:4700::99"
	proxyHost    = "goproxy.example.org"
	holeNetwork  = ownAddress + "/24"
	resolverPort = "127.0.0.1:53"
)

// ownNetworks are faults of resolvers, routes and addresses.
func ownNetworks() []situation {
	list := []situation{
		{name: "net-dns-nxdomain", code: "net/dns", run: resolving(zone{})},
		{name: "net-dns-servfail", code: "net/dns", run: answering(dnsmessage.RCodeServerFailure)},
		{name: "net-dns-refuses", code: "net/dns", run: answering(dnsmessage.RCodeRefused)},
		{name: "net-dns-silent", code: "net/dns", run: silentResolver},
		{name: "net-dns-no-resolver", code: "net/dns", also: codes("net/sandboxed"), run: noResolver},
		{name: "net-dns-resolver-vanishes", code: "net/dns", also: codes("net/timeout"), run: vanishedResolver},
		{name: "net-dns-loopback", code: "net/intercepted", also: codes("net/dns", "net/refused"), run: resolving(zone{proxyHost: {"127.0.0.1"}})},
		{name: "net-dns-multicast", code: "net/intercepted", also: codes("net/dns", "net/timeout", "net/unreachable"), run: resolving(zone{proxyHost: {"224.0.0.1"}})},
		{name: "net-dns-zero", code: "net/intercepted", also: codes("net/dns", "net/refused"), run: resolving(zone{proxyHost: {"0.0.0.0"}})},
		{name: "net-captive-portal", code: "net/intercepted", also: codes("tls/name-mismatch", "tls/unknown-authority"), run: captivePortal},
		{name: "net-black-hole", code: "net/timeout", run: resolving(zone{proxyHost: {holeAddress}})},
		{name: "net-refused-here", code: "net/refused", run: resolving(zone{proxyHost: {ownAddress}})},
		{name: "net-ipv6-only-no-route", code: "net/unreachable", run: resolving(zone{proxyHost: {noRoute6}})},
		{name: "net-no-route", code: "net/unreachable", also: codes("net/dns", "net/sandboxed"), run: resolving(zone{proxyHost: {"198.41.0.4"}})},
		{name: "net-tls-silent", code: "net/tls-timeout", also: codes("net/slow"), run: ownServer(func(c net.Conn) { untilClosed(c) })},
		{name: "net-reset", code: "net/reset", run: ownServer(resetHard)},
		{name: "net-sumdb-black-hole", code: "sum/sumdb-unreachable", also: codes("net/timeout"), run: sumdbBlackHole},
		{name: "net-http-proxy-black-hole", code: "net/http-proxy", also: codes("net/timeout"), run: httpProxyBlackHole},
		{name: "net-http-proxy-unknown-name", code: "net/http-proxy", also: codes("net/dns"), run: httpProxyUnknown},
		{name: "net-git-black-hole", code: "net/timeout", needs: []string{"git"}, run: gitBlackHole},
		{name: "net-ssh-black-hole", code: "net/timeout", needs: []string{"git", "ssh"}, run: sshBlackHole},
		{name: "net-vanity-nxdomain", code: "net/dns", run: vanityUnknown},
		{name: "healthy-ipv6-without-route", run: servedAt(noRoute6, ownAddress)},
		{name: "healthy-one-address-refuses", run: oneAddressRefuses},
	}
	for i := range list {
		list[i].own, list[i].tool = true, "go"
		list[i].needs = append(list[i].needs, "root", "ip")
	}
	return list
}

// isolate gives this goroutine, what it listens on and what it starts a network of
// its own and an own /etc/resolv.conf. Its thread ends with it and takes the network
// along.
// It returns the file that stands at /etc/resolv.conf.
func isolate(t testing.TB) (resolvConf string) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: nothing else may run here
	if err := syscall.Unshare(syscall.CLONE_NEWNET | syscall.CLONE_NEWNS); err != nil {
		t.Skipf("this machine does not allow network namespaces: %v", err)
	}
	fail := func(doing string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
	}
	fail("keeping mounts to this thread", syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	fail("writing resolv.conf", os.WriteFile(conf, []byte("nameserver 127.0.0.1\n"), 0o644))
	fail("putting resolv.conf in place", syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""))
	// Nobody at the other end of the pair takes what is sent to the hole's address.
	for _, line := range []string{
		"link set lo up", "link add hole type veth peer name far", "addr add " + holeNetwork + " dev hole", "link set hole up", "link set far up",
		"neigh add " + holeAddress + " lladdr 02:00:00:00:00:99 dev hole nud permanent",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", line, err, out)
		}
	}
	return conf
}

// zone is what a resolver knows: names to addresses.
type zone map[string][]string

// resolver answers on port 53 with what answer makes of a question; nil says nothing.
func (l *Lab) resolver(answer func(dnsmessage.Message) *dnsmessage.Message) {
	pc, err := net.ListenPacket("udp", resolverPort)
	l.check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 1500); ; {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buf[:n]) != nil || len(query.Questions) == 0 {
				continue
			}
			reply := answer(query)
			if reply == nil {
				continue
			}
			if packed, err := reply.Pack(); err == nil {
				_, _ = pc.WriteTo(packed, from)
			}
		}
	}()
	l.T.Cleanup(func() { _ = pc.Close(); <-done })
}

// reply answers a query with a code and the addresses of its kind.
func reply(query dnsmessage.Message, code dnsmessage.RCode, addrs ...string) *dnsmessage.Message {
	q := query.Questions[0]
	m := &dnsmessage.Message{Questions: query.Questions[:1], Header: dnsmessage.Header{
		ID: query.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: code,
	}}
	for _, s := range addrs {
		addr := netip.MustParseAddr(s)
		head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
		switch {
		case q.Type == dnsmessage.TypeA && addr.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && addr.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m
}

func (l *Lab) knows(z zone) {
	l.direct()
	l.resolver(func(q dnsmessage.Message) *dnsmessage.Message {
		addrs, ok := z[strings.ToLower(strings.TrimSuffix(q.Questions[0].Name.String(), "."))]
		if !ok {
			return reply(q, dnsmessage.RCodeNameError)
		}
		return reply(q, dnsmessage.RCodeSuccess, addrs...)
	})
}

func resolving(z zone) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.knows(z)
		return download(ctx, l)
	}
}

func answering(code dnsmessage.RCode) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.direct()
		l.resolver(func(q dnsmessage.Message) *dnsmessage.Message { return reply(q, code) })
		return download(ctx, l)
	}
}

func noResolver(ctx context.Context, l *Lab) string {
	l.direct()
	return download(ctx, l)
}

func silentResolver(ctx context.Context, l *Lab) string {
	l.direct()
	l.resolver(func(dnsmessage.Message) *dnsmessage.Message { return nil })
	return download(ctx, l)
}

// vanishedResolver asks a resolver behind the hole.
func vanishedResolver(ctx context.Context, l *Lab) string {
	l.direct()
	l.check(os.WriteFile(l.resolvConf, []byte("nameserver "+holeAddress+"\n"), 0o644))
	return download(ctx, l)
}

// at serves TLS at an address and port of this network.
func (l *Lab) at(addr string, cfg *tls.Config, h http.Handler) {
	ln, err := net.Listen("tcp", addr)
	l.check(err)
	if cfg != nil {
		ln = tls.NewListener(ln, cfg)
	}
	serve(l.T, ln, h)
}

// captivePortal leads every name to a sign-in page.
func captivePortal(ctx context.Context, l *Lab) string {
	l.direct()
	l.resolver(func(q dnsmessage.Message) *dnsmessage.Message { return reply(q, dnsmessage.RCodeSuccess, ownAddress) })
	portal := newAuthority(l.T, "Hotel WiFi")
	l.at(ownAddress+":443", certs(portal.leaf(leaf{names: []string{"portal.hotel.example"}})), http.HandlerFunc(page))
	l.at(ownAddress+":80", nil, redirect("https://portal.hotel.example/login"))
	return download(ctx, l)
}

func ownServer(handle func(net.Conn)) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		ln, err := net.Listen("tcp", ownAddress+":443")
		l.check(err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); handle(c) }()
			}
		}()
		l.T.Cleanup(func() { _ = ln.Close(); <-done })
		return resolving(zone{proxyHost: {ownAddress}})(ctx, l)
	}
}

// resetHard reads the hello and answers with an RST.
func resetHard(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// servedAt serves the usual proxy at this network's own address, under a name with
// all the addresses.
func servedAt(addrs ...string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.at(ownAddress+":443", l.oneCert(proxyHost), goproxy(l.T, widgets()...))
		return resolving(zone{proxyHost: addrs})(ctx, l)
	}
}

// oneAddressRefuses has a second address on which nobody listens.
func oneAddressRefuses(ctx context.Context, l *Lab) string {
	l.Setup(ctx, l.Work, "ip", "addr", "add", ownNetwork+"2/24", "dev", "hole")
	return servedAt(ownNetwork+"2", ownAddress)(ctx, l)
}

// sumdbBlackHole has a module proxy that works and a checksum database that does not
// answer.
func sumdbBlackHole(ctx context.Context, l *Lab) string {
	_, verifier := newKeys(l, "k")
	l.Set("GOSUMDB", verifier)
	l.at(ownAddress+":443", l.oneCert(proxyHost), goproxy(l.T, widgets()...))
	return resolving(zone{proxyHost: {ownAddress}, sumHost: {holeAddress}})(ctx, l)
}

func httpProxyBlackHole(ctx context.Context, l *Lab) string {
	l.knows(zone{proxyHost: {holeAddress}, "proxy.corp.example": {holeAddress}})
	l.Set("HTTPS_PROXY", "http://proxy.corp.example:3128")
	return download(ctx, l)
}

func httpProxyUnknown(ctx context.Context, l *Lab) string {
	l.knows(zone{})
	l.Set("HTTPS_PROXY", "http://proxy.corp.example:3128")
	return download(ctx, l)
}

func gitBlackHole(ctx context.Context, l *Lab) string {
	l.knows(zone{"github.com": {holeAddress}})
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

// sshBlackHole is a network that lets 443 through and drops port 22.
func sshBlackHole(ctx context.Context, l *Lab) string {
	l.sshServer(knownHost)
	l.sshTo(holeAddress + ":22")
	l.knows(zone{"github.com": {holeAddress}})
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

func vanityUnknown(ctx context.Context, l *Lab) string {
	l.knows(zone{})
	return goDirect(ctx, l, "go.example.com/widget@v1.0.0")
}
