package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/workspace"
)

type workGraphOptions struct {
	dot, mermaid, packages, tests bool
}

func newWorkGraphCmd(a *app) *cobra.Command {
	var o workGraphOptions
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "What needs what: modules, or packages, as text, DOT or Mermaid / 模块或包之间的依赖关系图",
		Long: "graph shows which modules of the workspace need which, by what their packages import and their go.mod files require;\n" +
			"--packages which packages import which. Dotted edges are of tests alone, dashed ones of requirements that no package\n" +
			"uses. --dot is for Graphviz, --mermaid for Markdown.\n" +
			"graph 显示工作区中哪些模块依赖哪些模块（依据包的导入和 go.mod 的要求）；--packages 显示包之间的导入关系。\n" +
			"点线表示仅测试使用，虚线表示只写在 go.mod 中、没有包使用。--dot 供 Graphviz 使用，--mermaid 可放入 Markdown。",
		Example: "  keepwell work graph\n  keepwell work graph --mermaid >> ARCHITECTURE.md\n  keepwell work graph --packages --dot | dot -Tsvg -o packages.svg",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runWorkGraph(cmd.Context(), a, o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.dot, "dot", false, "for Graphviz / 输出 DOT")
	flags.BoolVar(&o.mermaid, "mermaid", false, "for Markdown / 输出 Mermaid")
	flags.BoolVar(&o.packages, "packages", false, "packages in place of modules / 显示包而不是模块")
	flags.BoolVar(&o.tests, "tests", true, "also what only tests import / 包括仅测试使用的导入")
	cmd.MarkFlagsMutuallyExclusive("dot", "mermaid")
	return cmd
}

// workGraphDocument is what `work graph` says to programs.
type workGraphDocument struct {
	Command string       `json:"command"`
	Root    string       `json:"root"`
	Modules []workModule `json:"modules"`
	*workspace.Graph
}

func runWorkGraph(ctx context.Context, a *app, o workGraphOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	w, _, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	done := a.progress(func() string { return msg.Text(a.lang, "work.reading") })
	g, err := w.Graph(ctx)
	done()
	if err != nil {
		return workFailure(err)
	}
	g.Why = mask.Text(g.Why)
	if g.Why != "" {
		a.say("work.graph.unlisted", g.Why)
	}
	if !o.tests {
		g.Needs, g.Imports = withoutTests(g.Needs), withoutTests(g.Imports)
	}
	if a.machine() {
		return shown(a, writeDocument(a, workGraphDocument{Command: "work graph", Root: w.Root, Modules: workModules(w.Modules), Graph: g}))
	}
	p := drawingOf(g, o.packages)
	switch {
	case o.dot:
		return shown(a, p.dot(a.out))
	case o.mermaid:
		return shown(a, p.mermaid(a.out))
	}
	return shown(a, present.Outline(a.out, a.style(), a.graphLines(p)))
}

func withoutTests(list []workspace.Edge) []workspace.Edge {
	out := []workspace.Edge{}
	for _, e := range list {
		if e.Kind != "test" {
			out = append(out, e)
		}
	}
	return out
}

// drawing is a graph to be drawn: names, a group for each, and edges.
type drawing struct {
	names []string
	label map[string]string
	group map[string]string // "" where names are not grouped
	edges []workspace.Edge
}

func drawingOf(g *workspace.Graph, packages bool) drawing {
	p := drawing{label: map[string]string{}, group: map[string]string{}, edges: g.Needs}
	if !packages {
		for _, m := range g.Modules {
			p.names, p.label[m.Path] = append(p.names, m.Path), cmp.Or(m.Path, m.Rel)
		}
		return p
	}
	p.edges = g.Imports
	for _, x := range g.Packages {
		p.names, p.label[x.Path], p.group[x.Path] = append(p.names, x.Path), x.Path, x.Module
	}
	return p
}

// groups are the names by group, in order.
func (p drawing) groups() (order []string, members map[string][]string) {
	members = map[string][]string{}
	for _, n := range p.names {
		g := p.group[n]
		if members[g] == nil {
			order = append(order, g)
		}
		members[g] = append(members[g], n)
	}
	return order, members
}

// quoteDOT quotes a name for DOT.
func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(present.Visible(s, true)) + `"`
}

func (p drawing) dot(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph workspace {\n\trankdir=LR;\n\tnode [shape=box];\n")
	order, members := p.groups()
	for i, g := range order {
		indent := "\t"
		if g != "" {
			fmt.Fprintf(&b, "\tsubgraph cluster_%d {\n\t\tlabel=%s;\n", i, quoteDOT(g))
			indent = "\t\t"
		}
		for _, n := range members[g] {
			fmt.Fprintf(&b, "%s%s;\n", indent, quoteDOT(p.label[n]))
		}
		if g != "" {
			b.WriteString("\t}\n")
		}
	}
	style := map[string]string{"test": " [style=dotted]", "require": " [style=dashed]"}
	for _, e := range p.edges {
		fmt.Fprintf(&b, "\t%s -> %s%s;\n", quoteDOT(p.label[e.From]), quoteDOT(p.label[e.To]), style[e.Kind])
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// quoteMermaid quotes a label for Mermaid, which knows entities and no backslash.
func quoteMermaid(s string) string {
	return `"` + strings.NewReplacer(`#`, "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(present.Visible(s, true)) + `"`
}

func (p drawing) mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("graph LR\n")
	id := map[string]string{}
	for i, n := range p.names {
		id[n] = fmt.Sprintf("n%d", i)
	}
	order, members := p.groups()
	for i, g := range order {
		indent := "  "
		if g != "" {
			fmt.Fprintf(&b, "  subgraph g%d[%s]\n", i, quoteMermaid(g))
			indent = "    "
		}
		for _, n := range members[g] {
			fmt.Fprintf(&b, "%s%s[%s]\n", indent, id[n], quoteMermaid(p.label[n]))
		}
		if g != "" {
			b.WriteString("  end\n")
		}
	}
	for _, e := range p.edges {
		arrow := "-->"
		switch e.Kind {
		case "test":
			arrow = "-.->"
		case "require":
			arrow = "-.->|go.mod|"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", id[e.From], arrow, id[e.To])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// graphLines list what each needs.
func (a *app) graphLines(p drawing) []present.Line {
	needs := map[string][]workspace.Edge{}
	for _, e := range p.edges {
		needs[e.From] = append(needs[e.From], e)
	}
	var out []present.Line
	for _, n := range p.names {
		out = append(out, present.Line{Text: p.label[n], Tone: present.Bold})
		for _, e := range needs[n] {
			text := p.label[e.To]
			if e.Kind != "import" {
				text = msg.Text(a.lang, "work.graph."+e.Kind, text)
			}
			out = append(out, present.Line{Gutter: "  -> ", Rest: "     ", Text: text})
		}
	}
	return out
}
