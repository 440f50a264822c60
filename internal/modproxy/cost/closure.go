//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// closure measures the cold download of all that one module needs: plain go from a file
// proxy on loopback beside go behind `keepwell run`, without and with 50 ms of distance,
// and behind `keepwell proxy`, which asks a checksum database too.
func closure(ctx context.Context, b *bench) error {
	c, err := b.needCorpus(ctx)
	if err != nil {
		return err
	}
	r, err := c.registry(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	verify, err := b.verify(ctx)
	if err != nil {
		return err
	}
	var own []time.Duration
	for _, d := range []struct {
		trip   time.Duration
		rounds int
		goal   float64
	}{{0, rounds, 1.25}, {50 * time.Millisecond, 1, 1.1}} {
		url := r.URL
		if d.trip > 0 {
			far, err := distance(ctx, r.Listener.Addr().String(), d.trip)
			if err != nil {
				return err
			}
			defer far.close()
			url = "http://" + far.addr()
		}
		var plain, behind []time.Duration
		for range d.rounds {
			wall, err := b.plainCold(ctx, url)
			if err != nil {
				return err
			}
			plain = append(plain, wall)
			r.reset()
			wall, cpu, err := b.runCold(ctx, url)
			if err != nil {
				return err
			}
			behind = append(behind, wall)
			if d.trip == 0 {
				own = append(own, cpu)
			}
		}
		b.table.row(fmt.Sprintf("cold closure, %d ms away: wall beside plain go", d.trip.Milliseconds()), secs(median(behind)), secs(median(plain)),
			ratio(median(behind), median(plain)), d.goal, false)
		b.table.note("asked of the upstream: %d zips, %d mods, %d infos, %d others", r.zips.Load(), r.mods.Load(), r.infos.Load(), r.others.Load())
	}
	const goal = 0.8
	b.table.row("cold closure: CPU of run beside go mod verify", secs(median(own)), secs(verify), ratio(median(own), verify), goal, false)
	served, err := b.proxyCold(ctx, r)
	if err != nil {
		return err
	}
	b.table.row("the same of proxy, with a checksum database", secs(served), secs(verify), ratio(served, verify), goal, false)
	b.table.note("asked of the upstream: %d zips, %d mods, %d infos, %d of the database", r.zips.Load(), r.mods.Load(), r.infos.Load(), r.database.Load())
	return nil
}

// fresh is a new directory for one cold download.
func (b *bench) fresh(f func(dir string) error) error {
	dir, err := os.MkdirTemp(b.dir, "cold")
	if err != nil {
		return err
	}
	defer remove(dir)
	return f(dir)
}

func (b *bench) plainCold(ctx context.Context, url string) (wall time.Duration, err error) {
	err = b.fresh(func(dir string) error {
		wall, _, err = b.corpus.goCommand(ctx, []string{"GOMODCACHE=" + dir, "GOPROXY=" + url, "GOSUMDB=off"}, "mod", "download")
		return err
	})
	return wall, err
}

func (b *bench) runCold(ctx context.Context, url string) (wall, own time.Duration, err error) {
	err = b.fresh(func(dir string) error {
		used := filepath.Join(dir, "used")
		wall, _, err = b.corpus.command(ctx, []string{"GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPROXY=" + url, "GOSUMDB=off"},
			b.keepwell, "run", "--upstream", url, "--dir", filepath.Join(dir, "store"), "--", os.Args[0], "under", used, "go", "mod", "download")
		if err != nil {
			return err
		}
		data, err := os.ReadFile(used)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
		own = time.Duration(n)
		return err
	})
	return wall, own, err
}

// proxyCold is the CPU time of a service that fills its store and has everything
// vouched for by the database.
func (b *bench) proxyCold(ctx context.Context, r *registry) (time.Duration, error) {
	var all []time.Duration
	for range rounds {
		r.reset()
		err := b.fresh(func(dir string) error {
			kw, err := b.startKeepwell(ctx, []string{"GOSUMDB=" + r.gosumdb}, filepath.Join(dir, "store"), "--upstream", r.URL)
			if err != nil {
				return err
			}
			defer kw.stop()
			before := kw.cpu()
			_, _, err = b.corpus.goCommand(ctx, []string{"GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPROXY=http://" + kw.addr, "GOSUMDB=off"}, "mod", "download")
			all = append(all, kw.cpu()-before)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return median(all), nil
}
