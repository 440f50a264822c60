package autopilot_test

import (
	"slices"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// statuses are the attempts of a run, as NAME STATUS.
func (r *rig) statuses(t *testing.T, run int64) []string {
	t.Helper()
	steps, err := r.st.Steps(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range steps {
		out = append(out, s.Name+" "+string(s.Status))
	}
	return out
}

// TestOnFailure: what a step and a playbook say about failure is done.
func TestOnFailure(t *testing.T) {
	t.Parallel()
	after := []string{"tell"}
	for name, c := range map[string]struct {
		step  line
		want  state.RunState
		steps []string
		// follows says that the steps of on_failure run, undoes that what was done is undone.
		follows, undoes bool
	}{
		"stop":     {line{Name: "b", Do: "fail"}, state.RunFailed, []string{"a done", "b failed"}, true, false},
		"continue": {line{Name: "b", Do: "fail", OnFailure: autopilot.FailContinue}, state.RunDone, []string{"a done", "b failed", "c done"}, false, false},
		"human":    {line{Name: "b", Do: "fail", OnFailure: autopilot.FailHuman}, state.RunHuman, []string{"a done", "b failed"}, false, false},
		"undo":     {line{Name: "b", Do: "fail", OnFailure: autopilot.FailUndo}, state.RunFailed, []string{"a done", "b failed"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			statetest.Each(t, func(t *testing.T, o state.Options) {
				r := newRig(t, o, nil)
				r.install(t, "p", state.ModeActive, script{Code: code, OnFailure: after, Steps: []line{{Name: "a", Undo: true}, c.step, {Name: "c"}}})
				r.ingest(t, alert(1, code, "x"))
				run := r.run(t, "p", 1, c.want)
				if got := r.statuses(t, run.ID); !slices.Equal(got, c.steps) {
					t.Errorf("steps %q, want %q", got, c.steps)
				}
				for mode, wanted := range map[string]bool{"on_failure": c.follows, "undo": c.undoes} {
					if !wanted {
						if n := len(r.runs(t, state.RunFilter{Mode: mode})); n != 0 {
							t.Errorf("%d runs of mode %s", n, mode)
						}
						continue
					}
					r.until(t, "a run of mode "+mode, func() bool {
						runs := r.runs(t, state.RunFilter{Mode: mode})
						return len(runs) == 1 && runs[0].State == state.RunDone
					})
				}
			})
		})
	}
}

// TestExpiry: silence is never consent, and what follows it is the playbook's to say.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for expiry, c := range map[autopilot.OnExpiry]struct {
		want  state.RunState
		steps []string
	}{
		autopilot.ExpiryStop:  {state.RunCancelled, []string{"a skipped"}},
		autopilot.ExpirySkip:  {state.RunDone, []string{"a skipped", "b done"}},
		autopilot.ExpiryHuman: {state.RunHuman, []string{"a skipped"}},
	} {
		t.Run("expiry "+string(expiry), func(t *testing.T) {
			t.Parallel()
			statetest.Each(t, func(t *testing.T, o state.Options) {
				r := newRig(t, o, nil)
				need := &autopilot.Approval{Expires: time.Millisecond, OnExpiry: expiry, Role: "admin"}
				r.install(t, "p", state.ModeActive, script{Code: code, Steps: []line{{Name: "a", Approval: need}, {Name: "b"}}})
				r.ingest(t, alert(1, code, "x"))
				run := r.run(t, "p", 1, c.want)
				if got := r.statuses(t, run.ID); !slices.Equal(got, c.steps) {
					t.Errorf("steps %q, want %q", got, c.steps)
				}
				asked, err := r.st.Approvals(t.Context(), state.ApprovalExpired, run.ID, state.Page{})
				if err != nil || len(asked) != 1 {
					t.Fatal(asked, err)
				}
				if role, err := r.Approver(t.Context(), asked[0].ID); role != "admin" || err != nil {
					t.Errorf("role %q, %v", role, err)
				}
				r.until(t, "people are told", func() bool { return len(r.escalations()) == 1 })
			})
		})
	}
}

// TestChecked: a check that waits goes on when the incident is over, and one that fails
// counts as ineffective.
func TestChecked(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		r.install(t, "waits", state.ModeActive, script{Code: code, Steps: []line{{Name: "a"}, {Name: "see", Check: true, Delay: time.Second}}})
		a := alert(1, code, "x")
		r.ingest(t, a)
		r.until(t, "a check that waits", func() bool {
			runs := r.runs(t, state.RunFilter{Playbook: "waits"})
			return len(runs) == 1 && slices.Equal(r.statuses(t, runs[0].ID), []string{"a done", "see waiting"})
		})
		r.ingest(t, over(a))
		r.run(t, "waits", 1, state.RunDone)

		r.install(t, "futile", state.ModeActive, script{Code: "a/b", Steps: []line{{Name: "a"}, {Name: "see", Check: true, Do: "fail"}}})
		r.ingest(t, alert(2, "a/b", "x"))
		r.run(t, "futile", 1, state.RunFailed)
		b, err := r.st.Breaker(t.Context(), "target futile x")
		if err != nil || b.Ineffective != 1 || b.Failures != 0 {
			t.Errorf("breaker %+v, %v", b, err)
		}
	})
}

// TestTargets: how many runs one asset has at once, and what no cooldown means.
func TestTargets(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		wait := []line{{Name: "a", Approval: &autopilot.Approval{}}}
		r.install(t, "one", state.ModeActive, script{Code: code, Steps: wait})
		r.install(t, "free", state.ModeActive, script{Code: code, Steps: []line{{Name: "a"}}, Policy: autopilot.Policy{Cooldown: -1, Refire: time.Nanosecond}})
		ingested := func(n int) keepwell.Alert {
			a := alert(n, code, "x")
			r.ingest(t, a)
			return a
		}
		a := ingested(1)
		r.run(t, "one", 1, state.RunWaiting)
		r.run(t, "free", 1, state.RunDone)
		r.ingest(t, over(a))
		r.run(t, "one", 1, state.RunCancelled)
		ingested(2)
		r.run(t, "free", 2, state.RunDone) // at once, as there is no cooldown
		if n := len(r.runs(t, state.RunFilter{Playbook: "one"})); n != 1 {
			t.Errorf("%d runs of what cools down", n)
		}
	})
}

// TestFinal: what would fail again is not tried again.
func TestFinal(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()}, nil)
	r.install(t, "p", state.ModeActive, script{Code: code, Steps: []line{{Name: "a", Do: "final", Idempotent: true, Retries: 3}}})
	r.ingest(t, alert(1, code, "web-01"))
	run := r.run(t, "p", 1, state.RunFailed)
	if steps, err := r.st.Steps(t.Context(), run.ID); err != nil || len(steps) != 1 {
		t.Errorf("%+v %v", steps, err)
	}
}
