// Package sharetest gives tests a real S3-compatible server in a process of its own
// (.ci/s3server builds it), and a way to make it fail. For tests only.
package sharetest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Key and Secret are the login of the servers; SetLogin makes it that of this process.
const (
	Key    = "keepwell-tests"
	Secret = "not-a-secret-of-anybody"
)

// SetLogin is for TestMain: clients read the environment.
func SetLogin() {
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		os.Unsetenv(name)
	}
	os.Setenv("AWS_ACCESS_KEY_ID", Key)
	os.Setenv("AWS_SECRET_ACCESS_KEY", Secret)
}

// Server is a running server; its buckets are directories of Dir.
type Server struct {
	URL, Dir string
	cmd      *exec.Cmd
	ended    chan struct{}
}

// Start starts a server that ends with the test, or skips the test where there is none.
// env sets more of it.
func Start(t testing.TB, env ...string) *Server {
	t.Helper()
	program := os.Getenv("KEEPWELL_S3")
	if program == "" {
		t.Skip("no S3-compatible server: KEEPWELL_S3=$(bash .ci/s3server) runs this test")
	}
	s := &Server{Dir: filepath.Join(t.TempDir(), "buckets")}
	if err := os.MkdirAll(filepath.Join(s.Dir, "modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	ln.Close()
	s.URL = "http://" + at
	s.start(t, program, at, env)
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) start(t testing.TB, program, at string, env []string) {
	t.Helper()
	s.cmd = exec.CommandContext(context.Background(), program, "--quiet", "--keep-alive", "--port", at, "posix", s.Dir)
	s.cmd.Env = append(append(os.Environ(), "ROOT_ACCESS_KEY="+Key, "ROOT_SECRET_KEY="+Secret), env...)
	var words strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &words, &words
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	client := http.Client{Timeout: time.Second}
	for {
		resp, err := client.Get(s.URL + "/modules")
		if err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("the S3 server ended: %s", words.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Bucket is the address of the bucket, below prefix.
func (s *Server) Bucket(prefix string) string { return s.URL + "/modules/" + prefix }

// File is where the server keeps an object.
func (s *Server) File(name string) string {
	return filepath.Join(s.Dir, "modules", filepath.FromSlash(name))
}

// Objects are the names of the objects that begin with prefix.
func (s *Server) Objects(t testing.TB, prefix string) []string {
	t.Helper()
	var names []string
	root := filepath.Join(s.Dir, "modules")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(root, path)
		if rel = filepath.ToSlash(rel); strings.HasPrefix(rel, prefix) && !strings.HasPrefix(rel, ".") {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Gate is a server before a server: what passes can be counted, answered otherwise or
// cut.
type Gate struct {
	URL string

	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool
	asked  []string
}

// Gate opens one.
func (s *Server) Gate(t testing.TB) *Gate {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.asked = append(g.asked, r.Method+" "+r.URL.Path)
		before := g.before
		g.mu.Unlock()
		if before != nil && before(w, r) {
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	g.URL = h.URL
	return g
}

// Bucket is the address of the bucket through the gate.
func (g *Gate) Bucket(prefix string) string { return g.URL + "/modules/" + prefix }

// Before sets who answers in place of the server where it returns true; nil: nobody.
func (g *Gate) Before(f func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = f
}

// Asked are the requests since the last call.
func (g *Gate) Asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = nil
	return asked
}

// Cut closes the connection after having read some of the body.
func Cut(r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1000)
	panic(http.ErrAbortHandler)
}
