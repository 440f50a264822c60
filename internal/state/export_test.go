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

// Lived stores n resolved incidents of the 90 days before now, a few open ones, and a run
// for every other one.
func (tx *Tx) Lived(ctx context.Context, n int) error {
	now := micros(tx.now())
	if _, err := tx.exec(ctx, "INSERT INTO incidents(key, code, asset, state, priority, confidence, title, evidence, alerts, joins, opened_at, updated_at, resolved_at, resolution) "+
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT 'ops/fault-' || (i % 40) || ' asset-' || i, 'ops/fault-' || (i % 40), 'asset-' || (i % 1000), "+
		"CASE WHEN i % 100 = 0 THEN 'open' ELSE 'resolved' END, 'P' || (i % 5), 0.5, 'Something of number ' || i || ' is not as it should be', '[{\"name\":\"alertname\",\"value\":\"Something that is not as it should be\"}]', 1, 1, "+
		"?2 - CAST(7776000000000 AS BIGINT) * (?1 - i) / ?1 - (i % 7200) * CAST(1000000 AS BIGINT), ?2, CASE WHEN i % 100 = 0 THEN 0 ELSE ?2 - CAST(7776000000000 AS BIGINT) * (?1 - i) / ?1 END, '' FROM n", n, now); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "INSERT INTO runs(playbook, version, incident_id, asset, unique_key, state, mode, reason, vars, error, created_at, started_at, ended_at, updated_at) "+
		"SELECT 'book-' || (id % 20), 'v', id, asset, 'u' || id, CASE WHEN id % 10 = 0 THEN 'failed' ELSE 'done' END, 'active', '', '{}', '', opened_at, opened_at, CASE WHEN resolved_at = 0 THEN opened_at + 1 ELSE resolved_at END, 0 FROM incidents WHERE id % 2 = 0"); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "UPDATE incidents SET words = lower(title || ' ' || asset || ' ' || code), "+repaired)
	return err
}

// Forget makes the next view read the days that are over again.
func (s *State) Forget() { s.overview.last, s.resolved.last = nil, nil }
