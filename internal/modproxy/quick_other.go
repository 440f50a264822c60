//go:build !linux

package modproxy

import (
	"context"
	"net"
	"net/http"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Quick is for systems that have more to offer.
func Quick(ln net.Listener) net.Listener { return ln }

// ConnContext is for systems that have more to offer.
func ConnContext(ctx context.Context, _ net.Conn) context.Context { return ctx }

type openFiles struct{}

func (openFiles) close() {}

func (p *Proxy) serveBlob(w http.ResponseWriter, r *http.Request, e modstore.Entry) error {
	return p.serveFile(w, r, e)
}

func (*Proxy) earlyBlob(net.Conn, []byte, modstore.Entry) (n int64, done bool, err error) {
	return 0, false, nil
}
