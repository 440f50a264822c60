package doctor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/settings"
)

// TestSoundValue: what was meant with a value; "?" where it is not certain.
func TestSoundValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, value, want string }{
		{"GOPROXY", "https://a.example，direct", "https://a.example,direct"},
		{"GOPROXY", "https://a.example direct", "https://a.example,direct"},
		{"GOPROXY", "https://a.example;direct", "https://a.example,direct"},
		{"GOPROXY", `"https://a.example,direct"`, "https://a.example,direct"},
		{"GOPROXY", "“https://a.example，direct”", "https://a.example,direct"},
		{"GOPROXY", "https://a.example,direct\r", "https://a.example,direct"},
		{"GOPROXY", "htps://a.example|driect", "https://a.example|direct"},
		{"GOPROXY", "goproxy", ""},
		{"GOPROXY", "goproxy,https://a.example", "https://a.example"},
		{"GOPROXY", "ftp://a.example,direct", "direct"},
		{"GOPROXY", "https://a.example,direct", "?"},
		{"GOPROXY", "off", "?"},
		{"GOPRIVATE", "https://git.corp.example/team/", "git.corp.example/team"},
		{"GOPRIVATE", "git.corp.example，*.corp.example", "git.corp.example,*.corp.example"},
		{"GOSUMDB", "https://sum.corp.example", "?"}, // a key is missing
		{"GOSUMDB", "on", ""},
		{"GOSUMDB", "Off", "?"},
		{"GOSUMDB", "off", "?"},
		{"GOFLAGS", "-mod=mod verbose", "-mod=mod"},
		{"GOFLAGS", "-nosuch -x", "-x"},
		{"GOFLAGS", `'-ldflags=-X a' nosuch`, "?"},
		{"GOTOOLCHAIN", "1.26", ""},
		{"GO111MODULE", "enabled", ""},
		{"HTTPS_PROXY", "htp://proxy.corp.example:3128", "http://proxy.corp.example:3128"},
		{"HTTPS_PROXY", "gopher://proxy.corp.example:3128", "?"},
		{"HTTPS_PROXY", "http://proxy.corp.example:3128", "?"},
	} {
		s := &settings.Settings{OS: map[string]string{test.name: test.value}, Env: goenv.Env{test.name: {Value: test.value, Origin: goenv.FromOS}}}
		got, ok := soundValue(s, test.name)
		if !ok {
			got = "?"
		}
		if got != test.want {
			t.Errorf("%s=%q: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestSlips(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"driect", "direct", true},
		{"dirct", "direct", true},
		{"direkt", "direct", true},
		{"directt", "direct", true},
		{"direct", "direct", false},
		{"drcet", "direct", false},
		{"", "a", true},
		{"off", "on", false},
	} {
		if got := slips(test.a, test.b); got != test.want {
			t.Errorf("slips(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

// TestSoundLine: lines of go.mod as they were meant; "?" where they are left alone.
func TestSoundLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	uses := []string{"example.com/big/v2/sub", "example.com/old", "example.com/plain"}
	moved := keepwell.Finding{Code: "module/moved", Facts: keepwell.Facts{"module": "example.com/old", "newpath": "example.com/new"}}
	for _, test := range []struct {
		line, want string
		concern    act.Concern
	}{
		{"go v1.24", "go 1.24", act.Ordinary},
		{"go go1.24.1", "go 1.24.1", act.Ordinary},
		{"go 1.24.x // why", "go 1.24 // why", act.Ordinary},
		{"go latest", "?", ""},
		{"go 1.24", "?", ""},
		{"toolchain 1.24.1", "toolchain go1.24.1", act.Ordinary},
		{"toolchain default", "?", ""},
		{"require example.com/plain 1.5.0", "require example.com/plain v1.5.0", act.Packages},
		{"require example.com/plain master", "?", ""},
		{"require example.com/plain v1.5.0", "?", ""},
		{"require example.com/big v2.1.0", "require example.com/big/v2 v2.1.0", act.Packages},
		{"require example.com/big v2.1.0+incompatible // x", "require example.com/big/v2 v2.1.0 // x", act.Packages},
		{"require example.com/plain v2.1.0", "require example.com/plain v2.1.0+incompatible", act.Packages},
		{"require gopkg.in/yaml.v3 v3.0.1", "?", ""},
		{"require example.com/old v1.0.0", "require example.com/old v1.0.0", act.Packages},
		{"replace example.com/plain => ../nowhere", "", act.Packages},
		{"replace example.com/plain => .", "?", ""},
		{"replace example.com/plain => example.com/fork v1.0.0", "?", ""},
		{"requires example.com/plain v1.5.0", "require example.com/plain v1.5.0", act.Ordinary},
		{"retract v1.0.0", "?", ""},
	} {
		lines := goModLines([]byte(test.line + "\n"))
		if len(lines) != 1 {
			t.Fatalf("%q: %d lines", test.line, len(lines))
		}
		got, ok := soundLine(lines[0], dir, uses, moved)
		if !ok {
			got.newText = "?"
		}
		if got.newText != test.want || ok && got.concern != test.concern {
			t.Errorf("%q: %q (%s), want %q (%s)", test.line, got.newText, got.concern, test.want, test.concern)
		}
	}
}

func TestGoModLinesKnowsBlocks(t *testing.T) {
	t.Parallel()
	data := "module a\r\n\r\nrequire (\r\n\texample.com/a 1.0.0 // indirect\r\n)\r\n"
	var todo []goModLine
	for _, l := range goModLines([]byte(data)) {
		if fixed, ok := soundLine(l, "", nil, keepwell.Finding{}); ok {
			todo = append(todo, fixed)
		}
	}
	if got, want := string(exchangeLines([]byte(data), todo)), strings.Replace(data, " 1.0.0", " v1.0.0", 1); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// below is a hash and the permissions of everything below dir.
func below(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(name)
			sum := sha256.Sum256(data)
			out[name] += " " + hex.EncodeToString(sum[:])
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// carriedOut does a mend and takes it back, which must leave everything as it was.
func carriedOut(t *testing.T, m Mend, dir string, between func()) {
	t.Helper()
	before := below(t, dir)
	e := &act.Engine{Dir: t.TempDir()}
	r, err := e.Run(t.Context(), act.Plan{Command: "doctor", Steps: m.Steps}, func(context.Context, act.Change) (bool, error) { return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	between()
	if _, _, err := e.Undo(t.Context(), r.ID, "doctor"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, below(t, dir)); diff != "" {
		t.Errorf("after undo (-want +got):\n%s", diff)
	}
}

func cacheCase(env ...string) *Case {
	s := &settings.Settings{OS: map[string]string{}, Env: goenv.Env{}}
	for pair := range slices.Chunk(env, 2) {
		s.Env[pair[0]] = goenv.Setting{Value: pair[1]}
	}
	return &Case{Settings: s}
}

// TestMendCache: of a version the files that are damaged go, and no others.
func TestMendCache(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	c := cacheCase("GOMODCACHE", root, "GOPATH", filepath.Join(root, "gopath"))
	base := filepath.Join(root, "cache", "download", "example.com", "!widget", "@v", "v1.0.0")
	put(t, base+".info", `{"Version":"v1.0.0"}`)
	put(t, base+".mod", "<html>blocked</html>")
	put(t, base+".zip", "<html>blocked</html>")
	put(t, base+".ziphash", "h1:MX/Dk0CCsViKIYjk6YiRsct9lNGJ0A8wywTJTbbMUFw=")
	put(t, filepath.Join(filepath.Dir(base), "v1.1.0.mod"), "<html>another version</html>")
	f := keepwell.Finding{Code: "proxy/bad-response", Facts: keepwell.Facts{"module": "example.com/Widget", "version": "v1.0.0"}}
	list := mendCache(t.Context(), c, f)
	if len(list) != 1 {
		t.Fatalf("%d mends", len(list))
	}
	changes, err := act.Plan{Steps: list[0].Steps}.Preview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range changes {
		got = append(got, filepath.Base(x.Target)+" "+string(x.Safety))
	}
	if diff := cmp.Diff([]string{"v1.0.0.mod safe", "v1.0.0.zip safe", "v1.0.0.ziphash safe"}, got); diff != "" {
		t.Error(diff)
	}
	carriedOut(t, list[0], root, func() {
		if _, err := os.Stat(base + ".mod"); err == nil {
			t.Error("the damaged file is still there")
		}
	})

	// Where a sum differs, nothing goes without a person.
	f.Code = "sum/go-sum-mismatch"
	for _, s := range mendCache(t.Context(), c, f)[0].Steps {
		if x, err := s.Describe(t.Context()); err != nil || x.Concern != act.Trust || x.Safety != keepwell.SafetyAsks {
			t.Errorf("%+v, %v", x, err)
		}
	}
	// A path from elsewhere is nobody's cache.
	outside := put(t, filepath.Join(t.TempDir(), "x.mod"), "<html>")
	if list := mendCache(t.Context(), c, keepwell.Finding{Code: "local/cache-corrupt", Facts: keepwell.Facts{"path": outside}}); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestMendChecksumNotes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	c := cacheCase("GOMODCACHE", filepath.Join(root, "mod"), "GOPATH", root)
	sound := "go.sum database tree\n5\nabc=\n\n— sum.example.org x\n"
	put(t, filepath.Join(root, "pkg", "sumdb", "a.example", "latest"), sound)
	bad := put(t, filepath.Join(root, "pkg", "sumdb", "sum.example.org", "latest"), "garbage")
	put(t, filepath.Join(root, "mod", "cache", "download", "sumdb", "sum.example.org", "lookup", "a@v1"), "1\na v1 h1:x=\n\n"+sound)
	list := mendCache(t.Context(), c, keepwell.Finding{Code: "sum/cache-corrupt", Facts: keepwell.Facts{}})
	if len(list) != 1 || len(list[0].Steps) != 1 || list[0].Args[0] != bad {
		t.Fatalf("%+v", list)
	}
	carriedOut(t, list[0], root, func() {})
}

// TestMendPermission: the owner gets back what they may do, where go has to write, and
// nowhere else.
func TestMendPermission(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions")
	}
	root := t.TempDir()
	cache := filepath.Join(root, "mod")
	put(t, filepath.Join(cache, "cache", "download", "example.com", "a", "@v", "v1.0.0.mod"), "module a")
	unpacked := filepath.Join(cache, "example.com", "a@v1.0.0")
	put(t, filepath.Join(unpacked, "go.mod"), "module a")
	set := func(mode fs.FileMode, names ...string) {
		for _, n := range names {
			if err := os.Chmod(n, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	download := filepath.Join(cache, "cache", "download")
	set(0o555, unpacked)
	set(0o500, download)
	t.Cleanup(func() { set(0o700, unpacked, download) })
	c := cacheCase("GOMODCACHE", cache, "GOCACHE", filepath.Join(root, "build"))
	f := keepwell.Finding{Code: "local/cache-permission", Facts: keepwell.Facts{"path": filepath.Join(download, "example.com", "b", "@v")}}
	list := mendPermission(t.Context(), c, f)
	if len(list) != 1 || len(list[0].Steps) != 1 || list[0].Args[0] != download {
		t.Fatalf("%+v", list)
	}
	carriedOut(t, list[0], root, func() {
		if info, err := os.Stat(download); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
	})
	set(0o700, download)
	for _, path := range []string{filepath.Join(unpacked, "go.mod"), filepath.Join(root, "elsewhere"), ""} {
		f.Facts["path"] = path
		if list := mendPermission(t.Context(), c, f); len(list) > 0 {
			t.Errorf("%s: %+v", path, list)
		}
	}
}

// TestMendPrivate: the narrowest pattern, in each list that would leak.
func TestMendPrivate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "goenv")
	for _, test := range []struct {
		user  map[string]string
		scope string
		want  []string
	}{
		{nil, "git.corp.example", []string{"GOPRIVATE=git.corp.example"}},
		{nil, "github.com/acme", []string{"GOPRIVATE=github.com/acme"}},
		{map[string]string{"GOPRIVATE": "*.corp.example"}, "git.corp.example", nil},
		{map[string]string{"GOPRIVATE": "a.example", "GONOPROXY": "none"}, "b.example", []string{"GOPRIVATE=a.example,b.example", "GONOPROXY="}},
		{nil, "golang.org/x", nil},
		{nil, "github.com", nil},
	} {
		s := &settings.Settings{OS: map[string]string{}, Env: goenv.Env{}, Go: goenv.Layers{User: test.user, UserFile: file}}
		for k, v := range test.user {
			s.Env[k] = goenv.Setting{Value: v, Origin: goenv.FromUser}
		}
		var got []string
		for _, m := range mendPrivate(t.Context(), &Case{Settings: s}, keepwell.Finding{Code: "auth/goprivate-unset", Facts: keepwell.Facts{"scope": test.scope}}) {
			for _, step := range m.Steps {
				if g, ok := step.(act.GoEnv); ok {
					got = append(got, g.Name+"="+g.Value)
				}
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v %s (-want +got):\n%s", test.user, test.scope, diff)
		}
	}
}

// TestAssignByHand: a variable that no file sets is for a person.
func TestAssignByHand(t *testing.T) {
	t.Parallel()
	s := &settings.Settings{OS: map[string]string{"GOPROXY": "goproxy"}, Env: goenv.Env{}, Home: t.TempDir(), Project: settings.Project{Dir: t.TempDir()}}
	list := (&Case{Settings: s}).assignments("setting", []string{"GOPROXY", ""}, [2]string{"GOPROXY", ""})
	if len(list) != 1 || len(list[0].Steps) != 1 || list[0].Steps[0] != act.Step(act.Manual{Target: "GOPROXY", Command: "unset GOPROXY"}) || len(list[0].Sets) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestMendsFollowNoLinks: a go.sum that leads to another file is nothing to mend.
func TestMendsFollowNoLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mod := put(t, filepath.Join(dir, "go.mod"), "module example.org/app\n\ngo v1.24\n")
	target := put(t, filepath.Join(t.TempDir(), "profile"), "export A=1\n")
	if err := os.Symlink(target, filepath.Join(dir, "go.sum")); err != nil {
		t.Skip(err)
	}
	c := cacheCase("GOMOD", mod)
	for _, code := range []keepwell.Code{"sum/malformed", "sum/missing-entry", "local/go-mod-parse", "local/vendor"} {
		if list := Mends(t.Context(), c, keepwell.Finding{Code: code, Facts: keepwell.Facts{}}); len(list) > 0 {
			t.Errorf("%s: %+v", code, list)
		}
	}
}

func TestInstallCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		goos, release string
		root          bool
		tool, want    string
	}{
		{"linux", "ID=debian\n", true, "git", "apt-get update && apt-get install -y git"},
		{"linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", false, "cc", "sudo apt-get update && sudo apt-get install -y build-essential"},
		{"linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false, "ca", "sudo dnf install -y ca-certificates"},
		{"linux", "ID=alpine\n", true, "cc", "apk add build-base"},
		{"linux", "ID=alpine\n", true, "python", "apk add python3 py3-pip"},
		{"linux", "ID=arch\n", false, "node", "sudo pacman -S --needed nodejs npm"},
		{"linux", "", false, "git", ""},
		{"darwin", "", false, "cc", "xcode-select --install"},
		{"darwin", "", false, "node", "brew install node"},
		{"windows", "", false, "git", "winget install --id Git.Git"},
		{"windows", "", false, "cc", ""},
	} {
		if got := installCommand(test.goos, test.release, test.root, test.tool); got != test.want {
			t.Errorf("%s %q %s: %q, want %q", test.goos, test.release, test.tool, got, test.want)
		}
	}
	f := keepwell.Finding{Evidence: []keepwell.Evidence{{Text: `cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`}}}
	if got := missingTool(f); got != "cc" {
		t.Errorf("missingTool = %q", got)
	}
}

// TestMendWork: go.work loses what is not there and gains the module here.
func TestMendWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a", "go.mod"), "module example.org/a\n")
	put(t, filepath.Join(dir, "b", "go.mod"), "module example.org/b\n")
	work := put(t, filepath.Join(dir, "go.work"), "go 1.24\n\nuse (\n\t./a // keep\n\t./gone\n)\n")
	c := cacheCase("GOWORK", work)
	c.Dir = filepath.Join(dir, "a")
	check := func(want string) {
		t.Helper()
		list := mendWork(t.Context(), c, keepwell.Finding{Code: "local/workspace"})
		if len(list) != 1 {
			t.Fatalf("%d mends", len(list))
		}
		carriedOut(t, list[0], dir, func() {
			data, err := os.ReadFile(work)
			if err != nil || string(data) != want {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	check("go 1.24\n\nuse ./a // keep\n")
	put(t, work, "go 1.24\n\nuse ./a\n")
	c.Dir = filepath.Join(dir, "b")
	check("go 1.24\n\nuse (\n\t./a\n\t./b\n)\n")
	c.Dir = filepath.Join(dir, "a")
	if list := mendWork(t.Context(), c, keepwell.Finding{Code: "local/workspace"}); len(list) > 0 {
		t.Errorf("nothing is wrong: %s", fmt.Sprint(list))
	}
}
