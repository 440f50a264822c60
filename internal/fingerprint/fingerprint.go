// Package fingerprint recognises faults in text: a library of entries, each
// tying words that tools print to a fault code, and a matcher.
//
// The library is written in library/*.yaml (schema.json describes the format;
// Source reads it) and compiled by `go generate` into tables that cost nothing
// at start: an entry's expression is compiled when one of its anchors stands in
// the text. The package knows nothing of tools, files or languages, and does not
// decide: which of several matches is the root cause is the business of
// internal/diagnose. To add a fingerprint, add an entry with two texts that it
// must match to the family's file and run `go generate ./internal/fingerprint`.
package fingerprint

//go:generate go run ./gen

import (
	"regexp"
	"sync"

	"github.com/keepwell/keepwell"
)

// Tier says how far inside the failure the words of an entry stand.
type Tier uint8

// The tiers, innermost first. A match of an outer tier never wins over one of
// an inner tier in the same statement.
const (
	Cause Tier = iota // names the cause itself
	Outer             // a wrapper around causes ("unrecognized import path"): decides only alone
	Weak              // a hint that needs everything else to be silent
)

// Where says in which part of a statement an entry may match.
type Where uint8

// The parts of a statement.
const (
	Local  Where = iota // what the tool on this machine says
	Remote              // what a server said, quoted after "server response:"
	Any
)

// Needs are facts of the surrounding statement without which an entry is mute.
type Needs uint16

// The needs. Words such as "connection refused" mean a dependency fault only
// where something is being fetched.
const (
	Fetch  Needs = 1 << iota // the statement speaks of fetching a dependency
	Go                       // the go command speaks
	Npm                      // npm, yarn, pnpm or bun speaks
	Pip                      // pip, pipenv, poetry, uv or conda speaks
	Git                      // git or ssh speaks
	Sumdb                    // the request went to a checksum database
	Public                   // the server asked is a well-known public one
	Pathed                   // the compiler's position lies in the module cache or vendor tree
)

// Entry is one compiled fingerprint.
type Entry struct {
	ID   string
	Code keepwell.Code
	// Anchors are lower-case literals; one of them must stand in the text before
	// Pattern is tried.
	Anchors []string
	// Pattern is an RE2 expression with flags (?im) on; its named groups become
	// facts. Empty: the anchor alone decides.
	Pattern string
	// Unless lists expressions that forbid the match when they match the statement.
	Unless []string
	// Needs must all hold for the statement.
	Needs Needs
	Where Where
	Tier  Tier
	// Confidence that Code is right when the entry decides.
	Confidence float64
	// Over lists codes and families ("net/*") that this entry outranks within
	// the same statement.
	Over []keepwell.Code
	// Rivals are codes that print the same words.
	Rivals []keepwell.Code
	// Severity overrides the catalogue's; empty: as the catalogue says.
	Severity keepwell.Severity
	// Phase is the fetch phase in which this happens; empty: as read from the text.
	Phase string

	compiled func() compiled
}

type compiled struct {
	pattern *regexp.Regexp
	unless  []*regexp.Regexp
}

// Hit is an entry that matched.
type Hit struct {
	Entry *Entry
	// Span are the matched bytes of the text given to [Library.Match].
	Span keepwell.Span
	// Facts are the named groups that took part.
	Facts keepwell.Facts
}

// Library is a set of entries, safe for concurrent use.
type Library struct {
	entries []*Entry
	automaton
}

// New makes a library of entries. Expressions are compiled when first needed;
// one that does not compile panics then, which [Source]'s check rules out for
// the shipped library.
func New(entries []Entry) *Library {
	l := &Library{entries: make([]*Entry, len(entries))}
	for i := range entries {
		e := &entries[i]
		e.compiled = sync.OnceValue(e.compile)
		l.entries[i] = e
	}
	return l
}

// Default is the library that keepwell ships.
var Default = sync.OnceValue(func() *Library { return New(Shipped()) })

// Entries returns the entries, which must not be changed.
func (l *Library) Entries() []*Entry { return l.entries }

func (e *Entry) compile() compiled {
	var c compiled
	if e.Pattern != "" {
		c.pattern = regexp.MustCompile("(?im)" + e.Pattern)
	}
	for _, u := range e.Unless {
		c.unless = append(c.unless, regexp.MustCompile("(?im)"+u))
	}
	return c
}

// Match returns the hits of all entries for the given part in text, which is one
// statement. lower is text in lower case (ASCII folding is enough); have tells the
// needs that the statement meets, and is asked only when an entry has any.
func (l *Library) Match(text, lower string, part Where, have func() Needs) []Hit {
	var hits []Hit
	for i, anchor := range l.candidates(lower) {
		e := l.entries[i]
		if anchor.Start < 0 || e.Where != Any && e.Where != part || e.Needs != 0 && e.Needs&^have() != 0 {
			continue
		}
		if hit, ok := e.match(text, anchor); ok {
			hits = append(hits, hit)
		}
	}
	return hits
}

func (e *Entry) match(text string, anchor keepwell.Span) (Hit, bool) {
	hit := Hit{Entry: e, Span: anchor}
	c := e.compiled()
	if c.pattern != nil {
		m := c.pattern.FindStringSubmatchIndex(text)
		if m == nil {
			return Hit{}, false
		}
		hit.Span = keepwell.Span{Start: m[0], End: m[1]}
		for i, name := range c.pattern.SubexpNames() {
			if name != "" && m[2*i] >= 0 && m[2*i] < m[2*i+1] {
				if hit.Facts == nil {
					hit.Facts = keepwell.Facts{}
				}
				hit.Facts[name] = text[m[2*i]:m[2*i+1]]
			}
		}
	}
	for _, u := range c.unless {
		if u.MatchString(text) {
			return Hit{}, false
		}
	}
	return hit, true
}

// Outranks reports whether e's Over list names code or its family.
func (e *Entry) Outranks(code keepwell.Code) bool {
	for _, o := range e.Over {
		if o == code || o.Name() == "*" && o.Family() == code.Family() {
			return true
		}
	}
	return false
}
