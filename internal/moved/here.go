package moved

import (
	"archive/zip"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/spelling"
)

// Here is what the project and this machine know of names.
type Here struct {
	// Required, Summed and Cached are names with their versions: of go.mod (package.json,
	// requirements), of go.sum (lock files), and of the module cache.
	Required, Summed, Cached []module.Version
	// Cache is go's module cache (GOMODCACHE); empty where there is none.
	Cache string
	// Registries are other registries or indexes that files of the project name, by package;
	// "" holds for all.
	Registries map[string][]string

	known []spelling.Known
}

func (h *Here) index() {
	seen := map[spelling.Known]bool{}
	for from, list := range map[spelling.Source][]module.Version{spelling.Required: h.Required, spelling.Summed: h.Summed, spelling.Cached: h.Cached} {
		for _, m := range list {
			k := spelling.Known{Path: m.Path, From: from}
			if !seen[k] {
				seen[k] = true
				h.known = append(h.known, k)
			}
		}
	}
	slices.SortFunc(h.known, func(a, b spelling.Known) int {
		return strings.Compare(a.Path, b.Path)*4 + int(a.From-b.From)
	})
}

// versions of a path in a list, oldest first.
func versionsOf(list []module.Version, path string) []string {
	var out []string
	for _, m := range list {
		if m.Path == path && m.Version != "" && !slices.Contains(out, m.Version) {
			out = append(out, m.Version)
		}
	}
	semver.Sort(out)
	return out
}

// built reports whether a path was once fetched for this project or on this machine.
func (h *Here) built(path string) bool {
	return len(versionsOf(h.Summed, path)) > 0 || len(versionsOf(h.Cached, path)) > 0
}

var requirement = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*(?:require\s+)?([A-Za-z0-9][A-Za-z0-9._~+-]*\.[A-Za-z]{2,}(?:/[^\s()"]+)+)\s+(v[0-9][^\s]*)`)
})

// GoHere reads go.mod and go.sum (paths of files; either may be empty or missing) and
// lists the module cache, until ctx ends. A go.mod that go cannot read is read line by
// line. except is what is in question: what the project calls it proves nothing.
func GoHere(ctx context.Context, gomod, gosum, modcache, except string) Here {
	h := Here{Cache: modcache}
	if data, err := plainfile.Read(gomod); err == nil && gomod != "" {
		h.Required = Required(data)
	}
	if data, err := plainfile.Read(gosum); err == nil && gosum != "" {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 3 && module.CheckPath(f[0]) == nil {
				h.Summed = append(h.Summed, module.Version{Path: f[0], Version: strings.TrimSuffix(f[1], "/go.mod")})
			}
		}
	}
	h.Cached = cached(ctx, modcache)
	drop := func(m module.Version) bool { return m.Path == except }
	h.Required = slices.DeleteFunc(h.Required, drop)
	return h
}

// Required are the requirements of a go.mod; of one that go cannot read, those of the lines
// that look like some.
func Required(data []byte) []module.Version {
	var out []module.Version
	if mod, err := modfile.ParseLax("go.mod", data, nil); err == nil {
		for _, r := range mod.Require {
			out = append(out, r.Mod)
		}
		return out
	}
	for _, m := range requirement().FindAllSubmatch(data, 10000) {
		out = append(out, module.Version{Path: string(m[1]), Version: string(m[2])})
	}
	return out
}

// mostCached bounds the directories of the cache that are listed: a hundred thousand
// versions are a cache of years, and all that is wanted are names.
const mostCached = 20000

// cached lists the modules of a module cache whose zip is there.
func cached(ctx context.Context, modcache string) []module.Version {
	root := filepath.Join(modcache, "cache", "download")
	if modcache == "" {
		return nil
	}
	var out []module.Version
	dirs := 0
	_ = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return nil //nolint:nilerr // what cannot be read is not known
		case ctx.Err() != nil || dirs >= mostCached:
			return fs.SkipAll
		case d.Name() == "sumdb" && filepath.Dir(at) == root:
			return fs.SkipDir
		case d.Name() != "@v":
			dirs++
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(at))
		if err != nil {
			return fs.SkipDir
		}
		path, err := module.UnescapePath(filepath.ToSlash(rel))
		if err != nil || path == "golang.org/toolchain" {
			return fs.SkipDir
		}
		entries, err := os.ReadDir(at)
		if err != nil {
			return fs.SkipDir
		}
		for _, e := range entries {
			escaped, ok := strings.CutSuffix(e.Name(), ".zip")
			if v, err := module.UnescapeVersion(escaped); ok && err == nil {
				out = append(out, module.Version{Path: path, Version: v})
			}
		}
		return fs.SkipDir
	})
	return out
}

// holds tells whether a module's zip in the cache has a package directory; known is
// false where no version of it is cached.
func (h *Here) holds(path, dir string) (has, known bool) {
	for _, v := range slices.Backward(versionsOf(h.Cached, path)) {
		p, err1 := module.EscapePath(path)
		e, err2 := module.EscapeVersion(v)
		if err1 != nil || err2 != nil {
			return false, false
		}
		r, err := zip.OpenReader(filepath.Join(h.Cache, "cache", "download", filepath.FromSlash(p), "@v", e+".zip"))
		if err != nil {
			continue
		}
		has = packaged(r.File, path+"@"+v, dir)
		_ = r.Close()
		return has, true
	}
	return false, false
}

// packaged tells whether a module zip has Go files right in a directory.
func packaged(files []*zip.File, prefix, dir string) bool {
	at := prefix + "/" + dir + "/"
	return slices.ContainsFunc(files, func(f *zip.File) bool {
		rest, ok := strings.CutPrefix(f.Name, at)
		return ok && !strings.Contains(rest, "/") && strings.HasSuffix(rest, ".go")
	})
}
