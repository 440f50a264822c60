//go:build linux

package autopilot_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keepwell/keepwell/internal/cli"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestMain makes this test's program stand in PATH as keepwell.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"keepwell": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// needs skips the test where one of Debian's programs is missing, and fails it in CI.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	packages := map[string]string{"redis-cli": "redis-tools", "promtool": "prometheus"}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		pack := packages[name]
		if pack == "" {
			pack = name
		}
		said := fmt.Sprintf("%s is not installed (on Debian: apt-get install --no-install-recommends %s)", name, pack)
		if os.Getenv("CI") != "" {
			t.Fatal(said)
		}
		t.Skip(said)
	}
}

// lab is the machine of the demonstration: the real programs with the example's own
// configuration, and this test in place of Slack and of the ticket system.
type lab struct {
	t     *testing.T
	dir   string
	ports map[string]string
	redis *redis.Client
	late  bool // Alertmanager tells only after 5 minutes that an alert is over

	mu    sync.Mutex
	posts []post
}

// post is what arrived at Slack or at the ticket system.
type post struct {
	path string
	at   time.Time
	body map[string]any
}

// edit changes a file of the example: what stands there must be there.
type edit struct{ file, from, to string }

func newLab(t *testing.T, edits ...edit) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), ports: sparePorts(t, "redis", "exporter", "prometheus", "alertmanager", "keepwell")}
	caught := httptest.NewServer(l)
	t.Cleanup(caught.Close)
	_, l.ports["catcher"], _ = strings.Cut(strings.TrimPrefix(caught.URL, "http://"), ":")
	for _, file := range []string{"prometheus.yml", "alertmanager.yml", "serve.yaml", "rules.yml", "keepwell-alerts.yml"} {
		l.configure(file, edits)
	}
	for _, folder := range []string{"playbooks", "scripts"} {
		if err := os.CopyFS(filepath.Join(l.dir, folder), os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
	}
	l.redis = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + l.ports["redis"]})
	t.Cleanup(func() { l.redis.Close() })
	return l
}

// sparePorts are below those that the kernel gives to others while this test runs.
func sparePorts(t *testing.T, names ...string) map[string]string {
	t.Helper()
	ports := map[string]string{}
	for _, name := range names {
		for ports[name] == "" {
			port := fmt.Sprint(11_000 + rand.IntN(20_000))
			held, err := net.Listen("tcp", "127.0.0.1:"+port)
			if err != nil {
				continue
			}
			defer held.Close() // all at once: no port twice
			ports[name] = port
		}
	}
	return ports
}

func (l *lab) configure(file string, edits []edit) {
	l.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	text := string(data)
	for name, port := range l.ports {
		text = strings.ReplaceAll(text, "${"+name+"}", port)
	}
	for _, e := range edits {
		if e.file != file {
			continue
		}
		if !strings.Contains(text, e.from) {
			l.t.Fatalf("%s does not say %q", file, e.from)
		}
		text = strings.ReplaceAll(text, e.from, e.to)
	}
	if err := os.WriteFile(filepath.Join(l.dir, file), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// ServeHTTP takes what keepwell sends to Slack and to the ticket system.
func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet { // is there such a ticket?
		_, _ = io.WriteString(w, "[]")
		return
	}
	p := post{path: r.URL.Path, at: time.Now()}
	if err := json.NewDecoder(r.Body).Decode(&p.body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	l.posts = append(l.posts, p)
	l.mu.Unlock()
	_, _ = io.WriteString(w, `{"id": 1, "url": "http://127.0.0.1/tickets/1"}`)
}

// posted are the posts to a path until now.
func (l *lab) posted(path string) (found []post) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.posts {
		if p.path == path {
			found = append(found, p)
		}
	}
	return found
}

// program is one that the lab started.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a program in the lab's directory, which gets its log. It is killed with
// this test, however that ends.
func (l *lab) start(name string, args ...string) *program {
	l.t.Helper()
	log, err := os.Create(filepath.Join(l.dir, name+".log"))
	if err != nil {
		l.t.Fatal(err)
	}
	p := &program{exec.Command(name, args...), make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = l.dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel kills the child when the thread that made it ends
		defer close(p.ended)
		defer log.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.ended })
	return p
}

// server starts keepwell serve alone and waits until it can take alerts.
func (l *lab) server(args ...string) *program {
	l.t.Helper()
	p := l.start("keepwell", append([]string{"serve", "--config", "serve.yaml"}, args...)...)
	l.until("keepwell is ready", func() bool { return l.get("keepwell", "/readyz") == "ready\n" })
	return p
}

// startAll starts all, and waits until Prometheus knows Redis' memory: what it has not seen cannot
// be above anything.
func (l *lab) startAll(serve ...string) *program {
	l.t.Helper()
	needs(l.t, "redis-server", "redis-cli", "prometheus", "prometheus-alertmanager", "prometheus-redis-exporter")
	l.start("redis-server", "--port", l.ports["redis"], "--bind", "127.0.0.1", "--maxmemory", "64mb", "--maxmemory-policy", "noeviction", "--save", "", "--dir", l.dir)
	l.start("prometheus-redis-exporter", "-redis.addr", "redis://127.0.0.1:"+l.ports["redis"], "-web.listen-address", "127.0.0.1:"+l.ports["exporter"])
	l.start("prometheus", "--config.file", "prometheus.yml", "--storage.tsdb.path", "tsdb", "--web.listen-address", "127.0.0.1:"+l.ports["prometheus"])
	l.start("prometheus-alertmanager", "--config.file", "alertmanager.yml", "--storage.path", "am", "--web.listen-address", "127.0.0.1:"+l.ports["alertmanager"], "--cluster.listen-address", "")
	p := l.server(serve...)
	l.until("Redis, Prometheus and Alertmanager are ready", func() bool {
		return l.redis.Ping(l.t.Context()).Err() == nil && l.get("alertmanager", "/-/ready") != "" &&
			strings.Contains(l.get("prometheus", "/api/v1/query?query=redis_memory_max_bytes"), `"value"`) &&
			strings.Contains(l.get("prometheus", "/api/v1/query?query=up%7Bjob%3D%22keepwell%22%7D"), `"1"`)
	})
	return p
}

// get asks one of the programs; "" where it does not answer 200.
func (l *lab) get(name, path string) string {
	resp, err := http.Get("http://127.0.0.1:" + l.ports[name] + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// until waits; what does not come is told with what the programs said last.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	statetest.Until(l.t, what, ok, func() any {
		var w strings.Builder
		logs, err := filepath.Glob(filepath.Join(l.dir, "*.log"))
		for _, name := range logs {
			data, _ := os.ReadFile(name) // a log that cannot be read tells nothing
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			fmt.Fprintf(&w, "\n== %s\n%s", filepath.Base(name), strings.Join(lines[max(0, len(lines)-8):], "\n"))
		}
		if err != nil {
			return err
		}
		return w.String()
	})
}
