package doctor

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/settings"
)

// say shows keys and arguments in place of words.
func say(key string, args ...string) string { return key + " " + strings.Join(args, " ") }

// machine is a home directory with files, and a project that requires modules.
func machine(t *testing.T, files map[string]string, env map[string]string, requires ...string) *Case {
	t.Helper()
	home := t.TempDir()
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if rest, open := strings.CutPrefix(text, "OPEN "); open {
			text, mode = rest, 0o644
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	text := "module example.com/app\n\ngo 1.21\n"
	for _, r := range requires {
		text += "require " + r + " v1.0.0\n"
	}
	mod, err := modfile.Parse("go.mod", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	settingsOf := goenv.Env{"GOPROXY": {Value: "https://goproxy.example.org"}}
	for k, v := range env {
		settingsOf[k] = goenv.Setting{Value: v}
	}
	for _, follows := range []string{"GONOPROXY", "GONOSUMDB"} {
		settingsOf[follows] = settingsOf["GOPRIVATE"]
	}
	c := &Case{
		Settings: &settings.Settings{Env: settingsOf, OS: env, Home: home, Project: settings.Project{Dir: home}},
		Machine:  &diagnose.Machine{Env: settingsOf, GoMod: mod}, Say: say,
		Route: route.Config{Env: settingsOf, Netrc: route.NetrcMachines([]byte(strings.TrimPrefix(files[".netrc"], "OPEN ")))},
	}
	if c.Settings.OS == nil {
		c.Settings.OS = map[string]string{}
	}
	return c
}

// codesOf are the findings as severity, code and first word of the proof.
func codesOf(list []keepwell.Finding) []string {
	out := []string{}
	for _, f := range list {
		first, _, _ := strings.Cut(f.Evidence[0].Text, " ")
		out = append(out, fmt.Sprintf("%s %s %s", severity(f), f.Code, strings.TrimPrefix(first, "doctor.credentials.")))
	}
	slices.Sort(out)
	return out
}

const private = "git.example.com/team/widget.git"

func jwt(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestLookCredentials(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	for name, row := range map[string]struct {
		files, env map[string]string
		uses       []string
		findings   []string
	}{
		"nothing private": {files: nil, env: nil},
		"a netrc line for git": {
			files: map[string]string{".netrc": "machine git.example.com login bob password CANARY\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"},
			uses: []string{"git.example.com: doctor.credentials.git-netrc ~/.netrc:1 bob"},
		},
		"others may read it": {
			files:    map[string]string{".netrc": "OPEN machine git.example.com login bob password CANARY\n"},
			findings: []string{"info auth/exposed-login readable"},
		},
		"incomplete": {
			files: map[string]string{".netrc": "machine git.example.com login bob\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"},
			findings: []string{"warning auth/git-prompt incomplete"},
		},
		"incomplete, for a host that nobody asks": {files: map[string]string{".netrc": "machine git.example.net login bob\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"}},
		"a proxy's line without the port": {
			files: map[string]string{".netrc": "machine goproxy.example.org login bob password CANARY\n"}, env: map[string]string{"GOPROXY": "https://goproxy.example.org:8443"},
			findings: []string{"warning proxy/unauthorized port"},
		},
		"a proxy's line, over http": {
			files: map[string]string{".netrc": "machine goproxy.example.org login bob password CANARY\n"}, env: map[string]string{"GOPROXY": "http://goproxy.example.org"},
			findings: []string{"warning proxy/unauthorized plain"},
		},
		"GOAUTH off": {
			files: map[string]string{".netrc": "machine goproxy.example.org login bob password CANARY\n"}, env: map[string]string{"GOAUTH": "off"},
			findings: []string{"warning proxy/unauthorized goauth-off"},
		},
		"an expired token": {
			files: map[string]string{".netrc": "machine goproxy.example.org login bob password " + jwt(`{"exp":1700000000}`) + "\n"},
			uses:  []string{"goproxy.example.org: doctor.credentials.netrc ~/.netrc:1 bob, token.jwt , doctor.credentials.until 2023-11-14"}, findings: []string{"warning auth/expired-token over"},
		},
		"a login in GOPROXY": {
			env: map[string]string{"GOPROXY": "https://bob:CANARY@goproxy.example.org"}, findings: []string{"info auth/exposed-login in-goproxy"},
			uses: []string{"goproxy.example.org: doctor.credentials.url GOPROXY"},
		},
		"a plain store": {
			files: map[string]string{".gitconfig": "[credential]\n\thelper = store\n", ".git-credentials": "https://carol:ghp_CANARY@git.example.com\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"},
			uses: []string{"git.example.com: doctor.credentials.store ~/.git-credentials:1 carol, token.github-classic "}, findings: []string{"info auth/exposed-login plain-store"},
		},
		"a login in insteadOf": {
			files: map[string]string{".gitconfig": "[url \"https://bob:CANARY@mirror.example.com/\"]\n\tinsteadOf = https://git.example.com/\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"},
			uses:     []string{"git.example.com: doctor.credentials.rewritten https://mirror.example.com ~/.gitconfig", "mirror.example.com: doctor.credentials.url ~/.gitconfig"},
			findings: []string{"info auth/exposed-login in-config"},
		},
		"a header": {
			files: map[string]string{".gitconfig": "[http \"https://git.example.com/\"]\n\textraheader = AUTHORIZATION: basic CANARY\n"}, env: map[string]string{"GOPRIVATE": "git.example.com"},
			uses: []string{"git.example.com: doctor.credentials.header http.https://git.example.com/.extraheader ~/.gitconfig"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := machine(t, row.files, row.env, private)
			o := lookCredentials(t.Context(), c, nil)
			var uses []string
			if o.Key == "doctor.credentials.uses" {
				uses = strings.Split(o.Args[0], "; ")
			}
			if !slices.Equal(uses, row.uses) {
				t.Errorf("uses %q, want %q", uses, row.uses)
			}
			if got := codesOf(o.Findings); !slices.Equal(got, append([]string{}, row.findings...)) {
				t.Errorf("findings %q, want %q", got, row.findings)
			}
			if text := fmt.Sprintf("%+v", o); strings.Contains(text, "CANARY") {
				t.Errorf("a secret is out: %s", text)
			}
		})
	}
}

func TestLookVCS(t *testing.T) {
	c := machine(t, nil, map[string]string{"GOPRIVATE": "git.example.com", "GOVCS": "private:hg"}, private)
	o := lookVCS(t.Context(), c, nil)
	if len(o.Findings) != 1 || o.Findings[0].Code != "vcs/disallowed" || o.Findings[0].Facts["tool"] != "git" {
		t.Errorf("GOVCS forbids git: %+v", o.Findings)
	}
	t.Setenv("PATH", t.TempDir())
	c = machine(t, nil, map[string]string{"GOPRIVATE": "git.example.com"}, private)
	o = lookVCS(t.Context(), c, nil)
	if len(o.Findings) != 1 || o.Findings[0].Code != "vcs/tool-missing" {
		t.Errorf("no git: %+v", o.Findings)
	}
	c = machine(t, nil, nil, private) // by a proxy: nobody needs git
	if o = lookVCS(t.Context(), c, nil); len(o.Findings) != 0 {
		t.Errorf("no git is needed: %+v", o.Findings)
	}
}

func TestSSHLints(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no ssh")
	}
	gitconfig := "[url \"ssh://git@git.example.com/\"]\n\tinsteadOf = https://git.example.com/\n"
	env := map[string]string{"GOPRIVATE": "git.example.com"}
	c := machine(t, map[string]string{".gitconfig": gitconfig}, env, private)
	look := func(c *Case) *logins {
		l := c.logins(t.Context())
		l.sshHome = c.Settings.Home
		for _, u := range c.uses() {
			if u.kind == useGit {
				l.forGit(t.Context(), u)
			}
		}
		return l
	}
	l := look(c)
	if !strings.Contains(strings.Join(l.said, " "), "rewritten ssh://git.example.com") {
		t.Errorf("said %q", l.said)
	}
	if got, want := codesOf(l.findings), []string{"warning auth/host-key host-unknown", "warning auth/ssh-key key-absent"}; !slices.Equal(got, want) {
		t.Errorf("with nothing there: %q, want %q", got, want)
	}
	c = machine(t, map[string]string{
		".gitconfig": gitconfig, ".ssh/id_ed25519": "OPEN -----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
	}, env, private)
	if got, want := codesOf(look(c).findings), []string{"warning auth/host-key host-unknown", "warning auth/ssh-key key-open"}; !slices.Equal(got, want) {
		t.Errorf("with a key that others may read: %q, want %q", got, want)
	}
	c = machine(t, map[string]string{".gitconfig": gitconfig}, map[string]string{"GOPRIVATE": "git.example.com", "GIT_SSH_COMMAND": "ssh -i elsewhere"}, private)
	if l = look(c); len(l.findings) != 0 {
		t.Errorf("a command of the user's own: %q", codesOf(l.findings))
	}
}
