//go:build unix

package faultlab

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// pipScenarios are faults of a Python package index, or of what it holds.
func pipScenarios() []Scenario {
	return []Scenario{
		{Name: "pip-no-match", Code: "version/no-match", Tool: "pip", Run: pipInstall("widget==9.9.9")},
		{Name: "pip-unknown", Code: "version/no-match", Also: codes("module/missing-or-private", "proxy/not-found", "module/repo-gone"), Tool: "pip", Run: pipInstall("no-such-widget")},
		{Name: "pip-401", Code: "proxy/unauthorized", Also: codes("version/no-match", "auth/expired-token"), Tool: "pip", Run: pipFault(401)},
		{Name: "pip-403", Code: "proxy/forbidden", Also: codes("version/no-match"), Tool: "pip", Run: pipFault(403)},
		{Name: "pip-429", Code: "proxy/rate-limited", Also: codes("version/no-match"), Tool: "pip", Run: pipFault(429)},
		{Name: "pip-503", Code: "proxy/server-error", Also: codes("version/no-match"), Tool: "pip", Run: pipFault(503)},
		{Name: "pip-file-403", Code: "proxy/forbidden", Also: codes("auth/forbidden"), Tool: "pip", Run: pipFile(status(403, ""))},
		{Name: "pip-hash", Code: "sum/lock-mismatch", Tool: "pip", Run: pipHash},
		{Name: "pip-conflict", Code: "version/conflict", Tool: "pip", Run: pipConflict},
		{Name: "pip-requires-python", Code: "version/runtime-too-old", Also: codes("version/no-match"), Tool: "pip", Run: pipRequiresPython},
		{Name: "pip-refused", Code: "net/refused", Also: codes("version/no-match"), Tool: "pip", Run: pipRefused},
		{Name: "pip-dns", Code: "net/dns", Also: codes("net/sandboxed", "version/no-match"), Tool: "pip", Needs: []string{"unshare"}, Run: pipDNS},
		{Name: "pip-reset", Code: "net/reset", Also: codes("version/no-match"), Tool: "pip", Run: pipReset},
		{Name: "pip-read-timeout", Code: "net/slow", Also: codes("net/timeout"), Tool: "pip", Run: pipStall},
		{Name: "pip-http-proxy", Code: "net/http-proxy", Also: codes("version/no-match"), Tool: "pip", Run: pipHTTPProxy},
		{Name: "pip-tls-expired", Code: "tls/expired", Also: codes("version/no-match"), Tool: "pip", Run: pipTLS(expiredLeaf)},
		{Name: "pip-tls-self-signed", Code: "tls/unknown-authority", Also: codes("version/no-match"), Tool: "pip", Run: pipTLS(foreignLeaf)},
		{Name: "pip-tls-wrong-name", Code: "tls/name-mismatch", Also: codes("version/no-match"), Tool: "pip", Run: pipTLS(otherLeaf)},
		{Name: "pip-no-ssl", Code: "local/runtime-broken", Also: codes("version/no-match"), Tool: "pip", Example: true, Run: pipNoSSL},
		{Name: "pip-externally-managed", Code: "local/externally-managed", Tool: "pip", Example: true, Run: pipExternallyManaged},
		{Name: "pip-git-missing", Code: "vcs/tool-missing", Tool: "pip", Run: pipGitMissing},
	}
}

// realPython is the interpreter itself: a version manager's shim costs half a
// second for each run and needs its own PATH.
func realPython(ctx context.Context, l *Lab) string {
	l.T.Helper()
	return trimLine(l.Setup(ctx, l.Work, "python3", "-c", "import sys; print(sys.executable)"))
}

func (l *Lab) pip(ctx context.Context, args ...string) string {
	l.T.Helper()
	python := realPython(ctx, l)
	if _, code := l.exec(ctx, l.Work, python, "-m", "pip", "--version"); code != 0 {
		l.T.Skip("python3 has no pip")
	}
	return l.Run(ctx, python, append([]string{"-m", "pip"}, args...)...)
}

// pipDownload fetches without installing: nothing of the machine's Python is
// looked at or changed.
func (l *Lab) pipDownload(ctx context.Context, args ...string) string {
	l.T.Helper()
	return l.pip(ctx, append([]string{"download", "--dest", filepath.Join(l.Dir, "tmp/wheels")}, args...)...)
}

// wheel is a pure Python package; requires are its Requires-Dist.
type wheel struct {
	name, version string
	python        string // Requires-Python; empty for any
	requires      []string
}

func (w wheel) file() string { return w.name + "-" + w.version + "-py3-none-any.whl" }

func (w wheel) data(l *Lab) []byte {
	meta := "Metadata-Version: 2.1\nName: " + w.name + "\nVersion: " + w.version + "\n"
	for _, r := range w.requires {
		meta += "Requires-Dist: " + r + "\n"
	}
	info := w.name + "-" + w.version + ".dist-info/"
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, f := range [][2]string{{w.name + ".py", ""}, {info + "METADATA", meta}, {info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {info + "RECORD", ""}} {
		out, err := z.Create(f[0])
		l.check(err)
		_, err = io.WriteString(out, f[1])
		l.check(err)
	}
	l.check(z.Close())
	return buf.Bytes()
}

// simpleIndex serves wheels as PEP 503 says.
func simpleIndex(l *Lab, wheels ...wheel) http.Handler {
	answers, pages := map[string][]byte{}, map[string]string{}
	for _, w := range wheels {
		data := w.data(l)
		answers["/files/"+w.file()] = data
		python := ""
		if w.python != "" {
			python = fmt.Sprintf(" data-requires-python=%q", strings.ReplaceAll(w.python, ">", "&gt;"))
		}
		pages["/simple/"+w.name+"/"] += fmt.Sprintf("<a href=\"/files/%s#sha256=%x\"%s>%s</a>\n", w.file(), sha256.Sum256(data), python, w.file())
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if data, ok := answers[r.URL.Path]; ok {
			_, _ = rw.Write(data)
			return
		}
		if links, ok := pages[r.URL.Path]; ok {
			bytesOf("text/html", []byte("<!DOCTYPE html><html><body>"+links+"</body></html>"))(rw, r)
			return
		}
		http.NotFound(rw, r)
	})
}

func pyWidget() wheel { return wheel{name: "widget", version: "1.0.0"} }

func (l *Lab) pypi(wheels ...wheel) { l.HTTPS("pypi.example.org", simpleIndex(l, wheels...)) }

func pipInstall(spec string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.pypi(pyWidget(), wheel{name: "widget", version: "1.1.0"})
		return l.pipDownload(ctx, spec)
	}
}

// pipFault asks with -vv: without it pip prints the same two lines for every
// status.
func pipFault(code int) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.HTTPS("pypi.example.org", errorPage(code))
		return l.pipDownload(ctx, "-vv", "widget")
	}
}

// pipFile breaks the file and not the index.
func pipFile(answer http.HandlerFunc) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.HTTPS("pypi.example.org", breaking(simpleIndex(l, pyWidget()), fault{"/files/", answer}))
		return l.pipDownload(ctx, "widget")
	}
}

func pipHash(ctx context.Context, l *Lab) string {
	l.pypi(pyWidget())
	l.Files("requirements.txt", fmt.Sprintf("widget==1.0.0 --hash=sha256:%x\n", sha256.Sum256([]byte("another wheel"))))
	return l.pipDownload(ctx, "-r", "requirements.txt")
}

func pipConflict(ctx context.Context, l *Lab) string {
	l.pypi(pyWidget(), wheel{name: "widget", version: "2.0.0"}, wheel{name: "gadget", version: "1.0.0", requires: []string{"widget>=2"}})
	return l.pipDownload(ctx, "widget==1.0.0", "gadget")
}

func pipRequiresPython(ctx context.Context, l *Lab) string {
	l.pypi(wheel{name: "widget", version: "1.0.0", python: ">=3.99"})
	return l.pipDownload(ctx, "widget")
}

func pipRefused(ctx context.Context, l *Lab) string {
	l.Set("PIP_INDEX_URL", "https://"+l.Closed("pypi.example.org", "443")+"/simple", "PIP_RETRIES", "1") // pip names the cause only when it tries again
	return l.pipDownload(ctx, "widget")
}

// pipDNS runs without any network: a long name would only be refused by pip's
// own parser.
func pipDNS(ctx context.Context, l *Lab) string {
	return l.withoutNetwork(ctx, realPython(ctx, l), "-m", "pip", "download", "--retries", "1", "widget")
}

func pipReset(ctx context.Context, l *Lab) string {
	l.Set("PIP_INDEX_URL", "http://"+l.Plain("pypi.example.org", http.HandlerFunc(resetHandler))+"/simple", "PIP_RETRIES", "1")
	return l.pipDownload(ctx, "widget")
}

func pipStall(ctx context.Context, l *Lab) string {
	l.Set("PIP_TIMEOUT", "1")
	return pipFile(stall)(ctx, l)
}

func pipHTTPProxy(ctx context.Context, l *Lab) string {
	proxy := "http://" + l.Closed("proxy.corp.example", "3128")
	l.Set("HTTPS_PROXY", proxy, "https_proxy", proxy, "PIP_RETRIES", "1")
	return l.pipDownload(ctx, "widget")
}

func pipTLS(server tlsServer) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.TLS("pypi.example.org", server(l, "pypi.example.org"), simpleIndex(l, pyWidget()))
		return l.pipDownload(ctx, "widget")
	}
}

// pipNoSSL hides the ssl module, as a Python built without OpenSSL lacks it.
func pipNoSSL(ctx context.Context, l *Lab) string {
	l.write(filepath.Join(l.Dir, "py/_ssl.py"), "raise ImportError(\"No module named '_ssl'\")\n")
	l.Set("PYTHONPATH", filepath.Join(l.Dir, "py"))
	return l.pipDownload(ctx, "widget")
}

// pipExternallyManaged copies the interpreter's tree in links and marks it as
// the distribution's.
func pipExternallyManaged(ctx context.Context, l *Lab) string {
	python := realPython(ctx, l)
	lib := trimLine(l.Setup(ctx, l.Work, python, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"))
	home := filepath.Join(l.Dir, "python")
	stdlib := filepath.Join(home, "lib", filepath.Base(lib))
	l.linkAll(lib, stdlib, "EXTERNALLY-MANAGED")
	l.write(filepath.Join(stdlib, "EXTERNALLY-MANAGED"), managedNote)
	l.check(os.MkdirAll(filepath.Join(l.Home, ".local"), 0o755))
	l.Set("PYTHONHOME", home)
	l.pypi(pyWidget())
	return l.pip(ctx, "install", "widget")
}

const managedNote = `[externally-managed]
Error=To install Python packages system-wide, try apt install
    python3-xyz, where xyz is the package you are trying to
    install.
`

func pipGitMissing(ctx context.Context, l *Lab) string {
	python := realPython(ctx, l)
	l.onlyPath("sh")
	return l.Run(ctx, python, "-m", "pip", "download", "git+https://github.com/acme/widget")
}
