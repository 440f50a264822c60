package cli

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/msg"
)

// FlagsOf are the flags of a command, sorted.
func FlagsOf(name string) []string {
	root := newRoot(&app{lang: msg.EN})
	cmd, _, err := root.Find([]string{name})
	if err != nil {
		return nil
	}
	cmd.InitDefaultHelpFlag()
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.NonInheritedFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.Sort(names)
	return names
}
