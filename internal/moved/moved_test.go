package moved

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// answers is a transport of canned answers, by URL; all else is not found.
type answers struct {
	table map[string]string // "200 body", "301 URL"
	asked []*http.Request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	rec := httptest.NewRecorder()
	line, ok := a.table[r.URL.String()]
	code, rest, _ := strings.Cut(line, " ")
	switch {
	case !ok:
		rec.WriteHeader(http.StatusNotFound)
	case code == "301":
		rec.Header().Set("Location", rest)
		rec.WriteHeader(http.StatusMovedPermanently)
	case code == "401":
		rec.WriteHeader(http.StatusUnauthorized)
	case code == "error":
		return nil, errors.New(rest)
	default:
		_, _ = rec.WriteString(rest)
	}
	return rec.Result(), nil
}

// public lets everything be asked of one proxy.
func public(base string) func(string) Route {
	return func(string) Route {
		u, err := url.Parse(base)
		if err != nil {
			panic(err)
		}
		return Route{Proxies: []*url.URL{u}, Code: true}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	list := []string{"v0.9.0", "v1.0.0", "v1.2.0", "v1.2.3", "v1.3.0", "v1.21.0", "v1.22.0-rc.1"}
	for asked, want := range map[string]string{
		"v1.2.9": "v1.2.3", "v1.2.1": "v1.2.0", "v1.99.0": "v1.21.0", "v0.1.0": "v0.9.0", "1.3": "v1.3.0", "v1.12.0": "v1.21.0",
		"v1.4.0": "v1.3.0", "v1.0.0-beta.1": "v1.0.0", "v2.0.0": "", "v1.22.0-rc.3": "v1.22.0-rc.1", "master": "v1.21.0",
		"v1.2.4-0.20251201000000-deadbeefcafe": "v1.3.0", "v0.0.0-20251201000000-deadbeefcafe": "v0.9.0",
		"v1.3.0-rc.1.0.20251201000000-deadbeefcafe": "v1.3.0",
	} {
		if got := nearest(list, asked, func(string) bool { return false }); got != want {
			t.Errorf("nearest to %s is %q, want %q", asked, got, want)
		}
	}
	if got := nearest(list, "v1.2.9", func(v string) bool { return v == "v1.2.3" }); got != "v1.2.0" {
		t.Errorf("a retracted version is passed over: %s", got)
	}
}

func TestAsVersion(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"1.2.3": "v1.2.3", "V1.2.3": "v1.2.3", "vv1.2": "v1.2", "v1.02.3": "v1.2.3", "v1.2.3.4": "v1.2.3", "latest": "latest", "master": "master",
		"=1.2.3": "v1.2.3", "v1.2.x": "v1.2.x", "": "", "0123456789ab": "0123456789ab", "1.0.0-rc.1+meta": "v1.0.0-rc.1+meta",
	} {
		if got := asVersion(typed); got != want {
			t.Errorf("asVersion(%q) is %q, want %q", typed, got, want)
		}
	}
}

// TestBudget: a proxy that leads on and on, and a name with many candidates, make no more
// than the requests allowed.
func TestBudget(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{}}
	for _, p := range []string{"github.com/a/b/c/d/e", "github.com/sirupsem/logruss/v3", "github.com/Strechr/Testfy/v9@v9.0.0", "gopkg.in/yaml"} {
		path, version, _ := strings.Cut(p, "@")
		a.asked = nil
		r := Find(t.Context(), Question{Ecosystem: Go, Path: path, Version: version}, Options{Transport: a, Route: public("https://proxy.example.org")})
		if len(a.asked) > MaxRequests || len(r.Requests) != len(a.asked) {
			t.Errorf("%s: %d requests, %d told", p, len(a.asked), len(r.Requests))
		}
	}
	loop := &answers{table: map[string]string{}}
	for i := range 30 {
		loop.table["https://proxy.example.org/github.com/a/b/@v/list"+strings.Repeat("x", i)] = "301 https://proxy.example.org/github.com/a/b/@v/list" + strings.Repeat("x", i+1)
	}
	if Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/a/b", Version: "v1.0.0"}, Options{Transport: loop, Route: public("https://proxy.example.org")}); len(loop.asked) > 4 {
		t.Errorf("a chain of redirects is followed %d times", len(loop.asked))
	}
}

// TestWantsLogin: a registry that wants one is sent none, and who can ask it is told.
func TestWantsLogin(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{
		"https://r.example.org/example.com/x/@v/list": "401 ", "https://r.example.org/@acme%2fx": "401 ", "https://r.example.org/x/": "401 ",
	}}
	for _, x := range []struct {
		q    Question
		want string
	}{
		{Question{Ecosystem: Go, Path: "example.com/x"}, "go list -m -versions example.com/x"},
		{Question{Ecosystem: Npm, Path: "@acme/x"}, "npm view @acme/x versions"},
		{Question{Ecosystem: PyPI, Path: "x"}, "python3 -m pip index versions x"},
	} {
		r := Find(t.Context(), x.q, Options{Transport: a, Route: public("https://bob:s3cret@r.example.org")})
		if !slices.ContainsFunc(r.Seen, func(s Seen) bool {
			return strings.Contains(s.Said.In(msg.EN), "401, and keepwell sends no login") && strings.HasSuffix(s.Said.In(msg.EN), x.want)
		}) {
			t.Errorf("%v: %+v", x.q, r.Seen)
		}
	}
	for _, r := range a.asked {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("a login for %s", r.URL)
		}
	}
}

// TestUnlisted: a module that was never released, and the go.mod of the commit asked calls
// it otherwise; and one of which go itself has read that.
func TestUnlisted(t *testing.T) {
	t.Parallel()
	const commit = "v0.0.0-20210508222113-6edffad5e616"
	a := &answers{table: map[string]string{
		"https://proxy.example.org/example.com/lint/@v/list":                  "200 ",
		"https://proxy.example.org/example.com/lint/@v/" + commit + ".mod":    "200 module example.org/x/lint\n",
		"https://proxy.example.org/example.org/x/lint/@v/list":                "200 ",
		"https://proxy.example.org/example.org/x/lint/@v/" + commit + ".info": "200 {}",
		"https://proxy.example.org/example.com/tagged/@v/list":                "200 v1.0.0\nv1.1.0\n",
		"https://proxy.example.org/example.com/tagged/@v/v1.1.0.mod":          "200 module example.com/tagged\n",
		"https://proxy.example.org/example.org/tagged/@v/list":                "200 v1.0.0\n",
		"https://example.org/tagged?go-get=1":                                 `200 <meta name="go-import" content="example.org/tagged git https://example.com/tagged">`,
		"https://example.org/x/lint?go-get=1":                                 `200 <meta name="go-import" content="example.org/x/lint git https://example.com/lint">`,
	}}
	for _, x := range []struct {
		q    Question
		want string
	}{
		{Question{Ecosystem: Go, Path: "example.com/lint", Version: commit}, "example.org/x/lint@" + commit},
		{Question{Ecosystem: Go, Path: "example.com/tagged", Version: "v1.0.0", Declares: "example.org/tagged"}, "example.org/tagged@v1.0.0"},
	} {
		a.asked = nil
		r := Find(t.Context(), x.q, Options{Transport: a, Route: public("https://proxy.example.org")})
		if len(r.Proposals) == 0 || r.Proposals[0].To+"@"+r.Proposals[0].Version != x.want || r.Proposals[0].Confidence < 0.9 || len(a.asked) > MaxRequests || r.Lost {
			t.Errorf("%v: %d requests, %+v", x.q, len(a.asked), r)
		}
	}
}

// TestMixed: what go takes for the newest is not what comes last where +incompatible
// versions follow modules: the deprecation stands in the go.mod of the module.
func TestMixed(t *testing.T) {
	t.Parallel()
	table := map[string]string{
		"https://proxy.example.org/example.com/mux/@v/list":                    "200 v1.5.4\nv4.1.2+incompatible\n",
		"https://proxy.example.org/example.com/mux/@latest":                    `200 {"Version":"v1.5.4"}`,
		"https://proxy.example.org/example.com/mux/@v/v1.5.4.mod":              "200 // Deprecated: use example.com/mux/v5\nmodule example.com/mux\n",
		"https://proxy.example.org/example.com/mux/@v/v4.1.2+incompatible.mod": "200 module example.com/mux\n",
		"https://proxy.example.org/example.com/mux/v5/@v/list":                 "200 v5.0.0\n",
	}
	for _, latest := range []bool{true, false} {
		if !latest {
			delete(table, "https://proxy.example.org/example.com/mux/@latest")
		}
		r := Find(t.Context(), Question{Ecosystem: Go, Path: "example.com/mux", Version: "v1.5.4"}, Options{Transport: &answers{table: table}, Route: public("https://proxy.example.org")})
		if len(r.Proposals) == 0 || r.Proposals[0].To != "example.com/mux/v5" || r.Proposals[0].Kind != Deprecated {
			t.Errorf("@latest %v: %+v", latest, r)
		}
	}
}

// TestLogins: no registry is sent one; an API gets the token of its own host only.
func TestLogins(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{
		"https://proxy.example.org/github.com/acme/relic/@v/list":       "200 v1.0.0\n",
		"https://proxy.example.org/github.com/acme/relic/@v/v1.0.0.mod": "200 module github.com/acme/relic\n",
		"https://github.com/acme/relic":                                 "200 page",
		"https://api.github.com/repos/acme/relic":                       "301 https://evil.example.org/",
	}}
	Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/acme/relic", Version: "v1.1.0"}, Options{
		Transport: a, Route: public("https://user:s3cret@proxy.example.org"), Tokens: map[string]string{"api.github.com": "t0ken", "gitlab.com": "other"},
	})
	sent := 0
	for _, r := range a.asked {
		if strings.Contains(r.URL.String(), "s3cret") || r.URL.User != nil {
			t.Errorf("a login in %s", r.URL)
		}
		for k, v := range r.Header {
			if strings.Contains(strings.Join(v, ""), "t0ken") || strings.Contains(strings.Join(v, ""), "other") {
				sent++
				if r.URL.Host != "api.github.com" || r.URL.Scheme != "https" {
					t.Errorf("%s of %s holds a token", k, r.URL)
				}
			}
		}
	}
	if sent != 1 {
		t.Errorf("the token was sent %d times", sent)
	}
}

// TestPrivateAddresses: a name that resolves into a private network is refused, unless
// the settings name the host.
func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	get := func(m Machine) error {
		tr := NewTransport(m)
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := get(Machine{}); !errors.Is(err, errPrivate) || hits.Load() != 0 {
		t.Errorf("loopback is asked: %v", err)
	}
	if err := get(Machine{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(srv.URL) }}); !errors.Is(err, errPrivate) || hits.Load() != 0 {
		t.Errorf("loopback is asked through a proxy: %v", err)
	}
	if err := get(Machine{Configured: []string{"127.0.0.1"}}); err != nil || hits.Load() != 1 {
		t.Errorf("a configured host is refused: %v", err)
	}
}

// TestSilent: a server that says nothing costs what the caller allows.
func TestSilent(t *testing.T) {
	t.Parallel()
	hang := roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	began := time.Now()
	r := Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/sirupsen/logruss", Version: "v1.9.3"}, Options{Transport: hang, Route: public("https://proxy.example.org"), All: 100 * time.Millisecond})
	if time.Since(began) > 20*time.Second || len(r.Proposals) != 1 || r.Proposals[0].To != "github.com/sirupsen/logrus" {
		t.Errorf("%+v", r)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestFork: a module that calls itself by another's name without its host leading there
// is most likely a fork.
func TestFork(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{
		"https://p.example.org/github.com/me/logrus/@v/list":             "200 v1.9.4\n",
		"https://p.example.org/github.com/me/logrus/@v/v1.9.4.mod":       "200 module github.com/sirupsen/logrus\n",
		"https://p.example.org/github.com/sirupsen/logrus/@v/list":       "200 v1.9.3\n",
		"https://p.example.org/github.com/sirupsen/logrus/@v/v1.9.3.mod": "200 module github.com/sirupsen/logrus\n",
		"https://github.com/me/logrus":                                   "200 page",
	}}
	r := Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/me/logrus", Version: "v1.9.4"}, Options{Transport: a, Route: public("https://p.example.org")})
	if len(r.Proposals) != 1 || r.Proposals[0].Confidence > 0.5 || r.Proposals[0].Caution.IsZero() {
		t.Errorf("%+v", r.Proposals)
	}
}

// TestLookalike: a name that exists, a hair from a trusted one, is told of with a warning.
func TestLookalike(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{
		"https://p.example.org/github.com/sirupsem/logrus/@v/list":       "200 v1.9.3\n",
		"https://p.example.org/github.com/sirupsem/logrus/@v/v1.9.3.mod": "200 module github.com/sirupsem/logrus\n",
		"https://github.com/sirupsem/logrus":                             "200 page",
	}}
	r := Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/sirupsem/logrus", Version: "v1.9.3"}, Options{Transport: a, Route: public("https://p.example.org")})
	if len(r.Proposals) != 1 || r.Proposals[0].To != "github.com/sirupsen/logrus" || !strings.Contains(r.Proposals[0].Caution.In(msg.EN), "belongs to somebody else") {
		t.Errorf("%+v", r.Proposals)
	}
	// And one that only the cache knows never comes before the trusted one, nor without a warning.
	here := Here{Cached: []module.Version{{Path: "github.com/sirupsem/logrus", Version: "v1.9.3"}}}
	r = Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/sirupsenm/logrus", Version: ""}, Options{Here: here})
	for i, p := range r.Proposals {
		if (p.To == "github.com/sirupsem/logrus") != !p.Caution.IsZero() || i == 0 && p.To != "github.com/sirupsen/logrus" {
			t.Errorf("%d: %+v", i, p)
		}
	}
}

// TestHostileTexts: what servers say ends nowhere but in evidence, cleaned.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	a := &answers{table: map[string]string{
		"https://p.example.org/github.com/acme/old/@v/list":       "200 v1.0.0\nv1.0.1;rm\nv9.9.9 x\n\x1b[31mv1.0.2\n",
		"https://p.example.org/github.com/acme/old/@v/v1.0.0.mod": "200 // Deprecated: use -x or $(rm) or \x1b[2J or evil.example.org/../x or https://user:pw@evil.example.org/y now\nmodule github.com/acme/old\n",
		"https://github.com/acme/old":                             "301 https://github.com/acme/new$(rm)",
	}}
	r := Find(t.Context(), Question{Ecosystem: Go, Path: "github.com/acme/old", Version: "v1.0.7"}, Options{Transport: a, Route: public("https://p.example.org")})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "pw@") || strings.Contains(string(data), `\u001b`) {
		t.Errorf("%s", data)
	}
	for _, p := range r.Proposals {
		if p.To != "" && !keepwell.ValidFact("module", p.To) || strings.ContainsAny(p.To+p.Version, "$;()\x1b") {
			t.Errorf("%+v", p)
		}
	}
}

func TestGoHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) string {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	gomod := put("go.mod", "module x\nrequire (\n\tgithub.com/a/b v1.0.0\n\tgithub.com/c/d 1.2.3\n\tgithub.com/lost/one v1.0.0 // indirect\n)\n") // no go.mod: a version without v
	gosum := put("go.sum", "github.com/a/b v1.0.0 h1:x=\ngithub.com/a/b v1.0.0/go.mod h1:x=\nnonsense\n")
	put("mod/cache/download/github.com/!burnt!sushi/toml/@v/v1.3.2.zip", "")
	put("mod/cache/download/github.com/!burnt!sushi/toml/@v/v1.3.1.mod", "")
	put("mod/cache/download/sumdb/x/@v/v1.0.0.zip", "")
	h := GoHere(t.Context(), gomod, gosum, filepath.Join(dir, "mod"), "github.com/lost/one")
	if len(h.Required) != 1 || h.Required[0].Path != "github.com/a/b" {
		t.Errorf("required: %v", h.Required)
	}
	if len(h.Summed) != 2 || len(h.Cached) != 1 || h.Cached[0] != (module.Version{Path: "github.com/BurntSushi/toml", Version: "v1.3.2"}) {
		t.Errorf("summed %v, cached %v", h.Summed, h.Cached)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if h := GoHere(ended, gomod, gosum, filepath.Join(dir, "mod"), ""); len(h.Cached) != 0 {
		t.Error("the cache is listed after the end")
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"This package has been moved to @babel/core.":        {"@babel/core"},
		"Please use 'newname' instead":                       {"newname"},
		"no longer maintained":                               nil,
		"use the latest version":                             nil,
		"Package renamed to `new-name`; see https://x.org/y": {"new-name"},
	} {
		if got := named(text); !slices.Equal(got, want) {
			t.Errorf("%q names %v, want %v", text, got, want)
		}
	}
}

func TestFileVersion(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"requests-2.31.0-py3-none-any.whl": "2.31.0", "scikit-learn-1.4.0.tar.gz": "1.4.0", "x.exe": "", "a-1.0-1-py3-none-any.whl": "1.0",
	} {
		if got := fileVersion(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Owner{
		"github.com/acme/x/v2": {"github.com/acme", "https://github.com/acme"}, "go.acme.dev/kit": {Name: "go.acme.dev"}, "https://github.com/acme/x": {"github.com/acme", "https://github.com/acme"},
	} {
		if got := ownerOf(Question{Ecosystem: Go, Path: path}); got != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// FuzzFind: whatever is asked and answered, nothing breaks, and what is proposed is whole.
func FuzzFind(f *testing.F) {
	f.Add("github.com/sirupsen/logruss", "v1.9.3", "v1.0.0\nv2.0.0+incompatible\n", "// Deprecated: use example.org/x/y\nmodule a.b/c\nretract v1.0.0\n", "https://github.com/x/y")
	f.Add("gopkg.in/yaml", "3", "", "<meta name=\"go-import\" content=\"a.b/c git https://x/y\">", "//x")
	f.Add("npm:lodahs", "1.0", `{"versions":{"1.0.0":{"deprecated":"use @a/b"}},"dist-tags":{"latest":"1.0.0"}}`, "", "")
	f.Add("pypi:Sk_learn", "1", `<a href="x">sklearn-1.0.tar.gz</a>`, "", "")
	f.Fuzz(func(t *testing.T, path, version, list, mod, location string) {
		eco := Go
		for prefix, e := range map[string]Ecosystem{"npm:": Npm, "pypi:": PyPI} {
			if rest, ok := strings.CutPrefix(path, prefix); ok {
				eco, path = e, rest
			}
		}
		n := 0
		tr := roundTrip(func(r *http.Request) (*http.Response, error) {
			n++
			rec := httptest.NewRecorder()
			switch {
			case strings.HasSuffix(r.URL.Path, ".mod"):
				_, _ = rec.WriteString(mod)
			case r.URL.Host != "p.example.org":
				rec.Header().Set("Location", location)
				rec.WriteHeader(http.StatusMovedPermanently)
			default:
				_, _ = rec.WriteString(list)
			}
			return rec.Result(), nil
		})
		if path == "" {
			return
		}
		r := Find(t.Context(), Question{Ecosystem: eco, Path: path, Version: version}, Options{Transport: tr, Route: public("https://p.example.org")})
		if n > MaxRequests {
			t.Errorf("%d requests", n)
		}
		for _, p := range r.Proposals {
			if err := p.Validate(); err != nil {
				t.Errorf("%+v: %v", p, err)
			}
		}
	})
}

// BenchmarkSpelling is what the offline half costs a name.
func BenchmarkSpelling(b *testing.B) {
	for b.Loop() {
		spelling.Paths("github.com/sirupsne/logruss", nil)
	}
}
