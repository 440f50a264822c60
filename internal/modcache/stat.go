package modcache

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Part is a kind of what lies in a module cache.
type Part string

// The parts.
const (
	PartTrees      Part = "unpacked"   // directories of modules
	PartZips       Part = "archives"   // cache/download/**/@v/*.zip
	PartMods       Part = "metadata"   // .mod, .info, .ziphash, lists, locks
	PartToolchains Part = "toolchains" // golang.org/toolchain: archives, metadata, directories
	PartVCS        Part = "vcs"        // clones of repositories
	PartSumdb      Part = "sumdb"      // what was asked of the checksum database
	PartLeftovers  Part = "leftovers"  // what killed processes left
	PartOther      Part = "other"
)

// Parts lists all parts.
func Parts() []Part {
	return []Part{PartTrees, PartZips, PartMods, PartToolchains, PartVCS, PartSumdb, PartLeftovers, PartOther}
}

// Amount is how much of something there is.
type Amount struct {
	// Bytes is what files hold, Disk what they take of the disk.
	Bytes int64 `json:"bytes"`
	Disk  int64 `json:"disk"`
	Files int64 `json:"files"`
	// Inodes are files and directories.
	Inodes int64 `json:"inodes"`
}

func (a *Amount) add(b Amount) {
	a.Bytes += b.Bytes
	a.Disk += b.Disk
	a.Files += b.Files
	a.Inodes += b.Inodes
}

// Unit is one version of a module in the cache.
type Unit struct {
	module.Version
	Amount
	// Tree is the part of it that is unpacked, Zip the archive.
	Tree, Zip Amount
	// LastUse is when a file of it was last read or written.
	LastUse time.Time
	// HasTree and HasZip say what of it is there.
	HasTree, HasZip bool
}

// Toolchain reports whether it is a go command.
func (u *Unit) Toolchain() bool { return u.Path == toolchain }

// Clone is a clone of a repository.
type Clone struct {
	// Name is the directory's, Remote what it is a clone of and Tool whose ("git"), as far
	// as that is known.
	Name   string `json:"name"`
	Tool   string `json:"tool,omitempty"`
	Remote string `json:"remote,omitempty"`
	Amount
	LastUse time.Time `json:"last_use"`
}

// Unread is a directory that could not be read.
type Unread struct {
	Path string `json:"path"`
	Err  error  `json:"-"`
}

// Stats is what a module cache holds.
type Stats struct {
	Total Amount
	Parts map[Part]Amount
	// Units are the versions, by module and version.
	Units   []*Unit
	Clones  []*Clone
	Unread  []Unread
	LastUse time.Time
	// NotesUse is false where the file system does not note when files are read, so that
	// the last use is when they came.
	NotesUse bool
}

// Modules is how many modules there are versions of.
func (s *Stats) Modules() int {
	n, last := 0, ""
	for _, u := range s.Units {
		if u.Path != last {
			n, last = n+1, u.Path
		}
	}
	return n
}

// Duplicates are versions that lie beside a newer one of the same module, toolchains
// apart: how many modules, how many such versions, and what those take.
func (s *Stats) Duplicates() (modules, versions int, a Amount) {
	for i, u := range s.Units {
		if u.Toolchain() || i+1 == len(s.Units) || s.Units[i+1].Path != u.Path {
			continue
		}
		if versions++; i == 0 || s.Units[i-1].Path != u.Path {
			modules++
		}
		a.add(u.Amount)
	}
	return modules, versions, a
}

// Spare are archives that are unpacked too: a build needs them no more.
func (s *Stats) Spare() (n int, a Amount) {
	for _, u := range s.Units {
		if u.HasTree && u.HasZip && !u.Toolchain() {
			n++
			a.add(u.Zip)
		}
	}
	return n, a
}

// of says what a directory of the walk belongs to.
type of struct {
	part Part
	// rel is the path below the part's root, while that names a module.
	rel   string
	unit  *Unit
	clone *Clone
}

// The roots that a walk distinguishes, beside the parts.
const (
	inRoot     Part = "root"     // GOMODCACHE itself, and what leads to modules
	inCache    Part = "cache"    // GOMODCACHE/cache
	inDownload Part = "download" // cache/download, and what leads to @v
	inVersions Part = "versions" // an @v directory
)

// counting is a walk that counts.
type counting struct {
	cache  Cache
	mu     sync.Mutex
	stats  *Stats
	units  map[module.Version]*Unit
	clones map[string]*Clone
	linked map[[2]uint64]bool
	follow *links
}

// Stat walks the cache. A cache that does not exist is empty.
func Stat(ctx context.Context, c Cache) (*Stats, error) {
	k := &counting{
		cache: c, stats: &Stats{Parts: map[Part]Amount{}, NotesUse: notesUse(c.Dir)},
		units: map[module.Version]*Unit{}, clones: map[string]*Clone{}, linked: map[[2]uint64]bool{},
		follow: newLinks(c),
	}
	w := walker[of]{visit: k.visit, failed: func(dir string, _ of, err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stats.Unread = append(k.stats.Unread, Unread{dir, err})
	}}
	start := []step[of]{{c.Dir, of{part: inRoot}}}
	if c.Sumdb != "" {
		start = append(start, step[of]{c.Sumdb, of{part: PartSumdb}})
	}
	if err := w.walk(ctx, start...); err != nil {
		return nil, err
	}
	s := k.stats
	s.Units = slices.SortedFunc(maps.Values(k.units), func(a, b *Unit) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version.Version, b.Version.Version), cmp.Compare(a.Version.Version, b.Version.Version))
	})
	for _, cl := range k.clones {
		cl.Tool, cl.Remote = remoteOf(filepath.Join(c.vcs(), cl.Name+extInfo))
		s.Clones = append(s.Clones, cl)
	}
	slices.SortFunc(s.Clones, func(a, b *Clone) int { return cmp.Or(cmp.Compare(b.Disk, a.Disk), cmp.Compare(a.Name, b.Name)) })
	for _, p := range Parts() {
		s.Total.add(s.Parts[p])
	}
	slices.SortFunc(s.Unread, func(a, b Unread) int { return cmp.Compare(a.Path, b.Path) })
	return s, nil
}

// remoteOf reads what a clone is of, from the line that go leaves beside it:
// "git3:https://..." or "vcs1.hg:https://...", where the number is that of go's layout.
func remoteOf(name string) (tool, remote string) {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 4<<10 {
		return "", ""
	}
	data, err := slurp(name, info.Size(), nil)
	if err != nil {
		return "", ""
	}
	kind, remote, _ := strings.Cut(strings.TrimSpace(string(data)), ":")
	if _, other, ok := strings.Cut(kind, "."); ok {
		return other, remote
	}
	return strings.TrimRight(kind, "0123456789"), remote
}

// share is what one directory adds to something.
type share struct {
	Amount
	used time.Time
}

func (s *share) count(e entry) {
	s.Disk += e.disk
	s.Inodes++
	if e.mode.IsDir() {
		return
	}
	s.Files++
	s.Bytes += e.size
	if e.used.After(s.used) {
		s.used = e.used
	}
}

func (k *counting) visit(dir string, o of, entries []entry) []step[of] {
	k.links(entries)
	if o.part == inVersions {
		return k.versions(dir, o, entries)
	}
	var sum share
	var next []step[of]
	leftovers := share{}
	for _, e := range entries {
		e = k.follow.through(filepath.Join(dir, e.name), o.part, e)
		to, walk := k.leads(dir, o, e)
		switch {
		case to.part == PartLeftovers && o.part != PartLeftovers:
			leftovers.count(e)
		case to.unit != nil && o.unit == nil: // the module's own directory counts as its own
			k.add(to, share{Amount: Amount{Disk: e.disk, Inodes: 1}})
		case to.clone != nil && o.clone == nil:
			own := share{}
			own.count(e)
			k.add(to, own)
		default:
			sum.count(e)
		}
		if walk {
			next = append(next, step[of]{filepath.Join(dir, e.name), to})
		}
	}
	k.add(o, sum)
	k.add(of{part: PartLeftovers}, leftovers)
	return next
}

// links takes what is counted already, by another of its names, out of the sums.
func (k *counting) links(entries []entry) {
	for i, e := range entries {
		if e.links < 2 || e.mode.IsDir() || e.ino == 0 {
			continue
		}
		k.mu.Lock()
		if id := [2]uint64{e.dev, e.ino}; k.linked[id] {
			entries[i].disk = 0
		} else {
			k.linked[id] = true
		}
		k.mu.Unlock()
	}
}

// leads says what an entry belongs to, and whether it is a directory to be walked.
func (k *counting) leads(_ string, o of, e entry) (to of, walk bool) {
	walk = e.mode.IsDir()
	if o.part != inVersions && isLeftover(o.part, e.name) {
		return of{part: PartLeftovers}, walk
	}
	switch o.part {
	case inRoot:
		if o.rel == "" && e.name == "cache" && walk {
			return of{part: inCache}, true
		}
		rel := filepath.Join(o.rel, e.name)
		if path, version, ok := strings.Cut(rel, "@"); ok && walk {
			if m, legal := unescaped(path, version); legal {
				return of{part: PartTrees, unit: k.unit(m, func(u *Unit) { u.HasTree = true })}, true
			}
			return of{part: PartOther}, true
		}
		return of{part: inRoot, rel: rel}, walk
	case inCache:
		switch e.name {
		case "download":
			return of{part: inDownload}, walk
		case "vcs":
			return of{part: PartVCS, rel: "."}, walk
		}
		return of{part: PartOther}, walk
	case inDownload:
		if o.rel == "" && e.name == "sumdb" {
			return of{part: PartSumdb}, walk
		}
		if e.name == "@v" {
			return of{part: inVersions, rel: o.rel}, walk
		}
		return of{part: inDownload, rel: filepath.Join(o.rel, e.name)}, walk
	case PartVCS:
		if o.rel == "." {
			name := strings.TrimSuffix(strings.TrimSuffix(e.name, extInfo), extLock)
			return of{part: PartVCS, clone: k.clone(name)}, walk
		}
	}
	return of{part: o.part, unit: o.unit, clone: o.clone}, walk
}

func (k *counting) unit(m module.Version, change func(*Unit)) *Unit {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := k.units[m]
	if u == nil {
		u = &Unit{Version: m}
		k.units[m] = u
	}
	change(u)
	return u
}

func (k *counting) clone(name string) *Clone {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clones[name]
	if c == nil {
		c = &Clone{Name: name}
		k.clones[name] = c
	}
	return c
}

// versions counts the files of an @v directory.
func (k *counting) versions(dir string, o of, entries []entry) []step[of] {
	var rest, leftovers share
	var next []step[of]
	for _, e := range entries {
		var one share
		one.count(e)
		version, ext, ok := splitName(e.name)
		m, legal := unescaped(o.rel, version)
		switch {
		case e.mode.IsDir():
			next = append(next, step[of]{filepath.Join(dir, e.name), of{part: PartOther}})
			rest.count(e)
		case isLeftover(inVersions, e.name):
			leftovers.count(e)
		case ok && legal && ext == extZip:
			k.add(of{part: PartZips, unit: k.unit(m, func(u *Unit) { u.HasZip, u.Zip = true, one.Amount })}, one)
		case ok && legal:
			k.add(of{part: PartMods, unit: k.unit(m, func(*Unit) {})}, one)
		default:
			rest.count(e)
		}
	}
	k.add(of{part: PartMods}, rest)
	k.add(of{part: PartLeftovers}, leftovers)
	return next
}

// add counts s for what o says.
func (k *counting) add(o of, s share) {
	if s.Inodes == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	part := o.part
	switch {
	case o.unit != nil && o.unit.Toolchain():
		part = PartToolchains
	case part == inRoot:
		part = PartTrees
	case part == inDownload:
		part = PartMods
	case part == inCache:
		part = PartOther
	}
	if o.unit != nil {
		o.unit.add(s.Amount)
		if o.part == PartTrees {
			o.unit.Tree.add(s.Amount)
		}
		later(&o.unit.LastUse, s.used)
	}
	if o.clone != nil {
		o.clone.add(s.Amount)
		later(&o.clone.LastUse, s.used)
	}
	later(&k.stats.LastUse, s.used)
	sum := k.stats.Parts[part]
	sum.add(s.Amount)
	k.stats.Parts[part] = sum
}

func later(t *time.Time, other time.Time) {
	if other.After(*t) {
		*t = other
	}
}

// readable reports whether mode lets its owner read.
func readable(mode fs.FileMode) bool {
	need := fs.FileMode(0o400)
	if mode.IsDir() {
		need = 0o500
	}
	return mode.Perm()&need == need
}

// Measure says how much any directory holds; one that does not exist holds nothing, and
// what cannot be read is not counted.
func Measure(ctx context.Context, dir string) (Amount, error) {
	var mu sync.Mutex
	var sum Amount
	w := walker[struct{}]{failed: func(string, struct{}, error) {}}
	w.visit = func(dir string, _ struct{}, entries []entry) (next []step[struct{}]) {
		var one share
		for _, e := range entries {
			one.count(e)
			if e.mode.IsDir() {
				next = append(next, step[struct{}]{dir: filepath.Join(dir, e.name)})
			}
		}
		mu.Lock()
		defer mu.Unlock()
		sum.add(one.Amount)
		return next
	}
	err := w.walk(ctx, step[struct{}]{dir: dir})
	return sum, err
}
