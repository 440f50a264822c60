//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
)

// runLab is a project that needs one module, for `keepwell run`.
type runLab struct {
	t    *testing.T
	work string
	env  []string
	good map[string][]byte
	sums string
}

// packed is a file of a module's zip, and its own FileInfo.
type packed struct{ name, content string }

func (f packed) Path() string                 { return f.name }
func (f packed) Lstat() (fs.FileInfo, error)  { return f, nil }
func (f packed) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }
func (f packed) Name() string                 { return f.name }
func (f packed) Size() int64                  { return int64(len(f.content)) }
func (f packed) Mode() fs.FileMode            { return 0o644 }
func (f packed) ModTime() time.Time           { return time.Time{} }
func (f packed) IsDir() bool                  { return false }
func (f packed) Sys() any                     { return nil }

const labAt = "/example.com/widget/@v/v1.0.0"

func newRunLab(t *testing.T) *runLab {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	l := &runLab{t: t, work: t.TempDir(), good: map[string][]byte{}}
	gomod := "module example.com/widget\n\ngo 1.20\n"
	l.good[labAt+".info"], l.good[labAt+".mod"] = []byte(`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`), []byte(gomod)
	l.good[labAt+".zip"] = l.pack(gomod, "package widget\n")
	l.good["/example.com/widget/@v/list"] = []byte("v1.0.0\n")
	zip := filepath.Join(l.work, "widget.zip")
	l.write(zip, string(l.good[labAt+".zip"]))
	h, err := dirhash.HashZip(zip, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	hm, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(gomod)), nil })
	if err != nil {
		t.Fatal(err)
	}
	l.sums = "example.com/widget v1.0.0 " + h + "\nexample.com/widget v1.0.0/go.mod " + hm + "\n"
	l.write(filepath.Join(l.work, "go.mod"), "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n")
	l.write(filepath.Join(l.work, "go.sum"), l.sums)
	home := filepath.Join(l.work, "home")
	goenvtest.Quiet(t, home)
	l.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOMODCACHE=" + filepath.Join(home, "mod"), "GOPATH=" + filepath.Join(home, "go"), "GOCACHE=" + buildCache(filepath.Join(home, "cache")),
		"GOFLAGS=-modcacherw", "GOENV=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "LANG=C.UTF-8", "NO_PROXY=*",
	}
	return l
}

// buildCache is that of whoever runs the tests, or else own: in an empty one, each lab
// would compile the standard library.
func buildCache(own string) string {
	dir := os.Getenv("GOCACHE")
	if dir == "" {
		if caches, err := os.UserCacheDir(); err == nil {
			dir = filepath.Join(caches, "go-build")
		}
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() || !filepath.IsAbs(dir) {
		return own
	}
	return dir
}

func (l *runLab) write(name, content string) {
	l.t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *runLab) pack(gomod, source string) []byte {
	l.t.Helper()
	var b bytes.Buffer
	err := modzip.Create(&b, module.Version{Path: "example.com/widget", Version: "v1.0.0"}, []modzip.File{packed{"go.mod", gomod}, packed{"widget.go", source}})
	if err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}

// serve is a healthy server, whose answers bad may replace.
func (l *runLab) serve(bad func(w http.ResponseWriter, r *http.Request, good []byte) bool) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good := l.good[r.URL.Path]
		switch {
		case bad != nil && bad(w, r, good):
		case good == nil:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(good)
		}
	}))
	l.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// command is keepwell, as this test's own binary.
func (l *runLab) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(l.t.Context(), os.Args[0])
	cmd.Args = append([]string{"keepwell"}, args...)
	cmd.Dir, cmd.Env = l.work, l.env
	return cmd
}

func (l *runLab) run(args ...string) (code int, out, errs string) {
	l.t.Helper()
	cmd := l.command(args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func packOther(t *testing.T) []byte {
	t.Helper()
	return (&runLab{t: t}).pack("module example.com/widget\n", "package widget // another\n")
}

func TestRunStaysOutOfTheWay(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	good := l.serve(nil)
	run := []string{"run", "--dir", filepath.Join(l.work, "store"), "--upstream", good, "--"}
	with := func(args ...string) []string { return append(run[:len(run):len(run)], args...) }
	if code, out, errs := l.run(with("sh", "-c", "echo $GOSUMDB; exit 42")...); code != 42 || out != "off\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := l.run(with("sh", "-c", "kill -9 $$")...); code != 137 || errs != "" {
		t.Errorf("%d %q", code, errs)
	}
	if code, _, errs := l.run(with("no-such-command-here")...); code != 127 || !strings.Contains(errs, "hint: ") {
		t.Errorf("%d %q", code, errs)
	}
	if code, _, errs := l.run("run", "--lang", "zh"); code != 2 || !strings.Contains(errs, "没有要运行的命令") {
		t.Errorf("%d %q", code, errs)
	}
	// The user's list that nothing can be added to is left alone.
	l.env = append(l.env, "GOPROXY=off")
	if code, out, _ := l.run("run", "--", "go", "env", "GOPROXY"); code != 0 || out != "off\n" {
		t.Errorf("%d %q", code, out)
	}
	// A refusal by a host that is not public is final.
	refuses := l.serve(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		http.Error(w, "licence; ask legal@acme.example", http.StatusForbidden)
		return true
	})
	l.env = append(l.env, "GOPROXY="+refuses+","+good)
	if code, _, errs := l.run("run", "--dir", filepath.Join(l.work, "store"), "--", "go", "mod", "download"); code != 1 || !strings.Contains(errs, "is final") || strings.Count(errs, "licence; ask legal@acme.example") < 2 || strings.Contains(errs, "<email>") {
		t.Errorf("%d %q", code, errs)
	}
	// A zip of wrong content is never handed out, and the words say why.
	bad := l.serve(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		_, _ = w.Write(packOther(t))
		return true
	})
	code, _, errs := l.run("run", "--lang", "zh", "--dir", filepath.Join(l.work, "store"), "--upstream", bad, "--", "go", "mod", "download")
	if code != 1 || !strings.Contains(errs, "wrong content: h1:") || !strings.Contains(errs, "内容不对：校验和与 go.sum 的记录不符") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestRunWithoutTheDatabase trusts on first use where the checksum database cannot be
// reached, and says so.
func TestRunWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	if err := os.Remove(filepath.Join(l.work, "go.sum")); err != nil {
		t.Fatal(err)
	}
	_, key, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		t.Fatal(err)
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	l.env = append(l.env, "GOSUMDB="+key+" "+dead.URL)
	code, _, errs := l.run("run", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil), "--", "go", "mod", "download", "example.com/widget@v1.0.0")
	if code != 0 || !strings.Contains(errs, "database sum.example.org cannot be reached; new modules are trusted on first use") {
		t.Errorf("%d %s", code, errs)
	}
	// What was seen first is held to: another zip under the same version is refused.
	if err := errors.Join(os.RemoveAll(filepath.Join(l.work, "home")), os.Remove(filepath.Join(l.work, "go.sum"))); err != nil {
		t.Fatal(err)
	}
	bad := l.serve(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		_, _ = w.Write(packOther(t))
		return true
	})
	code, _, errs = l.run("run", "--dir", filepath.Join(l.work, "store"), "--upstream", bad, "--", "go", "mod", "download", "example.com/widget@v1.0.0")
	if code != 1 || !strings.Contains(errs, "ALARM: the content of example.com/widget v1.0.0") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestRunsShareAStore runs eight at once, each with a module cache of its own.
func TestRunsShareAStore(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	args := []string{"run", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil), "--", "go", "mod", "download"}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			cmd := l.command(args...)
			cmd.Env = slices.Concat(l.env, []string{fmt.Sprintf("GOMODCACHE=%s/mod%d", l.work, i)})
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v %s", err, out)
			}
		})
	}
	all.Wait()
	// The zips lie in the module caches; a copy more would help nobody.
	if blobs, _ := filepath.Glob(filepath.Join(l.work, "store", "blobs", "*", "*")); len(blobs) > 0 {
		t.Errorf("kept %v", blobs)
	}
}

// TestRunServesTheModuleCache: what lies in the user's module cache needs no server when
// the command has a cache of its own, unless it has rotted there.
func TestRunServesTheModuleCache(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	store := filepath.Join(l.work, "store")
	var asked atomic.Int32
	good := l.serve(func(http.ResponseWriter, *http.Request, []byte) bool { asked.Add(1); return false })
	download := func(cache string) {
		t.Helper()
		if code, out, errs := l.run("run", "--dir", store, "--upstream", good, "--", "env", "GOMODCACHE="+filepath.Join(l.work, cache), "go", "mod", "download"); code != 0 || out+errs != "" {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	if code, _, errs := l.run("run", "--dir", store, "--upstream", good, "--", "go", "mod", "download"); code != 0 {
		t.Fatal(errs)
	}
	if err := os.RemoveAll(store); err != nil { // which keeps no zips, but go.mod and .info
		t.Fatal(err)
	}
	before := asked.Load()
	download("first")
	if n := asked.Load() - before; n != 0 {
		t.Errorf("servers were asked %d times for what is there", n)
	}
	if blobs, _ := filepath.Glob(filepath.Join(store, "blobs", "*", "*")); len(blobs) > 0 {
		t.Errorf("a second copy is kept: %v", blobs)
	}
	zip := filepath.Join(l.work, "home", "mod", "cache", "download", "example.com", "widget", "@v", "v1.0.0.zip")
	if err := os.WriteFile(zip, packOther(t), 0o600); err != nil {
		t.Fatal(err)
	}
	download("second")
	if n := asked.Load() - before; n != 1 {
		t.Errorf("servers were asked %d times for one rotten file", n)
	}
}

func TestRunPassesSignalsOn(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	cmd := l.command("run", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil), "--", "sh", "-c", "trap 'exit 7' TERM; echo ready; read x; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit %d", code)
	}
}

func TestProxyServes(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	if code, _, errs := l.run("proxy", "--listen", "0.0.0.0:0", "--upstream", l.serve(nil), "--dir", filepath.Join(l.work, "store")); code != 1 || !strings.Contains(errs, "--token-file") {
		t.Errorf("%d %q", code, errs)
	}
	for lang, words := range map[string]string{"en": "line 2: this looks like a name whose token is missing", "zh": "第 2 行：看起来只有名称，缺少令牌"} {
		l.write(filepath.Join(l.work, "tokens"), "# who may ask\nalice\n")
		if code, _, errs := l.run("proxy", "--lang", lang, "--upstream", l.serve(nil), "--dir", filepath.Join(l.work, "store"), "--token-file", "tokens"); code != 1 || !strings.Contains(errs, words) || !strings.Contains(errs, "--new-token") || strings.Contains(errs, "alice") {
			t.Errorf("%d %q", code, errs)
		}
	}
	l.write(filepath.Join(l.work, "tokens"), "# who may ask\nalice s3cret-of-alice-1\n")
	cmd := l.command("proxy", "--listen", "127.0.0.1:0", "--upstream", l.serve(nil), "--dir", filepath.Join(l.work, "store"), "--token-file", "tokens", "--quota", "1G")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var access bytes.Buffer
	cmd.Stdout = &access
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(errs)
	line, err := lines.ReadString('\n')
	if strings.Contains(line, "chmod 600") { // the lab's umask
		line, err = lines.ReadString('\n')
	}
	if err != nil {
		t.Fatal(err)
	}
	_, base, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ")"), "GOPROXY=")
	get := func(path, token string) (int, string) {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, base+path, http.NoBody)
		if token != "" {
			r.SetBasicAuth("go", token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	for _, x := range []struct {
		path, token string
		code        int
		has         string
	}{
		{labAt + ".mod", "", 401, "token"},
		{labAt + ".mod", "wrong", 401, "token"},
		{labAt + ".zip", "s3cret-of-alice-1", 200, "PK"},
		{"/example.com/none/@v/list", "s3cret-of-alice-1", 404, "not found"},
		{"/healthz", "", 200, `{"status":"ok"}`},
		{"/healthz", "s3cret-of-alice-1", 200, `"upstreams":[{"upstream":"127.0.0.1:`},
		{"/metrics", "s3cret-of-alice-1", 200, `keepwell_proxy_requests_total{kind="zip",status="200"} 1`},
	} {
		if code, got := get(x.path, x.token); code != x.code || !strings.Contains(got, x.has) {
			t.Errorf("%s: %d %.300s", x.path, code, got)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for lang, words := range map[string]string{"en": "files that no record named, removed: 1 (3 KiB)", "zh": "已删除无记录的文件 1 个（3 KiB）"} {
		orphan := filepath.Join(l.work, "store", "blobs", "ab", strings.Repeat("ab", 32))
		if err := os.MkdirAll(filepath.Dir(orphan), 0o700); err != nil {
			t.Fatal(err)
		}
		l.write(orphan, strings.Repeat("x", 3<<10))
		if code, out, errs := l.run("proxy", "--lang", lang, "--scrub", "--dir", filepath.Join(l.work, "store"), "--upstream", "direct"); code != 0 || !strings.Contains(out, words) {
			t.Errorf("scrub: %d %s%s", code, out, errs)
		}
	}
	if code, out, errs := l.run("proxy", "--scrub", "--dir", filepath.Join(l.work, "store"), "--upstream", "direct"); code != 0 || !strings.Contains(out, "held to their sums: 1 ") {
		t.Errorf("scrub: %d %s%s", code, out, errs)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if got := access.String(); !strings.Contains(got, `"status":200,"bytes":`) || !strings.Contains(got, `"client":"alice"`) || strings.Contains(got, "s3cret-of-alice-1") {
		t.Errorf("access log: %s", got)
	}
}
