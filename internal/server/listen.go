package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Listen takes the socket that systemd hands over (LISTEN_FDS), or else opens address.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	if n := os.Getenv("LISTEN_FDS"); n != "1" {
		return nil, fmt.Errorf("systemd hands over %q sockets, where one is wanted", n)
	}
	const first = 3 // sd_listen_fds(3)
	f := os.NewFile(first, "systemd")
	defer f.Close()
	return net.FileListener(f)
}

// notify tells systemd how the service does (sd_notify(3)), if it wants to know.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return // the service works without
	}
	defer c.Close()               //nolint:errcheck // see above
	_, _ = c.Write([]byte(state)) // see above
}
