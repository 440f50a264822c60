package doctor

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/scratch"
)

// mostAsked bounds the packages of npm and pip that are fetched in one call.
const mostAsked = 4

// asked are the subjects of one ecosystem.
func (c *Case) asked(e Ecosystem) []Subject {
	var out []Subject
	for _, s := range c.Asked {
		if s.Ecosystem == e && len(out) < mostAsked {
			out = append(out, s)
		}
	}
	return out
}

// wantsNpm reports whether npm is in question: a package of its, or a project that is
// npm's and not go's.
func (c *Case) wantsNpm() bool {
	return len(c.asked(Npm)) > 0 || len(c.Asked) == 0 && !c.wantsGo() && c.exists("package.json")
}

// tryTool is what a real tool did in a directory of its own.
type tryTool struct {
	id, dir string
	began   time.Time
	run     toolRun
	// key and args replace the words of success.
	key  string
	args []string
	// listing says that only descriptions of packages were fetched, no packages.
	listing bool
	server  func() string
}

// outcome reads a run as lookFetch does: what the tool said leads.
func (c *Case) outcome(t tryTool) Outcome {
	r := t.run
	o := Outcome{State: observe.Yes, Key: cmp.Or(t.key, "doctor."+t.id+".fine"), Args: t.args, Tried: true, Works: r.ok(), Findings: atFault(r.findings, r.ok())}
	took := time.Since(t.began)
	seconds := number(int(took.Round(time.Second).Seconds()))
	switch {
	case r.ok():
	case r.Late && t.listing && largest(t.dir) > endless:
		o.State, o.Key = observe.No, "doctor."+t.id+".bad"
		o.Findings = []keepwell.Finding{waitedFor(t, "proxy/bad-response", 0.75, c.Say("doctor."+t.id+".endless", number(endless>>20)))}
	case r.Late && steady(t.dir, took):
		o.Key, o.Args, o.Works, o.Findings = "doctor."+t.id+".running", []string{seconds}, true, nil
	case r.Late && len(o.Findings) == 0:
		o.State, o.Key, o.Args, o.Hung = observe.No, "doctor."+t.id+".hung", []string{seconds}, true
		o.Findings = []keepwell.Finding{c.silentServer(t.id, c.Say(o.Key, o.Args...))}
		if server := t.server(); server != "" {
			o.Findings = []keepwell.Finding{waitedFor(t, "net/slow", 0.8, c.Say("doctor."+t.id+".waits", mask.Text(server), seconds))}
		}
	case len(o.Findings) == 0:
		o.State, o.Key, o.Args, o.Tried = observe.NotChecked, "doctor."+t.id+".unknown", []string{lastLine(r.Output)}, false
	default:
		o.State, o.Key = observe.No, "doctor."+t.id+".bad"
	}
	return o
}

// endless is more than any registry says about a package.
const endless = 32 << 20

// largest is the size of the largest file below dir.
func largest(dir string) (most int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what has gone meanwhile does not count
		}
		if info, err := d.Info(); err == nil {
			most = max(most, info.Size())
		}
		return nil
	})
	return most
}

// waitedFor is what is known of a tool that did not end.
func waitedFor(t tryTool, code keepwell.Code, confidence float64, text string) keepwell.Finding {
	f := keepwell.Finding{Code: code, Severity: keepwell.SeverityError, Confidence: confidence, Tool: t.id, Facts: keepwell.Facts{}}
	f.Evidence = []keepwell.Evidence{{Source: "tool", Text: text}}
	if u, err := url.Parse(t.server()); err == nil && keepwell.ValidFact("host", u.Hostname()) {
		f.Facts["host"] = u.Hostname()
	}
	return f
}

// silentServer is all that can be said of a tool that did not end and said nothing.
func (c *Case) silentServer(tool, text string) keepwell.Finding {
	f := keepwell.Finding{Code: "net/slow", Confidence: 0.6, Tool: tool, Facts: keepwell.Facts{}, Evidence: []keepwell.Evidence{{Source: "tool", Text: text}}}
	for _, base := range map[string][]string{"npm": c.Observe.Npm, "pip": c.Observe.PyPI}[tool] {
		if u, err := url.Parse(base); err == nil && keepwell.ValidFact("host", u.Hostname()) {
			f.Facts["host"] = u.Hostname()
			break
		}
	}
	return f
}

// atFault leaves out what a tool mentioned although it succeeded.
func atFault(list []keepwell.Finding, ok bool) []keepwell.Finding {
	if ok {
		return nil
	}
	return list
}

// lookNpm lets the real npm fetch what is in question into a directory of its own. No
// script of a package is run.
func lookNpm(ctx context.Context, c *Case, _ []Outcome) Outcome {
	if _, err := exec.LookPath("npm"); err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.npm.none"}
	}
	if f, ok := c.npmCache(); ok {
		return Outcome{State: observe.No, Key: "doctor.npm.cache", Tried: true, Findings: []keepwell.Finding{f}}
	}
	if variable, host := c.borrows(); variable != "" {
		return Outcome{State: observe.NotChecked, Key: "doctor.npm.borrows", Args: []string{variable, mask.Text(host)}}
	}
	subjects := c.asked(Npm)
	if len(subjects) == 0 {
		if key := c.npmLeftAlone(); key != "" {
			return Outcome{State: observe.NotChecked, Key: key}
		}
		if c.npmInstalled(ctx) {
			return Outcome{State: observe.Yes, Key: "doctor.npm.installed", Tried: true, Works: true}
		}
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.fetch.scratch", Args: []string{mask.Text(err.Error())}}
	}
	defer scratch.Remove(dir)
	t := tryTool{id: "npm", dir: dir, began: time.Now(), server: func() string { return c.npmSetting("registry") }}
	env := c.npmEnv(dir)
	if len(subjects) == 0 {
		t.listing = !c.npmLocked()
		t.run = c.npmProject(ctx, dir, env)
		return c.outcome(t)
	}
	copyFiles(c.Dir, dir, ".npmrc")
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{\"private\":true}\n"), 0o600); err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.fetch.scratch", Args: []string{mask.Text(err.Error())}}
	}
	for _, s := range subjects {
		t.listing = true
		if t.run = c.npm(ctx, dir, env, "install", "--dry-run", "--no-package-lock", s.String()); !t.run.ok() {
			break
		}
		// What install did not fetch: the package itself.
		t.listing = false
		if t.run = c.npm(ctx, dir, env, "pack", s.String()); !t.run.ok() {
			break
		}
	}
	return c.outcome(t)
}

// npm runs npm so that nothing of a package is run, nobody is told and nothing asked.
func (c *Case) npm(ctx context.Context, dir string, env []string, args ...string) toolRun {
	return c.runTool(ctx, dir, env, "npm", append(args, "--ignore-scripts", "--no-audit", "--no-fund")...)
}

// npmEnv has npm tell at once what it meets, and keeps it from writing beside dir. A
// machine that works offline needs its own cache, which npm does not write to then.
func (c *Case) npmEnv(dir string) []string {
	env := []string{
		"npm_config_fetch_retries=0", "npm_config_ignore_scripts=true", "npm_config_audit=false", "npm_config_fund=false",
		"npm_config_update_notifier=false", "npm_config_logs_max=0", "npm_config_progress=false", "npm_config_color=false",
		"npm_config_node_options=", "npm_config_git=git", // a project's .npmrc may name programs
	}
	if v := c.npmSetting("offline"); v != "true" {
		env = append(env, "npm_config_cache="+filepath.Join(dir, "cache"))
	}
	return env
}

// npmSetting is npm's setting in force; "" where nothing sets it.
func (c *Case) npmSetting(name string) string {
	for _, e := range c.Settings.Npm {
		if e.Name == name && e.InForce {
			return e.Value
		}
	}
	return ""
}

// npmCache looks at npm's own cache, which the try does not use.
func (c *Case) npmCache() (keepwell.Finding, bool) {
	at := cmp.Or(c.Settings.OS["npm_config_cache"], c.Settings.OS["NPM_CONFIG_CACHE"])
	if at == "" && c.Settings.Home != "" {
		at = filepath.Join(c.Settings.Home, ".npm")
	}
	if !filepath.IsAbs(at) {
		return keepwell.Finding{}, false
	}
	for _, sub := range []string{"", "_cacache"} {
		path := filepath.Join(at, sub)
		there, err := existing(path)
		if err != nil || sub != "" && there != path {
			continue
		}
		if f, ok := c.unwritable(directory{name: "npm cache", path: path}, there); ok {
			f.Tool = "npm"
			delete(f.Facts, "setting")
			return f, true
		}
	}
	return keepwell.Finding{}, false
}

// npmFiles are what a project is tried with.
func npmFiles() []string {
	return []string{"package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"}
}

// npmLeftAlone names why a project is not tried: it is another manager's, or needs more
// than a registry, or fetching it would run what it names.
func (c *Case) npmLeftAlone() string {
	var all []byte
	for _, name := range npmFiles()[:3] {
		data, err := readRegular(filepath.Join(c.Dir, name), 32<<20)
		if err == nil {
			all = append(all, data...)
		}
	}
	data, err := readRegular(filepath.Join(c.Dir, "package.json"), largestMod)
	if err != nil {
		return "doctor.npm.unreadable"
	}
	parsed, err := parsePackageJSON(data)
	locked := c.npmLocked()
	switch {
	case err != nil:
		return "doctor.npm.unreadable"
	case !locked && (c.exists("yarn.lock") || c.exists("pnpm-lock.yaml") || c.exists("bun.lock") || c.exists("bun.lockb")),
		parsed.PackageManager != "" && !strings.HasPrefix(parsed.PackageManager, "npm@"):
		return "doctor.npm.other"
	case len(parsed.Workspaces) > 0:
		return "doctor.npm.workspaces"
	}
	for _, mark := range []string{`"git+`, `"git:`, `"github:`, `"gitlab:`, `"bitbucket:`, `"gist:`, `"file:`, `"link:`, `.git"`, `.git#`, `"link": true`} {
		if bytes.Contains(all, []byte(mark)) && !gitOnlyAsHomepage(parsed, all, mark) {
			return "doctor.npm.elsewhere"
		}
	}
	for _, list := range []map[string]string{parsed.Dependencies, parsed.DevDependencies, parsed.OptionalDependencies} {
		for _, v := range list {
			if strings.Contains(v, "/") && !strings.HasPrefix(v, "npm:") {
				return "doctor.npm.elsewhere"
			}
		}
	}
	return ""
}

// gitOnlyAsHomepage reports whether a mark of git stands in package.json's own
// description ("repository") only.
func gitOnlyAsHomepage(p packageJSON, all []byte, mark string) bool {
	if strings.Contains(mark, "file") || strings.Contains(mark, "link") {
		return false
	}
	for _, list := range []map[string]string{p.Dependencies, p.DevDependencies, p.OptionalDependencies} {
		for _, v := range list {
			if strings.Contains(`"`+v+`"`, mark) {
				return false
			}
		}
	}
	return !bytes.Contains(all, []byte(`"resolved": "git`)) && !bytes.Contains(all, []byte(`"resolved":"git`))
}

// npmInstalled asks npm, which asks nobody, whether node_modules is what package.json
// wants.
func (c *Case) npmInstalled(ctx context.Context) bool {
	if info, err := os.Stat(filepath.Join(c.Dir, "node_modules")); err != nil || !info.IsDir() {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	return c.runTool(limited, c.Dir, []string{"npm_config_offline=true", "npm_config_logs_max=0", "npm_config_update_notifier=false"}, "npm", "ls", "--json").ok()
}

// npmProject tries a copy of the project: what its lock file names, else what npm would
// choose.
func (c *Case) npmProject(ctx context.Context, dir string, env []string) toolRun {
	copyFiles(c.Dir, dir, npmFiles()...)
	if c.npmLocked() {
		return c.npm(ctx, dir, env, "ci")
	}
	return c.npm(ctx, dir, env, "install", "--dry-run", "--no-package-lock")
}

func (c *Case) npmLocked() bool {
	return c.exists("package-lock.json") || c.exists("npm-shrinkwrap.json")
}

// copyFiles copies those files that are there.
func copyFiles(from, to string, names ...string) {
	for _, name := range names {
		if data, err := readRegular(filepath.Join(from, name), 64<<20); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
	}
}

// registries are the servers that npm and pip would ask.
func (c *Case) registries(ctx context.Context) []observe.Target {
	var out []observe.Target
	add := func(t observe.Target, err error) {
		if err == nil && !slices.ContainsFunc(out, func(o observe.Target) bool { return o.String() == t.String() }) {
			out = append(out, t)
		}
	}
	if c.wantsNpm() && c.npmSetting("offline") != "true" {
		names := []string{""}
		if subjects := c.asked(Npm); len(subjects) > 0 {
			names = nil
			for _, s := range subjects {
				names = append(names, s.Path)
			}
		}
		for _, name := range names {
			if base := c.npmRegistry(ctx, name); base != "" {
				add(observe.NpmRegistry(base, "", c.Observe))
			}
		}
	}
	if c.wantsPip() {
		if base := c.pipIndex(ctx); base != "" {
			add(observe.PyPIIndex(base, "", c.Observe))
		}
	}
	return out
}

// npmRegistry is where npm looks for a package.
func (c *Case) npmRegistry(ctx context.Context, name string) string {
	if scope, _, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(scope, "@") {
		if v := c.npmSetting(scope + ":registry"); v != "" {
			return v
		}
	}
	if v := c.npmSetting("registry"); v != "" {
		return v
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return ""
	}
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r := c.runTool(limited, c.Dir, []string{"npm_config_logs_max=0", "npm_config_update_notifier=false"}, "npm", "config", "get", "registry")
	if !r.ok() {
		return ""
	}
	return strings.TrimSpace(string(r.Stdout))
}
