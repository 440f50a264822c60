// Package normalise turns what people paste and what CI systems store back into
// the lines that a tool printed: it decodes UTF-16 and GBK, drops terminal
// control sequences, strips the prefixes of build systems and unfolds escaped
// newlines. It knows no fault and keeps line numbers. To teach it a new log
// prefix, add it to prefixes in prefix.go with a test line.
package normalise

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Encoding names how a text was stored.
type Encoding string

// The encodings that are recognised.
const (
	UTF8    Encoding = "utf-8"
	UTF16LE Encoding = "utf-16le"
	UTF16BE Encoding = "utf-16be"
	GBK     Encoding = "gbk"
)

// ErrBinary says that the input is no text.
var ErrBinary = errors.New("the input is binary data, not text")

// ErrEmpty says that the input has no bytes.
var ErrEmpty = errors.New("the input is empty")

// sniffLen is how many bytes of the input decide its encoding.
const sniffLen = 64 << 10

// Open looks at the first bytes of r and returns a reader of its text and the
// encoding found. UTF-16 is decoded on the way. GBK is not: its bytes are
// returned as they are, since ASCII words stand in it unchanged and only the
// few lines that matter need decoding (see [Encoding.Decode]). It returns
// [ErrEmpty] or [ErrBinary] where there is nothing to read.
func Open(r io.Reader) (io.Reader, Encoding, error) {
	br := bufio.NewReaderSize(r, sniffLen)
	head, err := br.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("reading the input: %w", err)
	}
	if len(head) == 0 {
		return nil, "", ErrEmpty
	}
	enc, err := detect(head, err != nil)
	if err != nil {
		return nil, "", err
	}
	switch enc {
	case UTF16LE:
		return transform.NewReader(br, utf16(unicode.LittleEndian).NewDecoder()), enc, nil
	case UTF16BE:
		return transform.NewReader(br, utf16(unicode.BigEndian).NewDecoder()), enc, nil
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		if _, err := br.Discard(3); err != nil {
			return nil, "", fmt.Errorf("reading the input: %w", err)
		}
	}
	return br, enc, nil
}

func utf16(order unicode.Endianness) encoding.Encoding {
	return unicode.UTF16(order, unicode.UseBOM)
}

// detect names the encoding of a text that begins with head; whole says that
// head is all of it.
func detect(head []byte, whole bool) (Encoding, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return UTF16LE, nil
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return UTF16BE, nil
	}
	if zeros := bytes.Count(head, []byte{0}); zeros > 0 {
		// PowerShell 5 writes UTF-16 with a BOM, but a cut log has lost it: then
		// nearly every second byte of a mostly ASCII text is zero.
		even, odd := zerosAt(head)
		switch half := len(head) / 2; {
		case odd > half*8/10 && even < half/50+1:
			return UTF16LE, nil
		case even > half*8/10 && odd < half/50+1:
			return UTF16BE, nil
		case zeros > len(head)/200+2: // a stray NUL or two happens in logs
			return "", ErrBinary
		}
	}
	if isUTF8(head, whole) {
		return UTF8, nil
	}
	if isGBK(head) {
		return GBK, nil
	}
	if controls(head) > len(head)/20 {
		return "", ErrBinary
	}
	return UTF8, nil // with damaged places, which cleaning replaces
}

func zerosAt(b []byte) (even, odd int) {
	for i, c := range b {
		if c != 0 {
			continue
		}
		if i%2 == 0 {
			even++
		} else {
			odd++
		}
	}
	return even, odd
}

func isUTF8(b []byte, whole bool) bool {
	if !whole { // the last rune may be cut
		for i := 0; i < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); i++ {
			b = b[:len(b)-1]
		}
	}
	return utf8.Valid(b)
}

// isGBK reports whether the bytes above ASCII form GBK pairs (lead 0x81-0xFE,
// trail 0x40-0xFE without 0x7F; GB/T 2312 and its GBK extension), with at least
// one common character (lead 0xB0-0xF7) so that stray Latin-1 does not pass.
func isGBK(b []byte) bool {
	pairs, common, bad := 0, 0, 0
	for i := 0; i < len(b); i++ {
		if b[i] < 0x80 {
			continue
		}
		if i+1 == len(b) {
			break
		}
		lead, trail := b[i], b[i+1]
		if lead < 0x81 || lead == 0xff || trail < 0x40 || trail == 0x7f || trail == 0xff {
			bad++
			continue
		}
		pairs++
		if lead >= 0xb0 && lead <= 0xf7 && trail >= 0xa1 {
			common++
		}
		i++
	}
	return pairs >= 2 && bad*20 <= pairs && common*2 >= pairs
}

func controls(b []byte) int {
	n := 0
	for _, c := range b {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != 0x1b && c != '\b' && c != '\f' {
			n++
		}
	}
	return n
}

// Decode returns raw, a piece of a text stored as e, as valid UTF-8.
func (e Encoding) Decode(raw []byte) string {
	if e == GBK {
		if out, err := simplifiedchinese.GBK.NewDecoder().Bytes(raw); err == nil {
			raw = out
		}
	}
	return string(bytes.ToValidUTF8(raw, []byte("\ufffd")))
}
