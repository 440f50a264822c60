package alerts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/msg"
)

func collect(to *[]keepwell.Alert) alerts.Each {
	return func(a keepwell.Alert) error { *to = append(*to, a); return nil }
}

const newest = `{"version":"4","groupKey":"{}:{alertname=\"A\"}","truncatedAlerts":7,"status":"firing","receiver":"keepwell",
 "groupLabels":{"alertname":"A"},"commonLabels":{"alertname":"A"},"commonAnnotations":{},"externalURL":"http://am:9093",
 "notification_reason":"first notification","routeLabels":{"team":"x"},"someday":{"a":[1,{"b":null}]},
 "alerts":[
  {"status":"firing","labels":{"alertname":"A","instance":"a:1"},"annotations":{"summary":"磁盘满"},"startsAt":"2026-05-04T10:00:00.123456789+08:00",
   "endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/g","fingerprint":"c0ffee","newField":[1]},
  {"status":"resolved","labels":{"alertname":"A","instance":"b:1"},"annotations":{},"startsAt":"2026-05-04T02:00:00Z","endsAt":"2026-05-04T02:05:00Z","fingerprint":"beef"}]}`

func TestAlertmanager(t *testing.T) {
	t.Parallel()
	var got []keepwell.Alert
	g, err := alerts.Alertmanager(strings.NewReader(newest), alerts.DefaultLimits(), collect(&got))
	if err != nil {
		t.Fatal(err)
	}
	want := alerts.Group{
		Version: "4", GroupKey: `{}:{alertname="A"}`, Receiver: "keepwell", ExternalURL: "http://am:9093", Truncated: 7, Reason: "first notification",
		GroupLabels: map[string]string{"alertname": "A"}, CommonLabels: map[string]string{"alertname": "A"}, CommonAnnotations: map[string]string{},
		Routed: map[string]string{"team": "x"}, Alerts: 2,
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Error(diff)
	}
	if len(got) != 2 || got[0].Fingerprint != "c0ffee" || got[0].Annotations["summary"] != "磁盘满" || got[0].GeneratorURL != "http://p/g" ||
		got[0].Source != "alertmanager" || !got[0].EndsAt.IsZero() || got[0].Key().StartsAt != time.Date(2026, 5, 4, 2, 0, 0, 123456789, time.UTC).UnixMicro() {
		t.Errorf("%+v", got)
	}
	if got[1].Status != keepwell.AlertResolved || got[1].EndsAt.Sub(got[1].StartsAt) != 5*time.Minute {
		t.Errorf("%+v", got[1])
	}
}

// TestOldAlertmanager: 0.15 sends neither fingerprints nor a count of what it left out.
func TestOldAlertmanager(t *testing.T) {
	t.Parallel()
	var got []keepwell.Alert
	g, err := alerts.Alertmanager(strings.NewReader("\xef\xbb\xbf"+`{"receiver":"r","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":null,"startsAt":"2018-05-04T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":""}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","version":"4","groupKey":"k"}`), alerts.DefaultLimits(), collect(&got))
	if err != nil || g.Alerts != 1 || got[0].Fingerprint != keepwell.FingerprintOf(map[string]string{"alertname": "A"}) {
		t.Errorf("%+v, %+v, %v", g, got, err)
	}
}

func TestGrafana(t *testing.T) {
	t.Parallel()
	var got []keepwell.Alert
	_, err := alerts.Grafana(strings.NewReader(`{"receiver":"r","status":"firing","orgId":1,"version":"1","truncatedAlerts":0,"title":"[FIRING:1]","state":"alerting","message":"m","alerts":[
	 {"status":"firing","labels":{"alertname":"High"},"annotations":{"summary":"s","panelURL":"mine"},"startsAt":"2026-05-04T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"g","fingerprint":"f",
	  "silenceURL":"http://g/s","dashboardURL":"http://g/d","panelURL":"http://g/p","imageURL":"http://g/i.png","values":{"A":93.5,"B":null,"C":1e9},"valueString":"[ var='A' ]","orgId":1}]}`),
		alerts.DefaultLimits(), collect(&got))
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	want := map[string]string{
		"summary": "s", "panelURL": "mine", "silenceURL": "http://g/s", "dashboardURL": "http://g/d", "imageURL": "http://g/i.png",
		"value.A": "93.5", "value.C": "1e+09", "valueString": "[ var='A' ]",
	}
	if diff := cmp.Diff(want, got[0].Annotations); diff != "" || got[0].Source != "grafana" {
		t.Error(diff, got[0].Source)
	}
}

const one = `{"status":"firing","labels":{"a":"b"},"startsAt":"2026-05-04T02:00:00Z"}`

// TestFits: what is too long is cut with a mark, control characters go, and the alert is kept.
func TestFits(t *testing.T) {
	t.Parallel()
	long, many := strings.Repeat("x", 200_000), map[string]string{"summary": "kept"}
	for i := range 300 {
		many[fmt.Sprint("a", i)] = "v"
	}
	body := func(a map[string]any) string {
		a["status"], a["startsAt"] = "firing", "2026-05-04T02:00:00Z"
		data, err := json.Marshal(map[string]any{"alerts": []any{a}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	type pairs = map[string]string
	for name, tt := range map[string]struct {
		alert   map[string]any
		in      string // labels or annotations
		key     string
		want    string // how it ends
		another string // annotation that tells what is left out
	}{
		"a long annotation": {map[string]any{"labels": pairs{"alertname": "A"}, "annotations": pairs{"d": long, "summary": "short"}}, "annotations", "d", " B]", ""},
		"a short one stays": {map[string]any{"labels": pairs{"alertname": "A"}, "annotations": pairs{"d": long, "summary": "short"}}, "annotations", "summary", "short", ""},
		"a long label":      {map[string]any{"labels": pairs{"alertname": "A", "query": long}, "annotations": pairs{"d": long}}, "labels", "query", " B]", ""},
		"NUL in a label":    {map[string]any{"labels": pairs{"alertname": "a\x00b"}}, "labels", "alertname", "a\ufffdb", ""},
		"escapes":           {map[string]any{"labels": pairs{"alertname": "A"}, "annotations": pairs{"d": "a\x1b[2J\n\tb"}}, "annotations", "d", "a\ufffd[2J\n\tb", ""},
		"a NUL in a name":   {map[string]any{"labels": pairs{"a\x00": "b"}}, "labels", "a\ufffd", "b", ""},
		"a long name":       {map[string]any{"labels": pairs{"alertname": "A"}, "annotations": pairs{strings.Repeat("n", 300): "v", "d": "e"}}, "annotations", strings.Repeat("n", 224) + "… [keepwell: -76 B]", "v", ""},
		"an empty name":     {map[string]any{"labels": pairs{"alertname": "A", "": "v"}}, "labels", "alertname", "A", ""},
		"many annotations":  {map[string]any{"labels": pairs{"alertname": "A"}, "annotations": many}, "annotations", "summary", "kept", "annotations (-46)"},
		"many labels":       {map[string]any{"labels": many}, "labels", "summary", "kept", "labels (-45)"},
		"a long address":    {map[string]any{"labels": pairs{"alertname": "A"}, "generatorURL": long}, "labels", "alertname", "A", "generatorURL (-200000 B)"},
		"a long fingerprint": {
			map[string]any{"labels": pairs{"alertname": "A"}, "fingerprint": long}, "labels", "alertname", "A", "",
		},
	} {
		var got []keepwell.Alert
		g, err := alerts.Alertmanager(strings.NewReader(body(tt.alert)), alerts.DefaultLimits(), collect(&got))
		if err != nil || len(got) != 1 || g.Cut != 1 {
			t.Errorf("%s: %d alerts, %d cut, %v %v", name, len(got), g.Cut, g.Refused, err)
			continue
		}
		in := map[string]pairs{"labels": got[0].Labels, "annotations": got[0].Annotations}[tt.in]
		if v := in[tt.key]; !strings.HasSuffix(v, tt.want) || v == "" || got[0].Annotations[alerts.Cutting] != tt.another {
			t.Errorf("%s: %.80q, and %q", name, v, got[0].Annotations[alerts.Cutting])
		}
	}
	var got []keepwell.Alert
	if g, err := alerts.Alertmanager(strings.NewReader(`{"alerts":[`+one+`]}`), alerts.DefaultLimits(), collect(&got)); err != nil || g.Cut != 0 {
		t.Errorf("one that fits: %d cut, %v", g.Cut, err)
	}
}

// TestOneBadAlertLosesNoOther: what is wrong is told by its path, and the rest is kept.
func TestOneBadAlertLosesNoOther(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		`{"status":"firing","labels":{"a":1},"startsAt":"2026-05-04T02:00:00Z"}`: "alerts[1].labels: is a number, not a string",
		`{"status":1}`:                      "alerts[1].status: is a number, not a string",
		`"x"`:                               "alerts[1]: is a string, not a object",
		`{"status":"firing","labels":[]}`:   "alerts[1].labels: is a array",
		`{"status":"firing","startsAt":5}`:  "alerts[1]",
		`{"status":"firing","startsAt":""}`: "alerts[1]",
		`{"status":"firing","labels":{}}`:   "alert: startsAt",
		`{"status":"silent","labels":{"a":"b"},"startsAt":"2026-05-04T02:00:00Z"}`: `status "silent" is none of`,
		`{"labels":{"a":"b"},"startsAt":"2026-05-04T02:00:00Z"}`:                   `status "" is none of`,
		`{"status":"firing","labels":{"":"b"},"startsAt":"2026-05-04T02:00:00Z"}`:  "alerts[1]: labels: none can be used",
	} {
		var got []keepwell.Alert
		g, err := alerts.Alertmanager(strings.NewReader(`{"alerts":[`+one+`,`+bad+`,`+one+`]}`), alerts.DefaultLimits(), collect(&got))
		if err != nil || len(got) != 2 || g.Alerts != 2 || g.RefusedAlerts != 1 || !strings.Contains(errors.Join(g.Refused...).Error(), want) {
			t.Errorf("%.60s: %d alerts, %v, %v; want %q", bad, len(got), g.Refused, err, want)
		}
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``: "unexpected EOF", `[`: "is no object", `{}`: "alerts: is missing", `{"alerts":{}}`: "alerts: is no list", `{"alerts":[],"alerts":[]}`: "twice",
		`{"alerts":[` + one + `]`: "unexpected EOF", `{"alerts":[` + one: "unexpected EOF", `{"alerts":[` + one[:20]: "unexpected EOF",
		`{"alerts":[]} {}`: "goes on", `{"alerts":[],"truncatedAlerts":"x"}`: "truncatedAlerts: is a string, not a int64",
		`{"alerts":[],"x":` + strings.Repeat("[", 5_000): "nested too deeply", `{"alerts":[nope]}`: "invalid character",
	} {
		if _, err := alerts.Alertmanager(strings.NewReader(body), alerts.DefaultLimits(), collect(new([]keepwell.Alert))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	body := `{"alerts":[` + one + `,` + one + `,` + one + `]}`
	for _, l := range []alerts.Limits{{Bytes: 1 << 20, Alerts: 2}, {Bytes: int64(len(body) - 1), Alerts: 10}, {Bytes: 100, Alerts: 10}} {
		if _, err := alerts.Alertmanager(strings.NewReader(body), l, collect(new([]keepwell.Alert))); !errors.Is(err, alerts.ErrTooLarge) {
			t.Errorf("%+v: %v, want ErrTooLarge", l, err)
		}
	}
	if g, err := alerts.Alertmanager(strings.NewReader(body), alerts.Limits{Bytes: int64(len(body)), Alerts: 3}, collect(new([]keepwell.Alert))); err != nil || g.Alerts != 3 {
		t.Errorf("exactly at the limits: %+v, %v", g, err)
	}
	stop := errors.New("stop")
	if _, err := alerts.Alertmanager(strings.NewReader(body), alerts.DefaultLimits(), func(keepwell.Alert) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the caller's own error", err)
	}
}

// storm writes a body of n alerts, without ever holding it.
func storm(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"version":"4","alerts":[`)
		for i := range n {
			if i > 0 {
				_, err = io.WriteString(w, ",")
			}
			if err == nil {
				_, err = fmt.Fprintf(w, `{"status":"firing","labels":{"alertname":"KubePodCrashLooping","pod":"p%d","pad":%q},"annotations":{"summary":"Pod p%d is crash looping."},"startsAt":"2026-05-04T02:00:00Z","fingerprint":"f%d"}`, i, strings.Repeat("x", 500), i, i)
			}
		}
		_, _ = io.WriteString(w, "]}")
		w.CloseWithError(err)
	}()
	return r
}

// TestStormIsStreamed: what a storm holds alive does not grow with it.
func TestStormIsStreamed(t *testing.T) {
	const n = 10_000
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	last, most := "", uint64(0)
	seen := 0
	g, err := alerts.Alertmanager(storm(n), alerts.DefaultLimits(), func(a keepwell.Alert) error {
		last = a.Fingerprint
		if seen++; seen%2_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			most = max(most, during.HeapAlloc)
		}
		return nil
	})
	if err != nil || g.Alerts != n || last != "f9999" {
		t.Fatalf("%d alerts, last %s, %v", g.Alerts, last, err)
	}
	// The body has 7 MB.
	grown := int64(most) - int64(before.HeapAlloc)
	t.Logf("alive while reading: %d KiB more", grown>>10)
	if grown > 1<<20 {
		t.Errorf("%d bytes are alive while a storm is read", grown)
	}
}

func mapping(t *testing.T, doc string) (*alerts.Mapping, error) {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &n); err != nil {
		t.Fatal(err)
	}
	return alerts.NewMapping([]byte(doc), &n)
}

const zabbix = `name: zabbix
alerts: body.events
status: 'item.value == "0" ? "RESOLVED" : "firing"'
labels: '{"alertname": item.trigger, "instance": item.host, "severity": item.?level.orValue("warning"), "id": item.id}'
annotations: '{"summary": item.message, "none": null}'
startsAt: timestamp(int(item.clock))
endsAt: now
fingerprint: '"zabbix-" + string(int(item.id))'
`

func TestMapping(t *testing.T) {
	t.Parallel()
	m, err := mapping(t, zabbix)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	body := `{"events":[{"id":17,"trigger":"Redis 内存使用率过高","host":"db-1","message":"93 %","clock":1777888800,"value":"1"},
	 {"id":18,"trigger":"x","host":"db-2","message":"ok","clock":1777888800,"value":"0","level":"critical"},
	 {"id":19,"trigger":"no host","message":"","clock":1,"value":"1"}]}`
	var got []keepwell.Alert
	g, err := m.Read(t.Context(), strings.NewReader(body), alerts.DefaultLimits(), now, collect(&got))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1777888800, 0).UTC()
	want := []keepwell.Alert{
		{
			Fingerprint: "zabbix-17", Status: keepwell.AlertFiring, StartsAt: start, Source: "zabbix",
			Labels:      map[string]string{"alertname": "Redis 内存使用率过高", "instance": "db-1", "severity": "warning", "id": "17"},
			Annotations: map[string]string{"summary": "93 %"},
		},
		{
			Fingerprint: "zabbix-18", Status: keepwell.AlertResolved, StartsAt: start, EndsAt: now, Source: "zabbix",
			Labels:      map[string]string{"alertname": "x", "instance": "db-2", "severity": "critical", "id": "18"},
			Annotations: map[string]string{"summary": "ok"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if g.Alerts != 2 || g.RefusedAlerts != 1 || !strings.Contains(g.Refused[0].Error(), "mapping zabbix: alerts[2]: labels: line 4, column") {
		t.Errorf("%+v", g)
	}
}

func TestMappingsThatAreWrong(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string][2]string{
		"- x":                             {"line 1, column 1: a mapping is a YAML mapping", "第 1 行第 1 列：映射应是"},
		"name: x":                         {`the mapping lacks "labels"`, `映射缺少 "labels"`},
		"name: grafana\nlabels: '{}'":     {"line 1, column 7: a mapping's name is", "第 1 行第 7 列：映射的名字"},
		"name: x\nlabel: '{}'":            {`line 2, column 1: "label" is no key`, `第 2 行第 1 列：映射中没有 "label"`},
		"name: x\nlabels: '{\"a\": itm}'": {"line 2, column 16: there is no itm here", "第 2 行第 16 列：这里没有 itm"},
	} {
		_, err := mapping(t, doc)
		if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(condition.Words(err, msg.ZH), want[1]) {
			t.Errorf("%q: %v\n%s", doc, err, condition.Words(err, msg.ZH))
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	for _, c := range []struct {
		labels labels
		want   string
	}{
		{labels{"cluster": "c1", "namespace": "shop", "pod": "web-1", "instance": "10.0.0.1:8080"}, "pod/c1/shop/web-1"},
		{labels{"namespace": "shop", "deployment": "web", "pod": "ksm-1"}, "deployment/shop/web"},
		{labels{"namespace": "shop", "persistentvolumeclaim": "data-0", "node": "n1"}, "pvc/shop/data-0"},
		{labels{"node": "n1", "instance": "ksm:8080"}, "node/n1"},
		{labels{"instance": "10.0.0.1:9100", "job": "node"}, "instance/10.0.0.1:9100"},
		{labels{"job": "a/b"}, "job/a%2Fb"},
		{labels{"severity": "page"}, ""},
		{labels{"pod": strings.Repeat("x", 600), "namespace": "n"}, "namespace/n"},
	} {
		if got := alerts.Asset(alerts.DefaultAssets(), c.labels); got != c.want {
			t.Errorf("%v: %q, want %q", c.labels, got, c.want)
		}
	}
	for _, r := range alerts.DefaultAssets() {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, r := range []alerts.AssetRule{{Kind: "Pod", Labels: []string{"a"}}, {Kind: "pod"}, {Kind: "pod", Labels: []string{"a?"}}, {Kind: "pod", Labels: []string{"a b"}}} {
		if r.Validate() == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}

func BenchmarkStorm(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		g, err := alerts.Alertmanager(storm(10_000), alerts.DefaultLimits(), func(keepwell.Alert) error { return nil })
		if err != nil || g.Alerts != 10_000 {
			b.Fatal(g.Alerts, err)
		}
	}
}

// FuzzBodies: no body makes the readers panic, and what they hand on is valid and
// counted; a body that is one document of JSON is never lost without a word.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(newest))
	f.Add([]byte(`{"alerts":[` + one + `,{"status":1},null,[]]}`))
	f.Add([]byte(`{"events":[{"id":1,"trigger":"t","host":"h","message":"m","clock":5,"value":"1"}]}`))
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(zabbix), &n); err != nil {
		f.Fatal(err)
	}
	m, err := alerts.NewMapping([]byte(zabbix), &n)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		handed := 0
		each := func(a keepwell.Alert) error { //nolint:unparam // the shape of Each
			handed++
			if err := a.Validate(); err != nil {
				t.Errorf("handed on: %v", err)
			}
			_ = alerts.Asset(alerts.DefaultAssets(), a.Labels)
			return nil
		}
		l := alerts.Limits{Bytes: 1 << 16, Alerts: 50}
		for _, read := range []func() (alerts.Group, error){
			func() (alerts.Group, error) { return alerts.Alertmanager(strings.NewReader(string(body)), l, each) },
			func() (alerts.Group, error) { return alerts.Grafana(strings.NewReader(string(body)), l, each) },
			func() (alerts.Group, error) {
				return m.Read(t.Context(), strings.NewReader(string(body)), l, time.Unix(1e9, 0), each)
			},
		} {
			handed = 0
			g, err := read()
			if g.Alerts != handed {
				t.Errorf("%d counted, %d handed on", g.Alerts, handed)
			}
			if err == nil && !json.Valid([]byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf"))) {
				t.Errorf("%q is taken", body)
			}
		}
	})
}
