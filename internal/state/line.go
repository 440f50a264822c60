package state

import (
	"context"
	"slices"
	"sync"
)

// line gives one transaction at a time its turn at SQLite's writer, first come, first
// served, and those that somebody waits for before the others. database/sql hands a
// connection to any of those that wait for it: where many do, some wait for seconds.
type line struct {
	mu             sync.Mutex
	busy           bool
	urgent, others []chan struct{}
}

// enter waits for the turn; nil: the caller has it, and calls leave.
func (l *line) enter(ctx context.Context, urgent bool) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	of := &l.others
	if urgent {
		of = &l.urgent
	}
	*of = append(*of, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(*of, turn)
	if i >= 0 {
		*of = slices.Delete(*of, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 { // it was given meanwhile
		l.leave()
	}
	return ctx.Err()
}

// leave gives the turn to the next.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range []*[]chan struct{}{&l.urgent, &l.others} {
		if len(*of) > 0 {
			close((*of)[0])
			*of = slices.Delete(*of, 0, 1)
			return
		}
	}
	l.busy = false
}
