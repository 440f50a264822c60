package explain

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/normalise"
)

// Statement is what a tool said in one breath: an error with its continuation
// lines, or a block of lines of one speaker.
type Statement struct {
	Lines []normalise.Line
	// Text is the lines joined by newlines; the markers of speakers are cut off.
	Text string
	// Remote is what a server answered, quoted inside the statement after
	// "server response:"; it is not part of Local.
	Remote string
	// Local is Text without Remote.
	Local string
	// Wrapped says that the text was un-wrapped: lines cut by a terminal's width
	// were joined again.
	Wrapped bool

	lead    string
	needs   fingerprint.Needs
	weighed bool
}

// maxLines and maxBytes bound one statement; a longer breath is cut into several.
const (
	maxLines = 80
	maxBytes = 24 << 10
)

// Split gives the statements of lines to yield, in order. Progress lines
// ("go: downloading …") and echoed commands belong to no statement.
func Split(lines []normalise.Line, yield func(*Statement)) {
	p := splitter{yield: yield}
	lines = singleSpaced(lines)
	for i, l := range lines {
		p.take(l, lines[i:])
	}
	p.flush(nil)
}

// splitter groups lines into statements.
type splitter struct {
	yield   func(*Statement)
	now     []normalise.Line // of the statement under way
	size    int              // of its text
	lead    string           // the progress line or command just before it
	quoting quotation
}

// take adds l; rest are the lines from l on.
func (p *splitter) take(l normalise.Line, rest []normalise.Line) {
	switch {
	case isNoise(l):
		if len(p.now) == 0 {
			p.lead = l.Text
		}
		return
	case l.Text == "":
		if len(p.now) > 0 && l.Speaker == "" && p.quoting == unquoted && !goesOnAfterBlank(p.now, rest[1:]) {
			p.flush(rest)
		}
		return
	case len(p.now) > 0:
		p.cut(l, rest)
	}
	p.now = append(p.now, l)
	p.size += len(l.Text)
	p.quoting = p.quoting.after(l)
}

// cut ends the statement under way where l opens another or it has grown too long.
func (p *splitter) cut(l normalise.Line, rest []normalise.Line) {
	full := len(p.now) >= maxLines || p.size > maxBytes
	goesOn, decides := voiceWords().owned(p.now, l)
	switch {
	case goesOn && full:
		head := p.now[0] // whose voice the rest is, too
		p.flush(rest)
		p.now = append(p.now, head)
	case full, decides && !goesOn, !decides && begins(l, p.now[len(p.now)-1]) && !p.quoting.holds(l):
		p.flush(rest)
	}
}

func (p *splitter) flush(rest []normalise.Line) {
	if len(p.now) > 0 {
		s := newStatement(p.now)
		if s.lead = p.lead; p.lead == "" && installFailed(rest) {
			s.lead = "npm install"
		}
		p.yield(s)
		p.lead = ""
		if len(p.now) == 1 && isCommand(p.now[0]) {
			p.lead = p.now[0].Text
		}
	}
	p.now, p.size, p.quoting = nil, 0, unquoted
}

type layout struct {
	noise, command, start, expectsMore, afterBlank *regexp.Regexp
}

var layouts = sync.OnceValue(func() layout {
	return layout{
		noise: regexp.MustCompile(`^(?:go: (?:downloading|finding|extracting|found|added|upgraded|downgraded|creating new go\.mod|to add module|copying)|get "|Fetching https?://\S+\?go-get=1$|(?:\S+ )?\(download\)$|Parsing meta tags|Collecting |Requirement already|Downloading \S+ \(|  Downloading |Using cached|  Using cached|get https?://)`),
		// Commands that a shell or a CI echoes: their words are the user's, not a tool's.
		command: regexp.MustCompile(`^(?:\+{1,3} \S|\$ \S|[\w.@~:/\\-]+ ?[$%❯➜] (?:go|npm|pip3?|yarn|pnpm|git|make|docker|sudo|cd|export|python3?|uv|poetry)\b|[A-Z]:\\[^>]*>|PS [A-Z]:\\[^>]*>|Step \d+/\d+ : |RUN |STEP \d+/\d+: | *=> |#\d+ \[|\[[^\]]*\d+/\d+\] RUN | *> \[[^\]]*\d+/\d+\] )`),
		start:   regexp.MustCompile(`^(?:go: |go (?:get|build|install|mod|list|test|run|vet|work|env|tool|generate|clean)\b[^:]*: |go1\.\d|build \S+: cannot|package \S+: |can't load package|cannot find package|main module|verifying \S+@|\S+\.go:\d+(?::\d+)?: |# (?:cd |\S+/\S+$|\S+ \[)|warning: |WARNING: |Warning: |error: |ERROR: |Error: |error |ERROR |Traceback \(|Could not |Collecting |Looking in |\[\d/\d\] |YN\d{4}|➤ YN|\s*ERR_PNPM|\s*WARN |\s*ERROR |\s*× |panic: |=== (?:RUN|CONT|NAME|PAUSE) |--- (?:FAIL|PASS|SKIP)|FAIL\b|PASS$|ok  \t|\?   \t|@@ -\d|\{"[\w@.-]+":|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|make(?:\[\d+\])?: \*\*\*|make: Entering|The command |Cloning into|-> unzip|time="|level=|INFO|WARN|DEBUG|task: |rake |Dependabot |exit status|Process completed|$)`),
		// A line that ends so is followed by its reason.
		expectsMore: regexp.MustCompile(`(?: requires| imports| tested by| updating to|[:,(])$`),
		afterBlank:  regexp.MustCompile(`^(?:\s+\S|SECURITY ERROR|This download does NOT|Please make sure|and the repository exists|For more information|Confirm the import path|If this is a private|The conflict is caused|To fix this|To add an exception|note: |hint: |╰─|  ?[×╰│├]|Or,? |use "go work|run 'go |Run 'go |No matching distribution|During handling of the above|(?:So, b|B)ecause |The above exception was|ERROR: No matching|ERROR: ResolutionImpossible)`),
	}
})

func isNoise(l normalise.Line) bool {
	if l.Text == "" || l.Speaker != "" {
		return false
	}
	lay := layouts()
	return lay.noise.MatchString(l.Text) && !strings.Contains(l.Text, ": Get ") && !strings.HasSuffix(l.Text, ":") &&
		!strings.Contains(l.Text, "ERROR: ") && !strings.Contains(l.Text, "Could not ")
}

// isCommand reports whether a line echoes a command that was typed.
func isCommand(l normalise.Line) bool {
	return l.Speaker == "" && layouts().command.MatchString(l.Text)
}

// begins reports whether l opens a new statement after prev.
func begins(l, prev normalise.Line) bool {
	if l.Speaker != prev.Speaker {
		return true
	}
	if l.Speaker != "" {
		return l.Quiet != prev.Quiet
	}
	lay := layouts()
	if lay.command.MatchString(l.Text) {
		return true
	}
	if lay.command.MatchString(prev.Text) {
		return !asksServer(prev.Text)
	}
	if lay.expectsMore.MatchString(prev.Text) || endsBuild(l.Text) {
		return false
	}
	if c := l.Text[0]; c == ' ' || c == '\t' {
		return lay.start.MatchString(strings.TrimLeft(l.Text, " \t")) && opensDespiteIndent(l.Text)
	}
	return lay.start.MatchString(l.Text)
}

// asksServer reports whether a command's output is a server's answer, which the
// command's URL explains.
func asksServer(command string) bool {
	return strings.Contains(command, "curl ") || strings.Contains(command, "wget ")
}

// opensDespiteIndent tells package managers' indented headlines (" ERR_PNPM…",
// "  ERROR: …", "  Could not fetch …") from the continuation of another tool's error.
func opensDespiteIndent(text string) bool {
	t := strings.TrimLeft(text, " \t")
	for _, p := range []string{"ERR_PNPM", "WARN ", "ERROR ", "ERROR: ", "× ", "Could not fetch", "Could not find a version", "Retrying (", "WARNING: "} {
		if strings.HasPrefix(t, p) {
			return true
		}
	}
	return false
}

// goesOnAfterBlank reports whether the statement continues behind a blank line.
func goesOnAfterBlank(now, rest []normalise.Line) bool {
	for _, l := range rest {
		if l.Text == "" {
			continue
		}
		if goesOn, decides := voiceWords().owned(now, l); decides {
			return goesOn
		}
		last := now[len(now)-1]
		if last.Speaker != "" { // old npm leaves blank lines in its report
			return l.Speaker == last.Speaker && l.Quiet == last.Quiet
		}
		if (strings.HasSuffix(last.Text, "exception occurred:") || strings.HasPrefix(last.Text, "Cannot download \"")) && l.Speaker == last.Speaker {
			return true
		}
		return l.Speaker == last.Speaker && layouts().afterBlank.MatchString(l.Text) &&
			!isCommand(l) && !isCommand(last)
	}
	return false
}

func newStatement(lines []normalise.Line) *Statement {
	s := &Statement{Lines: lines}
	s.join()
	return s
}

// join builds Text, Local and Remote from the lines.
func (s *Statement) join() {
	var text, local, remote strings.Builder
	inRemote := false
	for _, l := range s.Lines {
		text.WriteString(l.Text)
		text.WriteByte('\n')
		lead, answer, quoted := cutResponse(l.Text)
		if !quoted && strings.HasPrefix(l.Text, "not found: ") { // what curl shows of the same answer
			answer, quoted = l.Text, true
		}
		switch {
		case quoted:
			inRemote = true
			local.WriteString(lead)
			remote.WriteString(answer)
		case inRemote && leavesResponse(l.Text):
			inRemote = false
			local.WriteString(l.Text)
		case inRemote:
			remote.WriteString(l.Text)
		default:
			local.WriteString(l.Text)
		}
		local.WriteByte('\n')
		remote.WriteByte('\n')
	}
	s.Text = strings.TrimSuffix(text.String(), "\n")
	s.Local = strings.TrimRight(local.String(), "\n")
	s.Remote = strings.Trim(remote.String(), "\n")
}

// cutResponse splits a line at go's "server response:" (cmd/go/internal/web).
func cutResponse(line string) (lead, answer string, ok bool) {
	return strings.Cut(line, "server response:")
}

// leavesResponse reports whether a line behind a quoted answer is the tool's own
// again. go does not mark the end of the quotation.
func leavesResponse(line string) bool {
	return strings.HasPrefix(line, "go: ") || strings.HasPrefix(line, "SECURITY ERROR") || strings.HasPrefix(line, "make: ***") ||
		strings.HasPrefix(line, "The command ")
}

// Unwrap returns a variant of s with the lines joined that a terminal's width or
// a word-wrapping mailer cut, and false where there is nothing to join: cmd.exe
// pastes are cut inside words at the window's width.
func (s *Statement) Unwrap() (*Statement, bool) {
	width := 0
	for _, l := range s.Lines {
		width = max(width, cells(l.Text))
	}
	if width < 40 || len(s.Lines) < 2 {
		return nil, false
	}
	hard := hardWrapped(s.Lines, width)
	var lines []normalise.Line
	joined := false
	prevLen := 0
	for i, l := range s.Lines {
		// A word wrap leaves lines shorter by up to a word; a hard wrap full ones, or
		// ones that lack a cell where a wide character, or a blank now trimmed, had no room.
		if i > 0 && prevLen >= width-14 && !strings.HasPrefix(l.Text, "\t") {
			last := &lines[len(lines)-1]
			switch rest := strings.TrimLeft(l.Text, " "); {
			case hard && prevLen == width:
				last.Text += l.Text
			case hard && prevLen == width-1 && isWide(rest):
				last.Text += rest
			default:
				last.Text += " " + rest
			}
			joined = true
		} else {
			lines = append(lines, l)
		}
		prevLen = cells(l.Text)
	}
	if !joined {
		return nil, false
	}
	u := newStatement(lines)
	u.Wrapped, u.lead = true, s.lead
	return u, true
}

// hardWrapped tells a window's wrap, inside words, from a mailer's at blanks: the
// one leaves several full lines or none that is a little shorter.
func hardWrapped(lines []normalise.Line, width int) bool {
	full, shorter := 0, 0
	for _, l := range lines[:len(lines)-1] {
		switch n := cells(l.Text); {
		case n == width:
			full++
		case n >= width-14 && n < width-1:
			shorter++
		}
	}
	return full > 1 || shorter == 0
}

// cells is how many columns of a terminal s takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= firstWide {
			n++
		}
	}
	return n
}

// firstWide is where the characters of two cells begin, near enough (UAX #11).
const firstWide = 0x2e80

func isWide(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r >= firstWide && r != utf8.RuneError
}

type contexts struct {
	fetch, hint, request, goCmd, npm, pip, git, sumdb, public, pathed *regexp.Regexp
}

var contextWords = sync.OnceValue(func() contexts {
	c := regexp.MustCompile
	return contexts{
		fetch: c(`(?i)/@v/|/@latest|\?go-get=1|/sumdb/|sum\.golang\.(?:org|google\.cn)|(?:^|\n)\s*go: |(?:^|\n)go (?:get|mod|install|list|build|work)\b[^:\n]*: |unrecognized import path|cache/vcs/|cache\\vcs\\|ls-remote|git (?:clone|fetch|pull|submodule)|go-import|fetch_repo|https fetch|goproxy|cannot find package|(?:^|\n)Cloning into|unable to access|could not read from remote repository|couldn't find remote ref|not found in upstream origin|submodule path '|无法访问 '|正克隆到 '|无法读取远程仓库|module lookup|at revision v?\d|\b[\w-]+\.golang\.org\b|storage\.googleapis\.com/|go\.dev/dl|dl\.google\.com/go|golang\.org/dl|go mod (?:tidy|download|vendor)|\.go:\d+:\d+: \S+@v\d`),
		// A module's version or name, or an HTTP proxy: programs speak of those, too.
		hint: c(`(?i)[\w~-]+[./][\w./~+-]*@v\d[\w.+-]*[:\s]|proxyconnect|\bmodule [\w-]+[./][\w./-]*: `),
		// A request that, in the absence of the words of fetch, is no fetch.
		request: c(`\b(?:Get|Head|Post|Put|GET|POST|HEAD) "?https?://[^\s"]+"?: `),
		goCmd:   c(`(?i)(?:^|\n)\s*go: |(?:^|\n)go (?:get|mod|install|list|build|work|run|vet|test)\b|/@v/|/@latest|\?go-get=1|\.go:\d+:\d+: |@v\d+\.\d|pkg[/\\]mod|go\.(?:mod|sum|work)\b|GOPROXY|GOSUMDB|GOPATH|GOROOT|import path|\$GOPATH|can't load package|cannot find package|(?:^|\n)package \S+|(?:^|\n)[\w.-]+\.[a-z]{2,}/[\w./~-]+(?:@\S+)?: |GOCACHE|build cache`),
		npm:     c(`(?i)\bnpm\b|\byarn(?:pkg)?\b|\bpnpm\b|\bbun (?:install|add|update)\b|ERR_PNPM|YN\d{4}|node_modules|package(?:-lock)?\.json|yarn\.lock|pnpm-lock|node-gyp|gyp ERR!|lerna|registry\.(?:npm|yarn)|npm\.pkg\.github|minipass-fetch|node-fetch-npm|E(?:INTEGRITY|RESOLVE|TARGET|USAGE|BADENGINE)\b` + npmPhrases),
		pip:     c(`(?i)\bpip3?\b|pip[._-]|pypi|pythonhosted|/simple/|\bpoetry\b|pipenv|\buv (?:pip|sync|lock|add|run|tool)\b|HTTPSConnectionPool\(host='(?:pypi|files\.pythonhosted|[\w.-]*piwheels)[\w.-]*'|/simple/|matching distribution|satisfies the requirement|requirements?\.txt|setup\.py|pyproject|site-packages[/\\](?:pip|poetry|uv|pipenv)|\.whl\b|wheel|Requires-Python|externally-managed|No solution found when resolving|uv::|uv_|python-build-standalone|\bconda\b|ResolutionImpossible` + pipPhrases),
		git:     c(`(?i)(?:^|\n)\s*(?:fatal|remote|error): |\bfatal: |git@|git (?:clone|fetch|ls-remote|pull|push|submodule)|\bssh\b|Cloning into|Host key|publickey|unable to access|repository '|致命错误|\.git\b`),
		sumdb:   c(`(?i)sum\.golang\.(?:org|google\.cn)|/sumdb/|/lookup/\S+@v|/tile/|checksum (?:database|server)|GOSUMDB|sumdb|verifying (?:module|go\.mod)|/supported`),
		// Any host of golang.org that speaks the proxy protocol is the public mirror.
		public: c(`(?i)//[\w-]+\.golang\.org/\S*/@v/|"https:/[\w-]+\.golang\.org/|//[\w-]+\.golang\.org/\S*/@latest|goproxy\.cn|goproxy\.io|mirrors\.aliyun\.com|gocenter\.io|athens\.azurefd\.net|proxy-golang-org-prod`),
		pathed: c(`(?i)pkg[/\\]mod[/\\](?:[a-z]|!)[^\s:]*@v[^\s:]+\.go:\d+|/vendor/[^\s:]+\.go:\d+|src/[a-z0-9.-]+\.[a-z]+/[^\s:]+\.go:\d+`),
	}
})

// Needs returns the fingerprint needs that the statement meets. They are read when
// first asked for: most statements of a long log hold no anchor.
func (s *Statement) Needs() fingerprint.Needs {
	if !s.weighed {
		s.needs, s.weighed = needsOf(s), true
	}
	return s.needs
}

func needsOf(s *Statement) fingerprint.Needs {
	c := contextWords()
	var have fingerprint.Needs
	for _, l := range s.Lines {
		if l.Speaker == "npm" {
			have |= fingerprint.Npm | fingerprint.Fetch
		}
	}
	for _, x := range []struct {
		re  *regexp.Regexp
		bit fingerprint.Needs
	}{
		{c.fetch, fingerprint.Fetch},
		{c.goCmd, fingerprint.Go},
		{c.npm, fingerprint.Npm},
		{c.pip, fingerprint.Pip},
		{c.git, fingerprint.Git},
		{c.sumdb, fingerprint.Sumdb},
		{c.public, fingerprint.Public},
		{c.pathed, fingerprint.Pathed},
	} {
		if x.re.MatchString(s.Text) {
			have |= x.bit
		}
	}
	if c.hint.MatchString(s.Text) && !c.request.MatchString(s.Text) {
		have |= fingerprint.Fetch
	}
	if have&(fingerprint.Go|fingerprint.Npm|fingerprint.Pip) == 0 {
		have |= installerOf(s.lead)
	}
	return have
}
