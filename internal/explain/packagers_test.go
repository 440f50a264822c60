package explain

import (
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/normalise"
)

func split(text string) []*Statement {
	var all []*Statement
	Split(normalise.Lines(text, 1), func(s *Statement) { all = append(all, s) })
	return all
}

// TestQuotedOutput: what a package manager quotes of a build or install script is
// one statement, headlines in it or not.
func TestQuotedOutput(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"pip": `  error: subprocess-exited-with-error

  × Getting requirements to build wheel did not run successfully.
  │ exit code: 1
  ╰─> [3 lines of output]
      ERROR: the widget is not there

      error: nor its header
      [end of output]`,
		"yarn": `error /srv/shop/node_modules/left-cli: Command failed.
Exit code: 1
Command: node ./scripts/install.js
Arguments:
Directory: /srv/shop/node_modules/left-cli
Output:
Error: the widget is not there

Error: nor its header`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := split(text)
			last := all[len(all)-1].Text
			if !strings.Contains(last, "the widget is not there") || !strings.Contains(last, "nor its header") {
				t.Errorf("the quotation was split into %d statements; the last is:\n%s", len(all), last)
			}
		})
	}
}

// TestWhoInstalls: the line before, or npm's report after, tells whose words they are.
func TestWhoInstalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, statement string
		want                  fingerprint.Needs
	}{
		{"progress of pip", "Collecting left-widget\nKilled\n", "Killed", fingerprint.Pip},
		{"command of pip", "$ pip install left-widget\nKilled\n", "Killed", fingerprint.Pip},
		{"command of npm", "$ npm ci\nKilled\n", "Killed", fingerprint.Npm},
		{"yarn alone", "$ yarn\nKilled\n", "Killed", fingerprint.Npm},
		{"a script is no installation", "$ npm test\nKilled\n", "Killed", 0},
		{"an install script failed", "Error: spawn cmake ENOENT\nnpm ERR! left-native@1.0.0 install: `cmake-js`\n", "Error: spawn cmake ENOENT", fingerprint.Npm},
		{"another script failed", "Error: spawn cmake ENOENT\nnpm ERR! shop@1.0.0 start: `node server.js`\n", "Error: spawn cmake ENOENT", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range split(c.text) {
				if s.Text != c.statement {
					continue
				}
				if got := s.Needs() & (fingerprint.Npm | fingerprint.Pip); got != c.want {
					t.Errorf("needs %b, want %b", got, c.want)
				}
				return
			}
			t.Errorf("no statement %q", c.statement)
		})
	}
}

// TestSingleSpaced: a paste with a blank line behind each line is read as if it had none.
func TestSingleSpaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"each line", "first\n\nsecond\n\nthird\n\nfourth\n", 1},
		{"paragraphs", "first\nsecond\n\nthird\nfourth\n", 2},
	} {
		if got := len(split(c.text)); got != c.want {
			t.Errorf("%s: %d statements, want %d", c.name, got, c.want)
		}
	}
}
