package modstore

import (
	"context"
	"database/sql"
	"time"
)

// schema is what an empty store gets. Every statement may run again: processes open
// the same store at once. user_version tells later layouts apart.
const schema = `
CREATE TABLE IF NOT EXISTS entries(
	key TEXT PRIMARY KEY, sum TEXT NOT NULL, size INTEGER NOT NULL, h1 TEXT NOT NULL, source TEXT NOT NULL, via TEXT NOT NULL,
	stored INTEGER NOT NULL, used INTEGER NOT NULL, data BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_sum ON entries(sum);
CREATE TABLE IF NOT EXISTS trust(key TEXT PRIMARY KEY, h1 TEXT NOT NULL, first INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins(key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine(
	id INTEGER PRIMARY KEY, key TEXT NOT NULL, sum TEXT NOT NULL, size INTEGER NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL);
PRAGMA user_version = 1;
`

func (s *Store) migrate(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version >= 1 {
		return err
	}
	return s.inside(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
}

const (
	columns = "key, sum, size, h1, source, via, stored, used, data"
	insert  = "INSERT INTO entries(" + columns + ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET " +
		"sum = excluded.sum, size = excluded.size, h1 = excluded.h1, source = excluded.source, via = excluded.via, stored = excluded.stored, used = excluded.used, data = excluded.data"
)

func (e Entry) values() []any {
	var data any
	if e.Data != nil {
		data = e.Data
	}
	return []any{e.Key, e.Sum, e.Size, e.H1, e.Source, e.Via, e.Stored.Unix(), e.Stored.Unix(), data}
}

func scanEntry(row interface{ Scan(...any) error }) (Entry, error) {
	var e Entry
	var stored, used int64
	err := row.Scan(&e.Key, &e.Sum, &e.Size, &e.H1, &e.Source, &e.Via, &stored, &used, &e.Data)
	e.Stored, e.Used = time.Unix(stored, 0), time.Unix(used, 0)
	return e, err
}
