package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// flagGroup are flags that belong together, as NAME or NAME=VALUE, below a title.
type flagGroup struct {
	title string // a key of msg
	flags []string
}

// helpGroups replaces the help of a command that has many flags: in groups, in one
// language, 80 columns wide. A flag's usage is "English / 中文".
func (a *app) helpGroups(cmd *cobra.Command, groups []flagGroup) {
	cmd.Flags().BoolP("help", "h", false, "show this help / 显示此帮助")
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		lang := a.lang
		if l, err := msg.ParseLang(a.langFlag); a.langFlag != "" && err == nil {
			lang = l
		}
		writeHelp(cmd.OutOrStdout(), cmd, groups, lang)
	})
}

func writeHelp(w io.Writer, cmd *cobra.Command, groups []flagGroup, lang msg.Lang) {
	const wide = 80
	say := func(lines ...string) {
		for _, line := range lines {
			_, _ = fmt.Fprintln(w, line) // nobody reads it
		}
	}
	say(present.Wrap(inLanguage(cmd.Long, lang), wide)...)
	say("", msg.Text(lang, "help.usage"), "  "+cmd.UseLine(), "", msg.Text(lang, "help.examples"), cmd.Example)
	for _, g := range groups {
		say("", msg.Text(lang, g.title))
		for _, name := range g.flags {
			name, value, _ := strings.Cut(name, "=")
			f := cmd.Flag(name)
			if f == nil {
				continue // a test knows
			}
			const column = 25
			head := fmt.Sprintf("  --%s ", strings.TrimSpace(name+" "+value))
			for i, line := range present.Wrap(usageIn(f, lang), wide-column) {
				if i > 0 {
					head = ""
				}
				say(fmt.Sprintf("%-*s%s", column, head, line))
			}
		}
	}
}

// usageIn is the half of a usage that is in the language, with the default.
func usageIn(f *pflag.Flag, lang msg.Lang) string {
	usage := f.Usage
	if i := strings.LastIndex(usage, " / "); i >= 0 {
		usage = map[bool]string{false: usage[:i], true: usage[i+len(" / "):]}[lang == msg.ZH]
	}
	if f.DefValue == "" || f.DefValue == "false" || f.DefValue == "[]" {
		return usage
	}
	return msg.Text(lang, "help.default", usage, f.DefValue)
}

// inLanguage are the lines of a text in the language, as one.
func inLanguage(text string, lang msg.Lang) string {
	var mine []string
	for line := range strings.SplitSeq(text, "\n") {
		if han := strings.ContainsFunc(line, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han == (lang == msg.ZH) {
			mine = append(mine, line)
		}
	}
	if lang == msg.ZH {
		return strings.Join(mine, "")
	}
	return strings.Join(mine, " ")
}
