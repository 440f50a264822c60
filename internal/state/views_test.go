package state_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func open(t *testing.T, st *state.State, code keepwell.Code, asset, title string, p keepwell.Priority) (i state.Incident) {
	t.Helper()
	do(t, st, func(tx *state.Tx) (err error) {
		i, _, err = tx.JoinIncident(t.Context(), state.Incident{Code: code, Asset: asset, Title: title, Priority: p})
		return err
	})
	return i
}

func resolve(t *testing.T, st *state.State, id int64) {
	t.Helper()
	do(t, st, func(tx *state.Tx) error { return tx.ResolveIncident(t.Context(), id, "resolved") })
}

func TestFindIncidents(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		a := open(t, st, "ops/redis-memory", "redis-1", "Memory is high", "P1")
		b := open(t, st, "ops/disk-full", "db-1", "内存 100% of /var_lib", "P0")
		c := open(t, st, "ops/disk-full", "db-2", "Disk is full", "P2")
		resolve(t, st, c.ID)
		for _, row := range []struct {
			query state.IncidentQuery
			want  []int64
		}{
			{state.IncidentQuery{}, []int64{c.ID, b.ID, a.ID}},
			{state.IncidentQuery{Text: "mEMORY"}, []int64{a.ID}},
			{state.IncidentQuery{Text: "DB-"}, []int64{c.ID, b.ID}},
			{state.IncidentQuery{Text: "disk-full"}, []int64{c.ID, b.ID}},
			{state.IncidentQuery{Text: "内存"}, []int64{b.ID}},
			{state.IncidentQuery{Text: "0%"}, []int64{b.ID}}, // no pattern
			{state.IncidentQuery{Text: "r_l"}, []int64{b.ID}},
			{state.IncidentQuery{Text: "' OR 1=1 --"}, nil},
			{state.IncidentQuery{Text: "db", IncidentFilter: state.IncidentFilter{State: state.IncidentOpen}}, []int64{b.ID}},
			{state.IncidentQuery{IncidentFilter: state.IncidentFilter{Priority: "P1", Code: "ops/redis-memory", Asset: "redis-1"}}, []int64{a.ID}},
		} {
			page := must(st.FindIncidents(t.Context(), row.query, state.Page{}))(t)
			var got []int64
			for _, i := range page.Incidents {
				got = append(got, i.ID)
			}
			if !slices.Equal(got, row.want) || page.Next != 0 {
				t.Errorf("%+v: %v, next %d; want %v", row.query, got, page.Next, row.want)
			}
			total := int64(0)
			for _, c := range must(st.IncidentCounts(t.Context(), row.query))(t) {
				total += c.Count
			}
			if total != int64(len(row.want)) {
				t.Errorf("%+v: counted %d, want %d", row.query, total, len(row.want))
			}
		}
		// Page by page, one each.
		var got []int64
		var before int64
		for {
			page := must(st.FindIncidents(t.Context(), state.IncidentQuery{}, state.Page{Before: before, Limit: 1}))(t)
			if len(page.Incidents) != 1 {
				t.Fatalf("%+v", page)
			}
			got = append(got, page.Incidents[0].ID)
			if before = page.Next; before == 0 {
				break
			}
		}
		if want := []int64{c.ID, b.ID, a.ID}; !slices.Equal(got, want) {
			t.Errorf("pages: %v, want %v", got, want)
		}
	})
}

// TestClosedByHand: a person who closes an incident took part in it, whenever its run ends.
func TestClosedByHand(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		for name, c := range map[string]struct {
			resolution string
			mode       string
			late       bool
			want       state.Handled
		}{
			"over":            {"resolved", "active", false, state.HandledAlone},
			"closed":          {state.ResolvedByHand, "active", false, state.HandledTogether},
			"closed, and ran": {state.ResolvedByHand, "active", true, state.HandledTogether},
			"closed, no run":  {state.ResolvedByHand, "", false, state.HandledPeople},
		} {
			i := open(t, st, "ops/x", name, "x", "P1")
			run := func(when bool) {
				if when && c.mode != "" {
					aRun(t, st, i, c.mode, false, state.RunDone)
				}
			}
			run(!c.late)
			do(t, st, func(tx *state.Tx) error { return tx.ResolveIncident(t.Context(), i.ID, c.resolution) })
			run(c.late)
			if got := must(st.Story(t.Context(), i.ID))(t).Handled; got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	})
}

// aRun makes a run of an incident that ends in a state.
func aRun(t *testing.T, st *state.State, i state.Incident, mode string, granted bool, to state.RunState) (run state.Run) {
	t.Helper()
	ctx := t.Context()
	do(t, st, func(tx *state.Tx) (err error) {
		run, _, err = tx.StartRun(ctx, state.Run{Playbook: "book", Incident: i.ID, Asset: i.Asset, Mode: mode, Unique: fmt.Sprint(i.ID, mode, granted)})
		if err != nil {
			return err
		}
		k := state.StepKey{Run: run.ID, Attempt: 1}
		err = tx.AddStep(ctx, state.Step{StepKey: k, Name: "s", Status: state.StepPending})
		if granted {
			a, _, askErr := tx.Ask(ctx, state.Approval{Run: run.ID, Reason: "may it?", Expires: tx.Now().Add(time.Hour)})
			_, decideErr := tx.Decide(ctx, a.ID, state.ApprovalGranted, "user:ann", "")
			err = errors.Join(err, askErr, decideErr)
		}
		return errors.Join(err, tx.MoveRun(ctx, run.ID, to, ""))
	})
	return run
}

func TestOverview(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock() // a Wednesday
		o.Now = clock.Now
		st := statetest.Open(t, o)
		if got := must(st.Overview(t.Context()))(t); len(got.Weeks)+len(got.Months)+len(got.Runs)+len(got.Codes)+len(got.Open) != 0 || !got.Automated.IsZero() {
			t.Errorf("of nothing: %+v", got)
		}
		start := clock.Now()
		repaired := func(asset string, took time.Duration, mode string, granted bool, to state.RunState) {
			i := open(t, st, "ops/x", asset, "x", "P1")
			clock.Add(took)
			if mode != "" {
				aRun(t, st, i, mode, granted, to)
			}
			resolve(t, st, i.ID)
			clock.Add(-took)
		}
		repaired("a", 10*time.Second, "active", false, state.RunDone)
		repaired("b", 30*time.Second, "active", false, state.RunDone)
		repaired("c", 50*time.Second, "active", true, state.RunDone)
		repaired("d", 20*time.Second, "manual", false, state.RunDone)
		repaired("e", time.Hour, "active", false, state.RunFailed)
		repaired("f", 2*time.Hour, "observe", false, state.RunDone)
		repaired("g", 3*time.Hour, "", false, "")
		// Resolved first, then the run ends.
		late := open(t, st, "ops/y", "a", "y", "P0")
		resolve(t, st, late.ID)
		aRun(t, st, late, "active", false, state.RunDone)
		open(t, st, "ops/z", "z", "z", "P0")
		clock.Add(7 * 24 * time.Hour)
		got := must(st.Overview(t.Context()))(t)
		monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		want := state.Overview{
			Open: []state.IncidentCount{{State: "open", Priority: "P0", Count: 1}},
			Weeks: []state.Period{{
				From: monday, All: state.Repairs{From: monday, Count: 8, Median: 30 * time.Second, P90: 3 * time.Hour},
				By: map[state.Handled]state.Repairs{
					"alone":    {From: monday, Count: 3, Median: 10 * time.Second, P90: 30 * time.Second},
					"together": {From: monday, Count: 2, Median: 20 * time.Second, P90: 50 * time.Second},
					"people":   {From: monday, Count: 3, Median: 2 * time.Hour, P90: 3 * time.Hour},
				},
			}},
			Runs: []state.RunDay{
				{From: start.Truncate(24 * time.Hour), State: "done", Count: 5}, {From: start.Truncate(24 * time.Hour), State: "failed", Count: 1},
			},
			Codes:     []state.Top{{Name: "ops/x", Count: 7}, {Name: "ops/y", Count: 1}, {Name: "ops/z", Count: 1}},
			Assets:    []state.Top{{Name: "a", Count: 2}, {Name: "b", Count: 1}, {Name: "c", Count: 1}, {Name: "d", Count: 1}, {Name: "e", Count: 1}, {Name: "f", Count: 1}, {Name: "g", Count: 1}, {Name: "z", Count: 1}},
			Automated: start,
		}
		want.Months = slices.Clone(want.Weeks)
		month := want.Weeks[0]
		month.From = monday.AddDate(0, 0, -1)
		month.All.From = month.From
		month.By = map[state.Handled]state.Repairs{}
		for who, r := range want.Weeks[0].By {
			r.From = month.From
			month.By[who] = r
		}
		want.Months[0] = month
		got.Automated = got.Automated.Truncate(time.Minute)
		want.Automated = want.Automated.Truncate(time.Minute)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got.Weeks[0].Share() != 0.375 || (state.Period{}).Share() != 0 {
			t.Error(got.Weeks[0].Share())
		}
	})
}

// TestPast: what a node remembers of days that are over is what another one reads, after
// whatever changes them.
func TestPast(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		clock := statetest.NewClock()
		o.Now = clock.Now
		st := statetest.Open(t, o)
		alone := func(when string, want int64) {
			t.Helper()
			fresh, err := state.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			if err := fresh.Remember(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := must(st.Overview(t.Context()))(t)
			if diff := cmp.Diff(must(fresh.Overview(t.Context()))(t), got); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
			n := int64(0)
			for _, m := range got.Months {
				n += m.By[state.HandledAlone].Count
			}
			if n != want {
				t.Errorf("%s: %d were repaired alone, want %d", when, n, want)
			}
			for _, f := range []state.IncidentFilter{{}, {State: state.IncidentResolved}, {Priority: "P1"}, {State: state.IncidentResolved, Priority: "P0"}} {
				q := state.IncidentQuery{IncidentFilter: f}
				if diff := cmp.Diff(must(st.Reader.IncidentCounts(t.Context(), q))(t), must(st.IncidentCounts(t.Context(), q))(t)); diff != "" {
					t.Errorf("%s: counts of %+v: %s", when, f, diff)
				}
			}
		}
		alone("nothing", 0)
		var list []state.Incident
		for n := range 40 {
			i := open(t, st, keepwell.Code(fmt.Sprintf("ops/c%d", n%11)), fmt.Sprintf("asset-%d", n%3), "x", keepwell.Priorities()[n%2])
			list = append(list, i)
			clock.Add(time.Duration(n) * time.Minute)
			if n%4 == 0 {
				aRun(t, st, i, "active", false, state.RunDone)
			}
			if n%10 != 3 {
				resolve(t, st, i.ID)
			}
			clock.Add(11 * time.Hour)
			if n%8 == 0 {
				alone(fmt.Sprint("incident ", n), int64(n/4+1))
			}
		}
		alone("all", 10)
		aRun(t, st, list[5], "active", false, state.RunDone)
		alone("a run ends days after its incident", 11)
		resolve(t, st, list[13].ID)
		alone("resolved late", 11)
		clock.Add(48 * time.Hour)
		alone("two days later", 11)
		do(t, st, func(tx *state.Tx) error { return tx.ReopenIncident(t.Context(), list[4].ID, "resolved") })
		alone("opened again", 10)
		do(t, st, func(tx *state.Tx) error {
			_, err := tx.Retain(t.Context(), clock.Now().Add(-15*24*time.Hour), 1000)
			return err
		})
		alone("retention", 7)
		clock.Add(40 * 24 * time.Hour)
		alone("forty days later", 7)
	})
}

func TestStory(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		ctx := t.Context()
		puts := put(t, st, anAlert(1), anAlert(2), anAlert(3))
		other := open(t, st, "ops/x", "other", "x", "P1")
		var i state.Incident
		do(t, st, func(tx *state.Tx) (err error) {
			i, _, err = tx.JoinIncident(ctx, state.Incident{Code: "ops/x", Asset: "a", Title: "x", Priority: "P1"}, puts[0].ID, puts[1].ID)
			return err
		})
		run, second := aRun(t, st, i, "active", true, state.RunDone), aRun(t, st, i, "manual", false, state.RunFailed)
		stranger := aRun(t, st, other, "active", true, state.RunDone)
		do(t, st, func(tx *state.Tx) error {
			var rows []state.JournalRow
			for n, r := range []state.JournalRow{{Incident: i.ID}, {Run: second.ID}, {Incident: other.ID}, {Run: stranger.ID}, {}, {Incident: i.ID, Run: run.ID}} {
				r.Seq, r.At, r.Kind, r.Actor, r.Body, r.Hash = int64(n+1), tx.Now(), "k", "a", "{}", []byte{byte(n)}
				rows = append(rows, r)
			}
			return tx.AppendJournal(ctx, rows)
		})
		resolve(t, st, i.ID)
		s := must(st.Story(ctx, i.ID))(t)
		var entries []int64
		for _, j := range s.Journal {
			entries = append(entries, j.Seq)
		}
		if s.Incident.ID != i.ID || s.Handled != state.HandledTogether || !slices.Equal(entries, []int64{1, 2, 6}) {
			t.Errorf("%v %q %v", s.Incident.ID, s.Handled, entries)
		}
		if len(s.Alerts) != 2 || s.Alerts[0].ID != puts[0].ID || len(s.Runs) != 2 || s.Runs[0].ID != run.ID || len(s.Steps) != 2 || len(s.Approvals) != 1 || s.Approvals[0].Run != run.ID {
			t.Errorf("%+v", s)
		}
		if s := must(st.Story(ctx, other.ID))(t); len(s.Runs) != 1 || len(s.Journal) != 2 {
			t.Errorf("%+v", s)
		}
		if _, err := st.Story(ctx, 1e9); !errors.Is(err, state.ErrNotFound) {
			t.Error(err)
		}
		asked := must(st.AskedApprovals(ctx, state.ApprovalGranted, state.Page{}))(t)
		if len(asked) != 2 || asked[1].Of.ID != run.ID || asked[1].Step.Run != run.ID || asked[1].Reason != "may it?" {
			t.Errorf("%+v", asked)
		}
		want := []state.BookRuns{{Playbook: "book", Mode: "active", State: "done", Count: 2}, {Playbook: "book", Mode: "manual", State: "failed", Count: 1}}
		if diff := cmp.Diff(want, must(st.BookRuns(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		ended := map[state.RunState]int64{state.RunDone: 2, state.RunFailed: 1}
		if diff := cmp.Diff(ended, must(st.EndedRuns(ctx, st.Now().Add(-time.Hour)))(t)); diff != "" {
			t.Error(diff)
		}
		if later := must(st.EndedRuns(ctx, st.Now().Add(time.Hour)))(t); len(later) > 0 {
			t.Error(later)
		}
		if granted, open := must(st.CountApprovals(ctx, state.ApprovalGranted))(t), must(st.CountApprovals(ctx, state.ApprovalAsked))(t); granted != 2 || open != 0 {
			t.Errorf("%d granted, %d asked", granted, open)
		}
	})
}

// BenchmarkViews measures what a page asks, over 100,000 incidents and 50,000 runs.
func BenchmarkViews(b *testing.B) {
	for name, database := range map[string]func() string{"sqlite": func() string { return "" }, "postgresql": func() string { return statetest.PostgreSQL(b) }} {
		st := statetest.Open(b, state.Options{Dir: b.TempDir(), Database: database()})
		if err := st.Tx(b.Context(), func(tx *state.Tx) error { return tx.Lived(b.Context(), 100_000) }); err != nil {
			b.Fatal(err)
		}
		open := state.IncidentFilter{State: state.IncidentOpen}
		for what, f := range map[string]func() error{
			"list": func() error { _, err := st.FindIncidents(b.Context(), state.IncidentQuery{}, state.Page{}); return err },
			"list-open": func() error {
				_, err := st.FindIncidents(b.Context(), state.IncidentQuery{IncidentFilter: open}, state.Page{})
				return err
			},
			"list-deep": func() error {
				_, err := st.FindIncidents(b.Context(), state.IncidentQuery{IncidentFilter: state.IncidentFilter{Code: "ops/fault-3", Priority: "P3"}}, state.Page{Before: 200})
				return err
			},
			"text-hit": func() error {
				_, err := st.FindIncidents(b.Context(), state.IncidentQuery{Text: "asset-77"}, state.Page{})
				return err
			},
			"text-none": func() error {
				_, err := st.FindIncidents(b.Context(), state.IncidentQuery{Text: "no such thing"}, state.Page{})
				return err
			},
			"text-counts": func() error {
				_, err := st.IncidentCounts(b.Context(), state.IncidentQuery{Text: "asset-77"})
				return err
			},
			"counts":   func() error { _, err := st.IncidentCounts(b.Context(), state.IncidentQuery{}); return err },
			"overview": func() error { _, err := st.Overview(b.Context()); return err },
			"overview-first": func() error { // of a server that just started, and of a day
				st.Forget()
				_, err := st.Overview(b.Context())
				return err
			},
			"story": func() error { _, err := st.Story(b.Context(), 50_000); return err },
			"books": func() error { _, err := st.BookRuns(b.Context()); return err },
			"ended": func() error { _, err := st.EndedRuns(b.Context(), st.Now().Add(-time.Hour)); return err },
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				if err := f(); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
