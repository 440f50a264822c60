package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/proc"
)

// node is a package as go lists it: one of those that are built, or that a test is made of
// ("p.test", "p [p.test]").
type node struct {
	ImportPath, Dir, Name, ForTest, DefaultGODEBUG string
	Standard                                       bool
	Module                                         *nodeModule
	Imports, TestImports, XTestImports             []string
	Error                                          *struct{ Err string }

	GoFiles, CgoFiles, CFiles, CXXFiles, MFiles, HFiles, FFiles, SFiles, SwigFiles, SwigCXXFiles, SysoFiles, EmbedFiles []string
}

type nodeModule struct {
	Path, Version, GoVersion, Dir string
	Main                          bool
	Replace                       *nodeModule
}

// fields are those of node, as go list wants them named.
const fields = "-json=ImportPath,Dir,Name,ForTest,DefaultGODEBUG,Standard,Module,Imports,Error,GoFiles,CgoFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles,EmbedFiles"

// files are what the package is made of, as go names them.
func (n *node) files() []string {
	list := slices.Concat(n.GoFiles, n.CgoFiles, n.CFiles, n.CXXFiles, n.MFiles, n.HFiles, n.FFiles, n.SFiles, n.SwigFiles, n.SwigCXXFiles, n.SysoFiles, n.EmbedFiles)
	// The main function of a test is written by go, and lies in its cache.
	return slices.DeleteFunc(list, filepath.IsAbs)
}

// testMain reports whether it is the program that go writes around a package's tests.
func (n *node) testMain() bool {
	return n.Name == "main" && strings.HasSuffix(n.ImportPath, ".test") && !slices.ContainsFunc(n.GoFiles, func(f string) bool { return !filepath.IsAbs(f) })
}

// own reports whether it is a package of a module that is worked on.
func (n *node) own() bool {
	return n.Module != nil && n.Module.Main && n.ForTest == "" && !n.testMain()
}

// graph is what one call of go list says, by import path.
type graph map[string]*node

// listing is one call of go list.
type listing struct {
	dir     string   // where it runs
	work    string   // go.work; "off" none
	overlay string   // a file; "" none
	modules []string // directories
	// from and to: the directory that was listed stands for another.
	from, to string
	// shallow leaves out dependencies and tests.
	shallow bool
}

// errList says that go could not list at all.
var errList = errors.New("go cannot list the packages")

// list lists the packages, their tests and all that they import.
func (l listing) list(ctx context.Context) (graph, error) {
	nodes, err := l.nodes(ctx)
	if err != nil {
		return nil, err
	}
	g := make(graph, len(nodes))
	for _, n := range nodes {
		g[n.ImportPath] = n
	}
	return g, nil
}

// nodes runs go list, in the user's own settings: tags, platform, module proxy.
func (l listing) nodes(ctx context.Context) ([]*node, error) {
	args := []string{"list", "-e", "-deps", "-test", fields}
	if l.shallow {
		args = []string{"list", "-e", "-json=ImportPath,Dir,Name,Module,Imports,TestImports,XTestImports,Error"}
	}
	if l.overlay != "" {
		args = append(args, "-overlay="+l.overlay)
	}
	args = append(args, "--")
	for _, dir := range l.modules {
		args = append(args, filepath.Join(dir, "..."))
	}
	env := []string{"GOWORK=" + l.work, "GO111MODULE=on", "PWD=" + l.dir}
	r, err := proc.Run(ctx, proc.Options{Dir: l.dir, Env: env, Timeout: 10 * time.Minute, MaxOut: 1 << 30}, "go", args...)
	if err != nil {
		return nil, err
	}
	if r.Exit != 0 || r.Late {
		return nil, fmt.Errorf("%w: %s", errList, complaint(string(r.Output)))
	}
	var nodes []*node
	for d := json.NewDecoder(bytes.NewReader(r.Stdout)); ; {
		n := &node{}
		if err := d.Decode(n); errors.Is(err, io.EOF) {
			return nodes, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w: %w", errList, err)
		}
		if l.from != "" {
			if rel, err := filepath.Rel(l.from, n.Dir); err == nil && filepath.IsLocal(rel) {
				n.Dir = filepath.Join(l.to, rel)
			}
		}
		nodes = append(nodes, n)
	}
}

// complaint is what go says went wrong: the last line that is not set in, and what is set
// in below it, in one line.
func complaint(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		words := strings.Join(strings.Fields(line), " ")
		switch {
		case words == "":
		case len(said) > 0 && (line[0] == '\t' || line[0] == ' '):
			said = append(said, words)
		default:
			said = []string{words}
		}
	}
	return strings.Join(said, " ")
}

// absoluteWork is go.work for another place: what it names relative to root, it names
// absolutely. dirs are the modules it uses.
func absoluteWork(root string, data []byte) (text []byte, dirs []string, err error) {
	f, err := modfile.ParseWork(filepath.Join(root, "go.work"), data, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrParse, err)
	}
	type use struct{ dir, path string }
	var uses []use
	for _, u := range f.Use {
		uses = append(uses, use{Place(root, u.Path), u.Path})
	}
	for _, u := range uses {
		if err := f.DropUse(u.path); err != nil {
			return nil, nil, err
		}
	}
	f.Cleanup()
	for _, u := range uses {
		if !slices.Contains(dirs, u.dir) {
			dirs = append(dirs, u.dir)
		}
		if err := f.AddUse(filepath.ToSlash(u.dir), ""); err != nil {
			return nil, nil, err
		}
	}
	for _, r := range slices.Clone(f.Replace) {
		if r.New.Version == "" && !filepath.IsAbs(filepath.FromSlash(r.New.Path)) {
			if err := f.AddReplace(r.Old.Path, r.Old.Version, filepath.ToSlash(Place(root, r.New.Path)), ""); err != nil {
				return nil, nil, err
			}
		}
	}
	f.Cleanup()
	return modfile.Format(f.Syntax), dirs, nil
}
