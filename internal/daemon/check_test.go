package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/msg"
)

// TestCheck: what would show only later is told, with its line, in both languages.
func TestCheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"listen: localhost:0\n":      nil,
		"listen: 127.0.0.300:9620\n": {`:1:9: listen: "127.0.0.300"`},
		"listen: 127.0.0.1:96200\n":  {`:1:9: listen: "96200"`},
		"hooks: {token: '${secret:HOOK}'}\nnotify: {a: {type: slack, url: 'ftp://x', key: '${secret:K}'}}\n":  {":2:", "notify.a.key", "${secret:K}", "notify.a.url", "hint:"},
		"tickets: {a: {type: jira-server, url: 'jira.example.org', project: OPS, token: '${secret:HOOK}'}}\n": {"1:", "tickets.a.url"},
		"clusters: {a: {kubeconfig: nowhere}}\n":                                                 {":1:28: there is no file"},
		"notify: {a: {type: email, url: 'smtp://mail.example.org:25', key: '${secret:HOOK}'}}\n": nil,
	} {
		_, err := daemon.Check(daemon.Source{File: configured(t, text), Environ: []string{"KEEPWELL_SECRET_HOOK=x"}})
		problems, _ := errors.AsType[daemon.ConfigErrors](err)
		en := problems.Text(msg.EN)
		if (err == nil) != (want == nil) || slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(en, w) }) || err != nil && en == problems.Text(msg.ZH) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestCheckPlaybooks: what would fail when an alert comes in is told before the start.
func TestCheckPlaybooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"scripts/evict.sh":  "#!/bin/sh\n",
		"books/well.yaml":   "trigger: redis_memory_high\nactions:\n  - run_script: {script: scripts/evict.sh, args: ['{{ .labels.instance }}']}\n  - notify_slack: '#a'\n  - doctor: '{{ .labels.module }}'\n",
		"books/broken.yaml": "trigger: redis_memory_high\nactions:\n  - run_script: {script: gone.sh, args: ['{{ .labels.instance }}']}\n  - wait: 1s\n  - notify_teams: '#a'\n  - notify_slack: '#a'\n    verify: {promql: {query: up, expect: '> 0'}}\non_failure: [create_ticket: it failed]\n",
		"books/bad.yaml":    "trigger: [\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf("playbooks: {dir: '%s/books'}\nscripts: {dirs: ['%[1]s/scripts']}\nnotify: {slack: {type: slack, url: 'https://hooks.example.org/x'}}\n", dir)
	_, err := daemon.Check(daemon.Source{File: configured(t, config)})
	problems, ok := errors.AsType[daemon.ConfigErrors](err)
	if !ok {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "books", "broken.yaml")
	for lang, wants := range map[msg.Lang][]string{
		msg.EN: {broken + ": step 1-run_script cannot be done: script gone.sh is in none of the directories", broken + ": step 3-notify_teams cannot be done: there is no receiver", broken + ": step 4-notify_slack cannot be done: no Prometheus", broken + ": step 1-create_ticket cannot be done:", "bad.yaml:"},
		msg.ZH: {"步骤 1-run_script 无法执行"},
	} {
		text := problems.Text(lang)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "well.yaml") {
			t.Errorf("nothing is wrong with well.yaml:\n%s", text)
		}
	}
	if len(problems) != 5 {
		t.Errorf("%d problems:\n%s", len(problems), problems.Text(msg.EN))
	}
}
