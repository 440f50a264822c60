package msg

import (
	"fmt"
	"strconv"
	"strings"
)

// counted chooses among the forms of words, "{file|files}", by the number that the last
// %d before them prints.
func counted(format string, args []any) string {
	if !strings.Contains(format, "|") {
		return format
	}
	var b strings.Builder
	next, one := 0, false
	for rest := format; rest != ""; {
		at := strings.IndexAny(rest, "%{")
		if at < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:at])
		rest = rest[at:]
		if strings.HasPrefix(rest, "{{") { // a template that is shown
			b.WriteString("{{")
			rest = rest[2:]
			continue
		}
		if single, several, n := forms(rest); n > 0 {
			if one {
				several = single
			}
			b.WriteString(several)
			rest = rest[n:]
			continue
		}
		verb, argument, n := placeholder(rest, next)
		if verb != '%' && verb != 0 {
			next = argument + 1
		}
		if verb == 'd' && argument < len(args) {
			one = fmt.Sprint(args[argument]) == "1"
		}
		b.WriteString(rest[:n])
		rest = rest[n:]
	}
	return b.String()
}

// forms reads "{single|several}" at the start of s; n is its length, 0 where it is none.
func forms(s string) (single, several string, n int) {
	end := strings.IndexByte(s, '}')
	if s[0] != '{' || end < 0 {
		return "", "", 0
	}
	single, several, ok := strings.Cut(s[1:end], "|")
	if !ok {
		return "", "", 0
	}
	return single, several, end + 1
}

// placeholder reads a verb of package fmt at the start of s, and the number of its
// argument; verb is 0 where s starts with something else.
func placeholder(s string, next int) (verb byte, argument, n int) {
	if s[0] != '%' {
		return 0, next, 1
	}
	for n = 1; n < len(s); n++ {
		switch c := s[n]; {
		case c == '[':
			end := strings.IndexByte(s[n:], ']')
			if end < 0 {
				return 0, next, 1
			}
			if i, err := strconv.Atoi(s[n+1 : n+end]); err == nil {
				next = i - 1
			}
			n += end
		case c == '%', c >= 'a' && c <= 'z':
			return c, next, n + 1
		}
	}
	return 0, next, 1
}
