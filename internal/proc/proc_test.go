//go:build unix

package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRunTellsWhatAFailingToolSaid(t *testing.T) {
	r, err := Run(t.Context(), Options{}, "sh", "-c", "echo out; echo err >&2; exit 3")
	if err != nil || r.Exit != 3 || r.Late || string(r.Stdout) != "out\n" || !strings.Contains(string(r.Output), "err\n") {
		t.Errorf("got %+v, %v: %s", r, err, r.Output)
	}
	if _, err := Run(t.Context(), Options{}, "no-such-tool-anywhere"); err == nil {
		t.Error("a tool that is not there ran")
	}
}

func TestRunBoundsOutput(t *testing.T) {
	r, err := Run(t.Context(), Options{MaxOut: 1000}, "sh", "-c", "yes | head -c 100000")
	if err != nil || len(r.Output) != 1000 || len(r.Stdout) != 1000 {
		t.Errorf("kept %d and %d bytes, %v", len(r.Output), len(r.Stdout), err)
	}
}

// TestRunEndsWithAllThatItStarted: a tool's own children go with it.
func TestRunEndsWithAllThatItStarted(t *testing.T) {
	r, err := Run(t.Context(), Options{Timeout: 300 * time.Millisecond}, "sh", "-c", "sleep 600 & echo $!; wait")
	if err != nil || !r.Late {
		t.Fatalf("got %+v, %v", r, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	for gone := false; !gone; { // the kernel takes a moment; the test's deadline bounds it
		if t.Context().Err() != nil {
			t.Fatalf("%d still runs", pid)
		}
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		gone = errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && strings.Contains(string(state), ") Z ")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{}, "sleep", "600"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestRepositoriesRunNothing: a repository that names a program in its configuration
// does not get it run.
func TestRepositoriesRunNothing(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"config", "core.fsmonitor", program}, {"status"}} {
		if r, err := Run(t.Context(), Options{Dir: dir}, "git", args...); err != nil || r.Exit != 0 {
			t.Fatalf("git %v: %v %s", args, err, r.Output)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git ran the repository's program")
	}
}
