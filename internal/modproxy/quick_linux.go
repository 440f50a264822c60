package modproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Quick wraps a listener: its connections send the header of a kept file together with
// its beginning, from an open file that requests share. It does so for servers with
// [ConnContext]; anything else passes through.
func Quick(ln net.Listener) net.Listener { return quickListener{ln} }

// ConnContext makes the connection known to the proxy (http.Server.ConnContext).
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	if q, ok := c.(*quickConn); ok {
		return context.WithValue(ctx, connection{}, q)
	}
	return ctx
}

type connection struct{}

type quickListener struct{ net.Listener }

func (l quickListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	t, ok := c.(*net.TCPConn)
	if err != nil || !ok {
		return c, err
	}
	raw, err := t.SyscallConn()
	return &quickConn{TCPConn: t, raw: raw}, err
}

// quickConn holds a header back while holding is set, until the file comes. Only the
// goroutine that answers writes.
type quickConn struct {
	*net.TCPConn
	raw     syscall.RawConn
	holding bool
	held    []byte
	// warm says that the file was sent whole a moment ago: the disk is not waited for.
	warm bool
}

func (c *quickConn) Write(data []byte) (int, error) {
	if c.holding {
		c.held = append(c.held, data...)
		return len(data), nil
	}
	return c.TCPConn.Write(data)
}

// ReadFrom sends what is held, and a part of a file after it without copying.
func (c *quickConn) ReadFrom(r io.Reader) (int64, error) {
	head := c.held
	c.holding, c.held = false, c.held[:0]
	if l, s, ok := partOfFile(r); ok {
		return c.sendFile(head, l, s)
	}
	if err := c.release(head); err != nil {
		return 0, err
	}
	return c.TCPConn.ReadFrom(r)
}

// release writes what was held for a file that did not come.
func (c *quickConn) release(head []byte) error {
	c.holding, c.held = false, c.held[:0]
	if len(head) == 0 {
		return nil
	}
	_, err := c.TCPConn.Write(head)
	return err
}

// partOfFile is what http.ServeContent copies of a section of a file.
func partOfFile(r io.Reader) (*io.LimitedReader, *io.SectionReader, bool) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return nil, nil, false
	}
	s, ok := l.R.(*io.SectionReader)
	if !ok {
		return nil, nil, false
	}
	outer, _, _ := s.Outer()
	_, ok = outer.(*os.File)
	return l, s, ok
}

// send is sendfile. Go's scheduler is told of a call that may take long, and looks for
// them all the time: that costs more than the call does where the bytes are in memory
// and the connection takes what it can without waiting.
func (c *quickConn) send(to, from int, at *int64, most int) (int, error) {
	if !c.warm || strconv.IntSize < 64 { // where the offset is narrower, package unix knows
		return unix.Sendfile(to, from, at, most)
	}
	const atOnce = 256 << 10                                                                                                                      // other goroutines get their turn
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDFILE, uintptr(to), uintptr(from), uintptr(unsafe.Pointer(at)), uintptr(min(most, atOnce)), 0, 0) //nolint:gosec // as package syscall does
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (c *quickConn) sendFile(head []byte, l *io.LimitedReader, s *io.SectionReader) (int64, error) {
	outer, at, _ := s.Outer()
	f, ok := outer.(*os.File)
	past, err := s.Seek(0, io.SeekCurrent)
	if !ok || err != nil {
		return 0, errors.Join(errors.ErrUnsupported, err)
	}
	sent, err := c.sendPart(head, f, at+past, l.N)
	l.N -= sent
	return sent, err
}

// sendPart sends head and most bytes of f from at on, and tells how many of these.
func (c *quickConn) sendPart(head []byte, f *os.File, at, most int64) (int64, error) {
	begin := at
	var failed error
	err := c.raw.Write(func(to uintptr) bool {
		for len(head) > 0 {
			n, err := unix.SendmsgN(int(to), head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			if again, done := pause(err); done {
				failed = err
				return !again
			}
			head = head[max(n, 0):]
		}
		for at-begin < most {
			n, err := c.send(int(to), int(f.Fd()), &at, int(most-(at-begin)))
			if again, done := pause(err); done {
				failed = err
				return !again
			}
			if err == nil && n == 0 {
				break // the file is shorter than it was
			}
		}
		failed = nil
		return true
	})
	if err == nil {
		err = failed
	}
	return at - begin, err
}

// pause tells whether a call has to be made again once the connection takes more
// (again), and whether to leave the loop at all.
func pause(err error) (again, leave bool) {
	again = errors.Is(err, unix.EAGAIN)
	return again, again || err != nil && !errors.Is(err, unix.EINTR)
}

// serveBlob sends a large file. Where the connection is quick, so is this.
func (p *Proxy) serveBlob(w http.ResponseWriter, r *http.Request, e modstore.Entry) error {
	q, ok := r.Context().Value(connection{}).(*quickConn)
	if !ok {
		return p.serveFile(w, r, e)
	}
	f, err := p.open.get(r.Context(), p.openFile, e)
	if err != nil {
		return err
	}
	defer p.open.put(f)
	q.holding, q.warm = true, f.sent.Load()
	content := io.NewSectionReader(f.File, 0, e.Size)
	if r.Method != http.MethodGet || special(r) {
		http.ServeContent(w, r, "", time.Time{}, content)
	} else {
		h := w.Header()
		h["Accept-Ranges"], h["Content-Length"] = inBytes, []string{strconv.FormatInt(e.Size, 10)}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the header alone: net/http would read the beginning of the file else
		_, err = io.CopyN(w, content, e.Size)     // the client went away
		f.sent.Store(f.sent.Load() || err == nil)
	}
	_ = q.release(q.held) // the client went away
	return nil
}

// earlyBlob sends a large file whole, after head. done is false where that is left to
// serveBlob.
func (p *Proxy) earlyBlob(c net.Conn, head []byte, e modstore.Entry) (n int64, done bool, err error) {
	q, ok := c.(*quickConn)
	if !ok {
		return 0, false, nil
	}
	f, err := p.open.get(p.ctx, p.openFile, e)
	if err != nil {
		return 0, false, nil // serveBlob meets it, too
	}
	defer p.open.put(f)
	q.warm = f.sent.Load()
	n, err = q.sendPart(head, f.File, 0, e.Size)
	if err == nil && n < e.Size {
		err = io.ErrUnexpectedEOF // the length was promised: the connection has to end
	}
	f.sent.Store(f.sent.Load() || err == nil)
	return n, true, err
}

// openFiles are files that are being sent again and again.
type openFiles struct {
	mu   sync.Mutex
	all  map[string]*openFile
	wait *time.Timer // until the next look for old ones; nil: there are none
}

// openFile is one of them, with the number of requests that it is sent to.
type openFile struct {
	*os.File
	since time.Time
	users int
	gone  bool
	sent  atomic.Bool // whole
}

const (
	mostOpen = 64
	// openFor bounds how long a file that was put aside is still served: one that was
	// removed is not. It also bounds how long one lies open that nobody wants: until it
	// is closed, the room of a file that was collected is not free.
	openFor = time.Second
)

func (o *openFiles) get(ctx context.Context, open func(context.Context, modstore.Entry) (*os.File, error), e modstore.Entry) (*openFile, error) {
	now := time.Now()
	o.mu.Lock()
	f := o.all[e.Sum]
	if f != nil && now.Sub(f.since) < openFor && f.linked() {
		f.users++
		o.mu.Unlock()
		return f, nil
	}
	o.mu.Unlock()
	opened, err := open(ctx, e)
	if err != nil {
		return nil, err
	}
	f = &openFile{File: opened, since: now, users: 1}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(e.Sum)
	for sum := range o.all { // any one
		if len(o.all) < mostOpen {
			break
		}
		o.drop(sum)
	}
	if o.all == nil {
		o.all = map[string]*openFile{}
	}
	o.all[e.Sum] = f
	if o.wait == nil {
		o.wait = time.AfterFunc(openFor, o.sweep)
	}
	return f, nil
}

// sweep lets go of files that are not handed out any more.
func (o *openFiles) sweep() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for sum, f := range o.all {
		if now.Sub(f.since) >= openFor {
			o.drop(sum)
		}
	}
	if len(o.all) > 0 {
		o.wait.Reset(openFor)
		return
	}
	o.wait = nil
}

// linked tells whether the file still has its name.
func (f *openFile) linked() bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0
}

func (o *openFiles) drop(sum string) {
	f := o.all[sum]
	if f == nil {
		return
	}
	delete(o.all, sum)
	if f.gone = true; f.users == 0 {
		_ = f.Close() // only read
	}
}

func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.users--; f.gone && f.users == 0 {
		_ = f.Close() // only read
	}
}

func (o *openFiles) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for sum := range o.all {
		o.drop(sum)
	}
	if o.wait != nil {
		o.wait.Stop() // a sweep that has begun finds nothing
	}
}
