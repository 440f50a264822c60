package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
)

// routeWords puts routes into the reader's language, as a picture in lines.
type routeWords struct {
	lang    msg.Lang
	private string // GOPRIVATE as it is, to which the mend adds
}

func (w routeWords) t(key string, args ...any) string { return msg.Text(w.lang, key, args...) }

// shownInGroup is how many names stand for a group.
const shownInGroup = 6

func (w routeWords) tried(pairs []string) []present.Line {
	if len(pairs) == 0 {
		return nil
	}
	return []present.Line{{Text: w.t("route.tried", mask.Text(strings.Join(pairs, " "))), Tone: present.Faint}, {}}
}

// summary is the build list: leaks first, then groups of equal routes.
func (w routeWords) summary(doc routes) []present.Line {
	if len(doc.Routes) == 0 {
		return []present.Line{{Text: w.t("route.none")}}
	}
	lines := w.leaks(doc)
	for _, g := range doc.Groups {
		lines = append(lines, w.group(g)...)
		lines = append(lines, present.Line{})
	}
	return append(lines, present.Line{Text: w.t("route.footer"), Tone: present.Faint})
}

func (w routeWords) group(g route.Group) []present.Line {
	count := w.t("route.count.one")
	if n := len(g.Modules); n > 1 {
		count = w.t("route.count", n)
	}
	lines := []present.Line{{Text: w.t("labelled", count, w.way(g.Summary)), Rest: "  ", Tone: present.Bold}}
	if g.Summary.Private {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.rule(g.Example.Hops[0].Rule)})
	}
	for _, p := range g.Example.Problems {
		lines = append(lines, w.problem(p))
	}
	if len(g.Example.Problems) == 0 {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.checksum(g.Example.Checksum)})
	}
	return append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.some(g.Modules), Tone: present.Faint})
}

// way is a route in one line.
func (w routeWords) way(s route.Summary) string {
	switch {
	case len(s.Hops) == 0 || len(s.Problems) > 0:
		return w.t("route.nothing")
	case s.Private:
		return w.t("route.privately")
	}
	var b strings.Builder
	for i, h := range s.Hops {
		b.WriteString(h.Server)
		if i < len(s.Hops)-1 {
			b.WriteString(" " + w.t("route.arrow."+string(h.Falls)) + " ")
		}
	}
	return b.String()
}

func (w routeWords) some(modules []string) string {
	n := min(len(modules), shownInGroup)
	text := strings.Join(modules[:n], ", ")
	if n < len(modules) {
		return w.t("route.more", text, len(modules)-n)
	}
	return text
}

// leaks says who would learn of what, why that looks private, and the one setting
// that ends it.
func (w routeWords) leaks(doc routes) []present.Line {
	if len(doc.Leaks) == 0 {
		return nil
	}
	lines := []present.Line{{Text: w.t("route.leaks"), Tone: present.Warning}}
	var patterns []string
	for i, l := range doc.Leaks {
		names := w.some(l.Modules)
		if i > 0 && slices.Equal(l.Modules, doc.Leaks[i-1].Modules) {
			names = w.t("route.leak.same")
		}
		lines = append(lines, present.Line{Gutter: "! ", Rest: "  ", Text: w.told(l.Role, l.To, l.Public, names)})
		for _, p := range l.Patterns {
			if !slices.Contains(patterns, p) {
				patterns = append(patterns, p)
			}
		}
	}
	explained := 0
	for _, r := range doc.Routes {
		if len(r.Leaks) > 0 && explained < shownInGroup {
			explained++
			lines = append(lines, present.Line{Gutter: "  ", Rest: "    ", Text: w.t("labelled", r.Module, w.marks(r.Leaks[0].Why)), Tone: present.Faint})
		}
	}
	return append(lines, w.mend(patterns), present.Line{})
}

func (w routeWords) told(role, to string, public bool, names string) string {
	key := "route.leak." + role
	if !public {
		key += ".maybe"
	}
	return w.t(key, to, names)
}

// mend is the command that adds the patterns to GOPRIVATE.
func (w routeWords) mend(patterns []string) present.Line {
	value := strings.Join(patterns, ",")
	if w.private != "" {
		value = strings.TrimRight(w.private, ",") + "," + value
	}
	return present.Line{
		Gutter: "  ", Label: w.t("route.leak.mend"), Text: "keepwell env --set " + faults.Quote("GOPRIVATE="+value), Whole: true, Tone: present.Command,
	}
}

func (w routeWords) marks(why []route.Rule) string {
	var list []string
	for _, r := range why {
		args := []any{r.Value}
		if r.Code == "covered" || r.Code == "sibling" {
			args = append(args, r.Setting)
		}
		list = append(list, w.t("route.mark."+r.Code, args...))
	}
	return w.join(list)
}

// route is one module in detail.
func (w routeWords) route(r route.Route) []present.Line {
	name := r.Module
	if r.Version != "" {
		name += "@" + r.Version
	}
	lines := []present.Line{{Text: name, Whole: true, Tone: present.Bold}}
	for _, p := range r.Problems {
		lines = append(lines, w.problem(p))
	}
	if len(r.Leaks) > 0 {
		for _, l := range r.Leaks {
			lines = append(lines, present.Line{
				Gutter: "! ", Rest: "  ", Text: w.told(l.Role, l.To, l.Public, w.t("route.leak.this")), Tone: present.Warning,
			})
		}
		lines = append(lines,
			present.Line{Gutter: "  ", Rest: "  ", Text: w.t("route.leak.because", w.marks(r.Leaks[0].Why)), Tone: present.Faint},
			w.mend([]string{r.Leaks[0].Pattern}))
	}
	lines = append(lines, present.Line{})
	if len(r.Problems) == 0 {
		lines = append(lines, w.hops(r)...)
	}
	if len(r.Ignored) > 0 {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.t("route.ignored", strings.Join(r.Ignored, ", ")), Tone: present.Warning})
	}
	return append(append(lines, present.Line{}), w.checksumPicture(r.Checksum)...)
}

func (w routeWords) problem(p route.Rule) present.Line {
	args := []any{p.Value}
	switch p.Code {
	case "bad-proxy":
		args = []any{p.Item, p.Value}
	case "no-proxy":
		args = nil
	}
	return present.Line{Gutter: "! ", Rest: "  ", Text: w.t("route.problem", w.t("route.problem."+p.Code, args...)), Tone: present.Warning}
}

const rail = " │  "

func numbered(n int) string { return fmt.Sprintf("%2d  ", n) }

// hops is the picture: numbered hops, what lies between them, the end.
func (w routeWords) hops(r route.Route) []present.Line {
	var lines []present.Line
	var asked []route.Hop
	for _, h := range r.Hops {
		if h.Passed == nil {
			asked = append(asked, h)
		}
	}
	for i, h := range asked {
		if i > 0 && asked[i-1].Kind == route.NoProxy {
			lines = append(lines, present.Line{Gutter: numbered(i + 1), Rest: rail, Text: w.t("route.again", w.rule(h.Rule))})
		} else {
			lines = append(lines, w.hop(i+1, h)...)
		}
		falls := h.Falls
		if i == len(asked)-1 {
			lines = append(lines, present.Line{Gutter: " ■  ", Rest: "    ", Text: w.t("route.reports." + r.Reports)})
			break
		}
		key := "route.falls." + string(falls)
		if h.Direct != nil {
			key = "route.falls.discovery"
		}
		lines = append(lines, present.Line{Gutter: " ▼  ", Rest: " │  ", Text: w.t(key)})
	}
	return lines
}

func (w routeWords) hop(n int, h route.Hop) []present.Line {
	name := h.Server
	switch h.Kind {
	case route.ByItem, route.NoProxy:
		name = w.t("route.directly")
	case route.Off:
		name = w.t("route.nomore")
	}
	lines := []present.Line{{Gutter: numbered(n), Rest: rail, Text: name, Tone: present.Bold}}
	last := ""
	add := func(label, text string) {
		shown := w.t("route.label." + label)
		if label == last {
			shown = " " // the same again
		}
		last = label
		lines = append(lines, present.Line{Gutter: rail, Rest: rail, Label: shown, Text: text})
	}
	add("why", w.rule(h.Rule))
	if h.Direct != nil {
		w.direct(*h.Direct, add)
	} else if len(h.Asks) > 0 {
		add("asks", h.Asks[0].URL)
		if rest := w.likewise(h.Asks[1:]); rest != "" {
			add("asks", rest)
		}
	}
	if a := h.Access; a != nil {
		w.access(*a, add)
	}
	return lines
}

// likewise names the other kinds of request, whose URLs differ in the end only.
func (w routeWords) likewise(asks []route.Ask) string {
	var kinds []string
	for _, a := range asks {
		switch a.Kind {
		case route.Latest:
			return w.t("route.then", a.URL)
		default:
			kinds = append(kinds, "."+string(a.Kind))
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return w.t("route.likewise", strings.Join(kinds, ", "))
}

func (w routeWords) direct(d route.Direct, add func(label, text string)) {
	if d.Discovery != "" {
		add("asks", d.Discovery)
		add("asks", w.t("route.fordirect"))
		if d.Access != nil {
			w.access(*d.Access, add)
		}
	}
	if d.Repo != "" {
		add("clone", w.t("route.known."+d.Found, d.VCS+" "+d.Repo))
	}
	if d.Rewritten != "" {
		add("clone", w.t("route.rewritten", d.Rewritten, d.Rewrite))
	}
	if d.Policy != nil && d.Problem == nil {
		tools := strings.Join(d.Allowed, ", ")
		if slices.Contains(d.Allowed, "all") {
			tools = w.t("route.tools.all")
		}
		add("tools", w.t("route.tools", tools, w.rule(*d.Policy)))
	}
	if d.Insecure != nil {
		add("notice", w.t("route.insecure", w.rule(*d.Insecure)))
	}
	if p := d.Problem; p != nil {
		if p.Code == "vcs-forbidden" {
			add("notice", w.t("route.rule.vcs-forbidden", d.VCS, p.Value))
		} else {
			add("notice", w.t("route.rule."+p.Code))
		}
	}
}

func (w routeWords) access(a route.Access, add func(label, text string)) {
	if s := a.Credential[0].Source; s != "file" {
		login := w.login(a.Credential[len(a.Credential)-1])
		for _, c := range slices.Backward(a.Credential[:len(a.Credential)-1]) {
			login = w.t("route.login.or", w.login(c), login)
		}
		add("login", login)
	}
	switch r := a.TunnelRule; r.Code {
	case "tunnel":
		add("way", w.t("route.way.tunnel", a.Tunnel, r.Setting))
	case "bad-tunnel", "no-proxy-list":
		add("way", w.t("route.way."+r.Code, r.Setting))
	case "loopback":
		add("way", w.t("route.way.loopback"))
	}
}

func (w routeWords) login(c route.Credential) string {
	if c.Name == "" {
		return w.t("route.login." + c.Source)
	}
	return w.t("route.login."+c.Source, c.Name)
}

// rule is why, in words.
func (w routeWords) rule(r route.Rule) string {
	setting := r.Setting
	if r.From != "" {
		setting = r.From
	}
	origin := w.origin(r)
	switch r.Code {
	case "item":
		return w.t("route.rule.item", r.Item, origin)
	case "pattern":
		return w.t("route.rule.pattern", r.Value, setting, origin)
	case "govcs":
		if r.Origin == "default" || r.Origin == "" {
			return w.t("route.rule.govcs-default", r.Value)
		}
		return w.t("route.rule.govcs", r.Item, r.Value)
	case "not-private", "govcs-bad", "no-host", "bad-host-path", "host-suffix", "no-modules":
		return w.t("route.rule." + r.Code)
	}
	return setting + origin
}

// origin is where a rule's setting is from, in brackets.
func (w routeWords) origin(r route.Rule) string {
	var parts []string
	if r.Origin != "" && r.Origin != "default" {
		parts = append(parts, w.t("route.origin."+r.Origin))
	}
	if r.From != "" {
		parts = append(parts, w.t("route.rule.default", r.Setting))
	}
	if len(parts) == 0 {
		return ""
	}
	return w.t("route.rule.origin", w.join(parts))
}

func (w routeWords) join(parts []string) string {
	if w.lang == msg.ZH {
		return strings.Join(parts, "；")
	}
	return strings.Join(parts, "; ")
}

// checksum is how a version is verified, in one line.
func (w routeWords) checksum(c route.Checksum) string {
	var text string
	switch {
	case c.Problem != nil:
		text = w.t("route.sum.bad", w.t("route.sum.bad."+c.Problem.Code))
	case !c.Used:
		text = w.unchecked(c.Rule)
	case c.Rule.Code == "sumdb-url":
		text = w.t("route.sum.url", c.Name, c.Direct)
	case len(c.Via) == 0:
		text = w.t("route.sum.direct", c.Name)
	default:
		var via []string
		for _, v := range c.Via {
			via = append(via, v.Server)
		}
		text = w.t("route.sum.through", c.Name, strings.Join(via, ", "))
	}
	return w.t("route.sum.of", text)
}

func (w routeWords) unchecked(r route.Rule) string {
	switch r.Code {
	case "go.sum":
		return w.t("route.sum.go.sum")
	case "sumdb-off":
		return w.t("route.sum.sumdb-off", w.origin(r))
	}
	return w.t("route.sum.pattern", w.rule(r))
}

// checksumPicture is the way to the database, in the manner of the hops.
func (w routeWords) checksumPicture(c route.Checksum) []present.Line {
	if !c.Used || c.Problem != nil {
		return []present.Line{{Text: w.checksum(c), Rest: "  "}}
	}
	title := w.t("route.sum.by", c.Name, w.rule(c.Rule))
	if c.Rule.Code == "toolchain" {
		title = w.t("route.sum.toolchain", c.Name)
	}
	lines := []present.Line{{Text: w.t("route.sum.of", title), Tone: present.Bold}}
	n := 0
	number := func() string {
		n++
		return numbered(n)
	}
	if c.Rule.Code != "sumdb-url" {
		for _, v := range c.Via {
			lines = append(lines,
				present.Line{Gutter: number(), Rest: rail, Text: v.Server},
				present.Line{Gutter: rail, Rest: rail, Label: w.t("route.label.asks"), Text: v.URL},
				present.Line{Gutter: rail, Rest: rail, Label: " ", Text: w.t("route.sum.supported")},
				present.Line{Gutter: " ▼  ", Rest: rail, Text: w.t("route.sum.falls." + string(v.Falls))})
		}
	}
	lines = append(lines, present.Line{Gutter: number(), Rest: rail, Text: w.t("route.sum.last", c.Direct)})
	if c.Lookup != "" {
		lines = append(lines, present.Line{Gutter: rail, Rest: rail, Label: w.t("route.label.asks"), Text: c.Direct + c.Lookup})
	}
	return append(lines, present.Line{Gutter: " ■  ", Rest: "    ", Text: w.t("route.sum.lookup")})
}
