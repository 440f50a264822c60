package doctor

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/scratch"
)

// wantsPip reports whether pip is in question: a package of its, or a project that is
// neither go's nor npm's.
func (c *Case) wantsPip() bool {
	return len(c.asked(PyPI)) > 0 ||
		len(c.Asked) == 0 && !c.wantsGo() && !c.exists("package.json") && (c.exists("requirements.txt") || c.exists("pyproject.toml"))
}

// python is the interpreter whose pip is asked; "" where there is none.
func python() string {
	for _, name := range []string{"python3", "python"} {
		if at, err := exec.LookPath(name); err == nil {
			return at
		}
	}
	return ""
}

// python runs Python where nobody else's modules lie: it imports from the directory that
// it is called in, and a project's may be hostile.
func (c *Case) python(ctx context.Context, dir string, env []string, py string, args ...string) toolRun {
	return c.runTool(ctx, dir, append([]string{"PYTHONSAFEPATH=1"}, env...), py, args...)
}

// lookPip lets the real pip fetch what is in question into a directory of its own: only
// wheels, since building a source distribution runs what its author wrote.
func lookPip(ctx context.Context, c *Case, _ []Outcome) Outcome {
	py := python()
	if py == "" {
		return Outcome{State: observe.NotChecked, Key: "doctor.pip.none"}
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.fetch.scratch", Args: []string{mask.Text(err.Error())}}
	}
	defer scratch.Remove(dir)
	t := tryTool{id: "pip", dir: dir, began: time.Now(), server: c.pipServer}
	if subjects := c.asked(PyPI); len(subjects) > 0 {
		for _, s := range subjects {
			t.run = c.pipDownload(ctx, py, dir, s.String())
			if !t.run.ok() && c.sourceOnly(ctx, py, dir, t.run, s) {
				t.run, t.key, t.args = toolRun{}, "doctor.pip.source", []string{s.Path}
			}
			if !t.run.ok() {
				return c.outcome(t)
			}
		}
		return c.externallyManaged(ctx, py, dir, c.outcome(t))
	}
	lines, f := c.requirements(ctx, py, dir)
	if f != nil {
		return Outcome{State: observe.No, Key: "doctor.pip.bad", Findings: []keepwell.Finding{*f}}
	}
	if len(lines) == 0 {
		return Outcome{State: observe.NotChecked, Key: "doctor.pip.nothing"}
	}
	file := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.fetch.scratch", Args: []string{mask.Text(err.Error())}}
	}
	own, installed := c.installed(ctx, py, dir, file)
	if installed {
		return Outcome{State: observe.Yes, Key: "doctor.pip.installed", Tried: true, Works: true}
	}
	py = cmp.Or(own, py)
	t.run = c.pipDownload(ctx, py, dir, "-r", file)
	if !t.run.ok() && noDistribution(t.run.Output) {
		if name := lacking(t.run.Output); name != "" && c.sourceOnly(ctx, py, dir, t.run, Subject{Ecosystem: PyPI, Path: name}) {
			t.run, t.key, t.args = toolRun{}, "doctor.pip.source", []string{name}
		}
	}
	return c.outcome(t)
}

// installed asks Python whether what a file requires is installed, and where the
// interpreter itself is: a version manager's stand-in costs half a second each time.
func (c *Case) installed(ctx context.Context, py, dir, file string) (executable string, all bool) {
	const script = `import sys
print(sys.executable)
from importlib.metadata import version
from pip._vendor.packaging.requirements import Requirement
for line in open(sys.argv[1], encoding="utf-8"):
    line = line.split(" --hash")[0].strip()
    if not line or line.startswith("-"):
        continue
    r = Requirement(line)
    if (r.marker is None or r.marker.evaluate()) and not r.specifier.contains(version(r.name), prereleases=True):
        sys.exit(1)
print("all")
`
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r := c.python(limited, dir, nil, py, "-c", script, file)
	first, rest, _ := strings.Cut(string(r.Stdout), "\n")
	if !filepath.IsAbs(first) {
		first = ""
	}
	return strings.TrimSpace(first), r.ok() && strings.TrimSpace(rest) == "all"
}

// pipDownload fetches wheels. Only with -vv does pip say which status a server gave.
func (c *Case) pipDownload(ctx context.Context, py, dir string, what ...string) toolRun {
	args := []string{
		"-m", "pip", "download", "-vv", "--no-deps", "--only-binary", ":all:", "--dest", filepath.Join(dir, "wheels"), "--no-input",
		"--disable-pip-version-check", "--no-cache-dir", "--retries", "0", "--progress-bar", "off",
	}
	if c.Settings.OS["PIP_TIMEOUT"] == "" && c.Settings.OS["PIP_DEFAULT_TIMEOUT"] == "" {
		args = append(args, "--timeout", "6")
	}
	r := c.python(ctx, dir, []string{
		"TMPDIR=" + dir,
		"RUSTUP_HOME=" + filepath.Join(dir, "rustup"), // pip asks rustc for its version, and rustup then makes its home
	}, py, append(args, what...)...)
	if noDistribution(r.Output) { // without dependencies nothing conflicts: those are words of pip's traceback
		r.findings = slices.DeleteFunc(r.findings, func(f keepwell.Finding) bool { return f.Code == "version/conflict" })
	}
	return r
}

// externallyManaged adds that pip install will be refused where the system manages this
// Python (PEP 668), and there is no virtual environment to install into.
func (c *Case) externallyManaged(ctx context.Context, py, dir string, o Outcome) Outcome {
	env := c.Settings.OS
	if !o.Works || env["VIRTUAL_ENV"] != "" || env["CONDA_PREFIX"] != "" || env["PIP_BREAK_SYSTEM_PACKAGES"] != "" || env["PIP_TARGET"] != "" || env["PIP_PREFIX"] != "" {
		return o
	}
	for _, name := range []string{".venv", "venv", "uv.lock", "poetry.lock", "Pipfile"} {
		if _, err := os.Stat(filepath.Join(c.Dir, name)); err == nil {
			return o
		}
	}
	const script = "import os, sys, sysconfig\n" +
		"p = os.path.join(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED')\n" +
		"print(p if sys.prefix == sys.base_prefix and os.path.exists(p) else '')\n"
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r := c.python(limited, dir, nil, py, "-c", script)
	marker := strings.TrimSpace(string(r.Stdout))
	if !r.ok() || marker == "" {
		return o
	}
	f := seen("local/externally-managed", keepwell.SeverityError, 0.8, c.Say("doctor.pip.marked", marker), "path", marker)
	f.Tool = "pip"
	o.State, o.Key, o.Args, o.Works, o.Findings = observe.No, "doctor.pip.managed", nil, false, []keepwell.Finding{f}
	return o
}

func noDistribution(out []byte) bool {
	return bytes.Contains(out, []byte("No matching distribution found"))
}

var lackingName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`No matching distribution found for ([A-Za-z0-9][A-Za-z0-9._-]*)`)
})

// lacking is the project of which pip found no file.
func lacking(out []byte) string {
	if m := lackingName().FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return ""
}

// sourceOnly reports whether pip found no wheel only because there are none: the index
// lists the version as a source distribution.
func (c *Case) sourceOnly(ctx context.Context, py, dir string, r toolRun, s Subject) bool {
	if !noDistribution(r.Output) || hasStatus(r.findings) {
		return false
	}
	list := c.python(ctx, dir, nil, py, "-m", "pip", "index", "versions", "--pre", "--no-input", "--disable-pip-version-check", "--retries", "0", s.Path)
	if !list.ok() {
		return false
	}
	_, versions, ok := strings.Cut(string(list.Stdout), "Available versions:")
	if !ok {
		return false
	}
	versions, _, _ = strings.Cut(versions, "\n")
	have := strings.FieldsFunc(versions, func(r rune) bool { return r == ',' || r == ' ' })
	return len(have) > 0 && (s.Version == "" || slices.Contains(have, s.Version))
}

// hasStatus reports whether something else than an absence was met.
func hasStatus(list []keepwell.Finding) bool {
	return slices.ContainsFunc(list, func(f keepwell.Finding) bool {
		return !strings.HasPrefix(string(f.Code), "version/") && !strings.HasPrefix(string(f.Code), "module/") && severity(f) == keepwell.SeverityError
	})
}

// mostLines bounds the requirements that are tried.
const mostLines = 300

// requirements are the lines of requirements.txt, or the dependencies of pyproject.toml,
// that name a project of an index. Directories, archives and repositories are left out:
// pip would run what they hold.
func (c *Case) requirements(ctx context.Context, py, dir string) ([]string, *keepwell.Finding) {
	if c.exists("requirements.txt") {
		data, err := readRegular(filepath.Join(c.Dir, "requirements.txt"), 1<<20)
		if err != nil || bytes.IndexByte(data, 0) >= 0 {
			return nil, nil
		}
		return requirementLines(string(data)), nil
	}
	const script = "import sys, tomllib\n" +
		"d = tomllib.load(open(sys.argv[1], 'rb'))\n" +
		"print('\\n'.join(x for x in d.get('project', {}).get('dependencies', []) if isinstance(x, str)))\n"
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r := c.python(limited, dir, nil, py, "-I", "-c", script, filepath.Join(absolute(c.Dir), "pyproject.toml"))
	if _, said, ok := bytes.Cut(r.Output, []byte("tomllib.TOMLDecodeError: ")); ok {
		first, _, _ := bytes.Cut(said, []byte("\n"))
		f := seen("local/go-mod-parse", keepwell.SeverityError, 0.9, "pyproject.toml: "+string(first), "path", "pyproject.toml")
		f.Tool = "pip"
		return nil, &f
	}
	if !r.ok() {
		return nil, nil
	}
	return requirementLines(string(r.Stdout)), nil
}

// requirementLines keeps what names a project or an index.
func requirementLines(text string) []string {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\uFEFF")
	text = strings.ReplaceAll(text, "\\\n", " ")
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.Index(line, " #"); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		if line == "" || line[0] == '#' || len(out) >= mostLines {
			continue
		}
		if strings.Contains(line, "${") { // pip would send a variable of this environment where the project says
			return nil
		}
		option, _, _ := strings.Cut(strings.ReplaceAll(line, "=", " "), " ")
		switch {
		case slices.Contains([]string{"-i", "--index-url", "--extra-index-url", "--trusted-host", "--no-index", "--require-hashes", "--pre"}, option):
			out = append(out, line)
		case line[0] == '-', line[0] == '.', strings.ContainsAny(line, "@/\\$"):
			continue
		default:
			out = append(out, line)
		}
	}
	if !slices.ContainsFunc(out, func(l string) bool { return l[0] != '-' }) {
		return nil
	}
	return out
}

// pipServer is the index that is set; "" where none is.
func (c *Case) pipServer() string {
	for _, e := range c.Settings.Pip {
		if e.Name == "index-url" && e.InForce {
			return strings.TrimSpace(e.Value)
		}
	}
	return ""
}

// pipIndex is where pip looks for projects.
func (c *Case) pipIndex(ctx context.Context) string {
	for _, e := range c.Settings.Pip {
		if e.Name == "no-index" && e.InForce && e.Value != "false" && e.Value != "0" {
			return ""
		}
	}
	if v := c.pipServer(); v != "" {
		return v
	}
	py := python()
	if py == "" {
		return ""
	}
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r := c.python(limited, os.TempDir(), nil, py, "-I", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
	if !r.ok() {
		return ""
	}
	return strings.TrimSpace(string(r.Stdout))
}
