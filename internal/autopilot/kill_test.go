package autopilot_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// kills is how often TestKill ends a server by kill -9: 20 in .ci/run, 200 in .ci/full.
var kills = flag.Int("kills", 3, "how many random points TestKill kills at, on each database") //nolint:gochecknoglobals // a flag of the tests

// still is how long nothing at all may happen before a wait is given up: how long the
// whole takes says more of the machine than of the engine.
const still = 2 * time.Minute

// inFlight is how many effects at least are being made when a server is killed.
const inFlight = 20

func TestMain(m *testing.M) {
	if text := os.Getenv("KEEPWELL_TEST_SERVER"); text != "" {
		server(text)
		return
	}
	statetest.Main(m)
}

// told is what a server process is told.
type told struct {
	Dir, Database string
	// First and Count say which alerts it takes in.
	First, Count int
	// Hold keeps more effects than inFlight going at all times.
	Hold bool
}

// crowd keeps effects going until there are enough others.
type crowd struct {
	mu      sync.Mutex
	waiting []chan struct{}
}

func (c *crowd) hold(ctx context.Context, _ state.StepKey) {
	mine := make(chan struct{})
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	if len(c.waiting) > inFlight+5 {
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
	}
	c.mu.Unlock()
	select {
	case <-mine:
	case <-ctx.Done():
	}
}

// chaosBook has a step of each sort: of the four, only the idempotent one may be made twice.
func chaosBook() script {
	return script{Code: code, Steps: []line{
		{Name: "idempotent", Idempotent: true}, {Name: "probed", Probe: true}, {Name: "blind"}, {Name: "probed too", Probe: true},
	}}
}

const idempotentStep = 0

// server works until it is killed or told to stop, and prints a line for every alert that
// it acknowledged, every effect that begins and every one that ends.
func server(text string) {
	var c told
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := json.Unmarshal([]byte(text), &c)
	var st *state.State
	if err == nil {
		st, err = state.Open(ctx, state.Options{Dir: c.Dir, Database: c.Database})
	}
	var e *autopilot.Engine
	if err == nil {
		var hold func(context.Context, state.StepKey)
		if c.Hold {
			hold = (&crowd{}).hold
		}
		e, err = autopilot.Open(ctx, st, autopilot.Options{
			Classifier: labels{}, Compile: compiler(c.Dir+"/effects", hold), Workers: 2 * inFlight,
			BeforeEffect: func(k state.StepKey) { fmt.Println("effect", k) },
			AfterEffect:  func(k state.StepKey) { fmt.Println("ended", k) },
		})
	}
	if err == nil {
		err = e.Start(ctx)
	}
	if err != nil {
		fmt.Println("broken", err)
		return
	}
	fmt.Println("ready", 0)
	for i := c.First; i < c.First+c.Count && ctx.Err() == nil; i++ {
		if _, err := e.Ingest(ctx, []keepwell.Alert{alert(i, code, fmt.Sprintf("redis-%d", i))}); err != nil {
			fmt.Println("broken", err)
			return
		}
		fmt.Println("acknowledged", i)
	}
	<-ctx.Done()
	if err := e.Stop(context.WithoutCancel(ctx)); err != nil {
		fmt.Println("broken", err)
	}
}

func launch(t *testing.T, c told) *statetest.Process {
	t.Helper()
	return statetest.Launch(t, "KEEPWELL_TEST_SERVER", c)
}

// account is what servers said, over all their lives.
type account struct {
	acknowledged map[string]bool
	going        map[string]bool // effects of the server that lives
	said         int
}

func (a *account) take(t *testing.T, l string) {
	word, rest, _ := strings.Cut(l, " ")
	a.said++
	switch word {
	case "acknowledged":
		a.acknowledged["f"+rest] = true
	case "effect":
		a.going[rest] = true
	case "ended":
		delete(a.going, rest)
	case "ready":
	default:
		t.Errorf("a server said %q", l)
	}
}

func (a *account) until(t *testing.T, p *statetest.Process, what string, enough func() bool) {
	t.Helper()
	limit := time.NewTimer(still)
	defer limit.Stop()
	for !enough() {
		select {
		case l, ok := <-p.Lines:
			if !ok {
				t.Fatalf("the server ended; waited for: %s", what)
			}
			a.take(t, l)
			limit.Reset(still)
		case <-limit.C:
			t.Fatalf("nothing happened for %s; waited for: %s; %d effects going", still, what, len(a.going))
		}
	}
}

// kill ends p where it stands, and counts the effects that were being made: those whose
// intent is stored and whose result is not.
func (a *account) kill(t *testing.T, st *state.State, p *statetest.Process) int {
	t.Helper()
	_ = p.Cmd.Process.Kill()
	<-p.Ended
	for l := range p.Lines {
		a.take(t, l)
	}
	going := len(a.going)
	a.going = map[string]bool{}
	open, err := st.StepsIn(t.Context(), state.StepIntended, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return min(going, len(open))
}

// settled waits until every run has ended.
func settled(t *testing.T, st *state.State, alerts int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(still)
	defer limit.Stop()
	var before [2]int64
	for {
		all, err := st.CountRuns(t.Context(), state.RunFilter{})
		if err != nil {
			t.Fatal(err)
		}
		open, err := st.CountRuns(t.Context(), state.RunFilter{Unfinished: true})
		if err != nil {
			t.Fatal(err)
		}
		if int(all) >= alerts && open == 0 {
			return
		}
		if now := [2]int64{all, open}; now != before {
			before = now
			limit.Reset(still)
		}
		select {
		case <-tick.C:
		case <-limit.C:
			left, err := st.Runs(t.Context(), state.RunFilter{Unfinished: true}, state.Page{Limit: 3})
			t.Fatalf("%d runs of %d, %d unfinished: %+v, %v", all, alerts, open, left, err)
		}
	}
}

// audit holds what was acknowledged and done to what is stored.
func audit(t *testing.T, st *state.State, a *account, file string) (human int64) {
	t.Helper()
	for f := range a.acknowledged {
		stored, err := st.Alerts(t.Context(), state.AlertFilter{Fingerprint: f}, state.Page{})
		if err != nil || len(stored) != 1 || stored[0].Incident == 0 {
			t.Errorf("acknowledged alert %s is stored as %+v, %v", f, stored, err)
			continue
		}
		if n, err := st.CountRuns(t.Context(), state.RunFilter{Incident: stored[0].Incident}); err != nil || n != 1 {
			t.Errorf("alert %s has %d runs, %v", f, n, err)
		}
	}
	made := effects(file)
	bySteps := map[[2]int64]int{}
	for key, n := range made {
		var k state.StepKey
		if _, err := fmt.Sscanf(key, "%d/%d/%d", &k.Run, &k.Seq, &k.Attempt); err != nil {
			t.Fatalf("effect %q: %v", key, err)
		}
		bySteps[[2]int64{k.Run, k.Seq}] += n
		if n > 1 {
			t.Errorf("attempt %s was made %d times", key, n)
		}
	}
	for step, n := range bySteps {
		if step[1] != idempotentStep && n > 1 {
			t.Errorf("step %d of run %d is not idempotent and was made %d times", step[1], step[0], n)
		}
	}
	for run := int64(1); ; run++ {
		r, err := st.Run(t.Context(), run)
		if errors.Is(err, state.ErrNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		// What was killed again and again is given up.
		if r.State == state.RunCancelled || r.State == state.RunFailed && !strings.Contains(r.Error, "interrupted") && !strings.Contains(r.Error, "not made") {
			t.Errorf("run %d is %s: %s", run, r.State, r.Error)
		}
		for seq := range int64(len(chaosBook().Steps)) {
			if n := bySteps[[2]int64{run, seq}]; r.State == state.RunDone && n == 0 {
				t.Errorf("run %d is done, and step %d was never made", run, seq)
			}
		}
	}
	human, err := st.CountRuns(t.Context(), state.RunFilter{State: state.RunHuman})
	if err != nil {
		t.Fatal(err)
	}
	return human
}

func prepare(t *testing.T, o state.Options) *state.State {
	t.Helper()
	st := statetest.Open(t, o)
	e, err := autopilot.Open(t.Context(), st, autopilot.Options{Classifier: labels{}, Compile: compiler(os.DevNull, nil)})
	if err != nil {
		t.Fatal(err)
	}
	s := chaosBook()
	// The breaker and what follows a cooldown have tests of their own: these alerts never
	// end, and where the loop takes longer than a cooldown, the runs that did not help
	// would open it.
	s.Policy.Failures, s.Policy.Ineffective, s.Policy.Cooldown = 1<<40, 1<<40, 24*time.Hour
	text, err := json.Marshal(s)
	if err == nil {
		err = e.Install(t.Context(), "chaos", autopilot.AnyVersion, string(text), "test", state.ModeActive, 0, "user:test")
	}
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestKill ends servers by kill -9 at random points, each time with at least 20 effects
// being made, and holds the last one to what the others acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := prepare(t, o)
		a := &account{acknowledged: map[string]bool{}, going: map[string]bool{}}
		const each = 40
		fewest, all := 1<<30, 0
		for round := range *kills {
			p := launch(t, told{Dir: o.Dir, Database: o.Database, First: round * each, Count: each, Hold: true})
			point := a.said + rand.IntN(250) // 40 alerts with their effects make 330 lines
			a.until(t, p, "a random point with effects being made", func() bool {
				return len(a.going) >= inFlight+3 && a.said >= point || len(a.acknowledged) == (round+1)*each && len(a.going) >= inFlight+5
			})
			n := a.kill(t, st, p)
			if n < inFlight {
				t.Errorf("killed with only %d effects being made", n)
			}
			fewest, all = min(fewest, n), all+n
		}
		last := launch(t, told{Dir: o.Dir, Database: o.Database})
		settled(t, st, len(a.acknowledged))
		_ = last.Cmd.Process.Signal(syscall.SIGTERM)
		<-last.Ended
		human := audit(t, st, a, o.Dir+"/effects")
		if t.Failed() {
			return
		}
		t.Logf("%s: %d kills with %d effects being made in all, at least %d each; %d alerts acknowledged, 0 lost, 0 effects twice that must not be; %d runs wait for a person", st.Kind(), *kills, all, fewest, len(a.acknowledged), human)
	})
}

// TestTwoNodes: one of two nodes is killed in the middle, the other finishes.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	o := state.Options{Dir: t.TempDir(), Database: statetest.PostgreSQL(t)}
	st := prepare(t, o)
	a := &account{acknowledged: map[string]bool{}, going: map[string]bool{}}
	first := launch(t, told{Dir: o.Dir, Database: o.Database, Count: 60, Hold: true})
	a.until(t, first, "effects being made and all alerts", func() bool { return len(a.going) >= inFlight+3 && len(a.acknowledged) == 60 })
	second := launch(t, told{Dir: o.Dir, Database: o.Database, First: 60, Count: 20})
	b := &account{acknowledged: map[string]bool{}, going: map[string]bool{}}
	b.until(t, second, "the second works", func() bool { return len(b.acknowledged) == 20 })
	n := a.kill(t, st, first)
	if n < inFlight {
		t.Errorf("killed with only %d effects being made", n)
	}
	for f := range b.acknowledged {
		a.acknowledged[f] = true
	}
	settled(t, st, len(a.acknowledged))
	_ = second.Cmd.Process.Signal(syscall.SIGTERM)
	<-second.Ended
	human := audit(t, st, a, o.Dir+"/effects")
	if t.Failed() {
		return
	}
	t.Logf("two nodes: one killed with %d effects being made; the other finished: 0 lost, 0 twice; %d runs wait for a person", n, human)
}
