package state

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// past keeps figures of the days that are over in memory, so that a view of a server with
// 100,000 incidents reads those of today only. They are never old: what changes a day that
// is over says so within its transaction ([Tx.rewrite]), on whichever node, and whoever
// asks looks whether it was said. A day is over an hour after its end, when no transaction
// that began in it can still be running.
type past[T any] struct {
	mu   sync.Mutex // also held while they are read: two would read the same
	last *days[T]
}

// days are figures of all days before one. They are not changed once they are made.
type days[T any] struct {
	written string // what pastKey was before they were read
	until   int64  // the first day that is not in them
	figures T
}

// pastKey names the setting that differs after each change of a day that is over.
const pastKey = "past"

// rewrite says that a day may have changed that is over.
func (tx *Tx) rewrite(ctx context.Context) error {
	_, err := tx.exec(ctx, "INSERT INTO settings(name, value, updated_at) VALUES(?1, '1', ?2) ON CONFLICT(name) DO UPDATE SET value = CAST(CAST(settings.value AS BIGINT) + 1 AS TEXT), updated_at = excluded.updated_at",
		pastKey, micros(tx.now()))
	return err
}

// get reads what is not known yet.
func (p *past[T]) get(ctx context.Context, r Reader, read func(ctx context.Context, r Reader, until int64) (T, error)) (*days[T], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written, _, err := r.Setting(ctx, pastKey) // before the rest
	if err != nil {
		return nil, err
	}
	until := dayOf(r.Now().Add(-time.Hour))
	if p.last == nil || p.last.written != written || p.last.until != until {
		f, err := read(ctx, r, until)
		if err != nil {
			return nil, err
		}
		p.last = &days[T]{written, until, f}
	}
	return p.last, nil
}

// overviewPast is what the overview tells of the days that are over.
type overviewPast struct {
	weeks, months []repairCount // the day is the first one of the week or the month
	runs          []RunDay
	codes, assets tally
	automated     time.Time
	lastRun       int64 // no run up to this one acts, where automated is zero
}

func readOverview(ctx context.Context, r Reader, until int64) (f overviewPast, err error) {
	year, month, _ := day(until).Date()
	first := time.Date(year, month-overviewMonths+1, 1, 0, 0, 0, 0, time.UTC)
	repairs, err := r.repairs(ctx, dayOf(first), until)
	if err != nil {
		return f, err
	}
	f.weeks, f.months = fold(repairs, weekOf), fold(repairs, monthOf)
	if f.runs, err = r.runDays(ctx, until-overviewDays, until); err != nil {
		return f, err
	}
	if f.codes, f.assets, err = r.opened(ctx, until-overviewDays, until); err != nil {
		return f, err
	}
	if f.automated, err = r.automated(ctx, 0); err != nil || !f.automated.IsZero() {
		return f, err
	}
	f.lastRun, err = one(ctx, r, number, "SELECT COALESCE(MAX(id), 0) FROM runs WHERE created_at < ?1", dayMicros(until))
	return f, err
}

// never is a day after all others.
const never = 1 << 24

func dayMicros(n int64) int64 { return n * 86400 * 1_000_000 }

// repairs counts the repairs of the days from, …, until-1.
func (r Reader) repairs(ctx context.Context, from, until int64) ([]repairCount, error) {
	return list(ctx, r, func(s scanner) (c repairCount, err error) { return c, s.Scan(&c.day, &c.handled, &c.seconds, &c.count) },
		"SELECT repair_day, handled, repair, COUNT(*) FROM incidents WHERE repair_day >= ?1 AND repair_day < ?2 GROUP BY repair_day, handled, repair", from, until)
}

// resolvedToday appends to columns what it appends for the reason that bare tells.
const resolvedToday = "SELECT priority || '' AS priority, COUNT(*) AS n FROM incidents WHERE state || '' = 'resolved' AND repair_day >= ?1 GROUP BY 1"

func readResolved(ctx context.Context, r Reader, until int64) ([]IncidentCount, error) {
	return r.resolved(ctx, "SELECT priority, CAST(SUM(n) AS BIGINT) FROM (SELECT priority, COUNT(*) AS n FROM incidents WHERE state = 'resolved' GROUP BY priority "+
		"UNION ALL SELECT priority, -n FROM ("+resolvedToday+") today) every GROUP BY priority", until)
}

// resolved counts resolved incidents by priority.
func (r Reader) resolved(ctx context.Context, query string, until int64) ([]IncidentCount, error) {
	return list(ctx, r, func(s scanner) (c IncidentCount, err error) {
		c.State = IncidentResolved
		return c, s.Scan(&c.Priority, &c.Count)
	}, query, until)
}

// runDays counts the runs that ended on the days from, …, until-1.
func (r Reader) runDays(ctx context.Context, from, until int64) ([]RunDay, error) {
	return list(ctx, r, func(s scanner) (d RunDay, err error) {
		var n int64
		err = s.Scan(&n, &d.State, &d.Count)
		d.From = day(n)
		return d, err
	}, "SELECT ended_at / 86400000000, "+r.kind.bare("state")+", COUNT(*) FROM runs WHERE ended_at >= ?1 AND ended_at < ?2 AND "+r.kind.bare("mode")+" IN ('active', 'manual') GROUP BY 1, 2 ORDER BY 1, 2", dayMicros(from), dayMicros(until))
}

// opened counts the incidents that were opened on the days from, …, until-1.
func (r Reader) opened(ctx context.Context, from, until int64) (codes, assets tally, err error) {
	if codes, err = r.tally(ctx, "code", from, until); err == nil {
		assets, err = r.tally(ctx, "asset", from, until)
	}
	return codes, assets, err
}

func (r Reader) tally(ctx context.Context, column string, from, until int64) (t tally, err error) {
	t.all, err = list(ctx, r, func(s scanner) (t Top, err error) { return t, s.Scan(&t.Name, &t.Count) },
		"SELECT "+r.kind.bare(column)+", COUNT(*) FROM incidents WHERE opened_at >= ?1 AND opened_at < ?2 GROUP BY 1", dayMicros(from), dayMicros(until))
	t.of = make(map[string]int64, len(t.all))
	for _, n := range t.all {
		t.of[n.Name] = n.Count
	}
	slices.SortFunc(t.all, byCount)
	return t, err
}

// automated is when the first run after one began that acts.
func (r Reader) automated(ctx context.Context, after int64) (at time.Time, err error) {
	began, err := list(ctx, r, number, "SELECT created_at FROM runs WHERE id > ?1 AND mode = 'active' ORDER BY id LIMIT 1", after)
	for _, n := range began {
		at = when(n)
	}
	return at, err
}

// tally is how often each name occurs, the most frequent first.
type tally struct {
	all []Top
	of  map[string]int64
}

func byCount(a, b Top) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
}

// top are the most frequent names of two tallies together.
func (t tally) top(today tally, most int) (list []Top) {
	for _, n := range today.all {
		list = append(list, Top{n.Name, n.Count + t.of[n.Name]})
	}
	rest := most
	for _, n := range t.all { // of these names, only the first ones may be among them
		if rest == 0 {
			break
		}
		if today.of[n.Name] == 0 {
			list = append(list, n)
			rest--
		}
	}
	slices.SortFunc(list, byCount)
	return list[:min(len(list), most)]
}

func weekOf(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }

func monthOf(t time.Time) time.Time { return t.AddDate(0, 0, 1-t.Day()) }

// fold adds up the counts of a period, under its first day.
func fold(counts []repairCount, begin func(time.Time) time.Time) (all []repairCount) {
	sum := map[repairCount]int64{}
	for _, c := range counts {
		n := c.count
		c.day, c.count = dayOf(begin(day(c.day))), 0
		sum[c] += n
	}
	for c, n := range sum {
		c.count = n
		all = append(all, c)
	}
	return all
}

// IncidentCounts counts what FindIncidents would list in all.
func (s *State) IncidentCounts(ctx context.Context, q IncidentQuery) ([]IncidentCount, error) {
	if q.Text != "" || q.Code != "" || q.Asset != "" || q.State == IncidentOpen {
		return s.Reader.IncidentCounts(ctx, q)
	}
	// The resolved ones of days that are over need not be looked at one by one.
	past, err := s.resolved.get(ctx, s.Reader, readResolved)
	if err != nil {
		return nil, err
	}
	open, err := s.Reader.IncidentCounts(ctx, IncidentQuery{IncidentFilter: IncidentFilter{State: IncidentOpen}})
	if err != nil {
		return nil, err
	}
	today, err := s.Reader.resolved(ctx, resolvedToday, past.until)
	if err != nil {
		return nil, err
	}
	sum := map[IncidentCount]int64{}
	for _, c := range slices.Concat(open, past.figures, today) {
		n := c.Count
		if c.Count = 0; (q.State == "" || q.State == c.State) && (q.Priority == "" || q.Priority == c.Priority) {
			sum[c] += n
		}
	}
	var all []IncidentCount
	for c, n := range sum {
		if c.Count = n; n > 0 {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b IncidentCount) int {
		return cmp.Or(strings.Compare(string(a.State), string(b.State)), strings.Compare(string(a.Priority), string(b.Priority)))
	})
	return all, nil
}

// Remember reads what views need of the days that are over, so that nobody waits for it
// who looks next.
func (s *State) Remember(ctx context.Context) error {
	_, errOverview := s.overview.get(ctx, s.Reader, readOverview)
	_, errResolved := s.resolved.get(ctx, s.Reader, readResolved)
	return errors.Join(errOverview, errResolved)
}

// Overview reads the figures of the first page.
func (s *State) Overview(ctx context.Context) (o Overview, err error) {
	past, err := s.overview.get(ctx, s.Reader, readOverview)
	if err != nil {
		return o, err
	}
	f := past.figures
	if o.Open, err = s.Reader.IncidentCounts(ctx, IncidentQuery{IncidentFilter: IncidentFilter{State: IncidentOpen}}); err != nil {
		return o, err
	}
	today, err := s.repairs(ctx, past.until, never)
	if err != nil {
		return o, err
	}
	o.Weeks, o.Months = periods(slices.Concat(f.weeks, today), weekOf), periods(slices.Concat(f.months, today), monthOf)
	runs, err := s.runDays(ctx, past.until, never)
	if err != nil {
		return o, err
	}
	o.Runs = slices.Concat(f.runs, runs)
	codes, assets, err := s.opened(ctx, past.until, never)
	if err != nil {
		return o, err
	}
	o.Codes, o.Assets = f.codes.top(codes, overviewTop), f.assets.top(assets, overviewTop)
	if o.Automated = f.automated; o.Automated.IsZero() {
		o.Automated, err = s.automated(ctx, f.lastRun)
	}
	return o, err
}
