package modproxy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modshare/sharetest"
	"github.com/keepwell/keepwell/internal/modstore"
)

func TestMain(m *testing.M) {
	sharetest.SetLogin()
	os.Exit(m.Run())
}

func shared(t testing.TB, bucket string, change func(*modshare.Limits)) *modshare.Store {
	t.Helper()
	o := modshare.Options{Local: openStore(t, t.TempDir()), URL: bucket, Limits: modshare.Limits{
		Op: 20 * time.Second, Rest: time.Nanosecond, Lease: time.Minute, Poll: time.Millisecond,
	}}
	if change != nil {
		change(&o.Limits)
	}
	s, err := modshare.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// replicaOf starts a proxy of its own before a shared bucket.
func replicaOf(t testing.TB, upstreams, bucket string, change func(*modproxy.Options)) (string, *modshare.Store) {
	t.Helper()
	s := shared(t, bucket, nil)
	url, _ := start(t, upstreams, func(o *modproxy.Options) {
		o.Store = s
		if change != nil {
			change(o)
		}
	})
	return url, s
}

// want gets a file and holds it to its bytes.
func want(t testing.TB, url string, data []byte) {
	t.Helper()
	if code, got := get(t, url); code != http.StatusOK || got != string(data) {
		t.Errorf("%s: %d, %d bytes: %.100s", url, code, len(got), got)
	}
}

// TestTwoReplicasFetchOnce has 32 clients of two replicas want one cold zip: a single
// request goes out. What one has, the other has then without asking anybody.
func TestTwoReplicasFetchOnce(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	f := make1(t, widget, noise("w", 100000))
	u := healthy(f)
	gate := make(chan struct{})
	u.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			<-gate
		}
		return false
	}
	at1 := serve(t, u)
	one, first := replicaOf(t, at1, server.Bucket(""), nil)
	two, second := replicaOf(t, at1, server.Bucket(""), nil)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() { want(t, []string{one, two}[i%2]+at+".zip", f.zip) })
	}
	for first.Count("wait")+second.Count("wait") == 0 && u.requests(".zip") < 2 { // one fetches, the other waits
		runtime.Gosched()
	}
	close(gate)
	all.Wait()
	if n := u.requests(".zip"); n != 1 {
		t.Errorf("32 clients of two replicas made %d requests", n)
	}
	want(t, one+at+".mod", f.mod)
	want(t, two+at+".mod", f.mod)
	want(t, one+at+".info", f.info)
	want(t, two+at+".info", f.info)
	if n := u.requests(""); n != 3 {
		t.Errorf("%d requests: %v", n, u.asked)
	}
}

// TestCachedNeedsNoBucket holds what is kept here to no request to the bucket.
func TestCachedNeedsNoBucket(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	g := server.Gate(t)
	f := make1(t, widget, noise("w", 100000))
	one, _ := replicaOf(t, serve(t, healthy(f)), g.Bucket(""), nil)
	want(t, one+at+".zip", f.zip)
	want(t, one+at+".mod", f.mod)
	for strings.Contains(strings.Join(server.Objects(t, "claims/"), " "), "widget") { // let go beside the request
	}
	g.Asked()
	for range 3 {
		want(t, one+at+".zip", f.zip)
		want(t, one+at+".mod", f.mod)
	}
	if asked := g.Asked(); len(asked) != 0 {
		t.Errorf("the bucket was asked: %v", asked)
	}
}

// TestListsAreShared answers a list that another replica asked for a short while ago, and
// an old one where nobody answers any more.
func TestListsAreShared(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	f := make1(t, widget, noise("w", 1000))
	u := healthy(f)
	up := serve(t, u)
	one, _ := replicaOf(t, up, server.Bucket(""), nil)
	two, _ := replicaOf(t, up, server.Bucket(""), nil)
	const path = "/example.com/widget/@v/list"
	want(t, one+path, []byte(version+"\n"))
	want(t, two+path, []byte(version+"\n"))
	if n := u.requests("/list"); n != 1 {
		t.Errorf("%d requests for a list", n)
	}
	u.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	three, _ := replicaOf(t, up, server.Bucket(""), func(o *modproxy.Options) { o.Limits.Fresh = time.Nanosecond })
	want(t, three+path, []byte(version+"\n"))
}

// TestBadBucket never serves what the bucket has spoiled, lost or never had from us.
func TestBadBucket(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 100000))
	evil := make1(t, widget, noise("evil", 100000))
	for name, spoil := range map[string]func(*testing.T, *sharetest.Server){
		"a byte flipped": func(t *testing.T, s *sharetest.Server) {
			data, _ := os.ReadFile(s.File(only(t, s, "blobs/")))
			data[5000] ^= 1
			if err := os.WriteFile(s.File(only(t, s, "blobs/")), data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"cut short": func(t *testing.T, s *sharetest.Server) {
			if err := os.Truncate(s.File(only(t, s, "blobs/")), 5000); err != nil {
				t.Fatal(err)
			}
		},
		"lost": func(t *testing.T, s *sharetest.Server) {
			if err := os.Remove(s.File(only(t, s, "blobs/"))); err != nil {
				t.Fatal(err)
			}
		},
		"everything lost": func(t *testing.T, s *sharetest.Server) {
			for _, name := range s.Objects(t, "") {
				if err := os.Remove(s.File(name)); err != nil && !os.IsNotExist(err) { // a claim goes by itself
					t.Fatal(err)
				}
			}
		},
		"the entry cut": func(t *testing.T, s *sharetest.Server) {
			if err := os.Truncate(s.File(only(t, s, "entries/")), 20); err != nil {
				t.Fatal(err)
			}
		},
		// Whole by its sums, and not what the checksum database knows.
		"forged": func(t *testing.T, s *sharetest.Server) {
			forger := shared(t, s.Bucket(""), nil)
			st, err := forger.Stage()
			if err != nil {
				t.Fatal(err)
			}
			defer st.Discard()
			if _, err := st.Write(evil.zip); err != nil {
				t.Fatal(err)
			}
			e, err := forger.Put(t.Context(), modstore.Entry{Key: at[1:] + ".zip", H1: evil.sums(t)[widget+" "+version], Via: "sumdb"}, st)
			if err == nil {
				_, err = forger.Publish(t.Context(), e, true)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sharetest.Start(t)
			u := healthy(f)
			sums, key := sumServer(t, f.sums(t))
			up := serve(t, u)
			u.before = func(w http.ResponseWriter, r *http.Request) bool {
				rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org")
				if ok {
					r.URL.Path = rest
					sums.ServeHTTP(w, r)
				}
				return ok
			}
			database := func(o *modproxy.Options) { o.Database = key }
			one, _ := replicaOf(t, up, server.Bucket(""), database)
			want(t, one+at+".zip", f.zip)
			spoil(t, server)
			two, second := replicaOf(t, up, server.Bucket(""), database)
			want(t, two+at+".zip", f.zip)
			if n := u.requests(".zip"); n != 2 {
				t.Errorf("%d requests for the zip", n)
			}
			bad, err := second.Quarantined(t.Context())
			if aside := len(bad) > 0; err != nil || aside == strings.HasSuffix(name, "lost") {
				t.Errorf("in quarantine: %+v, %v", bad, err)
			}
			// It is mended for all by who fetched it.
			three, _ := replicaOf(t, up, server.Bucket(""), database)
			want(t, three+at+".zip", f.zip)
			if n := u.requests(".zip"); n != 2 {
				t.Errorf("%d requests for the zip, after it was mended", n)
			}
		})
	}
}

func only(t testing.TB, s *sharetest.Server, prefix string) string {
	t.Helper()
	var found []string
	for _, name := range s.Objects(t, prefix) {
		if !strings.HasPrefix(name, "entries/sumdb/") {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s: %v", prefix, found)
	}
	return found[0]
}

// TestOtherBytesOfOneZip has two replicas fetch a zip at once, without seeing each other,
// of which the upstreams have different bytes with the same content: both serve the first
// one's then.
func TestOtherBytesOfOneZip(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	f := make1(t, widget, noise("w", 100000))
	again := f
	again.zip = recompress(t, f.zip)
	if string(again.zip) == string(f.zip) || again.sums(t)[widget+" "+version] != f.sums(t)[widget+" "+version] {
		t.Fatal("not the same content in other bytes")
	}
	g := server.Gate(t)
	first := true
	var mu sync.Mutex
	g.Before(func(w http.ResponseWriter, r *http.Request) bool { // what the second one looks for is hidden from it
		mu.Lock()
		defer mu.Unlock()
		hide := first && (strings.Contains(r.URL.Path, "/entries/") || strings.Contains(r.URL.Path, "/claims/"))
		if hide && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/entries/") {
			first = false
			return false
		}
		if hide && r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
			return true
		}
		return false
	})
	one, _ := replicaOf(t, serve(t, healthy(f)), server.Bucket(""), nil)
	two, _ := replicaOf(t, serve(t, healthy(again)), g.Bucket(""), nil)
	want(t, one+at+".zip", f.zip)
	for range 3 {
		want(t, two+at+".zip", f.zip)
	}
	three, _ := replicaOf(t, serve(t, healthy(again)), server.Bucket(""), nil)
	want(t, three+at+".zip", f.zip)
}

// recompress is a zip of the same files in other bytes.
func recompress(t testing.TB, data []byte) []byte {
	t.Helper()
	from, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	to := zip.NewWriter(&b)
	for _, f := range from.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		w, err := to.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store})
		if err == nil {
			_, err = io.Copy(w, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUploadBreaksOff serves what was fetched although the server goes away while it is
// uploaded; the bucket has no part of it, and another replica fetches it whole.
func TestUploadBreaksOff(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	f := make1(t, widget, noise("w", 100000))
	u := healthy(f)
	up := serve(t, u)
	g := server.Gate(t)
	gone := false
	var mu sync.Mutex
	g.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		gone = gone || r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/")
		cut := gone
		mu.Unlock()
		if cut {
			sharetest.Cut(r)
		}
		return false
	})
	one := shared(t, g.Bucket(""), func(l *modshare.Limits) { l.Lease = time.Second })
	url, _ := start(t, up, func(o *modproxy.Options) { o.Store = one })
	want(t, url+at+".zip", f.zip)
	if blobs := server.Objects(t, "blobs/"); len(blobs) != 0 || len(server.Objects(t, "claims/")) != 1 {
		t.Errorf("left in the bucket: %v", server.Objects(t, ""))
	}
	if one.Count("unshared") != 1 {
		t.Error("nobody counted it")
	}
	two, second := replicaOf(t, up, server.Bucket(""), nil)
	want(t, two+at+".zip", f.zip)
	want(t, url+at+".zip", f.zip)
	if second.Count("takeover") != 1 || u.requests(".zip") != 2 {
		t.Errorf("%d claims taken over, %d requests", second.Count("takeover"), u.requests(".zip"))
	}
}

// TestMetricsTellOfTheBucket shows in /metrics whether files are shared.
func TestMetricsTellOfTheBucket(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	g := server.Gate(t)
	f := make1(t, widget, noise("w", 100000))
	var p *modproxy.Proxy
	s := shared(t, g.Bucket(""), func(l *modshare.Limits) { l.Rest = time.Hour })
	_, p = start(t, serve(t, healthy(f)), func(o *modproxy.Options) { o.Store = s })
	url := serve(t, modproxy.NewService(p, modproxy.ServiceOptions{Access: slog.New(slog.DiscardHandler)}))
	want(t, url+at+".mod", f.mod)
	if _, text := get(t, url+"/metrics"); !strings.Contains(text, "keepwell_bucket_sharing 1") || !strings.Contains(text, `keepwell_bucket_events_total{event="published"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	g.Before(func(_ http.ResponseWriter, r *http.Request) bool { sharetest.Cut(r); return true })
	want(t, url+at+".zip", f.zip)
	if _, text := get(t, url+"/metrics"); !strings.Contains(text, "keepwell_bucket_sharing 0") {
		t.Errorf("metrics: %s", text)
	}
}

// TestImportFillsTheBucket hands on what is imported, also what was here before there was
// a bucket; a bucket that does not answer is told of, and what came is kept.
func TestImportFillsTheBucket(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	f := make1(t, widget, noise("w", 100000))
	dir := lay(t, map[string]string{at[1:] + ".info": string(f.info), at[1:] + ".mod": string(f.mod), at[1:] + ".zip": string(f.zip)})
	g := server.Gate(t)
	one := shared(t, g.Bucket(""), nil)
	_, p := start(t, "http://127.0.0.1:9", func(o *modproxy.Options) { o.Store = one })
	g.Before(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if done, err := p.Import(t.Context(), dir, nil); err != nil || done.Files != 3 || done.Unshared != 3 || len(done.Refused) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	g.Before(nil)
	if _, err := one.Trusted(t.Context(), "x"); err != nil || !one.Sharing() {
		t.Fatal("it does not come back", err)
	}
	if done, err := p.Import(t.Context(), dir, nil); err != nil || done.Had != 3 || done.Unshared != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	two, _ := replicaOf(t, "http://127.0.0.1:9", server.Bucket(""), nil)
	want(t, two+at+".zip", f.zip)
	want(t, two+at+".mod", f.mod)
	want(t, two+at+".info", f.info)
	other := make1(t, "example.com/other", noise("x", 100000))
	const otherAt = "example.com/other/@v/v1.0.0"
	if done, err := p.Import(t.Context(), lay(t, map[string]string{otherAt + ".zip": string(other.zip)}), nil); err != nil || done.Files != 1 || done.Had != 0 || done.Unshared != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	want(t, two+"/"+otherAt+".zip", other.zip)
}
