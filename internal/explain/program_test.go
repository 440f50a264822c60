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

// TestOtherClients tells the network faults of clients that are not looked after
// here from those of git, go, npm and pip, which print the same words.
func TestOtherClients(t *testing.T) {
	for _, c := range []struct {
		name, text string
		other      bool
	}{
		{"a login", "ssh: connect to host web1.example.com port 22: Connection timed out", true},
		{"a login refused", "deploy@web1.example.com: Permission denied (publickey).", true},
		{"a clone", "Cloning into 'widget'...\nssh: connect to host code.example.com port 22: Connection timed out\nfatal: Could not read from remote repository.", false},
		{"a forge", "ssh: connect to host github.com port 22: Connection timed out", false},
		{"git's user", "git@code.example.com: Permission denied (publickey).", false},
		{"another user of git's", "builder@code.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.", false},
		{"Ansible", `fatal: [web1]: UNREACHABLE! => {"msg": "ssh: connect to host web1.example.com port 22: Connection timed out"}`, true},
		{"cargo", "warning: spurious network error (3 tries remaining): [6] Could not resolve host: index.crates.io", true},
		{"cargo for pip", "  × Preparing metadata (pyproject.toml) did not run successfully.\n      warning: spurious network error: Could not resolve host: index.crates.io\nerror: subprocess-exited-with-error", false},
		{"curl", "curl: (6) Could not resolve host: api.example.com", true},
		{"curl at a proxy for Go", "curl: (6) Could not resolve host: goproxy.example.org", false},
		{"go", "go: example.com/widget@v1.0.0: git fetch -f origin: exit status 128:\n\tssh: connect to host web1.example.com port 22: Connection timed out", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newStatement(normalise.Lines(c.text, 1)).OfOther(); got != c.other {
				t.Errorf("OfOther() = %v, want %v", got, c.other)
			}
		})
	}
}
