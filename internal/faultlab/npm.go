//go:build unix

package faultlab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// npmScenarios are faults of the npm registry, or of what it holds.
func npmScenarios() []Scenario {
	return []Scenario{
		{Name: "npm-404", Code: "module/missing-or-private", Also: codes("proxy/not-found", "module/repo-gone"), Tool: "npm", Run: npmInstall("no-such-widget")},
		{Name: "npm-401", Code: "proxy/unauthorized", Also: codes("auth/expired-token"), Tool: "npm", Run: npmFault(401)},
		{Name: "npm-expired-token", Code: "auth/expired-token", Also: codes("proxy/unauthorized"), Tool: "npm", Run: npmExpiredToken},
		{Name: "npm-403", Code: "proxy/forbidden", Also: codes("auth/forbidden"), Tool: "npm", Run: npmFault(403)},
		{Name: "npm-429", Code: "proxy/rate-limited", Tool: "npm", Run: npmFault(429)},
		{Name: "npm-503", Code: "proxy/server-error", Tool: "npm", Run: npmFault(503)},
		{Name: "npm-html", Code: "proxy/bad-response", Also: codes("net/intercepted"), Tool: "npm", Run: npmHTML},
		{Name: "npm-login-redirect", Code: "net/intercepted", Also: codes("proxy/bad-response"), Tool: "npm", Example: true, Run: npmLoginRedirect},
		{Name: "npm-integrity", Code: "sum/lock-mismatch", Tool: "npm", Example: true, Run: npmIntegrity},
		{Name: "npm-target", Code: "version/no-match", Tool: "npm", Run: npmInstall("widget@^9.0.0")},
		{Name: "npm-resolve", Code: "version/conflict", Tool: "npm", Example: true, Run: npmResolve},
		{Name: "npm-engine", Code: "version/runtime-too-old", Tool: "npm", Example: true, Run: npmEngine},
		{Name: "npm-refused", Code: "net/refused", Tool: "npm", Run: npmRefused},
		{Name: "npm-dns", Code: "net/dns", Tool: "npm", Run: npmDNS},
		{Name: "npm-reset", Code: "net/reset", Tool: "npm", Run: npmReset},
		{Name: "npm-timeout", Code: "net/timeout", Also: codes("net/slow"), Tool: "npm", Run: npmTimeout},
		{Name: "npm-tls-expired", Code: "tls/expired", Tool: "npm", Run: npmTLS(expiredLeaf)},
		{Name: "npm-tls-not-yet", Code: "tls/clock-skew", Also: codes("tls/expired"), Tool: "npm", Example: true, Run: npmTLS(futureLeaf)},
		{Name: "npm-tls-self-signed", Code: "tls/unknown-authority", Tool: "npm", Run: npmTLS(selfSigned)},
		{Name: "npm-tls-unknown-ca", Code: "tls/unknown-authority", Tool: "npm", Run: npmTLS(foreignLeaf)},
		{Name: "npm-tls-wrong-name", Code: "tls/name-mismatch", Tool: "npm", Run: npmTLS(otherLeaf)},
		{Name: "npm-not-tls", Code: "tls/not-tls", Also: codes("net/http-proxy"), Tool: "npm", Run: npmNotTLS},
		{Name: "npm-offline", Code: "net/sandboxed", Tool: "npm", Example: true, Run: npmOffline},
		{Name: "npm-ci-drift", Code: "local/readonly", Tool: "npm", Run: npmDrift},
		{Name: "npm-cache-is-file", Code: "local/cache-permission", Tool: "npm", Run: npmCacheIsFile},
		{Name: "npm-gyp-no-make", Code: "local/build-tool-missing", Tool: "npm", Needs: []string{"node", "python3"}, Example: true, Run: npmNoMake},
		{Name: "npm-heap", Code: "local/oom", Tool: "npm", Run: npmHeap},
		{Name: "npm-script", Code: "none/other", Tool: "npm", Run: npmScript},
	}
}

// pkg is an npm package version; extra is merged into its package.json.
type pkg struct {
	name, version string
	extra         map[string]any
	files         map[string]string
}

func (p pkg) manifest() map[string]any {
	m := map[string]any{"name": p.name, "version": p.version}
	for k, v := range p.extra {
		m[k] = v
	}
	return m
}

func (p pkg) file() string { return p.name + "-" + p.version + ".tgz" }

func (p pkg) tarball(l *Lab) []byte {
	manifest, err := json.Marshal(p.manifest())
	l.check(err)
	files := map[string]string{"package.json": string(manifest), "index.js": "module.exports = 1\n"}
	for name, content := range p.files {
		files[name] = content
	}
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	tw := tar.NewWriter(gz)
	for _, name := range slices.Sorted(maps.Keys(files)) { // always the same bytes: lock files hold their hash
		content := files[name]
		l.check(tw.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(content))}))
		_, err := io.WriteString(tw, content)
		l.check(err)
	}
	l.check(tw.Close())
	l.check(gz.Close())
	return buf.Bytes()
}

func integrity(data []byte) string {
	sum := sha512.Sum512(data)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// npmRegistry serves packages; one version each.
func npmRegistry(l *Lab, pkgs ...pkg) http.Handler {
	answers := map[string][]byte{}
	for _, p := range pkgs {
		data := p.tarball(l)
		m := p.manifest()
		m["dist"] = map[string]any{"tarball": "https://npm.example.org/" + p.name + "/-/" + p.file(), "integrity": integrity(data)}
		doc, err := json.Marshal(map[string]any{
			"name": p.name, "dist-tags": map[string]string{"latest": p.version}, "versions": map[string]any{p.version: m},
		})
		l.check(err)
		answers["/"+p.name], answers["/"+p.name+"/-/"+p.file()] = doc, data
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := answers[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":"Not found"}`)
	})
}

func npmWidget() pkg { return pkg{name: "widget", version: "1.0.0"} }

// npmApp writes a project with the given dependencies as JSON.
func (l *Lab) npmApp(dependencies string) {
	l.Files("package.json", `{"name":"app","version":"1.0.0","dependencies":`+dependencies+"}\n")
}

func (l *Lab) npmWith(pkgs ...pkg) { l.HTTPS("npm.example.org", npmRegistry(l, pkgs...)) }

func npmInstall(spec string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.npmApp(`{}`)
		l.npmWith(npmWidget())
		return l.Run(ctx, "npm", "install", spec)
	}
}

func npmFault(code int) func(context.Context, *Lab) string {
	return npmFrom(func(l *Lab) { l.HTTPS("npm.example.org", errorJSON(code)) })
}

// npmFrom installs the widget after a registry was set up.
func npmFrom(setUp func(*Lab)) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.npmApp(`{"widget":"^1.0.0"}`)
		setUp(l)
		return l.Run(ctx, "npm", "install")
	}
}

func errorJSON(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": strings.ToLower(http.StatusText(code))})
	}
}

func npmHTML(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) { l.HTTPS("npm.example.org", http.HandlerFunc(page)) })(ctx, l)
}

func npmLoginRedirect(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.HTTPS("npm.example.org", redirect("https://portal.corp.example/login"))
		l.HTTPS("portal.corp.example", http.HandlerFunc(page))
	})(ctx, l)
}

func npmExpiredToken(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.write(filepath.Join(l.Home, ".npmrc"), "//npm.example.org/:_authToken=npm_expired\n")
		l.HTTPS("npm.example.org", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			errorJSON(401)(w, r)
		}))
	})(ctx, l)
}

// npmIntegrity installs from a lock file whose hash is another tarball's.
func npmIntegrity(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0"}`)
	l.npmWith(npmWidget())
	l.lock(`"node_modules/widget":{"version":"1.0.0","resolved":"https://npm.example.org/widget/-/widget-1.0.0.tgz","integrity":"` + integrity([]byte("another tarball")) + `"}`)
	return l.Run(ctx, "npm", "ci")
}

func (l *Lab) lock(packages string) {
	l.Files("package-lock.json", `{"name":"app","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"app","version":"1.0.0","dependencies":{"widget":"1.0.0"}},`+packages+"}}\n")
}

func npmResolve(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0","widget-plugin":"1.0.0"}`)
	plugin := pkg{name: "widget-plugin", version: "1.0.0", extra: map[string]any{"peerDependencies": map[string]string{"widget": "^2.0.0"}}}
	l.npmWith(npmWidget(), plugin)
	return l.Run(ctx, "npm", "install")
}

func npmEngine(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0"}`)
	l.npmWith(pkg{name: "widget", version: "1.0.0", extra: map[string]any{"engines": map[string]string{"node": ">=99"}}})
	l.Set("npm_config_engine_strict", "true")
	return l.Run(ctx, "npm", "install")
}

func npmRefused(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) { l.Set("npm_config_registry", "https://"+l.Closed("npm.example.org", "443")+"/") })(ctx, l)
}

func npmDNS(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.direct()
		l.Set("npm_config_registry", "https://"+l.unresolvable("npm.example.org")+"/")
	})(ctx, l)
}

// npmReset breaks the connection within the answer: before that npm would only
// say that the TLS connection was not made.
func npmReset(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.Set("npm_config_registry", "http://"+l.Plain("npm.example.org", http.HandlerFunc(resetHandler))+"/")
	})(ctx, l)
}

// resetHandler answers a request with an RST.
func resetHandler(w http.ResponseWriter, _ *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	(&buffered{Conn: conn, r: buf.Reader}).reset()
}

func npmTimeout(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.Set("npm_config_fetch_timeout", "500")
		l.HTTPS("npm.example.org", http.HandlerFunc(mute))
	})(ctx, l)
}

// mute takes a request and never answers.
func mute(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func npmTLS(server tlsServer) func(context.Context, *Lab) string {
	return npmFrom(func(l *Lab) {
		l.TLS("npm.example.org", server(l, "npm.example.org"), npmRegistry(l, npmWidget()))
	})
}

func npmNotTLS(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) { l.notTLS("npm.example.org") })(ctx, l)
}

func npmOffline(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) { l.Set("npm_config_offline", "true") })(ctx, l)
}

// npmDrift has a lock file of an older package.json.
func npmDrift(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"2.0.0"}`)
	l.npmWith(pkg{name: "widget", version: "2.0.0"})
	l.lock(`"node_modules/widget":{"version":"1.0.0","resolved":"https://npm.example.org/widget/-/widget-1.0.0.tgz","integrity":"` + integrity(nil) + `"}`)
	return l.Run(ctx, "npm", "ci")
}

func npmCacheIsFile(ctx context.Context, l *Lab) string {
	return npmFrom(func(l *Lab) {
		l.npmWith(npmWidget())
		l.write(filepath.Join(l.Dir, "npm-cache/_cacache"), "not a directory\n")
	})(ctx, l)
}

// npmNoMake installs an addon that must be compiled, where there is no make.
func npmNoMake(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0"}`)
	l.npmWith(pkg{
		name: "widget", version: "1.0.0", extra: map[string]any{"gypfile": true, "scripts": map[string]string{"install": "node-gyp rebuild"}},
		files: map[string]string{"binding.gyp": `{"targets":[{"target_name":"widget","sources":["widget.cc"]}]}`, "widget.cc": "\n"},
	})
	python := realPython(ctx, l)
	l.onlyPath("node", "npm", "sh")
	l.check(os.Symlink(python, filepath.Join(l.Dir, "bin/python3")))
	l.Set("npm_config_nodedir", l.nodeHeaders())
	return l.Run(ctx, "npm", "install", "--foreground-scripts")
}

// nodeHeaders is as much of node's headers as node-gyp needs to come to make,
// so that it does not try to download them.
func (l *Lab) nodeHeaders() string {
	dir := filepath.Join(l.Dir, "node")
	l.write(filepath.Join(dir, "include/node/common.gypi"), "{}\n")
	l.write(filepath.Join(dir, "include/node/config.gypi"), "{'target_defaults': {}, 'variables': {}}\n")
	return dir
}

// npmHeap gives node too little memory for what it has to read.
func npmHeap(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0"}`)
	l.npmWith(npmWidget())
	l.Set("NODE_OPTIONS", "--max-old-space-size=8")
	return l.Run(ctx, "npm", "install")
}

// npmScript fails in the project's own script, with words that look like ours.
func npmScript(ctx context.Context, l *Lab) string {
	l.Files("package.json", `{"name":"app","version":"1.0.0","scripts":{"build":"node build.js"}}`,
		"build.js", "console.error('GET /widget@1.0.0: expected status 200, got 404 Not Found')\nprocess.exit(1)\n")
	return l.Run(ctx, "npm", "run", "build")
}
