// Package spelling tells how far a typed word is from a known one, by letters ([Distance]) and as
// a hand slips ([Slip]), and which well-known names of modules and packages there are. It asks
// nobody. Whether what is near is meant is the caller's to say.
package spelling

import "strings"

// Meant is the one of some words that somebody who typed another may have meant; "" where
// none is near. Case, signs between words and a last s are what people write differently.
func Meant(typed string, words []string) string {
	const longest, most = 64, 2
	if len(typed) > longest {
		return ""
	}
	plain := strings.NewReplacer("-", "", "_", "", " ", "")
	fold := func(s string) string { return plain.Replace(strings.ToLower(s)) }
	got := fold(typed)
	best, least := "", 1+min(most, (len(got)+2)/3)
	for _, w := range words {
		is := fold(w)
		if strings.TrimSuffix(got, "s") == strings.TrimSuffix(is, "s") {
			return w
		}
		if d := Distance(got, is); d < least && d <= len(is)/2 {
			best, least = w, d
		}
	}
	return best
}

// Distance is the Levenshtein distance of a and b, in bytes: the least number of
// insertions, deletions and substitutions that make one of the other.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
