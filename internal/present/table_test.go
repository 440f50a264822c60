package present_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// TestTableAligns: the last column begins at the same place in all lines, whatever the
// script; what is too wide is cut, what would disturb a terminal is made visible.
func TestTableAligns(t *testing.T) {
	t.Parallel()
	style := present.Style{Lang: msg.ZH, Width: 80}
	lines := present.Table(style, []present.Column{{Title: "镜像", Most: 8}, {Title: "延迟", Right: true}, {Title: "|"}}, []present.Row{
		{Cells: []string{"short", "5 ms", "|"}},
		{Cells: []string{"a very long name", "1234 ms", "|"}},
		{Cells: []string{"清华\x1b[31m", "1 ms", "|"}},
	})
	var out bytes.Buffer
	if err := present.Outline(&out, style, lines); err != nil {
		t.Fatal(err)
	}
	at := -1
	for line := range strings.Lines(out.String()) {
		before, _, ok := strings.Cut(line, "|")
		w := runewidth.StringWidth(before)
		if !ok || at >= 0 && w != at || strings.Contains(line, "\x1b") {
			t.Errorf("not aligned: %q", out.String())
		}
		at = w
	}
	if !strings.Contains(out.String(), "a very …") {
		t.Errorf("not cut: %s", out.String())
	}
}
