package doctor

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/keepwell/keepwell/internal/observe"
)

func TestLookClone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("who holds a lock is not told here")
	}
	cache := t.TempDir()
	c := machine(t, nil, map[string]string{"GOPRIVATE": "git.example.com", "GOMODCACHE": cache}, private)
	if o := lookClone(t.Context(), c, nil); o.State != observe.Yes || len(o.Findings) > 0 {
		t.Errorf("without a clone: %+v", o)
	}
	dir := filepath.Join(cache, "cache", "vcs", fmt.Sprintf("%x", sha256.Sum256([]byte("git3:https://git.example.com/team/widget"))))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shallow.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := lookClone(t.Context(), c, nil)
	if !o.Tried || o.Works || len(o.Findings) != 1 || o.Findings[0].Code != "vcs/stale-clone" {
		t.Errorf("with a lock in the clone: %+v", o)
	}
}
