package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/scratch"
)

type cacheRepairOptions struct {
	cacheVerifyOptions
	dryRun, yes, noFetch, report bool
	undo                         string
}

func newCacheRepairCmd(a *app) *cobra.Command {
	var o cacheRepairOptions
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Mend what verify finds, and nothing else / 修复 verify 发现的问题，不碰其他内容",
		Long: "repair removes exactly the files of the module cache that are bad, writes the hashes that are missing, gives the\n" +
			"owner back what they may do, and has go fetch again what is missing then. What was sound is not touched; what was\n" +
			"removed is kept for --undo until the next `keepwell cache clean`.\n" +
			"repair 只删除模块缓存中损坏的文件，补写缺失的哈希，恢复所有者的权限，然后让 go 重新获取缺少的内容。\n" +
			"完好的内容不会被触动；删除的内容保留到下一次 `keepwell cache clean`，期间可用 --undo 还原。",
		Example: "  keepwell cache repair --dry-run\n  keepwell cache repair --yes\n  keepwell cache repair --undo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("undo") {
				return runUndo(cmd.Context(), a, "cache", o.undo)
			}
			return runCacheRepair(cmd.Context(), a, o)
		},
	}
	o.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the changes and stop / 只显示改动")
	flags.BoolVar(&o.yes, "yes", false, "agree to all changes / 同意全部改动")
	flags.BoolVar(&o.noFetch, "no-fetch", false, "fetch nothing: go does when it wants it / 不重新获取，留待 go 需要时再取")
	flags.BoolVar(&o.report, "report", false, "compare before and after: size, a clean build, consistency / 对比前后：大小、全新构建用时、一致性")
	flags.StringVar(&o.undo, "undo", "", "put back what the last repair, or the change of this number, removed / 还原上一次修复")
	flags.Lookup("undo").NoOptDefVal = lastChange
	return cmd
}

// cacheRepairDocument is what `cache repair` says to programs.
type cacheRepairDocument struct {
	Command string           `json:"command"`
	Dir     string           `json:"dir"`
	Applied bool             `json:"applied"`
	IDs     []int            `json:"ids"`
	Found   []modcache.Fault `json:"found"`
	Changes []act.Change     `json:"changes"`
	Fetched []string         `json:"fetched"`
	// Absent did not come; go asks again when it wants it.
	Absent map[string]string `json:"absent"`
	Left   []modcache.Fault  `json:"left"`
	Report *cacheReport      `json:"report,omitempty"`
}

func runCacheRepair(ctx context.Context, a *app, o cacheRepairOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	c, env, err := cacheDirs(ctx)
	if err != nil {
		return err
	}
	p, err := readProjectSums(o.sums, env)
	if err != nil {
		return err
	}
	sums := p.agreed()
	if o.dryRun {
		return a.repairPlan(ctx, c, env, sums, o)
	}
	e, err := engine()
	if err != nil {
		return err
	}
	doc := cacheRepairDocument{Command: "cache repair", Dir: c.Dir, Applied: true, IDs: []int{}, Changes: []act.Change{}, Fetched: []string{}, Absent: map[string]string{}}
	var far, all atomic.Int64
	reading := &pausable{a: a, far: func() string {
		return fmt.Sprintf("%s %s %d/%d", msg.Text(a.lang, "cache.verifying"), meter(int(far.Load()), int(all.Load())), far.Load(), all.Load())
	}}
	ask := &askOnce{ask: asker(ctx, a), while: reading.during}
	opts := modcache.RepairOptions{
		Check: modcache.Check{
			Cache: c, Sums: sums, Database: env.Value("GOSUMDB"), Records: recordsFile(c), Full: o.full,
			Far: func(d, n int) { far.Store(int64(d)); all.Store(int64(n)) },
		},
		Engine: e, Consent: act.Policy(o.yes, ask.consent()),
		Show: func(faults []modcache.Fault, changes []act.Change) error {
			doc.Changes = append(doc.Changes, changes...)
			ask.again()
			if a.machine() {
				return nil
			}
			return reading.during(func() error {
				if err := present.Outline(a.out, a.style(), append(a.faultLines(c, faults), present.Line{})); err != nil {
					return err
				}
				return showChanges(a, changes)
			})
		},
	}
	if !o.noFetch {
		opts.Fetch = func(ctx context.Context, whole, mods []module.Version) (absent map[module.Version]string, err error) {
			err = reading.during(func() error {
				done := a.progress(func() string { return msg.Text(a.lang, "cache.fetching", len(whole)+len(mods)) })
				defer done()
				absent, err = fetchAgain(ctx, env, sums, whole, mods)
				return err
			})
			return absent, err
		}
	}
	after, err := a.reporting(ctx, o.report, c, env)
	if err != nil {
		return err
	}
	reading.resume()
	r, err := modcache.Repair(ctx, opts)
	reading.pause()
	if r != nil {
		a.tellRecovered(r.Recovered)
	}
	if err != nil {
		return a.repairBroken(c, r, err)
	}
	return a.tellRepaired(c, r, doc, after)
}

// askOnce asks one question for all changes of a plan that is shown as a whole.
type askOnce struct {
	ask   act.Consent
	while func(func() error) error
	asked bool
	yes   bool
}

func (o *askOnce) again() { o.asked = false }

// consent is nil where there is nobody to ask.
func (o *askOnce) consent() act.Consent {
	if o.ask == nil {
		return nil
	}
	return func(ctx context.Context, c act.Change) (bool, error) {
		if o.asked {
			return o.yes, nil
		}
		err := o.while(func() (err error) {
			o.yes, err = o.ask(ctx, c)
			return err
		})
		o.asked = err == nil
		return o.yes, err
	}
}

// repairBroken tells what holds after a repair that went only part of its way.
func (a *app) repairBroken(c modcache.Cache, r *modcache.Repaired, err error) error {
	if r == nil || len(r.Operations) == 0 {
		return a.repairFailure(c, err)
	}
	if !a.machine() {
		a.sayOut("cache.undo", undoCommands(r.Operations))
	}
	if errors.Is(err, act.ErrDeclined) {
		fmt.Fprintln(a.errs, msg.Text(a.lang, "cache.declined"))
		a.exit = exitApproval
		return nil
	}
	return a.repairFailure(c, err)
}

// undoCommands take operations back, the last first.
func undoCommands(ids []int) string {
	var out []string
	for _, id := range slices.Backward(slices.Sorted(slices.Values(ids))) {
		out = append(out, fmt.Sprintf("keepwell cache repair --undo=%d", id))
	}
	return strings.Join(out, "; ")
}

func (a *app) repairFailure(c modcache.Cache, err error) error {
	switch {
	case errors.Is(err, modcache.ErrHeld):
		return &failure{exit: exitError, key: "err.cache.held", args: []any{mask.Text(err.Error())}, hint: "hint.cache.held", unwrapped: err}
	case errors.Is(err, act.ErrNeedsApproval):
		return &failure{exit: exitApproval, key: "err.cache.approval", args: []any{home(c.Dir)}, hint: "hint.cache.approval", unwrapped: err}
	}
	return actFailure(a, home(c.Dir), err)
}

// repairPlan is the dry run.
func (a *app) repairPlan(ctx context.Context, c modcache.Cache, env goenv.Env, sums map[string]string, o cacheRepairOptions) error {
	r, err := a.verifyCache(ctx, c, env, sums, o.full)
	if err != nil {
		return err
	}
	steps, err := modcache.Steps(ctx, c, r.Faults)
	if err != nil {
		return a.repairFailure(c, err)
	}
	changes, err := act.Plan{Command: "cache", Note: "repair", Steps: steps}.Preview(ctx)
	if err != nil {
		return a.repairFailure(c, err)
	}
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, cacheRepairDocument{
			Command: "cache repair", Dir: c.Dir, IDs: []int{}, Found: r.Faults, Changes: changes, Fetched: []string{}, Absent: map[string]string{}, Left: r.Faults,
		}))
	}
	a.exit = exitForFaults(r.Faults)
	if len(changes) == 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "cache.verify.fine"))
		return nil
	}
	if err := present.Outline(a.out, a.style(), append(a.faultLines(c, r.Faults), present.Line{})); err != nil {
		return shown(a, err)
	}
	if err := showChanges(a, changes); err != nil {
		return err
	}
	fmt.Fprintln(a.out, msg.Text(a.lang, "env.dryrun"))
	return nil
}

func (a *app) tellRepaired(c modcache.Cache, r *modcache.Repaired, doc cacheRepairDocument, after func() (*cacheReport, error)) error {
	doc.Found, doc.Left, doc.IDs = r.Found.Faults, r.Left.Faults, append(doc.IDs, r.Operations...)
	for _, m := range r.Fetched {
		doc.Fetched = append(doc.Fetched, m.String())
	}
	for m, why := range r.Absent {
		doc.Absent[m.String()] = mask.Text(why)
	}
	if present.Format(a.format).Machine() {
		var err error
		if doc.Report, err = after(); err != nil {
			return err
		}
		return shown(a, writeDocument(a, doc))
	}
	a.exit = exitForFaults(r.Left.Faults)
	say := func(key string, args ...any) {
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
	}
	if len(r.Found.Faults) == 0 && len(doc.Fetched)+len(doc.Absent) == 0 {
		say("cache.verify.fine")
		return nil
	}
	say("cache.repaired", len(r.Found.Faults)-len(r.Left.Faults), len(r.Found.Faults))
	if len(doc.Fetched) > 0 {
		say("cache.fetched", len(doc.Fetched))
	}
	for _, m := range sortedNames(doc.Absent) {
		say("cache.absent", m, doc.Absent[m])
	}
	if len(r.Left.Faults) > 0 {
		say("cache.left", len(r.Left.Faults))
		if err := present.Outline(a.out, a.style(), a.faultLines(c, r.Left.Faults)); err != nil {
			return shown(a, err)
		}
	}
	if len(r.Manual) > 0 {
		for _, m := range r.Manual {
			say("cache.byhand", m.Target)
		}
	}
	if len(r.Operations) > 0 {
		say("cache.undo", undoCommands(r.Operations))
	}
	_, err := after()
	return err
}

// fetchAgain has go fetch versions in a module of its own whose go.sum has all sums that
// are known: so go itself holds what comes to them, and to its checksum database.
func fetchAgain(ctx context.Context, env goenv.Env, sums map[string]string, whole, mods []module.Version) (map[module.Version]string, error) {
	dir, err := os.MkdirTemp("", "keepwell-fetch-")
	if err != nil {
		return nil, err
	}
	defer scratch.Remove(dir)
	var sum strings.Builder
	for _, key := range sortedNames(sums) {
		fmt.Fprintf(&sum, "%s %s\n", key, sums[key])
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module keepwell.invalid/fetch\n\ngo 1.16\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "go.sum"), []byte(sum.String()), 0o600)); err != nil {
		return nil, err
	}
	flags := "GOFLAGS=" // the project's -mod=vendor is not this module's
	if slices.Contains(strings.Fields(env.Value("GOFLAGS")), "-modcacherw") {
		flags += "-modcacherw"
	}
	absent := map[module.Version]string{}
	for _, p := range []struct {
		list []module.Version
		args []string
	}{{whole, []string{"mod", "download", "-json"}}, {mods, []string{"list", "-m", "-e", "-json"}}} {
		const most = 50
		for list := p.list; len(list) > 0; list = list[min(most, len(list)):] {
			if err := fetchSome(ctx, dir, flags, p.args, list[:min(most, len(list))], absent); err != nil {
				return nil, err
			}
		}
	}
	return absent, nil
}

// goError is what go says of a module: `go mod download` in words, `go list` in an object.
type goError string

// UnmarshalJSON implements [json.Unmarshaler].
func (e *goError) UnmarshalJSON(data []byte) error {
	var object struct{ Err string }
	if err := json.Unmarshal(data, &object); err == nil {
		*e = goError(object.Err)
		return nil
	}
	return json.Unmarshal(data, (*string)(e))
}

func fetchSome(ctx context.Context, dir, flags string, args []string, list []module.Version, absent map[module.Version]string) error {
	for _, m := range list {
		args = append(args, m.String())
	}
	r, err := proc.Run(ctx, proc.Options{Dir: dir, Timeout: 15 * time.Minute, MaxOut: 16 << 20, Env: []string{"GOWORK=off", "GOTOOLCHAIN=local", "GO111MODULE=on", flags}}, "go", args...)
	if err != nil {
		return err
	}
	came := map[module.Version]bool{}
	for d := json.NewDecoder(bytes.NewReader(r.Stdout)); ; {
		var m struct {
			Path, Version string
			Error         goError
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) || err != nil {
			break
		}
		v := module.Version{Path: m.Path, Version: m.Version}
		came[v] = true
		if m.Error != "" {
			absent[v] = string(m.Error)
		}
	}
	for _, m := range list {
		if !came[m] {
			absent[m] = strings.TrimSpace(string(r.Output[:min(len(r.Output), 500)]))
		}
	}
	return nil
}
