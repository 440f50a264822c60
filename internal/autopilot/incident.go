package autopilot

import (
	"context"
	"fmt"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Acknowledge has a person take an open incident: it stays open, and nobody else is told
// about it any more. Another person may take it over.
func (e *Engine) Acknowledge(ctx context.Context, id int64, by, note string) error {
	err := e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		if _, err := tx.LockIncident(ctx, id); err != nil {
			return err
		}
		if err := tx.TakeIncident(ctx, id, by); err != nil {
			return err
		}
		why := msg.Because("why.taken")
		if note != "" {
			why = msg.Because("why.acknowledged", note)
		}
		return journal.Append(tx, journal.Entry{Kind: journal.IncidentChanged, Actor: by, Incident: id, Reason: why, Data: map[string]any{"takenBy": by}})
	})
	if err != nil {
		return fmt.Errorf("taking incident %d: %w", id, err)
	}
	return nil
}

// Close ends an open incident by hand. It is opened again where an alert of it that never
// was over is received once more after that: whoever closes knows of what came before,
// however late it is looked at, and time that goes by is no news. What counts is the
// order in the database, not the clocks of nodes. An alert that did not belong to it when
// it was closed opens a new incident, also where it was received just before: nobody had
// seen it there.
func (e *Engine) Close(ctx context.Context, id int64, by, why string) error {
	err := e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		if _, err := tx.LockIncident(ctx, id); err != nil {
			return err
		}
		if err := tx.ResolveIncident(ctx, id, state.ResolvedByHand); err != nil {
			return err
		}
		if err := journal.Append(tx, journal.Entry{
			Kind: journal.IncidentEnded, Actor: by, Incident: id, Reason: msg.Because("why.closed", why), Data: map[string]any{"resolution": state.ResolvedByHand},
		}); err != nil {
			return err
		}
		return e.needless(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("closing incident %d: %w", id, err)
	}
	return nil
}

// reopen opens an incident again that a person closed at a time while its alerts fired,
// and decides on it anew. Where it was opened since, and maybe closed once more, nothing
// is to be done.
func (e *Engine) reopen(ctx context.Context, tx *state.Tx, id int64, closed time.Time) error {
	inc, err := tx.LockIncident(ctx, id)
	if err != nil || !inc.Resolved.Equal(closed) {
		return ignore(err, state.ErrNotFound)
	}
	firing, err := tx.Firing(ctx, id)
	if err != nil || firing == 0 {
		return err
	}
	if err := tx.ReopenIncident(ctx, id, state.ResolvedByHand); err != nil {
		return ignore(err, state.ErrConflict) // another of its key is open: that one is looked after
	}
	if err := journal.Append(tx, journal.Entry{Kind: journal.IncidentOpened, Actor: Actor, Incident: id, Reason: msg.Because("why.reopened")}); err != nil {
		return err
	}
	if err := e.queue.Insert(ctx, tx, jobs.Job{Kind: jobOverdue, Args: incidentArgs{Incident: id}, At: tx.Now().Add(e.o.EscalateAfter)}); err != nil {
		return err
	}
	alert, err := lastFiring(ctx, tx.Reader, id)
	if err != nil {
		return err
	}
	books, err := tx.CurrentPlaybooks(ctx)
	if err != nil {
		return err
	}
	inc.State = state.IncidentOpen
	return e.decide(ctx, tx, inc, alert, reopened, books)
}
