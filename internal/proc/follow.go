package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Followed is a command that a person runs through keepwell: with these streams and
// this environment alone, as a shell would run it.
type Followed struct {
	// Dir is where it runs; "" is where keepwell does.
	Dir       string
	Env       []string
	In        io.Reader
	Out, Errs io.Writer
	// Signals are handed on.
	Signals <-chan os.Signal
	// Group gives the command a process group of its own: signals then reach all that
	// it has started, and on Linux it does not outlive keepwell. A group of its own is
	// not the terminal's foreground: nothing of it may ask there, so this is for where
	// there is no terminal.
	Group bool
	// Started is called when it runs; nil: nobody.
	Started func()
}

// Follow runs name until it ends by itself and returns the exit code, 128+n where
// signal n ended it. The error says that it could not be started.
func Follow(f Followed, name string, args ...string) (int, error) {
	cmd := exec.Command(name, args...) //nolint:noctx // it ends by itself, or by a signal that is passed on
	cmd.Dir, cmd.Env = f.Dir, f.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f.In, f.Out, f.Errs
	signal := func(s os.Signal) { _ = cmd.Process.Signal(s) } // it may be gone
	if f.Group {
		signal = asFollowedGroup(cmd, signal)
	}
	started, done := make(chan error, 1), make(chan error, 1)
	go func() {
		if f.Group {
			unlock := lockThread() // what is tied to the life of a thread needs one that stays
			defer unlock()
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return 0, fmt.Errorf("running %s: %w", name, err)
	}
	if f.Started != nil {
		f.Started()
	}
	for {
		select {
		case s := <-f.Signals:
			signal(s)
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
