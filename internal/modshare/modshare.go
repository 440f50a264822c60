// Package modshare lets module proxies on several machines share what they fetched,
// through a bucket of an S3-compatible object store. Each replica keeps its own
// modstore, which answers whatever it has; the bucket is asked only for what is
// missing there. It never fetches from upstreams and never decides whether bytes are
// good: what comes from the bucket is held to its sha256 here and admitted by the
// caller as if a server had sent it.
//
// # Layout of the bucket
//
//	blobs/<2 hex>/<sha256>     bytes larger than modstore.Inline
//	entries/<key>_.json        what is known of a file; small files lie in it
//	claims/<key>_.json         who is fetching it now
//	trust/<key>_.json          the h1: sum trusted on first use
//	notes/<name>_.json         the newest tree of a checksum database
//	pins/<owner>_/<key>_.json  what stays whatever the quota
//	used/<day>/<replica>       what was wanted that day
//	collect/…                  the collector's lease and memory
//
// Names are escaped (names.go) so that no two keys meet, on a server that stores
// objects as files too.
//
// # What survives what
//
// Every write that decides something is conditional (If-None-Match, If-Match): of
// several replicas one is first, and the others see it. Bytes are uploaded before the
// entry that names them, so an upload that breaks off leaves at most a blob without
// an entry, which the collector clears. An entry whose blob is lost or rotten counts
// as absent and is replaced by who fetches the file anew. A claim is renewed by its
// holder; it is taken over when it stood unchanged for its whole lease by the clock of
// who waits, or by the server's, so that no clocks of two machines are compared. A
// bucket that fails twice in a row is left alone for a while (bucket.go), and never
// waited for longer than Limits.Op without bytes that come.
//
// A new kind of object is a prefix in names.go, its reader and writer a file here.
package modshare

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Limits are patience. A zero value is the shipped one.
type Limits struct {
	// Op is how long one small request may take (2 s). What carries bytes is cut when
	// it moves less than Floor in such a time.
	Op time.Duration
	// Floor is the slowest that bytes may come and go, in bytes per second (256 KiB).
	Floor int64
	// Rest is how long a bucket that failed is left alone (15 s).
	Rest time.Duration
	// Lease is how long a claim stands that its holder does not renew (10 s).
	Lease time.Duration
	// Poll is the first pause of who waits for a claim; it grows to twenty times that
	// (50 ms).
	Poll time.Duration
	// Grace is how old a blob without an entry must be to be cleared (1 h).
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		at *time.Duration
		v  time.Duration
	}{{&l.Op, 2 * time.Second}, {&l.Rest, 15 * time.Second}, {&l.Lease, 10 * time.Second}, {&l.Poll, 50 * time.Millisecond}, {&l.Grace, time.Hour}} {
		if *d.at == 0 {
			*d.at = d.v
		}
	}
	if l.Floor == 0 {
		l.Floor = 256 << 10
	}
	return l
}

// Options of a shared store.
type Options struct {
	// Local is this replica's own store; who opened it closes it, after this one.
	Local *modstore.Store
	// URL is where the bucket is: https://HOST/BUCKET/PREFIX?region=R&addressing=path&credentials=iam.
	URL string
	// Unconditional does without conditional writes: there are no claims then, and
	// two replicas may fetch the same file.
	Unconditional bool
	Log           *slog.Logger
	Limits        Limits

	roleEndpoint string // tests set it
}

// Store is a modstore of this replica before a bucket that all replicas share.
type Store struct {
	*modstore.Store
	bucket  *bucket
	limits  Limits
	log     *slog.Logger
	replica string
	counts  counts

	ctx   context.Context //nolint:containedctx // what runs beside requests ends with the store
	stop  context.CancelFunc
	work  sync.WaitGroup
	queue chan modstore.Entry // small files on their way into the bucket

	mu   sync.Mutex
	used map[string]struct{} // what was wanted on day
	day  string
	// notes are those of the bucket as they were read lately.
	notes map[string]heard
}

// Open opens the bucket. Where it answers that it is not as it has to be, the error is
// a *Refusal; where it does not answer, the store opens and goes on without it until
// it does.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		Store: o.Local, limits: o.Limits.withDefaults(), log: o.Log, replica: strings.ToLower(rand.Text()[:12]),
		queue: make(chan modstore.Entry, 1024), used: map[string]struct{}{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.bucket, err = newBucket(ctx, o, s.limits, s.log); err != nil {
		return nil, err
	}
	if err := s.bucket.open(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	const writers = 2
	for range writers {
		s.work.Go(s.carry)
	}
	return s, nil
}

// Name is what people are told of the bucket.
func (s *Store) Name() string { return s.bucket.shown }

// Close writes what is pending and lets go of the claims.
func (s *Store) Close() error {
	s.FlushUses(context.Background())
	s.stop()
	s.work.Wait()
	return nil
}

// isProof tells files of the checksum database. They prove themselves: nobody has to
// admit them, and nobody claims them.
func isProof(key string) bool { return strings.HasPrefix(key, "sumdb/") }

// Get finds a file that this replica has, or a proof that any has.
func (s *Store) Get(ctx context.Context, key string) (modstore.Entry, error) {
	e, err := s.Store.Get(ctx, key)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !isProof(key) {
		return e, err
	}
	var b bytes.Buffer
	got, takeErr := s.Take(ctx, key, &b)
	if takeErr != nil {
		return e, err
	}
	got.Data = nil
	return s.Store.PutData(ctx, got, b.Bytes())
}

// PutData stores a small file; a proof goes to the others too, beside the caller.
func (s *Store) PutData(ctx context.Context, e modstore.Entry, data []byte) (modstore.Entry, error) {
	e, err := s.Store.PutData(ctx, e, data)
	if err == nil && isProof(e.Key) && e.Data != nil {
		select {
		case s.queue <- e:
		default: // it is fetched again by who needs it
			s.counts.add("dropped")
		}
	}
	return e, err
}

// carry brings proofs into the bucket until the store closes, and then what is left.
func (s *Store) carry() {
	for {
		select {
		case e := <-s.queue:
			s.carryOne(e)
			continue
		case <-s.ctx.Done():
		}
		select {
		case e := <-s.queue:
			s.carryOne(e)
		default:
			return
		}
	}
}

func (s *Store) carryOne(e modstore.Entry) {
	if !s.bucket.breaker.resting() {
		_, _ = s.Publish(context.WithoutCancel(s.ctx), e, false) // it stays here, and others fetch it
	}
}

// Keys lists the keys that begin with prefix, of this replica and of the bucket.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.Store.Keys(ctx, prefix)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, k := range keys {
		seen[k] = true
	}
	const most = 10000
	_ = s.bucket.list(ctx, entryPrefix(prefix), most, func(o object) error { // what is here must do then
		if k, ok := entryKey(o.name); ok && strings.HasPrefix(k, prefix) && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
		return nil
	})
	return keys, nil
}
