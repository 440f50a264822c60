package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// says is how requests for /early/… are answered early.
func says(c net.Conn, r *Request) (bool, error) {
	if !strings.HasPrefix(r.Path, "/early/") {
		return false, nil
	}
	text := "early " + r.Path
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	return true, err
}

func late(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "late "+r.URL.Path) }

// pipes is a listener whose connections are in memory, so that their deadlines are those
// of a bubble's clock.
type pipes struct {
	once  sync.Once
	ended chan struct{}
	new   chan net.Conn
}

func newPipes() *pipes { return &pipes{ended: make(chan struct{}), new: make(chan net.Conn)} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.new:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// client of a server that answers early.
type client struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

// connect starts a server and connects with it.
func connect(t *testing.T, h http.HandlerFunc, answer Early) client {
	t.Helper()
	ln := newPipes()
	rs := &readers{}
	e := &early{Listener: ln, answer: answer, idle: 2 * time.Minute}
	s := &http.Server{Handler: h, ConnState: rs.state, IdleTimeout: e.idle, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(e) })
	ours, theirs := net.Pipe()
	ln.new <- theirs
	t.Cleanup(func() { ours.Close(); s.Close(); work.Wait() })
	return client{t, ours, bufio.NewReader(ours)}
}

func (c client) send(text string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.Fatal(err)
	}
}

// reads one answer.
func (c client) reads(want string) {
	c.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Fatalf("%s: %v", want, err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
		c.Fatalf("%q, want %q: %v", got, want, err)
	}
}

func request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }

// TestEarlyAndLate: requests are answered in their order, early where net/http is known
// to wait for them.
func TestEarlyAndLate(t *testing.T) {
	t.Parallel()
	type step struct{ send, want string }
	const first = "late /early/0" // net/http meets every connection
	for name, steps := range map[string][]step{
		"by turns": {
			{request("/early/1"), "early /early/1"},
			{request("/early/2"), "early /early/2"},
			{request("/x"), "late /x"},
			{request("/early/3"), "early /early/3"},
		},
		"two at once": {
			{request("/early/1") + request("/early/2"), "late /early/1"},
			{"", "late /early/2"},
			{request("/early/3"), "late /early/3"}, // where net/http is in what was read, nobody knows any more
		},
		"one and a half": {
			{request("/early/1") + "GET /early/2 HT", "late /early/1"},
			{"TP/1.1\r\nHost: h\r\n\r\n", "late /early/2"},
		},
		"in pieces": {{"GET /early/1 HTTP/1.1\r\n", ""}, {"Host: h\r\n\r\n", "late /early/1"}, {request("/early/2"), "late /early/2"}},
		"a body that looks like a request": {
			{"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\n", "late /x"},
			{"GET /early/1 HTTP/1.1\r\nHost: h2345\r\n\r\n", ""},
			{request("/y"), "late /y"},
		},
		"chunks that look like a request": {
			{"GET /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "late /x"},
			{"26\r\nGET /early/1 HTTP/1.1\r\nHost: h2345\r\n\r\n\r\n0\r\n\r\n", ""},
			{request("/y"), "late /y"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength != 0 {
					_ = http.NewResponseController(w).EnableFullDuplex()
					w.Header().Set("Content-Length", fmt.Sprint(len("late /x")))
					late(w, r)
					_ = http.NewResponseController(w).Flush()
					_, _ = io.Copy(io.Discard, r.Body)
					return
				}
				late(w, r)
			}, says)
			c.send(request("/early/0"))
			c.reads(first)
			for _, s := range steps {
				c.send(s.send)
				if s.want != "" {
					c.reads(s.want)
				}
			}
		})
	}
}

// TestMoreWhileWorking: what comes while net/http is at work is kept until it is done, and
// its handler goes on; that the client went away, it is told.
func TestMoreWhileWorking(t *testing.T) {
	t.Parallel()
	sent, gone := make(chan struct{}), make(chan struct{})
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-sent
		case "/forever":
			<-r.Context().Done()
			close(gone)
		}
		if err := r.Context().Err(); err != nil && r.URL.Path == "/slow" {
			t.Error(err)
		}
		late(w, r)
	}, says)
	c.send(request("/slow"))
	c.send(request("/early/1")[:1]) // in memory, it is sent once it was read
	close(sent)
	c.reads("late /slow")
	c.send(request("/early/1")[1:])
	c.reads("early /early/1")
	c.send(request("/early/2"))
	c.reads("early /early/2")
	c.send(request("/forever"))
	c.Close()
	<-gone
}

// TestIdleEarly: a connection with early answers stays as long as requests come, and ends
// once none has come for the time that http.Server is given.
func TestIdleEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, late, says)
		c.send(request("/"))
		c.reads("late /")
		for i := range 10 {
			time.Sleep(110 * time.Second) // of the bubble's clock
			path := fmt.Sprintf("/early/%d", i)
			c.send(request(path))
			c.reads("early " + path)
		}
		time.Sleep(119 * time.Second)
		c.send("GET ") // a client that takes its time gets no more than that of a header
		began := time.Now()
		if _, err := io.ReadAll(c.in); err != nil || time.Since(began) > 11*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		c = connect(t, late, says)
		c.send(request("/"))
		c.reads("late /")
		c.send(request("/early/1"))
		c.reads("early /early/1")
		began = time.Now()
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) || time.Since(began) > 2*time.Minute+time.Second {
			t.Errorf("idle for %s: %v", time.Since(began), err)
		}
	})
}

// TestEarlyBroken: an answer that cannot be completed ends the connection.
func TestEarlyBroken(t *testing.T) {
	t.Parallel()
	c := connect(t, late, func(c net.Conn, _ *Request) (bool, error) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfive")
		return true, io.ErrUnexpectedEOF
	})
	c.send(request("/"))
	c.reads("late /")
	c.send(request("/early/"))
	if got, err := io.ReadAll(c.in); err != nil || !strings.HasSuffix(string(got), "\r\n\r\nfive") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestEarlyPanics: one answer that fails badly ends its connection, as with net/http.
func TestEarlyPanics(t *testing.T) {
	t.Parallel()
	c := connect(t, late, func(net.Conn, *Request) (bool, error) { panic("at the disco") })
	c.send(request("/"))
	c.reads("late /")
	c.send(request("/early/"))
	if got, err := io.ReadAll(c.in); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// TestEarlyEndsGracefully: an answer that is under way when the end begins is sent whole,
// and one that takes longer than the grace is cut.
func TestEarlyEndsGracefully(t *testing.T) {
	t.Parallel()
	if !canLook {
		t.Skip("no early answers here")
	}
	for name, cut := range map[string]bool{"in time": false, "never": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			began, stopped := make(chan struct{}), make(chan struct{})
			answer := func(c net.Conn, _ *Request) (bool, error) { //nolint:unparam // see Early
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"); err != nil {
					return true, err
				}
				close(began)
				<-stopped
				for cut { // the client takes nothing
					if _, err := c.Write(make([]byte, 1<<20)); err != nil {
						return true, err
					}
				}
				_, err := io.WriteString(c, "after")
				return true, err
			}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			ended := make(chan error, 1)
			grace := time.Minute
			if cut {
				grace = time.Millisecond
			}
			s := &http.Server{Handler: http.HandlerFunc(late), ReadHeaderTimeout: time.Minute}
			s.RegisterOnShutdown(func() { // after that, idle connections are closed
				for {
					c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", ln.Addr().String())
					if err != nil {
						break
					}
					c.Close()
				}
				close(stopped)
			})
			go func() { ended <- Serve(ctx, ln, Options{Server: s, Early: answer, Grace: grace}) }()
			conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := client{t, conn, bufio.NewReader(conn)}
			c.send(request("/"))
			c.reads("late /")
			c.send(request("/early/"))
			<-began
			stop()
			if cut {
				if err := <-ended; err != nil {
					t.Error(err)
				}
				return
			}
			c.reads("firstafter")
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection stays: %v", err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEarlyToTheDeadIsCut: who takes nothing of an early answer is found by looking.
func TestEarlyToTheDeadIsCut(t *testing.T) {
	t.Parallel()
	if !canLook {
		t.Skip("no way to look here")
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rs := &readers{}
	failed := make(chan error, 1)
	e := &early{Listener: ln, answer: func(c net.Conn, _ *Request) (bool, error) {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return true, err
			}
		}
	}}
	s := &http.Server{Handler: http.HandlerFunc(late), ConnState: rs.state, ReadHeaderTimeout: time.Minute}
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(e) })
	defer work.Wait()
	defer s.Close()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := client{t, conn, bufio.NewReader(conn)}
	c.send(request("/"))
	c.reads("late /")
	c.send(request("/early/"))
	for {
		rs.look()
		select {
		case err := <-failed:
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
			return
		default:
		}
	}
}
