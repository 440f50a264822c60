package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveFor serves h as Serve would, with rs looking when the test says so.
func serveFor(t *testing.T, rs *readers, h http.Handler) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ConnState: rs.state, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute}
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() { s.Close(); work.Wait() })
	return ln.Addr().String()
}

// TestDeadReadersAreCut, and slow ones are not: both ask for more than the system buffers.
func TestDeadReadersAreCut(t *testing.T) {
	t.Parallel()
	if !canLook {
		t.Skip("no way to look here")
	}
	const size = 64 << 20
	for name, live := range map[string]bool{"dead": false, "slow": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := os.Create(filepath.Join(t.TempDir(), "large"))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			rs := &readers{}
			sent := make(chan int64, 1)
			at := serveFor(t, rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n, _ := io.CopyN(w, f, size)
				sent <- n
			}))
			c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if live {
				got := 0
				buf := make([]byte, 16<<20) // more than the system buffers: between two looks, something was taken
				for {
					n, err := io.ReadFull(c, buf) // a part, then a look
					got += n
					rs.look()
					if err != nil {
						break
					}
				}
				if n := <-sent; n != size || got < size {
					t.Errorf("sent %d, got %d", n, got)
				}
				return
			}
			for {
				rs.look()
				select {
				case n := <-sent:
					if n == size {
						t.Error("all was sent to nobody")
					}
					return
				default:
				}
			}
		})
	}
}

// pair writes a certificate for 127.0.0.1 and its key.
func pair(t *testing.T, cert, key string, serial int64) *x509.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCertificateIsTakenAnew while connections are accepted; half a pair leaves the old.
func TestCertificateIsTakenAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, cert, key, 1)
	c, err := NewCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	w := &Watcher{Log: slog.New(slog.NewTextHandler(&log, nil))}
	w.Add("certificate", c.Files(), c.Load)
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
		if err := Serve(ctx, ln, Options{Server: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}, Certificate: c, Grace: time.Minute}); err != nil {
			t.Error(err)
		}
	})
	serial := func(o *tls.Config) (string, error) {
		o.InsecureSkipVerify = true
		conn, err := (&tls.Dialer{Config: o}).DialContext(context.Background(), "tcp", ln.Addr().String())
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
	}
	check := func(want string) {
		t.Helper()
		if got, err := serial(&tls.Config{}); got != want || err != nil {
			t.Errorf("certificate %s, want %s: %v", got, want, err)
		}
	}
	check("1")
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Look(false)
	w.Look(false)
	check("1")
	if n := strings.Count(log.String(), "cannot load anew"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	now := pair(t, cert, key, 2)
	w.Look(false)
	check("2")
	if _, err := serial(&tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	roots := x509.NewCertPool()
	roots.AddCert(now)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+ln.Addr().String()+"/", http.NoBody)
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "HTTP/2.0" {
		t.Errorf("%s", body)
	}
}

// TestGracefulEnd: what is under way ends well, what is new is not taken.
// TestCertificateThatEnds is told of: one that has an hour left, has none, or is not valid yet.
func TestCertificateThatEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	made := pair(t, cert, key, 1)
	c, err := NewCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Expires().Equal(made.NotAfter) {
		t.Errorf("expires %v, not %v", c.Expires(), made.NotAfter)
	}
	const day = 24 * time.Hour
	for after, words := range map[time.Duration]string{
		-20 * day:      "not valid yet",
		-15 * day:      "not valid yet",
		-time.Minute:   "expires soon",
		time.Second:    "has expired",
		1000 * day:     "has expired",
		-2 * time.Hour: "expires soon", // and not valid yet: what lasts is told
	} {
		var log bytes.Buffer
		c.Warn(slog.New(slog.NewTextHandler(&log, nil)), made.NotAfter.Add(after))
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, words) || !strings.Contains(got, cert) {
			t.Errorf("%v: %q, not %q", after, got, words)
		}
	}
	var log bytes.Buffer
	c.loaded.Load().Leaf.NotAfter = made.NotAfter.Add(15 * day)
	if c.Warn(slog.New(slog.NewTextHandler(&log, nil)), made.NotAfter); log.Len() != 0 {
		t.Errorf("a good one: %s", &log)
	}
}

func TestGracefulEnd(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, stopping := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-stopping
		_, _ = io.WriteString(w, "whole")
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, ln, Options{Server: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}, Grace: time.Minute, Stopping: func() { close(stopping) }})
	}()
	got := make(chan string, 1)
	go func() {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+ln.Addr().String()+"/", http.NoBody)
		resp, err := (&http.Transport{}).RoundTrip(r)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-began
	stop()
	if body := <-got; body != "whole" {
		t.Errorf("%s", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", ln.Addr().String()); err == nil {
		t.Error("a connection was taken")
	}
}

func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skip(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	notify("READY=1")
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q %v", buf[:n], err)
	}
}
