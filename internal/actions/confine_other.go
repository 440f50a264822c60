//go:build !linux

package actions

import "errors"

// Landlock is the kernel's version of Landlock; 0: it has none.
func Landlock() int { return 0 }

func confine(Limits, []string, []string) error {
	return errors.New("scripts can be held to limits on Linux alone")
}
