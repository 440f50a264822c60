package modcache

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
)

// orphanTime is how long ago a lock of git must have been taken to be nobody's: go holds
// its own lock while its git is at work, but a killed go may leave a git that runs on.
const orphanTime = time.Minute

// inClone judges the directories of git's clones in which a killed git leaves locks: the
// clone itself and its refs. o.rel is the clone's name, then what is below it.
func (v *inventory) inClone(dir string, o of, entries []entry) {
	name, below, _ := strings.Cut(filepath.ToSlash(o.rel), "/")
	clone := filepath.Join(v.cache.vcs(), name)
	tool, remote := remoteOf(clone + extInfo)
	remote = mask.Text(remote)
	if tool != "git" {
		return
	}
	has := map[string]entry{}
	for _, e := range entries {
		has[e.name] = e
		if !strings.HasSuffix(e.name, extLock) || !e.mode.IsRegular() || time.Since(e.modified) < orphanTime || heldByOther(clone+extLock) {
			continue
		}
		path := filepath.Join(dir, e.name)
		v.add(Fault{Kind: KindCloneLock, Path: path, Detail: remote, Mends: []Mend{{Action: ActRemove, Path: path}}})
	}
	config := has["config"]
	if below != "" || !has["objects"].mode.IsDir() || !config.mode.IsRegular() || config.size > 1<<20 || lacksRead(config.mode) {
		return
	}
	// go names the repository right after it has made the clone, and never again.
	data, err := slurp(filepath.Join(dir, "config"), config.size, nil)
	if err == nil && !strings.Contains(string(data), `[remote "origin"]`) && time.Since(config.modified) >= orphanTime && !heldByOther(clone+extLock) {
		v.add(Fault{Kind: KindClone, Path: clone, Detail: remote, Mends: []Mend{{Action: ActRemoveDir, Path: clone}}})
	}
}

// cloneLock is the lock that go holds while it works in a clone; "" of a path that is in
// none.
func (c Cache) cloneLock(path string) string {
	rel, err := filepath.Rel(c.vcs(), path)
	if err != nil || !filepath.IsLocal(rel) || rel == "." {
		return ""
	}
	name, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	return filepath.Join(c.vcs(), name+extLock)
}
