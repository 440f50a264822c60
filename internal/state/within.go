package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// within is a pgx.Tx over a connection on which database/sql has begun a transaction:
// what the job queue writes through it is committed with everything else or not at
// all. Begin makes savepoints, which alone can be ended here.
type within struct {
	conn  *pgx.Conn
	depth int // 0: the transaction itself
}

var errNotOurs = errors.New("the transaction is ended by state.Tx alone")

func (w *within) Begin(ctx context.Context) (pgx.Tx, error) {
	inner := &within{conn: w.conn, depth: w.depth + 1}
	_, err := w.conn.Exec(ctx, fmt.Sprintf("SAVEPOINT keepwell_%d", inner.depth))
	return inner, err
}

func (w *within) end(ctx context.Context, how string) error {
	if w.depth == 0 {
		return errNotOurs
	}
	if w.conn == nil {
		return pgx.ErrTxClosed
	}
	_, err := w.conn.Exec(ctx, fmt.Sprintf("%s SAVEPOINT keepwell_%d", how, w.depth))
	w.conn = nil
	return err
}

func (w *within) Commit(ctx context.Context) error   { return w.end(ctx, "RELEASE") }
func (w *within) Rollback(ctx context.Context) error { return w.end(ctx, "ROLLBACK TO") }

func (w *within) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	return w.conn.CopyFrom(ctx, table, columns, rows)
}

func (w *within) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return w.conn.SendBatch(ctx, b)
}

// LargeObjects are not offered: they need a transaction of pgx's own.
func (w *within) LargeObjects() pgx.LargeObjects { return pgx.LargeObjects{} }

func (w *within) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	return w.conn.Prepare(ctx, name, sql)
}

func (w *within) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return w.conn.Exec(ctx, sql, args...)
}

func (w *within) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return w.conn.Query(ctx, sql, args...)
}

func (w *within) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return w.conn.QueryRow(ctx, sql, args...)
}

func (w *within) Conn() *pgx.Conn { return w.conn }
