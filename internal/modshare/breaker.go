package modshare

import (
	"log/slog"
	"sync"
	"time"
)

// breaker leaves a bucket alone that failed, then lets one request through to see.
type breaker struct {
	rest time.Duration
	log  *slog.Logger

	mu      sync.Mutex
	until   time.Time
	failing bool
	probing bool
}

func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.failing:
		return true
	case b.probing || time.Now().Before(b.until):
		return false
	}
	b.probing = true
	return true
}

func (b *breaker) good() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		b.log.Info("the object store answers again")
	}
	b.failing, b.probing = false, false
}

// fail begins a rest; quiet where somebody else tells why.
func (b *breaker) fail(why string, quiet bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.failing && !quiet {
		b.log.Warn("the object store fails: files are fetched without sharing them", "error", why, "again", b.rest)
	}
	b.failing, b.probing = true, false
	b.until = time.Now().Add(b.rest)
}

// release says that there was no verdict.
func (b *breaker) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

func (b *breaker) resting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failing
}
