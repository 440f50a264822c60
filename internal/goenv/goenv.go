// Package goenv reads the settings that the go command fetches by, each with where
// it comes from: the OS environment (an empty variable does not count), the user's
// file (GOENV), $GOROOT/go.env, or go's default. The order is that of
// cmd/go/internal/cfg, Getenv and EnvOrAndChanged. It changes nothing.
package goenv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

// Load asks the go command found in PATH, as it would run in dir ("" is the
// current directory).
func Load(ctx context.Context, dir string) (Env, error) {
	out, err := proc.Output(ctx, proc.Options{Dir: dir}, "go", "env", "-json")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("reading the output of go env -json: %w", err)
	}
	env := Env{}
	user, err := readFile(values["GOENV"])
	if err != nil {
		return nil, err
	}
	rootFile := filepath.Join(values["GOROOT"], "go.env")
	root, err := readFile(rootFile)
	if err != nil {
		return nil, err
	}
	for name, value := range values {
		env[name] = origin(name, value, user, root, values["GOENV"], rootFile)
	}
	for _, name := range outside {
		if v := os.Getenv(name); v != "" {
			env[name] = Setting{Value: v, Origin: FromOS}
		}
	}
	return env, nil
}

func origin(name, value string, user, root map[string]string, userFile, rootFile string) Setting {
	switch {
	case os.Getenv(name) != "":
		return Setting{value, FromOS, ""}
	case user[name] != "":
		return Setting{value, FromUser, userFile}
	case root[name] != "":
		return Setting{value, FromGOROOT, rootFile}
	}
	return Setting{value, FromDefault, ""}
}

// readFile reads KEY=VALUE lines as go does (cfg.readEnvFile): # begins a comment
// line, nothing is quoted. A file that is absent or "off" sets nothing.
func readFile(name string) (map[string]string, error) {
	if name == "" || name == "off" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
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
