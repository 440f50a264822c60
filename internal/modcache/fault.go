package modcache

import (
	"io/fs"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
)

// Kind is a kind of damage.
type Kind string

// The kinds.
const (
	KindZip        Kind = "zip"             // no archive: cut short, a page, another module's
	KindZipContent Kind = "zip-content"     // a file in it is not what its checksum says
	KindZipSum     Kind = "zip-sum"         // whole, but not the one that is vouched for
	KindHash       Kind = "ziphash"         // the hash beside the archive is another's, or none
	KindHashGone   Kind = "ziphash-missing" // no hash beside the archive
	KindTree       Kind = "tree"            // a file of the directory is not the archive's
	KindTreeGone   Kind = "tree-missing"    // a file is missing in the directory
	KindTreeMore   Kind = "tree-extra"      // a file is in the directory that the archive has not
	KindTreeSum    Kind = "tree-sum"        // without an archive: not the directory that the hash is of
	KindTreeAlone  Kind = "tree-alone"      // a directory that nothing can vouch for: go unpacks it anew
	KindPartial    Kind = "partial"         // unpacking was broken off
	KindMod        Kind = "mod"             // no go.mod: a page, cut short, without a module line
	KindModSum     Kind = "mod-sum"         // another go.mod than is vouched for
	KindModGone    Kind = "mod-missing"     // no go.mod beside the archive
	KindInfo       Kind = "info"            // no JSON, or of another version
	KindList       Kind = "list"            // the list of versions is a page
	KindLock       Kind = "lock"            // no lock that go could take, or one of nothing
	KindLeftover   Kind = "leftover"        // what a killed process was writing
	KindIrregular  Kind = "irregular"       // a link, a directory or a device where a file belongs
	KindPermission Kind = "permission"      // its owner may not read it, or go not write beside it
	KindOwner      Kind = "owner"           // it belongs to somebody else
	KindSumdb      Kind = "sumdb"           // a stored answer of a checksum database that is none
	KindCloneLock  Kind = "clone-lock"      // a lock that a killed git left in a clone
	KindClone      Kind = "clone"           // a clone that was broken off before it knew its repository
	KindUnreadable Kind = "unreadable"      // the system refuses to read it
)

// Action is what a mend does with a path.
type Action string

// The actions.
const (
	ActRemove    Action = "remove"
	ActRemoveDir Action = "remove-dir"
	ActWrite     Action = "write"
	ActChmod     Action = "chmod"
	ActByHand    Action = "manual"
)

// Mend is one thing that mends a fault.
type Mend struct {
	Action Action      `json:"action"`
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	// Data is what is written; it is never secret.
	Data string `json:"data,omitempty"`
}

// Fault is one damage.
type Fault struct {
	Kind     Kind              `json:"kind"`
	Severity keepwell.Severity `json:"severity"`
	// Module and Version are whose; empty for what belongs to none.
	Module  string `json:"module,omitempty"`
	Version string `json:"version,omitempty"`
	// Path is the file or directory at fault, Detail the first of several in it, or what a
	// library said of it.
	Path   string `json:"path"`
	Detail string `json:"detail,omitempty"`
	// Want is the sum that Source vouches for ("go.sum", "sumdb", ".ziphash", "archive"),
	// Got the one that was found.
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
	Source string `json:"source,omitempty"`
	// Mends are what to do; none where a person has to look.
	Mends []Mend `json:"mends"`
	// Fetch says that something is missing afterwards that go would fetch when it is next
	// wanted.
	Fetch bool `json:"fetch"`
}

// Mod is the version that the fault is about.
func (f Fault) Mod() module.Version { return module.Version{Path: f.Module, Version: f.Version} }

// severityOf: an error makes go fail or build from other bytes; a warning is what go
// would set right by itself, with the network; info is only untidy.
func severityOf(k Kind) keepwell.Severity {
	switch k {
	case KindHashGone, KindModGone, KindInfo, KindList, KindPartial, KindTreeAlone:
		return keepwell.SeverityWarning
	case KindLeftover, KindLock:
		return keepwell.SeverityInfo
	}
	return keepwell.SeverityError
}
