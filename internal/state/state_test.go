package state_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }

// do runs f in a transaction that must succeed.
func do(t *testing.T, st *state.State, f func(tx *state.Tx) error) {
	t.Helper()
	if err := st.Tx(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// refused runs f in a transaction that must end in want.
func refused(t *testing.T, st *state.State, want error, f func(tx *state.Tx) error) {
	t.Helper()
	if err := st.Tx(t.Context(), f); !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestDurable reads the settings that durability hangs on back on every connection that
// can be had at once.
func TestDurable(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		pools := map[string]*sql.DB{"write": st.Writer()}
		if st.Kind() == state.SQLite {
			pools["read"] = st.Readers()
		}
		seen := 0
		for name, db := range pools {
			for range db.Stats().MaxOpenConnections {
				checkDurable(t, st.Kind(), name, conn(t, db))
				seen++
			}
		}
		if st.Kind() == state.PostgreSQL { // the pool bounds the connections there
			for range st.Pool().Config().MaxConns {
				checkDurable(t, st.Kind(), "pool", conn(t, st.Writer()))
				seen++
			}
		}
		if seen < 5 {
			t.Errorf("saw only %d connections", seen)
		}
	})
}

func conn(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	c := must(db.Conn(t.Context()))(t)
	t.Cleanup(func() { c.Close() }) // held, so that the next one is another
	return c
}

func checkDurable(t *testing.T, kind state.Kind, name string, c *sql.Conn) {
	t.Helper()
	want := map[string]string{"SHOW synchronous_commit": "on", "SHOW fsync": "on", "SHOW tcp_keepalives_idle": "5"}
	if kind == state.SQLite {
		want = map[string]string{"PRAGMA synchronous": "2", "PRAGMA journal_mode": "wal", "PRAGMA query_only": map[string]string{"read": "1", "write": "0"}[name]}
	}
	for query, value := range want {
		var got string
		if err := c.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != value {
			t.Errorf("%s connection: %s is %q, %v, want %q", name, query, got, err, value)
		}
	}
}

// TestDurableRefuses: a server that does not keep what it confirms is not used.
func TestDurableRefuses(t *testing.T) {
	t.Parallel()
	address := statetest.PostgreSQL(t)
	c := must(pgx.Connect(t.Context(), address))(t)
	defer c.Close(context.Background())
	var name string
	if err := c.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	// What keepwell asks for at connecting outranks the database's own setting.
	if _, err := c.Exec(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	statetest.Open(t, state.Options{Database: address})
	// What the address asks for is overruled, too.
	statetest.Open(t, state.Options{Database: address + "?synchronous_commit=off"})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    state.Options
		want string
	}{
		{state.Options{}, "hint: --data"},
		{state.Options{Database: "mysql://u:secret@h/d"}, "hint: postgres://"},
		{state.Options{Database: "postgres://u:secret@127.0.0.1:1/d?connect_timeout=2"}, "connect"},
		{state.Options{Dir: filepath.Join("/dev/null", "x")}, "not a directory"},
	} {
		st, err := state.Open(t.Context(), tt.o)
		if err == nil {
			st.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want …%s… without the password", tt.o, err, tt.want)
		}
	}
}

// TestMigrateAtOnce: several nodes start on an empty database.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				st, err := state.Open(t.Context(), o)
				if err != nil {
					t.Error(err)
					return
				}
				if err := st.Tx(t.Context(), func(tx *state.Tx) error { return tx.SetSetting(t.Context(), "a", "b") }); err != nil {
					t.Error(err)
				}
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestNewerSchema: an older keepwell leaves a newer one's tables alone.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		do(t, st, func(tx *state.Tx) error {
			_, err := tx.SQL.ExecContext(t.Context(), "INSERT INTO keepwell_schema(version, applied_at) VALUES(1000, 0)")
			return err
		})
		if st, err := state.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "newer keepwell") {
			t.Errorf("%v", err)
			if err == nil {
				st.Close()
			}
		}
	})
}

func TestTx(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		st := statetest.Open(t, o)
		var order []string
		do(t, st, func(tx *state.Tx) error {
			tx.AfterCommit(func() {
				if _, ok, err := st.Setting(ctx, "kept"); err != nil || !ok {
					t.Errorf("after the commit, not seen outside: %v", err)
				}
				order = append(order, "after")
			})
			tx.BeforeCommit(func(ctx context.Context, tx *state.Tx) error {
				order = append(order, "last")
				return tx.SetSetting(ctx, "kept", "1")
			})
			order = append(order, "body")
			if _, ok, _ := st.Setting(ctx, "kept"); ok {
				t.Error("seen outside before the commit")
			}
			return nil
		})
		if got := strings.Join(order, " "); got != "body last after" {
			t.Error(got)
		}
		broken := errors.New("broken")
		never := func() { t.Error("called after a rollback") }
		refused(t, st, broken, func(tx *state.Tx) error {
			tx.AfterCommit(never)
			_ = tx.SetSetting(ctx, "lost", "1")
			return broken
		})
		refused(t, st, broken, func(tx *state.Tx) error {
			tx.AfterCommit(never)
			_ = tx.SetSetting(ctx, "lost", "1")
			tx.BeforeCommit(func(context.Context, *state.Tx) error { return broken })
			return nil
		})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = st.Tx(ctx, func(tx *state.Tx) error {
				tx.AfterCommit(never)
				_ = tx.SetSetting(ctx, "lost", "1")
				panic("broken")
			})
		}()
		if _, ok, err := st.Setting(ctx, "lost"); ok || err != nil {
			t.Errorf("a transaction that failed was kept (%v)", err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := st.Tx(ended, func(*state.Tx) error { return nil }); err == nil {
			t.Error("a transaction of an ended context succeeded")
		}
	})
}

// TestDeadlockIsTriedAgain: two transactions on PostgreSQL lock two rows crosswise; the
// one that the server ends is made again.
func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Database: statetest.PostgreSQL(t)})
	do(t, st, func(tx *state.Tx) error {
		return errors.Join(tx.SetSetting(t.Context(), "a", "0"), tx.SetSetting(t.Context(), "b", "0"))
	})
	meet := make(chan struct{})
	var both sync.WaitGroup
	var mu sync.Mutex
	bodies := 0
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		both.Go(func() {
			first := true
			err := st.Tx(t.Context(), func(tx *state.Tx) error {
				mu.Lock()
				bodies++
				mu.Unlock()
				if err := tx.SetSetting(t.Context(), names[0], "1"); err != nil {
					return err
				}
				if first { // both hold their first row before either wants the other's
					first = false
					select {
					case meet <- struct{}{}:
					case <-meet:
					}
				}
				return tx.SetSetting(t.Context(), names[1], "1")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if bodies < 3 { // a busy server may end one more than once
		t.Errorf("the bodies ran %d times, want 3 or more", bodies)
	}
}

// TestPgx: what is written through pgx belongs to the same transaction, savepoints too.
func TestPgx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st := statetest.Open(t, state.Options{Database: statetest.PostgreSQL(t)})
	broken := errors.New("broken")
	set := func(tx pgx.Tx, name string) {
		if _, err := tx.Exec(ctx, "INSERT INTO settings VALUES($1, '', 0)", name); err != nil {
			t.Error(err)
		}
	}
	body := func(prefix string, end error) func(tx *state.Tx) error {
		return func(tx *state.Tx) error {
			px, err := tx.Pgx()
			if err != nil {
				return err
			}
			set(px, prefix+"outer")
			kept, _ := px.Begin(ctx)
			set(kept, prefix+"inner")
			gone, _ := kept.Begin(ctx)
			set(gone, prefix+"gone")
			if err := errors.Join(gone.Rollback(ctx), kept.Commit(ctx)); err != nil {
				return err
			}
			if px.Commit(ctx) == nil || px.Rollback(ctx) == nil || !errors.Is(kept.Commit(ctx), pgx.ErrTxClosed) {
				t.Error("ended by another")
			}
			if _, ok, _ := tx.Setting(ctx, prefix+"inner"); !ok {
				t.Error("another transaction")
			}
			return end
		}
	}
	do(t, st, body("1", nil))
	refused(t, st, broken, body("2", broken))
	for name, want := range map[string]bool{"1outer": true, "1inner": true, "1gone": false, "2outer": false, "2inner": false} {
		if _, ok, err := st.Setting(ctx, name); err != nil || ok != want {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	lite := statetest.Open(t, state.Options{Dir: t.TempDir()})
	do(t, lite, func(tx *state.Tx) error {
		if _, err := tx.Pgx(); err == nil {
			t.Error("pgx on SQLite")
		}
		return nil
	})
}
