//go:build unix

package faultlab

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// mod is a module version made in memory.
type mod struct {
	path, version string
	// files by slash-separated name; go.mod is added where it is missing.
	files map[string]string
}

// newMod takes pairs of file name and content.
func newMod(modpath, version string, pairs ...string) mod {
	m := mod{path: modpath, version: version, files: map[string]string{"go.mod": aged("module " + modpath + "\n" + goLine)}}
	for pair := range slices.Chunk(pairs, 2) {
		m.files[pair[0]] = aged(pair[1])
	}
	return m
}

// zip packs m as the go command would.
func (m mod) zip(t testing.TB) []byte {
	t.Helper()
	var files []modzip.File
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		files = append(files, memFile{name, m.files[name]})
	}
	var buf bytes.Buffer
	if err := modzip.Create(&buf, module.Version{Path: m.path, Version: m.version}, files); err != nil {
		t.Fatalf("packing %s@%s: %v", m.path, m.version, err)
	}
	return buf.Bytes()
}

// sums are the two go.sum lines of m.
func (m mod) sums(t testing.TB) string {
	t.Helper()
	all := slices.Sorted(maps.Keys(m.files))
	prefix := m.path + "@" + m.version + "/"
	zipHash := hash1(t, all, prefix, m.files)
	modHash := hash1(t, []string{"go.mod"}, "", m.files)
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", m.path, m.version, zipHash, m.path, m.version, modHash)
}

func hash1(t testing.TB, names []string, prefix string, files map[string]string) string {
	t.Helper()
	var prefixed []string
	for _, n := range names {
		prefixed = append(prefixed, prefix+n)
	}
	h, err := dirhash.Hash1(prefixed, func(n string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[strings.TrimPrefix(n, prefix)])), nil
	})
	if err != nil {
		t.Fatalf("hashing: %v", err)
	}
	return h
}

func (m mod) info() string {
	return fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, m.version)
}

// memFile is a file for modzip.Create, and its own FileInfo.
type memFile struct{ name, content string }

func (f memFile) Path() string                { return f.name }
func (f memFile) Lstat() (fs.FileInfo, error) { return f, nil }
func (f memFile) Open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(f.content)), nil
}
func (f memFile) Name() string       { return path.Base(f.name) }
func (f memFile) Size() int64        { return int64(len(f.content)) }
func (f memFile) Mode() fs.FileMode  { return 0o644 }
func (f memFile) ModTime() time.Time { return time.Time{} }
func (f memFile) IsDir() bool        { return false }
func (f memFile) Sys() any           { return nil }

// goproxy serves modules over the GOPROXY protocol, without a fault of its own.
func goproxy(t testing.TB, mods ...mod) http.Handler {
	t.Helper()
	answers := map[string][]byte{}
	lists := map[string][]string{}
	for _, m := range mods {
		escaped, err := module.EscapePath(m.path)
		if err != nil {
			t.Fatal(err)
		}
		at := "/" + escaped + "/@v/" + m.version
		answers[at+".info"], answers[at+".mod"] = []byte(m.info()), []byte(m.files["go.mod"])
		answers[at+".zip"] = m.zip(t)
		lists["/"+escaped+"/@v/list"] = append(lists["/"+escaped+"/@v/list"], m.version)
	}
	for at, versions := range lists {
		semver.Sort(versions)
		answers[at] = []byte(strings.Join(versions, "\n") + "\n")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := answers[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@")
		status(http.StatusNotFound, "not found: "+name+": no such module\n")(w, r)
	})
}

// The good modules of every lab.

func widget() mod { return newMod("example.com/widget", "v1.0.0", "widget.go", "package widget\n") }

// widgets are the versions of the usual proxy: v1.3.0 retracts v1.2.0, and v2
// has a path of its own.
func widgets() []mod {
	retracts := "module example.com/widget\n\ngo 1.20\n\nretract v1.2.0 // loses data on restart\n"
	return []mod{
		widget(),
		newMod("example.com/widget", "v1.2.0", "widget.go", "package widget\n"),
		newMod("example.com/widget", "v1.3.0", "go.mod", retracts, "widget.go", "package widget\n"),
		newMod("example.com/widget/v2", "v2.0.0", "widget.go", "package widget\n"),
	}
}

// app writes a project that uses example.com/widget v1.0.0.
func (l *Lab) app() {
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n",
		"app.go", "package app\n\nimport _ \"example.com/widget\"\n",
	)
}

// bareApp writes a project without requirements, for scenarios where go is to
// look at nothing but what it is told to get.
func (l *Lab) bareApp() {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n", "app.go", "package app\n")
}

// proxyWith puts a module proxy at GOPROXY's host, with faults.
func (l *Lab) proxyWith(faults ...fault) {
	l.HTTPS("goproxy.example.org", breaking(goproxy(l.T, widgets()...), faults...))
}

// proxyOf puts a faultless module proxy there that holds the given modules.
func (l *Lab) proxyOf(mods ...mod) {
	l.HTTPS("goproxy.example.org", goproxy(l.T, mods...))
}
