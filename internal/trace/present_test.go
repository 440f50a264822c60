package trace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
)

// choosy is a module proxy whose modules are named after what it answers for them.
type choosy struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // METHOD path
	hangs atomic.Int64
}

func newChoosy(t *testing.T) *choosy {
	t.Helper()
	c := &choosy{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/example.com/"), "/")
		switch name {
		case "has":
			_, _ = w.Write([]byte("zip"))
		case "noheads":
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		case "signed": // by whom only GET was allowed
			if r.URL.RawQuery == "" {
				http.Redirect(w, r, r.URL.Path+"?sig=canary", http.StatusFound)
			} else if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
			}
		case "page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<html>log in</html>"))
		case "gone":
			w.WriteHeader(http.StatusGone)
		case "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "hangs":
			c.hangs.Add(1)
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *choosy) count(part string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.asked {
		if strings.Contains(a, part) {
			n++
		}
	}
	return n
}

func zipOf(name string) Wanted {
	return Wanted{Version: module.Version{Path: "example.com/" + name, Version: "v1.0.0"}, Kind: route.Zip}
}

func askAll(t *testing.T, o Options, proxies string, wants ...Wanted) []Presence {
	t.Helper()
	o.Config.Env = goenv.Env{"GOPROXY": {Value: proxies, Origin: goenv.FromOS}, "GOAUTH": {Value: "off", Origin: goenv.FromOS}}
	got, err := Present(t.Context(), o, wants, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestPresent: what each kind of answer means, by the separators of GOPROXY.
func TestPresent(t *testing.T) {
	t.Parallel()
	a := newChoosy(t)
	b := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // has all
	defer b.Close()
	dir := t.TempDir()
	for _, name := range []string{"has/@v/v1.0.0.zip", "has/@v/v1.0.0.mod", "nomod/@v/v1.0.0.zip"} {
		name = filepath.Join(dir, "example.com", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	host := strings.TrimPrefix(a.URL, "http://")
	const (
		comes, absent, silent, off = "comes", "absent", "silent", "off"
	)
	for _, c := range []struct{ proxies, module, want, says string }{
		{a.URL, "has", comes, ""},
		{a.URL, "noheads", comes, ""},
		{a.URL, "signed", comes, ""},
		{a.URL, "lacks", absent, host + ": 404 Not Found"},
		{a.URL, "gone", absent, host + ": 410 Gone"},
		{a.URL, "forbidden", silent, host + ": 403 Forbidden"},
		{a.URL, "broken", silent, host + ": 500 Internal Server Error"},
		{a.URL, "page", silent, host + ": the answer is a web page"},
		{a.URL + "," + b.URL, "lacks", comes, ""},
		{a.URL + "," + b.URL, "gone", comes, ""},
		{a.URL + "," + b.URL, "forbidden", silent, host + ": 403 Forbidden"},
		{a.URL + "|" + b.URL, "forbidden", comes, ""},
		{a.URL + "|" + b.URL, "page", comes, ""},
		{a.URL + ",off", "lacks", absent, host + ": 404 Not Found"},
		{"off", "has", off, "module lookup disabled by GOPROXY=off"},
		{"file://" + filepath.ToSlash(dir), "has", comes, ""},
		{"file://" + filepath.ToSlash(dir), "nomod", absent, mask.Text("file://"+filepath.ToSlash(dir)+"/example.com/nomod/@v/v1.0.0.zip") + ": 404 Not Found"},
		{"file://" + filepath.ToSlash(dir) + "," + a.URL, "lacks", absent, host + ": 404 Not Found"},
	} {
		p := askAll(t, Options{}, c.proxies, zipOf(c.module))[0]
		got := silent
		switch {
		case p.OK:
			got = comes
		case p.NotFound:
			got = absent
		case p.Off:
			got = off
		}
		if got != c.want || p.Says != c.says {
			t.Errorf("%s at %s: %s, %q; want %s, %q", c.module, c.proxies, got, p.Says, c.want, c.says)
		}
	}
	if n := a.count("GET /example.com/has/"); n > 0 {
		t.Errorf("what HEAD granted was fetched %d times", n)
	}
}

// TestPresentOfSilence: a host that keeps silent costs one round of waiting, however
// much there is to ask for; what others have is told all the same.
func TestPresentOfSilence(t *testing.T) {
	t.Parallel()
	a := newChoosy(t)
	var wants []Wanted
	for i := range 200 {
		w := zipOf("hangs")
		w.Version.Version = fmt.Sprintf("v1.0.%d", i)
		wants = append(wants, w)
	}
	got := askAll(t, Options{Silent: 300 * time.Millisecond}, a.URL, wants...)
	for i, p := range got {
		if p.OK || p.NotFound || p.Off || !strings.Contains(p.Says, errSilent.Error()) {
			t.Fatalf("%d: %+v", i, p)
		}
	}
	if n := a.hangs.Load(); n > presentAskers {
		t.Errorf("it was asked %d times", n)
	}
}

// TestPresentEnds: what is not asked in time is not there, and a caller who leaves gets
// an error.
func TestPresentEnds(t *testing.T) {
	t.Parallel()
	a := newChoosy(t)
	got := askAll(t, Options{Silent: time.Hour, All: 300 * time.Millisecond}, a.URL, zipOf("hangs"), zipOf("has"))
	if got[0].OK || !got[1].OK {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errForbidden)
	o := Options{Config: route.Config{Env: goenv.Env{"GOPROXY": {Value: a.URL}}}}
	if _, err := Present(ctx, o, []Wanted{zipOf("has")}, nil); !errors.Is(err, errForbidden) {
		t.Errorf("error %v", err)
	}
}

// TestPresentAmongMany: each answer stands in the place of its question.
func TestPresentAmongMany(t *testing.T) {
	t.Parallel()
	a := newChoosy(t)
	var wants []Wanted
	var want []bool
	for i := range 100 {
		name := "has"
		if i%3 == 0 {
			name = "lacks"
		}
		w := zipOf(name)
		w.Version.Version = fmt.Sprintf("v1.0.%d", i)
		wants, want = append(wants, w), append(want, name == "has")
	}
	var got []bool
	for _, p := range askAll(t, Options{}, a.URL, wants...) {
		got = append(got, p.OK)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
