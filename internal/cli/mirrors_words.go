package cli

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

// lengthOfBar is the columns of the longest bar.
const lengthOfBar = 6

func (a *app) check(c mirrors.Check) string {
	return probeWords{a.lang}.say(observe.Result{Key: c.Key, Args: c.Args})
}

// mirrorsTable is a line a mirror, then what is to be said about single ones.
func (a *app) mirrorsTable(c *mirrors.Catalogue, sec section) []present.Line {
	text := func(key string, args ...any) string { return msg.Text(a.lang, key, args...) }
	lines := []present.Line{
		{Text: text("mirrors.head." + string(sec.eco)), Tone: present.Bold},
		{Text: text("mirrors.about", c.Checked, sec.downloaded()), Tone: present.Faint},
	}
	if through := via(sec); through != "" && !sec.options.Offline {
		lines = append(lines, present.Line{Text: text("mirrors.via", mask.Text(through)), Tone: present.Faint})
	}
	columns := []present.Column{
		{Title: text("mirrors.col.rank"), Right: true},
		{Title: text("mirrors.col.name"), Most: 14},
		{Title: ""},
		{Title: text("mirrors.col.score"), Right: true},
		{Title: text("mirrors.col.latency"), Right: true},
		{Title: ""},
		{Title: text("mirrors.col.speed"), Right: true},
		{Title: ""},
		{Title: text("mirrors.col.fresh")},
	}
	legend := "mirrors.legend.few"
	if sec.eco == mirrors.Go {
		columns = append(columns, present.Column{Title: text("mirrors.col.sums")})
		legend = "mirrors.legend"
	}
	slowest, fastest := 0.0, 0.0
	for _, m := range sec.list {
		slowest, fastest = max(slowest, float64(m.Median)), max(fastest, m.BytesPerSecond)
	}
	rows := make([]present.Row, 0, len(sec.list))
	for _, m := range sec.list {
		row := present.Row{Cells: []string{"·", m.Name, "", "·", "·", drawn(float64(m.Median), slowest), "·", drawn(m.BytesPerSecond, fastest), freshCell(m), sumsCell(m)}}
		if m.InUse {
			row.Cells[2] = "●"
		}
		if m.Rank > 0 {
			row.Cells[0], row.Cells[3] = strconv.Itoa(m.Rank), strconv.Itoa(m.Score)
		} else {
			row.Tone = present.Faint
		}
		if m.Latency.State == observe.Yes {
			row.Cells[4] = a.check(m.Latency)
		}
		if m.Speed.State == observe.Yes {
			row.Cells[6] = a.check(m.Speed)
		}
		row.Cells = row.Cells[:len(columns)]
		rows = append(rows, row)
	}
	lines = append(lines, present.Line{})
	lines = append(lines, present.Table(a.style(), columns, rows)...)
	lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: text(legend), Tone: present.Faint}, present.Line{})
	return append(lines, a.remarks(sec)...)
}

func drawn(v, longest float64) string {
	if v <= 0 || longest <= 0 {
		return ""
	}
	return strings.Repeat("█", max(int(math.Round(v*lengthOfBar/longest)), 1))
}

func freshCell(m mirrors.Measured) string {
	switch {
	case m.Fresh.State == observe.Yes:
		return "✓ " + m.Fresh.Args[0] + "/" + m.Fresh.Args[0]
	case m.Fresh.Key == "mirrors.fresh.behind":
		behind, _ := strconv.Atoi(m.Fresh.Args[0])
		return "✗ " + strconv.Itoa(len(m.Newest)-behind) + "/" + m.Fresh.Args[1]
	}
	return "·"
}

func sumsCell(m mirrors.Measured) string {
	switch {
	case m.Sums.State == observe.Yes:
		return "✓"
	case m.Sums.Key == "mirrors.sums.direct":
		return "→"
	case m.Sums.State == observe.No:
		return "✗"
	}
	return "·"
}

// remarks are what a cell has no room for, each mirror's worst first.
func (a *app) remarks(sec section) []present.Line {
	type remark struct {
		names []string
		text  string
	}
	var list []remark
	add := func(name, text string) {
		for i := range list {
			if list[i].text == text {
				list[i].names = append(list[i].names, name)
				return
			}
		}
		list = append(list, remark{[]string{name}, text})
	}
	for _, m := range sec.list {
		said := map[string]bool{"mirrors.why.below": true, "mirrors.protocol.right": true, "mirrors.sums.none": true, "mirrors.sums.proved": true, "mirrors.fresh.newest": true, "mirrors.ms": true, "mirrors.speed": true}
		for _, c := range []mirrors.Check{m.Protocol, m.Sums, m.Fresh, m.Latency, m.Speed} {
			if !said[c.Key] {
				add(m.Name, a.check(c))
			}
			said[c.Key] = true
		}
		if len(m.Redirects) > 0 {
			add(m.Name, msg.Text(a.lang, "mirrors.redirects", strings.Join(m.Redirects, ", ")))
		}
	}
	var lines []present.Line
	for _, r := range list {
		names := strings.Join(r.names, ", ")
		if len(r.names) == len(sec.list) && len(r.names) > 1 { // all of them
			lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: r.text})
			continue
		}
		lines = append(lines, present.Line{Gutter: "  ", Rest: "    ", Text: names + ": " + r.text})
	}
	if len(lines) > 0 {
		lines = append(lines, present.Line{})
	}
	return lines
}

// recommendation says which to use, and what its list offers.
func (a *app) recommendation(sec section, s *settings.Settings) []present.Line {
	if sec.options.Offline {
		return nil
	}
	best := mirrors.Best(sec.list)
	switch {
	case best == nil && !slices.ContainsFunc(sec.list, wasMeasured):
		return []present.Line{{Text: msg.Text(a.lang, "mirrors.none"), Tone: present.Bold}}
	case best == nil:
		return []present.Line{{Text: msg.Text(a.lang, "mirrors.unusable"), Tone: present.Bold}}
	case best.InUse && len(sec.list) > 1 && !sec.list[1].Usable:
		return []present.Line{{Text: msg.Text(a.lang, "mirrors.only", best.Name), Tone: present.Bold}}
	case best.InUse:
		return []present.Line{{Text: msg.Text(a.lang, "mirrors.keep", best.Name), Tone: present.Bold}}
	case best.Origin == mirrors.FromSettings:
		return nil
	}
	ecosystem := ""
	if sec.eco != mirrors.Go {
		ecosystem = " --ecosystem " + string(sec.eco)
	}
	lines := []present.Line{
		{Text: msg.Text(a.lang, "mirrors.recommend", best.Name, msg.Text(a.lang, "mirrors.score", best.Score)), Tone: present.Bold},
		{Gutter: "  ", Text: msg.Text(a.lang, "mirrors.how", ecosystem, best.Name), Whole: true, Tone: present.Command},
	}
	for _, m := range sec.list {
		if m.InUse && m.Origin == mirrors.FromSettings {
			lines = append(lines, present.Line{Text: msg.Text(a.lang, "mirrors.own", m.Name)})
		}
	}
	if list := best.Offered(); list != "" && s.Env.Value("GOPROXY") != list {
		lines = append(lines, present.Line{Text: msg.Text(a.lang, "mirrors.private.is", list)})
	}
	return lines
}

// mirrorsDocument is what programs get.
type mirrorsDocument struct {
	Command    string           `json:"command"`
	Catalogue  string           `json:"catalogue"`
	Ecosystems []mirrorsSection `json:"ecosystems"`
}

type mirrorsSection struct {
	Ecosystem   mirrors.Ecosystem `json:"ecosystem"`
	Downloaded  string            `json:"downloaded"`
	Recommended string            `json:"recommended,omitempty"`
	Mirrors     []mirrorEntry     `json:"mirrors"`
}

type mirrorEntry struct {
	Name     string         `json:"name"`
	URL      string         `json:"url"`
	Operator string         `json:"operator,omitempty"`
	Origin   mirrors.Origin `json:"origin"`
	InUse    bool           `json:"in_use"`
	Usable   bool           `json:"usable"`
	Rank     int            `json:"rank,omitempty"`
	Score    int            `json:"score"`

	Protocol  mirrorCheck `json:"protocol"`
	Latency   mirrorCheck `json:"latency"`
	LatencyMS float64     `json:"latency_ms,omitempty"`
	Speed     mirrorCheck `json:"speed"`
	PerSecond int64       `json:"bytes_per_second,omitempty"`
	Fresh     mirrorCheck `json:"fresh"`
	// Newest is the newest version that the mirror has of each compared package.
	Newest    map[string]string `json:"newest"`
	Sums      mirrorCheck       `json:"checksum_database"`
	Private   mirrorCheck       `json:"private_modules"`
	Redirects []string          `json:"redirect_hosts"`
	// List is the GOPROXY list that the mirror offers.
	List string `json:"goproxy,omitempty"`
}

type mirrorCheck struct {
	State observe.State `json:"state"`
	Text  string        `json:"text"`
}

func (a *app) mirrorsSection(sec section) mirrorsSection {
	out := mirrorsSection{Ecosystem: sec.eco, Downloaded: sec.downloaded(), Mirrors: []mirrorEntry{}}
	if best := mirrors.Best(sec.list); best != nil {
		out.Recommended = best.Name
	}
	say := func(c mirrors.Check) mirrorCheck { return mirrorCheck{c.State, a.check(c)} }
	for _, m := range sec.list {
		e := mirrorEntry{
			Name: m.Name, URL: mask.Text(m.URL), Operator: m.Operator[string(a.lang)], Origin: m.Origin, InUse: m.InUse, Usable: m.Usable,
			Rank: m.Rank, Score: m.Score, Protocol: say(m.Protocol), Latency: say(m.Latency), LatencyMS: milliseconds(m.Median),
			Speed: say(m.Speed), PerSecond: int64(m.BytesPerSecond), Fresh: say(m.Fresh), Newest: m.Newest, Sums: say(m.Sums),
			Private: say(mirrors.Check{State: observe.No, Key: "mirrors.private.no"}), Redirects: m.Redirects, List: m.Offered(),
		}
		if m.Origin == mirrors.FromSettings {
			e.Private = say(mirrors.Check{State: observe.NotChecked, Key: "mirrors.private.company"})
		}
		if e.Redirects == nil {
			e.Redirects = []string{}
		}
		out.Mirrors = append(out.Mirrors, e)
	}
	return out
}
