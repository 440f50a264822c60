//go:build unix

package faultlab

import (
	"context"
	"regexp"
	"strings"
)

// appHead is the program whose own failures the table below lists. Its servers
// are on loopback, though its requests name real-looking hosts: dial is told
// where to go, and no name is resolved.
const appHead = `package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

const api = "https://api.example.org/v1/orders"

var _ = []any{zip.NewReader, bytes.NewReader, gzip.NewReader, context.Background, tls.Dial, json.Unmarshal, errors.New, flag.Parse, io.EOF, fs.ErrExist, slog.Error, httptest.NewServer, url.Parse, exec.Command, debug.Stack, strconv.Atoi, syscall.EACCES, time.Now}

func main() {
	if len(os.Args) > 2 { // as services log whose supervisor adds the time
		log.SetFlags(0)
	}
	cases[os.Args[1]]()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func listen(serve func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	return ln.Addr().String()
}

func closed() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ln.Close()
	return ln.Addr().String()
}

// client sends every request to addr, whatever its URL says.
func client(addr string, cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}}
}

// failing fails every request with err.
func failing(err error) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}}
}

func get(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	return err
}

func refused() error { return get(client(closed(), nil), api) }

func dns(text string) error {
	return get(failing(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: text, Name: "api.example.org", Server: "10.0.0.2:53"}}), api)
}

func dial(errno syscall.Errno) error {
	return get(failing(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 10), Port: 443}, Err: os.NewSyscallError("connect", errno)}), api)
}

// secure talks to a TLS server with the given settings on both sides.
func secure(client func(*httptest.Server) *tls.Config, server *tls.Config) error {
	log.SetOutput(io.Discard) // the server's own words
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = server
	s.StartTLS()
	defer log.SetOutput(os.Stderr)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: client(s), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}}}
	return get(c, api)
}

func trusting(s *httptest.Server) *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
}

// answers is a server that says the same to everybody.
func answers(status int, body string) *http.Client {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	return client(s.Listener.Addr().String(), nil)
}

func status(code int, format string) {
	u := "http://api.example.org/v1/orders"
	resp, err := answers(code, http.StatusText(code)).Get(u)
	must(err)
	log.Fatalf(format, u, resp.Status)
}

func raw(answer string) *http.Client {
	return client(listen(func(c net.Conn) { io.WriteString(c, answer); c.Close() }), nil)
}

var cases = map[string]func(){
`

// appPrograms are the bodies of the program's cases.
var appPrograms = []snippet{
	{"refused", `must(refused())`},
	{"refuseddial", `_, err := net.Dial("tcp", closed()); log.Fatalf("connecting to the database: %v", err)`},
	{"refusedslog", `slog.Error("upstream failed", "err", refused())`},
	{"refusedjson", `slog.New(slog.NewJSONHandler(os.Stderr, nil)).Error("upstream failed", "error", refused().Error(), "version", "v1.2.0")`},
	{"refusedpanic", `panic(refused())`},
	{"refusedmodule", `log.Print("shop@v1.4.2 starting"); must(refused())`},
	{"refusedmoduleline", `log.Printf("example.org/shop@v1.4.2: %v", refused())`},
	{"refusedwarn", `fmt.Fprintln(os.Stderr, "WARNING: "+refused().Error())`},
	{"refusederror", `fmt.Fprintln(os.Stderr, "Error: "+refused().Error())`},
	{"refusedfatal", `fmt.Fprintln(os.Stderr, "fatal: "+refused().Error())`},
	{"refusederrline", `fmt.Fprintln(os.Stderr, "error: "+refused().Error())`},
	{"refusedretry", `for i := range 3 { log.Printf("attempt %d: %v", i+1, refused()) }; log.Fatal("giving up")`},
	{"refusedpg", `log.Fatal("failed to connect to host=db.example.org user=shop database=shop: dial error (dial tcp 192.0.2.10:5432: connect: connection refused)")`},
	{"refusedredis", `log.Printf("redis: connection pool: failed to dial after 5 attempts: dial tcp %s: connect: connection refused", "192.0.2.10:6379")`},
	{"refusedgrpc", `log.Fatal("rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp 192.0.2.10:443: connect: connection refused\"")`},
	{"refusedregistry", `must(get(client(closed(), nil), "https://registry.example.org/v2/shop/manifests/latest"))`},
	{"refusedwebhook", `log.Printf("module payments: webhook: %v", refused())`},
	{"refusedshortfile", `log.SetFlags(log.Lshortfile | log.LstdFlags); must(refused())`},
	{"refusedpackagelog", `log.SetFlags(0); log.Fatalf("example.org/shop/server: %v", refused())`},
	{"nohost", `must(dns("no such host"))`},
	{"nohostslog", `slog.Error("cannot reach backend", "err", dns("no such host"))`},
	{"nohostpanic", `panic(dns("no such host"))`},
	{"misbehaving", `must(dns("server misbehaving"))`},
	{"resolution", `must(dns("Temporary failure in name resolution"))`},
	{"dnstimeout", `must(dns("i/o timeout"))`},
	{"dnsbare", `must(&net.DNSError{Err: "no such host", Name: "db.internal", IsNotFound: true})`},
	{"unreachable", `must(dial(syscall.ENETUNREACH))`},
	{"noroute", `must(dial(syscall.EHOSTUNREACH))`},
	{"timedout", `must(dial(syscall.ETIMEDOUT))`},
	{"noaddress", `must(dial(syscall.EADDRNOTAVAIL))`},
	{"iotimeout", `_, err := (&net.Dialer{Timeout: 1}).Dial("tcp", closed()); must(err)`},
	{"clienttimeout", `c := client(listen(func(net.Conn) {}), nil); c.Timeout = 5 * time.Millisecond; must(get(c, "http://api.example.org/v1/orders"))`},
	{"deadline", `ctx, cancel := context.WithTimeout(context.Background(), 1); defer cancel(); r, _ := http.NewRequestWithContext(ctx, "GET", api, nil); _, err := http.DefaultClient.Do(r); must(err)`},
	{"canceled", `ctx, cancel := context.WithCancel(context.Background()); cancel(); r, _ := http.NewRequestWithContext(ctx, "GET", api, nil); _, err := http.DefaultClient.Do(r); must(err)`},
	{"reset", `must(get(client(listen(func(c net.Conn) { c.Read(make([]byte, 9)); c.(*net.TCPConn).SetLinger(0); c.Close() }), nil), "http://api.example.org/v1/orders"))`},
	{"eof", `must(get(raw(""), "http://api.example.org/v1/orders"))`},
	{"shortbody", `must(get(raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"), "http://api.example.org/v1/orders"))`},
	{"malformed", `must(get(raw("SSH-2.0-OpenSSH_9.6\r\n"), "http://api.example.org/v1/orders"))`},
	{"unknownauthority", `must(secure(func(*httptest.Server) *tls.Config { return &tls.Config{ServerName: "example.com"} }, nil))`},
	{"unknownauthorityslog", `slog.Error("sync failed", "module", "payments", "err", secure(func(*httptest.Server) *tls.Config { return &tls.Config{ServerName: "example.com"} }, nil))`},
	{"certname", `must(secure(trusting, nil))`},
	{"certexpired", `must(secure(func(s *httptest.Server) *tls.Config { c := trusting(s); c.ServerName = "example.com"; c.Time = func() time.Time { return time.Now().AddDate(900, 0, 0) }; return c }, nil))`},
	{"certnotyet", `must(secure(func(s *httptest.Server) *tls.Config { c := trusting(s); c.ServerName = "example.com"; c.Time = func() time.Time { return time.Unix(-9e8, 0) }; return c }, nil))`},
	{"tlsversion", `must(secure(func(s *httptest.Server) *tls.Config { c := trusting(s); c.ServerName = "example.com"; c.MaxVersion = tls.VersionTLS12; return c }, &tls.Config{MinVersion: tls.VersionTLS13}))`},
	{"tlsclientcert", `must(secure(func(s *httptest.Server) *tls.Config { c := trusting(s); c.ServerName = "example.com"; return c }, &tls.Config{ClientAuth: tls.RequireAnyClientCert}))`},
	{"tlsserverlog", `s := httptest.NewTLSServer(nil); c, _ := net.Dial("tcp", s.Listener.Addr().String()); io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); io.Copy(io.Discard, c); s.Close()`},
	{"tlsplain", `must(get(answers(200, ""), api))`},
	{"tlsrecord", `_, err := tls.Dial("tcp", listen(func(c net.Conn) { io.WriteString(c, "220 mail.example.org ESMTP\r\n"); c.Close() }), nil); must(err)`},
	{"proxyconnect", `p, _ := url.Parse("http://" + closed()); must(get(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(p)}}, api))`},
	{"proxy407", `s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(407) })); p, _ := url.Parse(s.URL); must(get(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(p)}}, api))`},
	{"socks", `p, _ := url.Parse("socks5://" + closed()); must(get(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(p)}}, api))`},
	{"redirects", `s := httptest.NewServer(http.RedirectHandler("/v1/orders", 302)); must(get(client(s.Listener.Addr().String(), nil), "http://api.example.org/v1/orders"))`},
	{"scheme", `must(get(http.DefaultClient, "htps://api.example.org/v1/orders"))`},
	{"noscheme", `must(get(http.DefaultClient, "api.example.org/v1/orders"))`},
	{"port", `_, err := url.Parse("https://api.example.org:port/v1"); must(err)`},
	{"escape", `_, err := url.Parse("https://api.example.org/%zz"); must(err)`},
	{"hostspace", `_, err := url.Parse("https://api example org/v1"); must(err)`},
	{"status404", `status(404, "GET %s: %s")`},
	{"status404reading", `status(404, "reading %s: %s")`},
	{"status404shop", `status(404, "shop@v1.4.2: GET %s: %s")`},
	{"status410", `status(410, "fetching %s: unexpected status %s")`},
	{"status401", `status(401, "reading %s: %s")`},
	{"status403", `status(403, "bad response from %s: %s")`},
	{"status429", `status(429, "unexpected status (%s): %s")`},
	{"status500", `status(500, "reading %s: %s")`},
	{"status502", `status(502, "request to %s failed: %s")`},
	{"status503json", `slog.New(slog.NewJSONHandler(os.Stderr, nil)).Error("bad response from https://api.example.org/v1/orders: 503 Service Unavailable")`},
	{"accesslog", `for _, s := range []int{404, 410, 403, 502} { log.Printf("GET /v1/orders/%d %d %s 1.2ms", s, s, http.StatusText(s)) }`},
	{"jsonhtml", `resp, err := answers(200, "<html>").Get("http://api.example.org"); must(err); var v any; must(json.NewDecoder(resp.Body).Decode(&v))`},
	{"jsonend", "var v any; log.Fatalf(\"config.json: %v\", json.Unmarshal([]byte(\"{\"), &v))"},
	{"jsonmodule", `var v any; log.Fatalf("shop@v1.4.2: decoding settings: %v", json.Unmarshal([]byte("not json"), &v))`},
	{"jsontype", `var v int; must(json.Unmarshal([]byte("\"v1.2.0\""), &v))`},
	{"zip", `_, err := zip.NewReader(bytes.NewReader([]byte("<html>")), 6); log.Fatalf("opening backup.zip: %v", err)`},
	{"gzip", `_, err := gzip.NewReader(bytes.NewReader([]byte("<html>"))); log.Fatalf("opening backup.tar.gz: %v", err)`},
	{"checksum", `log.Fatalf("verifying backup.tar.gz: checksum mismatch\n\texpected: %s\n\tgot:      %s", "sha256:0123", "sha256:4567")`},
	{"checksummodule", `log.Fatalf("plugin widget@v1.2.0: checksum mismatch")`},
	{"signature", `log.Fatal("update: invalid signature for key release-2026")`},
	{"nofile", `_, err := os.Open("config.yaml"); must(err)`},
	{"notdir", `_, err := os.Open(os.Args[0] + "/config"); must(err)`},
	{"permission", `must(os.WriteFile("/proc/version", nil, 0))`},
	{"permissioncache", `must(&fs.PathError{Op: "open", Path: "/home/user/.cache/shop/index.db", Err: syscall.EACCES})`},
	{"permissiongo", `must(&fs.PathError{Op: "mkdir", Path: "/srv/go/shop/uploads", Err: syscall.EACCES})`},
	{"readonlyfs", `must(&fs.PathError{Op: "open", Path: "/etc/shop/config.json", Err: syscall.EROFS})`},
	{"diskfull", `must(os.WriteFile("/dev/full", []byte("order"), 0))`},
	{"diskfullslog", `slog.Error("cannot store upload", "err", &fs.PathError{Op: "write", Path: "/srv/shop/upload-17", Err: syscall.ENOSPC})`},
	{"manyfiles", `must(&fs.PathError{Op: "open", Path: "/var/lib/shop/orders.db", Err: syscall.EMFILE})`},
	{"exit128", `err := exec.Command("sh", "-c", "exit 128").Run(); log.Fatalf("hook: %v", err)`},
	{"childkilled", `err := exec.Command("sh", "-c", "kill -9 $$").Run(); log.Fatalf("worker: %v", err)`},
	{"childkilledbare", `fmt.Fprintln(os.Stderr, exec.Command("sh", "-c", "kill -9 $$").Run())`},
	{"childmissing", `log.Fatalf("thumbnails: %v", exec.Command("ffmpeg-that-is-nowhere").Run())`},
	{"childgit", `out, err := exec.Command("git", "nosuchcommand").CombinedOutput(); log.Fatalf("%s%v", out, err)`},
	{"addrinuse", `_, err := net.Listen("tcp", listen(func(net.Conn) {})); must(err)`},
	{"serverclosed", `must(http.ErrServerClosed)`},
	{"closedconn", `ln, _ := net.Listen("tcp", "127.0.0.1:0"); ln.Close(); _, err := ln.Accept(); must(err)`},
	{"brokenpipe", `must(&net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)})`},
	{"flag", `flag.CommandLine.Init("shop", flag.ContinueOnError); flag.String("goproxy", "", "where modules come from"); flag.CommandLine.Parse([]string{"-proxy"})`},
	{"atoi", `_, err := strconv.Atoi("v1.2.0"); must(err)`},
	{"envmissing", `log.Fatal("environment variable DATABASE_URL is not set")`},
	{"dbpassword", `log.Fatal("pq: password authentication failed for user \"shop\"")`},
	{"token", `log.Fatal("oauth2: cannot fetch token: 401 Unauthorized\nResponse: {\"error\":\"invalid_token\"}")`},
	{"ratelimit", `log.Fatal("api.example.org: rate limit exceeded, retry in 40s")`},
	{"revision", `log.Fatal("document 17: unknown revision 42")`},
	{"migration", `log.Fatal("migrations: no matching versions; have v1.2.0, want v1.3.0")`},
	{"plugin", `log.Fatal("plugin registry: widget@v2: not found")`},
	{"versionsmatch", `log.Fatal("schema requires go-client >= 1.30 (running 1.29)")`},
	{"panicnil", `var p *struct{ Version string }; fmt.Println(p.Version)`},
	{"panicindex", `list := os.Args; fmt.Println(list[404])`},
	{"panicmap", `var m map[string]int; m["410 Gone"]++`},
	{"panicwrapped", `panic(fmt.Errorf("loading widget@v1.2.0: %w", io.ErrUnexpectedEOF))`},
	{"panicmodcache", `vendored()`},
	{"panicvendor", `inVendor()`},
	{"panicgoroutine", `go func() { panic("404 Not Found") }(); select {}`},
	{"deadlock", `<-make(chan int)`},
	{"mapwrites", `m := map[int]int{}; for range 8 { go func() { for i := 0; ; i++ { m[i%9]++ } }() }; select {}`},
	{"stackoverflow", `debug.SetMaxStack(1 << 16); var f func(int) int; f = func(n int) int { return f(n+1) + 1 }; fmt.Println(f(0))`},
	{"abort", `syscall.Kill(os.Getpid(), syscall.SIGABRT); select {}`},
	{"httppanic", `s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("dial tcp: lookup db: no such host") })); http.Get(s.URL)`},
	{"success", `log.Print("listening on :8080"); log.Print("loaded 410 modules, 0 mismatches"); log.Print("connected to db.example.org:5432")`},
	{"successbuild", `fmt.Println("verified 12 checksums\nproxy: ok\ncertificates: 3 valid, 0 expired")`},
}

// appTail holds functions whose traces lie in a module cache, as those of every
// real program do.
const appTail = `}

//line /home/user/go/pkg/mod/example.com/widget@v1.2.0/list.go:40
func vendored() {
	var list []int
	fmt.Println(list[len(os.Args)])
}

//line /src/shop/vendor/example.com/widget/list.go:40
func inVendor() {
	panic(errors.New("widget: unexpected status 404 Not Found"))
}
`

// logStamp is the time that the log package puts before a line.
var logStamp = regexp.MustCompile(`^\d{4}/\d\d/\d\d `)

func appNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	var b strings.Builder
	b.WriteString(appHead)
	for _, p := range appPrograms {
		b.WriteString("\t\"" + p.name + "\": func() { " + p.text + " },\n")
	}
	b.WriteString(appTail)
	l.Files("main.go", b.String())
	l.Setup(ctx, l.Work, "go", "build", "-o", "shop", ".")
	var out []negative
	for _, p := range appPrograms {
		text := l.Run(ctx, "./shop", p.name)
		out = append(out, negative{p.name, text})
		if logStamp.MatchString(text) {
			out = append(out, negative{p.name + "-plain", l.Run(ctx, "./shop", p.name, "plain")})
		}
	}
	return out
}
