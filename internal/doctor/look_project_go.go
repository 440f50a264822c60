package doctor

import (
	"bytes"
	"cmp"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
)

// goLine is the version of a go line.
func goLine(g *modfile.Go, implied string) string {
	if g == nil {
		return implied
	}
	return g.Version
}

// olderGo compares versions without their "go".
func olderGo(a, b string) bool { return version.Compare("go"+a, "go"+b) < 0 }

// goWanted is the release that the project's files ask for ("" none), by which file,
// and the toolchain line beside it.
func (p *project) goWanted(c *Case) (wanted, by, toolchain string) {
	if p.workName != "" {
		if p.work == nil {
			return "", "", ""
		}
		if p.work.Toolchain != nil {
			toolchain = p.work.Toolchain.Name
		}
		return goLine(p.work.Go, ""), c.shownPath(p.workName), toolchain
	}
	if len(p.mods) == 0 || p.mods[0].file == nil {
		return "", "", ""
	}
	f := p.mods[0].file
	if f.Toolchain != nil {
		toolchain = f.Toolchain.Name
	}
	return goLine(f.Go, ""), c.shownPath(p.mods[0].name), toolchain
}

// switching is what GOTOOLCHAIN allows: which release runs at least ("" the one in
// PATH), whether files of the project may raise it, and whether it may be fetched.
func switching(setting string) (base string, raise, fetch bool) {
	switch setting {
	case "", "auto":
		return "", true, true
	case "path":
		return "", true, false
	case "local":
		return "", false, false
	}
	base, mode, plus := strings.Cut(setting, "+")
	if base == "local" {
		base = ""
	}
	return base, plus, mode != "path"
}

// toolchain is the release that go would switch to, such as "go1.99.0"; "" where the
// one in PATH runs.
func (c *Case) toolchain(p *project) string {
	running := "go" + c.Machine.GoVersion
	if c.Machine.GoVersion == "" {
		return ""
	}
	base, raise, _ := switching(c.Settings.Env.Value("GOTOOLCHAIN"))
	want := cmp.Or(base, running)
	line, _, toolchain := p.goWanted(c)
	if raise && toolchain != "default" {
		if toolchain != "" && version.Compare(release(toolchain), release(want)) > 0 {
			want = toolchain
		}
		if line != "" && version.Compare("go"+line, release(want)) > 0 {
			want = "go" + line
			if version.Lang(want) == want && !olderGo(line, "1.21") {
				want += ".0"
			}
		}
	}
	if want == running || !strings.HasPrefix(want, "go1") {
		return ""
	}
	return want
}

// release is the version in a toolchain's name.
func release(toolchain string) string {
	if i := strings.Index(toolchain, "-go"); i >= 0 && !strings.HasPrefix(toolchain, "go") {
		return toolchain[i+1:]
	}
	return toolchain
}

// toolchainModule is the module that a release of go is fetched as.
func toolchainModule(name string) module.Version {
	return module.Version{Path: "golang.org/toolchain", Version: "v0.0.1-" + name + "." + runtime.GOOS + "-" + runtime.GOARCH}
}

// toolchainAt is the go command of a release that is here already; "" where none is.
func (c *Case) toolchainAt(name string) string {
	if at, err := exec.LookPath(name); err == nil && filepath.IsAbs(at) {
		return at
	}
	exe := "go"
	if runtime.GOOS == "windows" {
		exe = "go.exe"
	}
	at := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), toolchainModule(name).String(), "bin", exe)
	if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() {
		return at
	}
	return ""
}

// lookGoLines holds the go lines of the project and of its dependencies to the go that
// runs.
func (c *Case) lookGoLines(p *project) {
	running := c.Machine.GoVersion
	line, by, _ := p.goWanted(c)
	if running == "" || line == "" {
		return
	}
	setting := c.Settings.Env.Value("GOTOOLCHAIN")
	if want := c.toolchain(p); want != "" {
		if _, _, fetch := switching(setting); !fetch && c.toolchainAt(want) == "" {
			p.add("version/toolchain", keepwell.SeverityError, 0.9, c.Say("doctor.project.toolchain-path", by, want, setting), "goversion", strings.TrimPrefix(want, "go"), "running", running)
			return
		}
		running = strings.TrimPrefix(release(want), "go")
	}
	if olderGo(running, line) {
		severity := keepwell.SeverityError
		if olderGo(running, "1.21") { // which only says so where it cannot compile
			severity = keepwell.SeverityInfo
		}
		p.add("version/go-too-old", severity, 0.95, c.Say("doctor.project.go-line", by, line, running, setting), "goversion", line, "running", running)
		return
	}
	c.lookDependencies(p, running, line, by)
}

// lookDependencies reads the go lines of the required modules, as far as the module
// cache has their go.mod.
func (c *Case) lookDependencies(p *project, running, line, by string) {
	told := 0
	for _, m := range p.required() {
		data, err := readRegular(c.cached(m, ".mod"), 1<<20)
		needs := goOf(data)
		if err != nil || needs == "" || told >= mostSaid {
			continue
		}
		facts := []string{"module", m.Path, "version", m.Version, "goversion", needs, "running", running}
		switch {
		case olderGo(running, needs):
			told++
			p.add("version/go-too-old", keepwell.SeverityError, 0.9, c.Say("doctor.project.dependency-go", m.String(), needs, running), facts...)
		case olderGo(line, needs) && !olderGo(line, "1.21"):
			told++
			p.add("version/go-too-old", keepwell.SeverityInfo, 0.8, c.Say("doctor.project.dependency-line", m.String(), needs, by, line), facts...)
		}
	}
}

// goOf is the version of the go line of a go.mod, without parsing the rest.
func goOf(data []byte) string {
	for l := range bytes.Lines(data) {
		if f := bytes.Fields(l); len(f) >= 2 && string(f[0]) == "go" && version.IsValid("go"+string(f[1])) {
			return string(f[1])
		}
	}
	return ""
}

// required are the modules that the main modules require, each once, with what replaces
// them; those replaced by directories are left out.
func (p *project) required() []module.Version {
	replaced := map[module.Version]module.Version{}
	for _, m := range p.read() {
		for _, r := range m.file.Replace {
			replaced[r.Old] = r.New
		}
	}
	if p.work != nil {
		for _, r := range p.work.Replace {
			replaced[r.Old] = r.New
		}
	}
	var out []module.Version
	have := map[module.Version]bool{}
	for _, m := range p.read() {
		for _, r := range m.file.Require {
			mod := r.Mod
			for _, old := range []module.Version{mod, {Path: mod.Path}} {
				if to, ok := replaced[old]; ok {
					mod = to
					break
				}
			}
			if mod.Version != "" && !have[mod] {
				have[mod] = true
				out = append(out, mod)
			}
		}
	}
	return out
}

// cached is where the module cache keeps a file of a module's version; "" where the name
// is no legal one.
func (c *Case) cached(m module.Version, ext string) string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	v, err := module.EscapeVersion(m.Version)
	if err != nil || c.Settings.Env.Value("GOMODCACHE") == "" {
		return ""
	}
	return filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download", filepath.FromSlash(path), "@v", v+ext)
}
