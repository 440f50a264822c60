package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type proxyOptions struct {
	moduleOptions
	configOptions
	listen, tokenFile, quota string
	private, imports         []string
	importSums               []string
	scrub                    bool
	s3                       shareOptions

	newToken             string
	tlsCert, tlsKey, url string
	log, otlp            string
	grace                time.Duration
}

func newProxyCmd(a *app) *cobra.Command {
	o := proxyOptions{moduleOptions: moduleOptions{exit: exitError}}
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Serve Go modules to a team, from servers that may fail / 为团队提供 Go 模块代理",
		Long: "proxy serves the GOPROXY protocol: what is asked for is fetched from the servers of --upstream (or of GOPROXY),\n" +
			"checked, kept and served. It answers on this machine only, unless --token-file names who may ask. The access log\n" +
			"goes to standard output, one record a line; /metrics, /healthz and /stats/summary tell how it does. Tokens and\n" +
			"certificates are taken anew when their files change, or on SIGHUP. See docs/proxy.md.\n" +
			"为团队提供 Go 模块代理：从上游获取、校验、保存并提供模块。默认只在本机监听；对外监听需要 --token-file。\n" +
			"访问日志写到标准输出，每行一条；/metrics、/healthz 和 /stats/summary 显示运行状况。令牌和证书文件变化后自动重新读取，SIGHUP 则立即读取。见 docs/proxy.zh-CN.md。",
		Example: "  keepwell proxy --upstream https://goproxy.example.org,direct\n  GOPROXY=http://127.0.0.1:3000 go build ./...",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.modules = args
			o, err := a.configure(o)
			if err != nil {
				a.tellProblems(err)
				return err
			}
			if o.checkRules {
				return a.tryRules(cmd.Context(), o)
			}
			return o.sourced(a, runProxy(cmd.Context(), a, o))
		},
	}
	o.proxyFlags(cmd.Flags())
	a.helpGroups(cmd, proxyGroups())
	return cmd
}

func (o *proxyOptions) proxyFlags(flags *pflag.FlagSet) {
	o.flags(flags)
	o.s3.flags(flags)
	o.s3.quotaFlag(flags)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:3000", "listen at this address and port / 监听的地址和端口")
	flags.StringVar(&o.url, "url", "", "tell clients this address, where something stands before the proxy / 客户端访问本代理的地址（前面有其他服务时）")
	flags.StringVar(&o.tokenFile, "token-file", "", "a `FILE`: let in who has a token of this file: a line NAME TOKEN each / 只允许持有令牌者访问：文件每行一个“名称 令牌”")
	flags.StringVar(&o.newToken, "new-token", "", "print a fresh token for NAME and its line for --token-file, and end / 生成新令牌及其在 --token-file 中的一行，然后退出")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "serve https with this certificate chain (PEM) / 用此证书链（PEM）提供 https")
	flags.StringVar(&o.tlsKey, "tls-key", "", "use this private key of the certificate (PEM) / 证书的私钥（PEM）")
	flags.DurationVar(&o.grace, "grace", 30*time.Second, "let downloads go on for so long after a signal to end / 收到退出信号后，等待下载结束的时间")
	flags.BoolVar(&o.commaFriendly, "comma-friendly", false, "answer 404 where servers failed, so that go asks its next proxy / 上游失败时回答 404，让 go 去问下一个代理")

	flags.StringArrayVar(&o.upstreams, "upstream", nil, "ask these servers in order, A,B,C; A! makes a refusal final; PATTERNS=A for some modules (default: GOPROXY) / 依次使用的上游服务器 A,B,C；A! 表示其拒绝为最终结果；PATTERNS=A 仅用于部分模块（默认取 GOPROXY）")
	flags.StringArrayVar(&o.private, "allow-private", nil, "let direct and redirects reach this host inside the network / 允许 direct 和重定向访问此内网主机")

	flags.StringVar(&o.dir, "dir", "", "keep modules here (default: the user's cache) / 模块仓库目录（默认在用户缓存目录中）")
	flags.StringVar(&o.quota, "quota", "", "keep at most so much, such as 20G; what was wanted longest ago goes first / 仓库容量上限，例如 20G；最久未用的先清理")
	flags.StringArrayVar(&o.imports, "import", nil, "take what a GOMODCACHE, goproxy or Athens directory has, checked, then serve / 先校验并导入 GOMODCACHE、goproxy 或 Athens 目录，再提供服务")
	flags.StringArrayVar(&o.importSums, "import-sum", nil, "hold what is imported to this go.sum / 导入时用此 go.sum 对照")
	flags.BoolVar(&o.scrub, "scrub", false, "hold every file that is kept to its recorded sum, with --s3 also those of them in the bucket, and end / 校验仓库中的所有文件（有 --s3 时连同存储桶中的对应文件），然后退出")

	flags.StringVar(&o.log, "log", "json", "write logs as json or text / 日志格式：json 或 text")
	flags.StringVar(&o.otlp, "otlp", "", "send traces to this OpenTelemetry receiver (default: $OTEL_EXPORTER_OTLP_ENDPOINT) / 链路追踪接收端（默认取 $OTEL_EXPORTER_OTLP_ENDPOINT）")
}

// proxyGroups is the help of all these flags.
func proxyGroups() []flagGroup {
	return []flagGroup{
		{"help.proxy.ask", []string{"upstream=LIST", "allow-private=HOST"}},
		{"help.proxy.serve", []string{"listen=ADDRESS", "url=URL", "token-file=FILE", "new-token=NAME", "tls-cert=FILE", "tls-key=FILE", "grace=TIME", "comma-friendly"}},
		{"help.proxy.keep", []string{"dir=DIR", "quota=SIZE", "import=DIR", "import-sum=FILE", "scrub"}},
		{"help.proxy.share", []string{"s3=URL", "s3-quota=SIZE", "s3-unconditional"}},
		{"help.proxy.config", []string{"config=FILE", "check-rules"}},
		{"help.proxy.watch", []string{"log=FORM", "otlp=URL"}},
		{"help.all", []string{"format=FORM", "json", "lang=LANG", "color=WHEN", "help"}},
	}
}

func runProxy(ctx context.Context, a *app, o proxyOptions) error {
	if o.newToken != "" {
		return a.printToken(o.newToken)
	}
	quota, ok := size(o.quota)
	if !ok {
		return misused("proxy.quota", o.quota)
	}
	d, err := a.newDoor(o)
	if err != nil {
		return err
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return o.failed("route.nogo", "hint.nogo", err)
	}
	env := layers.Env()
	public := publicServers(layers)
	lists, err := o.upstreamLists(env, public)
	if err != nil {
		return err
	}
	if len(lists) == 0 {
		return &failure{exit: exitError, key: "proxy.off", args: []any{env.Value("GOPROXY")}, hint: "hint.proxy.off"}
	}
	store, err := o.openStore(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // it is whole at any moment
	if o.scrub {
		if err := a.scrubStore(ctx, o, store); err != nil {
			return err
		}
		return a.scrubShared(ctx, o, store) // what is still here is whole
	}
	endTraces, err := d.startTraces(ctx)
	if err != nil {
		return err
	}
	defer endTraces()
	kept, endSharing, err := o.share(ctx, o.s3, store, d.log)
	if err != nil {
		return err
	}
	defer endSharing()
	policy, firstSeen := o.rules()
	options := teamProxy(env, lists, kept, o.private)
	options.Policy, options.FirstSeen, options.CommaFriendly = policy, firstSeen, o.commaFriendly
	options.Lang, options.Log, options.Tracer = a.lang, d.log, d.tracer
	p, err := modproxy.New(context.WithoutCancel(ctx), options)
	if err != nil {
		return o.failed("proxy.start", "", err)
	}
	defer p.Close()
	if err := a.importModules(ctx, o, p); err != nil {
		return err
	}
	if o.config != "" {
		d.watch.Add("configuration", []string{o.config}, (&reloader{a, o, env, public, p}).load)
	}
	return d.serve(ctx, p, store, quota)
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// scrubStore tells which files have rotted; they are fetched anew when next wanted.
func (a *app) scrubStore(ctx context.Context, o proxyOptions, store *modstore.Store) error {
	done, err := store.Scrub(ctx)
	if err != nil {
		hint := ""
		if errors.Is(err, modstore.ErrDamaged) {
			hint = "hint.proxy.store.damaged"
		}
		return o.failed("proxy.scrub", hint, err)
	}
	a.tellScrubbed(done, "proxy.scrubbed")
	return nil
}

func (a *app) tellScrubbed(done modstore.Scrubbed, key string, args ...any) {
	args = append(args, done.Files, done.Bytes>>20, len(done.Bad), done.Missing)
	fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
	for _, b := range done.Bad {
		fmt.Fprintln(a.out, present.Visible("  "+b.Key+" ("+b.Source+"): "+b.Reason, true))
	}
	if done.Orphans > 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "proxy.orphans", done.Orphans, done.OrphanBytes>>10))
	}
	if len(done.Bad)+done.Missing > 0 {
		a.exit = exitFaults
	}
}

// buffered gathers the records of the access log: a write to the system for each would
// cost as much as the request. What was not written yet is lost where the process is
// killed.
type buffered struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func (b *buffered) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Write(data)
}

func (b *buffered) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.w.Flush() // nobody reads the log any more
}

// follow writes what there is, four times a second.
func (b *buffered) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.flush()
		case <-ctx.Done():
			return
		}
	}
}

// collect keeps the store within its quota, where there is one, and clears what no record
// names.
func collect(ctx context.Context, store *modstore.Store, quota int64) {
	const often = time.Hour
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		_, _ = store.Collect(ctx, modstore.Keep{Bytes: quota}) // the next round tries again
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// size reads 500M or 20G; empty is none.
func size(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	unit := strings.IndexByte("KMGT", s[len(s)-1])
	n, err := strconv.ParseInt(strings.TrimRight(s, "KMGT"), 10, 32)
	return n << (10 * (unit + 1)), err == nil && n > 0
}

// onlyHere tells addresses that no other machine reaches.
func onlyHere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// discardLog is for complaints about single connections.
func discardLog() *log.Logger {
	return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
}
