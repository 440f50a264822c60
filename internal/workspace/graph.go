package workspace

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/scratch"
)

// Edge says that one module, or package, of the workspace needs another.
type Edge struct {
	// From and To are paths of modules, or of packages.
	From string `json:"from"`
	To   string `json:"to"`
	// Kind is "import", "test" where only tests import it, or "require" where go.mod asks
	// for what no package imports.
	Kind string `json:"kind"`
	// Imports is how many imports of packages lie behind it.
	Imports int `json:"imports,omitempty"`
}

// Package is one of the workspace.
type Package struct {
	Path   string `json:"path"`
	Module string `json:"module"`
	Dir    string `json:"dir"`
}

// Graph is what needs what in the workspace.
type Graph struct {
	Modules  []*Module `json:"-"`
	Packages []Package `json:"packages"`
	// Needs are the edges between modules, Imports those between packages, sorted.
	Needs   []Edge `json:"needs"`
	Imports []Edge `json:"imports"`
	// Why says what go said where it could not list the packages; the edges are then those of
	// the go.mod files alone.
	Why string `json:"why,omitempty"`
}

// Graph finds what needs what, by the imports of packages and their tests, and by the
// requirements of go.mod files.
func (w *Workspace) Graph(ctx context.Context) (*Graph, error) {
	g := &Graph{Modules: w.Modules, Packages: []Package{}}
	nodes, why, err := w.sources(ctx)
	if err != nil {
		return nil, err
	}
	g.Why = why
	owner := map[string]string{}
	for _, n := range nodes {
		if n.own() {
			owner[n.ImportPath] = n.Module.Path
			g.Packages = append(g.Packages, Package{n.ImportPath, n.Module.Path, relative(w.Root, n.Dir)})
		}
	}
	slices.SortFunc(g.Packages, func(a, b Package) int { return strings.Compare(a.Path, b.Path) })
	needs, imports := edges{}, edges{}
	for _, n := range nodes {
		if !n.own() {
			continue
		}
		for i, list := range [][]string{n.Imports, n.TestImports, n.XTestImports} {
			kind := "import"
			if i > 0 {
				kind = "test"
			}
			for _, imp := range list {
				to, ok := owner[imp]
				if !ok || imp == n.ImportPath {
					continue
				}
				imports.add(n.ImportPath, imp, kind, 1)
				if from := owner[n.ImportPath]; from != to {
					needs.add(from, to, kind, 1)
				}
			}
		}
	}
	w.required(needs)
	g.Needs, g.Imports = needs.sorted(), imports.sorted()
	return g, nil
}

// required adds what the go.mod files require of each other.
func (w *Workspace) required(needs edges) {
	own := map[string]bool{}
	for _, m := range w.Modules {
		own[m.Path] = true
	}
	for _, m := range w.Modules {
		if m.File == nil {
			continue
		}
		for _, r := range m.File.Require {
			if own[r.Mod.Path] && r.Mod.Path != m.Path {
				needs.add(m.Path, r.Mod.Path, "require", 0)
			}
		}
	}
}

// edges are one for each pair.
type edges map[[2]string]*Edge

func (e edges) add(from, to, kind string, imports int) {
	x := e[[2]string{from, to}]
	if x == nil {
		x = &Edge{From: from, To: to, Kind: kind}
		e[[2]string{from, to}] = x
	}
	if kind == "import" {
		x.Kind = kind
	}
	x.Imports += imports
}

func (e edges) sorted() []Edge {
	list := make([]Edge, 0, len(e))
	for _, x := range e {
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b Edge) int { return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To)) })
	return list
}

// sources lists the workspace's own packages; why is what go said where it could not.
func (w *Workspace) sources(ctx context.Context) (list []*node, why string, err error) {
	tmp, err := os.MkdirTemp("", "keepwell-graph-")
	if err != nil {
		return nil, "", err
	}
	defer scratch.Remove(tmp)
	d := &differ{w: w, c: &changes{}, tmp: tmp}
	s := &state{of: map[string]int{}}
	if w.Work != "" {
		if s.work, err = os.ReadFile(w.Work); err != nil {
			return nil, "", fmt.Errorf("reading go.work: %w", err)
		}
		d.since.Vendor = w.vendored()
	}
	if err := d.prepare(ctx, s, "now", "", w.Work, d.dirs()); err != nil {
		return nil, "", err
	}
	for _, l := range s.lists {
		l.shallow = true
		found, err := l.nodes(ctx)
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		if err != nil {
			return nil, strings.ReplaceAll(err.Error(), tmp+string(filepath.Separator), ""), nil
		}
		list = append(list, found...)
	}
	return list, "", nil
}

// vendored is the workspace's vendor directory, "" where there is none.
func (w *Workspace) vendored() string {
	if hasVendor(w.Root) && vendoredFor(w.Root) {
		return filepath.Join(w.Root, "vendor")
	}
	return ""
}

// Ordered is the modules, each after those that it needs. Modules that need each other in a
// circle are taken in the order of their directories; Cycles names them.
type Ordered struct {
	Modules []*Module
	// Needs are, for each module's path, the paths of those that come before it because it
	// needs them.
	Needs  map[string][]string
	Cycles [][]string
}

// Order orders modules so that each comes after those of them that it needs, also by way
// of others.
func (g *Graph) Order(of []*Module) Ordered {
	next := map[string][]string{}
	for _, e := range g.Needs {
		next[e.From] = append(next[e.From], e.To)
	}
	group := components(g.Modules, next)
	wanted := map[string]*Module{}
	for _, m := range of {
		wanted[m.Path] = m
	}
	o := Ordered{Needs: map[string][]string{}}
	inGroup := map[int][]string{}
	for _, m := range of {
		inGroup[group[m.Path]] = append(inGroup[group[m.Path]], m.Path)
	}
	for _, id := range sortedKeys(inGroup) {
		if list := inGroup[id]; len(list) > 1 {
			slices.Sort(list)
			o.Cycles = append(o.Cycles, list)
		}
	}
	for _, m := range of {
		seen := map[string]bool{m.Path: true}
		for queue := []string{m.Path}; len(queue) > 0; queue = queue[1:] {
			for _, to := range next[queue[0]] {
				if seen[to] {
					continue
				}
				seen[to] = true
				queue = append(queue, to)
				if wanted[to] != nil && group[to] != group[m.Path] {
					o.Needs[m.Path] = append(o.Needs[m.Path], to)
				}
			}
		}
		slices.Sort(o.Needs[m.Path])
	}
	done := map[string]bool{}
	left := slices.Clone(of)
	slices.SortStableFunc(left, func(a, b *Module) int { return strings.Compare(a.Rel, b.Rel) })
	for len(left) > 0 {
		rest := left[:0:0]
		for _, m := range left {
			if slices.ContainsFunc(o.Needs[m.Path], func(p string) bool { return !done[p] }) {
				rest = append(rest, m)
				continue
			}
			done[m.Path] = true
			o.Modules = append(o.Modules, m)
		}
		if len(rest) == len(left) { // two modules of one path: go refuses them anyway
			o.Modules = append(o.Modules, rest...)
			break
		}
		left = rest
	}
	return o
}

func sortedKeys(m map[int][]string) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// components numbers modules so that those that need each other have one number (Tarjan).
func components(list []*Module, next map[string][]string) map[string]int {
	index, low, out := map[string]int{}, map[string]int{}, map[string]int{}
	var stack []string
	on := map[string]bool{}
	n := 0
	var visit func(string)
	visit = func(v string) {
		index[v] = len(index) + 1
		low[v] = index[v]
		stack, on[v] = append(stack, v), true
		for _, to := range next[v] {
			if index[to] == 0 {
				visit(to)
				low[v] = min(low[v], low[to])
			} else if on[to] {
				low[v] = min(low[v], index[to])
			}
		}
		if low[v] != index[v] {
			return
		}
		for n++; ; {
			top := stack[len(stack)-1]
			stack, on[top] = stack[:len(stack)-1], false
			if out[top] = n; top == v {
				return
			}
		}
	}
	for _, m := range list {
		if index[m.Path] == 0 {
			visit(m.Path)
		}
	}
	return out
}
