//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	"time"
)

// hostileLab is the real `keepwell proxy` before an upstream that notes what it is asked.
type hostileLab struct {
	addr, dir string
	out       bytes.Buffer
	stop      func()

	mu    sync.Mutex
	asked []*http.Request
}

const hostileMod = "/example.com/widget/@v/v1.0.0.mod"

func (l *hostileLab) requests() []*http.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

func startHostile(t *testing.T, answer http.HandlerFunc) *hostileLab {
	t.Helper()
	l := &hostileLab{dir: filepath.Join(t.TempDir(), "store")}
	if answer == nil {
		answer = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == hostileMod {
				fmt.Fprint(w, "module example.com/widget\n")
				return
			}
			http.NotFound(w, r)
		}
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.asked = append(l.asked, r.Clone(r.Context()))
		l.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(up.Close)
	cmd := exec.Command("keepwell", "proxy", "--listen", "127.0.0.1:0", "--dir", l.dir, "--upstream", up.URL)
	cmd.Env = append(os.Environ(), "GOSUMDB=off", "GOENV=off", "GOFLAGS=", "LANG=C", "HOME="+t.TempDir())
	cmd.Stdout = &l.out
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(errs)
	line, err := in.ReadString('\n')
	_, rest, _ := strings.Cut(line, "http://")
	l.addr = strings.FieldsFunc(rest, func(r rune) bool { return r == ')' || r == '\n' || r == ' ' })[0]
	if err != nil {
		t.Fatal(line, err)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, in) }()
	l.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		_ = cmd.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// raw sends bytes and reads what comes until the server closes, or has answered once.
func (l *hostileLab) raw(t *testing.T, request string) (status int, all string) {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs is one that fails
	go func() { _, _ = io.WriteString(conn, request) }()
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (l *hostileLab) fine(t *testing.T) {
	t.Helper()
	if code, got := l.raw(t, "GET "+hostileMod+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); code != 200 || got != "module example.com/widget\n" {
		t.Errorf("a good request: %d %q", code, got)
	}
}

// TestHostileRequests: nothing that a client writes onto the wire is anything but refused,
// and no upstream learns of it.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	l := startHostile(t, nil)
	get := func(target string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	}
	refused := []int{0, 400, 404, 405, 431, 414, 501, 505}
	targets := []string{
		"/../../etc/passwd", "/example.com/widget/@v/../../../x", "/example.com%2f..%2f..%2fetc/@v/list", "/example.com/%2e%2e/x/@v/list",
		"/example.com/widget/@v/v1.0.0%2fx.mod", "/example.com/widget/@v/%00.mod", "/example.com/wid%0d%0aget/@v/list", `/example.com\widget/@v/list`,
		"/example.com/%5c..%5cx/@v/list", "/example.com/!!w/@v/list", "/example.com/!/@v/list", "/example.com/!W/@v/list", "/example.com/W/@v/list",
		"/example.com/%21widget%21/@v/list", "//example.com/widget/@v/list", "/example.com//widget/@v/list", "/example.com/widget/@v//list",
		"/example.com/widget;x=1/@v/list", "/example.com/widget/@v/list;x", "/example.com/widget/@v/v1.0.0.mod/", "/example.com/widget/@v/.mod",
		"/exаmple.com/widget/@v/list", "/ｅxample.com/widget/@v/list", "/example.com/widget/@v/ｖ1.0.0.mod", "/example.com/" + strings.Repeat("a", 300) + "\x7f/@v/list",
		"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/@v/list", "ftp://example.com/widget/@v/list", "*", "localhost/x/@v/list",
		"/localhost/x/@v/list", "/[::1]/x/@v/list", "/2130706433/x/@v/list", "/127.0.0.1:80/x/@v/list", "/user@example.com/x/@v/list",
		"/sumdb/", "/sumdb/..", "/sumdb/../example.com/widget/@v/list", "/sumdb/sum.example.org/tile/8/0/..%2f..%2fx", "/sumdb/%2e%2e/latest",
		"/sumdb/evil.example.org/latest", "/sumdb/evil.example.org/lookup/example.com/widget@v1.0.0", "/sumdb/http://10.0.0.1/latest",
	}
	for _, target := range targets {
		if code, got := l.raw(t, get(target)); !slices.Contains(refused, code) {
			t.Errorf("%q: %d %q", target, code, got)
		}
	}
	long := strings.Repeat("a", 200<<10)
	for name, request := range map[string]string{
		"a long path":      get("/example.com/" + long + "/@v/list"),
		"a long header":    "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nX-Long: " + long + "\r\n\r\n",
		"many headers":     "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 40000) + "\r\n",
		"length twice":     "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
		"a signed length":  "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"an odd encoding":  "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"a hidden colon":   "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"no host":          "GET " + hostileMod + " HTTP/1.1\r\n\r\n",
		"two hosts":        "GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"bare line feeds":  "GET " + hostileMod + " HTTP/1.1\nHost: x\n A: folded\n\n",
		"a NUL":            "GET " + hostileMod + "\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT":          "CONNECT 10.0.0.1:80 HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n",
		"POST":             "POST " + hostileMod + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
		"another protocol": "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/3":           "GET " + hostileMod + " HTTP/3.0\r\nHost: x\r\n\r\n",
	} {
		if code, got := l.raw(t, request); !slices.Contains(refused, code) {
			t.Errorf("%s: %d %.100q", name, code, got)
		}
	}
	if asked := l.requests(); len(asked) != 0 {
		t.Errorf("the upstream was asked for %s", asked[0].URL)
	}
	l.fine(t)
	// A body that looks like a request is none.
	inner := "GET /example.com/smuggled/@v/list HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, header := range []string{fmt.Sprintf("Content-Length: %d", len(inner)), "Transfer-Encoding: chunked"} {
		body := inner
		if strings.HasPrefix(header, "T") {
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
		}
		_, _ = l.raw(t, "GET "+hostileMod+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+header+"\r\n\r\n"+body)
	}
	for _, r := range l.requests() {
		if strings.Contains(r.URL.Path, "smuggled") {
			t.Error("a request was smuggled")
		}
	}
}

// TestSlowClientsKeepNobodyWaiting: a thousand connections say nothing, or a byte; others
// are served.
func TestSlowClientsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	l := startHostile(t, nil)
	for i := range 1000 {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, ("GET " + hostileMod + " HTTP/1.1\r\nHost: x\r\nX-Sl")[:1+i%50])
		}
	}
	l.fine(t)
}

// TestNothingOfAClientGoesOn, and nothing of an upstream but the file comes back.
func TestNothingOfAClientGoesOn(t *testing.T) {
	t.Parallel()
	l := startHostile(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=upstream")
		w.Header().Set("X-Upstream", "leak")
		w.Header().Set("Location", "http://evil.example.org/")
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == hostileMod {
			fmt.Fprint(w, "module example.com/widget\n")
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "broken\x1b]0;owned\x07\x1b[2J \u202egnp.exe\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>")
	})
	secrets := map[string]string{
		"Authorization": "Basic Y2xpZW50OnNlY3JldA==", "Proxy-Authorization": "Basic Y2xpZW50OnNlY3JldA==", "Cookie": "client=secret", "X-Api-Key": "secret",
		"Private-Token": "secret", "Referer": "http://inner.example.com/secret", "User-Agent": "secret-client/1", "X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3",
		"From": "bob@example.com", "Origin": "http://inner.example.com", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Baggage": "secret=1",
	}
	ask := func(path string) (status int, header http.Header, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.addr+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range secrets {
			r.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(data)
	}
	goodStatus, good, _ := ask(hostileMod)
	badStatus, bad, words := ask("/example.com/widget/@v/v1.0.1.mod")
	if goodStatus != http.StatusOK || badStatus != http.StatusBadGateway {
		t.Errorf("%d, %d", goodStatus, badStatus)
	}
	for _, header := range []http.Header{good, bad} {
		for _, name := range []string{"Set-Cookie", "X-Upstream", "Location", "Server"} {
			if v := header.Get(name); v != "" {
				t.Errorf("%s: %s", name, v)
			}
		}
		if v := header.Get("Content-Type"); v != "text/plain; charset=utf-8" {
			t.Errorf("Content-Type: %s", v)
		}
	}
	if bad.Get("X-Content-Type-Options") != "nosniff" || strings.ContainsAny(words, "\x1b\x07\r\u202e") || strings.Count(words, "\n") > 8 {
		t.Errorf("%v %q", bad, words)
	}
	asked := l.requests()
	if len(asked) < 2 {
		t.Fatalf("asked %d times", len(asked))
	}
	for _, r := range asked {
		for name, values := range r.Header {
			if !slices.Contains([]string{"User-Agent", "Accept-Encoding"}, name) || strings.Contains(values[0], "secret") {
				t.Errorf("the upstream was told %s: %s", name, values)
			}
		}
	}
}

// TestLogsCannotBeForged: each line is one record, whatever a client asks for.
func TestLogsCannotBeForged(t *testing.T) {
	t.Parallel()
	l := startHostile(t, nil)
	for _, path := range []string{
		"/example.com/x%0a%7b%22status%22:200%7d/@v/list", "/example.com/%1b%5b2J/@v/list", "/example.com/%22,%22client%22:%22root/@v/list", "/example.com/\xff\xfe/@v/list",
		"/example.com/%e2%80%ae/@v/list", "/example.com/token=ghp_0123456789abcdefghijABCDEFGHIJ012345/@v/list",
	} {
		_, _ = l.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	l.fine(t)
	l.stop()
	n := 0
	for line := range strings.Lines(l.out.String()) {
		n++
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["client"] == "root" {
			t.Errorf("%q: %v", line, err)
		}
		path, _ := record["path"].(string)
		if strings.ContainsAny(path, "\n\r\x1b\u202e") || strings.Contains(line, "ghp_0123456789") || strings.ContainsAny(line, "\x1b\u202e") {
			t.Errorf("%q", line)
		}
	}
	if n < 7 {
		t.Errorf("%d lines: %s", n, l.out.String())
	}
}

// TestStoreIsItsOwners: what is kept is nobody else's to read or to change.
func TestStoreIsItsOwners(t *testing.T) {
	t.Parallel()
	l := startHostile(t, nil)
	l.fine(t)
	err := filepath.WalkDir(l.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", name, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestADamagedStoreIsMended: the file is set aside, people are told, and the work goes on.
func TestADamagedStoreIsMended(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	dir := filepath.Join(l.work, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server := l.serve(nil)
	for lang, words := range map[string]string{"en": "store.db was damaged. What could be read of it was taken over: 0 files, 0 sums", "zh": "store.db 已损坏，已保留能读出的内容"} {
		l.write(filepath.Join(dir, "store.db"), strings.Repeat("no database ", 1000))
		l.must(0, words, "run", "--lang", lang, "--dir", dir, "--upstream", server, "--", "go", "mod", "download")
	}
	if aside, err := filepath.Glob(filepath.Join(dir, "store.db.damaged-*")); err != nil || len(aside) != 2 {
		t.Error(aside, err)
	}
}
