package keepwell_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/keepwell/keepwell"

// rings are the packages of the house, innermost first. A package imports only
// packages of rings before its own; packages of one ring never meet. A new package
// gets its ring here and its line in ARCHITECTURE.md.
var rings = [][]string{
	{""}, // the vocabulary
	{"faults", "internal/inflate", "internal/mask", "internal/modpolicy", "internal/msg", "internal/normalise", "internal/otlp", "internal/plainfile", "internal/proc", "internal/scratch", "internal/server", "internal/spelling"},
	{"internal/condition", "internal/fingerprint", "internal/goenv", "internal/marks", "internal/modbundle", "internal/modstore", "internal/playbook", "internal/present", "internal/state"},
	{"internal/act", "internal/actions", "internal/alerts", "internal/credentials", "internal/explain", "internal/jobs", "internal/journal", "internal/modshare", "internal/moved", "internal/observe", "internal/route", "internal/settings"},
	{"internal/access", "internal/autopilot", "internal/classify", "internal/diagnose", "internal/mirrors", "internal/modcache", "internal/modproxy", "internal/rewrite", "internal/trace", "internal/workspace"},
	{"internal/api", "internal/daemon/wire", "internal/doctor", "internal/modconfig", "internal/web"},
	{"internal/daemon"},
	{"internal/goenv/goenvtest"}, // for tests only
	{"internal/access/idptest", "internal/faultlab", "internal/mask/masktest", "internal/modshare/sharetest", "internal/modstore/storetest", "internal/state/statetest", "internal/web/browsertest"}, // for tests only
	{"internal/cli"},
	{"cmd/keepwell"},
}

// programs are commands that only build or measure; nobody imports them.
var programs = []string{"internal/daemon/measure", "internal/diagnose/biglog", "internal/fingerprint/gen", "internal/jobs/measure", "internal/modcache/measure", "internal/modproxy/cost", "internal/modproxy/soak", "internal/workspace/measure"}

// smallPath is what may be linked into `keepwell explain` and `keepwell faults`
// from outside the standard library: no database, no network client of others.
var smallPath = []string{
	"github.com/clipperhouse/", // runewidth's segmentation
	"github.com/inconshreveable/mousetrap",
	"github.com/mattn/go-runewidth",
	"github.com/rivo/uniseg",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"go.yaml.in/yaml/v3",
	"golang.org/x/mod/",
	"golang.org/x/sys/",
	"golang.org/x/term",
	"golang.org/x/text/",
}

// imports reads what each package of the tree imports, by parsing: the result of go
// list is cached and can be stale.
func imports(t *testing.T, tests bool) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (name == "testdata" || name == "tools" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") != tests {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = ""
		}
		for _, spec := range file.Imports {
			found[dir] = append(found[dir], strings.Trim(spec.Path.Value, `"`))
		}
		if found[dir] == nil {
			found[dir] = []string{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func ringOf(dir string) int {
	return slices.IndexFunc(rings, func(ring []string) bool { return slices.Contains(ring, dir) })
}

func TestArrowsPointInward(t *testing.T) {
	t.Parallel()
	for dir, list := range imports(t, false) {
		ring := ringOf(dir)
		if ring < 0 {
			if !slices.Contains(programs, dir) {
				t.Errorf("package %q has no ring: give it one in house_test.go and a line in ARCHITECTURE.md", dir)
			}
			continue
		}
		for _, imported := range list {
			if imported != modulePath && !strings.HasPrefix(imported, modulePath+"/") {
				continue
			}
			inner := strings.TrimPrefix(strings.TrimPrefix(imported, modulePath), "/")
			if r := ringOf(inner); r < 0 || r >= ring {
				t.Errorf("%q imports %q: arrows point inward only", dir, inner)
			}
			if inner == "internal/faultlab" {
				t.Errorf("%q imports the fault lab, which is for tests", dir)
			}
		}
	}
}

// TestSmallPathStaysSmall walks what explain and faults reach. internal/cli joins the
// heavy rooms too; what those cost at start is held by .ci/startup.
func TestSmallPathStaysSmall(t *testing.T) {
	t.Parallel()
	own := imports(t, false)
	seen := map[string]bool{}
	queue := []string{"internal/explain", "internal/diagnose", "internal/present", "internal/goenv", "faults"}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		for _, imported := range own[dir] {
			first, _, _ := strings.Cut(imported, "/")
			switch {
			case imported == modulePath || strings.HasPrefix(imported, modulePath+"/"):
				queue = append(queue, strings.TrimPrefix(strings.TrimPrefix(imported, modulePath), "/"))
			case imported == "database/sql" || imported == "net/http":
				t.Errorf("%q imports %q, which the small path must not pay for", dir, imported)
			case strings.Contains(first, ".") && !slices.ContainsFunc(smallPath, func(p string) bool { return strings.HasPrefix(imported, p) }):
				t.Errorf("%q imports %q, which is not on the small path's list", dir, imported)
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("walked only %d packages", len(seen))
	}
}

// TestNoInit keeps start-up free: no init functions, in any package.
func TestNoInit(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil //nolint:nilerr // fixtures of broken Go are meant to be broken
		}
		for _, decl := range file.Decls {
			if isInit(decl) {
				t.Errorf("%s has an init function", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isInit(decl ast.Decl) bool {
	f, ok := decl.(*ast.FuncDecl)
	return ok && f.Recv == nil && f.Name.Name == "init"
}
