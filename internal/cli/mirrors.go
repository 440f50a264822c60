package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

type mirrorsOptions struct {
	ecosystems  []string
	set         string // "" none, "best", or a name
	undo        string // "" none, "last", or a number
	module      string // NAME@VERSION; "" is the catalogue's
	catalogue   string // a file in the place of the embedded one; for tests
	offline     bool
	yes, dryRun bool
	args        []string
}

// bestMirror is --set without a name.
const bestMirror = "best"

func newMirrorsCmd(a *app) *cobra.Command {
	var o mirrorsOptions
	cmd := &cobra.Command{
		Use:   "mirrors [--set [NAME] | --undo[=N]] [--ecosystem go|npm|pypi|all] [--module NAME@VERSION]",
		Short: "Measure the known mirrors from here, compare them, and set one / 测量、比较已知的镜像，并设置其中一个",
		Long: "mirrors measures public mirrors of Go modules, npm or Python packages from this machine, through the HTTP proxy in\n" +
			"force: latency, speed, freshness, checksum database, whether their answers are right. It ranks them and says which\n" +
			"to use; --set writes the settings that use one, as one consistent set that --undo takes back. Patterns of private\n" +
			"modules and servers of your own stay; verification is never turned off. No login is sent to a mirror.\n" +
			"从本机测量 Go、npm、PyPI 的公共镜像：延迟、速度、是否最新、校验和数据库、回答是否正确；排名、推荐，\n" +
			"并用 --set 写成一组一致的设置，用 --undo 撤销。私有模块的模式和自己的服务器都会保留，校验永远不会被关掉。",
		Example: "  keepwell mirrors\n  keepwell mirrors --ecosystem all --json\n  keepwell mirrors --set\n  keepwell mirrors --set goproxy.cn --dry-run\n  keepwell mirrors --ecosystem npm --set npmmirror\n  keepwell mirrors --undo",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.args = args
			return runMirrors(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.set, "set", "", "use the mirror of this name, or the recommended one / 使用指定的镜像，不写名字则用推荐的")
	flags.Lookup("set").NoOptDefVal = bestMirror
	flags.StringVar(&o.undo, "undo", "", "take back the last change, or the one of this number / 撤销最近一次或指定编号的改动")
	flags.Lookup("undo").NoOptDefVal = lastChange
	flags.StringSliceVar(&o.ecosystems, "ecosystem", []string{"go"}, "go, npm, pypi or all / 生态")
	flags.StringVar(&o.module, "module", "", "download this public NAME@VERSION to measure speed / 用它来测速")
	flags.BoolVar(&o.offline, "offline", false, "ask nobody: list what is known / 不访问任何服务器")
	flags.BoolVar(&o.yes, "yes", false, "agree to the change; does not cover what only a person can decide / 同意改动")
	flags.BoolVar(&o.dryRun, "dry-run", false, "with --set: show the change and stop / 只显示改动")
	flags.StringVar(&o.catalogue, "catalogue", "", "a catalogue in the place of the embedded one")
	_ = flags.MarkHidden("catalogue") // it exists
	return cmd
}

// downloaded names what speed is measured by.
func (s section) downloaded() string {
	path, version := s.ask.File()
	return path + "@" + version
}

// section is what was measured of one ecosystem.
type section struct {
	eco     mirrors.Ecosystem
	def     string // what the tool comes with; "" where it could not be asked
	ask     mirrors.Ask
	options mirrors.Options
	list    []mirrors.Measured
}

func runMirrors(ctx context.Context, a *app, o mirrorsOptions) error {
	if o.undo == lastChange && len(o.args) == 1 { // --undo 3
		o.undo, o.args = o.args[0], nil
	}
	if o.set == bestMirror && len(o.args) == 1 { // --set NAME
		o.set, o.args = o.args[0], nil
	}
	switch {
	case len(o.args) > 0:
		return misused("err.mirrors.words", strings.Join(o.args, " "))
	case o.undo != "" && (o.set != "" || o.module != ""):
		return misused("err.mirrors.undo")
	case o.undo != "":
		return runUndo(ctx, a, "mirrors", o.undo)
	}
	ecosystems, err := ecosystemsOf(o)
	if err != nil {
		return err
	}
	catalogue, err := readCatalogue(o.catalogue)
	if err != nil {
		return &failure{exit: exitError, key: "err.mirrors.catalogue", args: []any{err}, hint: "hint.mirrors.catalogue", unwrapped: err}
	}
	s, err := settings.Load(ctx, "")
	if err != nil && !errors.Is(err, settings.ErrNoGo) {
		return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.open", unwrapped: err}
	}
	if err != nil && slices.Contains(ecosystems, mirrors.Go) {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "env.nogo", err), true))
	}
	sections := make([]section, 0, len(ecosystems))
	for _, eco := range ecosystems {
		sec, err := newSection(ctx, a, o, eco, catalogue, s)
		if err != nil {
			return err
		}
		sections = append(sections, sec)
	}
	measureAll(ctx, a, sections)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.set != "" {
		return runMirrorsSet(ctx, a, o, s, catalogue, &sections[0])
	}
	return showMirrors(a, catalogue, s, sections, o)
}

func ecosystemsOf(o mirrorsOptions) ([]mirrors.Ecosystem, error) {
	var list []mirrors.Ecosystem
	for _, name := range o.ecosystems {
		eco := mirrors.Ecosystem(name)
		switch {
		case name == "all":
			list = mirrors.Ecosystems()
		case !slices.Contains(mirrors.Ecosystems(), eco):
			return nil, misused("err.mirrors.ecosystem", mask.Text(name))
		case !slices.Contains(list, eco):
			list = append(list, eco)
		}
	}
	if len(list) != 1 && (o.set != "" || o.module != "") {
		return nil, misused("err.mirrors.alone")
	}
	return list, nil
}

func readCatalogue(name string) (*mirrors.Catalogue, error) {
	if name == "" {
		return mirrors.Embedded()
	}
	data, err := plainfile.Read(name)
	if err != nil {
		return nil, err
	}
	return mirrors.Read(data)
}

// newSection gathers the mirrors to compare, or the one that is to be set.
func newSection(ctx context.Context, a *app, o mirrorsOptions, eco mirrors.Ecosystem, c *mirrors.Catalogue, s *settings.Settings) (section, error) {
	sec := section{eco: eco, ask: c.Asks[eco], def: mirrors.Default(ctx, eco, s)}
	if sec.def == "" {
		fmt.Fprintln(a.errs, msg.Text(a.lang, "hint", msg.Text(a.lang, "mirrors.nodefault", map[mirrors.Ecosystem]string{"go": "go", "npm": "npm", "pypi": "pip"}[eco])))
	}
	if o.module != "" {
		if err := askModule(&sec, o.module, s); err != nil {
			return sec, err
		}
	}
	sec.options = mirrors.Options{Proxy: httpproxy.FromEnvironment().ProxyFunc(), Offline: o.offline, SumDB: s.Env.Value("GOSUMDB")}
	if sec.options.SumDB == "off" || sec.options.SumDB == "" { // mirrors are compared by what verifies
		sec.options.SumDB = mirrors.SumName
	}
	candidates := mirrors.Candidates(c, eco, s, sec.def)
	if o.set != "" && o.set != bestMirror {
		i := slices.IndexFunc(candidates, func(m mirrors.Mirror) bool { return m.Name == o.set && m.Origin != mirrors.FromSettings })
		if i < 0 {
			var known []string
			for _, m := range candidates {
				if m.Origin != mirrors.FromSettings {
					known = append(known, m.Name)
				}
			}
			return sec, misused("err.mirrors.name", mask.Text(o.set), strings.Join(known, ", "))
		}
		candidates = candidates[i : i+1]
	}
	for _, m := range candidates {
		sec.list = append(sec.list, mirrors.Measured{Mirror: m})
	}
	return sec, nil
}

// askModule takes NAME@VERSION for what is downloaded. A private name is not told to
// strangers.
func askModule(sec *section, arg string, s *settings.Settings) error {
	bad := &failure{exit: exitUsage, key: "err.mirrors.module", args: []any{mask.Text(arg)}, hint: "hint.mirrors.private"}
	at := strings.LastIndex(arg, "@")
	if at < 1 {
		return bad
	}
	sec.ask.FilePath, sec.ask.FileVersion = arg[:at], arg[at+1:]
	if sec.ask.Validate(sec.eco) != nil {
		return bad
	}
	if sec.eco != mirrors.Go {
		return nil
	}
	private := strings.Join([]string{s.Env.Value("GOPRIVATE"), s.Env.Value("GONOPROXY"), s.Env.Value("GONOSUMDB")}, ",")
	if module.MatchPrefixPatterns(private, arg[:at]) || settings.PrivateLooking(arg[:at]) {
		return &failure{exit: exitUsage, key: "err.mirrors.private", args: []any{arg[:at]}, hint: "hint.mirrors.private"}
	}
	return nil
}

// measureAll measures the ecosystems side by side.
func measureAll(ctx context.Context, a *app, sections []section) {
	var wg sync.WaitGroup
	_, isTerminal := terminal(a.errs)
	for i := range sections {
		sec := &sections[i]
		if isTerminal && !sec.options.Offline {
			fmt.Fprintln(a.errs, msg.Text(a.lang, "mirrors.looking", msg.Text(a.lang, "mirrors.word."+string(sec.eco))))
		}
		list := make([]mirrors.Mirror, len(sec.list))
		for j, m := range sec.list {
			list[j] = m.Mirror
		}
		wg.Go(func() { sec.list = mirrors.Measure(ctx, list, sec.ask, sec.options) })
	}
	wg.Wait()
}

// showMirrors is `keepwell mirrors` itself. Where nothing could be measured, the command
// could not do what it is for.
func showMirrors(a *app, c *mirrors.Catalogue, s *settings.Settings, sections []section, o mirrorsOptions) error {
	measured := o.offline
	for _, sec := range sections {
		measured = measured || slices.ContainsFunc(sec.list, wasMeasured)
	}
	if !measured {
		a.exit = exitError
	}
	format := present.Format(a.format)
	if format != present.Text {
		doc := mirrorsDocument{Command: "mirrors", Catalogue: c.Checked}
		for _, sec := range sections {
			doc.Ecosystems = append(doc.Ecosystems, a.mirrorsSection(sec))
		}
		return shown(a, present.Data(a.out, format, doc))
	}
	for i, sec := range sections {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		lines := slices.Concat(a.mirrorsTable(c, sec), a.recommendation(sec, s))
		if err := shown(a, present.Outline(a.out, a.style(), lines)); err != nil {
			return err
		}
	}
	return nil
}

// wasMeasured reports mirrors that answered, rightly or not.
func wasMeasured(m mirrors.Measured) bool { return m.Protocol.State != observe.NotChecked }

// via is the HTTP proxy that mirrors are asked through, "" where there is none.
func via(sec section) string {
	if sec.options.Proxy == nil || len(sec.list) == 0 {
		return ""
	}
	u, err := url.Parse(sec.list[0].URL)
	if err != nil {
		return ""
	}
	p, err := sec.options.Proxy(u)
	if err != nil || p == nil {
		return ""
	}
	return p.Host
}
