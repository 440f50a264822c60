//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/modcache"
)

// world is a cache of small modules, filled by the real go, and where go gets them from.
type world struct {
	cache, source, project string
	sums                   map[string]string
}

// newWorld makes one with n modules.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{cache: filepath.Join(dir, "mod"), source: filepath.Join(dir, "source"), project: filepath.Join(dir, "project"), sums: map[string]string{}}
	mod := "module example.com/project\n\ngo 1.21\n"
	var wants []string
	for i := range n {
		m := module.Version{Path: fmt.Sprintf("example.com/Widget%02d", i), Version: "v1.0.0"}
		w.publish(t, m)
		mod += fmt.Sprintf("\nrequire %s %s\n", m.Path, m.Version)
		wants = append(wants, m.String())
	}
	save(t, filepath.Join(w.project, "go.mod"), mod)
	w.goCommand(t, "mod", "download", "all")
	data, err := os.ReadFile(filepath.Join(w.project, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		f := strings.Fields(l)
		w.sums[f[0]+" "+f[1]] = f[2]
	}
	if len(w.sums) != 2*n {
		t.Fatalf("%d sums of %v", len(w.sums), wants)
	}
	return w
}

func save(t *testing.T, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// publish puts a module where go fetches it.
func (w *world) publish(t *testing.T, m module.Version) {
	t.Helper()
	src := t.TempDir()
	mod := "module " + m.Path + "\n\ngo 1.21\n\n// " + strings.Repeat("a comment that fills the file ", 10) + "\n"
	save(t, filepath.Join(src, "go.mod"), mod)
	save(t, filepath.Join(src, "a.go"), "package a\n\n// V is what it is.\nconst V = \""+strings.Repeat(m.Path, 20)+"\"\n")
	save(t, filepath.Join(src, "sub", "b.go"), "package b\n")
	var out bytes.Buffer
	if err := modzip.CreateFromDir(&out, m, src); err != nil {
		t.Fatal(err)
	}
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(w.source, escaped, "@v")
	save(t, filepath.Join(base, "list"), m.Version+"\n")
	save(t, filepath.Join(base, m.Version+".info"), `{"Version":"`+m.Version+`","Time":"2024-01-02T03:04:05Z"}`)
	save(t, filepath.Join(base, m.Version+".mod"), mod)
	save(t, filepath.Join(base, m.Version+".zip"), out.String())
}

func (w *world) env() []string {
	return []string{
		"GOMODCACHE=" + w.cache, "GOPROXY=file://" + w.source, "GONOSUMDB=*", "GOSUMDB=off", "GOFLAGS=-modcacherw -mod=mod", "GOWORK=off", "GOTOOLCHAIN=local", "GOENV=off",
	}
}

func (w *world) goCommand(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = w.project
	cmd.Env = append(os.Environ(), w.env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *world) check() modcache.Check {
	return modcache.Check{Cache: modcache.Cache{Dir: w.cache}, Sums: w.sums, Database: "off", Records: filepath.Join(filepath.Dir(w.cache), "records")}
}

// fetch has the real go fetch.
func (w *world) fetch(ctx context.Context, whole, mods []module.Version) (map[module.Version]string, error) {
	absent := map[module.Version]string{}
	for _, m := range slices.Concat(whole, mods) {
		cmd := exec.CommandContext(ctx, "go", "mod", "download", m.String())
		cmd.Dir, cmd.Env = w.project, append(os.Environ(), w.env()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			absent[m] = string(out)
		}
	}
	return absent, nil
}

func agree(context.Context, act.Change) (bool, error) { return true, nil }

// plantAll plants every damage, each in a module of its own, and returns which.
func plantAll(t *testing.T, cache string) map[string]victim {
	t.Helper()
	list, err := victims(cache)
	if err != nil {
		t.Fatal(err)
	}
	all := damages()
	if len(list) < len(all)+1 {
		t.Fatalf("only %d victims", len(list))
	}
	out := map[string]victim{}
	for i, d := range all {
		if err := d.plant(list[i], list[len(list)-1]); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		out[d.name] = list[i]
	}
	return out
}

// TestThirtyDamages: all are found, in the right module, nothing else is; all are mended,
// and nothing else was touched; undo brings them back.
func TestThirtyDamages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, len(damages())+3)
	sound, err := snapshot(w.cache)
	if err != nil {
		t.Fatal(err)
	}
	planted := plantAll(t, w.cache)
	ill, err := snapshot(w.cache)
	if err != nil && os.Getuid() == 0 {
		t.Fatal(err)
	}
	r, err := modcache.Verify(t.Context(), w.check())
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range planted {
		if !slices.ContainsFunc(r.Faults, func(f modcache.Fault) bool { return f.Module == v.Path }) {
			t.Errorf("not found: %s (%s)", name, v.Path)
		}
	}
	for _, f := range r.Faults {
		if !slices.ContainsFunc(damages(), func(d damage) bool { return planted[d.name].Path == f.Module }) {
			t.Errorf("found without reason: %+v", f)
		}
	}
	engine := &act.Engine{Dir: t.TempDir()}
	done, err := modcache.Repair(t.Context(), modcache.RepairOptions{Check: w.check(), Engine: engine, Consent: agree, Fetch: w.fetch})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Left.Faults) > 0 {
		t.Errorf("left: %+v", done.Left.Faults)
	}
	after, err := snapshot(w.cache)
	if err != nil {
		t.Fatal(err)
	}
	if diff := differs(sound, after); len(diff) > 0 {
		t.Errorf("not as before: %q; did not come: %v", diff, done.Absent)
	}
	for _, id := range done.Operations {
		if _, _, err := engine.Undo(t.Context(), id, ""); err != nil {
			t.Fatalf("undoing %d: %v", id, err)
		}
	}
	back, err := snapshot(w.cache)
	if err != nil && os.Getuid() == 0 {
		t.Fatal(err)
	}
	// What was absent and came is no harm; what was there is there again.
	for _, p := range differs(ill, back) {
		if _, was := ill[p]; was {
			t.Errorf("undo did not bring back %s", p)
		}
	}
}

// killed tells a child, this binary again, when to die.
type killed struct {
	Cache, Source, Project, State string
	Sums                          map[string]string
	At                            int
	Clean                         bool
}

func TestMain(m *testing.M) {
	s := os.Getenv("MODCACHE_KILL")
	if s == "" {
		os.Exit(m.Run())
	}
	var k killed
	if err := json.Unmarshal([]byte(s), &k); err != nil {
		panic(err)
	}
	n := 0
	if k.Clean {
		if err := cleanAll(context.Background(), k.Cache, k.State, func(string) {
			if n++; n == k.At {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}); err != nil {
			panic(err)
		}
		return
	}
	w := &world{cache: k.Cache, source: k.Source, project: k.Project, sums: k.Sums}
	_, err := modcache.Repair(context.Background(), modcache.RepairOptions{
		Check: w.check(), Consent: agree,
		Engine: &act.Engine{Dir: k.State, Checkpoint: func(string) {
			if n++; n == k.At {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}},
	})
	if err != nil {
		panic(err)
	}
}

// kills is how many moments the loops below kill at, beside the durable points.
var kills = flag.Int("kills", 3, "how many random moments of a repair, and of a clean, are killed at") //nolint:gochecknoglobals // a flag of the tests

// dies runs a child that dies at its point or, where that is 0, within the time; it
// reports whether it died, and how long it lived.
func (k killed) dies(t *testing.T, within time.Duration) (died bool, lived time.Duration) {
	t.Helper()
	arg, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "MODCACHE_KILL="+string(arg))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if within > 0 {
		defer time.AfterFunc(within, func() { _ = cmd.Process.Kill() }).Stop()
	}
	if err = cmd.Wait(); err == nil {
		return false, time.Since(began)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child failed otherwise: %v\n%s", err, out.String())
	}
	return true, time.Since(began)
}

// anywhere runs try at each point to die at, from 1 until a child lives, of which there are
// to be at least so many; then with random times within which to die, as many as the flag
// says, out of the whole life of a child.
func anywhere(t *testing.T, least int, try func(at int, within time.Duration) (died bool, lived time.Duration)) {
	t.Helper()
	at := 1
	for died := true; died; at++ {
		died, _ = try(at, 0)
	}
	at--
	if t.Logf("%d points", at-1); at < least {
		t.Fatalf("only %d points to die at", at)
	}
	_, whole := try(0, 0)
	died := 0
	for range *kills {
		if yes, lived := try(0, 1+rand.N(whole)); yes {
			died++
		} else {
			whole = lived // the machine is quicker now, or slower
		}
	}
	t.Logf("%d of %d died", died, *kills)
}

// TestRepairKilledAnywhere kills a real process at each durable point of a repair, and
// at random moments; the next one must bring the cache to order and touch nothing that
// was sound.
func TestRepairKilledAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, len(damages())+1)
	plantAll(t, w.cache)
	some := []int{0, 3, 7, 9, 16, 19, 26, 28} // of each kind of change
	try := func(at int, within time.Duration) (bool, time.Duration) {
		dir := t.TempDir()
		one := &world{cache: filepath.Join(dir, "mod"), source: w.source, project: w.project, sums: w.sums}
		all, err := victims(copyTree(t, w, one.cache, some))
		if err != nil {
			t.Fatal(err)
		}
		k := killed{Cache: one.cache, Source: w.source, Project: w.project, State: t.TempDir(), Sums: w.sums, At: at}
		died, lived := k.dies(t, within)
		if within > 0 {
			all = nil // the child fetches nothing, and may have been through with that
		}
		if died {
			one.repaired(t, k, all)
		}
		_ = os.RemoveAll(dir)
		return died, lived
	}
	anywhere(t, 20, try)
}

// repaired repairs after a kill, and holds the cache to what it must be; all are to be
// there.
func (w *world) repaired(t *testing.T, k killed, all []victim) {
	t.Helper()
	engine := &act.Engine{Dir: k.State}
	done, err := modcache.Repair(t.Context(), modcache.RepairOptions{Check: w.check(), Engine: engine, Consent: agree, Fetch: w.fetch})
	if err != nil {
		t.Fatalf("after a kill at %d: %v", k.At, err)
	}
	if len(done.Left.Faults) > 0 {
		t.Fatalf("after a kill at %d: left: %+v", k.At, done.Left.Faults)
	}
	history, err := engine.History()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range history {
		if op.State == "open" || op.State == "stuck" {
			t.Fatalf("after a kill at %d: operation %+v", k.At, op)
		}
	}
	for _, v := range all {
		if _, err := os.Stat(filepath.Join(v.tree, "a.go")); err != nil {
			t.Fatalf("after a kill at %d: %v", k.At, err)
		}
	}
}

// copyTree copies the damaged modules of those numbers, and two that are sound.
func copyTree(t *testing.T, w *world, to string, numbers []int) string {
	t.Helper()
	for _, i := range append(slices.Clone(numbers), len(damages())) {
		for _, p := range []string{fmt.Sprintf("example.com/!widget%02d@v1.0.0", i), fmt.Sprintf("cache/download/example.com/!widget%02d", i)} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(to, p)), 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(w.cache, p), filepath.Join(to, p)).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	return to
}

// cleanAll removes the modules whose names begin with Widget0.
func cleanAll(ctx context.Context, cache, state string, step func(string)) error {
	c := modcache.Cache{Dir: cache}
	plan, err := modcache.PlanClean(ctx, c, modcache.Selection{Patterns: []string{"example.com/Widget0*"}, Now: time.Now()})
	if err != nil {
		return err
	}
	_, err = modcache.Clean(ctx, c, plan, state, step)
	return err
}

// TestCleanKilledAnywhere kills a real process at each durable point of a clean, and at
// random moments. The next one finishes; what was not selected is as it was, and the dry run was exact.
func TestCleanKilledAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 14)
	before, err := snapshot(w.cache)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for p, v := range before {
		if !strings.Contains(p, "!widget0") {
			want[p] = v
		}
	}
	try := func(at int, within time.Duration) (bool, time.Duration) {
		dir, state := t.TempDir(), t.TempDir()
		one := filepath.Join(dir, "mod")
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", w.cache, one).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		died, lived := killed{Cache: one, State: state, At: at, Clean: true}.dies(t, within)
		if err := cleanAll(t.Context(), one, state, nil); err != nil {
			t.Fatalf("after a kill at %d: %v", at, err)
		}
		after, err := snapshot(one)
		if err != nil {
			t.Fatal(err)
		}
		if diff := differs(want, after); len(diff) > 0 {
			t.Fatalf("after a kill at %d: %q", at, diff)
		}
		if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
			t.Fatalf("after a kill at %d: left in the state: %v, %v", at, left, err)
		}
		_ = os.RemoveAll(dir)
		return died, lived
	}
	anywhere(t, 50, try)
}

// TestCleanKeeps: what a project needs stays, of another version only its go.mod; what a
// running go has locked stays; what would not come again stays.
func TestCleanKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	c := modcache.Cache{Dir: w.cache}
	name := func(i int) string { return fmt.Sprintf("example.com/Widget%02d", i) }
	lock := flock.New(filepath.Join(w.cache, "cache/download/example.com/!widget03/@v/v1.0.0.lock"), flock.SetFlag(os.O_RDWR))
	if ok, err := lock.TryLock(); !ok {
		t.Fatal(err)
	}
	defer lock.Unlock()
	plan, err := modcache.PlanClean(t.Context(), c, modcache.Selection{
		Unneeded: true, Now: time.Now(),
		Sums: map[string]string{name(0) + " v1.0.0": "h1:x", name(1) + " v1.0.0/go.mod": "h1:y"},
		Ask:  except(name(4)),
	})
	if err != nil {
		t.Fatal(err)
	}
	stays := map[string]modcache.Reason{}
	for _, i := range plan.Stay {
		stays[i.Path] = i.Stays
	}
	if diff := cmp.Diff(map[string]modcache.Reason{name(0): modcache.StaysNeeded, name(3): modcache.StaysHeld, name(4): modcache.StaysNotServed}, stays); diff != "" {
		t.Errorf("stays (-want +got):\n%s", diff)
	}
	if _, err := modcache.Clean(t.Context(), c, plan, t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	s, err := modcache.Stat(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	frees := plan.Frees()
	if got := plan.Before.Inodes - s.Total.Inodes; got < frees.Inodes || got > frees.Inodes+2 { // and directories that became empty
		t.Errorf("%d inodes went, %d were announced", got, frees.Inodes)
	}
	for i, want := range []bool{true, true, false, true, true} {
		_, err := os.Stat(filepath.Join(w.cache, fmt.Sprintf("cache/download/example.com/!widget%02d/@v/v1.0.0.mod", i)))
		if (err == nil) != want {
			t.Errorf("the go.mod of %d: %v", i, err)
		}
	}
	if _, err := os.Stat(filepath.Join(w.cache, "example.com/!widget01@v1.0.0")); err == nil {
		t.Error("the code of which only go.mod is needed is still there")
	}
}

// except answers that all comes again but one module.
func except(path string) func(context.Context, []modcache.Wanted) ([]modcache.Doubt, error) {
	return func(_ context.Context, list []modcache.Wanted) ([]modcache.Doubt, error) {
		out := make([]modcache.Doubt, len(list))
		for i, w := range list {
			if w.Path == path {
				out[i].Why = modcache.StaysNotServed
			}
		}
		return out, nil
	}
}
