package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/rewrite"
	"github.com/keepwell/keepwell/internal/scratch"
	"github.com/keepwell/keepwell/internal/workspace"
)

// MendsOf are the ways to carry out a proposal in the project here, best first. None is
// ever made by a blanket consent: another package comes in the place of one, and a person
// names which. The error says why the first of them cannot be planned; it is
// [rewrite.ErrNothing] where nothing here asks for the name.
func MendsOf(ctx context.Context, c *Case, p moved.Proposal) ([]Mend, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	switch p.Ecosystem {
	case moved.Npm:
		return c.mendNpm(ctx, p)
	case moved.PyPI:
		return c.mendPyPI(ctx, p)
	}
	kind, ok := map[moved.Mend]rewrite.Kind{
		moved.UpdatePath: rewrite.Move, moved.UpdateVersion: rewrite.Version, moved.GetOther: rewrite.Require,
	}[p.Mend]
	switch {
	case ok:
		m, err := c.rewritten(ctx, rewrite.Change{Kind: kind, From: p.From, To: p.To, Version: p.Version})
		if err != nil {
			return nil, err
		}
		return []Mend{m}, nil
	case p.Mend == moved.KeepCopy:
		list, err := c.mendKeep(ctx, p)
		if err != nil {
			return nil, err
		}
		mark, err := c.mendMark(p)
		return append(list, mark...), err
	}
	return c.mendMark(p)
}

// rewriteProject is the project here as package rewrite wants it.
func (c *Case) rewriteProject(ctx context.Context, dir string) (rewrite.Project, error) {
	p := rewrite.Project{Scratch: dir, Cache: c.Settings.Env.Value("GOMODCACHE")}
	env := c.asideEnv(dir)
	p.Go = func(ctx context.Context, at string, args ...string) ([]byte, error) {
		r := c.runGo(ctx, at, env, args...)
		if r.ok() {
			return r.Stdout, nil
		}
		if r.Late {
			return r.Stdout, context.DeadlineExceeded
		}
		return r.Stdout, errors.Join(r.err, errors.New(lastWords(r.Output)))
	}
	if work := c.gowork(); work != "" {
		w, err := workspace.Open(ctx, c.Dir, work)
		if err != nil {
			return p, err
		}
		p.Work = w.Work
		for _, m := range w.Modules {
			p.Modules = append(p.Modules, m.Dir)
		}
		return p, nil
	}
	mod := c.gomod()
	if mod == "" {
		return p, fmt.Errorf("no go.mod here: %w", rewrite.ErrNothing)
	}
	p.Modules = []string{filepath.Dir(mod)}
	return p, nil
}

// lastWords are the last lines of what a tool said.
func lastWords(output []byte) string {
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-6):], []byte("\n")))
}

// rewritten is the mend that changes a requirement, and the imports with it.
func (c *Case) rewritten(ctx context.Context, change rewrite.Change) (Mend, error) {
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return Mend{}, err
	}
	defer scratch.Remove(dir)
	project, err := c.rewriteProject(ctx, dir)
	if err != nil {
		return Mend{}, err
	}
	o, err := rewrite.Plan(ctx, project, change)
	if err != nil {
		return Mend{}, err
	}
	m := Mend{ID: string(change.Kind), Exact: true, Steps: o.Steps()}
	to := cmp.Or(change.To, change.From)
	m.Key = change.From + "=" + to
	if o.Change.Version != "" {
		m.Key += "@" + o.Change.Version
	}
	m.Was, m.Now = change.From, &Subject{Ecosystem: Go, Path: to, Version: o.Change.Version}
	m.Args = []string{change.From, to, o.Change.Version}
	if change.Kind == rewrite.Version {
		m.Args = []string{change.From, o.Change.Version}
	}
	m.Notes = RewriteNotes(c.Dir, o)
	return m, nil
}

// mostNamed bounds the files that a note names.
const mostNamed = 8

// RewriteNotes are what a person should know of a rewrite before they agree.
func RewriteNotes(dir string, o *rewrite.Outcome) []Note {
	imports := 0
	var generated, mentions, left []string
	for _, s := range o.Sources {
		imports += s.Imports
		if s.Generated {
			generated = append(generated, here(dir, s.Path))
		}
	}
	for _, l := range o.Left {
		if l.Why == rewrite.NotGo {
			mentions = append(mentions, here(dir, l.Path))
		} else {
			left = append(left, here(dir, l.Path))
		}
	}
	var notes []Note
	if len(o.Sources) > 0 {
		notes = append(notes, Note{"mend.note.sources", []string{number(imports), number(len(o.Sources))}})
	}
	for _, n := range []struct {
		key   string
		files []string
	}{{"mend.note.generated", generated}, {"mend.note.mentions", mentions}, {"mend.note.left", left}} {
		if len(n.files) > 0 {
			notes = append(notes, Note{n.key, []string{joined(n.files)}})
		}
	}
	switch o.Builds {
	case rewrite.BuildsYes:
		notes = append(notes, Note{Key: "mend.note.builds"})
	case rewrite.BuildsNo:
		notes = append(notes, Note{"mend.note.broken", []string{o.Complaint}})
	case rewrite.BuildsUnknown:
		notes = append(notes, Note{Key: "mend.note.unknown"})
	}
	return notes
}

// here is a path as one types it in dir.
func here(dir, path string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(resolved(abs), path); err == nil {
		return rel
	}
	return path
}

// joined names a few files and counts the rest.
func joined(files []string) string {
	slices.Sort(files)
	out := ""
	for i, f := range files[:min(len(files), mostNamed)] {
		if i > 0 {
			out += ", "
		}
		out += f
	}
	if n := len(files) - mostNamed; n > 0 {
		out += " +" + strconv.Itoa(n)
	}
	return out
}

// mendVendor keeps a copy in the vendor directory, where there is none and go can fill it.
func (c *Case) mendVendor(ctx context.Context, p moved.Proposal) ([]Mend, error) {
	files, ok := c.ownModFiles()
	if !ok || c.gowork() != "" || !bytes.Contains(files.mod, []byte(p.From)) {
		return nil, nil
	}
	if _, err := os.Lstat(filepath.Join(files.dir, "vendor")); !os.IsNotExist(err) {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil, err
	}
	defer scratch.Remove(dir)
	if r := c.runGo(ctx, files.dir, c.asideEnv(dir), "mod", "vendor", "-o", filepath.Join(dir, "vendor")); !r.ok() {
		return nil, nil
	}
	return []Mend{{ID: "keep-vendor", Args: []string{p.From}, Exact: true, Steps: []act.Step{act.Run{
		Dir: files.dir, Name: "go", Args: []string{"mod", "vendor"}, Env: []string{"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS="},
		Files: []string{"go.mod", "go.sum"}, Trees: []string{"vendor"}, Concern: act.Packages,
	}}}}, nil
}

// mendKeep keeps a copy while there is one: in the vendor directory where go can still
// get it; what needs a place of the user's own is for them.
func (c *Case) mendKeep(ctx context.Context, p moved.Proposal) ([]Mend, error) {
	out, err := c.mendVendor(ctx, p)
	if err != nil {
		return nil, err
	}
	version := cmp.Or(p.FromVersion, "VERSION")
	return append(
		out,
		Mend{ID: "keep-fork", Args: []string{p.From}, Steps: []act.Step{act.Manual{Target: p.From, Command: "go mod edit -replace=" + faults.Quote(p.From+"=YOUR/FORK@"+version) + " && go mod tidy", Concern: act.Packages}}},
		Mend{ID: "keep-bundle", Args: []string{p.From}, Steps: []act.Step{act.Manual{Target: p.From, Command: "keepwell bundle create"}}},
	), nil
}
