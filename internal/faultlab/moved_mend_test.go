//go:build unix

package faultlab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exchange is a package that has to make way for another, with the real npm or pip.
type exchange struct {
	name, tool string
	// files of the project; served sets up the servers.
	files  []string
	served func(l *Lab)
	// ask are the words behind doctor --fix; works is what must fail before and work after.
	ask   []string
	works func(ctx context.Context, l *Lab) (string, int)
	// want are files afterwards; lines that must stand in them.
	want map[string][]string
}

func (l *Lab) npmCI(ctx context.Context) (string, int) {
	return l.exec(ctx, l.Work, "npm", "ci", "--ignore-scripts")
}

func (l *Lab) pipRequirements(ctx context.Context) (string, int) {
	return l.exec(ctx, l.Work, realPython(ctx, l), "-m", "pip", "download", "--dest", filepath.Join(l.Dir, "tmp/wheels"), "-r", "requirements.txt")
}

func exchanges() []exchange {
	npm := func(l *Lab) { l.npmWith(npmWidget(), pkg{name: "gadget", version: "2.1.0"}) }
	lockOf := func(name, host string) string {
		return `{"name":"app","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"app","version":"1.0.0","dependencies":{"` + name + `":"^1.0.0"}},` +
			`"node_modules/` + name + `":{"version":"1.0.0","resolved":"https://` + host + `/` + name + `/-/` + name + `-1.0.0.tgz","integrity":"INTEGRITY"}}}` + "\n"
	}
	return []exchange{
		{
			name: "npm, with a lock file", tool: "npm", served: npm,
			files: []string{
				"package.json", "{\n  \"name\": \"app\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": {\n    \"oldwidget\": \"^1.0.0\"\n  }\n}\n",
				"package-lock.json", lockOf("oldwidget", "npm.example.org"), "index.js", "const w = require('oldwidget')\n",
			},
			ask: []string{"npm:oldwidget", "--to", "gadget@2.1.0"}, works: func(ctx context.Context, l *Lab) (string, int) { return l.npmCI(ctx) },
			want: map[string][]string{
				"package.json":      {"  \"dependencies\": {\n    \"gadget\": \"^2.1.0\"\n  }\n"},
				"package-lock.json": {`"resolved": "https://npm.example.org/gadget/-/gadget-2.1.0.tgz"`},
				"index.js":          {"require('oldwidget')"},
			},
		},
		{
			name: "npm, in devDependencies, exactly, without a lock file", tool: "npm", served: npm,
			files: []string{"package.json", "{\n\t\"name\": \"app\",\n\t\"version\": \"1.0.0\",\n\t\"devDependencies\": {\n\t\t\"oldwidget\": \"1.0.0\"\n\t}\n}\n", ".npmrc", "package-lock=false\n"},
			ask:   []string{"npm:oldwidget", "--to", "widget@1.0.0"},
			works: func(ctx context.Context, l *Lab) (string, int) {
				return l.exec(ctx, l.Work, "npm", "install", "--ignore-scripts", "--no-package-lock")
			},
			want: map[string][]string{"package.json": {"\t\"devDependencies\": {\n\t\t\"widget\": \"1.0.0\"\n\t}\n"}},
		},
		{
			name: "npm, another version", tool: "npm", served: npm,
			files: []string{"package.json", "{\n  \"name\": \"app\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": {\n    \"gadget\": \"~9.0.0\"\n  }\n}\n"},
			ask:   []string{"npm:gadget", "--to", "gadget@2.1.0"},
			works: func(ctx context.Context, l *Lab) (string, int) {
				return l.exec(ctx, l.Work, "npm", "install", "--ignore-scripts", "--no-package-lock")
			},
			want: map[string][]string{"package.json": {"\"gadget\": \"~2.1.0\"\n"}},
		},
		{
			name: "pip, under another spelling", tool: "pip",
			served: func(l *Lab) {
				l.pypi(pyWidget(), wheel{name: "gadget", version: "2.0.0"})
			},
			files: []string{
				"requirements.txt", "# ours\r\nwidget==1.0.0\r\nOld_Gadget[fast] ~= 1.4 ; python_version > \"3\"  # why\r\nold-gadget-extra-is-another @ https://example.org/x.whl ; python_version < \"3\"\r\n",
				"pyproject.toml", "[project]\nname = \"app\"\nversion = \"1\"\ndescription = \"old.gadget\"\ndependencies = [\n  \"old.gadget>=1\", # \"old-gadget\"\n  'widget',\n]\n\n[tool.x]\nrequires = [\"old-gadget\"]\n",
			},
			ask: []string{"pypi:old-gadget", "--to", "gadget==2.0.0"}, works: func(ctx context.Context, l *Lab) (string, int) { return l.pipRequirements(ctx) },
			want: map[string][]string{
				"requirements.txt": {"# ours\r\nwidget==1.0.0\r\ngadget[fast] >=2.0.0 ; python_version > \"3\"  # why\r\nold-gadget-extra"},
				"pyproject.toml":   {"description = \"old.gadget\"", "  \"gadget>=2.0.0\", # \"gadget\"\n", "requires = [\"old-gadget\"]"},
			},
		},
		{
			name: "pip, pinned with checksums", tool: "pip",
			served: func(l *Lab) { l.pypi(pyWidget()) },
			files:  []string{"requirements.txt", "oldwidget==0.9 \\\n    --hash=sha256:aaaa \\\n    --hash=sha256:bbbb\n"},
			ask:    []string{"pypi:oldwidget", "--to", "widget==1.0.0"}, works: func(ctx context.Context, l *Lab) (string, int) { return l.pipRequirements(ctx) },
			want: map[string][]string{"requirements.txt": {"widget==1.0.0"}},
		},
		{
			name: "npm, a lock file of another registry", tool: "npm",
			served: func(l *Lab) {
				npm(l)
				l.HTTPS("registry.corp.example", errorJSON(403))
				data, err := os.ReadFile(filepath.Join(l.Work, "package-lock.json"))
				l.check(err)
				l.Files("package-lock.json", strings.Replace(string(data), "INTEGRITY", integrity(npmWidget().tarball(l)), 1))
			},
			files: []string{
				"package.json", "{\n  \"name\": \"app\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": {\n    \"widget\": \"^1.0.0\"\n  }\n}\n",
				"package-lock.json", lockOf("widget", "registry.corp.example/api/npm/all"),
			},
			ask: []string{"--consent", "npm-lock:registry.corp.example"}, works: func(ctx context.Context, l *Lab) (string, int) { return l.npmCI(ctx) },
			want: map[string][]string{"package-lock.json": {`"resolved":"https://npm.example.org/widget/-/widget-1.0.0.tgz"`}},
		},
	}
}

// TestPackagesExchanged has doctor put a package in the place of another by the real npm
// and pip, and takes it back.
func TestPackagesExchanged(t *testing.T) {
	bin, cache := buildKeepwell(t), t.TempDir()
	for _, x := range exchanges() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			need(t, Scenario{Tool: x.tool})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			l := Open(t, cache)
			l.Files(x.files...)
			x.served(l)
			if out, code := x.works(ctx, l); code == 0 {
				t.Fatalf("it works already:\n%s", out)
			}
			l.check(os.RemoveAll(filepath.Join(l.Work, "node_modules")))
			before := l.project()
			dry := l.keepwell(ctx, bin, append([]string{"doctor", "--fix", "--dry-run"}, x.ask...)...)
			if diff := cmp.Diff(before, l.project()); diff != "" {
				t.Errorf("--dry-run changes something:\n%s", diff)
			}
			fix := append([]string{"doctor", "--fix"}, x.ask...)
			if x.ask[0] != "--consent" {
				fix = append(fix, "--yes")
			}
			fixed := l.keepwell(ctx, bin, fix...)
			after := l.project()
			for name, list := range x.want {
				for _, w := range list {
					if !strings.Contains(after[name], w) {
						t.Errorf("%s lacks %q:\n%s\n%s%s", name, w, after[name], fixed.out, fixed.stderr)
					}
				}
			}
			if out, code := x.works(ctx, l); code != 0 {
				t.Errorf("it does not work afterwards:\n%s\n%s%s\n%s", out, fixed.out, fixed.stderr, dry.out)
			}
			l.check(os.RemoveAll(filepath.Join(l.Work, "node_modules")))
			if undone := l.keepwell(ctx, bin, "doctor", "--undo"); undone.exit != 0 {
				t.Errorf("%s%s", undone.out, undone.stderr)
			}
			if diff := cmp.Diff(before, l.project()); diff != "" {
				t.Errorf("after undo (-before +after):\n%s", diff)
			}
		})
	}
}

// project are the files of the project with their bytes.
func (l *Lab) project() map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(l.Work)
	l.check(err)
	for _, e := range entries {
		if e.Type().IsRegular() {
			data, err := os.ReadFile(filepath.Join(l.Work, e.Name()))
			l.check(err)
			out[e.Name()] = string(data)
		}
	}
	return out
}
