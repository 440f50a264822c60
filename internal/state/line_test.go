package state

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// TestLine: turns come one at a time and in order, the urgent first; who gives up loses
// nobody else's turn.
func TestLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l line
		if err := l.enter(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		var order []string
		inside := 0
		wait := func(name string, urgent bool, ctx context.Context) {
			go func() {
				if err := l.enter(ctx, urgent); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				if inside++; inside != 1 {
					t.Errorf("%d have the turn", inside)
				}
				order = append(order, name)
				inside--
				l.leave()
			}()
			synctest.Wait()
		}
		gone, cancel := context.WithCancel(t.Context())
		wait("a", false, t.Context())
		wait("lost", false, gone)
		wait("b", false, t.Context())
		wait("lost, too", true, gone)
		wait("now", true, t.Context())
		wait("now, too", true, t.Context())
		cancel()
		synctest.Wait()
		l.leave()
		synctest.Wait()
		if want := []string{"now", "now, too", "a", "b"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		if err := l.enter(t.Context(), false); err != nil || !l.busy || len(l.urgent)+len(l.others) != 0 {
			t.Errorf("%v, %+v", err, &l)
		}
	})
}
