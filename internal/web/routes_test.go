package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/web"
)

// filled is a path of a route with what stands for its parameters.
func filled(path, id, name string) string {
	return strings.NewReplacer("{$}", "", "{id}", url.PathEscape(id), "{name}", url.PathEscape(name)).Replace(path)
}

// asked is what a server answers, without following where it leads.
func asked(t *testing.T, c *http.Client, method, address string, form url.Values, header http.Header) (status int, body, to string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := still.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data), r.Header.Get("Location")
}

// TestMatrix walks all pages and forms by all who may ask: each lets through its role and
// what is above it, by a session, and nobody else. A new route is walked by itself.
func TestMatrix(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, false)
	open := []string{"GET /login", "POST /login", "GET /login/openid", "GET /login/return", "POST /logout", "POST /look"}
	clients, header := map[string]*http.Client{}, map[string]http.Header{}
	for _, who := range []string{"", "vic", "ann", "root"} {
		clients[who] = d.client(t, who, "en")
	}
	secret, _, err := d.door.AddToken(t.Context(), "user:root", access.TokenWish{User: "root", Name: "t", Role: access.Admin, Scopes: []string{access.ScopeAPI, access.ScopeHooks, access.ScopeMod}})
	if err != nil {
		t.Fatal(err)
	}
	clients["token"], header["token"] = &http.Client{}, http.Header{"Authorization": {"Bearer " + secret}}
	role := map[string]access.Role{"vic": access.Viewer, "ann": access.Operator, "root": access.Admin}
	end, err := d.st.JournalEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var free []string
	for _, r := range web.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = filled(path, "999999", "nobody-at-all")
		if r.Role == "" {
			free = append(free, r.Pattern)
			continue
		}
		need, err := access.ParseRole(r.Role)
		if err != nil || need == access.Viewer && method != http.MethodGet && r.Pattern != "POST /settings/password" {
			t.Errorf("%s is for %q", r.Pattern, r.Role)
		}
		for who, c := range clients {
			status, body, to := asked(t, c, method, d.URL+path, nil, header[who])
			switch {
			case role[who] == "": // nobody, or a program
				if status != http.StatusSeeOther || !strings.HasPrefix(to, "/login") {
					t.Errorf("%s by %q: %d %s", r.Pattern, who, status, to)
				}
			case !role[who].Allows(need):
				if status != http.StatusForbidden {
					t.Errorf("%s by %s: %d %s", r.Pattern, who, status, to)
				}
			case status == http.StatusForbidden || status >= http.StatusInternalServerError || strings.HasPrefix(to, "/login"):
				t.Errorf("%s by %s: %d %s %s", r.Pattern, who, status, to, body)
			}
		}
	}
	if !slices.Equal(free, open) {
		t.Errorf("open to everybody: %q, want %q", free, open)
	}
	after, err := d.st.JournalEnd(t.Context())
	if err != nil || after.Seq != end.Seq {
		rows, _ := d.st.JournalAfter(t.Context(), end.Seq, 10)
		for _, r := range rows {
			t.Log(r.Body)
		}
		t.Errorf("what nobody filled in changed something: %d, not %d, %v", after.Seq, end.Seq, err)
	}
	// Another site has the browser of an admin send forms, also those that are open.
	for _, r := range web.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if method == http.MethodGet {
			continue
		}
		for _, evil := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example.org"}}} {
			if status, _, _ := asked(t, clients["root"], method, d.URL+filled(path, "1", "root"), nil, evil); status != http.StatusForbidden {
				t.Errorf("%s from another site: %d", r.Pattern, status)
			}
		}
	}
}

// markup is what hostile texts would make of a page that did not escape them.
var markup = regexp.MustCompile(`(?i)<script>|<img src=x|<b>owned|\son[a-z]+=["']|style="|href="\s*javascript:`)

// said are the names of parameters that the source of pages asks for.
func said(t *testing.T, form string) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	ask := regexp.MustCompile(form)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ask.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestNoMarkup puts hostile texts into every parameter of every page and every field of
// every form, has forms succeed with them, and looks at all pages after that: they are
// text, everywhere, in both languages.
func TestNoMarkup(t *testing.T) {
	t.Parallel()
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	ctx := t.Context()
	root := d.client(t, "root", "en")
	evil := []string{hostile + "<b>owned", `"><b>owned`, "javascript:alert(1)", "' onmouseover='alert(1)", "\x00\u202e<b>owned"}
	check := func(what, body string, status int) {
		t.Helper()
		if m := markup.FindString(strings.ReplaceAll(body, "data-events", "")); m != "" {
			at := strings.Index(body, m)
			t.Errorf("%s: %q in %q", what, m, body[max(0, at-80):min(len(body), at+80)])
		}
		if status >= http.StatusInternalServerError {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	var ids, names []string
	incidents, err := d.st.Incidents(ctx, state.IncidentFilter{State: state.IncidentOpen}, state.Page{})
	if err != nil {
		t.Fatal(err)
	}
	runs, err := d.st.Runs(ctx, state.RunFilter{}, state.Page{Limit: 6})
	if err != nil {
		t.Fatal(err)
	}
	books, err := d.st.CurrentPlaybooks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range books {
		names = append(names, b.Name)
	}
	unknown := d.find(t, "ops/unclassified").ID

	queries, fields := said(t, `\.query\("([a-z_]+)"\)`), said(t, `(?:\.form|PostForm\.Get)\("([a-z_]+)"\)`)
	if len(queries) < 10 || len(fields) < 15 {
		t.Fatalf("the parameters are not found: %q %q", queries, fields)
	}
	for _, r := range web.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		for _, text := range evil {
			for _, at := range []string{filled(path, text, text), filled(path, fmt.Sprint(unknown), names[0])} {
				what := fmt.Sprintf("%s %q", r.Pattern, text)
				if method == http.MethodGet {
					all := url.Values{}
					for _, q := range append(queries, "done") {
						all.Set(q, text)
						if text == evil[0] && at != filled(path, text, text) { // one may hide the others
							status, body, _ := asked(t, root, method, d.URL+at+"?"+url.Values{q: {text}}.Encode(), nil, nil)
							check(what+" "+q, body, status)
						}
					}
					status, body, _ := asked(t, root, method, d.URL+at+"?"+all.Encode(), nil, nil)
					check(what, body, status)
				} else if r.Pattern != "POST /logout" && r.Pattern != "POST /settings/password" {
					form := url.Values{}
					for _, f := range fields {
						form.Set(f, text)
					}
					status, body, to := asked(t, root, method, d.URL+at, form, nil)
					check(what, body, status)
					if to != "" && !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
						t.Errorf("%s leads to %s", what, to)
					}
				}
			}
		}
	}
	// What is kept: reasons, notes, names, scopes.
	text := evil[0]
	for _, form := range []struct {
		path   string
		fields url.Values
	}{
		{fmt.Sprintf("/incidents/%d/take", unknown), url.Values{"note": {text}}},
		{"/settings/mutes", url.Values{"scope": {"asset"}, "name": {text}, "for": {"60"}, "why": {text}}},
		{"/settings/tokens", url.Values{"user": {"ann"}, "name": {text}, "role": {"viewer"}, "scope": {"api"}, "days": {"7"}}},
		{"/settings/people", url.Values{"name": {text}, "role": {"viewer"}, "password": {password}}},
		{fmt.Sprintf("/incidents/%d/run", d.find(t, "ops/disk-full").ID), url.Values{"playbook": {"disk"}, "why": {text}}},
		{fmt.Sprintf("/incidents/%d/close", d.find(t, "ops/certificate-expiring").ID), url.Values{"why": {text}}},
	} {
		status, body, _ := post(t, root, d.URL+form.path, form.fields)
		check("POST "+form.path, body, status)
	}
	if err := d.engine.Install(ctx, "hostile", autopilot.AnyVersion, "name: hostile\ntitle: "+fmt.Sprintf("%q", "<b>owned"+evil[1])+"\ntrigger: none\nactions:\n"+fmt.Sprintf(step, "x"), text, state.ModeOff, 0, text); err != nil {
		t.Fatal(err)
	}
	names = append(names, "hostile")
	for _, i := range incidents {
		ids = append(ids, fmt.Sprint(i.ID))
	}
	for _, r := range runs {
		ids = append(ids, fmt.Sprint(r.ID))
	}
	seen := map[string]bool{}
	for _, lang := range []string{"en", "zh"} {
		c := d.client(t, "root", lang)
		for _, r := range web.Routes() {
			method, path, _ := strings.Cut(r.Pattern, " ")
			if method != http.MethodGet {
				continue
			}
			for i := range max(len(ids), len(names)) {
				at := filled(path, ids[i%len(ids)], names[i%len(names)])
				status, body, _ := get(t, c, d.URL+at)
				check(at, body, map[bool]int{true: 200, false: 500}[status < 500])
				seen[path] = seen[path] || strings.Contains(body, "&lt;b&gt;owned") || strings.Contains(body, "&lt;script&gt;")
				if at == path {
					break
				}
			}
		}
	}
	for _, path := range []string{"/{$}", "/incidents", "/incidents/{id}", "/runs/{id}", "/approvals", "/playbooks/{name}", "/journal", "/settings"} {
		if !seen[path] {
			t.Errorf("%s shows none of the hostile texts: nothing was looked at", path)
		}
	}
}
