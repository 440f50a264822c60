//go:build linux || darwin

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// writable asks the system whether files may be made in dir, without making one.
func writable(dir string) error {
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		return err
	}
	return nil
}

// owner is whose file it is.
func owner(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("%s (%s)", u.Username, info.Mode().Perm())
	}
	return fmt.Sprintf("uid %s (%s)", id, info.Mode().Perm())
}

// roomAt is what is left on the file system of dir.
func roomAt(dir string) (room, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 || s.Bsize <= 0 {
		return room{}, false
	}
	r := room{id: fmt.Sprint(s.Fsid), bytes: s.Bavail * uint64(s.Bsize)}
	r.inodes, r.hasInodes = s.Ffree, s.Files > 0 // some file systems make inodes as they need them
	return r, true
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
