//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// relay passes TCP connections on as if the server were further away: bytes take half
// of the round trip in each direction, and a connection one whole one to be made.
type relay struct {
	ln   net.Listener
	stop context.CancelFunc
	work sync.WaitGroup
}

func distance(ctx context.Context, to string, trip time.Duration) (*relay, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	r := &relay{ln: ln, stop: stop}
	r.work.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.pass(ctx, near, to, trip) })
		}
	})
	return r, nil
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) close() {
	r.stop()
	_ = r.ln.Close()
	r.work.Wait()
}

func (r *relay) pass(ctx context.Context, near net.Conn, to string, trip time.Duration) {
	defer near.Close() //nolint:errcheck // what was read counts
	time.Sleep(trip)
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer far.Close() //nolint:errcheck // what was read counts
	defer context.AfterFunc(ctx, func() { _ = near.Close(); _ = far.Close() })()
	var both sync.WaitGroup
	both.Go(func() { late(far, near, trip/2) })
	both.Go(func() { late(near, far, trip/2) })
	both.Wait()
}

// late copies, each piece after a delay. A queue of pieces is a long pipe, not a narrow
// one: the rate is not bounded.
func late(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	const deep = 4096
	pieces := make(chan piece, deep)
	var work sync.WaitGroup
	work.Go(func() {
		defer to.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // both are TCP
		failed := false
		for p := range pieces {
			if failed {
				continue
			}
			time.Sleep(time.Until(p.due))
			_, err := to.Write(p.data)
			failed = err != nil
		}
	})
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		if n > 0 {
			pieces <- piece{buf[:n], time.Now().Add(delay)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			break
		}
	}
	close(pieces)
	work.Wait()
}
