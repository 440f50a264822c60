package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

// gathering brings what projects need into the store, for `bundle create` and `warm`: the
// real go command says what that is, by what it asks a proxy of this process for.
type gathering struct {
	a   *app
	o   moduleOptions
	env goenv.Env
	// proxy is the URL that go is given.
	proxy, scratch string
	client         *http.Client

	mu    sync.Mutex
	files map[string]bool
	bytes int64
}

// gather calls use with everything that the named files need at hand. Platforms are those
// whose toolchain is wanted, as GOOS/GOARCH.
func gather(ctx context.Context, a *app, o moduleOptions, names, platforms []string, use func(*gathering) error) error {
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return o.failed("route.nogo", "hint.nogo", err)
	}
	g := &gathering{a: a, o: o, env: layers.Env(), client: &http.Client{Transport: &http.Transport{}}, files: map[string]bool{}}
	defer g.client.CloseIdleConnections()
	if len(names) == 0 {
		if names = g.own(); len(names) == 0 {
			return &failure{exit: exitUsage, key: "bundle.nothing", hint: "hint.bundle.nothing"}
		}
	}
	projects, err := readProjects(names)
	if err != nil {
		return o.failed("bundle.read", "hint.bundle.nothing", err)
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
	store, err := o.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // it is whole at any moment
	return g.behind(ctx, store, lists, projects, platforms, use)
}

// own are the files of the project that go would work on here.
func (g *gathering) own() []string {
	if w := g.env.Value("GOWORK"); w != "" && w != "off" {
		return []string{w}
	}
	if m := g.env.Value("GOMOD"); m != "" && m != os.DevNull {
		return []string{m}
	}
	return nil
}

// behind starts the proxy, fetches, and hands over.
func (g *gathering) behind(ctx context.Context, store *modstore.Store, lists []modproxy.List, projects []project, platforms []string, use func(*gathering) error) error {
	sums := map[string]string{}
	for _, p := range projects {
		maps.Copy(sums, p.sums)
	}
	p, err := modproxy.New(context.WithoutCancel(ctx), modproxy.Options{
		Store: store, Lists: lists, Sums: sums, Database: g.env.Value("GOSUMDB"), Unlisted: g.env.Value("GONOSUMDB"), Netrc: netrcFile(g.env),
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
	g.proxy, g.scratch = "http://"+ln.Addr().String()+"/"+secret, store.Scratch()
	server := moduleServer(http.StripPrefix("/"+secret, p))
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { _ = server.Serve(ln) }) // ends by Close
	defer server.Close()                     //nolint:errcheck // nobody listens any more
	quit := make(chan struct{})
	defer close(quit)
	work.Go(func() { g.progress(quit) })
	for _, project := range projects {
		if err := g.fetch(ctx, project, platforms); err != nil {
			return err
		}
	}
	return use(g)
}

// progress tells now and then how far it is.
func (g *gathering) progress(quit <-chan struct{}) {
	const often = 3 * time.Second
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.mu.Lock()
			fmt.Fprintln(g.a.errs, msg.Text(g.a.lang, "bundle.progress", len(g.files), float64(g.bytes)/(1<<20)))
			g.mu.Unlock()
		case <-quit:
			return
		}
	}
}

// fetch brings what one project needs, the go.mod files before the code.
func (g *gathering) fetch(ctx context.Context, p project, platforms []string) error {
	var wanted []module.Version
	if p.layout == nil {
		for key := range p.sums {
			path, version, _ := strings.Cut(key, " ")
			wanted = append(wanted, module.Version{Path: path, Version: version})
		}
	} else if err := g.download(ctx, p); err != nil {
		return err
	}
	slices.SortFunc(wanted, func(a, b module.Version) int { // go.mod files first
		return strings.Compare(sumOrder(a), sumOrder(b))
	})
	for _, v := range wanted {
		version, isMod := strings.CutSuffix(v.Version, "/go.mod")
		exts := []string{"info", "zip"}
		if isMod {
			exts = []string{"mod"}
		}
		if err := g.take(ctx, module.Version{Path: v.Path, Version: version}, exts...); err != nil {
			return err
		}
	}
	for _, platform := range platforms {
		if p.toolchain == "" {
			return &failure{exit: g.o.exit, key: "bundle.notoolchain", args: []any{p.name}, hint: "hint.bundle.notoolchain"}
		}
		v := module.Version{Path: "golang.org/toolchain", Version: "v0.0.1-" + p.toolchain + "." + strings.Replace(platform, "/", "-", 1)}
		if err := g.take(ctx, v, "mod", "info", "zip"); err != nil {
			return err
		}
	}
	return nil
}

func sumOrder(v module.Version) string {
	if strings.HasSuffix(v.Version, "/go.mod") {
		return "0" + v.Path + " " + v.Version
	}
	return "1" + v.Path + " " + v.Version
}

// take fetches files of one version. A .info tells nothing that a build needs: some
// servers lack those of old versions.
func (g *gathering) take(ctx context.Context, v module.Version, exts ...string) error {
	for _, ext := range exts {
		key, err := modbundle.Key(v, ext)
		if err != nil {
			return g.o.failed("bundle.fetch", "", err)
		}
		r, err := g.open(ctx, key)
		if errors.Is(err, modbundle.ErrAbsent) && ext == "info" {
			continue
		}
		if err != nil {
			return g.o.failed("bundle.fetch", "hint.bundle.fetch", err)
		}
		n, err := io.Copy(io.Discard, r)
		_ = r.Close()
		if err != nil {
			return g.o.failed("bundle.fetch", "hint.bundle.fetch", err)
		}
		g.note(key, n)
	}
	return nil
}

func (g *gathering) note(key string, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.files[key] {
		g.files[key] = true
		g.bytes += n
	}
}

// open asks the proxy for a file.
func (g *gathering) open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.proxy+"/"+key, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := g.client.Do(r)
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

func (g *gathering) read(ctx context.Context, key string) ([]byte, error) {
	r, err := g.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	return io.ReadAll(r)
}

// download lets go fetch in a copy of the project without its code, and keeps what it
// fetched in mind. The proxy has checked every file; go asks nobody else.
func (g *gathering) download(ctx context.Context, p project) error {
	dir, err := os.MkdirTemp(g.scratch, "project-*")
	if err != nil {
		return g.o.failed("bundle.fetch", "", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the store takes its scratch away, too
	for name, data := range p.layout {
		at := filepath.Join(dir, filepath.FromSlash(name))
		const private, own = 0o700, 0o600
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), private), os.WriteFile(at, data, own)); err != nil {
			return g.o.failed("bundle.fetch", "", err)
		}
	}
	work, flags := "off", "-modcacherw -mod=mod"
	if _, ok := p.layout["go.work"]; ok {
		work, flags = filepath.Join(dir, "go.work"), "-modcacherw"
	}
	cache := filepath.Join(dir, "mod")
	var said strings.Builder
	const patience = 12 * time.Hour // the proxy has deadlines of its own
	_, err = proc.Output(ctx, proc.Options{Dir: dir, Timeout: patience, Stderr: &said, Env: []string{
		"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=" + g.proxy, "GOSUMDB=off", "GONOSUMDB=", "GONOPROXY=none", "GOPRIVATE=", "GOVCS=*:off",
		"GOMODCACHE=" + cache, "GOWORK=" + work, "GOFLAGS=" + flags,
	}}, "go", "mod", "download")
	if err != nil {
		if ctx.Err() == nil {
			words := strings.ReplaceAll(strings.ReplaceAll(said.String(), g.proxy, "…"), dir, filepath.Dir(p.name))
			fmt.Fprintln(g.a.errs, present.Visible(strings.TrimSpace(mask.Text(words)), false))
			err = errors.New("go mod download")
		}
		return g.o.failed("bundle.fetch", "hint.bundle.fetch", err)
	}
	return g.remember(filepath.Join(cache, "cache", "download"))
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
			p.layout = map[string][]byte{}
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
	if under == "" {
		p.toolchain = toolchainOf(f.Go, f.Toolchain)
	}
	p.besides(strings.TrimSuffix(at, ".mod")+".sum", under+"go.sum")
	return nil
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
	p.layout = map[string][]byte{}
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
