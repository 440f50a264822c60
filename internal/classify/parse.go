package classify

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/spelling"
)

// Fingerprint is how a fault is known.
type Fingerprint struct {
	Code     keepwell.Code
	Priority keepwell.Priority // where the sender says nothing
	Team     string            // who usually mends it: platform, database, …
	Assets   []alerts.AssetRule
	Metrics  []Metric
	// Title, Cause and Do are words of its own, where the catalogue has none.
	Title, Cause, Do faults.Text
	Examples, Near   []Example
	rules            []*rule
	file             string
	line             int
}

// Metric is a question to Prometheus.
type Metric struct{ PromQL string }

var variable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$[a-z_]+`) })

// fill puts labels in place of their names; false where one is not there.
func (m Metric) fill(labels map[string]string) (string, bool) {
	ok := true
	filled := variable().ReplaceAllStringFunc(m.PromQL, func(name string) string {
		v := labels[name[1:]]
		ok = ok && v != ""
		return strconv.Quote(v)
	})
	return filled, ok
}

// Example is an alert that a fingerprint is tried on.
type Example struct {
	Alert keepwell.Alert
	line  int
}

// Teams lists who a fault may be given to.
func Teams() []string {
	return []string{"platform", "database", "application", "network", "security", "observability", "third-party"}
}

const (
	leastExamples = 3
	leastNear     = 2
)

type parser struct {
	file string
	doc  []byte
	errs []error
}

func (p *parser) wrong(n *yaml.Node, key string, args ...any) {
	p.errs = append(p.errs, &FileError{p.file, &condition.SourceError{Line: n.Line, Column: n.Column, Key: key, Args: args}})
}

// Parse reads a file of fingerprints and returns those that are right and all that is
// wrong, as [FileError].
func Parse(file string, data []byte) ([]*Fingerprint, []error) {
	p := &parser{file: file, doc: data}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		p.errs = append(p.errs, &FileError{file, &condition.SourceError{Key: "classify.yaml", Args: []any{err}}})
		return nil, p.errs
	}
	if root.Kind == 0 {
		return nil, nil // nothing but comments
	}
	n := root.Content[0]
	if n.Kind != yaml.SequenceNode {
		p.wrong(n, "classify.document")
		return nil, p.errs
	}
	var list []*Fingerprint
	for _, e := range n.Content {
		before := len(p.errs)
		if f := p.fingerprint(e); len(p.errs) == before {
			list = append(list, f)
		}
	}
	return list, p.errs
}

// fields hands each value of a mapping to its reader.
func (p *parser) fields(n *yaml.Node, what string, readers map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.wrong(n, "classify.shape.mapping", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		known := slices.Sorted(maps.Keys(readers))
		switch near := spelling.Meant(key.Value, known); {
		case seen[key.Value] > 0:
			p.wrong(key, "classify.key.twice", key.Value, seen[key.Value])
		case slices.Contains(known, key.Value):
			readers[key.Value](value)
		case near != "":
			p.wrong(key, "classify.key.near", key.Value, near)
		default:
			p.wrong(key, "classify.key", key.Value, strings.Join(known, ", "))
		}
		seen[key.Value] = key.Line
	}
}

func (p *parser) fingerprint(n *yaml.Node) *Fingerprint {
	f := &Fingerprint{file: p.file, line: n.Line}
	p.fields(n, "fingerprint", map[string]func(*yaml.Node){
		"code":     func(v *yaml.Node) { f.Code = keepwell.Code(v.Value); p.must(v, f.Code.Validate()) },
		"priority": func(v *yaml.Node) { f.Priority = keepwell.Priority(v.Value); p.must(v, f.Priority.Validate()) },
		"team": func(v *yaml.Node) {
			if f.Team = v.Value; !slices.Contains(Teams(), f.Team) {
				p.must(v, fmt.Errorf("team %q is none of %v", f.Team, Teams()))
			}
		},
		"asset":    func(v *yaml.Node) { f.Assets = p.assets(v) },
		"match":    func(v *yaml.Node) { f.rules = each(p, v, "match", p.rule) },
		"metrics":  func(v *yaml.Node) { f.Metrics = each(p, v, "metrics", p.metric) },
		"title":    func(v *yaml.Node) { f.Title = p.bilingual(v, "title") },
		"cause":    func(v *yaml.Node) { f.Cause = p.bilingual(v, "cause") },
		"do":       func(v *yaml.Node) { f.Do = p.bilingual(v, "do") },
		"examples": func(v *yaml.Node) { f.Examples = each(p, v, "examples", p.example) },
		"near":     func(v *yaml.Node) { f.Near = each(p, v, "near", p.example) },
	})
	if n.Kind != yaml.MappingNode {
		return f
	}
	known := slices.Contains(faults.Codes(), f.Code)
	for _, lack := range []struct {
		is   bool
		name string
	}{
		{f.Code == "", "code"},
		{f.Priority == "", "priority"},
		{f.Team == "", "team"},
		{len(f.rules) == 0, "match"},
		{!known && f.Title.EN == "", "title"},
		{!known && f.Cause.EN == "", "cause"},
		{!known && f.Do.EN == "", "do"},
	} {
		if lack.is {
			p.wrong(n, "classify.lacks", lack.name)
		}
	}
	if len(f.Examples) < leastExamples || len(f.Near) < leastNear {
		p.wrong(n, "classify.examples", len(f.Examples), len(f.Near))
	}
	return f
}

// must records an error of the vocabulary.
func (p *parser) must(n *yaml.Node, err error) {
	if err != nil {
		p.wrong(n, "classify.value", err)
	}
}

func each[T any](p *parser, n *yaml.Node, what string, one func(*yaml.Node) T) []T {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.wrong(n, "classify.shape.list", what)
		return nil
	}
	var list []T
	for _, e := range n.Content {
		list = append(list, one(e))
	}
	return list
}

func (p *parser) rule(n *yaml.Node) *rule {
	r, before := &rule{}, len(p.errs)
	p.fields(n, "rule", map[string]func(*yaml.Node){
		"alerts": func(v *yaml.Node) { r.alerts = p.texts(v, "alerts") },
		"labels": func(v *yaml.Node) { r.labels = p.labels(v) },
		"words": func(v *yaml.Node) {
			for _, group := range each(p, v, "words", p.text) {
				r.words = append(r.words, p.terms(v, strings.Split(group, "|")))
			}
		},
		"not":   func(v *yaml.Node) { r.not = p.terms(v, p.texts(v, "not")) },
		"codes": func(v *yaml.Node) { r.codes = p.terms(v, p.texts(v, "codes")) },
		"when": func(v *yaml.Node) {
			program, err := condition.Alerts().Bool(condition.Node(p.doc, v))
			if err != nil {
				p.errs = append(p.errs, &FileError{p.file, err})
			}
			r.when = program
		},
		"confidence": func(v *yaml.Node) {
			c, err := strconv.ParseFloat(v.Value, 64)
			if err == nil && !(c > 0 && c <= maxConfidence) {
				err = fmt.Errorf("confidence %v is outside 0..%v", c, maxConfidence)
			}
			p.must(v, err)
			r.confidence = c
		},
	})
	if len(p.errs) == before && len(r.alerts)+len(r.labels)+len(r.words)+len(r.codes) == 0 && r.when == nil {
		p.wrong(n, "classify.rule")
	}
	return r
}

// terms folds words. A very short one of ASCII would stand everywhere.
func (p *parser) terms(n *yaml.Node, list []string) []string {
	const least = 2
	for i, t := range list {
		list[i] = lower(strings.TrimSpace(t))
		if len(strings.TrimSuffix(list[i], "*")) < least {
			p.wrong(n, "classify.words", t)
			list[i] = "\x00none"
		}
	}
	return list
}

func (p *parser) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		p.wrong(n, "classify.shape.text", strconv.Quote(n.Value))
	}
	return n.Value
}

func (p *parser) texts(n *yaml.Node, what string) []string { return each(p, n, what, p.text) }

func (p *parser) pairs(n *yaml.Node, what string, one func(name string, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.wrong(n, "classify.shape.mapping", what)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		one(n.Content[i].Value, n.Content[i+1])
	}
}

// labels reads conditions on labels: a text, a list of texts, or an expression after "~"
// that holds for the whole value.
func (p *parser) labels(n *yaml.Node) []labelRule {
	var list []labelRule
	p.pairs(n, "labels", func(name string, v *yaml.Node) {
		l := labelRule{name: name}
		expr, is := strings.CutPrefix(v.Value, "~")
		switch {
		case v.Kind == yaml.SequenceNode:
			l.values = p.texts(v, name)
		case is:
			re, err := regexp.Compile("^(?:" + expr + ")$")
			if err != nil {
				p.wrong(v, "classify.regexp", expr, err)
				return
			}
			l.expr = re
		default:
			l.values = []string{p.text(v)}
		}
		list = append(list, l)
	})
	return list
}

func (p *parser) assets(n *yaml.Node) []alerts.AssetRule {
	return each(p, n, "asset", func(v *yaml.Node) alerts.AssetRule {
		var r alerts.AssetRule
		p.must(v, errors.Join(v.Decode(&r), r.Validate()))
		return r
	})
}

func (p *parser) metric(n *yaml.Node) Metric {
	m := Metric{p.text(n)}
	depth := 0
	for _, c := range m.PromQL {
		switch c {
		case '(', '{', '[':
			depth++
		case ')', '}', ']':
			depth--
		}
	}
	if depth != 0 {
		p.must(n, errors.New("brackets of the PromQL expression are not balanced"))
	}
	return m
}

func (p *parser) bilingual(n *yaml.Node, what string) faults.Text {
	var t faults.Text
	p.fields(n, what, map[string]func(*yaml.Node){
		"en": func(v *yaml.Node) { t.EN = p.text(v) },
		"zh": func(v *yaml.Node) { t.ZH = p.text(v) },
	})
	if t.EN == "" || t.ZH == "" {
		p.wrong(n, "classify.bilingual", what)
	}
	return t
}

// example reads an alert: labels directly, annotations under "annotations".
func (p *parser) example(n *yaml.Node) Example {
	e := Example{line: n.Line, Alert: keepwell.Alert{
		Status: keepwell.AlertFiring, Source: "example", Labels: map[string]string{}, Annotations: map[string]string{},
		StartsAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}}
	p.pairs(n, "example", func(name string, v *yaml.Node) {
		if name != "annotations" {
			e.Alert.Labels[name] = p.text(v)
			return
		}
		p.pairs(v, "annotations", func(name string, v *yaml.Node) { e.Alert.Annotations[name] = p.text(v) })
	})
	e.Alert.Fingerprint = keepwell.FingerprintOf(e.Alert.Labels)
	p.must(n, e.Alert.Validate())
	return e
}
