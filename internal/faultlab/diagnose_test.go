//go:build unix

package faultlab

import "testing"

// diagnose holds explain to the scenario's code. It is empty until
// internal/explain exists; then it must fail where the first finding of shown
// is neither s.Code nor one of s.Also (and where keepwell.None is expected but
// something is found).
func diagnose(t *testing.T, s Scenario, shown string) {
	t.Helper()
	_, _ = s, shown
}
