package modproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

// fullStore has no room left.
type fullStore struct{ *modstore.Store }

func (fullStore) Stage() (*modstore.Staged, error) {
	return nil, &fs.PathError{Op: "open", Path: "/srv/secret/tmp/s1", Err: syscall.ENOSPC}
}

// brokenStore has a database whose pages were written over.
type brokenStore struct{ *modstore.Store }

func (brokenStore) Get(context.Context, string) (modstore.Entry, error) {
	return modstore.Entry{}, fmt.Errorf("reading: %w", modstore.ErrDamaged)
}

func (b brokenStore) Put(ctx context.Context, e modstore.Entry, st *modstore.Staged) (modstore.Entry, error) {
	e, err := b.Store.Put(ctx, e, st)
	if err == nil {
		err = fmt.Errorf("storing: %w", modstore.ErrDamaged)
	}
	return e, err
}

func (brokenStore) PutData(_ context.Context, e modstore.Entry, _ []byte) (modstore.Entry, error) {
	return e, fmt.Errorf("storing: %w", modstore.ErrDamaged)
}

// TestADamagedStoreIsToldOfOnce, in the log, the metrics and the health page; files come
// from upstreams meanwhile.
func TestADamagedStoreIsToldOfOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := newServiceLab(t, "", func(o *modproxy.Options, so *modproxy.ServiceOptions) {
		store, err := modstore.Open(context.Background(), modstore.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		o.Store, so.Feeds = brokenStore{store}, store
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, path := range []string{at + ".mod", at + ".info", at + ".zip", "/" + widget + "/@v/list"} {
		if resp, text := l.ask(http.MethodGet, path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	if n := strings.Count(log.String(), `msg="store.db is damaged`); n != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("told %d times: %s", n, &log)
	}
	if _, text := l.ask(http.MethodGet, "/metrics"); !strings.Contains(text, "\nkeepwell_store_damaged 1\n") {
		t.Error("the metrics do not tell")
	}
	if _, text := l.ask(http.MethodGet, "/healthz"); !strings.Contains(text, `"store":"damaged"`) {
		t.Error(text)
	}
}

// TestAFullDiskIsNobodyElsesFault: the upstreams are neither blamed nor rested, the second
// is not asked, and clients are not told where the store lies.
func TestAFullDiskIsNobodyElsesFault(t *testing.T) {
	t.Parallel()
	first, second := &upstream{}, &upstream{}
	for _, u := range []*upstream{first, second} {
		u.add("example.com/widget", "v1.0.0", make1(t, "example.com/widget", "x"))
	}
	store, err := modstore.Open(context.Background(), modstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	at, p := start(t, serve(t, first)+","+serve(t, second), func(o *modproxy.Options) { o.Store = fullStore{store} })
	status, text := get(t, at+"/example.com/widget/@v/v1.0.0.zip")
	if status != http.StatusInternalServerError || !strings.Contains(text, "its own store cannot be written: no space left on device") || strings.Contains(text, "secret") {
		t.Error(status, text)
	}
	if n := second.requests(".zip"); n != 0 {
		t.Errorf("the second upstream was asked %d times", n)
	}
	for _, u := range p.Health() {
		if u.Failed != 0 {
			t.Errorf("%s is blamed", u.Upstream)
		}
	}
}
