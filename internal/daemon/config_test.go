package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/msg"
)

// configured writes a configuration into a directory of its own.
func configured(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestProblems: everything that is wrong is told at once, with its place.
func TestProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                    nil,
		"listem: x\n":         {`1:1: unknown key "listem"; did you mean "listen"?`},
		"zorp: x\n":           {`1:1: unknown key "zorp"; known are clusters, data, database, databases, escalate, fingerprints, grace, hooks, http, listen, log, max_runs, notify, open, playbooks, prometheus, redis, retention, scripts, secrets, tickets, tls, url, workers`},
		"listen: here\n":      {`1:9: listen: want an address and a port such as 127.0.0.1:9620, not "here"`},
		"listen: 0.0.0.0:1\n": {`1:9: 0.0.0.0:1 can be reached from other machines: set tls, or "open: true" where something before keepwell brings TLS`},
		"listen: [a]\n":       {`1:9: listen: want a text on one line`},
		"log: loud\ngrace: 3\n": {
			`1:6: log: want one of json, text`, `2:8: grace: want a time such as 30s, 15m, 12h or 30d`,
		},
		"tls: {cert: a}\nretention: {alerts: 3h}\nworkers: 0\nmax_runs: -1\n": {
			`1:6: tls: cert and key belong together`, `2:21: retention.alerts: too short`,
			`3:10: workers: want a whole number that is not negative`, `4:11: max_runs: want a whole number that is not negative`,
		},
		"log: json\nlog: text\nescalate: {to: [nobody]}\n": {
			`2:1: "log" stands here a second time (first in line 1)`, `3:16: there is no receiver "nobody" under notify`,
		},
		"notify: {a: {type: pigeon, urk: x}}\n": {
			`1:28: unknown key "urk"; did you mean "url"?`, `1:13: type: want one of slack, dingtalk, lark, wecom, teams, email, other`, `1:13: url is missing`,
		},
		"hooks:\n  generic:\n    zabbix:\n      labels: '{\"a\": item.'\n": {"4:27: this cannot be read as an expression"},
		"open: perhaps\nplaybooks: {dir: nowhere}\ndatabase: mysql://x\nprometheus: here\n": {
			`1:7: open: want true or false`, `nowhere is no directory`, `database: want postgres://`, `4:13: prometheus: want http:// or https:// and a host`,
		},
		"a: &x 1\nb: *x\n": {`1:1: unknown key "a"`, `2:1: unknown key "b"`},
		"url: *x\n":        {"not YAML"},
	} {
		name := configured(t, text)
		_, err := daemon.Load(daemon.Source{File: name})
		var got []string
		if problems, ok := errors.AsType[daemon.ConfigErrors](err); ok {
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(p.In(msg.EN), name+":"))
				if p.In(msg.ZH) == p.In(msg.EN) {
					t.Errorf("%q: not in Chinese: %s", text, p.In(msg.ZH))
				}
			}
		} else if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if len(got) != len(want) {
			t.Errorf("%q: told\n%s\nwant\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%q: told %q, want %q", text, got[i], want[i])
			}
		}
	}
}

// TestSources: variables outrank the file, flags both; names of files begin where they
// are said.
func TestSources(t *testing.T) {
	t.Parallel()
	name := configured(t, "listen: 127.0.0.1:1\nlog: json\ndata: d\nretention: {alerts: 30d}\nhttp: {hosts: a.example}\nescalate: {after: 5m}\n")
	c, err := daemon.Load(daemon.Source{
		File: name, Flags: map[string]string{"listen": "127.0.0.1:3"},
		Environ: []string{"KEEPWELL_LISTEN=127.0.0.1:2", "KEEPWELL_LOG=text", "KEEPWELL_HTTP_HOSTS=b.example,c.example", "KEEPWELL_SECRET_X=y", "KEEPWELL_RUN=1", "OTHER=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Listen, Log, Data string
		Alerts, After     time.Duration
		Hosts             []string
	}
	want := seen{"127.0.0.1:3", "text", filepath.Join(filepath.Dir(name), "d"), 30 * 24 * time.Hour, 5 * time.Minute, []string{"b.example", "c.example"}}
	if diff := cmp.Diff(want, seen{c.Listen, c.Log, c.Data, c.Retention.Alerts, c.Escalate.After, c.HTTP.Hosts}); diff != "" {
		t.Error(diff)
	}
	_, err = daemon.Load(daemon.Source{Environ: []string{"KEEPWELL_DATABAS=x", "KEEPWELL_WORKERS=many"}})
	problems, _ := errors.AsType[daemon.ConfigErrors](err)
	if text := problems.Text(msg.EN); len(problems) != 2 || !strings.Contains(text, `did you mean "KEEPWELL_DATABASE"?`) || !strings.Contains(text, "KEEPWELL_WORKERS: ") {
		t.Errorf("told %q", text)
	}
	if _, err := daemon.Load(daemon.Source{File: name + ".gone"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestDocs: the configuration of both documents is one that loads.
func TestDocs(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"serve.md", "serve.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", doc))
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(string(text), "```yaml\nlisten:")
		block, _, _ = strings.Cut(block, "```")
		name := configured(t, "listen:"+block)
		for _, dir := range []string{"playbooks", "fingerprints", "secrets", "scripts"} {
			if err := os.Mkdir(filepath.Join(filepath.Dir(name), dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		c, err := daemon.Load(daemon.Source{File: name})
		if err != nil || len(block) < 1000 || c.Redis["cache"].Address == "" {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
