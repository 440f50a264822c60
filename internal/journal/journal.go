// Package journal writes down what was decided and done, by whom and why, so that it can
// be proved later: entries are masked, chained by hashes and signed at checkpoints. It
// writes only what it is told, and never changes or removes an entry, apart from cutting
// off old ones at a checkpoint.
//
// # How to use it
//
//	err := st.Tx(ctx, func(tx *state.Tx) error {
//		… // what is done
//		return journal.Append(tx, journal.Entry{Kind: journal.StepEnded, Actor: "keepwell", Run: run, Why: "…", Data: result})
//	})
//
// The entry is part of the transaction: both are kept or neither. It takes its place in
// the chain as the last thing before the commit, so that transactions wait for each
// other only there. Data is anything that becomes JSON; its texts are masked
// (internal/mask), and so is whatever stands under a name such as "password" or "token":
// give harmless values other names. Texts beyond 8 KiB are cut.
//
// A server holds a [Key] of its own, whose public part it puts into the database
// ([Enlist]), makes a checkpoint now and then ([Checkpoint]: every few minutes, and when
// it stops), lets [Cut] take away what is older than the retention, and has [Verify] prove
// the rest, whichever node signed it. [OpenExport] proves what was exported.
//
// # What is proved
//
// The hash of an entry is sha256 over the hash before it and the entry's canonical JSON.
// Whoever changes, inserts or removes an entry must rewrite all hashes after it, and
// meets a checkpoint that is signed with a key outside the database. What was written
// after the last checkpoint is protected by the chain alone. Who has both the database
// and the key can forge: keep the key by reference where that matters, and checkpoints
// elsewhere, too.
//
// Whose signature it is, is another question ([Trust]). A node knows its own key from its
// file. Those of other nodes it finds in the database, and takes them for what they say
// they are, on first use: who can write there can add a key and sign with it from then on,
// which shows in the journal and in [Report.Keys]. Where that is not enough, the keys that
// count are pinned. A key that follows another ([Rotate]) is vouched for by that one.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Kind says what an entry tells: words joined by dots.
type Kind string

// The kinds of entries. A new one is a line here, and its words in internal/msg where
// people see it.
const (
	AlertRefused    Kind = "alert.refused"
	IncidentOpened  Kind = "incident.opened"
	IncidentChanged Kind = "incident.changed"
	IncidentEnded   Kind = "incident.resolved"
	Decided         Kind = "decision" // to run a playbook, or why not
	RunStarted      Kind = "run.started"
	RunEnded        Kind = "run.ended"
	Escalated       Kind = "escalated" // handed to a person
	StepIntended    Kind = "step.intended"
	StepEnded       Kind = "step.ended"
	ApprovalAsked   Kind = "approval.asked"
	ApprovalDecided Kind = "approval.decided"
	MuteSet         Kind = "mute.set"
	MuteLifted      Kind = "mute.lifted"
	BreakerChanged  Kind = "breaker.changed"
	PlaybookChanged Kind = "playbook.changed"
	UserChanged     Kind = "user.changed"
	TokenChanged    Kind = "token.changed"
	LoggedIn        Kind = "login"
	LoggedOut       Kind = "logout"
	LoginRefused    Kind = "login.refused"
	SettingChanged  Kind = "setting.changed"
	ServerStarted   Kind = "server.started"
	ServerStopped   Kind = "server.stopped"
	Retained        Kind = "retention"
	KeyAdded        Kind = "key.added" // that signs checkpoints
	KeyRetired      Kind = "key.retired"
)

var kindShape = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]+(\.[a-z]+)*$`) })

// Entry is what is written down.
type Entry struct {
	Kind Kind
	// Actor is who did it: "keepwell", "user:NAME", "token:NAME".
	Actor string
	// Incident and Run are what it belongs to; 0: none.
	Incident, Run int64
	// Step is the idempotency key of the step that it is about.
	Step string
	// Why is the reason in words of people or other programs, Reason in ours: a key with
	// arguments, worded where it is read.
	Why    string
	Reason msg.Reason
	// Data is what else there is to say: evidence, conditions, results.
	Data any
}

// Record is an entry as it was written.
type Record struct {
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Kind     Kind            `json:"kind"`
	Actor    string          `json:"actor"`
	Incident int64           `json:"incident,omitempty"`
	Run      int64           `json:"run,omitempty"`
	Step     string          `json:"step,omitempty"`
	Why      string          `json:"why,omitempty"`
	Reason   msg.Reason      `json:"reason,omitzero"`
	Data     json.RawMessage `json:"data,omitempty"`
	Hash     string          `json:"hash"` // in hex
}

// body is what is hashed, without place and time.
type body struct {
	Seq      int64           `json:"seq"`
	At       int64           `json:"at"` // microseconds since 1970
	Kind     Kind            `json:"kind"`
	Actor    string          `json:"actor"`
	Incident int64           `json:"incident"`
	Run      int64           `json:"run"`
	Step     string          `json:"step"`
	Why      string          `json:"why"`
	Reason   json.RawMessage `json:"reason,omitempty"`
	Data     json.RawMessage `json:"data"`
}

// most is the size of an entry that is refused: it is no entry.
const most = 1 << 20

// Append writes an entry in the caller's transaction.
func Append(tx *state.Tx, e Entry) error {
	b, err := prepare(e)
	if err != nil {
		return fmt.Errorf("writing the journal (%s): %w", e.Kind, err)
	}
	tx.BeforeCommit(func(ctx context.Context, tx *state.Tx) error {
		end, err := tx.LockJournal(ctx)
		if err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		b.Seq, b.At = end.Seq+1, tx.Now().UnixMicro()
		text, err := Canonical(b)
		if err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		row := state.JournalRow{
			Seq: b.Seq, At: time.UnixMicro(b.At).UTC(), Kind: string(b.Kind), Actor: b.Actor, Incident: b.Incident, Run: b.Run,
			Body: string(text), Hash: chain(end.Hash, text),
		}
		if err := tx.AppendJournal(ctx, []state.JournalRow{row}); err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		return nil
	})
	return nil
}

// prepare masks an entry.
func prepare(e Entry) (body, error) {
	if !kindShape().MatchString(string(e.Kind)) {
		return body{}, fmt.Errorf("kind %q is not words joined by dots", string(e.Kind))
	}
	data, err := Canonical(e.Data)
	if err != nil {
		return body{}, err
	}
	var reason json.RawMessage
	switch {
	case e.Reason.Key == "" && e.Reason.Text != "":
		e.Why = e.Reason.Text
	case e.Reason.Key != "":
		if reason, err = Canonical(e.Reason); err != nil {
			return body{}, err
		}
	}
	if size := len(data) + len(e.Why) + len(reason); size > most {
		return body{}, fmt.Errorf("%d bytes are more than %d", size, most)
	}
	return body{Kind: e.Kind, Actor: text(e.Actor), Incident: e.Incident, Run: e.Run, Step: text(e.Step), Why: text(e.Why), Reason: reason, Data: data}, nil
}

// chain is the hash of an entry after the one with the hash before.
func chain(before, text []byte) []byte {
	h := sha256.New()
	h.Write(before)
	h.Write(text)
	return h.Sum(nil)
}

// record reads a row. Its columns serve for finding; what counts is the body.
func record(row state.JournalRow) (Record, error) {
	var b body
	if err := json.Unmarshal([]byte(row.Body), &b); err != nil {
		return Record{}, fmt.Errorf("entry %d of the journal: %w", row.Seq, err)
	}
	var reason msg.Reason
	if len(b.Reason) > 0 {
		if err := json.Unmarshal(b.Reason, &reason); err != nil {
			return Record{}, fmt.Errorf("entry %d of the journal: %w", row.Seq, err)
		}
	}
	return Record{
		Seq: b.Seq, At: time.UnixMicro(b.At).UTC(), Kind: b.Kind, Actor: b.Actor, Incident: b.Incident, Run: b.Run, Step: b.Step, Why: b.Why, Reason: reason, Data: b.Data,
		Hash: fmt.Sprintf("%x", row.Hash),
	}, nil
}

// In is the record with its reason in words.
func (r Record) In(lang msg.Lang) Record {
	if !r.Reason.IsZero() {
		r.Why = r.Reason.In(lang)
	}
	return r
}

// List lists entries, newest first.
func List(ctx context.Context, r state.Reader, f state.JournalFilter, p state.Page) ([]Record, error) {
	rows, err := r.Journal(ctx, f, p)
	if err != nil {
		return nil, err
	}
	return Records(rows)
}

// After lists entries in order, from the one after seq.
func After(ctx context.Context, r state.Reader, seq int64, limit int) ([]Record, error) {
	rows, err := r.JournalAfter(ctx, seq, limit)
	if err != nil {
		return nil, err
	}
	return Records(rows)
}

// Records reads rows.
func Records(rows []state.JournalRow) ([]Record, error) {
	records := make([]Record, 0, len(rows))
	for _, row := range rows {
		rec, err := record(row)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}
