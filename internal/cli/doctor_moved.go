package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// movedDocument is what became of a name, in --json.
type movedDocument struct {
	Ecosystem moved.Ecosystem `json:"ecosystem"`
	Name      string          `json:"name"`
	Version   string          `json:"version,omitempty"`
	Steps     []movedStep     `json:"steps"`
	Requests  []movedRequest  `json:"requests"`
	Proposals []movedProposal `json:"proposals"`
	Private   string          `json:"private,omitempty"`
	Owner     movedOwner      `json:"owner"`
}

type movedStep struct {
	Step moved.Step `json:"step"`
	Text string     `json:"text"`
}

type movedRequest struct {
	Step   moved.Step `json:"step"`
	URL    string     `json:"url"`
	Status int        `json:"status,omitempty"`
	Error  string     `json:"error,omitempty"`
	TookMS float64    `json:"took_ms"`
}

type movedProposal struct {
	Kind       moved.Kind          `json:"kind"`
	Mend       moved.Mend          `json:"mend"`
	From       string              `json:"from"`
	To         string              `json:"to,omitempty"`
	Version    string              `json:"version,omitempty"`
	At         string              `json:"at,omitempty"`
	Title      string              `json:"title"`
	Reason     string              `json:"reason"`
	Caution    string              `json:"caution,omitempty"`
	Confidence float64             `json:"confidence"`
	Safety     keepwell.Safety     `json:"safety"`
	Command    string              `json:"command,omitempty"`
	Evidence   []keepwell.Evidence `json:"evidence"`
}

type movedOwner struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

// movedDocument puts a report into words; nil for none.
func (a *app) movedDocument(r *moved.Report) *movedDocument {
	if r == nil {
		return nil
	}
	d := &movedDocument{
		Ecosystem: r.Question.Ecosystem, Name: mask.Text(r.Question.Path), Version: mask.Text(r.Question.Version),
		Steps: []movedStep{}, Requests: []movedRequest{}, Proposals: []movedProposal{}, Private: r.Private.In(a.lang), Owner: movedOwner(r.Owner),
	}
	for _, s := range r.Seen {
		d.Steps = append(d.Steps, movedStep{s.Step, s.Said.In(a.lang)})
	}
	for _, q := range r.Requests {
		d.Requests = append(d.Requests, movedRequest{q.Step, q.URL, q.Status, q.Err, milliseconds(q.Took)})
	}
	for _, p := range r.Proposals {
		d.Proposals = append(d.Proposals, movedProposal{
			p.Kind, p.Mend, mask.Text(p.From), p.To, p.Version, p.At, a.movedTitle(p, r.Owner), p.Reason.In(a.lang), p.Caution.In(a.lang), p.Confidence,
			movedSafety(p), movedCommand(p), p.Evidence,
		})
	}
	return d
}

// movedSafety: what exchanges a name is asked, never done by itself.
func movedSafety(p moved.Proposal) keepwell.Safety {
	switch p.Mend {
	case moved.AskOwner, moved.UseRegistry:
		return keepwell.SafetyManual
	}
	return keepwell.SafetyAsks
}

// movedTitle is what a proposal comes to.
func (a *app) movedTitle(p moved.Proposal, owner moved.Owner) string {
	to := strings.TrimSpace(p.To + " " + p.Version)
	switch p.Mend {
	case moved.UpdatePath:
		return msg.Text(a.lang, "moved.mend.path", to, mask.Text(p.From))
	case moved.UpdateVersion:
		return msg.Text(a.lang, "moved.mend.version", p.Version, p.To)
	case moved.GetOther:
		return msg.Text(a.lang, "moved.mend.other", to)
	case moved.KeepCopy:
		return msg.Text(a.lang, "moved.mend.copy", mask.Text(p.From))
	case moved.UseRegistry:
		return msg.Text(a.lang, "moved.mend.registry", p.At)
	case moved.MarkAbandoned:
		return msg.Text(a.lang, "moved.mend.mark", mask.Text(p.From))
	}
	return msg.Text(a.lang, "moved.mend.owner", owner.Name)
}

// addMoved puts the best proposal before the other remedies of the fault that it is for.
func (a *app) addMoved(findings []keepwell.Finding, r *moved.Report) {
	if r == nil || len(r.Proposals) == 0 || r.Proposals[0].Confidence < leastOffered || len(findings) == 0 || !slices.Contains(doctor.MovedCodes(), findings[0].Code) {
		return
	}
	p := r.Proposals[0]
	m := keepwell.Remedy{ID: "moved-" + string(p.Mend), Title: a.movedTitle(p, r.Owner), Command: movedCommand(p), Safety: movedSafety(p)}
	switch p.Mend {
	case moved.UpdatePath, moved.UpdateVersion, moved.GetOther:
		name := map[moved.Ecosystem]string{moved.Npm: "npm:", moved.PyPI: "pypi:"}[p.Ecosystem] + r.Question.Path
		if v := r.Question.Version; v != "" {
			name += map[bool]string{true: "==", false: "@"}[p.Ecosystem == moved.PyPI] + v
		}
		m.Command, m.Undo = "keepwell doctor --fix "+faults.Quote(mask.Text(name)), "keepwell doctor --undo"
	}
	findings[0].Remedies = slices.Insert(slices.Clone(findings[0].Remedies), 0, m)
}

// leastOffered is the confidence from which on a proposal is a remedy of the fault, too.
const leastOffered = 0.7

// movedCommand is what does it by hand, as far as one command does; the imports are
// another matter.
func movedCommand(p moved.Proposal) string {
	name := p.To
	if p.Version != "" {
		name += "@" + p.Version
	}
	switch {
	case p.Mend == moved.KeepCopy && p.Ecosystem == moved.Go:
		return "go mod vendor"
	case p.To == "" || !keepwell.ValidFact("package", p.To) || p.Version != "" && !keepwell.ValidFact("version", p.Version):
		return ""
	case p.Mend == moved.UseRegistry, p.Mend == moved.MarkAbandoned, p.Mend == moved.AskOwner:
		return ""
	case p.Ecosystem == moved.Npm:
		return "npm install " + faults.Quote(name)
	case p.Ecosystem == moved.PyPI:
		return "python3 -m pip install " + faults.Quote(strings.Replace(name, "@", "==", 1))
	}
	return "go get " + faults.Quote(name)
}

// movedPicture shows what was asked and answered, and the proposals.
func (a *app) movedPicture(r *moved.Report) []present.Line {
	d := a.movedDocument(r)
	if d == nil || len(d.Proposals) == 0 && len(d.Requests) == 0 && d.Private == "" {
		return nil
	}
	t := func(key string, args ...any) string { return msg.Text(a.lang, key, args...) }
	name := d.Name
	if d.Version != "" {
		name += " " + d.Version
	}
	lines := []present.Line{{}, {Text: t("moved.head", name), Tone: present.Bold}}
	const wide = 10
	last := moved.Step("")
	for _, s := range d.Steps {
		label := ""
		if s.Step != last {
			label = t("moved.step." + string(s.Step))
		}
		last = s.Step
		lines = append(lines, present.Line{Gutter: "  " + runewidth.FillRight(label, wide) + " ", Rest: strings.Repeat(" ", wide+3), Text: s.Text})
	}
	for i, q := range d.Requests {
		label := ""
		if i == 0 {
			label = t("moved.requests")
		}
		answer := q.Error
		if q.Status > 0 {
			answer = strconv.Itoa(q.Status)
		}
		lines = append(lines, present.Line{
			Gutter: "  " + runewidth.FillRight(label, wide) + " ", Rest: strings.Repeat(" ", wide+3), Text: q.URL + "  " + answer, Tone: present.Faint,
		})
	}
	for i, p := range d.Proposals {
		lines = append(
			lines, present.Line{},
			present.Line{Gutter: fmt.Sprintf("  %d. ", i+1), Rest: "     ", Text: t("moved.sure", p.Title, fmt.Sprintf("%.2f", p.Confidence)), Tone: present.Bold},
			present.Line{Gutter: "     ", Rest: "     ", Text: p.Reason},
		)
		for _, e := range p.Evidence {
			lines = append(lines, present.Line{Gutter: "     ", Rest: "       ", Text: e.Text, Tone: present.Faint})
		}
		if p.Caution != "" {
			lines = append(lines, present.Line{Gutter: "     ! ", Rest: "       ", Text: p.Caution, Tone: present.Warning})
		}
		if p.Command != "" {
			lines = append(lines, present.Line{Gutter: "       ", Rest: "       ", Text: p.Command})
		}
	}
	if d.Owner.URL != "" && (len(d.Proposals) == 0 || d.Proposals[0].Mend == moved.MarkAbandoned || d.Proposals[0].Mend == moved.AskOwner || d.Proposals[0].Kind == moved.Deleted) {
		lines = append(lines, present.Line{}, present.Line{Gutter: "  ", Rest: "  ", Text: t("moved.owner", d.Owner.Name, d.Owner.URL), Tone: present.Faint})
	}
	return lines
}
