package modbundle

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
)

// Bundle is an opened archive.
type Bundle struct {
	// Name is the file's, ID that of its manifest.
	Name, ID string
	Size     int64
	Manifest Manifest
	f        *os.File
	files    map[string]*zip.File
	sums     map[string]File
}

// Open reads the directory of an archive and refuses one that holds anything but what
// [Write] puts there: it may come from anywhere.
func Open(name string) (*Bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Name: name, f: f, files: map[string]*zip.File{}}
	if err := b.read(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bundle) read() error {
	st, err := b.f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return msg.NewError("broken.regular")
	}
	b.Size = st.Size()
	z, err := zip.NewReader(b.f, st.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // check says which one
		return err
	}
	if len(z.File) > mostFiles {
		return msg.NewError("broken.many", len(z.File))
	}
	for _, f := range z.File {
		if err := b.take(f, uint64(st.Size())); err != nil {
			return msg.NewError("broken.in", shown(f.Name), err)
		}
	}
	return b.readManifest()
}

// shown is a name as it may be shown: a foreign archive may have any.
func shown(name string) string { return fmt.Sprintf("%.200q", name) }

func (b *Bundle) take(f *zip.File, size uint64) error {
	most, err := check(f.Name)
	switch {
	case err != nil:
		return err
	case b.files[f.Name] != nil:
		return msg.NewError("broken.twice")
	case !f.Mode().IsRegular():
		return msg.NewError("broken.regular")
	case f.UncompressedSize64 > most:
		return msg.NewError("broken.large", f.UncompressedSize64)
	case f.CompressedSize64 > size:
		return msg.NewError("broken.larger")
	}
	stored := f.Method == zip.Store
	switch {
	case stored && f.CompressedSize64 != f.UncompressedSize64:
		return msg.NewError("broken.sizes")
	case !stored && (f.Method != zip.Deflate || strings.HasSuffix(f.Name, ".zip")):
		return msg.NewError("broken.method")
	}
	b.files[f.Name] = f
	return nil
}

// readManifest holds the directory to the manifest: each has what the other has.
func (b *Bundle) readManifest() error {
	f := b.files[ManifestName]
	if f == nil {
		return msg.NewError("broken.nomanifest", ManifestName)
	}
	data, err := b.whole(f)
	if err != nil {
		return msg.NewError("broken.manifest", err)
	}
	delete(b.files, ManifestName)
	sum := sha256.Sum256(data)
	b.ID = hex.EncodeToString(sum[:])
	if b.Manifest, err = parseManifest(data); err != nil {
		return err
	}
	if b.sums, err = b.Manifest.files(); err != nil {
		return err
	}
	for name, f := range b.files {
		if said, ok := b.sums[name]; !ok || uint64(said.Size) != f.UncompressedSize64 {
			return msg.NewError("broken.in", shown(name), msg.NewError("broken.unlike"))
		}
	}
	if len(b.sums) != len(b.files) {
		return msg.NewError("broken.count", len(b.files), len(b.sums))
	}
	for _, m := range b.Manifest.Modules {
		if _, err := Key(m.Key(), "mod"); err != nil {
			return msg.NewError("broken.manifest", err)
		}
	}
	return nil
}

// Check reads every file and holds it to the manifest. read is told how far it is; nil:
// nobody is.
func (b *Bundle) Check(ctx context.Context, read func(bytes int64)) error {
	for _, said := range b.Manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := b.open(said.Name)
		if err != nil {
			return msg.NewError("broken.in", said.Name, err)
		}
		w := newCounted(io.Discard, said.Name)
		_, err = io.Copy(w, r)
		switch {
		case err != nil:
			return msg.NewError("broken.in", said.Name, err)
		case w.done() != said:
			return msg.NewError("broken.in", said.Name, msg.NewError("broken.damaged", w.sum(), said.SHA256))
		}
		if read != nil {
			read(said.Size)
		}
	}
	return nil
}

// Close closes the archive.
func (b *Bundle) Close() error { return b.f.Close() }

// databases are the checksum databases that the archive has files of.
func (b *Bundle) databases() []string {
	var names []string
	for name := range b.files {
		if rest, ok := strings.CutPrefix(name, "sumdb/"); ok && strings.HasSuffix(rest, "/latest") {
			names = append(names, strings.TrimSuffix(rest, "/latest"))
		}
	}
	slices.Sort(names)
	return names
}

// open reads small files whole, and large ones where they lie.
func (b *Bundle) open(name string) (io.ReadSeeker, error) {
	f := b.files[name]
	if f == nil {
		return nil, os.ErrNotExist
	}
	if f.Method == zip.Store {
		at, err := f.DataOffset()
		return io.NewSectionReader(b.f, at, int64(f.UncompressedSize64)), err
	}
	data, err := b.whole(f)
	return strings.NewReader(string(data)), err
}

func (b *Bundle) whole(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	// The directory may lie about the size: what comes is held to what it says.
	data, err := io.ReadAll(io.LimitReader(r, int64(f.UncompressedSize64)+1))
	if err == nil && uint64(len(data)) != f.UncompressedSize64 {
		err = zip.ErrFormat
	}
	return data, err
}
