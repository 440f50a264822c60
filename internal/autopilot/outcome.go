package autopilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

type runArgs struct {
	Run int64 `json:"run"`
}

// finished is after the last step.
func (e *Engine) finished(ctx context.Context, tx *state.Tx, w *work, run state.Run) error {
	if run.Mode != modeUndo && run.Mode != modeAftermath && w.prog.Verify != nil {
		if err := tx.MoveRun(ctx, run.ID, state.RunWaiting, msg.Because("why.verifying").String()); err != nil {
			return err
		}
		return e.queue.Insert(ctx, tx, jobs.Job{Kind: jobVerify, Args: runArgs{run.ID}, At: tx.Now().Add(w.prog.Verify.After), Unique: fmt.Sprint(run.ID)})
	}
	return e.succeed(ctx, tx, run, w.prog, msg.Because("why.alldone"))
}

// verify tells whether a run helped.
func (e *Engine) verify(ctx context.Context, t *jobs.Task) error {
	var args runArgs
	if err := t.Args(&args); err != nil {
		return jobs.Never(err)
	}
	run, err := e.st.Run(ctx, args.Run)
	if err != nil {
		return err
	}
	p, err := e.programOf(ctx, e.st.Reader, run)
	if err != nil {
		return err
	}
	if run.State.Final() || p.Verify == nil {
		return e.complete(ctx, t)
	}
	helped, why, err := e.helped(ctx, run, p.Verify.Check)
	if err != nil {
		return err
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if err := t.Complete(ctx, tx); err != nil {
			return err
		}
		run, err := tx.LockRun(ctx, run.ID)
		if err != nil || run.State.Final() {
			return err
		}
		if helped {
			return e.succeed(ctx, tx, run, p, why)
		}
		return e.futile(ctx, tx, run, p, why)
	})
}

// helped asks the check of a program, or the alerts of the incident. That a person closed
// the incident proves nothing.
func (e *Engine) helped(ctx context.Context, run state.Run, check *Step) (ok bool, why msg.Reason, err error) {
	if check == nil {
		return e.quiet(ctx, run.Incident)
	}
	steps, err := e.st.Steps(ctx, run.ID)
	if err != nil {
		return false, why, err
	}
	facts, err := e.factsOf(ctx, run, steps)
	if err != nil {
		return false, why, err
	}
	input, err := check.input(ctx, facts)
	if err != nil {
		return false, msg.Because("why.check.input", err), nil
	}
	limited, cancel := context.WithTimeout(ctx, check.timeout())
	defer cancel()
	_, err = check.Action.Do(limited, Call{Key: state.StepKey{Run: run.ID, Seq: -1, Attempt: 1}, Run: run, Input: input})
	if ctx.Err() != nil {
		return false, why, ctx.Err()
	}
	if err != nil {
		return false, msg.Because("why.check.failed", check.Name, err), nil
	}
	return true, msg.Because("why.check.content", check.Name), nil
}

// quiet tells whether no alert of an incident fires.
func (e *Engine) quiet(ctx context.Context, incident int64) (ok bool, why msg.Reason, err error) {
	if _, err := e.st.Incident(ctx, incident); errors.Is(err, state.ErrNotFound) {
		return true, msg.Because("why.noincident"), nil
	}
	firing, err := e.st.Firing(ctx, incident)
	if err != nil || firing > 0 {
		return false, msg.Because("why.fires"), err
	}
	return true, msg.Because("why.resolved"), nil
}

// succeed ends a run that did what it should.
func (e *Engine) succeed(ctx context.Context, tx *state.Tx, run state.Run, p *Program, why msg.Reason) error {
	if err := errors.Join(tx.MoveRun(ctx, run.ID, state.RunDone, ""), e.ended(ctx, tx, run, state.RunDone, why)); err != nil || run.Mode == modeUndo || run.Mode == modeAftermath {
		return err
	}
	policy := p.Policy.filled()
	if run.Mode == string(state.ModeActive) {
		if err := e.praise(ctx, tx, run, p.verified()); err != nil {
			return err
		}
	}
	return e.after(ctx, tx, run, policy)
}

// after begins the cooldown, at whose end it is looked whether the incident goes on.
func (e *Engine) after(ctx context.Context, tx *state.Tx, run state.Run, policy Policy) error {
	until := tx.Now()
	if policy.Cooldown > 0 {
		until = until.Add(policy.Cooldown)
		if err := tx.SetCooldown(ctx, cooldownKey(run.Mode, run.Playbook, run.Asset), until, msg.Because("why.run", run.ID).String()); err != nil {
			return err
		}
	}
	if run.Incident == 0 || run.Mode != string(state.ModeActive) || policy.Cooldown < 0 {
		return nil
	}
	return e.queue.Insert(ctx, tx, jobs.Job{
		Kind: jobRecheck, Args: incidentArgs{run.Incident, run.Playbook}, At: until.Add(time.Millisecond), Unique: fmt.Sprintf("%d %s", run.Incident, run.Playbook),
	})
}

// futile ends a run whose steps succeeded and did not help.
func (e *Engine) futile(ctx context.Context, tx *state.Tx, run state.Run, p *Program, why msg.Reason) error {
	return e.lose(ctx, tx, run, p, ineffective, msg.Because("why.futile", why))
}

func (e *Engine) lose(ctx context.Context, tx *state.Tx, run state.Run, p *Program, kind fault, why msg.Reason) error {
	if err := errors.Join(tx.MoveRun(ctx, run.ID, state.RunFailed, why.String()), e.ended(ctx, tx, run, state.RunFailed, why)); err != nil {
		return err
	}
	switch run.Mode {
	case modeUndo:
		return e.escalate(ctx, tx, Escalation{Incident: run.Incident, Run: run.ID, Why: msg.Because("why.undo.failed", why)})
	case modeAftermath:
		return e.escalate(ctx, tx, Escalation{Incident: run.Incident, Run: run.ID, Why: msg.Because("why.aftermath.failed", why)})
	}
	if err := e.aftermath(ctx, tx, run, p, why); err != nil {
		return err
	}
	policy := p.Policy.filled()
	if policy.Undo {
		if _, err := e.undo(ctx, tx, run, p, Actor, why); ignore(err, ErrNothing) != nil {
			return err
		}
	}
	if run.Mode != string(state.ModeActive) {
		return nil
	}
	return errors.Join(e.blame(ctx, tx, run, policy, kind, why), e.after(ctx, tx, run, policy))
}

// aftermath starts what a playbook does once after a run of its failed.
func (e *Engine) aftermath(ctx context.Context, tx *state.Tx, run state.Run, p *Program, why msg.Reason) error {
	if len(p.OnFailure) == 0 {
		return nil
	}
	var v vars
	if err := json.Unmarshal(run.Vars, &v); err != nil {
		return err
	}
	after, created, err := tx.StartRun(ctx, state.Run{
		Playbook: run.Playbook, Version: run.Version, Incident: run.Incident, Asset: run.Asset, Mode: modeAftermath,
		Reason: msg.Because("why.run.failed", run.ID, why).String(), Unique: fmt.Sprintf("%s %d", modeAftermath, run.ID), Vars: marshal(vars{Alert: v.Alert, By: Actor}),
	})
	if err != nil || !created {
		return err
	}
	return e.begin(ctx, tx, after, p.OnFailure, Actor)
}

// fault is what a breaker counts.
type fault int

const (
	failure fault = iota
	ineffective
	// interruption is a failure for which this process may be to blame, which ended: it
	// counts against the asset, not against the playbook, many of whose runs end at once.
	interruption
)

// overAll is how many assets' faults the playbook's breaker stands.
const overAll = 3

// blame counts a fault of a run against its breakers, and opens them.
func (e *Engine) blame(ctx context.Context, tx *state.Tx, run state.Run, p Policy, kind fault, why msg.Reason) error {
	if run.Mode != string(state.ModeActive) {
		return nil
	}
	for _, target := range []struct {
		key   string
		times int64
	}{{bookBreaker(run.Playbook), overAll}, {targetBreaker(run.Playbook, run.Asset), 1}} {
		if kind == interruption && target.times == overAll {
			continue
		}
		opened := false
		b, err := tx.ChangeBreaker(ctx, target.key, func(b *state.Breaker) {
			was := b.State
			if kind == ineffective {
				b.Ineffective++
			} else {
				b.Failures++
			}
			opened = was == state.BreakerHalf || was == state.BreakerClosed && (b.Failures >= p.Failures*target.times || b.Ineffective >= p.Ineffective*target.times)
			if opened {
				b.State, b.Opened, b.Until, b.Reason = state.BreakerOpen, tx.Now(), tx.Now().Add(p.Reopen), why.String()
			}
		})
		if err != nil {
			return err
		}
		if !opened {
			continue
		}
		if err := errors.Join(
			journal.Append(tx, journal.Entry{Kind: journal.BreakerChanged, Actor: Actor, Incident: run.Incident, Run: run.ID, Reason: msg.Because("why.breaker.opened", target.key, why), Data: b}),
			e.escalate(ctx, tx, Escalation{Incident: run.Incident, Run: run.ID, Why: msg.Because("why.breaker.after", target.key, b.Failures, b.Ineffective, why)}),
		); err != nil {
			return err
		}
	}
	return nil
}

// praise ends a row of failures. Where it was verified that the run helped, it ends that
// of ineffective ones, too.
func (e *Engine) praise(ctx context.Context, tx *state.Tx, run state.Run, verified bool) error {
	for _, key := range []string{bookBreaker(run.Playbook), targetBreaker(run.Playbook, run.Asset)} {
		closed := false
		b, err := tx.ChangeBreaker(ctx, key, func(b *state.Breaker) {
			b.Failures = 0
			if verified {
				b.Ineffective = 0
			}
			if closed = b.State == state.BreakerHalf; closed {
				b.State, b.Opened, b.Until, b.Reason = state.BreakerClosed, time.Time{}, time.Time{}, ""
			}
		})
		if err != nil {
			return err
		}
		if !closed {
			continue
		}
		if err := journal.Append(tx, journal.Entry{Kind: journal.BreakerChanged, Actor: Actor, Incident: run.Incident, Run: run.ID, Reason: msg.Because("why.breaker.closed", key), Data: b}); err != nil {
			return err
		}
	}
	return nil
}

// ErrNothing says that a run did nothing that can be undone.
var ErrNothing = errors.New("nothing of the run can be undone (hint: its steps have no undo, or none was done)")

// undo starts a run that takes back what an ended one did.
func (e *Engine) undo(ctx context.Context, tx *state.Tx, run state.Run, p *Program, by string, why msg.Reason) (state.Run, error) {
	steps, _, err := undoSteps(ctx, tx.Reader, p, run.ID)
	if err != nil {
		return state.Run{}, err
	}
	if len(steps) == 0 {
		return state.Run{}, ErrNothing
	}
	undo, created, err := tx.StartRun(ctx, state.Run{
		Playbook: run.Playbook, Version: run.Version, Incident: run.Incident, Asset: run.Asset, Mode: modeUndo,
		Reason: msg.Because("why.undoes", run.ID, why).String(), Unique: fmt.Sprintf("%s %d", modeUndo, run.ID), Vars: marshal(vars{Undoes: run.ID, By: by}),
	})
	if err != nil || !created {
		return undo, err
	}
	return undo, e.begin(ctx, tx, undo, steps, by)
}
