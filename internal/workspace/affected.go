package workspace

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"go/version"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/scratch"
)

// Cause is why a package is affected.
type Cause struct {
	// Kind is "file" (Name is one of its files), "new", "module" (Name says what became of
	// the module that it is in), "import" (Name is the affected package that it imports),
	// "toolchain" (Name is go's versions), "tests-removed", "broken" (Name is what go says:
	// it cannot load the package now) or "mended" (it could not before), "other" (what it is
	// made of differs otherwise), or "unknown" where the earlier state could not be listed.
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
}

// AffectedPackage is a package that a change touches.
type AffectedPackage struct {
	Path   string `json:"path"`
	Dir    string `json:"dir"`
	Module string `json:"module"`
	// TestsOnly: what others build of it is the same; its tests are not.
	TestsOnly bool  `json:"tests_only"`
	Cause     Cause `json:"cause"`
	// Root is where the change lies, at the end of the chain of imports; empty where that
	// is the package itself.
	Root string `json:"root,omitempty"`
	// RootCause is the cause there.
	RootCause *Cause `json:"root_cause,omitempty"`
}

// AffectedModule is a module with affected packages.
type AffectedModule struct {
	Dir  string `json:"dir"`
	Path string `json:"path"`
	// Packages is how many of it are affected, removed ones included.
	Packages int `json:"packages"`
}

// Affected is what a change touches.
type Affected struct {
	// Base is the commit that is compared with.
	Base string `json:"base"`
	// Comparable is false where go could not list the earlier state: all packages then
	// count as affected, and Why says what go said.
	Comparable bool              `json:"comparable"`
	Why        string            `json:"why,omitempty"`
	Modules    []AffectedModule  `json:"modules"`
	Packages   []AffectedPackage `json:"packages"`
	// Removed are packages that there are no more.
	Removed []string `json:"removed"`
	// Files is how many files differ; Unowned those that belong to no package, and to no
	// go.mod or go.work.
	Files   int      `json:"files"`
	Unowned []string `json:"unowned"`
}

// Since says which two states are compared.
type Since struct {
	// Rev names the earlier one; its merge base with HEAD is taken, unless Direct.
	Rev    string
	Direct bool
	// Committed compares with HEAD; else with the working tree, files that git does not
	// know and does not ignore included.
	Committed bool
	// Vendor is the vendor directory that go builds from; "" none.
	Vendor string
	// Toolchain is GOTOOLCHAIN.
	Toolchain string
}

// Affected finds the packages of the workspace that a change touches: those whose own
// files, or those of anything that they import, are others than before; or whose modules
// come in another version, from another place, or with another go line. Of a package's
// tests, testdata below its directory counts too. go itself lists the packages, before and
// after, for the platform and the tags in force; nothing of the working tree is written.
func (w *Workspace) Affected(ctx context.Context, s Since) (*Affected, error) {
	c, err := w.changed(ctx, s.Rev, s.Committed, s.Direct)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "keepwell-affected-")
	if err != nil {
		return nil, err
	}
	defer scratch.Remove(tmp)
	if tmp, err = canonical(tmp); err != nil {
		return nil, err
	}
	d := &differ{w: w, c: c, since: s, tmp: tmp}
	return d.run(ctx)
}

// differ compares two states.
type differ struct {
	w     *Workspace
	c     *changes
	since Since
	tmp   string
}

// state is the workspace at one time: one listing of all modules where there is a go.work,
// else one for each module.
type state struct {
	overlay overlay
	work    []byte // go.work; nil none
	lists   []listing
	// of tells which listing a module directory is in.
	of     map[string]int
	graphs []graph
}

func (d *differ) run(ctx context.Context) (*Affected, error) {
	out := &Affected{Base: d.c.base, Comparable: true, Modules: []AffectedModule{}, Packages: []AffectedPackage{}, Removed: []string{}, Files: len(d.c.files), Unowned: []string{}}
	if len(d.c.files)+len(d.c.below) == 0 {
		return out, nil
	}
	now, err := d.now(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := d.plain(ctx)
	if err != nil {
		return nil, err
	}
	if plain {
		if err := now.list(ctx); err != nil {
			return nil, fmt.Errorf("listing the packages: %w", err)
		}
		if !now.broken() {
			d.compare(out, now, now, "")
			return out, nil
		}
		now.graphs = nil
	}
	before, err := d.before(ctx, now)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- before.list(ctx) }()
	err, errBefore := now.list(ctx), <-done
	switch {
	case err != nil:
		return nil, fmt.Errorf("listing the packages: %w", err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errBefore != nil:
		out.Comparable, out.Why, before = false, strings.ReplaceAll(errBefore.Error(), d.tmp+string(filepath.Separator), ""), nil
	}
	toolchain := ""
	if before != nil {
		if toolchain, err = d.toolchain(ctx, before, now); err != nil {
			return nil, err
		}
	}
	d.compare(out, before, now, toolchain)
	return out, nil
}

// plain reports whether the change is of a kind that leaves no doubt about the earlier
// state: files came, or changed below the lines that decide whether and where they belong
// to a package. What they belong to now is affected then, with all that imports it, and go
// need not list the earlier state.
func (d *differ) plain(ctx context.Context) (bool, error) {
	if d.c.head != "" || len(d.c.below) > 0 {
		return false, nil
	}
	for _, to := range d.c.links {
		if d.c.has(to) {
			return false, nil
		}
	}
	list, err := d.c.diff(ctx, d.c.base, "")
	if err != nil {
		return false, err
	}
	var names, objects []string
	for _, x := range list {
		info, err := os.Lstat(d.c.at(x.path))
		switch {
		case err != nil || !info.Mode().IsRegular() || x.link:
			return false, nil //nolint:nilerr // gone, or no file: go has to be asked
		case x.object == "" && !special(x.path), !read(x.path):
		case filepath.Ext(x.path) != ".go":
			return false, nil
		default:
			names, objects = append(names, d.c.at(x.path)), append(objects, x.object)
		}
	}
	texts, err := d.c.objects(ctx, objects)
	if err != nil {
		return false, err
	}
	for i, text := range texts {
		now, err := os.ReadFile(names[i])
		if err != nil || text == nil || head(now) == nil || !bytes.Equal(head(text), head(now)) {
			return false, nil //nolint:nilerr // as above
		}
	}
	return true, nil
}

// special are the files that decide more than the package beside them.
func special(name string) bool {
	switch path.Base(name) {
	case "go.mod", "go.sum", "go.work", "go.work.sum", "modules.txt":
		return true
	}
	return false
}

// head is a Go file up to the end of its package clause, where constraints and settings
// stand; nil where there is none.
func head(text []byte) []byte {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "", text, parser.PackageClauseOnly)
	if err != nil {
		return nil
	}
	return text[:files.Position(f.Name.End()).Offset]
}

// broken reports whether a package could not be listed properly.
func (s *state) broken() bool {
	for _, g := range s.graphs {
		for _, n := range g {
			if n.Error != nil {
				return true
			}
		}
	}
	return false
}

// now is the newer state.
func (d *differ) now(ctx context.Context) (*state, error) {
	s := &state{of: map[string]int{}}
	var err error
	if d.c.head != "" {
		if s.overlay, err = d.c.overlay(ctx, d.c.head, filepath.Join(d.tmp, "now")); err != nil {
			return nil, err
		}
	}
	if d.w.Work != "" {
		if s.work, err = s.overlay.text(d.w.Work); err != nil {
			return nil, err
		}
	}
	return s, d.prepare(ctx, s, "now", d.c.head, d.w.Work, d.dirs())
}

func (d *differ) dirs() []string {
	dirs := make([]string, 0, len(d.w.Modules))
	for _, m := range d.w.Modules {
		dirs = append(dirs, m.Dir)
	}
	return dirs
}

// before is the older state.
func (d *differ) before(ctx context.Context, now *state) (*state, error) {
	s := &state{of: map[string]int{}}
	var err error
	if s.overlay, err = d.c.overlay(ctx, d.c.base, filepath.Join(d.tmp, "before")); err != nil {
		return nil, err
	}
	work := d.w.Work
	if work == "" { // perhaps there was one
		for dir := d.w.Root; below(d.c.top, dir) && work == ""; dir = filepath.Dir(dir) {
			if name := filepath.Join(dir, "go.work"); d.c.files[name] && s.overlay.replace[name] != "" {
				work = name
			}
			if dir == d.c.top {
				break
			}
		}
	}
	if work != "" {
		if s.work, err = s.overlay.text(work); err != nil {
			return nil, err
		}
	}
	dirs := d.dirs()
	if s.work == nil {
		dirs = slices.DeleteFunc(slices.Sorted(maps.Keys(now.of)), func(dir string) bool {
			text, err := s.overlay.text(filepath.Join(dir, "go.mod"))
			return err != nil || text == nil
		})
	}
	return s, d.prepare(ctx, s, "before", d.c.base, work, dirs)
}

// prepare decides on the listings of a state. work names go.work, where s has one.
func (d *differ) prepare(ctx context.Context, s *state, name, commit, work string, dirs []string) error {
	base := listing{dir: d.w.Root, work: "off", overlay: s.overlay.file}
	if !isDir(base.dir) {
		base.dir = d.c.top
	}
	// go reads the list of vendored modules past any overlay: then the commit is written out.
	if commit != "" && d.vendorDiffers() {
		base.overlay, base.from, base.to = "", filepath.Join(d.tmp, name+"-tree"), d.c.top
		if err := os.Mkdir(base.from, 0o700); err != nil {
			return err
		}
		if err := d.c.checkout(ctx, commit, base.from); err != nil {
			return err
		}
	}
	there := func(dir string) string { // where a directory of the repository is listed
		if rel, err := filepath.Rel(d.c.top, dir); err == nil && base.from != "" && filepath.IsLocal(rel) {
			return filepath.Join(base.from, rel)
		}
		return dir
	}
	base.dir = there(base.dir)
	if s.work == nil {
		for i, dir := range dirs {
			l := base
			l.dir, l.modules = there(dir), []string{there(dir)}
			s.lists, s.of[dir] = append(s.lists, l), i
		}
		return nil
	}
	text, uses, err := absoluteWork(there(filepath.Dir(work)), s.work)
	if err != nil {
		return err
	}
	base.modules = uses
	for _, dir := range uses {
		if rel, err := filepath.Rel(base.from, dir); base.from != "" && err == nil && filepath.IsLocal(rel) {
			dir = filepath.Join(base.to, rel)
		}
		s.of[dir] = 0
	}
	switch {
	case base.from != "":
		base.work = there(work)
		if err := os.WriteFile(base.work, s.work, 0o600); err != nil {
			return err
		}
	case d.since.Vendor != "":
		base.work = work // the vendor directory lies beside it, and go then writes no sums
	default:
		// go may write go.work.sum even when it only lists.
		base.work = filepath.Join(d.tmp, name+"-work", "go.work")
		sum, err := s.overlay.text(work + ".sum")
		if err == nil {
			err = writeWork(base.work, text, sum)
		}
		if err != nil {
			return err
		}
	}
	s.lists = []listing{base}
	return nil
}

// writeWork writes a go.work with its sums, where there are any, into a new directory.
func writeWork(name string, text, sum []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if sum != nil {
		if err := os.WriteFile(name+".sum", sum, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(name, text, 0o600)
}

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// vendorDiffers reports whether a list of vendored modules is among what differs.
func (d *differ) vendorDiffers() bool {
	for name := range d.c.files {
		if filepath.Base(name) == "modules.txt" && filepath.Base(filepath.Dir(name)) == "vendor" {
			return true
		}
	}
	return false
}

func (s *state) list(ctx context.Context) error {
	for _, l := range s.lists {
		g, err := l.list(ctx)
		if err != nil {
			return err
		}
		s.graphs = append(s.graphs, g)
	}
	return nil
}

// toolchain says what became of the go command by go and toolchain lines: "" where it is
// the same.
func (d *differ) toolchain(ctx context.Context, before, now *state) (string, error) {
	if d.since.Toolchain == "local" || strings.HasPrefix(d.since.Toolchain, "go") && !strings.Contains(d.since.Toolchain, "+") {
		return "", nil
	}
	a, b := before.wants(), now.wants()
	if a == b {
		return "", nil
	}
	out, err := proc.Output(ctx, proc.Options{Dir: d.tmp, Env: []string{"GOTOOLCHAIN=local", "GOWORK=off"}}, "go", "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	local, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	chosen := func(v string) string {
		if version.Compare(v, local) > 0 {
			return v
		}
		return local
	}
	if a, b = chosen(a), chosen(b); a == b {
		return "", nil
	}
	return a + " -> " + b, nil
}

// wants is the newest go that go.work, or go.mod without it, asks for: "go1.26.1".
func (s *state) wants() string {
	newest := ""
	take := func(g *modfile.Go, t *modfile.Toolchain) {
		if g != nil && version.Compare("go"+g.Version, newest) > 0 {
			newest = "go" + g.Version
		}
		if t != nil && version.Compare(t.Name, newest) > 0 {
			newest = t.Name
		}
	}
	if s.work != nil {
		if f, err := modfile.ParseWork("go.work", s.work, nil); err == nil {
			take(f.Go, f.Toolchain)
		}
		return newest
	}
	for dir := range s.of {
		name := filepath.Join(dir, "go.mod")
		if text, err := s.overlay.text(name); err == nil {
			if f, err := modfile.ParseLax(name, text, nil); err == nil {
				take(f.Go, f.Toolchain)
			}
		}
	}
	return newest
}

// compare fills in what differs. before is nil where it could not be listed.
func (d *differ) compare(out *Affected, before, now *state, toolchain string) {
	seen := map[string]bool{} // packages now
	perModule := map[string]*AffectedModule{}
	count := func(path, dir string) {
		m := perModule[path]
		if m == nil {
			m = &AffectedModule{Path: path, Dir: relative(d.w.Root, dir)}
			perModule[path] = m
		}
		m.Packages++
	}
	for i, g := range now.graphs {
		touched := map[int]map[string]mark{}
		for _, path := range slices.Sorted(maps.Keys(g)) {
			n := g[path]
			if !n.own() || !has(now.of, n.Module.Dir) || now.of[n.Module.Dir] != i {
				continue
			}
			seen[path] = true
			old, at := before.graphOf(n.Module.Dir)
			if touched[at] == nil {
				touched[at] = d.touched(g, old, toolchain)
			}
			p, ok := d.judge(g, old, n, touched[at])
			if before == nil {
				p, ok = d.describe(n, mark{cause: Cause{Kind: "unknown"}}, nil), true
			}
			if ok {
				out.Packages = append(out.Packages, p)
				count(p.Module, n.Module.Dir)
			}
		}
	}
	gone := before.without(seen)
	out.Removed = append(out.Removed, slices.Sorted(maps.Keys(gone))...)
	dirs := map[string]string{}
	for _, m := range d.w.Modules {
		dirs[m.Path] = m.Dir
	}
	for _, path := range out.Removed {
		if dir, ok := dirs[gone[path]]; ok {
			count(gone[path], dir)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(perModule)) {
		out.Modules = append(out.Modules, *perModule[path])
	}
	slices.SortFunc(out.Modules, func(a, b AffectedModule) int {
		return cmp.Or(strings.Compare(a.Dir, b.Dir), strings.Compare(a.Path, b.Path))
	})
	out.Unowned = d.unowned(before, now)
}

// graphOf is the graph of the module in dir, and its place; -1 where there is none.
func (s *state) graphOf(dir string) (graph, int) {
	if s == nil {
		return nil, -1
	}
	k, ok := s.of[dir]
	if !ok {
		return nil, -1
	}
	return s.graphs[k], k
}

// without are the packages of s that are not among seen, with their modules; of a state
// that could not be listed, none.
func (s *state) without(seen map[string]bool) map[string]string {
	gone := map[string]string{}
	if s == nil {
		return gone
	}
	for dir, k := range s.of {
		for path, n := range s.graphs[k] {
			if n.own() && !seen[path] && (len(s.graphs) == 1 || n.Module.Dir == dir) {
				gone[path] = n.Module.Path
			}
		}
	}
	return gone
}

// mark says why a node is touched; next is the node through which it is.
type mark struct {
	cause Cause
	next  string
}

// touched finds the nodes of g that differ from those of old, and all that reach one.
func (d *differ) touched(g, old graph, toolchain string) map[string]mark {
	marks := map[string]mark{}
	var queue []string
	for _, path := range slices.Sorted(maps.Keys(g)) {
		if c, ok := d.differs(g[path], old[path], toolchain); ok {
			marks[path] = mark{cause: c}
			queue = append(queue, path)
		}
	}
	importers := map[string][]string{}
	for _, path := range slices.Sorted(maps.Keys(g)) {
		for _, imp := range g[path].Imports {
			importers[imp] = append(importers[imp], path)
		}
	}
	for imp := range importers { // what is imported and listed in one of the two only
		if g[imp] == nil && old[imp] != nil {
			marks[imp] = mark{cause: Cause{Kind: "other"}}
			queue = append(queue, imp)
		}
	}
	for len(queue) > 0 {
		imp := queue[0]
		queue = queue[1:]
		for _, path := range importers[imp] {
			if _, ok := marks[path]; !ok {
				marks[path] = mark{Cause{"import", plain(imp)}, imp}
				queue = append(queue, path)
			}
		}
	}
	return marks
}

// plain is the package of a node: "p" of "p [q.test]".
func plain(path string) string {
	p, _, _ := strings.Cut(path, " [")
	return p
}

// differs reports whether a node by itself is another than before, and why.
func (d *differ) differs(n, old *node, toolchain string) (Cause, bool) {
	switch {
	case toolchain != "":
		return Cause{"toolchain", toolchain}, true
	case n.Standard:
		return Cause{}, false
	case old == nil:
		return Cause{Kind: "new"}, true
	case n.Error != nil && n.Dir == "" && old.Dir != "":
		return Cause{"broken", strings.ReplaceAll(complaint(n.Error.Err), d.tmp+string(filepath.Separator), "")}, true
	case old.Error != nil && old.Dir == "" && n.Dir != "":
		return Cause{Kind: "mended"}, true
	}
	was := map[string]bool{}
	for _, f := range old.files() {
		was[f] = true
	}
	for _, f := range n.files() {
		if !was[f] || d.c.has(filepath.Join(n.Dir, f)) {
			return d.file(n, f), true
		}
		delete(was, f)
	}
	for _, f := range slices.Sorted(maps.Keys(was)) {
		return d.file(n, f), true
	}
	if name := "default.pgo"; n.Name == "main" && !n.testMain() && d.c.has(filepath.Join(n.Dir, name)) {
		return d.file(n, name), true
	}
	if a, b := old.Module.string(), n.Module.string(); a != b {
		if n.Module != nil {
			b = strings.TrimPrefix(b, n.Module.Path+" ")
		}
		return Cause{"module", a + " -> " + b}, true
	}
	a, b := slices.Sorted(slices.Values(old.Imports)), slices.Sorted(slices.Values(n.Imports))
	switch {
	case n.testMain() && d.testdata(n.Dir) != "":
		return d.file(n, d.testdata(n.Dir)), true
	case n.DefaultGODEBUG != old.DefaultGODEBUG:
		return Cause{"module", "GODEBUG " + old.DefaultGODEBUG + " -> " + n.DefaultGODEBUG}, true
	case n.Name != old.Name || n.Dir != old.Dir && !inCache(n) || (n.Error == nil) != (old.Error == nil) || !slices.Equal(a, b):
		return Cause{Kind: "other"}, true
	}
	return Cause{}, false
}

// inCache reports whether a package lies where go unpacked a version, not where somebody
// works on it.
func inCache(n *node) bool {
	return n.Module != nil && !n.Module.Main && n.Module.Version != "" && (n.Module.Replace == nil || n.Module.Replace.Version != "")
}

func (d *differ) file(n *node, f string) Cause {
	name := filepath.Join(n.Dir, f)
	if filepath.IsAbs(f) {
		name = f
	}
	return Cause{"file", relative(d.w.Root, name)}
}

// testdata is a file below the testdata of a directory that differs; "" none.
func (d *differ) testdata(dir string) string {
	found := ""
	base := filepath.Join(dir, "testdata")
	for name := range d.c.files {
		if rest, ok := strings.CutPrefix(name, base+string(filepath.Separator)); (ok || name == base) && (found == "" || rest < found) {
			found = filepath.Join("testdata", rest)
		}
	}
	for _, s := range d.c.below {
		if below(base, s) {
			found = cmp.Or(found, "testdata")
		}
	}
	return found
}

func (m *nodeModule) string() string {
	if m == nil {
		return "-"
	}
	s := m.Path
	if m.Version != "" {
		s += " " + m.Version
	}
	if r := m.Replace; r != nil {
		s += " => " + strings.TrimSpace(r.Path+" "+r.Version)
	}
	if m.GoVersion != "" && (m.Main || m.Replace != nil) {
		s += " (go " + m.GoVersion + ")"
	}
	return s
}

// judge says whether a package, or its tests, are touched.
func (d *differ) judge(g, old graph, n *node, marks map[string]mark) (AffectedPackage, bool) {
	if m, ok := marks[n.ImportPath]; ok {
		return d.describe(n, m, marks), true
	}
	test := n.ImportPath + ".test"
	if t := g[test]; t == nil || !t.testMain() {
		if o := old[test]; o == nil || !o.testMain() {
			return AffectedPackage{}, false
		}
		p := d.describe(n, mark{cause: Cause{Kind: "tests-removed"}}, marks)
		p.TestsOnly = true
		return p, true
	}
	m, ok := marks[test]
	if !ok {
		return AffectedPackage{}, false
	}
	// The way leads through the parts of the test: its own are nothing to tell.
	for m.cause.Kind == "import" && g[m.next] != nil && g[m.next].ForTest == n.ImportPath && (plain(m.next) == n.ImportPath || plain(m.next) == n.ImportPath+"_test") {
		m = marks[m.next]
	}
	if m.cause.Kind == "new" {
		m.cause = d.newTests(n, old)
	}
	p := d.describe(n, m, marks)
	p.TestsOnly = true
	return p, true
}

// newTests is the cause of tests that there were not: a file, or what the package imports.
func (d *differ) newTests(n *node, _ graph) Cause {
	var names []string
	for name := range d.c.files {
		if filepath.Dir(name) == n.Dir && strings.HasSuffix(name, "_test.go") {
			names = append(names, filepath.Base(name))
		}
	}
	if len(names) == 0 {
		return Cause{Kind: "new"}
	}
	return d.file(n, slices.Min(names))
}

func (d *differ) describe(n *node, m mark, marks map[string]mark) AffectedPackage {
	p := AffectedPackage{Path: n.ImportPath, Dir: relative(d.w.Root, n.Dir), Module: n.Module.Path, Cause: m.cause}
	if m.cause.Kind != "import" {
		return p
	}
	end := m
	for end.cause.Kind == "import" {
		p.Root = plain(end.next)
		end = marks[end.next]
	}
	p.RootCause = &end.cause
	return p
}

// unowned are the files that differ and belong to no package before or after, nor to go's
// own files.
func (d *differ) unowned(before, now *state) []string {
	owned := map[string]bool{}
	for _, s := range []*state{before, now} {
		if s == nil {
			continue
		}
		for _, g := range s.graphs {
			for _, n := range g {
				for _, f := range n.files() {
					owned[filepath.Join(n.Dir, f)] = true
				}
			}
		}
	}
	var tested []string // directories of testdata
	for _, g := range now.graphs {
		for _, n := range g {
			if n.testMain() {
				tested = append(tested, filepath.Join(n.Dir, "testdata"))
			}
		}
	}
	mine := func(name string) bool {
		switch filepath.Base(name) {
		case "go.mod", "go.sum", "go.work", "go.work.sum", "modules.txt":
			return true
		}
		return owned[name] || slices.ContainsFunc(tested, func(dir string) bool { return below(dir, name) })
	}
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(d.c.files)) {
		if !mine(name) {
			out = append(out, relative(d.w.Root, name))
		}
	}
	return out
}
