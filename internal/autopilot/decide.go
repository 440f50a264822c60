package autopilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Verdict is what was decided about a playbook and an incident.
type Verdict string

// The verdicts.
const (
	VerdictRun     Verdict = "run"     // it runs
	VerdictObserve Verdict = "observe" // it would have run
	VerdictLater   Verdict = "later"   // something holds it back for a time
	VerdictNo      Verdict = "no"
)

// Check names what settled a decision.
type Check string

// The checks, in their order.
const (
	CheckProgram     Check = "program" // the playbook cannot be read
	CheckMatch       Check = "match"
	CheckMute        Check = "mute"
	CheckWindow      Check = "window"
	CheckRan         Check = "ran" // it ran for this incident
	CheckRunning     Check = "running"
	CheckBreaker     Check = "breaker"
	CheckCooldown    Check = "cooldown"
	CheckMaxRuns     Check = "max_runs"
	CheckConcurrency Check = "concurrency"
	CheckBlast       Check = "blast_radius"
	CheckAll         Check = "passed"
)

// Decision is what was decided about one playbook, and why.
type Decision struct {
	Playbook string     `json:"playbook"`
	Version  string     `json:"version"`
	Mode     state.Mode `json:"mode"`
	Verdict  Verdict    `json:"verdict"`
	Check    Check      `json:"check"`
	Why      msg.Reason `json:"why"`
	// Again is when it is decided anew if the incident goes on.
	Again time.Time `json:"again,omitzero"`
	Run   int64     `json:"run,omitempty"`
}

// trigger is why it is decided: the key of a word.
type trigger string

const (
	openedNow trigger = "why.trigger.opened"
	joined    trigger = "why.trigger.joined"
	rechecked trigger = "why.trigger.goeson"
	reopened  trigger = "why.reopened"
)

// defer time where nothing says when a hindrance ends.
const soon = 10 * time.Second

// subject is what is decided about.
type subject struct {
	book    state.CurrentPlaybook
	program *Program
	facts   Facts
	trigger trigger
}

func (s subject) mode() string  { return string(s.book.Mode) }
func (s subject) asset() string { return s.facts.Incident.Asset }
func cooldownKey(mode, book, asset string) string {
	return "cooldown " + mode + " " + book + " " + asset
}
func bookBreaker(book string) string          { return "playbook " + book }
func targetBreaker(book, asset string) string { return "target " + book + " " + asset }
func refireKey(run int64) string              { return fmt.Sprintf("ineffective %d", run) }

// decide judges playbooks in force, and starts what is to run.
func (e *Engine) decide(ctx context.Context, tx *state.Tx, inc state.Incident, alert state.StoredAlert, why trigger, books []state.CurrentPlaybook) error {
	var decisions []Decision
	news := why != joined
	for _, b := range books {
		if b.Mode == state.ModeOff {
			continue
		}
		d, err := e.decideOne(ctx, tx, b, inc, alert, why)
		if err != nil {
			return fmt.Errorf("deciding on playbook %s: %w", b.Name, err)
		}
		decisions = append(decisions, d)
		news = news || d.Verdict == VerdictRun || d.Verdict == VerdictObserve
	}
	if !news {
		return nil // thousands may join: what did not change is not written again
	}
	if decisions == nil {
		decisions = []Decision{}
	}
	return journal.Append(tx, journal.Entry{Kind: journal.Decided, Actor: Actor, Incident: inc.ID, Reason: summary(why, decisions), Data: decisions})
}

// summary is why it was decided; each playbook's reason stands in its decision.
func summary(why trigger, decisions []Decision) msg.Reason {
	if len(decisions) == 0 {
		return msg.Because("why.decided.none", msg.Word(why))
	}
	counts := map[Verdict]int64{}
	for _, d := range decisions {
		counts[d.Verdict]++
	}
	return msg.Because("why.decided", msg.Word(why), counts[VerdictRun], counts[VerdictObserve], counts[VerdictLater], counts[VerdictNo])
}

func (e *Engine) decideOne(ctx context.Context, tx *state.Tx, b state.CurrentPlaybook, inc state.Incident, alert state.StoredAlert, why trigger) (Decision, error) {
	s := subject{book: b, facts: Facts{Now: tx.Now(), Playbook: b.Name, Incident: inc, Alert: alert.Alert}, trigger: why}
	d := Decision{Playbook: b.Name, Version: b.Version, Mode: b.Mode}
	var err error
	if s.program, err = e.program(b.Version, b.Text); err != nil {
		d.Verdict, d.Check, d.Why = VerdictNo, CheckProgram, msg.Of(err)
		return d, nil
	}
	if ok, reason, err := s.program.Match(ctx, s.facts); err != nil || !ok {
		if err != nil {
			reason = msg.Of(err)
		}
		d.Verdict, d.Check, d.Why = VerdictNo, CheckMatch, reason
		return d, nil
	}
	// Of a storm's alerts most join: those need no lock.
	if reason, err := checkRan(ctx, tx.Reader, s, Policy{}, &d); err != nil || !reason.IsZero() {
		d.Check, d.Why = CheckRan, reason
		return d, err
	}
	// Decisions on one playbook are made one at a time on all nodes: its breaker's row is
	// held until the end of the transaction.
	if _, err := tx.ChangeBreaker(ctx, bookBreaker(b.Name), func(*state.Breaker) {}); err != nil {
		return d, err
	}
	if b.Mode == state.ModeActive && why != joined {
		if err := e.countRefire(ctx, tx, s); err != nil {
			return d, err
		}
	}
	if d, err = e.judge(ctx, tx.Reader, s, d); err != nil {
		return d, err
	}
	switch d.Verdict {
	case VerdictLater:
		err = e.queue.Insert(ctx, tx, jobs.Job{
			Kind: jobRecheck, Args: incidentArgs{inc.ID, b.Name}, At: d.Again, Unique: fmt.Sprintf("%d %s", inc.ID, b.Name),
		})
	case VerdictObserve:
		d.Run, err = e.observe(ctx, tx, s, alert.ID)
	case VerdictRun:
		d.Run, err = e.start(ctx, tx, s, alert.ID, d.Why)
	}
	return d, err
}

// countRefire counts against the last run that its fault is there again, or still, though
// it succeeded: once a run.
func (e *Engine) countRefire(ctx context.Context, tx *state.Tx, s subject) error {
	runs, err := tx.Runs(ctx, state.RunFilter{Playbook: s.book.Name, Asset: s.asset(), Mode: string(state.ModeActive)}, state.Page{Limit: 1})
	if err != nil || len(runs) == 0 {
		return err
	}
	last, policy := runs[0], s.program.Policy.filled()
	if last.State != state.RunDone || s.facts.Now.After(last.Ended.Add(policy.Refire)) {
		return nil
	}
	before, err := tx.Incident(ctx, last.Incident)
	if err != nil || before.Code != s.facts.Incident.Code {
		return ignore(err, state.ErrNotFound)
	}
	if _, counted, err := tx.Cooling(ctx, refireKey(last.ID)); err != nil || counted {
		return err
	}
	if err := tx.SetCooldown(ctx, refireKey(last.ID), last.Ended.Add(policy.Refire), msg.Because("why.counted").String()); err != nil {
		return err
	}
	return e.blame(ctx, tx, last, policy, ineffective, msg.Because("why.refired", last.ID))
}

// judge goes through the checks. It only reads.
func (e *Engine) judge(ctx context.Context, r state.Reader, s subject, d Decision) (Decision, error) {
	policy := s.program.Policy.filled()
	d.Again = s.facts.Now.Add(soon)
	checks := []struct {
		check Check
		do    func(context.Context, state.Reader, subject, Policy, *Decision) (msg.Reason, error)
	}{
		{CheckMute, checkMute},
		{CheckWindow, checkWindow},
		{CheckRan, checkRan},
		{CheckRunning, checkRunning},
		{CheckBreaker, checkBreaker},
		{CheckCooldown, checkCooldown},
		{CheckMaxRuns, e.checkMaxRuns},
		{CheckConcurrency, checkConcurrency},
		{CheckBlast, checkBlast},
	}
	for _, c := range checks {
		d.Verdict = VerdictLater
		why, err := c.do(ctx, r, s, policy, &d)
		if err != nil {
			return d, fmt.Errorf("checking %s: %w", c.check, err)
		}
		if !why.IsZero() {
			d.Check, d.Why = c.check, why
			if d.Verdict == VerdictNo {
				d.Again = time.Time{}
			}
			return d, nil
		}
	}
	d.Verdict, d.Check, d.Again = VerdictRun, CheckAll, time.Time{}
	if s.book.Mode == state.ModeObserve {
		d.Verdict = VerdictObserve
	}
	d.Why = msg.Because("why.passed", msg.Word(s.trigger), s.facts.Incident.Code, s.asset(), s.facts.Incident.Priority)
	return d, nil
}

// Muted tells whether a mute's scope holds for a playbook, a code and an asset. Scopes
// are "" (everything), playbook:NAME, code:CODE, asset:NAME; a * at the end stands for
// any rest.
func Muted(scope, playbook string, code keepwell.Code, asset string) bool {
	if scope == "" {
		return true
	}
	kind, name, _ := strings.Cut(scope, ":")
	value, ok := map[string]string{"playbook": playbook, "code": string(code), "asset": asset}[kind]
	if prefix, open := strings.CutSuffix(name, "*"); open {
		return ok && strings.HasPrefix(value, prefix)
	}
	return ok && value == name
}

func mutedBy(ctx context.Context, r state.Reader, playbook string, inc state.Incident) (state.Mute, bool, error) {
	mutes, err := r.ActiveMutes(ctx)
	i := slices.IndexFunc(mutes, func(m state.Mute) bool { return Muted(m.Scope, playbook, inc.Code, inc.Asset) })
	if err != nil || i < 0 {
		return state.Mute{}, false, err
	}
	return mutes[i], true, nil
}

// muteLook is how often it is looked whether a mute was lifted.
const muteLook = time.Minute

func checkMute(ctx context.Context, r state.Reader, s subject, _ Policy, d *Decision) (msg.Reason, error) {
	m, ok, err := mutedBy(ctx, r, s.book.Name, s.facts.Incident)
	if !ok {
		return msg.Reason{}, err
	}
	d.Again = s.facts.Now.Add(muteLook)
	if !m.Until.IsZero() && m.Until.Before(d.Again) {
		d.Again = m.Until
	}
	if m.Scope == "" {
		return msg.Because("why.muted.all", m.By, m.Reason), nil
	}
	return msg.Because("why.muted", m.By, m.Scope, m.Reason), nil
}

func checkWindow(_ context.Context, _ state.Reader, s subject, p Policy, d *Decision) (msg.Reason, error) {
	if p.Window == nil {
		return msg.Reason{}, nil
	}
	ok, why := p.Window(s.facts.Now)
	if ok {
		return msg.Reason{}, nil
	}
	d.Again = s.facts.Now.Add(muteLook)
	if why.IsZero() {
		why = msg.Because("why.window")
	}
	return why, nil
}

// checkRan: alerts that join an incident are no reason to run once more.
func checkRan(ctx context.Context, r state.Reader, s subject, _ Policy, d *Decision) (msg.Reason, error) {
	if s.trigger != joined {
		return msg.Reason{}, nil
	}
	n, err := r.CountRuns(ctx, state.RunFilter{Playbook: s.book.Name, Incident: s.facts.Incident.ID, Mode: s.mode()})
	if err != nil || n == 0 {
		return msg.Reason{}, err
	}
	d.Verdict = VerdictNo
	return msg.Because("why.ran"), nil
}

func checkRunning(ctx context.Context, r state.Reader, s subject, p Policy, d *Decision) (msg.Reason, error) {
	runs, err := r.Runs(ctx, state.RunFilter{Playbook: s.book.Name, Asset: s.asset(), Unfinished: true}, state.Page{Limit: 1000})
	if err != nil || len(runs) == 0 {
		return msg.Reason{}, err
	}
	if i := slices.IndexFunc(runs, func(r state.Run) bool { return r.Incident == s.facts.Incident.ID }); i >= 0 {
		d.Verdict = VerdictNo // its end decides again, unless there is no cooldown
		return msg.Because("why.unfinished", runs[i].ID), nil
	}
	if p.PerTarget < 0 || int64(len(runs)) < p.PerTarget {
		return msg.Reason{}, nil
	}
	return msg.Because("why.unfinished", runs[0].ID), nil
}

func checkBreaker(ctx context.Context, r state.Reader, s subject, _ Policy, d *Decision) (msg.Reason, error) {
	if s.book.Mode != state.ModeActive {
		return msg.Reason{}, nil // it counts what was done, and nothing was
	}
	for key, asset := range map[string]string{bookBreaker(s.book.Name): "", targetBreaker(s.book.Name, s.asset()): s.asset()} {
		b, err := r.Breaker(ctx, key)
		if err != nil || b.State == state.BreakerClosed {
			if err != nil {
				return msg.Reason{}, err
			}
			continue
		}
		if s.facts.Now.Before(b.Until) && b.State == state.BreakerOpen {
			d.Again = b.Until
			return msg.Because("why.breaker.open", key, b.Until, msg.ParseReason(b.Reason)), nil
		}
		// Half open: one run at a time shows whether it helps again.
		n, err := r.CountRuns(ctx, state.RunFilter{Playbook: s.book.Name, Asset: asset, Unfinished: true})
		if err != nil {
			return msg.Reason{}, err
		}
		if n > 0 {
			return msg.Because("why.breaker.half", key), nil
		}
	}
	return msg.Reason{}, nil
}

func checkCooldown(ctx context.Context, r state.Reader, s subject, _ Policy, d *Decision) (msg.Reason, error) {
	c, ok, err := r.Cooling(ctx, cooldownKey(s.mode(), s.book.Name, s.asset()))
	if !ok {
		return msg.Reason{}, err
	}
	d.Again = c.Until
	return msg.Because("why.cooling", c.Until, msg.ParseReason(c.Reason)), nil
}

func (e *Engine) checkMaxRuns(ctx context.Context, r state.Reader, s subject, p Policy, d *Decision) (msg.Reason, error) {
	if p.MaxRuns > 0 {
		n, err := r.CountRuns(ctx, state.RunFilter{Playbook: s.book.Name, Mode: s.mode(), Since: s.facts.Now.Add(-p.MaxRunsIn)})
		if err != nil {
			return msg.Reason{}, err
		}
		if n >= p.MaxRuns {
			d.Again = s.facts.Now.Add(max(soon, p.MaxRunsIn/10))
			return msg.Because("why.maxruns", n, p.MaxRunsIn, p.MaxRuns), nil
		}
	}
	if e.o.MaxRuns > 0 && s.book.Mode == state.ModeActive {
		n, err := r.CountRuns(ctx, state.RunFilter{Mode: s.mode(), Since: s.facts.Now.Add(-time.Hour)})
		if err != nil || n < e.o.MaxRuns {
			return msg.Reason{}, err
		}
		d.Again = s.facts.Now.Add(time.Minute)
		return msg.Because("why.maxruns.all", n, e.o.MaxRuns), nil
	}
	return msg.Reason{}, nil
}

func checkConcurrency(ctx context.Context, r state.Reader, s subject, p Policy, _ *Decision) (msg.Reason, error) {
	if p.Concurrency == 0 {
		return msg.Reason{}, nil
	}
	n, err := r.CountRuns(ctx, state.RunFilter{Playbook: s.book.Name, Unfinished: true})
	if err != nil || n < p.Concurrency {
		return msg.Reason{}, err
	}
	return msg.Because("why.concurrency", n, p.Concurrency), nil
}

func checkBlast(ctx context.Context, r state.Reader, s subject, p Policy, d *Decision) (msg.Reason, error) {
	if p.MaxAssets == 0 {
		return msg.Reason{}, nil
	}
	f := state.RunFilter{Playbook: s.book.Name, Mode: s.mode(), Since: s.facts.Now.Add(-p.MaxAssetsIn)}
	n, err := r.CountAssets(ctx, f)
	if err != nil || n < p.MaxAssets {
		return msg.Reason{}, err
	}
	f.Asset = s.asset()
	if known, err := r.CountRuns(ctx, f); err != nil || known > 0 {
		return msg.Reason{}, err
	}
	d.Again = s.facts.Now.Add(max(soon, p.MaxAssetsIn/10))
	return msg.Because("why.blast", n, p.MaxAssetsIn, p.MaxAssets), nil
}

// vars is what a run remembers of its beginning.
type vars struct {
	Alert int64 `json:"alert,omitempty"`
	// Undoes is the run that this one takes back.
	Undoes int64  `json:"undoes,omitempty"`
	By     string `json:"by"`
}

const modeUndo = "undo"

// modeAftermath is the mode of the run of what follows a failed one.
const modeAftermath = "on_failure"

// start creates a run with its first step.
func (e *Engine) start(ctx context.Context, tx *state.Tx, s subject, alert int64, why msg.Reason) (int64, error) {
	policy := s.program.Policy.filled()
	for _, key := range []string{bookBreaker(s.book.Name), targetBreaker(s.book.Name, s.asset())} {
		b, err := tx.Breaker(ctx, key)
		if err == nil && b.State == state.BreakerOpen {
			_, err = tx.ChangeBreaker(ctx, key, func(b *state.Breaker) { b.State = state.BreakerHalf })
		}
		if err != nil {
			return 0, err
		}
	}
	run, created, err := tx.StartRun(ctx, state.Run{
		Playbook: s.book.Name, Version: s.book.Version, Incident: s.facts.Incident.ID, Asset: s.asset(), Mode: s.mode(), Reason: why.String(),
		Unique: s.mode() + " " + s.book.Name + " " + s.facts.Incident.Key, Vars: marshal(vars{Alert: alert, By: Actor}),
	})
	if err != nil || !created {
		return run.ID, err
	}
	if policy.Cooldown > 0 {
		if err := tx.SetCooldown(ctx, cooldownKey(s.mode(), s.book.Name, s.asset()), tx.Now().Add(policy.Cooldown), msg.Because("why.run", run.ID).String()); err != nil {
			return 0, err
		}
	}
	return run.ID, e.begin(ctx, tx, run, s.program.Steps, Actor)
}

// begin writes down that a run starts and inserts its first step.
func (e *Engine) begin(ctx context.Context, tx *state.Tx, run state.Run, steps []Step, by string) error {
	if e.o.Began != nil {
		tx.AfterCommit(func() { e.o.Began(run) })
	}
	return errors.Join(
		journal.Append(tx, journal.Entry{Kind: journal.RunStarted, Actor: by, Incident: run.Incident, Run: run.ID, Reason: msg.ParseReason(run.Reason), Data: map[string]any{
			"playbook": run.Playbook, "version": run.Version, "asset": run.Asset, "mode": run.Mode,
		}}),
		e.add(ctx, tx, run, steps, state.StepKey{Run: run.ID, Seq: 0, Attempt: 1}, steps[0].Delay),
	)
}

// add adds an attempt at a step, with its job.
func (e *Engine) add(ctx context.Context, tx *state.Tx, run state.Run, steps []Step, k state.StepKey, delay time.Duration) error {
	step := steps[k.Seq]
	st := state.Step{StepKey: k, Name: step.Name, Action: step.Kind, Status: state.StepPending}
	job := jobs.Job{Kind: jobStep, Args: k, Unique: k.String(), Attempts: 20}
	if delay > 0 {
		st.Status, job.At = state.StepWaiting, tx.Now().Add(delay)
		if err := tx.MoveRun(ctx, run.ID, state.RunWaiting, ""); err != nil {
			return err
		}
	}
	if err := tx.AddStep(ctx, st); err != nil {
		return fmt.Errorf("adding step %s: %w", k, err)
	}
	return e.queue.Insert(ctx, tx, job)
}

// observe writes down what a run would have done.
func (e *Engine) observe(ctx context.Context, tx *state.Tx, s subject, alert int64) (int64, error) {
	policy := s.program.Policy.filled()
	run, created, err := tx.StartRun(ctx, state.Run{
		Playbook: s.book.Name, Version: s.book.Version, Incident: s.facts.Incident.ID, Asset: s.asset(), Mode: s.mode(), Reason: msg.Because("why.would").String(),
		Unique: s.mode() + " " + s.book.Name + " " + s.facts.Incident.Key, Vars: marshal(vars{Alert: alert, By: Actor}),
	})
	if err != nil || !created {
		return run.ID, err
	}
	plan := Plan(ctx, s.program, s.facts)
	for i, p := range plan {
		k := state.StepKey{Run: run.ID, Seq: int64(i), Attempt: 1}
		if err := errors.Join(
			tx.AddStep(ctx, state.Step{StepKey: k, Name: p.Name, Action: p.Kind, Status: state.StepPending}),
			tx.EndStep(ctx, k, state.StepSkipped, marshal(p), msg.Because("why.observed").String()),
		); err != nil {
			return 0, err
		}
	}
	if policy.Cooldown > 0 {
		if err := tx.SetCooldown(ctx, cooldownKey(s.mode(), s.book.Name, s.asset()), tx.Now().Add(policy.Cooldown), msg.Because("why.run", run.ID).String()); err != nil {
			return 0, err
		}
	}
	e.tellEnd(tx, run, state.RunDone)
	return run.ID, errors.Join(
		tx.MoveRun(ctx, run.ID, state.RunDone, ""),
		journal.Append(tx, journal.Entry{Kind: journal.RunEnded, Actor: Actor, Incident: run.Incident, Run: run.ID, Reason: msg.Because("why.would"), Data: plan}),
	)
}

// Planned is what a step would do.
type Planned struct {
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Skip     bool            `json:"skip,omitempty"`
	Why      msg.Reason      `json:"why,omitzero"`
	Approval bool            `json:"approval,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
}

// Plan tells what the steps of a program would do with the facts of now. What depends on
// the results of earlier steps says so in Why.
func Plan(ctx context.Context, p *Program, f Facts) []Planned {
	plan := make([]Planned, 0, len(p.Steps))
	for _, s := range p.Steps {
		out := Planned{Name: s.Name, Kind: s.Kind, Approval: s.Approval != nil}
		ok, why, err := s.wanted(ctx, f)
		if err == nil && ok {
			out.Input, err = s.input(ctx, f)
		}
		out.Skip, out.Why = !ok && err == nil, why
		if err != nil {
			out.Why = msg.Of(err)
		}
		plan = append(plan, out)
	}
	return plan
}

func (s Step) wanted(ctx context.Context, f Facts) (bool, msg.Reason, error) {
	if s.When == nil {
		return true, msg.Reason{}, nil
	}
	return s.When(ctx, f)
}

func (s Step) input(ctx context.Context, f Facts) (json.RawMessage, error) {
	if s.Input == nil {
		return nil, nil
	}
	return s.Input(ctx, f)
}

// recheck decides again on an incident that goes on.
func (e *Engine) recheck(ctx context.Context, t *jobs.Task) error {
	var args incidentArgs
	if err := t.Args(&args); err != nil {
		return jobs.Never(err)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		if err := t.Complete(ctx, tx); err != nil { // first: it may insert its like
			return err
		}
		inc, err := tx.LockIncident(ctx, args.Incident)
		if err != nil || inc.State != state.IncidentOpen {
			return ignore(err, state.ErrNotFound)
		}
		alert, err := lastFiring(ctx, tx.Reader, inc.ID)
		if err != nil {
			return err
		}
		book, err := tx.CurrentPlaybook(ctx, args.Playbook)
		if err != nil {
			return ignore(err, state.ErrNotFound)
		}
		return e.decide(ctx, tx, inc, alert, rechecked, []state.CurrentPlaybook{book})
	})
}

// lastFiring is the newest alert of an incident that fired.
func lastFiring(ctx context.Context, r state.Reader, incident int64) (state.StoredAlert, error) {
	alerts, err := r.Alerts(ctx, state.AlertFilter{Incident: incident, Status: keepwell.AlertFiring}, state.Page{Limit: 1})
	if err != nil || len(alerts) == 0 {
		return state.StoredAlert{}, err
	}
	return alerts[0], nil
}
