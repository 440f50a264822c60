package modproxy

import (
	"errors"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// kind is a kind of file in the protocol.
type kind string

const (
	info      kind = "info"
	goMod     kind = "mod"
	zipped    kind = "zip"
	list      kind = "list"
	latest    kind = "latest"
	sumLookup kind = "lookup"
	sumTile   kind = "tile"
	sumLatest kind = "sumdb"
	supported kind = "supported"
)

// ask is one file that a client wants.
type ask struct {
	kind kind
	// module and version are as go writes them; version may be a branch for info.
	module, version string
	// key is the path below the proxy, escaped, without a leading slash. For the
	// database's files it begins with sumdb/.
	key string
	// database is the name of the database, rest the path on it.
	database, rest string
}

// fixed says that the file never changes.
func (a ask) fixed() bool {
	switch a.kind {
	case goMod, zipped:
		return true
	case info:
		return canonical(a.version)
	}
	return false
}

// sumKey is the name of the file in go.sum; "" for what has no sum there.
func (a ask) sumKey() string {
	switch a.kind {
	case goMod:
		return a.module + " " + a.version + "/go.mod"
	case zipped:
		return a.module + " " + a.version
	}
	return ""
}

func canonical(v string) bool { return v != "" && module.CanonicalVersion(v) == v }

var errPath = errors.New("not a path of the module proxy protocol")

// parse reads the path of a request, decoded once, with or without a leading slash.
func parse(path string) (ask, error) {
	path = strings.TrimPrefix(path, "/")
	if rest, ok := strings.CutPrefix(path, "sumdb/"); ok {
		return parseSum(path, rest)
	}
	a := ask{key: path}
	escaped, rest, ok := strings.Cut(path, "/@")
	if !ok {
		return a, errPath
	}
	var err error
	if a.module, err = module.UnescapePath(escaped); err != nil {
		return a, err
	}
	if rest == "latest" {
		a.kind = latest
		return a, nil
	}
	name, ok := strings.CutPrefix(rest, "v/")
	if !ok || strings.Contains(name, "/") {
		return a, errPath
	}
	if name == "list" {
		a.kind = list
		return a, nil
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 {
		return a, errPath
	}
	switch a.kind = kind(name[dot+1:]); a.kind {
	case info, goMod, zipped:
	default:
		return a, errPath
	}
	if a.version, err = module.UnescapeVersion(name[:dot]); err != nil {
		return a, err
	}
	return a, a.check()
}

// check refuses versions that no module can have: asking anyone would tell them the
// name for nothing.
func (a ask) check() error {
	if !semver.IsValid(a.version) && a.kind == info { // a branch or a commit
		return nil
	}
	if !canonical(a.version) {
		if a.kind == info {
			return nil // v1, v1.2: a query
		}
		return errors.New("the version is not canonical")
	}
	return module.Check(a.module, a.version)
}

// parseSum reads a path of the checksum database: sumdb/NAME/…, where NAME may hold
// slashes.
func parseSum(path, rest string) (ask, error) {
	a := ask{key: path}
	for _, p := range []struct {
		mark string
		kind kind
	}{{"/supported", supported}, {"/latest", sumLatest}, {"/lookup/", sumLookup}, {"/tile/", sumTile}} {
		i := strings.Index(rest, p.mark)
		if i <= 0 || !strings.HasSuffix(p.mark, "/") && i+len(p.mark) != len(rest) {
			continue
		}
		a.kind, a.database, a.rest = p.kind, rest[:i], rest[i:]
		for element := range strings.SplitSeq(rest, "/") {
			if element == "" || element == "." || element == ".." || strings.ContainsAny(element, "\\%?#\x00") {
				return a, errPath
			}
		}
		if p.kind != sumLookup {
			return a, nil
		}
		escaped, version, ok := strings.Cut(rest[i+len(p.mark):], "@")
		if !ok {
			return a, errPath
		}
		var err error
		if a.module, err = module.UnescapePath(escaped); err == nil {
			a.version, err = module.UnescapeVersion(version)
		}
		if err == nil && !canonical(a.version) {
			err = errPath
		}
		return a, err
	}
	return a, errPath
}
