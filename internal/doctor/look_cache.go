package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/observe"
)

// The bounds of the look at the caches.
const (
	mostCached   = 3000                   // modules in question
	cacheTime    = 400 * time.Millisecond // all of them
	largestZip   = 32 << 20               // a zip whose content is hashed
	fewBytes     = 4 << 20                // less than any zip and its files need
	scarceBytes  = 256 << 20
	fewInodes    = 16
	scarceInodes = 2000
)

// lookCache looks at go's directories, and at the files in the module cache that the
// modules in question need, without go.
func lookCache(ctx context.Context, c *Case, _ []Outcome) Outcome {
	found := c.lookDirectories()
	if c.Settings.Env.Value("GOMODCACHE") == "" && len(found) == 0 {
		return Outcome{State: observe.NotChecked, Key: "doctor.cache.unknown"}
	}
	files, looked, all := c.lookCachedFiles(ctx)
	found = append(found, files...)
	found = append(found, c.lookSumdbNotes()...)
	o := Outcome{State: observe.Yes, Key: "doctor.cache.fine", Args: []string{number(looked)}, Findings: found}
	if !all {
		o.Key = "doctor.cache.part"
	}
	bad := 0
	for _, f := range found {
		if f.Severity != keepwell.SeverityInfo {
			bad++
		}
	}
	if bad > 0 {
		o.State, o.Key, o.Args = observe.No, "doctor.cache.bad", []string{number(bad)}
	}
	return o
}

// wantsCache: the caches matter where go does.
func wantsCache(c *Case, _ []Outcome) bool { return c.wantsGo() && len(c.Settings.Gos) > 0 }

// directory is a place that go writes to.
type directory struct {
	name, path string
	// must says that go does not make it itself.
	must bool
}

func (c *Case) directories() []directory {
	env := c.Settings.Env
	list := []directory{{name: "GOMODCACHE", path: env.Value("GOMODCACHE")}, {name: "GOCACHE", path: env.Value("GOCACHE")}}
	if env.Value("GOMODCACHE") == "" { // go env fails, too, where it cannot make its build cache
		env, list = goenv.Env{"GOTMPDIR": {Value: c.Settings.OS["GOTMPDIR"]}}, c.likely()
	}
	if tmp := env.Value("GOTMPDIR"); tmp != "" {
		list = append(list, directory{name: "GOTMPDIR", path: tmp, must: true})
	} else {
		list = append(list, directory{name: "TMPDIR", path: os.TempDir(), must: true})
	}
	return list
}

// likely are go's directories as the environment, the user's file and go's defaults
// have them, where go itself cannot be asked.
func (c *Case) likely() []directory {
	var user map[string]string
	if conf, err := os.UserConfigDir(); err == nil {
		user, _ = goenv.ReadFile(cmp.Or(c.Settings.OS["GOENV"], filepath.Join(conf, "go", "env")))
	}
	value := func(name string) string { return cmp.Or(c.Settings.OS[name], user[name]) }
	build := value("GOCACHE")
	if caches, err := os.UserCacheDir(); err == nil && build == "" {
		build = filepath.Join(caches, "go-build")
	}
	modules := value("GOMODCACHE")
	if gopath := filepath.SplitList(value("GOPATH")); modules == "" && len(gopath) > 0 {
		modules = filepath.Join(gopath[0], "pkg", "mod")
	} else if modules == "" && c.Settings.Home != "" {
		modules = filepath.Join(c.Settings.Home, "go", "pkg", "mod")
	}
	return []directory{{name: "GOMODCACHE", path: modules}, {name: "GOCACHE", path: build}}
}

// lookDirectories asks whether go may write where it has to, and whether there is room.
func (c *Case) lookDirectories() []keepwell.Finding {
	var out []keepwell.Finding
	full := map[string]bool{} // one finding a file system
	for _, d := range c.directories() {
		switch {
		case d.path == "off":
			continue
		case d.path == "":
			out = append(out, seen("local/cache-permission", keepwell.SeverityError, 0.9, c.Say("doctor.cache.nowhere", d.name)))
			continue
		case !filepath.IsAbs(d.path):
			continue // the settings' lints say so
		}
		there, err := existing(d.path)
		if err != nil {
			continue
		}
		if f, ok := c.unwritable(d, there); ok {
			out = append(out, f)
			continue
		}
		if r, known := roomAt(there); known && !full[r.id] {
			found := c.noRoom(d, r)
			full[r.id] = len(found) > 0
			out = append(out, found...)
		}
	}
	return out
}

// existing is path, or the nearest directory above it that exists: what is missing
// would be made there.
func existing(path string) (string, error) {
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !isNotDir(err) || at == filepath.Dir(at) {
			return "", err
		}
	}
}

// unwritable says what forbids go to write to a directory.
func (c *Case) unwritable(d directory, there string) (keepwell.Finding, bool) {
	fault := func(key string, args ...string) (keepwell.Finding, bool) {
		f := seen("local/cache-permission", keepwell.SeverityError, 0.93, c.Say(key, append([]string{d.name, d.path}, args...)...), "path", d.path)
		f.Facts["setting"] = d.name
		return f, true
	}
	info, err := os.Stat(there)
	if err != nil {
		return keepwell.Finding{}, false
	}
	if !info.IsDir() {
		return fault("doctor.cache.no-directory", there)
	}
	if there != filepath.Clean(d.path) && d.must {
		return fault("doctor.cache.missing")
	}
	if why := writable(there); why != nil {
		return fault("doctor.cache.forbidden", there, owner(info), why.Error())
	}
	if d.name != "GOMODCACHE" || there != filepath.Clean(d.path) {
		return keepwell.Finding{}, false
	}
	// The directories below that a run of another user left behind.
	for _, sub := range []string{"cache", filepath.Join("cache", "download")} {
		at := filepath.Join(there, sub)
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			if why := writable(at); why != nil {
				return fault("doctor.cache.forbidden", at, owner(info), why.Error())
			}
		}
	}
	return keepwell.Finding{}, false
}

// noRoom says that a file system is full, or nearly so.
func (c *Case) noRoom(d directory, r room) []keepwell.Finding {
	few, scarce := r.bytes < fewBytes, r.bytes < scarceBytes
	key, amount := "doctor.cache.space", size(r.bytes)
	if !few && r.hasInodes && r.inodes < scarceInodes {
		few, scarce = r.inodes < fewInodes, true
		key, amount = "doctor.cache.inodes", number(int(r.inodes))
	}
	if !scarce {
		return nil
	}
	severity, confidence := keepwell.SeverityInfo, 0.8
	if few {
		severity, confidence = keepwell.SeverityError, 0.95
	}
	return []keepwell.Finding{seen("local/disk-full", severity, confidence, c.Say(key, d.name, d.path, amount), "path", d.path)}
}

// room is what a file system has left for this user.
type room struct {
	id            string
	bytes, inodes uint64
	hasInodes     bool
}

func size(n uint64) string {
	if n < 1<<20 {
		return number(int(n>>10)) + " KiB"
	}
	return number(int(n>>20)) + " MiB"
}

// wantedFile is a module in question.
type wantedFile struct {
	module.Version
	// asked says that the user named it, zip that its content is needed, exact that its
	// go.mod must name the path: what only replaces another need not.
	asked, zip, exact bool
	// direct says that the project itself imports it.
	direct bool
}

// wantedFiles are the modules whose cached files matter: those asked for, those that
// go.mod requires, and those of which go.sum has a hash.
func (c *Case) wantedFiles(p *project) []wantedFile {
	var out []wantedFile
	have := map[module.Version]bool{}
	add := func(w wantedFile) {
		if !have[w.Version] && len(out) < mostCached {
			have[w.Version] = true
			out = append(out, w)
		}
	}
	for _, s := range c.Asked {
		if s.Ecosystem == Go && exactVersion(s.Version) {
			add(wantedFile{Version: module.Version{Path: s.Path, Version: s.Version}, asked: true, zip: true, exact: true})
		}
	}
	if len(c.Asked) > 0 {
		return out
	}
	own, direct := map[module.Version]bool{}, map[module.Version]bool{}
	for _, m := range p.read() {
		for _, r := range m.file.Require {
			own[r.Mod], direct[r.Mod] = true, direct[r.Mod] || !r.Indirect
		}
	}
	for _, m := range p.required() {
		add(wantedFile{Version: m, zip: true, exact: own[m], direct: direct[m]})
	}
	for key := range p.sums {
		path, v, _ := strings.Cut(key, " ")
		if plain, ok := strings.CutSuffix(v, "/go.mod"); ok {
			add(wantedFile{Version: module.Version{Path: path, Version: plain}})
		}
	}
	return out
}

// lookCachedFiles looks at the files of the modules in question, as long as it may.
func (c *Case) lookCachedFiles(ctx context.Context) (out []keepwell.Finding, looked int, all bool) {
	p := c.project()
	until := time.Now().Add(cacheTime)
	for _, w := range c.wantedFiles(p) {
		if ctx.Err() != nil || time.Now().After(until) || len(out) >= 2*mostSaid {
			return out, looked, false
		}
		looked++
		out = append(out, c.lookCachedMod(p, w)...)
		out = append(out, c.lookCachedInfo(w)...)
		if w.zip {
			out = append(out, c.lookCachedZip(p, w)...)
		}
	}
	return out, looked, true
}

// damaged is a finding about a file in the module cache.
func damaged(w wantedFile, severity keepwell.Severity, confidence float64, name, text string) keepwell.Finding {
	return seen("local/cache-corrupt", severity, confidence, text, "module", w.Path, "version", w.Version.Version, "path", name)
}

// lookCachedMod finds a .mod that poisons every build: go trusts what it finds.
func (c *Case) lookCachedMod(p *project, w wantedFile) []keepwell.Finding {
	name := c.cached(w.Version, ".mod")
	data, err := readRegular(name, largestMod)
	if err != nil || name == "" {
		return nil
	}
	fault := modFault(data)
	if hash := p.sums[w.Path+" "+w.Version.Version+"/go.mod"]; hash != "" {
		if got := hashMod(data); got == hash {
			return nil
		} else if fault == "" { // a whole file, but another one: not certain whose fault
			return []keepwell.Finding{seen("sum/go-sum-mismatch", keepwell.SeverityError, 0.85, c.Say("doctor.cache.other-mod", name, hash, got), "module", w.Path, "version", w.Version.Version, "path", name)}
		}
	}
	if fault != "" {
		return []keepwell.Finding{damaged(w, keepwell.SeverityError, 0.95, name, c.Say(fault, name, firstBytes(data)))}
	}
	if path := modfile.ModulePath(data); w.exact && path != w.Path { // a whole file, and go refuses it
		code := keepwell.Code("module/moved")
		if strings.EqualFold(path, w.Path) {
			code = "module/case"
		}
		return []keepwell.Finding{seen(code, keepwell.SeverityError, 0.9, c.Say("doctor.cache.other-module", name, path), "module", w.Path, "version", w.Version.Version, "newpath", path)}
	}
	return nil
}

// modFault names what shows that this is no go.mod.
func modFault(data []byte) string {
	switch text := bytes.TrimSpace(data); {
	case len(text) == 0:
		return "doctor.cache.empty"
	case text[0] == '<' || text[0] == '{' || bytes.IndexByte(text[:min(len(text), 512)], 0) >= 0:
		return "doctor.cache.not-mod"
	}
	if modfile.ModulePath(data) == "" {
		return "doctor.cache.no-module"
	}
	return ""
}

// firstBytes shows what a file begins with.
func firstBytes(data []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(data[:min(len(data), 200)]), []byte("\n"))
	return string(line[:min(len(line), 60)])
}

// lookCachedInfo: go takes no .info that it cannot read and asks again, so this only
// hurts without a network.
func (c *Case) lookCachedInfo(w wantedFile) []keepwell.Finding {
	name := c.cached(w.Version, ".info")
	data, err := readRegular(name, 1<<20)
	var info struct{ Version string }
	if err != nil || json.Unmarshal(data, &info) == nil && info.Version != "" {
		return nil
	}
	return []keepwell.Finding{damaged(w, keepwell.SeverityInfo, 0.9, name, c.Say("doctor.cache.info", name, firstBytes(data)))}
}

// lookCachedZip looks at a zip from its end, where its directory is, and holds the hash
// beside it to go.sum.
func (c *Case) lookCachedZip(p *project, w wantedFile) []keepwell.Finding {
	name := c.cached(w.Version, ".zip")
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	severity := keepwell.SeverityError
	if c.extracted(w.Version) { // go needs the zip no more
		severity = keepwell.SeverityInfo
	}
	if !endsAsZip(name, info.Size()) {
		return []keepwell.Finding{damaged(w, severity, 0.95, name, c.Say("doctor.cache.zip", name, size(uint64(info.Size()))))}
	}
	if f := c.lookExtracted(w, name); f != nil {
		return []keepwell.Finding{*f}
	}
	want := p.sums[w.Path+" "+w.Version.Version]
	noted, err := readRegular(name+"hash", 1<<10)
	got := strings.TrimSpace(string(noted))
	if want == "" || err != nil || got == want {
		return nil
	}
	actual := ""
	if info.Size() <= largestZip {
		actual = hashZip(name)
	}
	switch actual {
	case want:
		return []keepwell.Finding{damaged(w, keepwell.SeverityError, 0.95, name+"hash", c.Say("doctor.cache.ziphash", name+"hash", firstBytes(noted), want))}
	case got, "":
		return []keepwell.Finding{seen("sum/go-sum-mismatch", keepwell.SeverityError, 0.9, c.Say("doctor.cache.other-zip", name, got, want), "module", w.Path, "version", w.Version.Version, "path", name)}
	}
	return []keepwell.Finding{damaged(w, keepwell.SeverityError, 0.95, name, c.Say("doctor.cache.zip-content", name, actual, want))}
}

// mostFiles bounds the files of one module that are compared.
const mostFiles = 2000

// lookExtracted holds a module's directory to its zip, by names and sizes: go never looks
// again at what it has unpacked.
func (c *Case) lookExtracted(w wantedFile, name string) *keepwell.Finding {
	if !w.direct && !w.asked || !c.extracted(w.Version) {
		return nil
	}
	dir := c.extractedDir(w.Version)
	for _, e := range zipEntries(name, w.Path+"@"+w.Version.Version+"/", mostFiles) {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(e.name)))
		if err == nil && info.Size() == e.size || err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		key := "doctor.cache.gone"
		if err == nil {
			key = "doctor.cache.changed"
		}
		f := damaged(w, keepwell.SeverityError, 0.93, dir, c.Say(key, filepath.Join(dir, filepath.FromSlash(e.name))))
		return &f
	}
	return nil
}

// extracted reports whether a version's directory is complete in the module cache.
func (c *Case) extracted(m module.Version) bool {
	dir := c.extractedDir(m)
	if dir == "" {
		return false
	}
	if _, err := os.Stat(c.cached(m, ".partial")); err == nil {
		return false
	}
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// extractedDir is where go unpacks a module; "" where the name is no legal one.
func (c *Case) extractedDir(m module.Version) string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	v, err := module.EscapeVersion(m.Version)
	if err != nil {
		return ""
	}
	return filepath.Join(c.Settings.Env.Value("GOMODCACHE"), filepath.FromSlash(path)+"@"+v)
}

// lookSumdbNotes looks at what go noted about the checksum database: the tree that it
// has seen, and the answers about the modules asked for.
func (c *Case) lookSumdbNotes() []keepwell.Finding {
	db := c.Settings.Env.Value("GOSUMDB")
	if db == "" || db == "off" {
		return nil
	}
	name, _, _ := strings.Cut(strings.Fields(db)[0], "+")
	if name == "sum.golang.google.cn" { // another door to the same database
		name = "sum.golang.org"
	}
	var out []keepwell.Finding
	for _, gopath := range filepath.SplitList(c.Settings.Env.Value("GOPATH"))[:min(1, len(filepath.SplitList(c.Settings.Env.Value("GOPATH"))))] {
		at := filepath.Join(gopath, "pkg", "sumdb", name, "latest")
		data, err := readRegular(at, 1<<20)
		if err == nil && len(data) > 0 && !bytes.HasPrefix(data, []byte("go.sum database tree\n")) {
			out = append(out, seen("sum/cache-corrupt", keepwell.SeverityError, 0.93, c.Say("doctor.cache.sumdb", at, firstBytes(data)), "path", at))
		}
	}
	for _, s := range c.Asked {
		if s.Ecosystem != Go || !exactVersion(s.Version) {
			continue
		}
		path, err := module.EscapePath(s.Path)
		v, err2 := module.EscapeVersion(s.Version)
		if err != nil || err2 != nil {
			continue
		}
		at := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", "sumdb", name, "lookup", filepath.FromSlash(path)+"@"+v)
		data, err := readRegular(at, 1<<20)
		id, _, _ := bytes.Cut(data, []byte("\n"))
		if err == nil && (len(id) == 0 || len(bytes.Trim(id, "0123456789")) > 0) {
			out = append(out, seen("sum/cache-corrupt", keepwell.SeverityError, 0.93, c.Say("doctor.cache.lookup", at, firstBytes(data)), "module", s.Path, "version", s.Version, "path", at))
		}
	}
	return out
}

// damagedOnly leaves files that are not what they should be.
func damagedOnly(list []keepwell.Finding) []keepwell.Finding {
	return slices.DeleteFunc(list, func(f keepwell.Finding) bool { return f.Code != "local/cache-corrupt" })
}

// spoilt are faults of the user's own caches, which a fetch into another directory does
// not meet.
func spoilt(list []Outcome) []keepwell.Finding {
	o := find(list, "cache")
	if o == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.Findings), func(f keepwell.Finding) bool {
		return f.Severity != keepwell.SeverityError
	})
}
