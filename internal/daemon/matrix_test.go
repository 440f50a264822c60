package daemon_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/state"
)

// TestMatrix walks the server's own routes by all who may ask, from this machine and from
// another: each lets in whom it says, and nobody else. A new route is walked by itself.
func TestMatrix(t *testing.T) {
	t.Parallel()
	const far, near = "192.0.2.7:9", "127.0.0.1:9"
	for name, config := range map[string]string{"with a token": guarded, "without": "hooks: {generic: {zabbix: {alerts: body, labels: '{\"alertname\": item.x}'}}}\n"} {
		d := opened(t, state.Options{Dir: t.TempDir()}, config)
		people := map[string]http.Header{"nobody": {}, "a stranger": {"Authorization": {"Bearer x"}}, "the token": {"Authorization": {"Bearer " + token}}, "a signer": {"X-Hub-Signature-256": {"sha256=" + sign("{}")}}, "a forger": {"X-Hub-Signature-256": {"sha256=" + sign("")}}}
		for _, role := range access.Roles() {
			if _, err := d.Door().AddUser(t.Context(), "test", string(role), role, token); err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			if err := d.Door().Login(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/login", nil), string(role), token); err != nil {
				t.Fatal(err)
			}
			var cookies []string
			for _, c := range w.Result().Cookies() {
				cookies = append(cookies, c.Name+"="+c.Value)
			}
			people[string(role)] = http.Header{"Cookie": {strings.Join(cookies, "; ")}}
			for _, scope := range access.Scopes() {
				secret, _, err := d.Door().AddToken(t.Context(), "test", access.TokenWish{User: string(role), Name: scope, Role: role, Scopes: []string{scope}})
				if err != nil {
					t.Fatal(err)
				}
				people[string(role)+"-"+scope] = http.Header{"Authorization": {"Bearer " + secret}}
			}
		}
		routes := d.Routes()
		if len(routes) < 8 {
			t.Fatalf("routes %v", routes)
		}
		for pattern, lets := range routes {
			method, path, ok := strings.Cut(pattern, " ")
			if !ok {
				method, path = http.MethodGet, pattern
			}
			for who, header := range people {
				_, scope, program := strings.Cut(who, "-")
				for _, from := range []string{far, near} {
					sends := name == "without" && from == near || who == access.ScopeHooks || program && scope == access.ScopeHooks ||
						name == "with a token" && (who == "the token" || who == "a signer") || who == string(access.Operator) || who == string(access.Admin)
					in := lets == "everybody"
					switch lets {
					case "everybody":
					case "senders":
						in = sends
					case "readers": // a signature is one of a body, which is not there
						in = from == near || sends && who != "a signer" || who == string(access.Viewer) || program && scope == access.ScopeAPI
					default:
						t.Errorf("%s lets in %q", pattern, lets)
					}
					r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+strings.ReplaceAll(path, "{name}", "zabbix"), strings.NewReader("{}"))
					r.RemoteAddr, r.Header = from, header.Clone()
					w := httptest.NewRecorder()
					d.Handler().ServeHTTP(w, r)
					if refused := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden; refused == in {
						t.Errorf("%s: %s by %s from %s: %d %s", name, pattern, who, from, w.Code, w.Body)
					}
					// Another site has the browser of who is logged in send it.
					if method != http.MethodGet {
						r.Header.Set("Sec-Fetch-Site", "cross-site")
						w = httptest.NewRecorder()
						if d.Handler().ServeHTTP(w, r); w.Code != http.StatusForbidden {
							t.Errorf("%s: %s by %s from another site: %d", name, pattern, who, w.Code)
						}
					}
				}
			}
		}
	}
	// Who only looks does not make a token of a sender; an admin may, for a program.
	d := opened(t, state.Options{Dir: t.TempDir()}, "")
	for _, role := range access.Roles() {
		if _, err := d.Door().AddUser(t.Context(), "test", string(role), role, token); err != nil {
			t.Fatal(err)
		}
		for i, by := range []string{"user:" + string(role), "user:root"} {
			_, _, err := d.Door().AddToken(t.Context(), by, access.TokenWish{User: string(role), Name: fmt.Sprint("t", i), Role: access.Viewer, Scopes: []string{access.ScopeHooks}})
			if (err == nil) != (role != access.Viewer || i == 1) {
				t.Errorf("%s for %s: %v", by, role, err)
			}
		}
	}
}
