package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

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
	// schemaLock is the advisory lock under which a schema is changed.
	schemaLock = 0x6b656570 // "keep"
)

func (k Kind) types() *strings.Replacer {
	if k == PostgreSQL {
		return strings.NewReplacer("{id}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "{blob}", "BYTEA", "{empty}", `''::bytea`)
	}
	// AUTOINCREMENT: an id is never given twice, also where retention took the last row.
	return strings.NewReplacer("{id}", "INTEGER PRIMARY KEY AUTOINCREMENT", "{blob}", "BLOB", "{empty}", "x''")
}

// rebind turns ?1 into what the database understands.
func (k Kind) rebind(query string) string {
	if k == PostgreSQL {
		return strings.ReplaceAll(query, "?", "$")
	}
	return query
}

// openSQLite opens the file of dir: one connection that writes, some that read.
// synchronous=FULL: what is committed is on the disk, in WAL mode as well.
func openSQLite(dir string) (write, read *sql.DB, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
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
func (tx *Tx) LockSchema(ctx context.Context) error {
	if tx.kind == SQLite {
		return nil
	}
	_, err := tx.exec(ctx, "SELECT pg_advisory_xact_lock(?1)", schemaLock)
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
