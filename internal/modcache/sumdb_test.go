package modcache_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell/internal/modcache"
)

// goOps keeps what a checksum database says where go does.
type goOps struct {
	t    *testing.T
	c    modcache.Cache
	url  string
	name string
	key  string
}

func (o *goOps) ReadRemote(path string) ([]byte, error) {
	r, err := http.Get(o.url + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, errors.New(r.Status)
	}
	return io.ReadAll(r.Body)
}

func (o *goOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.key), nil
	}
	data, err := os.ReadFile(filepath.Join(o.c.Sumdb, file))
	if errors.Is(err, fs.ErrNotExist) {
		return []byte{}, nil
	}
	return data, err
}

func (o *goOps) WriteConfig(file string, _, data []byte) error {
	put(o.t, o.c.Sumdb, file, string(data))
	return nil
}

func (o *goOps) ReadCache(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(o.c.Dir, "cache/download/sumdb", file))
}

func (o *goOps) WriteCache(file string, data []byte) {
	put(o.t, o.c.Dir, "cache/download/sumdb/"+file, string(data))
}
func (o *goOps) Log(string)               {}
func (o *goOps) SecurityError(say string) { o.t.Log(say) }

// asked is a cache with the answers of a database of 1,500 modules to a few questions that
// were put while it grew.
func asked(t *testing.T) (modcache.Check, func() error) {
	t.Helper()
	signer, key, err := note.GenerateKey(zeros{}, "sumdb.example.org")
	if err != nil {
		t.Fatal(err)
	}
	db := sumdb.NewTestServer(signer, func(path, vers string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s h1:%044d=\n%s %s/go.mod h1:%044d=\n", path, vers, 1, path, vers, 2), nil
	})
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle(path, sumdb.NewServer(db))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c := modcache.Cache{Dir: t.TempDir(), Sumdb: t.TempDir()}
	ops := &goOps{t, c, server.URL, "sumdb.example.org", key}
	grow := &goOps{t, modcache.Cache{Dir: t.TempDir(), Sumdb: t.TempDir()}, server.URL, ops.name, key}
	growing := sumdb.NewClient(grow)
	questions := []int{3, 5, 300, 301, 700, 1499}
	for i := range 1500 {
		m := fmt.Sprintf("example.com/Team/m%d", i)
		if _, err := growing.Lookup(m, "v1.0.0"); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(questions, i) { // each by a go command of its own
			if _, err := sumdb.NewClient(ops).Lookup(m, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := func() error { // what go would say of what is stored
		client := sumdb.NewClient(ops)
		var all error
		for _, i := range questions {
			_, err := client.Lookup(fmt.Sprintf("example.com/Team/m%d", i), "v1.0.0")
			all = errors.Join(all, err)
		}
		return all
	}
	return modcache.Check{Cache: c, Database: key + " " + server.URL}, again
}

// zeros is a reader of nothing but zeros: the same key each time.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestStoredAnswersRot: whichever file of a checksum database's answers has rotted, that
// file is named, and no other, but the tiles beside it at the edge of a tree of which the
// signature alone tells; without it, go gets its answers again.
func TestStoredAnswersRot(t *testing.T) {
	t.Parallel()
	check, again := asked(t)
	if err := again(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, check); len(r.Faults) > 0 {
		t.Fatalf("faults of a sound store: %+v", r.Faults)
	}
	var files []string
	for _, dir := range []string{check.Cache.Dir, check.Cache.Sumdb} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != "key" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tiles := 0
	for _, file := range files {
		sound, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file, "tile") {
			tiles++
		}
		for _, at := range []int{0, len(sound) / 3, len(sound)/2 + 1, len(sound) - 2} {
			rotten := slices.Clone(sound)
			rotten[at] ^= 4
			if err := os.WriteFile(file, rotten, 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range verify(t, check).Faults {
				got = append(got, f.Path)
			}
			edge := func(path string) bool { return path != file && strings.Contains(path, ".p"+string(filepath.Separator)) }
			if others := slices.DeleteFunc(slices.Clone(got), edge); !slices.Equal(others, []string{file}) || len(got) > 1 && !edge(file+"x") {
				t.Errorf("byte %d of %s has rotted: %q at fault", at, file, got)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := again(); err != nil {
				t.Errorf("without %s: %v", file, err)
			}
			if err := os.WriteFile(file, sound, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if tiles < 6 || len(files) < tiles+7 {
		t.Fatalf("only %d files, %d tiles", len(files), tiles)
	}
}
