// Package goenvtest is for tests that run the go command in directories of their own.
package goenvtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Quiet switches go's telemetry off in a home directory. Else the first go command in a
// home leaves a process behind, which writes there when the test is over and its directory
// is being removed; no variable prevents that (golang.org/x/telemetry, Start).
func Quiet(t testing.TB, home string) {
	t.Helper()
	dir := filepath.Join(home, ".config", "go", "telemetry")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o600); err != nil {
		t.Fatal(err)
	}
}
