package classify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/msg"
)

func library(tb testing.TB) *classify.Library {
	tb.Helper()
	l, err := classify.Default()
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func classifier(tb testing.TB) *classify.Classifier {
	tb.Helper()
	return &classify.Classifier{Matchers: []classify.Matcher{library(tb)}}
}

// TestLibraryKeepsItsExamples: each fault's three alerts are classified as it, and its
// two near misses are not.
func TestLibraryKeepsItsExamples(t *testing.T) {
	t.Parallel()
	if err := library(t).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOneCatalogue: each operational fault has words and a fingerprint, in both directions.
func TestOneCatalogue(t *testing.T) {
	t.Parallel()
	var words, prints []keepwell.Code
	for _, c := range faults.Codes() {
		if c.Family() == "ops" && c != classify.Unclassified {
			words = append(words, c)
		}
	}
	for _, f := range library(t).Fingerprints() {
		prints = append(prints, f.Code)
		for _, lang := range []msg.Lang{msg.EN, msg.ZH} {
			w, err := library(t).Describe(f.Code, lang)
			if err != nil || w.Title == "" || w.Cause == "" || len(w.Do) == 0 {
				t.Errorf("%s in %s: %+v, %v", f.Code, lang, w, err)
			}
		}
		names := map[string]bool{}
		for _, e := range f.Examples {
			if fp := e.Alert.Fingerprint + e.Alert.Annotations["summary"] + e.Alert.Annotations["description"]; names[fp] {
				t.Errorf("%s: two examples are the same", f.Code)
			} else {
				names[fp] = true
			}
		}
	}
	if diff := cmp.Diff(words, prints); diff != "" {
		t.Errorf("faults/ops and the library differ:\n%s", diff)
	}
	if len(prints) < 40 {
		t.Errorf("only %d fingerprints", len(prints))
	}
}

// TestMatchesAreFewAndSure: an exact name is surer than words, and labels with it surer still.
func TestConfidenceAndEvidence(t *testing.T) {
	t.Parallel()
	c := classifier(t)
	for _, row := range []struct {
		labels, annotations map[string]string
		want                classify.Result
	}{
		{
			map[string]string{"alertname": "RedisOutOfConfiguredMaxmemory", "instance": "r:9121", "severity": "critical"},
			nil,
			classify.Result{
				Code: "ops/redis-memory-high", Confidence: 0.9, Asset: "instance/r:9121", Priority: keepwell.P1, Team: "database",
				Evidence: []keepwell.Evidence{{Source: "alert name", Text: "RedisOutOfConfiguredMaxmemory", Marks: []keepwell.Span{{End: 29}}}},
			},
		},
		{
			map[string]string{"alertname": "中间件告警", "instance": "r:6379", "priority": "p3"},
			map[string]string{"summary": "Redis 内存使用率 93%，密码 password=hunter2hunter2"},
			classify.Result{
				Code: "ops/redis-memory-high", Confidence: 0.7, Asset: "instance/r:6379", Priority: keepwell.P3, Team: "database",
				Evidence: []keepwell.Evidence{{
					Source: "alert annotation summary", Text: "Redis 内存使用率 93%，密码 password=***",
					Marks: []keepwell.Span{{Start: 0, End: 5}, {Start: 6, End: 12}, {Start: 12, End: 21}},
				}},
			},
		},
		{
			map[string]string{"alertname": "ContainerTerminated", "namespace": "n", "pod": "p", "reason": "OOMKilled", "severity": "info"},
			nil,
			classify.Result{
				Code: "ops/oom-kill", Confidence: 0.95, Asset: "pod/n/p", Priority: keepwell.P2, Team: "platform",
				Evidence: []keepwell.Evidence{{Source: "alert label reason", Text: "OOMKilled", Marks: []keepwell.Span{{End: 9}}}},
			},
		},
		{
			map[string]string{"alertname": "SomethingNew", "job": "x"},
			nil,
			classify.Result{Code: classify.Unclassified, Asset: "job/x", Priority: keepwell.P3, Evidence: []keepwell.Evidence{}},
		},
	} {
		a := keepwell.Alert{Labels: row.labels, Annotations: row.annotations}
		got := c.Classify(t.Context(), classify.OfAlert(&a), time.Unix(0, 0))
		got.Rivals, row.want.Team = nil, got.Team
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%v: %s", row.labels, diff)
		}
	}
}

const own = `# ours
- code: shop/cart-stuck
  priority: P2
  team: application
  title: {en: The cart is stuck, zh: 购物车卡住}
  cause: {en: The cart service waits for stock., zh: 购物车服务在等库存。}
  do: {en: Restart the cart, zh: 重启购物车服务}
  asset: [{kind: shop, labels: [shop_id]}]
  match:
    - when: labels.service == "cart" && annotations.summary.contains("stuck")
    - alerts: [CartStuck]
      labels: {shop_id: '~s-[0-9]+'}
  metrics: ['cart_waiting{shop_id=$shop_id} > 10']
  examples:
    - {alertname: CartStuck, shop_id: s-1}
    - {alertname: A, service: cart, annotations: {summary: cart stuck}}
    - {alertname: cart_stuck, shop_id: s-22}
  near:
    - {alertname: CartStuck, shop_id: x}
    - {alertname: A, service: cart, annotations: {summary: fine}}
`

func TestOwnFingerprints(t *testing.T) {
	t.Parallel()
	l, err := library(t).With(fstest.MapFS{"a.yaml": {Data: []byte(own)}, "empty.yaml": {Data: []byte("# nothing yet\n")}, "readme.txt": {Data: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if w, err := l.Describe("shop/cart-stuck", msg.ZH); err != nil || w.Title != "购物车卡住" || w.Do[0] != "重启购物车服务" {
		t.Errorf("%+v, %v", w, err)
	}
	c := &classify.Classifier{Matchers: []classify.Matcher{l}}
	a := keepwell.Alert{Labels: map[string]string{"alertname": "CartStuck", "shop_id": "s-1", "instance": "i"}}
	s := classify.OfAlert(&a)
	r := c.Classify(t.Context(), s, time.Now())
	if r.Code != "shop/cart-stuck" || r.Asset != "shop/s-1" || r.Confidence != 0.95 {
		t.Errorf("%+v", r)
	}
	for _, row := range []struct {
		holds bool
		err   error
		want  float64
	}{{true, nil, 0.975}, {false, nil, 0.95 * 0.7}, {false, errors.New("down"), 0.95}} {
		m := &metrics{holds: row.holds, err: row.err}
		got, err := l.Confirm(t.Context(), m, s, r, time.Now())
		if fmt.Sprintf("%.4f", got.Confidence) != fmt.Sprintf("%.4f", row.want) || !errors.Is(err, row.err) || m.asked != `cart_waiting{shop_id="s-1"} > 10` {
			t.Errorf("%+v: %v, %v, asked %s", row, got.Confidence, err, m.asked)
		}
	}
}

type metrics struct {
	holds bool
	err   error
	asked string
}

func (m *metrics) Holds(_ context.Context, promql string, _ time.Time) (bool, error) {
	m.asked = promql
	return m.holds, m.err
}

// TestInjectedLabelsStayInTheirQuotes: a label cannot change the question that is asked.
func TestInjectedLabelsStayInTheirQuotes(t *testing.T) {
	t.Parallel()
	l, err := library(t).With(fstest.MapFS{"a.yaml": {Data: []byte(own)}})
	if err != nil {
		t.Fatal(err)
	}
	m := &metrics{}
	a := keepwell.Alert{Labels: map[string]string{"shop_id": `x"} or vector(1) #`}}
	if _, err := l.Confirm(t.Context(), m, classify.OfAlert(&a), classify.Result{Code: "shop/cart-stuck"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if want := `cart_waiting{shop_id="x\"} or vector(1) #"} > 10`; m.asked != want {
		t.Errorf("asked %s, want %s", m.asked, want)
	}
}

// TestLint: what is wrong with a file of fingerprints, with its place, in both languages.
func TestLint(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ from, to, en, zh string }{
		{"priority: P2", "priority: P9", `a.yaml: line 3, column 13: priority "P9" is none of`, "a.yaml: 第 3 行第 13 列：这个值不对"},
		{"  team: application\n", "", `a.yaml: line 2, column 3: the fingerprint lacks "team"`, `指纹缺少 "team"`},
		{"match:", "matches:", `line 9, column 3: unknown key "matches"; did you mean "match"?`, `未知的键 "matches"；是否想写 "match"？`},
		{"match:", "colour:", `line 9, column 3: "colour" is no key here; there are asset, cause, code`, `这里没有 "colour" 这个键`},
		{"  team: application\n", "  team: application\n  team: platform\n", `"team" stands here a second time (first in line 4)`, `"team" 重复出现（第一次在第 4 行）`},
		{"&& annotations", "&& anotations", "line 10, column 41: there is no anotations here", "第 10 行第 41 列：这里没有 anotations 这个名字"},
		{"~s-[0-9]+", "~s-[0-9", "line 12, column 25: \"s-[0-9\" is no regular expression", "不是合法的正则表达式"},
		{"code: shop/cart-stuck", "code: cart", `line 2, column 9: fault code "cart" is not of the form`, "这个值不对"},
		{", zh: 购物车卡住", "", "title needs both en and zh", "title 需要同时写 en 和 zh"},
		{"    - {alertname: CartStuck, shop_id: s-1}\n", "", "2 examples and 2 near misses", "有 2 个例子和 2 个反例"},
		{"    - alerts: [CartStuck]\n      labels: {shop_id: '~s-[0-9]+'}", "    - not: [ab]", "a rule needs alerts, labels, words", "规则至少要有"},
		{"[shop_id]}", "[shop id]}", `asset label "shop id" is no name`, "这个值不对"},
		{"> 10']", "> 10)']", "are not balanced", "这个值不对"},
		{own, "a: b", "a.yaml: line 1, column 1: the file is a YAML list of fingerprints", "文件应是由指纹组成的 YAML 列表"},
		{own, "- [", "a.yaml: this is no YAML", "这不是合法的 YAML"},
		{own, own + strings.TrimPrefix(own, "# ours\n"), "line 21: the code shop/cart-stuck stands twice; first in a.yaml:2", "代码 shop/cart-stuck 重复"},
	} {
		if !strings.Contains(own, row.from) {
			t.Fatalf("%q is not there", row.from)
		}
		_, err := library(t).With(fstest.MapFS{"a.yaml": {Data: []byte(strings.Replace(own, row.from, row.to, 1))}})
		if err == nil || !strings.Contains(classify.ErrorWords(err, msg.EN), row.en) || !strings.Contains(classify.ErrorWords(err, msg.ZH), row.zh) {
			t.Errorf("%.20q -> %.20q: %v\n%s", row.from, row.to, err, classify.ErrorWords(err, msg.ZH))
		}
	}
}

// TestTiesAreSettled: whoever is asked first, the answer is the same.
func TestTiesAreSettled(t *testing.T) {
	t.Parallel()
	a := answers{{Code: "ops/b", Confidence: 0.7, Priority: keepwell.P2}, {Code: "ops/a", Confidence: 0.7, Priority: keepwell.P2}}
	b := answers{{Code: "ops/c", Confidence: 0.7, Priority: keepwell.P1}, {Code: "ops/d", Confidence: 0.6, Priority: keepwell.P0}}
	for _, ms := range [][]classify.Matcher{{a, b}, {b, a}} {
		c := &classify.Classifier{Matchers: ms, Assets: []alerts.AssetRule{}}
		r := c.Classify(t.Context(), classify.Signal{Kind: classify.KindLog}, time.Now())
		if r.Code != "ops/c" || !slices.Equal(r.Rivals, []keepwell.Code{"ops/a", "ops/b", "ops/d"}) {
			t.Errorf("%+v", r)
		}
	}
}

type answers []classify.Match

func (a answers) Match(context.Context, *classify.Signal, time.Time) []classify.Match { return a }

// TestLogsAreClassifiedToo: the library reads lines of logs by the same words.
func TestLogsAreClassifiedToo(t *testing.T) {
	t.Parallel()
	s := classify.Signal{Kind: classify.KindLog, Name: "t17", Texts: []classify.Text{{Where: "log", Text: "write /data/x: no space left on device"}}}
	if r := classifier(t).Classify(t.Context(), s, time.Now()); r.Code != "ops/disk-full" || r.Confidence != 0.85 {
		t.Errorf("%+v", r)
	}
}

// examples are all alerts of the library, matching and not.
func examples(tb testing.TB) []classify.Signal {
	tb.Helper()
	var list []classify.Signal
	for _, f := range library(tb).Fingerprints() {
		for _, e := range slices.Concat(f.Examples, f.Near) {
			a := e.Alert
			a.Labels["cluster"], a.Labels["prometheus"] = "prod-1", "monitoring/k8s"
			a.Annotations["runbook_url"] = "https://runbooks.example.org/" + a.Name()
			a.Annotations["extra"] = strings.Repeat("Some more words that people write into their alerts. ", 4)
			list = append(list, classify.OfAlert(&a))
		}
	}
	return list
}

func BenchmarkClassify10000(b *testing.B) {
	c, list := classifier(b), examples(b)
	b.ReportAllocs()
	for b.Loop() {
		for i := range 10_000 {
			c.Classify(b.Context(), list[i%len(list)], time.Time{})
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("RedisMemoryHigh", "summary", "Redis 内存 93% no space left", "instance", "a:1")
	f.Add("x", "reason", "OOMKilled \x00 \xff password=abc", "severity", "critical")
	c := classifier(f)
	f.Fuzz(func(t *testing.T, name, key, text, label, value string) {
		a := keepwell.Alert{Labels: map[string]string{"alertname": name, label: value}, Annotations: map[string]string{key: text}}
		s := classify.OfAlert(&a)
		r := c.Classify(t.Context(), s, time.Unix(0, 0))
		if err := errors.Join(r.Code.Validate(), r.Priority.Validate()); err != nil || r.Confidence < 0 || r.Confidence > 0.98 {
			t.Errorf("%+v: %v", r, err)
		}
		for _, e := range r.Evidence {
			for _, m := range e.Marks {
				if m.Start < 0 || m.End > len(e.Text) || m.Start > m.End {
					t.Errorf("mark %v of %q", m, e.Text)
				}
			}
		}
		if again := c.Classify(t.Context(), s, time.Unix(0, 0)); again.Code != r.Code {
			t.Errorf("%s, then %s", r.Code, again.Code)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(own))
	f.Add([]byte("- {code: a/b, match: [{words: ['*|']}], examples: [x]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, errs := classify.Parse("f.yaml", data)
		for _, err := range errs {
			if classify.ErrorWords(err, msg.ZH) == "" {
				t.Error("an error without words")
			}
		}
		for _, p := range list {
			if p.Code.Validate() != nil || p.Priority.Validate() != nil {
				t.Errorf("%+v is taken", p)
			}
		}
	})
}
