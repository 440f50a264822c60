// Package goenv reads the settings that the go command fetches by, each with where
// it comes from: the OS environment (an empty variable does not count), the user's
// file (GOENV), $GOROOT/go.env, or go's default. The order is that of
// cmd/go/internal/cfg, Getenv and EnvOrAndChanged. It changes nothing.
package goenv

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
)

// Origin is where a setting's value comes from.
type Origin string

// The origins, strongest first.
const (
	FromOS      Origin = "environment"
	FromUser    Origin = "user file"
	FromGOROOT  Origin = "GOROOT/go.env"
	FromDefault Origin = "default"
)

// Setting is a value and its origin.
type Setting struct {
	Value  string
	Origin Origin
	// File is the file that sets it; empty for the environment and defaults.
	File string
}

// Env is the effective environment of one run of go, by variable.
type Env map[string]Setting

// outside are the variables that go and its tools obey but `go env` does not list.
var outside = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC", "GIT_SSH_COMMAND", "GODEBUG", "NIX_BUILD_TOP", "FLATPAK_ID", "container",
}

// Layers are the settings of each place by itself, before one outranks another.
type Layers struct {
	// OS holds the variables of the environment that are set, also to nothing.
	OS map[string]string
	// User and Root are what the user's file and $GOROOT/go.env say.
	User, Root map[string]string
	// UserFile is the user's file; "" or "off" where GOENV=off forbids one.
	UserFile, RootFile string
	// Go is what `go env` prints: the effective value of each variable it knows.
	Go map[string]string
}

// Load asks the go command found in PATH, as it would run in dir ("" is the
// current directory).
func Load(ctx context.Context, dir string) (Env, error) {
	layers, err := LoadLayers(ctx, dir)
	if err != nil {
		return nil, err
	}
	return layers.Env(), nil
}

// LoadLayers asks as [Load] does and keeps the places apart.
func LoadLayers(ctx context.Context, dir string) (Layers, error) {
	// With GOTOOLCHAIN=auto even `go env` would fetch the toolchain that go.mod names.
	env := []string{"GOTOOLCHAIN=local"}
	out, err := proc.Output(ctx, proc.Options{Dir: dir, Env: env}, "go", "env", "-json")
	mute := err != nil
	if mute { // a word that go does not know in this variable silences even go env
		var again error
		if out, again = proc.Output(ctx, proc.Options{Dir: dir, Env: append(env, "GO111MODULE=on")}, "go", "env", "-json"); again != nil {
			return Layers{}, err
		}
	}
	l := Layers{OS: Environment(), Go: map[string]string{}}
	if err := json.Unmarshal(out, &l.Go); err != nil {
		return Layers{}, fmt.Errorf("reading the output of go env -json: %w", err)
	}
	l.UserFile, l.RootFile = l.Go["GOENV"], filepath.Join(l.Go["GOROOT"], "go.env")
	if l.User, err = ReadFile(l.UserFile); err != nil {
		return Layers{}, err
	}
	if l.Root, err = ReadFile(l.RootFile); err != nil {
		return Layers{}, err
	}
	if mute {
		l.Go["GO111MODULE"] = cmp.Or(l.OS["GO111MODULE"], l.User["GO111MODULE"], l.Root["GO111MODULE"])
	}
	l.Go["GOTOOLCHAIN"] = cmp.Or(l.OS["GOTOOLCHAIN"], l.User["GOTOOLCHAIN"], l.Root["GOTOOLCHAIN"], "auto")
	return l, nil
}

// Environment is this process's environment, by variable.
func Environment() map[string]string {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" {
			vars[name] = value
		}
	}
	return vars
}

// Env is what is in force: for each variable the strongest place that sets it.
func (l Layers) Env() Env {
	env := Env{}
	for name, value := range l.Go {
		env[name] = l.origin(name, value)
	}
	for _, name := range outside {
		if v := l.OS[name]; v != "" {
			env[name] = Setting{Value: v, Origin: FromOS}
		}
	}
	return env
}

func (l Layers) origin(name, value string) Setting {
	switch {
	case l.OS[name] != "":
		return Setting{value, FromOS, ""}
	case l.User[name] != "":
		return Setting{value, FromUser, l.UserFile}
	case l.Root[name] != "":
		return Setting{value, FromGOROOT, l.RootFile}
	}
	return Setting{value, FromDefault, ""}
}

// ReadFile reads KEY=VALUE lines as go does (cfg.readEnvFile): # begins a comment
// line, nothing is quoted. A file that is absent or "off" sets nothing.
func ReadFile(name string) (map[string]string, error) {
	if name == "" || name == "off" {
		return nil, nil
	}
	data, err := plainfile.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading go's settings: %w", err)
	}
	values := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	return values, nil
}

// Value returns the value of name, "" where it is not set.
func (e Env) Value(name string) string { return e[name].Value }

// Proxy returns the first of the HTTP proxy variables that is set, upper case
// first, as golang.org/x/net/http/httpproxy reads them.
func (e Env) Proxy() (name, value string) {
	for _, n := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if v := e.Value(n); v != "" {
			return n, v
		}
	}
	return "", ""
}
