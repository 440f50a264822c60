//go:build unix

package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/settings"
)

// fake puts a program of the given name before all others in PATH. It notes its
// arguments and then runs script.
func fake(t *testing.T, name, script string) (noted string) {
	t.Helper()
	dir := t.TempDir()
	noted = filepath.Join(dir, "noted")
	text := "#!/bin/sh\necho \"$@\" >> " + noted + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return noted
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// TestNpmRunsNothing: whatever npm is asked, it is told to run no scripts, and a copy is
// tried, not the project.
func TestNpmRunsNothing(t *testing.T) {
	noted := fake(t, "npm", `[ "$1" = ls ] && exit 1; pwd >> "$(dirname "$0")/where"; exit 0`)
	dir := tree(t, map[string]string{"package.json": `{"dependencies":{"x":"1"}}`, "package-lock.json": "{}", "node_modules/": ""})
	c := caseIn(dir)
	o := lookNpm(context.Background(), c, nil)
	if !o.Tried || !o.Works || o.State != observe.Yes {
		t.Errorf("%+v", o)
	}
	c.Asked = []Subject{{Ecosystem: Npm, Path: "widget", Version: "1.0.0"}}
	if o := lookNpm(context.Background(), c, nil); !o.Works {
		t.Errorf("%+v", o)
	}
	want := []string{
		"ls --json",
		"ci --ignore-scripts --no-audit --no-fund",
		"install --dry-run --no-package-lock widget@1.0.0 --ignore-scripts --no-audit --no-fund",
		"pack widget@1.0.0 --ignore-scripts --no-audit --no-fund",
	}
	if diff := cmp.Diff(want, lines(t, noted)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, where := range lines(t, filepath.Join(filepath.Dir(noted), "where")) {
		if strings.HasPrefix(where, dir) {
			t.Errorf("npm ran in the project")
		}
	}
}

func TestNpmLeftAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"plain":            {files: map[string]string{"package.json": `{"dependencies":{"x":"^1.0.0","@a/b":"npm:@c/d@1"}}`}},
		"repository field": {files: map[string]string{"package.json": `{"repository":{"url":"git+https://example.com/x.git"},"dependencies":{"x":"1"}}`}},
		"git":              {files: map[string]string{"package.json": `{"dependencies":{"x":"git+https://example.com/x.git"}}`}, want: "doctor.npm.elsewhere"},
		"forge":            {files: map[string]string{"package.json": `{"dependencies":{"x":"acme/x"}}`}, want: "doctor.npm.elsewhere"},
		"directory":        {files: map[string]string{"package.json": `{"dependencies":{"x":"file:../x"}}`}, want: "doctor.npm.elsewhere"},
		"git in the lock": {
			files: map[string]string{"package.json": `{"dependencies":{"x":"1"}}`, "package-lock.json": `{"packages":{"node_modules/y":{"resolved": "git+ssh://git@example.com/y.git#abc"}}}`},
			want:  "doctor.npm.elsewhere",
		},
		"workspaces": {files: map[string]string{"package.json": `{"workspaces":["a"]}`}, want: "doctor.npm.workspaces"},
		"pnpm":       {files: map[string]string{"package.json": `{}`, "pnpm-lock.yaml": ""}, want: "doctor.npm.other"},
		"yarn":       {files: map[string]string{"package.json": `{"packageManager":"yarn@4.0.0"}`}, want: "doctor.npm.other"},
		"broken":     {files: map[string]string{"package.json": `{`}, want: "doctor.npm.unreadable"},
	} {
		if got := caseIn(tree(t, test.files)).npmLeftAlone(); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestRequirementLines(t *testing.T) {
	t.Parallel()
	got := requirementLines("\ufeff# a comment\r\nwidget==1.0 # why\nother>=2 \\\n  --hash=sha256:aa\n\n-e .\n./local\ngit+https://example.com/x\n" +
		"name @ https://example.com/a.whl\n-r more.txt\n--index-url https://pypi.example.org/simple\n$SECRET\nc:\\x\nleft=1\n")
	want := []string{"widget==1.0", "other>=2    --hash=sha256:aa", "--index-url https://pypi.example.org/simple", "left=1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := requirementLines("--index-url https://pypi.example.org/simple\n"); got != nil {
		t.Errorf("nothing is required, but: %v", got)
	}
}

// TestPythonElsewhere: Python imports from the directory that it runs in, so it never
// runs in the project.
func TestPythonElsewhere(t *testing.T) {
	noted := fake(t, "python3", `pwd >> "$(dirname "$0")/where"
case "$*" in
*download*) echo "ERROR: No matching distribution found for widget"; exit 1;;
*tomllib*) echo "widget==1.0";;
esac
exit 1`)
	dir := tree(t, map[string]string{"requirements.txt": "widget==1.0\n"})
	t.Chdir(dir)
	lookPip(context.Background(), caseIn(dir), nil)
	toml := tree(t, map[string]string{"pyproject.toml": ""})
	t.Chdir(toml)
	lookPip(context.Background(), caseIn(toml), nil)
	c := caseIn(dir)
	c.pipIndex(context.Background())
	c.externallyManaged(context.Background(), "python3", t.TempDir(), Outcome{Works: true})
	where := lines(t, filepath.Join(filepath.Dir(noted), "where"))
	if len(where) < 6 {
		t.Errorf("Python ran only %d times", len(where))
	}
	for _, at := range where {
		if strings.HasPrefix(at, dir) || strings.HasPrefix(at, toml) {
			t.Errorf("Python ran in the project")
		}
	}
}

// TestPipSource: a project with source distributions only is no fault, and is not built.
func TestPipSource(t *testing.T) {
	const script = `case "$3" in
download) echo "ERROR: No matching distribution found for widget==1.0"; exit 1;;
index) echo "widget (1.0)"; echo "Available versions: 1.0, 0.9";;
*) exit 1;;
esac`
	noted := fake(t, "python3", script)
	c := caseIn(tree(t, nil))
	c.Asked = []Subject{{Ecosystem: PyPI, Path: "widget", Version: "1.0"}}
	o := lookPip(context.Background(), c, nil)
	if !o.Works || o.Key != "doctor.pip.source" || len(o.Findings) > 0 {
		t.Errorf("%+v", o)
	}
	for _, l := range lines(t, noted) {
		if strings.Contains(l, "download") && !strings.Contains(l, "--only-binary :all:") {
			t.Errorf("pip might build: %s", l)
		}
	}
	c.Asked[0].Version = "2.0"
	if o := lookPip(context.Background(), c, nil); o.Works || o.State == observe.Yes {
		t.Errorf("a version that is nowhere: %+v", o)
	}
}

// TestNpmBorrows: a project that nobody vouches for gets no variable of this environment
// sent to a host of its choice.
func TestNpmBorrows(t *testing.T) {
	t.Parallel()
	const rc = "registry=https://npm.example.org/\n//npm.example.org/:_authToken=${NPM_TOKEN}\n"
	for name, test := range map[string]struct {
		rc   string
		os   map[string]string
		own  []settings.Entry
		want string
	}{
		"not set":           {rc: rc},
		"set":               {rc: rc, os: map[string]string{"NPM_TOKEN": "x"}, want: "NPM_TOKEN npm.example.org"},
		"optional":          {rc: "//evil.example.org/:_authToken=${AWS_SECRET?}\n", os: map[string]string{"AWS_SECRET": "x"}, want: "AWS_SECRET evil.example.org"},
		"the user names it": {rc: rc, os: map[string]string{"NPM_TOKEN": "x"}, own: []settings.Entry{{Name: "registry", Value: "https://npm.example.org/", Place: "user"}}},
		"only the project":  {rc: rc, os: map[string]string{"NPM_TOKEN": "x"}, own: []settings.Entry{{Name: "registry", Value: "https://npm.example.org/", Place: "project"}}, want: "NPM_TOKEN npm.example.org"},
		"no variable":       {rc: "registry=https://npm.example.org/\n", os: map[string]string{"NPM_TOKEN": "x"}},
	} {
		c := caseIn(tree(t, map[string]string{".npmrc": test.rc}))
		c.Settings.OS, c.Settings.Npm = test.os, test.own
		variable, host := c.borrows()
		if got := strings.TrimSpace(variable + " " + host); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
