package access

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// ErrLogin says that nobody has this name and password. It does not tell which is wrong.
var ErrLogin = errors.New("name or password is wrong")

// TokenPrefix begins every token, so that scanners for secrets know them.
const TokenPrefix = "kw_"

// Names of cookies; where browsers come by TLS, with the prefix that keeps other hosts
// and plain HTTP from setting them.
const (
	sessionCookie = "keepwell-session"
	deviceCookie  = "keepwell-device"
	flowCookie    = "keepwell-oidc"
	hostPrefix    = "__Host-"
)

func (d *Door) secure(r *http.Request) bool { return d.o.Secure || r.TLS != nil }

// Here is the address that r was sent to, such as https://keepwell.example.org.
func (d *Door) Here(r *http.Request) string {
	if d.secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (d *Door) cookieName(r *http.Request, name string) string {
	if d.secure(r) {
		return hostPrefix + name
	}
	return name
}

// setCookie sets a cookie of ours; an empty value removes it.
func (d *Door) setCookie(w http.ResponseWriter, r *http.Request, name, value string, keep time.Duration) {
	age := int(keep / time.Second)
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is for TLS; plain HTTP on the loopback is the default
		Name: d.cookieName(r, name), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: d.secure(r),
	})
}

// cookie reads a cookie of ours; "" where there is none.
func (d *Door) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(d.cookieName(r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

// Login lets in who knows the password of name: it ends the session there was and sets
// the cookie of a new one. Nothing was written to w before an error: [ErrLogin],
// [*SlowDownError], [ErrBusy], or the state's.
func (d *Door) Login(w http.ResponseWriter, r *http.Request, name, password string) error {
	ctx := r.Context()
	device, err := d.proven(ctx, name, d.cookie(r, deviceCookie))
	if err != nil {
		return err
	}
	account, address := accountKey(name, device), d.addressKey(r)
	if err := d.attempt(ctx, account, address); err != nil {
		return err
	}
	u, err := d.st.User(ctx, name)
	if ignore(err, state.ErrNotFound) != nil {
		return err
	}
	encoded := u.Password
	if u.Disabled || len(password) > mostPassword {
		encoded, password = "", "" // costs the same
	}
	ok, old, err := d.hasher.verify(ctx, encoded, password)
	if err != nil {
		return err
	}
	if !ok {
		return errors.Join(ErrLogin, d.refused(ctx, r, name, "password"))
	}
	fresh := ""
	if old {
		if fresh, err = d.hasher.hash(ctx, password); err != nil {
			return err
		}
	}
	return d.enter(w, r, u.Name, "password", func(tx *state.Tx, now *state.User) error {
		if now.Password != encoded { // changed while it was checked
			return ErrLogin
		}
		if fresh != "" {
			now.Password = fresh
			if err := tx.ChangeUser(ctx, *now); err != nil {
				return err
			}
		}
		return giveBack(ctx, tx, account, address)
	})
}

// enter gives the user a new session. also belongs to the same transaction and is told
// the user as stored then.
func (d *Door) enter(w http.ResponseWriter, r *http.Request, name, how string, also func(*state.Tx, *state.User) error) error {
	ctx := r.Context()
	proof, err := d.proof(ctx, name)
	if err != nil {
		return err
	}
	key := secret()
	err = d.st.Tx(ctx, func(tx *state.Tx) error {
		u, err := tx.LockUser(ctx, name)
		if errors.Is(err, state.ErrNotFound) || err == nil && u.Disabled {
			return ErrLogin
		}
		if err != nil {
			return err
		}
		if err := also(tx, &u); err != nil {
			return err
		}
		if before := d.cookie(r, sessionCookie); before != "" {
			if err := tx.EndSession(ctx, digest(before)); err != nil {
				return err
			}
		}
		address := d.o.Address(r)
		return errors.Join(
			tx.AddSession(ctx, state.Session{Hash: digest(key), User: u.ID, Address: address, Expires: tx.Now().Add(min(d.o.Idle, d.o.Absolute))}),
			journal.Append(tx, journal.Entry{Kind: journal.LoggedIn, Actor: "user:" + u.Name, Data: map[string]any{"address": address, "by": how}}),
		)
	})
	if err != nil {
		return err
	}
	const year = 365 * 24 * time.Hour
	d.setCookie(w, r, sessionCookie, key, d.o.Absolute)
	d.setCookie(w, r, deviceCookie, proof, year)
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// refused writes an attempt down. A name that nobody has is left out: some type their
// password there.
func (d *Door) refused(ctx context.Context, r *http.Request, name, how string) error {
	known := ""
	if u, err := d.st.User(ctx, name); err == nil {
		known = u.Name
	}
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{Kind: journal.LoginRefused, Actor: "keepwell", Data: map[string]any{"address": d.o.Address(r), "by": how, "user": known}})
	})
}

// Logout ends the session of the request, if there is one, and removes its cookie.
func (d *Door) Logout(w http.ResponseWriter, r *http.Request) error {
	d.setCookie(w, r, sessionCookie, "", 0)
	w.Header().Set("Cache-Control", "no-store")
	key := d.cookie(r, sessionCookie)
	if key == "" {
		return nil
	}
	ctx := r.Context()
	_, u, err := d.st.LiveSession(ctx, digest(key))
	if err != nil {
		return ignore(err, state.ErrNotFound)
	}
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		return errors.Join(tx.EndSession(ctx, digest(key)), journal.Append(tx, journal.Entry{Kind: journal.LoggedOut, Actor: "user:" + u.Name}))
	})
}

// who tells whose session or token a request carries. A token that is sent counts alone:
// one that is not valid is nobody, whatever the cookies.
func (d *Door) who(r *http.Request, note bool) (p Person, ok bool, err error) {
	if key, sent := bearer(r); sent {
		return d.program(r.Context(), key, note)
	}
	key := d.cookie(r, sessionCookie)
	if key == "" {
		return p, false, nil
	}
	ctx := r.Context()
	s, u, err := d.st.LiveSession(ctx, digest(key))
	if err != nil || !d.st.Now().Before(s.Created.Add(d.o.Absolute)) {
		return p, false, ignore(err, state.ErrNotFound)
	}
	if !note {
		return personOf(u), true, nil
	}
	d.used(ctx, string(s.Hash), s.Seen, func(tx *state.Tx) error {
		expires := tx.Now().Add(d.o.Idle)
		if last := s.Created.Add(d.o.Absolute); expires.After(last) {
			expires = last
		}
		return tx.TouchSession(ctx, s.Hash, expires)
	})
	return personOf(u), true, nil
}

func personOf(u state.User) Person { return Person{ID: u.ID, Name: u.Name, Role: Role(u.Role)} }

// Still tells who asks by a request that was let in a while ago and is being answered
// since: sessions end, roles sink. It does not count as using the session.
func (d *Door) Still(r *http.Request) (p Person, ok bool, err error) { return d.who(r, false) }

// program is the user of a token, with the lesser role of both.
func (d *Door) program(ctx context.Context, key string, note bool) (p Person, ok bool, err error) {
	if !strings.HasPrefix(key, TokenPrefix) {
		return p, false, nil
	}
	t, u, err := d.st.LiveToken(ctx, digest(key))
	if err != nil {
		return p, false, ignore(err, state.ErrNotFound)
	}
	if note {
		d.used(ctx, string(t.Hash), t.Used, func(tx *state.Tx) error { return tx.TouchToken(ctx, t.ID) })
	}
	role := Role(t.Role)
	if !Role(u.Role).Allows(role) {
		role = Role(u.Role)
	}
	return Person{ID: u.ID, Name: u.Name, Role: role, Token: t.Name, Scopes: strings.Fields(t.Scope)}, true, nil
}

// bearer reads the token of a request: as a bearer, or as the password of basic
// authentication, which is what the go command can send. sent tells that a token was
// meant.
func bearer(r *http.Request) (key string, sent bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, strings.HasPrefix(password, TokenPrefix)
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

// used notes now and then that a session or a token is used. That it cannot be noted
// stops nobody.
func (d *Door) used(ctx context.Context, key string, last time.Time, note func(*state.Tx) error) {
	const often, most = time.Minute, 10_000
	now := d.st.Now()
	d.mu.Lock()
	due := now.Sub(last) >= often && now.Sub(d.touched[key]) >= often
	if due {
		if len(d.touched) >= most {
			clear(d.touched)
		}
		d.touched[key] = now
	}
	d.mu.Unlock()
	if !due {
		return
	}
	if err := d.st.Tx(ctx, note); err != nil && ctx.Err() == nil {
		d.o.Log.WarnContext(ctx, "noting that a session or token is used", "error", err)
	}
}

// goodScopes tells whether all scopes are known, and there is one.
func goodScopes(scopes []string) bool {
	return len(scopes) > 0 && !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(Scopes(), s) })
}
