package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver
)

// All that differs between the two databases stands in this file. Queries are written
// once, with ?1-style parameters, BIGINT numbers and TEXT documents.

// Kind is which database it is.
type Kind string

// The databases.
const (
	SQLite     Kind = "sqlite"
	PostgreSQL Kind = "postgresql"
)

const (
	// sqliteReaders is how many queries read at once beside the one writer.
	sqliteReaders = 4
	// postgresConns bounds one node's connections where the address does not
	// (pool_max_conns): a fresh server takes 100.
	postgresConns = 16
	// livenessClass is the first half of the advisory lock that each live node holds.
	livenessClass = 0x6c697665 // "live"
	// schemaLock is the advisory lock under which a schema is changed.
	schemaLock = 0x6b656570 // "keep"
	// datingLock is the advisory lock under which alerts without a time are told apart.
	datingLock = 0x64617465 // "date"
)

func (k Kind) types() *strings.Replacer {
	words := []string{"{repaired}", repaired}
	if k == PostgreSQL {
		return strings.NewReplacer(append(words, "{id}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "{blob}", "BYTEA", "{empty}", `''::bytea`)...)
	}
	// AUTOINCREMENT: an id is never given twice, also where retention took the last row.
	return strings.NewReplacer(append(words, "{id}", "INTEGER PRIMARY KEY AUTOINCREMENT", "{blob}", "BLOB", "{empty}", "x''")...)
}

// rebind turns ?1 into what the database understands.
func (k Kind) rebind(query string) string {
	if k == PostgreSQL {
		return strings.ReplaceAll(query, "?", "$")
	}
	return query
}

// bare is a column in a condition or a group for which SQLite, which has no statistics,
// must not take an index.
func (k Kind) bare(column string) string {
	if k == SQLite {
		return column + " || ''"
	}
	return column
}

// openSQLite opens the file of dir: one connection that writes, some that read.
// synchronous=FULL: what is committed is on the disk, in WAL mode as well.
func openSQLite(dir string) (write, read *sql.DB, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	// SQLite would make it readable for everybody; its journal has the rights of the file.
	f, err := os.OpenFile(filepath.Join(dir, File), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return nil, nil, err
	}
	name := "file:" + (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, File))}).EscapedPath() + "?"
	pragmas := []string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "temp_store(MEMORY)", "cache_size(-16000)"}
	write, err = sql.Open("sqlite", name+url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode())
	if err != nil {
		return nil, nil, err
	}
	write.SetMaxOpenConns(1)
	read, err = sql.Open("sqlite", name+url.Values{"_pragma": append(pragmas, "query_only(1)")}.Encode())
	if err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(sqliteReaders)
	read.SetMaxIdleConns(sqliteReaders)
	return write, read, nil
}

// openPostgres opens the pool that this package (through database/sql) and the job
// queue share. A commit is answered when it is on the server's disk, and the server
// notices within seconds that a node's machine is gone.
func openPostgres(ctx context.Context, address string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	if !strings.Contains(address, "pool_max_conns") {
		cfg.MaxConns = postgresConns
	}
	for name, value := range map[string]string{
		"synchronous_commit": "on", "application_name": "keepwell", "timezone": "UTC",
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
	} {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// durable tells whether the open database keeps what it confirms.
func (s *State) durable(ctx context.Context) error {
	if s.kind == SQLite {
		var mode string
		var sync int
		if err := s.write.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		if err := s.write.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
			return err
		}
		if mode != "wal" || sync < 2 {
			return fmt.Errorf("SQLite runs with journal_mode=%s, synchronous=%d, not wal and FULL (2)", mode, sync)
		}
		return nil
	}
	var commit, fsync string
	err := s.write.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit'), current_setting('fsync')").Scan(&commit, &fsync)
	if err == nil && (commit != "on" || fsync != "on") {
		err = fmt.Errorf("PostgreSQL runs with synchronous_commit=%s, fsync=%s: what it confirms a power cut may take (hint: set both to on)", commit, fsync)
	}
	return err
}

// begin starts a transaction that writes. On SQLite it holds the only writing
// connection, so that nobody else writes until it ends.
func (s *State) begin(ctx context.Context) (*Tx, error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	inner, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Tx{Reader: Reader{kind: s.kind, q: inner, now: s.now}, SQL: inner, conn: conn}, nil
}

// LockSchema makes a transaction wait until no other changes the schema. On SQLite
// every transaction of [State.Tx] is alone already.
func (tx *Tx) LockSchema(ctx context.Context) error { return tx.lock(ctx, schemaLock) }

func (tx *Tx) lock(ctx context.Context, number int64) error {
	if tx.kind == SQLite {
		return nil
	}
	_, err := tx.exec(ctx, "SELECT pg_advisory_xact_lock(?1)", number)
	return err
}

// lockRow makes a read row stay as it is until the transaction ends.
func (k Kind) lockRow() string {
	if k == PostgreSQL {
		return " FOR UPDATE"
	}
	return ""
}

// Pgx is the running transaction as pgx knows it, for the job queue; an error on SQLite.
// It can be used until the transaction ends, and cannot end it.
func (tx *Tx) Pgx() (pgx.Tx, error) {
	var inner *pgx.Conn
	err := tx.conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of %s has no pgx", tx.kind)
		}
		inner = c.Conn()
		return nil
	})
	return &within{conn: inner}, err
}

// retry tells an error after which PostgreSQL wants the transaction made again:
// serialization failure, deadlock.
func retry(err error) bool {
	var failed *pgconn.PgError
	return errors.As(err, &failed) && (failed.Code == "40001" || failed.Code == "40P01")
}

// Hold is what a node keeps as long as it lives; when its process ends, however that
// happens, it is let go by the system: on SQLite a lock on a file, which one process at
// a time can have, on PostgreSQL an advisory lock of a connection.
type Hold struct {
	file *flock.Flock
	conn *pgx.Conn
}

// ErrHeld says that another process works on the same SQLite file.
var ErrHeld = errors.New("another keepwell serves this data directory (hint: stop it, or give this one its own --data)")

// Hold takes the lock of a node.
func (s *State) Hold(ctx context.Context, node int64) (*Hold, error) {
	if s.kind == SQLite {
		lock := flock.New(filepath.Join(s.dir, "keepwell.lock"))
		ok, err := lock.TryLock()
		if err == nil && !ok {
			err = ErrHeld
		}
		return &Hold{file: lock}, err
	}
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return nil, err
	}
	var ok bool
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", livenessClass, int32(node)).Scan(&ok)
	if err == nil && !ok {
		err = fmt.Errorf("node %d: its lock is another's", node)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return &Hold{conn: conn}, nil
}

// Lost returns when the lock was lost, which on SQLite it never is, or when ctx ends,
// and then nil.
func (h *Hold) Lost(ctx context.Context) error {
	if h.conn == nil {
		<-ctx.Done()
		return nil
	}
	_, err := h.conn.WaitForNotification(ctx) // there are none: it waits for the end
	if ctx.Err() != nil {
		return nil //nolint:nilerr // asked for
	}
	return err
}

// Release lets go. Lost must have returned.
func (h *Hold) Release(ctx context.Context) error {
	if h.file != nil {
		return h.file.Unlock()
	}
	return h.conn.Close(ctx)
}

// Dead lists the nodes whose process ended without a word, apart from the caller, which
// must hold its lock. Until the transaction ends no other node finds the same.
func (tx *Tx) Dead(ctx context.Context, self int64) ([]Node, error) {
	nodes, err := list(ctx, tx.Reader, scanNode, "SELECT id, name, started_at, beat_at, gone_at FROM nodes WHERE gone_at = 0 AND id <> ?1 ORDER BY id", self)
	if err != nil || tx.kind == SQLite {
		return nodes, err // the file's lock is the caller's: nobody else lives
	}
	var dead []Node
	for _, n := range nodes {
		free, err := one(ctx, tx.Reader, func(s scanner) (ok bool, err error) { return ok, s.Scan(&ok) }, "SELECT pg_try_advisory_xact_lock(?1, ?2)", livenessClass, int32(n.ID))
		if err != nil {
			return nil, err
		}
		if free {
			dead = append(dead, n)
		}
	}
	return dead, nil
}

// Bury says that a node is gone and makes the jobs that it was working on available to
// others at once. That they were begun before does not use up their attempts.
func (tx *Tx) Bury(ctx context.Context, node Node) (jobs int64, err error) {
	if err := tx.must(ctx, "UPDATE nodes SET gone_at = ?2 WHERE id = ?1", node.ID, micros(tx.now())); err != nil {
		return 0, err
	}
	if _, err := tx.exec(ctx, "DELETE FROM river_leader WHERE leader_id = ?1", node.Name); err != nil {
		return 0, err
	}
	by := "(SELECT value FROM json_each(attempted_by) ORDER BY key DESC LIMIT 1)"
	if tx.kind == PostgreSQL {
		by = "attempted_by[array_length(attempted_by, 1)]"
	}
	return tx.exec(ctx, "UPDATE river_job SET state = 'available', max_attempts = max_attempts + 1 WHERE state = 'running' AND "+by+" = ?1", node.Name)
}

// Imminent is how soon a job must be due for [Tx.Promote].
const Imminent = 6 * time.Second

// Promote lets jobs that are due within Imminent be begun when they are. River's own look
// at them, every 5 s, comes too late for those that are inserted in between.
func (tx *Tx) Promote(ctx context.Context) error {
	until := fmt.Sprintf("datetime('now', 'subsec', '+%d seconds')", Imminent/time.Second)
	if tx.kind == PostgreSQL {
		until = fmt.Sprintf("now() + interval '%d seconds'", Imminent/time.Second)
	}
	_, err := tx.exec(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'scheduled' AND scheduled_at <= "+until)
	return err
}

// JobCount is how many jobs of a kind are in a state.
type JobCount struct {
	Kind  string `json:"kind"`
	State string `json:"state"` // of River: available, running, retryable, scheduled, discarded
	Count int64  `json:"count"`
}

// JobCounts counts the jobs that are not completed, for metrics and people. The queue's
// tables are there after jobs.Open.
func (r Reader) JobCounts(ctx context.Context) ([]JobCount, error) {
	return list(ctx, r, func(s scanner) (c JobCount, err error) { return c, s.Scan(&c.Kind, &c.State, &c.Count) },
		"SELECT kind, CAST(state AS TEXT), COUNT(*) FROM river_job WHERE state IN ('available', 'running', 'retryable', 'scheduled', 'pending', 'discarded') GROUP BY kind, state ORDER BY 1, 2")
}
