package modstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Blobs is a place for bytes under their sha256. An object store brings a blob into a
// file of its own before Open returns it, so that the system can send it (sendfile).
type Blobs interface {
	// Create stores the file called from under sum unless there is one already (a
	// conditional write); created tells which. from may be moved away.
	Create(ctx context.Context, sum, from string) (created bool, err error)
	// Open returns the blob; the error is fs.ErrNotExist where there is none.
	Open(ctx context.Context, sum string) (*os.File, error)
	Remove(ctx context.Context, sum string) error
	// Each names every blob.
	Each(ctx context.Context, f func(sum string, size int64) error) error
}

// Directory are blobs in files of the directory of that name.
type Directory string

func (d Directory) name(sum string) string { return filepath.Join(string(d), sum[:2], sum) }

// Create links the file to its name: of several processes, one does.
func (d Directory) Create(_ context.Context, sum, from string) (bool, error) {
	to := d.name(sum)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return false, err
	}
	if have, err := os.Stat(to); err == nil {
		if want, err := os.Stat(from); err == nil && have.Size() == want.Size() {
			return false, nil
		}
		// A power cut left something else under the name: the new file takes its place.
	}
	return true, os.Rename(from, to)
}

// Open opens the file.
func (d Directory) Open(_ context.Context, sum string) (*os.File, error) { return os.Open(d.name(sum)) }

// Remove removes the file.
func (d Directory) Remove(_ context.Context, sum string) error {
	if err := os.Remove(d.name(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Each walks the directory.
func (d Directory) Each(ctx context.Context, f func(sum string, size int64) error) error {
	err := filepath.WalkDir(string(d), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // removed meanwhile
		}
		return f(filepath.Base(path), info.Size())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Staged are bytes on their way into the store.
type Staged struct {
	*os.File
	hash hash.Hash
	size int64
}

// Stage starts a file that nobody sees until Put.
func (s *Store) Stage() (*Staged, error) {
	f, err := os.CreateTemp(s.scratch, "s*")
	if err != nil {
		return nil, fmt.Errorf("staging a file: %w", err)
	}
	return &Staged{File: f, hash: sha256.New()}, nil
}

// Write appends.
func (st *Staged) Write(p []byte) (int, error) {
	n, err := st.File.Write(p)
	st.hash.Write(p[:n])
	st.size += int64(n)
	return n, err
}

// ReadFrom appends all of r; without it io.Copy would take the file's own and pass the sum
// by.
func (st *Staged) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{st}, r)
}

// Size is how much was written.
func (st *Staged) Size() int64 { return st.size }

// Sum is the sha256 of what was written, in hex.
func (st *Staged) Sum() string { return hex.EncodeToString(st.hash.Sum(nil)) }

// Reset starts at zero again.
func (st *Staged) Reset() error {
	if _, err := st.Seek(0, io.SeekStart); err != nil {
		return err
	}
	st.hash, st.size = sha256.New(), 0
	return st.Truncate(0)
}

// Discard closes the file, and removes it if it was not put.
func (st *Staged) Discard() {
	_ = st.Close()
	_ = os.Remove(st.Name())
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// isSum tells a name that a blob can have.
func isSum(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
