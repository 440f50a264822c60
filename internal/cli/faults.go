package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/spelling"
)

type faultsOptions struct {
	code   string // "" lists
	family string
	owner  string
	text   string
}

func newFaultsCmd(a *app) *cobra.Command {
	var o faultsOptions
	cmd := &cobra.Command{
		Use:     "faults [CODE]",
		Short:   "List the faults that keepwell knows, or explain one / 列出 keepwell 认识的故障，或说明其中一种",
		Example: "  keepwell faults\n  keepwell faults tls/unknown-authority\n  keepwell faults --owner you --text proxy",
		Args:    atMostOne,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			for _, c := range faults.Codes() {
				codes = append(codes, string(c))
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.code = args[0]
			}
			return runFaults(a, o)
		},
	}
	cmd.Flags().StringVar(&o.family, "family", "", "only this family, such as tls / 只看这一类，例如 tls")
	cmd.Flags().StringVar(&o.owner, "owner", "", "only faults that this owner can mend: you, network, proxy, registry, host, author / 只看由该责任方处理的故障：you、network、proxy、registry、host、author")
	cmd.Flags().StringVar(&o.text, "text", "", "only faults whose texts or example hold these words, in either language / 只看文字或示例中含有这些词的故障，中英文均可")
	return cmd
}

func runFaults(a *app, o faultsOptions) error {
	if o.code != "" && !slices.Contains(families(), o.code) {
		return explainFault(a, keepwell.Code(o.code))
	}
	if o.code != "" {
		o.family = o.code
	}
	if o.owner != "" {
		if err := keepwell.Owner(o.owner).Validate(); err != nil {
			return misused("err.owner", o.owner, names(keepwell.Owners()))
		}
	}
	if o.family != "" && !slices.Contains(families(), o.family) {
		return misused("err.family", o.family, strings.Join(families(), ", "))
	}
	all, err := faults.All()
	if err != nil {
		return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
	}
	entries := []present.Entry{}
	for _, f := range all {
		if o.admits(f) {
			entries = append(entries, present.NewEntry(f, a.lang))
		}
	}
	return shown(a, present.List(a.out, present.Format(a.format), a.style(), entries))
}

func (o faultsOptions) admits(f *faults.Fault) bool {
	if o.family != "" && f.Code.Family() != o.family || o.owner != "" && string(f.Owner) != o.owner {
		return false
	}
	words := strings.ToLower(strings.Join([]string{
		string(f.Code), f.Title.EN, f.Title.ZH, f.Cause.EN, f.Cause.ZH, f.Why.EN, f.Why.ZH, f.Example,
	}, "\n"))
	return strings.Contains(words, strings.ToLower(o.text))
}

func explainFault(a *app, code keepwell.Code) error {
	f, err := faults.Lookup(code)
	if err != nil {
		hint, args := "faults.listhint", []any(nil)
		if near := nearest(string(code)); near != "" {
			hint, args = "faults.suggest", []any{near}
		}
		return &failure{exit: exitUsage, key: "err.code", args: []any{string(code)}, hint: hint, hintArgs: args, unwrapped: err}
	}
	e := present.NewEntry(f, a.lang)
	for i, r := range e.Rivals {
		if other, err := faults.Lookup(r.Code); err == nil {
			e.Rivals[i].Title = faults.Prose(other.Title.In(string(a.lang)), nil)
		}
	}
	return shown(a, present.Explain(a.out, present.Format(a.format), a.style(), e))
}

// shown tells a format that does not fit from a failure to write.
func shown(a *app, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, present.ErrFormat):
		return misused("err.listformat", a.format)
	}
	return &failure{exit: exitError, key: "err.write", args: []any{err}, unwrapped: err}
}

func families() []string {
	var list []string
	for _, c := range faults.Codes() {
		if !slices.Contains(list, c.Family()) {
			list = append(list, c.Family())
		}
	}
	return list
}

// nearest returns the code most like what was typed, or "" where none is: the one
// with the same name in another family, or within three edits.
func nearest(typed string) string {
	typed = strings.ToLower(strings.TrimSpace(typed))
	name := typed[strings.LastIndexByte(typed, '/')+1:]
	best, least := "", 4
	for _, c := range faults.Codes() {
		if name == c.Name() {
			return string(c)
		}
		if d := min(spelling.Distance(typed, string(c)), spelling.Distance(typed, c.Name())); d < least {
			best, least = string(c), d
		}
	}
	return best
}
