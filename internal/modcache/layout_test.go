//go:build unix

package modcache_test

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/modcache"
)

// version puts all of one version into a cache: archive, hash, go.mod, directory.
func version(t *testing.T, c modcache.Cache, path, v string) {
	t.Helper()
	mod := "module " + path + "\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(path + "@" + v + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(mod))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	at := "cache/download/" + path + "/@v/" + v
	put(t, c.Dir, at+".zip", b.String())
	put(t, c.Dir, at+".mod", mod)
	put(t, c.Dir, at+".info", `{"Version":"`+v+`"}`)
	put(t, c.Dir, path+"@"+v+"/go.mod", mod)
	// What Verify says of a missing hash is the hash.
	for _, f := range verify(t, modcache.Check{Cache: c}).Faults {
		if f.Kind == modcache.KindHashGone {
			put(t, c.Dir, at+".ziphash", f.Want)
		}
	}
}

func kinds(r *modcache.Report) (out []string) {
	for _, f := range r.Faults {
		out = append(out, string(f.Kind)+" "+filepath.Base(f.Path))
	}
	return out
}

func older(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesLikeLeftovers: a module and a version may be called what go calls what it
// writes; what go really left is found, and measured with all that is in it.
func TestNamesLikeLeftovers(t *testing.T) {
	t.Parallel()
	c := modcache.Cache{Dir: t.TempDir()}
	version(t, c, "example.com/x.tmp/widget", "v1.0.0-rc.tmp-1")
	version(t, c, "example.com/y.tmp-2", "v1.0.0")
	version(t, c, "example.com/widget.tmp", "v1.0.0")
	older(t, c.Dir)
	if got := kinds(verify(t, modcache.Check{Cache: c})); len(got) > 0 {
		t.Fatalf("faults of sound modules: %q", got)
	}
	s, err := modcache.Stat(t.Context(), c)
	if err != nil || len(s.Units) != 3 || s.Parts[modcache.PartLeftovers].Inodes != 0 {
		t.Fatalf("stat: %d versions, leftovers %+v, %v", len(s.Units), s.Parts[modcache.PartLeftovers], err)
	}
	put(t, c.Dir, "cache/download/example.com/widget/@v/v1.0.0.zip123456.tmp", "half")
	put(t, c.Dir, "cache/download/example.com/widget/@v/v1.0.0.zip.tmp123456", "half")
	put(t, c.Dir, "example.com/widget@v1.0.0.tmp-123456/large.go", string(make([]byte, 64<<10)))
	older(t, c.Dir)
	want := []string{"leftover v1.0.0.zip.tmp123456", "leftover v1.0.0.zip123456.tmp", "leftover widget@v1.0.0.tmp-123456"}
	if got := kinds(verify(t, modcache.Check{Cache: c})); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	plan, err := modcache.PlanClean(t.Context(), c, modcache.Selection{Leftovers: true, Now: time.Now()})
	if err != nil || len(plan.Go) != 3 || plan.Frees().Disk < 64<<10 || plan.Frees().Inodes != 4 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
}

// TestLinkedParts: parts of a cache that lie on another disk are what they are to go; a
// clean does not take the links away, and a loop ends.
func TestLinkedParts(t *testing.T) {
	t.Parallel()
	c, elsewhere := modcache.Cache{Dir: filepath.Join(t.TempDir(), "mod")}, t.TempDir()
	version(t, c, "example.com/team/widget", "v1.0.0")
	version(t, c, "example.org/gadget", "v1.0.0")
	for _, part := range []string{"cache", "example.com"} {
		to := filepath.Join(elsewhere, part)
		if err := os.Rename(filepath.Join(c.Dir, part), to); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(c.Dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{filepath.Join(elsewhere, "example.com/loop"): filepath.Join(elsewhere, "example.com"), filepath.Join(c.Dir, "self"): c.Dir, filepath.Join(c.Dir, "up"): filepath.Dir(c.Dir)} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	r := verify(t, modcache.Check{Cache: c})
	if got := kinds(r); len(got) > 0 || r.Archives != 2 || r.Trees != 2 {
		t.Fatalf("%d archives, %d directories, faults %q", r.Archives, r.Trees, got)
	}
	s, err := modcache.Stat(t.Context(), c)
	if err != nil || len(s.Units) != 2 || s.Parts[modcache.PartZips].Files != 2 || s.Parts[modcache.PartTrees].Files < 2 {
		t.Fatalf("stat: %d versions, %+v, %v", len(s.Units), s.Parts, err)
	}
	plan, err := modcache.PlanClean(t.Context(), c, modcache.Selection{Patterns: []string{"example.com", "example.org"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := modcache.Clean(t.Context(), c, plan, t.TempDir(), nil); err != nil || done.Items != 2 {
		t.Fatalf("cleaned %+v, %v", done, err)
	}
	for _, link := range []string{"cache", "example.com"} {
		if info, err := os.Lstat(filepath.Join(c.Dir, link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link %s is gone: %v", link, err)
		}
	}
	if s, err := modcache.Stat(t.Context(), c); err != nil || len(s.Units) != 0 {
		t.Errorf("%d versions stay, %v", len(s.Units), err)
	}
}

// TestRecordsKnowWhoNeeds: what nobody needed when it was recorded, another project may.
func TestRecordsKnowWhoNeeds(t *testing.T) {
	t.Parallel()
	c := modcache.Cache{Dir: t.TempDir()}
	version(t, c, "example.com/widget", "v1.0.0")
	if err := os.Remove(filepath.Join(c.Dir, "cache/download/example.com/widget/@v/v1.0.0.mod")); err != nil {
		t.Fatal(err)
	}
	check := modcache.Check{Cache: c, Records: filepath.Join(t.TempDir(), "records")}
	// A record counts once the last change is long enough ago.
	for r := verify(t, check); r.Recorded == 0; r = verify(t, check) {
		if len(r.Faults) > 0 {
			t.Fatalf("nobody needs it: %q", kinds(r))
		}
	}
	check.Sums = map[string]string{"example.com/widget v1.0.0/go.mod": "h1:="}
	if got := kinds(verify(t, check)); !slices.Equal(got, []string{"mod-missing v1.0.0.mod"}) {
		t.Fatalf("got %q", got)
	}
}

// TestAnothersCache: a cache that belongs to somebody else is said to be so once, and
// what may not be read is not called damaged. Only root can make one: the test runs
// itself again as another user.
func TestAnothersCache(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	if dir := os.Getenv("KEEPWELL_TEST_FOREIGN"); dir != "" {
		r, err := modcache.Verify(context.Background(), modcache.Check{Cache: modcache.Cache{Dir: dir}})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"unreadable v1.0.0.zip", "unreadable tool@v1.0.0", "owner mod"}
		got := kinds(r)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	c := modcache.Cache{Dir: filepath.Join(base, "mod")}
	for _, m := range []module.Version{{Path: "example.com/widget", Version: "v1.0.0"}, {Path: "example.com/gadget", Version: "v1.0.0"}, {Path: "example.com/tool", Version: "v1.0.0"}} {
		version(t, c, m.Path, m.Version)
	}
	err = filepath.WalkDir(base, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		} else if err == nil {
			return os.Chmod(path, 0o644)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cache/download/example.com/widget/@v/v1.0.0.zip", "example.com/tool@v1.0.0/go.mod"} {
		if err := os.Chmod(filepath.Join(c.Dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(base, "again")
	if err := os.WriteFile(mine, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), mine, "-test.run=^TestAnothersCache$")
	cmd.Dir, cmd.Env = base, append(os.Environ(), "KEEPWELL_TEST_FOREIGN="+c.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestBrokenClones: what a killed git leaves in a clone, which makes go fail whenever it
// fetches from there, is found; not what a git is at just now, nor what is no lock.
func TestBrokenClones(t *testing.T) {
	t.Parallel()
	c := modcache.Cache{Dir: t.TempDir()}
	clone := func(name, remote string) {
		put(t, c.Dir, "cache/vcs/"+name+".info", remote)
		put(t, c.Dir, "cache/vcs/"+name+".lock", "")
		put(t, c.Dir, "cache/vcs/"+name+"/objects/pack/pack-1.lock", "")
		put(t, c.Dir, "cache/vcs/"+name+"/config", "[core]\n[remote \"origin\"]\n\turl = x\n")
	}
	for _, name := range []string{"sound", "locked", "half", "busy"} {
		clone(name, "git3:https://git.example.org/"+name)
	}
	clone("other", "hg:https://hg.example.org/other")
	for _, name := range []string{"locked/shallow.lock", "locked/refs/heads/a/b.lock", "busy/HEAD.lock", "other/wlock.lock"} {
		put(t, c.Dir, "cache/vcs/"+name, "")
	}
	put(t, c.Dir, "cache/vcs/half/config", "[core]\n\tbare = true\n")
	older(t, c.Dir)
	put(t, c.Dir, "cache/vcs/sound/HEAD.lock", "") // taken just now
	held := flock.New(filepath.Join(c.Dir, "cache/vcs/busy.lock"))
	if ok, err := held.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer held.Unlock()
	r := verify(t, modcache.Check{Cache: c})
	got := kinds(r)
	slices.Sort(got)
	if want := []string{"clone half", "clone-lock b.lock", "clone-lock shallow.lock"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	e := &act.Engine{Dir: t.TempDir()}
	repaired, err := modcache.Repair(t.Context(), modcache.RepairOptions{Check: modcache.Check{Cache: c}, Engine: e, Consent: act.Policy(true, nil)})
	if err != nil || len(repaired.Left.Faults) > 0 || len(repaired.Operations) != 1 {
		t.Fatalf("repaired: %+v, %v", repaired, err)
	}
	if _, _, err := e.Undo(t.Context(), 0, "cache"); err != nil {
		t.Fatal(err)
	}
	older(t, c.Dir)
	if got := kinds(verify(t, modcache.Check{Cache: c})); !slices.Contains(got, "clone half") {
		t.Fatalf("after undo: %q", got)
	}
}
