package diagnose

import "hash/maphash"

// repeats remembers lines of interest by their shape, so that a log which says
// the same a million times is looked at a few times only. The shape of a line is
// its letters and HTTP statuses: other digits, hexadecimal runs and punctuation do
// not count.
type repeats struct {
	seed maphash.Seed
	seen map[uint64]int
}

// Limits of repeats: how often a shape is looked at, and how many shapes are
// remembered before every line is looked at again.
const (
	looksPerShape = 12
	mostShapes    = 1 << 16
)

// newRepeats returns an empty memory.
func newRepeats() *repeats { return &repeats{seed: maphash.MakeSeed(), seen: map[uint64]int{}} }

// skip reports whether line's shape has been seen often enough.
func (r *repeats) skip(line []byte) bool {
	// All of the line counts: log shippers put long words of their own before the
	// tool's. lineAround gives 2 KiB at most.
	var shape [2048]byte
	n := 0
	for i, c := range line {
		// Letters beyond the hexadecimal digits, and what may be an HTTP status: 403 and
		// 503 are not the same said twice.
		if c|0x20 >= 'g' && c|0x20 <= 'z' || isStatus(line, i) {
			shape[n] = c
			if n++; n == len(shape) {
				break
			}
		}
	}
	key := maphash.Bytes(r.seed, shape[:n])
	count, known := r.seen[key]
	if !known && len(r.seen) >= mostShapes {
		return false
	}
	r.seen[key] = count + 1
	return count >= looksPerShape
}

// isStatus reports whether the digit at i belongs to a number that is an HTTP status
// of failure; any number of three digits would make every duration a shape of its own.
func isStatus(line []byte, i int) bool {
	if !isDigit(line[i]) {
		return false
	}
	start, end := i, i+1
	for start > 0 && isDigit(line[start-1]) && i-start < 3 {
		start--
	}
	for end < len(line) && isDigit(line[end]) && end-start < 4 {
		end++
	}
	if end-start != 3 || start > 0 && line[start-1] == '.' || end < len(line) && (line[end] == '.' || line[end] == 'm') {
		return false
	}
	switch string(line[start:end]) {
	case "400", "401", "403", "404", "405", "407", "408", "409", "410", "429", "451", "500", "502", "503", "504":
		return true
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
