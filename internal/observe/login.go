package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// login says what the server makes of a token: whether it knows it, what it may do,
// whether an organisation's single sign-on is in the way.
func (s *session) login(ctx context.Context) []Result {
	a, err := s.fetch(ctx, ask{url: s.target.URL.String()})
	if err != nil {
		return []Result{s.failed(a, err)}
	}
	if !a.sent {
		return []Result{{State: NotChecked, Key: "probe.login.elsewhere", Args: []string{clip(a.final.Host)}}}
	}
	if a.header.Get("X-Gitlab-Meta") != "" && a.status == http.StatusOK {
		if r, ok := s.gitlab(ctx); ok {
			return []Result{r}
		}
	}
	facts := s.facts("phase", "status", "status", strconv.Itoa(a.status))
	scopes := clip(a.header.Get("X-Oauth-Scopes"))
	sso := a.header.Get("X-Github-Sso")
	switch {
	case a.status == http.StatusUnauthorized:
		asks := clip(cmp.Or(a.header.Get("Www-Authenticate"), "-"))
		return []Result{{State: No, Key: "probe.login.rejected", Args: []string{asks}, Code: "auth/expired-token", Said: a.said(), Facts: facts}}
	case a.status == http.StatusForbidden && strings.HasPrefix(sso, "required"):
		return []Result{{State: No, Key: "probe.login.sso", Code: "auth/forbidden", Said: a.said(), Facts: facts}}
	case a.status == http.StatusForbidden:
		needs := clip(cmp.Or(a.header.Get("X-Accepted-Oauth-Scopes"), "-"))
		return []Result{{State: No, Key: "probe.login.scopes", Args: []string{cmp.Or(scopes, "-"), needs}, Code: "auth/forbidden", Said: a.said(), Facts: facts}}
	}
	if end := a.header.Get("Github-Authentication-Token-Expiration"); end != "" {
		return []Result{{State: Yes, Key: "probe.login.until", Args: []string{cmp.Or(scopes, "-"), clip(end)}}}
	}
	if strings.HasPrefix(sso, "partial-results") {
		return []Result{{State: Yes, Key: "probe.login.partial", Args: []string{cmp.Or(scopes, "-")}}}
	}
	return []Result{{State: Yes, Key: "probe.login.good", Args: []string{cmp.Or(scopes, "-")}}}
}

// gitlab asks GitLab about the token itself; GitLab has no header for that.
func (s *session) gitlab(ctx context.Context) (Result, bool) {
	u := url.URL{Scheme: s.target.URL.Scheme, Host: s.target.URL.Host, Path: "/api/v4/personal_access_tokens/self"}
	a, err := s.fetch(ctx, ask{url: u.String(), accept: "application/json"})
	if err != nil || a.status != http.StatusOK || !a.sent {
		return Result{}, false
	}
	var token struct {
		Scopes  []string `json:"scopes"`
		Expires string   `json:"expires_at"`
	}
	if json.Unmarshal(a.body, &token) != nil {
		return Result{}, false
	}
	scopes := clip(cmp.Or(strings.Join(token.Scopes, ", "), "-"))
	if token.Expires == "" {
		return Result{State: Yes, Key: "probe.login.good", Args: []string{scopes}}, true
	}
	return Result{State: Yes, Key: "probe.login.until", Args: []string{scopes, clip(token.Expires)}}, true
}
