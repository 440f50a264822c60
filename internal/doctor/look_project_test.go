package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/settings"
)

// tree writes files below a new directory; a name that ends in "/" is a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// caseIn is a case of a directory with a go 1.26.0, whose go.mod and go.work are in force
// where they exist.
func caseIn(dir string, env ...string) *Case {
	c := &Case{
		Dir: dir, Settings: &settings.Settings{Env: goenv.Env{}, Project: settings.Project{Dir: dir}, Gos: []settings.GoCommand{{Path: "go"}}},
		Machine: &diagnose.Machine{GoVersion: "1.26.0"},
		Say: func(key string, args ...string) string {
			list := make([]any, len(args))
			for i, a := range args {
				list[i] = a
			}
			return msg.Text(msg.EN, key, list...)
		},
	}
	for name, file := range map[string]string{"GOMOD": "go.mod", "GOWORK": "go.work"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			c.Settings.Env[name] = goenv.Setting{Value: filepath.Join(dir, file)}
		}
	}
	for _, kv := range append([]string{"GOMODCACHE=" + filepath.Join(dir, "cache"), "GOTOOLCHAIN=auto"}, env...) {
		name, value, _ := strings.Cut(kv, "=")
		c.Settings.Env[name] = goenv.Setting{Value: value}
	}
	return c
}

// said are findings as "severity code key=value ...", one a line.
func said(list []keepwell.Finding, facts ...string) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(string(f.Severity) + " " + string(f.Code))
		for _, k := range facts {
			if f.Facts[k] != "" {
				b.WriteString(" " + k + "=" + f.Facts[k])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

const mod = "module example.com/a\n\ngo 1.26\n"

func TestProject(t *testing.T) {
	t.Parallel()
	hash := "h1:" + strings.Repeat("A", 43) + "="
	other := "h1:" + strings.Repeat("B", 42) + "A="
	for name, test := range map[string]struct {
		files map[string]string
		env   []string
		want  string
		proof string
	}{
		"in GOPATH itself":    {files: map[string]string{"go.mod": mod}, env: []string{"GOPATH=HERE"}, want: "info local/gopath path=HERE\n"},
		"healthy":             {files: map[string]string{"go.mod": mod}},
		"crlf":                {files: map[string]string{"go.mod": "module example.com/a\r\n\r\ngo 1.26\r\n"}},
		"main with v1":        {files: map[string]string{"go.mod": "module example.com/a/v1\n\ngo 1.26\n"}},
		"byte order mark":     {files: map[string]string{"go.mod": "\ufeff" + mod}, want: "error local/go-mod-parse path=go.mod\n", proof: "byte order"},
		"utf-16":              {files: map[string]string{"go.mod": "\xff\xfem\x00o\x00"}, want: "error local/go-mod-parse path=go.mod\n", proof: "UTF-16"},
		"unknown directive":   {files: map[string]string{"go.mod": mod + "requires example.com/x v1.0.0\n"}, want: "error local/go-mod-parse path=go.mod\n", proof: "go.mod:4: unknown directive: requires"},
		"conflict":            {files: map[string]string{"go.mod": mod + "<<<<<<< HEAD\n=======\n>>>>>>> x\n"}, want: "error local/go-mod-parse path=go.mod\n", proof: "go.mod:4"},
		"no module":           {files: map[string]string{"go.mod": "go 1.26\n"}, want: "error local/go-mod-parse path=go.mod\n"},
		"long line":           {files: map[string]string{"go.mod": mod + strings.Repeat("x", 10<<20) + "\n"}, want: "warning local/go-mod-parse path=go.mod\n"},
		"long comment":        {files: map[string]string{"go.mod": mod + "// " + strings.Repeat("x", 100<<10) + "\n"}},
		"two numbers":         {files: map[string]string{"go.mod": mod + "require example.com/x v1.5\n", "go.sum": ""}, want: "error version/invalid module=example.com/x version=v1.5\n", proof: "go.mod:4"},
		"no v":                {files: map[string]string{"go.mod": mod + "require example.com/x 1.5.0\n", "go.sum": ""}, want: "error version/invalid module=example.com/x version=1.5.0\n"},
		"suffix missing":      {files: map[string]string{"go.mod": mod + "require example.com/x v2.1.0\n", "go.sum": ""}, want: "error version/major-suffix module=example.com/x version=v2.1.0 newpath=example.com/x/v2\n"},
		"suffix too high":     {files: map[string]string{"go.mod": mod + "require example.com/x/v3 v2.1.0\n", "go.sum": ""}, want: "error version/major-suffix module=example.com/x/v3 version=v2.1.0 newpath=example.com/x/v2\n"},
		"suffix v1":           {files: map[string]string{"go.mod": mod + "require example.com/x/v1 v1.1.0\n", "go.sum": ""}, want: "error version/major-suffix module=example.com/x/v1 version=v1.1.0 newpath=example.com/x\n"},
		"gopkg":               {files: map[string]string{"go.mod": mod + "require gopkg.in/yaml.v2 v3.0.1\n", "go.sum": ""}, want: "error version/major-suffix module=gopkg.in/yaml.v2 version=v3.0.1 newpath=gopkg.in/yaml.v3\n"},
		"incompatible":        {files: map[string]string{"go.mod": mod + "require example.com/x v2.1.0+incompatible\n", "go.sum": ""}},
		"replaced, gone":      {files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\nreplace example.com/x => ../gone\n"}, want: "error local/replace module=example.com/x path=../gone\n", proof: "go.mod:5: example.com/x"},
		"replaced, no go.mod": {files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\nreplace example.com/x => ./x\n", "x/": ""}, want: "error local/replace module=example.com/x path=./x\n"},
		"replaced, unneeded":  {files: map[string]string{"go.mod": mod + "replace example.com/x => ../gone\n"}, want: "info local/replace module=example.com/x path=../gone\n"},
		"replaced, there":     {files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\nreplace example.com/x => ./x\n", "x/go.mod": "module example.com/x\n"}},
		"sum conflict":        {files: map[string]string{"go.mod": mod, "go.sum": "<<<<<<< HEAD\n"}, want: "error sum/malformed path=go.sum\n", proof: "go.sum:1"},
		"sum two fields":      {files: map[string]string{"go.mod": mod, "go.sum": "example.com/x v1.0.0 " + hash + "\nexample.com/x v1.0.0\n"}, want: "error sum/malformed path=go.sum\n", proof: "go.sum:2: wrong number of fields 2"},
		"sum two hashes":      {files: map[string]string{"go.mod": mod, "go.sum": "example.com/x v1.0.0 " + hash + "\nexample.com/x v1.0.0 " + other + "\n"}, want: "warning sum/malformed module=example.com/x version=v1.0.0 path=go.sum\n"},
		"sum twice the same":  {files: map[string]string{"go.mod": mod, "go.sum": "example.com/x v1.0.0 " + hash + "\nexample.com/x v1.0.0 " + hash + "\n\n"}},
		"no sum":              {files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\n"}},
		"go too old":          {files: map[string]string{"go.mod": "module example.com/a\n\ngo 1.99\n"}, env: []string{"GOTOOLCHAIN=local"}, want: "error version/go-too-old goversion=1.99 running=1.26.0\n"},
		"go may switch":       {files: map[string]string{"go.mod": "module example.com/a\n\ngo 1.99\n"}},
		"go not in PATH":      {files: map[string]string{"go.mod": "module example.com/a\n\ngo 1.99\n"}, env: []string{"GOTOOLCHAIN=path"}, want: "error version/toolchain goversion=1.99.0 running=1.26.0\n"},
		"toolchain, local":    {files: map[string]string{"go.mod": mod + "toolchain go1.99.0\n"}, env: []string{"GOTOOLCHAIN=local"}},
		"dependency newer": {
			files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\n", "go.sum": "", "cache/cache/download/example.com/x/@v/v1.0.0.mod": "module example.com/x\n\ngo 1.99.0\n"},
			want:  "error version/go-too-old module=example.com/x version=v1.0.0 goversion=1.99.0 running=1.26.0\n",
		},
		"dependency above the line": {
			files: map[string]string{"go.mod": "module example.com/a\n\ngo 1.22\nrequire example.com/x v1.0.0\n", "go.sum": "", "cache/cache/download/example.com/x/@v/v1.0.0.mod": "module example.com/x\n\ngo 1.24.0\n"},
			want:  "info version/go-too-old module=example.com/x version=v1.0.0 goversion=1.24.0 running=1.26.0\n",
		},
		"vendor": {
			files: map[string]string{"go.mod": mod + "require example.com/x v1.0.0\n", "vendor/modules.txt": "# example.com/x v0.9.0\n## explicit\nexample.com/x\n"},
			want:  "error local/vendor path=vendor/modules.txt\n",
			proof: "example.com/x@v1.0.0: is explicitly required in go.mod, but not marked as explicit in vendor/modules.txt",
		},
		"vendor, fine": {
			files: map[string]string{
				"go.mod":             mod + "require example.com/x v1.0.0\nreplace example.com/x => ../gone\n",
				"vendor/modules.txt": "# example.com/x v1.0.0 => ../gone\n## explicit; go 1.20\nexample.com/x\n# example.com/x => ../gone\n",
			},
			want: "info local/replace module=example.com/x path=../gone\n",
		},
		"workspace":             {files: map[string]string{"go.work": "go 1.26\nuse ./a\n", "a/go.mod": mod}},
		"workspace, dir gone":   {files: map[string]string{"go.work": "go 1.26\nuse ./a\n"}, want: "error local/workspace path=./a\n", proof: "go.work:2"},
		"workspace, no go.mod":  {files: map[string]string{"go.work": "go 1.26\nuse ./a\n", "a/": ""}, want: "error local/workspace path=./a\n"},
		"workspace, garbage":    {files: map[string]string{"go.work": "garbage\n"}, want: "error local/go-mod-parse path=go.work\n", proof: "go.work:1: unknown directive: garbage"},
		"workspace, other here": {files: map[string]string{"go.work": "go 1.26\nuse ./a\n", "a/go.mod": mod, "go.mod": mod}, want: "error local/workspace path=go.work\n"},
		"workspace, older go":   {files: map[string]string{"go.work": "go 1.25\nuse ./a\n", "a/go.mod": mod}, want: "error local/workspace path=go.work\n"},
		"npm":                   {files: map[string]string{"package.json": `{"dependencies":{"x":"1"}}`, "package-lock.json": "{}"}},
		"npm, no lock":          {files: map[string]string{"package.json": `{"dependencies":{"x":"1"}}`}},
		"npm, two locks":        {files: map[string]string{"package.json": `{}`, "package-lock.json": "{}", "yarn.lock": ""}},
		"npm, broken":           {files: map[string]string{"package.json": "{\n\"a\": 1,\n}"}, want: "error local/go-mod-parse path=package.json\n", proof: "package.json:3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, test.files)
			for i := range test.env {
				test.env[i] = strings.ReplaceAll(test.env[i], "HERE", dir)
			}
			c := caseIn(dir, test.env...)
			o := lookProject(context.Background(), c, nil)
			if diff := cmp.Diff(strings.ReplaceAll(test.want, "HERE", dir), said(o.Findings, "module", "version", "newpath", "path", "goversion", "running")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if test.proof != "" && (len(o.Findings) == 0 || !strings.Contains(o.Findings[0].Evidence[0].Text, test.proof)) {
				t.Errorf("the proof lacks %q: %+v", test.proof, o.Findings)
			}
			for _, f := range o.Findings {
				if text := f.Evidence[0].Text; len(text) > 400 || strings.Contains(text, "doctor.") || strings.Contains(text, "%!") {
					t.Errorf("unreadable proof %.500q", text)
				}
			}
		})
	}
}
