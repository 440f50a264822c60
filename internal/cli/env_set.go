package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

type assignment struct{ name, value string }

func (as assignment) String() string { return as.name + "=" + as.value }

// parseAssignments reads NAME=VALUE and holds names and values to what the tools
// accept, with all that is set before it.
func parseAssignments(a *app, s *settings.Settings, list []string) ([]assignment, *settings.Settings, error) {
	var out []assignment
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, nil, misused("err.env.set", mask.Text(text))
		}
		switch s.KindOf(name) {
		case settings.Unknown:
			f := misused("err.env.name", mask.Text(name))
			if near := s.Nearest(name); near != "" {
				f.hint, f.hintArgs = "hint.env.name", []any{near}
			}
			return nil, nil, f
		case settings.Derived:
			return nil, nil, misused("err.env.readonly", name)
		}
		if value != "" {
			for _, l := range s.Judge(name, value) {
				n := a.note(l)
				if l.Severity != "error" {
					fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "hint", name+" "+n.Text), true))
					continue
				}
				f := misused("err.env.value", name, name+" "+n.Text)
				if l.Set != "" && l.Set != name+"=" {
					f.hint, f.hintArgs = "hint.env.value", []any{faults.Quote(l.Set)}
				}
				return nil, nil, f
			}
		}
		s = s.With(name, value)
		out = append(out, assignment{name, value})
	}
	return out, s, nil
}

func runEnvSet(ctx context.Context, a *app, o envOptions, s *settings.Settings) error {
	list, after, err := parseAssignments(a, s, o.set)
	if err != nil {
		return err
	}
	var todo []assignment
	plan := act.Plan{Command: "env"}
	for _, as := range list {
		steps, err := planSet(a, s, as)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "env.already", as.name, shownValue(a, s, as.name)), true))
			continue
		}
		todo = append(todo, as)
		plan.Note = strings.TrimSpace(plan.Note + " " + as.name)
		plan.Steps = append(plan.Steps, steps...)
	}
	plan.Steps = mergeEdits(plan.Steps)
	if len(todo) == 0 {
		return nil
	}
	changes, err := plan.Preview(ctx)
	if err != nil {
		return actFailure(a, plan.Note, err)
	}
	if err := showChanges(a, changes); err != nil {
		return err
	}
	if o.dryRun {
		return shown(a, a.reportChanges(act.Result{Changes: changes}, nil, nil, after))
	}
	e, err := engine()
	if err != nil {
		return err
	}
	r, err := e.Run(ctx, plan, act.Policy(o.yes, asker(ctx, a)))
	a.tellRecovered(r.Recovered)
	if err != nil {
		return actFailure(a, plan.Note, err)
	}
	return shown(a, a.reportChanges(r, todo, s, after))
}

// planSet finds the place that has to change for as to hold; no step means that it
// holds already.
func planSet(a *app, s *settings.Settings, as assignment) ([]act.Step, error) {
	steps, err := doctor.Assign(s, as.name, as.value)
	var place *doctor.PlaceError
	if err == nil || !errors.As(err, &place) {
		if err != nil {
			err = actFailure(a, as.name, err)
		}
		return steps, err
	}
	if len(place.Others) > 0 {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "hint", msg.Text(a.lang, "hint.env.lines", lines(place.Others))), true))
	}
	f := &failure{exit: exitError, key: "err.env.manual", args: []any{as.name, mask.Text(as.name + "=" + s.OS[as.name])}, hint: "hint.env.manual", hintArgs: []any{as.name, faults.Quote(as.String())}}
	switch {
	case errors.Is(err, doctor.ErrNoGoEnv):
		f.key, f.args, f.hint, f.hintArgs = "err.env.goenv", []any{cmp.Or(s.Go.UserFile, "off")}, "hint.env.goenv", []any{as.name}
	case errors.Is(err, doctor.ErrShellOnly) && s.OS[as.name] == "":
		f.key, f.args, f.hint, f.hintArgs = "err.env.shellonly", []any{as.name}, "hint.env.shellonly", []any{faults.Quote(as.String())}
	case errors.Is(err, doctor.ErrShellOnly):
		f.hint, f.hintArgs = "hint.env.shellonly", []any{faults.Quote(as.String())}
	}
	return nil, f
}

// mergeEdits makes one edit of those that exchange lines of the same file: each was
// planned on the file as it is now.
func mergeEdits(steps []act.Step) []act.Step {
	var out []act.Step
	for _, s := range steps {
		e, isEdit := s.(act.Edit)
		at := slices.IndexFunc(out, func(o act.Step) bool {
			earlier, ok := o.(act.Edit)
			return ok && isEdit && earlier.Path == e.Path
		})
		if at < 0 {
			out = append(out, s)
			continue
		}
		earlier, ok := out[at].(act.Edit)
		before, mine, theirs := bytes.SplitAfter(e.Before, []byte("\n")), bytes.SplitAfter(earlier.After, []byte("\n")), bytes.SplitAfter(e.After, []byte("\n"))
		if !ok || len(before) != len(mine) || len(before) != len(theirs) {
			out = append(out, s) // it will say that the file has changed
			continue
		}
		for i := range before {
			if !bytes.Equal(theirs[i], before[i]) {
				mine[i] = theirs[i]
			}
		}
		earlier.After, earlier.Concern = bytes.Join(mine, nil), cmp.Or(earlier.Concern, e.Concern)
		out[at] = earlier
	}
	return out
}

func lines(list []settings.Assignment) string {
	var out []string
	for _, at := range list {
		out = append(out, fmt.Sprintf("%s:%d", at.File, at.Line))
	}
	return strings.Join(out, ", ")
}

// showChanges shows a plan; programs get it with the result.
func showChanges(a *app, changes []act.Change) error {
	if present.Format(a.format).Machine() {
		return nil
	}
	fmt.Fprintln(a.out, msg.Text(a.lang, "env.plan"))
	for _, c := range changes {
		title := msg.Text(a.lang, "remedy", msg.Text(a.lang, "act."+string(c.Kind), c.Target), msg.Text(a.lang, "safety."+string(c.Safety)), c.Command)
		if c.Command == "" {
			title = msg.Text(a.lang, "act."+string(c.Kind), c.Target)
		}
		fmt.Fprintln(a.out, "\n"+present.Visible(title, true))
		if c.Diff != "" {
			if err := present.WriteDiff(a.out, a.style(), c.Diff); err != nil {
				return shown(a, err)
			}
		}
	}
	fmt.Fprintln(a.out)
	return nil
}

// asker asks a person at the terminal; nil where there is none.
func asker(ctx context.Context, a *app) act.Consent {
	if _, ok := terminal(a.in); !ok {
		return nil
	}
	// One reader for all questions: what it has buffered belongs to the next.
	in := bufio.NewReader(&interruptible{ctx: ctx, r: a.in})
	return func(context.Context, act.Change) (bool, error) {
		fmt.Fprintf(a.errs, "%s", msg.Text(a.lang, "env.ask"))
		answer, err := in.ReadString('\n')
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes", "是", "好":
			return true, nil
		}
		return false, nil
	}
}

// reportChanges tells what now holds and how it is taken back.
func (a *app) reportChanges(r act.Result, done []assignment, before, after *settings.Settings) error {
	if present.Format(a.format).Machine() {
		return writeDocument(a, struct {
			Command string       `json:"command"`
			Applied bool         `json:"applied"`
			ID      int          `json:"id,omitempty"`
			Changes []act.Change `json:"changes"`
		}{"env", r.ID > 0, r.ID, r.Changes})
	}
	if r.ID == 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "env.dryrun"))
		return nil
	}
	for _, as := range done {
		key := "env.changed"
		args := []any{as.name, mask.Text(as.value), r.ID}
		if as.value == "" {
			key, args[1] = "env.removed", shownValue(a, after, as.name)
		}
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
		if before.OS[as.name] != "" {
			command := "export " + faults.Quote(as.String())
			if as.value == "" {
				command = "unset " + as.name
			}
			fmt.Fprintln(a.errs, msg.Text(a.lang, "env.nextshell"))
			fmt.Fprintln(a.errs, "  "+present.Visible(mask.Text(command), true))
		}
	}
	return nil
}

// shownValue is the value of name in force, masked.
func shownValue(a *app, s *settings.Settings, name string) string {
	for _, g := range s.Groups() {
		for _, r := range g.Rows {
			if r.Name == name {
				return r.Value
			}
		}
	}
	if v := s.Env.Value(name); v != "" {
		return mask.Text(v)
	}
	return msg.Text(a.lang, "env.empty")
}

func (a *app) tellRecovered(list []act.Recovered) {
	for _, r := range list {
		args := []any{r.ID, strings.TrimSpace(r.Command + " " + r.Note)}
		if r.Path != "" {
			args = append(args, mask.Text(r.Path))
		}
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "env.recovered."+r.Outcome, args...), true))
		for _, f := range r.Aside {
			fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "env.recovered.aside", mask.Text(f)), true))
		}
	}
}

// actFailure puts the errors of package act into words.
func actFailure(a *app, what string, err error) error {
	var changed *act.ChangedError
	var already *failure
	f := &failure{exit: exitError, key: "err.env.act", args: []any{what, mask.Text(err.Error())}, hint: "hint.env.act", unwrapped: err}
	switch {
	case errors.As(err, &already):
		return already
	case errors.Is(err, act.ErrDeclined):
		fmt.Fprintln(a.errs, msg.Text(a.lang, "env.declined"))
		a.exit = exitApproval
		return nil
	case errors.Is(err, act.ErrNeedsApproval):
		f.exit, f.key, f.args, f.hint = exitApproval, "err.env.approval", []any{what}, "hint.env.approval"
		if settings.Weakens(what, "x") {
			f.hint, f.hintArgs = "hint.env.weakens", []any{what}
		}
	case errors.Is(err, act.ErrBusy):
		f.key, f.args, f.hint = "err.env.busy", nil, "hint.env.busy"
	case errors.As(err, &changed):
		if changed.Diff != "" {
			_ = present.WriteDiff(a.errs, a.style(), changed.Diff)
		}
		f.key, f.args, f.hint = "err.env.changed", []any{mask.Text(changed.Path)}, "hint.env.changed"
	case errors.Is(err, act.ErrNothing), errors.Is(err, act.ErrExpired):
		f.key, f.args, f.hint = "err.env.undo", nil, "hint.env.undo"
	}
	return f
}

// runUndo takes back the last change of the command called name, or the one of a number.
func runUndo(ctx context.Context, a *app, name, which string) error {
	id, err := changeID(which)
	if err != nil {
		return err
	}
	e, err := engine()
	if err != nil {
		return err
	}
	command := name
	if id > 0 {
		command = ""
	}
	op, recovered, err := e.Undo(ctx, id, command)
	a.tellRecovered(recovered)
	if err != nil {
		return actFailure(a, strings.Join(op.Targets, ", "), err)
	}
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, struct {
			Command string        `json:"command"`
			Undone  act.Operation `json:"undone"`
		}{name, op}))
	}
	fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "env.undone", op.ID, strings.Join(op.Targets, ", ")), true))
	return nil
}

// changeID reads the number of a change; 0 is the last one.
func changeID(text string) (int, error) {
	if text == lastChange {
		return 0, nil
	}
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 {
		return 0, misused("err.env.undoid", text)
	}
	return id, nil
}

func runEnvHistory(a *app) error { return showHistory(a, "env") }

// showHistory lists the changes of all commands; command is the one that was asked.
func showHistory(a *app, command string) error {
	e, err := engine()
	if err != nil {
		return err
	}
	list, err := e.History()
	if err != nil {
		return actFailure(a, filepath.Base(e.Dir), err)
	}
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, struct {
			Command string          `json:"command"`
			Changes []act.Operation `json:"changes"`
		}{command, list}))
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, msg.Text(a.lang, "env.history.none"))
	}
	for _, op := range list {
		fmt.Fprintln(a.out, present.Visible(fmt.Sprintf("%3d  %s  %-7s %s  %s", op.ID, op.Time.Local().Format("2006-01-02 15:04"), op.Command,
			msg.Text(a.lang, "act.state."+op.State), strings.Join(op.Targets, ", ")), true))
	}
	return nil
}

// writeDocument writes one JSON document.
func writeDocument(a *app, v any) error {
	return present.WriteDocument(a.out, present.Format(a.format), v)
}
