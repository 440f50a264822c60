package classify

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/present"
)

// How sure each way of knowing is, before anyone measured it on real traffic.
const (
	sureName      = 0.90 // an alert's exact name
	sureNameMore  = 0.95 // and labels, words or a condition
	sureCode      = 0.85 // an error code
	sureWhen      = 0.85 // a condition that someone wrote
	sureNameWords = 0.80 // words in a signal's name
	sureWords     = 0.70 // words in what people wrote
	sureLabels    = 0.60 // labels alone
	maxConfidence = 0.98
)

// rule is one way to know a fault: all that it names must hold.
type rule struct {
	alerts     []string
	labels     []labelRule
	words      [][]string // each of them, by any of its alternatives
	not        []string
	codes      []string
	when       *condition.Program
	confidence float64 // 0: by what it names
}

type labelRule struct {
	name   string
	values []string
	expr   *regexp.Regexp
}

func (l labelRule) holds(labels map[string]string) bool {
	v, ok := labels[l.name]
	switch {
	case !ok || v == "":
		return false
	case l.expr != nil:
		return l.expr.MatchString(v)
	}
	return slices.Contains(l.values, v)
}

// found is a decisive place.
type found struct {
	text   int // index into texts; -1: the name, -2: a label
	label  string
	term   string
	inName bool
}

type hit struct {
	confidence float64
	conditions int
	places     []found
}

func (h hit) less(o hit) bool {
	return cmp.Or(cmp.Compare(h.confidence, o.confidence), cmp.Compare(h.conditions, o.conditions)) < 0
}

// foldedSignal is a signal made ready for looking.
type foldedSignal struct {
	*Signal
	name  string // in words, lower case
	texts []string
	all   string // name and texts, to see at once what is nowhere
}

func foldSignal(s *Signal) *foldedSignal {
	const most = 8 << 10 // of one text: what comes later is no headline
	f := &foldedSignal{Signal: s, name: lower(spaced(s.Name)), texts: make([]string, len(s.Texts))}
	for i, t := range s.Texts {
		f.texts[i] = lower(cut(t.Text, most))
	}
	f.all = f.name + "\n" + strings.Join(f.texts, "\n")
	return f
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// find looks for a term: first in the name, then in the texts.
func (s *foldedSignal) find(term string) (found, bool) {
	if !strings.Contains(s.all, strings.TrimSuffix(term, "*")) {
		return found{}, false
	}
	if holds(s.name, term) {
		return found{text: -1, term: term, inName: true}, true
	}
	for i, t := range s.texts {
		if holds(t, term) {
			return found{text: i, term: term}, true
		}
	}
	return found{}, false
}

func (r *rule) matches(ctx context.Context, s *foldedSignal, now time.Time) (hit, bool) {
	var h hit
	if len(r.alerts) > 0 { // the index chose it by its name
		h.conditions++
		h.places = append(h.places, found{text: -1})
	}
	for _, l := range r.labels {
		if !l.holds(s.Labels) {
			return h, false
		}
		h.conditions++
		h.places = append(h.places, found{text: -2, label: l.name})
	}
	allInName := true
	for _, alternatives := range r.words {
		p, ok := s.any(alternatives)
		if !ok {
			return h, false
		}
		allInName = allInName && p.inName
		h.conditions++
		h.places = append(h.places, p)
	}
	if len(r.codes) > 0 {
		p, ok := s.any(r.codes)
		if !ok {
			return h, false
		}
		h.conditions++
		h.places = append(h.places, p)
	}
	if _, no := s.any(r.not); no {
		return h, false
	}
	if r.when != nil {
		if s.Alert == nil {
			return h, false
		}
		if ok, err := r.when.Holds(ctx, condition.OfAlert(s.Alert, condition.Known{Now: now})); err != nil || !ok {
			return h, false // what is not there does not fit
		}
		h.conditions++
	}
	h.confidence = r.sure(allInName)
	return h, true
}

func (s *foldedSignal) any(terms []string) (found, bool) {
	for _, term := range terms {
		if p, ok := s.find(term); ok {
			return p, true
		}
	}
	return found{}, false
}

func (r *rule) sure(allInName bool) float64 {
	more := len(r.labels)+len(r.words)+len(r.codes) > 0 || r.when != nil
	switch {
	case r.confidence > 0:
		return r.confidence
	case len(r.alerts) > 0 && more:
		return sureNameMore
	case len(r.alerts) > 0:
		return sureName
	case len(r.codes) > 0:
		return sureCode
	case r.when != nil:
		return sureWhen
	case len(r.words) > 0 && allInName:
		return sureNameWords
	case len(r.words) > 0:
		return sureWords
	}
	return sureLabels
}

// evidence shows the decisive places, masked, each text once.
func (s *foldedSignal) evidence(h hit) []keepwell.Evidence {
	out := []keepwell.Evidence{}
	add := func(source, text, term string) {
		text = shown(text)
		i := slices.IndexFunc(out, func(e keepwell.Evidence) bool { return e.Source == source && e.Text == text })
		if i < 0 {
			i = len(out)
			out = append(out, keepwell.Evidence{Source: source, Text: text})
		}
		span := keepwell.Span{End: len(text)}
		if term != "" {
			at := index(lower(text), term)
			if at < 0 {
				return // masked, cut, or written in one word
			}
			span = keepwell.Span{Start: at, End: at + len(strings.TrimSuffix(term, "*"))}
		}
		if !slices.Contains(out[i].Marks, span) {
			out[i].Marks = append(out[i].Marks, span)
		}
	}
	for _, p := range h.places {
		switch p.text {
		case -1:
			add(s.Kind+" name", s.Name, p.term)
		case -2:
			add(s.Kind+" label "+p.label, s.Labels[p.label], "")
		default:
			add(s.Texts[p.text].Where, s.Texts[p.text].Text, p.term)
		}
	}
	for i := range out {
		slices.SortFunc(out[i].Marks, func(a, b keepwell.Span) int { return cmp.Compare(a.Start, b.Start) })
	}
	return out
}

// shown is a foreign text as evidence holds it.
func shown(s string) string {
	const most = 1 << 10
	return present.Visible(cut(mask.Text(s), most), true)
}

// lower folds ASCII only: offsets stay, and no other script that we look for has cases.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// folded is an alert's name without case and joints: "redis_memory-high" is "RedisMemoryHigh".
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == '.' || r == ':' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// spaced parts the words of a name: "KubePodOOMKilled" is "Kube Pod OOM Killed".
func spaced(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_' || r == '-' || r == '.' || r == ':' || r == '/':
			r = ' '
		case i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// holds reports whether a folded text holds a term as whole words; a term that ends in
// "*" may go on. Terms of scripts without blanks stand anywhere.
func holds(text, term string) bool { return index(text, term) >= 0 }

func index(text, term string) int {
	term, open := strings.CutSuffix(term, "*")
	for from := 0; ; {
		i := strings.Index(text[from:], term)
		if i < 0 {
			return -1
		}
		start, end := from+i, from+i+len(term)
		before := isWord(term[0]) && start > 0 && isWord(text[start-1])
		after := !open && isWord(term[len(term)-1]) && end < len(text) && isWord(text[end])
		if !before && !after {
			return start
		}
		from = start + 1
	}
}

func isWord(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
