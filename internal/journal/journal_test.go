package journal_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask/masktest"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }

func appendTo(t *testing.T, st *state.State, entries ...journal.Entry) {
	t.Helper()
	err := st.Tx(t.Context(), func(tx *state.Tx) error {
		for _, e := range entries {
			if err := journal.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func entry(i int) journal.Entry {
	return journal.Entry{Kind: journal.StepEnded, Actor: "keepwell", Incident: int64(i % 3), Run: int64(i), Step: fmt.Sprint(i, "/0/1"), Why: "because", Data: map[string]any{"n": i, "温度": "<&>"}}
}

func key(t *testing.T) journal.Key {
	t.Helper()
	k, err := journal.OpenKey(filepath.Join(t.TempDir(), journal.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func verify(t *testing.T, st *state.State, keys ...ed25519.PublicKey) journal.Report {
	t.Helper()
	r, err := journal.Verify(t.Context(), st.Reader, journal.Trust{Pinned: keys})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checkpoint(t *testing.T, st *state.State, k journal.Key) {
	t.Helper()
	if err := journal.Checkpoint(t.Context(), st, k); err != nil {
		t.Fatal(err)
	}
}

func TestAppendListVerify(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		k := key(t)
		checkpoint(t, st, k) // of nothing: nothing
		if r := verify(t, st, k.Public()); r.Entries != 0 || r.Checkpoints != 0 || len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
		var all sync.WaitGroup
		for g := range 8 { // at once, several a transaction
			all.Go(func() { appendTo(t, st, entry(3*g), entry(3*g+1), entry(3*g+2)) })
		}
		all.Wait()
		broken := errors.New("broken")
		err := st.Tx(t.Context(), func(tx *state.Tx) error { return errors.Join(journal.Append(tx, entry(99)), broken) })
		if !errors.Is(err, broken) {
			t.Error(err)
		}
		checkpoint(t, st, k)
		checkpoint(t, st, k)
		appendTo(t, st, journal.Entry{Kind: journal.LoggedIn, Actor: "user:ann"})
		if r := verify(t, st, k.Public()); r.First != 1 || r.Last != 25 || r.Entries != 25 || r.Checkpoints != 1 || r.Signed != 24 || len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
		got, err := journal.List(t.Context(), st.Reader, state.JournalFilter{Run: 7}, state.Page{})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if e := got[0]; e.Kind != journal.StepEnded || e.Why != "because" || e.Step != "7/0/1" || e.Incident != 1 || string(e.Data) != `{"n":7,"温度":"<&>"}` || !e.At.Equal(clock.Now()) || len(e.Hash) != 64 {
			t.Errorf("%+v", e)
		}
		if got, _ := journal.List(t.Context(), st.Reader, state.JournalFilter{Kind: "login"}, state.Page{}); len(got) != 1 || got[0].Actor != "user:ann" || got[0].Seq != 25 {
			t.Errorf("%+v", got)
		}
	})
}

// TestReason: a reason is kept as key and arguments, masked, and covered by the chain.
func TestReason(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Dir: t.TempDir()})
	appendTo(
		t, st, journal.Entry{Kind: journal.Decided, Actor: "keepwell", Why: "old words"},
		journal.Entry{Kind: journal.Decided, Actor: "keepwell", Reason: msg.Because("why.check.failed", "look", "https://ann:hunter2@example.com/x")},
		journal.Entry{Kind: journal.Decided, Actor: "user:ann", Reason: msg.Said("I say so")},
	)
	got, err := journal.List(t.Context(), st.Reader, state.JournalFilter{}, state.Page{})
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	for i, want := range [][2]string{
		{"I say so", "I say so"},
		{"the check look: https://***@example.com/x", "验证 look：https://***@example.com/x"},
		{"old words", "old words"},
	} {
		if en, zh := got[i].In(msg.EN).Why, got[i].In(msg.ZH).Why; en != want[0] || zh != want[1] {
			t.Errorf("%q %q, want %q", en, zh, want)
		}
	}
	if got[1].Reason.Key != "why.check.failed" || got[1].Why != "" {
		t.Errorf("%+v", got[1])
	}
	for _, change := range []string{"REPLACE(body, 'why.check.failed', 'why.check.content')", "REPLACE(body, '\"look\"', '\"book\"')"} {
		undo := errors.New("undo")
		err := st.Tx(t.Context(), func(tx *state.Tx) error {
			if _, err := tx.SQL.ExecContext(t.Context(), "UPDATE journal SET body = "+change+" WHERE seq = 2"); err != nil {
				return err
			}
			r, err := journal.Verify(t.Context(), tx.Reader, journal.Trust{})
			if err != nil || len(r.Problems) != 1 || r.Problems[0].Seq != 2 {
				t.Errorf("%s: %+v %v", change, r, err)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Error(err)
		}
	}
}

// TestTampering changes the database in every way there is and has each found.
func TestTampering(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		k := key(t)
		for i := range 20 {
			appendTo(t, st, entry(i))
			if i == 9 || i == 14 {
				checkpoint(t, st, k)
			}
		}
		undo := errors.New("undo")
		for _, tt := range []struct{ change, want string }{
			{"UPDATE journal SET body = REPLACE(body, 'because', 'bequest') WHERE seq = 5", "5: the entry is not what was written"},
			{"UPDATE journal SET actor = 'user:eve' WHERE seq = 5", "5: the entry is found under other words"},
			{"UPDATE journal SET run_id = 77 WHERE seq = 5", "5: the entry is found under other words"},
			{"UPDATE journal SET at = at + 1 WHERE seq = 5", "5: the entry is found under other words"},
			{"UPDATE journal SET body = '{' WHERE seq = 5", "5: the entry is found under other words"},
			{"DELETE FROM journal WHERE seq IN (5, 6)", "7: entries 5 to 6 are missing"},
			{"DELETE FROM journal WHERE seq <= 4", "4: the entries up to here are gone"},
			{"DELETE FROM journal WHERE seq = 20", "20: the last entry is 19, the chain ends at 20"},
			{"DELETE FROM journal", "20: the entries up to here are gone"},
			{"DELETE FROM journal WHERE seq > 14; UPDATE journal_head SET seq = 14, hash = (SELECT hash FROM journal WHERE seq = 14)", ""}, // after the last checkpoint: cannot be told
			{"DELETE FROM journal WHERE seq > 12; UPDATE journal_head SET seq = 12, hash = (SELECT hash FROM journal WHERE seq = 12)", "15: a checkpoint stands for an entry beyond the end"},
			{"UPDATE journal_head SET hash = (SELECT hash FROM journal WHERE seq = 3)", "20: the last entry is 20"},
			{"UPDATE checkpoints SET hash = (SELECT hash FROM journal WHERE seq = 3) WHERE seq = 10", "10: the signature of a checkpoint does not hold"},
			{"UPDATE checkpoints SET at = at + 1 WHERE seq = 10", "10: the signature of a checkpoint does not hold"},
			{"UPDATE checkpoints SET seq = 11 WHERE seq = 10", "11: the signature of a checkpoint does not hold"},
			{"UPDATE checkpoints SET public_key = hash WHERE seq = 10", "10: a checkpoint is signed with a key that is not trusted"},
		} {
			err := st.Tx(t.Context(), func(tx *state.Tx) error {
				for change := range strings.SplitSeq(tt.change, "; ") {
					if _, err := tx.SQL.ExecContext(t.Context(), change); err != nil {
						return err
					}
				}
				r, err := journal.Verify(t.Context(), tx.Reader, journal.Trust{Pinned: []ed25519.PublicKey{k.Public()}})
				if err != nil {
					return err
				}
				var all []string
				for i, p := range r.In(msg.ZH).Problems {
					all = append(all, fmt.Sprintf("%d: %s", p.Seq, r.Problems[i].What))
					if p.What == r.Problems[i].What || !strings.ContainsFunc(p.What, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
						t.Errorf("in Chinese: %s", p.What)
					}
				}
				if text := strings.Join(all, "\n"); tt.want == "" && text != "" && !strings.HasPrefix(text, "15: ") || !strings.Contains(text, tt.want) {
					t.Errorf("%s:\n%s\nwant %s", tt.change, text, tt.want)
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Errorf("%s: %v", tt.change, err)
			}
		}
		if r := verify(t, st, k.Public()); len(r.Problems) != 0 || r.Checkpoints != 2 {
			t.Errorf("%+v", r)
		}
		if r := verify(t, st, key(t).Public()); len(r.Problems) != 2 || r.Checkpoints != 0 {
			t.Errorf("another's key: %+v", r)
		}
	})
}

// TestRewritten: whoever rewrites the chain after a change meets the checkpoint.
func TestRewritten(t *testing.T) {
	t.Parallel()
	k := key(t)
	honest := statetest.Open(t, state.Options{Dir: t.TempDir(), Now: statetest.NewClock().Now})
	forged := statetest.Open(t, state.Options{Dir: t.TempDir(), Now: statetest.NewClock().Now})
	for i := range 5 {
		appendTo(t, honest, entry(i))
		e := entry(i)
		if i == 2 {
			e.Actor = "user:eve"
		}
		appendTo(t, forged, e)
	}
	checkpoint(t, honest, k)
	points, err := honest.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Tx(t.Context(), func(tx *state.Tx) error { return tx.PutCheckpoint(t.Context(), points[0]) }); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, forged, k.Public()); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, "not the one that was signed") {
		t.Errorf("%+v", r)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		k := key(t)
		cut := func(before time.Time, want int64) {
			t.Helper()
			n, err := journal.Cut(t.Context(), st, before)
			if err != nil || n != want {
				t.Errorf("%d entries cut, want %d, %v", n, want, err)
			}
		}
		for i := range 20 {
			appendTo(t, st, entry(i))
			if i == 9 || i == 14 {
				checkpoint(t, st, k)
			}
			clock.Add(time.Hour)
		}
		start := clock.Now().Add(-20 * time.Hour)
		cut(start.Add(9*time.Hour), 0)   // entry 10 is not older yet
		cut(start.Add(12*time.Hour), 10) // up to the checkpoint
		if r := verify(t, st, k.Public()); r.First != 11 || r.Last != 20 || r.Entries != 10 || len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
		if r := verify(t, st); len(r.Problems) != 1 || r.Problems[0].Seq != 10 {
			t.Errorf("proved without a trusted key: %+v", r)
		}
		checkpoint(t, st, k)
		cut(clock.Now(), 10)
		if r := verify(t, st, k.Public()); r.Entries != 0 || len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
		appendTo(t, st, entry(20))
		if r := verify(t, st, k.Public()); r.First != 21 || len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
		err := st.Tx(t.Context(), func(tx *state.Tx) error { _, err := tx.CutJournal(t.Context(), 21); return err })
		if !errors.Is(err, state.ErrConflict) {
			t.Errorf("cut where no checkpoint stands: %v", err)
		}
	})
}

// TestNoSecretStays plants secrets in entries and looks for them in what is stored.
func TestNoSecretStays(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Dir: t.TempDir()})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		p := masktest.Plant(r)
		appendTo(t, st, journal.Entry{Kind: journal.Decided, Actor: "keepwell", Why: p.Text, Step: p.Text, Data: map[string]any{"out": []string{p.Text}, p.Text: i}})
		rows, err := st.Journal(t.Context(), state.JournalFilter{}, state.Page{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Secrets {
			if strings.Contains(strings.ToLower(rows[0].Body), strings.ToLower(s)) {
				t.Errorf("%s: %q stays in %s", p.Kind, s, rows[0].Body)
			}
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b":1,"a":[1.50,-0,1e9,12345678901234567890]}`:       `{"a":[1.50,-0,1e9,12345678901234567890],"b":1}`,
		`[ true , null , "a\u0000<\u2028>" ]`:                  `[true,null,"a\u0000<\u2028>"]`,
		`{"password":"x","api_key":5,"X-Token":["a"],"ok":""}`: `{"X-Token":"***","api_key":"***","ok":"","password":"***"}`,
		`{"password":"","token":null,"secret":false}`:          `{"password":"","secret":false,"token":null}`,
		`"https://ann:hunter2@example.com/x"`:                  `"https://***@example.com/x"`,
	} {
		got, err := journal.Canonical(json.RawMessage(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	if got, err := journal.Canonical(strings.Repeat("语", 5000)); err != nil || len(got) > 8<<10+2 || !bytes.HasSuffix(got, []byte(`语 […]"`)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, bad := range []any{make(chan int), json.RawMessage(`{`), json.RawMessage(`1 2`)} {
		if got, err := journal.Canonical(bad); err == nil {
			t.Errorf("%v became %s", bad, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Dir: t.TempDir()})
	large := make([]string, 200)
	for i := range large {
		large[i] = strings.Repeat("a b ", 2000)
	}
	for _, e := range []journal.Entry{{}, {Kind: "Step Ended"}, {Kind: "a", Data: make(chan int)}, {Kind: "a", Data: large}} {
		if err := st.Tx(t.Context(), func(tx *state.Tx) error { return journal.Append(tx, e) }); err == nil {
			t.Errorf("%.50v passed", e)
		}
	}
}

func TestOpenKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), journal.KeyFile)
	var all sync.WaitGroup
	public := make([]ed25519.PublicKey, 8)
	for i := range public { // several at once get the same
		all.Go(func() {
			k, err := journal.OpenKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			public[i] = k.Public()
		})
	}
	all.Wait()
	for _, p := range public {
		if !bytes.Equal(p, public[0]) {
			t.Error("two keys")
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key*")); len(left) != 0 {
		t.Error(left)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.OpenKey(path); err == nil || !strings.Contains(err.Error(), "hint: chmod 600") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	if _, err := journal.OpenKey(path); err == nil || strings.Contains(err.Error(), "short") {
		t.Error(err)
	}
}

// FuzzCanonical: one form, valid, stable, and no secret of a known shape in it.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":{"b":[1,2.0,"x"]},"A":null}`, `"https://u:p@example.com"`, `{"password":1,"a\nb":"Bearer abcdefghijklmnopqrstuvwxyz"}`, `[1e400,-0]`, `"\ud800"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := journal.Canonical(json.RawMessage(in))
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("no JSON: %s", once)
		}
		twice, err := journal.Canonical(json.RawMessage(once))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable:\n%s\n%s\n%v", once, twice, err)
		}
		// Names in another order, with blanks, are the same.
		var v any
		d := json.NewDecoder(strings.NewReader(in))
		d.UseNumber()
		if d.Decode(&v) == nil {
			spaced, _ := json.MarshalIndent(v, "", "  ")
			if again, err := journal.Canonical(json.RawMessage(spaced)); err != nil || !bytes.Equal(once, again) {
				t.Fatalf("depends on form:\n%s\n%s", once, again)
			}
		}
		planted, err := journal.Canonical(map[string]any{"text": in + " https://ann:zq9xkeepwellsecret@example.com/ " + in, "password": in + "zq9xkeepwellsecret"})
		if err == nil && strings.Contains(string(planted), "zq9xkeepwellsecret") {
			t.Fatalf("the secret stays: %s", planted)
		}
	})
}
