package present

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/msg"
)

// Entry is one fault of the catalogue as the JSON formats show it, in one language.
type Entry struct {
	Code      keepwell.Code     `json:"code"`
	Severity  keepwell.Severity `json:"severity"`
	Owner     keepwell.Owner    `json:"owner"`
	Retryable bool              `json:"retryable"`
	DependsOn []keepwell.Code   `json:"depends_on"`
	Title     string            `json:"title"`
	Cause     string            `json:"cause"`
	Why       string            `json:"why"`
	Remedies  []keepwell.Remedy `json:"remedies"`
	Rivals    []keepwell.Rival  `json:"rivals"`
	Example   string            `json:"example"`
	Origin    string            `json:"origin"`
}

// NewEntry puts f into the words of lang; placeholders show their fallbacks.
func NewEntry(f *faults.Fault, lang msg.Lang) Entry {
	l := string(lang)
	e := Entry{
		Code: f.Code, Severity: f.Severity, Owner: f.Owner, Retryable: f.Retryable,
		DependsOn: append([]keepwell.Code{}, f.DependsOn...), Title: faults.Prose(f.Title.In(l), nil),
		Cause: faults.Prose(f.Cause.In(l), nil), Why: faults.Prose(f.Why.In(l), nil),
		Remedies: []keepwell.Remedy{}, Rivals: []keepwell.Rival{}, Example: f.Example, Origin: f.Origin,
	}
	for _, r := range f.Remedies {
		e.Remedies = append(e.Remedies, keepwell.Remedy{
			ID: r.ID, Title: faults.Prose(r.Title.In(l), nil), Command: sample(r.Command), Safety: r.Safety, Undo: sample(r.Undo),
		})
	}
	for _, r := range f.Rivals {
		e.Rivals = append(e.Rivals, keepwell.Rival{Code: r.Code, Probe: sample(r.Probe), Tells: faults.Prose(r.Tells.In(l), nil)})
	}
	return e
}

// sample shows a command's placeholders as upper-case words.
func sample(command string) string {
	for _, p := range faults.Placeholders(command) {
		full, with := "{"+p.Name+"}", strings.ToUpper(p.Name)
		if p.Optional {
			full = "{" + p.Name + "|" + p.Fallback + "}"
		}
		command = strings.ReplaceAll(command, full, with)
	}
	return command
}

// List writes many entries, a line each, families together.
func List(w io.Writer, f Format, style Style, entries []Entry) error {
	switch f {
	case JSON:
		return writeJSON(w, map[string]any{"faults": entries})
	case JSONL:
		return eachLine(w, entries)
	case Text:
	default:
		return fmt.Errorf("%w: a list of faults is text, json or jsonl", ErrFormat)
	}
	p := newPage(style)
	if len(entries) == 0 {
		p.line(p.text("faults.none"))
	}
	widest := 0
	for _, e := range entries {
		widest = max(widest, len(e.Code))
	}
	for i, e := range entries {
		if i > 0 && e.Code.Family() != entries[i-1].Code.Family() {
			p.line("")
		}
		retry := " "
		if e.Retryable {
			retry = "↻"
		}
		owner := p.widths.FillRight(p.text("owner.short."+string(e.Owner)), 8)
		head := fmt.Sprintf("%-*s  %s %s  ", widest, e.Code, owner, retry)
		for i, line := range wrap(p.widths, e.Title, p.style.Width-p.widths.StringWidth(head)) {
			if i > 0 {
				head = strings.Repeat(" ", p.widths.StringWidth(head))
			}
			p.line(head + line)
		}
	}
	if len(entries) > 0 {
		p.line("")
		p.line(p.faint(p.text("faults.count", len(entries))))
	}
	return p.flush(w)
}

// Explain writes one entry whole.
func Explain(w io.Writer, f Format, style Style, e Entry) error {
	switch f {
	case JSON:
		return writeJSON(w, e)
	case JSONL:
		return eachLine(w, []Entry{e})
	case Text:
	default:
		return fmt.Errorf("%w: a fault is shown as text, json or jsonl", ErrFormat)
	}
	p := newPage(style)
	p.block("", string(e.Code)+"  "+e.Title, p.bold)
	retry := p.text("retry.no")
	if e.Retryable {
		retry = p.text("retry.yes")
	}
	p.line(p.text("severity."+string(e.Severity)) + " · " + p.text("owner."+string(e.Owner)) + " · " + retry)
	p.section("faults.cause")
	p.block("  ", e.Cause, nil)
	p.section("faults.why")
	p.block("  ", e.Why, nil)
	p.b.WriteString("\n" + p.bold(p.text("faults.example")) + p.faint(p.text("faults.origin", p.text("faults."+e.Origin))) + "\n")
	for line := range strings.SplitSeq(strings.TrimRight(e.Example, "\n"), "\n") {
		p.markedLine("  ", strings.ReplaceAll(line, "\t", "    "), nil)
	}
	p.section("faults.mend")
	for i, r := range e.Remedies {
		p.block("  ", p.text("faults.remedy", i+1, r.Title, p.text("safety."+string(r.Safety))), nil)
		if r.Command != "" {
			p.line("     " + p.paint("36", r.Command))
		}
		if r.Undo != "" {
			p.line("     " + p.faint(p.text("labelled", p.text("undo"), r.Undo)))
		}
	}
	if len(e.Rivals) > 0 {
		p.section("faults.rivals")
		for _, r := range e.Rivals {
			p.rival(r)
		}
	}
	if len(e.DependsOn) > 0 {
		p.section("faults.depends")
		codes := make([]string, len(e.DependsOn))
		for i, c := range e.DependsOn {
			codes[i] = string(c)
		}
		p.block("  ", strings.Join(codes, ", "), nil)
	}
	return p.flush(w)
}

func newPage(style Style) *page {
	if style.Width <= 0 {
		style.Width = 80
	}
	return &page{style: style, widths: &runewidth.Condition{}}
}

func (p *page) section(key string) { p.b.WriteString("\n" + p.bold(p.text(key)) + "\n") }

func (p *page) flush(w io.Writer) error {
	if _, err := io.WriteString(w, p.b.String()); err != nil {
		return fmt.Errorf("writing text: %w", err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	return encode(w, v, "  ", "JSON")
}

func eachLine[T any](w io.Writer, list []T) error {
	for _, v := range list {
		if err := encode(w, v, "", "JSON lines"); err != nil {
			return err
		}
	}
	return nil
}
