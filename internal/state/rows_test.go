package state_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func anAlert(i int) keepwell.Alert {
	return keepwell.Alert{
		Fingerprint: fmt.Sprintf("f%05d", i), Status: keepwell.AlertFiring, Labels: map[string]string{"alertname": "RedisMemoryHigh", "instance": fmt.Sprint("redis-", i)},
		Annotations: map[string]string{"summary": "内存 < \"90\" %\n"}, StartsAt: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC), Source: "alertmanager", GeneratorURL: "http://127.0.0.1/graph",
	}
}

func put(t *testing.T, st *state.State, alerts ...keepwell.Alert) (puts []state.Put) {
	t.Helper()
	do(t, st, func(tx *state.Tx) (err error) { puts, err = tx.PutAlerts(t.Context(), alerts); return err })
	return puts
}

func news(puts []state.Put) (n []bool, seen []int64) {
	for _, p := range puts {
		n, seen = append(n, p.New), append(seen, p.Seen)
	}
	return n, seen
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		a, b := anAlert(1), anAlert(2)
		first := put(t, st, a, b, a)
		if n, seen := news(first); !slices.Equal(n, []bool{true, true, false}) || !slices.Equal(seen, []int64{2, 1, 2}) {
			t.Errorf("%v %v", n, seen)
		}
		clock.Add(time.Hour)
		later, resolved, restarted := a, a, a
		later.Annotations = map[string]string{"summary": "still"}
		resolved.Status, resolved.EndsAt = keepwell.AlertResolved, a.StartsAt.Add(time.Minute)
		restarted.StartsAt = a.StartsAt.Add(time.Microsecond)
		again := put(t, st, later, resolved, restarted)
		if n, seen := news(again); !slices.Equal(n, []bool{false, true, true}) || !slices.Equal(seen, []int64{3, 1, 1}) {
			t.Errorf("%v %v", n, seen)
		}
		if again[0].ID != first[0].ID || again[1].ID == first[0].ID {
			t.Errorf("%v after %v", again, first)
		}
		want := state.StoredAlert{ID: first[0].ID, Alert: later, Seen: 3, First: clock.Now().Add(-time.Hour), Last: clock.Now()}
		if diff := cmp.Diff(want, must(st.Alert(t.Context(), first[0].ID))(t)); diff != "" {
			t.Error(diff)
		}
		if got := must(st.Alerts(t.Context(), state.AlertFilter{Fingerprint: a.Fingerprint, Status: keepwell.AlertFiring}, state.Page{}))(t); len(got) != 2 || got[0].ID != again[2].ID {
			t.Errorf("%v", got)
		}
		if _, err := st.Alert(t.Context(), 1e9); !errors.Is(err, state.ErrNotFound) {
			t.Error(err)
		}
		if put(t, st) != nil && len(put(t, st)) != 0 {
			t.Error("something of nothing")
		}
	})
}

// TestStorm: 10,000 alerts in one transaction, and once more.
func TestStorm(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		const n = 10_000
		alerts := make([]keepwell.Alert, n)
		for i := range alerts {
			alerts[i] = anAlert(i)
		}
		for round := range 2 {
			seen := map[int64]bool{}
			start := time.Now()
			puts := put(t, st, alerts...)
			t.Logf("%s: %d alerts in %v", st.Kind(), n, time.Since(start).Round(time.Millisecond))
			for i, p := range puts {
				if p.New != (round == 0) || p.Seen != int64(round+1) || seen[p.ID] {
					t.Fatalf("round %d, alert %d: %+v", round, i, p)
				}
				seen[p.ID] = true
			}
		}
		// All of them, in order, page by page.
		var last state.StoredAlert
		count := 0
		for {
			page := must(st.AlertHistory(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), last, 999))(t)
			if len(page) == 0 {
				break
			}
			for _, a := range page {
				if a.ID <= last.ID {
					t.Fatalf("%d after %d", a.ID, last.ID)
				}
				last = a
				count++
			}
		}
		if count != n {
			t.Errorf("the history holds %d", count)
		}
	})
}

func TestPutAtOnce(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		var all sync.WaitGroup
		var mu sync.Mutex
		total := 0
		for g := range 8 {
			all.Go(func() {
				var alerts []keepwell.Alert
				for i := range 300 {
					alerts = append(alerts, anAlert((i+g*37)%300)) // in another order each
				}
				err := st.Tx(t.Context(), func(tx *state.Tx) error {
					puts, err := tx.PutAlerts(t.Context(), alerts)
					n := 0
					for _, p := range puts {
						if p.New {
							n++
						}
					}
					tx.AfterCommit(func() { mu.Lock(); total += n; mu.Unlock() })
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if total != 300 {
			t.Errorf("%d were new to somebody, want 300", total)
		}
		if got := must(st.Alerts(t.Context(), state.AlertFilter{Fingerprint: "f00007"}, state.Page{}))(t); len(got) != 1 || got[0].Seen != 8 {
			t.Errorf("%v", got)
		}
	})
}

func TestIncidents(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		puts := put(t, st, anAlert(1), anAlert(2))
		draft := state.Incident{Code: "redis/memory-high", Asset: "redis-1", Priority: keepwell.P2, Confidence: 0.7, Title: "memory", Evidence: []keepwell.Evidence{{Source: "labels", Text: "x"}}}
		join := func(d state.Incident, alerts ...int64) (i state.Incident, opened bool) {
			do(t, st, func(tx *state.Tx) (err error) { i, opened, err = tx.JoinIncident(ctx, d, alerts...); return err })
			return i, opened
		}
		one, opened := join(draft, puts[0].ID)
		if !opened || one.Alerts != 1 || one.State != state.IncidentOpen || !one.Opened.Equal(clock.Now()) {
			t.Errorf("%v %+v", opened, one)
		}
		// Less sure but worse: the priority rises, the words stay; the alert is counted once.
		worse := draft
		worse.Priority, worse.Confidence, worse.Title, worse.Evidence = keepwell.P0, 0.5, "other", nil
		if i, opened := join(worse, puts[0].ID, puts[1].ID); opened || i.ID != one.ID || i.Priority != keepwell.P0 || i.Title != "memory" || i.Confidence != 0.7 || i.Alerts != 2 {
			t.Errorf("%v %+v", opened, i)
		}
		surer := draft
		surer.Confidence, surer.Title, surer.Priority = 0.9, "surer", keepwell.P4
		if i, _ := join(surer); i.Title != "surer" || i.Priority != keepwell.P0 || i.Joins != 3 {
			t.Errorf("%+v", i)
		}
		if other, opened := join(state.Incident{Code: draft.Code, Asset: "redis-2", Priority: keepwell.P3}); !opened || other.ID == one.ID {
			t.Errorf("%+v", other)
		}
		if n := must(st.Firing(ctx, one.ID))(t); n != 2 {
			t.Error(n)
		}
		gone := anAlert(1)
		gone.Status = keepwell.AlertResolved
		put(t, st, gone)
		if n := must(st.Firing(ctx, one.ID))(t); n != 1 {
			t.Error(n)
		}
		if id := must(st.IncidentOf(ctx, gone))(t); id != one.ID {
			t.Error(id)
		}
		if put := put(t, st, anAlert(2)); put[0].Incident != one.ID {
			t.Errorf("a repeat does not know its incident: %+v", put)
		}
		clock.Add(time.Minute)
		do(t, st, func(tx *state.Tx) error { return tx.ResolveIncident(ctx, one.ID, "alerts resolved") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.ResolveIncident(ctx, one.ID, "again") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.SetPriority(ctx, one.ID, keepwell.P1) })
		if i := must(st.Incident(ctx, one.ID))(t); i.Resolution != "alerts resolved" || i.Resolved.Sub(i.Opened) != time.Minute || i.Evidence[0].Text != "x" {
			t.Errorf("%+v", i)
		}
		if _, ok, err := st.OpenIncident(ctx, draft.Code, draft.Asset); ok || err != nil {
			t.Error(ok, err)
		}
		if ended := must(st.ResolvedAs(ctx, "alerts resolved", one.ID, one.ID+1))(t); len(ended) != 1 || !ended[one.ID].Equal(clock.Now()) {
			t.Errorf("%v", ended)
		}
		if ended := must(st.ResolvedAs(ctx, "closed", one.ID))(t); len(ended) != 0 {
			t.Errorf("%v", ended)
		}
		if i, opened := join(draft); !opened || i.ID == one.ID {
			t.Errorf("a resolved incident was joined: %+v", i)
		}
		for want, f := range map[int64]state.IncidentFilter{3: {}, 2: {State: state.IncidentOpen}, 1: {State: state.IncidentResolved, Asset: "redis-1", Code: draft.Code, Priority: keepwell.P0}} {
			if n := must(st.CountIncidents(ctx, f))(t); n != want {
				t.Errorf("%+v: %d", f, n)
			}
			if got := must(st.Incidents(ctx, f, state.Page{}))(t); int64(len(got)) != want {
				t.Errorf("%+v: %v", f, got)
			}
		}
	})
}

// TestJoinAtOnce: of many that find the same fault, one opens the incident.
func TestJoinAtOnce(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		var all sync.WaitGroup
		var mu sync.Mutex
		opened, runs := 0, 0
		for range 8 {
			all.Go(func() {
				err := st.Tx(t.Context(), func(tx *state.Tx) error {
					i, o, err := tx.JoinIncident(t.Context(), state.Incident{Code: "a/b", Asset: "x", Priority: keepwell.P1})
					if err != nil {
						return err
					}
					_, created, err := tx.StartRun(t.Context(), state.Run{Playbook: "p", Incident: i.ID, Unique: "p a/b x"})
					tx.AfterCommit(func() {
						mu.Lock()
						defer mu.Unlock()
						if o {
							opened++
						}
						if created {
							runs++
						}
					})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if opened != 1 || runs != 1 {
			t.Errorf("opened %d times, %d runs", opened, runs)
		}
	})
}

func TestRunsAndSteps(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		var run state.Run
		draft := state.Run{Playbook: "evict", Version: "v", Incident: 7, Asset: "redis-1", Unique: "k", Mode: "active", Reason: "because", Vars: json.RawMessage(`{"n":1}`)}
		start := func() (created bool) {
			do(t, st, func(tx *state.Tx) (err error) { run, created, err = tx.StartRun(ctx, draft); return err })
			return created
		}
		if !start() || run.State != state.RunPending {
			t.Fatalf("%+v", run)
		}
		first := run.ID
		if start() || run.ID != first {
			t.Errorf("two unfinished runs of one key: %+v", run)
		}
		k := state.StepKey{Run: first, Seq: 0, Attempt: 1}
		if k.String() != fmt.Sprint(first, "/0/1") {
			t.Error(k)
		}
		step := state.Step{StepKey: k, Name: "evict", Action: "run_script", Status: state.StepPending}
		do(t, st, func(tx *state.Tx) error {
			return errors.Join(tx.MoveRun(ctx, first, state.RunRunning, ""), tx.AddStep(ctx, step))
		})
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.AddStep(ctx, step) })
		do(t, st, func(tx *state.Tx) error { return tx.Wait(ctx, k) })
		clock.Add(time.Second)
		do(t, st, func(tx *state.Tx) error { return tx.Intend(ctx, k, json.RawMessage(`{"argv":["x"]}`), 3) })
		// After a crash between intent and result the effect is not made again.
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.Intend(ctx, k, nil, 4) })
		if got := must(st.StepsIn(ctx, state.StepIntended, 10))(t); len(got) != 1 || got[0].Node != 3 || string(got[0].Intent) != `{"argv":["x"]}` {
			t.Errorf("%+v", got)
		}
		do(t, st, func(tx *state.Tx) error { return tx.EndStep(ctx, k, state.StepUnknown, nil, "killed") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.EndStep(ctx, k, state.StepDone, nil, "") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.Intend(ctx, k, nil, 4) })
		do(t, st, func(tx *state.Tx) error { return tx.SettleStep(ctx, k, state.StepFailed, "probe: not done") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.SettleStep(ctx, k, state.StepDone, "") })
		second := step
		second.Attempt = 2
		do(t, st, func(tx *state.Tx) error {
			if err := tx.AddStep(ctx, second); err != nil {
				return err
			}
			if err := tx.Intend(ctx, second.StepKey, nil, 3); err != nil {
				return err
			}
			return tx.EndStep(ctx, second.StepKey, state.StepDone, json.RawMessage(`{"rc":0}`), "")
		})
		for name, f := range map[string]func(tx *state.Tx) error{
			"unfinished end":  func(tx *state.Tx) error { return tx.EndStep(ctx, k, state.StepIntended, nil, "") },
			"ended beginning": func(tx *state.Tx) error { return tx.AddStep(ctx, state.Step{Status: state.StepDone}) },
			"unknown settled": func(tx *state.Tx) error { return tx.SettleStep(ctx, k, state.StepUnknown, "") },
			"no JSON":         func(tx *state.Tx) error { return tx.SetVars(ctx, first, json.RawMessage("{")) },
		} {
			if st.Tx(ctx, f) == nil {
				t.Errorf("%s passed", name)
			}
		}
		steps := must(st.Steps(ctx, first))(t)
		want := []state.Step{
			{StepKey: k, Name: "evict", Action: "run_script", Status: state.StepFailed, Intent: json.RawMessage(`{"argv":["x"]}`), Result: json.RawMessage("null"), Error: "probe: not done", Node: 3, Created: steps[0].Created, Intended: clock.Now(), Ended: clock.Now()},
			{StepKey: second.StepKey, Name: "evict", Action: "run_script", Status: state.StepDone, Intent: json.RawMessage("null"), Result: json.RawMessage(`{"rc":0}`), Node: 3, Created: clock.Now(), Intended: clock.Now(), Ended: clock.Now()},
		}
		if diff := cmp.Diff(want, steps); diff != "" {
			t.Error(diff)
		}
		do(t, st, func(tx *state.Tx) error {
			got, err := tx.Step(ctx, k)
			if got.Status != state.StepFailed {
				t.Error(got)
			}
			return errors.Join(err, tx.SetVars(ctx, first, json.RawMessage(`[]`)), tx.MoveRun(ctx, first, state.RunHuman, "who knows"))
		})
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.MoveRun(ctx, first, state.RunRunning, "") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.SetVars(ctx, first, nil) })
		ended := must(st.Run(ctx, first))(t)
		if ended.State != state.RunHuman || string(ended.Vars) != "[]" || ended.Error != "who knows" || !ended.Ended.Equal(clock.Now()) || !ended.Started.Equal(clock.Now().Add(-time.Second)) {
			t.Errorf("%+v", ended)
		}
		if !start() || run.ID == first {
			t.Errorf("an ended run holds the key: %+v", run)
		}
		for want, f := range map[int64]state.RunFilter{2: {Playbook: "evict", Since: clock.Now().Add(-time.Second)}, 1: {Unfinished: true, Incident: 7, Asset: "redis-1"}, 0: {State: state.RunDone}} {
			if n := must(st.CountRuns(ctx, f))(t); n != want {
				t.Errorf("%+v: %d", f, n)
			}
			if got := must(st.Runs(ctx, f, state.Page{}))(t); int64(len(got)) != want {
				t.Errorf("%+v: %v", f, got)
			}
		}
	})
}

func TestApprovals(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		ask := func(seq int64) (a state.Approval, asked bool) {
			do(t, st, func(tx *state.Tx) (err error) {
				a, asked, err = tx.Ask(ctx, state.Approval{Run: 1, Seq: seq, Reason: "restart", AskedBy: "playbook", Expires: clock.Now().Add(time.Hour)})
				return err
			})
			return a, asked
		}
		a, asked := ask(0)
		if again, twice := ask(0); !asked || twice || again.ID != a.ID {
			t.Errorf("%v %v", a, again)
		}
		b, _ := ask(1)
		do(t, st, func(tx *state.Tx) error {
			got, err := tx.Decide(ctx, a.ID, state.ApprovalGranted, "ann", "fine")
			if got.By != "ann" || got.State != state.ApprovalGranted || !got.Decided.Equal(clock.Now()) {
				t.Errorf("%+v", got)
			}
			return err
		})
		decide := func(id int64, to state.ApprovalState) func(tx *state.Tx) error {
			return func(tx *state.Tx) error { _, err := tx.Decide(ctx, id, to, "bob", ""); return err }
		}
		refused(t, st, state.ErrConflict, decide(a.ID, state.ApprovalRefused))
		if got := must(st.Overdue(ctx))(t); len(got) != 0 {
			t.Error(got)
		}
		clock.Add(time.Hour)
		refused(t, st, state.ErrConflict, decide(b.ID, state.ApprovalGranted)) // too late
		if got := must(st.Overdue(ctx))(t); len(got) != 1 || got[0].ID != b.ID {
			t.Error(got)
		}
		do(t, st, decide(b.ID, state.ApprovalExpired))
		if st.Tx(ctx, decide(b.ID, state.ApprovalAsked)) == nil {
			t.Error("asked is no decision")
		}
		if got := must(st.Approvals(ctx, state.ApprovalGranted, 1, state.Page{}))(t); len(got) != 1 || got[0].Note != "fine" {
			t.Error(got)
		}
		if got := must(st.Approval(ctx, b.ID))(t); got.State != state.ApprovalExpired {
			t.Error(got)
		}
		if _, asked := ask(0); !asked {
			t.Error("a decided question keeps the next from being asked")
		}
	})
}

// TestDecideAtOnce: of many decisions one counts.
func TestDecideAtOnce(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		var a state.Approval
		do(t, st, func(tx *state.Tx) (err error) {
			a, _, err = tx.Ask(t.Context(), state.Approval{Run: 1, Expires: time.Now().Add(time.Hour)})
			return err
		})
		var all sync.WaitGroup
		won := make(chan state.ApprovalState, 8)
		for i := range 8 {
			to := []state.ApprovalState{state.ApprovalGranted, state.ApprovalRefused}[i%2]
			all.Go(func() {
				err := st.Tx(t.Context(), func(tx *state.Tx) error { _, err := tx.Decide(t.Context(), a.ID, to, "x", ""); return err })
				if err == nil {
					won <- to
				} else if !errors.Is(err, state.ErrConflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 || must(st.Approval(t.Context(), a.ID))(t).State != <-won {
			t.Error("not one decision")
		}
	})
}

func TestGuards(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		do(t, st, func(tx *state.Tx) error {
			return errors.Join(tx.SetCooldown(ctx, "k", clock.Now().Add(time.Hour), "ran"), tx.SetCooldown(ctx, "k", clock.Now().Add(time.Minute), "shorter"), tx.SetCooldown(ctx, "l", clock.Now().Add(time.Minute), ""))
		})
		if c, ok, err := st.Cooling(ctx, "k"); !ok || err != nil || c.Reason != "ran" || !c.Until.Equal(clock.Now().Add(time.Hour)) {
			t.Errorf("%+v %v %v", c, ok, err)
		}
		if got := must(st.Cooldowns(ctx))(t); len(got) != 2 || got[0].Key != "k" {
			t.Error(got)
		}
		clock.Add(time.Minute)
		if _, ok, err := st.Cooling(ctx, "l"); ok || err != nil {
			t.Error("over, and holds", err)
		}
		do(t, st, func(tx *state.Tx) error { return tx.EndCooldown(ctx, "k") })
		if _, ok, _ := st.Cooling(ctx, "k"); ok {
			t.Error("ended, and holds")
		}
		if b := must(st.Breaker(ctx, "k"))(t); b.State != state.BreakerClosed || b.Failures != 0 {
			t.Errorf("%+v", b)
		}
		var all sync.WaitGroup
		for range 8 { // none of the failures gets lost
			all.Go(func() {
				err := st.Tx(ctx, func(tx *state.Tx) error {
					_, err := tx.ChangeBreaker(ctx, "k", func(b *state.Breaker) {
						if b.Failures++; b.Failures >= 3 {
							b.State, b.Until, b.Reason = state.BreakerOpen, clock.Now().Add(time.Hour), "3 in a row"
						}
					})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if b := must(st.Breaker(ctx, "k"))(t); b.State != state.BreakerOpen || b.Failures != 8 || b.Reason == "" || !b.Updated.Equal(clock.Now()) {
			t.Errorf("%+v", b)
		}
		if got := must(st.Breakers(ctx))(t); len(got) != 1 {
			t.Error(got)
		}
		mute := func(m state.Mute) (id int64) {
			do(t, st, func(tx *state.Tx) (err error) { id, err = tx.AddMute(ctx, m); return err })
			return id
		}
		everywhere := mute(state.Mute{Reason: "release", By: "ann"})
		timed := mute(state.Mute{Scope: "asset=redis-1", Until: clock.Now().Add(time.Hour)})
		mute(state.Mute{Scope: "later", From: clock.Now().Add(2 * time.Hour)})
		active := func() (ids []int64) {
			for _, m := range must(st.ActiveMutes(ctx))(t) {
				ids = append(ids, m.ID)
			}
			return ids
		}
		if got := active(); !slices.Equal(got, []int64{everywhere, timed}) {
			t.Error(got)
		}
		clock.Add(time.Hour)
		do(t, st, func(tx *state.Tx) error { return tx.LiftMute(ctx, everywhere, "bob") })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.LiftMute(ctx, everywhere, "bob") })
		if got := active(); len(got) != 0 {
			t.Error(got)
		}
		clock.Add(time.Hour)
		if got := active(); len(got) != 1 {
			t.Error(got)
		}
		if got := must(st.Mutes(ctx, state.Page{Limit: 2}))(t); len(got) != 2 || got[1].ID != timed {
			t.Error(got)
		}
	})
}

func TestPlaybooks(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		store := func(text string) (v string) {
			do(t, st, func(tx *state.Tx) (err error) { v, err = tx.PutPlaybook(ctx, "evict", text, "evict.yaml"); return err })
			clock.Add(time.Second)
			return v
		}
		a, b := store("a"), store("b")
		if store("a") != a || a == b || a != state.PlaybookVersion("a") {
			t.Error(a, b)
		}
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.SetMode(ctx, "evict", "none", state.ModeActive, "ann") })
		if _, err := st.CurrentPlaybook(ctx, "evict"); !errors.Is(err, state.ErrNotFound) {
			t.Error(err)
		}
		do(t, st, func(tx *state.Tx) error { return tx.SetMode(ctx, "evict", a, state.ModeObserve, "ann") })
		do(t, st, func(tx *state.Tx) error { return tx.SetMode(ctx, "evict", b, state.ModeActive, "bob") })
		want := []state.CurrentPlaybook{{Playbook: state.Playbook{Name: "evict", Version: b, Text: "b", Origin: "evict.yaml", Stored: clock.Now().Add(-2 * time.Second)}, Mode: state.ModeActive, Since: clock.Now(), By: "bob"}}
		if diff := cmp.Diff(want, must(st.CurrentPlaybooks(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		if got := must(st.Playbook(ctx, "evict", a))(t); got.Text != "a" {
			t.Error(got)
		}
		if got := must(st.PlaybookVersions(ctx, "evict"))(t); len(got) != 2 || got[0].Version != b {
			t.Error(got)
		}
	})
}

func TestPeople(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		var ann, bob state.User
		do(t, st, func(tx *state.Tx) (err error) {
			if ann, err = tx.AddUser(ctx, state.User{Name: "ann", Role: "admin", Password: "$argon2id$x", Subject: "iss sub"}); err != nil {
				return err
			}
			bob, err = tx.AddUser(ctx, state.User{Name: "bob", Role: "viewer"})
			return err
		})
		for _, taken := range []state.User{{Name: "ann"}, {Name: "eve", Subject: "iss sub"}} {
			refused(t, st, state.ErrConflict, func(tx *state.Tx) error { _, err := tx.AddUser(ctx, taken); return err })
		}
		if got := must(st.UserBySubject(ctx, "iss sub"))(t); got.ID != ann.ID {
			t.Error(got)
		}
		if _, err := st.UserBySubject(ctx, ""); !errors.Is(err, state.ErrNotFound) {
			t.Error("no subject is everybody's", err)
		}
		if got := must(st.Users(ctx))(t); len(got) != 2 || got[0].Password != "$argon2id$x" {
			t.Error(got)
		}
		var token state.Token
		do(t, st, func(tx *state.Tx) (err error) {
			token, err = tx.AddToken(ctx, state.Token{User: bob.ID, Name: "ci", Hash: []byte{1}, Role: "viewer", Scope: "mod", Expires: clock.Now().Add(time.Hour)})
			if err == nil {
				err = errors.Join(tx.TouchToken(ctx, token.ID), tx.AddSession(ctx, state.Session{Hash: []byte{2}, User: bob.ID, CSRF: "c", Address: "127.0.0.1", Expires: clock.Now().Add(time.Hour)}))
			}
			return err
		})
		live := func(want bool) {
			t.Helper()
			tok, u, err := st.LiveToken(ctx, []byte{1})
			if (err == nil) != want || want && (u.Name != "bob" || tok.Scope != "mod" || tok.Used.IsZero()) || !want && !errors.Is(err, state.ErrNotFound) {
				t.Errorf("token: %+v %+v %v", tok, u, err)
			}
			v, u, err := st.LiveSession(ctx, []byte{2})
			if (err == nil) != want || want && (u.Name != "bob" || v.CSRF != "c") || !want && !errors.Is(err, state.ErrNotFound) {
				t.Errorf("session: %+v %+v %v", v, u, err)
			}
		}
		live(true)
		if _, _, err := st.LiveToken(ctx, []byte{2}); !errors.Is(err, state.ErrNotFound) {
			t.Error("another's hash", err)
		}
		disable := func(d bool) {
			bob.Disabled = d
			do(t, st, func(tx *state.Tx) error { return tx.ChangeUser(ctx, bob) })
		}
		disable(true)
		live(false)
		disable(false)
		live(true)
		clock.Add(time.Hour)
		live(false)
		clock.Add(-time.Minute)
		do(t, st, func(tx *state.Tx) error {
			return errors.Join(tx.RevokeToken(ctx, token.ID), tx.TouchSession(ctx, []byte{2}, clock.Now().Add(time.Hour)), tx.EndSessions(ctx, bob.ID))
		})
		live(false)
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.RevokeToken(ctx, token.ID) })
		do(t, st, func(tx *state.Tx) error {
			return errors.Join(tx.AddSession(ctx, state.Session{Hash: []byte{3}, User: ann.ID, Expires: clock.Now().Add(time.Hour)}), tx.EndSession(ctx, []byte{3}), tx.EndSession(ctx, []byte{3}))
		})
		if _, _, err := st.LiveSession(ctx, []byte{3}); !errors.Is(err, state.ErrNotFound) {
			t.Error(err)
		}
		if got := must(st.Tokens(ctx, bob.ID))(t); len(got) != 1 || got[0].Revoked.IsZero() {
			t.Error(got)
		}
	})
}

// TestPaging: 100,000 incidents, page by page, each once.
func TestPaging(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		st := statetest.Open(t, o)
		const n = 100_000
		do(t, st, func(tx *state.Tx) error { return tx.Many(ctx, n) })
		var slowest time.Duration
		var before, count int64
		for {
			start := time.Now()
			page := must(st.Incidents(ctx, state.IncidentFilter{State: state.IncidentResolved}, state.Page{Before: before, Limit: 1000}))(t)
			slowest = max(slowest, time.Since(start))
			if len(page) == 0 {
				break
			}
			for _, i := range page {
				if before != 0 && i.ID >= before {
					t.Fatalf("%d after %d", i.ID, before)
				}
				before = i.ID
				count++
			}
		}
		if count != n {
			t.Errorf("%d of %d", count, n)
		}
		t.Logf("%s: the slowest of %d pages of 1,000: %v", st.Kind(), n/1000, slowest.Round(time.Millisecond))
		for name, f := range map[string]state.IncidentFilter{"all": {}, "state": {State: "resolved"}, "asset": {Asset: "asset-5"}, "code": {Code: "a/b"}, "priority": {Priority: "P3"}} {
			if plan := must(st.Explain(ctx, f, state.Page{Before: n / 2}))(t); st.Kind() == state.SQLite && (!slices.ContainsFunc(plan, func(s string) bool { return len(s) > 6 && s[:6] == "SEARCH" }) || slices.Contains(plan, "USE TEMP B-TREE FOR ORDER BY")) {
				t.Errorf("%s: not by an index: %q", name, plan)
			}
		}
	})
}

func TestRetain(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		// Old: a resolved incident with alert, run, step and approval; one that is open.
		// New: the same, resolved.
		var kept []int64
		age := func(asset string, resolve, end bool, alert int) (incident int64) {
			do(t, st, func(tx *state.Tx) error {
				puts, err := tx.PutAlerts(ctx, []keepwell.Alert{anAlert(alert)})
				if err != nil {
					return err
				}
				i, _, err := tx.JoinIncident(ctx, state.Incident{Code: "a/b", Asset: asset, Priority: "P1"}, puts[0].ID)
				if err != nil {
					return err
				}
				incident = i.ID
				run, _, err := tx.StartRun(ctx, state.Run{Incident: i.ID, Unique: asset})
				if err != nil {
					return err
				}
				k := state.StepKey{Run: run.ID, Attempt: 1}
				_, _, err = tx.Ask(ctx, state.Approval{Run: run.ID, Expires: clock.Now()})
				err = errors.Join(err, tx.AddStep(ctx, state.Step{StepKey: k, Status: state.StepPending}))
				if end {
					err = errors.Join(err, tx.MoveRun(ctx, run.ID, state.RunDone, ""))
				}
				if resolve {
					err = errors.Join(err, tx.ResolveIncident(ctx, i.ID, ""))
				}
				return err
			})
			return incident
		}
		age("gone", true, true, 1)
		kept = append(kept, age("open", false, true, 2), age("running", true, false, 3))
		put(t, st, anAlert(5), anAlert(6))
		do(t, st, func(tx *state.Tx) error {
			return errors.Join(tx.SetCooldown(ctx, "old", clock.Now(), ""), tx.AddSession(ctx, state.Session{Hash: []byte{1}, Expires: clock.Now()}))
		})
		clock.Add(24 * time.Hour)
		kept = append(kept, age("new", true, true, 4))
		put(t, st, anAlert(6)) // it came again
		total := state.Removed{}
		for {
			var r state.Removed
			do(t, st, func(tx *state.Tx) (err error) { r, err = tx.Retain(ctx, clock.Now().Add(-time.Hour), 1); return err })
			if !r.Any() {
				break
			}
			if r.Alerts > 1 || r.Incidents > 1 || r.Runs > 1 {
				t.Errorf("more than the limit: %+v", r)
			}
			total.Alerts += r.Alerts
			total.Incidents += r.Incidents
			total.Runs += r.Runs
			total.Sessions += r.Sessions
			total.Cooldowns += r.Cooldowns
		}
		if want := (state.Removed{Alerts: 1, Incidents: 1, Runs: 2, Sessions: 1, Cooldowns: 1}); total != want {
			t.Errorf("%+v, want %+v", total, want)
		}
		var left []int64
		for _, i := range must(st.Incidents(ctx, state.IncidentFilter{}, state.Page{}))(t) {
			left = append(left, i.ID)
		}
		slices.Sort(left)
		if !slices.Equal(left, kept) {
			t.Errorf("%v, want %v", left, kept)
		}
		var alerts []string
		for _, a := range must(st.Alerts(ctx, state.AlertFilter{}, state.Page{}))(t) {
			alerts = append(alerts, a.Fingerprint)
		}
		slices.Sort(alerts)
		if !slices.Equal(alerts, []string{"f00002", "f00003", "f00004", "f00006"}) {
			t.Error(alerts)
		}
		if got := must(st.Approvals(ctx, "", 0, state.Page{}))(t); len(got) != 2 {
			t.Error(got)
		}
		if got := must(st.StepsIn(ctx, state.StepPending, 10))(t); len(got) != 2 {
			t.Error(got)
		}
	})
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		next := clock.Now().Add(time.Minute)
		count := func() (a state.Attempts) {
			do(t, st, func(tx *state.Tx) (err error) {
				a, err = tx.ChangeAttempts(t.Context(), "account x", func(a *state.Attempts) { a.Failures++; a.Next = next })
				return err
			})
			return a
		}
		count()
		if a := count(); a.Failures != 2 || !a.Next.Equal(next) || !a.Updated.Equal(clock.Now()) {
			t.Errorf("%+v", a)
		}
		do(t, st, func(tx *state.Tx) error { return tx.ForgetAttempts(t.Context(), clock.Now()) })
		if a := count(); a.Failures != 3 {
			t.Errorf("forgotten too early: %+v", a)
		}
		clock.Add(time.Second)
		do(t, st, func(tx *state.Tx) error { return tx.ForgetAttempts(t.Context(), clock.Now()) })
		if a := count(); a.Failures != 1 {
			t.Errorf("not forgotten: %+v", a)
		}
		do(t, st, func(tx *state.Tx) error {
			for i, role := range []string{"admin", "admin", "viewer"} {
				if _, err := tx.AddUser(t.Context(), state.User{Name: fmt.Sprint("u", i), Role: role, Disabled: i == 1}); err != nil {
					return err
				}
			}
			n, err := tx.LockAdmins(t.Context(), "admin")
			u, err2 := tx.LockUser(t.Context(), "u2")
			if n != 1 || u.Role != "viewer" {
				t.Errorf("%d admins, %+v", n, u)
			}
			return errors.Join(err, err2)
		})
	})
}

// TestJournalKeys: a key stays as it was put, and ends once.
func TestJournalKeys(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		ctx := t.Context()
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		if got := must(st.JournalKeys(ctx))(t); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		a := state.JournalKey{PublicKey: []byte{1}, Node: "节点", Entry: 7, Created: clock.Now(), VouchedBy: []byte{}, Vouch: []byte{}}
		b := state.JournalKey{PublicKey: []byte{2}, Node: "b", Entry: 3, Created: clock.Now(), VouchedBy: []byte{1}, Vouch: []byte{9}}
		for _, k := range []state.JournalKey{a, b} {
			do(t, st, func(tx *state.Tx) error { return tx.PutJournalKey(ctx, k) })
		}
		other := a
		other.Node = "eve"
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.PutJournalKey(ctx, other) })
		clock.Add(time.Hour)
		do(t, st, func(tx *state.Tx) error { return tx.RetireJournalKey(ctx, a.PublicKey) })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.RetireJournalKey(ctx, a.PublicKey) })
		refused(t, st, state.ErrConflict, func(tx *state.Tx) error { return tx.RetireJournalKey(ctx, []byte{3}) })
		a.Retired = clock.Now()
		if diff := cmp.Diff([]state.JournalKey{b, a}, must(st.JournalKeys(ctx))(t), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
