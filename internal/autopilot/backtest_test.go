package autopilot_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestBacktest replays a day in which a fault came back again and again.
func TestBacktest(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		put := func(alerts ...keepwell.Alert) {
			if err := st.Tx(t.Context(), func(tx *state.Tx) error { _, err := tx.PutAlerts(t.Context(), alerts); return err }); err != nil {
				t.Fatal(err)
			}
		}
		begin := clock.Now()
		for i := range 4 { // comes again every 10 minutes: after 3 runs that did not help it is stopped
			a := alert(i, code, "redis-1")
			put(a, alert(100+i, "disk/full", "redis-1"))
			clock.Add(9 * time.Minute)
			put(over(a))
			clock.Add(time.Minute)
		}
		put(alert(20, code, "redis-2"))
		clock.Add(30 * time.Second)
		put(alert(21, code, "redis-2")) // joins: it ran for this incident
		clock.Add(30 * time.Second)
		put(over(alert(20, code, "redis-2")), over(alert(21, code, "redis-2")))
		clock.Add(time.Minute)
		put(alert(22, code, "redis-2")) // cooling down
		clock.Add(time.Minute)
		put(alert(23, code, "redis-3")) // one too many
		text, err := json.Marshal(script{Code: code, Steps: []line{{Name: "evict"}}, Policy: autopilot.Policy{MaxAssets: 2}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := compiler(os.DevNull, nil)(string(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := autopilot.Backtest{Classify: labels{}, Program: p, From: begin, To: clock.Now().Add(time.Second)}.Run(t.Context(), st.Reader)
		if err != nil {
			t.Fatal(err)
		}
		want := autopilot.BacktestReport{
			Alerts: 18, Incidents: 8, Runs: 4, Assets: map[string]int{"redis-1": 3, "redis-2": 1},
			Stopped: map[autopilot.Check]int{autopilot.CheckBreaker: 1, autopilot.CheckCooldown: 1, autopilot.CheckBlast: 1},
		}
		events := got.Events
		got.Events = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%+v", diff, events)
		}
		if len(events) != 7 || !events[0].At.Equal(begin) || events[0].Asset != "redis-1" {
			t.Errorf("%+v", events)
		}
	})
}
