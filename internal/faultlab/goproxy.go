//go:build unix

package faultlab

import (
	"context"
	"net/http"

	"github.com/keepwell/keepwell"
)

// proxyScenarios are answers of a module proxy that go cannot use.
func proxyScenarios() []Scenario {
	gitText := "not found: example.com/widget@v1.0.0: invalid version: git ls-remote -q --end-of-options origin in /tmp/gopath/pkg/mod/cache/vcs/5d1b6bd3a5a8f5a1c0c9a1b8a6f8b1f0c1b2a3d4e5f60718293a4b5c6d7e8f90: exit status 128:\n"
	return []Scenario{
		{
			Name: "go-proxy-404", Code: "proxy/not-found", Also: codes("module/missing-or-private"), Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(404, "not found: example.com/widget@v1.0.0: unknown version\n")}),
		},
		{
			Name: "go-proxy-410", Code: "proxy/not-found", Also: codes("module/missing-or-private"), Tool: "go",
			Run: proxyFault(fault{"", status(410, "gone\n")}),
		},
		{
			Name: "go-proxy-404-bare", Code: "proxy/not-found", Also: codes("module/missing-or-private"), Tool: "go",
			Run: proxyFault(fault{"", errorPage(404)}),
		},
		{
			Name: "go-proxy-403", Code: "proxy/forbidden", Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(403, "example.com/widget is blocked by policy SEC-12\n")}),
		},
		{
			Name: "go-proxy-403-page", Code: "proxy/forbidden", Tool: "go",
			Run: proxyFault(fault{"", errorPage(403)}),
		},
		{
			Name: "go-proxy-403-region", Code: "proxy/address-blocked", Also: codes("proxy/forbidden"), Tool: "go", Example: true,
			Run: goAddressBlocked,
		},
		{
			Name: "go-proxy-451", Code: "proxy/address-blocked", Also: codes("proxy/forbidden"), Tool: "go",
			Run: proxyFault(fault{"", status(451, "This content is not available in your region.\n")}),
		},
		{
			Name: "go-proxy-401", Code: "proxy/unauthorized", Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(401, "Authentication required\n")}),
		},
		{
			Name: "go-proxy-407-page", Code: "net/http-proxy", Tool: "go",
			Run: proxyFault(fault{"", errorPage(407)}), Also: codes("proxy/unauthorized"),
		},
		{
			Name: "go-proxy-429", Code: "proxy/rate-limited", Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(429, "rate limit exceeded, retry in 30 seconds\n")}),
		},
		{
			Name: "go-proxy-500", Code: "proxy/server-error", Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(500, "internal server error\n")}),
		},
		{
			Name: "go-proxy-502-page", Code: "proxy/server-error", Tool: "go",
			Run: proxyFault(fault{".zip", errorPage(502)}),
		},
		{
			Name: "go-proxy-503", Code: "proxy/server-error", Tool: "go",
			Run: proxyFault(fault{".mod", errorPage(503)}),
		},
		{
			Name: "go-proxy-504", Code: "proxy/server-error", Also: codes("proxy/upstream-failed", "net/timeout"), Tool: "go",
			Run: proxyFault(fault{"", errorPage(504)}),
		},
		{
			Name: "go-proxy-upstream-refused", Code: "proxy/upstream-failed", Also: codes("proxy/not-found"), Tool: "go", Example: true,
			Run: proxyFault(fault{"", status(404, gitText+"\tfatal: unable to access 'https://git.example.com/widget/': Failed to connect to git.example.com port 443: Connection refused\n")}),
		},
		{
			Name: "go-proxy-upstream-timeout", Code: "proxy/upstream-failed", Also: codes("proxy/not-found"), Tool: "go",
			Run: proxyFault(fault{"", status(404, "not found: fetch timed out\n")}),
		},
		{
			Name: "go-proxy-private", Code: "auth/goprivate-unset", Also: codes("module/missing-or-private", "proxy/not-found", "module/repo-gone"), Tool: "go",
			Run: proxyFault(fault{"", status(404, gitText+"\tfatal: could not read Username for 'https://git.example.com': terminal prompts disabled\nConfirm the import path was entered correctly.\nIf this is a private repository, see https://golang.org/doc/faq#git_https for additional information.\n")}),
		},
		{
			Name: "go-proxy-unknown-revision", Code: "version/unknown-revision", Also: codes("proxy/not-found", "version/no-match"), Tool: "go",
			Run: proxyFault(fault{"", status(404, "not found: example.com/widget@v1.0.0: invalid version: unknown revision v1.0.0\n")}),
		},
		{
			Name: "go-proxy-html-info", Code: "proxy/bad-response", Tool: "go",
			Run: proxyFault(fault{"", page}),
		},
		{
			Name: "go-proxy-html-mod", Code: "proxy/bad-response", Also: codes("local/cache-corrupt"), Tool: "go",
			Run: goHTMLMod,
		},
		{
			Name: "go-proxy-html-zip", Code: "proxy/bad-response", Tool: "go", Example: true,
			Run: proxyFault(fault{".zip", page}),
		},
		{
			Name: "go-proxy-short-zip", Code: "proxy/bad-response", Tool: "go",
			Run: proxyZip(func(zip []byte) http.HandlerFunc { return bytesOf("application/zip", zip[:len(zip)/2]) }),
		},
		{
			Name: "go-proxy-cut-zip", Code: "net/reset", Tool: "go",
			Run: proxyZip(cut),
		},
		{
			Name: "go-proxy-corrupt-zip", Code: "proxy/bad-response", Tool: "go",
			Run: proxyZip(func(zip []byte) http.HandlerFunc { return bytesOf("application/zip", damaged(zip, len(zip)-22)) }),
		},
		{
			Name: "go-proxy-corrupt-data", Code: "proxy/bad-response", Tool: "go",
			Run: proxyZip(func(zip []byte) http.HandlerFunc { return bytesOf("application/zip", damaged(zip, len(zip)/2)) }),
		},
		{
			// Go 1.17 stops reading ahead of the checksum.
			Name: "go-proxy-crc", Code: "proxy/bad-response", Tool: "go", Since: "1.18", Before: codes("proxy/bad-response", "none/other"),
			Run: goBadCRC,
		},
		{
			Name: "go-proxy-badinfo", Code: "proxy/bad-response", Tool: "go", Since: "1.13",
			Run: proxyFault(fault{".info", bytesOf("application/json", []byte(`{"Name":"v1.0.0"}`))}),
		},
		{
			Name: "go-proxy-empty-list", Code: "version/no-match", Also: codes("proxy/not-found"), Tool: "go",
			Run: goEmptyList,
		},
		{
			Name: "go-proxy-redirect-loop", Code: "proxy/misconfigured", Also: codes("proxy/bad-response"), Tool: "go", Since: "1.15",
			Run: goRedirectLoop,
		},
		{
			Name: "go-proxy-login-redirect", Code: "proxy/bad-response", Also: codes("net/intercepted"), Tool: "go",
			Run: goLoginRedirect,
		},
		{
			Name: "go-proxy-off", Code: "proxy/off", Tool: "go", Example: true,
			Run: withProxyValue("off"),
		},
		{
			Name: "go-proxy-no-scheme", Code: "proxy/misconfigured", Tool: "go", Example: true,
			Run: withProxyValue("goproxy,direct"),
		},
		{
			Name: "go-proxy-bad-scheme", Code: "proxy/misconfigured", Tool: "go",
			Run: withProxyValue("ftp://goproxy.example.org"),
		},
		{
			Name: "go-proxy-full-width-comma", Code: "proxy/misconfigured", Also: codes("proxy/not-found"), Tool: "go",
			Run: withProxyValue("https://goproxy.example.org/，direct"),
		},
		{
			Name: "go-proxy-insecure-credentials", Code: "proxy/misconfigured", Tool: "go", Since: "1.13",
			Run: goInsecureCredentials,
		},
	}
}

func codes(list ...keepwell.Code) []keepwell.Code { return list }

// download asks for the widget in the shortest way there is.
func download(ctx context.Context, l *Lab) string {
	return l.Run(ctx, "go", "mod", "download", "example.com/widget@v1.0.0")
}

// proxyFault downloads from a proxy with faults.
func proxyFault(faults ...fault) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith(faults...)
		return download(ctx, l)
	}
}

// proxyZip downloads from a proxy whose zip is spoilt.
func proxyZip(spoil func([]byte) http.HandlerFunc) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		// Large enough to be worth cutting.
		m := newMod("example.com/widget", "v1.0.0", "widget.go", "package widget\n", "data.txt", noise(64<<10))
		l.HTTPS("goproxy.example.org", breaking(goproxy(l.T, m), fault{".zip", spoil(m.zip(l.T))}))
		return download(ctx, l)
	}
}

// withProxyValue downloads with another GOPROXY.
func withProxyValue(value string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.Set("GOPROXY", value)
		return download(ctx, l)
	}
}

// damaged is data with one byte turned over.
func damaged(data []byte, at int) []byte {
	spoilt := append([]byte(nil), data...)
	spoilt[at] ^= 0xff
	return spoilt
}

// noise is text of n bytes that does not compress away, always the same.
func noise(n int) string {
	out := make([]byte, n)
	x := uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = 'a' + byte(x>>24)%26
	}
	return string(out)
}

func goAddressBlocked(ctx context.Context, l *Lab) string {
	l.proxyWith(fault{".zip", redirect("https://storage.example.org/cache/widget.zip")})
	l.HTTPS("storage.example.org", status(403, "Access from your country or region is not permitted (client address 192.0.2.7).\n"))
	return download(ctx, l)
}

// goHTMLMod breaks the go.mod of a module that a project requires.
func goHTMLMod(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith(fault{".mod", page})
	l.updating()
	return l.Run(ctx, "go", "list", "-m", "all")
}

// goBadCRC spoils the checksum that the zip's directory keeps of its last file.
func goBadCRC(ctx context.Context, l *Lab) string {
	m := widget()
	zip := m.zip(l.T)
	l.proxyWith(fault{".zip", bytesOf("application/zip", damaged(zip, lastCRC(zip)))})
	return download(ctx, l)
}

// lastCRC finds the CRC-32 field of the last entry of a zip's directory.
func lastCRC(zip []byte) int {
	for i := len(zip) - 4; i >= 0; i-- {
		if string(zip[i:i+4]) == "PK\x01\x02" {
			return i + 16
		}
	}
	return 0
}

func goEmptyList(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith(fault{"/@v/list", bytesOf("text/plain", nil)}, fault{"/@latest", status(404, "not found\n")})
	return l.Run(ctx, "go", "get", "example.com/widget@latest")
}

func goRedirectLoop(ctx context.Context, l *Lab) string {
	l.HTTPS("goproxy.example.org", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}))
	return download(ctx, l)
}

func goLoginRedirect(ctx context.Context, l *Lab) string {
	l.proxyWith(fault{"", redirect("https://login.example.net/sign-in")})
	l.HTTPS("login.example.net", http.HandlerFunc(page))
	return download(ctx, l)
}

func goInsecureCredentials(ctx context.Context, l *Lab) string {
	l.Set("GOPROXY", "http://user:password@goproxy.example.org")
	return download(ctx, l)
}
