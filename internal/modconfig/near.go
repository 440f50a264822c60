package modconfig

import "strings"

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
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := before
			if a[i-1] != b[j-1] {
				cost++
			}
			before = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
