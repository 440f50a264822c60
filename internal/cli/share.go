package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
)

var _ modproxy.Shared = (*modshare.Store)(nil)

// shareOptions are how replicas share what they fetch.
type shareOptions struct {
	url, quota    string
	unconditional bool
}

// flags are those of whoever uses a bucket; who looks after one has quotaFlag, too.
func (o *shareOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "s3", "", "share files with other replicas in this bucket: https://HOST/BUCKET/PREFIX / 通过此 S3 存储桶与其他副本共享：https://HOST/BUCKET/PREFIX")
	f.BoolVar(&o.unconditional, "s3-unconditional", false, "take a bucket without conditional writes; two replicas may fetch the same file / 允许不支持条件写入的存储桶（多个副本可能重复下载同一文件）")
}

func (o *shareOptions) quotaFlag(f *pflag.FlagSet) {
	f.StringVar(&o.quota, "s3-quota", "", "keep at most so much in the bucket, such as 200G / 存储桶容量上限，例如 200G")
}

// openShared puts the bucket of --s3 before a store; nil without --s3.
func (o moduleOptions) openShared(ctx context.Context, s shareOptions, local *modstore.Store, log *slog.Logger) (*modshare.Store, error) {
	if s.url == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	shared, err := modshare.Open(ctx, modshare.Options{Local: local, URL: s.url, Unconditional: s.unconditional, Log: log})
	var r *modshare.Refusal
	if errors.As(err, &r) {
		return nil, &failure{exit: o.exit, key: "s3." + string(r.Reason), args: []any{r.Bucket, r.Err}, hint: "hint.s3." + string(r.Reason), unwrapped: err}
	}
	if err != nil {
		return nil, o.failed("s3.other", "hint.s3.other", err, s.url)
	}
	return shared, nil
}

// share is openShared for who serves for long: the bucket is looked after until end.
// Without --s3 the store stays as it is.
func (o moduleOptions) share(ctx context.Context, s shareOptions, local *modstore.Store, log *slog.Logger) (store modproxy.Store, end func(), err error) {
	quota, ok := size(s.quota)
	if !ok {
		return nil, nil, misused("s3.quota", s.quota)
	}
	shared, err := o.openShared(ctx, s, local, log)
	if err != nil {
		return nil, nil, err
	}
	if shared == nil {
		return local, func() {}, nil
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

// scrubShared holds what the bucket has of the files that are kept here to their sums.
func (a *app) scrubShared(ctx context.Context, o proxyOptions, store *modstore.Store) error {
	shared, err := o.openShared(ctx, o.s3, store, slog.New(slog.DiscardHandler))
	if err != nil || shared == nil {
		return err
	}
	defer shared.Close() //nolint:errcheck,contextcheck // nothing is pending
	done, err := shared.ScrubShared(ctx)
	if err != nil {
		return o.failed("s3.scrub", "hint.s3.scrub", err)
	}
	a.tellScrubbed(done, "s3.scrubbed", shared.Name())
	if len(done.Bad)+done.Missing > 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "s3.mended"))
	}
	return nil
}

// handOn brings what was gathered into the bucket, as far as it is not there.
func (g *gathering) handOn(ctx context.Context, keys []string) (modshare.Offered, error) {
	if g.shared == nil {
		return modshare.Offered{}, nil
	}
	var files atomic.Int64
	finished := g.a.progress(func() string { return msg.Text(g.a.lang, "s3.sharing", g.shared.Name(), files.Load(), len(keys)) })
	done, err := g.shared.Offer(ctx, keys, func() { files.Add(1) })
	finished()
	if err = cmp.Or(err, done.Failed); err != nil {
		return done, g.o.failed("s3.unshared", "hint.s3.scrub", err, g.shared.Name())
	}
	g.a.say("s3.shared", g.shared.Name(), done.Shared+done.Had)
	return done, nil
}
