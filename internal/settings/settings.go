// Package settings knows what decides where go, npm and pip fetch from: every
// setting with its value and the place that it comes from, and what is wrong with
// it. Looking ([Load]) is kept apart from judging: a lint is a pure function of
// [Settings].
//
// It asks no server, changes nothing, and lets no credential out: those of .npmrc
// and pip.conf are dropped where they are read, all other values are masked in
// [Settings.Groups] and [Lint].
//
// To add a lint, write a function in the file of its tool (lint_*.go), its line in
// the table lints, words for "lint.<id>" in internal/msg/env.go, and a row in
// lint_test.go.
package settings

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
)

// Settings is all that is known. The zero value knows nothing and has no lint.
type Settings struct {
	// Go and Env are the settings of go; both empty where there is no go command.
	Go  goenv.Layers
	Env goenv.Env
	// OS is the environment of the process.
	OS map[string]string
	// Gos are the go commands in PATH; the first is the one that runs.
	Gos []GoCommand
	// RootVersion is the version of what GOROOT points to, such as "1.26.0"; "" unknown.
	RootVersion string
	Project     Project
	// Npm and Pip are the settings of the other two, strongest place first.
	Npm, Pip []Entry
	// Elsewhere are the same settings in files of the project that hold in another
	// place: a Dockerfile, a CI file, an editor.
	Elsewhere []Assignment
	// Absent are the variables that name a file or directory which does not exist.
	Absent map[string]bool
	// Sudo is set where this process runs as another user than the one who called it.
	Sudo Sudo
	// Home is shown as "~".
	Home string
}

// GoCommand is a go command in PATH.
type GoCommand struct {
	Path    string `json:"path"`
	Version string `json:"version"` // such as "1.26.8"; "" unknown
}

// Project is what of the directory's project matters here.
type Project struct {
	// Dir is the directory of go.mod, or the current one.
	Dir string
	// Module is the main module's path; "" where there is none.
	Module string
	// Requires are the modules that go.mod requires.
	Requires []module.Version
	// GoModHere says that there is a go.mod, although GO111MODULE=off hides it.
	GoModHere bool
	// HasVendor says that there is a vendor directory.
	HasVendor bool
	// Dockerfiles are those that run go, relative to Dir.
	Dockerfiles []string
}

// Sudo is who called sudo.
type Sudo struct {
	User string // "" where sudo is not at work or HOME was kept
	// File is that user's own file of go settings, Values what it sets.
	File   string
	Values map[string]string
}

// Entry is one setting of npm or pip in one place.
type Entry struct {
	Name string
	// Value is "" for credentials: see Credential.
	Value string
	// Place is "environment", "project", "user", "site" or "global".
	Place string
	File  string // "" for the environment
	Line  int
	// InForce says that no stronger place sets the same name.
	InForce bool
	// Credential is the kind of a credential ("token", "password", …), "" for other
	// settings; Host is whom it is for, "" where it has none.
	Credential, Host string
	// Literal says that the credential stands there itself; else it is the name of a
	// variable (${NPM_TOKEN}), and Unset that this is not set.
	Literal, Unset bool
}

// Row is a setting as it is shown: masked, with its place.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Origin is "environment", "user file", "GOROOT/go.env", "default", "project",
	// "user", "site", "global" or "derived" (it follows from another setting).
	Origin string `json:"origin"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	// Hides are weaker places that set something else.
	Hides []Row `json:"hides,omitempty"`
	// Credential is the kind of a credential; its value is never shown.
	Credential string `json:"credential,omitempty"`
	Host       string `json:"host,omitempty"`
}

// Group is rows that belong together.
type Group struct {
	// Name is "go", "network", "git", "npm" or "pip".
	Name string `json:"name"`
	Rows []Row  `json:"settings"`
	// Unset are the variables that nobody sets and that have no default.
	Unset []string `json:"unset"`
}

// The variables, by group, most decisive first.
const (
	goNames = "GOPROXY GONOPROXY GOPRIVATE GOSUMDB GONOSUMDB GOINSECURE GOVCS GOAUTH GOFLAGS GOTOOLCHAIN " +
		"GO111MODULE GOWORK GOENV GOMODCACHE GOCACHE GOROOT GODEBUG"
	networkNames = "HTTPS_PROXY HTTP_PROXY NO_PROXY ALL_PROXY https_proxy http_proxy no_proxy all_proxy " +
		"SSL_CERT_FILE SSL_CERT_DIR NETRC"
	gitNames = "GIT_SSH GIT_SSH_COMMAND GIT_SSL_CAINFO GIT_SSL_NO_VERIFY GIT_CONFIG_GLOBAL GIT_ASKPASS SSH_AUTH_SOCK " +
		"GIT_TERMINAL_PROMPT GIT_PROXY_COMMAND GIT_CONFIG_COUNT"
)

// GoNames are go's own variables, those that `go env -w` may know.
func GoNames() []string { return strings.Fields(goNames) }

// Names are all variables of the environment that are shown.
func Names() []string { return strings.Fields(goNames + " " + networkNames + " " + gitNames) }

// Groups are the settings for showing.
func (s *Settings) Groups() []Group {
	return []Group{
		s.variables("go", goNames), s.variables("network", networkNames), s.variables("git", gitNames),
		s.entries("npm", s.Npm), s.entries("pip", s.Pip),
	}
}

func (s *Settings) variables(group, list string) Group {
	g := Group{Name: group, Rows: []Row{}, Unset: []string{}}
	for name := range strings.FieldsSeq(list) {
		if row, ok := s.row(name); ok {
			g.Rows = append(g.Rows, row)
		} else if name == strings.ToUpper(name) { // the lower-case forms say the same
			g.Unset = append(g.Unset, name)
		}
	}
	if group == "go" && len(s.Go.Go) == 0 { // nobody could say what is not set
		g.Unset = []string{}
	}
	return g
}

func (s *Settings) row(name string) (Row, bool) {
	set, known := s.Env[name]
	if !known {
		set = goenv.Setting{Value: s.OS[name], Origin: goenv.FromOS}
	}
	if set.Value == "" {
		return Row{}, false
	}
	r := Row{Name: name, Value: s.masked(name, set.Value), Origin: string(set.Origin), File: s.tilde(set.File)}
	if private := s.Env.Value("GOPRIVATE"); set.Origin == goenv.FromDefault && private != "" && (name == "GONOPROXY" || name == "GONOSUMDB") {
		r.Origin = "derived"
	}
	for _, weaker := range []struct {
		origin goenv.Origin
		values map[string]string
		file   string
	}{{goenv.FromUser, s.Go.User, s.Go.UserFile}, {goenv.FromGOROOT, s.Go.Root, s.Go.RootFile}} {
		if v := weaker.values[name]; v != "" && v != set.Value && set.Origin == goenv.FromOS && weaker.origin == goenv.FromUser {
			r.Hides = append(r.Hides, Row{Name: name, Value: s.masked(name, v), Origin: string(weaker.origin), File: s.tilde(weaker.file)})
		}
	}
	return r, true
}

func (s *Settings) entries(group string, list []Entry) Group {
	g := Group{Name: group, Rows: []Row{}, Unset: []string{}}
	at := map[string]int{}
	for _, e := range list {
		r := Row{Name: e.Name, Value: s.masked(e.Name, e.Value), Origin: e.Place, File: s.tilde(e.File), Line: e.Line, Credential: e.Credential, Host: e.Host}
		i, ok := at[e.Name]
		if ok && e.InForce { // a later line of the same file outranks what was shown
			hidden := g.Rows[i]
			hidden.Hides = nil
			r.Hides = slices.Concat(g.Rows[i].Hides, []Row{hidden})
			g.Rows[i] = r
			continue
		}
		if ok {
			if r.Value == g.Rows[i].Value && r.Credential == "" {
				continue
			}
			g.Rows[i].Hides = append(g.Rows[i].Hides, r)
			continue
		}
		at[e.Name] = len(g.Rows)
		g.Rows = append(g.Rows, r)
	}
	return g
}

// masked masks a value as what it is: some names alone say that a value is secret.
func (s *Settings) masked(name, value string) string {
	text := mask.Text(name + "=" + s.tilde(value))
	if rest, ok := strings.CutPrefix(text, name+"="); ok {
		return rest
	}
	return mask.Text(value)
}

// tilde puts "~" in the place of the home directory, also an unusual one.
func (s *Settings) tilde(path string) string {
	if s.Home == "" || s.Home == "/" {
		return mask.Text(path)
	}
	if path == s.Home {
		return "~"
	}
	sep := string(filepath.Separator)
	return mask.Text(strings.ReplaceAll(path, s.Home+sep, "~"+sep))
}

// With is s with one variable set in the environment: the world of --what-if and of
// validation. go env -w has the same effect where no variable is in the way.
func (s *Settings) With(name, value string) *Settings {
	out := *s
	out.OS, out.Env = map[string]string{}, goenv.Env{}
	for k, v := range s.OS {
		out.OS[k] = v
	}
	for k, v := range s.Env {
		out.Env[k] = v
	}
	out.OS[name] = value
	set := goenv.Setting{Value: value, Origin: goenv.FromOS}
	if value == "" { // an empty variable does not count
		set = s.below(name)
	}
	out.Env[name] = set
	if name == "GOPRIVATE" {
		for _, follows := range []string{"GONOPROXY", "GONOSUMDB"} {
			if out.Env[follows].Origin == goenv.FromDefault || out.Env[follows].Value == "" {
				out.Env[follows] = goenv.Setting{Value: set.Value, Origin: goenv.FromDefault}
			}
		}
	}
	return &out
}

// below is what holds of name where neither the environment nor the user's file sets it.
func (s *Settings) below(name string) goenv.Setting {
	if v := s.Go.Root[name]; v != "" {
		return goenv.Setting{Value: v, Origin: goenv.FromGOROOT, File: s.Go.RootFile}
	}
	v := ""
	switch name {
	case "GONOPROXY", "GONOSUMDB":
		v = s.Env.Value("GOPRIVATE")
	case "GOAUTH":
		v = "netrc"
	}
	return goenv.Setting{Value: v, Origin: goenv.FromDefault}
}
