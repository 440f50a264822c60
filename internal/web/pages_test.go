package web_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
	"github.com/keepwell/keepwell/internal/web"
)

func get(t *testing.T, c *http.Client, address string) (int, string, http.Header) {
	t.Helper()
	r, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body), r.Header
}

func post(t *testing.T, c *http.Client, address string, form url.Values, header ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body), r.Request.URL.Path
}

// paths are all pages, by a name for pictures.
func (d *demo) paths(t *testing.T) map[string]string {
	return map[string]string{
		"overview": "/", "incidents": "/incidents", "incident": fmt.Sprintf("/incidents/%d", d.find(t, "ops/replication-lag").ID),
		"incident-human": fmt.Sprintf("/incidents/%d", d.find(t, "ops/pod-crash-loop").ID), "incident-unknown": fmt.Sprintf("/incidents/%d", d.find(t, "ops/unclassified").ID),
		"approvals": "/approvals", "playbooks": "/playbooks", "playbook": "/playbooks/redis-memory?days=90", "fingerprints": "/fingerprints", "journal": "/journal?verify=1",
		"settings": "/settings", "keys": "/keys", "nothing": "/nothing/here",
	}
}

var (
	rawKey = regexp.MustCompile(`web\.[a-z]+`)
	latin  = regexp.MustCompile(`<(?:h1|h2|th scope="col"[^>]*|button[^>]*|label)>([A-Za-z][A-Za-z ]+)<`)
	inline = regexp.MustCompile(`(?i)<script>|\son[a-z]+=\s*["']|style="`)
)

func TestPages(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		d := newDemo(t, o, true)
		for _, lang := range []string{"en", "zh"} {
			c := d.client(t, "root", lang)
			for name, path := range d.paths(t) {
				status, body, header := get(t, c, d.URL+path)
				if want := map[bool]int{true: 404, false: 200}[name == "nothing"]; status != want {
					t.Errorf("%s: %d, want %d", path, status, want)
				}
				if m := rawKey.FindString(body); m != "" {
					t.Errorf("%s in %s: no words for %s", path, lang, m)
				}
				if i := strings.Index(body, "%!"); i >= 0 {
					t.Errorf("%s in %s: %s", path, lang, body[i:min(len(body), i+40)])
				}
				if m := inline.FindString(strings.ReplaceAll(body, "data-events", "")); m != "" {
					t.Errorf("%s: %q is inline", path, m)
				}
				if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") {
					t.Errorf("%s: %s", path, csp)
				}
				if m := latin.FindStringSubmatch(body); lang == "zh" && m != nil && m[1] != "English" && m[1] != "redis" && m[1] != "API" {
					t.Errorf("%s is not translated: %q", path, m[1])
				}
				if strings.Contains(body, "<script>document") || strings.Contains(body, "<img src=x") {
					t.Errorf("%s lets an alert write markup", path)
				}
			}
		}
		_, settings, _ := get(t, d.client(t, "root", "en"), d.URL+"/settings")
		if strings.Contains(settings, "cooldown active") || !strings.Contains(settings, `redis-memory</a> · redis-02:6379`) {
			t.Error("cooldowns are shown by their keys")
		}
		// What is hostile is there, as text.
		_, body, _ := get(t, d.client(t, "vic", "en"), d.URL+d.paths(t)["incident-unknown"])
		if !strings.Contains(body, "&lt;script&gt;document.title=") {
			t.Error("the hostile label is not shown")
		}
	})
}

// TestAsked: who approves sees what will be done, as it is, on every page that asks.
func TestAsked(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	for lang, words := range map[string][3]string{
		"en": {"exactly this is done", "with SAID as {", "no script directory is configured"}, "zh": {"批准后将执行以下操作", "设 SAID 为 {", "未配置脚本目录"},
	} {
		c := d.client(t, "ann", lang)
		for _, path := range []string{"/approvals", d.paths(t)["incident"]} {
			_, body, _ := get(t, c, d.URL+path)
			for _, want := range []string{words[0], words[1], words[2], "run_script promote", "312 s behind⟨U+202E⟩gpj.exe", "&lt;script&gt;document"} {
				if !strings.Contains(body, want) {
					t.Errorf("%s in %s: without %q", path, lang, want)
				}
			}
			if strings.ContainsAny(body, "\u202e\u0007") || strings.Contains(body, "<script>document") {
				t.Errorf("%s in %s: a label writes more than text", path, lang)
			}
		}
	}
}

// TestWrongPassword: the form says so, and so does the status.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, false)
	status, body, _ := post(t, d.client(t, "", "en"), d.URL+"/login", url.Values{"name": {"ann"}, "password": {"wrong"}})
	if status != http.StatusUnauthorized || !strings.Contains(body, `name="password"`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestEmpty: a new server says what to do next, on every page.
func TestEmpty(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, false)
	c := d.client(t, "root", "en")
	for path, want := range map[string]string{
		"/": "- url: " + d.URL + "/hooks/alertmanager", "/incidents": "As soon as an alert comes in", "/approvals": "Steps that need a person appear here",
		"/playbooks": "keepwell playbook lint", "/settings": "Nothing is muted",
	} {
		if status, body, _ := get(t, c, d.URL+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q", path, status, want)
		}
	}
}

func TestStateWords(t *testing.T) {
	t.Parallel()
	for kind, values := range web.StateWords() {
		for _, v := range values {
			key := "web." + kind + "." + v
			if msg.Text(msg.EN, key) == key || msg.Text(msg.ZH, key) == key {
				t.Errorf("no words for %s", key)
			}
		}
	}
}

// TestProblemWords: every error that a page tells of has a title and what to do next.
func TestProblemWords(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("inside"), state.ErrNotFound, state.ErrConflict, autopilot.ErrRole, autopilot.ErrSamePerson, autopilot.ErrNothing, autopilot.ErrStale, access.ErrStale, access.ErrLogin,
		access.ErrBusy, access.ErrPassword, access.ErrName, access.ErrLastAdmin, access.ErrProvider, access.ErrToken, access.ErrFlow, access.ErrNoRole, access.ErrTaken, access.ErrAnswer, &http.MaxBytesError{},
	} {
		key := web.ProblemKey(err)
		for _, k := range []string{key, key + ".what"} {
			if msg.Text(msg.EN, k) == k || msg.Text(msg.ZH, k) == k {
				t.Errorf("%v: no words for %s", err, k)
			}
		}
	}
}

func TestWhoMay(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	asked, err := d.st.Approvals(t.Context(), state.ApprovalAsked, 0, state.Page{})
	if err != nil || len(asked) != 1 {
		t.Fatal(asked, err)
	}
	answer := fmt.Sprintf("/approvals/%d", asked[0].ID)
	rows := []struct {
		path string
		form url.Values
		need string
	}{
		{answer, url.Values{"answer": {"nonsense"}}, "ann"},
		{fmt.Sprintf("/runs/%d/settle", asked[0].Run), url.Values{"seq": {"x"}}, "ann"},
		{"/runs/999999/cancel", nil, "ann"},
		{"/runs/999999/undo", nil, "ann"},
		{"/incidents/999999/run", url.Values{"playbook": {"none"}}, "ann"},
		{"/settings/mutes", url.Values{"scope": {"asset"}}, "ann"},
		{"/settings/mutes/999999/lift", nil, "ann"},
		{"/playbooks/none/mode", url.Values{"mode": {"wrong"}}, "root"},
		{"/settings/people", url.Values{"role": {"wrong"}}, "root"},
		{"/settings/people/none", url.Values{"role": {"wrong"}}, "root"},
		{"/settings/tokens", url.Values{"role": {"wrong"}}, "root"},
		{"/settings/tokens/999999/revoke", nil, "root"},
	}
	rank := map[string]int{"": 0, "vic": 1, "ann": 2, "root": 3}
	for who, r := range rank {
		c := d.client(t, who, "en")
		for _, row := range rows {
			status, _, at := post(t, c, d.URL+row.path, row.form)
			switch {
			case who == "":
				if at != "/login" {
					t.Errorf("nobody, %s: %d at %s", row.path, status, at)
				}
			case r < rank[row.need]:
				if status != http.StatusForbidden {
					t.Errorf("%s, %s: %d", who, row.path, status)
				}
			case status != http.StatusNotFound && status != http.StatusUnprocessableEntity && status != http.StatusConflict:
				t.Errorf("%s, %s: %d", who, row.path, status)
			}
		}
		// Seeing needs a login, and changes nothing.
		if _, body, _ := get(t, c, d.URL+"/incidents"); strings.Contains(body, "/logout") == (who == "") {
			t.Errorf("%q sees the wrong page", who)
		}
		if status, _, _ := get(t, c, d.URL+answer+"?answer=approve"); who != "" && status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
			t.Errorf("a GET of %s: %d", answer, status)
		}
	}
	still, err := d.st.Approval(t.Context(), asked[0].ID)
	if err != nil || still.State != state.ApprovalAsked {
		t.Fatalf("%+v %v", still, err)
	}
	// Another site cannot have a browser send the form.
	ann := d.client(t, "ann", "en")
	if status, _, _ := post(t, ann, d.URL+answer, url.Values{"answer": {"approve"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org"); status != http.StatusForbidden {
		t.Errorf("from another site: %d", status)
	}
	// Who put the playbook in force may not approve; another may.
	if status, body, _ := post(t, d.client(t, "root", "en"), d.URL+answer, url.Values{"answer": {"approve"}}); status != http.StatusConflict || !strings.Contains(body, "Another person must approve") {
		t.Errorf("the same person: %d", status)
	}
	if status, body, at := post(t, ann, d.URL+answer, url.Values{"answer": {"approve"}, "next": {"https://evil.example.org/"}}); status != 200 || at != "/" && at != "/approvals" || !strings.Contains(body, "Approved") {
		t.Errorf("approving: %d at %s", status, at)
	}
	if status, _, _ := post(t, ann, d.URL+answer, url.Values{"answer": {"approve"}}); status != http.StatusConflict {
		t.Errorf("approving again: %d", status)
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	ann, root := d.client(t, "ann", "en"), d.client(t, "root", "en")
	ok := func(c *http.Client, path string, form url.Values, want string) string {
		t.Helper()
		status, body, _ := post(t, c, d.URL+path, form)
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q", path, status, want)
		}
		return body
	}
	if status, body, _ := post(t, d.client(t, "root", "zh"), d.URL+"/settings/people/root", url.Values{"disabled": {"yes"}}); status != http.StatusUnprocessableEntity || !strings.Contains(body, "这样将没有任何管理员（提示：") {
		t.Errorf("the last admin: %d, not in Chinese", status)
	}
	lost := d.find(t, "ops/pod-crash-loop")
	runs, err := d.st.Runs(t.Context(), state.RunFilter{Incident: lost.ID}, state.Page{})
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	ok(ann, fmt.Sprintf("/runs/%d/settle", runs[0].ID), url.Values{"seq": {"0"}, "attempt": {"1"}, "made": {"yes"}, "note": {"looked"}}, "Noted.")
	done, err := d.st.Runs(t.Context(), state.RunFilter{Playbook: "redis-memory", State: state.RunDone}, state.Page{Limit: 1})
	if err != nil || len(done) != 1 {
		t.Fatal(done, err)
	}
	undo := fmt.Sprintf("/runs/%d/undo", done[0].ID)
	page := fmt.Sprintf("%s/incidents/%d", d.URL, done[0].Incident)
	if _, body, _ := get(t, ann, page); !strings.Contains(body, undo) || !strings.Contains(body, "Undo takes back, in this order: evict <code>run_script</code>") {
		t.Error("the page does not offer to undo the run, or does not say what of it")
	}
	// A run that has ended, whose step was made and has no undo, is offered none.
	if _, body, _ := get(t, ann, fmt.Sprintf("%s/incidents/%d", d.URL, lost.ID)); strings.Contains(body, fmt.Sprintf("/runs/%d/undo", runs[0].ID)) || strings.Contains(body, "Undo takes back") {
		t.Error("to undo is offered where nothing can be undone")
	}
	ok(ann, undo, nil, "The undo has begun.")
	if _, body, _ := get(t, ann, page); strings.Contains(body, undo) {
		t.Error("a run that was undone can be undone again")
	}
	ok(ann, "/settings/mutes", url.Values{"scope": {"asset"}, "name": {"db-*"}, "for": {"60"}, "why": {"moving"}}, "asset:db-*")
	mutes, err := d.st.ActiveMutes(t.Context())
	if err != nil || len(mutes) != 2 {
		t.Fatal(mutes, err)
	}
	ok(ann, fmt.Sprintf("/settings/mutes/%d/lift", mutes[0].ID), nil, "The mute is lifted.")
	if status, body, _ := post(t, root, d.URL+"/playbooks/certificate/mode", url.Values{"version": {"another"}, "mode": {"off"}, "why": {"late"}}); status != http.StatusConflict || !strings.Contains(body, "Reload the page") {
		t.Errorf("a mode for another version: %d", status)
	}
	book, err := d.st.CurrentPlaybook(t.Context(), "certificate")
	if err != nil || book.Mode != state.ModeObserve {
		t.Fatal(book.Mode, err)
	}
	ok(root, "/playbooks/certificate/mode", url.Values{"version": {book.Version}, "mode": {"active"}, "why": {"seen enough"}}, "The mode has changed.")
	ok(root, "/settings/people", url.Values{"name": {"bob"}, "role": {"viewer"}, "password": {password}}, "bob")
	ok(root, "/settings/people/bob", url.Values{"disabled": {"yes"}}, "disabled")
	if body := ok(root, "/settings/tokens", url.Values{"user": {"ann"}, "name": {"ci"}, "role": {"viewer"}, "scope": {"api", "hooks"}, "days": {"7"}}, "kw_"); strings.Contains(body, "done=") {
		t.Error("the secret may stand in an address")
	}
	if _, body, _ := get(t, root, d.URL+"/settings"); strings.Contains(body, "kw_") || !strings.Contains(body, ">ci<") {
		t.Error("the secret is shown again, or the token is not listed")
	}
	ok(ann, "/settings/password", url.Values{"now": {password}, "new": {"another long password"}}, "The password has changed.")
	if status, _, _ := post(t, ann, d.URL+"/settings/password", url.Values{"now": {"wrong"}, "new": {"another long password"}}); status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong password: %d", status)
	}
	if _, body, _ := get(t, ann, d.URL+"/incidents?q=%23"+fmt.Sprint(lost.ID)); !strings.Contains(body, "支付服务-03") {
		t.Error("#number does not lead to the incident")
	}
	if _, body, _ := get(t, ann, d.URL+"/incidents?q=no+such+thing"); !strings.Contains(body, "No incident fits") {
		t.Error("a search without results does not say so")
	}
	_, first, _ := get(t, ann, d.URL+"/incidents")
	next := regexp.MustCompile(`href="(/incidents\?before=[0-9]+)"`).FindStringSubmatch(first)
	if next == nil {
		t.Fatal("there is no second page")
	}
	if _, second, _ := get(t, ann, d.URL+next[1]); strings.Count(second, "<tr>") < 40 || !strings.Contains(second, "Newest") {
		t.Error("the second page is empty")
	}
	if _, body, _ := get(t, d.client(t, "vic", "zh"), d.URL+"/fingerprints?q=REDIS"); !strings.Contains(body, "ops/redis-memory-high") || strings.Contains(body, "ops/certificate-expiring") {
		t.Error("the search of fingerprints")
	}
	if _, body, _ := get(t, root, d.URL+"/journal?verify=1"); !strings.Contains(body, "The chain holds") {
		t.Error("the chain's state is not told")
	}
	err = d.st.Tx(t.Context(), func(tx *state.Tx) error {
		_, err := tx.SQL.ExecContext(t.Context(), "UPDATE journal SET run_id = 77 WHERE seq = 1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for lang, says := range map[string]string{"en": "the entry is found under other words", "zh": "本条记录的索引字段与其内容不一致"} {
		if _, body, _ := get(t, d.client(t, "root", lang), d.URL+"/journal?verify=1"); !strings.Contains(body, says) {
			t.Errorf("%s: what the chain shows is not told", lang)
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, false)
	_, body, _ := get(t, d.client(t, "", "en"), d.URL+"/login")
	found := regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(found) < 5 {
		t.Fatal(found)
	}
	for _, m := range found {
		status, data, header := get(t, http.DefaultClient, d.URL+m[1])
		if status != 200 || data == "" || !strings.Contains(header.Get("Cache-Control"), "immutable") || header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", m[1], status, header)
		}
	}
	if strings.Contains(body, "https://") {
		t.Error("the page names another server")
	}
	if status, _, _ := get(t, http.DefaultClient, d.URL+"/static/app.css"); status != 404 {
		t.Errorf("without its hash: %d", status)
	}
	// What is vendored is what NOTICE says.
	notice, err := os.ReadFile("NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"static/htmx.min.js", "static/uplot.min.js", "static/uplot.min.css", "testdata/axe.min.js.gz"} {
		data, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(notice), fmt.Sprintf("%s  %s", sum(data), name)) {
			t.Errorf("%s is not what NOTICE says: %v", name, err)
		}
	}
}

// TestReasonsInTheReadersLanguage: whatever the engine gave as a reason, a Chinese page has
// none of its English words, and an English one has them.
func TestReasonsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	verb := regexp.MustCompile(`%(\[\d\])?[a-z]|\{[^}]*\}`)
	var pieces []string
	for _, key := range msg.Keys() {
		if !strings.HasPrefix(key, "why.") {
			continue
		}
		for _, piece := range verb.Split(msg.Text(msg.EN, key), -1) {
			if piece = strings.Trim(piece, " :;,()"); strings.Contains(piece, " ") && len(piece) >= len("not made") {
				pieces = append(pieces, piece)
			}
		}
	}
	if len(pieces) < 50 {
		t.Fatalf("only %d pieces of English", len(pieces))
	}
	found := map[string]map[string]bool{}
	for _, lang := range []string{"en", "zh"} {
		found[lang] = map[string]bool{}
		c := d.client(t, "root", lang)
		for name, path := range d.paths(t) {
			status, page, _ := get(t, c, d.URL+path)
			if status != http.StatusOK && path != "/nothing/here" {
				t.Fatalf("%s: %d", path, status)
			}
			for _, piece := range pieces {
				if strings.Contains(page, html.EscapeString(piece)) {
					found[lang][piece] = true
					if lang == "zh" {
						t.Errorf("%s in Chinese says %q", name, piece)
					}
				}
			}
			if strings.Contains(page, "&#34;key&#34;: &#34;") || strings.Contains(page, `{"key":`) || strings.Contains(page, html.EscapeString(`{"key":`)) {
				t.Errorf("%s shows how a reason is kept", name)
			}
		}
	}
	if len(found["en"]) < 5 {
		t.Errorf("the English pages give few reasons: %v", found["en"])
	}
}

// TestUrgent: what is most severe stands first on the overview, of these the oldest.
func TestUrgent(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	list, err := d.st.UrgentIncidents(t.Context(), 8)
	if err != nil || len(list) < 3 || list[0].Priority != "P0" {
		t.Fatal(list, err)
	}
	for i, inc := range list[1:] {
		if before := list[i]; before.Priority > inc.Priority || before.Priority == inc.Priority && before.Opened.After(inc.Opened) {
			t.Errorf("%s of %s before %s of %s", before.Priority, before.Opened, inc.Priority, inc.Opened)
		}
	}
}
