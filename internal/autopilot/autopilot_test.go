package autopilot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

const code = "redis/memory-high"

// TestWhole goes from an alert to a verified run.
func TestWhole(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		telling, ended := make(chan struct{}), make(chan struct{})
		r := newRig(t, o, func(o *autopilot.Options) {
			o.BeforeEffect = func(k state.StepKey) {
				if k.Seq == 2 { // as long as the alert has not ended
					close(telling)
					<-ended
				}
			}
		})
		r.install(t, "evict", state.ModeActive, script{
			Code: code, Steps: []line{{Name: "evict"}, {Name: "left out", Skip: true}, {Name: "tell"}}, Verify: &check{},
		})
		r.install(t, "other", state.ModeActive, script{Code: "disk/full", Steps: []line{{Name: "never"}}})
		a := alert(1, code, "redis-1")
		if got := r.ingest(t, a, keepwell.Alert{}); got.New != 1 || len(got.Refused) != 1 {
			t.Errorf("%+v", got)
		}
		<-telling
		if got := r.ingest(t, a, over(a)); got.New != 1 || got.Repeated != 1 {
			t.Errorf("%+v", got)
		}
		close(ended)
		run := r.run(t, "evict", 1, state.RunDone)
		steps, err := r.st.Steps(t.Context(), run.ID)
		if err != nil || len(steps) != 3 || steps[0].Status != state.StepDone || steps[1].Status != state.StepSkipped || steps[2].Status != state.StepDone {
			t.Errorf("%+v, %v", steps, err)
		}
		if got := effects(r.file); len(got) != 2 || got[steps[0].String()] != 1 || got[steps[2].String()] != 1 {
			t.Errorf("effects %v", got)
		}
		if _, cooling, err := r.st.Cooling(t.Context(), "cooldown active evict redis-1"); err != nil || !cooling {
			t.Errorf("no cooldown: %v", err)
		}
		for _, want := range []string{`"verdict":"run"`, `"why":{"args":[{"text":"disk/full"}],"key":"why.notfor"}`, `"check":"match"`} {
			if text := r.decisions(t); !strings.Contains(text, want) {
				t.Errorf("%q is not in the decisions %s", want, text)
			}
		}
		if runs := r.runs(t, state.RunFilter{}); len(runs) != 1 {
			t.Errorf("%d runs", len(runs))
		}
		report, err := journal.Verify(t.Context(), r.st.Reader, journal.Trust{})
		if err != nil || len(report.Problems) > 0 || report.Entries < 8 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestStorm: everything is kept, with one incident per code and asset and one run of it.
func TestStorm(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		r.install(t, "evict", state.ModeActive, script{Code: code, Steps: []line{{Name: "evict"}}})
		const alerts, assets = 10_000, 20
		storm := make([]keepwell.Alert, alerts)
		for i := range storm {
			storm[i] = alert(i, code, fmt.Sprintf("redis-%d", i%assets))
		}
		if got := r.ingest(t, storm...); got.New != alerts {
			t.Errorf("%+v", got)
		}
		r.until(t, "all have their incident", func() bool {
			incidents, err := r.st.Incidents(t.Context(), state.IncidentFilter{}, state.Page{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			var n int64
			for _, i := range incidents {
				n += i.Alerts
			}
			return n == alerts && len(incidents) == assets
		})
		r.until(t, "all runs end", func() bool {
			return len(r.runs(t, state.RunFilter{State: state.RunDone})) == assets
		})
		if runs, made := r.runs(t, state.RunFilter{}), effects(r.file); len(runs) != assets || len(made) != assets {
			t.Errorf("%d runs, %d effects on %d assets", len(runs), len(made), assets)
		}
	})
}

func TestUnclassified(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()}, nil)
	r.ingest(t, alert(1, "", "web-1"))
	r.until(t, "an incident", func() bool {
		incidents, err := r.st.Incidents(t.Context(), state.IncidentFilter{Code: autopilot.Unclassified}, state.Page{})
		return err == nil && len(incidents) == 1 && incidents[0].Asset == "Test web-1"
	})
}

// TestObserve: everything but the effects.
func TestObserve(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		r.install(t, "evict", state.ModeObserve, script{Code: code, Steps: []line{{Name: "evict"}, {Name: "left out", Skip: true}}})
		r.ingest(t, alert(1, code, "redis-1"))
		run := r.run(t, "evict", 1, state.RunDone)
		steps, err := r.st.Steps(t.Context(), run.ID)
		if err != nil || run.Mode != "observe" || len(steps) != 2 || steps[0].Status != state.StepSkipped || !strings.Contains(string(steps[0].Result), "redis-1") {
			t.Errorf("%+v, %+v, %v", run, steps, err)
		}
		if len(effects(r.file)) > 0 {
			t.Error("an observed run had effects")
		}
	})
}

func TestApproval(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		need := &autopilot.Approval{Ask: "really?", Another: true}
		r.install(t, "evict", state.ModeActive, script{Code: code, Steps: []line{{Name: "evict", Approval: need}}})
		r.install(t, "hasty", state.ModeActive, script{Code: "a/b", Steps: []line{{Name: "x", Approval: &autopilot.Approval{Expires: time.Millisecond}}}})
		question := func(book string, n int) state.Approval {
			run := r.run(t, book, n, state.RunWaiting)
			var open []state.Approval
			r.until(t, "a question", func() bool {
				var err error
				open, err = r.st.Approvals(t.Context(), state.ApprovalAsked, run.ID, state.Page{})
				return err == nil && len(open) == 1
			})
			return open[0]
		}
		r.ingest(t, alert(1, code, "granted"))
		q := question("evict", 1)
		for _, by := range []string{"user:author", ""} {
			if err := r.Approve(t.Context(), q.ID, by, ""); !errors.Is(err, autopilot.ErrSamePerson) && !errors.Is(err, autopilot.ErrNobody) {
				t.Errorf("%q approved: %v", by, err)
			}
		}
		if err := r.Approve(t.Context(), q.ID, "user:colleague", "fine"); err != nil {
			t.Error(err)
		}
		if err := r.Deny(t.Context(), q.ID, "user:colleague", ""); !errors.Is(err, state.ErrConflict) {
			t.Errorf("answered twice: %v", err)
		}
		done := r.run(t, "evict", 1, state.RunDone)
		steps, err := r.st.Steps(t.Context(), done.ID)
		if err != nil || len(steps) != 1 || len(steps[0].Intent) < 3 || string(steps[0].Intent) != string(q.Intent.Input) {
			t.Errorf("done: %+v, approved: %s (%v)", steps, q.Intent.Input, err)
		}
		r.ingest(t, alert(2, code, "denied"))
		if err := r.Deny(t.Context(), question("evict", 2).ID, "user:author", "no"); err != nil {
			t.Error(err)
		}
		r.run(t, "evict", 2, state.RunCancelled)
		a := alert(3, code, "over")
		r.ingest(t, a)
		question("evict", 3)
		r.ingest(t, over(a))
		r.run(t, "evict", 3, state.RunCancelled)
		if n := len(effects(r.file)); n != 1 {
			t.Errorf("%d effects", n)
		}
		r.ingest(t, alert(4, "a/b", "expired"))
		r.run(t, "hasty", 1, state.RunCancelled)
		r.until(t, "people are told", func() bool { return len(r.escalations()) == 1 })
	})
}

// TestBreaker: what fails or does not help stops, across a restart, until a person or
// time lets it try again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"fails", "does not help", "comes again"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			statetest.Each(t, func(t *testing.T, o state.Options) {
				r := newRig(t, o, nil)
				s := script{Code: code, Steps: []line{{Name: "evict"}}, Policy: autopilot.Policy{Cooldown: time.Millisecond, Failures: 2, Ineffective: 2}}
				switch kind {
				case "fails":
					s.Steps[0].Do = "fail"
				case "does not help":
					s.Verify = &check{Fails: true}
				}
				r.install(t, "evict", state.ModeActive, s)
				r.ingest(t, alert(1, code, "redis-1"))
				const key = "target evict redis-1"
				r.until(t, "the breaker opens", func() bool {
					b, err := r.st.Breaker(t.Context(), key)
					return err == nil && b.State == state.BreakerOpen
				})
				r.until(t, "people are told", func() bool { return len(r.escalations()) > 0 })
				r.until(t, "it holds", func() bool { return strings.Contains(r.decisions(t), `"check":"breaker"`) })
				if n := len(r.runs(t, state.RunFilter{})); n != 2 {
					t.Errorf("%d runs before it opened", n)
				}
				// Half open: one more.
				if err := r.st.Tx(t.Context(), func(tx *state.Tx) error {
					_, err := tx.ChangeBreaker(t.Context(), key, func(b *state.Breaker) { b.Until = tx.Now() })
					return err
				}); err != nil {
					t.Fatal(err)
				}
				r.ingest(t, alert(9, code, "redis-1"), over(alert(1, code, "redis-1")), over(alert(9, code, "redis-1")))
				r.until(t, "the incident ends", func() bool {
					n, err := r.st.CountIncidents(t.Context(), state.IncidentFilter{State: state.IncidentOpen})
					return err == nil && n == 0
				})
				r.ingest(t, alert(10, code, "redis-1"))
				r.until(t, "one more run", func() bool { return len(r.runs(t, state.RunFilter{})) == 3 })
				if err := r.ResetBreaker(t.Context(), key, "user:ann", "mended"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHeld: each limit holds a run back, and says so.
func TestHeld(t *testing.T) {
	t.Parallel()
	for check, policy := range map[autopilot.Check]autopilot.Policy{
		autopilot.CheckMaxRuns:     {MaxRuns: 1},
		autopilot.CheckBlast:       {MaxAssets: 1},
		autopilot.CheckConcurrency: {Concurrency: 1},
		autopilot.CheckMute:        {},
	} {
		t.Run(string(check), func(t *testing.T) {
			t.Parallel()
			statetest.Each(t, func(t *testing.T, o state.Options) {
				r := newRig(t, o, nil)
				r.install(t, "evict", state.ModeActive, script{Code: code, Policy: policy, Steps: []line{{Name: "evict", Approval: &autopilot.Approval{}}}})
				r.ingest(t, alert(1, code, "redis-1"))
				r.run(t, "evict", 1, state.RunWaiting)
				if check == autopilot.CheckMute {
					if _, err := r.Mute(t.Context(), "asset:redis-*", time.Time{}, "user:ann", "night"); err != nil {
						t.Fatal(err)
					}
				}
				r.ingest(t, alert(2, code, "redis-2"))
				r.until(t, "it is held", func() bool { return strings.Contains(r.decisions(t), `"check":"`+string(check)+`"`) })
				if n := len(r.runs(t, state.RunFilter{})); n != 1 {
					t.Errorf("%d runs", n)
				}
			})
		})
	}
}

// TestUndo: a failure has undone what was done before it, last first; so has a person.
func TestUndo(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		r.install(t, "evict", state.ModeActive, script{Code: code, Policy: autopilot.Policy{Undo: true}, Steps: []line{
			{Name: "one", Undo: true}, {Name: "two", Undo: true}, {Name: "three", Do: "fail", Undo: true, Idempotent: true, Retries: 1},
		}})
		r.ingest(t, alert(1, code, "redis-1"))
		r.until(t, "the undo", func() bool { return len(r.runs(t, state.RunFilter{Mode: "undo", State: state.RunDone})) == 1 })
		failed := r.run(t, "evict", 1, state.RunFailed)
		undo := r.runs(t, state.RunFilter{Mode: "undo"})[0]
		steps, err := r.st.Steps(t.Context(), undo.ID)
		if err != nil || len(steps) != 2 || steps[0].Name != "undo two" || !strings.Contains(string(steps[0].Result), fmt.Sprintf("%d/1/1", failed.ID)) {
			t.Errorf("%+v, %v", steps, err)
		}
		if made := effects(r.file); len(made) != 6 || made[fmt.Sprintf("%d/2/2", failed.ID)] != 1 {
			t.Errorf("effects %v", made)
		}
		if _, err := r.Undo(t.Context(), undo.ID, "user:ann", ""); !errors.Is(err, state.ErrConflict) {
			t.Errorf("undid an undo: %v", err)
		}
	})
}

// TestUnsure: what may have been made is looked after, never made again blindly.
func TestUnsure(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		r.install(t, "probed", state.ModeActive, script{Code: "a/probed", Steps: []line{{Name: "x", Do: "unsure", Probe: true}, {Name: "y"}}})
		r.install(t, "blind", state.ModeActive, script{Code: "a/blind", Steps: []line{{Name: "x", Do: "unsure"}, {Name: "y"}}})
		r.ingest(t, alert(1, "a/probed", "p"), alert(2, "a/blind", "b"))
		r.run(t, "probed", 1, state.RunDone)
		blind := r.run(t, "blind", 1, state.RunHuman)
		r.until(t, "people are told", func() bool { return len(r.escalations()) == 1 })
		for key, n := range effects(r.file) {
			if n != 1 {
				t.Errorf("effect %s %d times", key, n)
			}
		}
		k := state.StepKey{Run: blind.ID, Seq: 0, Attempt: 1}
		if err := r.Settle(t.Context(), k, true, "user:ann", "looked"); err != nil {
			t.Error(err)
		}
	})
}

// TestHold: a new version is observed before it acts.
func TestHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()}, nil)
	text := `{"Code":"` + code + `","Steps":[{"Name":"evict"}]}`
	if err := r.Install(t.Context(), "evict", autopilot.AnyVersion, text, "file", state.ModeActive, time.Hour, "user:ann"); err != nil {
		t.Fatal(err)
	}
	mode := func() state.Mode {
		b, err := r.st.CurrentPlaybook(t.Context(), "evict")
		if err != nil {
			t.Fatal(err)
		}
		return b.Mode
	}
	if got := mode(); got != state.ModeObserve {
		t.Errorf("a new playbook is %s", got)
	}
	if err := r.SetMode(t.Context(), "evict", autopilot.AnyVersion, state.ModeActive, "user:bob", msg.Said("looks right")); err != nil || mode() != state.ModeActive {
		t.Errorf("not released: %v", err)
	}
	if err := r.Install(t.Context(), "evict", autopilot.AnyVersion, text+" ", "file", state.ModeActive, time.Millisecond, "user:ann"); err != nil {
		t.Fatal(err)
	}
	r.until(t, "the hold ends", func() bool { return mode() == state.ModeActive })
	// What was decided about another version changes nothing.
	was := state.PlaybookVersion(text)
	for what, err := range map[string]error{
		"a mode":    r.SetMode(t.Context(), "evict", was, state.ModeOff, "user:bob", msg.Said("off")),
		"a text":    r.Install(t.Context(), "evict", was, text+"  ", "file", state.ModeOff, 0, "user:bob"),
		"a new one": r.Install(t.Context(), "evict", "", text+"  ", "file", state.ModeOff, 0, "user:bob"),
	} {
		if !errors.Is(err, autopilot.ErrStale) || mode() != state.ModeActive {
			t.Errorf("%s over another version: %v, %s", what, err, mode())
		}
	}
	if err := r.SetMode(t.Context(), "evict", state.PlaybookVersion(text+" "), state.ModeOff, "user:bob", msg.Said("off")); err != nil || mode() != state.ModeOff {
		t.Errorf("%v, %s", err, mode())
	}
	if err := r.Install(t.Context(), "broken", autopilot.AnyVersion, "{", "file", state.ModeActive, 0, "user:ann"); err == nil {
		t.Error("a broken playbook was installed")
	}
}

// TestReminded: what goes on for long is told to people, once.
func TestReminded(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()}, func(o *autopilot.Options) { o.EscalateAfter = time.Millisecond })
	a := alert(1, "", "web-1")
	r.ingest(t, a)
	r.until(t, "people are told", func() bool { return len(r.escalations()) == 1 })
	r.ingest(t, a)
	r.until(t, "the repeat is counted", func() bool {
		alerts, err := r.st.Alerts(t.Context(), state.AlertFilter{}, state.Page{})
		return err == nil && alerts[0].Seen == 2
	})
	if n := len(r.escalations()); n != 1 {
		t.Errorf("told %d times", n)
	}
}
