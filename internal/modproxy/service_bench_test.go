package modproxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

// nobody takes an answer.
type nobody struct{ h http.Header }

func (n nobody) Header() http.Header         { return n.h }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkService is a cached file's way through log, metrics, tokens and statistics,
// without a network.
func BenchmarkService(b *testing.B) {
	up := &upstream{}
	up.add(widget, version, make1(b, widget, noise("w", 60000)))
	store, err := modstore.Open(context.Background(), modstore.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	_, p := start(b, serve(b, up), func(o *modproxy.Options) { o.Store = store })
	tokens := &modproxy.Tokens{}
	if err := tokens.Load([]byte("a one-of-16-letters\nb two-of-16-letters\n")); err != nil {
		b.Fatal(err)
	}
	s := modproxy.NewService(p, modproxy.ServiceOptions{Tokens: tokens, Feeds: store, Access: slog.New(slog.NewJSONHandler(io.Discard, nil))})
	for _, ext := range []string{".mod", ".zip"} {
		b.Run(ext[1:], func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, at+ext, http.NoBody)
			r.SetBasicAuth("go", "two-of-16-letters")
			h := http.Header{}
			s.ServeHTTP(nobody{h}, r)
			b.ReportAllocs()
			for b.Loop() {
				clear(h)
				s.ServeHTTP(nobody{h}, r)
			}
		})
	}
}
