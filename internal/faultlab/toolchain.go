//go:build unix

package faultlab

import (
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// labGo names the go command that the scenarios run in place of PATH's.
const labGo = "KEEPWELL_LAB_GO"

func otherGo() string { return os.Getenv(labGo) }

// otherRoot is the GOROOT of the other go command: its messages name files there.
func otherRoot() string {
	if otherGo() == "" {
		return ""
	}
	path, err := filepath.EvalSymlinks(otherGo())
	if err != nil {
		return ""
	}
	return filepath.Dir(filepath.Dir(path))
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
		return "", fmt.Errorf("asking %s for its version: %w", cmd.Path, err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if version.IsValid(word) {
			return word, nil
		}
	}
	return "", fmt.Errorf("%s names no version: %s", cmd.Path, out)
})

// goBefore reports whether the go command under test is older than a release,
// such as "1.16". One that does not tell its version counts as new; TestScenarios
// stops for it.
func goBefore(release string) bool {
	v, err := goVersion()
	return err == nil && version.Compare(v, "go"+release) < 0
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
	if goBefore("1.16") { // before, a directory without go.mod meant GOPATH mode
		l.Set("GO111MODULE", "on")
	}
}

// spoken says args so that the go command under test understands them: before Go
// 1.12, `go mod download` kept every failure to itself, and so did `go get` for
// whatever is wrong with a zip. There a project that needs the module is built.
func (l *Lab) spoken(args []string) []string {
	l.T.Helper()
	if otherGo() == "" || !goBefore("1.12") {
		return args
	}
	const sep = "\x1f" // between words; within a shell's line they are blanks
	head, query, found := strings.Cut(strings.ReplaceAll(strings.Join(args, sep), "mod"+sep+"download"+sep, "mod download "), "mod download ")
	if !found {
		return args
	}
	path, release, _ := strings.Cut(query, "@")
	l.Files("go.mod", "module example.org/app\n\nrequire "+path+" "+release+"\n", "app.go", "package app\n\nimport _ \""+path+"\"\n")
	return strings.Split(head+"build", sep)
}

// updating lets go write go.mod and go.sum, as it always did before Go 1.14.
func (l *Lab) updating() {
	if !goBefore("1.14") {
		l.Set("GOFLAGS", "-mod=mod")
	}
}

// goLine is what every go.mod of the lab is written with.
const goLine = "\ngo 1.20\n"

// aged is the content of a file with the go line that the go command under test
// knows: an older one blames a newer line for whatever does not compile.
func aged(content string) string {
	if otherGo() == "" || !goBefore("1.20") {
		return content
	}
	release, _ := goVersion()
	return strings.ReplaceAll(content, goLine, "\ngo "+strings.TrimPrefix(version.Lang(release), "go")+"\n")
}
