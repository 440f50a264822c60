package present

import (
	"fmt"
	"io"
	"strings"
)

// Line is one entry of an outline: a picture in text, such as the hops of a route.
// An empty Line is an empty line.
type Line struct {
	// Gutter stands left of the text's first line and Rest left of those that it is
	// wrapped to: numbers, arrows, the rail between them.
	Gutter, Rest string
	// Label stands between the gutter and the text, in a column of its own.
	Label string
	// Text is made visible and wrapped; with Whole it stays one line, as a command must.
	Text  string
	Whole bool
	Tone  Tone
}

// Tone is how a line of an outline is coloured.
type Tone string

// The tones; the zero value is plain.
const (
	Bold    Tone = "1"
	Faint   Tone = "2"
	Warning Tone = "1;33"
	Command Tone = "36"
)

// Outline writes a picture of lines. Labels that follow each other are aligned.
func Outline(w io.Writer, style Style, lines []Line) error {
	p := newPage(style)
	column := 0
	for i, l := range lines {
		if l.Label == "" || i == 0 || lines[i-1].Label == "" {
			column = p.labelColumn(lines[i:])
		}
		p.outlineLine(l, column)
	}
	return p.flush(w)
}

// labelColumn is the width of the labels of the run that begins here.
func (p *page) labelColumn(lines []Line) int {
	width := 0
	for _, l := range lines {
		if l.Label == "" {
			break
		}
		width = max(width, p.widths.StringWidth(l.Label)+2)
	}
	return width
}

func (p *page) outlineLine(l Line, column int) {
	paint := func(s string) string { return p.paint(string(l.Tone), s) }
	text := Visible(l.Text, true)
	if l.Whole {
		p.line(l.Gutter + p.faint(p.widths.FillRight(l.Label, column)) + paint(text))
		return
	}
	room := max(p.style.Width-max(p.widths.StringWidth(l.Gutter), p.widths.StringWidth(l.Rest))-column, 20)
	for i, part := range wrap(p.widths, text, room) {
		gutter, label := l.Rest, strings.Repeat(" ", column)
		if i == 0 {
			gutter, label = l.Gutter, p.faint(p.widths.FillRight(l.Label, column))
		}
		p.line(gutter + label + paint(part))
	}
}

// Data writes v as one JSON document; other formats than JSON do not fit it.
func Data(w io.Writer, f Format, v any) error {
	switch f {
	case JSON:
		return writeJSON(w, v)
	case JSONL:
		return encode(w, v, "", "JSON lines")
	}
	return fmt.Errorf("%w: this is shown as text, json or jsonl", ErrFormat)
}
