// Package modbundle is what a build needs, in one file: a zip archive in the layout that
// GOPROXY=file:// reads, modules and the checksum database's proofs together, and a
// manifest with the sum of each file. It writes such archives (write.go), gathers the
// proofs (prove.go), reads them (open.go), takes several as one (set.go), serves them
// (serve.go), unpacks them (unpack.go) and proves their modules (verify.go). It never
// fetches: the bytes come from its caller, who checked them, and whoever builds checks
// them again. It brings no key of a database: that is the reader's own.
//
// A new kind of file goes into check, which both writing and opening hold to.
package modbundle

import (
	"errors"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// Bounds of what an archive may hold; those of modules are go's own.
const (
	mostFiles    = 1 << 20
	largestZip   = 500 << 20
	largestTools = 1 << 30 // a toolchain has more than a module may
	largestFile  = 16 << 20
	largestSum   = 1 << 20
)

var errName = errors.New("not a file of the module proxy protocol")

// check tells whether name may stand in an archive, and how large that file may be.
func check(name string) (most uint64, err error) {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." || strings.ContainsAny(element, "\\:?#\x00") {
			return 0, errName
		}
	}
	if name == ManifestName {
		return largestManifest, nil
	}
	if rest, ok := strings.CutPrefix(name, "sumdb/"); ok {
		return largestSum, checkSum(rest)
	}
	escaped, file, ok := strings.Cut(name, "/@v/")
	if !ok || strings.Contains(file, "/") {
		return 0, errName
	}
	path, err := module.UnescapePath(escaped)
	if err != nil {
		return 0, err
	}
	if file == "list" {
		return largestFile, nil
	}
	dot := strings.LastIndexByte(file, '.')
	if dot < 1 {
		return 0, errName
	}
	version, err := module.UnescapeVersion(file[:dot])
	if err == nil {
		err = module.Check(path, version)
	}
	most = largestFile
	switch file[dot+1:] {
	case "info", "mod":
	case "zip":
		if most = largestZip; path == "golang.org/toolchain" {
			most = largestTools
		}
	default:
		return 0, errName
	}
	return most, err
}

// checkSum takes NAME/supported, NAME/latest, NAME/lookup/… and NAME/tile/…
func checkSum(rest string) error {
	name, file, ok := strings.Cut(rest, "/")
	switch {
	case !ok || name == "":
		return errName
	case file == "supported", file == "latest":
		return nil
	case strings.HasPrefix(file, "tile/"):
		_, err := tlog.ParseTilePath(file)
		return err
	}
	escaped, version, ok := strings.Cut(strings.TrimPrefix(file, "lookup/"), "@")
	if !ok || !strings.HasPrefix(file, "lookup/") {
		return errName
	}
	if _, err := module.UnescapePath(escaped); err != nil {
		return err
	}
	_, err := module.UnescapeVersion(version)
	return err
}

// Version reads the module version that a file of the protocol belongs to; ok is false
// for lists and the database's files.
func Version(name string) (v module.Version, ok bool) {
	escaped, file, found := strings.Cut(name, "/@v/")
	dot := strings.LastIndexByte(file, '.')
	if !found || dot < 1 || strings.HasPrefix(name, "sumdb/") {
		return v, false
	}
	path, err := module.UnescapePath(escaped)
	if err != nil {
		return v, false
	}
	version, err := module.UnescapeVersion(file[:dot])
	v = module.Version{Path: path, Version: version}
	return v, err == nil && module.Check(path, version) == nil
}

// Key is where the protocol has a file of v; ext is info, mod or zip.
func Key(v module.Version, ext string) (string, error) {
	at, err := escaped(v, "/@v/")
	return at + "." + ext, err
}

// Lookup is where a database's record of v lies.
func Lookup(database string, v module.Version) (string, error) {
	at, err := escaped(v, "@")
	return "sumdb/" + database + "/lookup/" + at, err
}

func escaped(v module.Version, between string) (string, error) {
	path, err := module.EscapePath(v.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(v.Version)
	return path + between + version, err
}
