package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/present"
)

func newPlaybookCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "playbook",
		Short: "Check, rehearse and run playbooks: what is to be done about operational faults / 剧本（发生运维故障时做什么）：检查、演练、执行",
		Long:  "Check, rehearse and run playbooks: what is to be done about operational faults.\n检查、演练和执行剧本：发生运维故障时要做什么。",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		newPlaybookPlanCmd(a),
		newPlaybookRunCmd(a),
		&cobra.Command{
			Use:     "lint FILE…",
			Short:   "Tell everything that is wrong with playbooks, with line and column / 列出剧本中的所有错误及其行列位置",
			Long:    "Tell everything that is wrong with playbooks, with line and column. The exit code is 3 where one cannot be used (0 with --format json).\n列出剧本的全部问题，并给出行号和列号。有剧本无法使用时退出码为 3（--format json 时为 0）。",
			Example: "  keepwell playbook lint playbooks/*.yaml",
			RunE:    func(_ *cobra.Command, args []string) error { return runPlaybookLint(a, args) },
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON schema of playbooks, for editors / 输出剧本的 JSON schema，供编辑器使用",
			Long:  "Print the JSON schema of playbooks, for editors.\n输出剧本的 JSON schema，供编辑器使用。",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				if _, err := a.out.Write([]byte(playbook.SchemaText)); err != nil {
					return shown(a, err)
				}
				return nil
			},
		},
	)
	return cmd
}

// launchScript is what the server starts scripts through: no command for people, and no
// time is lost on what those need.
const launchScript = "launch-script"

func launch(args []string, errs io.Writer) int {
	exit, err := actions.Launch(args, os.Environ())
	if err != nil {
		l := msg.FromEnvironment()
		fmt.Fprintln(errs, msg.Text(l, "error", msg.Text(l, "play.confine", err)))
	}
	return exit
}

// linted is what `playbook lint` says of one file to programs.
type linted struct {
	File string `json:"file"`
	playbook.Review
}

func runPlaybookLint(a *app, files []string) error {
	if len(files) == 0 {
		return misused("play.nofile")
	}
	if f := present.Format(a.format); f != present.Text && f != present.JSON {
		return misused("err.listformat", a.format)
	}
	all := make([]linted, 0, len(files))
	usable := true
	for _, file := range files {
		text, err := plainfile.Read(file)
		if err != nil {
			return &failure{exit: exitError, key: "play.read", args: []any{err}, hint: "hint.play.read", unwrapped: err}
		}
		l := linted{filepath.ToSlash(file), playbook.Examine(text, playbook.Options{Conditions: wire.Conditions(), Name: baseName(file), Codes: faults.Codes()}, a.lang)}
		all, usable = append(all, l), usable && l.Usable
	}
	if a.format == string(present.JSON) {
		return a.document(map[string]any{"playbooks": all})
	}
	if !usable {
		a.exit = exitFaults
	}
	var lines []string
	for _, l := range all {
		for _, p := range l.Problems {
			key := "play.problem"
			if p.Level == "warning" {
				key = "play.warning"
			}
			lines = append(lines, msg.Text(a.lang, key, l.File, p.Line, p.Column, p.Message))
		}
		if l.Usable {
			lines = append(lines, msg.Text(a.lang, "play.fine", l.File, l.Name, l.Version))
		}
	}
	for i := range lines {
		lines[i] = present.Visible(lines[i], true) + "\n"
	}
	if _, err := a.out.Write([]byte(strings.Join(lines, ""))); err != nil {
		return shown(a, err)
	}
	return nil
}
