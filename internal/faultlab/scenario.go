//go:build unix

package faultlab

import (
	"context"
	"slices"

	"github.com/keepwell/keepwell"
)

// Scenario is one way to make one tool fail.
type Scenario struct {
	// Name is unique and in kebab case: the tool, then the cause.
	Name string
	// Code is the fault that the output must be diagnosed as.
	Code keepwell.Code
	// Also are codes that the text alone cannot tell from Code; empty where it
	// can.
	Also []keepwell.Code
	// Tool is the program that fails: go, git, npm or pip. A machine without it
	// skips the scenario.
	Tool string
	// Needs names what else the machine must have: further programs, or "root".
	Needs []string
	// Since is the first Go release, such as "1.16", that has what the scenario
	// breaks; older ones skip it, unless Before says what they print. Empty: every
	// release back to 1.11.
	Since string
	// Before are the codes that releases older than Since must be diagnosed as:
	// they fail in another way, or keepwell.None where nothing is wrong for them.
	Before []keepwell.Code
	// Warns says that the tool only warns and still succeeds.
	Warns bool
	// Example says that the output is the catalogue's example for Code.
	Example bool
	// Run sets the fault up, runs the tool and returns what it printed.
	Run func(ctx context.Context, lab *Lab) (output string)
}

// Scenarios lists every scenario; see the tables of the single files.
func Scenarios() []Scenario {
	return slices.Concat(
		proxyScenarios(), netScenarios(), tlsScenarios(), sumScenarios(),
		moduleScenarios(), versionScenarios(), localScenarios(),
		gitScenarios(), npmScenarios(), pipScenarios(), otherScenarios(),
	)
}
