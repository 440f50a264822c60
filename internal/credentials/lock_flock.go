//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package credentials

import (
	"os"
	"syscall"
)

// Locked reports whether another process holds the lock on a file, as go locks what it
// works in (cmd/go/internal/lockedfile).
func Locked(name string) bool {
	f, err := os.Open(name) //nolint:gosec // G703: a file of the module cache
	if err != nil {
		return false
	}
	defer f.Close() // lets go of the lock as well
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
