package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// A client may take an answer as slowly as it likes, as long as it takes it: a deadline
// for the whole of an answer would cut the slow off with the dead. So all connections
// are looked at now and then, beside the writes, which stay as they are (sendfile).
const (
	lookEach = 20 * time.Second
	// strikes is at how many looks in a row a client may have taken nothing.
	strikes = 3
)

// readers are the connections of a server.
type readers struct {
	mu  sync.Mutex
	all map[net.Conn]*reader

	streams streams
}

// reader is what is known of one.
type reader struct {
	acked uint64 // bytes that the client has taken
	idle  int    // looks in a row at which it had taken no more, though there was something to take
}

// state is http.Server's hook.
func (rs *readers) state(c net.Conn, to http.ConnState) {
	if e, ok := c.(*conn); ok {
		e.state(to)
	}
	switch to {
	case http.StateNew:
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if rs.all == nil {
			rs.all = map[net.Conn]*reader{}
		}
		rs.all[c] = &reader{}
	case http.StateClosed, http.StateHijacked:
		rs.mu.Lock()
		defer rs.mu.Unlock()
		delete(rs.all, c)
	case http.StateActive, http.StateIdle:
	}
}

// look cuts those off that take nothing.
func (rs *readers) look() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for c, r := range rs.all {
		bare := c
		if t, ok := c.(interface{ NetConn() net.Conn }); ok { // over TLS, or answering early
			bare = t.NetConn()
		}
		s, ok := bare.(syscall.Conn)
		if !ok {
			continue
		}
		waiting, acked, ok := queue(s)
		if !ok || waiting == 0 || acked != r.acked {
			r.acked, r.idle = acked, 0
			continue
		}
		if r.idle++; r.idle >= strikes {
			_ = bare.Close() // whoever writes is told
		}
	}
}

func (rs *readers) follow(ctx context.Context) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			rs.look()
			rs.streams.look()
		case <-ctx.Done():
			return
		}
	}
}
