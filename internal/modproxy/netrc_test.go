package modproxy_test

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modproxy"
)

// TestLoginsAreGos sends what go itself sends: the real go asks a server over TLS with
// the same netrc. HOST stands for the server.
func TestLoginsAreGos(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	ca := newAuthority(t)
	rows := map[string]struct{ netrc, path string }{
		"one line":          {"machine HOST login u password p\n", ""},
		"several lines":     {"machine HOST\n login u\n password p\n", ""},
		"no password":       {"machine HOST login u\n", ""},
		"the first counts":  {"machine HOST login first password p\nmachine HOST login second password p\n", ""},
		"the complete":      {"machine HOST login first\nmachine HOST login second password p\n", ""},
		"folded case":       {"machine LOCALHOST:PORT login u password p\n", ""},
		"without port":      {"machine localhost login u password p\n", ""},
		"another":           {"machine other.example.com login u password p\n", ""},
		"default":           {"default login u password p\n", ""},
		"after a default":   {"default login x password y\nmachine HOST login u password p\n", ""},
		"after a lone one":  {"default\nlogin x\npassword y\nmachine HOST login u password p\n", ""},
		"ends in a default": {"machine other.example.com login x password y default\nmachine HOST login u password p\n", ""},
		"in a macro":        {"macdef init\nmachine HOST login u password p\n\n", ""},
		"after a macro":     {"macdef init\nx\n\nmachine HOST login u password p\n", ""},
		"with a path":       {"machine HOST/team login team password p\nmachine HOST login host password p\n", "/team"},
		"another path":      {"machine HOST/team login team password p\n", "/other"},
		"a part of a path":  {"machine HOST/te login team password p\n", "/team"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []string
			u := healthy(make1(t, widget, ""))
			s := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				login, password, _ := r.BasicAuth()
				mu.Lock()
				seen = append(seen, login+":"+password)
				mu.Unlock()
				r.URL.Path = strings.TrimPrefix(r.URL.Path, row.path)
				u.ServeHTTP(w, r)
			}), ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour)))
			_, port, err := net.SplitHostPort(strings.TrimPrefix(s, "https://"))
			if err != nil {
				t.Fatal(err)
			}
			netrc := strings.NewReplacer("HOST", "localhost:"+port, "PORT", port).Replace(strings.ReplaceAll(row.netrc, "LOCALHOST", "Localhost"))
			address := "https://localhost:" + port + row.path
			dir := t.TempDir()
			write := func(name string, data []byte) string {
				at := filepath.Join(dir, name)
				if err := os.WriteFile(at, data, 0o600); err != nil {
					t.Fatal(err)
				}
				return at
			}
			goenvtest.Quiet(t, dir)
			cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-versions", widget)
			cmd.Dir = dir
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOCACHE=" + filepath.Join(dir, "c"), "GOENV=off", "GOFLAGS=-modcacherw",
				"GOPROXY=" + address, "GOSUMDB=off", "GOTOOLCHAIN=local", "NO_PROXY=*", "NETRC=" + write("netrc", []byte(netrc)),
				"SSL_CERT_FILE=" + write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})),
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			url, _ := start(t, address, func(o *modproxy.Options) {
				o.Netrc = []byte(netrc)
				o.Roots = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ca.cert), MinVersion: tls.VersionTLS12}}
			})
			if code, text := get(t, url+"/"+widget+"/@v/list"); code != 200 {
				t.Fatal(code, text)
			}
			if len(seen) < 2 || seen[0] != seen[len(seen)-1] {
				t.Errorf("go sent %q, keepwell %q", seen[0], seen[len(seen)-1])
			}
		})
	}
}
