package modproxy_test

import (
	"context"
	"io/fs"
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
