package moved

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// packument is what a registry says of a package.
type packument struct {
	standing standing
	status   int
	from     *url.URL
	// versions as the registry writes them, by the semantic version that stands for them;
	// listed are the latter, oldest first.
	versions map[string]string
	listed   []string
	latest   string
	// deprecated is what the author says of the newest version.
	deprecated string
	owner      Owner
}

func (p packument) shown(name string) keepwell.Evidence {
	l := listing{standing: p.standing, status: p.status, proxy: p.from, latest: p.latest}
	for _, v := range p.listed {
		l.versions = append(l.versions, p.versions[v])
	}
	return l.shown(name)
}

// newest is the version that is installed where none is asked for.
func (p packument) newest() string {
	if p.latest != "" {
		return p.latest
	}
	for _, v := range slices.Backward(p.listed) {
		if semver.Prerelease(v) == "" {
			return p.versions[v]
		}
	}
	if n := len(p.listed); n > 0 {
		return p.versions[p.listed[n-1]]
	}
	return ""
}

// near is the version that comes nearest to one that is none.
func (p packument) near(asked string) string {
	v := nearest(p.listed, asSemver(asked), func(string) bool { return false })
	return cmp.Or(p.versions[v], p.newest())
}

func (p packument) has(version string) bool {
	for _, v := range p.versions {
		if v == version {
			return true
		}
	}
	return p.versions[asSemver(version)] != "" && strings.Trim(version, "0123456789.") == ""
}

var pep440 = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:\.[0-9]+)*(?:[-._]?(a|b|rc|alpha|beta|dev|pre)[-._]?([0-9]*))?`)
})

// asSemver is the semantic version that stands for one of npm or Python; "" for none.
func asSemver(s string) string {
	s = strings.TrimLeft(strings.TrimSpace(s), "=^~<>! ")
	if v := "v" + strings.TrimPrefix(s, "v"); semver.IsValid(v) && strings.Count(v, ".") >= 2 {
		return v
	}
	m := pep440().FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	v := "v" + number(m[1]) + "." + number(m[2]) + "." + number(m[3])
	if m[4] != "" {
		v += "-" + m[4] + "." + number(m[5])
	}
	return v
}

func number(s string) string { return cmp.Or(strings.TrimLeft(s, "0"), "0") }

func (p *packument) add(version string) {
	if v := asSemver(version); v != "" && len(p.versions) < mostVersions && keepwell.ValidFact("version", version) {
		if p.versions == nil {
			p.versions = map[string]string{}
		}
		if _, there := p.versions[v]; !there {
			p.listed = append(p.listed, v)
		}
		p.versions[v] = version
	}
}

// NormalPyPI is the form in which an index knows a project (PEP 503).
func NormalPyPI(name string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
}

// packageAt asks one registry or index for a package.
func (f *finder) packageAt(ctx context.Context, base *url.URL, name string) packument {
	p := packument{from: base}
	u := *base
	u.User = nil
	accept := "application/vnd.npm.install-v1+json, application/json;q=0.8"
	if f.q.Ecosystem == Npm {
		u.Path = strings.TrimRight(base.Path, "/") + "/" + name
		u.RawPath = strings.TrimRight(base.EscapedPath(), "/") + "/" + strings.ReplaceAll(name, "/", "%2f")
	} else {
		u.Path = strings.TrimRight(base.Path, "/") + "/" + NormalPyPI(name) + "/"
		accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
	}
	a := f.follow(ctx, Registered, &u, mostDoc, http.Header{"Accept": {accept}})
	p.status = a.status
	switch {
	case a.absent():
		p.standing = absent
	case !a.found():
	case f.q.Ecosystem == Npm:
		p.readNpm(a.body)
	default:
		p.readPyPI(a.body)
	}
	if len(p.listed) > 0 {
		p.standing = known
		semver.Sort(p.listed)
	}
	return p
}

func (p *packument) readNpm(body []byte) {
	var doc struct {
		Tags     map[string]string `json:"dist-tags"`
		Versions map[string]struct {
			Deprecated any `json:"deprecated"`
		} `json:"versions"`
		Maintainers []struct {
			Name string `json:"name"`
		} `json:"maintainers"`
		Time map[string]any `json:"time"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return
	}
	for v := range doc.Versions {
		p.add(v)
	}
	p.latest = doc.Tags["latest"]
	if !keepwell.ValidFact("version", p.latest) {
		p.latest = ""
	}
	if text, ok := doc.Versions[p.latest].Deprecated.(string); ok {
		p.deprecated = text
	}
	if len(doc.Maintainers) > 0 && keepwell.ValidFact("package", doc.Maintainers[0].Name) {
		p.owner = Owner{Name: doc.Maintainers[0].Name}
	}
	if len(doc.Versions) == 0 && doc.Time["unpublished"] != nil {
		p.standing = absent
	}
}

var anchor = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?is)<a\s[^>]*>([^<]*)</a>`) })

func (p *packument) readPyPI(body []byte) {
	var doc struct {
		Versions []string `json:"versions"`
		Files    []struct {
			Filename string `json:"filename"`
		} `json:"files"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		if json.Unmarshal(body, &doc) != nil {
			return
		}
		for _, v := range doc.Versions {
			p.add(v)
		}
		for _, file := range doc.Files {
			p.add(fileVersion(file.Filename))
		}
		return
	}
	for _, m := range anchor().FindAllSubmatch(body, mostVersions) {
		p.add(fileVersion(strings.TrimSpace(html.UnescapeString(string(m[1])))))
	}
}

// fileVersion is the version in the name of a wheel or a source archive.
func fileVersion(name string) string {
	if parts := strings.Split(strings.TrimSuffix(name, ".whl"), "-"); strings.HasSuffix(name, ".whl") && len(parts) >= 5 {
		return parts[1]
	}
	for _, end := range []string{".tar.gz", ".zip", ".tar.bz2", ".tgz"} {
		if base, ok := strings.CutSuffix(name, end); ok {
			return base[strings.LastIndex(base, "-")+1:]
		}
	}
	return ""
}

// findPackage is the flow for packages of npm and PyPI.
func (f *finder) findPackage(ctx context.Context) {
	f.path, f.version = strings.TrimSpace(f.q.Path), f.q.Version
	list := spelling.NpmPackages()
	if f.q.Ecosystem == PyPI {
		f.path, list = NormalPyPI(f.path), spelling.PyPIProjects()
		for i := range f.Here.known {
			f.Here.known[i].Path = NormalPyPI(f.Here.known[i].Path)
		}
	}
	f.guesses = spelling.Words(f.path, f.Here.known, list)
	f.sayGuesses()
	var route Route
	if f.Route != nil {
		route = f.Route(f.path)
	}
	if !route.Private.IsZero() {
		f.report.Private = route.Private
		f.say(Registered, msg.Because("moved.private", f.path, route.Private))
		f.offline()
		return
	}
	if len(route.Proxies) == 0 {
		f.say(Registered, msg.Because("moved.registry.none"))
		f.offline()
		return
	}
	p := packument{}
	for _, base := range route.Proxies[:min(len(route.Proxies), mostProxies)] {
		if p = f.packageAt(ctx, base, f.path); p.standing != absent {
			break
		}
	}
	switch p.standing {
	case known:
		f.report.Known = true
		f.say(Registered, msg.Because("moved.registry.known", p.from.Host, f.path, p.newest()))
		f.packageThere(ctx, p)
	case absent:
		f.report.Lost = true
		f.say(Registered, msg.Because("moved.registry.absent", p.from.Host, f.path))
		f.packageMissing(ctx, route.Proxies[0])
	default:
		command := "npm view " + f.q.Path + " versions"
		if f.q.Ecosystem == PyPI {
			command = "python3 -m pip index versions " + f.q.Path
		}
		f.unsaid(p.from.Host, p.status, command)
		f.offline()
	}
}

// packageThere looks at the version and at what the author says.
func (f *finder) packageThere(ctx context.Context, p packument) {
	if p.owner.Name != "" {
		f.report.Owner = p.owner
	}
	if f.version != "" && asSemver(f.version) != "" && strings.Trim(f.version, "0123456789.") == "" && !p.has(f.version) {
		if v := p.near(f.version); v != "" {
			f.say(Versions, msg.Because("moved.version.none", f.version, p.newest()))
			f.propose(Proposal{
				Kind: Version, From: f.q.Path, To: f.q.Path, Version: v, Mend: UpdateVersion, Confidence: 0.9, Reason: msg.Because("moved.because.version", f.version, v),
				Evidence: []keepwell.Evidence{p.shown(f.path)},
			})
		}
	}
	if p.deprecated == "" {
		return
	}
	f.say(Migration, msg.Because("moved.deprecated", oneLine(p.deprecated)))
	shown := keepwell.Evidence{Source: "probe", Text: "deprecated: " + oneLine(p.deprecated)}
	for _, to := range named(p.deprecated) {
		if to == f.path {
			continue
		}
		next := f.packageAt(ctx, p.from, to)
		if next.standing != known {
			continue
		}
		out := Proposal{
			Kind: Deprecated, To: to, Version: f.pick(next), Mend: UpdatePath, Confidence: 0.92, Reason: msg.Because("moved.because.deprecated", to),
			Evidence: []keepwell.Evidence{shown, next.shown(to)}, Caution: msg.Because("moved.caution.other", to),
		}
		for i := range f.report.Proposals { // a version of what is given up comes second
			if f.report.Proposals[i].Mend == UpdateVersion {
				f.report.Proposals[i].Confidence = 0.8
			}
		}
		f.propose(out)
		return
	}
	f.propose(Proposal{Kind: Deprecated, Mend: MarkAbandoned, Confidence: 0.4, Reason: msg.Because("moved.because.abandoned", f.path), Evidence: []keepwell.Evidence{shown}})
}

func (f *finder) pick(p packument) string {
	if f.version == "" || asSemver(f.version) == "" {
		return p.newest()
	}
	if p.has(f.version) {
		return f.version
	}
	return p.near(f.version)
}

// packageMissing looks for what is meant by a name that the registry has not got.
func (f *finder) packageMissing(ctx context.Context, base *url.URL) {
	asked := 0
	for _, other := range slices.Concat(f.Here.Registries[f.path], f.Here.Registries[""]) {
		u, err := url.Parse(other)
		if err != nil || u.Host == "" || u.Host == base.Host || asked == mostProxies {
			continue
		}
		asked++
		if p := f.packageAt(ctx, u, f.path); p.standing == known {
			f.say(Registered, msg.Because("moved.registry.other", u.Host, f.path))
			bare := *u
			bare.User = nil
			f.propose(Proposal{
				Kind: Registry, To: f.q.Path, Version: f.pick(p), Mend: UseRegistry, At: bare.String(), Confidence: 0.93,
				Reason: msg.Because("moved.because.registry", u.Host), Evidence: []keepwell.Evidence{p.shown(f.path)},
			})
			return
		}
	}
	list := f.packageCandidates()
	for _, c := range list[:min(len(list), mostCandidates)] {
		p := f.packageAt(ctx, base, c.To)
		if p.standing == absent || p.standing == open && f.spent >= MaxRequests {
			continue
		}
		c.Version = f.pick(p)
		c.Evidence = append(c.Evidence, p.shown(c.To))
		if p.standing != known {
			c.Confidence -= 0.1
		}
		f.say(Registered, msg.Because("moved.registry.instead", c.To, cmp.Or(c.Version, "-")))
		f.propose(c)
		if c.Confidence >= 0.85 {
			return
		}
	}
	if f.Here.built(f.path) {
		f.propose(Proposal{Kind: Deleted, Mend: MarkAbandoned, Confidence: 0.6, Reason: msg.Because("moved.because.nowhere", f.path), Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(base.Host + ": " + f.path + ": 404")}}})
		f.propose(Proposal{Kind: Deleted, Mend: AskOwner, Confidence: 0.5, Reason: msg.Because("moved.because.askowner", f.report.Owner.Name), Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(base.Host + ": " + f.path + ": 404")}}})
	}
}

func (f *finder) packageCandidates() []Proposal {
	var out []Proposal
	successors := spelling.NpmSuccessors()
	if f.q.Ecosystem == PyPI {
		successors = spelling.PyPIImports()
	}
	if to, ok := successors[f.path]; ok {
		why := msg.Because("moved.because.successor", f.path, to)
		if f.q.Ecosystem == PyPI {
			why = msg.Because("moved.because.imported", f.path, to)
		}
		out = append(out, Proposal{Kind: Renamed, To: to, Mend: UpdatePath, Confidence: 0.97, Reason: why, Evidence: []keepwell.Evidence{{Source: "environment", Text: f.path + " -> " + to}}})
	}
	for _, g := range f.guesses {
		kind, mend := kindOf(g)
		out = append(out, Proposal{Kind: kind, To: g.Path, Mend: mend, Confidence: sureOf(g), Reason: because(g), Evidence: []keepwell.Evidence{f.source(g)}})
	}
	if low := strings.ToLower(f.path); f.q.Ecosystem == Npm && low != f.path && !slices.ContainsFunc(out, func(p Proposal) bool { return p.To == low }) {
		out = append(out, Proposal{Kind: Case, To: low, Mend: UpdatePath, Confidence: 0.93, Reason: msg.Because("moved.because.lower", low), Evidence: []keepwell.Evidence{{Source: "environment", Text: f.path + " ~ " + low}}})
	}
	slices.SortStableFunc(out, func(a, b Proposal) int { return cmp.Compare(b.Confidence, a.Confidence) })
	return out
}

var (
	scopedName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`@[a-z0-9~-][a-z0-9._~-]*/[a-z0-9~-][a-z0-9._~-]*`) })
	afterWord  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile("(?i)(?:use|moved to|renamed to|switch to|switched to|favou?r of|migrate to|replaced by|replaced with|upgrade to|install|succeeded by)\\s+(?:the\\s+)?(?:package\\s+|module\\s+)?[\"'`]?([a-z0-9][a-z0-9._-]+)")
	})
)

// named are the packages that a text of deprecation may name, at most three.
func named(text string) []string {
	text = text[:min(len(text), 2000)]
	var out []string
	add := func(name string) {
		name = strings.TrimRight(name, ".-_")
		if keepwell.ValidFact("package", name) && !slices.Contains(out, name) && len(out) < 3 {
			out = append(out, name)
		}
	}
	for _, m := range scopedName().FindAllString(text, 5) {
		add(m)
	}
	for _, m := range afterWord().FindAllStringSubmatch(text, 5) {
		switch word := strings.ToLower(m[1]); word {
		case "the", "a", "an", "this", "it", "instead", "version", "latest", "native", "another", "built-in", "your", "our", "newer", "any":
		default:
			add(word)
		}
	}
	return out
}

// NpmHere reads a project's package.json and package-lock.json; texts that are none are
// passed over. except is the name in question.
func NpmHere(manifest, lock []byte, except string) Here {
	h := Here{Registries: map[string][]string{}}
	var p struct {
		Dependencies, DevDependencies, OptionalDependencies, PeerDependencies map[string]string
	}
	if json.Unmarshal(manifest, &p) == nil {
		for _, list := range []map[string]string{p.Dependencies, p.DevDependencies, p.OptionalDependencies, p.PeerDependencies} {
			for name, v := range list {
				if name != except && keepwell.ValidFact("package", name) {
					h.Required = append(h.Required, module.Version{Path: name, Version: v})
				}
			}
		}
	}
	var l struct {
		Packages map[string]struct{ Version, Resolved string }
	}
	if json.Unmarshal(lock, &l) != nil {
		return h
	}
	for at, one := range l.Packages {
		_, name, ok := cutLast(at, "node_modules/")
		if !ok || !keepwell.ValidFact("package", name) {
			continue
		}
		h.Summed = append(h.Summed, module.Version{Path: name, Version: one.Version})
		if base, _, ok := strings.Cut(one.Resolved, "/"+name+"/-/"); ok && strings.HasPrefix(base, "https://") && !slices.Contains(h.Registries[name], base) {
			h.Registries[name] = append(h.Registries[name], base)
		}
	}
	return h
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

var (
	requirementLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:==\s*([0-9][^\s;,]*))?`)
	})
	indexLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:-i|--index-url|--extra-index-url)[ =]+(https?://\S+)`)
	})
)

// PyPIHere reads the requirements files of a project.
func PyPIHere(files [][]byte, except string) Here {
	h := Here{Registries: map[string][]string{}}
	for _, data := range files {
		for line := range strings.Lines(string(data[:min(len(data), 1<<20)])) {
			line = strings.TrimSpace(line)
			if m := indexLine().FindStringSubmatch(line); m != nil {
				if !slices.Contains(h.Registries[""], m[1]) && !strings.Contains(m[1], "$") {
					h.Registries[""] = append(h.Registries[""], m[1])
				}
			} else if m := requirementLine().FindStringSubmatch(line); m != nil && NormalPyPI(m[1]) != NormalPyPI(except) {
				h.Required = append(h.Required, module.Version{Path: NormalPyPI(m[1]), Version: m[2]})
			}
		}
	}
	return h
}
