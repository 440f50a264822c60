package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/goenv"
)

// ErrNoGo says that go could not be asked; everything else is known.
var ErrNoGo = errors.New("the go command could not be asked")

// Load looks at the machine as it is for the directory dir. Where only go is
// missing, the error is [ErrNoGo] and the rest is filled in.
func Load(ctx context.Context, dir string) (*Settings, error) {
	s := &Settings{OS: goenv.Environment(), Absent: map[string]bool{}, Env: goenv.Env{}}
	s.Home, _ = os.UserHomeDir()
	var noGo error
	layers, err := goenv.LoadLayers(ctx, dir)
	if err != nil {
		noGo = fmt.Errorf("%w: %w", ErrNoGo, err)
	} else {
		s.Go, s.Env = layers, layers.Env()
	}
	s.Gos = findGos(s.OS["PATH"])
	s.RootVersion = versionFile(s.Env.Value("GOROOT"))
	if s.Project, err = readProject(dir, s.Env.Value("GOMOD")); err != nil {
		return s, err
	}
	s.Elsewhere = s.elsewhere()
	s.Sudo = s.readSudo()
	s.Npm = s.readNpm()
	s.Pip = s.readPip()
	for _, name := range append([]string{"NETRC"}, certNames()...) {
		if v := s.OS[name]; v != "" {
			_, err := os.Stat(v)
			s.Absent[name] = err != nil
		}
	}
	return s, noGo
}

// largestFile bounds what is read of a file that people write by hand.
const largestFile = 1 << 20

func read(name string) []byte {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile))
	if err != nil {
		return nil
	}
	return data
}

// findGos lists the go commands in a PATH without running them: the version stands in
// the file VERSION of their installation.
func findGos(path string) []GoCommand {
	var out []GoCommand
	var seen []string
	name := "go"
	if runtime.GOOS == "windows" {
		name = "go.exe"
	}
	for _, dir := range filepath.SplitList(path) {
		at := filepath.Join(dir, name)
		info, err := os.Stat(at)
		if dir == "" || err != nil || !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode()&0o111 == 0 {
			continue
		}
		resolved, err := filepath.EvalSymlinks(at)
		if err != nil || slices.Contains(seen, resolved) {
			continue
		}
		seen = append(seen, resolved)
		out = append(out, GoCommand{Path: at, Version: versionFile(filepath.Dir(filepath.Dir(resolved)))})
	}
	return out
}

func versionFile(root string) string {
	if root == "" {
		return ""
	}
	first, _, _ := strings.Cut(string(read(filepath.Join(root, "VERSION"))), "\n")
	v, ok := strings.CutPrefix(strings.TrimSpace(first), "go")
	if !ok {
		return ""
	}
	return v
}

func readProject(dir, gomod string) (Project, error) {
	p := Project{Dir: dir}
	if p.Dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return p, err
		}
		p.Dir = wd
	}
	if gomod != "" && gomod != os.DevNull {
		p.Dir = filepath.Dir(gomod)
		if f, err := modfile.ParseLax(gomod, read(gomod), nil); err == nil {
			if f.Module != nil {
				p.Module = f.Module.Mod.Path
			}
			for _, r := range f.Require {
				p.Requires = append(p.Requires, r.Mod)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(p.Dir, "go.mod")); err == nil {
		p.GoModHere = info.Mode().IsRegular()
	}
	if info, err := os.Stat(filepath.Join(p.Dir, "vendor", "modules.txt")); err == nil {
		p.HasVendor = info.Mode().IsRegular()
	}
	for _, name := range glob(p.Dir, dockerfiles...) {
		if text := string(read(filepath.Join(p.Dir, name))); runsGo(text) {
			p.Dockerfiles = append(p.Dockerfiles, name)
		}
	}
	return p, nil
}

// runsGo reports whether a Dockerfile fetches modules.
func runsGo(text string) bool {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); !strings.HasPrefix(l, "#") &&
			(strings.Contains(l, "go mod download") || strings.Contains(l, "go build") || strings.Contains(l, "go install") || strings.Contains(l, "go get")) {
			return true
		}
	}
	return false
}

// The files of a project that set variables for another place than this one.
var (
	dockerfiles = []string{"Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile", "build/Dockerfile", "docker/Dockerfile"}
	composed    = []string{
		".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".circleci/config.yml", ".travis.yml",
		"azure-pipelines.yml", "docker-compose.yml", "docker-compose.yaml", "compose.yaml", ".woodpecker.yml", ".drone.yml",
		".vscode/settings.json", ".devcontainer/devcontainer.json", ".devcontainer.json",
	}
	scripts = []string{".env", ".envrc", "Makefile", "Jenkinsfile"}
)

func glob(dir string, patterns ...string) []string {
	var out []string
	for _, p := range patterns {
		names, err := fs.Glob(os.DirFS(dir), p)
		if err == nil {
			out = append(out, names...)
		}
	}
	return out
}

// comparable are the variables that decide where modules come from.
func compared() []string { return strings.Fields(goNames)[:9] }

func (s *Settings) elsewhere() []Assignment {
	var out []Assignment
	for _, kind := range []struct {
		patterns []string
		syntaxes []Syntax
	}{{dockerfiles, []Syntax{Shell, Fish}}, {composed, []Syntax{Mapped, Shell}}, {scripts, []Syntax{Shell}}} {
		for _, name := range glob(s.Project.Dir, kind.patterns...) {
			for _, a := range Assignments(read(filepath.Join(s.Project.Dir, name)), compared(), kind.syntaxes...) {
				a.File = name
				out = append(out, a)
			}
		}
	}
	return out
}

func (s *Settings) readSudo() Sudo {
	name := s.OS["SUDO_USER"]
	if name == "" || runtime.GOOS == "windows" {
		return Sudo{}
	}
	u, err := user.Lookup(name)
	if err != nil || u.HomeDir == s.Home {
		return Sudo{}
	}
	base := filepath.Join(u.HomeDir, ".config")
	if runtime.GOOS == "darwin" {
		base = filepath.Join(u.HomeDir, "Library", "Application Support")
	}
	out := Sudo{User: name, File: filepath.Join(base, "go", "env")}
	out.Values, _ = goenv.ReadFile(out.File)
	return out
}

// Places finds the lines that set name to the value now in force, in the files that
// a shell, a login, a container or a CI reads. Where none does, others are lines that
// set it in some other way, for a person to look at.
func (s *Settings) Places(name string) (same, others []Assignment) {
	for _, f := range s.placeFiles() {
		for _, a := range Assignments(read(f.path), []string{name}, f.syntaxes...) {
			a.File = f.path
			if !a.Computed && a.Value == s.OS[name] {
				same = append(same, a)
			} else {
				others = append(others, a)
			}
		}
	}
	return same, others
}

type placeFile struct {
	path     string
	syntaxes []Syntax
}

func (s *Settings) placeFiles() []placeFile {
	var out []placeFile
	add := func(dir string, syntaxes []Syntax, names ...string) {
		for _, n := range glob(dir, names...) {
			out = append(out, placeFile{filepath.Join(dir, filepath.FromSlash(n)), syntaxes})
		}
	}
	shell := []Syntax{Shell}
	if s.Home != "" {
		add(s.Home, shell, ".profile", ".bash_profile", ".bash_login", ".bashrc", ".zshenv", ".zprofile", ".zshrc", ".zlogin", ".pam_environment", ".config/environment.d/*.conf")
		add(s.Home, []Syntax{Fish}, ".config/fish/config.fish", ".config/fish/conf.d/*.fish", ".cshrc", ".tcshrc")
	}
	if runtime.GOOS != "windows" {
		add("/etc", shell, "environment", "profile", "profile.d/*.sh", "bash.bashrc", "zsh/zshenv", "zsh/zshrc")
	}
	add(s.Project.Dir, shell, ".envrc", ".env")
	switch {
	case s.OS["CI"] != "":
		add(s.Project.Dir, []Syntax{Mapped, Shell}, composed...)
		fallthrough
	case s.inContainer():
		add(s.Project.Dir, []Syntax{Shell, Fish}, dockerfiles...)
		add(s.Project.Dir, []Syntax{Mapped, Shell}, ".devcontainer/devcontainer.json", ".devcontainer.json", "docker-compose.yml", "compose.yaml")
	}
	return out
}

// inContainer: what was set there stands in a Dockerfile.
func (s *Settings) inContainer() bool {
	for _, name := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return s.OS["container"] != "" || s.OS["KUBERNETES_SERVICE_HOST"] != ""
}
