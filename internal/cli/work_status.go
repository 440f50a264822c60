package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/workspace"
)

func newWorkStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The modules, the settings in force, and what disagrees / 模块、生效的设置、不一致之处",
		Long: "status lists the modules of the workspace with their go and toolchain lines, the dependencies of which they want\n" +
			"different versions and what go chooses, replacements left over or leading nowhere, modules that go.work leaves out,\n" +
			"which settings are in force and who set them, and how go.work is kept in git. It asks no server and changes nothing.\n" +
			"status 列出工作区的模块及其 go、toolchain 行，各模块要求不同版本的依赖和 go 的选择，多余或失效的 replace，\n" +
			"go.work 未包含的模块，生效的设置及其来源，以及 go.work 在 git 中的状态。不访问网络，不做任何改动。",
		Example: "  keepwell work status\n  keepwell work status --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runWorkStatus(cmd.Context(), a) },
	}
}

// workStatusDocument is what `work status` says to programs.
type workStatusDocument struct {
	Command string             `json:"command"`
	Root    string             `json:"root"`
	Work    string             `json:"go_work,omitempty"`
	Go      string             `json:"go,omitempty"`
	Modules []workModule       `json:"modules"`
	Outside []workModule       `json:"outside"`
	Version workspace.Versions `json:"versions"`
	workspace.InForce
	Problems []workProblem `json:"problems"`
}

type workModule struct {
	Dir       string `json:"dir"`
	Path      string `json:"path"`
	Go        string `json:"go,omitempty"`
	Toolchain string `json:"toolchain,omitempty"`
	Requires  int    `json:"requires"`
}

type workProblem struct {
	workspace.Problem
	Text string `json:"text"`
}

func workModules(list []*workspace.Module) []workModule {
	out := []workModule{}
	for _, m := range list {
		o := workModule{Dir: m.Rel, Path: m.Path, Go: m.Go(), Toolchain: m.Toolchain()}
		if m.File != nil {
			o.Requires = len(m.File.Require)
		}
		out = append(out, o)
	}
	return out
}

func runWorkStatus(ctx context.Context, a *app) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	done := a.progress(func() string { return msg.Text(a.lang, "work.reading") })
	defer done()
	w, layers, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	doc := workStatusDocument{Command: "work status", Root: w.Root, Work: w.Work, Modules: workModules(w.Modules), Outside: workModules(w.Outside)}
	if w.File != nil && w.File.Go != nil {
		doc.Go = w.File.Go.Version
	}
	doc.InForce = w.Settings(ctx, ".", layers)
	if doc.Version, err = w.Versions(ctx); err != nil {
		return workFailure(err)
	}
	doc.Version.Why = mask.Text(doc.Version.Why)
	for i := range doc.Settings {
		doc.Settings[i].Value = mask.Text(doc.Settings[i].Value)
	}
	problems := append(w.Problems(), doc.InForce.Problems...)
	workspace.Order(problems)
	doc.Problems = []workProblem{}
	for _, p := range problems {
		doc.Problems = append(doc.Problems, workProblem{p, a.problemText(p)})
	}
	doc.Problems = append(doc.Problems, a.markedRequirements(w)...)
	done()
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	if len(problems) > 0 && problems[0].Severity == keepwell.SeverityError {
		a.exit = exitFaults
	}
	return shown(a, present.Outline(a.out, a.style(), a.statusLines(w, doc)))
}

func (a *app) problemText(p workspace.Problem) string {
	args := make([]any, len(p.Args))
	for i, x := range p.Args {
		args[i] = mask.Text(x)
	}
	switch p.Kind {
	case workspace.WorkOff:
		args[0] = msg.Text(a.lang, "work.origin."+originKey(p.Args[0]))
	case workspace.SumApart:
		args[0], args[1] = msg.Text(a.lang, "work.git."+p.Args[0]), msg.Text(a.lang, "work.git."+p.Args[1])
	}
	return msg.Text(a.lang, "work.problem."+string(p.Kind), args...)
}

// originKey names a place of settings in the table of words.
func originKey(origin string) string {
	switch origin {
	case "environment", "default", "found":
		return origin
	case "user file":
		return "user"
	}
	return "goroot"
}

func (a *app) statusLines(w *workspace.Workspace, doc workStatusDocument) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	var out []present.Line
	head := say("work.status.single", home(w.Root))
	if w.Work != "" {
		head = say("work.status.head", home(w.Work), len(w.Modules), cmp.Or(doc.Go, "1.18"))
	}
	head.Tone = present.Bold
	out = append(out, head)
	for _, s := range doc.Settings {
		value := cmp.Or(s.Value, msg.Text(a.lang, "env.empty"))
		if s.Name == "GOWORK" && s.Value == w.Work && w.Work != "" {
			value = home(w.Work)
		}
		from := msg.Text(a.lang, "work.origin."+originKey(s.Origin))
		if s.File != "" {
			from += " " + home(s.File)
		}
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Label: s.Name, Text: msg.Text(a.lang, "work.status.setting", value, from)})
	}
	if doc.Vendor != "" {
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Label: "vendor", Text: within(w, doc.Vendor)})
	}
	if len(doc.Git) > 0 {
		var states []string
		for _, n := range sortedNames(doc.Git) {
			states = append(states, n+" "+msg.Text(a.lang, "work.git."+doc.Git[n]))
		}
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Label: "git", Text: strings.Join(states, msg.Text(a.lang, "work.and"))})
	}
	out = append(out, present.Line{})
	var rows []present.Row
	for _, m := range doc.Modules {
		rows = append(rows, present.Row{Cells: []string{m.Dir, m.Path, m.Go, m.Toolchain, strconv.Itoa(m.Requires)}})
	}
	out = append(out, present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "work.status.dir"), Most: 22},
		{Title: msg.Text(a.lang, "work.status.module"), Most: 30},
		{Title: "go"},
		{Title: "toolchain"},
		{Title: msg.Text(a.lang, "work.status.requires"), Right: true},
	}, rows)...)
	out = append(out, present.Line{})
	out = append(out, a.driftLines(doc.Version)...)
	return append(out, a.problemLines(w, doc.Problems)...)
}

// mostDrift bounds the dependencies that text shows, mostWanting the modules of a version.
const (
	mostDrift   = 25
	mostWanting = 3
)

func (a *app) driftLines(v workspace.Versions) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	if len(v.Drift) == 0 {
		return []present.Line{say("work.drift.none", v.Dependencies)}
	}
	out := []present.Line{say("work.drift.head", v.Dependencies, len(v.Drift))}
	if !v.Exact {
		out = append(out, present.Line{Text: msg.Text(a.lang, "work.drift.guess", v.Why), Tone: present.Warning})
	}
	for _, d := range v.Drift[:min(len(v.Drift), mostDrift)] {
		chosen := d.Chosen
		if d.Replaced != "" {
			chosen += " => " + d.Replaced
		}
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Text: d.Path + "  " + msg.Text(a.lang, "work.drift.chosen", chosen)})
		for _, want := range d.Wanted {
			who := strings.Join(want.Modules[:min(len(want.Modules), mostWanting)], ", ")
			if more := len(want.Modules) - mostWanting; more > 0 {
				who += msg.Text(a.lang, "work.drift.others", more)
			}
			mark := " "
			if want.Version == d.Chosen {
				mark = "*"
			}
			out = append(out, present.Line{Gutter: "    " + mark + " ", Rest: "      ", Label: want.Version, Text: who, Tone: present.Faint})
		}
	}
	if more := len(v.Drift) - mostDrift; more > 0 {
		out = append(out, present.Line{Gutter: "  ", Text: msg.Text(a.lang, "work.more", more)})
	}
	return out
}

func (a *app) problemLines(w *workspace.Workspace, list []workProblem) []present.Line {
	if len(list) == 0 {
		return []present.Line{{}, {Text: msg.Text(a.lang, "work.fine")}}
	}
	out := []present.Line{{}}
	shown := map[string]int{}
	for _, p := range list {
		if shown[string(p.Kind)]++; shown[string(p.Kind)] > mostDrift {
			continue
		}
		at := within(w, p.File)
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, p.Line)
		}
		l := present.Line{Gutter: "  ", Rest: "    ", Text: msg.Text(a.lang, "work.problem", msg.Text(a.lang, "severity."+string(p.Severity)), p.Text)}
		if p.Severity != keepwell.SeverityInfo {
			l.Tone = present.Warning
		}
		if p.File != "" {
			l.Text = msg.Text(a.lang, "work.status.setting", l.Text, at)
		}
		out = append(out, l)
	}
	for _, k := range sortedNames(shown) {
		if n := shown[k] - mostDrift; n > 0 {
			out = append(out, present.Line{Gutter: "  ", Text: msg.Text(a.lang, "work.more.kind", n, k)})
		}
	}
	return out
}
