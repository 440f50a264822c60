package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// keeper is one of them, seen from keepwell.
type keeper struct {
	cmd   *exec.Cmd
	conn  *net.UnixConn
	ended chan struct{} // closed when it is no more
}

// patience is how long a keeper may take to end what it keeps, and then itself.
const patience = 10 * time.Second

func (k *Keepers) can() bool { return k != nil && len(k.Launcher) > 0 }

// start starts a keeper. Its end of the socket is its descriptor 3.
func (k *Keepers) start() (*keeper, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "keeper"), os.NewFile(uintptr(fds[1]), "keepwell")
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("making a socket: of another kind")
	}
	cmd := exec.Command(k.Launcher[0], k.Launcher[1:]...) //nolint:noctx // it ends with its socket
	cmd.Env = []string{}                                  // no secret of keepwell is to be found in it
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's ^C is keepwell's
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	w := &keeper{cmd, unix, make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(w.ended)
	}()
	return w, nil
}

// take takes a keeper that is free, or starts one.
func (k *Keepers) take() (*keeper, error) {
	for {
		k.mu.Lock()
		last := len(k.free) - 1
		if last < 0 {
			k.mu.Unlock()
			return k.start()
		}
		w := k.free[last]
		k.free = k.free[:last]
		k.mu.Unlock()
		select {
		case <-w.ended: // somebody killed it
			w.end()
		default:
			return w, nil
		}
	}
}

func (k *Keepers) give(w *keeper) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.free) < mostFree && !k.closed {
		k.free = append(k.free, w)
		return
	}
	go w.end()
}

// Close lets go of the keepers that are free; those at work do so when they are done.
func (k *Keepers) Close() {
	k.mu.Lock()
	free := k.free
	k.free, k.closed = nil, true
	k.mu.Unlock()
	for _, w := range free {
		w.end()
	}
}

// end lets a keeper go: without its socket it ends what it keeps, and itself.
func (w *keeper) end() {
	_ = w.conn.Close()
	select {
	case <-w.ended:
	case <-time.After(patience):
		_ = w.cmd.Process.Kill()
		<-w.ended
	}
}

// run has a keeper do an order, until nothing of it is left. The end of ctx ends it all.
func (k *Keepers) run(ctx context.Context, o order, out, errs io.Writer) (report, error) {
	text, err := frame(o)
	if err != nil {
		return report{}, err
	}
	streams, err := newStreams(out, errs)
	if err != nil {
		return report{}, err
	}
	w, err := k.take()
	if err != nil {
		streams.forget()
		return report{}, fmt.Errorf("starting a keeper: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = w.conn.CloseWrite()
		_ = w.conn.SetDeadline(time.Now().Add(patience))
	})
	defer stop()
	sent, _, err := w.conn.WriteMsgUnix(text, syscall.UnixRights(int(streams.write[0].Fd()), int(streams.write[1].Fd())), nil)
	if err == nil && sent < len(text) {
		_, err = w.conn.Write(text[sent:])
	}
	if err != nil { // an order that is cut off is none
		streams.forget()
		w.end()
		return report{}, fmt.Errorf("asking a keeper: %w", err)
	}
	streams.sent()
	r, err := w.hear()
	if err != nil { // it was killed: nobody has what left the session
		_ = w.cmd.Process.Kill()
		<-w.ended
		endSession(w.cmd.Process.Pid)
	}
	streams.wait()
	if stop() && err == nil && r.Left == 0 {
		k.give(w)
	} else {
		w.end()
	}
	if err != nil {
		return r, fmt.Errorf("its keeper ended before it: %w", err)
	}
	return r, nil
}

func (w *keeper) hear() (r report, err error) {
	var head [4]byte
	if _, err := io.ReadFull(w.conn, head[:]); err != nil {
		return r, err
	}
	return r, unframe(w.conn, head, &r)
}

// streams are two pipes that are read until nobody writes into them.
type streams struct {
	read, write [2]*os.File
	copied      sync.WaitGroup
}

func newStreams(out, errs io.Writer) (*streams, error) {
	s := &streams{}
	for i, to := range []io.Writer{out, errs} {
		r, w, err := os.Pipe()
		if err != nil {
			s.forget()
			return nil, fmt.Errorf("making a pipe: %w", err)
		}
		s.read[i], s.write[i] = r, w
		s.copied.Go(func() { _, _ = io.Copy(to, r) })
	}
	return s, nil
}

// sent closes our ends for writing, which the keeper has now.
func (s *streams) sent() {
	for _, w := range s.write {
		if w != nil {
			_ = w.Close()
		}
	}
}

// wait waits for the end of both streams; whoever holds them without being one of the
// command's descendants is waited for no longer than a moment.
func (s *streams) wait() {
	for _, r := range s.read {
		if r != nil {
			_ = r.SetReadDeadline(time.Now().Add(time.Second))
		}
	}
	s.copied.Wait()
	for _, r := range s.read {
		if r != nil {
			_ = r.Close()
		}
	}
}

func (s *streams) forget() {
	s.sent()
	s.wait()
}
