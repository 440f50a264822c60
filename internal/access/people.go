package access

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// What callers tell apart with errors.Is.
var (
	// ErrName refuses the name of a person or token.
	ErrName = errors.New("a name has 1 to 64 of A-Z, a-z, 0-9, . _ @ + and -, and begins with a letter or digit")
	// ErrLastAdmin keeps somebody who can change people.
	ErrLastAdmin = errors.New("nobody would be left who is an admin (hint: make another one first)")
	// ErrStale says that another changed it since it was read.
	ErrStale = errors.New("another changed it in the meantime (hint: read it again)")
	// ErrProvider refuses to change what the OpenID provider says.
	ErrProvider = errors.New("role and password of this person are the OpenID provider's (hint: change the groups there)")
	// ErrToken refuses a token with more than its user has or may give themselves, or without a use.
	ErrToken = errors.New("a token has a role that is not above its user's, at least one scope (api, hooks, mod) and an end in the future, if any; one for hooks is made for a viewer by an admin only")
)

var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`) })

// by is who changes something, as in the journal: Person.Actor, or "cli".

// AddUser adds a person; with password "" one who cannot log in, but may have tokens.
// state.ErrConflict where the name is taken.
func (d *Door) AddUser(ctx context.Context, by, name string, role Role, password string) (u state.User, err error) {
	if !names().MatchString(name) {
		return u, ErrName
	}
	if _, err := ParseRole(string(role)); err != nil {
		return u, err
	}
	encoded := ""
	if password != "" {
		if err := goodPassword(name, password); err != nil {
			return u, err
		}
		if encoded, err = d.hasher.hash(ctx, password); err != nil {
			return u, err
		}
	}
	err = d.st.Tx(ctx, func(tx *state.Tx) (err error) {
		if u, err = tx.AddUser(ctx, state.User{Name: name, Role: string(role), Password: encoded}); err != nil {
			return err
		}
		return journalUser(tx, by, "added", u)
	})
	return u, err
}

func journalUser(tx *state.Tx, by, what string, u state.User) error {
	return journal.Append(tx, journal.Entry{
		Kind: journal.UserChanged, Actor: by, Why: what,
		Data: map[string]any{"user": u.Name, "role": u.Role, "disabled": u.Disabled, "oidc": u.Subject != ""},
	})
}

// Change says what is to change of a person; nil stays.
type Change struct {
	Role     *Role
	Disabled *bool
	Password *string
}

// ChangeUser changes a person and ends all sessions of theirs. read is when what is
// changed was stored last (state.User.Updated): [ErrStale] where that is not so any more;
// the zero time does not ask.
func (d *Door) ChangeUser(ctx context.Context, by, name string, c Change, read time.Time) (u state.User, err error) {
	encoded := ""
	if c.Password != nil {
		if err := goodPassword(name, *c.Password); err != nil {
			return u, err
		}
		if encoded, err = d.hasher.hash(ctx, *c.Password); err != nil {
			return u, err
		}
	}
	err = d.st.Tx(ctx, func(tx *state.Tx) error {
		admins, err := tx.LockAdmins(ctx, string(Admin)) // before the user: all lock in one order
		if err != nil {
			return err
		}
		if u, err = tx.LockUser(ctx, name); err != nil {
			return err
		}
		if !read.IsZero() && !read.Equal(u.Updated) {
			return ErrStale
		}
		was := u
		what, err := apply(&u, c, encoded)
		if err != nil {
			return err
		}
		if admin(was) && !admin(u) && admins <= 1 {
			return ErrLastAdmin
		}
		if err := errors.Join(tx.ChangeUser(ctx, u), tx.EndSessions(ctx, u.ID)); err != nil {
			return err
		}
		if u, err = tx.User(ctx, name); err != nil {
			return err
		}
		return journalUser(tx, by, "changed: "+strings.Join(what, ", "), u)
	})
	return u, err
}

func admin(u state.User) bool { return Role(u.Role) == Admin && !u.Disabled }

func apply(u *state.User, c Change, encoded string) (what []string, err error) {
	if u.Subject != "" && (c.Role != nil || c.Password != nil) {
		return nil, ErrProvider
	}
	if c.Role != nil {
		if _, err := ParseRole(string(*c.Role)); err != nil {
			return nil, err
		}
		u.Role, what = string(*c.Role), append(what, "role")
	}
	if c.Disabled != nil {
		u.Disabled, what = *c.Disabled, append(what, "disabled")
	}
	if c.Password != nil {
		u.Password, what = encoded, append(what, "the way in") // the journal masks what follows "password"
	}
	return what, nil
}

// Prove tells whether a person who is logged in knows their password, at the pace of
// logging in: before they change it.
func (d *Door) Prove(ctx context.Context, p Person, password string) error {
	account := accountKey(p.Name, "prove")
	if err := d.st.Tx(ctx, func(tx *state.Tx) error {
		var wait time.Duration
		_, err := tx.ChangeAttempts(ctx, account, func(a *state.Attempts) { wait = accountPace().count(a, tx.Now()) })
		if err == nil && wait > 0 {
			err = &SlowDownError{wait}
		}
		return err
	}); err != nil {
		return err
	}
	u, err := d.st.User(ctx, p.Name)
	if err != nil {
		return err
	}
	ok, _, err := d.hasher.verify(ctx, u.Password, password)
	if err == nil && !ok {
		err = ErrLogin
	}
	if err != nil {
		return err
	}
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		_, err := tx.ChangeAttempts(ctx, account, func(a *state.Attempts) { a.Failures, a.Next = 0, time.Time{} })
		return err
	})
}

// TokenWish is a token to be made.
type TokenWish struct {
	User, Name string
	Role       Role
	Scopes     []string
	Expires    time.Time // zero: never
}

// mostTokens is how many live tokens a user may have.
const mostTokens = 100

// AddToken makes a token and returns its secret, which is told this once.
func (d *Door) AddToken(ctx context.Context, by string, wish TokenWish) (key string, t state.Token, err error) {
	if !names().MatchString(wish.Name) {
		return "", t, ErrName
	}
	key = TokenPrefix + secret()
	err = d.st.Tx(ctx, func(tx *state.Tx) error {
		u, err := tx.LockUser(ctx, wish.User)
		if err != nil {
			return err
		}
		if !Role(u.Role).Allows(wish.Role) || !goodScopes(wish.Scopes) || !wish.Expires.IsZero() && !wish.Expires.After(tx.Now()) {
			return ErrToken
		}
		// Alerts start playbooks: who only looks makes no sender of themselves.
		if slices.Contains(wish.Scopes, ScopeHooks) && by == "user:"+u.Name && !Role(u.Role).Allows(Operator) {
			return ErrToken
		}
		all, err := tx.Tokens(ctx, u.ID)
		if err != nil {
			return err
		}
		live := 0
		for _, other := range all {
			if other.Revoked.IsZero() && (other.Expires.IsZero() || other.Expires.After(tx.Now())) {
				live++
			}
		}
		if live >= mostTokens {
			return fmt.Errorf("%s has %d tokens (hint: revoke some): %w", u.Name, live, state.ErrConflict)
		}
		t, err = tx.AddToken(ctx, state.Token{User: u.ID, Name: wish.Name, Hash: digest(key), Role: string(wish.Role), Scope: strings.Join(wish.Scopes, " "), Expires: wish.Expires})
		if err != nil {
			return err
		}
		return journalToken(tx, by, "added", u.Name, t)
	})
	if err != nil {
		return "", t, err
	}
	return key, t, nil
}

func journalToken(tx *state.Tx, by, what, user string, t state.Token) error {
	return journal.Append(tx, journal.Entry{
		Kind: journal.TokenChanged, Actor: by, Why: what,
		Data: map[string]any{"id": t.ID, "name": t.Name, "user": user, "role": t.Role, "scope": t.Scope, "expires": t.Expires},
	})
}

// RevokeToken ends a token, of the user owner only where that is not 0. state.ErrNotFound
// where there is none, state.ErrConflict where it was revoked.
func (d *Door) RevokeToken(ctx context.Context, by string, id, owner int64) error {
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		users, err := tx.Users(ctx)
		if err != nil {
			return err
		}
		all, err := tx.Tokens(ctx, owner)
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.ID != id {
				continue
			}
			if err := tx.RevokeToken(ctx, id); err != nil {
				return err
			}
			name := ""
			for _, u := range users {
				if u.ID == t.User {
					name = u.Name
				}
			}
			return journalToken(tx, by, "revoked", name, t)
		}
		return state.ErrNotFound
	})
}

// Users lists all users by name.
func (d *Door) Users(ctx context.Context) ([]state.User, error) { return d.st.Users(ctx) }

// Tokens lists all tokens.
func (d *Door) Tokens(ctx context.Context) ([]state.Token, error) { return d.st.Tokens(ctx, 0) }
