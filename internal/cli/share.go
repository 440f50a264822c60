package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modstore"
)

var _ modproxy.Shared = (*modshare.Store)(nil)

// shareOptions are how replicas share what they fetch.
type shareOptions struct {
	url, quota    string
	unconditional bool
}

func (o *shareOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "s3", "", "share with other replicas in this bucket: https://HOST/BUCKET/PREFIX?region=R&addressing=path; keys come from AWS_ACCESS_KEY_ID or ~/.aws/credentials / 多个代理共享的 S3 存储桶")
	f.StringVar(&o.quota, "s3-quota", "", "how much to keep in the bucket, such as 200G / 存储桶容量上限")
	f.BoolVar(&o.unconditional, "s3-unconditional", false, "take a bucket without conditional writes; two replicas may fetch the same file / 允许不支持条件写入的存储桶")
}

// share puts the bucket of --s3 behind a store, and looks after it until end. Without
// --s3 the store stays as it is.
func (o moduleOptions) share(ctx context.Context, s shareOptions, local *modstore.Store, log *slog.Logger) (store modproxy.Store, end func(), err error) {
	quota, ok := size(s.quota)
	switch {
	case !ok:
		return nil, nil, misused("s3.quota", s.quota)
	case s.url == "":
		return local, func() {}, nil
	}
	shared, err := modshare.Open(ctx, modshare.Options{Local: local, URL: s.url, Unconditional: s.unconditional, Log: log})
	var r *modshare.Refusal
	if errors.As(err, &r) {
		return nil, nil, &failure{exit: o.exit, key: "s3." + string(r.Reason), args: []any{r.Bucket, r.Err}, hint: "hint.s3." + string(r.Reason), unwrapped: err}
	}
	if err != nil {
		return nil, nil, o.failed("s3.other", "hint.s3.other", err, s.url)
	}
	ctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { shared.Tend(ctx, modstore.Keep{Bytes: quota}) })
	return shared, func() { //nolint:contextcheck // what is pending is written after ctx has ended
		stop()
		work.Wait()
		_ = shared.Close() // what is not in the bucket yet is fetched again by who wants it
	}, nil
}
