// Measure is a program that measures the job queue as the server uses it: what is
// confirmed is on the disk. It prints the time from the insert's commit to the start of a
// job, one at a time, and how many jobs a second are worked off.
//
//	go run ./internal/jobs/measure [-database postgres://…] [-n 500] [-jobs 20000]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/state"
)

func main() {
	database := flag.String("database", "", "postgres:// address (default: SQLite in a directory of its own)")
	n := flag.Int("n", 500, "jobs of the latency")
	many := flag.Int("jobs", 20_000, "jobs of the throughput")
	workers := flag.Int("workers", 200, "jobs at once")
	cooldown := flag.Duration("cooldown", 0, "least time between two looks for work")
	flag.Parse()
	if err := run(*database, *n, *many, *workers, *cooldown); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type stamp struct {
	At int64 `json:"at"`
}

func run(database string, n, many, workers int, cooldown time.Duration) error {
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
	begun := make(chan time.Time, many)
	var left sync.WaitGroup
	q, err := jobs.Open(ctx, st, jobs.Options{Cooldown: cooldown}, jobs.Handler{Kind: "one", Workers: 10, Do: func(context.Context, *jobs.Task) error {
		begun <- time.Now()
		return nil
	}}, jobs.Handler{Kind: "many", Workers: workers, Do: func(ctx context.Context, t *jobs.Task) error {
		// As a step ends: its row and the job, in one transaction.
		defer left.Done()
		return st.Tx(ctx, func(tx *state.Tx) error { return t.Complete(ctx, tx) })
	}}, jobs.Handler{Kind: "noop", Workers: workers, Do: func(context.Context, *jobs.Task) error { left.Done(); return nil }})
	if err == nil {
		err = q.Start(ctx)
	}
	if err != nil {
		return err
	}
	if err := latency(ctx, st, q, n, begun); err != nil {
		return err
	}
	for kind, count := range map[string]int{"noop": many, "many": many / 10} {
		if err := throughput(ctx, st, q, kind, count, &left); err != nil {
			return err
		}
	}
	if err := storm(ctx, st); err != nil {
		return err
	}
	return q.Stop(ctx)
}

func latency(ctx context.Context, st *state.State, q *jobs.Queue, n int, begun chan time.Time) error {
	var calls, waits []time.Duration
	for range n {
		start := time.Now()
		if err := st.Tx(ctx, func(tx *state.Tx) error { return q.Insert(ctx, tx, jobs.Job{Kind: "one", Args: stamp{}}) }); err != nil {
			return err
		}
		committed := time.Now()
		calls = append(calls, committed.Sub(start))
		at := <-begun
		waits = append(waits, max(0, at.Sub(committed)))
	}
	show(st, "insert, committed", calls)
	show(st, "commit -> start", waits)
	return nil
}

func show(st *state.State, what string, d []time.Duration) {
	slices.Sort(d)
	fmt.Printf("%-10s %-18s p50 %v, p99 %v, most %v (%d)\n", st.Kind(), what, d[len(d)/2].Round(10*time.Microsecond), d[len(d)*99/100].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond), len(d))
}

func throughput(ctx context.Context, st *state.State, q *jobs.Queue, kind string, many int, left *sync.WaitGroup) error {
	left.Add(many)
	start := time.Now()
	for done := 0; done < many; {
		batch := make([]jobs.Job, min(1000, many-done))
		for i := range batch {
			batch[i] = jobs.Job{Kind: kind, Args: stamp{}, At: start}
		}
		if err := st.Tx(ctx, func(tx *state.Tx) error { return q.Insert(ctx, tx, batch...) }); err != nil {
			return err
		}
		done += len(batch)
	}
	inserted := time.Since(start)
	left.Wait()
	what := "no-op jobs"
	if kind == "many" {
		what = "jobs completed in a transaction of their own"
	}
	fmt.Printf("%-10s %d %s: inserted %.0f/s, worked %.0f/s from the first insert on\n", st.Kind(), many, what, float64(many)/inserted.Seconds(), float64(many)/time.Since(start).Seconds())
	return nil
}

// storm stores 10,000 alerts in one transaction.
func storm(ctx context.Context, st *state.State) error {
	alerts := make([]keepwell.Alert, 10_000)
	for i := range alerts {
		alerts[i] = keepwell.Alert{
			Fingerprint: fmt.Sprintf("storm%05d", i), Status: keepwell.AlertFiring, StartsAt: time.Now(), Source: "alertmanager",
			Labels:      map[string]string{"alertname": "RedisMemoryHigh", "instance": fmt.Sprintf("redis-%d:9121", i), "job": "redis", "severity": "page"},
			Annotations: map[string]string{"summary": "memory of redis above 90 %", "runbook_url": "https://runbooks.example.com/redis"},
		}
	}
	start := time.Now()
	if err := st.Tx(ctx, func(tx *state.Tx) error { _, err := tx.PutAlerts(ctx, alerts); return err }); err != nil {
		return err
	}
	fmt.Printf("%-10s 10000 alerts in one transaction: %v\n", st.Kind(), time.Since(start).Round(time.Millisecond))
	return nil
}
