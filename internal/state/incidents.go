package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
)

// IncidentState says whether an incident goes on.
type IncidentState string

// The states of an incident.
const (
	IncidentOpen     IncidentState = "open"
	IncidentResolved IncidentState = "resolved"
)

// Incident is one fault of one asset, from its first alert until it is resolved. At any
// time one incident of a key is open at most.
type Incident struct {
	ID         int64               `json:"id"`
	Key        string              `json:"key"` // IncidentKey of Code and Asset
	Code       keepwell.Code       `json:"code"`
	Asset      string              `json:"asset"`
	State      IncidentState       `json:"state"`
	Priority   keepwell.Priority   `json:"priority"`
	Confidence float64             `json:"confidence"`
	Title      string              `json:"title"`
	Evidence   []keepwell.Evidence `json:"evidence"`
	// Alerts counts the stored alerts that belong to it, Joins how often JoinIncident
	// was called for it.
	Alerts     int64     `json:"alerts"`
	Joins      int64     `json:"joins"`
	Opened     time.Time `json:"opened"`
	Updated    time.Time `json:"updated"`
	Resolved   time.Time `json:"resolved,omitzero"`
	Resolution string    `json:"resolution,omitempty"` // what ended it, in one word of the caller's
	// TakenBy is who takes care of it, since Taken; "": nobody.
	TakenBy string    `json:"takenBy,omitempty"`
	Taken   time.Time `json:"taken,omitzero"`
}

// IncidentKey joins code and asset. A code holds no blank.
func IncidentKey(code keepwell.Code, asset string) string { return string(code) + " " + asset }

const incidentColumns = "id, key, code, asset, state, priority, confidence, title, evidence, alerts, joins, opened_at, updated_at, resolved_at, resolution, taken_by, taken_at"

func scanIncident(s scanner) (i Incident, err error) {
	var evidence string
	var us [4]int64
	err = s.Scan(&i.ID, &i.Key, &i.Code, &i.Asset, &i.State, &i.Priority, &i.Confidence, &i.Title, &evidence, &i.Alerts, &i.Joins, &us[0], &us[1], &us[2], &i.Resolution, &i.TakenBy, &us[3])
	if err != nil {
		return i, err
	}
	whens([]*time.Time{&i.Opened, &i.Updated, &i.Resolved, &i.Taken}, us[:])
	return i, json.Unmarshal([]byte(evidence), &i.Evidence)
}

// better keeps a column of the more confident of two.
func better(column string) string {
	return fmt.Sprintf("%[1]s = CASE WHEN excluded.confidence > incidents.confidence THEN excluded.%[1]s ELSE incidents.%[1]s END", column)
}

// JoinIncident opens the incident of draft's Code and Asset, or joins the open one, and
// gives it the alerts with the ids. Of two priorities the more severe stays; title,
// confidence and evidence stay those of the higher confidence. opened tells which of
// the two it did.
func (tx *Tx) JoinIncident(ctx context.Context, draft Incident, alerts ...int64) (joined Incident, opened bool, err error) {
	if draft.Evidence == nil {
		draft.Evidence = []keepwell.Evidence{}
	}
	evidence, err := document(draft.Evidence)
	if err != nil {
		return joined, false, err
	}
	key := IncidentKey(draft.Code, draft.Asset)
	joined, err = one(ctx, tx.Reader, scanIncident, "INSERT INTO incidents(key, code, asset, state, priority, confidence, title, evidence, alerts, joins, opened_at, updated_at, resolved_at, resolution, words) "+
		"VALUES(?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, 0, 1, ?8, ?8, 0, '', ?9) ON CONFLICT(key) WHERE state = 'open' DO UPDATE SET "+
		"priority = CASE WHEN excluded.priority < incidents.priority THEN excluded.priority ELSE incidents.priority END, "+
		better("title")+", "+better("words")+", "+better("evidence")+", "+better("confidence")+
		", joins = incidents.joins + 1, updated_at = excluded.updated_at RETURNING "+incidentColumns,
		key, string(draft.Code), draft.Asset, string(draft.Priority), draft.Confidence, draft.Title, evidence, micros(tx.now()), searched(draft.Title, draft.Asset, draft.Code))
	if err != nil {
		return joined, false, fmt.Errorf("joining the incident %s: %w", key, err)
	}
	opened = joined.Joins == 1
	if len(alerts) == 0 {
		return joined, opened, nil
	}
	moved, err := tx.exec(ctx, "UPDATE alerts SET incident_id = ?1 WHERE id IN ("+ids(alerts)+") AND incident_id <> ?1", joined.ID)
	if err != nil || moved == 0 {
		return joined, opened, err
	}
	joined.Alerts += moved
	_, err = tx.exec(ctx, "UPDATE incidents SET alerts = ?2 WHERE id = ?1", joined.ID, joined.Alerts)
	return joined, opened, err
}

// ids writes numbers for IN.
func ids(list []int64) string {
	words := make([]string, len(list))
	for i, id := range list {
		words[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(words, ", ")
}

// ResolvedByHand is the resolution of an incident that a person closed.
const ResolvedByHand = "closed"

// ResolveIncident ends an open incident; ErrConflict where it is none.
func (tx *Tx) ResolveIncident(ctx context.Context, id int64, resolution string) error {
	if err := tx.must(ctx, "UPDATE incidents SET state = 'resolved', resolved_at = ?2, updated_at = ?2, resolution = ?3 WHERE id = ?1 AND state = 'open'", id, micros(tx.now()), resolution); err != nil {
		return err
	}
	return tx.account(ctx, "?1", id)
}

// ReopenIncident opens one again that was ended with a resolution; nobody has taken it any
// more. ErrConflict where it did not end so, or another one of its key is open.
func (tx *Tx) ReopenIncident(ctx context.Context, id int64, resolution string) error {
	if err := tx.rewrite(ctx); err != nil {
		return err
	}
	return tx.must(ctx, "UPDATE incidents SET state = 'open', resolved_at = 0, updated_at = ?3, resolution = '', handled = '', repair = 0, repair_day = 0, taken_by = '', taken_at = 0 "+
		"WHERE id = ?1 AND state = 'resolved' AND resolution = ?2 AND NOT EXISTS(SELECT 1 FROM incidents other WHERE other.key = incidents.key AND other.state = 'open')",
		id, resolution, micros(tx.now()))
}

// ResolvedAs tells which of incidents ended with a resolution, and when.
func (r Reader) ResolvedAs(ctx context.Context, resolution string, incidents ...int64) (map[int64]time.Time, error) {
	if len(incidents) == 0 {
		return nil, nil
	}
	ended := map[int64]time.Time{}
	_, err := list(ctx, r, func(s scanner) (any, error) {
		var id, at int64
		err := s.Scan(&id, &at)
		ended[id] = when(at)
		return nil, err
	}, "SELECT id, resolved_at FROM incidents WHERE id IN ("+ids(incidents)+") AND state = 'resolved' AND resolution = ?1", resolution)
	return ended, err
}

// TakeIncident notes who takes care of an open incident; ErrConflict where it is none.
func (tx *Tx) TakeIncident(ctx context.Context, id int64, by string) error {
	return tx.must(ctx, "UPDATE incidents SET taken_by = ?2, taken_at = ?3, updated_at = ?3 WHERE id = ?1 AND state = 'open'", id, by, micros(tx.now()))
}

// SetPriority changes how severe an open incident is; ErrConflict where it is none.
func (tx *Tx) SetPriority(ctx context.Context, id int64, p keepwell.Priority) error {
	return tx.must(ctx, "UPDATE incidents SET priority = ?2, updated_at = ?3 WHERE id = ?1 AND state = 'open'", id, string(p), micros(tx.now()))
}

// LockIncident reads an incident and keeps it as it is until the transaction ends: no
// alert joins it meanwhile.
func (tx *Tx) LockIncident(ctx context.Context, id int64) (Incident, error) {
	return one(ctx, tx.Reader, scanIncident, "SELECT "+incidentColumns+" FROM incidents WHERE id = ?1"+tx.kind.lockRow(), id)
}

// Incident reads one incident.
func (r Reader) Incident(ctx context.Context, id int64) (Incident, error) {
	return one(ctx, r, scanIncident, "SELECT "+incidentColumns+" FROM incidents WHERE id = ?1", id)
}

// OpenIncident reads the open incident of a code and asset; ok is false where there is none.
func (r Reader) OpenIncident(ctx context.Context, code keepwell.Code, asset string) (i Incident, ok bool, err error) {
	i, err = one(ctx, r, scanIncident, "SELECT "+incidentColumns+" FROM incidents WHERE key = ?1 AND state = 'open'", IncidentKey(code, asset))
	if errors.Is(err, ErrNotFound) {
		return i, false, nil
	}
	return i, err == nil, err
}

// IncidentFilter narrows a list of incidents; what is zero does not.
type IncidentFilter struct {
	State    IncidentState
	Code     keepwell.Code
	Asset    string
	Priority keepwell.Priority
}

func (f IncidentFilter) where() *where {
	var w where
	w.text("state", string(f.State))
	w.text("code", string(f.Code))
	w.text("asset", f.Asset)
	w.text("priority", string(f.Priority))
	return &w
}

// Incidents lists incidents, newest first.
func (r Reader) Incidents(ctx context.Context, f IncidentFilter, p Page) ([]Incident, error) {
	w := f.where()
	return list(ctx, r, scanIncident, "SELECT "+incidentColumns+" FROM incidents"+w.page("id", p), w.args...)
}

// CountIncidents counts what Incidents would list in all.
func (r Reader) CountIncidents(ctx context.Context, f IncidentFilter) (int64, error) {
	w := f.where()
	return one(ctx, r, number, "SELECT COUNT(*) FROM incidents"+w.String(), w.args...)
}
