// Package present writes the stream of events as text, JSON, JSON lines, SARIF
// 2.1.0, GitHub Actions annotations or JUnit XML. Each format is one handler and
// escapes foreign text in its own way: what a server answered must not become a
// terminal command, a workflow command or markup. To add a format, write a
// handler and name it in New.
package present

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
)

// Format names an output format.
type Format string

// The formats.
const (
	Text   Format = "text"
	JSON   Format = "json"
	JSONL  Format = "jsonl"
	SARIF  Format = "sarif"
	GitHub Format = "github"
	JUnit  Format = "junit"
)

// Formats lists all formats.
func Formats() []Format { return []Format{Text, JSON, JSONL, SARIF, GitHub, JUnit} }

// ErrFormat is returned by [Format.Validate].
var ErrFormat = errors.New("unknown format")

// Validate reports whether f is known.
func (f Format) Validate() error {
	if slices.Contains(Formats(), f) {
		return nil
	}
	return fmt.Errorf("%w: %q is none of text, json, jsonl, sarif, github, junit", ErrFormat, string(f))
}

// Machine reports whether f is read by programs that take findings as data:
// found faults then do not make the exit code.
func (f Format) Machine() bool { return f == JSON || f == JSONL }

// Style says how text looks. The zero value is 80 columns, no colour, English.
type Style struct {
	Lang  msg.Lang
	Color bool
	// Width is the terminal's columns; 0 means 80.
	Width int
	// Version of keepwell, for formats that name their maker.
	Version string
}

// New returns the handler that writes format f to w.
func New(f Format, w io.Writer, style Style) (keepwell.Handler, error) {
	if style.Lang == "" {
		style.Lang = msg.EN
	}
	if style.Width <= 0 {
		style.Width = 80
	}
	switch f {
	case Text:
		return &textHandler{w: w, style: style}, nil
	case JSON:
		return &jsonHandler{w: w}, nil
	case JSONL:
		return &jsonlHandler{w: w}, nil
	case SARIF:
		return &sarifHandler{w: w, style: style}, nil
	case GitHub:
		return &githubHandler{w: w, style: style}, nil
	case JUnit:
		return &junitHandler{w: w, style: style}, nil
	}
	return nil, f.Validate()
}

// Visible makes every control character of s visible, so that no foreign text
// moves the cursor, opens a hyperlink or reverses the reading order. Newlines and
// tabs become spaces where s must stay one line.
func Visible(s string, oneLine bool) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' && !oneLine:
			b.WriteByte('\n')
		case r == '\n', r == '\t', r == '\r':
			b.WriteByte(' ')
		case r == utf8.RuneError, r < 0x20, r >= 0x7f && r < 0xa0, isFormatting(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Marked is [Visible] for texts of many lines that people read in a browser or a message:
// what is not seen, or changes how the rest is seen, stands as ⟨U+202E⟩. Tabs stay.
func Marked(s string) string {
	if !strings.ContainsFunc(s, isUnseen) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isUnseen(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isUnseen(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || isFormatting(r)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isFormatting reports the characters that change how others are shown: zero
// width, bidirectional controls, line separators, tags, byte-order marks.
func isFormatting(r rune) bool {
	return r == 0xad || r == 0x061c || r == 0x180e || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f ||
		r == 0xfeff || r >= 0xfff9 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe007f
}

// inert keeps a line of plain text from being a workflow command where the output
// is a CI's log: GitHub reads "::" behind any blanks and "##[" anywhere, Azure
// Pipelines "##vso[" anywhere, TeamCity "##teamcity[".
func inert(line string) string {
	if rest := strings.TrimLeftFunc(line, unicode.IsSpace); strings.HasPrefix(rest, "::") {
		line = line[:len(line)-len(rest)] + ": :" + rest[2:]
	}
	return strings.ReplaceAll(line, "##", "# #")
}

// sentence is a finding in one sentence of plain text: title and cause.
func sentence(f keepwell.Finding) string {
	return Visible(f.Title, true) + ": " + Visible(f.Cause, true)
}
