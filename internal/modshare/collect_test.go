package modshare_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modshare/sharetest"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/modstore/storetest"
)

func zipKey(i int) string { return fmt.Sprintf("example.com/m/@v/v1.0.%d.zip", i) }

// TestCollect keeps what any replica wanted, and what is pinned, within the quota.
func TestCollect(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	one, two := replica{open(t, server.Bucket(""), nil)}, replica{open(t, server.Bucket(""), nil)}
	const n = 8
	var bytes [n]int64
	for i := range n {
		if err := one.Put(t.Context(), zipKey(i), storetest.Content(zipKey(i))); err != nil {
			t.Fatal(err)
		}
		bytes[i] = int64(len(storetest.Content(zipKey(i))))
		ago := time.Now().AddDate(0, 0, -10-i) // nobody wanted it since
		if err := os.Chtimes(server.File(modshare.EntryName(zipKey(i))), ago, ago); err != nil {
			t.Fatal(err)
		}
	}
	two.Touch(zipKey(6))
	two.FlushUses(t.Context()) // the other replica collects
	if err := two.Pin(t.Context(), zipKey(7), "go.sum"); err != nil {
		t.Fatal(err)
	}
	stray := "blobs/" + strings.Repeat("ab", 1) + "/" + strings.Repeat("ab", 32)
	if err := os.MkdirAll(server.File("blobs/ab"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(server.File(stray), []byte("nobody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range server.Objects(t, "blobs/") {
		if err := os.Chtimes(server.File(name), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() []string {
		keys, err := open(t, server.Bucket(""), nil).Keys(t.Context(), "example.com/m/@v/")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		return keys
	}
	// By use: 6 (today), 0, 1, …; 7 is oldest, and pinned.
	c, done, err := one.CollectShared(t.Context(), modstore.Keep{Bytes: bytes[6] + bytes[0] + bytes[1]})
	if want := []string{zipKey(0), zipKey(1), zipKey(6), zipKey(7)}; err != nil || !done || !slices.Equal(left(), want) {
		t.Fatalf("left %v, %+v, %v, %v", left(), c, done, err)
	}
	blobs := server.Objects(t, "blobs/")
	for i := range n {
		data := storetest.Content(zipKey(i))
		kept := slices.Contains(left(), zipKey(i)) && len(data) > modstore.Inline
		if slices.Contains(blobs, blob(data)) != kept {
			t.Errorf("blob of %d: kept %v", i, !kept)
		}
	}
	if slices.Contains(blobs, stray) {
		t.Error("a blob that nobody has stays")
	}
	// The second time what is known is not read again; then all is too old but the pin.
	gate := server.Gate(t)
	three := open(t, gate.Bucket(""), nil)
	gate.Asked()
	if _, done, err = three.CollectShared(t.Context(), modstore.Keep{}); err != nil || !done {
		t.Fatal(done, err)
	}
	old := func() { // a busy server may not take the lease back in time: then it has to end
		for done = false; !done; {
			if _, done, err = three.CollectShared(t.Context(), modstore.Keep{Unused: 5 * 24 * time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, request := range gate.Asked() {
		if strings.HasPrefix(request, http.MethodGet+" /modules/entries/") {
			t.Errorf("read again: %s", request)
		}
	}
	old()
	if want := []string{zipKey(6), zipKey(7)}; !slices.Equal(left(), want) {
		t.Errorf("left %v", left())
	}
	if err := two.Unpin(t.Context(), "go.sum"); err != nil {
		t.Fatal(err)
	}
	old()
	if want := []string{zipKey(6)}; !slices.Equal(left(), want) {
		t.Errorf("left %v", left())
	}
}

// TestOneCollects leaves the bucket to who collects already.
func TestOneCollects(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	one := open(t, gate.Bucket(""), func(o *modshare.Options) { o.Limits.Lease = time.Minute })
	two := open(t, server.Bucket(""), func(o *modshare.Options) { o.Limits.Lease = time.Minute })
	inside, on := make(chan struct{}), make(chan struct{})
	gate.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/collect/state") && r.Method == http.MethodGet {
			close(inside)
			<-on
		}
		return false
	})
	ended := make(chan error, 1)
	go func() {
		_, done, err := one.CollectShared(t.Context(), modstore.Keep{})
		if err == nil && !done {
			err = fmt.Errorf("not done")
		}
		ended <- err
	}()
	<-inside
	if _, done, err := two.CollectShared(t.Context(), modstore.Keep{}); done || err != nil {
		t.Errorf("two collect at once: %v, %v", done, err)
	}
	close(on)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
