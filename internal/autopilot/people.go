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

// What people do comes in here. by is who, as in the journal ("user:ann", "token:ci"); who
// may do what is the caller's to know, except that an approval may need another person.

// What callers tell apart with errors.Is.
var (
	// ErrSamePerson refuses an approval by the one whom it should hold back.
	ErrSamePerson = errors.New("it must be approved by another person than the one who started it or put the playbook in force (hint: ask a colleague)")
	// ErrRole refuses an approval by somebody of a lesser role than the playbook asks for.
	ErrRole = errors.New("the playbook wants it approved by a higher role (hint: ask an admin)")
	// ErrNobody refuses what has no author.
	ErrNobody = errors.New("nobody is named as the author")
	// ErrStale refuses what was decided about a version that is no longer in force.
	ErrStale = errors.New("another version is in force by now (hint: read it again, and decide about that one)")
)

// AnyVersion expects whichever version is in force.
const AnyVersion = "*"

// granted is the approval of a step that was given; nil: none was, or none is needed.
func (e *Engine) granted(ctx context.Context, w *work) (*state.Approval, error) {
	if w.step.Approval == nil {
		return nil, nil //nolint:nilnil // there is none, and that is no fault
	}
	answers, err := e.st.Approvals(ctx, state.ApprovalGranted, w.run.ID, state.Page{Limit: 1000})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(answers, func(a state.Approval) bool { return a.Seq == w.key.Seq })
	if i < 0 {
		return nil, nil //nolint:nilnil // as above
	}
	return &answers[i], nil
}

// given is an input as the action is told it: null stands for none.
func given(input json.RawMessage) json.RawMessage {
	if string(input) == "null" {
		return nil
	}
	return input
}

// ask has a step wait for a person. The input is kept with the question: it is what is
// shown, and what is done when it is granted.
func (e *Engine) ask(ctx context.Context, w *work, input json.RawMessage) error {
	need := w.step.Approval
	var v vars
	if err := json.Unmarshal(w.run.Vars, &v); err != nil {
		return err
	}
	intent := state.Intent{Input: input}
	if e.o.Describe != nil {
		intent.Does, intent.Fault = e.o.Describe(w.step.Kind, input)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if err := w.task.Complete(ctx, tx); err != nil {
			return err
		}
		run, err := tx.LockRun(ctx, w.run.ID)
		if err != nil || run.State.Final() {
			return err
		}
		expires := tx.Now().Add(or(need.Expires, time.Hour))
		a, asked, err := tx.Ask(ctx, state.Approval{Run: run.ID, Seq: w.key.Seq, Reason: or(need.Ask, w.step.Name), AskedBy: v.By, Expires: expires, Intent: intent})
		if err != nil || !asked {
			return err
		}
		return errors.Join(
			ignore(tx.Wait(ctx, w.key), state.ErrConflict),
			tx.MoveRun(ctx, run.ID, state.RunWaiting, msg.Because("why.approval.waits").String()),
			e.queue.Insert(ctx, tx, jobs.Job{Kind: jobExpire, Args: a.ID, At: expires.Add(time.Millisecond)}),
			journal.Append(tx, journal.Entry{Kind: journal.ApprovalAsked, Actor: Actor, Incident: run.Incident, Run: run.ID, Step: w.key.String(), Why: a.Reason, Data: a}),
		)
	})
}

// Approve grants an approval: the run goes on. Who asks must have the role that the
// playbook names; [Options.May] tells by the context.
func (e *Engine) Approve(ctx context.Context, id int64, by, note string) error {
	return e.answer(ctx, id, state.ApprovalGranted, by, note)
}

// Deny refuses an approval: the run ends.
func (e *Engine) Deny(ctx context.Context, id int64, by, note string) error {
	return e.answer(ctx, id, state.ApprovalRefused, by, note)
}

func (e *Engine) answer(ctx context.Context, id int64, to state.ApprovalState, by, note string) error {
	answers := map[state.ApprovalState]msg.Word{state.ApprovalGranted: msg.Word("why.approval.granted"), state.ApprovalRefused: msg.Word("why.approval.refused")}
	err := e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		a, err := tx.Approval(ctx, id)
		if err != nil {
			return err
		}
		run, err := tx.LockRun(ctx, a.Run)
		if err != nil {
			return err
		}
		w, key, err := e.waiting(ctx, tx, run, a.Seq)
		if err != nil {
			return err
		}
		if to == state.ApprovalGranted {
			if err := another(ctx, tx, run, a, w.steps[a.Seq], by); err != nil {
				return err
			}
			if need := w.steps[a.Seq].Approval; need != nil && need.Role != "" && (e.o.May == nil || !e.o.May(ctx, need.Role)) {
				return fmt.Errorf("%w: %s", ErrRole, need.Role)
			}
		}
		if a, err = tx.Decide(ctx, id, to, by, msg.Said(note).String()); err != nil {
			return err
		}
		if err := journal.Append(tx, journal.Entry{
			Kind: journal.ApprovalDecided, Actor: by, Incident: run.Incident, Run: run.ID, Step: key.String(), Reason: with(answers[to], msg.Said(note)), Data: a,
		}); err != nil {
			return err
		}
		if to == state.ApprovalGranted {
			return e.queue.Insert(ctx, tx, jobs.Job{Kind: jobStep, Args: key, Unique: key.String(), Attempts: 20})
		}
		return e.cancel(ctx, tx, run.ID, by, with(msg.Word("why.approval.denied"), msg.Said(note)))
	})
	if err != nil {
		return fmt.Errorf("answering approval %d: %w", id, err)
	}
	return nil
}

// waiting finds the attempt of a run that waits at a step.
func (e *Engine) waiting(ctx context.Context, tx *state.Tx, run state.Run, seq int64) (*work, state.StepKey, error) {
	w := &work{run: run}
	var err error
	if w.prog, err = e.programOf(ctx, tx.Reader, run); err != nil {
		return nil, state.StepKey{}, err
	}
	if w.steps, _, err = stepsOf(ctx, tx.Reader, w.prog, run); err != nil {
		return nil, state.StepKey{}, err
	}
	steps, err := tx.Steps(ctx, run.ID)
	if err != nil {
		return nil, state.StepKey{}, err
	}
	for _, s := range slices.Backward(steps) {
		if s.Seq == seq && s.Status == state.StepWaiting && int(seq) < len(w.steps) {
			w.key, w.step = s.StepKey, w.steps[seq]
			return w, s.StepKey, nil
		}
	}
	return nil, state.StepKey{}, fmt.Errorf("step %d of run %d does not wait: %w", seq, run.ID, state.ErrConflict)
}

// another refuses the one whom an approval should hold back.
func another(ctx context.Context, tx *state.Tx, run state.Run, a state.Approval, step Step, by string) error {
	if step.Approval == nil || !step.Approval.Another {
		return nil
	}
	if by == a.AskedBy {
		return ErrSamePerson
	}
	book, err := tx.CurrentPlaybook(ctx, run.Playbook)
	if ignore(err, state.ErrNotFound) != nil {
		return err
	}
	if book.Version == run.Version && (book.By == by || book.Origin == by) {
		return ErrSamePerson
	}
	return nil
}

// expire ends an approval that nobody answered in time.
func (e *Engine) expire(ctx context.Context, t *jobs.Task) error {
	var id int64
	if err := t.Args(&id); err != nil {
		return jobs.Never(err)
	}
	a, err := e.st.Approval(ctx, id)
	if err != nil || a.State != state.ApprovalAsked {
		return errors.Join(ignore(err, state.ErrNotFound), e.complete(ctx, t))
	}
	if left := a.Expires.Sub(e.st.Now()); left > 0 {
		return jobs.Later(left)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if err := t.Complete(ctx, tx); err != nil {
			return err
		}
		run, err := tx.LockRun(ctx, a.Run)
		if err != nil {
			return err
		}
		if _, err := tx.Decide(ctx, id, state.ApprovalExpired, Actor, ""); err != nil {
			return ignore(err, state.ErrConflict) // answered in the last moment
		}
		why := msg.Because("why.approval.expired")
		return errors.Join(
			journal.Append(tx, journal.Entry{Kind: journal.ApprovalDecided, Actor: Actor, Incident: run.Incident, Run: run.ID, Reason: why, Data: a}),
			e.unanswered(ctx, tx, run, a, why),
		)
	})
}

// unanswered does what a step wants where nobody approved it in time.
func (e *Engine) unanswered(ctx context.Context, tx *state.Tx, run state.Run, a state.Approval, why msg.Reason) error {
	told := Escalation{Incident: run.Incident, Run: run.ID, Why: msg.Because("why.approval.unanswered", a.Reason)}
	w, key, err := e.waiting(ctx, tx, run, a.Seq)
	if ignore(err, state.ErrConflict) != nil {
		return err
	}
	expiry := ExpiryStop
	if err == nil && w.step.Approval != nil {
		expiry = w.step.Approval.OnExpiry
	}
	if expiry == ExpiryStop {
		return errors.Join(e.cancel(ctx, tx, run.ID, Actor, why), e.escalate(ctx, tx, told))
	}
	if err := errors.Join(tx.EndStep(ctx, key, state.StepSkipped, nil, why.String()), journal.Append(tx, journal.Entry{
		Kind: journal.StepEnded, Actor: Actor, Incident: run.Incident, Run: run.ID, Step: key.String(), Reason: stepEnded(w.step.Name, state.StepSkipped, why), Data: map[string]any{"status": state.StepSkipped},
	})); err != nil {
		return err
	}
	if expiry == ExpiryHuman {
		if err := tx.MoveRun(ctx, run.ID, state.RunHuman, why.String()); err != nil {
			return err
		}
		return errors.Join(e.ended(ctx, tx, run, state.RunHuman, why), e.escalate(ctx, tx, told))
	}
	return errors.Join(e.next(ctx, tx, w, run), e.escalate(ctx, tx, told))
}

// Approver tells the least role of who may grant an approval; "": the playbook names none.
func (e *Engine) Approver(ctx context.Context, id int64) (role string, err error) {
	a, err := e.st.Approval(ctx, id)
	if err != nil {
		return "", err
	}
	run, err := e.st.Run(ctx, a.Run)
	if err != nil {
		return "", err
	}
	p, err := e.programOf(ctx, e.st.Reader, run)
	if err != nil {
		return "", err
	}
	steps, _, err := stepsOf(ctx, e.st.Reader, p, run)
	if err != nil || int(a.Seq) >= len(steps) || steps[a.Seq].Approval == nil {
		return "", err
	}
	return steps[a.Seq].Approval.Role, nil
}

// Cancel ends a run: what is being done is finished, and nothing follows it.
func (e *Engine) Cancel(ctx context.Context, run int64, by, why string) error {
	err := e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		return e.cancel(ctx, tx, run, by, msg.Said(why))
	})
	if err != nil {
		return fmt.Errorf("cancelling run %d: %w", run, err)
	}
	return nil
}

func (e *Engine) cancel(ctx context.Context, tx *state.Tx, id int64, by string, why msg.Reason) error {
	run, err := tx.LockRun(ctx, id)
	if err != nil {
		return err
	}
	if run.State.Final() {
		return fmt.Errorf("it has ended (%s): %w", run.State, state.ErrConflict)
	}
	steps, err := tx.Steps(ctx, id)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Status == state.StepPending || s.Status == state.StepWaiting {
			if err := tx.EndStep(ctx, s.StepKey, state.StepSkipped, nil, why.String()); err != nil {
				return err
			}
		}
	}
	open, err := tx.Approvals(ctx, state.ApprovalAsked, id, state.Page{})
	if err != nil {
		return err
	}
	for _, a := range open {
		if _, err := tx.Decide(ctx, a.ID, state.ApprovalExpired, by, why.String()); err != nil {
			return err
		}
	}
	e.tellEnd(tx, run, state.RunCancelled)
	return errors.Join(tx.MoveRun(ctx, id, state.RunCancelled, why.String()),
		journal.Append(tx, journal.Entry{Kind: journal.RunEnded, Actor: by, Incident: run.Incident, Run: id, Reason: runEnded(state.RunCancelled, why), Data: map[string]any{"state": state.RunCancelled}}))
}

// undoable tells whether a run can have done something that an undo takes back.
func undoable(run state.Run) bool {
	return run.State.Final() && !slices.Contains([]string{modeUndo, modeAftermath, string(state.ModeObserve)}, run.Mode)
}

// TakenBack is a step that an undo takes back, and the kind of the action that does so.
type TakenBack struct{ Step, Action string }

// Undoable tells what [Engine.Undo] of a run would take back, in the order of its doing;
// nothing: it would be refused. A run whose playbook cannot be read any more has none.
func (e *Engine) Undoable(ctx context.Context, run state.Run) (list []TakenBack, err error) {
	if !undoable(run) {
		return nil, nil
	}
	p, err := e.programOf(ctx, e.st.Reader, run)
	if err != nil {
		return nil, nil //nolint:nilerr // told where the playbook is shown
	}
	done, err := e.st.Steps(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range slices.Backward(done) {
		if undo := undoOf(p, d); undo != nil {
			list = append(list, TakenBack{d.Name, undo.Kind})
		}
	}
	return list, nil
}

// Undo starts a run that takes back what an ended run did.
func (e *Engine) Undo(ctx context.Context, id int64, by, why string) (undo state.Run, err error) {
	err = e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		run, err := tx.LockRun(ctx, id)
		if err != nil {
			return err
		}
		if !undoable(run) {
			return fmt.Errorf("it goes on, or is itself an undo, an observation or what followed a failure: %w", state.ErrConflict)
		}
		p, err := e.programOf(ctx, tx.Reader, run)
		if err != nil {
			return err
		}
		undo, err = e.undo(ctx, tx, run, p, by, msg.Said(why))
		return err
	})
	if err != nil {
		return undo, fmt.Errorf("undoing run %d: %w", id, err)
	}
	return undo, nil
}

// modeManual is the mode of runs that people start.
const modeManual = "manual"

// Run starts a playbook by hand for an open incident. Mutes, cooldowns and breakers hold
// automation back, not people; approvals hold them, too.
func (e *Engine) Run(ctx context.Context, playbook string, incident int64, by, why string) (run state.Run, err error) {
	err = e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		book, err := tx.CurrentPlaybook(ctx, playbook)
		if err != nil {
			return err
		}
		p, err := e.program(book.Version, book.Text)
		if err != nil {
			return err
		}
		inc, err := tx.LockIncident(ctx, incident)
		if err != nil {
			return err
		}
		alert, err := lastFiring(ctx, tx.Reader, inc.ID)
		if err != nil {
			return err
		}
		var created bool
		run, created, err = tx.StartRun(ctx, state.Run{
			Playbook: playbook, Version: book.Version, Incident: inc.ID, Asset: inc.Asset, Mode: modeManual, Reason: msg.Said(why).String(),
			Unique: string(state.ModeActive) + " " + playbook + " " + inc.Key, Vars: marshal(vars{Alert: alert.ID, By: by}),
		})
		if err == nil && !created {
			err = fmt.Errorf("run %d is unfinished: %w", run.ID, state.ErrConflict)
		}
		if err != nil {
			return err
		}
		return e.begin(ctx, tx, run, p.Steps, by)
	})
	if err != nil {
		return run, fmt.Errorf("running playbook %s: %w", playbook, err)
	}
	return run, nil
}

// Foreseen is a step of a plan, with what its action says it would do.
type Foreseen struct {
	Planned
	// Does says it for people, with secrets by reference; Fault, that it could not be done.
	Does  []msg.Reason `json:"does,omitempty"`
	Fault msg.Reason   `json:"fault,omitzero"`
}

// Foresee tells what [Engine.Run] would do for an incident, with the facts of now.
func (e *Engine) Foresee(ctx context.Context, playbook string, incident int64) ([]Foreseen, error) {
	inc, err := e.st.Incident(ctx, incident)
	if err != nil {
		return nil, fmt.Errorf("planning for incident %d: %w", incident, err)
	}
	book, err := e.st.CurrentPlaybook(ctx, playbook)
	if err != nil {
		return nil, fmt.Errorf("planning with playbook %s: %w", playbook, err)
	}
	p, err := e.program(book.Version, book.Text)
	if err != nil {
		return nil, fmt.Errorf("planning with playbook %s: %w", playbook, err)
	}
	alert, err := lastFiring(ctx, e.st.Reader, incident)
	if err != nil {
		return nil, fmt.Errorf("planning for incident %d: %w", incident, err)
	}
	return Foretell(Plan(ctx, p, Facts{Now: e.st.Now(), Playbook: playbook, Incident: inc, Alert: alert.Alert}), e.o.Describe), nil
}

// Foretell says what the steps of a plan would do; describe is that of [Options].
func Foretell(plan []Planned, describe func(kind string, input json.RawMessage) (does []msg.Reason, fault msg.Reason)) (out []Foreseen) {
	for _, s := range plan {
		f := Foreseen{Planned: s}
		switch {
		case s.Input != nil && describe != nil:
			f.Does, f.Fault = describe(s.Kind, s.Input)
		case s.Input == nil && !s.Skip:
			f.Fault = s.Why
		}
		out = append(out, f)
	}
	return out
}

// ResetBreaker closes a breaker by hand.
func (e *Engine) ResetBreaker(ctx context.Context, key, by, why string) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		b, err := tx.ChangeBreaker(ctx, key, func(b *state.Breaker) { *b = state.Breaker{State: state.BreakerClosed} })
		if err != nil {
			return err
		}
		return journal.Append(tx, journal.Entry{Kind: journal.BreakerChanged, Actor: by, Reason: msg.Because("why.breaker.byhand", key, why), Data: b})
	})
}

// Mute silences automation in a scope (see [Muted]); a zero until: until it is lifted.
func (e *Engine) Mute(ctx context.Context, scope string, until time.Time, by, why string) (id int64, err error) {
	err = e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		if kind, _, ok := strings.Cut(scope, ":"); scope != "" && (!ok || !slices.Contains([]string{"playbook", "code", "asset"}, kind)) {
			return fmt.Errorf("mute: %.80q is no scope (hint: nothing, playbook:NAME, code:CODE or asset:NAME; * stands for any rest)", scope)
		}
		if id, err = tx.AddMute(ctx, state.Mute{Scope: scope, Reason: why, By: by, Until: until}); err != nil {
			return err
		}
		return journal.Append(tx, journal.Entry{Kind: journal.MuteSet, Actor: by, Why: why, Data: map[string]any{"mute": id, "scope": scope, "until": until}})
	})
	return id, err
}

// Unmute lifts a mute.
func (e *Engine) Unmute(ctx context.Context, id int64, by string) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		return errors.Join(tx.LiftMute(ctx, id, by), journal.Append(tx, journal.Entry{Kind: journal.MuteLifted, Actor: by, Data: map[string]any{"mute": id}}))
	})
}

// Install puts a text in force. A version that is new, or was off, goes through observe
// for as long as hold says before it becomes active; SetMode shortens that. expect is the
// version that it replaces as the caller knows it ([AnyVersion]: whichever, "": there is
// none); [ErrStale] where another is in force by now.
func (e *Engine) Install(ctx context.Context, name, expect, text, origin string, want state.Mode, hold time.Duration, by string) error {
	version := state.PlaybookVersion(text)
	if _, err := e.program(version, text); err != nil {
		return fmt.Errorf("playbook %s: %w", name, err)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		current, err := tx.CurrentPlaybook(ctx, name)
		if ignore(err, state.ErrNotFound) != nil {
			return err
		}
		if expect != AnyVersion && current.Version != expect {
			return fmt.Errorf("putting playbook %s in force: %w", name, ErrStale)
		}
		if current.Version == version && (current.Mode == want || current.Mode == state.ModeObserve && want == state.ModeActive && hold > 0) {
			return nil // nothing new, or held already
		}
		if _, err := tx.PutPlaybook(ctx, name, text, origin); err != nil {
			return err
		}
		mode, why := want, msg.Because("why.inforce")
		if (current.Version != version || current.Mode == state.ModeOff) && want == state.ModeActive && hold > 0 {
			mode, why = state.ModeObserve, msg.Because("why.hold", hold)
			if err := e.queue.Insert(ctx, tx, jobs.Job{Kind: jobRelease, Args: releaseArgs{name, version, by}, At: tx.Now().Add(hold)}); err != nil {
				return err
			}
		}
		return e.setMode(ctx, tx, name, version, mode, by, why)
	})
}

// modeWord is the word of a mode.
func modeWord(m state.Mode) msg.Word {
	return map[state.Mode]msg.Word{state.ModeActive: msg.Word("why.mode.active"), state.ModeObserve: msg.Word("why.mode.observe"), state.ModeOff: msg.Word("why.mode.off")}[m]
}

type releaseArgs struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	By      string `json:"by"`
}

func (e *Engine) setMode(ctx context.Context, tx *state.Tx, name, version string, mode state.Mode, by string, why msg.Reason) error {
	return errors.Join(tx.SetMode(ctx, name, version, mode, by),
		journal.Append(tx, journal.Entry{Kind: journal.PlaybookChanged, Actor: by, Reason: msg.Because("why.mode", name, modeWord(mode), why), Data: map[string]any{"playbook": name, "version": version, "mode": mode}}))
}

// release ends the hold of a version that is still the one in force and observed.
func (e *Engine) release(ctx context.Context, t *jobs.Task) error {
	var args releaseArgs
	if err := t.Args(&args); err != nil {
		return jobs.Never(err)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if err := t.Complete(ctx, tx); err != nil {
			return err
		}
		current, err := tx.CurrentPlaybook(ctx, args.Name)
		if err != nil || current.Version != args.Version || current.Mode != state.ModeObserve {
			return ignore(err, state.ErrNotFound)
		}
		return e.setMode(ctx, tx, args.Name, args.Version, state.ModeActive, args.By, msg.Because("why.hold.over"))
	})
}

// SetMode changes what the version in force may do, by hand: it ends a hold, too.
// expect is the version that the caller decided about ([AnyVersion]: whichever it is);
// [ErrStale] where another is in force by now.
func (e *Engine) SetMode(ctx context.Context, name, expect string, mode state.Mode, by string, why msg.Reason) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		current, err := tx.CurrentPlaybook(ctx, name)
		if err != nil {
			return err
		}
		if expect != AnyVersion && current.Version != expect {
			return fmt.Errorf("changing the mode of playbook %s: %w", name, ErrStale)
		}
		return e.setMode(ctx, tx, name, current.Version, mode, by, why)
	})
}

// Settle stores what a person found out about a step of which nobody knew whether its
// effect was made.
func (e *Engine) Settle(ctx context.Context, k state.StepKey, made bool, by, note string) error {
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if by == "" {
			return ErrNobody
		}
		to, why := state.StepFailed, msg.Because("why.settled.notmade", note)
		if made {
			to, why = state.StepDone, msg.Because("why.settled.made", note)
		}
		return errors.Join(tx.SettleStep(ctx, k, to, msg.Said(note).String()),
			journal.Append(tx, journal.Entry{Kind: journal.StepEnded, Actor: by, Run: k.Run, Step: k.String(), Reason: why, Data: map[string]any{"status": to}}))
	})
}
