package state

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// User is a person, or a machine that has tokens.
type User struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"` // viewer, operator, admin
	// Password is the encoded hash of a local password; "" where there is none.
	Password string `json:"-"`
	// Subject is issuer and subject of an OpenID provider; "" where there is none.
	Subject  string    `json:"-"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

const userColumns = "id, name, role, password, subject, disabled, created_at, updated_at"

func scanUser(s scanner) (u User, err error) {
	var disabled int64
	var us [2]int64
	err = s.Scan(&u.ID, &u.Name, &u.Role, &u.Password, &u.Subject, &disabled, &us[0], &us[1])
	u.Disabled = disabled != 0
	whens([]*time.Time{&u.Created, &u.Updated}, us[:])
	return u, err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// AddUser adds a user; ErrConflict where the name or the subject is taken.
func (tx *Tx) AddUser(ctx context.Context, u User) (User, error) {
	added, err := one(ctx, tx.Reader, scanUser, "INSERT INTO users(name, role, password, subject, disabled, created_at, updated_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING RETURNING "+userColumns,
		u.Name, u.Role, u.Password, u.Subject, flag(u.Disabled), micros(tx.now()))
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("adding the user: name or subject is taken: %w", ErrConflict)
	}
	return added, err
}

// ChangeUser stores role, password, subject and disabled of a user. Who is disabled or
// whose password or role changed is logged out by the caller: EndSessions.
func (tx *Tx) ChangeUser(ctx context.Context, u User) error {
	return tx.must(ctx, "UPDATE users SET role = ?2, password = ?3, subject = ?4, disabled = ?5, updated_at = ?6 WHERE id = ?1",
		u.ID, u.Role, u.Password, u.Subject, flag(u.Disabled), micros(tx.now()))
}

// User reads one user by name.
func (r Reader) User(ctx context.Context, name string) (User, error) {
	return one(ctx, r, scanUser, "SELECT "+userColumns+" FROM users WHERE name = ?1", name)
}

// UserBySubject reads one user by the subject of an OpenID provider.
func (r Reader) UserBySubject(ctx context.Context, subject string) (User, error) {
	if subject == "" {
		return User{}, ErrNotFound
	}
	return one(ctx, r, scanUser, "SELECT "+userColumns+" FROM users WHERE subject = ?1", subject)
}

// Users lists all users by name.
func (r Reader) Users(ctx context.Context) ([]User, error) {
	return list(ctx, r, scanUser, "SELECT "+userColumns+" FROM users ORDER BY name")
}

// Token lets a program act for a user. Only the hash of the secret is stored.
type Token struct {
	ID      int64     `json:"id"`
	User    int64     `json:"user"`
	Name    string    `json:"name"`
	Hash    []byte    `json:"-"` // sha256 of the secret
	Role    string    `json:"role"`
	Scope   string    `json:"scope"` // what it is for, of the caller's
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Used    time.Time `json:"used,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

const tokenColumns = "id, user_id, name, hash, role, scope, created_at, expires_at, used_at, revoked_at" //nolint:gosec // names of columns

func scanToken(s scanner) (t Token, err error) {
	var us [4]int64
	err = s.Scan(&t.ID, &t.User, &t.Name, &t.Hash, &t.Role, &t.Scope, &us[0], &us[1], &us[2], &us[3])
	whens([]*time.Time{&t.Created, &t.Expires, &t.Used, &t.Revoked}, us[:])
	return t, err
}

// AddToken adds a token.
func (tx *Tx) AddToken(ctx context.Context, t Token) (Token, error) {
	return one(ctx, tx.Reader, scanToken, "INSERT INTO tokens(user_id, name, hash, role, scope, created_at, expires_at, used_at, revoked_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0) RETURNING "+tokenColumns,
		t.User, t.Name, t.Hash, t.Role, t.Scope, micros(tx.now()), micros(t.Expires))
}

// RevokeToken ends a token; ErrConflict where it was revoked.
func (tx *Tx) RevokeToken(ctx context.Context, id int64) error {
	return tx.must(ctx, "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at = 0", id, micros(tx.now()))
}

// TouchToken notes that a token was used. Callers do so now and then, not each time.
func (tx *Tx) TouchToken(ctx context.Context, id int64) error {
	_, err := tx.exec(ctx, "UPDATE tokens SET used_at = ?2 WHERE id = ?1", id, micros(tx.now()))
	return err
}

// LiveToken finds a token by the hash of its secret, with its user: neither revoked nor
// expired, the user not disabled; else ErrNotFound.
func (r Reader) LiveToken(ctx context.Context, hash []byte) (Token, User, error) {
	t, err := one(ctx, r, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?1 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > ?2)", hash, micros(r.now()))
	if err != nil {
		return t, User{}, err
	}
	u, err := r.enabled(ctx, t.User)
	return t, u, err
}

func (r Reader) enabled(ctx context.Context, id int64) (User, error) {
	return one(ctx, r, scanUser, "SELECT "+userColumns+" FROM users WHERE id = ?1 AND disabled = 0", id)
}

// Tokens lists the tokens of a user, or of all where user is 0.
func (r Reader) Tokens(ctx context.Context, user int64) ([]Token, error) {
	var w where
	w.number("user_id", user)
	return list(ctx, r, scanToken, "SELECT "+tokenColumns+" FROM tokens"+w.String()+" ORDER BY id", w.args...)
}

// Session is a person logged in with a browser. Only the hash of its secret is stored.
type Session struct {
	Hash    []byte    `json:"-"`
	User    int64     `json:"user"`
	CSRF    string    `json:"-"`
	Address string    `json:"address"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
}

const sessionColumns = "hash, user_id, csrf, address, created_at, seen_at, expires_at"

func scanSession(s scanner) (v Session, err error) {
	var us [3]int64
	err = s.Scan(&v.Hash, &v.User, &v.CSRF, &v.Address, &us[0], &us[1], &us[2])
	whens([]*time.Time{&v.Created, &v.Seen, &v.Expires}, us[:])
	return v, err
}

// AddSession logs a user in.
func (tx *Tx) AddSession(ctx context.Context, v Session) error {
	return tx.must(ctx, "INSERT INTO sessions("+sessionColumns+") VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6)", v.Hash, v.User, v.CSRF, v.Address, micros(tx.now()), micros(v.Expires))
}

// LiveSession finds a session that has not expired, with its user, who is not disabled;
// else ErrNotFound.
func (r Reader) LiveSession(ctx context.Context, hash []byte) (Session, User, error) {
	v, err := one(ctx, r, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE hash = ?1 AND expires_at > ?2", hash, micros(r.now()))
	if err != nil {
		return v, User{}, err
	}
	u, err := r.enabled(ctx, v.User)
	return v, u, err
}

// TouchSession notes that a session is used and moves its end.
func (tx *Tx) TouchSession(ctx context.Context, hash []byte, expires time.Time) error {
	_, err := tx.exec(ctx, "UPDATE sessions SET seen_at = ?2, expires_at = ?3 WHERE hash = ?1", hash, micros(tx.now()), micros(expires))
	return err
}

// EndSession logs out; no error where there is no such session.
func (tx *Tx) EndSession(ctx context.Context, hash []byte) error {
	_, err := tx.exec(ctx, "DELETE FROM sessions WHERE hash = ?1", hash)
	return err
}

// EndSessions logs a user out everywhere.
func (tx *Tx) EndSessions(ctx context.Context, user int64) error {
	_, err := tx.exec(ctx, "DELETE FROM sessions WHERE user_id = ?1", user)
	return err
}
