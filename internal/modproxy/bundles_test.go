package modproxy_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/modproxy"
)

// bundleOf writes a bundle with one module.
func bundleOf(t *testing.T, name, path string) {
	t.Helper()
	f := make1(t, path, "")
	all := map[string][]byte{path + "/@v/" + version + ".info": f.info, path + "/@v/" + version + ".mod": f.mod, path + "/@v/" + version + ".zip": f.zip}
	var keys []string
	for key := range all {
		keys = append(keys, key)
	}
	_, err := modbundle.Write(t.Context(), name, modbundle.Content{
		Keys: keys, Modules: []modbundle.Module{{Path: path, Version: version}},
		Open: func(_ context.Context, key string) (io.ReadCloser, error) {
			if data, ok := all[key]; ok {
				return io.NopCloser(bytes.NewReader(data)), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listOf are the given files as upstreams.
func listOf(t *testing.T, names ...string) []modproxy.List {
	t.Helper()
	l, err := modproxy.ParseUpstreams(strings.Join(names, ","))
	if err != nil {
		t.Fatal(err)
	}
	return []modproxy.List{l}
}

// TestBundlesAreReloaded: a configuration that names another bundle serves from that, one
// that cannot be opened changes nothing, and what is named no more is closed.
func TestBundlesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second, broken := filepath.Join(dir, "a.zip"), filepath.Join(dir, "b.zip"), filepath.Join(dir, "c.zip")
	bundleOf(t, first, "example.com/first")
	bundleOf(t, second, "example.com/second")
	if err := os.WriteFile(broken, []byte("no bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, p := start(t, "https://unused.example.org", func(o *modproxy.Options) { o.Lists = listOf(t, first) })
	check := func(when, path, ext string, want int) {
		t.Helper()
		if code, said := get(t, url+"/"+path+"/@v/"+version+ext); code != want {
			t.Errorf("%s: %s%s: %d %.200s", when, path, ext, code, said)
		}
	}
	check("at first", "example.com/first", ".mod", 200)
	check("at first", "example.com/second", ".mod", 404)
	if err := p.Reload(modproxy.Changeable{Lists: listOf(t, broken)}); err == nil {
		t.Error("a broken bundle was taken")
	}
	check("after a bundle that is none", "example.com/first", ".info", 200)
	if err := p.Reload(modproxy.Changeable{Lists: listOf(t, first, second)}); err != nil {
		t.Fatal(err)
	}
	check("with both", "example.com/second", ".zip", 200)
	if err := p.Reload(modproxy.Changeable{Lists: listOf(t, second)}); err != nil {
		t.Fatal(err)
	}
	check("without the first", "example.com/first", ".zip", 404)
	if held := openNow(t, first); held > 0 {
		t.Errorf("the bundle that is named no more is still open, %d times", held)
	}
	if held := openNow(t, second); held == 0 && canSee {
		t.Error("the test does not see open files")
	}
	p.Close()
	if held := openNow(t, second); held > 0 {
		t.Errorf("a closed proxy holds its bundle, %d times", held)
	}
}

const canSee = pathOfOpen != ""

// openNow counts the descriptors of this process for a file.
func openNow(t *testing.T, name string) int {
	t.Helper()
	if !canSee {
		return 0
	}
	all, err := os.ReadDir(pathOfOpen)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range all {
		if at, err := os.Readlink(filepath.Join(pathOfOpen, d.Name())); err == nil && at == name {
			n++
		}
	}
	return n
}

// TestBundleInUseStaysOpen: a request that began before its configuration was replaced
// reads on, and one that had not opened its file yet still does.
func TestBundleInUseStaysOpen(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.zip")
	bundleOf(t, name, "example.com/first")
	open, retire, err := modproxy.HoldBundles(listOf(t, name))
	if err != nil {
		t.Fatal(err)
	}
	key := "example.com/first/@v/" + version + ".zip"
	r, err := open(key)
	if err != nil {
		t.Fatal(err)
	}
	retire()
	want := make1(t, "example.com/first", "").zip
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes: %v", len(got), len(want), err)
	}
	for range 2 { // twice is once
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if held := openNow(t, name); held > 0 {
		t.Errorf("open %d times after its last reader", held)
	}
	if r, err = open(key); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("late: %d of %d bytes: %v", len(got), len(want), err)
	}
	_ = r.Close()
	if held := openNow(t, name); held > 0 {
		t.Errorf("open %d times after a late reader", held)
	}
}
