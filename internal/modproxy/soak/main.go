//go:build linux

// Command soak runs `keepwell proxy` for a long time under mixed load and against
// upstreams that fail in every way, while the store is collected and scrubbed beside it
// and one process is killed three times. Every answer is held to what it has to be;
// memory, descriptors and goroutines are sampled and must stay flat. Its exit code is 1
// where a wrong byte was served or something grew.
//
//	go run ./internal/modproxy/soak -for 30m
//
// A fault is an entry of faults in world.go, a kind of request one of kinds in load.go,
// a figure that must stay flat one of figures in measure.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

type options struct {
	duration time.Duration
	clients  int
	keepwell string
	seed     uint64
	kills    int
	dir      string
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "for", time.Minute, "how long")
	flag.IntVar(&o.clients, "clients", 12, "how many clients at once")
	flag.StringVar(&o.keepwell, "keepwell", "", "the program (default: built from this tree)")
	flag.Uint64Var(&o.seed, "seed", 1, "of what is drawn at random")
	flag.IntVar(&o.kills, "kills", 3, "how often a process is killed")
	flag.StringVar(&o.dir, "dir", "", "an empty directory, which is left for a look at the store and the logs")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// pauses of what goes on beside the load.
const (
	sampleEvery  = 2 * time.Second
	collectEvery = 5 * time.Second
	scrubEvery   = 30 * time.Second
)

func run(ctx context.Context, out io.Writer, o options) error {
	dir := o.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "soak"); err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	}
	if o.keepwell == "" {
		o.keepwell = filepath.Join(dir, "keepwell")
		if words, err := exec.CommandContext(ctx, "go", "build", "-o", o.keepwell, "./cmd/keepwell").CombinedOutput(); err != nil {
			return fmt.Errorf("building keepwell: %w: %s", err, words)
		}
	}
	world, err := newWorld(ctx, o.seed)
	if err != nil {
		return err
	}
	defer world.close()
	fmt.Fprintf(out, "%d files of %d modules (%d MiB), 3 upstreams, %d clients, 2 processes, %d kills, %s, seed %d\n",
		len(world.files), modules, world.bytes>>20, o.clients, o.kills, o.duration, o.seed)
	s := &soak{options: o, world: world, dir: dir, store: filepath.Join(dir, "store")}
	// The first lives from beginning to end, the second is killed.
	for i := range s.servers {
		if s.servers[i], err = s.start(ctx, i); err != nil {
			return err
		}
	}
	defer s.stop()
	err = s.load(ctx)
	fmt.Fprintln(out, "the load is over; waiting for what it left behind to go")
	s.quiet(ctx)
	s.stop()
	return errors.Join(err, s.finalStore(context.WithoutCancel(ctx)), s.report(out))
}

// soak is one run.
type soak struct {
	options
	world   *world
	dir     string
	store   string
	counts  counts
	mu      sync.Mutex // of servers and samples
	servers [2]*server
	samples []sample
	rest    sample // after the load

	collected, blobs, scrubbed, killed int
}

// load runs everything for as long as was asked.
func (s *soak) load(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, s.duration)
	defer stop()
	var all sync.WaitGroup
	for i := range s.clients {
		all.Go(func() { s.client(ctx, rand.New(rand.NewPCG(s.seed, uint64(i)))) }) //nolint:gosec // no secret
	}
	all.Go(func() { every(ctx, sampleEvery, func() { s.sample(ctx) }) })
	errs := make(chan error, 2)
	all.Go(func() { errs <- s.care(ctx) })
	all.Go(func() { errs <- s.kill(ctx) })
	all.Wait()
	return errors.Join(<-errs, <-errs)
}

// every calls f until ctx ends.
func every(ctx context.Context, pause time.Duration, f func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// care collects with a quota of a third, and scrubs, as a third process on the store.
func (s *soak) care(ctx context.Context) error {
	store, err := modstore.Open(ctx, modstore.Options{Dir: s.store})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // it is whole at any moment
	var all error
	last := time.Now()
	every(ctx, collectEvery, func() {
		done, err := store.Collect(ctx, modstore.Keep{Bytes: s.world.bytes / 3})
		s.collected, s.blobs = s.collected+done.Files, s.blobs+done.Blobs
		if err == nil && time.Since(last) > scrubEvery {
			last = time.Now()
			var seen modstore.Scrubbed
			seen, err = store.Scrub(ctx)
			s.scrubbed += seen.Files
			for _, bad := range seen.Bad {
				all = errors.Join(all, fmt.Errorf("scrub: %s: %s", bad.Key, bad.Reason))
			}
		}
		if err != nil && ctx.Err() == nil {
			all = errors.Join(all, err)
		}
	})
	return all
}

// kill kills the second process now and then, with no warning, and starts it anew.
func (s *soak) kill(ctx context.Context) error {
	if s.kills == 0 {
		return nil
	}
	var all error
	every(ctx, s.duration/time.Duration(s.kills+1), func() {
		if s.killed == s.kills || ctx.Err() != nil {
			return
		}
		s.server(1).kill()
		s.killed++
		fresh, err := s.start(ctx, 1)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("starting after a kill: %w", err))
			return
		}
		s.mu.Lock()
		s.servers[1] = fresh
		s.mu.Unlock()
	})
	return all
}

func (s *soak) server(i int) *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[i]
}

func (s *soak) stop() {
	for i := range s.servers {
		if one := s.server(i); one != nil {
			one.stop()
		}
	}
}

// quiet waits until what the load left behind is gone.
func (s *soak) quiet(ctx context.Context) {
	const patience = 60 * time.Second
	http.DefaultClient.CloseIdleConnections()
	s.world.release()
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	const few = 40
	every(ctx, sampleEvery, func() {
		s.rest = s.server(0).sample(context.WithoutCancel(ctx)) // one that is cut short would say 0
		if fds, routines := s.rest.values[descriptors], s.rest.values[goroutines]; fds > 0 && fds < few && routines > 0 && routines < few {
			stop()
		}
	})
}

// finalStore holds all that is kept to what it has to be, after everyone is gone.
func (s *soak) finalStore(ctx context.Context) error {
	store, err := modstore.Open(ctx, modstore.Options{Dir: s.store})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // only read
	keys, err := store.Keys(ctx, "")
	for _, key := range keys {
		e, getErr := store.Get(ctx, key)
		want, known := s.world.files["/"+key]
		if getErr == nil && known && e.Sum != want.sum {
			err = errors.Join(err, fmt.Errorf("the store has wrong bytes for %s", key))
		}
	}
	if len(keys) == 0 {
		err = errors.Join(err, errors.New("nothing was kept"))
	}
	seen, scrubErr := store.Scrub(ctx)
	if len(seen.Bad) > 0 {
		err = errors.Join(err, fmt.Errorf("%d files have rotted", len(seen.Bad)))
	}
	left, _ := filepath.Glob(filepath.Join(s.store, "tmp", "p*")) // only our own may be there
	if n := len(left); n > 2 {
		err = errors.Join(err, fmt.Errorf("left behind: %s", strings.Join(left, " ")))
	}
	return errors.Join(err, scrubErr)
}
