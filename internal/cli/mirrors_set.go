package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

// runMirrorsSet writes the settings that use the named mirror, or the recommended one.
func runMirrorsSet(ctx context.Context, a *app, o mirrorsOptions, s *settings.Settings, c *mirrors.Catalogue, sec *section) error {
	m := mirrors.Best(sec.list)
	if o.set != bestMirror {
		m = &sec.list[0]
	}
	text := present.Format(a.format) == present.Text
	if text && !o.offline {
		if err := shown(a, present.Outline(a.out, a.style(), a.mirrorsTable(c, *sec))); err != nil {
			return err
		}
	}
	switch {
	case m == nil:
		return &failure{exit: exitError, key: "err.mirrors.none", hint: "hint.mirrors.none"}
	case !m.Usable && !o.offline:
		reason := m.Protocol
		if reason.State == observe.Yes {
			reason = m.Sums
		}
		return &failure{exit: exitError, key: "err.mirrors.unusable", args: []any{m.Name, a.check(reason)}, hint: "hint.mirrors.unusable"}
	case m.Origin == mirrors.FromSettings, m.InUse && sec.eco != mirrors.Go:
		return carryOut(ctx, a, o, wish{plan: act.Plan{Command: "mirrors", Note: m.Name}, settings: []setEntry{}})
	}
	if text && o.offline {
		fmt.Fprintln(a.out, msg.Text(a.lang, "mirrors.set.unmeasured"))
	}
	if sec.eco == mirrors.Go {
		return setGo(ctx, a, o, s, c, sec, m)
	}
	return setTool(ctx, a, o, s, c, sec, m)
}

// setGo writes go's variables.
func setGo(ctx context.Context, a *app, o mirrorsOptions, s *settings.Settings, c *mirrors.Catalogue, sec *section, m *mirrors.Measured) error {
	direct := map[string]mirrors.Check{}
	if m.Sums.Key == "mirrors.sums.direct" {
		var name, alias mirrors.Check
		var wg sync.WaitGroup
		wg.Go(func() { name = mirrors.Direct(ctx, mirrors.SumName, sec.ask, sec.options) })
		wg.Go(func() { alias = mirrors.Direct(ctx, mirrors.SumAlias, sec.ask, sec.options) })
		wg.Wait()
		direct[mirrors.SumName], direct[mirrors.SumAlias] = name, alias
	}
	set := mirrors.GoSet(s, c, m, direct)
	if present.Format(a.format) == present.Text {
		if err := shown(a, present.Outline(a.out, a.style(), a.consistentSet(s, m, set))); err != nil {
			return err
		}
	}
	var done []assignment
	plan := act.Plan{Command: "mirrors", Note: m.Name}
	after, person := s, false
	for _, v := range set {
		if !v.Changes {
			continue
		}
		as := assignment{v.Name, v.Value}
		steps, err := planSet(a, s, as)
		if err != nil {
			return err
		}
		person = person || v.Ask
		if v.Ask {
			steps = asked(steps)
		}
		if len(steps) > 0 {
			done = append(done, as)
			plan.Steps = append(plan.Steps, steps...)
		}
		after = after.With(v.Name, v.Value)
	}
	plan.Steps = mergeEdits(plan.Steps)
	return carryOut(ctx, a, o, wish{plan, person, done, a.setEntries(s, set), s, after})
}

// wish is a plan with what is to be said of it.
type wish struct {
	plan act.Plan
	// person says that only a person may agree to it.
	person        bool
	done          []assignment
	settings      []setEntry
	before, after *settings.Settings
}

// setEntry is one setting of the consistent set, for programs.
type setEntry struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Was    string `json:"was"`
	Set    bool   `json:"changes"`
	Person bool   `json:"needs_person"`
	Note   string `json:"note,omitempty"`
}

func (a *app) setEntries(s *settings.Settings, set []mirrors.Setting) []setEntry {
	out := make([]setEntry, 0, len(set))
	for _, v := range set {
		e := setEntry{Name: v.Name, Value: mask.Text(v.Value), Was: mask.Text(s.Env.Value(v.Name)), Set: v.Changes, Person: v.Changes && v.Ask}
		if v.Why.Key != "" {
			e.Note = mask.Text(a.check(v.Why))
		}
		out = append(out, e)
	}
	return out
}

// asked makes steps that a blanket consent does not cover.
func asked(steps []act.Step) []act.Step {
	out := slices.Clone(steps)
	for i, s := range out {
		switch s := s.(type) {
		case act.GoEnv:
			s.Concern = act.Trust
			out[i] = s
		case act.Edit:
			s.Concern = act.Trust
			out[i] = s
		}
	}
	return out
}

// consistentSet is the four settings as they will be.
func (a *app) consistentSet(s *settings.Settings, m *mirrors.Measured, set []mirrors.Setting) []present.Line {
	lines := []present.Line{{Text: msg.Text(a.lang, "mirrors.set", m.Name), Tone: present.Bold}}
	word := func(name, value string) string {
		if value == "" {
			value = s.With(name, "").Env.Value(name) // what then holds
		}
		if value == "" {
			return msg.Text(a.lang, "mirrors.set.empty")
		}
		return mask.Text(value)
	}
	var notes []present.Line
	for _, v := range set {
		line := present.Line{Gutter: "  ", Rest: "  ", Label: v.Name}
		if v.Changes {
			line.Text = msg.Text(a.lang, "mirrors.set.was", word(v.Name, v.Value), word(v.Name, s.Env.Value(v.Name)))
		} else {
			line.Text = msg.Text(a.lang, "mirrors.set.stays", word(v.Name, s.Env.Value(v.Name)))
		}
		lines = append(lines, line)
		if v.Why.Key != "" {
			notes = append(notes, present.Line{Text: mask.Text(a.check(v.Why))})
		}
	}
	return append(append(lines, notes...), present.Line{})
}

// setTool writes npm's or pip's setting in the user's file.
func setTool(ctx context.Context, a *app, o mirrorsOptions, s *settings.Settings, c *mirrors.Catalogue, sec *section, m *mirrors.Measured) error {
	url, name, write := m.URL, "registry", mirrors.NpmSet
	if m.Origin == mirrors.FromDefault { // what the tool comes with needs no setting
		url = ""
	}
	if sec.eco == mirrors.PyPI {
		name, write = "index-url", mirrors.PipSet
	}
	edit, err := write(s, url)
	var stronger *mirrors.OutrankedError
	switch {
	case errors.As(err, &stronger):
		place := stronger.Place
		if stronger.File != "" {
			place = msg.Text(a.lang, "mirrors.place.file", place, mask.Text(stronger.File), stronger.Line)
		}
		return &failure{exit: exitError, key: "err.mirrors.outranked", args: []any{name, place}, hint: "hint.mirrors.outranked", unwrapped: err}
	case err != nil:
		return &failure{exit: exitError, key: "err.mirrors.nofile", args: []any{name, mask.Text(err.Error())}, hint: "hint.mirrors.nofile", unwrapped: err}
	case string(edit.Before) == string(edit.After):
		return carryOut(ctx, a, o, wish{plan: act.Plan{Command: "mirrors", Note: m.Name}, settings: []setEntry{}})
	}
	person := false
	known := mirrors.Candidates(c, sec.eco, s, sec.def)
	for _, k := range known {
		if k.InUse && k.Origin == mirrors.FromSettings {
			person, edit.Concern = true, act.Trust
			if present.Format(a.format) == present.Text {
				fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "mirrors.set.registry", mask.Text(k.URL)), true))
			}
		}
	}
	plan := act.Plan{Command: "mirrors", Note: m.Name, Steps: []act.Step{edit}}
	entry := setEntry{Name: name, Value: mask.Text(m.URL), Set: true, Person: person}
	if was := mirrors.InForce(sec.eco, s); len(was) > 0 {
		entry.Was = mask.Text(was[0])
	}
	return carryOut(ctx, a, o, wish{plan, person, []assignment{{name, m.URL}}, []setEntry{entry}, s, s})
}

// carryOut shows a plan, asks, does it and says how it is taken back.
func carryOut(ctx context.Context, a *app, o mirrorsOptions, w wish) error {
	name := w.plan.Note
	if len(w.plan.Steps) == 0 {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "mirrors.set.already", name), true))
		return a.reportSet(name, act.Result{Changes: []act.Change{}}, w)
	}
	changes, err := w.plan.Preview(ctx)
	if err != nil {
		return actFailure(a, name, err)
	}
	if err := showChanges(a, changes); err != nil {
		return err
	}
	if o.dryRun {
		w.done = nil
		return a.reportSet(name, act.Result{Changes: changes}, w)
	}
	e, err := engine()
	if err != nil {
		return err
	}
	r, err := e.Run(ctx, w.plan, act.Policy(o.yes, asker(ctx, a)))
	a.tellRecovered(r.Recovered)
	switch {
	case errors.Is(err, act.ErrNeedsApproval) && (w.person || o.yes):
		return &failure{exit: exitApproval, key: "err.mirrors.person", hint: "hint.mirrors.person", unwrapped: err}
	case err != nil:
		return actFailure(a, name, err)
	}
	return a.reportSet(name, r, w)
}

// reportSet tells what now holds: programs get the whole set.
func (a *app) reportSet(mirror string, r act.Result, w wish) error {
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, struct {
			Command  string       `json:"command"`
			Mirror   string       `json:"mirror"`
			Applied  bool         `json:"applied"`
			ID       int          `json:"id,omitempty"`
			Settings []setEntry   `json:"settings"`
			Changes  []act.Change `json:"changes"`
		}{"mirrors", mirror, r.ID > 0, r.ID, w.settings, r.Changes}))
	}
	if len(w.plan.Steps) == 0 {
		return nil
	}
	return shown(a, a.reportChanges(r, w.done, w.before, w.after))
}
