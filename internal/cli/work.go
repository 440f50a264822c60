package cli

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/workspace"
)

func newWorkCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "work",
		Short: "Modules developed together (go.work): state, sync, what a change affects / 工作区管理",
		Long: "work looks after modules that are developed together: init makes a go.work, status tells what is in force and what\n" +
			"disagrees, sync brings the modules into line, rename gives one another path, affected tells what a change touches, run\n" +
			"runs a command in each module, graph draws what needs what.\n" +
			"work 照管一起开发的多个模块：init 创建 go.work，status 说明当前生效的设置和不一致之处，sync 同步各模块，rename 为模块改名，\n" +
			"affected 找出一次改动影响的模块和包，run 在各模块中运行命令，graph 画出依赖关系。",
	}
	cmd.AddCommand(newWorkStatusCmd(a), newWorkInitCmd(a), newWorkSyncCmd(a), newWorkRenameCmd(a), newWorkAffectedCmd(a), newWorkRunCmd(a), newWorkGraphCmd(a))
	return cmd
}

// openWorkspace reads the workspace of the current directory.
func openWorkspace(ctx context.Context) (*workspace.Workspace, goenv.Layers, error) {
	layers, err := goenv.LoadLayers(ctx, "")
	if err != nil {
		return nil, layers, &failure{exit: exitError, key: "err.work.go", args: []any{mask.Text(err.Error())}, hint: "hint.work.go", unwrapped: err}
	}
	w, err := workspace.Open(ctx, ".", layers.Go["GOWORK"])
	if err != nil {
		var f *failure
		if failed := workFailure(err); errors.As(failed, &f) && f.hint == "hint.work.none" && layers.Go["GOWORK"] != "off" {
			if n := modulesBelow(ctx); n > 0 {
				f.hint, f.hintArgs = "hint.work.below", []any{n}
			}
			return nil, layers, f
		}
		return nil, layers, workFailure(err)
	}
	return w, layers, nil
}

// modulesBelow counts the modules below the current directory, as far as a second reaches.
func modulesBelow(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	dirs, err := workspace.Find(ctx, ".")
	if err != nil {
		return 0
	}
	return len(dirs)
}

// workFailure puts the errors of package workspace into words.
func workFailure(err error) error {
	f := &failure{exit: exitError, key: "err.work", args: []any{mask.Text(err.Error())}, hint: "hint.work", unwrapped: err}
	switch {
	case errors.Is(err, workspace.ErrNone):
		f.key, f.args, f.hint = "err.work.none", nil, "hint.work.none"
	case errors.Is(err, workspace.ErrParse):
		f.hint = "hint.work.parse"
	}
	return f
}

// within names a file of the workspace briefly.
func within(w *workspace.Workspace, name string) string {
	if rel, err := filepath.Rel(w.Root, name); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return home(name)
}
