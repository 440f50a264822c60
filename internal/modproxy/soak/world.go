//go:build linux

package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"
)

// modules and versions of each.
const (
	modules  = 60
	versions = 5
)

// truth is what a path has to answer.
type truth struct {
	data []byte
	sum  string
	// other is another valid content for the same name.
	other []byte
}

// world is what there is to fetch, and who has it.
type world struct {
	files  map[string]truth
	fixed  []string // the paths of .info, .mod and .zip
	lists  []string
	latest []string
	sums   []string // lookups
	bytes  int64

	database string // GOSUMDB
	sumdb    http.Handler
	bases    []string
	servers  []*http.Server
	gone     chan struct{} // closed when the load is over: who hangs, ends

	mu     sync.Mutex
	random *rand.Rand
	faults map[string]int
}

const databaseName = "sum.example.org"

func newWorld(ctx context.Context, seed uint64) (*world, error) {
	w := &world{files: map[string]truth{}, gone: make(chan struct{}), faults: map[string]int{}, random: rand.New(rand.NewPCG(seed, 99))} //nolint:gosec // no secret
	lines := map[string]string{}
	for i := range modules {
		if err := w.module(fmt.Sprintf("example.com/m%02d", i), 1000+i*i*220, lines); err != nil {
			return nil, err
		}
	}
	signer, verifier, err := note.GenerateKey(crand.Reader, databaseName)
	if err != nil {
		return nil, err
	}
	w.sumdb = sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if text := lines[path+"@"+version]; text != "" {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}))
	// The last of the three fails least,
	// and a fourth, the checksum database itself, never: nobody could tell wrong content.
	for _, share := range []float64{0.35, 0.35, 0.1, 0} {
		if err := w.listen(ctx, share); err != nil {
			return nil, err
		}
	}
	w.database = verifier + " " + w.bases[3] + "/own"
	w.bases = w.bases[:3]
	return w, nil
}

// module makes the versions of one module.
func (w *world) module(path string, size int, lines map[string]string) error {
	var list strings.Builder
	for v := range versions {
		version := fmt.Sprintf("v1.%d.0", v)
		gomod := fmt.Sprintf("module %s\n\ngo 1.2%d\n", path, v)
		zip, h1, err := pack(path, version, gomod, noise(w.random, size))
		if err != nil {
			return err
		}
		other, _, err := pack(path, version, gomod, noise(w.random, size))
		if err != nil {
			return err
		}
		hm, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(gomod)), nil })
		if err != nil {
			return err
		}
		lines[path+"@"+version] = fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", path, version, h1, path, version, hm)
		at := "/" + path + "/@v/" + version
		info := fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-0%dT00:00:00Z"}`, version, v+1)
		w.add(at+".info", info, nil)
		w.add(at+".mod", []byte(gomod), []byte(gomod+"\n// another\n"))
		w.add(at+".zip", zip, other)
		w.fixed = append(w.fixed, at+".info", at+".mod", at+".zip")
		w.sums = append(w.sums, "/sumdb/"+databaseName+"/lookup/"+path+"@"+version)
		fmt.Fprintln(&list, version)
		if v == versions-1 {
			w.add("/"+path+"/@latest", info, nil)
		}
	}
	w.add("/"+path+"/@v/list", []byte(list.String()), nil)
	w.lists = append(w.lists, "/"+path+"/@v/list")
	w.latest = append(w.latest, "/"+path+"/@latest")
	return nil
}

func (w *world) add(path string, data, other []byte) {
	sum := sha256.Sum256(data)
	w.files[path] = truth{data, hex.EncodeToString(sum[:]), other}
	w.bytes += int64(len(data))
}

func noise(random *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString("package m\n\n")
	for b.Len() < n {
		fmt.Fprintf(&b, "// %x\n", random.Uint64())
	}
	return b.String()
}

type file struct{ name, content string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return f, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }
func (f file) Name() string                 { return f.name }
func (f file) Size() int64                  { return int64(len(f.content)) }
func (f file) Mode() os.FileMode            { return 0o644 }
func (f file) ModTime() time.Time           { return time.Time{} }
func (f file) IsDir() bool                  { return false }
func (f file) Sys() any                     { return nil }

func pack(path, version, gomod, content string) (data []byte, h1 string, err error) {
	var b bytes.Buffer
	err = modzip.Create(&b, module.Version{Path: path, Version: version}, []modzip.File{file{"go.mod", gomod}, file{"m.go", content}})
	if err != nil {
		return nil, "", err
	}
	prefix := path + "@" + version + "/"
	h1, err = dirhash.Hash1([]string{prefix + "go.mod", prefix + "m.go"}, func(name string) (io.ReadCloser, error) {
		if strings.HasSuffix(name, "/go.mod") {
			return io.NopCloser(strings.NewReader(gomod)), nil
		}
		return io.NopCloser(strings.NewReader(content)), nil
	})
	return b.Bytes(), h1, err
}

// listen starts an upstream that fails in a share of its answers.
func (w *world) listen(ctx context.Context, share float64) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler:           http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, share) }),
		ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	w.servers, w.bases = append(w.servers, s), append(w.bases, "http://"+ln.Addr().String())
	go func() { _ = s.Serve(ln) }() // ends with close
	return nil
}

func (w *world) release() { close(w.gone) }

func (w *world) close() {
	for _, s := range w.servers {
		_ = s.Close()
	}
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request, share float64) {
	path := strings.TrimPrefix(r.URL.Path, "/own")
	known, ok := w.files[path]
	w.mu.Lock()
	fails, which := w.random.Float64() < share, w.random.IntN(len(faults))
	if fails {
		w.faults[faults[which].name]++
	}
	w.mu.Unlock()
	if fails {
		faults[which].answer(w, rw, r, known)
		return
	}
	if rest, ok := strings.CutPrefix(path, "/sumdb/"+databaseName); ok || path != r.URL.Path {
		if ok {
			path = rest
		}
		if path == "/supported" {
			return
		}
		r.URL.Path = path
		w.sumdb.ServeHTTP(rw, r)
		return
	}
	if !ok {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Etag", `"`+known.sum+`"`)
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(known.data))
}

// faults are how an upstream fails.
var faults = []struct { //nolint:gochecknoglobals // a table
	name   string
	answer func(w *world, rw http.ResponseWriter, r *http.Request, good truth)
}{
	{"500", status(http.StatusInternalServerError)},
	{"502", status(http.StatusBadGateway)},
	{"403", status(http.StatusForbidden)},
	{"429", func(_ *world, rw http.ResponseWriter, _ *http.Request, _ truth) {
		rw.Header().Set("Retry-After", "1")
		http.Error(rw, "slow down", http.StatusTooManyRequests)
	}},
	{"page", func(_ *world, rw http.ResponseWriter, _ *http.Request, _ truth) {
		fmt.Fprintln(rw, "<!DOCTYPE html><title>Sign in</title>")
	}},
	{"empty", func(_ *world, rw http.ResponseWriter, r *http.Request, _ truth) { unlessList(rw, r, nil) }},
	{"other content", func(_ *world, rw http.ResponseWriter, r *http.Request, good truth) {
		if good.other == nil {
			http.Error(rw, "no", http.StatusInternalServerError)
			return
		}
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(good.other))
	}},
	{"a bit", func(_ *world, rw http.ResponseWriter, r *http.Request, good truth) {
		bad := slices.Clone(good.data)
		if len(bad) > 0 {
			bad[len(bad)/2] ^= 1
		}
		if good.other == nil { // nothing would tell
			bad = nil
		}
		unlessList(rw, r, bad)
	}},
	{"cut", func(_ *world, rw http.ResponseWriter, _ *http.Request, good truth) {
		rw.Header().Set("Etag", `"`+good.sum+`"`)
		rw.Header().Set("Content-Length", strconv.Itoa(len(good.data)))
		_, _ = rw.Write(good.data[:len(good.data)/2])
		panic(http.ErrAbortHandler)
	}},
	{"cut unseen", func(_ *world, rw http.ResponseWriter, r *http.Request, good truth) {
		if good.other == nil {
			good.data = nil
		}
		unlessList(rw, r, good.data[:len(good.data)/2])
	}},
	{"reset", func(_ *world, rw http.ResponseWriter, _ *http.Request, _ truth) {
		if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
	}},
	{"loop", func(_ *world, rw http.ResponseWriter, r *http.Request, _ truth) {
		http.Redirect(rw, r, r.URL.Path, http.StatusFound)
	}},
	{"silent", func(w *world, _ http.ResponseWriter, r *http.Request, _ truth) { w.hang(r) }},
	{"stalled", func(w *world, rw http.ResponseWriter, r *http.Request, good truth) {
		rw.Header().Set("Content-Length", strconv.Itoa(len(good.data)+1))
		_, _ = rw.Write(good.data[:len(good.data)/3])
		_ = http.NewResponseController(rw).Flush()
		w.hang(r)
		panic(http.ErrAbortHandler)
	}},
}

// unlessList answers data, but for a list: an empty one is a list like any other.
func unlessList(rw http.ResponseWriter, r *http.Request, data []byte) {
	if strings.HasSuffix(r.URL.Path, "/list") {
		http.Error(rw, "no list", http.StatusInternalServerError)
		return
	}
	_, _ = rw.Write(data)
}

func (w *world) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-w.gone:
	}
}

func status(code int) func(*world, http.ResponseWriter, *http.Request, truth) {
	return func(_ *world, rw http.ResponseWriter, _ *http.Request, _ truth) { http.Error(rw, "no luck", code) }
}
