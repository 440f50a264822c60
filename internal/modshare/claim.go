package modshare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// claim is the object that says who is at work on something. Seq changes with every
// renewal, so that a claim that stands still is one that nobody holds any more.
type claim struct {
	Holder string        `json:"holder"`
	Nonce  string        `json:"nonce"`
	Seq    int           `json:"seq"`
	Lease  time.Duration `json:"lease"`
}

// longest bounds the lease that another replica may ask for.
const longest = time.Minute

// held is a claim of ours.
type held struct {
	s      *Store
	name   string
	claim  claim
	etag   string
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	renewed time.Time // the zero time: it is another's
}

// Claim waits until no other replica is fetching key, and makes it this one's to fetch
// until release. Where the bucket does not answer there is nobody to wait for. The
// error is only that of ctx; release is never nil.
func (s *Store) Claim(ctx context.Context, key string) (release func(), err error) {
	if s.bucket.unconditional {
		return func() {}, nil
	}
	h, err := s.claim(ctx, claimsDir+escape(key), true)
	if err != nil || h == nil {
		return func() {}, ctx.Err()
	}
	return h.release, nil
}

// claim makes the claim of that name ours; nil where it is another's and we do not wait.
func (s *Store) claim(ctx context.Context, name string, wait bool) (*held, error) {
	mine := claim{Holder: s.replica, Nonce: rand.Text(), Lease: s.limits.Lease}
	var seen string
	var since time.Time
	pause := s.limits.Poll
	for {
		etag, err := s.bucket.put(ctx, name, mine.encode(), absent)
		if err == nil {
			return s.hold(name, mine, etag), nil //nolint:contextcheck // it is held for longer than ctx
		}
		if !errors.Is(err, errTaken) {
			return nil, err
		}
		data, o, err := s.bucket.get(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // let go meanwhile
		}
		if err != nil {
			return nil, err
		}
		theirs := decodeClaim(data)
		if theirs.Nonce == mine.Nonce { // our own write, whose answer was lost
			return s.hold(name, mine, o.etag), nil //nolint:contextcheck // as above
		}
		if o.etag != seen {
			seen, since = o.etag, time.Now()
		}
		const blur = 2 * time.Second // the server's times are whole seconds
		if lease := theirs.Lease; time.Since(since) >= lease || o.age >= lease+blur {
			if etag, err := s.bucket.put(ctx, name, mine.encode(), unchanged(o.etag)); err == nil {
				s.counts.add("takeover")
				s.log.Warn("another replica let a claim expire", "claim", name, "holder", theirs.Holder)
				return s.hold(name, mine, etag), nil //nolint:contextcheck // it is held for longer than ctx
			}
		}
		if !wait {
			return nil, nil //nolint:nilnil // it is another's
		}
		s.counts.add("wait")
		timer := time.NewTimer(pause/2 + mathrand.N(pause)) //nolint:gosec // no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		const most = 20
		pause = min(pause*3/2, most*s.limits.Poll)
	}
}

func (c claim) encode() []byte {
	data, _ := json.Marshal(c) //nolint:errchkjson // plain fields
	return data
}

// decodeClaim reads a claim; what is none is one that has expired.
func decodeClaim(data []byte) claim {
	var c claim
	if json.Unmarshal(data, &c) != nil {
		return claim{}
	}
	c.Lease = min(c.Lease, longest)
	return c
}

// hold renews a claim until it is let go.
func (s *Store) hold(name string, c claim, etag string) *held {
	ctx, cancel := context.WithCancel(s.ctx)
	h := &held{s: s, name: name, claim: c, etag: etag, cancel: cancel, done: make(chan struct{}), renewed: time.Now()}
	s.work.Go(func() {
		defer close(h.done)
		const often = 3
		tick := time.NewTicker(s.limits.Lease / often)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.renew(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return h
}

func (h *held) renew(ctx context.Context) {
	if !h.ours() {
		return
	}
	h.claim.Seq++
	began := time.Now()
	etag, err := h.s.bucket.put(ctx, h.name, h.claim.encode(), unchanged(h.etag))
	if errors.Is(err, errTaken) { // another's, or our own write whose answer was lost
		var data []byte
		var o object
		if data, o, err = h.s.bucket.get(ctx, h.name); err == nil && decodeClaim(data).Nonce != h.claim.Nonce || errors.Is(err, fs.ErrNotExist) {
			h.mu.Lock()
			h.renewed = time.Time{}
			h.mu.Unlock()
			return
		}
		etag = o.etag
	}
	if err == nil {
		h.etag = etag
		h.mu.Lock()
		h.renewed = began
		h.mu.Unlock()
	}
}

// ours tells whether nobody can have taken the claim over.
func (h *held) ours() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.renewed) < h.claim.Lease*2/3
}

// release lets go, beside the caller. A claim that may be another's by now is left.
func (h *held) release() {
	h.cancel()
	h.s.work.Go(func() {
		<-h.done
		if h.ours() {
			_ = h.s.bucket.remove(context.WithoutCancel(h.s.ctx), h.name) // it expires
		}
	})
}
