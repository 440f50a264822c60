package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
)

// TestPipRename: a line before and after; "=" where it stays.
func TestPipRename(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ version, line, want string }{
		{"", "Old_Widget", "widget"},
		{"2.0", "old.widget==1.0", "widget==2.0"},
		{"2.0", "old-widget[a, b] >=1,<2 ; python_version<'3' # why", "widget[a, b] >=2.0 ; python_version<'3' # why"},
		{"2.0", "  old--widget  # plain", "  widget  # plain"},
		{"", "old-widget~=1.0", "widget~=1.0"},
		{"2.0", "old-widget-extra==1", "="},
		{"2.0", "old-widget2", "="},
		{"2.0", "old-widget @ https://example.org/x.whl", "="},
		{"2.0", "# old-widget==1.0", "="},
		{"2.0", "-r old-widget", "="},
		{"2.0", "-e git+https://example.org/old-widget#egg=old-widget", "="},
		{"2.0", "other==1 ; extra == 'old-widget'", "="},
		{"2.0", "old-widget==1.0 --hash=sha256:aa", "widget==2.0"},
	} {
		r := pipRename{from: "old-widget", to: "widget", version: test.version}
		got := r.line(test.line)
		if got == test.line {
			got = "="
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
	// Checksums are those of what pip has fetched, where the version is exact.
	hashed := pipRename{from: "old-widget", to: "widget", version: "2.0", hashes: map[string]string{"widget==2.0": "cc", "widget>=2.0": "dd"}}
	for line, want := range map[string]string{
		"old-widget==1.0 --hash=sha256:aa":                                  "widget==2.0 --hash=sha256:cc",
		"old-widget==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb": "widget==2.0 \\\n    --hash=sha256:cc",
		"old-widget==1.0 ; os_name == 'nt' \\\r\n    --hash=sha256:aa":      "widget==2.0 ; os_name == 'nt' \\\r\n    --hash=sha256:cc",
		"old-widget>=1.0 --hash=sha256:aa":                                  "widget>=2.0",
	} {
		if got := hashed.line(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if !hashed.hashed || !hashed.unhashed {
		t.Errorf("%+v", hashed)
	}
	same := pipRename{from: "old-widget", to: "old-widget", version: "1.2"}
	if got := same.line("Old_Widget"); got != "Old_Widget==1.2" {
		t.Errorf("another version of the same: %q", got)
	}
}

// TestPoetryTables: packages by name, in the tables that are Poetry's alone.
func TestPoetryTables(t *testing.T) {
	t.Parallel()
	const before = `[tool.poetry]
name = "old-widget"

[tool.poetry.dependencies]
python = "^3.11"
Old_Widget = "^1.2"   # why
"other" = "1"

[tool.poetry.group.dev.dependencies]
old-widget = { extras = ["a"], version = "~1.0", optional = true }

[tool.poetry.dev-dependencies]
"old.widget" = ">=1,<2"

[tool.poetry.group.docs.dependencies]
old-widget = {git = "https://example.org/old-widget.git", version = "1"}

[tool.other.dependencies]
old-widget = "1"
`
	const after = `[tool.poetry]
name = "old-widget"

[tool.poetry.dependencies]
python = "^3.11"
widget = "^2.0"   # why
"other" = "1"

[tool.poetry.group.dev.dependencies]
widget = { extras = ["a"], version = "~2.0", optional = true }

[tool.poetry.dev-dependencies]
"widget" = ">=2.0"

[tool.poetry.group.docs.dependencies]
old-widget = {git = "https://example.org/old-widget.git", version = "1"}

[tool.other.dependencies]
old-widget = "1"
`
	r := pipRename{from: "old-widget", to: "widget", version: "2.0", toml: true}
	if diff := cmp.Diff(after, r.text(before)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"widget==2.0", "widget==2.0", "widget==2.0"}, r.specs); diff != "" {
		t.Error(diff)
	}
	for was, want := range map[string]string{"*": "*", "1.0": "2.0", "==1.0": "==2.0", "1.*": ">=2.0", "^1 || ^2": ">=2.0"} {
		if got := poetryConstraint(was, "2.0"); got != want {
			t.Errorf("%q: %q, want %q", was, got, want)
		}
	}
}

// TestMendMark: what nobody here can mend is written down once, with who says so and
// what was seen.
func TestMendMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "go.mod"), "module example.org/app\n")
	c := cacheCase()
	c.Dir, c.Signed = dir, marks.Mark{By: "Wang Li", Since: "2026-11-23"}
	p := moved.Proposal{
		Ecosystem: moved.Go, Kind: moved.Deleted, From: "example.com/old", Confidence: 0.5, Mend: moved.AskOwner, Reason: msg.Because("doctor.fix.asked"),
		Evidence: []keepwell.Evidence{{Source: "probe", Text: "https://bob:hunter2@example.com/old: 404"}},
	}
	list, err := MendsOf(t.Context(), c, p)
	if err != nil || len(list) != 1 || !list[0].Exact {
		t.Fatalf("%+v, %v", list, err)
	}
	carriedOut(t, list[0], dir, func() {
		f, err := marks.Find(dir)
		want := []marks.Mark{{Ecosystem: "go", Name: "example.com/old", State: marks.Abandoned, Why: "named by --to", By: "Wang Li", Since: "2026-11-23", Evidence: f.Marks[0].Evidence}}
		if diff := cmp.Diff(want, f.Marks); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if strings.Contains(string(f.Text), "hunter2") {
			t.Errorf("a secret is written down:\n%s", f.Text)
		}
		if again, err := MendsOf(t.Context(), c, p); len(again) > 0 || err != nil {
			t.Errorf("marked twice: %+v, %v", again, err)
		}
	})
}

// TestMendIndex: another index for pip, or registry for a scope of npm; what is no
// address is none.
func TestMendIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := cacheCase()
	c.Dir = dir
	put(t, filepath.Join(dir, "requirements.txt"), "widget\n")
	put(t, filepath.Join(dir, ".npmrc"), "@acme:registry=https://old.example.org/\nsave-exact=true")
	p := moved.Proposal{
		Ecosystem: moved.PyPI, Kind: moved.Registry, From: "widget", To: "widget", At: "https://pypi.corp.example/simple", Mend: moved.UseRegistry,
		Reason: msg.Because("doctor.fix.asked"), Evidence: []keepwell.Evidence{{Source: "probe", Text: "x"}}, Confidence: 0.9,
	}
	for _, test := range []struct {
		eco        moved.Ecosystem
		from, file string
		concern    act.Concern
		want       string
	}{
		{moved.PyPI, "widget", "requirements.txt", act.Trust, "--extra-index-url https://pypi.corp.example/simple\nwidget\n"},
		{moved.Npm, "@acme/widget", ".npmrc", act.Packages, "save-exact=true\n@acme:registry=https://pypi.corp.example/simple\n"},
	} {
		p.Ecosystem, p.From, p.To = test.eco, test.from, test.from
		list, err := MendsOf(t.Context(), c, p)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if x, err := list[0].Steps[0].Describe(context.Background()); err != nil || x.Concern != test.concern {
			t.Errorf("%+v, %v", x, err)
		}
		carriedOut(t, list[0], dir, func() {
			if data, err := os.ReadFile(filepath.Join(dir, test.file)); err != nil || string(data) != test.want {
				t.Errorf("%q, %v", data, err)
			}
		})
		for _, at := range []string{"https://bob:hunter2@x.example/", "file:///etc", "x\n--extra-index-url y", ""} {
			bad := p
			bad.At = at
			if list, err := MendsOf(t.Context(), c, bad); err == nil {
				t.Errorf("%q: %+v", at, list)
			}
		}
	}
}
