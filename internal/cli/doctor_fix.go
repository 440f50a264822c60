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

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

type fixOptions struct {
	fix, dryRun, yes, history bool
	consent                   []string
	undo                      string // "" none, "last", or a number
	// to is what the user would have in the place of the one asked: PATH[@VERSION].
	to string
}

func (o *fixOptions) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&o.fix, "fix", false, "mend what can be mended, and look again / 修复能修复的，再检查一遍")
	flags.BoolVar(&o.dryRun, "dry-run", false, "with --fix: show the changes and stop / 只显示改动")
	flags.BoolVar(&o.yes, "yes", false, "with --fix: agree to ordinary changes; never to trust, ownership or other packages / 同意一般改动")
	flags.StringSliceVar(&o.consent, "consent", nil, "with --fix: agree to the mend of this name, also where --yes does not do / 同意指定名字的修复")
	flags.StringVar(&o.to, "to", "", "with --fix: what to take in the place of MODULE: PATH[@VERSION] / 用它取代 MODULE")
	flags.StringVar(&o.undo, "undo", "", "take back the last --fix, or the change of this number / 撤销上一次修复")
	flags.Lookup("undo").NoOptDefVal = lastChange
	flags.BoolVar(&o.history, "history", false, "list the changes that keepwell made to this machine / 列出改动记录")
}

// A mendState is what became of a mend.
type mendState string

const (
	mendPlanned  mendState = "planned"
	mendDone     mendState = "done"
	mendDeclined mendState = "declined"
	mendAsks     mendState = "needs-approval"
	mendByHand   mendState = "manual"
	mendFailed   mendState = "failed"
)

// planned is a mend of a finding, before and after.
type planned struct {
	code    keepwell.Code
	mend    doctor.Mend
	changes []act.Change
	state   mendState
	op      int
	err     error
	// others are ways in place of this one, which a consent to their name chooses.
	others []*planned
}

// concern is the gravest of the changes; safety the strictest of those that keepwell
// makes, manual where it makes none.
func (p *planned) concern() (c act.Concern) {
	for _, x := range p.changes {
		if x.Concern != act.Ordinary {
			c = x.Concern
		}
	}
	return c
}

func (p *planned) safety() keepwell.Safety {
	safety := keepwell.SafetyManual
	for _, c := range p.changes {
		switch {
		case c.Safety == keepwell.SafetyAsks:
			safety = keepwell.SafetyAsks
		case c.Safety == keepwell.SafetySafe && safety == keepwell.SafetyManual:
			safety = keepwell.SafetySafe
		}
	}
	if safety == keepwell.SafetySafe && p.concern() != act.Ordinary {
		return keepwell.SafetyAsks
	}
	return safety
}

// planMends plans the mends of every finding above info, those that keepwell can make
// first; tried are names that are not planned again.
func planMends(ctx context.Context, c *doctor.Case, findings []keepwell.Finding, tried []string) [][]*planned {
	out := make([][]*planned, len(findings))
	faulty := exitFor(findings, present.Text) == exitFaults
	for i, f := range findings {
		var mends []doctor.Mend
		if f.Severity == keepwell.SeverityInfo {
			mends = doctor.MendsBeside(ctx, c, f, faulty)
		} else {
			mends = doctor.Mends(ctx, c, f)
		}
		out[i] = previewed(ctx, f.Code, mends, tried)
		slices.SortStableFunc(out[i], func(a, b *planned) int { return rankManual(a) - rankManual(b) })
	}
	return out
}

// previewed are mends with what they would change, without those that make no sense
// here.
func previewed(ctx context.Context, code keepwell.Code, mends []doctor.Mend, tried []string) []*planned {
	var out []*planned
	for _, m := range mends {
		if slices.Contains(tried, m.Name()) {
			continue
		}
		if changes, err := (act.Plan{Steps: m.Steps}).Preview(ctx); err == nil && len(changes) > 0 {
			out = append(out, &planned{code: code, mend: m, changes: changes, state: mendPlanned})
		}
	}
	return out
}

func rankManual(p *planned) int {
	if p.safety() == keepwell.SafetyManual {
		return 1
	}
	return 0
}

// firstOfEach is one mend for each finding, no mend twice.
func firstOfEach(all [][]*planned) []*planned {
	var out []*planned
	for _, list := range all {
		if len(list) > 0 && !slices.ContainsFunc(out, func(p *planned) bool { return p.mend.Name() == list[0].mend.Name() }) {
			out = append(out, list[0])
		}
	}
	return out
}

// remedy is a mend as any other way to mend a finding.
func (a *app) remedy(c *doctor.Case, p *planned) keepwell.Remedy {
	r := keepwell.Remedy{ID: p.mend.ID, Title: a.mendTitle(p), Safety: p.safety()}
	if r.Safety == keepwell.SafetyManual {
		r.Command = p.changes[0].Command
		return r
	}
	r.Command = "keepwell doctor --fix"
	if p.concern() != act.Ordinary {
		r.Command += " --consent " + faults.Quote(mask.Text(p.mend.Name()))
	}
	for _, s := range c.Asked {
		name := s.String()
		switch s.Ecosystem {
		case doctor.Npm:
			name = "npm:" + name
		case doctor.PyPI:
			name = "pypi:" + name
		}
		r.Command += " " + faults.Quote(mask.Text(name))
	}
	r.Undo = "keepwell doctor --undo"
	return r
}

func (a *app) mendTitle(p *planned) string {
	args := make([]any, len(p.mend.Args))
	for i, v := range p.mend.Args {
		if args[i] = mask.Text(v); v == "" {
			args[i] = msg.Text(a.lang, "env.empty")
		}
	}
	return msg.Text(a.lang, "mend."+p.mend.ID, args...)
}

// describe puts findings into words, with the mends for this machine before those of
// the catalogue.
func (a *app) describe(c *doctor.Case, findings []keepwell.Finding, mends [][]*planned) ([]keepwell.Finding, error) {
	out := slices.Clone(a.marked(findings))
	for i := range out {
		if err := faults.Describe(&out[i], string(a.lang)); err != nil {
			return nil, &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
		}
		var front []keepwell.Remedy
		if i < len(mends) {
			for _, p := range mends[i] {
				front = append(front, a.remedy(c, p))
			}
		}
		out[i].Remedies = append(front, out[i].Remedies...)
	}
	addRecipes(out, c, a.lang)
	return out, nil
}

// mostRounds bounds how often what a mend has uncovered is mended too.
const mostRounds = 3

// fixing is one run of doctor --fix.
type fixing struct {
	a       *app
	o       doctorOptions
	run     string
	ask     act.Consent
	started bool
	before  []keepwell.Finding
	all     []*planned
	// toldCannot: it was said why a proposal is none here.
	toldCannot bool
}

func runDoctorFix(ctx context.Context, a *app, o doctorOptions) error {
	f := &fixing{a: a, o: o, run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	if present.Format(a.format) == present.Text { // a person agrees to what they have seen
		f.ask = asker(ctx, a)
	}
	if !o.fix.dryRun { // plans are made of what lies on the disk
		if err := recoverFirst(ctx, a); err != nil {
			return err
		}
	}
	c, report, err := examineNow(ctx, a, o)
	if err != nil {
		return err
	}
	for range mostRounds {
		mends, err := f.plan(ctx, c, report)
		if err != nil {
			return err
		}
		if !f.started {
			if err := f.begin(c, report, mends); err != nil {
				return err
			}
		}
		list := firstOfEach(mends)
		if err := f.show(list); err != nil {
			return err
		}
		f.all = append(f.all, list...)
		if o.fix.dryRun || !f.carryOut(ctx, list) {
			break
		}
		f.askAbout(list)
		if c, report, err = examineNow(ctx, a, f.o); err != nil {
			return err
		}
	}
	return f.end(c, report)
}

// recoverFirst ends what a killed process left half done.
func recoverFirst(ctx context.Context, a *app) error {
	e, err := engine()
	if err != nil {
		return err
	}
	recovered, err := e.Recover(ctx)
	a.tellRecovered(recovered)
	if err != nil {
		return actFailure(a, e.Dir, err)
	}
	return nil
}

// examineNow looks at the machine as it is now.
func examineNow(ctx context.Context, a *app, o doctorOptions) (*doctor.Case, doctor.Report, error) {
	began := time.Now()
	c, err := doctorCase(ctx, a, o)
	if err != nil {
		return nil, doctor.Report{}, err
	}
	c.Timeout = max(o.timeout-time.Since(began), time.Second)
	show, wipe := looking(a)
	c.Progress = show
	report := doctor.Examine(ctx, c)
	wipe()
	if ctx.Err() != nil {
		return nil, report, context.Cause(ctx)
	}
	return c, report, nil
}

func (f *fixing) plan(ctx context.Context, c *doctor.Case, r doctor.Report) ([][]*planned, error) {
	var tried []string
	for _, p := range f.all {
		tried = append(tried, p.mend.Name())
	}
	limited, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	mends := planMends(limited, c, r.Findings, tried)
	if exitFor(r.Findings, present.Text) == exitFine { // go may fail all the same, and the catalogue has no name for it
		mends = append(mends, previewed(limited, "", doctor.MendsOfSettings(c, r.Outcomes), tried))
	}
	mends = append(mends, f.successors(limited, c, r, tried)...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return mends, nil
}

// begin shows what the first examination found.
func (f *fixing) begin(c *doctor.Case, r doctor.Report, mends [][]*planned) error {
	f.started = true
	var err error
	if f.before, err = f.a.describe(c, r.Findings, mends); err != nil || present.Format(f.a.format) != present.Text {
		return err
	}
	return f.a.showExamined(c, r, f.before)
}

// showExamined is the text of an examination.
func (a *app) showExamined(c *doctor.Case, r doctor.Report, described []keepwell.Finding) error {
	if err := shown(a, present.Outline(a.out, a.style(), doctorPicture(a, c, r))); err != nil || len(described) == 0 {
		return err
	}
	handler, err := present.New(present.Text, a.out, a.style())
	if err != nil {
		return err
	}
	return stream(handler, "doctor", doctorTarget(c), described)
}

// mostShown bounds the changes of one mend that are shown one by one.
const mostShown = 8

// show is the plan, for people.
func (f *fixing) show(list []*planned) error {
	a := f.a
	if present.Format(a.format) != present.Text || len(list) == 0 {
		return nil
	}
	fmt.Fprintln(a.out, "\n"+msg.Text(a.lang, "doctor.fix.plan"))
	for _, p := range list {
		title := msg.Text(a.lang, "doctor.fix.mend", a.mendTitle(p), msg.Text(a.lang, "safety."+string(p.safety())), mask.Text(p.mend.Name()))
		fmt.Fprintln(a.out, "\n"+present.Visible("• "+title, true))
		for i, c := range p.changes {
			if i == mostShown {
				fmt.Fprintln(a.out, "  "+msg.Text(a.lang, "doctor.fix.more", len(p.changes)-mostShown))
				break
			}
			text := msg.Text(a.lang, "act."+string(c.Kind), c.Target)
			if c.Command != "" {
				text = msg.Text(a.lang, "labelled", text, c.Command)
			}
			fmt.Fprintln(a.out, "  "+present.Visible(text, true))
			if c.Diff == "" {
				continue
			}
			if err := f.showDiff(c); err != nil {
				return err
			}
		}
		for _, n := range a.notes(p) {
			fmt.Fprintln(a.out, "  "+present.Visible(n, true))
		}
		for _, o := range p.others {
			fmt.Fprintln(a.out, "  "+present.Visible(a.otherWay(o), true))
		}
	}
	fmt.Fprintln(a.out)
	return nil
}

// carryOut makes the changes that are agreed to, and reports whether it made any.
func (f *fixing) carryOut(ctx context.Context, list []*planned) (changed bool) {
	for _, p := range list {
		if p.state = f.decide(ctx, p, list); p.state != mendPlanned {
			continue
		}
		f.make(ctx, p)
		changed = changed || p.state == mendDone
		if text, key := present.Format(f.a.format) == present.Text, "doctor.fix."+string(p.state); text && p.state == mendDone {
			fmt.Fprintln(f.a.out, present.Visible(msg.Text(f.a.lang, key, f.a.mendTitle(p), p.op), true))
		} else if text && p.state == mendFailed {
			fmt.Fprintln(f.a.errs, present.Visible(msg.Text(f.a.lang, key, f.a.mendTitle(p), mask.Text(p.err.Error())), true))
		}
	}
	// What another mend of this round has changed under it is planned anew.
	f.all = slices.DeleteFunc(f.all, func(p *planned) bool { return p.state == mendPlanned })
	return changed
}

// decide asks whoever may agree.
func (f *fixing) decide(ctx context.Context, p *planned, list []*planned) mendState {
	alone := 0
	for _, other := range list {
		if other.mend.ID == p.mend.ID {
			alone++
		}
	}
	ordinary := p.concern() == act.Ordinary
	switch {
	case p.safety() == keepwell.SafetyManual:
		return mendByHand
	case p.mend.Exact && f.agreedExactly(p):
		return mendPlanned
	case p.mend.Exact && f.ask == nil:
		return mendAsks
	case p.mend.Exact:
	case p.safety() == keepwell.SafetySafe && ordinary, f.o.fix.yes && ordinary,
		slices.Contains(f.o.fix.consent, p.mend.Name()), alone == 1 && slices.Contains(f.o.fix.consent, p.mend.ID):
		return mendPlanned
	case f.ask == nil:
		return mendAsks
	}
	fmt.Fprintln(f.a.errs, present.Visible(f.a.mendTitle(p), true))
	if yes, err := f.ask(ctx, act.Change{}); err != nil || !yes {
		return mendDeclined
	}
	return mendPlanned
}

// make carries a mend out as it was shown. Where a file is no longer as it was then, it
// stays planned.
func (f *fixing) make(ctx context.Context, p *planned) {
	e, err := engine()
	if err != nil {
		p.state, p.err = mendFailed, err
		return
	}
	agreed := func(_ context.Context, c act.Change) (bool, error) { return slices.Contains(p.changes, c), nil }
	r, err := e.Run(ctx, act.Plan{Command: "doctor", Note: p.mend.ID + "@" + f.run, Steps: p.mend.Steps}, agreed)
	f.a.tellRecovered(r.Recovered)
	var changed *act.ChangedError
	switch {
	case errors.As(err, &changed), errors.Is(err, act.ErrDeclined):
		return
	case err != nil:
		p.state, p.err = mendFailed, err
		return
	}
	p.state, p.op = mendDone, r.ID
	for name, value := range p.mend.Sets { // what the next shell will have
		if value == "" {
			_ = os.Unsetenv(name)
		} else {
			_ = os.Setenv(name, value)
		}
	}
}

// fixed is the document of doctor --fix --json.
type fixed struct {
	gathered
	Checks []examinedCheck `json:"checks"`
	DryRun bool            `json:"dry_run,omitempty"`
	// Changes are the mends; After is what is left, as findings are.
	Changes []fixedMend        `json:"changes"`
	After   []keepwell.Finding `json:"after"`
	Healthy bool               `json:"healthy"`
}

type fixedMend struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Code    keepwell.Code   `json:"code,omitempty"`
	Title   string          `json:"title"`
	State   mendState       `json:"state"`
	Safety  keepwell.Safety `json:"safety"`
	Concern act.Concern     `json:"concern,omitempty"`
	Gone    bool            `json:"gone"`
	Change  int             `json:"change,omitempty"`
	Undo    string          `json:"undo,omitempty"`
	Error   string          `json:"error,omitempty"`
	Notes   []string        `json:"notes"`
	Steps   []act.Change    `json:"steps"`
}

// end tells what became of it.
func (f *fixing) end(c *doctor.Case, r doctor.Report) error {
	a := f.a
	after, err := a.describe(c, r.Findings, nil)
	if err != nil {
		return err
	}
	healthy := exitFor(after, present.Text) == exitFine
	format := present.Format(a.format)
	a.exit = exitFor(after, format)
	for _, p := range f.all {
		if (p.state == mendAsks || p.state == mendDeclined) && !healthy {
			a.exit = exitApproval
		}
	}
	switch format {
	case present.Text:
		return f.endText(c, r, after, healthy)
	case present.JSON:
		doc := fixed{Checks: examinedChecks(a, r), DryRun: f.o.fix.dryRun, Changes: f.mends(after), After: after, Healthy: healthy}
		if err := stream(&doc.gathered, "doctor", doctorTarget(c), f.before); err != nil {
			return err
		}
		return shown(a, present.Data(a.out, format, doc))
	}
	handler, err := present.New(format, a.out, a.style())
	if err != nil {
		return err
	}
	return stream(handler, "doctor", doctorTarget(c), after)
}

func (f *fixing) mends(after []keepwell.Finding) []fixedMend {
	out := []fixedMend{}
	for _, p := range f.all {
		m := fixedMend{
			ID: p.mend.ID, Name: mask.Text(p.mend.Name()), Code: p.code, Title: f.a.mendTitle(p), State: p.state, Safety: p.safety(),
			Concern: p.concern(), Gone: p.state == mendDone && !foundIn(after, p.code), Change: p.op, Notes: f.a.notes(p), Steps: p.changes,
		}
		if p.op > 0 {
			m.Undo = "keepwell doctor --undo=" + strconv.Itoa(p.op)
		}
		if p.err != nil {
			m.Error = mask.Text(p.err.Error())
		}
		out = append(out, m)
	}
	return out
}

func foundIn(findings []keepwell.Finding, code keepwell.Code) bool {
	return slices.ContainsFunc(findings, func(f keepwell.Finding) bool { return f.Code == code && f.Severity != keepwell.SeverityInfo })
}

func (f *fixing) endText(c *doctor.Case, r doctor.Report, after []keepwell.Finding, healthy bool) error {
	a := f.a
	say := func(key string, args ...any) {
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
	}
	done := slices.ContainsFunc(f.all, func(p *planned) bool { return p.state == mendDone })
	switch {
	case len(f.all) == 0 && !healthy:
		fmt.Fprintln(a.out)
		say("doctor.fix.nothing")
	case len(f.all) == 0:
	case f.o.fix.dryRun:
		say("env.dryrun")
	}
	for _, p := range f.all {
		if p.state == mendAsks {
			say("doctor.fix.needs", a.mendTitle(p), f.howToAgree(p))
		}
	}
	if !done {
		return nil
	}
	fmt.Fprintln(a.out, "\n"+msg.Text(a.lang, "doctor.fix.again"))
	if err := a.showExamined(c, r, after); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	for i, p := range f.all {
		switch {
		case p.state != mendDone || slices.ContainsFunc(f.all[i+1:], func(later *planned) bool { return later.code == p.code && later.state == mendDone }):
		case p.code == "":
		case foundIn(after, p.code):
			say("doctor.fix.stays", p.code, p.op)
		default:
			say("doctor.fix.gone", p.code)
		}
	}
	for name, value := range f.nextShell() {
		command := "export " + faults.Quote(name+"="+value)
		if value == "" {
			command = "unset " + name
		}
		fmt.Fprintln(a.errs, msg.Text(a.lang, "env.nextshell"))
		fmt.Fprintln(a.errs, "  "+present.Visible(mask.Text(command), true))
	}
	say("doctor.fix.undo")
	return nil
}

func (f *fixing) nextShell() map[string]string {
	out := map[string]string{}
	for _, p := range f.all {
		if p.state == mendDone {
			for name, value := range p.mend.Sets {
				out[name] = value
			}
		}
	}
	return out
}

// howToAgree is what a person types in place of an answer.
func (f *fixing) howToAgree(p *planned) string {
	if p.concern() == act.Ordinary && !p.mend.Exact {
		return "keepwell doctor --fix --yes" + f.askedAgain()
	}
	return "keepwell doctor --fix --consent " + faults.Quote(mask.Text(p.mend.Name())) + f.askedAgain()
}

// runDoctorUndo takes back the last run of --fix, newest change first, or one change.
func runDoctorUndo(ctx context.Context, a *app, o fixOptions) error {
	id, err := changeID(o.undo)
	if err != nil {
		return err
	}
	e, err := engine()
	if err != nil {
		return err
	}
	ids := []int{id}
	if id == 0 {
		history, err := e.History()
		if err != nil {
			return actFailure(a, e.Dir, err)
		}
		if ids = lastRun(history); len(ids) == 0 {
			return actFailure(a, "doctor", act.ErrNothing)
		}
	}
	ops := []act.Operation{}
	for _, id := range ids {
		op, recovered, err := e.Undo(ctx, id, "")
		a.tellRecovered(recovered)
		if err != nil {
			return actFailure(a, strings.Join(op.Targets, ", "), err)
		}
		ops = append(ops, op)
		if !present.Format(a.format).Machine() {
			fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "env.undone", op.ID, strings.Join(op.Targets, ", ")), true))
		}
	}
	if present.Format(a.format).Machine() {
		return shown(a, writeDocument(a, struct {
			Command string          `json:"command"`
			Undone  []act.Operation `json:"undone"`
		}{"doctor", ops}))
	}
	return nil
}

// lastRun are the changes of the last run of --fix that hold, newest first.
func lastRun(history []act.Operation) []int {
	var ids []int
	run := ""
	for _, op := range slices.Backward(history) {
		if op.Command != "doctor" || op.State != "held" && op.State != "stuck" {
			continue
		}
		_, of, _ := strings.Cut(op.Note, "@")
		if run == "" {
			run = of
		}
		if of == run {
			ids = append(ids, op.ID)
		}
	}
	return ids
}
