package modshare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// record is an entry in the bucket.
type record struct {
	Key    string    `json:"key"`
	Sum    string    `json:"sum"`
	Size   int64     `json:"size"`
	H1     string    `json:"h1,omitempty"`
	Source string    `json:"source,omitempty"`
	Via    string    `json:"via,omitempty"`
	Stored time.Time `json:"stored"`
	Small  bool      `json:"small,omitempty"`
	Data   []byte    `json:"data,omitempty"` // of a small file
}

func encodeRecord(e modstore.Entry) []byte {
	data, _ := json.Marshal(record{e.Key, e.Sum, e.Size, e.H1, e.Source, e.Via, e.Stored.UTC(), e.Data != nil, e.Data}) //nolint:errchkjson // plain fields
	return data
}

// decodeRecord reads an entry and holds it to itself.
func decodeRecord(key string, data []byte) (modstore.Entry, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return modstore.Entry{}, fmt.Errorf("no entry: %w", err)
	}
	e := modstore.Entry{Key: r.Key, Sum: r.Sum, Size: r.Size, H1: r.H1, Source: r.Source, Via: r.Via, Stored: r.Stored}
	if r.Small {
		if e.Data = r.Data; e.Data == nil {
			e.Data = []byte{}
		}
	}
	sum := sha256.Sum256(r.Data)
	switch _, err := hex.DecodeString(r.Sum); {
	case r.Key != key:
		return e, errors.New("an entry of another file")
	case err != nil || len(r.Sum) != 2*sha256.Size || r.Size < 0:
		return e, errors.New("no sha256 or size in the entry")
	case r.Small && (hex.EncodeToString(sum[:]) != r.Sum || int64(len(r.Data)) != r.Size):
		return e, errors.New("the bytes in the entry do not have its sha256")
	}
	return e, nil
}

// Take writes to w what another replica stored under key. The error is fs.ErrNotExist
// where there is nothing or the bucket does not answer, and modstore.ErrRotten where the
// bytes were not those that were stored: w has them then, to be put aside, and they
// were taken out of the bucket.
func (s *Store) Take(ctx context.Context, key string, w io.Writer) (modstore.Entry, error) {
	e, _, err := s.look(ctx, key)
	switch {
	case errors.Is(err, modstore.ErrRotten):
		return s.rotten(ctx, e, err)
	case err != nil:
		return e, notHere(ctx, key, err)
	}
	h := sha256.New()
	if e.Data != nil {
		_, err = w.Write(e.Data)
	} else {
		if err = s.bucket.download(ctx, blobName(e.Sum), e.Size, io.MultiWriter(w, h)); errors.Is(err, fs.ErrNotExist) {
			s.counts.add("lost")
			s.log.Warn("the object store lost a file", "file", key)
		}
		if err == nil && hex.EncodeToString(h.Sum(nil)) != e.Sum || errors.Is(err, errTooLong) {
			return s.rotten(ctx, e, fmt.Errorf("%w: the bytes do not have the recorded sha256", modstore.ErrRotten))
		}
	}
	if err != nil {
		return e, notHere(ctx, key, err)
	}
	s.counts.add("taken")
	return e, nil
}

// look reads an entry. Its time of storing is that of this machine.
func (s *Store) look(ctx context.Context, key string) (modstore.Entry, object, error) {
	data, o, err := s.bucket.get(ctx, entryName(key))
	if err != nil {
		return modstore.Entry{Key: key}, o, err
	}
	e, err := decodeRecord(key, data)
	e.Key = key
	if err != nil {
		return e, o, fmt.Errorf("%w: %w", modstore.ErrRotten, err)
	}
	e.Stored = time.Now().Add(-o.age)
	return e, o, nil
}

// notHere is the one answer for whatever keeps a file from being taken.
func notHere(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w (%w)", key, fs.ErrNotExist, err)
}

// rotten takes a blob out of the bucket that nobody can use. The entry is replaced by
// who publishes the file anew.
func (s *Store) rotten(ctx context.Context, e modstore.Entry, err error) (modstore.Entry, error) {
	s.counts.add("rotten")
	s.log.Error("the object store returned bytes that were not stored: they are not served", "file", e.Key, "error", err.Error())
	if e.Data == nil && len(e.Sum) == 2*sha256.Size {
		_ = s.bucket.remove(ctx, blobName(e.Sum)) // the next who looks tries again
	}
	return e, fmt.Errorf("%s: %w", e.Key, err)
}

// Publish hands a file that was stored here to the other replicas. other is true where
// one was first and has other bytes, which are whole: those are what all serve, unless
// over says that e has to replace them.
func (s *Store) Publish(ctx context.Context, e modstore.Entry, over bool) (other bool, err error) {
	if e.Data == nil {
		if err := s.uploadBlob(ctx, e); err != nil {
			s.counts.add("unshared")
			return false, fmt.Errorf("sharing %s: %w", e.Key, err)
		}
	}
	data := encodeRecord(e)
	const tries = 4
	for range tries {
		_, err = s.bucket.put(ctx, entryName(e.Key), data, absent)
		if err == nil {
			s.counts.add("published")
			return false, nil
		}
		if !errors.Is(err, errTaken) {
			break
		}
		var other, retry bool
		if other, retry, err = s.contest(ctx, e, data, over); !retry {
			return other, err
		}
	}
	s.counts.add("unshared")
	return false, fmt.Errorf("sharing %s: %w", e.Key, err)
}

// contest settles that there is an entry already.
func (s *Store) contest(ctx context.Context, e modstore.Entry, data []byte, over bool) (other, retry bool, err error) {
	theirs, o, err := s.look(ctx, e.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist): // collected meanwhile
		return false, true, err
	case err == nil && !over && theirs.Sum == e.Sum:
		return false, false, nil
	case err == nil && !over && s.whole(ctx, theirs):
		return true, false, nil
	case err != nil && !errors.Is(err, modstore.ErrRotten):
		return false, false, err
	}
	if _, err = s.bucket.put(ctx, entryName(e.Key), data, unchanged(o.etag)); err == nil {
		s.counts.add("published")
	}
	return false, errors.Is(err, errTaken), err
}

// whole tells whether the bytes of an entry can be had.
func (s *Store) whole(ctx context.Context, e modstore.Entry) bool {
	if e.Data != nil {
		return true
	}
	h := sha256.New()
	err := s.bucket.download(ctx, blobName(e.Sum), e.Size, h)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == e.Sum
}

func (s *Store) uploadBlob(ctx context.Context, e modstore.Entry) error {
	f, err := s.OpenFile(ctx, e)
	if err != nil {
		return err
	}
	defer f.Close()
	err = s.bucket.upload(ctx, e.Sum, f, e.Size, absent)
	if errors.Is(err, errTaken) {
		return nil // its name is its content; a rotten one is found by who reads it
	}
	return err
}

// value reads a word.
func (s *Store) value(ctx context.Context, name string) (string, object, error) {
	data, o, err := s.bucket.get(ctx, name)
	if err != nil {
		return "", o, err
	}
	var v value
	if err := json.Unmarshal(bytes.TrimSpace(data), &v); err != nil {
		return "", o, fmt.Errorf("reading %s: %w", name, err)
	}
	return v.Value, o, nil
}

// value is a word in the bucket, with the key that it is for.
type value struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func encodeValue(key, v string) []byte {
	data, _ := json.Marshal(value{key, v}) //nolint:errchkjson // plain fields
	return data
}
