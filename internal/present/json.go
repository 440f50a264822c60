package present

import (
	"encoding/json"
	"fmt"
	"io"

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
		enc := json.NewEncoder(h.w) // escapes <, > and & too: JSON is pasted into pages
		enc.SetIndent("", "  ")
		if err := enc.Encode(h.doc); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
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

// jsonlHandler prints each event on a line of its own, as it happens.
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
	if err := json.NewEncoder(h.w).Encode(line); err != nil {
		return fmt.Errorf("writing JSON lines: %w", err)
	}
	return nil
}
