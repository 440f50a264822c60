package credentials

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzReaders: whatever lies in a user's files is read without a panic, and what is shown
// of a setting holds no password of an address.
func FuzzReaders(f *testing.F) {
	f.Add("machine git.example.com login bob password CANARY\ndefault login x password y\nmacdef z\n\n")
	f.Add(config)
	f.Add("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA\n@revoked *.example.com a b\n")
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln")
	f.Add("user git\nidentityfile ~/.ssh/id\nidentityagent $SOCK\n")
	f.Add("git@github.com:acme/widget.git")
	f.Add("g@\xff@\xfcgimhuco.bt:")
	f.Add("git@-oProxyCommand=x:acme/widget")
	f.Fuzz(func(t *testing.T, text string) {
		data := []byte(text)
		for _, l := range ParseNetrc(data) {
			if l.Complete && (l.Login == "" || l.secret == "") {
				t.Errorf("complete without a login or a password: %+v", l)
			}
		}
		g := ParseGit(data, "/src")
		u := &url.URL{Scheme: "https", Host: "git.example.com", Path: "/team/widget"}
		_, _ = g.Rewrite(u.String())
		_, _, _ = g.Helpers(u), g.Headers(u), g.Logins()
		_ = Known(data, "git.example.com", "2222")
		_ = ParseSSH(data, "/home/bob")
		_ = locked(data)
		if a := Remote(text); (strings.ContainsAny(a.Name, "/@") || strings.HasPrefix(a.Name, "-")) && a.Scheme == "ssh" && !strings.Contains(text, "://") {
			t.Errorf("host %q of %q", a.Name, text)
		}
		_, _ = LoginOf(text)
		_, _, _ = Stored(data, u)
		_ = Classify(text)
	})
}
