//go:build linux

package autopilot_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRules: promtool finds nothing to say against the rules, and each alert fires on
// what it is for and on nothing beside it.
func TestRules(t *testing.T) {
	t.Parallel()
	needs(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yml", "keepwell-alerts.yml"}, {"test", "rules", "testdata/rules.test.yml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
	tested := read(t, "testdata/rules.test.yml")
	for _, file := range []string{"rules.yml", "keepwell-alerts.yml"} {
		alerts := regexp.MustCompile(`- alert: (\w+)\n`).FindAllStringSubmatch(read(t, file), -1)
		if len(alerts) == 0 {
			t.Errorf("%s has no alerts", file)
		}
		for _, a := range alerts {
			if !strings.Contains(tested, "alertname: "+a[1]+"\n") {
				t.Errorf("testdata/rules.test.yml does not try %s", a[1])
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestMetricsExist: what dashboard and rules name is what a server tells, and all of its
// own that it tells is on the dashboard.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.server()
	body := `{"alerts": [{"status": "firing", "labels": {"alertname": "Unknown"}, "startsAt": "2026-11-23T05:00:00Z"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+l.ports["keepwell"]+"/hooks/alertmanager", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer demonstration-only")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status)
	}
	served := map[string]bool{}
	for line := range strings.Lines(l.get("keepwell", "/metrics")) {
		name, _, _ := strings.Cut(strings.ReplaceAll(line, "{", " "), " ")
		served[name] = true
	}
	names := regexp.MustCompile(`\b(keepwell|process|go)_[a-z_]+`)
	for _, file := range []string{"grafana.json", "keepwell-alerts.yml"} {
		for _, name := range names.FindAllString(read(t, file), -1) {
			if !served[name] {
				t.Errorf("%s: no metric is called %s", file, name)
			}
		}
	}
	board := read(t, "grafana.json")
	for name := range served {
		if base := regexp.MustCompile(`_(sum|count|bucket)$`).ReplaceAllString(name, ""); strings.HasPrefix(name, "keepwell_") && !strings.Contains(board, base) {
			t.Errorf("%s is not on the dashboard", name)
		}
	}
}

// shown holds dashboard and rules to a Prometheus that scraped keepwell: each expression
// has a value, each rule was evaluated.
func (l *lab) shown() {
	l.t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(l.t, "grafana.json")), &board); err != nil {
		l.t.Fatal(err)
	}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			expr := strings.ReplaceAll(target.Expr, "$job", ".*")
			if got := l.get("prometheus", "/api/v1/query?query="+url.QueryEscape(expr)); !strings.Contains(got, `"value"`) {
				l.t.Errorf("panel %q: %s has no value: %s", panel.Title, expr, got)
			}
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(l.get("prometheus", "/api/v1/rules")), &rules); err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, group := range rules.Data.Groups {
		for _, r := range group.Rules {
			if names = append(names, r.Name); r.Health != "ok" {
				l.t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if !slices.Contains(names, alertname) || !slices.Contains(names, "KeepwellDown") {
		l.t.Errorf("Prometheus has only the rules %q", names)
	}
}
