package autopilot_test

import (
	"encoding/json"
	"os"
	"strings"
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
		for i := range 4 { // lasts 9 of 10 minutes, longer than a cooldown: after 3 runs that did not help it is stopped
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
			Stopped: map[autopilot.Check]int{autopilot.CheckBreaker: 3, autopilot.CheckCooldown: 2, autopilot.CheckBlast: 1},
		}
		events := got.Events
		got.Events = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%+v", diff, events)
		}
		if len(events) != 10 || !events[0].At.Equal(begin) || events[0].Asset != "redis-1" {
			t.Errorf("%+v", events)
		}
	})
}

// TestBacktestIsTrue holds the back-test to the engine: what goes on is run at again and
// again, until a limit says no.
func TestBacktestIsTrue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy autopilot.Policy
		verify *check
		stop   autopilot.Check
		runs   int
	}{
		"it does not help":        {autopilot.Policy{Cooldown: time.Millisecond}, nil, autopilot.CheckBreaker, 3},
		"verified: does not help": {autopilot.Policy{Cooldown: time.Millisecond, Ineffective: 2}, &check{}, autopilot.CheckBreaker, 2},
		"seldom enough":           {autopilot.Policy{Cooldown: time.Millisecond, Refire: time.Nanosecond, MaxRuns: 4}, nil, autopilot.CheckMaxRuns, 4},
		"nothing looks again":     {autopilot.Policy{Cooldown: -1}, nil, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, state.Options{Dir: t.TempDir()}, nil)
			s := script{Code: code, Steps: []line{{Name: "evict"}}, Policy: c.policy, Verify: c.verify}
			r.install(t, "evict", state.ModeActive, s)
			from := r.st.Now()
			r.ingest(t, alert(1, code, "redis-1"), alert(2, code, "redis-1"))
			if c.stop != "" {
				r.until(t, "it is stopped", func() bool { return strings.Contains(r.decisions(t), `"check":"`+string(c.stop)+`"`) })
			} else {
				r.run(t, "evict", 1, state.RunDone)
			}
			ran := len(r.runs(t, state.RunFilter{Playbook: "evict"}))
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			p, err := compiler(os.DevNull, nil)(string(text))
			if err != nil {
				t.Fatal(err)
			}
			const later = 10 * time.Minute // less than a breaker stays open
			got, err := autopilot.Backtest{Classify: labels{}, Program: p, From: from, To: r.st.Now().Add(later), RunTime: time.Millisecond}.Run(t.Context(), r.st.Reader)
			if err != nil || got.Runs != ran || ran != c.runs || c.stop != "" && got.Stopped[c.stop] != 1 {
				t.Errorf("%d runs, of a playbook that ran %d times: %+v (%v)", got.Runs, ran, got, err)
			}
		})
	}
}
