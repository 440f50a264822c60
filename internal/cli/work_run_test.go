//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"
)

// fourModules is a workspace in which c needs b. Each has a pipe called down: who opens
// it waits for the other side.
func fourModules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte("-- go.work --\ngo 1.21\nuse (\n./a\n./b\n./c\n./d\n)\n-- a/go.mod --\nmodule example.com/a\ngo 1.21\n-- b/go.mod --\nmodule example.com/b\ngo 1.21\n" +
		"-- c/go.mod --\nmodule example.com/c\ngo 1.21\nrequire example.com/b v0.0.0\n-- d/go.mod --\nmodule example.com/d\ngo 1.21\n")).Files {
		name := filepath.Join(dir, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, f.Data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []string{"a", "b", "c", "d"} {
		if err := unix.Mkfifo(filepath.Join(dir, m, "down"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// workRun is `keepwell work run` of a shell line in the modules of dir.
func workRun(dir, shell string, flags ...string) *exec.Cmd {
	cmd := exec.Command("keepwell", append(append([]string{"work", "run", "--lang", "en"}, flags...), "--", "sh", "-c", shell)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=", "GOPROXY=off")
	return cmd
}

// TestWorkRunHandsSignalsOn: what asks keepwell to end reaches each command with all that
// it has started, and each may still say how it ends; then nothing more begins, and the
// exit code is that of the signal.
func TestWorkRunHandsSignalsOn(t *testing.T) {
	t.Parallel()
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := fourModules(t)
			// a lets itself be ended, b tidies up and has its own exit code; both wait in a
			// command of their own.
			cmd := workRun(dir, `case $PWD in */b) trap 'echo tidied; exit 7' INT TERM;; esac; cat down; exit 9`, "-j", "2")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for _, m := range []string{"a", "b"} { // until it reads
				f, err := os.OpenFile(filepath.Join(dir, m, "down"), os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("%v: exit code %d, want %d; %s", err, got, want, errs.String())
			}
			for _, text := range []string{"./a: failed with exit code " + map[int]string{130: "130", 143: "143"}[want], "./b: failed with exit code 7", "\ntidied\n", "not run: it needs ./b", "not run: interrupted", "0 ok, 2 failed, 2 not run"} {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is missing in:\n%s", text, out.String())
				}
			}
			for _, m := range []string{"a", "b"} { // nobody is left who reads
				if f, err := os.OpenFile(filepath.Join(dir, m, "down"), os.O_WRONLY|syscall.O_NONBLOCK, 0); !errors.Is(err, syscall.ENXIO) {
					f.Close()
					t.Errorf("a command of a command is still there: %v", err)
				}
			}
		})
	}
}

// TestWorkRunDrawsProgress: on a terminal one line tells what runs, and goes before what a
// module wrote is shown.
func TestWorkRunDrawsProgress(t *testing.T) {
	t.Parallel()
	dir := fourModules(t)
	cmd := workRun(dir, `cat down`, "-j", "2")
	var out bytes.Buffer
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = &out, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var seen strings.Builder
	read := bufio.NewReader(screen)
	await := func(text string) {
		for !strings.Contains(seen.String(), text) {
			c, err := read.ReadByte()
			if err != nil {
				t.Fatalf("%q was never drawn: %v\n%q", text, err, seen.String())
			}
			seen.WriteByte(c)
		}
	}
	await("0 of 4, 0 failed")
	await("./a ./b")
	for _, m := range []string{"a", "b", "c", "d"} { // each waits for its line
		if err := os.WriteFile(filepath.Join(dir, m, "down"), []byte("done\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	_, _ = io.Copy(&seen, read)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, l := range strings.Split(strings.ReplaceAll(seen.String(), "\x1b[K", ""), "\r") {
		if n := len([]rune(l)); n > 59 {
			t.Errorf("a line of %d columns on a terminal of 60: %q", n, l)
		}
	}
	if !strings.HasSuffix(strings.TrimRight(seen.String(), "\n"), "\r\x1b[K") || strings.Contains(out.String(), "\r") || !strings.Contains(out.String(), "4 ok, 0 failed, 0 not run") {
		t.Errorf("%q\n%s", seen.String(), out.String())
	}
}
