package state

import (
	"context"
	"sync"
	"time"
)

// JournalRow is one entry of the journal as it lies here. What it means, and the chain of
// its hashes, is internal/journal's; nothing else writes it.
type JournalRow struct {
	Seq      int64
	At       time.Time
	Kind     string
	Actor    string
	Incident int64
	Run      int64
	Body     string
	Hash     []byte
}

const journalColumns = "seq, at, kind, actor, incident_id, run_id, body, hash"

func scanJournal(s scanner) (j JournalRow, err error) {
	var at int64
	err = s.Scan(&j.Seq, &at, &j.Kind, &j.Actor, &j.Incident, &j.Run, &j.Body, &j.Hash)
	j.At = when(at)
	return j, err
}

// Link is a place in the journal's chain: the hash of the entry with the number.
type Link struct {
	Seq  int64
	Hash []byte
}

func scanLink(s scanner) (l Link, err error) { return l, s.Scan(&l.Seq, &l.Hash) }

// LockJournal reads the end of the chain and keeps others from adding to it until the
// transaction ends: it belongs at the end of one, see [Tx.BeforeCommit].
func (tx *Tx) LockJournal(ctx context.Context) (Link, error) {
	return one(ctx, tx.Reader, scanLink, "SELECT seq, hash FROM journal_head WHERE one = 1"+tx.kind.lockRow())
}

// JournalEnd reads the end of the chain.
func (r Reader) JournalEnd(ctx context.Context) (Link, error) {
	return one(ctx, r, scanLink, "SELECT seq, hash FROM journal_head WHERE one = 1")
}

// AppendJournal adds rows at the end of the chain, which the caller holds by LockJournal;
// ErrConflict where the first does not follow it.
func (tx *Tx) AppendJournal(ctx context.Context, rows []JournalRow) error {
	if len(rows) == 0 {
		return nil
	}
	last := rows[len(rows)-1]
	if err := tx.must(ctx, "UPDATE journal_head SET seq = ?1, hash = ?2 WHERE one = 1 AND seq = ?3", last.Seq, last.Hash, rows[0].Seq-1); err != nil {
		return err
	}
	for len(rows) > 0 {
		n := min(len(rows), 500)
		var args []any
		for _, j := range rows[:n] {
			args = append(args, j.Seq, micros(j.At), j.Kind, j.Actor, j.Incident, j.Run, j.Body, j.Hash)
		}
		if _, err := tx.exec(ctx, "INSERT INTO journal("+journalColumns+") VALUES "+tx.kind.rowsOf(n, 8), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	tx.appended = true
	return nil
}

// notice wakes everybody who waits for something.
type notice struct {
	mu sync.Mutex
	ch chan struct{}
}

func (n *notice) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notice) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

// Appended returns a channel that is closed when this process next adds to the journal.
// Ask for it before you read. Of other nodes it knows nothing: look now and then, too.
func (s *State) Appended() <-chan struct{} { return s.appended.wait() }

// JournalFilter narrows a list of entries; what is zero does not.
type JournalFilter struct {
	Kind     string
	Incident int64
	Run      int64
}

// Journal lists entries, newest first.
func (r Reader) Journal(ctx context.Context, f JournalFilter, p Page) ([]JournalRow, error) {
	var w where
	w.text("kind", f.Kind)
	w.number("incident_id", f.Incident)
	w.number("run_id", f.Run)
	return list(ctx, r, scanJournal, "SELECT "+journalColumns+" FROM journal"+w.page("seq", p), w.args...)
}

// JournalAfter lists entries in order, from the one after seq.
func (r Reader) JournalAfter(ctx context.Context, seq int64, limit int) ([]JournalRow, error) {
	return list(ctx, r, scanJournal, "SELECT "+journalColumns+" FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2", seq, limit)
}

// CutJournal removes the entries up to seq, which a checkpoint must stand for:
// ErrConflict where none does.
func (tx *Tx) CutJournal(ctx context.Context, seq int64) (int64, error) {
	if err := tx.must(ctx, "UPDATE checkpoints SET at = at WHERE seq = ?1", seq); err != nil {
		return 0, err
	}
	return tx.exec(ctx, "DELETE FROM journal WHERE seq <= ?1", seq)
}

// Checkpoint is a signature over a place in the chain.
type Checkpoint struct {
	Link
	At        time.Time
	PublicKey []byte
	Signature []byte
}

func scanCheckpoint(s scanner) (c Checkpoint, err error) {
	var at int64
	err = s.Scan(&c.Seq, &at, &c.Hash, &c.PublicKey, &c.Signature)
	c.At = when(at)
	return c, err
}

// PutCheckpoint stores a checkpoint; one that is there for the same place stays.
func (tx *Tx) PutCheckpoint(ctx context.Context, c Checkpoint) error {
	_, err := tx.exec(ctx, "INSERT INTO checkpoints(seq, at, hash, public_key, signature) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING", c.Seq, micros(c.At), c.Hash, c.PublicKey, c.Signature)
	return err
}

// Checkpoints lists checkpoints in order.
func (r Reader) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	return list(ctx, r, scanCheckpoint, "SELECT seq, at, hash, public_key, signature FROM checkpoints ORDER BY seq")
}

// CheckpointBefore finds the last checkpoint over an entry written before t.
func (r Reader) CheckpointBefore(ctx context.Context, t time.Time) (Checkpoint, error) {
	return one(ctx, r, scanCheckpoint, "SELECT seq, at, hash, public_key, signature FROM checkpoints WHERE seq <= (SELECT COALESCE(MAX(seq), 0) FROM journal WHERE at < ?1) ORDER BY seq DESC LIMIT 1", micros(t))
}

// JournalKey is a public key that signs checkpoints, or signed them.
type JournalKey struct {
	PublicKey []byte
	// Node is the machine that it was made on.
	Node    string
	Created time.Time
	// Entry is the number of the entry that announced it.
	Entry int64
	// VouchedBy is the key which it follows, Vouch that one's signature; empty: it follows none.
	VouchedBy, Vouch []byte
	// Retired is when it was followed by another; zero: it signs.
	Retired time.Time
}

const journalKeyColumns = "public_key, node, created_at, entry, vouched_by, vouch, retired_at"

func scanJournalKey(s scanner) (k JournalKey, err error) {
	var us [2]int64
	err = s.Scan(&k.PublicKey, &k.Node, &us[0], &k.Entry, &k.VouchedBy, &k.Vouch, &us[1])
	whens([]*time.Time{&k.Created, &k.Retired}, us[:])
	return k, err
}

// PutJournalKey adds a key, which is created now; ErrConflict where it is there. None is
// ever changed, but for its end, or removed.
func (tx *Tx) PutJournalKey(ctx context.Context, k JournalKey) error {
	none := []byte{}
	return tx.must(ctx, "INSERT INTO journal_keys("+journalKeyColumns+") VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0) ON CONFLICT DO NOTHING",
		k.PublicKey, k.Node, micros(tx.now()), k.Entry, append(none, k.VouchedBy...), append(none, k.Vouch...))
}

// RetireJournalKey notes that a key signs no more; ErrConflict where it did not.
func (tx *Tx) RetireJournalKey(ctx context.Context, public []byte) error {
	return tx.must(ctx, "UPDATE journal_keys SET retired_at = ?2 WHERE public_key = ?1 AND retired_at = 0", public, micros(tx.now()))
}

// JournalKeys lists the keys, in the order in which they were announced.
func (r Reader) JournalKeys(ctx context.Context) ([]JournalKey, error) {
	return list(ctx, r, scanJournalKey, "SELECT "+journalKeyColumns+" FROM journal_keys ORDER BY entry, public_key")
}
