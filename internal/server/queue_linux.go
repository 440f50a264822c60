package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// canLook says that queue works here.
const canLook = true

// queue tells how many bytes wait for the other side, and how many it has taken so far.
func queue(c syscall.Conn) (waiting int, taken uint64, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var about *unix.TCPInfo
		if waiting, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); failed != nil {
			return
		}
		if about, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); failed == nil {
			taken = about.Bytes_acked
		}
	})
	return waiting, taken, err == nil && failed == nil
}
