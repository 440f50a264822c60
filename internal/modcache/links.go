package modcache

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
)

// links follows the symbolic links of directories that lead out of a cache, as go does:
// somebody moved a part of it to a larger disk.
type links struct {
	root string
	mu   sync.Mutex
	seen map[string]bool
}

func newLinks(c Cache) *links {
	root, err := filepath.EvalSymlinks(c.Dir)
	if err != nil {
		root = c.Dir
	}
	return &links{root: root, seen: map[string]bool{}}
}

// through is e itself or, of a link among the directories that lead to modules, the
// directory that it names, the first time that this is met. A link to a module's own
// directory stays a link: go unpacks none.
func (l *links) through(path string, part Part, e entry) entry {
	if e.mode&(fs.ModeSymlink|fs.ModeIrregular) == 0 || e.name != "@v" && strings.Contains(e.name, "@") {
		return e
	}
	switch part {
	case inRoot, inCache, inDownload:
	default:
		return e
	}
	to, err := filepath.EvalSymlinks(path)
	if err != nil || within(to, l.root) || within(l.root, to) { // what is in the cache is met there
		return e
	}
	found, err := lstat(to)
	if err != nil || !found.mode.IsDir() {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[to] {
		return e
	}
	l.seen[to] = true
	found.name = e.name
	return found
}

// within reports whether a path is dir or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
