package settings

import (
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
)

// wideMarks are full-width characters that input methods put in the place of
// separators; semicolons separate nothing in go's lists.
const wideMarks = "，；｜、：。　"

// lintCharacters finds what go takes for part of a value although it was meant to
// separate or to quote.
func lintCharacters(s *Settings) []Lint {
	var out []Lint
	for _, name := range []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOSUMDB", "GOVCS", "GOFLAGS", "NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY"} {
		v := s.value(name)
		if v == "" || !s.own(name) {
			continue
		}
		bad := strings.IndexAny(v, wideMarks)
		switch {
		case strings.HasSuffix(v, "\r"):
			out = append(out, s.fixed(s.about("carriage-return", isError, codeFor(name), name), strings.TrimRight(v, "\r")))
		case bad >= 0:
			r := []rune(v[bad:])[0]
			clean := strings.NewReplacer("，", ",", "；", ",", "、", ",", "｜", "|", "：", ":", "。", ".", "　", "").Replace(v)
			out = append(out, s.fixed(s.about("wide-mark", isError, codeFor(name), name, string(r)), clean))
		case strings.Contains(v, ";") && name != "GOFLAGS" && !strings.HasSuffix(name, "P_PROXY") && !strings.HasSuffix(name, "S_PROXY"):
			out = append(out, s.fixed(s.about("semicolon", isError, codeFor(name), name), strings.ReplaceAll(v, ";", ",")))
		case strings.Trim(v, `"'“”‘’`) != v && name != "GOFLAGS":
			out = append(out, s.fixed(s.about("quotes", isError, codeFor(name), name), strings.Trim(v, `"'“”‘’`)))
		}
	}
	return out
}

func (s *Settings) fixed(l Lint, value string) Lint {
	l.Set = l.Name + "=" + value
	return l
}

// proxyEntry is one entry of GOPROXY.
type proxyEntry struct {
	text string // as go uses it
	pipe bool   // what follows is asked after any error
}

// proxyEntries splits as cmd/go/internal/modfetch.proxyList does; after are the
// entries behind off or direct, which are never asked.
func proxyEntries(v string) (list []proxyEntry, after []string) {
	for v != "" {
		text, pipe := v, false
		if i := strings.IndexAny(v, ",|"); i >= 0 {
			text, pipe, v = v[:i], v[i] == '|', v[i+1:]
		} else {
			v = ""
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if n := len(list); n > 0 && (list[n-1].text == "off" || list[n-1].text == "direct") {
			after = append(after, text)
			continue
		}
		if strings.ContainsAny(text, ".:/") && !strings.Contains(text, ":/") && !filepath.IsAbs(text) && !path.IsAbs(text) {
			text = "https://" + text
		}
		list = append(list, proxyEntry{text, pipe})
	}
	return list, after
}

// lintGoproxy holds GOPROXY to go's grammar.
func lintGoproxy(s *Settings) []Lint {
	v := s.value("GOPROXY")
	if v == "" || strings.ContainsAny(v, wideMarks+";\r\"'") { // lintCharacters has told
		return nil
	}
	var out []Lint
	list, after := proxyEntries(v)
	if len(list) == 0 {
		return []Lint{s.about("goproxy-empty", isError, "proxy/misconfigured", "GOPROXY")}
	}
	for _, e := range list {
		if e.text == "off" || e.text == "direct" {
			continue
		}
		u, err := url.Parse(e.text)
		switch {
		case strings.ContainsAny(e.text, " \t"):
			out = append(out, s.fixed(s.about("goproxy-blank", isError, "proxy/misconfigured", "GOPROXY", e.text), strings.Join(strings.Fields(v), ",")))
		case err != nil:
			out = append(out, s.about("goproxy-url", isError, "proxy/misconfigured", "GOPROXY", e.text))
		case u.Scheme == "" && !path.IsAbs(e.text):
			out = append(out, s.about("goproxy-word", isError, "proxy/misconfigured", "GOPROXY", e.text))
		case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
			out = append(out, s.about("goproxy-scheme", isError, "proxy/misconfigured", "GOPROXY", e.text, u.Scheme))
		case u.Scheme == "file" && (u.Host != "" && u.Host != "localhost" || !path.IsAbs(u.Path)):
			out = append(out, s.about("goproxy-file", isError, "proxy/misconfigured", "GOPROXY", e.text))
		case u.Scheme != "file" && u.Host == "":
			out = append(out, s.about("goproxy-host", isError, "proxy/misconfigured", "GOPROXY", e.text))
		case u.Hostname() == "http" || u.Hostname() == "https" || u.Hostname() == "file":
			typed := e.text
			if !strings.Contains(v, typed) { // go put https:// before it
				typed = strings.TrimPrefix(typed, "https://")
			}
			_, rest, _ := strings.Cut(e.text, "://")
			rest = strings.TrimLeft(strings.TrimPrefix(rest, u.Hostname()), ":/")
			slashes := "://"
			if u.Hostname() == "file" {
				slashes = ":///"
			}
			right := u.Hostname() + slashes + rest
			out = append(out, s.fixed(s.about("goproxy-colon", isError, "proxy/misconfigured", "GOPROXY", typed, u.Hostname()), strings.Replace(v, typed, right, 1)))
		case u.Scheme == "http" && u.User == nil && !loopback(u.Hostname()):
			out = append(out, s.about("goproxy-http", isInfo, "", "GOPROXY", u.Host))
		}
	}
	if len(after) > 0 {
		out = append(out, s.about("goproxy-after", isInfo, "", "GOPROXY", list[len(list)-1].text, strings.Join(after, ",")))
	}
	if list[0].text == "off" {
		out = append(out, s.about("goproxy-off", isInfo, "", "GOPROXY"))
	}
	return out
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// lintProxyCredentials: go refuses to send a password over http, and in the settings
// it can be read by every program.
func lintProxyCredentials(s *Settings) []Lint {
	var out []Lint
	list, _ := proxyEntries(s.value("GOPROXY"))
	for _, e := range list {
		u, err := url.Parse(e.text)
		if err != nil || u.User == nil {
			continue
		}
		if u.Scheme == "http" {
			out = append(out, s.about("goproxy-http-login", isError, "proxy/misconfigured", "GOPROXY", u.Host))
		} else {
			out = append(out, s.about("goproxy-login", isInfo, "", "GOPROXY", u.Host))
		}
	}
	return out
}

// lintPatterns finds items that can match no module path.
func lintPatterns(s *Settings) []Lint {
	var out []Lint
	for _, name := range patternLists() {
		v := s.value(name)
		if v == "" || !s.own(name) || strings.ContainsAny(v, wideMarks+";\"'") {
			continue
		}
		code := codeFor(name)
		items := strings.Split(v, ",")
		for _, item := range items {
			id, fixed := patternFault(item)
			if id == "" {
				continue
			}
			l := s.about(id, isWarning, code, name, item)
			if fixed != "" {
				l = s.fixed(l, mendPatterns(items))
			}
			out = append(out, l)
		}
	}
	return out
}

func mendPatterns(items []string) string {
	var out []string
	for _, item := range items {
		for range 4 { // an item can be wrong in more than one way
			id, fixed := patternFault(item)
			if id == "" {
				break
			}
			item = fixed
		}
		if item != "" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return strings.Join(out, ",")
}

// ProxyEntry is one entry of GOPROXY: an address, direct or off.
type ProxyEntry struct {
	Text string
	// Pipe says that what follows is asked after any error, not only after "not found".
	Pipe bool
}

// ProxyList splits GOPROXY as go does, up to direct or off.
func ProxyList(value string) []ProxyEntry {
	list, _ := proxyEntries(value)
	out := make([]ProxyEntry, 0, len(list))
	for _, e := range list {
		out = append(out, ProxyEntry{e.text, e.pipe})
	}
	return out
}

// PrivateLooking reports modules of hosts that the public internet does not know.
func PrivateLooking(modulePath string) bool { return privateLooking(modulePath) }

// AddPattern is a list of patterns with one more; items that match nothing as they
// are written are mended on the way.
func AddPattern(list, pattern string) string {
	items := strings.Split(mendPatterns(strings.Split(list, ",")), ",")
	if !slices.Contains(items, pattern) {
		items = append(items, pattern)
	}
	return strings.Trim(strings.Join(items, ","), ",")
}

// AddProxy is a GOPROXY list with one more proxy, asked after those that are there,
// before direct or off. pipe lets go come to it after any error, not only after "not
// found".
func AddProxy(list, proxy string, pipe bool) string {
	sep := ","
	if pipe {
		sep = "|"
	}
	entries, _ := proxyEntries(list)
	var b strings.Builder
	added := false
	for i, e := range entries {
		if !added && (e.text == "direct" || e.text == "off") {
			b.WriteString(proxy + ",")
			added = true
		}
		b.WriteString(e.text)
		switch next := i + 1; {
		case next < len(entries) && !added && (entries[next].text == "direct" || entries[next].text == "off"):
			b.WriteString(sep)
		case next < len(entries) && e.pipe:
			b.WriteString("|")
		case next < len(entries):
			b.WriteString(",")
		}
	}
	if added {
		return b.String()
	}
	if b.Len() == 0 {
		return proxy
	}
	return b.String() + sep + proxy
}

// patternFault says why item matches nothing, and what was meant.
func patternFault(item string) (id, fixed string) {
	trimmed := strings.TrimSpace(item)
	first, rest, _ := strings.Cut(trimmed, "/")
	switch {
	case trimmed == "":
		return "", ""
	case strings.Contains(trimmed, "://"):
		u, err := url.Parse(trimmed)
		if err != nil {
			return "pattern-scheme", ""
		}
		return "pattern-scheme", u.Hostname() + strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), ".git")
	case trimmed != item && !strings.ContainsAny(trimmed, " \t"):
		return "pattern-blank", trimmed
	case strings.ContainsAny(trimmed, " \t"):
		return "pattern-blank", strings.Join(strings.Fields(trimmed), ",")
	case strings.Contains(first, ":"):
		host, _, _ := strings.Cut(first, ":")
		return "pattern-port", strings.TrimSuffix(host+"/"+rest, "/")
	case strings.HasPrefix(trimmed, "."):
		return "pattern-dot", "*" + trimmed
	case strings.HasSuffix(trimmed, ".git"):
		return "", "" // a repository may really be called so
	}
	if _, err := path.Match(trimmed, ""); err != nil {
		return "pattern-syntax", ""
	}
	return "", ""
}

// PublicProxy reports hosts of module proxies that anybody may ask; the default of this
// installation comes on top.
func (s *Settings) PublicProxy(host string) bool {
	if slices.Contains([]string{"goproxy.cn", "goproxy.io", "mirrors.aliyun.com", "repo.huaweicloud.com", "mirrors.huaweicloud.com", "mirrors.cloud.tencent.com", "mirrors.tencent.com", "athens.azurefd.net", "goproxy.bj.bcebos.com"}, host) {
		return true
	}
	return slices.Contains(s.PublicHosts(), host)
}

// PublicHosts are the hosts of the default of this installation of go.
func (s *Settings) PublicHosts() []string {
	var out []string
	list, _ := proxyEntries(s.Go.Root["GOPROXY"])
	for _, e := range list {
		if u, err := url.Parse(e.text); err == nil && u.Host != "" {
			out = append(out, u.Hostname())
		}
	}
	return out
}

// asksPublic names the first public proxy that is asked, "" where there is none.
func (s *Settings) asksPublic() string {
	list, _ := proxyEntries(s.value("GOPROXY"))
	for _, e := range list {
		if u, err := url.Parse(e.text); err == nil && s.PublicProxy(u.Hostname()) {
			return u.Hostname()
		}
	}
	return ""
}

// privateLooking reports hosts that the public internet does not know.
func privateLooking(modulePath string) bool {
	host, _, _ := strings.Cut(modulePath, "/")
	_, tld, ok := cutLast(host, ".")
	if !ok {
		return false
	}
	switch tld {
	case "internal", "corp", "lan", "local", "intranet", "private", "home", "localdomain", "priv":
		return true
	}
	return net.ParseIP(host) != nil || strings.Contains(host, ".corp.") || strings.Contains(host, ".internal.") || strings.Contains(host, ".intra.")
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// lintPrivacy: private names that would be told to public servers.
func lintPrivacy(s *Settings) []Lint {
	public := s.asksPublic()
	checked := s.value("GOSUMDB") != "off" && s.value("GOSUMDB") != ""
	var out []Lint
	told := map[string]bool{}
	for _, required := range s.Project.Requires {
		m := required.Path
		if !privateLooking(m) {
			continue
		}
		host, _, _ := strings.Cut(m, "/")
		leaks := public != "" && !module.MatchPrefixPatterns(s.value("GONOPROXY"), m) || checked && !module.MatchPrefixPatterns(s.value("GONOSUMDB"), m)
		if !leaks || told[host] {
			continue
		}
		told[host] = true
		whom := public
		if whom == "" {
			whom = strings.Fields(s.value("GOSUMDB"))[0]
		}
		l := s.about("leak", isWarning, "auth/goprivate-unset", "GOPRIVATE", m, whom)
		l = s.fixed(l, AddPattern(s.value("GOPRIVATE"), host))
		out = append(out, l)
	}
	return out
}

// lintOverrides: GONOPROXY and GONOSUMDB stand in the place of GOPRIVATE, not beside it.
func lintOverrides(s *Settings) []Lint {
	private := s.value("GOPRIVATE")
	if private == "" {
		return nil
	}
	var out []Lint
	for _, name := range []string{"GONOPROXY", "GONOSUMDB"} {
		if !s.own(name) {
			continue
		}
		var missing []string
		for item := range strings.SplitSeq(private, ",") {
			if item = strings.TrimSpace(item); item != "" && !slices.Contains(strings.Split(s.value(name), ","), item) {
				missing = append(missing, item)
			}
		}
		if len(missing) == 0 || name == "GONOPROXY" && s.asksPublic() == "" { // a company's proxy may well serve private modules
			continue
		}
		if name == "GONOSUMDB" && s.value("GOSUMDB") == "off" {
			continue
		}
		l := s.about("overrides-private", isWarning, "auth/goprivate-unset", name, strings.Join(missing, ","))
		if s.value(name) != "none" {
			l = s.fixed(l, s.value(name)+","+strings.Join(missing, ","))
		} else {
			l = s.fixed(l, "")
		}
		out = append(out, l)
	}
	return out
}

// lintGosumdb holds GOSUMDB to go's grammar.
func lintGosumdb(s *Settings) []Lint {
	v := s.value("GOSUMDB")
	if v == "" || strings.ContainsAny(v, wideMarks+";\r\"'") {
		return nil
	}
	if v == "off" {
		return []Lint{s.about("gosumdb-off", isInfo, "", "GOSUMDB")}
	}
	fields := strings.Fields(v)
	bad := func(why string) []Lint {
		return []Lint{s.about(why, isError, "sum/misconfigured", "GOSUMDB", v)}
	}
	if len(fields) == 0 || len(fields) > 2 {
		return bad("gosumdb-fields")
	}
	if fields[0] != "sum.golang.org" && fields[0] != "sum.golang.google.cn" {
		if _, err := note.NewVerifier(fields[0]); err != nil {
			return bad("gosumdb-key")
		}
	}
	if len(fields) == 2 {
		if u, err := url.Parse(fields[1]); err != nil || u.Host == "" && u.Scheme != "file" {
			return bad("gosumdb-url")
		}
	}
	return nil
}

var forges = []string{"github.com", "gitlab.com", "bitbucket.org", "gitee.com", "codeberg.org", "golang.org", "google.golang.org", "gopkg.in", "go.uber.org", "k8s.io"}

// lintBroad: patterns that take more out of a check than anyone owns.
func lintBroad(s *Settings) []Lint {
	var out []Lint
	for _, name := range []string{"GONOSUMDB", "GOPRIVATE", "GOINSECURE"} {
		if !s.own(name) {
			continue
		}
		for item := range strings.SplitSeq(s.value(name), ",") {
			item = strings.TrimSuffix(strings.TrimSpace(item), "/")
			all := item != "" && strings.Trim(item, "*?./") == ""
			if all || slices.ContainsFunc(forges, func(f string) bool { ok, err := path.Match(item, f); return ok && err == nil }) {
				out = append(out, s.about("broad-"+strings.ToLower(name), isInfo, "", name, item))
			}
		}
	}
	return out
}

// knownFlags are those of all commands of go1.26, each of which GOFLAGS may hold;
// gathered by trying the words of `go help` (TestKnownFlags repeats it).
const knownFlags = " C a artifacts asan asmflags bench benchmem benchtime blockprofile blockprofilerate buildmode buildvcs c cache changed compat " +
	"compiled compiler count cover covermode coverpkg coverprofile cpu cpuprofile debug-actiongraph debug-runtime-trace debug-trace deps diff dropexclude " +
	"dropgodebug dropignore dropreplace droprequire dropretract droptool dropuse e exclude exec export f failfast find fix fixtool fmt fullpath fuzz " +
	"fuzzcache fuzzminimizetime fuzztime gccgoflags gcflags go godebug i ignore installsuffix json ldflags linkshared list m memprofile memprofilerate " +
	"mod modcache modcacherw modfile module msan mutexprofile mutexprofilefraction n o outputdir overlay p parallel pgo pkgdir print r race replace " +
	"require retract retracted reuse run short shuffle skip t tags test testcache timeout tool toolchain toolexec trace trimpath u use v vendor versions " +
	"vet vettool w work x "

// lintFlags holds GOFLAGS to what go accepts.
func lintFlags(s *Settings) []Lint {
	var out []Lint
	mods := []string{}
	for _, f := range splitQuoted(s.value("GOFLAGS")) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(f, "-"), "-"), "=")
		switch {
		case !strings.HasPrefix(f, "-") || name == "":
			out = append(out, s.about("goflags-word", isError, "", "GOFLAGS", f))
		case name == "insecure":
			out = append(out, s.about("goflags-insecure", isWarning, "", "GOFLAGS"))
		case !strings.Contains(knownFlags, " "+name+" "):
			out = append(out, s.about("goflags-unknown", isError, "", "GOFLAGS", f))
		case name == "mod":
			mods = append(mods, value)
		}
	}
	if len(mods) > 1 {
		out = append(out, s.about("goflags-twice", isWarning, "", "GOFLAGS", strings.Join(mods, ", "), mods[len(mods)-1]))
	}
	if slices.Contains(mods, "mod") {
		out = append(out, s.about("goflags-mod", isInfo, "", "GOFLAGS"))
	}
	return out
}

// splitQuoted splits as cmd/internal/quoted does, as far as flags go.
func splitQuoted(v string) []string {
	var out []string
	for v = strings.TrimSpace(v); v != ""; v = strings.TrimSpace(v) {
		end := strings.IndexAny(v, " \t\n")
		if q := v[0]; q == '"' || q == '\'' {
			if i := strings.IndexByte(v[1:], q); i >= 0 {
				out = append(out, v[1:i+1])
				v = v[i+2:]
				continue
			}
		}
		if end < 0 {
			end = len(v)
		}
		out = append(out, v[:end])
		v = v[end:]
	}
	return out
}

// lintVendor: -mod=vendor where nothing is vendored.
func lintVendor(s *Settings) []Lint {
	flags := splitQuoted(s.value("GOFLAGS"))
	if !slices.Contains(flags, "-mod=vendor") && !slices.Contains(flags, "--mod=vendor") || s.Project.Module == "" || s.Project.HasVendor {
		return nil
	}
	return []Lint{s.about("goflags-vendor", isError, "local/vendor", "GOFLAGS")}
}

// lintModules: GO111MODULE=off, or a word that go does not know.
func lintModules(s *Settings) []Lint {
	switch v := s.value("GO111MODULE"); v {
	case "", "on", "auto":
		return nil
	case "off":
		severity := isInfo
		if s.Project.Module != "" || s.Project.GoModHere {
			severity = isWarning
		}
		return []Lint{s.fixed(s.about("modules-off", severity, "local/gopath", "GO111MODULE"), "")}
	default:
		return []Lint{s.fixed(s.about("modules-word", isError, "local/gopath", "GO111MODULE", v), "")}
	}
}

var toolchainName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:(?:local|path|auto)|go1(?:\.\d+){0,2}(?:(?:rc|beta)\d+)?(?:-[\w.-]+)?(?:\+(?:path|auto))?|local\+(?:path|auto))$`)
})

// lintToolchain holds GOTOOLCHAIN to go's grammar.
func lintToolchain(s *Settings) []Lint {
	v := s.value("GOTOOLCHAIN")
	if v == "" || toolchainName().MatchString(v) {
		return nil
	}
	return []Lint{s.fixed(s.about("gotoolchain", isError, "version/toolchain", "GOTOOLCHAIN", v), "")}
}

// lintGoauth holds GOAUTH to what makes go stop (cmd/go/internal/auth, runGoAuth).
func lintGoauth(s *Settings) []Lint {
	v := s.value("GOAUTH")
	commands := strings.Split(v, ";")
	if v == "" || v == "off" {
		return nil
	}
	for _, c := range commands {
		words := strings.Fields(c)
		switch {
		case len(words) == 0:
			return []Lint{s.about("goauth-empty", isError, "", "GOAUTH")}
		case words[0] == "off":
			return []Lint{s.about("goauth-off", isError, "", "GOAUTH")}
		case words[0] == "git" && (len(words) != 2 || !filepath.IsAbs(words[1])):
			return []Lint{s.about("goauth-git", isError, "", "GOAUTH")}
		}
	}
	return nil
}

// lintPaths: directories that go needs as absolute paths.
func lintPaths(s *Settings) []Lint {
	var out []Lint
	for _, name := range []string{"GOMODCACHE", "GOCACHE"} {
		if v := s.value(name); v != "" && v != "off" && !filepath.IsAbs(v) {
			out = append(out, s.about("path-relative", isError, "", name, v))
		}
	}
	if s.value("GOCACHE") == "off" {
		out = append(out, s.fixed(s.about("gocache-off", isError, "", "GOCACHE"), ""))
	}
	return out
}
