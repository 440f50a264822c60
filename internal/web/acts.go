package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

func queryEscape(s string) string { return url.QueryEscape(s) }

// What forms do. Each goes back to a page: a reload repeats nothing.

type loginPage struct {
	Next   string
	OpenID bool
	Wrong  string
	Name   string
}

func (c *call) login() error {
	if c.page.Person.LoggedIn() {
		http.Redirect(c.w, c.r, "/", http.StatusSeeOther)
		return nil
	}
	return c.show("login", "web.login", loginPage{Next: access.Local(c.query("next")), OpenID: c.Door.HasOIDC()})
}

func (c *call) enter() error {
	name := c.form("name")
	err := c.Door.Login(c.w, c.r, name, c.r.PostForm.Get("password"))
	if err == nil {
		http.Redirect(c.w, c.r, access.Local(c.form("next")), http.StatusSeeOther)
		return nil
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		return err
	}
	if errors.Is(err, access.ErrLogin) {
		p.Status = http.StatusUnauthorized
	}
	c.page.Name, c.page.Title = "login", c.page.T("web.login")
	c.page.D = loginPage{Next: access.Local(c.form("next")), OpenID: c.Door.HasOIDC(), Wrong: p.Key, Name: name}
	return c.write(p.Status, "login")
}

func (c *call) openid() error {
	err := c.Door.Begin(c.w, c.r, access.Local(c.query("next")))
	if errors.Is(err, access.ErrSilent) {
		c.Log.WarnContext(c.ctx(), "nobody can log in with OpenID", "error", mask.Text(err.Error()))
	}
	return err
}

func (c *call) back() error {
	next, err := c.Door.Return(c.w, c.r)
	if err != nil {
		c.Log.WarnContext(c.ctx(), "somebody could not log in with OpenID", "error", mask.Text(err.Error()))
		return err
	}
	http.Redirect(c.w, c.r, access.Local(next), http.StatusSeeOther)
	return nil
}

func (c *call) leave() error {
	if err := c.Door.Logout(c.w, c.r); err != nil {
		return err
	}
	http.Redirect(c.w, c.r, "/login", http.StatusSeeOther)
	return nil
}

// look changes language and light of this browser.
func (c *call) look() error {
	const year = 365 * 24 * 3600
	for field, name := range map[string]string{"lang": cookieLang, "theme": cookieTheme} {
		v := c.form(field)
		if slices.Contains([]string{"en", "zh", "light", "dark", "auto"}, v) {
			cookie := &http.Cookie{Name: name, Value: v, Path: "/", MaxAge: year, SameSite: http.SameSiteLaxMode, HttpOnly: true, Secure: c.r.TLS != nil} //nolint:gosec // no secret, and there may be no TLS
			http.SetCookie(c.w, cookie)
		}
	}
	http.Redirect(c.w, c.r, access.Local(c.form("next")), http.StatusSeeOther)
	return nil
}

// who is the author of what is done.
func (c *call) who() string { return c.page.Person.Actor() }

func (c *call) answer() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	word := "approved"
	switch c.form("answer") {
	case "approve":
		err = c.Engine.Approve(c.ctx(), id, c.who(), c.form("note"))
	case "deny":
		word = "denied"
		err = c.Engine.Deny(c.ctx(), id, c.who(), c.form("note"))
	default:
		err = errInput
	}
	if err != nil {
		return err
	}
	return c.done(orWord(c.local("next"), "/approvals"), word)
}

// local is a path of this server's in a form, "" where there is none.
func (c *call) local(name string) string {
	if c.form(name) == "" {
		return ""
	}
	path, _, _ := strings.Cut(access.Local(c.form(name)), "?")
	return path
}

func (c *call) onRun(f func(run int64) (to int64, err error), word string) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if _, err := f(id); err != nil {
		return err
	}
	run, err := c.State.Run(c.ctx(), id)
	if err != nil {
		return err
	}
	if run.Incident == 0 {
		return c.done(fmt.Sprintf("/runs/%d", id), word)
	}
	return c.done(fmt.Sprintf("/incidents/%d", run.Incident), word)
}

func (c *call) cancel() error {
	return c.onRun(func(run int64) (int64, error) { return run, c.Engine.Cancel(c.ctx(), run, c.who(), c.form("why")) }, "cancelled")
}

func (c *call) undo() error {
	return c.onRun(func(run int64) (int64, error) {
		undo, err := c.Engine.Undo(c.ctx(), run, c.who(), c.form("why"))
		return undo.ID, err
	}, "undone")
}

func (c *call) settle() error {
	return c.onRun(func(run int64) (int64, error) {
		seq, err := strconv.ParseInt(c.form("seq"), 10, 64)
		if err != nil {
			return 0, errInput
		}
		attempt, err := strconv.ParseInt(c.form("attempt"), 10, 64)
		if err != nil || !slices.Contains([]string{"yes", "no"}, c.form("made")) {
			return 0, errInput
		}
		return run, c.Engine.Settle(c.ctx(), state.StepKey{Run: run, Seq: seq, Attempt: attempt}, c.form("made") == "yes", c.who(), c.form("note"))
	}, "settled")
}

func (c *call) start() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if _, err := c.Engine.Run(c.ctx(), c.form("playbook"), id, c.who(), orWord(c.form("why"), c.page.T("web.runbyhand"))); err != nil {
		return err
	}
	return c.done(fmt.Sprintf("/incidents/%d", id), "started")
}

// take makes the person who asks the one who takes care of an incident.
func (c *call) take() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if err := c.Engine.Acknowledge(c.ctx(), id, c.who(), c.form("note")); err != nil {
		return err
	}
	return c.done(fmt.Sprintf("/incidents/%d", id), "taken")
}

func (c *call) closeIncident() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if c.form("why") == "" {
		return errInput
	}
	if err := c.Engine.Close(c.ctx(), id, c.who(), c.form("why")); err != nil {
		return err
	}
	return c.done(fmt.Sprintf("/incidents/%d", id), "closed")
}

type bookRow struct {
	state.CurrentPlaybook
	Runs   map[string]int64 // by state, of runs that acted
	Acted  int64
	Seen   int64 // runs that only observed
	Last   *state.Run
	Title  string
	Unread bool
}

func (c *call) playbooks() error {
	books, err := c.State.CurrentPlaybooks(c.ctx())
	if err != nil {
		return err
	}
	counts, err := c.State.BookRuns(c.ctx())
	if err != nil {
		return err
	}
	rows := make([]bookRow, 0, len(books))
	for _, b := range books {
		row := bookRow{CurrentPlaybook: b, Runs: map[string]int64{}}
		for _, n := range counts {
			switch {
			case n.Playbook != b.Name:
			case n.Mode == string(state.ModeObserve):
				row.Seen += n.Count
			default:
				row.Runs[string(n.State)] += n.Count
				row.Acted += n.Count
			}
		}
		last, err := c.State.Runs(c.ctx(), state.RunFilter{Playbook: b.Name}, state.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(last) > 0 {
			row.Last = &last[0]
		}
		p, _ := playbook.Read([]byte(b.Text), playbook.Options{})
		if row.Unread = p == nil; !row.Unread {
			row.Title = c.titleText(p)
		}
		rows = append(rows, row)
	}
	return c.show("playbooks", "web.playbooks", rows)
}

type bookPage struct {
	state.CurrentPlaybook
	Title    string
	Problems []string
	Versions []state.Playbook
	Runs     []runView
	Chosen   string // the version whose text is shown
	Shown    string
	Back     *backtest
	CanBack  bool
}

type backtest struct {
	autopilot.BacktestReport
	Days   int
	Bars   *bars
	Assets []rank
	Stops  []rank
	Err    string
}

func (c *call) playbook() error {
	name := c.r.PathValue("name")
	book, err := c.State.CurrentPlaybook(c.ctx(), name)
	if err != nil {
		return err
	}
	d := bookPage{CurrentPlaybook: book, Chosen: book.Version, Shown: book.Text, CanBack: c.Compile != nil && c.Classifier != nil}
	if v := c.query("version"); v != "" {
		old, err := c.State.Playbook(c.ctx(), name, v)
		if err != nil {
			return err
		}
		d.Chosen, d.Shown = old.Version, old.Text
	}
	p, problems := playbook.Read([]byte(d.Shown), playbook.Options{})
	for _, pr := range problems {
		d.Problems = append(d.Problems, fmt.Sprintf("%d:%d %s", pr.Line, pr.Column, pr.In(c.page.Lang)))
	}
	if p != nil {
		d.Title = c.titleText(p)
	}
	if d.Versions, err = c.State.PlaybookVersions(c.ctx(), name); err != nil {
		return err
	}
	runs, err := c.State.Runs(c.ctx(), state.RunFilter{Playbook: name}, state.Page{Limit: 20})
	if err != nil {
		return err
	}
	for _, r := range runs {
		d.Runs = append(d.Runs, runView{Run: r})
	}
	if days, err := strconv.Atoi(c.query("days")); err == nil && d.CanBack {
		const most = 90
		d.Back = c.backtest(d.Shown, min(max(days, 1), most))
	}
	c.page.Title = name
	return c.show("playbook", "", d)
}

// backtest asks what a text would have done.
func (c *call) backtest(text string, days int) *backtest {
	b := &backtest{Days: days}
	program, err := c.Compile(text)
	if err == nil {
		now := c.State.Now()
		b.BacktestReport, err = autopilot.Backtest{Classify: c.Classifier, Program: program, From: now.AddDate(0, 0, -days), To: now}.Run(c.ctx(), c.State.Reader)
	}
	if err != nil {
		b.Err = err.Error()
		if errors.Is(err, autopilot.ErrTooMuch) {
			b.Err = c.page.T("why.back.toomuch")
		}
		return b
	}
	verdicts := []autopilot.Verdict{autopilot.VerdictRun, autopilot.VerdictLater, autopilot.VerdictNo}
	pic := &bars{Title: c.page.T("web.back.title"), Word: c.page.T("web.day")}
	for _, v := range verdicts {
		pic.Kinds = append(pic.Kinds, barKind{"f-" + string(v), c.page.Word("verdict", v)})
	}
	today := c.State.Now().UTC().Truncate(24 * time.Hour)
	for i := days; i >= 0; i-- {
		from := today.AddDate(0, 0, -i)
		col := column{Label: from.Format("01-02"), Title: c.page.Date(from), Counts: make([]int64, len(verdicts))}
		for _, e := range b.Events {
			if e.At.UTC().Truncate(24 * time.Hour).Equal(from) {
				if k := slices.Index(verdicts, e.Verdict); k >= 0 {
					col.Counts[k]++
				}
			}
		}
		pic.Columns = append(pic.Columns, col)
	}
	b.Bars = pic.draw()
	for name, n := range b.BacktestReport.Assets {
		b.Assets = append(b.Assets, rank{Name: name, Title: name, Count: int64(n)})
	}
	for check, n := range b.Stopped {
		b.Stops = append(b.Stops, rank{Name: string(check), Title: c.page.Word("check", check), Count: int64(n)})
	}
	for _, list := range [][]rank{b.Assets, b.Stops} {
		slices.SortFunc(list, func(x, y rank) int {
			if x.Count != y.Count {
				return int(y.Count - x.Count)
			}
			return strings.Compare(x.Name, y.Name)
		})
	}
	const most = 10
	b.Assets = b.Assets[:min(len(b.Assets), most)]
	return b
}

func (c *call) mode() error {
	name, mode := c.r.PathValue("name"), state.Mode(c.form("mode"))
	if !slices.Contains([]state.Mode{state.ModeObserve, state.ModeActive, state.ModeOff}, mode) {
		return errInput
	}
	if err := c.Engine.SetMode(c.ctx(), name, c.form("version"), mode, c.who(), msg.Said(c.form("why"))); err != nil {
		return err
	}
	return c.done("/playbooks/"+url.PathEscape(name), "mode")
}

type settingsPage struct {
	Mutes     []state.Mute
	Active    map[int64]bool
	Breakers  []state.Breaker
	Cooldowns []cooling
	Nodes     []state.Node
	Users     []state.User
	Tokens    []tokenRow
	Secret    string // of a token just made, shown this once
	Roles     []access.Role
	Scopes    []string
}

// cooling is a cooldown for people: whose it is and what it leaves alone.
type cooling struct {
	state.Cooldown
	Mode, Playbook, Asset string
}

// coolingOf reads the key, "cooldown MODE PLAYBOOK ASSET"; of any other only the key is shown.
func coolingOf(c state.Cooldown) cooling {
	parts := strings.SplitN(c.Key, " ", 4)
	if len(parts) != 4 || parts[0] != "cooldown" {
		return cooling{Cooldown: c}
	}
	return cooling{c, parts[1], parts[2], parts[3]}
}

type tokenRow struct {
	state.Token
	Owner string
}

func (c *call) settings() error { return c.showSettings("") }

func (c *call) showSettings(secret string) error {
	d := settingsPage{Secret: secret, Roles: access.Roles(), Scopes: access.Scopes(), Active: map[int64]bool{}}
	active, err := c.State.ActiveMutes(c.ctx())
	if err != nil {
		return err
	}
	for _, m := range active {
		d.Active[m.ID] = true
	}
	if d.Mutes, err = c.State.Mutes(c.ctx(), state.Page{Limit: 20}); err != nil {
		return err
	}
	if d.Breakers, err = c.State.Breakers(c.ctx()); err != nil {
		return err
	}
	cool, err := c.State.Cooldowns(c.ctx())
	if err != nil {
		return err
	}
	for _, c := range cool[:min(len(cool), listed)] {
		d.Cooldowns = append(d.Cooldowns, coolingOf(c))
	}
	if d.Nodes, err = c.State.Nodes(c.ctx(), false); err != nil {
		return err
	}
	if c.page.May("admin") {
		if err := c.people(&d); err != nil {
			return err
		}
	}
	return c.show("settings", "web.settings", d)
}

func (c *call) people(d *settingsPage) (err error) {
	if d.Users, err = c.State.Users(c.ctx()); err != nil {
		return err
	}
	tokens, err := c.State.Tokens(c.ctx(), 0)
	for _, t := range tokens {
		row := tokenRow{Token: t}
		for _, u := range d.Users {
			if u.ID == t.User {
				row.Owner = u.Name
			}
		}
		d.Tokens = append(d.Tokens, row)
	}
	return err
}

func (c *call) mute() error {
	scope, until := c.form("scope"), time.Time{}
	if c.form("why") == "" || !slices.Contains([]string{"", "playbook", "code", "asset"}, scope) {
		return errInput // an empty form would silence everything, for ever and for no reason
	}
	if name := c.form("name"); scope != "" {
		if name == "" {
			return errInput
		}
		scope += ":" + name
	}
	if v := c.form("for"); v != "" {
		minutes, err := strconv.Atoi(v)
		const week = 7 * 24 * 60
		if err != nil || minutes < 1 || minutes > week {
			return errInput
		}
		until = c.State.Now().Add(time.Duration(minutes) * time.Minute)
	}
	if _, err := c.Engine.Mute(c.ctx(), scope, until, c.who(), c.form("why")); err != nil {
		return err
	}
	return c.done("/settings", "muted")
}

func (c *call) unmute() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if err := c.Engine.Unmute(c.ctx(), id, c.who()); err != nil {
		return err
	}
	return c.done("/settings", "lifted")
}

func (c *call) reset() error {
	// Only one that is there: a breaker that nobody has is not made here.
	all, err := c.State.Breakers(c.ctx())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(b state.Breaker) bool { return b.Key == c.form("key") }) {
		return state.ErrNotFound
	}
	if err := c.Engine.ResetBreaker(c.ctx(), c.form("key"), c.who(), c.form("why")); err != nil {
		return err
	}
	return c.done("/settings", "reset")
}

func (c *call) password() error {
	now, next := c.r.PostForm.Get("now"), c.r.PostForm.Get("new")
	if err := c.Door.Prove(c.ctx(), c.page.Person, now); err != nil {
		return err
	}
	if _, err := c.Door.ChangeUser(c.ctx(), c.who(), c.page.Person.Name, access.Change{Password: &next}, time.Time{}); err != nil {
		return err
	}
	if err := c.Door.Login(c.w, c.r, c.page.Person.Name, next); err != nil { // its sessions ended
		return err
	}
	return c.done("/settings", "password")
}

func (c *call) addPerson() error {
	role, err := access.ParseRole(c.form("role"))
	if err != nil {
		return errInput
	}
	if _, err := c.Door.AddUser(c.ctx(), c.who(), c.form("name"), role, c.r.PostForm.Get("password")); err != nil {
		return err
	}
	return c.done("/settings", "person")
}

func (c *call) changePerson() error {
	var change access.Change
	if v := c.form("role"); v != "" {
		role, err := access.ParseRole(v)
		if err != nil {
			return errInput
		}
		change.Role = &role
	}
	if v := c.form("disabled"); v != "" {
		off := v == "yes"
		change.Disabled = &off
	}
	if _, err := c.Door.ChangeUser(c.ctx(), c.who(), c.r.PathValue("name"), change, time.Time{}); err != nil {
		return err
	}
	return c.done("/settings", "person")
}

func (c *call) addToken() error {
	role, err := access.ParseRole(c.form("role"))
	if err != nil {
		return errInput
	}
	wish := access.TokenWish{User: c.form("user"), Name: c.form("name"), Role: role, Scopes: c.r.PostForm["scope"]}
	if v := c.form("days"); v != "" {
		days, err := strconv.Atoi(v)
		if err != nil || days < 1 {
			return errInput
		}
		wish.Expires = c.State.Now().AddDate(0, 0, days)
	}
	secret, _, err := c.Door.AddToken(c.ctx(), c.who(), wish)
	if err != nil {
		return err
	}
	// Shown in the answer itself: it must not stand in an address.
	c.page.Path = "/settings"
	return c.showSettings(secret)
}

func (c *call) revoke() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	if err := c.Door.RevokeToken(c.ctx(), c.who(), id, 0); err != nil {
		return err
	}
	return c.done("/settings", "revoked")
}
