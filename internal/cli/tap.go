package cli

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// excerpt keeps the beginning and the end of what is written to it.
type excerpt struct {
	mu         sync.Mutex
	head, tail []byte
}

// Bounds of an excerpt, in bytes.
const (
	excerptHead = 128 << 10
	excerptTail = 512 << 10
)

func (e *excerpt) Write(data []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(data)
	if room := excerptHead - len(e.head); room > 0 {
		e.head = append(e.head, data[:min(room, n)]...)
		data = data[min(room, n):]
	}
	if e.tail = append(e.tail, data...); len(e.tail) > 2*excerptTail {
		e.tail = append(e.tail[:0], e.tail[len(e.tail)-excerptTail:]...)
	}
	return n, nil
}

// bytes is what was kept; a line of it may be cut where something is left out.
func (e *excerpt) bytes() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Join([][]byte{e.head, e.tail}, nil)
}

// tap stands between a command and one of our streams: what the command writes goes on
// unchanged and is kept. A terminal stays one for the command.
type tap struct {
	child, ours *os.File
	stop        func()
	done        chan struct{}
}

// newTap returns nil where the stream cannot be tapped: the command gets it as it is.
func newTap(to io.Writer, keep *excerpt) *tap {
	t := &tap{stop: func() {}, done: make(chan struct{})}
	var err error
	if fd, isTerminal := terminal(to); isTerminal {
		if t.ours, t.child, err = pty.Open(); err != nil {
			return nil
		}
		if _, err = term.MakeRaw(int(t.child.Fd())); err != nil { // else newlines would be changed twice
			t.release()
			t.ours.Close()
			return nil
		}
		t.stop = t.followSize(fd)
	} else if t.ours, t.child, err = os.Pipe(); err != nil {
		return nil
	}
	go func() {
		defer close(t.done)
		buf := make([]byte, 32<<10)
		for {
			n, err := t.ours.Read(buf)
			if n > 0 {
				_, _ = keep.Write(buf[:n])
				if _, writeErr := to.Write(buf[:n]); writeErr != nil {
					t.ours.Close() // nobody reads any more: the command learns of it as it would
					return
				}
			}
			if err != nil { // the end, or, of a terminal, that the command has gone
				return
			}
		}
	}()
	return t
}

// release closes the command's end here, when it runs or cannot be started.
func (t *tap) release() { t.child.Close() }

// finish waits for the last words. What still runs in the background and holds the
// stream is not waited for.
func (t *tap) finish() {
	const longest = 2 * time.Second
	late := time.AfterFunc(longest, func() { t.ours.Close() })
	<-t.done
	if late.Stop() {
		t.ours.Close()
	}
	t.stop()
}

// followSize keeps the command's terminal as large as ours.
func (t *tap) followSize(fd int) (stop func()) {
	resize := func() {
		if w, h, err := term.GetSize(fd); err == nil {
			_ = pty.Setsize(t.ours, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
		}
	}
	resize()
	resized := make(chan os.Signal, 1)
	notifyResized(resized)
	quit := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-resized:
				resize()
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(resized)
		close(quit)
		work.Wait()
	}
}

// sameStream tells streams that lead to one place, where the order of what is written
// to both must stay.
func sameStream(a, b io.Writer) bool {
	if a == b {
		return true
	}
	f, ok := a.(*os.File)
	g, ok2 := b.(*os.File)
	if !ok || !ok2 {
		return false
	}
	x, err := f.Stat()
	y, err2 := g.Stat()
	return err == nil && err2 == nil && os.SameFile(x, y)
}
