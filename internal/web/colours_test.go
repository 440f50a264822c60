package web_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/web"
)

// TestContrast: what is written can be read, and what is drawn can be seen, in light and in
// dark (WCAG 2.1, 1.4.3: 4.5 for text; 1.4.11: 3 for what is drawn and for fields).
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := map[string]map[string]string{}
	for _, block := range regexp.MustCompile(`(?s):root([^{]*)\{(.*?)\}`).FindAllStringSubmatch(string(css), -1) {
		theme := map[string]string{}
		for _, v := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block[2], -1) {
			theme[v[1]] = v[2]
		}
		themes[strings.TrimSpace(block[1])] = theme
	}
	if len(themes) != 3 {
		t.Fatalf("%d sets of colours, want those of light, of dark, and of dark where the system is: %v", len(themes), themes)
	}
	if a, b := fmt.Sprint(themes[`[data-theme="dark"]`]), fmt.Sprint(themes[`:not([data-theme="light"])`]); a != b {
		t.Errorf("dark by choice and by the system differ:\n%s\n%s", a, b)
	}
	text := map[string][]string{
		"card":  {"ink", "soft", "accent", "bad", "p0", "p1", "p2", "p3", "p4"},
		"hover": {"ink", "soft", "accent", "bad", "p0", "p1", "p2", "p3", "p4"}, "ground": {"ink", "soft", "accent"}, "accent": {"accent-ink"}, "accent-wash": {"accent", "ink"},
		"good-wash": {"good", "ink"}, "bad-wash": {"bad", "ink"}, "warn-wash": {"warn", "ink", "soft", "accent"}, "calm-wash": {"ink"},
	}
	drawn := map[string][]string{"card": {"accent", "p2", "p3", "p4", "bad", "soft", "p1"}, "ground": {"soft", "accent"}}
	for name, theme := range themes {
		for want, pairs := range map[float64]map[string][]string{4.5: text, 3: drawn} {
			for ground, all := range pairs {
				for _, ink := range all {
					if got := contrast(t, theme[ink], theme[ground]); got < want {
						t.Errorf("%q: %s on %s: %.2f, want %.1f", name, ink, ground, got, want)
					}
				}
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is that of WCAG 2.1.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatalf("%q is no colour", colour)
	}
	part := func(shift uint, weight float64) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return weight * c / 12.92
		}
		return weight * math.Pow((c+0.055)/1.055, 2.4)
	}
	return part(16, 0.2126) + part(8, 0.7152) + part(0, 0.0722)
}

// TestKinds: pages have words for each kind of entry that the journal has.
func TestKinds(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../journal/journal.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil && fmt.Sprint(spec.Type) == "Kind" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, value)
		}
		return true
	})
	if len(kinds) == 0 {
		t.Fatal("no kinds were found")
	}
	for _, k := range kinds {
		if !slices.Contains(web.StateWords()["kind"], k) {
			t.Errorf("the journal page does not know the kind %s", k)
		}
	}
}
