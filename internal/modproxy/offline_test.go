package modproxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// switched is an upstream that can be dead, or silent.
func switched(u *upstream) *atomic.Value {
	var mode atomic.Value
	mode.Store("")
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		switch mode.Load() {
		case "dead":
			hijack(w, "", true)
		case "silent":
			silent(w, r)
		default:
			return false
		}
		return true
	}
	return &mode
}

func getWith(t *testing.T, url, header, value string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header, value)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// TestOfflineListsJoinWhatIsKept: without servers a list has the versions whose files are
// kept; with them, theirs is the word.
func TestOfflineListsJoinWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"dead", "silent"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := make1(t, widget, "")
			u := &upstream{}
			u.add(widget, version, f)
			mode := switched(u)
			url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Limits.Fresh, o.Limits.Stale = time.Nanosecond, time.Millisecond })
			base := url + "/" + widget
			if code, got := get(t, base+"/@v/list"); code != 200 || got != "v1.0.0\n" {
				t.Fatalf("%d %q", code, got)
			}
			// A later version is fetched, but no later list.
			u.mu.Lock()
			u.all["/"+widget+"/@v/v1.1.0.info"] = []byte(`{"Version":"v1.1.0"}`)
			u.all["/"+widget+"/@v/v1.2.0-rc.1.info"] = []byte(`{"Version":"v1.2.0-rc.1"}`)
			u.mu.Unlock()
			for _, v := range []string{"v1.1.0", "v1.2.0-rc.1"} {
				if code, got := get(t, base+"/@v/"+v+".info"); code != 200 {
					t.Fatalf("%d %q", code, got)
				}
			}
			mode.Store(how)
			if code, got := get(t, base+"/@v/list"); code != 200 || got != "v1.0.0\nv1.1.0\nv1.2.0-rc.1\n" {
				t.Errorf("offline: %d %q", code, got)
			}
			if how == "dead" { // @latest was never asked: the highest release that is kept
				if code, got := get(t, base+"/@latest"); code != 200 || got != `{"Version":"v1.1.0"}` {
					t.Errorf("latest, offline: %d %q", code, got)
				}
			}
			if code, got := getWith(t, base+"/@latest", "Disable-Module-Fetch", "true"); code != 200 || got != `{"Version":"v1.1.0"}` {
				t.Errorf("latest, unasked: %d %q", code, got)
			}
		})
	}
	t.Run("online", func(t *testing.T) {
		t.Parallel()
		u := &upstream{}
		u.add(widget, "v1.1.0", files{info: []byte(`{"Version":"v1.1.0"}`)})
		url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Limits.Fresh, o.Limits.Stale = time.Nanosecond, time.Hour })
		if code, _ := get(t, url+"/"+widget+"/@v/v1.1.0.info"); code != 200 {
			t.Fatal(code)
		}
		u.mu.Lock()
		u.all["/"+widget+"/@v/list"] = []byte("v1.0.0\n") // v1.1.0 was taken away
		u.mu.Unlock()
		for range 2 {
			if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || got != "v1.0.0\n" {
				t.Errorf("%d %q", code, got)
			}
		}
	})
}

// TestAbsenceIsNotRemembered: who has just pushed a tag is not told for a minute that
// there is none.
func TestAbsenceIsNotRemembered(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	url, _ := start(t, serve(t, u), nil)
	for _, path := range []string{at + ".info", at + ".mod", "/" + widget + "/@v/list", "/" + widget + "/@latest"} {
		if code, got := get(t, url+path); code != 404 {
			t.Errorf("%s: %d %q", path, code, got)
		}
	}
	f := make1(t, widget, "")
	u.add(widget, version, f)
	u.mu.Lock()
	u.all["/"+widget+"/@latest"] = f.info
	u.mu.Unlock()
	for _, path := range []string{at + ".info", at + ".mod", "/" + widget + "/@v/list", "/" + widget + "/@latest"} {
		if code, got := get(t, url+path); code != 200 {
			t.Errorf("%s: %d %q", path, code, got)
		}
	}
}

// TestClientsMayWish for an answer from the store alone, or for a fresh one.
func TestClientsMayWish(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 50000))
	u := healthy(f)
	db, key := sumServer(t, f.sums(t))
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org")
		if ok {
			r.URL.Path = rest
			db.ServeHTTP(w, r)
		}
		return ok
	}
	store := openStore(t, t.TempDir())
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Store, o.Database = store, key })
	paths := []string{at + ".info", at + ".mod", at + ".zip", "/" + widget + "/@v/list", "/sumdb/sum.example.org/lookup/example.com/widget@v1.0.0"}
	for _, path := range paths {
		if code, got := getWith(t, url+path, "Disable-Module-Fetch", "true"); code != 404 || !strings.Contains(got, "Disable-Module-Fetch") {
			t.Errorf("%s: %d %q", path, code, got)
		}
	}
	if n := u.requests(""); n != 0 {
		t.Errorf("%d requests: %v", n, u.asked)
	}
	for _, path := range paths {
		if code, got := get(t, url+path); code != 200 {
			t.Fatalf("%s: %d %q", path, code, got)
		}
	}
	asked := u.requests("")
	for _, path := range paths {
		if code, got := getWith(t, url+path, "Disable-Module-Fetch", "1"); code != 200 {
			t.Errorf("%s: %d %q", path, code, got)
		}
	}
	if n := u.requests(""); n != asked {
		t.Errorf("%d requests more", n-asked)
	}
	// A list of a moment ago is fresh enough for everyone: clients cannot have servers
	// asked without end.
	for range 20 {
		if code, _ := getWith(t, url+"/"+widget+"/@v/list", "Cache-Control", "no-cache"); code != 200 {
			t.Error(code)
		}
	}
	if n := u.requests("/@v/list"); n != 1 {
		t.Errorf("the list was asked for %d times", n)
	}
}

// TestRefreshOnWish: a list that is a while old is asked for anew.
func TestRefreshOnWish(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	u.add(widget, version, files{})
	dir := t.TempDir()
	store := openStoreAt(t, dir, func() time.Time { return time.Now().Add(-30 * time.Second) })
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Store = store })
	list := url + "/" + widget + "/@v/list"
	if code, got := get(t, list); code != 200 || got != "v1.0.0\n" {
		t.Fatalf("%d %q", code, got)
	}
	u.add(widget, "v1.1.0", files{})
	if _, got := get(t, list); got != "v1.0.0\n" {
		t.Errorf("within its time: %q", got)
	}
	if _, got := getWith(t, list, "Cache-Control", "max-age=0, no-cache"); got != "v1.0.0\nv1.1.0\n" {
		t.Errorf("on wish: %q", got)
	}
}

// TestTwinsDoNotMeet: names that differ in case, or look alike, are different modules; and
// what a branch is now is not kept as a version.
func TestTwinsDoNotMeet(t *testing.T) {
	t.Parallel()
	lower, upper := make1(t, "example.com/foo", "lower"), make1(t, "example.com/Foo", "upper")
	u := &upstream{}
	u.add("example.com/foo", version, lower)
	u.add("example.com/Foo", version, upper)
	u.mu.Lock()
	u.all["/example.com/foo/@v/main.info"] = []byte(`{"Version":"v1.5.0"}`)
	u.all["/example.com/foo/@v/v1.9.0.info"] = []byte(`{"Version":"v1.5.0"}`)
	u.mu.Unlock()
	url, _ := start(t, serve(t, u), nil)
	for range 2 {
		for path, want := range map[string][]byte{"/example.com/foo": lower.zip, "/example.com/!foo": upper.zip} {
			if code, got := get(t, url+path+"/@v/v1.0.0.zip"); code != 200 || got != string(want) {
				t.Errorf("%s: %d", path, code)
			}
		}
	}
	for path, want := range map[string]int{
		"/example.com/Foo/@v/v1.0.0.zip": 404, "/example.com/f%C3%B6o/@v/v1.0.0.zip": 404, "/example.com/fo%D0%BE/@v/v1.0.0.zip": 404,
		"/example.com/foo/@v/main.info": 200, "/example.com/foo/@v/v1.5.0.info": 404, "/example.com/foo/@v/v1.9.0.info": 502,
		"/example.com/foo/@v/main.mod": 404, "/example.com/foo/@v/MAIN.info": 404,
	} {
		if code, got := get(t, url+path); code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, got)
		}
	}
}
