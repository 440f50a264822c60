package fingerprint

import "sync"

// Filter finds where any anchor of a library stands in a long text: an
// Aho-Corasick automaton (Aho and Corasick, 1975) over case-folded bytes, whose
// one table makes it run at memory speed. It tells only where to look; deciding
// is [Library.Match]'s business.
type Filter struct {
	class  [256]uint8 // byte -> column
	width  int        // columns
	next   []uint32   // state*width+column -> state, already multiplied by width; the top bit says that an anchor ends there
	length int        // of the longest anchor
}

const hitBit = 1 << 31

// Filter returns the automaton of l's anchors, built when first asked for.
func (l *Library) Filter() *Filter {
	l.filterOnce.Do(func() {
		var anchors []string
		for _, e := range l.entries {
			anchors = append(anchors, e.Anchors...)
		}
		l.filter = newFilter(anchors)
	})
	return l.filter
}

type filterCache struct {
	filterOnce sync.Once
	filter     *Filter
}

func newFilter(anchors []string) *Filter {
	f := &Filter{width: 1} // column 0: bytes in no anchor
	for _, a := range anchors {
		f.length = max(f.length, len(a))
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
	trie := make([]uint32, w)
	ends := []bool{false}
	for _, a := range anchors {
		s := 0
		for i := range len(a) {
			col := int(f.class[a[i]])
			if trie[s*w+col] == 0 {
				trie[s*w+col] = uint32(len(ends))
				ends = append(ends, false)
				trie = append(trie, make([]uint32, w)...)
			}
			s = int(trie[s*w+col])
		}
		ends[s] = true
	}
	fail := make([]int, len(ends))
	queue := make([]int, 0, len(ends))
	for _, s := range trie[:w] {
		if s != 0 {
			queue = append(queue, int(s))
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		ends[s] = ends[s] || ends[fail[s]]
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
	for i, s := range trie {
		trie[i] = s * uint32(w)
		if ends[s] {
			trie[i] |= hitBit
		}
	}
	f.next = trie
}

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
