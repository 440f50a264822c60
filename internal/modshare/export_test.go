package modshare

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Escape and Unescape are the names of keys.
func Escape(key string) string { return escape(key) }

// Unescape is the key of a name.
func Unescape(name string) (string, bool) { return unescape(name) }

// EntryPrefix is where keys that begin so lie.
func EntryPrefix(prefix string) string { return entryPrefix(prefix) }

// EntryName is where the entry of a key lies.
func EntryName(key string) string { return entryName(key) }

// Address is where the object x of a bucket is asked for.
func Address(ctx context.Context, address string) (string, error) {
	b, err := newBucket(ctx, Options{URL: address}, Limits{}.withDefaults(), slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	u, err := b.core.Presign(ctx, http.MethodGet, b.name, b.prefix+"x", time.Minute, nil)
	if err != nil {
		return "", err
	}
	region := u.Query().Get("X-Amz-Credential")
	u.RawQuery = ""
	return u.String() + " " + region, nil
}

// Login is what keys are found for an address; endpoint stands for whoever hands out those
// of roles.
func Login(ctx context.Context, address, endpoint string) (credentials.Value, error) {
	at, r := parseAddress(address)
	if r != nil {
		return credentials.Value{}, r
	}
	from, patience := newLogins(at, endpoint)
	creds := credentials.New(from)
	if err := firstLogin(ctx, creds, patience); err != nil {
		return credentials.Value{}, err
	}
	return creds.GetWithContext(nil)
}

// Patience is how long a machine's role is waited for.
const Patience = patienceMachine

// Pace is a transfer of size bytes: read counts bytes, again begins a second try.
func Pace(ctx context.Context, size int64, l Limits) (watched context.Context, read func(n int64), again, end func()) {
	p, watched, end := newPace(ctx, size, l.withDefaults())
	return watched, func(n int64) { p.lately.Add(n); p.moved.Add(n) }, p.again, end
}

// Keys are found for an address again and again, by that clock.
func Keys(t *testing.T, address string, now func() time.Time) func() string {
	t.Helper()
	at, r := parseAddress(address)
	if r != nil {
		t.Fatal(r)
	}
	from, _ := newLogins(at, "")
	from.now = now
	creds := credentials.New(from)
	return func() string {
		v, err := creds.GetWithContext(nil)
		if err != nil {
			t.Error(err)
		}
		return v.AccessKeyID
	}
}
