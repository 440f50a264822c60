//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// team is a `keepwell proxy` of its own process, with a configuration.
type team struct {
	l    *runLab
	cmd  *exec.Cmd
	base string

	mu   sync.Mutex
	logs bytes.Buffer
	read sync.WaitGroup
	out  bytes.Buffer
}

func (l *runLab) team(env []string, args ...string) *team {
	l.t.Helper()
	s := &team{l: l, cmd: l.command(append([]string{"proxy"}, args...)...)}
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdout = &s.out
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	lines := bufio.NewReader(errs)
	line, err := lines.ReadString('\n')
	_, base, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ")"), "GOPROXY=")
	if err != nil || !ok {
		rest, _ := io.ReadAll(lines)
		l.t.Fatalf("%v %s%s", err, line, rest)
	}
	s.base = base
	s.read.Go(func() {
		for {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.logs.WriteString(line)
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	l.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

func (s *team) get(path string) (int, string) {
	s.l.t.Helper()
	r, err := http.NewRequestWithContext(s.l.t.Context(), http.MethodGet, s.base+path, http.NoBody)
	if err != nil {
		s.l.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.l.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// reload sends SIGHUP, and waits until the metrics have line.
func (s *team) reload(line string) {
	s.l.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.l.t.Fatal(err)
	}
	for { // the test's own deadline bounds it
		if _, got := s.get("/metrics"); slices.Contains(strings.Split(got, "\n"), line) {
			return
		}
	}
}

func (s *team) end() (logs, access string) {
	s.l.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.l.t.Fatal(err)
	}
	s.read.Wait()
	_ = s.cmd.Wait()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.l.t.Errorf("exit %d", code)
	}
	return s.logs.String(), s.out.String()
}

// TestProxyConfigured: a server with a login, secrets that show up nowhere, rules that the
// real go command is told of, and a reload that takes all of a file or nothing.
func TestProxyConfigured(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	const bearer, password = "canary-bearer-9d3a", "canary-password-4c11"
	var mu sync.Mutex
	seen := map[string]bool{}
	inner := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login := r.Header.Get("Authorization")
		mu.Lock()
		seen[login] = true
		mu.Unlock()
		if good := l.good[r.URL.Path]; good != nil && login == "Bearer "+bearer {
			_, _ = w.Write(good)
			return
		}
		http.Error(w, "no: "+login, http.StatusForbidden) // it tells the login again
	}))
	t.Cleanup(inner.Close)
	roots := filepath.Join(l.work, "roots.pem")
	l.write(roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: inner.Certificate().Raw})))
	l.write(filepath.Join(l.work, "secret"), password+"\n")
	config := func(more string) {
		l.write(filepath.Join(l.work, "proxy.yaml"), fmt.Sprintf(`
listen: 127.0.0.1:0
dir: store
upstreams:
  - modules: example.com
    servers: %[1]s
    credentials: [inner, other]
  - servers: %[1]s
credentials:
  inner:
    hosts: %[2]s
    bearer: ${INNER_TOKEN}
  other:
    hosts: [%[2]s, git.example.com]
    user: reader
    password: file:secret
%[3]s`, inner.URL, strings.TrimPrefix(inner.URL, "https://"), more))
	}
	config("")
	s := l.team([]string{"SSL_CERT_FILE=" + roots, "INNER_TOKEN=" + bearer}, "--config", "proxy.yaml")
	said := ""
	check := func(path string, code int, has string) {
		t.Helper()
		got, text := s.get(path)
		if said += text; got != code || !strings.Contains(text, has) {
			t.Errorf("%s: %d %.300s", path, got, text)
		}
	}
	check(labAt+".zip", 200, "PK")
	check(labAt+".mod", 200, "module example.com/widget")
	check("/example.com/none/@v/list", 502, "403 Forbidden: no: ")
	check("/example.org/none/@v/list", 502, "403 Forbidden: no:") // a list without credentials has no login
	check("/healthz", 200, "ok")

	// A bad file changes nothing, and is told of.
	config("rules:\n  - {name: x, action: deny, modules: example.com/widget, version: 1.0.0}\n")
	s.reload("keepwell_proxy_config_stale 1")
	check(labAt+".zip", 200, "PK")

	config("rules:\n  - {name: no-widgets, action: deny, modules: example.com/widget, versions: 1.0.0, reason: it eats files}\n")
	s.reload("keepwell_proxy_config_stale 0")
	check(labAt+".zip", 403, "rule no-widgets\n  it eats files\n")
	for _, list := range []string{s.base, s.base + ",off", s.base + ",direct"} {
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download")
		cmd.Dir, cmd.Env = l.work, append(slices.Clone(l.env), "GOPROXY="+list)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "403 Forbidden") || !strings.Contains(string(out), "rule no-widgets") || !strings.Contains(string(out), "it eats files") {
			t.Errorf("%s: %v %s", list, err, out)
		}
	}
	_, text := s.get("/metrics")
	said += text
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	logs, access := s.end()
	for what, text := range map[string]string{"an answer": said, "the log": logs, "the access log": access, "the arguments": string(arguments)} {
		if strings.Contains(text, "canary") {
			t.Errorf("%s has a secret:\n%s", what, text)
		}
	}
	if !strings.Contains(logs, `unknown key \"version\"; did you mean \"versions\"?`) || !strings.Contains(logs, "cannot be used; the one before still holds") {
		t.Errorf("the log does not tell of the bad file: %s", logs)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || !seen["Bearer "+bearer] || !seen[""] {
		t.Errorf("logins: %v", seen)
	}
}

// packAs is the zip of a version of widget.
func (l *runLab) packAs(v, gomod string) []byte {
	l.t.Helper()
	var b bytes.Buffer
	err := modzip.Create(&b, module.Version{Path: "example.com/widget", Version: v}, []modzip.File{packed{"go.mod", gomod}, packed{"widget.go", "package widget\n"}})
	if err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}

// TestGoPicksTheOlderVersion: with a version forbidden, go get -u takes the one before.
func TestGoPicksTheOlderVersion(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	gomod := "module example.com/widget\n\ngo 1.20\n"
	for _, v := range []string{"v1.1.0", "v1.2.0"} {
		at := "/example.com/widget/@v/" + v
		l.good[at+".info"], l.good[at+".mod"] = fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, v), []byte(gomod)
		l.good[at+".zip"] = l.packAs(v, gomod)
	}
	l.good["/example.com/widget/@v/list"] = []byte("v1.0.0\nv1.1.0\nv1.2.0\n")
	l.write(filepath.Join(l.work, "main.go"), "package main\n\nimport _ \"example.com/widget\"\n\nfunc main() {}\n")
	l.write(filepath.Join(l.work, "proxy.yaml"), "listen: 127.0.0.1:0\ndir: store\nupstreams:\n  - servers: "+l.serve(nil)+
		"\nrules:\n  - {name: wait, action: deny, modules: example.com/widget, versions: 1.2.0}\n")
	s := l.team(nil, "--config", "proxy.yaml")
	cmd := exec.CommandContext(t.Context(), "go", "get", "-u", "./...")
	cmd.Dir, cmd.Env = l.work, append(slices.Clone(l.env), "GOPROXY="+s.base)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "upgraded example.com/widget v1.0.0 => v1.1.0") {
		t.Errorf("%v %s", err, out)
	}
	s.end()
}
