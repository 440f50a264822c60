//go:build unix

package faultlab

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// netScenarios are faults below HTTP.
func netScenarios() []Scenario {
	return []Scenario{
		{Name: "go-dns", Code: "net/dns", Tool: "go", Example: true, Run: goDNS},
		{Name: "go-dns-no-network", Code: "net/sandboxed", Also: codes("net/dns", "net/unreachable"), Tool: "go", Needs: []string{"unshare"}, Run: goNoNetwork},
		{Name: "go-unreachable", Code: "net/unreachable", Tool: "go", Needs: []string{"unshare"}, Example: true, Run: goUnreachable},
		{Name: "go-refused", Code: "net/refused", Tool: "go", Example: true, Run: goRefused},
		{Name: "go-reset", Code: "net/reset", Tool: "go", Example: true, Run: goRaw(resetAfterHello)},
		{Name: "go-eof", Code: "net/reset", Tool: "go", Run: goRaw(hangUp)},
		{Name: "go-dial-timeout", Code: "net/timeout", Tool: "go", Example: true, Run: goDialTimeout},
		{Name: "go-tls-timeout", Code: "net/tls-timeout", Tool: "go", Example: true, Run: goRaw(silent)},
		{Name: "go-http-proxy-refused", Code: "net/http-proxy", Tool: "go", Example: true, Run: goHTTPProxyRefused},
		{Name: "go-http-proxy-407", Code: "net/http-proxy", Tool: "go", Run: goHTTPProxyAnswers(407)},
		{Name: "go-http-proxy-403", Code: "net/http-proxy", Also: codes("proxy/forbidden"), Tool: "go", Run: goHTTPProxyAnswers(403)},
		{Name: "go-intercepted-vanity", Code: "net/intercepted", Also: codes("module/vanity"), Tool: "go", Run: goInterceptedVanity},
		{Name: "git-slow", Code: "net/slow", Also: codes("net/timeout"), Tool: "git", Example: true, Run: gitSlow},
		{Name: "git-dns", Code: "net/dns", Tool: "git", Run: gitDNS},
		{Name: "git-refused", Code: "net/refused", Tool: "git", Run: gitRefused},
		{Name: "git-http-proxy-refused", Code: "net/http-proxy", Also: codes("net/refused"), Tool: "git", Run: gitHTTPProxyRefused},
	}
}

// unresolvable is a host name whose first label is longer than DNS allows: every
// resolver refuses it before a packet is sent, so it needs no resolv.conf and
// fails in the same way on every machine. The lab shows it as name.
func (l *Lab) unresolvable(name string) string {
	host := strings.Repeat("x", 64) + ".invalid"
	l.shown = append(l.shown, alias{addr: host, name: name})
	return host
}

func goDNS(ctx context.Context, l *Lab) string {
	l.direct()
	l.Set("GOPROXY", "https://"+l.unresolvable("goproxy.example.org"))
	return download(ctx, l)
}

// withoutNetwork runs the command in a network namespace that holds nothing,
// not even loopback: as build sandboxes do, and no packet can leave.
func (l *Lab) withoutNetwork(ctx context.Context, args ...string) string {
	l.direct()
	if _, code := l.exec(ctx, l.Work, "unshare", "--user", "--map-root-user", "--net", "true"); code != 0 {
		l.T.Skip("this machine does not allow network namespaces")
	}
	return l.Run(ctx, "unshare", append([]string{"--user", "--map-root-user", "--net"}, args...)...)
}

func goNoNetwork(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "https://goproxy.example.org", "GODEBUG", "netdns=go")
	return l.withoutNetwork(ctx, "go", "mod", "download", "example.com/widget@v1.0.0")
}

func goUnreachable(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "https://192.0.2.10")
	return l.withoutNetwork(ctx, "go", "mod", "download", "example.com/widget@v1.0.0")
}

func goRefused(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "https://"+l.Closed("goproxy.example.org", "443"))
	return download(ctx, l)
}

func goRaw(server func(*buffered)) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.Raw("goproxy.example.org", server)
		return download(ctx, l)
	}
}

// resetAfterHello reads first: otherwise chance decides whether the client's
// write or its read finds out.
func resetAfterHello(c *buffered) {
	_, _ = c.Read(make([]byte, 4096))
	c.reset()
}

func goDialTimeout(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "https://"+l.Crowded("goproxy.example.org", "443"))
	return download(ctx, l)
}

// hangUp reads the client's hello and closes in order.
func hangUp(c *buffered) {
	_, _ = c.Read(make([]byte, 4096))
	_ = c.Close()
}

// silent reads for ever and says nothing.
func silent(c *buffered) {
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

func goHTTPProxyRefused(ctx context.Context, l *Lab) string {
	l.Set("HTTPS_PROXY", "http://"+l.Closed("proxy.corp.example", "3128"), "https_proxy", "")
	return download(ctx, l)
}

func goHTTPProxyAnswers(code int) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		addr := l.Plain("proxy.corp.example", status(code, http.StatusText(code)+"\n"))
		l.Set("HTTPS_PROXY", "http://"+addr, "https_proxy", "")
		return download(ctx, l)
	}
}

// goInterceptedVanity sends the question for go-import tags to a sign-in page.
func goInterceptedVanity(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "direct")
	l.HTTPS("go.example.com", redirect("https://portal.corp.example/login"))
	l.HTTPS("portal.corp.example", http.HandlerFunc(page))
	return l.Run(ctx, "go", "mod", "download", "go.example.com/widget@v1.0.0")
}

func gitSlow(ctx context.Context, l *Lab) string {
	l.HTTPS("github.com", http.HandlerFunc(stall))
	return l.Run(ctx, "git", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=1", "ls-remote", "https://github.com/acme/widget")
}

func gitDNS(ctx context.Context, l *Lab) string {
	l.direct()
	return l.Run(ctx, "git", "ls-remote", "https://"+l.unresolvable("git.example.org")+"/acme/widget")
}

func gitRefused(ctx context.Context, l *Lab) string {
	return l.Run(ctx, "git", "ls-remote", "https://"+l.Closed("git.example.org", "443")+"/acme/widget")
}

func gitHTTPProxyRefused(ctx context.Context, l *Lab) string {
	proxy := "http://" + l.Closed("proxy.corp.example", "3128")
	l.Set("https_proxy", proxy, "HTTPS_PROXY", proxy)
	return l.Run(ctx, "git", "ls-remote", "https://github.com/acme/widget")
}
