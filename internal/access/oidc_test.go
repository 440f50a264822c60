package access_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/access/idptest"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// behind is a door whose people log in at a provider.
func behind(t *testing.T, p *idptest.Provider, so state.Options) *world {
	t.Helper()
	o := access.OIDC{
		Issuer: p.URL, ClientID: idptest.Client, ClientSecret: idptest.Secret, Redirect: "http://placeholder/return", Groups: "realm.groups",
		Roles: map[string]access.Role{"sre": access.Operator, "leads": access.Admin},
	}
	proxy := httptest.NewUnstartedServer(nil) // its address is known before the door is made
	o.Redirect = "http://" + proxy.Listener.Addr().String() + "/return"
	w := newWorld(t, so, access.Options{OIDC: &o})
	target, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Config.Handler = forward(target)
	proxy.Start()
	t.Cleanup(proxy.Close)
	w.url = proxy.URL
	return w
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		p := idptest.New(t)
		w := behind(t, p, so)
		w.add("local", access.Viewer)
		p.Who("u-1", "dora", []string{"staff", "sre"})
		c := w.browser()
		if a := w.get(c, "/oidc?next=/operator%3Fx"); a.status != http.StatusOK || a.person.Name != "dora" || a.person.Role != access.Operator {
			t.Fatalf("%+v", a)
		}
		// Another role tomorrow: the sessions before end.
		p.Who("u-1", "renamed", []string{"leads", "sre"})
		again := w.browser()
		if a := w.get(again, "/oidc?next=/admin"); a.status != http.StatusOK || a.person.Name != "dora" || a.person.Role != access.Admin {
			t.Errorf("%+v", a)
		}
		if got := w.get(c, "/viewer").status; got != http.StatusUnauthorized {
			t.Errorf("the session before: %d", got)
		}
		// Nobody takes another's account by its name.
		p.Who("u-2", "local", "sre")
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "another account") {
			t.Errorf("%+v", a)
		}
		p.Who("u-3", "eve", []string{"staff"})
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "none of the groups") {
			t.Errorf("%+v", a)
		}
		// Out of all groups: out of here, and no password helps.
		p.Who("u-1", "dora", nil)
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || w.get(again, "/viewer").status != http.StatusUnauthorized {
			t.Errorf("%+v", a)
		}
		if got := w.login(w.browser(), "dora", good); got != http.StatusUnauthorized {
			t.Errorf("a password: %d", got)
		}
		for _, next := range []string{"//evil.example.net", "https://evil.example.net", `/\evil.example.net`, "/a\r\nb", ""} {
			if got := access.Local(next); got != "/" {
				t.Errorf("%q: %q", next, got)
			}
		}
	})
}

// TestOIDCForged: what is not signed, not for us, not for this flow, or not from this
// browser lets nobody in.
func TestOIDCForged(t *testing.T) {
	t.Parallel()
	p := idptest.New(t)
	w := behind(t, p, state.Options{Dir: t.TempDir()})
	p.Who("u-1", "dora", "leads")
	for name, spoil := range map[string]idptest.Spoil{
		"another audience": {Claims: func(c map[string]any) { c["aud"] = "somebody" }},
		"another issuer":   {Claims: func(c map[string]any) { c["iss"] = "https://evil.example.net" }},
		"another nonce":    {Claims: func(c map[string]any) { c["nonce"] = "n" }},
		"no nonce":         {Claims: func(c map[string]any) { delete(c, "nonce") }},
		"expired":          {Claims: func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }},
		"another key":      {Key: true},
	} {
		p.Spoil(spoil)
		c := w.browser()
		if got := w.get(c, "/oidc").status; got != http.StatusUnauthorized || w.get(c, "/viewer").status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	p.Spoil(idptest.Spoil{})
	// A return that this browser did not begin, which is how one is logged in as another.
	mine := w.browser()
	mine.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/return" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	back := w.get(mine, "/oidc").header.Get("Location")
	u, err := url.Parse(back)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatal(back, err)
	}
	for name, path := range map[string]string{"another browser": "/return?" + u.RawQuery, "no state": "/return?code=" + u.Query().Get("code")} {
		if got := w.get(w.browser(), path).status; got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	q := u.Query()
	q.Set("iss", "https://evil.example.net")
	if got := w.get(mine, "/return?"+q.Encode()).status; got != http.StatusBadRequest {
		t.Errorf("mixed up with another provider: %d", got)
	}
	mine.CheckRedirect = nil
	if got := w.get(mine, "/return?"+u.RawQuery); got.status == http.StatusBadRequest || w.get(mine, "/admin").status != http.StatusOK {
		t.Errorf("the true return: %+v", got)
	}
	if got := w.get(mine, "/return?"+u.RawQuery).status; got != http.StatusBadRequest {
		t.Errorf("once more: %d", got)
	}
	if _, text := w.journal(); strings.Contains(text, "client-secret") || strings.Contains(text, u.Query().Get("code")) {
		t.Error("the journal holds a secret")
	}
}

func forward(to *url.URL) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
}
