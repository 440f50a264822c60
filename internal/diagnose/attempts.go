package diagnose

import (
	"regexp"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/explain"
)

// Package managers try again by themselves. What they say of a try is no failure
// where they conclude, further down, that they have installed everything.

// installed are the beginnings of the lines by which pip, uv, npm, yarn and pnpm
// conclude.
var installed = []string{"Successfully installed ", "Installed ", "added ", "changed ", "up to date", "success Saved ", "✨  Done in ", "Done in ", "➤ YN0000: Done", "➤ YN0000: · Done"}

var installedWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:Successfully installed \S+-\d|Installed \d+ packages? in |(?:added|changed) \d+ packages?\b|up to date(?:,| in )|success Saved |(?:✨  )?Done in \d|➤ YN0000: (?:· )?Done)`)
})

// installedAt returns the line on which s says that an installation is complete; 0 none.
func installedAt(s *explain.Statement) int {
	at := 0
	for _, l := range s.Lines {
		if l.Speaker != "" {
			continue
		}
		for _, head := range installed {
			if strings.HasPrefix(l.Text, head) && installedWords().MatchString(l.Text) {
				at = l.N
			}
		}
	}
	return at
}

var attemptWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bretry(?:ing)?\b|\bretries left\b|\battempt \d+ failed\b`)
})

// isAttempt reports whether the decisive words of s tell of a try that is repeated,
// or stand where npm only warns.
func isAttempt(s *explain.Statement, h hit) bool {
	return isQuiet(s) || attemptWords().MatchString(linesAround(s.Text, h.at))
}

// lineAt returns the number of the line on which a place in s.Text stands.
func lineAt(s *explain.Statement, at int) int {
	pos := 0
	for _, l := range s.Lines {
		if pos += len(l.Text) + 1; at < pos {
			return l.N
		}
	}
	return s.Lines[len(s.Lines)-1].N
}
