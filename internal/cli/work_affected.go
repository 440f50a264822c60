package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/workspace"
)

// sinceOptions say which change is meant.
type sinceOptions struct {
	since             string
	committed, direct bool
}

type workAffectedOptions struct {
	sinceOptions
	test, modules, list bool
}

func newWorkAffectedCmd(a *app) *cobra.Command {
	var o workAffectedOptions
	cmd := &cobra.Command{
		Use:   "affected",
		Short: "The modules and packages that a change touches / 一次改动影响到的模块和包",
		Long: "affected lists the packages of the workspace that are built, or tested, of something else than at the point where the\n" +
			"branch parted from REV: their own files, files they embed, testdata, or anything that they import, also by another\n" +
			"version of a dependency. The working tree counts as it is, new files that git does not ignore included; --committed\n" +
			"looks at commits alone. go itself says what packages are made of, for its platform and tags in force.\n" +
			"affected 列出与分支自 REV 分出之处相比，构建或测试内容有变化的包：自身的源文件、嵌入的文件、testdata，或任何（间接）\n" +
			"导入的内容，包括依赖版本的变化。以工作区文件的现状为准，包括未被 git 忽略的新文件；--committed 只看已提交的内容。\n" +
			"包由哪些内容组成由 go 按当前平台和构建标签给出。",
		Example: "  keepwell work affected --since origin/main\n  keepwell work affected --since origin/main --list | xargs -r go test\n  keepwell work affected --since v1.2.0 --direct --modules --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runWorkAffected(cmd.Context(), a, o) },
	}
	flags := cmd.Flags()
	o.register(cmd)
	flags.BoolVar(&o.test, "test", false, "print the go test command and nothing else / 只输出 go test 命令")
	flags.BoolVar(&o.modules, "modules", false, "only modules / 只列出模块")
	flags.BoolVar(&o.list, "list", false, "only names, one a line: packages, or modules' directories / 每行一个名称：包，或模块目录")
	cmd.MarkFlagsMutuallyExclusive("test", "modules")
	cmd.MarkFlagsMutuallyExclusive("test", "list")
	return cmd
}

func (o *sinceOptions) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "HEAD", "since the branch parted from `REV` / 自分支从 REV 分出以来")
	flags.BoolVar(&o.committed, "committed", false, "only what is committed / 只看已提交的内容")
	flags.BoolVar(&o.direct, "direct", false, "compare with the commit itself / 直接与该提交比较")
}

// affectedDocument is what `work affected` says to programs.
type affectedDocument struct {
	Command string `json:"command"`
	Root    string `json:"root"`
	Since   string `json:"since"`
	*workspace.Affected
	// Test is the command that tests what is affected; empty where nothing is.
	Test []string `json:"test"`
}

func runWorkAffected(ctx context.Context, a *app, o workAffectedOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	w, layers, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	found, err := a.affected(ctx, w, layers, o.sinceOptions)
	if err != nil {
		return err
	}
	doc := affectedDocument{Command: "work affected", Root: w.Root, Since: o.since, Affected: found, Test: []string{}}
	if len(found.Packages) > 0 {
		doc.Test = []string{"go", "test"}
	}
	for _, p := range found.Packages {
		doc.Test = append(doc.Test, p.Path)
	}
	switch {
	case a.machine():
		return shown(a, writeDocument(a, doc))
	case o.test:
		return shown(a, a.printWords(doc.Test, " ", faults.Quote))
	case o.list && o.modules:
		var dirs []string
		for _, m := range found.Modules {
			dirs = append(dirs, m.Dir)
		}
		return shown(a, a.printWords(dirs, "\n", nil))
	case o.list:
		return shown(a, a.printWords(doc.Test[min(2, len(doc.Test)):], "\n", nil))
	}
	return shown(a, present.Outline(a.out, a.style(), a.affectedLines(o, found)))
}

// printWords prints words for other programs; none is nothing.
func (a *app) printWords(words []string, between string, quote func(string) string) error {
	if len(words) == 0 {
		return nil
	}
	out := make([]string, len(words))
	for i, word := range words {
		if out[i] = word; quote != nil {
			out[i] = quote(word)
		}
	}
	_, err := fmt.Fprintln(a.out, strings.Join(out, between))
	return err
}

// affected finds what a change touches, and says what stands in the way.
func (a *app) affected(ctx context.Context, w *workspace.Workspace, layers goenv.Layers, o sinceOptions) (*workspace.Affected, error) {
	done := a.progress(func() string { return msg.Text(a.lang, "work.comparing") })
	defer done()
	found, err := w.Affected(ctx, workspace.Since{
		Rev: o.since, Direct: o.direct, Committed: o.committed,
		Vendor: w.Settings(ctx, ".", layers).Vendor, Toolchain: layers.Env().Value("GOTOOLCHAIN"),
	})
	done()
	if err != nil {
		return nil, affectedFailure(o, err)
	}
	found.Why = mask.Text(found.Why)
	if !found.Comparable {
		a.say("work.affected.incomparable", found.Why)
	}
	return found, nil
}

func affectedFailure(o sinceOptions, err error) error {
	f := &failure{exit: exitError, key: "err.work.affected", args: []any{mask.Text(err.Error())}, hint: "hint.work.affected", unwrapped: err}
	switch {
	case errors.Is(err, workspace.ErrNoGit):
		f.key, f.args, f.hint = "err.work.nogit", nil, "hint.work.nogit"
	case errors.Is(err, workspace.ErrNoRev):
		f.key, f.args, f.hint = "err.work.norev", []any{mask.Text(o.since)}, "hint.work.norev"
	case errors.Is(err, workspace.ErrNoBase):
		f.key, f.args, f.hint = "err.work.nobase", []any{mask.Text(o.since)}, "hint.work.nobase"
	}
	return f
}

// mostUnowned bounds the files of no package that text names.
const mostUnowned = 5

func (a *app) affectedLines(o workAffectedOptions, f *workspace.Affected) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	base, found := f.Base[:min(len(f.Base), 9)], []any{f.Files, len(f.Packages), len(f.Modules)}
	head := say("work.affected.head", append([]any{o.since, base}, found...)...)
	switch {
	case o.since == "HEAD":
		head = say("work.affected.head.here", append([]any{base}, found...)...)
	case o.direct:
		head = say("work.affected.direct", append([]any{o.since, base}, found...)...)
	}
	head.Tone = present.Bold
	out := []present.Line{head}
	dirs := map[string]string{}
	for _, p := range f.Packages {
		dirs[p.Path] = p.Dir
	}
	for _, m := range f.Modules {
		out = append(out, present.Line{}, present.Line{Text: msg.Text(a.lang, "work.affected.module", m.Dir, m.Path, m.Packages), Tone: present.Bold})
		if o.modules {
			out = append(out[:len(out)-2], present.Line{Gutter: "  ", Label: m.Dir, Text: msg.Text(a.lang, "work.affected.of", m.Path, m.Packages)})
			continue
		}
		var packages []present.Line
		for _, p := range f.Packages {
			if p.Module == m.Path {
				packages = append(packages, present.Line{Gutter: "  ", Rest: "    ", Label: p.Dir, Text: a.causeText(p, dirs)})
			}
		}
		out = append(out, roomy(packages, a.style().Width)...)
	}
	if len(f.Removed) > 0 && !o.modules {
		out = append(out, present.Line{})
		for _, p := range f.Removed {
			l := say("work.affected.removed", p)
			l.Gutter = "  "
			out = append(out, l)
		}
	}
	if n := len(f.Unowned); n > 0 && !o.modules {
		names := strings.Join(f.Unowned[:min(n, mostUnowned)], ", ")
		if n > mostUnowned {
			names += ", ..."
		}
		l := say("work.affected.unowned", n, names)
		l.Tone = present.Faint
		out = append(out, present.Line{}, l)
	}
	return out
}

// leastText is the width below which a text beside its label is hard to read.
const leastText = 40

// roomy puts texts below their labels where the labels leave them too little of a line.
func roomy(lines []present.Line, width int) []present.Line {
	label, text := 0, 0
	for _, l := range lines {
		label, text = max(label, runewidth.StringWidth(l.Gutter+l.Label)+2), max(text, runewidth.StringWidth(l.Text))
	}
	if label+text <= width || width-label >= max(leastText, width/2) {
		return lines
	}
	var out []present.Line
	for _, l := range lines {
		out = append(out, present.Line{Gutter: l.Gutter, Rest: l.Gutter, Text: l.Label, Whole: true}, present.Line{Gutter: l.Rest + "  ", Rest: l.Rest + "  ", Text: l.Text, Tone: present.Faint})
	}
	return out
}

// causeText says why a package is affected; dirs has the directories of those that are.
func (a *app) causeText(p workspace.AffectedPackage, dirs map[string]string) string {
	text := a.ownCause(p.Cause)
	if p.Cause.Kind == "import" {
		text = msg.Text(a.lang, "work.cause.import", cmp.Or(dirs[p.Cause.Name], p.Cause.Name))
		if p.RootCause != nil {
			text = msg.Text(a.lang, "work.status.setting", text, a.ownCause(*p.RootCause))
		}
	}
	if p.TestsOnly {
		return msg.Text(a.lang, "work.cause.tests", text)
	}
	return text
}

func (a *app) ownCause(c workspace.Cause) string {
	if c.Kind == "file" {
		return strings.TrimPrefix(c.Name, "./")
	}
	if c.Name == "" {
		return msg.Text(a.lang, "work.cause."+c.Kind)
	}
	return msg.Text(a.lang, "work.cause."+c.Kind, mask.Text(c.Name))
}
