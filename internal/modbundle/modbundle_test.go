package modbundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modbundle"
)

const at = "example.com/widget/@v/v1.0.0"

func content() modbundle.Content {
	files := map[string]string{at + ".mod": "module example.com/widget\n", at + ".info": `{"Version":"v1.0.0"}`, at + ".zip": "PK"}
	return modbundle.Content{
		Keys: []string{at + ".zip", at + ".mod", at + ".info"},
		Made: map[string][]byte{"sumdb/sum.example.org/supported": {}},
		Open: func(_ context.Context, key string) (io.ReadCloser, error) {
			data, ok := files[key]
			if !ok {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(data)), nil
		},
	}
}

func write(t testing.TB, name string, c modbundle.Content) modbundle.Written {
	t.Helper()
	w, err := modbundle.Write(t.Context(), name, c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func open(t testing.TB, names ...string) *modbundle.Set {
	t.Helper()
	s, err := modbundle.OpenSet(names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestWriteIsWholeAndTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.zip"), filepath.Join(dir, "b.zip")
	for _, name := range []string{a, b} {
		write(t, name, content())
	}
	one, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(b)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("the same content gave other bytes (%v)", err)
	}
	// What fails leaves the old file and nothing beside it.
	c := content()
	c.Keys = append(c.Keys, "example.com/gone/@v/v1.0.0.mod")
	if _, err := modbundle.Write(t.Context(), a, c); err == nil {
		t.Error("a missing file was written")
	}
	c.Keys[3] = "../escape"
	if _, err := modbundle.Write(t.Context(), a, c); err == nil {
		t.Error("a name outside of the protocol was written")
	}
	if now, err := os.ReadFile(a); err != nil || !bytes.Equal(one, now) {
		t.Errorf("the old file changed (%v)", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.zip")
	write(t, name, content())
	b := open(t, name)
	for _, row := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/" + at + ".zip", 200, "PK"},
		{"GET", "/" + at + ".mod", 200, "module example.com/widget\n"},
		{"HEAD", "/" + at + ".mod", 200, ""},
		{"GET", "/example.com/widget/@v/list", 200, "v1.0.0\n"},
		{"GET", "/sumdb/sum.example.org/supported", 200, ""},
		{"GET", "/keepwell.json", 404, "not found: the bundle does not hold it\n"},
		{"GET", "/example.com/other/@v/list", 404, "not found: the bundle does not hold it\n"},
		{"GET", "/../modbundle.go", 404, "not found: the bundle does not hold it\n"},
		{"PUT", "/" + at + ".mod", 405, "only GET and HEAD\n"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), row.method, "http://127.0.0.1/", http.NoBody)
		r.URL.Path = row.path
		b.ServeHTTP(w, r)
		if w.Code != row.status || w.Body.String() != row.body {
			t.Errorf("%s %s: %d %q", row.method, row.path, w.Code, w.Body)
		}
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	plain := func(name, data string, method uint16) func(*testing.T, *zip.Writer) {
		return func(t *testing.T, z *zip.Writer) {
			t.Helper()
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
			if err == nil {
				_, err = io.WriteString(w, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	raw := func(h zip.FileHeader) func(*testing.T, *zip.Writer) {
		return func(t *testing.T, z *zip.Writer) {
			t.Helper()
			if _, err := z.CreateRaw(&h); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := zip.FileHeader{Name: at + ".mod"}
	link.SetMode(os.ModeSymlink | 0o777)
	for name, fill := range map[string]func(*testing.T, *zip.Writer){
		"escape":         plain("../../etc/passwd", "x", zip.Store),
		"absolute":       plain("/etc/passwd", "x", zip.Store),
		"inner escape":   plain("example.com/../x/@v/v1.0.0.mod", "x", zip.Store),
		"backslash":      plain(`..\..\x/@v/v1.0.0.mod`, "x", zip.Store),
		"sumdb escape":   plain("sumdb/../../x/tile/8/0/000", "x", zip.Store),
		"directory":      plain("example.com/", "", zip.Store),
		"script":         plain("example.com/widget/@v/run.sh", "x", zip.Store),
		"wrong version":  plain("example.com/widget/v2/@v/v1.0.0.mod", "x", zip.Store),
		"bomb":           plain(at+".mod", strings.Repeat("\x00", 17<<20), zip.Deflate),
		"compressed zip": plain(at+".zip", "x", zip.Deflate),
		"declared size":  raw(zip.FileHeader{Name: at + ".zip", Method: zip.Store, UncompressedSize64: 600 << 20, CompressedSize64: 600 << 20}),
		"past the end":   raw(zip.FileHeader{Name: at + ".zip", Method: zip.Store, UncompressedSize64: 1 << 20, CompressedSize64: 1 << 20}),
		"unequal sizes":  raw(zip.FileHeader{Name: at + ".zip", Method: zip.Store, UncompressedSize64: 9}),
		"another method": raw(zip.FileHeader{Name: at + ".mod", Method: 99}),
		"symbolic link":  raw(link),
		"no manifest":    plain(at+".mod", "x", zip.Store),
		"another manifest's format": func(t *testing.T, z *zip.Writer) {
			t.Helper()
			plain(modbundle.ManifestName, `{"format":9}`, zip.Deflate)(t, z)
		},
		"not in the manifest": func(t *testing.T, z *zip.Writer) {
			t.Helper()
			plain(at+".mod", "x", zip.Store)(t, z)
			plain(modbundle.ManifestName, `{"format":1}`, zip.Deflate)(t, z)
		},
		"not in the archive": plain(modbundle.ManifestName, `{"format":1,"files":[{"name":"`+at+`.mod","size":1}]}`, zip.Deflate),
		"of another size": func(t *testing.T, z *zip.Writer) {
			t.Helper()
			plain(at+".mod", "x", zip.Store)(t, z)
			plain(modbundle.ManifestName, `{"format":1,"files":[{"name":"`+at+`.mod","size":2}]}`, zip.Deflate)(t, z)
		},
		"twice in the manifest": func(t *testing.T, z *zip.Writer) {
			t.Helper()
			plain(at+".mod", "x", zip.Store)(t, z)
			plain(modbundle.ManifestName, `{"format":1,"files":[{"name":"`+at+`.mod","size":1},{"name":"`+at+`.mod","size":1}]}`, zip.Deflate)(t, z)
		},
		"since what is no ID":   plain(modbundle.ManifestName, `{"format":1,"since":["../x"]}`, zip.Deflate),
		"a module that is none": plain(modbundle.ManifestName, `{"format":1,"modules":[{"path":"../x","version":"v1.0.0"}]}`, zip.Deflate),
		"the same, twice": func(t *testing.T, z *zip.Writer) {
			t.Helper()
			plain(at+".mod", "x", 0)(t, z)
			plain(at+".mod", "y", 0)(t, z)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var data bytes.Buffer
			z := zip.NewWriter(&data)
			fill(t, z)
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "x.zip")
			if err := os.WriteFile(file, data.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if b, err := modbundle.OpenSet(file); err == nil {
				_ = b.Close()
				t.Error("it was opened")
			}
		})
	}
}
