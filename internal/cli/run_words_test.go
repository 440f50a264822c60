package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
)

// TestEveryComplaintHasWords reads the kinds from their source, so that none is
// forgotten: each is said in both languages, and its fault is in the catalogue.
func TestEveryComplaintHasWords(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../modproxy/complaint.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(?m)^\tKind\w+\s+Kind = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(kinds) < 20 {
		t.Fatalf("found %d kinds", len(kinds))
	}
	for _, k := range kinds {
		for _, detail := range []string{"", "detail of it"} {
			why := modproxy.Why{Kind: modproxy.Kind(k[1]), Status: 403, Detail: detail}
			if why.Kind == modproxy.KindWrong {
				why.Detail = "sumdb"
			}
			en, zh := complaint(msg.EN, why), complaint(msg.ZH, why)
			if strings.Contains(en+zh, "%!") || strings.HasPrefix(en, "upstream.") {
				t.Errorf("%s: %q %q", k[1], en, zh)
			}
			if why.Kind != modproxy.KindOther && strings.IndexFunc(zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
				t.Errorf("%s has no Chinese: %q", k[1], zh)
			}
		}
		code := modproxy.Why{Kind: modproxy.Kind(k[1])}.Code()
		if _, err := faults.Lookup(code); err != nil {
			t.Errorf("%s: %v", k[1], err)
		}
		// What is wrong with the store is read from its detail, which has the system's words.
		if silent := k[1] == "other" || k[1] == "absent" || k[1] == "store"; silent != (code == keepwell.None) {
			t.Errorf("%s is explained as %s", k[1], code)
		}
	}
	for _, via := range []string{"go.sum", "sumdb", "first use"} {
		if got := complaint(msg.ZH, modproxy.Why{Kind: modproxy.KindWrong, Detail: via}); strings.Contains(got, "via.") {
			t.Errorf("no words for %s", via)
		}
	}
}
