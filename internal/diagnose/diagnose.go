// Package diagnose decides: from the statements of a text, the fingerprints that
// match them and what the machine knows, it finds the faults, root cause first.
//
// Within a statement the innermost cause wins; across statements a fault that
// another brings about (the catalogue's depends_on) is its consequence; repeats
// are folded by (code, host, phase). Nothing here prints, reads a file or runs a
// tool. To add a rule that needs more than one statement's words (a build
// sandbox, a setting of the machine), see context.go.
package diagnose

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/explain"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/mask"
)

// maxGroups bounds what one input can make a Diagnosis remember.
const maxGroups = 400

// Diagnosis collects statements. Use [New]; it is not safe for concurrent use.
type Diagnosis struct {
	lib     *fingerprint.Library
	machine *Machine
	around  surroundings
	groups  map[groupKey]*group
	order   []*group
	seen    map[string]int
}

// groupKey folds repeats: one fault prints once per package.
type groupKey struct {
	code  keepwell.Code
	host  string
	phase string
}

// group is one fault, however often it stands in the text.
type group struct {
	key      groupKey
	entry    *fingerprint.Entry
	facts    keepwell.Facts
	evidence []keepwell.Evidence
	count    int
	quiet    bool
	// changed is the reason why context made another code of the entry's.
	changed    *keepwell.Evidence
	confidence float64
	rivals     []keepwell.Code
	severity   keepwell.Severity
	tool       string
	// attempts says that each of its statements only tells of a try that is repeated.
	attempts bool
	// last is the line on which the decisive words of the last of them end.
	last int
}

// New starts a diagnosis. machine is what is known of the machine that printed
// the text; nil where nothing is.
func New(lib *fingerprint.Library, machine *Machine) *Diagnosis {
	return &Diagnosis{lib: lib, machine: machine, groups: map[groupKey]*group{}, seen: map[string]int{}}
}

// Add takes the next statement of the text.
func (d *Diagnosis) Add(s *explain.Statement) {
	d.around.look(s)
	if s.OfProgram() {
		return
	}
	hits := d.hits(s)
	if !hasCause(hits) {
		if joined, ok := s.Unwrap(); ok {
			if more := d.hits(joined); hasCause(more) {
				s, hits = joined, more
			}
		}
	}
	if len(hits) == 0 || s.OfOther() {
		return
	}
	d.fold(s, decide(hits))
}

// hit is a fingerprint's hit with its place in the statement's whole text.
type hit struct {
	fingerprint.Hit
	remote bool
	at     keepwell.Span
}

func (d *Diagnosis) hits(s *explain.Statement) []hit {
	var all []hit
	for _, part := range []struct {
		text  string
		where fingerprint.Where
	}{{s.Local, fingerprint.Local}, {s.Remote, fingerprint.Remote}} {
		if part.text == "" {
			continue
		}
		for _, h := range d.lib.Match(part.text, lower(part.text), part.where, s.Needs) {
			all = append(all, hit{Hit: h, remote: part.where == fingerprint.Remote, at: locate(s.Text, part.text, h.Span)})
		}
	}
	return all
}

// lower folds ASCII only: it must not change offsets.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// locate finds a span of part, which is an excerpt of text, in text.
func locate(text, part string, span keepwell.Span) keepwell.Span {
	if text == part {
		return span
	}
	words := part[span.Start:span.End]
	if i := strings.Index(text, words); i >= 0 {
		return keepwell.Span{Start: i, End: i + len(words)}
	}
	first, _, _ := strings.Cut(words, "\n")
	if i := strings.Index(text, first); i >= 0 {
		return keepwell.Span{Start: i, End: i + len(first)}
	}
	return keepwell.Span{}
}

func hasCause(hits []hit) bool {
	return slices.ContainsFunc(hits, func(h hit) bool { return h.Entry.Tier == fingerprint.Cause })
}

// decide picks the hit that names the root cause of one statement: those that
// another outranks go first, then the inner tier wins, then the later words,
// since tools wrap an error from the left.
func decide(hits []hit) hit {
	left := slices.DeleteFunc(slices.Clone(hits), func(h hit) bool {
		return slices.ContainsFunc(hits, func(o hit) bool {
			return o.Entry.Code != h.Entry.Code && o.Entry.Outranks(h.Entry.Code) &&
				!(h.Entry.Outranks(o.Entry.Code) && h.Entry.Confidence >= o.Entry.Confidence)
		})
	})
	if len(left) == 0 {
		left = hits
	}
	return slices.MaxFunc(left, func(a, b hit) int {
		return cmp.Or(
			cmp.Compare(b.Entry.Tier, a.Entry.Tier),
			compareBool(!a.remote, !b.remote),
			cmp.Compare(a.at.End, b.at.End),
			cmp.Compare(a.Entry.Confidence, b.Entry.Confidence),
			cmp.Compare(b.Entry.ID, a.Entry.ID),
		)
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// fold puts a statement's decision into its group.
func (d *Diagnosis) fold(s *explain.Statement, h hit) {
	facts := s.Facts(h.at)
	around := ""
	if len(h.Facts) > 0 {
		around = mask.Text(linesAround(s.Text, h.at))
	}
	for name, value := range h.Facts {
		// A value that does not stand in the masked text is a piece of a secret, cut out
		// of what tells that it is one.
		if v := mask.Text(value); keepwell.ValidFact(name, v) && strings.Contains(around, v) {
			facts[name] = strings.Replace(v, "://"+mask.Secret+"@", "://", 1) // a masked login in a command would be sent
		}
	}
	if h.Entry.Phase != "" {
		facts["phase"] = h.Entry.Phase
	}
	key := groupKey{h.Entry.Code, facts["host"], facts["phase"]}
	g := d.groups[key]
	if g == nil {
		if len(d.groups) >= maxGroups {
			return
		}
		g = &group{
			key: key, entry: h.Entry, facts: facts, quiet: isQuiet(s), tool: toolOf(s),
			confidence: h.Entry.Confidence, rivals: h.Entry.Rivals, severity: h.Entry.Severity, attempts: true,
		}
		d.groups[key] = g
		d.order = append(d.order, g)
	}
	g.count++
	g.quiet = g.quiet && isQuiet(s)
	g.attempts = g.attempts && isAttempt(s, h)
	g.last = lineAt(s, h.at.End)
	if h.Entry.Tier < g.entry.Tier || h.Entry.Tier == g.entry.Tier && h.Entry.Confidence > g.confidence {
		g.entry, g.confidence, g.rivals, g.severity = h.Entry, h.Entry.Confidence, h.Entry.Rivals, h.Entry.Severity
	}
	if len(g.evidence) < 3 {
		g.evidence = append(g.evidence, evidence(s, h))
	}
}

// linesAround returns the whole lines on which span stands.
func linesAround(text string, span keepwell.Span) string {
	start := strings.LastIndexByte(text[:span.Start], '\n') + 1
	if end := strings.IndexByte(text[span.End:], '\n'); end >= 0 {
		return text[start : span.End+end]
	}
	return text[start:]
}

// toolOf names the tool that speaks in s. Go's words outrank those of the git
// that it runs; npm and pip are known by their own.
func toolOf(s *explain.Statement) string {
	switch has := func(n fingerprint.Needs) bool { return s.Needs()&n != 0 }; {
	case has(fingerprint.Npm) && !has(fingerprint.Go):
		return "npm"
	case has(fingerprint.Pip) && !has(fingerprint.Go):
		return "pip"
	case has(fingerprint.Go):
		return "go"
	case has(fingerprint.Git):
		return "git"
	}
	return ""
}

func isQuiet(s *explain.Statement) bool {
	for _, l := range s.Lines {
		if !l.Quiet {
			return false
		}
	}
	return true
}

// evidence is the lines of s that the decisive words stand on, with the words marked.
func evidence(s *explain.Statement, h hit) keepwell.Evidence {
	e := keepwell.Evidence{Source: "input"}
	if h.remote {
		e.Source = "server response"
	}
	pos := 0
	var text []string
	for _, l := range s.Lines {
		end := pos + len(l.Text)
		if end >= h.at.Start && pos < max(h.at.End, h.at.Start+1) && len(text) < 6 {
			if e.Line == 0 {
				e.Line = l.N
			}
			text = append(text, strings.TrimSpace(l.Text))
		}
		pos = end + 1
	}
	e.Text = clip(mask.Text(strings.Join(text, "\n")))
	for _, words := range strings.Split(s.Text[h.at.Start:h.at.End], "\n") {
		words = mask.Text(strings.TrimSpace(words))
		if i := strings.Index(e.Text, words); i >= 0 && words != "" {
			e.Marks = append(e.Marks, keepwell.Span{Start: i, End: i + len(words)})
		}
	}
	return e
}

// clip bounds a proof: nobody reads more.
func clip(s string) string {
	const most = 1200
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// Findings concludes: root cause first, consequences left out, hygiene last.
// Words are not filled in; see [faults.Describe].
func (d *Diagnosis) Findings() ([]keepwell.Finding, error) {
	groups := slices.Clone(d.order)
	for _, g := range groups {
		d.reconsider(g)
		if g.attempts && g.last < d.around.installed {
			g.severity = keepwell.SeverityInfo // a later try went well
		}
	}
	groups = dropWeak(refold(groups))
	entries := map[keepwell.Code]*faults.Fault{}
	for _, g := range groups {
		if entries[g.key.code] == nil {
			f, err := faults.Lookup(g.key.code)
			if err != nil {
				return nil, err
			}
			entries[g.key.code] = f
		}
	}
	groups = slices.DeleteFunc(groups, func(g *group) bool { return isConsequence(g, groups, entries) })
	findings := make([]keepwell.Finding, 0, len(groups))
	demoteHygiene(groups, entries)
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(
			cmp.Compare(severityOf(a, entries).Rank(), severityOf(b, entries).Rank()),
			compareBool(a.quiet, b.quiet),
			cmp.Compare(a.entry.Tier, b.entry.Tier),
		)
	})
	for _, g := range groups {
		findings = append(findings, g.finding(severityOf(g, entries)))
	}
	return findings, nil
}

func (g *group) finding(severity keepwell.Severity) keepwell.Finding {
	f := keepwell.Finding{
		Code: g.key.code, Severity: severity, Confidence: g.confidence, Tool: g.tool,
		Evidence: g.evidence, Facts: g.facts, Count: g.count,
	}
	if g.key.code == "net/refused" && isLoopback(cmp.Or(g.facts["address"], g.facts["host"])) {
		f.Owner = keepwell.OwnerYou // this machine said no, not the network
	}
	if g.changed != nil {
		f.Evidence = append(slices.Clone(f.Evidence), *g.changed)
	}
	for _, code := range g.rivals {
		if code != g.key.code && code != keepwell.None {
			f.Rivals = append(f.Rivals, keepwell.Rival{Code: code})
		}
	}
	return f
}

// refold folds what the surroundings made one fault: a sandbox without network
// refuses names and addresses alike.
func refold(groups []*group) []*group {
	type fault struct {
		code keepwell.Code
		host string
	}
	first := map[fault]*group{}
	return slices.DeleteFunc(groups, func(g *group) bool {
		if g.changed == nil {
			return false
		}
		key := fault{g.key.code, g.key.host}
		if f := first[key]; f != nil {
			f.count += g.count
			return true
		}
		first[key] = g
		return false
	})
}

// dropWeak leaves hints and wrappers out where something better is known.
func dropWeak(groups []*group) []*group {
	best := fingerprint.Weak
	for _, g := range groups {
		if g.severity != keepwell.SeverityInfo {
			best = min(best, g.entry.Tier)
		}
	}
	return slices.DeleteFunc(groups, func(g *group) bool {
		return g.entry.Tier == fingerprint.Weak && best < fingerprint.Weak
	})
}

// isConsequence reports whether another found fault brings g about.
func isConsequence(g *group, groups []*group, entries map[keepwell.Code]*faults.Fault) bool {
	return slices.ContainsFunc(groups, func(o *group) bool {
		if o == g || o.key.code == g.key.code || o.entry.Tier > g.entry.Tier || o.severity == keepwell.SeverityInfo {
			return false
		}
		return slices.Contains(entries[g.key.code].DependsOn, o.key.code) &&
			!slices.Contains(entries[o.key.code].DependsOn, g.key.code)
	})
}

func severityOf(g *group, entries map[keepwell.Code]*faults.Fault) keepwell.Severity {
	return cmp.Or(g.severity, entries[g.key.code].Severity)
}

// demoteHygiene makes info of warnings beside which something failed.
func demoteHygiene(groups []*group, entries map[keepwell.Code]*faults.Fault) {
	failed := slices.ContainsFunc(groups, func(g *group) bool { return severityOf(g, entries) == keepwell.SeverityError })
	for _, g := range groups {
		if failed && severityOf(g, entries) == keepwell.SeverityWarning {
			g.severity = keepwell.SeverityInfo
		}
	}
}

// Read diagnoses a whole text: it streams r through the library and concludes.
// machine may be nil; progress, if not nil, is told how many bytes have been read.
func Read(ctx context.Context, r io.Reader, lib *fingerprint.Library, machine *Machine, progress func(int64)) ([]keepwell.Finding, keepwell.Target, error) {
	d := New(lib, machine)
	repeats := newRepeats()
	target, err := explain.Read(ctx, r, lib, explain.Options{Progress: progress, Skip: repeats.skip}, d.Add)
	if err != nil {
		return nil, target, err
	}
	findings, err := d.Findings()
	return findings, target, err
}
