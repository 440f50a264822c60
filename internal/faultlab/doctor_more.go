//go:build unix

package faultlab

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// moreSituations are those that leave explain without a text, or that only a look at
// the machine can tell apart.
func moreSituations() []situation {
	return []situation{
		{name: "go-proxy-silent", code: "net/slow", also: codes("net/timeout"), tool: "go", run: proxyFault(fault{"", mute})},
		{name: "go-proxy-zip-stalled", code: "net/slow", also: codes("net/timeout"), tool: "go", run: proxyFault(fault{".zip", stall})},
		{name: "go-proxy-zip-trickles", code: "net/slow", also: codes("net/timeout"), tool: "go", run: proxyFault(fault{".zip", trickle})},
		{name: "go-sumdb-silent", code: "sum/sumdb-unreachable", also: codes("net/slow", "net/timeout"), tool: "go", run: goSumDBFault(fault{"", mute})},
		{name: "go-sumdb-tls-expired", code: "sum/sumdb-unreachable", also: codes("tls/expired"), tool: "go", run: goSumDBExpired},
		{name: "go-clock-skew", code: "tls/clock-skew", tool: "go", run: goClockSkew},
		{name: "go-tls-incomplete-chain", code: "tls/unknown-authority", tool: "go", run: goIncompleteChain},
		{name: "go-no-ca-bundle", code: "tls/unknown-authority", tool: "go", run: goNoBundle},
		{name: "go-http-proxy-silent", code: "net/http-proxy", also: codes("net/timeout", "net/slow"), tool: "go", run: goHTTPProxySilent},
		{name: "go-proxy-403-pipe-500", code: "proxy/forbidden", also: codes("proxy/server-error"), tool: "go", run: goTwoProxies("|", status(403, "blocked\n"), status(500, "oops\n"))},
		{name: "go-proxy-404-then-503", code: "proxy/server-error", also: codes("proxy/not-found"), tool: "go", run: goTwoProxies(",", status(404, "not found\n"), status(503, "busy\n"))},
		{name: "go-proxy-credentials-wrong", code: "proxy/unauthorized", also: codes("auth/expired-token"), tool: "go", run: goProxyCredentials("expired")},
		{name: "go-goprivate-blank", code: "auth/goprivate-unset", also: codes("proxy/not-found", "module/missing-or-private"), tool: "go", needs: []string{"git"}, run: goPrivateBlank},
		{name: "go-git-netrc-wrong", code: "auth/expired-token", also: codes("auth/git-prompt", "auth/forbidden"), tool: "go", needs: []string{"git"}, run: goGitNetrc("expired")},
		{name: "go-git-netrc-missing", code: "auth/git-prompt", also: codes("module/missing-or-private", "auth/goprivate-unset"), tool: "go", needs: []string{"git"}, run: goGitNetrc("")},
		{name: "go-git-sso", code: "auth/forbidden", tool: "go", needs: []string{"git"}, run: goGitSSO},
		{name: "git-silent", code: "net/slow", also: codes("net/timeout"), tool: "go", needs: []string{"git"}, run: goGitAnswers(mute)},
		{name: "go-vanity-silent", code: "net/slow", also: codes("net/timeout", "module/vanity"), tool: "go", run: goVanity(http.HandlerFunc(mute))},
		{name: "go-ssh-silent", code: "net/slow", also: codes("net/timeout"), tool: "go", needs: []string{"git", "ssh"}, run: goSSHSilent},
		{name: "go-version-short", code: "version/invalid", also: codes("version/no-match", "version/unknown-revision", "local/go-mod-parse"), tool: "go", run: goRequire("example.com/widget v1.5")},
		{name: "go-cache-zip-cut", code: "local/cache-corrupt", also: codes("proxy/bad-response"), tool: "go", run: goCacheZipCut},
		{name: "go-cache-emptied", code: "local/cache-corrupt", tool: "go", run: goCacheEmptied},
		{name: "go-vendor-flag-without-vendor", code: "local/vendor", tool: "go", run: goVendorFlag},
		{name: "go-proxy-file-missing", code: "proxy/misconfigured", also: codes("proxy/not-found"), tool: "go", run: withProxyValue("file:///nowhere/goproxy")},
		{name: "go-inodes-used-up", code: "local/disk-full", tool: "go", needs: []string{"unshare"}, run: goMounted("mount -t tmpfs -o size=8m,nr_inodes=8,mode=755 tmpfs")},
		{name: "go-cache-read-only-mount", code: "local/cache-permission", also: codes("local/disk-full"), tool: "go", needs: []string{"unshare"}, run: goMounted("mount -t tmpfs -o ro,mode=755 tmpfs")},
		{name: "go-toolchain-auto-missing", code: "version/toolchain", also: codes("version/go-too-old"), tool: "go", run: goToolchainAuto},
		{name: "go-proxy-first-silent", code: "net/slow", also: codes("net/timeout"), tool: "go", run: goTwoProxies("|", mute, status(404, "not found\n"))},
		{name: "go-replace-fork-missing", code: "proxy/not-found", also: codes("module/missing-or-private", "module/repo-gone"), tool: "go", run: goForkMissing},
		{name: "go-private-host-refuses", code: "net/refused", also: codes("vcs/git-config"), tool: "go", needs: []string{"git"}, run: goPrivateRefused},
		{name: "go-http-proxy-blocks-host", code: "net/http-proxy", also: codes("proxy/forbidden"), tool: "go", run: goProxyBlocks},
		{name: "go-http-proxy-unknown-ca", code: "net/http-proxy", also: codes("tls/unknown-authority"), tool: "go", run: goProxyForeign},
		{name: "go-ca-bundle-garbage", code: "tls/unknown-authority", tool: "go", run: goGarbageBundle},
		{name: "go-cache-nowhere", code: "local/cache-permission", also: codes("local/gopath"), tool: "go", run: goNowhere},
		{name: "pip-index-without-simple", code: "version/no-match", also: codes("proxy/misconfigured", "proxy/not-found", "module/missing-or-private", "module/repo-gone"), tool: "pip", run: pipWithoutSimple},
		{name: "npm-silent", code: "net/slow", also: codes("net/timeout"), tool: "npm", run: npmFrom(func(l *Lab) { l.HTTPS("npm.example.org", http.HandlerFunc(mute)) })},
		{name: "pip-silent", code: "net/slow", also: codes("net/timeout"), tool: "pip", run: pipSilent},
	}
}

// trickle sends a byte, and one more each second, of a body that it says is long.
func trickle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, _ = w.Write([]byte("P"))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func goSumDBExpired(ctx context.Context, l *Lab) string {
	l.proxyWith()
	signer, verifier := newKeys(l, "k")
	l.Set("GOSUMDB", verifier)
	l.TLS(sumHost, expiredLeaf(l, sumHost), sumServer(l, signer, []mod{widget()}))
	return download(ctx, l)
}

// goClockSkew stands for a clock that is ten days late: a server whose certificate is
// good by its own Date.
func goClockSkew(ctx context.Context, l *Lab) string {
	const host = "goproxy.example.org"
	now := time.Now().Add(10 * 24 * time.Hour)
	cert := l.ca.leaf(leaf{names: []string{host}, from: now.Add(-24 * time.Hour), to: now.Add(90 * 24 * time.Hour)})
	good := goproxy(l.T, widgets()...)
	l.TLS(host, certs(cert), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		good.ServeHTTP(w, r)
	}))
	return download(ctx, l)
}

// goIncompleteChain leaves out the certificate between the root and the server's.
func goIncompleteChain(ctx context.Context, l *Lab) string {
	const host = "goproxy.example.org"
	key := newKey(l.T)
	tmpl := template("Faultlab Intermediate CA", time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	der := l.ca.sign(tmpl, l.ca.cert, key)
	middle := &authority{t: l.T, cert: parseCert(l, der), key: key}
	l.TLS(host, certs(middle.leaf(leaf{names: []string{host}})), goproxy(l.T, widgets()...))
	return download(ctx, l)
}

func goNoBundle(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.Set("SSL_CERT_FILE", filepath.Join(l.Dir, "none/ca-certificates.crt"))
	return download(ctx, l)
}

func goHTTPProxySilent(ctx context.Context, l *Lab) string {
	addr := l.Accept("proxy.corp.example", "3128", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); untilClosed(c) })
	l.Set("HTTPS_PROXY", "http://"+addr, "https_proxy", "")
	return download(ctx, l)
}

// untilClosed reads and says nothing until the other side is gone.
func untilClosed(c net.Conn) {
	for buf := make([]byte, 4096); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// goTwoProxies asks two module proxies that both fail.
func goTwoProxies(sep string, first, second http.HandlerFunc) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.HTTPS("goproxy.example.org", first)
		l.HTTPS("goproxy.example.net", second)
		l.Set("GOPROXY", "https://goproxy.example.org"+sep+"https://goproxy.example.net")
		return download(ctx, l)
	}
}

// goMounted gives the module cache a file system of its own, seen by this command alone.
func goMounted(mount string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		cache := l.modCache("")
		l.check(os.MkdirAll(cache, 0o755))
		unshare := []string{"--user", "--map-root-user", "--mount", "sh", "-c"}
		if _, code := l.exec(ctx, l.Work, "unshare", append(unshare, mount+" "+cache)...); code != 0 {
			l.T.Skip("this machine does not allow mounts in an own namespace")
		}
		return l.Run(ctx, "unshare", append(unshare, mount+" "+cache+" && exec go mod download example.com/widget@v1.0.0")...)
	}
}

// goToolchainAuto wants a newer go, which the proxy does not have.
func goToolchainAuto(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.Set("GOTOOLCHAIN", "auto")
	l.Files("go.mod", "module example.org/app\n\ngo 1.99.0\n", "app.go", "package app\n")
	return l.Run(ctx, "go", "build", "./...")
}

// goForkMissing replaces a module by a fork that no server has.
func goForkMissing(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.app()
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n\nreplace example.com/widget => example.com/fork/widget v1.0.1\n")
	l.trust(newMod("example.com/fork/widget", "v1.0.1", "widget.go", "package widget\n"))
	return l.Run(ctx, "go", "build", "./...")
}

// goPrivateRefused has a company's git host that is down.
func goPrivateRefused(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.write(filepath.Join(l.Home, ".gitconfig"), "[url \"https://"+l.Closed("git.corp.example", "443")+"/\"]\n\tinsteadOf = https://github.com/\n")
	l.HTTPS("github.com", status(404, ""))
	l.Set("GOPRIVATE", "github.com/acme")
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
}

// goProxyBlocks has an HTTP proxy that lets some hosts through, and not this one.
func goProxyBlocks(ctx context.Context, l *Lab) string {
	addr := l.Plain("proxy.corp.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status(403, "category: software downloads\n")(w, r)
	}))
	l.Set("HTTPS_PROXY", "http://"+addr, "https_proxy", "")
	return download(ctx, l)
}

// goProxyForeign speaks TLS to the HTTP proxy, which has a root that nobody knows.
func goProxyForeign(ctx context.Context, l *Lab) string {
	foreign := newAuthority(l.T, "Corp Proxy CA")
	ln := tls.NewListener(listen(l.T), certs(foreign.leaf(leaf{names: []string{"localhost", "127.0.0.1"}})))
	serve(l.T, ln, status(403, "no\n"))
	l.Set("HTTPS_PROXY", "https://"+l.show(ln, "proxy.corp.example", "3129"), "https_proxy", "")
	return download(ctx, l)
}

func goGarbageBundle(ctx context.Context, l *Lab) string {
	l.proxyWith()
	name := filepath.Join(l.Dir, "garbage.pem")
	l.write(name, loginPage)
	l.Set("SSL_CERT_FILE", name)
	return download(ctx, l)
}

// goNowhere is a service account without a home.
func goNowhere(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.Set("HOME", "", "GOPATH", "", "GIT_CONFIG_GLOBAL", "")
	return download(ctx, l)
}

func pipWithoutSimple(ctx context.Context, l *Lab) string {
	l.pypi(pyWidget())
	l.Set("PIP_INDEX_URL", "https://pypi.example.org/")
	return l.pipDownload(ctx, "widget")
}

// guarded asks for a user's password before it answers.
func guarded(h http.Handler, realm string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "user" || password != labPassword {
			w.Header().Set("WWW-Authenticate", "Basic realm="+strconv.Quote(realm))
			status(http.StatusUnauthorized, "")(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// labPassword is what the lab's guarded servers take.
const labPassword = "correct-horse-7731"

func (l *Lab) netrc(lines string) {
	name := filepath.Join(l.Home, ".netrc")
	l.write(name, lines)
	l.check(os.Chmod(name, 0o600))
}

func goProxyCredentials(password string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.netrc("machine goproxy.example.org login user password " + password + "\n")
		l.HTTPS("goproxy.example.org", guarded(goproxy(l.T, widgets()...), "modules"))
		return download(ctx, l)
	}
}

// goPrivateBlank has a blank after the comma of GOPRIVATE, so that the second pattern
// never matches and the public proxy is asked for a private module.
func goPrivateBlank(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.gitHost(ctx)
	l.Set("GOPRIVATE", "git.corp.example, github.com/acme")
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
}

// goGitNetrc fetches from a private repository with the password of netrc.
func goGitNetrc(password string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		if password != "" {
			l.netrc("machine github.com login user password " + password + "\n")
		}
		l.proxyWith()
		l.HTTPS("github.com", guarded(l.gitServer(ctx), "GitHub"))
		l.Set("GOPRIVATE", "github.com/acme", "GOPROXY", "https://goproxy.example.org,direct")
		return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
	}
}

// goGitSSO takes the password but wants the token authorised for the organisation.
func goGitSSO(ctx context.Context, l *Lab) string {
	l.netrc("machine github.com login user password " + labPassword + "\n")
	l.HTTPS("github.com", guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-GitHub-SSO", "required; url=https://github.com/orgs/acme/sso?authorization_request=1")
		status(403, "The 'acme' organization has enabled or enforced SAML SSO. To access\nthis repository, you must re-authorize the OAuth Application.\n")(w, r)
	}), "GitHub"))
	l.Set("GOPRIVATE", "github.com/acme")
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

func goSSHSilent(ctx context.Context, l *Lab) string {
	l.sshServer(knownHost)
	l.sshTo(l.Accept("github.com", "22", untilClosed))
	l.HTTPS("github.com", status(404, ""))
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

// warm fills the module cache with the app's needs.
func (l *Lab) warm(ctx context.Context) {
	l.app()
	l.trust(widget())
	l.proxyWith()
	l.Setup(ctx, l.Work, "go", "mod", "download")
}

func (l *Lab) modCache(name string) string { return filepath.Join(l.Home, "go/pkg/mod", name) }

func (l *Lab) zipOf(m mod) string {
	return l.modCache("cache/download/" + m.path + "/@v/" + m.version + ".zip")
}

// dropExtracted takes the unpacked module away.
func (l *Lab) dropExtracted() {
	l.unlock()
	l.check(os.RemoveAll(l.modCache("example.com/widget@v1.0.0")))
}

// goCacheZipCut has half a zip in the cache, as a full disk leaves it.
func goCacheZipCut(ctx context.Context, l *Lab) string {
	l.warm(ctx)
	l.dropExtracted()
	l.check(os.Truncate(l.zipOf(widget()), 100))
	return l.Run(ctx, "go", "build", "./...")
}

// goCacheEmptied has an unpacked module without its files, as a clean-up script
// leaves it.
func goCacheEmptied(ctx context.Context, l *Lab) string {
	l.Set("GOCACHE", filepath.Join(l.Dir, "tmp/gocache")) // go notes there what it does not find
	l.warm(ctx)
	l.unlock()
	l.check(os.Remove(l.modCache("example.com/widget@v1.0.0/widget.go")))
	return l.Run(ctx, "go", "build", "./...")
}

func goVendorFlag(ctx context.Context, l *Lab) string {
	l.app()
	l.trust(widget())
	l.proxyWith()
	l.Set("GOFLAGS", "-mod=vendor")
	return l.Run(ctx, "go", "build", "./...")
}

func pipSilent(ctx context.Context, l *Lab) string {
	l.Set("PIP_TIMEOUT", "2")
	l.HTTPS("pypi.example.org", http.HandlerFunc(mute))
	return l.pipDownload(ctx, "widget")
}

// oneCert is a TLS setting for the host, signed by the lab's root.
func (l *Lab) oneCert(host string) *tls.Config {
	return certs(l.ca.leaf(leaf{names: []string{host}}))
}

// lastLine is where a reader's eye falls: the last line that is not said after every
// failure alike.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "npm error"))
		if line != "" && !slices.ContainsFunc(platitudes(), func(p string) bool { return strings.HasPrefix(line, p) }) {
			return line
		}
	}
	return ""
}

func platitudes() []string {
	return []string{
		"A complete log", "and the repository exists.", "Please make sure", "If this is a private", "Confirm the import path", "hint:",
		"Removed build tracker", "Note that you can also", "To correct this", "at ", "}",
	}
}

// bundle joins roots to a file of its own.
func (l *Lab) bundle(name string, roots ...*authority) string {
	var all []byte
	for _, r := range roots {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.cert.Raw})...)
	}
	file := filepath.Join(l.Dir, name)
	l.write(file, string(all))
	return file
}
