package modproxy_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// endless writes words until the client has enough.
func endless(words string) func(files) http.HandlerFunc {
	return always(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		first, again, _ := strings.Cut(words, "|")
		if _, err := io.WriteString(conn, first); err != nil {
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
		for r.Context().Err() == nil {
			if _, err := io.WriteString(conn, again); err != nil {
				return
			}
		}
	})
}

// TestHostileUpstreams: what a server may send without end, or to do harm, is refused in
// bounded time and memory, and the next one is asked.
func TestHostileUpstreams(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 60000))
	for name, h := range map[string]func(files) http.HandlerFunc{
		"endless header line": endless("HTTP/1.1 200 OK\r\nX-A: |aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		"endless headers":     endless("HTTP/1.1 200 OK\r\n|X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
		"endless 1xx":         endless("|HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
		"endless chunks":      endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|8000\r\n" + strings.Repeat("v1.0.0 x\n", 32768/9+1)[:32768] + "\r\n"),
		"endless trailers":    endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n|A: b\r\n"),
		"huge length": always(func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx", false)
		}),
		"two lengths": always(func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 3\r\n\r\nabc", false)
		}),
		"gzip bomb": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 1 << 10 {
				if _, err := z.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
			_ = z.Close()
		}),
		"a wait of ten years": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "315360000")
			http.Error(w, "later", http.StatusServiceUnavailable)
		}),
		"a wait of nonsense": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "-9e99 soon\x7f")
			http.Error(w, "later", http.StatusTooManyRequests)
		}),
		"redirect to a file": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}),
		"redirect to the metadata service by a number": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://2852039166/latest/meta-data/")
			w.WriteHeader(http.StatusFound)
		}),
		"redirect to it by IPv6": always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::ffff:a9fe:a9fe]/latest/meta-data/")
			w.WriteHeader(http.StatusFound)
		}),
		"nested json":  on(".info", answer(strings.Repeat(`{"Version":`, 50000))),
		"huge numbers": on(".info", answer(`{"Version":"v1.0.0","Time":1e999999}`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, p := start(t, serve(t, h(f))+","+serve(t, healthy(f)), func(o *modproxy.Options) {
				o.Sums = f.sums(t)
				o.Limits.Connect, o.Limits.Silence = time.Second, 2*time.Second
			})
			for ext, want := range map[string][]byte{".info": f.info, ".mod": f.mod, ".zip": f.zip} {
				if code, got := get(t, url+at+ext); code != 200 || got != string(want) {
					t.Errorf("%s: %d %.200s", ext, code, got)
				}
			}
			if s := p.Summary(); len(s.Complaints) == 0 {
				t.Error("nothing was noted")
			}
		})
	}
}

// TestPoisonedLists leaves nothing in a list but versions.
func TestPoisonedLists(t *testing.T) {
	t.Parallel()
	second := &upstream{}
	second.add(widget, version, files{})
	for name, x := range map[string]struct{ sent, want string }{
		"control bytes": {"v1.0.0\n\x1b[2Jv1.1.0\nv1.2.0\x00\nv1.3.0 \x1b]0;x\x07\nv1.4.0\u202e\n", "v1.0.0\nv1.3.0\n"},
		"escapes":       {"v1.0.0\n../../x\nv1.1.0/../..\nv1.2.0%2f..\nv1.3.0\\x\n", "v1.0.0\n"},
		"100 MB":        {strings.Repeat("v1.0.0-"+strings.Repeat("a", 1000)+"\n", 100000), "v1.0.0\n"}, // the second's
	} {
		up := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, x.sent) }))
		url, _ := start(t, up+","+serve(t, second), nil)
		code, got := get(t, url+"/"+widget+"/@v/list")
		if code != 200 || got != x.want || strings.ContainsFunc(strings.ReplaceAll(got, "\n", ""), unicode.IsControl) {
			t.Errorf("%s: %d %.200q", name, code, got)
		}
	}
}

// TestALinkLeadsNowhere: a file:// upstream never leaves its directory.
func TestALinkLeadsNowhere(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	if err := writeFile(filepath.Join(outside, "secret"), []byte("module example.com/widget\n// secret\n")); err != nil {
		t.Fatal(err)
	}
	versions := filepath.Join(dir, "example.com", "widget", "@v")
	if err := os.MkdirAll(versions, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(versions, "v1.0.0.mod")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "example.com", "other")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(outside, "@v"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(outside, "@v", "v1.0.0.mod"), []byte("module example.com/other\n")); err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, "file://"+filepath.ToSlash(dir), nil)
	for _, path := range []string{at + ".mod", "/example.com/other/@v/v1.0.0.mod"} {
		if code, got := get(t, url+path); code == 200 || strings.Contains(got, "secret\n") {
			t.Errorf("%s: %d %q", path, code, got)
		}
	}
}

// TestEveryKindAnswersTheSameQuestions: HEAD, ranges, If-None-Match, If-Range, types and
// how long an answer holds, for every kind of file.
func TestEveryKindAnswersTheSameQuestions(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 100000))
	db, key := sumServer(t, f.sums(t))
	u := healthy(f)
	u.all["/"+widget+"/@latest"] = f.info
	u.before = func(w http.ResponseWriter, r *http.Request) bool {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org")
		if ok {
			r.URL.Path = rest
			db.ServeHTTP(w, r)
		}
		return ok
	}
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) { o.Database = key })
	ask := func(method, path string, header ...string) (int, http.Header, int) {
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, len(data)
	}
	for _, x := range []struct{ path, kind, holds string }{
		{at + ".info", "application/json", "immutable"},
		{at + ".mod", "text/plain; charset=utf-8", "immutable"},
		{at + ".zip", "application/zip", "immutable"},
		{"/" + widget + "/@v/list", "text/plain; charset=utf-8", "max-age=60"},
		{"/" + widget + "/@latest", "application/json", "max-age=60"},
		{"/sumdb/sum.example.org/lookup/example.com/widget@v1.0.0", "text/plain; charset=utf-8", ""},
	} {
		code, h, n := ask(http.MethodGet, x.path)
		if code != 200 || n == 0 || h.Get("Content-Type") != x.kind || !strings.Contains(h.Get("Cache-Control"), x.holds) {
			t.Fatalf("%s: %d %v", x.path, code, h)
		}
		if code, hh, m := ask(http.MethodHead, x.path); code != 200 || m != 0 || hh.Get("Content-Length") != fmt.Sprint(n) || hh.Get("Etag") != h.Get("Etag") {
			t.Errorf("HEAD %s: %d %v", x.path, code, hh)
		}
		if code, hh, m := ask(http.MethodGet, x.path, "Range", "bytes=2-4"); code != 206 || m != 3 || hh.Get("Content-Range") != fmt.Sprintf("bytes 2-4/%d", n) {
			t.Errorf("range of %s: %d %v", x.path, code, hh)
		}
		if code, _, _ := ask(http.MethodGet, x.path, "Range", fmt.Sprintf("bytes=%d-", n+10)); code != 416 {
			t.Errorf("a range beyond %s: %d", x.path, code)
		}
		etag := h.Get("Etag")
		if x.holds == "" {
			continue
		}
		if len(etag) != 66 || etag[0] != '"' {
			t.Errorf("%s: ETag %s", x.path, etag)
		}
		if code, _, m := ask(http.MethodGet, x.path, "If-None-Match", etag); code != 304 || m != 0 {
			t.Errorf("If-None-Match %s: %d", x.path, code)
		}
		if code, _, m := ask(http.MethodGet, x.path, "Range", "bytes=2-4", "If-Range", etag); code != 206 || m != 3 {
			t.Errorf("If-Range %s: %d", x.path, code)
		}
		if code, _, m := ask(http.MethodGet, x.path, "Range", "bytes=2-4", "If-Range", `"other"`); code != 200 || m != n {
			t.Errorf("If-Range of another %s: %d", x.path, code)
		}
	}
}

// TestWhoWaitsForWhom: one upstream wants to be left alone for ten years; another, which
// failed once, is asked again after its own pause.
func TestWhoWaitsForWhom(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	for name, after := range map[string]string{"seconds": "315360000", "a date": "Fri, 01 Jan 2100 00:00:00 GMT"} {
		limited := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			http.Error(w, "later", http.StatusTooManyRequests)
		}))
		u := healthy(f)
		u.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if u.requests("") > 1 {
				return false
			}
			http.Error(w, "once", http.StatusInternalServerError)
			return true
		}
		url, _ := start(t, limited+","+serve(t, u), nil)
		if code, got := get(t, url+at+".mod"); code != 200 || got != string(f.mod) {
			t.Errorf("%s: %d %s", name, code, got)
		}
	}
}
