//go:build unix

package daemon_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

// hostileTexts are what an alert may say.
func hostileTexts() []string {
	return []string{
		"$(touch pwned); `id` | sh & '; DROP TABLE users; -- \" \\\" \\",
		"a\r\nBcc: all@evil.example\r\nX-Evil: 1\r\n\r\n*1\r\n$8\r\nFLUSHALL\r\n",
		"{{ .labels.other }} ${secret:SCRIPT} {{ lookup('pipe', 'id') }} <%= 1 %> #{7*7}",
		"<!channel> <users/all> @all @Here @CHANNEL x@everyone <at user_id=\"all\"></at> @**all** @*team* @ann",
		"[bank](http://evil.example) ![p](http://evil.example/p) [a][b]\n[b]: http://evil.example\n<http://evil.example|bank> {html}!http://evil.example/p![~admin|x] &#64;all",
		"/close\n  /move evil/public @team\n\t/label ~x",
		"../../../etc/passwd%00%0d%0aX:%20y?key=y&z#f",
		"web1:all,web1", "\"} or vector(1) #\n' ` \\", "\u202egnp.exe\u200b \u2028 \ufeff\ufffe",
		"<script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1)",
	}
}

const hostileBook = `name: hostile
trigger: redis_memory_high
mode: active
vars: {who: "{{ .annotations.evil }}"}
actions:
  - {name: script, on_failure: continue, run_script: {script: dump.sh, args: ["--", "{{ .labels.evil }}", "--who={{ .vars.who }}"], env: {EVIL: "{{ .labels.evil }}", OUT: "DIR", TOKEN: "${secret:SCRIPT}"}}}
  - {name: option, on_failure: continue, run_script: {script: dump.sh, args: ["{{ .labels.option }}"], env: {OUT: "DIR"}}}
  - {name: http, on_failure: continue, http: {url: "WEB/http/${secret:ADDRESS}", query: {q: "{{ .labels.evil }}"}, headers: {X-Token: "${secret:HEADER}"}, json: {a: ["{{ .labels.evil }}", {b: "<{{ .vars.who }}>"}]}}}
  - {name: promql, on_failure: continue, promql: 'up{instance="{{ .labels.evil }}"}'}
  - {name: redis, on_failure: continue, redis: {command: SET, args: [k, "{{ .labels.evil }}"], allow: write}}
  - {name: sql, on_failure: continue, sql: {query: "SELECT $1::text", args: ["{{ .labels.evil }}"]}}
  - {name: ansible, on_failure: continue, ansible: {playbook: site.yml, inventory: hosts, vars: {said: "{{ .labels.evil }}"}}}
  - {name: refused-limit, on_failure: continue, ansible: {playbook: site.yml, inventory: hosts, limit: "{{ .labels.evil }}"}}
  - {name: refused-object, on_failure: continue, kubernetes: {do: restart, object: "deployment/{{ .labels.evil }}", namespace: shop}}
  - {name: refused-namespace, on_failure: continue, kubernetes: {do: restart, object: deployment/web, namespace: "{{ .labels.evil }}"}}
  - {name: refused-target, on_failure: continue, doctor: "{{ .labels.evil }}"}
  - {name: default-ticket, on_failure: continue, create_ticket: {in: gitlab}}
  - {name: default-slack, on_failure: continue, notify_slack: "#ops"}
`

// book has a step for every receiver and every tracker, too.
func (w *world) book() string {
	b := strings.NewReplacer("DIR", w.dir, "WEB", w.web.URL).Replace(hostileBook)
	for _, kind := range receivers() {
		action := "notify_" + kind + `: {text: "[book](http://book.example) {{ .labels.evil }}"}`
		if kind == "other" {
			action = `notify: {to: other, text: "[book](http://book.example) {{ .labels.evil }}"}`
		}
		b += fmt.Sprintf("  - {name: %s, on_failure: continue, %s}\n", kind, action)
	}
	for _, kind := range trackers() {
		b += fmt.Sprintf("  - {name: %s, on_failure: continue, create_ticket: {in: %s, title: \"T {{ .labels.evil }}\", body: \"[book](http://book.example)\\n{{ .labels.evil }}\", key: \"{{ .labels.evil }}\"}}\n", kind, kind)
	}
	return b
}

// TestHostileAlerts sends texts on the whole way from a sender to everything that actions
// reach: each arrives as one datum where the playbook put it, or the step is refused.
func TestHostileAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.book()
	p, problems := playbook.Read([]byte(book), playbook.Options{Conditions: wire.Conditions()})
	if p == nil || len(problems) > 0 {
		t.Fatal(problems)
	}
	// No parameter of any kind that takes data is left out.
	for _, k := range playbook.Kinds() {
		for _, param := range k.Params {
			if param.Sink != playbook.SinkFixed && !k.Engine && !slices.ContainsFunc(p.Steps, func(s playbook.Step) bool {
				return s.Action.Kind == k.Name && templated(s.Action.Params[param.Name])
			}) {
				t.Errorf("no hostile text goes into %s of %s", param.Name, k.Name)
			}
		}
	}
	d, base := w.serve(state.Options{Dir: t.TempDir()}, book, io.Discard)
	t.Cleanup(func() { stopped(t, d) })
	for i, evil := range hostileTexts() {
		w.forget()
		steps := w.alert(d, base, fmt.Sprint(i), map[string]string{"alertname": "RedisMemoryHigh", "instance": evil, "evil": evil, "other": "TWICE", "option": "--config=x", "n": fmt.Sprint(i)}, map[string]string{"evil": evil})
		for _, s := range p.Steps {
			refused := strings.HasPrefix(s.Name, "refused-") || s.Name == "option"
			if got := steps[s.Name]; refused != (got.Status == state.StepFailed) || !refused && got.Status != state.StepDone {
				t.Errorf("%q: %s is %s: %s", evil, s.Name, got.Status, got.Error)
			}
		}
		w.judge(evil)
	}
	if len(w.others) > 0 {
		t.Errorf("asked for what cannot be: %q", w.others)
	}
}

func templated(v playbook.Value) bool {
	if v.Text.Templated() || slices.ContainsFunc(v.Texts, playbook.Text.Templated) || slices.ContainsFunc(v.Pairs, func(p playbook.Pair) bool { return p.Text.Templated() }) {
		return true
	}
	var walk func(any) bool
	walk = func(tree any) bool {
		switch tree := tree.(type) {
		case playbook.Text:
			return tree.Templated()
		case []any:
			return slices.ContainsFunc(tree, walk)
		case map[string]any:
			for _, e := range tree {
				if walk(e) {
					return true
				}
			}
		}
		return false
	}
	return walk(v.JSON)
}

// judge looks at what arrived of one text.
func (w *world) judge(evil string) {
	w.Helper()
	is := func(what, got, want string) {
		w.Helper()
		if got != want {
			w.Errorf("%s of %q: %q, want %q", what, evil, got, want)
		}
	}
	is("argv", w.read("argv"), "--\x00"+evil+"\x00--who="+evil+"\x00")
	env := strings.Split(w.read("env"), "\x00")
	if !slices.Contains(env, "EVIL="+evil) || slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "X-Evil") }) {
		w.Errorf("environment of %q: %q", evil, env)
	}
	var vars map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(w.read("vars")), &vars); err != nil || len(vars) != 1 || vars["said"].Tag != "!unsafe" {
		w.Errorf("variables of %q: %v %v", evil, err, vars)
	}
	is("variable", vars["said"].Value, evil)
	if strings.Contains(w.read("told"), "--limit") {
		w.Errorf("a limit of %q", evil)
	}
	for _, c := range w.commands {
		if name := strings.ToUpper(c[0]); name == "SET" {
			is("command", strings.Join(c, "|"), "SET|k|"+evil)
		} else if !slices.Contains([]string{"HELLO", "AUTH", "PING", "CLIENT", "SELECT"}, name) {
			w.Errorf("command %q", c)
		}
	}
	is("statement", fmt.Sprintf("%q", w.queries), fmt.Sprintf("%q", [][]string{{"SELECT $1::text", evil}}))
	w.judgeLetter(evil)
	shown := present.Marked(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(evil))
	seen := map[string]int{}
	for _, r := range w.requests {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		seen[name]++
		if r.Header.Get("X-Evil") != "" || strings.Contains(r.body, hush("SCRIPT")) || strings.Contains(r.URL.String(), hush("SCRIPT")) || strings.Contains(r.body, "TWICE") {
			w.Errorf("%s of %q: %v %s", name, evil, r.Header, r.body)
		}
		var body map[string]any
		if r.body != "" {
			if err := json.Unmarshal([]byte(r.body), &body); err != nil {
				w.Errorf("%s of %q: %v", name, evil, err)
			}
		}
		text := func(path ...string) string {
			var at any = body
			for _, p := range path {
				if m, ok := at.(map[string]any); ok {
					at = m[p]
				}
			}
			s, ok := at.(string)
			if !ok {
				w.Errorf("%s of %q: no %q in %s", name, evil, path, r.body)
			}
			return s
		}
		const own = "[book](http://book.example)"
		switch name {
		case "http":
			is("query", fmt.Sprintf("%q", r.URL.Query()), fmt.Sprintf("%q", map[string][]string{"q": {evil}}))
			is("body", fmt.Sprintf("%q", body["a"]), fmt.Sprintf("%q", []any{evil, map[string]any{"b": "<" + evil + ">"}}))
		case "prom":
			query := r.URL.Query()
			if rest := regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`).ReplaceAllString(query.Get("query"), ""); !strings.HasPrefix(query.Get("query"), "up{") { // a fingerprint asks, too
				is("PromQL of a fingerprint", rest, "redis_memory_used_bytes{instance=} / redis_memory_max_bytes{instance=} > 0.9")
				continue
			}
			m := regexp.MustCompile(`^up\{instance=("(?:[^"\\\n]|\\.)*")\}$`).FindStringSubmatch(query.Get("query"))
			if len(query) != 1 || m == nil {
				w.Errorf("PromQL of %q: %q", evil, query)
				continue
			}
			got, err := strconv.Unquote(m[1])
			if err != nil {
				w.Error(err)
			}
			is("PromQL", got, evil)
		case "slack":
			got := text("text")
			if strings.ContainsAny(got, "<>") {
				w.Errorf("slack of %q: %q", evil, got)
			}
			if body["channel"] == nil { // the other one has a text of its own
				is("slack", html.UnescapeString(got), own+" "+shown)
			}
		case "dingtalk", "wecom":
			kind := map[string]string{"dingtalk": "text", "wecom": "text"}[name]
			is(name, text(kind, "content"), own+" "+shown)
			if len(body) != 2 || len(body["text"].(map[string]any)) != 1 {
				w.Errorf("%s of %q: %s", name, evil, r.body)
			}
		case "lark":
			is(name, text("content", "text"), own+" "+strings.ReplaceAll(shown, "<", "＜"))
		case "teams":
			if !strings.Contains(fmt.Sprint(body), "type:TextRun") || strings.Contains(fmt.Sprint(body), "type:TextBlock") {
				w.Errorf("teams of %q: %s", evil, r.body)
			}
		case "hooks": // of Mattermost
			name = "other"
			seen[name]++
			w.calls(name, evil, strings.TrimPrefix(text("text"), own), calling, hiding, `<[!@a-z/]`)
		case "github", "gitlab", "gitea":
			if r.Method == http.MethodGet {
				continue
			}
			key := map[string]string{"github": "body", "gitlab": "description", "gitea": "body"}[name]
			w.calls(name, evil, strings.TrimPrefix(text(key), own), calling, hiding, `(^|[^\\])<[!@a-z/]`, `(?m)^[ \t]*/`, `(^|[^\\])&#`)
			w.calls(name+" title", evil, text("title"), calling)
			if strings.ContainsAny(text("title"), "\r\n") || len(text("title")) > 255 {
				w.Errorf("%s of %q: title %q", name, evil, text("title"))
			}
		case "jira", "jira-server":
			if r.Method == http.MethodGet {
				if jql := r.URL.Query().Get("jql"); !regexp.MustCompile(`^project = "OPS" AND labels = "keepwell-[0-9a-f]{16}" AND statusCategory != Done$`).MatchString(jql) {
					w.Errorf("JQL of %q: %s", evil, jql)
				}
				continue
			}
			if strings.ContainsAny(text("fields", "summary"), "\r\n") {
				w.Errorf("%s of %q: %s", name, evil, r.body)
			}
			if name == "jira-server" && regexp.MustCompile(`(^|[^\\])(\{html|!http|\[~|\[b)`).MatchString(strings.TrimPrefix(text("fields", "description"), own)) {
				w.Errorf("%s of %q: %s", name, evil, r.body)
			}
		case "generic":
			if r.Method == http.MethodGet {
				is("key", fmt.Sprintf("%q", r.URL.Query()), fmt.Sprintf("%q", map[string][]string{"key": {evil}}))
				continue
			}
			is("generic", text("title")+text("key"), "T "+evil+evil)
		default:
			w.Errorf("%q led to %s", evil, r.URL)
		}
	}
	for _, name := range slices.Concat(receivers(), trackers(), []string{"http", "prom"}) {
		if seen[name] == 0 && name != "email" {
			w.Errorf("%q did not come to %s", evil, name)
		}
	}
}

// Marks that call people, and that hide where a link leads.
const (
	calling = `(?i)@(all|here|channel|everyone|\*)|(^|[\s(])@\w`
	hiding  = `[^\\]\][(\[:]`
)

// calls looks for marks.
func (w *world) calls(where, evil, got string, marks ...string) {
	w.Helper()
	for _, mark := range marks {
		if regexp.MustCompile(mark).MatchString(got) {
			w.Errorf("%s of %q has %s: %q", where, evil, mark, got)
		}
	}
}

func (w *world) judgeLetter(evil string) {
	w.Helper()
	if len(w.letters) != 1 || strings.Count(w.all.String(), "to ann@example.org") != 1 {
		w.Errorf("letters of %q: %q", evil, w.letters)
		return
	}
	m, err := mail.ReadMessage(strings.NewReader(w.letters[0]))
	if err != nil {
		w.Error(err)
		return
	}
	for name := range m.Header {
		if !slices.Contains([]string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted"}, name) {
			w.Errorf("header %s of %q", name, evil)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || strings.ContainsAny(subject, "\r\n") {
		w.Errorf("subject of %q: %q %v", evil, subject, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	shown := present.Marked(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(evil))
	if err != nil || !strings.Contains(strings.ReplaceAll(string(text), "\r\n", "\n"), strings.TrimSpace(shown)) {
		w.Errorf("letter of %q: %q %v", evil, text, err)
	}
}
