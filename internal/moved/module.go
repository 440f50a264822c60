package moved

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// findModule is the flow for modules of Go.
func (f *finder) findModule(ctx context.Context) {
	f.path, f.version = spelling.Clean(f.q.Path), asVersion(f.q.Version)
	f.guesses = spelling.Paths(f.path, f.Here.known)
	f.sayGuesses()
	route := Route{}
	if f.Route != nil {
		route = f.Route(f.path)
	}
	unnamed := slices.ContainsFunc(f.guesses, func(g spelling.Guess) bool { return g.What == spelling.NoHost })
	switch {
	case !route.Private.IsZero() && !unnamed:
		f.report.Private = route.Private
		f.say(Registered, msg.Because("moved.private", f.path, route.Private))
		f.offline()
		return
	case module.CheckPath(f.path) != nil: // nobody could be asked for it
		f.missing(ctx, Route{})
		return
	case len(route.Proxies) == 0 && route.Code:
		f.say(Registered, msg.Because("moved.registry.none"))
		f.missing(ctx, route)
		return
	}
	l := f.list(ctx, f.path)
	switch l.standing {
	case known:
		f.report.Known = true
		f.say(Registered, msg.Because("moved.registry.known", l.proxy.Host, f.path, l.newest()))
		f.there(ctx, l, route)
	case absent:
		if mod := f.unlisted(ctx, l); mod != "" {
			f.report.Known = true
			f.say(Registered, msg.Because("moved.registry.known", l.proxy.Host, f.path, f.version))
			f.say(Migration, msg.Because("moved.gomod", f.version, mod))
			if mod != f.path {
				f.declared(ctx, f.version, mod)
			}
			return
		}
		f.report.Lost = true
		f.say(Registered, msg.Because("moved.registry.absent", l.proxy.Host, f.path))
		f.missing(ctx, route)
	default:
		if l.proxy != nil {
			f.unsaid(l.proxy.Host, l.status, "go list -m -versions "+f.path)
		} else {
			f.say(Registered, msg.Because("moved.registry.none"))
		}
		f.offline()
	}
}

// unlisted is what the go.mod of the version asked calls the module, where a registry has
// that version and lists none: commits of a module that was never released. "" where it
// has not.
func (f *finder) unlisted(ctx context.Context, l listing) string {
	if l.status/100 != 2 || !exact(f.version) || f.q.Path != f.path {
		return ""
	}
	mod := f.goMod(ctx, l, f.path, f.version)
	if mod == nil {
		return ""
	}
	return mod.Module.Mod.Path
}

// unsaid tells that a registry does not say whether it has a name, and what asks it with
// the user's login where it may want one: that of .npmrc, netrc or a keyring is the
// tool's to send.
func (f *finder) unsaid(host string, status int, command string) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		f.say(Registered, msg.Because("moved.registry.login", host, int64(status), command))
		return
	}
	f.say(Registered, msg.Because("moved.registry.open", host))
}

func (f *finder) sayGuesses() {
	if len(f.guesses) == 0 {
		f.say(Spelling, msg.Because("moved.spelling.none"))
		return
	}
	var names []string
	for _, g := range f.guesses[:min(len(f.guesses), 3)] {
		names = append(names, g.Path)
	}
	f.say(Spelling, msg.Because("moved.spelling.near", strings.Join(names, ", ")))
}

// sureOf is how sure a guess is by itself.
func sureOf(g spelling.Guess) float64 {
	base := map[spelling.Source]float64{spelling.Required: 0.97, spelling.Summed: 0.96, spelling.WellKnown: 0.97, spelling.Cached: 0.92, spelling.OnlyHost: 0.93}[g.From]
	return base - 0.04*g.Cost
}

// kindOf is what a guess means.
func kindOf(g spelling.Guess) (Kind, Mend) {
	switch g.What {
	case spelling.InCase:
		return Case, UpdatePath
	case spelling.InMajor:
		return Major, UpdatePath
	case spelling.Within:
		return Nested, GetOther
	}
	return Typo, UpdatePath
}

// because is the reason of a guess.
func because(g spelling.Guess) msg.Reason {
	from := map[spelling.Source]msg.Word{
		spelling.Required: "moved.from.required", spelling.Summed: "moved.from.summed", spelling.WellKnown: "moved.from.known",
		spelling.Cached: "moved.from.cached", spelling.OnlyHost: "moved.from.host",
	}[g.From]
	switch g.What {
	case spelling.InCase:
		return msg.Because("moved.because.case", g.Path, from)
	case spelling.InMajor:
		return msg.Because("moved.because.major", g.Path)
	case spelling.Within:
		return msg.Because("moved.because.within", g.Typed, g.Path)
	case spelling.NoHost:
		return msg.Because("moved.because.nohost", g.Path, from)
	case spelling.InHost:
		return msg.Because("moved.because.host", g.Path, from)
	}
	return msg.Because("moved.because.letters", g.Path, from)
}

// source is a guess as evidence.
func (f *finder) source(g spelling.Guess) keepwell.Evidence {
	name := map[spelling.Source]string{
		spelling.Required: "go.mod: ", spelling.Summed: "go.sum: ", spelling.Cached: "GOMODCACHE: ",
	}[g.From]
	switch f.q.Ecosystem {
	case Npm:
		name = map[spelling.Source]string{spelling.Required: "package.json: ", spelling.Summed: "package-lock.json: "}[g.From]
	case PyPI:
		name = map[spelling.Source]string{spelling.Required: "requirements: ", spelling.Summed: "requirements: "}[g.From]
	}
	return keepwell.Evidence{Source: "environment", Text: mask.Text(name + g.Typed + " ~ " + g.Path)}
}

// offline proposes what is known here, without a word of a registry.
func (f *finder) offline() {
	if to, ok := successor(f.path); ok {
		f.propose(Proposal{Kind: Renamed, To: to, Mend: UpdatePath, Confidence: 0.8, Reason: msg.Because("moved.because.successor", f.path, to), Evidence: []keepwell.Evidence{{Source: "environment", Text: f.path + " -> " + to}}})
	}
	for _, g := range f.guesses {
		if g.From == spelling.OnlyHost {
			continue // whether that is there, nobody here knows
		}
		kind, mend := kindOf(g)
		p := Proposal{
			Kind: kind, From: f.from(g), To: g.Path, Version: f.versionHere(g.Path), Mend: mend, Confidence: sureOf(g) - 0.1,
			Reason: because(g), Evidence: []keepwell.Evidence{f.source(g)},
		}
		f.careful(&p, g)
		f.propose(p)
	}
}

// from is what a guess stands for, as it was typed.
func (f *finder) from(g spelling.Guess) string {
	if g.Typed == f.path {
		return f.q.Path
	}
	return g.Typed
}

// versionHere is the version of a path that is known here: the one asked, else the one
// required.
func (f *finder) versionHere(path string) string {
	all := slices.Concat(versionsOf(f.Here.Required, path), versionsOf(f.Here.Summed, path), versionsOf(f.Here.Cached, path))
	switch {
	case slices.Contains(all, f.version):
		return f.version
	case len(all) > 0:
		return all[0]
	}
	return ""
}

// careful says what to look at before a guess is taken.
func (f *finder) careful(p *Proposal, g spelling.Guess) {
	if g.From == spelling.Cached && spelling.Squats(g.Path, f.Here.known) {
		p.Confidence -= 0.4
		p.Caution = msg.Because("moved.caution.squat", g.Path)
	}
}

// candidate is a path that is still to be asked for.
type candidate struct {
	p    Proposal
	dir  string // the package that it must have; empty: none
	keep bool   // whatever the registry says
}

// candidates are the paths to ask for in place of one that the registry has not got.
func (f *finder) candidates() []candidate {
	var out []candidate
	add := func(c candidate) {
		if c.p.To != f.path && module.CheckPath(c.p.To) == nil && !slices.ContainsFunc(out, func(o candidate) bool { return o.p.To == c.p.To }) {
			out = append(out, c)
		}
	}
	said := func(text string) []keepwell.Evidence {
		return []keepwell.Evidence{{Source: "environment", Text: mask.Text(text)}}
	}
	if f.q.Path != f.path {
		add(candidate{p: Proposal{Kind: Typo, To: f.path, Mend: UpdatePath, Confidence: 0.95, Reason: msg.Because("moved.because.pasted", f.path), Evidence: said(f.q.Path)}})
	}
	if to, ok := successor(f.path); ok {
		add(candidate{p: Proposal{Kind: renamedOrCase(f.path, to), To: to, Mend: UpdatePath, Confidence: 0.97, Reason: msg.Because("moved.because.successor", f.path, to), Evidence: said(f.path + " -> " + to)}})
	}
	for _, g := range f.guesses {
		kind, mend := kindOf(g)
		c := candidate{keep: g.From == spelling.Required, p: Proposal{Kind: kind, From: f.from(g), To: g.Path, Mend: mend, Confidence: sureOf(g), Reason: because(g), Evidence: []keepwell.Evidence{f.source(g)}}}
		if g.What == spelling.Within {
			c.dir, c.keep = strings.TrimPrefix(f.path, g.Path+"/"), false
		}
		f.careful(&c.p, g)
		add(c)
	}
	for _, to := range f.majors() {
		add(candidate{p: Proposal{Kind: Major, To: to, Mend: UpdatePath, Confidence: 0.93, Reason: msg.Because("moved.because.major", to), Evidence: said(f.path + " ~ " + to)}})
	}
	if to := lowered(f.path); to != f.path {
		add(candidate{p: Proposal{Kind: Case, To: to, Mend: UpdatePath, Confidence: 0.93, Reason: msg.Because("moved.because.lower", to), Evidence: said(f.path + " ~ " + to)}})
	}
	for _, to := range parents(f.path) {
		add(candidate{
			p:   Proposal{Kind: Nested, To: to, Mend: GetOther, Confidence: 0.94, Reason: msg.Because("moved.because.within", f.path, to), Evidence: said(f.path)},
			dir: strings.TrimPrefix(f.path, to+"/"),
		})
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.p.Confidence, a.p.Confidence) })
	return out
}

// successor is where the well-known owner of a path has taken it.
func successor(path string) (string, bool) {
	if to, ok := spelling.Successors()[path]; ok {
		return to, true
	}
	to, ok := spelling.Successors()[spelling.Base(path)]
	return to, ok && to != path
}

func renamedOrCase(from, to string) Kind {
	if strings.EqualFold(from, to) {
		return Case
	}
	return Renamed
}

// lowered is a path of a forge in small letters.
func lowered(path string) string {
	if host, rest, ok := strings.Cut(path, "/"); ok && forge(host) {
		return host + "/" + strings.ToLower(rest)
	}
	return path
}

// forge tells hosts where host/owner/name is a repository.
func forge(host string) bool {
	return slices.Contains([]string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitee.com", "gitea.com"}, host)
}

// majors are the paths of the same module for the major version that was asked.
func (f *finder) majors() []string {
	base := spelling.Base(f.path)
	n := 0
	if semver.IsValid(f.version) {
		n = majorOf(f.version)
	}
	switch {
	case strings.HasPrefix(base, "gopkg.in/"):
		if n > 0 {
			return []string{base + ".v" + strconv.Itoa(n)}
		}
		var out []string
		for _, m := range slices.Backward(spelling.Modules()) {
			if spelling.Base(m) == base {
				out = append(out, m)
			}
		}
		return append(out, base+".v1")
	case n > 1 && !strings.Contains(f.version, "+incompatible"):
		return []string{base + "/v" + strconv.Itoa(n), base}
	}
	return []string{base}
}

// parents are the modules of which a path may be a package: the repository first, where
// it can be told, else what is one and two directories up.
func parents(path string) []string {
	e := strings.Split(path, "/")
	var out []string
	if forge(e[0]) {
		if len(e) <= 3 {
			return nil
		}
		root := strings.Join(e[:3], "/")
		if v := e[3]; len(e) > 4 && len(v) > 1 && v[0] == 'v' && strings.Trim(v[1:], "0123456789") == "" {
			out = append(out, root+"/"+v)
		}
		return append(out, root)
	}
	for n := len(e) - 1; n >= 2 && len(out) < 2; n-- {
		out = append(out, strings.Join(e[:n], "/"))
	}
	return out
}

// mostCandidates bounds how many other paths the registry is asked for.
const mostCandidates = 4

// missing looks for what is meant by a path that the registry has not got.
func (f *finder) missing(ctx context.Context, route Route) {
	asked := 0
	for _, c := range f.candidates() {
		if asked == mostCandidates || f.spent > MaxRequests-3 {
			break
		}
		asked++
		if f.confirm(ctx, c, route) && c.p.Confidence >= 0.85 {
			return
		}
	}
	if !route.Code {
		f.lost(nil)
		return
	}
	f.place(ctx, listing{})
}

// confirm asks the registry for a candidate and proposes it where it is there.
func (f *finder) confirm(ctx context.Context, c candidate, route Route) bool {
	l := f.list(ctx, c.p.To)
	p := c.p
	switch {
	case l.standing == known:
		p.Version = choose(l, f.q.Version)
		p.Evidence = append(p.Evidence, l.shown(p.To))
		if c.dir != "" {
			has, sure := f.contains(ctx, l, p.To, p.Version, c.dir)
			if sure && !has {
				f.say(Registered, msg.Because("moved.within.not", p.To, c.dir))
				return false
			}
			if !sure {
				p.Confidence -= 0.2
			}
		}
		if f.version != "" && semver.IsValid(f.version) && p.Version != f.version {
			p.Confidence -= 0.04
		}
	case l.standing == absent && !c.keep:
		return false
	default:
		p.Confidence -= 0.1
		p.Version = f.versionHere(p.To)
		if c.dir != "" || c.p.Kind == Major {
			return false // without the registry, that is no more than an idea
		}
		if len(route.Proxies) == 0 && route.Code && l.standing == open && !c.keep {
			if pl := f.look(ctx, p.To); pl.state != alive {
				return false
			}
		}
	}
	f.say(Registered, msg.Because("moved.registry.instead", p.To, cmp.Or(p.Version, "-")))
	f.propose(p)
	return true
}

// choose is the version of another path for the one that was asked.
func choose(l listing, asked string) string {
	want := asVersion(asked)
	if asked == "" || !semver.IsValid(want) {
		return l.newest()
	}
	if l.has(want) {
		return want
	}
	return cmp.Or(nearest(l.versions, asked, func(string) bool { return false }), l.newest())
}

// there looks at a module that the registry has: its version, what its go.mod says, its
// place.
func (f *finder) there(ctx context.Context, l listing, route Route) {
	lacking := f.lacksVersion(ctx, l)
	if f.q.Path != f.path {
		f.propose(Proposal{Kind: Typo, To: f.path, Version: choose(l, f.q.Version), Mend: UpdatePath, Confidence: 0.95, Reason: msg.Because("moved.because.pasted", f.path), Evidence: []keepwell.Evidence{l.shown(f.path)}})
		return
	}
	if slices.ContainsFunc(f.report.Proposals, func(p Proposal) bool { return p.Confidence >= 0.95 }) {
		return
	}
	if to := f.q.Declares; to != "" && to != f.path && module.CheckPath(to) == nil {
		f.say(Migration, msg.Because("moved.gomod", f.version, to))
		f.declared(ctx, f.version, to)
		return
	}
	newest := l.newest()
	if l.mixed() && l.latest == "" {
		newest = l.compatible()
	}
	mod := f.goMod(ctx, l, f.path, newest)
	retracted := func(v string) (string, bool) { return retraction(mod, v) }
	if mod != nil {
		f.say(Migration, msg.Because("moved.gomod", newest, mod.Module.Mod.Path))
		if declared := mod.Module.Mod.Path; declared != f.path {
			f.declared(ctx, newest, declared)
			return
		}
	}
	if why, ok := retracted(f.version); ok && exact(f.version) {
		if v := successorOf(l, f.version, retracted); v != "" {
			f.propose(Proposal{
				Kind: Retracted, To: f.path, Version: v, Mend: UpdateVersion, Confidence: 0.94, Reason: msg.Because("moved.because.retracted", f.version, v),
				Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text("retract " + f.version + " // " + why)}, l.shown(f.path)},
			})
			lacking = false
		}
	}
	if lacking {
		f.otherVersion(ctx, l, func(v string) bool { _, ok := retracted(v); return ok })
	}
	if mod != nil && mod.Module.Deprecated != "" {
		f.deprecated(ctx, l, mod.Module.Deprecated)
	}
	f.lookalike()
	if route.Code && (lacking || len(f.report.Proposals) > 0) {
		f.place(ctx, l)
	}
}

// lookalike warns of a name that exists and is nearly a trusted one: it may be a trap.
func (f *finder) lookalike() {
	for _, g := range f.guesses {
		if (g.What == spelling.Letters || g.What == spelling.InHost) && g.From <= spelling.WellKnown && g.Cost <= 1 && g.Typed == f.path {
			f.propose(Proposal{
				Kind: Typo, To: g.Path, Version: f.versionHere(g.Path), Mend: UpdatePath, Confidence: 0.6, Reason: because(g),
				Evidence: []keepwell.Evidence{f.source(g)}, Caution: msg.Because("moved.caution.lookalike", f.path, g.Path),
			})
			return
		}
	}
}

// lacksVersion reports whether the version asked is none, and proposes what is certain.
func (f *finder) lacksVersion(ctx context.Context, l listing) bool {
	if f.q.Version == "" || !semver.IsValid(f.version) {
		if f.q.Version != "" && f.q.Version != "latest" {
			yes, sure := f.exists(ctx, l, f.path, f.q.Version) // a branch or commit
			return sure && !yes
		}
		return false
	}
	version := func(v string, confidence float64, why msg.Reason) {
		f.propose(Proposal{Kind: Version, To: f.path, Version: v, Mend: UpdateVersion, Confidence: confidence, Reason: why, Evidence: []keepwell.Evidence{l.shown(f.path)}})
	}
	switch {
	case l.has(f.version) && f.version != f.q.Version:
		version(f.version, 0.97, msg.Because("moved.because.spelt", f.q.Version, f.version))
		return false
	case l.has(f.version):
		f.say(Versions, msg.Because("moved.version.there", f.version))
		return false
	case l.has(f.version + "+incompatible"):
		version(f.version+"+incompatible", 0.96, msg.Because("moved.because.incompatible", f.q.Version, f.version+"+incompatible"))
		return false
	}
	if !exact(f.version) { // v1.2 asks for the newest of its kind
		return nearest(l.versions, f.version, func(string) bool { return false }) == ""
	}
	if module.CheckPathMajor(f.version, majorSuffix(f.path)) != nil {
		f.say(Versions, msg.Because("moved.version.major", f.version, f.path))
		f.otherMajor(ctx)
		return true
	}
	yes, sure := f.exists(ctx, l, f.path, f.version)
	if yes || !sure {
		f.say(Versions, msg.Because("moved.version.there", f.version))
		return false
	}
	f.say(Versions, msg.Because("moved.version.none", f.version, l.newest()))
	return true
}

func majorSuffix(path string) string { return strings.TrimPrefix(path, spelling.Base(path)) }

// otherMajor looks for a version under the path that its major number needs.
func (f *finder) otherMajor(ctx context.Context) {
	for _, to := range f.majors() {
		if to == f.path || module.CheckPath(to) != nil || module.CheckPathMajor(f.version, majorSuffix(to)) != nil {
			continue
		}
		l := f.list(ctx, to)
		if l.standing != known {
			continue
		}
		p := Proposal{Kind: Major, To: to, Version: choose(l, f.q.Version), Mend: UpdatePath, Confidence: 0.96, Reason: msg.Because("moved.because.major", to), Evidence: []keepwell.Evidence{l.shown(to)}}
		if p.Version != f.version {
			p.Confidence = 0.85
		}
		f.propose(p)
		return
	}
}

// otherVersion proposes a version that there is.
func (f *finder) otherVersion(ctx context.Context, l listing, retracted func(string) bool) {
	if len(l.versions) == 0 {
		f.untagged(ctx, l)
		return
	}
	v := nearest(l.versions, f.q.Version, retracted)
	if v == "" {
		return
	}
	p := Proposal{Kind: Version, To: f.path, Version: v, Mend: UpdateVersion, Confidence: 0.93, Reason: msg.Because("moved.because.version", f.q.Version, v), Evidence: []keepwell.Evidence{l.shown(f.path)}}
	if module.IsPseudoVersion(f.version) {
		p.Reason = msg.Because("moved.because.commit", f.q.Version, v)
		p.Confidence = 0.9
	}
	f.propose(p)
	if newest := l.newest(); newest != v && !retracted(newest) && majorOf(newest) == majorOf(v) {
		p.Version, p.Confidence, p.Reason = newest, 0.6, msg.Because("moved.because.newest", newest)
		f.propose(p)
	}
}

// untagged handles a module that has no released version: in a subdirectory its tags may
// lack their prefix.
func (f *finder) untagged(ctx context.Context, l listing) {
	if l.latest == "" {
		return
	}
	p := Proposal{Kind: Version, To: f.path, Version: l.latest, Mend: UpdateVersion, Confidence: 0.88, Reason: msg.Because("moved.because.untagged", f.q.Version, l.latest), Evidence: []keepwell.Evidence{l.shown(f.path)}}
	if l.latest == f.version {
		return
	}
	for _, parent := range parents(f.path) {
		up := f.list(ctx, parent)
		if up.standing != known || !up.has(f.version) {
			continue
		}
		dir := strings.TrimPrefix(f.path, parent+"/")
		p.Kind, p.Confidence, p.Reason = Nested, 0.94, msg.Because("moved.because.prefix", f.version, dir, l.latest)
		p.Evidence = append(p.Evidence, up.shown(parent))
		f.propose(Proposal{
			Kind: Nested, Mend: AskOwner, Confidence: 0.5, Reason: msg.Because("moved.because.tag", f.report.Owner.Name, dir+"/"+f.version),
			Evidence: p.Evidence,
		})
		break
	}
	f.propose(p)
}

// retraction is why a version was taken back.
func retraction(mod *modfile.File, v string) (why string, ok bool) {
	if mod == nil || !semver.IsValid(v) {
		return "", false
	}
	for _, r := range mod.Retract {
		if semver.Compare(r.Low, v) <= 0 && semver.Compare(v, r.High) <= 0 {
			return r.Rationale, true
		}
	}
	return "", false
}

// successorOf is the first version after one that was taken back, else the last before.
func successorOf(l listing, v string, retracted func(string) (string, bool)) string {
	before := ""
	for _, o := range l.versions {
		if _, bad := retracted(o); bad || semver.Prerelease(o) != "" || majorOf(o) != majorOf(v) {
			continue
		}
		if semver.Compare(o, v) > 0 {
			return o
		}
		before = o
	}
	return before
}

var modulePath = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:https?://)?((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?:/[A-Za-z0-9_~][A-Za-z0-9._~-]*)+)`)
})

// deprecated reads which module the author names in place of this one.
func (f *finder) deprecated(ctx context.Context, l listing, text string) {
	shown := keepwell.Evidence{Source: "probe", Text: mask.Text("// Deprecated: " + oneLine(text))}
	for _, m := range modulePath().FindAllStringSubmatch(text[:min(len(text), 2000)], 8) {
		to := strings.TrimRight(spelling.Clean(strings.TrimRight(m[1], ".")), ".")
		if to == f.path || module.CheckPath(to) != nil {
			continue
		}
		for _, to := range append([]string{to}, parents(to)...) {
			next := f.list(ctx, to)
			if next.standing == absent {
				continue
			}
			p := Proposal{
				Kind: Deprecated, To: to, Version: next.newest(), Mend: UpdatePath, Confidence: 0.88, Reason: msg.Because("moved.because.deprecated", to),
				Evidence: []keepwell.Evidence{shown, next.shown(to)}, Caution: msg.Because("moved.caution.other", to),
			}
			if next.standing != known {
				p.Confidence = 0.6
			}
			f.say(Migration, msg.Because("moved.deprecated", oneLine(text)))
			f.propose(p)
			return
		}
	}
	f.say(Migration, msg.Because("moved.deprecated", oneLine(text)))
	f.propose(Proposal{Kind: Deprecated, Mend: MarkAbandoned, Confidence: 0.4, Reason: msg.Because("moved.because.abandoned", f.path), Evidence: []keepwell.Evidence{shown, l.shown(f.path)}})
}

// oneLine is foreign text as it may stand in a sentence.
func oneLine(text string) string {
	text = mask.Text(strings.Join(strings.Fields(text), " "))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
