// Package credentials knows where logins lie and which one a tool would send to which
// host: netrc lines as go and as git read them, git's configuration and helpers, ssh's
// keys, agent and known hosts, and what kind of token a secret is by its shape. [Client]
// asks a host about one repository, with and without a login.
//
// It names places, accounts and kinds, never a secret: a [Login] keeps its own to itself
// and gives it only to its own host, over TLS. It changes nothing and judges nothing;
// that is the doctor's.
//
// To add a place, write its reader in a file of its own; a kind of token is a line in
// kinds, with its words "token.<kind>" in internal/msg/doctor_credentials.go.
package credentials

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Token is what the shape of a secret tells.
type Token struct {
	// Kind is a name of kinds, "jwt", or "" where the shape tells nothing.
	Kind string
	// Expires is when the token says that it ends; zero where it does not say.
	Expires time.Time
}

// Expired reports whether the token itself says that it is over.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && t.Expires.Before(now) }

// kinds are tokens by the prefix that their makers gave them.
func kinds() [][2]string {
	return [][2]string{
		{"github_pat_", "github-fine"},
		{"ghp_", "github-classic"},
		{"gho_", "github-oauth"},
		{"ghu_", "github-app"},
		{"ghs_", "github-job"},
		{"glpat-", "gitlab-personal"},
		{"gldt-", "gitlab-deploy"},
		{"glcbt-", "gitlab-job"},
		{"npm_", "npm"},
		{"pypi-", "pypi"},
	}
}

var jwt = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.(eyJ[A-Za-z0-9_-]+)\.`)
})

// Classify tells what is seen of a secret, which may stand inside other text.
func Classify(secret string) Token {
	for _, k := range kinds() {
		if strings.Contains(secret, k[0]) {
			return Token{Kind: k[1]}
		}
	}
	m := jwt().FindStringSubmatch(secret)
	if m == nil {
		return Token{}
	}
	t := Token{Kind: "jwt"}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if raw, err := base64.RawURLEncoding.DecodeString(m[1]); err == nil && json.Unmarshal(raw, &claims) == nil && claims.Exp > 0 && claims.Exp < 1e12 {
		t.Expires = time.Unix(int64(claims.Exp), 0)
	}
	return t
}

// largestFile bounds what is read of a file that people write by hand.
const largestFile = 1 << 20

// ReadFile reads a regular file, as far as anybody would write one by hand.
func ReadFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would never end
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, largestFile))
}

// OthersMayRead reports whether other users of this machine may read a file.
func OthersMayRead(name string) bool {
	info, err := os.Stat(name) //nolint:gosec // G703: the file that the user's own settings name
	return err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o044 != 0
}

// Login is an account and its secret, for one host.
type Login struct {
	Host string
	User string
	Token
	secret string
}

// String never shows the secret.
func (l Login) String() string { return l.User + "@" + l.Host }

// GoString is for %#v.
func (l Login) GoString() string { return l.String() }
