package modshare_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modshare/sharetest"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/modstore/storetest"
)

// TestOfferFills hands on what was kept before there was a bucket, once.
func TestOfferFills(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	one, two := replica{open(t, server.Bucket(""), nil)}, replica{open(t, server.Bucket(""), nil)}
	var keys []string
	for _, name := range []string{"a-large-one", "another", "small"} {
		data := storetest.Content(name)
		if name == "small" {
			data = []byte(name)
		}
		if _, err := one.keep(t.Context(), name, data); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, name)
	}
	for i, want := range []modshare.Offered{{Shared: 3}, {Had: 3}} {
		n := 0
		var mu sync.Mutex
		done, err := one.Offer(t.Context(), keys, func() { mu.Lock(); n++; mu.Unlock() })
		if err != nil || done != want || n != 3 {
			t.Errorf("round %d: %+v, %v, %d told", i, done, err, n)
		}
	}
	for _, key := range keys {
		if _, err := two.Bytes(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if done, err := one.Offer(t.Context(), []string{"nobody has it"}, func() {}); err != nil || !errors.Is(done.Failed, fs.ErrNotExist) {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestScrubShared spoils and loses what is in the bucket: it is found, and mended from here.
func TestScrubShared(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	one := replica{open(t, gate.Bucket(""), nil)}
	content := map[string][]byte{"whole": storetest.Content("a-large-one"), "spoiled": storetest.Content("another"), "lost": bytes.Repeat([]byte("l"), 40000), "entry": []byte("small")}
	for key, data := range content {
		if err := one.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.keep(t.Context(), "unshared", []byte("here")); err != nil {
		t.Fatal(err)
	}
	spoil(t, server.File(blob(content["spoiled"])))
	if err := errors.Join(os.Remove(server.File(blob(content["lost"]))), os.Truncate(server.File(modshare.EntryName("entry")), 20)); err != nil {
		t.Fatal(err)
	}
	done, err := one.ScrubShared(t.Context())
	if err != nil || done.Files != 4 || len(done.Bad) != 2 || done.Missing != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := one.ScrubShared(t.Context()); err != nil || done.Files != 4 || len(done.Bad)+done.Missing != 0 {
		t.Errorf("not mended: %+v, %v", done, err)
	}
	two := replica{open(t, server.Bucket(""), nil)}
	for key, data := range content {
		if got, err := two.Bytes(t.Context(), key); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
	// What was not read is not called whole.
	gate.Before(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if done, err := one.ScrubShared(t.Context()); err == nil {
		t.Errorf("nobody answered: %+v", done)
	}
}

// TestPinsOfOneOwner makes an owner's pins what they are now, in the bucket too.
func TestPinsOfOneOwner(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	s := replica{open(t, server.Bucket(""), nil)}
	for _, keys := range [][]string{{"a", "b", "c"}, {"b", "d"}} {
		for _, key := range keys {
			if err := s.Put(t.Context(), key, []byte(key+"!")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.PinAll(t.Context(), keys, "nightly"); err != nil {
			t.Fatal(err)
		}
		if got := server.Objects(t, "pins/"); len(got) != len(keys) {
			t.Errorf("%v: %v", keys, got)
		}
	}
	if c, _, err := s.CollectShared(t.Context(), modstore.Keep{Bytes: 1}); err != nil || c.Files != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := s.Collect(t.Context(), modstore.Keep{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	for key, stays := range map[string]bool{"a": false, "b": true, "c": false, "d": true} {
		if _, err := s.Bytes(t.Context(), key); (err == nil) != stays {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := s.Unpin(t.Context(), "nightly"); err != nil || len(server.Objects(t, "pins/")) != 0 {
		t.Error(err, server.Objects(t, "pins/"))
	}
}

// TestABrokenConnection breaks off the first request of each kind: it is made again, and
// the bucket does not rest.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	s := replica{open(t, gate.Bucket(""), func(o *modshare.Options) { o.Limits.Rest = time.Hour })}
	broken := map[string]bool{}
	var mu sync.Mutex
	gate.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		kind := r.Method + " " + strings.Split(r.URL.Path, "/")[2]
		mu.Lock()
		first := !broken[kind]
		broken[kind] = true
		mu.Unlock()
		if first {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	data := storetest.Content("a-large-one")
	if err := s.Put(t.Context(), "k", data); err != nil {
		t.Error(err)
	}
	var got bytes.Buffer
	if _, err := s.Take(t.Context(), "k", &got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if keys, err := s.Keys(t.Context(), "k"); err != nil || len(keys) != 1 || !s.Sharing() || len(broken) < 5 {
		t.Errorf("%v, %v, sharing %v, broken off: %v", keys, err, s.Sharing(), broken)
	}
}

// TestAStalledBlob sends half of a blob and then nothing: it is left, and not asked again.
func TestAStalledBlob(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	data := storetest.Content("a-large-one")
	if err := (replica{open(t, server.Bucket(""), nil)}).Put(t.Context(), "k", data); err != nil {
		t.Fatal(err)
	}
	gate.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		w.Header().Set("Content-Length", "100000000")
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	})
	s := open(t, gate.Bucket(""), func(o *modshare.Options) { o.Limits.Op = 3 * time.Second; o.Limits.Rest = time.Hour })
	gate.Asked()
	var got bytes.Buffer
	if _, err := s.Take(t.Context(), "k", &got); !errors.Is(err, fs.ErrNotExist) || s.Sharing() {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if asked := gate.Asked(); len(asked) != 2 { // the entry, the blob
		t.Error(asked)
	}
}
