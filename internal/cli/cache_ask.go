package cli

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/trace"
)

// cacheAsker asks the places that go would fetch from whether what is to go would come
// again. Within a run nothing is asked for twice.
type cacheAsker struct {
	a       *app
	timeout time.Duration
	silent  time.Duration
	// cfg is read when the first question comes up.
	cfg   *route.Config
	known map[trace.Wanted]modcache.Doubt
}

func (c *cacheAsker) ask(ctx context.Context, list []modcache.Wanted) ([]modcache.Doubt, error) {
	if c.cfg == nil {
		cfg, err := routeConfig(ctx, c.a, nil)
		if err != nil {
			return nil, err
		}
		c.cfg, c.known = &cfg, map[trace.Wanted]modcache.Doubt{}
	}
	wants := make([]trace.Wanted, len(list))
	var open []trace.Wanted
	for i, w := range list {
		wants[i] = wantedOf(w)
		if _, ok := c.known[wants[i]]; ok {
			continue
		}
		doubt, sure := c.unasked(w, wants[i])
		c.known[wants[i]] = doubt
		if !sure {
			open = append(open, wants[i])
		}
	}
	var far atomic.Int64
	done := c.a.progress(func() string {
		return fmt.Sprintf("%s %s %d/%d", msg.Text(c.a.lang, "cache.asking"), meter(int(far.Load()), len(open)), far.Load(), len(open))
	})
	said, err := trace.Present(ctx, trace.Options{Config: *c.cfg, All: c.timeout, Silent: c.silent}, open, func(n int) { far.Store(int64(n)) })
	done()
	if err != nil {
		return nil, err
	}
	for i, p := range said {
		c.known[open[i]] = doubtOf(p)
	}
	out := make([]modcache.Doubt, len(list))
	for i, w := range wants {
		out[i] = c.known[w]
	}
	return out, nil
}

func wantedOf(w modcache.Wanted) trace.Wanted {
	switch {
	case w.Clone != nil:
		return trace.Wanted{Repository: w.Clone.Remote}
	case w.Zip:
		return trace.Wanted{Version: w.Version, Kind: route.Zip}
	}
	return trace.Wanted{Version: w.Version, Kind: route.Mod}
}

// unasked is what is known without asking; sure is false where somebody has to be asked.
func (c *cacheAsker) unasked(w modcache.Wanted, t trace.Wanted) (doubt modcache.Doubt, sure bool) {
	if w.Clone != nil {
		if w.Clone.Tool != "git" || w.Clone.Remote == "" { // only git can be asked in one short call
			return modcache.Doubt{Why: modcache.StaysNoAnswer, Detail: w.Clone.Tool}, true
		}
		return doubt, false
	}
	r := route.Plan(*c.cfg, route.Query{Module: w.Path, Version: w.Version.Version, Kinds: []route.Kind{t.Kind}, InSum: true})
	for _, l := range r.Leaks {
		if l.Public && l.Role == "proxy" { // cleaning up is no reason to tell it the name
			return modcache.Doubt{Why: modcache.StaysPrivate, Detail: mask.Text(l.To)}, true
		}
	}
	return doubt, false
}

func doubtOf(p trace.Presence) modcache.Doubt {
	switch {
	case p.OK:
		return modcache.Doubt{}
	case p.Off:
		return modcache.Doubt{Why: modcache.StaysNoProxy}
	case p.NotFound:
		return modcache.Doubt{Why: modcache.StaysNotServed, Detail: p.Says}
	}
	return modcache.Doubt{Why: modcache.StaysNoAnswer, Detail: p.Says}
}
