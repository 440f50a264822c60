package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/settings"
)

// runEnvWhatIf shows what other values would change, for the settings and for the
// ways of this project's modules. It changes nothing.
func runEnvWhatIf(ctx context.Context, a *app, o envOptions, s *settings.Settings) error {
	list, after, err := parseAssignments(a, s, o.whatIf)
	if err != nil {
		return err
	}
	arrows := []present.Arrow{}
	for _, d := range s.Differences(after) {
		arrows = append(arrows, present.Arrow{Name: d[0].Name, Before: d[0].Value, After: d[1].Value})
	}
	routes := routeDifference(ctx, s, after)
	notes := newNotes(a, s, after)
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, struct {
			Command string           `json:"command"`
			Changes []present.Arrow  `json:"settings"`
			Routes  route.Difference `json:"routes"`
			Notes   []present.Note   `json:"notes"`
		}{"env", arrows, routes, notes}))
	}
	var words []string
	for _, as := range list {
		words = append(words, mask.Text(as.String()))
	}
	fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "env.whatif", strings.Join(words, " ")), true))
	if len(arrows) == 0 {
		fmt.Fprintln(a.out, "  "+present.Visible(msg.Text(a.lang, "env.whatif.same", strings.Join(words, " ")), true))
		return nil
	}
	if err := present.WriteArrows(a.out, a.style(), arrows); err != nil {
		return shown(a, err)
	}
	for _, as := range list {
		if s.OS[as.name] != "" && s.KindOf(as.name) == settings.ByGo {
			fmt.Fprintln(a.out, "  "+present.Visible(msg.Text(a.lang, "env.whatif.outranked", as.name), true))
		}
	}
	if s.Project.Module != "" {
		if err := a.routeChanges(routes); err != nil {
			return shown(a, err)
		}
	}
	return shown(a, present.WriteNotes(a.out, a.style(), notes))
}

// newNotes are the lints that hold after and not before.
func newNotes(a *app, before, after *settings.Settings) []present.Note {
	had := map[string]bool{}
	for _, l := range before.Lints() {
		had[l.ID+" "+l.Name+" "+strings.Join(l.Args, " ")] = true
	}
	out := []present.Note{}
	for _, l := range after.Lints() {
		// That the environment outranks the file is the way this world is made.
		if !had[l.ID+" "+l.Name+" "+strings.Join(l.Args, " ")] && l.ID != "shadowed" && l.ID != "docker" {
			out = append(out, a.note(l))
		}
	}
	return out
}

// routeDifference compares the ways of the modules that go.mod names.
func routeDifference(ctx context.Context, before, after *settings.Settings) route.Difference {
	rules := map[string]string{}
	readInsteadOf(ctx, rules)
	plan := func(s *settings.Settings) []route.Route {
		cfg := route.Config{Env: s.Env, InsteadOf: rules, Public: before.PublicHosts()}
		if s.Project.Module != "" {
			cfg.Main = []string{s.Project.Module}
		}
		var out []route.Route
		for _, m := range s.Project.Requires {
			out = append(out, route.Plan(cfg, query(m)))
		}
		return out
	}
	return route.Diff(plan(before), plan(after))
}

func query(m module.Version) route.Query { return route.Query{Module: m.Path, Version: m.Version} }

func (a *app) routeChanges(d route.Difference) error {
	fmt.Fprintln(a.out)
	if len(d.Changes)+len(d.Opened)+len(d.Closed) == 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "env.whatif.noroutes"))
		return nil
	}
	fmt.Fprintln(a.out, msg.Text(a.lang, "env.whatif.routes"))
	var arrows []present.Arrow
	for _, c := range d.Changes {
		arrows = append(arrows, present.Arrow{Name: routeWords{lang: a.lang}.some(c.Modules), Before: wayText(a, c.Before), After: wayText(a, c.After)})
	}
	for _, w := range arrows {
		fmt.Fprintln(a.out, "  "+present.Visible(w.Name, true))
		w.Name = ""
		if err := present.WriteArrows(a.out, a.style(), []present.Arrow{w}); err != nil {
			return err
		}
	}
	for _, told := range []struct {
		key  string
		list []route.Told
	}{{"env.whatif.opened", d.Opened}, {"env.whatif.closed", d.Closed}} {
		for _, t := range told.list {
			fmt.Fprintln(a.out, "  "+present.Visible(msg.Text(a.lang, told.key, t.To, routeWords{lang: a.lang}.some(t.Modules)), true))
		}
	}
	return nil
}

// wayText is a way in a line: the servers in order, then who verifies.
func wayText(a *app, s route.Summary) string {
	way := routeWords{lang: a.lang}.way(s)
	if s.Verified {
		return way + " " + msg.Text(a.lang, "env.whatif.verified", s.Database)
	}
	return way + " " + msg.Text(a.lang, "env.whatif.unverified")
}

// exitWrapper is keepwell's own failure where it runs another command.
const exitWrapper = 125

// runEnvForOnce lends settings to one command and says that they ended with it.
func runEnvForOnce(ctx context.Context, a *app, o envOptions, s *settings.Settings) error {
	if len(o.args) == 0 {
		return misused("err.env.command", mask.Text(o.forOnce[0]))
	}
	list, _, err := parseAssignments(a, s, o.forOnce)
	if err != nil {
		return err
	}
	var env, words, before []string
	for _, as := range list {
		env = append(env, as.String())
		words = append(words, mask.Text(as.String()))
	}
	if _, err := exec.LookPath(o.args[0]); err != nil {
		return &failure{exit: exitWrapper, key: "err.env.start", args: []any{o.args[0], lookCause(err)}, hint: "hint.env.start", unwrapped: err}
	}
	fmt.Fprintln(a.errs, present.Visible("keepwell: "+msg.Text(a.lang, "env.once.begin", strings.Join(words, " ")), true))
	exit, err := proc.Attach(ctx, proc.Options{Env: env}, a.in, a.out, a.errs, o.args[0], o.args[1:]...)
	if err != nil {
		return &failure{exit: exitWrapper, key: "err.env.start", args: []any{o.args[0], cause(err)}, hint: "hint.env.start", unwrapped: err}
	}
	for _, as := range list {
		before = append(before, msg.Text(a.lang, "env.once.end", as.name, shownValue(a, s, as.name)))
	}
	for _, l := range before {
		fmt.Fprintln(a.errs, present.Visible("keepwell: "+l, true))
	}
	a.exit = exit
	return nil
}

func lookCause(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
