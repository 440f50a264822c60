package modproxy

import (
	"context"
	"io"
	"net/http"
)

// Size tells how large a file is without fetching it: that of the store, or what the
// first upstream says that knows; -1 where none does.
func (p *Proxy) Size(ctx context.Context, key string) (int64, error) {
	a, err := parse(key)
	if err != nil {
		return 0, err
	}
	if e, err := p.Store.Get(ctx, key); err == nil {
		return e.Size, nil
	}
	upstreams, _ := p.upstreamsFor(a.module)
	for i := range upstreams {
		if n := p.sizeAt(ctx, &upstreams[i], a); n >= 0 {
			return n, nil
		}
		if upstreams[i].isDirect() {
			break
		}
	}
	return -1, ctx.Err()
}

func (p *Proxy) sizeAt(ctx context.Context, u *Upstream, a ask) int64 {
	if u.isDirect() {
		return -1
	}
	if dir, local := u.local(); local {
		return sizeIn(u, dir, a)
	}
	ctx, cancel := context.WithTimeout(ctx, p.Limits.Silence)
	defer cancel()
	r, err := p.client.request(ctx, u, a)
	if err != nil {
		return -1
	}
	r.Method = http.MethodHead
	resp, err := p.client.ask(r, u, a)
	if err != nil {
		return -1
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return -1
	}
	return resp.ContentLength
}

func sizeIn(u *Upstream, dir string, a ask) int64 {
	f, err := u.openLocal(dir, a)
	if err != nil {
		return -1
	}
	defer f.Close() //nolint:errcheck // only read
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return -1
	}
	return n
}
