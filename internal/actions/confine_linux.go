package actions

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

func confine(l Limits, argv, env []string) error {
	runtime.LockOSThread() // until the end: exec keeps what this thread has forsworn
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
	// No set-user-ID program may give back what was dropped.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forswearing privileges: %w", err)
	}
	if l.Files != nil {
		if err := lockFiles(*l.Files, filepath.Dir(argv[0])); err != nil {
			return err
		}
	}
	// Memory last: this runtime reserves more address space than a script may need.
	if err := limit("memory", unix.RLIMIT_AS, l.Memory); err != nil {
		return err
	}
	return syscall.Exec(argv[0], argv, env)
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
