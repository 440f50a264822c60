package autopilot

import (
	"fmt"
	"testing"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestInterruptionsAreOurs: that this process ended in the middle of many runs does not
// stop their playbook; as many failures do. An asset on which it happens again and again
// is left alone all the same.
func TestInterruptionsAreOurs(t *testing.T) {
	t.Parallel()
	for kind, stops := range map[fault]bool{interruption: false, failure: true} {
		st := statetest.Open(t, state.Options{Dir: t.TempDir()})
		e := &Engine{st: st}
		var err error
		if e.queue, err = jobs.Open(t.Context(), st, jobs.Options{}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			for range 1 + i/19*2 { // the last asset thrice
				run := state.Run{Playbook: "p", Mode: string(state.ModeActive), Asset: fmt.Sprint("asset-", i)}
				if err := st.Tx(t.Context(), func(tx *state.Tx) error {
					return e.blame(t.Context(), tx, run, Policy{}.filled(), kind, msg.Because("why.interrupted"))
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for key, open := range map[string]bool{bookBreaker("p"): stops, targetBreaker("p", "asset-0"): false, targetBreaker("p", "asset-19"): true} {
			if b, err := st.Breaker(t.Context(), key); err != nil || (b.State == state.BreakerOpen) != open {
				t.Errorf("%d: %s is %s, %v", kind, key, b.State, err)
			}
		}
	}
}
