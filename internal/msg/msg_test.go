package msg_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// TestCounts: nothing is "1 files".
func TestCounts(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		key  string
		args []any
		want string
	}{
		{"bundle.failed", []any{1}, "1 file could not be fetched, see above"},
		{"bundle.failed", []any{21}, "21 files could not be fetched, see above"},
		{"bundle.written", []any{"x", 1, 3, "1 MiB", "ab"}, "keepwell: wrote x: 1 module with code, 3 files, 1 MiB (ID ab)"},
		{"bundle.written", []any{"x", int64(2), int64(1), "1 MiB", "ab"}, "keepwell: wrote x: 2 modules with code, 1 file, 1 MiB (ID ab)"},
		{"run.saved", []any{1, 1, "A", "B"}, "keepwell: 1 of 1 download saved from failing servers (A), served by B"},
		{"warm.pinned", []any{"a|b", 1}, "keepwell: pinned as a|b: 1 file; collection leaves it until --unpin a|b"},
		{"proof.times", []any{0}, "0 times"},
	} {
		if got := msg.Text(msg.EN, x.key, x.args...); got != x.want {
			t.Errorf("%s: %q, want %q", x.key, got, x.want)
		}
	}
	fixed := []string{"condition.cost", "config.large", "play.large", "play.steps", "config.secret"} // limits, never 1
	plural := regexp.MustCompile(`%(\[\d\])?d( of %d)? (more )?[a-z]+s\b`)
	for _, key := range msg.Keys() {
		en := msg.Text(msg.EN, key)
		if m := plural.FindString(en); m != "" && !strings.HasSuffix(m, " ms") && !strings.HasSuffix(m, " is") && !strings.HasSuffix(m, " has") && !slices.Contains(fixed, key) {
			t.Errorf("%s is wrong for 1: %s", key, m)
		}
		if strings.Contains(msg.Text(msg.ZH, key), "|}") {
			t.Errorf("%s: Chinese has no plural", key)
		}
	}
}
