package msg_test

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/msg"
)

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[sqvdxf]`)

// placeholders are the arguments that a text takes, by number, with their verbs.
func placeholders(text string) []string {
	var out []string
	next := 1
	for _, m := range verb.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			next, _ = strconv.Atoi(m[1])
		}
		out = append(out, strconv.Itoa(next)+m[0][len(m[0])-1:])
		next++
	}
	slices.Sort(out)
	return out
}

// TestBothLanguages: every message is there in both, takes the same arguments, and
// Chinese is written with Chinese punctuation.
func TestBothLanguages(t *testing.T) {
	t.Parallel()
	for _, key := range msg.Keys() {
		en, zh := msg.Text(msg.EN, key), msg.Text(msg.ZH, key)
		if en == "" || zh == "" {
			t.Errorf("%s is empty in a language", key)
		}
		if diff := cmp.Diff(placeholders(en), placeholders(zh)); diff != "" {
			t.Errorf("%s takes other arguments (-en +zh):\n%s", key, diff)
		}
		r := []rune(zh)
		for i := 1; i < len(r); i++ {
			if unicode.Is(unicode.Han, r[i-1]) && (r[i] == ',' || r[i] == ';' || r[i] == '?') {
				t.Errorf("%s: western punctuation behind Chinese in %s", key, zh)
			}
		}
	}
}
