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

// groupsOf is where a command keeps its groups: cobra has no better place.
type groupsOf map[*cobra.Command][]flagGroup

// helpGroups orders the help of a command that has many flags.
func (a *app) helpGroups(cmd *cobra.Command, groups []flagGroup) {
	if a.groups == nil {
		a.groups = groupsOf{}
	}
	a.groups[cmd] = groups
}

// helpInOneLanguage replaces cobra's help for all commands: in one language, 80 columns
// wide. A Short or a flag's usage is "English / 中文", a Long has lines in both.
func (a *app) helpInOneLanguage(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		lang := a.lang
		if l, err := msg.ParseLang(a.langFlag); a.langFlag != "" && err == nil {
			lang = l
		}
		groups, ok := a.groups[cmd]
		if !ok {
			groups = plainGroups(cmd)
		}
		writeHelp(cmd.OutOrStdout(), cmd, groups, lang)
	})
}

// plainGroups are the flags of a command, and those of all commands.
func plainGroups(cmd *cobra.Command) []flagGroup {
	own, all := flagGroup{title: "help.flags"}, flagGroup{title: "help.all"}
	named := func(f *pflag.Flag) string { return f.Name + "=" + valueName(f) }
	root := cmd.Root()
	cmd.Flags().SortFlags = false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" && root.PersistentFlags().Lookup(f.Name) == nil {
			own.flags = append(own.flags, named(f))
		}
	})
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { all.flags = append(all.flags, named(f)) })
	if all.flags = append(all.flags, "help"); cmd == root {
		all.flags = append(all.flags, "version")
	}
	return []flagGroup{own, all}
}

// valueName is what stands for a flag's value: what its usage has in backquotes, what
// flags of the name take, or a word for its type.
func valueName(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	switch {
	case value == "":
		return ""
	case usage != f.Usage:
		return strings.ToUpper(value)
	}
	if word, ok := map[string]string{
		"upstream": "LIST", "dir": "DIR", "format": "FORM", "lang": "LANG", "color": "WHEN", "output": "FILE", "since": "FILE", "sum": "FILE", "har": "FILE",
		"config": "FILE", "bundle": "FILE", "listen": "ADDRESS", "proxy": "URL",
	}[f.Name]; ok {
		return word
	}
	switch f.Value.Type() {
	case "duration":
		return "TIME"
	case "int", "uint", "float64":
		return "N"
	}
	return "VALUE"
}

const helpWide = 80

// folded breaks long command lines, each break behind a mark.
func folded(example, mark string) []string {
	const indent = "      "
	var lines []string
	for line := range strings.SplitSeq(example, "\n") {
		for len(line) > helpWide {
			at := strings.LastIndexByte(line[:helpWide-len(mark)+1], ' ')
			if at <= len(indent) {
				break
			}
			lines, line = append(lines, line[:at]+mark), indent+line[at+1:]
		}
		lines = append(lines, line)
	}
	return lines
}

func writeHelp(w io.Writer, cmd *cobra.Command, groups []flagGroup, lang msg.Lang) {
	say := func(lines ...string) {
		for _, line := range lines {
			_, _ = fmt.Fprintln(w, line) // nobody reads it
		}
	}
	long := inLanguage(cmd.Long, lang)
	if long == "" {
		long = half(cmd.Short, lang)
	}
	say(present.Wrap(long, helpWide)...)
	use := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		use = cmd.CommandPath() + " COMMAND [flags]"
	}
	say("", msg.Text(lang, "help.usage"))
	say(folded("  "+use, "")...)
	if cmd.Example != "" {
		say("", msg.Text(lang, "help.examples"))
		say(folded(cmd.Example, " \\")...)
	}
	if cmd.HasAvailableSubCommands() {
		say("", msg.Text(lang, "help.commands"))
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				const column = 13
				say(hanging("  "+c.Name()+" ", half(c.Short, lang), column)...)
			}
		}
	}
	for _, g := range groups {
		if len(g.flags) == 0 {
			continue
		}
		say("", msg.Text(lang, g.title))
		for _, name := range g.flags {
			name, value, _ := strings.Cut(name, "=")
			f := cmd.Flag(name)
			if f == nil || f.Hidden {
				continue // a test knows
			}
			const column = 25
			if value != "" && f.NoOptDefVal != "" {
				value = "[=" + value + "]"
			} else if value != "" {
				value = " " + value
			}
			head := "  --" + name + value + " "
			if f.Shorthand != "" && f.Name != "help" && f.Name != "version" {
				head = "  -" + f.Shorthand + ", --" + name + value + " "
			}
			say(hanging(head, usageIn(f, lang), column)...)
		}
	}
}

// hanging is text behind head, its lines in one column.
func hanging(head, text string, column int) []string {
	var lines []string
	for i, line := range present.Wrap(text, helpWide-column) {
		if i == 0 && len(head) > column {
			lines = append(lines, strings.TrimRight(head, " "))
		}
		if i > 0 || len(head) > column {
			head = ""
		}
		lines = append(lines, fmt.Sprintf("%-*s%s", column, head, line))
	}
	return lines
}

// usageIn is the half of a usage that is in the language, with the default.
func usageIn(f *pflag.Flag, lang msg.Lang) string {
	switch f.Name {
	case "help":
		return msg.Text(lang, "help.help")
	case "version":
		return msg.Text(lang, "help.version")
	}
	_, usage := pflag.UnquoteUsage(f)
	usage = half(usage, lang)
	switch f.DefValue {
	case "", "false", "[]", "0", "0s":
		return usage
	}
	if strings.Contains(usage, f.DefValue+")") || strings.Contains(usage, f.DefValue+"）") { // it has it
		return usage
	}
	return msg.Text(lang, "help.default", usage, strings.Trim(f.DefValue, "[]"))
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }

// half is the part of "English / 中文", or of two lines, that is in the language; all of
// what has one language only.
func half(text string, lang msg.Lang) string {
	en, zh, ok := strings.Cut(text, "\n")
	if i := strings.LastIndex(text, " / "); !ok && i >= 0 {
		en, zh, ok = text[:i], text[i+len(" / "):], true
	}
	switch {
	case !ok || !strings.ContainsFunc(zh, isHan):
		return text
	case lang == msg.ZH:
		return zh
	}
	return en
}

// inLanguage are the lines of a text in the language, as one.
func inLanguage(text string, lang msg.Lang) string {
	var mine []string
	for line := range strings.SplitSeq(text, "\n") {
		if han := strings.ContainsFunc(line, isHan); han == (lang == msg.ZH) {
			mine = append(mine, line)
		}
	}
	if lang == msg.ZH {
		return strings.Join(mine, "")
	}
	return strings.Join(mine, " ")
}
