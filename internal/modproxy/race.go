package modproxy

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// got is a file that was admitted.
type got struct {
	body   *body
	server string
	// via says who vouched for it, h1 is its sum in go's terms.
	via, h1 string
}

// race asks the upstreams of a list in order: the next where one fails, and the next
// beside one that is slow, which is only cut once another has delivered. What is
// wanted of a is checked by admit.
func (p *Proxy) race(ctx context.Context, a ask, list []Upstream, admit func(context.Context, *Upstream, *body) (got, error)) (got, error) {
	p.health.first()
	r := &runners{p: p, a: a, admit: admit, news: make(chan news)}
	g, ok := r.round(ctx, list, false)
	rested := r.rested
	if r.absent() { // nobody but another authority can know better
		rested = slices.DeleteFunc(rested, func(u Upstream) bool { return !u.Final })
	}
	again := slices.Concat(rested, r.worthAgain(list))
	if !ok && !r.over() && ctx.Err() == nil && len(again) > 0 && (len(rested) > 0 || p.health.mayRetry()) {
		if len(rested) == 0 {
			pause := time.NewTimer(r.pause(p.Limits.Backoff, again))
			defer pause.Stop()
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		r.forget(again)
		g, ok = r.round(ctx, again, true)
	}
	if ok {
		p.seen.note(a, g.server, r.all)
		return g, nil
	}
	if ctx.Err() != nil {
		return got{}, context.Cause(ctx)
	}
	f := a.failure(r.all)
	p.seen.note(a, "", r.all)
	p.seen.lose(a, f, r.all)
	return got{}, f
}

// runners are the requests for one file.
type runners struct {
	p     *Proxy
	a     ask
	admit func(context.Context, *Upstream, *body) (got, error)
	news  chan news
	all   []*trouble
	// rested were passed over, since they failed a short while ago.
	rested []Upstream
}

// news is what a runner tells: that it is slow, or how it ended.
type news struct {
	from   int
	slow   bool
	early  bool // slow for this upstream, not yet by the clock
	got    got
	failed *trouble
}

// round asks list once; all of it, or those that do not rest.
func (r *runners) round(ctx context.Context, list []Upstream, all bool) (got, bool) {
	ctx, cut := context.WithCancelCause(ctx)
	var under sync.WaitGroup
	done := make(chan struct{})
	defer func() { // every runner ends before the round does, and nobody listens any more
		cut(errLost)
		close(done)
		under.Wait()
	}()
	next, running := 0, 0
	slow := map[int]bool{}
	start := func() {
		if next = r.following(list, next, all); next == len(list) {
			return
		}
		i := next
		next, running = next+1, running+1
		under.Go(func() { r.run(ctx, &list[i], i, done) })
	}
	start()
	for running > 0 {
		var n news
		select {
		case n = <-r.news:
		case <-ctx.Done():
			return got{}, false
		}
		switch {
		case n.slow:
			if next == len(list) && !n.early && len(r.rested) > 0 { // better those who failed before than nobody
				list, r.rested, all = slices.Concat(list, r.rested), nil, true
			}
			if next < len(list) && !list[n.from].Final && r.mayBeside(n, running, slow[n.from]) {
				start()
			}
			slow[n.from] = slow[n.from] || !n.early
		case n.failed == nil:
			for i := range slow {
				if i != n.from {
					t := &trouble{server: list[i].Name, how: slowly, said: "too slow: " + n.got.server + " was asked in its place", why: Why{Kind: KindSlower, Detail: n.got.server}}
					r.all = append(r.all, t)
					r.p.health.fail(list[i].Name, t)
				}
			}
			return n.got, true
		default:
			running--
			delete(slow, n.from)
			r.all = append(r.all, n.failed)
			if n.failed.ends() {
				return got{}, false
			}
			if running == 0 {
				start()
			}
		}
	}
	return got{}, false
}

// mayBeside says whether another is asked beside one that is slow: not before one that
// may refuse for good; within the budget; but who is slow for the second time is as good
// as failed, and the checksum database must not be kept from answering.
func (r *runners) mayBeside(n news, running int, again bool) bool {
	return r.a.database != "" || again || (!n.early || running == 1) && r.p.health.mayHedge()
}

// following is the first of list from i on that may be asked; all: though it rests.
func (r *runners) following(list []Upstream, i int, all bool) int {
	for ; i < len(list); i++ {
		switch u := list[i]; {
		case u.Spare && r.onlyAbsent():
		case !all && !r.p.health.allow(u.Name):
			r.rested = append(r.rested, u)
		default:
			return i
		}
	}
	return i
}

// run asks one upstream, and tells.
func (r *runners) run(ctx context.Context, u *Upstream, i int, done <-chan struct{}) {
	tell := func(n news) {
		n.from = i
		select {
		case r.news <- n:
		case <-done:
			if n.failed == nil && !n.slow {
				n.got.body.discard()
			}
		}
	}
	at, end := r.p.askSpan(ctx, u, r.a)
	g, err := r.p.attempt(at, u, r.a, r.admit, func(early bool) { tell(news{slow: true, early: early}) })
	end(err)
	if err == nil {
		r.p.health.good(u.Name)
		tell(news{got: g})
		return
	}
	t := asTrouble(ctx, u, err)
	r.p.redact(t)
	switch {
	case ctx.Err() != nil:
		r.p.health.release(u.Name)
	case t.how == ours:
		r.p.health.release(u.Name)
		r.p.Log.Error("the store cannot be written", "file", r.a.key, "error", clean(err.Error()))
	case t.how == absent:
		r.p.health.good(u.Name)
	case t.how == refused: // it is well, and says no
		r.p.health.release(u.Name)
	default:
		r.p.health.fail(u.Name, t)
	}
	tell(news{failed: t})
}

// over says that no other round can help.
func (r *runners) over() bool {
	return slices.ContainsFunc(r.all, (*trouble).ends)
}

// worthAgain are upstreams whose failure may pass.
func (r *runners) worthAgain(list []Upstream) []Upstream {
	var again []Upstream
	for _, u := range list {
		for _, t := range r.all {
			const wait = 5 * time.Second
			if t.server == u.Name && (t.how == broken || t.how == limited) && t.after <= wait {
				again = append(again, u)
				break
			}
		}
	}
	if r.absent() { // somebody knows the answer already
		again = slices.DeleteFunc(again, func(u Upstream) bool { return !u.Final })
	}
	return again
}

// onlyAbsent says that all who answered know of no such file.
func (r *runners) onlyAbsent() bool {
	return len(r.all) > 0 && !slices.ContainsFunc(r.all, func(t *trouble) bool { return t.how != absent })
}

// absent says that somebody answered that there is no such file.
func (r *runners) absent() bool {
	return slices.ContainsFunc(r.all, func(t *trouble) bool { return t.how == absent })
}

// pause is what those who are asked again asked for, or the usual one with some spread.
func (r *runners) pause(usual time.Duration, again []Upstream) time.Duration {
	longest := usual/2 + rand.N(usual) //nolint:gosec // no secret
	for _, t := range r.all {
		if slices.ContainsFunc(again, func(u Upstream) bool { return u.Name == t.server }) {
			longest = max(longest, t.after)
		}
	}
	return longest
}

// forget drops what those said who are asked again.
func (r *runners) forget(list []Upstream) {
	r.all = slices.DeleteFunc(r.all, func(t *trouble) bool {
		return slices.ContainsFunc(list, func(u Upstream) bool { return u.Name == t.server })
	})
}
