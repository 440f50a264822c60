package fingerprint

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keepwell/keepwell"
)

// Filter finds where any anchor of a library stands in a long text: an
// Aho-Corasick automaton (Aho and Corasick, 1975) over case-folded bytes, whose
// one table makes it run at memory speed. It tells only where to look; deciding
// is [Library.Match]'s business.
type Filter struct {
	class [256]uint8 // byte -> column
	width int        // columns
	// next is state*width+column -> state, already multiplied by width; the top bit
	// says that an anchor ends there.
	next []uint32
	// ends are the anchors that end in a state, by number.
	ends map[uint32][]int
}

// automaton holds a library's filter, built when first asked for.
type automaton struct {
	once   sync.Once
	filter atomic.Pointer[Filter]
}

// Find returns the offset just past the first anchor of l in text, or -1. Its first
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
	f := &Filter{width: 1} // column 0: bytes in no anchor
	for _, a := range anchors {
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
	most := 1
	for _, a := range anchors {
		most += len(a)
	}
	trie := make([]uint32, w, most*w)
	ends := make([][]int, 1, most)
	for number, a := range anchors {
		s := 0
		for i := range len(a) {
			col := int(f.class[a[i]])
			if trie[s*w+col] == 0 {
				trie[s*w+col] = uint32(len(ends))
				ends = append(ends, nil)
				trie = trie[:len(trie)+w]
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
	f.next = trie
}

const hitBit = 1 << 31

// Find returns the offset just past the first anchor in text, or -1.
func (f *Filter) Find(text []byte) int {
	state := uint32(0)
	next, class := f.next, &f.class
	for i, c := range text {
		state = next[state+uint32(class[c])]
		if state >= hitBit {
			return i + 1
		}
	}
	return -1
}

// all returns the offset just past the first place of each anchor in text, by number.
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
			if _, ok := found[number]; !ok {
				if found == nil {
					found = map[int]int{}
				}
				found[number] = i + 1
			}
		}
	}
	return found
}
