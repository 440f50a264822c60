package cli_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/cli"
)

// TestMountsOfServe: every part of the server says whom it lets in. The interface and the
// pages have matrices of their own; here is that of the modules. A part that is new
// belongs into one of them.
func TestMountsOfServe(t *testing.T) {
	t.Parallel()
	if got := cli.MountsOfServe(); !slices.Equal(got, []string{"/", "/api/", "/mod/"}) {
		t.Errorf("parts %q", got)
	}
	h := cli.Holders(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	ask := func(p *access.Person, want int) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/mod/example.org/m/@latest", nil)
		if p != nil {
			r = r.WithContext(access.With(r.Context(), *p))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%+v: %d, want %d", p, w.Code, want)
		}
	}
	ask(nil, http.StatusUnauthorized)
	for _, role := range access.Roles() {
		ask(&access.Person{ID: 1, Name: "ann", Role: role}, http.StatusTeapot)
		for _, scope := range access.Scopes() {
			want := http.StatusForbidden
			if scope == access.ScopeMod {
				want = http.StatusTeapot
			}
			ask(&access.Person{ID: 1, Name: "ann", Role: role, Token: "go", Scopes: []string{scope}}, want)
		}
	}
	ask(&access.Person{ID: 1, Name: "ann", Token: "go", Scopes: []string{access.ScopeMod}}, http.StatusForbidden) // without a role
}
