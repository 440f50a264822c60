package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type cacheStatOptions struct {
	tools []string
	top   int
}

func newCacheStatCmd(a *app) *cobra.Command {
	var o cacheStatOptions
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "How large the cache is, and what takes the room / 缓存有多大，空间被什么占用",
		Long: "stat walks the module cache and tells what takes the room: unpacked modules, archives, toolchains, clones of\n" +
			"repositories, the checksum database; how many modules and versions there are, and when they were last used. It\n" +
			"changes nothing.\n" +
			"stat 遍历模块缓存，说明空间被什么占用：已解压的模块、压缩包、工具链、仓库克隆、校验数据库；\n" +
			"有多少模块和版本，最后一次使用是什么时候。不做任何改动。",
		Example: "  keepwell cache stat\n  keepwell cache stat --tool all --format json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCacheStat(cmd.Context(), a, o) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.tools, "tool", []string{"go"}, "whose cache: go, npm, pip or all / 哪个工具的缓存：go、npm、pip 或 all")
	flags.IntVar(&o.top, "top", 10, "how many of the largest modules to show / 显示最大的多少个模块")
	return cmd
}

// cacheStatDocument is what `cache stat` says to programs.
type cacheStatDocument struct {
	Command string       `json:"command"`
	Go      *goCacheStat `json:"go,omitempty"`
	Others  []otherCache `json:"others,omitempty"`
}

type goCacheStat struct {
	Dir     string                            `json:"dir"`
	Total   modcache.Amount                   `json:"total"`
	Parts   map[modcache.Part]modcache.Amount `json:"parts"`
	Modules int                               `json:"modules"`
	// Versions are those of modules, toolchains among them.
	Versions   int             `json:"versions"`
	Toolchains []cachedVersion `json:"toolchains"`
	LastUse    time.Time       `json:"last_use,omitzero"`
	// NotesUse is false where last uses are when the files came.
	NotesUse   bool              `json:"notes_use"`
	Duplicates cacheDuplicates   `json:"duplicates"`
	Spare      cacheSpare        `json:"unpacked_archives"`
	Clones     []*modcache.Clone `json:"clones"`
	// Ages are the bytes on disk by how long they are unused.
	Ages   []cacheAge      `json:"ages"`
	Top    []cachedVersion `json:"largest"`
	Unread []string        `json:"unreadable"`
}

type cacheDuplicates struct {
	Modules  int             `json:"modules"`
	Versions int             `json:"versions"`
	Amount   modcache.Amount `json:"amount"`
}

type cacheSpare struct {
	Archives int             `json:"archives"`
	Amount   modcache.Amount `json:"amount"`
}

type cacheAge struct {
	Days int   `json:"days"` // unused for at least this many
	Disk int64 `json:"disk"`
	N    int   `json:"versions"`
}

type cachedVersion struct {
	Path    string    `json:"path"`
	Version string    `json:"version"`
	Disk    int64     `json:"disk"`
	Files   int64     `json:"files"`
	LastUse time.Time `json:"last_use,omitzero"`
}

func runCacheStat(ctx context.Context, a *app, o cacheStatOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	tools, err := toolList(o.tools)
	if err != nil {
		return err
	}
	doc := cacheStatDocument{Command: "cache stat"}
	for _, tool := range tools {
		if tool != "go" {
			other, err := statOther(ctx, tool)
			if err != nil && len(tools) > 1 && ctx.Err() == nil {
				other.Error, err = a.wordsOf(err), nil // the others can be measured
			}
			if err != nil {
				return err
			}
			doc.Others = append(doc.Others, other)
			continue
		}
		c, _, err := cacheDirs(ctx)
		if err != nil {
			return err
		}
		done := a.progress(func() string { return msg.Text(a.lang, "cache.counting", home(c.Dir)) })
		s, err := modcache.Stat(ctx, c)
		done()
		if err != nil {
			return err
		}
		doc.Go = newGoCacheStat(c, s, o.top)
	}
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, doc))
	}
	return shown(a, present.Outline(a.out, a.style(), a.statLines(doc)))
}

func newGoCacheStat(c modcache.Cache, s *modcache.Stats, top int) *goCacheStat {
	g := &goCacheStat{
		Dir: c.Dir, Total: s.Total, Parts: s.Parts, Modules: s.Modules(), Versions: len(s.Units), LastUse: s.LastUse, NotesUse: s.NotesUse,
		Clones: s.Clones, Toolchains: []cachedVersion{}, Top: []cachedVersion{}, Unread: []string{},
	}
	if g.Clones == nil {
		g.Clones = []*modcache.Clone{}
	}
	g.Duplicates.Modules, g.Duplicates.Versions, g.Duplicates.Amount = s.Duplicates()
	g.Spare.Archives, g.Spare.Amount = s.Spare()
	now := time.Now()
	for _, days := range []int{0, 7, 30, 90, 365} {
		age := cacheAge{Days: days}
		for _, u := range s.Units {
			if days == 0 || now.Sub(u.LastUse) >= time.Duration(days)*24*time.Hour {
				age.Disk += u.Disk
				age.N++
			}
		}
		g.Ages = append(g.Ages, age)
	}
	for _, u := range s.Unread {
		g.Unread = append(g.Unread, u.Path)
	}
	largest := slices.Clone(s.Units)
	slices.SortStableFunc(largest, func(x, y *modcache.Unit) int { return cmp.Compare(y.Disk, x.Disk) })
	for _, u := range largest {
		v := cachedVersion{u.Path, u.Version.Version, u.Disk, u.Files, u.LastUse}
		if u.Toolchain() {
			g.Toolchains = append(g.Toolchains, v)
		} else if len(g.Top) < top {
			g.Top = append(g.Top, v)
		}
	}
	return g
}

func (a *app) statLines(doc cacheStatDocument) []present.Line {
	var out []present.Line
	if doc.Go != nil {
		out = append(out, a.goStatLines(doc.Go)...)
	}
	for _, other := range doc.Others {
		if len(out) > 0 {
			out = append(out, present.Line{})
		}
		out = append(out, a.otherLines(other)...)
	}
	return out
}

func (a *app) goStatLines(g *goCacheStat) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	head := say("cache.stat.head", home(g.Dir), amount(g.Total.Disk))
	head.Tone = present.Bold
	out := []present.Line{head, say("cache.stat.counts", grouped(g.Total.Files), grouped(g.Total.Inodes), grouped(int64(g.Modules)), grouped(int64(g.Versions)), a.ago(g.LastUse)), {}}
	if g.Total.Inodes == 0 {
		return append(out[:1], a.unreadLines(g, say("cache.stat.empty"))...)
	}
	var rows []present.Row
	for _, p := range modcache.Parts() {
		part := g.Parts[p]
		if part.Inodes == 0 {
			continue
		}
		rows = append(rows, present.Row{Cells: []string{msg.Text(a.lang, "cache.part."+string(p)), amount(part.Disk), grouped(part.Files), picture(part.Disk, g.Total.Disk, 30)}})
	}
	out = append(out, present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "cache.stat.part")},
		{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
		{Title: msg.Text(a.lang, "cache.stat.files"), Right: true},
		{},
	}, rows)...)
	out = append(out, present.Line{})
	out = append(out, a.ageLines(g)...)
	if d := g.Duplicates; d.Versions > 0 {
		out = append(out, say("cache.stat.duplicates", d.Modules, d.Versions, amount(d.Amount.Disk)))
	}
	if g.Spare.Archives > 0 {
		out = append(out, say("cache.stat.spare", g.Spare.Archives, amount(g.Spare.Amount.Disk)))
	}
	if !g.NotesUse {
		out = append(out, say("cache.stat.noatime"))
	}
	out = append(out, a.unreadLines(g)...)
	if len(g.Top) > 0 {
		out = append(out, present.Line{})
		out = append(out, a.versionTable(g.Top, g.Top[0].Disk, "cache.stat.largest")...)
	}
	if len(g.Toolchains) > 0 {
		out = append(out, present.Line{})
		out = append(out, a.versionTable(g.Toolchains, g.Toolchains[0].Disk, "cache.stat.toolchain")...)
	}
	if len(g.Clones) > 0 {
		rows = nil
		for _, c := range g.Clones[:min(len(g.Clones), 10)] {
			rows = append(rows, present.Row{Cells: []string{mask.Text(cmp.Or(c.Remote, c.Name)), amount(c.Disk), a.ago(c.LastUse), picture(c.Disk, g.Clones[0].Disk, 12)}})
		}
		out = append(out, present.Line{})
		out = append(out, present.Table(a.style(), []present.Column{
			{Title: msg.Text(a.lang, "cache.stat.clone"), Most: a.nameWidth()},
			{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
			{Title: msg.Text(a.lang, "cache.stat.used"), Right: true},
			{},
		}, rows)...)
	}
	return out
}

// unreadLines say what could not be read; all, where nothing could be.
func (a *app) unreadLines(g *goCacheStat, all ...present.Line) []present.Line {
	if len(g.Unread) == 0 {
		return all
	}
	return []present.Line{{Text: msg.Text(a.lang, "cache.stat.unread", len(g.Unread), home(g.Unread[0])), Tone: present.Warning}}
}

// nameWidth is how wide a name may be beside the columns of a table.
func (a *app) nameWidth() int { return max(24, a.style().Width-42) }

// ageLines is a picture of how much is unused for how long.
func (a *app) ageLines(g *goCacheStat) []present.Line {
	var rows []present.Row
	for _, age := range g.Ages[1:] {
		if age.N == 0 {
			continue
		}
		rows = append(rows, present.Row{Cells: []string{msg.Text(a.lang, "cache.stat.unused", age.Days), amount(age.Disk), fmt.Sprint(age.N), picture(age.Disk, g.Total.Disk, 30)}})
	}
	if len(rows) == 0 {
		return nil
	}
	return append(present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "cache.stat.age")},
		{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
		{Title: msg.Text(a.lang, "cache.stat.versions"), Right: true},
		{},
	}, rows), present.Line{})
}

func (a *app) versionTable(list []cachedVersion, most int64, title string) []present.Line {
	var rows []present.Row
	for _, v := range list {
		rows = append(rows, present.Row{Cells: []string{strings.TrimPrefix(v.Path+"@"+v.Version, "golang.org/toolchain@v0.0.1-"), amount(v.Disk), a.ago(v.LastUse), picture(v.Disk, most, 12)}})
	}
	return present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, title), Most: a.nameWidth()},
		{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
		{Title: msg.Text(a.lang, "cache.stat.used"), Right: true},
		{},
	}, rows)
}
