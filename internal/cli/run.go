package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
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
		Short: "Run a command whose Go modules come although servers fail",
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

func runRun(ctx context.Context, a *app, o runOptions) error {
	switch {
	case len(o.command) == 0:
		return &failure{exit: exitUsage, key: "run.nothing", hint: "hint.proxy.run"}
	case o.mirrors && o.noMirrors:
		return misused("run.both")
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
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
		return a.follow(o, nil)
	}
	store, err := o.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // the command's result counts; the store is whole at any moment
	return runBehind(ctx, a, o, env, lists, store)
}

// runBehind runs the command behind a proxy.
func runBehind(ctx context.Context, a *app, o runOptions, env goenv.Env, lists []modproxy.List, store *modstore.Store) error {
	opts := modproxy.Options{
		Store: store, Lists: lists, Sums: sumLines(env), Database: env.Value("GOSUMDB"), Unlisted: env.Value("GONOSUMDB"), Netrc: netrcFile(env),
	}
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
	set := []string{"GOPROXY=http://" + ln.Addr().String() + "/" + secret}
	if unreached != "" {
		set = append(set, "GOSUMDB=off")
	}
	if err := a.follow(o, set); err != nil {
		return err
	}
	s := p.Summary()
	if unreached != "" && len(s.Served) > 0 {
		s.Unverified = unreached
	}
	a.tell(s)
	dropCopies(ctx, store, s.Zips, env.Value("GOMODCACHE"))
	return nil
}

// follow runs the command with set on top of the environment, and passes signals on.
func (a *app) follow(o runOptions, set []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	passed := make(chan os.Signal)
	quit := make(chan struct{})
	var passing sync.WaitGroup
	_, terminal := terminal(a.in)
	passing.Go(func() {
		for {
			select {
			case s := <-signals:
				if s == os.Interrupt && terminal {
					continue // the terminal tells the command itself
				}
				select {
				case passed <- s:
				case <-quit:
					return
				}
			case <-quit:
				return
			}
		}
	})
	code, err := proc.Follow(append(os.Environ(), set...), a.in, a.out, a.errs, passed, o.command[0], o.command[1:]...)
	close(quit)
	passing.Wait()
	if err != nil {
		return o.failed("run.start", "hint.proxy.run", plainCause(err))
	}
	a.exit, a.ended = code, true
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

// tell says on standard error what had to be done; nothing where all went well.
func (a *app) tell(s modproxy.Summary) {
	say := func(key string, args ...any) {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, key, args...), true))
	}
	for _, what := range s.Alarms {
		say("run.alarm", what)
	}
	if s.Unverified != "" {
		say("run.unverified", s.Unverified)
	}
	if s.Saved == 0 && s.Failed == 0 {
		return
	}
	total := s.Failed
	var by []string
	for _, c := range s.Served {
		total += c.Files
		by = append(by, msg.Text(a.lang, "run.by", c.Upstream, c.Files))
	}
	if s.Failed > 0 {
		say("run.failed", s.Failed, s.Saved)
	} else {
		say("run.saved", s.Saved, max(total, s.Saved))
	}
	const most = 6
	for i, c := range s.Complaints {
		if i == most {
			say("run.more", len(s.Complaints)-most)
			break
		}
		if words := complaint(a.lang, c.Why); c.Times == 1 {
			say("run.complaint1", c.Upstream, words)
		} else {
			say("run.complaint", c.Upstream, words, c.Times)
		}
	}
	if len(by) > 0 {
		say("run.served", strings.Join(by, ", "))
	}
}
