//go:build unix

package modproxy_test

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modproxy"
)

// guarded is a server that wants a login, and notes what it was sent for lists.
type guarded struct {
	mu   sync.Mutex
	seen []string
	next http.Handler
}

func (s *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	login := r.Header.Get("Authorization") + "|" + r.Header.Get("Private-Token")
	if strings.HasSuffix(r.URL.Path, "/list") {
		s.mu.Lock()
		s.seen = append(s.seen, login)
		s.mu.Unlock()
	}
	if login == "|" || strings.Contains(login, "wrong") {
		w.Header().Set("X-Realm", "team")
		http.Error(w, "log in", http.StatusUnauthorized)
		return
	}
	s.next.ServeHTTP(w, r)
}

func (s *guarded) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// TestGoAuthIsGos sends what go itself sends: the real go asks a server that wants a login,
// with the same GOAUTH. HOST stands for the server, DIR for a directory with programs.
func TestGoAuthIsGos(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	ca := newAuthority(t)
	const said = `printf 'https://HOST\n\nAuthorization: Bearer secret-of-program\n\n'`
	for name, row := range map[string]struct {
		goauth, program string
		ok              bool
	}{
		"a program":                    {"DIR/program", said, true},
		"with arguments":               {"DIR/program 'a b'", `test "$1" = "a b" && ` + said, true},
		"when asked for the URL":       {"DIR/program", `test -n "$1" && ` + said, true},
		"that reads the refusal":       {"DIR/program", `grep -qi "^x-realm: team" && ` + said, true},
		"another header":               {"DIR/program", `printf 'https://HOST/\n\nPrivate-Token: secret-of-program\n\n'`, true},
		"of another server":            {"DIR/program", `printf 'https://other.example.com\n\nAuthorization: Bearer secret-of-program\n\n'`, false},
		"of another path":              {"DIR/program", `printf 'https://HOST/elsewhere\n\nAuthorization: Bearer secret-of-program\n\n'`, false},
		"of a longer path":             {"DIR/program", `printf 'https://HOST\n\nAuthorization: Bearer wrong\n\nhttps://HOST/example.com\n\nAuthorization: Bearer secret-of-program\n\n'`, true},
		"a wrong one, then the right":  {"DIR/program", `test -n "$1" && ` + said + ` || printf 'https://HOST\n\nAuthorization: Bearer wrong\n\n'`, true},
		"that prints something else":   {"DIR/program", `printf 'https://HOST\n\nwhat is this\n\n'`, false},
		"that breaks off":              {"DIR/program", `printf 'https://HOST\n\nAuthorization: Bearer secret-of-program\n'`, false},
		"that fails":                   {"DIR/program", said + `; exit 1`, false},
		"netrc before it":              {"netrc; DIR/program", said, true},
		"netrc after it":               {"DIR/program; netrc", said, true},
		"netrc alone":                  {"netrc", said, true},
		"off":                          {"off", said, false},
		"git":                          {"git DIR", said, true},
		"git, and netrc that is wrong": {"git DIR; DIR/program", `printf 'https://HOST\n\nAuthorization: Bearer wrong\n\n'`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &guarded{next: healthy(make1(t, widget, ""))}
			at := serveTLS(t, s, ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour)))
			_, port, err := net.SplitHostPort(strings.TrimPrefix(at, "https://"))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write := func(name, text string, mode os.FileMode) string {
				at := filepath.Join(dir, name)
				if err := os.WriteFile(at, []byte(strings.NewReplacer("HOST", "localhost:"+port).Replace(text)), mode); err != nil {
					t.Fatal(err)
				}
				return at
			}
			write("program", "#!/bin/sh\n"+row.program+"\n", 0o700)
			netrc := write("netrc", "machine HOST login me password secret-of-netrc\n", 0o600)
			repository(t, dir)
			goauth := strings.ReplaceAll(row.goauth, "DIR", dir)
			goenvtest.Quiet(t, dir)
			cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-versions", widget)
			cmd.Dir = dir
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOCACHE=" + filepath.Join(dir, "c"), "GOENV=off", "GOFLAGS=-modcacherw",
				"GOPROXY=https://localhost:" + port, "GOSUMDB=off", "GOTOOLCHAIN=local", "NO_PROXY=*", "NETRC=" + netrc, "GOAUTH=" + goauth,
				"SSL_CERT_FILE=" + write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})), 0o600),
			}
			if out, err := cmd.CombinedOutput(); (err == nil) != row.ok {
				t.Fatalf("%v %s", err, out)
			}
			want := s.take()
			lines, err := os.ReadFile(netrc)
			if err != nil {
				t.Fatal(err)
			}
			url, _ := start(t, "https://localhost:"+port, func(o *modproxy.Options) {
				o.Auth = credentials.NewGoAuth(goauth, lines)
				o.Roots = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ca.cert), MinVersion: tls.VersionTLS12}}
			})
			code, text := get(t, url+"/"+widget+"/@v/list")
			if (code == 200) != row.ok || strings.Contains(text, "secret-of") {
				t.Errorf("%d %s", code, text)
			}
			// Where no login can be had, go asks once more all the same.
			if got := s.take(); len(got) == 0 || !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Errorf("go sent %q, keepwell %q", want, got)
			}
		})
	}
}

// repository makes dir one in which git knows a login.
func repository(t *testing.T, dir string) {
	t.Helper()
	config := "[core]\n\trepositoryformatversion = 0\n[credential]\n\thelper =\n\thelper = \"!f() { test \\\"$1\\\" = get && echo username=me && echo password=secret-of-git; }; f\"\n"
	for _, name := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(dir, ".git", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/main\n", "config": config} {
		if err := os.WriteFile(filepath.Join(dir, ".git", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoAuthStaysWithItsServer: what a program gave for one server reaches neither the one
// that it leads to, nor any over http.
func TestGoAuthStaysWithItsServer(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var mu sync.Mutex
	var leaked []string
	f := healthy(make1(t, widget, ""))
	note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		leaked = append(leaked, r.Header.Get("Authorization")+r.Header.Get("Private-Token"))
		mu.Unlock()
		f.ServeHTTP(w, r)
	})
	leaf := ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour))
	other := serveTLS(t, note, leaf)
	plain := serve(t, note)
	own := ""
	first := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		own = r.Header.Get("Private-Token")
		mu.Unlock()
		http.Redirect(w, r, other+r.URL.Path, http.StatusFound)
	}), leaf)
	program := filepath.Join(t.TempDir(), "program")
	text := "#!/bin/sh\nprintf '%s\\n%s\\n\\nPrivate-Token: secret\\nAuthorization: Bearer secret\\n\\n' " + first + " " + plain + "\n"
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, upstream := range []string{first, plain} {
		url, _ := start(t, upstream, func(o *modproxy.Options) {
			o.Auth = credentials.NewGoAuth(program, nil)
			o.Roots = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ca.cert), MinVersion: tls.VersionTLS12}}
		})
		if code, said := get(t, url+"/"+widget+"/@v/list"); code != 200 {
			t.Errorf("%s: %d %s", upstream, code, said)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if own != "secret" {
		t.Errorf("its own server got %q", own)
	}
	if strings.Join(leaked, "") != "" || len(leaked) < 2 {
		t.Errorf("others got %q", leaked)
	}
}
