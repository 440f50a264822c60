package observe

import (
	"cmp"
	"context"
	"net/http"
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
