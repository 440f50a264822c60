package modcache

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"time"
)

// entry is what a walk learns of a name.
type entry struct {
	name string
	mode fs.FileMode
	size int64
	// disk is what it takes of the disk; size where that is not known.
	disk int64
	// used is the later of when it was last read, as far as the file system notes that,
	// and when it was last written.
	used, modified time.Time
	// dev and ino tell a file from others, links from links; changed is when anything of it
	// was changed last, in nanoseconds. Zero where the system has none.
	dev, ino uint64
	changed  int64
	links    uint64
	// owner is the user's number; -1 where the system has none.
	owner int
}

// walker reads directories side by side: most of the time goes into the kernel.
type walker[T any] struct {
	// visit gets the entries of one directory, and returns what is known of those that are
	// directories to be walked too; ok is false where one is not. It may be called by
	// several goroutines at once. entries is used again.
	visit func(dir string, of T, entries []entry) []step[T]
	// failed is told of what cannot be read.
	failed func(dir string, of T, err error)

	mu    sync.Mutex
	more  *sync.Cond
	stack []step[T]
	busy  int
	ended bool
}

// step is a directory to be walked, and what is known of it.
type step[T any] struct {
	dir string
	of  T
}

// walk visits start and what visit names, until nothing is left or ctx ends.
func (w *walker[T]) walk(ctx context.Context, start ...step[T]) error {
	w.more = sync.NewCond(&w.mu)
	w.stack = append(w.stack, start...)
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
		w.more.Broadcast()
	})
	defer stop()
	var work sync.WaitGroup
	for range min(16, 2*runtime.GOMAXPROCS(0)) {
		work.Go(w.work)
	}
	work.Wait()
	return context.Cause(ctx)
}

func (w *walker[T]) work() {
	var buf []entry
	for {
		s, ok := w.next()
		if !ok {
			return
		}
		var err error
		var found []step[T]
		if buf, err = readDir(s.dir, buf[:0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.failed(s.dir, s.of, err)
		}
		if len(buf) > 0 || err == nil {
			found = w.visit(s.dir, s.of, buf)
		}
		w.done(found)
	}
}

func (w *walker[T]) next() (s step[T], ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.stack) == 0 && w.busy > 0 && !w.ended {
		w.more.Wait()
	}
	if len(w.stack) == 0 || w.ended {
		w.more.Broadcast()
		return s, false
	}
	s = w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
	w.busy++
	return s, true
}

func (w *walker[T]) done(found []step[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	w.stack = append(w.stack, found...)
	if len(found) > 0 || w.busy == 0 {
		w.more.Broadcast()
	}
}
