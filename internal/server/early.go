package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Early answers a plain request on c before net/http has seen it: what net/http does for
// a request (a goroutine that waits for the client to go away, timers, contexts, maps)
// costs more than it costs to send a file. done says that the request was answered;
// else nothing was written, and net/http answers. err ends the connection.
type Early func(c net.Conn, r *Request) (done bool, err error)

// early is where connections are held whose requests may be answered early.
//
// A connection stays with net/http: its deadlines, its states and its end are as ever.
// Only the Read with which net/http waits for the next request answers requests itself
// as long as it can, and returns with the first that it leaves to net/http. That it
// waits for the next one, and has read none of it, is certain if it was given one request
// that ends where the bytes do, and has said since that it is done with it. The byte that
// net/http reads while it is at work, to see whether the client is still there, is kept
// until then.
type early struct {
	net.Listener
	answer Early
	idle   time.Duration

	ending atomic.Bool
	mu     sync.Mutex
	late   map[*conn]struct{} // to be closed when the answer is complete
	work   sync.WaitGroup     // of late
}

func (e *early) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := ""
	if a := c.RemoteAddr(); a != nil {
		from = a.String()
	}
	return &conn{Conn: c, e: e, from: from}, nil
}

// end waits for answers under way, until the end of ctx. http.Server has closed all
// connections that it takes for idle by then.
func (e *early) end(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for c := range e.late {
			_ = c.Conn.Close() // whoever writes is told
		}
	})
	defer stop()
	e.work.Wait()
}

// place is how far net/http is with what it was given.
type place int

const (
	begun   place = iota // it was given nothing yet
	working              // one whole request, and no byte beyond it
	between              // it waits for the next request
	lost                 // anything else: it keeps the connection
)

// conn is a connection that answers early.
type conn struct {
	net.Conn
	e    *early
	from string
	// at and extended belong to the one who reads: net/http has one at a time.
	at       place
	extended time.Time

	// next is the first byte of the next request, if it came while net/http was at work.
	next []byte

	mu        sync.Mutex
	answering bool
	stopped   bool          // the read under way was taken back
	stop      chan struct{} // closed then; nil: nobody waits
}

// state is http.Server's hook.
func (c *conn) state(to http.ConnState) {
	if to == http.StateIdle && c.at == working {
		c.at, c.extended = between, time.Time{}
	}
}

// Read reads for net/http.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.read(p)
		if n == 0 || c.at == lost {
			return n, err
		}
		r, f := understand(p[:n])
		switch {
		case c.at == working || f == unclear:
			c.at = lost
			return n, err
		case c.at == begun || f == whole || err != nil:
			c.at = working
			return n, err
		}
		r.From = c.from
		done, err := c.early(&r)
		if err != nil {
			return 0, err
		}
		if !done {
			c.at = working
			return n, nil
		}
		c.extend()
	}
}

// read reads after what is kept.
func (c *conn) read(p []byte) (int, error) {
	if c.at == working && len(p) == 1 && len(c.next) == 0 {
		return 0, c.watch()
	}
	kept := copy(p, c.next)
	c.next = c.next[kept:]
	if kept == len(p) {
		return kept, nil
	}
	n, err := c.Conn.Read(p[kept:])
	return kept + n, err
}

// watch waits for the end of the connection, or until the read is taken back.
func (c *conn) watch() error {
	first := make([]byte, 1)
	if n, err := c.Conn.Read(first); n == 0 {
		return err
	}
	c.next = first
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return os.ErrDeadlineExceeded
	}
	stop := make(chan struct{})
	c.stop = stop
	c.mu.Unlock()
	<-stop
	return os.ErrDeadlineExceeded
}

// SetReadDeadline is with what net/http takes a read back.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake(!t.IsZero() && t.Before(time.Now()))
	return c.Conn.SetReadDeadline(t)
}

// wake ends watch if stopped; c.mu is held.
func (c *conn) wake(stopped bool) {
	if c.stopped = stopped; stopped && c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
}

// early answers r, unless the end has begun.
func (c *conn) early(r *Request) (done bool, err error) {
	c.mu.Lock()
	if c.answering = !c.e.ending.Load(); !c.answering {
		c.mu.Unlock()
		return false, nil
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.answering = false
		if c.e.forget(c) {
			done, err = true, net.ErrClosed
		}
	}()
	return c.e.answer(c.Conn, r)
}

// forget closes a connection that was to be closed after its answer.
func (e *early) forget(c *conn) bool {
	if !e.ending.Load() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, late := e.late[c]
	if late {
		delete(e.late, c)
		_ = c.Conn.Close() // all was written
		e.work.Done()
	}
	return late
}

// extend lets the client be idle as long as after an answer of net/http; not to the
// second, since deadlines cost.
func (c *conn) extend() {
	const exact = time.Second
	if now := time.Now(); c.e.idle > 0 && now.Sub(c.extended) > exact {
		c.extended = now
		_ = c.Conn.SetReadDeadline(now.Add(c.e.idle)) // the next read tells
	}
}

// Close closes the connection: at once, unless an answer is under way that http.Server
// knows nothing of when it ends gracefully. Whoever closes without regard closes what
// [conn.NetConn] is.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answering || !c.e.ending.Load() {
		c.wake(true)
		return c.Conn.Close()
	}
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if _, again := c.e.late[c]; !again {
		if c.e.late == nil {
			c.e.late = map[*conn]struct{}{}
		}
		c.e.late[c] = struct{}{}
		c.e.work.Add(1)
	}
	return nil
}

// NetConn is the connection beneath.
func (c *conn) NetConn() net.Conn { return c.Conn }

// ReadFrom hands on what net/http has to send, so that the system may send it.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite is what net/http looks for.
func (c *conn) CloseWrite() error {
	if to, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return to.CloseWrite()
	}
	return syscall.ENOTSUP
}
