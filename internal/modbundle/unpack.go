package modbundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
)

// ErrMixed is where a directory has proofs that do not belong to the bundles.
var ErrMixed = errors.New("the directory holds proofs of other bundles")

// Unpack writes the files into dir, which GOPROXY=file:// then reads. What lies there
// already stays if it is the same; lists grow. It may be called again after it was cut
// off. Nothing is written outside of dir, whatever links lie there.
func (s *Set) Unpack(ctx context.Context, dir string, wrote func(bytes int64)) error {
	const private = 0o755
	if err := os.MkdirAll(dir, private); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only names
	if err := s.fits(dir); err != nil {
		return err
	}
	for _, name := range s.Names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.unpack(root, name); err != nil {
			return msg.NewError("broken.in", name, err)
		}
		if wrote != nil {
			wrote(s.FileSize(name))
		}
	}
	return nil
}

// fits refuses a directory with records of the checksum database that these bundles do
// not have: their proofs would not continue each other.
func (s *Set) fits(dir string) error {
	err := filepath.WalkDir(filepath.Join(dir, "sumdb"), func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if name := filepath.ToSlash(rel); err == nil && strings.Contains(name, "/lookup/") && !strings.HasSuffix(name, partial) && !s.Has(name) {
			return fmt.Errorf("%w: %s", ErrMixed, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

const partial = ".keepwell-part"

func (s *Set) unpack(root *os.Root, name string) error {
	content, err := s.Open(name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, "/@v/list") {
		if content, err = withOld(root, name, content); err != nil {
			return err
		}
	} else if st, err := root.Stat(name); err == nil && st.Mode().IsRegular() && s.same(root, name) {
		if err := root.Remove(name + partial); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	const readable, dirs = 0o644, 0o755
	if err := root.MkdirAll(path.Dir(name), dirs); err != nil {
		return err
	}
	f, err := root.OpenFile(name+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, readable)
	if err != nil {
		return err
	}
	w := newCounted(f, name)
	_, err = io.Copy(w, content)
	if err = errors.Join(err, f.Close()); err == nil {
		if said := s.from[name].sums[name]; !strings.HasSuffix(name, "/@v/list") && w.done() != said {
			err = msg.NewError("broken.rotten")
		}
	}
	if err != nil {
		return errors.Join(err, root.Remove(name+partial))
	}
	return root.Rename(name+partial, name)
}

// withOld adds the versions that a list there has already.
func withOld(root *os.Root, name string, content io.Reader) (io.ReadSeeker, error) {
	own, err := io.ReadAll(content)
	if err != nil {
		return nil, err
	}
	versions := strings.Fields(string(own))
	if old, err := root.ReadFile(name); err == nil {
		versions = slices.Concat(versions, strings.Fields(string(old)))
	}
	return strings.NewReader(string(listed(versions))), nil
}

// same tells whether the file there is the one of the manifest.
func (s *Set) same(root *os.Root, name string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	w := newCounted(io.Discard, name)
	_, err = io.Copy(w, f)
	return err == nil && w.done() == s.from[name].sums[name]
}
