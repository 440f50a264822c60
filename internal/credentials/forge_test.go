package credentials

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

const canary = "CANARY-of-a-token"

// host answers as a forge and keeps what it was sent.
type host struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func newHost(t *testing.T, secure bool, answer http.HandlerFunc) *host {
	t.Helper()
	h := &host{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		h.mu.Lock()
		h.sent = append(h.sent, password+r.Header.Get("Private-Token")+r.Header.Get("Authorization"))
		h.mu.Unlock()
		answer(w, r)
	})
	if secure {
		h.Server = httptest.NewTLSServer(handler)
	} else {
		h.Server = httptest.NewServer(handler)
	}
	t.Cleanup(h.Close)
	return h
}

func (h *host) leaked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.sent, func(s string) bool { return s != "" })
}

func (h *host) client() Client {
	pool := x509.NewCertPool()
	if h.Certificate() != nil {
		pool.AddCert(h.Certificate())
	}
	return Client{Roots: pool}
}

func at(t *testing.T, base, path string) *url.URL {
	t.Helper()
	u, err := url.Parse(base + path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// forgeAnswers is a host with a private repository that one token may read.
func forgeAnswers(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v4/personal_access_tokens/self"):
		_, _ = w.Write([]byte(`{"active":true,"revoked":false,"scopes":["read_api"]}`))
	case strings.HasPrefix(r.URL.Path, "/old/"):
		http.Redirect(w, r, strings.Replace(r.URL.String(), "/old/", "/new/", 1), http.StatusMovedPermanently)
	case strings.HasPrefix(r.URL.Path, "/new/"), password == canary:
		_, _ = w.Write([]byte("001e# service=git-upload-pack\n"))
	case password != "":
		w.WriteHeader(http.StatusForbidden)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, forgeAnswers)
	repo := at(t, h.URL, "/team/widget")
	good := &Login{Host: repo.Host, User: "bob", secret: canary}
	if r := h.client().Look(t.Context(), repo, good); r.Anonymous != 401 || !r.Tried || r.WithLogin != 200 || r.Moved != "" {
		t.Errorf("with a good login: %+v", r)
	}
	bad := &Login{Host: repo.Host, User: "bob", secret: "glpat-x", Token: Classify("glpat-x")}
	if r := h.client().Look(t.Context(), repo, bad); r.WithLogin != 403 || r.API != "gitlab" || r.Over || !slices.Equal(r.Scopes, []string{"read_api"}) {
		t.Errorf("with a login that may not: %+v", r)
	}
	if r := h.client().Look(t.Context(), at(t, h.URL, "/old/widget.git"), nil); r.Anonymous != 200 || r.Moved != repo.Host+"/new/widget" {
		t.Errorf("moved: %+v", r)
	}
}

// TestLoginStaysHome: a login goes to no other host, not over http, and not along a
// redirect.
func TestLoginStaysHome(t *testing.T) {
	t.Parallel()
	other := newHost(t, false, forgeAnswers)
	h := newHost(t, true, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	})
	repo := at(t, h.URL, "/team/widget")
	_ = h.client().Look(t.Context(), repo, &Login{Host: repo.Host, User: "bob", secret: canary})
	plain := at(t, other.URL, "/team/widget")
	if r := other.client().Look(t.Context(), plain, &Login{Host: plain.Host, User: "bob", secret: canary}); r.Tried {
		t.Errorf("a login was sent over http: %+v", r)
	}
	if other.leaked() {
		t.Error("the login went along a redirect or over http")
	}
	if !h.leaked() {
		t.Error("its own host did not get it")
	}
	stranger := newHost(t, true, forgeAnswers)
	_ = stranger.client().Look(t.Context(), at(t, stranger.URL, "/team/widget"), &Login{Host: "git.example.com", User: "bob", secret: canary, Token: Token{Kind: "gitlab-personal"}})
	if stranger.leaked() {
		t.Error("a login went to another host")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, forgeAnswers)
	c := h.client()
	c.Refuse = func(a netip.Addr) bool { return a.IsLoopback() }
	if _, err := c.ask(t.Context(), at(t, h.URL, "/"), nil, false); !errors.Is(err, ErrRefused) {
		t.Errorf("asking a refused address: %v", err)
	}
	if len(h.sent) > 0 {
		t.Error("it was asked")
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		host, asked string
		want        bool
	}{
		{"git.example.com", "GIT.example.com:443", true},
		{"git.example.com", "git.example.com:8443", false},
		{"example.com", "git.example.com", false},
		{"github.com", "api.github.com", false},
		{"git.example.com", "api.git.example.com", false},
		{"", "", false},
	} {
		if got := owns(row.host, row.asked); got != row.want {
			t.Errorf("a login of %q may go to %q: %v", row.host, row.asked, got)
		}
	}
}
