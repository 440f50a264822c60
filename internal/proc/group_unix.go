//go:build unix

package proc

import (
	"os"
	"os/exec"
	"syscall"
)

// asGroup lets the end of cmd's context end everything that it has started: go starts
// git, git starts ssh.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// asFollowedGroup gives cmd a process group of its own, which signal then reaches as a
// whole.
func asFollowedGroup(cmd *exec.Cmd, one func(os.Signal)) (signal func(os.Signal)) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(cmd.SysProcAttr)
	return func(s os.Signal) {
		number, ok := s.(syscall.Signal)
		if !ok {
			one(s)
			return
		}
		_ = syscall.Kill(-cmd.Process.Pid, number) // it may be gone
	}
}

// Passed are the signals that a command may be meant to get.
func Passed() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
}

// FromKeyboard tells signals that a terminal sends to all who run in its foreground.
func FromKeyboard(s os.Signal) bool { return s == os.Interrupt || s == syscall.SIGQUIT }

// HasTerminal reports whether the process has a controlling terminal, whatever its
// streams are.
func HasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}
