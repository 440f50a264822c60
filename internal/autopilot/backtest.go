package autopilot

import (
	"context"
	"fmt"
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
	// RunTime is how long a run is taken to last; 0: a minute.
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
	// Assets counts the runs on each, Stopped what else the limits would have stopped.
	Assets  map[string]int `json:"assets"`
	Stopped map[Check]int  `json:"stopped"`
	// Events are the first of the decisions on what the playbook is for, in time.
	Events []Would `json:"events"`
}

// backtestEvents bounds the list of a report; all are counted.
const backtestEvents = 1000

// simulated is what a back-test remembers of a time that never was.
type simulated struct {
	b       Backtest
	policy  Policy
	open    map[string]map[string]bool // incident -> what fires, by fingerprint and start
	runs    []Would
	opening map[string]bool // incidents that ran
	refired map[string]int64
	until   map[string]time.Time // open breakers
	report  BacktestReport
}

// Run replays the alerts of the range. It changes nothing. What needs the results of real
// runs is not simulated: every run succeeds; one whose fault comes again within
// [Policy].Refire counts as ineffective.
func (b Backtest) Run(ctx context.Context, r state.Reader) (BacktestReport, error) {
	if err := b.Program.check(); err != nil {
		return BacktestReport{}, err
	}
	b.RunTime = or(b.RunTime, time.Minute)
	s := &simulated{
		b: b, policy: b.Program.Policy.filled(), open: map[string]map[string]bool{}, opening: map[string]bool{}, refired: map[string]int64{}, until: map[string]time.Time{},
		report: BacktestReport{Assets: map[string]int{}, Stopped: map[Check]int{}},
	}
	after := state.StoredAlert{}
	for {
		page, err := r.AlertHistory(ctx, b.From, b.To, after, 500)
		if err != nil {
			return s.report, fmt.Errorf("reading the alerts of the back-test: %w", err)
		}
		for _, a := range page {
			if err := s.take(ctx, a); err != nil {
				return s.report, err
			}
		}
		if len(page) == 0 {
			return s.report, nil
		}
		after = page[len(page)-1]
	}
}

func (s *simulated) take(ctx context.Context, a state.StoredAlert) error {
	s.report.Alerts++
	draft, err := draftOf(ctx, s.b.Classify, a.Alert)
	if err != nil {
		return err
	}
	key, thing := state.IncidentKey(draft.Code, draft.Asset), fmt.Sprint(a.Fingerprint, " ", a.StartsAt.UnixMicro())
	if a.Status == keepwell.AlertResolved {
		delete(s.open[key], thing)
		if len(s.open[key]) == 0 {
			delete(s.open, key)
			delete(s.opening, key)
		}
		return nil
	}
	opened := s.open[key] == nil
	if opened {
		s.open[key] = map[string]bool{}
		s.report.Incidents++
	}
	s.open[key][thing] = true
	draft.Key, draft.State, draft.Opened = key, state.IncidentOpen, a.First
	ok, _, err := s.b.Program.Match(ctx, Facts{Now: a.First, Incident: draft, Alert: a.Alert})
	if err != nil || !ok || s.opening[key] {
		return err
	}
	w := Would{At: a.First, Alert: a.ID, Code: draft.Code, Asset: draft.Asset}
	if opened {
		s.countRefire(w)
	}
	if w.Check, w.Why = s.stopped(w); w.Check == "" {
		w.Verdict, w.Check = VerdictRun, CheckAll
		s.opening[key] = true
		s.runs = append(s.runs, w)
		s.report.Runs++
		s.report.Assets[w.Asset]++
	} else {
		w.Verdict = VerdictNo
		s.report.Stopped[w.Check]++
	}
	if len(s.report.Events) < backtestEvents {
		s.report.Events = append(s.report.Events, w)
	}
	return nil
}

// countRefire counts the last run on the asset as ineffective where its fault comes again.
func (s *simulated) countRefire(w Would) {
	for i := len(s.runs) - 1; i >= 0; i-- {
		last := s.runs[i]
		if last.Asset != w.Asset {
			continue
		}
		if last.Code != w.Code || last.Verdict != VerdictRun || w.At.After(last.At.Add(s.b.RunTime+s.policy.Refire)) {
			return
		}
		s.runs[i].Verdict = VerdictNo // counted
		if s.refired[w.Asset]++; s.refired[w.Asset] >= s.policy.Ineffective {
			s.until[w.Asset] = w.At.Add(s.policy.Reopen)
		}
		return
	}
}

// stopped tells which limit would have stopped a run.
func (s *simulated) stopped(w Would) (Check, msg.Reason) {
	if s.policy.Window != nil {
		if ok, why := s.policy.Window(w.At); !ok {
			return CheckWindow, why
		}
	}
	if until := s.until[w.Asset]; w.At.Before(until) {
		return CheckBreaker, msg.Because("why.back.breaker", s.refired[w.Asset], until)
	}
	var within, running int64
	assets := map[string]bool{}
	for _, r := range s.runs {
		age := w.At.Sub(r.At)
		if r.Asset == w.Asset && age < s.b.RunTime {
			return CheckRunning, msg.Because("why.back.running")
		}
		if r.Asset == w.Asset && s.policy.Cooldown > 0 && age < s.b.RunTime+s.policy.Cooldown {
			return CheckCooldown, msg.Because("why.back.cooldown", age.Round(time.Second))
		}
		if age < s.policy.MaxRunsIn {
			within++
		}
		if age < s.b.RunTime {
			running++
		}
		if age < s.policy.MaxAssetsIn {
			assets[r.Asset] = true
		}
	}
	switch {
	case s.policy.MaxRuns > 0 && within >= s.policy.MaxRuns:
		return CheckMaxRuns, msg.Because("why.maxruns", within, s.policy.MaxRunsIn, s.policy.MaxRuns)
	case s.policy.Concurrency > 0 && running >= s.policy.Concurrency:
		return CheckConcurrency, msg.Because("why.back.concurrency", running, s.policy.Concurrency)
	case s.policy.MaxAssets > 0 && int64(len(assets)) >= s.policy.MaxAssets && !assets[w.Asset]:
		return CheckBlast, msg.Because("why.blast", len(assets), s.policy.MaxAssetsIn, s.policy.MaxAssets)
	}
	return "", msg.Reason{}
}
