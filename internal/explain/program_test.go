package explain

import (
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/normalise"
)

// TestVoices tells what tests, diffs and programs print from what tools say: the
// lines of the statements that are no program's.
func TestVoices(t *testing.T) {
	const fault = "go: module lookup disabled by GOPROXY=off"
	for _, c := range []struct{ name, text, tools string }{
		{"a tool alone", fault, fault},
		{"a test's output", "=== RUN   TestA\n" + fault + "\n    a_test.go:3: npm error code E404\n--- FAIL: TestA (0.00s)", ""},
		{"a test's blank lines", "=== RUN   TestA\n    a_test.go:3: got:\n\n        ERROR: Could not find a version\n--- FAIL: TestA (0.00s)", ""},
		{"a failure's log", "--- FAIL: TestA (0.00s)\n    a_test.go:3: got:\n\n        npm error code E404\n        ERROR: Could not find a version", ""},
		{"a long log", "--- FAIL: TestA (0.00s)\n" + strings.Repeat("        ERROR: Could not find a version\n", 3*maxLines), ""},
		{"an event", `{"Time":"2026-01-01T00:00:00Z","Action":"output","Package":"example.org/shop","Test":"TestA","Output":"go: disabled\n"}`, ""},
		{"a diff", "@@ -1,3 +1,3 @@\n-" + fault + "\n \n+ok", ""},
		{"a program's log", "2026/01/01 12:00:00 widget@v1.2.0: dial tcp 192.0.2.10:443: connect: connection refused", ""},
		{"the compiler's quotation", "a.go:3:5: cannot use \"no such host\" (untyped string constant) as int value", ""},
		{"a tool after a test", "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\nok  \texample.org/shop\t0.1s\nfatal: unable to access it", "fatal: unable to access it"},
		{"a tool after a failure", "FAIL\texample.org/shop\t0.1s\nfatal: unable to access it", "fatal: unable to access it"},
		{"a tool after a diff", "@@ -1 +1 @@\n-a\n+b\nfatal: unable to access it", "fatal: unable to access it"},
		{"a command in a test's log", "=== RUN   TestA\n+ go mod download\n" + fault, "+ go mod download\n" + fault},
		{"a tool that logs", "2026/01/01 12:00:00 go mod download: " + fault, "2026/01/01 12:00:00 go mod download: " + fault},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tools []string
			Split(normalise.Lines(c.text, 1), func(s *Statement) {
				if !s.OfProgram() {
					tools = append(tools, s.Text)
				}
			})
			if got := strings.Join(tools, "\n"); got != c.tools {
				t.Errorf("tools say %q, want %q", got, c.tools)
			}
		})
	}
}
