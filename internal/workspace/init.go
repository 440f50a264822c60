package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// ErrNoModules says that there is nothing to put into a go.work.
var ErrNoModules = errors.New("there is no go.mod below")

// Omitted is a module that go.work is not to have.
type Omitted struct {
	Dir string `json:"dir"`
	// Why is "unreadable" (Arg says what is wrong), "same-path" (Arg is the directory of the
	// other), or "used" where it is in go.work already.
	Why string `json:"why"`
	Arg string `json:"arg,omitempty"`
}

// Init is what would make, or extend, a go.work.
type Init struct {
	Root string `json:"root"`
	// Added are the directories that go.work will use and did not.
	Added []string `json:"added"`
	// Omitted are not used, and say why.
	Omitted []Omitted `json:"omitted"`
	// Go is the go line: the newest of the modules', or what was asked for.
	Go string `json:"go"`
	// Exists says that there was a go.work: its other lines stay.
	Exists bool       `json:"exists"`
	Edits  []act.Edit `json:"-"`
	// Problems are what status will say of the modules together.
	Problems []Problem `json:"-"`
	// Kept is how git keeps go.work: as in [InForce].
	Kept string `json:"git,omitempty"`
}

// InitOptions say what go.work is to have.
type InitOptions struct {
	// Root is where go.work is, or will be.
	Root string
	// Dirs are the modules; none means all that Find finds.
	Dirs []string
	// Go is the go line; "" means the newest of the modules'.
	Go string
	// Ignore adds go.work and go.work.sum to .gitignore.
	Ignore bool
	// Env is added to go's environment.
	Env []string
}

// oldestGo is the first go that knows go.work.
const oldestGo = "1.18"

// PlanInit finds what `go work init` and `go work use` make of the modules. go works on a
// copy.
func PlanInit(ctx context.Context, o InitOptions) (*Init, error) {
	root, err := canonical(o.Root)
	if err != nil {
		return nil, err
	}
	w := &Workspace{Root: root, Work: filepath.Join(root, "go.work")}
	p := &Init{Root: root, Added: []string{}, Omitted: []Omitted{}}
	before, err := plainfile.Read(w.Work)
	switch {
	case err == nil:
		p.Exists = true
		if w.File, err = modfile.ParseWork(w.Work, before, nil); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", w.Work, ErrParse, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading go.work: %w", err)
	}
	if err := p.choose(ctx, w, o.Dirs); err != nil {
		return nil, err
	}
	p.Go = o.Go
	if p.Go == "" {
		p.Go = newestGo(w)
	}
	after, err := p.write(ctx, w, o.Env)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(before, after) {
		p.Edits = append(p.Edits, act.Edit{Path: w.Work, Before: before, After: after})
	}
	if w.File, err = modfile.ParseWork(w.Work, after, nil); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", w.Work, ErrParse, err)
	}
	p.Problems = slices.DeleteFunc(w.Problems(), func(x Problem) bool { return x.Kind == UseGone && !p.Exists })
	return p, p.git(ctx, w, o.Ignore)
}

// choose decides which modules are used, and says why others are not.
func (p *Init) choose(ctx context.Context, w *Workspace, dirs []string) error {
	seen, paths := map[string]bool{}, map[string]string{}
	if w.File != nil {
		for _, u := range w.File.Use {
			at := Place(w.Root, u.Path)
			if seen[at] {
				continue
			}
			seen[at] = true
			if !hasMod(at) {
				w.Gone = append(w.Gone, u)
				continue
			}
			m := w.read(at)
			w.Modules, paths[m.Path] = append(w.Modules, m), m.Rel
		}
	}
	var err error
	if len(dirs) == 0 {
		if dirs, err = Find(ctx, w.Root); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		at, err := canonical(dir)
		if err != nil {
			return fmt.Errorf("looking for a module: %w", err)
		}
		m := w.read(at)
		switch {
		case seen[at]:
			continue
		case m.Err != nil:
			text, _, _ := strings.Cut(m.Err.Error(), "\n")
			p.Omitted = append(p.Omitted, Omitted{m.Rel, "unreadable", text})
			continue
		case paths[m.Path] != "":
			p.Omitted = append(p.Omitted, Omitted{m.Rel, "same-path", paths[m.Path]})
			continue
		}
		seen[at], paths[m.Path] = true, m.Rel
		w.Modules, p.Added = append(w.Modules, m), append(p.Added, m.Rel)
	}
	if len(w.Modules) == 0 {
		return fmt.Errorf("%w: %s", ErrNoModules, w.Root)
	}
	return nil
}

// newestGo is the newest go line of the modules and of go.work.
func newestGo(w *Workspace) string {
	newest := oldestGo
	take := func(v string) {
		if version.Compare("go"+v, "go"+newest) > 0 {
			newest = v
		}
	}
	for _, m := range w.Modules {
		take(m.Go())
	}
	if w.File != nil && w.File.Go != nil {
		take(w.File.Go.Version)
	}
	return newest
}

// write has go write go.work in a copy.
func (p *Init) write(ctx context.Context, w *Workspace, env []string) ([]byte, error) {
	m, err := w.mirror(ctx, false)
	if err != nil {
		return nil, err
	}
	defer m.remove()
	if err := os.MkdirAll(m.at(w.Root), 0o700); err != nil {
		return nil, err
	}
	var calls [][]string
	if !p.Exists {
		calls = append(calls, []string{"work", "init"})
	}
	// The line first: go refuses modules that are newer than it.
	if !p.Exists || w.File.Go == nil || w.File.Go.Version != p.Go {
		calls = append(calls, []string{"work", "edit", "-go=" + p.Go})
	}
	const most = 100
	for list := p.Added; len(list) > 0; list = list[min(most, len(list)):] {
		use := append([]string{"work", "use"}, list[:min(most, len(list))]...)
		if len(w.Gone) > 0 { // go work use refuses a go.work with lines that lead nowhere
			use[1] = "edit"
			for i := range use[2:] {
				use[i+2] = "-use=" + use[i+2]
			}
		}
		calls = append(calls, use)
	}
	for _, args := range calls {
		r, err := m.run(ctx, w.Root, env, args...)
		if err != nil {
			return nil, err
		}
		if r.Exit != 0 || r.Late {
			return nil, fmt.Errorf("go %s: %s", strings.Join(args[:2], " "), m.said(r.Output))
		}
	}
	return os.ReadFile(m.work)
}

// git looks how go.work is kept, and adds the lines that ignore it.
func (p *Init) git(ctx context.Context, w *Workspace, ignore bool) error {
	if _, err := git(ctx, w.Root, "rev-parse", "--is-inside-work-tree"); err != nil {
		return nil //nolint:nilerr // no git, or no repository: nothing to decide
	}
	p.Kept = "untracked"
	if out, err := git(ctx, w.Root, "ls-files", "--", "go.work"); err == nil && len(out) > 0 {
		p.Kept = "committed"
	} else if _, err := git(ctx, w.Root, "check-ignore", "-q", "--", "go.work"); err == nil {
		p.Kept = "ignored"
	}
	if !ignore || p.Kept == "ignored" {
		return nil
	}
	name := filepath.Join(w.Root, ".gitignore")
	before, err := plainfile.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading .gitignore: %w", err)
	}
	after := slices.Clone(before)
	if len(after) > 0 && after[len(after)-1] != '\n' {
		after = append(after, '\n')
	}
	p.Edits = append(p.Edits, act.Edit{Path: name, Before: before, After: append(after, "/go.work\n/go.work.sum\n"...)})
	return nil
}
