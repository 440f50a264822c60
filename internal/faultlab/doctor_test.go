//go:build unix

package faultlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
)

var (
	doctorTable    = flag.String("doctor-table", "", "the Markdown table that TestDoctor writes")
	doctorPatience = flag.Duration("doctor-patience", 5*time.Second, "how long the plain tool may take before doctor is asked")
)

// leastRight is the part of the faulty situations whose first finding must be right.
const leastRight = 0.95

// The least that a machine with everything must try.
const (
	leastFaulty  = 70
	leastHealthy = 15
)

// buildKeepwell makes the binary under test once for a test; other users may run it.
func buildKeepwell(t *testing.T) string {
	t.Helper()
	if otherGo() != "" {
		t.Skip("doctor is tried with this machine's go")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "keepwell")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, "github.com/keepwell/keepwell/cmd/keepwell")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building keepwell: %v\n%s", err, out)
	}
	if exec.CommandContext(t.Context(), bin, "doctor", "--help").Run() != nil {
		t.Skip("this keepwell has no doctor yet")
	}
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// visit is one call of keepwell and what came of it.
type visit struct {
	doc         keepwell.Document
	out, stderr string
	exit        int
	took        time.Duration
	// peak is the memory that the process held at most, in bytes; 0 where the system
	// does not tell.
	peak int64
}

// first is the code of the first finding that counts: of those above info, or even of
// all.
func (v visit) first(even bool) keepwell.Code {
	for _, f := range v.doc.Findings {
		if even || f.Severity != keepwell.SeverityInfo {
			return f.Code
		}
	}
	return ""
}

// codes lists all findings for the log.
func (v visit) codes() string {
	var out []string
	for _, f := range v.doc.Findings {
		out = append(out, fmt.Sprintf("%s (%s %.2f)", f.Code, f.Severity, f.Confidence))
	}
	return cmp.Or(strings.Join(out, ", "), "nothing")
}

// visitLimit ends a keepwell that does not end by itself.
const visitLimit = 40 * time.Second

// keepwell runs the binary in the situation, as the tool's last call ran.
func (l *Lab) keepwell(ctx context.Context, bin string, args ...string) visit {
	l.T.Helper()
	ctx, cancel := context.WithTimeout(ctx, visitLimit)
	defer cancel()
	before, _ := l.wrapper()
	words := append(append(slices.Clone(before), bin), args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env = l.Work, append(l.environ(l.Work), "KEEPWELL_STATE="+l.stateDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		l.T.Fatalf("starting keepwell: %v", err)
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	v := visit{took: time.Since(start), peak: peak(), out: out.String(), stderr: stderr.String(), exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.T.Fatalf("running keepwell: %v", err)
	}
	return v
}

// watchPeak reads the high-water mark of a process until it is gone. What wait tells
// holds the parent's own memory, too, from before exec.
func watchPeak(pid int) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64, 1)
	go func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			select {
			case <-stop:
				result <- most
				return
			case <-tick.C:
				most = max(most, highWater(pid))
			}
		}
	}()
	return func() int64 { close(stop); return <-result }
}

func highWater(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// askDoctor runs doctor for JSON.
func (l *Lab) askDoctor(ctx context.Context, bin string, words ...string) visit {
	l.T.Helper()
	v := l.keepwell(ctx, bin, append([]string{"doctor", "--json"}, words...)...)
	dec := json.NewDecoder(strings.NewReader(v.out))
	if err := dec.Decode(&v.doc); err != nil {
		l.T.Errorf("doctor's JSON after %v, exit code %d: %v\n%s\n%s", v.took, v.exit, err, v.out, v.stderr)
	} else if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		l.T.Errorf("doctor printed more than one document:\n%s", v.out)
	}
	for _, f := range v.doc.Findings {
		if err := f.Validate(); err != nil {
			l.T.Errorf("doctor's finding is invalid: %v", err)
		}
	}
	if v.exit != 0 {
		l.T.Errorf("doctor --json ended with %d, want 0\n%s", v.exit, v.stderr)
	}
	return v
}

// row is a line of the table.
type row struct {
	situation situation
	visit     visit
	words     []string
	said      string // the last line of the plain tool
	toolTook  time.Duration
	capped    bool // the tool was stopped
	right     bool
}

func TestDoctor(t *testing.T) {
	bin, cache := buildKeepwell(t), t.TempDir()
	list := situations()
	rows := make([]*row, len(list))
	t.Run("situations", func(t *testing.T) {
		inPools(t, list, func(s situation) (string, bool) { return s.name, s.waits() }, func(t *testing.T, i int, s situation) {
			rows[i] = tryDoctor(t, s, bin, cache)
		})
	})
	rows = slices.DeleteFunc(rows, func(r *row) bool { return r == nil })
	sum := summarise(rows)
	t.Log(sum.text())
	if sum.right < int(leastRight*float64(sum.faulty)+0.999) {
		t.Errorf("the first finding is right in %d of %d situations, want %.0f %%", sum.right, sum.faulty, 100*leastRight)
	}
	if runsAll() && !t.Skipped() && os.Getuid() == 0 && (sum.faulty < leastFaulty || sum.healthy < leastHealthy) {
		t.Errorf("only %d faulty and %d healthy situations were tried", sum.faulty, sum.healthy)
	}
	if *doctorTable != "" {
		if err := os.WriteFile(*doctorTable, []byte(tableOf(rows, sum)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// waitingAtATime bounds the situations that run together and mostly wait: for a server
// that is silent, or a packet that is lost.
const waitingAtATime = 8

// inPools runs a subtest for each of the list: a few at once that work, and more that
// only wait.
func inPools[T any](t *testing.T, list []T, about func(T) (name string, waits bool), try func(*testing.T, int, T)) {
	queues := map[bool]chan int{false: make(chan int), true: make(chan int)}
	var workers sync.WaitGroup
	for waits, n := range map[bool]int{false: atATime, true: waitingAtATime} {
		for range n {
			workers.Go(func() {
				for i := range queues[waits] {
					name, _ := about(list[i])
					t.Run(name, func(t *testing.T) { try(t, i, list[i]) })
				}
			})
		}
	}
	var feeders sync.WaitGroup
	for _, kind := range []bool{false, true} {
		feeders.Go(func() {
			defer close(queues[kind])
			for i := range list {
				if _, waits := about(list[i]); waits == kind {
					queues[kind] <- i
				}
			}
		})
	}
	feeders.Wait()
	workers.Wait()
}

// tryDoctor sets one situation up and asks doctor about it. A wrong first finding is
// logged, and counted by TestDoctor; a false alarm in a healthy situation fails.
func tryDoctor(t *testing.T, s situation, bin, cache string) *row {
	l, out := arrange(t, s, cache)
	healthy := s.code == ""
	if healthy && strings.HasPrefix(s.name, "healthy-") && l.Failed() {
		t.Fatalf("the tool fails in a healthy situation:\n%s", out)
	}
	r := &row{situation: s, toolTook: l.took, capped: l.exit < 0 && l.took >= l.patience, words: s.args}
	if r.words == nil {
		r.words = l.words()
	}
	r.said = strings.ReplaceAll(lastLine(l.Normalise(out)), ownNetwork, "192.0.2.")
	asked := len(l.Strays())
	r.visit = l.askDoctor(t.Context(), bin, r.words...)
	l.checkStrays(l.Strays()[asked:], r.words)
	got := r.visit.first(s.warns)
	r.right = got == s.code || slices.Contains(s.also, got)
	t.Logf("doctor %s: %s in %v, %d MiB; %s took %v: %s", strings.Join(r.words, " "), r.visit.codes(),
		r.visit.took.Round(time.Millisecond), r.visit.peak>>20, s.tool, l.took.Round(time.Millisecond), r.said)
	switch {
	case healthy && !r.right:
		t.Errorf("a false alarm: %s\n%s", r.visit.codes(), r.visit.out)
	case !r.right:
		t.Logf("MISS: want %s (or %v)\n%s\n%s\nthe tool said:\n%s", s.code, s.also, r.visit.out, r.visit.stderr, out)
	}
	return r
}

// arrange opens a lab and runs the tool in the situation.
func arrange(t *testing.T, s situation, cache string) (*Lab, string) {
	need(t, Scenario{Tool: s.tool, Needs: s.needs})
	conf := ""
	if s.own {
		conf = isolate(t)
	}
	l := Open(t, cache)
	l.resolvConf, l.patience = conf, *doctorPatience
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	return l, s.run(ctx, l)
}

// checkStrays lets doctor ask for the hosts of the modules that it was told of and of
// the settings, and for no other name outside the lab.
func (l *Lab) checkStrays(strays, words []string) {
	l.T.Helper()
	named := strings.Join(append(words, l.environ(l.Work)...), " ")
	for _, host := range strays {
		if !strings.Contains(named, host) && !slices.Contains([]string{"example.com", "github.com"}, host) {
			l.T.Errorf("doctor asked for %q, which nothing here names", host)
		}
	}
}

// summary is what all rows together say.
type summary struct {
	faulty, right, healthy, quiet int
	median, most                  time.Duration // of faulty situations
	healthyMedian, healthyMost    time.Duration
	peak                          int64
	families                      []string
}

func summarise(rows []*row) summary {
	var s summary
	var sick, fine []time.Duration
	for _, r := range rows {
		s.peak = max(s.peak, r.visit.peak)
		if r.situation.code == "" {
			s.healthy++
			fine = append(fine, r.visit.took)
			if r.right {
				s.quiet++
			}
			continue
		}
		s.faulty++
		sick = append(sick, r.visit.took)
		if r.right {
			s.right++
		}
		if family, _, _ := strings.Cut(string(r.situation.code), "/"); !slices.Contains(s.families, family) {
			s.families = append(s.families, family)
		}
	}
	slices.Sort(s.families)
	s.median, s.most = spread(sick)
	s.healthyMedian, s.healthyMost = spread(fine)
	return s
}

func spread(times []time.Duration) (median, most time.Duration) {
	if len(times) == 0 {
		return 0, 0
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)-1]
}

func (s summary) text() string {
	return fmt.Sprintf("%d of %d faults: first finding right (families %s), median %s, at most %s; %d of %d healthy set-ups quiet, median %s, at most %s; memory at most %d MiB",
		s.right, s.faulty, strings.Join(s.families, " "), seconds(s.median), seconds(s.most), s.quiet, s.healthy, seconds(s.healthyMedian), seconds(s.healthyMost), s.peak>>20)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

const tableHead = `# Doctor's situations

Written by ` + "`.ci/full`" + ` from ` + "`go test ./internal/faultlab -run TestDoctor`" + `: the real tool was run in each
situation, then ` + "`keepwell doctor`" + `. Addresses and paths are shown as on a user's machine.
由 ` + "`.ci/full`" + ` 生成：先在每种情形中运行真实工具，再运行 ` + "`keepwell doctor`" + `。

`

// tableOf is the table for the documentation.
func tableOf(rows []*row, sum summary) string {
	var b strings.Builder
	b.WriteString(tableHead + upper(sum.text()) + ".\n\n## Faults 故障\n\n| situation | code found | time | what the plain tool said, and after how long |\n|---|---|---|---|\n")
	for _, healthy := range []bool{false, true} {
		if healthy {
			b.WriteString("\n## Odd, but healthy 特殊但健康\n\n| situation | found | time | what the plain tool said |\n|---|---|---|---|\n")
		}
		for _, r := range rows {
			if (r.situation.code == "") == healthy {
				b.WriteString(r.markdown() + "\n")
			}
		}
	}
	b.WriteString("\n## Left out 未列入\n\nScenarios of `keepwell explain` that doctor cannot see, and why.\n\n| scenario | reason |\n|---|---|\n")
	left := notForDoctor()
	for _, name := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, left[name])
	}
	return b.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (r *row) markdown() string {
	found := string(cmp.Or(r.visit.first(r.situation.warns), "quiet"))
	if !r.right {
		found += " (**wrong**: " + string(cmp.Or(r.situation.code, "quiet")) + ")"
	}
	said := shorten(cmp.Or(r.said, "nothing"), 110)
	after := seconds(r.toolTook)
	if r.capped {
		after = "> " + after
		if r.said == "" && r.situation.code != "" {
			said = "nothing, for ever"
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s: `%s` |", r.situation.name, found, seconds(r.visit.took), after, said)
}

// TestSituations holds the tables to their own rules.
func TestSituations(t *testing.T) {
	names, scenarios := map[string]bool{}, map[string]bool{}
	for _, s := range Scenarios() {
		scenarios[s.Name] = true
	}
	for _, s := range situations() {
		if names[s.name] {
			t.Errorf("two situations are called %s", s.name)
		}
		names[s.name] = true
		if s.code != "" {
			if err := s.code.Validate(); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
	}
	for name, why := range notForDoctor() {
		if !scenarios[name] || why == "" {
			t.Errorf("%s is left out (%q), but there is no such scenario", name, why)
		}
	}
}
