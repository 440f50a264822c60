package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/proc"
)

// Edit changes a text file from exactly Before to exactly After. A nil Before creates
// the file.
type Edit struct {
	Path          string
	Before, After []byte
	// Mode is that of a new file; 0 means 0644.
	Mode Mode
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
}

// ErrPlace says that the text to replace does not stand exactly once in the file.
var ErrPlace = errors.New("the text to replace does not stand there exactly once")

// Replace is the edit of path that puts with in the place of old, which must stand
// there exactly once.
func Replace(path, old, with string) (Edit, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Edit{}, fmt.Errorf("planning an edit: %w", err)
	}
	if old == "" || bytes.Count(data, []byte(old)) != 1 {
		return Edit{}, fmt.Errorf("planning an edit of %s: %w", path, ErrPlace)
	}
	return Edit{Path: path, Before: data, After: bytes.Replace(data, []byte(old), []byte(with), 1)}, nil
}

// Line is a line of a text file that is to be exchanged.
type Line struct {
	Number   int // from 1
	Old, New string
}

// ReplaceLines is the edit of path that exchanges lines, each of which must be what
// Old says. Line endings stay.
func ReplaceLines(path string, edits ...Line) (Edit, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Edit{}, fmt.Errorf("planning an edit: %w", err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for _, l := range edits {
		n := l.Number
		if n < 1 || n > len(lines) || strings.TrimRight(string(lines[n-1]), "\r\n") != l.Old {
			return Edit{}, fmt.Errorf("planning an edit of line %d of %s: %w", n, path, ErrPlace)
		}
		lines[n-1] = append([]byte(l.New), lines[n-1][len(l.Old):]...)
	}
	return Edit{Path: path, Before: data, After: bytes.Join(lines, nil)}, nil
}

// GoMod is the edit of a go.mod file that change makes to its syntax tree: comments
// and order stay. It exchanges packages, so that no blanket consent covers it.
func GoMod(path string, change func(*modfile.File) error) (Edit, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Edit{}, fmt.Errorf("planning an edit: %w", err)
	}
	f, err := modfile.Parse(path, data, nil)
	if err != nil {
		return Edit{}, fmt.Errorf("planning an edit: %w", err)
	}
	if err := change(f); err != nil {
		return Edit{}, fmt.Errorf("planning an edit of %s: %w", path, err)
	}
	f.Cleanup()
	after, err := f.Format()
	if err != nil {
		return Edit{}, fmt.Errorf("planning an edit of %s: %w", path, err)
	}
	return Edit{Path: path, Before: data, After: after, Concern: Packages}, nil
}

// Describe implements [Step].
func (s Edit) Describe(context.Context) (Change, error) {
	if err := s.unchanged(); err != nil {
		return Change{}, err
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	return Change{
		Kind: EditFile, Target: mask.Text(s.Path), File: mask.Text(s.Path), Safety: safety, Concern: s.Concern,
		Diff: unified(s.Path, s.Before, s.After),
	}, nil
}

// unchanged holds the file to what the plan saw.
func (s Edit) unchanged() error {
	now, err := readIfExists(s.Path)
	if err != nil {
		return err
	}
	if (now == nil) != (s.Before == nil) || !bytes.Equal(now, s.Before) {
		return &ChangedError{Path: s.Path, Diff: unified(s.Path, s.Before, now)}
	}
	return nil
}

// Keeps implements [Step].
func (s Edit) Keeps(context.Context) ([]Keep, error) {
	return []Keep{{Path: s.Path, Want: Bytes(s.After)}}, nil
}

// Do implements [Step].
func (s Edit) Do(context.Context) error {
	if err := s.unchanged(); err != nil {
		return err
	}
	if s.Before == nil {
		if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil { //nolint:gosec // what others may read is the file's business
			return err
		}
	}
	path, err := resolve(s.Path)
	if err != nil {
		return err
	}
	mode := s.Mode
	if mode == 0 {
		mode = 0o644
	}
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return writeFile(path, bytes.NewReader(s.After), mode)
}

// Verify implements [Step].
func (s Edit) Verify(context.Context) error {
	return Edit{Path: s.Path, Before: s.After}.unchanged()
}

// Remove deletes exactly one regular file, such as a poisoned file of the module
// cache.
type Remove struct {
	Path string
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
	// Remade: see [Keep].
	Remade bool
}

// Describe implements [Step].
func (s Remove) Describe(context.Context) (Change, error) {
	info, err := os.Lstat(s.Path)
	if err != nil {
		return Change{}, fmt.Errorf("planning to remove a file: %w", err)
	}
	if !info.Mode().IsRegular() { // a link or a directory stands for more than one file
		return Change{}, fmt.Errorf("planning to remove %s: %w", s.Path, errNotRegular)
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	return Change{Kind: RemoveOne, Target: mask.Text(s.Path), File: mask.Text(s.Path), Safety: safety, Concern: s.Concern}, nil
}

// Keeps implements [Step].
func (s Remove) Keeps(context.Context) ([]Keep, error) {
	return []Keep{{Path: s.Path, Remade: s.Remade, Want: &State{}}}, nil
}

// Do implements [Step].
func (s Remove) Do(context.Context) error {
	if err := os.Remove(s.Path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.Path))
}

// Verify implements [Step].
func (s Remove) Verify(context.Context) error {
	if _, err := os.Lstat(s.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there: %w", s.Path, cmpErr(err))
	}
	return nil
}

// Chmod sets the permissions of one path.
type Chmod struct {
	Path string
	Mode Mode
	// Safety; empty means asks. Concern is Ownership where others gain access.
	Safety  keepwell.Safety
	Concern Concern
}

// Describe implements [Step].
func (s Chmod) Describe(context.Context) (Change, error) {
	info, err := os.Stat(s.Path)
	if err != nil {
		return Change{}, fmt.Errorf("planning to change permissions: %w", err)
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	return Change{
		Kind: SetMode, Target: mask.Text(s.Path), File: mask.Text(s.Path), Safety: safety, Concern: s.Concern,
		Diff: fmt.Sprintf("-%v %s\n+%v %[2]s\n", info.Mode().Perm(), mask.Text(s.Path), s.Mode.Perm()),
	}, nil
}

// Keeps implements [Step].
func (s Chmod) Keeps(context.Context) ([]Keep, error) {
	return []Keep{{Path: s.Path, ModeOnly: true, Want: &State{Exists: true, Mode: s.Mode}}}, nil
}

// Do implements [Step].
func (s Chmod) Do(context.Context) error { return os.Chmod(s.Path, s.Mode) }

// Verify implements [Step].
func (s Chmod) Verify(context.Context) error {
	now, err := stateOf(s.Path, true, nil)
	if err != nil {
		return err
	}
	if now.Mode != s.Mode {
		return fmt.Errorf("%s has the permissions %v, not %v", s.Path, now.Mode, s.Mode)
	}
	return nil
}

// Run runs a tool that changes known files, such as `go mod tidy`.
type Run struct {
	Dir  string
	Name string
	Args []string
	// Env is added to the environment, as in proc.Options.
	Env []string
	// Files are all that it may change, relative to Dir: go.mod and go.sum.
	Files []string
	// Trees are directories that it may change, relative to Dir: vendor.
	Trees []string
	// Timeout; 0 means 10 minutes.
	Timeout time.Duration
	// Safety; empty means asks. Concern is Packages for what exchanges packages.
	Safety  keepwell.Safety
	Concern Concern
	// Check, if set, is the verification; else the tool's own exit code is.
	Check func(ctx context.Context) error
}

// Describe implements [Step].
func (s Run) Describe(context.Context) (Change, error) {
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	command := mask.Text(strings.Join(append([]string{s.Name}, s.Args...), " "))
	return Change{Kind: RunTool, Target: command, Command: command, Safety: safety, Concern: s.Concern}, nil
}

// Keeps implements [Step].
func (s Run) Keeps(context.Context) ([]Keep, error) {
	list := make([]Keep, 0, len(s.Files))
	for _, f := range s.Files {
		if !filepath.IsAbs(f) {
			f = filepath.Join(s.Dir, f)
		}
		list = append(list, Keep{Path: f})
	}
	for _, d := range s.Trees {
		if !filepath.IsAbs(d) {
			d = filepath.Join(s.Dir, d)
		}
		list = append(list, Keep{Path: d, Tree: true})
	}
	return list, nil
}

// Do implements [Step].
func (s Run) Do(ctx context.Context) error {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 10 * time.Minute
	}
	_, err := proc.Output(ctx, proc.Options{Dir: s.Dir, Env: s.Env, Timeout: timeout}, s.Name, s.Args...)
	return err
}

// Verify implements [Step].
func (s Run) Verify(ctx context.Context) error {
	if s.Check == nil {
		return nil
	}
	return s.Check(ctx)
}

// Manual is what only a person can do; it is shown and never done.
type Manual struct {
	Target string
	// Command is what they may type; empty where there is none.
	Command string
	Concern Concern
}

// Describe implements [Step].
func (s Manual) Describe(context.Context) (Change, error) {
	return Change{Kind: ByHand, Target: mask.Text(s.Target), Command: mask.Text(s.Command), Safety: keepwell.SafetyManual, Concern: s.Concern}, nil
}

// Keeps implements [Step].
func (s Manual) Keeps(context.Context) ([]Keep, error) { return nil, ErrManual }

// Do implements [Step].
func (s Manual) Do(context.Context) error { return ErrManual }

// Verify implements [Step].
func (s Manual) Verify(context.Context) error { return ErrManual }
