package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
)

// watched is what one look differs by from the one before; a line of --json.
type watched struct {
	Time     string             `json:"time"`
	Healthy  bool               `json:"healthy"`
	Appeared []keepwell.Finding `json:"appeared"`
	Gone     []keepwell.Finding `json:"gone"`
	Checks   []examinedCheck    `json:"checks"`
}

// runDoctorWatch looks again and again, and tells what has changed, until no fault is
// left.
func runDoctorWatch(ctx context.Context, a *app, o doctorOptions) error {
	if o.interval < time.Second {
		return misused("err.doctor.interval", o.interval)
	}
	if f := present.Format(a.format); f != present.Text && !f.Machine() {
		return misused("err.format", a.format, names([]present.Format{present.Text, present.JSON, present.JSONL}))
	}
	var last []keepwell.Finding
	states := map[string]observe.State{}
	for first := true; ; first = false {
		c, report, err := examineNow(ctx, a, o)
		if err != nil {
			return err
		}
		now, err := a.describe(c, report.Findings, nil)
		if err != nil {
			return err
		}
		w := watched{
			Time: time.Now().Format(time.RFC3339), Healthy: exitFor(now, present.Text) == exitFine,
			Appeared: without(now, last), Gone: without(last, now), Checks: []examinedCheck{},
		}
		for _, check := range examinedChecks(a, report) {
			if states[check.ID] != check.State {
				w.Checks = append(w.Checks, check)
			}
			states[check.ID] = check.State
		}
		if err := a.tellWatched(c, report, now, w, first); err != nil {
			return err
		}
		if w.Healthy {
			return nil
		}
		last = now
		timer := time.NewTimer(o.interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// without are the findings of list that others have none of the same about.
func without(list, others []keepwell.Finding) []keepwell.Finding {
	same := func(a, b keepwell.Finding) bool {
		return a.Code == b.Code && a.Facts["module"] == b.Facts["module"] && a.Facts["host"] == b.Facts["host"] && a.Facts["setting"] == b.Facts["setting"]
	}
	out := []keepwell.Finding{}
	for _, f := range list {
		if f.Severity != keepwell.SeverityInfo && !slices.ContainsFunc(others, func(o keepwell.Finding) bool { return same(o, f) && o.Severity != keepwell.SeverityInfo }) {
			out = append(out, f)
		}
	}
	return out
}

func (a *app) tellWatched(c *doctor.Case, r doctor.Report, now []keepwell.Finding, w watched, first bool) error {
	changed := len(w.Appeared)+len(w.Gone)+len(w.Checks) > 0
	switch {
	case !changed && !first && !w.Healthy:
		return nil
	case present.Format(a.format).Machine():
		return shown(a, present.Data(a.out, present.JSONL, w))
	case first:
		if err := a.showExamined(c, r, now); err != nil || w.Healthy {
			return err
		}
		fmt.Fprintln(a.out, "\n"+msg.Text(a.lang, "doctor.watch.begin"))
		return nil
	}
	clock := time.Now().Format(time.TimeOnly)
	say := func(text string) { fmt.Fprintln(a.out, present.Visible(clock+"  "+text, true)) }
	for _, check := range w.Checks {
		say(stateMark(check.State) + " " + msg.Text(a.lang, "labelled", msg.Text(a.lang, "doctor."+check.ID), check.Text))
	}
	for _, f := range w.Gone {
		say(msg.Text(a.lang, "doctor.fix.gone", f.Code))
	}
	for _, f := range w.Appeared {
		say(msg.Text(a.lang, "doctor.watch.new", f.Code, f.Title))
	}
	if w.Healthy {
		fmt.Fprintln(a.out, msg.Text(a.lang, "doctor.fine"))
	}
	return nil
}

func stateMark(s observe.State) string {
	return map[observe.State]string{observe.Yes: "✓", observe.No: "✗", observe.NotChecked: "·"}[s]
}
