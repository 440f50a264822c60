package modcache

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// held is what the cache holds of one version.
type held struct {
	module.Version
	// files are those in the @v directory, by extension.
	files map[string]entry
	// tree is the directory; its name is empty where there is none.
	tree entry
}

func (h *held) has(ext string) bool { _, ok := h.files[ext]; return ok }

// inventory is what Verify goes through.
type inventory struct {
	cache    Cache
	mu       sync.Mutex
	versions map[module.Version]*held
	lists    []string
	notes    []noted
	faults   []Fault
	follow   *links
	// owner is the other user whose all of the cache is; me, where it is not so.
	owner int
}

// staleAfter is how old a thing must be to count as left behind: go is done with it
// within that time or holds its lock.
const staleAfter = time.Hour

// takeInventory walks the cache, but not into the directories of modules.
func takeInventory(ctx context.Context, c Cache) (*inventory, error) {
	v := &inventory{cache: c, versions: map[module.Version]*held{}, follow: newLinks(c), owner: me()}
	if root, err := lstat(v.follow.root); err == nil && foreign(root) { // said once, not of each file
		v.owner = root.owner
		v.add(Fault{Kind: KindOwner, Path: c.Dir, Mends: []Mend{{Action: ActByHand, Path: c.Dir}}})
	}
	w := walker[of]{visit: v.visit, failed: func(dir string, _ of, err error) {
		v.add(Fault{Kind: KindUnreadable, Path: dir, Detail: err.Error()})
	}}
	start := []step[of]{{c.Dir, of{part: inRoot}}}
	if c.Sumdb != "" {
		start = append(start, step[of]{c.Sumdb, of{part: PartSumdb}})
	}
	return v, w.walk(ctx, start...)
}

// noted is a file that is stored of a checksum database.
type noted struct {
	path string
	entry
}

func (v *inventory) add(f Fault) {
	f.Severity = severityOf(f.Kind)
	if f.Mends == nil {
		f.Mends = []Mend{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = append(v.faults, f)
}

func (v *inventory) of(m module.Version) *held {
	h := v.versions[m]
	if h == nil {
		h = &held{Version: m, files: map[string]entry{}}
		v.versions[m] = h
	}
	return h
}

func (v *inventory) visit(dir string, o of, entries []entry) []step[of] {
	if o.part == PartVCS && o.rel != "" {
		v.inClone(dir, o, entries)
	}
	var next []step[of]
	for _, e := range entries {
		path := filepath.Join(dir, e.name)
		e = v.follow.through(path, o.part, e)
		to, walk := v.look(path, o, e)
		if !walk {
			continue
		}
		v.directory(path, o, e)
		next = append(next, step[of]{path, to})
	}
	return next
}

// directory holds a directory that go writes to, to its permissions.
func (v *inventory) directory(path string, o of, e entry) {
	switch {
	case foreign(e):
		if e.owner != v.owner {
			v.add(Fault{Kind: KindOwner, Path: path, Mends: []Mend{{Action: ActByHand, Path: path}}})
		}
	case stamps && e.mode.Perm()&0o700 != 0o700 && o.part != PartVCS:
		v.add(Fault{Kind: KindPermission, Path: path, Detail: e.mode.Perm().String(), Mends: []Mend{{Action: ActChmod, Path: path, Mode: e.mode.Perm() | 0o700}}})
	}
}

// foreign reports what belongs to somebody else; root may change everything.
func foreign(e entry) bool { return e.owner >= 0 && me() > 0 && e.owner != me() }

// look puts an entry where it belongs, and says whether it is to be walked.
func (v *inventory) look(path string, o of, e entry) (to of, walk bool) {
	walk = e.mode.IsDir()
	if isLeftover(o.part, e.name) {
		v.leftover(path, e)
		return of{}, false
	}
	switch o.part {
	case inRoot:
		if o.rel == "" && e.name == "cache" {
			return of{part: inCache}, walk
		}
		rel := filepath.Join(o.rel, e.name)
		name, version, ok := strings.Cut(rel, "@")
		m, legal := unescaped(name, version)
		if !ok || !legal {
			return of{part: inRoot, rel: rel}, walk
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.of(m).tree = e
		return of{}, false
	case inCache:
		if e.name == "vcs" {
			return of{part: PartVCS}, walk
		}
		return of{part: inDownload}, walk && e.name == "download"
	case PartVCS: // of a clone only what may hold a lock
		rel := filepath.Join(o.rel, e.name)
		return of{part: PartVCS, rel: rel}, walk && (o.rel == "" || e.name == "refs" || strings.Contains(filepath.ToSlash(o.rel), "/refs"))
	case inDownload:
		switch {
		case o.rel == "" && e.name == "sumdb":
			return of{part: PartSumdb}, walk
		case e.name == "@v":
			return of{part: inVersions, rel: o.rel}, walk
		}
		return of{part: inDownload, rel: filepath.Join(o.rel, e.name)}, walk
	case inVersions:
		v.versionFile(path, o.rel, e)
		return of{}, false
	case PartSumdb:
		v.note(path, e)
		return of{part: PartSumdb}, walk
	}
	return of{}, false
}

// leftover reports what was being written and is written no more.
func (v *inventory) leftover(path string, e entry) {
	if time.Since(e.modified) < staleAfter && !strings.HasPrefix(e.name, leftoverPrefix) {
		return
	}
	do := ActRemove
	if e.mode.IsDir() {
		do = ActRemoveDir
	}
	v.add(Fault{Kind: KindLeftover, Path: path, Mends: []Mend{{Action: do, Path: path}}})
}

// note collects the stored answers of a checksum database.
func (v *inventory) note(path string, e entry) {
	switch tile, isTile := tileOf(path); {
	case !e.mode.IsRegular():
	case isTile && e.size != int64(tile.W)*tlog.HashSize:
		v.add(Fault{Kind: KindSumdb, Path: path, Detail: fmt.Sprintf("%d B", e.size), Mends: []Mend{{Action: ActRemove, Path: path}}, Fetch: true})
	case isTile || strings.Contains(filepath.ToSlash(path), "/lookup/") || e.name == "latest":
		v.mu.Lock()
		defer v.mu.Unlock()
		v.notes = append(v.notes, noted{path, e})
	}
}

// tileOf is the tile of a checksum database's tree that a path names.
func tileOf(path string) (tlog.Tile, bool) {
	path = filepath.ToSlash(path)
	at := strings.LastIndex(path, "/tile/")
	if at < 0 {
		return tlog.Tile{}, false
	}
	t, err := tlog.ParseTilePath(path[at+1:])
	return t, err == nil && t.L >= 0 // below are records
}

func (v *inventory) versionFile(path, rel string, e entry) {
	version, ext, ok := splitName(e.name)
	m, legal := unescaped(rel, version)
	switch {
	case !e.mode.IsRegular() && (ok || e.name == "list"):
		do := ActByHand // a link may be somebody's wish
		if e.mode.IsDir() {
			do = ActRemoveDir
		}
		v.add(Fault{Kind: KindIrregular, Module: m.Path, Version: m.Version, Path: path, Detail: e.mode.Type().String(), Mends: []Mend{{Action: do, Path: path}}, Fetch: ok && ext != extLock})
	case foreign(e):
		if e.owner != v.owner {
			v.add(Fault{Kind: KindOwner, Module: m.Path, Version: m.Version, Path: path, Mends: []Mend{{Action: ActByHand, Path: path}}})
		}
	case stamps && (e.mode.Perm()&0o400 == 0 || ext == extLock && e.mode.Perm()&0o600 != 0o600):
		v.add(Fault{
			Kind: KindPermission, Module: m.Path, Version: m.Version, Path: path, Detail: e.mode.Perm().String(),
			Mends: []Mend{{Action: ActChmod, Path: path, Mode: e.mode.Perm() | 0o600}},
		})
	}
	if e.name == "list" && e.mode.IsRegular() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.lists = append(v.lists, path)
		return
	}
	if ok && legal && e.mode.IsRegular() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.of(m).files[ext] = e
	}
}

// list is all versions, the largest archive first: what takes long must not begin last.
func (v *inventory) list() []*held {
	return slices.SortedFunc(maps.Values(v.versions), func(a, b *held) int {
		return cmp.Or(cmp.Compare(b.files[extZip].size, a.files[extZip].size), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version.Version, b.Version.Version))
	})
}

// treeFiles lists what is below a module's directory, by its slashed name; directories
// end in a slash. dirs are those that cannot be read by their owner.
func treeFiles(root string, buf []entry) (files map[string]entry, spare []entry, err error) {
	files = make(map[string]entry, 64)
	queue := []string{""}
	for len(queue) > 0 {
		rel := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if buf, err = readDir(filepath.Join(root, filepath.FromSlash(rel)), buf[:0]); err != nil {
			return files, buf, err
		}
		for _, e := range buf {
			name := rel + e.name
			if e.mode.IsDir() {
				queue = append(queue, name+"/")
				name += "/"
			}
			files[name] = e
		}
	}
	return files, buf, nil
}

// lacksRead reports permissions below which nobody can work with an unpacked module.
func lacksRead(mode fs.FileMode) bool { return stamps && !readable(mode) }
