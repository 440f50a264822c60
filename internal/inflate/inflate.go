// Package inflate inflates DEFLATE streams (RFC 1951) that lie in memory as a whole, into
// memory: in less time than a reader takes that may be given a stream in any pieces. It
// never says that a stream is broken: what it cannot read, because it is broken or odd or
// too large, is for another decoder to judge. It vouches for nothing: whoever calls it
// holds the bytes to a checksum.
//
// The codes are in codes.go, what is done with them is here. A new kind of stream (gzip,
// zlib) is a package around this one.
package inflate

import (
	"encoding/binary"
	"slices"
)

// Decoder inflates one stream after the other. The zero value is ready.
type Decoder struct {
	codes
	fixed bool // codes are the fixed ones

	in  []byte
	at  int    // the next byte of in that is not in buf
	end int    // of the stream in in
	buf uint64 // the bits that come next, the first one lowest
	n   uint   // how many of them count
	out []byte
	len int // of what is in out
}

const (
	// Ahead is how far behind the end of a stream is looked (never used). Where in has
	// fewer bytes there, it is copied.
	Ahead = 32

	word         = 8                         // bytes are read and copied by so many
	sure         = 56                        // bits that a refill gives at least
	most6        = 63                        // bits of a shift that count
	longestMatch = 258                       // bytes
	slack        = 4 + longestMatch + 2*word // what one round may write
)

// Decode returns what in[:n] inflates to; the next call overwrites it. ok is false where
// that is more than most, or where another decoder has to look.
func (d *Decoder) Decode(in []byte, n, most int) (data []byte, ok bool) {
	if len(in) < n+Ahead {
		in = append(make([]byte, 0, n+Ahead), in[:n]...)[:n+Ahead]
	}
	d.in, d.at, d.end, d.buf, d.n, d.len = in, 0, n, 0, 0, 0
	defer func() { d.in = nil }()
	const usual = 5 // times, of source code
	d.room(min(most, usual*n))
	for last := false; !last; {
		d.refill()
		last = d.buf&1 != 0
		kind := d.buf >> 1 & 3
		d.take(3)
		switch kind {
		case 0:
			ok = d.stored(most)
		case 1:
			ok = d.fixedCodes() && d.block(most)
		case 2:
			ok = d.dynamicCodes() && d.block(most)
		default:
			ok = false
		}
		if !ok || d.beyond() || d.len > most {
			return nil, false
		}
	}
	return d.out[:d.len], true
}

// room makes room for n more bytes and what a round writes past them.
func (d *Decoder) room(n int) {
	if d.len+n+slack > len(d.out) {
		d.out = slices.Grow(d.out[:d.len], n+slack)
		d.out = d.out[:cap(d.out)]
	}
}

// refill makes at least 56 bits count. Behind the end come others, which beyond notes.
func (d *Decoder) refill() {
	at := min(d.at, len(d.in)-word)
	d.buf |= binary.LittleEndian.Uint64(d.in[at:]) << (d.n & most6)
	d.at += int((most6 - d.n) >> 3)
	d.n |= sure
}

func (d *Decoder) take(n uint) uint64 {
	taken := d.buf & (1<<n - 1)
	d.buf >>= n & most6
	d.n -= n
	return taken
}

// beyond says that more was taken than there is.
func (d *Decoder) beyond() bool { return d.at-int(d.n>>3) > d.end }

// stored copies what was left as it was.
func (d *Decoder) stored(most int) bool {
	d.at -= int(d.n >> 3) // the rest of a byte is passed over
	d.buf, d.n = 0, 0
	const header = 4
	if d.at+header > d.end {
		return false
	}
	size := binary.LittleEndian.Uint16(d.in[d.at:])
	if size != ^binary.LittleEndian.Uint16(d.in[d.at+2:]) {
		return false
	}
	d.at += header
	if d.at+int(size) > d.end || d.len+int(size) > most {
		return false
	}
	d.room(int(size))
	d.len += copy(d.out[d.len:], d.in[d.at:d.at+int(size)])
	d.at += int(size)
	return true
}

// block reads symbols to the end of the block. Between two refills of 56 bits come three
// literals, or two and a length, or a distance. What is used all the time is in variables,
// which the compiler keeps in registers.
func (d *Decoder) block(most int) bool { //nolint:funlen // one loop, whose state stays in registers
	in, at, buf, n := d.in, d.at, d.buf, d.n
	out, to := d.out, d.len
	literals, distances := &d.literals, &d.distances
	stop := min(d.end+word, len(in)-2*word) // where a round may begin
	for {
		if at > stop || to > most {
			return false
		}
		if to+slack > len(out) {
			d.len = to
			d.room(to)
			out = d.out
		}
		buf |= binary.LittleEndian.Uint64(in[at:]) << (n & most6)
		at += int((most6 - n) >> 3)
		n |= sure
		e := literals[buf&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			buf >>= e & most6
			n -= uint(e & most6)
			out[to] = byte(e >> valueAt)
			to++
			e = literals[buf&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				buf >>= e & most6
				n -= uint(e & most6)
				out[to] = byte(e >> valueAt)
				to++
				e = literals[buf&(1<<literalBits-1)]
			}
		}
		if e&(isOther|isLiteral) != 0 {
			if e&(isTable|isLiteral) == isTable {
				buf >>= literalBits
				n -= literalBits
				e = literals[(uint64(e>>valueAt)+buf&(1<<(e>>codeAt&codeMask)-1))&(literalRoom-1)]
			}
			switch {
			case e&isLiteral != 0:
				buf >>= e & most6
				n -= uint(e & most6)
				out[to] = byte(e >> valueAt)
				to++
				continue
			case e&isEnd != 0:
				d.at, d.buf, d.n, d.len = at, buf>>(e&most6), n-uint(e&most6), to
				return true
			case e&isOther != 0:
				return false
			}
		}
		length := int(e>>valueAt) + int(buf&(1<<(e&most6)-1)>>(e>>codeAt&codeMask))
		buf >>= e & most6
		n -= uint(e & most6)
		buf |= binary.LittleEndian.Uint64(in[at:]) << (n & most6)
		at += int((most6 - n) >> 3)
		n |= sure
		e = distances[buf&(1<<distanceBits-1)]
		if e&isOther != 0 {
			if e&isTable == 0 {
				return false
			}
			buf >>= distanceBits
			n -= distanceBits
			if e = distances[(uint64(e>>valueAt)+buf&(1<<(e>>codeAt&codeMask)-1))&(distanceRoom-1)]; e&isOther != 0 {
				return false
			}
		}
		distance := int(e>>valueAt) + int(buf&(1<<(e&most6)-1)>>(e>>codeAt&codeMask))
		buf >>= e & most6
		n -= uint(e & most6)
		if distance > to {
			return false
		}
		repeat(out, to, distance, length)
		to += length
	}
}

// repeat writes length bytes of out at to, as they are distance before it; some of them
// may be among those it writes. It may write up to 7 bytes too many.
func repeat(out []byte, to, distance, length int) {
	src, dst := out[to-distance:to+length+word], out[to:to+length+word]
	if distance >= word {
		for i := 0; i < length; i += word {
			binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:]))
		}
		return
	}
	if distance == 1 {
		b := uint64(src[0]) * 0x0101010101010101
		for i := 0; i < length; i += word {
			binary.LittleEndian.PutUint64(dst[i:], b)
		}
		return
	}
	for i := range length {
		dst[i] = src[i]
	}
}
