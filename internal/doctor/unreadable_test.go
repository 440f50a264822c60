package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUnreadable(t *testing.T) {
	say := func(key string, _ ...string) string { return key }
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if f, bad := Unreadable(dir, say); bad {
		t.Errorf("nothing here, and yet %s", f.Code)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, bad := Unreadable(dir, say); bad {
		t.Errorf("a regular file, and yet %s", f.Code)
	}
	if err := os.Symlink("go.sum", filepath.Join(filepath.Dir(dir), "go.sum")); err != nil {
		t.Skip("no symbolic links here")
	}
	if f, bad := Unreadable(dir, say); !bad || f.Code != "sum/malformed" {
		t.Errorf("a link to itself above: %v %s", bad, f.Code)
	}
}
