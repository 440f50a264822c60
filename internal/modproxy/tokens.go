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

// TokenError is what is wrong with a line of a file of tokens. It never tells the token.
type TokenError struct {
	Line int
	// Kind is one of short, words, name and hash.
	Kind string
}

// leastToken is the length from which a token is taken for one that nobody guesses.
const leastToken = 16

func (p *TokenError) Error() string {
	switch p.Kind {
	case "short":
		return fmt.Sprintf("line %d: a token has %d characters or more; keepwell proxy --new-token NAME makes one", p.Line, leastToken)
	case "words":
		return fmt.Sprintf("line %d: want NAME TOKEN, two words without spaces in them", p.Line)
	case "name":
		return fmt.Sprintf("line %d: this looks like a name whose token is missing; keepwell proxy --new-token NAME makes one", p.Line)
	}
	return fmt.Sprintf("line %d: want %s and 64 hexadecimal digits", p.Line, hashed)
}

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
		k, problem := readToken(f)
		if problem != "" {
			return &TokenError{n, problem}
		}
		all = append(all, k)
	}
	if len(all) == 0 && t.Any() {
		return errNoTokens
	}
	t.known.Store(&all)
	return nil
}

// readToken reads the words of a line; problem is a kind of [TokenError].
func readToken(f []string) (k token, problem string) {
	const most = 2
	last := f[len(f)-1]
	if len(f) == most {
		k.name = f[0]
	}
	sum, isHash := strings.CutPrefix(last, hashed)
	switch {
	case len(f) > most:
		return k, "words"
	case isHash:
		raw, err := hex.DecodeString(sum)
		if err != nil || len(raw) != len(k.sum) {
			return k, "hash"
		}
		copy(k.sum[:], raw)
		return k, ""
	case len(last) < leastToken:
		if len(f) == 1 && looksLikeName(last) {
			return k, "name"
		}
		return k, "short"
	case len(f) == 1 && looksLikeName(last):
		return k, "name"
	}
	k.sum = sha256.Sum256([]byte(last))
	return k, ""
}

// looksLikeName tells words such as build-server-7.example.org from what was drawn by lot:
// each part is letters, then at most a few digits.
func looksLikeName(s string) bool {
	const longest, digits = 20, 4
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("-_.@+/:", r) }) {
		word := strings.TrimRight(part, "0123456789")
		if len(word) > longest || len(part)-len(word) > digits || strings.ContainsAny(word, "0123456789") {
			return false
		}
	}
	return true
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
	return t.holder(r.Header.Get("Authorization"))
}

// holder is client for the header alone.
func (t *Tokens) holder(header string) (string, bool) {
	if !t.Any() {
		return "", true
	}
	user, given, ok := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
	if ok && given == "" {
		given = user
	}
	if !ok {
		given, ok = strings.CutPrefix(header, "Bearer ")
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
