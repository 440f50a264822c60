package modshare

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Touch notes that key was wanted: here to the second, in the bucket to the day.
func (s *Store) Touch(key string) {
	s.Store.Touch(key)
	s.mu.Lock()
	s.used[key] = struct{}{}
	s.mu.Unlock()
}

const dayForm = "2006-01-02"

// FlushUses writes what was wanted since the process began this day: one object for
// each replica and day, written again as it grows.
func (s *Store) FlushUses(ctx context.Context) {
	s.mu.Lock()
	today := time.Now().UTC().Format(dayForm)
	day := cmp.Or(s.day, today)
	keys := slices.Collect(maps.Keys(s.used))
	s.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	if _, err := s.bucket.put(ctx, usedDir+day+"/"+s.replica, pack(keys), anything); err != nil {
		return // the next flush has them too
	}
	s.mu.Lock()
	if s.day = today; day != today {
		clear(s.used)
	}
	s.mu.Unlock()
}

// Tend tells the others every hour what was wanted here, and collects when nobody did
// for most of a day, until ctx ends.
func (s *Store) Tend(ctx context.Context, keep modstore.Keep) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		s.FlushUses(ctx)
		const daily = 20 * time.Hour
		_, state, err := s.bucket.get(ctx, collectDir+"state")
		if errors.Is(err, fs.ErrNotExist) || err == nil && state.age > daily {
			c, done, err := s.CollectShared(ctx, keep)
			switch {
			case err != nil && ctx.Err() == nil:
				s.log.Warn("cannot collect in the object store", "error", err.Error())
			case done:
				s.log.Info("collected in the object store", "files", c.Files, "blobs", c.Blobs, "bytes", c.Bytes)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pack compresses a value.
func pack(v any) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_ = json.NewEncoder(z).Encode(v) //nolint:errchkjson // plain fields, into memory
	_ = z.Close()
	return b.Bytes()
}

func unpack(data []byte, v any) error {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	const most = 1 << 30
	return json.NewDecoder(io.LimitReader(z, most)).Decode(v)
}

// remembered is what the collector knows of an entry, so that it reads each one once.
type remembered struct {
	ETag string `json:"etag"`
	Sum  string `json:"sum"`
	Size int64  `json:"size"`
	Used string `json:"used"` // a day
	Blob bool   `json:"blob,omitempty"`
}

// CollectShared does in the bucket what Collect does in a store, for all replicas; done
// is false where another replica is at it.
func (s *Store) CollectShared(ctx context.Context, keep modstore.Keep) (c modstore.Collected, done bool, err error) {
	lease, err := s.claim(ctx, collectDir+"lease", false)
	if err != nil || lease == nil {
		return c, false, err
	}
	defer lease.release() //nolint:contextcheck // also where ctx has ended
	if c, err = s.collect(ctx, keep, lease); err != nil {
		err = fmt.Errorf("collecting in %s: %w", s.Name(), err)
	}
	return c, err == nil, err
}

var errLeaseLost = errors.New("another replica took the collector's lease over")

func (s *Store) collect(ctx context.Context, keep modstore.Keep, lease *held) (modstore.Collected, error) {
	var c modstore.Collected
	s.FlushUses(ctx)
	known := map[string]remembered{}
	if data, _, err := s.bucket.get(ctx, collectDir+"state"); err == nil {
		_ = unpack(data, &known) // else every entry is read again
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errTooLong) {
		return c, err
	}
	now, err := s.survey(ctx, known)
	if err != nil {
		return c, err
	}
	old, err := s.readUses(ctx, now)
	if err != nil {
		return c, err
	}
	pinned := map[string]bool{}
	if err := s.bucket.list(ctx, pinsDir, 0, func(o object) error {
		if _, key, ok := strings.Cut(o.name[len(pinsDir):], leaf+"/"); ok {
			pinned[key] = true // the name; a long one compares as well
		}
		return nil
	}); err != nil {
		return c, err
	}
	for _, key := range tooMuch(now, pinned, keep, time.Now()) {
		if !lease.ours() {
			return c, errLeaseLost
		}
		if err := s.bucket.remove(ctx, entryName(key)); err != nil {
			return c, err
		}
		delete(now, key)
		c.Files++
	}
	if err := s.clearBlobs(ctx, now, lease, &c); err != nil {
		return c, err
	}
	if _, err := s.bucket.put(ctx, collectDir+"state", pack(now), anything); err != nil {
		return c, err
	}
	for _, name := range old { // what they said is in the state now
		_ = s.bucket.remove(ctx, name)
	}
	return c, nil
}

// survey lists the entries; those that known does not have as they are, it reads.
func (s *Store) survey(ctx context.Context, known map[string]remembered) (map[string]remembered, error) {
	byName := map[string]string{}
	for key := range known {
		byName[entryName(key)] = key
	}
	now := map[string]remembered{}
	err := s.bucket.list(ctx, entriesDir, 0, func(o object) error {
		key, ok := byName[o.name]
		if ok && known[key].ETag == o.etag {
			now[key] = known[key]
			return nil
		}
		data, at, err := s.bucket.get(ctx, o.name)
		var r record
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case json.Unmarshal(data, &r) != nil || entryName(r.Key) != o.name:
			return nil //nolint:nilerr // rotten: who wants it replaces it
		}
		now[r.Key] = remembered{ETag: at.etag, Sum: r.Sum, Size: r.Size, Blob: !r.Small, Used: time.Now().Add(-at.age).UTC().Format(dayForm)}
		return nil
	})
	return now, err
}

// readUses adds what replicas say was wanted, and names the objects of past days.
func (s *Store) readUses(ctx context.Context, now map[string]remembered) (old []string, err error) {
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(dayForm)
	err = s.bucket.list(ctx, usedDir, 0, func(o object) error {
		day, _, _ := strings.Cut(o.name[len(usedDir):], "/")
		data, _, err := s.bucket.get(ctx, o.name)
		var keys []string
		if err == nil {
			err = unpack(data, &keys)
		}
		if _, dayErr := time.Parse(dayForm, day); err != nil || dayErr != nil {
			return nil //nolint:nilerr // a use that is not known makes a file look older
		}
		for _, key := range keys {
			if e, ok := now[key]; ok && e.Used < day {
				e.Used = day
				now[key] = e
			}
		}
		if day < yesterday {
			old = append(old, o.name)
		}
		return nil
	})
	return old, err
}

// tooMuch are the keys that have to go: those wanted longest ago first.
func tooMuch(now map[string]remembered, pinned map[string]bool, keep modstore.Keep, at time.Time) []string {
	keys := slices.Collect(maps.Keys(now))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(now[b].Used, now[a].Used), cmp.Compare(a, b)) })
	var gone []string
	var total int64
	oldest := at.Add(-keep.Unused).UTC().Format(dayForm)
	for _, key := range keys {
		e := now[key]
		total += e.Size
		old := keep.Unused > 0 && e.Used < oldest
		if !pinned[escape(key)] && !isProof(key) && (old || keep.Bytes > 0 && total > keep.Bytes) {
			gone, total = append(gone, key), total-e.Size
		}
	}
	return gone
}

// clearBlobs removes blobs without an entry, claims and probes of replicas that are gone.
func (s *Store) clearBlobs(ctx context.Context, now map[string]remembered, lease *held, c *modstore.Collected) error {
	wanted := map[string]bool{}
	for _, e := range now {
		if e.Blob {
			wanted[e.Sum] = true
		}
	}
	err := s.bucket.list(ctx, blobsDir, 0, func(o object) error {
		sum, ok := blobSum(o.name)
		if !ok || wanted[sum] || o.age < s.limits.Grace {
			return nil
		}
		if !lease.ours() {
			return errLeaseLost
		}
		c.Blobs++
		c.Bytes += o.size
		return s.bucket.remove(ctx, o.name)
	})
	for _, dir := range []string{claimsDir, "probe/"} {
		if err == nil {
			err = s.bucket.list(ctx, dir, 0, func(o object) error {
				if o.age < s.limits.Grace || o.age < longest {
					return nil
				}
				return s.bucket.remove(ctx, o.name)
			})
		}
	}
	return err
}
