package keepwell

import (
	"errors"
	"fmt"
)

// Facts are the typed details of a fault, by the name of the placeholder they
// fill (see [FactKinds]): the module, the host, the HTTP status. A fact that is
// not known is absent; an empty string is never stored.
type Facts map[string]string

// Span marks part of a text: byte offsets, Start included, End excluded.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Evidence is something observed that supports a finding: for `explain`, lines
// of the input.
type Evidence struct {
	// Source says where the text comes from: "input" for the text given to
	// explain, "server response" for what a remote server answered inside it,
	// "environment" for what the machine knows, "probe" for what was seen on the way
	// to a server, "tool" for what a tool printed that keepwell ran, "upstream NAME" for
	// what a server did that keepwell's module proxy asked.
	Source string `json:"source"`
	// Text is the observed text, masked, without control characters.
	Text string `json:"text"`
	// Line is the 1-based line of the input where Text begins; 0 where the
	// source has no lines.
	Line int `json:"line,omitempty"`
	// Marks are the decisive words of Text.
	Marks []Span `json:"marks,omitempty"`
}

// Safety says how a remedy may be carried out.
type Safety string

// The safeties. A remedy that touches trust, ownership or a package that the
// project does not know yet is never [SafetySafe].
const (
	SafetySafe   Safety = "safe"   // may be done at once; can be undone or does no harm
	SafetyAsks   Safety = "asks"   // may be done after a person agreed
	SafetyManual Safety = "manual" // only a person can do it
)

// Validate reports whether s is a known safety.
func (s Safety) Validate() error {
	switch s {
	case SafetySafe, SafetyAsks, SafetyManual:
		return nil
	}
	return fmt.Errorf("safety %q is none of safe, asks, manual", string(s))
}

// Remedy is one way to mend a fault, in words and, where there is one, as a
// command that can be pasted into a POSIX shell: its placeholders are filled,
// validated and quoted.
type Remedy struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Command string `json:"command,omitempty"`
	Safety  Safety `json:"safety"`
	Undo    string `json:"undo,omitempty"`
}

// Rival is another fault that would print the same text, and the probe that
// tells the two apart.
type Rival struct {
	Code  Code   `json:"code"`
	Title string `json:"title"`
	// Probe is the command that settles it, Tells what its outcome means.
	Probe string `json:"probe,omitempty"`
	Tells string `json:"tells,omitempty"`
}

// Finding is one diagnosed fault.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Confidence is between 0 and 1 and calibrated: what is claimed at 0.9 or
	// more is right at least 95 times in 100.
	Confidence float64 `json:"confidence"`
	Owner      Owner   `json:"owner"`
	// Retryable says whether the same command may succeed later unchanged.
	Retryable bool   `json:"retryable"`
	Title     string `json:"title"`
	Cause     string `json:"cause"`
	// Tool is whose output shows the fault: "go", "npm", "pip" or "git"; empty
	// where it cannot be told.
	Tool     string     `json:"tool,omitempty"`
	Evidence []Evidence `json:"evidence"`
	Remedies []Remedy   `json:"remedies"`
	// Rivals are other causes of the same text, most likely first; empty where
	// the text leaves no doubt.
	Rivals []Rival `json:"rivals,omitempty"`
	// Facts are what was read from the evidence.
	Facts Facts `json:"facts,omitempty"`
	// Count is how many times the fault stands in the input (same code, host
	// and phase); 0 and 1 both mean once. In texts beyond 64 KiB, where a line that
	// repeats itself is not looked at for ever, it is a lower bound.
	Count int `json:"count,omitempty"`
}

// Validate reports everything that is wrong with f at once.
func (f Finding) Validate() error {
	errs := []error{f.Code.Validate(), f.Severity.Validate(), f.Owner.Validate()}
	if f.Confidence < 0 || f.Confidence > 1 {
		errs = append(errs, fmt.Errorf("confidence %v of %s is outside 0..1", f.Confidence, f.Code))
	}
	for _, r := range f.Remedies {
		errs = append(errs, r.Safety.Validate())
	}
	return errors.Join(errs...)
}

// Target is what was looked at: a text, a module, a host.
type Target struct {
	// Kind is "text", "module" or "host".
	Kind string `json:"kind"`
	// Name is the file name ("-" for standard input), module path or host.
	Name string `json:"name"`
	// Bytes and Lines measure a text; 0 elsewhere.
	Bytes int64 `json:"bytes,omitempty"`
	Lines int64 `json:"lines,omitempty"`
	// Encoding of a text before decoding: "utf-8", "utf-16le", "utf-16be" or "gbk".
	Encoding string `json:"encoding,omitempty"`
}
