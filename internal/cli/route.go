package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

type routeOptions struct {
	modules []string // MODULE[@VERSION]; empty is the build list
	env     []string // NAME=VALUE
}

func newRouteCmd(a *app) *cobra.Command {
	var o routeOptions
	cmd := &cobra.Command{
		Use:   "route [MODULE[@VERSION] ...]",
		Short: "Show which servers go would ask for a module, by which rule, and who would learn of it / 显示 go 会向哪些服务器获取模块、依据哪条规则、谁会得知模块名",
		Long: "route tells, without asking any server, where go would fetch modules from: which servers in which order, by\n" +
			"which setting, what falls through on which status, how checksums are verified, with which credentials, and\n" +
			"which private looking names would be told to public servers. Without a module it takes the whole build list.\n" +
			"不访问网络，说明 go 会按什么顺序向哪些服务器请求模块、依据哪条设置、哪些私有名字会泄露给谁。",
		Example: "  keepwell route\n  keepwell route github.com/spf13/cobra@v1.10.2\n  keepwell route --env GOPROXY=direct --env GOPRIVATE='*.corp.example.com'",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.modules = args
			return runRoute(cmd.Context(), a, o)
		},
	}
	cmd.Flags().StringArrayVar(&o.env, "env", nil, "try another setting, NAME=VALUE (repeatable) / 换一个设置试算")
	return cmd
}

// routes is the document of `keepwell route --json`.
type routes struct {
	Command string `json:"command"`
	// Tried are the settings of --env.
	Tried  []string      `json:"tried"`
	Leaks  []route.Told  `json:"leaks"`
	Groups []route.Group `json:"groups"`
	Routes []route.Route `json:"routes"`
}

func runRoute(ctx context.Context, a *app, o routeOptions) error {
	format := present.Format(a.format)
	if format != present.Text && !format.Machine() {
		return misused("route.onlytext", a.format)
	}
	cfg, err := routeConfig(ctx, a, o.env)
	if err != nil {
		return err
	}
	queries, err := routeQueries(ctx, a, cfg, o.modules)
	if err != nil {
		return err
	}
	list := planAll(cfg, queries)
	doc := routes{
		Command: "route", Tried: masked(o.env), Leaks: append([]route.Told{}, route.Leaks(list)...),
		Groups: append([]route.Group{}, route.Groups(list)...), Routes: append([]route.Route{}, list...),
	}
	if format.Machine() {
		return shown(a, present.Data(a.out, format, doc))
	}
	words := routeWords{lang: a.lang, private: cfg.Env.Value("GOPRIVATE")}
	lines := words.tried(o.env)
	if len(o.modules) == 0 {
		lines = append(lines, words.summary(doc)...)
	} else {
		for i, r := range list {
			if i > 0 {
				lines = append(lines, present.Line{})
			}
			lines = append(lines, words.route(r)...)
		}
	}
	a.exit = exitForRoutes(list)
	return shown(a, present.Outline(a.out, a.style(), lines))
}

func masked(list []string) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, mask.Text(s))
	}
	return out
}

// planAll tells the routes of all queries under one configuration.
func planAll(cfg route.Config, queries []route.Query) []route.Route {
	list := make([]route.Route, 0, len(queries))
	for _, q := range queries {
		list = append(list, route.Plan(cfg, q))
	}
	return list
}

// exitForRoutes counts what is certainly wrong: settings that stop go, and names told
// to servers that are known to be public.
func exitForRoutes(list []route.Route) int {
	for _, r := range list {
		if len(r.Problems) > 0 || r.Checksum.Problem != nil || slices.ContainsFunc(r.Leaks, func(l route.Leak) bool { return l.Certain }) {
			return exitFaults
		}
	}
	return exitFine
}

// routeConfig gathers what decides on routes: go's settings with those of --env on
// top, git's insteadOf, netrc's machines, the main modules.
func routeConfig(ctx context.Context, a *app, tried []string) (route.Config, error) {
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return route.Config{}, &failure{exit: exitError, key: "route.nogo", args: []any{err}, hint: "hint.nogo", unwrapped: err}
	}
	return routeConfigWith(ctx, a, layers, tried)
}

// routeConfigWith is routeConfig where go's settings are known.
func routeConfigWith(ctx context.Context, a *app, layers goenv.Layers, tried []string) (cfg route.Config, err error) {
	env := layers.Env()
	cfg = route.Config{Env: env, InsteadOf: map[string]string{}, Public: publicHosts(layers)}
	for _, pair := range tried {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return cfg, misused("route.env", pair)
		}
		cfg.Env = tryVariable(layers, cfg.Env, name, value)
	}
	readInsteadOf(ctx, cfg.InsteadOf)
	if cfg.Netrc, err = netrcMachines(cfg.Env.Value("NETRC")); err != nil {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "route.netrc", err), true))
	}
	cfg.Main = mainModules(env.Value("GOMOD"), env.Value("GOWORK"))
	return cfg, nil
}

// tryVariable is env as it would be with one variable set in the environment: a value
// that is empty does not count, and the next place is in force.
func tryVariable(l goenv.Layers, env goenv.Env, name, value string) goenv.Env {
	out := maps.Clone(env)
	set := goenv.Setting{Value: value, Origin: goenv.FromOS}
	switch {
	case value != "":
	case l.User[name] != "":
		set = goenv.Setting{Value: l.User[name], Origin: goenv.FromUser, File: l.UserFile}
	case l.Root[name] != "":
		set = goenv.Setting{Value: l.Root[name], Origin: goenv.FromGOROOT, File: l.RootFile}
	default:
		set = goenv.Setting{Origin: goenv.FromDefault}
	}
	out[name] = set
	for _, follower := range []string{"GONOPROXY", "GONOSUMDB"} {
		if out[follower].Value == "" || out[follower].Origin == goenv.FromDefault {
			out[follower] = goenv.Setting{Value: out.Value("GOPRIVATE"), Origin: goenv.FromDefault}
		}
	}
	return out
}

// publicHosts are the servers of everyone that come with Go itself.
func publicHosts(l goenv.Layers) []string {
	var hosts []string
	for _, word := range strings.FieldsFunc(l.Root["GOPROXY"]+","+l.Root["GOSUMDB"], func(r rune) bool { return strings.ContainsRune(",| ", r) }) {
		if u, err := url.Parse(word); err == nil && u.Host != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// netrcName is the file that go reads; "" where there is no home to look in.
func netrcName(netrc string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return credentials.NetrcFile(netrc, home)
}

// netrcMachines reads the names, and only those, of the file that go would read.
func netrcMachines(netrc string) ([]string, error) {
	name := netrcName(netrc)
	if name == "" {
		return nil, nil
	}
	data, err := plainfile.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return route.NetrcMachines(data), err
}

// mainModules are the paths of the module here or, in a workspace, of all of them.
func mainModules(gomod, gowork string) []string {
	var files []string
	if gowork != "" && gowork != "off" {
		dirs, _ := usedModules(gowork) // one that cannot be read uses none
		for _, dir := range dirs {
			files = append(files, filepath.Join(dir, "go.mod"))
		}
	}
	if gomod != "" && !slices.Contains(files, gomod) {
		files = append(files, gomod)
	}
	var paths []string
	for _, name := range files {
		if data, err := plainfile.Read(name); err == nil {
			if path := modfile.ModulePath(data); path != "" {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// routeQueries are the modules that were named, or the build list.
func routeQueries(ctx context.Context, a *app, cfg route.Config, named []string) ([]route.Query, error) {
	gomod := cfg.Env.Value("GOMOD")
	if gomod == os.DevNull {
		gomod = ""
	}
	sums := readSums(gomod, cfg.Env.Value("GOWORK"))
	if len(named) > 0 {
		var list []route.Query
		for _, arg := range named {
			path, version, _ := strings.Cut(arg, "@")
			if err := module.CheckImportPath(path); err != nil {
				return nil, &failure{exit: exitUsage, key: "route.module", args: []any{path, plainCause(err)}, hint: "hint.module", unwrapped: err}
			}
			if version == "" {
				version = required(gomod, path)
			}
			list = append(list, route.Query{Module: path, Version: version, InSum: sums[path+" "+version] && sums[path+" "+version+"/go.mod"]})
		}
		return list, nil
	}
	if gomod == "" && (cfg.Env.Value("GOWORK") == "" || cfg.Env.Value("GOWORK") == "off") {
		return nil, &failure{exit: exitError, key: "route.outside", hint: "hint.outside"}
	}
	list, err := buildList(ctx, cfg.Env)
	if err != nil {
		if f := readGoMod(gomod); ctx.Err() != nil || f == nil || f.Module == nil {
			return nil, &failure{exit: exitError, key: "route.gomod", args: []any{toolSaid(err)}, hint: "hint.gomod", unwrapped: err}
		}
		fmt.Fprintln(a.errs, msg.Text(a.lang, "route.partial"))
		list = requirements(gomod)
	}
	queries := make([]route.Query, 0, len(list))
	for _, m := range list {
		// A module that only its go.mod is needed of has no other line in a tidy go.sum.
		queries = append(queries, route.Query{Module: m.Path, Version: m.Version, InSum: sums[m.Path+" "+m.Version] || sums[m.Path+" "+m.Version+"/go.mod"]})
	}
	return queries, nil
}

// toolSaid is what a tool printed last, without the long command line.
func toolSaid(err error) string {
	_, said, ok := strings.Cut(err.Error(), ": exit status ")
	if !ok {
		return err.Error()
	}
	if _, words, ok := strings.Cut(said, ": "); ok {
		said = words
	}
	return said
}

// plainCause is the reason without the path, which the message already names.
func plainCause(err error) error {
	var p *module.InvalidPathError
	if errors.As(err, &p) && p.Err != nil {
		return p.Err
	}
	return err
}

// buildList asks go for the modules of the build list, from the module cache alone.
// Nothing is written: -mod=readonly keeps go.mod and go.sum as they are.
func buildList(ctx context.Context, env goenv.Env) ([]module.Version, error) {
	flags := "-mod=readonly"
	for f := range strings.FieldsSeq(env.Value("GOFLAGS")) {
		if strings.HasPrefix(f, "-modfile=") || strings.HasPrefix(f, "-tags=") {
			flags += " " + f
		}
	}
	out, err := proc.Output(ctx, proc.Options{
		MaxOut: plainfile.Most,
		Env:    []string{"GOPROXY=off", "GOSUMDB=off", "GONOPROXY=none", "GOTOOLCHAIN=local", "GOFLAGS=" + flags},
	}, "go", "list", "-m", "-f", "{{with .Replace}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{else}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "all")
	if err != nil {
		return nil, err
	}
	var list []module.Version
	for line := range strings.Lines(string(out)) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			list = append(list, module.Version{Path: path, Version: version})
		}
	}
	return list, nil
}

// requirements are those of go.mod, replaced as it says; what is replaced by a
// directory is not fetched.
func requirements(gomod string) []module.Version {
	f := readGoMod(gomod)
	if f == nil {
		return nil
	}
	var list []module.Version
	for _, r := range f.Require {
		m := r.Mod
		for _, rep := range f.Replace {
			if rep.Old.Path == m.Path && cmp.Or(rep.Old.Version, m.Version) == m.Version {
				m = rep.New
			}
		}
		if m.Version != "" {
			list = append(list, m)
		}
	}
	return list
}

// required is the version of path in go.mod, "" where it has none.
func required(gomod, path string) string {
	if f := readGoMod(gomod); f != nil {
		for _, r := range f.Require {
			if r.Mod.Path == path {
				return r.Mod.Version
			}
		}
	}
	return ""
}

// readSums reads the "path version" of every line of go.sum and go.work.sum.
func readSums(gomod, gowork string) map[string]bool {
	known := map[string]bool{}
	var names []string
	if gomod != "" {
		names = append(names, strings.TrimSuffix(gomod, ".mod")+".sum")
	}
	if gowork != "" && gowork != "off" {
		names = append(names, gowork+".sum")
	}
	for _, name := range names {
		data, err := plainfile.Read(name)
		if err != nil {
			continue // absent is empty
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 3 {
				known[f[0]+" "+f[1]] = true
			}
		}
	}
	return known
}
