package modproxy_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

// slowStore keeps nothing until it is told to, and then fails if it is told that.
type slowStore struct {
	*modstore.Store
	begun chan struct{} // gets a word for each Put
	end   chan error
}

func (s *slowStore) Put(ctx context.Context, e modstore.Entry, st *modstore.Staged) (modstore.Entry, error) {
	s.begun <- struct{}{}
	if err := <-s.end; err != nil {
		return e, err
	}
	return s.Store.Put(ctx, e, st)
}

func newSlowStore(t *testing.T) *slowStore {
	t.Helper()
	return &slowStore{openStore(t, t.TempDir()), make(chan struct{}, 8), make(chan error, 8)}
}

// TestZipIsServedWhileItIsKept: whoever asks has it before the disk does, whole or in
// part, from one request to the upstream; and the end of the proxy waits for the disk.
func TestZipIsServedWhileItIsKept(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 300000))
	u := healthy(f)
	store := newSlowStore(t)
	url, p := start(t, serve(t, u), func(o *modproxy.Options) { o.Store = store })
	quick := serve(t, p)
	zip := at + ".zip"
	for range 3 {
		for _, url := range []string{url, quick} {
			if code, got := get(t, url+zip); code != http.StatusOK || got != string(f.zip) {
				t.Fatalf("%d, %d bytes", code, len(got))
			}
			rangesAndQuestions(t, url+zip, f.zip)
		}
	}
	<-store.begun
	if _, err := store.Get(t.Context(), zip[1:]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the store has it already: %v", err)
	}
	if n := u.requests(".zip"); n != 1 {
		t.Errorf("%d requests", n)
	}
	var closing sync.WaitGroup
	closing.Go(p.Close)
	store.end <- nil
	closing.Wait()
	e, err := store.Get(t.Context(), zip[1:])
	if err != nil || e.Size != int64(len(f.zip)) {
		t.Errorf("kept as %+v, %v", e, err)
	}
	if file, err := store.OpenFile(t.Context(), e); err != nil {
		t.Error(err)
	} else {
		file.Close()
	}
}

// TestZipThatCannotBeKept is had by those who asked, and is then as if it had never come.
func TestZipThatCannotBeKept(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 300000))
	u := healthy(f)
	store := newSlowStore(t)
	url, p := start(t, serve(t, u), func(o *modproxy.Options) { o.Store = store })
	zip := at + ".zip"
	for i := range 3 {
		if code, got := get(t, url+zip); code != http.StatusOK || got != string(f.zip) {
			t.Fatalf("%d, %d bytes", code, len(got))
		}
		if n := u.requests(".zip"); n != i+1 {
			t.Errorf("%d requests", n)
		}
		<-store.begun
		store.end <- errors.New("no space left on device")
		for p.Under() > 0 {
			runtime.Gosched()
		}
		if _, err := store.Get(t.Context(), zip[1:]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the store has it: %v", err)
		}
	}
}

// TestWrongZipIsNotServedWhileItIsKept: nothing lands that was not admitted.
func TestWrongZipIsNotServedWhileItIsKept(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 300000))
	store := newSlowStore(t)
	url, _ := start(t, serve(t, healthy(f)), func(o *modproxy.Options) {
		o.Store = store
		o.Sums = map[string]string{"example.com/widget v1.0.0": "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
	})
	if code, got := get(t, url+at+".zip"); code == http.StatusOK {
		t.Errorf("%d bytes of another sum", len(got))
	}
	if len(store.begun) > 0 {
		t.Error("it is being kept")
	}
}
