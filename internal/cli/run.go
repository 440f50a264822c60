package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/scratch"
)

type runOptions struct {
	moduleOptions
	mirrors, noMirrors bool
	command            []string
}

func newRunCmd(a *app) *cobra.Command {
	o := runOptions{moduleOptions: moduleOptions{exit: exitWrapper}}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG ...]",
		Short: "Run a command whose Go modules come although servers fail / 运行命令，服务器出故障时也能取得 Go 模块",
		Long: "run starts a module proxy on this machine for as long as COMMAND runs. Servers that fail, hang or send what is not\n" +
			"right are made good by the others of the list; what arrives is checked before go sees it. Without --upstream the\n" +
			"list is that of GOPROXY; GOPRIVATE, GONOPROXY, GOSUMDB and GONOSUMDB are kept to. The exit code is the command's.\n" +
			"在本机临时启动模块代理并运行命令：服务器出错、卡住或返回错误内容时，自动改用列表中的其他服务器。退出码与被运行的命令相同。",
		Example: "  keepwell run -- go build ./...\n  keepwell run --upstream https://goproxy.example.org,https://mirror.example.com -- go mod download",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.command = args
			return runRun(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringArrayVar(&o.upstreams, "upstream", nil, "servers in order, A,B,C; A! makes a refusal final; PATTERNS=A for some modules / 上游服务器列表")
	flags.BoolVar(&o.mirrors, "mirrors", false, "add public mirrors to a list of public ones (the default there) / 允许加入公共镜像")
	flags.BoolVar(&o.noMirrors, "no-mirrors", false, "ask nobody beside the list / 不加入公共镜像")
	flags.StringVar(&o.dir, "dir", "", "where modules are kept (default: the user's cache) / 模块仓库目录")
	return cmd
}

// nestedIn is set for the command: the address of the proxy that it runs behind.
const nestedIn = "KEEPWELL_RUN"

// nested tells whether a proxy of another `run` already stands before this one.
func (o runOptions) nested() bool {
	outer := os.Getenv(nestedIn)
	return outer != "" && os.Getenv("GOPROXY") == outer && len(o.upstreams) == 0 && !o.mirrors
}

func runRun(ctx context.Context, a *app, o runOptions) error {
	switch {
	case len(o.command) == 0:
		return &failure{exit: exitUsage, key: "run.nothing", hint: "hint.proxy.run"}
	case o.mirrors && o.noMirrors:
		return misused("run.both")
	}
	what := errandOf(o.command)
	switch {
	case o.nested(): // the outer one explains, too
		return a.follow(o, nil, what, nil)
	case !what.modules:
		return a.followAlone(ctx, o, what)
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if errors.Is(err, exec.ErrNotFound) && what.tool == "" {
		a.say("run.nogo")
		return a.follow(o, nil, what, nil)
	}
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return notStarted(o, err)
		}
		return o.failed("route.nogo", "hint.nogo", err)
	}
	env, public := layers.Env(), publicServers(layers)
	lists, err := o.lists(env, public)
	if err != nil {
		return err
	}
	if len(o.upstreams) == 0 && !o.noMirrors && len(lists) == 1 {
		var added bool
		if lists[0], added = withSpares(lists[0], env, public); o.mirrors && !added {
			return &failure{exit: exitUsage, key: "run.company", args: []any{env.Value("GOPROXY")}, hint: "hint.proxy.company"}
		}
	}
	if len(lists) == 0 { // off, or direct alone: nothing could be made good
		return a.followAlone(ctx, o, what)
	}
	store, done, err := a.openStoreAnywhere(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	return runBehind(ctx, a, o, what, env, lists, store)
}

// openStoreAnywhere opens the store, or, where the user's cache cannot be written and
// no place was named, one that lasts as long as the run.
func (a *app) openStoreAnywhere(ctx context.Context, o runOptions) (*modstore.Store, func(), error) {
	store, err := o.openStore(ctx, a)
	if err == nil {
		return store, func() { _ = store.Close() }, nil //nolint:contextcheck // it is whole at any moment
	}
	if o.dir != "" || ctx.Err() != nil {
		return nil, nil, err
	}
	dir, tempErr := os.MkdirTemp("", "keepwell-modules-")
	if tempErr != nil {
		return nil, nil, err
	}
	o.dir = dir
	store, tempErr = o.openStore(ctx, a)
	if tempErr != nil {
		scratch.Remove(dir)
		return nil, nil, err
	}
	a.say("run.tempstore", cause(errors.Unwrap(err)), dir)
	return store, func() { _ = store.Close(); scratch.Remove(dir) }, nil //nolint:contextcheck // as above
}

// followAlone runs a command with nothing between it and its servers, and explains
// what it printed if it fails.
func (a *app) followAlone(ctx context.Context, o runOptions, what errand) error {
	keep := &excerpt{}
	if err := a.follow(o, nil, what, keep); err != nil || !a.failedByItself(ctx) {
		return err
	}
	if text := keep.bytes(); len(text) > 0 {
		a.explain(ctx, inquest{heard: true, text: text, machine: lookAround(ctx, a)})
	}
	return nil
}

// failedByItself tells whether the command failed, and not by a signal.
func (a *app) failedByItself(ctx context.Context) bool {
	const signalled = 128
	return a.exit != 0 && a.exit < signalled && ctx.Err() == nil
}

// oldList is how long go waits for news of a list that is not of the last minutes.
const oldList = 400 * time.Millisecond

// runBehind runs the command behind a proxy.
func runBehind(ctx context.Context, a *app, o runOptions, what errand, env goenv.Env, lists []modproxy.List, store *modstore.Store) error {
	opts := modproxy.Options{
		Store: store, Lists: lists, Sums: sumLines(env), Database: env.Value("GOSUMDB"), Unlisted: env.Value("GONOSUMDB"), Auth: goAuth(env),
		Cache: filepath.Join(env.Value("GOMODCACHE"), "cache", "download"), Limits: modproxy.Limits{Old: oldList},
	}
	defer runtime.KeepAlive(ballast())
	// The proxy outlives the signal that ends the command: that may still ask.
	p, err := modproxy.New(context.WithoutCancel(ctx), opts)
	if err != nil {
		return o.failed("proxy.start", "", err)
	}
	defer func() { p.Close() }()
	unreached := ""
	if !databaseAnswers(ctx, p, store, env.Value("GOSUMDB")) {
		unreached, _, _ = strings.Cut(env.Value("GOSUMDB"), "+")
		p.Close()
		opts.Database = "off"
		if p, err = modproxy.New(context.WithoutCancel(ctx), opts); err != nil {
			return o.failed("proxy.start", "", err)
		}
	}
	secret := rand.Text()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return o.failed("proxy.listen", "", err, "127.0.0.1")
	}
	server := moduleServer(http.StripPrefix("/"+secret, p))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(modproxy.Quick(ln)) }) // ends by Close
	defer serving.Wait()
	defer server.Close() //nolint:errcheck // nobody listens any more
	base := "http://" + ln.Addr().String() + "/" + secret
	set := []string{"GOPROXY=" + base, nestedIn + "=" + base}
	if unreached != "" {
		set = append(set, "GOSUMDB=off")
	}
	keep := &excerpt{}
	if err := a.follow(o, set, what, keep); err != nil {
		return err
	}
	s := p.Summary()
	if unreached != "" && len(s.Served) > 0 {
		s.Unverified = unreached
	}
	a.warn(s)
	told := false
	if a.failedByItself(ctx) {
		q, env := inquest{heard: what.heard, text: keep.bytes(), base: base, lost: s.Lost}.asAsked(lists, env, o.upstreams)
		q.machine = machineWith(ctx, env)
		told = a.explain(ctx, q)
	}
	if !told {
		a.tell(s)
	}
	dropCopies(ctx, store, s.Zips, env.Value("GOMODCACHE"))
	return nil
}

// databaseFresh is how long a database that answered needs no other look before a run.
const databaseFresh = 10 * time.Minute

// databaseAnswers looks whether go could ask the checksum database: without it every
// new module fails, however good the proxy.
func databaseAnswers(ctx context.Context, p *modproxy.Proxy, store *modstore.Store, database string) bool {
	const name = "sumdb answered at"
	known, err := store.Note(ctx, name)
	if err == nil {
		at, value, _ := strings.Cut(known, " ")
		when, err := time.Parse(time.RFC3339, at)
		if since := time.Since(when); err == nil && value == database && since >= 0 && since < databaseFresh {
			return true
		}
	}
	if !p.DatabaseAnswers(ctx) {
		return false
	}
	_, _ = store.SetNote(ctx, name, known, time.Now().UTC().Format(time.RFC3339)+" "+database) // else it is asked again
	return true
}

// dropCopies forgets the zips that are in the module cache now: a second copy of each
// helps nobody.
func dropCopies(ctx context.Context, store *modstore.Store, zips []string, modcache string) {
	ctx = context.WithoutCancel(ctx)
	zips = slices.DeleteFunc(zips, func(key string) bool {
		e, err := store.Get(ctx, key)
		if err != nil {
			return true
		}
		st, err := os.Stat(filepath.Join(modcache, "cache", "download", filepath.FromSlash(key)))
		return err != nil || st.Size() != e.Size
	})
	_ = store.Forget(ctx, zips) // what stays is a copy too many, no more
}

// warn says what nobody may overlook.
func (a *app) warn(s modproxy.Summary) {
	for _, what := range s.Alarms {
		a.say("run.alarm", what)
	}
	if s.Unverified != "" {
		a.say("run.unverified", s.Unverified)
	}
}

// tell says in a line what had to be done; nothing where all went well.
func (a *app) tell(s modproxy.Summary) {
	if s.Saved == 0 || len(s.Complaints) == 0 {
		return
	}
	var served []string
	total := s.Failed
	for _, c := range s.Served {
		total += c.Files
		served = append(served, c.Upstream)
	}
	words := make([]string, 0, len(s.Complaints))
	const most = 3
	for i, c := range s.Complaints {
		if i == most {
			words = append(words, msg.Text(a.lang, "run.more", len(s.Complaints)-most))
			break
		}
		if word := msg.Text(a.lang, "run.complaint", c.Upstream, complaint(a.lang, c.Why)); !slices.Contains(words, word) {
			words = append(words, word) // of two with the same words, once
		}
	}
	a.say("run.saved", s.Saved, max(total, s.Saved), strings.Join(words, msg.Text(a.lang, "run.and")), strings.Join(served, ", "))
}
