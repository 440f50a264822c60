package diagnose_test

import (
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// TestAttempts: what a package manager says of a try that it repeats is no failure
// where it concludes that all is installed.
func TestAttempts(t *testing.T) {
	t.Parallel()
	const (
		pipTry  = "Collecting left-widget\n  WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by 'ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.example.org', port=443): Read timed out. (read timeout=15)\")': /simple/left-widget/\n"
		npmTry  = "npm http fetch GET https://registry.example.org/left-widget attempt 1 failed with ETIMEDOUT\n"
		pnpmTry = " WARN  GET https://registry.example.org/left-widget error (ECONNRESET). Will retry in 10 seconds. 2 retries left.\n"
		npmEnd  = "npm error code ETIMEDOUT\nnpm error network request to https://registry.example.org/left-widget failed, reason: connect ETIMEDOUT 203.0.113.9:443\n"
	)
	for _, c := range []struct {
		story, text string
		want        keepwell.Severity
	}{
		{"pip gave up", pipTry + "ERROR: Could not find a version that satisfies the requirement left-widget (from versions: none)\n", keepwell.SeverityError},
		{"pip went on", pipTry + "  Downloading left_widget-1.0-py3-none-any.whl (12 kB)\nInstalling collected packages: left-widget\nSuccessfully installed left-widget-1.0\n", keepwell.SeverityInfo},
		{"pip's next command fails", "Successfully installed left-widget-1.0\n" + pipTry, keepwell.SeverityError},
		{"npm went on", npmTry + "\nadded 12 packages, and audited 13 packages in 42s\n", keepwell.SeverityInfo},
		{"npm gave up", npmTry + npmEnd, keepwell.SeverityError},
		{"npm failed once, and a second call went well", npmEnd + "\nadded 12 packages, and audited 13 packages in 42s\n", keepwell.SeverityError},
		{"pnpm went on", pnpmTry + "Packages: +12\nProgress: resolved 12, reused 0, downloaded 12, added 12, done\nDone in 14.2s\n", keepwell.SeverityInfo},
		{"yarn went on", "yarn install v1.22.19\n[2/4] Fetching packages...\ninfo There appears to be trouble with your network connection. Retrying...\n[4/4] Building fresh packages...\nsuccess Saved lockfile.\nDone in 123.45s.\n", keepwell.SeverityInfo},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			findings, _, err := diagnose.Read(t.Context(), strings.NewReader(c.text), fingerprint.Default(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(findings) == 0 || findings[0].Severity != c.want && (findings[0].Severity != "" || c.want != keepwell.SeverityError) {
				t.Errorf("findings %+v, want the first to be of severity %q", findings, c.want)
			}
		})
	}
}
