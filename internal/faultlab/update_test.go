//go:build unix

package faultlab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
)

var originLine = regexp.MustCompile(`(?m)^origin: .*$`)

// writeExample puts a captured text into the catalogue below dir. It edits the
// file's text and not its YAML, so that comments and folding stay as written;
// example must be the last key.
func writeExample(dir string, code keepwell.Code, shown string) error {
	name := filepath.Join(dir, filepath.FromSlash(string(code))+".yaml")
	old, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading the fault %s: %w", code, err)
	}
	edited, err := withExample(old, brief(shown))
	if err != nil {
		return fmt.Errorf("editing %s: %w", name, err)
	}
	if bytes.Equal(old, edited) {
		return nil
	}
	return os.WriteFile(name, edited, 0o644)
}

// chatter are lines that say nothing about the fault, or name the machine.
var chatter = regexp.MustCompile(`^(?:gyp info |gyp ERR! (?:stack +at |System |cwd |command )|npm warn Unknown )`)

// longest is how many lines of an example a reader is shown.
const longest = 16

// brief leaves chatter out, and of what is still long the middle.
func brief(shown string) string {
	lines := slices.DeleteFunc(strings.Split(strings.Trim(shown, "\n"), "\n"), chatter.MatchString)
	if len(lines) > longest {
		lines = slices.Concat(lines[:longest-5], []string{"[...]"}, lines[len(lines)-4:])
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// withExample returns the fault file with the example replaced.
func withExample(file []byte, shown string) ([]byte, error) {
	head, tail, found := strings.Cut(string(file), "\nexample:")
	if !found || !originLine.MatchString(head) {
		return nil, fmt.Errorf("it has no origin or no example")
	}
	if _, rest, _ := strings.Cut(tail, "\n"); strings.TrimLeft(firstUnindented(rest), " \n") != "" {
		return nil, fmt.Errorf("example is not its last key")
	}
	head = originLine.ReplaceAllString(head, "origin: captured")
	return []byte(head + "\n" + literal("example", shown)), nil
}

// firstUnindented returns the first line that does not belong to the block.
func firstUnindented(block string) string {
	for line := range strings.Lines(block) {
		if line != "\n" && !strings.HasPrefix(line, " ") {
			return line
		}
	}
	return ""
}

// literal writes a YAML literal block. The indentation is named where the first
// line begins with a space of its own.
func literal(key, text string) string {
	mark := "|"
	if strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\n") {
		mark = "|2"
	}
	var b strings.Builder
	b.WriteString(key + ": " + mark + "\n")
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String()
}
