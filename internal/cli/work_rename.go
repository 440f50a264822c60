package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/rewrite"
	"github.com/keepwell/keepwell/internal/scratch"
	"github.com/keepwell/keepwell/internal/workspace"
)

func newWorkRenameCmd(a *app) *cobra.Command {
	var o changeOptions
	cmd := &cobra.Command{
		Use:   "rename MODULE NEWPATH",
		Short: "Give a module of one's own another path, with all that imports it / 为自己的模块改名",
		Long: "rename changes the module line of MODULE (its path or its directory) to NEWPATH, and in all modules of the workspace\n" +
			"what requires, replaces or imports it. Directories stay where they are. Only import specs and what names the path to go\n" +
			"are changed in sources; what else names it is listed. The compiler tries the result aside before anything is shown.\n" +
			"rename 把 MODULE（路径或目录）的 module 行改为 NEWPATH，并修改工作区所有模块中对它的 require、replace 和 import。目录不变；\n" +
			"源码中只改 import 等写给 go 的路径，其他提到它的文件会列出。显示改动之前，编译器已在别处试过结果。",
		Example: "  keepwell work rename ./core example.com/mono/kernel --dry-run\n  keepwell work rename example.com/lib example.com/lib/v2\n  keepwell work rename --undo",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("undo") {
				return runUndo(cmd.Context(), a, "work", o.undo)
			}
			if len(args) != 2 {
				return misused("err.work.rename.args")
			}
			return runWorkRename(cmd.Context(), a, args[0], args[1], o)
		},
	}
	o.register(cmd)
	return cmd
}

// workRenameDocument is what `work rename` says to programs.
type workRenameDocument struct {
	Command string         `json:"command"`
	Root    string         `json:"root"`
	From    string         `json:"from"`
	To      string         `json:"to"`
	Applied bool           `json:"applied"`
	ID      int            `json:"id,omitempty"`
	Changes []act.Change   `json:"changes"`
	Notes   []string       `json:"notes"`
	Builds  rewrite.Builds `json:"builds"`
}

func runWorkRename(ctx context.Context, a *app, name, to string, o changeOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	if err := module.CheckImportPath(to); err != nil {
		return &failure{exit: exitUsage, key: "err.work.rename.path", args: []any{mask.Text(to), mask.Text(err.Error())}, unwrapped: err}
	}
	e, err := a.recovered(ctx)
	if err != nil {
		return err
	}
	w, layers, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	m := moduleNamed(w, name)
	if m == nil {
		return &failure{exit: exitError, key: "err.work.rename.none", args: []any{mask.Text(name)}, hint: "hint.work.rename.none"}
	}
	if slices.ContainsFunc(w.Modules, func(o *workspace.Module) bool { return o.Path == to }) {
		return &failure{exit: exitError, key: "err.work.rename.taken", args: []any{mask.Text(to)}, hint: "hint.work.rename.none"}
	}
	done := a.progress(func() string { return msg.Text(a.lang, "work.renaming", m.Path) })
	outcome, err := planRename(ctx, w, layers, rewrite.Change{Kind: rewrite.Rename, From: m.Path, To: to})
	done()
	if err != nil {
		return &failure{exit: exitError, key: "err.work.rename", args: []any{mask.Text(err.Error())}, hint: "hint.work.sync", unwrapped: err}
	}
	doc := workRenameDocument{Command: "work rename", Root: w.Root, From: m.Path, To: to, Changes: []act.Change{}, Notes: []string{}, Builds: outcome.Builds}
	for _, n := range doctor.RewriteNotes(".", outcome) {
		doc.Notes = append(doc.Notes, mask.Text(a.sayDoctor(n.Key, n.Args...)))
	}
	for _, out := range w.Outside {
		if data, err := os.ReadFile(out.Name()); err == nil && strings.Contains(string(data), m.Path) {
			doc.Notes = append(doc.Notes, msg.Text(a.lang, "work.rename.outside", out.Rel))
		}
	}
	for _, other := range w.Modules {
		if strings.HasPrefix(other.Path, m.Path+"/") {
			doc.Notes = append(doc.Notes, msg.Text(a.lang, "work.rename.below", other.Path))
		}
	}
	if !a.machine() {
		for _, n := range doc.Notes {
			fmt.Fprintln(a.out, present.Visible(n, true))
		}
	}
	r, applied, err := a.change(ctx, e, act.Plan{Command: "work", Note: "rename", Steps: outcome.Steps()}, o)
	if err != nil || a.exit == exitApproval {
		return err
	}
	doc.Applied, doc.ID, doc.Changes = applied, r.ID, append(doc.Changes, r.Changes...)
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	if applied {
		a.sayOut("work.rename.done", m.Path, to, len(outcome.Files), r.ID)
		if v := w.Settings(ctx, ".", layers).Vendor; v != "" && w.Work != "" {
			a.sayOut("work.sync.vendor", within(w, v))
		}
	}
	return nil
}

// moduleNamed is the module of the workspace with a path, or in a directory.
func moduleNamed(w *workspace.Workspace, name string) *workspace.Module {
	at, err := filepath.Abs(filepath.FromSlash(name))
	if err == nil {
		at = workspace.Place(".", at)
	}
	for _, m := range w.Modules {
		if m.Path != "" && (m.Path == name || err == nil && m.Dir == at) {
			return m
		}
	}
	return nil
}

// planRename plans with the user's go and module cache; go writes to copies.
func planRename(ctx context.Context, w *workspace.Workspace, layers goenv.Layers, c rewrite.Change) (*rewrite.Outcome, error) {
	dir, err := os.MkdirTemp("", "keepwell-work-")
	if err != nil {
		return nil, err
	}
	defer scratch.Remove(dir)
	p := rewrite.Project{Work: w.Work, Cache: layers.Env().Value("GOMODCACHE"), Scratch: dir}
	for _, m := range w.Modules {
		p.Modules = append(p.Modules, m.Dir)
	}
	env := append(goSettings(layers), "GOWORK=off", "GO111MODULE=on")
	p.Go = func(ctx context.Context, at string, args ...string) ([]byte, error) {
		r, err := proc.Run(ctx, proc.Options{Dir: at, Env: append(slices.Clone(env), "PWD="+at), Timeout: 10 * time.Minute, MaxOut: 64 << 20}, "go", args...)
		switch {
		case err != nil:
			return nil, err
		case r.Late:
			return r.Stdout, context.DeadlineExceeded
		case r.Exit != 0:
			return r.Stdout, errors.New(strings.TrimSpace(string(r.Output)))
		}
		return r.Stdout, nil
	}
	return rewrite.Plan(ctx, p, c)
}
