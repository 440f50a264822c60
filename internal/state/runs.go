package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RunState says how far a run has come.
type RunState string

// The states of a run, the final ones last.
const (
	RunPending   RunState = "pending"
	RunRunning   RunState = "running"
	RunWaiting   RunState = "waiting" // for an approval or a time
	RunDone      RunState = "done"
	RunFailed    RunState = "failed"
	RunCancelled RunState = "cancelled"
	RunHuman     RunState = "human" // ended; what it left unknown is a person's
)

// Final tells whether a run in this state has ended.
func (s RunState) Final() bool {
	switch s {
	case RunPending, RunRunning, RunWaiting:
		return false
	}
	return true
}

// Run is one execution of a playbook.
type Run struct {
	ID       int64  `json:"id"`
	Playbook string `json:"playbook"`
	Version  string `json:"version"`
	Incident int64  `json:"incident"` // 0: started by hand
	Asset    string `json:"asset"`
	// Unique is what at most one unfinished run has, such as playbook, code and asset.
	Unique string          `json:"unique"`
	State  RunState        `json:"state"`
	Mode   string          `json:"mode"`   // "active", "observe" (a dry run), "manual"
	Reason string          `json:"reason"` // why it was started, by whom
	Vars   json.RawMessage `json:"vars"`
	Error  string          `json:"error,omitempty"`
	// Created is when it was decided, Started when its first step began.
	Created time.Time `json:"created"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Updated time.Time `json:"updated"`
}

// StepStatus says how far a step has come.
type StepStatus string

// The statuses of a step. The order of things: pending (or waiting), intended, and then
// one of the others, which are final.
const (
	StepPending  StepStatus = "pending"  // not begun
	StepWaiting  StepStatus = "waiting"  // for an approval or a time
	StepIntended StepStatus = "intended" // its effect may happen from now on
	StepDone     StepStatus = "done"
	StepFailed   StepStatus = "failed"
	StepUnknown  StepStatus = "unknown" // whether its effect happened cannot be told
	StepSkipped  StepStatus = "skipped"
)

// Final tells whether a step in this status has ended.
func (s StepStatus) Final() bool {
	switch s {
	case StepPending, StepWaiting, StepIntended:
		return false
	}
	return true
}

// StepKey names one attempt at one step; String is its idempotency key.
type StepKey struct {
	Run     int64 `json:"run"`
	Seq     int64 `json:"seq"`     // from 0
	Attempt int64 `json:"attempt"` // from 1
}

// String is run/step/attempt, what outside systems are given to tell a repeat.
func (k StepKey) String() string { return fmt.Sprintf("%d/%d/%d", k.Run, k.Seq, k.Attempt) }

// Step is one attempt at one step of a run.
type Step struct {
	StepKey
	Name   string     `json:"name"`
	Action string     `json:"action"` // the kind, such as "run_script"
	Status StepStatus `json:"status"`
	// Intent is what it is about to do, written before; Result what came of it.
	Intent   json.RawMessage `json:"intent"`
	Result   json.RawMessage `json:"result"`
	Error    string          `json:"error,omitempty"`
	Node     int64           `json:"node,omitempty"` // who intended it
	Created  time.Time       `json:"created"`
	Intended time.Time       `json:"intended,omitzero"`
	Ended    time.Time       `json:"ended,omitzero"`
}

const (
	runColumns  = "id, playbook, version, incident_id, asset, unique_key, state, mode, reason, vars, error, created_at, started_at, ended_at, updated_at"
	stepColumns = "run_id, seq, attempt, name, action, status, intent, result, error, node, created_at, intended_at, ended_at"
)

func scanRun(s scanner) (r Run, err error) {
	var vars string
	var us [4]int64
	err = s.Scan(&r.ID, &r.Playbook, &r.Version, &r.Incident, &r.Asset, &r.Unique, &r.State, &r.Mode, &r.Reason, &vars, &r.Error, &us[0], &us[1], &us[2], &us[3])
	r.Vars = json.RawMessage(vars)
	whens([]*time.Time{&r.Created, &r.Started, &r.Ended, &r.Updated}, us[:])
	return r, err
}

func scanStep(s scanner) (st Step, err error) {
	var intent, result string
	var us [3]int64
	err = s.Scan(&st.Run, &st.Seq, &st.Attempt, &st.Name, &st.Action, &st.Status, &intent, &result, &st.Error, &st.Node, &us[0], &us[1], &us[2])
	st.Intent, st.Result = json.RawMessage(intent), json.RawMessage(result)
	whens([]*time.Time{&st.Created, &st.Intended, &st.Ended}, us[:])
	return st, err
}

// StartRun creates a run in state pending, or returns the unfinished one that has the
// same Unique; created tells which.
func (tx *Tx) StartRun(ctx context.Context, r Run) (run Run, created bool, err error) {
	vars, err := raw(r.Vars)
	if err != nil {
		return run, false, err
	}
	run, err = one(ctx, tx.Reader, scanRun, "INSERT INTO runs(playbook, version, incident_id, asset, unique_key, state, mode, reason, vars, error, created_at, started_at, ended_at, updated_at) "+
		"VALUES(?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8, '', ?9, 0, 0, ?9) ON CONFLICT(unique_key) WHERE ended_at = 0 DO NOTHING RETURNING "+runColumns,
		r.Playbook, r.Version, r.Incident, r.Asset, r.Unique, r.Mode, r.Reason, vars, micros(tx.now()))
	if !errors.Is(err, ErrNotFound) {
		return run, err == nil, err
	}
	run, err = one(ctx, tx.Reader, scanRun, "SELECT "+runColumns+" FROM runs WHERE unique_key = ?1 AND ended_at = 0", r.Unique)
	return run, false, err
}

// MoveRun changes the state of a run that has not ended; ErrConflict where it has.
// Moving to running notes the start, to a final state the end.
func (tx *Tx) MoveRun(ctx context.Context, id int64, to RunState, reason string) error {
	now := micros(tx.now())
	var started, ended int64
	if to == RunRunning {
		started = now
	}
	if to.Final() {
		ended = now
	}
	err := tx.must(ctx, "UPDATE runs SET state = ?2, error = ?3, started_at = CASE WHEN started_at = 0 THEN ?4 ELSE started_at END, ended_at = ?5, updated_at = ?6 WHERE id = ?1 AND ended_at = 0",
		id, string(to), reason, started, ended, now)
	if err != nil || to != RunDone {
		return err
	}
	return tx.account(ctx, "(SELECT incident_id FROM runs WHERE id = ?1)", id)
}

// SetVars replaces the variables of a run that has not ended.
func (tx *Tx) SetVars(ctx context.Context, id int64, vars json.RawMessage) error {
	text, err := raw(vars)
	if err != nil {
		return err
	}
	return tx.must(ctx, "UPDATE runs SET vars = ?2, updated_at = ?3 WHERE id = ?1 AND ended_at = 0", id, text, micros(tx.now()))
}

// Run reads one run.
func (r Reader) Run(ctx context.Context, id int64) (Run, error) {
	return one(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = ?1", id)
}

// RunFilter narrows a list of runs; what is zero does not.
type RunFilter struct {
	State      RunState
	Playbook   string
	Incident   int64
	Asset      string
	Mode       string
	Unfinished bool
	// Since keeps those created then or later.
	Since time.Time
}

func (f RunFilter) where() *where {
	var w where
	w.text("state", string(f.State))
	w.text("playbook", f.Playbook)
	w.number("incident_id", f.Incident)
	w.text("asset", f.Asset)
	w.text("mode", f.Mode)
	if f.Unfinished {
		w.conditions = append(w.conditions, "ended_at = 0")
	}
	if !f.Since.IsZero() {
		w.add("created_at >= ?", micros(f.Since))
	}
	return &w
}

// Runs lists runs, newest first.
func (r Reader) Runs(ctx context.Context, f RunFilter, p Page) ([]Run, error) {
	w := f.where()
	return list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs"+w.page("id", p), w.args...)
}

// CountRuns counts what Runs would list in all, for limits such as max_runs.
func (r Reader) CountRuns(ctx context.Context, f RunFilter) (int64, error) {
	w := f.where()
	return one(ctx, r, number, "SELECT COUNT(*) FROM runs"+w.String(), w.args...)
}

// CountAssets counts the different assets of what Runs would list in all, for limits of
// how much may be touched.
func (r Reader) CountAssets(ctx context.Context, f RunFilter) (int64, error) {
	w := f.where()
	return one(ctx, r, number, "SELECT COUNT(DISTINCT asset) FROM runs"+w.String(), w.args...)
}

// LockRun reads a run and keeps it as it is until the transaction ends.
func (tx *Tx) LockRun(ctx context.Context, id int64) (Run, error) {
	return one(ctx, tx.Reader, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = ?1"+tx.kind.lockRow(), id)
}

// AddStep adds an attempt at a step, pending or waiting; ErrConflict where there is
// such an attempt already.
func (tx *Tx) AddStep(ctx context.Context, st Step) error {
	if st.Status != StepPending && st.Status != StepWaiting {
		return fmt.Errorf("adding step %s: %s is no status to begin with", st.StepKey, st.Status)
	}
	return tx.must(ctx, "INSERT INTO steps("+stepColumns+") VALUES(?1, ?2, ?3, ?4, ?5, ?6, 'null', 'null', '', 0, ?7, 0, 0) ON CONFLICT DO NOTHING",
		st.Run, st.Seq, st.Attempt, st.Name, st.Action, string(st.Status), micros(tx.now()))
}

// Intend writes down what a step is about to do. It must be committed before the effect
// may happen. Only one caller ever succeeds for an attempt: ErrConflict means that it
// was intended before (by a process that may have died between effect and result) or
// has ended, and that the effect must not be made.
func (tx *Tx) Intend(ctx context.Context, k StepKey, intent json.RawMessage, node int64) error {
	text, err := raw(intent)
	if err != nil {
		return err
	}
	return tx.must(ctx, "UPDATE steps SET status = 'intended', intent = ?4, node = ?5, intended_at = ?6 WHERE run_id = ?1 AND seq = ?2 AND attempt = ?3 AND status IN ('pending', 'waiting')",
		k.Run, k.Seq, k.Attempt, text, node, micros(tx.now()))
}

// Wait puts a pending step to waiting; ErrConflict where it is not pending.
func (tx *Tx) Wait(ctx context.Context, k StepKey) error {
	return tx.must(ctx, "UPDATE steps SET status = 'waiting' WHERE run_id = ?1 AND seq = ?2 AND attempt = ?3 AND status = 'pending'", k.Run, k.Seq, k.Attempt)
}

// EndStep writes what came of a step, in a final status; ErrConflict where it has one.
func (tx *Tx) EndStep(ctx context.Context, k StepKey, status StepStatus, result json.RawMessage, reason string) error {
	if !status.Final() {
		return fmt.Errorf("ending step %s: %s is not final", k, status)
	}
	text, err := raw(result)
	if err != nil {
		return err
	}
	return tx.must(ctx, "UPDATE steps SET status = ?4, result = ?5, error = ?6, ended_at = ?7 WHERE run_id = ?1 AND seq = ?2 AND attempt = ?3 AND status IN ('pending', 'waiting', 'intended')",
		k.Run, k.Seq, k.Attempt, string(status), text, reason, micros(tx.now()))
}

// SettleStep says of an unknown step what a probe or a person found out; ErrConflict
// where it is not unknown.
func (tx *Tx) SettleStep(ctx context.Context, k StepKey, status StepStatus, reason string) error {
	if !status.Final() || status == StepUnknown {
		return fmt.Errorf("settling step %s: %s settles nothing", k, status)
	}
	return tx.must(ctx, "UPDATE steps SET status = ?4, error = ?5, ended_at = ?6 WHERE run_id = ?1 AND seq = ?2 AND attempt = ?3 AND status = 'unknown'",
		k.Run, k.Seq, k.Attempt, string(status), reason, micros(tx.now()))
}

// Step reads one attempt; on PostgreSQL, inside a transaction, it is kept as it is until
// that ends.
func (tx *Tx) Step(ctx context.Context, k StepKey) (Step, error) {
	return one(ctx, tx.Reader, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run_id = ?1 AND seq = ?2 AND attempt = ?3"+tx.kind.lockRow(), k.Run, k.Seq, k.Attempt)
}

// Steps lists the attempts of a run in order.
func (r Reader) Steps(ctx context.Context, run int64) ([]Step, error) {
	return list(ctx, r, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run_id = ?1 ORDER BY seq, attempt", run)
}

// StepsIn lists attempts in a status, oldest run first: what a crash left intended, what
// waits for a person.
func (r Reader) StepsIn(ctx context.Context, status StepStatus, limit int) ([]Step, error) {
	return list(ctx, r, scanStep, "SELECT "+stepColumns+" FROM steps WHERE status = ?1 ORDER BY run_id, seq, attempt LIMIT ?2", string(status), limit)
}
