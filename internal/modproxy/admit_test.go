package modproxy

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

func asked(t testing.TB, path string) ask {
	t.Helper()
	a, err := parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const prefix = "example.com/widget@v1.0.0/"

func TestHostileZips(t *testing.T) {
	t.Parallel()
	for name, data := range hostileZips() {
		file := filepath.Join(t.TempDir(), "m.zip")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if h1, err := new(Proxy).checkZip(asked(t, "example.com/widget/@v/v1.0.0.zip"), file); err == nil {
			t.Errorf("%s: admitted as %s", name, h1)
		}
	}
}

// FuzzZip holds what is admitted to what go makes of it: the same sum, and nothing beyond
// the sizes that its directory declares.
func FuzzZip(f *testing.F) {
	var plain bytes.Buffer
	z := zip.NewWriter(&plain)
	for name, content := range map[string]string{"go.mod": "module example.com/widget\n", "a.go": strings.Repeat("package a\n", 50), "LICENSE": ""} {
		w, _ := z.Create(prefix + name)
		_, _ = w.Write([]byte(content))
	}
	_ = z.Close()
	f.Add(plain.Bytes())
	for _, b := range hostileZips() {
		f.Add(b)
	}
	f.Add(overlapping())
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "m.zip")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h1, err := new(Proxy).checkZip(asked(t, "example.com/widget/@v/v1.0.0.zip"), name)
		if err != nil {
			return
		}
		want, err := dirhash.HashZip(name, dirhash.Hash1)
		if err != nil || h1 != want {
			t.Fatalf("%s, where go has %s %v", h1, want, err)
		}
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		var total uint64
		for _, file := range r.File {
			total += file.UncompressedSize64
			if !strings.HasPrefix(file.Name, prefix) || strings.Contains(file.Name, "..") && strings.Contains("/"+file.Name+"/", "/../") {
				t.Errorf("a file called %q", file.Name)
			}
		}
		if total > modzip.MaxZipFile {
			t.Errorf("%d bytes unpacked", total)
		}
	})
}

func FuzzMod(f *testing.F) {
	for _, s := range []string{"module example.com/widget\n\ngo 1.20\n", "module \"a\"\nrequire (\n\tb.c/d v1.0.0\n)\nretract [v1.0.0, v1.1.0]\n", page(), "", "module\x00x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkMod(data) != nil {
			return
		}
		h1, err := hashMod(data)
		want, wantErr := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil || wantErr != nil || h1 != want {
			t.Errorf("%s %v, want %s", h1, err, want)
		}
		if !bytes.Contains(data, []byte("module")) {
			t.Errorf("admitted %q", data)
		}
	})
}

func FuzzInfo(f *testing.F) {
	for _, s := range []string{
		`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`, `{"Version":"v1.0.0"}{}`, `{"Version":"main"}`, `{"version":"v1.0.0","Version":"v2.0.0"}`,
		`{"Version":"v1.0.0","Origin":{"x":1e999999}}`, strings.Repeat("[", 20000), `null`, `"v1.0.0"`, "", page(),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, path := range []string{"example.com/widget/@v/v1.0.0.info", "example.com/widget/@v/main.info", "example.com/widget/@latest"} {
			a := asked(t, path)
			if a.checkInfo(data) != nil {
				continue
			}
			var got struct{ Version string }
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if err := module.Check(a.module, got.Version); err != nil || a.fixed() && got.Version != a.version {
				t.Errorf("%s: admitted version %q: %v", path, got.Version, err)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	for _, s := range []string{
		"v1.0.0\nv1.1.0\n", "v1.0.0 2026-01-01T00:00:00Z\n", "v1.0.0 \x1b[31m\n", "v1.0.0\r\n\x00v1\n", "latest\n", "v1.0.0/../../x\nv1.0.0\n", "", page(),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &body{}
		b.mem.Write(data)
		if checkList(b) != nil {
			return
		}
		for line := range strings.Lines(b.mem.String()) {
			version, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if !semver.IsValid(version) || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unicode.IsControl) || strings.ContainsAny(line, "/\\") {
				t.Errorf("admitted the line %q", line)
			}
		}
	})
}

func page() string { return "<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n" }

// entry is one file of a zip that is written raw.
type entry struct {
	name         string
	size, packed uint64
	method       uint16
	data         string
	mode         os.FileMode
}

func rawZip(entries ...entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method, UncompressedSize64: e.size, CompressedSize64: e.packed}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		w, err := z.CreateRaw(h)
		if err == nil {
			_, _ = w.Write([]byte(e.data))
		}
	}
	_ = z.Close()
	return b.Bytes()
}

// hostileZips are what a module's zip must not be, by what is wrong.
func hostileZips() map[string][]byte {
	mod := entry{name: prefix + "go.mod", size: 1, packed: 1, data: "m"}
	many := make([]entry, 70000)
	for i := range many {
		many[i] = entry{name: prefix + "../" + strconv.Itoa(i)}
	}
	return map[string][]byte{
		"4 GiB declared":         rawZip(entry{name: prefix + "big", size: 4 << 30, packed: 10, data: "0123456789"}),
		"sum of sizes overflows": rawZip(entry{name: prefix + "a", size: 1<<63 - 1, packed: 1, data: "a"}, entry{name: prefix + "b", size: 1<<63 - 1, packed: 1, data: "b"}),
		"escapes":                rawZip(entry{name: "../../etc/cron.d/x", size: 1, packed: 1, data: "x"}),
		"escapes inside":         rawZip(entry{name: prefix + "../../x", size: 1, packed: 1, data: "x"}),
		"absolute":               rawZip(entry{name: "/etc/passwd", size: 1, packed: 1, data: "x"}),
		"another module":         rawZip(entry{name: "example.com/other@v1.0.0/go.mod", size: 1, packed: 1, data: "m"}),
		"backslash":              rawZip(entry{name: prefix + `..\x`, size: 1, packed: 1, data: "x"}),
		"twice":                  rawZip(mod, mod),
		"case twins":             rawZip(entry{name: prefix + "A.go", size: 1, packed: 1, data: "x"}, entry{name: prefix + "a.go", size: 1, packed: 1, data: "x"}),
		"shorter than declared":  rawZip(entry{name: prefix + "a", size: 1000, packed: 3, data: "abc"}),
		"unknown method":         rawZip(entry{name: prefix + "a", size: 3, packed: 3, data: "abc", method: 99}),
		"many":                   rawZip(many...),
		"control bytes":          rawZip(entry{name: prefix + "a\x1b[2J", size: 1, packed: 1, data: "x"}),
	}
}

// overlapping is a zip whose directory leads twice to the same bytes, under two names.
func overlapping() []byte {
	b := rawZip(entry{name: prefix + "a", size: 1, packed: 1, data: "x"}, entry{name: prefix + "b", size: 1, packed: 1, data: "x"})
	// The second record of the directory: its offset is set to that of the first.
	if i := bytes.LastIndex(b, []byte("PK\x01\x02")); i > 0 {
		copy(b[i+42:], []byte{0, 0, 0, 0})
	}
	return b
}

// TestOddZipsAreAsGoTakesThem: what go's own rules let pass is held by its sum alone; go
// writes each entry as a regular file.
func TestOddZipsAreAsGoTakesThem(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"overlapping": overlapping(),
		"symlink":     rawZip(entry{name: prefix + "link", size: 11, packed: 11, data: "/etc/passwd", mode: os.ModeSymlink | 0o777}),
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "m.zip")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := new(Proxy).checkZip(asked(t, "example.com/widget/@v/v1.0.0.zip"), file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out := filepath.Join(dir, "out")
		if err := modzip.Unzip(out, module.Version{Path: "example.com/widget", Version: "v1.0.0"}, file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		entries, err := os.ReadDir(out)
		if err != nil || len(entries) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() {
				t.Errorf("%s: %s is %v", name, e.Name(), e.Type())
			}
		}
	}
}
