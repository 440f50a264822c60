//go:build unix

package faultlab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// leastNegatives is how many outputs a machine with all tools must produce: a
// table that silently shrinks would prove nothing.
const leastNegatives = 200

// TestNegatives holds explain to silence where no dependency failed.
func TestNegatives(t *testing.T) {
	cache := buildCache(t)
	slots := make(chan struct{}, atATime)
	var count atomic.Int64
	complete := true
	t.Run("sources", func(t *testing.T) {
		for _, s := range negativeSources() {
			if missing := firstMissing(s.tools); missing != "" {
				complete = false
				t.Run(s.name, func(t *testing.T) { t.Skipf("%s is not installed", missing) })
				continue
			}
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				count.Add(runNegatives(t, s, cache))
			})
		}
	})
	t.Logf("%d outputs without a dependency fault", count.Load())
	if complete && !t.Failed() && count.Load() < leastNegatives && runsAll() {
		t.Errorf("only %d negatives, want at least %d", count.Load(), leastNegatives)
	}
}

// buildCache is the tester's own: the programs need much of the standard library,
// which would take most of the time to compile anew.
func buildCache(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Logf("go env GOCACHE: %v", err)
		return t.TempDir()
	}
	return strings.TrimSpace(string(out))
}

// runsAll reports whether -run did not pick single sources.
func runsAll() bool {
	for _, arg := range os.Args {
		if _, pattern, ok := strings.Cut(arg, "test.run="); ok && strings.Contains(pattern, "/") {
			return false
		}
	}
	return true
}

func firstMissing(tools []string) string {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

// runNegatives returns how many negatives s had.
func runNegatives(t *testing.T, s negativeSource, cache string) int64 {
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	lab := Open(t, cache)
	start := time.Now()
	list := s.run(ctx, lab)
	if err := ctx.Err(); err != nil {
		t.Fatalf("the tools were stopped: %v", err)
	}
	if strays := lab.Strays(); len(strays) > 0 {
		t.Errorf("a program asked for names outside the lab: %v", strays)
	}
	seen := map[string]string{}
	for _, n := range list {
		keepNegative(t, s.name, n)
		if strings.TrimSpace(n.text) == "" {
			t.Errorf("%s printed nothing", n.name)
		} else if other, ok := seen[n.text]; ok {
			t.Errorf("%s printed the same as %s", n.name, other)
		}
		seen[n.text] = n.name
		checkSilence(t, n.name, n.text)
		checkSilence(t, n.name+" as if remote", elsewhere(lab.Normalise(n.text)))
	}
	t.Logf("%d negatives (%v)", len(list), time.Since(start).Round(10*time.Millisecond))
	return int64(len(list))
}

var loopback = regexp.MustCompile(`(?:127\.0\.0\.1|localhost):\d+`)

// elsewhere moves the programs' servers off loopback, which explain could take
// as a sign of a program's own traffic.
func elsewhere(text string) string {
	return loopback.ReplaceAllString(text, shownAddress+":443")
}

// checkSilence fails where explain claims an error or a warning.
func checkSilence(t *testing.T, name, text string) {
	t.Helper()
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(text), fingerprint.Default(), nil, nil)
	if err != nil {
		t.Errorf("%s: explaining the output: %v", name, err)
	}
	for _, f := range findings {
		if f.Severity != keepwell.SeverityInfo {
			t.Errorf("%s: explain claims %s (%.2f) by %q for:\n%s", name, f.Code, f.Confidence, f.Evidence[0].Text, text)
		}
	}
}

// keepNegative saves a text for a person to look at.
func keepNegative(t *testing.T, source string, n negative) {
	t.Helper()
	dir := os.Getenv("KEEPWELL_FAULTLAB_OUT")
	if dir == "" {
		return
	}
	name := "negative-" + source + "-" + strings.ReplaceAll(n.name, "/", "-") + ".txt"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(n.text), 0o644); err != nil {
		t.Fatalf("saving outputs: %v", err)
	}
}
