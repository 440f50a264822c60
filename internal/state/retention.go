package state

import (
	"context"
	"strings"
	"time"
)

// Removed counts what retention took away.
type Removed struct {
	Alerts, Incidents, Runs, Sessions, Cooldowns int64
}

// Any tells whether it took anything.
func (r Removed) Any() bool { return r != Removed{} }

// Retain removes what ended before t, at most limit rows of each kind, so that
// transactions stay short: call it until Any is false. What is open stays, whatever its
// age: incidents with their alerts, runs with their steps, alerts that came again since.
// The journal is cut by internal/journal, which keeps it provable.
func (tx *Tx) Retain(ctx context.Context, t time.Time, limit int) (r Removed, err error) {
	for _, rule := range []struct {
		into  *int64
		query string
		also  string // what belongs to the rows
	}{
		{
			&r.Runs, "SELECT id FROM runs WHERE ended_at > 0 AND ended_at < ?1 ORDER BY ended_at LIMIT ?2",
			"DELETE FROM steps WHERE run_id IN ({}); DELETE FROM approvals WHERE run_id IN ({}); DELETE FROM runs WHERE id IN ({})",
		},
		{
			&r.Incidents, "SELECT id FROM incidents WHERE state = 'resolved' AND resolved_at < ?1 AND NOT EXISTS(SELECT 1 FROM runs WHERE runs.incident_id = incidents.id) ORDER BY resolved_at LIMIT ?2",
			"DELETE FROM alerts WHERE incident_id IN ({}); DELETE FROM incidents WHERE id IN ({})",
		},
		{
			&r.Alerts, "SELECT id FROM alerts WHERE last_at < ?1 AND NOT EXISTS(SELECT 1 FROM incidents WHERE incidents.id = alerts.incident_id) ORDER BY last_at LIMIT ?2",
			"DELETE FROM alerts WHERE id IN ({})",
		},
	} {
		rows, err := list(ctx, tx.Reader, number, rule.query, micros(t), limit)
		if err != nil {
			return r, err
		}
		if len(rows) == 0 {
			continue
		}
		*rule.into = int64(len(rows))
		if err := tx.each(ctx, rule.also, ids(rows)); err != nil {
			return r, err
		}
	}
	if r.Runs+r.Incidents > 0 {
		if err := tx.rewrite(ctx); err != nil {
			return r, err
		}
	}
	if r.Sessions, err = tx.exec(ctx, "DELETE FROM sessions WHERE expires_at < ?1", micros(tx.now())); err != nil {
		return r, err
	}
	r.Cooldowns, err = tx.exec(ctx, "DELETE FROM cooldowns WHERE until_at < ?1", micros(t))
	return r, err
}

// each runs statements one by one, {} in them standing for the ids.
func (tx *Tx) each(ctx context.Context, statements, ids string) error {
	for statement := range strings.SplitSeq(statements, "; ") {
		if _, err := tx.exec(ctx, strings.ReplaceAll(statement, "{}", ids)); err != nil {
			return err
		}
	}
	return nil
}
