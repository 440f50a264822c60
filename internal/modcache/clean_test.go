package modcache_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/modcache"
)

// shelf is a cache in which each version has 100 KiB, and was used the given number of
// days ago.
func shelf(t *testing.T, now time.Time, days map[string]int) modcache.Cache {
	t.Helper()
	c := modcache.Cache{Dir: t.TempDir()}
	for name, n := range days {
		dir, version, _ := strings.Cut(name, "@")
		file := "cache/download/" + dir + "/@v/" + version + ".zip"
		if version == "" {
			file = "cache/vcs/" + name + "/pack"
			put(t, c.Dir, "cache/vcs/"+name+".info", "git3:https://example.org/"+name)
		}
		put(t, c.Dir, file, strings.Repeat("x", 100<<10))
		err := filepath.Walk(filepath.Join(c.Dir, "cache"), func(path string, info os.FileInfo, err error) error {
			if err != nil || info.IsDir() || !strings.Contains(path, filepath.FromSlash(strings.TrimSuffix(file, "/pack"))) && !strings.HasSuffix(path, name+".info") {
				return err
			}
			used := now.Add(-time.Duration(n) * 24 * time.Hour)
			return os.Chtimes(path, used, used)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestQuota: what may go for a quota, in which order, and what goes in the place of
// that which stays.
func TestQuota(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const old, older = "golang.org/toolchain@v0.0.1-go1.22.0.linux-amd64", "golang.org/toolchain@v0.0.1-go1.21.0.linux-amd64"
	c := shelf(t, now, map[string]int{
		"example.com/a@v1.0.0": 50, "example.com/b@v1.0.0": 40, "example.com/c@v1.0.0": 30, "example.org/d@v1.0.0": 20, older: 60, old: 10, "0123": 45,
	})
	all, err := modcache.Stat(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	lacks := func(names ...string) func(context.Context, []modcache.Wanted) ([]modcache.Doubt, error) {
		return func(_ context.Context, list []modcache.Wanted) ([]modcache.Doubt, error) {
			out := make([]modcache.Doubt, len(list))
			for i, w := range list {
				if slices.Contains(names, w.Path) {
					out[i].Why = modcache.StaysNotServed
				}
			}
			return out, nil
		}
	}
	a, b, cc, d, clone := "example.com/a@v1.0.0", "example.com/b@v1.0.0", "example.com/c@v1.0.0", "example.org/d@v1.0.0", "https://example.org/0123"
	for name, one := range map[string]struct {
		sel  modcache.Selection
		less int // 100 KiB that have to go
		want []string
	}{
		"modules, the oldest first":            {modcache.Selection{}, 2, []string{a, b}},
		"toolchains too":                       {modcache.Selection{Toolchains: true}, 2, []string{older, a}},
		"all toolchains only where need be":    {modcache.Selection{Toolchains: true}, 9, []string{older, a, b, cc, d, old}},
		"one that is in use stays":             {modcache.Selection{Toolchains: true, Keep: []string{"go1.21.0"}}, 2, []string{a, b}},
		"clones too":                           {modcache.Selection{VCS: true}, 2, []string{a, clone}},
		"of those that are named":              {modcache.Selection{Patterns: []string{"example.org"}}, 3, []string{d}},
		"named ones and toolchains":            {modcache.Selection{Patterns: []string{"example.org"}, Toolchains: true}, 9, []string{older, d, old}},
		"of those that are unused":             {modcache.Selection{Unused: 35 * 24 * time.Hour}, 9, []string{a, b}},
		"others for what would not come":       {modcache.Selection{Ask: lacks("example.com/a", "example.com/b")}, 2, []string{cc, d}},
		"others for what is needed":            {modcache.Selection{Sums: map[string]string{"example.com/a v1.0.0": "h1:x"}}, 2, []string{b, cc}},
		"nothing where it fits":                {modcache.Selection{Toolchains: true, VCS: true}, 0, nil},
		"without a quota all that is selected": {modcache.Selection{Toolchains: true}, -1, []string{older, old}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one.sel.Now = now
			if one.less >= 0 {
				one.sel.Quota = max(1, all.Total.Disk-int64(one.less)*100<<10)
			}
			p, err := modcache.PlanClean(t.Context(), c, one.sel)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range p.Go {
				got = append(got, strings.TrimPrefix(fmt.Sprintf("%s%s", i.Name, i.Version), "@"))
			}
			slices.Sort(got)
			slices.Sort(one.want)
			if diff := cmp.Diff(one.want, got); diff != "" {
				t.Errorf("goes (-want +got):\n%s", diff)
			}
		})
	}
}
