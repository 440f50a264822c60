package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "launch" {
		exit, err := actions.Launch(os.Args[2:], os.Environ())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(exit)
	}
	statetest.Main(m)
}

func secrets(name string) (string, error) {
	if name == "TOKEN" {
		return "correct-horse-battery", nil
	}
	return "", errors.New("no such secret")
}

// request reads an action as a playbook has it, and fills it in.
func request(t *testing.T, action string, s playbook.Scope) actions.Request {
	t.Helper()
	p, problems := playbook.Read([]byte("name: book\ntrigger: x\nactions:\n  - "+action+"\n"), playbook.Options{})
	if p == nil {
		t.Fatalf("%s: %v", action, problems)
	}
	s, err := p.For(s)
	if err != nil {
		t.Fatal(err)
	}
	in, err := p.Steps[0].Action.Fill(s)
	if err != nil {
		t.Fatal(err)
	}
	return actions.Request{Input: in, Key: "7/0/1"}
}

func scope() playbook.Scope {
	return playbook.Scope{
		Alert: keepwell.Alert{Labels: map[string]string{"alertname": "RedisMemoryHigh", "evil": "$(touch pwned); `id`\n<!channel>"}},
		Code:  "redis/memory-high", Asset: "redis-1", Priority: keepwell.P0, Run: 7, Incident: 3,
	}
}

// TestEveryKindHasItsFile holds the table of the language and this package together.
func TestEveryKindHasItsFile(t *testing.T) {
	t.Parallel()
	set := actions.New(actions.Options{})
	for _, k := range playbook.Kinds() {
		_, err := set.Plan(actions.Request{Input: playbook.Input{Kind: k.Name}})
		if missing := err != nil && strings.Contains(err.Error(), "is not known"); missing != k.Engine {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	if _, err := set.Do(t.Context(), actions.Request{Input: playbook.Input{Kind: "shell"}}); err == nil {
		t.Error("an unknown kind was done")
	}
}

func scriptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("scripts begin with #!")
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScriptGetsDataAsData(t *testing.T) {
	t.Setenv("KEEPWELL_SECRET_OF_THE_SERVER", "leak")
	dir := scriptDir(t, map[string]string{"a.sh": "printf '%s|' \"$@\"\necho \"$E\"\necho $TOKEN\nenv\n"})
	set := actions.New(actions.Options{Secrets: secrets, Scripts: actions.Scripts{Dirs: []string{dir}}})
	r := request(t, `run_script: {script: a.sh, args: ["{{ .labels.evil }}", b], env: {E: "{{ .labels.evil }}", TOKEN: "${secret:TOKEN}"}}`, scope())
	res, err := set.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	evil := scope().Alert.Labels["evil"]
	if !strings.HasPrefix(res.Output, evil+"|b|"+evil+"\n***\n") {
		t.Errorf("printed %q", res.Output)
	}
	for _, not := range []string{"correct-horse", "leak", "KEEPWELL_SECRET"} {
		if strings.Contains(res.Output, not) {
			t.Errorf("the output holds %q:\n%s", not, res.Output)
		}
	}
	for _, has := range []string{"KEEPWELL_KEY=7/0/1\n", "KEEPWELL_INCIDENT=3\n", "KEEPWELL_ASSET=redis-1\n", "KEEPWELL_CODE=redis/memory-high\n", "KEEPWELL_PRIORITY=P0\n", "KEEPWELL_ALERT=RedisMemoryHigh\n"} {
		if !strings.Contains(res.Output, has) {
			t.Errorf("no %q in\n%s", has, res.Output)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
	lines, err := planned(set, r)
	if err != nil || !strings.Contains(strings.Join(lines, "\n"), "${secret:TOKEN}") {
		t.Errorf("planned %q %v", lines, err)
	}
	// Both languages, of one plan and of one failure; as it is kept, too.
	plan, err := set.Plan(request(t, `run_script: gone.sh`, scope()))
	if err == nil || len(plan) == 0 {
		t.Fatal(plan, err)
	}
	for lang, want := range map[msg.Lang][2]string{msg.EN: {"run gone.sh [", "is in none of the directories"}, msg.ZH: {"运行 gone.sh [", "不在任何允许的目录中"}} {
		if line, why := plan[0].In(lang), msg.ParseReason(msg.Of(err).String()).In(lang); !strings.HasPrefix(line, want[0]) || !strings.Contains(why, want[1]) {
			t.Errorf("%s: %q, %q", lang, line, why)
		}
	}
}

// planned is a plan as it reads in English; every line and what is wrong has other words in
// Chinese, where it has words at all.
func planned(set *actions.Set, r actions.Request) (lines []string, err error) {
	plan, err := set.Plan(r)
	for _, line := range plan {
		lines = append(lines, line.In(msg.EN))
	}
	return lines, err
}

func TestScriptsThatAreRefused(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"loose.sh": "", "plain.sh": "", "inside.sh": "exit 0"})
	for name, mode := range map[string]os.FileMode{"loose.sh": 0o777, "plain.sh": 0o644} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"out.sh": "/bin/sh", "in.sh": "inside.sh", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	set := actions.New(actions.Options{Secrets: secrets, Scripts: actions.Scripts{Dirs: []string{dir}}})
	for name, want := range map[string]string{
		"loose.sh": "written by others", "plain.sh": "not executable", "out.sh": "leads out", "up/x": "in none of", "none.sh": "in none of", "in.sh": "",
		filepath.Base(dir) + "/in.sh": "", filepath.Base(dir) + "/out.sh": "leads out", "x/in.sh": "in none of",
	} {
		r := request(t, "run_script: "+name, scope())
		_, err := set.Do(t.Context(), r)
		_, planned := set.Plan(r)
		for _, err := range []error{err, planned} {
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
	r := request(t, "run_script: {script: in.sh, env: {A: '${secret:NONE}'}}", scope())
	if _, err := set.Do(t.Context(), r); err == nil || errors.Is(err, actions.ErrUnsure) {
		t.Errorf("a missing secret: %v", err)
	}
	r.Params["script"] = playbook.Filled{Text: playbook.Sealed{{Text: "../../../bin/sh"}}}
	if _, err := set.Do(t.Context(), r); err == nil || !strings.Contains(err.Error(), "leaves its directory") {
		t.Errorf("a path that leaves: %v", err)
	}
}

func TestScriptExitCodes(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"exit.sh": `exit "$1"`})
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}}})
	for _, row := range []struct {
		code          int
		ok            string
		failed, again bool
	}{{0, "", false, false}, {1, "", true, false}, {3, ", ok: [0, 3]", false, false}, {0, ", ok: 3", true, false}, {75, "", true, true}} {
		res, err := set.Do(t.Context(), request(t, fmt.Sprintf("run_script: {script: exit.sh, args: ['%d']%s}", row.code, row.ok), scope()))
		if (err != nil) != row.failed || errors.Is(err, actions.ErrAgain) != row.again || errors.Is(err, actions.ErrUnsure) || res.Code != row.code {
			t.Errorf("%+v: %+v %v", row, res, err)
		}
	}
}

// TestScriptIsEndedWithItsChildren: when the deadline comes, so does the end of what the
// script started; whether it had its effect cannot be told.
func TestScriptIsEndedWithItsChildren(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"slow.sh": "echo begun\nsleep 600 &\nsleep 600\n"})
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	res, err := set.Do(ctx, request(t, "run_script: slow.sh", scope()))
	if !errors.Is(err, actions.ErrUnsure) {
		t.Errorf("%+v %v", res, err)
	}
}

func TestScriptOutputIsBounded(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"much.sh": "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done"})
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}, MaxOutput: 1000}})
	res, err := set.Do(t.Context(), request(t, "run_script: much.sh", scope()))
	if err != nil || len(res.Output) > 1000 || len(res.Output) < 500 {
		t.Errorf("%d bytes, %v", len(res.Output), err)
	}
}

func TestScriptIsHeldToLimits(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("limits are of Linux")
	}
	dir := scriptDir(t, map[string]string{"limits.sh": "ulimit -n; ulimit -t; grep NoNewPrivs /proc/self/status; id -u; id -g; id -G; echo $A $KEEPWELL_KEY"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limits := actions.Limits{CPUSeconds: 7, OpenFiles: 33}
	want := "33\n7\nNoNewPrivs:\t1\n"
	if os.Geteuid() == 0 {
		limits.UID, limits.GID = 65534, 65533
		want += "65534\n65533\n65533\nx 7/0/1\n"
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := actions.Scripts{Dirs: []string{dir}, Limits: limits, Launcher: []string{self, "launch"}}
	r := request(t, "run_script: {script: limits.sh, env: {A: x}}", scope())
	res, err := actions.New(actions.Options{Scripts: o}).Do(t.Context(), r)
	if err != nil || !strings.HasPrefix(res.Output, want) {
		t.Errorf("%q, want %q: %v", res.Output, want, err)
	}
	o.Launcher = nil
	if _, err := actions.New(actions.Options{Scripts: o}).Do(t.Context(), r); err == nil {
		t.Error("a script ran without its limits")
	}
	if os.Geteuid() == 0 {
		o.Launcher, o.Limits.GID = []string{self, "launch"}, 0
		if res, err := actions.New(actions.Options{Scripts: o}).Do(t.Context(), r); err == nil || !strings.Contains(err.Error(), "not started") {
			t.Errorf("a script ran in root's group: %+v %v", res, err)
		}
	}
}

// seen is a server that keeps what it was asked.
type seen struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	bodies   []string
	headers  []http.Header
}

func serve(t *testing.T, h http.HandlerFunc) *seen {
	t.Helper()
	s := &seen{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests, s.bodies, s.headers = append(s.requests, r.Method+" "+r.URL.String()), append(s.bodies, string(body)), append(s.headers, r.Header)
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *seen) host(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/hangup":
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprint(w, "hello ", r.Header.Get("Authorization"))
		}
	})
	host := s.host(t)
	open := actions.New(actions.Options{Secrets: secrets, HTTP: actions.Guard{Hosts: []string{host}, Private: []string{host}}})
	r := request(t, `http: {url: "http://`+host+`/ok?a=1", query: {q: "{{ .labels.evil }}&x=y"}, headers: {Authorization: "Bearer ${secret:TOKEN}"}, json: {a: "{{ .labels.evil }}"}}`, scope())
	res, err := open.Do(t.Context(), r)
	if err != nil || res.Code != 200 || strings.Contains(res.Output, "correct-horse") || !strings.Contains(res.Output, "***") {
		t.Errorf("%+v %v", res, err)
	}
	evil := scope().Alert.Labels["evil"]
	var body map[string]string
	if err := json.Unmarshal([]byte(s.bodies[0]), &body); err != nil || body["a"] != evil {
		t.Errorf("the body is %s", s.bodies[0])
	}
	if u, err := url.Parse(strings.TrimPrefix(s.requests[0], "POST ")); err != nil || u.Query().Get("q") != evil+"&x=y" || u.Query().Get("x") != "" {
		t.Errorf("asked %s", s.requests[0])
	}
	if s.headers[0].Get("Idempotency-Key") != "7/0/1" || s.headers[0].Get("Authorization") != "Bearer correct-horse-battery" {
		t.Errorf("headers %v", s.headers[0])
	}
	for path, want := range map[string]string{"GET /500": "again", "POST /500": "unsure", "POST /503": "again", "POST /hangup": "unsure", "GET /hangup": "again", "GET /redirect": "", "POST /ok": "fine"} {
		method, path, _ := strings.Cut(path, " ")
		_, err := open.Do(t.Context(), request(t, "http: {url: 'http://"+host+path+"', method: "+method+"}", scope()))
		if (err == nil) != (want == "fine") || errors.Is(err, actions.ErrUnsure) != (want == "unsure") || errors.Is(err, actions.ErrAgain) != (want == "again") {
			t.Errorf("%s %s: %v", method, path, err)
		}
	}
	for _, asked := range s.requests {
		if strings.Contains(asked, "elsewhere") {
			t.Error("a redirect was followed")
		}
	}
}

func TestHTTPGuard(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	host := s.host(t)
	_, port, _ := strings.Cut(host, ":")
	for name, guard := range map[string]actions.Guard{
		"no host":       {},
		"another host":  {Hosts: []string{"hooks.example.org"}, Private: []string{host}},
		"not private":   {Hosts: []string{host}},
		"name of local": {Hosts: []string{"localhost:" + port}},
	} {
		for _, h := range []string{host, "localhost:" + port} {
			if _, err := actions.New(actions.Options{HTTP: guard}).Do(t.Context(), request(t, "http: http://"+h+"/", scope())); err == nil || errors.Is(err, actions.ErrUnsure) || errors.Is(err, actions.ErrAgain) || name == "not private" && h == host && !errors.Is(err, actions.ErrFinal) {
				t.Errorf("%s: %s was reached: %v", name, h, err)
			}
		}
	}
	if len(s.requests) != 0 {
		t.Errorf("asked %v", s.requests)
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	refuse := false
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if refuse {
			fmt.Fprint(w, `{"errcode":310000,"errmsg":"sign not match"}`)
			return
		}
		fmt.Fprint(w, `{"errcode":0}`)
	})
	o := actions.Options{Secrets: secrets, Now: func() time.Time { return time.UnixMilli(1_700_000_000_000) }, Receivers: map[string]actions.Receiver{
		"slack": {Type: "slack", URL: s.URL + "/${secret:TOKEN}"}, "dingtalk": {Type: "dingtalk", URL: s.URL + "/d?access_token=a", Key: "${secret:TOKEN}"},
		"lark": {Type: "lark", URL: s.URL, Key: "k"}, "ops": {Type: "wecom", URL: s.URL},
	}}
	set := actions.New(o)
	for i, row := range []struct{ action, body string }{
		{`notify_slack: "#infra-alerts"`, `{"channel":"#infra-alerts","text":"P0 RedisMemoryHigh on redis-1 (playbook book)"}`},
		{`notify_slack: {text: "{{ .labels.evil }}"}`, "{\"text\":\"$(touch pwned); `id`\\n\\u0026lt;!channel\\u0026gt;\"}"},
		{`notify_dingtalk: {text: hi}`, `{"msgtype":"text","text":{"content":"hi"}}`},
		{`notify_lark: {text: "<at user_id=all>"}`, `{"content":{"text":"＜at user_id=all\u003e"},"msg_type":"text","sign":"omDresNMRbotXJQ+XpzBzQrbxHT16JbdYN7WGeukf7s=","timestamp":"1700000000"}`},
		{`notify: {to: ops, text: hi}`, `{"msgtype":"text","text":{"content":"hi"}}`},
	} {
		res, err := set.Do(t.Context(), request(t, row.action, scope()))
		if err != nil || strings.Contains(fmt.Sprint(res), "correct-horse") {
			t.Errorf("%s: %+v %v", row.action, res, err)
			continue
		}
		if diff := cmp.Diff(row.body, s.bodies[i]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.action, diff)
		}
	}
	if got := s.requests[0]; got != "POST /correct-horse-battery" {
		t.Errorf("asked %s", got)
	}
	u, err := url.Parse(strings.TrimPrefix(s.requests[2], "POST "))
	if err != nil || u.Query().Get("timestamp") != "1700000000000" || u.Query().Get("access_token") != "a" || len(u.Query().Get("sign")) != 44 {
		t.Errorf("DingTalk was asked %s", s.requests[2])
	}
	refuse = true
	if _, err := set.Do(t.Context(), request(t, "notify_dingtalk: {text: hi}", scope())); err == nil || !strings.Contains(err.Error(), "sign not match") || errors.Is(err, actions.ErrUnsure) {
		t.Errorf("a refusal: %v", err)
	}
	s.Close()
	_, err = set.Do(t.Context(), request(t, "notify_slack: '#x'", scope()))
	if !errors.Is(err, actions.ErrAgain) || errors.Is(err, actions.ErrUnsure) || strings.Contains(err.Error(), "correct-horse") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := set.Do(t.Context(), request(t, "notify_wecom: {text: x}", scope())); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("no receiver: %v", err)
	}
}

func TestTickets(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"github", "gitlab", "generic"} {
		var created []map[string]any
		broken := ""
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case broken == r.Method:
				w.WriteHeader(http.StatusBadGateway)
			case r.Method == http.MethodGet && len(created) == 0:
				fmt.Fprint(w, "[]")
			case r.Method == http.MethodGet:
				fmt.Fprint(w, `[{"html_url":"https://tracker.example.org/1"}]`)
			default:
				created = append(created, map[string]any{})
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, `{"web_url":"https://tracker.example.org/1"}`)
			}
		})
		set := actions.New(actions.Options{Secrets: secrets, Trackers: map[string]actions.Tracker{"only": {Type: kind, URL: s.URL, Project: "o/n", Token: "${secret:TOKEN}"}}})
		r := request(t, "create_ticket: if_severity > P1", scope())
		broken = http.MethodGet
		if _, err := set.Do(t.Context(), r); err == nil || len(created) > 0 || errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s: created without a look: %v", kind, err)
		}
		broken = http.MethodPost
		if _, err := set.Do(t.Context(), r); !errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s: a gateway that failed: %v", kind, err)
		}
		broken = ""
		for i := range 3 {
			res, err := set.Do(t.Context(), r)
			if err != nil || res.URL != "https://tracker.example.org/1" || res.Existing != (i > 0) {
				t.Errorf("%s, time %d: %+v %v", kind, i, res, err)
			}
		}
		if len(created) != 1 {
			t.Errorf("%s: %d tickets", kind, len(created))
		}
		for _, h := range s.headers {
			if h.Get("Authorization") != "Bearer correct-horse-battery" {
				t.Errorf("%s: without the token", kind)
			}
		}
		var made map[string]any
		if err := json.Unmarshal([]byte(s.bodies[4]), &made); err != nil || made["title"] != "P0 RedisMemoryHigh on redis-1 (playbook book)" || !strings.Contains(fmt.Sprint(made["labels"]), "keepwell-") {
			t.Errorf("%s: created with %s", kind, s.bodies[4])
		}
		if kind == "github" && !strings.Contains(s.requests[0], "/repos/o/n/issues?labels=keepwell-") {
			t.Errorf("asked %s", s.requests[0])
		}
		if kind == "gitlab" && !strings.HasPrefix(s.requests[0], "GET /projects/o%2Fn/issues?") {
			t.Errorf("asked %s", s.requests[0])
		}
	}
	two := actions.New(actions.Options{Trackers: map[string]actions.Tracker{"a": {}, "b": {}}})
	if _, err := two.Plan(request(t, "create_ticket", scope())); err == nil {
		t.Error("which of two trackers was not asked")
	}
}

func TestPromQL(t *testing.T) {
	t.Parallel()
	answer := ""
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
	set := actions.New(actions.Options{Prometheus: s.URL})
	vector := func(values ...string) string {
		var list []string
		for _, v := range values {
			list = append(list, `{"metric":{},"value":[1,"`+v+`"]}`)
		}
		return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(list, ",") + `]}}`
	}
	for _, row := range []struct {
		answer, expect string
		holds          bool
	}{
		{vector("0.5"), "< 0.8", true},
		{vector("0.5", "0.9"), "< 0.8", false},
		{vector(), "< 0.8", false},
		{vector("NaN"), "!= 1", false},
		{vector("+Inf"), "> 1e9", true},
		{`{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}`, "== 3", true},
		{`{"status":"success","data":{"resultType":"matrix","result":[]}}`, "== 3", false},
		{`{"status":"error","error":"parse error"}`, "== 3", false},
		{`<html>`, "== 3", false},
	} {
		answer = row.answer
		r := request(t, `promql: {query: 'up{a="{{ .labels.evil }}"}', expect: "`+row.expect+`"}`, scope())
		if _, err := set.Do(t.Context(), r); (err == nil) != row.holds || errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s %s: %v", row.answer, row.expect, err)
		}
	}
	if !strings.HasPrefix(s.requests[0], "GET /api/v1/query?query=up%7Ba%3D%22") {
		t.Errorf("asked %s", s.requests[0])
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"a.sh": "echo $KEEPWELL_KEY"})
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}}})
	input, err := json.Marshal(request(t, "run_script: a.sh", scope()).Input)
	if err != nil {
		t.Fatal(err)
	}
	out, err := set.Call(t.Context(), "9/1/1", input)
	if err != nil || !strings.Contains(string(out), `9/1/1`) {
		t.Errorf("%s %v", out, err)
	}
	if _, err := set.Call(t.Context(), "x", json.RawMessage("{")); err == nil {
		t.Error("a broken input was done")
	}
}
