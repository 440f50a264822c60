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
	"net/url"
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

// do makes a small request.
func (b *bucket) do(ctx context.Context, f func(ctx context.Context) error) error {
	return b.within(ctx, b.limits.Op, f)
}

// within makes a request that may take so long.
func (b *bucket) within(ctx context.Context, patience time.Duration, f func(ctx context.Context) error) error {
	if !b.ready(ctx) {
		return errResting
	}
	return b.bare(ctx, patience, f)
}

// ready tells whether the bucket may be asked. Who gets a yes has to ask.
func (b *bucket) ready(ctx context.Context) bool {
	if b.refused.Load() != nil || !b.breaker.allow() {
		return false
	}
	return b.checked.Load() || b.check(ctx) == nil
}

// bare is within, without a look at what the bucket is.
func (b *bucket) bare(parent context.Context, patience time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(parent, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	return b.judge(parent, ctx, twice(ctx, f))
}

// move makes a request that carries a blob, as long as it carries enough of it.
func (b *bucket) move(parent context.Context, size int64, f func(ctx context.Context, p *pace) error) error {
	if !b.ready(parent) {
		return errResting
	}
	p, ctx, end := newPace(parent, size, b.limits)
	defer end()
	return b.judge(parent, ctx, twice(ctx, func(ctx context.Context) error { return f(ctx, p) }))
}

// judge tells the breaker how a request ended.
func (b *bucket) judge(parent, ctx context.Context, err error) error {
	err = meaning(err)
	var answer minio.ErrorResponse
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, errTaken), errors.Is(err, errTooLong):
		b.breaker.good()
	case parent.Err() != nil:
		b.breaker.release()
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		b.breaker.fail(err.Error(), false)
	case errors.As(err, &answer) && answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusForbidden && answer.Code != "NoSuchBucket":
		b.breaker.good() // about this object only
	default:
		why := err
		var u *url.Error
		if errors.As(err, &u) { // the address is known
			why = u.Err
		}
		b.breaker.fail(why.Error(), !b.checked.Load() && b.refusal(err) != nil)
	}
	return err
}

// twice tries once more where no answer came at all: a connection that was kept may have
// been closed meanwhile. What an answer that was lost has changed, callers see as taken.
func twice(ctx context.Context, f func(ctx context.Context) error) error {
	err := f(ctx)
	var answer minio.ErrorResponse
	var half halfway
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &answer), errors.As(err, &half):
		return err
	case errors.Is(err, errTooLong), errors.Is(err, errPassedOver), errors.Is(err, errOtherBytes), errors.Is(err, fs.ErrNotExist), errors.Is(err, errTaken):
		return err
	}
	return f(ctx)
}

// halfway is what broke off after bytes had been handed on.
type halfway struct{ error }

func (h halfway) Unwrap() error { return h.error }

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
	err = b.do(ctx, func(ctx context.Context) error { data, o, err = b.read(ctx, name); return err })
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
	return b.move(ctx, size, func(ctx context.Context, p *pace) error {
		body, _, _, err := b.core.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // only read
		n, err := io.Copy(w, p.reader(io.LimitReader(body, size+1)))
		switch {
		case err == nil && n > size:
			return errTooLong
		case err != nil && n > 0:
			return halfway{err}
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
	err = b.do(ctx, func(ctx context.Context) error { etag, err = b.write(ctx, name, data, b.when(when)); return err })
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
	return b.move(ctx, size, func(ctx context.Context, p *pace) error {
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return halfway{err}
		}
		p.again()
		o := minio.PutObjectOptions{DisableContentSha256: true} // as above
		b.when(when)(&o)
		_, err := b.core.PutObject(ctx, b.name, b.prefix+blobName(sum), p.reader(from), size, "", sum, o)
		return err
	})
}

func (b *bucket) remove(ctx context.Context, name string) error {
	return b.do(ctx, func(ctx context.Context) error {
		return b.core.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{})
	})
}

// list names the objects below prefix, at most so many; 0: all.
func (b *bucket) list(ctx context.Context, prefix string, most int, f func(object) error) error {
	var found []object
	patience := b.limits.Op
	if most == 0 {
		patience = 10 * time.Minute // each page has its own deadline (transport)
	}
	err := b.within(ctx, patience, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx) // ends the listing where we stop early
		defer cancel()
		found = found[:0]
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
