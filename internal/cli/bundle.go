package cli

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
)

type bundleOptions struct {
	moduleOptions
	out, listen string
	toolchains  []string
}

func newBundleCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Carry the modules of a build to where there is no network",
		Long: "bundle create puts all modules that projects need into one file, with the proofs of the checksum database;\n" +
			"bundle serve serves that file to go where there is no network.\n" +
			"把构建所需的全部模块和校验数据库的证明打包成一个文件，带到没有网络的地方使用。",
	}
	cmd.AddCommand(newBundleCreateCmd(a), newBundleServeCmd(a))
	return cmd
}

func gatherFlags(cmd *cobra.Command, o *bundleOptions) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.upstreams, "upstream", nil, "servers in order, A,B,C; A! makes a refusal final; PATTERNS=A for some modules / 上游服务器列表")
	flags.StringVar(&o.dir, "dir", "", "where modules are kept (default: the user's cache) / 模块仓库目录")
	flags.StringSliceVar(&o.toolchains, "toolchain", nil, "also the go toolchain of the project, for these GOOS/GOARCH / 同时包含项目所用的 Go 工具链")
	flags.Lookup("toolchain").NoOptDefVal = "host"
}

func newBundleCreateCmd(a *app) *cobra.Command {
	o := bundleOptions{moduleOptions: moduleOptions{exit: exitError}}
	cmd := &cobra.Command{
		Use:   "create [go.mod|go.sum|go.work ...] -o FILE",
		Short: "Put what projects need into one file / 把项目所需的模块打包成一个文件",
		Long: "create fetches the modules that the projects need (without names: the one here), each checked, and writes them with\n" +
			"the proofs of the checksum database into FILE, a zip archive in the layout of GOPROXY. What was fetched is kept: a\n" +
			"second try goes on where the first ended. The same modules give the same bytes.\n" +
			"获取并校验项目所需的全部模块，连同校验数据库的证明写入一个文件。中断后重新运行会继续。",
		Example: "  keepwell bundle create -o modules.zip\n  keepwell bundle create a/go.mod b/go.work --toolchain=linux/amd64 -o modules.zip",
		RunE:    func(cmd *cobra.Command, args []string) error { return runBundleCreate(cmd.Context(), a, o, args) },
	}
	gatherFlags(cmd, &o)
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "the file to write / 输出文件")
	return cmd
}

func runBundleCreate(ctx context.Context, a *app, o bundleOptions, names []string) error {
	platforms, ok := platformsOf(o.toolchains)
	switch {
	case o.out == "":
		return misused("bundle.nofile")
	case !ok:
		return misused("bundle.platform", strings.Join(o.toolchains, ","))
	}
	return gather(ctx, a, o.moduleOptions, names, platforms, func(g *gathering) error {
		made, err := g.prove(ctx)
		if err != nil {
			return o.failed("bundle.prove", "hint.bundle.prove", err)
		}
		keys := slices.Collect(maps.Keys(g.files))
		if err := modbundle.Write(ctx, o.out, modbundle.Content{Keys: keys, Made: made, Open: g.open}); err != nil {
			return o.failed("bundle.write", "hint.bundle.write", cause(err), o.out)
		}
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.written", o.out, g.count(), len(keys)+len(made)), true))
		return nil
	})
}

// prove gathers what go will want of the checksum database.
func (g *gathering) prove(ctx context.Context) (map[string][]byte, error) {
	db, on := g.database()
	if !on {
		fmt.Fprintln(g.a.errs, msg.Text(g.a.lang, "bundle.nosums"))
		return nil, nil
	}
	skip := g.env.Value("GONOSUMDB")
	listed := slices.DeleteFunc(g.versions(), func(v module.Version) bool {
		return v.Path != "golang.org/toolchain" && module.MatchPrefixPatterns(skip, v.Path)
	})
	made, unknown, err := modbundle.Prover{Name: db.Name, Key: db.Key, Get: g.read}.Prove(ctx, listed)
	for _, v := range unknown {
		fmt.Fprintln(g.a.errs, present.Visible(msg.Text(g.a.lang, "bundle.unknown", db.Name, v.String()), true))
	}
	return made, err
}

func newBundleServeCmd(a *app) *cobra.Command {
	o := bundleOptions{moduleOptions: moduleOptions{exit: exitError}}
	cmd := &cobra.Command{
		Use:   "serve FILE",
		Short: "Serve the modules of a bundle to go / 用打包文件提供模块",
		Long: "serve answers go from a file of `bundle create`, without any network, and prints the settings to use. Unpacked with\n" +
			"any zip tool, the file is a directory for GOPROXY=file:///… as well.\n" +
			"不需要网络，直接用打包文件回答 go 的请求，并打印应使用的设置。解压后的目录也可以用作 GOPROXY=file:///…。",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runBundleServe(cmd.Context(), a, o, args[0]) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "address and port / 监听地址")
	return cmd
}

func runBundleServe(ctx context.Context, a *app, o bundleOptions, name string) error {
	if !onlyHere(o.listen) {
		return misused("bundle.listen", o.listen)
	}
	b, err := modbundle.Open(name)
	if err != nil {
		return o.failed("bundle.open", "hint.bundle.open", cause(err), name)
	}
	defer b.Close() //nolint:errcheck // only read
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return o.failed("proxy.listen", "hint.proxy.listen", err, o.listen)
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.serving", filepath.Base(name), b.Count()), true))
	fmt.Fprintf(a.out, "GOPROXY=http://%s\nGONOPROXY=none\n", ln.Addr())
	a.tellDatabase(ctx, b)
	server := moduleServer(b)
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	if err := notClosed(server.Serve(ln)); err != nil {
		return o.failed("proxy.listen", "", err, o.listen)
	}
	a.ended = true // a service ends by a signal: that is no failure
	return nil
}

// tellDatabase prints the GOSUMDB to use. The key is the reader's own: one from the file
// would vouch for whatever the file says.
func (a *app) tellDatabase(ctx context.Context, b *modbundle.Bundle) {
	env, err := goenv.Load(ctx, "")
	if err != nil {
		return // nobody here to ask for it
	}
	db, on, err := route.ReadDatabase(env.Value("GOSUMDB"))
	switch {
	case err != nil || !on:
		fmt.Fprintln(a.errs, msg.Text(a.lang, "bundle.sumsoff"))
	case !slices.Contains(b.Databases(), db.Name):
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.othersums", db.Name), true))
	default:
		value, _, _ := strings.Cut(env.Value("GOSUMDB"), " ") // with an address go would ask there
		fmt.Fprintln(a.out, "GOSUMDB="+value)
	}
}

func newWarmCmd(a *app) *cobra.Command {
	o := bundleOptions{moduleOptions: moduleOptions{exit: exitError}}
	cmd := &cobra.Command{
		Use:   "warm [go.mod|go.sum|go.work ...]",
		Short: "Fetch what projects need before anybody asks / 预先获取项目所需的模块",
		Long: "warm fills the store of `keepwell proxy` and `keepwell run` with what the projects need: the go.mod files, then the\n" +
			"code of the versions that are built with, nothing else.\n" +
			"按项目预先填充模块仓库：先取 go.mod 文件，再只取构建列表中的代码。",
		Example: "  keepwell warm go.work\n  keepwell warm */go.mod --dir /srv/modules",
		RunE: func(cmd *cobra.Command, args []string) error {
			platforms, ok := platformsOf(o.toolchains)
			if !ok {
				return misused("bundle.platform", strings.Join(o.toolchains, ","))
			}
			return gather(cmd.Context(), a, o.moduleOptions, args, platforms, func(g *gathering) error {
				fmt.Fprintln(a.errs, msg.Text(a.lang, "bundle.warm", g.count(), len(g.files), float64(g.bytes)/(1<<20)))
				return nil
			})
		},
	}
	gatherFlags(cmd, &o)
	return cmd
}
