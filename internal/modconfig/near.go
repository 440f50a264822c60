package modconfig

import (
	"strings"

	"github.com/keepwell/keepwell/internal/spelling"
)

// nearest is the word that somebody who wrote got may have meant; "" where none is near.
func nearest(got string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if same(got) == same(w) {
			return w
		}
		if d := distance(same(got), same(w)); d < least && d < len(w)/2+1 {
			best, least = w, d
		}
	}
	return best
}

// same leaves out what people write in different ways.
func same(s string) string {
	return strings.TrimSuffix(strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s)), "s")
}

// distance is how many letters must be changed, added or taken away. Long words are far.
func distance(a, b string) int {
	const longest = 40
	if len(a) > longest || len(b) > longest {
		return longest
	}
	return spelling.Distance(a, b)
}
