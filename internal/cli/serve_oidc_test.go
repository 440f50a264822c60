//go:build unix

package cli_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/keepwell/keepwell/internal/access/idptest"
	"github.com/keepwell/keepwell/internal/web/browsertest"
)

// openid is `keepwell serve` with people who log in at a provider.
func openid(t *testing.T) (*served, *idptest.Provider) {
	t.Helper()
	p := idptest.New(t)
	l := newRunLab(t)
	l.env = append(l.env, "KEEPWELL_SECRET_OIDC="+idptest.Secret)
	s := newServed(t, l)
	config := filepath.Join(l.work, "serve.yaml")
	l.write(config, "listen: 127.0.0.1:0\nurl: "+s.front.URL+"\ndata: data\noidc:\n  issuer: "+p.URL+"\n  client_id: "+idptest.Client+
		"\n  client_secret: ${secret:OIDC}\n  groups: realm.groups\n  roles: {sre: admin, oncall: operator}\n")
	s.show(s.start(t, config), "")
	return s, p
}

// TestServeOpenID: people log in with their account elsewhere, get the role that their
// groups have, and log out; in a real browser, whose rules for cookies and forms count.
func TestServeOpenID(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, "favicon.ico") // the provider has none
	s, p := openid(t)
	p.Ask(true)
	for _, who := range []struct{ sub, name, group, role string }{{"1", "dora", "sre", "admin"}, {"2", "omar", "oncall", "operator"}} {
		p.Who(who.sub, who.name, []string{"staff", who.group})
		var at string
		b.Do(t, chromedp.Navigate(s.front.URL+"/incidents?state=open"), chromedp.WaitVisible(`a[href^="/login/openid"]`), chromedp.Click(`a[href^="/login/openid"]`),
			chromedp.WaitVisible(`#enter`), chromedp.Click(`#enter`), chromedp.WaitVisible(`nav[aria-label]`), chromedp.Location(&at))
		if at != s.front.URL+"/incidents?state=open" {
			t.Errorf("%s came back to %s", who.name, at)
		}
		if got := b.Text(t, ".who"); got != who.name+" · "+who.role {
			t.Errorf("%s is %q", who.name, got)
		}
		var people bool
		b.Do(t, chromedp.Navigate(s.front.URL+"/settings"), chromedp.WaitReady(`#main`), chromedp.Evaluate(`!!document.querySelector('form[action="/settings/people"]')`, &people))
		if people != (who.role == "admin") {
			t.Errorf("%s, an %s, sees the people: %v", who.name, who.role, people)
		}
		b.Quiet(t, who.name)
		b.Do(t, chromedp.Click(`form[action="/logout"] button`), chromedp.WaitVisible(`form.tall`), chromedp.Navigate(s.front.URL+"/settings"), chromedp.WaitVisible(`form.tall`))
	}
	s.end(t)
}

// TestServeOpenIDRefuses: a provider's answer that is for another, for another login, out
// of date, signed by another, or not asked for lets nobody in, and the page says so in the
// reader's language; the log says why.
func TestServeOpenIDRefuses(t *testing.T) {
	t.Parallel()
	s, p := openid(t)
	claim := func(name string, value any) idptest.Spoil {
		return idptest.Spoil{Claims: func(c map[string]any) { c[name] = value }}
	}
	const answer, flow = "OpenID 提供方的应答未被接受", "该登录并非在此发起"
	rows := map[string]struct {
		spoil      idptest.Spoil
		says, logs string
	}{
		"another audience": {claim("aud", "grafana"), answer, "expected audience"},
		"another nonce":    {claim("nonce", "n"), answer, "belongs to another login"},
		"expired":          {claim("exp", time.Now().Add(-time.Hour).Unix()), answer, "token is expired"},
		"another issuer":   {claim("iss", "https://id.example.org"), answer, "issued by a different provider"},
		"another key":      {idptest.Spoil{Key: true}, answer, "failed to verify"},
		"another state":    {idptest.Spoil{Return: func(q url.Values) { q.Set("state", "s") }}, flow, "fits no login"},
		"another provider": {idptest.Spoil{Return: func(q url.Values) { q.Set("iss", "https://id.example.org") }}, flow, "fits no login"},
		"another code":     {idptest.Spoil{Return: func(q url.Values) { q.Set("code", "c") }}, answer, "invalid_grant"},
		"no role":          {claim("realm", map[string]any{"groups": []string{"staff"}}), "你在此没有角色", "none of the groups"},
		"nothing wrong":    {idptest.Spoil{}, "dora · 管理员", ""},
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		row := rows[name]
		p.Who("1", "dora", []string{"sre"})
		p.Spoil(row.spoil)
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Jar: jar}
		page := func(path string) (int, string, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.front.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Language", "zh-CN")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(text), resp.Request.URL.Path
		}
		status, text, _ := page("/login/openid?next=/settings")
		if fine := row.logs == ""; !strings.Contains(text, row.says) || (status == http.StatusOK) != fine || strings.Contains(text, "OIDC") {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if _, _, at := page("/settings"); (at == "/settings") != (row.logs == "") {
			t.Errorf("%s: at %s", name, at)
		}
		if row.logs != "" {
			if line := s.until(t, "could not log in"); !strings.Contains(line, row.logs) || strings.Contains(line, idptest.Secret) {
				t.Errorf("%s: the log says %s", name, line)
			}
		}
	}
	s.end(t)
}
