package autopilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// interruptions is how often an idempotent step is made again after crashes, beside its
// retries.
const interruptions = 5

// work is a step being done.
type work struct {
	task  *jobs.Task
	key   state.StepKey
	run   state.Run
	prog  *Program
	steps []Step
	step  Step
	// undone is the result that an undo step takes back.
	undone json.RawMessage
}

func (w *work) call(input json.RawMessage) Call {
	return Call{Key: w.key, Run: w.run, Input: input, Undone: w.undone}
}

// load reads what a job is about.
func (e *Engine) load(ctx context.Context, t *jobs.Task) (*work, error) {
	w := &work{task: t}
	if err := t.Args(&w.key); err != nil {
		return nil, jobs.Never(err)
	}
	var err error
	if w.run, err = e.st.Run(ctx, w.key.Run); err != nil {
		return nil, err
	}
	if w.prog, err = e.programOf(ctx, e.st.Reader, w.run); err != nil {
		return nil, err
	}
	undone, err := e.stepsOf(ctx, w)
	if err != nil {
		return nil, err
	}
	if int(w.key.Seq) >= len(w.steps) {
		return nil, fmt.Errorf("step %s: the playbook has %d", w.key, len(w.steps))
	}
	w.step = w.steps[w.key.Seq]
	if undone != nil {
		w.undone = undone[w.key.Seq]
	}
	return w, nil
}

// stepsOf fills in the steps of a run.
func (e *Engine) stepsOf(ctx context.Context, w *work) (undone []json.RawMessage, err error) {
	w.steps, undone, err = stepsOf(ctx, e.st.Reader, w.prog, w.run)
	return undone, err
}

// stepsOf are the steps of a run: of an undo, what takes back what was done.
func stepsOf(ctx context.Context, r state.Reader, p *Program, run state.Run) (steps []Step, undone []json.RawMessage, err error) {
	switch run.Mode {
	case modeAftermath:
		return p.OnFailure, nil, nil
	case modeUndo:
		var v vars
		if err := json.Unmarshal(run.Vars, &v); err != nil {
			return nil, nil, err
		}
		return undoSteps(ctx, r, p, v.Undoes)
	}
	return p.Steps, nil, nil
}

// undoSteps are the undo steps of what an ended run did, last first, with the results of
// what they undo.
func undoSteps(ctx context.Context, r state.Reader, p *Program, run int64) (steps []Step, results []json.RawMessage, err error) {
	done, err := r.Steps(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range slices.Backward(done) {
		if undo := undoOf(p, d); undo != nil {
			steps, results = append(steps, *undo), append(results, d.Result)
		}
	}
	return steps, results, nil
}

// undoOf is what takes back a step that a run of the program did; nil: nothing does, or
// there is nothing to take back.
func undoOf(p *Program, d state.Step) *Step {
	if d.Status != state.StepDone || int(d.Seq) >= len(p.Steps) {
		return nil
	}
	return p.Steps[d.Seq].Undo
}

// step does one step, or finds out what became of it.
func (e *Engine) step(ctx context.Context, t *jobs.Task) error {
	w, err := e.load(ctx, t)
	if err != nil {
		return err
	}
	steps, err := e.st.Steps(ctx, w.run.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(steps, func(s state.Step) bool { return s.StepKey == w.key })
	if i < 0 {
		return jobs.Never(fmt.Errorf("step %s is not stored", w.key))
	}
	switch stored := steps[i]; {
	case w.run.State.Final():
		return e.leave(ctx, w)
	case stored.Status == state.StepIntended || stored.Status == state.StepUnknown:
		return e.interrupted(ctx, w, stored)
	case stored.Status.Final():
		return e.complete(ctx, t) // its follower was inserted with its end
	}
	facts, err := e.factsOf(ctx, w.run, steps)
	if err != nil {
		return err
	}
	if held, err := e.held(ctx, w, facts); held || err != nil {
		return err
	}
	wanted, why, err := w.step.wanted(ctx, facts)
	if err != nil {
		return e.record(ctx, w, outcome{status: state.StepFailed, why: msg.Because("why.condition", err), final: true})
	}
	if !wanted {
		return e.record(ctx, w, outcome{status: state.StepSkipped, why: why})
	}
	granted, err := e.granted(ctx, w)
	if err != nil {
		return err
	}
	if granted != nil && granted.Intent.Input != nil { // what was seen is what is done
		return e.effect(ctx, w, given(granted.Intent.Input))
	}
	input, err := w.step.input(ctx, facts)
	if err != nil {
		return e.record(ctx, w, outcome{status: state.StepFailed, why: msg.Because("why.input", err), final: true})
	}
	if w.step.Approval != nil && granted == nil {
		return e.ask(ctx, w, input)
	}
	return e.effect(ctx, w, input)
}

func (e *Engine) complete(ctx context.Context, t *jobs.Task) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error { return t.Complete(ctx, tx) })
}

// leave ends a step of a run that was ended by others.
func (e *Engine) leave(ctx context.Context, w *work) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		err := tx.EndStep(ctx, w.key, state.StepSkipped, nil, msg.Because("why.run.ended").String())
		return errors.Join(ignore(err, state.ErrConflict), w.task.Complete(ctx, tx))
	})
}

// held tells whether a mute keeps the step from beginning: an emergency stop holds what
// runs, too.
func (e *Engine) held(ctx context.Context, w *work, f Facts) (bool, error) {
	inc := f.Incident
	inc.Asset = w.run.Asset
	m, muted, err := mutedBy(ctx, e.st.Reader, w.run.Playbook, inc)
	if err != nil || !muted {
		return false, err
	}
	err = e.st.Tx(ctx, func(tx *state.Tx) error {
		return errors.Join(ignore(tx.Wait(ctx, w.key), state.ErrConflict),
			ignore(tx.MoveRun(ctx, w.run.ID, state.RunWaiting, msg.Because("why.muted.all", m.By, m.Reason).String()), state.ErrConflict))
	})
	if err != nil {
		return true, err
	}
	return true, jobs.Later(soon)
}

// factsOf gathers what a playbook sees of its run.
func (e *Engine) factsOf(ctx context.Context, run state.Run, steps []state.Step) (Facts, error) {
	f := Facts{Now: e.st.Now(), Playbook: run.Playbook, Run: run.ID, Results: map[string]json.RawMessage{}}
	var v vars
	if err := json.Unmarshal(run.Vars, &v); err != nil {
		return f, err
	}
	var err error
	if run.Incident != 0 {
		if f.Incident, err = e.st.Incident(ctx, run.Incident); err != nil {
			return f, err
		}
	}
	f.Incident.Asset = run.Asset
	if v.Alert != 0 {
		a, err := e.st.Alert(ctx, v.Alert)
		if err := ignore(err, state.ErrNotFound); err != nil {
			return f, err
		}
		f.Alert = a.Alert
	}
	for _, s := range steps {
		if s.Status == state.StepDone {
			f.Results[s.Name] = s.Result
		}
	}
	return f, nil
}

// effect makes the effect: intent, effect, result.
func (e *Engine) effect(ctx context.Context, w *work, input json.RawMessage) error {
	ended := false
	err := e.st.Tx(ctx, func(tx *state.Tx) error {
		run, err := tx.LockRun(ctx, w.run.ID)
		if ended = err == nil && run.State.Final(); err != nil || ended {
			return err
		}
		if run.State != state.RunRunning {
			if err := tx.MoveRun(ctx, run.ID, state.RunRunning, ""); err != nil {
				return err
			}
		}
		if err := tx.Intend(ctx, w.key, input, e.queue.Node().ID); err != nil || w.step.Check {
			return err // a check changes nothing: the entry of its end says all
		}
		return journal.Append(tx, journal.Entry{
			Kind: journal.StepIntended, Actor: Actor, Incident: run.Incident, Run: run.ID, Step: w.key.String(), Reason: msg.Said(w.step.Name), Data: map[string]any{"action": w.step.Kind, "input": input},
		})
	})
	switch {
	case errors.Is(err, state.ErrConflict): // another is at it, or was: seen at the next look
		return jobs.Later(time.Second)
	case err != nil:
		return err
	case ended:
		return e.leave(ctx, w)
	}
	if e.o.BeforeEffect != nil {
		e.o.BeforeEffect(w.key)
	}
	limited, cancel := context.WithTimeout(ctx, w.step.timeout())
	result, err := w.step.Action.Do(limited, w.call(input))
	late := limited.Err() != nil
	cancel()
	if e.o.AfterEffect != nil {
		e.o.AfterEffect(w.key)
	}
	if len(result) > 0 && !json.Valid(result) {
		result = marshal(string(result))
	}
	switch {
	case err == nil:
		return e.record(ctx, w, outcome{status: state.StepDone, result: result, input: input})
	case ctx.Err() != nil: // this node stops: whoever takes it up finds the intent
		return ctx.Err()
	case errors.Is(err, ErrUnsure) || late && !w.step.Idempotent:
		return e.unsure(ctx, w, input, err)
	}
	return e.record(ctx, w, outcome{status: state.StepFailed, result: result, why: msg.Of(err), final: errors.Is(err, ErrFinal), input: input})
}

// outcome is what became of an attempt.
type outcome struct {
	status state.StepStatus
	result json.RawMessage
	why    msg.Reason
	// final: another attempt would end the same.
	final bool
	// settles: the attempt is stored as unknown.
	settles bool
	// crashed: it failed by a crash, which uses up no retry.
	crashed bool
	// input is what was given to the action.
	input json.RawMessage
}

// recordTries bounds how often the result of an effect is tried to be stored.
const recordTries = 5

// record stores what became of a step, and what comes next. The effect was made: the end
// of ctx does not keep its result from being stored.
func (e *Engine) record(ctx context.Context, w *work, o outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for try := 1; ; try++ {
		err := e.st.Tx(ctx, func(tx *state.Tx) error { return e.store(ctx, tx, w, o) })
		if err == nil || errors.Is(err, state.ErrConflict) || try == recordTries {
			return err
		}
		e.o.Jobs.Log.WarnContext(ctx, "storing the result of a step", "step", w.key.String(), "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

func (e *Engine) store(ctx context.Context, tx *state.Tx, w *work, o outcome) error {
	run, err := tx.LockRun(ctx, w.run.ID)
	if err != nil {
		return err
	}
	if o.settles {
		err = tx.SettleStep(ctx, w.key, o.status, o.why.String())
	} else {
		err = tx.EndStep(ctx, w.key, o.status, o.result, o.why.String())
	}
	if err != nil {
		return fmt.Errorf("ending step %s: %w", w.key, err)
	}
	data := map[string]any{"status": o.status, "result": o.result}
	if w.step.Check && o.input != nil {
		data["action"], data["input"] = w.step.Kind, o.input
	}
	if err := journal.Append(tx, journal.Entry{
		Kind: journal.StepEnded, Actor: Actor, Incident: run.Incident, Run: run.ID, Step: w.key.String(), Reason: stepEnded(w.step.Name, o.status, o.why), Data: data,
	}); err != nil {
		return err
	}
	if err := w.task.Complete(ctx, tx); err != nil || run.State.Final() {
		return err // cancelled meanwhile: nothing follows
	}
	next := w.key
	switch {
	case o.status == state.StepDone || o.status == state.StepSkipped:
		return e.next(ctx, tx, w, run)
	case e.again(w, o):
		next.Attempt++
		return e.add(ctx, tx, run, w.steps, next, w.step.pause(w.key.Attempt))
	}
	why := msg.Because("why.step.failed", w.step.Name)
	if !o.why.IsZero() {
		why = msg.Because("why.step.failed.because", w.step.Name, o.why)
	}
	kind := kindOf(w.step)
	if o.crashed {
		kind = interruption
	}
	switch w.step.OnFailure {
	case FailContinue:
		return e.next(ctx, tx, w, run)
	case FailHuman:
		return e.handOver(ctx, tx, run, w.prog, kind, why)
	case FailUndo:
		undoing := *w.prog
		undoing.Policy.Undo = true
		return e.lose(ctx, tx, run, &undoing, kind, why)
	}
	return e.lose(ctx, tx, run, w.prog, kind, why)
}

// next adds the step after one that has ended, or ends the run.
func (e *Engine) next(ctx context.Context, tx *state.Tx, w *work, run state.Run) error {
	next := state.StepKey{Run: run.ID, Seq: w.key.Seq + 1, Attempt: 1}
	if int(next.Seq) == len(w.steps) {
		return e.finished(ctx, tx, w, run)
	}
	return e.add(ctx, tx, run, w.steps, next, w.steps[next.Seq].Delay)
}

// kindOf is what the failure of a step counts as.
func kindOf(s Step) fault {
	if s.Check {
		return ineffective
	}
	return failure
}

// again tells whether a failed step is tried once more.
func (e *Engine) again(w *work, o outcome) bool {
	if o.final {
		return false
	}
	if o.crashed {
		return w.key.Attempt <= int64(w.step.Retries+interruptions)
	}
	return w.step.Idempotent && w.key.Attempt <= int64(w.step.Retries)
}

// errInterrupted is that a process died between the intent of a step and its result.
var errInterrupted = errors.New("interrupted between its intent and its result")

// becauseOf is what an error gives as the reason, in our own words where it is ours.
func becauseOf(err error) msg.Reason {
	if errors.Is(err, errInterrupted) {
		return msg.Because("why.interrupted")
	}
	if r := msg.Of(err); r.Key != "" { // an unsure one says so itself
		return r
	}
	if errors.Is(err, ErrUnsure) {
		rest := strings.Trim(strings.Replace(err.Error(), ErrUnsure.Error(), "", 1), ":; ")
		if rest == "" {
			return msg.Because("why.unsure")
		}
		return msg.Because("why.unsure.because", rest)
	}
	return msg.Of(err)
}

// stepEnded tells of the end of a step, runEnded of that of a run.
func stepEnded(name string, to state.StepStatus, why msg.Reason) msg.Reason {
	word := map[state.StepStatus]msg.Word{
		state.StepDone: msg.Word("why.step.done"), state.StepFailed: msg.Word("why.step.didfail"), state.StepSkipped: msg.Word("why.step.skipped"), state.StepUnknown: msg.Word("why.step.unknown"),
	}[to]
	if why.IsZero() {
		return msg.Because("why.ended", name, word)
	}
	return msg.Because("why.ended.because", name, word, why)
}

func runEnded(to state.RunState, why msg.Reason) msg.Reason {
	word := map[state.RunState]msg.Word{
		state.RunDone: msg.Word("why.run.done"), state.RunFailed: msg.Word("why.run.didfail"), state.RunCancelled: msg.Word("why.run.cancelled"), state.RunHuman: msg.Word("why.run.human"),
	}[to]
	return with(word, why)
}

// with is a word, and a reason where there is one.
func with(word msg.Word, why msg.Reason) msg.Reason {
	if why.IsZero() {
		return msg.Because("why.word", word)
	}
	return msg.Because("why.ended.word", word, why)
}

// interrupted deals with a step whose intent is stored and whose result is not.
func (e *Engine) interrupted(ctx context.Context, w *work, stored state.Step) error {
	if w.step.Idempotent && stored.Status == state.StepIntended {
		return e.record(ctx, w, outcome{status: state.StepFailed, why: msg.Because("why.interrupted.again"), crashed: true})
	}
	return e.unsure(ctx, w, stored.Intent, errInterrupted)
}

// unsure has a step of which nobody knows whether its effect was made looked after, by a
// probe or by a person.
func (e *Engine) unsure(ctx context.Context, w *work, input json.RawMessage, cause error) error {
	prober, ok := w.step.Action.(Prober)
	why := becauseOf(cause)
	kind := failure
	if errors.Is(cause, errInterrupted) {
		kind = interruption
	}
	mark := func(tx *state.Tx) error {
		return ignore(tx.EndStep(ctx, w.key, state.StepUnknown, nil, why.String()), state.ErrConflict)
	}
	if !ok {
		return e.st.Tx(ctx, func(tx *state.Tx) error {
			if err := mark(tx); err != nil {
				return err
			}
			return e.human(ctx, tx, w, kind, why)
		})
	}
	if err := e.st.Tx(ctx, mark); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, w.step.timeout())
	made, err := prober.Probe(limited, w.call(input))
	cancel()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return e.st.Tx(ctx, func(tx *state.Tx) error {
			return e.human(ctx, tx, w, kind, msg.Because("why.probe.failed", why, err))
		})
	case made:
		return e.record(ctx, w, outcome{status: state.StepDone, why: msg.Because("why.probe.made"), settles: true})
	}
	return e.record(ctx, w, outcome{status: state.StepFailed, why: msg.Because("why.probe.notmade"), settles: true, crashed: true})
}

// human ends a run that a person must look at.
func (e *Engine) human(ctx context.Context, tx *state.Tx, w *work, kind fault, why msg.Reason) error {
	if err := w.task.Complete(ctx, tx); err != nil {
		return err
	}
	run, err := tx.LockRun(ctx, w.run.ID)
	if err != nil || run.State.Final() {
		return err
	}
	why = msg.Because("why.maybe", w.step.Name, w.key, why)
	return errors.Join(
		journal.Append(tx, journal.Entry{Kind: journal.StepEnded, Actor: Actor, Incident: run.Incident, Run: run.ID, Step: w.key.String(), Reason: why, Data: map[string]any{"status": state.StepUnknown}}),
		e.handOver(ctx, tx, run, w.prog, kind, why),
	)
}

// handOver ends a run and has a person look at it.
func (e *Engine) handOver(ctx context.Context, tx *state.Tx, run state.Run, p *Program, kind fault, why msg.Reason) error {
	if err := tx.MoveRun(ctx, run.ID, state.RunHuman, why.String()); err != nil {
		return err
	}
	return errors.Join(
		e.ended(ctx, tx, run, state.RunHuman, why),
		e.blame(ctx, tx, run, p.Policy.filled(), kind, why),
		e.escalate(ctx, tx, Escalation{Incident: run.Incident, Run: run.ID, Why: why}),
	)
}

// ended writes down the end of a run.
func (e *Engine) ended(_ context.Context, tx *state.Tx, run state.Run, to state.RunState, why msg.Reason) error {
	e.tellEnd(tx, run, to)
	return journal.Append(tx, journal.Entry{Kind: journal.RunEnded, Actor: Actor, Incident: run.Incident, Run: run.ID, Reason: runEnded(to, why), Data: map[string]any{"state": to}})
}

// tellEnd tells whoever listens that a run ended.
func (e *Engine) tellEnd(tx *state.Tx, run state.Run, to state.RunState) {
	if e.o.Ended != nil {
		run.State = to
		tx.AfterCommit(func() { e.o.Ended(run) })
	}
}
