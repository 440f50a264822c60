package web_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/api"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
	"github.com/keepwell/keepwell/internal/web"
)

func TestMain(m *testing.M) { statetest.Main(m) }

// The demo is a server with two months behind it and a few things going on: an engine
// over a database, with classes from labels and effects that are none.

// hostile is what an alert may say. Nothing of it may be markup in a page.
const hostile = `<script>document.title="owned"</script><img src=x onerror=alert(1)>"'&{{.}}`

// backwards has what follows read from right to left.
const backwards = "\u202egpj.exe\u0007"

const password = "correct horse battery"

type demo struct {
	*httptest.Server
	st     *state.State
	engine *autopilot.Engine
	door   *access.Door
}

type byLabels struct{}

func (byLabels) Classify(_ context.Context, a keepwell.Alert) (autopilot.Class, error) {
	return autopilot.Class{
		Code: keepwell.Code(a.Labels["code"]), Asset: a.Labels["instance"], Priority: keepwell.Priority(a.Labels["severity"]), Confidence: 0.93, Title: a.Name(),
		Evidence: []keepwell.Evidence{{Source: "label alertname", Text: a.Name()}, {Source: "annotation summary", Text: a.Annotations["summary"]}},
	}, nil
}

// pretend acts by doing nothing, as the name of its step says.
type pretend struct{ how string }

func (p pretend) Do(context.Context, autopilot.Call) (json.RawMessage, error) {
	switch p.how {
	case "broken":
		return json.RawMessage(`{"code":1,"stderr":"no route to host"}`), errors.New("exit status 1")
	case "unsure":
		return nil, fmt.Errorf("the connection broke: %w", autopilot.ErrUnsure)
	}
	return json.Marshal(map[string]any{"code": 0, "output": "freed 412 MiB " + hostile})
}

// compile makes a program of a playbook's trigger and steps.
func compile(text string) (*autopilot.Program, error) {
	p, problems := playbook.Read([]byte(text), playbook.Options{})
	if p == nil {
		return nil, fmt.Errorf("%v", problems)
	}
	prog := &autopilot.Program{Match: func(_ context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
		for _, t := range p.Trigger {
			if strings.ReplaceAll(f.Incident.Code.Name(), "-", "_") == strings.ReplaceAll(t, "-", "_") {
				return true, msg.Reason{}, nil
			}
		}
		return false, msg.Because("why.notfor", strings.Join(p.Trigger, ", ")), nil
	}}
	for _, s := range p.Steps {
		step := autopilot.Step{Name: s.Name, Kind: s.Action.Kind, Action: pretend{s.Name}}
		step.Input = func(_ context.Context, f autopilot.Facts) (json.RawMessage, error) {
			return json.Marshal(map[string]string{"asset": f.Incident.Asset, "said": f.Alert.Annotations["summary"]})
		}
		if s.Approval != nil {
			step.Approval = &autopilot.Approval{Ask: "May " + s.Name + " be done?", Expires: 40 * time.Minute, Another: true}
		}
		if s.Name == "evict" {
			step.Undo = &autopilot.Step{Name: "restore", Kind: "run_script", Action: pretend{}}
		}
		prog.Steps = append(prog.Steps, step)
	}
	return prog, nil
}

func book(name, trigger, steps string) string {
	return fmt.Sprintf("name: %s\ntitle: \"What to do about %s\"\ntitle_zh: \"处理 %s\"\ntrigger: %s\nactions:\n%s", name, trigger, trigger, trigger, steps)
}

const step = "  - run_script: {script: %[1]s, args: [\"--\", \"{{ .labels.instance }}\"]}\n    name: %[1]s\n"

func newDemo(t *testing.T, o state.Options, fill bool) *demo {
	t.Helper()
	ctx := t.Context()
	var past atomic.Int64 // how long ago it is
	o.Now = func() time.Time { return time.Now().Add(-time.Duration(past.Load())) }
	st := statetest.Open(t, o)
	door, err := access.Open(st, access.Options{})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := autopilot.Open(ctx, st, autopilot.Options{Classifier: byLabels{}, Compile: compile, Describe: func(kind string, input json.RawMessage) ([]msg.Reason, msg.Reason) {
		return []msg.Reason{msg.Said(kind + " promote"), msg.Because("plan.line.with", "SAID", string(input))}, msg.Because("do.script.nodir")
	}})
	if err == nil {
		err = engine.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	for name, role := range map[string]access.Role{"vic": access.Viewer, "ann": access.Operator, "root": access.Admin} {
		if _, err := door.AddUser(ctx, "user:root", name, role, password); err != nil {
			t.Fatal(err)
		}
	}
	key, err := journal.OpenKey(o.Dir + "/" + journal.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{st: st, engine: engine, door: door}
	if fill {
		d.past(t, &past)
		d.present(t)
		if err := journal.Checkpoint(ctx, st, key); err != nil {
			t.Fatal(err)
		}
	}
	stopping := make(chan struct{})
	pages, err := web.New(web.Options{State: st, Engine: engine, Door: door, Classifier: byLabels{}, Compile: compile, Trust: journal.Trust{Pinned: []ed25519.PublicKey{key.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	programs, err := api.New(api.Options{State: st, Engine: engine, Door: door, Stopping: stopping})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/api/", programs)
	mux.Handle("/", pages)
	d.Server = httptest.NewServer(door.Handler(mux))
	t.Cleanup(func() { close(stopping); d.Close() })
	return d
}

// past stores two months: first people repair, later more and more playbooks do.
func (d *demo) past(t *testing.T, ago *atomic.Int64) {
	t.Helper()
	ctx := t.Context()
	codes := []keepwell.Code{"ops/redis-memory-high", "ops/disk-full", "ops/certificate-expiring", "ops/pod-crash-loop", "ops/replication-lag", "ops/slow-queries"}
	assets := []string{"redis-01:6379", "redis-02:6379", "db-primary", "db-replica-3", "web-07", "edge-paris", "支付服务-03"}
	for i := range 240 {
		age := time.Duration(240-i) * 6 * time.Hour
		took, mode := time.Duration(20+i*37%160)*time.Minute, ""
		if i > 100 && i%4 != 0 {
			took, mode = time.Duration(25+i*13%95)*time.Second, "active"
		}
		ago.Store(int64(age))
		err := d.st.Tx(ctx, func(tx *state.Tx) error {
			inc, _, err := tx.JoinIncident(ctx, state.Incident{Code: codes[i*i%len(codes)], Asset: assets[i*3%len(assets)], Priority: keepwell.Priorities()[1+i%4], Confidence: 0.9, Title: "past"})
			if err != nil {
				return err
			}
			if mode != "" {
				run, _, err := tx.StartRun(ctx, state.Run{Playbook: "redis-memory", Incident: inc.ID, Asset: inc.Asset, Mode: mode, Unique: fmt.Sprint("past", i), Reason: msg.Because("why.trigger.opened").String()})
				if err != nil {
					return err
				}
				to := state.RunDone
				if i%13 == 0 {
					to = state.RunFailed
				}
				if i%9 == 0 {
					a, _, err := tx.Ask(ctx, state.Approval{Run: run.ID, Reason: "May it?", Expires: tx.Now().Add(time.Hour), AskedBy: autopilot.Actor})
					if err != nil {
						return err
					}
					if _, err := tx.Decide(ctx, a.ID, state.ApprovalGranted, "user:ann", "looks right"); err != nil {
						return err
					}
				}
				if err := tx.MoveRun(ctx, run.ID, to, ""); err != nil {
					return err
				}
			}
			ago.Store(int64(age - took))
			return tx.ResolveIncident(ctx, inc.ID, "resolved")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ago.Store(0)
}

// present has the engine work: a run that helps, one that waits for a person, one that
// fails, one of which nobody knows, and an alert that nobody knows.
func (d *demo) present(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for name, text := range map[string]string{
		"redis-memory": book("redis-memory", "redis_memory_high", fmt.Sprintf(step, "evict")+"  - notify_slack: \"#infra-alerts\"\n    name: tell\n"),
		"failover":     book("failover", "replication_lag", fmt.Sprintf(step, "promote")+"    approval: {by: operator, within: 40m}\n"),
		"disk":         book("disk", "disk_full", fmt.Sprintf(step, "broken")),
		"restart":      book("restart", "pod_crash_loop", fmt.Sprintf(step, "unsure")),
		"certificate":  book("certificate", "certificate_expiring", fmt.Sprintf(step, "renew")),
		"slow-queries": book("slow-queries", "slow_queries", fmt.Sprintf(step, "explain")),
	} {
		mode := state.ModeActive
		if name == "certificate" {
			mode = state.ModeObserve
		}
		if err := d.engine.Install(ctx, name, autopilot.AnyVersion, text, "playbooks/"+name+".yaml", mode, 0, "user:root"); err != nil {
			t.Fatal(err)
		}
	}
	alert := func(code, asset, priority, summary string) keepwell.Alert {
		return keepwell.Alert{
			Fingerprint: code + asset, Status: keepwell.AlertFiring, Source: "alertmanager", StartsAt: time.Now().Add(-time.Minute),
			Labels:      map[string]string{"alertname": "Alert of " + code, "code": code, "instance": asset, "severity": priority},
			Annotations: map[string]string{"summary": summary},
		}
	}
	redis := alert("ops/redis-memory-high", "redis-01:6379", "P1", "memory of redis-01 above 90 % since a minute")
	if _, err := d.engine.Ingest(ctx, []keepwell.Alert{
		redis,
		alert("ops/redis-memory-high", "redis-02:6379", "P1", "memory above 90 %"),
		alert("ops/replication-lag", "db-replica-3", "P0", "db-replica-3 is 312 s behind"+backwards+hostile),
		alert("ops/disk-full", "web-07", "P2", "3 % left on /var"),
		alert("ops/pod-crash-loop", "支付服务-03", "P1", "重启了 14 次"),
		alert("ops/certificate-expiring", "edge-paris", "P3", "9 days left"),
		alert("", hostile, "P4", hostile),
	}); err != nil {
		t.Fatal(err)
	}
	d.until(t, "all runs end or wait", func() bool {
		runs, err := d.st.Runs(ctx, state.RunFilter{}, state.Page{Limit: 6})
		if err != nil {
			t.Fatal(err)
		}
		settled := 0
		for _, r := range runs {
			if r.State.Final() || r.State == state.RunWaiting {
				settled++
			}
		}
		open, err := d.st.CountIncidents(ctx, state.IncidentFilter{State: state.IncidentOpen})
		return err == nil && settled == 6 && open == 7
	})
	over := redis
	over.Status, over.EndsAt = keepwell.AlertResolved, time.Now()
	if _, err := d.engine.Ingest(ctx, []keepwell.Alert{over}); err != nil {
		t.Fatal(err)
	}
	d.until(t, "the incident is resolved", func() bool {
		n, err := d.st.CountIncidents(ctx, state.IncidentFilter{State: state.IncidentOpen})
		return err == nil && n == 6
	})
	if _, err := d.engine.Mute(ctx, "asset:edge-*", time.Now().Add(3*time.Hour), "user:ann", "moving the edge"); err != nil {
		t.Fatal(err)
	}
}

func (d *demo) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	statetest.Until(t, what, ok, func() any {
		runs, _ := d.st.Runs(t.Context(), state.RunFilter{}, state.Page{Limit: 10})
		return runs
	})
}

// find returns the open incident of a code.
func (d *demo) find(t *testing.T, code keepwell.Code) state.Incident {
	t.Helper()
	list, err := d.st.Incidents(t.Context(), state.IncidentFilter{Code: code, State: state.IncidentOpen}, state.Page{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %v %v", code, list, err)
	}
	return list[0]
}

// client is a browser without scripts.
func (d *demo) client(t *testing.T, name, lang string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(at, []*http.Cookie{{Name: "kw_lang", Value: lang}})
	c := &http.Client{Jar: jar}
	if name != "" {
		r, err := c.PostForm(d.URL+"/login", url.Values{"name": {name}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || r.Request.URL.Path != "/" {
			t.Fatalf("login: %d %s", r.StatusCode, r.Request.URL)
		}
	}
	return c
}
