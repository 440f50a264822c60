//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modstore"
)

// depot is a server of modules with a checksum database of those that are listed.
type depot struct {
	l     *runLab
	files map[string][]byte
	sums  map[string]string // of listed versions: their lines
	url   string
}

func newDepot(l *runLab) *depot {
	l.t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		l.t.Fatal(err)
	}
	d := &depot{l: l, files: map[string][]byte{}, sums: map[string]string{}}
	db := http.StripPrefix("/sumdb/sum.example.org", sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if s := d.sums[path+"@"+version]; s != "" {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	})))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch data, ok := d.files[r.URL.Path]; {
		case ok:
			_, _ = w.Write(data)
		case r.URL.Path == "/sumdb/sum.example.org/supported":
		case strings.HasPrefix(r.URL.Path, "/sumdb/"):
			db.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	l.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	l.env = append(l.env, "GOSUMDB="+key)
	d.url = s.URL
	return d
}

// add makes a version of files; the database knows it if listed.
func (d *depot) add(path, version string, listed bool, files map[string]string) {
	d.l.t.Helper()
	v := module.Version{Path: path, Version: version}
	var b bytes.Buffer
	var list []modzip.File
	for name, content := range files {
		list = append(list, packed{name, content})
	}
	if err := modzip.Create(&b, v, list); err != nil {
		d.l.t.Fatal(err)
	}
	gomod := files["go.mod"]
	if gomod == "" {
		gomod = "module " + path + "\n"
	}
	at := "/" + path + "/@v/" + version
	d.files[at+".zip"], d.files[at+".mod"], d.files[at+".info"] = b.Bytes(), []byte(gomod), []byte(`{"Version":"`+version+`","Time":"2026-01-01T00:00:00Z"}`)
	name := filepath.Join(d.l.t.TempDir(), "m.zip")
	d.l.write(name, b.String())
	h, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		d.l.t.Fatal(err)
	}
	if listed {
		d.sums[path+"@"+version] = path + " " + version + " " + h + "\n" + path + " " + version + "/go.mod " + hashOf(d.l.t, gomod) + "\n"
	}
}

func hashOf(t *testing.T, gomod string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "go.mod")
	if err := os.WriteFile(name, []byte(gomod), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := dirhash.Hash1([]string{"go.mod"}, osOpen(name))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// must runs keepwell and holds it to its exit code and to words on standard error.
func (l *runLab) must(code int, words string, args ...string) (out string) {
	l.t.Helper()
	got, out, errs := l.run(args...)
	if got != code || !strings.Contains(errs, words) {
		l.t.Fatalf("%q: exit %d, want %d, and %q in\n%s%s", args, got, code, words, errs, out)
	}
	return out
}

// goAt runs go as on another machine, with its own caches and nothing but settings.
func (l *runLab) goAt(dir string, settings []string, args ...string) (string, error) {
	home := l.t.TempDir()
	goenvtest.Quiet(l.t, home)
	cmd := exec.CommandContext(l.t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(l.env), "HOME="+home, "GOPATH="+filepath.Join(home, "go"), "GOMODCACHE="+filepath.Join(home, "mod"), "GOFLAGS=-modcacherw -mod=mod")
	cmd.Env = append(cmd.Env, settings...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (l *runLab) project(dir string, files map[string]string) string {
	l.t.Helper()
	at := filepath.Join(l.work, dir)
	for name, content := range files {
		to := filepath.Join(at, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			l.t.Fatal(err)
		}
		l.write(to, content)
	}
	return at
}

// TestBundleFollowsReplacesAndTools builds offline a workspace with every way to name a
// module: a local replacement (whose requirements are followed, and which is not in the
// bundle), one by another module, an excluded version, a tool, tests, a private module.
func TestBundleFollowsReplacesAndTools(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	d := newDepot(l)
	lib := func(path, version string, listed bool, requires string) {
		name := path[strings.LastIndexByte(path, '/')+1:]
		d.add(path, version, listed, map[string]string{"go.mod": "module " + path + "\n\ngo 1.20\n" + requires, name + ".go": "package " + name + "\n"})
	}
	lib("example.com/widget", "v1.0.0", true, "")
	lib("example.com/widget", "v1.1.0", true, "")
	lib("example.com/fork", "v1.0.0", true, "")
	lib("example.com/deep", "v1.0.0", true, "")
	lib("example.com/unused", "v1.0.0", true, "")
	lib("example.com/user", "v1.0.0", true, "\nrequire example.com/widget v1.1.0\n\nrequire example.com/unused v1.0.0\n")
	lib("corp.example.com/secret", "v1.0.0", false, "")
	d.add("example.com/tool", "v1.0.0", true, map[string]string{"go.mod": "module example.com/tool\n\ngo 1.20\n", "main.go": "package main\n\nfunc main() {}\n"})
	root := l.project("ws", map[string]string{
		"go.work": "go 1.24\n\nuse (\n\t./app\n\t./other\n)\n",
		"app/go.mod": "module example.org/app\n\ngo 1.24\n\nrequire (\n\texample.com/user v1.0.0\n\texample.com/widget v1.0.0\n\texample.com/origin v1.0.0\n\texample.com/local v1.0.0\n\texample.com/deep v1.0.0 // indirect\n" +
			"\texample.com/tool v1.0.0\n\tcorp.example.com/secret v1.0.0\n)\n\ntool example.com/tool\n\nexclude example.com/widget v1.1.0\n\n" +
			"replace example.com/origin => example.com/fork v1.0.0\n\nreplace example.com/local => ../local\n",
		"app/main.go":      "package main\n\nimport (\n\t_ \"corp.example.com/secret\"\n\t_ \"example.com/local\"\n\t_ \"example.com/user\"\n)\n\nfunc main() {}\n",
		"app/main_test.go": "package main\n\nimport (\n\t\"testing\"\n\n\t_ \"example.com/widget\"\n)\n\nfunc Test(*testing.T) {}\n",
		"local/go.mod":     "module example.com/local\n\ngo 1.20\n\nrequire example.com/deep v1.0.0\n",
		"local/local.go":   "package local\n\nimport _ \"example.com/deep\"\n",
		"other/go.mod":     "module example.org/other\n\ngo 1.24\n\nrequire example.com/widget v1.0.0\n",
		"other/other.go":   "package other\n\nimport _ \"example.com/widget\"\n",
	})
	l.env = append(l.env, "GONOSUMDB=corp.example.com")
	store := filepath.Join(l.work, "store")
	l.must(0, "wrote ws.zip", "bundle", "create", "ws/go.work", "-o", "ws.zip", "--dir", store, "--upstream", d.url)
	var doc struct {
		Modules []struct{ Path, Version, Zip, Trust string }
	}
	if err := json.Unmarshal([]byte(l.must(0, "", "bundle", "list", "ws.zip", "--json")), &doc); err != nil {
		t.Fatal(err)
	}
	code := map[string]string{}
	for _, m := range doc.Modules {
		if m.Zip != "" {
			code[m.Path+"@"+m.Version] = m.Trust
		}
	}
	want := map[string]string{
		"corp.example.com/secret@v1.0.0": "first use", "example.com/deep@v1.0.0": "sumdb", "example.com/fork@v1.0.0": "sumdb",
		"example.com/tool@v1.0.0": "sumdb", "example.com/user@v1.0.0": "sumdb", "example.com/widget@v1.0.0": "sumdb",
	}
	if !maps.Equal(code, want) {
		t.Errorf("with code: %v\nwant %v", code, want)
	}
	l.must(0, "", "bundle", "verify", "ws.zip")
	settings := strings.Fields(l.must(0, "", "bundle", "unpack", "ws.zip", "-o", "un"))
	if len(settings) != 4 || settings[3] != "GONOSUMDB=corp.example.com" {
		t.Errorf("settings %q", settings)
	}
	for _, args := range []string{"build ./app ./other", "vet ./app ./other", "test ./app", "tool tool"} {
		dir := root
		if strings.HasPrefix(args, "tool") {
			dir = filepath.Join(root, "app")
		}
		if out, err := l.goAt(dir, append(settings, "GOFLAGS=-modcacherw"), strings.Fields(args)...); err != nil {
			t.Errorf("go %s: %v\n%s", args, err, out)
		}
	}
	// The same without the workspace, with flags that let go write go.mod.
	if out, err := l.goAt(filepath.Join(root, "app"), append(settings, "GOWORK=off"), "build", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func osOpen(name string) func(string) (io.ReadCloser, error) {
	return func(string) (io.ReadCloser, error) { return os.Open(name) }
}

// TestBundleAllIsEnoughToTidy tells what --all adds: the tests of what is imported.
func TestBundleAllIsEnoughToTidy(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	d := newDepot(l)
	d.add("example.com/check", "v1.0.0", true, map[string]string{"go.mod": "module example.com/check\n\ngo 1.20\n", "check.go": "package check\n"})
	d.add("example.com/widget", "v1.0.0", true, map[string]string{
		"go.mod": "module example.com/widget\n\ngo 1.20\n\nrequire example.com/check v1.0.0\n", "widget.go": "package widget\n", "widget_test.go": "package widget\n\nimport _ \"example.com/check\"\n",
	})
	dir := l.project("app", map[string]string{"go.mod": "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n", "main.go": "package main\n\nimport _ \"example.com/widget\"\n\nfunc main() {}\n"})
	create := []string{"bundle", "create", "app/go.mod", "--dir", filepath.Join(l.work, "store"), "--upstream", d.url, "-o"}
	l.must(0, "1 module with code", append(create, "few.zip")...)
	l.must(0, "2 modules with code", append(create, "all.zip", "--all")...)
	for name, enough := range map[string]bool{"few.zip": false, "all.zip": true} {
		settings := strings.Fields(l.must(0, "", "bundle", "unpack", name, "-o", name+".d"))
		if out, err := l.goAt(dir, settings, "build", "./..."); err != nil {
			t.Errorf("%s: build: %v\n%s", name, err, out)
		}
		if out, err := l.goAt(dir, settings, "mod", "tidy"); (err == nil) != enough {
			t.Errorf("%s: tidy: %v\n%s", name, err, out)
		}
	}
}

// TestBundleSwitchesToolchains carries a toolchain that nobody has, and go takes it from
// the bundle, proved by the checksum database.
func TestBundleSwitchesToolchains(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	d := newDepot(l)
	version := "v0.0.1-go1.99.1." + runtime.GOOS + "-" + runtime.GOARCH
	d.add("golang.org/toolchain", version, true, map[string]string{"bin/go": "#!/bin/sh\necho switched: \"$@\"\n", "bin/gofmt": "x", "VERSION": "go1.99.1\n", "pkg/tool/none": "x", "lib/none": "x"})
	dir := l.project("app", map[string]string{"go.mod": "module example.org/app\n\ngo 1.20\n\ntoolchain go1.99.1\n"})
	create := []string{"bundle", "create", "app/go.mod", "--dir", filepath.Join(l.work, "store"), "--upstream", d.url, "-o", "t.zip", "--json", "--toolchain"}
	if out := l.must(0, "wrote t.zip", create...); !strings.Contains(out, `"`+version+`"`) {
		t.Errorf("%s", out)
	}
	for _, settings := range [][]string{l.served("t.zip"), strings.Fields(l.must(0, "", "bundle", "unpack", "t.zip", "-o", "un"))} {
		out, err := l.goAt(dir, append(settings, "GOTOOLCHAIN=auto"), "version")
		if err != nil || !strings.HasSuffix(out, "switched: version\n") {
			t.Errorf("%v %s", err, out)
		}
	}
	// Without the proof go does not take it over a server.
	without, err := l.goAt(dir, append(l.served("t.zip")[:2], "GOSUMDB=off", "GOTOOLCHAIN=auto"), "version")
	if err == nil {
		t.Errorf("taken without proof: %s", without)
	}
	l.must(1, "golang.org/toolchain@v0.0.1-go1.99.1.plan9-arm (zip)", append(create[:len(create)-1], "--toolchain=plan9/arm")...)
}

// TestBundleSince carries only what is new, and is served together with what was there.
func TestBundleSince(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	d := newDepot(l)
	for _, v := range []string{"v1.0.0", "v1.1.0"} {
		d.add("example.com/widget", v, true, map[string]string{"go.mod": "module example.com/widget\n\ngo 1.20\n", "widget.go": "package widget // " + v + "\n"})
	}
	need := func(version string) string {
		return l.project("app", map[string]string{"go.mod": "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget " + version + "\n", "main.go": "package main\n\nimport _ \"example.com/widget\"\n\nfunc main() {}\n"})
	}
	create := []string{"bundle", "create", "app/go.mod", "--dir", filepath.Join(l.work, "store"), "--upstream", d.url}
	dir := need("v1.0.0")
	l.must(0, "wrote one.zip", append(create, "-o", "one.zip")...)
	need("v1.1.0")
	if out := l.must(0, "", append(create, "--since", "one.zip", "--dry-run", "--json")...); !strings.Contains(out, `"version": "v1.1.0"`) || strings.Contains(out, "v1.0.0") || !strings.Contains(out, `"kept": false`) {
		t.Errorf("%s", out)
	}
	l.must(0, "wrote two.zip: 1 module with code", append(create, "--since", "one.zip", "-o", "two.zip")...)
	l.must(1, "two.zip continues another bundle", "bundle", "serve", "two.zip")
	l.must(1, "two.zip 是另一个打包文件的后续", "bundle", "serve", "two.zip", "--lang", "zh")
	settings := l.served("two.zip", "one.zip")
	for _, v := range []string{"v1.0.0", "v1.1.0"} {
		need(v)
		if out, err := l.goAt(dir, settings, "build", "./..."); err != nil {
			t.Errorf("%s: %v\n%s", v, err, out)
		}
	}
	if out, err := l.goAt(dir, settings, "list", "-m", "-versions", "example.com/widget"); err != nil || out != "example.com/widget v1.0.0 v1.1.0\n" {
		t.Errorf("%v %s", err, out)
	}
	if out := l.must(0, "", "bundle", "list", "one.zip", "two.zip"); !strings.Contains(out, "continues the bundle with ID") {
		t.Errorf("%s", out)
	}
}

// TestDamagedBundlesAreNamed turns a byte in the code.
func TestDamagedBundlesAreNamed(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.proved()
	l.must(0, "wrote", "bundle", "create", "-o", "a.zip", "--dir", filepath.Join(l.work, "store"), "--upstream", server)
	data, err := os.ReadFile(filepath.Join(l.work, "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, l.good[labAt+".zip"])+60] ^= 1
	l.write(filepath.Join(l.work, "b.zip"), string(data))
	for _, cmd := range [][]string{{"bundle", "serve", "b.zip"}, {"bundle", "unpack", "b.zip", "-o", "un"}} {
		l.must(1, "opening the bundle b.zip: example.com/widget/@v/v1.0.0.zip: damaged", cmd...)
		l.must(1, "打开打包文件 b.zip：example.com/widget/@v/v1.0.0.zip：已损坏：sha256 为 ", append(cmd, "--lang", "zh")...)
	}
	if _, err := os.Stat(filepath.Join(l.work, "un")); err == nil {
		t.Error("something was unpacked")
	}
	if out := l.must(3, "", "bundle", "verify", "b.zip"); !strings.Contains(out, "damaged: b.zip: ") || !strings.Contains(out, "it must not be used") {
		t.Errorf("%s", out)
	}
	if out := l.must(0, "", "bundle", "verify", "b.zip", "--json"); !strings.Contains(out, `"ok": false`) {
		t.Errorf("%s", out)
	}
	if out := l.must(0, "", "bundle", "verify", "a.zip", "--sum", "go.sum", "--lang", "zh"); !strings.Contains(out, "1 个版本与 sum.example.org 签名的记录一致") {
		t.Errorf("%s", out)
	}
	l.write(filepath.Join(l.work, "b.zip"), string(data[:len(data)/2]))
	l.must(1, "opening the bundle b.zip", "bundle", "list", "b.zip")
	if out := l.must(3, "", "bundle", "verify", "b.zip"); !strings.Contains(out, "damaged: b.zip: ") || !strings.Contains(out, "it must not be used") {
		t.Errorf("%s", out)
	}
	l.must(1, "check the path and that you may read it\n", "bundle", "verify", "nope.zip")
	l.write(filepath.Join(l.work, "c.zip"), string(l.good[labAt+".zip"]))
	l.must(1, "打开打包文件 c.zip：", "bundle", "list", "c.zip", "--lang", "zh")
}

// TestBundleWithoutRoom writes where nothing of that size fits, and is killed while it
// writes: nothing half is left for long.
func TestBundleWithoutRoom(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	d := newDepot(l)
	d.add("example.com/widget", "v1.0.0", true, map[string]string{"go.mod": "module example.com/widget\n\ngo 1.20\n", "big.txt": noise(300 << 10)})
	l.write(filepath.Join(l.work, "go.sum"), "")
	dir := filepath.Join(l.work, "out")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	create := []string{"bundle", "create", "go.mod", "--dir", filepath.Join(l.work, "store"), "--upstream", d.url, "-o", "out/a.zip"}
	l.must(0, "at hand", "warm", "go.mod", "--dir", filepath.Join(l.work, "store"), "--upstream", d.url)
	cmd := l.command(create...)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -f 200; trap "" XFSZ; exec -a keepwell "$0" "$@"`, os.Args[0]}, create...)
	if bash, err := exec.LookPath("bash"); err == nil { // exec -a
		cmd.Path = bash
	} else {
		t.Skip("no bash")
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "writing out/a.zip: ") || !strings.Contains(string(out), "hint: ") {
		t.Errorf("%v %s", err, out)
	}
	left := func() []string {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return names
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	// What a killed process leaves goes with the next call.
	for _, name := range []string{".keepwell-bundle-9", ".keepwell-bundle-9.lock"} {
		l.write(filepath.Join(dir, name), "half")
	}
	l.must(0, "wrote out/a.zip", create...)
	if names := left(); !slices.Equal(names, []string{"a.zip"}) {
		t.Errorf("%q", names)
	}
}

// noise does not compress.
func noise(n int) string {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return string(data)
}

// TestWarmThroughAProxy has a running proxy fetch, and tells what it does not get.
func TestWarmThroughAProxy(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.serve(nil)
	store := filepath.Join(l.work, "team")
	cmd := l.command("proxy", "--listen", "127.0.0.1:0", "--dir", store, "--upstream", server)
	errs, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	team := wordAfter(t, errs, "GOPROXY=")
	if out := l.must(0, "127.0.0.1", "warm", "go.mod", "--proxy", team, "--json"); !strings.Contains(out, `"modules": 1`) {
		t.Errorf("%s", out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	clear(l.good)
	l.must(0, "1 module with code, 3 files", "warm", "go.mod", "--dir", store, "--upstream", server)
	l.must(2, "--pin is for the store here", "warm", "--proxy", team, "--pin", "x")
	l.must(2, "--proxy takes the URL", "warm", "--proxy", "ftp://x")
	// What cannot be had is told, and the rest comes.
	l.write(filepath.Join(l.work, "go.sum"), l.sums+"example.com/gone v1.0.0 h1:x\n")
	out := l.must(1, "example.com/gone@v1.0.0 (zip): ", "warm", "go.sum", "--dir", store, "--upstream", server, "--json")
	if !strings.Contains(out, `"module": "example.com/gone"`) {
		t.Errorf("%s", out)
	}
	l.must(1, "有 1 个文件无法取得", "warm", "go.sum", "--dir", store, "--upstream", server, "--lang", "zh")
}

// TestWarmPins keeps files from being collected until they are let go.
func TestWarmPins(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.serve(nil)
	store := filepath.Join(l.work, "store")
	l.must(0, "pinned as nightly: 3 files", "warm", "go.mod", "--dir", store, "--upstream", server, "--pin", "nightly")
	l.must(0, "", "warm", "go.mod", "--dir", store, "--upstream", server, "--pin", "other")
	l.must(0, "nightly is pinned no more", "warm", "--dir", store, "--unpin", "nightly")
	if n := kept(t, store); n != 3 {
		t.Errorf("pinned by the other, and %d files are left", n)
	}
	l.must(0, "", "warm", "--dir", store, "--unpin", "other")
	if n := kept(t, store); n != 0 {
		t.Errorf("let go, and %d files are left", n)
	}
}

// TestRunFromBundles takes a bundle and a directory of one in the place of servers, with
// the checksum database of the bundle.
func TestRunFromBundles(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.proved()
	l.must(0, "wrote", "bundle", "create", "-o", "a.zip", "--dir", filepath.Join(l.work, "store"), "--upstream", server)
	l.must(0, "unpacked", "bundle", "unpack", "a.zip", "-o", "un")
	l.write(filepath.Join(l.work, "main.go"), "package main\n\nimport _ \"example.com/widget\"\n\nfunc main() {}\n")
	for _, upstream := range []string{"./a.zip", "./un", filepath.Join(l.work, "a.zip"), "file://" + filepath.Join(l.work, "un")} {
		if err := os.RemoveAll(filepath.Join(l.work, "home", "mod")); err != nil {
			t.Fatal(err)
		}
		l.write(filepath.Join(l.work, "go.sum"), "")
		_, _, errs := l.run("run", "--dir", t.TempDir(), "--upstream", upstream, "--", "go", "build", "-mod=mod", "-o", os.DevNull, ".")
		if sums, err := os.ReadFile(filepath.Join(l.work, "go.sum")); err != nil || string(sums) != l.sums || strings.Contains(errs, "cannot be reached") {
			t.Errorf("%s: go.sum %q (%v)\n%s", upstream, sums, err, errs)
		}
	}
	l.write(filepath.Join(l.work, "bad.zip"), "PK")
	l.must(125, "bad.zip", "run", "--upstream", "./bad.zip", "--", "true")
}

// kept is how many files are left after a collection that leaves only what is pinned.
func kept(t *testing.T, dir string) int64 {
	t.Helper()
	s, err := modstore.Open(t.Context(), modstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Collect(t.Context(), modstore.Keep{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	n, _, err := s.Total(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wordAfter reads lines until one has mark, and returns what follows it.
func wordAfter(t *testing.T, r io.Reader, mark string) string {
	t.Helper()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), mark); ok {
			return strings.TrimRight(after, ")")
		}
	}
	t.Fatalf("nobody said %s", mark)
	return ""
}

// TestWarmLogsIn: a running proxy that wants a token gets it as from go: from netrc, from
// GOAUTH or from the URL, over https.
func TestWarmLogsIn(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	secret := strings.Repeat("s", 24)
	tokens, script, netrc := filepath.Join(l.work, "tokens"), filepath.Join(l.work, "goauth.sh"), filepath.Join(l.work, "netrc")
	l.write(tokens, "ci "+secret+"\n")
	cert, key := l.certificate()
	r := l.proxy("--upstream", l.serve(nil), "--token-file", tokens, "--tls-cert", cert, "--tls-key", key)
	defer r.end(t)
	host := strings.TrimPrefix(r.base, "https://")
	l.write(netrc, "machine "+host+" login go password "+secret+"\n")
	l.write(script, "#!/bin/sh\ntest -n \"$1\" && printf 'https://"+host+"\\n\\nAuthorization: Bearer "+secret+"\\n\\n'\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	l.env = append(l.env, "SSL_CERT_FILE="+cert)
	with := func(code int, words, proxy string, env ...string) {
		t.Helper()
		before := l.env
		defer func() { l.env = before }()
		l.env = slices.Concat(before, env)
		for _, file := range []string{"go.mod", "go.sum"} { // one asks through go, the other itself
			if out := l.must(code, words, "warm", file, "--proxy", proxy); strings.Contains(out, secret) {
				t.Errorf("the token is shown: %s", out)
			}
		}
	}
	with(1, "", r.base, "NETRC="+os.DevNull)
	with(0, "1 module with code", r.base, "NETRC="+netrc)
	with(1, "", r.base, "NETRC="+netrc, "GOAUTH=off")
	with(0, "1 module with code", r.base, "NETRC="+os.DevNull, "GOAUTH="+script)
	with(0, "1 module with code", "https://go:"+secret+"@"+host, "NETRC="+os.DevNull)
	with(1, "", "https://go:wrong@"+host, "NETRC="+netrc)
	l.must(2, "a login is not sent over http", "warm", "go.mod", "--proxy", "http://go:"+secret+"@"+host)
	l.must(2, "不会通过 http 发送登录信息", "warm", "go.mod", "--proxy", "http://go:"+secret+"@"+host, "--lang", "zh")
}
