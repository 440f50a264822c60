package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	gatherOptions
	out, listen string
	since       []string
}

func newBundleCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Carry the modules of a build to where there is no network / 把构建所需的模块带到没有网络的地方",
		Long: "bundle create puts all modules that projects need into one file, with the proofs of the checksum database;\n" +
			"bundle serve serves such files to go where there is no network, bundle unpack makes a directory of them for\n" +
			"GOPROXY=file://. bundle list shows what is inside, bundle verify proves it.\n" +
			"把构建所需的全部模块和校验数据库的证明打包成一个文件，带到没有网络的地方使用。",
	}
	cmd.AddCommand(newBundleCreateCmd(a), newBundleServeCmd(a), newBundleUnpackCmd(a), newBundleListCmd(a), newBundleVerifyCmd(a))
	return cmd
}

func gatherFlags(cmd *cobra.Command, o *gatherOptions) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.upstreams, "upstream", nil, "servers in order, A,B,C; A! makes a refusal final; PATTERNS=A for some modules / 上游服务器列表")
	flags.StringVar(&o.dir, "dir", "", "where modules are kept (default: the user's cache) / 模块仓库目录")
	flags.StringSliceVar(&o.toolchains, "toolchain", nil, "also the go toolchain of the project, for these GOOS/GOARCH / 同时包含项目所用的 Go 工具链")
	flags.Lookup("toolchain").NoOptDefVal = "host"
	flags.BoolVar(&o.all, "all", false, "also what go mod tidy and go list -m all read / 同时包含 go mod tidy 和 go list -m all 所需的内容")
	flags.BoolVar(&o.dry, "dry-run", false, "say what would be taken and how large it is / 只列出将要获取的内容及大小")
}

func newBundleCreateCmd(a *app) *cobra.Command {
	o := bundleOptions{gatherOptions: gatherOptions{moduleOptions: moduleOptions{exit: exitError}}}
	cmd := &cobra.Command{
		Use:   "create [go.mod|go.sum|go.work ...] -o FILE",
		Short: "Put what projects need into one file / 把项目所需的模块打包成一个文件",
		Long: "create fetches the modules that the projects need (without names: the one here), each checked, and writes them with\n" +
			"the proofs of the checksum database into FILE, a zip archive in the layout of GOPROXY. That is enough to build, vet\n" +
			"and test without a network; --all adds what `go mod tidy` reads. What was fetched is kept: a second try goes on where\n" +
			"the first ended. With --since only what those bundles lack is written. The same modules give the same bytes.\n" +
			"获取并校验项目所需的全部模块，连同校验数据库的证明写入一个文件。中断后重新运行会继续；--since 只写入新增内容。",
		Example: "  keepwell bundle create -o modules.zip\n  keepwell bundle create a/go.mod b/go.work --toolchain=linux/amd64 -o modules.zip\n" +
			"  keepwell bundle create --since modules.zip -o february.zip",
		RunE: func(cmd *cobra.Command, args []string) error { return runBundleCreate(cmd.Context(), a, o, args) },
	}
	gatherFlags(cmd, &o.gatherOptions)
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "the file to write / 输出文件")
	cmd.Flags().StringArrayVar(&o.since, "since", nil, "a bundle that is there already: only what it lacks is written / 已有的打包文件，只写入新增内容")
	return cmd
}

func runBundleCreate(ctx context.Context, a *app, o bundleOptions, names []string) error {
	if o.out == "" && !o.dry {
		return misused("bundle.nofile")
	}
	if err := a.oneDocument(); err != nil {
		return err
	}
	older, err := modbundle.OpenSet(o.since...)
	if err != nil {
		return o.unopened(err)
	}
	defer older.Close() //nolint:errcheck // only read
	return gather(ctx, a, o.gatherOptions, names, func(g *gathering) error {
		if o.dry {
			return a.tellPlan(g, older)
		}
		return g.write(ctx, o, older)
	})
}

// unopened tells which bundle cannot be used, and why.
func (o moduleOptions) unopened(err error) error {
	var f *modbundle.FileError
	if !errors.As(err, &f) {
		return o.failed("bundle.open", "hint.bundle.open", cause(err), "")
	}
	var base *modbundle.BaseError
	hint := "hint.bundle.open"
	switch {
	case errors.As(err, &base):
		ids := make([]string, len(base.Missing))
		for i, id := range base.Missing {
			ids[i] = modbundle.Short(id)
		}
		return &failure{exit: o.exit, key: "bundle.base", args: []any{f.Name, strings.Join(ids, ", ")}, hint: "hint.bundle.base", unwrapped: err}
	case errors.Is(err, fs.ErrNotExist):
		hint = "hint.bundle.missing"
	}
	return o.failed("bundle.open", hint, cause(f.Err), f.Name)
}

// created is what `bundle create` says to programs.
type created struct {
	File string `json:"file"`
	// ID names the bundle in those that continue it.
	ID         string   `json:"id"`
	Since      []string `json:"since"`
	Size       int64    `json:"size"`
	Files      int      `json:"files"`
	Modules    int      `json:"modules"` // with code
	Toolchains []string `json:"toolchains"`
	Database   string   `json:"database"` // "" where GOSUMDB is off
	// Unproved are versions that the database does not vouch for.
	Unproved []string `json:"unproved"`
}

// write writes the bundle.
func (g *gathering) write(ctx context.Context, o bundleOptions, older *modbundle.Set) error {
	made, err := g.prove(ctx, older)
	if err != nil {
		return o.failed("bundle.prove", "hint.bundle.prove", err)
	}
	keys := slices.DeleteFunc(g.keys(), older.Has)
	modules, err := g.modules(ctx, keys, func(lookup string) bool { return made[lookup] != nil || older.Has(lookup) })
	if err != nil {
		return o.failed("proxy.store", "", err)
	}
	g.startWriting(keys)
	w, err := modbundle.Write(ctx, o.out, modbundle.Content{
		Keys: keys, Made: made, Modules: modules, Since: older.IDs(), Open: g.open,
		Wrote: func(f modbundle.File) { g.mu.Lock(); g.came++; g.bytes += f.Size; g.mu.Unlock() },
	})
	if err != nil {
		return o.failed("bundle.write", "hint.bundle.write", cause(err), o.out)
	}
	doc := created{File: o.out, ID: w.ID, Since: older.IDs(), Size: w.Size, Files: w.Files, Toolchains: []string{}, Unproved: []string{}}
	if db, on := g.database(); on {
		doc.Database = db.Name
	}
	if doc.Since == nil {
		doc.Since = []string{}
	}
	for _, m := range modules {
		if m.Zip != "" {
			doc.Modules++
		}
		if m.Path == toolchainPath {
			doc.Toolchains = append(doc.Toolchains, m.Version)
		}
		if m.Trust != "sumdb" {
			doc.Unproved = append(doc.Unproved, m.Path+"@"+m.Version)
		}
	}
	fmt.Fprintln(g.a.errs, present.Visible(msg.Text(g.a.lang, "bundle.written", o.out, doc.Modules, doc.Files, mebibytes(doc.Size), modbundle.Short(doc.ID)), true))
	return g.a.document(doc)
}

// startWriting makes the progress that of writing.
func (g *gathering) startWriting(keys []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted, g.came, g.bytes, g.failed = len(keys), 0, 0, nil
}

// modules are what the manifest says of the versions of keys.
func (g *gathering) modules(ctx context.Context, keys []string, proved func(lookup string) bool) ([]modbundle.Module, error) {
	db, _ := g.database()
	all := map[module.Version]modbundle.Module{}
	for _, key := range keys {
		v, ok := modbundle.Version(key)
		isZip := strings.HasSuffix(key, ".zip")
		if !ok || !isZip && !strings.HasSuffix(key, ".mod") {
			continue
		}
		e, err := g.store.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		m := all[v]
		m.Path, m.Version = v.Path, v.Version
		if isZip {
			m.Zip, m.Trust = e.H1, e.Via
		} else {
			m.Mod = e.H1
		}
		if m.Trust == "" {
			m.Trust = e.Via
		}
		if lookup, err := modbundle.Lookup(db.Name, v); err == nil && proved(lookup) {
			m.Trust = "sumdb"
		}
		all[v] = m
	}
	return slices.Collect(maps.Values(all)), nil
}

// prove gathers what go will want of the checksum database, beside what older has.
func (g *gathering) prove(ctx context.Context, older *modbundle.Set) (map[string][]byte, error) {
	db, on := g.database()
	if !on {
		fmt.Fprintln(g.a.errs, msg.Text(g.a.lang, "bundle.nosums"))
		return nil, nil
	}
	skip := g.env.Value("GONOSUMDB")
	all := g.versions()
	for _, m := range older.Modules() {
		all = append(all, module.Version{Path: m.Path, Version: m.Version})
	}
	module.Sort(all)
	listed := slices.DeleteFunc(slices.Compact(all), func(v module.Version) bool {
		return v.Path != toolchainPath && module.MatchPrefixPatterns(skip, v.Path)
	})
	made, unknown, err := modbundle.Prover{Name: db.Name, Key: db.Key, Get: g.read, Have: older.ReadFile, Heads: older.Heads(db.Name)}.Prove(ctx, listed)
	for _, v := range unknown {
		fmt.Fprintln(g.a.errs, present.Visible(msg.Text(g.a.lang, "bundle.unknown", db.Name, v.String()), true))
	}
	return made, err
}

func newBundleServeCmd(a *app) *cobra.Command {
	o := bundleOptions{gatherOptions: gatherOptions{moduleOptions: moduleOptions{exit: exitError}}}
	cmd := &cobra.Command{
		Use:   "serve FILE ...",
		Short: "Serve the modules of bundles to go / 用打包文件提供模块",
		Long: "serve checks every file of the bundles and serves them to go on this machine until it is stopped. Standard output gets\n" +
			"the settings to use. A bundle made with --since is named together with those that it continues.\n" +
			"检查打包文件中的每个文件，在本机向 go 提供模块，直到停止。标准输出给出要使用的设置。",
		Example: "  keepwell bundle serve modules.zip\n  keepwell bundle serve modules.zip february.zip",
		Args:    someBundles,
		RunE:    func(cmd *cobra.Command, args []string) error { return runBundleServe(cmd.Context(), a, o, args) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "address and port / 监听地址")
	return cmd
}

// someBundles wants at least one file.
func someBundles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return misused("bundle.none")
	}
	return nil
}

// checked opens bundles and holds each of their files to the manifest.
func (a *app) checked(ctx context.Context, o moduleOptions, names []string) (*modbundle.Set, error) {
	s, err := modbundle.OpenSet(names...)
	if err != nil {
		return nil, o.unopened(err)
	}
	var total int64
	for _, b := range s.Bundles {
		total += b.Size
	}
	count, done := a.counting("bundle.checking", total)
	err = s.Check(ctx, count)
	done()
	if err != nil {
		_ = s.Close()
		return nil, o.unopened(err)
	}
	return s, nil
}

// counting is progress over bytes.
func (a *app) counting(key string, total int64) (count func(int64), done func()) {
	var mu sync.Mutex
	var read int64
	done = a.progress(func() string {
		mu.Lock()
		defer mu.Unlock()
		return msg.Text(a.lang, key, meter(int(read>>10), int(total>>10)), mebibytes(read), mebibytes(total))
	})
	return func(n int64) { mu.Lock(); read += n; mu.Unlock() }, done
}

func runBundleServe(ctx context.Context, a *app, o bundleOptions, names []string) error {
	if !onlyHere(o.listen) {
		return misused("bundle.listen", o.listen)
	}
	s, err := a.checked(ctx, o.moduleOptions, names)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // only read
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return o.failed("proxy.listen", "hint.proxy.listen", err, o.listen)
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.serving", baseNames(s), s.Count()), true))
	a.tellSettings(ctx, "http://"+ln.Addr().String(), s)
	server := moduleServer(s)
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

func baseNames(s *modbundle.Set) string {
	var list []string
	for _, b := range s.Bundles {
		list = append(list, filepath.Base(b.Name))
	}
	return strings.Join(list, ", ")
}

// tellSettings prints what go has to be set to. The key of the database is the reader's
// own: one from the file would vouch for whatever the file says.
func (a *app) tellSettings(ctx context.Context, proxy string, s *modbundle.Set) {
	fmt.Fprintf(a.out, "GOPROXY=%s\nGONOPROXY=none\n", proxy)
	env, err := goenv.Load(ctx, "")
	if err != nil {
		return // nobody here to ask for it
	}
	db, on, err := route.ReadDatabase(env.Value("GOSUMDB"))
	switch {
	case err != nil || !on:
		fmt.Fprintln(a.errs, msg.Text(a.lang, "bundle.sumsoff"))
	case !slices.Contains(s.Databases(), db.Name):
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.othersums", db.Name), true))
	default:
		value, _, _ := strings.Cut(env.Value("GOSUMDB"), " ") // with an address go would ask there
		fmt.Fprintln(a.out, "GOSUMDB="+value)
		if unlisted := unlisted(env.Value("GONOSUMDB"), db.Name, s); unlisted != "" {
			fmt.Fprintln(a.out, "GONOSUMDB="+unlisted)
		}
	}
}

// unlisted is GONOSUMDB as it is, and the modules that the database does not know: private
// ones, whose content go.sum has to hold.
func unlisted(patterns, database string, s *modbundle.Set) string {
	list := strings.FieldsFunc(patterns, func(r rune) bool { return r == ',' })
	for _, m := range s.Modules() {
		v := module.Version{Path: m.Path, Version: m.Version}
		if lookup, err := modbundle.Lookup(database, v); err != nil || s.Has(lookup) || module.MatchPrefixPatterns(strings.Join(list, ","), v.Path) {
			continue
		}
		list = append(list, v.Path)
	}
	return strings.Join(list, ",")
}
