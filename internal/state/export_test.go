package state

import (
	"context"
	"database/sql"
)

// Readers is the pool that reads.
func (s *State) Readers() *sql.DB { return s.read }

// Many stores n resolved incidents at once.
func (tx *Tx) Many(ctx context.Context, n int) error {
	_, err := tx.exec(ctx, "INSERT INTO incidents(key, code, asset, state, priority, confidence, title, evidence, alerts, joins, opened_at, updated_at, resolved_at, resolution) "+
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT 'a/b asset-' || (i % 1000), 'a/b', 'asset-' || (i % 1000), 'resolved', 'P' || (i % 5), 0.5, 'title', '[]', 1, 1, i, i, i, '' FROM n", n)
	return err
}

// Explain tells how SQLite would list incidents.
func (r Reader) Explain(ctx context.Context, f IncidentFilter, p Page) ([]string, error) {
	w := f.where()
	query := "SELECT " + incidentColumns + " FROM incidents" + w.page("id", p)
	if r.kind == PostgreSQL {
		return list(ctx, r, word, "EXPLAIN "+query, w.args...)
	}
	return list(ctx, r, func(s scanner) (text string, err error) {
		var a, b, c int
		return text, s.Scan(&a, &b, &c, &text)
	}, "EXPLAIN QUERY PLAN "+query, w.args...)
}
