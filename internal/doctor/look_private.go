package doctor

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

// OpenCodes are the faults whose text cannot tell what is private from what is not
// there: hosts answer the same to both.
func OpenCodes() []keepwell.Code {
	return []keepwell.Code{"module/missing-or-private", "auth/git-prompt", "module/repo-gone", "auth/forbidden", "auth/goprivate-unset", "proxy/not-found", "sum/sumdb-not-found"}
}

// openFinding is the first finding that leaves open whether something is private.
func openFinding(seen []Outcome) *keepwell.Finding {
	for i := range seen {
		if !seen[i].Tried {
			continue
		}
		for j := range seen[i].Findings {
			if f := &seen[i].Findings[j]; slices.Contains(OpenCodes(), f.Code) && severity(*f) != keepwell.SeverityInfo {
				return f
			}
		}
	}
	return nil
}

func wantsPrivate(_ *Case, seen []Outcome) bool { return openFinding(seen) != nil }

// lookPrivate settles whether a module that nobody shows is private, gone or moved.
func lookPrivate(ctx context.Context, c *Case, seen []Outcome) Outcome {
	f := *openFinding(seen)
	path := f.Facts["module"]
	if qs := c.queries(seen); path == "" && len(qs) > 0 {
		path = qs[0].Module
	}
	o := c.SettlePrivate(ctx, path)
	if len(o.Findings) > 0 {
		o.Settles = f.Code
	}
	return o
}

// RepositoryOf is the address that git would be given for a module, its insteadOf rules
// applied; "" where none can be told. Where only a page could tell it, the usual place
// is taken.
func (c *Case) RepositoryOf(git credentials.Git, path string) (repo, raw string) {
	if module.CheckImportPath(path) != nil || c.Route.Env == nil {
		return "", ""
	}
	direct := c.Route // past every proxy
	direct.Env = maps.Clone(direct.Env)
	direct.Env["GOPROXY"] = goenv.Setting{Value: "direct", Origin: goenv.FromOS}
	for _, h := range route.Plan(direct, route.Query{Module: path}).Hops {
		if h.Direct != nil && (h.Direct.VCS == "git" || h.Direct.VCS == "") {
			repo = h.Direct.Repo
		}
	}
	if repo == "" {
		parts := strings.Split(path, "/")
		if len(parts) < 2 || !strings.Contains(parts[0], ".") {
			return "", ""
		}
		repo = "https://" + strings.Join(parts[:min(3, len(parts))], "/")
	}
	raw, _ = git.Rewrite(repo)
	return repo, raw
}

// privateView is what was seen of one module's repository.
type privateView struct {
	// Module and Host are facts; Repo is the address as it is shown.
	Module, Host, Repo string
	// Covered says that GOPRIVATE covers the module.
	Covered bool
	// Asked says that git was asked, Read that it could read the repository with the user's
	// own login.
	Asked, Read bool
	// GitCode is what git's words mean where it could not, GitSaid are they.
	GitCode keepwell.Code
	GitSaid string
	// User is whose login was tried.
	User string
	Seen credentials.Repository
}

// verdict is what a view leads to; no Code where it leaves the question open.
type verdict struct {
	Code       keepwell.Code
	Confidence float64
	Key        string
	Args       []string
	NewPath    string
}

// settle decides. It claims only what a host said of itself.
func settle(v privateView) verdict {
	r := v.Seen
	owner, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(v.Module, v.Host), "/"), "/")
	switch {
	case r.SSO:
		return verdict{"auth/forbidden", 0.95, "sso", []string{v.Host, v.User}, ""}
	case r.Over:
		return verdict{"auth/expired-token", 0.95, "over", []string{v.Host, v.User}, ""}
	case r.Tried && r.WithLogin == 401 && !v.Read:
		return verdict{"auth/expired-token", 0.9, "rejected", []string{v.Host, v.User}, ""}
	case r.Tried && r.WithLogin == 403 && r.Anonymous != 403 && !v.Read:
		return verdict{"auth/forbidden", 0.95, "denied", []string{v.Host, v.User}, ""}
	case r.Moved != "" && r.Anonymous == 200:
		return verdict{"module/moved", 0.85, "moved", []string{v.Repo, r.Moved}, r.Moved}
	case v.Read && r.Anonymous == 200:
		return verdict{Key: "public", Args: []string{v.Repo}}
	case v.Read && r.Anonymous >= 400 && !v.Covered:
		return verdict{"auth/goprivate-unset", 0.95, "readable", []string{v.Repo, strconv.Itoa(r.Anonymous)}, ""}
	case r.API == "github" && r.Owner == 404:
		return verdict{"module/repo-gone", 0.93, "owner", []string{v.Host, owner}, ""}
	case v.GitCode == "auth/git-prompt" && r.Anonymous == 401 && v.Covered:
		return verdict{"auth/git-prompt", 0.9, "wants", []string{v.Host, "401"}, ""}
	case v.GitCode == "auth/forbidden" && r.Anonymous != 403, v.GitCode == "auth/expired-token": // a helper's login, or a key's
		return verdict{v.GitCode, 0.9, "login", []string{v.Host, v.GitSaid}, ""}
	case v.Covered && (v.GitCode == "auth/ssh-key" || v.GitCode == "auth/host-key"):
		return verdict{v.GitCode, 0.9, "login", []string{v.Host, v.GitSaid}, ""}
	}
	return verdict{}
}

// SettlePrivate asks the repository of a module with the user's own git, and its host
// with and without a login. Nothing is asked where no repository can be told.
func (c *Case) SettlePrivate(ctx context.Context, path string) Outcome {
	git, _ := credentials.LoadGit(ctx, os.TempDir())
	repo, raw := c.RepositoryOf(git, path)
	to := credentials.Remote(raw)
	if to.Host == "" || c.Forbidden(to.Name) {
		return Outcome{State: observe.NotChecked, Key: "doctor.private.none"}
	}
	v := privateView{Module: path, Host: to.Name, Repo: mask.Text(raw), Covered: module.MatchPrefixPatterns(c.Settings.Env.Value("GOPRIVATE"), path)}
	c.askGit(ctx, &v, repo)
	if to.Scheme == "https" || to.Scheme == "http" {
		c.askHost(ctx, &v, raw, git)
	}
	s := settle(v)
	o := Outcome{State: observe.NotChecked, Key: "doctor.private.open", Args: []string{v.inShort()}}
	if s.Key == "" {
		return o
	}
	text := c.Say("doctor.private."+s.Key, s.Args...)
	o.State, o.Key, o.Args = observe.Yes, "doctor.private.settled", []string{mask.Text(text)}
	if s.Code == "" {
		return o
	}
	o.State = observe.No
	o.Findings = []keepwell.Finding{c.privateFinding(v, s, text)}
	return o
}

// inShort is what was seen, for a reader who has to go on.
func (v privateView) inShort() string {
	var words []string
	if v.GitSaid != "" {
		words = append(words, "git: "+v.GitSaid)
	}
	if v.Seen.Anonymous != 0 {
		words = append(words, v.Host+": "+strconv.Itoa(v.Seen.Anonymous))
	}
	if len(words) == 0 {
		return v.Host
	}
	return strings.Join(words, "; ")
}

func (c *Case) privateFinding(v privateView, s verdict, text string) keepwell.Finding {
	if v.Seen.ScopesKnown {
		scopes := strings.Join(v.Seen.Scopes, ", ")
		if scopes == "" {
			scopes = "-"
		}
		text += "\n" + c.Say("doctor.private.scopes", scopes)
	}
	f := keepwell.Finding{
		Code: s.Code, Confidence: s.Confidence, Tool: "go", Facts: keepwell.Facts{},
		Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(text)}},
	}
	for name, value := range map[string]string{"module": v.Module, "host": v.Host, "newpath": s.NewPath} {
		if keepwell.ValidFact(name, value) {
			f.Facts[name] = value
		}
	}
	return f
}

// Forbidden reports hosts that are never asked.
func (c *Case) Forbidden(host string) bool {
	_, err := observe.Parse(host, observe.Options{})
	return errors.Is(err, observe.ErrForbidden)
}

// askGit lets git read the repository as go would: with the user's settings, and where
// it would have to ask somebody, not at all.
func (c *Case) askGit(ctx context.Context, v *privateView, repo string) {
	env := []string{"GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never", "GIT_PROTOCOL_FROM_USER=0"}
	if c.Settings.OS["GIT_SSH"] == "" && c.Settings.OS["GIT_SSH_COMMAND"] == "" {
		env = append(env, "GIT_SSH_COMMAND=ssh -o ControlMaster=no -o BatchMode=yes -o ConnectTimeout=4")
	}
	timeout := 4 * time.Second
	if at, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(at))
	}
	if timeout <= 0 {
		return
	}
	ran, err := proc.Run(
		ctx, proc.Options{Dir: os.TempDir(), Timeout: timeout, Env: env},
		"git", "--git-dir="+os.DevNull, "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false", "-c", "core.hooksPath="+os.DevNull, "-c", "core.askPass=", "ls-remote", "-q", repo, "HEAD",
	)
	if err != nil || ran.Late {
		return
	}
	v.Asked, v.Read = true, ran.Exit == 0
	if v.Read {
		return
	}
	v.GitSaid = firstFatal(ran.Output)
	if list := c.diagnose(ctx, ran.Output); len(list) > 0 {
		v.GitCode = list[0].Code
	}
}

// firstFatal is the line that says why.
func firstFatal(out []byte) string {
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "fatal: Could not read from remote") {
			continue // whatever the reason was, it stands before
		}
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "ssh:") || strings.HasPrefix(line, "remote:") || strings.Contains(line, "ermission denied") || strings.Contains(line, "Host key") {
			return mask.Text(line)
		}
	}
	return lastLine(out)
}

// askHost asks the host itself, with the login that lies ready for just this host.
func (c *Case) askHost(ctx context.Context, v *privateView, raw string, git credentials.Git) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	login, ok := c.loginFor(raw, u, git)
	client := credentials.Client{
		Roots: c.Observe.Roots, Now: c.Observe.Now, Proxy: c.Observe.Proxy,
		Refuse: observe.Forbidden, RefuseName: c.Forbidden,
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !ok {
		v.Seen = client.Look(ctx, u, nil)
		return
	}
	v.User = mask.Text(login.User)
	v.Seen = client.Look(ctx, u, &login)
}

// loginFor is the login that git would send and that can be read without a helper: from
// the address, the netrc file, or the file of the helper store.
func (c *Case) loginFor(raw string, u *url.URL, git credentials.Git) (credentials.Login, bool) {
	if l, ok := credentials.LoginOf(raw); ok {
		return l, true
	}
	if data, err := credentials.ReadFile(credentials.NetrcFile("", c.Settings.Home)); err == nil {
		if line := credentials.ForGit(credentials.ParseNetrc(data), u.Hostname()); line != nil && line.Machine != "" {
			return line.LoginFor(u.Host), true
		}
	}
	for _, h := range git.Helpers(u) {
		if !h.Plain() {
			continue
		}
		for _, file := range h.StoreFiles(c.Settings.Home, c.Settings.OS["XDG_CONFIG_HOME"]) {
			data, err := credentials.ReadFile(file)
			if err != nil {
				continue
			}
			if l, _, ok := credentials.Stored(data, u); ok {
				return l, true
			}
		}
	}
	return credentials.Login{}, false
}
