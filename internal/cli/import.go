package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
)

// importModules takes directories into the store, before anybody is served. With
// --import-sum a proxy of its own admits what comes: those sums are for the import alone.
func (a *app) importModules(ctx context.Context, o proxyOptions, p *modproxy.Proxy) error {
	if len(o.imports) == 0 {
		return nil
	}
	sums := project{sums: map[string]string{}}
	for _, name := range o.importSums {
		data, err := plainfile.Read(name)
		if err != nil {
			return o.failed("bundle.read", "", plainCause(err))
		}
		sums.addSums(data)
	}
	if len(sums.sums) > 0 {
		opts := p.Options
		opts.Sums, opts.Log = sums.sums, slog.New(slog.DiscardHandler)
		own, err := modproxy.New(context.WithoutCancel(ctx), opts)
		if err != nil {
			return o.failed("proxy.start", "", err)
		}
		defer own.Close()
		p = own
	}
	for _, dir := range o.imports {
		if err := a.importModule(ctx, o, p, dir); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) importModule(ctx context.Context, o proxyOptions, p *modproxy.Proxy, dir string) error {
	if download := filepath.Join(dir, "cache", "download"); isDir(download) {
		dir = download
	}
	var files atomic.Int64
	finished := a.progress(func() string { return msg.Text(a.lang, "proxy.importing", dir, files.Load()) })
	done, err := p.Import(ctx, dir, func() { files.Add(1) })
	finished()
	if err != nil {
		return o.failed("proxy.import", "hint.proxy.import", cause(err), dir)
	}
	a.say("proxy.imported", dir, done.Files, done.Had, len(done.Refused))
	if done.Unshared > 0 {
		a.say("s3.unimported", done.Unshared)
	}
	for _, r := range done.Refused {
		fmt.Fprintln(a.errs, present.Visible("  "+r.Key+": "+r.Reason, true))
	}
	return nil
}
