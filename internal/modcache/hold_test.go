package modcache

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// TestLargeArchivesTakeTurns: sixteen cores do not read sixteen toolchains at once, nor
// keep buffers for them; small archives wait for nobody.
func TestLargeArchivesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &verifying{room: semaphore.NewWeighted(mostHeld)}
		var mu sync.Mutex
		var work sync.WaitGroup
		now, most := 0, 0
		for range 16 {
			work.Go(func() {
				mine := &reader{}
				l := &looking{verifying: v, r: mine}
				if r, done := l.hold(1 << 20); r != mine {
					t.Error("a small archive is read by another's reader")
				} else {
					done()
				}
				r, done := l.hold(100 << 20)
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				if r == mine {
					t.Error("a large archive is read into a reader's own buffers")
				}
				mu.Lock()
				now--
				mu.Unlock()
				done()
			})
		}
		work.Wait()
		if most != 2 || len(v.large) > 2 {
			t.Errorf("%d at once, %d readers", most, len(v.large))
		}
		l := &looking{verifying: v}
		_, done := l.hold(2 * mostHeld) // larger than all that is held: it comes alone
		done()
	})
}
