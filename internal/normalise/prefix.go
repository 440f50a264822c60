package normalise

import (
	"regexp"
	"strings"
	"sync"
)

// Line is one line as the tool printed it.
type Line struct {
	// N is its 1-based number in the input.
	N int
	// Text has no control characters; leading blanks are kept, they carry the
	// structure of go's chains.
	Text string
	// Speaker is the tool whose own marker began the line ("npm" of
	// "npm error …"), which is cut off; empty where there was none.
	Speaker string
	// Quiet says that the marker was one of progress or warning ("npm warn").
	Quiet bool
	// Indented says that blanks stood before the marker, as where a test shows
	// what a tool said.
	Indented bool
}

// prefixes are what build systems put before a tool's line. They are cut off
// one after the other, at most four times, as they nest (a timestamp of the CI,
// then BuildKit's step). Each keeps the indentation behind it.
var prefixes = sync.OnceValue(func() []*regexp.Regexp {
	exprs := []string{
		// ISO timestamps of CI systems, Kubernetes, GitLab (with its stream mark).
		`^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]? ?(?:\d\d[OE]\+? ?)?(?:(?:std(?:out|err)) [FP] )?`,
		// Jenkins, Travis, make -p: time of day.
		`^\[\d\d:\d\d:\d\d(?:\.\d+)?\] ?`, `^\d\d:\d\d:\d\d(?:[.,]\d+)? (?:\[\w+\] )?`,
		// Open Build Service and kin: seconds since start.
		`^\[ *\d+(?:\.\d+)?s?\] ?`,
		// BuildKit: "#12 68.72 ", plain replays "68.72 ", wrapped "build #15 4.6 ", "err: #9 3.3 ".
		`^(?:build |err: |out: )?#\d+ (?:\d+\.\d+ |ERROR: )?`, `^ *=> => # ?`, `^(?:    )?\d{1,5}\.\d{1,3} `,
		// GitHub Actions, Azure Pipelines markers.
		`^##\[(?:error|warning|debug|section|command)\]`, `^::(?:error|warning|notice)[^:]*::`,
		// docker compose and process managers: "web-1  | ".
		`^[A-Za-z0-9][A-Za-z0-9_.-]{0,40} +\| `, `^\| `, `^ *[│┃] ?`, `^ *→ `,
		// Nix: "name> ", and its replayed log "       > ".
		`^[a-z0-9][A-Za-z0-9_.+-]{0,60}> `, `^ {5,}> `, `^> `,
		// pipenv, turborepo, nx.
		`^\[pipenv\.exceptions\.\w+\]: ?`, `^@?[\w./-]+:(?:build|install|test|lint|dev|setup)(?::[\w-]+)?: `,
		// kubectl logs --prefix, Bazel, Gradle.
		`^\[pod/[^\]]+\] `,
		// Maven, which runs npm; Heroku, through git.
		`^\[(?:INFO|ERROR|WARN|WARNING|DEBUG)\] `, `^remote: {5,}`,
		// Bazel, Netlify, Google Cloud Build, TeamCity behind its time of day.
		`^\(\d\d:\d\d:\d\d(?:\.\d+)?\) `, `^\d{1,2}:\d\d:\d\d [AP]M: `, `^Step #\d+(?: - "[^"]*")?: `, `^[WEi]?:\t ?\[Step \d+/\d+\] `,
		// Ant, runners that tell the streams apart, Python's logging behind its time.
		`^ *\[(?:exec|stdout|stderr)\] `, `^- (?:[\w.]+ - )?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) - `,
	}
	compiled := make([]*regexp.Regexp, len(exprs))
	for i, e := range exprs {
		compiled[i] = regexp.MustCompile(e)
	}
	return compiled
})

// mayHavePrefix cheaply rules out the lines that no prefix can match.
func mayHavePrefix(s string) bool {
	if s == "" {
		return false
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9', c == '[', c == '(', c == '-', c == '#', c == ':', c == '|', c == ' ', c == '>', c == '@', c >= 0x80:
		return true
	}
	head := s[:min(len(s), 64)]
	return strings.Contains(head, " | ") || strings.Contains(head, "> ") || strings.Contains(head, " #") ||
		strings.HasPrefix(s, "lerna ") || strings.HasPrefix(s, "Step #") || strings.Contains(head, ":\t") || strings.HasPrefix(s, "remote:     ") || strings.Contains(head, ":build") || strings.Contains(head, ":install") ||
		strings.Contains(head, ":test") || strings.Contains(head, ":lint") || strings.Contains(head, ":dev") || strings.Contains(head, ":setup")
}

func stripPrefixes(s string) string {
	for range 4 {
		if !mayHavePrefix(s) {
			return s
		}
		before := s
		for _, re := range prefixes() {
			if loc := re.FindStringIndex(s); loc != nil {
				s = s[loc[1]:]
			}
		}
		if s == before {
			return s
		}
	}
	return s
}

// speaker is a marker that a tool puts before each of its lines.
type speaker struct {
	marker string
	tool   string
	quiet  bool
}

var speakers = []speaker{
	{"npm ERR! ", "npm", false},
	{"npm ERR!", "npm", false},
	{"npm error ", "npm", false},
	{"npm error", "npm", false},
	{"npm WARN ", "npm", true},
	{"npm warn ", "npm", true},
	{"npm http ", "npm", true},
	{"npm verb ", "npm", true},
	{"npm verbose ", "npm", true},
	{"npm info ", "npm", true},
	{"npm notice ", "npm", true},
	{"ERR! ", "npm", false},
	{"lerna ERR! ", "npm", false},
}

// npmLogLine is the form of npm's debug log: "906 verbose stack …".
var npmLogLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\d{1,6} (error|warn|info|verbose|silly|http|timing|notice)(?: |$)`)
})

func cutSpeaker(l *Line) {
	trimmed := strings.TrimLeft(l.Text, " ")
	for _, s := range speakers {
		if rest, ok := strings.CutPrefix(trimmed, s.marker); ok {
			l.Indented = len(trimmed) < len(l.Text)
			l.Text, l.Speaker, l.Quiet = rest, s.tool, s.quiet
			return
		}
	}
	for _, marker := range []string{"npm ERR! ", "npm error "} {
		if before, rest, ok := strings.Cut(l.Text, marker); ok && isLogPrefix(before) {
			l.Text, l.Speaker = strings.TrimRight(rest, " \",'"), "npm"
			return
		}
	}
	if trimmed != "" && trimmed[0] >= '0' && trimmed[0] <= '9' {
		if m := npmLogLine().FindStringSubmatchIndex(trimmed); m != nil {
			l.Speaker, l.Quiet = "npm", trimmed[m[2]:m[3]] != "error"
			l.Text = trimmed[m[1]:]
		}
	}
}

// isLogPrefix reports whether what stands before npm's marker is another program's
// prefix ("npm : " of PowerShell, a quote of Ansible), not words about npm.
func isLogPrefix(before string) bool {
	before = strings.TrimRight(before, " \t")
	return len(before) <= 60 && (strings.Trim(before, " \t\"'") == "" || strings.ContainsRune(":|>]", rune(before[len(before)-1])))
}

// quoted finds a log record's message field, whose text is escaped.
var quoted = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[\s{,(])"?(?:msg|message|err|error|errors|stderr|stdout|output|log|reason|detail|text)"?\s*[=:]\s*\\?"`)
})

// inPaths are names that follow the backslash of a Windows path, not a line break.
var inPaths = []string{`\npm`, `\node`, `\nvm`}

// unfold splits a line that holds escaped newlines (a log record's message, a
// JSON string) into the lines it stands for; others are returned as they are.
// A lone \n is left alone: it is the beginning of many a Windows path.
func unfold(s string) []string {
	for _, marker := range []string{" npm ERR!", " npm error "} {
		if i := strings.Index(s, marker[1:]); i >= 0 && strings.Contains(s[i+1:], marker) { // a report whose line breaks a form lost
			return strings.Split(strings.ReplaceAll(s, marker, "\n"+marker[1:]), "\n")
		}
	}
	breaks := strings.Count(s, `\n`)
	for _, path := range inPaths {
		breaks -= strings.Count(s, path)
	}
	if breaks == 0 {
		return []string{s}
	}
	if !quoted().MatchString(s) && !strings.Contains(s, `\n\t`) && breaks < 3 {
		return []string{s}
	}
	s = strings.NewReplacer(`\\npm`, `\npm`, `\\node`, `\node`, `\\nvm`, `\nvm`, `\npm`, `\npm`, `\node`, `\node`, `\nvm`, `\nvm`, `\\n`, "\n", `\\t`, "\t", `\n`, "\n", `\t`, "\t", `\"`, `"`, `\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(s)
	return strings.Split(s, "\n")
}

// Lines splits text into cleaned lines without foreign prefixes; first is the
// number of its first line.
func Lines(text string, first int) []Line {
	var out []Line
	n := first
	for raw := range strings.SplitSeq(text, "\n") {
		clean := Clean(raw)
		for _, part := range unfold(stripPrefixes(clean)) {
			l := Line{N: n, Text: strings.TrimRight(part, " \t")}
			cutSpeaker(&l)
			out = append(out, l)
		}
		n++
	}
	return out
}
