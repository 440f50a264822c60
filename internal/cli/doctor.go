package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

type doctorOptions struct {
	asked      []string
	list       bool
	only, skip []string
	timeout    time.Duration
	fix        fixOptions
	watch      bool
	interval   time.Duration
	bundle     string
	maskNames  bool
}

func newDoctorCmd(a *app) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [MODULE[@VERSION] ...]",
		Short: "Find out what is wrong with this project and machine, or why modules cannot be fetched / 检查项目和本机的问题，或查明模块为何无法获取",
		Long: "doctor looks at this directory's project and this machine; with modules, at why these cannot be fetched. It reads\n" +
			"files first, then asks go without a network, and only where something has to be fetched the servers on the way.\n" +
			"npm:NAME and pypi:NAME name packages of the other two. It ends within 10 seconds and changes nothing,\n" +
			"unless --fix is given, which can be taken back.\n" +
			"诊断当前项目和本机；给出模块名时，查明它为什么下载不了；--fix 修复，--undo 撤销。",
		Example: "  keepwell doctor\n  keepwell doctor --fix --dry-run\n  keepwell doctor --undo\n  keepwell doctor github.com/spf13/cobra@v1.10.2\n  keepwell doctor --only settings",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.asked = args
			return runDoctor(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.list, "list", false, "list the checks / 列出所有检查")
	flags.StringSliceVar(&o.only, "only", nil, "make these checks only / 只做这些检查")
	flags.StringSliceVar(&o.skip, "skip", nil, "leave these checks out / 跳过这些检查")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "end after this time / 最长用时")
	o.fix.register(cmd)
	flags.BoolVar(&o.watch, "watch", false, "look again and again until no fault is left, and tell what changes / 持续检查直到恢复")
	flags.DurationVar(&o.interval, "interval", 30*time.Second, "with --watch: the time between two looks / 两次检查的间隔")
	flags.StringVar(&o.bundle, "bundle", "", "write an archive for a bug report, secrets masked / 打包诊断资料")
	flags.BoolVar(&o.maskNames, "mask-names", false, "with --bundle: mask the names of private modules too / 同时隐去私有模块名")
	return cmd
}

func runDoctor(ctx context.Context, a *app, o doctorOptions) error {
	if f, bad := doctor.Unreadable(".", a.sayDoctor); bad && !o.list && !o.fix.history && o.fix.undo == "" {
		return unreadable(a, f)
	}
	if other, err := doctorInstead(&o); other != nil || err != nil {
		if err != nil {
			return err
		}
		return other(ctx, a, o)
	}
	began := time.Now()
	c, report, err := examineNow(ctx, a, o)
	if err != nil {
		return err
	}
	format := present.Format(a.format)
	handler, err := present.New(format, a.out, a.style())
	if err != nil {
		return err
	}
	findings, err := a.describe(c, report.Findings, mendsWithin(ctx, c, report, time.Until(began.Add(o.timeout))))
	if err != nil {
		return err
	}
	a.addMoved(findings, report.Moved)
	a.exit = exitFor(findings, format)
	target := doctorTarget(c)
	switch format {
	case present.Text:
		if err := shown(a, present.Outline(a.out, a.style(), doctorPicture(a, c, report))); err != nil || len(report.Findings) == 0 {
			return err
		}
	case present.JSON:
		var doc examined
		doc.Checks = examinedChecks(a, report)
		doc.Marks = a.marksInQuestion(c)
		doc.Moved = a.movedDocument(report.Moved)
		if err := stream(&doc.gathered, "doctor", target, findings); err != nil {
			return err
		}
		return shown(a, present.Data(a.out, format, doc))
	}
	if err := stream(handler, "doctor", target, findings); err != nil || format != present.Text {
		return err
	}
	return shown(a, present.Outline(a.out, a.style(), a.movedPicture(report.Moved)))
}

// doctorInstead is what the flags ask for in place of an examination; nil for none.
func doctorInstead(o *doctorOptions) (func(context.Context, *app, doctorOptions) error, error) {
	if o.fix.undo == lastChange && len(o.asked) == 1 && strings.Trim(o.asked[0], "0123456789") == "" { // --undo 3
		o.fix.undo, o.asked = o.asked[0], nil
	}
	var chosen []func(context.Context, *app, doctorOptions) error
	for _, mode := range []struct {
		on  bool
		run func(context.Context, *app, doctorOptions) error
	}{
		{o.list, func(_ context.Context, a *app, _ doctorOptions) error { return listChecks(a) }},
		{o.fix.undo != "", func(ctx context.Context, a *app, o doctorOptions) error { return runDoctorUndo(ctx, a, o.fix) }},
		{o.fix.history, func(_ context.Context, a *app, _ doctorOptions) error { return showHistory(a, "doctor") }},
		{o.fix.fix, runDoctorFix},
		{o.watch, runDoctorWatch},
		{o.bundle != "", runDoctorBundle},
	} {
		if mode.on {
			chosen = append(chosen, mode.run)
		}
	}
	switch {
	case len(chosen) > 1:
		return nil, misused("err.doctor.alone")
	case o.fix.to != "":
		return runDoctorFix, o.checkTo()
	case !o.fix.fix && (o.fix.dryRun || o.fix.yes || len(o.fix.consent) > 0):
		return nil, misused("err.doctor.plain")
	case len(chosen) == 0:
		return nil, nil //nolint:nilnil // nothing instead
	}
	return chosen[0], nil
}

// mendsWithin plans mends in what is left of the time of an examination.
func mendsWithin(ctx context.Context, c *doctor.Case, r doctor.Report, left time.Duration) [][]*planned {
	limited, cancel := context.WithTimeout(ctx, min(left-100*time.Millisecond, 3*time.Second))
	defer cancel()
	return planMends(limited, c, r.Findings, nil)
}

func listChecks(a *app) error {
	var lines []present.Line
	for _, id := range doctor.IDs() {
		lines = append(lines, present.Line{Gutter: fmt.Sprintf("  %-12s ", id), Rest: strings.Repeat(" ", 15), Text: msg.Text(a.lang, "doctor."+id+".does")})
	}
	return shown(a, present.Outline(a.out, a.style(), lines))
}

// unreadable reports the one thing that can be said of a project before any tool is run.
func unreadable(a *app, f keepwell.Finding) error {
	handler, err := present.New(present.Format(a.format), a.out, a.style())
	if err != nil {
		return err
	}
	findings := doctor.Judge([]doctor.Outcome{{Tried: true, Findings: []keepwell.Finding{f}}})
	a.exit = exitFor(findings, present.Format(a.format))
	return emit(handler, "doctor", keepwell.Target{Kind: "project", Name: "."}, findings, a.lang)
}

// sayDoctor puts a key with its arguments into the reader's words.
func (a *app) sayDoctor(key string, args ...string) string {
	return probeWords{a.lang}.say(observe.Result{Key: key, Args: args})
}

// doctorCase gathers what the doctor starts from.
func doctorCase(ctx context.Context, a *app, o doctorOptions) (*doctor.Case, error) {
	for _, id := range slices.Concat(o.only, o.skip) {
		if !slices.Contains(doctor.IDs(), id) {
			return nil, misused("err.doctor.check", id, strings.Join(doctor.IDs(), ", "))
		}
	}
	if o.timeout < time.Second {
		return nil, misused("err.doctor.timeout", o.timeout)
	}
	c := &doctor.Case{
		Timeout: o.timeout, Only: o.only, Skip: o.skip, Dir: ".", Say: a.sayDoctor,
	}
	for _, arg := range o.asked {
		s, err := subject(arg)
		if err != nil {
			return nil, err
		}
		c.Asked = append(c.Asked, s)
	}
	var err error
	if c.Settings, err = settings.Load(ctx, ""); errors.Is(err, settings.ErrNoGo) {
		fmt.Fprintln(a.errs, msg.Text(a.lang, "context.partial", err))
	}
	c.Lang, c.Signed = a.lang, signature(ctx)
	c.Observe = probeOptions(c.Settings)
	c.Machine = machineWith(ctx, c.Settings.Env)
	if c.Machine.GoVersion != "" {
		if c.Route, err = routeConfigWith(ctx, a, c.Settings.Go, nil); err != nil {
			return nil, err
		}
	}
	for i, s := range c.Asked { // what the project cannot get is the version that it asks for
		if s.Ecosystem == doctor.Go && s.Version == "" {
			c.Asked[i].Version = c.RequiredHere(s.Path)
		}
	}
	return c, nil
}

// subject reads MODULE[@VERSION], npm:NAME[@VERSION] or pypi:NAME[==VERSION].
func subject(arg string) (doctor.Subject, error) {
	s := doctor.Subject{Ecosystem: doctor.Go}
	rest := arg
	for prefix, eco := range map[string]doctor.Ecosystem{"npm:": doctor.Npm, "pypi:": doctor.PyPI, "pip:": doctor.PyPI, "go:": doctor.Go} {
		if r, ok := strings.CutPrefix(arg, prefix); ok {
			s.Ecosystem, rest = eco, r
		}
	}
	cut := strings.LastIndex(rest, "@")
	size := 1
	if s.Ecosystem == doctor.PyPI {
		cut, size = strings.Index(rest, "=="), 2
	}
	s.Path = rest
	if cut > 0 {
		s.Path, s.Version = rest[:cut], rest[cut+size:]
	}
	kind := map[doctor.Ecosystem]string{doctor.Go: "module", doctor.Npm: "package", doctor.PyPI: "package"}[s.Ecosystem]
	if s.Ecosystem == doctor.Go && showable(rest) && noPath(rest) && noPath(s.Path) {
		return s, nil // no go command ever sees it; the doctor says what is wrong with it
	}
	if !keepwell.ValidFact(kind, s.Path) || s.Version != "" && !keepwell.ValidFact("version", s.Version) && !keepwell.ValidFact("revision", s.Version) {
		return s, &failure{exit: exitUsage, key: "err.doctor.module", args: []any{mask.Text(arg)}, hint: "hint.doctor.module"}
	}
	return s, nil
}

// showable reports whether a word can be shown as it is and is no flag.
func showable(s string) bool {
	return s != "" && len(s) < 300 && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) })
}

// noPath reports whether go would refuse a path whatever the network does.
func noPath(path string) bool { return module.CheckImportPath(path) != nil }

func doctorTarget(c *doctor.Case) keepwell.Target {
	if len(c.Asked) == 0 {
		return keepwell.Target{Kind: "project", Name: mask.Text(c.Settings.Project.Dir)}
	}
	var list []string
	for _, s := range c.Asked {
		list = append(list, s.String())
	}
	return keepwell.Target{Kind: "module", Name: mask.Text(strings.Join(list, " "))}
}

// looking tells on standard error what is being looked at, where that is a terminal.
func looking(a *app) (show func([]string), wipe func()) {
	if _, ok := terminal(a.errs); !ok {
		return nil, func() {}
	}
	show = func(ids []string) {
		var names []string
		for _, id := range ids {
			names = append(names, msg.Text(a.lang, "doctor."+id))
		}
		fmt.Fprintf(a.errs, "\r\x1b[K%s", msg.Text(a.lang, "doctor.looking", strings.Join(names, ", ")))
	}
	return show, func() { fmt.Fprintf(a.errs, "\r\x1b[K") }
}

// examined is the document of `keepwell doctor --json`: that of all commands with
// findings, and what each check saw.
type examined struct {
	gathered
	Checks []examinedCheck `json:"checks"`
	// Marks are what the project's marks say of what was asked, or of what it requires.
	Marks []marks.Mark `json:"marks,omitempty"`
	// Moved is what became of the name that cannot be fetched; absent where nothing was
	// looked for.
	Moved *movedDocument `json:"moved,omitempty"`
}

type examinedCheck struct {
	ID     string        `json:"id"`
	State  observe.State `json:"state"`
	Text   string        `json:"text"`
	TookMS float64       `json:"took_ms"`
}

func examinedChecks(a *app, r doctor.Report) []examinedCheck {
	out := make([]examinedCheck, 0, len(r.Outcomes))
	for _, o := range r.Outcomes {
		out = append(out, examinedCheck{o.Check, o.State, probeWords{a.lang}.say(observe.Result{Key: o.Key, Args: o.Args}), milliseconds(o.Took)})
	}
	return out
}

// doctorPicture is a line a check: what it says, how long it took, what was seen.
func doctorPicture(a *app, c *doctor.Case, r doctor.Report) []present.Line {
	what := msg.Text(a.lang, "doctor.machine")
	if len(c.Asked) > 0 {
		what = doctorTarget(c).Name
	} else if m := c.Settings.Project.Module; m != "" {
		what = m
	} else if work := c.Settings.Env.Value("GOWORK"); work != "" && work != "off" {
		what = msg.Text(a.lang, "doctor.workspace", mask.Text(work))
	}
	lines := []present.Line{{Text: msg.Text(a.lang, "doctor.head", what), Tone: present.Bold}}
	partial := false
	for _, o := range r.Outcomes {
		mark := map[observe.State]string{observe.Yes: "✓", observe.No: "✗", observe.NotChecked: "·"}[o.State]
		if o.Wants { // what has to be fetched is no fault yet
			mark = "·"
		}
		partial = partial || o.State == observe.NotChecked && o.Key != "doctor.network.unneeded"
		line := present.Line{
			Gutter: fmt.Sprintf("  %s %8s  ", mark, msg.Text(a.lang, "doctor.ms", o.Took.Milliseconds())), Rest: strings.Repeat(" ", 14),
			Label: msg.Text(a.lang, "doctor."+o.Check), Text: probeWords{a.lang}.say(observe.Result{Key: o.Key, Args: o.Args}),
		}
		if o.State == observe.NotChecked {
			line.Tone = present.Faint
		}
		lines = append(lines, line)
	}
	lines = append(lines, present.Line{})
	if marked := a.markLines(a.marksInQuestion(c)); len(marked) > 0 {
		lines = append(append(lines, marked...), present.Line{})
	}
	if len(r.Findings) == 0 {
		key := "doctor.fine"
		if partial {
			key = "doctor.partial"
		}
		lines = append(lines, present.Line{Text: msg.Text(a.lang, key)})
	}
	return lines
}
