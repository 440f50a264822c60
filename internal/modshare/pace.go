package modshare

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// pace ends a transfer that moves too little: silence counts as a trickle does, and how
// large a file is says nothing about how long it may hang.
type pace struct {
	size   int64
	limits Limits
	lately atomic.Int64 // since the last look
	moved  atomic.Int64 // by this try
}

// newPace watches a transfer of size bytes until end.
func newPace(parent context.Context, size int64, limits Limits) (p *pace, ctx context.Context, end func()) {
	p = &pace{size: size, limits: limits}
	ctx, cancel := context.WithCancelCause(parent)
	var work sync.WaitGroup
	work.Go(func() { p.watch(ctx, cancel) })
	return p, ctx, func() {
		cancel(nil)
		work.Wait()
	}
}

func (p *pace) watch(ctx context.Context, cut context.CancelCauseFunc) {
	least := int64(float64(p.limits.Floor) * p.limits.Op.Seconds())
	tick := time.NewTicker(p.limits.Op)
	defer tick.Stop()
	for answered, done := false, false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		lately := p.lately.Swap(0)
		answered = answered || lately > 0
		switch {
		case lately >= least:
		case p.moved.Load() >= p.size && !done: // all is there: the answer has as long as any
			done = true
		case !answered:
			cut(fmt.Errorf("no answer within %v", p.limits.Op))
			return
		default:
			cut(fmt.Errorf("%d of %d bytes moved within %v", lately, p.size, p.limits.Op))
			return
		}
	}
}

// again begins from the first byte.
func (p *pace) again() { p.moved.Store(0) }

// reader counts what is read from r.
func (p *pace) reader(r io.Reader) io.Reader { return &paced{r, p} }

type paced struct {
	io.Reader
	p *pace
}

func (r *paced) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.p.lately.Add(int64(n))
	r.p.moved.Add(int64(n))
	return n, err
}
