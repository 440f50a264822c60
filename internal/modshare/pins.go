package modshare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"
)

// Trusted is the h1: sum that key had when any replica first saw it. Where the bucket
// has none, that of this replica counts and is handed on.
func (s *Store) Trusted(ctx context.Context, key string) (string, error) {
	own, err := s.Store.Trusted(ctx, key)
	if err != nil {
		return "", err
	}
	theirs, _, err := s.value(ctx, trustDir+escape(key))
	switch {
	case errors.Is(err, fs.ErrNotExist) && own != "":
		return s.Trust(ctx, key, own)
	case err != nil:
		return own, ctx.Err() // what is known here has to do
	}
	s.agree(key, own, theirs)
	return theirs, nil
}

// Trust pins the h1: sum of key for all replicas, unless it has one, and returns the one
// it has. Without the bucket it is pinned here, and compared later.
func (s *Store) Trust(ctx context.Context, key, h1 string) (string, error) {
	own, err := s.Store.Trusted(ctx, key)
	if err != nil {
		return "", err
	}
	if own != "" {
		h1 = own
	}
	name := trustDir + escape(key)
	if _, err = s.bucket.put(ctx, name, encodeValue(key, h1), absent); errors.Is(err, errTaken) {
		var theirs string
		if theirs, _, err = s.value(ctx, name); err == nil {
			s.agree(key, own, theirs)
			h1 = theirs
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if own != "" {
		return h1, nil
	}
	if _, err := s.Store.Trust(ctx, key, h1); err != nil {
		return "", err
	}
	return h1, nil
}

// agree tells of a version that two replicas saw with different content.
func (s *Store) agree(key, own, theirs string) {
	if own != "" && own != theirs {
		s.counts.add("disagreed")
		s.log.Error("this replica first saw other content of a version than the one shared; the shared one counts", "version", key, "here", own, "shared", theirs)
	}
}

// heard is a note of the bucket. It may be old: who wants to change it learns of that.
type heard struct {
	value string
	none  bool
	at    time.Time
}

func (s *Store) hear(name string, h heard) {
	const most = 4096
	h.at = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes == nil || len(s.notes) >= most {
		s.notes = map[string]heard{}
	}
	s.notes[name] = h
}

// Note returns a word that any replica set, as it was at most a minute ago.
func (s *Store) Note(ctx context.Context, name string) (string, error) {
	s.mu.Lock()
	h, ok := s.notes[name]
	s.mu.Unlock()
	if !ok || time.Since(h.at) > time.Minute {
		v, _, err := s.value(ctx, notesDir+escape(name))
		h = heard{value: v, none: err != nil}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			s.hear(name, h)
		}
	}
	if h.none {
		return s.Store.Note(ctx, name)
	}
	return h.value, nil
}

// SetNote sets a word for all if it still is old, and tells whether it was.
func (s *Store) SetNote(ctx context.Context, name, old, now string) (bool, error) {
	own, err := s.Store.Note(ctx, name)
	if err != nil {
		return false, err
	}
	shared, o, err := s.value(ctx, notesDir+escape(name))
	when := unchanged(o.etag)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		shared, when = own, absent
	case err != nil:
		return s.Store.SetNote(ctx, name, old, now)
	}
	if shared != old {
		s.hear(name, heard{value: shared})
		return false, nil
	}
	if _, err := s.bucket.put(ctx, notesDir+escape(name), encodeValue(name, now), when); errors.Is(err, errTaken) {
		s.mu.Lock()
		delete(s.notes, name)
		s.mu.Unlock()
		return false, nil
	} else if err != nil {
		if own != old { // the bucket went away in between
			return false, nil
		}
		return s.Store.SetNote(ctx, name, old, now)
	}
	s.hear(name, heard{value: now})
	_, err = s.Store.SetNote(ctx, name, own, now) // where another process was faster, it has a newer one
	return true, err
}

// Pin keeps the file of key from being collected, here and in the bucket.
func (s *Store) Pin(ctx context.Context, key, owner string) error {
	if err := s.Store.Pin(ctx, key, owner); err != nil {
		return err
	}
	_, err := s.bucket.put(ctx, pinName(owner, key), encodeValue(key, owner), anything)
	return err
}

// PinAll makes keys what owner pins, here and in the bucket, and nothing else.
func (s *Store) PinAll(ctx context.Context, keys []string, owner string) error {
	if err := s.Store.PinAll(ctx, keys, owner); err != nil {
		return err
	}
	missing := map[string]string{}
	for _, key := range keys {
		missing[pinName(owner, key)] = key
	}
	err := s.bucket.list(ctx, pinsDir+escape(owner)+"/", 0, func(o object) error {
		if _, ok := missing[o.name]; ok {
			delete(missing, o.name)
			return nil
		}
		return s.bucket.remove(ctx, o.name)
	})
	if err != nil {
		return fmt.Errorf("pinning in %s: %w", s.Name(), err)
	}
	var mu sync.Mutex
	s.each(ctx, slices.Collect(maps.Values(missing)), func(key string) {
		_, failed := s.bucket.put(ctx, pinName(owner, key), encodeValue(key, owner), anything)
		mu.Lock()
		defer mu.Unlock()
		err = cmp.Or(err, failed)
	})
	return cmp.Or(err, ctx.Err())
}

// Unpin lets go of what owner pinned.
func (s *Store) Unpin(ctx context.Context, owner string) error {
	if err := s.Store.Unpin(ctx, owner); err != nil {
		return err
	}
	return s.bucket.list(ctx, pinsDir+escape(owner)+"/", 0, func(o object) error { return s.bucket.remove(ctx, o.name) })
}

func pinName(owner, key string) string { return pinsDir + escape(owner) + "/" + escape(key) }
