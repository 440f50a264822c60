//go:build unix

package faultlab

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is the only network the tools see: an HTTP proxy on loopback that
// answers CONNECT for the names a scenario gave a server, and refuses others.
type world struct {
	ln net.Listener

	mu     sync.Mutex
	hosts  map[string]func(net.Conn)
	strays []string
	// heard is told of every request to the HTTP proxy itself, before it is answered.
	heard func(*http.Request)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{ln: listen(t), hosts: map[string]func(net.Conn){}}
	serve(t, w.ln, http.HandlerFunc(w.connect))
	return w
}

func (w *world) addr() string { return w.ln.Addr().String() }

// put gives the name a server, which owns each connection it is handed.
func (w *world) put(host string, server func(net.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[host] = server
}

func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.strays)
}

func (w *world) find(host string) func(net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	server := w.hosts[host]
	if server == nil {
		w.strays = append(w.strays, host)
	}
	return server
}

func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	if w.heard != nil {
		w.heard(r)
	}
	server := w.find(r.URL.Hostname())
	if server == nil || r.Method != http.MethodConnect {
		http.Error(rw, "not in this world", http.StatusBadGateway)
		return
	}
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	server(&buffered{Conn: conn, r: buf.Reader})
}

// buffered is a hijacked connection: the client may have sent its TLS hello
// together with CONNECT.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// reset closes with an RST in place of a FIN.
func (b *buffered) reset() {
	if tcp, ok := b.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = b.Close()
}

// HTTPS puts a TLS server with a good certificate at host.
func (l *Lab) HTTPS(host string, h http.Handler) {
	l.TLS(host, &tls.Config{Certificates: []tls.Certificate{l.ca.leaf(leaf{names: []string{host}})}}, h)
}

// TLS puts a server with the given TLS settings at host.
func (l *Lab) TLS(host string, cfg *tls.Config, h http.Handler) {
	ln := &inlet{conns: make(chan net.Conn), done: make(chan struct{}), at: l.world.ln.Addr()}
	serve(l.T, ln, h)
	l.world.put(host, func(c net.Conn) { ln.hand(tls.Server(c, cfg)) })
}

// Raw puts a server of bytes at host.
func (l *Lab) Raw(host string, server func(*buffered)) {
	l.world.put(host, func(c net.Conn) { server(c.(*buffered)) })
}

// inlet is a listener whose connections are handed to it.
type inlet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	at    net.Addr
}

func (i *inlet) hand(c net.Conn) {
	select {
	case i.conns <- c:
	case <-i.done:
		_ = c.Close()
	}
}

func (i *inlet) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.done:
		return nil, net.ErrClosed
	}
}

func (i *inlet) Close() error   { i.once.Do(func() { close(i.done) }); return nil }
func (i *inlet) Addr() net.Addr { return i.at }

// listen opens a port of this machine only.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("opening a loopback port: %v", err)
	}
	return ln
}

// serve runs an HTTP server until the test ends.
func serve(t testing.TB, ln net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

// Plain starts a server without TLS on an own port, shown as name, and returns
// its host:port.
func (l *Lab) Plain(name string, h http.Handler) string {
	ln := listen(l.T)
	serve(l.T, ln, h)
	return l.show(ln, name, "443")
}

// Closed returns a host:port that nobody listens on, shown as name and port.
func (l *Lab) Closed(name, port string) string {
	ln := listen(l.T)
	l.check(ln.Close())
	return l.show(ln, name, port)
}

// Accept starts a server of bytes on an own port, shown as name and port. The
// test's end closes the listener; handle must not outlive its connection.
func (l *Lab) Accept(name, port string, handle func(net.Conn)) string {
	ln := listen(l.T)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); handle(c) })
		}
	})
	l.T.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return l.show(ln, name, port)
}

// Crowded returns a host:port whose queue of new connections is full: the
// kernel drops whatever else knocks, as a firewall does.
func (l *Lab) Crowded(name, port string) string {
	l.T.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	l.check(err)
	l.T.Cleanup(func() { _ = syscall.Close(fd) })
	l.check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	l.check(syscall.Listen(fd, 0))
	at, err := syscall.Getsockname(fd)
	l.check(err)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*syscall.SockaddrInet4).Port))
	// Systems differ in how many a queue of 0 takes.
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return l.showAs(addr, name, port)
		}
		l.T.Cleanup(func() { _ = c.Close() })
	}
	l.T.Skip("this machine's kernel does not drop connections of a full queue")
	return ""
}

func (l *Lab) show(ln net.Listener, name, port string) string {
	return l.showAs(ln.Addr().String(), name, port)
}

func (l *Lab) showAs(addr, name, port string) string {
	l.shown = append(l.shown, alias{addr: addr, name: name, port: port})
	return addr
}
