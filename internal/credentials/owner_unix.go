//go:build unix

package credentials

import (
	"io/fs"
	"os"
	"syscall"
)

// owned reports whether a file belongs to whoever runs this.
func owned(info fs.FileInfo) bool {
	uid, ok := Owner(info)
	return ok && uid == os.Getuid()
}

// Owner is the user a file belongs to; ok is false where the system does not say.
func Owner(info fs.FileInfo) (uid int, ok bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
