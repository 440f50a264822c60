package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type warmOptions struct {
	gatherOptions
	pin, unpin string
}

func newWarmCmd(a *app) *cobra.Command {
	o := warmOptions{gatherOptions: gatherOptions{moduleOptions: moduleOptions{exit: exitError}}}
	cmd := &cobra.Command{
		Use:   "warm [go.mod|go.sum|go.work ...]",
		Short: "Fetch what projects need before anybody asks / 预先获取项目所需的模块",
		Long: "warm fills the store of `keepwell proxy` and `keepwell run` with what the projects need: the go.mod files, then the\n" +
			"code of the versions that are built with, nothing else. --proxy has a running proxy fetch them in its place; --s3\n" +
			"also fills the bucket of the replicas. What was fetched is kept: a second try goes on where the first ended. --pin\n" +
			"keeps it from being collected.\n" +
			"按项目预先填充模块仓库：先取 go.mod 文件，再只取构建列表中的代码。--proxy 让正在运行的代理去获取；\n" +
			"--s3 同时填充多个副本共享的存储桶；--pin 使其不被清理。",
		Example: "  keepwell warm go.work\n  keepwell warm */go.mod --dir /srv/modules --pin nightly\n  keepwell warm --proxy https://modules.example.com",
		RunE:    func(cmd *cobra.Command, args []string) error { return runWarm(cmd.Context(), a, o, args) },
	}
	gatherFlags(cmd, &o.gatherOptions)
	flags := cmd.Flags()
	flags.StringVar(&o.through, "proxy", "", "a running proxy that fetches in the place of this one / 让正在运行的代理去获取")
	o.s3.flags(flags)
	flags.StringVar(&o.pin, "pin", "", "keep what the projects need from being collected, under this name / 以此名称固定，不被清理")
	flags.StringVar(&o.unpin, "unpin", "", "let go of what was pinned under this name / 取消以此名称固定的内容")
	return cmd
}

// warmed is what `warm` says to programs.
type warmed struct {
	Modules int    `json:"modules"` // with code
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Pinned  string `json:"pinned"`
	Shared  int    `json:"shared"` // files that the bucket has
}

func runWarm(ctx context.Context, a *app, o warmOptions, names []string) error {
	if err := a.oneDocument(); err != nil {
		return err
	}
	switch {
	case o.through != "" && o.pin+o.unpin != "":
		return misused("warm.pinproxy")
	case o.through != "" && o.s3.url != "":
		return misused("warm.s3proxy")
	case o.unpin != "":
		return a.unpin(ctx, o)
	}
	return gather(ctx, a, o.gatherOptions, names, func(g *gathering) error {
		if o.dry {
			return a.tellPlan(g, &modbundle.Set{})
		}
		doc := warmed{Modules: g.count(), Files: len(g.files), Bytes: g.bytes, Pinned: o.pin}
		if err := g.pin(ctx, o.pin); err != nil {
			return err
		}
		if o.through != "" {
			a.say("warm.through", hostOf(o.through), doc.Modules, doc.Files, mebibytes(doc.Bytes))
		} else {
			a.say("bundle.warm", doc.Modules, doc.Files, mebibytes(doc.Bytes))
		}
		if o.pin != "" {
			a.say("warm.pinned", o.pin, doc.Files)
		}
		done, err := g.handOn(ctx, g.keys())
		if err != nil {
			return err
		}
		doc.Shared = done.Shared + done.Had
		return a.document(doc)
	})
}

// pin keeps what was gathered from being collected, in the bucket too.
func (g *gathering) pin(ctx context.Context, owner string) error {
	if owner == "" {
		return nil
	}
	pinAll := g.store.PinAll
	if g.shared != nil {
		pinAll = g.shared.PinAll
	}
	if err := pinAll(ctx, g.keys(), owner); err != nil {
		return g.o.failed("proxy.store", "", err)
	}
	return nil
}

// unpin lets go of pins.
func (a *app) unpin(ctx context.Context, o warmOptions) error {
	store, err := o.openStore(ctx, a)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck,contextcheck // it is whole at any moment
	unpin := store.Unpin
	shared, err := o.openShared(ctx, o.s3, store, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if shared != nil {
		defer shared.Close() //nolint:errcheck,contextcheck // nothing is pending
		unpin = shared.Unpin
	}
	if err := unpin(ctx, o.unpin); err != nil {
		return o.failed("proxy.store", "", err)
	}
	a.say("warm.unpinned", o.unpin)
	return nil
}

// say writes a line for people.
func (a *app) say(key string, args ...any) {
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, key, args...), true))
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// fetchPlan is what --dry-run says to programs. A size of -1 is not known.
type fetchPlan struct {
	Kept    int64           `json:"kept"`  // bytes of code that are at hand
	Fetch   int64           `json:"fetch"` // bytes to fetch, as far as that is known
	Modules []plannedModule `json:"modules"`
}

type plannedModule struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Size    int64  `json:"size"`
	Kept    bool   `json:"kept"`
}

// tellPlan says what would be taken beside what older has.
func (a *app) tellPlan(g *gathering, older *modbundle.Set) error {
	doc := fetchPlan{Modules: []plannedModule{}}
	unknown, mods := 0, 0
	var graph int64
	for _, key := range g.keys() {
		v, _ := modbundle.Version(key)
		n := g.files[key]
		switch {
		case older.Has(key):
			continue
		case !strings.HasSuffix(key, ".zip"):
			mods, graph = mods+1, graph+n
			continue
		}
		m := plannedModule{Path: v.Path, Version: v.Version, Size: n, Kept: g.kept[key]}
		switch {
		case m.Kept:
			doc.Kept += n
		case n < 0:
			unknown++
		default:
			doc.Fetch += n
		}
		doc.Modules = append(doc.Modules, m)
	}
	slices.SortStableFunc(doc.Modules, func(a, b plannedModule) int { return cmp.Compare(b.Size, a.Size) })
	if present.Format(a.format).Machine() {
		return a.document(doc)
	}
	rows := make([]present.Row, 0, len(doc.Modules))
	for _, m := range doc.Modules {
		where, size := "bundle.plan.fetch", "?"
		if m.Kept {
			where = "bundle.plan.have"
		}
		if m.Size >= 0 {
			size = kibibytes(m.Size)
		}
		rows = append(rows, present.Row{Cells: []string{m.Path, m.Version, size, msg.Text(a.lang, where)}})
	}
	lines := a.moduleTable(rows, msg.Text(a.lang, "bundle.list.kept"))
	lines = append(lines, present.Line{}, present.Line{Text: msg.Text(a.lang, "bundle.plan", len(doc.Modules), mebibytes(doc.Kept), mebibytes(doc.Fetch))})
	if unknown > 0 {
		lines = append(lines, present.Line{Text: msg.Text(a.lang, "bundle.plan.unknown", unknown)})
	}
	lines = append(lines, present.Line{Text: msg.Text(a.lang, "bundle.plan.mods", mods, mebibytes(graph))})
	return shown(a, present.Outline(a.out, a.style(), lines))
}
