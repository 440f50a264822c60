package modcache_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/modcache"
)

func put(t *testing.T, dir, name, data string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, check modcache.Check) *modcache.Report {
	t.Helper()
	r, err := modcache.Verify(t.Context(), check)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStatCountsAllOnce: every file of the cache is in exactly one part.
func TestStatCountsAllOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"cache/lock": "",
		"cache/download/example.com/!widget/@v/list":                          "v1.0.0\n",
		"cache/download/example.com/!widget/@v/v1.0.0.zip":                    "zipzip",
		"cache/download/example.com/!widget/@v/v1.0.0.mod":                    "mod",
		"cache/download/example.com/!widget/@v/v1.0.0.ziphash":                "h",
		"cache/download/example.com/!widget/@v/v1.1.0.mod":                    "mod",
		"cache/download/example.com/!widget/@v/v1.1.0.zip123.tmp":             "half",
		"cache/download/example.com/!widget/sub/@v/v1.0.0.info":               "{}",
		"cache/download/sumdb/sum.example.org/lookup/x@v1":                    "12",
		"cache/download/golang.org/toolchain/@v/v0.0.1-go1.2.linux-amd64.zip": "go",
		"golang.org/toolchain@v0.0.1-go1.2.linux-amd64/bin/go":                "go",
		"example.com/!widget@v1.0.0/a.go":                                     "package a",
		"example.com/!widget@v1.0.0/sub/b.go":                                 "package b",
		"example.com/!widget/sub@v1.0.0/c.go":                                 "package c",
		"cache/vcs/0123/HEAD":                                                 "ref",
		"cache/vcs/0123.info":                                                 "git3:https://example.com/widget",
		"cache/vcs/0123.lock":                                                 "",
		"stray.txt":                                                           "?",
	} {
		put(t, dir, name, data)
	}
	s, err := modcache.Stat(t.Context(), modcache.Cache{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var want modcache.Amount
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if want.Inodes++; !d.IsDir() {
			want.Files++
			want.Bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Total.Disk = 0
	if diff := cmp.Diff(want, s.Total); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
	files := map[modcache.Part]int64{}
	for p, a := range s.Parts {
		if a.Files > 0 {
			files[p] = a.Files
		}
	}
	if diff := cmp.Diff(map[modcache.Part]int64{
		modcache.PartTrees: 4, modcache.PartZips: 1, modcache.PartMods: 5, modcache.PartToolchains: 2, modcache.PartVCS: 3,
		modcache.PartSumdb: 1, modcache.PartLeftovers: 1, modcache.PartOther: 1,
	}, files); diff != "" {
		t.Errorf("files of parts (-want +got):\n%s", diff)
	}
	modules, versions, _ := s.Duplicates()
	if got := []int{s.Modules(), len(s.Units), modules, versions, len(s.Clones)}; !cmp.Equal(got, []int{3, 4, 1, 1, 1}) {
		t.Errorf("modules, versions, duplicates, clones: %v", got)
	}
	if len(s.Clones) == 1 && s.Clones[0].Remote != "https://example.com/widget" {
		t.Errorf("the clone is of %q", s.Clones[0].Remote)
	}
	if n, _ := s.Spare(); n != 1 {
		t.Errorf("%d archives are spare", n)
	}
}

// TestStatOfNothing: a cache that is not there is empty.
func TestStatOfNothing(t *testing.T) {
	t.Parallel()
	s, err := modcache.Stat(t.Context(), modcache.Cache{Dir: filepath.Join(t.TempDir(), "none")})
	if err != nil || s.Total != (modcache.Amount{}) || len(s.Unread) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
