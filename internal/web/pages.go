package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

func codeOf(s string) keepwell.Code { return keepwell.Code(s) }

// listed is how many rows a page of a list has.
const listed = 50

// titleOf is what people call an incident: the words of its fault in the reader's language
// where the catalogue has them.
func (c *call) titleOf(i state.Incident) string {
	if i.Code == autopilot.Unclassified && i.Title != "" {
		return i.Title
	}
	if w := c.fault(string(i.Code), c.page.Lang); w.Title != string(i.Code) {
		return w.Title
	}
	return orWord(i.Title, string(i.Code))
}

func orWord(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// titled is an incident with its title in the reader's language.
type titled struct {
	state.Incident
	Words string
}

func (c *call) titled(list []state.Incident) []titled {
	all := make([]titled, 0, len(list))
	for _, i := range list {
		all = append(all, titled{i, c.titleOf(i)})
	}
	return all
}

type incidentsPage struct {
	Query    state.IncidentQuery
	Filtered bool
	List     []titled
	Counts   map[string]int64
	Total    int64
	Next     string
	First    string
}

func (c *call) incidents() error {
	q := state.IncidentQuery{Text: c.query("q"), IncidentFilter: state.IncidentFilter{
		State: state.IncidentState(c.query("state")), Code: codeOf(c.query("code")), Asset: c.query("asset"), Priority: keepwell.Priority(c.query("priority")),
	}}
	if id, err := strconv.ParseInt(strings.TrimPrefix(q.Text, "#"), 10, 64); err == nil && strings.HasPrefix(q.Text, "#") {
		if _, err := c.State.Incident(c.ctx(), id); err == nil {
			http.Redirect(c.w, c.r, fmt.Sprintf("/incidents/%d", id), http.StatusSeeOther)
			return nil
		}
	}
	found, err := c.State.FindIncidents(c.ctx(), q, state.Page{Before: c.before(), Limit: listed})
	if err != nil {
		return err
	}
	counts, err := c.State.IncidentCounts(c.ctx(), q)
	if err != nil {
		return err
	}
	d := incidentsPage{Query: q, Filtered: q != (state.IncidentQuery{}), List: c.titled(found.Incidents), Counts: map[string]int64{}}
	for _, n := range counts {
		d.Counts[string(n.State)] += n.Count
		d.Total += n.Count
	}
	d.Next, d.First = c.pager(found.Next)
	return c.show("incidents", "web.incidents", d)
}

// pager makes the links to the following page and the first one; "" where there is none.
func (c *call) pager(next int64) (following, first string) {
	q := c.r.URL.Query()
	q.Del("done")
	if next > 0 {
		more := url.Values{}
		for k, v := range q {
			more[k] = v
		}
		more.Set("before", strconv.FormatInt(next, 10))
		following = c.r.URL.Path + "?" + more.Encode()
	}
	if q.Has("before") {
		q.Del("before")
		first = c.r.URL.Path + "?" + q.Encode()
	}
	return following, first
}

// runView is a run with what was done in it.
type runView struct {
	state.Run
	Steps     []stepView
	Approvals []state.Approval
	// Undoable is what an undo would take back; nothing: none is offered.
	Undoable []autopilot.TakenBack
}

type stepView struct {
	state.Step
	Approval *state.Approval
}

// No counts the steps of a run from 1, as playbooks do.
func (s stepView) No() int64 { return s.Seq + 1 }

// IntentText and ResultText are the documents of a step as people read them; "" where
// there is nothing.
func (s stepView) IntentText() string { return pretty(s.Intent) }

// ResultText is described at IntentText.
func (s stepView) ResultText() string { return pretty(s.Result) }

func pretty(doc json.RawMessage) string {
	var v any
	if len(doc) == 0 || json.Unmarshal(doc, &v) != nil {
		return ""
	}
	return prettyValue(v)
}

func prettyValue(v any) string {
	if v == nil {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the template escapes
	e.SetIndent("", "  ")
	if e.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *call) runViews(runs []state.Run, steps []state.Step, approvals []state.Approval) (views []runView, err error) {
	views = make([]runView, 0, len(runs))
	// The engine writes what a run takes back into its unique key: once only.
	undone := map[string]bool{}
	for _, r := range runs {
		undone[r.Unique] = r.Mode == "undo"
	}
	for _, r := range slices.Backward(runs) {
		v := runView{Run: r}
		for _, a := range approvals {
			if a.Run == r.ID {
				v.Approvals = append(v.Approvals, a)
			}
		}
		for _, s := range steps {
			if s.Run != r.ID {
				continue
			}
			sv := stepView{Step: s}
			for i, a := range v.Approvals {
				if a.Seq == s.Seq {
					sv.Approval = &v.Approvals[i]
				}
			}
			v.Steps = append(v.Steps, sv)
		}
		if !undone[fmt.Sprintf("undo %d", r.ID)] {
			if v.Undoable, err = c.Engine.Undoable(c.ctx(), r); err != nil {
				return nil, err
			}
		}
		views = append(views, v)
	}
	return views, nil
}

// entry is a line of the journal for people.
type entry struct {
	journal.Record
	Tone string
	lang msg.Lang
}

// Doc is the entry's data as people read it, with the reasons in it in words.
func (e entry) Doc() string {
	var v any
	if json.Unmarshal(e.Data, &v) != nil {
		return ""
	}
	return prettyValue(worded(e.lang, v))
}

// worded puts words in place of the reasons in a document: objects of a key with args.
func worded(lang msg.Lang, v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = worded(lang, v[i])
		}
	case map[string]any:
		_, key := v["key"].(string)
		if _, args := v["args"].([]any); key && (args && len(v) == 2 || len(v) == 1) {
			var r msg.Reason
			if text, err := json.Marshal(v); err == nil && json.Unmarshal(text, &r) == nil {
				return r.In(lang)
			}
		}
		for k := range v {
			v[k] = worded(lang, v[k])
		}
	}
	return v
}

func (c *call) entries(rows []state.JournalRow) []entry {
	all := make([]entry, 0, len(rows))
	for _, row := range rows {
		var body struct {
			Step, Why string
			Reason    msg.Reason
			Data      json.RawMessage
		}
		_ = json.Unmarshal([]byte(row.Body), &body) // what cannot be read is shown without its data
		r := journal.Record{
			Seq: row.Seq, At: row.At, Kind: journal.Kind(row.Kind), Actor: row.Actor, Incident: row.Incident, Run: row.Run,
			Step: body.Step, Why: body.Why, Reason: body.Reason, Data: body.Data, Hash: fmt.Sprintf("%x", row.Hash),
		}
		if r.Kind == journal.Decided && r.Reason.IsZero() { // an old one: each playbook's reason stands in its data
			r.Why, _, _ = strings.Cut(r.Why, ": ")
		}
		tone := toneOf(r)
		r = r.In(c.page.Lang)
		r.Why = c.page.about(r)
		all = append(all, entry{r, tone, c.page.Lang})
	}
	return all
}

// about is the reason of an entry; of one on an account, a token, a login or a mute, whom
// or what it was about as well, which the journal keeps in its data.
func (p *page) about(r journal.Record) string {
	var of struct {
		User, Role, Name, Address, Scope string
		Disabled                         bool
		Mute                             int64
	}
	if json.Unmarshal(r.Data, &of) != nil {
		return r.Why
	}
	switch r.Kind {
	case journal.UserChanged:
		what, changed := strings.CutPrefix(r.Why, "changed: ")
		if !changed {
			return p.T("web.said.user", of.User, p.Word("role", of.Role))
		}
		words := strings.Split(what, ", ")
		for i, w := range words {
			switch {
			case w == "role":
				words[i] = p.T("web.said.role", p.Word("role", of.Role))
			case w == "disabled" && of.Disabled:
				words[i] = p.T("web.disabled")
			case w == "disabled":
				words[i] = p.T("web.enabled")
			default:
				words[i] = p.T("web.said.password")
			}
		}
		return p.T("web.said.of", of.User, strings.Join(words, p.T("web.said.and")))
	case journal.TokenChanged:
		if r.Why == "revoked" {
			return p.T("web.said.revoked", of.Name, of.User)
		}
		return p.T("web.said.token", of.Name, of.User)
	case journal.LoggedIn:
		return p.T("web.said.from", of.Address)
	case journal.LoginRefused:
		return p.T("web.said.of", orWord(of.User, p.T("web.said.nobody")), p.T("web.said.from", of.Address))
	case journal.MuteSet:
		return p.T("web.said.of", orWord(of.Scope, p.T("web.everything")), r.Why)
	case journal.MuteLifted:
		return fmt.Sprintf("#%d", of.Mute)
	}
	return r.Why
}

// ended tells whether an entry says that something ended so: in its data; old ones in
// their words, "done", "NAME: done".
func ended(r journal.Record, how string) bool {
	var data struct{ Status, State string }
	if !r.Reason.IsZero() && json.Unmarshal(r.Data, &data) == nil {
		return orWord(data.Status, data.State) == how
	}
	why := r.Why
	if r.Kind == journal.StepEnded {
		if _, after, ok := strings.Cut(why, ": "); ok {
			why = after
		}
	}
	return slices.Contains([]journal.Kind{journal.StepEnded, journal.RunEnded, journal.ApprovalDecided}, r.Kind) && strings.HasPrefix(why, how)
}

func toneOf(r journal.Record) string {
	switch {
	case r.Kind == journal.IncidentOpened, r.Kind == journal.Escalated, r.Kind == journal.LoginRefused, ended(r, "failed"), ended(r, "unknown"), ended(r, "human"), ended(r, "refused"):
		return "bad"
	case r.Kind == journal.IncidentEnded, ended(r, "done"), ended(r, "granted"):
		return "good"
	case r.Kind == journal.RunStarted, r.Kind == journal.ApprovalAsked, r.Kind == journal.Decided:
		return "live"
	}
	return ""
}

type incidentPage struct {
	titled
	state.Story
	About     classify.Words
	Decisions []autopilot.Decision
	Decided   time.Time
	RunViews  []runView
	Asked     []state.Approval
	Entries   []entry
	Books     []state.CurrentPlaybook
	// Unsettled are attempts of which nobody knows whether they had an effect.
	Unsettled []state.Step
}

// Told is how many alerts are shown.
func (d incidentPage) Told() int64 { return int64(len(d.Alerts)) }

func (c *call) incident() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	story, err := c.State.Story(c.ctx(), id)
	if err != nil {
		return err
	}
	d := incidentPage{titled: titled{story.Incident, c.titleOf(story.Incident)}, Story: story, About: c.fault(string(story.Incident.Code), c.page.Lang)}
	if d.RunViews, err = c.runViews(story.Runs, story.Steps, story.Approvals); err != nil {
		return err
	}
	d.Entries = c.entries(story.Journal)
	for _, a := range story.Approvals {
		if a.State == state.ApprovalAsked {
			d.Asked = append(d.Asked, a)
		}
	}
	for _, s := range story.Steps {
		if s.Status == state.StepUnknown {
			d.Unsettled = append(d.Unsettled, s)
		}
	}
	d.Decisions, d.Decided = decisions(d.Entries)
	if story.Incident.State == state.IncidentOpen {
		if d.Books, err = c.State.CurrentPlaybooks(c.ctx()); err != nil {
			return err
		}
	}
	c.page.Title = d.Words
	return c.show("incident", "", d)
}

// decisions are the last ones on each playbook; those that it is for come first.
func decisions(all []entry) (list []autopilot.Decision, at time.Time) {
	seen := map[string]bool{}
	for _, e := range slices.Backward(all) {
		var made []autopilot.Decision
		if e.Kind != journal.Decided || json.Unmarshal(e.Data, &made) != nil {
			continue
		}
		if at.IsZero() {
			at = e.At
		}
		for _, d := range made {
			if !seen[d.Playbook] {
				seen[d.Playbook] = true
				list = append(list, d)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b autopilot.Decision) int {
		return boolRank(a.Check == autopilot.CheckMatch) - boolRank(b.Check == autopilot.CheckMatch)
	})
	return list, at
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *call) run() error {
	id, err := c.id()
	if err != nil {
		return err
	}
	run, err := c.State.Run(c.ctx(), id)
	if err != nil {
		return err
	}
	if run.Incident > 0 {
		http.Redirect(c.w, c.r, fmt.Sprintf("/incidents/%d#run-%d", run.Incident, run.ID), http.StatusSeeOther)
		return nil
	}
	steps, err := c.State.Steps(c.ctx(), id)
	if err != nil {
		return err
	}
	approvals, err := c.State.Approvals(c.ctx(), "", id, state.Page{})
	if err != nil {
		return err
	}
	views, err := c.runViews([]state.Run{run}, steps, approvals)
	if err != nil {
		return err
	}
	return c.show("run", "web.run", views)
}

type approvalsPage struct {
	Asked, Decided []state.AskedApproval
}

func (c *call) approvals() error {
	all, err := c.State.AskedApprovals(c.ctx(), "", state.Page{Limit: listed})
	if err != nil {
		return err
	}
	asked, err := c.State.AskedApprovals(c.ctx(), state.ApprovalAsked, state.Page{Limit: 500})
	if err != nil {
		return err
	}
	return c.show("approvals", "web.approvals", approvalsPage{asked, slices.DeleteFunc(all, func(a state.AskedApproval) bool { return a.State == state.ApprovalAsked })})
}

type fingerRow struct {
	*classify.Fingerprint
	classify.Words
	Open int64
}

type fingerprintsPage struct {
	Text  string
	Team  string
	Teams []string
	List  []fingerRow
	Total int
}

func (c *call) fingerprints() error {
	d := fingerprintsPage{Text: c.query("q"), Team: c.query("team"), Teams: classify.Teams()}
	need := strings.ToLower(d.Text)
	for _, f := range c.Library.Fingerprints() {
		d.Total++
		w := c.fault(string(f.Code), c.page.Lang)
		other := c.fault(string(f.Code), c.page.otherLang())
		hay := strings.ToLower(string(f.Code) + " " + w.Title + " " + w.Cause + " " + other.Title)
		if !strings.Contains(hay, need) || d.Team != "" && d.Team != f.Team {
			continue
		}
		d.List = append(d.List, fingerRow{Fingerprint: f, Words: w})
	}
	return c.show("fingerprints", "web.fingerprints", d)
}

type journalPage struct {
	Kind   string
	Kinds  []string
	List   []entry
	Next   string
	First  string
	Report *journal.Report
	Took   time.Duration
	Signed state.Checkpoint
	End    state.Link
}

func (c *call) journal() error {
	d := journalPage{Kind: c.query("kind"), Kinds: kinds()}
	f := state.JournalFilter{Kind: d.Kind}
	f.Incident, _ = strconv.ParseInt(c.query("incident"), 10, 64)
	rows, err := c.State.Journal(c.ctx(), f, state.Page{Before: c.before(), Limit: listed + 1})
	if err != nil {
		return err
	}
	next := int64(0)
	if len(rows) > listed {
		rows = rows[:listed]
		next = rows[listed-1].Seq
	}
	d.List = c.entries(rows)
	d.Next, d.First = c.pager(next)
	if d.End, err = c.State.JournalEnd(c.ctx()); err != nil {
		return err
	}
	if d.Signed, err = c.State.CheckpointBefore(c.ctx(), c.State.Now().Add(time.Minute)); err != nil && problemOf(err).Status != http.StatusNotFound {
		return err
	}
	if c.query("verify") != "" {
		start := time.Now()
		report, err := journal.Verify(c.ctx(), c.State.Reader, c.Trust)
		if err != nil {
			return err
		}
		report = report.In(c.page.Lang)
		d.Report, d.Took = &report, time.Since(start)
	}
	return c.show("journal", "web.journal", d)
}

// titleText is what a playbook calls itself in the reader's language.
func (c *call) titleText(p *playbook.Program) string {
	if c.page.Code() == "en" {
		return orWord(p.Title.EN, p.Title.ZH)
	}
	return orWord(p.Title.ZH, p.Title.EN)
}
