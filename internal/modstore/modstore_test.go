package modstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("KEEPWELL_TEST_WRITER"); dir != "" {
		write(dir)
		return
	}
	os.Exit(m.Run())
}

// content is what a key has to hold.
func content(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	r := rand.NewChaCha8(sum)
	data := make([]byte, 100+int(sum[0])*300)
	_, _ = r.Read(data)
	return data
}

// write puts files for ever, a line for each.
func write(dir string) {
	s, err := modstore.Open(context.Background(), modstore.Options{Dir: dir})
	for i := rand.IntN(50); err == nil; i = (i + 1) % 50 {
		err = put(s, fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i))
		fmt.Println(i)
	}
	fmt.Println(err)
}

func put(s *modstore.Store, key string) error {
	st, err := s.Stage()
	if err != nil {
		return err
	}
	defer st.Discard()
	if _, err := st.Write(content(key)); err != nil {
		return err
	}
	_, err = s.Put(context.Background(), modstore.Entry{Key: key, Source: "test"}, st)
	return err
}

func open(t *testing.T, o modstore.Options) *modstore.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := modstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func bytesOf(t *testing.T, s *modstore.Store, key string) []byte {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if e.Data != nil {
		return e.Data
	}
	f, err := s.OpenFile(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFilesComeBackFromAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := open(t, modstore.Options{Dir: dir})
	two := open(t, modstore.Options{Dir: dir})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			s := one
			if i%2 == 1 {
				s = two
			}
			if err := put(s, fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i/2)); err != nil { // both put each
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		key := fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i)
		if !bytes.Equal(bytesOf(t, two, key), content(key)) || !bytes.Equal(bytesOf(t, one, key), content(key)) {
			t.Errorf("%s differs", key)
		}
	}
	if _, err := one.Get(t.Context(), "example.com/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was never put: %v", err)
	}
	keys, err := one.Keys(t.Context(), "example.com/m/@v/v1.0.1")
	if err != nil || len(keys) != 11 {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// TestKilledAtAnyMoment kills writers of a shared store, and holds every file that the
// store then has to the bytes that its key stands for.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rounds := 6
	if n, err := strconv.Atoi(os.Getenv("KEEPWELL_KILLS")); err == nil {
		rounds = n
	}
	for round := range rounds {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), "KEEPWELL_TEST_WRITER="+dir)
				out, err := cmd.StdoutPipe()
				if err != nil || cmd.Start() != nil {
					t.Error("the writer does not start", err)
					return
				}
				buf := make([]byte, 1)
				for range 3 + 7*round {
					if _, err := out.Read(buf); err != nil {
						t.Error("the writer ended by itself")
						break
					}
				}
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
		}
		all.Wait()
	}
	s := open(t, modstore.Options{Dir: dir})
	keys, err := s.Keys(t.Context(), "")
	if err != nil || len(keys) == 0 {
		t.Fatal("nothing was stored", err)
	}
	for _, key := range keys {
		if !bytes.Equal(bytesOf(t, s, key), content(key)) {
			t.Errorf("%s has wrong bytes", key)
		}
	}
	done, err := s.Scrub(t.Context())
	if err != nil || len(done.Bad) > 0 || done.Missing > 0 {
		t.Errorf("scrub: %+v, %v", done, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "p*"))
	if err != nil || len(left) != 2 { // this process's directory and its lock
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, err := s.Collect(t.Context(), modstore.Keep{}); err != nil {
		t.Error(err)
	}
	blobs := 0
	_ = modstore.Directory(filepath.Join(dir, "blobs")).Each(t.Context(), func(string, int64) error { blobs++; return nil })
	large := slices.DeleteFunc(keys, func(k string) bool { return len(content(k)) <= modstore.Inline })
	if blobs != len(large) {
		t.Errorf("%d blobs for %d files", blobs, len(large))
	}
}

func TestWhatWasWantedLastStays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := open(t, modstore.Options{Now: func() time.Time { return now }})
	key := func(i int) string { return fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i) }
	var quota int64
	for i := range 6 {
		now = now.Add(time.Hour)
		if err := put(s, key(i)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	s.Touch(key(0))
	if err := s.Pin(t.Context(), key(2), "go.sum"); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2, 5} {
		quota += int64(len(content(key(i))))
	}
	// By use: 0, 5, 4, 3, 2, 1. The pinned one counts where it stands.
	if _, err := s.Collect(t.Context(), modstore.Keep{Bytes: int64(len(content(key(0)))) + int64(len(content(key(5))))}); err != nil {
		t.Fatal(err)
	}
	left, err := s.Keys(t.Context(), "")
	if err != nil || !slices.Equal(left, []string{key(0), key(2), key(5)}) {
		t.Errorf("left %v, %v", left, err)
	}
	if _, bytes, err := s.Total(t.Context()); err != nil || bytes != quota {
		t.Errorf("%d bytes for %d, %v", bytes, quota, err)
	}
	now = now.Add(100 * time.Hour)
	if err := s.Unpin(t.Context(), "go.sum"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), modstore.Keep{Unused: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if files, _, _ := s.Total(t.Context()); files != 0 {
		t.Errorf("%d old files stay", files)
	}
}

// TestBlobsWithoutRowsAreCleared: who takes store.db away leaves blobs that nobody finds again.
func TestBlobsWithoutRowsAreCleared(t *testing.T) {
	t.Parallel()
	for name, clean := range map[string]func(*modstore.Store) (int, int64, error){
		"scrub": func(s *modstore.Store) (int, int64, error) {
			done, err := s.Scrub(t.Context())
			if len(done.Bad)+done.Missing != 0 || done.Files != 1 {
				t.Errorf("%+v", done)
			}
			return done.Orphans, done.OrphanBytes, err
		},
		"collect": func(s *modstore.Store) (int, int64, error) {
			done, err := s.Collect(t.Context(), modstore.Keep{})
			if done.Files != 0 {
				t.Errorf("%+v", done)
			}
			return done.Blobs, done.Bytes, err
		},
	} {
		dir := t.TempDir()
		s := open(t, modstore.Options{Dir: dir})
		blobs, bytes := 0, int64(0)
		var large []string
		for i := range 20 {
			key := fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i)
			if err := put(s, key); err != nil {
				t.Fatal(err)
			}
			if n := len(content(key)); n > modstore.Inline {
				blobs, bytes, large = blobs+1, bytes+int64(n), append(large, key)
			}
		}
		if blobs < 2 {
			t.Fatal("the test needs blobs")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		gone, err := filepath.Glob(filepath.Join(dir, "store.db*"))
		if err != nil || len(gone) == 0 {
			t.Fatal(gone, err)
		}
		for _, f := range gone {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, modstore.Options{Dir: dir})
		if err := put(s, large[0]); err != nil { // named again: it stays
			t.Fatal(err)
		}
		n, size, err := clean(s)
		if err != nil || n != blobs-1 || size != bytes-int64(len(content(large[0]))) {
			t.Errorf("%s: %d blobs, %d bytes, %v; there were %d, %d", name, n, size, err, blobs, bytes)
		}
		e, err := s.Get(t.Context(), large[0])
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.OpenFile(t.Context(), e)
		if err != nil {
			t.Fatalf("%s took what has a row: %v", name, err)
		}
		f.Close()
		if n, _, err := clean(s); n != 0 || err != nil {
			t.Errorf("%s, again: %d, %v", name, n, err)
		}
	}
}

// TestScrubLooksThroughTheDatabase first: pages that something wrote over are told of as such.
func TestScrubLooksThroughTheDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, modstore.Options{Dir: dir})
	for i := range 200 {
		if _, err := s.PutData(t.Context(), modstore.Entry{Key: fmt.Sprintf("example.com/m/@v/v1.0.%d.mod", i)}, make([]byte, 2000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "store.db")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(data) / 2; at < len(data)*3/4; at++ {
		data[at] = 0xa5
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, modstore.Options{Dir: dir})
	if done, err := s.Scrub(t.Context()); !errors.Is(err, modstore.ErrDamaged) || done.Files != 0 {
		t.Errorf("%+v %v", done, err)
	}
	met := 0
	for i := range 200 {
		_, err := s.Get(t.Context(), fmt.Sprintf("example.com/m/@v/v1.0.%d.mod", i))
		if errors.Is(err, modstore.ErrDamaged) {
			met++
		}
	}
	if met == 0 {
		t.Error("nobody who reads is told")
	}
}

func TestScrubFindsWhatRotted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, modstore.Options{Dir: dir})
	keys := []string{}
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i))
		if err := put(s, keys[i]); err != nil {
			t.Fatal(err)
		}
	}
	large := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return len(content(k)) <= modstore.Inline })
	sum := sha256.Sum256(content(large[0]))
	name := filepath.Join(dir, "blobs", hex.EncodeToString(sum[:1]), hex.EncodeToString(sum[:]))
	data := content(large[0])
	data[77] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := s.Scrub(t.Context())
	if err != nil || len(done.Bad) != 1 || done.Bad[0].Key != large[0] || done.Files != len(keys) {
		t.Fatalf("scrub: %+v, %v", done, err)
	}
	if _, err := s.Get(t.Context(), large[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rotten file is still there: %v", err)
	}
	bad, err := s.Quarantined(t.Context())
	if err != nil || len(bad) != 1 || !strings.Contains(bad[0].Reason, "sha256") {
		t.Errorf("quarantine: %+v, %v", bad, err)
	}
	// Cut short by a power cut: absent, not wrong.
	sum = sha256.Sum256(content(large[1]))
	if err := os.Truncate(filepath.Join(dir, "blobs", hex.EncodeToString(sum[:1]), hex.EncodeToString(sum[:])), 5); err != nil {
		t.Fatal(err)
	}
	e, err := s.Get(t.Context(), large[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenFile(t.Context(), e); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cut blob: %v", err)
	}
	if err := put(s, large[1]); err != nil || !bytes.Equal(bytesOf(t, s, large[1]), content(large[1])) {
		t.Errorf("put again: %v", err)
	}
}

func TestFirstUseIsPinned(t *testing.T) {
	t.Parallel()
	s := open(t, modstore.Options{})
	for _, h := range []string{"h1:one", "h1:two"} {
		if got, err := s.Trust(t.Context(), "example.com/m@v1.0.0", h); err != nil || got != "h1:one" {
			t.Errorf("trust %s: %s, %v", h, got, err)
		}
	}
	if ok, err := s.SetNote(t.Context(), "latest", "", "5"); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := s.SetNote(t.Context(), "latest", "4", "6"); ok || err != nil {
		t.Error("a conflict was not seen", err)
	}
	for i := range 100 {
		st, err := s.Stage()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(st, i)
		if err := s.Quarantine(t.Context(), "k", "test", "html", st); err != nil {
			t.Fatal(err)
		}
		st.Discard()
	}
	if bad, err := s.Quarantined(t.Context()); err != nil || len(bad) != 64 {
		t.Errorf("%d in quarantine, %v", len(bad), err)
	}
}
