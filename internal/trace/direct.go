package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

// largestOutput bounds what go and git may print.
const largestOutput = 4 << 20

// direct fetches from repositories with the real go, in a module cache of its own that
// goes away with the trace. What is wrong with a repository, its credentials or its
// tool, only go and the tool know.
type direct struct {
	r       *runner
	results map[string]directResult
	looked  bool
	// listing asks go list in place of go mod download: no zip is needed.
	listing  bool
	commands []Command
	// failed is what go said, at hop; code is set where the host kept silent.
	failed string
	code   keepwell.Code
	hop    int
}

type directResult struct {
	status          int
	info, mod, list []byte
	zip             string
}

// downloaded is a document of go mod download -json.
type downloaded struct {
	Version, Query, Error, Info, GoMod, Zip string
}

// answer does what go does with a repository for one file.
func (d *direct) answer(ctx context.Context, q route.Request) route.Answer {
	if !d.looked {
		d.looked = true
		if d.code = d.look(ctx, q); d.code != "" {
			d.hop = q.Hop
			d.failed = d.r.Query.Module + ": " + errSilent.Error()
		}
	}
	if d.code != "" {
		d.hop = q.Hop
		return route.Answer{}
	}
	var res directResult
	switch q.Want {
	case "":
		return route.Answer{Status: 200} // go tries the tool when it needs it
	case route.List:
		res = d.list(ctx, q)
	case route.Latest:
		res = d.download(ctx, q, "latest")
	default:
		res = d.download(ctx, q, q.Version)
	}
	a := route.Answer{Status: res.status}
	if res.status != 200 {
		d.hop = q.Hop // direct behind noproxy fails of the same
		return a
	}
	switch q.Want {
	case route.List:
		a.Body = res.list
	case route.Mod:
		a.Body = res.mod
	case route.Zip:
		f, err := os.Open(res.zip)
		if err != nil {
			return route.Answer{}
		}
		info, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return route.Answer{}
		}
		d.r.takeZip(f, info.Size())
		a.File, a.Size = f, info.Size()
	default:
		a.Body = res.info
	}
	d.r.keep(q, a)
	return a
}

// look asks the repository's host as git does first, without a login, so that a host
// that keeps silent is found out: git itself would wait for minutes.
func (d *direct) look(ctx context.Context, q route.Request) keepwell.Code {
	at, longest := q.URL, ""
	for from := range d.r.Config.InsteadOf {
		if strings.HasPrefix(at, from) && len(from) > len(longest) {
			longest = from
		}
	}
	if longest != "" {
		at = d.r.Config.InsteadOf[longest] + strings.TrimPrefix(at, longest)
	}
	u, err := url.Parse(strings.TrimSuffix(at, "/") + "/info/refs?service=git-upload-pack")
	if err != nil || u.Scheme != "https" {
		return ""
	}
	u.User = nil
	q.Login = nil
	rec, _ := d.r.get(ctx, q, u)
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.r.seen = append(d.r.seen, rec)
	return rec.Code
}

// download brings one version into the cache of the trace.
func (d *direct) download(ctx context.Context, q route.Request, version string) directResult {
	if res, ok := d.results[version]; ok {
		return res
	}
	if d.listing {
		return d.stat(ctx, q, version)
	}
	out, errs := d.run(ctx, "mod", "download", "-x", "-json", d.r.Query.Module+"@"+version)
	var doc downloaded
	res := directResult{status: 500}
	if json.Unmarshal(out, &doc) == nil && doc.Error == "" && doc.Zip != "" {
		res.info, _ = plainfile.Read(doc.Info)
		res.mod, _ = plainfile.Read(doc.GoMod)
		res.zip, res.status = doc.Zip, 200
		d.results[doc.Version] = res
	} else {
		said := doc.Error
		if said == "" {
			said = errs
		}
		d.fail(said, q)
		if strings.Contains(said, "unknown revision") {
			res.status = 404
		}
	}
	d.results[version] = res
	return res
}

// fail keeps what go said. That a transfer is too slow is the verdict of git under the
// limit that it was given here.
func (d *direct) fail(said string, q route.Request) {
	d.failed, d.hop = strings.TrimPrefix(d.r.hide(d.short(said)), "go: "), q.Hop
	if strings.Contains(said, "Operation too slow") {
		d.code = "net/slow"
	}
}

// stat resolves one version without its zip.
func (d *direct) stat(ctx context.Context, q route.Request, version string) directResult {
	out, errs := d.run(ctx, "list", "-x", "-m", "-json", d.r.Query.Module+"@"+version)
	var doc struct {
		Version, GoMod string
		Time           time.Time
	}
	res := directResult{status: 500}
	if json.Unmarshal(out, &doc) == nil && doc.Version != "" {
		res.status = 200
		res.info = fmt.Appendf(nil, `{"Version":%q,"Time":%q}`, doc.Version, doc.Time.Format(time.RFC3339))
		res.mod, _ = plainfile.Read(doc.GoMod)
		d.results[doc.Version] = res
	} else {
		d.fail(errs, q)
	}
	d.results[version] = res
	return res
}

// dates asks for the dates of versions in one call.
func (d *direct) dates(ctx context.Context, lines []*VersionLine) {
	args := []string{"list", "-x", "-m", "-json"}
	for _, line := range lines {
		args = append(args, d.r.Query.Module+"@"+line.Version)
	}
	out, _ := d.run(ctx, args...)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var doc struct {
			Version string
			Time    time.Time
		}
		if dec.Decode(&doc) != nil {
			return
		}
		for _, line := range lines {
			if line.Version == doc.Version {
				line.Time = doc.Time
			}
		}
	}
}

func (d *direct) list(ctx context.Context, q route.Request) directResult {
	if res, ok := d.results["list"]; ok {
		return res
	}
	out, errs := d.run(ctx, "list", "-x", "-m", "-versions", "-retracted", "-json", d.r.Query.Module)
	var doc struct{ Versions []string }
	res := directResult{status: 500}
	if len(out) > 0 && json.Unmarshal(out, &doc) == nil {
		res.status, res.list = 200, []byte(strings.Join(doc.Versions, "\n"))
	} else {
		d.fail(errs, q)
	}
	d.results["list"] = res
	return res
}

// run runs go with GOPROXY=direct. What it writes to standard error is taken apart
// into commands with their times; what is left is what it has to say.
func (d *direct) run(ctx context.Context, args ...string) (out []byte, said string) {
	r := d.r
	top := Command{Text: "go " + strings.Join(without(args, "-x", "-json"), " "), At: time.Since(r.began)}
	env := append(r.quietly(), "GOPROXY=direct", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GO111MODULE=on", "GOWORK=off",
		"GOMODCACHE="+filepath.Join(r.spool, "mod"), "GOPATH="+filepath.Join(r.spool, "path"), "GOTELEMETRY=off")
	var stdout bytes.Buffer
	log := &commandLog{began: r.began, clean: func(s string) string { return r.hide(d.short(s)) }}
	code, err := proc.Attach(ctx, proc.Options{Dir: r.spool, Env: env, Group: true}, strings.NewReader(""), &limited{w: &stdout, room: largestOutput}, log, "go", args...)
	top.Took = time.Since(r.began) - top.At
	top.Failed = err != nil || code != 0
	said = log.finish(time.Since(r.began))
	if err != nil {
		said = err.Error()
	}
	d.commands = append(append(d.commands, top), log.commands...)
	return stdout.Bytes(), said
}

// quietly is an environment in which git asks nobody and waits for no silent host.
func (r *runner) quietly() []string {
	seconds := max(1, int(r.Silent.Seconds()))
	env := append([]string{}, r.Env...)
	env = append(env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "GIT_HTTP_LOW_SPEED_LIMIT=1000", fmt.Sprintf("GIT_HTTP_LOW_SPEED_TIME=%d", seconds))
	if os.Getenv("GIT_SSH") == "" && os.Getenv("GIT_SSH_COMMAND") == "" {
		env = append(env, fmt.Sprintf("GIT_SSH_COMMAND=ssh -o ControlMaster=no -o BatchMode=yes -o ConnectTimeout=%d", seconds))
	}
	return env
}

func without(args []string, drop ...string) []string {
	var list []string
next:
	for _, a := range args {
		for _, x := range drop {
			if a == x {
				continue next
			}
		}
		list = append(list, a)
	}
	return list
}

// short takes the names of the trace's own directories out.
func (d *direct) short(s string) string {
	return strings.ReplaceAll(s, d.r.spool, "$TMP")
}

// commandLog reads go's -x lines as they come. A line of go -x is
//
//	# get https://example.com/widget?go-get=1
//	# get https://example.com/widget?go-get=1: 200 OK (0.012s)
//	# cd /tmp/x; git ls-remote -q --end-of-options origin
//	0.003s # cd /tmp/x; git ls-remote -q --end-of-options origin
type commandLog struct {
	began    time.Time
	clean    func(string) string
	mu       sync.Mutex
	rest     []byte
	room     int
	commands []Command
	open     map[string]time.Duration
	order    []string
	said     []string
}

func (c *commandLog) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room += len(p); c.room > largestOutput {
		return len(p), nil
	}
	c.rest = append(c.rest, p...)
	for {
		line, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		c.rest = rest
		c.line(string(line), time.Since(c.began))
	}
}

func (c *commandLog) line(line string, now time.Duration) {
	if c.open == nil {
		c.open = map[string]time.Duration{}
	}
	if took, text, ok := strings.Cut(line, "s # "); ok {
		if seconds, err := strconv.ParseFloat(took, 64); err == nil {
			c.done(text, time.Duration(seconds*float64(time.Second)), now, "")
			return
		}
	}
	text, ok := strings.CutPrefix(line, "# ")
	if !ok || strings.HasPrefix(text, "lock ") || strings.HasPrefix(text, "/") || filepath.VolumeName(text) != "" {
		// Locks, and which directory is whose clone, are no commands.
		if !ok && !strings.HasPrefix(line, "mkdir ") {
			c.said = append(c.said, line)
		}
		return
	}
	if m := getDone().FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseFloat(m[3], 64)
		c.done(m[1], time.Duration(seconds*float64(time.Second)), now, m[2])
		return
	}
	c.open[text] = now
	c.order = append(c.order, text)
}

var getDone = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(get \S+): (.*) \((\d+\.\d+)s\)$`) })

func (c *commandLog) done(text string, took, now time.Duration, result string) {
	delete(c.open, text)
	cmd := Command{Text: c.text(text), At: max(now-took, 0), Took: took, Depth: 1}
	if result != "" {
		cmd.Text += ": " + result
	}
	c.commands = append(c.commands, cmd)
}

// text is a command without the directory that it runs in.
func (c *commandLog) text(s string) string {
	if rest, ok := strings.CutPrefix(s, "cd "); ok {
		if _, command, ok := strings.Cut(rest, "; "); ok {
			s = command
		}
	}
	return c.clean(s)
}

// finish closes what never ended and returns what go had to say.
func (c *commandLog) finish(now time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) > 0 {
		c.line(string(c.rest), now)
	}
	for _, text := range c.order {
		if at, ok := c.open[text]; ok {
			c.commands = append(c.commands, Command{Text: c.text(text), At: at, Took: now - at, Depth: 1, Failed: true})
			delete(c.open, text)
		}
	}
	return strings.Join(c.said, "\n")
}
