package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

type planOptions struct {
	history bool
	alert   string
	days    int
	source  func() daemon.Source
}

func newPlaybookPlanCmd(a *app) *cobra.Command {
	o := &planOptions{}
	var config, data, database string
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Tell what a playbook would do, or would have done, without doing it / 显示剧本会做什么、或过去会做什么，但不执行",
		Long: "plan goes the whole way of an alert, without effects: which fault it shows, whether the playbook is for it, and what each\n" +
			"step would do (--alert). With --history, the alerts that the server stored are replayed: how often would it have run, on\n" +
			"what, and what would the limits have stopped? What needs the results of real steps is not simulated.\n" +
			"按告警的完整流程演练而不执行：属于哪种故障、剧本是否适用、每个步骤会做什么（--alert）。使用 --history 时重放服务器保存的\n" +
			"告警：会运行多少次、针对哪些对象、哪些会被限制拦下。依赖真实步骤结果的部分不做模拟。",
		Example: "  keepwell playbook plan --alert payload.json redis.yaml\n  keepwell playbook plan --history --data /var/lib/keepwell redis.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || o.history == (o.alert != "") {
				return misused("plan.usage")
			}
			o.source = func() daemon.Source {
				s := daemon.Source{File: config, Environ: os.Environ(), Flags: map[string]string{}}
				for name, value := range map[string]string{"data": data, "database": database} {
					if cmd.Flags().Changed(name) {
						s.Flags[name] = value
					}
				}
				return s
			}
			return runPlaybookPlan(cmd.Context(), a, o, args[0])
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.history, "history", false, "replay the alerts that the server stored / 重放服务器保存的告警")
	flags.IntVar(&o.days, "days", 90, "replay so many days / 重放最近若干天")
	flags.StringVar(&o.alert, "alert", "", "go through the alerts of this `FILE`, a body of Alertmanager's webhook / 演练此文件中的告警（Alertmanager webhook 的正文）")
	flags.StringVar(&config, "config", "", "take the server's configuration from this `FILE` / 服务器配置文件")
	flags.StringVar(&data, "data", "", "the server's data lies in this `DIR` / 服务器的数据目录")
	flags.StringVar(&database, "database", "", "it lies in PostgreSQL, at this `URL` / 数据在 PostgreSQL 中")
	return cmd
}

// planner is what a plan is made with.
type planner struct {
	a        *app
	file     string
	book     *playbook.Program
	program  *autopilot.Program
	programs wire.Programs
	class    *wire.Classifier
}

func runPlaybookPlan(ctx context.Context, a *app, o *planOptions, file string) error {
	if f := present.Format(a.format); f != present.Text && f != present.JSON {
		return misused("err.listformat", a.format)
	}
	p, cfg, err := newPlanner(a, file, o.source())
	if err != nil {
		return err
	}
	if o.history {
		return p.history(ctx, cfg, o.days)
	}
	return p.alerts(ctx, o.alert)
}

// newPlanner reads a playbook, and what of the server's configuration it is planned with.
func newPlanner(a *app, file string, source daemon.Source) (*planner, *daemon.Config, error) {
	text, err := plainfile.Read(file)
	if err != nil {
		return nil, nil, &failure{exit: exitError, key: "play.read", args: []any{err}, hint: "hint.play.read", unwrapped: err}
	}
	book, problems := playbook.Read(text, playbook.Options{Conditions: wire.Conditions(), Name: baseName(file)})
	if book == nil {
		for _, p := range problems {
			fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "play.problem", file, p.Line, p.Column, p.In(a.lang)), true))
		}
		return nil, nil, &failure{exit: exitFaults, key: "plan.unusable", args: []any{file}}
	}
	cfg, err := daemon.Load(source)
	if err != nil {
		return nil, nil, a.badServeConfig(err)
	}
	lib, err := classify.Default()
	if err == nil && cfg.Fingerprints != "" {
		lib, err = lib.With(os.DirFS(cfg.Fingerprints))
	}
	if err != nil {
		return nil, nil, &failure{exit: exitError, key: "plan.fingerprints", args: []any{classify.ErrorWords(err, a.lang)}, unwrapped: err}
	}
	p := &planner{a: a, file: file, book: book, programs: wire.Programs{Actions: daemon.Actions(cfg, source.Environ, a.lang)}, class: &wire.Classifier{Library: lib, Lang: a.lang}}
	if p.program, err = p.programs.Program(book); err != nil {
		return nil, nil, &failure{exit: exitError, key: "plan.unusable", args: []any{file}, unwrapped: err}
	}
	return p, cfg, nil
}

// rehearsed is what a playbook would do about one alert.
type rehearsed struct {
	Alert      string               `json:"alert"`
	Code       keepwell.Code        `json:"code"`
	Title      string               `json:"title"`
	Asset      string               `json:"asset"`
	Priority   keepwell.Priority    `json:"priority"`
	Confidence float64              `json:"confidence"`
	Evidence   []keepwell.Evidence  `json:"evidence"`
	Runs       bool                 `json:"runs"`
	Why        msg.Reason           `json:"why,omitzero"`
	Steps      []autopilot.Foreseen `json:"steps"`
}

// alerts goes through the alerts of a file.
func (p *planner) alerts(ctx context.Context, file string) error {
	found, err := p.read(file)
	if err != nil {
		return err
	}
	all, err := p.rehearse(ctx, file, found)
	if err != nil {
		return err
	}
	if p.a.format == string(present.JSON) {
		return p.a.document(map[string]any{"playbook": p.book.Name, "version": p.book.Version, "alerts": all})
	}
	for i := range all {
		p.tell(&all[i])
	}
	return nil
}

// read reads the alerts of a file.
func (p *planner) read(file string) (found []keepwell.Alert, err error) {
	body, err := plainfile.Read(file)
	if err != nil {
		return nil, &failure{exit: exitError, key: "plan.alert", args: []any{file, err}, unwrapped: err}
	}
	group, err := alerts.Alertmanager(bytes.NewReader(body), alerts.DefaultLimits(), func(a keepwell.Alert) error { found = append(found, a); return nil })
	if err == nil && len(found) == 0 {
		err = errors.Join(append([]error{errors.New("it holds no alert that can be used")}, group.Refused...)...)
	}
	if err != nil {
		return nil, &failure{exit: exitError, key: "plan.alert", args: []any{file, err}, hint: "hint.plan.alert", unwrapped: err}
	}
	return found, nil
}

// rehearse tells what would be done about each of the alerts of a file.
func (p *planner) rehearse(ctx context.Context, file string, found []keepwell.Alert) ([]rehearsed, error) {
	all := make([]rehearsed, 0, len(found))
	for _, alert := range found {
		class, err := p.class.Classify(ctx, alert)
		if err != nil {
			return nil, &failure{exit: exitError, key: "plan.alert", args: []any{file, err}, unwrapped: err}
		}
		out := rehearsed{
			Alert: alert.Name(), Code: or(class.Code, autopilot.Unclassified), Title: class.Title, Asset: class.Asset, Priority: class.Priority,
			Confidence: class.Confidence, Evidence: class.Evidence, Steps: []autopilot.Foreseen{},
		}
		runs, why, steps, err := p.programs.Plan(ctx, p.program, class, alert, time.Now())
		if err != nil {
			why = msg.Of(err)
		}
		out.Runs, out.Why = runs && err == nil, why
		for _, s := range steps {
			for i, line := range s.Does {
				s.Does[i] = msg.Said(line.In(p.a.lang)) // documents hold words, too
			}
			s.Fault = msg.Said(s.Fault.In(p.a.lang))
			out.Steps = append(out.Steps, s)
		}
		all = append(all, out)
	}
	return all, nil
}

// baseName is what the server calls a playbook of a file that names none itself.
func baseName(file string) string {
	return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

func (p *planner) say(key string, args ...any) {
	fmt.Fprintln(p.a.out, present.Visible(msg.Text(p.a.lang, key, args...), true))
}

func (p *planner) tell(out *rehearsed) {
	p.say("plan.class", out.Alert, out.Code, out.Priority, int(math.Round(out.Confidence*100)), out.Asset)
	for _, e := range out.Evidence {
		p.say("plan.evidence", e.Source, e.Text)
	}
	if !out.Runs {
		p.say("plan.notfor", p.book.Name, out.Why.In(p.a.lang))
		return
	}
	p.say("plan.runs", p.book.Name, p.book.Mode)
	p.steps(out.Steps)
}

// steps lists what the steps of a plan would do.
func (p *planner) steps(plan []autopilot.Foreseen) {
	for _, s := range plan {
		switch {
		case s.Skip:
			p.say("plan.skip", s.Name, s.Why.In(p.a.lang))
		case !s.Fault.IsZero():
			p.say("plan.fault", s.Name, s.Fault.In(p.a.lang))
		case s.Approval:
			p.say("plan.approval", s.Name)
		default:
			p.say("plan.step", s.Name)
		}
		for _, line := range s.Does {
			p.say("plan.does", line.In(p.a.lang))
		}
	}
}

// replayed is the report of a back-test.
type replayed struct {
	Playbook string    `json:"playbook"`
	Version  string    `json:"version"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	autopilot.BacktestReport
}

// history replays what the server stored.
func (p *planner) history(ctx context.Context, cfg *daemon.Config, days int) error {
	st, err := p.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // nothing was written
	const day = 24 * time.Hour
	out := replayed{Playbook: p.book.Name, Version: p.book.Version, To: st.Now()}
	out.From = out.To.Add(-time.Duration(max(1, days)) * day)
	out.BacktestReport, err = autopilot.Backtest{Classify: p.class, Program: p.program, From: out.From, To: out.To}.Run(ctx, st.Reader)
	if err != nil {
		words := mask.Text(err.Error())
		if errors.Is(err, autopilot.ErrTooMuch) {
			words = msg.Text(p.a.lang, "why.back.toomuch")
		}
		return &failure{exit: exitError, key: "plan.replay", args: []any{words}, unwrapped: err}
	}
	if p.a.format == string(present.JSON) {
		return p.a.document(out)
	}
	p.say("plan.replayed", out.Alerts, out.Incidents, out.From.Local().Format(time.DateOnly), out.To.Local().Format(time.DateOnly))
	p.say("plan.would", p.book.Name, out.Runs, len(out.Assets))
	p.bars(out.Assets)
	if len(out.Stopped) > 0 {
		p.say("plan.stopped")
		stopped := map[string]int{}
		for check, n := range out.Stopped {
			stopped[msg.Text(p.a.lang, "plan.check."+string(check))] = n
		}
		p.bars(stopped)
	}
	return nil
}

// open opens the server's database; one that is not there is not made.
func (p *planner) open(ctx context.Context, cfg *daemon.Config) (*state.State, error) {
	o, err := daemon.StateOptions(cfg, os.Environ())
	if err == nil && o.Database == "" {
		_, err = os.Stat(filepath.Join(o.Dir, state.File))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exit: exitError, key: "plan.nodata", args: []any{o.Dir}, hint: "hint.plan.nodata", unwrapped: err}
	}
	var st *state.State
	if err == nil {
		st, err = state.Open(ctx, o)
	}
	if err != nil {
		return nil, &failure{exit: exitError, key: "plan.replay", args: []any{mask.Text(err.Error())}, unwrapped: err}
	}
	return st, nil
}

// bars draws counts, the largest first, at most twenty of them.
func (p *planner) bars(counts map[string]int) {
	const widest, most, longest = 40, 20, 24
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	width := 0
	for _, name := range names {
		width = max(width, min(widest, runewidth.StringWidth(present.Visible(name, true))))
	}
	for i, name := range names {
		if i == most {
			p.say("plan.more", len(names)-most)
			return
		}
		shown := runewidth.FillRight(runewidth.Truncate(present.Visible(name, true), widest, "…"), width)
		bar := strings.Repeat("█", max(1, counts[name]*longest/counts[names[0]]))
		fmt.Fprintf(p.a.out, "  %s  %s %d\n", shown, bar, counts[name])
	}
}
