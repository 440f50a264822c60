package modstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Keep says what Collect leaves.
type Keep struct {
	// Bytes is the quota; 0: none.
	Bytes int64
	// Unused is how long a file may go unwanted; 0: for ever.
	Unused time.Duration
}

// Collected is what Collect took away.
type Collected struct {
	Files, Blobs int
	Bytes        int64
}

// Collect removes the files that were wanted longest ago, until the rest keeps within k,
// and blobs that no file has. What is pinned stays, and so do pins of first use.
func (s *Store) Collect(ctx context.Context, k Keep) (Collected, error) {
	var done Collected
	if err := s.Flush(ctx); err != nil {
		return done, err
	}
	err := s.collect(ctx, k, &done)
	if err != nil {
		return done, fmt.Errorf("collecting: %w", err)
	}
	// A second transaction: the rows are gone for good before their blobs are.
	done.Blobs, done.Bytes, err = s.sweep(ctx)
	if err != nil {
		return done, fmt.Errorf("collecting: %w", err)
	}
	return done, nil
}

// collect removes the rows of what k does not leave.
func (s *Store) collect(ctx context.Context, k Keep, done *Collected) error {
	if k == (Keep{}) {
		return nil
	}
	return s.inside(ctx, func(tx *sql.Tx) error {
		keys, err := s.unwanted(ctx, tx, k)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := tx.ExecContext(ctx, "DELETE FROM entries WHERE key = ?", key); err != nil {
				return err
			}
		}
		done.Files = len(keys)
		return nil
	})
}

// sweep removes the blobs that no row names: those of rows that were collected, of a process
// that was killed before it wrote the row, of a store.db that was taken away. They are looked
// for first, so that others wait only while they are removed.
func (s *Store) sweep(ctx context.Context) (blobs int, bytes int64, err error) {
	orphans := map[string]int64{}
	err = s.blobs.Each(ctx, func(sum string, size int64) error {
		if !isSum(sum) {
			return nil
		}
		named, err := isNamed(ctx, s.db, sum)
		if err == nil && !named {
			orphans[sum] = size
		}
		return err
	})
	if err != nil || len(orphans) == 0 {
		return 0, 0, err
	}
	err = s.inside(ctx, func(tx *sql.Tx) error {
		for sum, size := range orphans {
			named, err := isNamed(ctx, tx, sum) // somebody may have stored it since
			if err == nil && !named {
				if err = s.blobs.Remove(ctx, sum); err == nil {
					blobs, bytes = blobs+1, bytes+size
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return blobs, bytes, err
}

// isNamed tells whether a row has the blob.
func isNamed(ctx context.Context, in interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, sum string,
) (bool, error) {
	var named bool
	err := in.QueryRowContext(ctx, "SELECT EXISTS(SELECT 1 FROM entries WHERE sum = ? AND data IS NULL)", sum).Scan(&named)
	return named, err
}

// unwanted are the keys that have to go.
func (s *Store) unwanted(ctx context.Context, tx *sql.Tx, k Keep) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT key, size, used, EXISTS(SELECT 1 FROM pinned WHERE pinned.key = entries.key) FROM entries ORDER BY used DESC, key")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // only read
	var keys []string
	var total int64
	for rows.Next() {
		var key string
		var size, used int64
		var pinned bool
		if err := rows.Scan(&key, &size, &used, &pinned); err != nil {
			return nil, err
		}
		total += size
		old := k.Unused > 0 && s.now().Sub(time.Unix(used, 0)) > k.Unused
		if !pinned && (old || k.Bytes > 0 && total > k.Bytes) {
			keys, total = append(keys, key), total-size
		}
	}
	return keys, rows.Err()
}

// makePins makes the table of what several owners may pin. What the older one held, which
// had one owner for each file, is taken over.
func (s *Store) makePins(ctx context.Context) error {
	var n int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'pinned'").Scan(&n); err != nil || n > 0 {
		return err
	}
	return s.inside(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
CREATE TABLE IF NOT EXISTS pinned(key TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY(key, owner)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pinned_owner ON pinned(owner);
INSERT OR IGNORE INTO pinned(key, owner) SELECT key, owner FROM pins;`)
		return err
	})
}

// Pin keeps the file of key from Collect; owner says for whom. Several may.
func (s *Store) Pin(ctx context.Context, key, owner string) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO pinned(key, owner) VALUES(?, ?) ON CONFLICT DO NOTHING", key, owner)
	return err
}

// PinAll makes keys what owner pins, and nothing else.
func (s *Store) PinAll(ctx context.Context, keys []string, owner string) error {
	return s.inside(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM pinned WHERE owner = ?", owner); err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := tx.ExecContext(ctx, "INSERT INTO pinned(key, owner) VALUES(?, ?)", key, owner); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unpin lets go of what owner pinned.
func (s *Store) Unpin(ctx context.Context, owner string) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM pinned WHERE owner = ?", owner)
	return err
}

// Bad are bytes that were refused.
type Bad struct {
	Key, Sum, Source, Reason string
	Size                     int64
	At                       time.Time
}

// mostBad bounds the quarantine.
const mostBad = 64

// Quarantine puts refused bytes aside, with the reason, for whoever wants to look. The
// oldest give way. st may be nil where there are no bytes.
func (s *Store) Quarantine(ctx context.Context, key, source, reason string, st *Staged) error {
	b := Bad{Key: key, Source: source, Reason: reason}
	if st != nil {
		b.Sum, b.Size = st.Sum(), st.size
		if err := s.aside(b.Sum, st.Name()); err != nil {
			return err
		}
	}
	return s.condemn(ctx, b)
}

func (s *Store) aside(sum, from string) error {
	dir := filepath.Join(s.dir, "quarantine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Rename(from, filepath.Join(dir, sum))
}

func (s *Store) condemn(ctx context.Context, b Bad) error {
	err := s.inside(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO quarantine(key, sum, size, source, reason, at) VALUES(?, ?, ?, ?, ?, ?)",
			b.Key, b.Sum, b.Size, b.Source, b.Reason, s.now().Unix()); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ? RETURNING sum", mostBad)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // only read
		for rows.Next() {
			var sum string
			if err := rows.Scan(&sum); err != nil {
				return err
			}
			if isSum(sum) {
				_ = os.Remove(filepath.Join(s.dir, "quarantine", sum))
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("putting %s into quarantine: %w", b.Key, err)
	}
	return nil
}

// Quarantined lists what was refused, the latest first.
func (s *Store) Quarantined(ctx context.Context) ([]Bad, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT key, sum, size, source, reason, at FROM quarantine ORDER BY id DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // only read
	var list []Bad
	for rows.Next() {
		var b Bad
		var at int64
		if err := rows.Scan(&b.Key, &b.Sum, &b.Size, &b.Source, &b.Reason, &at); err != nil {
			return nil, err
		}
		b.At = time.Unix(at, 0)
		list = append(list, b)
	}
	return list, rows.Err()
}

// Scrubbed is what Scrub saw.
type Scrubbed struct {
	Files, Missing int
	Bytes          int64
	Bad            []Bad
	// Orphans are blobs that no row named; they were removed.
	Orphans     int
	OrphanBytes int64
}

// ErrDamaged says that pages of the database no longer are what SQLite wrote.
var ErrDamaged = errors.New("store.db is damaged")

// Check has SQLite look through the database.
func (s *Store) Check(ctx context.Context) error {
	var said string
	err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said)
	switch {
	case err != nil:
		return s.damaged(err)
	case said != "ok":
		s.doubt()
		return fmt.Errorf("%w: %s", ErrDamaged, said)
	}
	return nil
}

// damage marks the errors that tell of a damaged database.
func damage(err error) error {
	var code interface{ Code() int }
	const corrupt, notDatabase, primary = 11, 26, 0xff
	if errors.As(err, &code) && (code.Code()&primary == corrupt || code.Code()&primary == notDatabase) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Scrub reads every file again and holds it to its sha256; what differs goes into
// quarantine and is fetched anew when next wanted. Blobs without a row are removed. h1 was held at admission and follows
// from the bytes.
func (s *Store) Scrub(ctx context.Context) (Scrubbed, error) {
	var done Scrubbed
	if err := s.Check(ctx); err != nil {
		return done, err
	}
	keys, err := s.Keys(ctx, "")
	if err != nil {
		return done, err
	}
	seen := map[string]bool{} // blobs that several files share
	for _, key := range keys {
		e, err := s.Get(ctx, key)
		if err != nil || seen[e.Sum] {
			continue // gone meanwhile
		}
		seen[e.Sum] = true
		if err := s.scrub(ctx, e, &done); err != nil {
			return done, fmt.Errorf("reading %s: %w", key, cmp.Or(ctx.Err(), err))
		}
	}
	done.Orphans, done.OrphanBytes, err = s.sweep(ctx)
	return done, err
}

func (s *Store) scrub(ctx context.Context, e Entry, done *Scrubbed) error {
	done.Files++
	if e.Data != nil {
		done.Bytes += int64(len(e.Data))
		if sumOf(e.Data) == e.Sum {
			return nil
		}
		return s.rotten(ctx, e, done)
	}
	f, err := s.blobs.Open(ctx, e.Sum)
	if errors.Is(err, os.ErrNotExist) {
		done.Missing++
		_, err := s.db.ExecContext(ctx, "DELETE FROM entries WHERE sum = ?", e.Sum)
		return err
	}
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	_ = f.Close()
	done.Bytes += n
	if err == nil && hex.EncodeToString(h.Sum(nil)) == e.Sum {
		return nil
	}
	return s.rotten(ctx, e, done)
}

func (s *Store) rotten(ctx context.Context, e Entry, done *Scrubbed) error {
	b := Bad{Key: e.Key, Sum: e.Sum, Size: e.Size, Source: e.Source, Reason: "the bytes on disk no longer have the recorded sha256"}
	done.Bad = append(done.Bad, b)
	if _, err := s.db.ExecContext(ctx, "DELETE FROM entries WHERE sum = ?", e.Sum); err != nil {
		return err
	}
	if e.Data == nil {
		if d, ok := s.blobs.(Directory); ok {
			if err := s.aside(e.Sum, d.name(e.Sum)); err != nil {
				return err
			}
		} else if err := s.blobs.Remove(ctx, e.Sum); err != nil {
			return err
		}
	}
	return s.condemn(ctx, b)
}

// Total is how many files there are, and their bytes.
func (s *Store) Total(ctx context.Context) (files, bytes int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(size), 0) FROM entries").Scan(&files, &bytes)
	return files, bytes, err
}

// Forget removes files that are kept elsewhere.
func (s *Store) Forget(ctx context.Context, keys []string) error {
	return s.inside(ctx, func(tx *sql.Tx) error {
		for _, key := range keys {
			var sum string
			err := tx.QueryRowContext(ctx, "DELETE FROM entries WHERE key = ? AND NOT EXISTS(SELECT 1 FROM pinned WHERE pinned.key = entries.key) RETURNING sum", key).Scan(&sum)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			var others int
			if err == nil {
				err = tx.QueryRowContext(ctx, "SELECT count(*) FROM entries WHERE sum = ?", sum).Scan(&others)
			}
			if err == nil && others == 0 {
				err = s.blobs.Remove(ctx, sum)
			}
			if err != nil {
				return fmt.Errorf("forgetting %s: %w", key, err)
			}
		}
		return nil
	})
}
