package doctor

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/scratch"
	"github.com/keepwell/keepwell/internal/workspace"
)

// modFiles are the files of the main module that go keeps.
type modFiles struct {
	dir, modName, sumName string
	mod, sum              []byte // sum is nil where there is none
}

func (c *Case) modFiles() (modFiles, bool) {
	if len(c.Asked) > 0 {
		return modFiles{}, false
	}
	return c.ownModFiles()
}

// ownModFiles are those of the project here, also where the doctor is asked about others.
func (c *Case) ownModFiles() (modFiles, bool) {
	name := c.gomod()
	if info, err := os.Lstat(name); name == "" || err != nil || info.Size() > largestMended {
		return modFiles{}, false
	}
	m := modFiles{dir: filepath.Dir(name), modName: name, sumName: strings.TrimSuffix(name, ".mod") + ".sum"}
	var ok, also bool
	m.mod, ok = lookFile(m.modName)
	m.sum, also = lookFile(m.sumName)
	return m, ok && also && m.mod != nil && len(m.mod) <= largestMended && len(m.sum) <= 16*largestMended
}

// largestMended bounds a go.mod that is mended: no person has written a larger one.
const largestMended = 1 << 20

// tidied is what `go mod tidy` makes of a go.mod and a go.sum, in a directory of its
// own: what the module cache lacks is fetched there too. Where go refuses, why is what
// stops it.
func (c *Case) tidied(ctx context.Context, files modFiles, mod, sum []byte) (newMod, newSum []byte, why []keepwell.Finding, ok bool) {
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil, nil, nil, false
	}
	defer scratch.Remove(dir)
	modName, sumName := filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")
	if os.WriteFile(modName, mod, 0o600) != nil || sum != nil && os.WriteFile(sumName, sum, 0o600) != nil {
		return nil, nil, nil, false
	}
	if r := c.runGo(ctx, files.dir, c.asideEnv(dir), "mod", "tidy", "-modfile="+modName); !r.ok() {
		return nil, nil, r.findings, false
	}
	newMod, ok = lookFile(modName)
	newSum, also := lookFile(sumName)
	return newMod, newSum, nil, ok && also && newMod != nil
}

// asideEnv lets go fetch into a module cache in dir, from the user's as far as it goes.
func (c *Case) asideEnv(dir string) []string {
	return []string{
		"GOTOOLCHAIN=local", "GOWORK=off", "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPATH=" + filepath.Join(dir, "gopath"), "GOTMPDIR=",
		"GOPROXY=file://" + filepath.ToSlash(filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download")) + "," + c.Settings.Env.Value("GOPROXY"),
		"GOFLAGS=" + fetchFlags(c.Settings.Env.Value("GOFLAGS")),
	}
}

// exchanged are the edits that put new files in the place of the old.
func (m modFiles) exchanged(mod, sum []byte, concern act.Concern) []act.Step {
	if sum == nil && m.sum != nil {
		sum = []byte{} // go would leave the file
	}
	steps := exchange(m.modName, m.mod, mod, concern)
	if sum == nil {
		return steps
	}
	return append(steps, exchange(m.sumName, m.sum, sum, concern)...)
}

// tidyCodes are the faults of files that go could complete by itself.
func tidyCodes() []keepwell.Code {
	return []keepwell.Code{
		"sum/missing-entry", "module/not-required", "module/no-package", "version/invalid", "local/readonly", "local/go-mod-parse", "proxy/off",
	}
}

// mendTidy lets go complete go.mod and go.sum, where it can: each change is known, and
// shown, before it is made.
func mendTidy(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	files, ok := c.modFiles()
	if !ok {
		return nil
	}
	mod, sum, why, ok := c.tidied(ctx, files, files.mod, files.sum)
	if !ok {
		return mendFirst(ctx, c, why)
	}
	concern := act.Ordinary
	switch f.Code {
	case "module/not-required", "module/no-package", "version/invalid": // a package that the project did not know
		concern = act.Packages
	}
	steps := files.exchanged(mod, sum, concern)
	if len(steps) == 0 {
		return nil
	}
	return []Mend{{ID: "tidy", Steps: steps}}
}

// mendFirst mends what keeps go from completing the files: a setting, or a server.
func mendFirst(ctx context.Context, c *Case, why []keepwell.Finding) []Mend {
	for _, f := range why {
		for _, m := range mends() {
			if m.first && slices.Contains(m.codes, f.Code) {
				if found := m.plan(ctx, c, f); len(found) > 0 {
					return found
				}
			}
		}
	}
	return nil
}

// mendGoSum leaves out the lines of go.sum that are none, and lets go complete the rest
// where it can.
func mendGoSum(ctx context.Context, c *Case, _ keepwell.Finding) []Mend {
	files, ok := c.modFiles()
	if !ok || files.sum == nil {
		return nil
	}
	var sound []byte
	dropped := 0
	for l := range bytes.Lines(files.sum) {
		fields := strings.Fields(string(l))
		if len(fields) == 0 || len(fields) == 3 && strings.HasPrefix(fields[2], "h") && strings.Contains(fields[2], ":") {
			sound = append(sound, l...)
			continue
		}
		dropped++
	}
	if dropped == 0 {
		return nil
	}
	if sound == nil {
		sound = []byte{}
	}
	mod, sum := files.mod, sound
	if m, s, _, ok := c.tidied(ctx, files, files.mod, sound); ok {
		mod, sum = m, s
	}
	return []Mend{{ID: "go-sum", Args: []string{number(dropped)}, Steps: files.exchanged(mod, sum, act.Ordinary)}}
}

// mostSources bounds how many Go files are read for their imports.
const mostSources = 5000

// imports are the import paths of the main module's own files, tests included.
func imports(dir string) []string {
	var out []string
	left := mostSources
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil || left == 0:
			return fs.SkipAll
		case d.IsDir() && name != dir:
			if base == "vendor" || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
		case !d.IsDir() && strings.HasSuffix(base, ".go"):
			left--
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				return nil //nolint:nilerr // a broken file imports nothing that go sees
			}
			for _, i := range f.Imports {
				if p, err := strconv.Unquote(i.Path.Value); err == nil && !slices.Contains(out, p) {
					out = append(out, p)
				}
			}
		}
		return nil
	})
	return out
}

// imported reports whether one of the paths lies in a module.
func imported(list []string, modulePath string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return p == modulePath || strings.HasPrefix(p, modulePath+"/") })
}

// mendVendor makes the vendor directory anew, where go can: all of it is kept for undo.
func mendVendor(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	files, ok := c.modFiles()
	if !ok || c.gowork() != "" || len(c.brokenSettings(f)) > 0 {
		return nil
	}
	if info, err := os.Lstat(filepath.Join(files.dir, "vendor")); err != nil || !info.IsDir() {
		return nil
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil
	}
	defer scratch.Remove(dir)
	flags := strings.TrimSpace(strings.TrimSuffix(fetchFlags(c.Settings.Env.Value("GOFLAGS")), "-modcacherw"))
	env := []string{"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=" + flags}
	// Tried first into another directory.
	if r := c.runGo(ctx, files.dir, c.asideEnv(dir), "mod", "vendor", "-o", filepath.Join(dir, "vendor")); !r.ok() {
		return mendFirst(ctx, c, r.findings)
	}
	return []Mend{{ID: "vendor", Steps: []act.Step{act.Run{
		Dir: files.dir, Name: "go", Args: []string{"mod", "vendor"}, Env: env, Files: []string{"go.mod", "go.sum"}, Trees: []string{"vendor"},
	}}}}
}

// mendWork takes what is not there off go.work, and puts the module here on it.
func mendWork(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	name := c.gowork()
	data, ok := lookFile(name)
	if name == "" || !ok || data == nil || len(c.Asked) > 0 {
		return nil
	}
	work, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return nil
	}
	dir := filepath.Dir(name)
	var gone, kept []string
	for _, u := range work.Use {
		at := workspace.Place(dir, u.Path)
		switch _, err := os.Stat(filepath.Join(at, "go.mod")); {
		case os.IsNotExist(err):
			gone = append(gone, u.Path)
		case err == nil:
			kept = append(kept, resolved(at))
		}
	}
	what := strings.Join(gone, ", ")
	for _, path := range gone {
		if err := work.DropUse(path); err != nil {
			return nil
		}
	}
	if here, err := filepath.Abs(c.Dir); len(gone) == 0 && err == nil {
		if _, err := os.Stat(filepath.Join(here, "go.mod")); err != nil || slices.Contains(kept, resolved(here)) || !within(dir, filepath.Join(here, "go.mod")) {
			return nil
		}
		rel, err := filepath.Rel(dir, here)
		if err != nil || work.AddUse("./"+filepath.ToSlash(rel), "") != nil {
			return nil
		}
		what = "./" + filepath.ToSlash(rel)
	}
	work.Cleanup()
	after := modfile.Format(work.Syntax)
	if len(gone) > 0 && len(kept) == 0 {
		return nil // nothing would be left
	}
	steps := exchange(name, data, after, act.Ordinary)
	if len(steps) == 0 {
		return nil
	}
	id := "work-use"
	if len(gone) > 0 {
		id = "work-drop"
	}
	return []Mend{{ID: id, Args: []string{what}, Steps: steps}}
}
