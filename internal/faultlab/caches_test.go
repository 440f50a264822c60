//go:build unix

package faultlab

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modcache"
)

// TestCachesOfOtherTools: `keepwell cache` measures, verifies and empties the caches of
// the real npm and pip, which fill them from registries on loopback, and with which they
// work on afterwards.
func TestCachesOfOtherTools(t *testing.T) {
	bin := buildKeepwell(t)
	t.Run("npm", func(t *testing.T) {
		t.Parallel()
		need(t, Scenario{Tool: "npm"})
		cacheOfNpm(t, bin)
	})
	t.Run("pip", func(t *testing.T) {
		t.Parallel()
		need(t, Scenario{Tool: "pip"})
		cacheOfPip(t, bin)
	})
}

// cacheDocument is what of `cache ... --json` counts here.
type cacheDocument struct {
	Others []struct {
		Tool                 string
		Installed            bool
		Dir                  string
		Total, Before, After modcache.Amount
		OffersVerify         bool `json:"offers_verify"`
		Said                 string
	}
}

func (l *Lab) cache(bin string, exit int, args ...string) (cacheDocument, visit) {
	l.T.Helper()
	var doc cacheDocument
	v := l.keepwell(l.T.Context(), bin, append([]string{"cache"}, args...)...)
	if v.exit != exit {
		l.T.Fatalf("cache %v: exit %d, want %d\n%s%s", args, v.exit, exit, v.out, v.stderr)
	}
	if strings.HasPrefix(v.out, "{") {
		l.check(json.Unmarshal([]byte(v.out), &doc))
		if len(doc.Others) != 1 {
			l.T.Fatalf("cache %v: %s", args, v.out)
		}
	}
	return doc, v
}

func cacheOfNpm(t *testing.T, bin string) {
	ctx := t.Context()
	l := Open(t, t.TempDir())
	l.npmWith(npmWidget())
	l.npmApp(`{"widget":"1.0.0"}`)
	l.Setup(ctx, l.Work, "npm", "install")
	doc, _ := l.cache(bin, 0, "stat", "--tool", "npm", "--json")
	if o := doc.Others[0]; !o.Installed || o.Dir != filepath.Join(l.Dir, "npm-cache") || o.Total.Files == 0 {
		t.Errorf("stat: %+v", o)
	}
	if _, v := l.cache(bin, 0, "stat", "--tool", "npm"); !strings.Contains(v.out, "_cacache") {
		t.Errorf("stat: %s", v.out)
	}
	if _, v := l.cache(bin, 0, "verify", "--tool", "npm"); !strings.Contains(v.out, "Cache verified and compressed") {
		t.Errorf("verify: %s", v.out)
	}

	// One byte of a package: npm itself finds it, and drops it.
	blob := l.largest(filepath.Join(l.Dir, "npm-cache/_cacache/content-v2"))
	data, err := os.ReadFile(blob)
	l.check(err)
	data[len(data)/2] ^= 1
	l.check(os.WriteFile(blob, data, 0o600))
	doc, _ = l.cache(bin, 0, "verify", "--tool", "npm", "--json")
	if o := doc.Others[0]; !o.OffersVerify || !strings.Contains(o.Said, "Corrupted content removed: 1") {
		t.Errorf("verify: %+v", o)
	}
	if _, err := os.Stat(blob); err == nil {
		t.Error("npm kept what is damaged")
	}

	// Nothing goes without consent; what is gone is fetched again.
	if _, v := l.cache(bin, 4, "clean", "--tool", "npm"); !strings.Contains(v.out, "npm cache clean --force") {
		t.Errorf("clean: %s", v.out)
	}
	doc, _ = l.cache(bin, 0, "clean", "--tool", "npm", "--dry-run", "--json")
	if o := doc.Others[0]; o.Before.Files == 0 || o.After.Files != o.Before.Files {
		t.Errorf("dry run: %+v", o)
	}
	doc, _ = l.cache(bin, 0, "clean", "--tool", "npm", "--yes", "--json")
	if o := doc.Others[0]; o.Before.Files == 0 || o.After.Inodes >= o.Before.Inodes { // npm keeps its logs there, too
		t.Errorf("clean: %+v", o)
	}
	if _, err := os.Stat(filepath.Join(l.Dir, "npm-cache/_cacache/content-v2")); err == nil {
		t.Error("clean kept packages")
	}
	l.cache(bin, 0, "clean", "--tool", "npm", "--yes") // and again, of nothing
	l.check(os.RemoveAll(filepath.Join(l.Work, "node_modules")))
	l.Setup(ctx, l.Work, "npm", "ci")
}

func cacheOfPip(t *testing.T, bin string) {
	ctx := t.Context()
	l := Open(t, t.TempDir())
	index := simpleIndex(l, pyWidget())
	l.HTTPS("pypi.example.org", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600") // else pip keeps nothing
		index.ServeHTTP(w, r)
	}))
	// pip itself, not a version manager's shim.
	python := realPython(ctx, l)
	if _, code := l.exec(ctx, l.Work, python, "-m", "pip", "cache", "dir"); code != 0 {
		t.Skip("this pip has no cache command")
	}
	l.write(filepath.Join(l.Dir, "bin/pip"), "#!/bin/sh\nexec '"+python+"' -m pip \"$@\"\n")
	l.check(os.Chmod(filepath.Join(l.Dir, "bin/pip"), 0o700))
	l.Set("PATH", filepath.Join(l.Dir, "bin")+string(os.PathListSeparator)+l.env["PATH"])
	fetch := []string{"-m", "pip", "download", "--dest", filepath.Join(l.Dir, "tmp/wheels"), "widget"}

	doc, _ := l.cache(bin, 0, "stat", "--tool", "pip", "--json") // not there yet
	if o := doc.Others[0]; !o.Installed || o.Total.Files != 0 {
		t.Errorf("stat of nothing: %+v", o)
	}
	l.cache(bin, 0, "clean", "--tool", "pip", "--yes")
	l.Setup(ctx, l.Work, python, fetch...)
	doc, _ = l.cache(bin, 0, "stat", "--tool", "pip", "--json")
	if o := doc.Others[0]; o.Dir != filepath.Join(l.Dir, "pip-cache") || o.Total.Files == 0 {
		t.Errorf("stat: %+v", o)
	}
	if _, v := l.cache(bin, 0, "verify", "--tool", "pip"); !strings.Contains(v.out, "pip has no command that verifies its cache") {
		t.Errorf("verify: %s", v.out)
	}
	doc, _ = l.cache(bin, 0, "clean", "--tool", "pip", "--yes", "--json")
	if o := doc.Others[0]; o.Before.Files == 0 || o.After.Files != 0 {
		t.Errorf("clean: %+v", o)
	}
	l.check(os.RemoveAll(filepath.Join(l.Dir, "tmp/wheels")))
	l.Setup(ctx, l.Work, python, fetch...)

	// Where pip is told to keep no cache there is nothing to look after.
	l.Set("PIP_NO_CACHE_DIR", "1")
	if _, v := l.cache(bin, 1, "stat", "--tool", "pip"); !strings.Contains(v.stderr, "cache is disabled") {
		t.Errorf("stat without a cache: %s", v.stderr)
	}
}

// largest is the largest file below dir.
func (l *Lab) largest(dir string) (name string) {
	l.T.Helper()
	size := int64(-1)
	l.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			name, size = path, info.Size()
		}
		return err
	}))
	return name
}
