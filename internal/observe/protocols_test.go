package observe_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// wantTarget is want for a target that a constructor made.
func wantTarget(t *testing.T, name string, tgt observe.Target, err error, o observe.Options, code keepwell.Code) []observe.Result {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	results := observe.Look(t.Context(), tgt, o)
	var got keepwell.Code
	for _, f := range observe.Findings(results, func(r observe.Result) string { return r.Key }) {
		got = f.Code
		break
	}
	if got != code {
		t.Errorf("%s: found %q, want %q\n%+v", name, got, code, results)
	}
	return results
}

// files answers paths with bodies, 404 for others.
func files(m map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := m[r.URL.Path]
		if !ok {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		http.ServeContent(w, r, strings.ReplaceAll(r.URL.Path, "/", "_")+".bin", time.Time{}, strings.NewReader(body))
	}
}

func zipOf(t *testing.T, size int) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "example.com/widget@v1.0.0/data", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, size))
	_ = z.Close()
	return b.String()
}

func TestModuleVersion(t *testing.T) {
	t.Parallel()
	const at = "/go/example.com/widget/@v/v1.0.0"
	whole := func() map[string]string {
		return map[string]string{
			at + ".info": `{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}`, at + ".mod": "module example.com/widget\n", at + ".zip": zipOf(t, 1<<20),
			"/go/sumdb/sum.example.org/supported": "", "/go/": "",
		}
	}
	o := short()
	o.Each = 2 * time.Second
	o.SumDB = "sum.example.org+033de0ae+x"
	ask := func(name string, h http.Handler, code keepwell.Code) []observe.Result {
		t.Helper()
		tgt, err := observe.ModuleVersion("http://"+serve(t, nil, h)+"/go", "example.com/widget", "v1.0.0", o)
		return wantTarget(t, name, tgt, err, o, code)
	}
	results := ask("whole", files(whole()), "")
	if last := results[len(results)-2]; last.Key != "probe.module.flows" || last.Args[1] != "65536" {
		t.Errorf("zip: %+v", last)
	}
	if last := results[len(results)-1]; last.Key != "probe.sumdb.through" {
		t.Errorf("supported: %+v", last)
	}
	for name, c := range map[string]struct {
		file, body string
		code       keepwell.Code
	}{
		"no such version":  {at + ".info", "-", "proxy/not-found"},
		"another version":  {at + ".info", `{"Version":"v1.0.1"}`, "proxy/bad-response"},
		"not JSON":         {at + ".info", `hello`, "proxy/bad-response"},
		"another module":   {at + ".mod", "module example.org/moved\n", "module/moved"},
		"no module line":   {at + ".mod", "go 1.20\n", "proxy/bad-response"},
		"no zip":           {at + ".zip", "hello", "proxy/bad-response"},
		"a zip cut short":  {at + ".zip", zipOf(t, 1<<20)[:1<<19], "proxy/bad-response"},
		"a page for a zip": {at + ".zip", "<!DOCTYPE html><html>sign in</html>", "proxy/bad-response"},
		"a small zip":      {at + ".zip", zipOf(t, 10), ""},
	} {
		m := whole()
		if m[c.file] = c.body; c.body == "-" {
			delete(m, c.file)
		}
		ask(name, files(m), c.code)
	}

	// A zip that stalls, a proxy that ignores Range, one that bars the checksum database.
	stall := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			w.Header().Set("Content-Length", "1000000")
			_, _ = io.WriteString(w, "PK\x03\x04")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		files(whole())(w, r)
	}
	brief := o
	brief.Each = short().Each
	tgt, err := observe.ModuleVersion("http://"+serve(t, nil, http.HandlerFunc(stall))+"/go", "example.com/widget", "v1.0.0", brief)
	wantTarget(t, "stalls", tgt, err, brief, "net/slow")
	plain := func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		files(whole())(w, r)
	}
	ask("no ranges", http.HandlerFunc(plain), "")
	bars := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/supported") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		files(whole())(w, r)
	}
	ask("bars", http.HandlerFunc(bars), "sum/sumdb-unreachable")

	// The URL of a file says the same as path and version.
	where := "http://" + serve(t, nil, files(whole()))
	o.GoProxies = []string{where + "/go"}
	got, err := observe.Parse(where+at+".zip", o)
	if err != nil || got.Path != "example.com/widget" || got.Version != "v1.0.0" || got.Files != where+at {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][2]string{{"example.com/widget", "latest"}, {"../x", "v1.0.0"}, {"example.com/widget", "v2.0.0"}} {
		if _, err := observe.ModuleVersion("http://127.0.0.1:1", bad[0], bad[1], o); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestSumLookup(t *testing.T) {
	t.Parallel()
	signing, verifying, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := note.Sign(&note.Note{Text: string(tlog.FormatTree(tlog.Tree{N: 9}))}, signer)
	if err != nil {
		t.Fatal(err)
	}
	record := func(text string) string {
		b, err := tlog.FormatRecord(7, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + string(tree)
	}
	const line = "example.com/widget v1.0.0 h1:AAAA=\nexample.com/widget v1.0.0/go.mod h1:BBBB=\n"
	for body, code := range map[string]keepwell.Code{
		record(line): "", "-": "sum/sumdb-not-found", record(strings.ReplaceAll(line, "v1.0.0", "v1.0.1")): "net/intercepted",
		strings.Replace(record(line), "\n9\n", "\n8\n", 1): "net/intercepted", "hello": "net/intercepted",
	} {
		m := map[string]string{"/latest": string(tree), "/lookup/example.com/widget@v1.0.0": body}
		if body == "-" {
			m = map[string]string{"/latest": string(tree)}
		}
		o := short()
		o.SumDB = verifying + " http://" + serve(t, nil, files(m))
		tgt, err := observe.SumLookup("example.com/widget", "v1.0.0", o)
		wantTarget(t, body, tgt, err, o, code)
	}
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	o := short()
	npm := map[string]string{
		"/npm/-/ping": "{}", "/npm/left-pad": `{"name":"left-pad","versions":{"1.0.0":{},"1.1.0":{}}}`, "/npm/@acme/widget": `{"name":"@acme/widget"}`,
		"/npm/huge": `{"name":"huge","versions":{"1.0.0":{"a":"` + strings.Repeat("x", 1<<20), "/npm/odd": `[]`, "/npm/other": `{"name":"another"}`,
		"/npm/page": "<html><form>sign in</form></html>", "/npm/": "{}", "/bare/": "{}",
	}
	at := "http://" + serve(t, nil, files(npm))
	for name, code := range map[string]keepwell.Code{
		"": "", "left-pad": "", "@acme/widget": "", "huge": "", "gone": "module/missing-or-private", "odd": "proxy/bad-response",
		"other": "proxy/bad-response", "page": "proxy/bad-response",
	} {
		tgt, err := observe.NpmRegistry(at+"/npm/", name, o)
		wantTarget(t, "npm "+name, tgt, err, o, code)
	}
	tgt, err := observe.NpmRegistry(at+"/bare/", "", o)
	wantTarget(t, "no ping", tgt, err, o, "")
	pypi := map[string]string{
		"/simple/": "<html></html>", "/simple/zope-interface/": `<html><a href="zope.interface-1.0.tar.gz">zope</a></html>`,
		"/simple/portal/": "<html><form><input></form></html>",
	}
	at = "http://" + serve(t, nil, files(pypi))
	for name, code := range map[string]keepwell.Code{"": "", "Zope.Interface": "", "gone": "module/missing-or-private", "portal": "proxy/bad-response"} {
		tgt, err := observe.PyPIIndex(at+"/simple", name, o)
		wantTarget(t, "pip "+name, tgt, err, o, code)
	}
	for status, code := range map[int]keepwell.Code{
		401: "proxy/unauthorized", 403: "proxy/forbidden", 429: "proxy/rate-limited", 503: "proxy/server-error",
	} {
		h := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				w.WriteHeader(status)
			}
		}
		at := "http://" + serve(t, nil, http.HandlerFunc(h))
		tgt, err := observe.NpmRegistry(at, "widget", o)
		wantTarget(t, "npm", tgt, err, o, code)
		tgt, err = observe.PyPIIndex(at, "widget", o)
		wantTarget(t, "pip", tgt, err, o, code)
		if status < 404 { // a login is in the settings, and is not sent
			private := o
			private.PrivateHosts = []string{strings.TrimPrefix(at, "http://")}
			tgt, err = observe.NpmRegistry(at, "widget", private)
			wantTarget(t, "private", tgt, err, private, "")
		}
	}
	if _, err := observe.NpmRegistry(at, "../x", o); err == nil {
		t.Error("../x is taken for a package")
	}
	// What the settings name is recognised, with the package that the URL asks for.
	o.Npm = []string{"https://npm.example.org/repository/npm/"}
	for arg, want := range map[string]string{"https://npm.example.org/repository/npm/@acme%2fwidget": "@acme/widget", "npm.example.org": ""} {
		if got, err := observe.Parse(arg, o); err != nil || got.Registry != "https://npm.example.org/repository/npm" || got.Package != want {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
}

// TestTokens: a token goes to the host it is for, over TLS, and nowhere else.
func TestTokens(t *testing.T) {
	t.Parallel()
	const token = "Bearer canary"
	ca := newAuthority(t, "Test Authority")
	cfg := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "127.0.0.1", 30)}} }
	var mu sync.Mutex
	var leaked []string
	stranger := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("Authorization"); v != "" {
			mu.Lock()
			defer mu.Unlock()
			leaked = append(leaked, r.Host+" "+v)
		}
	})
	elsewhere, plain := serve(t, cfg(), stranger), serve(t, nil, stranger)
	with := func(at string) observe.Options {
		o := short()
		o.Each, o.Roots = 2*time.Second, ca.pool()
		o.Logins = map[string]string{at: token}
		return o
	}
	answers := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != token {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		code keepwell.Code
		key  string
	}{
		"known":  {answers(200, "X-OAuth-Scopes", "repo, read:org"), "", "probe.login.good"},
		"until":  {answers(200, "GitHub-Authentication-Token-Expiration", "2030-01-01 00:00:00 UTC"), "", "probe.login.until"},
		"partly": {answers(200, "X-GitHub-SSO", "partial-results; organizations=1"), "", "probe.login.partial"},
		"gitlab": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Gitlab-Meta", "{}")
			if r.URL.Path == "/api/v4/personal_access_tokens/self" && r.Header.Get("Authorization") == token {
				_, _ = io.WriteString(w, `{"scopes":["read_api"],"expires_at":"2030-01-01"}`)
			}
		}, "", "probe.login.until"},
		"expired":       {answers(401, "WWW-Authenticate", `Basic realm="x"`), "auth/expired-token", ""},
		"sso":           {answers(403, "X-GitHub-SSO", "required; url=https://example.org"), "auth/forbidden", ""},
		"too little":    {answers(403, "X-Accepted-OAuth-Scopes", "repo"), "auth/forbidden", ""},
		"to another":    {http.RedirectHandler("https://"+elsewhere+"/x", http.StatusFound).ServeHTTP, "", "probe.login.elsewhere"},
		"to plain http": {http.RedirectHandler("http://"+plain+"/x", http.StatusFound).ServeHTTP, "net/intercepted", ""},
	} {
		at := serve(t, cfg(), c.h)
		results, code := look(t, "https://"+at+"/user", with(at))
		if r := result(results, observe.Login); code != c.code || c.key != "" && r.Key != c.key {
			t.Errorf("%s: found %q: %+v", name, code, results)
		}
		for _, r := range results {
			if strings.Contains(strings.Join(append(r.Args, r.Said), " "), "canary") {
				t.Errorf("%s: shown: %+v", name, r)
			}
		}
	}
	want(t, "https://"+elsewhere+"/user", with("127.0.0.1:1"), "")
	want(t, "http://"+plain+"/user", with(plain), "")
	if len(leaked) > 0 {
		t.Errorf("sent to others: %q", leaked)
	}
}
