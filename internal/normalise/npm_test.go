package normalise

import "testing"

// TestNpmMarker: npm's marker is found behind the prefixes of what runs npm, and
// Windows paths are no line breaks.
func TestNpmMarker(t *testing.T) {
	t.Parallel()
	const path = `Error: EPERM: operation not permitted, unlink 'C:\Users\dev\AppData\Roaming\npm\node_modules\npm\left'`
	for _, c := range []struct {
		name, in string
		speaker  string
		want     []string
	}{
		{"plain", "npm ERR! code E404", "npm", []string{"code E404"}},
		{"PowerShell", "npm : npm ERR! code E404", "npm", []string{"code E404"}},
		{"Maven", "[INFO] npm ERR! code E404", "npm", []string{"code E404"}},
		{"Heroku", "remote:        npm ERR! code E404", "npm", []string{"code E404"}},
		{"Ansible", `        "npm ERR! code E404",`, "npm", []string{"code E404"}},
		{"words about npm", "it prints npm ERR! code E404", "", []string{"it prints npm ERR! code E404"}},
		{"one line", "npm ERR! code E404 npm ERR! 404 Not Found", "npm", []string{"code E404", "404 Not Found"}},
		{"a Windows path", "npm ERR! " + path, "npm", []string{path}},
		{"an indented debug log", "  88 error code E404", "npm", []string{"code E404"}},
		{"BuildKit's tail", " => => # code E404", "", []string{"code E404"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines := Lines(c.in, 1)
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d: %+v", len(lines), len(c.want), lines)
			}
			for i, l := range lines {
				if l.Text != c.want[i] || l.Speaker != c.speaker {
					t.Errorf("line %d: %q of %q, want %q of %q", i, l.Text, l.Speaker, c.want[i], c.speaker)
				}
			}
		})
	}
}
