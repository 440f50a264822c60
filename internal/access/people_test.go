package access_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestFixation: a session that was there before a login is not the one after it, and ends.
func TestFixation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, state.Options{Dir: t.TempDir()}, access.Options{})
	w.add("ann", access.Viewer)
	w.add("bob", access.Admin)
	c := w.browser()
	server, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar.SetCookies(server, []*http.Cookie{{Name: "keepwell-session", Value: "chosen-by-another", Path: "/"}})
	w.login(c, "ann", good)
	first := session(c, server)
	w.login(c, "bob", good)
	second := session(c, server)
	if first == "chosen-by-another" || first == second || len(second) < 43 {
		t.Errorf("%q, then %q", first, second)
	}
	old := http.Header{"Cookie": {"keepwell-session=" + first}}
	if got := w.send(http.DefaultClient, http.MethodGet, "/viewer", "", old).status; got != http.StatusUnauthorized {
		t.Errorf("the session before: %d", got)
	}
}

func session(c *http.Client, u *url.URL) string {
	for _, k := range c.Jar.Cookies(u) {
		if k.Name == "keepwell-session" {
			return k.Value
		}
	}
	return ""
}

// TestCookie: what a browser is told to do with it.
func TestCookie(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		w := newWorld(t, state.Options{Dir: t.TempDir()}, access.Options{Secure: secure})
		w.add("ann", access.Viewer)
		a := w.send(http.DefaultClient, http.MethodPost, "/login", url.Values{"name": {"ann"}, "password": {good}}.Encode(), nil)
		set := a.header["Set-Cookie"]
		if len(set) != 2 || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d cookies, %v", len(set), a.header)
		}
		for _, line := range set {
			for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
				if !strings.Contains(line, want) {
					t.Errorf("%s: no %s", line, want)
				}
			}
			if strings.Contains(line, "; Secure") != secure || strings.HasPrefix(line, "__Host-") != secure || strings.Contains(line, "Domain") {
				t.Errorf("secure %v: %s", secure, line)
			}
		}
	}
}

func TestCrossSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, state.Options{Dir: t.TempDir()}, access.Options{Origins: []string{"https://keepwell.example.org"}})
	w.add("ann", access.Viewer)
	for _, tt := range []struct {
		header http.Header
		want   int
	}{
		{http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		{http.Header{"Origin": {"https://evil.example.net"}}, http.StatusForbidden},
		{http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {w.url}}, http.StatusOK},
		{http.Header{"Origin": {w.url}}, http.StatusOK},
		{http.Header{"Origin": {"https://keepwell.example.org"}, "Sec-Fetch-Site": {"cross-site"}}, http.StatusOK},
		{nil, http.StatusOK}, // no browser
	} {
		got := w.send(http.DefaultClient, http.MethodPost, "/login", url.Values{"name": {"ann"}, "password": {good}}.Encode(), tt.header)
		if got.status != tt.want {
			t.Errorf("%v: %d", tt.header, got.status)
		}
		if tt.want == http.StatusForbidden && (len(got.header["Set-Cookie"]) > 0 || got.header.Get("Content-Type") != "application/problem+json") {
			t.Errorf("%v: %v", tt.header, got.header)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		w := newWorld(t, so, access.Options{})
		u := w.add("ci", access.Operator)
		wish := access.TokenWish{User: "ci", Name: "build", Role: access.Operator, Scopes: []string{access.ScopeAPI}, Expires: w.clock.Now().Add(time.Hour)}
		for i, bad := range []func(*access.TokenWish){
			func(t *access.TokenWish) { t.Role = access.Admin },
			func(t *access.TokenWish) { t.Role = "" },
			func(t *access.TokenWish) { t.Scopes = nil },
			func(t *access.TokenWish) { t.Scopes = []string{"api", "everything"} },
			func(t *access.TokenWish) { t.Scopes = []string{"api hooks"} },
			func(t *access.TokenWish) { t.Expires = w.clock.Now() },
		} {
			wish := wish
			bad(&wish)
			if _, _, err := w.door.AddToken(t.Context(), "cli", wish); !errors.Is(err, access.ErrToken) {
				t.Errorf("%d: %v", i, err)
			}
		}
		key, tok, err := w.door.AddToken(t.Context(), "cli", wish)
		if err != nil || !strings.HasPrefix(key, access.TokenPrefix) {
			t.Fatal(key, err)
		}
		bearer := http.Header{"Authorization": {"Bearer " + key}}
		a := w.send(http.DefaultClient, http.MethodGet, "/operator", "", bearer)
		if a.status != http.StatusOK || a.person.Token != "build" || a.person.LoggedIn() || a.person.Actor() != "user:ci" {
			t.Errorf("%+v", a)
		}
		if a := w.send(http.DefaultClient, http.MethodGet, "/hooks", "", bearer); a.status != http.StatusForbidden || !strings.Contains(a.body, "access.scope") {
			t.Errorf("another scope: %+v", a)
		}
		if all, err := w.st.Tokens(t.Context(), u.ID); err != nil || len(all) != 1 || all[0].Used.IsZero() {
			t.Errorf("%+v %v", all, err)
		}
		// A token counts alone: with a bad one the cookie is not looked at.
		c := w.browser()
		w.login(c, "ci", good)
		if got := w.send(c, http.MethodGet, "/viewer", "", http.Header{"Authorization": {"Bearer kw_wrong"}}).status; got != http.StatusUnauthorized {
			t.Errorf("a bad token with a good cookie: %d", got)
		}
		// The role is never above the user's, also later.
		viewer := access.Viewer
		if _, err := w.door.ChangeUser(t.Context(), "cli", "ci", access.Change{Role: &viewer}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := w.send(http.DefaultClient, http.MethodGet, "/operator", "", bearer).status; got != http.StatusForbidden {
			t.Errorf("after the user's role sank: %d", got)
		}
		w.clock.Add(time.Hour)
		if got := w.send(http.DefaultClient, http.MethodGet, "/viewer", "", bearer).status; got != http.StatusUnauthorized {
			t.Errorf("after its end: %d", got)
		}
		if err := w.door.RevokeToken(t.Context(), "cli", tok.ID, u.ID+1); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("of another: %v", err)
		}
		if err := w.door.RevokeToken(t.Context(), "cli", tok.ID, u.ID); err != nil {
			t.Error(err)
		}
		if err := w.door.RevokeToken(t.Context(), "cli", tok.ID, 0); !errors.Is(err, state.ErrConflict) {
			t.Errorf("twice: %v", err)
		}
		kinds, text := w.journal()
		if strings.Contains(text, key) || strings.Contains(text, key[len(access.TokenPrefix):]) {
			t.Error("the journal holds the token")
		}
		if want := []journal.Kind{journal.UserChanged, journal.TokenChanged, journal.LoggedIn, journal.UserChanged, journal.TokenChanged}; !slices.Equal(kinds, want) {
			t.Errorf("journal: %v", kinds)
		}
	})
}

// TestChanges: who is changed is out everywhere.
func TestChanges(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		w := newWorld(t, so, access.Options{})
		w.add("root", access.Admin)
		w.add("ann", access.Operator)
		yes, no, role, fresh := true, false, access.Viewer, other
		for i, c := range []access.Change{{Password: &fresh}, {Role: &role}, {Disabled: &yes}} {
			b := w.browser()
			password := good
			if i > 0 {
				password = fresh
			}
			if got := w.login(b, "ann", password); got != http.StatusOK {
				t.Fatalf("%d: login %d", i, got)
			}
			if _, err := w.door.ChangeUser(t.Context(), "user:root", "ann", c, time.Time{}); err != nil {
				t.Fatal(err)
			}
			if got := w.get(b, "/viewer").status; got != http.StatusUnauthorized {
				t.Errorf("%d: the session goes on: %d", i, got)
			}
		}
		if got := w.login(w.browser(), "ann", fresh); got != http.StatusUnauthorized {
			t.Errorf("disabled: %d", got)
		}
		u, err := w.st.User(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Add(time.Second)
		if _, err := w.door.ChangeUser(t.Context(), "user:root", "ann", access.Change{Disabled: &no}, u.Updated); err != nil {
			t.Error(err)
		}
		if _, err := w.door.ChangeUser(t.Context(), "user:root", "ann", access.Change{Disabled: &yes}, u.Updated); !errors.Is(err, access.ErrStale) {
			t.Errorf("a lost update: %v", err)
		}
		for _, c := range []access.Change{{Role: &role}, {Disabled: &yes}} {
			if _, err := w.door.ChangeUser(t.Context(), "user:root", "root", c, time.Time{}); !errors.Is(err, access.ErrLastAdmin) {
				t.Errorf("the last admin: %v", err)
			}
		}
		if _, text := w.journal(); strings.Contains(text, good) || strings.Contains(text, fresh) || strings.Contains(text, "argon2") {
			t.Error("the journal holds a password")
		}
	})
}

func TestNamesAndPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, state.Options{Dir: t.TempDir()}, access.Options{})
	for _, name := range []string{"", " ann", "ann ", "../etc", "a/b", "<b>", "x'--", "a\x00b", "名", ".", strings.Repeat("a", 65), "user:ann"} {
		if _, err := w.door.AddUser(t.Context(), "cli", name, access.Viewer, good); !errors.Is(err, access.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, password := range []string{"short", strings.Repeat("x", 1025), "ann-ann-ann-ann", "\xff\xfe aaaaaaaaaaaaaaa"} {
		if _, err := w.door.AddUser(t.Context(), "cli", "Ann-ann-ann-ann", access.Viewer, password); !errors.Is(err, access.ErrPassword) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if _, err := w.door.AddUser(t.Context(), "cli", "ann", "root", good); err == nil {
		t.Error("a role that is none")
	}
	w.add("ann", access.Viewer)
	if _, err := w.door.AddUser(t.Context(), "cli", "ann", access.Admin, good); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	u, err := w.st.User(t.Context(), "ann")
	if err != nil || !strings.HasPrefix(u.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%q %v", u.Password, err)
	}
}

// TestSlowDown: guessing is slowed down, by account and by address, and whoever logged in
// from a browser before is not held up by what others do to the account.
func TestSlowDown(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		w := newWorld(t, so, access.Options{})
		w.add("ann", access.Viewer)
		w.add("bob", access.Viewer)
		mine := w.browser()
		w.login(mine, "ann", good)
		w.send(mine, http.MethodPost, "/logout", "", nil)
		var got []int
		for i := range 8 { // from ever other addresses
			w.from = fmt.Sprintf("198.51.100.%d", i)
			got = append(got, w.login(w.browser(), "ann", "guess"))
		}
		if want := []int{401, 401, 401, 401, 401, 401, 429, 429}; !slices.Equal(got, want) {
			t.Errorf("guesses: %v", got)
		}
		if got := w.login(w.browser(), "ann", good); got != http.StatusTooManyRequests {
			t.Errorf("the right one, too soon: %d", got)
		}
		if got := w.login(mine, "ann", good); got != http.StatusOK {
			t.Errorf("in the browser that knows ann: %d", got)
		}
		if got := w.login(mine, "bob", good); got != http.StatusOK {
			t.Errorf("another account: %d", got)
		}
		w.clock.Add(time.Second)
		if got := w.login(w.browser(), "ann", good); got != http.StatusOK {
			t.Errorf("after the time it takes: %d", got)
		}
		// By address, over many accounts; an IPv6 customer has a whole network.
		got = nil
		for i := range 23 {
			w.from = fmt.Sprintf("2001:db8:1:2::%x", i+1)
			got = append(got, w.login(w.browser(), fmt.Sprint("nobody", i), "guess"))
		}
		if n := slices.Index(got, http.StatusTooManyRequests); n != 21 {
			t.Errorf("by address: the first that is slowed down is %d of %v", n, got)
		}
		w.from = "2001:db8:1:3::1"
		if got := w.login(w.browser(), "bob", good); got != http.StatusOK {
			t.Errorf("another network: %d", got)
		}
		if _, text := w.journal(); strings.Contains(text, "nobody1") || strings.Contains(text, "guess") {
			t.Error("the journal holds what was typed")
		}
	})
}
