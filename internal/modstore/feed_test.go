package modstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/modstore"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func openAt(t testing.TB, dir string, c *clock) *modstore.Store {
	t.Helper()
	s, err := modstore.Open(context.Background(), modstore.Options{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func keep(t testing.TB, s *modstore.Store, key string) {
	t.Helper()
	if _, err := s.PutData(context.Background(), modstore.Entry{Key: key}, []byte(key)); err != nil {
		t.Fatal(err)
	}
}

// TestVersionsComeInOrder: a reader who pages by the time of the last one sees each once,
// though all came within one second, from two processes.
func TestVersionsComeInOrder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	one, two := openAt(t, dir, c), openAt(t, dir, c)
	for i := range 5 {
		keep(t, one, fmt.Sprintf("example.com/!a/@v/v1.0.%d.zip", i))
		keep(t, two, fmt.Sprintf("example.com/b/@v/v1.0.%d.zip", i))
	}
	keep(t, one, "example.com/b/@v/v1.0.0.mod")
	keep(t, one, "example.com/b/@v/list")
	keep(t, one, "sumdb/sum.example.org/latest")
	c.at = c.at.Add(time.Hour)
	keep(t, two, "example.com/!a/@v/v1.0.0.zip") // again: it keeps its place
	if err := one.Forget(ctx, []string{"example.com/b/@v/v1.0.4.zip"}); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("example.com/A@v1.0.%d", i), fmt.Sprintf("example.com/b@v1.0.%d", i))
	}
	since := time.Time{}
	for {
		page, err := one.VersionsSince(ctx, since, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, v := range page {
			got = append(got, v.Path+"@"+v.Version)
			since = v.First.Add(time.Microsecond)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got = nil
	after := ""
	for {
		page, next, err := two.VersionsAfter(ctx, after, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page {
			got = append(got, v.Path+"@"+v.Version)
		}
		if after = next; next == "" {
			break
		}
	}
	want = nil
	for _, m := range []string{"A", "b"} {
		for i := range 5 {
			if m != "b" || i != 4 { // that one is gone
				want = append(want, fmt.Sprintf("example.com/%s@v1.0.%d", m, i))
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestOldStoreGetsItsIndex opens a store of the first layout.
func TestOldStoreGetsItsIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	s := openAt(t, dir, c)
	keep(t, s, "example.com/b/@v/v1.0.1.zip")
	c.at = c.at.Add(-time.Hour)
	keep(t, s, "example.com/b/@v/v1.0.0.zip")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DROP TRIGGER versions_came; DROP TABLE versions; DROP TABLE downloads; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s = openAt(t, dir, c)
	keep(t, s, "example.com/b/@v/v1.0.2.zip")
	list, err := s.VersionsSince(context.Background(), time.Time{}, 10)
	if err != nil || len(list) != 3 || list[0].Version != "v1.0.0" || list[1].Version != "v1.0.1" || list[2].Version != "v1.0.2" {
		t.Errorf("%v %v", list, err)
	}
}

func TestDownloadsAddUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := &clock{time.Date(2026, 5, 1, 23, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	one, two := openAt(t, dir, c), openAt(t, dir, c)
	get := func(s *modstore.Store, version string, n int) {
		for range n {
			s.Downloaded("example.com/!a/@v/" + version + ".zip") //nolint:contextcheck // it is written in batches, for whom it may concern
		}
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	get(one, "v1.0.0", 2)
	c.at = c.at.Add(2 * time.Hour) // the next day
	get(one, "v1.0.0", 1)
	get(two, "v1.0.1", 5)
	two.Downloaded("no key of a zip")
	check := func(version string, total int64, days map[int]int64, top []modstore.Count) {
		t.Helper()
		want := modstore.Downloads{Total: total, Top: top}
		for i, n := range days {
			want.Days[i] = n
		}
		got, err := one.Downloads(ctx, "example.com/A", version)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	both := []modstore.Count{{Name: "v1.0.1", N: 5}, {Name: "v1.0.0", N: 3}}
	check("", 8, map[int]int64{0: 6, 1: 2}, both)
	check("v1.0.0", 3, map[int]int64{0: 1, 1: 2}, nil)
	check("v9.0.0", 0, nil, nil)
	c.at = c.at.Add(31 * 24 * time.Hour) // what is older than thirty days stays in the total
	get(two, "v1.0.1", 1)
	check("", 9, map[int]int64{0: 1}, []modstore.Count{{Name: "v1.0.1", N: 6}, {Name: "v1.0.0", N: 3}})
	trend, err := one.Trend(ctx, 30, 10)
	if d := cmp.Diff([]modstore.Count{{Name: "example.com/A", N: 1}}, trend); d != "" || err != nil {
		t.Error(d, err)
	}
	hosts, n, versions, err := one.Hosts(ctx, 10)
	if len(hosts) != 0 || n != 0 || versions != 0 || err != nil { // nothing was kept, whatever was counted
		t.Error(hosts, n, versions, err)
	}
}

// BenchmarkVersions pages through many versions: KEEPWELL_MANY=1000000.
func BenchmarkVersions(b *testing.B) {
	many, err := strconv.Atoi(os.Getenv("KEEPWELL_MANY"))
	if err != nil {
		many = 10000
	}
	dir := b.TempDir()
	c := &clock{time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	s := openAt(b, dir, c)
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, ext := range []string{"zip", "mod", "info"} {
		if _, err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
			INSERT INTO entries SELECT 'example' || (i % 1000) || '.com/m' || (i / 10) || '/@v/v1.0.' || (i % 10) || '.`+ext+`', '', 244000, '', '', '', 1700000000 + i / 100, 0,
			CASE '`+ext+`' WHEN 'zip' THEN NULL ELSE zeroblob(300) END FROM n`, many); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	middle := time.Unix(1700000000+int64(many)/200, 0)
	for name, f := range map[string]func() (int, error){
		"index page of 2000 in the middle": func() (int, error) {
			l, err := s.VersionsSince(ctx, middle, 2000)
			return len(l), err
		},
		"catalog page of 1000 in the middle": func() (int, error) {
			l, _, err := s.VersionsAfter(ctx, "example5", 1000)
			return len(l), err
		},
		"hosts": func() (int, error) {
			l, _, _, err := s.Hosts(ctx, 10)
			return len(l), err
		},
		"total": func() (int, error) {
			n, _, err := s.Total(ctx)
			return int(n), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if n, err := f(); err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
