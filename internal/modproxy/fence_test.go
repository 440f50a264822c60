package modproxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modstore"
)

// directProxy asks version control systems only; every name looks public to its check,
// as one does whose address changes between the check and the connection.
func directProxy(t *testing.T, private ...string) *Proxy {
	t.Helper()
	store, err := modstore.Open(t.Context(), modstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	home := t.TempDir()
	goenvtest.Quiet(t, home)
	p, err := New(context.Background(), Options{
		Store: store, Lists: []List{{Upstreams: []Upstream{{Name: "direct"}}}}, Private: private, Log: slog.New(slog.DiscardHandler),
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
		},
		Env: []string{"HOME=" + home, "GOENV=off", "GOCACHE=" + home + "/cache", "GOPATH=" + home + "/go", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("no " + name)
		}
	}
}

// TestDirectIsHeldAtTheConnection: the real git is led to addresses inside, after the
// check saw a public one.
func TestDirectIsHeldAtTheConnection(t *testing.T) {
	t.Parallel()
	tools(t, "go", "git")
	p := directProxy(t)
	for _, host := range []string{"10.0.0.8", "169.254.169.254", "127.0.0.1"} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+host+"/team/tool.git/@v/list", http.NoBody))
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), host+" has a private address") {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
	if n := len(p.fence.fetches); n != 0 {
		t.Errorf("%d fetches were not taken off", n)
	}
}

// TestFence asks the fence itself.
func TestFence(t *testing.T) {
	t.Parallel()
	echo, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(echo.Addr().String())
	a := ask{kind: list, module: "git.example.com/x"}
	ask := func(p *Proxy, request string) string {
		ctx, err := p.behindFence(t.Context(), &Upstream{Name: "direct"}, a)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := ctx.Value(fenceKey{}).(*fenced)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", one.f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("keepwell", one.password)
		_, _ = io.WriteString(conn, strings.ReplaceAll(request, "LOGIN", "Proxy-Authorization: "+r.Header.Get("Authorization"))+"\r\n\r\nhello\n")
		in := bufio.NewReader(conn)
		line, _ := in.ReadString('\n')
		_, _ = in.ReadString('\n')
		if word, _ := in.ReadString('\n'); strings.Contains(line, " 200 ") {
			line += word
		}
		return line
	}
	p, open := directProxy(t), directProxy(t, "127.0.0.1")
	for _, x := range []struct {
		p             *Proxy
		request, want string
	}{
		{p, "CONNECT 127.0.0.1:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "CONNECT localhost:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "CONNECT [::1]:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "CONNECT [::ffff:10.0.0.1]:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "CONNECT 0.0.0.0:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{p, "GET http://127.0.0.1:" + port + "/ HTTP/1.1\r\nHost: x\r\nLOGIN", " 403 "},
		{open, "CONNECT 127.0.0.1:" + port + " HTTP/1.1\r\nHost: x", " 407 "},
		{open, "CONNECT 127.0.0.1:" + port + " HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic a2VlcHdlbGw6", " 407 "},
		{open, "CONNECT 127.0.0.1:" + port + " HTTP/1.1\r\nHost: x\r\nLOGIN", "hello"},
	} {
		if got := ask(x.p, x.request); !strings.Contains(got, x.want) {
			t.Errorf("%q: %q", x.request, got)
		}
	}
}

// TestGoAsksNobodyByPlainHTTP: a go-import page may name a server of modules on this
// machine, which go would ask without any proxy.
func TestGoAsksNobodyByPlainHTTP(t *testing.T) {
	t.Parallel()
	tools(t, "go")
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	p := directProxy(t)
	ctx, err := p.behindFence(t.Context(), &Upstream{Name: "direct"}, ask{module: "example.com/x"})
	if err != nil {
		t.Fatal(err)
	}
	run := func(env ...string) {
		cmd := exec.CommandContext(ctx, "go", "list", "-m", "-versions", "example.com/x")
		cmd.Dir = t.TempDir()
		cmd.Env = append(append(os.Environ(), p.Env...), append(env, "GOPROXY="+inside.URL, "GOSUMDB=off", "GOFLAGS=", "GO111MODULE=on", "GOTOOLCHAIN=local")...)
		_ = cmd.Run() // what it makes of the answer is of no matter
	}
	run(fenceEnv(ctx, nil)...)
	if n := asked.Load(); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	run()
	if asked.Load() == 0 {
		t.Error("without the fence nobody asked either: this test shows nothing")
	}
}
