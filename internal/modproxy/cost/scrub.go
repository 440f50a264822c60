//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"
)

// scrub measures the CPU time of looking through a store that has the corpus, beside go
// mod verify on the same modules.
func scrub(ctx context.Context, b *bench) error {
	c, err := b.needCorpus(ctx)
	if err != nil {
		return err
	}
	verify, err := b.verify(ctx)
	if err != nil {
		return err
	}
	return b.fresh(func(dir string) error {
		store := filepath.Join(dir, "store")
		// The import is done when the service is ready.
		kw, err := b.startKeepwell(ctx, []string{"GOSUMDB=off"}, store, "--upstream", "http://127.0.0.1:1", "--import", c.mod)
		if err != nil {
			return err
		}
		kw.stop()
		var all []time.Duration
		for range rounds {
			_, cpu, err := c.command(ctx, nil, b.keepwell, "proxy", "--dir", store, "--upstream", "http://127.0.0.1:1", "--scrub")
			if err != nil {
				return err
			}
			all = append(all, cpu)
		}
		const goal = 0.25
		b.table.row("scrub of the corpus: CPU beside go mod verify", secs(median(all)), secs(verify), ratio(median(all), verify), goal, false)
		return nil
	})
}
