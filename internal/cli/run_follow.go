package cli

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/keepwell/keepwell/internal/proc"
)

// Exit codes of a command that could not be run, as env and docker have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// follow runs the command with set on top of the environment, and passes signals on.
// What it writes goes to our streams unchanged; keep, if not nil, gets a copy of what
// explains a failure of what.
func (a *app) follow(o runOptions, set []string, what errand, keep *excerpt) error {
	f := proc.Followed{Env: append(os.Environ(), set...), In: a.in, Out: a.out, Errs: a.errs, Group: !proc.HasTerminal()}
	var taps []*tap
	release := sync.OnceFunc(func() {
		for _, t := range taps {
			t.release()
		}
	})
	f.Started = release
	if keep != nil && what.heard {
		if t := newTap(a.errs, keep); t != nil {
			taps = append(taps, t)
			f.Errs = t.child
			switch {
			case sameStream(a.out, a.errs):
				f.Out = t.child
			case what.tool != "go": // pnpm and yarn complain on standard output
				if t := newTap(a.out, keep); t != nil {
					taps = append(taps, t)
					f.Out = t.child
				}
			}
		}
	}
	signals, stop := passedSignals()
	f.Signals = signals
	code, err := proc.Follow(f, o.command[0], o.command[1:]...)
	stop()
	release()
	for _, t := range taps {
		t.finish()
	}
	if err != nil {
		return notStarted(o, err)
	}
	a.exit, a.ended = code, true
	return nil
}

// passedSignals are those that the command is to get from us; those that the terminal
// sends it itself are none.
func passedSignals() (passed <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, proc.Passed()...)
	// A reader of ours that goes away must not end us before the command.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	out := make(chan os.Signal)
	quit := make(chan struct{})
	terminal := proc.HasTerminal()
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case s := <-signals:
				if terminal && proc.FromKeyboard(s) {
					continue
				}
				select {
				case out <- s:
				case <-quit:
					return
				}
			case <-broken:
			case <-quit:
				return
			}
		}
	})
	return out, func() {
		signal.Stop(signals)
		close(quit)
		passing.Wait()
		signal.Stop(broken)
	}
}

// notStarted says why there is no command to run.
func notStarted(o runOptions, err error) error {
	why := err
	if inner := errors.Unwrap(err); inner != nil { // without "running COMMAND": the message says so
		why = inner
	}
	f := o.failed("run.start", "", why)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		f.exit, f.hint = exitNotFound, "hint.run.notfound"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC), errors.Is(err, exec.ErrDot):
		f.exit, f.hint = exitNotExecutable, "hint.run.notexecutable"
	}
	return f
}
