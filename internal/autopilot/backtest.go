package autopilot

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Backtest asks what a playbook would have done with the alerts that came in.
type Backtest struct {
	// Classify says what an alert means. What it says today is taken for what it would
	// have said then.
	Classify Classifier
	Program  *Program
	From, To time.Time
	// RunTime is how long the steps of a run are taken to last; 0: a minute. Where the
	// playbook verifies, [Verify].After comes on top.
	RunTime time.Duration
}

// Would is one thing that the playbook would have done, or not.
type Would struct {
	At      time.Time     `json:"at"`
	Alert   int64         `json:"alert"`
	Code    keepwell.Code `json:"code"`
	Asset   string        `json:"asset"`
	Verdict Verdict       `json:"verdict"`
	Check   Check         `json:"check"`
	Why     msg.Reason    `json:"why"`
}

// BacktestReport is what came of it.
type BacktestReport struct {
	Alerts    int `json:"alerts"`
	Incidents int `json:"incidents"`
	Runs      int `json:"runs"`
	// Assets counts the runs on each, Stopped what else the limits would have stopped: of
	// one incident, the same limit once in a row.
	Assets  map[string]int `json:"assets"`
	Stopped map[Check]int  `json:"stopped"`
	// Events are the first of the decisions on what the playbook is for, in time.
	Events []Would `json:"events"`
}

// backtestEvents bounds the list of a report; all are counted.
const backtestEvents = 1000

// backtestLooks bounds how often a back-test decides: some seconds.
const backtestLooks = 1_000_000

// ErrTooMuch says that a back-test would take too long.
var ErrTooMuch = errors.New("the alerts of the time lead to too many decisions (hint: take a shorter time)")

// simulated is what a back-test remembers of a time that never was.
type simulated struct {
	b        Backtest
	policy   Policy
	lasts    time.Duration // a run
	now      time.Time
	looks    int
	open     map[string]*ongoing // by their keys
	firing   map[string]*ongoing // by fingerprint and start of what fires
	over     map[string]bool     // what was resolved
	runs     []*wouldRun         // as they began
	last     map[string]*wouldRun
	breakers map[string]*state.Breaker
	coming   agenda
	// shut is a time in which the window was seen to be closed.
	shut   struct{ from, until time.Time }
	report BacktestReport
}

// ongoing is an incident.
type ongoing struct {
	draft  state.Incident
	alert  state.StoredAlert // the newest that fired
	firing int
	ran    bool
	held   Check // what held it back last
	looks  bool  // it will be looked at again
}

type wouldRun struct {
	inc       *ongoing
	from, end time.Time
	// counted: it did not help, and stands in the breaker.
	counted bool
}

// coming is the end of a run, or else a look at an incident that may go on.
type coming struct {
	at  time.Time
	run *wouldRun
	inc *ongoing
}

// agenda is a heap of what comes, the next first.
type agenda []coming

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(coming)) } //nolint:forcetypeassert // nothing else is pushed
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// Run replays the alerts of the range. It changes nothing. As the engine does, it looks
// again after each cooldown at an incident that goes on, and runs once more, until the
// breaker or another limit holds it back. What needs the results of real runs is not
// simulated: every step succeeds, every approval is given at once, nobody closes an
// incident by hand. A run is ineffective where its fault comes again, or goes on, within
// [Policy].Refire; where the playbook verifies, if its incident goes on at its end.
func (b Backtest) Run(ctx context.Context, r state.Reader) (BacktestReport, error) {
	if err := b.Program.check(); err != nil {
		return BacktestReport{}, err
	}
	s := &simulated{
		b: b, policy: b.Program.Policy.filled(), lasts: or(b.RunTime, time.Minute),
		open: map[string]*ongoing{}, firing: map[string]*ongoing{}, over: map[string]bool{},
		last: map[string]*wouldRun{}, breakers: map[string]*state.Breaker{},
		report: BacktestReport{Assets: map[string]int{}, Stopped: map[Check]int{}},
	}
	if b.Program.Verify != nil {
		s.lasts += b.Program.Verify.After
	}
	after := state.StoredAlert{}
	for {
		page, err := r.AlertHistory(ctx, b.From, b.To, after, 500)
		if err != nil {
			return s.report, fmt.Errorf("reading the alerts of the back-test: %w", err)
		}
		for _, a := range page {
			if err := cmp.Or(s.goOn(ctx, a.First), s.take(ctx, a)); err != nil {
				return s.report, err
			}
		}
		if len(page) == 0 {
			return s.report, s.goOn(ctx, b.To)
		}
		after = page[len(page)-1]
	}
}

// take takes in an alert.
func (s *simulated) take(ctx context.Context, a state.StoredAlert) error {
	s.now = a.First
	s.report.Alerts++
	thing := fmt.Sprint(a.Fingerprint, " ", a.StartsAt.UnixMicro())
	if a.Status == keepwell.AlertResolved {
		s.over[thing] = true
		if inc := s.firing[thing]; inc != nil {
			delete(s.firing, thing)
			if inc.firing--; inc.firing == 0 {
				delete(s.open, inc.draft.Key)
			}
		}
		return nil
	}
	draft, err := draftOf(ctx, s.b.Classify, a.Alert)
	if err != nil {
		return err
	}
	draft.Key, draft.State, draft.Opened = state.IncidentKey(draft.Code, draft.Asset), state.IncidentOpen, a.First
	why, inc := joined, s.open[draft.Key]
	if inc == nil {
		why, inc = openedNow, &ongoing{draft: draft}
		s.report.Incidents++
	}
	inc.draft.Priority, inc.alert = severer(draft.Priority, inc.draft.Priority), a
	if s.over[thing] { // what said that it is over came first
		if why == openedNow {
			return nil
		}
	} else if s.firing[thing] == nil {
		s.open[draft.Key], s.firing[thing] = inc, inc
		inc.firing++
	}
	return s.decide(ctx, inc, why)
}

// goOn has happen what comes until a time.
func (s *simulated) goOn(ctx context.Context, until time.Time) error {
	for len(s.coming) > 0 && s.coming[0].at.Before(until) {
		next := heap.Pop(&s.coming).(coming) //nolint:forcetypeassert // nothing else is pushed
		s.now = next.at
		if next.run != nil {
			s.ends(next.run)
			continue
		}
		next.inc.looks = false
		if !s.goesOn(next.inc) {
			continue
		}
		if err := cmp.Or(ctx.Err(), s.decide(ctx, next.inc, rechecked)); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulated) goesOn(inc *ongoing) bool { return s.open[inc.draft.Key] == inc }

// look looks again at an incident, at one time.
func (s *simulated) look(inc *ongoing, at time.Time) {
	if !inc.looks {
		inc.looks = true
		heap.Push(&s.coming, coming{at: at, inc: inc})
	}
}

func (s *simulated) decide(ctx context.Context, inc *ongoing, why trigger) error {
	if s.looks++; s.looks > backtestLooks {
		return ErrTooMuch
	}
	if why == joined && inc.ran {
		return nil
	}
	ok, _, err := s.b.Program.Match(ctx, Facts{Now: s.now, Incident: inc.draft, Alert: inc.alert.Alert})
	if err != nil || !ok {
		return err
	}
	if why != joined {
		s.countRefire(inc)
	}
	w := Would{At: s.now, Alert: inc.alert.ID, Code: inc.draft.Code, Asset: inc.draft.Asset}
	var again time.Time
	if w.Check, w.Why, again = s.stopped(inc); w.Check == "" {
		w.Verdict, w.Check = VerdictRun, CheckAll
		s.begin(inc)
	} else {
		w.Verdict = VerdictNo
		if !again.IsZero() {
			s.look(inc, again)
		}
		if inc.held == w.Check {
			return nil // as it was
		}
		inc.held = w.Check
		s.report.Stopped[w.Check]++
	}
	if len(s.report.Events) < backtestEvents {
		s.report.Events = append(s.report.Events, w)
	}
	return nil
}

func (s *simulated) begin(inc *ongoing) {
	run := &wouldRun{inc: inc, from: s.now, end: s.now.Add(s.lasts)}
	inc.ran, inc.held = true, ""
	for _, b := range s.breakersOf(inc.draft.Asset) {
		if b.State == state.BreakerOpen {
			b.State = state.BreakerHalf
		}
	}
	s.runs, s.last[inc.draft.Asset] = append(s.runs, run), run
	s.report.Runs++
	s.report.Assets[inc.draft.Asset]++
	heap.Push(&s.coming, coming{at: run.end, run: run})
}

// ends ends a run, as [Engine.verify], succeed, futile and after do.
func (s *simulated) ends(run *wouldRun) {
	verified := s.b.Program.verified()
	if verified && s.goesOn(run.inc) {
		s.blame(run)
	} else {
		for _, b := range s.breakersOf(run.inc.draft.Asset) {
			if verified {
				b.Ineffective = 0
			}
			if b.State == state.BreakerHalf {
				b.State = state.BreakerClosed
			}
		}
	}
	if s.policy.Cooldown > 0 {
		s.look(run.inc, run.end.Add(s.policy.Cooldown))
	}
}

// breakersOf are the breakers of the playbook, which stands overAll times as many
// ineffective runs, and of an asset.
func (s *simulated) breakersOf(asset string) [2]*state.Breaker {
	var both [2]*state.Breaker
	for i, key := range [...]string{bookBreaker(""), targetBreaker("", asset)} {
		if s.breakers[key] == nil {
			s.breakers[key] = &state.Breaker{State: state.BreakerClosed}
		}
		both[i] = s.breakers[key]
	}
	return both
}

// blame counts a run as ineffective.
func (s *simulated) blame(run *wouldRun) {
	run.counted = true
	for i, b := range s.breakersOf(run.inc.draft.Asset) {
		b.Ineffective++
		limit := s.policy.Ineffective * [...]int64{overAll, 1}[i]
		if b.State == state.BreakerHalf || b.State == state.BreakerClosed && b.Ineffective >= limit {
			b.State, b.Until = state.BreakerOpen, s.now.Add(s.policy.Reopen)
		}
	}
}

// countRefire counts the last run on the asset as ineffective where its fault is there
// again, or still.
func (s *simulated) countRefire(inc *ongoing) {
	last := s.last[inc.draft.Asset]
	if last == nil || last.counted || last.inc.draft.Code != inc.draft.Code || s.now.Before(last.end) || s.now.After(last.end.Add(s.policy.Refire)) {
		return
	}
	s.blame(last)
}

// within are the runs that began less than a time ago.
func (s *simulated) within(d time.Duration) []*wouldRun {
	return s.runs[sort.Search(len(s.runs), func(i int) bool { return s.now.Sub(s.runs[i].from) < d }):]
}

// window tells why the playbook must not run now, and from when it may.
func (s *simulated) window() (why msg.Reason, until time.Time) {
	if s.policy.Window == nil {
		return msg.Reason{}, until
	}
	ok, why := s.policy.Window(s.now)
	if ok {
		return msg.Reason{}, until
	}
	if s.now.Before(s.shut.from) || !s.now.Before(s.shut.until) {
		s.shut.from, s.shut.until = s.now, s.now.Add(muteLook)
		for s.shut.until.Before(s.b.To) {
			if ok, _ := s.policy.Window(s.shut.until); ok {
				break
			}
			s.shut.until = s.shut.until.Add(muteLook)
		}
	}
	if why.IsZero() {
		why = msg.Because("why.window")
	}
	return why, s.shut.until
}

// stopped tells which limit stops a run on an incident, and when to look again; zero:
// its run that goes on will say.
func (s *simulated) stopped(inc *ongoing) (check Check, why msg.Reason, again time.Time) {
	if why, until := s.window(); !why.IsZero() {
		return CheckWindow, why, until
	}
	asset, again := inc.draft.Asset, s.now.Add(soon)
	unfinished := s.within(s.lasts)
	var onAsset int64
	for _, r := range unfinished {
		if r.inc == inc {
			return CheckRunning, msg.Because("why.back.running"), time.Time{}
		}
		if r.inc.draft.Asset == asset {
			onAsset++
		}
	}
	if s.policy.PerTarget >= 0 && onAsset >= s.policy.PerTarget {
		return CheckRunning, msg.Because("why.back.running"), again
	}
	for i, b := range s.breakersOf(asset) {
		if b.State == state.BreakerOpen && s.now.Before(b.Until) {
			return CheckBreaker, msg.Because("why.back.breaker", b.Ineffective, b.Until), b.Until
		}
		if b.State != state.BreakerClosed && [...]bool{len(unfinished) > 0, onAsset > 0}[i] {
			return CheckBreaker, msg.Because("why.back.running"), again
		}
	}
	if last := s.last[asset]; last != nil && s.policy.Cooldown > 0 && s.now.Before(last.end.Add(s.policy.Cooldown)) {
		return CheckCooldown, msg.Because("why.back.cooldown", s.now.Sub(last.from).Round(time.Second)), last.end.Add(s.policy.Cooldown)
	}
	if n := int64(len(s.within(s.policy.MaxRunsIn))); s.policy.MaxRuns > 0 && n >= s.policy.MaxRuns {
		return CheckMaxRuns, msg.Because("why.maxruns", n, s.policy.MaxRunsIn, s.policy.MaxRuns), s.now.Add(max(soon, s.policy.MaxRunsIn/10))
	}
	if n := int64(len(unfinished)); s.policy.Concurrency > 0 && n >= s.policy.Concurrency {
		return CheckConcurrency, msg.Because("why.back.concurrency", n, s.policy.Concurrency), again
	}
	if s.policy.MaxAssets > 0 {
		assets := map[string]bool{}
		for _, r := range s.within(s.policy.MaxAssetsIn) {
			assets[r.inc.draft.Asset] = true
		}
		if int64(len(assets)) >= s.policy.MaxAssets && !assets[asset] {
			return CheckBlast, msg.Because("why.blast", len(assets), s.policy.MaxAssetsIn, s.policy.MaxAssets), s.now.Add(max(soon, s.policy.MaxAssetsIn/10))
		}
	}
	return "", msg.Reason{}, time.Time{}
}
