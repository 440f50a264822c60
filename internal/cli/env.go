package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

type envOptions struct {
	set     []string
	undo    string // "" none, "last", or a number
	history bool
	whatIf  []string
	forOnce []string
	yes     bool
	dryRun  bool
	args    []string
}

func newEnvCmd(a *app) *cobra.Command {
	var o envOptions
	cmd := &cobra.Command{
		Use:   "env [--set K=V | --undo[=N] | --what-if K=V | --for-once K=V -- COMMAND ...]",
		Short: "Show and set what decides where go, npm and pip fetch from / 查看和设置 go、npm、pip 的下载来源",
		Long: "env shows every setting that touches fetching, with its value and the place that sets it, and what is wrong with it.\n" +
			"It sets one so that it can be taken back, says what another value would change, and lends one to a single command.\n" +
			"env 列出所有影响下载的设置：值、来源、问题；可以修改并撤销，可以预演，也可以只对一条命令生效。",
		Example: "  keepwell env\n  keepwell env --set GOPRIVATE=git.example.com\n  keepwell env --undo\n" +
			"  keepwell env --what-if GOPROXY=direct\n  keepwell env --for-once GOSUMDB=off -- go mod download",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.args = args
			return runEnv(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.set, "set", nil, "set NAME=VALUE where it is set now, or by go env -w; NAME= unsets; may be repeated / 在现有位置（或用 go env -w）设置 NAME=VALUE；NAME= 为取消设置；可重复")
	flags.StringVar(&o.undo, "undo", "", "take back the last change, or the one of this number / 撤销上一次或指定编号的修改")
	flags.Lookup("undo").NoOptDefVal = lastChange
	flags.BoolVar(&o.history, "history", false, "list the changes that keepwell made to this machine / 列出 keepwell 对本机做过的修改")
	flags.StringArrayVar(&o.whatIf, "what-if", nil, "show what NAME=VALUE would change; changes nothing / 显示 NAME=VALUE 会带来的变化，不做任何修改")
	flags.StringArrayVar(&o.forOnce, "for-once", nil, "run the command behind -- with NAME=VALUE / 以 NAME=VALUE 运行 -- 之后的命令")
	flags.BoolVar(&o.yes, "yes", false, "agree to the change; does not cover what weakens checks / 同意修改；不包括会削弱校验的修改")
	flags.BoolVar(&o.dryRun, "dry-run", false, "with --set: show the change and stop / 与 --set 同用：只显示修改内容")
	return cmd
}

const lastChange = "last"

func runEnv(ctx context.Context, a *app, o envOptions) error {
	chosen := 0
	for _, on := range []bool{len(o.set) > 0, o.undo != "", o.history, len(o.whatIf) > 0, len(o.forOnce) > 0} {
		if on {
			chosen++
		}
	}
	if chosen > 1 {
		return misused("err.env.alone")
	}
	if o.undo == lastChange && len(o.args) == 1 { // --undo 3
		o.undo, o.args = o.args[0], nil
	}
	if len(o.args) > 0 && len(o.forOnce) == 0 {
		return misused("err.env.words", strings.Join(o.args, " "))
	}
	switch {
	case o.undo != "":
		return runUndo(ctx, a, "env", o.undo)
	case o.history:
		return runEnvHistory(a)
	}
	s, err := settings.Load(ctx, "")
	if err != nil && !errors.Is(err, settings.ErrNoGo) {
		return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.open", unwrapped: err}
	}
	if err != nil {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "env.nogo", err), true))
	}
	switch {
	case len(o.set) > 0:
		return runEnvSet(ctx, a, o, s)
	case len(o.whatIf) > 0:
		return runEnvWhatIf(ctx, a, o, s)
	case len(o.forOnce) > 0:
		return runEnvForOnce(ctx, a, o, s)
	}
	return showEnv(a, s)
}

// showEnv is `keepwell env` itself.
func showEnv(a *app, s *settings.Settings) error {
	e := present.Environment{Command: "env", Groups: []present.SettingGroup{}, Findings: []keepwell.Finding{}, Notes: []present.Note{}}
	for _, g := range s.Groups() {
		e.Groups = append(e.Groups, a.settingGroup(g, s))
	}
	for _, l := range s.Lints() {
		n := a.note(l)
		e.AllNotes = append(e.AllNotes, n)
		if l.Code == "" {
			e.Notes = append(e.Notes, n)
			continue
		}
		f, err := finding(n, s, a.lang)
		if err != nil {
			return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
		}
		e.Findings = append(e.Findings, f)
	}
	format := present.Format(a.format)
	a.exit = exitFor(e.Findings, format)
	if format != present.Text && !format.Machine() {
		h, err := present.New(format, a.out, a.style())
		if err != nil {
			return err
		}
		return stream(h, "env", keepwell.Target{Kind: "machine", Name: "env"}, e.Findings)
	}
	return shown(a, present.WriteEnvironment(a.out, format, a.style(), e))
}

// stream sends findings that already have their words.
func stream(h keepwell.Handler, command string, target keepwell.Target, findings []keepwell.Finding) error {
	events := []keepwell.Event{keepwell.Started{Command: command, Target: target}}
	for _, f := range findings {
		events = append(events, keepwell.Found{Finding: f})
	}
	for _, e := range append(events, keepwell.Finished{Target: target}) {
		if err := h.Handle(e); err != nil {
			return &failure{exit: exitError, key: "err.write", args: []any{err}, unwrapped: err}
		}
	}
	return nil
}

func (a *app) settingGroup(g settings.Group, s *settings.Settings) present.SettingGroup {
	out := present.SettingGroup{Name: g.Name, Title: msg.Text(a.lang, "env.group."+g.Name), Settings: []present.Setting{}, Unset: g.Unset}
	if v := strings.TrimPrefix(s.Env.Value("GOVERSION"), "go"); g.Name == "go" && v != "" {
		out.Title = msg.Text(a.lang, "env.group.go.version", v)
	}
	for _, r := range g.Rows {
		out.Settings = append(out.Settings, shownSetting(r))
	}
	return out
}

func shownSetting(r settings.Row) present.Setting {
	out := present.Setting{Name: r.Name, Value: r.Value, Origin: r.Origin, File: r.File, Line: r.Line, Credential: r.Credential, Host: r.Host}
	for _, h := range r.Hides {
		out.Hides = append(out.Hides, shownSetting(h))
	}
	return out
}

// note puts a lint into words.
func (a *app) note(l settings.Lint) present.Note {
	args := make([]any, len(l.Args))
	for i, v := range l.Args {
		args[i] = v
		if v == "" {
			args[i] = msg.Text(a.lang, "env.empty")
		}
	}
	n := present.Note{
		ID: l.ID, Code: l.Code, Severity: l.Severity, Name: l.Name, File: l.File, Line: l.Line, Text: msg.Text(a.lang, "lint."+l.ID, args...),
	}
	if l.Set != "" {
		n.Command = "keepwell env --set " + faults.Quote(l.Set)
	}
	return n
}

// finding is a note that brings a fault about, as all commands report faults.
func finding(n present.Note, s *settings.Settings, lang msg.Lang) (keepwell.Finding, error) {
	f := keepwell.Finding{Code: n.Code, Severity: n.Severity, Confidence: 0.95, Owner: keepwell.OwnerYou}
	for _, g := range s.Groups() {
		for _, r := range g.Rows {
			if r.Name == n.Name {
				f.Evidence = append(f.Evidence, keepwell.Evidence{Source: "environment", Text: proofOf(r)})
			}
		}
	}
	if err := faults.Describe(&f, string(lang)); err != nil {
		return f, err
	}
	f.Cause = n.Name + " " + n.Text
	if n.Command != "" {
		f.Remedies = append([]keepwell.Remedy{{
			ID: "env-set", Title: msg.Text(lang, "act.go-set", n.Name), Command: n.Command, Safety: keepwell.SafetyAsks, Undo: "keepwell env --undo",
		}}, f.Remedies...)
	}
	return f, f.Validate()
}

func proofOf(r settings.Row) string {
	from := r.Origin
	if r.File != "" {
		from += " " + r.File
	}
	return r.Name + "=" + r.Value + " (" + from + ")"
}

// engine is the one that changes this machine.
func engine() (*act.Engine, error) {
	home, _ := os.UserHomeDir()
	dir, err := act.StateDir(runtime.GOOS, os.Getenv, home)
	if err != nil {
		return nil, &failure{exit: exitError, key: "err.env.state", args: []any{err}, hint: "hint.env.state", unwrapped: err}
	}
	return &act.Engine{Dir: dir}, nil
}
