package modbundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
)

// ManifestName is where an archive says what it holds.
const ManifestName = "keepwell.json"

const (
	format          = 1
	largestManifest = 256 << 20
)

// Manifest is what an archive says of itself. It keeps the bytes to what they were when
// the archive was made; whether those are the module's, [Set.Verify] finds out.
type Manifest struct {
	Format int `json:"format"`
	// Since are the bundles that this one continues, by their ID: it is of no use without.
	Since   []string `json:"since,omitempty"`
	Modules []Module `json:"modules"`
	Files   []File   `json:"files"`
}

// Module is a version that came with its go.mod file, or its code, or both.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Zip and Mod are the h1: sums of what is there.
	Zip string `json:"zip,omitempty"`
	Mod string `json:"mod,omitempty"`
	// Trust says who vouched for it where the bundle was made: "sumdb", "go.sum" or
	// "first use".
	Trust string `json:"trust,omitempty"`
}

// File is one file of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func parseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, msg.NewError("broken.manifest", err)
	}
	if m.Format != format {
		return m, msg.NewError("broken.format", m.Format, format)
	}
	for _, id := range m.Since {
		if len(id) != 2*sha256.Size || strings.Trim(id, "0123456789abcdef") != "" {
			return m, msg.NewError("broken.since")
		}
	}
	return m, nil
}

// files are those of the manifest by name.
func (m Manifest) files() (map[string]File, error) {
	all := make(map[string]File, len(m.Files))
	for _, f := range m.Files {
		if _, twice := all[f.Name]; twice {
			return nil, msg.NewError("broken.named", shown(f.Name))
		}
		all[f.Name] = f
	}
	return all, nil
}

// counted passes bytes on and notes what they were.
type counted struct {
	io.Writer
	file File
	hash io.Writer
	sum  func() string
}

func newCounted(w io.Writer, name string) *counted {
	h := sha256.New()
	return &counted{Writer: w, file: File{Name: name}, hash: h, sum: func() string { return hex.EncodeToString(h.Sum(nil)) }}
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	_, _ = c.hash.Write(p[:n]) // a hash takes everything
	c.file.Size += int64(n)
	return n, err
}

func (c *counted) done() File {
	c.file.SHA256 = c.sum()
	return c.file
}
