package modbundle

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Content is what an archive is made of.
type Content struct {
	// Keys are fetched files, Made those that are at hand.
	Keys []string
	Made map[string][]byte
	// Open gives the bytes of a key.
	Open func(ctx context.Context, key string) (io.ReadCloser, error)
}

// Write makes the archive: the same content gives the same bytes. The file is there whole
// or, after an error, as it was before.
func Write(ctx context.Context, name string, c Content) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".keepwell-bundle-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	files := lists(c.Keys)
	maps.Copy(files, c.Made)
	names := slices.AppendSeq(slices.Clone(c.Keys), maps.Keys(files))
	slices.Sort(names)
	names = slices.Compact(names)
	z := zip.NewWriter(f)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := check(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := add(ctx, z, name, files, c.Open); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	const readable = 0o644
	if err := errors.Join(f.Chmod(readable), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func add(ctx context.Context, z *zip.Writer, name string, files map[string][]byte, open func(context.Context, string) (io.ReadCloser, error)) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	if strings.HasSuffix(name, ".zip") || strings.HasPrefix(name, "sumdb/") {
		h.Method = zip.Store // it would not get smaller, and is served from where it lies
	}
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	if data, ok := files[name]; ok {
		_, err = w.Write(data)
		return err
	}
	r, err := open(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
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
		semver.Sort(list)
		files[escaped+"/@v/list"] = []byte(strings.Join(slices.Compact(list), "\n") + "\n")
	}
	return files
}
