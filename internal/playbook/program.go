// Package playbook is the language of playbooks: YAML text -> a checked [Program], or
// everything that is wrong with it at once, with lines and columns. It is pure: it runs
// nothing, asks nothing and keeps nothing.
//
// What alerts say is data. A template can stand only where the table of kinds (kinds.go)
// says so, and becomes an element of argv, the value of an environment variable, a string
// in JSON, the value of a URL query, or a string inside a PromQL expression; never a part
// of a command, a host, a header or a statement. To add a kind of action, add it to that
// table and its file to internal/actions; a test holds both together.
package playbook

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
)

// Mode says what a playbook may do until a person decides otherwise.
type Mode string

// The modes of a new playbook; the texts are those of the store.
const (
	ModeObserve Mode = "observe" // goes through everything and acts on nothing
	ModeActive  Mode = "active"
)

// Title is a text in both languages; either may be empty.
type Title struct{ EN, ZH string }

// Program is a playbook that was checked. It is never changed.
type Program struct {
	Name  string
	Title Title
	// Text is the normalised text, Version its sha256 in hex.
	Text, Version string
	Trigger       []string
	Match         Match
	// Severity replaces the incident's priority in this playbook's conditions; "" keeps it.
	Severity keepwell.Priority
	Vars     []Pair
	Steps    []Step
	// OnFailure runs once after a step failed and stopped the run.
	OnFailure []Step
	// Cooldown is how long a target is left alone after a run; 0: not at all.
	Cooldown time.Duration
	// MaxRuns bounds the runs of this playbook, BlastRadius the different targets.
	MaxRuns, BlastRadius Budget
	Concurrency          Concurrency
	// Maintenance are the windows in which the playbook only observes.
	Maintenance []Window
	Mode        Mode
}

// usualCooldown holds where nothing is said.
const usualCooldown = 5 * time.Minute

// Match narrows which alerts of the trigger are meant.
type Match struct {
	// Labels holds the values that are admitted, by label.
	Labels map[string][]string
	If     *Test
}

// Budget is at most Count per Per; the zero value sets no bound.
type Budget struct {
	Count int
	Per   time.Duration
}

// Concurrency bounds unfinished runs; 0 sets no bound. PerTarget is 1 where nothing is said.
type Concurrency struct{ PerTarget, Global int }

// Condition is a compiled expression.
type Condition interface {
	Holds(ctx context.Context, s Scope) (bool, error)
}

// Compiler checks and compiles expressions: the value of n, a scalar of the document doc.
// The error says what is wrong with it; one that has Words(msg.Lang) says it in both
// languages.
type Compiler interface {
	Compile(doc []byte, n *yaml.Node) (Condition, error)
}

// Test is an expression as written, and compiled.
type Test struct {
	Expr      string
	condition Condition
}

// Holds evaluates t; nil holds always. A test that was never compiled is an error.
func (t *Test) Holds(ctx context.Context, s Scope) (bool, error) {
	switch {
	case t == nil:
		return true, nil
	case t.condition == nil:
		return false, fmt.Errorf("condition %q was read without a compiler", t.Expr)
	}
	return t.condition.Holds(ctx, s)
}

// SeverityTest compares an incident's priority. ">" means strictly more severe:
// "> P1" is P0 alone, ">= P1" is P0 and P1, "< P1" is P2, P3 and P4.
type SeverityTest struct {
	Op       string
	Priority keepwell.Priority
}

// String is t as it may be written.
func (t SeverityTest) String() string { return t.Op + " " + string(t.Priority) }

// Holds compares p. An unknown priority holds for nothing: it cannot be compared.
func (t SeverityTest) Holds(p keepwell.Priority) bool {
	if p.Validate() != nil {
		return false
	}
	switch t.Op {
	case ">":
		return p.Above(t.Priority)
	case ">=":
		return !t.Priority.Above(p)
	case "<":
		return t.Priority.Above(p)
	case "<=":
		return !p.Above(t.Priority)
	case "==":
		return p == t.Priority
	case "!=":
		return p != t.Priority
	}
	return false
}

// Step is one action of a playbook, with what surrounds it.
type Step struct {
	Name       string
	Line       int
	Action     Action
	IfSeverity *SeverityTest
	If         *Test
	Vars       []Pair
	Timeout    time.Duration
	Retry      Retry
	// Idempotent says that the effect may be made again when it is not known whether it
	// was made: declared, or by the action's nature.
	Idempotent bool
	Approval   *Approval
	Verify     *Verify
	Undo       *Action
	OnFailure  OnFailure
}

// Applies tells whether the step is meant for this scope, and if not why.
func (s *Step) Applies(ctx context.Context, sc Scope) (ok bool, reason msg.Reason, err error) {
	if s.IfSeverity != nil && !s.IfSeverity.Holds(sc.Priority) {
		return false, msg.Because("why.severity", sc.Priority, s.IfSeverity), nil
	}
	ok, err = s.If.Holds(ctx, sc)
	if err != nil || ok {
		return ok, msg.Reason{}, err
	}
	return false, msg.Because("why.condition.false", s.If.Expr), nil
}

// Retry says how often a step is tried in all and what lies between.
type Retry struct {
	Attempts     int // 1: no repeat
	Backoff, Max time.Duration
}

// Delay is how long to wait after the given attempt, from 1: doubled each time, up to Max.
func (r Retry) Delay(attempt int) time.Duration {
	d := r.Backoff
	for i := 1; i < attempt && d < r.Max; i++ {
		d *= 2
	}
	return min(d, r.Max)
}

// OnFailure says what the run does when a step has failed for good.
type OnFailure string

// What follows a failed step.
const (
	FailStop     OnFailure = "stop"     // the run fails; on_failure of the playbook follows
	FailContinue OnFailure = "continue" // the next step is taken
	FailUndo     OnFailure = "undo"     // what was done is undone, last first; then as stop
	FailHuman    OnFailure = "human"    // the run ends, waiting for a person
)

// Approval is a person's consent that a step needs. Silence is never consent.
type Approval struct {
	// Role is the least role of who may approve: operator or admin.
	Role   string
	Within time.Duration
	Expiry OnExpiry
}

// OnExpiry says what happens when nobody decided in time.
type OnExpiry string

// What an expired approval leads to.
const (
	ExpiryStop  OnExpiry = "stop"
	ExpirySkip  OnExpiry = "skip"
	ExpiryHuman OnExpiry = "human"
)

// Verify is how a step's effect is proved: a check that is repeated until it holds.
type Verify struct {
	Check    Action
	Delay    time.Duration // before the first look
	Attempts int
	Every    time.Duration
}

// Action is a kind with its parameters.
type Action struct {
	Kind   string
	Line   int
	Params map[string]Value
}

// Value is what stands in a parameter; which field counts is the parameter's type.
type Value struct {
	Text     Text
	Texts    []Text
	Pairs    []Pair // by name
	Numbers  []int64
	Truth    bool
	Duration time.Duration
	JSON     any // map[string]any, []any, Text, float64, int64, bool, nil
}

// Pair is a name with a text.
type Pair struct {
	Name string
	Text Text
}

// Has tells whether a parameter was given.
func (a Action) Has(name string) bool { _, ok := a.Params[name]; return ok }

// Scope is what a run knows: the values behind templates and conditions.
type Scope struct {
	Alert      keepwell.Alert
	Code       keepwell.Code
	Asset      string
	Priority   keepwell.Priority
	Confidence float64
	Incident   int64
	Run        int64
	Playbook   string
	// Now and Steps are for conditions alone: the time, and what the steps done so far
	// left, by their names.
	Now   time.Time
	Steps map[string]map[string]any
	Vars  map[string]string
}

// For returns the scope in which p's conditions and templates are read. Where s names no
// playbook, it is called as the text says.
func (p *Program) For(s Scope) (Scope, error) {
	s.Playbook = cmp.Or(s.Playbook, p.Name)
	if p.Severity != "" {
		s.Priority = p.Severity
	}
	return s.with(p.Vars)
}

// For returns the scope of this step within the run's.
func (s *Step) For(sc Scope) (Scope, error) { return sc.with(s.Vars) }

func (s Scope) with(pairs []Pair) (Scope, error) {
	vars := maps.Clone(s.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	for _, p := range pairs {
		v, err := p.Text.Data(s)
		if err != nil {
			return s, fmt.Errorf("variable %s: %w", p.Name, err)
		}
		vars[p.Name] = v
	}
	s.Vars = vars
	return s, nil
}

// TriggeredBy tells whether a fault's code or an alert's name is one of the triggers.
// Writing does not matter: redis_memory_high, redis/memory-high and RedisMemoryHigh are one,
// and mean ops/redis-memory-high, too: the family of operational faults may be left out.
func (p *Program) TriggeredBy(code keepwell.Code, alert string) bool {
	short := strings.TrimPrefix(string(code), "ops/")
	return slices.ContainsFunc(p.Trigger, func(t string) bool {
		f := fold(t)
		return f != "" && (f == fold(string(code)) || f == fold(short) || f == fold(alert))
	})
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/_-. ", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// Wants tells whether p is meant for this scope: trigger, labels, condition.
func (p *Program) Wants(ctx context.Context, s Scope) (bool, error) {
	if !p.TriggeredBy(s.Code, s.Alert.Name()) {
		return false, nil
	}
	for label, admitted := range p.Match.Labels {
		if !slices.Contains(admitted, s.Alert.Labels[label]) {
			return false, nil
		}
	}
	return p.Match.If.Holds(ctx, s)
}

// InMaintenance tells whether a maintenance window is open at t, and which.
func (p *Program) InMaintenance(t time.Time) (*Window, bool) {
	for i := range p.Maintenance {
		if p.Maintenance[i].Open(t) {
			return &p.Maintenance[i], true
		}
	}
	return nil, false
}
