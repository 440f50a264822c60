package modcache

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// index is the entry of go's build cache that says which packages an unpacked module
// has; "" where there is none. go takes it to be true for ever (cmd/go's modindex), also
// when it was made of a damaged directory.
func (c Cache) index(dir string) string {
	if c.GoVersion == "" || !filepath.IsAbs(c.Index) {
		return ""
	}
	salt, _, _ := strings.Cut(c.GoVersion, " X:")
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(salt+"module index "+c.GoVersion+" go index v2 "+dir+"\n")))
	entry := filepath.Join(c.Index, id[:2], id+"-a")
	if info, err := os.Lstat(entry); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return entry
}
