package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/workspace"
)

// changeOptions are those of all that changes files after it was shown.
type changeOptions struct {
	dryRun, yes bool
	undo        string
}

func (o *changeOptions) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the changes and stop / 只显示改动")
	flags.BoolVar(&o.yes, "yes", false, "agree to all changes / 同意全部改动")
	flags.StringVar(&o.undo, "undo", "", "take the last change of go.work, or the one of this number, back / 撤销上一次改动")
	flags.Lookup("undo").NoOptDefVal = lastChange
}

func newWorkSyncCmd(a *app) *cobra.Command {
	var o changeOptions
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "go work sync and go mod tidy in all modules, as one change / 同步并整理所有模块，作为一次改动",
		Long: "sync has go bring the modules to the versions that the workspace builds with, and tidies each as its users will see it,\n" +
			"without go.work. go works on a copy; the differences are shown, and put into place together or not at all. Modules that\n" +
			"were never released stand in for each other meanwhile. A run that was killed is finished, or taken back, by the next.\n" +
			"sync 让 go 把各模块的依赖调整为工作区实际使用的版本，并按使用者所见（没有 go.work）整理每个模块。go 在副本上运行，\n" +
			"显示差异后一次性全部写入，或完全不写。尚未发布的模块在此期间以本地目录互相代替。中断后，下一次运行会完成或还原。",
		Example: "  keepwell work sync --dry-run\n  keepwell work sync --yes\n  keepwell work sync --undo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("undo") {
				return runUndo(cmd.Context(), a, "work", o.undo)
			}
			return runWorkSync(cmd.Context(), a, o)
		},
	}
	o.register(cmd)
	return cmd
}

// workSyncDocument is what `work sync` says to programs.
type workSyncDocument struct {
	Command string       `json:"command"`
	Root    string       `json:"root"`
	Applied bool         `json:"applied"`
	ID      int          `json:"id,omitempty"`
	Changes []act.Change `json:"changes"`
	// Left are modules that go could not tidy, and why.
	Left map[string]string `json:"left"`
	// Vendor is a vendor directory that has to be made anew: go work vendor.
	Vendor string `json:"vendor,omitempty"`
}

// recovered finishes what a killed process left, before anything is read.
func (a *app) recovered(ctx context.Context) (*act.Engine, error) {
	e, err := engine()
	if err != nil {
		return nil, err
	}
	list, err := e.Recover(ctx)
	a.tellRecovered(list)
	if err != nil {
		return nil, actFailure(a, e.Dir, err)
	}
	return e, nil
}

func runWorkSync(ctx context.Context, a *app, o changeOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	e, err := a.recovered(ctx)
	if err != nil {
		return err
	}
	w, layers, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	done := a.progress(func() string { return msg.Text(a.lang, "work.syncing", len(w.Modules)) })
	plan, err := w.PlanSync(ctx, goSettings(layers), runtime.GOMAXPROCS(0))
	done()
	switch {
	case errors.Is(err, workspace.ErrNoWork):
		return &failure{exit: exitError, key: "err.work.nowork", hint: "hint.work.nowork", unwrapped: err}
	case err != nil:
		return &failure{exit: exitError, key: "err.work.sync", args: []any{mask.Text(err.Error())}, hint: "hint.work.sync", unwrapped: err}
	}
	doc := workSyncDocument{Command: "work sync", Root: w.Root, Changes: []act.Change{}, Left: map[string]string{}}
	for dir, why := range plan.Left {
		doc.Left[dir] = mask.Text(why)
	}
	if v := w.Settings(ctx, ".", layers).Vendor; v != "" && len(plan.Edits) > 0 {
		doc.Vendor = v
	}
	r, applied, err := a.change(ctx, e, act.Plan{Command: "work", Note: "sync", Steps: steps(plan.Edits)}, o)
	if err != nil || a.exit == exitApproval {
		return err
	}
	doc.Applied, doc.ID, doc.Changes = applied, r.ID, append(doc.Changes, r.Changes...)
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	for _, dir := range sortedNames(doc.Left) {
		a.sayOut("work.sync.left", dir, doc.Left[dir])
		a.exit = exitFaults
	}
	switch {
	case len(plan.Edits) == 0:
		a.sayOut("work.sync.fine", len(w.Modules))
	case applied:
		a.sayOut("work.sync.done", len(plan.Edits), r.ID)
		if doc.Vendor != "" {
			a.sayOut("work.sync.vendor", within(w, doc.Vendor))
		}
	}
	return nil
}

func steps(edits []act.Edit) []act.Step {
	out := make([]act.Step, 0, len(edits))
	for _, e := range edits {
		out = append(out, e)
	}
	return out
}

// goSettings are those of the user's go that matter where it works on a copy.
func goSettings(layers goenv.Layers) []string {
	env := layers.Env()
	out := []string{"GOTOOLCHAIN=" + env.Value("GOTOOLCHAIN")}
	var flags []string
	for _, f := range strings.Fields(env.Value("GOFLAGS")) {
		if name := strings.TrimLeft(f, "-"); !strings.HasPrefix(name, "mod=") && !strings.HasPrefix(name, "modfile=") {
			flags = append(flags, f)
		}
	}
	return append(out, "GOFLAGS="+strings.Join(flags, " "))
}

// change shows a plan, asks once for all of it, and carries it out. Nothing to do is no
// error, and nothing applied.
func (a *app) change(ctx context.Context, e *act.Engine, plan act.Plan, o changeOptions) (r act.Result, applied bool, err error) {
	if len(plan.Steps) == 0 {
		return r, false, nil
	}
	if r.Changes, err = plan.Preview(ctx); err != nil {
		return r, false, actFailure(a, plan.Note, err)
	}
	if err := showChanges(a, r.Changes); err != nil {
		return r, false, err
	}
	if o.dryRun {
		if !a.machine() {
			fmt.Fprintln(a.out, msg.Text(a.lang, "env.dryrun"))
		}
		return r, false, nil
	}
	ask := asker(ctx, a)
	if ask != nil {
		inner, asked, answer := ask, false, false
		ask = func(ctx context.Context, c act.Change) (bool, error) {
			if asked {
				return answer, nil
			}
			var err error
			answer, err = inner(ctx, c)
			asked = err == nil
			return answer, err
		}
	}
	r, err = e.Run(ctx, plan, act.Policy(o.yes, ask))
	a.tellRecovered(r.Recovered)
	if err != nil {
		return r, false, actFailure(a, "work "+plan.Note, err)
	}
	return r, true, nil
}

type workInitOptions struct {
	changeOptions
	goLine, git string
	dirs        []string
}

func newWorkInitCmd(a *app) *cobra.Command {
	var o workInitOptions
	cmd := &cobra.Command{
		Use:   "init [DIR ...]",
		Short: "Make a go.work of the modules here, or add those it lacks / 为此处的模块创建或补充 go.work",
		Long: "init finds the modules below the current directory, or takes those given, and has go write a go.work that uses them;\n" +
			"in one that exists it adds what is missing and leaves every other line. vendor, testdata, node_modules and names that\n" +
			"begin with . or _ are passed over. The go line is the newest that a module asks for. --git says how go.work is kept:\n" +
			"commit it where all modules are released together; else ignore it, since CI and users build without it.\n" +
			"init 查找当前目录下的模块（或使用给出的目录），让 go 写出 go.work；已有的 go.work 只补充缺少的模块，其余内容不变。\n" +
			"跳过 vendor、testdata、node_modules 以及以 . 或 _ 开头的目录。go 行取各模块中最新的版本。--git 决定 go.work 的保存方式：\n" +
			"各模块总是一起发布时可提交，否则应忽略，因为 CI 和使用者构建时没有它。",
		Example: "  keepwell work init --dry-run\n  keepwell work init --yes --git ignore\n  keepwell work init ./api ./server",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("undo") {
				return runUndo(cmd.Context(), a, "work", o.undo)
			}
			o.dirs = args
			return runWorkInit(cmd.Context(), a, o)
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&o.goLine, "go", "", "the go line (default: the newest of the modules') / go 行（默认取各模块中最新的）")
	cmd.Flags().StringVar(&o.git, "git", "", "commit, ignore or leave: how git is to keep go.work / go.work 在 git 中的保存方式")
	return cmd
}

// workInitDocument is what `work init` says to programs.
type workInitDocument struct {
	Command string `json:"command"`
	*workspace.Init
	Applied  bool          `json:"applied"`
	ID       int           `json:"id,omitempty"`
	Changes  []act.Change  `json:"changes"`
	Problems []workProblem `json:"problems"`
}

func runWorkInit(ctx context.Context, a *app, o workInitOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	switch o.git {
	case "", "commit", "ignore", "leave":
	default:
		return misused("err.work.git", o.git)
	}
	e, err := a.recovered(ctx)
	if err != nil {
		return err
	}
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return &failure{exit: exitError, key: "err.work.go", args: []any{mask.Text(err.Error())}, hint: "hint.work.go", unwrapped: err}
	}
	opts := workspace.InitOptions{Root: ".", Dirs: o.dirs, Go: o.goLine, Ignore: o.git == "ignore", Env: goSettings(layers)}
	done := a.progress(func() string { return msg.Text(a.lang, "work.reading") })
	p, err := workspace.PlanInit(ctx, opts)
	done()
	if err != nil {
		return initFailure(err)
	}
	if o.git == "" && !o.dryRun && !o.yes && p.Kept == "untracked" && a.askIgnore(ctx) {
		opts.Ignore = true
		if p, err = workspace.PlanInit(ctx, opts); err != nil {
			return initFailure(err)
		}
	}
	doc := workInitDocument{Command: "work init", Init: p, Changes: []act.Change{}, Problems: []workProblem{}}
	for _, x := range p.Problems {
		doc.Problems = append(doc.Problems, workProblem{x, a.problemText(x)})
	}
	for i := range p.Omitted {
		p.Omitted[i].Arg = mask.Text(p.Omitted[i].Arg)
	}
	r, applied, err := a.change(ctx, e, act.Plan{Command: "work", Note: "init", Steps: steps(p.Edits)}, o.changeOptions)
	if err != nil || a.exit == exitApproval {
		return err
	}
	doc.Applied, doc.ID, doc.Changes = applied, r.ID, append(doc.Changes, r.Changes...)
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	return shown(a, present.Outline(a.out, a.style(), a.initLines(doc, o, layers)))
}

func initFailure(err error) error {
	if errors.Is(err, workspace.ErrNoModules) {
		return &failure{exit: exitError, key: "err.work.nomodules", hint: "hint.work.nomodules", unwrapped: err}
	}
	return &failure{exit: exitError, key: "err.work.init", args: []any{mask.Text(err.Error())}, hint: "hint.work.init", unwrapped: err}
}

// askIgnore asks, at a terminal, how go.work is to be kept.
func (a *app) askIgnore(ctx context.Context) bool {
	if _, ok := terminal(a.in); !ok || a.machine() {
		return false
	}
	fmt.Fprint(a.errs, msg.Text(a.lang, "work.init.ask")) //nolint:errcheck // the terminal
	answer, err := bufio.NewReaderSize(&interruptible{ctx: ctx, r: a.in}, 16).ReadString('\n')
	return err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "i")
}

func (a *app) initLines(doc workInitDocument, o workInitOptions, layers goenv.Layers) []present.Line {
	var out []present.Line
	say := func(tone present.Tone, key string, args ...any) {
		out = append(out, present.Line{Text: msg.Text(a.lang, key, args...), Tone: tone})
	}
	switch {
	case len(doc.Edits) == 0:
		say(present.Bold, "work.init.fine")
	case doc.Applied && doc.Exists:
		say(present.Bold, "work.init.extended", len(doc.Added), doc.Go, doc.ID)
	case doc.Applied:
		say(present.Bold, "work.init.made", len(doc.Added), doc.Go, doc.ID)
	}
	for _, m := range doc.Omitted {
		say("", "work.init.omitted."+m.Why, m.Dir, m.Arg)
	}
	work := filepath.Join(doc.Root, "go.work")
	if now := layers.Go["GOWORK"]; now != "" && now != "off" && !sameFile(now, work) {
		say(present.Warning, "work.init.other", home(now))
	}
	if env := layers.Env()["GOWORK"]; env.Value == "off" {
		say(present.Warning, "work.init.off", string(env.Origin))
	}
	switch kept := doc.Kept; {
	case kept == "committed" && o.git == "ignore":
		say(present.Warning, "work.init.tracked")
	case kept == "ignored" && o.git == "commit":
		say(present.Warning, "work.init.isignored")
	case kept == "untracked" && o.git == "":
		say("", "work.init.policy")
	case kept == "untracked" && o.git == "commit":
		say("", "work.init.commit")
	}
	w := &workspace.Workspace{Root: doc.Root}
	var bad []workProblem
	for _, p := range doc.Problems {
		if p.Severity != keepwell.SeverityInfo {
			bad = append(bad, p)
		}
	}
	if len(bad) > 0 {
		out = append(out, a.problemLines(w, bad)...)
		a.exit = exitFaults
	}
	return out
}

// sameFile reports whether two names mean one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}
