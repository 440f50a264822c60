// Package modcache knows go's module cache from the outside: how much of it there is
// (Stat), what in it is not what it should be (Verify), what mends exactly that
// (Mends), and what may go (PlanClean, Clean). It follows cmd/go's rules (modfetch):
// the layout of cache/download, the lock of each version, the .partial beside a
// directory that is being unpacked, directories that nobody may write.
//
// It never fetches, never words anything for people, and never believes what it
// recorded of a file that has changed since. A new kind of damage is a Kind in
// verify.go with its look there, its mend in mend.go, and its words "cache.fault.KIND"
// in internal/msg/cache.go.
package modcache

import (
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Cache names the directories of go's module cache.
type Cache struct {
	// Dir is GOMODCACHE.
	Dir string
	// Sumdb is where go notes how far it has seen a checksum database: GOPATH/pkg/sumdb.
	Sumdb string
	// Index and GoVersion find the entries of the build cache that say what an unpacked
	// module holds: GOCACHE and GOVERSION. Either may be empty.
	Index, GoVersion string
}

// toolchain is the module whose versions are go commands.
const toolchain = "golang.org/toolchain"

func (c Cache) download() string { return filepath.Join(c.Dir, "cache", "download") }
func (c Cache) vcs() string      { return filepath.Join(c.Dir, "cache", "vcs") }

// file is where go keeps a file of a version; "" where the name is no legal one.
func (c Cache) file(m module.Version, ext string) string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return ""
	}
	return filepath.Join(c.download(), filepath.FromSlash(path), "@v", version+ext)
}

// tree is where go unpacks a version; "" where the name is no legal one.
func (c Cache) tree(m module.Version) string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return ""
	}
	return filepath.Join(c.Dir, filepath.FromSlash(path)+"@"+version)
}

// unescaped is the module whose escaped names these are; ok is false where they are
// none.
func unescaped(path, version string) (m module.Version, ok bool) {
	path, err := module.UnescapePath(filepath.ToSlash(path))
	if err != nil {
		return m, false
	}
	version, err = module.UnescapeVersion(version)
	if err != nil || version == "" {
		return m, false
	}
	return module.Version{Path: path, Version: version}, true
}

// extensions of the files of a version, longest first where one ends like another.
const (
	extInfo    = ".info"
	extMod     = ".mod"
	extZip     = ".zip"
	extHash    = ".ziphash"
	extLock    = ".lock"
	extPartial = ".partial"
)

// splitName tells the version and the extension of a file in an @v directory.
func splitName(name string) (version, ext string, ok bool) {
	for _, ext := range []string{extInfo, extMod, extHash, extZip, extLock, extPartial} {
		if v, found := strings.CutSuffix(name, ext); found && v != "" {
			return v, ext, true
		}
	}
	return "", "", false
}

// temporary ends the names of what go writes before it renames it: v1.0.0.zip123.tmp,
// v1.0.0.zip.tmp123 until go 1.15, and directories such as widget@v1.0.0.tmp-123 until
// then.
var temporary = regexp.MustCompile(`\.tmp$|\.tmp-?[0-9]+$`)

// isLeftover tells the files and directories that a killed go or keepwell leaves: what
// was being written under a name that nobody reads. An element of a module's path, and a
// version, may look like one.
func isLeftover(part Part, name string) bool {
	if strings.HasPrefix(name, leftoverPrefix) { // no element begins with a dot
		return part == inRoot || part == inDownload || part == inVersions
	}
	switch part {
	case inVersions: // the files of a version end in none of these
		return temporary.MatchString(name)
	case inRoot:
		_, version, tree := strings.Cut(name, "@")
		return tree && temporary.MatchString(name) && !semver.IsValid(version)
	}
	return false
}
