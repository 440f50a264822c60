package moved

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
)

// Ecosystem is whose names are meant.
type Ecosystem string

// The ecosystems.
const (
	Go   Ecosystem = "go"
	Npm  Ecosystem = "npm"
	PyPI Ecosystem = "pypi"
)

// Kind is what happened to a name: why it cannot be fetched, or soon will not be.
type Kind string

// The kinds.
const (
	// Typo: a known name is one slip of the hand away, in the host, the owner or the name.
	Typo Kind = "typo"
	// Case: the same name in other letters' case.
	Case Kind = "case"
	// Major: /vN is missing, superfluous or another; gopkg.in's .vN alike.
	Major Kind = "major"
	// Nested: the path is a package within the module To; or a module in a subdirectory
	// whose tags need that directory's prefix (then To is From).
	Nested Kind = "nested"
	// Version: the module is there, that version is not; To is From.
	Version Kind = "version"
	// Retracted: the version is there, and its author took it back; To is From.
	Retracted Kind = "retracted"
	// Renamed: the code lives under another path: its go.mod, its host or its server says so.
	Renamed Kind = "renamed"
	// Deprecated means that the author has given it up and may name a successor.
	Deprecated Kind = "deprecated"
	// Deleted: the place of the code is gone; somebody still has copies.
	Deleted Kind = "deleted"
	// Archived: the code is there, and nobody works on it any more.
	Archived Kind = "archived"
	// Registry: the name is there, at another registry or index than the one asked.
	Registry Kind = "registry"
)

// Mend is what is to be done about it.
type Mend string

// The mends.
const (
	// UpdatePath: the requirement and the imports below From become those below To.
	UpdatePath Mend = "update-path"
	// UpdateVersion: the requirement of From takes Version.
	UpdateVersion Mend = "update-version"
	// GetOther: the imports are right; the requirement of From goes, To comes.
	GetOther Mend = "get-other"
	// KeepCopy: vendor it, replace it by a fork or a directory, or put it into a bundle,
	// while there is a copy.
	KeepCopy Mend = "keep-copy"
	// UseRegistry: the name is right; At is the registry or index that has it.
	UseRegistry Mend = "use-registry"
	// MarkAbandoned: nothing to change now; later commands shall know.
	MarkAbandoned Mend = "mark-abandoned"
	// AskOwner: only the owner can do something (tag, restore, publish).
	AskOwner Mend = "ask-owner"
)

// Proposal is one way out. It is always put to a person, never carried out by itself:
// a name that is near is also what an attacker registers.
type Proposal struct {
	Ecosystem Ecosystem
	Kind      Kind
	// From is the name as it was asked; To the one to use in its place, From itself where
	// only the version changes, empty where there is none (KeepCopy, MarkAbandoned, AskOwner).
	// Both are module paths, or packages of npm and PyPI.
	From, To string
	// FromVersion is the version asked; empty where none was. Version is the one of To that
	// exists and is proposed; empty means whatever the tool chooses.
	FromVersion, Version string
	// Reason says why, in the reader's language.
	Reason msg.Reason
	// Evidence is what was read or answered. Never empty.
	Evidence []keepwell.Evidence
	// Confidence is between 0 and 1: how sure it is that To is what was meant.
	Confidence float64
	Mend       Mend
	// At is the registry or index, for UseRegistry; empty else.
	At string
	// Caution, where it is not zero, is what to look at before agreeing: To is much less
	// known than what the project uses.
	Caution msg.Reason
}

// Validate reports everything that is wrong with p at once.
func (p Proposal) Validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf("proposal: "+format, args...)) }
	if p.From == "" {
		say("no name to start from")
	}
	if p.Confidence < 0 || p.Confidence > 1 {
		say("confidence %v is outside 0..1", p.Confidence)
	}
	if len(p.Evidence) == 0 {
		say("no evidence")
	}
	if p.Reason.Key == "" {
		say("no reason")
	}
	switch p.Mend {
	case UpdatePath, GetOther:
		if p.To == "" || p.To == p.From {
			say("%s from %q to %q", p.Mend, p.From, p.To)
		}
	case UpdateVersion:
		if p.To != p.From || p.Version == "" || p.Version == p.FromVersion {
			say("%s of %q to %q from %q to %q", p.Mend, p.From, p.To, p.FromVersion, p.Version)
		}
	case UseRegistry:
		if p.At == "" || p.To != p.From {
			say("%s at %q", p.Mend, p.At)
		}
	case KeepCopy, MarkAbandoned, AskOwner:
	default:
		say("unknown mend %q", p.Mend)
	}
	return errors.Join(errs...)
}

// ordered puts the surest first and keeps one of those that propose the same.
func ordered(list []Proposal) []Proposal {
	slices.SortStableFunc(list, func(a, b Proposal) int { return cmp.Compare(b.Confidence, a.Confidence) })
	var out []Proposal
	for _, p := range list {
		same := func(o Proposal) bool { return o.To == p.To && o.Version == p.Version && o.Mend == p.Mend }
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].Evidence = append(slices.Clone(out[i].Evidence), p.Evidence...)
			continue
		}
		out = append(out, p)
	}
	return out
}
