// Package act changes the machine: it shows what it would do, asks, does it,
// verifies, and can undo it later. A [Plan] is a list of steps that holds wholly or
// not at all. Before each step the bytes that it will change are put aside and the
// intent is written to a journal; so a process that is killed at any point leaves
// behind what the next one needs to finish the step or to take it back.
//
// The package never decides that something is to be changed, never words anything
// for people, and never writes a secret into the journal: bytes that may hold one
// lie beside it in files that only their owner can read, the journal has their hash.
//
// To add a kind of step, write a type with the four methods of [Step] (the files
// step_*.go are the examples), name its [Kind] here, and give the kind words in
// internal/msg ("act.<kind>").
package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/keepwell/keepwell"
)

// Kind says what a step does.
type Kind string

// The kinds.
const (
	SetGo     Kind = "go-set"         // go env -w
	UnsetGo   Kind = "go-unset"       // go env -u
	EditFile  Kind = "edit"           // exact bytes of a text file
	EditFiles Kind = "edit-files"     // exact bytes of many text files
	RemoveOne Kind = "remove"         // one file
	RemoveAll Kind = "remove-dir"     // one directory
	SetMode   Kind = "chmod"          // permissions of one path
	RunTool   Kind = "run"            // a tool that changes known files
	TrustDir  Kind = "safe-directory" // git config --global --add safe.directory
	ByHand    Kind = "manual"         // nothing keepwell can do
)

// Concern is what a blanket consent (--yes) never covers.
type Concern string

// The concerns.
const (
	Ordinary  Concern = ""
	Trust     Concern = "trust"     // certificates, keys, checksums, directories of others
	Ownership Concern = "ownership" // who owns or may write files
	Packages  Concern = "packages"  // another package in the place of one
)

// Change is what a step would do, for people and for programs. All of it is masked.
type Change struct {
	Kind    Kind            `json:"kind"`
	Target  string          `json:"target"` // the variable, path or directory
	Safety  keepwell.Safety `json:"safety"`
	Concern Concern         `json:"concern,omitempty"`
	// File is what will be written; empty where a tool decides, or there are several.
	File string `json:"file,omitempty"`
	// Files is how many files will be written; 0 where File says it all.
	Files int `json:"files,omitempty"`
	// Command is what could be typed in place of the step; empty where there is none.
	Command string `json:"command,omitempty"`
	// Diff is the change of File in unified form; empty where it cannot be known before.
	Diff string `json:"diff,omitempty"`
}

// Step is one change of the machine.
type Step interface {
	// Describe looks at the machine and says what Do would change. It changes nothing.
	// An error says that the step makes no sense here.
	Describe(ctx context.Context) (Change, error)
	// Keeps names every path that Do may change, so that it can be put back.
	Keeps(ctx context.Context) ([]Keep, error)
	// Do makes the change. When it fails, what it has changed is put back.
	Do(ctx context.Context) error
	// Verify reports why the change does not hold; nil where it does.
	Verify(ctx context.Context) error
}

// Keep is a path whose state is kept for undo.
type Keep struct {
	Path string
	// ModeOnly says that only permissions are changed, such as those of a directory.
	ModeOnly bool
	// Tree says that it is a directory, all of which is kept, within bounds.
	Tree bool
	// Remade says that a tool makes it anew, such as a file of a cache: undo puts back
	// what was, whatever stands there.
	Remade bool
	// Want is the state that Do will leave, where that is known: then a process that
	// is killed in between can be finished by the next.
	Want *State
}

// Plan is a list of steps that holds wholly or not at all.
type Plan struct {
	// Command is what made the plan, such as "env".
	Command string
	// Note tells the changes of a command apart for people: "GOPROXY".
	Note  string
	Steps []Step
}

// Preview describes every step of the plan: the dry run.
func (p Plan) Preview(ctx context.Context) ([]Change, error) {
	changes := make([]Change, 0, len(p.Steps))
	for _, s := range p.Steps {
		c, err := s.Describe(ctx)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// Consent decides on one change. It is asked for every change of a plan before the
// first is made; manual ones are not asked for, since they are never made.
type Consent func(ctx context.Context, c Change) (bool, error)

// Policy builds the usual consent: what is safe needs none; what asks is covered by
// yes unless it concerns trust, ownership or packages; the rest is asked for. Where
// ask is nil there is nobody to ask: [ErrNeedsApproval].
func Policy(yes bool, ask Consent) Consent {
	return func(ctx context.Context, c Change) (bool, error) {
		switch {
		case c.Safety == keepwell.SafetySafe && c.Concern == Ordinary, c.Safety == keepwell.SafetyAsks && yes && c.Concern == Ordinary:
			return true, nil
		case ask == nil:
			return false, fmt.Errorf("%s %s: %w", c.Kind, c.Target, ErrNeedsApproval)
		}
		return ask(ctx, c)
	}
}

// The errors that callers tell apart.
var (
	ErrNeedsApproval = errors.New("needs approval, and there is nobody to ask")
	ErrDeclined      = errors.New("declined")
	ErrManual        = errors.New("can only be done by hand")
	ErrBusy          = errors.New("another keepwell is changing this machine")
	ErrNothing       = errors.New("there is no change to undo")
	ErrExpired       = errors.New("the bytes for undo are no longer kept")
)

// ChangedError says that a file is no longer as keepwell left it, so that undo
// would destroy somebody's work.
type ChangedError struct {
	Path string
	// Diff is what undo would change in it, masked.
	Diff string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s has been changed since, and is left as it is", e.Path)
}

// Mode is a file's permissions in the journal.
type Mode = fs.FileMode
