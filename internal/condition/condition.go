// Package condition compiles and evaluates the expressions that people write into
// fingerprints, payload mappings and playbooks. They are CEL: they read what they are
// given and answer; they call nothing, loop over nothing but what is there, and end
// within a cost that is bounded when they are checked and again when they run.
//
// A priority is a type of its own: P0 > P1 is true, as people say it ("above P1"), and
// it is never compared with a text. What is wrong with an expression is told with the
// line and column of the file that it stands in, in English and Chinese.
//
// The package reads no file and knows no policy. A new variable goes to env.go, and to
// the table in its test.
package condition

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/keepwell/keepwell"
)

// Bounds of one expression and of what it may look at.
const (
	MaxBytes    = 8 << 10   // an expression
	MaxCost     = 1_000_000 // units of CEL's cost model: about 0.1 s at worst
	maxDepth    = 48        // nesting of an expression
	maxNodes    = 1_000     // of its tree
	maxLoops    = 2         // nesting of all(), exists(), map(), filter()
	maxRegex    = 500       // instructions of a compiled regular expression
	maxInput    = 4 << 20   // bytes of one evaluation's variables
	maxElements = 500_000   // elements of one evaluation's variables
	maxNesting  = 64        // of one evaluation's variables
)

// ErrAbsent is wrapped by the error of an expression that reads a label, a field or a
// result that is not there. Callers treat such a condition as one that does not hold;
// has(labels.team) asks without failing.
var ErrAbsent = errors.New("something that the expression reads is not there")

// ErrCost is wrapped by the error of an expression that cost too much, or ran out of time.
var ErrCost = errors.New("the expression costs too much")

// Program is a compiled expression. It may be used by many goroutines at once.
type Program struct {
	source  Source
	program cel.Program
	limited bool // its variables are foreign structures, to be measured first
}

// Bool compiles an expression that answers yes or no.
func (e *Env) Bool(s Source) (*Program, error) { return e.compile(s, cel.BoolType) }

// Text compiles an expression whose value is a text.
func (e *Env) Text(s Source) (*Program, error) { return e.compile(s, cel.StringType) }

// Any compiles an expression of any value.
func (e *Env) Any(s Source) (*Program, error) { return e.compile(s, nil) }

func (e *Env) compile(s Source, want *cel.Type) (*Program, error) {
	if len(s.Text) > MaxBytes {
		return nil, s.problem(0, "condition.long", len(s.Text), MaxBytes)
	}
	if strings.TrimSpace(s.Text) == "" {
		return nil, s.problem(0, "condition.empty")
	}
	env, err := e.made()
	if err != nil {
		return nil, fmt.Errorf("preparing conditions: %w", err)
	}
	ast, issues := env.Compile(s.Text)
	if err := s.issues(issues); err != nil {
		return nil, err
	}
	if err := constantPatterns(s, ast); err != nil {
		return nil, err
	}
	if got := ast.OutputType(); want != nil && !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		return nil, s.problem(0, "condition.type", want.String(), got.String())
	}
	cost, err := env.EstimateCost(ast, e.sizes)
	if err != nil {
		return nil, s.problem(0, "condition.other", err.Error())
	}
	// What only runs over foreign structures has no upper bound; it is held when it runs.
	if bound := cost.Max; !e.foreign && bound > MaxCost || cost.Min > MaxCost {
		return nil, s.problem(0, "condition.cost", MaxCost)
	}
	const often = 64
	p, err := env.Program(ast, cel.CostLimit(MaxCost), cel.InterruptCheckFrequency(often), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, s.problem(0, "condition.other", err.Error())
	}
	return &Program{source: s, program: p, limited: e.foreign}, nil
}

// Holds evaluates a yes-or-no expression. Its error wraps [ErrAbsent] where something
// is not there, and [ErrCost].
func (p *Program) Holds(ctx context.Context, v Vars) (bool, error) {
	val, err := p.run(ctx, v)
	if err != nil {
		return false, err
	}
	b, ok := val.(types.Bool)
	if !ok {
		return false, p.source.problem(0, "condition.type", "bool", val.Type().TypeName())
	}
	return bool(b), nil
}

// Value evaluates an expression: the value is nil, a bool, int64, uint64, float64,
// string, []byte, [time.Time], [time.Duration], [keepwell.Priority], []any or
// map[string]any.
func (p *Program) Value(ctx context.Context, v Vars) (any, error) {
	val, err := p.run(ctx, v)
	if err != nil {
		return nil, err
	}
	native, err := plain(val, maxNesting)
	if err != nil {
		return nil, p.source.problem(0, "condition.value", err.Error())
	}
	return native, nil
}

func (p *Program) run(ctx context.Context, v Vars) (ref.Val, error) {
	if p.limited {
		if err := measure(v); err != nil {
			return nil, p.source.problem(0, "condition.input", err.Error())
		}
	}
	val, _, err := p.program.ContextEval(ctx, map[string]any(v))
	if err != nil {
		return nil, p.source.failure(err)
	}
	return val, nil
}

// priorityOf turns a value of an expression back.
func priorityOf(v ref.Val) (keepwell.Priority, bool) {
	r, ok := v.(rank)
	return keepwell.Priority(r), ok
}
