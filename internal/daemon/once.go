package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// Outcome is what came of a run that a person started.
type Outcome struct {
	Run state.Run
	// Runs are this and those that it brought about, Steps the steps of all.
	Runs  []state.Run
	Steps []state.Step
	// Journal is all that was decided and done, in order.
	Journal []journal.Record
}

// ErrUnclear says that an alert became no incident in time.
var ErrUnclear = errors.New("the alert became no incident in time")

// Occasion is what a playbook is run once for.
type Occasion struct {
	// Name and Text are the playbook's.
	Name, Text string
	Alert      keepwell.Alert
	// By is who runs it and Why, for the journal.
	By, Why string
	// Tell is called with each step that has ended.
	Tell func(state.Step)
}

// Once runs a playbook once for one alert, by hand, in the database of o's configuration,
// which nobody else may be using, and waits for the end. Nothing listens and nobody is
// told; what waits for the alert's end is left out, since nobody would say so.
// When ctx ends, the run is cancelled: what is being
// done is finished, and nothing follows. The outcome is good also with an error.
func Once(ctx context.Context, o Options, x Occasion) (out Outcome, err error) {
	o.Mounts, o.alone = nil, true
	d, err := New(ctx, o)
	if err != nil {
		return out, err
	}
	whole := context.WithoutCancel(ctx)
	defer func() {
		end, cancel := context.WithTimeout(whole, d.Grace())
		defer cancel()
		err = errors.Join(err, d.Stop(end))
	}()
	if err := d.eng.Start(ctx); err != nil {
		return out, err
	}
	d.undo = append(d.undo, d.eng.Stop)
	if err := d.eng.Install(ctx, x.Name, "", x.Text, "by hand", state.ModeOff, 0, x.By); err != nil {
		return out, err
	}
	if _, err := d.eng.Ingest(ctx, []keepwell.Alert{x.Alert}); err != nil {
		return out, err
	}
	incident, err := d.incidentOf(ctx, x.Alert)
	if err != nil {
		return out, err
	}
	if out.Run, err = d.eng.Run(ctx, x.Name, incident, x.By, x.Why); err != nil {
		return out, err
	}
	err = d.watch(ctx, &out, x)
	for after := int64(0); ; {
		more, failed := journal.After(whole, d.st.Reader, after, 1000)
		if failed != nil || len(more) == 0 {
			return out, errors.Join(err, failed)
		}
		out.Journal, after = append(out.Journal, more...), more[len(more)-1].Seq
	}
}

// glance is how often a run is looked at by those who wait for it.
const glance = 50 * time.Millisecond

// incidentOf waits for the incident of an alert.
func (d *Daemon) incidentOf(ctx context.Context, a keepwell.Alert) (int64, error) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for range int(30 * time.Second / glance) {
		if id, err := d.st.IncidentOf(ctx, a); err != nil || id != 0 {
			return id, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return 0, ErrUnclear
}

// watch follows a run and what it brings about (an undo, what follows a failure) to the
// end.
func (d *Daemon) watch(ctx context.Context, out *Outcome, x Occasion) error {
	whole := context.WithoutCancel(ctx)
	told := map[state.StepKey]bool{}
	cancelled := ctx.Done()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		runs, err := d.st.Runs(whole, state.RunFilter{Incident: out.Run.Incident}, state.Page{Limit: 10})
		if err != nil {
			return err
		}
		going := false
		out.Runs, out.Steps = out.Runs[:0], out.Steps[:0]
		for _, run := range slices.Backward(runs) {
			steps, err := d.st.Steps(whole, run.ID)
			if err != nil {
				return err
			}
			going = going || !run.State.Final()
			out.Runs, out.Steps = append(out.Runs, run), append(out.Steps, steps...)
		}
		for _, s := range out.Steps {
			if s.Status.Final() && !told[s.StepKey] {
				told[s.StepKey] = true
				x.Tell(s)
			}
		}
		if !going {
			out.Run = out.Runs[0]
			return nil
		}
		select {
		case <-tick.C:
		case <-cancelled:
			cancelled = nil
			if err := d.eng.Cancel(whole, out.Run.ID, x.By, context.Cause(ctx).Error()); err != nil && !errors.Is(err, state.ErrConflict) {
				return fmt.Errorf("cancelling: %w", err)
			}
		}
	}
}
