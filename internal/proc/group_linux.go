package proc

import (
	"runtime"
	"syscall"
)

// dieWithUs has the kernel end the command when keepwell is killed.
func dieWithUs(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGTERM }

// lockThread keeps the thread: Pdeathsig means its end.
func lockThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
