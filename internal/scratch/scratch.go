// Package scratch removes directories of our own in which a tool worked: go leaves its
// module cache without permission to write. It never touches a user's directory; a
// caller passes what it has made.
package scratch

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Remove deletes dir and all below it. What cannot be deleted stays; nobody waits for it.
func Remove(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o700) //nolint:gosec // a directory needs x to be emptied
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}
