// Package wire joins the language of playbooks, conditions, fingerprints and actions to
// the engine, which knows none of them: a text becomes an [autopilot.Program], an alert
// an [autopilot.Class]. It decides nothing of its own. What a new key of the language
// means to the engine is said in program.go.
package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Conditions compiles the expressions of playbooks.
func Conditions() playbook.Compiler { return conditions{} }

type conditions struct{}

// Compile implements [playbook.Compiler].
func (conditions) Compile(doc []byte, n *yaml.Node) (playbook.Condition, error) {
	p, err := condition.Playbooks().Bool(condition.Node(doc, n))
	if err != nil {
		return nil, err
	}
	return test{p}, nil
}

type test struct{ *condition.Program }

// Holds implements [playbook.Condition]. What reads something that is not there does not
// hold.
func (t test) Holds(ctx context.Context, s playbook.Scope) (bool, error) {
	alert := condition.OfAlert(&s.Alert, condition.Known{
		Code: s.Code, Asset: s.Asset, Priority: s.Priority, Confidence: s.Confidence, Now: s.Now,
	})
	vars := make(map[string]any, len(s.Vars))
	for name, v := range s.Vars {
		vars[name] = v
	}
	facts := map[string]any{"playbook": s.Playbook, "incident": s.Incident, "run": s.Run}
	steps := s.Steps
	if steps == nil {
		steps = map[string]map[string]any{}
	}
	ok, err := t.Program.Holds(ctx, condition.OfPlaybook(alert, facts, vars, steps))
	if errors.Is(err, condition.ErrAbsent) {
		return false, nil
	}
	return ok, err
}

// Classifier says what alerts mean, by a library and, where there is one, by metrics.
type Classifier struct {
	Library *classify.Library
	// Metrics answers the questions of fingerprints; nil: nobody is asked.
	Metrics classify.Metrics
	// Failed, where set, is told of metrics that could not be asked.
	Failed func(error)
	Lang   msg.Lang
	// Now is the clock; nil: the machine's.
	Now func() time.Time
}

// askTime bounds what metrics may take: an alert waits for it.
const askTime = 5 * time.Second

// Classify implements [autopilot.Classifier].
func (c *Classifier) Classify(ctx context.Context, a keepwell.Alert) (autopilot.Class, error) {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	s := classify.OfAlert(&a)
	by := classify.Classifier{Matchers: []classify.Matcher{c.Library}}
	res := by.Classify(ctx, s, now())
	if err := ctx.Err(); err != nil {
		return autopilot.Class{}, err
	}
	if c.Metrics != nil && res.Code != classify.Unclassified {
		limited, cancel := context.WithTimeout(ctx, askTime)
		surer, err := c.Library.Confirm(limited, c.Metrics, s, res, now())
		cancel()
		switch {
		case ctx.Err() != nil:
			return autopilot.Class{}, ctx.Err()
		case err == nil:
			res = surer
		case c.Failed != nil:
			c.Failed(fmt.Errorf("asking metrics about %s: %w", res.Code, err))
		}
	}
	class := autopilot.Class{Code: res.Code, Asset: res.Asset, Priority: res.Priority, Confidence: res.Confidence, Evidence: res.Evidence, Title: a.Name()}
	if res.Code == classify.Unclassified {
		class.Code, class.Confidence = "", 0
		return class, nil
	}
	if words, err := c.Library.Describe(res.Code, or(c.Lang, msg.EN)); err == nil {
		class.Title = words.Title
	}
	return class, nil
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

// scope is what conditions and templates of p see of facts.
func scope(p *playbook.Program, f autopilot.Facts) (playbook.Scope, error) {
	return p.For(playbook.Scope{
		Playbook: f.Playbook,
		Alert:    f.Alert, Code: f.Incident.Code, Asset: f.Incident.Asset, Priority: f.Incident.Priority, Confidence: f.Incident.Confidence,
		Incident: f.Incident.ID, Run: f.Run, Now: f.Now, Steps: results(f),
	})
}

// results are what the steps done so far left, as conditions read them.
func results(f autopilot.Facts) map[string]map[string]any {
	steps := make(map[string]map[string]any, len(f.Results))
	for name, raw := range f.Results {
		step := map[string]any{"status": "done", "code": int64(0), "output": "", "summary": ""}
		maps.Copy(step, object(raw))
		steps[name] = step
	}
	return steps
}
