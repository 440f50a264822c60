package cli_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// world is the only network of a session: an HTTP proxy on loopback that answers
// CONNECT for the hosts of the session's file, each with TLS of an authority that the
// session trusts. The command
//
//	world FILE
//
// builds it from lines
//
//	module HOST PATH VERSION [GOMOD]   HOST is a module proxy that has it; GOMOD is a file
//	sumdb HOST FROM [wrong]            HOST vouches for the modules of FROM, or lies
//	passes HOST SUMDB                  HOST passes on the checksum database SUMDB
//	file HOST PATH FILE                HOST serves FILE at PATH
//	git HOST DIR                       HOST serves the repositories below DIR
//	login HOST USER PASSWORD           HOST answers 401 without
//	fault HOST SUFFIX status N TEXT    paths that end in SUFFIX (* is all) answer so
//	fault HOST SUFFIX redirect URL
//	fault HOST SUFFIX page             a page in place of data
//	fault HOST SUFFIX silent|stall     no answer; a body that ends in the middle
//	fault HOST SUFFIX damage           one byte of it turned over
//
// and writes who was asked for what with which login to the file "asked".
type world struct {
	ts    *testscript.TestScript
	hosts map[string]*worldHost
	ca    tls.Certificate
	done  chan struct{}

	mu    sync.Mutex
	asked *os.File
}

type worldHost struct {
	inlet          *inlet
	files          map[string][]byte
	lists          map[string][]string
	sums           map[string]string
	faults         [][]string
	user, password string
	other          http.Handler
}

func startWorld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: world FILE")
	}
	asked, err := os.Create(ts.MkAbs("asked"))
	ts.Check(err)
	w := &world{ts: ts, hosts: map[string]*worldHost{}, asked: asked, done: make(chan struct{})}
	w.ca = certificate(ts, nil, "world")
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if f := strings.Fields(line); len(f) > 1 {
			w.line(f)
		}
	}
	for name, h := range w.hosts {
		w.serve(name, h)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	serveHTTP(ts, ln, http.HandlerFunc(w.connect))
	ts.Defer(func() { close(w.done); _ = asked.Close() })
	pemFile := ts.MkAbs("ca.pem")
	ts.Check(os.WriteFile(pemFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Certificate[0]}), 0o600))
	for _, kv := range [][2]string{
		{"HTTPS_PROXY", "http://" + ln.Addr().String()},
		{"HTTP_PROXY", "http://" + ln.Addr().String()},
		{"NO_PROXY", ""},
		{"SSL_CERT_FILE", pemFile},
		{"GIT_SSL_CAINFO", pemFile},
	} {
		ts.Setenv(kv[0], kv[1])
	}
}

func (w *world) host(name string) *worldHost {
	h := w.hosts[name]
	if h == nil {
		h = &worldHost{files: map[string][]byte{}, lists: map[string][]string{}, sums: map[string]string{}}
		w.hosts[name] = h
	}
	return h
}

func (w *world) line(f []string) {
	h := w.host(f[1])
	switch f[0] {
	case "module":
		w.module(h, f[2], f[3], slices.Concat(f[4:], []string{""})[0])
	case "sumdb":
		signer, verifier, err := note.GenerateKey(strings.NewReader(strings.Repeat("k", 32)), f[1])
		w.ts.Check(err)
		from, wrong := w.host(f[2]), len(f) > 3
		h.other = sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
			lines, ok := from.sums[path+"@"+version]
			if !ok {
				return nil, fmt.Errorf("not found: %s@%s", path, version)
			}
			if wrong {
				lines = strings.ReplaceAll(lines, "h1:", "h1:AAAA")
			}
			return []byte(lines), nil
		}))
		w.ts.Setenv("GOSUMDB", verifier)
	case "passes":
		prefix := "/sumdb/" + f[2]
		h.files[prefix+"/supported"] = []byte{}
		h.other = http.StripPrefix(prefix, w.host(f[2]).other)
	case "file":
		h.files[f[2]] = []byte(w.ts.ReadFile(f[3]))
	case "git":
		git, err := exec.LookPath("git")
		w.ts.Check(err)
		h.other = &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_HTTP_EXPORT_ALL=1", "GIT_PROJECT_ROOT=" + w.ts.MkAbs(f[2])}}
	case "login":
		h.user, h.password = f[2], f[3]
	case "fault":
		h.faults = append(h.faults, f[2:])
	default:
		w.ts.Fatalf("world: %s?", f[0])
	}
}

// module puts a version with a go.mod and one file into a proxy.
func (w *world) module(h *worldHost, path, version, gomod string) {
	mod := "module " + path + "\n\ngo 1.20\n"
	if gomod != "" {
		mod = w.ts.ReadFile(gomod)
	}
	prefix := path + "@" + version + "/"
	content := map[string]string{prefix + "go.mod": mod, prefix + "x.go": "package x\n\nconst X = 1\n"}
	names := []string{prefix + "go.mod", prefix + "x.go"}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, n := range names {
		f, err := z.Create(n)
		w.ts.Check(err)
		_, err = io.WriteString(f, content[n])
		w.ts.Check(err)
	}
	w.ts.Check(z.Close())
	content["go.mod"] = mod
	open := func(n string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content[n])), nil }
	zipSum, err := dirhash.Hash1(names, open)
	w.ts.Check(err)
	modSum, err := dirhash.Hash1([]string{"go.mod"}, open)
	w.ts.Check(err)
	h.sums[path+"@"+version] = fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", path, version, zipSum, path, version, modSum)
	escaped, err := module.EscapePath(path)
	w.ts.Check(err)
	at := "/" + escaped + "/@v/"
	h.lists[at+"list"] = append(h.lists[at+"list"], version)
	semver.Sort(h.lists[at+"list"])
	month := len(h.lists[at+"list"])
	h.files[at+"list"] = []byte(strings.Join(h.lists[at+"list"], "\n") + "\n")
	h.files[at+version+".info"] = fmt.Appendf(nil, `{"Version":%q,"Time":"2026-%02d-01T00:00:00Z"}`, version, month)
	h.files[at+version+".mod"], h.files[at+version+".zip"] = []byte(mod), buf.Bytes()
}

func (w *world) serve(name string, h *worldHost) {
	h.inlet = &inlet{conns: make(chan net.Conn), done: w.done}
	leaf := certificate(w.ts, &w.ca, name)
	cfg := &tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{"http/1.1"}}
	serveHTTP(w.ts, tls.NewListener(h.inlet, cfg), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.answer(name, h, rw, r) }))
}

func (w *world) answer(name string, h *worldHost, rw http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	login := "-"
	if ok {
		login = user + ":" + password
	} else if r.Header.Get("Authorization") != "" {
		login = "other"
	}
	w.mu.Lock()
	fmt.Fprintf(w.asked, "%s %s %s\n", name, r.URL.Path, login)
	w.mu.Unlock()
	if h.user != "" && (user != h.user || password != h.password) {
		rw.Header().Set("Www-Authenticate", `Basic realm="x"`)
		http.Error(rw, "who are you, "+login+"?", http.StatusUnauthorized)
		return
	}
	data, found := h.files[r.URL.Path]
	for _, f := range h.faults {
		if f[0] != "*" && !strings.HasSuffix(r.URL.Path, f[0]) {
			continue
		}
		switch f[1] {
		case "status":
			code, err := strconv.Atoi(f[2])
			w.ts.Check(err)
			http.Error(rw, strings.Join(f[3:], " "), code)
		case "redirect":
			http.Redirect(rw, r, f[2], http.StatusFound)
		case "page":
			rw.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(rw, "<html><body>Welcome</body></html>")
		case "silent":
			<-r.Context().Done()
		case "stall":
			rw.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = rw.Write(data[:len(data)/2])
			_ = http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		case "damage":
			data = bytes.Clone(data)
			data[len(data)/4] ^= 0xff
			_, _ = rw.Write(data)
		}
		return
	}
	switch {
	case found:
		_, _ = rw.Write(data)
	case h.other != nil:
		h.other.ServeHTTP(rw, r)
	default:
		http.Error(rw, "not found: no such module", http.StatusNotFound)
	}
}

func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	h := w.hosts[r.URL.Hostname()]
	if h == nil || r.Method != http.MethodConnect {
		http.Error(rw, "not in this world", http.StatusBadGateway)
		return
	}
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	h.inlet.hand(conn)
}

// inlet is a listener whose connections are handed to it.
type inlet struct {
	conns chan net.Conn
	done  chan struct{}
}

func (i *inlet) hand(c net.Conn) {
	select {
	case i.conns <- c:
	case <-i.done:
		_ = c.Close()
	}
}

func (i *inlet) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.done:
		return nil, net.ErrClosed
	}
}

func (i *inlet) Close() error   { return nil }
func (i *inlet) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func serveHTTP(ts *testscript.TestScript, ln net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	ts.Defer(func() { _ = srv.Close(); <-done })
}

// certificate is an authority where by is nil, else a server's of that authority.
func certificate(ts *testscript.TestScript, by *tls.Certificate, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	parent, signer := tmpl, any(key)
	if by == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		tmpl.DNSNames, tmpl.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if parent, err = x509.ParseCertificate(by.Certificate[0]); err != nil {
			ts.Check(err)
		}
		signer = by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	ts.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// validHAR holds a file to what HAR 1.2 demands.
func validHAR(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: har FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if info.Mode().Perm() != 0o600 {
		ts.Fatalf("%s has mode %v", filepath.Base(args[0]), info.Mode())
	}
	var doc struct {
		Log struct {
			Version string
			Creator struct{ Name, Version string }
			Pages   []struct{ StartedDateTime, ID, Title string }
			Entries []map[string]any
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	if doc.Log.Version != "1.2" || doc.Log.Creator.Name == "" || doc.Log.Creator.Version == "" || len(doc.Log.Entries) == 0 {
		ts.Fatalf("log: %+v", doc.Log)
	}
	for _, e := range doc.Log.Entries {
		_, err := time.Parse(time.RFC3339Nano, e["startedDateTime"].(string))
		ts.Check(err)
		wanted(ts, e, "request", "method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize")
		wanted(ts, e, "response", "status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL", "headersSize", "bodySize")
		t := wanted(ts, e, "timings", "blocked", "dns", "connect", "ssl", "send", "wait", "receive")
		sum := 0.0
		for _, name := range []string{"blocked", "dns", "connect", "send", "wait", "receive"} {
			sum += max(t[name].(float64), 0)
		}
		if whole := e["time"].(float64); sum-whole > 0.01 || whole-sum > 0.01 {
			ts.Fatalf("time %v, but the timings make %v", whole, sum)
		}
		if _, ok := e["cache"]; !ok || e["pageref"] != doc.Log.Pages[0].ID {
			ts.Fatalf("entry without cache or page: %v", e)
		}
	}
}

func wanted(ts *testscript.TestScript, e map[string]any, part string, names ...string) map[string]any {
	m, _ := e[part].(map[string]any)
	for _, n := range names {
		if _, ok := m[n]; !ok {
			ts.Fatalf("%s has no %s", part, n)
		}
	}
	return m
}
