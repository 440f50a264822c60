package playbook

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Defaults of a step.
const (
	defaultTimeout  = 30 * time.Second
	longestTimeout  = 15 * time.Minute
	defaultBackoff  = 2 * time.Second
	defaultMax      = time.Minute
	defaultApproval = 30 * time.Minute
)

func (r *reader) steps(n *yaml.Node, key string) (steps []Step) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.wrong(n, "play.list", key)
		return nil
	}
	if len(n.Content) > maxSteps {
		r.wrong(n, "play.steps", maxSteps)
		return nil
	}
	names := map[string]bool{}
	for i, e := range n.Content {
		if e.Kind == yaml.ScalarNode && LookupKind(e.Value) != nil { // "- create_ticket"
			e = &yaml.Node{Kind: yaml.MappingNode, Line: e.Line, Column: e.Column, Content: []*yaml.Node{e, {Kind: yaml.MappingNode, Line: e.Line, Column: e.Column}}}
		}
		s := r.step(e)
		if s.Name == "" {
			s.Name = strconv.Itoa(i+1) + "-" + s.Action.Kind
		}
		if names[s.Name] {
			r.wrong(e, "play.stepname", cut(s.Name))
		}
		names[s.Name] = true
		steps = append(steps, s)
	}
	return steps
}

// step is a mapping of one kind with its parameters, beside what surrounds it.
func (r *reader) step(n *yaml.Node) Step {
	s := Step{Line: n.Line, Timeout: defaultTimeout, Retry: Retry{Attempts: 1, Backoff: defaultBackoff, Max: defaultMax}, OnFailure: FailStop}
	declared := (*bool)(nil)
	outer := r.p.Vars
	if v := take(n, "vars"); v != nil {
		s.Vars = r.vars(v)
		r.p.Vars = append(slices.Clone(outer), s.Vars...)
	}
	defer func() { r.p.Vars = outer }()
	r.withKind(n, &s.Action, fieldReaders{
		"name": func(v *yaml.Node) {
			if s.Name = r.word(v, "name"); !nameForm().MatchString(s.Name) {
				r.wrong(v, "play.name", cut(s.Name))
			}
		},
		"if":          func(v *yaml.Node) { s.If = r.test(v, "if") },
		"if_severity": func(v *yaml.Node) { s.IfSeverity = r.severityTest(v, v.Value) },
		"vars":        func(*yaml.Node) {}, // read before
		"timeout":     func(v *yaml.Node) { s.Timeout = r.duration(v, "timeout", 100*time.Millisecond, longestTimeout) },
		"retries":     func(v *yaml.Node) { s.Retry = r.retries(v) },
		"idempotent": func(v *yaml.Node) {
			b := r.truth(v, "idempotent")
			declared = &b
		},
		"approval": func(v *yaml.Node) { s.Approval = r.approval(v) },
		"verify":   func(v *yaml.Node) { s.Verify = r.verify(v) },
		"undo":     func(v *yaml.Node) { s.Undo = r.undo(v) },
		"on_failure": func(v *yaml.Node) {
			s.OnFailure = oneOf(r, v, "on_failure", FailStop, FailContinue, FailUndo, FailHuman)
		},
	}, func(k *Kind, v *yaml.Node) bool {
		// The short form of a condition: the action with its defaults, if it holds.
		rest, ok := strings.CutPrefix(strings.TrimSpace(v.Value), "if_severity")
		if v.Kind != yaml.ScalarNode || !ok {
			return false
		}
		s.IfSeverity = r.severityTest(v, rest)
		r.required(k, s.Action, v)
		return true
	})
	if s.Action.Kind == "" {
		return s
	}
	s.Idempotent = natureOf(s.Action).Idempotent
	if declared != nil {
		s.Idempotent = *declared
	}
	if s.Retry.Attempts > 1 && !s.Idempotent {
		r.wrong(n, "play.retries", s.Action.Kind)
	}
	if s.OnFailure == FailUndo && s.Undo == nil {
		r.warn(n, "play.noundo")
	}
	return s
}

// natureOf tells what is known of an action without its author's word.
func natureOf(a Action) Nature {
	k := LookupKind(a.Kind)
	switch {
	case k == nil:
		return Nature{}
	case k.nature != nil:
		return k.nature(a)
	}
	return Nature{Reads: k.Check, Idempotent: k.Idempotent}
}

// withKind reads a mapping that holds one kind of action beside other fields.
func (r *reader) withKind(n *yaml.Node, a *Action, others fieldReaders, short func(*Kind, *yaml.Node) bool) {
	all := append(kindNames(func(Kind) bool { return true }), sortedKeys(others)...)
	r.pairs(n, strings.Join(all, ", "), func(k, v *yaml.Node) {
		if read, ok := others[k.Value]; ok {
			read(v)
			return
		}
		kind := LookupKind(k.Value)
		switch {
		case kind == nil:
			r.unknown(k, "play.kind", all)
		case a.Kind != "":
			r.wrong(k, "play.kinds", a.Kind, k.Value)
		default:
			a.Kind, a.Line = kind.Name, k.Line
			if short == nil || !short(kind, v) {
				a.Params = r.params(kind, v)
			}
		}
	})
	if n.Kind == yaml.MappingNode && a.Kind == "" && !slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.Key, "play.kind") && p.Line >= n.Line }) {
		r.wrong(n, "play.nokind", strings.Join(kindNames(func(Kind) bool { return true }), ", "))
	}
}

func (r *reader) params(k *Kind, n *yaml.Node) map[string]Value {
	params := map[string]Value{}
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		p := k.Param(k.Short)
		params[k.Short] = r.value(p, n)
	} else if n.Tag != "!!null" {
		readers := fieldReaders{}
		for i := range k.Params {
			p := &k.Params[i]
			readers[p.Name] = func(v *yaml.Node) { params[p.Name] = r.value(p, v) }
		}
		r.fields(n, readers)
	}
	r.required(k, Action{Kind: k.Name, Params: params}, n)
	return params
}

func (r *reader) required(k *Kind, a Action, n *yaml.Node) {
	for _, p := range k.Params {
		if p.Required && !a.Has(p.Name) {
			r.wrong(n, "play.param", k.Name, p.Name)
			return
		}
	}
	if k.check != nil {
		if fault := k.check(a); fault != nil {
			r.wrong(n, fault.key, fault.args...)
		}
	}
}

func (r *reader) value(p *Param, n *yaml.Node) (v Value) {
	switch p.Type {
	case TypeText:
		v.Text = r.text(n, p.Name, p.Sink, p.Secret)
		r.check(p, n, v.Text.Raw())
		if p.Required && v.Text.Empty() {
			r.wrong(n, "play.word", p.Name)
		}
		if p.Enum != nil && !slices.Contains(p.Enum, v.Text.Raw()) {
			r.wrong(n, "play.enum", p.Name, strings.Join(p.Enum, ", "))
		}
	case TypeTexts:
		if n.Kind != yaml.SequenceNode {
			r.wrong(n, "play.list", p.Name)
			return v
		}
		for _, e := range n.Content {
			t := r.text(e, p.Name, p.Sink, p.Secret)
			r.check(p, e, t.Raw())
			v.Texts = append(v.Texts, t)
		}
	case TypePairs:
		r.pairs(n, "NAME: TEXT", func(k, e *yaml.Node) {
			r.check(p, k, k.Value)
			if strings.Contains(k.Value, "{{") || strings.Contains(k.Value, "${") {
				r.wrong(k, "play.sink", p.Name)
			}
			t := r.text(e, p.Name+"."+cut(k.Value), p.Sink, p.Secret)
			if p.Sink == SinkFixed && strings.ContainsAny(t.Raw(), "\r\n") {
				r.wrong(e, "play.plain", cut(t.Raw()))
			}
			v.Pairs = append(v.Pairs, Pair{k.Value, t})
		})
	case TypeNumbers:
		list := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			list = n.Content
		}
		for _, e := range list {
			v.Numbers = append(v.Numbers, int64(r.number(e, p.Name, 0, 999)))
		}
	case TypeNumber:
		v.Numbers = []int64{int64(r.number(n, p.Name, p.Least, p.Most))}
	case TypeDuration:
		v.Duration = r.duration(n, p.Name, time.Second, 7*24*time.Hour)
	case TypeJSON:
		v.JSON = r.tree(n, p.Name)
	}
	return v
}

func (r *reader) check(p *Param, n *yaml.Node, s string) {
	if p.check == nil || strings.Contains(s, "{{") { // said by the sink
		return
	}
	if fault := p.check(s); fault != nil {
		r.wrong(n, fault.key, fault.args...)
	}
}

// tree is JSON whose strings are texts.
func (r *reader) tree(n *yaml.Node, key string) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		r.pairs(n, "NAME: VALUE", func(k, v *yaml.Node) {
			if strings.Contains(k.Value, "{{") {
				r.wrong(k, "play.sink", key)
			}
			m[k.Value] = r.tree(v, key)
		})
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, e := range n.Content {
			list = append(list, r.tree(e, key))
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if n.Decode(&v) == nil && finite(v) {
			return v
		}
	}
	return r.text(n, key, SinkJSON, false)
}

// finite leaves out what JSON has no word for.
func finite(v any) bool {
	f, ok := v.(float64)
	return !ok || f-f == 0
}

func (r *reader) retries(n *yaml.Node) Retry {
	out := Retry{Attempts: 1, Backoff: defaultBackoff, Max: defaultMax}
	if n.Kind == yaml.ScalarNode {
		out.Attempts += r.number(n, "retries", 0, 20)
		return out
	}
	r.fields(n, fieldReaders{
		"count":   func(v *yaml.Node) { out.Attempts = 1 + r.number(v, "count", 0, 20) },
		"backoff": func(v *yaml.Node) { out.Backoff = r.duration(v, "backoff", 0, time.Hour) },
		"max":     func(v *yaml.Node) { out.Max = r.duration(v, "max", 0, 24*time.Hour) },
	})
	out.Max = max(out.Max, out.Backoff)
	return out
}

func (r *reader) approval(n *yaml.Node) *Approval {
	a := &Approval{Role: "operator", Within: defaultApproval, Expiry: ExpiryStop}
	role := func(v *yaml.Node) { a.Role = oneOf(r, v, "by", "operator", "admin") }
	if n.Kind == yaml.ScalarNode {
		role(n)
		return a
	}
	r.fields(n, fieldReaders{
		"by":        role,
		"within":    func(v *yaml.Node) { a.Within = r.duration(v, "within", time.Second, 30*24*time.Hour) },
		"on_expiry": func(v *yaml.Node) { a.Expiry = oneOf(r, v, "on_expiry", ExpiryStop, ExpirySkip, ExpiryHuman) },
	})
	return a
}

func (r *reader) verify(n *yaml.Node) *Verify {
	v := &Verify{Attempts: 1, Every: 10 * time.Second}
	r.withKind(n, &v.Check, fieldReaders{
		"delay":    func(e *yaml.Node) { v.Delay = r.duration(e, "delay", 0, 24*time.Hour) },
		"attempts": func(e *yaml.Node) { v.Attempts = r.number(e, "attempts", 1, 100) },
		"every":    func(e *yaml.Node) { v.Every = r.duration(e, "every", 100*time.Millisecond, time.Hour) },
	}, nil)
	k := LookupKind(v.Check.Kind)
	switch {
	case k == nil:
	case !k.Check || !natureOf(v.Check).Reads:
		r.wrong(n, "play.verify", v.Check.Kind, strings.Join(kindNames(func(k Kind) bool { return k.Check }), ", "))
	}
	return v
}

func (r *reader) undo(n *yaml.Node) *Action {
	var a Action
	r.withKind(n, &a, nil, nil)
	if k := LookupKind(a.Kind); k != nil && k.Engine {
		r.wrong(n, "play.undo", a.Kind)
	}
	return &a
}
