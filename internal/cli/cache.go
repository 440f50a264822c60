package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

func newCacheCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "The module cache: how large it is, what in it is bad, mend it, clean it / 模块缓存：大小、检查、修复、清理",
		Long: "cache looks after go's module cache (and those of npm and pip): stat measures it, verify finds what in it is not what\n" +
			"it should be, repair mends exactly that, clean removes what is not needed and can be fetched again.\n" +
			"cache 照管 Go 的模块缓存（以及 npm 和 pip 的缓存）：stat 统计用量，verify 找出损坏的内容，\n" +
			"repair 只修复损坏的部分，clean 清理不再需要且能重新获取的内容。",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused("err.cache.command", mask.Text(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCacheStatCmd(a), newCacheVerifyCmd(a), newCacheRepairCmd(a), newCacheCleanCmd(a))
	return cmd
}

// cacheDirs are go's directories as its own settings have them.
func cacheDirs(ctx context.Context) (modcache.Cache, goenv.Env, error) {
	env, err := goenv.Load(ctx, "")
	if err != nil {
		return modcache.Cache{}, nil, &failure{exit: exitError, key: "err.cache.go", args: []any{err}, hint: "hint.cache.go", unwrapped: err}
	}
	c := modcache.Cache{Dir: env.Value("GOMODCACHE"), Index: env.Value("GOCACHE"), GoVersion: env.Value("GOVERSION")}
	if list := filepath.SplitList(env.Value("GOPATH")); len(list) > 0 {
		c.Sumdb = filepath.Join(list[0], "pkg", "sumdb")
	}
	if !filepath.IsAbs(c.Dir) {
		return c, env, &failure{exit: exitError, key: "err.cache.nowhere", hint: "hint.cache.nowhere"}
	}
	c.Dir = filepath.Clean(c.Dir) // one cache, one name: records and begun cleans go by it
	return c, env, nil
}

// onlyTextOrDocument refuses formats that are for findings.
func (a *app) onlyTextOrDocument() error {
	switch present.Format(a.format) {
	case present.Text, present.JSON, present.JSONL:
		return nil
	}
	return misused("err.cache.format", a.format)
}

// amount is a size for people, in three digits or so.
func amount(n int64) string {
	switch f := float64(n); {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", f/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", f/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// grouped is a number with its thousands apart.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ago says how long something is past, in days.
func (a *app) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	days := int(time.Since(t).Hours() / 24)
	switch {
	case days < 1:
		return msg.Text(a.lang, "cache.today")
	case days == 1:
		return msg.Text(a.lang, "cache.yesterday")
	}
	return msg.Text(a.lang, "cache.days", days)
}

// picture is a picture of part of all; what is not nothing shows.
func picture(part, all int64, width int) string {
	if all <= 0 || part <= 0 {
		return ""
	}
	n := int(float64(part)/float64(all)*float64(width) + 0.5)
	return strings.Repeat("█", max(1, min(width, n)))
}

// home shortens a path below the user's home.
func home(path string) string {
	dir, err := os.UserHomeDir()
	if err != nil || dir == "" {
		return path
	}
	if rel, ok := strings.CutPrefix(path, dir+string(filepath.Separator)); ok {
		return "~" + string(filepath.Separator) + rel
	}
	return path
}

// sortedNames are the names of a map, in order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// toolList reads --tool.
func toolList(list []string) ([]string, error) {
	known := []string{"go", "npm", "pip"}
	var out []string
	for _, t := range list {
		switch {
		case t == "all":
			return known, nil
		case !slices.Contains(known, t):
			return nil, misused("err.cache.tool", mask.Text(t))
		case !slices.Contains(out, t):
			out = append(out, t)
		}
	}
	return out, nil
}
