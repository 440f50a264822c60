//go:build unix

package faultlab

import (
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
)

var (
	update = flag.Bool("update", false, "write the examples of the fault catalogue from what the tools print")
	faults = flag.String("faults", "../../faults", "the catalogue that -update writes")
)

// atATime bounds the scenarios that run together: more only makes each slower,
// and deadlines come into play.
const atATime = 2

func TestScenarios(t *testing.T) {
	if _, err := goVersion(); err != nil && otherGo() != "" {
		t.Fatal(err)
	}
	cache := t.TempDir()
	slots := make(chan struct{}, atATime)
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			runScenario(t, s, cache)
		})
	}
}

func runScenario(t *testing.T, s Scenario, cache string) {
	need(t, s)
	if isOld(s) {
		s.Code, s.Also = s.Before[0], s.Before[1:]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	lab := Open(t, cache)
	start := time.Now()
	raw := s.Run(ctx, lab)
	shown := lab.Normalise(raw)
	keep(t, s, raw, shown)
	t.Logf("%s -> %s (%v)", s.Name, s.Code, time.Since(start).Round(10*time.Millisecond))

	if err := ctx.Err(); err != nil {
		t.Errorf("the tool was stopped: %v", err)
	}
	silent := isOld(s) && slices.Contains(s.Also, keepwell.None)
	if strings.TrimSpace(raw) == "" && !silent {
		t.Error("the tool printed nothing")
	}
	if lab.Failed() == s.Warns && !isOld(s) {
		t.Errorf("the tool failed: %v, the scenario says that it warns: %v\n%s", lab.Failed(), s.Warns, raw)
	}
	if strays := lab.Strays(); len(strays) > 0 {
		t.Errorf("the tool asked for names outside the lab: %v", strays)
	}
	checkShown(t, lab, shown)
	checkDiagnosis(t, s, shown)
	if *update && s.Example && !t.Failed() && otherGo() == "" {
		if err := writeExample(*faults, s.Code, shown); err != nil {
			t.Error(err)
		}
	}
}

// checkShown holds the normalised text to what a reader may see.
func checkShown(t *testing.T, lab *Lab, shown string) {
	t.Helper()
	for _, private := range []string{lab.Dir, lab.world.addr(), "127.0.0.1:"} {
		if strings.Contains(shown, private) {
			t.Errorf("the normalised text still holds %q:\n%s", private, shown)
		}
	}
}

// need skips a scenario whose tools this machine lacks.
func need(t *testing.T, s Scenario) {
	t.Helper()
	for _, n := range append([]string{s.Tool}, s.Needs...) {
		if n == "pip" {
			n = "python3" // pip is run as its module
		}
		if n == "root" {
			if os.Getuid() != 0 {
				t.Skip("only root can set this up")
			}
		} else if _, err := exec.LookPath(executable(n)); err != nil {
			t.Skipf("%s is not installed", n)
		}
	}
	if s.Tool != "go" && otherGo() != "" {
		t.Skip("only the scenarios of go run with another go command")
	}
	if isOld(s) && len(s.Before) == 0 {
		t.Skipf("go has this since %s", s.Since)
	}
}

// isOld reports whether the go command under test is older than the scenario.
func isOld(s Scenario) bool { return s.Tool == "go" && s.Since != "" && goBefore(s.Since) }

var keeping sync.Mutex

// keep saves the raw and the normalised text for a person to look at, and one
// line for each scenario.
func keep(t *testing.T, s Scenario, raw, shown string) {
	t.Helper()
	dir := os.Getenv("KEEPWELL_FAULTLAB_OUT")
	if dir == "" {
		return
	}
	keeping.Lock()
	defer keeping.Unlock()
	list, err := os.OpenFile(filepath.Join(dir, "scenarios.tsv"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	err = cmp.Or(err, os.WriteFile(filepath.Join(dir, s.Name+".raw.txt"), []byte(raw), 0o644),
		os.WriteFile(filepath.Join(dir, s.Name+".txt"), []byte(shown), 0o644))
	if err != nil {
		t.Fatalf("saving outputs: %v", err)
	}
	defer list.Close()
	_, _ = list.WriteString(s.Name + "\t" + string(s.Code) + "\t" + joinCodes(s.Also) + "\n")
}

func joinCodes(list []keepwell.Code) string {
	var words []string
	for _, c := range list {
		words = append(words, string(c))
	}
	return strings.Join(words, ",")
}

// TestTable holds the tables to their own rules.
func TestTable(t *testing.T) {
	names, examples, codes := map[string]bool{}, map[keepwell.Code]string{}, map[keepwell.Code]bool{}
	for _, s := range Scenarios() {
		if names[s.Name] {
			t.Errorf("two scenarios are called %s", s.Name)
		}
		names[s.Name], codes[s.Code] = true, true
		if err := s.Code.Validate(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if other := examples[s.Code]; s.Example && other != "" {
			t.Errorf("%s and %s are both the example of %s", s.Name, other, s.Code)
		} else if s.Example {
			examples[s.Code] = s.Name
		}
	}
	t.Logf("%d scenarios, %d codes, %d examples", len(names), len(codes), len(examples))
}
