package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// projectSums is what the directories that somebody builds in say of modules.
type projectSums struct {
	// files are those with sums, mods the go.mod and go.work files beside them.
	files, mods []string
	// sums has each line of the files: "module version" and "module version/go.mod" to the
	// sum; where they disagree, one of the sums. It says what is needed.
	sums map[string]string
	// disputed are the lines of which the files have different sums.
	disputed []string
}

// agreed are the sums of which no two files say different things: one of them is wrong,
// and nothing here can tell which.
func (p *projectSums) agreed() map[string]string {
	out := make(map[string]string, len(p.sums))
	for name, sum := range p.sums {
		if _, split := slices.BinarySearch(p.disputed, name); !split {
			out[name] = sum
		}
	}
	return out
}

// readProjectSums reads the projects that are named, else the one here, each with all of its
// workspace, since that is what is built with it.
func readProjectSums(named []string, env goenv.Env) (*projectSums, error) {
	p := &projectSums{sums: map[string]string{}, files: []string{}}
	must := len(named) > 0
	if !must {
		for _, name := range []string{env.Value("GOMOD"), env.Value("GOWORK")} {
			if filepath.IsAbs(name) && name != os.DevNull {
				named = append(named, name)
			}
		}
	}
	for _, name := range named {
		had := len(p.files)
		err := p.at(name)
		if !must {
			continue // go says what is wrong with it
		}
		if err == nil && len(p.files) == had {
			err = p.needsNone(name)
		}
		if err != nil {
			return nil, sumsFailure(name, err)
		}
	}
	for _, f := range p.files {
		data, err := plainfile.Read(f)
		if err != nil {
			return nil, sumsFailure(f, err)
		}
		p.read(data)
	}
	slices.Sort(p.disputed)
	p.disputed = slices.Compact(p.disputed)
	return p, nil
}

func sumsFailure(name string, err error) error {
	return &failure{exit: exitError, key: "err.cache.sum", args: []any{mask.Text(name), mask.Text(err.Error())}, hint: "hint.cache.sum", unwrapped: err}
}

// at adds a project by its directory or one of its files.
func (p *projectSums) at(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if name, err = filepath.Abs(name); err != nil {
		return err
	}
	dir := name
	switch {
	case info.IsDir():
	case strings.HasSuffix(name, ".work"):
		return p.workspace(name)
	case strings.HasSuffix(name, ".mod"):
		dir = filepath.Dir(name)
	default:
		p.add(&p.files, name)
		dir = filepath.Dir(name)
	}
	if err := p.module(dir); err != nil {
		return err
	}
	for at := dir; ; at = filepath.Dir(at) {
		work := filepath.Join(at, "go.work")
		if _, err := os.Stat(work); err == nil && (at == dir || usesModule(work, dir)) {
			return p.workspace(work)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (p *projectSums) add(to *[]string, file string) {
	if !slices.Contains(*to, file) {
		*to = append(*to, file)
	}
}

// module adds the files of a module's directory, where there are any.
func (p *projectSums) module(dir string) error {
	for name, to := range map[string]*[]string{"go.sum": &p.files, "go.mod": &p.mods} {
		switch _, err := os.Stat(filepath.Join(dir, name)); {
		case err == nil:
			p.add(to, filepath.Join(dir, name))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// workspace adds a go.work file, the sums beside it, and all modules that it uses.
func (p *projectSums) workspace(work string) error {
	dirs, err := usedModules(work)
	if err != nil {
		return err
	}
	p.add(&p.mods, work)
	if _, err := os.Stat(work + ".sum"); err == nil {
		p.add(&p.files, work+".sum")
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			return err // what it needs is not known
		}
		if err := p.module(dir); err != nil {
			return err
		}
	}
	return nil
}

// usedModules are the directories that a go.work file uses.
func usedModules(work string) (dirs []string, err error) {
	data, err := plainfile.Read(work)
	if err != nil {
		return nil, err
	}
	f, err := modfile.ParseWork(work, data, nil)
	if err != nil {
		return nil, err
	}
	for _, u := range f.Use {
		dir := filepath.FromSlash(u.Path)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(work), dir)
		}
		dirs = append(dirs, filepath.Clean(dir))
	}
	return dirs, nil
}

// usesModule reports whether a go.work file above a module is its workspace.
func usesModule(work, dir string) bool {
	dirs, err := usedModules(work)
	return err == nil && slices.Contains(dirs, dir)
}

// needsNone is nil of a project without a go.sum that requires nothing.
func (p *projectSums) needsNone(name string) error {
	dir := name
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		dir = filepath.Dir(name)
	}
	absent := &fs.PathError{Op: "open", Path: filepath.Join(dir, "go.sum"), Err: fs.ErrNotExist}
	data, err := plainfile.Read(filepath.Join(dir, "go.mod"))
	if err != nil {
		return absent
	}
	if f, err := modfile.ParseLax("go.mod", data, nil); err != nil || len(f.Require) > 0 {
		return absent
	}
	return nil
}

func (p *projectSums) read(data []byte) {
	for l := range strings.Lines(string(data)) {
		f := strings.Fields(l)
		if len(f) != 3 || !strings.HasPrefix(f[2], "h1:") {
			continue
		}
		name := f[0] + " " + f[1]
		if other, ok := p.sums[name]; ok && other != f[2] {
			p.disputed = append(p.disputed, name)
		}
		p.sums[name] = f[2]
	}
}

// toolchains are the go commands that the go.mod and go.work files name: the toolchain
// line, and the go line, which is the least that will do.
func (p *projectSums) toolchains() (out []string) {
	for _, name := range p.mods {
		data, err := plainfile.Read(name)
		if err != nil {
			continue // then it names none
		}
		for line := range strings.Lines(string(data)) {
			switch f := strings.Fields(line); {
			case len(f) >= 2 && f[0] == "toolchain":
				out = append(out, f[1])
			case len(f) >= 2 && f[0] == "go":
				out = append(out, "go"+f[1])
			}
		}
	}
	return out
}
