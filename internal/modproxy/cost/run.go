//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"
)

// overhead measures what `keepwell run` adds where all is well and nothing is fetched:
// to `true`, which shows its own start, and to a warm go list.
func overhead(ctx context.Context, b *bench) error {
	c, err := b.needCorpus(ctx)
	if err != nil {
		return err
	}
	r, err := c.registry(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	env := []string{"GOMODCACHE=" + c.mod, "GOPROXY=" + r.URL, "GOSUMDB=" + r.gosumdb}
	store := filepath.Join(b.dir, "run")
	for _, command := range [][]string{{"true"}, {"go", "list", "-deps", "./types"}} {
		var without, with []time.Duration
		const runs = 21
		for range runs {
			wall, _, err := c.command(ctx, env, command[0], command[1:]...)
			if err != nil {
				return err
			}
			without = append(without, wall)
			wall, _, err = c.command(ctx, env, b.keepwell, append([]string{"run", "--dir", store, "--"}, command...)...)
			if err != nil {
				return err
			}
			with = append(with, wall)
		}
		added := median(with) - median(without)
		const most = 150
		b.table.bound("run adds to `"+command[0]+"`, median of 21", millis(added), float64(added)/1e6, most, "ms")
		b.table.note("%s with, %s without", millis(median(with)), millis(median(without)))
	}
	return nil
}
