package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/route"
)

var _ modproxy.Store = (*modstore.Store)(nil)

// moduleOptions are what `run` and `proxy` share.
type moduleOptions struct {
	upstreams     []string
	dir           string
	commaFriendly bool
	// exit is the code for what keepwell itself cannot do.
	exit int
}

func (o moduleOptions) failed(key, hint string, err error, args ...any) *failure {
	return &failure{exit: o.exit, key: key, args: append(args, err), hint: hint, unwrapped: err}
}

// storeDir is where modules are kept: --dir, or the user's cache.
func (o moduleOptions) storeDir() (string, error) {
	if o.dir != "" {
		return filepath.Abs(o.dir)
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "keepwell", "modules"), err
}

func (o moduleOptions) openStore(ctx context.Context, a *app) (*modstore.Store, error) {
	dir, err := o.storeDir()
	if err == nil {
		var s *modstore.Store
		if s, err = modstore.Open(ctx, modstore.Options{Dir: dir, Mended: func(m modstore.Mended) { a.say("store.mended", m.Files, m.Sums, m.Aside) }}); err == nil {
			return s, nil
		}
	}
	hint := "hint.proxy.store"
	if errors.Is(err, modstore.ErrDamaged) {
		hint = "hint.proxy.store.damaged"
	}
	var open *modstore.OpenError
	if !errors.As(err, &open) {
		return nil, o.failed("proxy.store", hint, err)
	}
	f := o.failed("proxy.opened", hint, open.Err, dir)
	var path *fs.PathError
	if errors.As(err, &path) && path.Path == dir { // the message has it
		f.args[1] = path.Err
	}
	return nil, f
}

// lists are whom modules may be asked of: --upstream, or the user's GOPROXY. That has
// none where it is off or only direct.
func (o moduleOptions) lists(env goenv.Env, public func(string) bool) ([]modproxy.List, error) {
	if len(o.upstreams) > 0 {
		var lists []modproxy.List
		for _, v := range o.upstreams {
			l, err := modproxy.ParseUpstreams(v)
			if err != nil {
				return nil, badList("proxy.upstream", exitUsage, err)
			}
			if err := atHand(l); err != nil {
				return nil, err
			}
			lists = append(lists, l)
		}
		// Those with patterns first: a name is told to its own upstreams only.
		slices.SortStableFunc(lists, func(a, b modproxy.List) int { return cmp.Compare(len(b.Patterns), len(a.Patterns)) })
		return lists, nil
	}
	l, err := modproxy.ParseGOPROXY(env.Value("GOPROXY"), public)
	if err != nil {
		return nil, badList("proxy.goproxy", o.exit, err)
	}
	if !slices.ContainsFunc(l.Upstreams, func(u modproxy.Upstream) bool { return u.Base != nil }) {
		return nil, nil
	}
	return []modproxy.List{l}, nil
}

// badList is the failure of a list of upstreams that cannot be read.
func badList(key string, exit int, err error) *failure {
	f := &failure{exit: exit, key: key, args: []any{err}, hint: "hint.proxy.upstream", unwrapped: err}
	var separator *modproxy.SeparatorError
	switch {
	case errors.As(err, &separator):
		f.key, f.args = "proxy.separator", []any{separator.Item, string(separator.Rune)}
	case errors.Is(err, modproxy.ErrPlainLogin):
		f.hint = "hint.proxy.plainlogin"
	}
	return f
}

// atHand refuses files of --upstream that are not there: as upstreams, they would only
// seem to lack every module.
func atHand(l modproxy.List) error {
	for _, u := range l.Upstreams {
		name, ok := u.File()
		if !ok {
			continue
		}
		if _, err := os.Stat(name); err != nil {
			f := &failure{exit: exitUsage, key: "proxy.upstreamfile", args: []any{name, cause(err)}, hint: "hint.proxy.upstreamfile", unwrapped: err}
			if errors.Is(err, fs.ErrNotExist) {
				f.key, f.args = "proxy.upstreamgone", f.args[:1]
			}
			return f
		}
	}
	return nil
}

// publicServers tells hosts that serve everyone.
func publicServers(l goenv.Layers) func(string) bool {
	own := publicHosts(l)
	return func(host string) bool { return route.IsMirror(host) || slices.Contains(own, host) }
}

// withSpares adds the public mirrors of the catalogue to a list that has nothing but such, where the checksum
// database vouches for what they send.
func withSpares(l modproxy.List, env goenv.Env, public func(string) bool) (modproxy.List, bool) {
	if _, on, err := route.ReadDatabase(env.Value("GOSUMDB")); err != nil || !on {
		return l, false
	}
	servers := 0
	for _, u := range l.Upstreams {
		if u.Base == nil {
			continue
		}
		if servers++; u.Base.Scheme != "https" || !public(u.Base.Hostname()) {
			return l, false
		}
	}
	if servers == 0 {
		return l, false
	}
	at := slices.IndexFunc(l.Upstreams, func(u modproxy.Upstream) bool { return u.Base == nil })
	if at < 0 {
		at = len(l.Upstreams)
	}
	known, err := mirrors.Embedded()
	if err != nil {
		return l, false
	}
	for _, spare := range known.Mirrors[mirrors.Go] {
		more, err := modproxy.ParseUpstreams(spare.URL)
		if err != nil || slices.ContainsFunc(l.Upstreams, func(u modproxy.Upstream) bool { return u.Name == more.Upstreams[0].Name }) {
			continue
		}
		more.Upstreams[0].Spare = true
		l.Upstreams = slices.Insert(slices.Clone(l.Upstreams), at, more.Upstreams[0])
		at++
	}
	return l, true
}

// teamProxy are the options that proxies for others have in common, of `proxy` and `serve`.
func teamProxy(env goenv.Env, lists []modproxy.List, store modproxy.Store, private []string) modproxy.Options {
	return modproxy.Options{
		Store: store, Lists: lists, Database: env.Value("GOSUMDB"), Unlisted: env.Value("GONOSUMDB"), Netrc: netrcFile(env), Private: private,
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
}

// netrcFile is what is in the file that go would read; a file that cannot be read is as
// good as none, for go too.
func netrcFile(env goenv.Env) []byte {
	if env.Value("GOAUTH") == "off" {
		return nil
	}
	data, _ := plainfile.Read(netrcName(env.Value("NETRC"))) // see above
	return data
}

// goAuth has the logins that the user's go would send. A service of its own has netrc
// alone: programs are there for a person.
func goAuth(env goenv.Env) *credentials.GoAuth {
	return credentials.NewGoAuth(env.Value("GOAUTH"), netrcFile(env))
}

// moduleServer is an HTTP server with patience for downloads and none for clients that
// do not ask.
func moduleServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: discardLog(), ConnContext: modproxy.ConnContext,
	}
}

// notClosed drops the error of a server that was shut down.
func notClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
