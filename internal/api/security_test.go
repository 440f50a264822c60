package api

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// empty is a path of a route at which nothing is.
func empty(rt route) string {
	r := strings.NewReplacer("{id}", "999999", "{name}", "nobody-at-all", "{version}", "0", "{code...}", "ops/none", "{seq}", "0", "{attempt}", "1")
	return r.Replace(rt.path)
}

// TestMatrix walks all routes by all who may ask: each lets through its role and what is
// above it, by a session or a token for the interface, and nobody else. A route without a
// role fails.
func TestMatrix(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	for _, rt := range r.api.routes {
		if rt.public {
			if rt.id != "getDocument" || rt.role != "" {
				t.Errorf("%s is public", rt.id)
			}
			continue
		}
		if _, err := access.ParseRole(string(rt.role)); err != nil {
			t.Errorf("%s %s takes no role", rt.method, rt.path)
		}
		if rt.method != http.MethodGet && rt.role == access.Viewer && !strings.HasPrefix(rt.path, prefix+"/me/") {
			t.Errorf("%s %s: viewers change something", rt.method, rt.path)
		}
		if rt.id == "streamEvents" {
			continue // does not end by itself: TestEvents
		}
		for who := range r.people {
			var want []int // of those that refuse
			name, scope, token := strings.Cut(who, "-")
			switch {
			case who == "nobody":
				want = []int{http.StatusUnauthorized}
			case token && scope != access.ScopeAPI, !access.Role(name).Allows(rt.role), token && rt.person:
				want = []int{http.StatusForbidden}
			}
			// An empty body of no type: nothing is changed by who may.
			got := r.call(who, rt.method, empty(rt), nil)
			if refused := got.status == http.StatusUnauthorized || got.status == http.StatusForbidden; refused != (want != nil) || refused && !slices.Contains(want, got.status) {
				t.Errorf("%s by %s: %d %s", rt.id, who, got.status, got.body)
			}
			if got.status >= http.StatusInternalServerError && got.status != http.StatusNotImplemented {
				t.Errorf("%s by %s: %d %s", rt.id, who, got.status, got.body)
			}
		}
	}
}

// TestNowhere: what is not registered is not there, and tells nothing.
func TestNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/api/v1/nothing", http.StatusNotFound},
		{http.MethodGet, "/api/v2/incidents", http.StatusNotFound},
		{http.MethodGet, "/api/v1/approvals/1/approve", http.StatusMethodNotAllowed},
		{http.MethodGet, "/api/v1/runs/1/cancel", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/api/v1/incidents/1", http.StatusMethodNotAllowed},
		{http.MethodPost, "/api/v1/incidents", http.StatusMethodNotAllowed},
	} {
		got := r.call("admin", tt.method, tt.path, nil)
		if got.status != tt.status || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, got.status, got.body)
		}
		if tt.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tt.method, tt.path)
		}
	}
}

// TestCrossSite: no write goes through that another site made a browser send.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	for _, rt := range r.api.routes {
		if rt.method == http.MethodGet {
			continue
		}
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example.net"}}} {
			req := r.request("admin", rt.method, empty(rt), "{}")
			for k, v := range header {
				req.Header[k] = v
			}
			if got := r.send(req); got.status != http.StatusForbidden || got.code() != "access.crosssite" {
				t.Errorf("%s: %d %s", rt.id, got.status, got.body)
			}
		}
		// A form of another site can send text only, which is never read.
		if rt.body != nil {
			req := r.request("admin", rt.method, empty(rt), "{}")
			req.Header.Set("Content-Type", "text/plain")
			if rt.id == "changeUser" {
				req.Header.Set("If-Match", `"1"`)
			}
			if got := r.send(req); got.status != http.StatusUnsupportedMediaType && got.status != http.StatusNotFound && got.status != http.StatusUnprocessableEntity {
				t.Errorf("%s takes text: %d %s", rt.id, got.status, got.body)
			}
		}
	}
}

// rows is a sum over all that is stored, apart from what the engine does by itself.
func (r *rig) rows() string {
	r.Helper()
	ctx := r.Context()
	tables := []string{"incidents", "alerts", "playbooks", "playbook_modes", "runs", "steps", "approvals", "cooldowns", "breakers", "mutes", "journal", "users", "tokens", "sessions", "settings", "login_attempts"}
	sum := sha256.New()
	for _, table := range tables {
		all, err := r.st.Writer().QueryContext(ctx, "SELECT * FROM "+table)
		if err != nil {
			r.Fatal(err)
		}
		columns, err := all.Columns()
		if err != nil {
			r.Fatal(err)
		}
		for all.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := all.Scan(values...); err != nil {
				r.Fatal(err)
			}
			for _, v := range values {
				fmt.Fprintf(sum, "%v|", *v.(*any))
			}
		}
		if err := all.Err(); err != nil {
			r.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// TestGetChangesNothing: not even by an admin, not even an approval.
func TestGetChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	f := r.fill()
	before := r.rows()
	for _, rt := range r.api.routes {
		if rt.id == "streamEvents" {
			continue
		}
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			r.call("admin", method, f.path(rt), nil)
		}
	}
	if r.rows() != before {
		t.Error("a GET changed what is stored")
	}
}

// hostile are texts that mean something to shells, paths, SQL, HTML, terminals, headers.
func hostile() []string {
	return []string{
		"../../../etc/passwd", "'; DROP TABLE users; --", `" OR ""="`, "<script>alert(1)</script>", "${jndi:ldap://x}", "$(id)", "`id`", "%00", "\x00", "a\r\nSet-Cookie: x=y",
		"\x1b[2J", "\u202egnp.exe", "\ufeff", "{{.}}", "1e999", "-1", strings.Repeat("9", 40), strings.Repeat("A", 3000), "\xff\xfe", "名字",
	}
}

// TestHostileTexts puts them into every parameter, path and field: nothing fails inside,
// nothing comes back as markup, nothing disappears.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	f := r.fill()
	check := func(what string, got reply) {
		t.Helper()
		if got.status >= http.StatusInternalServerError && got.status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
		if strings.ContainsAny(got.body, "<>\x00\x1b") || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %q", what, got.body)
		}
	}
	for _, rt := range r.api.routes {
		if rt.id == "streamEvents" || rt.id == "getDocument" || rt.id == "exportJournal" {
			continue
		}
		for _, evil := range hostile() {
			for _, p := range rt.query {
				check(rt.id+" "+p.name, r.call("admin", rt.method, empty(rt)+"?"+url.Values{p.name: {evil}}.Encode(), nil))
			}
			if i := strings.Index(rt.path, "{"); i >= 0 {
				end := strings.Index(rt.path, "}")
				check(rt.id+" path", r.call("admin", rt.method, rt.path[:i]+url.PathEscape(evil)+strings.NewReplacer("{seq}", "0", "{attempt}", "1", "{version}", "0").Replace(rt.path[end+1:]), nil))
			}
			if rt.body == nil || rt.id == "changeMyPassword" {
				continue
			}
			body := hostileBody(rt.body, evil)
			path := f.path(rt)
			if rt.id == "changeUser" || rt.id == "approve" || rt.id == "deny" {
				path = empty(rt)
			}
			check(fmt.Sprintf("%s body %.20q", rt.id, evil), r.call("admin", rt.method, path, body))
		}
	}
	if users, err := r.st.Users(t.Context()); err != nil || len(users) != 3 {
		t.Errorf("%d users, %v", len(users), err)
	}
	if report, err := journal.Verify(t.Context(), r.st.Reader, journal.Trust{}); err != nil || len(report.Problems) > 0 {
		t.Errorf("%+v %v", report, err)
	}
}

// hostileBody is a body with a text in all fields that take text.
func hostileBody(sample any, evil string) any {
	typ := reflect.TypeOf(sample)
	fields := map[string]any{}
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		switch typ.Field(i).Type.Kind() {
		case reflect.String:
			fields[name] = evil
		case reflect.Int64:
			fields[name] = 1
		case reflect.Slice:
			fields[name] = []string{evil}
		default:
		}
	}
	return fields
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	f := r.fill()
	large := `{"x":"` + strings.Repeat("a", mostBody) + `"}`
	walked := 0
	for _, rt := range r.api.routes {
		if rt.body == nil {
			continue
		}
		walked++
		req := r.request("admin", rt.method, f.path(rt), large)
		req.Header.Set("If-Match", `"1"`)
		if got := r.send(req); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %.100s", rt.id, got.status, got.body)
		}
		for _, bad := range []string{"", "null garbage", `{"unknown":1}`, `[]`, "{}{}", strings.Repeat("[", 20_000)} {
			req := r.request("admin", rt.method, f.path(rt), bad)
			req.Header.Set("If-Match", `"1"`)
			if got := r.send(req); got.status != http.StatusBadRequest {
				t.Errorf("%s takes %.20q: %d %s", rt.id, bad, got.status, got.body)
			}
		}
	}
	if walked < 15 {
		t.Errorf("walked %d", walked)
	}
}

// TestApprovals: another person, logged in, by a POST.
func TestApprovals(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		r := newRig(t, so)
		f := r.fill() // the operator asked
		approve := fmt.Sprintf("%s/approvals/%d/approve", prefix, f.approval)
		for _, tt := range []struct {
			who  string
			want int
			code string
		}{
			{"nobody", http.StatusUnauthorized, "access.unauthenticated"},
			{"viewer", http.StatusForbidden, "access.role"},
			{"operator", http.StatusForbidden, "api.same"},
			{"operator-api", http.StatusForbidden, "api.person"},
			{"admin-api", http.StatusForbidden, "api.person"},
		} {
			if got := r.call(tt.who, http.MethodPost, approve, answerTo{}); got.status != tt.want || got.code() != tt.code {
				t.Errorf("%s: %d %s", tt.who, got.status, got.body)
			}
		}
		a, err := r.st.Approval(t.Context(), f.approval)
		if err != nil || a.State != state.ApprovalAsked {
			t.Fatal(a, err)
		}
		// What was begun with a token is its user's, too.
		run, byToken := r.asked(r.incident("redis-9"), "operator-api")
		if got := r.call("operator", http.MethodPost, fmt.Sprintf("%s/approvals/%d/approve", prefix, byToken), answerTo{}); got.code() != "api.same" {
			t.Errorf("begun by a token: %d %s", got.status, got.body)
		}
		r.must("admin", http.MethodPost, fmt.Sprintf("%s/runs/%d/approve", prefix, run), answerTo{"fine"}, nil)
		r.ended(run)
		r.must("admin", http.MethodPost, approve, answerTo{"fine"}, nil)
		r.ended(f.run)
		if got := r.call("admin", http.MethodPost, approve, answerTo{}); got.status != http.StatusConflict {
			t.Errorf("twice: %d %s", got.status, got.body)
		}
	})
}

// TestSecretsStay: tokens and passwords are neither in the log nor in the journal nor in
// answers.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	var g given
	r.must("admin", http.MethodPost, prefix+"/me/tokens", wished{Name: "mine", Role: access.Admin, Scopes: []string{"api"}}, &g)
	const fresh = "a fresh one for carol"
	r.must("admin", http.MethodPost, prefix+"/users", added{"carol", access.Viewer, fresh}, nil)
	r.people["new"] = http.Header{"Authorization": {"Bearer " + g.Secret}}
	var seen strings.Builder
	for _, path := range []string{"/me", "/journal?limit=200", "/journal/export", "/users", "/me/tokens", "/users/carol", "/nothing", "/runs?x=" + g.Secret, "/health"} {
		seen.WriteString(r.call("new", http.MethodGet, prefix+path, nil).body)
	}
	seen.WriteString(r.call("new", http.MethodPost, prefix+"/me/password", renewed{fresh, fresh}).body)
	all, err := r.st.JournalAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all {
		seen.WriteString(row.Body)
	}
	for name, secret := range map[string]string{"token": strings.TrimPrefix(g.Secret, access.TokenPrefix), "password": fresh, "session": r.people["admin"]["Cookie"][0][20:]} {
		for where, text := range map[string]string{"answers and journal": seen.String(), "log": r.log.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in %s", name, where)
			}
		}
	}
	if !strings.Contains(seen.String(), "carol") {
		t.Error("nothing was looked at")
	}
}

// TestPrivateEntries: what tells of people is for admins.
func TestPrivateEntries(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	r.fill()
	for who, want := range map[string]bool{"viewer": false, "operator": false, "admin": true} {
		var l list[journal.Record]
		r.must(who, http.MethodGet, prefix+"/journal?limit=200", nil, &l)
		got := slices.ContainsFunc(l.Items, func(e journal.Record) bool { return private(e.Kind) })
		if got != want || len(l.Items) == 0 {
			t.Errorf("%s sees them: %v, of %d", who, got, len(l.Items))
		}
	}
}

// TestPages: lists go on, whole and without repeats, within their bound.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	for i := range 5 {
		r.incident(fmt.Sprint("redis-", i))
	}
	var ids []int64
	cursor := ""
	for range 10 {
		var l list[state.Incident]
		r.must("viewer", http.MethodGet, prefix+"/incidents?limit=2"+cursor, nil, &l)
		for _, i := range l.Items {
			ids = append(ids, i.ID)
		}
		if l.Next == "" {
			break
		}
		cursor = "&cursor=" + l.Next
	}
	if len(ids) != 5 || !slices.IsSortedFunc(ids, func(a, b int64) int { return int(b - a) }) || len(slices.Compact(ids)) != 5 {
		t.Errorf("%v", ids)
	}
	var l list[state.Incident]
	r.must("viewer", http.MethodGet, prefix+"/incidents?text=REDIS-3&state=open", nil, &l)
	if len(l.Items) != 1 || l.Items[0].Asset != "redis-3" {
		t.Errorf("%+v", l)
	}
	for _, query := range []string{"?stat=open", "?state=closed", "?limit=-1", "?limit=a", "?state=open&state=open", "?text=%zz"} {
		if got := r.call("viewer", http.MethodGet, prefix+"/incidents"+query, nil); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
}

// TestLanguages: what is refused is told in the reader's language.
func TestLanguages(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	for accept, want := range map[string]string{"": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "en-GB,zh;q=0.5": "en", "fr, zh;q=0.2": "zh", "zh;q=0": "en", "zh;q=0.3, en;q=0.9": "en"} {
		req := r.request("viewer", http.MethodGet, prefix+"/incidents/999", nil)
		req.Header.Set("Accept-Language", accept)
		got := r.send(req)
		var p access.Refusal
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.Code != "api.notfound" || got.header.Get("Content-Language") != want || strings.Contains(p.Detail, "没有") != (want == "zh") {
			t.Errorf("%q: %s %v", accept, got.body, err)
		}
	}
}

// TestVerifyTellsInTheReadersLanguage: what does not hold of the journal.
func TestVerifyTellsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	r.incident("redis")
	err := r.st.Tx(t.Context(), func(tx *state.Tx) error {
		_, err := tx.SQL.ExecContext(t.Context(), "UPDATE journal SET run_id = 77 WHERE seq = 1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for lang, says := range map[string]string{"en": "the entry is found under other words", "zh": "本条记录的索引字段与其内容不一致"} {
		req := r.request("admin", http.MethodGet, "/api/v1/journal/verify", nil)
		req.Header.Set("Accept-Language", lang)
		if got := r.send(req); got.status != http.StatusOK || !strings.Contains(got.body, says) {
			t.Errorf("%s: %d %s", lang, got.status, got.body)
		}
	}
}
