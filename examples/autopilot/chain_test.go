//go:build linux

package autopilot_test

import (
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

var grouping = flag.Bool("default-grouping", false, "with Alertmanager's default grouping, too; takes 40 s (.ci/full)")

const (
	alertname = "RedisMemoryHigh"
	users     = 500 // keys that must stay
)

// TestChain: Redis fills up; nobody does anything; its temporary keys go, people read of
// it, a ticket is made where it was urgent, and the journal can be proved. How long each
// took is logged and never judged: docs/serve-performance.md has the figures.
func TestChain(t *testing.T) {
	t.Parallel()
	urgent := func(p string) edit {
		return edit{"rules.yml", "{severity: critical}", "{severity: critical, priority: " + p + "}"}
	}
	t.Run("P0", func(t *testing.T) {
		t.Parallel()
		chain(t, newLab(t, urgent("P0")), "P0", 1, "--lang", "zh")
	})
	t.Run("P1", func(t *testing.T) {
		t.Parallel()
		chain(t, newLab(t, urgent("P1")), "P1", 0, "--lang", "en")
	})
	t.Run("default grouping", func(t *testing.T) {
		if !*grouping {
			t.Skip("takes 40 s: -default-grouping (.ci/full)")
		}
		t.Parallel()
		l := newLab(t, edit{"alertmanager.yml", `, group_by: ["..."], group_wait: 0s, group_interval: 1s`, ""})
		l.late = true
		chain(t, l, "P1", 0)
	})
}

func chain(t *testing.T, l *lab, priority string, tickets int, serve ...string) {
	server := l.startAll(serve...)
	s := &story{lab: l}
	s.fill()
	l.until("the keys are gone, the alert is over, people were told, the run has ended", s.over)
	t.Log(s)
	if !l.late {
		l.until("the incident is resolved", func() bool { return strings.Contains(l.get("keepwell", "/metrics"), "\nkeepwell_incidents_open 0\n") })
	}
	l.shown()
	if n, err := l.redis.DBSize(t.Context()).Result(); err != nil || n != users {
		t.Errorf("%d keys are left, %v; want the %d of users", n, err, users)
	}

	slack := l.posted("/slack")
	text, _ := slack[0].body["text"].(string)
	if len(slack) != 1 || slack[0].body["channel"] != "#infra-alerts" || !strings.Contains(text, priority+" "+alertname) || !strings.Contains(text, l.ports["redis"]+" used 9") {
		t.Errorf("Slack read %v", slack)
	}
	// The run has ended: no ticket comes any more.
	made := l.posted("/tickets")
	if len(made) != tickets {
		t.Errorf("%s: %d tickets, want %d: %v", priority, len(made), tickets, made)
	}
	for _, p := range made {
		title, _ := p.body["title"].(string)
		if body, _ := p.body["body"].(string); !strings.Contains(title, priority+" "+alertname) || !strings.Contains(body, "of its memory, now ") {
			t.Errorf("a ticket %v", p.body)
		}
	}

	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-server.ended
	if code := server.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("keepwell serve ended with %d", code)
	}
	proved(t, filepath.Join(l.dir, "data"), tickets)
}

// proved holds the journal to its chain, its signature, and to what happened.
func proved(t *testing.T, data string, tickets int) {
	t.Helper()
	key, err := journal.OpenKey(filepath.Join(data, journal.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	st := statetest.Open(t, state.Options{Dir: data})
	report, err := journal.Verify(t.Context(), st.Reader, journal.Trust{Pinned: []ed25519.PublicKey{key.Public()}})
	if err != nil || len(report.Problems) > 0 || report.Last == 0 || report.Signed != report.Last {
		t.Errorf("the journal: %+v, %v", report, err)
	}
	entries, err := journal.List(t.Context(), st.Reader, state.JournalFilter{}, state.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range entries {
		var data struct{ State, Status string }
		if e.Kind == journal.StepEnded || e.Kind == journal.RunEnded {
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Error(err)
			}
		}
		told = append(told, strings.TrimSpace(fmt.Sprint(e.Kind, " ", data.State, data.Status)))
	}
	slices.Reverse(told) // the newest came first
	ticket := "step.ended skipped"
	if tickets > 0 {
		ticket = "step.ended done"
	}
	story := []string{"server.started", "playbook.changed", "incident.opened", "run.started", "step.intended", "step.ended done", "step.ended done", "step.ended done", ticket, "run.ended done", "server.stopped"}
	next := 0
	for _, what := range told {
		if next < len(story) && what == story[next] {
			next++
		}
	}
	if next < len(story) || slices.Contains(told, "step.ended failed") {
		t.Errorf("the journal tells %q, want among it and in this order %q", told, story)
	}
}

// story is what is seen from outside, each thing at its first time.
type story struct {
	*lab
	breach, fires, below, evicted, resolved time.Time

	looked time.Time
}

// fill writes keys of users and then temporary ones until more than 93 % are used.
func (s *story) fill() {
	s.t.Helper()
	write := func(name string, from, n, size int) {
		pipe := s.redis.Pipeline()
		for i := range n {
			pipe.Set(s.t.Context(), name+strconv.Itoa(from+i), strings.Repeat("x", size), 0)
		}
		if _, err := pipe.Exec(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	write("user:", 0, users, 1000)
	// Names that are awkward to pass on: the first one's second line is a key that must stay.
	for _, name := range []string{"tmp:x\nuser:0", `tmp:"a" 'b' \ $(c)`, "tmp:\xff\x00 "} {
		if err := s.redis.Set(s.t.Context(), name, "x", 0).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
	for n := 0; s.used() < 0.93; n += 200 {
		write("tmp:", n, 200, 4000)
	}
}

// used is the share of Redis' memory that is used.
func (s *story) used() float64 {
	s.t.Helper()
	info, err := s.redis.InfoMap(s.t.Context(), "memory").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(info["Memory"][name], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	share := number("used_memory") / number("maxmemory")
	switch {
	case share > 0.9:
		first(&s.breach)
	case !s.breach.IsZero():
		first(&s.below)
	}
	return share
}

func first(at *time.Time) {
	if at.IsZero() {
		*at = time.Now()
	}
}

// alert is one that Alertmanager lists: it goes on.
type alert struct {
	Labels   map[string]string
	StartsAt time.Time
}

// over looks at everything and tells whether all of it has happened.
func (s *story) over() bool {
	const often = 20 * time.Millisecond // whoever looks more often slows down what it looks at
	if time.Since(s.looked) < often {
		return false
	}
	s.looked = time.Now()
	s.used()
	if n, err := s.redis.DBSize(s.t.Context()).Result(); err == nil && n == users {
		first(&s.evicted)
	}
	var alerts []alert
	if err := json.Unmarshal([]byte(s.get("alertmanager", "/api/v2/alerts")), &alerts); err == nil {
		i := slices.IndexFunc(alerts, func(a alert) bool { return a.Labels["alertname"] == alertname })
		switch {
		case i >= 0:
			s.fires = alerts[i].StartsAt
		case !s.fires.IsZero():
			first(&s.resolved)
		}
	}
	return !s.evicted.IsZero() && !s.resolved.IsZero() && len(s.posted("/slack")) > 0 &&
		strings.Contains(s.get("keepwell", "/metrics"), "\nkeepwell_runs_unfinished 0\n")
}

func (s *story) String() string {
	since := func(at time.Time) string { return fmt.Sprintf("%.2f s", at.Sub(s.breach).Seconds()) }
	return fmt.Sprintf("breach -> fires %s, below 90 %% %s, evicted %s (%.2f s after it fires), resolved %s, Slack %s",
		since(s.fires), since(s.below), since(s.evicted), s.evicted.Sub(s.fires).Seconds(), since(s.resolved), since(s.posted("/slack")[0].at))
}

// TestDemo: the README's command ends well, in Chinese, with a ticket.
func TestDemo(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server", "redis-cli", "prometheus", "prometheus-alertmanager", "prometheus-redis-exporter", "python3", "curl")
	out, err := exec.Command("./demo", "--once", "--lang", "zh", "--priority", "P0").CombinedOutput()
	for _, want := range []string{"keepwell：执行结束：", "事件新开", "已创建工单：P0 " + alertname, "500 个用户键中仍有 500 个"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("no %q, %v:\n%s", want, err, out)
		}
	}
}
