package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

// book is a playbook in force, without its text.
type book struct {
	Name    string     `json:"name"`
	Version string     `json:"version" jsonschema:"sha256 of the text"`
	Origin  string     `json:"origin"`
	Stored  time.Time  `json:"stored"`
	Mode    state.Mode `json:"mode"`
	Since   time.Time  `json:"since"`
	By      string     `json:"by"`
}

// bookText is a playbook in force.
type bookText struct {
	book
	Text string `json:"text"`
}

// version is one text that a playbook had, without it.
type version struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Origin  string    `json:"origin"`
	Stored  time.Time `json:"stored"`
}

// installed asks to put a text in force.
type installed struct {
	Text string     `json:"text"`
	Mode state.Mode `json:"mode" jsonschema:"observe, active or off; a new text is observed for a while before it acts"`
	// Replaces holds two people who change it at once apart.
	Replaces string `json:"replaces" jsonschema:"the version in force as the caller knows it; empty: there is none"`
}

// moded asks to change what a playbook may do.
type moded struct {
	Mode    state.Mode `json:"mode"`
	Version string     `json:"version" jsonschema:"the version in force as the caller knows it"`
	Why     string     `json:"why" jsonschema:"why, for the journal"`
}

// validated asks whether a text is a playbook.
type validated struct {
	Text string `json:"text"`
}

// backtested asks what a playbook would have done.
type backtested struct {
	Text string    `json:"text,omitempty" jsonschema:"nothing: the version in force"`
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero" jsonschema:"nothing: now"`
}

func (a *api) playbooks() []route {
	one := prefix + "/playbooks/{name}"
	return []route{
		{method: http.MethodGet, path: prefix + "/playbooks", id: "listPlaybooks", what: "The playbooks in force, in any mode", role: access.Viewer, reply: list[book]{}, do: a.listPlaybooks},
		{method: http.MethodPost, path: prefix + "/playbooks/validate", id: "validatePlaybook", what: "All that is wrong with a text; changes nothing", role: access.Operator, body: validated{}, reply: playbook.Review{}, do: a.validate},
		{method: http.MethodGet, path: one, id: "getPlaybook", what: "The version in force, with its text", role: access.Viewer, reply: bookText{}, do: a.getPlaybook},
		{method: http.MethodPut, path: one, id: "installPlaybook", what: "Put a text in force", role: access.Admin, body: installed{}, reply: bookText{}, do: a.install},
		{method: http.MethodGet, path: one + "/versions", id: "listVersions", what: "All texts that a playbook had, newest first", role: access.Viewer, reply: list[version]{}, do: a.listVersions},
		{method: http.MethodGet, path: one + "/versions/{version}", id: "getVersion", what: "One text that a playbook had", role: access.Viewer, reply: state.Playbook{}, do: func(c *call) (any, error) {
			return a.State.Playbook(c.Context(), c.PathValue("name"), c.PathValue("version"))
		}},
		{method: http.MethodPost, path: one + "/mode", id: "setMode", what: "Change what the version in force may do; ends its hold", role: access.Admin, body: moded{}, reply: bookText{}, do: a.setMode},
		{method: http.MethodPost, path: one + "/backtest", id: "backtest", what: "What a playbook would have done with the alerts that came in; changes nothing", role: access.Operator, body: backtested{}, reply: autopilot.BacktestReport{}, do: a.backtest},
	}
}

func bookOf(p state.CurrentPlaybook) book {
	return book{p.Name, p.Version, p.Origin, p.Stored, p.Mode, p.Since, p.By}
}

func (a *api) listPlaybooks(c *call) (any, error) {
	all, err := a.State.CurrentPlaybooks(c.Context())
	books := make([]book, 0, len(all))
	for _, p := range all {
		books = append(books, bookOf(p))
	}
	return whole(books), err
}

func (a *api) getPlaybook(c *call) (any, error) {
	p, err := a.State.CurrentPlaybook(c.Context(), c.PathValue("name"))
	return bookText{bookOf(p), p.Text}, err
}

func (a *api) listVersions(c *call) (any, error) {
	all, err := a.State.PlaybookVersions(c.Context(), c.PathValue("name"))
	if err == nil && len(all) == 0 {
		err = state.ErrNotFound
	}
	shown := make([]version, 0, len(all))
	for _, p := range all {
		shown = append(shown, version{p.Name, p.Version, p.Origin, p.Stored})
	}
	return whole(shown), err
}

// check reads a text.
func (a *api) check(lang msg.Lang, text, name string) playbook.Review {
	return playbook.Examine([]byte(text), playbook.Options{Conditions: a.Conditions, Name: name}, lang)
}

func (a *api) validate(c *call) (any, error) {
	var in validated
	if err := c.read(&in); err != nil {
		return nil, err
	}
	return a.check(c.lang, in.Text, "playbook"), nil
}

// usable refuses a text that is no playbook, or another's.
func (a *api) usable(c *call, text, name string) error {
	f := a.check(c.lang, text, name)
	const most = 5
	var said []error
	for _, p := range f.Problems[:min(len(f.Problems), most)] {
		if p.Level == "error" {
			said = append(said, fmt.Errorf("%d:%d: %s", p.Line, p.Column, p.Message))
		}
	}
	switch {
	case !f.Usable:
		return &refusal{status: http.StatusUnprocessableEntity, key: "api.playbook", reason: errors.Join(said...)}
	case f.Name != name:
		return refuse(http.StatusUnprocessableEntity, "api.playbook.name", f.Name)
	}
	if a.Compile == nil {
		return nil
	}
	if _, err := a.Compile(text); err != nil {
		return &refusal{status: http.StatusUnprocessableEntity, key: "api.playbook", reason: err}
	}
	return nil
}

func mode(m state.Mode) error {
	if !slices.Contains([]state.Mode{state.ModeObserve, state.ModeActive, state.ModeOff}, m) {
		return refuse(http.StatusUnprocessableEntity, "api.mode")
	}
	return nil
}

// exactly is a version as it was sent: none stands for whichever is in force here.
func exactly(version string) string {
	if version == autopilot.AnyVersion {
		return "no version"
	}
	return version
}

var bookName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`) })

func (a *api) install(c *call) (any, error) {
	var in installed
	if err := c.read(&in); err != nil {
		return nil, err
	}
	name := c.PathValue("name")
	if !bookName().MatchString(name) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.playbook.name", visible(name))
	}
	if err := mode(in.Mode); err != nil {
		return nil, err
	}
	if err := a.usable(c, in.Text, name); err != nil {
		return nil, err
	}
	by := c.person.Actor()
	if err := a.Engine.Install(c.Context(), name, exactly(in.Replaces), in.Text, by, in.Mode, a.Hold, by); err != nil {
		return nil, err
	}
	return a.getPlaybook(c)
}

func (a *api) setMode(c *call) (any, error) {
	var in moded
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := mode(in.Mode); err != nil {
		return nil, err
	}
	if err := text("why", in.Why, true); err != nil {
		return nil, err
	}
	name := c.PathValue("name")
	if _, err := a.State.CurrentPlaybook(c.Context(), name); err != nil {
		return nil, err
	}
	if err := a.Engine.SetMode(c.Context(), name, exactly(in.Version), in.Mode, c.person.Actor(), msg.Said(c.why(in.Why))); err != nil {
		return nil, err
	}
	return a.getPlaybook(c)
}

func (a *api) backtest(c *call) (any, error) {
	const longest, patience = 92 * 24 * time.Hour, time.Minute
	var in backtested
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if a.Classifier == nil || a.Compile == nil {
		return nil, refuse(http.StatusNotImplemented, "api.nobacktest")
	}
	if in.To.IsZero() {
		in.To = a.State.Now()
	}
	if in.From.IsZero() || !in.From.Before(in.To) || in.To.Sub(in.From) > longest {
		return nil, refuse(http.StatusUnprocessableEntity, "api.range", int(longest/(24*time.Hour)))
	}
	name := c.PathValue("name")
	if in.Text == "" {
		p, err := a.State.CurrentPlaybook(c.Context(), name)
		if err != nil {
			return nil, err
		}
		in.Text = p.Text
	} else if err := a.usable(c, in.Text, name); err != nil {
		return nil, err
	}
	program, err := a.Compile(in.Text)
	if err != nil {
		return nil, &refusal{status: http.StatusUnprocessableEntity, key: "api.playbook", reason: err}
	}
	done, err := a.busy(c.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, stop := context.WithTimeout(c.Context(), patience)
	defer stop()
	report, err := autopilot.Backtest{Classify: a.Classifier, Program: program, From: in.From, To: in.To}.Run(ctx, a.State.Reader)
	if errors.Is(err, autopilot.ErrTooMuch) {
		return nil, refuse(http.StatusUnprocessableEntity, "why.back.toomuch")
	}
	for i, e := range report.Events {
		report.Events[i].Why = msg.Said(e.Why.In(c.lang))
	}
	return report, err
}

// scoped tells whether a mute's scope can hold for anything.
func scoped(scope string) bool {
	kind, name, ok := strings.Cut(scope, ":")
	return scope == "" || ok && name != "" && slices.Contains([]string{"playbook", "code", "asset"}, kind)
}
