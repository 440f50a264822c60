// Package proc runs the tools that keepwell asks (go, git): without a shell, with
// a deadline and a bound on what they may print, never prompting. It interprets
// nothing.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options of one run. The zero value means: 10 s, 1 MiB, the current directory,
// the environment of keepwell.
type Options struct {
	Dir     string
	Timeout time.Duration
	MaxOut  int
	// Env is added to keepwell's environment; later entries win.
	Env []string
	// Alone leaves keepwell's environment out of Run: Env is all there is.
	Alone bool
	// EndAll ends what the tool of Run left running in its process group when it ended.
	EndAll bool
	// Keepers, where there are any, end all that the tool of Run has started, also what
	// left its process group, and do so as well when keepwell is killed; nil: nobody does.
	Keepers *Keepers
	// Stderr also gets the first 64 KiB of what the tool of Output writes to standard
	// error; nil: nobody reads more than the last line.
	Stderr io.Writer
	// Group makes the end of ctx end all that the tool of Attach has started, at once: for
	// tools that nobody talks to.
	Group bool
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxOut == 0 {
		o.MaxOut = 1 << 20
	}
	return o
}

// quiet keeps tools from prompting, reporting home, and speaking other languages; and
// git, which go runs, from running what a repository's own configuration names.
func quiet() []string {
	env := []string{"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "GOTELEMETRY=off", "LC_ALL=C"}
	n, err := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	if err != nil || n < 0 {
		n = 0
	}
	for _, kv := range [][2]string{{"core.fsmonitor", "false"}, {"core.hooksPath", os.DevNull}} {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, kv[1]))
		n++
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n))
}

// ErrTooLong says that a tool printed more than Options.MaxOut.
var ErrTooLong = errors.New("the tool printed more than expected")

// Output runs name with args and returns its standard output. The error names the
// tool and carries the last line that it wrote to standard error.
func Output(ctx context.Context, opts Options, name string, args ...string) ([]byte, error) {
	opts = opts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = opts.Dir
	cmd.Env = append(append(os.Environ(), quiet()...), opts.Env...)
	cmd.WaitDelay = time.Second
	asGroup(cmd)
	out, errs := &capped{most: opts.MaxOut}, &capped{most: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	if opts.Stderr != nil {
		_, _ = opts.Stderr.Write(errs.b.Bytes())
	}
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w%s", name, strings.Join(args, " "), err, lastLine(errs.b.String()))
	}
	if out.over {
		return nil, fmt.Errorf("running %s: %w (%d bytes)", name, ErrTooLong, opts.MaxOut)
	}
	return out.b.Bytes(), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	return ": " + s[strings.LastIndexByte(s, '\n')+1:]
}

// capped keeps the first bytes written to it and swallows the rest.
type capped struct {
	b    bytes.Buffer
	most int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.most - c.b.Len(); room < len(p) {
		c.over = true
		c.b.Write(p[:max(room, 0)])
	} else {
		c.b.Write(p)
	}
	return len(p), nil
}

// Attach runs name with the given streams, as a shell would, until it ends: without a
// deadline, in the caller's environment with opts.Env on top. It returns the exit code,
// 128+n where signal n ended it. The end of ctx interrupts the tool.
func Attach(ctx context.Context, opts Options, in io.Reader, out, errs io.Writer, name string, args ...string) (int, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = opts.Dir
	cmd.Env = append(os.Environ(), opts.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if opts.Group {
		cmd.WaitDelay = time.Second
		asGroup(cmd)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitCode(exit), nil
	case err != nil:
		return 0, fmt.Errorf("running %s: %w", name, err)
	}
	return 0, nil
}

// exitCode is what a shell would say: os/exec has -1 for a signal.
func exitCode(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(interface {
		Signaled() bool
		Signal() syscall.Signal
	}); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
