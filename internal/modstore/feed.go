package modstore

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// mostPending bounds the downloads that wait for a disk that takes nothing.
const mostPending = 1 << 16

// Version is a module version whose zip was kept.
type Version struct {
	Path, Version string
	// First is when its zip was first kept. No two have the same time.
	First time.Time
}

// versionOf reads the key of a zip.
func versionOf(key string) (v Version, ok bool) {
	p, rest, ok := strings.Cut(key, "/@v/")
	rest, isZip := strings.CutSuffix(rest, ".zip")
	if !ok || !isZip {
		return v, false
	}
	var err, versionErr error
	v.Path, err = module.UnescapePath(p)
	v.Version, versionErr = module.UnescapeVersion(rest)
	return v, err == nil && versionErr == nil
}

// VersionsSince lists what was first kept at since or later, the earliest first, at most
// limit. What was collected meanwhile is still named: it was served, and can be again.
func (s *Store) VersionsSince(ctx context.Context, since time.Time, limit int) ([]Version, error) {
	from := int64(0)
	if since.Unix() > 0 {
		from = since.UnixMicro()
	}
	return s.versions(ctx, "SELECT key, first FROM versions WHERE first >= ? ORDER BY first LIMIT ?", from, limit)
}

// VersionsAfter lists what is kept, by name, at most limit; after is "" or the key of the
// last one of the page before, next that of this one, "" at the end.
func (s *Store) VersionsAfter(ctx context.Context, after string, limit int) (list []Version, next string, err error) {
	list, err = s.versions(ctx, "SELECT key, first FROM versions WHERE key > ? AND EXISTS(SELECT 1 FROM entries WHERE entries.key = versions.key)"+
		" ORDER BY key LIMIT ?", after, limit)
	if len(list) < limit || err != nil {
		return list, "", err
	}
	last := list[len(list)-1]
	p, err := module.EscapePath(last.Path)
	if err != nil {
		return nil, "", err
	}
	v, err := module.EscapeVersion(last.Version)
	return list, p + "/@v/" + v + ".zip", err
}

func (s *Store) versions(ctx context.Context, query string, args ...any) ([]Version, error) {
	var list []Version
	err := s.each(ctx, func(scan func(...any) error) error {
		var key string
		var first int64
		if err := scan(&key, &first); err != nil {
			return err
		}
		if v, ok := versionOf(key); ok {
			v.First = time.UnixMicro(first).UTC()
			list = append(list, v)
		}
		return nil
	}, query, args...)
	return list, err
}

// each calls f for each row.
func (s *Store) each(ctx context.Context, f func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // only read
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Host is a host of modules, with how many versions of its are kept or were.
type Host struct {
	Name     string
	Versions int64
}

// Hosts are those with the most versions, at most limit, and the totals of all.
func (s *Store) Hosts(ctx context.Context, limit int) (top []Host, hosts, versions int64, err error) {
	err = s.each(ctx, func(scan func(...any) error) error {
		var h Host
		if err := scan(&h.Name, &h.Versions); err != nil {
			return err
		}
		hosts++
		versions += h.Versions
		if len(top) < limit {
			top = append(top, h)
		}
		return nil
	}, "SELECT substr(key, 1, instr(key, '/') - 1) AS host, count(*) AS n FROM versions GROUP BY host ORDER BY n DESC, host")
	return top, hosts, versions, err
}

// Downloaded notes that the zip of key was sent whole. It is written in batches.
func (s *Store) Downloaded(key string) {
	now := s.now()
	s.mu.Lock()
	s.got[key]++
	due := s.due(now)
	s.mu.Unlock()
	if due {
		_ = s.Flush(context.Background()) // it waits for the next
	}
}

// daysKept is how many days have a number of their own: thirty, and one that is going on.
const daysKept = 31

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// addDownloads adds what several processes counted, and puts old days together.
func (s *Store) addDownloads(ctx context.Context, tx *sql.Tx, got map[string]int64) error {
	today := dayOf(s.now())
	for key, n := range got {
		v, ok := versionOf(key)
		if !ok {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO downloads(module, version, day, n) VALUES(?, ?, ?, ?)"+
			" ON CONFLICT(module, version, day) DO UPDATE SET n = n + excluded.n", v.Path, v.Version, today, n); err != nil {
			return err
		}
	}
	if len(got) == 0 || s.fold == today {
		return nil
	}
	s.fold = today
	old := today - daysKept
	if _, err := tx.ExecContext(ctx, "INSERT INTO downloads(module, version, day, n) SELECT module, version, 0, sum(n) FROM downloads"+
		" WHERE day > 0 AND day <= ? GROUP BY module, version ON CONFLICT(module, version, day) DO UPDATE SET n = n + excluded.n", old); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM downloads WHERE day > 0 AND day <= ?", old)
	return err
}

// Count is a number of downloads, of a module or of a version.
type Count struct {
	Name string
	N    int64
}

// Downloads are those of one module, or of one version of it.
type Downloads struct {
	Total int64
	// Days are the last thirty, today's first, in UTC.
	Days [30]int64
	// Top are the versions that were wanted most, at most ten; none for a single version.
	Top []Count
}

// Downloads tells how often a module was downloaded; version may be "", for all.
func (s *Store) Downloads(ctx context.Context, path, version string) (Downloads, error) {
	var d Downloads
	if err := s.Flush(ctx); err != nil {
		return d, err
	}
	where, args := " FROM downloads WHERE module = ?", []any{path}
	if version != "" {
		where, args = where+" AND version = ?", append(args, version)
	}
	today := dayOf(s.now())
	err := s.each(ctx, func(scan func(...any) error) error {
		var day, n int64
		if err := scan(&day, &n); err != nil {
			return err
		}
		d.Total += n
		if ago := today - day; ago >= 0 && ago < int64(len(d.Days)) {
			d.Days[ago] += n
		}
		return nil
	}, "SELECT day, sum(n)"+where+" GROUP BY day", args...)
	if err == nil && version == "" {
		d.Top, err = s.counts(ctx, "SELECT version, sum(n)"+where+" GROUP BY version ORDER BY 2 DESC, 1 LIMIT 10", args...)
	}
	return d, err
}

// Trend are the modules that were wanted most in the last days, today among them.
func (s *Store) Trend(ctx context.Context, days int64, limit int) ([]Count, error) {
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	return s.counts(ctx, "SELECT module, sum(n) FROM downloads WHERE day > ? GROUP BY module ORDER BY 2 DESC, 1 LIMIT ?", max(dayOf(s.now())-days, 0), limit)
}

func (s *Store) counts(ctx context.Context, query string, args ...any) ([]Count, error) {
	var list []Count
	err := s.each(ctx, func(scan func(...any) error) error {
		var c Count
		if err := scan(&c.Name, &c.N); err != nil {
			return err
		}
		list = append(list, c)
		return nil
	}, query, args...)
	return list, err
}

// QuarantineSize is how many refused files are kept for a look.
func (s *Store) QuarantineSize(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM quarantine").Scan(&n)
	return n, err
}
