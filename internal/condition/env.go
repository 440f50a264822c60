package condition

import (
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/keepwell/keepwell"
)

// Env is what one kind of expression may read.
type Env struct {
	made func() (*cel.Env, error)
	// foreign says that it reads structures whose size is known only when it runs.
	foreign bool
	sizes   sizes
}

// Vars are the values of an environment's variables.
type Vars map[string]any

var alertVariables = map[string]*cel.Type{
	"labels":      cel.MapType(cel.StringType, cel.StringType),
	"annotations": cel.MapType(cel.StringType, cel.StringType),
	"name":        cel.StringType, // the label alertname
	"status":      cel.StringType, // "firing" or "resolved"
	"fingerprint": cel.StringType,
	"source":      cel.StringType,
	"startsAt":    cel.TimestampType,
	"endsAt":      cel.TimestampType,
	"now":         cel.TimestampType,
	"code":        cel.StringType,
	"asset":       cel.StringType,
	"confidence":  cel.DoubleType,
	"repeats":     cel.IntType, // how often the sender said it again
	"priority":    priorityType,
	"severity":    priorityType, // the same, for those who say severity
	"if_severity": priorityType, // and for the short form of playbooks
}

// Alerts is the environment of conditions on one alert.
func Alerts() *Env { return alertsEnv }

// Playbooks is the environment of conditions of playbooks: what Alerts has, and
// facts, vars and the results of previous steps as steps.NAME.status, .output, ….
func Playbooks() *Env { return playbooksEnv }

// Mappings is the environment that makes alerts of any JSON: body is the document, item
// the element that becomes an alert, now the time.
func Mappings() *Env { return mappingsEnv }

var (
	alertsEnv    = newEnv(false, alertVariables)
	playbooksEnv = newEnv(true, alertVariables, map[string]*cel.Type{
		"facts": cel.MapType(cel.StringType, cel.DynType),
		"vars":  cel.MapType(cel.StringType, cel.DynType),
		"steps": cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.DynType)),
	})
	mappingsEnv = newEnv(true, map[string]*cel.Type{"body": cel.DynType, "item": cel.DynType, "now": cel.TimestampType})
)

// newEnv describes an environment; it is made when an expression is first compiled.
func newEnv(foreign bool, tables ...map[string]*cel.Type) *Env {
	return &Env{foreign: foreign, made: sync.OnceValues(func() (*cel.Env, error) {
		opts := []cel.EnvOption{
			cel.OptionalTypes(),
			ext.Strings(),
			cel.DefaultUTCTimeZone(true),
			cel.CrossTypeNumericComparisons(true),
			cel.ParserRecursionLimit(maxDepth),
			cel.ParserExpressionSizeLimit(MaxBytes),
			cel.ExpressionNodeLimit(maxNodes),
			cel.RegexProgramSizeLimit(maxRegex),
			cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
				cel.ValidateRegexLiterals(), cel.ValidateRegexProgramSizeLimit(maxRegex), cel.ValidateComprehensionNestingLimit(maxLoops)),
		}
		for _, table := range tables {
			for name, kind := range table {
				opts = append(opts, cel.Variable(name, kind))
			}
		}
		return cel.NewEnv(append(opts, priorities()...)...)
	})}
}

// sizes tells the checker how large variables may be at most.
type sizes struct{}

// EstimateSize implements [checker.CostEstimator].
func (sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	const text = 4 << 10
	path := node.Path()
	switch {
	case len(path) == 0:
		return nil
	case len(path) == 1 && (path[0] == "labels" || path[0] == "annotations"):
		return &checker.SizeEstimate{Max: keepwell.MaxAlertPairs}
	}
	return &checker.SizeEstimate{Max: text}
}

// EstimateCallCost implements [checker.CostEstimator].
func (sizes) EstimateCallCost(_, _ string, _ *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
	return nil
}

// Known is what is known of an alert when a condition is asked.
type Known struct {
	Code       keepwell.Code
	Asset      string
	Priority   keepwell.Priority
	Confidence float64
	Repeats    int64
	Now        time.Time
}

// OfAlert returns the variables of [Alerts].
func OfAlert(a *keepwell.Alert, k Known) Vars {
	p := Priority(k.Priority)
	return Vars{
		"labels": nonNil(a.Labels), "annotations": nonNil(a.Annotations), "name": a.Name(), "status": string(a.Status),
		"fingerprint": a.Fingerprint, "source": a.Source, "startsAt": a.StartsAt, "endsAt": a.EndsAt, "now": k.Now,
		"code": string(k.Code), "asset": k.Asset, "confidence": k.Confidence, "repeats": k.Repeats,
		"priority": p, "severity": p, "if_severity": p,
	}
}

// OfPlaybook adds the variables of [Playbooks] to those of its alert.
func OfPlaybook(alert Vars, facts, vars map[string]any, steps map[string]map[string]any) Vars {
	all := make(Vars, len(alert)+3)
	for k, v := range alert {
		all[k] = v
	}
	all["facts"], all["vars"], all["steps"] = nonNil(facts), nonNil(vars), nonNil(steps)
	return all
}

// Priority is p as expressions see it: greater where more severe. An unknown one is
// below all.
func Priority(p keepwell.Priority) ref.Val { return rank(p) }

func nonNil[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
