package playbook

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Text is a string with places for data and for secrets. It is taken apart when it is
// read and put together once: what stands in data is never read as a template again.
type Text struct {
	raw   string
	parts []part
}

type part struct {
	literal string
	path    []string // a template: labels instance
	secret  string   // a secret by name
	// fallback stands for a value that is not there.
	fallback    string
	hasFallback bool
}

// maxData bounds a text after its templates were filled.
const maxData = 16 << 10

// Raw is the text as written.
func (t Text) Raw() string { return t.raw }

// Empty tells whether nothing was written.
func (t Text) Empty() bool { return t.raw == "" }

func (t Text) holds(which func(part) bool) bool {
	for _, p := range t.parts {
		if which(p) {
			return true
		}
	}
	return false
}

// Templated tells whether data of an alert becomes a part of it.
func (t Text) Templated() bool { return t.holds(func(p part) bool { return p.path != nil }) }

// Secret tells whether it needs a secret.
func (t Text) Secret() bool { return t.holds(func(p part) bool { return p.secret != "" }) }

// Secrets lists the names of the secrets that it needs.
func (t Text) Secrets() (names []string) {
	for _, p := range t.parts {
		if p.secret != "" {
			names = append(names, p.secret)
		}
	}
	return names
}

var placeForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*\.([a-z]+)(?:\.([A-Za-z0-9_-]+))?\s*(?:\|\s*default\s+("(?:[^"\\]|\\.)*")\s*)?$`)
})

var secretForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`) })

// placeFault says what is wrong with a place: a key of the messages with its arguments.
type placeFault struct {
	key  string
	args []any
}

// ParseText takes s apart.
func ParseText(s string) (Text, error) {
	t, fault := parseText(s)
	if fault != nil {
		return t, fmt.Errorf("%s %v", fault.key, fault.args)
	}
	return t, nil
}

func parseText(s string) (Text, *placeFault) {
	t := Text{raw: s}
	for rest := s; rest != ""; {
		open, secret := strings.Index(rest, "{{"), strings.Index(rest, "${")
		switch {
		case open < 0 && secret < 0:
			t.parts = append(t.parts, part{literal: rest})
			return t, nil
		case secret < 0 || open >= 0 && open < secret:
			t.parts = appendLiteral(t.parts, rest[:open])
			inner, after, ok := strings.Cut(rest[open+2:], "}}")
			if !ok {
				return t, &placeFault{"play.text.open", []any{"}}"}}
			}
			p, fault := parsePlace(inner)
			if fault != nil {
				return t, fault
			}
			t.parts, rest = append(t.parts, p), after
		default:
			t.parts = appendLiteral(t.parts, rest[:secret])
			inner, after, ok := strings.Cut(rest[secret+2:], "}")
			name, named := strings.CutPrefix(inner, "secret:")
			if !ok || !named || !secretForm().MatchString(name) {
				return t, &placeFault{"play.text.secret", []any{cut("${" + inner)}}
			}
			t.parts, rest = append(t.parts, part{secret: name}), after
		}
	}
	return t, nil
}

func appendLiteral(parts []part, s string) []part {
	if s == "" {
		return parts
	}
	return append(parts, part{literal: s})
}

// places are the names that a template may begin with; true: another name follows.
func places() map[string]bool {
	return map[string]bool{"labels": true, "annotations": true, "vars": true, "alert": true, "incident": true, "run": true, "playbook": false, "asset": false, "code": false, "priority": false}
}

func parsePlace(inner string) (part, *placeFault) {
	m := placeForm().FindStringSubmatch(inner)
	if m == nil {
		return part{}, &placeFault{"play.text.form", []any{cut(strings.TrimSpace(inner))}}
	}
	deeper, known := places()[m[1]]
	if !known {
		return part{}, &placeFault{"play.text.name", []any{m[1], strings.Join(sortedKeys(places()), ", ")}}
	}
	if deeper != (m[2] != "") {
		return part{}, &placeFault{"play.text.form", []any{cut(strings.TrimSpace(inner))}}
	}
	p := part{path: []string{m[1]}}
	if deeper {
		p.path = append(p.path, m[2])
	}
	if _, ok := fixed(Scope{}, p.path); !ok && m[1] != "labels" && m[1] != "annotations" && m[1] != "vars" {
		return part{}, &placeFault{"play.text.form", []any{cut(strings.TrimSpace(inner))}}
	}
	if m[3] != "" {
		text, err := strconv.Unquote(m[3])
		if err != nil {
			return part{}, &placeFault{"play.text.form", []any{cut(strings.TrimSpace(inner))}}
		}
		p.fallback, p.hasFallback = text, true
	}
	return p, nil
}

// fixed looks up what is not a map.
func fixed(s Scope, path []string) (string, bool) {
	switch strings.Join(path, ".") {
	case "alert.name":
		return s.Alert.Name(), true
	case "alert.fingerprint":
		return s.Alert.Fingerprint, true
	case "alert.status":
		return string(s.Alert.Status), true
	case "alert.source":
		return s.Alert.Source, true
	case "alert.url":
		return s.Alert.GeneratorURL, true
	case "incident.id":
		return strconv.FormatInt(s.Incident, 10), true
	case "run.id":
		return strconv.FormatInt(s.Run, 10), true
	case "playbook":
		return s.Playbook, true
	case "asset":
		return s.Asset, true
	case "code":
		return string(s.Code), true
	case "priority":
		return string(s.Priority), true
	}
	return "", false
}

// ErrMissing says that an alert lacks what a template needs.
var ErrMissing = errors.New("is not there, and the template has no default")

// ErrUnfit says that a value cannot be put where the template stands.
var ErrUnfit = errors.New("cannot be put there")

func (p part) value(s Scope) (string, error) {
	v, ok := fixed(s, p.path)
	if !ok {
		switch p.path[0] {
		case "labels":
			v, ok = s.Alert.Labels[p.path[1]]
		case "annotations":
			v, ok = s.Alert.Annotations[p.path[1]]
		case "vars":
			v, ok = s.Vars[p.path[1]]
		}
	}
	switch {
	case ok && v != "":
	case p.hasFallback:
		v = p.fallback
	case !ok:
		return "", fmt.Errorf("%s %w", strings.Join(p.path, "."), ErrMissing)
	}
	if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
		return "", fmt.Errorf("%s holds NUL or no text and %w", strings.Join(p.path, "."), ErrUnfit)
	}
	return v, nil
}

// fill puts t together; data and secrets go through the given functions.
func (t Text) fill(s Scope, data func(string) string, secret func(string) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.secret != "":
			v, err := secret(p.secret)
			if err != nil {
				return "", fmt.Errorf("secret %s: %w", p.secret, err)
			}
			b.WriteString(v)
		case p.path != nil:
			v, err := p.value(s)
			if err != nil {
				return "", err
			}
			b.WriteString(data(v))
		default:
			b.WriteString(p.literal)
		}
		if b.Len() > maxData {
			return "", fmt.Errorf("it becomes longer than %d bytes and %w", maxData, ErrUnfit)
		}
	}
	return b.String(), nil
}

func same(s string) string { return s }

func byReference(name string) (string, error) { return "${secret:" + name + "}", nil }

// Data is t as a string for a place that takes data as it is: a JSON string, an
// environment value, a query value. Secrets stay references.
func (t Text) Data(s Scope) (string, error) { return t.fill(s, same, byReference) }

// Resolved is Data with secrets resolved. Only what makes the effect calls it.
func (t Text) Resolved(s Scope, secrets func(name string) (string, error)) (string, error) {
	return t.fill(s, same, secrets)
}

// Argument is t as one element of argv. Data that would turn the element into an option
// is refused, unless options have ended before it.
func (t Text) Argument(s Scope, optionsEnded bool) (string, error) {
	v, err := t.Data(s)
	if err != nil || optionsEnded || len(t.parts) == 0 || t.parts[0].path == nil {
		return v, err
	}
	if strings.HasPrefix(v, "-") {
		return "", fmt.Errorf("%s begins with a hyphen and would be an option: put \"--\" before it; it %w", strings.Join(t.parts[0].path, "."), ErrUnfit)
	}
	return v, nil
}

// Arguments are the elements of argv.
func Arguments(list []Text, s Scope) ([]string, error) {
	out := make([]string, 0, len(list))
	ended := false
	for i, t := range list {
		v, err := t.Argument(s, ended)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		ended = ended || t.raw == "--"
		out = append(out, v)
	}
	return out, nil
}

// PromQL is t as an expression of PromQL: data stands inside double quotes, which was
// checked when it was read, and cannot leave them.
func (t Text) PromQL(s Scope) (string, error) {
	return t.fill(s, func(v string) string {
		q := strconv.Quote(v)
		return q[1 : len(q)-1]
	}, byReference)
}

// quoted tells whether every template of t stands inside a string in double quotes, and
// as a whole value: behind = or !=, not within a regular expression.
func (t Text) quoted() bool {
	inside, escaped := byte(0), false
	before := ""
	for _, p := range t.parts {
		if p.path != nil {
			if inside != '"' || escaped || before != "=" {
				return false
			}
			continue
		}
		for i := range len(p.literal) {
			c := p.literal[i]
			switch {
			case escaped:
				escaped = false
			case inside != 0 && c == '\\' && inside != '`':
				escaped = true
			case c == inside:
				inside = 0
			case inside == 0 && (c == '"' || c == '\'' || c == '`'):
				inside = c
			case inside == 0 && c == '#':
				return false // a comment could hide the quotes
			case inside == 0 && c != ' ':
				before = string(c)
			}
		}
	}
	return inside == 0
}

// JSON fills a tree: the texts in it become strings.
func JSON(v any, s Scope) (any, error) {
	switch v := v.(type) {
	case Text:
		return v.Data(s)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			f, err := JSON(e, s)
			if err != nil {
				return nil, err
			}
			out[i] = f
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			f, err := JSON(e, s)
			if err != nil {
				return nil, err
			}
			out[k] = f
		}
		return out, nil
	}
	return v, nil
}

// cut keeps foreign text short in messages.
func cut(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
