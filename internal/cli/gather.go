package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/scratch"
)

// gathering brings what projects need into the store, for `bundle create` and `warm`: the
// real go command says what that is, by what it asks a proxy of this process for.
type gathering struct {
	a   *app
	o   moduleOptions
	env goenv.Env
	// all is whether what `go mod tidy` and `go list -m all` want is wanted, too; dry whether
	// code stays where it is.
	all, dry bool
	store    *modstore.Store // nil behind a running proxy
	shared   *modshare.Store // store before a bucket; nil without one
	own      *modproxy.Proxy
	// proxy is the URL that go is given.
	proxy, scratch string
	client         *http.Client
	// auth is for a running proxy that wants a login; nil: the proxy is one of this process.
	auth *credentials.GoAuth

	mu     sync.Mutex
	files  map[string]int64 // what was fetched, or would be, and its size; -1: not known
	kept   map[string]bool  // with dry: what is in the store already
	bytes  int64
	wanted int // files of code, 0 while that is not known
	came   int
	failed []notFetched
}

// notFetched is a file that nobody gave.
type notFetched struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	File    string `json:"file"` // info, mod or zip
	Reason  string `json:"reason"`
}

// gatherOptions are what `bundle create` and `warm` share.
type gatherOptions struct {
	moduleOptions
	toolchains []string
	all, dry   bool
	// through is the URL of a running proxy that fetches; "": one of this process.
	through string
	s3      shareOptions
}

// gather calls use with everything that the named files need at hand.
func gather(ctx context.Context, a *app, o gatherOptions, names []string, use func(*gathering) error) error {
	platforms, ok := platformsOf(o.toolchains)
	if !ok {
		return misused("bundle.platform", strings.Join(o.toolchains, ","))
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return o.failed("route.nogo", "hint.nogo", err)
	}
	g := &gathering{
		a: a, o: o.moduleOptions, env: layers.Env(), all: o.all, dry: o.dry,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}, files: map[string]int64{}, kept: map[string]bool{},
	}
	defer g.client.CloseIdleConnections()
	if len(names) == 0 {
		if names = g.here(); len(names) == 0 {
			return &failure{exit: exitUsage, key: "bundle.nothing", hint: "hint.bundle.nothing"}
		}
	}
	projects, err := readProjects(names)
	if err != nil {
		return o.failed("bundle.read", "hint.bundle.nothing", err)
	}
	if o.through != "" {
		return g.through(o.through, func() error { return g.bring(ctx, projects, platforms, use) })
	}
	lists, err := o.lists(g.env, publicServers(layers))
	if err != nil {
		return err
	}
	if len(lists) == 0 {
		return &failure{exit: exitError, key: "proxy.off", args: []any{g.env.Value("GOPROXY")}, hint: "hint.bundle.off"}
	}
	if private := g.env.Value("GONOPROXY"); private != "" && private != "none" && len(o.upstreams) == 0 {
		lists = append([]modproxy.List{{Patterns: private, Upstreams: []modproxy.Upstream{{Name: "direct"}}}}, lists...)
	}
	store, err := o.openStore(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // it is whole at any moment
	g.store, g.scratch = store, store.Scratch()
	if !o.dry {
		if g.shared, err = o.openShared(ctx, o.s3, store, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	if g.shared != nil {
		defer g.shared.Close() //nolint:errcheck,contextcheck // what is not in the bucket yet is fetched again by who wants it
	}
	return g.behind(ctx, lists, projects, func() error { return g.bring(ctx, projects, platforms, use) })
}

// here are the files of the project that go would work on here.
func (g *gathering) here() []string {
	if w := g.env.Value("GOWORK"); w != "" && w != "off" {
		return []string{w}
	}
	if m := g.env.Value("GOMOD"); m != "" && m != os.DevNull {
		return []string{m}
	}
	return nil
}

// through has a running proxy fetch.
func (g *gathering) through(proxy string, work func() error) error {
	u, err := url.Parse(proxy)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return misused("bundle.proxy", mask.Text(proxy))
	}
	if u.User != nil && u.Scheme == "http" { // go would not send it either
		return misused("bundle.proxyplain", mask.Text(proxy))
	}
	g.auth = goAuth(g.env)
	dir, err := os.MkdirTemp("", "keepwell-warm-*")
	if err != nil {
		return g.o.failed("bundle.fetch", "", err)
	}
	defer scratch.Remove(dir)
	g.proxy, g.scratch = strings.TrimSuffix(u.String(), "/"), dir
	return work()
}

// behind starts a proxy for work.
func (g *gathering) behind(ctx context.Context, lists []modproxy.List, projects []project, work func() error) error {
	sums := map[string]string{}
	for _, p := range projects {
		maps.Copy(sums, p.sums)
	}
	var store modproxy.Store = g.store
	if g.shared != nil {
		store = g.shared
	}
	p, err := modproxy.New(context.WithoutCancel(ctx), modproxy.Options{
		Store: store, Lists: lists, Sums: sums, Database: g.env.Value("GOSUMDB"), Unlisted: g.env.Value("GONOSUMDB"), Auth: goAuth(g.env),
	})
	if err != nil {
		return g.o.failed("proxy.start", "", err)
	}
	defer p.Close()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return g.o.failed("proxy.listen", "", err, "127.0.0.1")
	}
	secret := rand.Text()
	g.proxy, g.own = "http://"+ln.Addr().String()+"/"+secret, p
	server := moduleServer(http.StripPrefix("/"+secret, p))
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() { _ = server.Serve(ln) }) // ends by Close
	defer server.Close()                        //nolint:errcheck // nobody listens any more
	return work()
}

// bring fetches what projects need and hands over.
func (g *gathering) bring(ctx context.Context, projects []project, platforms []string, use func(*gathering) error) error {
	done := g.a.progress(g.far)
	defer done()
	for _, p := range projects {
		if err := g.fetch(ctx, p, platforms); err != nil {
			return err
		}
	}
	if len(g.failed) > 0 {
		return g.tellFailed()
	}
	return use(g)
}

// far says how far it is.
func (g *gathering) far() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted == 0 {
		return msg.Text(g.a.lang, "bundle.progress", len(g.files), mebibytes(g.bytes))
	}
	return msg.Text(g.a.lang, "bundle.progress.of", meter(g.came, g.wanted), g.came, g.wanted, mebibytes(g.bytes))
}

// fetch brings what one project needs, the go.mod files before the code.
func (g *gathering) fetch(ctx context.Context, p project, platforms []string) error {
	var mods, code []string
	var err error
	if p.layout == nil {
		mods, code = ofSums(p.sums)
	} else {
		code, err = g.resolve(ctx, p)
	}
	if err != nil {
		return err
	}
	for _, platform := range platforms {
		if p.toolchain == "" {
			return &failure{exit: g.o.exit, key: "bundle.notoolchain", args: []any{p.name}, hint: "hint.bundle.notoolchain"}
		}
		v := module.Version{Path: toolchainPath, Version: "v0.0.1-" + p.toolchain + "." + strings.Replace(platform, "/", "-", 1)}
		code = append(code, keysOf(v, "mod", "info", "zip")...)
	}
	if err := g.takeAll(ctx, mods); err != nil {
		return err
	}
	g.mu.Lock()
	g.wanted += len(code)
	g.mu.Unlock()
	return g.takeAll(ctx, code)
}

const toolchainPath = "golang.org/toolchain"

// keysOf are files of a version; none where it cannot be written in the protocol.
func keysOf(v module.Version, exts ...string) []string {
	var keys []string
	for _, ext := range exts {
		if key, err := modbundle.Key(v, ext); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// ofSums are the files that a go.sum names.
func ofSums(sums map[string]string) (mods, code []string) {
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		path, version, _ := strings.Cut(key, " ")
		if version, isMod := strings.CutSuffix(version, "/go.mod"); isMod {
			mods = append(mods, keysOf(module.Version{Path: path, Version: version}, "mod")...)
		} else {
			code = append(code, keysOf(module.Version{Path: path, Version: version}, "info", "zip")...)
		}
	}
	return mods, code
}

// atOnce is how many files are asked for at the same time.
const atOnce = 8

// takeAll fetches files; those that do not come are noted, the others come all the same.
func (g *gathering) takeAll(ctx context.Context, keys []string) error {
	work := make(chan string)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for key := range work {
				g.take(ctx, key)
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return g.o.failed("bundle.fetch", "hint.bundle.fetch", err)
	}
	return nil
}

// take fetches one file. A .info tells nothing that a build needs: some servers lack those
// of old versions.
func (g *gathering) take(ctx context.Context, key string) {
	if ctx.Err() != nil {
		return
	}
	n, err := g.size(ctx, key)
	switch {
	case err == nil:
		g.note(key, n)
	case errors.Is(err, modbundle.ErrAbsent) && strings.HasSuffix(key, ".info"):
	default:
		v, _ := modbundle.Version(key)
		g.mu.Lock()
		g.failed = append(g.failed, notFetched{v.Path, v.Version, strings.TrimPrefix(path.Ext(key), "."), reason(err)})
		g.mu.Unlock()
	}
	g.mu.Lock()
	g.came++
	g.mu.Unlock()
}

// reason is what is worth a line of what the proxy said.
func reason(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	said := strings.TrimSpace(lines[len(lines)-1])
	if len(lines) > 2 {
		said = strings.Join(strings.Fields(strings.Join(lines[1:], "; ")), " ")
	}
	return said
}

// size fetches a file, or with dry only asks how large it is.
func (g *gathering) size(ctx context.Context, key string) (int64, error) {
	if g.dry && strings.HasSuffix(key, ".zip") {
		if g.own == nil {
			return -1, nil
		}
		if e, err := g.store.Get(ctx, key); err == nil {
			g.mu.Lock()
			g.kept[key] = true
			g.mu.Unlock()
			return e.Size, nil
		}
		return g.own.Size(ctx, key)
	}
	r, err := g.open(ctx, key)
	if err != nil {
		return 0, err
	}
	defer r.Close() //nolint:errcheck // only read
	return io.Copy(io.Discard, r)
}

func (g *gathering) note(key string, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.files[key]; !known {
		g.files[key] = n
		g.bytes += max(n, 0)
	}
}

// tellFailed says which modules did not come, and why.
func (g *gathering) tellFailed() error {
	slices.SortFunc(g.failed, func(a, b notFetched) int {
		return cmp.Or(strings.Compare(a.Module, b.Module), strings.Compare(a.Version, b.Version), strings.Compare(a.File, b.File))
	})
	if err := g.a.document(struct {
		Failed []notFetched `json:"failed"`
	}{g.failed}); err != nil {
		return err
	}
	for _, f := range g.failed {
		fmt.Fprintln(g.a.errs, present.Visible("  "+f.Module+"@"+f.Version+" ("+f.File+"): "+f.Reason, true))
	}
	return &failure{exit: g.o.exit, key: "bundle.failed", args: []any{len(g.failed)}, hint: "hint.bundle.fetch"}
}

// open asks the proxy for a file.
func (g *gathering) open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.proxy+"/"+key, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := g.do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	const most = 4 << 10
	said, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // what there is of it
	err = errors.New(strings.TrimSpace(string(said)))
	if resp.StatusCode == http.StatusNotFound || strings.HasPrefix(key, "sumdb/") && resp.StatusCode == http.StatusForbidden {
		err = fmt.Errorf("%w: %w", modbundle.ErrAbsent, err)
	}
	return nil, err
}

// do makes a request with the login that go would send: the one in the URL, which net/http
// sends by itself, or else what GOAUTH gives, to this server only.
func (g *gathering) do(r *http.Request) (*http.Response, error) {
	if g.auth == nil || r.URL.User != nil {
		return g.client.Do(r)
	}
	c := *g.client
	sent := g.auth.Login(r.Context(), r.URL)
	c.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		const most = 10 // as net/http
		if len(via) >= most {
			return errors.New("too many redirects")
		}
		if to.URL.Scheme != r.URL.Scheme || to.URL.Host != r.URL.Host {
			for name := range sent {
				to.Header.Del(name)
			}
		}
		return nil
	}
	maps.Copy(r.Header, sent)
	resp, err := c.Do(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := g.auth.Again(r.Context(), r.URL, resp, sent)
	if again == nil {
		return resp, nil
	}
	_ = resp.Body.Close() // what it said counts no more
	r = r.Clone(r.Context())
	for name := range sent {
		r.Header.Del(name)
	}
	maps.Copy(r.Header, again)
	sent = again
	return c.Do(r)
}

func (g *gathering) read(ctx context.Context, key string) ([]byte, error) {
	r, err := g.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	return io.ReadAll(r)
}

// resolve lets go find out, in a copy of the project without its code, which versions are
// built with: it reads the go.mod files of the whole graph on the way. The proxy has
// checked every file; go asks nobody else.
func (g *gathering) resolve(ctx context.Context, p project) (code []string, err error) {
	dir, err := os.MkdirTemp(g.scratch, "project-*")
	if err != nil {
		return nil, g.o.failed("bundle.fetch", "", err)
	}
	defer scratch.Remove(dir)
	for name, data := range p.layout {
		at := filepath.Join(dir, filepath.FromSlash(name))
		const private, own = 0o700, 0o600
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), private), os.WriteFile(at, data, own)); err != nil {
			return nil, g.o.failed("bundle.fetch", "", err)
		}
	}
	run := goRun{g: g, dir: dir, shown: filepath.Dir(p.name), env: []string{"GOWORK=off", "GOFLAGS=-modcacherw -mod=mod"}, cache: filepath.Join(dir, "mod")}
	if _, ok := p.layout["go.work"]; ok {
		run.env = []string{"GOWORK=" + filepath.Join(dir, "go.work"), "GOFLAGS=-modcacherw"}
	}
	if _, err := run.output(ctx, "mod", "graph"); err != nil { // what it prints is not needed
		return nil, err
	}
	if code, err = run.built(ctx, p.requires); err != nil {
		return nil, err
	}
	if g.all {
		if err := g.everything(ctx, run, p); err != nil {
			return nil, err
		}
	}
	return code, g.remember(filepath.Join(run.cache, "cache", "download"))
}

// everything fetches what `go list -m all` and `go mod tidy` read: a line of each module,
// and the tests of what is imported. Tidy looks at the code, which lies at its place.
func (g *gathering) everything(ctx context.Context, run goRun, p project) error {
	if _, err := run.output(ctx, "list", "-m", "all"); err != nil {
		return err
	}
	run.env = []string{"GOWORK=off", "GOFLAGS=-modcacherw -mod=mod"}
	for _, dir := range p.dirs {
		run.dir, run.shown = dir, dir
		// It ends with 1 where there is a difference.
		if out, err := run.output(ctx, "mod", "tidy", "-diff"); err != nil && len(out) == 0 {
			return err
		}
	}
	return nil
}

// goRun is how go is called: with its own module cache, behind the proxy.
type goRun struct {
	g          *gathering
	dir, shown string // where, and what that is called before people
	cache      string
	env        []string
}

func (r goRun) output(ctx context.Context, args ...string) ([]byte, error) {
	const patience = 12 * time.Hour // the proxy has deadlines of its own
	const largest = 64 << 20
	ran, err := proc.Run(ctx, proc.Options{Dir: r.dir, Timeout: patience, MaxOut: largest, Env: append([]string{
		"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=" + r.g.proxy, "GOSUMDB=off", "GONOSUMDB=", "GONOPROXY=none", "GOPRIVATE=", "GOVCS=*:off",
		"GOMODCACHE=" + r.cache, "GOAUTH=" + cmp.Or(r.g.env.Value("GOAUTH"), "netrc"), // GOENV is off
	}, r.env...)}, "go", args...)
	if err == nil && ran.Exit == 0 {
		return ran.Stdout, nil
	}
	if err == nil {
		err = errors.New("go " + strings.Join(args[:2], " "))
		if len(ran.Stdout) == 0 {
			words := strings.ReplaceAll(strings.ReplaceAll(string(ran.Output), r.g.proxy, "…"), r.dir, r.shown)
			fmt.Fprintln(r.g.a.errs, present.Visible(strings.TrimSpace(mask.Text(words)), false))
		}
	}
	return ran.Stdout, r.g.o.failed("bundle.fetch", "hint.bundle.fetch", err)
}

// built are the files of the versions that go selects for the required modules; nil asks
// for those of the whole graph, as for a project before go 1.17.
func (r goRun) built(ctx context.Context, requires []string) ([]string, error) {
	if requires != nil && len(requires) == 0 {
		return nil, nil
	}
	if requires == nil {
		requires = []string{"all"}
	}
	out, err := r.output(ctx, append([]string{"list", "-m", "-json=Path,Version,Replace,Main"}, requires...)...)
	if err != nil {
		return nil, err
	}
	type listed struct {
		module.Version
		Main    bool
		Replace *module.Version
	}
	var code []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m listed
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return code, nil
		} else if err != nil {
			return nil, r.g.o.failed("bundle.fetch", "", err)
		}
		if m.Replace != nil {
			m.Version = *m.Replace
		}
		if !m.Main && m.Version.Version != "" { // a directory has none
			code = append(code, keysOf(m.Version, "mod", "info", "zip")...)
		}
	}
}

// remember notes the protocol's files in go's own cache, which has their layout.
func (g *gathering) remember(root string) error {
	err := filepath.WalkDir(root, func(at string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		ext := filepath.Ext(name)
		if _, ok := modbundle.Version(name); !ok || ext != ".info" && ext != ".mod" && ext != ".zip" {
			return nil
		}
		st, err := d.Info()
		if err == nil {
			g.note(name, st.Size())
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return g.o.failed("bundle.fetch", "", err)
	}
	return nil
}

// versions are those of which anything was fetched.
func (g *gathering) versions() []module.Version {
	seen := map[module.Version]bool{}
	for key := range g.files {
		if v, ok := modbundle.Version(key); ok {
			seen[v] = true
		}
	}
	list := slices.Collect(maps.Keys(seen))
	module.Sort(list)
	return list
}

// count is how many versions were fetched with their code.
func (g *gathering) count() int {
	n := 0
	for key := range g.files {
		if strings.HasSuffix(key, ".zip") {
			n++
		}
	}
	return n
}

// keys are the files, sorted.
func (g *gathering) keys() []string { return slices.Sorted(maps.Keys(g.files)) }

// database is what GOSUMDB names.
func (g *gathering) database() (route.Database, bool) {
	db, on, err := route.ReadDatabase(g.env.Value("GOSUMDB"))
	return db, on && err == nil
}

// project is one of the named files, with what go needs to know of it.
type project struct {
	name      string
	layout    map[string][]byte // files for go, by name; nil: sums are all there is
	sums      map[string]string
	toolchain string
	dirs      []string // of its modules
	// requires are the modules that its go.mod files name, which are all that it is built
	// with; nil: they do not name all.
	requires []string
}

func readProjects(names []string) ([]project, error) {
	var list []project
	for _, name := range names {
		at, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		p := project{name: at, sums: map[string]string{}}
		switch filepath.Ext(at) {
		case ".sum":
			var data []byte
			if data, err = plainfile.Read(at); err == nil {
				p.addSums(data)
			}
		case ".work":
			err = p.readWork(at)
		default:
			p.layout, p.requires = map[string][]byte{}, []string{}
			err = p.readMod(at, "")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, plainCause(err))
		}
		list = append(list, p)
	}
	return list, nil
}

func (p *project) addSums(data []byte) {
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[2], "h1:") {
			p.sums[f[0]+" "+f[1]] = f[2]
		}
	}
}

// readMod adds a go.mod and its go.sum below the directory under.
func (p *project) readMod(at, under string) error {
	data, err := plainfile.Read(at)
	if err != nil {
		return err
	}
	f, err := modfile.Parse(filepath.Base(at), data, nil)
	if err != nil {
		return err
	}
	for _, r := range slices.Clone(f.Replace) {
		if modfile.IsDirectoryPath(r.New.Path) && !filepath.IsAbs(r.New.Path) {
			if err := f.AddReplace(r.Old.Path, r.Old.Version, filepath.Join(filepath.Dir(at), r.New.Path), ""); err != nil {
				return err
			}
		}
	}
	if p.layout[under+"go.mod"], err = f.Format(); err != nil {
		return err
	}
	p.dirs = append(p.dirs, filepath.Dir(at))
	p.require(f)
	if under == "" {
		p.toolchain = toolchainOf(f.Go, f.Toolchain)
	}
	p.besides(strings.TrimSuffix(at, ".mod")+".sum", under+"go.sum")
	return nil
}

// require notes what a module is built with. Before go 1.17 go.mod does not tell.
func (p *project) require(f *modfile.File) {
	const explicit = "v1.17"
	if f.Go == nil || semver.Compare("v"+f.Go.Version, explicit) < 0 {
		if len(f.Require) > 0 {
			p.requires = nil
		}
		return
	}
	for _, r := range f.Require {
		if p.requires != nil && !slices.Contains(p.requires, r.Mod.Path) {
			p.requires = append(p.requires, r.Mod.Path)
		}
	}
}

// besides adds a file of sums; absent is empty.
func (p *project) besides(at, name string) {
	if data, err := plainfile.Read(at); err == nil {
		p.addSums(data)
		p.layout[name] = data
	}
}

func (p *project) readWork(at string) error {
	data, err := plainfile.Read(at)
	if err != nil {
		return err
	}
	f, err := modfile.ParseWork(filepath.Base(at), data, nil)
	if err != nil {
		return err
	}
	p.layout, p.requires = map[string][]byte{}, []string{}
	dir := filepath.Dir(at)
	absolute := func(to string) string {
		if filepath.IsAbs(to) {
			return to
		}
		return filepath.Join(dir, to)
	}
	var uses []*modfile.Use
	for i, u := range f.Use {
		under := fmt.Sprintf("m%d/", i)
		if err := p.readMod(filepath.Join(absolute(u.Path), "go.mod"), under); err != nil {
			return err
		}
		uses = append(uses, &modfile.Use{Path: "./m" + fmt.Sprint(i)})
	}
	f.SetUse(uses)
	for _, r := range slices.Clone(f.Replace) {
		if modfile.IsDirectoryPath(r.New.Path) {
			if err := f.AddReplace(r.Old.Path, r.Old.Version, absolute(r.New.Path), ""); err != nil {
				return err
			}
		}
	}
	f.Cleanup()
	p.layout["go.work"] = modfile.Format(f.Syntax)
	p.toolchain = toolchainOf(f.Go, f.Toolchain)
	p.besides(at+".sum", "go.work.sum")
	return nil
}

// toolchainOf is the toolchain that go would switch to for a project.
func toolchainOf(goLine *modfile.Go, line *modfile.Toolchain) string {
	if line != nil && line.Name != "default" {
		return line.Name
	}
	if goLine == nil {
		return ""
	}
	return "go" + goLine.Version
}

// platformsOf reads --toolchain; "host" stands for this machine.
func platformsOf(values []string) ([]string, bool) {
	var list []string
	for _, v := range values {
		if v == "host" {
			v = runtime.GOOS + "/" + runtime.GOARCH
		}
		system, arch, ok := strings.Cut(v, "/")
		if !ok || system == "" || arch == "" || strings.Contains(arch, "/") {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}
