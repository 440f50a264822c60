// Package explain reads the output of tools and gives it as statements: the
// pieces that a tool said in one breath, with typed facts. It decodes, cleans
// and splits; it streams a log of any length in bounded memory. It knows how
// tools lay their words out, not what the words mean (internal/fingerprint) nor
// which of them is the root cause (internal/diagnose). To teach it the layout of
// another tool, see statement.go.
package explain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/normalise"
)

// Finder tells where in a long text it is worth looking.
type Finder interface {
	// Find returns an offset within or just past the first place worth a look, or -1.
	Find(text []byte) int
}

// Limits of one pass. They bound memory whatever the input.
const (
	// whole is the size up to which a text is read as one piece.
	whole = 64 << 10
	// chunk is how much of a long text is looked through at a time.
	chunk = 1 << 20
	// before and after are how many bytes around a place of interest are read as
	// its context; they end at line breaks where there are any.
	before, after = 6 << 10, 8 << 10
	// region is the longest piece that is split into statements at once.
	region = 256 << 10
)

// Options configure [Read]. The zero value reads silently.
type Options struct {
	// Progress, if set, is told how many bytes have been read.
	Progress func(done int64)
	// Skip, if set, is asked whether a line of interest is known well enough not to
	// be looked at again: logs repeat themselves.
	Skip func(line []byte) bool
}

// Read streams r and gives its statements to yield, in order. Texts up to 64 KiB
// are read whole; of longer ones only the surroundings of what finder finds. The
// target returned carries the measures of what was read. An error of reading is
// returned as is; [normalise.ErrEmpty] and [normalise.ErrBinary] say that there
// is nothing to explain.
func Read(ctx context.Context, r io.Reader, finder Finder, opts Options, yield func(*Statement)) (keepwell.Target, error) {
	target := keepwell.Target{Kind: "text"}
	counted := &counter{r: r, ctx: ctx, progress: opts.Progress}
	text, enc, err := normalise.Open(counted)
	if err != nil {
		return target, err
	}
	target.Encoding = string(enc)
	s := scanner{finder: finder, skip: opts.Skip, enc: enc, yield: yield, line: 1}
	err = s.run(text)
	target.Bytes, target.Lines = counted.n, int64(s.lines())
	return target, err
}

// counter counts what is read and stops reading when the context ends.
type counter struct {
	r        io.Reader
	ctx      context.Context //nolint:containedctx // lives as long as one Read
	n        int64
	progress func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.progress != nil {
		c.progress(c.n)
	}
	return n, err
}

// scanner looks through a text in chunks. buf holds the bytes not yet done with;
// line is the number of buf's first line.
type scanner struct {
	finder   Finder
	skip     func([]byte) bool
	enc      normalise.Encoding
	yield    func(*Statement)
	buf      []byte
	line     int
	lastByte byte
	started  bool
}

func (s *scanner) lines() int {
	if !s.started {
		return 0
	}
	if s.lastByte == '\n' {
		return s.line - 1
	}
	return s.line
}

func (s *scanner) run(r io.Reader) error {
	head, err := readUpTo(r, nil, whole+1)
	if err != nil {
		return err
	}
	s.buf = head
	s.note(head)
	if len(head) <= whole {
		s.split(head, s.line)
		s.advance(len(s.buf))
		return nil
	}
	s.buf = slices.Grow(s.buf, 2*chunk)
	for {
		n := len(s.buf)
		s.buf, err = readUpTo(r, s.buf, n+chunk)
		if err != nil {
			return err
		}
		s.note(s.buf[n:])
		end := len(s.buf) == n
		s.look(end)
		if end {
			s.advance(len(s.buf))
			return nil
		}
	}
}

// note remembers how the text ends.
func (s *scanner) note(b []byte) {
	if len(b) > 0 {
		s.started, s.lastByte = true, b[len(b)-1]
	}
}

// readUpTo appends to buf until it holds size bytes or r ends.
func readUpTo(r io.Reader, buf []byte, size int) ([]byte, error) {
	for len(buf) < size {
		buf = slices.Grow(buf, min(size-len(buf), chunk))
		n, err := r.Read(buf[len(buf):min(size, cap(buf))])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, fmt.Errorf("reading the input: %w", err)
		}
	}
	return buf, nil
}

// look finds the regions of interest in buf, splits those that are complete, and
// drops what is done with. At the end of the text every region is complete.
func (s *scanner) look(end bool) {
	done := 0 // bytes of buf already split
	for at := 0; ; {
		i := s.finder.Find(s.buf[at:])
		if i < 0 {
			break
		}
		hit := at + i
		lineEnd := hit + indexOr(s.buf[hit:], '\n', len(s.buf)-hit)
		if s.skip != nil && s.skip(s.lineAround(hit, lineEnd)) {
			at = lineEnd
			continue
		}
		from := s.lineStart(max(hit-before, done))
		to, complete := s.regionEnd(hit)
		if !complete && !end {
			s.advance(from)
			return
		}
		s.split(s.buf[from:to], s.line+bytes.Count(s.buf[:from], newline))
		done, at = to, to
	}
	if keep := max(len(s.buf)-before-4096, done); keep < len(s.buf) && !end {
		s.advance(s.lineStart(keep))
		return
	}
	s.advance(len(s.buf))
}

var newline = []byte{'\n'}

// regionEnd extends the region around hit while more places of interest that are
// not known yet follow within reach, up to the region limit. It is incomplete
// where buf ends too early to tell.
func (s *scanner) regionEnd(hit int) (int, bool) {
	start, at := hit, hit
	for hit-start < region {
		if hit+after > len(s.buf) {
			return len(s.buf), false
		}
		i := s.finder.Find(s.buf[at : hit+after])
		if i < 0 {
			break
		}
		at += i
		lineEnd := at + indexOr(s.buf[at:], '\n', len(s.buf)-at)
		if s.skip == nil || !s.skip(s.lineAround(at, lineEnd)) {
			hit = at
		}
		if at = min(lineEnd, hit+after); at == hit+after {
			break
		}
	}
	to := min(hit+after, len(s.buf))
	if i := bytes.LastIndexByte(s.buf[start:to], '\n'); i >= 0 {
		to = start + i + 1
	}
	return max(to, start), true
}

func (s *scanner) lineStart(at int) int {
	// A line without end must not pull the region back for ever.
	low := max(0, at-before)
	if i := bytes.LastIndexByte(s.buf[low:at], '\n'); i >= 0 {
		return low + i + 1
	}
	return at
}

func (s *scanner) lineAround(hit, lineEnd int) []byte {
	low := max(0, hit-1024)
	if i := bytes.LastIndexByte(s.buf[low:hit], '\n'); i >= 0 {
		low += i + 1
	}
	return s.buf[low:min(lineEnd, low+2048)]
}

func indexOr(b []byte, c byte, otherwise int) int {
	if i := bytes.IndexByte(b, c); i >= 0 {
		return i
	}
	return otherwise
}

// advance drops the first n bytes of buf.
func (s *scanner) advance(n int) {
	s.line += bytes.Count(s.buf[:n], newline)
	s.buf = append(s.buf[:0], s.buf[n:]...)
}

func (s *scanner) split(raw []byte, firstLine int) {
	Split(normalise.Lines(s.enc.Decode(raw), firstLine), s.yield)
}
