//go:build linux

// Command cost measures what a cached request costs: the CPU time of `keepwell proxy`,
// as shipped (access log, metrics, last use), beside a bare net/http handler of the same
// bytes, interleaved, medians of five rounds. The bare handler is this program again.
//
//	go run ./internal/modproxy/cost KEEPWELL
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const at = "/example.com/widget/@v/v1.0.0"

func main() {
	if len(os.Args) == 3 && os.Args[1] == "bare" {
		bare(os.Args[2])
		return
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cost KEEPWELL")
		os.Exit(2)
	}
	if err := measure(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bare serves the files of a directory without more ado, until it is killed.
func bare(dir string) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "GOPROXY=http://"+ln.Addr().String()+")")
	small := map[string][]byte{}
	for _, ext := range []string{".info", ".mod"} {
		small[at+ext], _ = os.ReadFile(filepath.Join(dir, "v1.0.0"+ext))
	}
	zip := filepath.Join(dir, "v1.0.0.zip")
	_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := small[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		f, err := os.Open(zip)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	}))
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

// files are an .info of about 78 bytes, a .mod of 1.8 KB and a zip of about 244 KB.
func files(dir string) error {
	gomod := "module example.com/widget\n\ngo 1.20\n" + strings.Repeat("// a line of the module's go.mod file\n", 46)
	var noise strings.Builder
	noise.WriteString("package widget\n")
	for i := uint64(1); noise.Len() < 530000; i++ {
		fmt.Fprintf(&noise, "// %x\n", i*0x9e3779b97f4a7c15)
	}
	var b bytes.Buffer
	err := modzip.Create(&b, module.Version{Path: "example.com/widget", Version: "v1.0.0"}, []modzip.File{file{"go.mod", gomod}, file{"w.go", noise.String()}})
	for ext, data := range map[string][]byte{".info": []byte(`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z","Origin":{"VCS":"git"}}`), ".mod": []byte(gomod), ".zip": b.Bytes()} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "v1.0.0"+ext), data, 0o600)
		}
	}
	fmt.Printf("zip of %d bytes\n", b.Len())
	return err
}

// server is a process that serves.
type server struct {
	cmd  *exec.Cmd
	addr string
}

func start(log io.Writer, name string, args ...string) (*server, error) {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "GOSUMDB=off")
	cmd.Stdout = log
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(errs).ReadString('\n')
	_, addr, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ")"), "GOPROXY=http://")
	return &server{cmd, addr}, err
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// cpu is the time that the process's threads have run.
func (s *server) cpu() time.Duration {
	var total time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	for _, t := range tasks {
		data, err := os.ReadFile(t)
		if f := strings.Fields(string(data)); err == nil && len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			total += time.Duration(n)
		}
	}
	return total
}

func (s *server) memory() string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

// load makes n requests over 16 connections and returns the CPU time of each.
func (s *server) load(path string, n int) (time.Duration, error) {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	before := s.cpu()
	for range 16 {
		all.Go(func() {
			if err := s.ask(path, &left); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return (s.cpu() - before) / time.Duration(n), nil
}

func (s *server) ask(path string, left *atomic.Int64) error {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what was read counts
	r := bufio.NewReaderSize(conn, 64<<10)
	for left.Add(-1) >= 0 {
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+s.addr+"\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"); err != nil {
			return err
		}
		size, err := header(r, path)
		if err != nil {
			return err
		}
		if _, err := r.Discard(size); err != nil {
			return fmt.Errorf("a body of %d bytes: %w", size, err)
		}
	}
	return nil
}

func header(r *bufio.Reader, path string) (size int, err error) {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			return 0, fmt.Errorf("%s: %s", path, line)
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			size, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
		if len(line) <= 2 {
			return size, nil
		}
	}
}

func measure(keepwell string) error {
	dir, err := os.MkdirTemp("", "cost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if err := files(dir); err != nil {
		return err
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(dir, filepath.Base(r.URL.Path)))
	}))
	defer up.Close()
	log, err := os.Create(filepath.Join(dir, "access.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	kw, err := start(log, keepwell, "proxy", "--listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "store"), "--upstream", up.URL)
	if err != nil {
		return err
	}
	defer kw.stop()
	plain, err := start(nil, os.Args[0], "bare", dir)
	if err != nil {
		return err
	}
	defer func() { _ = plain.cmd.Process.Kill(); _ = plain.cmd.Wait() }()
	fmt.Println("CPU per cached request in microseconds, median of 5 interleaved rounds")
	for _, x := range []struct {
		ext string
		n   int
	}{{".info", 20000}, {".mod", 20000}, {".zip", 4000}} {
		var ours, bares []time.Duration
		for range 5 {
			a, err := kw.load(at+x.ext, x.n)
			if err != nil {
				return err
			}
			b, err := plain.load(at+x.ext, x.n)
			if err != nil {
				return err
			}
			ours, bares = append(ours, a), append(bares, b)
		}
		slices.Sort(ours)
		slices.Sort(bares)
		fmt.Printf("%-6s keepwell %6.1f  bare %6.1f  ratio %.2f\n", x.ext, float64(ours[2])/1e3, float64(bares[2])/1e3, float64(ours[2])/float64(bares[2]))
	}
	fmt.Println("memory at most:", kw.memory(), "bare:", plain.memory())
	return nil
}
