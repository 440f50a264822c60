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
)

// Secret stands in the place of what was masked.
const Secret = "***"

type rule struct {
	// hint is a literal (lower case) without which the expression cannot match.
	hint []string
	re   *regexp.Regexp
	with string
}

var rules = sync.OnceValue(func() []rule {
	r := func(hint, expr, with string) rule {
		return rule{strings.Split(hint, " "), regexp.MustCompile(expr), with}
	}
	return []rule{
		// Credentials in URLs; "git" and "hg" are the forges' common accounts, no one's name.
		r("@", `(?i)([a-z][a-z0-9+.-]*:/{1,3})(?:git|hg)@`, "${1}\x00"),
		r("@", `(?i)([a-z][a-z0-9+.-]*:/{1,3})[^\s/"'<>@]*(?:@[^\s/"'<>@]*)*@([A-Za-z0-9\[])`, "${1}"+Secret+"@${2}"),
		r("\x00", "\x00", "git@"),
		// Headers and key=value pairs.
		r("authorization token api", `(?i)((?:proxy-)?authorization|private-token|job-token|x-[a-z-]*(?:token|api-?key|api))(["']?\s*[:=]\s*["']?)(?:(basic|bearer|token|negotiate|digest)\s+)?[^\s"',]+(?: [A-Za-z0-9+/=._-]{8,})?`, "${1}${2}"+Secret),
		r("basic bearer", `(?i)\b(basic|bearer) ([A-Za-z0-9+/_.~-]{16,}=*)`, "${1} "+Secret),
		r("pass secret token key auth cred sig", `(?i)\b([\w.:/-]*(?:passw(?:or)?d|passphrase|secret|_?auth_?token|access_?token|refresh_?token|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|_auth|_password|credentials?|x-amz-(?:signature|credential|security-token)|signature|sig)(?:\\?["'])?\s*=\s*(?:\\?["'])?)([^\s"',;&<>\\]{3,})`, "${1}"+Secret),
		r("pass secret token key auth", `(?i)("(?:[\w.-]*(?:password|passwd|secret|token|api[_-]?key|auth))"\s*:\s*")[^"]*"`, "${1}"+Secret+`"`),
		r("pass secret token", `(?i)\b((?:password|passwd|passphrase|secret|access token|auth token)\s*:\s+)[^\s"',;]{3,}`, "${1}"+Secret),
		// Tokens by their shape.
		r("gh", `\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{20,}`, Secret),
		r("gl", `\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[A-Za-z0-9_.-]{16,}`, Secret),
		r("npm_ pypi- sk- hvs. dop_", `\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bhvs\.[A-Za-z0-9_-]{20,}|\bdop_v1_[a-f0-9]{40,}`, Secret),
		r("akia asia aiza", `\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b`, Secret),
		r("xox", `\bxox[abeoprs]-[A-Za-z0-9-]{10,}`, Secret),
		r("eyj", `\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?`, Secret),
		r("private key", `-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`, Secret),
		// Home directories and with them account names.
		r("home", `(^|[\s"'=(:,;\[<>@|])(?:/private|/var|/export|/mnt)?/home/[^/\s"':;,)\]<>]+`, "${1}~"),
		r("users", `(?i)(^|[\s"'=(:,;\[<>@|])(?:/mnt)?(?:/[a-z])?/users/[^/\s"':;,)\]<>]+`, "${1}~"),
		r("users documents", `(?i)\b[a-z]:(?:\\{1,2}|/)(?:users|documents and settings)(?:\\{1,2}|/)[^\\/:*?"<>|\r\n]+`, "~"),
		// Prompts: "bob@laptop:~/src$ go get", "[bob@laptop src]$ make".
		r("@", `^(\s*\(?[\w.-]*\)?\s*\[?)[A-Za-z0-9_][\w.-]*@[\w.-]+([: ][^$#%>❯➜]{0,120}[$#%>❯➜])`, "${1}user@machine${2}"),
		r("@", `(^|[^\w/.@+-])([A-Za-z0-9_][\w.+-]*)@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})\b`, "\x01${1}${2}@${3}\x01"),
	}
})

// Text returns s masked.
func Text(s string) string {
	if !suspicious(s) {
		return s
	}
	lower := strings.ToLower(s)
	for _, r := range rules() {
		if !hinted(lower, s, r.hint) {
			continue
		}
		s = r.re.ReplaceAllString(s, r.with)
	}
	return mailboxes(s)
}

func hinted(lower, now string, hints []string) bool {
	for _, h := range hints {
		if strings.Contains(lower, h) || h == "\x00" && strings.Contains(now, h) {
			return true
		}
	}
	return false
}

// suspicious cheaply rules out the text in which nothing can be secret.
func suspicious(s string) bool {
	return strings.ContainsAny(s, "@=/\\:-_")
}

// mailboxes decides what the last rule bracketed: an e-mail address is masked,
// a forge's common account (git@host) is not.
func mailboxes(s string) string {
	if !strings.Contains(s, "\x01") {
		return s
	}
	parts := strings.Split(s, "\x01")
	for i := 1; i < len(parts); i += 2 {
		name, _, _ := strings.Cut(parts[i], "@")
		name = strings.TrimLeft(name, " \t\"'<>()[]{}=,;:|`*")
		if name == "git" || name == "hg" || name == "user" {
			continue
		}
		lead := parts[i][:strings.Index(parts[i], name+"@")]
		parts[i] = lead + "<email>"
	}
	return strings.Join(parts, "")
}

// Facts masks every value of m in place and returns m.
func Facts[M ~map[string]string](m M) M {
	for k, v := range m {
		m[k] = Text(v)
	}
	return m
}
