//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a process that serves, with its children.
type server struct {
	cmd  *exec.Cmd
	addr string
}

// start runs a server that tells its address in its first line on standard error.
func start(ctx context.Context, env []string, log io.Writer, name string, args ...string) (*server, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout = log
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(errs)
	line := ""
	for !strings.Contains(line, "GOPROXY=http://") {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, fmt.Errorf("starting %s: %w", name, err)
		}
		if !strings.Contains(line, "GOPROXY=") {
			fmt.Print(line)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // until it ends
	_, addr, _ := strings.Cut(line, "GOPROXY=http://")
	addr, _, _ = strings.Cut(strings.TrimSpace(addr), ")")
	addr, _, _ = strings.Cut(addr, "）")
	return &server{cmd, addr}, nil
}

// startKeepwell runs the shipped service: access log into a file, metrics, last use.
func (b *bench) startKeepwell(ctx context.Context, env []string, store string, args ...string) (*server, error) {
	log, err := os.Create(store + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	return start(ctx, env, log, b.keepwell, append([]string{"proxy", "--lang", "en", "--listen", "127.0.0.1:0", "--dir", store}, args...)...)
}

const nginxConf = `
daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx-error.log;
%[3]s
events { worker_connections 256; }
http {
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  access_log %[1]s/nginx-access.log combined buffer=64k flush=1s;
  client_body_temp_path %[1]s/nginx-body;
  proxy_temp_path %[1]s/nginx-proxy;
  fastcgi_temp_path %[1]s/nginx-fastcgi;
  uwsgi_temp_path %[1]s/nginx-uwsgi;
  scgi_temp_path %[1]s/nginx-scgi;
  server { listen %[2]s; root %[1]s/www; }
}
`

// startNginx serves dir/www as Debian's settings would (sendfile, tcp_nopush), with two
// workers and a buffered access log.
func startNginx(ctx context.Context, dir string) (*server, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, addr, user), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nginx", "-c", conf, "-e", filepath.Join(dir, "nginx-error.log"))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd, addr}
	for range 200 {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return s, c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("nginx does not answer at %s", addr)
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// processes are that of the server and its children.
func (s *server) processes() []int {
	pid := s.cmd.Process.Pid
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		data, _ := os.ReadFile(t)
		for f := range strings.FieldsSeq(string(data)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

func (s *server) cpu() time.Duration {
	var total time.Duration
	for _, pid := range s.processes() {
		total += cpuOf(pid)
	}
	return total
}

// cpuOf is the time that the process's threads have run.
func cpuOf(pid int) time.Duration {
	var total time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		data, err := os.ReadFile(t)
		if f := strings.Fields(string(data)); err == nil && len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			total += time.Duration(n)
		}
	}
	return total
}

// peak is the most memory that the processes had, in MiB.
func (s *server) peak() float64 {
	total := 0.0
	for _, pid := range s.processes() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
				total += kb / 1024
			}
		}
	}
	return total
}

// bare serves the files below dir without more ado, until it is killed: the small ones
// from memory.
func bare(dir string) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "GOPROXY=http://"+ln.Addr().String())
	small := map[string][]byte{}
	for _, ext := range []string{".info", ".mod"} {
		small[at+ext], _ = os.ReadFile(filepath.Join(dir, filepath.FromSlash(at)+ext))
	}
	zip := filepath.Join(dir, filepath.FromSlash(at)+".zip")
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
