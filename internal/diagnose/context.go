package diagnose

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/explain"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
)

// Machine is what is known of the machine on which the text was printed. The
// zero value knows nothing; each field may be missing.
type Machine struct {
	Env goenv.Env
	// GoVersion is that of the go command, such as "1.26.8"; "" unknown.
	GoVersion string
	// GoMod is the main module's file; nil unknown.
	GoMod *modfile.File
	// InsteadOf are git's url.*.insteadOf rules: what is replaced -> by what.
	InsteadOf map[string]string
	// Now is the machine's clock; Newest a time that is certainly past, such as
	// that of the Go installation. Zero: unknown.
	Now, Newest time.Time
}

// surroundings is what the rest of the text says about where it was printed.
type surroundings struct {
	sandbox string // the words that betray a build sandbox without network; "" none
	// installed is the last line on which a package manager says that it is done.
	installed int
}

var sandboxWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)building '?/nix/store[^\s']*|/nix/store/[^\s']+\.drv|flatpak-builder|/run/build/|/usr/lib/sdk/|rpmbuild/BUILD|/home/abuild/|\bsbuild\b|\bpbuilder\b|guix (?:build|environment)|/gnu/store|--network[= ]none|\bbwrap\b|unshare -n|/<<PKGBUILDDIR>>|network-sandbox|\bportage\b`)
})

// sandboxHints are literals without which sandboxWords cannot match: most text is
// spared the expression.
var sandboxHints = []string{
	"/nix/", "flatpak", "/run/build", "/usr/lib/sdk", "rpmbuild", "abuild", "sbuild", "pbuilder", "guix", "/gnu/",
	"--network", "bwrap", "unshare", "PKGBUILDDIR", "sandbox", "portage",
}

func (a *surroundings) look(s *explain.Statement) {
	a.installed = max(a.installed, installedAt(s))
	if a.sandbox == "" && slices.ContainsFunc(sandboxHints, func(h string) bool { return strings.Contains(s.Text, h) }) {
		a.sandbox = sandboxWords().FindString(s.Text)
	}
}

// verdict is what a context rule concludes.
type verdict struct {
	code       keepwell.Code
	why        string
	source     string
	confidence float64
}

// rule lets what surrounds a fault change its code: the same words mean another
// fault on another machine.
type rule struct {
	codes []keepwell.Code
	// needsMachine says that the rule is only asked when a machine is known.
	needsMachine bool
	look         func(d *Diagnosis, g *group) (verdict, bool)
}

// reconsider applies the first rule that concludes something.
func (d *Diagnosis) reconsider(g *group) {
	for _, r := range rules() {
		if !slices.Contains(r.codes, g.key.code) || r.needsMachine && d.machine == nil {
			continue
		}
		v, ok := r.look(d, g)
		if !ok || v.code == g.key.code {
			continue
		}
		if v.source == "" {
			v.source = "environment"
		}
		g.rivals = append([]keepwell.Code{g.key.code}, slices.DeleteFunc(slices.Clone(g.rivals), func(c keepwell.Code) bool { return c == v.code })...)
		g.changed = &keepwell.Evidence{Source: v.source, Text: mask.Text(v.why)}
		g.key.code, g.confidence = v.code, v.confidence
		return
	}
}

func rules() []rule {
	fetching := []keepwell.Code{"net/dns", "net/refused", "net/unreachable", "net/timeout"}
	unseen := []keepwell.Code{"module/missing-or-private", "module/repo-gone", "auth/git-prompt", "auth/goprivate-unset", "sum/sumdb-not-found", "proxy/not-found"}
	return []rule{
		{append([]keepwell.Code{"vcs/other"}, fetching[:3]...), false, inSandbox},
		{[]keepwell.Code{"net/refused", "net/timeout", "net/dns"}, false, notTheHostAsked},
		{[]keepwell.Code{"net/refused"}, false, localStandIn},
		{[]keepwell.Code{"module/moved"}, false, sameButCase},
		{[]keepwell.Code{"module/repo-gone", "auth/git-prompt", "auth/forbidden", "net/dns", "net/refused"}, false, cloneElsewhere},
		{fetching, true, throughProxy},
		{append([]keepwell.Code{"proxy/not-found"}, fetching...), true, brokenGoproxy},
		{append([]keepwell.Code{"proxy/bad-response", "tls/expired", "proxy/server-error"}, fetching...), true, otherGoproxy},
		{[]keepwell.Code{"tls/expired"}, true, wrongClock},
		{[]keepwell.Code{"auth/git-prompt", "module/repo-gone"}, true, rewrittenURL},
		{unseen, true, privacy},
		{[]keepwell.Code{"version/go-too-old", "module/not-in-std"}, true, stdPackage},
		{[]keepwell.Code{"proxy/off", "version/toolchain"}, true, switchedOff},
		{[]keepwell.Code{"local/no-go-mod", "module/not-required"}, true, modulesOff},
		{[]keepwell.Code{"sum/missing-entry", "local/vendor", "module/not-required"}, true, inWorkspace},
		{[]keepwell.Code{"sum/sumdb-unreachable", "sum/sumdb-mismatch"}, true, brokenGosumdb},
		{[]keepwell.Code{"version/unknown-revision", "version/no-match", "module/no-package"}, true, replaced},
	}
}

func inSandbox(d *Diagnosis, _ *group) (verdict, bool) {
	if d.around.sandbox != "" {
		return verdict{"net/sandboxed", d.around.sandbox, "input", 0.85}, true
	}
	if d.machine != nil {
		for _, name := range []string{"NIX_BUILD_TOP", "FLATPAK_ID"} {
			if v := d.machine.Env.Value(name); v != "" {
				return verdict{code: "net/sandboxed", why: name + "=" + v, confidence: 0.9}, true
			}
		}
	}
	return verdict{}, false
}

// notTheHostAsked: git could not connect to a host other than that of the URL, which
// then is a proxy's.
func notTheHostAsked(_ *Diagnosis, g *group) (verdict, bool) {
	u, err := url.Parse(g.facts["url"])
	host := g.facts["host"]
	if err != nil || g.entry.ID != "git-connect-refused" && g.entry.ID != "git-connect-timeout" || u.Hostname() == "" || host == "" || u.Hostname() == host {
		return verdict{}, false
	}
	return verdict{"net/http-proxy", u.Hostname() + " -> " + host + ":" + g.facts["port"], "input", 0.85}, true
}

// localStandIn: npm's or pip's request for a public host ended at a port of this
// machine that is no web server's, so a proxy setting led it there. Go says
// "proxyconnect" of a proxy, which leaves a wrong hosts entry.
func localStandIn(_ *Diagnosis, g *group) (verdict, bool) {
	host, address, port := g.facts["host"], g.facts["address"], g.facts["port"]
	if g.tool != "npm" && g.tool != "pip" || !isLoopback(address) || host == "" || isLoopback(host) || !strings.Contains(host, ".") || net.ParseIP(host) != nil ||
		port == "" || port == "80" || port == "443" {
		return verdict{}, false
	}
	return verdict{"net/http-proxy", host + " -> " + address + ":" + port, "input", 0.8}, true
}

// sameButCase: the two paths of a moved module differ in upper and lower case only.
func sameButCase(_ *Diagnosis, g *group) (verdict, bool) {
	was, is := g.facts["module"], g.facts["newpath"]
	if was == is || !strings.EqualFold(was, is) {
		return verdict{}, false
	}
	return verdict{"module/case", was + " / " + is, "input", 0.95}, true
}

// cloneElsewhere: git went to another host than the forge that the module path
// names, which only a rewriting rule of git (insteadOf) brings about.
func cloneElsewhere(_ *Diagnosis, g *group) (verdict, bool) {
	u, err := url.Parse(g.facts["url"])
	forge, _, _ := strings.Cut(g.facts["module"], "/")
	if err != nil || u.Hostname() == "" || u.Hostname() == forge || g.tool != "go" || strings.HasSuffix(u.Hostname(), "."+forge) ||
		!slices.Contains([]string{"github.com", "gitlab.com", "bitbucket.org"}, forge) || g.facts["proxy"] != "" || !strings.HasPrefix(g.entry.ID, "git-") && g.entry.ID != "repo-gone-git" {
		return verdict{}, false
	}
	return verdict{"vcs/git-config", forge + " -> " + u.Hostname(), "input", 0.8}, true
}

// throughProxy: the address refused is that of the configured HTTP proxy.
func throughProxy(d *Diagnosis, g *group) (verdict, bool) {
	name, value := d.machine.Env.Proxy()
	if value == "" {
		return verdict{}, false
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil {
		return verdict{code: "net/http-proxy", why: d.setting(name), confidence: 0.9}, true
	}
	// A name that does not resolve was never dialled, so that there is no port.
	if g.facts["phase"] != "lookup" && g.facts["port"] != portOf(u) {
		return verdict{}, false
	}
	host := u.Hostname()
	if host == g.facts["address"] || host == g.facts["host"] || isLoopback(host) && isLoopback(g.facts["address"]) {
		return verdict{code: "net/http-proxy", why: d.setting(name), confidence: 0.95}, true
	}
	return verdict{}, false
}

// portOf is the port of a proxy's URL, with the defaults of net/http's transport.
func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// setting shows a variable with its origin, as proof.
func (d *Diagnosis) setting(name string) string {
	s := d.machine.Env[name]
	out := name + "=" + s.Value + " (" + string(s.Origin)
	if s.File != "" {
		out += " " + s.File
	}
	return out + ")"
}

// brokenGoproxy: GOPROXY holds what go does not read as a separator, or as a scheme.
func brokenGoproxy(d *Diagnosis, _ *group) (verdict, bool) {
	for _, entry := range proxyList(d.machine.Env.Value("GOPROXY")) {
		if strings.ContainsAny(entry, "，；; ｜、") || namesScheme(entry) {
			return verdict{code: "proxy/misconfigured", why: d.setting("GOPROXY"), confidence: 0.95}, true
		}
	}
	return verdict{}, false
}

// namesScheme reports an entry whose host is the name of a scheme, such as https//x.
func namesScheme(entry string) bool {
	_, after, ok := strings.Cut(entry, "://")
	if !ok {
		after = entry
	}
	host, _, more := strings.Cut(after, "/")
	if ok { // https://https://x
		host = strings.TrimSuffix(host, ":")
	}
	return more && slices.Contains([]string{"http", "https", "file"}, host)
}

// proxyList splits GOPROXY as go does (cmd/go/internal/modfetch, proxyList):
// blanks around an entry do not count.
func proxyList(value string) []string {
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '|' })
	for i, entry := range list {
		list[i] = strings.TrimSpace(entry)
	}
	return list
}

// otherGoproxy: the text asked a proxy that this environment does not name, so it
// ran in another one (sudo, a container, an IDE).
func otherGoproxy(d *Diagnosis, g *group) (verdict, bool) {
	list, asked := d.machine.Env.Value("GOPROXY"), g.facts["proxy"]
	if list == "" || asked == "" || strings.Contains(list, asked) || d.machine.Env["GOPROXY"].Origin == goenv.FromGOROOT ||
		d.machine.Env["GOPROXY"].Origin == goenv.FromDefault {
		return verdict{}, false
	}
	return verdict{code: "proxy/misconfigured", why: d.setting("GOPROXY"), confidence: 0.8}, true
}

func wrongClock(d *Diagnosis, _ *group) (verdict, bool) {
	m := d.machine
	if m.Now.IsZero() || m.Newest.IsZero() || !m.Now.Before(m.Newest) {
		return verdict{}, false
	}
	return verdict{code: "tls/clock-skew", why: "clock: " + m.Now.UTC().Format(time.RFC3339) + " < " + m.Newest.UTC().Format(time.RFC3339), confidence: 0.93}, true
}

// rewrittenURL: git is told to go elsewhere than the text says.
func rewrittenURL(d *Diagnosis, g *group) (verdict, bool) {
	for from, to := range d.machine.InsteadOf {
		if host := g.facts["host"]; host != "" && strings.Contains(from, host) && !strings.Contains(to, host) {
			return verdict{code: "vcs/git-config", why: "url." + to + ".insteadOf=" + from, confidence: 0.8}, true
		}
	}
	return verdict{}, false
}

// privacy: whether GOPRIVATE covers the module tells a leak from a missing login.
func privacy(d *Diagnosis, g *group) (verdict, bool) {
	mod := g.facts["module"]
	private := d.machine.Env["GOPRIVATE"]
	if mod == "" {
		return verdict{}, false
	}
	covered := module.MatchPrefixPatterns(private.Value, mod)
	switch g.key.code {
	case "auth/goprivate-unset":
		if covered { // then the text came from elsewhere, or git cannot log in
			return verdict{code: "auth/git-prompt", why: d.setting("GOPRIVATE"), confidence: 0.75}, true
		}
	case "module/missing-or-private", "module/repo-gone":
		if covered {
			return verdict{code: "auth/git-prompt", why: d.setting("GOPRIVATE"), confidence: 0.85}, true
		}
		fallthrough
	default:
		if !covered && sibling(private.Value, mod) && g.key.code != "auth/git-prompt" {
			return verdict{code: "auth/goprivate-unset", why: d.setting("GOPRIVATE"), confidence: 0.8}, true
		}
	}
	return verdict{}, false
}

// sibling reports whether patterns name the host of mod, or the domain it belongs
// to, though not mod itself: then mod is likely meant to be private too.
func sibling(patterns, mod string) bool {
	host, _, _ := strings.Cut(mod, "/")
	if host == "github.com" || host == "gitlab.com" || host == "bitbucket.org" || host == "gitee.com" {
		host += "/" + strings.SplitN(mod+"//", "/", 3)[1]
	}
	for p := range strings.SplitSeq(patterns, ",") {
		p = strings.TrimPrefix(strings.TrimSpace(p), "*.")
		if p != "" && (strings.HasPrefix(p, host) || domain(p) == domain(host) && !strings.Contains(host, "/")) {
			return true
		}
	}
	return false
}

// domain returns the last two labels of the host that a path begins with.
func domain(path string) string {
	host, _, _ := strings.Cut(path, "/")
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// stdSince tells in which Go a package of the standard library first came
// (go.dev/doc/go1.N, "New packages").
var stdSince = map[string]string{
	"embed": "1.16", "io/fs": "1.16", "testing/fstest": "1.16", "net/netip": "1.18", "runtime/coverage": "1.20", "crypto/ecdh": "1.20",
	"slices": "1.21", "maps": "1.21", "cmp": "1.21", "log/slog": "1.21", "testing/slogtest": "1.21", "math/rand/v2": "1.22", "go/version": "1.22",
	"iter": "1.23", "unique": "1.23", "structs": "1.23", "weak": "1.24", "crypto/mlkem": "1.24", "crypto/hkdf": "1.24", "crypto/pbkdf2": "1.24",
	"crypto/sha3": "1.24", "encoding/json/v2": "1.25", "testing/synctest": "1.25",
}

// stdPackage: which Go runs decides between too old a Go, a broken installation,
// and a package that never was in std.
func stdPackage(d *Diagnosis, g *group) (verdict, bool) {
	since, known := stdSince[g.facts["package"]]
	if !known || d.machine.GoVersion == "" {
		return verdict{}, false
	}
	why := "go version go" + d.machine.GoVersion
	if atLeast(d.machine.GoVersion, since) {
		return verdict{code: "local/goroot", why: why, confidence: 0.8}, true
	}
	return verdict{code: "version/go-too-old", why: why, confidence: 0.95}, true
}

// atLeast compares Go versions by number ("1.9" < "1.21").
func atLeast(have, want string) bool {
	h, w := numbers(have), numbers(want)
	for i := range w {
		if i >= len(h) || h[i] != w[i] {
			return i < len(h) && h[i] > w[i]
		}
	}
	return true
}

func numbers(version string) []int {
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n := 0
		for _, c := range part {
			if c < '0' || c > '9' {
				break
			}
			n = n*10 + int(c-'0')
		}
		out = append(out, n)
	}
	return out
}

// switchedOff: a list with a tail of "off" was meant to be served by what stands
// before it; a toolchain cannot be fetched where fetching is off.
func switchedOff(d *Diagnosis, g *group) (verdict, bool) {
	v := d.machine.Env.Value("GOPROXY")
	list := proxyList(v)
	switch {
	case g.key.code == "proxy/off" && len(list) > 1 && list[len(list)-1] == "off":
		return verdict{code: "proxy/misconfigured", why: d.setting("GOPROXY"), confidence: 0.85}, true
	case g.key.code == "version/toolchain" && v == "off":
		return verdict{code: "proxy/off", why: d.setting("GOPROXY"), confidence: 0.9}, true
	}
	return verdict{}, false
}

func modulesOff(d *Diagnosis, _ *group) (verdict, bool) {
	if d.machine.Env.Value("GO111MODULE") == "off" {
		return verdict{code: "local/gopath", why: d.setting("GO111MODULE"), confidence: 0.9}, true
	}
	return verdict{}, false
}

func inWorkspace(d *Diagnosis, _ *group) (verdict, bool) {
	if w := d.machine.Env.Value("GOWORK"); w != "" && w != "off" {
		return verdict{code: "local/workspace", why: "GOWORK=" + w, confidence: 0.75}, true
	}
	return verdict{}, false
}

func brokenGosumdb(d *Diagnosis, _ *group) (verdict, bool) {
	v := d.machine.Env.Value("GOSUMDB")
	name, _, _ := strings.Cut(v, " ")
	if v == "" || name == "off" || name == "sum.golang.org" || name == "sum.golang.google.cn" || strings.Count(name, "+") >= 2 {
		return verdict{}, false
	}
	return verdict{code: "sum/misconfigured", why: d.setting("GOSUMDB"), confidence: 0.85}, true
}

func replaced(d *Diagnosis, g *group) (verdict, bool) {
	if d.machine.GoMod == nil {
		return verdict{}, false
	}
	for _, r := range d.machine.GoMod.Replace {
		if r.Old.Path == g.facts["module"] || r.New.Path == g.facts["module"] {
			return verdict{code: "local/replace", why: "go.mod: replace " + r.Old.String() + " => " + r.New.String(), confidence: 0.85}, true
		}
	}
	return verdict{}, false
}
