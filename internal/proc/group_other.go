//go:build !unix

package proc

import (
	"os"
	"os/exec"
)

// asGroup does nothing here: the system ends only the tool itself.
func asGroup(*exec.Cmd) {}

func asFollowedGroup(_ *exec.Cmd, one func(os.Signal)) func(os.Signal) { return one }

func lockThread() func() { return func() {} }

// Passed are the signals that a command may be meant to get.
func Passed() []os.Signal { return []os.Signal{os.Interrupt} }

// FromKeyboard tells signals that a terminal sends to all who run in its foreground.
func FromKeyboard(s os.Signal) bool { return s == os.Interrupt }

// HasTerminal reports whether the process has a controlling terminal: a console
// tells all who are attached to it.
func HasTerminal() bool { return true }
