package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// progress says on standard error how far a work is that takes more than a second: on a
// terminal in one line, elsewhere now and then. done ends it and must be called.
func (a *app) progress(far func() string) (done func()) {
	_, isTerminal := terminal(a.errs)
	first, often := time.Second, 3*time.Second
	if isTerminal {
		often = time.Second / 4
	}
	quit := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-quit:
				return
			}
			timer.Reset(often)
			if isTerminal {
				fmt.Fprint(a.errs, "\r\x1b[K"+far()) //nolint:errcheck // the terminal
			} else {
				fmt.Fprintln(a.errs, far())
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			close(quit)
			work.Wait()
			if isTerminal {
				fmt.Fprint(a.errs, "\r\x1b[K") //nolint:errcheck // the terminal
			}
		})
	}
}

// pausable is a progress that is silent while somebody reads, or is asked.
type pausable struct {
	a    *app
	far  func() string
	stop func()
}

func (p *pausable) resume() {
	p.pause()
	p.stop = p.a.progress(p.far)
}

func (p *pausable) pause() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// during is silent while f runs.
func (p *pausable) during(f func() error) error {
	p.pause()
	defer p.resume()
	return f()
}

// meter is a picture of done of all.
func meter(done, all int) string {
	const width = 20
	full := 0
	if all > 0 {
		full = min(width, width*done/all)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}

// mebibytes is a size for people.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
