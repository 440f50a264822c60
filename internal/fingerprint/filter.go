package fingerprint

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keepwell/keepwell"
)

// Filter finds where any anchor of a library stands in a long text: an
// Aho-Corasick automaton (Aho and Corasick, 1975) over case-folded bytes, whose
// one table makes it run at memory speed. The table knows the first bytes of each
// anchor; where they stand, the rest is compared. It tells only where to look;
// deciding is [Library.Match]'s business.
type Filter struct {
	class [256]uint8 // byte -> column
	width int        // columns
	// next is state*width+column -> state, already multiplied by width; the top bit
	// says that the head of an anchor ends there.
	next []uint32
	// ends are the anchors whose head ends in a state, by number.
	ends    map[uint32][]int
	anchors []string
}

// head is how many bytes of an anchor the table knows: enough to be rare in
// ordinary logs, few enough to keep the table in the cache.
const head = 9

func headOf(anchor string) string { return anchor[:min(head, len(anchor))] }

// automaton holds a library's filter, built when first asked for.
type automaton struct {
	once   sync.Once
	filter atomic.Pointer[Filter]
}

// Find returns the offset just past the head of the first anchor of l in text, or -1. Its first
// call builds the automaton, which pays for itself on long texts only.
func (l *Library) Find(text []byte) int {
	l.once.Do(func() {
		var anchors []string
		for _, e := range l.entries {
			anchors = append(anchors, e.Anchors...)
		}
		l.filter.Store(newFilter(anchors))
	})
	return l.filter.Load().Find(text)
}

// candidates returns for each entry whether one of its anchors stands in lower, and
// where the first such anchor begins (-1 where none does). Where the automaton has
// been built, one pass over the text answers for all entries.
func (l *Library) candidates(lower string) []keepwell.Span {
	found := make([]keepwell.Span, len(l.entries))
	f := l.filter.Load()
	if f == nil {
		for i, e := range l.entries {
			found[i] = e.anchorIn(lower)
		}
		return found
	}
	number := 0
	byAnchor := f.all(lower)
	for i, e := range l.entries {
		found[i] = keepwell.Span{Start: -1}
		for _, a := range e.Anchors {
			if end, ok := byAnchor[number]; ok && found[i].Start < 0 {
				found[i] = keepwell.Span{Start: end - len(a), End: end}
			}
			number++
		}
	}
	return found
}

func (e *Entry) anchorIn(lower string) keepwell.Span {
	for _, a := range e.Anchors {
		if i := strings.Index(lower, a); i >= 0 {
			return keepwell.Span{Start: i, End: i + len(a)}
		}
	}
	return keepwell.Span{Start: -1}
}

func newFilter(anchors []string) *Filter {
	f := &Filter{width: 1, anchors: anchors} // column 0: bytes in no anchor's head
	for _, a := range anchors {
		a = headOf(a)
		for i := range len(a) {
			if c := a[i]; f.class[c] == 0 {
				f.class[c] = uint8(f.width)
				if c >= 'a' && c <= 'z' {
					f.class[c-'a'+'A'] = uint8(f.width)
				}
				f.width++
			}
		}
	}
	f.build(anchors)
	return f
}

// build lays out the trie, then completes it breadth first with failure links.
func (f *Filter) build(anchors []string) {
	w := f.width
	trie := slices.Repeat([]uint32{0}, w)
	ends := [][]int{nil}
	for number, a := range anchors {
		a = headOf(a)
		s := 0
		for i := range len(a) {
			col := int(f.class[a[i]])
			if trie[s*w+col] == 0 {
				trie[s*w+col] = uint32(len(ends))
				ends = append(ends, nil)
				trie = append(trie, make([]uint32, w)...)
			}
			s = int(trie[s*w+col])
		}
		ends[s] = append(ends[s], number)
	}
	f.complete(trie, ends)
}

func (f *Filter) complete(trie []uint32, ends [][]int) {
	w := f.width
	fail := make([]int, len(ends))
	queue := make([]int, 0, len(ends))
	for _, s := range trie[:w] {
		if s != 0 {
			queue = append(queue, int(s))
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		ends[s] = append(ends[s], ends[fail[s]]...)
		for col := range w {
			child, viaFail := trie[s*w+col], trie[fail[s]*w+col]
			if child == 0 {
				trie[s*w+col] = viaFail
				continue
			}
			fail[child] = int(viaFail)
			queue = append(queue, int(child))
		}
	}
	f.ends = map[uint32][]int{}
	for s, list := range ends {
		if len(list) > 0 {
			f.ends[uint32(s*w)] = list
		}
	}
	for i, s := range trie {
		trie[i] = s * uint32(w)
		if len(ends[s]) > 0 {
			trie[i] |= hitBit
		}
	}
	f.next = slices.Clip(trie)
}

const hitBit = 1 << 31

// Find returns the offset just past the head of the first anchor that stands in
// text, or -1.
func (f *Filter) Find(text []byte) int {
	state := uint32(0)
	next, class := f.next, &f.class
	for i, c := range text {
		state = next[state+uint32(class[c])]
		if state < hitBit {
			continue
		}
		state &^= hitBit
		for _, number := range f.ends[state] {
			a := f.anchors[number]
			if start := i + 1 - len(headOf(a)); hasFolded(text[start:], a) {
				return i + 1
			}
		}
	}
	return -1
}

// hasFolded reports whether text begins with the lower-case anchor a, letter case
// of ASCII aside.
func hasFolded(text []byte, a string) bool {
	if len(text) < len(a) {
		return false
	}
	for i := range len(a) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != a[i] {
			return false
		}
	}
	return true
}

// all returns the offset just past the first place of each anchor in text, which is
// in lower case, by number.
func (f *Filter) all(text string) map[int]int {
	var found map[int]int
	state := uint32(0)
	for i := range len(text) {
		state = f.next[state+uint32(f.class[text[i]])]
		if state < hitBit {
			continue
		}
		state &^= hitBit
		for _, number := range f.ends[state] {
			a := f.anchors[number]
			start := i + 1 - len(headOf(a))
			if _, ok := found[number]; ok || !strings.HasPrefix(text[start:], a) {
				continue
			}
			if found == nil {
				found = map[int]int{}
			}
			found[number] = start + len(a)
		}
	}
	return found
}
