package workspace_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/workspace"
)

// killed tells a child process, which is this test binary again, to bring a workspace into
// line, and after how many durable points to kill itself.
type killed struct {
	Dir, State string
	Undo       bool
	At         int
}

func TestMain(m *testing.M) {
	if s := os.Getenv("WORKSPACE_CRASH"); s != "" {
		var k killed
		if err := json.Unmarshal([]byte(s), &k); err != nil {
			panic(err)
		}
		n := 0
		e := &act.Engine{Dir: k.State, Checkpoint: func(string) {
			if n++; n == k.At {
				p, _ := os.FindProcess(os.Getpid())
				_ = p.Kill()
				select {}
			}
		}}
		var err error
		if k.Undo {
			_, _, err = e.Undo(context.Background(), 0, "")
		} else {
			err = bring(context.Background(), e, k.Dir)
		}
		if err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// bring is what `keepwell work sync` does.
func bring(ctx context.Context, e *act.Engine, dir string) error {
	if _, err := e.Recover(ctx); err != nil {
		return err
	}
	w, err := workspace.Open(ctx, dir, filepath.Join(dir, "go.work"))
	if err != nil {
		return err
	}
	s, err := w.PlanSync(ctx, nil, 2)
	if err != nil || len(s.Edits) == 0 {
		return err
	}
	if len(s.Left) > 0 {
		return fmt.Errorf("left: %v", s.Left)
	}
	steps := make([]act.Step, 0, len(s.Edits))
	for _, x := range s.Edits {
		steps = append(steps, x)
	}
	_, err = e.Run(ctx, act.Plan{Command: "work", Note: "sync", Steps: steps}, func(context.Context, act.Change) (bool, error) { return true, nil })
	return err
}

// drifted is a workspace of three modules in which much is to be done: versions differ, a
// requirement is not needed, one is missing, one module was never released.
func drifted(t *testing.T) string {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sums := proxied(t, filepath.Join(top, "proxy"))
	for name, value := range map[string]string{
		"GOPROXY": "file://" + filepath.ToSlash(filepath.Join(top, "proxy")), "GOSUMDB": "off", "GOMODCACHE": filepath.Join(top, "mod"), "GOFLAGS": "-modcacherw", "GOENV": "off", "GOWORK": "", "GOTOOLCHAIN": "local",
	} {
		t.Setenv(name, value)
	}
	dir := filepath.Join(top, "repo")
	for name, text := range map[string]string{
		"go.work":  "go 1.21\n\nuse (\n\t./a\n\t./b\n\t./c\n)\n",
		"a/go.mod": "module example.com/a\n\ngo 1.21\n\nrequire (\n\texample.org/e0 v1.0.0\n\texample.org/e3 v1.0.0 // indirect\n)\n",
		"a/go.sum": sums,
		"a/a.go":   "package a\n\nimport _ \"example.org/e0\"\n",
		"b/go.mod": "module example.com/b\n\ngo 1.21\n\nrequire example.org/e0 v1.1.0\n",
		"b/go.sum": sums,
		"b/b.go":   "package b\n\nimport (\n\t_ \"example.com/a\"\n\t_ \"example.org/e0/more\"\n)\n",
		"c/go.mod": "module example.com/c\n\ngo 1.21\n\nrequire example.com/b v0.1.0\n",
		"c/c.go":   "package c\n\nimport (\n\t_ \"example.com/b\"\n\t_ \"example.org/e1\"\n)\n",
	} {
		put(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	return dir
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func again(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		put(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
}

// TestSync: versions come together, what is not needed goes, also where a module was never
// released; a second time there is nothing to do; go then builds, together.
func TestSync(t *testing.T) {
	dir := drifted(t)
	before := contents(t, dir)
	e := &act.Engine{Dir: t.TempDir()}
	if err := bring(t.Context(), e, dir); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	for name, want := range map[string]string{
		"a/go.mod": "module example.com/a\n\ngo 1.21\n\nrequire example.org/e0 v1.1.0\n",
		"b/go.mod": "module example.com/b\n\ngo 1.21\n\nrequire example.org/e0 v1.1.0\n",
	} {
		if diff := cmp.Diff(want, after[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if c := after["c/go.mod"]; !strings.Contains(c, "example.com/b v0.1.0") || !strings.Contains(c, "example.org/e1 v1.2.0") || strings.Contains(c, "replace") {
		t.Errorf("c/go.mod: %s", c)
	}
	if strings.Contains(after["a/go.sum"], "example.org/e3 v1.0.0 ") {
		t.Errorf("a/go.sum still has what nobody needs:\n%s", after["a/go.sum"])
	}
	// go itself wants to know b v0.1.0, which nobody released.
	put(t, filepath.Join(dir, "go.work"), before["go.work"]+"\nreplace example.com/b v0.1.0 => ./b\n")
	out, err := exec.CommandContext(t.Context(), "go", "-C", dir, "build", "./a/...", "./b/...", "./c/...").CombinedOutput()
	if err != nil {
		t.Errorf("go build: %v\n%s", err, out)
	}
	put(t, filepath.Join(dir, "go.work"), before["go.work"])
	_ = os.Remove(filepath.Join(dir, "go.work.sum")) // go build may write it, and the copy too
	delete(after, "go.work.sum")
	if err := bring(t.Context(), e, dir); err != nil {
		t.Fatal(err)
	}
	settled := contents(t, dir)
	delete(settled, "go.work.sum")
	if diff := cmp.Diff(after, settled); diff != "" {
		t.Errorf("a second time (-want +got):\n%s", diff)
	}
	if _, _, err := e.Undo(t.Context(), 1, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("undone (-want +got):\n%s", diff)
	}
}

// TestSyncKilled kills a real process at each durable point of sync and of its undo. Whoever
// looks next finds all files as before or all as after, and running it again ends as if
// nobody had been killed.
func TestSyncKilled(t *testing.T) {
	dir := drifted(t)
	before := contents(t, dir)
	if err := bring(t.Context(), &act.Engine{Dir: t.TempDir()}, dir); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	die := func(k killed) bool {
		arg, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "WORKSPACE_CRASH="+string(arg))
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState.ExitCode() > 0 {
			t.Fatalf("the child failed otherwise: %v\n%s", err, out)
		}
		return err != nil
	}
	points := 0
	for at := 1; ; at++ {
		state := t.TempDir()
		again(t, dir, before)
		if !die(killed{Dir: dir, State: state, At: at}) {
			break
		}
		points++
		e := &act.Engine{Dir: state}
		if _, err := e.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, dir); !cmp.Equal(before, got) && !cmp.Equal(after, got) {
			t.Errorf("killed at point %d, neither old nor new:\n%s", at, cmp.Diff(before, got))
		}
		if at%5 != 0 { // planning takes a second: not after each
			continue
		}
		if err := bring(t.Context(), e, dir); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(after, contents(t, dir)); diff != "" {
			t.Errorf("killed at point %d, then run again (-want +got):\n%s", at, diff)
		}
	}
	state := t.TempDir()
	again(t, dir, before)
	die(killed{Dir: dir, State: state})
	for at := 1; ; at++ {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(state)); err != nil {
			t.Fatal(err)
		}
		again(t, dir, after)
		if !die(killed{Dir: dir, State: copied, Undo: true, At: at}) {
			break
		}
		points++
		if _, err := (&act.Engine{Dir: copied}).Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
			t.Errorf("killed at point %d of undo (-want +got):\n%s", at, diff)
		}
	}
	if points < 20 {
		t.Errorf("killed at %d points only", points)
	}
	t.Logf("killed at %d points", points)
}

// TestInit: go writes go.work; what is no module of the repository stays out, and nothing
// of a go.work that exists is lost.
func TestInit(t *testing.T) {
	t.Setenv("GOENV", "off")
	t.Setenv("GOTOOLCHAIN", "local")
	dir := lay(t, `
-- a/go.mod --
module example.com/a
go 1.21
-- b/inner/go.mod --
module example.com/b
go 1.22.3
-- same/go.mod --
module example.com/a
-- bad/go.mod --
<html>
-- vendor/x/go.mod --
module example.com/x
-- a/testdata/y/go.mod --
module example.com/y
-- _old/go.mod --
module example.com/old
-- .hidden/go.mod --
module example.com/hidden
`)
	p, err := workspace.PlanInit(t.Context(), workspace.InitOptions{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"./a", "./b/inner"}, p.Added); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	why := []string{}
	for _, o := range p.Omitted {
		why = append(why, o.Dir+" "+o.Why)
	}
	if !slices.Equal(why, []string{"./bad unreadable", "./same same-path"}) || p.Exists || len(p.Edits) != 1 {
		t.Errorf("%v, %+v", why, p)
	}
	if got := string(p.Edits[0].After); got != "go 1.22.3\n\nuse (\n\t./a\n\t./b/inner\n)\n" {
		t.Errorf("got %s", got)
	}
	const kept = "go 1.23\n\n// Mine.\nuse ./gone\n\nreplace example.org/x => ../x // why\n"
	put(t, filepath.Join(dir, "go.work"), kept)
	if p, err = workspace.PlanInit(t.Context(), workspace.InitOptions{Root: dir, Dirs: []string{filepath.Join(dir, "a")}}); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Edits[0].After); !p.Exists || !strings.Contains(got, "// Mine.\n") || !strings.Contains(got, "./gone") || !strings.Contains(got, "./a") || !strings.Contains(got, "../x // why") || !strings.HasPrefix(got, "go 1.23\n") {
		t.Errorf("got %s", got)
	}
	put(t, filepath.Join(dir, "go.work"), "go 1.23\nuse (\n\t./a\n\t./b/inner\n)\n")
	if p, err = workspace.PlanInit(t.Context(), workspace.InitOptions{Root: dir}); err != nil || len(p.Edits)+len(p.Added) != 0 {
		t.Errorf("nothing is missing: %+v, %v", p, err)
	}
	if _, err := workspace.PlanInit(t.Context(), workspace.InitOptions{Root: t.TempDir()}); err == nil {
		t.Error("no modules, and no error")
	}
}

// TestOrder: needed modules first, circles told, what failed holds up what needs it alone.
func TestOrder(t *testing.T) {
	t.Setenv("GOENV", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOPROXY", "off")
	files := "-- go.work --\ngo 1.21\nuse (\n./a\n./b\n./c\n./d\n./e\n)\n"
	for name, src := range map[string]string{
		"a": "import _ \"example.com/b\"", "b": "import _ \"example.com/c\"", "c": "", "d": "import _ \"example.com/e\"", "e": "",
	} {
		files += fmt.Sprintf("-- %[1]s/go.mod --\nmodule example.com/%[1]s\ngo 1.21\n-- %[1]s/x.go --\npackage %[1]s\n%[2]s\n", name, src)
	}
	files += "-- e/x_test.go --\npackage e_test\nimport _ \"example.com/d\"\n"
	w := open(t, lay(t, files))
	g, err := w.Graph(t.Context())
	if err != nil || g.Why != "" {
		t.Fatal(err, g.Why)
	}
	o := g.Order(w.Modules)
	names := func(list []*workspace.Module) (out []string) {
		for _, m := range list {
			out = append(out, m.Rel)
		}
		return out
	}
	if diff := cmp.Diff([]string{"./c", "./d", "./e", "./b", "./a"}, names(o.Modules)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{{"example.com/d", "example.com/e"}}, o.Cycles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Only two of them: what lies between still orders.
	some := g.Order([]*workspace.Module{w.Modules[0], w.Modules[2]})
	if diff := cmp.Diff([]string{"./c", "./a"}, names(some.Modules)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, keep := range []bool{false, true} {
		var begun []string
		states := map[string]string{}
		r := workspace.Runner{KeepGoing: keep, Started: func(m *workspace.Module) { begun = append(begun, m.Rel) }, Ended: func(o workspace.Outcome) { states[o.Module.Rel] = o.State }}
		r.Do = func(m *workspace.Module) (int, error) {
			if m.Rel == "./c" {
				return 7, nil
			}
			return 0, nil
		}
		r.Run(t.Context(), o)
		want := map[string]string{"./c": "failed", "./d": "not-run", "./e": "not-run", "./b": "skipped", "./a": "skipped"}
		if keep {
			want["./d"], want["./e"] = "ok", "ok"
		}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("keep going %v (-want +got):\n%s, begun %v", keep, diff, begun)
		}
	}
}
