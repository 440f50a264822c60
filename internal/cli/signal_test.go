//go:build unix

package cli_test

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestSignalEndsAWaitForInput: a pipe whose other end says nothing more must not
// keep explain from ending, with 128+n and without half a result.
func TestSignalEndsAWaitForInput(t *testing.T) {
	t.Parallel()
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("keepwell", "explain", "--json", "--lang", "en")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// More than a pipe holds: when all of it is written, the process is reading.
			if _, err := in.Write([]byte(strings.Repeat("alpha beta\n", 200_000))); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != want || out.Len() > 0 || errs.String() != "keepwell: interrupted\n" {
				t.Errorf("%v: exit code %d, want %d; %q %q", err, got, want, out.String(), errs.String())
			}
			in.Close()
		})
	}
}
