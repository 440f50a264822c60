package present

import (
	"fmt"
	"io"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
)

// githubHandler prints annotations for GitHub Actions
// (docs.github.com/actions/reference/workflow-commands-for-github-actions).
type githubHandler struct {
	w     io.Writer
	style Style
}

func (h *githubHandler) Handle(e keepwell.Event) error {
	found, ok := e.(keepwell.Found)
	if !ok {
		return nil
	}
	f := found.Finding
	level := map[keepwell.Severity]string{
		keepwell.SeverityError: "error", keepwell.SeverityWarning: "warning", keepwell.SeverityInfo: "notice",
	}[f.Severity]
	var text strings.Builder
	text.WriteString(Visible(f.Cause, true))
	text.WriteString(msg.Text(h.style.Lang, "verdict", msg.Text(h.style.Lang, "owner."+string(f.Owner)), retryWord(h.style.Lang, f)))
	for _, ev := range f.Evidence[:min(1, len(f.Evidence))] {
		text.WriteString("\n" + Visible(ev.Text, false))
	}
	for _, r := range f.Remedies[:min(1, len(f.Remedies))] {
		text.WriteString("\n" + msg.Text(h.style.Lang, "labelled", msg.Text(h.style.Lang, "mend"), Visible(r.Title, true)))
		if r.Command != "" {
			text.WriteString("\n  " + Visible(r.Command, true))
		}
	}
	_, err := fmt.Fprintf(h.w, "::%s title=%s::%s\n", level, property(string(f.Code)+" "+Visible(f.Title, true)), data(text.String()))
	if err != nil {
		return fmt.Errorf("writing annotations: %w", err)
	}
	return nil
}

func retryWord(lang msg.Lang, f keepwell.Finding) string {
	if f.Retryable {
		return msg.Text(lang, "retry.yes")
	}
	return msg.Text(lang, "retry.no")
}

// data escapes the message of a workflow command (actions/toolkit, escapeData):
// no newline is left that could begin another command.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// property escapes a parameter of a workflow command (actions/toolkit, escapeProperty).
func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
