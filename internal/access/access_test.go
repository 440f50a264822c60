package access_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }

const (
	good  = "correct horse battery"
	other = "staple of another kind"
)

// world is a server with a door, and browsers.
type world struct {
	*testing.T
	clock *statetest.Clock
	st    *state.State
	door  *access.Door
	url   string
	from  string // the address that requests seem to come from
}

func newWorld(t *testing.T, so state.Options, o access.Options) *world {
	t.Helper()
	w := &world{T: t, clock: statetest.NewClock(), from: "192.0.2.1"}
	so.Now = w.clock.Now
	w.st = statetest.Open(t, so)
	o.Address = func(*http.Request) string { return w.from }
	var err error
	if w.door, err = access.Open(w.st, o); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	say := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p, _ := access.From(r.Context())
		_ = json.NewEncoder(rw).Encode(p)
	})
	for _, role := range access.Roles() {
		mux.Handle("/"+string(role), access.Need(role, say))
	}
	mux.Handle("/hooks", access.NeedFor(access.ScopeHooks, access.Viewer, say))
	mux.HandleFunc("POST /login", func(rw http.ResponseWriter, r *http.Request) {
		err := w.door.Login(rw, r, r.FormValue("name"), r.FormValue("password"))
		status(rw, err)
	})
	mux.HandleFunc("POST /logout", func(rw http.ResponseWriter, r *http.Request) { status(rw, w.door.Logout(rw, r)) })
	mux.HandleFunc("GET /oidc", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.door.Begin(rw, r, r.FormValue("next")); err != nil {
			status(rw, err)
		}
	})
	mux.HandleFunc("GET /return", func(rw http.ResponseWriter, r *http.Request) {
		next, err := w.door.Return(rw, r)
		if err != nil {
			status(rw, err)
			return
		}
		http.Redirect(rw, r, next, http.StatusSeeOther)
	})
	server := httptest.NewServer(w.door.Handler(mux))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func status(rw http.ResponseWriter, err error) {
	var slow *access.SlowDownError
	switch {
	case errors.As(err, &slow):
		rw.WriteHeader(http.StatusTooManyRequests)
	case errors.Is(err, access.ErrLogin):
		rw.WriteHeader(http.StatusUnauthorized)
	case err != nil:
		http.Error(rw, err.Error(), http.StatusBadRequest)
	}
}

// browser keeps cookies.
func (w *world) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (w *world) login(c *http.Client, name, password string) int {
	w.Helper()
	return w.send(c, http.MethodPost, "/login", url.Values{"name": {name}, "password": {password}}.Encode(), nil).status
}

type answer struct {
	status int
	person access.Person
	header http.Header
	body   string
}

func (w *world) send(c *http.Client, method, path, body string, header http.Header) (a answer) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	_ = json.Unmarshal(data, &a.person)
	a.status, a.header, a.body = resp.StatusCode, resp.Header, string(data)
	return a
}

func (w *world) get(c *http.Client, path string) answer {
	return w.send(c, http.MethodGet, path, "", nil)
}

func (w *world) add(name string, role access.Role) state.User {
	w.Helper()
	u, err := w.door.AddUser(w.Context(), "cli", name, role, good)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// journal is all that was written down, as text.
func (w *world) journal() (kinds []journal.Kind, text string) {
	w.Helper()
	all, err := journal.List(w.Context(), w.st.Reader, state.JournalFilter{}, state.Page{Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	data, err := json.Marshal(all)
	if err != nil {
		w.Fatal(err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		kinds = append(kinds, all[i].Kind)
	}
	return kinds, string(data)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		have, need access.Role
		want       bool
	}{
		{access.Viewer, access.Viewer, true},
		{access.Viewer, access.Operator, false},
		{access.Operator, access.Viewer, true},
		{access.Operator, access.Admin, false},
		{access.Admin, access.Operator, true},
		{"", access.Viewer, false},
		{"root", access.Viewer, false},
		{access.Admin, "", false},
		{"", "", false},
	} {
		if got := tt.have.Allows(tt.need); got != tt.want {
			t.Errorf("%q.Allows(%q) = %v", tt.have, tt.need, got)
		}
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		w := newWorld(t, so, access.Options{Idle: time.Hour, Absolute: 5 * time.Hour})
		w.add("ann", access.Operator)
		c := w.browser()
		if got := w.get(c, "/viewer").status; got != http.StatusUnauthorized {
			t.Errorf("nobody: %d", got)
		}
		if got := w.login(c, "ann", "wrong"); got != http.StatusUnauthorized {
			t.Errorf("wrong password: %d", got)
		}
		if got := w.login(c, "ann", good); got != http.StatusOK {
			t.Fatalf("login: %d", got)
		}
		a := w.get(c, "/operator")
		if a.status != http.StatusOK || a.person.Name != "ann" || a.person.Role != access.Operator || !a.person.LoggedIn() {
			t.Errorf("%+v", a)
		}
		if got := w.get(c, "/admin"); got.status != http.StatusForbidden || !strings.Contains(got.body, `"code":"access.role"`) {
			t.Errorf("%+v", got)
		}
		for range 4 { // used again and again: until the absolute end
			w.clock.Add(50 * time.Minute)
			if got := w.get(c, "/viewer").status; got != http.StatusOK {
				t.Fatalf("while it is used: %d", got)
			}
		}
		w.clock.Add(50 * time.Minute)
		w.get(c, "/viewer")
		w.clock.Add(51 * time.Minute)
		if got := w.get(c, "/viewer").status; got != http.StatusUnauthorized {
			t.Errorf("after the absolute end: %d", got)
		}
		w.login(c, "ann", good)
		w.clock.Add(61 * time.Minute)
		if got := w.get(c, "/viewer").status; got != http.StatusUnauthorized {
			t.Errorf("after the idle end: %d", got)
		}
		w.login(c, "ann", good)
		if got := w.send(c, http.MethodPost, "/logout", "", nil).status; got != http.StatusOK || w.get(c, "/viewer").status != http.StatusUnauthorized {
			t.Errorf("logout: %d", got)
		}
	})
}
