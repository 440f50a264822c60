package doctor

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/route"
)

// useKind is who asks a host.
type useKind string

const (
	useProxy useKind = "proxy" // go, by the protocol of module proxies
	usePage  useKind = "page"  // go, for a go-import tag
	useGit   useKind = "git"   // git, or another tool that direct names
)

// use is one host that is asked for what is in question.
type use struct {
	kind useKind
	// url is the address without a login; for git's short form of ssh one is made up.
	url *url.URL
	// repo is what go hands to git, before insteadOf.
	repo string
	// sure says that this host is asked whatever others answer.
	sure bool
	// likely says that the page before it is certainly asked, and mostly leads here.
	likely bool
	access *route.Access
	direct *route.Direct
	module string
}

// mostQueries bounds the build list that is looked through.
const mostQueries = 400

// inQuestion are the modules that the doctor was asked about, else those of go.mod.
func (c *Case) inQuestion() []route.Query {
	out := c.queries(nil)
	if len(c.Asked) > 0 || c.Machine == nil || c.Machine.GoMod == nil {
		return out
	}
	for _, r := range c.Machine.GoMod.Require {
		if len(out) == mostQueries {
			break
		}
		if len(r.Mod.Path) > longestPath {
			continue
		}
		out = append(out, route.Query{Module: r.Mod.Path, Version: r.Mod.Version})
	}
	return out
}

// uses are the hosts that go and git would ask, each once for each who asks.
func (c *Case) uses() []use {
	var out []use
	for _, u := range c.repositories() {
		i := slices.IndexFunc(out, func(o use) bool {
			return o.kind == u.kind && o.url.Scheme == u.url.Scheme && o.url.Host == u.url.Host
		})
		if i < 0 {
			out = append(out, u)
		} else if u.sure && !out[i].sure || u.likely && !out[i].sure && !out[i].likely {
			out[i] = u
		}
	}
	return out
}

// repositories are the servers that each module in question would be asked of. What
// comes behind another place of the list is asked only where that fails.
func (c *Case) repositories() []use {
	if c.Route.Env == nil {
		return nil
	}
	var out []use
	add := func(u use) {
		if u.url != nil && u.url.Host != "" {
			out = append(out, u)
		}
	}
	for _, q := range c.inQuestion() {
		first := true
		for _, h := range route.Plan(c.Route, q).Hops {
			if h.Passed != nil || h.Kind == route.Off {
				continue
			}
			switch {
			case h.Kind == route.Proxy:
				u, err := url.Parse(h.Base)
				if err == nil {
					add(use{kind: useProxy, url: u, sure: first, access: h.Access, module: q.Module})
				}
			case h.Direct != nil && (first || len(c.Asked) > 0):
				for _, u := range directUses(h.Direct, q.Module, first) {
					add(u)
				}
			}
			first = false
		}
	}
	return out
}

// directUses are the page that go asks for, and the repository where it is known.
func directUses(d *route.Direct, module string, sure bool) []use {
	if u, err := url.Parse(d.Discovery); d.Discovery != "" && err == nil {
		// Most pages name a repository on their own host; which one, only they know.
		return []use{
			{kind: usePage, url: u, sure: sure, access: d.Access, direct: d, module: module},
			{kind: useGit, url: &url.URL{Scheme: "https", Host: u.Host, Path: u.Path}, repo: "https://" + u.Host + u.Path, likely: sure, direct: d, module: module},
		}
	}
	u, err := url.Parse(d.Repo)
	if d.Repo == "" || err != nil {
		return nil
	}
	return []use{{kind: useGit, url: u, repo: d.Repo, sure: sure, direct: d, module: module}}
}

// logins is one look at the places of logins.
type logins struct {
	*Case
	now       time.Time
	netrcFile string
	netrc     []credentials.NetrcLine
	// gitNetrc is the file that git reads: $NETRC is go's alone.
	gitNetrcFile string
	gitNetrc     []credentials.NetrcLine
	git          credentials.Git
	// sshHome is the account's directory: ssh does not read $HOME.
	sshHome  string
	said     []string
	findings []keepwell.Finding
}

// lookCredentials says which login would be used for which host, and what is wrong with
// it. It reads files and asks git and ssh about their settings; nothing goes out.
func lookCredentials(ctx context.Context, c *Case, _ []Outcome) Outcome {
	l := c.logins(ctx)
	for _, u := range c.uses() {
		switch u.kind {
		case useProxy, usePage:
			l.forGo(u)
		case useGit:
			l.forGit(ctx, u)
		}
	}
	l.packagers()
	l.exposed()
	o := Outcome{State: observe.Yes, Key: "doctor.credentials.none", Findings: l.findings}
	if len(l.said) > 0 {
		o.Key, o.Args = "doctor.credentials.uses", []string{strings.Join(l.said, "; ")}
	}
	if slices.ContainsFunc(l.findings, func(f keepwell.Finding) bool { return severity(f) != keepwell.SeverityInfo }) {
		o.State = observe.No
	}
	return o
}

func (c *Case) logins(ctx context.Context) *logins {
	l := &logins{Case: c, now: time.Now()}
	home := c.Settings.Home
	l.sshHome = home
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		l.sshHome = u.HomeDir
	}
	l.netrcFile = credentials.NetrcFile(c.Settings.OS["NETRC"], home)
	l.gitNetrcFile = credentials.NetrcFile("", home)
	if data, err := credentials.ReadFile(l.netrcFile); err == nil {
		l.netrc = credentials.ParseNetrc(data)
	}
	l.gitNetrc = l.netrc
	if l.gitNetrcFile != l.netrcFile {
		l.gitNetrc = nil
		if data, err := credentials.ReadFile(l.gitNetrcFile); err == nil {
			l.gitNetrc = credentials.ParseNetrc(data)
		}
	}
	// Go runs git in its module cache: what the repository here says does not hold there.
	l.git, _ = credentials.LoadGit(ctx, os.TempDir())
	return l
}

// tilde is a path as it is shown: the home directory's name is nobody's business.
func (c *Case) tilde(name string) string {
	sep := string(filepath.Separator)
	if home := c.Settings.Home; home != "" && home != sep && strings.HasPrefix(name, home+sep) {
		name = "~" + sep + strings.TrimPrefix(name, home+sep)
	}
	return mask.Text(name)
}

// uses notes which login a host is sent.
func (l *logins) use(host, key string, args ...string) {
	text := host + ": " + l.Say("doctor.credentials."+key, args...)
	if !slices.Contains(l.said, text) && len(l.said) < 12 {
		l.said = append(l.said, text)
	}
}

// find notes something wrong; facts are pairs.
func (l *logins) find(code keepwell.Code, s keepwell.Severity, facts []string, key string, args ...string) {
	f := keepwell.Finding{
		Code: code, Severity: s, Confidence: 0.9, Owner: keepwell.OwnerYou, Facts: keepwell.Facts{},
		Evidence: []keepwell.Evidence{{Source: "environment", Text: mask.Text(l.Say("doctor.credentials."+key, args...))}},
	}
	if s == keepwell.SeverityWarning {
		f.Confidence = 0.8
	}
	for pair := range slices.Chunk(facts, 2) {
		if keepwell.ValidFact(pair[0], pair[1]) {
			f.Facts[pair[0]] = pair[1]
		}
	}
	l.findings = append(l.findings, f)
}

// who is an account with what its secret looks like.
func (l *logins) who(user string, t credentials.Token) string {
	user = mask.Text(user)
	if user == "" || credentials.Classify(user).Kind != "" {
		user = "***"
	}
	if t.Kind == "" {
		return user
	}
	text := user + ", " + l.Say("token."+t.Kind)
	if !t.Expires.IsZero() {
		text += ", " + l.Say("doctor.credentials.until", t.Expires.UTC().Format(time.DateOnly))
	}
	return text
}

// over notes a token that says itself that it has ended.
func (l *logins) over(u use, place string, t credentials.Token) {
	if t.Expired(l.now) && u.sure {
		l.find("auth/expired-token", keepwell.SeverityWarning, []string{"host", u.url.Hostname()}, "over", place, u.url.Host, t.Expires.UTC().Format(time.RFC3339))
	}
}

func at(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }

// forGo tells what go itself sends.
func (l *logins) forGo(u use) {
	if u.access == nil {
		return
	}
	host := u.url.Host
	sends := false
	for _, source := range u.access.Credential {
		switch source.Source {
		case "netrc":
			line := credentials.ForGo(l.netrc, host+u.url.Path)
			if line == nil {
				continue
			}
			place := at(l.tilde(l.netrcFile), line.Line)
			l.use(host, "netrc", place, l.who(line.Login, line.Token))
			l.over(u, place, line.Token)
		case "url":
			l.use(host, "url", "GOPROXY")
		case "url-refused":
			l.find("proxy/misconfigured", keepwell.SeverityWarning, []string{"proxy", u.url.Hostname()}, "url-refused", host)
		case "git":
			l.use(host, "goauth", "git "+l.tilde(source.Name))
		case "command":
			l.use(host, "goauth", mask.Text(filepath.Base(source.Name)))
		default:
			continue
		}
		sends = true
	}
	if !sends && u.sure {
		l.silent(u)
	}
}

// codeFor is what a missing login brings about.
func (u use) codeFor() keepwell.Code {
	if u.kind == useProxy {
		return "proxy/unauthorized"
	}
	return "auth/git-prompt"
}

// silent looks why a host is sent nothing although the netrc file means it.
func (l *logins) silent(u use) {
	name := u.url.Hostname()
	file := l.tilde(l.netrcFile)
	for _, line := range l.netrc {
		machine := line.Machine
		bare, _, _ := strings.Cut(machine, ":")
		if machine == "" || !strings.EqualFold(bare, name) {
			continue
		}
		key := "port"
		switch goauth := l.Route.Env.Value("GOAUTH"); {
		case !line.Complete:
			key = "incomplete"
		case u.url.Scheme == "http":
			key = "plain"
		case goauth != "" && !slices.Contains(strings.Fields(strings.ReplaceAll(goauth, ";", " ")), "netrc"):
			key = "goauth-off"
		case machine == u.url.Host:
			continue
		}
		facts := []string{"host", name}
		if u.kind == useProxy {
			facts = append(facts, "proxy", name)
		}
		l.find(u.codeFor(), keepwell.SeverityWarning, facts, key, at(file, line.Line), machine, u.url.Host)
		return
	}
}

// forGit tells what git sends, which goes where insteadOf leads.
func (l *logins) forGit(ctx context.Context, u use) {
	if u.direct.VCS != "git" && u.direct.VCS != "" {
		return
	}
	raw, by := l.git.Rewrite(u.repo)
	to := credentials.Remote(raw)
	if to.Host == "" {
		return
	}
	if by != nil {
		l.use(u.url.Host, "rewritten", to.Scheme+"://"+mask.Text(to.Host), l.tilde(by.File))
	}
	switch to.Scheme {
	case "ssh":
		l.forSSH(ctx, u, to)
		return
	case "https", "http":
	default:
		return
	}
	at := &url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}
	if _, ok := credentials.LoginOf(raw); ok && by != nil {
		l.use(to.Host, "url", l.tilde(by.File))
		return
	}
	for _, h := range l.git.Headers(at) {
		l.use(to.Host, "header", h.Shown(), l.tilde(h.File))
	}
	if line := credentials.ForGit(l.gitNetrc, to.Name); line != nil {
		place := fmt.Sprintf("%s:%d", l.tilde(l.gitNetrcFile), line.Line)
		l.use(to.Host, "git-netrc", place, l.who(line.Login, line.Token))
		l.over(u, place, line.Token)
		return
	}
	l.helpers(u, at)
}

// helpers are asked after the host has asked for a login.
func (l *logins) helpers(u use, to *url.URL) {
	found := false
	for _, h := range l.git.Helpers(to) {
		if !h.Plain() {
			found = true
			l.use(to.Host, "helper", h.Name, l.tilde(h.File))
			continue
		}
		for _, file := range h.StoreFiles(l.Settings.Home, l.Settings.OS["XDG_CONFIG_HOME"]) {
			data, err := credentials.ReadFile(file)
			if err != nil {
				continue
			}
			if login, line, ok := credentials.Stored(data, to); ok {
				found = true
				place := at(l.tilde(file), line)
				l.use(to.Host, "store", place, l.who(login.User, login.Token))
				l.over(u, place, login.Token)
			}
		}
	}
	if !u.sure || found {
		return
	}
	for _, line := range l.gitNetrc { // libcurl compares names without their ports
		facts, place := []string{"host", to.Hostname()}, at(l.tilde(l.gitNetrcFile), line.Line)
		switch name, port, ok := strings.Cut(line.Machine, ":"); {
		case !strings.EqualFold(name, to.Hostname()):
		case ok && port == to.Port():
			l.find("auth/git-prompt", keepwell.SeverityWarning, facts, "git-port", place, line.Machine)
		case !line.Complete:
			l.find("auth/git-prompt", keepwell.SeverityWarning, facts, "incomplete", place, line.Machine, to.Host)
		}
	}
}

// exposed notes logins that lie open, whoever they are for.
func (l *logins) exposed() {
	for _, file := range []struct {
		name string
		has  bool
	}{{l.netrcFile, len(l.netrc) > 0}, {l.gitNetrcFile, len(l.gitNetrc) > 0 && l.gitNetrcFile != l.netrcFile}} {
		if file.has && credentials.OthersMayRead(file.name) {
			l.open(l.tilde(file.name))
		}
	}
	for _, h := range l.git.Helpers(nil) {
		if h.Plain() {
			l.find("auth/exposed-login", keepwell.SeverityInfo, []string{"path", l.tilde(h.StoreFiles(l.Settings.Home, l.Settings.OS["XDG_CONFIG_HOME"])[0])}, "plain-store", h.Shown(), l.tilde(h.File))
		}
	}
	for i, s := range l.git.Logins() {
		if i < 3 {
			l.find("auth/exposed-login", keepwell.SeverityInfo, []string{"path", l.tilde(s.File)}, "in-config", s.Shown(), l.tilde(s.File))
		}
	}
	if c := l.Route.Env; c != nil {
		for entry := range strings.FieldsFuncSeq(c.Value("GOPROXY"), func(r rune) bool { return r == ',' || r == '|' }) {
			if u, err := url.Parse(strings.TrimSpace(entry)); err == nil && u.User != nil {
				l.find("auth/exposed-login", keepwell.SeverityInfo, []string{"host", u.Hostname()}, "in-goproxy", u.Host, originOf(c["GOPROXY"], l.tilde))
			}
		}
	}
}

func originOf(s goenv.Setting, tilde func(string) string) string {
	if s.File != "" {
		return tilde(s.File)
	}
	return string(s.Origin)
}

func (l *logins) open(path string) {
	l.find("auth/exposed-login", keepwell.SeverityInfo, []string{"path", path}, "readable", path)
}

// packagers tells the logins of npm and pip, where one of them is in question.
func (l *logins) packagers() {
	for _, tool := range []struct {
		eco     Ecosystem
		marks   []string
		entries []int
	}{{eco: Npm, marks: []string{"package.json"}}, {eco: PyPI, marks: []string{"requirements.txt", "pyproject.toml", "setup.py", "Pipfile"}}} {
		if !l.wants(tool.eco, tool.marks) {
			continue
		}
		entries, name := l.Settings.Npm, "npm"
		if tool.eco == PyPI {
			entries, name = l.Settings.Pip, "pip"
		}
		for _, e := range entries {
			if e.Credential == "" || !e.InForce {
				continue
			}
			host := e.Host
			if host == "" {
				host = "?"
			}
			place := e.Place
			if e.File != "" {
				place = at(l.tilde(e.File), e.Line)
			}
			l.use(host, "packager", name, e.Credential, place)
			if e.Literal && e.File != "" && credentials.OthersMayRead(e.File) {
				l.open(l.tilde(e.File))
			}
		}
	}
}

// wants reports whether an ecosystem is in question: asked for, or at home here.
func (c *Case) wants(eco Ecosystem, marks []string) bool {
	if len(c.Asked) > 0 {
		return slices.ContainsFunc(c.Asked, func(s Subject) bool { return s.Ecosystem == eco })
	}
	return slices.ContainsFunc(marks, func(name string) bool {
		_, err := os.Stat(filepath.Join(c.Settings.Project.Dir, name))
		return err == nil
	})
}
