package doctor

import (
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/observe"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	const module = "git.example.com/team/widget"
	for name, row := range map[string]struct {
		covered, read bool
		git           keepwell.Code
		seen          credentials.Repository
		want          keepwell.Code
	}{
		"nothing seen":                          {},
		"private, and told to the proxy":        {read: true, seen: credentials.Repository{Anonymous: 401}, want: "auth/goprivate-unset"},
		"private, and covered":                  {covered: true, read: true, seen: credentials.Repository{Anonymous: 401}},
		"public":                                {read: true, seen: credentials.Repository{Anonymous: 200}},
		"the login is refused":                  {seen: credentials.Repository{Anonymous: 401, Tried: true, WithLogin: 401}, want: "auth/expired-token"},
		"the login may not":                     {seen: credentials.Repository{Anonymous: 401, Tried: true, WithLogin: 403}, want: "auth/forbidden"},
		"a wall that refuses everybody":         {seen: credentials.Repository{Anonymous: 403, Tried: true, WithLogin: 403}},
		"SSO":                                   {seen: credentials.Repository{Anonymous: 401, Tried: true, WithLogin: 403, SSO: true}, want: "auth/forbidden"},
		"revoked":                               {seen: credentials.Repository{Anonymous: 401, Tried: true, WithLogin: 401, Over: true}, want: "auth/expired-token"},
		"moved":                                 {seen: credentials.Repository{Anonymous: 200, Moved: "git.example.com/new/widget"}, want: "module/moved"},
		"moved to a page that wants a login":    {seen: credentials.Repository{Anonymous: 401, Moved: "login.example.com/x"}},
		"no such account":                       {git: "auth/git-prompt", seen: credentials.Repository{Anonymous: 401, API: "github", Owner: 404}, want: "module/repo-gone"},
		"no login for a covered module":         {covered: true, git: "auth/git-prompt", seen: credentials.Repository{Anonymous: 401}, want: "auth/git-prompt"},
		"no login, and not known whose":         {git: "auth/git-prompt", seen: credentials.Repository{Anonymous: 401}},
		"a helper's login may not":              {git: "auth/forbidden", seen: credentials.Repository{Anonymous: 401}, want: "auth/forbidden"},
		"everybody is refused":                  {git: "auth/forbidden", seen: credentials.Repository{Anonymous: 403}},
		"no key":                                {covered: true, git: "auth/ssh-key", want: "auth/ssh-key"},
		"the host says 404 to a login it knows": {seen: credentials.Repository{Anonymous: 404, Tried: true, WithLogin: 404}},
	} {
		got := settle(privateView{Module: module, Host: "git.example.com", Repo: "https://" + module, Covered: row.covered, Asked: true, Read: row.read, GitCode: row.git, User: "bob", Seen: row.seen})
		if got.Code != row.want {
			t.Errorf("%s: %q, want %q", name, got.Code, row.want)
		}
	}
}

// TestJudgeLetsProbesSettle: what was seen of the module itself leads before what a
// proxy could only say it had not.
func TestJudgeLetsProbesSettle(t *testing.T) {
	t.Parallel()
	const module = "git.example.com/team/widget"
	said := Outcome{Check: "fetch", State: observe.No, Tried: true, Findings: []keepwell.Finding{{
		Code: "proxy/not-found", Confidence: 0.8, Facts: keepwell.Facts{"proxy": "goproxy.example.org", "module": module},
		Evidence: []keepwell.Evidence{{Source: "tool", Text: "404 Not Found"}},
	}}}
	probed := Outcome{Check: "private", State: observe.No, Settles: "proxy/not-found", Findings: []keepwell.Finding{{
		Code: "auth/goprivate-unset", Confidence: 0.95, Facts: keepwell.Facts{"host": "git.example.com", "module": module},
		Evidence: []keepwell.Evidence{{Source: "probe", Text: "readable"}},
	}}}
	got := Judge([]Outcome{said, probed})
	if len(got) != 1 || got[0].Code != "auth/goprivate-unset" || len(got[0].Evidence) != 2 {
		t.Errorf("judged %+v", got)
	}
}
