package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/trace"
)

type versionsOptions struct {
	name     string
	all      bool
	registry string // of npm: and pypi: names; empty is the one in force
	env      []string
	timeout  time.Duration
	silent   time.Duration
}

func newVersionsCmd(a *app) *cobra.Command {
	var o versionsOptions
	cmd := &cobra.Command{
		Use:   "versions MODULE|PACKAGE",
		Short: "List the versions of a module, and which source has which / 列出模块的版本，以及各个来源有哪些版本",
		Long: "versions asks every place that go may ask for a module (the entries of GOPROXY, its repository) and lists the\n" +
			"versions, newest first: date, retraction, deprecation, which source has it, and which one this project uses and\n" +
			"why. A package path finds its module. npm:NAME, @scope/name and pypi:NAME ask the registry in force.\n" +
			"列出模块（或 npm、PyPI 包）的所有版本：日期、是否撤回或弃用、哪些来源有它、本项目用的是哪个及原因。",
		Example: "  keepwell versions github.com/spf13/cobra\n  keepwell versions github.com/spf13/cobra/doc\n  keepwell versions npm:left-pad\n  keepwell versions pypi:requests",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misused("versions.one", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runVersions(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "every version with its date, not the newest 40 / 全部版本")
	flags.StringVar(&o.registry, "registry", "", "ask this npm registry or Python index / 指定 npm 或 Python 源")
	flags.StringArrayVar(&o.env, "env", nil, "try another setting, NAME=VALUE (repeatable) / 换一个设置再试")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "end the whole after this time / 总时限")
	flags.DurationVar(&o.silent, "silent", 8*time.Second, "how long a server may say nothing / 服务器最长沉默时间")
	return cmd
}

// listing is what there is to show of a module's or package's versions.
type listing struct {
	name     string
	all      bool
	found    trace.Versions
	chosen   *trace.Chosen
	findings []keepwell.Finding
	target   keepwell.Target
}

func runVersions(ctx context.Context, a *app, o versionsOptions) error {
	handler, err := present.New(present.Format(a.format), a.out, a.style())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, trace.ErrTimeout)
	defer cancel()
	var l listing
	switch eco, name := ecosystem(o.name); eco {
	case "go":
		l, err = goVersions(ctx, a, o)
	default:
		l, err = packageVersions(ctx, o, eco, name)
	}
	if err != nil {
		return err
	}
	a.exit = exitFor(l.findings, present.Format(a.format))
	eco, _ := ecosystem(o.name)
	marked := a.marksHere().Of(eco, l.found.Module, "")
	switch format := present.Format(a.format); format {
	case present.Text:
		words := versionWords{routeWords{lang: a.lang}}
		if err := shown(a, present.Outline(a.out, a.style(), append(words.table(l), a.markLines(marked)...))); err != nil || len(l.findings) == 0 {
			return err
		}
		fmt.Fprintln(a.out)
	case present.JSON:
		var doc versionsDocument
		if err := emit(&doc, "versions", l.target, l.findings, a.lang); err != nil {
			return err
		}
		doc.fill(l)
		doc.Marks = marked
		return shown(a, present.Data(a.out, format, doc))
	}
	return emit(handler, "versions", l.target, l.findings, a.lang)
}

// ecosystem tells whose package a name is: a scope alone is npm's.
func ecosystem(arg string) (eco, name string) {
	if eco, name, ok := strings.Cut(arg, ":"); ok && (eco == "npm" || eco == "pypi") {
		return eco, name
	}
	if strings.HasPrefix(arg, "@") && strings.Contains(arg, "/") {
		return "npm", arg
	}
	return "go", arg
}

func goVersions(ctx context.Context, a *app, o versionsOptions) (listing, error) {
	path, _, _ := strings.Cut(o.name, "@")
	if err := module.CheckImportPath(path); err != nil {
		return listing{}, &failure{exit: exitUsage, key: "route.module", args: []any{path, plainCause(err)}, hint: "hint.versions.module", unwrapped: err}
	}
	cfg, err := routeConfig(ctx, a, o.env)
	if err != nil {
		return listing{}, err
	}
	l := listing{name: path, all: o.all}
	var first *trace.Versions
	for _, prefix := range trace.Prefixes(path) {
		v, err := trace.FindVersions(ctx, trace.Options{
			Config: cfg, Query: route.Query{Module: prefix}, Env: o.env, All: o.timeout, Silent: o.silent,
		}, o.all)
		if ctx.Err() != nil {
			return l, ended(ctx, o)
		}
		if err != nil {
			return l, &failure{exit: exitError, key: "versions.failed", args: []any{mask.Text(err.Error())}, hint: "hint.trace.failed", unwrapped: err}
		}
		if first == nil {
			first = &v
		}
		if len(v.Lines) > 0 {
			l.found = v
			break
		}
		if refused(v) { // a shorter path would not tell more
			break
		}
	}
	if len(l.found.Lines) == 0 {
		l.found = *first
	}
	l.target = keepwell.Target{Kind: "module", Name: l.found.Module}
	l.chosen = chosenHere(ctx, cfg.Env, l.found.Module)
	l.findings, err = versionFindings(ctx, l)
	return l, err
}

// ended is why the context is over: a signal, or the time allowed.
func ended(ctx context.Context, o versionsOptions) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, trace.ErrTimeout) {
		return &failure{exit: exitError, key: "versions.timeout", args: []any{o.timeout}, hint: "hint.versions.timeout", unwrapped: cause}
	}
	return cause
}

// refused tells that no source could say whether it has the module: a shorter path
// would be refused alike.
func refused(v trace.Versions) bool {
	return !slices.ContainsFunc(v.Sources, func(s trace.Source) bool {
		return !s.Passed && (s.Found() || s.Report.Outcome.NotFound || s.Hop.Kind != route.Proxy)
	})
}

// versionFindings are what is wrong with the version in use; where no version was
// found, why not.
func versionFindings(ctx context.Context, l listing) ([]keepwell.Finding, error) {
	if len(l.found.Lines) == 0 {
		for _, s := range slices.Backward(l.found.Sources) {
			if s.Text != "" {
				return traceFindings(ctx, l.found.Module, &s.Report)
			}
		}
		return nil, nil
	}
	if l.chosen == nil {
		return nil, nil
	}
	var findings []keepwell.Finding
	facts := keepwell.Facts{"module": l.found.Module}
	if keepwell.ValidFact("version", l.chosen.Version) {
		facts["version"] = l.chosen.Version
	}
	add := func(code keepwell.Code, text string) {
		findings = append(findings, keepwell.Finding{
			Code: code, Confidence: 0.95, Facts: facts, Tool: "go",
			Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(text)}},
		})
	}
	for _, line := range l.found.Lines {
		if line.Version == l.chosen.Version && line.Retracted {
			add("version/retracted", "retract "+line.Version+" // "+line.Why)
		}
	}
	if l.found.Deprecated != "" {
		add("module/deprecated", "// Deprecated: "+l.found.Deprecated)
	}
	return findings, nil
}

// versionWords puts a list of versions into words.
type versionWords struct{ routeWords }

const shownVersions = 40

func (w versionWords) table(l listing) []present.Line {
	v := l.found
	lines := []present.Line{{Text: v.Module, Whole: true, Tone: present.Bold}}
	if v.Module != l.name {
		lines = append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.t("versions.package", l.name), Tone: present.Faint})
	}
	if v.Deprecated != "" {
		lines = append(lines, present.Line{Gutter: "! ", Rest: "  ", Text: w.t("versions.deprecated", v.Deprecated), Tone: present.Warning})
	}
	for i, s := range v.Sources {
		lines = append(lines, w.source(i, s)...)
	}
	if len(v.Lines) == 0 {
		return append(lines, present.Line{Text: w.t("versions.none")})
	}
	lines = append(lines, present.Line{})
	widest := 8
	for _, line := range v.Lines {
		widest = max(widest, min(runewidth.StringWidth(line.Version), 34))
	}
	var letters []string
	for i, s := range v.Sources {
		if !s.Passed {
			letters = append(letters, letter(i))
		}
	}
	pad := runewidth.FillRight
	lines = append(lines, present.Line{
		Text:  pad(w.t("versions.head.version"), widest) + "  " + pad(w.t("versions.head.date"), 10) + "  " + strings.Join(letters, " "),
		Whole: true, Tone: present.Faint,
	})
	for i, line := range v.Lines {
		if i == shownVersions && !l.all {
			lines = append(lines, present.Line{Text: w.t("versions.more", len(v.Lines)-i), Tone: present.Faint})
			break
		}
		lines = append(lines, w.version(l, line, widest))
	}
	return append(lines, w.why(l)...)
}

func letter(i int) string { return string(rune('A' + min(i, 25))) }

func (w versionWords) source(i int, s trace.Source) []present.Line {
	var text string
	switch n := len(s.Versions); {
	case s.Passed:
		return []present.Line{{Gutter: "  " + letter(i) + " ", Rest: "    ", Text: w.t("versions.passed", s.Name), Tone: present.Faint}}
	case n > 0:
		text = w.t("versions.source", s.Name, n)
	case s.Latest != "":
		text = w.t("versions.untagged", s.Name)
	case s.Text == "":
		text = w.t("versions.empty", s.Name)
	default:
		text = w.t("versions.nothing", s.Name, firstLine(s.Text))
	}
	if s.Hop.Rule.Code != "" {
		text = w.join([]string{text, w.rule(s.Hop.Rule)})
	}
	return []present.Line{{Gutter: "  " + letter(i) + " ", Rest: "    ", Text: text}}
}

// firstLine is what go says, without its own name.
func firstLine(text string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "go: "), "\n")
	return first
}

func (w versionWords) version(l listing, line trace.VersionLine, widest int) present.Line {
	date := strings.Repeat(" ", 10)
	if !line.Time.IsZero() {
		date = line.Time.UTC().Format(time.DateOnly)
	}
	var marks []string
	for i, s := range l.found.Sources {
		switch {
		case s.Passed:
		case slices.Contains(line.Sources, i):
			marks = append(marks, "✓")
		default:
			marks = append(marks, "·")
		}
	}
	gutter := runewidth.FillRight(line.Version, widest) + "  " + date + "  " + strings.Join(marks, " ") + "  "
	out := present.Line{Gutter: gutter, Rest: strings.Repeat(" ", runewidth.StringWidth(gutter))}
	var notes []string
	if l.chosen != nil && l.chosen.Version == line.Version {
		notes = append(notes, w.t("versions.used"))
		out.Tone = present.Bold
	}
	if line.Retracted {
		note := w.t("versions.retracted" + l.found.Ecosystem)
		if line.Why != "" {
			note = w.t("labelled", note, line.Why)
		}
		notes = append(notes, note)
		out.Tone = present.Warning
	}
	out.Text = w.join(notes)
	return out
}

// why says who forces the version in use.
func (w versionWords) why(l listing) []present.Line {
	c := l.chosen
	if c == nil {
		return nil
	}
	lines := []present.Line{{}, {Text: w.t("trace.chosen.mvs", c.Version), Rest: "  "}}
	if c.Replaced != "" {
		return append(lines, present.Line{Gutter: "  ", Rest: "  ", Text: w.t("trace.chosen.replaced", c.Replaced), Tone: present.Warning})
	}
	for i, want := range c.Wants {
		if i == shownWants {
			lines = append(lines, present.Line{Gutter: "  ", Text: w.t("trace.chosen.more", len(c.Wants)-i), Tone: present.Faint})
			break
		}
		lines = append(lines, present.Line{Gutter: "  ", Rest: "    ", Text: w.t("trace.chosen.want", want.Version, want.By)})
	}
	return lines
}
