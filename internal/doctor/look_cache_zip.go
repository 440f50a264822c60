package doctor

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// endsAsZip reports whether a file ends with the directory of a zip: one that was cut
// off does not.
func endsAsZip(name string, length int64) bool {
	f, err := os.Open(name)
	if err != nil {
		return true // whoever may not read it cannot judge it
	}
	defer f.Close()
	const longest = 22 + 1<<16 // the record and its comment
	tail := make([]byte, min(length, longest))
	if _, err := f.ReadAt(tail, length-int64(len(tail))); err != nil && err != io.EOF {
		return true
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	return at >= 0 && at+22 <= len(tail)
}

// hashZip is the hash of a module's zip; "" where it cannot be read as one.
func hashZip(name string) string {
	hash, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		return ""
	}
	return hash
}

// hashMod is the hash of a go.mod as go.sum has it.
func hashMod(data []byte) string {
	hash, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	if err != nil {
		return ""
	}
	return hash
}

// entry is a file in a zip.
type entry struct {
	name string
	size int64
}

// zipEntries are the files of a module's zip, as far as their names are local ones.
func zipEntries(name, prefix string, most int) []entry {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil
	}
	defer func() { _ = z.Close() }()
	var out []entry
	for _, f := range z.File {
		rest, ok := strings.CutPrefix(f.Name, prefix)
		if ok && len(out) < most && filepath.IsLocal(filepath.FromSlash(rest)) && !strings.HasSuffix(rest, "/") {
			out = append(out, entry{rest, f.FileInfo().Size()})
		}
	}
	return out
}
