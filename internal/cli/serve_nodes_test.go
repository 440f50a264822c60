//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/state/statetest"
)

// node is one real `keepwell serve` of several on one database.
type node struct {
	t      *testing.T
	cmd    *exec.Cmd
	base   string
	person *http.Client // logged in
	token  string
	ended  chan struct{} // what it says was read to its end
}

// cluster is a database and a configuration that nodes share.
type cluster struct {
	t        *testing.T
	dir      string
	database string
	token    string
	password string
}

const nodesConfig = `
listen: 127.0.0.1:0
playbooks: {dir: books, hold: 0s}
scripts: {dirs: [scripts]}
workers: 20
`

// Between the first and the last step the script waits for the file go.
const nodesBook = `
trigger: redis_memory_high
mode: active
actions:
  - run_script: {script: note.sh, args: [first, "{{ .asset }}"]}
  - run_script: {script: hold.sh, args: ["{{ .asset }}"]}
    idempotent: true
    timeout: 5m
  - run_script: {script: note.sh, args: [last, "{{ .asset }}"]}
`

// It notes the node, which is the parent of its parent, and starts what leaves its session.
const nodesHold = `#!/bin/sh
dir="${0%/*}/.."
node=$(cut -d' ' -f4 /proc/$PPID/stat)
left="$dir/left.$node.$KEEPWELL_RUN"
setsid sh -c 'echo $$ >"$0"; exec sleep 600 >/dev/null 2>&1' "$left" &
until [ -s "$left" ]; do sleep 0.05; done
echo "held $1 $node" >>"$dir/noted"
read -r x <"$dir/go"
`

const nodesAsk = `
trigger: queue_backlog
mode: active
actions:
  - run_script: {script: note.sh, args: [asked, "{{ .asset }}"]}
    approval: {by: operator, within: 30m, on_expiry: human}
`

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), database: statetest.PostgreSQL(t)}
	for name, text := range map[string]string{
		"serve.yaml": nodesConfig, "books/hold.yaml": nodesBook, "books/ask.yaml": nodesAsk,
		"scripts/note.sh": "#!/bin/sh\necho \"$1 $2\" >>\"${0%/*}/../noted\"\n",
		"scripts/hold.sh": nodesHold,
	} {
		path := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".sh") {
			if err := os.Chmod(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := exec.Command("mkfifo", filepath.Join(c.dir, "go")).CombinedOutput(); err != nil {
		t.Skip("no mkfifo: ", string(out))
	}
	c.password = strings.TrimSpace(strings.Split(c.keepwell("serve", "--config", "serve.yaml", "--data", "a", "--new-admin", "ann"), "\n")[1])
	out := c.keepwell("serve", "token", "add", "test", "--user", "ann", "--role", "admin", "--scope", "api,hooks", "--config", "serve.yaml", "--data", "a")
	c.token = regexp.MustCompile(`kw_\S+`).FindString(out)
	return c
}

func (c *cluster) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Args = append([]string{"keepwell"}, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "LANG=C.UTF-8", "HOME="+c.dir, "KEEPWELL_DATABASE="+c.database)
	return cmd
}

func (c *cluster) keepwell(args ...string) string {
	c.t.Helper()
	cmd := c.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%q: %v %s", args, err, errs.String())
	}
	return string(out)
}

// start starts a node with a data directory of its own.
func (c *cluster) start(name string) *node {
	c.t.Helper()
	n := &node{t: c.t, cmd: c.command("serve", "--config", "serve.yaml", "--data", name), token: c.token, ended: make(chan struct{})}
	errs, err := n.cmd.StderrPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = n.cmd.Process.Kill(); <-n.ended; _ = n.cmd.Wait() })
	lines, said := bufio.NewReader(errs), regexp.MustCompile(`serves at (http://\S+) `)
	for n.base == "" {
		line, err := lines.ReadString('\n')
		if m := said.FindStringSubmatch(line); m != nil {
			n.base = m[1]
		}
		if err != nil {
			close(n.ended)
			c.t.Fatalf("node %s: %v %s", name, err, line)
		}
	}
	go func() { defer close(n.ended); _, _ = io.Copy(io.Discard, lines) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	n.person = &http.Client{Jar: jar}
	resp, err := n.person.PostForm(n.base+"/login", url.Values{"name": {"ann"}, "password": {c.password}})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path == "/login" {
		c.t.Fatalf("logging in: %d at %s, %v", resp.StatusCode, resp.Request.URL, err)
	}
	return n
}

// call asks the node's interface by its token; by the person who is logged in where it is
// a POST. into may be nil.
func (n *node) call(method, path, body string, into any) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.base+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	client := http.DefaultClient
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		client = n.person
	} else {
		req.Header.Set("Authorization", "Bearer "+n.token)
	}
	resp, err := client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && into != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(text, into)
	}
	if err != nil || resp.StatusCode >= 300 {
		n.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
}

// alerts sends alerts of one name about instances.
func (n *node) alerts(name string, instances ...string) {
	n.t.Helper()
	var all []string
	for _, i := range instances {
		all = append(all, fmt.Sprintf(`{"status":"firing","labels":{"alertname":%q,"instance":%q},"startsAt":"2026-11-23T05:00:00Z","fingerprint":%q}`, name, i, name+i))
	}
	n.call(http.MethodPost, "/hooks/alertmanager", `{"version":"4","groupKey":"g","status":"firing","receiver":"k","alerts":[`+strings.Join(all, ",")+`]}`, nil)
}

// runs counts the runs of a playbook by their states.
func (n *node) runs(book string) map[string]int {
	n.t.Helper()
	var page struct{ Items []struct{ State string } }
	n.call(http.MethodGet, "/api/v1/runs?limit=200&playbook="+book, "", &page)
	states := map[string]int{}
	for _, r := range page.Items {
		states[r.State]++
	}
	return states
}

// question is the open approval there is.
func (n *node) question() (id int64) {
	n.t.Helper()
	statetest.Until(n.t, "a question", func() bool {
		var page struct{ Items []struct{ ID int64 } }
		n.call(http.MethodGet, "/api/v1/approvals?state=asked", "", &page)
		if len(page.Items) == 1 {
			id = page.Items[0].ID
		}
		return id != 0
	}, nil)
	return id
}

// signers holds the journal to what all nodes signed and returns how many of them did.
func (n *node) signers() (signed int) {
	n.t.Helper()
	var proof struct {
		Fine     bool
		Entries  int64
		Problems []any
		Keys     []struct{ Checkpoints int }
	}
	n.call(http.MethodGet, "/api/v1/journal/verify", "", &proof)
	if !proof.Fine || proof.Entries == 0 {
		n.t.Errorf("the journal: %+v", proof)
	}
	for _, k := range proof.Keys {
		if k.Checkpoints > 0 {
			signed++
		}
	}
	return signed
}

// noted counts the effects that scripts had, and the nodes that held one.
func (c *cluster) noted() (effects map[string]int, holders map[string]int) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "noted"))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	effects, holders = map[string]int{}, map[string]int{}
	for l := range strings.Lines(string(text)) {
		words := strings.Fields(l)
		effects[words[0]+" "+words[1]]++
		if words[0] == "held" {
			holders[words[2]]++
		}
	}
	return effects, holders
}

// TestTwoNodes: two real servers on one PostgreSQL take alerts and share the work; what one
// writes the other's followers see; one is killed in the middle of its runs and the other
// finishes them, none twice; what was asked on one is granted on the other; and each
// proves the journal by what both signed.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start("a"), c.start("b")
	events := follow(t, a)

	// Alerts come to both. Each has 20 workers: of 30 held runs neither can have all.
	const each = 15
	var toA, toB []string
	for i := range each {
		toA, toB = append(toA, fmt.Sprint("a-", i)), append(toB, fmt.Sprint("b-", i))
	}
	a.alerts("RedisMemoryHigh", toA...)
	b.alerts("RedisMemoryHigh", toB...)
	events.until("incident.opened", "instance/b-7")
	statetest.Until(t, "all are held", func() bool { _, held := c.noted(); return len(held) == 2 && sum(held) == 2*each }, func() any { e, h := c.noted(); return []any{e, h} })

	// What is asked for an alert of one is granted at the other.
	a.alerts("QueueBacklog", "one")
	b.call(http.MethodPost, fmt.Sprintf("/api/v1/approvals/%d/approve", b.question()), `{"note":"fine"}`, nil)
	statetest.Until(t, "it is done", func() bool { return a.runs("ask")["done"] == 1 }, nil)
	a.alerts("QueueBacklog", "two")
	left := a.question()
	if a.signers() == 0 || b.signers() == 0 {
		t.Error("nothing is signed yet")
	}

	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, before := c.noted()
	orphaned := before[fmt.Sprint(a.cmd.Process.Pid)]
	t.Logf("killed with %d of %d runs in the middle", orphaned, 2*each)
	c.nothingLives(a.cmd.Process.Pid, orphaned)
	b.call(http.MethodPost, fmt.Sprintf("/api/v1/approvals/%d/approve", left), `{"note":"fine"}`, nil)
	// Those of the dead are begun again by the other, within its 20 workers, as room comes.
	release(t, filepath.Join(c.dir, "go"))
	statetest.Until(t, "the other finishes", func() bool { return b.runs("hold")["done"] == 2*each && b.runs("ask")["done"] == 2 }, func() any {
		e, h := c.noted()
		return []any{b.runs("hold"), b.runs("ask"), e, h}
	})
	if all := b.runs("hold"); len(all) != 1 {
		t.Errorf("runs %v", all)
	}
	effects, holders := c.noted()
	again := 0
	for _, i := range append(toA, toB...) {
		for _, step := range []string{"first", "last"} {
			if n := effects[step+" instance/"+i]; n != 1 {
				t.Errorf("%s on %s: %d times", step, i, n)
			}
		}
		again += effects["held instance/"+i] - 1
	}
	if again != orphaned || orphaned == 0 {
		t.Errorf("%d steps were made again, %d were interrupted (%v)", again, orphaned, holders)
	}
	if effects["asked instance/one"] != 1 || effects["asked instance/two"] != 1 {
		t.Errorf("what was granted: %v", effects)
	}

	c.nothingLives(b.cmd.Process.Pid, 2*each)

	// It signs when it ends. The other comes back, and proves both.
	if err := b.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-b.ended
	a = c.start("a")
	if n := a.signers(); n != 2 {
		t.Errorf("signed by %d, want both", n)
	}
	out := c.keepwell("serve", "journal", "verify", "--config", "serve.yaml", "--data", "a")
	if !strings.Contains(out, "the journal holds") || !strings.Contains(out, "pinned") || !strings.Contains(out, "first use") {
		t.Error(out)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// nothingLives waits until nothing runs that scripts of a node left behind.
func (c *cluster) nothingLives(node, scripts int) {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, fmt.Sprintf("left.%d.*", node)))
	if err != nil || len(files) != scripts {
		c.t.Fatalf("%d scripts left something, want %d: %v", len(files), scripts, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			c.t.Fatal(err)
		}
		statetest.Until(c.t, "what scripts left is gone", func() bool {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err != nil || !strings.HasPrefix(string(line), "sleep\x00600")
		}, nil)
	}
}

// release keeps a named pipe open and full, so that whoever waits for a line of it goes on.
func release(t *testing.T, path string) {
	t.Helper()
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // for both: it does not wait for the other end
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	const enough = 200
	if _, err := pipe.WriteString(strings.Repeat("\n", enough)); err != nil {
		t.Fatal(err)
	}
}

// following reads the events of a node.
type following struct {
	t     *testing.T
	lines *bufio.Scanner
}

func follow(t *testing.T, n *node) *following {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.base+"/api/v1/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	f := &following{t, bufio.NewScanner(resp.Body)}
	f.lines.Buffer(nil, 1<<20)
	return f
}

// until reads up to an entry of a kind that holds some words.
func (f *following) until(kind, words string) {
	f.t.Helper()
	for f.lines.Scan() {
		if l := f.lines.Text(); strings.HasPrefix(l, "data: ") && strings.Contains(l, `"kind":"`+kind+`"`) && strings.Contains(l, words) {
			return
		}
	}
	f.t.Fatalf("no %s with %s: %v", kind, words, f.lines.Err())
}
