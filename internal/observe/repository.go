package observe

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/proc"
)

// ErrRepository is what [Repository] says of an address that it does not take.
var ErrRepository = errors.New("not an https, http, ssh or git address of a repository")

// scp matches git's short form of an ssh address: USER@HOST:PATH.
var scp = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([A-Za-z0-9_][\w.-]*)@([A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\]):([^:].*)$`)
})

func isRepository(arg string) bool {
	if scp().MatchString(arg) {
		return true
	}
	u, err := url.Parse(strings.TrimPrefix(arg, "git+"))
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "ssh" || u.Scheme == "git" || strings.HasPrefix(arg, "git+") ||
		(u.Scheme == "https" || u.Scheme == "http") && strings.HasSuffix(strings.TrimRight(u.Path, "/"), ".git")
}

// Repository is the target for a git repository: an https, http, ssh or git URL, the
// same with git+ before it, or USER@HOST:PATH. Credentials are dropped; the user of
// an ssh address is none.
func Repository(raw string, o Options) (Target, error) {
	address := strings.TrimPrefix(raw, "git+")
	if m := scp().FindStringSubmatch(address); m != nil {
		address = "ssh://" + m[1] + "@" + m[2] + "/" + strings.TrimPrefix(m[3], "/")
	}
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || strings.Contains(address, "=") || u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || strings.ContainsAny(u.Hostname(), " \t%") {
		return Target{}, ErrRepository
	}
	port := map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418"}[u.Scheme]
	if port == "" {
		return Target{}, ErrRepository
	}
	t := Target{Host: u.Hostname(), Port: cmp.Or(u.Port(), port)}
	if n, err := strconv.ParseUint(t.Port, 10, 16); err != nil || n == 0 {
		return Target{}, ErrRepository
	}
	if forbiddenHost(t.Host) {
		return Target{}, fmt.Errorf("%s: %w", t.Host, ErrForbidden)
	}
	clean := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if name := u.User.Username(); name != "" && u.Scheme == "ssh" {
		if strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\"'`$;&|<>\\") {
			return Target{}, ErrRepository
		}
		clean.User = url.User(name)
	} else if u.User != nil {
		t.Private = true
	}
	t.URL, t.Repo = clean, clean.String()
	t.Token, t.Ask = o.loginFor(clean) != "", len(o.Resolvers)+len(o.Second) > 0
	return t, t.through(o)
}

// gitSettings are what git's own settings say about an address.
type gitSettings struct {
	helper string // the credential helper's name; "" none
	netrc  bool   // there is a netrc file
	header bool   // http.extraHeader is set for it
	absent bool   // the helper's program is not there
}

// own says in a word which credentials git would have of its own.
func (g gitSettings) own() string {
	switch {
	case g.header:
		return "http.extraHeader"
	case g.helper != "":
		return "credential.helper=" + g.helper
	case g.netrc:
		return "netrc"
	}
	return ""
}

// client asks git and ssh what they make of the address: where it really leads, and
// with which credentials or keys. Neither connects anywhere for that.
func (s *session) client(ctx context.Context) []Result {
	if _, err := exec.LookPath("git"); err != nil {
		facts := s.facts("tool", "git")
		return []Result{{State: No, Key: "probe.vcs.missing", Args: []string{"git"}, Code: "vcs/tool-missing", Facts: facts}}
	}
	to, text, err := s.runGit(ctx, nil, "ls-remote", "--get-url", s.target.Repo)
	if err != nil {
		return []Result{{State: No, Key: "probe.vcs.settings", Code: "vcs/git-config", Said: gitSaid(text, err), Facts: s.repoFacts(), Tool: "git"}}
	}
	r := Result{State: Yes, Key: "probe.client.same"}
	if to := strings.TrimSpace(to); to != s.target.Repo {
		t, err := Repository(to, s.Options)
		r.Key, r.Args = "probe.client.elsewhere", []string{clip(to)}
		if err != nil {
			r.State, r.Code, r.Facts, r.Tool = No, "vcs/git-config", s.repoFacts(), "git"
			return []Result{r}
		}
		t.Private = t.Private || s.target.Private
		s.target = t
	}
	if s.target.URL.Scheme == "ssh" {
		told := s.askSSH(ctx)
		if told[0].State == No {
			return told
		}
		return append([]Result{r}, told...)
	}
	s.askGit(ctx)
	switch own := s.git.own(); {
	case own != "" && s.git.absent && !s.git.header:
		r.Args = append(r.Args, own)
		r.Key += ".nohelper"
	case own != "":
		r.Args = append(r.Args, own)
		r.Key += ".login"
	}
	return []Result{r}
}

// askGit reads which credentials git has for the address; their values are not kept.
func (s *session) askGit(ctx context.Context) {
	for _, section := range []string{"credential", "http"} {
		out, _, err := s.runGit(ctx, nil, "config", "-z", "--get-urlmatch", section, s.target.Repo)
		if err != nil {
			continue // nothing is set
		}
		for entry := range strings.SplitSeq(out, "\x00") {
			switch name, value, _ := strings.Cut(entry, "\n"); {
			case strings.HasSuffix(name, ".helper") && value != "":
				s.git.helper = helperName(value)
			case strings.HasSuffix(name, ".extraheader") && value != "":
				s.git.header = true
			case strings.HasSuffix(name, ".sslcainfo"):
				s.trust(value)
			}
		}
	}
	s.trust(s.getenv("GIT_SSL_CAINFO"))
	s.git.absent = s.git.helper != "" && !s.helperThere(ctx)
	_, ok := s.netrc()
	s.git.netrc = ok
}

// trust takes the roots that git is told to trust in place of the machine's.
func (s *session) trust(file string) {
	b, err := os.ReadFile(s.tilde(file))
	if err != nil || s.Roots != nil && !s.ownRoots {
		return
	}
	if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(b) {
		s.Roots, s.ownRoots = pool, true
	}
}

// helperThere reports whether git would find its credential helper.
func (s *session) helperThere(ctx context.Context) bool {
	program := "git-credential-" + s.git.helper
	if s.git.helper == "(…)" {
		return true // a command of one's own
	}
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	out, err := proc.Output(ctx, proc.Options{Timeout: s.Each}, "git", "--exec-path")
	if err != nil {
		return true
	}
	for _, end := range []string{"", ".exe"} {
		if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), program+end)); err == nil {
			return true
		}
	}
	return false
}

// helperName is a helper's name; one that is a command may hold a secret.
func helperName(value string) string {
	name := strings.TrimSuffix(path.Base(strings.ReplaceAll(strings.Fields(value + " -")[0], `\`, "/")), ".exe")
	if strings.HasPrefix(value, "!") || strings.ContainsAny(strings.Fields(value + " -")[0], `/\`) || name == "-" || !keepwell.ValidFact("tool", name) {
		return "(…)"
	}
	return strings.TrimPrefix(name, "git-credential-")
}

// netrc is the home directory whose netrc file curl would read for git.
func (s *session) netrc() (home string, ok bool) {
	home = cmp.Or(s.getenv("HOME"), s.getenv("USERPROFILE"))
	for _, name := range []string{".netrc", "_netrc"} {
		if _, err := os.Stat(filepath.Join(home, name)); err == nil && home != "" {
			return home, true
		}
	}
	return home, false
}

func (s *session) getenv(name string) string {
	value := os.Getenv(name)
	for _, entry := range s.Env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// runGit runs git outside any repository, without prompts, hooks and monitors. text
// is what it wrote to standard error.
func (s *session) runGit(ctx context.Context, env []string, args ...string) (out, text string, err error) {
	var errs bytes.Buffer
	safe := []string{
		"--git-dir=" + os.DevNull, "-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never",
		"-c", "core.askPass=", "-c", "http.followRedirects=false", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=4",
	}
	opts := proc.Options{Dir: os.TempDir(), Timeout: s.Each, MaxOut: 1 << 20, Env: append(s.gitEnv(), env...), Stderr: &errs}
	b, err := proc.Output(ctx, opts, "git", append(safe, args...)...)
	return string(b), errs.String(), err
}

// gitEnv keeps git and ssh from asking anybody.
func (s *session) gitEnv() []string {
	command := s.getenv("GIT_SSH_COMMAND")
	if program := s.getenv("GIT_SSH"); command == "" && program != "" {
		command = "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	}
	if words := s.plainSSH(); words != nil {
		if command == "" || s.getenv("GIT_SSH_COMMAND") != "" {
			command = words[0]
		}
		command += " " + strings.Join(append(s.quietSSH(), words[1:]...), " ")
	}
	return append(slices.Clip(s.Env), "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never", "GIT_SSH_COMMAND="+command)
}

// mayLogIn says whether git may use its own credentials: never without TLS, nor where
// another host answers.
func (s *session) mayLogIn() bool {
	return s.GitLogin && s.target.URL.Scheme == "https" && s.moved == nil
}

// getOnly is a credential helper that asks the user's own ones and never has them forget
// a login: git tells its helpers to erase one that was refused.
const getOnly = `!f() { test "$1" = get && unset GIT_CONFIG_PARAMETERS && git credential fill; }; f`

// vcs reads the repository's HEAD as go would let git do it.
func (s *session) vcs(ctx context.Context) []Result {
	began := time.Now()
	address := s.target.Repo
	if s.moved != nil {
		address = s.moved.String()
	}
	// The longest match wins: no other insteadOf, which may hold a token, is applied again.
	args := []string{"-c", "url." + address + ".insteadOf=" + address}
	var env []string
	if !s.mayLogIn() && s.target.URL.Scheme != "ssh" {
		args = append(args, "-c", "credential.helper=", "-c", "http."+address+".extraHeader=", "-c", "http.cookieFile=")
		var done func()
		env, done = s.withoutNetrc()
		defer done()
	} else if s.git.helper != "" {
		args = append(args, "-c", "credential.helper=", "-c", "credential.helper="+getOnly)
	}
	out, text, err := s.runGit(ctx, env, append(args, "ls-remote", "-q", address, "HEAD")...)
	r := Result{State: Yes, Key: "probe.vcs.head", Took: time.Since(began), Tool: "git"}
	if err == nil {
		hash, _, _ := strings.Cut(out, "\t")
		if r.Args = []string{hash[:min(len(hash), 12)]}; hash == "" {
			r.Key, r.Args = "probe.vcs.empty", nil
		}
		return []Result{r}
	}
	r.State, r.Said, r.Facts, r.Key = No, gitSaid(text, err), s.repoFacts(), "probe.vcs.failed"
	if ctx.Err() != nil || timedOut(err) {
		r.Code, r.Key, r.Said = "net/slow", "probe.vcs.timeout", ""
		return []Result{r}
	}
	if r.Code = gitFault(text, s.mayLogIn()); r.Code == "auth/git-prompt" {
		r.Rival = "module/missing-or-private" // forges ask for a login in both cases
	}
	if own := s.git.own(); r.Code == "auth/git-prompt" && !s.mayLogIn() && (own != "" || s.target.Private) {
		return []Result{{State: NotChecked, Key: "probe.vcs.private", Args: []string{cmp.Or(own, "URL")}}}
	}
	return []Result{r}
}

// withoutNetrc is an environment that gives git a home without netrc, with the user's
// settings in it. The caller runs done at the end.
func (s *session) withoutNetrc() (env []string, done func()) {
	home, ok := s.netrc()
	if !ok {
		return nil, func() {}
	}
	empty, err := os.MkdirTemp("", "keepwell-git-")
	done = func() { _ = os.Remove(empty) }
	if err != nil {
		empty, done = os.DevNull, func() {}
	}
	env = []string{"HOME=" + empty, "USERPROFILE=" + empty, "NETRC=" + os.DevNull}
	if s.getenv("GIT_CONFIG_GLOBAL") == "" {
		env = append(env, "GIT_CONFIG_GLOBAL="+filepath.Join(home, ".gitconfig"))
	}
	return env, done
}

// repoFacts are those of the repository.
func (s *session) repoFacts(pairs ...string) keepwell.Facts {
	address := strings.TrimSuffix(strings.Trim(s.target.URL.Path, "/"), ".git")
	shown := *s.target.URL
	if shown.Scheme != "ssh" {
		shown.User = nil
	}
	if s.target.URL.Port() == "" { // commands made of a module's path ask the usual port
		pairs = append(pairs, "module", s.target.Host+"/"+address)
	}
	return s.facts(append(pairs, "url", shown.String(), "tool", "git")...)
}

// gitSaid is the decisive line of what git said, else the error.
func gitSaid(text string, err error) string {
	decisive := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch lower := strings.ToLower(line); {
		case line == "" || strings.HasPrefix(lower, "please make sure") || strings.HasPrefix(lower, "and the repository exists") ||
			strings.HasPrefix(lower, "fatal: could not read from remote") || strings.Trim(line, "@ ") == "":
		case decisive == "" || strings.HasPrefix(lower, "fatal:") && !strings.HasPrefix(decisive, "remote:"):
			decisive = line
		}
	}
	if decisive == "" {
		return said(err)
	}
	return clip(decisive)
}

// gitWords are git's, curl's and ssh's words in the C locale, most telling first.
func gitWords() [][2]string {
	return [][2]string{
		{"remote host identification has changed", "auth/host-key"},
		{"host key verification failed", "auth/host-key"},
		{"host key is known for", "auth/host-key"},
		{"permission denied (", "auth/ssh-key"},
		{"too many authentication failures", "auth/ssh-key"},
		{"repository not found", "module/repo-gone"},
		{"does not appear to be a git repository", "module/repo-gone"},
		{"could not be found or you don't have permission", "module/missing-or-private"},
		{"access denied or repository not exported", "module/repo-gone"},
		{"terminal prompts disabled", "auth/git-prompt"},
		{"could not read username", "auth/git-prompt"},
		{"could not read password", "auth/git-prompt"},
		{"authentication failed", "auth/expired-token"},
		{"returned error: 401", "auth/git-prompt"},
		{"returned error: 403", "auth/forbidden"},
		{"returned error: 429", "proxy/rate-limited"},
		{"returned error: 5", "vcs/server-error"},
		{"is this a git repository", "module/repo-gone"},
		{"' not found", "module/repo-gone"},
		{"internal server error", "vcs/server-error"},
		{"unable to update url base from redirection", "module/moved"},
		{"could not resolve proxy", "net/http-proxy"},
		{"could not resolve host", "net/dns"},
		{"from proxy after connect", "net/http-proxy"},
		{"certificate has expired", "tls/expired"},
		{"server certificate verification failed", "tls/unknown-authority"},
		{"ssl certificate problem", "tls/unknown-authority"},
		{"no alternative certificate subject name", "tls/name-mismatch"},
		{"connection refused", "net/refused"},
		{"connection timed out", "net/timeout"},
		{"operation too slow", "net/slow"},
		{"connection reset", "net/reset"},
		{"cannot run ssh", "vcs/tool-missing"},
		{"not allowed", "vcs/git-config"},
		{"bad config", "vcs/git-config"},
		{"early eof", "vcs/transfer"},
		{"rpc failed", "vcs/transfer"},
		{"hung up unexpectedly", "vcs/transfer"},
		{"unexpected disconnect", "vcs/transfer"},
	}
}

// gitFault names the fault in what git said. A login that was not sent cannot have
// been refused.
func gitFault(text string, loggedIn bool) keepwell.Code {
	lower := strings.ToLower(text)
	for _, w := range gitWords() {
		if !strings.Contains(lower, w[0]) {
			continue
		}
		if code := keepwell.Code(w[1]); code != "auth/expired-token" || loggedIn {
			return code
		}
		return "auth/git-prompt"
	}
	return "vcs/other"
}
