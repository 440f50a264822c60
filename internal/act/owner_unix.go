//go:build unix

package act

import (
	"errors"
	"os"
	"syscall"
)

// keepOwner gives tmp the owner and group of what it will replace: root editing a
// user's file must not take it away from them.
func keepOwner(tmp *os.File, path string) error {
	old, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // nothing to replace
	}
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := tmp.Stat()
	if err != nil {
		return err
	}
	if is, ok := now.Sys().(*syscall.Stat_t); ok && is.Uid == was.Uid && is.Gid == was.Gid {
		return nil
	}
	return tmp.Chown(int(was.Uid), int(was.Gid))
}

// invalidSync reports a directory that cannot be synced (some network file systems).
func invalidSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
