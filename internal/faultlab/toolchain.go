//go:build unix

package faultlab

import (
	"errors"
	"go/version"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// labGo names the go command that the scenarios run in place of PATH's.
const labGo = "KEEPWELL_LAB_GO"

func otherGo() string { return os.Getenv(labGo) }

// otherRoot is the GOROOT of the other go command: its messages name files there.
func otherRoot() string {
	if otherGo() == "" {
		return ""
	}
	real, err := filepath.EvalSymlinks(otherGo())
	if err != nil {
		return ""
	}
	return filepath.Dir(filepath.Dir(real))
}

// executable is what runs when a scenario says name.
func executable(name string) string {
	if name == "go" && otherGo() != "" {
		return otherGo()
	}
	return name
}

// goVersion asks the go command under test once for its release, such as "go1.16.15".
var goVersion = sync.OnceValues(func() (string, error) {
	cmd := exec.Command(executable("go"), "version")
	// GOFLAGS of the tester's settings may name flags that an old go refuses.
	cmd.Env = append(os.Environ(), "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(string(out)) {
		if version.IsValid(word) {
			return word, nil
		}
	}
	return "", errors.New("no version in " + string(out))
})

func goRelease(t testing.TB) string {
	t.Helper()
	v, err := goVersion()
	if err != nil {
		t.Fatalf("asking %s for its version: %v", executable("go"), err)
	}
	return v
}

// goBefore reports whether the go command under test is older than a release,
// such as "1.16".
func goBefore(t testing.TB, release string) bool {
	t.Helper()
	return version.Compare(goRelease(t), "go"+release) < 0
}

// useToolchain fits the tools' environment to another go command.
func (l *Lab) useToolchain() {
	l.T.Helper()
	if otherGo() == "" {
		return
	}
	bin := filepath.Join(l.Dir, "toolchain")
	l.check(os.MkdirAll(bin, 0o755))
	l.check(os.Symlink(otherGo(), filepath.Join(bin, "go")))
	l.Set("PATH", bin+string(filepath.ListSeparator)+l.env["PATH"])
	if goBefore(l.T, "1.16") { // before, a directory without go.mod meant GOPATH mode
		l.Set("GO111MODULE", "on")
	}
}

// spoken says args in the words of the go command under test: that of Go 1.11
// downloads for `go mod download` too, but keeps every failure to itself.
func (l *Lab) spoken(args []string) []string {
	l.T.Helper()
	const now, then = "mod download example", "get -d example"
	line := strings.Join(args, "\x00")
	if otherGo() == "" || !goBefore(l.T, "1.12") {
		return args
	}
	for _, sep := range []string{" ", "\x00"} { // a shell's line, or words
		line = strings.Replace(line, strings.Join([]string{"mod", "download", ""}, sep), strings.Join([]string{"get", "-d", ""}, sep), 1)
	}
	l.needModule()
	return strings.Split(line, "\x00")
}
