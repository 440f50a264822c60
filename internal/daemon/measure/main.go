//go:build linux

// Measure is a program that measures `keepwell serve` from outside, as it is shipped: it
// starts the real program over a database of its own, sends alerts through its webhook,
// and sees effects that real processes made. Beside each figure it prints the goal, and
// first what the machine itself can do. It judges nothing.
//
//	.ci/bench-serve [--postgresql] [PART...]
//	parts: machine webhook tens step runs storm restart (default: all)
//
// The sender shares the machine with the server, and is the smaller of the two.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // makes the databases of the parts

	"github.com/keepwell/keepwell/internal/state"
)

// bench is what all parts share.
type bench struct {
	program  string
	database string // "": SQLite
	seconds  int
	// incidents are how many are stored when the server is started anew.
	incidents int
	dir       string
}

// part is one measurement, with a server and a database of its own.
type part struct {
	name string
	do   func(context.Context, *bench) error
}

func parts() []part {
	return []part{
		{"machine", machine},
		{"webhook", func(ctx context.Context, b *bench) error { return webhook(ctx, b, "webhook", 1) }},
		{"tens", func(ctx context.Context, b *bench) error { return webhook(ctx, b, "tens", 10) }},
		{"step", steps},
		{"runs", runs},
		{"storm", storm},
		{"restart", restart},
	}
}

func main() {
	b := &bench{}
	flag.StringVar(&b.program, "keepwell", "", "the program")
	flag.StringVar(&b.database, "database", "", "postgres:// address of a server where databases may be made (default: SQLite)")
	flag.IntVar(&b.seconds, "seconds", 60, "how long the webhook takes one alert a request; tens take a third of it")
	flag.IntVar(&b.incidents, "incidents", 100_000, "how many incidents are stored when the server is started anew")
	flag.Parse()
	if err := b.run(context.Background(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func (b *bench) run(ctx context.Context, names []string) (err error) {
	if b.dir, err = os.MkdirTemp("", "keepwell-serve"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // our own
	known := parts()
	for _, name := range names {
		if !slices.ContainsFunc(known, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	for _, p := range known {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		start := time.Now()
		if err := p.do(ctx, b); err != nil {
			log, _ := os.ReadFile(filepath.Join(b.dir, p.name, "log")) // there may be none
			return fmt.Errorf("%s: %w\n%.2000s", p.name, err, log)
		}
		load, _ := os.ReadFile("/proc/loadavg") // for people
		fmt.Fprintf(os.Stdout, "  (%s took %v; load %.4s)\n", p.name, time.Since(start).Round(time.Second), load)
	}
	return nil
}

// say prints a figure beside its goal.
func say(what, goal, form string, args ...any) {
	if goal != "" {
		goal = "  [goal: " + goal + "]"
	}
	fmt.Fprintf(os.Stdout, "%-34s %s%s\n", what, fmt.Sprintf(form, args...), goal)
}

// times are durations of one thing.
type times []time.Duration

func (t times) at(hundredths int) time.Duration {
	if len(t) == 0 {
		return 0
	}
	slices.Sort(t)
	return t[min(len(t)-1, len(t)*hundredths/100)].Round(10 * time.Microsecond)
}

func (t times) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, most %v (%d)", t.at(50), t.at(99), t.at(100), len(t))
}

// machine tells what no program on this machine can do faster: a transaction that is on
// the disk, and a process that is started and has its effect.
func machine(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.dir, "machine")
	st, err := state.Open(ctx, state.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // measured already
	const many = 300
	var commits, starts times
	for i := range many {
		start := time.Now()
		if err := st.Tx(ctx, func(tx *state.Tx) error { return tx.SetSetting(ctx, "measure", fmt.Sprint(i)) }); err != nil {
			return err
		}
		commits = append(commits, time.Since(start))
	}
	e, script, err := newEffects(dir)
	if err != nil {
		return err
	}
	defer e.close()
	for i := range many {
		start := time.Now()
		cmd := exec.CommandContext(ctx, script, "one")
		cmd.Env = []string{fmt.Sprintf("KEEPWELL_ASSET=a%d", i)}
		if err := cmd.Run(); err != nil {
			return err
		}
		at, err := e.first(ctx, "one", fmt.Sprintf("a%d", i))
		if err != nil {
			return err
		}
		starts = append(starts, at.Sub(start))
	}
	say("a row on the disk (SQLite, fsync)", "", "%v", commits)
	say("a script started, its effect seen", "", "%v", starts)
	return nil
}

// place makes a directory and, on PostgreSQL, a database for a part.
func (b *bench) place(ctx context.Context, name string) (o state.Options, err error) {
	o.Dir = filepath.Join(b.dir, name)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil || b.database == "" {
		return o, err
	}
	db, err := sql.Open("pgx", b.database)
	if err != nil {
		return o, err
	}
	defer db.Close() //nolint:errcheck // used already
	if _, err := db.ExecContext(ctx, "CREATE DATABASE measure_"+name); err != nil {
		return o, fmt.Errorf("making a database: %w", err)
	}
	u, err := url.Parse(b.database)
	if err != nil {
		return o, err
	}
	u.Path = "/measure_" + name
	o.Database = u.String()
	return o, nil
}

// playbook is one whose steps start the script; each step tells its name.
func playbook(trigger string, steps int) string {
	var w strings.Builder
	fmt.Fprintf(&w, "trigger: %s\nmode: active\nactions:\n", trigger)
	for i := range steps {
		fmt.Fprintf(&w, "  - run_script: {script: effect.sh, args: [\"%s\"]}\n    name: step-%d\n", trigger, i)
	}
	return w.String()
}
