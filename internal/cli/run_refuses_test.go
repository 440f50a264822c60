//go:build unix

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRunRefusesUpstreams that can be nobody's wish.
func TestRunRefusesUpstreams(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	if err := os.Mkdir(filepath.Join(l.work, "a b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ upstream, en, zh string }{
		{"./nope.zip", "there is no " + filepath.Join(l.work, "nope.zip"), "找不到 " + filepath.Join(l.work, "nope.zip")},
		{"file:///nope/dir", "there is no /nope/dir", "找不到 /nope/dir"},
		{"goproxy.example.org，direct", `has "，" where a comma should be`, `中的 "，" 应为英文逗号`},
		{"goproxy.example.org; direct", `has ";" where a comma should be`, `中的 ";" 应为英文逗号`},
		{"goproxy.example.org direct", `has " " where a comma should be`, `中的 " " 应为英文逗号`},
		{"http://user:pw@proxy.example.org", "write https://", "请改用 https://"},
	} {
		for lang, want := range map[string]string{"en": x.en, "zh": x.zh} {
			code, _, errs := l.run("run", "--lang", lang, "--upstream", x.upstream, "--", "go", "mod", "download")
			if code != 2 || !strings.Contains(errs, want) || strings.Contains(errs, "pw@") || strings.Count(errs, "\n") != 2 {
				t.Errorf("%s: exit %d, %s", x.upstream, code, errs)
			}
		}
	}
	// A path may have blanks, and blanks may stand around commas.
	if code, _, errs := l.run("run", "--upstream", "./a b , direct", "--", "true"); code != 0 {
		t.Error(errs)
	}
}
