//go:build linux

package autopilot_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what our dashboards use of Grafana's model, and nothing else: a key that is
// misspelt is unknown here, while Grafana would pass over it.
type dashboard struct {
	Title, UID, Refresh string
	SchemaVersion       int
	Time                struct{ From, To string }
	Tags                []string
	Templating          struct{ List []variable }
	Panels              []panel
}

type source struct{ Type, UID string }

type variable struct {
	Name, Type, Label, AllValue string
	Datasource                  *source
	Query                       any
	Refresh                     int
	IncludeAll                  bool
	Current                     map[string]string
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  source
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Min        *float64
			Thresholds *struct {
				Mode  string
				Steps []struct {
					Color string
					Value *float64
				}
			}
			Mappings []struct {
				Type    string
				Options map[string]struct{ Text string }
			}
		}
		Overrides []any
	}
	Targets []struct {
		RefID, Expr, LegendFormat, Format string
		Instant                           bool
	}
	Options struct {
		ReduceOptions        struct{ Calcs []string }
		ColorMode, GraphMode string
	}
	Transformations []struct {
		ID      string
		Options struct{ Include struct{ Names []string } }
	}
}

// TestDashboards holds what Grafana makes no sense of to be absent: it says nothing, and
// shows an empty panel. It was written beside Grafana's documentation, without Grafana.
func TestDashboards(t *testing.T) {
	t.Parallel()
	uids := map[string]bool{}
	for _, file := range []string{"grafana.json", "../proxy/grafana.json"} {
		var d dashboard
		dec := json.NewDecoder(strings.NewReader(read(t, file)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		// Data sources are objects since 33; later versions are taken as they are.
		if d.SchemaVersion < 33 || d.Title == "" || !regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`).MatchString(d.UID) || uids[d.UID] {
			t.Errorf("%s: version %d, title %q, uid %q", file, d.SchemaVersion, d.Title, d.UID)
		}
		uids[d.UID] = true
		names := []string{"__rate_interval", "__interval", "__range"}
		for i, v := range d.Templating.List {
			prometheus := v.Type == "datasource" && v.Query == "prometheus"
			if v.Name == "" || slices.Contains(names, v.Name) || (i == 0) != prometheus || !prometheus && (v.Type != "query" || v.Datasource == nil || *v.Datasource != source{"prometheus", "${" + d.Templating.List[0].Name + "}"}) {
				t.Errorf("%s: variable %+v", file, v)
			}
			names = append(names, v.Name)
		}
		if len(d.Templating.List) == 0 || len(d.Panels) == 0 {
			t.Fatalf("%s is empty", file)
		}
		ids := map[int]bool{}
		for i, p := range d.Panels {
			wrong := func(what string, v any) { t.Errorf("%s: panel %q: %s: %v", file, p.Title, what, v) }
			if p.ID <= 0 || ids[p.ID] {
				wrong("id", p.ID)
			}
			ids[p.ID] = true
			if !slices.Contains([]string{"stat", "table", "timeseries"}, p.Type) || p.Title == "" {
				wrong("type", p.Type)
			}
			if p.Datasource != (source{"prometheus", "${" + d.Templating.List[0].Name + "}"}) {
				wrong("data source", p.Datasource)
			}
			if !slices.Contains([]string{"short", "cps", "reqps", "s", "percentunit", "bytes", "Bps"}, p.FieldConfig.Defaults.Unit) {
				wrong("unit", p.FieldConfig.Defaults.Unit)
			}
			g := p.GridPos
			if g.X < 0 || g.Y < 0 || g.W <= 0 || g.H <= 0 || g.X+g.W > 24 {
				wrong("place", g)
			}
			above := g.Y == 0
			for j, other := range d.Panels {
				o := other.GridPos
				beside := g.X < o.X+o.W && o.X < g.X+g.W
				if j < i && beside && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
					wrong("it covers", other.Title)
				}
				above = above || beside && o.Y+o.H == g.Y
			}
			if !above { // Grafana moves it up
				wrong("a gap above", g)
			}
			if s := p.FieldConfig.Defaults.Thresholds; s != nil {
				for i, step := range s.Steps {
					if s.Mode != "absolute" || (i == 0) != (step.Value == nil) || i > 1 && *step.Value <= *s.Steps[i-1].Value {
						wrong("thresholds", step)
					}
				}
			}
			var refs []string
			for _, q := range p.Targets {
				if q.RefID == "" || slices.Contains(refs, q.RefID) || q.Expr == "" {
					wrong("query", q)
				}
				refs = append(refs, q.RefID)
				for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
					if !slices.Contains(names, m[1]) {
						wrong("no variable is called", m[1])
					}
				}
				labels := regexp.MustCompile(`\b(?:by) \(([^)]*)\)`).FindAllStringSubmatch(q.Expr, -1)
				for _, m := range regexp.MustCompile(`\{\{(.*?)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
					if len(labels) > 0 && !slices.Contains(strings.Split(strings.ReplaceAll(labels[0][1], " ", ""), ","), m[1]) {
						wrong("the legend names a label that is gone", m[1])
					}
				}
			}
			if len(refs) == 0 {
				wrong("queries", "none")
			}
		}
	}
}

// TestDashboardQueries: Prometheus reads each query of both dashboards.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	needs(t, "promtool")
	rule := regexp.MustCompile(`\$\{?\w+\}?`)
	var rules []map[string]string
	for _, file := range []string{"grafana.json", "../proxy/grafana.json"} {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				rules = append(rules, map[string]string{"record": fmt.Sprintf("panel%d", len(rules)), "expr": rule.ReplaceAllString(q.Expr, "5m")})
			}
		}
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rules.yml") // JSON is YAML
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", name).CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprint(len(rules), " rules found")) {
		t.Errorf("%v\n%s", err, out)
	}
}
