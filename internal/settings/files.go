package settings

import (
	"regexp"
	"strings"
)

// pair is a line of an npmrc or a pip.conf.
type pair struct {
	section, key, value string
	line                int
}

// parseNpmrc reads npm's dialect of INI (the package ini): comments by ; and #, keys
// of arrays end in [], values may be quoted. Sections are not used by npm.
func parseNpmrc(data []byte) []pair {
	var out []pair
	for i, l := range strings.Split(string(data), "\n") {
		l = strings.TrimSpace(strings.TrimPrefix(l, "\ufeff"))
		if l == "" || l[0] == ';' || l[0] == '#' || l[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			value = "true"
		}
		out = append(out, pair{key: strings.TrimSuffix(unquote(key), "[]"), value: unquote(value), line: i + 1})
	}
	return out
}

// parsePip reads what Python's RawConfigParser reads: sections, "key = value" or
// "key: value", continuation lines that are indented, comments by # and ;.
func parsePip(data []byte) []pair {
	var out []pair
	section := ""
	for i, raw := range strings.Split(string(data), "\n") {
		l := strings.TrimSpace(strings.TrimPrefix(raw, "\ufeff"))
		switch {
		case l == "" || l[0] == '#' || l[0] == ';':
		case l[0] == '[' && strings.Contains(l, "]"):
			section = l[1:strings.IndexByte(l, ']')]
		case (raw[0] == ' ' || raw[0] == '\t') && len(out) > 0 && out[len(out)-1].section == section:
			last := &out[len(out)-1]
			last.value = strings.TrimSpace(last.value + " " + l)
		default:
			at := strings.IndexAny(l, "=:")
			if at < 0 {
				continue
			}
			key := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(l[:at]), "_", "-"))
			out = append(out, pair{section: section, key: key, value: strings.TrimSpace(l[at+1:]), line: i + 1})
		}
	}
	return out
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// Syntax is how a file sets variables.
type Syntax string

// The syntaxes.
const (
	Shell  Syntax = "shell"  // also .env, Dockerfile and /etc/environment
	Fish   Syntax = "fish"   // and csh's setenv, Dockerfile's old ENV NAME VALUE
	Mapped Syntax = "mapped" // YAML and JSON
)

// Assignment is a place in a file that sets a variable.
type Assignment struct {
	Name, Value string
	File        string
	Line        int // from 1
	// Text is the whole line.
	Text string
	// Computed says that the value is not written out ($X, a command).
	Computed bool

	syntax     Syntax
	start, end int // of the value with its quotes, in Text
}

const (
	shellValue = `("(?:[^"\\]|\\.)*"|'[^']*'|[^\s;#&'"]*)`
	mapValue   = `("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#"'{\[,][^#,}\]]*?(?:,[^\s#,}\]]+)*)`
)

// expressions of the syntaxes; the name is put in for %s.
func expression(syntax Syntax, name string) *regexp.Regexp {
	name = regexp.QuoteMeta(name)
	switch syntax {
	case Fish:
		return regexp.MustCompile(`(?:^|\s)(?:set(?:\s+-{1,2}\w+)+|setenv|ENV)\s+` + name + `\s+` + shellValue)
	case Mapped:
		return regexp.MustCompile(`^\s*(?:-\s+)?["']?` + name + `["']?\s*:\s+?` + mapValue + `\s*(?:,\s*)?(?:#.*)?$`)
	}
	return regexp.MustCompile(`(?:^|[\s;"'])` + name + `=` + shellValue)
}

// Assignments finds what data sets of the names.
func Assignments(data []byte, names []string, syntaxes ...Syntax) []Assignment {
	var out []Assignment
	text := string(data)
	for _, name := range names {
		if !strings.Contains(text, name) {
			continue
		}
		for _, syntax := range syntaxes {
			re := expression(syntax, name)
			for i, l := range strings.Split(text, "\n") {
				l = strings.TrimRight(l, "\r")
				if trimmed := strings.TrimSpace(l); strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//") || !strings.Contains(l, name) {
					continue
				}
				m := re.FindStringSubmatchIndex(l)
				if m == nil || m[2] < 0 {
					continue
				}
				token := l[m[2]:m[3]]
				value := unquote(token)
				out = append(out, Assignment{
					Name: name, Value: value, Line: i + 1, Text: l, syntax: syntax, start: m[2], end: m[3],
					Computed: !strings.HasPrefix(token, "'") && strings.ContainsAny(value, "$`"),
				})
			}
		}
	}
	return out
}

// Rewrite is the line with another value, quoted as the place needs it.
func (a Assignment) Rewrite(value string) string {
	return a.Text[:a.start] + quote(a.syntax, a.Text[a.start:a.end], value) + a.Text[a.end:]
}

const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,@%+=-"

// quote keeps the quotes that stood there, where they can hold the value.
func quote(syntax Syntax, was, value string) string {
	needs := value == "" || strings.Trim(value, plain) != "" || syntax == Mapped && strings.ContainsAny(value[:1], "@%-:,=")
	double := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value) + `"`
	if syntax == Mapped {
		double = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	switch {
	case strings.HasPrefix(was, `"`):
		return double
	case strings.HasPrefix(was, "'") && !strings.Contains(value, "'"):
		return "'" + value + "'"
	case !needs:
		return value
	case strings.Contains(value, "'") || syntax == Mapped:
		return double
	}
	return "'" + value + "'"
}
