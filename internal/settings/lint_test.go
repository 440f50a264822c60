package settings_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/settings"
)

// machine is a healthy one on which some variables of the environment are set.
func machine(vars ...string) *settings.Settings {
	goValues := map[string]string{
		"GOPROXY": "https://goproxy.example.org,direct", "GOSUMDB": "sum.golang.org", "GOVERSION": "go1.26.8", "GOROOT": "/usr/local/go",
		"GOENV": "/home/bob/.config/go/env", "GOTOOLCHAIN": "auto", "GOMODCACHE": "/home/bob/go/pkg/mod", "GOCACHE": "/home/bob/.cache/go-build",
		"GOPRIVATE": "", "GONOPROXY": "", "GONOSUMDB": "", "GOFLAGS": "", "GOAUTH": "netrc", "GOINSECURE": "", "GOVCS": "", "GO111MODULE": "", "GOWORK": "",
	}
	s := &settings.Settings{
		OS: map[string]string{}, Absent: map[string]bool{}, Home: "/home/bob", RootVersion: "1.26.8",
		Go:      goenv.Layers{OS: map[string]string{}, User: map[string]string{}, Root: map[string]string{"GOPROXY": "https://public.example.net,direct"}, Go: goValues, UserFile: "/home/bob/.config/go/env", RootFile: "/usr/local/go/go.env"},
		Gos:     []settings.GoCommand{{Path: "/usr/local/go/bin/go", Version: "1.26.8"}},
		Project: settings.Project{Dir: "/src", Module: "example.com/m", GoModHere: true},
	}
	s.Env = s.Go.Env()
	for _, kv := range vars {
		name, value, _ := strings.Cut(kv, "=")
		s = s.With(name, value)
	}
	return s
}

func with(s *settings.Settings, change func(*settings.Settings)) *settings.Settings {
	change(s)
	return s
}

func npm(entries ...settings.Entry) *settings.Settings {
	return with(machine(), func(s *settings.Settings) { s.Npm = inForce(entries) })
}

func pip(entries ...settings.Entry) *settings.Settings {
	return with(machine(), func(s *settings.Settings) { s.Pip = inForce(entries) })
}

func inForce(entries []settings.Entry) []settings.Entry {
	for i := range entries {
		entries[i].InForce = true
	}
	return entries
}

// lintCases hold, for each lint, settings that it is about; want lists the lints
// found as "id name", with the mend where there is one.
func lintCases() []struct {
	in   *settings.Settings
	want []string
} {
	type cases = []struct {
		in   *settings.Settings
		want []string
	}
	return cases{
		{machine(), nil},
		{&settings.Settings{}, nil},
		{machine("GOPROXY=https://a.example\r"), []string{"carriage-return GOPROXY > GOPROXY=https://a.example"}},
		{machine("GOPROXY=https://a.example，direct"), []string{"wide-mark GOPROXY > GOPROXY=https://a.example,direct"}},
		{machine("GOPRIVATE=a.example、b.example"), []string{"wide-mark GOPRIVATE > GOPRIVATE=a.example,b.example"}},
		{machine("GOPROXY=https://a.example;direct"), []string{"semicolon GOPROXY > GOPROXY=https://a.example,direct"}},
		{machine(`GOPROXY="https://a.example"`), []string{"quotes GOPROXY > GOPROXY=https://a.example"}},
		{machine("GOPROXY=,"), []string{"goproxy-empty GOPROXY"}},
		{machine("GOPROXY=https://a.example direct"), []string{"goproxy-blank GOPROXY > GOPROXY=https://a.example,direct"}},
		{machine("GOPROXY=https://a.example , direct"), nil},
		{machine("GOPROXY=https://a.exa%mple"), []string{"goproxy-url GOPROXY"}},
		{machine("GOPROXY=goproxy,direct"), []string{"goproxy-word GOPROXY"}},
		{machine("GOPROXY=a.example,direct"), nil},
		{machine("GOPROXY=socks5://a.example"), []string{"goproxy-scheme GOPROXY"}},
		{machine("GOPROXY=file://srv/mod"), []string{"goproxy-file GOPROXY"}},
		{machine("GOPROXY=file:///srv/mod"), nil},
		{machine("GOPROXY=https:///x"), []string{"goproxy-host GOPROXY"}},
		{machine("GOPROXY=https//a.example,direct"), []string{"goproxy-colon GOPROXY > GOPROXY=https://a.example,direct"}},
		{machine("GOPROXY=https://https://a.example"), []string{"goproxy-colon GOPROXY > GOPROXY=https://a.example"}},
		{machine("GOPROXY=http://a.example"), []string{"goproxy-http GOPROXY"}},
		{machine("GOPROXY=http://127.0.0.1:8081"), nil},
		{machine("GOPROXY=direct,https://a.example"), []string{"goproxy-after GOPROXY"}},
		{machine("GOPROXY=off"), []string{"goproxy-off GOPROXY"}},
		{machine("GOPROXY=http://bob:hunter2@a.example"), []string{"goproxy-http-login GOPROXY"}},
		{machine("GOPROXY=https://bob:hunter2@a.example"), []string{"goproxy-login GOPROXY"}},
		{machine("GOPRIVATE=https://git.a.example/team.git"), []string{"pattern-scheme GOPRIVATE > GOPRIVATE=git.a.example/team"}},
		{machine("GOPRIVATE=a.example, b.example"), []string{"pattern-blank GOPRIVATE > GOPRIVATE=a.example,b.example"}},
		{machine("GONOSUMDB=a.example b.example"), []string{"pattern-blank GONOSUMDB > GONOSUMDB=a.example,b.example"}},
		{machine("GOPRIVATE=git.a.example:8443/team"), []string{"pattern-port GOPRIVATE > GOPRIVATE=git.a.example/team"}},
		{machine("GOINSECURE=.a.example"), []string{"pattern-dot GOINSECURE > GOINSECURE=*.a.example"}},
		{machine("GOPRIVATE=a.example/[x"), []string{"pattern-syntax GOPRIVATE"}},
		{machine("GOPRIVATE=a.example,*.b.example,c.example/x/"), nil},
		{with(machine("GOPROXY=https://public.example.net"), requires("git.acme.corp/x", "git.acme.corp/y", "example.com/z")), []string{"leak GOPRIVATE > GOPRIVATE=git.acme.corp"}},
		{with(machine("GOSUMDB=off"), requires("git.acme.corp/x")), []string{"gosumdb-off GOSUMDB"}}, // nobody public is asked
		{with(machine("GOPRIVATE=*.corp", "GOPROXY=https://goproxy.cn"), requires("git.acme.corp/x")), nil},
		{machine("GOPROXY=https://goproxy.cn", "GOPRIVATE=a.example", "GONOPROXY=none"), []string{"overrides-private GONOPROXY > GONOPROXY="}},
		{machine("GOPRIVATE=a.example", "GONOPROXY=none"), nil}, // the company's own proxy serves them
		{machine("GOPRIVATE=a.example", "GONOSUMDB=b.example"), []string{"overrides-private GONOSUMDB > GONOSUMDB=b.example,a.example"}},
		{machine("GOSUMDB=off"), []string{"gosumdb-off GOSUMDB"}},
		{machine("GOSUMDB=a b c"), []string{"gosumdb-fields GOSUMDB"}},
		{machine("GOSUMDB=sum.golang.google.com"), []string{"gosumdb-key GOSUMDB"}},
		{machine("GOSUMDB=sum.golang.org nowhere"), []string{"gosumdb-url GOSUMDB"}},
		{machine("GOSUMDB=sum.golang.google.cn"), nil},
		{machine("GONOSUMDB=*"), []string{"broad-gonosumdb GONOSUMDB"}},
		{machine("GONOSUMDB=github.com"), []string{"broad-gonosumdb GONOSUMDB"}},
		{machine("GONOSUMDB=github.com/acme"), nil},
		{machine("GOPRIVATE=*"), []string{"broad-goprivate GOPRIVATE"}},
		{machine("GOINSECURE=*"), []string{"broad-goinsecure GOINSECURE"}},
		{machine("GOFLAGS=-mod vendor"), []string{"goflags-word GOFLAGS"}},
		{machine("GOFLAGS=-insecure"), []string{"goflags-insecure GOFLAGS"}},
		{machine("GOFLAGS=-modcacherv"), []string{"goflags-unknown GOFLAGS"}},
		{machine("GOFLAGS=-mod=mod -mod=readonly"), []string{"goflags-twice GOFLAGS", "goflags-mod GOFLAGS"}},
		{machine("GOFLAGS=-mod=mod"), []string{"goflags-mod GOFLAGS"}},
		{machine("GOFLAGS=-mod=vendor"), []string{"goflags-vendor GOFLAGS"}},
		{with(machine("GOFLAGS=-mod=vendor"), func(s *settings.Settings) { s.Project.HasVendor = true }), nil},
		{machine("GOFLAGS='-ldflags=-s -w' -trimpath -buildvcs=false --modcacherw"), nil},
		{machine("GO111MODULE=off"), []string{"modules-off GO111MODULE > GO111MODULE="}},
		{machine("GO111MODULE=true"), []string{"modules-word GO111MODULE > GO111MODULE="}},
		{machine("GOTOOLCHAIN=1.26"), []string{"gotoolchain GOTOOLCHAIN > GOTOOLCHAIN="}},
		{machine("GOTOOLCHAIN=go1.26rc1+auto"), nil},
		{machine("GOTOOLCHAIN=local+path"), nil},
		{machine("GOAUTH=netrc;"), []string{"goauth-empty GOAUTH"}},
		{machine("GOAUTH=off;netrc"), []string{"goauth-off GOAUTH"}},
		{machine("GOAUTH=git ~"), []string{"goauth-git GOAUTH"}},
		{machine("GOAUTH=netrc;git /home/bob"), nil},
		{machine("GOMODCACHE=mod"), []string{"path-relative GOMODCACHE"}},
		{machine("GOCACHE=off"), []string{"gocache-off GOCACHE > GOCACHE="}},
		{machine("HTTPS_PROXY=http://a.example:1", "https_proxy=http://b.example:1"), []string{"proxy-case HTTPS_PROXY"}},
		{machine("HTTPS_PROXY=http://a b"), []string{"proxy-url HTTPS_PROXY"}},
		{machine("HTTPS_PROXY=socks4://a.example:1"), []string{"proxy-scheme HTTPS_PROXY"}},
		{machine("https_proxy=a.example:3128"), []string{"proxy-no-scheme https_proxy"}},
		{machine("HTTPS_PROXY=http://bob:hunter2@a.example:1"), []string{"proxy-login HTTPS_PROXY"}},
		{machine("HTTPS_PROXY=http://a.example:1", "NO_PROXY=.a.example, 10.0.0.0/8"), nil},
		{machine("HTTP_PROXY=http://a.example:1"), []string{"proxy-http-only HTTP_PROXY"}},
		{machine("ALL_PROXY=socks5://a.example:1"), []string{"proxy-all ALL_PROXY"}},
		{with(machine("SSL_CERT_FILE=/none"), func(s *settings.Settings) { s.Absent["SSL_CERT_FILE"] = true }), []string{"cert-absent SSL_CERT_FILE"}},
		{machine("GIT_SSL_NO_VERIFY=true"), []string{"verify-off GIT_SSL_NO_VERIFY"}},
		{with(machine("NETRC=/none"), func(s *settings.Settings) { s.Absent["NETRC"] = true }), []string{"netrc-absent NETRC"}},
		{with(machine("GOPROXY=https://a.example"), func(s *settings.Settings) { s.Go.User["GOPROXY"] = "https://b.example" }), []string{"shadowed GOPROXY"}},
		{with(machine("GOPROXY=https://a.example"), func(s *settings.Settings) { s.Go.User["GOPROXY"] = "https://a.example" }), nil},
		{machine("GOENV=off"), []string{"goenv-off GOENV"}},
		{machine("GONOSUMCHECK=1"), []string{"useless GONOSUMCHECK"}},
		{machine("GONOSUM=*"), []string{"useless GONOSUM"}},
		{machine("GODEBUG=network=1"), []string{"godebug GODEBUG"}},
		{machine("GODEBUG=http2debug=1,cmdgo=2"), []string{"godebug GODEBUG"}},
		{machine("GODEBUG=netdns=2,http2client=0"), nil},
		{with(machine(), func(s *settings.Settings) {
			s.Gos = append(s.Gos, settings.GoCommand{Path: "/usr/bin/go", Version: "1.19.8"})
		}), []string{"several-gos PATH"}},
		{with(machine(), func(s *settings.Settings) {
			s.Gos = append(s.Gos, settings.GoCommand{Path: "/usr/bin/go", Version: "1.26.8"})
		}), nil},
		{with(machine("GOROOT=/usr/lib/go-1.19"), func(s *settings.Settings) { s.RootVersion = "1.19.8" }), []string{"goroot GOROOT"}},
		{with(machine(), func(s *settings.Settings) {
			s.Sudo = settings.Sudo{User: "eve", File: "/home/eve/.config/go/env", Values: map[string]string{"GOPROXY": "https://goproxy.cn", "GOOS": "x"}}
		}), []string{"sudo GOPROXY"}},
		{with(machine(), elsewhere("GOPROXY", "https://goproxy.cn,direct")), []string{"elsewhere GOPROXY"}},
		{with(machine(), elsewhere("GOPROXY", "https://goproxy.example.org,direct")), nil},
		{with(machine("GOPRIVATE=a.example"), func(s *settings.Settings) { s.Project.Dockerfiles = []string{"Dockerfile"} }), []string{"docker GOPRIVATE"}},
		{npm(settings.Entry{Name: "registry", Value: "https://a b"}), []string{"registry-url registry"}},
		{npm(settings.Entry{Name: "registry", Value: "npm.a.example"}), []string{"registry-scheme registry"}},
		{npm(settings.Entry{Name: "@acme:registry", Value: "http://npm.a.example"}), []string{"registry-http @acme:registry"}},
		{npm(settings.Entry{Name: "registry", Value: "https://npm.a.example/"}, settings.Entry{Name: "//npm.a.example/:_authToken", Credential: "token", Host: "npm.a.example", Literal: true}), nil},
		{npm(settings.Entry{Name: "_authToken", Credential: "token"}), []string{"npm-token-unscoped _authToken"}},
		{npm(settings.Entry{Name: "//npm.a.example/:_authToken", Credential: "token", Host: "npm.a.example", Unset: true}), []string{"npm-token-unset //npm.a.example/:_authToken"}},
		{npm(settings.Entry{Name: "//npm.a.example:_authToken", Credential: "token", Host: "npm.a.example", Literal: true}), []string{"npm-token-slash //npm.a.example:_authToken"}},
		{npm(settings.Entry{Name: "//npm.a.example/:_authToken", Credential: "token", Host: "npm.a.example", Literal: true, Place: "project"}), []string{"npm-token-project //npm.a.example/:_authToken"}},
		{npm(settings.Entry{Name: "//npm.a.example/:always-auth", Value: "true"}), []string{"npm-always-auth //npm.a.example/:always-auth"}},
		{npm(settings.Entry{Name: "strict-ssl", Value: "false"}), []string{"npm-strict-ssl strict-ssl"}},
		{pip(settings.Entry{Name: "index-url", Value: "https://pypi.a.example/simple"}), nil},
		{pip(settings.Entry{Name: "index-url", Value: "http://pypi.a.example/simple"}), []string{"registry-http index-url"}},
		{pip(settings.Entry{Name: "extra-index-url", Value: "https://pypi.a.example/simple"}), []string{"pip-extra extra-index-url"}},
		{pip(settings.Entry{Name: "index-url", Value: "https://pypi.a.example/simple", Credential: "login", Host: "pypi.a.example", Literal: true}), []string{"pip-login index-url"}},
		{pip(settings.Entry{Name: "trusted-host", Value: "pypi.a.example"}), []string{"pip-trusted trusted-host"}},
		{pip(settings.Entry{Name: "no-index", Value: "true"}), []string{"pip-no-index no-index"}},
		{pip(settings.Entry{Name: "no-index", Value: "true"}, settings.Entry{Name: "find-links", Value: "/wheels"}), nil},
	}
}

func requires(paths ...string) func(*settings.Settings) {
	return func(s *settings.Settings) {
		for _, p := range paths {
			s.Project.Requires = append(s.Project.Requires, module.Version{Path: p, Version: "v1.0.0"})
		}
	}
}

func elsewhere(name, value string) func(*settings.Settings) {
	return func(s *settings.Settings) {
		s.Elsewhere = []settings.Assignment{{Name: name, Value: value, File: "Dockerfile", Line: 2}}
	}
}

func told(s *settings.Settings) []string {
	var out []string
	for _, l := range s.Lints() {
		text := l.ID + " " + l.Name
		if l.Set != "" {
			text += " > " + l.Set
		}
		out = append(out, text)
	}
	return out
}

func TestLints(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range lintCases() {
		got := told(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.in.OS, diff)
		}
		for _, l := range c.in.Lints() {
			seen[l.ID] = true
			for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
				args := make([]any, len(l.Args))
				for i, a := range l.Args {
					args[i] = a
				}
				text := msg.Text(lang, "lint."+l.ID, args...)
				if text == "lint."+l.ID || strings.Contains(text, "%!") || strings.Contains(text, "hunter2") {
					t.Errorf("%s in %s: %s", l.ID, lang, text)
				}
			}
			if strings.Contains(l.Set, "hunter2") {
				t.Errorf("%s proposes a secret: %s", l.ID, l.Set)
			}
		}
	}
	for _, key := range msg.Keys() {
		if id, ok := strings.CutPrefix(key, "lint."); ok && !seen[id] {
			t.Errorf("no case brings about the lint %q", id)
		}
	}
}

// TestMendsMend: what a lint proposes has no such lint any more.
func TestMendsMend(t *testing.T) {
	t.Parallel()
	for _, c := range lintCases() {
		for _, l := range c.in.Lints() {
			name, value, ok := strings.Cut(l.Set, "=")
			if !ok {
				continue
			}
			for _, left := range c.in.With(name, value).Lints() {
				if left.ID == l.ID && left.Name == l.Name {
					t.Errorf("%s: after %s it still holds", l.ID, l.Set)
				}
			}
		}
	}
}

// TestGoAgrees holds what is called an error to the real go command, and what is not.
func TestGoAgrees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.21\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(kv string, args ...string) (string, bool) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=file:///nonexistent", "GOSUMDB=off", "GONOSUMDB=", "GOMODCACHE="+t.TempDir(), kv)
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	for _, c := range []struct {
		kv, words string
		bad       bool
	}{
		{"GOPROXY=goproxy", "missing scheme", true},
		{"GOPROXY=,", "contains no entries", true},
		{"GOPROXY=socks5://a.example", "invalid proxy URL scheme", true},
		{"GOPROXY=file:///a,b.example", "missing scheme", false},
		{"GO111MODULE=true", "", true},
		{"GOTOOLCHAIN=1.26", "", true},
		{"GOFLAGS=-mod vendor", "non-flag", true},
	} {
		out, _ := run(c.kv, "list", "-m", "example.com/x@v1.0.0")
		says := c.words == "" || strings.Contains(out, c.words)
		name, value, _ := strings.Cut(c.kv, "=")
		judged := slices.ContainsFunc(machine().Judge(name, value), func(l settings.Lint) bool { return l.Severity == "error" })
		if c.bad && (!says || !judged) || !c.bad && (judged || strings.Contains(out, c.words)) {
			t.Errorf("%s: judged %v, go says: %s", c.kv, judged, out)
		}
	}
	for _, flag := range []string{"-modcacherw", "-buildvcs=false", "-count=1", "-u", "-modcacherv", "-sumdb", "-vvv", "-trimpath", "-fullpath", "-retract=x"} {
		_, ok := run("GOFLAGS="+flag, "version")
		if judged := len(machine().Judge("GOFLAGS", flag)) > 0; judged == ok {
			t.Errorf("GOFLAGS=%s: go accepts it: %v, judged bad: %v", flag, ok, judged)
		}
	}
}

func TestListsGrow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ list, add, want string }{
		{"", "a.example", "a.example"},
		{"a.example", "a.example", "a.example"},
		{"a.example, b.example:80", "c.example", "a.example,b.example,c.example"},
	} {
		if got := settings.AddPattern(c.list, c.add); got != c.want {
			t.Errorf("AddPattern(%q, %q) = %q, want %q", c.list, c.add, got, c.want)
		}
	}
	for _, c := range []struct {
		list string
		pipe bool
		want string
	}{
		{"", false, "https://n.example"},
		{"direct", true, "https://n.example,direct"},
		{"https://a.example,direct", false, "https://a.example,https://n.example,direct"},
		{"https://a.example,direct", true, "https://a.example|https://n.example,direct"},
		{"https://a.example|https://b.example", true, "https://a.example|https://b.example|https://n.example"},
		{"https://a.example,https://b.example|off", false, "https://a.example,https://b.example,https://n.example,off"},
	} {
		if got := settings.AddProxy(c.list, "https://n.example", c.pipe); got != c.want {
			t.Errorf("AddProxy(%q, %v) = %q, want %q", c.list, c.pipe, got, c.want)
		}
	}
}
