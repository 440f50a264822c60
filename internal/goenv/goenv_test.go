package goenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keepwell/keepwell/internal/goenv"
)

// TestOrigins holds the order of places to the real go: the environment, unless empty,
// then the user's file, then $GOROOT/go.env, then the default.
func TestOrigins(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	if err := os.WriteFile(file, []byte("# a comment\nGOPROXY=https://file.example\nGOSUMDB=off\nGOTOOLCHAIN=path\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A toolchain that nobody has must neither be fetched nor stop the answer.
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.999.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"GOENV": file, "GOPROXY": "https://os.example", "GOSUMDB": "", "GOTOOLCHAIN": "", "GOFLAGS": "", "GOPRIVATE": "a.example", "GONOPROXY": "", "HTTPS_PROXY": "http://127.0.0.1:1"} {
		t.Setenv(name, value)
	}
	l, err := goenv.LoadLayers(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	env := l.Env()
	for name, want := range map[string]goenv.Setting{
		"GOPROXY":     {Value: "https://os.example", Origin: goenv.FromOS},
		"GOSUMDB":     {Value: "off", Origin: goenv.FromUser, File: file},
		"GOTOOLCHAIN": {Value: "path", Origin: goenv.FromUser, File: file},
		"GONOPROXY":   {Value: "a.example", Origin: goenv.FromDefault},
		"GOFLAGS":     {Origin: goenv.FromDefault},
		"HTTPS_PROXY": {Value: "http://127.0.0.1:1", Origin: goenv.FromOS},
	} {
		if env[name] != want {
			t.Errorf("%s is %+v, want %+v", name, env[name], want)
		}
	}
	if l.User["GOPROXY"] != "https://file.example" {
		t.Errorf("the file's own value is lost: %v", l.User)
	}
	if name, v := env.Proxy(); name != "HTTPS_PROXY" || v == "" {
		t.Errorf("proxy %s %s", name, v)
	}
}
