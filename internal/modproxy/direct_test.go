package modproxy_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modproxy"
)

// TestDirect brings a module from a git repository through the real go command.
func TestDirect(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no " + tool)
		}
	}
	home := t.TempDir()
	goenvtest.Quiet(t, home)
	repo := filepath.Join(home, "tool.git")
	if err := os.MkdirAll(repo, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(home, "gitconfig")
	if err := writeFile(config, []byte("[user]\n\tname = lab\n\temail = lab@example.com\n[init]\n\tdefaultBranch = main\n"+
		"[url \"file://"+home+"/\"]\n\tinsteadOf = https://git.example.com/team/\n")); err != nil {
		t.Fatal(err)
	}
	env := []string{"GIT_CONFIG_GLOBAL=" + config, "GIT_CONFIG_NOSYSTEM=1", "HOME=" + home, "GOENV=off", "GOCACHE=" + filepath.Join(home, "cache"), "GOPATH=" + filepath.Join(home, "go")}
	if err := writeFile(filepath.Join(repo, "go.mod"), []byte("module git.example.com/team/tool.git\n\ngo 1.20\n")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"tag", "v1.0.0"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir, cmd.Env = repo, append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	url, p := start(t, "direct", func(o *modproxy.Options) { o.Env = env })
	tool := url + "/git.example.com/team/tool.git"
	for path, want := range map[string]string{
		"/@v/list": "v1.0.0\n", "/@v/v1.0.0.mod": "module git.example.com/team/tool.git\n", "/@v/v1.0.0.zip": "PK",
		"/@v/v1.0.0.info": `"Version":"v1.0.0"`, "/@v/main.info": `"Version":"v1.0.0"`, "/@latest": `"Version":"v1.0.0"`,
	} {
		if code, got := get(t, tool+path); code != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %.300s", path, code, got)
		}
	}
	if code, got := get(t, tool+"/@v/v1.9.0.info"); code != 404 || !strings.Contains(got, "unknown revision v1.9.0") {
		t.Errorf("%d %s", code, got)
	}
	// What cannot be reached is no absence.
	if code, got := get(t, url+"/git.example.com/team/other.git/@v/v1.0.0.info"); code != 502 ||
		!strings.Contains(got, "direct: fatal: ") || !strings.Contains(got, "other.git' does not appear to be a git repository") {
		t.Errorf("%d %s", code, got)
	}
	if s := p.Summary(); len(s.Served) != 1 || s.Served[0].Upstream != "direct" {
		t.Errorf("%+v", s)
	}
}

func TestDirectStaysOutside(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "direct", func(o *modproxy.Options) {
		o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.0.0.8")}, nil
		}
	})
	if code, got := get(t, url+at+".info"); code != 403 || !strings.Contains(got, "example.com has a private address") {
		t.Errorf("%d %s", code, got)
	}
}

func TestCauseIsTheLineThatTells(t *testing.T) {
	t.Parallel()
	const head = "go: github.com/team/other@v1.0.0: invalid version: git ls-remote -q --end-of-options origin in /cache/vcs/94: exit status 128:\n"
	const generic = "\tfatal: Could not read from remote repository.\n\t\n\tPlease make sure you have the correct access rights\n\tand the repository exists."
	for _, x := range []struct{ words, want string }{
		{head + "\tgit@git.example.com: Permission denied (publickey).\n" + generic, "git@git.example.com: Permission denied (publickey)."},
		{head + "\tERROR: Repository not found.\n" + generic, "ERROR: Repository not found."},
		{head + "\tHost key verification failed.\n" + generic, "Host key verification failed."},
		{head + generic, "fatal: Could not read from remote repository."},
		{
			head + "\tremote: Repository not found.\n\tfatal: repository 'https://github.com/team/other/' not found\n",
			"fatal: repository 'https://github.com/team/other/' not found (remote: Repository not found.)",
		},
		{head + "\tfatal: could not read Username for 'https://github.com': terminal prompts disabled\n", "fatal: could not read Username for 'https://github.com': terminal prompts disabled"},
		{"go: no secure protocol found for repository\n\tfatal: unable to access 'https://x/': SSL", "fatal: unable to access 'https://x/': SSL"},
		{
			"go: example.com/tool@v1.0.0: unrecognized import path \"example.com/tool\": reading https://example.com/tool?go-get=1: 404 Not Found\n\tserver response: <html>\n",
			"go: example.com/tool@v1.0.0: unrecognized import path \"example.com/tool\": reading https://example.com/tool?go-get=1: 404 Not Found",
		},
		{"", "no reason given"},
	} {
		if got := modproxy.Cause(x.words); got != x.want {
			t.Errorf("%q:\n got %q\nwant %q", x.words, got, x.want)
		}
	}
}
