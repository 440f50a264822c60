package modproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// TestAnUpstreamCannotSilenceTheDatabase: who sends wrong modules may hang, or deny, all
// that is asked of the checksum database through it. The database itself is asked in
// time all the same.
func TestAnUpstreamCannotSilenceTheDatabase(t *testing.T) {
	t.Parallel()
	f, wrong := make1(t, widget, noise("w", 50000)), make1(t, widget, noise("x", 50000))
	// A key without an address: the database is asked through the upstreams first, and at
	// https://NAME.
	ca := newAuthority(t)
	var db http.Handler
	var key string
	own := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { db.ServeHTTP(w, r) }),
		ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour)))
	db, key = sumServerAt(t, strings.TrimPrefix(own, "https://"), f.sums(t))
	roots := &http.Transport{TLSClientConfig: tlsWith(ca.cert)}
	for name, h := range map[string]http.HandlerFunc{
		"hangs": silent, "denies": http.NotFound, "lies": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) },
		"drips": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			silent(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirror := func() string {
				u := healthy(wrong)
				u.before = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasPrefix(r.URL.Path, "/sumdb/") {
						h(w, r)
						return true
					}
					return false
				}
				return serve(t, u)
			}
			url, _ := start(t, mirror()+","+mirror()+","+mirror(), func(o *modproxy.Options) {
				o.Database, o.Roots = key, roots
				o.Limits = modproxy.Limits{Rest: time.Hour, Backoff: time.Millisecond}
			})
			if code, got := get(t, url+at+".zip"); code != http.StatusBadGateway || !strings.Contains(got, "where sumdb has") {
				t.Errorf("%d, %d bytes: %.200s", code, len(got), got)
			}
		})
	}
}

// TestFirstUseIsProvedLater takes wrong content while the database is away: when it is
// back, that is not served again.
func TestFirstUseIsProvedLater(t *testing.T) {
	t.Parallel()
	f, wrong := make1(t, widget, noise("w", 50000)), make1(t, widget, noise("x", 50000))
	wrong.mod = append(wrong.mod, "// changed\n"...)
	db, key := sumServer(t, f.sums(t))
	var away atomic.Bool
	away.Store(true)
	key += " " + serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		db.ServeHTTP(w, r)
	}))
	store := openStore(t, t.TempDir())
	u := &upstream{}
	u.add(widget, version, wrong)
	options := func(o *modproxy.Options) {
		o.Database, o.Store = key, store
		o.Limits.Rest = time.Nanosecond
	}
	url, p := start(t, serve(t, u), options)
	for ext, want := range map[string][]byte{".mod": wrong.mod, ".zip": wrong.zip} {
		if code, got := get(t, url+at+ext); code != 200 || got != string(want) {
			t.Fatalf("%s: %d, %d bytes", ext, code, len(got))
		}
	}
	if s := p.Summary(); s.Unverified == "" {
		t.Error("it was not said that nobody vouched")
	}
	away.Store(false)
	u.add(widget, version, f)
	for range 2 {
		for ext, want := range map[string][]byte{".mod": f.mod, ".zip": f.zip} {
			if code, got := get(t, url+at+ext); code != 200 || got != string(want) {
				t.Errorf("%s: %d, %d bytes", ext, code, len(got))
			}
		}
	}
	if s := p.Summary(); len(s.Alarms) != 2 {
		t.Errorf("alarms: %q", s.Alarms)
	}
	if e, err := store.Get(t.Context(), at[1:]+".zip"); err != nil || e.Via != "sumdb" {
		t.Errorf("%+v %v", e, err)
	}
	// Without the database the right content is trusted, not what came first.
	away.Store(true)
	if err := store.Forget(t.Context(), []string{at[1:] + ".zip"}); err != nil {
		t.Fatal(err)
	}
	url, _ = start(t, serve(t, u), options)
	if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
		t.Errorf("%d, %d bytes", code, len(got))
	}
}

// TestTheLogTellsOnceOfTheDatabase: that it is away when that is noticed, in plain words, and
// that it is back; not for each module.
func TestTheLogTellsOnceOfTheDatabase(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	sums := map[string]string{}
	const modules = 5
	for n := range modules {
		name := fmt.Sprintf("example.com/widget%d", n)
		f := make1(t, name, "x")
		u.add(name, version, f)
		for line, h1 := range f.sums(t) {
			sums[strings.Replace(line, widget, name, 1)] = h1
		}
	}
	db, key := sumServer(t, sums)
	var away atomic.Bool
	away.Store(true)
	key += " " + serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		db.ServeHTTP(w, r)
	}))
	var log bytes.Buffer
	url, p := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Database = key
		o.Limits.Rest = time.Nanosecond
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	ask := func() {
		for n := range modules {
			if code, got := get(t, fmt.Sprintf("%s/example.com/widget%d/@v/%s.mod", url, n, version)); code != http.StatusOK {
				t.Fatalf("%d %s", code, got)
			}
		}
	}
	ask()
	away.Store(false)
	ask()
	p.Close()
	got := log.String()
	for words, want := range map[string]int{
		"the checksum database cannot be asked: it is out of reach at the address of GOSUMDB; until it answers, new modules are trusted on first use": 1,
		"the checksum database answers again": 1,
	} {
		if n := strings.Count(got, words); n != want {
			t.Errorf("%q %d times, not %d:\n%s", words, n, want, got)
		}
	}
}

// TestWhoLeavesDoesNotSilenceTheDatabase: a client that goes away while the database is
// asked says nothing about the database, and the next client's module is still held to
// it.
func TestWhoLeavesDoesNotSilenceTheDatabase(t *testing.T) {
	t.Parallel()
	f, wrong := make1(t, widget, noise("w", 50000)), make1(t, widget, noise("x", 50000))
	db, key := sumServer(t, f.sums(t))
	asked, left := make(chan struct{}), make(chan struct{})
	var first sync.Once
	key += " " + serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/lookup/") {
			first.Do(func() {
				close(asked)
				<-left
			})
		}
		db.ServeHTTP(w, r)
	}))
	u := healthy(wrong)
	url, p := start(t, serve(t, u), func(o *modproxy.Options) { o.Database = key })
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+at+".mod", http.NoBody)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	leave()
	<-gone
	for p.Under() > 0 { // the flight that nobody waits for any more
		runtime.Gosched()
	}
	close(left)
	if code, got := get(t, url+at+".zip"); code != http.StatusBadGateway || !strings.Contains(got, "where sumdb has") {
		t.Errorf("%d, %d bytes: %.200s", code, len(got), got)
	}
}
