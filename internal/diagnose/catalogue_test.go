package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// composed are the only codes whose example no test produces: no tool prints that a
// repository is archived, and a lagging mirror needs a database that grows.
var composed = []keepwell.Code{"module/archived", "sum/mirror-stale"}

// ambiguous are examples that also show another fault, which text cannot rule out.
var ambiguous = map[keepwell.Code]keepwell.Code{
	"module/missing-or-private": "proxy/not-found", // a bare 404: each names the other as rival
}

// TestExamplesAreDiagnosed: each example of the catalogue is explained as its code.
func TestExamplesAreDiagnosed(t *testing.T) {
	t.Parallel()
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Code.Family() == "ops" {
			continue // shown by alerts, which internal/classify holds to their codes
		}
		if (f.Origin == faults.Composed) != slices.Contains(composed, f.Code) {
			t.Errorf("%s: origin %s", f.Code, f.Origin)
		}
		findings, _, err := diagnose.Read(t.Context(), strings.NewReader(f.Example), fingerprint.Default(), nil, nil)
		if err != nil {
			t.Errorf("%s: %v", f.Code, err)
			continue
		}
		got := keepwell.None
		if len(findings) > 0 {
			got = findings[0].Code
		}
		if want := f.Code; got != want && got != ambiguous[want] {
			t.Errorf("the example of %s is explained as %s:\n%s", want, got, f.Example)
		}
	}
}
