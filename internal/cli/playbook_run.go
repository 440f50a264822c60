package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

type runBookOptions struct {
	alert, config, server, tokenFile, why string
	incident                              int64
	yes, dryRun                           bool
}

func newPlaybookRunCmd(a *app) *cobra.Command {
	o := &runBookOptions{}
	cmd := &cobra.Command{
		Use:   "run FILE|NAME",
		Short: "Run a playbook once, by hand: here, or on the server / 手动执行一次剧本：在本机或由服务器执行",
		Long: "run shows what a playbook would do, asks, and does it once. With --alert FILE it runs here, for the alert of the file,\n" +
			"without a server; the journal is kept. With --incident ID the server at --server runs the playbook of this NAME.\n" +
			"Cooldowns, breakers and mutes hold automation back, not people; approvals hold people, too. The exit code is 3\n" +
			"where a step failed, 4 where somebody has to approve.\n" +
			"先显示剧本会做什么，询问后执行一次。使用 --alert FILE 时在本机针对文件中的告警执行，不需要服务器，并保存日志；\n" +
			"使用 --incident ID 时由 --server 的服务器执行名为 NAME 的剧本。冷却、熔断和静默只限制自动执行，不限制人；\n" +
			"批准同样约束人。步骤失败时退出码为 3，需要他人批准时为 4。",
		Example: "  keepwell playbook run --alert payload.json --config serve.yaml redis.yaml\n  keepwell playbook run --incident 12 --token-file token redis_memory_high",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || (o.alert != "") == (o.incident > 0) {
				return misused("runbook.usage")
			}
			if f := present.Format(a.format); f != present.Text && f != present.JSON {
				return misused("err.listformat", a.format)
			}
			if o.alert != "" {
				return a.runBookHere(cmd.Context(), o, args[0])
			}
			return a.runBookThere(cmd.Context(), o, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.alert, "alert", "", "run here for the alert of this `FILE`, a body of Alertmanager's webhook / 在本机针对此文件中的告警执行")
	flags.StringVar(&o.config, "config", "", "take scripts, receivers and so on from this `FILE` of the server / 服务器配置文件（脚本、通知等）")
	flags.Int64Var(&o.incident, "incident", 0, "have the server run it for the incident with this `ID` / 由服务器针对此事件执行")
	flags.StringVar(&o.server, "server", "", "the server's `URL` (default: KEEPWELL_SERVER, or http://127.0.0.1:9620) / 服务器地址")
	flags.StringVar(&o.tokenFile, "token-file", "", "the `FILE` with a token of the scope api (default: KEEPWELL_TOKEN) / 令牌文件")
	flags.StringVar(&o.why, "why", "", "say `WHY`, for the journal / 原因，写入日志")
	flags.BoolVar(&o.yes, "yes", false, "do not ask / 不再询问")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and stop / 只显示，不执行")
	return cmd
}

// ranBook is what a run by hand came to, for programs.
type ranBook struct {
	Playbook string               `json:"playbook"`
	Plan     []autopilot.Foreseen `json:"plan"`
	Run      *state.Run           `json:"run,omitempty"`
	Steps    []state.Step         `json:"steps,omitempty"`
	// Journal is the file in which all of a run here is written down.
	Journal string `json:"journal,omitempty"`
}

// agreed asks whether a plan is to be carried out; nothing of it has been done.
func (a *app) agreed(ctx context.Context, o *runBookOptions) error {
	if o.yes {
		return nil
	}
	ask := asker(ctx, a)
	if ask == nil {
		return &failure{exit: exitApproval, key: "runbook.ask", hint: "hint.runbook.ask"}
	}
	ok, err := ask(ctx, act.Change{})
	if err == nil && !ok {
		err = errors.New(msg.Text(a.lang, "runbook.no"))
	}
	if err != nil {
		return &failure{exit: exitApproval, key: "runbook.declined", args: []any{err}, unwrapped: err}
	}
	return nil
}

// toldSteps writes down steps as they end.
func (a *app) toldStep(s state.Step) {
	if present.Format(a.format).Machine() {
		return
	}
	words := msg.ParseReason(s.Error).In(a.lang)
	switch s.Status {
	case state.StepDone:
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "runbook.done", s.Name, a.lasted(s.Ended.Sub(s.Intended))), true))
	case state.StepSkipped:
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "runbook.skipped", s.Name, words), true))
	default:
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "runbook.failed", s.Name, words), true))
	}
}

// lasted is a time for people, to the hundredth.
func (a *app) lasted(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// end tells how a run ended, by words and the exit code.
func (a *app) endedRun(doc *ranBook) error {
	if present.Format(a.format).Machine() {
		return a.document(doc)
	}
	key := "runbook.ended." + string(doc.Run.State)
	fmt.Fprintln(a.out, present.Visible(strings.TrimSpace(msg.Text(a.lang, key, msg.ParseReason(doc.Run.Error).In(a.lang))), true))
	if doc.Run.State != state.RunDone {
		a.exit = exitFaults
	}
	return nil
}

// needsPerson names the first step of a plan that somebody has to approve.
func needsPerson(plan []autopilot.Foreseen) (string, bool) {
	i := slices.IndexFunc(plan, func(s autopilot.Foreseen) bool { return s.Approval && !s.Skip })
	if i < 0 {
		return "", false
	}
	return plan[i].Name, true
}

// impossible is the first step of a plan that cannot be done, whoever agrees to it. What
// depends on the steps before it may be.
func impossible(plan []autopilot.Foreseen) (autopilot.Foreseen, bool) {
	i := slices.IndexFunc(plan, func(s autopilot.Foreseen) bool { return !s.Skip && s.Input != nil && !s.Fault.IsZero() })
	if i < 0 {
		return autopilot.Foreseen{}, false
	}
	return plan[i], true
}

// runBookHere runs a playbook in this process.
func (a *app) runBookHere(ctx context.Context, o *runBookOptions, file string) error {
	p, _, err := newPlanner(a, file, daemon.Source{File: o.config, Environ: os.Environ(), Flags: map[string]string{}})
	if err != nil {
		return err
	}
	found, err := p.read(o.alert)
	if err != nil {
		return err
	}
	all, err := p.rehearse(ctx, o.alert, found)
	if err != nil {
		return err
	}
	chosen := slices.IndexFunc(all, func(r rehearsed) bool { return r.Runs })
	for i := range all {
		if i != chosen && all[i].Runs {
			return misused("runbook.several", o.alert)
		}
	}
	if chosen < 0 {
		for i := range all {
			p.tell(&all[i])
		}
		return &failure{exit: exitError, key: "runbook.notfor", args: []any{p.book.Name}, hint: "hint.runbook.notfor"}
	}
	doc := &ranBook{Playbook: p.book.Name, Plan: all[chosen].Steps}
	if !present.Format(a.format).Machine() {
		p.tell(&all[chosen])
	}
	if o.dryRun {
		return a.document(doc)
	}
	step, needs := needsPerson(doc.Plan)
	if cannot, ok := impossible(doc.Plan); ok && (needs || !o.yes && asker(ctx, a) == nil) {
		return &failure{exit: exitError, key: "runbook.cannot", args: []any{cannot.Name, cannot.Fault.In(a.lang)}}
	}
	if needs {
		return &failure{exit: exitApproval, key: "runbook.approval", args: []any{step}, hint: "hint.runbook.approval"}
	}
	if err := a.agreed(ctx, o); err != nil {
		return err
	}
	dir, err := runDir(p.book.Name, time.Now())
	if err != nil {
		return &failure{exit: exitError, key: "runbook.dir", args: []any{err}, unwrapped: err}
	}
	program, err := os.Executable()
	if err != nil {
		return &failure{exit: exitError, key: "serve.start", args: []any{err}, unwrapped: err}
	}
	source := daemon.Source{File: o.config, Environ: os.Environ(), Flags: map[string]string{"data": filepath.Join(dir, "state"), "database": "", "playbooks.dir": ""}}
	form := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: slog.LevelError}))
	out, err := daemon.Once(ctx, daemon.Options{
		Source: source, Lang: a.lang, Log: form, Version: version(), Launcher: []string{program, launchScript}, Doctor: a.examine,
	}, daemon.Occasion{Name: p.book.Name, Text: p.book.Text, Alert: found[chosen], By: "cli", Why: cmp.Or(o.why, "by hand"), Tell: a.toldStep})
	if kept := keepJournal(dir, out.Journal); kept == nil {
		doc.Journal = filepath.Join(dir, "journal.jsonl")
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "runbook.journal", doc.Journal), true))
	} else {
		err = errors.Join(err, kept)
	}
	if err != nil {
		return &failure{exit: exitError, key: "runbook.run", args: []any{p.book.Name, mask.Text(err.Error())}, unwrapped: err}
	}
	doc.Run, doc.Steps = &out.Run, out.Steps
	return a.endedRun(doc)
}

// runDir makes the directory in which a run here is written down.
func runDir(name string, now time.Time) (string, error) {
	home, _ := os.UserHomeDir()
	base, err := act.StateDir(runtime.GOOS, os.Getenv, home)
	if err != nil {
		return "", err
	}
	base = filepath.Join(base, "runs")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(base, now.UTC().Format("20060102T150405Z-")+name+"-")
}

// keepJournal writes the journal of a run and removes the rest.
func keepJournal(dir string, records []journal.Record) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), lines.Bytes(), 0o600); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, "state"))
}

// runBookThere has a server run a playbook.
func (a *app) runBookThere(ctx context.Context, o *runBookOptions, name string) error {
	s, err := newServerAPI(o)
	if err != nil {
		return err
	}
	doc := &ranBook{Playbook: name}
	var plan struct {
		Items []autopilot.Foreseen `json:"items"`
	}
	what := map[string]any{"playbook": name, "incident": o.incident}
	if err := s.ask(ctx, a.lang, http.MethodPost, "/runs/plan", what, &plan); err != nil {
		return err
	}
	doc.Plan = plan.Items
	if !present.Format(a.format).Machine() {
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "runbook.there", name, o.incident, s.base), true))
		a.foretold(doc.Plan)
	}
	if o.dryRun {
		return a.document(doc)
	}
	if err := a.agreed(ctx, o); err != nil {
		return err
	}
	what["why"] = cmp.Or(o.why, "by hand")
	doc.Run = &state.Run{}
	if err := s.ask(ctx, a.lang, http.MethodPost, "/runs", what, doc.Run); err != nil {
		return err
	}
	return a.followRun(ctx, s, doc)
}

// followRun waits for a run of a server.
func (a *app) followRun(ctx context.Context, s *serverAPI, doc *ranBook) error {
	where := fmt.Sprintf("/runs/%d", doc.Run.ID)
	told := map[state.StepKey]bool{}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		var now struct {
			Run       state.Run        `json:"run"`
			Steps     []state.Step     `json:"steps"`
			Approvals []state.Approval `json:"approvals"`
		}
		if err := s.ask(ctx, a.lang, http.MethodGet, where, nil, &now); err != nil {
			if ctx.Err() == nil {
				return err
			}
			return &failure{exit: exitError, key: "runbook.left", args: []any{s.base + where[1:]}, unwrapped: err}
		}
		*doc.Run, doc.Steps = now.Run, now.Steps
		for _, step := range now.Steps {
			if step.Status.Final() && !told[step.StepKey] {
				told[step.StepKey] = true
				a.toldStep(step)
			}
		}
		if now.Run.State.Final() {
			return a.endedRun(doc)
		}
		if slices.ContainsFunc(now.Approvals, func(p state.Approval) bool { return p.State == state.ApprovalAsked }) {
			if err := a.document(doc); err != nil {
				return err
			}
			return &failure{exit: exitApproval, key: "runbook.waits", args: []any{now.Run.ID}, hint: "hint.runbook.waits", hintArgs: []any{s.page(now.Run.ID)}}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &failure{exit: exitError, key: "runbook.left", args: []any{s.page(now.Run.ID)}, unwrapped: ctx.Err()}
		}
	}
}

// foretold lists what steps would do.
func (a *app) foretold(plan []autopilot.Foreseen) {
	p := &planner{a: a}
	p.steps(plan)
}

// serverAPI is the interface of a server.
type serverAPI struct {
	base, token string
	client      *http.Client
}

func newServerAPI(o *runBookOptions) (*serverAPI, error) {
	s := &serverAPI{base: strings.TrimSuffix(cmp.Or(o.server, os.Getenv("KEEPWELL_SERVER"), "http://127.0.0.1:9620"), "/"), token: os.Getenv("KEEPWELL_TOKEN")}
	u, err := url.Parse(s.base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, misused("runbook.server", mask.Text(s.base))
	}
	if o.tokenFile != "" {
		text, err := plainfile.Read(o.tokenFile)
		if err != nil {
			return nil, &failure{exit: exitError, key: "runbook.token", args: []any{err}, unwrapped: err}
		}
		s.token = strings.TrimSpace(string(text))
	}
	if s.token == "" {
		return nil, &failure{exit: exitApproval, key: "runbook.notoken", hint: "hint.runbook.notoken"}
	}
	// The token goes to this server alone: no redirect takes it elsewhere.
	s.client = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s, nil
}

func (s *serverAPI) page(run int64) string { return fmt.Sprintf("%s/runs/%d", s.base, run) }

// ask sends a request and reads the answer.
func (s *serverAPI) ask(ctx context.Context, lang msg.Lang, method, path string, body, into any) error {
	const most = 8 << 20
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+"/api/v1"+path, send)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Accept-Language", string(lang))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Do(req)
	if err != nil {
		return &failure{exit: exitError, key: "runbook.reach", args: []any{s.base, mask.Text(err.Error())}, hint: "hint.runbook.reach", unwrapped: err}
	}
	defer res.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return &failure{exit: exitError, key: "runbook.reach", args: []any{s.base, mask.Text(err.Error())}, hint: "hint.runbook.reach", unwrapped: err}
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		var problem struct{ Title, Detail string }
		_ = json.Unmarshal(text, &problem) // what is no problem document has its status alone
		exit := exitError
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			exit = exitApproval
		}
		return &failure{exit: exit, key: "runbook.refused", args: []any{s.base, res.Status, mask.Text(cmp.Or(problem.Detail, problem.Title))}}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &failure{exit: exitError, key: "runbook.reach", args: []any{s.base, err}, hint: "hint.runbook.reach", unwrapped: err}
	}
	return nil
}
