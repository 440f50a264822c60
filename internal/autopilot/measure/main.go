//go:build unix

// Measure is a program that measures the autopilot as the server uses it: what is
// confirmed is on the disk, and each step starts a real process. It prints the time of an
// ingest, the time from its beginning to the first step's effect, how many runs of four
// steps a minute are done, and what a storm of 10,000 alerts takes, with the CPU time of
// this process and its children.
//
//	go run ./internal/autopilot/measure [-database postgres://…] [-n 200] [-runs 500]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

func main() {
	database := flag.String("database", "", "postgres:// address of an empty database (default: SQLite in a directory of its own)")
	n := flag.Int("n", 200, "alerts of the latency, one at a time")
	many := flag.Int("runs", 500, "runs of the throughput")
	flag.Parse()
	if err := run(*database, *n, *many); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// byLabel takes code and asset from labels.
type byLabel struct{}

func (byLabel) Classify(_ context.Context, a keepwell.Alert) (autopilot.Class, error) {
	return autopilot.Class{Code: keepwell.Code(a.Labels["code"]), Asset: a.Labels["instance"], Priority: keepwell.P1, Confidence: 1, Title: a.Name()}, nil
}

// truth starts /bin/true, or what is called so here.
type truth struct{ begun chan time.Time }

func (p truth) Do(ctx context.Context, c autopilot.Call) (json.RawMessage, error) {
	if p.begun != nil && c.Key.Seq == 0 {
		p.begun <- time.Now()
	}
	return nil, exec.CommandContext(ctx, "true").Run()
}

func alert(kind string, i, asset int) keepwell.Alert {
	return keepwell.Alert{
		Fingerprint: fmt.Sprintf("%s%d", kind, i), Status: keepwell.AlertFiring, StartsAt: time.Now(), Source: "measure",
		Labels:      map[string]string{"alertname": "RedisMemoryHigh", "code": "measure/" + kind, "instance": fmt.Sprintf("redis-%d:9121", asset), "severity": "page"},
		Annotations: map[string]string{"summary": "memory of redis above 90 %", "runbook_url": "https://runbooks.example.com/redis"},
	}
}

func run(database string, n, many int) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "keepwell-measure")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // our own
	st, err := state.Open(ctx, state.Options{Dir: dir, Database: database})
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // measured already
	begun := make(chan time.Time, 1)
	e, err := autopilot.Open(ctx, st, autopilot.Options{Classifier: byLabel{}, EscalateAfter: 24 * time.Hour, Compile: func(kind string) (*autopilot.Program, error) {
		p := &autopilot.Program{Match: func(_ context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
			return string(f.Incident.Code) == "measure/"+kind, msg.Reason{}, nil
		}}
		act := truth{}
		if kind == "one" {
			act.begun = begun
		}
		for i := range map[string]int{"one": 1, "four": 4, "storm": 1}[kind] {
			p.Steps = append(p.Steps, autopilot.Step{Name: fmt.Sprint("step ", i+1), Kind: "true", Idempotent: true, Action: act})
		}
		return p, nil
	}})
	if err == nil {
		err = e.Start(ctx)
	}
	for _, kind := range []string{"one", "four", "storm"} {
		if err == nil {
			err = e.Install(ctx, kind, autopilot.AnyVersion, kind, "measure", state.ModeActive, 0, "measure")
		}
	}
	if err == nil {
		err = latency(ctx, st, e, n, begun)
	}
	if err == nil {
		err = throughput(ctx, st, e, "four", "four-step runs", many, many)
	}
	if err == nil {
		err = throughput(ctx, st, e, "storm", "storm of 10,000 alerts on 100 assets", 10_000, 100)
	}
	if err != nil {
		return err
	}
	return e.Stop(ctx)
}

func latency(ctx context.Context, st *state.State, e *autopilot.Engine, n int, begun chan time.Time) error {
	var calls, waits []time.Duration
	for i := range n {
		start := time.Now()
		if _, err := e.Ingest(ctx, []keepwell.Alert{alert("one", i, i)}); err != nil {
			return err
		}
		calls = append(calls, time.Since(start))
		waits = append(waits, (<-begun).Sub(start))
	}
	show(st, "ingest, on the disk", calls)
	show(st, "ingest -> first effect", waits)
	return nil
}

func show(st *state.State, what string, d []time.Duration) {
	slices.Sort(d)
	fmt.Fprintf(os.Stdout, "%-10s %-22s p50 %v, p99 %v, most %v (%d)\n", st.Kind(), what, d[len(d)/2].Round(10*time.Microsecond), d[len(d)*99/100].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond), len(d))
}

// cpu is the CPU time of this process and of its children.
func cpu() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// throughput takes in alerts in one body and waits for the runs that they lead to.
func throughput(ctx context.Context, st *state.State, e *autopilot.Engine, kind, what string, alerts, runs int) error {
	body := make([]keepwell.Alert, alerts)
	for i := range body {
		body[i] = alert(kind, i, i%runs)
	}
	start, used := time.Now(), cpu()
	if _, err := e.Ingest(ctx, body); err != nil {
		return err
	}
	took, ingested := time.Since(start), cpu()-used
	for {
		done, err := st.CountRuns(ctx, state.RunFilter{Playbook: kind, State: state.RunDone})
		if err != nil {
			return err
		}
		left, err := st.JobCounts(ctx)
		if err != nil {
			return err
		}
		busy := slices.ContainsFunc(left, func(c state.JobCount) bool { return c.Kind == "triage" || c.Kind == "step" })
		if int(done) == runs && !busy {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	all, spent := time.Since(start), cpu()-used
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(os.Stdout, "%-10s %s: stored in %v (CPU %v), %d runs done after %v (CPU %v): %.0f runs a minute; memory of Go %d MB\n",
		st.Kind(), what, took.Round(time.Millisecond), ingested.Round(time.Millisecond), runs, all.Round(time.Millisecond), spent.Round(time.Millisecond), float64(runs)/all.Minutes(), m.Sys>>20)
	return nil
}
