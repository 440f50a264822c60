package autopilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Unclassified is the code of incidents whose alerts no fingerprint knows.
const Unclassified keepwell.Code = "ops/unclassified"

// Class is what an alert means.
type Class struct {
	// Code is the fault; "": nobody knows it.
	Code       keepwell.Code
	Asset      string
	Priority   keepwell.Priority
	Confidence float64
	Title      string
	Evidence   []keepwell.Evidence
}

// Classifier tells what an alert means. It may ask others, and is called outside
// transactions. An error has the job tried again; in the end the alert is unclassified.
type Classifier interface {
	Classify(ctx context.Context, a keepwell.Alert) (Class, error)
}

// Facts are what a playbook sees. Alert is foreign text.
type Facts struct {
	Now time.Time
	// Playbook is the name under which it is in force; "": as its text says.
	Playbook string
	Incident state.Incident
	Alert    keepwell.Alert
	// Run is 0 where there is none yet.
	Run int64
	// Results are what the steps done so far left, by their names.
	Results map[string]json.RawMessage
}

// Program is a checked playbook. Its functions are pure and quick: they are called
// inside transactions.
type Program struct {
	// Match tells whether the playbook is for what happened, and why, or why not.
	Match  func(ctx context.Context, f Facts) (ok bool, why msg.Reason, err error)
	Steps  []Step
	Verify *Verify
	Policy Policy
	// OnFailure are the steps of a run of their own that follows where a step failed for
	// good and stopped the run.
	OnFailure []Step
}

// Step is one effect.
type Step struct {
	Name string
	// Kind is the action's, such as "run_script".
	Kind string
	// Timeout is how long the effect may take; 0: a minute, the most is an hour.
	Timeout time.Duration
	// Idempotent effects may be made again: after a failure Retries times, Backoff apart,
	// and after a crash. Others never are.
	Idempotent bool
	Retries    int
	Backoff    time.Duration
	// BackoffMax, where set, is what Backoff grows to, doubling.
	BackoffMax time.Duration
	// Check says that the step changes nothing and tells whether what was done before it
	// helped: where it fails, the run was ineffective.
	Check bool
	// OnFailure is what follows where it has failed for good.
	OnFailure OnFailure
	// Delay is how long after the step before it begins.
	Delay    time.Duration
	Approval *Approval
	// When tells whether the step is to be done; nil: always. Pure, as Program's.
	When func(ctx context.Context, f Facts) (ok bool, why msg.Reason, err error)
	// Input is what the action is told, and what the journal shows; nil: nothing. It holds
	// references to secrets, never secrets. Pure, as Program's.
	Input  func(ctx context.Context, f Facts) (json.RawMessage, error)
	Action Action
	// Undo takes the effect back; nil: it cannot be.
	Undo *Step
}

// Approval has a step wait for a person.
type Approval struct {
	Ask string
	// Expires is how long; 0: an hour.
	Expires time.Duration
	// Another: not the one who started the run or put the playbook in force.
	Another bool
	// Role is the least role of who may grant it, for those who know roles.
	Role string
	// OnExpiry is what follows where nobody answers in time. It is never consent.
	OnExpiry OnExpiry
}

// OnFailure is what follows a step that has failed for good.
type OnFailure string

// What follows a failed step.
const (
	FailStop     OnFailure = "" // the run fails
	FailContinue OnFailure = "continue"
	FailUndo     OnFailure = "undo" // what was done is undone, too
	FailHuman    OnFailure = "human"
)

// OnExpiry is what follows an approval that nobody answered.
type OnExpiry string

// What an expired approval leads to; people are told in any case.
const (
	ExpiryStop  OnExpiry = ""     // the run is cancelled
	ExpirySkip  OnExpiry = "skip" // the next step is taken
	ExpiryHuman OnExpiry = "human"
)

// Call is one attempt at a step.
type Call struct {
	// Key is what outside systems are given to tell a repeat.
	Key   state.StepKey
	Run   state.Run
	Input json.RawMessage
	// Undone is the result of the step that an undo takes back.
	Undone json.RawMessage
}

// Action makes effects. What Do returns with an error is kept, too. An error means that
// the effect failed and will not happen later; [ErrUnsure] in it, that it may have.
type Action interface {
	Do(ctx context.Context, c Call) (json.RawMessage, error)
}

// Prober is an Action that can tell afterwards whether an interrupted effect was made,
// without making one.
type Prober interface {
	Probe(ctx context.Context, c Call) (made bool, err error)
}

// ErrUnsure says that the effect of a failed action may have been made.
var ErrUnsure = errors.New("whether the effect was made cannot be told")

// ErrFinal says that another attempt at a failed effect would fail the same: none is made.
var ErrFinal = errors.New("another attempt would not succeed")

// Verify says how it is told whether a run helped.
type Verify struct {
	// After is how long after the last step.
	After time.Duration
	// Check asks; nil: whether the incident's alerts still fire. It changes nothing and
	// fails where the fault goes on.
	Check *Step
}

// Policy is what holds a playbook back. Zero values are the defaults said here.
type Policy struct {
	// Cooldown is the least time between two runs on one asset; 0: 5 minutes. Less than 0:
	// none, and nothing looks again at an incident that goes on after its run.
	Cooldown time.Duration
	// MaxRuns within MaxRunsIn (0: a day) over all assets; 0: no limit.
	MaxRuns   int64
	MaxRunsIn time.Duration
	// Concurrency is how many runs are unfinished at once; 0: no limit.
	Concurrency int64
	// PerTarget is how many are on one asset; 0: one. Less than 0: no limit. An incident
	// has one at most in any case.
	PerTarget int64
	// MaxAssets within MaxAssetsIn (0: an hour): the blast radius; 0: no limit.
	MaxAssets   int64
	MaxAssetsIn time.Duration
	// Failures in a row on one asset open its breaker; 0: 3. Thrice as many over all
	// assets open the playbook's.
	Failures int64
	// Ineffective runs in a row on one asset, which succeeded and did not help, open its
	// breaker; 0: 3. Thrice as many over all assets open the playbook's.
	Ineffective int64
	// Refire is how soon after a run its fault must not come again; 0: 15 minutes.
	Refire time.Duration
	// Reopen is how long an open breaker lets nothing through; 0: an hour.
	Reopen time.Duration
	// Undo has what was done undone when a later step fails or nothing helped.
	Undo bool
	// Window tells whether it may run at t, and why not; nil: always.
	Window func(t time.Time) (ok bool, why msg.Reason) `json:"-"`
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

func (p Policy) filled() Policy {
	p.Cooldown = or(p.Cooldown, 5*time.Minute)
	p.PerTarget = or(p.PerTarget, 1)
	p.MaxRunsIn, p.MaxAssetsIn = or(p.MaxRunsIn, 24*time.Hour), or(p.MaxAssetsIn, time.Hour)
	p.Failures, p.Ineffective = or(p.Failures, 3), or(p.Ineffective, 3)
	p.Refire, p.Reopen = or(p.Refire, 15*time.Minute), or(p.Reopen, time.Hour)
	return p
}

const longest = time.Hour

// pause is how long to wait after the n-th attempt, from 1.
func (s Step) pause(n int64) time.Duration {
	d := s.Backoff
	for i := int64(1); i < n && d < s.BackoffMax; i++ {
		d = min(2*d, s.BackoffMax)
	}
	return d
}

// verified tells whether a run that succeeds was seen to help.
func (p *Program) verified() bool {
	return p.Verify != nil || slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Check })
}

func (s Step) timeout() time.Duration { return min(or(s.Timeout, time.Minute), longest) }

// check reports a program that cannot be run.
func (p *Program) check() error {
	if p.Match == nil || len(p.Steps) == 0 {
		return errors.New("a playbook without a match or without steps")
	}
	for i, s := range slices.Concat(p.Steps, p.OnFailure) {
		if s.Action == nil || s.Undo != nil && s.Undo.Action == nil {
			return fmt.Errorf("step %d (%s) has no action", i+1, s.Name)
		}
	}
	if p.Verify != nil && p.Verify.Check != nil && p.Verify.Check.Action == nil {
		return errors.New("the verify check has no action")
	}
	return nil
}
