package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/rewrite"
)

// successors plans what may take the place of names that cannot be fetched: for each
// name the best proposal that can be carried out here, and those that the user agreed
// to by name.
func (f *fixing) successors(ctx context.Context, c *doctor.Case, r doctor.Report, tried []string) [][]*planned {
	var out [][]*planned
	byName := map[string][]moved.Proposal{}
	var names []string
	for _, p := range f.proposals(ctx, c, r) {
		key := string(p.Ecosystem) + ":" + p.From
		if byName[key] == nil {
			names = append(names, key)
		}
		byName[key] = append(byName[key], p)
	}
	for _, name := range names {
		var list []*planned
		var why error
		for _, p := range byName[name] {
			if len(list) > 0 && !f.namedByUser(p) {
				continue
			}
			mends, err := doctor.MendsOf(ctx, c, p)
			if why == nil {
				why = err
			}
			list = append(list, previewed(ctx, "", mends, tried)...)
		}
		if i := slices.IndexFunc(list, func(p *planned) bool { return slices.Contains(f.o.fix.consent, p.mend.Name()) }); i > 0 {
			list[0], list[i] = list[i], list[0]
		}
		if len(list) == 0 {
			f.cannot(byName[name][0], why)
			continue
		}
		list[0].others = list[1:]
		out = append(out, list[:1])
	}
	return out
}

// namedByUser reports whether a consent may be about a proposal.
func (f *fixing) namedByUser(p moved.Proposal) bool {
	return slices.ContainsFunc(f.o.fix.consent, func(name string) bool { return strings.Contains(name, p.From+"="+p.To) })
}

// cannot says why a proposal is none for this project.
func (f *fixing) cannot(p moved.Proposal, why error) {
	if why == nil || f.toldCannot || present.Format(f.a.format) != present.Text {
		return
	}
	f.toldCannot = true // once is enough
	key, args := "doctor.fix.cannot", []any{p.From, strings.TrimSpace(p.To + " " + p.Version), mask.Text(why.Error())}
	if errors.Is(why, rewrite.ErrNothing) {
		key, args = "doctor.fix.unnamed", []any{p.From}
	}
	fmt.Fprintln(f.a.errs, present.Visible(msg.Text(f.a.lang, key, args...), true))
}

// proposals are what --to names, or what a search for the names finds.
func (f *fixing) proposals(ctx context.Context, c *doctor.Case, r doctor.Report) []moved.Proposal {
	if f.o.fix.to == "" {
		return foundProposals(ctx, f.a, c, r)
	}
	if len(f.all) > 0 || len(c.Asked) != 1 { // once
		return nil
	}
	from := c.Asked[0]
	p := moved.Proposal{
		Ecosystem: moved.Ecosystem(from.Ecosystem), Kind: moved.Renamed, From: from.Path, FromVersion: from.Version, Confidence: 1, Mend: moved.UpdatePath,
		Reason: msg.Because("doctor.fix.asked"), Evidence: []keepwell.Evidence{{Source: "input", Text: "--to " + f.o.fix.to}},
	}
	p.To, p.Version = cutVersion(from.Ecosystem, f.o.fix.to)
	if p.To == p.From {
		p.Kind, p.Mend = moved.Version, moved.UpdateVersion
	}
	return []moved.Proposal{p}
}

// cutVersion parts PATH@VERSION, or NAME==VERSION.
func cutVersion(eco doctor.Ecosystem, text string) (path, version string) {
	if eco == doctor.PyPI {
		path, version, _ = strings.Cut(text, "==")
		return path, version
	}
	if i := strings.LastIndex(text, "@"); i > 0 {
		if path, version = text[:i], text[i+1:]; version == "latest" { // go is asked for that where none is named
			version = ""
		}
		return path, version
	}
	return text, ""
}

// checkTo holds --to to what it must be.
func (o doctorOptions) checkTo() error {
	if o.fix.to == "" {
		return nil
	}
	bad := &failure{exit: exitUsage, key: "err.doctor.to", args: []any{mask.Text(o.fix.to)}, hint: "hint.doctor.to"}
	if !o.fix.fix || len(o.asked) != 1 {
		return bad
	}
	s, err := subject(o.asked[0])
	if err != nil {
		return err
	}
	path, version := cutVersion(s.Ecosystem, o.fix.to)
	switch {
	case s.Ecosystem == doctor.Go:
		if module.CheckImportPath(path) != nil || version != "" && (!semver.IsValid(version) || semver.Canonical(version) != strings.TrimSuffix(version, "+incompatible")) {
			return bad
		}
	case !keepwell.ValidFact("package", path) || version != "" && !keepwell.ValidFact("version", version):
		return bad
	}
	return nil
}

// agreedExactly reports whether the user named this very replacement.
func (f *fixing) agreedExactly(p *planned) bool {
	return slices.Contains(f.o.fix.consent, p.mend.Name()) ||
		f.o.fix.yes && p.mend.Now != nil && p.mend.Now.Version != "" && f.o.fix.to == p.mend.Now.String()
}

// askAbout makes the next look one at what has taken the place of what was asked.
func (f *fixing) askAbout(list []*planned) {
	f.o.asked = slices.Clone(f.o.asked)
	for _, p := range list {
		if p.state != mendDone || p.mend.Now == nil {
			continue
		}
		for i, asked := range f.o.asked {
			if s, err := subject(asked); err == nil && s.Path == p.mend.Was {
				f.o.asked[i] = typed(*p.mend.Now)
			}
		}
	}
}

// typed is a subject as one types it for doctor.
func typed(s doctor.Subject) string {
	switch s.Ecosystem {
	case doctor.Npm:
		return "npm:" + s.String()
	case doctor.PyPI:
		return "pypi:" + s.String()
	}
	return s.String()
}

// mostDiff bounds the lines of a difference that are shown.
const mostDiff = 200

// showDiff is a difference for people, cut where nobody would read on.
func (f *fixing) showDiff(c act.Change) error {
	lines := strings.SplitAfter(c.Diff, "\n")
	shownLines := strings.Join(lines[:min(len(lines), mostDiff)], "")
	if err := present.WriteDiff(f.a.out, f.a.style(), shownLines); err != nil {
		return shown(f.a, err)
	}
	if n := len(lines) - mostDiff; n > 0 {
		fmt.Fprintln(f.a.out, "  "+msg.Text(f.a.lang, "doctor.fix.cut", n, c.Files))
	}
	return nil
}

// otherWay is a mend that could be chosen in place of another.
func (a *app) otherWay(p *planned) string {
	if p.safety() == keepwell.SafetyManual {
		return msg.Text(a.lang, "doctor.fix.or", a.mendTitle(p), p.changes[0].Command)
	}
	return msg.Text(a.lang, "doctor.fix.or", a.mendTitle(p), mask.Text(p.mend.Name()))
}

// notes are what a person should know of a mend.
func (a *app) notes(p *planned) []string {
	out := []string{}
	for _, n := range p.mend.Notes {
		args := make([]any, len(n.Args))
		for i, v := range n.Args {
			args[i] = mask.Text(v)
		}
		out = append(out, msg.Text(a.lang, n.Key, args...))
	}
	return out
}

// askedAgain is what has to be typed once more behind a command.
func (f *fixing) askedAgain() string {
	out := ""
	for _, asked := range f.o.asked {
		out += " " + faults.Quote(mask.Text(asked))
	}
	if f.o.fix.to != "" {
		out += " --to " + faults.Quote(mask.Text(f.o.fix.to))
	}
	return out
}

// foundProposals is what a search finds for the names that this examination is about.
// What is no more than an idea is left to the reader of the report.
func foundProposals(_ context.Context, _ *app, _ *doctor.Case, r doctor.Report) []moved.Proposal {
	if r.Moved == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Moved.Proposals), func(p moved.Proposal) bool { return p.Confidence < leastOffered })
}
