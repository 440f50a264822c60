package present_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// canaries are what a server, a log or a repository might plant to act on who
// reads the report.
var canaries = map[string]string{
	"CSI":               "a\x1b[2J\x1b[31mb",
	"OSC 8 hyperlink":   "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\b",
	"OSC 52 clipboard":  "a\x1b]52;c;ZXZpbA==\x07b",
	"BEL and backspace": "a\x07\b\x7fb",
	"C1":                "a\u009b31m\u009d8;;x\u009c\u0085b",
	"bidi":              "a\u202eb\u2066c\u061cd\u200fe",
	"invisible":         "a\u200b\ufeff\u2028\u2029\U000e0041b",
	"workflow command":  "::error::planted\n::set-env name=X::y\n  ::add-mask::z",
	"old command":       "x ##[error]planted ##vso[task.setvariable variable=X]y\n##teamcity[buildStop]",
	"escaped newline":   "a%0A::error::planted%0D%25",
	"newlines":          "a\nb\r\nc\rd",
	"script":            "<script>alert(1)</script><img src=x onerror=y>",
	"Markdown link":     "[x](javascript:alert(1)) ![i](https://evil.example/i.png) [y](1) \\[z](2)",
	"end of element":    "</failure></testcase>]]><x y=\"z'\">&amp;&#27;",
	"placeholder":       "{0} {{1}} {module}",
	"NUL":               "a\x00b",
	"invalid UTF-8":     "a\xff\xfe\xc3b",
	"surrogate":         "a\xed\xa0\x80b",
	"tab":               "a\tb",
}

func hostile(s string) keepwell.Finding {
	return keepwell.Finding{
		Code: "net/refused", Severity: keepwell.SeverityError, Owner: keepwell.OwnerNetwork, Confidence: 0.9,
		Title: s, Cause: s, Tool: "go", Count: 2,
		Evidence: []keepwell.Evidence{
			{Source: "input", Text: s, Line: 7, Marks: []keepwell.Span{{Start: 0, End: len(s)}}},
			{Source: "server response", Text: "x\n" + s, Line: 8, Marks: []keepwell.Span{{Start: 1, End: 3}}},
			{Source: "environment", Text: s},
		},
		Remedies: []keepwell.Remedy{{ID: "x", Title: s, Command: s, Undo: s, Safety: keepwell.SafetySafe}, {ID: "y", Title: s, Safety: keepwell.SafetyManual}},
		Rivals:   []keepwell.Rival{{Code: "net/dns", Title: s, Probe: s, Tells: s}},
		Facts:    keepwell.Facts{"server": s},
	}
}

func write(t *testing.T, format present.Format, style present.Style, findings ...keepwell.Finding) string {
	t.Helper()
	var out bytes.Buffer
	h, err := present.New(format, &out, style)
	if err != nil {
		t.Fatal(err)
	}
	target := keepwell.Target{Kind: "text", Name: "-", Encoding: "utf-8"}
	events := []keepwell.Event{keepwell.Started{Command: "explain", Target: target}, keepwell.Progressed{Done: 1}}
	for _, f := range findings {
		events = append(events, keepwell.Found{Finding: f})
	}
	for _, e := range append(events, keepwell.Finished{Target: target}) {
		if err := h.Handle(e); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func eachCanary(t *testing.T, test func(t *testing.T, canary string, f keepwell.Finding)) {
	t.Helper()
	for name, s := range canaries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Second: among the findings that are told in a line.
			test(t, s, hostile(s))
		})
	}
}

// acts lists the characters that act on a terminal or hide what stands there.
var acts = regexp.MustCompile("[\\x00-\\x08\\x0b-\\x1f\\x7f\u0080-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

func noneActs(t *testing.T, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("invalid UTF-8: %q", out)
	}
	if m := acts.FindString(out); m != "" {
		t.Errorf("%q stands in the output: %q", m, out)
	}
	noCommand(t, out)
}

func noCommand(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(out, "##[") || strings.Contains(out, "##vso[") || strings.Contains(out, "##teamcity[") {
		t.Errorf("a CI's command stands in the output: %q", out)
	}
}

// commandLine is a line that GitHub's runner takes for a command.
var commandLine = regexp.MustCompile(`(?m)^\s*::`)

func TestCanariesInText(t *testing.T) {
	t.Parallel()
	ownColours := regexp.MustCompile("\x1b\\[(?:0|1|2|36|1;3[134])m")
	eachCanary(t, func(t *testing.T, _ string, f keepwell.Finding) {
		for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
			for _, width := range []int{21, 40, 80} { // wrapping must not bring a command to a line's start
				plain := write(t, present.Text, present.Style{Lang: lang, Width: width}, f, f)
				noneActs(t, plain)
				if strings.Contains(plain, "\t") {
					t.Errorf("a tab in %q", plain)
				}
				if m := commandLine.FindString(plain); m != "" {
					t.Errorf("a workflow command in\n%s", plain)
				}
				// Without our colours nothing is left that acts; nor do they make a command.
				painted := write(t, present.Text, present.Style{Lang: lang, Color: true, Width: width}, f, f)
				noCommand(t, painted)
				if m := acts.FindString(ownColours.ReplaceAllString(painted, "")); m != "" {
					t.Errorf("%q stands in %q", m, painted)
				}
			}
		}
	})
}

func TestCanariesInGitHubAnnotations(t *testing.T) {
	t.Parallel()
	annotation := regexp.MustCompile(`^::error title=[^:,]*::[^\n]*\n$`)
	eachCanary(t, func(t *testing.T, canary string, f keepwell.Finding) {
		out := write(t, present.GitHub, present.Style{}, f)
		if !annotation.MatchString(out) {
			t.Errorf("not one annotation: %q", out)
		}
		if !utf8.ValidString(out) || acts.MatchString(out) {
			t.Errorf("%q", out)
		}
		// The runner undoes the escapes; what it then shows must have no escape of the canary's own.
		if strings.Contains(canary, "%0A") && !strings.Contains(out, "%250A") {
			t.Errorf("%%0A came through as a newline: %q", out)
		}
	})
}

func TestCanariesInJSON(t *testing.T) {
	t.Parallel()
	eachCanary(t, func(t *testing.T, canary string, f keepwell.Finding) {
		out := write(t, present.JSON, present.Style{}, f)
		noneActs(t, out)
		if strings.ContainsAny(out, "<>&") {
			t.Errorf("markup in %s", out)
		}
		var doc keepwell.Document
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(canary) {
			if diff := cmp.Diff([]keepwell.Finding{f}, doc.Findings); diff != "" {
				t.Errorf("JSON changes the finding (-in +out):\n%s", diff)
			}
		} else if got := doc.Findings[0].Cause; !strings.HasPrefix(got, "a\ufffd") || !strings.HasSuffix(got, "b") {
			t.Errorf("cause %q", got)
		}
		lines := write(t, present.JSONL, present.Style{}, f)
		noneActs(t, lines)
		if n := strings.Count(lines, "\n"); n != 3 {
			t.Errorf("%d lines, want started, found, finished: %s", n, lines)
		}
		for line := range strings.Lines(lines) {
			if err := json.Unmarshal([]byte(line), new(any)); err != nil {
				t.Errorf("%v: %s", err, line)
			}
		}
	})
}

func TestCanariesInSARIF(t *testing.T) {
	t.Parallel()
	eachCanary(t, func(t *testing.T, _ string, f keepwell.Finding) {
		out := write(t, present.SARIF, present.Style{Version: "v1.0.0"}, f, f)
		noneActs(t, out)
		if strings.ContainsAny(out, "<>&") {
			t.Errorf("markup in %s", out)
		}
		checkSARIF(t, out)
	})
}

func TestCanariesInJUnit(t *testing.T) {
	t.Parallel()
	eachCanary(t, func(t *testing.T, _ string, f keepwell.Finding) {
		note := f
		note.Severity = keepwell.SeverityInfo
		out := write(t, present.JUnit, present.Style{}, f, note)
		noneActs(t, out)
		if strings.Contains(out, "<script") || strings.Contains(out, "<x") {
			t.Errorf("markup in %s", out)
		}
		cases := checkJUnit(t, out)
		if len(cases) != 2 || cases[0].Failure == nil || cases[1].Failure != nil || cases[1].Output == "" {
			t.Errorf("cases %+v", cases)
		}
	})
}

type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	} `xml:"testsuite"`
}

type testcase struct {
	Name    string `xml:"name,attr"`
	Class   string `xml:"classname,attr"`
	Failure *struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	} `xml:"failure"`
	Output string `xml:"system-out"`
}

// checkJUnit reads the document as a CI does and compares its counts.
func checkJUnit(t *testing.T, out string) []testcase {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(out))
	for { // every element is one of JUnit's
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if e, ok := token.(xml.StartElement); ok && !slices.Contains([]string{"testsuites", "testsuite", "testcase", "failure", "system-out"}, e.Name.Local) {
			t.Errorf("element %s", e.Name.Local)
		}
	}
	var doc suites
	if err := xml.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Suites) != 1 {
		t.Fatalf("%d suites", len(doc.Suites))
	}
	s := doc.Suites[0]
	failures := 0
	for _, c := range s.Cases {
		if c.Name == "" || c.Class == "" {
			t.Errorf("a case without name: %+v", c)
		}
		if c.Failure != nil {
			failures++
			if c.Failure.Message == "" || c.Failure.Type == "" {
				t.Errorf("a failure without message: %+v", c.Failure)
			}
		}
	}
	if s.Tests != len(s.Cases) || s.Failures != failures {
		t.Errorf("%d tests and %d failures are claimed, %d and %d are there", s.Tests, s.Failures, len(s.Cases), failures)
	}
	return s.Cases
}

// checkSARIF holds a log to what SARIF 2.1.0 requires of the properties that are
// used (OASIS, sections 3.13 to 3.30 and 3.49), and to the rule that a message
// holds no link that was not meant (3.11.6).
func checkSARIF(t *testing.T, out string) []any {
	t.Helper()
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(out))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	c := sarifChecker{t}
	c.only(doc, "log", "$schema", "version", "runs")
	if doc["version"] != "2.1.0" {
		t.Errorf("version %v", doc["version"])
	}
	runs := c.list(doc, "runs")
	if len(runs) != 1 {
		t.Fatalf("%d runs", len(runs))
	}
	run := c.object(runs[0], "run")
	c.only(run, "run", "tool", "results")
	tool := c.object(run["tool"], "tool")
	c.only(tool, "tool", "driver")
	driver := c.object(tool["driver"], "driver")
	c.only(driver, "driver", "name", "version", "informationUri", "rules")
	c.text(driver, "name")
	rules := c.list(driver, "rules")
	ids := map[string]bool{}
	for _, r := range rules {
		rule := c.object(r, "rule")
		c.only(rule, "rule", "id", "shortDescription", "help")
		if id := c.text(rule, "id"); ids[id] {
			t.Errorf("rule %s stands twice", id)
		} else {
			ids[id] = true
		}
		c.message(rule["shortDescription"], "shortDescription")
		if rule["help"] != nil {
			c.message(rule["help"], "help")
		}
	}
	results := c.list(run, "results")
	for _, r := range results {
		c.result(c.object(r, "result"), rules)
	}
	return results
}

type sarifChecker struct{ t *testing.T }

func (c sarifChecker) result(r map[string]any, rules []any) {
	c.t.Helper()
	c.only(r, "result", "ruleId", "ruleIndex", "level", "message", "locations", "properties")
	index, err := r["ruleIndex"].(json.Number).Int64()
	if err != nil || index < 0 || int(index) >= len(rules) || c.object(rules[index], "rule")["id"] != r["ruleId"] {
		c.t.Errorf("ruleIndex %v does not lead to rule %v", r["ruleIndex"], r["ruleId"])
	}
	if l := r["level"]; l != "none" && l != "note" && l != "warning" && l != "error" {
		c.t.Errorf("level %v", l)
	}
	c.message(r["message"], "message")
	if r["locations"] == nil {
		return
	}
	for _, l := range c.list(r, "locations") {
		location := c.object(l, "location")
		c.only(location, "location", "physicalLocation")
		physical := c.object(location["physicalLocation"], "physicalLocation")
		c.only(physical, "physicalLocation", "artifactLocation", "region")
		uri := c.text(c.object(physical["artifactLocation"], "artifactLocation"), "uri")
		if strings.ContainsAny(uri, " \\<>\"{}|^`") {
			c.t.Errorf("uri %q is not escaped", uri)
		}
		region := c.object(physical["region"], "region")
		c.only(region, "region", "startLine", "snippet")
		if n, err := region["startLine"].(json.Number).Int64(); err != nil || n < 1 {
			c.t.Errorf("startLine %v", region["startLine"])
		}
		c.text(c.object(region["snippet"], "snippet"), "text")
	}
}

func (c sarifChecker) only(o map[string]any, what string, names ...string) {
	c.t.Helper()
	for k := range o {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+k+" ") {
			c.t.Errorf("%s has the unknown property %s", what, k)
		}
	}
}

func (c sarifChecker) object(v any, what string) map[string]any {
	c.t.Helper()
	o, ok := v.(map[string]any)
	if !ok {
		c.t.Fatalf("%s is %T, not an object", what, v)
	}
	return o
}

func (c sarifChecker) list(o map[string]any, name string) []any {
	c.t.Helper()
	l, ok := o[name].([]any)
	if !ok {
		c.t.Fatalf("%s is %T, not an array", name, o[name])
	}
	return l
}

func (c sarifChecker) text(o map[string]any, name string) string {
	c.t.Helper()
	s, ok := o[name].(string)
	if !ok || s == "" {
		c.t.Errorf("%s is %v, not a text", name, o[name])
	}
	return s
}

// openLink is an embedded link with an unescaped bracket: brackets are escaped by
// an odd number of backslashes.
var openLink = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\[[^\]]*[^\\](?:\\\\)*\]\(`)

func (c sarifChecker) message(v any, what string) {
	c.t.Helper()
	o := c.object(v, what)
	c.only(o, what, "text")
	s := c.text(o, "text")
	if openLink.MatchString(s) {
		c.t.Errorf("%s holds a link: %q", what, s)
	}
	if bare := strings.NewReplacer("{{", "", "}}", "").Replace(s); strings.ContainsAny(bare, "{}") {
		c.t.Errorf("%s holds a placeholder: %q", what, s)
	}
}

func TestNothingFoundInEveryFormat(t *testing.T) {
	t.Parallel()
	if out := write(t, present.Text, present.Style{}); !strings.HasPrefix(out, "No dependency fault found") {
		t.Errorf("text %q", out)
	}
	if out := write(t, present.JSON, present.Style{}); !strings.Contains(out, `"findings": []`) {
		t.Errorf("json %s", out)
	}
	if out := write(t, present.JSONL, present.Style{}); strings.Count(out, "\n") != 2 {
		t.Errorf("jsonl %s", out)
	}
	if out := write(t, present.GitHub, present.Style{}); out != "" {
		t.Errorf("github %s", out)
	}
	if results := checkSARIF(t, write(t, present.SARIF, present.Style{})); len(results) != 0 {
		t.Errorf("sarif %v", results)
	}
	if cases := checkJUnit(t, write(t, present.JUnit, present.Style{})); len(cases) != 1 || cases[0].Failure != nil {
		t.Errorf("junit %+v", cases)
	}
}

func TestSARIFNamesTheFileThatWasRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"-": "stdin", "build.log": "build.log", "a b/ü.log": "a%20b/%C3%BC.log", "/tmp/x.log": "file:///tmp/x.log",
		`C:\logs\x.log`: "file:///C:/logs/x.log", `logs\x.log`: "logs/x.log", "a:b.log": "./a:b.log",
	} {
		var out bytes.Buffer
		h, err := present.New(present.SARIF, &out, present.Style{})
		if err != nil {
			t.Fatal(err)
		}
		target := keepwell.Target{Kind: "text", Name: name}
		for _, e := range []keepwell.Event{keepwell.Started{Target: target}, keepwell.Found{Finding: hostile("x")}, keepwell.Finished{Target: target}} {
			if err := h.Handle(e); err != nil {
				t.Fatal(err)
			}
		}
		checkSARIF(t, out.String())
		if !strings.Contains(out.String(), fmt.Sprintf("%q: %q", "uri", want)) {
			t.Errorf("%s: %s is not in %s", name, want, out.String())
		}
	}
}

// full fails every write, as a full disk does.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestEveryFormatReportsAFailedWrite(t *testing.T) {
	t.Parallel()
	for _, format := range present.Formats() {
		h, err := present.New(format, full{}, present.Style{})
		if err != nil {
			t.Fatal(err)
		}
		var failed error
		for _, e := range []keepwell.Event{keepwell.Started{}, keepwell.Found{Finding: hostile("x")}, keepwell.Finished{}} {
			if err := h.Handle(e); err != nil {
				failed = err
			}
		}
		if failed == nil {
			t.Errorf("%s says nothing of a failed write", format)
		}
	}
	if _, err := present.New("xml", full{}, present.Style{}); err == nil {
		t.Error("an unknown format is taken")
	}
}
