package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Shared is a Store behind which replicas on other machines keep what they fetched.
// Nothing of it waits for long where they cannot be reached.
type Shared interface {
	Store
	// Name is what people are told of it.
	Name() string
	// Take writes to w what another replica stored under key. fs.ErrNotExist: nothing;
	// modstore.ErrRotten: w has bytes that are not those.
	Take(ctx context.Context, key string, w io.Writer) (modstore.Entry, error)
	// Claim waits until no other replica is fetching key; until release, this one is.
	Claim(ctx context.Context, key string) (release func(), err error)
	// Publish hands on what was stored here; other tells that other bytes were first.
	// over puts e in their place.
	Publish(ctx context.Context, e modstore.Entry, over bool) (other bool, err error)
	// HandOn publishes what is kept here of key, unless the others have it.
	HandOn(ctx context.Context, key string) (had bool, err error)
}

// share is the part of a fetch that other replicas see: it takes what they have, or
// claims the file. A kept entry is returned where ok; a stale one may do if all fails.
func (p *Proxy) share(ctx context.Context, s Shared, a ask, c *admission) (e, stale modstore.Entry, ok bool, release func(), err error) {
	release = func() {}
	e, ok = p.take(ctx, s, a, c)
	if !a.fixed() { // nobody claims what changes: two may ask, and the later answer stays
		if ok && time.Since(e.Stored) >= p.Limits.Fresh {
			return modstore.Entry{}, e, false, release, nil
		}
		return e, stale, ok, release, nil
	}
	if ok {
		return e, stale, true, release, nil
	}
	if release, err = s.Claim(ctx, a.key); err != nil {
		return e, stale, false, release, err
	}
	e, ok = p.take(ctx, s, a, c) // stored between the look and the claim
	return e, stale, ok, release, nil
}

// take brings a file that another replica stored, admitted as if a server had sent it.
func (p *Proxy) take(ctx context.Context, s Shared, a ask, c *admission) (modstore.Entry, bool) {
	b, err := p.newBody(a)
	if err != nil {
		return modstore.Entry{}, false
	}
	defer b.discard()
	from := &Upstream{Name: s.Name()}
	e, err := s.Take(ctx, a.key, b)
	if errors.Is(err, modstore.ErrRotten) {
		p.setAside(ctx, from, a, b, clean(err.Error()))
	}
	if err != nil {
		return e, false
	}
	g, err := c.admit(ctx, from, b)
	if err != nil {
		var t *trouble
		if !errors.As(err, &t) && ctx.Err() == nil {
			p.Log.Error("refused what the object store has", "file", a.key, "reason", clean(err.Error()))
			p.setAside(ctx, from, a, b, clean(err.Error()))
		}
		return e, false
	}
	stored := e.Stored
	kept, err := p.keep(ctx, a, modstore.Entry{Key: a.key, H1: g.h1, Source: e.Source, Via: g.via}, b)
	if err != nil {
		p.Log.Warn("cannot keep a file of the object store", "file", a.key, "error", err)
		return e, false
	}
	kept.Stored = stored
	return kept, true
}

// publish hands a file on to the other replicas. Where one was first with other bytes,
// those are taken, so that all serve the same, unless they are not what they should be.
func (p *Proxy) publish(ctx context.Context, s Shared, a ask, c *admission, e modstore.Entry) (modstore.Entry, error) {
	other, err := s.Publish(ctx, e, !a.fixed())
	if other {
		if first, ok := p.take(ctx, s, a, c); ok {
			return first, nil
		}
		if e.Via == "sumdb" { // only the database may overrule who was first
			_, err = s.Publish(ctx, e, true)
		}
	}
	if err != nil && ctx.Err() == nil {
		p.Log.Debug("not shared", "file", a.key, "error", clean(err.Error()))
	}
	return e, err
}

// keep puts what was admitted into the store.
func (p *Proxy) keep(ctx context.Context, a ask, e modstore.Entry, b *body) (modstore.Entry, error) {
	if b.file != nil {
		stored, err := p.Store.Put(ctx, e, b.file)
		if err != nil {
			if p.isDamage(err) { // it is told of; the bytes are there
				return stored, nil
			}
			return stored, fmt.Errorf("keeping %s: %w", a.key, err)
		}
		return stored, nil
	}
	data := bytes.Clone(b.mem.Bytes())
	stored, err := p.Store.PutData(ctx, e, data)
	if err != nil { // a full disk is no reason to withhold a small file
		if !p.isDamage(err) {
			p.Log.Warn("cannot keep a file", "file", a.key, "error", err)
		}
		stored.Data = data
		return stored, nil
	}
	return stored, nil
}
