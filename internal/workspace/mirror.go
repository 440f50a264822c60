package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/scratch"
)

// mirror is a copy of the workspace's files below a directory of its own, each at the
// place that it has to the others: go can work in it and change what it likes.
type mirror struct {
	tmp, base string
	work      string // the copy of go.work; "" none
}

// mirror copies go.work, go.mod and the sums; with sources the Go files too.
func (w *Workspace) mirror(ctx context.Context, sources bool) (*mirror, error) {
	dir, err := os.MkdirTemp("", "keepwell-work-")
	if err != nil {
		return nil, err
	}
	if dir, err = canonical(dir); err != nil {
		return nil, err
	}
	m := &mirror{tmp: dir, base: w.common()}
	if err := m.fill(ctx, w, sources); err != nil {
		m.remove()
		return nil, fmt.Errorf("copying the workspace: %w", err)
	}
	return m, nil
}

func (m *mirror) remove() { scratch.Remove(m.tmp) }

// common is the nearest directory that all directories of the workspace lie in.
func (w *Workspace) common() string {
	base := w.Root
	dirs := []string{}
	for _, mod := range w.Modules {
		dirs = append(dirs, mod.Dir)
	}
	for _, r := range w.replacements() {
		if at := r.at(); at != "" && !filepath.IsAbs(filepath.FromSlash(r.New.Path)) {
			dirs = append(dirs, at)
		}
	}
	for _, dir := range dirs {
		for !below(base, dir) {
			base = filepath.Dir(base)
		}
	}
	return base
}

// below reports whether dir is base or lies in it.
func below(base, dir string) bool {
	rel, err := filepath.Rel(base, dir)
	return err != nil || filepath.IsLocal(rel) // on another volume: there is no common one
}

// at is the copy's place for a path of the workspace.
func (m *mirror) at(path string) string {
	rel, err := filepath.Rel(m.base, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return filepath.Join(m.tmp, rel)
}

func (m *mirror) fill(ctx context.Context, w *Workspace, sources bool) error {
	if w.Work != "" {
		m.work = m.at(w.Work)
		for _, name := range []string{w.Work, w.Work + ".sum"} {
			if err := m.copy(name); err != nil {
				return err
			}
		}
	}
	own := map[string]bool{}
	for _, mod := range w.Modules {
		own[mod.Dir] = true
		for _, name := range []string{"go.mod", "go.sum"} {
			if err := m.copy(filepath.Join(mod.Dir, name)); err != nil {
				return err
			}
		}
		if sources {
			if err := m.copySources(ctx, mod.Dir); err != nil {
				return err
			}
		}
	}
	for _, r := range w.replacements() {
		if at := r.at(); at != "" && !own[at] && hasMod(at) && below(m.base, at) {
			if err := m.link(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// link lets a directory that is only read be the original.
func (m *mirror) link(dir string) error {
	to := m.at(dir)
	if _, err := os.Lstat(to); err == nil { // it holds modules of the workspace: they were copied
		return m.copy(filepath.Join(dir, "go.mod"))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Symlink(dir, to)
}

// copy copies a file, where there is one.
func (m *mirror) copy(name string) error {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := m.at(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600) //nolint:gosec // at keeps it below the copy's own directory
}

func (m *mirror) copySources(ctx context.Context, dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case d.IsDir() && name != dir:
			if d.Name() == "vendor" || strings.HasPrefix(d.Name(), ".git") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
		case strings.HasSuffix(name, ".go") && !d.IsDir():
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				return nil //nolint:nilerr // a link that leads nowhere is no source
			}
			return m.copy(name)
		}
		return nil
	})
}

// standIn lets the modules of the workspace stand in for the versions of each other that
// they require; false where there are none, or no go.work.
func (m *mirror) standIn(w *Workspace) bool {
	if m.work == "" {
		return false
	}
	data, err := os.ReadFile(m.work)
	if err != nil {
		return false
	}
	f, err := modfile.ParseWork(m.work, data, nil)
	if err != nil {
		return false
	}
	own, some := map[string]*Module{}, false
	for _, mod := range w.Modules {
		own[mod.Path] = mod
	}
	for _, mod := range w.Modules {
		if mod.File == nil {
			continue
		}
		for _, r := range mod.File.Require {
			if o := own[r.Mod.Path]; o != nil {
				some = true
				if f.AddReplace(r.Mod.Path, r.Mod.Version, o.Rel, "") != nil {
					return false
				}
			}
		}
	}
	return some && os.WriteFile(m.work, modfile.Format(f.Syntax), 0o600) == nil //nolint:gosec // the copy in our own directory
}

// offline are settings under which go asks nobody.
func offline() []string { return []string{"GOPROXY=off", "GOSUMDB=off"} }

// run runs go in the copy of dir.
func (m *mirror) run(ctx context.Context, dir string, env []string, args ...string) (proc.Ran, error) {
	work := m.work
	if work == "" {
		work = "off"
	}
	env = append([]string{"GOWORK=" + work, "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on"}, env...)
	return proc.Run(ctx, proc.Options{Dir: m.at(dir), Env: env, Timeout: 10 * time.Minute, MaxOut: 64 << 20}, "go", args...)
}
