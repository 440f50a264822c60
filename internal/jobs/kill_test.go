package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv("KEEPWELL_TEST_NODE"); text != "" {
		node(text)
		return
	}
	statetest.Main(m)
}

// child is what a node process is told.
type child struct {
	state.Options
	// Hang has every other job hang between its effect and its result.
	Hang bool
}

// node works until it is told to stop. It does steps as the autopilot does: intent,
// effect, and then result and end of the job in one transaction. Each line that it
// prints is an effect, a result, or what a step looked like after a crash.
func node(text string) {
	var c child
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := json.Unmarshal([]byte(text), &c)
	var st *state.State
	if err == nil {
		st, err = state.Open(ctx, c.Options)
	}
	var q *jobs.Queue
	if err == nil {
		q, err = jobs.Open(ctx, st, jobs.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}, jobs.Handler{Kind: "step", Workers: 25, Do: func(ctx context.Context, t *jobs.Task) error { return step(ctx, st, t, c.Hang) }})
	}
	if err == nil {
		err = q.Start(ctx)
	}
	if err != nil {
		fmt.Println("broken", err)
		return
	}
	fmt.Println("ready", 0)
	<-ctx.Done()
	if err := q.Stop(context.WithoutCancel(ctx)); err != nil {
		fmt.Println("broken", err)
	}
}

func step(ctx context.Context, st *state.State, t *jobs.Task, hang bool) error {
	var n number
	if err := t.Args(&n); err != nil {
		return err
	}
	k := state.StepKey{Run: int64(n.N), Attempt: 1}
	end := func(status state.StepStatus) error {
		err := st.Tx(ctx, func(tx *state.Tx) error {
			return errors.Join(tx.EndStep(ctx, k, status, nil, ""), t.Complete(ctx, tx))
		})
		if err == nil {
			fmt.Println(status, n.N)
		}
		return err
	}
	err := st.Tx(ctx, func(tx *state.Tx) error { return tx.Intend(ctx, k, nil, 1) })
	if errors.Is(err, state.ErrConflict) {
		return end(state.StepUnknown) // it was begun before: never again
	}
	if err != nil {
		return err
	}
	fmt.Println("effect", n.N)
	if hang && n.N%2 == 1 {
		<-ctx.Done()
		return ctx.Err()
	}
	return end(state.StepDone)
}

func launch(t *testing.T, c child) *statetest.Process {
	t.Helper()
	return statetest.Launch(t, "KEEPWELL_TEST_NODE", struct {
		Dir, Database string
		Hang          bool
	}{c.Dir, c.Database, c.Hang})
}

// tally counts what nodes said, by word, for each step.
type tally struct {
	sync.Mutex
	said map[string]map[int]int
}

func (y *tally) add(t *testing.T, line string) {
	word, rest, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(rest)
	if err != nil || word == "broken" {
		t.Errorf("a node said %q", line)
		return
	}
	y.Lock()
	defer y.Unlock()
	if y.said[word] == nil {
		y.said[word] = map[int]int{}
	}
	y.said[word][n]++
}

func (y *tally) count(word string) int {
	y.Lock()
	defer y.Unlock()
	return len(y.said[word])
}

// until reads lines of p until enough.
func (y *tally) until(t *testing.T, p *statetest.Process, enough func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !enough() {
		select {
		case line, ok := <-p.Lines:
			if !ok {
				t.Fatalf("the node ended: %v", y.said)
			}
			y.add(t, line)
		case <-limit:
			t.Fatalf("nothing more came: %v", y.said)
		}
	}
}

// after adds what a killed process stored but could not say any more, and counts the
// steps whose effect may have been made and whose result is missing.
func (y *tally) after(t *testing.T, st *state.State) (inFlight int) {
	t.Helper()
	for n := range steps {
		all, err := st.Steps(t.Context(), int64(n))
		if err != nil || len(all) != 1 {
			t.Fatalf("step %d: %+v, %v", n, all, err)
		}
		switch all[0].Status {
		case state.StepIntended:
			inFlight++
		case state.StepDone:
			if y.said["done"][n] == 0 {
				y.add(t, fmt.Sprint("done ", n))
			}
		}
	}
	return inFlight
}

const steps = 100

// prepare stores runs with a step and a job each.
func prepare(t *testing.T, o state.Options) *state.State {
	t.Helper()
	st := statetest.Open(t, o)
	q, err := jobs.Open(t.Context(), st, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Tx(t.Context(), func(tx *state.Tx) error {
		for i := range steps {
			k := state.StepKey{Run: int64(i), Attempt: 1}
			if err := errors.Join(tx.AddStep(t.Context(), state.Step{StepKey: k, Status: state.StepPending}),
				q.Insert(t.Context(), tx, jobs.Job{Kind: "step", Args: number{i}, Unique: k.String()})); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// verify holds what was said and what is stored to each other: no step lost, no effect
// twice, and what was in flight is known to be unknown.
func verify(t *testing.T, st *state.State, y *tally, inFlight int) {
	t.Helper()
	for n := range steps {
		done, unknown, effects := y.said["done"][n], y.said["unknown"][n], y.said["effect"][n]
		// The process may have died after the intent and before the effect.
		if done+unknown != 1 || effects > 1 || effects < done {
			t.Errorf("step %d: %d times done, %d times unknown, %d effects", n, done, unknown, effects)
		}
		all, err := st.Steps(t.Context(), int64(n))
		if err != nil || len(all) != 1 || all[0].Status != map[bool]state.StepStatus{true: state.StepDone, false: state.StepUnknown}[done == 1] {
			t.Errorf("step %d is stored as %+v, %v", n, all, err)
		}
	}
	if got := y.count("unknown"); got != inFlight {
		t.Errorf("%d steps unknown, %d were in flight", got, inFlight)
	}
	if n, all := left(t, st); n != 0 {
		t.Error(all)
	}
}

// TestKill ends a node by kill -9 with effects in flight, and starts another.
func TestKill(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := prepare(t, o)
		y := &tally{said: map[string]map[int]int{}}
		first := launch(t, child{Options: o, Hang: true})
		y.until(t, first, func() bool { return y.count("effect")-y.count("done") >= 25 })
		_ = first.Cmd.Process.Kill()
		killed := time.Now()
		for line := range first.Lines {
			y.add(t, line)
		}
		inFlight := y.after(t, st)
		second := launch(t, child{Options: o})
		y.until(t, second, func() bool { return y.count("unknown") > 0 })
		again := time.Since(killed)
		y.until(t, second, func() bool { return y.count("done")+y.count("unknown") == steps })
		_ = second.Cmd.Process.Signal(syscall.SIGTERM)
		for line := range second.Lines {
			y.add(t, line)
		}
		verify(t, st, y, inFlight)
		t.Logf("%s: killed with %d of %d effects in flight; 0 lost, 0 twice; from the kill to the first that was taken up %v", st.Kind(), inFlight, steps, again.Round(time.Millisecond))
	})
}

// TestTwoNodes: the one of two nodes that lives takes up what the other was doing.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	o := state.Options{Dir: t.TempDir(), Database: statetest.PostgreSQL(t)}
	st := prepare(t, o)
	y := &tally{said: map[string]map[int]int{}}
	first := launch(t, child{Options: o, Hang: true})
	y.until(t, first, func() bool { return y.count("effect")-y.count("done") >= 25 })
	second := launch(t, child{Options: o})
	silent := make(chan struct{})
	go func() { // both talk now
		for line := range first.Lines {
			y.add(t, line)
		}
		close(silent)
	}()
	y.until(t, second, func() bool { return y.count("done")+25 >= steps }) // all but what hangs
	if y.count("unknown") > 0 {
		t.Error("a living node's work was taken up")
	}
	_ = first.Cmd.Process.Kill()
	killed := time.Now()
	<-silent
	inFlight := y.after(t, st)
	y.until(t, second, func() bool { return y.count("unknown") > 0 })
	again := time.Since(killed)
	y.until(t, second, func() bool { return y.count("done")+y.count("unknown") == steps })
	_ = second.Cmd.Process.Signal(syscall.SIGTERM)
	for line := range second.Lines {
		y.add(t, line)
	}
	verify(t, st, y, inFlight)
	t.Logf("two nodes: one killed with %d of %d effects in flight; 0 lost, 0 twice; taken up by the other after %v", inFlight, steps, again.Round(time.Millisecond))
}
