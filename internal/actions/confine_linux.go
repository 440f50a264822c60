package actions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func confine(l Limits, argv, env []string) error {
	runtime.LockOSThread() // until the end: exec keeps what this thread has forsworn
	keeper := os.Getppid()
	for _, r := range []struct {
		name  string
		which int
		most  uint64
	}{{"CPU time", unix.RLIMIT_CPU, l.CPUSeconds}, {"file size", unix.RLIMIT_FSIZE, l.FileSize}, {"open files", unix.RLIMIT_NOFILE, l.OpenFiles}, {"processes", unix.RLIMIT_NPROC, l.Processes}} {
		if err := limit(r.name, r.which, r.most); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 && (l.UID != 0 || l.GID != 0) {
		if l.UID <= 0 || l.GID <= 0 {
			return fmt.Errorf("a user and a group other than root are needed, not %d and %d", l.UID, l.GID)
		}
		if err := syscall.Setgroups([]int{l.GID}); err != nil {
			return fmt.Errorf("leaving groups: %w", err)
		}
		if err := syscall.Setgid(l.GID); err != nil {
			return fmt.Errorf("becoming group %d: %w", l.GID, err)
		}
		if err := syscall.Setuid(l.UID); err != nil {
			return fmt.Errorf("becoming user %d: %w", l.UID, err)
		}
	}
	// To end with who keeps it: the wish is a thread's, and went with the user.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("asking to end with keepwell: %w", err)
	}
	if os.Getppid() != keeper {
		return errors.New("keepwell is no more")
	}
	// No set-user-ID program may give back what was dropped.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forswearing privileges: %w", err)
	}
	if l.Files != nil {
		if err := lockFiles(*l.Files, filepath.Dir(argv[0])); err != nil {
			return err
		}
	}
	if l.Memory == 0 {
		return syscall.Exec(argv[0], argv, env)
	}
	return become(l, argv, env)
}

// become bounds memory and becomes a program. This runtime may have more memory than the
// bound: from the one call to the other it must not ask for any, nor start a thread, so
// that both are made without it.
func become(l Limits, argv, env []string) error {
	if l.OpenFiles == 0 { // this runtime raised it for itself, and syscall.Exec, which would take that back, is not used
		const usual = 1024
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			return fmt.Errorf("reading the limit of open files: %w", err)
		}
		now.Cur = min(now.Max, usual)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			return fmt.Errorf("limiting open files: %w", err)
		}
	}
	path, err := syscall.BytePtrFromString(argv[0])
	if err != nil {
		return err
	}
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return err
	}
	vars, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	most := unix.Rlimit{Cur: l.Memory, Max: l.Memory}
	// Not the address space: many runtimes reserve far more than they use.
	if _, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA, uintptr(unsafe.Pointer(&most)), 0, 0, 0); errno != 0 { //nolint:gosec // the call takes a pointer
		return fmt.Errorf("limiting memory to %d: %w", l.Memory, errno)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&vars[0]))) //nolint:gosec // the call takes pointers
	return fmt.Errorf("starting %s: %w", argv[0], errno)
}

func limit(name string, which int, most uint64) error {
	if most == 0 {
		return nil
	}
	if err := unix.Setrlimit(which, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("limiting %s to %d: %w", name, most, err)
	}
	return nil
}
