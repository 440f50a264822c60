//go:build unix

package faultlab

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keepwell/keepwell"
)

// secret is the password that must never be seen anywhere but on its own host.
const secret = "CANARY-password"

// privateHost is a git host that lets one account read.
type privateHost struct {
	git    http.Handler
	accept func(user, password string) int

	mu   sync.Mutex
	seen int // how often the secret came
}

func (h *privateHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	if password == secret {
		h.mu.Lock()
		h.seen++
		h.mu.Unlock()
	}
	status := http.StatusUnauthorized
	if ok {
		status = h.accept(user, password)
	}
	if status == http.StatusOK {
		h.git.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
	w.WriteHeader(status)
}

// nosy is a host that must not be sent a login.
func nosy(t *testing.T, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for key, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), secret) || key == "Authorization" {
				t.Errorf("%s was sent a login in %s", name, key)
			}
		}
		http.NotFound(w, r)
	}
}

// TestPrivate: whether a module that a proxy does not know is private, and why its host
// does not show it, is settled by the host itself; the login goes nowhere else.
func TestPrivate(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the command")
	}
	for _, tool := range []string{"go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	bin := buildKeepwell(t)
	goCache := t.TempDir()
	for name, row := range map[string]struct {
		private, netrc string
		status         int
		want           keepwell.Code
	}{
		"readable, but told to the proxy": {netrc: "login bob password " + secret, status: http.StatusOK, want: "auth/goprivate-unset"},
		"the login is refused":            {private: "git.example.com", netrc: "login bob password " + secret, status: http.StatusUnauthorized, want: "auth/expired-token"},
		"the login may not":               {private: "git.example.com", netrc: "login bob password " + secret, status: http.StatusForbidden, want: "auth/forbidden"},
		"no login":                        {private: "git.example.com", status: http.StatusOK, want: "auth/git-prompt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			l := Open(t, goCache)
			h := &privateHost{accept: func(_, _ string) int { return row.status }}
			h.git = l.gitServer(ctx)
			l.HTTPS("git.example.com", h)
			l.HTTPS("goproxy.example.org", nosy(t, "the proxy"))
			if row.netrc != "" {
				l.write(filepath.Join(l.Home, ".netrc"), "machine git.example.com "+row.netrc+"\n")
			}
			l.Set("GOPRIVATE", row.private)
			l.holdDoctor(ctx, t, bin, row.want)
			l.holdExplain(ctx, t, bin, row.want)
			h.mu.Lock()
			defer h.mu.Unlock()
			if row.netrc != "" && h.seen == 0 {
				t.Error("the login never came to its own host")
			}
		})
	}
}

// holdDoctor holds the doctor's first finding to a code, and all formats to silence
// about the secret.
func (l *Lab) holdDoctor(ctx context.Context, t *testing.T, bin string, want keepwell.Code) {
	t.Helper()
	asked := []string{"doctor", "git.example.com/acme/widget.git@v1.0.0"}
	v := l.keepwell(ctx, bin, append(asked, "--json")...)
	if err := json.Unmarshal([]byte(v.out), &v.doc); err != nil {
		t.Fatalf("reading the doctor's document: %v\n%s", err, v.out)
	}
	text := l.keepwell(ctx, bin, asked...)
	if v.first(false) != want {
		t.Errorf("the doctor says %s, want %s first:\n%s", v.codes(), want, text.out)
	}
	for _, s := range []string{v.out, v.stderr, text.out, text.stderr} {
		if strings.Contains(s, secret) {
			t.Errorf("the secret is shown:\n%s", s)
		}
	}
}

// holdExplain holds explain --probe to the same: it is given what go printed.
func (l *Lab) holdExplain(ctx context.Context, t *testing.T, bin string, want keepwell.Code) {
	t.Helper()
	l.Files("go.mod", "module example.com/app\n\ngo 1.20\n\nrequire git.example.com/acme/widget.git v1.0.0\n")
	said := l.Run(ctx, "go", "mod", "download", "git.example.com/acme/widget.git@v1.0.0")
	l.Files("failed.log", said)
	v := l.keepwell(ctx, bin, "explain", "--probe", "--json", "failed.log")
	if err := json.Unmarshal([]byte(v.out), &v.doc); err != nil {
		t.Fatalf("reading the document: %v\n%s", err, v.out)
	}
	if v.first(false) != want {
		t.Errorf("explain --probe says %s, want %s, of:\n%s\n%s", v.codes(), want, said, v.stderr)
	}
	if strings.Contains(v.out+v.stderr, secret) {
		t.Errorf("the secret is shown:\n%s", v.out)
	}
}
