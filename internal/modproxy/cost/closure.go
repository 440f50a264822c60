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

// colds are the rounds of cold downloads on loopback; one that is far away takes a minute.
const colds = 3

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
	var near, far cold
	for range colds {
		if err := b.coldRound(ctx, r, r.URL, &near); err != nil {
			return err
		}
		cpu, err := b.verifyOnce(ctx)
		if err != nil {
			return err
		}
		near.verify = append(near.verify, cpu)
		if cpu, err = b.proxyCold(ctx, r); err != nil {
			return err
		}
		near.served = append(near.served, cpu)
	}
	asked := r.counted()
	const goal = 0.8
	verify := median(near.verify)
	b.table.row("cold closure: CPU of run beside go mod verify", secs(median(near.own)), secs(verify), ratio(median(near.own), verify), goal, false)
	b.table.row("the same of proxy, with a checksum database", secs(median(near.served)), secs(verify), ratio(median(near.served), verify), goal, false)
	b.table.note("asked of the upstream: %s", asked)
	const loopback, trip, distant = 1.25, 50 * time.Millisecond, 1.1
	near.tell(&b.table, 0, loopback)
	d, err := distance(ctx, r.Listener.Addr().String(), trip)
	if err != nil {
		return err
	}
	defer d.close()
	if err := b.coldRound(ctx, r, "http://"+d.addr(), &far); err != nil {
		return err
	}
	far.tell(&b.table, trip, distant)
	b.table.note("asked of the upstream: %s", r.counted())
	return nil
}

// cold is what rounds of cold downloads took: the wall time of plain go and of go behind
// `keepwell run`, and the CPU time of run itself, of go mod verify and of a service.
type cold struct {
	plain, behind, own, verify, served []time.Duration
}

func (c *cold) tell(t *table, trip time.Duration, goal float64) {
	t.row(fmt.Sprintf("cold closure, %d ms away: wall beside plain go", trip.Milliseconds()), secs(median(c.behind)), secs(median(c.plain)),
		ratio(median(c.behind), median(c.plain)), goal, false)
}

// coldRound is one download without keepwell and one with it.
func (b *bench) coldRound(ctx context.Context, r *registry, url string, c *cold) error {
	wall, err := b.plainCold(ctx, url)
	if err != nil {
		return err
	}
	c.plain = append(c.plain, wall)
	r.reset()
	wall, cpu, err := b.runCold(ctx, url)
	c.behind, c.own = append(c.behind, wall), append(c.own, cpu)
	return err
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
func (b *bench) proxyCold(ctx context.Context, r *registry) (used time.Duration, err error) {
	r.reset()
	err = b.fresh(func(dir string) error {
		kw, err := b.startKeepwell(ctx, []string{"GOSUMDB=" + r.gosumdb}, filepath.Join(dir, "store"), "--upstream", r.URL)
		if err != nil {
			return err
		}
		defer kw.stop()
		before := kw.cpu()
		_, _, err = b.corpus.goCommand(ctx, []string{"GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPROXY=http://" + kw.addr, "GOSUMDB=off"}, "mod", "download")
		used = kw.cpu() - before
		return err
	})
	return used, err
}
