package rewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// The errors that callers tell apart.
var (
	// ErrNothing says that no file of the project names the path.
	ErrNothing = errors.New("nothing names it here")
	// ErrFetch says that the module to take cannot be had; what go said is behind it.
	ErrFetch = errors.New("cannot be fetched")
	// ErrComplete says that go cannot make a whole of the result.
	ErrComplete = errors.New("go cannot complete go.mod")
)

// planning is one plan under way.
type planning struct {
	Project
	change  Change
	to      string // where To lies unpacked; "" where nothing of it is needed
	out     *Outcome
	modules []*planned
	// overlay is every source that changes, with the bytes it will have.
	overlay map[string][]byte
	// copies are the names under which go reads them, with their own.
	copies map[string]string
}

// planned is one module of the project.
type planned struct {
	dir, path         string
	mod, sum          string // names of its files
	modBefore, sumWas []byte
	modAfter, sumIs   []byte
	vendor            bool
	file              *modfile.File
}

// Plan works out a change of a project. What go fetches for it lands in p.Scratch.
func Plan(ctx context.Context, p Project, c Change) (*Outcome, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Kind == Version {
		c.To = c.From
	}
	w := &planning{Project: p, change: c, out: &Outcome{Builds: BuildsUnknown}, overlay: map[string][]byte{}}
	for _, dir := range p.Modules {
		m, err := readModule(dir, c.From)
		if err != nil {
			return nil, err
		}
		w.modules = append(w.modules, m)
	}
	if !w.named(ctx) {
		return nil, fmt.Errorf("%s: %w", c.From, ErrNothing)
	}
	if err := w.fetch(ctx); err != nil {
		return nil, err
	}
	for _, m := range w.modules {
		if err := w.module(ctx, m); err != nil {
			return nil, err
		}
	}
	if err := w.work(); err != nil {
		return nil, err
	}
	if root := filepath.Dir(p.Work); p.Work != "" && !slices.Contains(p.Modules, root) { // what lies around the modules
		files, err := walk(ctx, root)
		if err != nil && !errors.Is(err, ErrTooMany) {
			return nil, err
		}
		w.out.Left = append(w.out.Left, mentions(files.texts, c.From)...)
	}
	if len(w.out.Files) == 0 && !slices.ContainsFunc(w.modules, func(m *planned) bool { return m.modAfter != nil }) {
		return nil, fmt.Errorf("%s: %w", c.From, ErrNothing)
	}
	if err := w.complete(ctx); err != nil {
		return nil, err
	}
	w.out.Change = w.change
	slices.SortFunc(w.out.Files, func(a, b act.Edit) int { return strings.Compare(a.Path, b.Path) })
	return w.out, ctx.Err()
}

func readModule(dir, from string) (*planned, error) {
	m := &planned{dir: dir, mod: filepath.Join(dir, "go.mod"), sum: filepath.Join(dir, "go.sum")}
	var err error
	if m.modBefore, err = regular(m.mod); err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	if m.sumWas, err = regular(m.sum); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading go.sum: %w", err)
	}
	if m.file, err = modfile.Parse(m.mod, m.modBefore, bearable(from)); err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	if m.file.Module != nil {
		m.path = m.file.Module.Mod.Path
	}
	return m, nil
}

// regular reads a file that is no link: what a link leads to is not the project's.
func regular(name string) ([]byte, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: plainfile.ErrNotRegular}
	}
	return plainfile.Read(name)
}

// named looks quickly whether anything of the project names From, before anybody is
// asked for To.
func (w *planning) named(ctx context.Context) bool {
	from := []byte(w.change.From)
	for _, m := range w.modules {
		if bytes.Contains(m.modBefore, from) {
			return true
		}
		files, err := walk(ctx, m.dir)
		if err != nil {
			return false
		}
		for _, name := range files.goFiles {
			if data, err := plainfile.Read(name); err == nil && bytes.Contains(data, from) {
				return true
			}
		}
	}
	return false
}

// fetch asks go for To: for its version, and for what its packages call themselves.
func (w *planning) fetch(ctx context.Context) error {
	if w.change.Kind == Rename {
		return nil
	}
	version := w.change.Version
	if version == "" {
		version = "latest"
	}
	out, err := w.Go(ctx, w.Scratch, "mod", "download", "-json", w.change.To+"@"+version)
	var got struct{ Version, Dir, Error string }
	if e := json.Unmarshal(out, &got); e != nil || got.Error != "" || err != nil {
		if got.Error != "" {
			err = errors.New(got.Error)
		}
		return fmt.Errorf("%s@%s %w: %w", w.change.To, version, ErrFetch, errors.Join(err, e))
	}
	w.change.Version, w.to = got.Version, got.Dir
	return nil
}

// otherModules are modules whose import paths begin with From and that are not it.
func (w *planning) otherModules(nested []string) []string {
	var out []string
	add := func(path string) {
		if path != w.change.From && below(path, w.change.From) && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	for _, m := range w.modules {
		add(m.path)
		for _, r := range m.file.Require {
			add(r.Mod.Path)
		}
		for _, r := range m.file.Replace {
			add(r.Old.Path)
		}
	}
	for _, dir := range nested {
		if data, err := plainfile.Read(filepath.Join(dir, "go.mod")); err == nil {
			add(modfile.ModulePath(data))
		}
	}
	return out
}

// module rewrites the sources of one module and its go.mod.
func (w *planning) module(ctx context.Context, m *planned) error {
	files, err := walk(ctx, m.dir)
	if err != nil {
		return err
	}
	m.vendor = files.vendor
	c := w.change
	p := paths{from: c.From, to: c.To, others: w.otherModules(files.nested)}
	if c.Kind != Rename {
		p.version = c.Version
	}
	own := c.Kind == Rename && m.path == c.From
	var imported bool
	switch c.Kind {
	case Move, Rename:
		older := []string{filepath.Join(m.dir, "vendor", filepath.FromSlash(c.From))}
		for _, r := range m.file.Require {
			if r.Mod.Path == c.From {
				older = append(older, unpackedIn(w.Cache, c.From, r.Mod.Version))
			}
		}
		s := sources{paths: p, older: namesBelow(c.From, older...), newer: namesBelow(c.To, w.to), own: c.Kind == Rename}
		if imported, err = w.sources(ctx, s, files); err != nil {
			return err
		}
	default:
		if imported, err = importsBelow(ctx, p, files.goFiles); err != nil {
			return err
		}
	}
	if m.modAfter, err = c.modFile(m.mod, m.modBefore, imported, p); err != nil {
		return err
	}
	if own && len(files.nested) > 0 {
		for _, dir := range files.nested {
			if data, err := plainfile.Read(filepath.Join(dir, "go.mod")); err == nil && bytes.Contains(data, []byte(c.From)) && !slices.Contains(w.Modules, dir) {
				w.out.Left = append(w.out.Left, Left{filepath.Join(dir, "go.mod"), NotGo})
			}
		}
	}
	return nil
}

// sources rewrites Go files and reports whether one imports what is left.
func (w *planning) sources(ctx context.Context, s sources, files found) (imported bool, err error) {
	list, err := s.rewriteAll(ctx, files.goFiles)
	if err != nil {
		return false, err
	}
	for _, r := range list {
		switch {
		case r.left != "":
			w.out.Left = append(w.out.Left, Left{r.info.Path, r.left})
		case r.edit.Path != "":
			imported = imported || r.info.Imports > 0
			w.out.Sources = append(w.out.Sources, r.info)
			w.out.Files = append(w.out.Files, r.edit)
			w.overlay[r.edit.Path] = r.edit.After
		}
	}
	for _, name := range files.links {
		if data, err := plainfile.Read(name); err == nil && bytes.Contains(data, []byte(s.from)) {
			w.out.Left = append(w.out.Left, Left{name, Link})
		}
	}
	w.out.Left = append(w.out.Left, mentions(files.texts, s.from)...)
	return imported, nil
}

// importsBelow reports whether a file imports a package that p is about.
func importsBelow(ctx context.Context, p paths, files []string) (bool, error) {
	for _, name := range files {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return false, err
		}
		if !bytes.Contains(data, []byte(p.from)) {
			continue
		}
		h, err := readHead(name, data)
		if err != nil {
			continue
		}
		for _, spec := range h.file.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				if _, ok := p.path(path); ok {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// work rewrites go.work.
func (w *planning) work() error {
	if w.Work == "" {
		return nil
	}
	data, err := regular(w.Work)
	if err != nil {
		return fmt.Errorf("reading go.work: %w", err)
	}
	after, err := w.change.workFile(w.Work, data)
	if err == nil && after != nil {
		w.out.Files = append(w.out.Files, act.Edit{Path: w.Work, Before: data, After: after})
	}
	return err
}

// complete lets go complete go.mod and go.sum of every module that changes, as if the
// sources were changed already, and asks the compiler.
func (w *planning) complete(ctx context.Context) error {
	overlay, err := w.writeOverlay()
	if err != nil {
		return err
	}
	builds := BuildsYes
	for i, m := range w.modules {
		if m.modAfter == nil && !w.touches(m) {
			continue
		}
		if m.modAfter == nil {
			m.modAfter = m.modBefore
		}
		aside := filepath.Join(w.Scratch, "module"+strconv.Itoa(i))
		flags := []string{"-modfile=" + filepath.Join(aside, "go.mod"), "-overlay=" + overlay}
		if err := w.tidy(ctx, m, aside, flags); err != nil {
			return err
		}
		w.keep(m)
		if b := w.compile(ctx, m, flags); b != BuildsYes && builds != BuildsNo {
			builds = b
		}
	}
	w.out.Builds = builds
	return nil
}

// touches reports whether a source of m changes.
func (w *planning) touches(m *planned) bool {
	for path := range w.overlay {
		if strings.HasPrefix(path, m.dir+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// sourced names the user's files, from dir, in the place of their copies in what go says
// there.
func (w *planning) sourced(text, dir string) string {
	for copied, path := range w.copies {
		if rel, err := filepath.Rel(dir, path); err == nil {
			path = "." + string(filepath.Separator) + rel
		}
		text = strings.ReplaceAll(text, copied+":", path+":")
		if rel, err := filepath.Rel(dir, copied); err == nil {
			text = strings.ReplaceAll(text, rel+":", path+":")
		}
	}
	return text
}

func (w *planning) writeOverlay() (string, error) {
	dir := filepath.Join(w.Scratch, "overlay")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	replaced := map[string]string{}
	w.copies = map[string]string{}
	for path, data := range w.overlay {
		name := filepath.Join(dir, strconv.Itoa(len(replaced))+".go")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return "", err
		}
		replaced[path], w.copies[name] = name, path
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// tidy runs go mod tidy on copies. The modules of a workspace see each other as they do
// in it.
func (w *planning) tidy(ctx context.Context, m *planned, aside string, flags []string) error {
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	f, err := modfile.Parse(m.mod, m.modAfter, nil)
	if err != nil {
		return fmt.Errorf("reading the new go.mod: %w", err)
	}
	var lent []*planned
	required := map[string]bool{}
	for _, r := range f.Require {
		required[r.Mod.Path] = true
	}
	for _, other := range w.modules {
		path := other.path
		if w.change.Kind == Rename && path == w.change.From {
			path = w.change.To
		}
		if other == m || path == "" || slices.ContainsFunc(f.Replace, func(r *modfile.Replace) bool { return r.Old.Path == path }) {
			continue
		}
		if err := f.AddReplace(path, "", other.dir, ""); err != nil {
			return err
		}
		lent = append(lent, &planned{path: path})
	}
	text := m.modAfter
	if len(lent) > 0 {
		text = modfile.Format(f.Syntax)
	}
	modName, sumName := filepath.Join(aside, "go.mod"), filepath.Join(aside, "go.sum")
	if err := os.WriteFile(modName, text, 0o600); err != nil {
		return err
	}
	if m.sumWas != nil {
		if err := os.WriteFile(sumName, m.sumWas, 0o600); err != nil {
			return err
		}
	}
	if _, err := w.Go(ctx, m.dir, append([]string{"mod", "tidy"}, flags...)...); err != nil {
		return fmt.Errorf("%s: %w: %w", m.mod, ErrComplete, err)
	}
	if text, err = os.ReadFile(modName); err != nil {
		return err
	}
	if len(lent) > 0 {
		if text, err = takenBack(m.mod, text, lent, required); err != nil {
			return err
		}
	}
	m.modAfter = likeLines(m.modBefore, text)
	if m.sumIs, err = os.ReadFile(sumName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// takenBack is a go.mod without the replacements that only stood in for go.work.
func takenBack(name string, text []byte, lent []*planned, required map[string]bool) ([]byte, error) {
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, err
	}
	for _, l := range lent {
		if err := f.DropReplace(l.path, ""); err != nil {
			return nil, err
		}
		if !required[l.path] {
			if err := f.DropRequire(l.path); err != nil {
				return nil, err
			}
		}
	}
	f.Cleanup()
	return modfile.Format(f.Syntax), nil
}

// keep adds the new go.mod and go.sum to what changes.
func (w *planning) keep(m *planned) {
	if !bytes.Equal(m.modAfter, m.modBefore) {
		w.out.Files = append(w.out.Files, act.Edit{Path: m.mod, Before: m.modBefore, After: m.modAfter})
	}
	sum := m.sumIs
	if sum == nil && m.sumWas != nil {
		sum = []byte{} // go would leave the file
	}
	if sum = likeLines(m.sumWas, sum); sum != nil && (m.sumWas == nil || !bytes.Equal(sum, m.sumWas)) {
		w.out.Files = append(w.out.Files, act.Edit{Path: m.sum, Before: m.sumWas, After: sum})
	}
	if m.vendor {
		w.out.Vendored = append(w.out.Vendored, m.dir)
	}
}

// compile asks the compiler about all packages of a module; nothing is linked or written.
func (w *planning) compile(ctx context.Context, m *planned, flags []string) Builds {
	_, err := w.Go(ctx, m.dir, append(append([]string{"list", "-export", "-mod=mod"}, flags...), "-f", "", "./...")...)
	switch {
	case ctx.Err() != nil:
		return BuildsUnknown
	case err != nil:
		if w.out.Complaint == "" {
			w.out.Complaint = w.sourced(err.Error(), m.dir)
		}
		return BuildsNo
	}
	return BuildsYes
}

// Sources are the sources of a project with their bytes before and after: [Plan] without
// go, so that the names of packages are guessed, and nothing is said of go.mod.
func Sources(ctx context.Context, p Project, c Change) ([]act.Edit, error) {
	w := &planning{Project: p, change: c, out: &Outcome{}, overlay: map[string][]byte{}}
	for _, dir := range p.Modules {
		m, err := readModule(dir, c.From)
		if err != nil {
			return nil, err
		}
		w.modules = append(w.modules, m)
	}
	for _, m := range w.modules {
		if err := w.module(ctx, m); err != nil {
			return nil, err
		}
	}
	return w.out.Files, nil
}
