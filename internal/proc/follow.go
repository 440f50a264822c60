package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Follow runs name as Attach does, in dir and with env alone as its environment, hands
// it every signal that arrives, and waits until it ends by itself. It returns the
// exit code, 128+n where signal n ended it. The error says that it could not be
// started.
func Follow(env []string, in io.Reader, out, errs io.Writer, signals <-chan os.Signal, name string, args ...string) (int, error) {
	cmd := exec.Command(name, args...) //nolint:noctx // it ends by itself, or by a signal that is passed on
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("running %s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may be gone
		case err := <-done:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return exitCode(exit), nil
			}
			if err != nil {
				return 0, fmt.Errorf("running %s: %w", name, err)
			}
			return 0, nil
		}
	}
}
