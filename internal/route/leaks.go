package route

import (
	"net/netip"
	"slices"
	"strings"
)

// Leak is a private looking name that a public server would be told.
type Leak struct {
	// To is the server, Role what it is: "proxy" or "checksum" (the database, also
	// where a proxy passes the question on).
	To   string `json:"to"`
	Role string `json:"role"`
	// Why says what marks the name as private, the strongest first.
	Why []Rule `json:"why"`
	// Public says that the server is known to serve everyone; else it may be one's own.
	Public bool `json:"public"`
	// Certain is set where the server is public and a mark is more than a habit of naming.
	Certain bool `json:"certain"`
	// Pattern is what GOPRIVATE would have to hold.
	Pattern string `json:"pattern"`
}

// privateDomains are no domains of the public DNS: reserved, or in common use
// inside companies (RFC 2606, 6761, 6762 appendix G, 8375; .internal by ICANN 2024).
func privateDomains() []string {
	return []string{
		"corp", "local", "internal", "lan", "intranet", "intra", "private", "home", "localdomain",
		"localhost", "test", "invalid", "home.arpa",
	}
}

// privateLabels are what companies call the part of their domain that only they see:
// git.corp.example.com.
func privateLabels() []string {
	return []string{"corp", "internal", "intranet", "intra", "lan"}
}

// forges are hosts of everybody's code: what marks one owner there says nothing of
// another.
func forges() []string {
	return []string{
		"github.com", "gitlab.com", "bitbucket.org", "gitee.com", "codeberg.org", "gitea.com", "git.sr.ht",
		"dev.azure.com", "ssh.dev.azure.com", "launchpad.net", "hub.jazz.net", "codeup.aliyun.com", "cnb.cool",
		"gitcode.com", "jihulab.com", "e.coding.net", "gopkg.in", "golang.org", "go.googlesource.com",
	}
}

// mirrors are module proxies and databases that serve everyone.
func mirrors() []string {
	return []string{
		"goproxy.cn", "goproxy.io", "goproxy.dev", "mirrors.aliyun.com", "mirrors.cloud.tencent.com",
		"mirrors.tencent.com", "repo.huaweicloud.com", "mirrors.huaweicloud.com", "goproxy.baidu.com", "athens.azurefd.net",
		sumName, sumAlias,
	}
}

// leaks finds what r would tell.
func (s *settings) leaks(r Route) []Leak {
	why := s.marks(r.Module)
	if len(why) == 0 || len(s.problems) > 0 { // with a broken GOPROXY nobody is asked
		return nil
	}
	pattern := scopeOf(r.Module)
	_, declared := s.private.match(r.Module) // and yet sent there: by choice, to a server of one's own
	var list []Leak
	tell := func(host, role string, withLogin bool) {
		if host == "" || s.own(host, r.Module) || (withLogin || declared) && !s.public(host) || slices.ContainsFunc(list, func(l Leak) bool { return l.To == host && l.Role == role }) {
			return
		}
		public := s.public(host)
		sure := slices.ContainsFunc(why, func(r Rule) bool { return r.Code != "private-label" })
		list = append(list, Leak{To: host, Role: role, Why: why, Public: public, Certain: public && sure, Pattern: pattern})
	}
	for _, h := range r.Hops {
		if h.Kind == Proxy && h.Passed == nil && h.Access.Credential[0].Source != "file" {
			tell(h.Server, "proxy", loggedIn(h.Access))
		}
	}
	if r.Checksum.Used && r.Checksum.Problem == nil {
		// Whichever way is taken, the question ends at the database.
		tell(hostOf(r.Checksum.Direct), "checksum", false)
	}
	return list
}

// loggedIn tells a server that knows us, which is the company's own or hired by it.
func loggedIn(a *Access) bool {
	source := a.Credential[0].Source
	return source == "netrc" || source == "url"
}

// marks are the reasons to take modulePath for private. A name that GOPRIVATE or
// GONOPROXY and GONOSUMDB cover is private too, but never told.
func (s *settings) marks(modulePath string) []Rule {
	host, _, _ := strings.Cut(modulePath, "/")
	scope := scopeOf(modulePath)
	var why []Rule
	if r, ok := privateName(host); ok {
		why = append(why, r)
	}
	for _, p := range []patterns{s.private, s.noProxy, s.noSumDB} {
		if r, ok := p.match(modulePath); ok {
			r.Code = "covered" // by one of them, and so no other should tell it
			why = append(why, r)
			break
		}
	}
	if r, ok := s.sibling(scope); ok {
		why = append(why, r)
	}
	for _, prefix := range sortedKeys(s.cfg.InsteadOf) {
		if marked := rewritten(prefix); marked != "" && underPath(modulePath, marked) {
			why = append(why, Rule{Code: "insteadof", Value: bareText(prefix)})
		}
	}
	for _, m := range s.cfg.Netrc {
		if name, _, _ := strings.Cut(m, ":"); strings.EqualFold(name, host) && !slices.Contains(forges(), host) && !s.public(host) {
			why = append(why, Rule{Code: "netrc", Value: m})
		}
	}
	for _, m := range s.cfg.Main {
		if scopeOf(m) == scope && m != modulePath && s.privateMain(m) {
			why = append(why, Rule{Code: "owner", Value: m})
		}
	}
	return why
}

// privateName tells hosts that the public DNS cannot know.
func privateName(host string) (Rule, bool) {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
			return Rule{Code: "private-address", Value: host}, true
		}
		return Rule{}, false
	}
	if !strings.Contains(name, ".") {
		return Rule{Code: "no-dot", Value: host}, true
	}
	for _, d := range privateDomains() {
		if strings.HasSuffix(name, "."+d) {
			return Rule{Code: "private-domain", Value: "." + d}, true
		}
	}
	for label := range strings.SplitSeq(name, ".") {
		if slices.Contains(privateLabels(), label) {
			return Rule{Code: "private-label", Value: label}, true
		}
	}
	return Rule{}, false
}

// sibling tells a name beside one that GOPRIVATE covers: the same host, or on a forge
// the same owner.
func (s *settings) sibling(scope string) (Rule, bool) {
	for _, p := range []patterns{s.private, s.noProxy, s.noSumDB} {
		item := 0
		for pattern := range strings.SplitSeq(p.list, ",") {
			item++
			if clean := strings.TrimSpace(pattern); clean != "" && clean != "none" && scopeOf(clean) == scope {
				r := p.rule
				r.Code, r.Item, r.Value = "sibling", item, pattern
				return r, true
			}
		}
	}
	return Rule{}, false
}

func (s *settings) privateMain(modulePath string) bool {
	host, _, _ := strings.Cut(modulePath, "/")
	if _, ok := privateName(host); ok && strings.Contains(host, ".") { // "module shop" is nobody's host
		return true
	}
	_, private := s.private.match(modulePath)
	_, noProxy := s.noProxy.match(modulePath)
	return private || noProxy
}

// rewritten is the prefix of module paths that a rule of insteadOf marks as
// private; "" where it names no host or a whole forge.
func rewritten(prefix string) string {
	_, rest, ok := strings.Cut(prefix, "://")
	if !ok {
		return ""
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	rest = strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git")
	host, owner, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, ":")
	if slices.Contains(forges(), host) && owner == "" {
		return ""
	}
	return strings.TrimSuffix(host+"/"+owner, "/")
}

// underPath tells whether path is prefix or lies below it.
func underPath(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// scopeOf is the prefix of a module path that belongs to one owner: the host, or on a
// forge host and owner.
func scopeOf(modulePath string) string {
	parts := strings.Split(modulePath, "/")
	if slices.Contains(forges(), parts[0]) && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// own tells a server that belongs to whoever owns the module: on this machine, in a
// private network, or of the same domain.
func (s *settings) own(server, modulePath string) bool {
	name := hostname(server)
	if isLoopback(name) {
		return true
	}
	if _, ok := privateName(name); ok {
		return true
	}
	host, _, _ := strings.Cut(modulePath, "/")
	return !s.public(server) && sharedDomain(name, host)
}

// public tells a server that is known to serve everyone.
func (s *settings) public(server string) bool {
	name := hostname(server)
	return slices.Contains(mirrors(), name) || slices.Contains(s.cfg.Public, name)
}

// sharedDomain tells names under one registered domain: two labels, or three where
// the second looks like a country's ("co.uk", "com.cn").
func sharedDomain(a, b string) bool {
	x, y := strings.Split(strings.ToLower(a), "."), strings.Split(strings.ToLower(b), ".")
	n := 0
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	need := 2
	if len(x) > 1 && len(x[len(x)-1]) == 2 && len(x[len(x)-2]) <= 3 {
		need = 3
	}
	return n >= need
}

func hostname(server string) string {
	if i := strings.LastIndexByte(server, ':'); i >= 0 && !strings.HasSuffix(server, "]") {
		server = server[:i]
	}
	return strings.ToLower(strings.Trim(server, "[]"))
}

func hostOf(rawURL string) string {
	_, rest, _ := strings.Cut(rawURL, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func isLoopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
