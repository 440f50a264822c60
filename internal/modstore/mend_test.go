package modstore_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modstore"
)

const mendFiles = 300

func mendKey(i int, ext string) string { return fmt.Sprintf("example.com/m%03d/@v/v1.0.0.%s", i, ext) }

// largeZip is a module's zip that is too large for the database.
func largeZip(t *testing.T, i int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("example.com/m%03d@v1.0.0/x.go", i)})
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte{byte('a' + i)}, modstore.Inline+1))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fill makes a store with small files, a few zips and sums, and closes it.
func fill(t *testing.T, dir string) (zips map[string][]byte) {
	t.Helper()
	s := open(t, modstore.Options{Dir: dir})
	for i := range mendFiles {
		if _, err := s.PutData(t.Context(), modstore.Entry{Key: mendKey(i, "mod"), Via: "sumdb"}, []byte(strings.Repeat(fmt.Sprintf("module %d\n", i), 20))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Trust(t.Context(), fmt.Sprintf("example.com/m%03d v1.0.0", i), "h1:"+strings.Repeat("A", 43)+"="); err != nil {
			t.Fatal(err)
		}
	}
	zips = map[string][]byte{}
	for i := range 5 {
		st, err := s.Stage()
		if err != nil {
			t.Fatal(err)
		}
		zips[mendKey(i, "zip")] = largeZip(t, i)
		if _, err := st.Write(zips[mendKey(i, "zip")]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), modstore.Entry{Key: mendKey(i, "zip"), Via: "sumdb", H1: "h1:x"}, st); err != nil {
			t.Fatal(err)
		}
		st.Discard()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return zips
}

// TestOpenMends: whatever was done to store.db, the store opens, has no false byte, and
// takes new files.
func TestOpenMends(t *testing.T) {
	t.Parallel()
	garbage := func(data []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			data[i] = byte(i*7 + 0xa5)
		}
		return data
	}
	for name, x := range map[string]struct {
		damage func([]byte) []byte
		least  int // of the small files
	}{
		"garbage header":       {func(data []byte) []byte { return garbage(data, 0, 100) }, 0},
		"all garbage":          {func(data []byte) []byte { return garbage(data, 0, len(data)) }, 0},
		"truncated":            {func(data []byte) []byte { return data[:len(data)/2] }, 0},
		"cut within a page":    {func(data []byte) []byte { return data[:len(data)*3/4-1000] }, 0},
		"a page in the middle": {func(data []byte) []byte { return garbage(data, len(data)/2/4096*4096, len(data)/2/4096*4096+4096) }, mendFiles / 3},
		"a quarter":            {func(data []byte) []byte { return garbage(data, len(data)/2, len(data)*3/4) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			zips := fill(t, dir)
			db := filepath.Join(dir, "store.db")
			data, err := os.ReadFile(db)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(db, x.damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			// Whoever meets the damage may be a process that opened the store without seeing it.
			if s, err := modstore.Open(t.Context(), modstore.Options{Dir: dir}); err == nil {
				if err := s.Check(t.Context()); !errors.Is(err, modstore.ErrDamaged) {
					t.Errorf("not met: %v", err)
				}
				_ = s.Close()
			} else if !errors.Is(err, modstore.ErrDamaged) {
				t.Errorf("of another kind: %v", err)
			}
			var told []modstore.Mended
			o := modstore.Options{Dir: dir, Mended: func(m modstore.Mended) { told = append(told, m) }}
			s := open(t, o)
			if len(told) != 1 || told[0].Files < x.least {
				t.Fatalf("told %+v", told)
			}
			if _, err := os.Stat(told[0].Aside); err != nil {
				t.Error(err)
			}
			small := 0
			for i := range mendFiles {
				e, err := s.Get(t.Context(), mendKey(i, "mod"))
				if err == nil {
					small++
					if string(e.Data) != strings.Repeat(fmt.Sprintf("module %d\n", i), 20) || e.Via != "first use" {
						t.Errorf("false: %+v", e)
					}
				}
			}
			for key, want := range zips {
				e, err := s.Get(t.Context(), key)
				if err != nil {
					continue
				}
				small++
				f, err := s.OpenFile(t.Context(), e)
				if err != nil {
					t.Error(err)
					continue
				}
				got := make([]byte, len(want))
				if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s is false: %v", key, err)
				}
				_ = f.Close()
			}
			if small != told[0].Files {
				t.Errorf("%d files, told of %d", small, told[0].Files)
			}
			if _, err := s.PutData(t.Context(), modstore.Entry{Key: mendKey(0, "info")}, []byte("{}")); err != nil {
				t.Error(err)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
			again := open(t, o)
			if _, err := again.Get(t.Context(), mendKey(0, "info")); err != nil || len(told) != 1 {
				t.Errorf("%v, told %d times", err, len(told))
			}
		})
	}
}
