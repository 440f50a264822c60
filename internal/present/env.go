package present

import (
	"fmt"
	"io"
	"strings"

	"github.com/keepwell/keepwell"
)

// Setting is a setting as `keepwell env` shows it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Origin is the place that sets it, as a code; File and Line where that is a file.
	Origin string `json:"origin"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	// Credential is the kind of a credential whose value is not shown; Host whom it is for.
	Credential string    `json:"credential,omitempty"`
	Host       string    `json:"host,omitempty"`
	Hides      []Setting `json:"hides,omitempty"`
}

// SettingGroup is settings of one tool.
type SettingGroup struct {
	Name string `json:"group"`
	// Title heads the group in text.
	Title    string    `json:"-"`
	Settings []Setting `json:"settings"`
	Unset    []string  `json:"unset"`
}

// Note is something to know about a setting.
type Note struct {
	ID       string            `json:"id"`
	Code     keepwell.Code     `json:"code,omitempty"`
	Severity keepwell.Severity `json:"severity"`
	Name     string            `json:"name"`
	File     string            `json:"file,omitempty"`
	Line     int               `json:"line,omitempty"`
	Text     string            `json:"text"`
	// Command mends it; empty where none can be typed.
	Command string `json:"command,omitempty"`
}

// Environment is the whole of `keepwell env`.
type Environment struct {
	Command string         `json:"command"`
	Groups  []SettingGroup `json:"settings"`
	// Findings are the notes that bring a fault about, with the catalogue's words.
	Findings []keepwell.Finding `json:"findings"`
	// Notes are the others; text shows AllNotes, both kinds.
	Notes    []Note `json:"notes"`
	AllNotes []Note `json:"-"`
}

// WriteEnvironment writes e as text or JSON.
func WriteEnvironment(w io.Writer, f Format, style Style, e Environment) error {
	switch f {
	case JSON:
		return writeJSON(w, e)
	case JSONL:
		return encode(w, e, "", "JSON lines")
	case Text:
	default:
		return fmt.Errorf("%w: settings are shown as text or json", ErrFormat)
	}
	p := newPage(style)
	for i, g := range e.Groups {
		if i > 0 {
			p.line("")
		}
		p.settingGroup(g)
	}
	p.line("")
	p.line(p.faint(p.text("env.legend")))
	if len(e.AllNotes) == 0 {
		p.line("")
		p.line(p.text("env.clean"))
	}
	p.notes(e.AllNotes)
	return p.flush(w)
}

// WriteDocument writes v as one JSON document, under JSON and JSONL.
func WriteDocument(w io.Writer, f Format, v any) error {
	if f == JSON {
		return writeJSON(w, v)
	}
	return encode(w, v, "", "JSON lines")
}

// WriteNotes writes notes as text.
func WriteNotes(w io.Writer, style Style, notes []Note) error {
	p := newPage(style)
	p.notes(notes)
	return p.flush(w)
}

func (p *page) settingGroup(g SettingGroup) {
	p.line(p.bold(g.Title))
	widest := 0
	for _, s := range g.Settings {
		if n := p.widths.StringWidth(s.Name); n <= 30 {
			widest = max(widest, n)
		}
	}
	for _, s := range g.Settings {
		p.setting(s, widest)
	}
	switch {
	case len(g.Unset) > 0:
		p.block("  ", p.text("env.unset", strings.Join(g.Unset, " ")), p.faint)
	case len(g.Settings) == 0:
		p.line("  " + p.faint(p.text("env.nothing")))
	}
}

func (p *page) setting(s Setting, widest int) {
	mark := "  "
	if s.Origin != "default" && s.Origin != "GOROOT/go.env" {
		mark = "● "
	}
	name := Visible(s.Name, true)
	head := mark + p.widths.FillRight(name, widest) + "  "
	indent := strings.Repeat(" ", 2+widest+2)
	value := Visible(s.Value, true)
	if s.Credential != "" {
		value = strings.TrimSpace(value + " " + p.text("env.credential."+s.Credential))
	}
	lines := p.valueLines(value, p.style.Width-len(indent))
	if p.widths.StringWidth(name) > widest {
		p.line(mark + name)
		head = indent
	}
	from := ""
	if mark != "  " {
		from = p.text("env.from", p.place(s))
	}
	for i, l := range lines {
		last := i == len(lines)-1
		room := p.style.Width - p.widths.StringWidth(head+l) - 2
		switch {
		case last && from != "" && p.widths.StringWidth(from) <= room:
			p.line(head + l + "  " + p.faint(from))
			from = ""
		default:
			p.line(head + l)
		}
		head = indent
	}
	if from != "" {
		p.block(indent, from, p.faint)
	}
	for _, h := range s.Hides {
		p.block(indent, p.text("env.hides", Visible(h.Value, true), p.place(h)), p.faint)
	}
}

// place names where a setting stands.
func (p *page) place(s Setting) string {
	if s.File == "" {
		return p.text("env.origin." + s.Origin)
	}
	if s.Line > 0 {
		return fmt.Sprintf("%s:%d", Visible(s.File, true), s.Line)
	}
	return Visible(s.File, true)
}

// valueLines breaks a value behind separators, and inside a word that is longer than
// a line.
func (p *page) valueLines(v string, width int) []string {
	var lines []string
	line := ""
	for v != "" {
		n := strings.IndexAny(v, ",|; ") + 1
		if n == 0 {
			n = len(v)
		}
		piece := v[:n]
		v = v[n:]
		if line != "" && p.widths.StringWidth(line+piece) > width {
			lines = append(lines, line)
			line = ""
		}
		for p.widths.StringWidth(piece) > width {
			head := p.widths.Truncate(piece, width, "")
			if head == "" {
				break
			}
			if i := strings.LastIndexByte(head, '/') + 1; i > len(head)/2 {
				head = head[:i]
			}
			lines = append(lines, head)
			piece = piece[len(head):]
		}
		line += piece
	}
	return append(lines, line)
}

func (p *page) notes(notes []Note) {
	for _, n := range notes {
		p.line("")
		head := []string{p.text("severity." + string(n.Severity))}
		if n.Code != "" {
			head = append(head, string(n.Code))
		}
		if n.File != "" {
			head = append(head, p.place(Setting{File: n.File, Line: n.Line}))
		}
		p.line(p.severity(keepwell.Finding{Severity: n.Severity}, head[0]) + strings.TrimSuffix(" · "+strings.Join(head[1:], " · "), " · "))
		p.block("  ", Visible(n.Name, true)+" "+Visible(n.Text, true), nil)
		if n.Command != "" {
			p.line("  " + p.text("env.mend", p.paint("36", Visible(n.Command, true))))
		}
	}
}

// Arrow is a setting before and after a change.
type Arrow struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// WriteArrows writes changes of settings as text.
func WriteArrows(w io.Writer, style Style, arrows []Arrow) error {
	p := newPage(style)
	widest := 0
	for _, a := range arrows {
		widest = max(widest, p.widths.StringWidth(a.Name))
	}
	shown := func(v string) string {
		if v == "" {
			return p.text("env.empty")
		}
		return Visible(v, true)
	}
	indent := strings.Repeat(" ", 2+widest+2)
	for _, a := range arrows {
		head := "  " + p.widths.FillRight(Visible(a.Name, true), widest) + "  "
		for _, l := range p.valueLines(shown(a.Before), p.style.Width-len(indent)) {
			p.line(head + p.faint(l))
			head = indent
		}
		head = indent[:len(indent)-2] + "→ "
		for _, l := range p.valueLines(shown(a.After), p.style.Width-len(indent)) {
			p.line(head + l)
			head = indent
		}
	}
	return p.flush(w)
}

// WriteDiff writes a unified difference as text: nothing in it is wrapped, all of it is
// made visible.
func WriteDiff(w io.Writer, style Style, diff string) error {
	p := newPage(style)
	for line := range strings.SplitSeq(strings.TrimRight(diff, "\n"), "\n") {
		shown := Visible(strings.ReplaceAll(line, "\t", "    "), true)
		switch {
		case strings.HasPrefix(line, "+"):
			shown = p.paint("32", shown)
		case strings.HasPrefix(line, "-"):
			shown = p.paint("31", shown)
		}
		p.line("  " + shown)
	}
	return p.flush(w)
}
