package modcache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
)

// sumKey is the public key of the database that go asks by default.
const sumKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

// database answers from what go stored of a checksum database, and proves each answer
// by its signed tree; it asks nobody.
type database struct {
	client *sumdb.Client
	// lookups is where the stored answers lie.
	lookups string
}

// openDatabase reads GOSUMDB; nil where there is none, or whose key is not known.
func openDatabase(c Cache, setting string) *database {
	f := strings.Fields(setting)
	if len(f) == 0 || f[0] == "off" || c.Sumdb == "" {
		return nil
	}
	key := f[0]
	switch key {
	case "sum.golang.org", "sum.golang.google.cn":
		key = sumKey
	}
	name, _, ok := strings.Cut(key, "+")
	if !ok {
		return nil
	}
	root := filepath.Join(c.download(), "sumdb")
	return &database{sumdb.NewClient(&storedOps{key: key, configs: c.Sumdb, root: root}), filepath.Join(root, name, "lookup")}
}

// sum is what the database said of a version; suffix is "" or "/go.mod". It is "" where
// nothing is stored that can be proved.
func (d *database) sum(m module.Version, suffix string) string {
	if d == nil {
		return ""
	}
	path, err1 := module.EscapePath(m.Path)
	version, err2 := module.EscapeVersion(m.Version)
	if err1 != nil || err2 != nil {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(d.lookups, filepath.FromSlash(path)+"@"+version)); err != nil {
		return ""
	}
	lines, err := d.client.Lookup(m.Path, m.Version+suffix)
	if err != nil {
		return ""
	}
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && f[0] == m.Path && f[1] == m.Version+suffix {
			return f[2]
		}
	}
	return ""
}

// storedOps are the files of one database.
type storedOps struct{ key, configs, root string }

var errStoredOnly = errors.New("only what is stored counts")

func (o *storedOps) ReadRemote(string) ([]byte, error) { return nil, errStoredOnly }

func (o *storedOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.key), nil
	}
	data, err := os.ReadFile(filepath.Join(o.configs, filepath.FromSlash(file)))
	if errors.Is(err, os.ErrNotExist) {
		return []byte{}, nil
	}
	return data, err
}

// WriteConfig keeps nothing: what go has seen is go's.
func (o *storedOps) WriteConfig(string, []byte, []byte) error { return nil }

func (o *storedOps) ReadCache(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(o.root, filepath.FromSlash(file)))
}
func (o *storedOps) WriteCache(string, []byte) {}
func (o *storedOps) Log(string)                {}
func (o *storedOps) SecurityError(string)      {}
