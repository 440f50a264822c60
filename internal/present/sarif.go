package present

import (
	"io"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/keepwell/keepwell"
)

// sarifHandler prints one SARIF 2.1.0 log (OASIS, docs.oasis-open.org/sarif/sarif/v2.1.0).
type sarifHandler struct {
	w      io.Writer
	style  Style
	target keepwell.Target
	run    sarifRun
}

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string       `json:"id"`
	ShortDescription sarifMessage `json:"shortDescription"`
	Help             sarifMessage `json:"help"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID     string          `json:"ruleId"`
	RuleIndex  int             `json:"ruleIndex"`
	Level      string          `json:"level"`
	Message    sarifMessage    `json:"message"`
	Locations  []sarifLocation `json:"locations,omitempty"`
	Properties map[string]any  `json:"properties"`
}

type sarifLocation struct {
	PhysicalLocation struct {
		ArtifactLocation struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	StartLine int           `json:"startLine"`
	Snippet   *sarifMessage `json:"snippet,omitempty"`
}

func (h *sarifHandler) Handle(e keepwell.Event) error {
	switch e := e.(type) {
	case keepwell.Started:
		h.target = e.Target
		h.run.Results = []sarifResult{}
		h.run.Tool.Driver = sarifDriver{
			Name: "keepwell", Version: h.style.Version, InformationURI: "https://github.com/keepwell/keepwell", Rules: []sarifRule{},
		}
	case keepwell.Found:
		h.add(e.Finding)
	case keepwell.Finished:
		return encode(h.w, sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{h.run}}, "  ", "SARIF")
	}
	return nil
}

func (h *sarifHandler) add(f keepwell.Finding) {
	level := map[keepwell.Severity]string{
		keepwell.SeverityError: "error", keepwell.SeverityWarning: "warning", keepwell.SeverityInfo: "note",
	}[f.Severity]
	help := make([]string, 0, len(f.Remedies))
	for _, r := range f.Remedies {
		help = append(help, strings.TrimSpace(plainMessage(r.Title)+"\n"+plainMessage(r.Command)))
	}
	result := sarifResult{
		RuleID: string(f.Code), RuleIndex: h.rule(f, strings.Join(help, "\n")), Level: level,
		Message:    sarifMessage{plainMessage(sentence(f))},
		Properties: map[string]any{"confidence": f.Confidence, "owner": f.Owner, "retryable": f.Retryable, "count": max(f.Count, 1)},
	}
	for _, ev := range f.Evidence {
		if ev.Line > 0 {
			result.Locations = append(result.Locations, h.location(ev))
		}
	}
	h.run.Results = append(h.run.Results, result)
}

// rule returns the index of f's rule, adding it when it is new.
func (h *sarifHandler) rule(f keepwell.Finding, help string) int {
	rules := &h.run.Tool.Driver.Rules
	for i, r := range *rules {
		if r.ID == string(f.Code) {
			return i
		}
	}
	*rules = append(*rules, sarifRule{ID: string(f.Code), ShortDescription: sarifMessage{plainMessage(f.Title)}, Help: sarifMessage{help}})
	return len(*rules) - 1
}

func (h *sarifHandler) location(ev keepwell.Evidence) sarifLocation {
	var l sarifLocation
	l.PhysicalLocation.ArtifactLocation.URI = artifact(h.target.Name)
	l.PhysicalLocation.Region = &sarifRegion{StartLine: ev.Line, Snippet: &sarifMessage{Visible(ev.Text, false)}}
	return l
}

// driveLetter begins an absolute path of Windows.
var driveLetter = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]:/`) })

// artifact is the URI of the file that was read (3.4): relative as it was given, or
// of scheme file where the path is absolute.
func artifact(name string) string {
	if name == "" || name == "-" {
		return "stdin"
	}
	u := url.URL{Path: strings.ReplaceAll(name, `\`, "/")}
	switch {
	case driveLetter().MatchString(u.Path):
		u.Scheme, u.Path = "file", "/"+u.Path
	case strings.HasPrefix(u.Path, "/"):
		u.Scheme = "file"
	}
	return u.String()
}

// plainMessage escapes what SARIF reads as an embedded link or a placeholder
// (3.11.6, 3.11.5): foreign text must not become a link in a viewer.
func plainMessage(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "{", "{{", "}", "}}").Replace(Visible(s, false))
}
