package fingerprint_test

import (
	"bytes"
	"os/exec"
	"sort"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/fingerprint"
)

// TestAnchorsAreRare: what stands in ordinary build logs is no anchor, or a long log
// would be read line by line. The log is the one that .ci/biglog measures with,
// without its failures.
func TestAnchorsAreRare(t *testing.T) {
	t.Parallel()
	log, err := exec.CommandContext(t.Context(), "go", "run", "../diagnose/biglog", "-bytes", "4000000", "-every", "1000000000").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(log, []byte("\n"))
	lower := strings.ToLower(string(log))
	hits := 0
	var common []string
	for _, e := range fingerprint.Default().Entries() {
		for _, a := range e.Anchors {
			if n := strings.Count(lower, a); n > 0 {
				hits += n
				common = append(common, e.ID+": "+a)
			}
		}
	}
	sort.Strings(common)
	if hits*5000 > lines {
		t.Errorf("%d hits in %d ordinary lines: %v", hits, lines, common)
	}
}
