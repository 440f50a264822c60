package modproxy_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// lay writes files below a new directory.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportLayouts(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 40000))
	other := make1(t, widget, noise("x", 40000))
	const big = "module example.com/Big/Name/v2\n"
	h1 := f.sums(t)[widget+" "+version]
	cache := func(more map[string]string) map[string]string {
		files := map[string]string{at[1:] + ".info": string(f.info), at[1:] + ".mod": string(f.mod), at[1:] + ".zip": string(f.zip), at[1:] + ".ziphash": h1, at[1:] + ".lock": "", "example.com/widget/@v/list": "v9.9.9\n", "cache.lock": ""}
		maps.Copy(files, more)
		return files
	}
	whole := []string{at[1:] + ".info", at[1:] + ".mod", at[1:] + ".zip"}
	athens := func(zip []byte) map[string]string {
		return map[string]string{
			"example.com/widget/v1.0.0/go.mod": string(f.mod), "example.com/widget/v1.0.0/source.zip": string(zip), "example.com/widget/v1.0.0/v1.0.0.info": string(f.info),
			"example.com/widget/README/go.mod": "x", "go.mod": "x", "example.com/widget/v2/go.mod": "x", "example.com/widget/v1.0.0/notes.txt": "x",
		}
	}
	for name, row := range map[string]struct {
		files   map[string]string
		sums    map[string]string
		want    []string
		refused string
	}{
		"module cache":        {files: cache(nil), want: whole},
		"another ziphash":     {files: cache(map[string]string{at[1:] + ".ziphash": "h1:other"}), want: whole[:2], refused: "where the .ziphash beside it has h1:other"},
		"another go.sum":      {files: cache(nil), sums: other.sums(t), want: whole[:2], refused: "where go.sum has "},
		"a page":              {files: cache(map[string]string{"example.com/widget/@v/v1.1.0.mod": page}), want: whole, refused: "v1.1.0.mod: a web page"},
		"an empty zip":        {files: cache(map[string]string{"example.com/widget/@v/v1.1.0.zip": ""}), want: whole, refused: "v1.1.0.zip: no valid module zip"},
		"not the version":     {files: cache(map[string]string{"example.com/widget/@v/v1.1.0.info": string(f.info)}), want: whole, refused: "it is about version"},
		"Athens":              {files: athens(f.zip), want: whole},
		"Athens, broken":      {files: athens(f.zip[:len(f.zip)/2]), want: whole[:2], refused: "v1.0.0.zip: no valid module zip"},
		"Athens, capitals":    {files: map[string]string{"example.com/Big/Name/v2/v2.0.0/go.mod": big}, want: []string{"example.com/!big/!name/v2/@v/v2.0.0.mod"}},
		"Athens, escaped":     {files: map[string]string{"example.com/!big/!name/v2/v2.0.0/go.mod": big}, want: []string{"example.com/!big/!name/v2/@v/v2.0.0.mod"}},
		"Athens, a pre-major": {files: map[string]string{"example.com/widget/v0.0.0-20260101000000-0123456789ab/go.mod": string(f.mod)}, want: []string{"example.com/widget/@v/v0.0.0-20260101000000-0123456789ab.mod"}},
		"Athens, a wrong one": {files: map[string]string{"example.com/widget/v3.0.0/go.mod": string(f.mod)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, t.TempDir())
			_, p := start(t, "http://"+closedPort(t), func(o *modproxy.Options) { o.Store, o.Sums = store, row.sums })
			dir := lay(t, row.files)
			for again := range 2 { // the second finds all of it
				done, err := p.Import(t.Context(), dir, nil)
				if err != nil || done.Files != len(row.want) || again > 0 && done.Had != done.Files {
					t.Errorf("%+v %v", done, err)
				}
				var why []string
				for _, r := range done.Refused {
					why = append(why, r.Key+": "+r.Reason)
				}
				if len(why) > 1 || (row.refused != "") != (len(why) == 1) || !strings.Contains(strings.Join(why, "\n"), row.refused) {
					t.Errorf("refused %q, want %q", why, row.refused)
				}
			}
			keys, err := store.Keys(t.Context(), "example.com")
			if err != nil || !slices.Equal(keys, row.want) {
				t.Errorf("%v %v, want %v", keys, err, row.want)
			}
		})
	}
}

// TestImportFollowsNoLinks leaves what is not a file of the directory itself.
func TestImportFollowsNoLinks(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, "")
	outside := lay(t, map[string]string{"x.mod": string(f.mod)})
	dir := lay(t, map[string]string{"example.com/widget/@v/v1.0.0.info": string(f.info)})
	if err := os.Symlink(filepath.Join(outside, "x.mod"), filepath.Join(dir, filepath.FromSlash(at[1:]+".mod"))); err != nil {
		t.Skip(err)
	}
	store := openStore(t, t.TempDir())
	_, p := start(t, "http://"+closedPort(t), func(o *modproxy.Options) { o.Store = store })
	if done, err := p.Import(t.Context(), dir, nil); err != nil || done.Files != 1 {
		t.Errorf("%+v %v", done, err)
	}
	if _, err := p.Import(t.Context(), filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a directory that is not there was imported")
	}
	if bad, err := store.Quarantined(t.Context()); err != nil || len(bad) != 0 {
		t.Errorf("%v %v", bad, err)
	}
}
