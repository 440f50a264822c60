package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/workspace"
)

// MovedCodes are the faults behind which a name may be that is spelt wrongly, has moved,
// or has no such version.
func MovedCodes() []keepwell.Code {
	return []keepwell.Code{
		"proxy/not-found", "module/missing-or-private", "module/repo-gone", "module/moved", "module/no-package", "module/bad-path", "module/vanity",
		"module/case", "module/deprecated", "module/not-in-std", "version/no-match", "version/unknown-revision", "version/invalid",
		"version/major-suffix", "version/retracted", "auth/git-prompt", "sum/sumdb-not-found", "module/archived",
	}
}

// movedSubject is the name to look for: of the first fault that may be about a name, or
// that kept go from fetching what the doctor was asked about. told is that fault.
func (c *Case) movedSubject(seen []Outcome) (s Subject, told keepwell.Finding, ok bool) {
	for _, o := range seen {
		if !o.Tried && o.Check != "complete" {
			continue
		}
		for _, f := range o.Findings {
			if severity(f) == keepwell.SeverityInfo && !slices.Contains([]keepwell.Code{"module/deprecated", "version/retracted"}, f.Code) ||
				!slices.Contains(MovedCodes(), f.Code) && (len(c.Asked) == 0 || o.Works) {
				continue
			}
			s = Subject{Ecosystem: Go, Path: f.Facts["module"], Version: f.Facts["version"]}
			switch o.Check {
			case "npm":
				s.Ecosystem, s.Path = Npm, f.Facts["package"]
			case "pip":
				s.Ecosystem, s.Path = PyPI, f.Facts["package"]
			}
			asked := c.asked(s.Ecosystem)
			i := slices.IndexFunc(asked, func(a Subject) bool { return a.Path == s.Path || s.Path == "" || strings.HasPrefix(a.Path, s.Path+"/") })
			switch {
			case i >= 0:
				s = asked[i]
			case len(asked) > 0 && s.Ecosystem == Go: // of a dependency of what was asked, or told without its name
				s = asked[0]
			case s.Path == "":
				continue
			}
			if s.Ecosystem == Go && s.Version == "" {
				s.Version = c.RequiredHere(s.Path)
			}
			return s, f, true
		}
	}
	return s, told, false
}

func wantsMoved(c *Case, seen []Outcome) bool {
	_, _, ok := c.movedSubject(seen)
	return ok
}

// lookMoved finds out what became of a name that cannot be fetched.
func lookMoved(ctx context.Context, c *Case, seen []Outcome) Outcome {
	s, told, ok := c.movedSubject(seen)
	if !ok {
		return Outcome{State: observe.NotChecked, Key: "doctor.moved.nothing"}
	}
	at := Registries{}
	switch s.Ecosystem {
	case Npm:
		at.Npm = c.npmRegistry(ctx, s.Path)
	case PyPI:
		at.PyPI = c.pipIndex(ctx)
	}
	o := moved.Options{Tokens: map[string]string{"gitlab.com": c.Settings.OS["GITLAB_TOKEN"]}, All: 5 * time.Second}
	o.Tokens["api.github.com"] = cmp.Or(c.Settings.OS["GITHUB_TOKEN"], c.Settings.OS["GH_TOKEN"])
	if until, ok := ctx.Deadline(); ok {
		o.All = min(o.All, time.Until(until))
	}
	o.Route, o.Here = MovedHere(ctx, c.projectDir(), c.Settings.Env.Value("GOMODCACHE"), c.Route, s, at)
	m := moved.Machine{Refuse: observe.Forbidden, Base: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Observe.Roots, MinVersion: tls.VersionTLS12}}}
	if c.Observe.Proxy != nil {
		m.Proxy = func(r *http.Request) (*url.URL, error) { return c.Observe.Proxy(r.URL) }
	}
	for _, entry := range slices.Concat(c.Observe.GoProxies, c.Observe.Npm, c.Observe.PyPI, []string{at.Npm, at.PyPI}) {
		if u, err := url.Parse(entry); err == nil && u.Host != "" {
			m.Configured = append(m.Configured, u.Hostname())
		}
	}
	t := moved.NewTransport(m)
	defer t.CloseIdleConnections()
	if slices.Contains(MovedCodes(), told.Code) { // else the servers have said nothing of names: what is known here is all there is
		o.Transport = t
	}
	r := moved.Find(ctx, moved.Question{Ecosystem: moved.Ecosystem(s.Ecosystem), Path: s.Path, Version: s.Version, Declares: declares(told, s)}, o)
	out := Outcome{State: observe.NotChecked, Key: "doctor.moved.nothing", Moved: &r}
	switch {
	case len(r.Proposals) > 0:
		p := r.Proposals[0]
		out.State, out.Key, out.Args = observe.No, "doctor.moved.found", []string{clip(mask.Text(strings.TrimSpace(p.To + " " + p.Version)))}
		if p.To == "" {
			out.Key, out.Args = "doctor.moved.gone", []string{clip(mask.Text(p.From))}
		}
		if f, ok := c.movedFinding(p, told); ok {
			out.Findings, out.Settles = []keepwell.Finding{f}, told.Code
		}
	case !r.Private.IsZero():
		out.Key = "doctor.moved.private"
	case r.Known:
		out.State, out.Key = observe.Yes, "doctor.moved.known"
	}
	return out
}

// declares is the name that go has read in the go.mod of what is looked for, "" where it
// has not.
func declares(told keepwell.Finding, s Subject) string {
	if told.Code != "module/moved" || told.Facts["module"] != s.Path {
		return ""
	}
	return told.Facts["newpath"]
}

// projectMods are the go.mod files of the project: of the modules of go.work, or one.
// replaced are the replacements of go.work.
func (c *Case) projectMods() (names []string, replaced []*modfile.Replace) {
	name := c.gowork()
	if name == "" {
		if mod := c.gomod(); mod != "" {
			names = append(names, mod)
		}
		return names, nil
	}
	data, err := plainfile.Read(name)
	if err != nil {
		return nil, nil
	}
	work, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return nil, nil
	}
	for _, u := range work.Use {
		names = append(names, filepath.Join(workspace.Place(filepath.Dir(name), u.Path), "go.mod"))
	}
	return names, work.Replace
}

// OwnModule is the directory of the project's module of that path; "" where none has it.
func (c *Case) OwnModule(path string) string {
	names, _ := c.projectMods()
	for _, name := range names {
		if data, err := plainfile.Read(name); err == nil && modfile.ModulePath(data) == path {
			return filepath.Dir(name)
		}
	}
	return ""
}

// RequiredHere is the version of a module that the project asks for, the newest of all
// modules of go.work: "" where it asks for none, or has something else built in its place.
func (c *Case) RequiredHere(path string) string {
	names, replaces := c.projectMods()
	replaced := func(list []*modfile.Replace) bool {
		return slices.ContainsFunc(list, func(r *modfile.Replace) bool { return r.Old.Path == path })
	}
	if replaced(replaces) || c.OwnModule(path) != "" {
		return ""
	}
	newest := ""
	for _, name := range names {
		data, err := plainfile.Read(name)
		if err != nil {
			continue
		}
		if mod, err := modfile.ParseLax(name, data, nil); err == nil && replaced(mod.Replace) {
			return ""
		}
		for _, r := range moved.Required(data) {
			if r.Path == path && exactVersion(r.Version) && (newest == "" || semver.Compare(r.Version, newest) > 0) {
				newest = r.Version
			}
		}
	}
	return newest
}

// surelyMoved is from where on a proposal says what the fault is.
const surelyMoved = 0.85

// movedFinding is the fault that a sure proposal makes of the one that a tool told.
func (c *Case) movedFinding(p moved.Proposal, told keepwell.Finding) (keepwell.Finding, bool) {
	if p.Confidence < surelyMoved || p.Ecosystem != moved.Go || !slices.Contains(MovedCodes(), told.Code) || severity(told) == keepwell.SeverityInfo {
		return keepwell.Finding{}, false
	}
	f := keepwell.Finding{Code: told.Code, Confidence: min(p.Confidence, 0.95), Tool: "go", Facts: keepwell.Facts{}, Evidence: p.Evidence}
	open := slices.Contains([]keepwell.Code{"proxy/not-found", "module/missing-or-private", "module/repo-gone", "auth/git-prompt", "module/vanity", "sum/sumdb-not-found"}, told.Code)
	code, owner := map[moved.Kind]keepwell.Code{
		moved.Case: "module/case", moved.Major: "version/major-suffix", moved.Version: "version/unknown-revision", moved.Retracted: "version/retracted",
		moved.Renamed: "module/moved", moved.Deleted: "module/repo-gone", moved.Nested: "module/no-package", moved.Deprecated: "module/moved",
	}[p.Kind], keepwell.OwnerYou
	switch {
	case p.Kind == moved.Typo:
		f.Owner = owner
	case open && code != "":
		f.Code = code
	}
	if p.To != "" { // the rest stands with the proposal
		text := c.Say("doctor.moved.evidence", p.To, p.Version)
		f.Evidence = []keepwell.Evidence{{Source: "probe", Text: mask.Text(strings.TrimSpace(text))}}
	}
	for name, value := range map[string]string{"module": p.From, "version": p.FromVersion, "newpath": p.To} {
		if keepwell.ValidFact(name, value) && (name != "newpath" || p.To != p.From) {
			f.Facts[name] = value
		}
	}
	return f, true
}

// MovedRoute tells where a module may be asked for when it is looked for: where go would
// ask, and at the host that its path names. Nobody is asked about what looks private, or
// where GOPROXY is off.
func MovedRoute(cfg route.Config) func(path string) moved.Route {
	return func(path string) moved.Route {
		for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
			if v := cfg.Env.Value(name); v != "" && module.MatchPrefixPatterns(v, path) {
				return moved.Route{Private: msg.Because("moved.private.pattern", name+"="+v)}
			}
		}
		host, _, _ := strings.Cut(path, "/")
		if !observe.Public(host, nil) {
			return moved.Route{Private: msg.Because("moved.private.host")}
		}
		plan := route.Plan(cfg, route.Query{Module: path})
		if len(plan.Leaks) > 0 {
			return moved.Route{Private: msg.Because("moved.private.mark")}
		}
		var r moved.Route
		for _, h := range plan.Hops {
			switch {
			case h.Kind == route.Off && len(r.Proxies) == 0 && !r.Code:
				return moved.Route{Private: msg.Because("moved.private.off")}
			case h.Passed != nil:
			case h.Kind == route.Proxy:
				if u, err := url.Parse(h.Base); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
					r.Proxies = append(r.Proxies, u)
				}
			case h.Kind == route.ByItem, h.Kind == route.NoProxy:
				r.Code = true
			}
		}
		r.Code = true
		return r
	}
}

// Registries are those in force for a package of npm and for the projects of PyPI;
// empty where none is known.
type Registries struct{ Npm, PyPI string }

// MovedHere gathers what a search for a name may use: where to ask, and what the project
// in dir and the module cache know.
func MovedHere(ctx context.Context, dir, modcache string, cfg route.Config, s Subject, at Registries) (func(string) moved.Route, moved.Here) {
	switch s.Ecosystem {
	case Npm:
		manifest, _ := readRegular(filepath.Join(dir, "package.json"), largestMod)
		lock, _ := readRegular(filepath.Join(dir, "package-lock.json"), 32<<20)
		npmrc, _ := readRegular(filepath.Join(dir, ".npmrc"), largestMod)
		return packageRoute(cmp.Or(scopeRegistry(string(npmrc), s.Path), at.Npm)), moved.NpmHere(manifest, lock, s.Path)
	case PyPI:
		var files [][]byte
		names, _ := filepath.Glob(filepath.Join(dir, "requirements*.txt"))
		for _, name := range names[:min(len(names), 20)] {
			if data, err := readRegular(name, 1<<20); err == nil {
				files = append(files, data)
			}
		}
		return packageRoute(at.PyPI), moved.PyPIHere(files, s.Path)
	}
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return MovedRoute(cfg), moved.GoHere(limited, filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"), modcache, s.Path)
}

// packageRoute asks one registry for every package, and none that is not public.
func packageRoute(base string) func(string) moved.Route {
	return func(string) moved.Route {
		u, err := url.Parse(base)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
			return moved.Route{}
		case !observe.Public(u.Hostname(), nil):
			return moved.Route{Private: msg.Because("moved.private.registry")}
		}
		return moved.Route{Proxies: []*url.URL{u}}
	}
}

// scopeRegistry is the registry that an .npmrc gives to the scope of a package.
func scopeRegistry(npmrc, name string) string {
	scope, _, ok := strings.Cut(name, "/")
	if !ok || !strings.HasPrefix(scope, "@") {
		return ""
	}
	for line := range strings.Lines(npmrc) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.TrimSpace(k) == scope+":registry" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
