package classify

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/msg"
)

//go:embed library/*.yaml
var files embed.FS

// Library is a set of fingerprints. It is a [Matcher] of every kind of signal.
type Library struct {
	list []*Fingerprint
	// named are the rules by each alert's name they know, others those without one.
	named  map[string][]ref
	others []ref
}

type ref struct {
	f *Fingerprint
	r *rule
}

// Default is the embedded library. It is read when first asked for.
func Default() (*Library, error) { return embedded() }

var embedded = sync.OnceValues(func() (*Library, error) {
	sub, err := fs.Sub(files, "library")
	if err != nil {
		return nil, err
	}
	return build(nil, sub)
})

// With returns l and the fingerprints of the files *.yaml of dir, which may add rules to
// faults that l knows, and faults of their own. All that is wrong is told at once, with
// file, line and column; then nothing is taken.
func (l *Library) With(dir fs.FS) (*Library, error) { return build(l.list, dir) }

func build(have []*Fingerprint, dir fs.FS) (*Library, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	l := &Library{list: slices.Clone(have), named: map[string][]ref{}}
	var errs []error
	first := map[keepwell.Code]string{}
	for _, name := range names {
		data, err := readFile(dir, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading fingerprints: %w", err))
			continue
		}
		list, problems := Parse(path.Base(name), data)
		errs = append(errs, problems...)
		for _, f := range list {
			if before, twice := first[f.Code]; twice {
				errs = append(errs, f.problem("classify.twice", f.Code, before))
				continue
			}
			first[f.Code] = fmt.Sprintf("%s:%d", f.file, f.line)
			l.list = append(l.list, f)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, f := range l.list {
		for _, r := range f.rules {
			for _, name := range r.alerts {
				l.named[folded(name)] = append(l.named[folded(name)], ref{f, r})
			}
			if len(r.alerts) == 0 {
				l.others = append(l.others, ref{f, r})
			}
		}
	}
	return l, nil
}

// maxFile bounds a file of fingerprints.
const maxFile = 4 << 20

func readFile(dir fs.FS, name string) ([]byte, error) {
	st, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", name, maxFile)
	}
	return fs.ReadFile(dir, name)
}

// Fingerprints lists what l knows, by code.
func (l *Library) Fingerprints() []*Fingerprint {
	return slices.SortedStableFunc(slices.Values(l.list), func(a, b *Fingerprint) int { return cmp.Compare(a.Code, b.Code) })
}

// Describe returns title, cause and what to do of a code, in lang: the fingerprint's own
// words where it has some, else the catalogue's.
func (l *Library) Describe(code keepwell.Code, lang msg.Lang) (Words, error) {
	for _, f := range l.list {
		if f.Code == code && f.Title.EN != "" {
			in := string(lang)
			return Words{Title: f.Title.In(in), Cause: f.Cause.In(in), Do: []string{f.Do.In(in)}}, nil
		}
	}
	f, err := faults.Lookup(code)
	if err != nil {
		return Words{}, err
	}
	in := string(lang)
	w := Words{Title: faults.Prose(f.Title.In(in), nil), Cause: faults.Prose(f.Cause.In(in), nil)}
	for _, r := range f.Remedies {
		w.Do = append(w.Do, faults.Prose(r.Title.In(in), nil))
	}
	return w, nil
}

// Words are what a person is told of a fault.
type Words struct {
	Title, Cause string
	Do           []string
}

// Match implements [Matcher].
func (l *Library) Match(ctx context.Context, s *Signal, now time.Time) []Match {
	t := foldSignal(s)
	best := map[*Fingerprint]hit{}
	try := func(list []ref) {
		for _, e := range list {
			h, ok := e.r.matches(ctx, t, now)
			if before, had := best[e.f]; ok && (!had || before.less(h)) {
				best[e.f] = h
			}
		}
	}
	if s.Kind == KindAlert && s.Name != "" {
		try(l.named[folded(s.Name)])
	}
	try(l.others)
	out := make([]Match, 0, len(best))
	for f, h := range best {
		out = append(out, Match{
			Code: f.Code, Confidence: h.confidence, Priority: f.Priority, Team: f.Team, Assets: f.Assets,
			conditions: h.conditions, evidence: func() []keepwell.Evidence { return t.evidence(h) },
		})
	}
	return out
}

// Check holds every fingerprint of l to its own examples and near misses.
func (l *Library) Check(ctx context.Context) error {
	c := &Classifier{Matchers: []Matcher{l}}
	var errs []error
	for _, f := range l.list {
		for _, e := range f.Examples {
			if got := c.Classify(ctx, OfAlert(&e.Alert), e.Alert.StartsAt); got.Code != f.Code {
				errs = append(errs, f.problemAt(e.line, "classify.example", got.Code, f.Code))
			}
		}
		for _, e := range f.Near {
			if got := c.Classify(ctx, OfAlert(&e.Alert), e.Alert.StartsAt); got.Code == f.Code {
				errs = append(errs, f.problemAt(e.line, "classify.near", got.Code))
			}
		}
	}
	return errors.Join(errs...)
}

// Metrics answers questions about metrics: a client of Prometheus, or a test.
type Metrics interface {
	// Holds reports whether a PromQL expression has a sample other than zero at a time.
	Holds(ctx context.Context, promql string, at time.Time) (bool, error)
}

// Confirm asks the metric conditions of a result's fault. Where one holds, the result is
// surer; where none does, it is less sure, and where none can be asked, it stays. Labels
// of the signal stand in the questions as $instance, quoted for PromQL.
func (l *Library) Confirm(ctx context.Context, m Metrics, s Signal, r Result, now time.Time) (Result, error) {
	const surer, less = 0.5, 0.7
	asked := false
	var errs []error
	for _, f := range l.list {
		if f.Code != r.Code {
			continue
		}
		for _, q := range f.Metrics {
			query, ok := q.fill(s.Labels)
			if !ok {
				continue
			}
			holds, err := m.Holds(ctx, query, now)
			if err != nil {
				errs = append(errs, fmt.Errorf("asking a metric of %s: %w", f.Code, err))
				continue
			}
			asked = true
			if holds {
				r.Confidence = min(maxConfidence, r.Confidence+(1-r.Confidence)*surer)
				r.Evidence = append(slices.Clone(r.Evidence), keepwell.Evidence{Source: "metric", Text: shown(query)})
				return r, nil
			}
		}
	}
	if asked {
		r.Confidence *= less
	}
	return r, errors.Join(errs...)
}

func (f *Fingerprint) problem(key string, args ...any) error {
	return f.problemAt(f.line, key, args...)
}

func (f *Fingerprint) problemAt(line int, key string, args ...any) error {
	return &FileError{File: f.file, Err: &condition.SourceError{Line: line, Key: key, Args: args}}
}

// FileError is something wrong in a file.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string { return e.Words(msg.EN) }

// Words says what is wrong, in lang.
func (e *FileError) Words(lang msg.Lang) string {
	return e.File + ": " + strings.ReplaceAll(condition.Words(e.Err, lang), "\n", "\n"+e.File+": ")
}

func (e *FileError) Unwrap() error { return e.Err }

// ErrorWords says all that an error holds, in lang, a line each.
func ErrorWords(err error, lang msg.Lang) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range joined.Unwrap() {
			lines = append(lines, ErrorWords(e, lang))
		}
		return strings.Join(lines, "\n")
	}
	var f *FileError
	if errors.As(err, &f) {
		return f.Words(lang)
	}
	return condition.Words(err, lang)
}
