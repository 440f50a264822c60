//go:build !unix

package proc

import "os/exec"

// asGroup does nothing here: the system ends only the tool itself.
func asGroup(*exec.Cmd) {}
