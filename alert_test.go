package keepwell_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
)

func alert() keepwell.Alert {
	return keepwell.Alert{
		Fingerprint: "5ef77f1f8a3ecf8d", Status: keepwell.AlertFiring, Labels: map[string]string{"alertname": "RedisMemoryHigh", "severity": "page"},
		Annotations: map[string]string{"summary": "内存"}, StartsAt: time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC), Source: "alertmanager",
	}
}

func TestPriorityOrder(t *testing.T) {
	t.Parallel()
	all := keepwell.Priorities()
	for i, p := range all {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		for j, q := range all {
			if p.Above(q) != (i < j) || (p < q) != (i < j) {
				t.Errorf("%s above %s: %v, as texts %v", p, q, p.Above(q), p < q)
			}
		}
	}
	for _, bad := range []keepwell.Priority{"", "p0", "P5", "critical"} {
		if bad.Validate() == nil {
			t.Errorf("%q passed", bad)
		}
		if bad.Above(keepwell.P4) || bad.Above(bad) || !keepwell.P4.Above(bad) {
			t.Errorf("unknown %q does not rank last", bad)
		}
	}
}

func TestAlertValidate(t *testing.T) {
	t.Parallel()
	if err := alert().Validate(); err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range keepwell.MaxAlertPairs + 1 {
		many[strings.Repeat("x", i+1)[:min(i+1, 200)]+string(rune('a'+i%26))+string(rune('0'+i/26))] = "v"
	}
	for name, tt := range map[string]struct {
		change func(*keepwell.Alert)
		want   string
	}{
		"fingerprint": {func(a *keepwell.Alert) { a.Fingerprint = "" }, "no fingerprint"},
		"long":        {func(a *keepwell.Alert) { a.Fingerprint = strings.Repeat("f", 257) }, "fingerprint is longer"},
		"status":      {func(a *keepwell.Alert) { a.Status = "pending" }, `"pending" is none of`},
		"start":       {func(a *keepwell.Alert) { a.StartsAt = time.Time{} }, "startsAt"},
		"nul":         {func(a *keepwell.Alert) { a.Labels["x"] = "a\x00b" }, `labels, "x"`},
		"utf8":        {func(a *keepwell.Alert) { a.Annotations["\xff"] = "" }, `annotations, the name "\xff"`},
		"empty name":  {func(a *keepwell.Alert) { a.Labels[""] = "v" }, "labels, one has an empty name"},
		"url":         {func(a *keepwell.Alert) { a.GeneratorURL = "http://\x00" }, "generatorURL"},
		"source":      {func(a *keepwell.Alert) { a.Source = "\xff" }, "source"},
		"many":        {func(a *keepwell.Alert) { a.Labels = many }, "257 labels"},
		"large":       {func(a *keepwell.Alert) { a.Annotations["x"] = strings.Repeat("x", keepwell.MaxAlertBytes) }, "bytes, more than"},
	} {
		a := alert()
		tt.change(&a)
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want …%s…", name, err, tt.want)
		}
	}
	a := alert()
	a.Fingerprint, a.Status = "", ""
	if err := a.Validate(); err == nil || !strings.Contains(err.Error(), "fingerprint") || !strings.Contains(err.Error(), "status") {
		t.Errorf("not everything at once: %v", err)
	}
}

func TestAlertKey(t *testing.T) {
	t.Parallel()
	a, b := alert(), alert()
	b.StartsAt = b.StartsAt.In(time.FixedZone("", 3600)).Add(100) // nanoseconds are below what is told apart
	b.Annotations = nil
	if a.Key() != b.Key() {
		t.Errorf("%v is not %v", a.Key(), b.Key())
	}
	b.StartsAt = b.StartsAt.Add(time.Microsecond)
	if a.Key() == b.Key() {
		t.Error("another start, same key")
	}
	if a.Name() != "RedisMemoryHigh" {
		t.Error(a.Name())
	}
}

func TestFingerprintOf(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, labels := range []map[string]string{{}, {"a": "b=c"}, {"a=b": "c"}, {"a": "b", "c": "d"}, {"a": "b1:c1:d"}, {"a": ""}} {
		f := keepwell.FingerprintOf(labels)
		if seen[f] || len(f) != 32 {
			t.Errorf("%v: %q", labels, f)
		}
		seen[f] = true
	}
}
