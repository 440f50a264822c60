package cli

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/trace"
)

// traceWords puts a trace into the reader's language, as a picture in lines.
type traceWords struct{ routeWords }

// waterfall is the columns of the time line, traceGutter those left of a line's text.
const (
	waterfall   = 22
	traceGutter = 2 + 1 + waterfall + 1
	shownWants  = 6
)

func (w traceWords) picture(t traced, v tracedVerdict) []present.Line {
	lines := w.tried(t.options.env)
	lines = append(lines,
		present.Line{Text: t.name(), Whole: true, Tone: present.Bold},
		present.Line{Text: w.t("trace.legend", millis(t.rep.Took)), Tone: present.Faint})
	lines = append(lines, w.requests(t.rep)...)
	lines = append(lines, w.commands(t.rep)...)
	if p := t.rep.Proof; p.Hash != "" {
		hashing := trace.Command{Text: w.t("trace.hashing"), At: max(t.rep.Took-p.Took, 0), Took: p.Took}
		lines = append(lines, w.command(hashing, t.rep.Took, '▓'))
	}
	lines = append(lines, present.Line{})
	lines = append(lines, w.proof(t.rep)...)
	lines = append(lines, w.chosen(t)...)
	lines = append(lines, present.Line{Gutter: "", Rest: "  ", Text: v.Text, Tone: present.Bold})
	for _, n := range v.Notes {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: n})
	}
	return lines
}

func millis(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
}

func shortBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func (w traceWords) requests(rep *trace.Report) []present.Line {
	var lines []present.Line
	twice := false
	for i := 0; i < len(rep.Requests); i++ {
		q := rep.Requests[i]
		name := w.t("trace.kind." + string(q.Kind))
		last := lastAlike(rep.Requests, i)
		for _, more := range rep.Requests[i+1 : last+1] {
			q.Spans, q.Bytes = slices.Concat(q.Spans, more.Spans), q.Bytes+more.Bytes
			q.Took = max(q.Took, more.At+more.Took-q.At)
		}
		switch {
		case last > i && q.Kind == route.Tile:
			name = w.t("trace.tiles", last-i+1)
		case last > i:
			name += " ×2"
			twice = true
		}
		lines = append(lines, w.request(i+1, q, name, rep.Took))
		lines = append(lines, w.beneath(rep, last)...)
		i = last
	}
	if twice {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.t("trace.twice"), Tone: present.Faint})
	}
	return lines
}

// lastAlike is the last of the requests from i on that are shown as one: tiles, and a
// refusal with its repetition.
func lastAlike(list []trace.Request, i int) int {
	if list[i].Kind != route.Tile {
		if i+1 < len(list) && list[i+1].Again && !list[i].Again && list[i+1].URL == list[i].URL && list[i+1].Status == list[i].Status && list[i+1].Err == list[i].Err {
			return i + 1
		}
		return i
	}
	for i+1 < len(list) && list[i+1].Kind == route.Tile {
		i++
	}
	return i
}

// request is one line: number, time line, how long, status, size, what from where.
func (w traceWords) request(n int, q trace.Request, name string, whole time.Duration) present.Line {
	status := strconv.Itoa(q.Status)
	if q.Err != "" || q.Status == 0 {
		status = "✗  "
	}
	text := name + "  " + q.Server
	if q.Again {
		text = name + " ↻ " + q.Server
	}
	if q.Login != "" {
		text += " +" + q.Login // the word of GOAUTH for where the login is from
	}
	gutter := fmt.Sprintf("%2d %s %7s %s %8s  ", n, waterfallOf(q.Spans, whole), millis(q.Took), status, shortBytes(q.Bytes))
	line := present.Line{Gutter: gutter, Rest: strings.Repeat(" ", traceGutter+23), Text: text}
	if q.Err != "" || q.Status >= 400 {
		line.Tone = present.Warning
	}
	return line
}

// beneath says what came of a request that did not serve.
func (w traceWords) beneath(rep *trace.Report, i int) []present.Line {
	q := rep.Requests[i]
	step := then(rep, i)
	rest := strings.Repeat(" ", 5)
	line := func(mark, text string) present.Line {
		return present.Line{Gutter: "   " + mark + " ", Rest: rest, Text: text}
	}
	var lines []present.Line
	switch {
	case q.Err != "":
		lines = append(lines, line("·", q.Err))
	case q.Kind == route.VCS:
		return append(lines, line("·", w.t("trace.knock")))
	case q.Said != "":
		first, _, _ := strings.Cut(q.Said, "\n")
		lines = append(lines, line("·", w.t("trace.said", first)))
	}
	status := http.StatusText(q.Status)
	if q.Status != 0 {
		status = strings.TrimSpace(fmt.Sprint(q.Status, " ", status))
	} else {
		status = w.t("trace.noanswer")
	}
	switch {
	case step == "redirect":
		return append(lines, line("↪", w.t("trace.redirect", q.Location)))
	case step == "again":
		return append(lines, line("↻", w.t("trace.again", status)))
	case step == "" || q.Hop < 0:
		return lines
	case q.Kind == route.Supported && step != "end":
		return append(lines, line("▼", w.t("trace.supported", status)))
	case step == "end":
		if h := rep.Route.Hops[q.Hop]; h.Kind == route.Proxy && h.Falls == route.FallsNotFound && q.Status != 404 && q.Status != 410 && rep.Outcome.Hop == q.Hop {
			return append(lines, line("■", w.t("trace.stops", status)))
		}
		return lines
	case q.Kind == route.Discovery:
		return append(lines, line("▼", w.t("trace.falls.discovery", status)))
	}
	return append(lines, line("▼", w.t("trace.falls."+step, status)))
}

// waterfallOf draws the phases on the time line: in each column the one that takes most of it.
func waterfallOf(spans []trace.Span, whole time.Duration) string {
	letters := map[trace.Phase]rune{trace.DNS: 'd', trace.TCP: 't', trace.TLS: 's', trace.Wait: '░', trace.Body: '█'}
	out := []rune(strings.Repeat("·", waterfall))
	if whole <= 0 {
		return string(out)
	}
	drawn := false
	for i := range out {
		from, to := whole*time.Duration(i)/waterfall, whole*time.Duration(i+1)/waterfall
		var most time.Duration
		for _, s := range spans {
			// Half of a column is enough, so that short requests leave a mark of their size.
			if over := min(to, s.At+s.Took) - max(from, s.At); over > most {
				most, out[i], drawn = over, letters[s.Phase], true
			}
		}
	}
	if !drawn && len(spans) > 0 {
		out[min(int(spans[0].At*waterfall/whole), waterfall-1)] = letters[spans[0].Phase]
	}
	return string(out)
}

func (w traceWords) commands(rep *trace.Report) []present.Line {
	var lines []present.Line
	local := trace.Command{Depth: 1}
	count := 0
	flush := func() {
		if count > 0 {
			local.Text = w.t("trace.local", count)
			lines = append(lines, w.command(local, rep.Took, '▒'))
		}
		local, count = trace.Command{Depth: 1}, 0
	}
	for _, c := range rep.Commands {
		if !c.Failed && c.Depth > 0 && !remote(c.Text) {
			if count == 0 {
				local.At = c.At
			}
			local.Took += c.Took
			count++
			continue
		}
		if c.Depth == 0 {
			flush()
		}
		c.Text = shortCommand(c.Text)
		lines = append(lines, w.command(c, rep.Took, '▒'))
	}
	flush()
	return lines
}

// remote tells the commands that speak to a server.
func remote(text string) bool {
	return strings.HasPrefix(text, "get ") || strings.Contains(text, " ls-remote ") || strings.Contains(text, " fetch ") ||
		!strings.HasPrefix(text, "git ")
}

// shortCommand leaves out what says nothing to a reader.
func shortCommand(text string) string {
	var words []string
	for word := range strings.FieldsSeq(text) {
		if word != "--end-of-options" {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// command is one line: time line, how long, what.
func (w traceWords) command(c trace.Command, whole time.Duration, fill rune) present.Line {
	bar := []rune(strings.Repeat("·", waterfall))
	if whole > 0 {
		from := min(int(c.At*waterfall/whole), waterfall-1)
		to := min(max(int((c.At+c.Took)*waterfall/whole), from+1), waterfall)
		for i := from; i < to; i++ {
			bar[i] = fill
		}
	}
	mark := "  "
	if c.Failed {
		mark = "✗ "
	}
	gutter := fmt.Sprintf("%s %s %7s ", mark, string(bar), millis(c.Took))
	indent := strings.Repeat("  ", c.Depth)
	line := present.Line{Gutter: gutter + indent, Rest: strings.Repeat(" ", len([]rune(gutter))) + indent + "  ", Text: c.Text}
	if c.Failed {
		line.Tone = present.Warning
	}
	return line
}

func (w traceWords) proof(rep *trace.Report) []present.Line {
	p := rep.Proof
	var lines []present.Line
	add := func(label, text string, tone present.Tone) {
		lines = append(lines, present.Line{Label: w.t("trace.label." + label), Text: text, Tone: tone})
	}
	if p.Hash != "" {
		add("zip", w.t("trace.zip", shortBytes(p.Size), p.Hash), "")
	}
	if p.ModHash != "" {
		add("mod", p.ModHash, "")
	}
	switch c := rep.Route.Checksum; {
	case p.Wrong != "":
		add("sum", w.t("trace.sum.wrong", p.Wrong), present.Warning)
	case p.Database != "":
		add("sum", w.t("trace.sum.proved", p.Database, p.Record, p.Tree, p.Tiles), "")
	case p.InSum:
		add("sum", w.t("trace.sum.same"), "")
	case p.Hash != "" && !c.Used:
		add("sum", w.unchecked(c.Rule), present.Warning)
	}
	return lines
}

func (w traceWords) chosen(t traced) []present.Line {
	c := t.chosen
	label := w.t("trace.label.version")
	version := t.rep.Version
	switch {
	case c == nil && t.query.Version == "" && version != "":
		return []present.Line{{Label: label, Text: w.t("trace.chosen.newest", version)}}
	case c == nil && version != "" && version != t.query.Version:
		return []present.Line{{Label: label, Text: w.t("trace.chosen.query", version, t.query.Version)}}
	case c == nil:
		return nil
	case c.Replaced != "":
		return []present.Line{{Label: label, Text: w.t("trace.chosen.replaced", c.Replaced), Tone: present.Warning}}
	}
	if version == "" {
		version = t.query.Version
	}
	text := w.t("trace.chosen.mvs", c.Version)
	if version != c.Version {
		text = w.t("trace.chosen.other", version, c.Version)
	}
	lines := []present.Line{{Label: label, Text: text}}
	for i, want := range c.Wants {
		if i == shownWants {
			lines = append(lines, present.Line{Label: " ", Text: w.t("trace.chosen.more", len(c.Wants)-i), Tone: present.Faint})
			break
		}
		lines = append(lines, present.Line{Label: " ", Text: w.t("trace.chosen.want", want.Version, want.By)})
	}
	if len(c.Path) > 2 {
		lines = append(lines, present.Line{Label: " ", Text: strings.Join(c.Path, " → "), Tone: present.Faint})
	}
	return lines
}

// judge says whether GOPROXY decided, in one sentence.
func judge(t traced, w traceWords) tracedVerdict {
	rep := t.rep
	set := t.cfg.Env["GOPROXY"]
	v := tracedVerdict{Value: shownProxies(set.Value), TookEffect: true, Notes: []string{}}
	var private *route.Hop
	for i, h := range rep.Route.Hops {
		if h.Kind == route.NoProxy && h.Passed == nil {
			private = &rep.Route.Hops[i]
		}
	}
	switch {
	case len(rep.Route.Problems) > 0:
		v.Code, v.TookEffect = "problem", false
		v.Text = w.t("trace.goproxy.problem")
	case private != nil:
		v.Code, v.TookEffect = "private", false
		v.Text = w.t("trace.goproxy.private", w.rule(private.Rule))
	case !rep.Outcome.OK:
		v.Code = "failed"
		v.Text = w.t("trace.goproxy.failed", v.Value)
		if (rep.Proof.Size > 0 || rep.Outcome.Says == "checksum mismatch") && rep.Served >= 0 && rep.Route.Hops[rep.Served].Kind == route.Proxy {
			v.Code, v.Server = "refused", rep.Route.Hops[rep.Served].Server
			v.Text = w.t("trace.goproxy.refused", v.Server)
		}
		if rep.Route.Reports == "off" {
			v.Code, v.Text = "off", w.t("trace.goproxy.off")
		}
	default:
		h := rep.Route.Hops[max(rep.Served, 0)]
		v.Server = h.Server
		if v.Code = "served"; h.Kind != route.Proxy {
			v.Code, v.Server = "direct", ""
			v.Text = w.t("trace.goproxy.direct", w.rule(h.Rule))
			break
		}
		v.Text = w.t("trace.goproxy.served", h.Server, w.rule(h.Rule))
	}
	tried := slices.ContainsFunc(t.options.env, func(kv string) bool { return strings.HasPrefix(kv, "GOPROXY=") })
	if user, err := goenv.ReadFile(t.cfg.Env.Value("GOENV")); err == nil && set.Origin == goenv.FromOS && !tried {
		if value := user["GOPROXY"]; value != "" && value != set.Value {
			v.Notes = append(v.Notes, w.t("trace.note.shadowed", shownProxies(value)))
		}
	}
	if flags := t.cfg.Env.Value("GOFLAGS"); strings.Contains(" "+flags+" ", " -mod=vendor ") {
		v.Notes = append(v.Notes, w.t("trace.note.vendor"))
	}
	if trace.InCache(t.cfg.Env.Value("GOMODCACHE"), t.query.Module, rep.Version) {
		v.Notes = append(v.Notes, w.t("trace.note.cached"))
	}
	return v
}

// shownProxies is GOPROXY without logins.
func shownProxies(list string) string {
	var b strings.Builder
	for list != "" {
		i := strings.IndexAny(list, ",|")
		if i < 0 {
			i = len(list)
		}
		b.WriteString(mask.Text(list[:i]))
		if i < len(list) {
			b.WriteByte(list[i])
			i++
		}
		list = list[i:]
	}
	return b.String()
}
