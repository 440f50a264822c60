package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/proc"
)

// cacheCodes are the faults that a damaged file of a cache can bring about.
func cacheCodes() []keepwell.Code {
	return []keepwell.Code{
		"local/cache-corrupt", "sum/cache-corrupt", "proxy/bad-response", "local/go-mod-parse", "module/bad-path", "version/invalid", "module/unzippable", "module/moved", "sum/malformed",
		"sum/go-sum-mismatch",
	}
}

// mendCache removes the damaged files of the module cache, those and no others: go
// fetches them anew, and holds them to go.sum.
func mendCache(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	var bad []string
	var sums map[string]string
	if f.Code == "local/cache-corrupt" { // it is known that go.sum is right
		sums = c.sums()
	}
	for _, m := range c.suspects(f) {
		bad = append(bad, c.poisoned(m, sums)...)
	}
	bad = append(bad, c.poisonedNotes(f)...)
	if p := f.Facts["path"]; p != "" && damagedAlone(p) && c.inCaches(p) && !slices.Contains(bad, p) {
		bad = append(bad, p)
	}
	if len(bad) == 0 {
		return c.mendUnpacked(f)
	}
	m := Mend{ID: "cache-files", Args: []string{bad[0]}}
	// A sum that differs is never made to fit. What is no module at all may still go, but
	// only a person can say so: it may be the trace of an attack.
	safety, concern := keepwell.SafetySafe, act.Ordinary
	if f.Code == "sum/go-sum-mismatch" {
		safety, concern = keepwell.SafetyAsks, act.Trust
	}
	if sums != nil { // what was unpacked from a wrong archive goes with it
		for _, name := range bad {
			dir := c.unpacked(name)
			if !strings.HasSuffix(name, ".zip") || dir == "" {
				continue
			}
			m.Steps = append(m.Steps, act.RemoveDir{Path: dir, Safety: safety, Concern: concern, Remade: true})
			if entry := c.indexOf(dir); entry != "" {
				m.Steps = append(m.Steps, act.Remove{Path: entry, Safety: safety, Concern: concern, Remade: true})
			}
		}
	}
	slices.Sort(bad)
	for _, name := range slices.Compact(bad) {
		m.Steps = append(m.Steps, act.Remove{Path: name, Safety: safety, Concern: concern, Remade: true})
	}
	return []Mend{m}
}

// unpacked is the directory that an archive of the cache was unpacked to; "" where
// there is none.
func (c *Case) unpacked(zip string) string {
	cache := c.Settings.Env.Value("GOMODCACHE")
	rel, err := filepath.Rel(filepath.Join(cache, "cache", "download"), zip)
	path, version, ok := strings.Cut(rel, string(filepath.Separator)+"@v"+string(filepath.Separator))
	if err != nil || !ok || !filepath.IsLocal(rel) {
		return ""
	}
	dir := filepath.Join(cache, path+"@"+strings.TrimSuffix(version, ".zip"))
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// mendUnpacked removes an unpacked module that is not what its archive holds; go unpacks
// it anew. It asks: the change may be somebody's work.
func (c *Case) mendUnpacked(f keepwell.Finding) []Mend {
	m := module.Version{Path: f.Facts["module"], Version: f.Facts["version"]}
	path, err1 := module.EscapePath(m.Path)
	version, err2 := module.EscapeVersion(m.Version)
	if f.Code != "local/cache-corrupt" || err1 != nil || err2 != nil || !filepath.IsAbs(c.Settings.Env.Value("GOMODCACHE")) {
		return nil
	}
	zip := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", filepath.FromSlash(path), "@v", version+".zip")
	want, err := dirhash.HashZip(zip, dirhash.Hash1)
	dir := c.unpacked(zip)
	if err != nil || dir == "" {
		return nil
	}
	if got, err := dirhash.HashDir(dir, m.Path+"@"+m.Version, dirhash.Hash1); err != nil || got == want {
		return nil
	}
	steps := []act.Step{act.RemoveDir{Path: dir, Remade: true}}
	if entry := c.indexOf(dir); entry != "" {
		steps = append(steps, act.Remove{Path: entry, Remade: true})
	}
	return []Mend{{ID: "cache-unpacked", Args: []string{dir}, Steps: steps}}
}

// indexOf is the entry of go's build cache that says which packages an unpacked module
// has; "" where there is none. go takes it to be true for ever (cmd/go's modindex), also
// when it was made of a damaged directory.
func (c *Case) indexOf(dir string) string {
	version, cache := c.Settings.Env.Value("GOVERSION"), c.Settings.Env.Value("GOCACHE")
	if version == "" || !filepath.IsAbs(cache) {
		return ""
	}
	salt, _, _ := strings.Cut(version, " X:")
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(salt+"module index "+version+" go index v2 "+dir+"\n")))
	entry := filepath.Join(cache, id[:2], id+"-a")
	if info, err := os.Lstat(entry); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return entry
}

// inCaches reports files that go itself can make anew.
func (c *Case) inCaches(name string) bool {
	if within(filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download"), name) {
		return true
	}
	for _, dir := range filepath.SplitList(c.Settings.Env.Value("GOPATH")) {
		if within(filepath.Join(dir, "pkg", "sumdb"), name) {
			return true
		}
	}
	return false
}

// suspects are the modules whose files are looked at: the one of the finding, else all
// that are required or asked for.
func (c *Case) suspects(f keepwell.Finding) []module.Version {
	if m, v := f.Facts["module"], f.Facts["version"]; m != "" && module.Check(m, v) == nil {
		return []module.Version{{Path: m, Version: v}}
	}
	list := slices.Clone(c.Settings.Project.Requires)
	for _, s := range c.Asked {
		if s.Ecosystem == Go && exactVersion(s.Version) {
			list = append(list, module.Version{Path: s.Path, Version: s.Version})
		}
	}
	if m := f.Facts["module"]; m != "" {
		list = slices.DeleteFunc(list, func(v module.Version) bool { return v.Path != m })
		list = append(list, c.cachedVersions(m)...)
	}
	return list
}

// cachedVersions are those of a module of which the cache has a file.
func (c *Case) cachedVersions(path string) []module.Version {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil
	}
	names, err := fs.Glob(os.DirFS(filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download")), escaped+"/@v/*.mod")
	if err != nil {
		return nil
	}
	var out []module.Version
	for _, n := range names {
		if v, err := module.UnescapeVersion(strings.TrimSuffix(filepath.Base(n), ".mod")); err == nil {
			out = append(out, module.Version{Path: path, Version: v})
		}
	}
	return out
}

// largestRead bounds the archives that are read through.
const largestRead = 200 << 20

// sums are the hashes of go.sum, by what they are of.
func (c *Case) sums() map[string]string {
	files, ok := c.modFiles()
	if !ok {
		return nil
	}
	out := map[string]string{}
	for l := range strings.Lines(string(files.sum)) {
		if f := strings.Fields(l); len(f) == 3 && strings.HasPrefix(f[2], "h1:") {
			out[f[0]+" "+f[1]] = f[2]
		}
	}
	return out
}

// poisoned are the files of one version in the module cache that are not what they
// should be, also by sums where those are given.
func (c *Case) poisoned(m module.Version, sums map[string]string) []string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil || !filepath.IsAbs(c.Settings.Env.Value("GOMODCACHE")) {
		return nil
	}
	base := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", filepath.FromSlash(path), "@v", version)
	var bad []string
	look := func(ext string, sound func(data []byte) bool) {
		info, err := os.Lstat(base + ext)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 16<<20 {
			return
		}
		if data, err := os.ReadFile(base + ext); err == nil && !sound(data) && c.inCaches(base+ext) {
			bad = append(bad, base+ext)
		}
	}
	look(".info", func(data []byte) bool {
		var info struct{ Version string }
		return json.Unmarshal(data, &info) == nil && info.Version == m.Version
	})
	look(".mod", func(data []byte) bool {
		f, err := modfile.ParseLax("go.mod", data, nil)
		got, _ := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		want := sums[m.Path+" "+m.Version+"/go.mod"]
		return err == nil && f.Module != nil && (want == "" || got == want)
	})
	hash := ""
	look(".ziphash", func(data []byte) bool {
		hash = strings.TrimSpace(string(data))
		return strings.HasPrefix(hash, "h1:") && len(hash) == 47
	})
	if info, err := os.Lstat(base + ".zip"); err == nil && info.Mode().IsRegular() && info.Size() <= largestRead {
		got, err := dirhash.HashZip(base+".zip", dirhash.Hash1)
		want := sums[m.Path+" "+m.Version]
		if (err != nil || hash != "" && got != hash || want != "" && got != want) && c.inCaches(base+".zip") {
			bad = append(bad, base+".zip")
			if _, err := os.Lstat(base + ".ziphash"); err == nil && !slices.Contains(bad, base+".ziphash") {
				bad = append(bad, base+".ziphash")
			}
		}
	}
	return bad
}

// poisonedNotes are stored answers of a checksum database that are none.
func (c *Case) poisonedNotes(f keepwell.Finding) []string {
	if f.Code != "sum/cache-corrupt" {
		return nil
	}
	var bad []string
	look := func(root, pattern string, sound func([]byte) bool) {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return
		}
		for _, n := range names {
			info, err := os.Lstat(n)
			if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
				continue
			}
			if data, err := os.ReadFile(n); err == nil && !sound(data) {
				bad = append(bad, n)
			}
		}
	}
	isNote := func(data []byte) bool {
		return len(data) == 0 || bytes.HasPrefix(data, []byte("go.sum database tree\n")) && bytes.Contains(data, []byte("\n\n— "))
	}
	for _, dir := range filepath.SplitList(c.Settings.Env.Value("GOPATH")) {
		look(filepath.Join(dir, "pkg", "sumdb"), filepath.Join("*", "latest"), isNote)
	}
	answers := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", "sumdb")
	look(answers, filepath.Join("*", "lookup", "*"), func(data []byte) bool {
		_, rest, ok := bytes.Cut(data, []byte("\n\n"))
		return ok && isNote(rest)
	})
	return bad
}

// damagedAlone reports files that are poisoned whatever else holds: a web page, or
// nothing, where go keeps its own.
func damagedAlone(name string) bool {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 || strings.HasSuffix(name, ".lock") {
		return false
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	start := strings.ToLower(strings.TrimSpace(string(data[:min(len(data), 64)])))
	return strings.HasPrefix(start, "<!doctype") || strings.HasPrefix(start, "<html")
}

// mendPermission gives the owner of a cache back what they may do in it; a directory of
// somebody else is for a person.
func mendPermission(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	if runtime.GOOS == "windows" {
		return nil
	}
	caches := []string{c.Settings.Env.Value("GOMODCACHE"), c.Settings.Env.Value("GOCACHE")}
	for _, dir := range filepath.SplitList(c.Settings.Env.Value("GOPATH")) {
		caches = append(caches, filepath.Join(dir, "pkg", "sumdb"))
	}
	var starts []string
	if p := f.Facts["path"]; filepath.IsAbs(p) {
		for _, dir := range caches {
			if p == dir || within(dir, p) || within(p, dir) {
				starts = append(starts, p)
				break
			}
		}
	}
	for _, dir := range caches[:2] {
		if filepath.IsAbs(dir) {
			starts = append(starts, dir, filepath.Join(dir, "cache"), filepath.Join(dir, "cache", "download"))
		}
	}
	var steps []act.Step
	foreign := ""
	for _, p := range starts {
		dir, info := closed(p)
		if info == nil {
			continue
		}
		if !ours(info) {
			foreign = dir
			continue
		}
		want := info.Mode().Perm() | 0o700
		step := act.Chmod{Path: dir, Mode: want, Safety: keepwell.SafetySafe}
		if !info.IsDir() {
			step.Mode = info.Mode().Perm() | 0o600
		}
		if !slices.ContainsFunc(steps, func(s act.Step) bool { return s == act.Step(step) }) {
			steps = append(steps, step)
		}
	}
	switch {
	case len(steps) > 0:
		first, ok := steps[0].(act.Chmod)
		if !ok {
			return nil
		}
		return []Mend{{ID: "permission", Args: []string{first.Path}, Steps: steps}}
	case foreign != "":
		return []Mend{{ID: "owner", Args: []string{foreign}, Steps: []act.Step{act.Manual{
			Target: foreign, Command: `sudo chown -R "$(id -u):$(id -g)" ` + faults.Quote(foreign), Concern: act.Ownership,
		}}}}
	}
	return nil
}

// closed is the deepest part of a path that exists where this user lacks a right to
// work in it; nil where none is missing, and for an extracted module, which is meant to
// be read-only.
func closed(path string) (string, fs.FileInfo) {
	for p := path; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			if !os.IsNotExist(err) && !os.IsPermission(err) || filepath.Dir(p) == p {
				return "", nil
			}
			continue
		}
		need := fs.FileMode(0o700)
		if !info.IsDir() {
			need = 0o600
		}
		extracted := strings.Contains(strings.ReplaceAll(p, string(filepath.Separator)+"@v", ""), "@")
		if extracted || ours(info) && info.Mode().Perm()&need == need || !ours(info) && mayWrite(info) {
			return "", nil
		}
		return p, info
	}
}

// mendSafeDirectory tells git that a checkout of another owner may be trusted: only the
// one that the project lies in. What a remote names is not trusted.
func mendSafeDirectory(ctx context.Context, c *Case, _ keepwell.Finding) []Mend {
	project, err := filepath.Abs(c.projectDir())
	if err != nil {
		return nil
	}
	r, err := proc.Run(ctx, proc.Options{Dir: project}, "git", "rev-parse", "--git-dir")
	if err != nil || r.Exit == 0 {
		return nil
	}
	_, rest, ok := strings.Cut(string(r.Output), "dubious ownership in repository at '")
	dir, _, closed := strings.Cut(rest, "'\n")
	if !ok || !closed || !filepath.IsAbs(filepath.FromSlash(dir)) || resolved(dir) != resolved(project) && !within(dir, project) {
		return nil
	}
	return []Mend{{ID: "safe-directory", Args: []string{dir}, Steps: []act.Step{act.SafeDirectory{Dir: dir}}}}
}
