package act_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
)

const secret = "hunter2-canary"

func yes(context.Context, act.Change) (bool, error) { return true, nil }

// tree is every file below dir with its mode and bytes.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = info.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func replace(t testing.TB, path, old, with string) act.Edit {
	t.Helper()
	e, err := act.Replace(path, old, with)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// steps are one of each kind, on files that it makes in dir.
func steps(t testing.TB, dir string) map[string]act.Step {
	t.Helper()
	profile := write(t, filepath.Join(dir, "profile"), "export GOPROXY=https://bob:"+secret+"@old.example.org\n")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(profile, link); err != nil {
		t.Fatal(err)
	}
	mod := write(t, filepath.Join(dir, "m", "go.mod"), "module example.com/m\n\ngo 1.21\n")
	line, err := act.ReplaceLines(write(t, filepath.Join(dir, "Dockerfile"), "FROM x\r\nENV GOPROXY=a\r\nRUN y"), act.Line{Number: 2, Old: "ENV GOPROXY=a", New: "ENV GOPROXY=b"})
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := act.GoMod(mod, func(f *modfile.File) error { return f.AddRequire("example.com/x", "v1.2.0") })
	if err != nil {
		t.Fatal(err)
	}
	return map[string]act.Step{
		"a version in go.mod":     gomod,
		"an edit":                 replace(t, profile, "old.example", "new.example"),
		"an edit through a link":  replace(t, link, "old.example", "new.example"),
		"a line":                  line,
		"a new file":              act.Edit{Path: filepath.Join(dir, ".npmrc"), After: []byte("x=1\n"), Mode: 0o600},
		"a removal":               act.Remove{Path: write(t, filepath.Join(dir, "v1.0.0.mod"), "<html>")},
		"permissions":             act.Chmod{Path: write(t, filepath.Join(dir, "locked"), "x"), Mode: 0o600},
		"permissions of a folder": act.Chmod{Path: filepath.Dir(mod), Mode: 0o700},
		"a setting of go":         act.GoEnv{Name: "GOPROXY", Value: "https://bob:" + secret + "@goproxy.example.org", File: write(t, filepath.Join(dir, "goenv"), "GOFLAGS=-mod=mod\nGOPROXY=off\n")},
		"go's first setting":      act.GoEnv{Name: "GOPRIVATE", Value: "example.com", File: filepath.Join(dir, "none", "env")},
		"a setting of go less":    act.GoEnv{Name: "GOSUMDB", Unset: true, File: write(t, filepath.Join(dir, "goenv2"), "GOSUMDB=off\n")},
		"a tool": act.Run{
			Dir: filepath.Dir(mod), Name: "go", Args: []string{"mod", "edit", "-require=example.com/x@v1.0.0"},
			Files: []string{"go.mod", "go.sum"}, Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local"},
		},
	}
}

func TestEachKindOfStepIsDoneAndUndone(t *testing.T) {
	t.Parallel()
	for story := range steps(t, t.TempDir()) {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()
			step := steps(t, dir)[story]
			before := tree(t, dir)
			e := &act.Engine{Dir: state}
			plan := act.Plan{Command: "test", Note: story, Steps: []act.Step{step}}

			preview, err := plan.Preview(t.Context())
			if err != nil || len(preview) != 1 {
				t.Fatalf("preview: %v, %v", preview, err)
			}
			if d := preview[0].Diff; strings.Contains(d, secret) {
				t.Errorf("the difference shows a secret:\n%s", d)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Fatalf("the dry run changed something:\n%s", diff)
			}
			r, err := e.Run(t.Context(), plan, yes)
			if err != nil {
				t.Fatal(err)
			}
			if err := step.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			if info, err := os.Stat(filepath.Dir(filepath.Join(dir, "m", "x"))); story != "permissions of a folder" {
				if diff := cmp.Diff(before, tree(t, dir)); diff == "" {
					t.Error("nothing was changed")
				}
			} else if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v %v", info.Mode(), err)
			}
			noSecrets(t, state)
			if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("after undo (-before +after):\n%s", diff)
			}
			if left := tree(t, filepath.Join(state, "undo")); len(left) != 0 {
				t.Errorf("undo bytes are left: %v", left)
			}
			if _, _, err := e.Undo(t.Context(), 0, ""); !errors.Is(err, act.ErrNothing) {
				t.Errorf("a second undo: %v", err)
			}
		})
	}
}

// noSecrets: the journal holds none, and only their owner reads what may hold one.
func noSecrets(t testing.TB, state string) {
	t.Helper()
	for path, text := range tree(t, state) {
		if !strings.HasPrefix(text, "-rw------- ") {
			t.Errorf("%s can be read by others: %.11s", path, text)
		}
		if strings.Contains(text, secret) && filepath.Base(filepath.Dir(path)) != "undo" {
			t.Errorf("%s holds the secret:\n%s", path, text)
		}
	}
}

// TestUndoSparesTheWorkOfOthers: what was changed since is not overwritten.
func TestUndoSparesTheWorkOfOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "profile"), "a\ntoken="+secret+"\n")
	e := &act.Engine{Dir: t.TempDir()}
	r, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{replace(t, path, "a\n", "b\n")}}, yes)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "b\nmine\ntoken="+secret+"\n")
	_, _, err = e.Undo(t.Context(), r.ID, "")
	var changed *act.ChangedError
	if !errors.As(err, &changed) || !strings.Contains(changed.Diff, "-mine") || strings.Contains(changed.Diff, secret) {
		t.Fatalf("got %v, %+v", err, changed)
	}
	if got, _ := os.ReadFile(path); string(got) != "b\nmine\ntoken="+secret+"\n" {
		t.Errorf("the file was touched: %s", got)
	}
	// Once the work is out of the way, it goes.
	write(t, path, "b\ntoken="+secret+"\n")
	if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
		t.Error(err)
	}
}

// TestUndoOfGoSettingsGoesByVariable: other variables set since stay.
func TestUndoOfGoSettingsGoesByVariable(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "env"), "GOPROXY=off\n")
	e := &act.Engine{Dir: t.TempDir()}
	set := func(name, value string) int {
		t.Helper()
		r, err := e.Run(t.Context(), act.Plan{Command: "env", Steps: []act.Step{act.GoEnv{Name: name, Value: value, File: file}}}, yes)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	proxy := set("GOPROXY", "direct")
	private := set("GOPRIVATE", "example.com")
	for _, id := range []int{proxy, private} {
		if _, _, err := e.Undo(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(file); string(got) != "GOPROXY=off\n" {
		t.Errorf("got %q", got)
	}
	proxy = set("GOPROXY", "direct")
	set("GOPROXY", "https://goproxy.example.org")
	var changed *act.ChangedError
	if _, _, err := e.Undo(t.Context(), proxy, ""); !errors.As(err, &changed) {
		t.Errorf("the variable itself was changed, yet: %v", err)
	}
}

// TestAPlanHoldsWhollyOrNotAtAll: a failing step takes the others back.
func TestAPlanHoldsWhollyOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story string
		last  act.Step
	}{
		{"the tool fails", act.Run{Name: "go", Args: []string{"no-such-command"}}},
		{"the verification fails", act.Run{Name: "go", Args: []string{"version"}, Check: func(context.Context) error { return errors.New("no") }}},
		{"the file changed in between", act.Edit{Path: "/dev/null/x", After: []byte("x")}},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := write(t, filepath.Join(dir, "a"), "a")
			gone := write(t, filepath.Join(dir, "b"), "b")
			before := tree(t, dir)
			e := &act.Engine{Dir: t.TempDir()}
			_, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{replace(t, path, "a", "c"), act.Remove{Path: gone}, c.last}}, yes)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story   string
		yes     bool
		safety  keepwell.Safety
		concern act.Concern
		asked   bool
	}{
		{"safe", false, keepwell.SafetySafe, act.Ordinary, false},
		{"asks", false, keepwell.SafetyAsks, act.Ordinary, true},
		{"asks, --yes", true, keepwell.SafetyAsks, act.Ordinary, false},
		{"trust, --yes", true, keepwell.SafetyAsks, act.Trust, true},
		{"ownership, --yes", true, keepwell.SafetyAsks, act.Ownership, true},
		{"packages, --yes", true, keepwell.SafetyAsks, act.Packages, true},
		{"trust that calls itself safe", true, keepwell.SafetySafe, act.Trust, true},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			asked := false
			ask := func(context.Context, act.Change) (bool, error) { asked = true; return false, nil }
			change := act.Change{Safety: c.safety, Concern: c.concern}
			ok, err := act.Policy(c.yes, ask)(t.Context(), change)
			if err != nil || asked != c.asked || ok == c.asked {
				t.Errorf("asked %v, consent %v, %v", asked, ok, err)
			}
			if _, err := act.Policy(c.yes, nil)(t.Context(), change); c.asked != errors.Is(err, act.ErrNeedsApproval) {
				t.Errorf("nobody to ask: %v", err)
			}
		})
	}
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a"), "a")
	e := &act.Engine{Dir: t.TempDir()}
	no := func(context.Context, act.Change) (bool, error) { return false, nil }
	if _, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{replace(t, path, "a", "b")}}, no); !errors.Is(err, act.ErrDeclined) {
		t.Error(err)
	}
	if _, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{act.Manual{Target: "x"}}}, yes); !errors.Is(err, act.ErrManual) {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "a" {
		t.Errorf("changed to %q without consent", got)
	}
}

// TestTwoAtOnce: engines on one state directory take turns, and lose nothing.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	state, path := t.TempDir(), write(t, filepath.Join(t.TempDir(), "f"), "")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			e := &act.Engine{Dir: state}
			r, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{grow{path}}}, yes)
			if err != nil || r.ID == 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	wg.Wait()
	if got, _ := os.ReadFile(path); len(got) != 8 {
		t.Errorf("%d of 8 changes are left", len(got))
	}
	history, err := (&act.Engine{Dir: state}).History()
	if err != nil || len(history) != 8 || history[7].ID != 8 {
		t.Errorf("%+v, %v", history, err)
	}
}

// grow makes a file a byte longer, by reading and writing it.
type grow struct{ path string }

func (g grow) Describe(context.Context) (act.Change, error) {
	return act.Change{Kind: act.EditFile, Safety: keepwell.SafetySafe}, nil
}
func (g grow) Keeps(context.Context) ([]act.Keep, error) { return []act.Keep{{Path: g.path}}, nil }
func (g grow) Verify(context.Context) error              { return nil }
func (g grow) Do(context.Context) error {
	data, err := os.ReadFile(g.path)
	if err != nil {
		return err
	}
	return os.WriteFile(g.path, append(data, 'x'), 0o600)
}

func TestSafeDirectory(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", "")
	os.Unsetenv("GIT_CONFIG_GLOBAL") // Setenv puts it back afterwards
	config := write(t, filepath.Join(home, ".gitconfig"), "[user]\n\tname = bob\n")
	before := tree(t, home)
	e := &act.Engine{Dir: t.TempDir()}
	plan := act.Plan{Steps: []act.Step{act.SafeDirectory{Dir: "/srv/repo"}}}
	if _, err := e.Run(t.Context(), plan, act.Policy(true, nil)); !errors.Is(err, act.ErrNeedsApproval) {
		t.Fatalf("trust was given by --yes: %v", err)
	}
	r, err := e.Run(t.Context(), plan, yes)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, home)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	// Another setting since: only the directory goes.
	if r, err = e.Run(t.Context(), plan, yes); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(config)
	write(t, config, string(data)+"[core]\n\tpager = less\n")
	if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(config); strings.Contains(string(got), "/srv/repo") || !strings.Contains(string(got), "pager") {
		t.Errorf("got %s", got)
	}
	if _, err := (act.SafeDirectory{Dir: "*"}).Describe(t.Context()); err == nil {
		t.Error("every directory would be trusted")
	}
}

func TestStepsRefuseWhatTheyCannotDoExactly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	twice := write(t, filepath.Join(dir, "twice"), "x x\n")
	if _, err := act.Replace(twice, "x", "y"); !errors.Is(err, act.ErrPlace) {
		t.Error(err)
	}
	if _, err := act.ReplaceLines(twice, act.Line{Number: 1, Old: "y", New: "z"}); !errors.Is(err, act.ErrPlace) {
		t.Error(err)
	}
	if _, err := (act.Remove{Path: dir}).Describe(t.Context()); err == nil {
		t.Error("a directory is no one file")
	}
	for _, file := range []string{"", "off"} {
		if _, err := (act.GoEnv{Name: "GOPROXY", Value: "x", File: file}).Describe(t.Context()); err == nil {
			t.Errorf("GOENV=%q has no file", file)
		}
	}
}

func TestStateDir(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		goos string
		env  map[string]string
		want string
	}{
		{"linux", map[string]string{"KEEPWELL_STATE": "/k", "XDG_STATE_HOME": "/x"}, "/k"},
		{"linux", map[string]string{"XDG_STATE_HOME": "/x"}, "/x/keepwell"},
		{"linux", map[string]string{"XDG_STATE_HOME": "relative"}, "/home/bob/.local/state/keepwell"},
		{"darwin", nil, "/home/bob/Library/Application Support/keepwell"},
		{"windows", map[string]string{"LocalAppData": "/l"}, "/l/keepwell/state"},
	} {
		got, err := act.StateDir(c.goos, func(k string) string { return c.env[k] }, "/home/bob")
		if err != nil || filepath.ToSlash(got) != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}

// waits holds the lock until it is let go.
type waits struct {
	grow
	begun, end chan struct{}
}

func (w waits) Do(context.Context) error {
	close(w.begun)
	<-w.end
	return nil
}

func TestBusyIsSaid(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	w := waits{grow{write(t, filepath.Join(t.TempDir(), "f"), "")}, make(chan struct{}), make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := (&act.Engine{Dir: state}).Run(t.Context(), act.Plan{Steps: []act.Step{w}}, yes); err != nil {
			t.Error(err)
		}
	})
	<-w.begun
	if _, err := (&act.Engine{Dir: state, Wait: 1}).Run(t.Context(), act.Plan{Steps: []act.Step{w.grow}}, yes); !errors.Is(err, act.ErrBusy) {
		t.Errorf("got %v", err)
	}
	close(w.end)
	wg.Wait()
}

// TestOldUndoBytesGo: they may hold secrets.
func TestOldUndoBytesGo(t *testing.T) {
	t.Parallel()
	state, path := t.TempDir(), write(t, filepath.Join(t.TempDir(), "f"), "")
	e := &act.Engine{Dir: state}
	for range 52 {
		if _, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{grow{path}}}, yes); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.Undo(t.Context(), 2, ""); !errors.Is(err, act.ErrExpired) {
		t.Errorf("got %v", err)
	}
	if n := len(tree(t, filepath.Join(state, "undo"))); n != 50 {
		t.Errorf("%d files are kept", n)
	}
	if _, _, err := e.Undo(t.Context(), 0, ""); err != nil {
		t.Error(err)
	}
}

// TestCancelledHalfWay: what a signal stopped is put back.
func TestCancelledHalfWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "f"), "a")
	ctx, cancel := context.WithCancel(t.Context())
	e := &act.Engine{Dir: t.TempDir()}
	stop := act.Run{Name: "go", Args: []string{"version"}, Check: func(ctx context.Context) error { cancel(); return ctx.Err() }}
	if _, err := e.Run(ctx, act.Plan{Steps: []act.Step{replace(t, path, "a", "b"), stop}}, yes); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "a" {
		t.Errorf("got %q", got)
	}
}
