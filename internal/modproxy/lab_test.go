package modproxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

// memFile is a file for modzip.Create, and its own FileInfo.
type memFile struct{ name, content string }

func (f memFile) Path() string                { return f.name }
func (f memFile) Lstat() (fs.FileInfo, error) { return f, nil }
func (f memFile) Open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(f.content)), nil
}
func (f memFile) Name() string       { return path.Base(f.name) }
func (f memFile) Size() int64        { return int64(len(f.content)) }
func (f memFile) Mode() fs.FileMode  { return 0o644 }
func (f memFile) ModTime() time.Time { return time.Time{} }
func (f memFile) IsDir() bool        { return false }
func (f memFile) Sys() any           { return nil }

// files of a module version, as a proxy has them.
type files struct{ info, mod, zip []byte }

// noise does not compress, so that a zip is as large as what is in it.
func noise(seed string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "// %x\n", []byte(fmt.Sprint(seed, i*i*7919)))
	}
	return b.String()[:n]
}

func make1(t testing.TB, path, content string) files {
	t.Helper()
	gomod := "module " + path + "\n\ngo 1.20\n"
	var b bytes.Buffer
	err := modzip.Create(&b, module.Version{Path: path, Version: version}, []modzip.File{memFile{"go.mod", gomod}, memFile{"m.go", "package m\n\n" + content}})
	if err != nil {
		t.Fatal(err)
	}
	return files{fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version), []byte(gomod), b.Bytes()}
}

func (f files) sums(t testing.TB) map[string]string {
	t.Helper()
	name := t.TempDir() + "/m.zip"
	if err := writeFile(name, f.zip); err != nil {
		t.Fatal(err)
	}
	h, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	hm, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.mod)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{widget + " " + version: h, widget + " " + version + "/go.mod": hm}
}

// upstream is a healthy module proxy that counts what it is asked.
type upstream struct {
	mu    sync.Mutex
	asked []string
	all   map[string][]byte
	// before may answer in its place, and says so.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.asked = append(u.asked, r.URL.Path)
	data, ok := u.all[r.URL.Path]
	before := u.before
	u.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if !ok {
		http.Error(w, "not found: no such module here", http.StatusNotFound)
		return
	}
	w.Header().Set("Etag", `"`+fmt.Sprint(len(data))+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (u *upstream) add(path, version string, f files) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string][]byte{}
	}
	p, _ := module.EscapePath(path)
	at := "/" + p + "/@v/" + version
	u.all[at+".info"], u.all[at+".mod"], u.all[at+".zip"] = f.info, f.mod, f.zip
	u.all["/"+p+"/@v/list"] = append(u.all["/"+p+"/@v/list"], version+"\n"...)
}

func (u *upstream) requests(suffix string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, a := range u.asked {
		if strings.HasSuffix(a, suffix) {
			n++
		}
	}
	return n
}

func serve(t testing.TB, h http.Handler) string { return serveOn(t, h, false) }

// serveOn serves over connections as keepwell's own servers have them (quick), or plain
// ones.
func serveOn(t testing.TB, h http.Handler, quick bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if quick {
		s.Listener, s.Config.ConnContext = modproxy.Quick(s.Listener), modproxy.ConnContext
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// serveTLS serves with a certificate that ca signed for names.
func serveTLS(t testing.TB, h http.Handler, cert tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) leaf(t testing.TB, ip net.IP, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{ip}, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// calm are limits for tests: no pauses, no second look within a test.
func calm() modproxy.Limits {
	return modproxy.Limits{Sum: 20 * time.Second, Backoff: time.Millisecond, Rest: time.Hour, Fresh: time.Hour}
}

// quick are calm with little patience.
func quick() modproxy.Limits {
	l := calm()
	l.Slow, l.Silence, l.Floor = 60*time.Millisecond, time.Second, 20000
	return l
}

// start opens a proxy before upstreams; change may set more.
func start(t testing.TB, upstreams string, change func(*modproxy.Options)) (string, *modproxy.Proxy) {
	t.Helper()
	l, err := modproxy.ParseUpstreams(upstreams)
	if err != nil {
		t.Fatal(err)
	}
	o := modproxy.Options{Lists: []modproxy.List{l}, Limits: calm()}
	if change != nil {
		change(&o)
	}
	if o.Store == nil {
		store, err := modstore.Open(context.Background(), modstore.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		o.Store = store
	}
	p, err := modproxy.New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return serveOn(t, p, true), p
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// sumServer is a checksum database for modules, with its key.
func sumServer(t testing.TB, sums map[string]string) (h http.Handler, key string) {
	t.Helper()
	return sumServerAt(t, "sum.example.org", sums)
}

func sumServerAt(t testing.TB, name string, sums map[string]string) (h http.Handler, key string) {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		var lines []string
		for _, v := range []string{version, version + "/go.mod"} {
			if h := sums[path+" "+v]; h != "" {
				lines = append(lines, path+" "+v+" "+h)
			}
		}
		if len(lines) == 0 {
			return nil, fs.ErrNotExist
		}
		slices.Sort(lines)
		return []byte(strings.Join(lines, "\n") + "\n"), nil
	})
	return sumdb.NewServer(ops), verifier
}

func tlsWith(ca *x509.Certificate) *tls.Config {
	return &tls.Config{RootCAs: pool(ca), MinVersion: tls.VersionTLS12}
}
