package mirrors

import (
	"testing"
	"time"
)

// TestScore holds the formula that score.go documents.
func TestScore(t *testing.T) {
	t.Parallel()
	perfect := Measured{
		Mirror: Mirror{Ecosystem: Go}, first: true, Protocol: yes("x"), Latency: yes("x"), Median: 10 * time.Millisecond,
		Speed: yes("x"), BytesPerSecond: 50e6, Fresh: yes("mirrors.fresh.newest", "2"), Newest: map[string]string{"a": "", "b": ""}, compared: 2, Sums: yes("mirrors.sums.proved"),
	}
	with := func(change func(*Measured)) Measured {
		m := perfect
		change(&m)
		return m
	}
	for name, row := range map[string]struct {
		m    Measured
		want int
	}{
		"perfect":          {perfect, 100},
		"50 ms":            {with(func(m *Measured) { m.Median = 50 * time.Millisecond }), 100},
		"316 ms":           {with(func(m *Measured) { m.Median = 316228 * time.Microsecond }), 80},
		"2 s":              {with(func(m *Measured) { m.Median = 2 * time.Second }), 60},
		"slow":             {with(func(m *Measured) { m.BytesPerSecond = 50e3 }), 70},
		"half way":         {with(func(m *Measured) { m.BytesPerSecond = 707107 }), 85},
		"one of two stale": {with(func(m *Measured) { m.Fresh, m.late = no("mirrors.fresh.behind"), 1 }), 93},
		"told one of two":  {with(func(m *Measured) { m.Newest = map[string]string{"a": ""} }), 93},
		"not compared":     {with(func(m *Measured) { m.Fresh = unknown("x") }), 85},
		"sums directly":    {with(func(m *Measured) { m.Sums = no("mirrors.sums.direct") }), 90},
		"sums not checked": {with(func(m *Measured) { m.Sums = unknown("x") }), 85},
		"stops":            {with(func(m *Measured) { m.Stops = true }), 90},
		"npm":              {with(func(m *Measured) { m.Ecosystem, m.Sums = Npm, unknown("mirrors.sums.none") }), 100},
		"only an answer": {with(func(m *Measured) {
			m.Latency, m.Speed, m.Fresh, m.Sums, m.Stops = unknown("x"), unknown("x"), unknown("x"), unknown("x"), true
		}), 1},
		"wrong":        {with(func(m *Measured) { m.Protocol = no("x") }), 0},
		"bad database": {with(func(m *Measured) { m.Sums = no("mirrors.sums.bad") }), 0},
		"no database":  {with(func(m *Measured) { m.Sums = no("mirrors.sums.stops") }), 0},
		"no answer":    {Measured{}, 0},
	} {
		if got := row.m.score(); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestBestKeepsWhatIsAsGood(t *testing.T) {
	t.Parallel()
	list := func(first, second int) []Measured {
		return []Measured{
			{Mirror: Mirror{Name: "new"}, Usable: true, Score: first},
			{Mirror: Mirror{Name: "used", InUse: true}, Usable: second > 0, Score: second},
		}
	}
	for _, row := range []struct {
		first, second int
		want          string
	}{{90, 85, "used"}, {90, 81, "used"}, {90, 80, "new"}, {90, 0, "new"}, {5, 0, "new"}} {
		if got := Best(list(row.first, row.second)); got == nil || got.Name != row.want {
			t.Errorf("%d and %d: %+v, want %s", row.first, row.second, got, row.want)
		}
	}
	if got := Best([]Measured{{Mirror: Mirror{Name: "dead"}}}); got != nil || Best(nil) != nil {
		t.Errorf("got %+v", got)
	}
}
