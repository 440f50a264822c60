package modshare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Offered is what Offer did.
type Offered struct {
	Shared int   // handed on
	Had    int   // in the bucket already
	Failed error // the first error that kept a file from it
}

// Offer hands on what is kept here of keys and the bucket lacks, and tells told of each.
func (s *Store) Offer(ctx context.Context, keys []string, told func()) (Offered, error) {
	var done Offered
	var mu sync.Mutex
	s.each(ctx, keys, func(key string) {
		had, err := s.HandOn(ctx, key)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil && done.Failed == nil:
			done.Failed = err
		case err != nil:
		case had:
			done.Had++
		default:
			done.Shared++
		}
		told()
	})
	return done, ctx.Err()
}

// each calls f for all keys, several at a time.
func (s *Store) each(ctx context.Context, keys []string, f func(key string)) {
	const atOnce = 8
	work := make(chan string)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for key := range work {
				if ctx.Err() == nil {
					f(key)
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	workers.Wait()
}

// HandOn hands on what is kept here of key, unless the bucket has an entry for it.
func (s *Store) HandOn(ctx context.Context, key string) (had bool, err error) {
	if _, _, err := s.look(ctx, key); err == nil {
		return true, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, modstore.ErrRotten) {
		return false, fmt.Errorf("sharing %s: %w", key, err)
	}
	e, err := s.Store.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("sharing %s: %w", key, err)
	}
	_, err = s.Publish(ctx, e, false)
	return false, err
}

// ScrubShared reads, of the files that are kept here, what the bucket has, and holds it to
// the recorded sums. What is rotten or lost there is replaced by what is kept here, which
// has to be whole: Scrub comes first. What only others keep, they look after.
func (s *Store) ScrubShared(ctx context.Context) (modstore.Scrubbed, error) {
	var done modstore.Scrubbed
	keys, err := s.Store.Keys(ctx, "")
	if err != nil {
		return done, err
	}
	var mu sync.Mutex
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.each(ctx, keys, func(key string) {
		e, bad, err := s.scrub(ctx, key)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, fs.ErrNotExist): // not shared
			return
		case err != nil:
			failed = cmp.Or(failed, err)
			stop() // the rest cannot be told of either
			return
		}
		done.Files++
		done.Bytes += e.Size
		switch {
		case errors.Is(bad, fs.ErrNotExist):
			done.Missing++
		case bad != nil:
			done.Bad = append(done.Bad, modstore.Bad{Key: key, Sum: e.Sum, Size: e.Size, Source: s.Name(), Reason: bad.Error()})
		}
	})
	if failed = cmp.Or(failed, ctx.Err()); failed != nil {
		failed = fmt.Errorf("reading %s: %w", s.Name(), failed)
	}
	return done, failed
}

// scrub holds one file of the bucket to its sum, and mends it; bad is what was wrong.
func (s *Store) scrub(ctx context.Context, key string) (e modstore.Entry, bad, err error) {
	e, _, err = s.look(ctx, key)
	if err == nil && e.Data == nil {
		h := sha256.New()
		err = s.bucket.download(ctx, blobName(e.Sum), e.Size, h)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad, err = err, nil
		case err == nil && hex.EncodeToString(h.Sum(nil)) != e.Sum, errors.Is(err, errTooLong):
			err = fmt.Errorf("%w: the bytes do not have the recorded sha256", modstore.ErrRotten)
			_, _ = s.rotten(ctx, e, err) // the same error, with the name
		}
	}
	if errors.Is(err, modstore.ErrRotten) {
		bad, err = err, nil
	}
	if err != nil || bad == nil {
		return e, bad, err
	}
	own, err := s.Store.Get(ctx, key)
	if err == nil {
		_, err = s.Publish(ctx, own, false)
	}
	return e, bad, err
}
