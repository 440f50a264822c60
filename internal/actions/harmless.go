package actions

import (
	"regexp"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/present"
)

// What alerts say is shown by programs that read marks in it: they call people, hide where
// a link leads, load pictures from anywhere, or take a line for a command. Here it is
// written so that they show it and do no more.

// nothing is a space without width: it parts a mark, and is not seen.
const nothing = "\u200b"

// oneBreak leaves one kind of line break.
func oneBreak(s string) string { return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s) }

var everybody = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)@(everyone|here|channel|all|\*)|<([@!]|users/)`)
})

// quietly keeps a text from calling everybody.
func quietly(text string) string {
	return everybody().ReplaceAllStringFunc(text, func(call string) string { return call[:1] + nothing + call[1:] })
}

var marks = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|[^\pL\pN._+-])@|\][(\[:]|<`) })

// uncalling keeps data from calling anybody, and from links behind other words, in chats
// that read Markdown or marks in angles. Addresses of mail stay whole.
func uncalling(data string) string {
	return marks().ReplaceAllStringFunc(data, func(mark string) string {
		switch mark[0] {
		case ']':
			return mark[:1] + nothing + mark[1:]
		default:
			return mark + nothing
		}
	})
}

var commands = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^([ \t]*)([/+=-])`) })

// inMarkdown is data for a text in Markdown. A line of a forge that begins with a slash is
// a command: /close, /move.
func inMarkdown(data string) string {
	data = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "~", `\~`,
		"|", `\|`, "#", `\#`, "$", `\$`, "!", `\!`, "&", `\&`).Replace(present.Marked(oneBreak(data)))
	return calm(commands().ReplaceAllString(data, `$1\$2`))
}

// calm keeps data from calling anybody, wherever the sign stands.
func calm(data string) string { return strings.ReplaceAll(data, "@", "@"+nothing) }

// inWiki is data for a text in the marks of Jira's own server.
func inWiki(data string) string {
	return strings.NewReplacer(`\`, "&#92;", "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`, "!", `\!`, "|", `\|`).Replace(present.Marked(oneBreak(data)))
}
