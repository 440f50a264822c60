package inflate

import "math/bits"

// codes are the tables of a block. The bits that come next are the index of an entry of
// the first table; a code that is longer goes on in a second table behind it.
type codes struct {
	literals  [literalRoom]uint32
	distances [distanceRoom]uint32
	sizes     [1 << sizeBits]uint32 // the code of code lengths
	lengths   [mostLiterals + mostDistances]uint8
	sorted    [mostLiterals]uint16
}

// An entry of a table: in bits 0 to 5 how many bits are taken; in 8 to 11 how many of
// them are the code, while the rest is added to the value; from 16 on the value: a
// literal, the least length or distance, or the place of a second table, the bits of
// whose index are in 8 to 11.
const (
	isLiteral = 1 << 31
	isOther   = 1 << 15 // a second table, or the end, or no code at all
	isTable   = 1 << 14
	isEnd     = 1 << 13
	valueAt   = 16
	codeAt    = 8
	codeMask  = 15

	literalBits  = 11
	distanceBits = 8
	sizeBits     = 7
	// What a complete code of 15 bits needs at most, second tables and all, is 2342 and 402
	// entries; the masks of these sizes spare the compiler's checks.
	literalRoom  = 4096
	distanceRoom = 512

	longestCode   = 15
	endOfBlock    = 256
	mostLiterals  = 288
	mostDistances = 32
)

// literal is the entry of a symbol of the first code, but for what depends on its bits.
func literal(symbol uint16) uint32 {
	const first, withRest, last, none = 257, 265, 285, 286
	switch i := uint32(symbol); {
	case i < endOfBlock:
		return isLiteral | i<<valueAt
	case i == endOfBlock:
		return isOther | isEnd
	case i < withRest:
		return (i - first + 3) << valueAt
	case i < last:
		i -= withRest
		rest := i/4 + 1
		return ((4+i%4)<<rest+3)<<valueAt | rest
	case i < none:
		return longestMatch << valueAt
	}
	return isOther
}

// distance is that of a symbol of the second code.
func distance(symbol uint16) uint32 {
	const withRest, none = 4, 30
	switch i := uint32(symbol); {
	case i < withRest:
		return (i + 1) << valueAt
	case i < none:
		rest := i/2 - 1
		return ((2+i%2)<<rest+1)<<valueAt | rest
	}
	return isOther
}

// size is that of a symbol of the code of code lengths.
func size(symbol uint16) uint32 { return uint32(symbol) << valueAt }

// fill makes the tables of the code whose symbols have these lengths. width is that of the
// index of the first one. It refuses what is no complete code, unless it has one symbol, or none.
func (c *codes) fill(table []uint32, width int, lengths []uint8, entry func(uint16) uint32) bool {
	var count, from [longestCode + 2]int
	for _, l := range lengths {
		count[l]++
	}
	used, room := len(lengths)-count[0], 0
	for l := 1; l <= longestCode; l++ {
		from[l+1] = from[l] + count[l]
		room += count[l] << (longestCode - l)
	}
	if room != 1<<longestCode {
		if used > 1 || used == 1 && count[1] == 0 {
			return false
		}
		for i := range 1 << width { // the other bit is nobody's
			table[i] = isOther
		}
	}
	for s, l := range lengths {
		if l > 0 {
			c.sorted[from[l]] = uint16(s)
			from[l]++
		}
	}
	if used == 1 {
		for i := 0; i < 1<<width; i += 2 {
			table[i] = with(entry(c.sorted[0]), 1)
		}
		return true
	}
	c.place(table, width, &count, c.sorted[:used], entry)
	return true
}

// with completes an entry with the length of its code, or of what of it is in a second
// table.
func with(e uint32, length int) uint32 { return e + uint32(length) + uint32(length)<<codeAt }

// place enters symbols that are sorted by their length. Codes are given out in order, and
// come with their first bit lowest: the table for one more bit is the one before, twice.
func (c *codes) place(table []uint32, width int, count *[longestCode + 2]int, sorted []uint16, entry func(uint16) uint32) {
	code, end := 0, 1
	second, of := 0, -1 // a table, and the bits that lead to it
	for l := 1; l <= width || len(sorted) > 0; l++ {
		if l <= width {
			copy(table[end:2*end], table[:end])
			end *= 2
		}
		for left := count[l]; left > 0; left-- {
			e := entry(sorted[0])
			sorted = sorted[1:]
			if l <= width {
				table[code] = with(e, l)
			} else {
				if lead := code & (1<<width - 1); lead != of {
					of, second = lead, end
					end += 1 << more(l, left, width, count)
					table[lead] = isOther | isTable | uint32(second)<<valueAt | uint32(bits.Len(uint(end-second-1)))<<codeAt
				}
				for i := second + code>>width; i < end; i += 1 << (l - width) {
					table[i] = with(e, l-width)
				}
			}
			if next := code ^ (1<<l - 1); next != 0 { // the highest zero becomes one, what is above it zero
				top := 1 << (bits.Len(uint(next)) - 1)
				code = code&(top-1) | top
			}
		}
	}
}

// more is how many bits the index of a second table has, which begins with a code of
// length l of which there are left: until the codes of one length fill it.
func more(l, left, width int, count *[longestCode + 2]int) int {
	n := l - width
	for full := left; full < 1<<n && width+n < longestCode; {
		n++
		full = full<<1 + count[width+n]
	}
	return n
}

// fixedCodes makes the tables that need no description.
func (d *Decoder) fixedCodes() bool {
	if d.fixed {
		return true
	}
	for i := range d.lengths[:mostLiterals] {
		switch {
		case i < 144 || i >= 280:
			d.lengths[i] = 8
		case i < 256:
			d.lengths[i] = 9
		default:
			d.lengths[i] = 7
		}
	}
	for i := range d.lengths[mostLiterals:] {
		d.lengths[mostLiterals+i] = 5
	}
	d.fixed = d.fill(d.literals[:], literalBits, d.lengths[:mostLiterals], literal) &&
		d.fill(d.distances[:], distanceBits, d.lengths[mostLiterals:], distance)
	return d.fixed
}

// dynamicCodes reads the codes of a block.
func (d *Decoder) dynamicCodes() bool {
	d.fixed = false
	const leastLiterals, leastDistances, leastSizes = 257, 1, 4
	d.refill()
	literals, distances, sizes := int(d.take(5))+leastLiterals, int(d.take(5))+leastDistances, int(d.take(4))+leastSizes
	if literals > 286 || distances > 30 {
		return false
	}
	order := [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var of [len(order)]uint8
	for _, s := range order[:sizes] {
		d.refill()
		of[s] = uint8(d.take(3))
	}
	if !d.fill(d.sizes[:], sizeBits, of[:], size) || !d.readLengths(d.lengths[:literals+distances]) {
		return false
	}
	return d.fill(d.literals[:], literalBits, d.lengths[:literals], literal) &&
		d.fill(d.distances[:], distanceBits, d.lengths[literals:literals+distances], distance)
}

// readLengths reads lengths of codes, which are in a code themselves.
func (d *Decoder) readLengths(lengths []uint8) bool {
	for i := 0; i < len(lengths); {
		d.refill()
		e := d.sizes[d.buf&(1<<sizeBits-1)]
		if e&isOther != 0 {
			return false
		}
		d.take(uint(e & most6))
		const again, zeros, manyZeros = 16, 17, 18
		var of uint8
		times := 1
		switch s := e >> valueAt; s {
		case again:
			if i == 0 {
				return false
			}
			of, times = lengths[i-1], 3+int(d.take(2))
		case zeros:
			times = 3 + int(d.take(3))
		case manyZeros:
			times = 11 + int(d.take(7))
		default:
			of = uint8(s)
		}
		if i+times > len(lengths) {
			return false
		}
		for range times {
			lengths[i] = of
			i++
		}
	}
	return true
}
