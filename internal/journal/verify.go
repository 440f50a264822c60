package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Problem is one thing that is not as it must be.
type Problem struct {
	Seq int64 `json:"seq"`
	// What it is: in English, or as [Report.In] has it.
	What string `json:"what"`
	// Reason is the same, for who puts it into words.
	Reason msg.Reason `json:"-"`
}

// Report is what a verification found.
type Report struct {
	First, Last int64 // the entries that are there; 0: none
	Entries     int64
	// Checkpoints is how many signatures hold; Signed is the last entry under one.
	Checkpoints int64
	Signed      int64
	// Keys are those that may sign, why they count, and what they signed.
	Keys []KeyUse
	// Problems are at most 100, in order. None: the journal is what was written.
	Problems []Problem
}

const mostProblems = 100

func (r *Report) say(seq int64, why msg.Reason) {
	if len(r.Problems) < mostProblems {
		r.Problems = append(r.Problems, Problem{seq, why.In(msg.EN), why})
	}
}

// In is the report with its problems in a language.
func (r Report) In(l msg.Lang) Report {
	r.Problems = slices.Clone(r.Problems)
	for i, p := range r.Problems {
		r.Problems[i].What = p.Reason.In(l)
	}
	return r
}

// Source is a journal: the database ([state.Reader]), or an export.
type Source interface {
	JournalEnd(ctx context.Context) (state.Link, error)
	Checkpoints(ctx context.Context) ([]state.Checkpoint, error)
	JournalKeys(ctx context.Context) ([]state.JournalKey, error)
	JournalAfter(ctx context.Context, seq int64, limit int) ([]state.JournalRow, error)
}

// Verify goes through the whole journal. Checkpoints count where a key signed them that is
// trusted: where none is, none does, and a journal that was cut is not proved.
func Verify(ctx context.Context, r Source, t Trust) (Report, error) {
	v := verifier{Report: &Report{}, points: map[int64]state.Checkpoint{}, told: map[int64]announced{}}
	if err := v.verify(ctx, r, t); err != nil {
		return *v.Report, fmt.Errorf("verifying the journal: %w", err)
	}
	return *v.Report, nil
}

func (v *verifier) verify(ctx context.Context, r Source, t Trust) error {
	// In this order: others write meanwhile, first a key, then what it signs, which is before
	// the end.
	points, err := r.Checkpoints(ctx)
	if err != nil {
		return err
	}
	keys, err := r.JournalKeys(ctx)
	if err != nil {
		return err
	}
	end, err := r.JournalEnd(ctx)
	if err != nil {
		return err
	}
	v.Keys, v.asks = t.Judge(keys), t.FirstUse || len(t.Pinned) > 0
	for _, c := range points {
		v.point(c, end)
	}
	for more := true; more; {
		rows, err := r.JournalAfter(ctx, v.last.Seq, 1000)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Seq <= end.Seq {
				v.row(row)
			}
		}
		more = len(rows) == 1000 && rows[999].Seq < end.Seq
	}
	v.end(end)
	v.announcements(end)
	return nil
}

type verifier struct {
	*Report
	points map[int64]state.Checkpoint
	last   state.Link
	// told are the announcements of keys, by their entries.
	told map[int64]announced
	asks bool // for signatures
}

// point takes a checkpoint in.
func (v *verifier) point(c state.Checkpoint, end state.Link) {
	if c.Seq > end.Seq {
		v.say(c.Seq, msg.Because("journal.proof.beyond", end.Seq))
	}
	i := slices.IndexFunc(v.Keys, func(u KeyUse) bool { return bytes.Equal(u.key.PublicKey, c.PublicKey) })
	switch {
	case !v.asks:
		return
	case i < 0 || v.Keys[i].Trusted == TrustedNot:
		v.say(c.Seq, msg.Because("journal.proof.untrusted", KeyID(c.PublicKey)))
		return
	case len(c.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(c.PublicKey, message(c), c.Signature):
		v.say(c.Seq, msg.Because("journal.proof.signature"))
		return
	case !v.Keys[i].key.Retired.IsZero() && c.At.After(v.Keys[i].key.Retired):
		v.say(c.Seq, msg.Because("journal.proof.retired", KeyID(c.PublicKey)))
		return
	}
	v.points[c.Seq] = c
	v.Checkpoints++
	v.Signed = max(v.Signed, c.Seq)
	v.Keys[i].Checkpoints++
	v.Keys[i].Last = max(v.Keys[i].Last, c.Seq)
}

// announcements hold the keys to what the journal says of them.
func (v *verifier) announcements(end state.Link) {
	for _, u := range v.Keys {
		switch told, ok := v.told[u.key.Entry]; {
		case u.key.Entry == 0 || u.key.Entry > end.Seq || v.Entries == 0 || u.key.Entry < v.First:
			// pinned and never announced; announced since; or the entry is gone, as the retention wants
		case !ok || told.Public != u.PublicKey:
			v.say(u.key.Entry, msg.Because("journal.proof.unannounced", u.ID))
		}
	}
}

// row holds an entry to the one before it.
func (v *verifier) row(row state.JournalRow) {
	if v.Entries == 0 {
		v.First = row.Seq
		v.begin(row.Seq - 1)
	}
	v.Entries++
	v.Last = row.Seq
	if row.Seq != v.last.Seq+1 {
		v.say(row.Seq, msg.Because("journal.proof.missing", v.last.Seq+1, row.Seq-1))
	} else if v.last.Hash != nil && !bytes.Equal(row.Hash, chain(v.last.Hash, []byte(row.Body))) {
		v.say(row.Seq, msg.Because("journal.proof.changed"))
	}
	if c, ok := v.points[row.Seq]; ok && !bytes.Equal(c.Hash, row.Hash) {
		v.say(row.Seq, msg.Because("journal.proof.unsigned"))
	}
	r, err := record(row)
	if err != nil || r.Seq != row.Seq || !r.At.Equal(row.At) || string(r.Kind) != row.Kind || r.Actor != row.Actor || r.Incident != row.Incident || r.Run != row.Run {
		v.say(row.Seq, msg.Because("journal.proof.columns"))
	}
	if r.Kind == KeyAdded {
		var told announced
		if json.Unmarshal(r.Data, &told) == nil {
			v.told[row.Seq] = told
		}
	}
	v.last = state.Link{Seq: row.Seq, Hash: row.Hash}
}

// begin finds what the first entry follows.
func (v *verifier) begin(seq int64) {
	v.last = state.Link{Seq: seq, Hash: []byte{}}
	if seq == 0 {
		return
	}
	c, ok := v.points[seq]
	if !ok {
		v.say(seq, msg.Because("journal.proof.gone"))
	}
	v.last.Hash = c.Hash // nil: the first entry's hash cannot be proved
}

// end holds the end of the chain to the last entry.
func (v *verifier) end(end state.Link) {
	if v.Entries == 0 && end.Seq > 0 {
		v.begin(end.Seq)
		if v.last.Hash != nil && !bytes.Equal(v.last.Hash, end.Hash) {
			v.say(end.Seq, msg.Because("journal.proof.headsigned"))
		}
		return
	}
	if v.last.Seq != end.Seq || v.Entries > 0 && !bytes.Equal(v.last.Hash, end.Hash) {
		v.say(end.Seq, msg.Because("journal.proof.end", v.last.Seq, end.Seq))
	}
}
