package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/keepwell/keepwell"
)

// TestToolchain holds the choice of a release to go's rules (cmd/go's toolchain.Select).
func TestToolchain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ lines, setting, want string }{
		"none newer":          {"go 1.26\n", "auto", ""},
		"the same":            {"go 1.26.0\n", "auto", ""},
		"go line":             {"go 1.99.2\n", "auto", "go1.99.2"},
		"language":            {"go 1.99\n", "auto", "go1.99.0"},
		"toolchain line":      {"go 1.25\ntoolchain go1.99.1\n", "auto", "go1.99.1"},
		"toolchain, own name": {"go 1.25\ntoolchain go1.99.1-corp\n", "auto", "go1.99.1-corp"},
		"toolchain default":   {"go 1.99\ntoolchain default\n", "auto", ""},
		"older toolchain":     {"go 1.99\ntoolchain go1.30.0\n", "auto", "go1.99.0"},
		"local":               {"go 1.99\n", "local", ""},
		"path":                {"go 1.99\n", "path", "go1.99.0"},
		"local+auto":          {"go 1.99\n", "local+auto", "go1.99.0"},
		"fixed":               {"go 1.99\n", "go1.25.1", "go1.25.1"},
		"at least":            {"go 1.25\n", "go1.27.0+auto", "go1.27.0"},
		"at least, more":      {"go 1.99\n", "go1.27.0+auto", "go1.99.0"},
		"at least the same":   {"go 1.25\n", "go1.26.0+auto", ""},
		"no such setting":     {"go 1.25\n", "latest", ""},
		"no go line":          {"", "auto", ""},
	} {
		c := caseIn(tree(t, map[string]string{"go.mod": "module example.com/a\n" + test.lines}), "GOTOOLCHAIN="+test.setting)
		if got := c.toolchain(c.readProject()); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestSwitch: a release that is here is used, one that is not has to be fetched first,
// and a setting that go cannot read stops everything.
func TestSwitch(t *testing.T) {
	t.Parallel()
	files := map[string]string{"go.mod": "module example.com/a\n\ngo 1.99.0\n"}
	c := caseIn(tree(t, files))
	o := c.lookSwitch(nil)
	if o == nil || !o.Wants || len(o.Missing) != 1 || o.Missing[0].Version != "v0.0.1-go1.99.0."+runtime.GOOS+"-"+runtime.GOARCH {
		t.Errorf("what is missing: %+v", o)
	}
	if name, env := c.goCommand(); name != "go" || env != nil || c.scratchGo() != "1.26.0" {
		t.Errorf("%s %v", name, env)
	}

	exe := "go"
	if runtime.GOOS == "windows" {
		exe = "go.exe"
	}
	at := filepath.Join("cache", "golang.org", "toolchain@v0.0.1-go1.99.0."+runtime.GOOS+"-"+runtime.GOARCH, "bin", exe)
	files[filepath.ToSlash(at)] = ""
	dir := tree(t, files)
	c = caseIn(dir)
	if o := c.lookSwitch(nil); o != nil {
		t.Errorf("%+v", o)
	}
	if name, env := c.goCommand(); name != filepath.Join(dir, at) || len(env) != 1 || c.scratchGo() != "1.99.0" {
		t.Errorf("%s %v %s", name, env, c.scratchGo())
	}
	if _, err := os.Stat(filepath.Join(dir, at)); err != nil {
		t.Fatal(err)
	}

	bad := fault("version/toolchain")
	bad.Severity = keepwell.SeverityError
	o = c.lookSwitch([]Outcome{{Check: "settings", Findings: []keepwell.Finding{bad}}})
	if o == nil || !o.Tried || said(o.Findings) != "error version/toolchain\n" {
		t.Errorf("%+v", o)
	}
}
