package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type cacheCleanOptions struct {
	modules, keep              []string
	unused                     int
	maxSize                    string
	toolchains, vcs, leftovers bool
	lost, dryRun, yes, report  bool
	timeout, silent            time.Duration
	tools                      []string
}

func newCacheCleanCmd(a *app) *cobra.Command {
	var o cacheCleanOptions
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what is not needed and can be fetched again / 清理不再需要且能重新获取的内容",
		Long: "clean removes what is selected from the module cache: by pattern, by age, what no project given with --keep needs, or\n" +
			"the least recently used until the rest fits --max-size. Before that it asks the places that go would fetch from\n" +
			"(GOPROXY, GOPRIVATE, repositories) whether they still have it: what would not come again, or of which nobody answers,\n" +
			"stays unless --lost agrees. What a running go has locked stays. --dry-run shows exactly what would go. It also drops\n" +
			"what repair kept for undo.\n" +
			"clean 从模块缓存中清理选定的内容：按模式、按未使用时间、--keep 所列项目都不需要的，或从最久未用的开始清理直到\n" +
			"不超过 --max-size。清理前会向 go 将要获取的来源（GOPROXY、GOPRIVATE、仓库）询问是否还有这些内容：无法重新获取\n" +
			"或无人回答的会保留，除非用 --lost 同意。正被 go 使用的内容保留。--dry-run 精确显示将要删除的内容。\n" +
			"同时丢弃 repair 为撤销保留的内容。",
		Example: "  keepwell cache clean --unused 90 --dry-run\n  keepwell cache clean --keep . --keep ../other --yes\n  keepwell cache clean --module 'github.com/aws/*' --yes\n" +
			"  keepwell cache clean --max-size 5GiB --leftovers --yes",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range goOnly {
				if !slices.Contains(o.tools, "go") && cmd.Flags().Changed(name) {
					return misused("err.cache.whole", name)
				}
			}
			return runCacheClean(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.modules, "module", nil, "versions of the modules that a pattern of GOPRIVATE's kind names, with an optional @version / 按 GOPRIVATE 的模式选择模块，可带 @版本")
	flags.IntVar(&o.unused, "unused", 0, "only what nobody used for so many days / 只选多少天未使用的内容")
	flags.StringArrayVar(&o.keep, "keep", nil, "all that the go.sum of these projects does not need / 清理这些项目的 go.sum 不需要的全部内容")
	flags.StringVar(&o.maxSize, "max-size", "", "the least recently used of what the others select (else of all modules), until the cache takes no more than this (5GiB) / 从最久未用的开始，直到不超过此大小（如 5GiB）")
	flags.BoolVar(&o.toolchains, "toolchains", false, "go commands other than the one in use / 除正在使用的以外的 go 工具链")
	flags.BoolVar(&o.vcs, "vcs", false, "clones of repositories / 仓库克隆")
	flags.BoolVar(&o.leftovers, "leftovers", false, "what killed runs left / 中断后的残留")
	flags.BoolVar(&o.lost, "lost", false, "also what might not come again; nobody is asked / 包括可能无法重新获取的内容，不再询问来源")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "end asking after this time: the rest stays / 询问的总时限，未问到的保留")
	flags.DurationVar(&o.silent, "silent", 8*time.Second, "how long a server may say nothing / 服务器最长沉默时间")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show exactly what would go, and stop / 只精确显示将要删除的内容")
	flags.BoolVar(&o.yes, "yes", false, "do not ask / 不再询问")
	flags.BoolVar(&o.report, "report", false, "compare before and after: size, a clean build, consistency / 对比前后：大小、全新构建用时、一致性")
	flags.StringSliceVar(&o.tools, "tool", []string{"go"}, "whose cache: go, or npm or pip, which go whole / 哪个工具的缓存：go，或整个清空的 npm、pip")
	return cmd
}

// cacheCleanDocument is what `cache clean` says to programs.
type cacheCleanDocument struct {
	Command string `json:"command"`
	Dir     string `json:"dir"`
	Applied bool   `json:"applied"`
	// NotesUse is false where last uses are when the files came.
	NotesUse bool            `json:"notes_use"`
	Before   modcache.Amount `json:"before"`
	Frees    modcache.Amount `json:"frees"`
	Removes  []cleanedItem   `json:"removes"`
	Keeps    []cleanedItem   `json:"keeps"`
	Held     []string        `json:"held"`
	// Finished are items that an earlier clean had left half way.
	Finished int          `json:"finished"`
	Report   *cacheReport `json:"report,omitempty"`
}

type cleanedItem struct {
	Name  string          `json:"name"`
	Why   modcache.Reason `json:"selected_by"`
	Stays modcache.Reason `json:"stays,omitempty"`
	// Detail is what was answered where it might not come again.
	Detail string   `json:"detail,omitempty"`
	Disk   int64    `json:"disk"`
	Paths  []string `json:"paths"`
}

func runCacheClean(ctx context.Context, a *app, o cacheCleanOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	tools, err := toolList(o.tools)
	if err != nil {
		return err
	}
	if !slices.Contains(tools, "go") {
		return a.cleanOthers(ctx, o, tools)
	}
	if len(tools) > 1 {
		return misused("err.cache.onetool")
	}
	c, env, err := cacheDirs(ctx)
	if err != nil {
		return err
	}
	sel, err := o.selection(env)
	if err != nil {
		return err
	}
	if !o.lost {
		sel.Ask = (&cacheAsker{a: a, timeout: o.timeout, silent: o.silent}).ask
	}
	e, err := engine()
	if err != nil {
		return err
	}
	doc := &cacheCleanDocument{Command: "cache clean", Dir: c.Dir, Held: []string{}}
	if !o.dryRun {
		unlock, err := a.cleanLock(ctx, e)
		if err != nil {
			return err
		}
		defer unlock()
		done, err := modcache.Clean(ctx, c, nil, e.Dir, nil)
		if err != nil {
			return a.cleanFailure(c, err)
		}
		if doc.Finished = done.Finished; done.Finished > 0 {
			a.say("cache.clean.finished", done.Finished)
		}
	}
	plan, err := modcache.PlanClean(ctx, c, sel)
	if err != nil {
		return a.cleanFailure(c, err)
	}
	doc.NotesUse = plan.NotesUse
	doc.Before, doc.Frees, doc.Removes, doc.Keeps = plan.Before, plan.Frees(), cleanedItems(plan.Go), cleanedItems(plan.Stay)
	if !a.machine() {
		lines := a.cleanLines(plan)
		if !plan.NotesUse && (sel.Unused > 0 || sel.Quota > 0) {
			lines = append(lines, present.Line{Text: msg.Text(a.lang, "cache.stat.noatime"), Tone: present.Warning})
		}
		if err := present.Outline(a.out, a.style(), lines); err != nil {
			return shown(a, err)
		}
	}
	if !o.dryRun {
		if err := a.cleanNow(ctx, c, env, o, e, plan, doc); err != nil || a.exit == exitApproval {
			return err
		}
	}
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	return nil
}

// forgetRepairs drops what repair kept for undo.
func (a *app) forgetRepairs(ctx context.Context, c modcache.Cache, e *act.Engine) error {
	forgotten, err := e.Forget(ctx, "cache")
	if err != nil {
		return actFailure(a, home(c.Dir), err)
	}
	if forgotten > 0 && !a.machine() {
		a.sayOut("cache.forgotten", forgotten)
	}
	return nil
}

func (a *app) machine() bool { return present.Format(a.format).Machine() }

// cleanNow carries the plan out once it is agreed to.
func (a *app) cleanNow(ctx context.Context, c modcache.Cache, env goenv.Env, o cacheCleanOptions, e *act.Engine, plan *modcache.CleanPlan, doc *cacheCleanDocument) error {
	if len(plan.Go) == 0 { // what repair kept goes with a clean, also with one that finds nothing
		if o.yes {
			return a.forgetRepairs(ctx, c, e)
		}
		return nil
	}
	if err := a.agreeToClean(ctx, o); err != nil || a.exit == exitApproval {
		return err
	}
	after, err := a.reporting(ctx, o.report, c, env)
	if err != nil {
		return err
	}
	done, err := modcache.Clean(ctx, c, plan, e.Dir, nil)
	if err != nil {
		return a.cleanFailure(c, err)
	}
	doc.Applied, doc.Held = true, append(doc.Held, done.Held...)
	if !a.machine() {
		a.sayOut("cache.cleaned", done.Items, amount(doc.Frees.Disk))
		for _, h := range done.Held {
			a.sayOut("cache.clean.held", h)
		}
	}
	if err := a.forgetRepairs(ctx, c, e); err != nil {
		return err
	}
	doc.Report, err = after()
	return err
}

// sayOut writes a line of the result.
func (a *app) sayOut(key string, args ...any) {
	fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
}

// cleanLock keeps two cleans apart.
func (a *app) cleanLock(ctx context.Context, e *act.Engine) (unlock func(), err error) {
	if _, err := e.Recover(ctx); err != nil {
		return nil, actFailure(a, e.Dir, err)
	}
	l := flock.New(e.Dir+string(os.PathSeparator)+"cache-clean.lock", flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err == nil && !ok {
		err = act.ErrBusy
	}
	if err != nil {
		return nil, actFailure(a, e.Dir, err)
	}
	return func() { _ = l.Unlock() }, nil
}

func (a *app) cleanFailure(c modcache.Cache, err error) error {
	return &failure{exit: exitError, key: "err.cache.clean", args: []any{home(c.Dir), mask.Text(err.Error())}, hint: "hint.cache.clean", unwrapped: err}
}

// mostDays is the largest --unused: what is older than a century is a slip, and much more
// is no [time.Duration].
const mostDays = 36_500

// goOnly are the flags of clean that select within go's module cache.
var goOnly = []string{"module", "unused", "keep", "max-size", "toolchains", "vcs", "leftovers", "lost", "report"}

// selection reads the flags.
func (o *cacheCleanOptions) selection(env goenv.Env) (modcache.Selection, error) {
	sel := modcache.Selection{
		Patterns: o.modules, Unneeded: len(o.keep) > 0 && len(o.modules) == 0 && o.maxSize == "" && !o.toolchains && !o.vcs && !o.leftovers,
		Unused:     time.Duration(o.unused) * 24 * time.Hour,
		Toolchains: o.toolchains, VCS: o.vcs, Leftovers: o.leftovers, Now: time.Now(),
		Keep: []string{env.Value("GOVERSION")},
	}
	switch {
	case o.unused < 0 || o.unused > mostDays:
		return sel, misused("err.cache.unused", o.unused)
	case o.timeout <= 0 || o.silent <= 0:
		return sel, misused("err.cache.time")
	case len(o.modules) == 0 && len(o.keep) == 0 && o.unused == 0 && o.maxSize == "" && !o.toolchains && !o.vcs && !o.leftovers:
		return sel, misused("err.cache.nothing")
	}
	if o.maxSize != "" {
		n, err := parseSize(o.maxSize)
		if err != nil {
			return sel, misused("err.cache.size", mask.Text(o.maxSize))
		}
		sel.Quota = max(1, n)
	}
	if t := env.Value("GOTOOLCHAIN"); strings.HasPrefix(t, "go") {
		sel.Keep = append(sel.Keep, strings.TrimSuffix(strings.TrimSuffix(t, "+auto"), "+path"))
	}
	if len(o.keep) > 0 {
		p, err := readProjectSums(o.keep, env)
		if err != nil {
			return sel, err
		}
		sel.Sums = p.sums
		sel.Keep = append(sel.Keep, p.toolchains()...)
	}
	return sel, nil
}

// parseSize reads 500MB, 5GiB, 5G or a number of bytes.
func parseSize(s string) (int64, error) {
	t := strings.ToUpper(strings.TrimSpace(s))
	unit := 1.0
	for _, u := range []struct {
		name string
		n    float64
	}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}} {
		if rest, ok := strings.CutSuffix(t, u.name); ok {
			t, unit = strings.TrimSpace(rest), u.n
			break
		}
	}
	f, err := strconv.ParseFloat(t, 64)
	if err == nil && !(f >= 0 && f*unit <= 1<<60) { // also what is no number
		err = errors.New("out of range")
	}
	return int64(f * unit), err
}

// agreeToClean asks, once for all.
func (a *app) agreeToClean(ctx context.Context, o cacheCleanOptions) error {
	if o.yes {
		return nil
	}
	ask := asker(ctx, a)
	if ask == nil {
		return &failure{exit: exitApproval, key: "err.cache.ask", hint: "hint.cache.approval"}
	}
	yes, err := ask(ctx, act.Change{})
	if err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(a.errs, msg.Text(a.lang, "env.declined"))
		a.exit = exitApproval
	}
	return nil
}

func cleanedItems(list []modcache.Item) []cleanedItem {
	out := []cleanedItem{}
	for _, i := range list {
		out = append(out, cleanedItem{itemName(i), i.Why, i.Stays, mask.Text(i.Detail), i.Disk, i.Paths})
	}
	return out
}

func itemName(i modcache.Item) string {
	if i.Path == "" {
		return mask.Text(i.Name)
	}
	return i.String()
}

// mostItems bounds the items that text shows.
const mostItems = 25

func (a *app) cleanLines(p *modcache.CleanPlan) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	if len(p.Go)+len(p.Stay) == 0 {
		return []present.Line{say("cache.clean.nothing")}
	}
	table := func(list []modcache.Item, title, last string, reason func(modcache.Item) string) []present.Line {
		var rows []present.Row
		for _, i := range list[:min(len(list), mostItems)] {
			rows = append(rows, present.Row{Cells: []string{itemName(i), amount(i.Disk), a.ago(i.LastUse), reason(i)}})
		}
		out := present.Table(a.style(), []present.Column{
			{Title: msg.Text(a.lang, title), Most: a.nameWidth()},
			{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
			{Title: msg.Text(a.lang, "cache.stat.used"), Right: true},
			{Title: msg.Text(a.lang, last)},
		}, rows)
		if len(list) > mostItems {
			out = append(out, say("cache.clean.more", len(list)-mostItems))
		}
		return append(out, present.Line{})
	}
	var out []present.Line
	if len(p.Go) > 0 {
		out = append(out, table(p.Go, "cache.clean.goes", "cache.clean.why", func(i modcache.Item) string { return msg.Text(a.lang, "cache.why."+string(i.Why)) })...)
	}
	if len(p.Stay) > 0 {
		out = append(out, table(p.Stay, "cache.clean.stays", "cache.clean.why", func(i modcache.Item) string { return msg.Text(a.lang, "cache.stays."+string(i.Stays)) })...)
		out = append(out, a.doubtLines(p.Stay)...)
	}
	frees := p.Frees()
	sum := say("cache.clean.sum", len(p.Go), amount(frees.Disk), grouped(frees.Inodes), amount(p.Before.Disk), amount(p.Before.Disk-frees.Disk))
	sum.Tone = present.Bold
	return append(out, sum)
}

// mostDoubts bounds the answers that text shows.
const mostDoubts = 8

// doubtLines say what was answered of that which might not come again, each once.
func (a *app) doubtLines(list []modcache.Item) []present.Line {
	count := map[string]int{}
	doubtful := 0
	for _, i := range list {
		switch i.Stays {
		case modcache.StaysNoProxy, modcache.StaysPrivate, modcache.StaysNotServed, modcache.StaysNoAnswer:
			doubtful++
			if i.Detail != "" {
				count[msg.Text(a.lang, "cache.stays."+string(i.Stays))+" ("+mask.Text(i.Detail)+")"]++
			}
		}
	}
	if doubtful == 0 {
		return nil
	}
	texts := sortedNames(count)
	slices.SortStableFunc(texts, func(x, y string) int { return count[y] - count[x] })
	var out []present.Line
	for _, t := range texts[:min(len(texts), mostDoubts)] {
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Text: fmt.Sprintf("%d × %s", count[t], t)})
	}
	return append(out, present.Line{Text: msg.Text(a.lang, "cache.clean.lost", doubtful)}, present.Line{})
}
