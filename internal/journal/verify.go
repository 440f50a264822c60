package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/keepwell/keepwell/internal/state"
)

// Problem is one thing that is not as it must be.
type Problem struct {
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

// Report is what a verification found.
type Report struct {
	First, Last int64 // the entries that are there; 0: none
	Entries     int64
	// Checkpoints is how many signatures hold; Signed is the last entry under one.
	Checkpoints int64
	Signed      int64
	// Problems are at most 100, in order. None: the journal is what was written.
	Problems []Problem
}

const mostProblems = 100

func (r *Report) say(seq int64, format string, args ...any) {
	if len(r.Problems) < mostProblems {
		r.Problems = append(r.Problems, Problem{seq, fmt.Sprintf(format, args...)})
	}
}

// Verify goes through the whole journal. Checkpoints count where one of the trusted keys
// signed them: without trusted keys none does, and a journal that was cut is not proved.
func Verify(ctx context.Context, r state.Reader, trusted ...ed25519.PublicKey) (Report, error) {
	var report Report
	// Read first: what is written in between comes after the end.
	end, err := r.JournalEnd(ctx)
	if err != nil {
		return report, fmt.Errorf("verifying the journal: %w", err)
	}
	points, err := r.Checkpoints(ctx)
	if err != nil {
		return report, fmt.Errorf("verifying the journal: %w", err)
	}
	v := verifier{Report: &report, points: map[int64]state.Checkpoint{}}
	for _, c := range points {
		if c.Seq > end.Seq {
			v.say(c.Seq, "a checkpoint stands for an entry beyond the end, %d: entries were removed", end.Seq)
		}
		if v.signed(c, trusted) {
			v.points[c.Seq] = c
			report.Checkpoints++
			report.Signed = max(report.Signed, c.Seq)
		}
	}
	for more := true; more; {
		rows, err := r.JournalAfter(ctx, v.last.Seq, 1000)
		if err != nil {
			return report, fmt.Errorf("verifying the journal: %w", err)
		}
		for _, row := range rows {
			if row.Seq <= end.Seq {
				v.row(row)
			}
		}
		more = len(rows) == 1000 && rows[999].Seq < end.Seq
	}
	v.end(end)
	return report, nil
}

type verifier struct {
	*Report
	points map[int64]state.Checkpoint
	last   state.Link
}

func (v *verifier) signed(c state.Checkpoint, trusted []ed25519.PublicKey) bool {
	if !slices.ContainsFunc(trusted, func(k ed25519.PublicKey) bool { return bytes.Equal(k, c.PublicKey) }) {
		if len(trusted) > 0 {
			v.say(c.Seq, "a checkpoint is signed with a key that is not trusted")
		}
		return false
	}
	if !ed25519.Verify(c.PublicKey, message(c), c.Signature) {
		v.say(c.Seq, "the signature of a checkpoint does not hold")
		return false
	}
	return true
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
		v.say(row.Seq, "entries %d to %d are missing", v.last.Seq+1, row.Seq-1)
	} else if v.last.Hash != nil && !bytes.Equal(row.Hash, chain(v.last.Hash, []byte(row.Body))) {
		v.say(row.Seq, "the entry is not what was written, or the one before it")
	}
	if c, ok := v.points[row.Seq]; ok && !bytes.Equal(c.Hash, row.Hash) {
		v.say(row.Seq, "the entry is not the one that was signed")
	}
	if r, err := record(row); err != nil || r.Seq != row.Seq || !r.At.Equal(row.At) || string(r.Kind) != row.Kind || r.Actor != row.Actor || r.Incident != row.Incident || r.Run != row.Run {
		v.say(row.Seq, "the entry is found under other words than it holds")
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
		v.say(seq, "the entries up to here are gone, and no trusted checkpoint stands for them")
	}
	v.last.Hash = c.Hash // nil: the first entry's hash cannot be proved
}

// end holds the end of the chain to the last entry.
func (v *verifier) end(end state.Link) {
	if v.Entries == 0 && end.Seq > 0 {
		v.begin(end.Seq)
		if v.last.Hash != nil && !bytes.Equal(v.last.Hash, end.Hash) {
			v.say(end.Seq, "the end of the chain is not the one that was signed")
		}
		return
	}
	if v.last.Seq != end.Seq || v.Entries > 0 && !bytes.Equal(v.last.Hash, end.Hash) {
		v.say(end.Seq, "the last entry is %d, the chain ends at %d: entries were removed or changed", v.last.Seq, end.Seq)
	}
}
