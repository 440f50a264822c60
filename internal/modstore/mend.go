package modstore

import (
	"archive/zip"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/module"
)

// Mended is what became of a damaged store.db: the new one has what could be read of it.
type Mended struct {
	// Aside is where the damaged one lies now.
	Aside string
	// Files and Sums count what was taken over: files, and sums trusted on first use.
	Files, Sums int
}

// suspect is a file beside store.db: somebody met damage, and whoever opens the store next
// looks through the whole of it.
func (s *Store) suspect() string { return filepath.Join(s.dir, "store.db.suspect") }

// doubt leaves word for whoever opens the store next.
func (s *Store) doubt() {
	f, err := os.OpenFile(s.suspect(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_ = f.Close()
	}
}

// damaged is damage, which is remembered.
func (s *Store) damaged(err error) error {
	if err = damage(err); errors.Is(err, ErrDamaged) {
		s.doubt()
	}
	return err
}

// dsn is store.db of dir for the driver.
func dsn(name string) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)"}, "_txlock": {"immediate"}}
	return "file:" + (&url.URL{Path: filepath.ToSlash(name)}).EscapedPath() + "?" + q.Encode()
}

// mend sets a damaged store.db aside and opens a new one with what can be read of it.
// Of several processes one does; the others find it done.
func (s *Store) mend(ctx context.Context) (Mended, error) {
	door := flock.New(filepath.Join(s.dir, "tmp", "mend.lock"))
	if err := door.Lock(); err != nil {
		return Mended{}, err
	}
	defer door.Unlock() //nolint:errcheck // closing the file lets go too
	if err := s.openDatabase(ctx); err == nil {
		if err = s.Check(ctx); err == nil { // another process was here
			_ = os.Remove(s.suspect())
			return Mended{}, nil
		}
	}
	if s.db != nil {
		_ = s.db.Close()
	}
	name := filepath.Join(s.dir, "store.db")
	done := Mended{Aside: name + ".damaged-" + s.now().UTC().Format("20060102T150405.000000")}
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(name+ext, done.Aside+ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Mended{}, err
		}
	}
	if err := s.openDatabase(ctx); err != nil {
		return done, err
	}
	old, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(done.Aside)}).EscapedPath())
	if err != nil {
		return done, err
	}
	defer old.Close() //nolint:errcheck // only read
	if err := s.salvage(ctx, old, &done); err != nil {
		return done, err
	}
	_ = os.Remove(s.suspect())
	return done, nil
}

// salvage takes over what can be read, from both ends: damage lies between. A row is
// believed as far as bytes bear it out; what was vouched for by others is asked anew.
func (s *Store) salvage(ctx context.Context, old *sql.DB, done *Mended) error {
	trust := map[string][2]any{}
	entries := map[string]Entry{}
	for _, order := range []string{"ASC", "DESC"} {
		eachRow(ctx, old, "SELECT key, h1, first FROM trust ORDER BY key "+order, func(row *sql.Rows) error {
			var key, h1 string
			var first int64
			err := row.Scan(&key, &h1, &first)
			if err == nil && strings.HasPrefix(h1, "h1:") {
				trust[key] = [2]any{h1, first}
			}
			return err
		})
		eachRow(ctx, old, "SELECT "+columns+" FROM entries ORDER BY key "+order, func(row *sql.Rows) error {
			e, err := scanEntry(row)
			if err == nil && s.bornOut(ctx, e) {
				entries[e.Key] = e
			}
			return err
		})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.inside(ctx, func(tx *sql.Tx) error {
		for key, t := range trust {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO trust(key, h1, first) VALUES(?, ?, ?)", key, t[0], t[1]); err != nil {
				return err
			}
			done.Sums++
		}
		for _, e := range entries {
			if e.Via != "go.sum" { // the database is asked again for what it covers
				e.Via = "first use"
			}
			if _, err := tx.StmtContext(ctx, s.ready.insert).ExecContext(ctx, e.values()...); err != nil { //nolint:sqlclosecheck // the transaction closes it
				return err
			}
			done.Files++
		}
		return nil
	})
}

// eachRow reads rows until it fails, which damage does.
func eachRow(ctx context.Context, db *sql.DB, query string, f func(*sql.Rows) error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return
	}
	defer rows.Close() //nolint:errcheck // only read
	for rows.Next() && f(rows) == nil {
	}
	_ = rows.Err() // the damage
}

// bornOut says that the bytes are those of the row, and a zip that of its key.
func (s *Store) bornOut(ctx context.Context, e Entry) bool {
	if e.Data != nil {
		return int64(len(e.Data)) == e.Size && sumOf(e.Data) == e.Sum
	}
	if !isSum(e.Sum) {
		return false
	}
	f, err := s.blobs.Open(ctx, e.Sum)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() != e.Size {
		return false
	}
	path, version, ok := strings.Cut(strings.TrimSuffix(e.Key, ".zip"), "/@v/")
	if !ok || !strings.HasSuffix(e.Key, ".zip") {
		return false // large and no zip: it is fetched anew
	}
	path, pathErr := module.UnescapePath(path)
	version, versionErr := module.UnescapeVersion(version)
	z, err := zip.NewReader(f, e.Size)
	return errors.Join(pathErr, versionErr, err) == nil && len(z.File) > 0 && strings.HasPrefix(z.File[0].Name, path+"@"+version+"/")
}

// mendTime bounds the look through a database that somebody doubted.
const mendTime = 10 * time.Minute
