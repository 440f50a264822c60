//go:build !linux

package actions

import "errors"

func confine(Limits, []string, []string) error {
	return errors.New("scripts can be held to limits on Linux alone")
}
