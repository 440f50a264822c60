package modproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

func openStore(t testing.TB, dir string) *modstore.Store {
	t.Helper()
	return openStoreAt(t, dir, nil)
}

func openStoreAt(t testing.TB, dir string, now func() time.Time) *modstore.Store {
	t.Helper()
	s, err := modstore.Open(context.Background(), modstore.Options{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestHerdIsOneRequest holds 32 clients of one cold zip to a single request, and a
// cold .mod to none for other files.
func TestHerdIsOneRequest(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 100000))
	u := healthy(f)
	gate := make(chan struct{})
	u.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			<-gate
		}
		return false
	}
	url, _ := start(t, serve(t, u), nil)
	if code, got := get(t, url+at+".mod"); code != 200 || got != string(f.mod) {
		t.Fatalf("%d %s", code, got)
	}
	if n := u.requests(""); n != 1 {
		t.Errorf("a cold .mod cost %d requests: %v", n, u.asked)
	}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
				t.Errorf("%d, %d bytes", code, len(got))
			}
		})
	}
	close(gate)
	all.Wait()
	if n := u.requests(".zip"); n != 1 {
		t.Errorf("32 clients made %d requests", n)
	}
}

// TestTakenAwayIsFetchedAgain empties the store below a proxy that still knows the file.
func TestTakenAwayIsFetchedAgain(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 100000))
	u := healthy(f)
	store := openStore(t, t.TempDir())
	url, p := start(t, serve(t, u), func(o *modproxy.Options) { o.Store = store })
	for i := range 3 {
		if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
			t.Fatalf("%d, %d bytes", code, len(got))
		}
		if n := u.requests(".zip"); n != i+1 {
			t.Errorf("%d requests", n)
		}
		for p.Under() > 0 { // it is being kept
			runtime.Gosched()
		}
		if err := store.Forget(t.Context(), []string{at[1:] + ".zip"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRangesAndQuestions(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 100000))
	quick, p := start(t, serve(t, healthy(f)), nil)
	for _, url := range []string{quick, serve(t, p)} {
		for ext, data := range map[string][]byte{".zip": f.zip, ".mod": f.mod} {
			rangesAndQuestions(t, url+at+ext, data)
		}
	}
}

// rangesAndQuestions asks about one file, all on one connection.
func rangesAndQuestions(t *testing.T, url string, data []byte) {
	t.Helper()
	ask := func(method, header, value string) (int, http.Header, string) {
		r, _ := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
		if header != "" {
			r.Header.Set(header, value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, value, err)
		}
		return resp.StatusCode, resp.Header, string(body)
	}
	if code, _, body := ask(http.MethodGet, "", ""); code != http.StatusOK || body != string(data) {
		t.Errorf("GET: %d, %d bytes", code, len(body))
	}
	code, head, body := ask(http.MethodHead, "", "")
	if code != http.StatusOK || head.Get("Content-Length") != fmt.Sprint(len(data)) || body != "" {
		t.Errorf("HEAD: %d %s", code, head.Get("Content-Length"))
	}
	for value, want := range map[string]string{"bytes=5-": string(data[5:]), "bytes=7-20": string(data[7:21]), "bytes=-3": string(data[len(data)-3:])} {
		if code, _, body := ask(http.MethodGet, "Range", value); code != http.StatusPartialContent || body != want {
			t.Errorf("%s: %d, %d bytes", value, code, len(body))
		}
	}
	if code, _, body := ask(http.MethodGet, "Range", "bytes=0-9,20-29"); code != http.StatusPartialContent || !strings.Contains(body, string(data[20:30])) {
		t.Errorf("two ranges: %d %q", code, body)
	}
	if code, _, _ := ask(http.MethodGet, "Range", "bytes=99999999-"); code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("range behind the end: %d", code)
	}
	if code, _, body := ask(http.MethodGet, "If-None-Match", head.Get("Etag")); code != http.StatusNotModified || body != "" {
		t.Errorf("If-None-Match: %d", code)
	}
	if code, _, _ := ask(http.MethodPost, "", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
	if code, _, body := ask(http.MethodGet, "", ""); code != http.StatusOK || body != string(data) {
		t.Errorf("GET at the end: %d, %d bytes", code, len(body))
	}
}

// TestResume breaks a zip off in the middle: the rest comes from where it broke.
func TestResume(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 300000))
	u := healthy(f)
	var ranges []string
	var mu sync.Mutex
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		first := len(ranges) == 1
		mu.Unlock()
		if first {
			w.Header().Set("Etag", `"`+fmt.Sprint(len(f.zip))+`"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(f.zip)))
			_, _ = w.Write(f.zip[:len(f.zip)/2])
			panic(http.ErrAbortHandler)
		}
		return false
	}
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Sums = f.sums(t) })
	if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
		t.Fatalf("%d, %d bytes", code, len(got))
	}
	if len(ranges) != 2 || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("asked %q", ranges)
	}
}

func TestPolicyIsFinal(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	second := healthy(f)
	first := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "licence not allowed\nsecond line", http.StatusForbidden)
	}))
	url, _ := start(t, first+"!,"+serve(t, second), nil)
	code, got := get(t, url+at+".info")
	if code != 403 || !strings.Contains(got, "rule upstream "+strings.TrimPrefix(first, "http://")+" is final") || !strings.Contains(got, "licence not allowed") {
		t.Errorf("%d %s", code, got)
	}
	if n := second.requests(""); n != 0 {
		t.Errorf("the second was asked %d times", n)
	}
	// The user's own list: a host that is not public is final too, but for a bar.
	for list, want := range map[string]int{",": 403, "|": 200} {
		l, err := modproxy.ParseGOPROXY(first+list+serve(t, second)+",off", func(string) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		url, _ := start(t, "direct", func(o *modproxy.Options) { o.Lists = []modproxy.List{l} })
		if code, got := get(t, url+at+".info"); code != want {
			t.Errorf("%s: %d %s", list, code, got)
		}
	}
	denied, _ := start(t, serve(t, second), func(o *modproxy.Options) {
		o.Policy = &modpolicy.Policy{Rules: []modpolicy.Rule{{Name: "no-widgets", Action: modpolicy.Deny, Modules: widget}}}
	})
	if code, got := get(t, denied+at+".info"); code != 403 || !strings.Contains(got, "rule no-widgets") {
		t.Errorf("%d %s", code, got)
	}
}

func TestAbsenceIsReal(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	good, dead := serve(t, healthy(f)), "http://"+closedPort(t)
	for list, want := range map[string]int{
		good: 404, good + "," + good: 404, dead: 502, dead + "," + good: 404, dead + "!," + good: 502, good + "," + dead + "!": 502,
	} {
		url, _ := start(t, list, nil)
		if code, got := get(t, url+"/example.com/other/@v/v1.0.0.info"); code != want {
			t.Errorf("%s: %d, want %d: %s", list, code, want, got)
		}
	}
	friendly, _ := start(t, dead, func(o *modproxy.Options) { o.CommaFriendly = true })
	if code, got := get(t, friendly+at+".info"); code != 404 || !strings.Contains(got, "refused") {
		t.Errorf("%d %s", code, got)
	}
}

// TestPrivateNamesStay holds names to the upstreams of their pattern.
func TestPrivateNamesStay(t *testing.T) {
	t.Parallel()
	f := make1(t, "git.example.com/team/tool", "")
	own, public := &upstream{}, &upstream{}
	own.add("git.example.com/team/tool", version, f)
	db, key := sumServer(t, nil)
	public.before = func(w http.ResponseWriter, r *http.Request) bool {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org"); ok {
			r.URL.Path = rest
			db.ServeHTTP(w, r)
			return true
		}
		return false
	}
	private, err := modproxy.ParseUpstreams("git.example.com *.corp.example.com=" + serve(t, own))
	if err != nil {
		t.Fatal(err)
	}
	everyone, err := modproxy.ParseUpstreams(serve(t, public))
	if err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, "direct", func(o *modproxy.Options) {
		o.Lists, o.Database = []modproxy.List{private, everyone}, key
	})
	tool := url + "/git.example.com/team/tool"
	for path, want := range map[string]int{
		tool + "/@v/v1.0.0.zip": 200, tool + "/@v/list": 200, url + "/a.corp.example.com/x/@v/list": 404, tool + "/@v/v9.0.0.info": 404,
		url + "/sumdb/sum.example.org/lookup/git.example.com/team/tool@v1.0.0": 403,
	} {
		if code, got := get(t, path); code != want {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
	if n := public.requests(""); n != 0 {
		t.Errorf("the public server was told %v", public.asked)
	}
}

func TestDatabaseVouches(t *testing.T) {
	t.Parallel()
	f, wrong := make1(t, widget, noise("w", 50000)), make1(t, widget, noise("x", 50000))
	db, key := sumServer(t, f.sums(t))
	u := healthy(f)
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org")
		if !ok {
			return false
		}
		r.URL.Path = rest
		db.ServeHTTP(w, r)
		return true
	}
	store := openStore(t, t.TempDir())
	good := serve(t, u)
	url, p := start(t, serve(t, healthy(wrong))+","+good, func(o *modproxy.Options) { o.Database, o.Store = key, store })
	if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
		t.Fatalf("%d, %d bytes", code, len(got))
	}
	if s := p.Summary(); !strings.Contains(fmt.Sprint(s.Complaints), "where sumdb has") {
		t.Errorf("%+v", s)
	}
	bad, err := store.Quarantined(t.Context())
	if err != nil || len(bad) != 1 || bad[0].Size != int64(len(wrong.zip)) {
		t.Errorf("quarantine: %+v %v", bad, err)
	}
	// A client that verifies by itself is served what was proved, now from here.
	before := u.requests("")
	for path, want := range map[string]int{"supported": 200, "latest": 200, "lookup/example.com/widget@v1.0.0": 200, "tile/8/0/000.p/1": 200, "lookup/example.com/none@v1.0.0": 502} { // the database itself, which alone could tell that, is not there
		if code, got := get(t, url+"/sumdb/sum.example.org/"+path); code != want {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
	if n := u.requests("widget@v1.0.0"); n != 1 {
		t.Errorf("the record was fetched %d times", n)
	}
	if n := u.requests(".p/1") + u.requests("/latest"); n > 2 || before == 0 {
		t.Errorf("tiles and heads: %d requests", n)
	}
	if code, _ := get(t, url+"/sumdb/sum.other.org/supported"); code != 404 {
		t.Errorf("another database: %d", code)
	}
	// Without anybody, what is kept goes on.
	offline, _ := start(t, "http://"+closedPort(t), func(o *modproxy.Options) { o.Database, o.Store = key, store })
	for _, path := range []string{at + ".zip", "/sumdb/sum.example.org/lookup/example.com/widget@v1.0.0", "/example.com/widget/@v/list"} {
		if code, got := get(t, offline+path); code != 200 {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
}

// TestTilesMayLookLikePages: hashes begin with any byte, and one in 256 with "<".
func TestTilesMayLookLikePages(t *testing.T) {
	t.Parallel()
	_, key := sumServer(t, nil)
	tile := "<" + strings.Repeat("h", 31)
	u := healthy(make1(t, widget, ""))
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/tile/8/0/000.p/1":
			fmt.Fprint(w, tile)
		case "/tile/8/0/001.p/1":
			fmt.Fprint(w, "<html>Please sign in</html>")
		default:
			return false
		}
		return true
	}
	server := serve(t, u)
	url, _ := start(t, server, func(o *modproxy.Options) { o.Database = key + " " + server })
	if code, got := get(t, url+"/sumdb/sum.example.org/tile/8/0/000.p/1"); code != 200 || got != tile {
		t.Errorf("a tile: %d %q", code, got)
	}
	if code, got := get(t, url+"/sumdb/sum.example.org/tile/8/0/001.p/1"); code != 502 || !strings.Contains(got, "a web page in place of the file") {
		t.Errorf("a page: %d %q", code, got)
	}
}

// TestFirstUseAlarms changes a version behind a database that nobody reaches.
func TestFirstUseAlarms(t *testing.T) {
	t.Parallel()
	one, two := make1(t, widget, noise("w", 50000)), make1(t, widget, noise("x", 50000))
	dir := t.TempDir()
	store := openStore(t, dir)
	url, _ := start(t, serve(t, healthy(one)), func(o *modproxy.Options) { o.Store = store })
	if code, _ := get(t, url+at+".zip"); code != 200 {
		t.Fatal(code)
	}
	if _, err := store.Collect(t.Context(), modstore.Keep{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	url, p := start(t, serve(t, healthy(two)), func(o *modproxy.Options) { o.Store = store })
	code, got := get(t, url+at+".zip")
	if code != 502 || !strings.Contains(got, "where first use has h1:") {
		t.Errorf("%d %s", code, got)
	}
	if s := p.Summary(); len(s.Alarms) != 1 {
		t.Errorf("%+v", s)
	}
	// The client's go.sum knows better.
	url, _ = start(t, serve(t, healthy(two)), func(o *modproxy.Options) { o.Store, o.Sums = store, two.sums(t) })
	if code, _ := get(t, url+at+".zip"); code != 200 {
		t.Errorf("with go.sum: %d", code)
	}
}

func TestListsOutliveTheirServers(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	u := healthy(f)
	var mu sync.Mutex
	mode := ""
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		switch mode {
		case "dead":
			hijack(w, "", true)
		case "silent":
			go silent(w, r)
			<-r.Context().Done()
		}
		return mode != ""
	}
	set := func(m string) { mu.Lock(); mode = m; mu.Unlock() }
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Limits.Fresh, o.Limits.Stale = time.Nanosecond, time.Millisecond
	})
	if code, got := get(t, url+"/example.com/widget/@v/list"); code != 200 || got != version+"\n" {
		t.Fatalf("%d %s", code, got)
	}
	for _, m := range []string{"dead", "silent"} {
		set(m)
		if code, got := get(t, url+"/example.com/widget/@v/list"); code != 200 || got != version+"\n" {
			t.Errorf("%s: %d %s", m, code, got)
		}
	}
}

// TestOldListsOfTheDeadComeAtOnce has a list of yesterday and clients of endless
// patience: they are told what is kept as soon as nobody better can be had.
func TestOldListsOfTheDeadComeAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yesterday, err := modstore.Open(t.Context(), modstore.Options{Dir: dir, Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yesterday.PutData(t.Context(), modstore.Entry{Key: "example.com/widget/@v/list"}, []byte("v0.9.0\n")); err != nil {
		t.Fatal(err)
	}
	if err := yesterday.Close(); err != nil {
		t.Fatal(err)
	}
	healthy := serve(t, healthy(make1(t, widget, "")))
	dead := "http://" + closedPort(t) + ",http://" + closedPort(t)
	for _, row := range [][2]string{{dead, "v0.9.0\n"}, {dead + "," + healthy, version + "\n"}} { // the last brings a new one
		store := openStore(t, dir)
		url, _ := start(t, row[0], func(o *modproxy.Options) {
			o.Store, o.Limits.Fresh, o.Limits.Stale, o.Limits.Backoff = store, time.Minute, time.Hour, time.Hour
		})
		if code, got := get(t, url+"/example.com/widget/@v/list"); code != 200 || got != row[1] {
			t.Errorf("%s: %d %s", row[0], code, got)
		}
	}
}

// TestOldListsOfTheSilentComeAtOnce has a list of yesterday and an upstream that takes the
// question and gives no answer, or one that is slower than the usual patience: only where
// Old says so is a list of yesterday worth more of it.
func TestOldListsOfTheSilentComeAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yesterday, err := modstore.Open(t.Context(), modstore.Options{Dir: dir, Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yesterday.PutData(t.Context(), modstore.Entry{Key: "example.com/widget/@v/list"}, []byte("v0.9.0\n")); err != nil {
		t.Fatal(err)
	}
	if err := yesterday.Close(); err != nil {
		t.Fatal(err)
	}
	silent := healthy(make1(t, widget, ""))
	silent.before = func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	for _, row := range []struct {
		upstream, want string
		old            time.Duration
	}{{serve(t, silent), "v0.9.0\n", 0}, {serve(t, healthy(make1(t, widget, ""))), version + "\n", time.Hour}} {
		store := openStore(t, dir)
		url, _ := start(t, row.upstream, func(o *modproxy.Options) {
			o.Store, o.Limits.Fresh, o.Limits.Stale, o.Limits.Old = store, time.Minute, time.Nanosecond, row.old
		})
		if code, got := get(t, url+"/example.com/widget/@v/list"); code != 200 || got != row.want {
			t.Errorf("%v: %d %s", row.old, code, got)
		}
	}
}

func TestRedirectsIntoThePrivateNetworkAreRefused(t *testing.T) {
	t.Parallel()
	inner := healthy(make1(t, widget, ""))
	var authorization []string
	inner.before = func(_ http.ResponseWriter, r *http.Request) bool {
		authorization = append(authorization, r.Header.Get("Authorization")+r.Header.Get("Cookie"))
		return false
	}
	target := serve(t, inner)
	// An upstream on this machine may lead to another one here, without logins.
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target+r.URL.Path, http.StatusFound)
	}))
	u, _ := start(t, front, nil)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, u+at+".mod", http.NoBody)
	r.Header.Set("Authorization", "Bearer client")
	r.Header.Set("Cookie", "a=b")
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	if len(authorization) != 1 || authorization[0] != "" {
		t.Errorf("a client's login went on: %q", authorization)
	}
	// Never to the metadata service of a cloud.
	meta := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254"+r.URL.Path, http.StatusFound)
	}))
	u, _ = start(t, meta, nil)
	if code, got := get(t, u+at+".mod"); code != 502 || !strings.Contains(got, "private address") {
		t.Errorf("%d %s", code, got)
	}
}

func TestHostilePaths(t *testing.T) {
	t.Parallel()
	up := &upstream{}
	base, _ := start(t, serve(t, up), nil)
	addr, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/", "/..", "/../etc/passwd", "/example.com/../x/@v/list", "/example.com/widget/@v/../list", "/example.com/widget/@v/v1.0.0.exe",
		"/example.com/widget/@v/", "/Example.com/X/@v/list", "/example.com/!!x/@v/list", "/example.com/widget/@v/v1.0.0/x.mod",
		"/example.com/widget/@v/v1.zip", "/example.com/widget/@v/v2.0.0.mod", "/example.com/a\x00b/@v/list", "/example.com\\x/@v/list",
		"/sumdb/x/tile/../../y", "/sumdb//latest", "/sumdb/sum.example.org/lookup/..@v1.0.0", "/sumdb", "/example.com/wid get/@v/list",
		"/127.0.0.1:80/x/@v/list", "/example.com/con/@v/list", "/example.com/widget/@v/%2e%2e%2flist", "//@v/list", "/example.com/" + strings.Repeat("a/", 3000) + "@v/list",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.URL = &url.URL{Scheme: addr.Scheme, Host: addr.Host, Path: path}
		r.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %d", path, resp.StatusCode)
		}
	}
	for _, asked := range up.asked {
		if !strings.HasSuffix(asked, "a/@v/list") {
			t.Errorf("the upstream was asked for %q", asked)
		}
	}
}

func TestFilesOfADirectory(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	dir := t.TempDir()
	for ext, data := range map[string][]byte{".info": f.info, ".mod": f.mod, ".zip": f.zip} {
		name := filepath.Join(dir, filepath.FromSlash(at[1:])+ext)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFile(filepath.Join(dir, filepath.FromSlash("example.com/widget/@v/v1.0.1.mod")), []byte(page)); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, t.TempDir())
	url, p := start(t, "file://"+filepath.ToSlash(dir), func(o *modproxy.Options) { o.Store = store })
	if code, got := get(t, url+at+".zip"); code != 200 || got != string(f.zip) {
		t.Errorf("%d, %d bytes", code, len(got))
	}
	if code, _ := get(t, url+"/example.com/widget/@v/v3.0.0.zip"); code != 404 {
		t.Error(code)
	}
	done, err := p.Import(t.Context(), dir, nil)
	if err != nil || done.Files != 3 || len(done.Refused) != 1 {
		t.Errorf("%+v %v", done, err)
	}
	if keys, err := store.Keys(t.Context(), ""); err != nil || len(keys) != 3 {
		t.Errorf("%v %v", keys, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{at + ".zip", "/example.com/!upper/@v/list", "/x.y/z/@latest", "/sumdb/s.o/lookup/a.b/c@v1.0.0", "/sumdb/s.o/tile/8/0/x001/234.p/5", "/../@v/list"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		key, ok := modproxy.KeyOf(path)
		if !ok {
			return
		}
		if key != strings.TrimPrefix(path, "/") || strings.Contains(key, "..") && strings.Contains("/"+key+"/", "/../") || strings.ContainsAny(key, "\\\x00") || strings.HasPrefix(key, "/") {
			t.Errorf("%q gives the key %q", path, key)
		}
	})
}

// TestSlowIsNotCutBeforeAnotherDelivers asks a slow server and a second one that fails:
// the slow one's answer counts after all.
func TestSlowIsNotCutBeforeAnotherDelivers(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	slow, second := healthy(f), healthy(f)
	asked := make(chan struct{})
	var once sync.Once
	slow.before = func(_ http.ResponseWriter, _ *http.Request) bool {
		<-asked
		return false
	}
	second.before = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no luck", http.StatusInternalServerError)
		once.Do(func() { close(asked) })
		return true
	}
	url, _ := start(t, serve(t, slow)+","+serve(t, second), func(o *modproxy.Options) { o.Limits.Slow = 30 * time.Millisecond })
	if code, got := get(t, url+at+".mod"); code != 200 || got != string(f.mod) {
		t.Errorf("%d %s", code, got)
	}
	if slow.requests("") != 1 || second.requests("") == 0 {
		t.Errorf("asked %v and %v", slow.asked, second.asked)
	}
}

// TestSparesLearnNothingWithoutNeed keeps names that all know nothing of from servers
// that were added.
func TestSparesLearnNothingWithoutNeed(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	spare := healthy(f)
	for first, want := range map[string]int{serve(t, &upstream{}): 404, "http://" + closedPort(t): 200} {
		l, err := modproxy.ParseUpstreams(first + "," + serve(t, spare))
		if err != nil {
			t.Fatal(err)
		}
		l.Upstreams[1].Spare = true
		url, _ := start(t, "direct", func(o *modproxy.Options) { o.Lists = []modproxy.List{l} })
		if code, got := get(t, url+at+".info"); code != want {
			t.Errorf("%d %s", code, got)
		}
	}
	if n := spare.requests(""); n != 1 {
		t.Errorf("asked %v", spare.asked)
	}
}

// TestRestingBeatsWaiting: the only upstream that is left says nothing, while another
// rests after failures that have passed. That one is asked before the silence ends.
func TestRestingBeatsWaiting(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	rests, hangs := healthy(f), healthy(f)
	var well atomic.Bool
	rests.before = func(w http.ResponseWriter, _ *http.Request) bool {
		if well.Load() {
			return false
		}
		hijack(w, "", true)
		return true
	}
	hangs.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".mod") {
			silent(w, r)
			return true
		}
		return false
	}
	url, _ := start(t, serve(t, rests)+","+serve(t, hangs), func(o *modproxy.Options) {
		o.Limits = calm()
		o.Limits.Slow, o.Limits.Silence = 50*time.Millisecond, time.Hour
	})
	for i := range 4 { // until it rests
		_, _ = get(t, fmt.Sprintf("%s/example.com/other%d/@v/list", url, i))
	}
	well.Store(true)
	if code, got := get(t, url+at+".mod"); code != 200 || got != string(f.mod) {
		t.Errorf("%d %s", code, got)
	}
}
