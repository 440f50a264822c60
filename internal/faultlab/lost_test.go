//go:build unix

package faultlab

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/route"
)

// leastFound is the part of the lost names whose first proposal must be right.
const leastFound = 0.95

// options are what doctor would hand to the search in this lab.
func (c Lost) options(t *testing.T, l *Lab) moved.Options {
	t.Helper()
	env := goenv.Env{}
	for name, value := range l.env {
		env[name] = goenv.Setting{Value: value, Origin: goenv.FromOS}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.ca.pem)
	world, err := url.Parse("http://" + l.world.addr())
	if err != nil {
		t.Fatal(err)
	}
	transport := moved.NewTransport(moved.Machine{
		Proxy: http.ProxyURL(world), Base: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	})
	t.Cleanup(transport.CloseIdleConnections)
	eco, path, _ := c.Subject()
	o := moved.Options{Transport: transport, Tokens: map[string]string{"api.github.com": env.Value("GITHUB_TOKEN")}}
	o.Route, o.Here = doctor.MovedHere(t.Context(), l.Work, filepath.Join(l.Home, "go/pkg/mod"), route.Config{Env: env}, doctor.Subject{Ecosystem: doctor.Ecosystem(eco), Path: path}, doctor.Registries{
		Npm: "https://npm.example.org/", PyPI: "https://pypi.example.org/simple",
	})
	return o
}

// right tells whether what was found is what the story asks for, and if not, why.
func (c Lost) right(r moved.Report) string {
	var list []string
	for _, p := range r.Proposals {
		list = append(list, strings.Join([]string{string(p.Kind), string(p.Mend), p.From + " -> " + p.To + "@" + p.Version, p.Reason.In(msg.EN)}, " | "))
		if err := p.Validate(); err != nil {
			return err.Error()
		}
	}
	all := "\n    " + strings.Join(list, "\n    ")
	if c.Mend == "" {
		if len(r.Proposals) > 0 {
			return "nothing should be proposed:" + all
		}
		return ""
	}
	if len(r.Proposals) == 0 {
		return "nothing is proposed"
	}
	if p := r.Proposals[0]; p.Kind != c.Kind || p.To != c.To || p.Version != c.Version || p.Mend != c.Mend {
		return "want " + string(c.Kind) + " | " + string(c.Mend) + " | " + c.To + "@" + c.Version + " first:" + all
	}
	for _, other := range c.Other {
		if !slices.ContainsFunc(r.Proposals, func(p moved.Proposal) bool { return p.Mend == other }) {
			return "want " + string(other) + " among:" + all
		}
	}
	return ""
}

// TestLostNames holds the search for names to the stories: the right proposal first, few
// requests, none about what is private, no word of a secret.
func TestLostNames(t *testing.T) {
	cache := t.TempDir()
	list := LostNames()
	found, most, requests := 0, 0, 0
	for _, c := range list {
		t.Run(c.Name, func(t *testing.T) {
			l := Open(t, cache)
			w := c.Open(l)
			eco, path, version := c.Subject()
			r := moved.Find(t.Context(), moved.Question{Ecosystem: eco, Path: path, Version: version}, c.options(t, l))
			asked := w.Asked()
			n := len(r.Requests)
			most, requests = max(most, n), requests+n
			if n > moved.MaxRequests || len(asked) > moved.MaxRequests {
				t.Errorf("%d requests, of which %d came: %v", n, len(asked), asked)
			}
			if c.Silent && n+len(asked) > 0 {
				t.Errorf("somebody was asked: %v", asked)
			}
			var trail []string
			for _, s := range r.Seen {
				trail = append(trail, string(s.Step)+": "+s.Said.In(msg.EN))
				if zh := s.Said.In(msg.ZH); zh == "" || strings.Contains(zh, "%!") || strings.Contains(s.Said.In(msg.EN), "%!") {
					t.Errorf("words: %s", zh)
				}
			}
			for _, q := range r.Requests {
				trail = append(trail, q.URL+" "+q.Err)
			}
			if wrong := c.right(r); wrong != "" {
				t.Logf("WRONG: %s\n%s\n  %s", c.Story, wrong, strings.Join(trail, "\n  "))
				return
			}
			found++
		})
	}
	t.Logf("%d of %d lost names are found; at most %d requests, %.1f on average", found, len(list), most, float64(requests)/float64(len(list)))
	if float64(found) < leastFound*float64(len(list)) {
		t.Errorf("%d of %d, want %.0f %%", found, len(list), 100*leastFound)
	}
}

// TestLostNamesFail: what is to be mended fails before.
func TestLostNamesFail(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil || testing.Short() {
		t.Skip("runs go")
	}
	cache := t.TempDir()
	for _, c := range LostNames() {
		if !c.Builds {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			l := Open(t, cache)
			c.Open(l)
			if out := l.Run(t.Context(), "go", "build", "./..."); !l.Failed() {
				t.Errorf("the build does not fail:\n%s", out)
			}
		})
	}
}

var lostAll = flag.Bool("lost-all", false, "ask doctor about every lost name, not about one of each kind")

// fewLost are one of each kind.
func fewLost() []string {
	return []string{
		"typo-doubled-letter", "host-forgotten", "case-declared", "major-missing", "nested-package", "version-patch", "moved-by-host",
		"deleted-without-copy", "private-pattern", "nothing-like-it", "npm-renamed", "pip-import-name",
	}
}

// TestLostNamesDoctor asks the doctor, as a person would: what it proposes, and what it
// leads with.
func TestLostNamesDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	bin, cache := buildKeepwell(t), t.TempDir()
	for _, c := range LostNames() {
		if !*lostAll && !slices.Contains(fewLost(), c.Name) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			eco, _, _ := c.Subject()
			need(t, Scenario{Tool: map[moved.Ecosystem]string{moved.Go: "go", moved.Npm: "npm", moved.PyPI: "pip"}[eco]})
			l := Open(t, cache)
			c.Open(l)
			c.askDoctor(t, l, bin)
		})
	}
}

func (c Lost) askDoctor(t *testing.T, l *Lab, bin string) {
	t.Helper()
	type proposal struct{ Kind, Mend, To, Version string }
	var doc struct {
		keepwell.Document
		Moved *struct {
			Requests  []struct{ URL string }
			Proposals []proposal
		}
	}
	v := l.keepwell(t.Context(), bin, "doctor", "--json", "--timeout", "30s", c.Asked)
	if err := json.Unmarshal([]byte(v.out), &doc); err != nil {
		t.Fatalf("%v\n%s%s", err, v.out, v.stderr)
	}
	v.doc = doc.Document
	t.Logf("%s: %s in %v", c.Name, v.codes(), v.took.Round(10*time.Millisecond))
	if strings.Contains(v.out+v.stderr, "TOKEN-for") {
		t.Error("a token is shown")
	}
	if doc.Moved == nil {
		if c.Mend != "" && c.Name != "nested-package-of-vanity" { // which go itself finds the module of
			t.Errorf("nothing was looked for: %s\n%s", v.codes(), v.out)
		}
		return
	}
	if c.Silent && len(doc.Moved.Requests) > 0 {
		t.Errorf("the search asked: %v", doc.Moved.Requests)
	}
	var first proposal
	if len(doc.Moved.Proposals) > 0 {
		first = doc.Moved.Proposals[0]
	}
	if want := (proposal{string(c.Kind), string(c.Mend), c.To, c.Version}); first != want {
		t.Errorf("doctor proposes %+v, want %+v", first, want)
	}
}

// leastMendedNames is the part of the lost names whose project must build after the
// first proposal was carried out.
const leastMendedNames = 0.95

// TestLostNamesMended has doctor carry out what it proposes, each by its exact name, and
// builds the project again.
func TestLostNamesMended(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	bin, cache := buildKeepwell(t), t.TempDir()
	var tried, built atomic.Int64
	t.Run("names", func(t *testing.T) {
		for _, c := range LostNames() {
			if !c.Builds || !*lostAll && !slices.Contains(fewLost(), c.Name) {
				continue
			}
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				l := Open(t, cache)
				c.Open(l)
				tried.Add(1)
				if c.mended(t, l, bin) {
					built.Add(1)
				}
			})
		}
	})
	t.Logf("%d of %d projects build after the mend", built.Load(), tried.Load())
	if float64(built.Load()) < leastMendedNames*float64(tried.Load()) {
		t.Errorf("%d of %d, want %.0f %%", built.Load(), tried.Load(), 100*leastMendedNames)
	}
}

func (c Lost) mended(t *testing.T, l *Lab, bin string) bool {
	t.Helper()
	args := []string{"doctor", "--fix", "--timeout", "30s"}
	v := l.keepwell(t.Context(), bin, append(args, "--json", c.Asked)...)
	var doc struct {
		Changes []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(v.out), &doc); err != nil {
		t.Fatalf("%v\n%s%s", err, v.out, v.stderr)
	}
	name := ""
	for _, m := range doc.Changes {
		if m.State == "done" {
			t.Errorf("%s was made unasked", m.Name)
		}
		if name == "" && strings.Contains(m.Name, c.To) && strings.Contains(m.Name, c.Version) {
			name = m.Name
		}
	}
	if name == "" {
		t.Logf("NO MEND: %s\n%s%s", c.Story, v.out, v.stderr)
		return false
	}
	fixed := l.keepwell(t.Context(), bin, append(args, "--consent", name, c.Asked)...)
	if out := l.Run(t.Context(), "go", "build", "./..."); l.Failed() {
		t.Logf("DOES NOT BUILD after %s:\n%s\n%s%s", name, out, fixed.out, fixed.stderr)
		return false
	}
	return true
}
