package workspace_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/keepwell/keepwell/internal/workspace"
)

// lay writes the files of a txtar archive into a new directory.
func lay(t *testing.T, archive string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		put(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	return dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *workspace.Workspace {
	t.Helper()
	w, err := workspace.Open(t.Context(), dir, filepath.Join(dir, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const plain = "-- go.work --\ngo 1.21\nuse ./a\n-- a/go.mod --\nmodule example.com/a\ngo 1.21\n"
	for name, x := range map[string]struct {
		files string
		want  []workspace.Kind
	}{
		"fine":      {plain, nil},
		"gone":      {"-- go.work --\ngo 1.21\nuse ./a\n", []workspace.Kind{workspace.UseGone}},
		"twice":     {"-- go.work --\ngo 1.21\nuse ./a\nuse ./b/../a\n-- a/go.mod --\nmodule example.com/a\n-- b/x --\n", []workspace.Kind{workspace.UseTwice}},
		"same path": {"-- go.work --\ngo 1.21\nuse ./a\nuse ./b\n-- a/go.mod --\nmodule example.com/a\n-- b/go.mod --\nmodule example.com/a\n", []workspace.Kind{workspace.SamePath}},
		"go line":   {"-- go.work --\ngo 1.21\nuse ./a\n-- a/go.mod --\nmodule example.com/a\ngo 1.21.1\n", []workspace.Kind{workspace.GoLine}},
		"outside":   {plain + "-- b/go.mod --\nmodule example.com/b\n-- testdata/c/go.mod --\nmodule example.com/c\n", []workspace.Kind{workspace.NotUsed}},
		"html":      {"-- go.work --\ngo 1.21\nuse ./a\n-- a/go.mod --\n<html>\n", []workspace.Kind{workspace.Unreadable}},
		"replaced": {
			plain + "require example.org/x v1.0.0\nreplace example.org/x => ../nowhere\nreplace example.com/a => ../a\nreplace example.org/y => example.org/z v1.0.0\n",
			[]workspace.Kind{workspace.ReplaceGone, workspace.ReplaceOwn, workspace.ReplaceUnused},
		},
		"own, gone": {
			plain + "require example.com/b v1.0.0\nreplace example.com/b => ../gone\n" + "-- b/go.mod --\nmodule example.com/b\n",
			[]workspace.Kind{workspace.ReplaceGone, workspace.NotUsed},
		},
		"own, in another place now": {
			"-- go.work --\ngo 1.21\nuse ./a\nuse ./c\n-- a/go.mod --\nmodule example.com/a\nrequire example.com/b v1.0.0\nreplace example.com/b => ../b\n-- c/go.mod --\nmodule example.com/b\n",
			[]workspace.Kind{workspace.ReplaceGone},
		},
		"own, never released": {
			"-- go.work --\ngo 1.21\nuse ./a\nuse ./b\n-- a/go.mod --\nmodule example.com/a\nrequire example.com/b v0.0.0\nreplace example.com/b => ../b\n-- b/go.mod --\nmodule example.com/b\n",
			[]workspace.Kind{workspace.ReplaceApart},
		},
		"clash": {
			"-- go.work --\ngo 1.21\nuse ./a\nuse ./b\n-- a/go.mod --\nmodule example.com/a\nrequire example.org/x v1.0.0\nreplace example.org/x => example.org/y v1.0.0\n" +
				"-- b/go.mod --\nmodule example.com/b\nreplace example.org/x => example.org/y v1.1.0\n",
			[]workspace.Kind{workspace.ReplaceClash},
		},
		"decided": {
			"-- go.work --\ngo 1.21\nuse ./a\nuse ./b\nreplace example.org/x => example.org/y v1.2.0\n-- a/go.mod --\nmodule example.com/a\nrequire example.org/x v1.0.0\nreplace example.org/x => example.org/y v1.0.0\n" +
				"-- b/go.mod --\nmodule example.com/b\nreplace example.org/x => example.org/y v1.1.0\n",
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []workspace.Kind
			for _, p := range open(t, lay(t, x.files)).Problems() {
				got = append(got, p.Kind)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestVersions: go chooses the highest of what is wanted by anybody, also by modules
// outside; and nothing is written on the way.
func TestVersions(t *testing.T) {
	dir := lay(t, `
-- go.work --
go 1.21
use ./a
use ./b
-- a/go.mod --
module example.com/a
go 1.21
require example.org/x v1.0.0
require example.org/y v1.0.0
require example.com/b v0.0.0
-- b/go.mod --
module example.com/b
go 1.21
require example.org/x v1.1.0
-- mod/cache/download/example.org/x/@v/v1.0.0.mod --
module example.org/x
-- mod/cache/download/example.org/x/@v/v1.1.0.mod --
module example.org/x
require example.org/y v1.3.0
-- mod/cache/download/example.org/y/@v/v1.0.0.mod --
module example.org/y
-- mod/cache/download/example.org/y/@v/v1.3.0.mod --
module example.org/y
`)
	for _, x := range []string{"x/@v/v1.0.0", "x/@v/v1.1.0", "y/@v/v1.0.0", "y/@v/v1.3.0"} {
		put(t, filepath.Join(dir, "mod/cache/download/example.org", x+".info"), `{"Version":"`+filepath.Base(x)+`"}`)
	}
	t.Setenv("GOMODCACHE", filepath.Join(dir, "mod"))
	t.Setenv("GOFLAGS", "-modcacherw")
	v, err := open(t, dir).Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := workspace.Versions{Exact: true, Dependencies: 2, Drift: []workspace.Drift{
		{Path: "example.org/x", Chosen: "v1.1.0", Wanted: []workspace.Want{{"v1.1.0", []string{"./b"}}, {"v1.0.0", []string{"./a"}}}},
		{Path: "example.org/y", Chosen: "v1.3.0", Wanted: []workspace.Want{{"v1.0.0", []string{"./a"}}}},
	}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.work.sum")); err == nil {
		t.Error("go.work.sum was written")
	}
	t.Setenv("GOMODCACHE", filepath.Join(dir, "empty"))
	if v, err = open(t, dir).Versions(t.Context()); err != nil || v.Exact || v.Why == "" || v.Drift[0].Chosen != "v1.1.0" {
		t.Errorf("without a module cache: %+v, %v", v, err)
	}
}
