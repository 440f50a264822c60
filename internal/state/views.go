package state

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
)

// What people and programs look at: lists with filters and pages, one incident's story,
// figures. All of it only reads.

// Handled says who repaired an incident.
type Handled string

// Who repairs. An incident counts for a run when the run of it succeeded, verified where
// its playbook verifies.
const (
	HandledAlone    Handled = "alone"    // a run that no person started or approved; and nobody closed the incident
	HandledTogether Handled = "together" // a run, and a person who started or approved it, or closed the incident
	HandledPeople   Handled = "people"   // no run: a person, or it went by itself
)

// repaired is the SQL that notes [Handled] of a resolved incident, the day and the seconds
// that its repair took, rounded to about a twelfth, so that there are few different ones
// to count. (|| ” keeps SQLite, which has no statistics, from taking an index of the state.)
const (
	handled = "(CASE WHEN resolution <> '" + ResolvedByHand + "' AND EXISTS(SELECT 1 FROM runs WHERE runs.incident_id = incidents.id AND runs.state || '' = 'done' AND runs.mode || '' = 'active' " +
		"AND NOT EXISTS(SELECT 1 FROM approvals WHERE approvals.run_id = runs.id AND approvals.state = 'granted')) THEN 'alone' " +
		"WHEN EXISTS(SELECT 1 FROM runs WHERE runs.incident_id = incidents.id AND runs.state || '' = 'done' AND runs.mode || '' IN ('active', 'manual')) THEN 'together' ELSE 'people' END)"
	took   = "((resolved_at - opened_at) / 1000000)"
	repair = "(CASE WHEN " + took + " < 60 THEN " + took + " WHEN " + took + " < 600 THEN " + took + " / 5 * 5 WHEN " + took + " < 3600 THEN " + took + " / 30 * 30 " +
		"WHEN " + took + " < 36000 THEN " + took + " / 300 * 300 ELSE " + took + " / 3600 * 3600 END)"
	repaired = "handled = " + handled + ", repair = " + repair + ", repair_day = resolved_at / 86400000000"
)

// account notes who repaired a resolved incident; a run may end before or after it.
func (tx *Tx) account(ctx context.Context, where string, id int64) error {
	days, err := list(ctx, tx.Reader, number, "UPDATE incidents SET "+repaired+" WHERE id = "+where+" AND state = 'resolved' RETURNING repair_day", id)
	if err == nil && len(days) > 0 && days[0] < dayOf(tx.now()) {
		err = tx.rewrite(ctx)
	}
	return err
}

// searched is what a search of incidents looks through.
func searched(title, asset string, code keepwell.Code) string {
	return strings.ToLower(title + " " + asset + " " + string(code))
}

// IncidentQuery asks for a list of incidents that people look through. What is zero does
// not narrow.
type IncidentQuery struct {
	IncidentFilter
	// Text stands in the title, the asset or the code, in capitals or not.
	Text string
}

func (q IncidentQuery) where(kind Kind) *where {
	w := q.IncidentFilter.where()
	if q.Text != "" {
		find := "instr"
		if kind == PostgreSQL {
			find = "strpos"
		}
		w.add(find+"(words, ?) > 0", strings.ToLower(q.Text))
	}
	return w
}

// IncidentPage is a part of a list.
type IncidentPage struct {
	Incidents []Incident `json:"incidents"`
	// Next is the Before of the following page; 0: this is the last one.
	Next int64 `json:"next,omitempty"`
}

// FindIncidents lists incidents, newest first.
func (r Reader) FindIncidents(ctx context.Context, q IncidentQuery, p Page) (page IncidentPage, err error) {
	w := q.where(r.kind)
	if p.Before > 0 {
		w.add("id < ?", p.Before)
	}
	limit := p.limit()
	// The search reads an index alone; only what is shown is read whole. One more than is
	// shown tells whether there is another page.
	page.Incidents, err = list(ctx, r, scanIncident, fmt.Sprintf("SELECT %s FROM incidents WHERE id IN (SELECT id FROM incidents%s ORDER BY id DESC LIMIT %d) ORDER BY id DESC", incidentColumns, w, limit+1), w.args...)
	if len(page.Incidents) > limit {
		page.Incidents = page.Incidents[:limit]
		page.Next = page.Incidents[limit-1].ID
	}
	return page, err
}

// UrgentIncidents lists open incidents, the most severe first, of these the oldest.
func (r Reader) UrgentIncidents(ctx context.Context, most int) ([]Incident, error) {
	return list(ctx, r, scanIncident, fmt.Sprintf("SELECT %s FROM incidents WHERE state = 'open' ORDER BY priority, opened_at, id LIMIT %d", incidentColumns, most))
}

// IncidentCount is how many incidents share a state and a priority.
type IncidentCount struct {
	State    IncidentState     `json:"state"`
	Priority keepwell.Priority `json:"priority"`
	Count    int64             `json:"count"`
}

// IncidentCounts is what that of State does, and looks at each incident.
func (r Reader) IncidentCounts(ctx context.Context, q IncidentQuery) ([]IncidentCount, error) {
	w := q.where(r.kind)
	by := "state, priority"
	if q.Text != "" {
		by = "state || '', priority || ''" // not by their index, which lacks the words
	}
	return list(ctx, r, func(s scanner) (c IncidentCount, err error) { return c, s.Scan(&c.State, &c.Priority, &c.Count) },
		"SELECT MAX(state), MAX(priority), COUNT(*) FROM incidents"+w.String()+" GROUP BY "+by+" ORDER BY 1, 2", w.args...)
}

// Bounds of a story: what is beyond is counted, not told.
const (
	storyAlerts  = 200
	storyRuns    = 100
	storyEntries = 1000
)

// Story is all that is known of one incident, each list in time order.
type Story struct {
	Incident  Incident      `json:"incident"`
	Handled   Handled       `json:"handled,omitempty"` // of a resolved one
	Alerts    []StoredAlert `json:"alerts"`            // the latest 200 of Incident.Alerts
	Runs      []Run         `json:"runs"`              // the latest 100
	Steps     []Step        `json:"steps"`             // of these runs
	Approvals []Approval    `json:"approvals"`
	Journal   []JournalRow  `json:"journal"` // the latest 1,000
}

// Story reads one incident with its alerts, runs and what the journal tells of them.
func (r Reader) Story(ctx context.Context, id int64) (s Story, err error) {
	if s.Incident, err = r.Incident(ctx, id); err != nil {
		return s, err
	}
	who, err := one(ctx, r, word, "SELECT handled FROM incidents WHERE id = ?1", id)
	if err != nil {
		return s, err
	}
	s.Handled = Handled(who)
	if s.Alerts, err = r.Alerts(ctx, AlertFilter{Incident: id}, Page{Limit: storyAlerts}); err != nil {
		return s, err
	}
	if s.Runs, err = r.Runs(ctx, RunFilter{Incident: id}, Page{Limit: storyRuns}); err != nil {
		return s, err
	}
	runs := make([]int64, 0, len(s.Runs))
	for _, run := range s.Runs {
		runs = append(runs, run.ID)
	}
	of := "incident_id = ?1"
	if len(runs) > 0 {
		if s.Steps, err = list(ctx, r, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run_id IN ("+ids(runs)+") ORDER BY run_id, seq, attempt"); err != nil {
			return s, err
		}
		if s.Approvals, err = list(ctx, r, scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE run_id IN ("+ids(runs)+") ORDER BY id"); err != nil {
			return s, err
		}
		of += " OR run_id IN (" + ids(runs) + ")" // what people settle names only the run
	}
	s.Journal, err = list(ctx, r, scanJournal, fmt.Sprintf("SELECT %s FROM journal WHERE %s ORDER BY seq DESC LIMIT %d", journalColumns, of, storyEntries), id)
	slices.Reverse(s.Alerts)
	slices.Reverse(s.Runs)
	slices.Reverse(s.Journal)
	return s, err
}

// day is when a day begins, in UTC.
func day(n int64) time.Time { return time.Unix(n*86400, 0).UTC() }

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

// Repairs are the incidents that were resolved within a week or a month.
type Repairs struct {
	From  time.Time `json:"from"`
	Count int64     `json:"count"`
	// Median and P90 are how long it took from the first alert, rounded to about a twelfth.
	Median time.Duration `json:"median"`
	P90    time.Duration `json:"p90"`
}

// Period is a week or a month, in UTC.
type Period struct {
	From time.Time           `json:"from"`
	By   map[Handled]Repairs `json:"by"`
	All  Repairs             `json:"all"`
}

// Share is which part was handled without people, of all; 0 where there was none.
func (p Period) Share() float64 {
	if p.All.Count == 0 {
		return 0
	}
	return float64(p.By[HandledAlone].Count) / float64(p.All.Count)
}

// RunDay counts the runs that ended on a day, in UTC, without observations and undos.
type RunDay struct {
	From  time.Time `json:"from"`
	State RunState  `json:"state"`
	Count int64     `json:"count"`
}

// Top is something that many incidents share.
type Top struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// Overview are the figures of the first page.
type Overview struct {
	Open   []IncidentCount `json:"open"` // by priority
	Weeks  []Period        `json:"weeks"`
	Months []Period        `json:"months"`
	Runs   []RunDay        `json:"runs"`  // of today and the 30 days before
	Codes  []Top           `json:"codes"` // opened in these days
	Assets []Top           `json:"assets"`
	// Automated is when the first run of a playbook that acts began; zero: none has.
	Automated time.Time `json:"automated,omitzero"`
}

// repairCount is how many repairs of a day took so many seconds.
type repairCount struct {
	day     int64
	handled Handled
	seconds int64
	count   int64
}

// Bounds of the overview.
const (
	overviewMonths = 12
	overviewDays   = 30
	overviewTop    = 8
)

// periods gathers counts by the period that begin names the first day of. It sorts them.
func periods(counts []repairCount, begin func(time.Time) time.Time) []Period {
	of := map[time.Time][]repairCount{}
	slices.SortFunc(counts, func(a, b repairCount) int { return cmp.Compare(a.seconds, b.seconds) })
	for _, c := range counts {
		from := begin(day(c.day))
		of[from] = append(of[from], c)
	}
	var all []Period
	for from, list := range of {
		p := Period{From: from, By: map[Handled]Repairs{}, All: repairsOf(from, list, "")}
		for _, who := range []Handled{HandledAlone, HandledTogether, HandledPeople} {
			if r := repairsOf(from, list, who); r.Count > 0 {
				p.By[who] = r
			}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Period) int { return a.From.Compare(b.From) })
	return all
}

// repairsOf makes the figures of one kind of repairs, or of all, from the shortest to the longest.
func repairsOf(from time.Time, counts []repairCount, who Handled) Repairs {
	r := Repairs{From: from}
	var mine []repairCount
	for _, c := range counts {
		if who == "" || c.handled == who {
			mine = append(mine, c)
			r.Count += c.count
		}
	}
	r.Median, r.P90 = quantile(mine, r.Count, 0.5), quantile(mine, r.Count, 0.9)
	return r
}

// quantile is the smallest value that a part q of all does not exceed.
func quantile(sorted []repairCount, total int64, q float64) time.Duration {
	rank := int64(math.Ceil(float64(total) * q))
	for _, c := range sorted {
		if rank -= c.count; rank <= 0 {
			return time.Duration(c.seconds) * time.Second
		}
	}
	return 0
}

// BookRuns is how many runs of a playbook share a mode and a state.
type BookRuns struct {
	Playbook string   `json:"playbook"`
	Mode     string   `json:"mode"`
	State    RunState `json:"state"`
	Count    int64    `json:"count"`
}

// BookRuns counts the runs of all playbooks.
func (r Reader) BookRuns(ctx context.Context) ([]BookRuns, error) {
	return list(ctx, r, func(s scanner) (b BookRuns, err error) { return b, s.Scan(&b.Playbook, &b.Mode, &b.State, &b.Count) },
		"SELECT playbook, mode, state, COUNT(*) FROM runs GROUP BY playbook, mode, state ORDER BY playbook, mode, state")
}

// EndedRuns counts the runs that acted, or were to, and have ended since a time, by state.
func (r Reader) EndedRuns(ctx context.Context, since time.Time) (map[RunState]int64, error) {
	type count struct {
		state RunState
		n     int64
	}
	counts, err := list(ctx, r, func(s scanner) (c count, err error) { return c, s.Scan(&c.state, &c.n) },
		"SELECT "+r.kind.bare("state")+", COUNT(*) FROM runs WHERE ended_at >= ?1 AND "+r.kind.bare("mode")+" IN ('active', 'manual') GROUP BY 1", micros(since))
	ended := map[RunState]int64{}
	for _, c := range counts {
		ended[c.state] = c.n
	}
	return ended, err
}

// AskedApproval is an approval with the run that waits for it.
type AskedApproval struct {
	Approval
	Of   Run  `json:"of"`
	Step Step `json:"step"` // the attempt that waits, or the last one
}

// AskedApprovals lists approvals with their runs, newest first; a zero state does not narrow.
func (r Reader) AskedApprovals(ctx context.Context, state ApprovalState, p Page) ([]AskedApproval, error) {
	approvals, err := r.Approvals(ctx, state, 0, p)
	if err != nil || len(approvals) == 0 {
		return nil, err
	}
	runs := make([]int64, 0, len(approvals))
	for _, a := range approvals {
		runs = append(runs, a.Run)
	}
	found, err := list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE id IN ("+ids(runs)+")")
	if err != nil {
		return nil, err
	}
	steps, err := list(ctx, r, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run_id IN ("+ids(runs)+") ORDER BY run_id, seq, attempt")
	if err != nil {
		return nil, err
	}
	all := make([]AskedApproval, 0, len(approvals))
	for _, a := range approvals {
		asked := AskedApproval{Approval: a}
		if i := slices.IndexFunc(found, func(run Run) bool { return run.ID == a.Run }); i >= 0 {
			asked.Of = found[i]
		}
		for _, s := range steps {
			if s.Run == a.Run && s.Seq == a.Seq {
				asked.Step = s
			}
		}
		all = append(all, asked)
	}
	return all, nil
}
