package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/trace"
)

type traceOptions struct {
	module  string // MODULE[@VERSION]
	har     string // file; empty writes none
	env     []string
	timeout time.Duration
	silent  time.Duration
}

func newTraceCmd(a *app) *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use:   "trace MODULE[@VERSION]",
		Short: "Make one download as go would and show every hop with its times / 像 go 一样下载一次，显示每一步及耗时",
		Long: "trace downloads one module version for real, by go's own rules, and shows every request with the time of its\n" +
			"phases, why go went on to the next server, the checksum database's proof, the commands of git, why this version\n" +
			"was chosen, and whether GOPROXY took effect. Nothing is stored: neither the module cache nor go.mod changes.\n" +
			"真实下载一个模块版本，逐跳显示每个请求的耗时、为何换到下一个服务器、校验和证明、git 命令、\n" +
			"为何选中该版本，以及 GOPROXY 是否真正生效；不写模块缓存，也不改 go.mod。",
		Example: "  keepwell trace github.com/spf13/cobra@v1.10.2\n  keepwell trace example.com/widget --env GOPROXY=direct --har trace.har",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misused("trace.one", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.module = args[0]
			return runTrace(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.har, "har", "", "also write the requests as a HAR file / 把请求写成 HAR 文件")
	flags.StringArrayVar(&o.env, "env", nil, "try another setting, NAME=VALUE (repeatable) / 换一个设置再试")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "end the whole after this time / 总时限")
	flags.DurationVar(&o.silent, "silent", 8*time.Second, "how long a server may say nothing / 服务器最长沉默时间")
	return cmd
}

func runTrace(ctx context.Context, a *app, o traceOptions) error {
	handler, err := present.New(present.Format(a.format), a.out, a.style())
	if err != nil {
		return err
	}
	cfg, err := routeConfig(ctx, a, o.env)
	if err != nil {
		return err
	}
	query, chosen, sums, err := traceQuery(ctx, cfg, o.module)
	if err != nil {
		return err
	}
	show, wipe := traceProgress(a)
	began := time.Now()
	rep, err := trace.Run(ctx, trace.Options{
		Config: cfg, Query: query, Env: o.env, All: o.timeout, Silent: o.silent, Progress: show,
	}, sums)
	wipe()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &failure{exit: exitError, key: "trace.failed", args: []any{mask.Text(err.Error())}, hint: "hint.trace.failed", unwrapped: err}
	}
	findings, err := traceFindings(ctx, query.Module, &rep)
	if err != nil {
		return err
	}
	if err := writeHAR(a, o, &rep, began); err != nil {
		return err
	}
	a.exit = exitFor(findings, present.Format(a.format))
	return showTrace(ctx, a, handler, traced{options: o, cfg: cfg, query: query, rep: &rep, chosen: chosen, findings: findings})
}

// traced is all that there is to show.
type traced struct {
	options  traceOptions
	cfg      route.Config
	query    route.Query
	rep      *trace.Report
	chosen   *trace.Chosen
	findings []keepwell.Finding
}

func showTrace(_ context.Context, a *app, handler keepwell.Handler, t traced) error {
	words := traceWords{routeWords: routeWords{lang: a.lang}}
	target := keepwell.Target{Kind: "module", Name: t.name()}
	verdict := judge(t, words)
	switch format := present.Format(a.format); format {
	case present.Text:
		if err := shown(a, present.Outline(a.out, a.style(), words.picture(t, verdict))); err != nil {
			return err
		}
		if len(t.findings) == 0 {
			return nil
		}
		fmt.Fprintln(a.out)
	case present.JSON:
		var doc tracedDocument
		if err := emit(&doc, "trace", target, t.findings, a.lang); err != nil {
			return err
		}
		doc.fill(t, verdict)
		return shown(a, present.Data(a.out, format, doc))
	}
	return emit(handler, "trace", target, t.findings, a.lang)
}

// name is the module with the version that was found, else the one asked for.
func (t traced) name() string {
	version := t.rep.Version
	if version == "" {
		version = t.query.Version
	}
	if version == "" {
		return t.query.Module
	}
	return t.query.Module + "@" + version
}

// traceQuery is what to fetch: the version that was named, else the one that the
// project here uses, else the newest.
func traceQuery(ctx context.Context, cfg route.Config, arg string) (route.Query, *trace.Chosen, map[string]string, error) {
	path, version, _ := strings.Cut(arg, "@")
	if err := module.CheckImportPath(path); err != nil {
		return route.Query{}, nil, nil, &failure{exit: exitUsage, key: "route.module", args: []any{path, plainCause(err)}, hint: "hint.module", unwrapped: err}
	}
	if version == "upgrade" { // without a project the same
		version = "latest"
	}
	if version == "patch" || strings.ContainsAny(version, "<>") || semver.IsValid(version) && module.CanonicalVersion(version) != version {
		return route.Query{}, nil, nil, &failure{exit: exitUsage, key: "trace.query", args: []any{version}, hint: "hint.trace.query", hintArgs: []any{path}}
	}
	chosen := chosenHere(ctx, cfg.Env, path)
	if version == "" && chosen != nil {
		version = chosen.Version
	}
	sums := sumLines(cfg.Env)
	key := path + " " + version
	q := route.Query{Module: path, Version: version, InSum: sums[key] != "" && sums[key+"/go.mod"] != ""}
	return q, chosen, sums, nil
}

// chosenHere says why the project here uses its version of path; nil where there is
// none, or the module cache does not tell.
func chosenHere(ctx context.Context, env goenv.Env, path string) *trace.Chosen {
	gomod := env.Value("GOMOD")
	if (gomod == "" || gomod == os.DevNull) && (env.Value("GOWORK") == "" || env.Value("GOWORK") == "off") {
		return nil
	}
	chosen, err := trace.Choose(ctx, env, path)
	if err == nil {
		return chosen
	}
	if version := required(gomod, path); version != "" {
		main := "go.mod"
		if f := readGoMod(gomod); f.Module != nil {
			main = f.Module.Mod.Path
		}
		return &trace.Chosen{Version: version, Wants: []trace.Want{{By: main, Version: version}}, Path: []string{main, path + "@" + version}, Main: []string{main}}
	}
	return nil
}

// sumLines are the h1: sums of go.sum and go.work.sum, by "path version".
func sumLines(env goenv.Env) map[string]string {
	sums := map[string]string{}
	var names []string
	if gomod := env.Value("GOMOD"); gomod != "" && gomod != os.DevNull {
		names = append(names, strings.TrimSuffix(gomod, ".mod")+".sum")
	}
	if gowork := env.Value("GOWORK"); gowork != "" && gowork != "off" {
		names = append(names, gowork+".sum")
		dirs, _ := usedModules(gowork) // one that cannot be read uses none
		for _, dir := range dirs {     // go takes the lines of all modules of a workspace
			names = append(names, filepath.Join(dir, "go.sum"))
		}
	}
	for _, name := range names {
		data, err := plainfile.Read(name)
		if err != nil {
			continue // absent is empty
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[2], "h1:") {
				sums[f[0]+" "+f[1]] = f[2]
			}
		}
	}
	return sums
}

// traceFindings is the fault that the trace met: what keepwell measured itself, else
// what go's words for it mean.
func traceFindings(ctx context.Context, path string, rep *trace.Report) ([]keepwell.Finding, error) {
	if rep.Outcome.OK {
		return nil, nil
	}
	evidence := []keepwell.Evidence{{Source: "probe", Text: mask.Text(rep.Text)}}
	facts := keepwell.Facts{}
	known := map[string]string{"module": path, "version": rep.Route.Version}
	for _, q := range slices.Backward(rep.Requests) {
		if q.Hop == rep.Outcome.Hop {
			if u, err := url.Parse(q.URL); err == nil {
				known["host"], known["url"] = u.Hostname(), q.URL
			}
			break
		}
	}
	for name, value := range known {
		if keepwell.ValidFact(name, value) {
			facts[name] = value
		}
	}
	if rep.GaveUp != "" {
		return []keepwell.Finding{{Code: rep.GaveUp, Confidence: 0.95, Facts: facts, Evidence: evidence}}, nil
	}
	findings, _, err := diagnose.Read(ctx, strings.NewReader(rep.Text+"\n"), fingerprint.Default(), nil, nil)
	if err != nil {
		return nil, &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
	}
	for i := range findings {
		local := func(r keepwell.Rival) bool { return r.Code.Family() == "local" }
		if len(findings[i].Rivals) > 0 {
			// The trace reads no cache.
			if findings[i].Rivals = slices.DeleteFunc(findings[i].Rivals, local); len(findings[i].Rivals) == 0 {
				findings[i].Confidence = max(findings[i].Confidence, 0.95)
			}
		}
		for j := range findings[i].Evidence {
			findings[i].Evidence[j].Source, findings[i].Evidence[j].Line = "probe", 0
		}
	}
	if len(findings) == 0 {
		findings = []keepwell.Finding{{Code: lastResort(rep), Confidence: 0.6, Facts: facts, Evidence: evidence}}
	}
	return findings, nil
}

// lastResort names a failure that no fingerprint knows by where it happened.
func lastResort(rep *trace.Report) keepwell.Code {
	switch hop := rep.Outcome.Hop; {
	case len(rep.Route.Problems) > 0:
		return "proxy/misconfigured"
	case hop < 0:
		return "sum/sumdb-unreachable"
	case hop < len(rep.Route.Hops) && rep.Route.Hops[hop].Kind == route.Proxy:
		return "proxy/bad-response"
	}
	return "vcs/other"
}

func writeHAR(a *app, o traceOptions, rep *trace.Report, began time.Time) error {
	if o.har == "" {
		return nil
	}
	data, err := rep.HAR(version(), rep.Route.Module, began)
	if err == nil {
		err = trace.WriteFile(o.har, data)
	}
	switch {
	case errors.Is(err, trace.ErrNotRegular):
		return &failure{exit: exitError, key: "trace.har.special", args: []any{o.har}, hint: "hint.trace.har", unwrapped: err}
	case err != nil:
		return &failure{exit: exitError, key: "trace.har", args: []any{o.har, cause(err)}, hint: "hint.trace.har", unwrapped: err}
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "trace.har.written", o.har), true))
	return nil
}

// traceProgress shows, once a second after the first, how much of a zip has come.
func traceProgress(a *app) (show func(done, total int64), wipe func()) {
	if _, ok := terminal(a.errs); !ok {
		return nil, func() {}
	}
	last, drawn := time.Now(), false
	show = func(done, total int64) {
		if time.Since(last) < time.Second {
			return
		}
		last, drawn = time.Now(), true
		text := msg.Text(a.lang, "trace.progress", bytesText(done))
		if total > 0 {
			text = msg.Text(a.lang, "trace.progress.of", bytesText(done), bytesText(total))
		}
		fmt.Fprintf(a.errs, "\r\x1b[K%s", text)
	}
	return show, func() {
		if drawn {
			fmt.Fprintf(a.errs, "\r\x1b[K")
		}
	}
}
