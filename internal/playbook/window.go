package playbook

import (
	"fmt"
	"time"
	_ "time/tzdata" // containers come without time zones

	"github.com/robfig/cron/v3"
)

// Window is a time that comes back: it opens as Cron says and stays open for Duration.
type Window struct {
	Cron     string
	Duration time.Duration
	Zone     *time.Location
	schedule cron.Schedule
}

const longestWindow = 7 * 24 * time.Hour

// newWindow checks what was written; five fields, no seconds, no @every.
func newWindow(expr string, length time.Duration, zone *time.Location) (Window, error) {
	w := Window{Cron: expr, Duration: length, Zone: zone}
	schedule, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(expr)
	if err != nil {
		return w, err
	}
	if spec, ok := schedule.(*cron.SpecSchedule); ok && spec.Location != time.Local {
		return w, fmt.Errorf("the time zone stands in timezone")
	}
	if schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return w, fmt.Errorf("the date never comes")
	}
	w.schedule = schedule
	return w, nil
}

// Open tells whether the window is open at t: from the minute it opens, until just
// before Duration has gone by.
func (w *Window) Open(t time.Time) bool {
	if w.schedule == nil {
		return false
	}
	opens := w.schedule.Next(t.In(w.Zone).Add(-w.Duration))
	return !opens.IsZero() && !opens.After(t)
}
