package present_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// columns is the width that texts are held to.
const columns = 80

// closing must not stand at a line's start (CLReq, 禁则).
const closing = "，。、；：？！）》」』】”’…)]},;:?!%"

func cells(s string) int { return (&runewidth.Condition{}).StringWidth(s) }

// fits checks the lines of out: none is wider than the page unless it holds one of
// the commands or a URL, which are never wrapped, and none begins with a closing mark.
func fits(t *testing.T, out string, commands []string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if cells(line) > columns && !strings.Contains(line, "://") && !holdsAny(line, commands) {
			t.Errorf("%d cells: %s", cells(line), line)
		}
		if first := strings.TrimLeft(line, " "); first != "" && !holdsAny(line, commands) && strings.ContainsAny(first[:len(string([]rune(first)[0]))], closing) {
			t.Errorf("a line begins with a closing mark: %s", line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("a line ends in blanks: %q", line)
		}
	}
}

func holdsAny(line string, commands []string) bool {
	for _, c := range commands {
		if c != "" && strings.Contains(line, c) {
			return true
		}
	}
	return false
}

func commandsOf(remedies []keepwell.Remedy, rivals []keepwell.Rival) []string {
	var all []string
	for _, r := range remedies {
		all = append(append(all, strings.Split(r.Command, "\n")...), r.Undo)
	}
	for _, r := range rivals {
		all = append(all, r.Probe)
	}
	return all
}

func eachFault(t *testing.T, test func(t *testing.T, f *faults.Fault, lang msg.Lang)) {
	t.Helper()
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
			t.Run(string(f.Code)+"/"+string(lang), func(t *testing.T) {
				t.Parallel()
				test(t, f, lang)
			})
		}
	}
}

// TestEveryFaultFitsThePage holds `keepwell faults CODE` to 80 columns.
func TestEveryFaultFitsThePage(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, f *faults.Fault, lang msg.Lang) {
		e := present.NewEntry(f, lang)
		e.Example = "" // foreign text may begin as it likes; its width is looked at below
		var out bytes.Buffer
		if err := present.Explain(&out, present.Text, present.Style{Lang: lang, Width: columns}, e); err != nil {
			t.Fatal(err)
		}
		fits(t, out.String(), commandsOf(e.Remedies, e.Rivals))

		whole := present.NewEntry(f, lang)
		out.Reset()
		if err := present.Explain(&out, present.Text, present.Style{Lang: lang, Width: columns}, whole); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(out.String(), "\n") {
			if cells(line) > columns && !strings.Contains(line, "://") && !holdsAny(line, commandsOf(e.Remedies, e.Rivals)) {
				t.Errorf("%d cells: %s", cells(line), line)
			}
		}
	})
}

// pageFacts are of the length that real ones have.
func pageFacts() keepwell.Facts {
	return keepwell.Facts{
		"module": "git.example.com/platform/internal-widget-service/v2", "version": "v2.0.0-20260102030405-0123456789ab", "package": "@acme/left-widget",
		"parent": "example.com/acme/shop", "newpath": "example.com/acme/new-widget", "host": "artifactory.corp.example.com", "address": "203.0.113.7", "port": "8443",
		"url": "https://goproxy.example.org/example.com/widget/@v/v1.2.0.info", "status": "502", "phase": "dial", "proxy": "goproxy.example.org",
		"path": "~/go/pkg/mod/cache/download/example.com/widget/@v/v1.2.0.lock", "tool": "git", "goversion": "1.25.0", "running": "1.24.1",
		"revision": "release-branch.v2", "value": "https://goproxy.cn，direct", "name": "*.corp.example.com", "server": "not found: example.com/widget@v1.2.0", "scope": "git.example.com",
	}
}

// TestEveryFindingFitsThePage holds `keepwell explain` to 80 columns, with facts
// and without.
func TestEveryFindingFitsThePage(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, fault *faults.Fault, lang msg.Lang) {
		for _, facts := range []keepwell.Facts{nil, pageFacts()} {
			f := keepwell.Finding{Code: fault.Code, Confidence: 0.7, Facts: facts, Count: 3}
			for _, r := range fault.Rivals {
				f.Rivals = append(f.Rivals, keepwell.Rival{Code: r.Code})
			}
			if err := faults.Describe(&f, string(lang)); err != nil {
				t.Fatal(err)
			}
			fits(t, write(t, present.Text, present.Style{Lang: lang, Width: columns}, f, f, f), commandsOf(f.Remedies, f.Rivals))
		}
	})
}

func TestListFitsThePage(t *testing.T) {
	t.Parallel()
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
		var entries []present.Entry
		for _, f := range all {
			entries = append(entries, present.NewEntry(f, lang))
		}
		var out bytes.Buffer
		if err := present.List(&out, present.Text, present.Style{Lang: lang, Width: columns}, entries); err != nil {
			t.Fatal(err)
		}
		fits(t, out.String(), nil)
	}
}

// TestProofIsWrappedWholly: the proof is foreign text of any length; wrapping
// loses nothing of it, in whatever script, and the carets stay below their words.
func TestProofIsWrappedWholly(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"go: example.com/widget@v1.2.0: " + strings.Repeat("word ", 40) + "connection refused",
		strings.Repeat("x", 300), "致命错误：" + strings.Repeat("无法访问服务器，", 30) + "连接被拒绝", "é" + strings.Repeat("한국어", 50),
	} {
		f := keepwell.Finding{Code: "net/refused", Severity: keepwell.SeverityError, Evidence: []keepwell.Evidence{{Text: text, Line: 1, Marks: []keepwell.Span{{Start: len(text) - 3, End: len(text)}}}}}
		out := write(t, present.Text, present.Style{Width: columns}, f)
		var shown strings.Builder
		carets := 0
		for line := range strings.SplitSeq(out, "\n") {
			if cells(line) > columns {
				t.Errorf("%d cells: %s", cells(line), line)
			}
			if strings.Trim(line, " ^") == "" {
				carets += strings.Count(line, "^")
				continue
			}
			shown.WriteString(line)
		}
		if got := strings.ReplaceAll(shown.String(), " ", ""); !strings.Contains(got, strings.ReplaceAll(text, " ", "")) {
			t.Errorf("%q is not whole in\n%s", text, out)
		}
		if want := cells(text[len(text)-3:]); carets != want {
			t.Errorf("%d carets, want %d, in\n%s", carets, want, out)
		}
	}
}
