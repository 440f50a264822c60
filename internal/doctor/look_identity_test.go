package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keepwell/keepwell"
)

func TestIdentity(t *testing.T) {
	c := &Case{Say: func(key string, _ ...string) string { return key }}
	for _, row := range []struct {
		asked, file, declares string
		want                  keepwell.Code
	}{
		{"example.com/old/gadget", "example.com/old/gadget", "example.com/new/gadget", "module/moved"},
		{"github.com/Acme/Gadget", "github.com/!acme/!gadget", "github.com/acme/gadget", "module/case"},
		{"example.com/gadget", "example.com/gadget", "example.com/gadget", ""},
	} {
		cache := t.TempDir()
		name := filepath.Join(cache, "cache/download", row.file, "@v/v1.0.0.mod")
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("module "+row.declares+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Asked = []Subject{{Go, row.asked, "v1.0.0"}}
		var got keepwell.Code
		if found := c.identity(cache); len(found) > 0 {
			got = found[0].Code
		}
		if got != row.want {
			t.Errorf("%s declares %s: %q, want %q", row.asked, row.declares, got, row.want)
		}
	}
}
