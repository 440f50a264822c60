package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/keepwell/keepwell/internal/state"
)

// OIDC says how people log in at an OpenID provider.
type OIDC struct {
	// Issuer is the provider's address, as it stands in its tokens.
	Issuer string
	// ClientID and ClientSecret are what the provider knows keepwell by. Secret, where set,
	// reads the secret anew each time.
	ClientID, ClientSecret string
	Secret                 func() (string, error)
	// Redirect is the address of this server's return path, as the provider knows it.
	Redirect string
	// Scopes are asked for beside openid; none: profile and email.
	Scopes []string
	// Groups is the claim that holds the groups, dots leading inward; "": groups. Roles
	// gives groups their role: the highest counts. Others is the role of who is in none of
	// them; "": they are refused.
	Groups string
	Roles  map[string]Role
	Others Role
	// Name is the claim that people are called by; "": preferred_username, or else email.
	Name string
	// Client asks the provider; nil: one that waits 10 seconds.
	Client *http.Client
}

// What callers tell apart with errors.Is.
var (
	// ErrFlow says that the return from the provider fits no way that was begun here.
	ErrFlow = errors.New("the return fits no login that was begun in this browser in the last ten minutes (hint: begin again)")
	// ErrNoRole refuses somebody whom the provider knows and who has no role here.
	ErrNoRole = errors.New("none of the groups that the provider tells has a role here (hint: an admin maps groups to roles in the configuration)")
	// ErrTaken refuses to let a name of the provider be the same as another account.
	ErrTaken = errors.New("the name that the provider tells is another account's here (hint: an admin renames one of them)")
	// ErrAnswer refuses what the provider answered: it is not signed by it, not for this
	// server or this login, or no longer. It comes with [ErrLogin].
	ErrAnswer = errors.New("what the OpenID provider answered cannot be accepted")
	// ErrSilent says that the provider could not be asked.
	ErrSilent = errors.New("the OpenID provider does not answer")
	// ErrNoProvider says that there is none.
	ErrNoProvider = errors.New("no OpenID provider is configured")
)

// provider is found when first needed, so that the server starts without it.
type provider struct {
	o     OIDC
	mu    sync.Mutex
	known *oidc.Provider
}

func newProvider(o OIDC) (*provider, error) {
	if o.Issuer == "" || o.ClientID == "" || o.Redirect == "" {
		return nil, errors.New("OpenID: issuer, client and redirect must be set")
	}
	for group, role := range o.Roles {
		if _, err := ParseRole(string(role)); err != nil {
			return nil, fmt.Errorf("OpenID: group %q: %w", group, err)
		}
	}
	if _, err := ParseRole(string(o.Others)); o.Others != "" && err != nil {
		return nil, fmt.Errorf("OpenID: the role of others: %w", err)
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"profile", "email"}
	}
	if o.Groups == "" {
		o.Groups = "groups"
	}
	if o.Client == nil {
		const patience = 10 * time.Second
		o.Client = &http.Client{Timeout: patience}
	}
	return &provider{o: o}, nil
}

func (p *provider) open(ctx context.Context) (context.Context, *oidc.Provider, *oauth2.Config, error) {
	ctx = oidc.ClientContext(ctx, p.o.Client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		known, err := oidc.NewProvider(context.WithoutCancel(ctx), p.o.Issuer) // keeps the context; the client has its deadline
		if err != nil {
			return ctx, nil, nil, fmt.Errorf("%w: %w", ErrSilent, err)
		}
		p.known = known
	}
	secret := p.o.ClientSecret
	if p.o.Secret != nil {
		var err error
		if secret, err = p.o.Secret(); err != nil {
			return ctx, nil, nil, fmt.Errorf("reading the secret for the OpenID provider: %w", err)
		}
	}
	return ctx, p.known, &oauth2.Config{
		ClientID: p.o.ClientID, ClientSecret: secret, Endpoint: p.known.Endpoint(), RedirectURL: p.o.Redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.o.Scopes...),
	}, nil
}

// flow is what a browser keeps between leaving for the provider and coming back.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"x"`
}

// HasOIDC tells whether people can log in at a provider.
func (d *Door) HasOIDC() bool { return d.oidc != nil }

// Begin sends the browser to the provider; next is the path to come back to. Nothing was
// written to w before an error.
func (d *Door) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	if d.oidc == nil {
		return ErrNoProvider
	}
	_, _, config, err := d.oidc.open(r.Context())
	if err != nil {
		return err
	}
	f := flow{State: secret(), Nonce: secret(), Verifier: oauth2.GenerateVerifier(), Next: Local(next)}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	const patience = 10 * time.Minute
	d.setCookie(w, r, flowCookie, base64.RawURLEncoding.EncodeToString(text), patience)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusFound)
	return nil
}

// Local is a path of this server's to go on to; anything else becomes /.
func Local(next string) string {
	const longest = 1024
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || len(next) > longest || strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }) {
		return "/"
	}
	return next
}

// Return lets in who comes back from the provider, and tells the path to go on to.
func (d *Door) Return(w http.ResponseWriter, r *http.Request) (next string, err error) {
	if d.oidc == nil {
		return "", ErrNoProvider
	}
	var f flow
	text, err := base64.RawURLEncoding.DecodeString(d.cookie(r, flowCookie))
	if err != nil || json.Unmarshal(text, &f) != nil || f.State == "" {
		return "", ErrFlow
	}
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(f.State), []byte(q.Get("state"))) != 1 {
		return "", ErrFlow
	}
	if iss := q.Get("iss"); iss != "" && iss != d.oidc.o.Issuer { // RFC 9207
		return "", ErrFlow
	}
	d.setCookie(w, r, flowCookie, "", 0) // once
	c, err := d.oidc.claims(r.Context(), f, q.Get("code"))
	if err != nil {
		return "", errors.Join(fmt.Errorf("%w: %w", ErrAnswer, err), ErrLogin, d.refused(r.Context(), r, "", "oidc"))
	}
	name, err := d.provide(r.Context(), c)
	if err != nil {
		return "", errors.Join(err, d.refused(r.Context(), r, "", "oidc"))
	}
	nothing := func(*state.Tx, *state.User) error { return nil }
	return Local(f.Next), d.enter(w, r, name, "oidc", nothing)
}

// claimed is what a provider says of somebody.
type claimed struct {
	subject, name string
	role          Role // "": none
}

// claims trades the code for the provider's word, which must be signed by it, for us, and
// for this flow.
func (p *provider) claims(ctx context.Context, f flow, code string) (c claimed, err error) {
	if code == "" {
		return c, errors.New("the provider sent no code")
	}
	ctx, known, config, err := p.open(ctx)
	if err != nil {
		return c, err
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) { // its text holds the answer as it came
			return c, fmt.Errorf("trading the code: the provider refused it (%.40q)", refused.ErrorCode)
		}
		if _, broken := errors.AsType[*url.Error](err); broken {
			return c, fmt.Errorf("trading the code: %w: %w", ErrSilent, err)
		}
		return c, fmt.Errorf("trading the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return c, errors.New("the provider sent no id_token")
	}
	id, err := known.Verifier(&oidc.Config{ClientID: p.o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return c, fmt.Errorf("checking the id_token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return c, errors.New("checking the id_token: it belongs to another login")
	}
	var all map[string]any
	if err := id.Claims(&all); err != nil {
		return c, fmt.Errorf("reading the id_token: %w", err)
	}
	return claimed{subject: id.Issuer + " " + id.Subject, name: p.name(all), role: p.role(all)}, nil
}

func (p *provider) name(all map[string]any) string {
	wanted := []string{"preferred_username", "email"}
	if p.o.Name != "" {
		wanted = []string{p.o.Name}
	}
	for _, claim := range wanted {
		if name, ok := all[claim].(string); ok && names().MatchString(name) {
			return name
		}
	}
	return ""
}

// role is the highest of the groups'.
func (p *provider) role(all map[string]any) Role {
	var at any = all
	for part := range strings.SplitSeq(p.o.Groups, ".") {
		inner, ok := at.(map[string]any)
		if !ok {
			return p.o.Others
		}
		at = inner[part]
	}
	groups, ok := at.([]any)
	if !ok {
		groups = []any{at}
	}
	best := p.o.Others
	for _, g := range groups {
		if name, ok := g.(string); ok && slices.Index(Roles(), p.o.Roles[name]) > slices.Index(Roles(), best) {
			best = p.o.Roles[name]
		}
	}
	return best
}

// provide has the account of a person of the provider as the provider says, and returns
// its name. It is found by issuer and subject, never by name: names can be had by others.
func (d *Door) provide(ctx context.Context, c claimed) (name string, err error) {
	err = d.st.Tx(ctx, func(tx *state.Tx) error {
		u, err := tx.UserBySubject(ctx, c.subject)
		if errors.Is(err, state.ErrNotFound) {
			if c.role == "" {
				return ErrNoRole
			}
			if c.name == "" {
				return ErrName
			}
			name = c.name
			u, err = tx.AddUser(ctx, state.User{Name: c.name, Role: string(c.role), Subject: c.subject})
			if errors.Is(err, state.ErrConflict) {
				return ErrTaken
			}
			return errors.Join(err, journalUser(tx, "oidc", "added", u))
		}
		if err != nil {
			return err
		}
		name = u.Name
		if u.Role == string(c.role) {
			return nil
		}
		// Other groups: other role, and out everywhere. Who has no role is left with none,
		// so that tokens end, too.
		u.Role = string(c.role)
		return errors.Join(tx.ChangeUser(ctx, u), tx.EndSessions(ctx, u.ID), journalUser(tx, "oidc", "changed: role", u))
	})
	if err == nil && c.role == "" {
		err = ErrNoRole
	}
	return name, err
}
