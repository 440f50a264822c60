// Package classify says which fault a signal shows: an alert today, a log template or
// the hash of a stack later. A library of fingerprints (library/*.yaml, embedded, and
// the user's own beside it) names for each fault the alerts, labels, words, error codes
// and conditions that show it; the answer carries how sure it is, what it rests on, what
// it is about and how soon it has to be dealt with. The words for faults are in the one
// catalogue, package faults, family ops.
//
// The package asks nobody and stores nothing; what a fingerprint would ask of metrics is
// asked through [Metrics]. A new operational fault is an entry in library/*.yaml and a
// file in faults/ops; a new kind of signal is a [Matcher].
package classify

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/alerts"
)

// Unclassified is the code of what no fingerprint knows.
const Unclassified keepwell.Code = "ops/unclassified"

// The kinds of signals.
const (
	KindAlert = "alert"
	KindLog   = "log"   // the name is a template's, the texts are lines
	KindStack = "stack" // the name is a hash, the texts are frames
)

// Signal is something that was noticed.
type Signal struct {
	Kind string
	// Name is an alert's name, a template's or a stack's.
	Name   string
	Labels map[string]string
	// Texts are what people or programs wrote, in a fixed order.
	Texts []Text
	// Alert is set where the kind is KindAlert.
	Alert *keepwell.Alert
}

// Text is one text of a signal and where it stood.
type Text struct{ Where, Text string }

// spoken are labels whose values are words of people or programs.
func spoken() []string { return []string{"reason", "error", "message", "condition", "code"} }

// OfAlert makes a signal of an alert.
func OfAlert(a *keepwell.Alert) Signal {
	s := Signal{Kind: KindAlert, Name: a.Name(), Labels: a.Labels, Alert: a}
	for _, name := range spoken() {
		if v := a.Labels[name]; v != "" {
			s.Texts = append(s.Texts, Text{"alert label " + name, v})
		}
	}
	names := make([]string, 0, len(a.Annotations))
	for name := range a.Annotations {
		if !strings.HasSuffix(strings.ToLower(name), "url") { // addresses hold words by chance
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s.Texts = append(s.Texts, Text{"alert annotation " + name, a.Annotations[name]})
	}
	return s
}

// Match is one answer of a [Matcher].
type Match struct {
	Code       keepwell.Code
	Confidence float64
	Priority   keepwell.Priority
	Team       string
	Evidence   []keepwell.Evidence
	// Assets are rules of the fault's own for what it is about; empty: the usual ones.
	Assets []alerts.AssetRule
	// conditions counts what had to hold: of equals, the more particular wins.
	conditions int
	evidence   func() []keepwell.Evidence
}

// Matcher knows faults by signals of some kinds.
type Matcher interface {
	// Match returns every fault that s shows, in any order. What goes wrong with one
	// condition silences that condition only.
	Match(ctx context.Context, s *Signal, now time.Time) []Match
}

// Result is what a signal shows.
type Result struct {
	Code       keepwell.Code       `json:"code"`
	Confidence float64             `json:"confidence"`
	Evidence   []keepwell.Evidence `json:"evidence"`
	Asset      string              `json:"asset"`
	Priority   keepwell.Priority   `json:"priority"`
	Team       string              `json:"team,omitempty"`
	// Rivals are other faults that it might show, the likeliest first.
	Rivals []keepwell.Code `json:"rivals,omitempty"`
}

// Classifier asks its matchers and picks.
type Classifier struct {
	Matchers []Matcher
	// Assets are the rules for what a signal is about; nil: [alerts.DefaultAssets].
	Assets []alerts.AssetRule
}

// Classify names the fault that s shows. Equal confidence goes to the answer that more
// had to hold for, then to the more severe, then to the code that sorts first.
func (c *Classifier) Classify(ctx context.Context, s Signal, now time.Time) Result {
	var all []Match
	for _, m := range c.Matchers {
		all = append(all, m.Match(ctx, &s, now)...)
	}
	assets := c.Assets
	if assets == nil {
		assets = alerts.DefaultAssets()
	}
	if len(all) == 0 {
		return Result{Code: Unclassified, Evidence: []keepwell.Evidence{}, Asset: alerts.Asset(assets, s.Labels), Priority: priority(s.Labels, keepwell.P3)}
	}
	slices.SortFunc(all, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(b.conditions, a.conditions),
			cmp.Compare(a.Priority.Rank(), b.Priority.Rank()), cmp.Compare(a.Code, b.Code))
	})
	best := all[0]
	if best.evidence != nil {
		best.Evidence = best.evidence()
	}
	r := Result{
		Code: best.Code, Confidence: best.Confidence, Evidence: best.Evidence, Team: best.Team,
		Asset: alerts.Asset(best.Assets, s.Labels), Priority: priority(s.Labels, best.Priority),
	}
	if r.Asset == "" {
		r.Asset = alerts.Asset(assets, s.Labels)
	}
	const near = 0.3
	for _, m := range all[1:] {
		if m.Code != r.Code && !slices.Contains(r.Rivals, m.Code) && best.Confidence-m.Confidence <= near {
			r.Rivals = append(r.Rivals, m.Code)
		}
	}
	return r
}

// priority is the sender's own where it uses ours; else the fault's, one step more
// severe where the sender calls it critical, one less where it is for information.
func priority(labels map[string]string, usual keepwell.Priority) keepwell.Priority {
	if p := keepwell.Priority(strings.ToUpper(labels["priority"])); p.Validate() == nil {
		return p
	}
	severity := strings.ToLower(labels["severity"])
	if p := keepwell.Priority(strings.ToUpper(severity)); p.Validate() == nil {
		return p
	}
	all, step := keepwell.Priorities(), usual.Rank()
	switch severity {
	case "critical", "page", "emergency", "disaster", "fatal", "严重", "紧急":
		step--
	case "info", "none", "information", "notice", "提示":
		step++
	}
	return all[max(0, min(step, len(all)-1))]
}
