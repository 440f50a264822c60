package doctor

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/scratch"
)

// wantsSums reports whether go found another hash than go.sum's.
func wantsSums(c *Case, seen []Outcome) bool {
	_, ok := mismatch(seen)
	return ok && len(c.Settings.Gos) > 0
}

// differing is what go says of two hashes.
type differing struct {
	mod module.Version
	// found is the hash of what was downloaded, or lies in the cache; recorded go.sum's.
	found, recorded string
	// cached says that what was found lies in the module cache.
	cached bool
}

var hashLines = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*(downloaded|go\.sum):\s+(h1:[A-Za-z0-9+/]{20,64}=)\s*$`)
})

func mismatch(seen []Outcome) (differing, bool) {
	for _, o := range seen {
		for _, f := range o.Findings {
			if f.Code != "sum/go-sum-mismatch" || f.Facts["module"] == "" || f.Facts["version"] == "" {
				continue
			}
			d := differing{mod: module.Version{Path: f.Facts["module"], Version: strings.TrimSuffix(f.Facts["version"], "/go.mod")}, cached: o.Check == "modules"}
			for _, e := range f.Evidence {
				for _, m := range hashLines().FindAllStringSubmatch(e.Text, -1) {
					if m[1] == "go.sum" {
						d.recorded = m[2]
					} else {
						d.found = m[2]
					}
				}
			}
			if d.found != "" && d.recorded != "" && module.Check(d.mod.Path, d.mod.Version) == nil {
				return d, true
			}
		}
	}
	return differing{}, false
}

// lookSums asks the checksum database, through go itself, which of the two hashes it
// vouches for: then it is known who is wrong.
func lookSums(ctx context.Context, c *Case, seen []Outcome) Outcome {
	d, _ := mismatch(seen)
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.sums.unknown"}
	}
	defer scratch.Remove(dir)
	if os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module keepwell.invalid/sums\n"), 0o600) != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.sums.unknown"}
	}
	if !c.vouched(d.mod.Path) {
		return Outcome{State: observe.NotChecked, Key: "doctor.sums.off", Args: []string{d.mod.Path}}
	}
	env := []string{
		"GOTOOLCHAIN=local", "GOWORK=off", "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPATH=" + filepath.Join(dir, "gopath"),
		"GOFLAGS=" + fetchFlags(c.Settings.Env.Value("GOFLAGS")),
	}
	r := c.runGo(ctx, dir, env, "mod", "download", "-json", d.mod.String())
	var got struct{ Sum, GoModSum string }
	if !r.ok() || json.Unmarshal(r.Stdout, &got) != nil || got.Sum == "" {
		return Outcome{State: observe.NotChecked, Key: "doctor.sums.unknown"}
	}
	return c.judgeSums(d, got.Sum, got.GoModSum)
}

// vouched reports whether the checksum database is asked for a module.
func (c *Case) vouched(path string) bool {
	sumdb := c.Settings.Env.Value("GOSUMDB")
	return sumdb != "" && sumdb != "off" && !module.MatchPrefixPatterns(c.Settings.Env.Value("GONOSUMDB"), path)
}

// judgeSums compares the hashes with those that the database vouches for.
func (c *Case) judgeSums(d differing, vouched ...string) Outcome {
	has := func(h string) bool {
		for _, v := range vouched {
			if v == h {
				return true
			}
		}
		return false
	}
	f := keepwell.Finding{Code: "sum/go-sum-mismatch", Confidence: 0.97, Facts: keepwell.Facts{"module": d.mod.Path, "version": d.mod.Version}}
	o := Outcome{State: observe.No, Settles: f.Code}
	switch {
	case has(d.found) && !has(d.recorded):
		o.Key, f.Owner = "doctor.sums.gosum", keepwell.OwnerYou
	case has(d.recorded) && !has(d.found) && d.cached:
		o.Key, f.Code = "doctor.sums.cache", "local/cache-corrupt"
		if p := c.cachedZip(d.mod); p != "" {
			f.Facts["path"] = p
		}
	case has(d.recorded) && !has(d.found):
		o.Key, f.Code = "doctor.sums.mirror", "sum/mirror-stale"
	default:
		return Outcome{State: observe.NotChecked, Key: "doctor.sums.unknown"}
	}
	o.Args = []string{d.mod.String()}
	f.Evidence = []keepwell.Evidence{{Source: "probe", Text: c.Say(o.Key, o.Args...) + "\n" + d.mod.String() + " " + vouched[0]}}
	o.Findings = []keepwell.Finding{f}
	return o
}

// cachedZip is where the module cache keeps a version's zip; "" where it has none.
func (c *Case) cachedZip(m module.Version) string {
	path, err1 := module.EscapePath(m.Path)
	version, err2 := module.EscapeVersion(m.Version)
	if err1 != nil || err2 != nil {
		return ""
	}
	name := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", filepath.FromSlash(path), "@v", version+".zip")
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}
