// Package statetest opens databases for tests: SQLite always, PostgreSQL from Debian's
// package where it is installed, started by the test process itself on a spare port of
// the loopback in a directory of its own and gone with it. It is for tests only.
//
//	func TestMain(m *testing.M) { statetest.Main(m) }
//
//	func TestThing(t *testing.T) {
//		statetest.Each(t, func(t *testing.T, o state.Options) {
//			st := statetest.Open(t, o)
//			…
//		})
//	}
package statetest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keepwell/keepwell/internal/state"
)

// Main is the TestMain of a package that uses PostgreSQL: it stops the server in the end.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Each runs f once a database, in parallel: an empty one for each call.
func Each(t *testing.T, f func(*testing.T, state.Options)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, state.Options{Dir: t.TempDir()})
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		f(t, state.Options{Dir: t.TempDir(), Database: PostgreSQL(t)})
	})
}

// Open opens the database of o and closes it when the test ends.
func Open(t testing.TB, o state.Options) *state.State {
	t.Helper()
	st, err := state.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// Clock is a time that tests move by hand.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock stands at a fixed time.
func NewClock() *Clock { return &Clock{at: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var server struct { // one for the whole test process
	sync.Mutex
	started bool
	address string // without a database's name
	skip    string // why there is none
	stop    func()
	count   int
}

// PostgreSQL makes an empty database and returns its address. The test is skipped where
// PostgreSQL is not installed.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	if !server.started {
		server.started = true
		server.address, server.stop, server.skip = startServer()
	}
	if server.skip != "" {
		t.Skip("no PostgreSQL: " + server.skip)
	}
	server.count++
	name := fmt.Sprintf("keepwell_%d", server.count)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.address+"postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return server.address + name
}

// Stop ends the server that tests have started, for a TestMain of another kind than [Main].
func Stop() {
	server.Lock()
	defer server.Unlock()
	if server.stop != nil {
		server.stop()
	}
}

// ready tells the line with which a server says that it can be used.
func ready(line string) bool {
	return strings.Contains(line, "database system is ready to accept connections")
}
