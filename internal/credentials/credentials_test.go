package credentials

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseNetrc(t *testing.T) {
	t.Parallel()
	data := "machine git.example.com login bob password CANARY\n" +
		"machine half.example.com\n\tlogin carol\n" +
		"macdef init\n\tmachine not.example.com login x password y\n\n" +
		"machine git.example.com:8443\n login dora\n password ghp_CANARY\n" +
		"default login anonymous password user@example.com\n"
	type row struct {
		Machine, Login, Kind string
		Line                 int
		Complete             bool
	}
	var got []row
	list := ParseNetrc([]byte(data))
	for _, l := range list {
		got = append(got, row{l.Machine, l.Login, l.Token.Kind, l.Line, l.Complete})
	}
	want := []row{
		{"git.example.com", "bob", "", 1, true},
		{"half.example.com", "carol", "", 2, false},
		{"git.example.com:8443", "dora", "github-classic", 7, true},
		{"", "anonymous", "", 10, true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for host, line := range map[string]int{"git.example.com/team/x": 1, "git.example.com:8443/team": 7, "git.example.com:9999": 0, "half.example.com": 0, "other.example.com": 0} {
		n := 0
		if l := ForGo(list, host); l != nil {
			n = l.Line
		}
		if n != line {
			t.Errorf("go takes line %d for %s, want %d", n, host, line)
		}
	}
	if l := ForGit(list, "other.example.com"); l == nil || l.Line != 10 {
		t.Errorf("git takes %v for a host of no line, want the default entry", l)
	}
	login := list[0].LoginFor("git.example.com")
	if text := fmt.Sprintf("%v %+v %#v", login, login, login); strings.Contains(text, "CANARY") {
		t.Errorf("a login shows its secret: %s", text)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1700000000,"sub":"x"}`))
	token := "eyJhbGciOiJIUzI1NiJ9." + claims + ".c2ln"
	got := Classify("Bearer " + token)
	if got.Kind != "jwt" || got.Expires.Unix() != 1700000000 || !got.Expired(time.Unix(1800000000, 0)) || got.Expired(time.Unix(1600000000, 0)) {
		t.Errorf("a JWT is %+v", got)
	}
	for secret, kind := range map[string]string{
		"ghp_x": "github-classic", "github_pat_x": "github-fine", "glpat-x": "gitlab-personal", "ghs_x": "github-job", "hunter2": "", "eyJx.y.z": "",
	} {
		if got := Classify(secret); got.Kind != kind || got.Expired(time.Now()) {
			t.Errorf("%s is %+v, want kind %q", secret, got, kind)
		}
	}
}

const config = "file:/etc/gitconfig\x00credential.helper\nstore --file ~/secrets\x00" +
	"file:/home/bob/.gitconfig\x00credential.https://git.example.com.helper\n!/usr/bin/gh auth git-credential\x00" +
	"file:/home/bob/.gitconfig\x00url.ssh://git@git.example.com/.insteadof\nhttps://git.example.com/\x00" +
	"file:/home/bob/.gitconfig\x00url.https://bob:CANARY@mirror.example.com/.insteadof\nhttps://git.example.com/team/\x00" +
	"file:.git/config\x00http.https://github.com/.extraheader\nAUTHORIZATION: basic CANARY\x00" +
	"file:.git/config\x00safe.directory\n*\x00" +
	"file:/etc/gitconfig\x00safe.directory\n/src/app\x00" +
	"command line:\x00core.sshcommand\nssh -4\x00"

func TestGit(t *testing.T) {
	t.Parallel()
	g := ParseGit([]byte(config), "/src/app")
	to, by := g.Rewrite("https://git.example.com/team/widget")
	if to != "https://bob:CANARY@mirror.example.com/widget" || by == nil || strings.Contains(by.Shown(), "CANARY") {
		t.Errorf("insteadOf leads to %s by %v", to, by)
	}
	if to, by := g.Rewrite("https://github.com/acme/widget"); to != "https://github.com/acme/widget" || by != nil {
		t.Errorf("no rule leads to %s by %v", to, by)
	}
	names := func(address string) (out []string) {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range g.Helpers(u) {
			out = append(out, h.Name)
		}
		for _, h := range g.Headers(u) {
			out = append(out, h.Shown())
		}
		return out
	}
	if d := cmp.Diff([]string{"store", "!gh"}, names("https://git.example.com/x")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"store", "http.https://github.com/.extraheader"}, names("https://github.com/acme/widget")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"/home/bob/secrets"}, g.Helpers(nil)[0].StoreFiles("/home/bob", "")); d != "" {
		t.Error(d)
	}
	if n := len(g.Logins()); n != 1 {
		t.Errorf("%d addresses hold a login, want 1", n)
	}
	if g.Value("core.sshCommand") != "ssh -4" {
		t.Error("core.sshCommand is not read")
	}
	for _, s := range g.list {
		if strings.Contains(s.Shown(), "CANARY") {
			t.Errorf("%s is shown", s.Shown())
		}
	}
}

func TestHeadersOfOtherHosts(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"https://github.com/": true, "https://*.com/": true, "http://github.com/": false, "https://github.com:8443": false,
		"https://github.com/acme": true, "https://github.com/ac": false, "https://github.com:443/acme/widget": true, "https://bob@github.com/": false,
	} {
		if got := forURL(pattern, &url.URL{Scheme: "https", Host: "github.com", Path: "/acme/widget"}); got != want {
			t.Errorf("%s holds: %v, want %v", pattern, got, want)
		}
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]Address{
		"git@github.com:acme/widget.git":       {Scheme: "ssh", Host: "github.com", Name: "github.com", User: "git", Path: "/acme/widget.git"},
		"ssh://git@git.example.com:2222/team/": {Scheme: "ssh", Host: "git.example.com:2222", Name: "git.example.com", Port: "2222", User: "git", Path: "/team/"},
		"https://git.example.com/x":            {Scheme: "https", Host: "git.example.com", Name: "git.example.com", Path: "/x"},
		"/srv/git/x":                           {},
		"ext::sh -c true":                      {},
	} {
		if d := cmp.Diff(want, Remote(raw)); d != "" {
			t.Errorf("%s: %s", raw, d)
		}
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	// The hash is of 192.168.1.61.
	hashed := "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="
	for _, row := range []struct {
		line, name, port string
		want             bool
	}{
		{"github.com ssh-ed25519 AAAA", "github.com", "22", true},
		{"github.com,192.0.2.1 ssh-ed25519 AAAA", "192.0.2.1", "", true},
		{"[git.example.com]:2222 ssh-ed25519 AAAA", "git.example.com", "2222", true},
		{"[git.example.com]:2222 ssh-ed25519 AAAA", "git.example.com", "22", false},
		{"git.example.com ssh-ed25519 AAAA", "git.example.com", "2222", true},
		{"@cert-authority *.example.com ssh-ed25519 AAAA", "git.example.com", "22", true},
		{"@revoked github.com ssh-ed25519 AAAA", "github.com", "22", false},
		{"*.example.com,!git.example.com ssh-ed25519 AAAA", "git.example.com", "22", false},
		{"# github.com ssh-ed25519 AAAA", "github.com", "22", false},
		{hashed + " ssh-rsa AAAA1234", "192.168.1.61", "22", true},
		{hashed + " ssh-rsa AAAA1234", "git.example.com", "22", false},
	} {
		if got := Known([]byte(row.line+"\n"), row.name, row.port); got != row.want {
			t.Errorf("%q knows %s:%s: %v, want %v", row.line, row.name, row.port, got, row.want)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := func(cipher string) string {
		body := "openssh-key-v1\x00\x00\x00\x00" + string(rune(len(cipher))) + cipher + "rest"
		return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString([]byte(body)) + "\n-----END OPENSSH PRIVATE KEY-----\n"
	}
	for _, row := range []struct {
		name, data string
		mode       os.FileMode
		want       KeyState
	}{
		{"good", key("none"), 0o600, KeyGood},
		{"locked", key("aes256-ctr"), 0o600, KeyLocked},
		{"open", key("none"), 0o644, KeyOpen},
		{"absent", "", 0, KeyAbsent},
	} {
		name := filepath.Join(dir, row.name)
		if row.mode != 0 {
			if err := os.WriteFile(name, []byte(row.data), row.mode); err != nil {
				t.Fatal(err)
			}
		}
		if row.want == KeyOpen && runtime.GOOS == "windows" {
			continue // files have no such mode
		}
		if got := Key(name); got != row.want {
			t.Errorf("%s is %s", row.name, got)
		}
	}
}

func TestAgentKeys(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "kw") //nolint:usetesting // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Skip("no unix sockets here")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		ask := make([]byte, 5)
		if _, err := conn.Read(ask); err == nil {
			_, _ = conn.Write([]byte{0, 0, 0, 5, 12, 0, 0, 0, 3})
		}
	}()
	n, err := AgentKeys(t.Context(), socket)
	if n != 3 || err != nil {
		t.Errorf("the agent has %d keys, %v", n, err)
	}
	_ = ln.Close()
	<-done
	if _, err := AgentKeys(t.Context(), socket); err == nil {
		t.Error("a dead agent answers")
	}
}

func TestParseSSH(t *testing.T) {
	t.Parallel()
	out := "user git\nhostname git.internal.example\nport 2222\nidentityfile ~/.ssh/work\nidentityagent none\nstricthostkeychecking true\n" +
		"userknownhostsfile ~/.ssh/known_hosts /etc/more\nproxyjump none\n"
	want := SSH{
		Name: "git.internal.example", User: "git", Port: "2222", Identities: []string{"/home/bob/.ssh/work"},
		KnownHosts: []string{"/home/bob/.ssh/known_hosts", "/etc/more"}, Strict: "true", Agent: "none",
	}
	if d := cmp.Diff(want, ParseSSH([]byte(out), "/home/bob")); d != "" {
		t.Error(d)
	}
}
