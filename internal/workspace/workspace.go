// Package workspace knows the modules that are developed together: go.work, the go.mod
// files that it uses and those that it does not, and what disagrees among them. It parses
// the files itself and asks go only for what go alone decides: the versions that it
// chooses.
//
// It changes no file of the workspace: go works on a copy, since even go list may write
// go.work.sum. It asks no server and words nothing for people.
//
// To add something that status finds, write a function in problems.go, its line in the
// list there, words for "work.problem.<kind>" in internal/msg/work.go, and a row in
// status_test.go.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/plainfile"
)

// Module is a go.mod with what stands around it.
type Module struct {
	// Dir is absolute; Rel is as go.work would name it: "./a/b", or "." .
	Dir, Rel string
	// Path is the module's path; "" where go.mod cannot be read: Err says why.
	Path string
	File *modfile.File
	Err  error
}

// Name is the file's name.
func (m *Module) Name() string { return filepath.Join(m.Dir, "go.mod") }

// Go is the go line, "" where there is none.
func (m *Module) Go() string {
	if m.File == nil || m.File.Go == nil {
		return ""
	}
	return m.File.Go.Version
}

// Toolchain is the toolchain line, "" where there is none.
func (m *Module) Toolchain() string {
	if m.File == nil || m.File.Toolchain == nil {
		return ""
	}
	return m.File.Toolchain.Name
}

// Workspace is what go works on in a directory: the modules of go.work, or the one
// module around it.
type Workspace struct {
	// Root is the directory of go.work, or of the module where there is no go.work.
	Root string
	// Work is the name of go.work; "" where none is in force.
	Work string
	File *modfile.WorkFile
	// Modules are used, in the order of go.work; Outside lie below Root and are not.
	Modules, Outside []*Module
	// Gone are the lines of go.work that lead nowhere.
	Gone []*modfile.Use
}

// The errors that callers tell apart.
var (
	ErrNone  = errors.New("there is neither go.work nor go.mod")
	ErrParse = errors.New("cannot be parsed")
)

// mostDirs bounds the search for modules.
const mostDirs = 200_000

// Open reads the workspace around dir. gowork is what `go env GOWORK` prints: a file's
// name, "off", or "" where there is none.
func Open(ctx context.Context, dir, gowork string) (*Workspace, error) {
	dir, err := canonical(dir)
	if err != nil {
		return nil, err
	}
	w := &Workspace{}
	if gowork == "" || gowork == "off" {
		if w.Root = above(dir, "go.mod"); w.Root == "" {
			return nil, fmt.Errorf("looking for a workspace in %s: %w", dir, ErrNone)
		}
		w.Modules = []*Module{w.read(w.Root)}
		return w, w.lookAround(ctx)
	}
	if w.Work, err = canonical(gowork); err != nil {
		return nil, fmt.Errorf("reading go.work: %w", err)
	}
	w.Root = filepath.Dir(w.Work)
	data, err := plainfile.Read(w.Work)
	if err != nil {
		return nil, fmt.Errorf("reading go.work: %w", err)
	}
	if w.File, err = modfile.ParseWork(w.Work, data, nil); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", w.Work, ErrParse, err)
	}
	seen := map[string]bool{}
	for _, u := range w.File.Use {
		at := Place(w.Root, u.Path)
		switch _, err := os.Stat(filepath.Join(at, "go.mod")); {
		case errors.Is(err, fs.ErrNotExist):
			w.Gone = append(w.Gone, u)
		case !seen[at]:
			seen[at] = true
			w.Modules = append(w.Modules, w.read(at))
		}
	}
	return w, w.lookAround(ctx)
}

// canonical is a path without symbolic links, so that paths can be compared.
func canonical(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// above is the nearest directory from dir upwards that holds a file name; "" none.
func above(dir, name string) string {
	for {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// Place is the directory that a path in a file of the directory root means.
func Place(root, path string) string {
	dir := filepath.FromSlash(path)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		return resolved
	}
	return filepath.Clean(dir)
}

// relative is dir as go.work in root names it.
func relative(root, dir string) string {
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return filepath.ToSlash(dir)
	}
	rel = filepath.ToSlash(rel)
	if rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return rel
	}
	return "./" + rel
}

func (w *Workspace) read(dir string) *Module {
	m := &Module{Dir: dir, Rel: relative(w.Root, dir)}
	data, err := plainfile.Read(m.Name())
	if err == nil {
		m.File, err = modfile.Parse(m.Name(), data, nil)
	}
	switch {
	case err != nil:
		m.Err = err
	case m.File.Module == nil:
		m.Err = fmt.Errorf("%s: no module line", m.Name())
	default:
		m.Path = m.File.Module.Mod.Path
	}
	return m
}

// lookAround finds the modules below Root that are not used.
func (w *Workspace) lookAround(ctx context.Context) error {
	used := map[string]bool{}
	for _, m := range w.Modules {
		used[m.Dir] = true
	}
	dirs, err := Find(ctx, w.Root)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if !used[dir] {
			w.Outside = append(w.Outside, w.read(dir))
		}
	}
	return nil
}

// skipped are directories that go's own patterns pass over, and those of npm.
func skipped(name string) bool {
	return name == "vendor" || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// Find lists the directories below root that hold a go.mod, root included, in order.
// Those below vendor, testdata, node_modules and names that begin with . or _ are none
// of the project's own.
func Find(ctx context.Context, root string) ([]string, error) {
	var found []string
	left := mostDirs
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && name == root:
			return err
		case err != nil:
			return nil //nolint:nilerr // what cannot be read holds nothing for go either
		case d.IsDir() && name != root && skipped(d.Name()):
			return fs.SkipDir
		case d.IsDir():
			if left--; left < 0 {
				return fs.SkipAll
			}
		case d.Name() == "go.mod" && d.Type().IsRegular():
			found = append(found, filepath.Dir(name))
		}
		return nil
	})
	slices.Sort(found)
	if err != nil {
		return nil, fmt.Errorf("looking for modules below %s: %w", root, err)
	}
	return found, nil
}
