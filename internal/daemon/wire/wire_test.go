package wire_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }

const book = `
name: redis-memory
trigger: redis_memory_high
vars: {host: '{{ .labels.instance }}'}
cooldown: 0s
max_runs: 6 per 1h
blast_radius: 5 per 2h
concurrency: {per_target: 2, global: 3}
maintenance: [{cron: "0 2 * * 6", duration: 2h}]
actions:
  - run_script: {script: evict, args: ["--", "{{ .vars.host }}"]}
    name: evict
    verify: {promql: {query: 'redis_memory{instance="{{ .vars.host }}"}', expect: "< 0.8"}, attempts: 3, every: 1s}
  - notify_slack: "#infra-alerts"
  - wait: 1s
  - notify_slack: {channel: "#all", text: 'evicted on {{ .asset }} in run {{ .run.id }}'}
    if: 'steps.evict.code == 0 && labels.team == "core"'
  - create_ticket: if_severity > P1
on_failure:
  - notify_slack: "#oncall"
`

// outside are Prometheus and Slack.
type outside struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	posts []string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if r.URL.Path == "/api/v1/query" {
			o.asked = append(o.asked, r.URL.Query().Get("query"))
			value := "0.95"
			if len(o.asked) > 1 {
				value = "0.4" // helped, at the second look
			}
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"`+value+`"]}]}}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		o.posts = append(o.posts, string(body))
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(o.Close)
	return o
}

func redis() keepwell.Alert {
	return keepwell.Alert{
		Fingerprint: "a", Status: keepwell.AlertFiring, Source: "test", StartsAt: time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC),
		Labels: map[string]string{"alertname": "RedisMemoryUsage", "instance": "cache-1:9121", "severity": "warning", "team": "core"},
	}
}

func library(t *testing.T) *classify.Library {
	t.Helper()
	l, err := classify.Default()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// scripts makes a directory with a script that notes its arguments.
func scripts(t *testing.T) (dir, noted string) {
	t.Helper()
	dir, noted = t.TempDir(), filepath.Join(t.TempDir(), "noted")
	text := "#!/bin/sh\nprintf '%s\\n' \"$@\" >>" + noted + "\necho begins\necho evicted 7 keys\n"
	if err := os.WriteFile(filepath.Join(dir, "evict"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, noted
}

// TestChain follows an alert to the end of a real playbook.
func TestChain(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st, out := statetest.Open(t, o), newOutside(t)
		dir, noted := scripts(t)
		set := actions.New(actions.Options{
			Scripts: actions.Scripts{Dirs: []string{dir}}, Prometheus: out.URL,
			Receivers: map[string]actions.Receiver{"slack": {Type: "slack", URL: out.URL + "/slack"}},
		})
		programs := wire.Programs{Actions: func() *actions.Set { return set }, Firing: st.Firing}
		e, err := autopilot.Open(t.Context(), st, autopilot.Options{Classifier: &wire.Classifier{Library: library(t)}, Compile: programs.Compile})
		if err == nil {
			err = e.Start(t.Context())
		}
		if err == nil {
			err = e.Install(t.Context(), "redis-memory", autopilot.AnyVersion, book, "test", state.ModeActive, 0, "user:ann")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := e.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}()
		if _, err := e.Ingest(t.Context(), []keepwell.Alert{redis()}); err != nil {
			t.Fatal(err)
		}
		run := finished(t, st)
		steps, err := st.Steps(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps {
			got = append(got, s.Name+" "+string(s.Status))
		}
		want := []string{"evict done", "verify evict failed", "verify evict done", "2-notify_slack done", "3-wait done", "4-notify_slack done", "5-create_ticket skipped"}
		if run.State != state.RunDone || !slices.Equal(got, want) {
			t.Errorf("run %s (%s), steps %q, want %q", run.State, run.Error, got, want)
		}
		if text, _ := os.ReadFile(noted); string(text) != "--\ncache-1:9121\n" {
			t.Errorf("the script was given %q", text)
		}
		out.mu.Lock()
		defer out.mu.Unlock()
		if len(out.posts) != 2 || !strings.Contains(out.posts[0], `(playbook redis-memory)\nevict: done and verified: evicted 7 keys"`) || !strings.Contains(out.posts[1], "evicted on instance/cache-1:9121 in run 1") || out.asked[0] != `redis_memory{instance="cache-1:9121"}` {
			t.Errorf("posts %q, asked %q", out.posts, out.asked)
		}
	})
}

// finished waits for the end of the one run.
func finished(t *testing.T, st *state.State) state.Run {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		runs, err := st.Runs(t.Context(), state.RunFilter{Playbook: "redis-memory"}, state.Page{})
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) == 1 && runs[0].State.Final() {
			return runs[0]
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no run ended: %+v", runs)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	compile := func(text string) autopilot.Policy {
		p, err := wire.Programs{}.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		return p.Policy
	}
	p := compile(book)
	open := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC) // a Saturday
	if ok, why := p.Window(open); ok || why.IsZero() {
		t.Errorf("a window that is open: %v %q", ok, why.In(msg.EN))
	}
	if ok, _ := p.Window(open.AddDate(0, 0, 1)); !ok {
		t.Error("a window that is closed holds back")
	}
	p.Window = nil
	want := `{"Cooldown":-1,"MaxRuns":6,"MaxRunsIn":3600000000000,"Concurrency":3,"PerTarget":2,"MaxAssets":5,"MaxAssetsIn":7200000000000,"Failures":0,"Ineffective":0,"Refire":0,"Reopen":0,"Undo":false}`
	if got, _ := json.Marshal(p); string(got) != want {
		t.Errorf("policy %s\nwant   %s", got, want)
	}
	if got := compile("trigger: a/b\nactions: [wait: 1s]\n").Cooldown; got != 5*time.Minute {
		t.Errorf("the usual cooldown is %s", got)
	}
	if _, err := (wire.Programs{}).Compile("trigger: a/b\nactions:\n  - wait: 1s\n    if: 'labels.team =='\n"); err == nil {
		t.Error("a broken condition was compiled")
	}
}

// TestMatch: trigger, labels and condition, each with its reason.
func TestMatch(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"":                                         "",
		"match: {labels: {team: [data, web]}}":     "the label team is not one of: data, web",
		"match: {if: 'labels.team == \"data\"'}":   `condition does not hold: labels.team == "data"`,
		"match: {if: 'labels.zone == \"here\"'}":   `condition does not hold: labels.zone == "here"`, // no such label
		"match: {if: 'if_severity < P1'}":          "",
		"severity: P1\nmatch: {if: 'severity<P1'}": "condition does not hold: severity<P1",
	} {
		programs := wire.Programs{Actions: func() *actions.Set { return actions.New(actions.Options{}) }}
		p, err := programs.Compile("trigger: redis_memory_high\n" + change + "\nactions:\n  - create_ticket: if_severity > P1\n  - notify_slack: '#a'\n")
		if err != nil {
			t.Errorf("%s: %v", change, err)
			continue
		}
		class, err := (&wire.Classifier{Library: library(t)}).Classify(t.Context(), redis())
		if err != nil {
			t.Fatal(err)
		}
		ok, why, steps, err := programs.Plan(t.Context(), p, class, redis(), time.Now())
		if err != nil || ok != (want == "") || why.In(msg.EN) != want {
			t.Errorf("%s: %v %q %v, want %q", change, ok, why.In(msg.EN), err, want)
		}
		if ok && (len(steps) != 2 || !steps[0].Skip || steps[1].Fault.In(msg.ZH) != "没有接收方 \"slack\"（提示：服务器配置的 notify.slack）") { // there is no such receiver
			t.Errorf("%s: plan %+v", change, steps)
		}
	}
}

// TestClassify: what is unknown stays so, and metrics make surer.
func TestClassify(t *testing.T) {
	t.Parallel()
	c := &wire.Classifier{Library: library(t)}
	plain, err := c.Classify(t.Context(), redis())
	if err != nil || plain.Code != "ops/redis-memory-high" || plain.Title == "" || plain.Asset == "" || len(plain.Evidence) == 0 {
		t.Errorf("class %+v, %v", plain, err)
	}
	unknown, err := c.Classify(t.Context(), keepwell.Alert{Labels: map[string]string{"alertname": "Zorp", "instance": "x"}})
	if err != nil || unknown.Code != "" || unknown.Title != "Zorp" {
		t.Errorf("class %+v, %v", unknown, err)
	}
	for name, m := range map[string]metrics{"holds": {holds: true}, "fails": {err: io.ErrUnexpectedEOF}, "none": {}} {
		told := false
		c := &wire.Classifier{Library: library(t), Metrics: &m, Failed: func(error) { told = true }}
		got, err := c.Classify(t.Context(), redis())
		if err != nil || m.asked == 0 {
			t.Errorf("%s: %v, asked %d", name, err, m.asked)
		}
		if surer := got.Confidence > plain.Confidence; surer != m.holds || name == "none" && got.Confidence >= plain.Confidence || told && m.err == nil {
			t.Errorf("%s: confidence %v, before %v", name, got.Confidence, plain.Confidence)
		}
	}
}

type metrics struct {
	holds bool
	err   error
	asked int
}

func (m *metrics) Holds(context.Context, string, time.Time) (bool, error) {
	m.asked++
	return m.holds, m.err
}

// TestDescribe: who approves sees what will run, with nothing hidden by what a label says.
func TestDescribe(t *testing.T) {
	t.Parallel()
	set := actions.New(actions.Options{})
	c := wire.Programs{Actions: func() *actions.Set { return set }}
	text := func(parts ...playbook.Piece) playbook.Filled { return playbook.Filled{Text: parts} }
	input, err := json.Marshal(playbook.Input{Kind: "http", Params: map[string]playbook.Filled{
		"url":     text(playbook.Piece{Text: "https://h.example.org/\u202ex\nrun /bin/true"}),
		"headers": {Pairs: []playbook.FilledPair{{Name: "Authorization", Text: playbook.Sealed{{Secret: "deploy"}}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	does, fault := c.Describe("http", input)
	var shown []string
	for _, line := range does {
		shown = append(shown, line.In(msg.EN))
	}
	all := strings.Join(shown, "\n")
	if !strings.Contains(all, "⟨U+202E⟩x") || strings.Contains(all, "\u202e") || strings.Contains(all, "\nrun /bin/true") || fault.IsZero() {
		t.Errorf("%q, %+v", all, fault)
	}
	if !strings.Contains(all, "deploy") && !strings.Contains(all, "***") {
		t.Errorf("the secret is not referred to: %q", all)
	}
}
