package state

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
)

// StoredAlert is an alert with what is known of it here.
type StoredAlert struct {
	ID int64 `json:"id"`
	keepwell.Alert
	// Seen is how often it came; 1 is new, more is a repeat: it is still so.
	Seen int64 `json:"seen"`
	// First and Last are when it came first and last.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Incident is the incident that it belongs to; 0 until it was classified.
	Incident int64 `json:"incident,omitempty"`
}

// Put tells what became of one alert that was put.
type Put struct {
	ID  int64
	New bool // false: a repeat of one that is stored
	// Seen counts the alert with its repeats.
	Seen int64
	// Incident is the incident of a repeated alert, where it has one.
	Incident int64
}

const alertColumns = "id, fingerprint, starts_at, status, ends_at, labels, annotations, generator_url, source, seen, first_at, last_at, incident_id"

// alertChunk is how many alerts go into one statement: 11 parameters each, of which
// SQLite takes 32,766.
const alertChunk = 250

// PutAlerts stores alerts, each by itself; those with the same fingerprint, start and
// status are one, whose repeats are counted and whose annotations, end and source are
// the latest. The answer has an element for each of alerts, in their order; of equal
// ones among them only the first can be New.
func (tx *Tx) PutAlerts(ctx context.Context, alerts []keepwell.Alert) ([]Put, error) {
	type batched struct {
		alert keepwell.Alert
		times int64
		at    int // where the first of them stands
		put   Put
	}
	known := make(map[keepwell.AlertKey]*batched, len(alerts))
	distinct := make([]*batched, 0, len(alerts))
	for i, a := range alerts {
		if b := known[a.Key()]; b != nil {
			b.times, b.alert = b.times+1, a
			continue
		}
		b := &batched{alert: a, times: 1, at: i}
		known[a.Key()], distinct = b, append(distinct, b)
	}
	// In one order whoever puts: PostgreSQL locks the rows one after the other.
	slices.SortFunc(distinct, func(a, b *batched) int {
		x, y := a.alert.Key(), b.alert.Key()
		return cmp.Or(cmp.Compare(x.Fingerprint, y.Fingerprint), cmp.Compare(x.StartsAt, y.StartsAt), cmp.Compare(x.Status, y.Status))
	})
	now := micros(tx.now())
	for start := 0; start < len(distinct); start += alertChunk {
		chunk := distinct[start:min(start+alertChunk, len(distinct))]
		var args []any
		for _, b := range chunk {
			a := b.alert
			labels, err := document(a.Labels)
			if err != nil {
				return nil, err
			}
			annotations, err := document(a.Annotations)
			if err != nil {
				return nil, err
			}
			args = append(args, a.Fingerprint, micros(a.StartsAt), string(a.Status), micros(a.EndsAt), labels, annotations, a.GeneratorURL, a.Source, b.times, now, now)
		}
		stored, err := list(ctx, tx.Reader, scanPut, "INSERT INTO alerts(fingerprint, starts_at, status, ends_at, labels, annotations, generator_url, source, seen, first_at, last_at) VALUES "+
			tx.kind.rowsOf(len(chunk), 11)+" ON CONFLICT(fingerprint, starts_at, status) DO UPDATE SET seen = alerts.seen + excluded.seen, last_at = excluded.last_at, "+
			"ends_at = excluded.ends_at, annotations = excluded.annotations, source = excluded.source "+
			"RETURNING id, fingerprint, starts_at, status, seen, incident_id", args...)
		if err != nil {
			return nil, fmt.Errorf("storing alerts: %w", err)
		}
		for _, p := range stored {
			b := known[p.key]
			if b == nil {
				return nil, fmt.Errorf("storing alerts: the database returned %v, which was not put", p.key)
			}
			b.put = p.Put
			b.put.New = p.Seen == b.times
		}
	}
	puts := make([]Put, len(alerts))
	for i, a := range alerts {
		b := known[a.Key()]
		puts[i] = b.put
		puts[i].New = b.put.New && b.at == i
	}
	return puts, nil
}

// episode is one time that an alert of a sender fired.
type episode struct {
	fingerprint, source string
	start               int64
	over                bool
}

// Date gives undated alerts the start that they have here: of the alert with the same
// fingerprint and source that fires, where there is one; of the last one, where they are
// over; their own otherwise, later than any before. It comes before all else in a
// transaction.
func (tx *Tx) Date(ctx context.Context, alerts []keepwell.Alert) error {
	type name struct{ fingerprint, source string }
	last := map[name]episode{}
	var fingerprints []any
	for _, a := range alerts {
		if key := (name{a.Fingerprint, a.Source}); a.Undated && last[key] == (episode{}) {
			last[key] = episode{over: true}
			fingerprints = append(fingerprints, a.Fingerprint)
		}
	}
	if len(fingerprints) == 0 {
		return nil
	}
	if err := tx.lock(ctx, datingLock); err != nil {
		return fmt.Errorf("dating alerts: %w", err)
	}
	for chunk := range slices.Chunk(fingerprints, alertChunk) {
		known, err := list(ctx, tx.Reader, scanEpisode, "SELECT f.fingerprint, f.source, f.starts_at, "+
			"(SELECT COUNT(*) FROM alerts d WHERE d.fingerprint = f.fingerprint AND d.starts_at = f.starts_at AND d.status = 'resolved') "+
			"FROM alerts f WHERE f.status = 'firing' AND f.fingerprint IN "+tx.kind.rowsOf(1, len(chunk))+" AND NOT EXISTS("+
			"SELECT 1 FROM alerts n WHERE n.fingerprint = f.fingerprint AND n.source = f.source AND n.status = 'firing' AND n.starts_at > f.starts_at)", chunk...)
		if err != nil {
			return fmt.Errorf("dating alerts: %w", err)
		}
		for _, e := range known {
			last[name{e.fingerprint, e.source}] = e
		}
	}
	for i, a := range alerts {
		if !a.Undated {
			continue
		}
		key := name{a.Fingerprint, a.Source}
		e := last[key]
		resolved := a.Status == keepwell.AlertResolved
		if e.start == 0 || e.over && !resolved {
			e.start = max(micros(a.StartsAt), e.start+1)
		}
		e.over = resolved
		last[key] = e
		alerts[i].StartsAt = when(e.start)
	}
	return nil
}

func scanEpisode(s scanner) (e episode, err error) {
	var ends int64
	err = s.Scan(&e.fingerprint, &e.source, &e.start, &ends)
	e.over = ends > 0
	return e, err
}

type keyedPut struct {
	Put
	key keepwell.AlertKey
}

func scanPut(s scanner) (p keyedPut, err error) {
	return p, s.Scan(&p.ID, &p.key.Fingerprint, &p.key.StartsAt, &p.key.Status, &p.Seen, &p.Incident)
}

// rowsOf writes (?1, ?2), (?3, ?4) for two rows of two; on SQLite (?, ?), (?, ?): its
// driver looks for numbered parameters one by one, which took two thirds of a storm's time.
func (k Kind) rowsOf(rows, width int) string {
	var b strings.Builder
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j := range width {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteByte('?')
			if k == PostgreSQL {
				b.WriteString(strconv.Itoa(i*width + j + 1))
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

func scanAlert(s scanner) (a StoredAlert, err error) {
	var labels, annotations string
	var us [4]int64
	err = s.Scan(&a.ID, &a.Fingerprint, &us[0], &a.Status, &us[1], &labels, &annotations, &a.GeneratorURL, &a.Source, &a.Seen, &us[2], &us[3], &a.Incident)
	if err != nil {
		return a, err
	}
	whens([]*time.Time{&a.StartsAt, &a.EndsAt, &a.First, &a.Last}, us[:])
	if err = json.Unmarshal([]byte(labels), &a.Labels); err == nil {
		err = json.Unmarshal([]byte(annotations), &a.Annotations)
	}
	return a, err
}

// Alert reads one alert.
func (r Reader) Alert(ctx context.Context, id int64) (StoredAlert, error) {
	return one(ctx, r, scanAlert, "SELECT "+alertColumns+" FROM alerts WHERE id = ?1", id)
}

// AlertFilter narrows a list of alerts; what is zero does not.
type AlertFilter struct {
	Incident    int64
	Fingerprint string
	Status      keepwell.AlertStatus
}

// Alerts lists alerts, newest first.
func (r Reader) Alerts(ctx context.Context, f AlertFilter, p Page) ([]StoredAlert, error) {
	var w where
	w.number("incident_id", f.Incident)
	w.text("fingerprint", f.Fingerprint)
	w.text("status", string(f.Status))
	return list(ctx, r, scanAlert, "SELECT "+alertColumns+" FROM alerts"+w.page("id", p), w.args...)
}

// AlertHistory lists the alerts that came first in [from, to), oldest first, for
// back-tests: after is the id of the last one of the page before.
func (r Reader) AlertHistory(ctx context.Context, from, to time.Time, after StoredAlert, limit int) ([]StoredAlert, error) {
	return list(ctx, r, scanAlert, "SELECT "+alertColumns+" FROM alerts WHERE first_at < ?2 AND (first_at, id) > (?3, ?4) AND first_at >= ?1 ORDER BY first_at, id LIMIT ?5",
		micros(from), micros(to), micros(after.First), after.ID, limit)
}

// Firing counts the alerts of an incident that fired and have not been resolved.
func (r Reader) Firing(ctx context.Context, incident int64) (int64, error) {
	return one(ctx, r, number, "SELECT COUNT(*) FROM alerts f WHERE incident_id = ?1 AND status = 'firing' AND NOT EXISTS("+
		"SELECT 1 FROM alerts d WHERE d.fingerprint = f.fingerprint AND d.starts_at = f.starts_at AND d.status = 'resolved')", incident)
}

// IncidentOf finds the incident that the firing alert with a's fingerprint and start
// belongs to, for an alert that says it is resolved; 0 where there is none.
func (r Reader) IncidentOf(ctx context.Context, a keepwell.Alert) (int64, error) {
	return one(ctx, r, number, "SELECT COALESCE(MAX(incident_id), 0) FROM alerts WHERE fingerprint = ?1 AND starts_at = ?2", a.Fingerprint, micros(a.StartsAt))
}
