package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

const (
	jobCheckpoint = "checkpoint"
	jobRetention  = "retention"
)

// care lists the jobs of the server's own. Each is in the queue once, whatever the number
// of nodes, and inserts its next time itself.
func (d *Daemon) care() []jobs.Handler {
	const long = 10 * time.Minute
	return []jobs.Handler{
		{Kind: jobCheckpoint, Workers: 1, Do: d.again(jobCheckpoint, 5*time.Minute, d.checkpoint)},
		{Kind: jobRetention, Workers: 1, Timeout: long, Do: d.again(jobRetention, time.Hour, func(ctx context.Context) error { return errors.Join(d.retain(ctx), d.st.Remember(ctx)) })},
	}
}

// again does a job and inserts its next time.
func (d *Daemon) again(kind string, every time.Duration, do func(context.Context) error) func(context.Context, *jobs.Task) error {
	return func(ctx context.Context, t *jobs.Task) error {
		if err := do(ctx); err != nil {
			if !t.Last {
				return err
			}
			d.log.Error("a job of the server failed", "job", kind, "error", err.Error()) // and goes on with its next time
		}
		return d.st.Tx(ctx, func(tx *state.Tx) error {
			return errors.Join(t.Complete(ctx, tx), d.eng.Queue().Insert(ctx, tx, jobs.Job{Kind: kind, Unique: kind, At: tx.Now().Add(every)}))
		})
	}
}

// begin writes down that it starts, and sees that its jobs are there.
func (d *Daemon) begin(ctx context.Context) error {
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		return errors.Join(
			journal.Append(tx, journal.Entry{Kind: journal.ServerStarted, Actor: autopilot.Actor, Why: d.eng.Queue().Node().Name, Data: map[string]any{"version": d.o.Version}}),
			d.eng.Queue().Insert(ctx, tx, jobs.Job{Kind: jobCheckpoint, Unique: jobCheckpoint}, jobs.Job{Kind: jobRetention, Unique: jobRetention, At: tx.Now().Add(time.Minute)}),
		)
	})
}

// farewell writes down that it ends, and signs the journal's end.
func (d *Daemon) farewell(ctx context.Context) error {
	const patience = 10 * time.Second // what is asked to end may have used up its time
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := d.st.Tx(ctx, func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{Kind: journal.ServerStopped, Actor: autopilot.Actor, Why: d.eng.Queue().Node().Name})
	})
	return errors.Join(err, d.checkpoint(ctx))
}

func (d *Daemon) checkpoint(ctx context.Context) error {
	return journal.Checkpoint(ctx, d.st, d.key)
}

// retainAtOnce is how many rows of a kind one transaction removes.
const retainAtOnce = 1000

// retain removes what is older than the configuration says.
func (d *Daemon) retain(ctx context.Context) error {
	keep := d.live.Load().Retention
	var all state.Removed
	for {
		var gone state.Removed
		err := d.st.Tx(ctx, func(tx *state.Tx) (err error) {
			gone, err = tx.Retain(ctx, tx.Now().Add(-keep.Alerts), retainAtOnce)
			return err
		})
		if err != nil {
			return err
		}
		if !gone.Any() {
			break
		}
		all.Alerts, all.Incidents, all.Runs = all.Alerts+gone.Alerts, all.Incidents+gone.Incidents, all.Runs+gone.Runs
		all.Sessions, all.Cooldowns = all.Sessions+gone.Sessions, all.Cooldowns+gone.Cooldowns
	}
	cut, err := journal.Cut(ctx, d.st, d.st.Now().Add(-keep.Journal))
	if err != nil {
		return err
	}
	if all.Alerts+all.Incidents+all.Runs+cut == 0 {
		return nil
	}
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{Kind: journal.Retained, Actor: autopilot.Actor, Reason: msg.Because("why.retained"), Data: map[string]any{"removed": all, "entries": cut}})
	})
}

// escalate tells those of one receiver of the configuration.
func (d *Daemon) escalate(ctx context.Context, x autopilot.Escalation) error {
	l := d.live.Load()
	if _, known := l.Notify[x.To]; !known { // none is named, or it is gone since
		d.log.Warn("somebody should look", "incident", x.Incident, "run", x.Run, "why", x.Why.In(d.o.Lang))
		return nil
	}
	about := playbook.About{Incident: x.Incident, Run: x.Run}
	text := msg.Text(d.o.Lang, "serve.escalation", x.Why.In(d.o.Lang))
	if x.Incident != 0 {
		inc, err := d.st.Incident(ctx, x.Incident)
		switch {
		case err == nil:
			about.Code, about.Asset, about.Priority = string(inc.Code), inc.Asset, string(inc.Priority)
			text = msg.Text(d.o.Lang, "serve.escalation.incident", inc.Priority, inc.Title, inc.Asset, x.Why.In(d.o.Lang))
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
		if l.URL != "" {
			text += "\n" + msg.Text(d.o.Lang, "serve.escalation.do", x.Incident, strings.TrimSuffix(l.URL, "/")+fmt.Sprintf("/incidents/%d", x.Incident))
		} else {
			text += "\n" + msg.Text(d.o.Lang, "serve.escalation.nourl", x.Incident)
		}
	} else if x.Run != 0 && l.URL != "" {
		text += "\n" + msg.Text(d.o.Lang, "serve.escalation.run", x.Run, strings.TrimSuffix(l.URL, "/")+fmt.Sprintf("/runs/%d", x.Run))
	}
	params := map[string]playbook.Filled{"to": {Text: playbook.Sealed{{Text: x.To}}}, "text": {Text: playbook.Sealed{{Text: text, Data: true}}}}
	if l.Escalate.Channel != "" {
		params["channel"] = playbook.Filled{Text: playbook.Sealed{{Text: l.Escalate.Channel}}}
	}
	_, err := l.set.Do(ctx, actions.Request{
		Key: fmt.Sprintf("escalation/%d/%d", x.Incident, x.Run), Input: playbook.Input{Kind: "notify", Params: params, About: about},
	})
	if err != nil {
		return fmt.Errorf("telling %s: %w", x.To, err)
	}
	return nil
}
