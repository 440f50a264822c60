package trace

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

// The bounds of Present: how many are asked at once, how many times go or git runs at
// once, and after how many failures without any answer a host is asked no more.
const (
	presentAskers  = 16
	presentSources = 4
	mostDead       = 3
)

// Wanted is something that is asked for: a file of a version, or a repository.
type Wanted struct {
	module.Version
	// Kind is the file: [route.Zip] or [route.Mod].
	Kind route.Kind
	// Repository, where set, is a git repository's address in place of a version.
	Repository string
}

// Presence is what is said of something that was asked for.
type Presence struct {
	// OK says that it can be had: the place that go would take it from has it.
	OK bool
	// NotFound says that all that go may ask answered, and that they do not have it; Off
	// that go may ask nobody.
	NotFound, Off bool
	// Says is why it is not OK, in short, without anything secret.
	Says string
}

// Present asks whether things can be had, as go would fetch them: the entries of
// GOPROXY by the meaning of their separators, a directory, a repository by the real go
// or git; o.Query counts for nothing. Only the header of a file is fetched. What was not
// asked within Options.All is not OK, and says so. far, if set, is told how many are
// done.
func Present(ctx context.Context, o Options, wants []Wanted, far func(done int)) ([]Presence, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, o.All, ErrTimeout)
	defer cancel()
	r, done, err := newRunner(o)
	if err != nil {
		return nil, err
	}
	defer done()
	p := &presenting{runner: r, dead: map[string]int{}, sources: map[string]*presentSource{}, turn: make(chan struct{}, presentSources)}
	for _, w := range wants {
		if w.Repository == "" {
			s := p.source(w.Path)
			s.versions = append(s.versions, w.String())
		}
	}
	out := make([]Presence, len(wants))
	var next, n atomic.Int64
	var work sync.WaitGroup
	for range min(presentAskers, len(wants)) {
		work.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(wants) {
					return
				}
				if ctx.Err() != nil {
					out[i] = Presence{Says: ErrTimeout.Error()}
				} else if w := wants[i]; w.Repository != "" {
					out[i] = p.repository(ctx, w.Repository)
				} else {
					out[i] = p.version(ctx, w)
				}
				if done := int(n.Add(1)); far != nil {
					far(done)
				}
			}
		})
	}
	work.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrTimeout) {
		return nil, cause
	}
	return out, nil
}

// presenting is one run of Present.
type presenting struct {
	*runner
	turn chan struct{} // holds those who run go or git

	lock    sync.Mutex
	dead    map[string]int // hosts, by how often no answer came
	sources map[string]*presentSource
}

// presentSource is a module's repository: the first that asks for one version asks for
// all that are wanted.
type presentSource struct {
	versions []string
	once     sync.Once
	has      map[string]bool
	unknown  map[string]bool // the repository answered, and does not have the version
	says     map[string]string
	said     string
}

func (p *presenting) source(path string) *presentSource {
	p.lock.Lock()
	defer p.lock.Unlock()
	s := p.sources[path]
	if s == nil {
		s = &presentSource{has: map[string]bool{}, unknown: map[string]bool{}, says: map[string]string{}}
		p.sources[path] = s
	}
	return s
}

// version walks go's way for one file.
func (p *presenting) version(ctx context.Context, w Wanted) Presence {
	var last Request
	var before route.Answer
	asked := false
	q := route.Query{Module: w.Path, Version: w.Version.Version, Kinds: []route.Kind{w.Kind}}
	sim := route.Run(p.Config, route.Has, q, func(q route.Request) route.Answer {
		asked = true
		if q.Again && (before.Status == http.StatusNotFound || before.Status == http.StatusGone) {
			return before // nobody's login makes it appear
		}
		rec, a := p.one(ctx, w, q)
		if rec.Err != "" || a.Status != http.StatusOK {
			last = rec
		}
		before = a
		return a
	})
	switch {
	case sim.Outcome.OK:
		return Presence{OK: true}
	case !asked:
		return Presence{Off: true, Says: p.hide(sim.Outcome.Says)}
	}
	return Presence{NotFound: sim.Outcome.NotFound, Says: cmp.Or(said(last), p.hide(sim.Outcome.Says))}
}

// said is a request's failure in short.
func said(r Request) string {
	switch {
	case r.Err != "" && r.Server != "":
		return r.Server + ": " + r.Err
	case r.Err != "":
		return r.Err
	case r.Status > 0:
		return fmt.Sprintf("%s: %d %s", r.Server, r.Status, http.StatusText(r.Status))
	}
	return ""
}

// one asks one place.
func (p *presenting) one(ctx context.Context, w Wanted, q route.Request) (Request, route.Answer) {
	rec := Request{Kind: q.Kind}
	if ctx.Err() != nil {
		rec.Err = ErrTimeout.Error()
		return rec, route.Answer{}
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		return rec, route.Answer{}
	}
	switch {
	case q.Kind == route.VCS:
		return p.vcs(ctx, w, q)
	case u.Scheme == "file":
		rec.Server, rec.Status = mask.Text("file://"+u.Path), http.StatusOK
		if !isThere(localName(u)) || q.Kind == route.Zip && !isThere(strings.TrimSuffix(localName(u), ".zip")+".mod") {
			rec.Status = http.StatusNotFound
		}
		return rec, route.Answer{Status: rec.Status}
	}
	p.lock.Lock()
	dead := p.dead[u.Host] >= mostDead
	p.lock.Unlock()
	if dead {
		rec.Server, rec.Err = p.hide(u.Host), errSilent.Error()
		return rec, route.Answer{}
	}
	rec, a := p.peek(ctx, q, u)
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.dead[u.Host]++; a.Status != 0 {
		p.dead[u.Host] = 0
	}
	rec.Err = short(rec.Err)
	return rec, a
}

// peek asks for the header of a file. A server need not answer HEAD as it does GET:
// what it does not grant, or deny for sure, is asked for again.
func (p *presenting) peek(ctx context.Context, q route.Request, u *url.URL) (Request, route.Answer) {
	if q.Kind == route.Discovery {
		return p.get(ctx, q, u)
	}
	rec, a := p.request(ctx, http.MethodHead, q, u)
	switch {
	case a.Status == 0, a.Status == http.StatusNotFound, a.Status == http.StatusGone, a.Status < 400 && !a.Broken:
		return rec, a
	}
	return p.request(ctx, http.MethodGet, q, u)
}

// short is an error without the address, which stands beside it.
func short(says string) string {
	if rest, ok := strings.CutPrefix(says, "Get \""); ok {
		if _, cause, ok := strings.Cut(rest, "\": "); ok {
			return cause
		}
	}
	return says
}

// localName is the file of a file:// URL.
func localName(u *url.URL) string {
	name := u.Path
	if runtime.GOOS == "windows" && len(name) > 2 && name[0] == '/' && name[2] == ':' { // file:///C:/modules
		name = name[1:]
	}
	return filepath.FromSlash(name)
}

func isThere(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// vcs answers for a repository, which the real go asks: only it knows what a version
// is there.
func (p *presenting) vcs(ctx context.Context, w Wanted, q route.Request) (Request, route.Answer) {
	rec := Request{Kind: route.VCS}
	if q.Want == "" {
		return rec, route.Answer{Status: http.StatusOK}
	}
	s := p.source(w.Path)
	s.once.Do(func() { p.askSource(ctx, s, q) })
	name := w.String()
	switch {
	case s.has[name]:
		return rec, route.Answer{Status: http.StatusOK}
	case s.unknown[name]:
		rec.Err = s.says[name]
		return rec, route.Answer{Status: http.StatusNotFound}
	}
	rec.Err = cmp.Or(s.says[name], s.said, errSilent.Error())
	return rec, route.Answer{Status: http.StatusInternalServerError}
}

func (p *presenting) askSource(ctx context.Context, s *presentSource, q route.Request) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		s.said = ErrTimeout.Error()
		return
	}
	d := &direct{r: p.runner}
	if code := d.look(ctx, q); code != "" {
		s.said = errSilent.Error()
		return
	}
	const most = 100
	for list := s.versions; len(list) > 0; list = list[min(most, len(list)):] {
		out, said := d.run(ctx, append([]string{"list", "-m", "-e", "-json"}, list[:min(most, len(list))]...)...)
		line, _, _ := strings.Cut(said, "\n")
		s.said = line
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var doc struct {
				Path, Version string
				Error         *struct{ Err string }
			}
			if dec.Decode(&doc) != nil {
				break
			}
			name := doc.Path + "@" + doc.Version
			if doc.Error == nil {
				s.has[name] = true
				continue
			}
			s.unknown[name] = strings.Contains(doc.Error.Err, "unknown revision")
			line, _, _ := strings.Cut(strings.TrimPrefix(doc.Error.Err, name+": "), "\n")
			s.says[name] = p.hide(d.short(line))
		}
	}
}

// repository asks a git repository as a clone of it would.
func (p *presenting) repository(ctx context.Context, address string) Presence {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return Presence{Says: ErrTimeout.Error()}
	}
	_, err := proc.Output(ctx, proc.Options{Dir: p.spool, Env: p.quietly(), Timeout: 4 * p.Silent}, "git", "ls-remote", "-q", "--end-of-options", address, "HEAD")
	switch {
	case err == nil:
		return Presence{OK: true}
	case errors.Is(err, fs.ErrNotExist):
		return Presence{Says: "git"}
	}
	says := err.Error()
	return Presence{Says: p.hide(says[strings.LastIndex(says, ": ")+2:])}
}
