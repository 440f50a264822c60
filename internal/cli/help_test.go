package cli_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell/internal/cli"
)

// TestHelpOfProxy has every flag once, in one language, on lines of 80 columns.
func TestHelpOfProxy(t *testing.T) {
	t.Parallel()
	var all []string
	for _, lang := range []string{"en", "zh"} {
		var out, errs bytes.Buffer
		if code := cli.Main([]string{"proxy", "--help", "--lang", lang}, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatal(code, errs.String())
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if w := runewidth.StringWidth(line); w > 80 {
				t.Errorf("%s: %d columns: %s", lang, w, line)
			}
			if lang == "en" && strings.ContainsFunc(line, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				t.Errorf("not English: %s", line)
			}
		}
		found := regexp.MustCompile(`(?m)^  --([a-z0-9-]+)`).FindAllStringSubmatch(out.String(), -1)
		var flags []string
		for _, m := range found {
			flags = append(flags, m[1])
		}
		slices.Sort(flags)
		if lang == "en" {
			all = flags
		} else if !slices.Equal(all, flags) {
			t.Errorf("%v in English, %v in Chinese", all, flags)
		}
	}
	if got, want := all, cli.FlagsOf("proxy"); !slices.Equal(got, want) {
		t.Errorf("the help has %v, the command %v", got, want)
	}
}
