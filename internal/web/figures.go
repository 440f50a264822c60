package web

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

func (p *page) otherLang() msg.Lang {
	if p.Lang == msg.ZH {
		return msg.EN
	}
	return msg.ZH
}

// bars is a picture of columns, each of parts that stand on each other. It is drawn on
// the server, as SVG; a table beside it says the same.
type bars struct {
	Title   string
	Kinds   []barKind
	Columns []column
	// Every so many columns have a label.
	Every int
	W, H  int
	Top   int64 // the highest column
	Half  int64
	Word  string // what the first column of the table is called
}

type barKind struct{ Class, Word string }

type column struct {
	Label, Title string
	X, W, Mid    float64
	Counts       []int64 // by kind
	Rects        []rect
	Labelled     bool
}

type rect struct {
	Class string
	Y, H  float64
	Tip   string
}

// Sizes of the picture, in its own units.
const (
	barsWidth, barsHeight = 560, 170
	barsLeft, barsBottom  = 34, 20
)

// draw places everything.
func (b *bars) draw() *bars {
	b.W, b.H, b.Top = barsWidth, barsHeight, 1
	for _, c := range b.Columns {
		if n := total(c.Counts); n > b.Top {
			b.Top = n
		}
	}
	b.Half = b.Top / 2
	const most = 14
	b.Every = 1 + len(b.Columns)/most
	step := float64(barsWidth-barsLeft) / float64(max(len(b.Columns), 1))
	const widest, gap = 40, 0.72
	for i := range b.Columns {
		c := &b.Columns[i]
		c.W = min(step*gap, widest)
		c.Mid = barsLeft + step*(float64(i)+0.5)
		c.X = c.Mid - c.W/2
		c.Labelled = i%b.Every == 0
		y := float64(barsHeight - barsBottom)
		for k, n := range c.Counts {
			if n == 0 {
				continue
			}
			h := max(float64(n)*float64(barsHeight-barsBottom-10)/float64(b.Top), 1)
			y -= h
			c.Rects = append(c.Rects, rect{b.Kinds[k].Class, y, h, fmt.Sprintf("%s · %s: %d", c.Title, b.Kinds[k].Word, n)})
		}
	}
	return b
}

// Sum is the count of a column.
func (c column) Sum() int64 { return total(c.Counts) }

func total(list []int64) (n int64) {
	for _, i := range list {
		n += i
	}
	return n
}

// lineChart is what the script draws; see app.js.
type lineChart struct {
	X      []int64   `json:"x"`
	Week   string    `json:"week"`
	Units  [4]string `json:"units"`
	Series []line    `json:"series"`
}

type line struct {
	Label  string   `json:"label"`
	Colour string   `json:"colour"`
	Dash   bool     `json:"dash"`
	Y      []*int64 `json:"y"`
}

type rank struct {
	Name, Title, Link string
	Count, Part       int64 // Part of 100
}

type overviewPage struct {
	state.Overview
	OpenCount  int64
	OpenBy     map[string]int64
	Share      float64
	Shared     int64 // how many the share is of
	Alone      time.Duration
	People     time.Duration
	Month      int64 // intercepted this month
	Repairs    string
	MonthBars  *bars
	RunBars    *bars
	Codes      []rank
	Assets     []rank
	Waiting    []state.AskedApproval
	Latest     []titled
	Books      int
	Breakers   []state.Breaker
	EverSeen   bool
	Here       string // where this server is reached
	WeeksTable []week
}

type week struct {
	From                     time.Time
	Book, People             state.Repairs
	Alone, Together, Nothing int64
}

func (c *call) overview() error {
	o, err := c.State.Overview(c.ctx())
	if err != nil {
		return err
	}
	d := overviewPage{Overview: o, OpenBy: map[string]int64{}, Here: c.Door.Here(c.r)}
	for _, n := range o.Open {
		d.OpenBy[string(n.Priority)] += n.Count
		d.OpenCount += n.Count
	}
	if n := len(o.Months); n > 0 {
		last := o.Months[n-1]
		now := c.State.Now().UTC()
		if last.From.Year() == now.Year() && last.From.Month() == now.Month() {
			d.Share, d.Shared = last.Share(), last.All.Count
			d.Month = last.By[state.HandledAlone].Count + last.By[state.HandledTogether].Count
			d.Alone, d.People = last.By[state.HandledAlone].Median, last.By[state.HandledPeople].Median
		}
	}
	if err := c.lists(&d); err != nil {
		return err
	}
	d.EverSeen = len(d.Latest) > 0 || len(o.Weeks) > 0
	d.WeeksTable, d.Repairs = c.repairs(o.Weeks)
	d.MonthBars, d.RunBars = c.monthBars(o.Months), c.runBars(o.Runs)
	d.Codes, d.Assets = c.ranks(o.Codes, "code"), c.ranks(o.Assets, "asset")
	return c.show("overview", "web.overview", d)
}

func (c *call) lists(d *overviewPage) (err error) {
	if d.Waiting, err = c.State.AskedApprovals(c.ctx(), state.ApprovalAsked, state.Page{Limit: 5}); err != nil {
		return err
	}
	latest, err := c.State.UrgentIncidents(c.ctx(), 8)
	if err != nil {
		return err
	}
	d.Latest = c.titled(latest)
	books, err := c.State.CurrentPlaybooks(c.ctx())
	if err != nil {
		return err
	}
	d.Books = len(books)
	d.Breakers, err = c.State.Breakers(c.ctx())
	return err
}

// repairs prepares the chart of how long repairs took, and its table. Runs with and
// without people are told apart in the count; of the times those of a week's larger part
// stand for playbooks.
func (c *call) repairs(weeks []state.Period) ([]week, string) {
	if len(weeks) == 0 {
		return nil, ""
	}
	p := c.page
	chart := lineChart{Week: p.T("web.week"), Units: [4]string{p.T("web.unit.s"), p.T("web.unit.min"), p.T("web.unit.h"), p.T("web.unit.d")}, Series: []line{
		{Label: p.T("web.ttr.book50"), Colour: "--accent"},
		{Label: p.T("web.ttr.book90"), Colour: "--accent", Dash: true},
		{Label: p.T("web.ttr.people50"), Colour: "--p1"},
		{Label: p.T("web.ttr.people90"), Colour: "--p1", Dash: true},
	}}
	var table []week
	for _, w := range weeks {
		alone, together, people := w.By[state.HandledAlone], w.By[state.HandledTogether], w.By[state.HandledPeople]
		book := alone
		if together.Count > alone.Count {
			book = together
		}
		table = append(table, week{w.From, book, people, alone.Count, together.Count, people.Count})
		chart.X = append(chart.X, w.From.Unix())
		for i, r := range []state.Repairs{book, book, people, people} {
			value := r.Median
			if i%2 == 1 {
				value = r.P90
			}
			var y *int64
			if r.Count > 0 {
				s := max(int64(value/time.Second), 1)
				y = &s
			}
			chart.Series[i].Y = append(chart.Series[i].Y, y)
		}
	}
	data, err := json.Marshal(chart)
	if err != nil {
		return table, ""
	}
	return table, string(data)
}

func (c *call) monthBars(months []state.Period) *bars {
	if len(months) == 0 {
		return nil
	}
	who := []state.Handled{state.HandledAlone, state.HandledTogether, state.HandledPeople}
	b := &bars{Title: c.page.T("web.bymonth"), Word: c.page.T("web.month")}
	for _, h := range who {
		b.Kinds = append(b.Kinds, barKind{"f-" + string(h), c.page.Word("handled", h)})
	}
	for _, m := range months {
		col := column{Label: c.page.Month(m.From), Title: c.page.Month(m.From)}
		for _, h := range who {
			col.Counts = append(col.Counts, m.By[h].Count)
		}
		b.Columns = append(b.Columns, col)
	}
	return b.draw()
}

func (c *call) runBars(days []state.RunDay) *bars {
	if len(days) == 0 {
		return nil
	}
	states := []state.RunState{state.RunDone, state.RunHuman, state.RunFailed, state.RunCancelled}
	b := &bars{Title: c.page.T("web.runsbyday"), Word: c.page.T("web.day")}
	for _, s := range states {
		b.Kinds = append(b.Kinds, barKind{"f-" + string(s), c.page.Word("run", s)})
	}
	at := map[time.Time][]int64{}
	for _, d := range days {
		if at[d.From] == nil {
			at[d.From] = make([]int64, len(states))
		}
		for i, s := range states {
			if s == d.State {
				at[d.From][i] += d.Count
			}
		}
	}
	const shown = 30
	today := c.State.Now().UTC().Truncate(24 * time.Hour)
	for i := shown; i >= 0; i-- {
		from := today.AddDate(0, 0, -i)
		counts := at[from]
		if counts == nil {
			counts = make([]int64, len(states))
		}
		b.Columns = append(b.Columns, column{Label: from.Format("01-02"), Title: c.page.Date(from), Counts: counts})
	}
	return b.draw()
}

func (c *call) ranks(list []state.Top, filter string) []rank {
	all := make([]rank, 0, len(list))
	for _, t := range list {
		r := rank{Name: t.Name, Count: t.Count, Part: max(1, t.Count*100/max(list[0].Count, 1)), Title: t.Name}
		if filter == "code" {
			r.Title = c.fault(t.Name, c.page.Lang).Title
		}
		r.Link = "/incidents?" + filter + "=" + queryEscape(t.Name)
		all = append(all, r)
	}
	return all
}
