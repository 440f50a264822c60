package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/workspace"
)

type marksOptions struct {
	undo     string
	mark     marks.Mark
	state    string
	evidence []string
	dryRun   bool
}

func newMarksCmd(a *app) *cobra.Command {
	var o marksOptions
	cmd := &cobra.Command{
		Use:   "marks",
		Short: "What this project knows of dependencies that cannot be mended / 本项目对无法修复的依赖的记录",
		Long: "marks lists keepwell.marks.yaml, which lies beside go.work, go.mod or another manifest and is committed with it.\n" +
			"doctor, explain, versions and work status read it and say so. doctor --fix marks what nobody here can mend.\n" +
			"marks 列出 keepwell.marks.yaml 的内容：它和 go.mod 等文件放在一起提交，doctor、explain、versions、work status 都会读取。",
		Example: "  keepwell marks\n  keepwell marks add example.com/old --why \"the repository is gone\" --until 2027-06-01\n" +
			"  keepwell marks remove example.com/old\n  keepwell marks --undo",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.undo != "" {
				return runUndo(cmd.Context(), a, "marks", o.undo)
			}
			return runMarks(a)
		},
	}
	cmd.Flags().StringVar(&o.undo, "undo", "", "take back the last change of marks, or the one of this number / 撤销上一次或指定编号的改动")
	cmd.Flags().Lookup("undo").NoOptDefVal = lastChange
	cmd.AddCommand(newMarksAddCmd(a, &o), newMarksRemoveCmd(a, &o))
	return cmd
}

func newMarksAddCmd(a *app, o *marksOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME[@VERSION]",
		Short: "Mark a dependency as abandoned, or as accepted for now / 把一个依赖记为已废弃，或暂时接受",
		Long: "add writes down what the team knows of a dependency; a mark of the same name is replaced.\n" +
			"npm:NAME and pypi:NAME name packages of the other two.\n" +
			"add 记下团队对一个依赖的了解；同名的记录会被替换。npm:NAME、pypi:NAME 表示另外两种包。",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runMarksAdd(cmd.Context(), a, *o, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.mark.Why, "why", "", "why, in a sentence; needed / 原因，必填")
	flags.StringVar(&o.state, "state", string(marks.Abandoned), "abandoned or accepted / abandoned（已废弃）或 accepted（暂时接受）")
	flags.StringVar(&o.mark.Until, "until", "", "look at it again from this day, 2027-06-01 / 到这一天再看")
	flags.StringVar(&o.mark.Instead, "instead", "", "what to take in its place / 可替代它的依赖")
	flags.StringVar(&o.mark.By, "by", "", "who says so (default: git's user.name) / 谁说的（默认取 git 的 user.name）")
	flags.StringArrayVar(&o.evidence, "evidence", nil, "what was seen, or a link; may be repeated / 依据或链接，可重复")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the change and stop / 只显示改动")
	return cmd
}

func newMarksRemoveCmd(a *app, o *marksOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAME[@VERSION]",
		Aliases: []string{"rm"},
		Short:   "Take a mark away / 删除一条记录",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMarksRemove(cmd.Context(), a, *o, args[0])
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the change and stop / 只显示改动")
	return cmd
}

// marksDocument is what `keepwell marks` says to programs.
type marksDocument struct {
	Command string       `json:"command"`
	File    string       `json:"file"`
	Marks   []marks.Mark `json:"marks"`
}

func runMarks(a *app) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	f, err := marks.Find(".")
	if err != nil {
		return marksFailure(err)
	}
	if a.machine() {
		doc := marksDocument{Command: "marks", File: f.Path, Marks: []marks.Mark{}}
		doc.Marks = append(doc.Marks, f.Marks...)
		return shown(a, writeDocument(a, doc))
	}
	if len(f.Marks) == 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "marks.none", home(f.Path)))
		return nil
	}
	lines := []present.Line{{Text: msg.Text(a.lang, "marks.head", home(f.Path), len(f.Marks)), Tone: present.Bold}}
	for _, m := range f.Marks {
		lines = append(lines, present.Line{}, present.Line{Text: a.markText(m)})
		for _, e := range m.Evidence {
			lines = append(lines, present.Line{Gutter: "    ", Rest: "    ", Text: mask.Text(e), Tone: present.Faint})
		}
	}
	return shown(a, present.Outline(a.out, a.style(), lines))
}

// markText is a mark in a sentence.
func (a *app) markText(m marks.Mark) string {
	name := doctor.Subject{Ecosystem: doctor.Ecosystem(m.Ecosystem), Path: m.Name, Version: m.Version}
	text := msg.Text(a.lang, "marks."+string(m.State), typed(name), m.Since, mask.Text(m.Why))
	for _, more := range []struct{ key, value string }{{"by", m.By}, {"instead", m.Instead}, {"owner", m.Owner}} {
		if more.value != "" {
			text += msg.Text(a.lang, "marks."+more.key, mask.Text(more.value))
		}
	}
	switch {
	case m.Over(time.Now()):
		text += msg.Text(a.lang, "marks.over", m.Until)
	case m.Until != "":
		text += msg.Text(a.lang, "marks.until", m.Until)
	}
	return text
}

// marksFailure puts the errors of package marks into words.
func marksFailure(err error) error {
	f := &failure{exit: exitError, key: "err.marks", args: []any{mask.Text(err.Error())}, hint: "hint.marks", unwrapped: err}
	if errors.Is(err, marks.ErrNone) {
		f.hint = "hint.marks.none"
	}
	return f
}

func runMarksAdd(ctx context.Context, a *app, o marksOptions, name string) error {
	s, err := subject(name)
	if err != nil {
		return err
	}
	f, err := marks.Find(".")
	if err != nil {
		return marksFailure(err)
	}
	signed := signature(ctx)
	m := o.mark
	m.Ecosystem, m.Name, m.Version, m.State, m.Since, m.Evidence = string(s.Ecosystem), s.Path, s.Version, marks.State(o.state), signed.Since, o.evidence
	if m.By == "" {
		m.By = signed.By
	}
	after, err := f.Add(m)
	if err != nil {
		return &failure{exit: exitUsage, key: "err.marks", args: []any{mask.Text(err.Error())}, hint: "hint.marks.add", unwrapped: err}
	}
	return changeMarks(ctx, a, o, f, after, m.Name)
}

func runMarksRemove(ctx context.Context, a *app, o marksOptions, name string) error {
	s, err := subject(name)
	if err != nil {
		return err
	}
	f, err := marks.Find(".")
	if err != nil {
		return marksFailure(err)
	}
	after, err := f.Remove(string(s.Ecosystem), s.Path, s.Version)
	if err != nil {
		return marksFailure(err)
	}
	return changeMarks(ctx, a, o, f, after, s.Path)
}

// changeMarks shows a change of the file and makes it: whoever typed the command agrees.
func changeMarks(ctx context.Context, a *app, o marksOptions, f marks.File, after []byte, note string) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	plan := act.Plan{Command: "marks", Note: note, Steps: []act.Step{act.Edit{Path: f.Path, Before: f.Text, After: after, Safety: keepwell.SafetySafe}}}
	changes, err := plan.Preview(ctx)
	if err != nil {
		return actFailure(a, note, err)
	}
	if err := showChanges(a, changes); err != nil {
		return err
	}
	var r act.Result
	if !o.dryRun {
		e, err := engine()
		if err != nil {
			return err
		}
		r, err = e.Run(ctx, plan, act.Policy(false, nil))
		a.tellRecovered(r.Recovered)
		if err != nil {
			return actFailure(a, note, err)
		}
	}
	if a.machine() {
		return shown(a, writeDocument(a, struct {
			Command string       `json:"command"`
			DryRun  bool         `json:"dry_run,omitempty"`
			Change  int          `json:"change,omitempty"`
			Changes []act.Change `json:"changes"`
		}{"marks", o.dryRun, r.ID, changes}))
	}
	if o.dryRun {
		fmt.Fprintln(a.out, msg.Text(a.lang, "env.dryrun"))
		return nil
	}
	fmt.Fprintln(a.out, msg.Text(a.lang, "marks.done", r.ID))
	return nil
}

// signature says who marks a dependency today.
func signature(ctx context.Context) marks.Mark {
	m := marks.Mark{Since: time.Now().Format(time.DateOnly)}
	if out, err := proc.Output(ctx, proc.Options{Timeout: 2 * time.Second}, "git", "config", "user.name"); err == nil {
		if name := strings.TrimSpace(string(out)); len(name) < 100 {
			m.By = name
		}
	}
	return m
}

// marksHere are the marks of the project here. What cannot be read is told once and
// taken for none: it is no reason to be silent on the rest.
func (a *app) marksHere() marks.File {
	f, err := marks.Find(".")
	if err != nil && !errors.Is(err, os.ErrPermission) {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "err.marks", mask.Text(err.Error())), true))
		return marks.File{}
	}
	return f
}

// marksInQuestion are the marks of what the doctor was asked about; else of what the
// project here requires.
func (a *app) marksInQuestion(c *doctor.Case) []marks.Mark {
	file := a.marksHere()
	var out []marks.Mark
	for _, s := range c.Asked {
		out = append(out, file.Of(string(s.Ecosystem), s.Path, s.Version)...)
	}
	if len(c.Asked) > 0 || len(file.Marks) == 0 {
		return out
	}
	mod, err := os.ReadFile(c.Settings.Env.Value("GOMOD"))
	if err != nil {
		return out
	}
	if f, err := modfile.ParseLax("go.mod", mod, nil); err == nil {
		for _, r := range f.Require {
			out = append(out, file.Of("go", r.Mod.Path, r.Mod.Version)...)
		}
	}
	return out
}

// markedRequirements are what the modules of a workspace require and the marks name.
func (a *app) markedRequirements(w *workspace.Workspace) []workProblem {
	file := a.marksHere()
	var out []workProblem
	if len(file.Marks) == 0 {
		return out
	}
	for _, m := range w.Modules {
		if m.File == nil {
			continue
		}
		for _, r := range m.File.Require {
			for _, mark := range file.Of("go", r.Mod.Path, r.Mod.Version) {
				text := a.markText(mark)
				p := workspace.Problem{Kind: "marked", Code: "module/archived", Severity: keepwell.SeverityInfo, File: m.Name(), Line: r.Syntax.Start.Line, Args: []string{text}}
				out = append(out, workProblem{p, text})
			}
		}
	}
	return out
}

// fromMarks is the source of evidence that the project's marks are.
const fromMarks = "marks"

// marked adds to findings what the project's marks say of their modules and packages.
func (a *app) marked(findings []keepwell.Finding) []keepwell.Finding {
	if !slices.ContainsFunc(findings, func(f keepwell.Finding) bool { return f.Facts["module"] != "" || f.Facts["package"] != "" }) {
		return findings
	}
	file := a.marksHere()
	if len(file.Marks) == 0 {
		return findings
	}
	out := slices.Clone(findings)
	for i, f := range out {
		var list []marks.Mark
		for _, name := range []string{f.Facts["module"], f.Facts["package"]} {
			for _, eco := range []string{"go", "npm", "pypi"} {
				if name != "" && (f.Tool == "" || f.Tool == map[string]string{"go": "go", "npm": "npm", "pypi": "pip"}[eco]) {
					list = append(list, file.Of(eco, name, f.Facts["version"])...)
				}
			}
		}
		for _, m := range list {
			out[i].Evidence = append(slices.Clone(out[i].Evidence), keepwell.Evidence{Source: fromMarks, Text: a.markText(m)})
		}
	}
	return out
}

// markLines are the marks of dependencies, as lines for people.
func (a *app) markLines(list []marks.Mark) []present.Line {
	var out []present.Line
	for _, m := range list {
		out = append(out, present.Line{Gutter: "  ! ", Rest: "    ", Text: a.markText(m)})
	}
	return out
}
