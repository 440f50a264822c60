package moved

import (
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

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// state is what the host of the code says of a path.
type state int

const (
	unclear  state = iota
	alive          // it is shown
	gone           // the host answers for itself that there is nothing, or has no name any more
	moved          // it leads to another path
	archived       // shown, and marked as no longer worked on
)

// place is where the code lies, as its host says.
type place struct {
	state state
	to    string // the new path, where state is moved
	repo  string // the repository of a go-import tag, as host/path
	shown keepwell.Evidence
}

// repository is the part of a path that is a repository, and what follows it.
func repository(path string) (root, rest string) {
	e := strings.Split(path, "/")
	if !forge(e[0]) || len(e) < 3 {
		return path, ""
	}
	root = strings.Join(e[:3], "/")
	return root, strings.TrimPrefix(path, root)
}

// look asks the host of a path what became of it.
func (f *finder) look(ctx context.Context, path string) place {
	if f.Route == nil {
		return place{}
	}
	if r := f.Route(path); !r.Private.IsZero() || !r.Code {
		return place{}
	}
	root, rest := repository(path)
	u, err := url.Parse("https://" + root)
	if err != nil || module.CheckPath(path) != nil {
		return place{}
	}
	host := u.Host
	if !forge(host) {
		u.RawQuery = "go-get=1"
	}
	a := f.ask(ctx, Migration, u, mostPage, http.Header{"Accept": {"text/html"}})
	p := place{shown: keepwell.Evidence{Source: "probe", Text: mask.Text(u.String() + ": " + http.StatusText(a.status))}}
	switch {
	case a.gone:
		p.state, p.shown.Text = gone, mask.Text(host+": no such host")
	case a.status/100 == 3:
		p.to = leads(u, a.header.Get("Location"))
		if p.to == "" {
			return place{}
		}
		p.shown.Text = mask.Text(u.String() + " -> " + p.to)
		if p.to += rest; strings.EqualFold(p.to, path) || module.CheckPath(p.to) != nil {
			p.state = alive
			return p
		}
		p.state = moved
	case a.absent() && len(imports(a.body, path)) == 0:
		p.state = gone
	case a.found() || a.absent():
		p.state = alive
		for _, i := range imports(a.body, path) {
			p.repo = i
		}
	}
	return p
}

// leads is the path that a redirect of a page leads to, "" where it leads to a sign-in
// or anywhere else.
func leads(from *url.URL, location string) string {
	u, err := from.Parse(location)
	if err != nil || location == "" || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Port() != "" {
		return ""
	}
	path := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	low := strings.ToLower(path)
	for _, word := range []string{"login", "signin", "sign_in", "sign-in", "sso", "auth", "session", "oauth", "saml"} {
		if strings.Contains(low, word) && !strings.Contains(strings.ToLower(from.Path), word) {
			return ""
		}
	}
	if forge(u.Host) && strings.Count(path, "/") != 1 {
		return ""
	}
	if path == "" && from.Path != "" && from.Path != "/" { // everything leads to the front page
		return ""
	}
	return strings.TrimSuffix(u.Hostname()+"/"+path, "/")
}

var importTag = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)<meta\s[^>]*name=["']?go-import["']?[^>]*>`)
})

var contentOf = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)content=(?:"([^"]*)"|'([^']*)')`)
})

// imports are the repositories, as host/path, that the go-import tags of a page name for
// a path.
func imports(page []byte, path string) []string {
	var out []string
	for _, tag := range importTag().FindAll(page, 20) {
		m := contentOf().FindSubmatch(tag)
		if m == nil {
			continue
		}
		fields := strings.Fields(html.UnescapeString(string(m[1]) + string(m[2])))
		if len(fields) < 3 || path != fields[0] && !strings.HasPrefix(path, fields[0]+"/") {
			continue
		}
		if u, err := url.Parse(fields[2]); err == nil && u.Host != "" {
			out = append(out, u.Hostname()+strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git"))
		}
	}
	return out
}

// place asks where the code of the path in question lies, and proposes what follows.
func (f *finder) place(ctx context.Context, l listing) {
	p := f.look(ctx, f.path)
	switch p.state {
	case moved:
		f.say(Migration, msg.Because("moved.place.moved", p.to))
		f.followed(ctx, p)
	case gone:
		f.say(Migration, msg.Because("moved.place.gone", f.path))
		f.lost(&p)
	case alive:
		f.say(Migration, msg.Because("moved.place.alive", f.path))
		if l.standing == known {
			f.archived(ctx, l)
		}
	default:
		f.say(Migration, msg.Because("moved.place.unclear", f.path))
		f.lost(nil)
	}
}

// followed proposes the path that the host leads to, where the module there calls itself
// by it.
func (f *finder) followed(ctx context.Context, p place) {
	l := f.list(ctx, p.to)
	if l.standing == absent {
		f.say(Migration, msg.Because("moved.place.unnamed", p.to))
		return
	}
	out := Proposal{
		Kind: Renamed, To: p.to, Version: choose(l, f.q.Version), Mend: UpdatePath, Confidence: 0.6, Reason: msg.Because("moved.because.host.leads", p.to),
		Evidence: []keepwell.Evidence{p.shown},
	}
	if l.standing == known {
		out.Evidence = append(out.Evidence, l.shown(p.to))
		out.Confidence = 0.8
		if mod := f.goMod(ctx, l, p.to, out.Version); mod != nil {
			declared := mod.Module.Mod.Path
			out.Evidence = append(out.Evidence, keepwell.Evidence{Source: "probe", Text: mask.Text(p.to + "@" + out.Version + "/go.mod: module " + declared)})
			switch declared {
			case p.to:
				out.Confidence = 0.96
			case f.path:
				f.say(Migration, msg.Because("moved.place.same", p.to, f.path))
				return
			default:
				out.To, out.Version, out.Confidence = declared, "", 0.7
				if next := f.list(ctx, declared); next.standing == known {
					out.Version = choose(next, f.q.Version)
				}
			}
		}
	}
	f.propose(out)
}

// lost proposes what is left where the place of the code is gone: p is its answer, nil
// where nobody could be asked.
func (f *finder) lost(p *place) {
	l := f.told[f.path]
	evidence := []keepwell.Evidence{l.shown(f.path)}
	if p != nil {
		evidence = append([]keepwell.Evidence{p.shown}, evidence...)
	}
	held := versionsOf(f.Here.Cached, f.path)
	switch {
	case p == nil:
		return
	case l.standing == known && len(l.versions) > 0:
		for i := range f.report.Proposals {
			if f.report.Proposals[i].Mend == UpdateVersion {
				f.report.Proposals[i].Kind = Deleted
			}
		}
		f.propose(Proposal{Kind: Deleted, Mend: KeepCopy, Version: l.newest(), Confidence: 0.8, Reason: msg.Because("moved.because.copy", f.path, l.proxy.Host), Evidence: evidence})
	case len(held) > 0:
		v := nearest(held, f.q.Version, func(string) bool { return false })
		if v != "" && v != f.q.Version {
			f.propose(Proposal{Kind: Deleted, To: f.path, Version: v, Mend: UpdateVersion, Confidence: 0.86, Reason: msg.Because("moved.because.held", v), Evidence: evidence})
		}
		f.propose(Proposal{Kind: Deleted, Mend: KeepCopy, Version: v, Confidence: 0.8, Reason: msg.Because("moved.because.keep", f.path), Evidence: evidence})
	case f.Here.built(f.path):
		f.propose(Proposal{Kind: Deleted, Mend: MarkAbandoned, Confidence: 0.88, Reason: msg.Because("moved.because.nowhere", f.path), Evidence: evidence})
		f.propose(Proposal{Kind: Deleted, Mend: AskOwner, Confidence: 0.75, Reason: msg.Because("moved.because.askowner", f.report.Owner.Name), Evidence: evidence})
	}
}

// archived asks the API of a forge, where a token allows, whether anybody works on it.
func (f *finder) archived(ctx context.Context, l listing) {
	root, _ := repository(f.path)
	e := strings.Split(root, "/")
	if len(e) != 3 {
		return
	}
	api, auth := "", http.Header{}
	switch e[0] {
	case "github.com":
		api = "https://api.github.com/repos/" + e[1] + "/" + e[2]
		auth.Set("Authorization", "Bearer "+f.Tokens["api.github.com"])
	case "gitlab.com":
		api = "https://gitlab.com/api/v4/projects/" + e[1] + "%2F" + e[2]
		auth.Set("PRIVATE-TOKEN", f.Tokens["gitlab.com"])
	}
	u, err := url.Parse(api)
	if err != nil || api == "" || f.Tokens[u.Host] == "" {
		return
	}
	a := f.ask(ctx, Migration, u, mostMod, auth)
	var repo struct {
		Archived bool `json:"archived"`
	}
	if !a.found() || json.Unmarshal(a.body, &repo) != nil || !repo.Archived {
		return
	}
	f.say(Migration, msg.Because("moved.place.archived", f.path))
	f.propose(Proposal{
		Kind: Archived, Mend: MarkAbandoned, Confidence: 0.55, Reason: msg.Because("moved.because.archived", f.path),
		Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(u.Host + ": " + f.path + ": archived")}, l.shown(f.path)},
	})
}

// declared handles a module whose go.mod calls it by another path: it was renamed, has
// an import path of its own, or is a fork.
func (f *finder) declared(ctx context.Context, version, declared string) {
	line := keepwell.Evidence{Source: "probe", Text: mask.Text(f.path + "@" + version + "/go.mod: module " + declared)}
	next := f.list(ctx, declared)
	if len(next.versions) == 0 && exact(f.version) && next.latest != f.version { // a version that no list shows
		if yes, _ := f.exists(ctx, next, declared, f.version); yes {
			next.standing, next.latest = known, f.version
		}
	}
	p := Proposal{
		Kind: Renamed, To: declared, Version: choose(next, f.q.Version), Mend: UpdatePath, Confidence: 0.95, Reason: msg.Because("moved.because.declares", declared),
		Evidence: []keepwell.Evidence{line, next.shown(declared)},
	}
	switch {
	case next.standing == absent:
		f.say(Migration, msg.Because("moved.declared.absent", declared))
		p.Confidence = 0.4
	case strings.EqualFold(declared, f.path):
		p.Kind = Case
	case spelling.Base(declared) == spelling.Base(f.path):
		p.Kind, p.Reason = Major, msg.Because("moved.because.major", declared)
	case f.related(ctx, declared, &p):
	default:
		p.Confidence = 0.5
		p.Caution = msg.Because("moved.caution.fork", f.path, declared)
	}
	f.propose(p)
}

// related reports whether the path in question and the one that its go.mod declares are
// the same code: a fork declares another path, too.
func (f *finder) related(ctx context.Context, declared string, p *Proposal) bool {
	if to, ok := successor(f.path); ok && spelling.Base(to) == spelling.Base(declared) {
		return true
	}
	mine, _ := repository(f.path)
	theirs, _ := repository(declared)
	host, _, _ := strings.Cut(declared, "/")
	if forge(host) {
		if here := f.look(ctx, f.path); here.state == moved {
			root, _ := repository(here.to)
			p.Evidence = append(p.Evidence, here.shown)
			return strings.EqualFold(root, theirs)
		}
		return false
	}
	there := f.look(ctx, declared)
	p.Evidence = append(p.Evidence, there.shown)
	return there.repo != "" && slices.ContainsFunc([]string{there.repo}, func(r string) bool { return strings.EqualFold(r, mine) })
}

// ownerOf is who can do something about a name, as far as the name tells.
func ownerOf(q Question) Owner {
	switch q.Ecosystem {
	case Npm:
		if scope, _, ok := strings.Cut(q.Path, "/"); ok && strings.HasPrefix(scope, "@") {
			return Owner{Name: scope}
		}
		return Owner{Name: q.Path}
	case PyPI:
		return Owner{Name: q.Path}
	}
	e := strings.Split(spelling.Clean(q.Path), "/")
	if forge(e[0]) && len(e) > 1 {
		return Owner{Name: mask.Text(e[0] + "/" + e[1]), URL: "https://" + e[0] + "/" + e[1]}
	}
	return Owner{Name: mask.Text(e[0])}
}
