package act

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// Edits changes many text files as one step: all of them or none. The disk is waited
// for once and not once a file, so that a thousand files take a second.
type Edits struct {
	// Target is what they have in common, such as the path that is left: "a => b".
	Target string
	// Files are what changes, each of them once.
	Files []Edit
	// Safety; empty means asks.
	Safety  keepwell.Safety
	Concern Concern
}

// Describe implements [Step]. The differences of all files stand one below the other.
func (s Edits) Describe(context.Context) (Change, error) {
	if len(s.Files) == 0 {
		return Change{}, errors.New("planning edits: no file changes")
	}
	diffs := make([]string, len(s.Files))
	err := together(len(s.Files), func(i int) error {
		f := s.Files[i]
		if err := f.unchanged(); err != nil {
			return err
		}
		diffs[i] = unified(f.Path, f.Before, f.After)
		return nil
	})
	if err != nil {
		return Change{}, err
	}
	safety := s.Safety
	if safety == "" {
		safety = keepwell.SafetyAsks
	}
	return Change{Kind: EditFiles, Target: mask.Text(s.Target), Files: len(s.Files), Safety: safety, Concern: s.Concern, Diff: strings.Join(diffs, "")}, nil
}

// Keeps implements [Step].
func (s Edits) Keeps(context.Context) ([]Keep, error) {
	list := make([]Keep, len(s.Files))
	for i, f := range s.Files {
		list[i] = Keep{Path: f.Path, Want: Bytes(f.After)}
	}
	return list, nil
}

// Do implements [Step].
func (s Edits) Do(ctx context.Context) error { return s.do(ctx, func(string) {}) }

func (s Edits) do(_ context.Context, checkpoint func(string)) error {
	list := make([]placed, len(s.Files))
	err := together(len(s.Files), func(i int) error {
		f := s.Files[i]
		if err := f.unchanged(); err != nil {
			return err
		}
		path, err := resolve(f.Path)
		if err != nil {
			return err
		}
		mode := cmp.Or(f.Mode, 0o644)
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
		list[i] = placed{path: path, mode: mode, data: func() ([]byte, error) { return f.After, nil }}
		return nil
	})
	if err != nil {
		return err
	}
	return place(list, checkpoint)
}

// Verify implements [Step].
func (s Edits) Verify(context.Context) error {
	return together(len(s.Files), func(i int) error {
		f := s.Files[i]
		return Edit{Path: f.Path, Before: f.After}.unchanged()
	})
}

// placed is a file that is to hold other bytes.
type placed struct {
	path string
	mode Mode
	data func() ([]byte, error)
}

// place puts many files in their places. Each is whole at any moment; whether all of
// them are is for the journal to say. What a killed process leaves beside them has
// names that sweepFile knows.
func place(list []placed, checkpoint func(string)) (err error) {
	defer func() {
		if err != nil {
			for _, p := range list {
				_ = sweepFile(p.path)
			}
		}
	}()
	if err := together(len(list), func(i int) error { return list[i].write() }); err != nil {
		return err
	}
	// First all that is new, then the waiting: a file system that waits lets nobody make files.
	err = together(len(list), func(i int) error {
		fresh, _ := beside(list[i].path)
		return syncFile(fresh)
	})
	if err != nil {
		return err
	}
	checkpoint("written")
	var dirs []string
	for _, p := range list {
		fresh, _ := beside(p.path)
		if err := os.Chmod(fresh, p.mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err := os.Rename(fresh, p.path); err != nil {
			return err
		}
		dirs = append(dirs, filepath.Dir(p.path))
		checkpoint("placed")
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	return together(len(dirs), func(i int) error { return syncDir(dirs[i]) })
}

// write puts the bytes beside the file.
func (p placed) write() error {
	data, err := p.data()
	if err != nil {
		return err
	}
	if err := sweepFile(p.path); err != nil {
		return err
	}
	fresh, _ := beside(p.path)
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = keepOwner(f, p.path)
	}
	return errors.Join(err, f.Close())
}

// syncFile waits until the bytes of a file that we wrote are on the disk.
func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sweepFile removes what a killed process left beside a file.
func sweepFile(path string) error {
	fresh, _ := beside(path)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// restoreMany puts plain files back as one, from where they were kept.
func (e *Engine) restoreMany(moves []move) error {
	list := make([]placed, len(moves))
	for i, m := range moves {
		list[i] = placed{path: m.Path, mode: m.Before.Mode, data: func() ([]byte, error) {
			name := filepath.Join(e.undoDir(), m.Undo)
			data, err := os.ReadFile(name)
			if err == nil && Bytes(data).SHA256 != m.Before.SHA256 {
				err = ErrExpired
			}
			if err != nil {
				return nil, fmt.Errorf("the bytes kept in %s are not those of the journal: %w", name, err)
			}
			return bytes.Clone(data), nil
		}}
	}
	return place(list, e.checkpoint)
}

// plain reports a move that only puts the bytes of a file back.
func (m move) plain() bool {
	return m.revert == nil && m.aside == "" && !m.ModeOnly && !m.Tree && m.Before.Exists
}

// atOnce is how many files are written at a time: a disk takes many writes in the time
// of one.
const atOnce = 32

// together calls each for 0 to n-1, several at a time, and returns the errors.
func together(n int, each func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	next := make(chan int)
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := range next {
				errs[i] = each(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// undoName is where the bytes of the nth path of a step are kept.
func undoName(op, step, n int) string {
	return strconv.Itoa(op) + "-" + strconv.Itoa(step) + "-" + strconv.Itoa(n)
}
