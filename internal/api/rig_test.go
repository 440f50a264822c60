package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }

const (
	password = "correct horse battery"
	bookFree = "trigger: ops/redis-memory-high\nactions:\n  - notify_slack: \"#infra\"\n"
	bookAsks = bookFree + "# asks\n"
)

// labels classifies by labels.
type labels struct{}

func (labels) Classify(_ context.Context, a keepwell.Alert) (autopilot.Class, error) {
	return autopilot.Class{Code: keepwell.Code(a.Labels["code"]), Asset: a.Labels["instance"], Priority: keepwell.P1, Confidence: 0.9, Title: a.Annotations["summary"]}, nil
}

type nothing struct{}

func (nothing) Do(context.Context, autopilot.Call) (json.RawMessage, error) {
	return json.RawMessage(`{"said":"done"}`), nil
}

// compile makes a program with one step, which asks where the text says so.
func compile(text string) (*autopilot.Program, error) {
	step := autopilot.Step{Name: "tell", Kind: "notify_slack", Action: nothing{}, Undo: &autopilot.Step{Name: "untell", Kind: "notify_slack", Action: nothing{}}}
	if strings.Contains(text, "# asks") {
		step.Approval = &autopilot.Approval{Ask: "may it?", Another: true}
	}
	return &autopilot.Program{Steps: []autopilot.Step{step}, Match: func(_ context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
		return f.Incident.Code == "ops/redis-memory-high", msg.Said("its fault"), nil
	}}, nil
}

// safeBuffer is a log that is written by many.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// rig is a server with people who are logged in.
type rig struct {
	*testing.T
	st     *state.State
	api    *api
	door   *access.Door
	engine *autopilot.Engine
	url    string
	log    *safeBuffer
	stop   chan struct{}
	// people are the Authorization or Cookie headers by name: the roles, and ROLE-token.
	people map[string]http.Header
	closed chan struct{} // gets one for each connection that was closed
}

func newRig(t *testing.T, so state.Options) *rig {
	t.Helper()
	r := &rig{T: t, st: statetest.Open(t, so), log: &safeBuffer{}, people: map[string]http.Header{"nobody": {}}, stop: make(chan struct{}), closed: make(chan struct{}, 100)}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx := t.Context()
	var err error
	if r.engine, err = autopilot.Open(ctx, r.st, autopilot.Options{Classifier: labels{}, Compile: compile}); err == nil {
		err = r.engine.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.engine.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	if r.door, err = access.Open(r.st, access.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	if r.api, err = open(Options{State: r.st, Engine: r.engine, Door: r.door, Classifier: labels{}, Compile: compile, Log: log, Stopping: r.stop}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(r.door.Handler(r.api))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			r.closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	r.url = server.URL
	for _, role := range access.Roles() {
		r.person(string(role), role)
		for _, scope := range access.Scopes() {
			key, _, err := r.door.AddToken(ctx, "cli", access.TokenWish{User: string(role), Name: scope, Role: role, Scopes: []string{scope}})
			if err != nil {
				t.Fatal(err)
			}
			r.people[string(role)+"-"+scope] = http.Header{"Authorization": {"Bearer " + key}}
		}
	}
	return r
}

// person adds somebody and logs them in.
func (r *rig) person(name string, role access.Role) {
	r.Helper()
	if _, err := r.door.AddUser(r.Context(), "cli", name, role, password); err != nil {
		r.Fatal(err)
	}
	r.login(name)
}

func (r *rig) login(name string) {
	r.Helper()
	w := httptest.NewRecorder()
	if err := r.door.Login(w, httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/login", nil), name, password); err != nil {
		r.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		if c.Name == "keepwell-session" {
			r.people[name] = http.Header{"Cookie": {c.Name + "=" + c.Value}}
		}
	}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// code is the problem's.
func (r reply) code() string {
	var p access.Refusal
	if json.Unmarshal([]byte(r.body), &p) != nil {
		return ""
	}
	return p.Code
}

func (r *rig) request(who, method, path string, body any) *http.Request {
	r.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			r.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+path, bytes.NewReader(text))
	if err != nil {
		r.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	header, ok := r.people[who]
	if !ok {
		r.Fatal("nobody is called", who)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return req
}

func (r *rig) send(req *http.Request) reply {
	r.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

func (r *rig) call(who, method, path string, body any) reply {
	r.Helper()
	return r.send(r.request(who, method, path, body))
}

// must is call that succeeds, and reads the answer.
func (r *rig) must(who, method, path string, body, into any) {
	r.Helper()
	got := r.call(who, method, path, body)
	if got.status >= http.StatusMultipleChoices {
		r.Fatalf("%s %s by %s: %d %s", method, path, who, got.status, got.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(got.body), into); err != nil {
			r.Fatal(err)
		}
	}
}

// until waits for an entry of the journal.
func (r *rig) until(ok func(journal.Record) bool) journal.Record {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), time.Minute)
	defer stop()
	seq := int64(0)
	for {
		wake := r.st.Appended()
		all, err := journal.After(ctx, r.st.Reader, seq, 100)
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range all {
			if seq = e.Seq; ok(e) {
				return e
			}
		}
		if len(all) > 0 {
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			r.Fatal("it is never written")
		}
	}
}

// incident sends an alert and waits for its incident.
func (r *rig) incident(name string) int64 {
	r.Helper()
	a := keepwell.Alert{
		Fingerprint: name, Status: keepwell.AlertFiring, Labels: map[string]string{"alertname": "RedisMemoryHigh", "instance": name, "code": "ops/redis-memory-high"},
		Annotations: map[string]string{"summary": "<b>memory</b> of " + name, "password": "hunter2hunter2"}, StartsAt: r.st.Now(), Source: "test",
	}
	if _, err := r.engine.Ingest(r.Context(), []keepwell.Alert{a}); err != nil {
		r.Fatal(err)
	}
	opened := r.until(func(e journal.Record) bool {
		if e.Kind != journal.IncidentOpened {
			return false
		}
		i, err := r.st.Incident(r.Context(), e.Incident)
		return err == nil && i.Asset == name
	})
	return opened.Incident
}

// install puts a playbook in force that is run by hand only.
func (r *rig) install(name, text, by string) {
	r.Helper()
	if err := r.engine.Install(r.Context(), name, autopilot.AnyVersion, text, by, state.ModeOff, 0, by); err != nil {
		r.Fatal(err)
	}
}

// ended waits for the end of a run.
func (r *rig) ended(run int64) {
	r.Helper()
	r.until(func(e journal.Record) bool { return e.Kind == journal.RunEnded && e.Run == run })
}

// asked starts a run that asks, and waits for the question.
func (r *rig) asked(incident int64, who string) (run, approval int64) {
	r.Helper()
	var made state.Run
	r.must(who, http.MethodPost, prefix+"/runs", started{"asks", incident, "to see"}, &made)
	r.until(func(e journal.Record) bool { return e.Kind == journal.ApprovalAsked && e.Run == made.ID })
	all, err := r.st.Approvals(r.Context(), state.ApprovalAsked, made.ID, state.Page{})
	if err != nil || len(all) != 1 {
		r.Fatal(all, err)
	}
	return made.ID, all[0].ID
}

// fill makes one of everything: what the routes show.
func (r *rig) fill() (f filled) {
	r.Helper()
	ctx := r.Context()
	r.install("asks", bookAsks, "user:author")
	r.install("free", bookFree, "user:author")
	f.incident = r.incident("redis-1")
	f.run, f.approval = r.asked(f.incident, "operator")
	other := r.incident("redis-2")
	var done state.Run
	r.must("operator", http.MethodPost, prefix+"/runs", started{"free", other, "to see"}, &done)
	f.done = done.ID
	r.ended(f.done)
	err := r.st.Tx(ctx, func(tx *state.Tx) error {
		_, err := tx.ChangeBreaker(ctx, "free redis-1", func(b *state.Breaker) {
			b.State, b.Reason, b.Until = state.BreakerOpen, "it failed", r.st.Now().Add(time.Hour)
		})
		if err != nil {
			return err
		}
		return tx.SetCooldown(ctx, "free redis-2", r.st.Now().Add(time.Hour), "it ran")
	})
	if err != nil {
		r.Fatal(err)
	}
	if f.mute, err = r.engine.Mute(ctx, "asset:elsewhere-*", time.Time{}, "user:operator", "for the test"); err != nil {
		r.Fatal(err)
	}
	key, t, err := r.door.AddToken(ctx, "cli", access.TokenWish{User: "viewer", Name: "spare", Role: access.Viewer, Scopes: []string{access.ScopeMod}})
	if err != nil || key == "" {
		r.Fatal(err)
	}
	f.token = t.ID
	return f
}

type filled struct{ incident, run, approval, done, mute, token int64 }

// path fills a route's path.
func (f filled) path(rt route) string {
	values := map[string]string{"{name}": "free", "{version}": state.PlaybookVersion(bookFree), "{code...}": "ops/redis-memory-high", "{seq}": "0", "{attempt}": "1"}
	id := f.incident
	switch {
	case strings.HasPrefix(rt.path, prefix+"/runs/{id}/undo"):
		id = f.done
	case strings.HasPrefix(rt.path, prefix+"/runs/"):
		id = f.run
	case strings.HasPrefix(rt.path, prefix+"/approvals/"):
		id = f.approval
	case strings.HasPrefix(rt.path, prefix+"/mutes/"):
		id = f.mute
	case strings.Contains(rt.path, "/tokens/"):
		id = f.token
	case strings.HasPrefix(rt.path, prefix+"/users/"):
		values["{name}"] = "viewer"
	}
	values["{id}"] = fmt.Sprint(id)
	path := rt.path
	for k, v := range values {
		path = strings.ReplaceAll(path, k, v)
	}
	return path
}
