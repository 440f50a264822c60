package settings_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/settings"
)

func put(t *testing.T, mode os.FileMode, text string, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// TestLoad looks at a home and a project made up of files, with the real go.
func TestLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of a unix system")
	}
	root := t.TempDir()
	home, project := filepath.Join(root, "home"), filepath.Join(root, "project")
	put(t, 0o644, "GOPROXY=https://goproxy.example.org\n", home, "goenv")
	put(t, 0o644, "export GOSUMDB=off\nexport GOSUMDB=\"$OTHER\"\n", home, ".bashrc")
	put(t, 0o644, "set -gx GOSUMDB off\n", home, ".config", "fish", "config.fish")
	put(t, 0o600, "registry=https://npm.example.org\nregistry=https://last.example.org\n", home, ".npmrc")
	put(t, 0o600, "registry=https://project.example.org\n", project, ".npmrc")
	put(t, 0o644, "{}", project, "package.json")
	put(t, 0o644, "[global]\nindex-url=https://one.example.org\n", home, ".config", "pip", "pip.conf")
	put(t, 0o644, "module example.com/m\n\nrequire example.com/x v1.0.0\n", project, "go.mod")
	put(t, 0o644, "x", project, "vendor", "modules.txt")
	put(t, 0o644, "FROM golang\nENV GOPROXY=off\nRUN go build\n", project, "Dockerfile")
	put(t, 0o644, "FROM alpine\n", project, "Dockerfile.web")
	put(t, 0o644, "{\n  \"go.toolsEnvVars\": {\n    \"GOFLAGS\": \"-tags=x\"\n  }\n}", project, ".vscode", "settings.json")
	put(t, 0o755, "#!/bin/sh\n", root, "old", "bin", "go")
	put(t, 0o644, "go1.19.8\ntime x\n", root, "old", "VERSION")
	for name, value := range map[string]string{
		"HOME": home, "GOENV": filepath.Join(home, "goenv"), "GOPROXY": "", "GOSUMDB": "off", "GOFLAGS": "", "XDG_CONFIG_HOME": "", "GOTOOLCHAIN": "",
		"PATH":                os.Getenv("PATH") + string(filepath.ListSeparator) + filepath.Join(root, "old", "bin"),
		"PIP_EXTRA_INDEX_URL": "https://two.example.org", "NETRC": filepath.Join(root, "none"), "VIRTUAL_ENV": "", "PIP_CONFIG_FILE": "",
		"npm_config_strict_ssl": "false", "SUDO_USER": "",
	} {
		t.Setenv(name, value)
	}
	s, err := settings.Load(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Project; p.Module != "example.com/m" || len(p.Requires) != 1 || !p.HasVendor || !slices.Equal(p.Dockerfiles, []string{"Dockerfile"}) {
		t.Errorf("project %+v", p)
	}
	if n := len(s.Gos); n < 2 || s.Gos[n-1].Version != "1.19.8" {
		t.Errorf("go commands %+v", s.Gos)
	}
	same, others := s.Places("GOSUMDB")
	var at []string
	for _, a := range same {
		at = append(at, filepath.Base(a.File))
	}
	if !slices.Equal(at, []string{".bashrc", "config.fish"}) || len(others) != 1 {
		t.Errorf("places %+v, others %+v", same, others)
	}
	var elsewhere []string
	for _, a := range s.Elsewhere {
		elsewhere = append(elsewhere, a.File+" "+a.Name+"="+a.Value)
	}
	if !slices.Equal(elsewhere, []string{"Dockerfile GOPROXY=off", ".vscode/settings.json GOFLAGS=-tags=x"}) {
		t.Errorf("elsewhere %v", elsewhere)
	}
	shown := map[string]string{}
	for _, g := range s.Groups() {
		for _, r := range g.Rows {
			hides := ""
			for _, h := range r.Hides {
				hides += " hides " + h.Value
			}
			shown[g.Name+" "+r.Name] = r.Value + " " + r.Origin + " " + r.File + hides
		}
	}
	for name, want := range map[string]string{
		"go GOPROXY":          "https://goproxy.example.org user file ~/goenv",
		"go GOSUMDB":          "off environment ",
		"npm registry":        "https://project.example.org project " + project + "/.npmrc hides https://npm.example.org hides https://last.example.org",
		"npm strict-ssl":      "false environment ",
		"pip index-url":       "https://one.example.org user ~/.config/pip/pip.conf",
		"pip extra-index-url": "https://two.example.org environment ",
	} {
		if !strings.HasPrefix(shown[name], want) {
			t.Errorf("%s is %q, want %q", name, shown[name], want)
		}
	}
	if !s.Absent["NETRC"] {
		t.Error("NETRC does not exist")
	}
}
