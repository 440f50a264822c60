// Package marks reads and writes keepwell.marks.yaml: what a team knows of dependencies
// that nobody can mend from here, such as one that is abandoned. The file lies beside
// go.work, go.mod or another manifest and is committed with them, so that everybody's
// keepwell says the same.
//
// The reader is strict: what it does not know, it refuses, with the line. It asks nobody
// and changes nothing; [Add] and [Remove] return the new text, which package act writes.
// docs/marks.md has the format for people.
package marks

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// Name of the file.
const Name = "keepwell.marks.yaml"

// The bounds of a file.
const (
	largest  = 1 << 20
	mostText = 1000
	mostList = 20
)

// State is what is known of a dependency.
type State string

// The states.
const (
	// Abandoned: nobody works on it, or its code is gone; nothing here can change that.
	Abandoned State = "abandoned"
	// Accepted: it is as it should not be, and the team lives with it for now.
	Accepted State = "accepted"
)

// Mark is what is known of one dependency.
type Mark struct {
	// Ecosystem is go, npm or pypi.
	Ecosystem string `yaml:"ecosystem" json:"ecosystem"`
	// Name is a module path or a package; Version what it is about, empty for all.
	Name    string `yaml:"name" json:"name"`
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	State   State  `yaml:"state" json:"state"`
	// Why in a sentence, for people.
	Why string `yaml:"why" json:"why"`
	// By who, as they call themselves; empty where nobody said.
	By string `yaml:"by,omitempty" json:"by,omitempty"`
	// Since is the day of the mark; Until the day from which it is to be looked at again,
	// empty for never. Both are dates as in 2026-11-23.
	Since string `yaml:"since" json:"since"`
	Until string `yaml:"until,omitempty" json:"until,omitempty"`
	// Instead is what to take in its place, as far as anybody knows.
	Instead string `yaml:"instead,omitempty" json:"instead,omitempty"`
	// Owner is who could do something.
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`
	// Evidence is what was seen: what a server answered, a link.
	Evidence []string `yaml:"evidence,omitempty" json:"evidence,omitempty"`
}

// Over reports whether the day to look at the mark again has come.
func (m Mark) Over(now time.Time) bool {
	until, err := time.Parse(time.DateOnly, m.Until)
	return err == nil && !now.Before(until)
}

// File is the marks of one project.
type File struct {
	// Path is where it lies, or would.
	Path string
	// Text is what it holds; nil where there is none.
	Text  []byte
	Marks []Mark
}

// ErrFormat says that a file is not of the format; what is wrong with it is before it.
var ErrFormat = errors.New("not in the format of docs/marks.md")

// document is the file as YAML.
type document struct {
	Version int    `yaml:"version"`
	Marks   []Mark `yaml:"marks"`
}

// Find reads the file of the project around dir: the nearest upwards, not beyond the
// directory of the repository. Without one, Path is where it belongs: beside go.work,
// go.mod or another manifest, the nearest of these, else in dir.
func Find(dir string) (File, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return File{}, err
	}
	beside := ""
	for at := abs; ; at = filepath.Dir(at) {
		name := filepath.Join(at, Name)
		if _, err := os.Lstat(name); err == nil {
			return Read(name)
		}
		if manifest(at) && (beside == "" || exists(filepath.Join(at, "go.work"))) {
			beside = at
		}
		if exists(filepath.Join(at, ".git")) || filepath.Dir(at) == at {
			break
		}
	}
	if beside == "" {
		beside = abs
	}
	return File{Path: filepath.Join(beside, Name)}, nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func manifest(dir string) bool {
	return slices.ContainsFunc([]string{"go.work", "go.mod", "package.json", "pyproject.toml", "requirements.txt"}, func(n string) bool { return exists(filepath.Join(dir, n)) })
}

// Read reads a file, which must be there and of the format.
func Read(name string) (File, error) {
	f := File{Path: name}
	info, err := os.Lstat(name)
	if err != nil {
		return f, err
	}
	if !info.Mode().IsRegular() {
		return f, &fs.PathError{Op: "read", Path: name, Err: plainfile.ErrNotRegular}
	}
	if info.Size() > largest {
		return f, &fs.PathError{Op: "read", Path: name, Err: plainfile.ErrTooLarge}
	}
	if f.Text, err = plainfile.Read(name); err != nil {
		return f, err
	}
	if f.Marks, err = Parse(f.Text); err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Parse reads a text, and reports all that is wrong with it at once.
func Parse(text []byte) ([]Mark, error) {
	if len(text) > largest {
		return nil, fmt.Errorf("%d bytes: %w", len(text), plainfile.ErrTooLarge)
	}
	var d document
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	var more any
	errs := []error{}
	if dec.Decode(&more) == nil {
		errs = append(errs, errors.New("more than one document"))
	}
	if d.Version != 1 {
		errs = append(errs, fmt.Errorf("version %d: only 1 is known", d.Version))
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	lines := linesOf(&root)
	for i, m := range d.Marks {
		if err := m.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", lines[i], err))
		}
		if j := slices.IndexFunc(d.Marks[:i], m.same); j >= 0 {
			errs = append(errs, fmt.Errorf("line %d: %s stands in line %d already", lines[i], m.Name, lines[j]))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", errors.Join(errs...), ErrFormat)
	}
	return d.Marks, nil
}

// linesOf are the lines in which the marks begin.
func linesOf(root *yaml.Node) []int {
	var out []int
	if list := listOf(root); list != nil {
		for _, n := range list.Content {
			out = append(out, n.Line)
		}
	}
	return out
}

// listOf is the list of marks; nil where there is none.
func listOf(root *yaml.Node) *yaml.Node {
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	top := root.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		if top[i].Value == "marks" && top[i+1].Kind == yaml.SequenceNode {
			return top[i+1]
		}
	}
	return nil
}

// same reports a mark of the same thing.
func (m Mark) same(o Mark) bool {
	return m.Ecosystem == o.Ecosystem && m.Name == o.Name && m.Version == o.Version
}

// Validate reports everything that is wrong with m at once.
func (m Mark) Validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	kind := "package"
	switch m.Ecosystem {
	case "go":
		kind = "module"
	case "npm", "pypi":
	default:
		say("ecosystem %q: go, npm or pypi", m.Ecosystem)
	}
	if !keepwell.ValidFact(kind, m.Name) {
		say("name %q is no %s", m.Name, kind)
	}
	if m.Version != "" && !keepwell.ValidFact("version", m.Version) {
		say("version %q is none", m.Version)
	}
	if m.State != Abandoned && m.State != Accepted {
		say("state %q: %s or %s", m.State, Abandoned, Accepted)
	}
	if strings.TrimSpace(m.Why) == "" {
		say("why is empty")
	}
	if _, err := time.Parse(time.DateOnly, m.Since); err != nil {
		say("since %q is no date like 2026-11-23", m.Since)
	}
	if _, err := time.Parse(time.DateOnly, m.Until); m.Until != "" && err != nil {
		say("until %q is no date like 2026-11-23", m.Until)
	}
	if len(m.Evidence) > mostList {
		say("%d pieces of evidence: at most %d", len(m.Evidence), mostList)
	}
	for _, s := range append([]string{m.Why, m.By, m.Instead, m.Owner}, m.Evidence...) {
		if len(s) > mostText {
			say("a text of %d bytes: at most %d", len(s), mostText)
		}
	}
	return errors.Join(errs...)
}

// Of are the marks that tell of a version of a dependency; "" asks for any.
func (f File) Of(ecosystem, name, version string) []Mark {
	var out []Mark
	for _, m := range f.Marks {
		if m.Ecosystem == ecosystem && m.Name == name && (m.Version == "" || version == "" || m.Version == version) {
			out = append(out, m)
		}
	}
	return out
}

const heading = `# What this project knows of dependencies that cannot be mended from here.
# keepwell reads it and says so; commit it. The format: keepwell's docs/marks.md
version: 1
`

// Add is the text with one more mark, in the place of one of the same thing; comments stay.
func (f File) Add(m Mark) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return f.changed(m, true)
}

// ErrNone says that there is no such mark.
var ErrNone = errors.New("there is no such mark")

// Remove is the text without the marks of a dependency.
func (f File) Remove(ecosystem, name, version string) ([]byte, error) {
	if !slices.ContainsFunc(f.Marks, func(m Mark) bool { return m.same(Mark{Ecosystem: ecosystem, Name: name, Version: version}) }) {
		return nil, fmt.Errorf("%s: %w", name, ErrNone)
	}
	return f.changed(Mark{Ecosystem: ecosystem, Name: name, Version: version}, false)
}

func (f File) changed(m Mark, add bool) ([]byte, error) {
	text := f.Text
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte(heading)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	list := listOf(&root)
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		top := root.Content[0]
		// `marks:` without a list may stand there.
		top.Content = slices.DeleteFunc(top.Content, func(n *yaml.Node) bool { return n.Value == "marks" || n.Tag == "!!null" })
		top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "marks"}, list)
	}
	at := slices.IndexFunc(f.Marks, m.same)
	var node yaml.Node
	if add {
		if err := node.Encode(m); err != nil {
			return nil, err
		}
	}
	switch {
	case add && at >= 0:
		list.Content[at] = &node
	case add:
		list.Content = append(list.Content, &node)
	default:
		list.Content = slices.Delete(list.Content, at, at+1)
	}
	if len(list.Content) == 0 {
		list.Style = yaml.FlowStyle
	} else {
		list.Style = 0
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&root), enc.Close()); err != nil {
		return nil, err
	}
	if _, err := Parse(out.Bytes()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
