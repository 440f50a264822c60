//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// ours reports whether a file belongs to this user.
func ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// mayWrite reports whether this user may work in somebody else's directory.
func mayWrite(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() == 0 {
		return true
	}
	groups, _ := os.Getgroups()
	need := fs.FileMode(0o003)
	if int(s.Gid) == os.Getegid() || slices.Contains(groups, int(s.Gid)) {
		need = 0o030
	}
	if !info.IsDir() {
		need &= 0o022
	}
	return info.Mode().Perm()&need == need
}
