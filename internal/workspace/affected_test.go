package workspace_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/workspace"
)

var (
	affectedChanges = flag.Int("affected-changes", 20, "random changes that work affected is held to")
	affectedSeed    = flag.Uint64("affected-seed", 0, "their seed; 0: of the clock")
)

// repo is a workspace in git, with a module proxy of files beside it.
type repo struct {
	t    *testing.T
	dir  string
	env  []string
	base string
	old  state
}

// state is what the oracle knows of a tree: for each package of the workspace, a hash of
// all that it is built of, and one of all that its tests are.
type state map[string][2]string

func (r *repo) run(dir, name string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(slices.Clone(r.env), "PWD="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return string(out)
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	return r.run(r.dir, "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
}

// proxied writes a module proxy of files and returns the sums of all that it has.
func proxied(t *testing.T, dir string) string {
	t.Helper()
	var sums strings.Builder
	for e := range 4 {
		list := ""
		for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
			path := fmt.Sprintf("example.org/e%d", e)
			mod := "module " + path + "\n\ngo 1.21\n"
			files := map[string]string{
				"e.go":     fmt.Sprintf("package e%d\n\nconst V = %q\n", e, v),
				"sub/s.go": "package sub\n",
			}
			if e > 0 {
				need := "v1.0.0"
				if v == "v1.2.0" { // its users get another version of the one below
					need = "v1.1.0"
				}
				mod += fmt.Sprintf("\nrequire example.org/e%d %s\n", e-1, need)
				files["sub/s.go"] += fmt.Sprintf("\nimport _ \"example.org/e%d\"\n", e-1)
			}
			if v != "v1.0.0" {
				files["more/m.go"] = "package more\n"
			}
			files["go.mod"] = mod
			at := filepath.Join(dir, "example.org", fmt.Sprintf("e%d", e), "@v", v)
			list += v + "\n"
			put(t, at+".mod", mod)
			put(t, at+".info", fmt.Sprintf(`{"Version":%q,"Time":"2024-01-01T00:00:00Z"}`, v))
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for _, name := range slices.Sorted(maps.Keys(files)) {
				w, err := z.Create(path + "@" + v + "/" + name)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(w, files[name])
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			put(t, at+".zip", b.String())
			h, err := dirhash.HashZip(at+".zip", dirhash.Hash1)
			if err != nil {
				t.Fatal(err)
			}
			hm, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mod)), nil })
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&sums, "%s %s %s\n%s %s/go.mod %s\n", path, v, h, path, v, hm)
		}
		put(t, filepath.Join(dir, "example.org", fmt.Sprintf("e%d", e), "@v", "list"), list)
	}
	return sums.String()
}

const (
	modules  = 5
	packages = 3
)

func newRepo(t *testing.T) *repo {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &repo{t: t, dir: filepath.Join(top, "repo")}
	sums := proxied(t, filepath.Join(top, "proxy"))
	for name, value := range map[string]string{
		"GOPROXY": "file://" + filepath.ToSlash(filepath.Join(top, "proxy")), "GOSUMDB": "off", "GOMODCACHE": filepath.Join(top, "mod"), "GOFLAGS": "-modcacherw", "GOENV": "off",
		"GOWORK": "", "GOTOOLCHAIN": "local", "CGO_ENABLED": "1", "GOOS": "linux", "GOARCH": "amd64", "GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GO111MODULE": "",
	} {
		t.Setenv(name, value)
	}
	r.env = os.Environ()
	files := map[string]string{"README.md": "read\n", "go.work": "go 1.21\n\nuse (\n", "docs/a.txt": "a\n", "r/go.mod": "module example.com/r\n\ngo 1.21\n", "r/r.go": "package r\n", "m1/nested/go.mod": "module example.com/w/m1/nested\n\ngo 1.21\n", "m1/nested/n.go": "package nested\n"}
	for m := range modules {
		if m != modules-1 { // the last is no part of the workspace, yet
			files["go.work"] += fmt.Sprintf("\t./m%d\n", m)
		}
		mod := fmt.Sprintf("module example.com/w/m%d\n\ngo 1.21\n\nrequire (\n\texample.com/r v0.0.0\n", m)
		for e := range 3 {
			mod += fmt.Sprintf("\texample.org/e%d v1.%d.0\n", e, (m+e)%2)
		}
		files[fmt.Sprintf("m%d/go.mod", m)] = mod + ")\n\nreplace example.com/r => ../r\n"
		files[fmt.Sprintf("m%d/go.sum", m)] = sums
		for p := range packages {
			at := fmt.Sprintf("m%d/p%d/", m, p)
			src := fmt.Sprintf("package p%d\n", p)
			for _, imp := range imports(m, p) {
				src += fmt.Sprintf("\nimport _ %q\n", imp)
			}
			files[at+"p.go"] = src + "\nfunc F() int { return 1 }\n"
			files[at+"p_windows.go"] = fmt.Sprintf("package p%d\n", p)
			files[at+"tagged.go"] = fmt.Sprintf("//go:build special\n\npackage p%d\n", p)
			files[at+"p_test.go"] = fmt.Sprintf("package p%d\n\nimport (\n\t\"testing\"\n\n\t_ \"example.org/e2/sub\"\n)\n\nfunc TestF(*testing.T) {}\n", p)
			files[at+"testdata/in.txt"] = "in\n"
			switch p {
			case 0:
				files[at+"x_test.go"] = fmt.Sprintf("package p0_test\n\nimport (\n\t\"testing\"\n\n\t_ \"example.com/w/m%d/p0\"\n\t_ \"example.com/w/m%d/p2\"\n)\n\nfunc TestX(*testing.T) {}\n", m, m)
				files[at+"e.go"] = "package p0\n\nimport \"embed\"\n\n//go:embed all:assets *.tmpl\nvar FS embed.FS\n"
				files[at+"assets/one.txt"], files[at+"a.tmpl"] = "1\n", "t\n"
			case 1:
				files[at+"c.go"], files[at+"c.c"], files[at+"c.h"] = "package p1\n\n// #include \"c.h\"\nimport \"C\"\n", "int x;\n", "int y;\n"
				files[at+"te_test.go"] = "package p1\n\nimport _ \"embed\"\n\n//go:embed golden.txt\nvar golden string\n"
				files[at+"golden.txt"] = "g\n"
			case 2:
				files[at+"s_amd64.s"], files[at+"s_arm64.s"] = "// asm\n", "// asm\n"
			}
		}
	}
	files["go.work"] += ")\n"
	for name, text := range files {
		put(t, filepath.Join(r.dir, filepath.FromSlash(name)), text)
	}
	r.git("init", "-q")
	if err := os.Symlink("../shared.txt", filepath.Join(r.dir, "m0", "linked.go")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(r.dir, "shared.txt"), "package m0\n")
	r.git("add", "-A")
	r.git("commit", "-qm", "base")
	r.base = strings.TrimSpace(r.git("rev-parse", "HEAD"))
	r.old = r.look(r.dir)
	r.git("clean", "-qfdx")
	return r
}

// imports are those of a package: of packages before it, so that there is no cycle.
func imports(m, p int) []string {
	out := []string{fmt.Sprintf("example.org/e%d", (m+p)%3), "fmt"}
	if m > 0 {
		out = append(out, fmt.Sprintf("example.com/w/m%d/p%d", (m*3+p)%m, (m+p)%packages))
	}
	if p == 2 {
		out = append(out, "example.com/r")
	}
	return out
}

// look is the oracle: go's own words on a tree, and the bytes of all that they name.
func (r *repo) look(dir string) state {
	r.t.Helper()
	var mods []string
	for line := range strings.Lines(r.run(dir, "go", "list", "-m", "-f", "{{if .Main}}{{.Dir}}{{end}}")) {
		if line = strings.TrimSpace(line); line != "" {
			mods = append(mods, line+"/...")
		}
	}
	out := r.run(dir, "go", append([]string{"list", "-e", "-deps", "-test", "-json"}, mods...)...)
	all := map[string]map[string]any{}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p map[string]any
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			r.t.Fatal(err)
		}
		all[p["ImportPath"].(string)] = p
	}
	memo := map[string]string{}
	var hash func(path string) string
	hash = func(path string) string {
		if h, ok := memo[path]; ok {
			return h
		}
		memo[path] = "cycle"
		sum := sha256.New()
		p := all[path]
		fmt.Fprintln(sum, path, p["Name"], p["DefaultGODEBUG"], p["Error"] != nil)
		where, _ := p["Dir"].(string)
		if p["Standard"] != true && p != nil {
			if m, ok := p["Module"].(map[string]any); ok {
				fmt.Fprintln(sum, m["Path"], m["Version"])
				if m["Main"] == true {
					fmt.Fprintln(sum, m["GoVersion"])
				}
				if rep, ok := m["Replace"].(map[string]any); ok {
					fmt.Fprintln(sum, rep["Path"], rep["Version"], m["GoVersion"])
				}
			}
			rel, err := filepath.Rel(dir, where)
			if err == nil && filepath.IsLocal(rel) {
				fmt.Fprintln(sum, rel)
			}
			for _, key := range slices.Sorted(maps.Keys(p)) {
				names, _ := p[key].([]any)
				if !strings.HasSuffix(key, "Files") || strings.HasPrefix(key, "Ignored") || strings.HasPrefix(key, "Test") || strings.HasPrefix(key, "XTest") || key == "CompiledGoFiles" {
					continue
				}
				for _, n := range names {
					name := n.(string)
					if filepath.IsAbs(name) {
						continue
					}
					data, err := os.ReadFile(filepath.Join(where, name))
					fmt.Fprintf(sum, "%s %s %x %v\n", key, name, sha256.Sum256(data), err == nil)
				}
			}
		}
		names, _ := p["Imports"].([]any)
		var list []string
		for _, n := range names {
			list = append(list, n.(string))
		}
		slices.Sort(list)
		for _, n := range list {
			fmt.Fprintln(sum, n, all[n] != nil, hash(n))
		}
		memo[path] = fmt.Sprintf("%x", sum.Sum(nil))
		return memo[path]
	}
	s := state{}
	for path, p := range all {
		m, _ := p["Module"].(map[string]any)
		if m == nil || m["Main"] != true || p["ForTest"] != nil || strings.HasSuffix(path, ".test") {
			continue
		}
		h := [2]string{hash(path), ""}
		if all[path+".test"] != nil {
			h[1] = hash(path+".test") + tree(r.t, filepath.Join(p["Dir"].(string), "testdata"))
		}
		s[path] = h
	}
	return s
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // there need not be one
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		fmt.Fprintf(sum, "%s %x\n", rel, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// differences says what is to be found: "path", "path (tests)", "path (removed)".
func differences(old, now state) []string {
	out := []string{}
	for path, h := range now {
		was, ok := old[path]
		switch {
		case !ok || h[0] != was[0]:
			out = append(out, path)
		case h[1] != was[1]:
			out = append(out, path+" (tests)")
		}
	}
	for path := range old {
		if _, ok := now[path]; !ok {
			out = append(out, path+" (removed)")
		}
	}
	slices.Sort(out)
	return out
}

func found(a *workspace.Affected) []string {
	out := []string{}
	for _, p := range a.Packages {
		name := p.Path
		if p.TestsOnly {
			name += " (tests)"
		}
		out = append(out, name)
	}
	for _, p := range a.Removed {
		out = append(out, p+" (removed)")
	}
	slices.Sort(out)
	return out
}

// edit is a random change of a working tree.
type edit struct {
	*repo
	rnd  *rand.Rand
	said []string
}

func (e *edit) say(format string, args ...any) { e.said = append(e.said, fmt.Sprintf(format, args...)) }
func (e *edit) pick(n int) int                 { return e.rnd.IntN(n) }
func (e *edit) pkg() string                    { return fmt.Sprintf("m%d/p%d", e.pick(modules), e.pick(packages)) }

func (e *edit) write(name, text string) {
	e.t.Helper()
	at := filepath.Join(e.dir, filepath.FromSlash(name))
	_ = os.Remove(at)
	for above := filepath.Dir(at); len(above) > len(e.dir); above = filepath.Dir(above) {
		if info, err := os.Stat(above); err == nil && !info.IsDir() {
			_ = os.Remove(above) // a file, or a link to one, where a directory belongs
		}
	}
	put(e.t, at, text)
}

func (e *edit) append(name, text string) {
	e.t.Helper()
	at := filepath.Join(e.dir, filepath.FromSlash(name))
	data, err := os.ReadFile(at)
	if err != nil {
		return // an earlier change took it
	}
	if name == "go.work" && strings.Contains(string(data), text) {
		return // an earlier change did it: go refuses it twice
	}
	put(e.t, at, string(data)+text)
}

func (e *edit) replace(name, old, with string) {
	e.t.Helper()
	at := filepath.Join(e.dir, filepath.FromSlash(name))
	if data, err := os.ReadFile(at); err == nil && (name != "go.work" || with == "" || !strings.Contains(string(data), with)) {
		put(e.t, at, strings.Replace(string(data), old, with, 1))
	}
}

func (e *edit) remove(name string) {
	e.t.Helper()
	if err := os.RemoveAll(filepath.Join(e.dir, filepath.FromSlash(name))); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edit) rename(from, to string) {
	_ = os.MkdirAll(filepath.Dir(filepath.Join(e.dir, filepath.FromSlash(to))), 0o700)
	_ = os.Rename(filepath.Join(e.dir, filepath.FromSlash(from)), filepath.Join(e.dir, filepath.FromSlash(to)))
}

// edits are all kinds of changes.
var edits = []func(e *edit){
	func(e *edit) { p := e.pkg(); e.say("body %s", p); e.append(p+"/p.go", "\nvar Changed = 1\n") },
	func(e *edit) { p := e.pkg(); e.say("test %s", p); e.append(p+"/p_test.go", "\nvar changed = 1\n") },
	func(e *edit) { p := e.pkg(); e.say("comment %s", p); e.append(p+"/p.go", "\n// A word.\n") },
	func(e *edit) {
		m := e.pick(modules)
		e.say("outer test m%d", m)
		e.append(fmt.Sprintf("m%d/p0/x_test.go", m), "\nvar changed = 1\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("new outer test m%d/p2 of p1", m)
		e.write(fmt.Sprintf("m%d/p2/new_test.go", m), fmt.Sprintf("package p2_test\n\nimport _ \"example.com/w/m%d/p1\"\n", m))
	},
	func(e *edit) { p := e.pkg(); e.say("test gone %s", p); e.remove(p + "/p_test.go") },
	func(e *edit) { p := e.pkg(); e.say("other system %s", p); e.append(p+"/p_windows.go", "\n// x\n") },
	func(e *edit) { p := e.pkg(); e.say("other tag %s", p); e.append(p+"/tagged.go", "\n// x\n") },
	func(e *edit) { p := e.pkg(); e.say("tag goes %s", p); e.replace(p+"/tagged.go", "special", "!special") },
	func(e *edit) {
		p := e.pkg()
		e.say("tag comes %s", p)
		e.replace(p+"/p.go", "package", "//go:build special\n\npackage")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("file for arm64 %s", p)
		e.write(p+"/f_arm64.go", "package "+filepath.Base(p)+"\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("embedded m%d", m)
		e.append(fmt.Sprintf("m%d/p0/assets/one.txt", m), "x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("embeds more m%d", m)
		e.write(fmt.Sprintf("m%d/p0/assets/.deep/two.txt", m), "x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("embeds less m%d", m)
		e.remove(fmt.Sprintf("m%d/p0/assets", m))
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("pattern m%d", m)
		e.write(fmt.Sprintf("m%d/p0/b.tmpl", m), "x\n")
		e.write(fmt.Sprintf("m%d/p0/b.text", m), "x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("embedded in test m%d", m)
		e.append(fmt.Sprintf("m%d/p1/golden.txt", m), "x\n")
	},
	func(e *edit) { p := e.pkg(); e.say("testdata %s", p); e.append(p+"/testdata/in.txt", "x\n") },
	func(e *edit) {
		p := e.pkg()
		e.say("more testdata %s", p)
		e.write(p+"/testdata/sub/go.mod", "module x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("C m%d", m)
		e.append(fmt.Sprintf("m%d/p1/c.h", m), "// x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("C goes m%d", m)
		e.remove(fmt.Sprintf("m%d/p1/c.go", m))
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("assembly m%d", m)
		e.append(fmt.Sprintf("m%d/p2/s_%s.s", m, []string{"amd64", "arm64"}[e.pick(2)]), "// x\n")
	},
	func(e *edit) { p := e.pkg(); e.say("package gone %s", p); e.remove(p) },
	func(e *edit) { p := e.pkg(); e.say("file gone %s", p); e.remove(p + "/p.go") },
	func(e *edit) { p := e.pkg(); e.say("package moved %s", p); e.rename(p, filepath.Dir(p)+"/moved") },
	func(e *edit) { p := e.pkg(); e.say("file renamed %s", p); e.rename(p+"/p.go", p+"/q.go") },
	func(e *edit) {
		p := e.pkg()
		e.say("package named otherwise %s", p)
		e.replace(p+"/p.go", "package p", "package q")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("new package in %s", p)
		e.write(p+"/fresh/f.go", "package fresh\n\nimport _ \"example.org/e1/sub\"\n")
		e.write(p+"/fresh/f_test.go", "package fresh\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		p := fmt.Sprintf("m%d/p%d", m, e.pick(packages))
		e.say("new import %s", p)
		e.write(p+"/imp.go", fmt.Sprintf("package %s\n\nimport (\n\t_ \"example.org/e2/sub\"\n\t_ \"example.org/e0/more\"\n\t_ \"example.com/w/m%d/p%d\"\n)\n", filepath.Base(p), e.pick(m+1)/2, e.pick(2)))
	},
	func(e *edit) {
		p := e.pkg()
		e.say("import of nothing %s", p)
		e.write(p+"/imp.go", "package "+filepath.Base(p)+"\n\nimport _ \"example.com/nowhere\"\n")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("program %s", p)
		e.write(p+"/cmd/main.go", "package main\n\nfunc main() {}\n")
		e.write(p+"/cmd/default.pgo", "x")
	},
	func(e *edit) { p := e.pkg(); e.say("broken %s", p); e.append(p+"/p.go", "\nimport \"fmt\"\n}{\n") },
	func(e *edit) { p := e.pkg(); e.say("no Go at all %s", p); e.replace(p+"/p.go", "package", "pakkage") },
	func(e *edit) {
		p := e.pkg()
		e.say("ignored %s", p)
		e.write(p+"/_x/x.go", "package x\n")
		e.write(p+"/.x/x.go", "package x\n")
		e.write(p+"/_y.go", "package y\n")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("files of no package in %s", p)
		e.write(p+"/notes.txt", "x\n")
		e.append("README.md", "x\n")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("executable %s", p)
		_ = os.Chmod(filepath.Join(e.dir, filepath.FromSlash(p), "p.go"), 0o755)
	},
	func(e *edit) { e.say("link's target"); e.append("shared.txt", "\n// x\n") },
	func(e *edit) {
		e.say("link to another")
		e.remove("m0/linked.go")
		_ = os.Symlink("../README.md", filepath.Join(e.dir, "m0", "linked.go"))
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("new link m%d", m)
		_ = os.Symlink("p.go", filepath.Join(e.dir, fmt.Sprintf("m%d", m), "p0", "l.go"))
	},
	func(e *edit) { e.say("replaced module"); e.append("r/r.go", "\n// x\n") },
	func(e *edit) { e.say("nested module"); e.append("m1/nested/n.go", "\n// x\n") },
	func(e *edit) {
		m := e.pick(modules)
		e.say("m%d asks for e1 v1.2.0", m)
		e.replace(fmt.Sprintf("m%d/go.mod", m), "e1 v1.", "e1 v1.2.0 // 1.")
	},
	func(e *edit) {
		m, n := e.pick(modules), e.pick(3)
		e.say("m%d asks for e%d v1.1.0", m, n)
		e.replace(fmt.Sprintf("m%d/go.mod", m), fmt.Sprintf("e%d v1.0.0", n), fmt.Sprintf("e%d v1.1.0", n))
	},
	func(e *edit) {
		e.say("nobody asks for e2 v1.1.0")
		for m := range modules {
			e.replace(fmt.Sprintf("m%d/go.mod", m), "e2 v1.1.0", "e2 v1.0.0")
		}
	},
	func(e *edit) {
		e.say("go.work replaces e0")
		e.append("go.work", "\nreplace example.org/e0 => example.org/e0 v1.2.0\n")
	},
	func(e *edit) {
		e.say("go.work replaces e1 by a directory")
		e.write("local/go.mod", "module example.org/e1\n\ngo 1.21\n")
		e.write("local/e.go", "package e1\n")
		e.append("go.work", "\nreplace example.org/e1 => ./local\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("m%d excludes", m)
		e.append(fmt.Sprintf("m%d/go.mod", m), "\nexclude example.org/e1 v1.1.0\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("go line m%d", m)
		e.replace(fmt.Sprintf("m%d/go.mod", m), "go 1.21", "go 1.20")
	},
	func(e *edit) { e.say("go line of go.work"); e.replace("go.work", "go 1.21", "go 1.23") },
	func(e *edit) {
		e.say("toolchain line")
		e.replace("go.work", "go 1.21", "go 1.21\n\ntoolchain go1.22.0")
	},
	func(e *edit) { e.say("godebug"); e.append("go.work", "\ngodebug panicnil=1\n") },
	func(e *edit) {
		m := e.pick(modules - 1)
		e.say("go.work without m%d", m)
		e.replace("go.work", fmt.Sprintf("\t./m%d\n", m), "")
	},
	func(e *edit) {
		e.say("go.work with m%d", modules-1)
		e.append("go.work", fmt.Sprintf("\nuse ./m%d\n", modules-1))
	},
	func(e *edit) { e.say("go.work with nested"); e.append("go.work", "\nuse ./m1/nested\n") },
	func(e *edit) { m := e.pick(modules); e.say("sums gone m%d", m); e.remove(fmt.Sprintf("m%d/go.sum", m)) },
	func(e *edit) {
		m := e.pick(modules)
		e.say("comment in go.mod m%d", m)
		e.append(fmt.Sprintf("m%d/go.mod", m), "\n// word\n")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("package becomes a module %s", p)
		e.write(p+"/go.mod", "module example.com/w/"+p+"\n\ngo 1.21\n")
	},
	func(e *edit) {
		p := e.pkg()
		e.say("directory becomes a file %s", p)
		e.remove(p + "/testdata")
		e.write(p+"/testdata", "x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("file becomes a directory m%d", m)
		e.remove(fmt.Sprintf("m%d/p0/a.tmpl", m))
		e.write(fmt.Sprintf("m%d/p0/a.tmpl/x.go", m), "package x\n")
	},
	func(e *edit) {
		m := e.pick(modules)
		e.say("module line of m%d", m)
		e.replace(fmt.Sprintf("m%d/go.mod", m), "example.com/w", "example.com/other")
	},
	func(e *edit) {
		m := e.pick(modules - 1)
		e.say("module gone m%d", m)
		e.remove(fmt.Sprintf("m%d", m))
		e.replace("go.work", fmt.Sprintf("\t./m%d\n", m), "")
	},
	func(e *edit) {
		m := e.pick(modules - 1)
		e.say("module moved m%d", m)
		e.rename(fmt.Sprintf("m%d", m), "sub/moved")
		e.replace("go.work", fmt.Sprintf("\t./m%d\n", m), "\t./sub/moved\n")
	},
	func(e *edit) { e.say("nothing") },
}

// TestAffectedExactly applies random changes to a workspace, some of them committed, some
// staged, some not, and compares with an oracle that shares no code: the bytes of all that
// go says each package is made of, before and after.
func TestAffectedExactly(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	seed := *affectedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-affected-seed %d", seed)
	r := newRepo(t)
	kinds, empty := map[string]int{}, 0
	for i := range *affectedChanges {
		e := &edit{repo: r, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
		r.git("checkout", "-qfB", "work", r.base)
		r.git("clean", "-qfdx")
		for n := 1 + e.pick(3); n > 0; n-- {
			k := e.pick(len(edits))
			if n == 1 && i < len(edits) { // each kind at least once
				k = (i*7 + int(seed%uint64(len(edits)))) % len(edits)
			}
			edits[k](e)
			switch e.pick(3) {
			case 0:
				e.git("add", "-A")
				e.git("commit", "-q", "--allow-empty", "-m", "change")
			case 1:
				e.git("add", "-A")
			}
		}
		for _, s := range e.said {
			kinds[s]++
		}
		status := r.git("status", "--porcelain")
		w, err := workspace.Open(t.Context(), r.dir, filepath.Join(r.dir, "go.work"))
		if err != nil {
			t.Fatalf("change %d (%s): %v", i, strings.Join(e.said, "; "), err)
		}
		got, err := w.Affected(t.Context(), workspace.Since{Rev: r.base, Toolchain: "local"})
		if after := r.git("status", "--porcelain"); after != status {
			t.Errorf("change %d: the working tree was written:\n%s", i, cmp.Diff(status, after))
		}
		if err != nil {
			// Then go itself does not work there.
			if out, err2 := exec.CommandContext(t.Context(), "go", "-C", r.dir, "list", "-e", "-deps", "./m0/...").CombinedOutput(); err2 == nil {
				t.Errorf("change %d (%s): %v, but go lists: %s", i, strings.Join(e.said, "; "), err, out)
			}
			continue
		}
		want := differences(r.old, r.look(r.dir))
		if diff := cmp.Diff(want, found(got)); diff != "" || !got.Comparable {
			t.Errorf("change %d (%s): %s (-want +got):\n%s", i, strings.Join(e.said, "; "), got.Why, diff)
		}
		if len(want) == 0 {
			empty++
		}
	}
	t.Logf("%d changes of %d kinds, %d touch nothing", *affectedChanges, len(kinds), empty)
}

// TestAffectedStories holds what random changes do not reach to a story each.
func TestAffectedStories(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := newRepo(t)
	ask := func(t *testing.T, s workspace.Since) *workspace.Affected {
		t.Helper()
		work := filepath.Join(r.dir, "go.work")
		dir := r.dir
		if _, err := os.Stat(work); err != nil {
			work, dir = "", filepath.Join(r.dir, "m0")
		}
		w, err := workspace.Open(t.Context(), dir, work)
		if err != nil {
			t.Fatal(err)
		}
		s.Vendor = w.Settings(t.Context(), dir, goenv.Layers{}).Vendor
		a, err := w.Affected(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	since := workspace.Since{Rev: r.base, Toolchain: "local"}
	every := slices.Sorted(maps.Keys(r.old))
	for name, x := range map[string]struct {
		change func(e *edit)
		since  workspace.Since
		want   []string
	}{
		"only what is committed": {
			func(e *edit) {
				e.append("m3/p0/p.go", "\n// x\n")
				e.git("commit", "-qam", "x")
				e.append("m3/p1/p.go", "\n// x\n")
				e.write("m3/p2/more.go", "package p2\n")
			},
			workspace.Since{Rev: r.base, Committed: true},
			[]string{"example.com/w/m3/p0"},
		},
		"since the branches parted": {
			func(e *edit) {
				e.append("m3/p0/p.go", "\n// x\n")
				e.git("commit", "-qam", "x")
				e.git("branch", "-qf", "trunk", "HEAD")
				e.git("reset", "-q", "--hard", r.base)
				e.append("m3/p1/p.go", "\n// x\n")
			},
			workspace.Since{Rev: "trunk"},
			[]string{"example.com/w/m3/p1"},
		},
		"against the commit itself": {
			func(e *edit) {
				e.append("m3/p0/p.go", "\n// x\n")
				e.git("commit", "-qam", "x")
				e.git("branch", "-qf", "trunk", "HEAD")
				e.git("reset", "-q", "--hard", r.base)
				e.append("m3/p1/p.go", "\n// x\n")
			},
			workspace.Since{Rev: "trunk", Direct: true},
			[]string{"example.com/w/m3/p0", "example.com/w/m3/p1"},
		},
		"another go command": {
			func(e *edit) { e.replace("go.work", "go 1.21", "go 1.21\n\ntoolchain go1.999.0") },
			workspace.Since{Rev: r.base, Toolchain: "auto"},
			every,
		},
		"taken out of the index, and still there": {
			func(e *edit) { e.git("rm", "-q", "--cached", "m3/p0/p.go") },
			since,
			[]string{},
		},
		"no go.work any more": {
			func(e *edit) {
				e.remove("go.work")
				e.append("m0/p2/p.go", "\n// x\n")
			},
			since,
			// The other modules are no part of it any more, and e0 and e2 come in the versions
			// that m0 asks for.
			append([]string{"example.com/w/m0/p0", "example.com/w/m0/p1 (tests)", "example.com/w/m0/p2"}, removed(every, "example.com/w/m0")...),
		},
		"vendored": {
			func(e *edit) {
				e.replace("go.work", "go 1.21", "go 1.22")
				e.run(e.dir, "go", "work", "vendor")
				e.git("add", "-A")
				e.git("commit", "-qm", "vendor")
				e.git("branch", "-qf", "trunk", "HEAD")
				e.append("vendor/example.org/e0/e.go", "\n// x\n")
			},
			workspace.Since{Rev: "trunk"},
			nil,
		},
		"vendored anew": {
			func(e *edit) {
				e.replace("go.work", "go 1.21", "go 1.22")
				e.run(e.dir, "go", "work", "vendor")
				e.git("add", "-A")
				e.git("commit", "-qm", "vendor")
				e.git("branch", "-qf", "trunk", "HEAD")
				e.replace("m0/go.mod", "e0 v1.0.0", "e0 v1.2.0")
				e.run(e.dir, "go", "work", "vendor")
			},
			workspace.Since{Rev: "trunk"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.git("checkout", "-qfB", "work", r.base)
			r.git("clean", "-qfdx")
			x.change(&edit{repo: r})
			got := found(ask(t, x.since))
			want := x.want
			if want == nil { // the oracle says
				now := r.look(r.dir)
				r.git("stash", "-qu")
				want = differences(r.look(r.dir), now)
				if len(want) == 0 || len(want) == len(now) {
					t.Errorf("the oracle finds %d of %d", len(want), len(now))
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	r.git("checkout", "-qfB", "work", r.base)
	for rev, want := range map[string]error{"nowhere": workspace.ErrNoRev, "--output=x": workspace.ErrNoRev} {
		w, err := workspace.Open(t.Context(), r.dir, filepath.Join(r.dir, "go.work"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Affected(t.Context(), workspace.Since{Rev: rev}); !errors.Is(err, want) {
			t.Errorf("%s: %v", rev, err)
		}
	}
}

func removed(list []string, but string) (out []string) {
	for _, p := range list {
		if !strings.HasPrefix(p, but) {
			out = append(out, p+" (removed)")
		}
	}
	return out
}
