package modproxy_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modproxy"
)

func writeFile(name string, data []byte) error { return os.WriteFile(name, data, 0o600) }

const page = "<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n"

const (
	widget  = "example.com/widget"
	version = "v1.0.0"
	at      = "/" + widget + "/@v/" + version
)

// fault answers in place of a healthy proxy.
type fault struct {
	name string
	h    func(f files) http.HandlerFunc
	// said is a part of what the proxy has to say of it.
	said string
}

func always(h http.HandlerFunc) func(files) http.HandlerFunc {
	return func(files) http.HandlerFunc { return h }
}

func status(code int) func(files) http.HandlerFunc {
	return always(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no luck", code) })
}

func healthy(f files) *upstream {
	u := &upstream{}
	u.add(widget, version, f)
	return u
}

// on breaks the files of one kind.
func on(ext string, h func(w http.ResponseWriter, r *http.Request, good []byte)) func(files) http.HandlerFunc {
	return func(f files) http.HandlerFunc {
		u := healthy(f)
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ext) {
				h(w, r, u.all[r.URL.Path])
				return
			}
			u.ServeHTTP(w, r)
		}
	}
}

func answer(data string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, data) }
}

func hijack(w http.ResponseWriter, words string, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprint(conn, words)
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// trickle sends a byte at a time until the client has enough of it.
func trickle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000000 {
		if _, err := w.Write([]byte{'x'}); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// bomb is a zip whose file says that it has ten bytes, and has a million.
func bomb() string {
	var packed, b bytes.Buffer
	f, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = f.Write(make([]byte, 1<<20))
	_ = f.Close()
	z := zip.NewWriter(&b)
	w, _ := z.CreateRaw(&zip.FileHeader{
		Name: widget + "@" + version + "/go.mod", Method: zip.Deflate, CompressedSize64: uint64(packed.Len()), UncompressedSize64: 10,
	})
	_, _ = w.Write(packed.Bytes())
	_ = z.Close()
	return b.String()
}

func faults() []fault {
	return []fault{
		{"html", always(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) }), "web page"},
		{"html zip", on(".zip", answer(page)), "no valid module zip"},
		{"html mod", on(".mod", answer(page)), "web page"},
		{"empty info", on(".info", answer("")), "empty answer"},
		{"other info", on(".info", answer(`{"Version":"v1.0.1"}`)), `it is about version "v1.0.1"`},
		{"corrupt crc", on(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			bad := bytes.Clone(good)
			bad[len(bad)/2] ^= 0x55
			_, _ = w.Write(bad)
		}), "no valid module zip"},
		{"bomb", on(".zip", answer(bomb())), "no valid module zip"},
		{"truncated, length right", on(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(good)))
			_, _ = w.Write(good[:len(good)/2])
			panic(http.ErrAbortHandler)
		}), "cut in the middle"},
		{"truncated, length wrong", on(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			_, _ = w.Write(good[:len(good)/2])
		}), "no valid module zip"},
		{"silent", always(silent), ""},
		{"trickle", always(trickle), "slow"},
		{"reset", always(func(w http.ResponseWriter, _ *http.Request) { hijack(w, "", true) }), ""},
		{"eof", always(func(w http.ResponseWriter, _ *http.Request) { hijack(w, "", false) }), "closed without an answer"},
		{"no http", always(func(w http.ResponseWriter, _ *http.Request) { hijack(w, "SSH-2.0-server\r\n", false) }), "malformed HTTP"},
		{"encoded", on(".mod", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(good)
		}), "an encoding"},
		{"endless header", always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}), ""},
		{"endless mod", on(".mod", func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			for range 17 << 10 {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}), "larger than allowed"},
		{"401", status(401), "401 Unauthorized: no luck"},
		{"403", status(403), "403 Forbidden: no luck"},
		{"429", status(429), "429 Too Many Requests"},
		{"500", status(500), "500 Internal Server Error"},
		{"502", status(502), "502 Bad Gateway"},
		{"redirect loop", always(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}), "stopped after 10 redirects"},
		{"redirect to a page", always(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				fmt.Fprint(w, page)
				return
			}
			http.Redirect(w, r, "/login", http.StatusFound)
		}), "web page"},
	}
}

// TestEveryFaultIsMadeGood puts a broken upstream before a healthy one.
func TestEveryFaultIsMadeGood(t *testing.T) {
	t.Parallel()
	f := make1(t, widget, noise("w", 60000))
	sums := f.sums(t)
	wrong := make1(t, widget, noise("other", 60000))
	// The servers of certificates.
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour))
	u := healthy(f)
	second := serveTLS(t, u, good)
	roots := &http.Transport{}
	roots.TLSClientConfig = tlsWith(ca.cert)
	closed := closedPort(t)

	firsts := map[string]string{
		"refused":      "http://" + closed,
		"dns":          "http://" + strings.Repeat("x", 70) + ".example.org",
		"expired":      serveTLS(t, u, ca.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(-time.Hour))),
		"unknown ca":   serveTLS(t, u, other.leaf(t, net.IPv4(127, 0, 0, 1), time.Now().Add(time.Hour))),
		"wrong name":   serveTLS(t, u, ca.leaf(t, net.IPv4(127, 0, 0, 2), time.Now().Add(time.Hour))),
		"wrong hash":   serve(t, healthy(wrong)),
		"not tls":      "https" + strings.TrimPrefix(serve(t, u), "http"),
		"a dead first": "http://" + closed + ",http://" + closed,
	}
	said := map[string]string{
		"refused": "connection refused", "dns": "no such host", "expired": "expired", "unknown ca": "unknown authority",
		"wrong name": "not 127.0.0.1", "wrong hash": "where go.sum has", "not tls": "HTTP response to HTTPS",
	}
	kinds := map[string]modproxy.Kind{
		"refused": modproxy.KindRefused, "dns": modproxy.KindDNS, "expired": modproxy.KindExpired, "unknown ca": modproxy.KindAuthority,
		"wrong name": modproxy.KindName, "wrong hash": modproxy.KindWrong, "not tls": modproxy.KindNoTLS, "a dead first": modproxy.KindRefused,
		"html": modproxy.KindPage, "html zip": modproxy.KindPage, "html mod": modproxy.KindPage, "empty info": modproxy.KindEmpty,
		"other info": modproxy.KindInfo, "truncated, length right": modproxy.KindCut, "truncated, length wrong": modproxy.KindZip,
		"reset": modproxy.KindReset, "eof": modproxy.KindClosed, "401": modproxy.KindStatus, "502": modproxy.KindStatus,
		"redirect loop": modproxy.KindRedirects, "encoded": modproxy.KindEncoding, "endless mod": modproxy.KindLarge, "bomb": modproxy.KindZip,
	}
	for _, x := range faults() {
		firsts[x.name], said[x.name] = serve(t, x.h(f)), x.said
	}
	for name, first := range firsts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := func(o *modproxy.Options) {
				o.Sums, o.Roots = sums, roots
				if name == "silent" || name == "trickle" {
					o.Limits = quick()
				}
			}
			url, p := start(t, first+","+second, options)
			for ext, want := range map[string][]byte{".info": f.info, ".mod": f.mod, ".zip": f.zip} {
				if code, got := get(t, url+at+ext); code != 200 || got != string(want) {
					t.Errorf("%s: %d %.200s", ext, code, got)
				}
			}
			s := p.Summary()
			if len(s.Complaints) == 0 || s.Saved == 0 {
				t.Fatalf("nothing was noted: %+v", s)
			}
			all := fmt.Sprint(s.Complaints)
			if !strings.Contains(all, said[name]) {
				t.Errorf("said %s, not %q", all, said[name])
			}
			for _, c := range s.Complaints {
				if want := kinds[name]; want != "" && c.Kind != want && c.Kind != modproxy.KindSlower {
					t.Errorf("%s is of kind %q, not %q", c.Said, c.Kind, want)
				}
				if c.Kind == modproxy.KindOther && name != "no http" && name != "endless header" {
					t.Errorf("%s is of no kind", c.Said)
				}
			}
			// Alone, it is a failure that says who and why, never a wrong byte.
			alone, _ := start(t, first, options)
			failed := 0
			for ext, want := range map[string][]byte{".info": f.info, ".mod": f.mod, ".zip": f.zip} {
				code, got := get(t, alone+at+ext)
				switch {
				case code == 200 && got == string(want):
				case code == 502 || code == 504:
					failed++
					if lines := strings.Count(got, "\n"); lines > 8 || !strings.Contains(got, "tried:\n  ") {
						t.Errorf("%d lines: %s", lines, got)
					}
				default:
					t.Errorf("alone, %s: %d %.200s", ext, code, got)
				}
			}
			if failed == 0 {
				t.Error("alone it did no harm")
			}
		})
	}
}

// closedPort is a loopback address that nobody listens on.
func closedPort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}
