package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

// Programs makes programs of the engine out of playbooks.
type Programs struct {
	// Actions gives the set that makes effects: the one of then, so that programs need not
	// be made anew with it.
	Actions func() *actions.Set
	// Firing counts the alerts of an incident that fire; nil: it cannot be told.
	Firing func(ctx context.Context, incident int64) (int64, error)
	// Alone says that nobody will tell when the alerts are over: checks that wait for it
	// are left out.
	Alone bool
}

// Compile makes a program of a text.
func (c Programs) Compile(text string) (*autopilot.Program, error) {
	p, problems := playbook.Read([]byte(text), playbook.Options{Conditions: Conditions()})
	if p == nil {
		return nil, errors.New(strings.TrimSpace(problems.String()))
	}
	return c.Program(p)
}

// Program makes a program of a checked playbook.
func (c Programs) Program(p *playbook.Program) (*autopilot.Program, error) {
	out := &autopilot.Program{Policy: policy(p), Match: match(p)}
	var err error
	if out.Steps, err = c.steps(p, p.Steps); err != nil {
		return nil, err
	}
	out.OnFailure, err = c.steps(p, p.OnFailure)
	return out, err
}

// policy is what holds p back. A cooldown of 0 is none, which the engine says by less
// than 0; so are bounds of 0.
func policy(p *playbook.Program) autopilot.Policy {
	out := autopilot.Policy{
		Cooldown: p.Cooldown, Concurrency: int64(p.Concurrency.Global), PerTarget: int64(p.Concurrency.PerTarget),
		MaxRuns: int64(p.MaxRuns.Count), MaxRunsIn: p.MaxRuns.Per, MaxAssets: int64(p.BlastRadius.Count), MaxAssetsIn: p.BlastRadius.Per,
	}
	if out.Cooldown == 0 {
		out.Cooldown = -1
	}
	if out.PerTarget == 0 {
		out.PerTarget = -1
	}
	if len(p.Maintenance) > 0 {
		out.Window = func(t time.Time) (bool, msg.Reason) {
			w, open := p.InMaintenance(t)
			if !open {
				return true, msg.Reason{}
			}
			return false, msg.Because("why.maintenance", w.Cron, w.Duration)
		}
	}
	return out
}

// match tells whether p is for what happened.
func match(p *playbook.Program) func(context.Context, autopilot.Facts) (bool, msg.Reason, error) {
	return func(ctx context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
		if !p.TriggeredBy(f.Incident.Code, f.Alert.Name()) {
			return false, msg.Because("why.notfor", strings.Join(p.Trigger, ", ")), nil
		}
		for label, admitted := range p.Match.Labels {
			if !slices.Contains(admitted, f.Alert.Labels[label]) {
				return false, msg.Because("why.label", label, strings.Join(admitted, ", ")), nil
			}
		}
		s, err := scope(p, f)
		if err != nil {
			return false, msg.Reason{}, err
		}
		ok, err := p.Match.If.Holds(ctx, s)
		if err != nil || ok {
			return ok, msg.Reason{}, err
		}
		return false, msg.Because("why.condition.false", p.Match.If.Expr), nil
	}
}

// steps are those of the engine for a list of p: a check is a step of its own.
func (c Programs) steps(p *playbook.Program, list []playbook.Step) (out []autopilot.Step, err error) {
	for i := range list {
		s := &list[i]
		step, err := c.step(p, s)
		if err != nil {
			return nil, err
		}
		out = append(out, step)
		if s.Verify == nil || c.Alone && s.Verify.Check.Kind == "alert" {
			continue
		}
		check, err := c.check(p, s)
		if err != nil {
			return nil, err
		}
		out = append(out, check)
	}
	return out, nil
}

func (c Programs) step(p *playbook.Program, s *playbook.Step) (autopilot.Step, error) {
	act, delay, err := c.action(s.Action)
	if err != nil {
		return autopilot.Step{}, err
	}
	out := autopilot.Step{
		Name: s.Name, Kind: s.Action.Kind, Timeout: s.Timeout, Idempotent: s.Idempotent, Delay: delay, Action: act, OnFailure: onFailure(s.OnFailure),
		Retries: max(0, s.Retry.Attempts-1), Backoff: s.Retry.Backoff, BackoffMax: s.Retry.Max,
		When: func(ctx context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
			sc, err := within(p, s, f)
			if err != nil {
				return false, msg.Reason{}, err
			}
			return s.Applies(ctx, sc)
		},
		Input: input(p, s, s.Action),
	}
	if s.Approval != nil {
		out.Approval = &autopilot.Approval{
			Ask: s.Name, Expires: s.Approval.Within, Another: true, Role: s.Approval.Role, OnExpiry: onExpiry(s.Approval.Expiry),
		}
	}
	if s.Undo != nil {
		undo, wait, err := c.action(*s.Undo)
		if err != nil {
			return out, err
		}
		out.Undo = &autopilot.Step{
			Name: "undo " + s.Name, Kind: s.Undo.Kind, Timeout: s.Timeout, Delay: wait, Action: undo, Input: input(p, s, *s.Undo),
			Idempotent: playbook.LookupKind(s.Undo.Kind).Idempotent,
		}
	}
	return out, nil
}

// check is the step that proves the effect of s, where that was made.
func (c Programs) check(p *playbook.Program, s *playbook.Step) (autopilot.Step, error) {
	act, _, err := c.action(s.Verify.Check)
	if err != nil {
		return autopilot.Step{}, err
	}
	return autopilot.Step{
		Name: "verify " + s.Name, Kind: s.Verify.Check.Kind, Timeout: s.Timeout, Delay: s.Verify.Delay, Action: act, OnFailure: onFailure(s.OnFailure),
		Idempotent: true, Check: true, Retries: max(0, s.Verify.Attempts-1), Backoff: s.Verify.Every,
		When: func(ctx context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
			if f.Run == 0 { // a plan: as the step itself
				sc, err := within(p, s, f)
				if err != nil {
					return false, msg.Reason{}, err
				}
				return s.Applies(ctx, sc)
			}
			if _, done := f.Results[s.Name]; !done {
				return false, msg.Because("why.notdone"), nil
			}
			return true, msg.Reason{}, nil
		},
		Input: input(p, s, s.Verify.Check),
	}, nil
}

// within is the scope of a step of p.
func within(p *playbook.Program, s *playbook.Step, f autopilot.Facts) (playbook.Scope, error) {
	sc, err := scope(p, f)
	if err != nil {
		return sc, err
	}
	return s.For(sc)
}

func input(p *playbook.Program, s *playbook.Step, a playbook.Action) func(context.Context, autopilot.Facts) (json.RawMessage, error) {
	return func(_ context.Context, f autopilot.Facts) (json.RawMessage, error) {
		sc, err := within(p, s, f)
		if err != nil {
			return nil, err
		}
		in, err := a.Fill(sc)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(a.Kind, "notify") || a.Kind == "create_ticket" {
			in.About.Done = did(p, f)
		}
		return json.Marshal(in)
	}
}

// did is what the steps of p have done so far. A script says it by the last line that it
// printed.
func did(p *playbook.Program, f autopilot.Facts) (all []playbook.Did) {
	const longest = 200
	for i := range p.Steps {
		s := &p.Steps[i]
		raw, done := f.Results[s.Name]
		if !done {
			continue
		}
		var res struct{ Summary, Output string }
		_ = json.Unmarshal(raw, &res) // what cannot be read says nothing
		said := res.Summary
		if lines := strings.Split(strings.TrimSpace(res.Output), "\n"); s.Action.Kind == "run_script" && lines[0] != "" {
			said = strings.TrimSpace(lines[len(lines)-1])
		}
		if len(said) > longest {
			said = strings.ToValidUTF8(said[:longest], "") + "…"
		}
		_, verified := f.Results["verify "+s.Name]
		all = append(all, playbook.Did{Step: s.Name, Said: said, Verified: verified})
	}
	return all
}

func onFailure(f playbook.OnFailure) autopilot.OnFailure {
	return map[playbook.OnFailure]autopilot.OnFailure{
		playbook.FailContinue: autopilot.FailContinue, playbook.FailUndo: autopilot.FailUndo, playbook.FailHuman: autopilot.FailHuman,
	}[f]
}

func onExpiry(e playbook.OnExpiry) autopilot.OnExpiry {
	return map[playbook.OnExpiry]autopilot.OnExpiry{
		playbook.ExpirySkip: autopilot.ExpirySkip, playbook.ExpiryHuman: autopilot.ExpiryHuman,
	}[e]
}

// action is who does a, and what passes before.
func (c Programs) action(a playbook.Action) (act autopilot.Action, delay time.Duration, err error) {
	switch a.Kind {
	case "wait":
		return waited{}, a.Params["for"].Duration, nil
	case "alert":
		return resolved{c.Firing}, 0, nil
	}
	if playbook.LookupKind(a.Kind) == nil {
		return nil, 0, fmt.Errorf("action %s is unknown", a.Kind)
	}
	return effect{c.Actions}, 0, nil
}

// effect is an action of the set.
type effect struct{ actions func() *actions.Set }

// Do implements [autopilot.Action].
func (e effect) Do(ctx context.Context, call autopilot.Call) (json.RawMessage, error) {
	if e.actions == nil {
		return nil, errors.New("there are no actions here")
	}
	out, err := e.actions().CallUndo(ctx, call.Key.String(), call.Input, call.Undone)
	if errors.Is(err, actions.ErrUnsure) {
		err = unsure{err}
	}
	if errors.Is(err, actions.ErrFinal) {
		err = final{err}
	}
	return out, err
}

// Probe implements [autopilot.Prober].
func (e effect) Probe(ctx context.Context, call autopilot.Call) (bool, error) {
	if e.actions == nil {
		return false, errors.New("there are no actions here")
	}
	return e.actions().Probed(ctx, call.Key.String(), call.Input)
}

// unsure is an error of an action that the engine knows for what it is.
type unsure struct{ error }

// Is implements the interface of [errors.Is].
func (u unsure) Is(target error) bool { return target == autopilot.ErrUnsure }

func (u unsure) Unwrap() error { return u.error }

// final is an error that the engine knows for one that no further attempt mends.
type final struct{ error }

// Is implements the interface of [errors.Is].
func (f final) Is(target error) bool { return target == autopilot.ErrFinal }

func (f final) Unwrap() error { return f.error }

// waited is what comes after a wait, which the engine did.
type waited struct{}

// Do implements [autopilot.Action].
func (waited) Do(context.Context, autopilot.Call) (json.RawMessage, error) {
	return json.Marshal(actions.Result{Summary: "waited"})
}

// resolved asks whether the alerts of the run's incident are over.
type resolved struct {
	firing func(ctx context.Context, incident int64) (int64, error)
}

// Do implements [autopilot.Action].
func (r resolved) Do(ctx context.Context, call autopilot.Call) (json.RawMessage, error) {
	if r.firing == nil || call.Run.Incident == 0 {
		return nil, reasoned("why.noincident")
	}
	n, err := r.firing(ctx, call.Run.Incident)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, reasoned("why.fires.count", n)
	}
	return json.Marshal(actions.Result{Summary: "the alerts are resolved"})
}

// reasoned is an error that is known by its key.
func reasoned(key string, args ...any) error { return because{msg.Because(key, args...)} }

type because struct{ reason msg.Reason }

// Error implements error.
func (b because) Error() string { return b.reason.In(msg.EN) }

// Reason is what [msg.Of] takes.
func (b because) Reason() msg.Reason { return b.reason }

// object is raw as an object, or nothing.
func object(raw json.RawMessage) map[string]any {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// Plan tells what a program would do about an alert, without effects.
func (c Programs) Plan(ctx context.Context, p *autopilot.Program, class autopilot.Class, a keepwell.Alert, now time.Time) (matched bool, why msg.Reason, steps []autopilot.Foreseen, err error) {
	f := autopilot.Facts{Now: now, Alert: a, Incident: state.Incident{
		Code: class.Code, Asset: class.Asset, Priority: class.Priority, Confidence: class.Confidence, Title: class.Title, Evidence: class.Evidence,
	}}
	if matched, why, err = p.Match(ctx, f); err != nil || !matched {
		return matched, why, nil, err
	}
	return true, why, autopilot.Foretell(autopilot.Plan(ctx, p, f), c.Describe), nil
}

// Describe says what an action would do with an input, for people: with secrets by
// reference, and with nothing in it that only seems to say something else.
func (c Programs) Describe(name string, input json.RawMessage) (does []msg.Reason, fault msg.Reason) {
	if kind := playbook.LookupKind(name); input == nil || kind == nil || kind.Engine || c.Actions == nil {
		return nil, msg.Reason{}
	}
	var r actions.Request
	if err := json.Unmarshal(input, &r.Input); err != nil {
		return nil, msg.Of(err)
	}
	does, err := c.Actions().Plan(r)
	for i := range does {
		does[i] = does[i].Map(func(s string) string { return strings.ReplaceAll(present.Marked(s), "\n", "\n    ") }) // a text cannot pose as another line
	}
	if err != nil {
		fault = msg.Of(err).Map(func(s string) string { return present.Marked(mask.Text(s)) })
	}
	return does, fault
}
