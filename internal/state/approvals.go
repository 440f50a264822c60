package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
)

// ApprovalState says what became of a question to a person.
type ApprovalState string

// The states of an approval; all but asked are final.
const (
	ApprovalAsked   ApprovalState = "asked"
	ApprovalGranted ApprovalState = "granted"
	ApprovalRefused ApprovalState = "refused"
	ApprovalExpired ApprovalState = "expired"
)

// Approval is a question whether a step may be done. A step has one that is open at most.
type Approval struct {
	ID      int64         `json:"id"`
	Run     int64         `json:"run"`
	Seq     int64         `json:"seq"`
	State   ApprovalState `json:"state"`
	Reason  string        `json:"reason"`  // what is asked, and why
	AskedBy string        `json:"askedBy"` // who caused it, and may not grant it
	Asked   time.Time     `json:"asked"`
	Expires time.Time     `json:"expires"`
	By      string        `json:"by,omitempty"`
	Decided time.Time     `json:"decided,omitzero"`
	Note    string        `json:"note,omitempty"`
	// Intent is what the answer is about.
	Intent Intent `json:"intent"`
}

// Intent is what a step that waits for an approval will do. Granted, this is what is done.
type Intent struct {
	// Input is what the action will be told, with references to secrets; null: it is told
	// nothing.
	Input json.RawMessage `json:"input"`
	// Does says it for people, line by line, as it was when it was asked.
	Does []msg.Reason `json:"does"`
	// Fault says why it could not be done as things were then.
	Fault msg.Reason `json:"fault,omitzero"`
}

const approvalColumns = "id, run_id, seq, state, reason, asked_by, asked_at, expires_at, decided_by, decided_at, note, intent"

func scanApproval(s scanner) (a Approval, err error) {
	var us [3]int64
	var intent string
	err = s.Scan(&a.ID, &a.Run, &a.Seq, &a.State, &a.Reason, &a.AskedBy, &us[0], &us[1], &a.By, &us[2], &a.Note, &intent)
	if err == nil && intent != "" {
		err = json.Unmarshal([]byte(intent), &a.Intent)
	}
	whens([]*time.Time{&a.Asked, &a.Expires, &a.Decided}, us[:])
	return a, err
}

// Ask asks for an approval, or returns the open one of the same step; asked tells which.
func (tx *Tx) Ask(ctx context.Context, a Approval) (approval Approval, asked bool, err error) {
	if len(a.Intent.Input) == 0 {
		a.Intent.Input = json.RawMessage("null")
	}
	intent, err := json.Marshal(a.Intent)
	if err != nil {
		return approval, false, fmt.Errorf("asking for an approval: %w", err)
	}
	approval, err = one(ctx, tx.Reader, scanApproval, "INSERT INTO approvals(run_id, seq, state, reason, asked_by, asked_at, expires_at, decided_by, decided_at, note, intent) "+
		"VALUES(?1, ?2, 'asked', ?3, ?4, ?5, ?6, '', 0, '', ?7) ON CONFLICT(run_id, seq) WHERE state = 'asked' DO NOTHING RETURNING "+approvalColumns,
		a.Run, a.Seq, a.Reason, a.AskedBy, micros(tx.now()), micros(a.Expires), string(intent))
	if !errors.Is(err, ErrNotFound) {
		return approval, err == nil, err
	}
	approval, err = one(ctx, tx.Reader, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE run_id = ?1 AND seq = ?2 AND state = 'asked'", a.Run, a.Seq)
	return approval, false, err
}

// Decide answers an open approval; ErrConflict where it was decided, or where it has
// expired and is granted or refused none the less. Who may do so is the caller's to judge.
func (tx *Tx) Decide(ctx context.Context, id int64, to ApprovalState, by, note string) (Approval, error) {
	if to == ApprovalAsked {
		return Approval{}, fmt.Errorf("deciding approval %d: asked is no decision", id)
	}
	a, err := one(ctx, tx.Reader, scanApproval, "UPDATE approvals SET state = ?2, decided_by = ?3, decided_at = ?4, note = ?5 WHERE id = ?1 AND state = 'asked' AND (?2 = 'expired' OR expires_at > ?4) RETURNING "+approvalColumns,
		id, string(to), by, micros(tx.now()), note)
	if errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	return a, err
}

// Approval reads one approval.
func (r Reader) Approval(ctx context.Context, id int64) (Approval, error) {
	return one(ctx, r, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE id = ?1", id)
}

// Approvals lists approvals, newest first; a zero state or run does not narrow.
func (r Reader) Approvals(ctx context.Context, state ApprovalState, run int64, p Page) ([]Approval, error) {
	var w where
	w.text("state", string(state))
	w.number("run_id", run)
	return list(ctx, r, scanApproval, "SELECT "+approvalColumns+" FROM approvals"+w.page("id", p), w.args...)
}

// CountApprovals counts the approvals in a state.
func (r Reader) CountApprovals(ctx context.Context, state ApprovalState) (int64, error) {
	return one(ctx, r, number, "SELECT COUNT(*) FROM approvals WHERE state = ?1", string(state))
}

// Overdue lists open approvals whose time is over.
func (r Reader) Overdue(ctx context.Context) ([]Approval, error) {
	return list(ctx, r, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE state = 'asked' AND expires_at <= ?1 ORDER BY id", micros(r.now()))
}
