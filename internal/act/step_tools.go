package act

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/proc"
)

// GoEnv sets one variable in go's user file by `go env -w`, or unsets it by -u.
type GoEnv struct {
	Name, Value string
	Unset       bool
	// File is the user's file, what `go env GOENV` prints.
	File string
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
}

// Describe implements [Step].
func (s GoEnv) Describe(context.Context) (Change, error) {
	if s.File == "" || s.File == "off" {
		return Change{}, fmt.Errorf("planning to set %s: go has no file for its settings (GOENV=%s)", s.Name, s.File)
	}
	before, err := readIfExists(s.File)
	if err != nil {
		return Change{}, fmt.Errorf("planning to set %s: %w", s.Name, err)
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	kind, command := SetGo, "go env -w "+s.Name+"="+s.Value
	if s.Unset {
		kind, command = UnsetGo, "go env -u "+s.Name
	}
	return Change{
		Kind: kind, Target: s.Name, Safety: safety, Concern: s.Concern, File: mask.Text(s.File), Command: mask.Text(command),
		Diff: unified(s.File, before, s.preview(before)),
	}, nil
}

// preview is what go would make of the file: it keeps other lines, drops older ones of
// the same name, and sorts what it adds.
func (s GoEnv) preview(before []byte) []byte {
	lines := slices.DeleteFunc(strings.SplitAfter(string(before), "\n"), func(l string) bool {
		return l == "" || strings.HasPrefix(l, s.Name+"=")
	})
	if !s.Unset {
		at := slices.IndexFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "#") && l > s.Name+"=" })
		if at < 0 {
			at = len(lines)
		}
		lines = slices.Insert(lines, at, s.Name+"="+s.Value+"\n")
	}
	return []byte(strings.Join(lines, ""))
}

// Keeps implements [Step]. What go writes exactly is its own business.
func (s GoEnv) Keeps(context.Context) ([]Keep, error) { return []Keep{{Path: s.File}}, nil }

func (s GoEnv) args() map[string]string {
	a := map[string]string{"name": s.Name}
	if !s.Unset {
		a["value_sha256"] = hash(s.Value)
	}
	return a
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Do implements [Step].
func (s GoEnv) Do(ctx context.Context) error {
	if s.Unset {
		return runGoEnv(ctx, s.File, "-u", s.Name)
	}
	return runGoEnv(ctx, s.File, "-w", s.Name+"="+s.Value)
}

// runGoEnv runs go where no project's toolchain line can have a say.
func runGoEnv(ctx context.Context, file, flag, arg string) error {
	_, err := proc.Output(ctx, proc.Options{Dir: os.TempDir(), Env: []string{"GOTOOLCHAIN=local", "GOENV=" + file, "GO111MODULE=", "GOWORK=off"}}, "go", "env", flag, arg)
	if err != nil {
		// proc names the whole command, and the value may hold a password.
		return errors.New(mask.Text(err.Error()))
	}
	return nil
}

// Verify implements [Step].
func (s GoEnv) Verify(context.Context) error {
	values, err := goenv.ReadFile(s.File)
	if err != nil {
		return err
	}
	if got, ok := values[s.Name]; ok == s.Unset || !s.Unset && got != s.Value {
		return fmt.Errorf("%s does not hold what was written for %s", s.File, s.Name)
	}
	return nil
}

// SafeDirectory tells git that a directory of another owner may be trusted.
type SafeDirectory struct{ Dir string }

// Describe implements [Step].
func (s SafeDirectory) Describe(context.Context) (Change, error) {
	if !filepath.IsAbs(s.Dir) { // "*" would trust every directory there is
		return Change{}, fmt.Errorf("planning to trust %q: not an absolute path", s.Dir)
	}
	return Change{
		Kind: TrustDir, Target: mask.Text(s.Dir), Safety: keepwell.SafetyAsks, Concern: Trust,
		Command: mask.Text("git config --global --add safe.directory " + s.Dir),
	}, nil
}

// Keeps implements [Step]: git writes the first of these that exists, or the first.
func (s SafeDirectory) Keeps(context.Context) ([]Keep, error) {
	if f := os.Getenv("GIT_CONFIG_GLOBAL"); f != "" {
		return []Keep{{Path: f}}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	xdg := os.Getenv("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = filepath.Join(home, ".config")
	}
	return []Keep{{Path: filepath.Join(home, ".gitconfig")}, {Path: filepath.Join(xdg, "git", "config")}}, nil
}

func (s SafeDirectory) args() map[string]string { return map[string]string{"dir": s.Dir} }

// Do implements [Step].
func (s SafeDirectory) Do(ctx context.Context) error {
	_, err := proc.Output(ctx, proc.Options{}, "git", "config", "--global", "--add", "safe.directory", s.Dir)
	return err
}

// Verify implements [Step].
func (s SafeDirectory) Verify(ctx context.Context) error {
	out, err := proc.Output(ctx, proc.Options{}, "git", "config", "--global", "--get-all", "safe.directory")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Split(string(out), "\n"), s.Dir) {
		return fmt.Errorf("git does not list %s as safe", s.Dir)
	}
	return nil
}

// holds reports whether what an intent of a tool wanted is in place; false where it
// cannot be told.
func holds(l line) bool {
	switch l.Kind {
	case SetGo, UnsetGo:
		values, err := goenv.ReadFile(l.Kept[0].Path)
		v, ok := values[l.Args["name"]]
		return err == nil && ok == (l.Kind == SetGo) && (!ok || hash(v) == l.Args["value_sha256"])
	}
	return false
}

// reverter returns what undoes a step by its meaning when the file as a whole has
// been changed by others since; nil where that is not possible.
func (e *Engine) reverter(l line, k kept) func(ctx context.Context) error {
	switch l.Kind {
	case SetGo, UnsetGo:
		if !holds(l) { // this very variable was changed
			return nil
		}
		return func(ctx context.Context) error { return e.revertGo(ctx, l.Args["name"], k) }
	case TrustDir:
		return func(ctx context.Context) error {
			_, err := proc.Output(ctx, proc.Options{}, "git", "config", "--global", "--fixed-value", "--unset", "safe.directory", l.Args["dir"])
			return err
		}
	}
	return nil
}

func (e *Engine) revertGo(ctx context.Context, name string, k kept) error {
	var before map[string]string
	if k.Undo != "" {
		var err error
		if before, err = goenv.ReadFile(filepath.Join(e.undoDir(), k.Undo)); err != nil {
			return err
		}
	}
	if v, ok := before[name]; ok {
		return runGoEnv(ctx, k.Path, "-w", name+"="+v)
	}
	return runGoEnv(ctx, k.Path, "-u", name)
}
