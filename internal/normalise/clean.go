package normalise

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Clean drops what a terminal would act on: CSI, OSC and other escape sequences
// (ECMA-48), text overwritten after a carriage return, backspaces, and other
// control characters except tab. Caret notation of escapes ("^[[31m"), as some
// log viewers store them, goes too.
func Clean(line string) string {
	if strings.IndexByte(line, '\r') >= 0 {
		line = lastPainted(line)
	}
	if plain(line) {
		return line
	}
	b := make([]byte, 0, len(line))
	for i := 0; i < len(line); {
		if n := escapeLen(line[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(line[i:])
		i += size
		switch {
		case r == '\t':
			b = append(b, '\t')
		case r == '\b':
			_, size := utf8.DecodeLastRune(b)
			b = b[:len(b)-size]
		case r < 0x20, r >= 0x7f && r < 0xa0, isInvisible(r):
		case r == 0xa0, r == 0x3000: // no-break and ideographic space
			b = append(b, ' ')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// plain reports whether line needs no cleaning: ASCII without controls, which
// nearly all lines are.
func plain(line string) bool {
	for i := range len(line) {
		if c := line[i]; c < 0x20 && c != '\t' || c >= 0x7f {
			return false
		}
	}
	if !strings.ContainsAny(line, `\^[`) {
		return true
	}
	for i := range len(line) {
		if line[i] == '[' && bareColourLen(line[i:]) > 0 {
			return false
		}
	}
	return !slices.ContainsFunc(spelled, func(esc string) bool { return strings.Contains(line, esc) })
}

// spelled are the ways in which logs write the escape character out.
var spelled = []string{"^[[", `\033[`, `\x1b[`, `\x1B[`, `\u001b[`, `\u001B[`, `\e[`}

// lastPainted returns what a terminal would show of a line with carriage
// returns: progress bars repaint it, the last non-blank text stays.
func lastPainted(line string) string {
	for {
		line = strings.TrimRight(line, "\r")
		i := strings.LastIndexByte(line, '\r')
		if i < 0 {
			return line
		}
		if rest := line[i+1:]; strings.TrimSpace(rest) != "" {
			return rest
		}
		line = line[:i]
	}
}

// escapeLen returns the length of the escape sequence that s begins with, or 0.
func escapeLen(s string) int {
	switch {
	case s[0] == 0x1b:
		return sequenceLen(s, 1)
	case s[0] == 0xc2 && len(s) > 1: // the C1 controls, U+0080 to U+009F, each an escape sequence in one character
		switch s[1] {
		case 0x9b: // CSI
			return csiLen(s, 2)
		case 0x9d, 0x90, 0x98, 0x9e, 0x9f: // OSC, DCS, SOS, PM, APC
			return stringLen(s, 2)
		}
		return 0
	case s[0] == '[':
		return bareColourLen(s)
	case s[0] != '^' && s[0] != '\\':
		return 0
	}
	for _, esc := range spelled {
		if strings.HasPrefix(s, esc) {
			return csiLen(s, len(esc))
		}
	}
	return 0
}

// bareColourLen measures a colour that lost its escape character when it was
// copied from a page, as Docker's "[91m" before each line of stderr. Durations in
// brackets, "[5m]", and other numbers are none.
func bareColourLen(s string) int {
	for i := 1; ; {
		start := i
		for i < len(s) && i < start+2 && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i == len(s) || !isColour(s[start:i]) {
			return 0
		}
		switch {
		case s[i] == 'm' && (i+1 == len(s) || s[i+1] != ']'):
			return i + 1
		case s[i] != ';':
			return 0
		}
		i++
	}
}

// isColour reports whether n selects a colour, or bold, or the plain form (ECMA-48,
// SGR; 90 to 97 are the bright colours of aixterm).
func isColour(n string) bool {
	switch n {
	case "0", "00", "1", "01", "22", "39":
		return true
	}
	return len(n) == 2 && (n[0] == '3' || n[0] == '9') && n[1] <= '7'
}

// sequenceLen measures an escape sequence whose introducer takes n bytes.
func sequenceLen(s string, n int) int {
	if len(s) == n {
		return n
	}
	switch s[n] {
	case '[':
		return csiLen(s, n+1)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC
		return stringLen(s, n+1)
	}
	i := n
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x30 { // intermediates: "ESC ( B" chooses a character set
		i++
	}
	if i < len(s) && s[i] >= 0x30 && s[i] < 0x7f {
		i++
	}
	return i
}

// longestString bounds the search for a control string's end; links and titles are
// shorter.
const longestString = 4096

// stringLen measures a control string whose content begins at n: it ends with BEL
// or ST. One that does not end on its line is no reason to lose the line, so only
// its introducer goes.
func stringLen(s string, n int) int {
	for i := n; i < min(len(s), n+longestString); i++ {
		switch {
		case s[i] == 0x07:
			return i + 1
		case i+1 < len(s) && (s[i] == 0x1b && s[i+1] == '\\' || s[i] == 0xc2 && s[i+1] == 0x9c):
			return i + 2
		}
	}
	return n
}

// csiLen measures a control sequence whose parameters begin at i.
func csiLen(s string, i int) int {
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x40 {
		i++
	}
	if i < len(s) && s[i] >= 0x40 && s[i] < 0x7f {
		i++
	}
	return i
}

// isInvisible reports whether r shows nothing but changes how others show:
// zero-width characters, bidirectional controls (the "Trojan Source" set), line
// separators, tags and byte-order marks.
func isInvisible(r rune) bool {
	return r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f ||
		r == 0x061c || r == 0x180e || r == 0xfeff || r == 0xad || r >= 0xfff9 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe007f
}
