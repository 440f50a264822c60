// Package modstore keeps what a module proxy has fetched: bytes under their sha256,
// and beside them, in SQLite, what they are, who vouched for them and when they were
// last wanted. Several processes may share one directory. It never fetches and never
// decides whether bytes are good: what is put here was admitted by the caller.
//
// # What survives what
//
// Bytes are written to a file of their own, made durable (fsync) and only then given
// their name; a row is added in the same SQLite transaction that holds the name. So a
// kill at any moment leaves at most a nameless file, which the next Open clears, or a
// blob without a row, which Collect clears. Small files lie in the row itself.
// SQLite runs in WAL mode with synchronous=NORMAL: a power cut may take the last
// rows, never half of one, and a row whose blob is missing or of another size counts
// as absent. What rots later is found by Scrub. A caller may hand out what it admitted before
// Put returns: what is not kept by then is as if it had never come.
//
// Another place for bytes (an object store) is an implementation of [Blobs].
// A new kind of record is a table in schema.go.
package modstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	_ "modernc.org/sqlite" // the driver

	"github.com/keepwell/keepwell/internal/scratch"
)

// Inline is the size up to which bytes lie in the database in place of a blob.
const Inline = 16 << 10

// ErrRotten says that bytes are no longer those that were stored.
var ErrRotten = errors.New("the bytes have rotted")

// Options of a store.
type Options struct {
	// Dir is where everything lies; it is created.
	Dir string
	// Blobs holds what is larger than Inline; nil: below Dir.
	Blobs Blobs
	// Now is the time; nil: the machine's.
	Now func() time.Time
	// Mended allows Open to set a damaged store.db aside and to take over what can be read
	// of it, and is told; nil: such a store is not opened.
	Mended func(Mended)
}

// Store is one opened store. It is safe for concurrent use.
type Store struct {
	dir   string
	db    *sql.DB
	blobs Blobs
	now   func() time.Time
	// scratch is this process's own directory, held by lock.
	scratch string
	lock    *flock.Flock

	// ready are the statements that each file needs: parsing them costs as much as they do.
	ready struct{ get, insert, trusted, trust *sql.Stmt }

	mu   sync.Mutex
	used map[string]int64 // last use, not yet in the database
	got  map[string]int64 // downloads, not yet in the database
	last time.Time        // when both were last written
	fold int64            // the day for which old days were last put together
}

// Entry is what is known of one file.
type Entry struct {
	Key    string // module/@v/version.ext, escaped as in the protocol
	Sum    string // sha256 of the bytes, in hex
	Size   int64
	H1     string // the h1: sum that go knows; "" for files without one
	Source string // the server that it came from
	// Via says who vouched for the bytes: "go.sum", "sumdb", "first use", "import", or
	// nobody.
	Via string
	// Stored is when it came, or was last confirmed by a server; Used when it was last
	// wanted, as far as that is written.
	Stored, Used time.Time
	// Data holds a small file; nil: the bytes are a blob.
	Data []byte
}

// OpenError says why there is no store at Dir.
type OpenError struct {
	Dir string
	Err error
}

func (e *OpenError) Error() string { return "opening the store at " + e.Dir + ": " + e.Err.Error() }
func (e *OpenError) Unwrap() error { return e.Err }

// Open opens the store at o.Dir.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{dir: o.Dir, blobs: o.Blobs, now: o.Now, used: map[string]int64{}, got: map[string]int64{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.last = s.now()
	if s.blobs == nil {
		s.blobs = Directory(filepath.Join(o.Dir, "blobs"))
	}
	if err := s.makeScratch(); err != nil {
		return nil, &OpenError{o.Dir, err}
	}
	err := s.openDatabase(ctx)
	if _, doubted := os.Stat(s.suspect()); err == nil && doubted == nil && o.Mended != nil {
		if err = s.Check(ctx); err == nil {
			_ = os.Remove(s.suspect())
		}
	}
	if errors.Is(err, ErrDamaged) && o.Mended != nil {
		var done Mended
		limited, cancel := context.WithTimeout(ctx, mendTime)
		done, err = s.mend(limited)
		if cancel(); err == nil && done.Aside != "" {
			o.Mended(done)
		}
	}
	if err != nil {
		return nil, &OpenError{o.Dir, errors.Join(err, s.Close())} //nolint:contextcheck // closing outlives the caller
	}
	return s, nil
}

// openDatabase opens store.db and brings its layout up to date.
func (s *Store) openDatabase(ctx context.Context) error {
	if s.db != nil {
		_ = s.db.Close()
	}
	db, err := sql.Open("sqlite", dsn(filepath.Join(s.dir, "store.db")))
	if err != nil {
		return err
	}
	const most = 4
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most) // opening one costs more than most questions
	s.db = db
	if err = s.migrate(ctx); err == nil {
		err = s.makePins(ctx)
	}
	if err == nil {
		err = s.prepare(ctx)
	}
	return damage(err)
}

// prepare parses what is asked most.
func (s *Store) prepare(ctx context.Context) error {
	for _, q := range []struct {
		at    **sql.Stmt
		query string
	}{
		{&s.ready.get, "SELECT " + columns + " FROM entries WHERE key = ?"},
		{&s.ready.insert, insert},
		{&s.ready.trusted, "SELECT h1 FROM trust WHERE key = ?"},
		{&s.ready.trust, "INSERT INTO trust(key, h1, first) VALUES(?, ?, ?) ON CONFLICT(key) DO UPDATE SET h1 = trust.h1 RETURNING h1"},
	} {
		stmt, err := s.db.PrepareContext(ctx, q.query) //nolint:sqlclosecheck // the database closes it
		if err != nil {
			return err
		}
		*q.at = stmt
	}
	return nil
}

// makeScratch makes the directory of this process and clears those of processes that
// are gone: a lock is let go by the system however its holder ends.
func (s *Store) makeScratch() error {
	tmp := filepath.Join(s.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	// One process at a time makes or clears: else a directory could be cleared between
	// its making and its locking.
	door := flock.New(filepath.Join(tmp, "lock"))
	if err := door.Lock(); err != nil {
		return err
	}
	defer door.Unlock() //nolint:errcheck // closing the file lets go too
	left, err := filepath.Glob(filepath.Join(tmp, "p*.lock"))
	if err != nil {
		return err
	}
	for _, name := range left {
		l := flock.New(name)
		if ok, err := l.TryLock(); ok && err == nil {
			scratch.Remove(name[:len(name)-len(".lock")])
			_ = os.Remove(name)
			_ = l.Unlock()
		}
	}
	if s.scratch, err = os.MkdirTemp(tmp, "p"); err != nil {
		return err
	}
	s.lock = flock.New(s.scratch + ".lock")
	return s.lock.Lock()
}

// Scratch is a directory of this process, gone after Close.
func (s *Store) Scratch() string { return s.scratch }

// Close writes what is pending and lets go.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = errors.Join(s.Flush(context.Background()), s.db.Close())
	}
	scratch.Remove(s.scratch)
	_ = os.Remove(s.scratch + ".lock")
	return errors.Join(err, s.lock.Unlock())
}

// Get finds a file. The error is fs.ErrNotExist where there is none.
func (s *Store) Get(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	// Reading waits for nobody: a goroutine that watches ctx would cost as much as it does.
	e, err := scanEntry(s.ready.get.QueryRowContext(context.WithoutCancel(ctx), key))
	if errors.Is(err, sql.ErrNoRows) {
		return e, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return e, s.damaged(err)
}

// OpenFile opens the bytes of e, which is no small one. A blob that is gone or of another
// size takes its row with it.
func (s *Store) OpenFile(ctx context.Context, e Entry) (*os.File, error) {
	f, err := s.blobs.Open(ctx, e.Sum)
	if err == nil {
		var st os.FileInfo
		if st, err = f.Stat(); err == nil && st.Size() == e.Size {
			return f, nil
		}
		_ = f.Close()
		err = fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		_, _ = s.db.ExecContext(ctx, "DELETE FROM entries WHERE key = ? AND sum = ?", e.Key, e.Sum)
	}
	return nil, fmt.Errorf("opening %s: %w", e.Key, err)
}

// Keys lists the keys that begin with prefix.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT key FROM entries WHERE key >= ? AND key < ? ORDER BY key", prefix, prefix+"\U0010ffff")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // only read
	var keys []string
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// PutData stores a small file, or replaces it.
func (s *Store) PutData(ctx context.Context, e Entry, data []byte) (Entry, error) {
	if len(data) > Inline {
		st, err := s.Stage()
		if err != nil {
			return e, err
		}
		defer st.Discard()
		if _, err := st.Write(data); err != nil {
			return e, err
		}
		return s.Put(ctx, e, st)
	}
	e.Sum, e.Size, e.Data, e.Stored = sumOf(data), int64(len(data)), data, s.now()
	if e.Data == nil {
		e.Data = []byte{}
	}
	_, err := s.ready.insert.ExecContext(ctx, e.values()...)
	if err != nil {
		err = fmt.Errorf("storing %s: %w", e.Key, s.damaged(err))
	}
	return e, err
}

// Put stores what was staged, or replaces it. Where the error is [ErrDamaged], the bytes
// lie there without a record and can be opened by the entry.
func (s *Store) Put(ctx context.Context, e Entry, st *Staged) (Entry, error) {
	e.Sum, e.Size, e.Data, e.Stored = st.Sum(), st.size, nil, s.now()
	if e.Size <= Inline {
		data, err := io.ReadAll(io.NewSectionReader(st.File, 0, st.size))
		if err != nil {
			return e, err
		}
		return s.PutData(ctx, e, data)
	}
	err := st.Sync()
	if err == nil {
		err = s.inside(ctx, func(tx *sql.Tx) error { // the lock keeps Collect from taking the blob away
			if _, err := s.blobs.Create(ctx, e.Sum, st.Name()); err != nil {
				return err
			}
			_, err := tx.StmtContext(ctx, s.ready.insert).ExecContext(ctx, e.values()...) //nolint:sqlclosecheck // the transaction closes it
			return err
		})
	}
	if err != nil {
		err = s.damaged(err)
		if errors.Is(err, ErrDamaged) { // the bytes can be had nevertheless, as long as nobody clears them
			if bare := s.putBare(ctx, e.Sum, st); bare != nil {
				err = bare
			}
		}
		return e, fmt.Errorf("storing %s: %w", e.Key, err)
	}
	return e, nil
}

// putBare stores the bytes without a record.
func (s *Store) putBare(ctx context.Context, sum string, st *Staged) error {
	if f, err := s.blobs.Open(ctx, sum); err == nil { // the transaction came as far as that
		return f.Close()
	}
	_, err := s.blobs.Create(ctx, sum, st.Name())
	return err
}

// inside runs f in a transaction that alone may write.
func (s *Store) inside(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Confirm says that a server still answers the same for key.
func (s *Store) Confirm(ctx context.Context, key string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE entries SET stored = ? WHERE key = ?", s.now().Unix(), key)
	return err
}

// Proved says who vouches for key by now, if it still has the sum h1.
func (s *Store) Proved(ctx context.Context, key, h1, via string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE entries SET via = ? WHERE key = ? AND h1 = ?", via, key, h1)
	return err
}

// Touch notes that key was wanted. It is written in batches.
func (s *Store) Touch(key string) {
	now := s.now()
	s.mu.Lock()
	s.used[key] = now.Unix()
	due := s.due(now)
	s.mu.Unlock()
	if due {
		_ = s.Flush(context.Background()) // a use that is not noted makes a file look older
	}
}

// due tells whether it is time to write; the caller holds mu and writes.
func (s *Store) due(now time.Time) bool {
	const many = 512
	if len(s.used) < many && len(s.got) < many && now.Sub(s.last) <= time.Minute {
		return false
	}
	s.last = now
	return true
}

// Flush writes the uses and downloads that are pending.
func (s *Store) Flush(ctx context.Context) error {
	s.mu.Lock()
	used, got := s.used, s.got
	s.used, s.got = map[string]int64{}, map[string]int64{}
	s.mu.Unlock()
	if len(used)+len(got) == 0 {
		return nil
	}
	err := s.inside(ctx, func(tx *sql.Tx) error {
		for k, at := range used {
			if _, err := tx.ExecContext(ctx, "UPDATE entries SET used = max(used, ?) WHERE key = ?", at, k); err != nil {
				return err
			}
		}
		return s.addDownloads(ctx, tx, got)
	})
	if err != nil { // a download counts though the disk was full for a while
		s.mu.Lock()
		defer s.mu.Unlock()
		for k, n := range got {
			if len(s.got) < mostPending {
				s.got[k] += n
			}
		}
	}
	return err
}

// Trusted is the h1: sum that key had when it was first seen; "" where it never was.
func (s *Store) Trusted(ctx context.Context, key string) (string, error) {
	var h1 string
	err := s.ready.trusted.QueryRowContext(context.WithoutCancel(ctx), key).Scan(&h1)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return h1, err
}

// Trust pins the h1: sum of key, unless it has one, and returns the one it has.
func (s *Store) Trust(ctx context.Context, key, h1 string) (string, error) {
	err := s.ready.trust.QueryRowContext(ctx, key, h1, s.now().Unix()).Scan(&h1)
	return h1, err
}

// Distrust forgets the sum that key had when it was first seen.
func (s *Store) Distrust(ctx context.Context, key string) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM trust WHERE key = ?", key)
	return err
}

// Note returns a word that was set, "" where none was.
func (s *Store) Note(ctx context.Context, name string) (string, error) {
	var v string
	err := s.db.QueryRowContext(ctx, "SELECT value FROM notes WHERE name = ?", name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

// SetNote sets a word if it still is old, and tells whether it was.
func (s *Store) SetNote(ctx context.Context, name, old, value string) (bool, error) {
	done := false
	err := s.inside(ctx, func(tx *sql.Tx) error {
		var now string
		if err := tx.QueryRowContext(ctx, "SELECT value FROM notes WHERE name = ?", name).Scan(&now); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if now != old {
			return nil
		}
		done = true
		_, err := tx.ExecContext(ctx, "INSERT INTO notes(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", name, value)
		return err
	})
	return done, err
}
