package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Ran is what a tool left that was allowed to fail.
type Ran struct {
	// Output is what it wrote to both streams, in the order of writing, up to
	// Options.MaxOut bytes; Stdout the part on standard output.
	Output, Stdout []byte
	// Exit is its exit code, 128+n where signal n ended it.
	Exit int
	// Late says that the deadline ended it.
	Late bool
	// Ended and Left are how many processes that it left running were ended, and how many
	// could not be; only with Options.Keepers.
	Ended, Left int
}

// Run runs name with args for what it says, whether it fails or not. The error is for
// a tool that could not be started, and for the end of ctx. When the deadline comes,
// the tool goes with everything that it has started.
func Run(ctx context.Context, opts Options, name string, args ...string) (Ran, error) {
	opts = opts.withDefaults()
	limited, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, name, args...) //nolint:gosec // what to run is for the caller to know
	cmd.Dir = opts.Dir
	cmd.Env = append(append(os.Environ(), quiet()...), opts.Env...)
	if opts.Alone {
		cmd.Env = append([]string{}, opts.Env...)
	}
	both, out := &shared{capped: capped{most: opts.MaxOut}}, &capped{most: opts.MaxOut}
	if opts.Keepers.can() && cmd.Err == nil {
		rep, err := opts.Keepers.run(limited, order{cmd.Dir, append([]string{cmd.Path}, args...), cmd.Env}, tee{both, out}, both)
		r := Ran{Output: both.bytes(), Stdout: out.b.Bytes(), Exit: rep.Exit, Ended: rep.Ended, Left: rep.Left, Late: limited.Err() != nil && ctx.Err() == nil}
		switch {
		case ctx.Err() != nil:
			return r, fmt.Errorf("running %s: %w", name, context.Cause(ctx))
		case err == nil && rep.Failed != "":
			return r, fmt.Errorf("running %s", rep.Failed)
		case err != nil && !r.Late:
			return r, fmt.Errorf("running %s: %w", name, err)
		}
		return r, nil
	}
	cmd.WaitDelay = time.Second
	asGroup(cmd)
	cmd.Stdout, cmd.Stderr = tee{both, out}, both
	err := cmd.Run()
	if opts.EndAll && cmd.Process != nil {
		_ = cmd.Cancel() // mostly, nobody is left
	}
	r := Ran{Output: both.bytes(), Stdout: out.b.Bytes(), Late: limited.Err() != nil && ctx.Err() == nil}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("running %s: %w", name, context.Cause(ctx))
	case errors.As(err, &exit):
		r.Exit = exitCode(exit)
	case r.Late, errors.Is(err, exec.ErrWaitDelay): // something it started holds its streams
		r.Exit = max(cmd.ProcessState.ExitCode(), 0)
	case err != nil:
		return r, fmt.Errorf("running %s: %w", name, err)
	}
	return r, nil
}

// shared is a buffer that two streams write to.
type shared struct {
	mu sync.Mutex
	capped
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capped.Write(p)
}

func (s *shared) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.b.Bytes()...)
}

// tee writes to two buffers, neither of which fails.
type tee struct {
	a *shared
	b *capped
}

func (t tee) Write(p []byte) (int, error) {
	_, _ = t.b.Write(p)
	return t.a.Write(p)
}
