//go:build unix

package daemon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/state"
)

// secretNames are those that a text refers to.
func secretNames(text string) (names []string) {
	for _, m := range regexp.MustCompile(`\$\{secret:([A-Z_]+)\}`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func stopped(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// buffer is one that many may write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// words are the keys of the configuration that take a text: those that TestSecrets fills
// with secrets, and the others, which hold none.
func words(v reflect.Type, path string, into map[string]bool) {
	switch v.Kind() {
	case reflect.String:
		into[path] = true
	case reflect.Map, reflect.Slice:
		words(v.Elem(), path, into)
	case reflect.Struct:
		for f := range v.Fields() {
			if name := f.Tag.Get("yaml"); name != "" && f.Tag.Get("path") == "" {
				words(f.Type, strings.TrimPrefix(path+"."+name, "."), into)
			}
		}
	default:
	}
}

// TestSecrets has a secret in every place that takes one. Everything is done once with
// everybody kind and once with everybody refusing and repeating what they were told; then
// no secret is in anything that can be read.
func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := map[string]bool{}
	words(reflect.TypeFor[daemon.Config](), "", keys)
	for _, filled := range []string{"notify.url", "notify.key", "tickets.url", "tickets.token", "redis.password", "databases.url", "prometheus", "hooks.token", "hooks.hmac"} {
		if !keys[filled] {
			t.Errorf("there is no %s", filled)
		}
		delete(keys, filled)
	}
	for _, elsewhere := range []string{"database", "oidc.client_secret"} { // below, and in internal/access
		delete(keys, elsewhere)
	}
	for _, none := range []string{
		"listen", "url", "log", "notify.type", "notify.lang", "notify.from", "notify.to", "notify.user", "tickets.type", "tickets.project", "tickets.user", "tickets.issue",
		"clusters.context", "clusters.namespaces", "redis.address", "redis.user", "redis.commands", "http.hosts", "http.private", "escalate.to", "escalate.channel",
		"ansible.program", "ansible.env", "oidc.issuer", "oidc.client_id", "oidc.scopes", "oidc.groups", "oidc.roles", "oidc.others", "oidc.name",
		"modules.upstream", "modules.allow_private", "journal.keys",
	} {
		delete(keys, none)
	}
	for key := range keys {
		t.Errorf("%s is new: has it a secret? Then it belongs into this test", key)
	}
	book := w.book() + "  - {name: cluster, on_failure: continue, kubernetes: {do: status, object: deployment/web, namespace: shop}}\n"
	var log buffer
	dir := t.TempDir()
	d, base := w.serve(state.Options{Dir: dir}, book, &log)
	running := true
	t.Cleanup(func() {
		if running {
			stopped(t, d)
		}
	})
	names := append(secretNames(w.config()+book), "CLUSTER")
	var runs int
	for i, unkind := range []bool{false, true} {
		w.forget()
		w.turn(unkind)
		steps := w.alert(d, base, fmt.Sprint(i), map[string]string{"alertname": "RedisMemoryHigh", "instance": fmt.Sprint("cache-", i), "evil": "${secret:SCRIPT}", "option": "--x"}, map[string]string{"evil": "{{ .labels.evil }}"})
		for name, s := range steps {
			if failed := unkind || name == "option" || strings.HasPrefix(name, "refused-"); failed != (s.Status == state.StepFailed || s.Status == state.StepUnknown) {
				t.Errorf("unkind %v: %s is %s: %s", unkind, name, s.Status, s.Error)
			}
		}
		runs += len(steps)
		told := w.all.String() + w.read("env")
		for _, name := range names {
			// What is no password of anybody signs, or is not asked for.
			if used := strings.Contains(told, hush(name)) || strings.Contains(told, url.QueryEscape(hush(name))); !used && !slices.Contains([]string{"HOOK", "SIGN", "KEY_SLACK", "KEY_WECOM", "KEY_TEAMS", "KEY_OTHER", "KEY_DINGTALK", "KEY_LARK"}, name) {
				t.Errorf("unkind %v: %s was not used", unkind, name)
			}
		}
	}
	if runs < 50 {
		t.Errorf("%d steps", runs)
	}
	for _, sent := range []string{hush("HOOK") + "x", hush("SIGN")} { // a slip of a sender
		post(t, base+"/hooks/alertmanager?token="+hush("HOOK"), payload(1), "Authorization", "Bearer "+sent, "X-Hub-Signature-256", "sha256="+sent)
	}
	found := map[string]string{"pages and interface": w.walk(d, base)}
	rows, err := d.State().JournalAfter(t.Context(), 0, 10_000)
	if err != nil || len(rows) < 50 {
		t.Errorf("%d entries, %v", len(rows), err)
	}
	for _, row := range rows {
		found["journal"] += row.Body + "\n"
	}
	running = false
	stopped(t, d)
	found["log"] = log.String()
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found["file "+e.Name()] = string(text)
		return err
	})
	if err != nil || !strings.Contains(found["pages and interface"], "X-Token") || !strings.Contains(found["log"], "serving") || len(found) < 4 {
		t.Errorf("nothing was looked at: %v", err)
	}
	for where, text := range found {
		for _, name := range names {
			plain := []byte(hush(name))
			for _, form := range []string{hush(name), url.QueryEscape(hush(name)), base64.StdEncoding.EncodeToString(plain), base64.StdEncoding.EncodeToString(append([]byte("bot:"), plain...)), hex.EncodeToString(plain)} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s is in the %s: …%q…", name, where, text[max(0, at-200):min(len(text), at+100)])
				}
			}
		}
	}
}

// walk reads every page and every answer that can be led to from those that list.
func (w *world) walk(d *daemon.Daemon, base string) string {
	w.Helper()
	const password = "a long word of root"
	if _, err := d.Door().AddUser(w.Context(), "test", "root", access.Admin, password); err != nil {
		w.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	if status := form(w.T, c, base+"/login", "name", "root", "password", password); status != http.StatusOK {
		w.Fatal(status)
	}
	var all strings.Builder
	const v1 = "/api/v1"
	queue := []string{"/", v1 + "/openapi.json", v1 + "/runs", v1 + "/incidents", v1 + "/alerts", v1 + "/journal?limit=1000", v1 + "/journal/export", v1 + "/playbooks", v1 + "/playbooks/hostile", v1 + "/health", "/metrics", "/healthz", "/readyz", v1 + "/nothing"}
	for id := range 3 {
		for _, kind := range []string{"runs", "incidents"} {
			queue = append(queue, fmt.Sprintf("%s/%s/%d", v1, kind, id), fmt.Sprintf("/%s/%d", kind, id))
		}
		queue = append(queue, fmt.Sprintf("%s/runs/%d/steps", v1, id), fmt.Sprintf("%s/incidents/%d/timeline", v1, id))
	}
	link := regexp.MustCompile(`href="(/[^"#]*)"`)
	const most = 150
	good := 0
	for i := 0; i < len(queue) && i < most; i++ {
		resp, err := c.Get(base + queue[i])
		if err != nil {
			w.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			w.Error(err)
		}
		if resp.StatusCode == http.StatusOK {
			good++
		}
		all.Write(text)
		head, err := json.Marshal(resp.Header)
		if err != nil {
			w.Error(err)
		}
		all.Write(head)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if next := strings.ReplaceAll(m[1], "&amp;", "&"); !slices.Contains(queue, next) && !strings.HasPrefix(next, "/assets") {
				queue = append(queue, next)
			}
		}
	}
	const least = 20
	if good < least {
		w.Errorf("%d of %d could be read", good, len(queue))
	}
	return all.String()
}

// TestDatabaseSecret: where the own database refuses and repeats the password, nobody is told it.
func TestDatabaseSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.turn(true)
	var log buffer
	_, err := daemon.New(t.Context(), daemon.Options{Log: logger(&log), Source: daemon.Source{
		Environ: []string{"KEEPWELL_SECRET_DB=" + hush("DB")},
		Flags:   map[string]string{"listen": "127.0.0.1:0", "data": t.TempDir(), "database": "postgres://kw:${secret:DB}@" + w.sql.Addr().String() + "/d?sslmode=disable"},
	}})
	if err == nil || strings.Contains(err.Error()+log.String(), hush("DB")) || !strings.Contains(w.all.String(), hush("DB")) {
		t.Errorf("%v; log %s; told %s", err, log.String(), w.all.String())
	}
}
