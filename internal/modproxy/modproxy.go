// Package modproxy answers the GOPROXY protocol from upstreams that may fail: each
// file is fetched by itself, checked before its first byte leaves, kept, and asked of
// the next upstream where one refuses, hangs, breaks off or lies. It never serves
// bytes that were not admitted, never tells a module's name to a server outside of
// the module's own list, and never passes a client's credentials on.
//
// One request goes through serve.go (protocol), files.go (kept or fetched, once for
// all who ask), race.go (which upstreams, in which order), attempt.go (one upstream),
// admit.go (is it what it should be), landing.go (a zip is served while it is kept) and back. A new kind of upstream is a case in
// attempt.go, a new check goes into admit.go, a new path into request.go and serve.go.
package modproxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
)

// Store is what the proxy needs of a place to keep files in.
type Store interface {
	Get(ctx context.Context, key string) (modstore.Entry, error)
	OpenFile(ctx context.Context, e modstore.Entry) (*os.File, error)
	Keys(ctx context.Context, prefix string) ([]string, error)
	Stage() (*modstore.Staged, error)
	Put(ctx context.Context, e modstore.Entry, st *modstore.Staged) (modstore.Entry, error)
	PutData(ctx context.Context, e modstore.Entry, data []byte) (modstore.Entry, error)
	Confirm(ctx context.Context, key string) error
	Proved(ctx context.Context, key, h1, via string) error
	Touch(key string)
	Quarantine(ctx context.Context, key, source, reason string, st *modstore.Staged) error
	Scratch() string
	Pins
}

// Pins are the sums that were trusted on first use, and what is remembered of the
// checksum database.
type Pins interface {
	Trusted(ctx context.Context, key string) (string, error)
	Trust(ctx context.Context, key, h1 string) (string, error)
	Distrust(ctx context.Context, key string) error
	Note(ctx context.Context, name string) (string, error)
	SetNote(ctx context.Context, name, old, value string) (bool, error)
}

// Options of a proxy.
type Options struct {
	Store Store
	// Lists are tried in order: the first whose patterns match a module has its
	// upstreams; one without patterns takes all. A module that no list takes is denied.
	Lists []List
	// Sums are the lines of the client's go.sum: "path version" or "path
	// version/go.mod" to the h1: sum. They outrank the database.
	Sums map[string]string
	// Database is GOSUMDB, Unlisted GONOSUMDB. An empty Database is as good as "off".
	Database, Unlisted string
	// Policy says which versions may be had; nil: all. FirstSeen judges their age by
	// nothing but when this store first saw them.
	Policy    *modpolicy.Policy
	FirstSeen bool
	// CommaFriendly answers 404 in place of 502 and 504, so that go asks the next entry
	// of a GOPROXY with commas. A refusal stays a refusal.
	CommaFriendly bool
	// Private are hosts that upstreams may redirect to though they have private
	// addresses, beside those of upstreams that are private themselves.
	Private []string
	// Resolve looks up the hosts of modules that come directly: they must be public, unless
	// the module has a list of its own or the host is one of Private, and so must all be
	// that they lead to (fence.go). nil: any host may be asked, as where a person runs go.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Netrc is the content of the netrc file; its logins go to upstreams of that host,
	// over https only.
	Netrc []byte
	// Auth takes the place of Netrc where it is set: all that GOAUTH gives.
	Auth *credentials.GoAuth
	// Env is set for the go command of direct entries, on top of the environment.
	Env []string
	// Lang is the language of a rule's reason, and of what is too young.
	Lang msg.Lang
	// Tracer gets a span for what is done for a request: store, upstreams, checksum
	// database; nil: no traces are made.
	Tracer trace.Tracer
	// Cache is a directory with the layout of $GOMODCACHE/cache/download that is looked
	// into before any server is asked; "" none.
	Cache string
	// Log gets what an operator wants to know; nil: nobody.
	Log *slog.Logger
	// Client makes the requests to upstreams; nil: one with keepwell's rules. Tests
	// bring certificates with it.
	Roots  *http.Transport
	Limits Limits
}

// Limits are patience and sizes. A zero value is the shipped one.
type Limits struct {
	// Slow is how long an upstream may give no header, or a body below Floor, before
	// the next is asked beside it (5 s); after twice as long below Floor a body is cut.
	Slow time.Duration
	// Silence is how long an upstream may give no header at all (60 s).
	Silence time.Duration
	// Floor is what a body must bring in a second, in bytes (4096).
	Floor int64
	// Connect bounds a connection and a handshake (10 s).
	Connect time.Duration
	// Sum is how long the checksum database may take to vouch (2 s).
	Sum time.Duration
	// Backoff is the pause before those who failed are asked again (300 ms).
	Backoff time.Duration
	// Rest is how long an upstream that failed is left alone (30 s).
	Rest time.Duration
	// Fresh is how long lists need no question (60 s), Stale how long a client waits
	// for a fresher one than the one at hand (30 ms; half as long where the upstreams are in
	// doubt). An upstream without a word for ten times Stale is in doubt.
	Fresh, Stale time.Duration
	// Old is what Stale is for what is older than ten times Fresh (no longer than Stale):
	// where a person asks once, and nobody after them, today's answer is worth some patience.
	Old time.Duration
	// Fetches bounds how many files are fetched at once from the same upstreams (128); who
	// wants more waits.
	Fetches int64
	// Memory bounds the small files kept in memory, in bytes (16 MiB).
	Memory int64
	// Largest are the bounds of what is taken; 0: go's own.
	LargestZip, LargestFile int64
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Slow, 5*time.Second)
	set(&l.Silence, time.Minute)
	set(&l.Connect, 10*time.Second)
	set(&l.Sum, 2*time.Second)
	set(&l.Backoff, 300*time.Millisecond)
	set(&l.Rest, 30*time.Second)
	set(&l.Fresh, time.Minute)
	set(&l.Stale, 30*time.Millisecond)
	for _, n := range []struct {
		at *int64
		v  int64
	}{{&l.Floor, 4096}, {&l.Fetches, 128}, {&l.Memory, 16 << 20}, {&l.LargestZip, largestZip}, {&l.LargestFile, largestFile}} {
		if *n.at == 0 {
			*n.at = n.v
		}
	}
	return l
}

// Proxy is the handler. Close it when no request is under way.
type Proxy struct {
	Options // as given, but for what may change, which is in live
	live    atomic.Pointer[live]
	// reloading is held by whoever puts another set of bundles in the place of one.
	reloading sync.Mutex
	client    *client
	memory    *memory
	open      openFiles
	flights   flights
	landings  landings
	health    *healths
	database  *database
	directs   directs
	seen      journal

	fenceOnce sync.Once
	fence     *fence
	fenceErr  error
	reloads   reloads
	damaged   atomic.Bool // the store met pages that are broken
	inflaters sync.Pool   // of *inflater
	buffers   sync.Pool   // of *buffer

	ctx  context.Context //nolint:containedctx // what runs for several requests ends with the proxy
	stop context.CancelFunc
	work sync.WaitGroup
}

// New returns a proxy under o. The end of ctx ends what it has under way.
func New(ctx context.Context, o Options) (*Proxy, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Lists) == 0 {
		return nil, errors.New("a module proxy without upstreams")
	}
	p := &Proxy{Options: o, memory: newMemory(o.Limits.Memory), health: newHealths(o.Limits)}
	files, err := openBundles(o.Lists)
	if err != nil {
		return nil, err
	}
	p.ctx, p.stop = context.WithCancel(ctx)
	p.live.Store(newLive(o.changeable(), files, time.Now()))
	p.Lists, p.Private, p.Netrc, p.Policy = nil, nil, nil, nil
	p.client = newClient(o, p.live.Load)
	if p.database, err = newDatabase(p, o.Database); err != nil {
		p.stop()
		files.retire()
		return nil, err
	}
	return p, nil
}

// Close ends what is under way and waits for it.
func (p *Proxy) Close() {
	p.stop()
	p.work.Wait()
	p.client.close()
	p.open.close()
	p.reloading.Lock()
	defer p.reloading.Unlock()
	p.live.Load().bundles.retire()
}
