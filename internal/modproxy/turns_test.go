package modproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
)

// crowd is an upstream that counts how many requests it answers at once.
type crowd struct {
	upstream
	let chan struct{} // each request takes one

	mu              sync.Mutex
	came            *sync.Cond
	now, most, seen int
}

func newCrowd(t *testing.T, versions int) *crowd {
	t.Helper()
	c := &crowd{let: make(chan struct{}, versions)}
	c.came = sync.NewCond(&c.mu)
	f := make1(t, widget, "package widget\n")
	for i := range versions {
		c.add(widget, fmt.Sprintf("v1.0.%d", i), files{mod: f.mod})
	}
	c.before = func(http.ResponseWriter, *http.Request) bool {
		c.mu.Lock()
		c.now++
		c.seen++
		c.most = max(c.most, c.now)
		c.came.Broadcast()
		c.mu.Unlock()
		<-c.let
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
		return false
	}
	return c
}

// wait waits until n requests have come.
func (c *crowd) wait(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.seen < n {
		c.came.Wait()
	}
}

func mods(n int) string { return fmt.Sprintf("/example.com/widget/@v/v1.0.%d.mod", n) }

// TestFetchesAreBounded: however many clients want however many files, no more than so
// many are fetched at once, all come in the end, and other upstreams are asked meanwhile.
func TestFetchesAreBounded(t *testing.T) {
	t.Parallel()
	const bound, clients = 3, 60
	c := newCrowd(t, clients)
	other := &upstream{}
	other.add("example.org/other", version, make1(t, "example.org/other", "package other\n"))
	url, p := start(t, serve(t, c), func(o *modproxy.Options) {
		o.Limits.Fetches = bound
		l, err := modproxy.ParseUpstreams(serve(t, other))
		if err != nil {
			t.Fatal(err)
		}
		l.Patterns = "example.org/*"
		o.Lists = append([]modproxy.List{l}, o.Lists...)
	})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if code, got := get(t, url+mods(i)); code != http.StatusOK || !strings.HasPrefix(got, "module ") {
				t.Errorf("%d: %d %.100s", i, code, got)
			}
		})
	}
	c.wait(bound)
	for p.Under() < clients { // all are there
		runtime.Gosched()
	}
	if code, _ := get(t, url+"/example.org/other/@v/"+version+".mod"); code != http.StatusOK {
		t.Errorf("another upstream: %d", code)
	}
	for range clients {
		c.let <- struct{}{}
	}
	all.Wait()
	if c.most != bound || c.seen != clients {
		t.Errorf("%d at once, %d in all", c.most, c.seen)
	}
}

// TestWhoWaitsMayLeave: a file that nobody wants any more when its turn comes is not
// fetched, and takes no turn.
func TestWhoWaitsMayLeave(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3)
	url, p := start(t, serve(t, c), func(o *modproxy.Options) { o.Limits.Fetches = 1 })
	var all sync.WaitGroup
	ask := func(n int) { all.Go(func() { get(t, url+mods(n)) }) }
	ask(0)
	c.wait(1)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+mods(1), http.NoBody)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	under := func(n int) {
		for p.Under() != n {
			runtime.Gosched()
		}
	}
	under(2)
	ask(2)
	under(3)
	leave()
	<-gone
	under(2)
	close(c.let)
	all.Wait()
	if c.requests("v1.0.1.mod") != 0 || c.requests("v1.0.2.mod") != 1 {
		t.Errorf("asked for %v", c.asked)
	}
}

// TestOneTurnIsEnough also where one answer needs many files: a latest that is too young,
// in place of which the list and what is said of its versions are asked for.
func TestOneTurnIsEnough(t *testing.T) {
	t.Parallel()
	const versions, week = 12, 7 * 24 * time.Hour
	c := newCrowd(t, 0)
	close(c.let)
	for i := range versions {
		made := time.Now()
		if i == 0 {
			made = made.Add(-2 * week)
		}
		v := fmt.Sprintf("v1.%d.0", i)
		about := fmt.Appendf(nil, `{"Version":%q,"Time":%q}`, v, made.UTC().Format(time.RFC3339))
		c.add(widget, v, files{info: about})
		c.all["/"+widget+"/@latest"] = about
	}
	url, _ := start(t, serve(t, c), func(o *modproxy.Options) {
		o.Limits.Fetches, o.Policy = 1, &modpolicy.Policy{MinimumAge: week}
	})
	if code, got := get(t, url+"/"+widget+"/@latest"); code != http.StatusOK || !strings.Contains(got, `"v1.0.0"`) {
		t.Errorf("%d %s", code, got)
	}
	if c.seen < versions || c.most != 1 {
		t.Errorf("%d requests, %d at once", c.seen, c.most)
	}
}
