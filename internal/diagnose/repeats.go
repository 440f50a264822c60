package diagnose

import "hash/maphash"

// repeats remembers lines of interest by their shape, so that a log which says
// the same a million times is looked at a few times only. The shape of a line is
// its letters: digits, hexadecimal runs and punctuation do not count.
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
	var shape [256]byte
	n := 0
	for _, c := range line {
		if c|0x20 >= 'g' && c|0x20 <= 'z' { // beyond the hexadecimal digits
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
