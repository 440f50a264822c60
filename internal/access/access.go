// Package access knows who asks: people with a role, logged in by a password or by an
// OpenID provider, and the tokens by which programs act for them. It puts the Person into
// the context of a request, refuses requests that another site made a browser send, and
// writes every change of people, tokens and logins into the journal. It never decides
// what a role may do: the routes say which they need.
//
// # How to use it
//
//	door, err := access.Open(st, access.Options{…})
//	mux.Handle("POST /things", access.Need(access.Operator, things)) // 401, 403, or things
//	handler := door.Handler(mux)                                     // outermost, once
//	…
//	person, ok := access.From(r.Context())                           // who asks
//
// Passwords are kept as argon2id (password.go), secrets of sessions and tokens as sha256:
// they are random, so that nothing slower is needed. Who guesses is slowed down, not
// locked out (limit.go). A new way to log in is a file like oidc.go that ends in
// Door.enter.
package access

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

// Role is what a person may do, each with all that the one before may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // sees
	Operator Role = "operator" // acts: approves, runs, cancels, mutes
	Admin    Role = "admin"    // changes people, tokens and playbooks
)

// Roles lists them, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// Allows tells whether r may do what takes need. A role that is none allows nothing, and
// a need that is none is never met.
func (r Role) Allows(need Role) bool {
	have, least := slices.Index(Roles(), r), slices.Index(Roles(), need)
	return least >= 0 && have >= least
}

// ParseRole reads a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("%.40q is no role (hint: viewer, operator or admin)", s)
}

// The scopes of tokens: what they are for. A session is for all of them.
const (
	ScopeAPI   = "api"   // what Need lets through
	ScopeHooks = "hooks" // sending alerts
	ScopeMod   = "mod"   // the module proxy
)

// Scopes lists them.
func Scopes() []string { return []string{ScopeAPI, ScopeHooks, ScopeMod} }

// Person is who asks.
type Person struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	// Role is the user's, or the token's where that is less.
	Role Role `json:"role"`
	// Token is the name of the token that was sent; "": a session, which is a person in
	// front of a browser.
	Token string `json:"token,omitempty"`
	// Scopes are the token's.
	Scopes []string `json:"scopes,omitempty"`
}

// Actor is who it is for the journal and the engine. It is the same for a user and the
// user's tokens, so that nobody approves with the one what was begun with the other.
func (p Person) Actor() string { return "user:" + p.Name }

// LoggedIn tells whether it is a person in front of a browser, not a program.
func (p Person) LoggedIn() bool { return p.ID != 0 && p.Token == "" }

// May tells whether the person may do what takes a role, for a purpose.
func (p Person) May(scope string, need Role) bool {
	return p.Role.Allows(need) && (p.Token == "" || slices.Contains(p.Scopes, scope))
}

type personKey struct{}

// With returns a context in which p asks.
func With(ctx context.Context, p Person) context.Context {
	return context.WithValue(ctx, personKey{}, p)
}

// From tells who asks; ok is false where nobody is logged in.
func From(ctx context.Context) (p Person, ok bool) {
	p, ok = ctx.Value(personKey{}).(Person)
	return p, ok
}

// Need lets through who has the role, by a session or by a token of the scope api; others
// get 401 or 403 with a problem document.
func Need(role Role, next http.Handler) http.Handler { return NeedFor(ScopeAPI, role, next) }

// NeedFor is Need for tokens of another scope.
func NeedFor(scope string, role Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := From(r.Context())
		switch {
		case !ok:
			w.Header().Set("WWW-Authenticate", `Bearer realm="keepwell"`)
			Problem(w, r, http.StatusUnauthorized, "access.unauthenticated")
		case p.Token != "" && !slices.Contains(p.Scopes, scope):
			Problem(w, r, http.StatusForbidden, "access.scope", scope)
		case !p.Role.Allows(role):
			Problem(w, r, http.StatusForbidden, "access.role", string(role))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Options of a door. Zero values are the defaults said here.
type Options struct {
	// Secure says that browsers come by TLS although requests do not show it: a proxy in
	// front ends it.
	Secure bool
	// Origins are other origins from which browsers may write, such as
	// https://keepwell.example.org where a proxy changes the Host.
	Origins []string
	// Address tells where a request comes from; nil: from the connection's other end.
	Address func(*http.Request) string
	// Idle ends a session that is not used; 0: 12 hours. Absolute ends every one; 0: 7 days.
	Idle, Absolute time.Duration
	// Hashers is how many passwords are hashed at once, each in 19 MiB; 0: 2.
	Hashers int
	// OIDC is the OpenID provider; nil: passwords only.
	OIDC *OIDC
	// Log gets what goes wrong inside; nil: nothing.
	Log *slog.Logger
}

// Door lets people in. It is safe for concurrent use.
type Door struct {
	st     *state.State
	o      Options
	origin *http.CrossOriginProtection
	hasher *hasher
	oidc   *provider

	mu      sync.Mutex
	touched map[string]time.Time // when a session or token was last noted as used
	device  []byte               // what proofs of devices are signed with
}

// Open makes the door of a state.
func Open(st *state.State, o Options) (*Door, error) {
	const idle, absolute, hashers = 12 * time.Hour, 7 * 24 * time.Hour, 2
	if o.Idle <= 0 {
		o.Idle = idle
	}
	if o.Absolute <= 0 {
		o.Absolute = absolute
	}
	if o.Hashers <= 0 {
		o.Hashers = hashers
	}
	if o.Address == nil {
		o.Address = remote
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{st: st, o: o, origin: http.NewCrossOriginProtection(), hasher: newHasher(o.Hashers), touched: map[string]time.Time{}}
	for _, origin := range o.Origins {
		if err := d.origin.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %q: %w (hint: such as https://keepwell.example.org)", origin, err)
		}
	}
	d.origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Problem(w, r, http.StatusForbidden, "access.crosssite")
	}))
	if o.OIDC != nil {
		var err error
		if d.oidc, err = newProvider(*o.OIDC); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Handler puts who asks into the context of next, and refuses writes that another site
// made a browser send. Who sends no valid session and no valid token is nobody, which
// [Need] refuses.
func (d *Door) Handler(next http.Handler) http.Handler {
	return d.origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok, err := d.who(r, true)
		if err != nil {
			d.o.Log.ErrorContext(r.Context(), "finding out who asks", "error", err)
			Problem(w, r, http.StatusServiceUnavailable, "access.unavailable")
			return
		}
		if ok {
			r = r.WithContext(With(r.Context(), p))
		}
		next.ServeHTTP(w, r)
	}))
}

// remote is the other end of the connection, without the port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// network is what attempts from an address are counted under: of IPv6 the network that
// one customer gets.
func network(address string) string {
	const customer = 64
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(customer); err == nil {
			return p.String()
		}
	}
	return a.String()
}
