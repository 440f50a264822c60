package normalise

import (
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
	var b strings.Builder
	b.Grow(len(line))
	for i := 0; i < len(line); {
		if n := escapeLen(line[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(line[i:])
		i += size
		switch {
		case r == '\t':
			b.WriteByte('\t')
		case r == '\b':
			dropLast(&b)
		case r < 0x20, r >= 0x7f && r < 0xa0, isInvisible(r):
		case r == 0xa0, r == 0x3000: // no-break and ideographic space
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain reports whether line needs no cleaning: ASCII without controls, which
// nearly all lines are.
func plain(line string) bool {
	for i := 0; i < len(line); i++ {
		if c := line[i]; c < 0x20 && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return !strings.Contains(line, "^[[") && !strings.Contains(line, `\033[`) && !strings.Contains(line, `\x1b[`)
}

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
	case strings.HasPrefix(s, "^[["):
		return sequenceLen(s, 2)
	case strings.HasPrefix(s, `\033[`), strings.HasPrefix(s, `\x1b[`):
		return sequenceLen(s, 4)
	case strings.HasPrefix(s, "\u009b"): // C1 CSI
		return csiLen(s, len("\u009b"))
	}
	return 0
}

// sequenceLen measures an escape sequence whose introducer takes n bytes.
func sequenceLen(s string, n int) int {
	if len(s) == n {
		return n
	}
	switch s[n] {
	case '[':
		return csiLen(s, n+1)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC: until BEL or ST
		for i := n + 1; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	case '(', ')', '*', '+', '#', '%':
		return min(n+2, len(s))
	}
	return n + 1
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

func dropLast(b *strings.Builder) {
	s := b.String()
	_, size := utf8.DecodeLastRuneInString(s)
	b.Reset()
	b.WriteString(s[:len(s)-size])
}

// isInvisible reports whether r shows nothing but changes how others show:
// zero-width characters, bidirectional controls (the "Trojan Source" set) and
// byte-order marks.
func isInvisible(r rune) bool {
	return r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x2060 && r <= 0x2064 || r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == 0xad
}
