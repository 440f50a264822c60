//go:build unix

package route_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
)

// The cases of one run: the seeds are fixed, so a failure can be looked at again with
// -run TestRealGo/proxies/c17x.
const (
	proxyCases = 340
	sumCases   = 60
)

// TestRealGo holds Simulate to the go command: for generated settings and servers
// that fail in generated ways, the requests (server, path, order), the outcome and the
// error that go reports must be those that were foretold.
func TestRealGo(t *testing.T) {
	t.Parallel()
	lab := &lab{world: newWorld(t), root: t.TempDir()}
	lab.find(t)
	t.Run("proxies", func(t *testing.T) {
		t.Parallel()
		lab.hold(t, proxyCases, 0, generate)
	})
	t.Run("checksums", func(t *testing.T) {
		t.Parallel()
		lab.hold(t, sumCases, 10000, generateSum)
	})
}

// hold runs n cases on two workers: the go command itself is the load.
func (l *lab) hold(t *testing.T, n, first int, generate func(*rand.Rand, *lab, int) *story) {
	t.Helper()
	var wg sync.WaitGroup
	limit := newLimit(2)
	for i := range n {
		c := generate(rand.New(rand.NewPCG(3, uint64(first+i))), l, first+i)
		l.world.add(c)
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			t.Run(c.id, func(t *testing.T) { l.compare(t, c) })
		})
	}
	wg.Wait()
}

func newLimit(n int) chan struct{} { return make(chan struct{}, n) }

func (l *lab) compare(t *testing.T, c *story) {
	dir := filepath.Join(l.root, c.id)
	output, ok := l.run(t, c, dir)
	asked := c.asked()
	sim := route.Simulate(c.config(), c.command, c.query(), c.answer)
	plan := route.Plan(c.config(), c.query())
	var told []string
	for _, a := range sim.Asked {
		planned(t, c, plan, a)
		if a.Kind != route.VCS && !strings.HasPrefix(a.URL, "file:") {
			told = append(told, a.URL)
		}
	}
	if diff := cmp.Diff(sorted(told), sorted(asked)); diff != "" {
		t.Errorf("%s\nrequests (-simulated +real):\n%s\ngo said: %s", c, diff, output)
	}
	if sim.Outcome.OK != ok || !ok && !strings.Contains(mask.Text(output), sim.Outcome.Says) {
		t.Errorf("%s\nsimulated outcome: %+v\ngo said (ok %v): %s", c, sim.Outcome, ok, output)
	}
}

// planned holds what is asked to what was planned: by a hop that is not passed over, at
// the URL that the plan names, unless a redirect or a page led elsewhere.
func planned(t *testing.T, c *story, plan route.Route, a route.Asked) {
	t.Helper()
	if a.Hop < 0 {
		return
	}
	hop := plan.Hops[a.Hop]
	if a.Kind == route.Supported {
		if !slices.ContainsFunc(plan.Checksum.Via, func(v route.SumVia) bool { return v.URL == a.URL }) {
			t.Errorf("%s\n%s is in no plan: %+v", c, a.URL, plan.Checksum.Via)
		}
		return
	}
	if hop.Passed != nil {
		t.Errorf("%s\n%s is asked by a hop that is passed over: %+v", c, a.URL, hop)
	}
	elsewhere := hop.Kind != route.Proxy || strings.Contains(a.URL, "/s9/") || strings.Contains(a.URL, "elsewhere.example.com")
	other := c.version == "" || c.command == route.Versions // the version is not known beforehand
	if elsewhere || other && a.Kind != route.List && a.Kind != route.Latest || !other && (a.Kind == route.List || a.Kind == route.Latest) {
		return
	}
	if c.command == route.Versions {
		q := c.query()
		q.Version = ""
		hop = route.Plan(c.config(), q).Hops[a.Hop]
	}
	if !slices.Contains(hop.Asks, route.Ask{Kind: a.Kind, URL: a.URL}) {
		t.Errorf("%s\n%s is in no plan: %+v", c, a.URL, hop.Asks)
	}
}

// sorted orders runs of tiles, which go fetches at the same time.
func sorted(urls []string) []string {
	list := slices.Clone(urls)
	for i := 0; i < len(list); i++ {
		j := i
		for j < len(list) && strings.Contains(list[j], "/tile/") {
			j++
		}
		slices.Sort(list[i:j])
		i = max(i, j-1)
	}
	return list
}

// lab is where go runs.
type lab struct {
	world *world
	tool  string
	root  string
}

// find takes the go command of PATH.
func (l *lab) find(t *testing.T) {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go in PATH")
	}
	l.tool = tool
	t.Cleanup(func() { makeRemovable(l.root) })
}

func (l *lab) run(t *testing.T, c *story, dir string) (output string, ok bool) {
	t.Helper()
	for _, d := range []string{"home", "work", "bin", "gopath"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	goenvtest.Quiet(t, filepath.Join(dir, "home"))
	args := map[route.Command][]string{
		route.ListModule: {"list", "-m", c.module + "@" + c.versionOrLatest()},
		route.Download:   {"mod", "download", c.module + "@" + c.versionOrLatest()},
		route.Versions:   {"list", "-m", "-versions", c.module},
	}[c.command]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.tool, args...)
	cmd.Dir = filepath.Join(dir, "work")
	through := "http://" + l.world.tunnel.Addr().String()
	cmd.Env = []string{
		"HOME=" + filepath.Join(dir, "home"), "PATH=" + filepath.Join(dir, "bin"), "GOPATH=" + filepath.Join(dir, "gopath"),
		"GOMODCACHE=" + filepath.Join(dir, "cache"), "GOCACHE=" + filepath.Join(l.root, "build"), "GOENV=off", "GOFLAGS=-mod=mod -modcacherw",
		"GOTOOLCHAIN=local", "LC_ALL=C", "GO111MODULE=on",
		"HTTPS_PROXY=" + through, "HTTP_PROXY=" + through, "SSL_CERT_FILE=" + l.world.certificate, "SSL_CERT_DIR=" + filepath.Join(dir, "bin"),
	}
	for name, value := range c.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s\ngo did not end: %s", c, out)
	}
	return string(out), err == nil
}

func makeRemovable(root string) {
	_ = filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o755)
		}
		return nil
	})
}

// story is one generated case.
type story struct {
	id      string // stands in every URL of the case
	env     map[string]string
	module  string
	version string
	command route.Command
	// faults are what servers do, by server and kind; what is absent is well.
	faults map[string]string
	// list and mod are what good servers hold.
	list, mod string
	db        http.Handler
	files     string // directory of the file:// proxy

	saw func(*http.Request) // may be nil

	mu  sync.Mutex
	log []string
}

func (c *story) String() string {
	return fmt.Sprintf("case %s: %s %s@%s\nenv %v\nlist %q mod %q\nfaults %v", c.id, c.command, c.module, c.version, c.env, c.list, c.mod, c.faults)
}

func (c *story) versionOrLatest() string {
	if c.version == "" {
		return "latest"
	}
	return c.version
}

func (c *story) query() route.Query { return route.Query{Module: c.module, Version: c.version} }

func (c *story) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

func (c *story) note(u string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, u)
}

// config is the same case for the simulation: GONOPROXY and GONOSUMDB as go env
// would print them.
func (c *story) config() route.Config {
	env := goenv.Env{}
	for name, value := range c.env {
		env[name] = goenv.Setting{Value: value, Origin: goenv.FromOS}
	}
	for _, name := range []string{"GONOPROXY", "GONOSUMDB"} {
		if c.env[name] == "" {
			env[name] = goenv.Setting{Value: c.env["GOPRIVATE"], Origin: goenv.FromDefault}
		}
	}
	return route.Config{Env: env}
}

// answer is what the world says to a URL: the servers and the simulation share it.
func (c *story) answer(raw string) route.Answer {
	u, err := url.Parse(raw)
	if err != nil {
		return route.Answer{}
	}
	if u.Scheme == "file" {
		return c.fileAnswer(u.Path)
	}
	server, kind := c.place(u)
	fault := c.faults[server+" "+kind]
	if fault == "" {
		fault = c.faults[server+" *"]
	}
	switch fault {
	case "":
		return c.good(u, server, kind)
	case "reset":
		return route.Answer{}
	case "html":
		return route.Answer{Status: 200, Body: []byte("<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>\n")}
	case "broken":
		a := c.good(u, server, kind)
		a.Broken = a.Status == 200
		return a
	case "elsewhere":
		return route.Answer{Status: 302, Location: strings.Replace(raw, "/"+server+"/", "/s9/", 1)}
	case "insecure":
		return route.Answer{Status: 302, Location: "http://elsewhere.example.com" + u.Path}
	case "loop":
		return route.Answer{Status: 302, Location: u.Path}
	case "other":
		return route.Answer{Status: 200, Body: []byte(`{"Version":"v1.9.9","Time":"2024-01-02T03:04:05Z"}`)}
	}
	status := 0
	fmt.Sscan(fault, &status)
	return route.Answer{Status: status, Body: []byte("not today\n")}
}

// place names the server of a URL and the kind of request.
func (c *story) place(u *url.URL) (server, kind string) {
	server = "page"
	if m := regexp.MustCompile(`^/` + c.id + `/(s\d|db)/`).FindStringSubmatch(u.Path); m != nil {
		server = m[1]
	}
	switch base := u.Path[strings.LastIndexByte(u.Path, '/')+1:]; {
	case u.RawQuery == "go-get=1" && strings.HasSuffix(u.Path, "/"+c.id):
		kind = "prefix"
	case u.RawQuery == "go-get=1":
		kind = "page"
	case base == "supported", base == "list":
		kind = base
	case base == "@latest":
		kind = "latest"
	case strings.Contains(u.Path, "/lookup/"):
		kind = "lookup"
	case strings.Contains(u.Path, "/tile/"):
		kind = "tile"
	default:
		kind = strings.TrimPrefix(filepath.Ext(base), ".")
	}
	return server, kind
}

func (c *story) good(u *url.URL, server, kind string) route.Answer {
	body := func(s string) route.Answer { return route.Answer{Status: 200, Body: []byte(s)} }
	base := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	version := strings.TrimSuffix(base, filepath.Ext(base))
	switch kind {
	case "page", "prefix":
		return body(c.faults["tag"])
	case "list":
		return body(c.list)
	case "latest":
		return body(`{"Version":"v0.0.0-20240102030405-abcdef012345","Time":"2024-01-02T03:04:05Z"}`)
	case "info":
		return body(`{"Version":"` + version + `","Time":"2024-01-02T03:04:05Z"}`)
	case "mod":
		return body(c.mod)
	case "zip":
		return route.Answer{Status: 200, Body: zipOf(c.module, version, c.mod)}
	case "supported", "lookup", "tile":
		return c.database(u, server)
	}
	if base == "svn" {
		return route.Answer{Status: 404} // go takes a missing svn for a missing revision
	}
	return route.Answer{} // a version control tool, and there is none
}

// database answers for the checksum database, at itself or through a proxy. The test
// server of x/mod panics where a tile is larger than its tree, which ends the
// connection.
func (c *story) database(u *url.URL, server string) (a route.Answer) {
	defer func() {
		if recover() != nil {
			a = route.Answer{}
		}
	}()
	if strings.HasSuffix(u.Path, "/supported") {
		return route.Answer{Status: 200}
	}
	_, path, _ := strings.Cut(u.Path, "/"+server+"/")
	path = "/" + strings.TrimPrefix(path, "sumdb/"+c.dbName()+"/")
	rec := httptest.NewRecorder()
	c.db.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return route.Answer{Status: rec.Code, Body: rec.Body.Bytes()}
}

// dbName is the database's name: a host and a path, for the case's own one.
func (c *story) dbName() string { return "sum.example.com/" + c.id + "/db" }

func (c *story) fileAnswer(name string) route.Answer {
	data, err := os.ReadFile(name)
	if err != nil {
		return route.Answer{Status: 404}
	}
	return route.Answer{Status: 200, Body: data}
}

func zipOf(path, version, mod string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{"go.mod": mod} {
		w, err := z.Create(path + "@" + version + "/" + name)
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// world is the loopback network: an HTTP server per scheme and a proxy that leads
// every name to them.
type world struct {
	plain       []*httptest.Server
	secure      *httptest.Server
	tunnel      net.Listener
	certificate string

	mu    sync.Mutex
	cases map[string]*story
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{cases: map[string]*story{}, certificate: filepath.Join(t.TempDir(), "ca.pem")}
	quiet := log.New(io.Discard, "", 0)
	start := func(secure bool) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
		s.Config.ErrorLog = quiet
		// A request on a kept connection that is reset is sent again by net/http, which
		// is none of go's rules.
		s.Config.SetKeepAlivesEnabled(false)
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	for range 4 {
		w.plain = append(w.plain, start(false))
	}
	w.secure = start(true)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.secure.Certificate().Raw})
	if err := os.WriteFile(w.certificate, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(w.connect))
	proxy.Config.ErrorLog = quiet
	proxy.Config.SetKeepAlivesEnabled(false)
	proxy.Start()
	t.Cleanup(proxy.Close)
	w.tunnel = proxy.Listener
	return w
}

func (w *world) add(c *story) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cases[c.id] = c
}

// connect is the HTTP proxy: every name of example.com is the secure server.
func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.serve(rw, r) // http:// through the proxy
		return
	}
	server, err := net.Dial("tcp", w.secure.Listener.Addr().String())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(server, io.MultiReader(bufio.NewReader(io.LimitReader(buf.Reader, int64(buf.Reader.Buffered()))), client))
		_ = server.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(client, server)
	_ = client.Close()
	wg.Wait()
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	u := *r.URL
	u.Scheme, u.Host = "http", r.Host
	if r.TLS != nil {
		u.Scheme = "https"
	}
	id := regexp.MustCompile(`c\d+x`).FindString(u.Path)
	w.mu.Lock()
	c := w.cases[id]
	w.mu.Unlock()
	if c == nil {
		http.Error(rw, "no such case", http.StatusTeapot)
		return
	}
	c.note(u.String())
	if c.saw != nil {
		c.saw(r)
	}
	a := c.answer(u.String())
	switch {
	case a.Status == 0:
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		if s, ok := conn.(*tls.Conn); ok {
			_ = s.NetConn().Close()
		}
		_ = conn.Close()
	case a.Broken:
		rw.Header().Set("Content-Length", fmt.Sprint(len(a.Body)+10))
		rw.WriteHeader(a.Status)
		_, _ = rw.Write(a.Body)
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	default:
		if a.Location != "" {
			rw.Header().Set("Location", a.Location)
		}
		rw.Header().Set("Content-Type", "application/octet-stream")
		rw.WriteHeader(a.Status)
		_, _ = rw.Write(a.Body)
	}
}

// The generator.

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// generate makes a case without a checksum database.
func generate(r *rand.Rand, l *lab, n int) *story {
	c := newStory(r, n)
	c.env["GOSUMDB"] = "off"
	c.command = pick(r, route.ListModule, route.ListModule, route.Download, route.Download, route.Download, route.Versions)
	if c.command != route.Versions && r.IntN(6) == 0 {
		c.version = ""
	}
	c.env["GOPROXY"] = c.proxies(r, l, 1+r.IntN(4))
	if r.IntN(2) == 0 {
		c.privacy(r)
	}
	return c
}

func newStory(r *rand.Rand, n int) *story {
	c := &story{id: fmt.Sprintf("c%dx", n), env: map[string]string{}, faults: map[string]string{}, version: "v1.0.0"}
	c.module = pick(r, "git.example.com/%s/widget", "git.example.com/%s/widget", "git.example.com/%s/Gear/v2", "git.example.com/%s", "github.com/%s/widget", "git.example.com/%s/cog.git/sub", "github.com/%s")
	c.module = fmt.Sprintf(c.module, c.id)
	major := "v1"
	if strings.HasSuffix(c.module, "/v2") {
		major, c.version = "v2", "v2.0.0"
	}
	c.list = strings.ReplaceAll(pick(r, "v1.0.0\nv1.1.0\n", "v1.0.0\n", "v1.0.0\nv1.1.0-rc.1\n", "", "v0.0.0-20230102030405-abcdef012345\n", "junk\n\nv1.0.0 2024-01-02T03:04:05Z\n"), "v1", major)
	c.mod = "module " + c.module + "\n" + strings.ReplaceAll(pick(r, "", "", "\ngo 1.20\n", "\nretract v1.1.0\n"), "v1", major)
	c.page(r)
	for s := range 10 {
		if r.IntN(5) == 0 && s != 9 {
			continue // a server that is well
		}
		for _, kind := range []string{"list", "latest", "info", "mod", "zip"} {
			if r.IntN(3) == 0 {
				c.faults[fmt.Sprintf("s%d %s", s, kind)] = c.fault(r, s, kind)
			}
		}
		if r.IntN(4) == 0 && s != 9 {
			c.faults[fmt.Sprintf("s%d *", s)] = c.fault(r, s, "*")
		}
	}
	return c
}

func (c *story) fault(r *rand.Rand, server int, kind string) string {
	list := []string{"403", "404", "404", "404", "410", "429", "500", "502", "401", "reset", "html", "broken"}
	if server != 9 { // where redirects lead to
		list = append(list, "elsewhere", "elsewhere", "loop", "insecure")
	}
	if kind == "info" {
		list = append(list, "other")
	}
	return pick(r, list...)
}

// page is what the module's host says to ?go-get=1.
func (c *story) page(r *rand.Rand) {
	prefix := pick(r, c.module, "git.example.com/"+c.id)
	base := "https://git.example.com/" + c.id + "/s8"
	tag := pick(r, prefix+" mod "+base, prefix+" mod "+base, prefix+" git https://git.example.com/"+c.id+"/x", "git.example.com/other mod "+base, prefix+" svn https://git.example.com/"+c.id+"/svn", prefix+" mod "+base+" sub", "")
	if tag == "" {
		c.faults["tag"] = "<html><head></head></html>"
	} else {
		c.faults["tag"] = `<html><head><meta name="go-import" content="` + tag + `"></head></html>`
	}
	for _, kind := range []string{"page", "prefix"} {
		if r.IntN(3) == 0 {
			c.faults["page "+kind] = pick(r, "404", "403", "500", "reset", "html")
		}
	}
}

// proxies makes a GOPROXY of n entries.
func (c *story) proxies(r *rand.Rand, l *lab, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(pick(r, ",", ",", "|", " , ", "| "))
		}
		b.WriteString(c.proxy(r, l, i))
	}
	b.WriteString(pick(r, "", "", "", ",", "|", " ", ",direct", ",direct", "|direct", ",off"))
	if strings.TrimSpace(b.String()) == "" {
		return "," // empty, go would take its default
	}
	return b.String()
}

func (c *story) proxy(r *rand.Rand, l *lab, i int) string {
	plain := l.world.plain[r.IntN(len(l.world.plain))].URL + "/" + c.id
	switch r.IntN(14) {
	case 0:
		return "direct"
	case 1:
		return "off"
	case 2:
		return c.directory(l)
	case 3:
		return fmt.Sprintf("%s/s%d/", plain, i)
	case 4:
		return fmt.Sprintf("proxy.example.com/%s/s%d", c.id, i) // no scheme: https
	case 5, 6:
		return fmt.Sprintf("https://proxy.example.com/%s/s%d", c.id, i)
	case 7:
		return plain + "/s0" // perhaps a second time
	case 8:
		if r.IntN(4) == 0 {
			return pick(r, "", "goproxy", "ftp://127.0.0.1/x", "http://bob:pw@127.0.0.1/"+c.id, "https://bob:pw@proxy.example.com/"+c.id+"/s1", "https://proxy.example.com/"+c.id+"/s1?x=1")
		}
	}
	return fmt.Sprintf("%s/s%d", plain, i)
}

// directory makes a file:// proxy that holds some of the files.
func (c *story) directory(l *lab) string {
	dir := filepath.Join(l.root, c.id, "files")
	escaped, err := module.EscapePath(c.module)
	if err != nil {
		panic(err)
	}
	at := filepath.Join(dir, escaped, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		panic(err)
	}
	files := map[string]string{
		"list": c.list, c.version + ".info": `{"Version":"` + c.version + `"}`, c.version + ".mod": c.mod,
		c.version + ".zip": string(zipOf(c.module, c.version, c.mod)),
	}
	for i, name := range []string{"list", c.version + ".info", c.version + ".mod", c.version + ".zip"} {
		if (len(c.module)+len(c.list)+i)%3 == 0 || c.version == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(at, name), []byte(files[name]), 0o644); err != nil {
			panic(err)
		}
	}
	c.files = dir
	return "file://" + dir
}

func (c *story) privacy(r *rand.Rand) {
	pattern := func() string {
		return pick(r, "git.example.com", "git.example.com/"+c.id, "*.example.com", "github.com/*", c.module, c.module+"/deeper", " git.example.com",
			"none", "git.example.com:8443", "other.example.org,git.example.com/", "git.example.com/*/widget", "*")
	}
	switch r.IntN(4) {
	case 0:
		c.env["GOPRIVATE"] = pattern()
	case 1:
		c.env["GONOPROXY"] = pattern()
	case 2:
		c.env["GOPRIVATE"], c.env["GONOPROXY"] = pattern(), pattern()
	default:
		c.env["GOPRIVATE"], c.env["GONOPROXY"] = pattern(), "none"
	}
	if r.IntN(4) == 0 {
		c.env["GOINSECURE"] = pattern()
	}
	if r.IntN(4) == 0 {
		c.env["GOVCS"] = pick(r, "*:off", "public:svn,private:git", "git.example.com:git|svn", "*:all")
	}
}

// generateSum makes a case with a checksum database of its own.
func generateSum(r *rand.Rand, l *lab, n int) *story {
	c := newStory(r, n)
	c.faults = map[string]string{"tag": c.faults["tag"]}
	c.module = "git.example.com/" + c.id + "/widget"
	c.mod, c.version, c.list = "module "+c.module+"\n", "v1.0.0", "v1.0.0\n"
	c.command = pick(r, route.ListModule, route.Download, route.Download)
	c.env["GOPROXY"] = c.proxies(r, l, 1+r.IntN(3))
	key := c.openDatabase(r)
	c.env["GOSUMDB"] = pick(r, key, key, key, key, key+" https://sum.example.com/"+c.id+"/db", "off", "nonsense", key+" a b", strings.Replace(key, "+", "+0", 1))
	switch r.IntN(6) {
	case 0:
		c.env["GONOSUMDB"] = pick(r, "git.example.com", "other.example.org")
	case 1:
		c.env["GOPRIVATE"] = pick(r, "git.example.com", "other.example.org")
	case 2:
		c.env["GOPRIVATE"], c.env["GONOSUMDB"] = "git.example.com", "none"
	}
	for s := range 4 {
		if r.IntN(2) == 0 {
			c.faults[fmt.Sprintf("s%d supported", s)] = pick(r, "403", "404", "404", "404", "410", "500", "reset", "html", "broken")
		}
		for _, kind := range []string{"info", "mod", "zip", "lookup", "tile"} {
			if r.IntN(8) == 0 {
				c.faults[fmt.Sprintf("s%d %s", s, kind)] = pick(r, "404", "403", "500", "html")
			}
		}
	}
	if r.IntN(5) == 0 {
		c.faults["db "+pick(r, "lookup", "tile")] = pick(r, "404", "500", "reset", "html", "broken")
	}
	return c
}

// openDatabase starts the case's checksum database, already with all its records: its
// size must not change between the two runs.
func (c *story) openDatabase(r *rand.Rand) (key string) {
	signer, verifier, err := note.GenerateKey(strings.NewReader(strings.Repeat("k", 64)), c.dbName())
	if err != nil {
		panic(err)
	}
	lying, silent := r.IntN(8) == 0, r.IntN(10) == 0
	db := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		content := c.mod
		switch {
		case path == c.module && lying:
			content += "// another\n"
		case path == c.module && silent:
			return nil, fmt.Errorf("not found: %s@%s", path, version)
		}
		return []byte(sumLines(path, version, content)), nil
	})
	ctx := context.Background()
	for _, path := range []string{"example.com/a", "example.com/b", c.module, "example.com/c"}[:3+r.IntN(2)] {
		_, _ = db.Lookup(ctx, module.Version{Path: path, Version: c.version})
	}
	c.db = sumdb.NewServer(db)
	return verifier
}

func sumLines(path, version, mod string) string {
	open := func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mod)), nil }
	goMod, err := dirhash.Hash1([]string{"go.mod"}, open)
	if err != nil {
		panic(err)
	}
	zip, err := dirhash.Hash1([]string{path + "@" + version + "/go.mod"}, open)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, goMod)
}
