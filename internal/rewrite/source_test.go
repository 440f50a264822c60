package rewrite

import (
	"go/format"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func nameless(string) string { return "" }

// TestSource: a file before and after; "=" where nothing may change.
func TestSource(t *testing.T) {
	t.Parallel()
	renamed := sources{paths: paths{from: "example.com/a/b", to: "example.com/z/b", version: "v1.2.0"}, older: nameless, newer: nameless}
	major := sources{paths: paths{from: "example.com/a/b", to: "example.com/a/b/v2", version: "v2.0.0"}, older: nameless, newer: nameless}
	with := func(s sources, change func(*sources)) sources { change(&s); return s }
	known := func(pairs ...string) names {
		return func(path string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == path {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, test := range []struct {
		name         string
		s            sources
		before, want string
	}{
		{"one import", renamed, "package p\n\nimport \"example.com/a/b\"\n\nvar _ = b.X\n", "package p\n\nimport \"example.com/z/b\"\n\nvar _ = b.X\n"},
		{"not a longer name", renamed, "package p\n\nimport \"example.com/a/bc\"\n", "="},
		{"not in other strings or comments", renamed, "// see example.com/a/b\npackage p\n\nvar s = \"example.com/a/b\"\n", "="},
		{"packages below, and a raw string", renamed, "package p\nimport (\n\t. `example.com/a/b/c`\n\t_ \"example.com/a/b\"\n)\n", "package p\nimport (\n\t. `example.com/z/b/c`\n\t_ \"example.com/z/b\"\n)\n"},
		{
			"another major is another module",
			with(renamed, func(s *sources) { s.others = []string{"example.com/a/b/v2"} }),
			"package p\nimport (\n\tone \"example.com/a/b\"\n\ttwo \"example.com/a/b/v2/x\"\n)\n", "package p\nimport (\n\ttwo \"example.com/a/b/v2/x\"\n\tone \"example.com/z/b\"\n)\n",
		},
		{"to another major", major, "package p\n\nimport \"example.com/a/b/sub\"\n", "package p\n\nimport \"example.com/a/b/v2/sub\"\n"},
		{
			"from gopkg.in, where the names differ",
			sources{paths: paths{from: "gopkg.in/yaml.v2", to: "go.example.org/yaml/v4"}, older: nameless, newer: known("go.example.org/yaml/v4", "yaml")},
			"package p\n\nimport \"gopkg.in/yaml.v2\"\n\nvar _ = yaml.X\n", "package p\n\nimport \"go.example.org/yaml/v4\"\n\nvar _ = yaml.X\n",
		},
		{
			"gopkg.in's versions are other modules",
			sources{paths: paths{from: "gopkg.in/yaml", to: "go.example.org/yaml"}, older: nameless, newer: nameless},
			"package p\n\nimport \"gopkg.in/yaml.v2\"\n//go:generate go run gopkg.in/yaml.v2/cmd\n", "=",
		},
		{
			"a package that calls itself otherwise",
			with(renamed, func(s *sources) {
				s.older, s.newer = known("example.com/a/b", "old"), known("example.com/z/b", "fresh")
			}),
			"package p\n\nimport \"example.com/a/b\"\n\nvar _ = old.X\n", "package p\n\nimport old \"example.com/z/b\"\n\nvar _ = old.X\n",
		},
		{
			"the old name has to be guessed",
			sources{paths: paths{from: "example.com/go-widget", to: "example.com/gadget"}, older: nameless, newer: known("example.com/gadget", "gadget")},
			"package p\n\nimport \"example.com/go-widget\"\n\nvar _ = widget.X\n", "package p\n\nimport widget \"example.com/gadget\"\n\nvar _ = widget.X\n",
		},
		{
			"a name of its own stays",
			sources{paths: paths{from: "example.com/widget", to: "example.com/gadget"}, older: nameless, newer: known("example.com/gadget", "gadget")},
			"package p\n\nimport w \"example.com/widget\"\n\nvar _ = w.X\n", "package p\n\nimport w \"example.com/gadget\"\n\nvar _ = w.X\n",
		},
		{
			"carriage returns, a byte order mark and build tags", renamed,
			"\ufeff//go:build linux\r\n\r\npackage p\r\n\r\nimport (\r\n\t\"example.com/a/b\"\r\n\t\"example.com/b\"\r\n)\r\n",
			"\ufeff//go:build linux\r\n\r\npackage p\r\n\r\nimport (\r\n\t\"example.com/b\"\r\n\t\"example.com/z/b\"\r\n)\r\n",
		},
		{
			"a cgo preamble that names it", renamed,
			"package p\n\n// #include \"example.com/a/b/x.h\"\nimport \"C\"\n\nimport \"example.com/a/b\"\n", "package p\n\n// #include \"example.com/a/b/x.h\"\nimport \"C\"\n\nimport \"example.com/z/b\"\n",
		},
		{
			"only sorted groups are sorted again", renamed,
			"package p\nimport (\n\t\"example.com/a/b\"\n\t\"example.com/b\"\n\n\t\"x\"\n\t\"example.com/a/b/c\"\n\t\"a\"\n)\n",
			"package p\nimport (\n\t\"example.com/b\"\n\t\"example.com/z/b\"\n\n\t\"x\"\n\t\"example.com/z/b/c\"\n\t\"a\"\n)\n",
		},
		{
			"several on a line stay in order", renamed,
			"package p\nimport (\"example.com/a/b\"; \"example.com/b\")\n", "package p\nimport (\"example.com/z/b\"; \"example.com/b\")\n",
		},
		{
			"comments behind specs stay in their column", renamed,
			"package p\n\nimport (\n\t\"example.com/a/b\" // why\n\t\"example.com/bb\"  // who\n)\n", "package p\n\nimport (\n\t\"example.com/bb\"  // who\n\t\"example.com/z/b\" // why\n)\n",
		},
		{
			"both paths become one", renamed,
			"package p\n\nimport (\n\t\"example.com/a/b\"\n\t\"example.com/z/b\"\n)\n", "package p\n\nimport (\n\t\"example.com/z/b\"\n)\n",
		},
		{
			"both paths under two names stay", renamed,
			"package p\n\nimport (\n\tone \"example.com/a/b\"\n\ttwo \"example.com/z/b\"\n)\n", "package p\n\nimport (\n\tone \"example.com/z/b\"\n\ttwo \"example.com/z/b\"\n)\n",
		},
		{
			"comments for go", renamed,
			"package p\n\n//go:generate go run example.com/a/b/cmd/gen@v1.0.0 -x example.com/a/bc https://example.com/a/b\n// go:generate example.com/a/b\nvar s = ` //go:generate example.com/a/b`\n\n//go:linkname f example.com/a/b/in.f\nfunc f()\n",
			"package p\n\n//go:generate go run example.com/z/b/cmd/gen@v1.2.0 -x example.com/a/bc https://example.com/a/b\n// go:generate example.com/a/b\nvar s = ` //go:generate example.com/a/b`\n\n//go:linkname f example.com/z/b/in.f\nfunc f()\n",
		},
		{
			"the module itself", with(renamed, func(s *sources) { s.own = true }),
			"package c // import \"example.com/a/b/c\"\n\nimport \"example.com/a/b\"\n", "package c // import \"example.com/z/b/c\"\n\nimport \"example.com/z/b\"\n",
		},
		{
			"another module's import comment stays", renamed,
			"package c // import \"example.com/a/b/c\"\n", "=",
		},
		{
			"a module with a plain name",
			sources{paths: paths{from: "app", to: "example.com/app"}, older: nameless, newer: nameless, own: true},
			"package c\n\nimport (\n\t\"app/x\"\n\t\"application\"\n)\n\n//go:generate app run app/x\n", "package c\n\nimport (\n\t\"application\"\n\t\"example.com/app/x\"\n)\n\n//go:generate app run example.com/app/x\n",
		},
		{"no Go at all", renamed, "<<<<<<< HEAD\nimport \"example.com/a/b\"\n", "error"},
		{"broken below its imports", renamed, "package p\nimport \"example.com/a/b\"\nfunc {", "package p\nimport \"example.com/z/b\"\nfunc {"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, _, err := test.s.source("x.go", []byte(test.before))
			got := string(out)
			switch {
			case err != nil:
				got = "error"
			case out == nil:
				got = "="
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzSource: whatever the file, other bytes than specs and directives stay, what was
// formatted stays formatted, and a second time nothing is left to do.
func FuzzSource(f *testing.F) {
	f.Add("package p\n\nimport (\n\t\"example.com/a/b\" // x\n\tq \"example.com/c\"\n)\n\nvar _ = b.X\n")
	f.Add("\ufeffpackage p // import \"example.com/a/b\"\r\nimport \"example.com/a/b\"\r\n//go:generate x example.com/a/b\r\n")
	f.Add("package p\nimport (`example.com/a/b`; _ \"example.com/a/b/c\"\n\"example.com/z/b\")")
	f.Fuzz(func(t *testing.T, src string) {
		s := sources{paths: paths{from: "example.com/a/b", to: "example.com/z/b"}, older: nameless, newer: nameless}
		out, _, err := s.source("x.go", []byte(src))
		if err != nil || out == nil {
			return
		}
		if clean, err := format.Source([]byte(src)); err == nil && string(clean) == src && !strings.Contains(src, "//go:") {
			if again, err := format.Source(out); err != nil || string(again) != string(out) {
				t.Errorf("no longer as gofmt has it (%v):\n%s", err, out)
			}
		}
		if more, _, err := s.source("x.go", out); err != nil || more != nil {
			t.Errorf("a second time: %v\n%s\n->\n%s", err, out, more)
		}
	})
}
