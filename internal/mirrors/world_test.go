package mirrors_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell/internal/mirrors"
)

// The module that everybody has, its files and its sums.
const (
	widget  = "example.com/widget"
	widgetV = "v1.0.0"
	goMod   = "module example.com/widget\n"
)

func goAsk() mirrors.Ask {
	return mirrors.Ask{Path: widget, Version: widgetV, Fresh: []string{"example.com/a", "example.com/b"}, Absent: "example.com/absent"}
}

func widgetZip(t *testing.T, text string) (data []byte, sum string) {
	t.Helper()
	content := map[string]string{"go.mod": goMod, "widget.go": text}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	var names []string
	for _, n := range []string{"go.mod", "widget.go"} {
		name := widget + "@" + widgetV + "/" + n
		names = append(names, name)
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, content[n])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content[strings.TrimPrefix(name, widget+"@"+widgetV+"/")])), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), sum
}

// keys are those of a checksum database called sum.example.org.
func keys(t *testing.T, seed string) (signer, verifier string) {
	t.Helper()
	signer, verifier, err := note.GenerateKey(strings.NewReader(strings.Repeat(seed, 32)), "sum.example.org")
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// rule answers paths that end so.
type rule struct {
	suffix string
	answer http.HandlerFunc
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html><body>Please sign in</body></html>")
}

func to(at string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, at+r.URL.Path, http.StatusFound) }
}

// goMirror is a mirror that behaves, but for its rules; the first that fits decides.
func goMirror(t *testing.T, signer string, rules ...rule) http.Handler {
	t.Helper()
	data, zipSum := widgetZip(t, "package widget\n")
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(goMod)), nil })
	if err != nil {
		t.Fatal(err)
	}
	db := sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if path != widget {
			return nil, fmt.Errorf("not found: %s", path)
		}
		return fmt.Appendf(nil, "%s %s %s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, zipSum, modSum), nil
	}))
	files := map[string]string{
		"/example.com/widget/@v/v1.0.0.info": `{"Version":"v1.0.0"}`,
		"/example.com/widget/@v/v1.0.0.mod":  goMod,
		"/example.com/widget/@v/v1.0.0.zip":  string(data),
		"/example.com/a/@v/list":             "v1.2.0\nv1.10.0\nv2.0.0-rc.1\n",
		"/example.com/b/@v/list":             "v0.1.0\n",
		"/sumdb/sum.example.org/supported":   "",
	}
	return serving(files, http.StripPrefix("/sumdb/sum.example.org", db), rules)
}

// serving answers by rules, then files, then other, then "not found".
func serving(files map[string]string, other http.Handler, rules []rule) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, f := range rules {
			if strings.HasSuffix(r.URL.Path, f.suffix) {
				f.answer(w, r)
				return
			}
		}
		body, ok := files[r.URL.Path]
		switch {
		case ok:
			_, _ = io.WriteString(w, body)
		case other != nil && strings.HasPrefix(r.URL.Path, "/sumdb/"):
			other.ServeHTTP(w, r)
		default:
			http.Error(w, "not found", http.StatusNotFound)
		}
	})
}

func start(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func mirror(eco mirrors.Ecosystem, name, at string) mirrors.Mirror {
	return mirrors.Mirror{Name: name, URL: at, Ecosystem: eco, Origin: mirrors.FromCatalogue}
}

// wide are limits that no machine under load meets.
func wide(t *testing.T) mirrors.Options {
	_, verifier := keys(t, "k")
	return mirrors.Options{SumDB: verifier, Each: time.Minute, All: 2 * time.Minute}
}

// measured looks at a mirror beside one that behaves.
func measured(t *testing.T, eco mirrors.Ecosystem, ask mirrors.Ask, o mirrors.Options, good, at string) mirrors.Measured {
	t.Helper()
	list := mirrors.Measure(t.Context(), []mirrors.Mirror{mirror(eco, "good", good), mirror(eco, "other", at)}, ask, o)
	if g := byName(list, "good"); !g.Usable || g.Score < 30 || len(g.Redirects) > 0 {
		t.Fatalf("the good mirror: %+v", g)
	}
	return byName(list, "other")
}

func byName(list []mirrors.Measured, name string) mirrors.Measured {
	return list[slices.IndexFunc(list, func(m mirrors.Measured) bool { return m.Name == name })]
}

// dead is an address where nobody listens.
func dead() string {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	return srv.URL
}

func keysOf(m mirrors.Measured) string {
	return strings.Join([]string{short(m.Protocol), short(m.Sums), short(m.Fresh), short(m.Speed)}, " ")
}

func short(c mirrors.Check) string { return strings.TrimPrefix(c.Key, "mirrors.") }

// silent answers nothing until the test ends.
func silent(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}
}

func TestGoMirrorsThatMisbehave(t *testing.T) {
	t.Parallel()
	signer, _ := keys(t, "k")
	liar, _ := keys(t, "x")
	otherZip, _ := widgetZip(t, "package widget // changed\n")
	good := start(t, goMirror(t, signer))
	fine := "protocol.right sums.proved fresh.newest speed"
	for _, row := range []struct {
		name   string
		at     string
		want   string
		usable bool
	}{
		{"another good one", start(t, goMirror(t, signer)), fine, true},
		{"a slash at the end", start(t, goMirror(t, signer)) + "/", fine, true},
		{"pages for all", start(t, http.HandlerFunc(page)), "protocol.page why.below why.below why.below", false},
		{"a page for what is absent", start(t, goMirror(t, signer, rule{"/example.com/absent/@v/list", page})), "protocol.invents sums.proved fresh.newest speed", false},
		{"403 for what is absent", start(t, goMirror(t, signer, rule{"/example.com/absent/@v/list", status(403, "no")})), "protocol.stops sums.proved fresh.newest speed", true},
		{"410 for what is absent", start(t, goMirror(t, signer, rule{"/example.com/absent/@v/list", status(410, "gone")})), fine, true},
		{"stale", start(t, goMirror(t, signer, rule{"/a/@v/list", text("v1.2.0\nv1.9.0\n")})), "protocol.right sums.proved fresh.behind speed", true},
		{"a page for lists", start(t, goMirror(t, signer, rule{"/@v/list", page})), "protocol.invents sums.proved why.time speed", false},
		{"no checksum database", start(t, goMirror(t, signer, rule{"/supported", status(404, "")})), "protocol.right sums.direct fresh.newest speed", true},
		{"forbids the checksum database", start(t, goMirror(t, signer, rule{"/supported", status(403, "")})), "protocol.right sums.stops fresh.newest speed", false},
		{"says yes and has none", start(t, goMirror(t, signer, rule{"@v1.0.0", status(404, "")})), "protocol.right sums.stops fresh.newest speed", false},
		{"a page as checksum database", start(t, goMirror(t, signer, rule{"@v1.0.0", page})), "protocol.right sums.bad fresh.newest speed", false},
		{"another's signature", start(t, goMirror(t, liar)), "protocol.right sums.bad fresh.newest speed", false},
		{"another .info", start(t, goMirror(t, signer, rule{".info", text(`{"Version":"v1.0.1"}`)})), "protocol.wrong why.below why.below why.below", false},
		{"another module's .mod", start(t, goMirror(t, signer, rule{".mod", text("module example.com/other\n")})), "protocol.wrong sums.proved fresh.newest speed", false},
		{"a changed .mod", start(t, goMirror(t, signer, rule{".mod", text(goMod + "\nrequire example.com/evil v1.0.0\n")})), "protocol.other sums.proved fresh.newest speed", false},
		{"a changed zip", start(t, goMirror(t, signer, rule{".zip", text(string(otherZip))})), "protocol.other sums.proved fresh.newest speed", false},
		{"a changed zip and no database", start(t, goMirror(t, signer, rule{".zip", text(string(otherZip))}, rule{"/supported", status(404, "")})), "protocol.other sums.direct fresh.newest speed", false},
		{"no zip", start(t, goMirror(t, signer, rule{".zip", text("Please sign in")})), "protocol.other sums.proved fresh.newest speed", false},
		{"a page as zip", start(t, goMirror(t, signer, rule{".zip", page})), "protocol.page sums.proved fresh.newest why.below", false},
		{"zip missing", start(t, goMirror(t, signer, rule{".zip", status(404, "")})), "protocol.status sums.proved fresh.newest why.below", false},
		{"zip forbidden", start(t, goMirror(t, signer, rule{".zip", status(403, "")})), "protocol.right sums.proved fresh.newest why.status", true},
		{"wants a login", start(t, status(401, "")), "why.login why.login why.login why.login", false},
		{"fails", start(t, status(500, "")), "protocol.status why.below why.below why.below", false},
		{"dead", dead(), "why.refused why.refused why.refused why.refused", false},
		{"no such name", "http://mirror.invalid", "why.dns why.dns why.dns why.dns", false},
		{"metadata", "http://169.254.169.254", "why.forbidden why.forbidden why.forbidden why.forbidden", false},
		{"a list without end", start(t, goMirror(t, signer, rule{"/a/@v/list", text(strings.Repeat("v1.99.0\n", 1<<18))})), fine, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, mirrors.Go, goAsk(), wide(t), good, row.at)
			if got := keysOf(m); got != row.want || m.Usable != row.usable || m.Usable != (m.Score > 0) || m.Usable != (m.Rank > 0) {
				t.Errorf("got %s, usable %v, score %d, rank %d, want %s, %v", got, m.Usable, m.Score, m.Rank, row.want, row.usable)
			}
		})
	}
}

func TestListThatIsOffered(t *testing.T) {
	t.Parallel()
	signer, _ := keys(t, "k")
	good := start(t, goMirror(t, signer))
	m := measured(t, mirrors.Go, goAsk(), wide(t), good, start(t, goMirror(t, signer, rule{"/absent/@v/list", status(403, "no")})))
	if want := m.URL + "|direct"; m.Offered() != want || !m.Stops {
		t.Errorf("offers %s, want %s", m.Offered(), want)
	}
}

func TestRedirectHosts(t *testing.T) {
	t.Parallel()
	signer, _ := keys(t, "k")
	good := start(t, goMirror(t, signer))
	m := measured(t, mirrors.Go, goAsk(), wide(t), good, start(t, goMirror(t, signer, rule{".zip", to(good)})))
	if want := []string{strings.TrimPrefix(good, "http://")}; !slices.Equal(m.Redirects, want) || !m.Usable {
		t.Errorf("redirects to %v, want %v: %+v", m.Redirects, want, m)
	}
	loop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }))
	if m := measured(t, mirrors.Go, goAsk(), wide(t), good, loop); short(m.Protocol) != "why.redirects" || m.Usable {
		t.Errorf("a loop: %+v", m)
	}
}

// TestChosenDownload: that a mirror does not have what the user chose is no fault of it.
func TestChosenDownload(t *testing.T) {
	t.Parallel()
	signer, _ := keys(t, "k")
	other, _ := widgetZip(t, "package widget // of another module\n")
	good := goMirror(t, signer, rule{"/example.com/big/@v/v1.0.0.zip", text(string(other))})
	ask := goAsk()
	ask.FilePath, ask.FileVersion = "example.com/big", "v1.0.0"
	m := measured(t, mirrors.Go, ask, wide(t), start(t, good), start(t, goMirror(t, signer)))
	if got := keysOf(m); got != "protocol.right sums.proved fresh.newest why.status" || !m.Usable {
		t.Errorf("got %s", got)
	}
	list := mirrors.Measure(t.Context(), []mirrors.Mirror{mirror(mirrors.Go, "m", start(t, good))}, ask, wide(t))
	if short(list[0].Speed) != "speed" || !list[0].Usable {
		t.Errorf("got %+v", list[0])
	}
}

// TestDeadlinesEnd: a mirror that says nothing, or stops in the middle, ends with the
// time that it has, and the others are measured all the same.
func TestDeadlinesEnd(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t, "k")
	data, _ := widgetZip(t, "package widget\n")
	stalled := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(data)
		_ = http.NewResponseController(w).Flush()
		silent(t)(w, r)
	}
	list := mirrors.Measure(t.Context(), []mirrors.Mirror{
		mirror(mirrors.Go, "silent", start(t, silent(t))),
		mirror(mirrors.Go, "stalls", start(t, goMirror(t, signer, rule{".zip", stalled}))),
		mirror(mirrors.Go, "no database", start(t, goMirror(t, signer, rule{"/supported", silent(t)}))),
	}, goAsk(), mirrors.Options{SumDB: verifier, Each: time.Second, All: time.Minute})
	if m := byName(list, "silent"); short(m.Protocol) != "why.time" || m.Usable {
		t.Errorf("silent: %+v", m)
	}
	if m := byName(list, "stalls"); !m.Usable || short(m.Speed) != "speed" || m.BytesPerSecond > 10*float64(len(data)) {
		t.Errorf("stalls: %+v", m)
	}
	if m := byName(list, "no database"); !m.Usable || short(m.Sums) != "why.time" {
		t.Errorf("silent database: %+v", m)
	}
}

// TestSilentOnesLeaveTimeForDownloads: more silent mirrors than are asked at a time.
func TestSilentOnesLeaveTimeForDownloads(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t, "k")
	list := []mirrors.Mirror{mirror(mirrors.Go, "good", start(t, goMirror(t, signer)))}
	at := start(t, silent(t))
	for i := range 20 {
		list = append(list, mirror(mirrors.Go, fmt.Sprint(i), at))
	}
	got := mirrors.Measure(t.Context(), list, goAsk(), mirrors.Options{SumDB: verifier, Each: 2 * time.Second, All: 3 * time.Second})
	if m := byName(got, "good"); !m.Usable || short(m.Speed) != "speed" || got[0].Name != "good" {
		t.Errorf("got %+v", m)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	var once sync.Once
	at := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		silent(t)(w, r)
	}))
	go func() { <-asked; cancel() }()
	list := mirrors.Measure(ctx, []mirrors.Mirror{mirror(mirrors.Go, "silent", at)}, goAsk(), wide(t))
	if list[0].Usable || list[0].Score != 0 {
		t.Errorf("got %+v", list[0])
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	at := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	o := wide(t)
	o.Offline = true
	list := mirrors.Measure(t.Context(), []mirrors.Mirror{mirror(mirrors.Go, "m", at)}, goAsk(), o)
	if got := keysOf(list[0]); asked.Load() != 0 || got != "why.offline why.offline why.offline why.offline" || mirrors.Best(list) != nil {
		t.Errorf("asked %d times: %s", asked.Load(), got)
	}
	if c := mirrors.Direct(t.Context(), "sum.example.org", goAsk(), o); short(c) != "why.offline" {
		t.Errorf("direct: %+v", c)
	}
}

// TestThroughTheHTTPProxy: the proxy in force is used, and no login of an address goes
// anywhere.
func TestThroughTheHTTPProxy(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t, "k")
	behind := goMirror(t, signer)
	var asked, logins atomic.Int32
	proxy := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Host != "mirror.invalid" || r.Header.Get("Authorization") != "" {
			logins.Add(1)
		}
		behind.ServeHTTP(w, r)
	}))
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	o := mirrors.Options{SumDB: verifier, Each: time.Minute, All: time.Minute, Proxy: func(*url.URL) (*url.URL, error) { return u, nil }}
	list := mirrors.Measure(t.Context(), []mirrors.Mirror{mirror(mirrors.Go, "m", "http://bob:canary1@mirror.invalid")}, goAsk(), o)
	if !list[0].Usable || asked.Load() < 8 || logins.Load() != 0 {
		t.Errorf("asked %d times, %d with a login or for another: %+v", asked.Load(), logins.Load(), list[0])
	}
	if down, err := url.Parse(dead()); err == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return down, nil }
		list = mirrors.Measure(t.Context(), []mirrors.Mirror{mirror(mirrors.Go, "m", "https://mirror.invalid")}, goAsk(), o)
		if short(list[0].Protocol) != "why.proxy" {
			t.Errorf("without the proxy: %+v", list[0].Protocol)
		}
		if c := mirrors.Direct(t.Context(), "sum.invalid", goAsk(), o); short(c) != "why.proxy" {
			t.Errorf("the database without the proxy: %+v", c)
		}
	}
}

// npmMirror has one package of which the file lies with files.
func npmMirror(tarball, integrity string, rules ...rule) http.Handler {
	return serving(map[string]string{
		"/widget/1.0.0": fmt.Sprintf(`{"version":"1.0.0","dist":{"tarball":%q,"integrity":%q}}`, tarball, integrity),
		"/a/latest":     `{"version":"1.10.0"}`,
		"/f/widget.tgz": "the file",
	}, nil, rules)
}

func TestNpmMirrors(t *testing.T) {
	t.Parallel()
	ask := mirrors.Ask{Path: "widget", Version: "1.0.0", Fresh: []string{"a"}, Absent: "absent"}
	sum := sha512.Sum512([]byte("the file"))
	right := "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	good := start(t, npmMirror("/f/widget.tgz", right))
	for _, row := range []struct {
		name   string
		h      http.Handler
		want   string
		usable bool
	}{
		{"good", npmMirror("/f/widget.tgz", right), "protocol.right sums.none fresh.newest speed", true},
		{"files elsewhere", npmMirror(good+"/f/widget.tgz", right), "protocol.right sums.none fresh.newest speed", true},
		{"stale", npmMirror("/f/widget.tgz", right, rule{"/a/latest", text(`{"version":"1.9.0"}`)}), "protocol.right sums.none fresh.behind speed", true},
		{"another file", npmMirror("/f/widget.tgz", right, rule{".tgz", text("another")}), "protocol.other sums.none fresh.newest speed", false},
		{"pages", http.HandlerFunc(page), "protocol.page why.below why.below why.below", false},
		{"invents", npmMirror("/f/widget.tgz", right, rule{"/absent", text("{}")}), "protocol.invents sums.none fresh.newest speed", false},
		{"no file", npmMirror("", ""), "protocol.right sums.none fresh.newest why.nofile", true},
		{"a file over http of others", npmMirror("http://mirror.invalid/x.tgz", ""), "protocol.right sums.none fresh.newest why.nofile", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, mirrors.Npm, ask, mirrors.Options{Each: time.Minute, All: time.Minute}, good, start(t, row.h))
			if got := keysOf(m); got != row.want || m.Usable != row.usable {
				t.Errorf("got %s, usable %v, want %s", got, m.Usable, row.want)
			}
			if moved := len(m.Redirects) == 1; moved != (row.name == "files elsewhere") {
				t.Errorf("redirects %v", m.Redirects)
			}
		})
	}
}

func pypiMirror(rules ...rule) http.Handler {
	sum := sha256.Sum256([]byte("the wheel"))
	return serving(map[string]string{
		"/simple/a/":           `<html><a href="../../f/a-1.9.tar.gz">x</a><A class="y" HREF='../../f/a-1.10.0-py3-none-any.whl#sha256=0'>y</A><a href="/f/a-2.0rc1.tar.gz">z</a></html>`,
		"/simple/widget/":      `<html><a href="/f/widget-1.0.tar.gz#sha256=` + hex.EncodeToString(sum[:]) + `">x</a></html>`,
		"/f/widget-1.0.tar.gz": "the wheel",
	}, nil, rules)
}

func TestPyPIMirrors(t *testing.T) {
	t.Parallel()
	ask := mirrors.Ask{Path: "widget", Version: "1.0", Fresh: []string{"a"}, Absent: "absent"}
	good := start(t, pypiMirror()) + "/simple"
	for _, row := range []struct {
		name   string
		h      http.Handler
		want   string
		usable bool
	}{
		{"good", pypiMirror(), "protocol.right sums.none fresh.newest speed", true},
		{"stale", pypiMirror(rule{"/simple/a/", text(`<a href="a-1.9.tar.gz">`)}), "protocol.right sums.none fresh.behind speed", true},
		{"sign in", http.HandlerFunc(page), "protocol.wrong why.below why.below why.below", false},
		{"another file", pypiMirror(rule{"/f/widget-1.0.tar.gz", text("another")}), "protocol.other sums.none fresh.newest speed", false},
		{"invents", pypiMirror(rule{"/absent/", page}), "protocol.invents sums.none fresh.newest speed", false},
		{"gone", http.NotFoundHandler(), "why.absent why.absent why.absent why.absent", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, mirrors.PyPI, ask, mirrors.Options{Each: time.Minute, All: time.Minute}, good, start(t, row.h)+"/simple")
			if got := keysOf(m); got != row.want || m.Usable != row.usable {
				t.Errorf("got %s, usable %v, want %s", got, m.Usable, row.want)
			}
		})
	}
}
