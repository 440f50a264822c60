package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// asked is an order with the descriptors that came with it.
type asked struct {
	order
	streams []int
}

// Keep is what the program of a keeper calls: it does the orders that come through the
// socket which is its descriptor 3, until nobody is left who could send one.
func Keep() error {
	runtime.LockOSThread() // what is started is to end with this thread
	// Whose parent ends becomes our child and not init's: nothing gets lost.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopting orphans: %w", err)
	}
	const socket = 3
	syscall.CloseOnExec(socket)
	file := os.NewFile(socket, "keepwell")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return fmt.Errorf("a keeper is started by keepwell alone: %w", err)
	}
	defer func() { _ = conn.Close() }()
	from, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("a keeper is started by keepwell alone")
	}
	// Signals that mean the whole service are for keepwell to judge. They are not ignored,
	// which commands would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	k := keeping{children: make(chan os.Signal, 1), orders: make(chan asked)}
	signal.Notify(k.children, syscall.SIGCHLD)
	go hear(from, k.orders)
	for a := range k.orders {
		if err := k.do(a, conn); err != nil {
			return err
		}
	}
	return nil
}

// tell sends keepwell a report. Where it is no more, there are no more orders either.
func tell(to io.Writer, r report) error {
	text, err := frame(r)
	if err != nil {
		return err
	}
	_, _ = to.Write(text)
	return nil
}

// hear reads orders until there are none.
func hear(from *net.UnixConn, orders chan<- asked) {
	defer close(orders)
	for {
		a, err := next(from)
		if err != nil {
			return
		}
		orders <- a
	}
}

func next(from *net.UnixConn) (a asked, err error) {
	var head [4]byte
	rights := make([]byte, syscall.CmsgSpace(2*4))
	n, size, _, _, err := from.ReadMsgUnix(head[:], rights)
	if err != nil || n == 0 {
		return a, io.EOF
	}
	if _, err := io.ReadFull(from, head[n:]); err != nil {
		return a, err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:size])
	if err != nil || len(messages) != 1 {
		return a, errors.New("no streams came")
	}
	if a.streams, err = syscall.ParseUnixRights(&messages[0]); err != nil || len(a.streams) != 2 {
		return a, errors.New("no streams came")
	}
	return a, unframe(from, head, &a.order)
}

// keeping does orders.
type keeping struct {
	children chan os.Signal // one of them ended
	orders   chan asked     // closed: all is to end
}

// do starts a command and waits until neither it nor anything that it started is left.
func (k keeping) do(a asked, to io.Writer) error {
	none, err := os.Open(os.DevNull)
	if err != nil {
		return tell(to, report{Failed: err.Error()})
	}
	pid, err := syscall.ForkExec(a.Argv[0], a.Argv, &syscall.ProcAttr{
		Dir: a.Dir, Env: a.Env, Files: []uintptr{none.Fd(), uintptr(a.streams[0]), uintptr(a.streams[1])},
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	_ = none.Close()
	for _, fd := range a.streams {
		_ = syscall.Close(fd)
	}
	if err != nil {
		return tell(to, report{Failed: fmt.Sprintf("%s: %v", a.Argv[0], err)})
	}
	j := job{command: pid}
	for over := false; j.command != 0 && !over; {
		select {
		case <-k.children:
			j.reap()
		case <-k.orders: // closed; one order at a time is sent
			over = true
		}
	}
	j.endAll(k.children)
	return tell(to, j.report)
}

// job is an order that is being done.
type job struct {
	report
	command int // 0: it has ended
}

// reap takes note of the children that have ended: of the command how, of the others
// nothing. None says that there are no more.
func (j *job) reap() (none bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return true
		case pid == 0:
			return false
		case pid == j.command:
			j.command, j.Exit = 0, status.ExitStatus()
			if status.Signaled() {
				j.Exit = 128 + int(status.Signal())
			}
		}
	}
}

// endAll kills all that is left, again and again, since what is being killed can start
// more before it is.
func (j *job) endAll(children <-chan os.Signal) {
	met := map[process]bool{}
	for over := time.Now().Add(trying); ; {
		left := map[process]bool{}
		none := j.reap()
		if !none {
			left = descendants(os.Getpid())
		}
		if none || time.Now().After(over) {
			for p := range left {
				p.zombie = false
				delete(met, p)
			}
			j.Left, j.Ended = len(left), len(met)
			return
		}
		for p := range left {
			_ = kill(p) // or it is still there when the time is over
			if !p.zombie && p.pid != j.command {
				met[p] = true
			}
		}
		for range 20 {
			if !killAdopted() || j.reap() {
				break
			}
		}
		select {
		case <-children:
		case <-time.After(tick):
		}
	}
}

// killAdopted kills our children: what starts another and ends, over and over, is quicker
// than a look at all processes. Nobody gets the number of a child before it is reaped.
func killAdopted() (some bool) {
	self := strconv.Itoa(os.Getpid())
	text, err := os.ReadFile("/proc/self/task/" + self + "/children") // of the first thread, which adopts
	if err != nil {
		return false
	}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			some = syscall.Kill(pid, syscall.SIGKILL) == nil || some
		}
	}
	return some
}

const (
	// trying is how long a keeper tries to end what does not end.
	trying = 5 * time.Second
	// tick is how long it waits before it looks again.
	tick = 5 * time.Millisecond
)

// process is one, whatever else gets its number later.
type process struct {
	pid    int
	zombie bool
	// since is when it was started, in clock ticks since the machine was.
	since string
}

// relative is a process with its parent and its session.
type relative struct {
	process
	parent, session int
}

// running are all processes that can be seen.
func running() (all []relative) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if r, ok := look(pid); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

// descendants are the processes below one.
func descendants(of int) map[process]bool {
	below := map[int][]process{}
	for _, r := range running() {
		below[r.parent] = append(below[r.parent], r.process)
	}
	found := map[process]bool{}
	for queue := []int{of}; len(queue) > 0; queue = queue[1:] {
		for _, p := range below[queue[0]] {
			if !found[p] {
				found[p] = true
				queue = append(queue, p.pid)
			}
		}
	}
	return found
}

// endSession kills what is in a session, for as long as there is something new. No process
// gets a number that is that of a session.
func endSession(leader int) {
	for met := map[process]bool{}; ; {
		some := false
		for _, r := range running() {
			if r.session == leader && !r.zombie && !met[r.process] {
				met[r.process], some = true, true
				_ = kill(r.process)
			}
		}
		if !some {
			return
		}
	}
}

// look reads what the kernel says of a process: proc_pid_stat(5).
func look(pid int) (r relative, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return r, false
	}
	// Its name stands in brackets and may hold some itself.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, parent, session, start = 0, 1, 3, 19
	if len(fields) <= start {
		return r, false
	}
	r.process = process{pid, fields[state] == "Z", fields[start]}
	r.parent, err = strconv.Atoi(fields[parent])
	if err == nil {
		r.session, err = strconv.Atoi(fields[session])
	}
	return r, err == nil
}

// kill ends a process, and none that has its number now.
func kill(p process) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ENOSYS) { // a kernel before 5.3
		return gone(syscall.Kill(p.pid, syscall.SIGKILL))
	}
	if err != nil {
		return gone(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if now, ok := look(p.pid); !ok || now.since != p.since {
		return nil
	}
	return gone(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
}

// gone takes it for done where the process had already ended.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
