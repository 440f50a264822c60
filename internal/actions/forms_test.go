package actions

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// TestHides: a secret that comes back in another form is taken out as well.
func TestHides(t *testing.T) {
	t.Parallel()
	const secret = `h0rse/<battery>+"st&ple`
	v := &vault{open: func(string) (string, error) { return secret, nil }}
	if _, err := v.get("x"); err != nil {
		t.Fatal(err)
	}
	v.learnLogin("ann", secret)
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	forms := []string{
		secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), url.QueryEscape(secret), url.PathEscape(secret),
		strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte("ann:" + secret)),
	}
	for _, form := range forms {
		if got := v.hide("it said <" + form + "> and more"); strings.Contains(got, form) || !strings.Contains(got, "it said <***") {
			t.Errorf("%s became %s", form, got)
		}
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
		for _, before := range []string{"", "a", "ab", "abc", "user:"} {
			for _, after := range []string{"", "z", "yz", "xyz"} {
				whole := e.EncodeToString([]byte(before + secret + after))
				got := v.hide("answer " + whole)
				// At most the characters at the seams are left.
				if kept := strings.ReplaceAll(strings.TrimPrefix(got, "answer "), "***", ""); len(kept) > len(whole)-len(secret)*8/6+2 {
					t.Errorf("%q+%q: %s became %s", before, after, whole, got)
				}
			}
		}
	}
	short := &vault{known: []string{"abc"}}
	if got := short.hide("616263 YWJj"); got != "616263 YWJj" {
		t.Errorf("a short secret hides %s", got)
	}
}
