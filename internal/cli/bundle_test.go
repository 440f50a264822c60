//go:build unix

package cli_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
)

// proved puts a checksum database beside the lab's proxy, which is asked for it as any
// public proxy is.
func (l *runLab) proved() (server string) {
	l.t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		l.t.Fatal(err)
	}
	ops := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if path != "example.com/widget" || version != "v1.0.0" {
			return nil, errors.New("not found: unknown version")
		}
		return []byte(l.sums), nil
	})
	db := http.StripPrefix("/sumdb/sum.example.org", sumdb.NewServer(ops))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch good := l.good[r.URL.Path]; {
		case r.URL.Path == "/sumdb/sum.example.org/supported":
		case strings.HasPrefix(r.URL.Path, "/sumdb/"):
			db.ServeHTTP(w, r)
		case good == nil:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(good)
		}
	}))
	l.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	l.env = append(l.env, "GOSUMDB="+key)
	return s.URL
}

// served starts `bundle serve` and returns the three settings that it prints.
func (l *runLab) served(files ...string) []string {
	l.t.Helper()
	cmd := l.command(append([]string{"bundle", "serve"}, files...)...)
	// The test's context ends before its cleanups: the service ends by that.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
			l.t.Errorf("bundle serve: %v", err)
		}
	})
	var settings []string
	for r := bufio.NewReader(out); len(settings) < 3; {
		line, err := r.ReadString('\n')
		if err != nil {
			l.t.Fatal(err)
		}
		settings = append(settings, strings.TrimSpace(line))
	}
	return settings
}

// build builds the project with a machine's own caches and without go.sum, so that the
// checksum database is asked.
func (l *runLab) build(settings ...string) {
	l.t.Helper()
	dir := l.t.TempDir()
	write := func(name, content string) { l.write(filepath.Join(dir, name), content) }
	write("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n")
	write("main.go", "package main\n\nimport _ \"example.com/widget\"\n\nfunc main() {}\n")
	home := l.t.TempDir()
	goenvtest.Quiet(l.t, home)
	cmd := exec.CommandContext(l.t.Context(), "go", "build", "-mod=mod", "-o", os.DevNull, ".")
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(l.env), "HOME="+home, "GOPATH="+filepath.Join(home, "go"), "GOMODCACHE="+filepath.Join(home, "mod"))
	cmd.Env = append(cmd.Env, settings...)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	if sums, err := os.ReadFile(filepath.Join(dir, "go.sum")); err != nil || string(sums) != l.sums {
		l.t.Errorf("go.sum is %s (%v)", sums, err)
	}
	if _, err := os.Stat(filepath.Join(home, "go", "pkg", "sumdb", "sum.example.org", "latest")); err != nil {
		l.t.Errorf("the checksum database was not asked: %v", err)
	}
}

// TestBundleBuildsWithoutNetwork carries a project's modules to a machine that reaches
// nothing else, with its checksum database on.
func TestBundleBuildsWithoutNetwork(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.proved()
	create := func(out string, names ...string) (int, string) {
		args := append([]string{"bundle", "create", "-o", out, "--dir", filepath.Join(l.work, "store"), "--upstream", server}, names...)
		code, _, errs := l.run(args...)
		return code, errs
	}
	if code, errs := create("one.zip"); code != 0 || !strings.Contains(errs, "wrote one.zip: 1 module with code") {
		t.Fatalf("%d %s", code, errs)
	}
	l.write(filepath.Join(l.work, "go.work"), "go 1.20\n\nuse .\n")
	for _, name := range []string{"go.mod", "go.sum", "go.work"} {
		if code, errs := create(name+".zip", name); code != 0 {
			t.Fatalf("%s: %d %s", name, code, errs)
		}
		one, err := os.ReadFile(filepath.Join(l.work, "one.zip"))
		if err != nil {
			t.Fatal(err)
		}
		if two, err := os.ReadFile(filepath.Join(l.work, name+".zip")); err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s gave another bundle (%v)", name, err)
		}
	}
	settings := l.served("one.zip")
	if !strings.HasPrefix(settings[0], "GOPROXY=http://127.0.0.1:") || !strings.HasPrefix(settings[2], "GOSUMDB=sum.example.org+") {
		t.Errorf("settings %q", settings)
	}
	l.build(settings...)
	// Unpacked, it is a directory for go.
	dir := filepath.Join(t.TempDir(), "unpacked")
	unzip(t, filepath.Join(l.work, "one.zip"), dir)
	l.build("GOPROXY=file://"+dir, settings[2])
}

func unzip(t *testing.T, name, dir string) {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
}

// TestBundleCreateIsWholeOrNot holds failures to leave no file, and what came for the
// next try.
func TestBundleCreateIsWholeOrNot(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.proved()
	zip := l.good[labAt+".zip"]
	l.good[labAt+".zip"] = packOther(t)
	create := []string{"bundle", "create", "-o", "out.zip", "--dir", filepath.Join(l.work, "store"), "--upstream", server}
	if code, _, errs := l.run(create...); code != 1 || !strings.Contains(errs, "wrong content: h1:") || !strings.Contains(errs, "hint: ") {
		t.Errorf("%d %s", code, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(l.work, "*.zip")); len(left) != 1 { // the lab's own
		t.Errorf("left behind: %v", left)
	}
	l.good[labAt+".zip"] = zip
	l.good[labAt+".mod"] = nil // it came at the first try
	if code, _, errs := l.run(append(create, "--lang", "zh")...); code != 0 || !strings.Contains(errs, "已写入 out.zip") {
		t.Errorf("%d %s", code, errs)
	}
	l.write(filepath.Join(l.work, "bad.zip"), "PK no archive")
	if code, _, errs := l.run("bundle", "serve", "bad.zip"); code != 1 || !strings.Contains(errs, "opening the bundle bad.zip") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestWarm fills the store, so that the server is needed no more.
func TestWarm(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	server := l.proved()
	store := filepath.Join(l.work, "store")
	if code, _, errs := l.run("warm", "go.mod", "--dir", store, "--upstream", server); code != 0 || !strings.Contains(errs, "1 module with code, 3 files") {
		t.Fatalf("%d %s", code, errs)
	}
	clear(l.good)
	if code, _, errs := l.run("run", "--dir", store, "--upstream", server, "--", "go", "mod", "download"); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
}

func TestBundleToolchain(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.write(filepath.Join(l.work, "go.mod"), "module example.org/app\n")
	create := []string{"bundle", "create", "-o", "out.zip", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil)}
	if code, _, errs := l.run(append(create, "--toolchain=linux/amd64")...); code != 1 || !strings.Contains(errs, "names no toolchain") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := l.run(append(create, "--toolchain=linux")...); code != 2 || !strings.Contains(errs, "GOOS/GOARCH") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := l.run("bundle", "create", "go.mod"); code != 2 || !strings.Contains(errs, "-o FILE") {
		t.Errorf("%d %s", code, errs)
	}
}
