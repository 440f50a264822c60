//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

// effects are what scripts did: each writes a line into a pipe, which is stamped here.
type effects struct {
	pipe *os.File
	read sync.WaitGroup

	mu   sync.Mutex
	at   map[effect]time.Time
	seen map[string]int // by playbook
	more chan struct{}  // closed with the next line
}

// effect is a step of a playbook on an asset.
type effect struct {
	playbook string
	step     int64
	asset    string
}

// newEffects makes the pipe, and the script that writes into it.
func newEffects(dir string) (*effects, string, error) {
	scripts := filepath.Join(dir, "scripts")
	if err := os.MkdirAll(scripts, 0o755); err != nil { //nolint:gosec // programs of others look there
		return nil, "", err
	}
	name := filepath.Join(dir, "effects")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		return nil, "", err
	}
	script := filepath.Join(scripts, "effect.sh")
	text := fmt.Sprintf("#!/bin/sh\necho \"$1 ${KEEPWELL_KEY:-0/0/1} $KEEPWELL_ASSET\" >>'%s'\n", name)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil { //nolint:gosec // it is a script
		return nil, "", err
	}
	// Also for writing: else it would end whenever no script has it open.
	pipe, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", err
	}
	e := &effects{pipe: pipe, at: map[effect]time.Time{}, seen: map[string]int{}, more: make(chan struct{})}
	e.read.Go(e.follow)
	return e, script, nil
}

func (e *effects) close() {
	e.pipe.Close()
	e.read.Wait()
}

func (e *effects) follow() {
	for scan := bufio.NewScanner(e.pipe); scan.Scan(); {
		now := time.Now()
		words := strings.SplitN(scan.Text(), " ", 3)
		if len(words) != 3 {
			continue
		}
		key := strings.Split(words[1], "/") // …/run/step/attempt
		step, err := strconv.ParseInt(key[max(0, len(key)-2)], 10, 64)
		if err != nil {
			continue
		}
		e.mu.Lock()
		k := effect{words[0], step, strings.TrimPrefix(words[2], "instance/")}
		if _, again := e.at[k]; !again {
			e.at[k] = now
		}
		e.seen[words[0]]++
		close(e.more)
		e.more = make(chan struct{})
		e.mu.Unlock()
	}
}

// patience bounds every wait of the measurement.
const patience = time.Minute

// until waits until ok holds, which is asked after each effect.
func (e *effects) until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		e.mu.Lock()
		done, more := ok(), e.more
		e.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%s did not come within %v", what, patience)
		}
	}
}

// first waits for the first step of a playbook on an asset.
func (e *effects) first(ctx context.Context, playbook, asset string) (at time.Time, err error) {
	err = e.until(ctx, "the effect on "+asset, func() bool {
		at = e.at[effect{playbook, 0, asset}]
		return !at.IsZero()
	})
	return at, err
}

// count waits for so many effects of a playbook.
func (e *effects) count(ctx context.Context, playbook string, n int) error {
	return e.until(ctx, fmt.Sprintf("%d effects", n), func() bool { return e.seen[playbook] >= n })
}

// server is a running keepwell serve.
type server struct {
	*effects
	where  state.Options
	cmd    *exec.Cmd
	url    string
	client *http.Client
	ended  chan struct{}
}

// begin makes the configuration of a part and starts the server.
func (b *bench) begin(ctx context.Context, name string, playbooks map[string]string) (*server, error) {
	where, err := b.place(ctx, name)
	if err != nil {
		return nil, err
	}
	e, _, err := newEffects(where.Dir)
	if err != nil {
		return nil, err
	}
	s := &server{effects: e, where: where, client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	books := filepath.Join(where.Dir, "playbooks")
	if err := os.MkdirAll(books, 0o700); err != nil {
		return nil, err
	}
	for name, text := range playbooks {
		if err := os.WriteFile(filepath.Join(books, name+".yaml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	port, err := sparePort(ctx)
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	config := fmt.Sprintf("listen: 127.0.0.1:%d\ndata: .\nplaybooks: {dir: playbooks, hold: 0s}\nscripts: {dirs: [scripts]}\nmax_runs: 0\n", port)
	if where.Database != "" {
		config += "database: " + where.Database + "\n"
	}
	if err := os.WriteFile(filepath.Join(where.Dir, "serve.yaml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	_, err = s.start(ctx, b.program)
	return s, err
}

func sparePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // another listens next
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start starts the server and returns how long it took until it was ready.
func (s *server) start(ctx context.Context, program string) (time.Duration, error) {
	begun := time.Now()
	s.cmd = exec.CommandContext(ctx, program, "serve", "--config", filepath.Join(s.where.Dir, "serve.yaml"))
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.where.Dir, "LC_ALL=C"}
	for _, name := range []string{"GODEBUG", "GOGC", "GOMEMLIMIT"} {
		if v := os.Getenv(name); v != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+v)
		}
	}
	log, err := os.OpenFile(filepath.Join(s.where.Dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	// It ends with this program, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	s.ended = make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	for time.Since(begun) < patience {
		if r, err := s.get(ctx, "/readyz"); err == nil && r == "ready\n" {
			return time.Since(begun), nil
		}
		select {
		case <-s.ended:
			return 0, errors.New("it ended")
		case <-time.After(2 * time.Millisecond):
		}
	}
	return 0, errors.New("it was not ready")
}

func (s *server) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		return "", err
	}
	r, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close() //nolint:errcheck // read already
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, r.Status)
	}
	return string(body), err
}

// post sends alerts, which must be taken.
func (s *server) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/hooks/alertmanager", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close() //nolint:errcheck // read already
	said, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s: %s", r.Status, said)
	}
	return err
}

// kill ends the server as a power cut would.
func (s *server) kill() error {
	err := s.cmd.Process.Kill()
	<-s.ended
	s.client.CloseIdleConnections()
	return err
}

// stop ends the server, and leaves its pipe.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.ended
	s.client.CloseIdleConnections()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("it ended with %d", code)
	}
	return nil
}

// end kills a server that a failed part left.
func (s *server) end() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
	}
	s.close()
}

// most is the most memory that the server had.
func (s *server) most() (megabytes float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		return 0, errors.New("no VmHWM")
	}
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	return kb / 1024, err
}

// cpu is the CPU time of the server, and that of the scripts with the processes that keep
// them: children of the server that live for long.
func (s *server) cpu() (own, scripts time.Duration) {
	server := s.cmd.Process.Pid
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended; its time is its parent's now
		}
		const parent, used, ofChildren = 1, 11, 13 // proc_pid_stat(5), after the name
		words := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(words) < ofChildren+2 {
			continue
		}
		switch strconv.Itoa(server) {
		case filepath.Base(filepath.Dir(file)):
			own, scripts = ticks(words[used:used+2]), scripts+ticks(words[ofChildren:ofChildren+2])
		case words[parent]:
			scripts += ticks(words[used : ofChildren+2])
		}
	}
	return own, scripts
}

// ticks adds up times as /proc gives them.
func ticks(words []string) (d time.Duration) {
	const hertz = 100 // of /proc on Linux, wherever Go runs
	for _, w := range words {
		if n, err := strconv.Atoi(w); err == nil {
			d += time.Duration(n) * time.Second / hertz
		}
	}
	return d
}

// idle waits until no run is unfinished and all alerts are triaged.
func (s *server) idle(ctx context.Context) error {
	for begun := time.Now(); time.Since(begun) < patience; {
		text, err := s.get(ctx, "/metrics")
		if err != nil {
			return err
		}
		busy := regexp.MustCompile(`keepwell_jobs\{kind="(triage|step)"`).MatchString(text)
		if !busy && strings.Contains(text, "\nkeepwell_runs_unfinished 0\n") {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("it was not idle in time")
}
