package doctor

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/proc"
)

// vcsLook is one look at the tools that fetch sources.
type vcsLook struct {
	*Case
	findings []keepwell.Finding
	said     string
}

func (l *vcsLook) find(code keepwell.Code, s keepwell.Severity, facts []string, key string, args ...string) {
	text := mask.Text(l.Say("doctor.vcs."+key, args...))
	f := keepwell.Finding{
		Code: code, Severity: s, Confidence: 0.9, Owner: keepwell.OwnerYou, Facts: keepwell.Facts{}, Tool: "go",
		Evidence: []keepwell.Evidence{{Source: "environment", Text: text}},
	}
	for i := 0; i+1 < len(facts); i += 2 {
		if keepwell.ValidFact(facts[i], facts[i+1]) {
			f.Facts[facts[i]] = facts[i+1]
		}
	}
	l.findings = append(l.findings, f)
	if s != keepwell.SeverityInfo {
		l.said = text
	}
}

// lookVCS looks at git and hg where the way leads to a repository, and at whether git
// would read the checkout that go build takes the commit from.
func lookVCS(ctx context.Context, c *Case, _ []Outcome) Outcome {
	l := &vcsLook{Case: c}
	uses := c.vcsUses()
	l.tools(uses)
	version := ""
	if path, err := exec.LookPath("git"); err == nil {
		version = gitVersion(ctx, path)
		l.age(uses, version)
		l.rewrites(ctx, uses)
	}
	o := Outcome{State: observe.Yes, Key: "doctor.vcs.fine", Args: []string{version}}
	needed := slices.ContainsFunc(c.repositories(), func(u use) bool { return u.kind == useGit && (u.sure || u.likely) })
	if version == "" || !needed {
		o.Key, o.Args = "doctor.vcs.unneeded", nil
	}
	if refused := l.ownership(ctx); refused {
		// go build would run just this and stop: it counts as the real command.
		o.Tried = true
	}
	o.Findings = l.findings
	if l.said != "" {
		o.State, o.Key, o.Args = observe.No, "doctor.vcs.bad", []string{l.said}
	}
	return o
}

// vcsUses are the repositories that go would certainly fetch from.
func (c *Case) vcsUses() []use {
	var out []use
	for _, u := range c.repositories() {
		if u.sure && u.direct != nil && u.direct.VCS != "" && u.direct.VCS != "mod" {
			out = append(out, u)
		}
	}
	return out
}

func (l *vcsLook) tools(uses []use) {
	missing := map[string]bool{}
	forbidden := 0
	for _, u := range uses {
		d := u.direct
		if d.Problem != nil && d.Problem.Code == "vcs-forbidden" {
			if forbidden++; forbidden <= 3 {
				l.find("vcs/disallowed", keepwell.SeverityError, []string{"module", u.module, "tool", d.VCS}, "forbidden", d.Problem.Value, d.VCS, u.module)
			}
			continue
		}
		if _, err := exec.LookPath(d.VCS); err != nil && !missing[d.VCS] {
			missing[d.VCS] = true
			l.find("vcs/tool-missing", keepwell.SeverityError, []string{"module", u.module, "tool", d.VCS, "host", u.url.Hostname()}, "missing", d.VCS, u.url.Host)
		}
	}
}

var gitNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`git version (\d+\.\d+(?:\.\d+)?)`) })

func gitVersion(ctx context.Context, path string) string {
	out, err := proc.Output(ctx, proc.Options{Timeout: 3 * time.Second}, path, "version")
	if err != nil {
		return ""
	}
	m := gitNumber().FindSubmatch(out)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// age: go 1.26 calls git with an option that came with git 2.24.
func (l *vcsLook) age(uses []use, version string) {
	if len(uses) == 0 || version == "" || l.Machine == nil || l.Machine.GoVersion == "" {
		return
	}
	if older(version, "2.24") && !older(l.Machine.GoVersion, "1.26") {
		l.find("vcs/other", keepwell.SeverityWarning, []string{"tool", "git"}, "old", version, l.Machine.GoVersion)
	}
}

func older(a, b string) bool { return semver.Compare("v"+a, "v"+b) < 0 }

// rewrites tells where git goes to another host than go says.
func (l *vcsLook) rewrites(ctx context.Context, uses []use) {
	if len(uses) == 0 {
		return
	}
	git, err := credentials.LoadGit(ctx, os.TempDir())
	if err != nil {
		return
	}
	for _, u := range uses {
		raw, by := git.Rewrite(u.repo)
		to := credentials.Remote(raw)
		if by == nil || to.Host == "" || strings.EqualFold(to.Name, u.url.Hostname()) {
			continue
		}
		l.find("vcs/git-config", keepwell.SeverityInfo, []string{"module", u.module, "host", u.url.Hostname()}, "elsewhere", to.Host, u.url.Host, by.Shown()+", "+l.tilde(by.File))
	}
}

// ownership asks git itself whether it reads the repository around the project: go build
// does, to stamp a program with its commit.
func (l *vcsLook) ownership(ctx context.Context) bool {
	if !l.wantsGo() || len(l.Asked) > 0 || strings.Contains(l.Settings.Env.Value("GOFLAGS"), "-buildvcs=false") {
		return false
	}
	dir := l.projectDir()
	root := repositoryOf(dir)
	if root == "" || !foreign(root) {
		return false
	}
	ran, err := proc.Run(ctx, proc.Options{Dir: dir, Timeout: 3 * time.Second}, "git", "rev-parse", "--git-dir")
	if err != nil || ran.Exit == 0 || !strings.Contains(string(ran.Output), "dubious ownership") {
		return false
	}
	sure := hasProgram(dir)
	severity := keepwell.SeverityInfo
	if sure {
		severity = keepwell.SeverityError
	}
	l.find("vcs/ownership", severity, []string{"path", l.tilde(root)}, "owner", l.tilde(root))
	return sure
}

// repositoryOf is the nearest directory above that holds a .git.
func repositoryOf(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// foreign reports whether a repository belongs to another user, as far as the system
// says: git is asked only then.
func foreign(root string) bool {
	for _, name := range []string{root, filepath.Join(root, ".git")} {
		info, err := os.Lstat(name)
		if err != nil {
			continue
		}
		if uid, ok := credentials.Owner(info); ok && uid != os.Geteuid() {
			return true
		}
	}
	return false
}

// mostEntries bounds the search for a program.
const mostEntries = 2000

// hasProgram reports whether the module has a package main: only programs are stamped.
func hasProgram(dir string) bool {
	found, seen := false, 0
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is passed over
		}
		if seen++; found || seen > mostEntries {
			return fs.SkipAll
		}
		base := d.Name()
		if d.IsDir() {
			if name != dir && (base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		if data, err := credentials.ReadFile(name); err == nil && mainPackage().Match(data) {
			found = true
		}
		return nil
	})
	return found
}

var mainPackage = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^package main\b`) })
