// Package state is everything durable of the server, in one SQLite file or in
// PostgreSQL: alerts, incidents, playbooks, runs and their steps, approvals, what holds
// automation back, the rows of the journal, people, nodes. All SQL of the server stands
// here. It knows no policy: it stores what it is told, refuses what would contradict
// what it has ([ErrConflict]), and never decides what should happen.
//
// # How to use it
//
// Reads are methods of [Reader], which both the [State] and a running [Tx] have. Writes
// are methods of Tx and happen in [State.Tx] alone:
//
//	err := st.Tx(ctx, func(tx *state.Tx) error {
//		stored, err := tx.PutAlerts(ctx, alerts)                      // rows,
//		…
//		return queue.Insert(ctx, tx, jobs.Job{Kind: "classify", …})   // jobs,
//	})                                                                // and journal.Append(tx, entry): all or nothing
//
// When Tx returns nil, everything is on the disk (SQLite synchronous=FULL, PostgreSQL
// synchronous_commit=on): only then may anybody be told. On SQLite one transaction
// writes at a time, so keep them short: never wait for anything foreign inside one, and
// use the Tx, not the State, for what is read there. On PostgreSQL the function runs
// again where the server asks for it (deadlock), so that it must have no effect but
// through tx; what belongs after success goes to [Tx.AfterCommit].
//
// A new table is a new file in migrations, never a change of an old one, and a file of
// methods here with a test in both databases (statetest.Each).
//
// # What survives what
//
// A kill at any moment leaves whole transactions. Two servers on one SQLite file are
// kept apart by internal/jobs (a lock beside the file); several nodes on PostgreSQL are
// as intended.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// File is the name of the SQLite file in its directory.
const File = "keepwell.db"

// What callers tell apart with errors.Is.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict: what is stored contradicts the change, such as a decision on an
	// approval that was decided already. Nothing was changed.
	ErrConflict = errors.New("conflict with what is stored")
)

// Options say which database to open.
type Options struct {
	// Dir is the directory of the server's data (--data), where the SQLite file lies.
	Dir string
	// Database is a postgres:// address (--database); "": SQLite in Dir.
	Database string
	// Now is the time; nil: the machine's.
	Now func() time.Time
}

// State is the opened database. It is safe for concurrent use.
type State struct {
	Reader
	write *sql.DB
	read  *sql.DB
	pool  *pgxpool.Pool
	dir   string
	line  *line // of SQLite's one writer; nil: PostgreSQL

	overview past[overviewPast]
	resolved past[[]IncidentCount]

	appended notice
}

// Reader reads: outside a transaction as a method of State, inside as one of Tx.
type Reader struct {
	kind Kind
	q    querier
	now  func() time.Time
}

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Open opens the database and brings its tables up to date. Several nodes may do so at
// once.
func Open(ctx context.Context, o Options) (*State, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", unspoken(err, o.Database))
	}
	if err = s.durable(ctx); err == nil {
		err = s.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database: %w", unspoken(err, o.Database)), s.Close())
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*State, error) {
	s := &State{dir: o.Dir, Reader: Reader{now: o.Now}}
	if s.now == nil {
		s.now = time.Now
	}
	switch {
	case o.Database == "" && o.Dir == "":
		return nil, errors.New("no directory for the data (hint: --data DIR)")
	case o.Database == "":
		var err error
		if s.write, s.read, err = openSQLite(o.Dir); err != nil {
			return nil, err
		}
		s.kind, s.q, s.line = SQLite, s.read, &line{}
	case strings.HasPrefix(o.Database, "postgres://"), strings.HasPrefix(o.Database, "postgresql://"):
		pool, err := openPostgres(ctx, o.Database)
		if err != nil {
			return nil, err
		}
		s.pool, s.kind = pool, PostgreSQL
		s.write = stdlib.OpenDBFromPool(pool)
		s.read, s.q = s.write, s.write
	default:
		scheme, _, ok := strings.Cut(o.Database, "://")
		if !ok {
			scheme = "" // it may be a password by mistake
		}
		return nil, fmt.Errorf("the database address begins with %.20q (hint: postgres://USER@HOST/NAME; without it the data is in one file under --data)", scheme)
	}
	return s, nil
}

// unspoken is an error without the password of an address: servers and what lies between
// may repeat what they were told.
func unspoken(err error, address string) error {
	u, bad := url.Parse(address)
	if bad != nil || u.User == nil {
		return err
	}
	text := err.Error()
	password, _ := u.User.Password()
	_, written, _ := strings.Cut(u.User.String(), ":")
	for _, form := range []string{password, written, url.QueryEscape(password)} {
		if form != "" {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// Close lets go. No transaction may be running.
func (s *State) Close() error {
	var err error
	if s.read != s.write {
		err = s.read.Close()
	}
	err = errors.Join(err, s.write.Close())
	if s.pool != nil {
		s.pool.Close()
	}
	return err
}

// Kind tells which database it is.
func (r Reader) Kind() Kind { return r.kind }

// Now is the time by the clock that was given to Open.
func (r Reader) Now() time.Time { return r.now() }

// Dir is the directory of the server's data.
func (s *State) Dir() string { return s.dir }

// Pool and Writer are for the job queue, which brings its own queries: the pool on
// PostgreSQL (nil on SQLite), the one writing connection on SQLite.
func (s *State) Pool() *pgxpool.Pool { return s.pool }

// Writer is described at Pool.
func (s *State) Writer() *sql.DB { return s.write }

// Ping tells whether the database answers.
func (s *State) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// Tx is a running transaction.
type Tx struct {
	Reader
	// SQL is the transaction of database/sql, for the job queue.
	SQL    *sql.Tx
	conn   *sql.Conn
	before []func(context.Context, *Tx) error
	after  []func()
	// appended: it added to the journal.
	appended bool
}

// BeforeCommit has f called as the last thing in the transaction, in the order of the
// calls: for what all transactions queue up for, such as the journal's head.
func (tx *Tx) BeforeCommit(f func(context.Context, *Tx) error) { tx.before = append(tx.before, f) }

// AfterCommit has f called once everything is durable, and never otherwise.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// tries bounds how often a transaction is made again when PostgreSQL asks for it.
const tries = 5

// Tx runs f in a transaction: everything or nothing of it happens. What f returns is
// returned.
func (s *State) Tx(ctx context.Context, f func(*Tx) error) error { return s.tx(ctx, false, f) }

// Urgent is Tx for what somebody waits for who will not wait long: where transactions
// queue up, it is the next. Few may be urgent at once, or the others wait for ever.
func (s *State) Urgent(ctx context.Context, f func(*Tx) error) error { return s.tx(ctx, true, f) }

func (s *State) tx(ctx context.Context, urgent bool, f func(*Tx) error) error {
	for try := 1; ; try++ {
		err := s.once(ctx, urgent, f)
		if err == nil || try == tries || !retry(err) {
			return err
		}
	}
}

func (s *State) once(ctx context.Context, urgent bool, f func(*Tx) error) error {
	leave := func() {}
	if s.line != nil {
		if err := s.line.enter(ctx, urgent); err != nil {
			return fmt.Errorf("waiting for the turn of a transaction: %w", err)
		}
		leave = s.line.leave
	}
	tx, err := s.begin(ctx)
	if err != nil {
		leave()
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = tx.SQL.Rollback() // f failed or panicked; that is what is told
		}
		_ = tx.conn.Close() // goes back to the pool
		leave()
		if ended {
			for _, after := range tx.after {
				after()
			}
			if tx.appended {
				s.appended.tell()
			}
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	for len(tx.before) > 0 {
		last := tx.before[0]
		tx.before = tx.before[1:]
		if err := last(ctx, tx); err != nil {
			return err
		}
	}
	if err := tx.SQL.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	ended = true
	return nil
}

func (r Reader) exec(ctx context.Context, query string, args ...any) (int64, error) {
	done, err := r.q.ExecContext(ctx, r.kind.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// must is exec where no row touched means that the stored state contradicts it.
func (r Reader) must(ctx context.Context, query string, args ...any) error {
	n, err := r.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

type scanner interface{ Scan(dest ...any) error }

// one reads a single row.
func one[T any](ctx context.Context, r Reader, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	v, err := scan(r.q.QueryRowContext(ctx, r.kind.rebind(query), args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return v, err
}

// list reads all rows.
func list[T any](ctx context.Context, r Reader, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := r.q.QueryContext(ctx, r.kind.rebind(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is read
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func number(s scanner) (n int64, err error) { return n, s.Scan(&n) }

func word(s scanner) (w string, err error) { return w, s.Scan(&w) }
