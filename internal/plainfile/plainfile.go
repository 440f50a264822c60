// Package plainfile reads files that people write by hand: regular ones only, and no
// more than a bound, so that a pipe or a device in their place holds nobody up. It
// never writes.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Most is a bound for what a person writes or a tool keeps for a project: go.mod,
// go.sum, a lock file.
const Most = 32 << 20

// Errors beside those of the system.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("larger than anything written by hand")
)

// Read returns what the file holds.
func Read(name string) ([]byte, error) {
	// Opening a pipe would wait for its other end.
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrNotRegular}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, Most+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > Most {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	return data, nil
}
