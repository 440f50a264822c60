package present

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/keepwell/keepwell"
)

// jsonHandler prints one document at the end of the stream.
type jsonHandler struct {
	w   io.Writer
	doc keepwell.Document
}

func (h *jsonHandler) Handle(e keepwell.Event) error {
	switch e := e.(type) {
	case keepwell.Started:
		h.doc = keepwell.Document{Command: e.Command, Target: e.Target, Findings: []keepwell.Finding{}}
	case keepwell.Found:
		h.doc.Findings = append(h.doc.Findings, complete(e.Finding))
	case keepwell.Finished:
		h.doc.Target = e.Target
		return encode(h.w, h.doc, "  ", "JSON")
	}
	return nil
}

// complete replaces nil lists by empty ones: readers of JSON need not tell them apart.
func complete(f keepwell.Finding) keepwell.Finding {
	if f.Evidence == nil {
		f.Evidence = []keepwell.Evidence{}
	}
	if f.Remedies == nil {
		f.Remedies = []keepwell.Remedy{}
	}
	return f
}

// jsonlHandler prints each event on a line of its own, as it comes.
type jsonlHandler struct{ w io.Writer }

func (h *jsonlHandler) Handle(e keepwell.Event) error {
	var line any
	switch e := e.(type) {
	case keepwell.Started:
		line = struct {
			Event string `json:"event"`
			keepwell.Started
		}{"started", e}
	case keepwell.Found:
		e.Finding = complete(e.Finding)
		line = struct {
			Event string `json:"event"`
			keepwell.Found
		}{"found", e}
	case keepwell.Finished:
		line = struct {
			Event string `json:"event"`
			keepwell.Finished
		}{"finished", e}
	default: // progress is for people
		return nil
	}
	return encode(h.w, line, "", "JSON lines")
}

// encode writes v as one JSON document and a newline; what names it in an error.
// <, > and & are escaped, since JSON is pasted into pages, and so is what a
// terminal or a CI's log would act on: a reader of JSON sees no difference.
func encode(w io.Writer, v any, indent, what string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing %s: %w", what, err)
	}
	if _, err := w.Write(escapeActing(b.Bytes())); err != nil {
		return fmt.Errorf("writing %s: %w", what, err)
	}
	return nil
}

// escapeActing escapes the characters of a JSON document that encoding/json leaves
// as they are although they act: DEL, the C1 controls, bidirectional and other
// formatting characters, and the second # of "##[", which CIs read anywhere. All
// of them can stand in strings only.
func escapeActing(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	var last rune
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		switch {
		case r == '#' && last == '#', r >= 0x7f && r < 0xa0, isFormatting(r):
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, "\\u%04x", unit)
			}
		default:
			out = append(out, doc[i:i+size]...)
		}
		last = r
		i += size
	}
	return out
}
