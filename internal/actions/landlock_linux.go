package actions

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock is the kernel's version of Landlock; 0: it has none.
func Landlock() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

const (
	fileReads  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	fileWrites = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	treeReads  = fileReads | unix.LANDLOCK_ACCESS_FS_READ_DIR
	treeWrites = fileWrites | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REFER
	handled = treeReads | treeWrites | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// known are the rights that a version of Landlock knows.
func known(abi int, rights uint64) uint64 {
	for _, later := range []struct {
		since int
		right uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if abi < later.since {
			rights &^= later.right
		}
	}
	return rights
}

// usuallyReadable is what programs need to start at all, and to find names and zones.
func usuallyReadable() []string {
	return []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
		"/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/run/systemd/resolve", "/etc/services", "/etc/protocols", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/localtime", "/etc/timezone",
		"/proc/self", "/proc/meminfo", "/proc/loadavg", "/proc/stat", "/proc/cpuinfo", "/proc/uptime", "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/zero", "/dev/null", "/dev/full", "/dev/fd",
	}
}

// lockFiles forbids this thread, and what it becomes, all files but those named, as far as
// the kernel can; this must be the thread that calls exec.
func lockFiles(f Files, script string) error {
	abi := Landlock()
	if abi == 0 {
		if f.Strict {
			return errors.New("this kernel has no Landlock")
		}
		return nil
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: known(abi, handled)}
	const tcp, scopes = 4, 6 // the versions that brought them
	if f.NoTCP {
		if abi < tcp && f.Strict {
			return fmt.Errorf("this kernel's Landlock (%d) knows nothing of TCP", abi)
		}
		if abi >= tcp {
			attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		}
	}
	if abi >= scopes {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0) //nolint:gosec // the call takes a pointer
	if errno != 0 {
		return fmt.Errorf("making rules for files: %w", errno)
	}
	defer func() { _ = unix.Close(int(set)) }()
	for _, path := range append(usuallyReadable(), append(f.Readable, script)...) {
		if err := admit(int(set), path, known(abi, treeReads)); err != nil {
			return err
		}
	}
	for _, path := range append([]string{"/dev/null", "/dev/full"}, f.Writable...) {
		if err := admit(int(set), path, known(abi, treeReads|treeWrites)); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return fmt.Errorf("forswearing files: %w", errno)
	}
	return nil
}

// admit adds a rule; what is not there needs none.
func admit(set int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		rights &= fileReads | fileWrites
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 { //nolint:gosec // the call takes a pointer
		return fmt.Errorf("a rule for %s: %w", path, errno)
	}
	return nil
}
