package modshare

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Reason is a kind of refusal.
type Reason string

// Why a bucket cannot be used.
const (
	// BadAddress: the URL is none.
	BadAddress Reason = "address"
	// LoginInAddress: the URL has a login, which other users of the machine could see.
	LoginInAddress Reason = "login"
	// NoCredentials: there are none where they are looked for (login.go).
	NoCredentials Reason = "nocredentials"
	// WrongCredentials: the server does not know the key, or the secret is another.
	WrongCredentials Reason = "credentials"
	// Denied: the key may not read, write and list here.
	Denied Reason = "denied"
	// NoBucket: there is no such bucket.
	NoBucket Reason = "nobucket"
	// WrongRegion: the bucket lies elsewhere.
	WrongRegion Reason = "region"
	// Unconditional: conditional writes are passed over.
	Unconditional Reason = "unconditional"
	// Other is anything else that the server said.
	Other Reason = "other"
)

// Refusal is why a bucket cannot be used, as far as it is known for certain.
type Refusal struct { //nolint:errname // it is an answer
	Reason Reason
	Bucket string
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %v", r.Bucket, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

// place is what the URL says.
type place struct {
	endpoint, name, prefix, region string
	secure                         bool
	lookup                         minio.BucketLookupType
	machine                        bool // the keys are those of the machine's own role
}

func parseAddress(address string) (place, *Refusal) {
	bad := func(why string) (place, *Refusal) {
		return place{}, &Refusal{Reason: BadAddress, Bucket: "--s3", Err: errors.New(why)}
	}
	u, err := url.Parse(address)
	if err != nil {
		return bad("it is no URL") // its words could hold a login
	}
	if u.User != nil {
		return place{}, &Refusal{Reason: LoginInAddress, Bucket: u.Host, Err: errors.New("a login in the URL")}
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return bad("want https://HOST/BUCKET")
	}
	p := place{endpoint: u.Host, secure: u.Scheme == "https", lookup: minio.BucketLookupAuto}
	name, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	p.name = name
	if p.name == "" {
		return bad("the bucket is missing: want https://HOST/BUCKET")
	}
	if p.prefix = strings.Trim(prefix, "/"); p.prefix != "" {
		p.prefix += "/"
	}
	for key, values := range u.Query() {
		switch v := values[0]; {
		case key == "region":
			p.region = v
		case key == "addressing" && v == "path":
			p.lookup = minio.BucketLookupPath
		case key == "addressing" && v == "host":
			p.lookup = minio.BucketLookupDNS
		case key == "credentials" && v == "iam":
			p.machine = true
		default:
			return bad(fmt.Sprintf("parameter %s=%s: there are region=NAME, addressing=path or host, and credentials=iam", key, v))
		}
	}
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if p.region == "" {
			p.region = os.Getenv(name)
		}
	}
	if p.region == "" && !strings.HasSuffix(u.Hostname(), ".amazonaws.com") { // there the library finds it
		p.region = "us-east-1"
	}
	return p, nil
}

func newBucket(ctx context.Context, o Options, limits Limits, log *slog.Logger) (*bucket, error) {
	at, refusal := parseAddress(o.URL)
	if refusal != nil {
		return nil, refusal
	}
	b := &bucket{
		name: at.name, prefix: at.prefix, shown: at.endpoint + "/" + at.name, limits: limits, log: log,
		breaker: breaker{rest: limits.Rest, log: log}, unconditional: o.Unconditional,
	}
	tr := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: limits.Op}).DialContext,
		TLSHandshakeTimeout:   limits.Op,
		ResponseHeaderTimeout: 2 * limits.Op, // the pages of a listing
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   32,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	from, patience := newLogins(at, o.roleEndpoint)
	creds := credentials.New(from)
	if err := firstLogin(ctx, creds, patience); err != nil {
		return nil, &Refusal{Reason: NoCredentials, Bucket: b.shown, Err: err}
	}
	client, err := minio.New(at.endpoint, &minio.Options{
		Creds: creds, Secure: at.secure, Region: at.region, BucketLookup: at.lookup, Transport: tr, MaxRetries: 1,
	})
	if err != nil {
		return nil, &Refusal{Reason: BadAddress, Bucket: b.shown, Err: err}
	}
	client.SetAppInfo("keepwell", "1")
	b.core = &minio.Core{Client: client}
	return b, nil
}

// open looks what the bucket is. One that does not answer is asked again later.
func (b *bucket) open(ctx context.Context) error {
	b.opening = true
	err := b.check(ctx)
	if b.opening = false; err != nil {
		if r := b.refused.Load(); r != nil {
			return r
		}
	}
	return ctx.Err()
}
