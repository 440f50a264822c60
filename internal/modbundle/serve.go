package modbundle

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Bundle is an opened archive, and the handler that serves it: read only, nothing but
// what stands in its directory.
type Bundle struct {
	f     *os.File
	files map[string]*zip.File
}

// Open reads the directory of an archive and refuses one that holds anything but what
// [Write] puts there: it may come from anywhere.
func Open(name string) (*Bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &Bundle{f: f, files: map[string]*zip.File{}}
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
		return errors.New("not a regular file")
	}
	z, err := zip.NewReader(b.f, st.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // check says which one
		return err
	}
	if len(z.File) > mostFiles {
		return fmt.Errorf("%d files are too many", len(z.File))
	}
	for _, f := range z.File {
		if err := b.take(f, uint64(st.Size())); err != nil {
			return fmt.Errorf("%.200q: %w", f.Name, err)
		}
	}
	return nil
}

func (b *Bundle) take(f *zip.File, size uint64) error {
	most, err := check(f.Name)
	switch {
	case err != nil:
		return err
	case b.files[f.Name] != nil:
		return errors.New("it stands there twice")
	case !f.Mode().IsRegular():
		return errors.New("not a regular file")
	case f.UncompressedSize64 > most:
		return fmt.Errorf("%d bytes are more than such a file may have", f.UncompressedSize64)
	case f.CompressedSize64 > size:
		return errors.New("larger than the archive")
	}
	stored := f.Method == zip.Store
	switch {
	case stored && f.CompressedSize64 != f.UncompressedSize64:
		return errors.New("its sizes contradict each other")
	case !stored && (f.Method != zip.Deflate || strings.HasSuffix(f.Name, ".zip")):
		return errors.New("compressed in an unexpected way")
	}
	b.files[f.Name] = f
	return nil
}

// Close closes the archive.
func (b *Bundle) Close() error { return b.f.Close() }

// Count tells how many module versions are there with code.
func (b *Bundle) Count() int {
	n := 0
	for name := range b.files {
		if strings.HasSuffix(name, ".zip") && !strings.HasPrefix(name, "sumdb/") {
			n++
		}
	}
	return n
}

// Databases are the checksum databases that the archive can speak for.
func (b *Bundle) Databases() []string {
	var names []string
	for name := range b.files {
		if rest, ok := strings.CutPrefix(name, "sumdb/"); ok && strings.HasSuffix(rest, "/supported") {
			names = append(names, strings.TrimSuffix(rest, "/supported"))
		}
	}
	slices.Sort(names)
	return names
}

// ServeHTTP answers the protocol; what is not there is 404, so that go may ask its next
// proxy.
func (b *Bundle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	f := b.files[strings.TrimPrefix(r.URL.Path, "/")]
	if f == nil {
		http.Error(w, "not found: the bundle does not hold it", http.StatusNotFound)
		return
	}
	content, err := b.content(f)
	if err != nil {
		http.Error(w, "the bundle is damaged here", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Etag", fmt.Sprintf(`"%08x-%x"`, f.CRC32, f.UncompressedSize64))
	switch {
	case strings.HasSuffix(f.Name, ".zip"):
		h.Set("Content-Type", "application/zip")
	case strings.HasSuffix(f.Name, ".info"):
		h.Set("Content-Type", "application/json")
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	http.ServeContent(w, r, "", time.Time{}, content)
}

// content reads small files whole, and large ones where they lie.
func (b *Bundle) content(f *zip.File) (io.ReadSeeker, error) {
	if f.Method == zip.Store {
		at, err := f.DataOffset()
		return io.NewSectionReader(b.f, at, int64(f.UncompressedSize64)), err
	}
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
	return strings.NewReader(string(data)), err
}
