package playbook

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// Bounds of a text.
const (
	MaxText      = 256 << 10
	maxNodes     = 10_000
	maxDepth     = 24
	maxSteps     = 64
	mostProblems = 100
)

// Problem is something wrong with a text, in no language yet.
type Problem struct {
	Line, Column int
	// Warning says that the text can be used all the same.
	Warning bool
	Key     string
	Args    []any
}

// In is the problem in a language.
func (p Problem) In(lang msg.Lang) string {
	args := slices.Clone(p.Args)
	for i, a := range args {
		if own, ok := a.(interface{ Words(lang msg.Lang) string }); ok {
			args[i] = own.Words(lang)
		}
	}
	return msg.Text(lang, p.Key, args...)
}

// Problems is everything that is wrong.
type Problems []Problem

// String is everything in English, one line each.
func (ps Problems) String() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = "line " + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column) + ": " + p.In(msg.EN)
	}
	return strings.Join(lines, "\n")
}

// Fatal tells whether there is more than warnings.
func (ps Problems) Fatal() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
}

// Options of Read.
type Options struct {
	// Conditions compiles expressions; nil leaves them unchecked, with a warning, and
	// tests that never hold: for tools, not for the server.
	Conditions Compiler
	// Name is the playbook's where the text has none, such as the file's.
	Name string
	// Codes are the faults that are known: a trigger that is nearly one of them, but for a
	// slip, is warned of. A trigger may be the name of any alert.
	Codes []keepwell.Code
}

// Read checks a text. The program is nil where there is more than warnings.
func Read(text []byte, o Options) (*Program, Problems) {
	r := &reader{o: o, p: &Program{Name: o.Name, Mode: ModeObserve, Concurrency: Concurrency{PerTarget: 1}, Cooldown: usualCooldown}}
	normal, ok := normalise(text)
	switch {
	case len(text) > MaxText:
		r.wrong(at(1), "play.long", MaxText>>10)
	case !ok:
		r.wrong(at(1), "play.utf8")
	default:
		r.p.Text = string(normal)
		sum := sha256.Sum256(normal)
		r.p.Version = hex.EncodeToString(sum[:])
		if root := r.parse(normal); root != nil {
			r.top(root)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.problems.Fatal() {
		return nil, r.problems
	}
	return r.p, r.problems
}

// normalise makes texts that differ in nothing but line ends one.
func normalise(text []byte) ([]byte, bool) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = append(bytes.TrimRight(text, "\n\r \t"), '\n')
	return text, utf8.Valid(text) && !bytes.ContainsRune(text, 0)
}

type reader struct {
	o         Options
	p         *Program
	problems  Problems
	unchecked bool
	nodes     int
}

func at(line int) *yaml.Node { return &yaml.Node{Line: line, Column: 1} }

func (r *reader) wrong(n *yaml.Node, key string, args ...any) { r.note(n, false, key, args) }
func (r *reader) warn(n *yaml.Node, key string, args ...any)  { r.note(n, true, key, args) }

func (r *reader) note(n *yaml.Node, warning bool, key string, args []any) {
	if len(r.problems) < mostProblems {
		r.problems = append(r.problems, Problem{max(n.Line, 1), max(n.Column, 1), warning, key, args})
	}
}

var yamlLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^yaml: (?:line (\d+): )?`) })

// parse reads one document without anchors, tags or anything that grows.
func (r *reader) parse(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		switch m := yamlLine().FindStringSubmatch(err.Error()); {
		case errors.Is(err, io.EOF):
			r.wrong(at(1), "play.empty")
		case m != nil:
			line, _ := strconv.Atoi(m[1])
			r.wrong(at(line), "play.yaml", cut(err.Error()[len(m[0]):]))
		default:
			r.wrong(at(1), "play.yaml", cut(err.Error()))
		}
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(&more, "play.documents")
		return nil
	}
	if !r.tame(&doc, 0) {
		return nil
	}
	return doc.Content[0]
}

func (r *reader) tame(n *yaml.Node, depth int) bool {
	r.nodes++
	switch {
	case r.nodes > maxNodes || depth > maxDepth:
		r.wrong(n, "play.large", maxNodes, maxDepth)
		return false
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge":
		r.wrong(n, "play.anchor")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.wrong(n, "play.tag", cut(n.Tag))
		return false
	}
	for _, c := range n.Content {
		if !r.tame(c, depth+1) {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type fieldReaders map[string]func(*yaml.Node)

// fields hands each value of a mapping to the reader of its key.
func (r *reader) fields(n *yaml.Node, readers fieldReaders) {
	known := sortedKeys(readers)
	r.pairs(n, strings.Join(known, ", "), func(k, v *yaml.Node) {
		if read, ok := readers[k.Value]; ok {
			read(v)
			return
		}
		r.unknown(k, "play.unknown", known)
	})
}

// unknown says so, and what may have been meant.
func (r *reader) unknown(n *yaml.Node, key string, known []string) {
	if near := spelling.Meant(n.Value, known); near != "" {
		r.wrong(n, key+".near", cut(n.Value), near)
		return
	}
	r.wrong(n, key, cut(n.Value), strings.Join(known, ", "))
}

// pairs calls do for each pair of a mapping, whose keys are texts and differ.
func (r *reader) pairs(n *yaml.Node, known string, do func(k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "play.mapping", known)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			r.wrong(k, "play.key")
		case seen[k.Value] > 0:
			r.wrong(k, "play.twice", cut(k.Value), seen[k.Value])
		default:
			seen[k.Value] = max(k.Line, 1)
			do(k, v)
		}
	}
}

// word is a text that is not empty; numbers and truths are texts too.
func (r *reader) word(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		r.wrong(n, "play.word", key)
		return ""
	}
	return n.Value
}

// words is a list of texts, or one.
func (r *reader) words(n *yaml.Node, key string) (list []string) {
	if n.Kind != yaml.SequenceNode {
		if w := r.word(n, key); w != "" {
			list = append(list, w)
		}
		return list
	}
	if len(n.Content) == 0 {
		r.wrong(n, "play.word", key)
	}
	for _, e := range n.Content {
		if w := r.word(e, key); w != "" {
			list = append(list, w)
		}
	}
	return list
}

func oneOf[T ~string](r *reader, n *yaml.Node, key string, values ...T) T {
	w := r.word(n, key)
	if w == "" || slices.Contains(values, T(w)) {
		return T(w)
	}
	known := make([]string, len(values))
	for i, v := range values {
		known[i] = string(v)
	}
	r.wrong(n, "play.enum", key, strings.Join(known, ", "))
	return ""
}

func (r *reader) truth(n *yaml.Node, key string) bool {
	var b bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
		r.wrong(n, "play.enum", key, "true, false")
	}
	return b
}

func (r *reader) number(n *yaml.Node, key string, least, most int) int {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || i < least || i > most {
		r.wrong(n, "play.number", key, least, most)
		return least
	}
	return i
}

const longestTime = 366 * 24 * time.Hour

func parseDuration(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 366 {
			return 0, false
		}
		return time.Duration(n) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func (r *reader) duration(n *yaml.Node, key string, least, most time.Duration) time.Duration {
	d, ok := parseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || !ok || d < least || d > most {
		r.wrong(n, "play.duration", key, least.String(), most.String())
		return least
	}
	return d
}

var budgetForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\s*(\d{1,6})\s*(?:/|per)\s*(\S+)\s*$`) })

// budget is "5 per 1h".
func (r *reader) budget(n *yaml.Node, key string) (b Budget) {
	if m := budgetForm().FindStringSubmatch(n.Value); n.Kind == yaml.ScalarNode && m != nil {
		d, ok := parseDuration(m[2])
		b.Count, _ = strconv.Atoi(m[1])
		if b.Per = d; ok && d >= time.Second && d <= longestTime && b.Count > 0 {
			return b
		}
	}
	r.wrong(n, "play.budget", key)
	return Budget{}
}

// text is a text with places, held to a sink.
func (r *reader) text(n *yaml.Node, key string, sink Sink, secret bool) Text {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.wrong(n, "play.word", key)
		return Text{}
	}
	t, fault := parseText(n.Value)
	switch {
	case fault != nil:
		r.wrong(n, fault.key, fault.args...)
	case sink == SinkFixed && t.Templated():
		r.wrong(n, "play.sink", key)
	case sink == SinkPromQL && !t.quoted():
		r.wrong(n, "play.sink.promql", key)
	case !secret && t.Secret():
		r.wrong(n, "play.sink.secret", key)
	}
	for _, p := range t.parts {
		if len(p.path) == 2 && p.path[0] == "vars" && !r.declared(p.path[1]) {
			r.wrong(n, "play.var", p.path[1])
		}
	}
	return t
}

func (r *reader) declared(name string) bool {
	return slices.ContainsFunc(r.p.Vars, func(p Pair) bool { return p.Name == name })
}

var varName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`) })

func (r *reader) vars(n *yaml.Node) (out []Pair) {
	r.pairs(n, "NAME: TEXT", func(k, v *yaml.Node) {
		if !varName().MatchString(k.Value) {
			r.wrong(k, "play.varname", cut(k.Value))
			return
		}
		out = append(out, Pair{k.Value, r.text(v, "vars."+k.Value, SinkJSON, false)})
	})
	return out
}

func (r *reader) test(n *yaml.Node, key string) *Test {
	expr := r.word(n, key)
	if expr == "" {
		return nil
	}
	t := &Test{Expr: expr}
	if r.o.Conditions == nil {
		if !r.unchecked {
			r.unchecked = true
			r.warn(n, "play.unchecked")
		}
		return t
	}
	c, err := r.o.Conditions.Compile([]byte(r.p.Text), n)
	if err != nil {
		r.wrong(n, "play.condition", key, err)
		return nil
	}
	t.condition = c
	return t
}

func (r *reader) priority(n *yaml.Node, key string) keepwell.Priority {
	return oneOf(r, n, key, keepwell.Priorities()...)
}

var severityForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\s*(>=|<=|==|!=|>|<)\s*(P[0-9]+)\s*$`) })

func (r *reader) severityTest(n *yaml.Node, text string) *SeverityTest {
	m := severityForm().FindStringSubmatch(text)
	if n.Kind != yaml.ScalarNode || m == nil || keepwell.Priority(m[2]).Validate() != nil {
		r.wrong(n, "play.severity", cut(text))
		return nil
	}
	t := &SeverityTest{m[1], keepwell.Priority(m[2])}
	switch {
	case t.Op == ">" && t.Priority == keepwell.P0, t.Op == "<" && t.Priority == keepwell.P4:
		r.warn(n, "play.severity.never", t.String())
	}
	return t
}
