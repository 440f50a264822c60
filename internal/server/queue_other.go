//go:build !linux

package server

import "syscall"

// canLook says that queue does not work here: an answer gets a long deadline instead.
const canLook = false

func queue(syscall.Conn) (waiting int, taken uint64, ok bool) { return 0, 0, false }
