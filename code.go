package keepwell

import (
	"fmt"
	"slices"
	"strings"
)

// Code is the stable name of a fault: a family and a name in lower case,
// joined by a slash, such as "tls/expired". Codes are never renamed once
// released; scripts and dashboards hold on to them.
type Code string

// None is the code of text that holds no dependency fault (a compile error, a
// failing test). It is never reported as a finding.
const None Code = "none/other"

// Family returns the part before the slash, such as "tls".
func (c Code) Family() string {
	family, _, _ := strings.Cut(string(c), "/")
	return family
}

// Name returns the part after the slash, such as "expired".
func (c Code) Name() string {
	_, name, _ := strings.Cut(string(c), "/")
	return name
}

// Validate reports whether c has the shape family/name.
func (c Code) Validate() error {
	family, name, ok := strings.Cut(string(c), "/")
	if !ok || !isKebab(family) || !isKebab(name) {
		return fmt.Errorf("fault code %q is not of the form family/name in lower case", string(c))
	}
	return nil
}

// isKebab reports whether s is words of a-z and 0-9 joined by single hyphens.
func isKebab(s string) bool {
	for word := range strings.SplitSeq(s, "-") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return true
}

// Severity says how much a finding matters: error (the command failed because
// of it), warning (it will), info (hygiene that caused no failure).
type Severity string

// The severities, most serious first.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Rank orders severities: 0 is the most serious. Unknown values rank last.
func (s Severity) Rank() int {
	switch s {
	case SeverityError:
		return 0
	case SeverityWarning:
		return 1
	case SeverityInfo:
		return 2
	}
	return 3
}

// Validate reports whether s is one of the three severities.
func (s Severity) Validate() error {
	if s.Rank() == 3 {
		return fmt.Errorf("severity %q is none of error, warning, info", string(s))
	}
	return nil
}

// Owner is who can mend a fault.
type Owner string

// The owners.
const (
	OwnerYou      Owner = "you"      // the reader: environment, go.mod, credentials, machine
	OwnerNetwork  Owner = "network"  // whoever runs the network between here and the server
	OwnerProxy    Owner = "proxy"    // the operator of the module proxy or package mirror
	OwnerRegistry Owner = "registry" // the operator of the registry or checksum database
	OwnerHost     Owner = "host"     // the host of the source code (GitHub, a vanity server)
	OwnerAuthor   Owner = "author"   // the author of the dependency
)

// Owners lists every owner, for validation and completion.
func Owners() []Owner {
	return []Owner{OwnerYou, OwnerNetwork, OwnerProxy, OwnerRegistry, OwnerHost, OwnerAuthor}
}

// Validate reports whether o is a known owner.
func (o Owner) Validate() error {
	if slices.Contains(Owners(), o) {
		return nil
	}
	return fmt.Errorf("owner %q is none of %v", string(o), Owners())
}
