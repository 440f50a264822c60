package fingerprint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
)

// Source is one entry as it is written in library/*.yaml.
type Source struct {
	ID         string            `yaml:"id"`
	Code       keepwell.Code     `yaml:"code"`
	Anchors    []string          `yaml:"anchors"`
	Pattern    string            `yaml:"pattern,omitempty"`
	Unless     []string          `yaml:"unless,omitempty"`
	Needs      []string          `yaml:"needs,omitempty"`
	Where      string            `yaml:"where,omitempty"`
	Tier       string            `yaml:"tier,omitempty"`
	Confidence float64           `yaml:"confidence"`
	Over       []keepwell.Code   `yaml:"over,omitempty"`
	Rivals     []keepwell.Code   `yaml:"rivals,omitempty"`
	Severity   keepwell.Severity `yaml:"severity,omitempty"`
	Phase      string            `yaml:"phase,omitempty"`
	// Match are whole texts, as a tool prints them, that must be diagnosed as Code.
	Match []string `yaml:"match"`
	// Reject are texts in which this entry must not decide.
	Reject []string `yaml:"reject,omitempty"`
}

var (
	tiers  = map[string]Tier{"": Cause, "cause": Cause, "outer": Outer, "weak": Weak}
	wheres = map[string]Where{"": Local, "local": Local, "remote": Remote, "any": Any}
	needs  = map[string]Needs{"fetch": Fetch, "go": Go, "npm": Npm, "pip": Pip, "git": Git, "sumdb": Sumdb, "public": Public, "pathed": Pathed}
)

// ReadSources parses every *.yaml of fsys and checks each entry on its own. All
// problems are reported at once.
func ReadSources(fsys fs.FS) ([]Source, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the library: %w", err)
	}
	var all []Source
	var errs []error
	seen := map[string]string{}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		list, err := ParseSources(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		for _, s := range list {
			if first, twice := seen[s.ID]; twice {
				errs = append(errs, fmt.Errorf("%s: entry %s stands in %s already", name, s.ID, first))
			}
			seen[s.ID] = name
		}
		all = append(all, list...)
	}
	return all, errors.Join(errs...)
}

// ParseSources parses one library file: a YAML list of entries. Unknown keys are
// errors.
func ParseSources(data []byte) ([]Source, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var list []Source
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	var errs []error
	for _, s := range list {
		if _, err := s.Entry(); err != nil {
			errs = append(errs, err)
		}
	}
	return list, errors.Join(errs...)
}

// Entry compiles s, reporting everything that is wrong with it.
func (s Source) Entry() (Entry, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("entry %q: "+format, append([]any{s.ID}, args...)...))
	}
	e := Entry{
		ID: s.ID, Code: s.Code, Pattern: s.Pattern, Unless: s.Unless,
		Confidence: s.Confidence, Over: s.Over, Rivals: s.Rivals, Severity: s.Severity, Phase: s.Phase,
	}
	if s.ID == "" {
		bad("no id")
	}
	if err := s.Code.Validate(); err != nil {
		bad("%w", err)
	}
	if len(s.Anchors) == 0 {
		bad("no anchors: name a literal that stands in every text it matches")
	}
	for _, a := range s.Anchors {
		if len(a) < 4 {
			bad("anchor %q is shorter than 4 bytes", a)
		}
		e.Anchors = append(e.Anchors, strings.ToLower(a))
	}
	for _, expr := range append([]string{s.Pattern}, s.Unless...) {
		re, err := regexp.Compile("(?im)" + expr)
		if err != nil {
			bad("%w", err)
			continue
		}
		for _, name := range re.SubexpNames() {
			if name != "" && !isFact(name) {
				bad("group %q is no fact", name)
			}
		}
	}
	var ok bool
	if e.Tier, ok = tiers[s.Tier]; !ok {
		bad("tier %q is none of cause, outer, weak", s.Tier)
	}
	if e.Where, ok = wheres[s.Where]; !ok {
		bad("where %q is none of local, remote, any", s.Where)
	}
	for _, n := range s.Needs {
		bit, ok := needs[n]
		if !ok {
			bad("need %q is none of fetch, go, npm, pip, git, sumdb, public, pathed", n)
		}
		e.Needs |= bit
	}
	if !(s.Confidence > 0 && s.Confidence <= 1) { // so that NaN is refused too
		bad("confidence %v is outside 0..1", s.Confidence)
	}
	if s.Severity != "" {
		if err := s.Severity.Validate(); err != nil {
			bad("%w", err)
		}
	}
	if len(s.Match) < 2 {
		bad("%d texts to match; at least two are needed", len(s.Match))
	}
	return e, errors.Join(errs...)
}

func isFact(name string) bool {
	for _, k := range keepwell.FactKinds() {
		if k.Name == name {
			return true
		}
	}
	return false
}
