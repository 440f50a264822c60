//go:build unix

package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// fake puts a shell script called name before all else in PATH: a stand-in for npm or
// go.
func (l *runLab) fake(name, script string) {
	l.t.Helper()
	dir := filepath.Join(l.work, "bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		l.t.Fatal(err)
	}
	if !strings.HasPrefix(l.env[0], "PATH="+dir) {
		l.env[0] = "PATH=" + dir + ":" + strings.TrimPrefix(l.env[0], "PATH=")
	}
}

func always(code int, words string) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		http.Error(w, words, code)
		return true
	}
}

// TestRunKeepsEveryByte holds both streams of a command that is listened to, to what it
// wrote: other bytes than text, no newline at the end, a megabyte, its input.
func TestRunKeepsEveryByte(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.fake("npm", `cat; printf 'no\000newline\033[1m\r' >&2; head -c 1000000 /dev/zero >&2; printf '\377end' >&2; exit 9`)
	cmd := l.command("run", "--", "npm", "ci")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("given\n"), &out, &errs
	_ = cmd.Run()
	want := "no\x00newline\x1b[1m\r" + strings.Repeat("\x00", 1000000) + "\xffend"
	if cmd.ProcessState.ExitCode() != 9 || out.String() != "given\n" || errs.String() != want {
		t.Errorf("exit %d, %q, %d bytes", cmd.ProcessState.ExitCode(), out.String(), errs.Len())
	}
	// Where both lead to one place, their order stays.
	l.fake("npm", `i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done`)
	both, err := l.command("run", "--", "npm", "ci").CombinedOutput()
	var ordered strings.Builder
	for i := range 300 {
		fmt.Fprintln(&ordered, i)
	}
	if err != nil || string(both) != ordered.String() {
		t.Errorf("%v: the order of two streams was lost: %.200s", err, both)
	}
}

// TestRunKeepsTheTerminal: a command that is listened to sees a terminal of the same
// size where there is one, and what it writes arrives once.
func TestRunKeepsTheTerminal(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.fake("npm", `test -t 1 && test -t 2 && test -t 0 && stty size <&1 && echo "npm error code E404" >&2; exit 1`)
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	defer ours.Close()
	if err := pty.Setsize(ours, &pty.Winsize{Rows: 33, Cols: 111}); err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(theirs.Fd())); err != nil { // so that what arrives is what was written
		t.Fatal(err)
	}
	cmd := l.command("run", "--", "npm", "ci")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	seen, _ := io.ReadAll(ours) // ends with an error when nobody has the terminal any more
	_ = cmd.Wait()
	if got := string(seen); !strings.HasPrefix(got, "33 111\nnpm error code E404\n") || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit %d, saw %q", cmd.ProcessState.ExitCode(), got)
	}
}

// TestRunEndsTheWholeGroup: without a terminal, a signal reaches what the command
// started, and a killed keepwell takes the command along.
func TestRunEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		if end == syscall.SIGKILL && runtime.GOOS != "linux" {
			continue // only there does the kernel tell
		}
		t.Run(end.String(), func(t *testing.T) {
			t.Parallel()
			l := newRunLab(t)
			// The pipe ends when the last process that has it is gone.
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			inner := "sleep 600 & echo ready; wait"
			switch end {
			case syscall.SIGINT: // which a shell's background jobs do not hear
				inner = "echo ready; sleep 600; true"
			case syscall.SIGKILL: // the kernel tells the command alone
				inner = "echo ready; exec sleep 600"
			}
			cmd := l.command("run", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil), "--", "sh", "-c", inner)
			cmd.Stdout = in
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, whoever runs the tests
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			in.Close()
			if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(end); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if _, err := io.ReadAll(out); err != nil { // hangs where something is left
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); end != syscall.SIGKILL && code != 128+int(end) {
				t.Errorf("exit %d", code)
			}
		})
	}
}

func TestRunTellsWhatCannotBeRun(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.write(filepath.Join(l.work, "plain"), "not a program")
	for _, x := range []struct {
		name string
		code int
		has  string
	}{{"no-such-command-here", 127, "in PATH"}, {"./plain", 126, "chmod"}, {"./none/at/all", 127, "installed"}, {l.work, 126, "permissions"}} {
		for _, upstream := range [][]string{{"--upstream", l.serve(nil)}, nil} {
			if upstream == nil {
				l.env = append(slices.Clone(l.env), "GOPROXY=off")
			}
			args := append([]string{"run", "--dir", filepath.Join(l.work, "store")}, upstream...)
			if code, _, errs := l.run(append(args, "--", x.name)...); code != x.code || !strings.Contains(errs, x.has) {
				t.Errorf("%s: exit %d, %s", x.name, code, errs)
			}
		}
	}
	// keepwell's own failures are 125.
	l.write(filepath.Join(l.work, "file"), "")
	if code, _, errs := l.run("run", "--dir", filepath.Join(l.work, "file"), "--upstream", l.serve(nil), "--", "true"); code != 125 || !strings.Contains(errs, "--dir") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestRunExplains: after the command's own words stands the fault that the proxy saw,
// with each upstream's part in it; nothing where it is no matter of dependencies.
func TestRunExplains(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	store := filepath.Join(l.work, "store")
	first, second := l.serve(always(502, "no backend")), l.serve(always(403, "licence"))
	firstName, secondName := strings.TrimPrefix(first, "http://"), strings.TrimPrefix(second, "http://")
	run := func(lang, upstream string, command ...string) (int, string) {
		code, out, errs := l.run(append([]string{"run", "--lang", lang, "--dir", store, "--upstream", upstream, "--"}, command...)...)
		if out != "" {
			t.Errorf("on standard output: %q", out)
		}
		return code, errs
	}
	code, errs := run("en", first+","+second, "go", "mod", "download")
	for _, want := range []string{
		"error proxy/server-error", "proof · what " + firstName + " did\n    example.com/widget@v1.0.0: 502 Bad Gateway: no backend\n",
		"proof · what " + secondName + " did\n    example.com/widget@v1.0.0: 403 Forbidden: licence\n", "mend (safe): ", "also found:\n  proxy/forbidden",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("exit %d, no %q in:\n%s", code, want, errs)
		}
	}
	if !strings.HasPrefix(errs, "go: example.com/widget@v1.0.0: reading http://127.0.0.1:") || strings.Contains(errs, "misconfigured") || strings.Contains(errs, "tr , ") {
		t.Errorf("said\n%s", errs)
	}
	if _, errs := run("zh", first+","+second, "go", "mod", "download"); !strings.Contains(errs, "证据 · "+firstName+" 的情况\n    example.com/widget@v1.0.0: 返回状态码 502 Bad Gateway（no backend）\n") {
		t.Errorf("said\n%s", errs)
	}
	// A refusal that ends the search is the root cause wherever it stands.
	if _, errs := run("en", first+","+second+"!", "go", "mod", "download"); !strings.Contains(errs, "error proxy/forbidden") || !strings.Contains(errs, "a refusal by "+secondName+" is taken as policy") {
		t.Errorf("said\n%s", errs)
	}
	// The streams of a shell are its own; the proxy still knows.
	if _, errs := run("en", first, "sh", "-c", "go mod download 2>/dev/null; exit 3"); !strings.Contains(errs, "error proxy/server-error") {
		t.Errorf("said\n%s", errs)
	}
	// A name that all servers deny is told as without the proxy.
	if _, errs := run("en", l.serve(nil), "go", "get", "example.com/nothing@v1.0.0"); !strings.Contains(errs, "missing") && !strings.Contains(errs, "not-found") || strings.Contains(errs, "misconfigured") {
		t.Errorf("said\n%s", errs)
	}
	// What is no fault of dependencies gets no word.
	l.write(filepath.Join(l.work, "main.go"), "package main\n\nfunc main() { undefined() }\n")
	if code, errs := run("en", l.serve(nil), "go", "build", "./..."); code != 1 || !strings.HasSuffix(errs, "undefined: undefined\n") {
		t.Errorf("exit %d, said\n%s", code, errs)
	}
	if code, errs := run("en", l.serve(nil), "false"); code != 1 || errs != "" {
		t.Errorf("exit %d, said\n%s", code, errs)
	}
}

// TestRunExplainsInJSON writes one document after the command's words.
func TestRunExplainsInJSON(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	upstream := l.serve(always(500, "bug"))
	l.fake("go", `case $1 in env) exec "$REALGO" "$@";; esac; "$REALGO" "$@" 2>/dev/null`)
	found, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	l.env = append(l.env, "REALGO="+found)
	code, out, errs := l.run("run", "--json", "--dir", filepath.Join(l.work, "store"), "--upstream", upstream, "--", "go", "mod", "download")
	var doc struct {
		Command  string
		Findings []struct {
			Code     string
			Evidence []struct{ Source, Text string }
		}
	}
	if err := json.Unmarshal([]byte(errs), &doc); err != nil {
		t.Fatalf("%v in %s", err, errs)
	}
	if code != 1 || out != "" || doc.Command != "run" || len(doc.Findings) != 1 || doc.Findings[0].Code != "proxy/server-error" ||
		doc.Findings[0].Evidence[0].Source != "upstream "+strings.TrimPrefix(upstream, "http://") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
}

// TestRunExplainsPackageManagers: nothing is put before npm and pip, and what they print
// is explained.
func TestRunExplainsPackageManagers(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.env = append(l.env, "GOPROXY=https://goproxy.example.org")
	const npm = "npm error code ETIMEDOUT\nnpm error network request to https://registry.example.org/left-widget failed, reason: connect ETIMEDOUT 203.0.113.9:443\n"
	for _, name := range []string{"npm", "pnpm", "yarn"} {
		l.fake(name, "echo \"$GOPROXY$KEEPWELL_RUN\"; printf '%s' '"+npm+"' >&2; exit 146")
		code, out, errs := l.run("run", "--", name, "install")
		if code != 146 || out != "https://goproxy.example.org\n" || !strings.HasPrefix(errs, npm) {
			t.Errorf("%s: exit %d, %q, %s", name, code, out, errs)
		}
	}
	l.fake("npm", "printf '%s' '"+npm+"' >&2; exit 1")
	if code, _, errs := l.run("run", "--", "npm", "ci"); code != 1 || !strings.HasPrefix(errs, npm) || !strings.Contains(errs, "error net/timeout") {
		t.Errorf("exit %d, %s", code, errs)
	}
	const pip = "ERROR: Could not find a version that satisfies the requirement left-widget==9 (from versions: 1.0)\nERROR: No matching distribution found for left-widget==9\n"
	for _, command := range [][]string{{"pip", "install", "x"}, {"python3", "-m", "pip", "install", "x"}, {"uv", "pip", "install", "x"}} {
		l.fake(command[0], "printf '%s' '"+pip+"' >&2; exit 1")
		if code, _, errs := l.run(append([]string{"run", "--lang", "zh", "--"}, command...)...); code != 1 || !strings.HasPrefix(errs, pip) || !strings.Contains(errs, "错误 version/no-match") {
			t.Errorf("%v: exit %d, %s", command, code, errs)
		}
	}
	// A script of a package may be anything: it gets the proxy, and is not listened to.
	l.fake("npm", "echo \"$GOPROXY\"; printf '%s' '"+npm+"' >&2; exit 1")
	if code, out, errs := l.run("run", "--dir", filepath.Join(l.work, "store"), "--upstream", l.serve(nil), "--", "npm", "run", "build"); code != 1 || !strings.HasPrefix(out, "http://127.0.0.1:") || errs != npm {
		t.Errorf("exit %d, %q, %s", code, out, errs)
	}
}

// TestRunInsideRun: the inner one uses the outer one's proxy, and only one explains.
func TestRunInsideRun(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	self, err := exec.LookPath("keepwell")
	if err != nil {
		t.Fatal(err)
	}
	l.env = append(l.env, "SELF="+self)
	store := filepath.Join(l.work, "store")
	code, out, errs := l.run("run", "--dir", store, "--upstream", l.serve(nil), "--", "sh", "-c", `echo $GOPROXY; "$SELF" run -- sh -c 'echo $GOPROXY'; "$SELF" run -- go mod download`)
	lines := strings.Fields(out)
	if code != 0 || len(lines) != 2 || lines[0] != lines[1] || errs != "" {
		t.Errorf("exit %d, %q, %s", code, out, errs)
	}
	code, _, errs = l.run("run", "--dir", store+"2", "--upstream", l.serve(always(500, "bug")), "--", self, "run", "--", "go", "list", "-m", "example.com/widget@latest")
	if code != 1 || strings.Count(errs, "error proxy/server-error") != 1 {
		t.Errorf("exit %d, %s", code, errs)
	}
	// Another list is another proxy.
	code, out, _ = l.run("run", "--dir", store, "--upstream", l.serve(nil), "--", "sh", "-c", `echo $GOPROXY; "$SELF" run --dir "`+store+`" --upstream `+l.serve(nil)+` -- sh -c 'echo $GOPROXY'`)
	if lines := strings.Fields(out); code != 0 || len(lines) != 2 || lines[0] == lines[1] {
		t.Errorf("exit %d, %q", code, out)
	}
}

// TestRunWithoutAHome keeps modules in a directory that goes with the run.
func TestRunWithoutAHome(t *testing.T) {
	t.Parallel()
	for name, home := range map[string]string{"none": "", "not writable": "/dev/null/home"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newRunLab(t)
			l.env = slices.DeleteFunc(l.env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") })
			tmp := filepath.Join(l.work, "tmp")
			if err := os.Mkdir(tmp, 0o700); err != nil {
				t.Fatal(err)
			}
			l.env = append(l.env, "TMPDIR="+tmp)
			if home != "" {
				l.env = append(l.env, "HOME="+home)
			}
			code, out, errs := l.run("run", "--upstream", l.serve(nil), "--", "go", "mod", "download")
			if code != 0 || out != "" || !strings.HasPrefix(errs, "keepwell: modules cannot be kept in the user's cache (") || !strings.Contains(errs, tmp) {
				t.Errorf("exit %d, %s%s", code, out, errs)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestRunSurvivesAReaderThatGoes: whoever reads the output may stop, as with `| head -1`.
func TestRunSurvivesAReaderThatGoes(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	l.fake("npm", `while echo line; do :; done; exit 0`)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.command("run", "--", "npm", "ci")
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 128+int(syscall.SIGPIPE) {
		t.Error("exit " + strconv.Itoa(code))
	}
}
