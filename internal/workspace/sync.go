package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/act"
)

// ErrNoWork says that there is no go.work to bring into line.
var ErrNoWork = errors.New("no go.work is in force")

// Sync is what would bring the modules into line.
type Sync struct {
	// Edits are the files that change: go.mod, go.sum, go.work, go.work.sum.
	Edits []act.Edit
	// Left are modules that go could not tidy, by their directories, and what it said. Of
	// these only what `go work sync` changes is in Edits.
	Left map[string]string
	// Rounds is how often everything was done until nothing changed any more.
	Rounds int
}

// mostRounds bounds how often sync and tidy are repeated: tidy may drop what made sync
// choose a version.
const mostRounds = 4

// PlanSync finds what `go work sync`, and then `go mod tidy` in every module, change. go
// works on a copy; env is added to its environment, such as the user's GOFLAGS.
func (w *Workspace) PlanSync(ctx context.Context, env []string, jobs int) (*Sync, error) {
	if w.Work == "" {
		return nil, ErrNoWork
	}
	m, err := w.mirror(ctx, true)
	if err != nil {
		return nil, err
	}
	defer m.remove()
	s := &Sync{Left: map[string]string{}}
	for again := true; again && s.Rounds < mostRounds; s.Rounds++ {
		before, err := m.read(w)
		if err != nil {
			return nil, err
		}
		if err := w.syncCopy(ctx, m, env); err != nil {
			return nil, err
		}
		if err := w.tidy(ctx, m, s, env, jobs); err != nil {
			return nil, err
		}
		after, err := m.read(w)
		if err != nil {
			return nil, err
		}
		again = len(after) != len(before)
		for name, text := range after {
			again = again || !bytes.Equal(text, before[name])
		}
	}
	texts, err := m.read(w)
	if err != nil {
		return nil, err
	}
	for _, name := range w.files() {
		now, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			now = nil
		} else if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		after, ok := texts[name]
		if !ok || bytes.Equal(now, after) {
			continue
		}
		s.Edits = append(s.Edits, act.Edit{Path: name, Before: now, After: after})
	}
	return s, nil
}

// syncCopy runs go work sync in the copy. Where that does not succeed because one module
// requires a version of another that was never released, the modules stand in meanwhile.
func (w *Workspace) syncCopy(ctx context.Context, m *mirror, env []string) error {
	r, err := m.run(ctx, w.Root, env, "work", "sync")
	if err != nil || r.Exit == 0 && !r.Late {
		return err
	}
	why := m.said(r.Output)
	before, err := os.ReadFile(m.work)
	if err != nil {
		return err
	}
	if !m.standIn(w) {
		return fmt.Errorf("go work sync: %s", why)
	}
	if r, err = m.run(ctx, w.Root, env, "work", "sync"); err != nil {
		return err
	}
	if r.Exit != 0 || r.Late {
		return fmt.Errorf("go work sync: %s", m.said(r.Output))
	}
	return os.WriteFile(m.work, before, 0o600) //nolint:gosec // the copy in our own directory
}

// files are all that sync may change.
func (w *Workspace) files() []string {
	list := []string{w.Work, w.Work + ".sum"}
	for _, m := range w.Modules {
		list = append(list, m.Name(), filepath.Join(m.Dir, "go.sum"))
	}
	return list
}

// read is what the copies hold, by the names of the originals.
func (m *mirror) read(w *Workspace) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range w.files() {
		data, err := os.ReadFile(m.at(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("reading the copy of %s: %w", name, err)
		default:
			out[name] = data
		}
	}
	return out, nil
}

// said is the line in which go says what is wrong, with the names of the originals.
func (m *mirror) said(output []byte) string {
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(string(output), m.tmp, m.base)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "go: downloading") && !strings.HasPrefix(line, "go: finding") && !strings.HasPrefix(line, "go: found") {
			lines = append(lines, line)
		}
	}
	const most = 3
	return strings.Join(lines[max(0, len(lines)-most):], " ")
}

// tidied is what go mod tidy makes of a module.
type tidied struct {
	mod, sum []byte // sum is nil where there is none
	why      string // what go said where it did not succeed
}

// tidy tidies all modules, each from what the others were before: whatever the order, the
// same comes of it.
func (w *Workspace) tidy(ctx context.Context, m *mirror, s *Sync, env []string, jobs int) error {
	results := make([]tidied, len(w.Modules))
	failures := make([]error, len(w.Modules))
	var work sync.WaitGroup
	turn := make(chan struct{}, max(jobs, 1))
	for i, mod := range w.Modules {
		work.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			results[i], failures[i] = w.tidyOne(ctx, m, mod, env, filepath.Join(m.tmp, fmt.Sprintf(".tidy-%d-%d", s.Rounds, i)))
		})
	}
	work.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for i, mod := range w.Modules {
		delete(s.Left, mod.Rel)
		if results[i].why != "" {
			s.Left[mod.Rel] = results[i].why
			continue
		}
		if err := os.WriteFile(m.at(mod.Name()), results[i].mod, 0o600); err != nil {
			return err
		}
		if sum := results[i].sum; sum != nil {
			if err := os.WriteFile(m.at(filepath.Join(mod.Dir, "go.sum")), sum, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidyOne tidies a module as its users will see it, without go.work; go writes what comes
// of it to files in dir. Where that does not succeed because a module beside it was never
// released, the ones beside it stand in for their versions meanwhile.
func (w *Workspace) tidyOne(ctx context.Context, m *mirror, mod *Module, env []string, dir string) (t tidied, err error) {
	before, err := os.ReadFile(m.at(mod.Name()))
	if err != nil {
		return t, fmt.Errorf("reading the copy of %s: %w", mod.Name(), err)
	}
	sumBefore, err := os.ReadFile(m.at(filepath.Join(mod.Dir, "go.sum")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("reading the copy of go.sum: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return t, err
	}
	name, sum := filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")
	env = append(slices.Clone(env), "GOWORK=off")
	run := func(text []byte) (why string, err error) {
		if err := os.WriteFile(name, text, 0o600); err != nil { //nolint:gosec // in a directory of our own
			return "", err
		}
		if err := os.RemoveAll(sum); err != nil {
			return "", err
		}
		if sumBefore != nil {
			if err := os.WriteFile(sum, sumBefore, 0o600); err != nil { //nolint:gosec // in our own directory
				return "", err
			}
		}
		r, err := m.run(ctx, mod.Dir, env, "mod", "tidy", "-modfile="+name)
		if err != nil || r.Exit == 0 && !r.Late {
			return "", err
		}
		return m.said(r.Output), nil
	}
	if t.why, err = run(before); err != nil {
		return t, err
	}
	if t.why != "" {
		with, err := w.besides(m, mod, before)
		if err != nil || with == nil {
			return t, err
		}
		why, err := run(with)
		if err != nil || why != "" {
			return t, err
		}
		t.why = ""
		if err := w.withoutBesides(name, sum, before, sumBefore); err != nil {
			return t, err
		}
	}
	if t.mod, err = os.ReadFile(name); err != nil {
		return t, err
	}
	if t.sum, err = os.ReadFile(sum); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return t, err
}

// besides is a module's go.mod with the other modules of the workspace in the place of
// their versions; nil where there is none to add.
func (w *Workspace) besides(m *mirror, mod *Module, text []byte) ([]byte, error) {
	f, err := modfile.Parse(mod.Name(), text, nil)
	if err != nil {
		return nil, nil //nolint:nilerr // what is wrong with it, go has said
	}
	have := map[string]bool{}
	for _, r := range f.Replace {
		have[r.Old.Path] = true
	}
	some := false
	for _, o := range w.Modules {
		if o == mod || have[o.Path] || o.Path == "" {
			continue
		}
		some = true
		if err := f.AddReplace(o.Path, "", m.at(o.Dir), ""); err != nil {
			return nil, fmt.Errorf("tidying %s: %w", mod.Rel, err)
		}
	}
	if !some {
		return nil, nil
	}
	return modfile.Format(f.Syntax), nil
}

// withoutBesides takes away again what besides added, and what go made of it: a
// requirement in no version at all. Sums of the modules beside it, which go takes for not
// needed then, stay.
func (w *Workspace) withoutBesides(name, sum string, before, sumBefore []byte) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return err
	}
	old, err := modfile.Parse(name, before, nil)
	if err != nil {
		return err
	}
	had := map[string]bool{}
	for _, r := range old.Replace {
		had[r.Old.Path] = true
	}
	own := map[string]bool{}
	for _, o := range w.Modules {
		if own[o.Path] = true; !had[o.Path] && o.Path != "" {
			if err := f.DropReplace(o.Path, ""); err != nil {
				return err
			}
		}
	}
	for _, r := range slices.Clone(f.Require) {
		if own[r.Mod.Path] && r.Mod.Version == "v0.0.0-00010101000000-000000000000" && !slices.ContainsFunc(old.Require, func(o *modfile.Require) bool { return o.Mod == r.Mod }) {
			if err := f.DropRequire(r.Mod.Path); err != nil {
				return err
			}
		}
	}
	f.Cleanup()
	if data, err = f.Format(); err != nil {
		return err
	}
	sums, err := os.ReadFile(sum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := slices.Collect(strings.Lines(string(sums)))
	for line := range strings.Lines(string(sumBefore)) {
		if path, _, ok := strings.Cut(line, " "); ok && own[path] && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if err := os.WriteFile(name, data, 0o600); err != nil { //nolint:gosec // the copy in our own directory
		return err
	}
	if len(lines) == 0 {
		return nil
	}
	slices.SortStableFunc(lines, compareSums)
	return os.WriteFile(sum, []byte(strings.Join(lines, "")), 0o600) //nolint:gosec // as above
}

// compareSums orders lines as go does: by module, by version, the module before its
// go.mod.
func compareSums(a, b string) int {
	key := func(line string) module.Version {
		f := strings.Fields(line)
		if len(f) != 3 {
			return module.Version{}
		}
		return module.Version{Path: f[0], Version: f[1]}
	}
	list := []module.Version{key(a), key(b)}
	if list[0] == list[1] {
		return 0
	}
	first := list[0]
	module.Sort(list)
	if list[0] == first {
		return -1
	}
	return 1
}
