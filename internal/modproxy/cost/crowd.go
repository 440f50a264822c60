//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// crowd has 10,000 clients ask for a cold file each, at once, of an upstream that takes a
// while: memory at most, and how many requests the upstream has at once.
func crowd(ctx context.Context, b *bench) error {
	const clients, pause = 10000, 200 * time.Millisecond
	var mu sync.Mutex
	now, most := 0, 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(pause)
		mu.Lock()
		now--
		mu.Unlock()
		if !strings.HasSuffix(r.URL.Path, ".mod") {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintln(w, "module example.com/widget")
	}))
	defer up.Close()
	s, err := b.startKeepwell(ctx, []string{"GOSUMDB=off"}, filepath.Join(b.dir, "crowd"), "--upstream", up.URL)
	if err != nil {
		return err
	}
	defer s.stop()
	l := &loader{}
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(l.poll) //nolint:errcheck // nothing is kept in it
	defer func() {
		for fd := range l.conns {
			_ = unix.Close(fd)
		}
	}()
	for range clients {
		if err := l.connect(s.addr); err != nil {
			return err
		}
	}
	l.discard = make([]byte, 64<<10)
	for _, c := range l.conns {
		l.todo++
		l.request = fmt.Appendf(nil, "GET /example.com/widget/@v/v1.0.%d.mod HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n", l.waiting, s.addr)
		if err := l.ask(c); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := l.run(); err != nil {
		return err
	}
	b.table.note("%d clients at once, each for a cold .mod: %.1f s, %.0f MiB at most, %d requests at the upstream at once", clients, time.Since(began).Seconds(), s.peak(), most)
	return nil
}
