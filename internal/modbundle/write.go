package modbundle

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Content is what an archive is made of.
type Content struct {
	// Keys are fetched files, Made those that are at hand.
	Keys []string
	Made map[string][]byte
	// Modules and Since go into the manifest.
	Modules []Module
	Since   []string
	// Open gives the bytes of a key.
	Open func(ctx context.Context, key string) (io.ReadCloser, error)
	// Wrote is told of each file; nil: nobody is.
	Wrote func(File)
}

// Written is what became of it.
type Written struct {
	ID    string // as in Manifest.Since
	Files int
	Size  int64
}

const tempPrefix = ".keepwell-bundle-"

// Write makes the archive: the same content gives the same bytes. The file is there whole
// or, after an error, as it was before. What a killed process left beside it goes.
func Write(ctx context.Context, name string, c Content) (w Written, err error) {
	dir := filepath.Dir(name)
	sweep(dir)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return w, err
	}
	// The lock tells the file from one whose process is gone. It lies beside the file: on
	// some systems nobody could write to one that is locked.
	lock := flock.New(f.Name() + ".lock")
	defer func() {
		_ = lock.Close()
		_ = os.Remove(lock.Path())
		if err != nil {
			_ = f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := lock.Lock(); err != nil {
		return w, err
	}
	if w, err = c.write(ctx, f); err != nil {
		return w, err
	}
	const readable = 0o644
	if err := errors.Join(f.Chmod(readable), f.Sync()); err != nil {
		return w, err
	}
	st, err := f.Stat()
	if err == nil {
		w.Size = st.Size()
		err = f.Close()
	}
	if err != nil {
		return w, err
	}
	return w, os.Rename(f.Name(), name)
}

// sweep removes the unfinished files of processes that are gone.
func sweep(dir string) {
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*.lock"))
	if err != nil {
		return // a directory whose name is no pattern: they stay
	}
	for _, name := range left {
		l := flock.New(name)
		if ok, err := l.TryLock(); ok && err == nil {
			_ = os.Remove(strings.TrimSuffix(name, ".lock"))
			_ = os.Remove(name)
		}
		_ = l.Close()
	}
}

func (c Content) write(ctx context.Context, to io.Writer) (Written, error) {
	files := lists(c.Keys)
	maps.Copy(files, c.Made)
	names := slices.AppendSeq(slices.Clone(c.Keys), maps.Keys(files))
	slices.Sort(names)
	names = slices.Compact(names)
	m := Manifest{Format: format, Since: slices.Sorted(slices.Values(c.Since)), Modules: slices.Clone(c.Modules), Files: make([]File, 0, len(names))}
	slices.SortFunc(m.Modules, compareModules)
	if m.Modules == nil {
		m.Modules = []Module{}
	}
	z := zip.NewWriter(to)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return Written{}, err
		}
		if _, err := check(name); err != nil {
			return Written{}, fmt.Errorf("%s: %w", name, err)
		}
		f, err := add(ctx, z, name, files, c.Open)
		if err != nil {
			return Written{}, fmt.Errorf("%s: %w", name, err)
		}
		m.Files = append(m.Files, f)
		if c.Wrote != nil {
			c.Wrote(f)
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return Written{}, err
	}
	f, err := add(ctx, z, ManifestName, map[string][]byte{ManifestName: data}, nil)
	return Written{ID: f.SHA256, Files: len(names)}, errors.Join(err, z.Close())
}

func compareModules(a, b Module) int {
	if c := strings.Compare(a.Path, b.Path); c != 0 {
		return c
	}
	if c := semver.Compare(a.Version, b.Version); c != 0 {
		return c
	}
	return strings.Compare(a.Version, b.Version)
}

func add(ctx context.Context, z *zip.Writer, name string, files map[string][]byte, open func(context.Context, string) (io.ReadCloser, error)) (File, error) {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	if strings.HasSuffix(name, ".zip") || strings.HasPrefix(name, "sumdb/") {
		h.Method = zip.Store // it would not get smaller, and is served from where it lies
	}
	to, err := z.CreateHeader(h)
	if err != nil {
		return File{}, err
	}
	w := newCounted(to, name)
	if data, ok := files[name]; ok {
		_, err = w.Write(data)
		return w.done(), err
	}
	r, err := open(ctx, name)
	if err != nil {
		return File{}, err
	}
	_, err = io.Copy(w, r)
	return w.done(), errors.Join(err, r.Close())
}

// lists are the @v/list files: the versions that are there with code.
func lists(keys []string) map[string][]byte {
	versions := map[string][]string{}
	for _, key := range keys {
		v, ok := Version(key)
		if !ok || !strings.HasSuffix(key, ".zip") || module.IsPseudoVersion(v.Version) {
			continue
		}
		escaped, _, _ := strings.Cut(key, "/@v/")
		versions[escaped] = append(versions[escaped], v.Version)
	}
	files := map[string][]byte{}
	for escaped, list := range versions {
		files[escaped+"/@v/list"] = listed(list)
	}
	return files
}

// listed is the text of a list.
func listed(versions []string) []byte {
	semver.Sort(versions)
	return []byte(strings.Join(slices.Compact(versions), "\n") + "\n")
}
