//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// victim is a version of which archive, hash, go.mod, .info and directory are there.
type victim struct {
	module.Version
	// base is the path of its files without the extension, tree its directory.
	base, tree string
}

// victims are the versions of a cache that can be damaged in any way, by name.
func victims(cache string) ([]victim, error) {
	var out []victim
	root := filepath.Join(cache, "cache", "download")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".zip") {
			return err
		}
		rel, err := filepath.Rel(root, strings.TrimSuffix(path, ".zip"))
		if err != nil {
			return err
		}
		escaped, version, _ := strings.Cut(filepath.ToSlash(rel), "/@v/")
		v := victim{base: strings.TrimSuffix(path, ".zip"), tree: filepath.Join(cache, escaped+"@"+version)}
		if v.Path, err = module.UnescapePath(escaped); err != nil {
			return err
		}
		if v.Version.Version, err = module.UnescapeVersion(version); err != nil {
			return err
		}
		for _, name := range []string{v.base + ".mod", v.base + ".info", v.base + ".ziphash", filepath.Join(v.tree, "go.mod")} {
			if _, err := os.Stat(name); err != nil {
				return nil //nolint:nilerr // another one, then
			}
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

// damage is one way to harm a version; other is one that stays sound.
type damage struct {
	name  string
	plant func(v, other victim) error
}

// damages are the thirty.
//
//nolint:funlen // a table
func damages() []damage {
	file := func(ext string, change func([]byte) []byte) func(v, other victim) error {
		return func(v, _ victim) error { return rewrite(v.base+ext, change) }
	}
	tree := func(name string, change func([]byte) []byte) func(v, other victim) error {
		return func(v, _ victim) error { return rewrite(filepath.Join(v.tree, name), change) }
	}
	swap := func(ext string) func(v, other victim) error {
		return func(v, other victim) error {
			data, err := os.ReadFile(other.base + ext)
			if err != nil {
				return err
			}
			return rewrite(v.base+ext, func([]byte) []byte { return data })
		}
	}
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	cut := func(data []byte) []byte { return data[:len(data)/2] }
	empty := func([]byte) []byte { return nil }
	page := func([]byte) []byte { return []byte("<!DOCTYPE html>\n<html><body>Please log in</body></html>\n") }
	zipped := []damage{
		{"zip: bit flip in a file", file(".zip", flipPacked)},
		{"zip: bit flip in the directory", file(".zip", func(b []byte) []byte { b[bytes.LastIndex(b, []byte("PK\x01\x02"))+46] ^= 1; return b })},
		{"zip: cut short", file(".zip", cut)},
		{"zip: empty", file(".zip", empty)},
		{"zip: a web page", file(".zip", page)},
		{"zip: another module's", swap(".zip")},
		{"zip: whole, with one file changed", func(v, _ victim) error { return rezip(v) }},
		{"zip and tree: both changed alike", func(v, _ victim) error {
			if err := rezip(v); err != nil {
				return err
			}
			return tree("go.mod", addLine)(v, v)
		}},
		{"zip missing, tree: bit flip", func(v, _ victim) error {
			if err := os.Remove(v.base + ".zip"); err != nil {
				return err
			}
			return tree("go.mod", flip)(v, v)
		}},
	}
	return append(zipped, []damage{
		{"tree: bit flip", tree("go.mod", flip)},
		{"tree: file cut short", tree("go.mod", cut)},
		{"tree: file empty", tree("go.mod", empty)},
		{"tree: file missing", func(v, _ victim) error { return os.Remove(filepath.Join(v.tree, "go.mod")) }},
		{"tree: file too many", func(v, _ victim) error {
			return os.WriteFile(filepath.Join(v.tree, "zz_extra.go"), []byte("package x\n"), 0o600)
		}},
		{"tree: a link in place of a file", func(v, other victim) error {
			name := filepath.Join(v.tree, "go.mod")
			if err := os.Remove(name); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(other.tree, "go.mod"), name)
		}},
		{"tree: unpacking broken off", func(v, _ victim) error {
			if err := os.Remove(filepath.Join(v.tree, "go.mod")); err != nil {
				return err
			}
			return os.WriteFile(v.base+".partial", nil, 0o600)
		}},
		{"tree: nobody may read a file", func(v, _ victim) error { return os.Chmod(filepath.Join(v.tree, "go.mod"), 0o200) }},
		{"zip: nobody may read it", func(v, _ victim) error { return os.Chmod(v.base+".zip", 0o200) }},
		{"mod: bit flip", file(".mod", flip)},
		{"mod: a web page", file(".mod", page)},
		{"mod: empty", file(".mod", empty)},
		{"mod: without a module line", file(".mod", func([]byte) []byte { return []byte("go 1.21\n") })},
		{"mod: another module's", swap(".mod")},
		{"mod: missing", func(v, _ victim) error { return os.Remove(v.base + ".mod") }},
		{"info: bit flip in the version", file(".info", func(b []byte) []byte { b[bytes.Index(b, []byte(`"v`))+2] ^= 1; return b })},
		{"info: a web page", file(".info", page)},
		{"ziphash: bit flip", file(".ziphash", flip)},
		{"ziphash: missing", func(v, _ victim) error { return os.Remove(v.base + ".ziphash") }},
		{"ziphash: another module's", swap(".ziphash")},
		{"lock: left behind for a version that is not there", func(v, _ victim) error {
			name := filepath.Join(filepath.Dir(v.base), "v0.0.1-damaged.lock")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				return err
			}
			old := time.Now().Add(-48 * time.Hour)
			return os.Chtimes(name, old, old)
		}},
	}...)
}

func addLine(data []byte) []byte { return append(data, "\n// changed\n"...) }

// flipPacked flips a bit in the packed bytes of the first file that has any.
func flipPacked(data []byte) []byte {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil
	}
	for _, f := range z.File {
		if off, err := f.DataOffset(); err == nil && f.CompressedSize64 > 20 {
			data[off+int64(f.CompressedSize64)/2] ^= 1
			break
		}
	}
	return data
}

// rezip makes a sound archive with another go.mod in it.
func rezip(v victim) error {
	return rewrite(v.base+".zip", func(data []byte) []byte {
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil
		}
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				return nil
			}
			body, err := io.ReadAll(r)
			_ = r.Close()
			if err != nil {
				return nil
			}
			if strings.HasSuffix(f.Name, "@"+v.Version.Version+"/go.mod") {
				body = addLine(body)
			}
			to, err := w.Create(f.Name)
			if err != nil {
				return nil
			}
			if _, err := to.Write(body); err != nil {
				return nil
			}
		}
		_ = w.Close()
		return out.Bytes()
	})
}

// rewrite changes a file of the cache, whatever its permissions, and leaves them.
func rewrite(name string, change func([]byte) []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(name, change(slices.Clone(data)), 0o600); err != nil {
		return err
	}
	return os.Chmod(name, info.Mode().Perm())
}

// snapshot is what a cache holds, by path: the bytes of files and where links lead, and
// permissions. Locks and the list of versions are go's own business.
func snapshot(cache string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(cache, path)
		if d.IsDir() && (rel == filepath.Join("cache", "download", "sumdb") || rel == filepath.Join("cache", "vcs")) {
			return fs.SkipDir
		}
		if d.IsDir() || strings.HasSuffix(path, ".lock") && !strings.Contains(path, "damaged") || d.Name() == "list" || d.Name() == "lock" {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Type() == fs.ModeSymlink {
			out[rel] = "link"
			return nil
		}
		data, err := os.ReadFile(path)
		out[rel] = fmt.Sprintf("%v %q", info.Mode().Perm()&0o400, data)
		return err
	})
	return out, err
}

// differs lists the paths in which two snapshots differ.
func differs(a, b map[string]string) (out []string) {
	for p, v := range a {
		if b[p] != v {
			out = append(out, p)
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
