package modpolicy

import (
	"errors"
	"fmt"
	goversion "go/version"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Toolchain is the module of which go's own toolchains are versions. Constraints compare
// the version of go there: v0.0.1-go1.25.3.linux-amd64 is 1.25.3.
const Toolchain = "golang.org/toolchain"

// Versions is a set of versions: those that fit any of the ranges. nil: all.
type Versions []Range

// Range are comparisons that must hold together.
type Range struct {
	text  string
	terms []term
}

type term struct {
	op string // <, <=, >, >=, =, != or a word
	// semver is "v1.2.3" and gover "go1.2.3", each "" where the version is none.
	semver, gover string
}

// Words that stand for kinds of versions.
const (
	preRelease = "pre-release"
	pseudo     = "pseudo"
	release    = "release"
)

func (r Range) String() string { return r.text }

// ParseVersions reads ranges, each of which may hold several with || between them.
func ParseVersions(list []string) (Versions, error) {
	var all Versions
	for _, item := range list {
		for part := range strings.SplitSeq(item, "||") {
			r := Range{text: strings.Join(strings.Fields(part), " ")}
			for word := range strings.FieldsSeq(part) {
				t, err := parseTerm(word)
				if err != nil {
					return nil, err
				}
				r.terms = append(r.terms, t)
			}
			if len(r.terms) == 0 {
				return nil, errors.New("an empty range of versions; leave versions out for all")
			}
			all = append(all, r)
		}
	}
	return all, nil
}

func parseTerm(word string) (term, error) {
	switch word {
	case preRelease, pseudo, release:
		return term{op: word}, nil
	}
	t := term{op: "="}
	number := word
	for _, op := range []string{"<=", ">=", "!=", "<", ">", "="} {
		if rest, ok := strings.CutPrefix(word, op); ok {
			t.op, number = op, rest
			break
		}
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(number, "go"), "v")
	if v := "v" + bare; semver.IsValid(v) && !strings.HasPrefix(number, "go") {
		t.semver = v
	}
	if v := "go" + bare; goversion.IsValid(v) {
		if goversion.Lang(v) == v { // as with modules, 1.25 is its first release, not what came before
			v += ".0"
		}
		t.gover = v
	}
	switch {
	case t.semver == "" && t.gover == "":
		return t, fmt.Errorf("version %q: want such as <1.2.3, >=2.0.0, 1.2.3, %s, %s or %s", word, preRelease, pseudo, release)
	case (t.op == "=" || t.op == "!=") && strings.Count(bare, ".") < 2 && t.semver != "":
		return t, fmt.Errorf("version %q: want all three numbers; for a range write >=1.2.0 <1.3.0", word)
	}
	return t, nil
}

// Match tells whether the version of the module is in the set.
func (v Versions) Match(path, version string) bool {
	if len(v) == 0 {
		return true
	}
	for _, r := range v {
		if r.match(path, version) {
			return true
		}
	}
	return false
}

func (r Range) match(path, version string) bool {
	for _, t := range r.terms {
		if !t.match(path, version) {
			return false
		}
	}
	return true
}

// onlyGo says that a bound of the range is one of go's versions and no module's.
func (r Range) onlyGo() bool {
	for _, t := range r.terms {
		if t.gover != "" && t.semver == "" {
			return true
		}
	}
	return false
}

func (t term) match(path, version string) bool {
	if path == Toolchain {
		return t.matchGo(version)
	}
	switch t.op {
	case preRelease:
		return semver.Prerelease(version) != "" && !module.IsPseudoVersion(version)
	case pseudo:
		return module.IsPseudoVersion(version)
	case release:
		return semver.Prerelease(version) == ""
	}
	return t.semver != "" && t.holds(semver.Compare(version, t.semver))
}

func (t term) matchGo(version string) bool {
	v := GoVersion(version)
	stable := v != "" && !strings.Contains(v, "rc") && !strings.Contains(v, "beta")
	switch t.op {
	case preRelease:
		return v != "" && !stable
	case pseudo:
		return false
	case release:
		return stable
	}
	return v != "" && t.gover != "" && t.holds(goversion.Compare(v, t.gover))
}

func (t term) holds(order int) bool {
	switch t.op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "!=":
		return order != 0
	}
	return order == 0
}

// GoVersion is the version of go in one of Toolchain, "go1.25.3"; "" where it has none.
func GoVersion(version string) string {
	name, ok := strings.CutPrefix(version, "v0.0.1-")
	if !ok {
		return ""
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return ""
	}
	if v := name[:dot]; goversion.IsValid(v) {
		return v
	}
	return ""
}

// wellFormed reports globs that path.Match cannot read.
func wellFormed(pattern string) error {
	_, err := path.Match(pattern, "")
	return err
}
