package modcache

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// TestNamesAsGo holds the rules for names in archives to those by which go unpacks.
func TestNamesAsGo(t *testing.T) {
	t.Parallel()
	const prefix = "example.com/widget@v1.0.0/"
	for _, names := range []string{
		"", "go.mod|a.go|sub/b.go", "sub/|sub/b.go|sub/c/d.go", "a.go|a.go", "sub/|sub/", "a.go|A.go", "sub/a.go|Sub/b.go", "sub|sub/a.go", "sub/a.go|sub",
		"Sub/", "straße.go|STRASSE.go", "k.go|K.go", "ſ.go|s.go", "É.go|é.go", "../a.go", "/a.go", "a//b.go", "a/./b.go", "a/../b.go", "./a.go", ".", "..",
		"sub/go.mod", "GO.MOD", "sub/Go.mod", "go.mod/", "go.mod/a", "con", "aux.txt", "a:b", "a*b", "a\\b", "a b", "tail.", "tail ", "vendor/modules.txt", "LICENSE", "a\x00b",
		"\xff", "!important", "@v", "//", "a/", "a/b/|a|c", "a~1.go",
	} {
		var data bytes.Buffer
		w := zip.NewWriter(&data)
		for name := range strings.SplitSeq(names, "|") {
			if _, err := w.Create(prefix + name); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		holdToGo(t, names, data.Bytes())
	}
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	if _, err := w.Create("example.com/other@v1.0.0/a.go"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	holdToGo(t, "another module's", data.Bytes())
	for _, size := range []uint64{modzip.MaxGoMod, modzip.MaxGoMod + 1, modzip.MaxZipFile, modzip.MaxZipFile + 1, 1 << 63} {
		for _, name := range []string{"go.mod", "LICENSE", "a.go"} {
			data.Reset()
			w := zip.NewWriter(&data)
			if _, err := w.CreateRaw(&zip.FileHeader{Name: prefix + name, UncompressedSize64: size}); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			holdToGo(t, name, data.Bytes())
		}
	}
}

func holdToGo(t *testing.T, what string, data []byte) {
	t.Helper()
	m := module.Version{Path: "example.com/widget", Version: "v1.0.0"}
	name := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, want := modzip.CheckZip(m, name)
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		err = checkNames(m, z)
	}
	if (err == nil) != (want == nil) {
		t.Errorf("%q: %v; go says %v", what, err, want)
	}
}

// TestLookingIsNoUse: what stat and verify read does not count as used; so clean goes by
// what builds used.
func TestLookingIsNoUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if !notesUse(dir) {
		t.Skip("the file system notes no use")
	}
	base := filepath.Join(dir, "cache", "download", "example.com", "widget", "@v", "v1.0.0")
	tree := filepath.Join(dir, "example.com", "widget@v1.0.0")
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	f, err := w.Create("example.com/widget@v1.0.0/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	const mod = "module example.com/widget\n"
	if _, err := f.Write([]byte(mod)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-60 * 24 * time.Hour)
	vcs := filepath.Join(dir, "cache", "vcs", "0123")
	for name, content := range map[string]string{
		base + ".zip": data.String(), base + ".mod": mod, base + ".info": `{"Version":"v1.0.0"}`, base + ".ziphash": "h1:no", filepath.Join(tree, "go.mod"): mod,
		vcs + ".info": "git3:https://example.org/widget", filepath.Join(vcs, "HEAD"): "ref",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	c := Cache{Dir: dir}
	r, err := Verify(context.Background(), Check{Cache: c, Full: true})
	if err != nil || r.Archives != 1 || r.Trees != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	for range 2 {
		s, err := Stat(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if used := s.LastUse; used.After(long.Add(time.Hour)) {
			t.Errorf("last used %v, not %v", used, long)
		}
	}
}

// TestStoredTiles: what is stored in place of a tile of a checksum database is found by
// its size.
func TestStoredTiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "cache", "download", "sumdb", "sum.example.org", "tile", "8")
	for name, size := range map[string]int{"0/x001/234": 8192, "1/001": 8191, "1/002.p/7": 224, "1/003.p/7": 20, "0/005": 0} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(context.Background(), Check{Cache: Cache{Dir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Faults {
		rel, err := filepath.Rel(root, f.Path)
		if err != nil || f.Kind != KindSumdb || len(f.Mends) != 1 {
			t.Fatalf("%+v", f)
		}
		got = append(got, filepath.ToSlash(rel))
	}
	if diff := cmp.Diff([]string{"0/005", "1/001", "1/003.p/7"}, got); diff != "" {
		t.Error(diff)
	}
}
