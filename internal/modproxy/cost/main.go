//go:build linux

// Command cost measures what keepwell's module proxy costs beside its peers and prints
// each figure beside its goal; .ci/bench builds all that it needs. It never judges a
// machine: figures are medians of interleaved rounds, to be read as ratios.
//
// Every part of the measurement is a function in parts and a file of its own; a new
// figure is a call of table.row.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// bench is what all parts share.
type bench struct {
	keepwell, goproxy string // binaries
	dir               string // scratch
	table             table
	corpus            *corpus
}

type part struct {
	name string
	run  func(context.Context, *bench) error
}

var parts = []part{
	{"cached", cached},
	{"crowd", crowd},
	{"dead", dead},
	{"run", overhead},
	{"scrub", scrub},
	{"closure", closure},
}

func main() {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "bare":
			bare(os.Args[2])
			return
		case "load":
			alone(os.Args[2:])
			return
		case "under":
			os.Exit(under(os.Args[2], os.Args[3:]))
		}
	}
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: cost KEEPWELL GOPROXY [PART...]")
		os.Exit(2)
	}
	if err := measure(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(keepwell, goproxy string, wanted []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	dir, err := os.MkdirTemp("", "cost")
	if err != nil {
		return err
	}
	defer remove(dir)
	b := &bench{keepwell: keepwell, goproxy: goproxy, dir: dir}
	var all error
	for _, p := range parts {
		if len(wanted) > 0 && !slices.Contains(wanted, p.name) {
			continue
		}
		began := time.Now()
		if err := p.run(ctx, b); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", p.name, err))
		}
		b.table.note("%s took %.0f s", p.name, time.Since(began).Seconds())
	}
	return all
}

// table prints a line a figure as it comes.
type table struct{ headed bool }

// row tells what was measured and how it stands to what it is compared with; goal is
// the largest ratio allowed, or the least where more is better (least).
func (t *table) row(what, ours, peer string, ratio, goal float64, least bool) {
	if !t.headed {
		fmt.Printf("%-46s %12s %12s %7s  %s\n", "", "keepwell", "peer", "ratio", "goal")
		t.headed = true
	}
	sign, met := "<=", ratio <= goal
	if least {
		sign, met = ">=", ratio >= goal
	}
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	fmt.Printf("%-46s %12s %12s %7.2f  %s %.2f %s\n", what, ours, peer, ratio, sign, goal, verdict)
}

// bound is a row without a peer.
func (t *table) bound(what, ours string, value, most float64, unit string) {
	verdict := "met"
	if value > most {
		verdict = "MISSED"
	}
	fmt.Printf("%-46s %12s %12s %7s  <= %g %s %s\n", what, ours, "", "", most, unit, verdict)
}

func (t *table) note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

func median[T cmp.Ordered](list []T) T {
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}

func ratio[A, B time.Duration | float64 | int64](a A, b B) float64 { return float64(a) / float64(b) }

func micros(d time.Duration) string { return fmt.Sprintf("%.1f us", float64(d)/1e3) }
func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
func secs(d time.Duration) string   { return fmt.Sprintf("%.2f s", d.Seconds()) }

// remove takes a directory away though go made parts of it read-only.
func remove(dir string) {
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}
