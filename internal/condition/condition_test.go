package condition_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/msg"
)

func alert() *keepwell.Alert {
	start := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	return &keepwell.Alert{
		Fingerprint: "f1", Status: keepwell.AlertFiring, Source: "alertmanager", StartsAt: start,
		Labels:      map[string]string{"alertname": "RedisMemoryHigh", "instance": "10.0.0.5:9121", "team": "storage"},
		Annotations: map[string]string{"summary": "Redis 内存使用率 93%"},
	}
}

func known(p keepwell.Priority) condition.Known {
	return condition.Known{
		Code: "ops/redis-memory-high", Asset: "instance/10.0.0.5:9121", Priority: p, Confidence: 0.95, Repeats: 3,
		Now: alert().StartsAt.Add(10 * time.Minute),
	}
}

// TestPrioritiesReadAsPeopleSayThem: greater is more severe, whatever it is called.
func TestPrioritiesReadAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	for _, a := range keepwell.Priorities() {
		for _, b := range keepwell.Priorities() {
			for op, want := range map[string]bool{
				">": a.Above(b), ">=": !b.Above(a), "<": b.Above(a), "<=": !a.Above(b), "==": a == b, "!=": a != b,
			} {
				for _, name := range []string{"priority", "severity", "if_severity"} {
					text := name + " " + op + " " + string(b)
					p, err := condition.Playbooks().Bool(condition.Plain(text))
					if err != nil {
						t.Fatalf("%s: %v", text, err)
					}
					got, err := p.Holds(t.Context(), condition.OfPlaybook(condition.OfAlert(alert(), known(a)), nil, nil, nil))
					if err != nil || got != want {
						t.Errorf("%s of %s: %s = %v, %v; want %v", name, a, text, got, err, want)
					}
				}
			}
		}
	}
}

// TestUnknownPriorityIsBelowAll: a mistake upstream never makes something severe.
func TestUnknownPriorityIsBelowAll(t *testing.T) {
	t.Parallel()
	p, err := condition.Alerts().Bool(condition.Plain("priority >= P4"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Holds(t.Context(), condition.OfAlert(alert(), known("bogus"))); got || err != nil {
		t.Errorf("an unknown priority is at least P4: %v, %v", got, err)
	}
}

func TestAlertConditions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`labels.team == "storage"`:                                    true,
		`labels.team == "db" || annotations.summary.contains("内存")`:   true,
		`name.startsWith("Redis") && status == "firing"`:              true,
		`name.matches("^(?i)redis.*high$")`:                           true,
		`now - startsAt > duration("5m") && repeats >= 3`:             true,
		`now - startsAt > duration("15m")`:                            false,
		`code == "ops/redis-memory-high" && confidence > 0.9`:         true,
		`has(labels.env) && labels.env == "prod"`:                     false,
		`labels[?"env"].orValue("prod") == "prod"`:                    true,
		`asset.startsWith("instance/") && source in ["alertmanager"]`: true,
		`labels.exists(k, k == "team" && labels[k] == "storage")`:     true,
		`string(priority) == "P2" && fingerprint == "f1"`:             true,
		`endsAt > now`: false,
	} {
		p, err := condition.Alerts().Bool(condition.Plain(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := p.Holds(t.Context(), condition.OfAlert(alert(), known("P2"))); got != want || err != nil {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestPlaybookConditions(t *testing.T) {
	t.Parallel()
	p, err := condition.Playbooks().Bool(condition.Plain(`steps.evict.status == "done" && steps.evict.output.evicted > vars.least && facts.role == "cache"`))
	if err != nil {
		t.Fatal(err)
	}
	v := condition.OfPlaybook(condition.OfAlert(alert(), known("P1")), map[string]any{"role": "cache"}, map[string]any{"least": 10},
		map[string]map[string]any{"evict": {"status": "done", "output": map[string]any{"evicted": 25.0}}})
	if got, err := p.Holds(t.Context(), v); !got || err != nil {
		t.Errorf("= %v, %v", got, err)
	}
	v = condition.OfPlaybook(condition.OfAlert(alert(), known("P1")), nil, nil, nil)
	if got, err := p.Holds(t.Context(), v); got || !errors.Is(err, condition.ErrAbsent) {
		t.Errorf("without that step: %v, %v; want ErrAbsent", got, err)
	}
}

func TestMappingValues(t *testing.T) {
	t.Parallel()
	p, err := condition.Mappings().Any(condition.Plain(`{"name": item.trigger, "at": timestamp(int(item.clock)), "all": body.events.map(e, e.id), "none": null, "p": P1}`))
	if err != nil {
		t.Fatal(err)
	}
	item := map[string]any{"trigger": "磁盘满", "clock": 1777888800.0, "id": "7"}
	got, err := p.Value(t.Context(), condition.Vars{"item": item, "body": map[string]any{"events": []any{item}}, "now": time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "磁盘满", "at": time.Unix(1777888800, 0).UTC(), "all": []any{"7"}, "none": nil, "p": keepwell.P1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWhatIsWrong: what each mistake is told as, in both languages.
func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, en, zh string }{
		{``, "the expression is empty", "表达式为空"},
		{`severity > "P1"`, `a priority is compared with a text; write P1, not "P1"`, `优先级不能与文本比较，请写 P1，不要写成 "P1"`},
		{`"P1" == priority`, `a priority is compared with a text; write P1, not "P1"`, `优先级不能与文本比较，请写 P1，不要写成 "P1"`},
		{`severity > P9`, "there is no P9 here", "这里没有 P9 这个名字"},
		{`lables.team == "x"`, "there is no lables here", "这里没有 lables 这个名字"},
		{`repeats + "1" == "x"`, "+ does not apply to (int, string)", "+ 不能用于 (int, string)"},
		{`labels.team`, "must be of type bool; it is string", "类型应为 bool，实际是 string"},
		{`name.matches(labels.team)`, "the pattern of matches() must be written out here", "matches() 的正则表达式必须直接写在这里"},
		{`name.matches("(")`, "is not accepted", "不被接受"},
		{`name.matches("((a{50}){50}){50}")`, "is not accepted", "不被接受"},
		{`duration("5 minutes") > duration("1s")`, "is not accepted", "不被接受"},
		{`labels.all(a, labels.all(b, labels.all(c, a + b + c != "")))`, "is not accepted", "不被接受"},
		{`labels.all(a, labels.all(b, labels[a] + labels[b] != "x"))`, "may cost more than 1000000 steps", "超过 1000000 步"},
		{`name ==`, "cannot be read as an expression", "无法解析"},
		{strings.Repeat("x", condition.MaxBytes+1), "more than 8192", "超过上限 8192"},
		{strings.Repeat("(", 200), "", ""},
		{strings.Repeat("1+", 3000) + "1 > 0", "", ""},
	} {
		_, err := condition.Alerts().Bool(condition.Plain(c.text))
		var p *condition.SourceError
		if !errors.As(err, &p) {
			t.Errorf("%.40s: %v, want a problem", c.text, err)
			continue
		}
		if en, zh := p.Words(msg.EN), p.Words(msg.ZH); !strings.Contains(en, c.en) || !strings.Contains(zh, c.zh) {
			t.Errorf("%.40s:\n\t%s\n\t%s", c.text, en, zh)
		}
	}
}

// TestPlaces: a mistake is found in the file, whatever style the expression is written in.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"plain":   "a: 1\nif: name == nope\n",
		"single":  "a: 1\nif: 'name == ''x'' && nope'\n",
		"double":  "a: 1\nif: \"name == \\\"x\\\" && nope\"\n",
		"literal": "a: 1\nif: |\n    name == 'x'\n      && nope\n",
		"folded":  "a: 1\nif: >-\n    name == 'x'\n    && nope\n",
		"lines":   "a: 1\nif: name == 'x'\n    && nope\n",
		"Chinese": "a: 1\nif: name == '内存' && nope\n",
		"flow":    "- {a: 1, if: nope}\n",
	} {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(doc), &root); err != nil {
			t.Fatal(err)
		}
		n := root.Content[0]
		if n.Kind == yaml.SequenceNode {
			n = n.Content[0]
		}
		_, err := condition.Alerts().Bool(condition.Node([]byte(doc), n.Content[3]))
		var p *condition.SourceError
		if !errors.As(err, &p) {
			t.Fatalf("%s: %v", name, err)
		}
		before, _, _ := strings.Cut(doc, "nope")
		line := strings.Count(before, "\n") + 1
		column := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
		if p.Line != line || p.Column != column {
			t.Errorf("%s: %d:%d, want %d:%d", name, p.Line, p.Column, line, column)
		}
		if name == "plain" && (p.Error() != "line 2, column 13: there is no nope here" || p.Words(msg.ZH) != "第 2 行第 13 列：这里没有 nope 这个名字") {
			t.Errorf("%s; %s", p.Words(msg.EN), p.Words(msg.ZH))
		}
	}
}

// TestCostWhileRunning: what the checker cannot bound, the run does.
func TestCostWhileRunning(t *testing.T) {
	t.Parallel()
	p, err := condition.Mappings().Any(condition.Plain(`body.all(a, body.all(b, a + b != "x"))`))
	if err != nil {
		t.Fatal(err)
	}
	body := make([]any, 2_000)
	for i := range body {
		body[i] = "element"
	}
	if _, err := p.Value(t.Context(), condition.Vars{"body": body}); !errors.Is(err, condition.ErrCost) {
		t.Errorf("%v, want ErrCost", err)
	}
}

// TestInputIsBounded: what is larger or deeper is not looked at.
func TestInputIsBounded(t *testing.T) {
	t.Parallel()
	p, err := condition.Playbooks().Bool(condition.Plain(`has(facts.x)`))
	if err != nil {
		t.Fatal(err)
	}
	var deep any = "x"
	for range 100 {
		deep = []any{deep}
	}
	for name, x := range map[string]any{"deep": deep, "long": strings.Repeat("x", 5<<20), "many": make([]any, 600_000)} {
		v := condition.OfPlaybook(condition.OfAlert(alert(), known("P1")), map[string]any{"x": []any{x, x}}, nil, nil)
		if _, err := p.Holds(t.Context(), v); err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		`severity > P1`, `labels.team == "x" && annotations.summary.matches("a+b")`, `now - startsAt > duration("5m")`,
		`labels.all(k, labels[k].size() < 10)`, `facts.a.b[3] == vars.x`, `steps.x.output.y in [1, 2.0, 3u]`, `labels[?"a"].orValue("b") == "c"`,
		`"%s".format([name])`, `name.split("").map(c, c + c).join("").size() > 3`, `"内存" in annotations`, `[P0, P1].exists(p, p > severity)`,
	} {
		f.Add(text, "plain", "key")
	}
	f.Add(`x > \`, "a: |\n", "\"")
	f.Fuzz(func(t *testing.T, text, value, key string) {
		a := alert()
		a.Labels[key] = value
		vars := condition.OfPlaybook(condition.OfAlert(a, known("P1")), map[string]any{key: []any{value, 1.5, nil}}, map[string]any{key: value},
			map[string]map[string]any{key: {"output": value}})
		doc, err := yaml.Marshal(map[string]string{"if": text})
		if err != nil {
			t.Skip()
		}
		var root yaml.Node
		if yaml.Unmarshal(doc, &root) != nil || root.Content[0].Content[1].Value != text {
			t.Skip()
		}
		source := condition.Node(doc, root.Content[0].Content[1])
		p, err := condition.Playbooks().Any(source)
		if err != nil {
			var problem *condition.SourceError
			if !errors.As(err, &problem) {
				t.Fatalf("no problem: %v", err)
			}
			if lines := strings.Count(string(doc), "\n") + 1; problem.Line < 1 || problem.Line > lines || problem.Column < 1 {
				t.Fatalf("place %d:%d of %q", problem.Line, problem.Column, doc)
			}
			_ = problem.Words(msg.ZH)
			return
		}
		if _, err := p.Value(t.Context(), vars); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}
