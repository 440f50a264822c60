//go:build unix

package rewrite_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/rewrite"
)

// everyPoint kills at every durable point of a rewrite and of its undo; without it at a
// few of them.
var everyPoint = flag.Bool("every-point", false, "kill at every point of a rewrite")

// killed tells a child process, which is this test binary again, what to do and after
// how many points to kill itself.
type killed struct {
	State string
	Files []act.Edit
	Undo  int
	At    int
}

func TestMain(m *testing.M) {
	if s := os.Getenv("REWRITE_KILLED"); s != "" {
		dieInTheMiddle(s)
		return
	}
	os.Exit(m.Run())
}

func dieInTheMiddle(s string) {
	var k killed
	data, err := os.ReadFile(s)
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		panic(err)
	}
	n := 0
	e := &act.Engine{Dir: k.State, Checkpoint: func(string) {
		if n++; n == k.At {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	if k.Undo > 0 {
		_, _, err = e.Undo(context.Background(), k.Undo, "")
	} else {
		_, err = e.Run(context.Background(), act.Plan{Command: "test", Steps: rewrite.Outcome{Files: k.Files}.Steps()}, agreed)
	}
	if err != nil {
		panic(err)
	}
}

// die reports whether the child was killed before it was through.
func die(t *testing.T, k killed) bool {
	t.Helper()
	data, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "killed.json")
	put(t, name, string(data))
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "REWRITE_KILLED="+name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child failed otherwise: %v\n%s", err, out)
	}
	return true
}

// TestKilledRewrite kills a real process with SIGKILL in the middle of a rewrite. Every
// file is then the old or the new one, whole; the next process puts all of them back or
// keeps all of them; and a rerun, planned anew, finishes.
func TestKilledRewrite(t *testing.T) {
	t.Parallel()
	change := rewrite.Change{Kind: rewrite.Move, From: "example.com/old", To: "example.com/new/go-thing"}
	l := open(t, project)
	o, err := rewrite.Plan(t.Context(), l.project("", "."), change)
	if err != nil {
		t.Fatal(err)
	}
	old := tree(t, l.dir)
	fresh := maps.Clone(old)
	for _, f := range o.Files {
		rel, _ := filepath.Rel(l.dir, f.Path)
		fresh[filepath.ToSlash(rel)] = string(f.After)
	}
	points := 0
	for at := 1; ; at++ {
		if !*everyPoint && at > 4 && at%4 != 0 && at < 40 {
			continue
		}
		state := t.TempDir()
		if !die(t, killed{State: state, Files: o.Files, At: at}) {
			if _, _, err := (&act.Engine{Dir: state}).Undo(t.Context(), 0, ""); err != nil {
				t.Fatal(err)
			}
			break
		}
		points++
		wholeFiles(t, at, l.dir, old, fresh)
		e := &act.Engine{Dir: state}
		if _, err := e.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := tree(t, l.dir)
		if !cmp.Equal(now, old) && !cmp.Equal(now, fresh) {
			t.Errorf("killed at point %d, then recovered, neither old nor new:\n%s", at, cmp.Diff(old, now))
		}
		if cmp.Equal(now, old) {
			again, err := rewrite.Plan(t.Context(), l.project("", "."), change)
			if err != nil {
				t.Fatalf("killed at point %d, then planned anew: %v", at, err)
			}
			if _, err := e.Run(t.Context(), act.Plan{Command: "test", Steps: again.Steps()}, agreed); err != nil {
				t.Fatalf("killed at point %d, then run anew: %v", at, err)
			}
		}
		if diff := cmp.Diff(fresh, tree(t, l.dir)); diff != "" {
			t.Errorf("killed at point %d, then run anew (-want +got):\n%s", at, diff)
		}
		if _, _, err := e.Undo(t.Context(), 0, ""); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(old, tree(t, l.dir)); diff != "" {
			t.Fatalf("killed at point %d, then undone (-want +got):\n%s", at, diff)
		}
	}
	for at := 1; *everyPoint; at++ {
		state := t.TempDir()
		if die(t, killed{State: state, Files: o.Files}) {
			t.Fatal("killed without reason")
		}
		dead := die(t, killed{State: state, Files: o.Files, Undo: 1, At: at})
		wholeFiles(t, at, l.dir, old, fresh)
		if _, err := (&act.Engine{Dir: state}).Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(old, tree(t, l.dir)); diff != "" {
			t.Fatalf("killed at point %d of undo (-want +got):\n%s", at, diff)
		}
		if !dead {
			break
		}
		points++
	}
	if points < 5 {
		t.Errorf("killed at %d points only", points)
	}
	t.Logf("killed at %d points", points)
}

// wholeFiles holds each file to its old or its new bytes; what is left beside them has
// the engine's names.
func wholeFiles(t *testing.T, at int, dir string, old, fresh map[string]string) {
	t.Helper()
	for name, text := range tree(t, dir) {
		if text != old[name] && text != fresh[name] && !strings.HasPrefix(filepath.Base(name), ".keepwell-") {
			t.Errorf("killed at point %d: %s is half done", at, name)
		}
	}
}

// BenchmarkFiles rewrites a tree of 5,000 Go files, half of which import what is left:
// plan (without go), carry out, undo.
func BenchmarkFiles(b *testing.B) {
	l := open(b, "-- go.mod --\nmodule example.org/app\n\ngo 1.20\n\nrequire example.com/old v1.0.0\n")
	for i := range 5000 {
		imports := "\t\"fmt\"\n"
		if i%2 == 0 {
			imports += "\n\t\"example.com/old\"\n\t\"example.com/old/sub\"\n"
		}
		body := strings.Repeat(fmt.Sprintf("\nfunc f%d(a, b int) (int, error) {\n\treturn a + b, fmt.Errorf(\"no\")\n}\n", i), 40)
		put(b, filepath.Join(l.dir, fmt.Sprintf("p%03d", i/20), fmt.Sprintf("f%d.go", i)), fmt.Sprintf("package p\n\nimport (\n%s)\n%s", imports, body))
	}
	for b.Loop() {
		b.StopTimer()
		p := l.project("", ".")
		p.Go = nil
		b.StartTimer()
		since := b.Elapsed()
		files, err := rewrite.Sources(b.Context(), p, rewrite.Change{Kind: rewrite.Move, From: "example.com/old", To: "example.com/new/go-thing"})
		if err != nil || len(files) != 2500 {
			b.Fatal(len(files), err)
		}
		plan := b.Elapsed() - since
		b.ReportMetric(plan.Seconds(), "plan-s")
		began := b.Elapsed()
		steps := rewrite.Outcome{Files: slices.Clone(files)}.Steps()
		if _, err := (act.Plan{Steps: steps}).Preview(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((b.Elapsed() - began).Seconds(), "preview-s")
		began = b.Elapsed()
		e := &act.Engine{Dir: b.TempDir()}
		r, err := e.Run(b.Context(), act.Plan{Command: "test", Steps: steps}, agreed)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((b.Elapsed() - began).Seconds(), "run-s")
		began = b.Elapsed()
		if _, _, err := e.Undo(b.Context(), r.ID, ""); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((b.Elapsed() - began).Seconds(), "undo-s")
	}
}
