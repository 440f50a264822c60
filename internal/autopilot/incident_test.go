package autopilot_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestTakenAndClosed: who takes an incident keeps others from being called; one that is
// closed by hand is opened again when its alert fires again.
func TestTakenAndClosed(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		r := newRig(t, o, nil)
		fires := alert(1, "disk/full", "web-1")
		r.ingest(t, fires, alert(2, "disk/full", "web-2"))
		open := func(asset string) (inc state.Incident, ok bool) {
			inc, ok, err := r.st.OpenIncident(t.Context(), "disk/full", asset)
			if err != nil {
				t.Fatal(err)
			}
			return inc, ok
		}
		r.until(t, "both are open", func() bool { _, a := open("web-1"); _, b := open("web-2"); return a && b })
		one, _ := open("web-1")
		if err := r.Acknowledge(t.Context(), one.ID, "", ""); !errors.Is(err, autopilot.ErrNobody) {
			t.Errorf("by nobody: %v", err)
		}
		if err := r.Acknowledge(t.Context(), one.ID, "user:ann", "looking"); err != nil {
			t.Fatal(err)
		}
		if got, _ := open("web-1"); got.TakenBy != "user:ann" || got.Taken.IsZero() {
			t.Errorf("%+v", got)
		}
		clock.Add(time.Hour) // overdue, both
		r.ingest(t, fires, alert(2, "disk/full", "web-2"))
		r.until(t, "people are told of the other", func() bool { return len(r.escalations()) > 0 })
		for _, x := range r.escalations() {
			if x.Incident == one.ID {
				t.Errorf("told of what is taken: %+v", x)
			}
		}
		if err := r.Close(t.Context(), one.ID, "user:ann", "it is the test system"); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(t.Context(), one.ID, "user:ann", "again"); !errors.Is(err, state.ErrConflict) {
			t.Errorf("closed twice: %v", err)
		}
		if err := r.Acknowledge(t.Context(), one.ID, "user:bob", ""); !errors.Is(err, state.ErrConflict) {
			t.Errorf("taken when closed: %v", err)
		}
		if got, err := r.st.Incident(t.Context(), one.ID); err != nil || got.State != state.IncidentResolved || got.Resolution != "closed" {
			t.Errorf("%+v %v", got, err)
		}
		r.ingest(t, fires)
		r.until(t, "it is open again", func() bool { _, ok := open("web-1"); return ok })
		if got, _ := open("web-1"); got.ID != one.ID || got.TakenBy != "" || !got.Resolved.IsZero() {
			t.Errorf("%+v", got)
		}
		records, err := journal.List(t.Context(), r.st.Reader, state.JournalFilter{Incident: one.ID}, state.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for _, rec := range records {
			said[rec.In(msg.EN).Why] = rec.Actor
		}
		for why, who := range map[string]string{"taken: looking": "user:ann", "closed by hand: it is the test system": "user:ann", "an alert fires again after it was closed by hand": autopilot.Actor} {
			if said[why] != who {
				t.Errorf("%q is not in the journal: %v", why, said)
			}
		}
		// One whose alert is over stays closed.
		r.ingest(t, over(fires))
		r.until(t, "it is over", func() bool { _, ok := open("web-1"); return !ok })
	})
}

// TestClosedStaysClosed: what was received before a person closed an incident does not open
// it again when its turn comes after that, nor does the look at what is open for long; what
// is received after does.
func TestClosedStaysClosed(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		r := newRig(t, o, nil)
		fires := alert(1, "disk/full", "web-1")
		r.ingest(t, fires)
		var inc state.Incident
		r.until(t, "it is open", func() (ok bool) {
			var err error
			if inc, ok, err = r.st.OpenIncident(t.Context(), "disk/full", "web-1"); err != nil {
				t.Fatal(err)
			}
			return ok
		})
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		// As on a node that has much to do: taken in, and not looked at yet.
		late, err := autopilot.Open(t.Context(), r.st, autopilot.Options{Classifier: labels{}, Compile: compiler(r.file, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := late.Ingest(t.Context(), []keepwell.Alert{fires}); err != nil {
			t.Fatal(err)
		}
		if err := late.Close(t.Context(), inc.ID, "user:ann", "it is the test system"); err != nil {
			t.Fatal(err)
		}
		if err := r.st.Tx(t.Context(), func(tx *state.Tx) error {
			return late.Queue().Insert(t.Context(), tx, jobs.Job{Kind: "overdue", Args: map[string]int64{"incident": inc.ID}})
		}); err != nil {
			t.Fatal(err)
		}
		if err := late.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := late.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		r.until(t, "all was looked at", func() bool {
			work, err := r.st.JobCounts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The first look at what is open for long is due in a quarter of an hour.
			return !slices.ContainsFunc(work, func(c state.JobCount) bool {
				return c.Kind == "triage" || c.Kind == "overdue" && c.State != "scheduled"
			})
		})
		if got, err := r.st.Incident(t.Context(), inc.ID); err != nil || got.State != state.IncidentResolved || got.Resolution != "closed" {
			t.Errorf("opened by what came before it was closed: %+v %v", got, err)
		}
		if _, err := late.Ingest(t.Context(), []keepwell.Alert{fires}); err != nil {
			t.Fatal(err)
		}
		r.until(t, "it is open again", func() bool {
			got, err := r.st.Incident(t.Context(), inc.ID)
			return err == nil && got.State == state.IncidentOpen
		})
	})
}

// TestCloseIsNoProof: that a person closes an incident does not prove that a run helped; its
// alerts do. A check is one entry in the journal.
func TestCloseIsNoProof(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		busy, closed := make(chan struct{}), make(chan struct{})
		r := newRig(t, o, func(o *autopilot.Options) {
			o.BeforeEffect = func(k state.StepKey) {
				if k.Seq == 0 {
					close(busy)
					<-closed
				}
			}
		})
		r.install(t, "evict", state.ModeActive, script{Code: code, Steps: []line{{Name: "evict"}, {Name: "look", Check: true, Idempotent: true}}, Verify: &check{}})
		r.ingest(t, alert(1, code, "redis-1"))
		<-busy
		inc, ok, err := r.st.OpenIncident(t.Context(), code, "redis-1")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := r.Close(t.Context(), inc.ID, "user:ann", "never mind"); err != nil {
			t.Fatal(err)
		}
		close(closed)
		run := r.run(t, "evict", 1, state.RunFailed)
		if got := msg.ParseReason(run.Error); got.Key != "why.futile" {
			t.Errorf("it failed as %+v", got)
		}
		rows, err := r.st.Journal(t.Context(), state.JournalFilter{Run: run.ID}, state.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var begun, ended []string
		for _, row := range rows {
			switch journal.Kind(row.Kind) {
			case journal.StepIntended:
				begun = append(begun, row.Body)
			case journal.StepEnded:
				ended = append(ended, row.Body)
			}
		}
		if len(begun) != 1 || len(ended) != 2 || !strings.Contains(ended[0], `"look"`) || !strings.Contains(ended[0], `"input":{"asset":"redis-1"`) {
			t.Errorf("begun %v\nended %v", begun, ended)
		}
	})
}
