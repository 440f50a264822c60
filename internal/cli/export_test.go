package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/msg"
)

// FlagsOf are the flags of a command, sorted.
func FlagsOf(name string) []string {
	root := newRoot(&app{lang: msg.EN})
	cmd, _, err := root.Find(strings.Fields(name))
	if err != nil {
		return nil
	}
	cmd.InitDefaultHelpFlag()
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.NonInheritedFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.Sort(names)
	return names
}

// Commands are the names of all commands that the help shows, "" the root.
func Commands() []string {
	names := []string{""}
	var walk func(above string, cmd *cobra.Command)
	walk = func(above string, cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				name := strings.TrimSpace(above + " " + c.Name())
				names = append(names, name)
				walk(name, c)
			}
		}
	}
	walk("", newRoot(&app{lang: msg.EN}))
	return names
}

// Holders is who is let in to /mod/.
var Holders = holders

// MountsOfServe are the prefixes of the handlers of `serve`.
func MountsOfServe() []string { return slices.Sorted(maps.Keys((&app{lang: msg.EN}).serveMounts())) }
