//go:build unix

package proc

import (
	"os/exec"
	"syscall"
)

// asGroup lets the end of cmd's context end everything that it has started: go starts
// git, git starts ssh.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
