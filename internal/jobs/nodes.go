package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

const (
	// lookout is how often a node looks for dead ones.
	lookout = 500 * time.Millisecond
	// beats is how many of those pass between two beats, which are for people.
	beats = 20
)

// bury takes up what dead nodes were working on.
func (q *Queue) bury(ctx context.Context) error {
	return q.st.Tx(ctx, func(tx *state.Tx) error {
		dead, err := tx.Dead(ctx, q.node.ID)
		if err != nil {
			return err
		}
		for _, n := range dead {
			jobs, err := tx.Bury(ctx, n)
			if err != nil {
				return err
			}
			tx.AfterCommit(func() { q.log.Warn("a node is gone; its jobs are taken up", "node", n.Name, "jobs", jobs) })
		}
		return nil
	})
}

// live looks for dead nodes, where there can be any, and says that this one lives.
func (q *Queue) live(ctx context.Context) {
	tick := time.NewTicker(lookout)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if q.st.Kind() == state.PostgreSQL {
			if err := q.bury(ctx); err != nil && ctx.Err() == nil {
				q.log.Warn("looking for dead nodes", "error", err)
			}
		}
		if n%beats != 0 {
			continue
		}
		err := q.st.Tx(ctx, func(tx *state.Tx) error { return tx.Beat(ctx, q.node.ID) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrConflict) { // watch mends that
			q.log.Warn("beating", "error", err)
		}
	}
}

// watch keeps this node's lock. While it is lost others take the node for dead, so what
// it does is cancelled.
func (q *Queue) watch(ctx context.Context) {
	for {
		err := q.hold.Lost(ctx)
		if ctx.Err() != nil {
			return
		}
		q.log.Error("the connection that shows others that this node lives is lost; its jobs are cancelled", "error", err)
		q.mu.Lock()
		q.fence()
		q.mu.Unlock()
		_ = q.hold.Release(ctx) // it is broken
		if !q.regain(ctx) {
			return
		}
		q.renew()
		q.log.Info("this node works again")
	}
}

// regain takes the lock again, trying until ctx ends.
func (q *Queue) regain(ctx context.Context) bool {
	tick := time.NewTicker(lookout)
	defer tick.Stop()
	for {
		hold, err := q.st.Hold(ctx, q.node.ID)
		if err == nil {
			q.hold = hold
			if err = q.st.Tx(ctx, func(tx *state.Tx) error { return tx.Return(ctx, q.node.ID) }); err == nil {
				return true
			}
			_ = hold.Release(ctx) // and once more
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// renew begins a time in which this node may work.
func (q *Queue) renew() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lease, q.fence = context.WithCancel(context.Background())
}

// leased ends ctx when this node is taken for dead.
func (q *Queue) leased(ctx context.Context) (context.Context, func()) {
	q.mu.Lock()
	lease := q.lease
	q.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(lease, cancel)
	return ctx, func() { forget(); cancel() }
}
