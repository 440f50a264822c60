package act

import (
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
		fmt.Fprintf(sum, "%q %v %q\n", filepath.ToSlash(rel), info.Mode(), what)
		return nil
	})
	if err != nil {
		return State{}, err
	}
	return State{Exists: true, Mode: root.Mode().Perm(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// copyTree copies a directory with its permissions; to must not exist.
func copyTree(from, to string) error {
	type mode struct {
		path string
		mode fs.FileMode
	}
	var dirs []mode // a directory that nobody may write gets its permissions last
	err := walkTree(from, func(rel string, info fs.FileInfo) error {
		src, dst := filepath.Join(from, rel), filepath.Join(to, rel)
		switch {
		case info.IsDir():
			dirs = append(dirs, mode{dst, info.Mode().Perm()})
			return os.Mkdir(dst, 0o700)
		case info.Mode().IsRegular():
			return copyFile(src, dst, info.Mode().Perm())
		}
		link, err := os.Readlink(src)
		if err != nil {
			return err
		}
		return os.Symlink(link, dst)
	})
	for _, d := range slices.Backward(dirs) {
		err = errors.Join(err, os.Chmod(d.path, d.mode))
	}
	return err
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
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

// keepTree copies a directory to where only its owner can read.
func keepTree(path, to string) (State, error) {
	s, err := treeState(path)
	if err != nil || !s.Exists {
		return s, err
	}
	if err := removeTree(to); err != nil {
		return s, err
	}
	if err := copyTree(path, to); err != nil {
		return s, errors.Join(err, removeTree(to))
	}
	return s, nil
}

// restoreTree puts a directory back from where it was kept; data is "" where there was
// none.
func restoreTree(path, data string, before State) error {
	if !before.Exists {
		return removeTree(path)
	}
	if s, err := treeState(data); err != nil || s.SHA256 != before.SHA256 {
		return fmt.Errorf("the files kept in %s are not those of the journal: %w", data, cmpErr(err))
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".keepwell-*")
	if err != nil {
		return err
	}
	if err := os.Remove(tmp); err != nil {
		return err
	}
	if err := copyTree(data, tmp); err != nil {
		return errors.Join(err, removeTree(tmp))
	}
	if err := removeTree(path); err != nil {
		return errors.Join(err, removeTree(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// RemoveDir deletes exactly one directory with all that is in it, such as an unpacked
// module; it is kept for undo, within bounds.
type RemoveDir struct {
	Path string
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
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
	return []Keep{{Path: s.Path, Tree: true, Want: &State{}}}, nil
}

// Do implements [Step].
func (s RemoveDir) Do(context.Context) error { return removeTree(s.Path) }

// Verify implements [Step].
func (s RemoveDir) Verify(ctx context.Context) error {
	return Remove{Path: s.Path}.Verify(ctx)
}
