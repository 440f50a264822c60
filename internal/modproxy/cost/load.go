//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// connections is how many clients ask at once.
const connections = 16

// load makes n requests over 16 connections, one after the other on each, and returns
// the server's CPU time a request and the requests a second. It runs in one thread and
// has the system throw bodies away (MSG_TRUNC), so that it takes little from the server.
func (s *server) load(path string, n int) (cpu time.Duration, rps float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := &loader{request: []byte("GET " + path + " HTTP/1.1\r\nHost: " + s.addr + "\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"), todo: n, discard: make([]byte, 4<<20)}
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return 0, 0, err
	}
	defer unix.Close(l.poll) //nolint:errcheck // nothing is kept in it
	for range connections {
		if err := l.connect(s.addr); err != nil {
			return 0, 0, err
		}
	}
	defer func() {
		for fd := range l.conns {
			_ = unix.Close(fd)
		}
	}()
	before, began := s.cpu(), time.Now()
	if err := l.run(); err != nil {
		return 0, 0, fmt.Errorf("%s at %s: %w", path, s.addr, err)
	}
	took := time.Since(began)
	return (s.cpu() - before) / time.Duration(n), float64(n) / took.Seconds(), nil
}

// alone asks a server that somebody else started, for profiling it: ADDRESS PATH N PID.
func alone(args []string) {
	const wanted = 4
	if len(args) != wanted {
		fmt.Fprintln(os.Stderr, "usage: cost load ADDRESS PATH N PID")
		return
	}
	n, _ := strconv.Atoi(args[2])
	pid, _ := strconv.Atoi(args[3])
	s := &server{&exec.Cmd{Process: &os.Process{Pid: pid}}, args[0]}
	cpu, rps, err := s.load(args[1], n)
	fmt.Println(micros(cpu), int(rps), err)
}

type loader struct {
	poll    int
	conns   map[int]*conn
	request []byte
	todo    int // requests not yet made
	waiting int // answers not yet read
	discard []byte
}

type conn struct {
	fd   int
	head [4096]byte
	have int
	left int // of the body; -1: the header is being read
}

func (l *loader) connect(addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if l.conns == nil {
		l.conns = map[int]*conn{}
	}
	l.conns[fd] = &conn{fd: fd}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (l *loader) run() error {
	for _, c := range l.conns {
		if err := l.ask(c); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, connections)
	for l.waiting > 0 {
		n, err := unix.EpollWait(l.poll, events, 10000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("no answer for 10 s")
		}
		for _, e := range events[:n] {
			if err := l.read(l.conns[int(e.Fd)]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) ask(c *conn) error {
	if l.todo == 0 {
		return nil
	}
	l.todo--
	l.waiting++
	c.have, c.left = 0, -1
	_, err := unix.Write(c.fd, l.request)
	return err
}

func (l *loader) read(c *conn) error {
	var n int
	var err error
	if c.left < 0 {
		n, err = unix.Read(c.fd, c.head[c.have:])
	} else {
		n, _, err = unix.Recvfrom(c.fd, l.discard, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
	}
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the connection was closed early")
	case c.left < 0:
		err = c.header(n)
	default:
		c.left -= n
	}
	if err != nil || c.left != 0 {
		return err
	}
	l.waiting--
	return l.ask(c)
}

// header takes n more bytes and reads the status and the length once the header is
// whole.
func (c *conn) header(n int) error {
	c.have += n
	head, body, ok := bytes.Cut(c.head[:c.have], []byte("\r\n\r\n"))
	if !ok {
		if c.have == len(c.head) {
			return errors.New("the header is too long")
		}
		return nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", head)
	}
	_, length, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		return fmt.Errorf("an answer without a length: %q", head)
	}
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	size, err := strconv.Atoi(string(length))
	c.left = size - len(body)
	return err
}
