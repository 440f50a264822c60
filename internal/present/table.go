package present

import "strings"

// Column is one of a table.
type Column struct {
	Title string
	// Right aligns numbers.
	Right bool
	// Most is the widest that a cell may be; 0 is any.
	Most int
}

// Row is a line of a table.
type Row struct {
	Cells []string
	Tone  Tone
}

// Table is the lines of a table for [Outline]: the titles, then the rows, each column as
// wide as its widest cell.
func Table(style Style, columns []Column, rows []Row) []Line {
	p := newPage(style)
	head := Row{Tone: Faint}
	for _, c := range columns {
		head.Cells = append(head.Cells, c.Title)
	}
	rows = append([]Row{head}, rows...)
	widths := make([]int, len(columns))
	for _, r := range rows {
		for i, c := range r.Cells {
			r.Cells[i] = Visible(c, true)
			if most := columns[i].Most; most > 0 && p.widths.StringWidth(r.Cells[i]) > most {
				r.Cells[i] = p.widths.Truncate(r.Cells[i], most, "…")
			}
			widths[i] = max(widths[i], p.widths.StringWidth(r.Cells[i]))
		}
	}
	var lines []Line
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r.Cells {
			b.WriteString("  ")
			if columns[i].Right {
				b.WriteString(p.widths.FillLeft(c, widths[i]))
			} else {
				b.WriteString(p.widths.FillRight(c, widths[i]))
			}
		}
		lines = append(lines, Line{Text: strings.TrimRight(b.String(), " "), Whole: true, Tone: r.Tone})
	}
	return lines
}
