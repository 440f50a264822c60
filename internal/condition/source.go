package condition

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/msg"
)

// Source is an expression and where it stands.
type Source struct {
	Text string
	// Place returns the line and column of the file, counted from 1, for a byte of
	// Text; nil where the expression stands in no file.
	Place func(offset int) (line, column int)
}

// Plain is an expression that stands in no file.
func Plain(text string) Source { return Source{Text: text} }

// Node is an expression that is the scalar n of the YAML document doc.
func Node(doc []byte, n *yaml.Node) Source {
	return Source{Text: n.Value, Place: func(offset int) (int, int) { return place(doc, n, offset) }}
}

// SourceError is something wrong at a place of a file.
type SourceError struct {
	Line, Column int // from 1; 0 where it stands in no file
	Key          string
	Args         []any
	cause        error
}

// Words says what is wrong, in lang.
func (p *SourceError) Words(lang msg.Lang) string {
	text := msg.Text(lang, p.Key, p.Args...)
	switch {
	case p.Line == 0:
		return text
	case p.Column == 0:
		return msg.Text(lang, "condition.line", p.Line, text)
	}
	return msg.Text(lang, "condition.place", p.Line, p.Column, text)
}

func (p *SourceError) Error() string { return p.Words(msg.EN) }

func (p *SourceError) Unwrap() error { return p.cause }

func (s Source) problem(offset int, key string, args ...any) *SourceError {
	p := &SourceError{Key: key, Args: args}
	if s.Place != nil {
		p.Line, p.Column = s.Place(offset)
	}
	return p
}

// most is how many problems of one expression are told; the first is mostly the cause.
const most = 3

func (s Source) issues(issues *cel.Issues) error {
	if issues == nil {
		return nil
	}
	var errs []error
	for _, e := range issues.Errors() {
		if len(errs) == most {
			break
		}
		offset := offsetOf(s.Text, e.Location.Line(), e.Location.Column())
		key, args := worded(e.Message)
		errs = append(errs, s.problem(offset, key, args...))
	}
	return errors.Join(errs...)
}

func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	undeclared = lazily(`^undeclared reference to '(.+?)'`)
	overload   = lazily(`^found no matching overload for '(.+?)' applied to '(.*)'`)
	noField    = lazily(`^undefined field '(.+?)'`)
)

// operatorName is what people write for the name that CEL gives its operators.
func operatorName(name string) string { return strings.Trim(name, "_@") }

// worded finds our words for what CEL says; the rest is passed on in its own.
func worded(message string) (key string, args []any) {
	if m := undeclared().FindStringSubmatch(message); m != nil {
		return "condition.undeclared", []any{m[1]}
	}
	if m := overload().FindStringSubmatch(message); m != nil {
		if strings.Contains(m[2], "Priority") && strings.Contains(m[2], "string") {
			return "condition.quoted", nil
		}
		return "condition.overload", []any{operatorName(m[1]), m[2]}
	}
	if m := noField().FindStringSubmatch(message); m != nil {
		return "condition.undeclared", []any{m[1]}
	}
	if text, ok := strings.CutPrefix(message, "Syntax error: "); ok {
		return "condition.syntax", []any{text}
	}
	return "condition.other", []any{message}
}

// failure puts what went wrong while an expression ran into words.
func (s Source) failure(err error) error {
	text := err.Error()
	p := s.problem(0, "condition.failed", text)
	switch {
	case strings.HasPrefix(text, "no such key"), strings.HasPrefix(text, "no such attribute"), strings.HasPrefix(text, "index out of bounds"), strings.HasPrefix(text, "no such field"):
		p.Key, p.cause = "condition.absent", ErrAbsent
	case strings.Contains(text, "cost limit exceeded"), strings.Contains(text, "operation interrupted"), strings.Contains(text, "operation cancelled"):
		p.Key, p.Args, p.cause = "condition.cost", []any{MaxCost}, ErrCost
	}
	return p
}

// constantPatterns refuses regular expressions that come from an alert or a document:
// only what stands in the file was looked at.
func constantPatterns(s Source, checked *cel.Ast) error {
	var err error
	native := checked.NativeRep()
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "matches" || err != nil {
			return
		}
		args := e.AsCall().Args()
		if len(args) > 0 && args[len(args)-1].Kind() != ast.LiteralKind {
			at := native.SourceInfo().GetStartLocation(e.ID())
			err = s.problem(offsetOf(s.Text, at.Line(), at.Column()), "condition.pattern")
		}
	}))
	return err
}

// offsetOf returns the byte of text at a line, from 1, and column, in runes from 0.
func offsetOf(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	for ; column > 0 && at < len(text); column-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// place finds where a byte of a scalar stands in its document, whatever its style: it
// walks both, skipping in the document what YAML takes away (indentation, folds,
// quotes, escapes).
func place(doc []byte, n *yaml.Node, offset int) (line, column int) {
	at := offsetOf(string(doc), n.Line, n.Column-1)
	switch n.Style {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		if i := bytes.IndexByte(doc[at:], '\n'); i >= 0 {
			at += i + 1
		}
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		at++
	}
	text := n.Value
	for i := 0; i < len(text) && i < offset && at < len(doc); i++ {
		at = next(doc, at, text[i]) + 1
	}
	if offset < len(text) && at < len(doc) {
		at = next(doc, at, text[offset])
	}
	at = min(at, len(doc))
	start := bytes.LastIndexByte(doc[:at], '\n') + 1
	return bytes.Count(doc[:at], []byte("\n")) + 1, utf8.RuneCount(doc[start:at]) + 1
}

// next finds c in doc from at on, past what may stand between two bytes of a scalar.
func next(doc []byte, at int, c byte) int {
	if c == ' ' || c == '\n' { // any blank stands for it, where lines are folded
		return at
	}
	const longest = 256 // indentation, and an escape
	for i := at; i < len(doc) && i < at+longest; i++ {
		if doc[i] == c {
			return i
		}
	}
	return at
}

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Words says all of an error in lang; what is no [SourceError] stays in English.
func Words(err error, lang msg.Lang) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range joined.Unwrap() {
			lines = append(lines, Words(e, lang))
		}
		return strings.Join(lines, "\n")
	}
	var p *SourceError
	if errors.As(err, &p) {
		return p.Words(lang)
	}
	return err.Error()
}
