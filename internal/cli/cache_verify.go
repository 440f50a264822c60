package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type cacheVerifyOptions struct {
	sums []string
	full bool
	// tools is of verify alone.
	tools []string
}

func (o *cacheVerifyOptions) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.sums, "project", nil, "hold the cache to the go.sum of this directory or file too; may be given again (default: the project here) / 同时对照该目录或文件的 go.sum 检查，可多次使用（默认为当前项目）")
	flags.BoolVar(&o.full, "full", false, "read everything again, also what did not change since it was last found sound / 全部重新读取，包括上次检查以来没有变化的文件")
}

func newCacheVerifyCmd(a *app) *cobra.Command {
	var o cacheVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find what in the cache is not what it should be / 找出缓存中损坏的内容",
		Long: "verify reads the whole module cache: archives (structure, checksums, hash), the hashes beside them, unpacked\n" +
			"directories against their archives, go.mod and .info files, stored answers of the checksum database, locks,\n" +
			"leftovers and permissions. Hashes are held to the project's go.sum and to what the checksum database answered. What\n" +
			"was sound and has not changed since is not read again.\n" +
			"verify 检查整个模块缓存：压缩包（结构、校验、哈希）、旁边的哈希文件、已解压目录与压缩包是否一致、go.mod 和\n" +
			".info 文件、校验数据库的存档、锁文件、残留和权限。哈希会与项目的 go.sum 以及校验数据库的回答对照。\n" +
			"上次检查无误且此后没有变化的内容不会重复读取。",
		Example: "  keepwell cache verify\n  keepwell cache verify --project ../other --format json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCacheVerify(cmd.Context(), a, o) },
	}
	o.register(cmd)
	cmd.Flags().StringSliceVar(&o.tools, "tool", []string{"go"}, "whose cache: go or npm / 哪个工具的缓存：go 或 npm")
	return cmd
}

// cacheVerifyDocument is what `cache verify` says to programs.
type cacheVerifyDocument struct {
	Command string `json:"command"`
	Dir     string `json:"dir"`
	*modcache.Report
	// Projects are the go.sum files that counted.
	Projects []string `json:"projects"`
	// Disputed are lines of which they have different sums: none of those counted.
	Disputed []string `json:"disputed"`
	Seconds  float64  `json:"seconds"`
}

func runCacheVerify(ctx context.Context, a *app, o cacheVerifyOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	tools, err := toolList(o.tools)
	if err != nil {
		return err
	}
	if !slices.Contains(tools, "go") {
		return a.verifyOthers(ctx, tools)
	}
	if len(tools) > 1 {
		return misused("err.cache.onetool")
	}
	c, env, err := cacheDirs(ctx)
	if err != nil {
		return err
	}
	p, err := readProjectSums(o.sums, env)
	if err != nil {
		return err
	}
	began := time.Now()
	r, err := a.verifyCache(ctx, c, env, p.agreed(), o.full)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, cacheVerifyDocument{"cache verify", c.Dir, r, p.files, append([]string{}, p.disputed...), took.Seconds()}))
	}
	a.exit = exitForFaults(r.Faults)
	return shown(a, present.Outline(a.out, a.style(), a.verifyLines(c, r, p, took)))
}

// exitForFaults: what is only untidy is no fault.
func exitForFaults(list []modcache.Fault) int {
	for _, f := range list {
		if f.Severity != keepwell.SeverityInfo {
			return exitFaults
		}
	}
	return exitFine
}

// verifyCache runs the check with progress.
func (a *app) verifyCache(ctx context.Context, c modcache.Cache, env goenv.Env, sums map[string]string, full bool) (*modcache.Report, error) {
	var done, all atomic.Int64
	stop := a.progress(func() string {
		return fmt.Sprintf("%s %s %d/%d", msg.Text(a.lang, "cache.verifying"), meter(int(done.Load()), int(all.Load())), done.Load(), all.Load())
	})
	defer stop()
	check := modcache.Check{
		Cache: c, Sums: sums, Database: env.Value("GOSUMDB"), Records: recordsFile(c), Full: full,
		Far: func(d, n int) { done.Store(int64(d)); all.Store(int64(n)) },
	}
	r, err := modcache.Verify(ctx, check)
	if err != nil && r != nil { // only the records could not be kept
		stop()
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "cache.norecords", mask.Text(err.Error())), true))
		err = nil
	}
	if err != nil && ctx.Err() == nil {
		err = &failure{exit: exitError, key: "err.cache.read", args: []any{mask.Text(err.Error())}, unwrapped: err}
	}
	return r, err
}

// recordsFile is where the sums of this cache are recorded; "" where there is no place.
func recordsFile(c modcache.Cache) string {
	dir := os.Getenv("KEEPWELL_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(base, "keepwell")
	}
	sum := sha256.Sum256([]byte(c.Dir))
	return filepath.Join(dir, "modcache", hex.EncodeToString(sum[:8]))
}

func (a *app) verifyLines(c modcache.Cache, r *modcache.Report, p *projectSums, took time.Duration) []present.Line {
	say := func(key string, args ...any) present.Line { return present.Line{Text: msg.Text(a.lang, key, args...)} }
	out := []present.Line{say("cache.verify.head", home(c.Dir), r.Versions, r.Archives, r.Trees, took.Seconds())}
	out[0].Tone = present.Bold
	if r.Recorded > 0 {
		out = append(out, say("cache.verify.recorded", r.Recorded))
	}
	who := msg.Text(a.lang, "cache.verify.nobody")
	if len(p.files) > 0 {
		who = home(p.files[0])
		if len(p.files) > 1 {
			who += fmt.Sprintf(" (+%d)", len(p.files)-1)
		}
	}
	out = append(out, say("cache.verify.vouched", r.Vouched, r.Versions, who))
	if n := len(p.disputed); n > 0 {
		l := say("cache.verify.disputed", n, mask.Text(p.disputed[0]))
		l.Tone = present.Warning
		out = append(out, l)
	}
	if n := len(r.Busy); n > 0 {
		out = append(out, say("cache.verify.busy", n, r.Busy[0].String()))
	}
	out = append(out, present.Line{})
	if len(r.Faults) == 0 {
		return append(out, say("cache.verify.fine"))
	}
	out = append(out, a.faultLines(c, r.Faults)...)
	bad := 0
	for _, f := range r.Faults {
		if f.Severity != keepwell.SeverityInfo {
			bad++
		}
	}
	sum := say("cache.verify.bad", bad, len(r.Faults)-bad)
	sum.Tone = present.Bold
	return append(out, present.Line{}, sum, say("cache.verify.next"))
}

// mostFaults bounds the faults that text shows.
const mostFaults = 60

// faultLines says each fault in a sentence, with its file.
func (a *app) faultLines(c modcache.Cache, list []modcache.Fault) []present.Line {
	var out []present.Line
	for i, f := range list {
		if i == mostFaults {
			return append(out, present.Line{Text: msg.Text(a.lang, "cache.verify.more", len(list)-i)})
		}
		tone := present.Faint
		switch f.Severity {
		case keepwell.SeverityError:
			tone = present.Warning
		case keepwell.SeverityWarning:
			tone = present.Bold
		}
		where := f.Mod().String()
		if f.Module == "" {
			where = filepath.Base(f.Path)
		}
		out = append(out, present.Line{Gutter: "  ", Rest: "    ", Text: fmt.Sprintf("%s: %s: %s", msg.Text(a.lang, "severity."+string(f.Severity)), where, a.faultText(f)), Tone: tone})
		out = append(out, present.Line{Gutter: "    ", Rest: "    ", Text: below(c, f.Path), Whole: true, Tone: present.Faint})
	}
	return out
}

// faultText is the sentence of a fault.
func (a *app) faultText(f modcache.Fault) string {
	text := msg.Text(a.lang, "cache.fault."+string(f.Kind))
	switch {
	case f.Want != "" && f.Got != "":
		text += msg.Text(a.lang, "cache.fault.sums", f.Got, a.vouches(f.Source), f.Want)
	case f.Detail != "":
		text += msg.Text(a.lang, "cache.fault.detail", mask.Text(f.Detail))
	}
	return text
}

func (a *app) vouches(source string) string {
	switch source {
	case "sumdb", "archive":
		return msg.Text(a.lang, "cache.source."+source)
	}
	return source
}

// below is a path as it stands in the cache.
func below(c modcache.Cache, path string) string {
	if rel, ok := strings.CutPrefix(path, c.Dir+string(filepath.Separator)); ok {
		return rel
	}
	return home(path)
}
