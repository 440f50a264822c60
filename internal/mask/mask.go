// Package mask takes out of text what must not leave the machine: credentials,
// home directories, account names and e-mail addresses. Everything that keepwell
// stores, shows or sends passes through it. It errs on the side of masking, but
// leaves module paths, hosts and versions alone, since they are the diagnosis.
// To mask a new kind of secret, add a rule with a text to rules and to its test.
package mask

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Secret stands in the place of what was masked.
const Secret = "***"

type rule struct {
	// hint are literals (lower case) without one of which the expression cannot match.
	hint []string
	// re is compiled when first hinted at: most texts need few of them.
	re   func() *regexp.Regexp
	with string
	// person marks what a rule takes out as a person's address, no secret.
	person bool
	// decide, if set, gives the replacement of one match in place of with.
	decide func(groups []string) string
}

// beforePath is what may stand before an absolute path; what is left out of it
// keeps the middle of module paths and of https URLs ("example.com/home/x").
const beforePath = `(^|[^\w./~@+\\-]|(?:^|[\s"'])-[A-Z]|file:/{2})`

// homeName is an account's directory: one word, or several where a slash follows
// ("/Users/John Smith/go"; a blank may be escaped). Words with a dot are none, so
// that a module path behind a home directory is not taken for a name.
const homeName = `(?:[^/\\\s"'` + "`" + `:;,)\]<>，。；：）」』”’]+(?:(?:\\? [\p{L}\p{N}_'-]+){1,3}/|\\ [^/\\\s"':;,]+)|[^/\\\s"'` + "`" + `:;,)\]<>，。；：）」』”’]+)`

// windowsName is the same on Windows, where blanks are common.
const windowsName = `(?:[^\\/:*?"'<>|\s]+(?:(?: [^\\/:*?"'<>|\s]+){1,3}\\|(?: [\p{L}\p{N}_'-]+){1,3}/)|[^\\/:*?"<>|\s]+)`

func (r rule) ofPerson() rule {
	r.person = true
	return r
}

func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// rules are written so that the masked text is not masked again to another one.
var rules = sync.OnceValue(func() []rule {
	r := func(hint, expr, with string) rule {
		return rule{hint: strings.Split(hint, " "), re: lazily(expr), with: with}
	}
	f := func(hint, expr string, decide func([]string) string) rule {
		return rule{hint: strings.Split(hint, " "), re: lazily(expr), decide: decide}
	}
	return []rule{
		// Credentials in URLs. A slash, a hash or a question mark in a password should be
		// escaped and often is not: then what follows the colon is no port.
		f("@", `(?i)([a-z0-9]:/{1,3})([^\s/"'<>@:]*:[^\s/"<>@]*(?:@[^\s/"<>@]*)*|[^\s/"'<>@]*(?:@[^\s/"'<>@]*)*|[^\s/"'<>@:]*:\d*[^\s/"<>@0-9][^\s"<>]*?)@([A-Za-z0-9\[_$]|[^\x00-\x7f])`, userinfo),
		// Headers and key=value pairs.
		r("cookie", `(?i)\b((?:set-)?cookie["']?\s*:\s*["']?)[^\s"'][^\n"']*`, "${1}"+Secret),
		r("digest", `(?i)\b(digest )\w+="[^\n]*`, "${1}"+Secret),
		r("authorization token api", `(?i)((?:proxy-)?authorization|private-token|job-token|x-[a-z-]*(?:token|api-?key|api))(["']?\s*[:=]\s*["']?)(?:(basic|bearer|token|negotiate|digest|ntlm)\s+)?[^\s"',]+(?: [A-Za-z0-9+/=._~-]{8,})?`, "${1}${2}"+Secret),
		r("basic bearer", `(?i)\b(basic|bearer) ([A-Za-z0-9+/_.~-]{16,}=*)`, "${1} "+Secret),
		r("pass pwd secret token key auth cred sig", `(?i)((?:passw(?:or)?d|passphrase|_pwd|secret|_?auth_?token|access_?token|refresh_?token|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|_auth|_password|credentials?|x-amz-(?:signature|credential|security-token)|signature|\bsig)(?:\\?["'])?\s*=\s*)("[^"\n]*"|'[^'\n]*'|\\"[^"\n]*"|[^\s"'<>]+)`, "${1}"+Secret),
		r("pass secret token key auth", `(?i)("(?:[\w./:-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|_auth|auth))"\s*:\s*")(?:[^"\\]|\\.)*("|\\?$)`, "${1}"+Secret+"${2}"),
		r("--pass --token --secret -p", `(?i)((?:^|\s)--?(?:password|passwd|token|secret|auth-token|api-key)\s+)[^\s-][^\s]*`, "${1}"+Secret),
		r("pass secret token", `(?i)\b((?:(?:password|passwd|passphrase|secret|access token|auth token)\s*:\s+)+)[^\s"',;]{3,}`, "${1}"+Secret),
		// Tokens by their shape.
		r("gh github_pat", `(?i)\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{20,}`, Secret),
		r("gl", `\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas)-[A-Za-z0-9_.-]{16,}`, Secret),
		r("npm_ pypi- sk- hvs. dop_", `\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bhvs\.[A-Za-z0-9_-]{20,}|\bdop_v1_[a-f0-9]{40,}`, Secret),
		r("akia asia aiza", `\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}`, Secret),
		r("xox", `\bxox[abeoprs]-[A-Za-z0-9-]{10,}`, Secret),
		r("eyj", `\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?`, Secret),
		// Home directories and with them account names.
		f("users documents", `(?i)(\b|-[A-Z])[a-z]:(?:\\{1,4}|/)(?:users|documents and settings)(?:\\{1,4}|/)`+windowsName, home),
		f("home", beforePath+`(?:/private|/var|/export|/mnt|/usr|/nfs|/srv|/data\d*|/host)?/home/`+homeName, home),
		f("users", `(?i)`+beforePath+`(?:/mnt|/cygdrive|/system/volumes/data)?(?:/[a-z])?/users/`+homeName, home),
		f("wsl", `(?i)([\\/]{2,4}wsl(?:\$|\.localhost)[\\/]{1,2}[^\\/\s]+[\\/]{1,2})home[\\/]{1,2}`+windowsName, home),
		// Prompts: "bob@laptop:~/src$ go get", "[bob@laptop src]$ make", "bob@mac src % go".
		f("@", `(?m)^([ \t]*(?:\([\w.-]+\)[ \t]*)?\[?)([\p{L}\p{N}_][\p{L}\p{N}_.-]*)@([\p{L}\p{N}_][\p{L}\p{N}_.-]*)((?::[~/][^\n$#%>❯➜]{0,120}|:[\w.~/\\ -]{0,120}\]?| [~/][^\n$#%>❯➜]{0,120})[$#%>❯➜]| [^\s$#%>]{1,80}\]? ?[$#%❯➜](?: |$)| (?:MINGW|MSYS|UCRT|CLANG)\w* [~/])`, prompt),
		f("@", `(^|[^\w/.@+-])([A-Za-z0-9_][\w.+-]*)@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})\b(:[\w.~-]*/\w)?`, mailbox).ofPerson(),
	}
})

// commonAccount reports the forges' accounts, which are no one's name.
func commonAccount(name string) bool { return name == "git" || name == "hg" }

func userinfo(g []string) string {
	if commonAccount(strings.ToLower(g[2])) {
		return g[0]
	}
	return g[1] + Secret + "@" + g[3]
}

// home puts ~ in the place of a home directory and keeps the separator that the
// name may have been read up to.
func home(g []string) string {
	with := g[1]
	if strings.HasSuffix(strings.ToLower(with), "file://") {
		with += "/"
	}
	with += "~"
	if last := g[0][len(g[0])-1]; last == '/' || last == '\\' {
		with += string(last)
	}
	return with
}

func prompt(g []string) string {
	// "left-pad@1.0.0 requires …" names a package; a shell shows a path there.
	if commonAccount(g[2]) || version().MatchString(g[3]) && !strings.HasPrefix(g[4], ":~") && !strings.HasPrefix(g[4], ":/") {
		return g[0]
	}
	return g[1] + "user@machine" + g[4]
}

// mailbox masks an e-mail address, but not a forge's account (git@host) nor a
// package at a pre-release ("widget@1.0.0-beta.rc").
func mailbox(g []string) string {
	if commonAccount(g[2]) || g[2] == "user" || version().MatchString(g[3]) {
		return g[0]
	}
	if g[4] != "" { // an account on a git host: bob@git.example.com:team/widget.git
		return g[1] + Secret + "@" + g[3] + g[4]
	}
	return g[1] + "<email>"
}

// version matches what begins like a version and not like a mail domain of digits
// ("163.com").
var version = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v?\d+\.\d`) })

// privateKey is the one secret of several lines; a block that was cut has no end.
var privateKey = rule{
	re:   lazily(`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`),
	with: Secret,
}

// Text returns s masked.
func Text(s string) string { return masked(s, false) }

// Answer returns what a server says to its client, masked, but for the e-mail addresses
// in it: whom to ask is what the client needs. It is for the client, not for a report.
func Answer(s string) string { return masked(s, true) }

func masked(s string, people bool) string {
	if strings.Contains(s, "PRIVATE KEY-----") {
		s = privateKey.apply(s)
	}
	if !strings.Contains(s, "\n") {
		return line(s, people)
	}
	// Line by line, since few lines have anything to mask.
	var b strings.Builder
	b.Grow(len(s))
	for l := range strings.Lines(s) {
		text, end := strings.CutSuffix(l, "\n")
		b.WriteString(line(text, people))
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func line(s string, people bool) string {
	if !suspicious(s) {
		return s
	}
	lower := strings.ToLower(s)
	for _, r := range rules() {
		if (!people || !r.person) && hinted(lower, r.hint) {
			s = r.apply(s)
		}
	}
	return s
}

func (r rule) apply(s string) string {
	if r.decide == nil {
		return r.re().ReplaceAllString(s, r.with)
	}
	var b strings.Builder
	last := 0
	for _, m := range r.re().FindAllStringSubmatchIndex(s, -1) {
		groups := make([]string, len(m)/2)
		for i := range groups {
			if m[2*i] >= 0 {
				groups[i] = s[m[2*i]:m[2*i+1]]
			}
		}
		b.WriteString(s[last:m[0]])
		b.WriteString(r.decide(groups))
		last = m[1]
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

func hinted(lower string, hints []string) bool {
	for _, h := range hints {
		if strings.Contains(lower, h) {
			return true
		}
	}
	return false
}

// longestPlain is the longest word without any mark that cannot be a token: an
// AWS key, the shortest that has no mark, takes 20 letters.
const longestPlain = 16

// suspicious cheaply rules out the text in which nothing can be secret.
func suspicious(s string) bool {
	if strings.ContainsAny(s, "@=/\\:-_") {
		return true
	}
	word := 0
	for i := range len(s) {
		if word++; s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] >= utf8.RuneSelf {
			word = 0
		}
		if word > longestPlain {
			return true
		}
	}
	return false
}

// Facts masks every value of m in place and returns m.
func Facts[M ~map[string]string](m M) M {
	for k, v := range m {
		m[k] = Text(v)
	}
	return m
}
