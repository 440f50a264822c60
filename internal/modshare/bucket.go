package modshare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// bucket is the object store: few kinds of requests, each within a deadline, and a
// breaker before all of them.
type bucket struct {
	core    *minio.Core
	name    string
	prefix  string
	shown   string
	breaker breaker
	limits  Limits
	log     *slog.Logger
	// unconditional is set where the operator does without conditional writes.
	unconditional bool

	checking sync.Mutex
	opening  bool // who opens the bucket is told what is wrong, not the log
	checked  atomic.Bool
	refused  atomic.Pointer[Refusal] // it answered, and is not as it has to be
	skew     atomic.Int64            // the server's clock minus ours, in nanoseconds
}

var (
	// errTaken says that a condition of a write was not met.
	errTaken = errors.New("the object is there already, or changed")
	// errResting says that nobody asked.
	errResting = errors.New("the object store is left alone after a failure")
	errTooLong = errors.New("the object is larger than recorded")
)

// object is what is known of one object.
type object struct {
	name, etag string
	size       int64
	age        time.Duration // by the server's clock
}

// mostRecord bounds what is read of a small object.
const mostRecord = 1 << 20

// do makes a request that moves size bytes.
func (b *bucket) do(ctx context.Context, size int64, f func(ctx context.Context) error) error {
	if b.refused.Load() != nil || !b.breaker.allow() {
		return errResting
	}
	if !b.checked.Load() {
		if err := b.check(ctx); err != nil {
			return errResting
		}
	}
	return b.bare(ctx, size, f)
}

// bare is do without a look at what the bucket is.
func (b *bucket) bare(parent context.Context, size int64, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, b.limits.Op+time.Duration(size>>20)*time.Second)
	defer cancel()
	err := meaning(f(ctx))
	var answer minio.ErrorResponse
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, errTaken), errors.Is(err, errTooLong):
		b.breaker.good()
	case parent.Err() != nil:
		b.breaker.release()
	case ctx.Err() != nil:
		b.breaker.fail(fmt.Sprintf("no answer within %v", b.limits.Op), false)
	case errors.As(err, &answer) && answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusForbidden && answer.Code != "NoSuchBucket":
		b.breaker.good() // about this object only
	default:
		b.breaker.fail(err.Error(), !b.checked.Load() && b.refusal(err) != nil)
	}
	return err
}

// meaning translates what the server said.
func meaning(err error) error {
	var answer minio.ErrorResponse
	if err == nil || !errors.As(err, &answer) {
		return err
	}
	switch { // 404 alone says little: some servers answer it for an unknown key too
	case answer.Code == "NoSuchKey", answer.StatusCode == http.StatusNotFound && (answer.Code == "" || answer.Code == "NotFound"):
		return fs.ErrNotExist
	case answer.StatusCode == http.StatusPreconditionFailed, answer.StatusCode == http.StatusConflict, answer.StatusCode == http.StatusNotModified:
		return errTaken
	}
	return err
}

// get reads a small object.
func (b *bucket) get(ctx context.Context, name string) (data []byte, o object, err error) {
	err = b.do(ctx, 0, func(ctx context.Context) error { data, o, err = b.read(ctx, name); return err })
	return data, o, err
}

func (b *bucket) read(ctx context.Context, name string) ([]byte, object, error) {
	body, info, header, err := b.core.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, object{}, err
	}
	defer body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(body, mostRecord+1))
	if err == nil && len(data) > mostRecord {
		err = errTooLong
	}
	o := object{name: name, etag: info.ETag, size: int64(len(data))}
	if at, dateErr := http.ParseTime(header.Get("Date")); dateErr == nil {
		b.skew.Store(int64(time.Until(at)))
		o.age = at.Sub(info.LastModified)
	}
	return data, o, err
}

// download writes an object of that size to w.
func (b *bucket) download(ctx context.Context, name string, size int64, w io.Writer) error {
	return b.do(ctx, size, func(ctx context.Context) error {
		body, _, _, err := b.core.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // only read
		n, err := io.Copy(w, io.LimitReader(body, size+1))
		if err == nil && n > size {
			err = errTooLong
		}
		return err
	})
}

// condition of a write.
type condition func(*minio.PutObjectOptions)

func absent(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") }
func anything(*minio.PutObjectOptions) {}
func unchanged(etag string) condition {
	if etag == "" {
		etag = "none" // a server that tells no tag can hold nobody to it
	}
	return func(o *minio.PutObjectOptions) { o.SetMatchETag(etag) }
}

// when is c, where the bucket is held to it.
func (b *bucket) when(c condition) condition {
	if b.unconditional {
		return anything
	}
	return c
}

// put writes a small object. A condition on what is gone is not met.
func (b *bucket) put(ctx context.Context, name string, data []byte, when condition) (etag string, err error) {
	err = b.do(ctx, 0, func(ctx context.Context) error { etag, err = b.write(ctx, name, data, b.when(when)); return err })
	if errors.Is(err, fs.ErrNotExist) {
		err = errTaken
	}
	return etag, err
}

func (b *bucket) write(ctx context.Context, name string, data []byte, when condition) (string, error) {
	sum := sha256.Sum256(data)
	// The sum is in the signature: the server refuses a body that is not it.
	o := minio.PutObjectOptions{ContentType: "application/json", DisableContentSha256: true}
	when(&o)
	info, err := b.core.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(sum[:]), o)
	return info.ETag, err
}

// upload writes a blob unless there is one.
func (b *bucket) upload(ctx context.Context, sum string, from io.ReadSeeker, size int64, when condition) error {
	return b.do(ctx, size, func(ctx context.Context) error {
		o := minio.PutObjectOptions{DisableContentSha256: true} // as above
		b.when(when)(&o)
		_, err := b.core.PutObject(ctx, b.name, b.prefix+blobName(sum), from, size, "", sum, o)
		return err
	})
}

func (b *bucket) remove(ctx context.Context, name string) error {
	return b.do(ctx, 0, func(ctx context.Context) error {
		return b.core.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{})
	})
}

// list names the objects below prefix, at most so many; 0: all.
func (b *bucket) list(ctx context.Context, prefix string, most int, f func(object) error) error {
	var found []object
	size := int64(0)
	if most == 0 {
		const long = 600 << 20 // ten minutes; each page has its own deadline (transport)
		size = long
	}
	err := b.do(ctx, size, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx) // ends the listing where we stop early
		defer cancel()
		for o := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				return o.Err
			}
			if len(found) == most && most > 0 {
				return nil
			}
			age := time.Since(o.LastModified) + time.Duration(b.skew.Load())
			found = append(found, object{name: o.Key[len(b.prefix):], etag: o.ETag, size: o.Size, age: age})
		}
		return nil
	})
	for _, o := range found {
		if err == nil {
			err = f(o)
		}
	}
	return err
}
