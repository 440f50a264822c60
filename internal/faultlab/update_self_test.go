//go:build unix

package faultlab

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const faultFile = `# a comment that stays
code: net/dns
why:
  en: >-
    Folded text
    stays folded.
origin: composed
example: |
  the old one

  of two paragraphs
`

// TestWithExample writes texts of every awkward shape and reads them back.
func TestWithExample(t *testing.T) {
	for name, text := range map[string]string{
		"plain":         "go: no such host\n",
		"tabs":          "go: reading:\n\tserver response:\n\t\tnot found\n",
		"blank lines":   "one\n\n\ntwo\n",
		"leading space": "  indented first\nthen not\n",
		"leading blank": "\n> app@1.0.0 build\n",
		"yaml in it":    "example: |\n  # no comment\norigin: elsewhere\n",
	} {
		t.Run(name, func(t *testing.T) {
			edited, err := withExample([]byte(faultFile), text)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Origin, Example string }
			if err := yaml.Unmarshal(edited, &got); err != nil {
				t.Fatalf("%v in\n%s", err, edited)
			}
			if got.Example != text || got.Origin != "captured" {
				t.Errorf("read back %q of origin %q, want %q", got.Example, got.Origin, text)
			}
			if !strings.HasPrefix(string(edited), "# a comment that stays\n") || !strings.Contains(string(edited), "    Folded text\n") {
				t.Errorf("the rest of the file has changed:\n%s", edited)
			}
		})
	}
}

func TestWithExampleRefuses(t *testing.T) {
	for name, file := range map[string]string{
		"no example":       "code: net/dns\norigin: composed\n",
		"no origin":        "code: net/dns\nexample: |\n  text\n",
		"example not last": faultFile + "retryable: true\n",
	} {
		if _, err := withExample([]byte(file), "text\n"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
