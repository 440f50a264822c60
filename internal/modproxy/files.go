package modproxy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/modstore"
)

// find brings a module's file: from memory, the store, or whoever has it.
func (p *Proxy) find(ctx context.Context, a ask) (modstore.Entry, error) {
	l := p.now()
	if err := p.permit(ctx, l, a); err != nil {
		return modstore.Entry{}, err
	}
	e, err := p.seek(ctx, a)
	if err != nil {
		return e, err
	}
	return p.screen(ctx, l, a, e)
}

// seek is find without a look at the rules.
func (p *Proxy) seek(ctx context.Context, a ask) (modstore.Entry, error) {
	upstreams, own := p.upstreamsFor(a.module)
	if len(upstreams) == 0 {
		f := &Failure{Status: http.StatusForbidden, What: a.what(), Rule: "no upstream may be told this name", rule: "answer.nobody"}
		p.seen.lose(a, f, nil)
		return modstore.Entry{}, f
	}
	if a.fixed() {
		return p.findFixed(ctx, a, upstreams, own)
	}
	return p.findFresh(ctx, a, upstreams, own)
}

func (p *Proxy) findFixed(ctx context.Context, a ask, upstreams []Upstream, own bool) (modstore.Entry, error) {
	if e, ok := p.memory.get(a.key); ok && p.fits(a, e) {
		p.Store.Touch(a.key)
		return e, nil
	}
	_, end := p.span(ctx, "store read")
	e, err := p.Store.Get(ctx, a.key)
	end(err)
	if err == nil && p.fits(a, e) && p.holds(ctx, a, &e, own) {
		p.keepInMemory(a, e, own)
		p.Store.Touch(a.key)
		return e, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !p.isDamage(err) {
		return e, err
	}
	return p.together(ctx, a, upstreams, own)
}

// isDamage says that the store's database is broken where it was read or written: what is
// there has to come from upstreams. The log is told the first time.
func (p *Proxy) isDamage(err error) bool {
	if !errors.Is(err, modstore.ErrDamaged) {
		return false
	}
	if !p.damaged.Swap(true) {
		p.Log.Error("store.db is damaged: what lies there is fetched from upstreams until it is mended; "+
			"start the proxy again: it sets the file aside and takes over what can be read", "error", clean(err.Error()))
	}
	return true
}

// fits says that the client's go.sum has nothing against what is kept. What the database
// vouched for stays whatever go.sum says: go itself has to tell of that.
func (p *Proxy) fits(a ask, e modstore.Entry) bool {
	want := p.Sums[a.sumKey()]
	return want == "" || e.H1 == want || e.Via == viaDatabase
}

// unproved says that e was taken on first use, though the checksum database should have
// vouched for it.
func (p *Proxy) unproved(a ask, e modstore.Entry, own bool) bool {
	return e.Via == firstUse && !own && p.Sums[a.sumKey()] == "" && p.database.covers(a.module)
}

// holds asks the database again for what was taken while it could not be reached: bytes
// that it does not vouch for are not served again.
func (p *Proxy) holds(ctx context.Context, a ask, e *modstore.Entry, own bool) bool {
	if !p.unproved(a, *e, own) {
		return true
	}
	_, version, _ := strings.Cut(a.sumKey(), " ")
	h1, err := p.database.sum(ctx, a.module, version)
	if err != nil || h1 == "" {
		return true
	}
	if h1 == e.H1 {
		e.Via = viaDatabase
		if err := p.Store.Proved(ctx, a.key, e.H1, e.Via); err != nil {
			p.Log.Warn("cannot note what the checksum database vouched for", "file", a.key, "error", err)
		}
		return true
	}
	if err := p.Store.Distrust(ctx, a.sumKey()); err != nil {
		p.Log.Warn("cannot forget a sum", "file", a.key, "error", err)
	}
	p.seen.alarm(a.sumKey(), e.Source)
	p.Log.Error("what was trusted on first use is not what the checksum database has: it is fetched again",
		"module", a.module, "version", a.version, "upstream", e.Source)
	return false
}

// keepInMemory leaves out what has to be looked at each time.
func (p *Proxy) keepInMemory(a ask, e modstore.Entry, own bool) {
	if !p.unproved(a, e, own) {
		p.memory.add(e)
	}
}

// together fetches a file one time for all who want it at the moment.
func (p *Proxy) together(ctx context.Context, a ask, upstreams []Upstream, own bool) (modstore.Entry, error) {
	if wishesOf(ctx).kept {
		return modstore.Entry{}, notKept(a.what())
	}
	f := p.begin(ctx, a, upstreams, own)
	select {
	case <-f.done:
		noteOutcome(ctx, "miss", f.entry.Source)
		p.leave(a.key, f)
		return f.entry, f.err
	case <-ctx.Done():
		p.leave(a.key, f)
		return modstore.Entry{}, ctx.Err()
	}
}

// findFresh brings what may change: at once what is fresh enough; else what a server
// says now, or what it said last where none answers in time.
func (p *Proxy) findFresh(ctx context.Context, a ask, upstreams []Upstream, own bool) (modstore.Entry, error) {
	have, err := p.Store.Get(ctx, a.key)
	if err != nil {
		p.isDamage(err) // it is told of
		e, err := p.together(ctx, a, upstreams, own)
		if err != nil && (!absence(err) || wishesOf(ctx).kept) {
			if kept, ok := p.gathered(ctx, a); ok {
				noteOutcome(ctx, "stale", "")
				return kept, nil
			}
		}
		return e, err
	}
	wish := wishesOf(ctx)
	age := time.Since(have.Stored)
	if age < p.Limits.Fresh && (!wish.fresh || age < rarely) {
		return have, nil
	}
	if wish.kept {
		return p.outdated(ctx, a, have), nil
	}
	// A client waits a moment for news, and less where those who could have any are in
	// doubt: then it has what is kept, and the next one what comes meanwhile. An upstream
	// that hangs is as good as dead, and is known by nothing but its silence.
	wait := p.Limits.Stale
	known, news := p.health.doubtful(upstreams)
	const long = 10
	switch {
	case wish.fresh:
		wait, news = p.Limits.Slow, nil
	case known:
		wait /= 2
		news = nil
	case age > long*p.Limits.Fresh:
		wait = max(wait, p.Limits.Old)
	}
	f := p.begin(ctx, a, upstreams, own) // never left: it goes on for the next who asks
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for doubtful := false; !doubtful; {
		select {
		case <-f.done:
			if f.err == nil || absence(f.err) {
				noteOutcome(ctx, "miss", f.entry.Source)
				return f.entry, f.err
			}
			doubtful = true
		case <-news:
			doubtful, news = p.health.doubtful(upstreams)
		case <-timer.C:
			p.expectBy(f, long*p.Limits.Stale-wait, upstreams)
			doubtful = true
		case <-ctx.Done():
			return have, ctx.Err()
		}
	}
	noteOutcome(ctx, "stale", "")
	return p.outdated(ctx, a, have), nil
}

// expectBy doubts the upstreams if nothing comes of f for so much longer.
func (p *Proxy) expectBy(f *flight, longer time.Duration, upstreams []Upstream) {
	p.work.Go(func() {
		select {
		case <-f.begun: // until then nobody was asked
		case <-f.done:
		case <-p.ctx.Done():
			return
		}
		timer := time.NewTimer(longer)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.health.overdue(upstreams)
		case <-f.done:
		case <-p.ctx.Done():
		}
	})
}

// absence is an answer: there is no such module, or it is forbidden.
func absence(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Status < http.StatusInternalServerError
}

// keptVersions are the versions of which any file is kept.
func (p *Proxy) keptVersions(ctx context.Context, a ask) []byte {
	prefix := strings.TrimSuffix(a.key, "list")
	keys, err := p.Store.Keys(ctx, prefix)
	if err != nil {
		return nil
	}
	var versions []string
	seen := map[string]bool{}
	for _, k := range keys {
		name := strings.TrimPrefix(k, prefix)
		v, err := module.UnescapeVersion(strings.TrimSuffix(name, path.Ext(name)))
		if err == nil && canonical(v) && !module.IsPseudoVersion(v) && !seen[v] {
			seen[v] = true
			versions = append(versions, v)
		}
	}
	semver.Sort(versions)
	if len(versions) == 0 {
		return nil
	}
	return []byte(strings.Join(versions, "\n") + "\n")
}

// fetch brings a file from the upstreams into the store. Whoever waits for f may have a
// zip from the moment that it was admitted.
func (p *Proxy) fetch(ctx context.Context, f *flight, a ask, upstreams []Upstream, own bool) (modstore.Entry, error) {
	c := &admission{p: p, a: a, expected: p.expect(ctx, a, own)}
	g, cached := p.fromCache(ctx, a, c)
	shared, others := p.Store.(Shared)
	var stale modstore.Entry
	if others && !cached {
		e, old, known, release, err := p.share(ctx, shared, a, c)
		defer release()
		switch {
		case known && a.fixed():
			p.keepInMemory(a, e, own)
		case known && a.kind == list:
			p.remember(ctx, a, e)
		}
		if known || err != nil {
			return e, err
		}
		stale = old
	}
	if !cached {
		var err error
		if g, err = p.race(ctx, a, upstreams, c.admit); err != nil && stale.Key != "" && !absence(err) {
			return stale, nil
		} else if err != nil {
			return modstore.Entry{}, err
		}
	}
	defer g.body.discard()
	e := modstore.Entry{Key: a.key, H1: g.h1, Source: g.server, Via: g.via}
	if !others { // else those who were first decide what all serve
		var kept func()
		if ctx, kept = p.land(ctx, f, e, g.body); kept != nil {
			defer kept()
		}
	}
	_, end := p.span(ctx, "store write")
	e, err := p.keep(ctx, a, e, g.body)
	end(err)
	if err != nil {
		return e, err
	}
	if others {
		e, _ = p.publish(ctx, shared, a, c, e) // it is here, whoever else has it
	}
	if a.kind == zipped {
		p.seen.zip(a.key)
	}
	if a.kind == list {
		p.remember(ctx, a, e)
	}
	if a.fixed() {
		p.keepInMemory(a, e, own)
	}
	return e, nil
}

// fromCache takes a file from the user's module cache, if it is there and what it
// should be.
func (p *Proxy) fromCache(ctx context.Context, a ask, c *admission) (got, bool) {
	if p.Cache == "" || !a.fixed() {
		return got{}, false
	}
	if _, err := os.Stat(filepath.Join(p.Cache, filepath.FromSlash(a.key))); err != nil {
		return got{}, false
	}
	b, err := p.newBody(a)
	if err != nil {
		return got{}, false
	}
	if err = p.fromFile(a, b, func() (io.ReadSeekCloser, error) { return openIn(p.Cache, a.key) }); err == nil {
		var g got
		if g, err = c.admit(ctx, &Upstream{Name: "module cache"}, b); err == nil {
			return g, true
		}
		p.Log.Warn("passed over what the module cache has", "file", a.key, "reason", clean(err.Error()))
	}
	b.discard()
	return got{}, false
}

// flights are the files that are being fetched.
type flights struct {
	mu    sync.Mutex
	all   map[string]*flight
	turns map[string]*turn // by the names of the upstreams
}

// flight is one of them. It goes on while anybody waits, and when it has landed until the
// file is kept.
type flight struct {
	begun   chan struct{} // it is its turn
	done    chan struct{} // closed when it has landed
	landed  bool
	cancel  context.CancelFunc
	waiting int
	entry   modstore.Entry
	err     error
}

// begin starts a flight, which belongs to all who wait: of the first one's ctx it has
// only the trace.
func (p *Proxy) begin(from context.Context, a ask, upstreams []Upstream, own bool) *flight {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f := p.flights.all[a.key]; f != nil {
		f.waiting++
		return f
	}
	if p.flights.all == nil {
		p.flights.all = map[string]*flight{}
	}
	ctx, cancel := context.WithCancel(p.traced(from))
	f := &flight{begun: make(chan struct{}), done: make(chan struct{}), cancel: cancel, waiting: 1}
	p.flights.all[a.key] = f
	t := p.flights.turnOf(upstreams, p.Limits.Fetches)
	t.queue = append(t.queue, func() {
		if f.waiting == 0 { // nobody wants it any more
			return
		}
		t.free--
		p.work.Go(func() {
			defer cancel()
			close(f.begun)
			p.fly(ctx, f, a, upstreams, own)
			p.flights.mu.Lock()
			defer p.flights.mu.Unlock()
			if p.flights.all[a.key] == f {
				delete(p.flights.all, a.key)
			}
			t.free++
			t.next()
		})
	})
	t.next()
	return f
}

// fly fetches, unless somebody did between the look into the store and now.
func (p *Proxy) fly(ctx context.Context, f *flight, a ask, upstreams []Upstream, own bool) {
	if e, ok := p.memory.get(a.key); ok && a.fixed() && p.fits(a, e) {
		p.flights.land(f, e, nil)
		return
	}
	e, err := p.fetch(ctx, f, a, upstreams, own)
	if !p.flights.land(f, e, err) && err != nil {
		p.Log.Warn("cannot keep a file that was served", "file", a.key, "error", clean(err.Error()))
	}
}

// turn is where flights to the same upstreams wait, first come, first served: each costs
// memory and files, whatever clients think of; one that waits costs little. None waits
// for another that has not begun: who needs several files asks for them one by one,
// without a turn of its own. Those to other upstreams have turns of their own, since some
// may be silent.
type turn struct {
	free  int64
	queue []func()
}

// next lets begin who can; flights.mu is held.
func (t *turn) next() {
	for t.free > 0 && len(t.queue) > 0 {
		begin := t.queue[0]
		t.queue[0] = nil
		t.queue = t.queue[1:]
		begin()
	}
}

func (fs *flights) turnOf(upstreams []Upstream, most int64) *turn {
	names := make([]string, len(upstreams))
	for i := range upstreams {
		names[i] = upstreams[i].Name
	}
	key := strings.Join(names, " ")
	if fs.turns == nil {
		fs.turns = map[string]*turn{}
	}
	if fs.turns[key] == nil {
		fs.turns[key] = &turn{free: most}
	}
	return fs.turns[key]
}

// land tells all who wait, unless they were told.
func (fs *flights) land(f *flight, e modstore.Entry, err error) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.landed {
		return false
	}
	f.entry, f.err, f.landed = e, err, true
	close(f.done)
	return true
}

func (p *Proxy) leave(key string, f *flight) {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.landed {
		f.cancel()
		if p.flights.all[key] == f {
			delete(p.flights.all, key)
		}
	}
}
