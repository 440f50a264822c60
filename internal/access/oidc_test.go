package access_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// idp is an OpenID provider on the loopback, with real signatures.
type idp struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu      sync.Mutex
	claims  map[string]any // of who logs in next
	spoil   func(map[string]any)
	signer  *rsa.PrivateKey // another than the one it publishes
	flows   map[string]url.Values
	refused int
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key, signer: key, flows: map[string]url.Values{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		q := r.URL.Query()
		code := rand.Text()
		p.flows[code] = q
		back := q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}.Encode()
		http.Redirect(w, r, back, http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		q, ok := p.flows[r.FormValue("code")]
		delete(p.flows, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		if !ok || id != "keepwell" || secret != "client-secret" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			p.refused++
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "keepwell", "nonce": q.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		maps.Copy(claims, p.claims)
		if p.spoil != nil {
			p.spoil(claims)
		}
		text, _ := json.Marshal(claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.signer}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
		if err != nil {
			t.Error(err)
			return
		}
		signed, _ := signer.Sign(text)
		compact, _ := signed.CompactSerialize()
		answer(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": compact})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// who says who logs in next.
func (p *idp) who(sub, name string, groups any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = map[string]any{"sub": sub, "preferred_username": name, "realm": map[string]any{"groups": groups}}
}

func (p *idp) world(t *testing.T, so state.Options) *world {
	t.Helper()
	o := access.OIDC{
		Issuer: p.URL, ClientID: "keepwell", ClientSecret: "client-secret", Redirect: "http://placeholder/return", Groups: "realm.groups",
		Roles: map[string]access.Role{"sre": access.Operator, "leads": access.Admin},
	}
	proxy := httptest.NewUnstartedServer(nil) // its address is known before the door is made
	o.Redirect = "http://" + proxy.Listener.Addr().String() + "/return"
	w := newWorld(t, so, access.Options{OIDC: &o})
	target, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Config.Handler = forward(target)
	proxy.Start()
	t.Cleanup(proxy.Close)
	w.url = proxy.URL
	return w
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		p := newIDP(t)
		w := p.world(t, so)
		w.add("local", access.Viewer)
		p.who("u-1", "dora", []string{"staff", "sre"})
		c := w.browser()
		if a := w.get(c, "/oidc?next=/operator%3Fx"); a.status != http.StatusOK || a.person.Name != "dora" || a.person.Role != access.Operator {
			t.Fatalf("%+v", a)
		}
		// Another role tomorrow: the sessions before end.
		p.who("u-1", "renamed", []string{"leads", "sre"})
		again := w.browser()
		if a := w.get(again, "/oidc?next=/admin"); a.status != http.StatusOK || a.person.Name != "dora" || a.person.Role != access.Admin {
			t.Errorf("%+v", a)
		}
		if got := w.get(c, "/viewer").status; got != http.StatusUnauthorized {
			t.Errorf("the session before: %d", got)
		}
		// Nobody takes another's account by its name.
		p.who("u-2", "local", "sre")
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "another account") {
			t.Errorf("%+v", a)
		}
		p.who("u-3", "eve", []string{"staff"})
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "none of the groups") {
			t.Errorf("%+v", a)
		}
		// Out of all groups: out of here, and no password helps.
		p.who("u-1", "dora", nil)
		if a := w.get(w.browser(), "/oidc"); a.status != http.StatusBadRequest || w.get(again, "/viewer").status != http.StatusUnauthorized {
			t.Errorf("%+v", a)
		}
		if got := w.login(w.browser(), "dora", good); got != http.StatusUnauthorized {
			t.Errorf("a password: %d", got)
		}
		for _, next := range []string{"//evil.example.net", "https://evil.example.net", `/\evil.example.net`, "/a\r\nb", ""} {
			if got := access.Local(next); got != "/" {
				t.Errorf("%q: %q", next, got)
			}
		}
	})
}

// TestOIDCForged: what is not signed, not for us, not for this flow, or not from this
// browser lets nobody in.
func TestOIDCForged(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	w := p.world(t, state.Options{Dir: t.TempDir()})
	p.who("u-1", "dora", "leads")
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(map[string]any){
		"another audience": func(c map[string]any) { c["aud"] = "somebody" },
		"another issuer":   func(c map[string]any) { c["iss"] = "https://evil.example.net" },
		"another nonce":    func(c map[string]any) { c["nonce"] = "n" },
		"no nonce":         func(c map[string]any) { delete(c, "nonce") },
		"expired":          func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"another key":      func(map[string]any) { p.signer = other },
	} {
		p.mu.Lock()
		p.spoil, p.signer = spoil, p.key
		p.mu.Unlock()
		c := w.browser()
		if got := w.get(c, "/oidc").status; got != http.StatusUnauthorized || w.get(c, "/viewer").status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	p.mu.Lock()
	p.spoil, p.signer = nil, p.key
	p.mu.Unlock()
	// A return that this browser did not begin, which is how one is logged in as another.
	mine := w.browser()
	mine.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/return" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	back := w.get(mine, "/oidc").header.Get("Location")
	u, err := url.Parse(back)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatal(back, err)
	}
	for name, path := range map[string]string{"another browser": "/return?" + u.RawQuery, "no state": "/return?code=" + u.Query().Get("code")} {
		if got := w.get(w.browser(), path).status; got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	q := u.Query()
	q.Set("iss", "https://evil.example.net")
	if got := w.get(mine, "/return?"+q.Encode()).status; got != http.StatusBadRequest {
		t.Errorf("mixed up with another provider: %d", got)
	}
	mine.CheckRedirect = nil
	if got := w.get(mine, "/return?"+u.RawQuery); got.status == http.StatusBadRequest || w.get(mine, "/admin").status != http.StatusOK {
		t.Errorf("the true return: %+v", got)
	}
	if got := w.get(mine, "/return?"+u.RawQuery).status; got != http.StatusBadRequest {
		t.Errorf("once more: %d", got)
	}
	if _, text := w.journal(); strings.Contains(text, "client-secret") || strings.Contains(text, u.Query().Get("code")) {
		t.Error("the journal holds a secret")
	}
}

func forward(to *url.URL) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
}
