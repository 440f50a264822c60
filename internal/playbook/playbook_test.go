package playbook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

const short = `trigger: redis_memory_high
actions:
  - run_script: scripts/redis-evict-temp-keys.sh
  - notify_slack: "#infra-alerts"
  - create_ticket: if_severity > P1
`

// words is a compiler for tests: an expression is "true", "false" or wrong.
type words struct{}

type truth bool

func (t truth) Holds(context.Context, playbook.Scope) (bool, error) { return bool(t), nil }

func (words) Compile(doc []byte, n *yaml.Node) (playbook.Condition, error) {
	if !strings.Contains(string(doc), n.Value) {
		return nil, errors.New("not the document")
	}
	switch expr := n.Value; expr {
	case "true", "false":
		return truth(expr == "true"), nil
	}
	return nil, fmt.Errorf("undeclared reference to %q", n.Value)
}

func must(t *testing.T, text string) *playbook.Program {
	t.Helper()
	p, problems := playbook.Read([]byte(text), playbook.Options{Conditions: words{}})
	if p == nil {
		t.Fatalf("refused:\n%v", problems)
	}
	return p
}

func TestShortFormAsWritten(t *testing.T) {
	t.Parallel()
	p, problems := playbook.Read([]byte(short), playbook.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if p.Name != "redis_memory_high" || p.Mode != playbook.ModeObserve || p.Concurrency.PerTarget != 1 || len(p.Steps) != 3 {
		t.Errorf("read as %+v", p)
	}
	if got := p.Steps[0].Action.Params["script"].Text.Raw(); got != "scripts/redis-evict-temp-keys.sh" {
		t.Errorf("script %q", got)
	}
	if got := p.Steps[1].Action.Params["channel"].Text.Raw(); got != "#infra-alerts" {
		t.Errorf("channel %q", got)
	}
	if s := p.Steps[0]; s.Idempotent || s.Name != "1-run_script" || s.Retry.Attempts != 1 {
		t.Errorf("a script is not idempotent by itself: %+v", s)
	}
	ticket := p.Steps[2]
	for _, priority := range append(keepwell.Priorities(), "", "P9") {
		ok, reason, err := ticket.Applies(t.Context(), playbook.Scope{Priority: priority})
		if err != nil || ok != (priority == keepwell.P0) || ok != reason.IsZero() {
			t.Errorf("if_severity > P1 at %q: %v %q %v", priority, ok, reason, err)
		}
	}
	for _, trigger := range []string{"redis/memory-high", "other/code"} {
		if got := p.TriggeredBy(keepwell.Code(trigger), "RedisMemoryHigh"); !got {
			t.Errorf("not triggered by %s", trigger)
		}
	}
	if p.TriggeredBy("redis/memory", "RedisMemory") || p.TriggeredBy("", "") {
		t.Error("triggered by something else")
	}
}

func TestSeverityOrder(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{"> P1": "P0", ">= P1": "P0 P1", "< P2": "P3 P4", "<= P2": "P2 P3 P4", "== P3": "P3", "!= P3": "P0 P1 P2 P4"} {
		p := must(t, "trigger: x\nactions:\n  - notify: ops\n    if_severity: \""+written+"\"\n")
		var got []string
		for _, priority := range keepwell.Priorities() {
			if p.Steps[0].IfSeverity.Holds(priority) {
				got = append(got, string(priority))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s holds for %v, want %s", written, got, want)
		}
	}
}

// TestProblems: each text is wrong in the ways listed, and where.
func TestProblems(t *testing.T) {
	t.Parallel()
	const head = "trigger: x\nactions:\n"
	for _, row := range []struct{ text, want string }{
		{"", "1:1 play.empty"},
		{"\xff", "1:1 play.utf8"},
		{"- a", "1:1 play.mapping"},
		{"a: [", "1:1 play.yaml"},
		{short + "---\na: b\n", "6:1 play.documents"},
		{"x: &a 1\ny: *a\n", "1:4 play.anchor"},
		{"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "1:4 play.anchor"},
		{"a: !!python/object 1\n", "1:4 play.tag"},
		{"a: !exec x\n", "1:4 play.tag"},
		{strings.Repeat("[", 40) + strings.Repeat("]", 40), "1:25 play.large"},
		{"triger: x\nactons: []\n", "1:1 play.unknown.near 1:1 play.missing 1:1 play.missing 1:1 play.name 2:1 play.unknown.near"},
		{"trigger: x\ntrigger: y\nactions:\n  - notify: a\n", "2:1 play.twice"},
		{head + "  - run_scrpt: a.sh\n", "3:5 play.kind.near"},
		{head + "  - notify: a\n    http: b\n", "4:5 play.kinds"},
		{head + "  - timeout: 3s\n", "3:5 play.nokind"},
		{head + "  - run_script: {args: [a]}\n", "3:17 play.param"},
		{head + "  - run_script: ../x.sh\n", "3:17 play.script"},
		{head + "  - run_script: /bin/sh\n", "3:17 play.script"},
		{head + "  - run_script: x.sh --all\n", "3:17 play.script.space"},
		{head + "  - run_script: \"{{ .labels.x }}\"\n", "3:17 play.sink"},
		{head + "  - run_script: {script: a, env: {LD_PRELOAD: x, PATH: y, BASH_ENV: z}}\n", "3:35 play.env.refused 3:50 play.env.refused 3:59 play.env.refused"},
		{head + "  - run_script: {script: a, args: [\"${secret:X}\"]}\n", "3:36 play.sink.secret"},
		{head + "  - http: \"http://{{ .labels.host }}/x\"\n", "3:11 play.sink"},
		{head + "  - http: ftp://x/\n", "3:11 play.url"},
		{head + "  - http: http://u:p@x/\n", "3:11 play.url.login"},
		{head + "  - http: {url: 'http://x/', headers: {'X-{{ .asset }}': a, X-B: '{{ .asset }}', Host: b}}\n", "3:40 play.sink 3:66 play.sink 3:82 play.header.refused"},
		{head + "  - http: {url: 'http://x/', json: {'{{ .asset }}': a}}\n", "3:37 play.sink"},
		{head + "  - promql: 'up{job=\"a\"} and {{ .asset }}'\n", "3:13 play.sink.promql"},
		{head + "  - promql: 'up{job=~\"{{ .asset }}\"}'\n", "3:13 play.sink.promql"},
		{head + "  - notify: '{{ .asset }}'\n", "3:13 play.sink"},
		{head + "  - notify: {to: a, text: '${secret:X}'}\n", "3:27 play.sink.secret"},
		{head + "  - notify: {to: a, text: '{{ .vars.x }}'}\n", "3:27 play.var"},
		{head + "  - notify: {to: a, text: '{{ printf .asset }}'}\n", "3:27 play.text.form"},
		{head + "  - notify: {to: a, text: '{{ .secret.x }}'}\n", "3:27 play.text.name"},
		{head + "  - notify: {to: a, text: '{{ .labels.x '}\n", "3:27 play.text.open"},
		{head + "  - run_script: {script: a, env: {A: '${HOME}'}}\n", "3:38 play.text.secret"},
		{head + "  - create_ticket: if_severity > P7\n", "3:20 play.severity"},
		{head + "  - create_ticket: if_severity > P0\n", "3:20 play.severity.never"},
		{head + "  - run_script: a\n    retries: 2\n", "3:5 play.retries"},
		{head + "  - run_script: a\n    if: nonsense\n", "4:9 play.condition"},
		{head + "  - run_script: a\n    verify: {run_script: b}\n", "4:13 play.verify"},
		{head + "  - run_script: a\n    verify: {http: {url: 'http://x/', method: POST}}\n", "4:13 play.verify"},
		{head + "  - run_script: a\n    undo: {wait: 3s}\n", "4:11 play.undo"},
		{head + "  - run_script: a\n    approval: {by: guest, on_expiry: run, within: 1000h}\n", "4:20 play.enum 4:38 play.enum 4:51 play.duration"},
		{head + "  - notify: a\n    name: same\n  - notify: b\n    name: same\n", "5:5 play.stepname"},
		{head + "  - wait: soon\n", "3:11 play.duration"},
		{head + "  - notify: a\ncooldown: -1s\nmax_runs: often\nblast_radius: 0 per 1h\nmode: on\nseverity: P7\nconcurrency: 0\n", "4:11 play.duration 5:11 play.budget 6:15 play.budget 7:7 play.enum 8:11 play.enum 9:14 play.number"},
		{head + "  - notify: a\nmaintenance:\n  - {cron: '* * *', duration: 1h}\n  - {cron: '0 0 31 2 *', duration: 1h}\n  - {cron: '0 0 * * *'}\n  - {cron: '0 0 * * *', duration: 1h, timezone: Mars/Base}\n", "5:12 play.cron 6:12 play.cron 7:5 play.window 8:49 play.zone"},
	} {
		_, problems := playbook.Read([]byte(row.text), playbook.Options{Conditions: words{}})
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Key))
			for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
				if words := p.In(lang); words == p.Key || strings.Contains(words, "%!") {
					t.Errorf("%s in %s: %s", p.Key, lang, words)
				}
			}
		}
		if diff := cmp.Diff(row.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", row.text, diff)
		}
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	many := "trigger: x\nactions:\n" + strings.Repeat("  - notify: a\n", 65)
	for name, text := range map[string]string{
		"play.steps": many,
		"play.long":  "# " + strings.Repeat("x", playbook.MaxText),
		"play.large": "a: [" + strings.Repeat("1,", 11_000) + "]",
	} {
		_, problems := playbook.Read([]byte(text), playbook.Options{})
		if len(problems) != 1 && name != "play.steps" || !problems.Fatal() || problems[0].Key != name {
			t.Errorf("%s: %v", name, problems)
		}
	}
	_, problems := playbook.Read([]byte("trigger: x\nactions:\n  - notify: a\n"+func() (b string) {
		for i := range 500 {
			b += fmt.Sprintf("k%d: 1\n", i)
		}
		return b
	}()), playbook.Options{})
	if len(problems) != 100 {
		t.Errorf("%d problems are told", len(problems))
	}
}

func TestVersionIsOfTheText(t *testing.T) {
	t.Parallel()
	a := must(t, short)
	for name, same := range map[string]string{
		"crlf": strings.ReplaceAll(short, "\n", "\r\n"), "bom": "\ufeff" + short, "end": short + "\n\n",
	} {
		if b := must(t, same); b.Version != a.Version || b.Text != a.Text {
			t.Errorf("%s makes another version", name)
		}
	}
	if b := must(t, short+"cooldown: 1h\n"); b.Version == a.Version || len(a.Version) != 64 {
		t.Error("another text has the same version")
	}
}

// hostile is what an alert may say.
var hostile = []string{
	"$(touch /tmp/x)", "`id`", "; rm -rf /", "{{ .labels.other }}", "${secret:TOKEN}", "a\nb", `"} or vector(1) #`, `\`, `\"`, "' OR 1=1 --", "</script>", "%0d%0aX: y",
}

func TestDataStaysData(t *testing.T) {
	t.Parallel()
	p := must(t, `trigger: x
vars: {who: "{{ .labels.evil }}"}
actions:
  - run_script: {script: a, args: ["--name={{ .vars.who }}", "{{ .labels.evil }}"], env: {A: "<{{ .labels.evil }}>${secret:TOKEN}"}}
  - promql: 'up{instance="{{ .labels.evil }}"}'
  - http: {url: "http://x/", json: {a: ["{{ .labels.evil }}", 1, true, null]}}
`)
	for _, evil := range hostile {
		s, err := p.For(playbook.Scope{Alert: keepwell.Alert{Labels: map[string]string{"evil": evil, "other": "TWICE"}}})
		if err != nil {
			t.Fatal(err)
		}
		script := p.Steps[0].Action.Params
		args, err := playbook.Arguments(script["args"].Texts, s)
		if diff := cmp.Diff([]string{"--name=" + evil, evil}, args); diff != "" || err != nil {
			t.Errorf("arguments of %q: %v\n%s", evil, err, diff)
		}
		text := script["env"].Pairs[0].Text
		env, err := text.Resolved(s, func(string) (string, error) { return "REAL", nil })
		if env != "<"+evil+">REAL" || err != nil {
			t.Errorf("environment of %q: %q %v", evil, env, err)
		}
		if shown, _ := text.Data(s); shown != "<"+evil+">${secret:TOKEN}" {
			t.Errorf("shown %q", shown)
		}
		query, err := p.Steps[1].Action.Params["query"].Text.PromQL(s)
		if err != nil || !regexp.MustCompile(`^up\{instance="(?:[^"\\\n]|\\.)*"\}$`).MatchString(query) {
			t.Errorf("query of %q: %s %v", evil, query, err)
		}
		body, err := playbook.JSON(p.Steps[2].Action.Params["json"].JSON, s)
		if diff := cmp.Diff(map[string]any{"a": []any{evil, 1, true, nil}}, body); diff != "" || err != nil {
			t.Errorf("body of %q: %v\n%s", evil, err, diff)
		}
	}
}

func TestArgumentsThatWouldBeOptions(t *testing.T) {
	t.Parallel()
	s := playbook.Scope{Asset: "--config=/etc/passwd"}
	read := func(list ...string) (out []playbook.Text) {
		for _, w := range list {
			text, err := playbook.ParseText(w)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, text)
		}
		return out
	}
	if _, err := playbook.Arguments(read("{{ .asset }}"), s); !errors.Is(err, playbook.ErrUnfit) {
		t.Errorf("an option by an alert: %v", err)
	}
	for _, list := range [][]string{{"--", "{{ .asset }}"}, {"--host={{ .asset }}"}, {"-x"}} {
		if _, err := playbook.Arguments(read(list...), s); err != nil {
			t.Errorf("%q: %v", list, err)
		}
	}
	if _, err := playbook.Arguments(read("{{ .labels.none }}"), s); !errors.Is(err, playbook.ErrMissing) {
		t.Errorf("a missing label: %v", err)
	}
	if got, err := playbook.Arguments(read(`{{ .labels.none | default "a \" b" }}`), s); err != nil || got[0] != `a " b` {
		t.Errorf("a default: %q %v", got, err)
	}
	s.Asset = "a\x00b"
	if _, err := playbook.Arguments(read("{{ .asset }}"), s); !errors.Is(err, playbook.ErrUnfit) {
		t.Errorf("NUL: %v", err)
	}
	s.Asset = strings.Repeat("x", 20_000)
	if _, err := playbook.Arguments(read("{{ .asset }}"), s); !errors.Is(err, playbook.ErrUnfit) {
		t.Errorf("a long value: %v", err)
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	p := must(t, "trigger: [db/lag, DiskFull]\nmatch: {labels: {env: [prod, stage], team: db}, if: 'true'}\nseverity: P1\nactions:\n  - notify: a\n    if_severity: '>= P1'\n")
	for _, row := range []struct {
		code, env, team string
		want            bool
	}{{"db/lag", "prod", "db", true}, {"db/lag", "stage", "db", true}, {"db/lag", "dev", "db", false}, {"db/lag", "prod", "", false}, {"db/other", "prod", "db", false}} {
		s := playbook.Scope{Code: keepwell.Code(row.code), Alert: keepwell.Alert{Labels: map[string]string{"env": row.env, "team": row.team}}}
		if got, err := p.Wants(t.Context(), s); got != row.want || err != nil {
			t.Errorf("%+v: %v %v", row, got, err)
		}
	}
	s, err := p.For(playbook.Scope{Priority: keepwell.P4})
	if ok, _, _ := p.Steps[0].Applies(t.Context(), s); !ok || err != nil {
		t.Errorf("the playbook's severity counts: %v", err)
	}
	unchecked, _ := playbook.Read([]byte("trigger: x\nmatch: {if: 'true'}\nactions: [notify]\n"), playbook.Options{})
	if unchecked != nil {
		t.Error("notify without a receiver was read")
	}
	unchecked, problems := playbook.Read([]byte("trigger: x\nmatch: {if: 'true'}\nactions: [notify_slack]\n"), playbook.Options{})
	if unchecked == nil || len(problems) != 1 || problems.Fatal() {
		t.Fatalf("without a compiler: %v", problems)
	}
	if ok, err := unchecked.Wants(t.Context(), playbook.Scope{Code: "x"}); ok || err == nil {
		t.Error("a condition that was not compiled holds")
	}
}

func TestMaintenance(t *testing.T) {
	t.Parallel()
	p := must(t, "trigger: x\nactions: [notify_slack]\nmaintenance:\n  - {cron: '30 23 * * 6', duration: 2h, timezone: Asia/Shanghai}\n")
	for at, want := range map[string]bool{ // 2026-11-21 is a Saturday; Shanghai is UTC+8
		"2026-11-21T15:29:59Z": false, "2026-11-21T15:30:00Z": true, "2026-11-21T17:29:59Z": true, "2026-11-21T17:30:00Z": false, "2026-11-22T16:00:00Z": false,
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := p.InMaintenance(when); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	p := must(t, "trigger: x\nactions:\n  - promql: up\n    retries: {count: 5, backoff: 1s, max: 3s}\n")
	r := p.Steps[0].Retry
	if r.Attempts != 6 || r.Delay(1) != time.Second || r.Delay(2) != 2*time.Second || r.Delay(3) != 3*time.Second || r.Delay(60) != 3*time.Second {
		t.Errorf("%+v", r)
	}
}

// TestDocumentation: every example of the documentation is read without a word.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"playbooks.md", "playbooks.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
		if len(blocks) < 3 {
			t.Errorf("%s holds %d examples", name, len(blocks))
		}
		for i, b := range blocks {
			if _, problems := playbook.Read(b[1], playbook.Options{Conditions: anything{}}); len(problems) > 0 {
				t.Errorf("%s, example %d: %v", name, i+1, problems)
			}
		}
		for _, k := range playbook.Kinds() {
			if !strings.Contains(string(text), "`"+k.Name+"`") {
				t.Errorf("%s does not name %s", name, k.Name)
			}
		}
	}
}

type anything struct{}

func (anything) Compile([]byte, *yaml.Node) (playbook.Condition, error) { return truth(true), nil }

func FuzzRead(f *testing.F) {
	f.Add([]byte(short))
	for _, s := range []string{"a: &a [*a]", "trigger: x\nactions: [wait: 1s]", "trigger: x\nmaintenance: [{cron: '* * * * *', duration: 1h}]\nactions:\n - http: {url: 'http://x', json: {a: .inf, b: [{{}}]}}", "? [a]: b", "actions: [{promql: 'a{b=\"{{ .asset }}\"}'}]"} {
		f.Add([]byte(s))
	}
	evil := playbook.Scope{Asset: `"} or up{x="`, Alert: keepwell.Alert{Labels: map[string]string{"a": `\`}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, problems := playbook.Read(text, playbook.Options{Conditions: words{}})
		if (p == nil) != problems.Fatal() {
			t.Fatalf("program %v, problems %v", p, problems)
		}
		for _, pr := range problems {
			// What the file itself says may look like a misprint of fmt.
			misprint := !strings.Contains(string(text), "%!") && strings.Contains(pr.In(msg.ZH)+pr.In(msg.EN), "%!")
			if pr.Line < 1 || pr.Column < 1 || misprint {
				t.Fatalf("problem %+v: %s", pr, pr.In(msg.EN))
			}
		}
		if p == nil {
			return
		}
		again, _ := playbook.Read([]byte(p.Text), playbook.Options{Conditions: words{}})
		if again == nil || again.Version != p.Version {
			t.Fatal("its own text is another version")
		}
		for _, s := range p.Steps {
			for _, v := range s.Action.Params {
				_, _ = v.Text.PromQL(evil)
				_, _ = playbook.JSON(v.JSON, evil)
			}
			k := playbook.LookupKind(s.Action.Kind)
			for name, v := range s.Action.Params {
				if k.Param(name).Sink == playbook.SinkFixed && v.Text.Templated() {
					t.Fatalf("a template in %s.%s", k.Name, name)
				}
			}
		}
	})
}
