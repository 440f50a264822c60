package act

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/keepwell/keepwell/internal/mask"
)

// State is what a path holds, as far as undo has to know.
type State struct {
	Exists bool `json:"exists"`
	// Mode is the permissions; 0 in a wanted state means that they do not matter.
	Mode Mode `json:"mode,omitempty"`
	// SHA256 of a regular file's bytes; empty where only the mode is kept.
	SHA256 string `json:"sha256,omitempty"`
}

// meets reports whether s is the state that want asks for.
func (s State) meets(want State) bool {
	return s.Exists == want.Exists && s.SHA256 == want.SHA256 && (want.Mode == 0 || s.Mode == want.Mode)
}

// Bytes is the state of a file that holds data; its permissions do not matter.
func Bytes(data []byte) *State {
	sum := sha256.Sum256(data)
	return &State{Exists: true, SHA256: hex.EncodeToString(sum[:])}
}

// errNotRegular keeps keepwell from reading devices and pipes for ever.
var errNotRegular = errors.New("not a regular file")

// stateOf reads the state of path; copyTo, if set, receives the bytes.
func stateOf(path string, modeOnly bool, copyTo io.Writer) (State, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	s := State{Exists: true, Mode: info.Mode().Perm() | info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)}
	if modeOnly {
		return s, nil
	}
	if !info.Mode().IsRegular() {
		return State{}, &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	f, err := os.Open(path)
	if err != nil {
		return State{}, err
	}
	defer f.Close()
	if copyTo == nil {
		copyTo = io.Discard
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(sum, copyTo), f); err != nil {
		return State{}, err
	}
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// resolve follows symbolic links, so that an edited dotfile stays the link that it is.
// A path that does not exist stays as it is.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return abs, nil
	}
	return resolved, err
}

// writeFile puts what r holds in the place of path: whole or not at all, with the
// permissions mode, also after a power cut. Who owned the file keeps it.
func writeFile(path string, r io.Reader, mode Mode) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keepwell-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := io.Copy(tmp, r); err != nil {
		return err
	}
	if err := keepOwner(tmp, path); err != nil {
		return fmt.Errorf("keeping the owner of %s: %w", path, err)
	}
	if err := tmp.Chmod(mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename or removal last. Not every file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) && !invalidSync(err) {
		return err
	}
	return nil
}

// largestDiff bounds the files of which differences are shown.
const largestDiff = 1 << 20

// unified is the masked difference of two texts; "" where they are no short texts.
func unified(path string, before, after []byte) string {
	if len(before)+len(after) > largestDiff || bytes.IndexByte(before, 0) >= 0 || bytes.IndexByte(after, 0) >= 0 {
		return ""
	}
	d := string(diff.Diff(path, before, path, after))
	// The first line ("diff a b") says what the next two say.
	_, d, _ = strings.Cut(d, "\n")
	return mask.Text(d)
}

// Diff is the masked unified difference that a file at path would show; "" where the
// texts are the same, binary or too long.
func Diff(path string, before, after []byte) string { return unified(path, before, after) }

// readIfExists reads a file; absent is nil.
func readIfExists(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
