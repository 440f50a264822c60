//go:build unix

package modproxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// forge is a host of git repositories behind a login, over TLS, which notes every login
// that it is sent.
type forge struct {
	want string
	next http.Handler

	mu   sync.Mutex
	seen map[string]bool
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	login := r.Header.Get("Authorization")
	f.mu.Lock()
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[login] = true
	f.mu.Unlock()
	switch {
	case login != f.want:
		w.Header().Set("Www-Authenticate", `Basic realm="forge"`)
		http.Error(w, "who are you? "+login, http.StatusUnauthorized)
	case r.URL.Query().Get("go-get") == "1":
		name := r.Host + strings.TrimSuffix(r.URL.Path, "/")
		fmt.Fprintf(w, `<html><head><meta name="go-import" content="%s git https://%s.git"></head></html>`, name, name)
	default:
		f.next.ServeHTTP(w, r)
	}
}

func (f *forge) logins() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for l := range f.seen {
		if l != "" {
			all = append(all, l)
		}
	}
	return all
}

// named is a certificate for host names.
func (a authority) named(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// world is an HTTP proxy in which the hosts of the test have their names.
func world(t testing.TB, hosts map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, ok := hosts[strings.TrimSuffix(r.Host, ":443")]
		if r.Method != http.MethodConnect || !ok {
			http.Error(w, "no such host", http.StatusBadGateway)
			return
		}
		out, err := net.Dial("tcp", strings.TrimPrefix(at, "https://"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer out.Close()
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer in.Close()
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		_, _ = io.Copy(in, out)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// repositories are bare git repositories for paths below dir.
func repositories(t testing.TB, dir string, modules map[string]string) http.Handler {
	t.Helper()
	git := func(in string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = in
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for path, modulePath := range modules {
		work := filepath.Join(dir, "work", path)
		if err := os.MkdirAll(work, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(filepath.Join(work, "go.mod"), []byte("module "+modulePath+"\n\ngo 1.20\n")); err != nil {
			t.Fatal(err)
		}
		git(work, "init", "-q")
		git(work, "add", ".")
		git(work, "commit", "-q", "-m", "one")
		git(work, "tag", "v1.0.0")
		git(dir, "clone", "-q", "--bare", work, filepath.Join(dir, "bare", path))
	}
	backend := filepath.Join(git(dir, "--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skip("no git http-backend")
	}
	return &cgi.Handler{Path: backend, Dir: dir, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Join(dir, "bare"), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=a"}, Logger: nil}
}

const (
	canaryA = "canary-password-a71f"
	canaryB = "canary-bearer-b82e"
)

// TestLoginsStayWithTheirHosts brings private modules with the real go and git: each host
// sees its own login only, a host without one sees none, and no process has a secret in
// its arguments or its environment.
func TestLoginsStayWithTheirHosts(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"go", "git", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no " + tool)
		}
	}
	dir := t.TempDir()
	repos := repositories(t, dir, map[string]string{"team/tool.git": "a.example.com/team/tool.git", "lib.git": "b.example.com/lib", "paged.git": "a.example.com/paged"})
	ca := newAuthority(t)
	cert := ca.named(t, "a.example.com", "b.example.com", "evil.example.net")
	a := &forge{want: "Basic " + base64.StdEncoding.EncodeToString([]byte("reader:"+canaryA)), next: repos}
	b := &forge{want: "Bearer " + canaryB, next: repos}
	evil := &forge{want: "nothing is right", next: repos}
	through := world(t, map[string]string{"a.example.com": serveTLS(t, a, cert), "b.example.com": serveTLS(t, b, cert), "evil.example.net": serveTLS(t, evil, cert)})

	roots := filepath.Join(dir, "roots.pem")
	if err := writeFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})); err != nil {
		t.Fatal(err)
	}
	env := []string{"HTTPS_PROXY=" + through, "https_proxy=" + through, "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE=" + roots, "GIT_SSL_CAINFO=" + roots}
	env = append(env, spyOnGit(t, dir)...)
	// What the operator has must not be used either.
	if err := writeFile(filepath.Join(dir, "netrc"), []byte("machine evil.example.net login operator password canary-own\n")); err != nil {
		t.Fatal(err)
	}
	env = append(env, "NETRC="+filepath.Join(dir, "netrc"), "GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_2=http.extraHeader", "GIT_CONFIG_VALUE_2=Authorization: Basic b3duOmNhbmFyeS1vd24=")

	direct := func(patterns string, c ...modproxy.Credential) modproxy.List {
		return modproxy.List{Patterns: patterns, Upstreams: []modproxy.Upstream{{Name: "direct", Logins: &modproxy.Logins{Credentials: c}}}}
	}
	lists := []modproxy.List{
		direct("a.example.com", modproxy.Credential{Name: "a", Hosts: []string{"a.example.com"}, User: "reader", Password: canaryA}),
		direct("b.example.com", modproxy.Credential{Name: "b", Hosts: []string{"b.example.com"}, Bearer: canaryB}),
		direct(""),
	}
	url, p := start(t, "direct", func(o *modproxy.Options) { o.Lists, o.Env = lists, env })
	said := ""
	for _, x := range []struct {
		path string
		code int
		has  string
	}{
		{"/a.example.com/team/tool.git/@v/list", 200, "v1.0.0\n"},
		{"/a.example.com/team/tool.git/@v/v1.0.0.zip", 200, "PK"},
		{"/a.example.com/paged/@v/v1.0.0.mod", 200, "module a.example.com/paged"},
		{"/b.example.com/lib/@v/v1.0.0.info", 200, "v1.0.0"},
		{"/b.example.com/lib/@v/v1.0.0.zip", 200, "PK"},
		{"/evil.example.net/x.git/@v/v1.0.0.info", 502, "direct: "},
		{"/evil.example.net/y/@v/v1.0.0.info", 502, "direct: "},
	} {
		code, got := get(t, url+x.path)
		if code != x.code || !strings.Contains(got, x.has) {
			t.Errorf("%s: %d %.400s", x.path, code, got)
		}
		if code != 200 {
			said += got
		}
	}
	for name, f := range map[string]*forge{"a": a, "b": b} {
		if got := f.logins(); len(got) != 1 || got[0] != f.want {
			t.Errorf("%s was sent %q", name, got)
		}
	}
	if got := evil.logins(); len(got) > 0 {
		t.Errorf("a host without credentials was sent %q", got)
	}
	spied, err := os.ReadFile(filepath.Join(dir, "spied"))
	if err != nil || !strings.Contains(string(spied), "ls-remote") {
		t.Fatalf("git was not looked at: %v", err)
	}
	for what, text := range map[string]string{"an answer": said, "arguments or environment of git": string(spied), "the summary": fmt.Sprintf("%+v %+v", p.Summary(), p.Health())} {
		for _, secret := range []string{canaryA, canaryB, strings.TrimPrefix(a.want, "Basic ")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has the secret %s:\n%s", what, secret, text)
			}
		}
	}
	// What is not in the lists any more is gone from the disk, and is not used.
	if err := p.Reload(modproxy.Changeable{Lists: []modproxy.List{direct("")}}); err != nil {
		t.Fatal(err)
	}
	if code, got := get(t, url+"/a.example.com/team/tool.git/@v/v1.0.1.info"); code == 200 {
		t.Errorf("%d %s", code, got)
	}
	p.Close()
	left, err := filepath.Glob(filepath.Join(p.Store.Scratch(), "direct*", "home", "login*"))
	if err != nil || len(left) > 0 {
		t.Errorf("secrets are left: %v %v", left, err)
	}
}

// spyOnGit notes the arguments and the environment of every git that go starts.
func spyOnGit(t testing.TB, dir string) []string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	// The operator's own header is in the environment that the test gives.
	script := "#!/bin/sh\n{ echo \"$@\"; env; } >> " + filepath.Join(dir, "spied") + "\nexec " + git + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
}

// TestSecretsAreTakenOutOfForeignWords: a server that sends a login back does not get it
// into answers; and one that redirects does not get it to another.
func TestSecretsAreTakenOutOfForeignWords(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert := ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour))
	thief := &forge{want: "nothing"}
	elsewhere := serveTLS(t, thief, cert)
	got := make(chan string, 16)
	echo := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login := r.Header.Get("Authorization")
		got <- login
		switch {
		case strings.HasSuffix(r.URL.Path, ".mod"):
			http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "v1.0.0.info"):
			fmt.Fprintf(w, `{"Version":"%s"}`, strings.TrimPrefix(login, "Bearer "))
		default: // so that it lies across the end of what is shown
			http.Error(w, strings.Repeat("x", 140)+login, http.StatusTeapot)
		}
	}), cert)
	l, err := modproxy.ParseUpstreams(echo)
	if err != nil {
		t.Fatal(err)
	}
	l.Upstreams[0].Logins = &modproxy.Logins{Credentials: []modproxy.Credential{{Hosts: []string{strings.TrimPrefix(echo, "https://")}, Bearer: canaryB}}}
	url, p := start(t, "direct", func(o *modproxy.Options) {
		o.Lists = []modproxy.List{l}
		o.Roots = &http.Transport{TLSClientConfig: tlsWith(ca.cert)}
	})
	for _, name := range []string{"v1.0.0.info", "v1.0.0.mod", "v2.info", "list"} {
		code, said := get(t, url+"/"+widget+"/@v/"+name)
		if code == 200 || strings.Contains(said, "canary") {
			t.Errorf("%s: %d %s", name, code, said)
		}
		if login := <-got; login != "Bearer "+canaryB {
			t.Errorf("%s: the login was %q", name, login)
		}
	}
	if stolen := thief.logins(); len(stolen) > 0 {
		t.Errorf("another server was sent %q", stolen)
	}
	if s := fmt.Sprintf("%+v", p.Summary()); strings.Contains(s, "canary") {
		t.Error(s)
	}
}
