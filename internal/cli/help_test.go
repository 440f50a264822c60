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

// TestHelpOfAll walks all commands: every flag, 80 columns, one language.
func TestHelpOfAll(t *testing.T) {
	t.Parallel()
	commands := cli.Commands()
	if len(commands) < 20 {
		t.Fatalf("only %v", commands)
	}
	isHan := func(r rune) bool { return unicode.Is(unicode.Han, r) }
	for _, name := range commands {
		for _, lang := range []string{"en", "zh"} {
			var out, errs bytes.Buffer
			args := append(strings.Fields(name), "--help", "--lang", lang)
			if code := cli.Main(args, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
				t.Fatal(name, code, errs.String())
			}
			text := out.String()
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if w := runewidth.StringWidth(line); w > 80 {
					t.Errorf("%s, %s: %d columns: %s", name, lang, w, line)
				}
				if lang == "en" && strings.ContainsFunc(line, isHan) {
					t.Errorf("%s: not English: %s", name, line)
				}
			}
			first, _, _ := strings.Cut(text, "\n")
			if lang == "zh" && !strings.ContainsFunc(first, isHan) {
				t.Errorf("%s: not Chinese: %s", name, first)
			}
			if lang == "zh" {
				for _, line := range flagsWithoutHan(text) {
					t.Errorf("%s: not Chinese: %s", name, line)
				}
			}
			for _, flag := range cli.FlagsOf(name) {
				if !regexp.MustCompile(`(?m)^  (-., )?--` + flag + `\b`).MatchString(text) {
					t.Errorf("%s, %s: nothing of --%s", name, lang, flag)
				}
			}
		}
	}
}

// flagsWithoutHan are the flags that a Chinese help explains in no Chinese word.
func flagsWithoutHan(text string) []string {
	var found []string
	for _, block := range regexp.MustCompile(`(?m)^  (-., )?--.*\n( {20}.*\n)*`).FindAllString(text, -1) {
		if !strings.ContainsFunc(block, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			found = append(found, block)
		}
	}
	return found
}
