package act

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// The bounds of a directory that is kept for undo.
const (
	mostInTree  = 20_000
	largestTree = 256 << 20
)

// ErrTooLarge says that a directory is beyond what is kept for undo; it is left alone.
var ErrTooLarge = errors.New("too large to be kept for undo")

// walkTree calls each for everything below path, in order: directories, files and links.
func walkTree(path string, each func(rel string, info fs.FileInfo) error) error {
	number, size := 0, int64(0)
	return filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if number++; info.Mode().IsRegular() {
			size += info.Size()
		}
		switch {
		case number > mostInTree || size > largestTree:
			return &fs.PathError{Op: "keep", Path: path, Err: ErrTooLarge}
		case !info.Mode().IsRegular() && !info.IsDir() && info.Mode().Type() != fs.ModeSymlink:
			return &fs.PathError{Op: "keep", Path: name, Err: errNotRegular}
		}
		rel, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		return each(rel, info)
	})
}

// treeState is the state of a directory: SHA256 is over the names, permissions and
// bytes of all that is in it.
func treeState(path string) (State, error) {
	root, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	sum := sha256.New()
	err = walkTree(path, func(rel string, info fs.FileInfo) error {
		name, what := filepath.Join(path, rel), ""
		switch {
		case info.Mode().IsRegular():
			s, err := stateOf(name, false, nil)
			if err != nil {
				return err
			}
			what = s.SHA256
		case !info.IsDir():
			if what, err = os.Readlink(name); err != nil {
				return err
			}
		}
		entry(sum, filepath.ToSlash(rel), info.Mode(), what)
		return nil
	})
	if err != nil {
		return State{}, err
	}
	return State{Exists: true, Mode: root.Mode().Perm(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// entry is what a state knows of one name: what is a file's hash, or where a link leads.
func entry(sum io.Writer, rel string, mode fs.FileMode, what string) {
	fmt.Fprintf(sum, "%q %v %q\n", rel, mode.Type()|mode.Perm(), what)
}

// archive writes a directory to a tar file that only its owner can read.
func archive(path, to string) (err error) {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(to)
		}
	}()
	w := tar.NewWriter(f)
	err = walkTree(path, func(rel string, info fs.FileInfo) error {
		name, link := filepath.Join(path, rel), ""
		if info.Mode().Type() == fs.ModeSymlink {
			var err error
			if link, err = os.Readlink(name); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		h.Name, h.Format = filepath.ToSlash(rel), tar.FormatPAX
		if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		in, err := os.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
		return err
	})
	return errors.Join(err, w.Close(), f.Sync())
}

// archived calls each for all that an archive holds.
func archived(name string, each func(rel string, h *tar.Header, r io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rel := strings.TrimSuffix(h.Name, "/")
		if !filepath.IsLocal(filepath.FromSlash(rel)) {
			return fmt.Errorf("%s: %q leads elsewhere", name, rel)
		}
		if err := each(rel, h, r); err != nil {
			return err
		}
	}
}

// archivedHash is the hash of the directory that an archive holds.
func archivedHash(name string) (string, error) {
	sum := sha256.New()
	err := archived(name, func(rel string, h *tar.Header, r io.Reader) error {
		what := h.Linkname
		if h.Typeflag == tar.TypeReg {
			file := sha256.New()
			if _, err := io.Copy(file, r); err != nil {
				return err
			}
			what = hex.EncodeToString(file.Sum(nil))
		}
		entry(sum, rel, h.FileInfo().Mode(), what)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// unarchive makes the directory to, which must not exist, from an archive.
func unarchive(name, to string) error {
	type mode struct {
		path string
		mode fs.FileMode
	}
	var dirs []mode // a directory that nobody may write gets its permissions last
	err := archived(name, func(rel string, h *tar.Header, r io.Reader) error {
		dst, perm := filepath.Join(to, filepath.FromSlash(rel)), h.FileInfo().Mode().Perm()
		switch h.Typeflag {
		case tar.TypeDir:
			dirs = append(dirs, mode{dst, perm})
			return os.Mkdir(dst, 0o700)
		case tar.TypeSymlink:
			return os.Symlink(h.Linkname, dst)
		}
		out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		return errors.Join(err, out.Chmod(perm), out.Sync(), out.Close())
	})
	for _, d := range slices.Backward(dirs) {
		err = errors.Join(err, os.Chmod(d.path, d.mode))
	}
	return err
}

// removeTree removes a directory, also one with directories that nobody may write.
func removeTree(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o700) //nolint:gosec // about to go
		}
		return nil
	})
	return os.RemoveAll(path)
}

// keepTree puts a directory into a file that only its owner can read.
func keepTree(path, to string) (State, error) {
	s, err := treeState(path)
	if err != nil || !s.Exists {
		return s, err
	}
	return s, archive(path, to)
}

// restoreTree puts a directory back from where it was kept; data is "" where there was
// none.
func restoreTree(path, data string, before State) error {
	if !before.Exists {
		return dropTree(path)
	}
	if sum, err := archivedHash(data); err != nil || sum != before.SHA256 {
		return fmt.Errorf("the files kept in %s are not those of the journal: %w", data, cmpErr(err))
	}
	fresh, old := beside(path)
	if err := sweep(path); err != nil {
		return err
	}
	if err := unarchive(data, fresh); err != nil {
		return errors.Join(err, removeTree(fresh))
	}
	if err := os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, removeTree(fresh))
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return errors.Join(removeTree(old), syncDir(filepath.Dir(path)))
}

// beside are the names next to a directory under which its next and its last state lie
// for moments: a name changes at once, what is below does not.
func beside(path string) (fresh, old string) {
	base := filepath.Join(filepath.Dir(path), ".keepwell-"+filepath.Base(path))
	return base + "-new", base + "-old"
}

// sweep removes what a killed process left beside a directory.
func sweep(path string) error {
	fresh, old := beside(path)
	return errors.Join(removeTree(fresh), removeTree(old))
}

// sweep removes what a killed process left beside a path.
func (k kept) sweep() error {
	switch {
	case k.ModeOnly:
		return nil
	case k.Tree:
		return sweep(k.Path)
	}
	return sweepFile(k.Path)
}

// dropTree removes a directory so that it is there wholly or not at all.
func dropTree(path string) error {
	if err := sweep(path); err != nil {
		return err
	}
	_, old := beside(path)
	if err := os.Rename(path, old); err != nil {
		return err
	}
	return errors.Join(removeTree(old), syncDir(filepath.Dir(path)))
}

// RemoveDir deletes exactly one directory with all that is in it, such as an unpacked
// module; it is kept for undo, within bounds.
type RemoveDir struct {
	Path string
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
	// Remade: see [Keep].
	Remade bool
}

// Describe implements [Step].
func (s RemoveDir) Describe(context.Context) (Change, error) {
	info, err := os.Lstat(s.Path)
	if err != nil {
		return Change{}, fmt.Errorf("planning to remove a directory: %w", err)
	}
	if !info.IsDir() {
		return Change{}, fmt.Errorf("planning to remove %s: not a directory", s.Path)
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	return Change{Kind: RemoveAll, Target: mask.Text(s.Path), File: mask.Text(s.Path), Safety: safety, Concern: s.Concern}, nil
}

// Keeps implements [Step].
func (s RemoveDir) Keeps(context.Context) ([]Keep, error) {
	return []Keep{{Path: s.Path, Tree: true, Remade: s.Remade, Want: &State{}}}, nil
}

// Do implements [Step].
func (s RemoveDir) Do(context.Context) error { return dropTree(s.Path) }

// Verify implements [Step].
func (s RemoveDir) Verify(ctx context.Context) error {
	return Remove{Path: s.Path}.Verify(ctx)
}
