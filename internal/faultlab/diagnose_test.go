//go:build unix

package faultlab

import (
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// checkDiagnosis holds explain to the scenario's code: the first finding that is
// not hygiene is s.Code or one of s.Also, and nothing is found where keepwell.None
// is expected.
func checkDiagnosis(t *testing.T, s Scenario, shown string) {
	t.Helper()
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(shown), fingerprint.Default(), nil, nil)
	if err != nil {
		t.Fatalf("explaining the output: %v", err)
	}
	findings = slices.DeleteFunc(findings, func(f keepwell.Finding) bool { return f.Severity == keepwell.SeverityInfo })
	got := keepwell.None
	if len(findings) > 0 {
		got = findings[0].Code
	}
	if got != s.Code && !slices.Contains(s.Also, got) {
		t.Errorf("explain says %s, want %s (or %v) for:\n%s", got, s.Code, s.Also, shown)
	}
}
