package spelling_test

import (
	"testing"

	"github.com/keepwell/keepwell/internal/spelling"
)

func TestSlip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want float64
	}{
		{"", "", 0},
		{"mux", "mux", 0},
		{"mux", "nux", 0.8},
		{"mux", "pux", 1},
		{"corba", "cobra", 0.8},
		{"logruss", "logrus", 0.8},
		{"go_chi", "go-chi", 0.3},
		{"gochi", "go-chi", 0.3},
		{"Toml", "toml", 0.1},
		{"testfy", "testify", 1},
		{"ab", "ba", 0.8},
		{"abc", "", 3},
	} {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := spelling.Slip(pair[0], pair[1]); got < tt.want-1e-9 || got > tt.want+1e-9 {
				t.Errorf("Slip(%q, %q) is %v, want %v", pair[0], pair[1], got, tt.want)
			}
		}
	}
}

func FuzzSlip(f *testing.F) {
	f.Add("logrus", "logruss")
	f.Add("a.b-c", "A_b.c")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = a[:min(len(a), 40)], b[:min(len(b), 40)]
		d, back := spelling.Slip(a, b), spelling.Slip(b, a)
		if d-back > 1e-9 || back-d > 1e-9 {
			t.Errorf("Slip(%q, %q) is %v, the other way %v", a, b, d, back)
		}
		if (d == 0) != (a == b) {
			t.Errorf("Slip(%q, %q) is %v", a, b, d)
		}
		if most := float64(spelling.Distance(a, b)); d > most+1e-9 {
			t.Errorf("Slip(%q, %q) is %v, more than the plain distance %v", a, b, d, most)
		}
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"github.com/spf13/cobra":                            "github.com/spf13/cobra",
		"https://github.com/spf13/cobra":                    "github.com/spf13/cobra",
		"https:/github.com/spf13/cobra/":                    "github.com/spf13/cobra",
		"git@github.com:spf13/cobra.git":                    "github.com/spf13/cobra",
		"www.github.com/spf13/cobra/tree/main/doc":          "github.com/spf13/cobra",
		"GitHub.com/spf13/cobra":                            "github.com/spf13/cobra",
		"github.com/spf13/cobra.git/":                       "github.com/spf13/cobra",
		"https://gitlab.com/a/b/-/tree/main?ref_type=heads": "gitlab.com/a/b",
	} {
		if got := spelling.Clean(typed); got != want {
			t.Errorf("Clean(%q) is %q, want %q", typed, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	own := []spelling.Known{
		{Path: "github.com/lumen-labs/prism", From: spelling.Required},
		{Path: "git.corp.local/team/widget", From: spelling.Required},
		{Path: "github.com/sirupsem/logrus", From: spelling.Cached},
	}
	for typed, want := range map[string]string{
		"github.com/sirupsen/logruss":          "github.com/sirupsen/logrus",
		"github.com/sirupsne/logrus":           "github.com/sirupsen/logrus",
		"github.com/stretchr/testfy":           "github.com/stretchr/testify",
		"github.com/spf13/corba":               "github.com/spf13/cobra",
		"github.com/gorilla/nux":               "github.com/gorilla/mux",
		"github.com/Sirupsen/logrus":           "github.com/sirupsen/logrus",
		"github.com/burntsushi/toml":           "github.com/BurntSushi/toml",
		"github.com/mattn/go_isatty":           "github.com/mattn/go-isatty",
		"github.com/lumen-lab/prism":           "github.com/lumen-labs/prism",
		"git.corp.local/team/wdget":            "git.corp.local/team/widget",
		"githbu.com/spf13/viper":               "github.com/spf13/viper",
		"githbu.com/quietriver/lantern":        "github.com/quietriver/lantern",
		"github.org/pkg/errors":                "github.com/pkg/errors",
		"go.uber.com/zap":                      "go.uber.org/zap",
		"golang.org/x/txt":                     "golang.org/x/text",
		"spf13/cobra":                          "github.com/spf13/cobra",
		"github.com/go-ch/chi/v5":              "github.com/go-chi/chi/v5",
		"github.com/aws/aws-sdk-go/aws":        "github.com/aws/aws-sdk-go",
		"github.com/spf13/cobra/v2":            "github.com/spf13/cobra",
		"github.com/sirupsem/logrus/hooks/sys": "github.com/sirupsen/logrus",
		// Names of their own.
		"github.com/sirupsen/logger":     "",
		"github.com/spf13/cobra":         "",
		"github.com/acme/cobra":          "",
		"github.com/google/uid":          "github.com/google/uuid",
		"golang.org/x/exp":               "",
		"github.com/gofrs/uuid":          "",
		"gitlab.com/acme/tool":           "",
		"github.com/quietriver/lantern":  "",
		"example.com/widget":             "",
		"github.com/lumen-labs/spectrum": "",
	} {
		got := spelling.Paths(typed, own)
		switch {
		case want == "" && len(got) > 0:
			t.Errorf("%s is read for %+v", typed, got[0])
		case want != "" && (len(got) == 0 || got[0].Path != want):
			t.Errorf("%s: %+v, want %s first", typed, got, want)
		}
	}
	if !spelling.Squats("github.com/sirupsem/logrus", own) || spelling.Squats("github.com/quietriver/lantern", own) {
		t.Error("a lookalike in the cache is not told from another name")
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"lodahs": "lodash", "Express": "express", "babel/core": "@babel/core", "@bable/core": "@babel/core",
		"types-node": "@types/node", "my-own-widgets": "", "lodash": "", "vuee": "vue",
	} {
		got := spelling.Words(typed, nil, spelling.NpmPackages())
		if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || got[0].Path != want) {
			t.Errorf("%s: %+v, want %q", typed, got, want)
		}
	}
}
