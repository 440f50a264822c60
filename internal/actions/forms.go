package actions

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// leastHidden is how long a secret, or a part of one in another form, is at least that is
// looked for in other forms: what is shorter stands in many texts by chance.
const leastHidden = 6

// formsOf are the other forms in which a secret may come back: in
// base64 also from the middle of a longer text, in hexadecimal, and escaped as in
// addresses and JSON.
func formsOf(secret string) []string {
	if len(secret) < leastHidden {
		return nil
	}
	plain := hex.EncodeToString([]byte(secret))
	forms := []string{plain, strings.ToUpper(plain), url.QueryEscape(secret), url.PathEscape(secret), lowerEscapes(url.QueryEscape(secret)), lowerEscapes(url.PathEscape(secret))}
	for _, escapes := range []bool{false, true} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapes)
		if e.Encode(secret) == nil {
			forms = append(forms, strings.Trim(strings.TrimSuffix(b.String(), "\n"), `"`))
		}
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, e.EncodeToString([]byte(secret)))
		for at := range 3 {
			forms = append(forms, inside(e, secret, at))
		}
	}
	return slices.DeleteFunc(forms, func(f string) bool { return len(f) < leastHidden || f == secret })
}

// inside is what base64 of a text has of a secret that begins at bytes past a multiple of
// three: the characters that depend on nothing else.
func inside(e *base64.Encoding, secret string, at int) string {
	raw := e.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", at) + secret))
	from := (at*8 + 5) / 6
	return raw[from : (at+len(secret))*8/6]
}

// lowerEscapes are escapes of an address as some write them: %2f for %2F.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// learnLogin has a user's secret taken out as Basic writes it, too.
func (v *vault) learnLogin(user, secret string) {
	if secret == "" {
		return
	}
	v.learn(base64.StdEncoding.EncodeToString([]byte(user + ":" + secret)))
	v.learn(base64.URLEncoding.EncodeToString([]byte(user + ":" + secret)))
}
