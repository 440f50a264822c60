package statetest

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Process is this test's program once more, as a server that can be killed.
type Process struct {
	Cmd *exec.Cmd
	// Lines are what it prints; closed when it has ended.
	Lines chan string
	// Ended is closed when it has ended and all was read.
	Ended chan struct{}
}

// Launch starts this test's program with told, as JSON, in the environment variable name:
// a TestMain sees by it that it is to be a server. It is killed when the test ends.
func Launch(t testing.TB, name string, told any) *Process {
	t.Helper()
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: exec.Command(os.Args[0]), Lines: make(chan string, 100_000), Ended: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Stderr = append(os.Environ(), name+"="+string(text)), os.Stderr
	out, err := p.Cmd.StdoutPipe()
	if err == nil {
		err = p.Cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.Ended)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.Lines <- scan.Text()
		}
		_ = p.Cmd.Wait()
		close(p.Lines)
	}()
	t.Cleanup(func() { _ = p.Cmd.Process.Kill(); <-p.Ended })
	return p
}

// Until waits for something that a server in this process does. After a minute it fails,
// with what was waited for and what is to be seen instead; instead may be nil.
func Until(t testing.TB, what string, ok func() bool, instead func() any) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			if instead == nil {
				t.Fatal("waited for: " + what)
			}
			t.Fatalf("waited for: %s; %+v", what, instead())
		}
	}
}
