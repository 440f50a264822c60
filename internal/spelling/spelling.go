// Package spelling tells how far a typed word is from a known one, by letters ([Distance]) and as
// a hand slips ([Slip]), and which well-known names of modules and packages there are. It asks
// nobody. Whether what is near is meant is the caller's to say.
package spelling

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
