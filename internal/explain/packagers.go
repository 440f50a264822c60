package explain

import (
	"regexp"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/normalise"
)

// Words by which an excerpt of npm's, yarn's, pnpm's or pip's output is known
// even where none of these names stands in it. Each is the tool's own phrase.
const (
	npmPhrases = `|\bcorepack\b|prebuild-install|node-pre-gyp|\bgyp (?:info|verb|WARN|error)\b|trouble with your network connection|npmmirror|/-/[^/\s]+\.tgz\b|_binding\.node|Cannot download "https?://|\[electron\]|Cypress App|YN\d{4}:|\bYarn v\d|\.target\.mk\b|binding\.gyp|\bBun could\b|Node\.js version|(?:^|\n)(?-i:error) (?:Error: )?(?:SyntaxError: |An unexpected error occurred: )`

	pipPhrases = `|/packages/[0-9a-f]{2}/[0-9a-f]{2}/|\bpdm (?:add|install|update|lock|sync|use|init)\b|\bpipx\b|\brye (?:sync|add)\b|easy[_-]install|Could not fetch URL|Could not install packages due to` +
		`|There was a problem confirming the ssl certificate|subprocess-exited-with-error|metadata-generation-failed|legacy-install-failure|Failed building|egg_info|bdist_|build_ext|No distributions at all found` +
		`|\(from (?:-r |versions: )|Storing debug log for failure|SolverProblemError|version solving failed|pypoetry|site-packages[/\\](?:requests|urllib3|cachecontrol|httpx)[/\\]\S+:\d+ in ` +
		`|(?:^|\n)\s*(?:WARNING: )?Retrying \(Retry\(total=|Installing build dependencies|build-system\.requires|pkg_resources|setuptools|Download error on https?://|Requirement\.parse\(|cpython-\d|\.egg\b|pdm[/\\]venv|\bmaturin\b|error: command '[^'\n]+' (?:failed|terminated)|PEP 517|PyO3|Pipfile|cachecontrol|\bshutil\.py:\d+ in |backend-path|BackendUnavailable`
)

// quotation tells whose quoted output a line stands in: package managers print
// what a failed build or install script said between marks of their own.
type quotation uint8

const (
	unquoted quotation = iota
	// pipQuotes: from "╰─> [12 lines of output]" to "[end of output]".
	pipQuotes
	// yarnFailed: the head of yarn's report, from "Exit code: 1" to "Output:".
	yarnFailed
	// yarnQuotes: from "Output:" to "info Visit https://yarnpkg.com/…".
	yarnQuotes
)

// after returns the quotation that goes on behind l.
func (q quotation) after(l normalise.Line) quotation {
	t := strings.TrimLeft(l.Text, " ")
	switch {
	case l.Speaker != "":
		return unquoted
	case strings.HasPrefix(t, "╰─> [") && strings.HasSuffix(t, " output]"):
		return pipQuotes
	case strings.HasPrefix(t, "Exit code: "):
		return yarnFailed
	case q == yarnFailed && t == "Output:":
		return yarnQuotes
	case q == pipQuotes && t == "[end of output]", q == yarnFailed && !strings.Contains(t, ":"):
		return unquoted
	}
	return q
}

// holds reports whether l, which opens a statement elsewhere, is part of the quotation.
func (q quotation) holds(l normalise.Line) bool {
	switch {
	case l.Speaker != "" || isCommand(l):
		return false
	case q == pipQuotes:
		return true
	}
	return q == yarnQuotes && !strings.HasPrefix(l.Text, "info ")
}

var pipInstalls = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*(?:Collecting |Downloading |Using cached |Requirement already)|\bpip3? (?:install|download|wheel)\b|\b(?:poetry|uv|pdm|pipenv) (?:install|add|update|lock|sync|pip|tool)\b`)
})

// endsBuild reports whether a line concludes what a compiler said that pip or
// node-gyp ran: it is the same breath, and tells who ran it.
func endsBuild(text string) bool {
	t := strings.TrimLeft(text, " ")
	return strings.HasPrefix(t, "error: command '") || strings.HasPrefix(t, "ERROR: Failed building wheel for ") ||
		strings.HasPrefix(t, "make: *** [") && strings.Contains(t, ".target.mk")
}

// installerOf tells which package manager's line of progress, or command to
// install, stands just before a statement.
func installerOf(lead string) fingerprint.Needs {
	switch {
	case lead == "":
		return 0
	case pipInstalls().MatchString(lead):
		return fingerprint.Pip
	}
	words := strings.Fields(lead)
	for i, w := range words {
		switch w {
		case "npm", "pnpm", "yarn", "bun":
			if i+1 == len(words) && w == "yarn" {
				return fingerprint.Npm
			}
			if i+1 < len(words) && installs(words[i+1]) {
				return fingerprint.Npm
			}
		}
	}
	return 0
}

var installScript = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("(?:^|[ @.\\d])(?:pre|post)?install(?:: `| script\\b|\\s*$)|^path \\S*[/\\\\]node_modules[/\\\\]")
})

// installFailed reports whether npm's report that a dependency's install script
// failed follows: what stands before it is the script's.
func installFailed(lines []normalise.Line) bool {
	for i, l := range lines[:min(len(lines), 40)] {
		switch {
		case l.Speaker == "npm" && installScript().MatchString(l.Text):
			return true
		case l.Speaker == "" && l.Text != "" && i > 2, l.Speaker == "" && strings.HasPrefix(l.Text, "npm "):
			return false
		}
	}
	return false
}

func installs(word string) bool {
	switch word {
	case "i", "ci", "install", "add", "update", "up", "upgrade", "--frozen-lockfile", "--immutable":
		return true
	}
	return false
}

// singleSpaced drops the blank lines of a text in which nearly every line is
// followed by one, as some consoles and forms paste it.
func singleSpaced(lines []normalise.Line) []normalise.Line {
	blank, pairs := 0, 0
	for i, l := range lines {
		if l.Text == "" {
			blank++
			if i+1 < len(lines) && lines[i+1].Text == "" {
				pairs++
			}
		}
	}
	if full := len(lines) - blank; full < 3 || pairs > 1 || blank < full-1 {
		return lines
	}
	kept := make([]normalise.Line, 0, len(lines)-blank)
	for _, l := range lines {
		if l.Text != "" {
			kept = append(kept, l)
		}
	}
	return kept
}
