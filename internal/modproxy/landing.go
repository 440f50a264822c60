package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// landings are zips that were admitted and are on their way into the store. They are
// served from the file that they came in, whose bytes nobody changes any more: making them
// durable takes as long as a disk takes, and a client has no use for that. Nothing else
// finds them before they are kept. If the process is killed, or the disk turns out to be
// full, they were never there: who has the bytes has what was admitted, and the next who
// asks has them fetched again.
type landings struct {
	mu  sync.Mutex
	all map[string]string // sha256 to the name of the file
}

// mostLanding bounds how much may be served that is not yet kept: with a disk that is
// slower than the clients, they wait for it.
const mostLanding = 8

// land lets those who wait for f have the zip in b. kept ends that: the zip is in the store
// by then, or lost. It has to be kept with the ctx that comes back: who waited may be gone,
// and the end of the proxy waits for it. kept is nil where nobody has anything yet, as with
// what is small and lies in the database: that is soon kept.
func (p *Proxy) land(ctx context.Context, f *flight, e modstore.Entry, b *body) (keep context.Context, kept func()) {
	if b.file == nil || b.file.Size() <= modstore.Inline {
		return ctx, nil
	}
	e.Sum, e.Size, e.Stored = b.file.Sum(), b.file.Size(), time.Now()
	l := &p.landings
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= mostLanding || l.all[e.Sum] != "" {
		return ctx, nil
	}
	if l.all == nil {
		l.all = map[string]string{}
	}
	l.all[e.Sum] = b.file.Name()
	p.flights.land(f, e, nil)
	return context.WithoutCancel(ctx), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, e.Sum)
	}
}

// openFile opens the bytes of e, which is no small one, wherever they are.
func (p *Proxy) openFile(ctx context.Context, e modstore.Entry) (*os.File, error) {
	p.landings.mu.Lock()
	name := p.landings.all[e.Sum]
	p.landings.mu.Unlock()
	if name != "" {
		if f, err := os.Open(name); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		} // it has its place in the store by now
	}
	return p.Store.OpenFile(ctx, e)
}
