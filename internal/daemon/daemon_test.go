package daemon_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/api"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
	"github.com/keepwell/keepwell/internal/web"
)

func TestMain(m *testing.M) { statetest.Main(m) }

const (
	token = "correct-horse-battery"
	key   = "staple-staple-staple"
)

// started is a daemon with a configuration, on a spare port.
func started(t *testing.T, o state.Options, config string) (*daemon.Daemon, string) {
	t.Helper()
	d := opened(t, o, config)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, "http://" + d.Addr().String()
}

func opened(t *testing.T, o state.Options, config string) *daemon.Daemon {
	t.Helper()
	d, err := daemon.New(t.Context(), daemon.Options{Source: daemon.Source{
		File:    configured(t, config),
		Environ: []string{"KEEPWELL_SECRET_HOOK=" + token, "KEEPWELL_SECRET_SIGN=" + key},
		Flags:   map[string]string{"listen": "127.0.0.1:0", "data": o.Dir, "database": o.Database},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return d
}

// payload is Alertmanager's body with n alerts.
func payload(n int) string {
	var b strings.Builder
	b.WriteString(`{"version":"4","groupKey":"g","receiver":"kw","truncatedAlerts":2,"alerts":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"status":"firing","labels":{"alertname":"RedisMemoryHigh","instance":"cache-%d"},"startsAt":"2026-11-23T05:00:00Z","fingerprint":"f%d"}`, i, i)
	}
	b.WriteString("]}")
	return b.String()
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// post sends a body and returns the status and the answer.
func post(t *testing.T, address, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// until waits for something that the daemon does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	statetest.Until(t, what, ok, nil)
}

const guarded = `
hooks:
  token: ${secret:HOOK}
  hmac: ${secret:SIGN}
  generic:
    zabbix:
      alerts: body.events
      labels: '{"alertname": item.trigger, "instance": item.host}'
`

// TestSenders: who may send, and what everybody is told.
func TestSenders(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		d, base := started(t, o, guarded)
		if _, err := d.Door().AddUser(t.Context(), "test", "ann", access.Admin, ""); err != nil {
			t.Fatal(err)
		}
		made := func(name, scope string) string {
			secret, _, err := d.Door().AddToken(t.Context(), "test", access.TokenWish{User: "ann", Name: name, Role: access.Viewer, Scopes: []string{scope}})
			if err != nil {
				t.Fatal(err)
			}
			return "Bearer " + secret
		}
		hooks, mod := made("hooks", access.ScopeHooks), made("mod", access.ScopeMod)
		am, body := base+"/hooks/alertmanager", payload(2)
		long := strings.Replace(payload(1), `"fingerprint"`, `"annotations":{"d":"`+strings.Repeat("x", 100_000)+`\u0000"},"fingerprint"`, 1)
		basic := func(p string) string { // Alertmanager's basic_auth
			r := &http.Request{Header: http.Header{}}
			r.SetBasicAuth("any", p)
			return r.Header.Get("Authorization")
		}
		for name, c := range map[string]struct {
			address, body string
			headers       []string
			status        int
			says          string
		}{
			"nobody":              {am, body, nil, 401, "hook.unauthenticated"},
			"a wrong token":       {am, body, []string{"Authorization", "Bearer " + token + "x"}, 401, "hook.unauthenticated"},
			"a token":             {am, body, []string{"Authorization", "Bearer " + token}, 202, `"truncated":2`},
			"the contract":        {base + "/api/v1/alerts", body, []string{"Authorization", "Bearer " + token}, 202, `"truncated":2`},
			"a password":          {am, body, []string{"Authorization", basic(token)}, 202, ""},
			"a wrong password":    {am, body, []string{"Authorization", basic("x")}, 401, ""},
			"a token for hooks":   {am, body, []string{"Authorization", hooks}, 202, ""},
			"a token for others":  {am, body, []string{"Authorization", mod}, 403, "scope hooks"},
			"signed":              {am, body, []string{"X-Hub-Signature-256", "sha256=" + sign(body)}, 202, ""},
			"signed by Grafana":   {base + "/hooks/grafana", body, []string{"X-Grafana-Alerting-Signature", sign(body)}, 202, ""},
			"another body":        {am, body + " ", []string{"X-Hub-Signature-256", "sha256=" + sign(body)}, 401, "hook.signature"},
			"bad and unsigned":    {am, "{", []string{"X-Hub-Signature-256", "sha256=" + sign("x")}, 401, "hook.signature"},
			"no signature":        {am, body, []string{"X-Hub-Signature-256", "sha256=zz"}, 401, "hook.unauthenticated"},
			"no JSON":             {am, "hello", []string{"Authorization", "Bearer " + token}, 400, `"hint":"/hooks/alertmanager takes`},
			"no JSON, in words":   {am, "hello", []string{"Authorization", "Bearer " + token}, 400, "/hooks/alertmanager cannot read the body: "},
			"two bad alerts":      {am, `{"alerts":[{"status":"on","labels":{"a":"b"}},{"status":"off","labels":{"a":"b"}}]}`, []string{"Authorization", "Bearer " + token}, 400, `firing, resolved; alert: startsAt 0001-01-01T00:00:00Z is no time of an alert; alerts[1]: `},
			"no alert":            {am, `{"alerts":[{"status":"on","labels":{"a":"b"}}]}`, []string{"Authorization", "Bearer " + token}, 400, "hook.none"},
			"too long":            {am, long, []string{"Authorization", "Bearer " + token}, 202, `"cut":1`},
			"in Chinese":          {am, "hello", []string{"Authorization", "Bearer " + token, "Accept-Language", "zh-CN"}, 400, "/hooks/alertmanager 无法解析正文："},
			"a mapping":           {base + "/hooks/generic/zabbix", `{"events":[{"trigger":"X","host":"h"},{"trigger":"Y"}]}`, []string{"Authorization", "Bearer " + token}, 202, `"unusable":1`},
			"no mapping":          {base + "/hooks/generic/nagios", `{}`, []string{"Authorization", "Bearer " + token}, 404, "hook.unknown"},
			"another site's name": {am, body, []string{"Authorization", "Bearer " + token, "Host-Of-Test", "evil.example"}, 421, "hook.host"},
			"another site's page": {am, body, []string{"Authorization", "Bearer " + token, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, ""},
		} {
			if c.headers != nil && c.headers[len(c.headers)-2] == "Host-Of-Test" {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://evil.example/hooks/alertmanager", strings.NewReader(c.body))
				d.Handler().ServeHTTP(w, r)
				if w.Code != c.status {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
				continue
			}
			status, text := post(t, c.address, c.body, c.headers...)
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%s: %d %s, want %d %s", name, status, text, c.status, c.says)
			}
			if strings.Contains(text, token) || strings.Contains(text, key) {
				t.Errorf("%s: a secret is told: %s", name, text)
			}
		}
		for path, want := range map[string]int{"alertmanager": 405, "grafana": 405, "generic/zabbix": 405, "generic/nagios": 404, "nagios": 404} {
			if status, text := get(t, base+"/hooks/"+path); status != want {
				t.Errorf("GET %s: %d %s", path, status, text)
			}
		}
		rows, err := d.State().Journal(t.Context(), state.JournalFilter{Kind: string(journal.AlertRefused)}, state.Page{})
		var written strings.Builder
		for _, row := range rows {
			written.WriteString(row.Body)
		}
		for _, want := range []string{`"key":"why.leftout"`, `"key":"why.body"`, `none of the 1 alert`, "/hooks/alertmanager cannot read the body"} {
			if err != nil || !strings.Contains(written.String(), want) {
				t.Errorf("no %s in the journal: %v %v", want, rows, err)
			}
		}
		alerts, err := d.State().Alerts(t.Context(), state.AlertFilter{}, state.Page{Limit: 1000})
		if err != nil || len(alerts) != 3 { // two of Alertmanager, however often, and one mapped
			t.Errorf("%d alerts, %v", len(alerts), err)
		}
	})
}

// TestStormBody: a body of 10,000 alerts is kept whole.
func TestStormBody(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		d := opened(t, o, "") // nothing works: only the intake is looked at
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/hooks/alertmanager", strings.NewReader(payload(10_000)))
		r.RemoteAddr = "127.0.0.1:1"
		d.Handler().ServeHTTP(w, r)
		var answer struct{ New int }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 202 || answer.New != 10_000 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		// A database that is gone is told of, and the sender tries again.
		if err := d.State().Close(); err != nil {
			t.Fatal(err)
		}
		w = httptest.NewRecorder()
		r.Body = io.NopCloser(strings.NewReader(payload(1)))
		d.Handler().ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "hook.unavailable") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		w = httptest.NewRecorder()
		d.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/readyz", nil))
		if w.Code != 503 {
			t.Errorf("ready without a database: %d", w.Code)
		}
	})
}

// TestOnlyHere: without a token only this machine sends, and not through others.
func TestOnlyHere(t *testing.T) {
	t.Parallel()
	d := opened(t, state.Options{Dir: t.TempDir()}, "")
	for from, want := range map[string]int{"127.0.0.1:9": 202, "[::1]:9": 202, "192.0.2.7:9": 401, "127.0.0.1:9 forwarded": 401} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/hooks/alertmanager", strings.NewReader(payload(1)))
		address, forwarded, _ := strings.Cut(from, " ")
		if r.RemoteAddr = address; forwarded != "" {
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
		}
		for _, path := range []string{"/hooks/alertmanager", "/metrics"} {
			w, r := httptest.NewRecorder(), r.Clone(t.Context())
			if r.URL.Path = path; path == "/metrics" {
				r.Method = http.MethodGet
			} else {
				r.Body = io.NopCloser(strings.NewReader(payload(1)))
			}
			d.Handler().ServeHTTP(w, r)
			if got := w.Code; got != want && (path != "/metrics" || want != 202 || got != 200) {
				t.Errorf("%s from %s: %d", path, from, got)
			}
		}
	}
}

// TestReady: it is ready only where it can write and tell its senders, and says which it is.
func TestReady(t *testing.T) {
	t.Parallel()
	d, base := started(t, state.Options{Dir: t.TempDir()}, "")
	err := d.State().Tx(t.Context(), func(tx *state.Tx) error {
		_, err := tx.SQL.ExecContext(t.Context(), "CREATE TRIGGER full BEFORE INSERT ON settings WHEN new.name = 'ready' BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := get(t, base+"/readyz"); status != 503 || text != "the database cannot be written\n" {
		t.Errorf("%d %q", status, text)
	}
	_, base = started(t, state.Options{Dir: t.TempDir()}, "hooks: {token: '${secret:NONE}'}\n")
	if status, text := get(t, base+"/readyz"); status != 503 || text != "the secrets of hooks cannot be read\n" {
		t.Errorf("%d %q", status, text)
	}
	if status, text := post(t, base+"/hooks/alertmanager", payload(1)); status != 503 || !strings.Contains(text, "hook.secret") {
		t.Errorf("%d %s", status, text)
	}
}

// TestLife: it says when it is ready, what it does, and leaves a journal that can be proved.
func TestLife(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		d, base := started(t, o, "escalate: {after: 1ms}\n")
		for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
			if status, text := get(t, base+path); status != 200 || text != want {
				t.Errorf("%s: %d %q", path, status, text)
			}
		}
		if status, text := post(t, base+"/hooks/alertmanager", payload(3)); status != 202 {
			t.Errorf("%d %s", status, text)
		}
		until(t, "incidents", func() bool {
			_, text := get(t, base+"/metrics")
			return strings.Contains(text, "keepwell_incidents_open 3") && strings.Contains(text, `keepwell_alerts_total{result="new"} 3`)
		})
		key := d.Key().Public()
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		st := statetest.Open(t, o)
		report, err := journal.Verify(t.Context(), st.Reader, journal.Trust{Pinned: []ed25519.PublicKey{key}})
		if err != nil || len(report.Problems) > 0 || report.Signed != report.Last || report.Last == 0 {
			t.Errorf("journal %+v, %v", report, err)
		}
		rows, err := journal.List(t.Context(), st.Reader, state.JournalFilter{}, state.Page{Limit: 1})
		if err != nil || len(rows) != 1 || rows[0].Kind != journal.ServerStopped {
			t.Errorf("the last entry: %+v, %v", rows, err)
		}
	})
}

// TestEscalates: people are told by the receivers of the configuration.
func TestEscalates(t *testing.T) {
	t.Parallel()
	posts := make(chan string, 10)
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- string(body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer slack.Close()
	_, base := started(t, state.Options{Dir: t.TempDir()},
		"url: https://keepwell.example\nnotify: {people: {type: slack, url: '"+slack.URL+"'}}\nescalate: {after: 1ms, to: [people], channel: '#oncall'}\n")
	if status, text := post(t, base+"/hooks/alertmanager", payload(1)); status != 202 {
		t.Fatal(status, text)
	}
	select {
	case text := <-posts:
		for _, want := range []string{"#oncall", "instance/cache-0", "still firing", "Please open incident 1, look at what was tried, and take it or close it: https://keepwell.example/incidents/1"} {
			if !strings.Contains(text, want) {
				t.Errorf("told %s, without %s", text, want)
			}
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody was told")
	}
}

// TestFollowsPlaybooks: files come, change, break and go.
func TestFollowsPlaybooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const active = "trigger: redis_memory_high\nmode: active\nactions: [wait: 1s]\n"
	write("a.yaml", "name: a\n"+active)
	d, _ := started(t, state.Options{Dir: t.TempDir()}, "playbooks: {dir: '"+dir+"', hold: 1h}\n")
	modes := func() string {
		books, err := d.State().CurrentPlaybooks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, p := range books {
			fmt.Fprintf(&b, "%s %s %d; ", p.Name, p.Mode, len(p.Text))
		}
		return b.String()
	}
	reload := func(want func(string) bool, what string) string {
		t.Helper()
		if err := d.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := modes()
		if !want(got) {
			t.Errorf("%s: %s", what, got)
		}
		return got
	}
	starts := func(s string) func(string) bool { return func(got string) bool { return strings.HasPrefix(got, s) } }
	first := modes()
	if !strings.HasPrefix(first, "a observe ") { // held
		t.Errorf("at first: %s", first)
	}
	if err := d.Engine().SetMode(t.Context(), "a", autopilot.AnyVersion, state.ModeOff, "user:ann", msg.Said("enough")); err != nil {
		t.Fatal(err)
	}
	reload(starts("a off "), "what a person set stays")
	write("a.yaml", "name: a\n"+active+"cooldown: 1h\n")
	changed := reload(starts("a observe "), "a new version is held")
	write("b.yaml", "name: a\n"+active)
	write("c.yaml", "trigger: [\n")
	write(".hidden.yaml", "name: h\n"+active)
	reload(func(got string) bool { return got == changed }, "what cannot be used changes nothing")
	for _, f := range []string{"a.yaml", "b.yaml", "c.yaml"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	reload(starts("a off "), "a file that is gone")
	write("a.yaml", "name: a\n"+active+"cooldown: 1h\n")
	until(t, "the file that is back is followed without being told", func() bool { return strings.HasPrefix(modes(), "a observe ") })
}

// TestRestart goes on with what was there, and a second server on the same data is refused.
func TestRestart(t *testing.T) {
	t.Parallel()
	o := state.Options{Dir: t.TempDir()}
	d, base := started(t, o, "")
	if status, text := post(t, base+"/hooks/alertmanager", payload(1)); status != 202 {
		t.Fatal(status, text)
	}
	second := opened(t, o, "")
	if err := second.Start(t.Context()); err == nil {
		t.Error("two servers on one directory")
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, base = started(t, o, "")
	status, text := post(t, base+"/hooks/alertmanager", payload(1))
	if status != 202 || !strings.Contains(text, `"repeated":1`) {
		t.Errorf("after a restart: %d %s", status, text)
	}
}

// TestOneInstance: nodes that start at once on a new database agree on its name.
func TestOneInstance(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		const nodes = 8
		names, gate := make(chan string, nodes), make(chan struct{})
		for range nodes {
			go func() {
				<-gate
				name, err := daemon.Instance(t.Context(), st)
				if err != nil {
					t.Error(err)
				}
				names <- name
			}()
		}
		close(gate)
		first := <-names
		for range nodes - 1 {
			if name := <-names; name != first || len(name) < 20 {
				t.Errorf("instances %q and %q", first, name)
			}
		}
	})
}

// TestOpenLogin: over plain HTTP beyond this machine people can log in, and the log warns.
func TestOpenLogin(t *testing.T) {
	t.Parallel()
	for address, warned := range map[string]bool{"": true, "url: https://kw.example.org\n": false} {
		var log bytes.Buffer
		dir := t.TempDir()
		d, err := daemon.New(t.Context(), daemon.Options{Log: slog.New(slog.NewJSONHandler(&log, nil)), Source: daemon.Source{
			File: configured(t, "open: true\n"+address), Flags: map[string]string{"listen": "0.0.0.0:0", "data": dir},
		}, Mounts: map[string]func(context.Context, daemon.Parts) (http.Handler, error){"/in": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := p.Door.Login(w, r, "ann", token); err != nil {
					t.Error(err)
				}
			}), nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Door().AddUser(t.Context(), "test", "ann", access.Admin, token); err != nil {
			t.Fatal(err)
		}
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://10.0.0.1/in", nil))
		// A browser keeps a Secure cookie of a plain address nowhere.
		if cookie := strings.Join(w.Header().Values("Set-Cookie"), "\n"); !strings.Contains(cookie, "keepwell-session=") || strings.Contains(cookie, "Secure") == warned {
			t.Errorf("%q: cookies %q", address, cookie)
		}
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "plain HTTP beyond this machine") != warned {
			t.Errorf("%q: log %s", address, log.String())
		}
	}
}

// TestApprover: who may approve is the playbook's to say, through both doors.
func TestApprover(t *testing.T) {
	t.Parallel()
	books := t.TempDir()
	const book = "name: careful\ntrigger: redis_memory_high\nmode: active\nactions:\n  - wait: 1s\n    approval: {by: admin}\n"
	if err := os.WriteFile(filepath.Join(books, "careful.yaml"), []byte(book), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(t.Context(), daemon.Options{
		Source: daemon.Source{File: configured(t, "playbooks: {dir: '"+books+"', hold: 0s}\n"), Flags: map[string]string{"listen": "127.0.0.1:0", "data": t.TempDir()}},
		Mounts: map[string]func(context.Context, daemon.Parts) (http.Handler, error){
			"/api/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
				return api.New(api.Options{State: p.State, Engine: p.Engine, Door: p.Door, Classifier: p.Classifier, Compile: p.Compile, Conditions: p.Conditions, Library: p.Library, Stopping: p.Stopping, Log: p.Log}) //nolint:contextcheck // requests have contexts of their own
			},
			"/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
				return web.New(web.Options{State: p.State, Engine: p.Engine, Door: p.Door, Library: p.Library, Classifier: p.Classifier, Compile: p.Compile, Log: p.Log}) //nolint:contextcheck // requests have contexts of their own
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	base := "http://" + d.Addr().String()
	pages := map[access.Role]*http.Client{}
	for _, role := range []access.Role{access.Operator, access.Admin} {
		if _, err := d.Door().AddUser(t.Context(), "test", string(role), role, token); err != nil {
			t.Fatal(err)
		}
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		pages[role] = &http.Client{Jar: jar}
		if status := form(t, pages[role], base+"/login", "name", string(role), "password", token); status != http.StatusOK {
			t.Fatalf("%s logs in: %d", role, status)
		}
	}
	if status, text := post(t, base+"/hooks/alertmanager", payload(2)); status != http.StatusAccepted {
		t.Fatal(status, text)
	}
	var open []state.Approval
	until(t, "two questions", func() bool {
		open, err = d.State().Approvals(t.Context(), state.ApprovalAsked, 0, state.Page{})
		return err == nil && len(open) == 2
	})
	for i, q := range open {
		byInterface := func(role access.Role) (int, string) {
			resp, err := pages[role].Post(fmt.Sprintf("%s/api/v1/approvals/%d/approve", base, q.ID), "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(text)
		}
		byPage := func(role access.Role) int {
			return form(t, pages[role], fmt.Sprintf("%s/approvals/%d", base, q.ID), "answer", "approve")
		}
		if status, text := byInterface(access.Operator); status != http.StatusForbidden || !strings.Contains(text, "api.approver") {
			t.Errorf("an operator approved through the interface: %d %s", status, text)
		}
		if status := byPage(access.Operator); status != http.StatusForbidden {
			t.Errorf("an operator approved on the page: %d", status)
		}
		if i == 0 {
			if status, text := byInterface(access.Admin); status >= 300 {
				t.Errorf("an admin could not approve through the interface: %d %s", status, text)
			}
		} else if status := byPage(access.Admin); status != http.StatusOK {
			t.Errorf("an admin could not approve on the page: %d", status)
		}
	}
	granted, err := d.State().Approvals(t.Context(), state.ApprovalGranted, 0, state.Page{})
	if err != nil || len(granted) != 2 || granted[0].By != "user:admin" || granted[1].By != "user:admin" {
		t.Errorf("granted %+v, %v", granted, err)
	}
}

// form sends a form and returns the status of the page that is shown in the end.
func form(t *testing.T, c *http.Client, address string, fields ...string) int {
	t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	resp, err := c.PostForm(address, values)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestEscalatesOnce: who was told is not told again because another could not be.
func TestEscalatesOnce(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		var well, ill atomic.Int64
		told := make(chan struct{}, 100)
		receiver := func(n *atomic.Int64, fails int64) string {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if n.Add(1) <= fails {
					http.Error(w, "not now", http.StatusServiceUnavailable)
					return
				}
				_, _ = io.WriteString(w, "ok")
				told <- struct{}{}
			}))
			t.Cleanup(s.Close)
			return s.URL
		}
		_, base := started(t, o, fmt.Sprintf("notify: {well: {type: slack, url: '%s'}, ill: {type: slack, url: '%s'}}\nescalate: {after: 1ms, to: [well, ill]}\n", receiver(&well, 0), receiver(&ill, 2)))
		if status, text := post(t, base+"/hooks/alertmanager", payload(1)); status != http.StatusAccepted {
			t.Fatal(status, text)
		}
		for range 2 {
			select {
			case <-told:
			case <-time.After(time.Minute):
				t.Fatal("somebody was not told")
			}
		}
		if well.Load() != 1 || ill.Load() != 3 {
			t.Errorf("asked %d and %d times, want 1 and 3", well.Load(), ill.Load())
		}
	})
}

// TestTriesPlaybooksAgain: what the database could not take is taken later, though the
// file does not change any more.
func TestTriesPlaybooksAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var failed atomic.Int64
	d, err := daemon.New(t.Context(), daemon.Options{
		Source: daemon.Source{File: configured(t, "playbooks: {dir: '"+dir+"'}\n"), Flags: map[string]string{"listen": "127.0.0.1:0", "data": t.TempDir()}},
		Log:    slog.New(slog.NewTextHandler(counting{&failed, "cannot load anew"}, nil)),
	})
	if err == nil {
		err = d.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	statement := func(sql string) {
		t.Helper()
		if err := d.State().Tx(t.Context(), func(tx *state.Tx) error { _, err := tx.SQL.ExecContext(t.Context(), sql); return err }); err != nil {
			t.Fatal(err)
		}
	}
	statement("CREATE TRIGGER full BEFORE INSERT ON playbooks BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("trigger: redis_memory_high\nactions: [wait: 1s]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("a full disk: %v", err)
	}
	until(t, "it was tried without being told", func() bool { return failed.Load() > 0 })
	statement("DROP TRIGGER full")
	until(t, "the playbook is in force", func() bool {
		books, err := d.State().CurrentPlaybooks(t.Context())
		return err == nil && len(books) == 1
	})
}

// counting counts the lines that hold a text.
type counting struct {
	n    *atomic.Int64
	text string
}

func (c counting) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(c.text)) {
		c.n.Add(1)
	}
	return len(line), nil
}
