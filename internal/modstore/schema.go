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

// feeds are the order in which versions came (a trigger, so that whoever stores a zip
// tells of it in the same transaction) and how often each was downloaded by day. Times
// are microseconds and differ, so that a reader who asks for what came since the last
// always gets on. Days are counted since 1970; day 0 is all that is too old for a day
// of its own.
const feeds = `
CREATE TABLE IF NOT EXISTS versions(key TEXT PRIMARY KEY, first INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS versions_first ON versions(first);
CREATE TRIGGER IF NOT EXISTS versions_came AFTER INSERT ON entries WHEN NEW.key LIKE '%/@v/%.zip' BEGIN
	INSERT INTO versions(key, first) VALUES(NEW.key, max(NEW.stored * 1000000, (SELECT coalesce(max(first), 0) + 1 FROM versions)))
		ON CONFLICT(key) DO NOTHING;
END;
INSERT OR IGNORE INTO versions(key, first)
	SELECT key, stored * 1000000 + row_number() OVER (ORDER BY stored, key) FROM entries WHERE key LIKE '%/@v/%.zip' ORDER BY stored, key;
CREATE TABLE IF NOT EXISTS downloads(
	module TEXT NOT NULL, version TEXT NOT NULL, day INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(module, version, day)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS downloads_day ON downloads(day, module, n);
PRAGMA user_version = 2;
`

// migrate brings the layout up to date, step by step.
func (s *Store) migrate(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	for i, step := range []string{schema, feeds} {
		if version > i {
			continue
		}
		err := s.inside(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, step)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
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
