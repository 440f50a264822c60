package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Watcher loads files anew when they change. What cannot be loaded leaves what was
// loaded before, and is told of once.
type Watcher struct {
	Log   *slog.Logger
	items []watched
}

type watched struct {
	name  string
	files []string
	load  func() error
	seen  string
}

// often is how long a change may go unseen.
const often = 2 * time.Second

// Add follows files that were loaded just now; load loads them anew.
func (w *Watcher) Add(name string, files []string, load func() error) {
	w.items = append(w.items, watched{name, files, load, look(files)})
}

// look tells states of files apart without reading them.
func look(files []string) string {
	var b strings.Builder
	for _, name := range files {
		st, err := os.Stat(name)
		if err != nil {
			fmt.Fprintln(&b, "gone")
			continue
		}
		fmt.Fprintln(&b, st.ModTime().UnixNano(), st.Size(), st.Mode())
	}
	return b.String()
}

// Look loads what changed; all: everything.
func (w *Watcher) Look(all bool) {
	for i := range w.items {
		it := &w.items[i]
		now := look(it.files)
		if now == it.seen && !all {
			continue
		}
		it.seen = now
		if err := it.load(); err != nil {
			w.Log.Error("cannot load anew; what was loaded before stays", "what", it.name, "error", err.Error())
			continue
		}
		w.Log.Info("loaded anew", "what", it.name)
	}
}

// Follow looks again and again, and on SIGHUP, until the end of ctx.
func (w *Watcher) Follow(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.Look(false)
		case <-hup:
			w.Look(true)
		case <-ctx.Done():
			return
		}
	}
}

// Loose tells whether others than its owner may read a file.
func Loose(name string) bool {
	st, err := os.Stat(name)
	const others = 0o077
	return err == nil && st.Mode().Perm()&others != 0 && os.PathSeparator == '/'
}
