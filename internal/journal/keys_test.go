package journal_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func enlist(t *testing.T, st *state.State, path, node string) journal.Key {
	t.Helper()
	k, err := journal.Enlist(t.Context(), st, path, node)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// told is what a verification says of keys: its trust and its signatures.
func told(t *testing.T, s journal.Source, trust journal.Trust) (keys, problems string) {
	t.Helper()
	r, err := journal.Verify(t.Context(), s, trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range r.Keys {
		keys += fmt.Sprintf("%s %s %d; ", k.Node, k.Trusted, k.Checkpoints)
	}
	for _, p := range r.Problems {
		problems += fmt.Sprintf("%d: %s; ", p.Seq, p.What)
	}
	return keys, problems
}

// exported writes the journal to a file, and opens it.
func exported(t *testing.T, st *state.State, change func([]byte) []byte) (*journal.Exported, error) {
	t.Helper()
	var b strings.Builder
	if err := journal.Export(t.Context(), st.Reader, 0, &b, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, change([]byte(b.String())), 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := journal.OpenExport(path)
	if err == nil {
		t.Cleanup(func() { _ = x.Close() })
	}
	return x, err
}

func same(b []byte) []byte { return b }

// TestNodes: what one node signed the others can prove, and so can who has an export; the
// key that follows another is vouched for by it, and what the old one signed stays proved.
func TestNodes(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		paths := [2]string{filepath.Join(t.TempDir(), journal.KeyFile), filepath.Join(t.TempDir(), journal.KeyFile)}
		a, b := enlist(t, st, paths[0], "a"), enlist(t, st, paths[1], "b")
		if again := enlist(t, st, paths[0], "a"); !again.Public().Equal(a.Public()) {
			t.Error("another key after a restart")
		}
		checkpoint(t, st, a)
		appendTo(t, st, entry(1))
		checkpoint(t, st, b)
		pin := func(k ...journal.Key) journal.Trust {
			var t journal.Trust
			for _, k := range k {
				t.Pinned = append(t.Pinned, k.Public())
			}
			return t
		}
		trusting := pin(a)
		trusting.FirstUse = true
		for want, trust := range map[string]journal.Trust{"a pinned 1; b first-use 1; ": trusting, "a first-use 1; b first-use 1; ": {FirstUse: true}, "a pinned 1; b pinned 1; ": pin(a, b)} {
			if keys, problems := told(t, st, trust); keys != want || problems != "" {
				t.Errorf("%s, want %s (%s)", keys, want, problems)
			}
			x, err := exported(t, st, same)
			if err != nil {
				t.Fatal(err)
			}
			if keys, problems := told(t, x, trust); keys != want || problems != "" {
				t.Errorf("the export: %s, want %s (%s)", keys, want, problems)
			}
		}
		if keys, problems := told(t, st, pin(a)); keys != "a pinned 1; b not 0; " || !strings.HasPrefix(problems, "3: a checkpoint is signed with a key that is not trusted") {
			t.Errorf("%s, %s", keys, problems)
		}

		next, err := journal.Rotate(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := journal.Rotate(paths[0]); err != nil || !twice.Public().Equal(next.Public()) {
			t.Errorf("%v: another one", err)
		}
		clock.Add(time.Second)
		old, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		waits, err := os.ReadFile(journal.Next(paths[0]))
		if err != nil {
			t.Fatal(err)
		}
		if k := enlist(t, st, paths[0], "a"); !k.Public().Equal(next.Public()) {
			t.Error("the new key did not take its place")
		}
		// Killed between the database and the files: the next start goes on.
		if err := errors.Join(os.WriteFile(paths[0], old, 0o600), os.WriteFile(journal.Next(paths[0]), waits, 0o600)); err != nil {
			t.Fatal(err)
		}
		if k := enlist(t, st, paths[0], "a"); !k.Public().Equal(next.Public()) {
			t.Error("the new key did not take its place after a crash")
		}
		if _, err := os.Stat(journal.Next(paths[0])); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		checkpoint(t, st, next)
		want := "a pinned 1; b first-use 1; a vouched 1; "
		if keys, problems := told(t, st, trusting); keys != want || problems != "" {
			t.Errorf("%s, want %s (%s)", keys, want, problems)
		}
		strict := pin(a, b)
		if keys, problems := told(t, st, strict); keys != "a pinned 1; b pinned 1; a vouched 1; " || problems != "" {
			t.Errorf("%s %s", keys, problems)
		}
		clock.Add(time.Second)
		appendTo(t, st, entry(2))
		checkpoint(t, st, a)
		if _, problems := told(t, st, strict); !strings.Contains(problems, "a checkpoint is signed with a key that signs no more") {
			t.Errorf("%s", problems)
		}
		if err := os.WriteFile(paths[0], old, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Enlist(t.Context(), st, paths[0], "a"); err == nil || !strings.Contains(err.Error(), "hint: remove the file") {
			t.Errorf("a key that was followed signs again: %v", err)
		}
	})
}

// TestForgedKeys: what is changed about keys, in the database or in an export, is found.
func TestForgedKeys(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		a := enlist(t, st, filepath.Join(t.TempDir(), journal.KeyFile), "a")
		appendTo(t, st, entry(1))
		checkpoint(t, st, a)
		eve := key(t)
		undo := errors.New("undo")
		err := st.Tx(t.Context(), func(tx *state.Tx) error {
			if err := tx.PutJournalKey(t.Context(), state.JournalKey{PublicKey: eve.Public(), Node: "eve", Entry: 2}); err != nil {
				return err
			}
			if _, problems := told(t, tx.Reader, journal.Trust{FirstUse: true}); !strings.Contains(problems, "2: the key "+journal.KeyID(eve.Public())+" is said to be announced here, and is not") {
				t.Errorf("%s", problems)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Error(err)
		}
		// It says that a follows it, and it vouches for nobody.
		refused(t, st, func(tx *state.Tx) error {
			return tx.PutJournalKey(t.Context(), state.JournalKey{PublicKey: eve.Public(), VouchedBy: a.Public(), Vouch: []byte("x"), Node: "eve", Entry: 1})
		}, func(tx *state.Tx) {
			if keys, _ := told(t, tx.Reader, journal.Trust{Pinned: []ed25519.PublicKey{a.Public()}}); keys != "a pinned 1; eve not 0; " && keys != "eve not 0; a pinned 1; " {
				t.Errorf("%s", keys)
			}
		})
		for what, tt := range map[string]struct {
			change func(string) string
			want   string
		}{
			"an entry": {func(s string) string { return strings.Replace(s, "because", "bequest", 1) }, "2: the entry is not what was written"},
			"the end":  {func(s string) string { return s[:strings.LastIndex(strings.TrimSpace(s), "\n")+1] }, "its end is missing"},
			"a line":   {func(s string) string { return s[strings.Index(s, "\n")+1:] }, "it says that it has 2 entries"},
			"a word":   {func(s string) string { return "hello\n" + s }, "is no line of an export"},
			"more":     {func(s string) string { return s + s }, "something follows the end"},
			"the key":  {func(s string) string { return strings.Replace(s, `"announced":1`, `"announced":2`, 1) }, "2: the key"},
		} {
			x, err := exported(t, st, func(b []byte) []byte { return []byte(tt.change(string(b))) })
			problems := fmt.Sprint(err)
			if err == nil {
				_, problems = told(t, x, journal.Trust{FirstUse: true})
			}
			if !strings.Contains(problems, tt.want) {
				t.Errorf("%s: %s, want %s", what, problems, tt.want)
			}
		}
	})
}

// refused does something in a transaction, looks at it, and takes it back.
func refused(t *testing.T, st *state.State, do func(*state.Tx) error, look func(*state.Tx)) {
	t.Helper()
	undo := errors.New("undo")
	if err := st.Tx(t.Context(), func(tx *state.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		look(tx)
		return undo
	}); !errors.Is(err, undo) {
		t.Error(err)
	}
}
