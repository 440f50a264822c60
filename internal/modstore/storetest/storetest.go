// Package storetest is what every store of modules has to keep to, whether its replicas
// share a directory or a bucket. For tests only.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// Replica is one of several that share what is put.
type Replica interface {
	Put(ctx context.Context, key string, data []byte) error
	// Bytes is what any replica put; fs.ErrNotExist where none did.
	Bytes(ctx context.Context, key string) ([]byte, error)
	Keys(ctx context.Context, prefix string) ([]string, error)
	Trusted(ctx context.Context, key string) (string, error)
	Trust(ctx context.Context, key, h1 string) (string, error)
	Note(ctx context.Context, name string) (string, error)
	SetNote(ctx context.Context, name, old, value string) (bool, error)
}

// World makes replicas of one store and spoils what they keep.
type World struct {
	Open func(t *testing.T) Replica
	// Spoil changes a byte of what is kept for key where all replicas get it, Lose
	// removes it.
	Spoil, Lose func(t *testing.T, data []byte)
}

// Content is what a key has to hold: small for some, a blob for others.
func Content(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	r := rand.NewChaCha8(sum)
	data := make([]byte, 100+int(sum[0])*300)
	_, _ = r.Read(data)
	return data
}

// Run holds stores to the contract; each call of open is a new empty world.
func Run(t *testing.T, open func(t *testing.T) World) {
	t.Helper()
	t.Run("files come back from another replica", func(t *testing.T) { t.Parallel(); filesComeBack(t, open(t)) })
	t.Run("sums are pinned once for all", func(t *testing.T) { t.Parallel(); pinnedOnce(t, open(t)) })
	t.Run("notes change from what they were", func(t *testing.T) { t.Parallel(); notes(t, open(t)) })
	t.Run("wrong bytes are never returned", func(t *testing.T) { t.Parallel(); spoiled(t, open(t)) })
}

func key(i int) string { return fmt.Sprintf("example.com/!m/@v/v1.0.%d.zip", i) }

func filesComeBack(t *testing.T, w World) {
	t.Helper()
	replicas := []Replica{w.Open(t), w.Open(t)}
	var all sync.WaitGroup
	const n = 20
	for i := range 2 * n {
		all.Go(func() { // both put each
			if err := replicas[i%2].Put(t.Context(), key(i/2), Content(key(i/2))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	third := w.Open(t)
	for i := range n {
		for _, r := range append(replicas, third) {
			if data, err := r.Bytes(t.Context(), key(i)); err != nil || !bytes.Equal(data, Content(key(i))) {
				t.Errorf("%s: %d bytes, %v", key(i), len(data), err)
			}
		}
	}
	if _, err := third.Bytes(t.Context(), "example.com/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was never put: %v", err)
	}
	keys, err := w.Open(t).Keys(t.Context(), "example.com/!m/@v/v1.0.1")
	slices.Sort(keys)
	if err != nil || len(keys) != 11 || keys[0] != key(1) {
		t.Errorf("keys %v, %v", keys, err)
	}
}

func pinnedOnce(t *testing.T, w World) {
	t.Helper()
	replicas := []Replica{w.Open(t), w.Open(t)}
	got := make([]string, 16)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = replicas[i%2].Trust(t.Context(), "example.com/M v1.0.0", fmt.Sprint("h1:", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	slices.Sort(got)
	if first := slices.Compact(got); len(first) != 1 {
		t.Fatalf("%d sums are trusted for one version: %v", len(first), first)
	}
	if h1, err := w.Open(t).Trusted(t.Context(), "example.com/M v1.0.0"); err != nil || h1 != got[0] {
		t.Errorf("another replica trusts %q, %v", h1, err)
	}
	if h1, err := replicas[0].Trusted(t.Context(), "example.com/m v1.0.0"); err != nil || h1 != "" {
		t.Errorf("a version that nobody saw: %q, %v", h1, err)
	}
}

func notes(t *testing.T, w World) {
	t.Helper()
	replicas := []Replica{w.Open(t), w.Open(t)}
	if ok, err := replicas[0].SetNote(t.Context(), "db/latest", "", "5"); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := replicas[1].SetNote(t.Context(), "db/latest", "4", "6"); ok || err != nil {
		t.Error("a conflict was not seen", err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for i := range 8 {
		all.Go(func() {
			ok, err := replicas[i%2].SetNote(t.Context(), "db/latest", "5", fmt.Sprint(100+i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				done++
			}
		})
	}
	all.Wait()
	if done != 1 {
		t.Errorf("%d of 8 set the same note", done)
	}
	one, err := replicas[0].Note(t.Context(), "db/latest")
	two, err2 := replicas[1].Note(t.Context(), "db/latest")
	if one != two || len(one) != 3 || err != nil || err2 != nil {
		t.Errorf("notes %q and %q, %v, %v", one, two, err, err2)
	}
}

func spoiled(t *testing.T, w World) {
	t.Helper()
	one := w.Open(t)
	blobs := slices.DeleteFunc([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, func(i int) bool { return len(Content(key(i))) <= 32<<10 })
	for _, i := range blobs[:2] {
		if err := one.Put(t.Context(), key(i), Content(key(i))); err != nil {
			t.Fatal(err)
		}
	}
	w.Spoil(t, Content(key(blobs[0])))
	w.Lose(t, Content(key(blobs[1])))
	two := w.Open(t)
	for _, i := range blobs[:2] {
		if data, err := two.Bytes(t.Context(), key(i)); err == nil {
			t.Errorf("%s: %d bytes of a file that is spoiled or lost", key(i), len(data))
		}
		if err := two.Put(t.Context(), key(i), Content(key(i))); err != nil {
			t.Fatal(err)
		}
		if data, err := w.Open(t).Bytes(t.Context(), key(i)); err != nil || !bytes.Equal(data, Content(key(i))) {
			t.Errorf("put again: %d bytes, %v", len(data), err)
		}
	}
}
