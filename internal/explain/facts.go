package explain

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

type extractors struct {
	url, oddURL, modVersion, modPath, chain, lookup, lookupNode, scp, dial, status, goRequires *regexp.Regexp
}

var extract = sync.OnceValue(func() extractors {
	c := regexp.MustCompile
	return extractors{
		url: c(`(?i)\b(?:https?|ssh|git|file)://[^\s"'<>\\` + "`" + `|,;)\]}]+`),
		// Older go prints `read "https:/host/@v/v1.zip"`: one slash, no module.
		oddURL:     c(`(?i)\bhttps?:/([a-z0-9.-]+)/@v/(v[^\s"/]+?)\.(?:zip|mod|info)`),
		modVersion: c(`\b([A-Za-z0-9][\w.-]*\.[A-Za-z]{2,}(?:/[\w.~+!-]+)*)@([a-z][\w.+-]*)`),
		modPath:    c(`\b([a-z0-9][\w-]*(?:\.[\w-]+)*\.[a-z]{2,}(?:/[\w.~+!-]+)+)`),
		chain:      c(`(?m)^(?:go: |go [a-z ]+: )?([A-Za-z0-9][\w.-]*\.[A-Za-z]{2,}(?:/[\w.~+-]+)*)@\S+ requires$`),
		lookup:     c(`(?i)\blookup ([A-Za-z0-9_][\w.-]*?)(?: on (\[?[0-9a-f.:]+\]?:\d+))?(?::|\s|$)`),
		lookupNode: c(`(?:getaddrinfo|ENOTFOUND|EAI_AGAIN)(?: E[A-Z_]+)* ([a-z0-9][\w-]*(?:\.[\w-]+)+)`),
		scp:        c(`(?:^|[\s'"])git@([a-z0-9][\w-]*(?:\.[\w-]+)+):`),
		dial:       c(`(?i)\b(?:dial tcp|connect E[A-Z]+|connect to|read tcp \S+->) ?(\[?[0-9a-f]*[.:][0-9a-f.:]*[0-9a-f]\]?):(\d{1,5})`),
		status:     c(`(?i)(?:: |\b(?:status|statuscode|error|code|http|GET|E|HTTP/[\d.]+)[ =:]*)\(?([1-5]\d\d)\b(?: [A-Z][A-Za-z -]+)?`),
		goRequires: c(`(?i)requires go ?(?:>=|version) ?v?([\d.]+(?:rc\d+|beta\d+)?)(?: \(running go ([\d.]+(?:rc\d+|beta\d+)?))?`),
	}
})

// Facts reads the typed facts of s that stand nearest to span, the decisive
// words in s.Text. They are read from the masked text: half of a password with a
// comma in it, or of a name with a blank, is not known for what it is. None is
// guessed.
func (s *Statement) Facts(span keepwell.Span) keepwell.Facts {
	x := extract()
	s, span = s.masked(span)
	f := keepwell.Facts{}
	s.urlFacts(f, x, span)
	s.moduleFacts(f, x, span)
	s.addressFacts(f, x, span)
	if m := x.goRequires.FindStringSubmatch(s.Text); m != nil {
		set(f, "goversion", m[1])
		set(f, "running", m[2])
	}
	// A process's exit status is no HTTP status.
	text := strings.ReplaceAll(s.Text, "exit status", "exit ______")
	if m := nearest(x.status, text, span); m != nil {
		set(f, "status", text[m[2]:m[3]])
	}
	if s.Remote != "" {
		first, _, _ := strings.Cut(strings.TrimSpace(s.Remote), "\n")
		set(f, "server", clip(strings.TrimSpace(first), 300))
	}
	if p := phaseOf(s.Text, f); p != "" {
		f["phase"] = p
	}
	for name, value := range f {
		// A window of the text may begin or end within a character.
		if !utf8.ValidString(value) {
			delete(f, name)
		}
	}
	return mask.Facts(f)
}

// masked returns s as facts may be read from it, and where span stands there.
func (s *Statement) masked(span keepwell.Span) (*Statement, keepwell.Span) {
	text := mask.Text(s.Text)
	if text == s.Text {
		return s, span
	}
	end := len(mask.Text(s.Text[:span.End]))
	start := min(len(mask.Text(s.Text[:span.Start])), end)
	return &Statement{Text: text, Local: mask.Text(s.Local), Remote: mask.Text(s.Remote)}, keepwell.Span{Start: start, End: end}
}

func set(f keepwell.Facts, name, value string) {
	if _, known := f[name]; !known && value != "" {
		f[name] = value
	}
}

// clip returns at most the first n bytes of s, cut between characters. What is
// secret must be masked before: half a token is not recognised any more.
func clip(s string, n int) string {
	for n < len(s) && n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:min(n, len(s))])
}

// nearest returns the match of re in text that ends last before span's end, or
// else the first behind it: what a tool names, it names before it says what failed.
func nearest(re *regexp.Regexp, text string, span keepwell.Span) []int {
	var best []int
	for _, m := range re.FindAllStringSubmatchIndex(text, 64) {
		if best == nil || m[0] <= span.End {
			best = m
		}
	}
	return best
}

func (s *Statement) urlFacts(f keepwell.Facts, x extractors, span keepwell.Span) {
	if m := x.oddURL.FindStringSubmatch(s.Text); m != nil {
		set(f, "host", m[1])
		set(f, "proxy", m[1])
		set(f, "version", m[2])
	}
	m := nearest(x.url, s.Text, span)
	if m == nil {
		return
	}
	raw := strings.TrimRight(s.Text[m[0]:m[1]], ".:'")
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return
	}
	u.User = nil
	u.RawQuery = safeQuery(u.RawQuery)
	set(f, "url", u.String())
	set(f, "host", u.Hostname())
	set(f, "port", u.Port())
	switch {
	case strings.Contains(u.Path, "/@v/"):
		set(f, "proxy", u.Hostname())
		proxyFacts(f, u.Path)
	case strings.HasSuffix(u.Path, "/@latest"):
		set(f, "proxy", u.Hostname())
		proxyFacts(f, strings.TrimSuffix(u.Path, "/@latest")+"/@v/")
	case strings.Contains(u.Path, "/lookup/"): // the checksum database
		_, query, _ := strings.Cut(u.Path, "/lookup/")
		path, version, _ := strings.Cut(query, "@")
		setModule(f, path, strings.TrimSuffix(version, "/go.mod"))
	}
}

// proxyFacts reads module and version from a path of the proxy protocol
// (golang.org/ref/mod#goproxy-protocol).
func proxyFacts(f keepwell.Facts, urlPath string) {
	escaped, file, _ := strings.Cut(urlPath, "/@v/")
	elems := strings.Split(strings.Trim(escaped, "/"), "/")
	// Company proxies serve below a prefix; the module begins at the first element
	// that looks like a host name.
	for i, elem := range elems {
		if strings.Contains(elem, ".") {
			elems = elems[i:]
			break
		}
	}
	version := ""
	for _, ext := range []string{".info", ".mod", ".zip", ".ziphash"} {
		if v, ok := strings.CutSuffix(file, ext); ok {
			version = v
		}
	}
	setModule(f, strings.Join(elems, "/"), version)
}

// setModule sets an escaped module path and version (golang.org/x/mod/module).
func setModule(f keepwell.Facts, escapedPath, escapedVersion string) {
	if path, err := module.UnescapePath(escapedPath); err == nil {
		set(f, "module", path)
	}
	if version, err := module.UnescapeVersion(escapedVersion); err == nil {
		set(f, "version", version)
	}
}

// safeQuery keeps go's own query and drops every other: signed URLs are secrets.
func safeQuery(q string) string {
	if q == "go-get=1" {
		return q
	}
	return ""
}

func (s *Statement) moduleFacts(f keepwell.Facts, x extractors, span keepwell.Span) {
	// URLs hold paths that are no module's: they give theirs in urlFacts.
	text := x.url.ReplaceAllStringFunc(s.Local, func(u string) string { return strings.Repeat(" ", len(u)) })
	if m := nearest(x.modVersion, text, span); m != nil {
		mod, version := text[m[2]:m[3]], strings.TrimRight(text[m[4]:m[5]], ".:")
		if f["module"] == "" || f["module"] == mod {
			set(f, "module", mod)
			set(f, "version", strings.TrimSuffix(version, "/go.mod"))
		}
	}
	if f["module"] == "" {
		if m := nearest(x.modPath, text, span); m != nil && !strings.HasSuffix(text[m[2]:m[3]], ".go") {
			set(f, "module", strings.TrimRight(text[m[2]:m[3]], "."))
		}
	}
	if mod := f["module"]; mod != "" {
		f["scope"] = scope(mod)
	}
	if m := x.chain.FindStringSubmatch(s.Local); m != nil && m[1] != f["module"] {
		set(f, "parent", m[1])
	}
}

// scope returns the prefix of a module path that one owner holds.
func scope(mod string) string {
	host, rest, _ := strings.Cut(mod, "/")
	owner, _, _ := strings.Cut(rest, "/")
	switch host {
	case "github.com", "gitlab.com", "bitbucket.org", "gitee.com", "codeberg.org", "gitea.com", "dev.azure.com":
		if owner != "" {
			return host + "/" + owner
		}
	}
	return host
}

func (s *Statement) addressFacts(f keepwell.Facts, x extractors, span keepwell.Span) {
	if m := nearest(x.lookup, s.Text, span); m != nil {
		f["host"] = strings.TrimRight(s.Text[m[2]:m[3]], ".")
	} else if m := nearest(x.lookupNode, s.Text, span); m != nil {
		f["host"] = s.Text[m[2]:m[3]]
	} else if m := nearest(x.scp, s.Text, span); m != nil { // git@host:path, as ssh and git name a server
		set(f, "host", s.Text[m[2]:m[3]])
	}
	if m := nearest(x.dial, s.Text, span); m != nil {
		addr := strings.Trim(s.Text[m[2]:m[3]], "[]")
		if _, err := netip.ParseAddr(addr); err == nil {
			set(f, "address", addr)
			f["port"] = s.Text[m[4]:m[5]]
		}
	}
}

// phaseOf names the step of a fetch that failed, by the words that net/http and
// kin put before the cause.
func phaseOf(text string, f keepwell.Facts) string {
	lower := strings.ToLower(text)
	for _, p := range []struct {
		phase string
		words []string
	}{
		{"proxyconnect", []string{"proxyconnect", "tunneling socket", "proxy after connect", "cannot connect to proxy"}},
		{"lookup", []string{"lookup ", "getaddrinfo", "could not resolve host", "couldn't resolve host", "name resolution", "enotfound", "eai_again"}},
		{"tls", []string{"x509:", "tls:", "tls handshake", "ssl", "certificate"}},
		{"verify", []string{"checksum mismatch", "verifying ", "integrity"}},
		{"dial", []string{"dial tcp", "connect: ", "connect e", "connectex", "failed to connect", "econnrefused"}},
		{"body", []string{"unexpected eof", "stream error", "not a valid zip", "incompleteread", "invalid character"}},
	} {
		for _, w := range p.words {
			if strings.Contains(lower, w) {
				return p.phase
			}
		}
	}
	if f["status"] != "" {
		return "status"
	}
	return ""
}
