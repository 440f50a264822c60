package daemon_test

import (
	"errors"
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
		"hooks: {token: '${secret:HOOK}'}\nnotify: {a: {type: slack, url: 'ftp://x', key: '${secret:K}'}}\n": {":2:", "notify.a.key", "${secret:K}", "notify.a.url", "hint:"},
		"tickets: {a: {type: jira, url: 'jira.example.org', token: '${secret:HOOK}'}}\n":                     {"1:", "tickets.a.url"},
		"notify: {a: {type: email, url: 'smtp://mail.example.org:25', key: '${secret:HOOK}'}}\n":             nil,
	} {
		_, err := daemon.Check(daemon.Source{File: configured(t, text), Environ: []string{"KEEPWELL_SECRET_HOOK=x"}})
		problems, _ := errors.AsType[daemon.ConfigErrors](err)
		en := problems.Text(msg.EN)
		if (err == nil) != (want == nil) || slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(en, w) }) || err != nil && en == problems.Text(msg.ZH) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
