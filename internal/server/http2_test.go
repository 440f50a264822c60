package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// overHTTP2 serves h as Serve would, with ss looking when the test says so.
func overHTTP2(t *testing.T, ss *streams, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(ss.over(h))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// raw is a client that does as it likes.
type raw struct {
	*http2.Framer
	conn net.Conn
}

func (c *raw) ask(t *testing.T, stream uint32) error {
	t.Helper()
	var header bytes.Buffer
	enc := hpack.NewEncoder(&header)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}} {
		if err := enc.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true})
}

func dial(t *testing.T, s *httptest.Server, settings ...http2.Setting) *raw {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &raw{http2.NewFramer(conn, conn), conn}
	if err := c.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNoWindowIsCut: a client of HTTP/2 that opens no window gets its stream ended, and
// its connection goes on; one that opens a small one again and again gets all.
func TestNoWindowIsCut(t *testing.T) {
	t.Parallel()
	const size = 10 * piece
	for name, opens := range map[string]bool{"never": false, "bit by bit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ss streams
			ended := make(chan error, 1)
			s := overHTTP2(t, &ss, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, err := io.Copy(w, bytes.NewReader(make([]byte, size)))
				ended <- err
			}))
			c := dial(t, s, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			if err := c.ask(t, 1); err != nil {
				t.Fatal(err)
			}
			got := 0
			open := func() {
				if opens {
					ss.look() // between two pieces, many may be missed
					if err := c.WriteWindowUpdate(1, piece); err != nil {
						t.Fatal(err)
					}
				}
			}
			open()
			if !opens {
				go func() { // the ticker's part, faster
					for {
						ss.look()
						select {
						case err := <-ended:
							ended <- err
							return
						default:
						}
					}
				}()
			}
			for {
				f, err := c.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				switch f := f.(type) {
				case *http2.DataFrame:
					if got += len(f.Data()); f.StreamEnded() {
						if err := <-ended; !opens || err != nil || got != size {
							t.Errorf("%d of %d bytes, %v", got, size, err)
						}
						return
					}
					if got%piece == 0 {
						open()
					}
				case *http2.RSTStreamFrame:
					if err := <-ended; opens || err == nil {
						t.Errorf("cut after %d bytes: %v", got, err)
					}
					return
				}
			}
		})
	}
}

// TestRapidReset: a client that asks and takes back, again and again, has no more handlers
// at work than one that waits, is sent away, and harms nobody else (CVE-2023-44487).
func TestRapidReset(t *testing.T) {
	t.Parallel()
	const asked, most = 5000, 250 // net/http's own bound
	var mu sync.Mutex
	running, highest := 0, 0
	release := make(chan struct{})
	var ss streams
	s := overHTTP2(t, &ss, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Well-Behaved") != "" {
			return
		}
		mu.Lock()
		running++
		highest = max(highest, running)
		mu.Unlock()
		<-release // work that does not see that nobody wants it
	}))
	defer close(release)
	c := dial(t, s)
	gone := make(chan http2.ErrCode, 1)
	go func() {
		for {
			f, err := c.ReadFrame()
			if err != nil {
				gone <- http2.ErrCodeNo
				return
			}
			if g, ok := f.(*http2.GoAwayFrame); ok {
				gone <- g.ErrCode
				return
			}
		}
	}()
	for i := range uint32(asked) {
		if c.ask(t, 2*i+1) != nil || c.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // it is sent away already
		}
	}
	if code := <-gone; code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("sent away with %v", code)
	}
	mu.Lock()
	if highest == 0 || highest > most {
		t.Errorf("%d handlers at work at once", highest)
	}
	mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
	r.Header.Set("Well-Behaved", "1")
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
}
