package explain

import (
	"regexp"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/normalise"
)

// A log holds more voices than the dependency tools': tests, their golden texts,
// diffs and the program's own log. Their words are not go's, npm's or pip's,
// even where they quote them.
type voices struct {
	run, verdict, result, event, hunk, stamp, tool, quoting, other, login, forge *regexp.Regexp
}

var voiceWords = sync.OnceValue(func() *voices {
	c := regexp.MustCompile
	return &voices{
		// go test -v: what a test prints stands between these and a verdict.
		run:     c(`^=== (?:RUN|CONT|NAME|PAUSE) `),
		verdict: c(`^(?:=== |\s*--- (?:PASS|FAIL|SKIP|BENCH)\b|PASS$|FAIL(?:\t|$)|ok  \t|\?   \t|panic: |exit status )`),
		// A package's result is one line; what follows is another's.
		result: c(`^(?:FAIL(?:\t|$)|ok  \t|\?   \t|PASS$)`),
		// go test -json, one event a line (cmd/test2json).
		event: c(`^\{"Time":"[^"]*","Action":"[^"]*","Package":"[^"]*","Test":"`),
		hunk:  c(`^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@`),
		// What Go's log package writes. Tools that fetch with it name their commands.
		stamp: c(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? `),
		// The compiler and vet show the program's own texts.
		quoting: c(`^\S+\.go:\d+:\d+: (?:cannot (?:use|convert) |invalid operation: |duplicate (?:case|key) |(?:\w+\.)+\w+ (?:format|call|arg)).*"`),
		// Package managers and clients that are not looked after here.
		other: c(`(?i)\bcrates\.io\b|\bspurious network error\b|Could not transfer artifact |Failed to execute goal |Error response from daemon: |"https?://[^"]+/v2/|\brubygems\.org\b|\bBundler::|repo\.packagist\.org|\bComposer\\|^Err:\d+ |^E: |UNREACHABLE! => |^(?:scp|rsync|sftp): |\brsync: |^curl: \(\d+\) |^wget: |Unable to connect to the server: |registry\.terraform\.io`),
		// ssh's own words, and by whom it was asked to log in.
		login: c(`(?:^|\n)(?:\s*ssh: |\s*([\w.-]+)@[\w.-]+: Permission denied)`),
		// Servers of code and packages: whoever asks them fetches.
		forge: c(`(?i)github|gitlab|bitbucket|gitee|gitea|codeberg|gerrit|codecommit|sourcehut|sr\.ht|ssh\.dev\.azure|visualstudio\.com|\bgit[\w-]*\.[\w-]+\.|goproxy|golang|npmjs|npmmirror|yarnpkg|nodejs\.org|\bpyp[ai]\b|pythonhosted|astral\.sh|nodesource|pnpm\.io|bun\.sh|\bgo\.dev/|\bgit@|remote repository|\bsubmodule\b|\brepository '`),
		tool:  c(`(?i)\bgo: |/@v/|/@latest|\?go-get=1|\bgo (?:get|mod|install|list|build|test|run|work)\b|\bgit (?:clone|fetch|ls-remote|pull|init|submodule)\b|/lookup/|/sumdb/|go\.(?:mod|sum)\b|GOPROXY|GOSUMDB|import path|\bnpm\b|\byarn\b|\bpip3?\b|pypi|pkg[/\\]mod|cache/vcs|\bfatal: |unable to access`),
	}
})

// ofVoice reports whether first opens what another voice than a tool's says.
func (v *voices) ofVoice(first string) bool {
	return v.run.MatchString(first) || v.event.MatchString(first) || v.hunk.MatchString(first) || v.result.MatchString(first)
}

// owned reports whether l goes on with what the voice that opened now says, and
// whether that voice decides: after a failure's headline only the indented lines
// are sure.
func (v *voices) owned(now []normalise.Line, l normalise.Line) (goesOn, decides bool) {
	indented := l.Indented || l.Text != "" && (l.Text[0] == ' ' || l.Text[0] == '\t')
	first := now[0].Text
	if first == "" || strings.IndexByte("{=@Fo?P- ", first[0]) < 0 {
		return false, false // nearly every line of a log
	}
	switch {
	case v.event.MatchString(first):
		return l.N == now[0].N, true
	case v.run.MatchString(first):
		return !v.verdict.MatchString(l.Text) && !isCommand(l), true
	case v.hunk.MatchString(first):
		return indented || strings.IndexAny(l.Text, `-+\`) == 0, true
	case v.result.MatchString(first):
		return indented, true
	case isVerdict(first):
		return indented, indented && !v.verdict.MatchString(l.Text)
	}
	return false, false
}

// isVerdict reports whether a line is a test's result, which its log follows.
func isVerdict(first string) bool {
	t := strings.TrimLeft(first, " ")
	return strings.HasPrefix(t, "--- FAIL: ") || strings.HasPrefix(t, "--- PASS: ") || strings.HasPrefix(t, "--- SKIP: ")
}

// OfProgram reports whether a program other than a dependency tool speaks: a crash,
// a test or a program's log, whose network errors are its own.
func (s *Statement) OfProgram() bool {
	v := voiceWords()
	raw := s.Lines[0].Text
	first := strings.TrimSpace(raw)
	if v.ofVoice(first) || isVerdict(first) {
		return true
	}
	if v.quoting.MatchString(first) {
		return s.Needs()&fingerprint.Pathed == 0 // which may be an incompatible dependency
	}
	if v.stamp.MatchString(raw) {
		return !v.tool.MatchString(s.Text)
	}
	for _, p := range []string{"panic: ", "--- FAIL", "FAIL\t", "fatal error: ", "goroutine "} {
		if strings.HasPrefix(first, p) {
			if strings.Contains(first, "file not found") || strings.Contains(first, "No such file") {
				return false // a C compiler's
			}
			return !strings.Contains(s.Text, "/cmd/go/") && !strings.Contains(s.Text, "cmd/compile")
		}
	}
	return false
}

// OfOther reports whether another client than those looked after here speaks: a
// plain ssh login, curl, cargo, Maven, Docker. Their words for a network fault
// are git's and npm's too, so it is whom they name that tells.
func (s *Statement) OfOther() bool {
	v := voiceWords()
	if s.Needs()&(fingerprint.Npm|fingerprint.Pip) != 0 {
		return false
	}
	m := v.login.FindStringSubmatch(s.Text)
	if m == nil && !v.other.MatchString(s.Text) || v.forge.MatchString(s.Text) {
		return false
	}
	text := strings.ReplaceAll(s.Text, "fatal: [", "[") // Ansible's hosts
	return !v.tool.MatchString(text)
}
