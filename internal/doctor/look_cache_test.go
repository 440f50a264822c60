package doctor

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
)

// moduleZip is the zip of a module with one file, and its hash.
func moduleZip(t *testing.T, prefix string) (data, hash string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(prefix + "/a.go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("package a\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err = dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), hash
}

func TestCache(t *testing.T) {
	t.Parallel()
	const at = "cache/cache/download/example.com/x/@v/v1.0.0"
	content, hash := moduleZip(t, "example.com/x@v1.0.0")
	other := "h1:" + strings.Repeat("A", 43) + "="
	good := "module example.com/x\n"
	needs := mod + "require example.com/x v1.0.0\n"
	sums := "example.com/x v1.0.0 " + hash + "\nexample.com/x v1.0.0/go.mod " + hashMod([]byte(good)) + "\n"
	for name, test := range map[string]struct {
		files map[string]string
		env   []string
		asked string
		want  string
	}{
		"sound":         {files: map[string]string{at + ".mod": good, at + ".info": `{"Version":"v1.0.0"}`, at + ".zip": content, at + ".ziphash": hash}},
		"nothing there": {},
		"html":          {files: map[string]string{at + ".mod": "<!DOCTYPE html>\n<html>login</html>"}, want: "error local/cache-corrupt path=" + at + ".mod\n"},
		"empty":         {files: map[string]string{at + ".mod": ""}, want: "error local/cache-corrupt path=" + at + ".mod\n"},
		"json":          {files: map[string]string{at + ".mod": `{"errors":[]}`}, want: "error local/cache-corrupt path=" + at + ".mod\n"},
		"other module":  {files: map[string]string{at + ".mod": "module example.com/y\n", "go.sum": ""}, want: "error module/moved\n"},
		"other case":    {files: map[string]string{at + ".mod": "module example.com/X\n", "go.sum": ""}, want: "error module/case\n"},
		"other bytes":   {files: map[string]string{at + ".mod": good + "// more\n"}, want: "error sum/go-sum-mismatch path=" + at + ".mod\n"},
		"fork":          {files: map[string]string{"go.mod": mod + "require example.com/z v1.0.0\nreplace example.com/z => example.com/x v1.0.0\n", "go.sum": "", at + ".mod": "module example.com/z\n"}},
		"synthesized":   {files: map[string]string{at + ".mod": good, "go.sum": ""}},
		"info":          {files: map[string]string{at + ".info": "<html>"}, want: "info local/cache-corrupt path=" + at + ".info\n"},
		"cut zip":       {files: map[string]string{at + ".zip": content[:len(content)/2]}, want: "error local/cache-corrupt path=" + at + ".zip\n"},
		"cut zip, extracted": {
			files: map[string]string{at + ".zip": content[:len(content)/2], "cache/example.com/x@v1.0.0/a.go": "package a\n"},
			want:  "info local/cache-corrupt path=" + at + ".zip\n",
		},
		"partly extracted": {
			files: map[string]string{at + ".zip": content[:len(content)/2], at + ".partial": "", "cache/example.com/x@v1.0.0/a.go": "package a\n"},
			want:  "error local/cache-corrupt path=" + at + ".zip\n",
		},
		"emptied": {
			files: map[string]string{at + ".zip": content, at + ".ziphash": hash, "cache/example.com/x@v1.0.0/": ""},
			want:  "error local/cache-corrupt path=cache/example.com/x@v1.0.0\n",
		},
		"edited": {
			files: map[string]string{at + ".zip": content, at + ".ziphash": hash, "cache/example.com/x@v1.0.0/a.go": "package b // mine\n"},
			want:  "error local/cache-corrupt path=cache/example.com/x@v1.0.0\n",
		},
		"whole": {
			files: map[string]string{at + ".zip": content, at + ".ziphash": hash, "cache/example.com/x@v1.0.0/a.go": "package a\n"},
		},
		"hash damaged": {files: map[string]string{at + ".zip": content, at + ".ziphash": "\x00\x00"}, want: "error local/cache-corrupt path=" + at + ".ziphash\n"},
		"other zip":    {files: map[string]string{"go.sum": "example.com/x v1.0.0 " + other + "\n", at + ".zip": content, at + ".ziphash": hash}, want: "error sum/go-sum-mismatch path=" + at + ".zip\n"},
		"zip damaged":  {files: map[string]string{"go.sum": "example.com/x v1.0.0 " + other + "\n", at + ".zip": content, at + ".ziphash": "h1:x"}, want: "error local/cache-corrupt path=" + at + ".zip\n"},
		"asked":        {files: map[string]string{"go.mod": mod, "go.sum": "", at + ".mod": "<html>"}, asked: "v1.0.0", want: "error local/cache-corrupt path=" + at + ".mod\n"},
		"not in question": {
			files: map[string]string{"go.mod": mod, "go.sum": "", at + ".mod": "<html>"},
		},
		"cache is a file":  {files: map[string]string{"cache": "x"}, want: "error local/cache-permission path=cache\n"},
		"no GOTMPDIR":      {env: []string{"GOTMPDIR=/nowhere/at/all"}, want: "error local/cache-permission path=/nowhere/at/all\n"},
		"no GOCACHE":       {env: []string{"GOCACHE="}, want: "error local/cache-permission\n"},
		"sumdb note":       {files: map[string]string{"gopath/pkg/sumdb/sum.golang.org/latest": "\x00\x00\x00"}, env: []string{"GOSUMDB=sum.golang.org"}, want: "error sum/cache-corrupt path=gopath/pkg/sumdb/sum.golang.org/latest\n"},
		"sumdb note, off":  {files: map[string]string{"gopath/pkg/sumdb/sum.golang.org/latest": "\x00\x00\x00"}, env: []string{"GOSUMDB=off"}},
		"sumdb note, new":  {files: map[string]string{"gopath/pkg/sumdb/sum.golang.org/latest": ""}, env: []string{"GOSUMDB=sum.golang.org"}},
		"sumdb note, fine": {files: map[string]string{"gopath/pkg/sumdb/sum.golang.org/latest": "go.sum database tree\n1\n"}, env: []string{"GOSUMDB=sum.golang.org"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"go.mod": needs, "go.sum": sums}
			for k, v := range test.files {
				files[k] = v
			}
			dir := tree(t, files)
			c := caseIn(dir, append([]string{"GOCACHE=" + filepath.Join(dir, "build"), "GOPATH=" + filepath.Join(dir, "gopath")}, test.env...)...)
			if test.asked != "" {
				c.Asked = []Subject{{Ecosystem: Go, Path: "example.com/x", Version: test.asked}}
			}
			o := lookCache(context.Background(), c, nil)
			got := strings.ReplaceAll(said(o.Findings, "path"), dir+string(filepath.Separator), "")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, f := range o.Findings {
				if text := f.Evidence[0].Text; strings.Contains(text, "doctor.") || strings.Contains(text, "%!") {
					t.Errorf("unreadable proof %.500q", text)
				}
			}
		})
	}
}

// TestForbidden: a directory of somebody else is found without writing to it.
func TestForbidden(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := tree(t, map[string]string{"go.mod": mod, "cache/cache/download/": ""})
	if err := os.Chmod(filepath.Join(dir, "cache", "cache", "download"), 0o500); err != nil {
		t.Fatal(err)
	}
	c := caseIn(dir, "GOCACHE="+filepath.Join(dir, "build"))
	got := said(lookCache(context.Background(), c, nil).Findings)
	if got != "error local/cache-permission\n" {
		t.Error(got)
	}
}

// TestMuteGo: where go cannot even say its settings, because it cannot make its build
// cache, the directories are those that it would take.
func TestMuteGo(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"go.mod": mod, "build": "a file"})
	c := caseIn(dir)
	c.Settings.Env = goenv.Env{}
	c.Settings.Project.GoModHere = true
	c.Settings.OS = map[string]string{"GOCACHE": filepath.Join(dir, "build"), "GOMODCACHE": filepath.Join(dir, "modules"), "GOENV": "off"}
	o := lookCache(context.Background(), c, nil)
	if got := said(o.Findings, "path"); got != "error local/cache-permission path="+filepath.Join(dir, "build")+"\n" {
		t.Error(got)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	c := caseIn(t.TempDir())
	for name, test := range map[string]struct {
		room
		want string
	}{
		"plenty":           {room{bytes: 1 << 40, inodes: 1 << 20, hasInodes: true}, ""},
		"none":             {room{bytes: 0, inodes: 1 << 20, hasInodes: true}, "error local/disk-full\n"},
		"little":           {room{bytes: 100 << 20, inodes: 1 << 20, hasInodes: true}, "info local/disk-full\n"},
		"no inodes":        {room{bytes: 1 << 40, inodes: 0, hasInodes: true}, "error local/disk-full\n"},
		"inodes made anew": {room{bytes: 1 << 40}, ""},
	} {
		if got := said(c.noRoom(directory{name: "TMPDIR", path: "/tmp"}, test.room)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestSpoilt: what is wrong with the user's own cache stays the fault, although the
// module could be fetched into another directory.
func TestSpoilt(t *testing.T) {
	t.Parallel()
	bad := fault("local/cache-permission")
	bad.Severity = "error"
	cache := Outcome{Check: "cache", Findings: []keepwell.Finding{bad, info(fault("local/disk-full"))}}
	if got := said(spoilt([]Outcome{cache})); got != "error local/cache-permission\n" {
		t.Error(got)
	}
}
