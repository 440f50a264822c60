// Package rewrite plans how a Go project leaves one module path for another: the
// requirements of every module of the project, and the import paths in its sources. Of
// a source only import specs and the directives that name the path are exchanged, byte
// for byte; build tags, cgo preambles, line endings and what gofmt has made of the rest
// stay as they are. go itself completes go.mod and go.sum, in a directory aside, before
// anything is proposed ([Plan]); so what is shown is all that will change.
//
// It changes nothing: a plan is files with their bytes before and after, which package
// act makes one journalled step. It never decides that a path is to be left: its caller
// has asked a person.
//
// To rewrite another kind of file or directive, see Source (source.go) and modFile
// (gomod.go); what is only told to a person is in mentions.go.
package rewrite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/act"
)

// Kind is what becomes of a requirement.
type Kind string

// The kinds.
const (
	// Move: requirements and imports of From become those of To.
	Move Kind = "move"
	// Require: the requirement of From becomes one of To; imports are right as they are.
	Require Kind = "require"
	// Version: the requirement of From takes Version.
	Version Kind = "version"
	// Replace: From is replaced by To at Version; requirements and imports stay.
	Replace Kind = "replace"
	// Rename: the project's own module From becomes To.
	Rename Kind = "rename"
)

// Change is one replacement.
type Change struct {
	Kind     Kind
	From, To string
	// Version of To; empty means the newest that go finds. Without a meaning for Rename.
	Version string
}

// Validate reports everything that is wrong with c at once.
func (c Change) Validate() error {
	var errs []error
	if err := module.CheckImportPath(c.From); err != nil {
		errs = append(errs, err)
	}
	switch c.Kind {
	case Version:
		if c.To != "" && c.To != c.From {
			errs = append(errs, fmt.Errorf("a version of %q is asked of %q", c.From, c.To))
		}
		if c.Version == "" {
			errs = append(errs, errors.New("no version is given"))
		}
	case Move, Require, Replace, Rename:
		check := module.CheckPath
		if c.Kind == Rename {
			check = module.CheckImportPath
		}
		if err := check(c.To); err != nil {
			errs = append(errs, err)
		}
		if c.To == c.From && c.Kind != Replace {
			errs = append(errs, fmt.Errorf("%q is to become itself", c.From))
		}
	default:
		errs = append(errs, fmt.Errorf("unknown kind %q", c.Kind))
	}
	if c.Version != "" && !semver.IsValid(c.Version) {
		errs = append(errs, fmt.Errorf("%q is no version", c.Version))
	}
	return errors.Join(errs...)
}

// String is the change in short: "a => b v1.0.0".
func (c Change) String() string {
	switch {
	case c.Kind == Version:
		return c.From + " " + c.Version
	case c.Version == "":
		return c.From + " => " + c.To
	}
	return c.From + " => " + c.To + " " + c.Version
}

// Project is what is rewritten, and with what.
type Project struct {
	// Modules are the directories of its go.mod files; those of a go.work, or one.
	Modules []string
	// Work is the name of go.work; "" where none is in force.
	Work string
	// Cache is the user's module cache, which is only read; "" where it is not known.
	Cache string
	// Scratch is an empty directory of ours, which the caller removes.
	Scratch string
	// Go runs the go command in a directory, with a module cache below Scratch and
	// GOWORK=off, and returns its standard output. Its error is what go says.
	Go func(ctx context.Context, dir string, args ...string) ([]byte, error)
}

// Source is a Go file that changes.
type Source struct {
	Path string
	// Imports is how many import specs change, Directives how many comments for go.
	Imports, Directives int
	// Generated says that a program wrote it: what it writes next time is for that
	// program.
	Generated bool
	// Aliased are names that specs were given since the new package calls itself
	// otherwise.
	Aliased []string
}

// Left is a file that names From and stays as it is.
type Left struct {
	Path string
	Why  Why
}

// Why tells the reasons for leaving a file.
type Why string

// The reasons.
const (
	Unparsable Why = "unparsable" // no Go that the parser can read
	Link       Why = "link"       // a symbolic link
	NotGo      Why = "mention"    // no Go file: a person has to look
	TooLarge   Why = "too-large"
)

// Outcome is a planned change of a project.
type Outcome struct {
	Change Change
	// Files are go.mod, go.sum, go.work and sources with their bytes before and after;
	// a file that would be new (go.sum) has no Before.
	Files   []act.Edit
	Sources []Source
	Left    []Left
	// Vendored are the modules (directories) with a vendor directory, which go has to
	// make anew.
	Vendored []string
	// Builds is what the compiler says of the result.
	Builds Builds
	// Complaint is what it prints where the answer is no.
	Complaint string
}

// Builds is an answer of three.
type Builds string

// The answers.
const (
	BuildsYes     Builds = "yes"
	BuildsNo      Builds = "no"
	BuildsUnknown Builds = "not-checked"
)

// Generated counts the sources that a program wrote.
func (o Outcome) Generated() int {
	n := 0
	for _, s := range o.Sources {
		if s.Generated {
			n++
		}
	}
	return n
}

// below reports whether an import path lies in a module, or could.
func below(path, modulePath string) bool {
	return path == modulePath || strings.HasPrefix(path, modulePath) && path[len(modulePath)] == '/'
}

// paths maps the import paths of one module to those of another.
type paths struct {
	from, to, version string
	// others are modules whose paths begin with from and that are not it.
	others []string
}

// path is the import path that takes the place of another; false where it stays.
func (p paths) path(s string) (string, bool) {
	if !below(s, p.from) {
		return "", false
	}
	for _, o := range p.others {
		if below(s, o) {
			return "", false
		}
	}
	return p.to + s[len(p.from):], true
}

// Steps are the steps of package act that make the change: all files as one, then go
// makes vendor directories anew.
func (o Outcome) Steps() []act.Step {
	concern := act.Packages
	if o.Change.Kind == Rename { // what is built stays the same
		concern = act.Ordinary
	}
	steps := []act.Step{act.Edits{Target: o.Change.String(), Files: o.Files, Concern: concern}}
	for _, dir := range o.Vendored {
		steps = append(steps, act.Run{
			Dir: dir, Name: "go", Args: []string{"mod", "vendor"}, Env: []string{"GOWORK=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local"},
			Files: []string{"go.mod", "go.sum"}, Trees: []string{"vendor"}, Concern: concern,
		})
	}
	return steps
}
