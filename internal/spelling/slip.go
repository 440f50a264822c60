package spelling

// Costs of the slips of a hand. One plain wrong letter costs 1.
const (
	letter    = 1.0 // one too many, one too few, another one
	slip      = 0.8 // two swapped, one doubled, the neighbour on the keyboard
	separator = 0.3 // - for _ or ., or one of them too many or too few
	otherCase = 0.1
)

// Slip is how far a is from b as a hand slips: the cheapest way of wrong, missing,
// added and swapped bytes (Damerau, no substring edited twice), where the likely slips
// cost less than 1. It is symmetric and 0 only where a is b.
func Slip(a, b string) float64 {
	if a == b {
		return 0
	}
	cost := func(i, j int) float64 { return exchange(a[i], b[j]) }
	one := func(s string, i int) float64 { // s[i] alone
		switch {
		case isSeparator(s[i]):
			return separator
		case i > 0 && s[i-1] == s[i]:
			return slip
		}
		return letter
	}
	rows := make([][]float64, len(a)+1)
	for i := range rows {
		rows[i] = make([]float64, len(b)+1)
	}
	for i := 1; i <= len(a); i++ {
		rows[i][0] = rows[i-1][0] + one(a, i-1)
	}
	for j := 1; j <= len(b); j++ {
		rows[0][j] = rows[0][j-1] + one(b, j-1)
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			best := min(rows[i-1][j-1]+cost(i-1, j-1), rows[i-1][j]+one(a, i-1), rows[i][j-1]+one(b, j-1))
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] && a[i-1] != a[i-2] {
				best = min(best, rows[i-2][j-2]+slip)
			}
			rows[i][j] = best
		}
	}
	return rows[len(a)][len(b)]
}

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' }

// exchange is the cost of one byte for another.
func exchange(a, b byte) float64 {
	switch {
	case a == b:
		return 0
	case isSeparator(a) && isSeparator(b):
		return separator
	case lower(a) == lower(b):
		return otherCase
	case neighbours(lower(a), lower(b)):
		return slip
	}
	return letter
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// neighbours tells keys that touch on a QWERTY keyboard, and the digits that look like
// letters.
func neighbours(a, b byte) bool {
	for _, pair := range []string{"0o", "1l", "1i"} {
		if a == pair[0] && b == pair[1] || a == pair[1] && b == pair[0] {
			return true
		}
	}
	for _, near := range []string{
		"qw", "we", "er", "rt", "ty", "yu", "ui", "io", "op", "as", "sd", "df", "fg", "gh", "hj", "jk", "kl", "zx", "xc", "cv", "vb", "bn", "nm",
		"qa", "wa", "ws", "es", "ed", "rd", "rf", "tf", "tg", "yg", "yh", "uh", "uj", "ij", "ik", "ok", "ol", "pl",
		"az", "sz", "sx", "dx", "dc", "fc", "fv", "gv", "gb", "hb", "hn", "jn", "jm", "km",
	} {
		if a == near[0] && b == near[1] || a == near[1] && b == near[0] {
			return true
		}
	}
	return false
}

// room is the cost at which a word of n bytes can still be meant: short words differ by
// one letter without being slips.
func room(n int) float64 {
	switch {
	case n <= 2:
		return separator
	case n <= 3:
		return slip
	case n <= 5:
		return letter
	case n <= 9:
		return 1.6
	}
	return 2
}

// Near is the cost of reading a for b, and whether that is near enough to be meant.
func Near(a, b string) (cost float64, ok bool) {
	if d := len(a) - len(b); d > 3 || d < -3 || a == "" || b == "" {
		return 0, false
	}
	cost = Slip(a, b)
	return cost, cost <= room((len(a)+len(b)+1)/2)
}
