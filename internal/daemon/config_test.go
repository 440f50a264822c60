package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepwell/keepwell/internal/access"
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
		"zorp: x\n":           {`1:1: unknown key "zorp"; known are ansible, clusters, data, database, databases, escalate, fingerprints, grace, hooks, http, journal, listen, log, max_runs, modules, notify, oidc, open, playbooks, prometheus, redis, retention, scripts, secrets, tickets, tls, url, workers`},
		"listen: here\n":      {`1:9: listen: want an address and a port such as 127.0.0.1:9620, not "here"`},
		"listen: 0.0.0.0:1\n": {`1:9: 0.0.0.0:1 can be reached from other machines: set tls, or "open: true" where something before keepwell brings TLS`},
		"listen: [a]\n":       {`1:9: listen: want a text on one line`},
		"log: loud\ngrace: 3\n": {
			`1:6: log: want one of json, text`, `2:8: grace: want a time such as 30s, 15m, 12h or 30d`,
		},
		"tls: {cert: a}\nretention: {alerts: 3h}\nworkers: 0\nmax_runs: -1\n": {
			`1:6: tls: cert and key belong together`, `2:21: retention.alerts: too short`,
			`3:10: workers: want 1 or more`, `4:11: max_runs: want a whole number that is not negative`,
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
		"oidc: {issuer: 'https://id.example.org', client_secret: x, roles: {a: root}}\n": {
			"1:7: client_id is missing", "1:7: oidc needs url", "1:57: oidc.client_secret: want a reference such as ${secret:NAME}", "oidc.roles.a: want one of viewer, operator, admin",
		},
		"databases: {a: {url: 'mysql://x/y'}, b: {url: '${secret:DB}'}}\n":                                       {`1:22: databases.a.url: want postgres://`},
		"redis:\n  a: {address: cache}\n  b: {address: 'h:1', db: -1}\n  c: {address: 'unix:/run/redis.sock'}\n": {`2:16: redis.a.address: want a host and a port`, `3:27: redis.b.db: want a whole number`},
		"http: {hosts: [Deploy.example.org], private: [10.0.0.0/8]}\n":                                           {`1:15: http.hosts: "Deploy.example.org" is no host`, `1:46: http.private: "10.0.0.0/8" does not stand under http.hosts`},
		"tickets:\n  a: {type: jira, url: u}\n  b: {type: jira-server, url: u, project: ops, token: t}\n  c: {type: github, url: u, project: ops}\n  d: {type: generic, url: u}\n  e: {type: gitlab, url: u, project: '7', token: t}\n  f: {type: jira, url: u, project: OPS, token: t}\n": {
			`2:6: project is missing`, `2:6: token is missing`, `2:6: user is missing`, `3:43: tickets.b.project: want a project such as OPS`,
			`4:6: token is missing`, `4:38: tickets.c.project: want a project such as team/ops`, `7:6: user is missing`,
		},
		"oidc: {roles: {a: admin}}\n": {"1:7: issuer is missing"},
		"journal: {keys: [0f]}\n":     {`1:17: journal.keys: "0f" is no public key`},
		"a: &x 1\nb: *x\n":            {`1:1: unknown key "a"`, `2:1: unknown key "b"`},
		"url: *x\n":                   {"not YAML"},
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
		Environ: []string{"KEEPWELL_LISTEN=127.0.0.1:2", "KEEPWELL_LOG=text", "KEEPWELL_HTTP_HOSTS=b.example,c.example", "KEEPWELL_SECRET_X=y", "KEEPWELL_RUN=1", "KEEPWELL_TOKEN=kw_x", "KEEPWELL_SERVER=http://127.0.0.1:9620", "OTHER=1"},
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
		for _, dir := range []string{"playbooks", "fingerprints", "secrets", "scripts", "ansible"} {
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

// TestEveryOption: each field of the options of the actions can be set by the configuration,
// or comes from the server.
func TestEveryOption(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = `
url: https://keepwell.example.org
prometheus: https://prometheus.example.org
scripts:
  dirs: [DIR]
  cpu: 1s
  memory_mb: 2
  file_size_mb: 3
  open_files: 4
  uid: 5
  gid: 6
  output_kb: 7
  processes: 8
  files: {readable: [DIR], writable: [DIR], no_tcp: true, strict: true}
ansible: {program: /usr/bin/ansible-playbook, dirs: [DIR], home: DIR, env: [A=b]}
http: {hosts: [a.example.org, b.example.org], private: [b.example.org]}
notify: {a: {type: slack, url: u, key: k, lang: zh, from: f, to: [t], user: v, ca: DIR}}
tickets: {a: {type: jira, url: u, project: OPS, token: t, user: v, issue: i}}
clusters: {a: {kubeconfig: DIR, context: c, account: DIR, namespaces: [n], nodes: true, max_replicas: 9}}
redis: {a: {address: "h:1", user: u, password: p, db: 1, tls: true, ca: DIR, write: true, commands: [GET]}}
databases: {a: {url: "postgres://h/d", write: true}}
`
	c, err := daemon.Load(daemon.Source{File: configured(t, strings.ReplaceAll(text, "DIR", dir))})
	if err != nil {
		t.Fatal(err)
	}
	var empty []string
	look(reflect.ValueOf(c.Options()), "Options", &empty)
	if want := []string{"Options.Now"}; !slices.Equal(empty, want) { // the clock of tests
		t.Errorf("cannot be set: %q, want %q", empty, want)
	}
}

// look lists the fields that are not set.
func look(v reflect.Value, path string, empty *[]string) {
	switch {
	case v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0:
		*empty = append(*empty, path)
	case v.Kind() == reflect.Pointer:
		look(v.Elem(), path, empty)
	case v.Kind() == reflect.Struct:
		for f, field := range v.Fields() {
			if f.IsExported() {
				look(field, path+"."+f.Name, empty)
			}
		}
	case v.Kind() == reflect.Map:
		for _, element := range v.Seq2() {
			look(element, path+"[]", empty)
		}
	}
}

// TestDoor: what the configuration says of how people come in.
func TestDoor(t *testing.T) {
	t.Parallel()
	const oidc = `oidc: {issuer: "https://id.example.org", client_id: kw, client_secret: "${secret:ID}", groups: realm.groups, roles: {sre: admin}, others: viewer, scopes: [groups], name: email}`
	load := func(text string) *daemon.Config {
		c, err := daemon.Load(daemon.Source{File: configured(t, text)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o := load("url: https://KW.example.org/\n" + oidc).DoorOptions([]string{"KEEPWELL_SECRET_ID=hush"})
	secret, err := o.OIDC.Secret()
	if err != nil || secret != "hush" {
		t.Errorf("secret %q, %v", secret, err)
	}
	o.OIDC.Secret = nil
	want := access.Options{Secure: true, Origins: []string{"https://kw.example.org"}, OIDC: &access.OIDC{
		Issuer: "https://id.example.org", ClientID: "kw", Redirect: "https://KW.example.org/login/return", Scopes: []string{"groups"},
		Groups: "realm.groups", Roles: map[string]access.Role{"sre": access.Admin}, Others: access.Viewer, Name: "email",
	}}
	if diff := cmp.Diff(want, o, cmpopts.IgnoreUnexported(access.Options{})); diff != "" {
		t.Error(diff)
	}
	for text, secure := range map[string]bool{
		"": false, "listen: 0.0.0.0:1\nopen: true\n": false, "listen: 0.0.0.0:1\nopen: true\nurl: http://kw.example.org\n": false,
		"listen: 0.0.0.0:1\nopen: true\nurl: https://kw.example.org\n": true, "tls: {cert: c, key: k}\n": true,
	} {
		if got := load(text).DoorOptions(nil).Secure; got != secure {
			t.Errorf("%q: secure %v, want %v", text, got, secure)
		}
	}
}
