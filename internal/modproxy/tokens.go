package modproxy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// Tokens are who may ask. They may be replaced while requests are served.
type Tokens struct{ known atomic.Pointer[[]token] }

type token struct {
	sum  [sha256.Size]byte
	name string
}

// hashed marks a token of which the file has only the sha256, in hex.
const hashed = "sha256:"

var errNoTokens = errors.New("no token is left: the ones before stay valid, since without any everybody would be served")

// Load reads a file of tokens: a line for each, `NAME TOKEN`, `NAME sha256:HEX` or only
// the token; # begins a comment. Of a file with a mistake nothing is taken, and tokens
// once loaded are not replaced by none.
func (t *Tokens) Load(data []byte) error {
	var all []token
	n := 0
	for line := range bytes.Lines(data) {
		n++
		f := strings.Fields(string(line))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		name, last := strings.Join(f[:len(f)-1], " "), f[len(f)-1]
		k := token{sha256.Sum256([]byte(last)), name}
		if sum, ok := strings.CutPrefix(last, hashed); ok {
			raw, err := hex.DecodeString(sum)
			if err != nil || len(raw) != len(k.sum) {
				return fmt.Errorf("line %d: want %s and 64 hexadecimal digits", n, hashed)
			}
			copy(k.sum[:], raw)
		}
		all = append(all, k)
	}
	if len(all) == 0 && t.Any() {
		return errNoTokens
	}
	t.known.Store(&all)
	return nil
}

// Any tells whether there are tokens; without any, everybody may ask.
func (t *Tokens) Any() bool {
	if t == nil {
		return false
	}
	known := t.known.Load()
	return known != nil && len(*known) > 0
}

// client names who asks. go sends the token of netrc, of GOAUTH and of https://NAME:TOKEN@HOST
// as a password, that of https://TOKEN@HOST as a name. All tokens are compared, whichever
// fits, so that the time tells nothing.
func (t *Tokens) client(r *http.Request) (string, bool) {
	if !t.Any() {
		return "", true
	}
	user, given, ok := r.BasicAuth()
	if ok && given == "" {
		given = user
	}
	if !ok {
		given, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if !ok {
		return "", false
	}
	sum := sha256.Sum256([]byte(given))
	known := *t.known.Load()
	at := -1
	for i := range known {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(known[i].sum[:], sum[:]), i, at)
	}
	if at < 0 {
		return "", false
	}
	return known[at].name, true
}

// NewToken makes a token, and the line of the file that lets it in without telling it.
func NewToken(name string) (secret, line string) {
	secret = "kw_" + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	return secret, name + " " + hashed + hex.EncodeToString(sum[:])
}
