// Package idptest is a small but true OpenID provider on the loopback, for tests of
// logging in: discovery, keys, the authorization code flow with PKCE and a nonce, a client
// that shows its secret, ID tokens with real signatures. What it says can be spoilt.
package idptest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the provider knows the server by.
const (
	Client = "keepwell"
	Secret = "client-secret"
)

// Spoil makes what the provider says wrong; the zero value changes nothing.
type Spoil struct {
	// Claims changes those of the ID token.
	Claims func(map[string]any)
	// Return changes the parameters with which the browser is sent back.
	Return func(url.Values)
	// Key has tokens signed by another key than those it publishes.
	Key bool
}

// Provider is an OpenID provider.
type Provider struct {
	*httptest.Server
	t          testing.TB
	key, other *rsa.PrivateKey

	mu     sync.Mutex
	claims map[string]any // of who logs in next
	asks   bool
	spoil  Spoil
	codes  map[string]url.Values
}

// New starts a provider, which ends with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t, codes: map[string]url.Values{}}
	for _, key := range []**rsa.PrivateKey{&p.key, &p.other} {
		var err error
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Algorithm: string(jose.RS256), Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// Who says who logs in next: their subject, name and what stands in realm.groups.
func (p *Provider) Who(sub, name string, groups any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = map[string]any{"sub": sub, "preferred_username": name, "realm": map[string]any{"groups": groups}}
}

// Ask has the provider show a form with a button (#enter) before it sends anybody back.
func (p *Provider) Ask(asks bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks = asks
}

// Spoil makes what follows wrong.
func (p *Provider) Spoil(s Spoil) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil = s
}

func (p *Provider) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

func form() *template.Template {
	return template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Provider</title><h1>Provider</h1><form method="post"><button id="enter">Enter as {{.}}</button></form>`))
}

// authorize is where browsers come: it sends them back with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Host == "" || q.Get("client_id") != Client || q.Get("response_type") != "code" || !slices.Contains(strings.Fields(q.Get("scope")), "openid") ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || q.Get("state") == "" {
		http.Error(w, "no request of this client", http.StatusBadRequest)
		return
	}
	if p.asks && r.Method == http.MethodGet {
		if err := form().Execute(w, p.claims["preferred_username"]); err != nil {
			p.t.Error(err)
		}
		return
	}
	code := rand.Text()
	p.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.spoil.Return != nil {
		p.spoil.Return(answer)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther) //nolint:gosec // a provider for tests sends back where it is told
}

// token trades a code, once, for a signed ID token.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := r.FormValue("code")
	q, ok := p.codes[code]
	delete(p.codes, code)
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	id, secret, _ := r.BasicAuth()
	if !ok || id != Client || secret != Secret || r.FormValue("grant_type") != "authorization_code" || r.FormValue("redirect_uri") != q.Get("redirect_uri") ||
		q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		p.answer(w, map[string]any{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{"iss": p.URL, "aud": Client, "nonce": q.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, p.claims)
	if p.spoil.Claims != nil {
		p.spoil.Claims(claims)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
		return
	}
	key := p.key
	if p.spoil.Key {
		key = p.other
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		p.t.Error(err)
		return
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.t.Error(err)
		return
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
		return
	}
	p.answer(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": compact})
}
