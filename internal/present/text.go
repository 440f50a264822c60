package present

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
)

// textHandler writes for a tired person: the first finding whole, the others in
// a line each.
type textHandler struct {
	w     io.Writer
	style Style
	found int
	rest  int
}

// shownRemedies is how many ways out are shown; the rest stand in `keepwell faults`.
const shownRemedies = 3

// FromUpstream begins the source of evidence that is what an upstream of keepwell's
// module proxy did; its name follows.
const FromUpstream = "upstream "

// shownBeside is how many findings beside the first are shown.
const shownBeside = 8

func (h *textHandler) Handle(e keepwell.Event) error {
	p := newPage(h.style)
	switch e := e.(type) {
	case keepwell.Found:
		h.found++
		switch {
		case h.found == 1:
			p.finding(e.Finding)
		case h.found <= 1+shownBeside:
			if h.found == 2 {
				p.line("")
				p.line(p.faint(h.text("label", h.text("also"))))
			}
			p.beside(e.Finding)
		default:
			h.rest++
		}
	case keepwell.Finished:
		if h.found == 0 {
			p.line(h.text("nothing"))
			p.block("", h.text("nothing.hint"), p.faint)
		}
		if h.rest > 0 {
			p.line("  " + p.faint(h.text("more.findings", h.rest)))
		}
	}
	if _, err := io.WriteString(h.w, p.b.String()); err != nil {
		return fmt.Errorf("writing text: %w", err)
	}
	return nil
}

func (h *textHandler) text(key string, args ...any) string {
	return msg.Text(h.style.Lang, key, args...)
}

// page is text under construction, wrapped to the style's width.
type page struct {
	b      strings.Builder
	style  Style
	widths *runewidth.Condition
}

func (p *page) text(key string, args ...any) string { return msg.Text(p.style.Lang, key, args...) }

func (p *page) line(s string) { p.b.WriteString(strings.TrimRight(inert(s), " ") + "\n") }

// finding writes one finding whole.
func (p *page) finding(f keepwell.Finding) {
	verdict := p.text("owner."+string(f.Owner)) + " · " + retryWord(p.style.Lang, f)
	head := p.text("severity."+string(f.Severity)) + " " + string(f.Code)
	if p.widths.StringWidth(head+" · "+verdict) <= p.style.Width {
		p.line(p.severity(f, head) + " · " + verdict)
	} else {
		p.line(p.severity(f, head))
		p.block("  ", verdict, nil)
	}
	p.block("  ", Visible(f.Cause, true), p.bold)
	for i, ev := range f.Evidence {
		p.evidence(f, ev, i == 0)
	}
	label := "mend"
	for _, r := range f.Remedies[:min(len(f.Remedies), shownRemedies)] {
		p.remedy(label, r)
		label = "or"
	}
	if len(f.Rivals) > 0 {
		p.line("")
		p.line("  " + p.faint(p.text("unsure", int(math.Round(f.Confidence*100)))))
		for _, r := range f.Rivals {
			p.rival(r)
		}
	}
	p.line("")
	p.line("  " + p.faint(p.text("more", f.Code)))
}

// beside writes one finding in a line.
func (p *page) beside(f keepwell.Finding) {
	times := ""
	if f.Count > 1 {
		times = " ×" + fmt.Sprint(f.Count)
	}
	p.block("  ", string(f.Code)+times+"  "+Visible(f.Title, true), nil)
}

func (p *page) evidence(f keepwell.Finding, ev keepwell.Evidence, first bool) {
	where := p.text("proof.environment")
	upstream, isUpstream := strings.CutPrefix(ev.Source, FromUpstream)
	switch {
	case isUpstream:
		where = p.text("proof.upstream", Visible(upstream, true))
	case ev.Source == "marks":
		where = p.text("proof.marks")
	case ev.Source == "probe":
		where = p.text("proof.probe")
	case ev.Source == "tool":
		where = p.text("proof.tool")
	case ev.Source == "server response" && ev.Line == 0:
		where = p.text("proof.answer")
	case ev.Source == "server response":
		where = p.text("proof.response", ev.Line)
	case ev.Line > 0:
		where = p.text("proof.line", ev.Line)
	case ev.Source == "input": // concluded from several places of the text
		where = p.text("proof.together")
	}
	if first && f.Count > 1 {
		where = p.text("proof.and", where, p.text("proof.times", f.Count))
	}
	p.line("")
	p.line("  " + p.faint(p.text("proof")+" · "+where))
	p.marked("    ", ev)
}

// marked writes foreign text with its decisive words in bold, or underlined with
// carets where there is no colour.
func (p *page) marked(indent string, ev keepwell.Evidence) {
	start := 0
	for line := range strings.SplitSeq(ev.Text, "\n") {
		var spans []keepwell.Span
		for _, m := range ev.Marks {
			s := keepwell.Span{Start: max(m.Start-start, 0), End: min(m.End-start, len(line))}
			if s.Start < s.End {
				spans = append(spans, s)
			}
		}
		p.markedLine(indent, line, spans)
		start += len(line) + 1
	}
}

// cell is one character of foreign text as it is shown.
type cell struct {
	shown  string
	width  int
	marked bool
}

func (p *page) markedLine(indent, line string, spans []keepwell.Span) {
	var cells []cell
	for i, r := range line {
		shown := Visible(string(r), true)
		cells = append(cells, cell{shown, p.widths.StringWidth(shown), inside(spans, i)})
	}
	for room := p.style.Width - len(indent); ; {
		n := fitting(cells, room)
		p.cells(indent, cells[:n])
		if cells = cells[n:]; len(cells) == 0 {
			return
		}
	}
}

// fitting returns how many cells go on a line of room columns: all, or as many as
// fit, broken behind a blank where one stands in the last third.
func fitting(cells []cell, room int) int {
	column, blank := 0, 0
	for i, c := range cells {
		if column += c.width; column > room {
			if blank > i*2/3 {
				return blank
			}
			return max(i, 1)
		}
		if c.shown == " " {
			blank = i + 1
		}
	}
	return len(cells)
}

// cells writes one line of cells, and below it carets where there is no colour.
func (p *page) cells(indent string, cells []cell) {
	var text, run, under strings.Builder
	marked := false
	endRun := func() {
		shown := run.String()
		if marked {
			shown = p.paint("1;31", shown)
		}
		text.WriteString(shown)
		run.Reset()
	}
	for _, c := range cells {
		if c.marked != marked {
			endRun()
			marked = c.marked
		}
		run.WriteString(c.shown)
		under.WriteString(strings.Repeat(map[bool]string{true: "^", false: " "}[c.marked], c.width))
	}
	endRun()
	p.line(indent + text.String())
	if u := strings.TrimRight(under.String(), " "); u != "" && !p.style.Color {
		p.line(indent + u)
	}
}

func inside(spans []keepwell.Span, i int) bool {
	for _, s := range spans {
		if i >= s.Start && i < s.End {
			return true
		}
	}
	return false
}

func (p *page) remedy(label string, r keepwell.Remedy) {
	p.line("")
	p.block("  ", p.text("remedy", p.text(label), p.text("safety."+string(r.Safety)), Visible(r.Title, true)), nil)
	if r.Command != "" {
		// A command is never wrapped: it must survive being copied.
		for c := range strings.SplitSeq(strings.TrimSpace(r.Command), "\n") {
			p.line("    " + p.paint("36", Visible(c, true)))
		}
	}
	if r.Undo != "" {
		p.line("    " + p.faint(p.text("labelled", p.text("undo"), Visible(r.Undo, true))))
	}
}

func (p *page) rival(r keepwell.Rival) {
	p.block("    ", string(r.Code)+"  "+Visible(r.Title, true), nil)
	if r.Probe != "" {
		p.line("      " + p.faint(p.text("labelled", p.text("probe"), "")) + Visible(r.Probe, true))
	}
	if r.Tells != "" {
		p.block("      ", Visible(r.Tells, true), p.faint)
	}
}

// block writes prose wrapped to the width; paint, if any, colours each line.
func (p *page) block(indent, s string, paint func(string) string) {
	for _, line := range wrap(p.widths, s, p.style.Width-len(indent)) {
		if paint != nil {
			line = paint(line)
		}
		p.line(indent + line)
	}
}

func (p *page) paint(code, s string) string {
	if !p.style.Color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *page) bold(s string) string  { return p.paint("1", s) }
func (p *page) faint(s string) string { return p.paint("2", s) }

func (p *page) severity(f keepwell.Finding, s string) string {
	code := map[keepwell.Severity]string{
		keepwell.SeverityError: "1;31", keepwell.SeverityWarning: "1;33", keepwell.SeverityInfo: "1;34",
	}[f.Severity]
	return p.paint(code, s)
}

// Wrap breaks prose into lines of at most width columns.
func Wrap(s string, width int) []string { return wrap(&runewidth.Condition{}, s, width) }

// wrap breaks prose into lines of at most width columns. Western words stay whole
// where they fit; between Chinese characters a line may break anywhere except
// before closing and after opening punctuation (the rules of JLReq/CLReq, 禁则).
func wrap(widths *runewidth.Condition, s string, width int) []string {
	var lines []string
	var line strings.Builder
	column := 0
	flush := func() {
		lines = append(lines, strings.TrimRight(line.String(), " "))
		line.Reset()
		column = 0
	}
	for _, piece := range pieces(s) {
		if piece == "\n" {
			flush()
			continue
		}
		w := widths.StringWidth(strings.TrimRight(piece, " "))
		if column > 0 && column+w > width {
			flush()
		}
		for w > width && !strings.Contains(piece, "://") { // a word longer than a line is cut, a URL stays whole
			head := widths.Truncate(piece, width, "")
			if head == "" {
				break
			}
			lines = append(lines, head)
			piece = strings.TrimPrefix(piece, head)
			w = widths.StringWidth(piece)
		}
		line.WriteString(piece)
		column += widths.StringWidth(piece)
	}
	if line.Len() > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

const (
	closing = "，。、；：？！）》」』】”’…·%)]},.;:?!"
	opening = "（《「『【“‘([{"
)

// pieces cuts prose where a line may break. Blanks stay with the word before.
func pieces(s string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	prev := rune(0)
	for _, r := range s {
		switch {
		case r == '\n':
			flush()
			out = append(out, "\n")
			prev = 0
			continue
		case prev == 0 || strings.ContainsRune(closing, r) || strings.ContainsRune(opening, prev):
		case prev == ' ' && r != ' ', isWide(r), isWide(prev) && r != ' ':
			flush()
		}
		word.WriteRune(r)
		prev = r
	}
	flush()
	return out
}

func isWide(r rune) bool { return r >= 0x2e80 && runewidth.RuneWidth(r) == 2 }
