package daemon_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keepwell/keepwell/internal/daemon"
)

// TestUnusable: a database that cannot be had is an error.
func TestUnusable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string]map[string]string{
		"a file for a directory": {"data": file},
		"nobody listens":         {"data": t.TempDir(), "database": "postgres://u:p@127.0.0.1:9/x?connect_timeout=1"},
	} {
		flags["listen"] = "127.0.0.1:0"
		if d, err := daemon.New(t.Context(), daemon.Options{Source: daemon.Source{Flags: flags}}); err == nil || d != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}
