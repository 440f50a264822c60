package present

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/keepwell/keepwell"
)

// junitHandler prints JUnit XML as CI systems read it: a test case per fault,
// failed unless it is a mere note; a text without fault is one passed case.
type junitHandler struct {
	w     io.Writer
	style Style
	suite junitSuite
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string        `xml:"name,attr"`
	Classname string        `xml:"classname,attr"`
	Failure   *junitFailure `xml:"failure,omitempty"`
	Output    string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (h *junitHandler) Handle(e keepwell.Event) error {
	switch e := e.(type) {
	case keepwell.Started:
		h.suite.Name = "keepwell " + e.Command
	case keepwell.Found:
		h.add(e.Finding)
	case keepwell.Finished:
		return h.write()
	}
	return nil
}

func (h *junitHandler) add(f keepwell.Finding) {
	c := junitCase{Name: string(f.Code), Classname: h.suite.Name}
	var text strings.Builder
	for _, ev := range f.Evidence {
		text.WriteString(Visible(ev.Text, false) + "\n")
	}
	for _, r := range f.Remedies {
		text.WriteString(strings.TrimSpace(Visible(r.Title, true)+"\n  "+Visible(r.Command, true)) + "\n")
	}
	if f.Severity == keepwell.SeverityInfo {
		c.Output = sentence(f) + "\n" + text.String()
	} else {
		c.Failure = &junitFailure{Message: sentence(f), Type: string(f.Severity), Text: text.String()}
		h.suite.Failures++
	}
	h.suite.Cases = append(h.suite.Cases, c)
}

func (h *junitHandler) write() error {
	if len(h.suite.Cases) == 0 {
		h.suite.Cases = []junitCase{{Name: "no fault found", Classname: h.suite.Name}}
	}
	h.suite.Tests = len(h.suite.Cases)
	out, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{h.suite}}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	// "##[" is a command to a CI that reads the document in its log.
	out = bytes.ReplaceAll(out, []byte("##"), []byte("#&#35;"))
	if _, err := fmt.Fprintf(h.w, "%s%s\n", xml.Header, out); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	return nil
}
