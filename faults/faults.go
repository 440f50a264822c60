// Package faults is the fault catalogue: every code that keepwell can report,
// with its owner, whether a retry helps, its cause in English and Chinese, why
// it happens, how it is mended, and an example of what the tools print.
//
// Each fault is one file, <family>/<name>.yaml, embedded in the binary and
// parsed only when asked for, so that explaining one fault does not pay for
// ninety. schema.json describes the format. The package never looks at the
// machine. To add a fault, add its file here and a fingerprint in
// internal/fingerprint/library.
package faults

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
)

//go:embed */*.yaml
var files embed.FS

// Schema is the JSON schema of a fault file.
//
//go:embed schema.json
var Schema []byte

// Text is one piece of prose in both languages.
type Text struct {
	EN string `yaml:"en"`
	ZH string `yaml:"zh"`
}

// In returns the text in lang ("zh" or anything else for English).
func (t Text) In(lang string) string {
	if lang == "zh" {
		return t.ZH
	}
	return t.EN
}

// Fault is one entry of the catalogue. Prose and commands hold placeholders;
// see [Prose] and [Command].
type Fault struct {
	Code      keepwell.Code     `yaml:"code"`
	Severity  keepwell.Severity `yaml:"severity"`
	Owner     keepwell.Owner    `yaml:"owner"`
	Retryable bool              `yaml:"retryable"`
	// DependsOn are faults that bring this one about: where one of them is
	// found too, this one is its consequence and is not shouted beside it.
	DependsOn []keepwell.Code `yaml:"depends_on,omitempty"`
	Title     Text            `yaml:"title"`
	// Cause is one sentence; no two faults share it.
	Cause    Text     `yaml:"cause"`
	Why      Text     `yaml:"why"`
	Rivals   []Rival  `yaml:"rivals,omitempty"`
	Remedies []Remedy `yaml:"remedies"`
	// Origin says whether Example is captured (a test makes the real tool print
	// it) or composed.
	Origin  string `yaml:"origin"`
	Example string `yaml:"example"`
}

// Rival is a fault whose text looks the same, and the probe that tells them apart.
type Rival struct {
	Code keepwell.Code `yaml:"code"`
	// Tools are the tools whose output the probe is for; empty: for all.
	Tools []string `yaml:"tools,omitempty"`
	Probe string   `yaml:"probe"`
	Tells Text     `yaml:"tells"`
}

// Remedy is one way to mend a fault.
type Remedy struct {
	ID string `yaml:"id"`
	// Tools are the tools that it is for (go, npm, pip, git); empty: for all. Where
	// the finding's tool is known, remedies for others are left out.
	Tools   []string        `yaml:"tools,omitempty"`
	Title   Text            `yaml:"title"`
	Command string          `yaml:"command,omitempty"`
	Safety  keepwell.Safety `yaml:"safety"`
	Undo    string          `yaml:"undo,omitempty"`
}

// The origins of an example.
const (
	Captured = "captured"
	Composed = "composed"
)

// ErrUnknown is returned for a code that is not in the catalogue.
var ErrUnknown = errors.New("no such fault code")

// Lookup returns the fault with the given code, or [ErrUnknown].
func Lookup(code keepwell.Code) (*Fault, error) {
	if err := code.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	data, err := files.ReadFile(string(code) + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, string(code))
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading fault %s: %w", code, err)
	}
	return f, nil
}

// Codes lists every code of the catalogue, families together, in order of name.
func Codes() []keepwell.Code {
	names, err := fs.Glob(files, "*/*.yaml")
	if err != nil { // only a malformed pattern can fail
		return nil
	}
	codes := make([]keepwell.Code, 0, len(names))
	for _, name := range names {
		codes = append(codes, keepwell.Code(strings.TrimSuffix(name, path.Ext(name))))
	}
	slices.Sort(codes)
	return codes
}

// All parses the whole catalogue, in the order of [Codes].
func All() ([]*Fault, error) {
	codes := Codes()
	all := make([]*Fault, 0, len(codes))
	for _, code := range codes {
		f, err := Lookup(code)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// Parse reads one fault file. Unknown keys are errors: a misspelt "retriable"
// must not be silently false.
func Parse(data []byte) (*Fault, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var f Fault
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	return &f, nil
}
