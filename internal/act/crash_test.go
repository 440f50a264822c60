//go:build unix

package act_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/act"
)

// crash tells a child process, which is this test binary again, what to do and after
// how many checkpoints to kill itself.
type crash struct {
	Dir, State, Story string
	Undo              int // the operation to undo; 0 runs the plan
	At                int
}

func TestMain(m *testing.M) {
	if s := os.Getenv("ACT_CRASH"); s != "" {
		dieInTheMiddle(s)
		return
	}
	os.Exit(m.Run())
}

func dieInTheMiddle(s string) {
	var c crash
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		panic(err)
	}
	n := 0
	e := &act.Engine{Dir: c.State, Checkpoint: func(string) {
		if n++; n == c.At {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	var err error
	if c.Undo > 0 {
		_, _, err = e.Undo(context.Background(), c.Undo, "")
	} else {
		_, err = e.Run(context.Background(), crashPlan(c.Dir, c.Story), yes)
	}
	if err != nil {
		panic(err)
	}
}

// crashPlan is made anew by each process, as keepwell's would be.
func crashPlan(dir, story string) act.Plan {
	edit, err := act.Replace(filepath.Join(dir, "profile"), "old", "new")
	if err != nil {
		panic(err)
	}
	all := map[string][]act.Step{
		"edit":    {edit},
		"go":      {act.GoEnv{Name: "GOPROXY", Value: "https://bob:" + secret + "@x.example", File: filepath.Join(dir, "goenv")}},
		"tool":    {act.Run{Dir: dir, Name: "go", Args: []string{"mod", "edit", "-go=1.22"}, Files: []string{"go.mod"}, Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local"}}},
		"tree":    {act.RemoveDir{Path: filepath.Join(dir, "unpacked@v1")}},
		"vendor":  {act.Run{Dir: dir, Name: "go", Args: []string{"mod", "vendor"}, Files: []string{"go.mod"}, Trees: []string{"vendor"}, Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off"}}},
		"remove":  {act.Remove{Path: filepath.Join(dir, "bad.mod")}},
		"files":   {files(dir), act.Run{Dir: dir, Name: "go", Args: []string{"mod", "edit", "-go=1.22"}, Files: []string{"go.mod"}, Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local"}}},
		"last":    {edit, files(dir)},
		"twice":   {rewrites(dir), act.Run{Dir: dir, Name: "go", Args: []string{"mod", "edit", "-go=1.22"}, Files: []string{"go.mod"}, Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local"}}},
		"several": {act.Remove{Path: filepath.Join(dir, "bad.mod")}, edit, act.Edit{Path: filepath.Join(dir, "fresh"), After: []byte("x")}, act.Chmod{Path: filepath.Join(dir, "go.mod"), Mode: 0o600}},
	}
	return act.Plan{Command: "test", Note: story, Steps: all[story]}
}

// files changes several files as one step.
func files(dir string) act.Edits {
	e := act.Edits{Target: "a => b"}
	for _, n := range sources {
		path := filepath.Join(dir, n)
		data, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		e.Files = append(e.Files, act.Edit{Path: path, Before: data, After: []byte("new " + n)})
	}
	e.Files = append(e.Files, act.Edit{Path: filepath.Join(dir, "sub", "fresh.go"), After: []byte("new")})
	return e
}

// rewrites changes files one of which a tool changes after it.
func rewrites(dir string) act.Edits {
	e := files(dir)
	path := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	e.Files = append(e.Files, act.Edit{Path: path, Before: data, After: append(data[:len(data):len(data)], "\n// more\n"...)})
	return e
}

var sources = []string{"a.go", "b.go", "sub/a.go"}

func crashDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "profile"), "old token="+secret+"\n")
	write(t, filepath.Join(dir, "goenv"), "GOPROXY=https://bob:"+secret+"@old.example\n")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/m\n\ngo 1.21\n")
	write(t, filepath.Join(dir, "bad.mod"), "<html>")
	for _, n := range sources {
		write(t, filepath.Join(dir, n), "old "+n)
	}
	if err := os.MkdirAll(filepath.Join(dir, "unpacked@v1", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "unpacked@v1", "sub", "a.txt"), "a")
	if err := os.MkdirAll(filepath.Join(dir, "vendor"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "vendor", "modules.txt"), "# old")
	return dir
}

// die runs c in a child and reports whether it was killed before it was through.
func die(t *testing.T, c crash) bool {
	t.Helper()
	arg, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "ACT_CRASH="+string(arg))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child failed otherwise: %v\n%s", err, out)
	}
	return true
}

// TestKilledAnywhere kills a real process with SIGKILL at each durable point of a run
// and of an undo. The next engine must find either the old state or the new one, whole,
// and a journal with nothing open.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, story := range []string{"edit", "go", "tool", "remove", "several", "tree", "vendor", "files", "last", "twice"} {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			// What it looks like when nobody is killed.
			model := crashDir(t)
			before := relative(t, model)
			if die(t, crash{Dir: model, State: t.TempDir(), Story: story}) {
				t.Fatal("killed without reason")
			}
			after := relative(t, model)

			points := 0
			for at := 1; ; at++ {
				dir, state := crashDir(t), t.TempDir()
				if !die(t, crash{Dir: dir, State: state, Story: story, At: at}) {
					break
				}
				points++
				noSecrets(t, state)
				whole(t, at, state, relative(t, dir), before, after, dir)
			}
			for at := 1; ; at++ {
				dir, state := crashDir(t), t.TempDir()
				die(t, crash{Dir: dir, State: state, Story: story})
				if !die(t, crash{Dir: dir, State: state, Story: story, Undo: 1, At: at}) {
					break
				}
				points++
				settle(t, state)
				if diff := cmp.Diff(before, relative(t, dir)); diff != "" {
					t.Errorf("killed at point %d of undo (-want +got):\n%s", at, diff)
				}
			}
			if points < 8 {
				t.Errorf("killed at %d points only", points)
			}
			t.Logf("killed at %d points", points)
		})
	}
}

// settle lets the next engine look; it has nothing else to do.
func settle(t *testing.T, state string) []act.Recovered {
	t.Helper()
	e := &act.Engine{Dir: state}
	r, _ := e.Run(t.Context(), act.Plan{}, yes) // ErrManual: an empty plan
	history, err := e.History()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range history {
		if h.State == "open" {
			t.Errorf("%+v is still open", h)
		}
	}
	return r.Recovered
}

func whole(t *testing.T, at int, state string, _, before, after map[string]string, dir string) {
	t.Helper()
	recovered := settle(t, state)
	got := relative(t, dir)
	isNew := cmp.Equal(after, got)
	if !isNew && !cmp.Equal(before, got) {
		t.Errorf("killed at point %d, neither old nor new (-old +got):\n%s", at, cmp.Diff(before, got))
	}
	history, _ := (&act.Engine{Dir: state}).History()
	if len(history) == 1 && (history[0].State == "held") != isNew {
		t.Errorf("killed at point %d: the journal says %s, recovered %+v, new is %v", at, history[0].State, recovered, isNew)
	}
	if isNew {
		if _, _, err := (&act.Engine{Dir: state}).Undo(t.Context(), 0, ""); err != nil {
			t.Errorf("killed at point %d: undo: %v", at, err)
		}
		if diff := cmp.Diff(before, relative(t, dir)); diff != "" {
			t.Errorf("killed at point %d, then undone:\n%s", at, diff)
		}
	}
}

func relative(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for path, text := range tree(t, dir) {
		out[strings.TrimPrefix(path, dir)] = text
	}
	return out
}

// TestTornJournal: a line that a power cut left half-written announces nothing.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	dir, state := crashDir(t), t.TempDir()
	e := &act.Engine{Dir: state}
	if _, err := e.Run(t.Context(), crashPlan(dir, "edit"), yes); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(state, "journal.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	next := strings.ReplaceAll(lines[0], `"op":1`, `"op":2`)
	for _, cut := range []int{1, len(next) / 2, len(next) - 2} {
		if err := os.WriteFile(name, []byte(string(whole)+next[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		state2 := filepath.Join(t.TempDir(), strconv.Itoa(cut))
		if err := os.CopyFS(state2, os.DirFS(state)); err != nil {
			t.Fatal(err)
		}
		e := &act.Engine{Dir: state2}
		r, err := e.Run(t.Context(), act.Plan{Steps: []act.Step{act.Edit{Path: filepath.Join(t.TempDir(), "x"), After: []byte("x")}}}, yes)
		if err != nil || r.ID != 2 || len(r.Recovered) != 0 {
			t.Errorf("cut at %d: %+v, %v", cut, r, err)
		}
		history, err := e.History()
		states := []string{}
		for _, h := range history {
			states = append(states, h.State)
		}
		if err != nil || !slices.Equal(states, []string{"held", "held"}) {
			t.Errorf("cut at %d: %+v, %v", cut, states, err)
		}
	}
}
