package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/state"
)

// account is a user as people see one.
type account struct {
	ID       int64       `json:"id"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	OIDC     bool        `json:"oidc" jsonschema:"logs in at the OpenID provider, which says the role"`
	Local    bool        `json:"local" jsonschema:"logs in by a password"`
	Disabled bool        `json:"disabled"`
	Created  time.Time   `json:"created"`
	Updated  time.Time   `json:"updated"`
	ETag     string      `json:"etag" jsonschema:"for If-Match, when it is changed"`
}

func accountOf(u state.User) account {
	return account{
		ID: u.ID, Name: u.Name, Role: access.Role(u.Role), OIDC: u.Subject != "", Local: u.Password != "", Disabled: u.Disabled, Created: u.Created, Updated: u.Updated,
		ETag: strconv.Quote(strconv.FormatInt(u.Updated.UnixMicro(), 10)),
	}
}

// added asks for a user.
type added struct {
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	Password string      `json:"password,omitempty" jsonschema:"12 characters or more; nothing: has tokens only"`
}

// changed asks to change a user; what is left out stays.
type changed struct {
	Role     *access.Role `json:"role,omitempty"`
	Disabled *bool        `json:"disabled,omitempty"`
	Password *string      `json:"password,omitempty"`
}

// renewed asks to change one's own password.
type renewed struct {
	Current  string `json:"current"`
	Password string `json:"password" jsonschema:"12 characters or more"`
}

// wished asks for a token.
type wished struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role" jsonschema:"not above the user's"`
	Scopes  []string    `json:"scopes" jsonschema:"api, hooks, mod"`
	Expires time.Time   `json:"expires,omitzero" jsonschema:"nothing: in 90 days"`
}

// token is a token without its secret.
type token struct {
	ID      int64       `json:"id"`
	User    int64       `json:"user"`
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Scopes  []string    `json:"scopes"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires,omitzero"`
	Used    time.Time   `json:"used,omitzero"`
	Revoked time.Time   `json:"revoked,omitzero"`
}

func tokenOf(t state.Token) token {
	return token{t.ID, t.User, t.Name, access.Role(t.Role), strings.Fields(t.Scope), t.Created, t.Expires, t.Used, t.Revoked}
}

func tokensOf(all []state.Token) list[token] {
	shown := make([]token, 0, len(all))
	for _, t := range all {
		shown = append(shown, tokenOf(t))
	}
	return whole(shown)
}

// given is a new token.
type given struct {
	Token  token  `json:"token"`
	Secret string `json:"secret" jsonschema:"told this once"`
}

func (a *api) people() []route {
	user := prefix + "/users/{name}"
	return []route{
		{method: http.MethodGet, path: prefix + "/me", id: "getMe", what: "Who asks", role: access.Viewer, reply: access.Person{}, do: func(c *call) (any, error) { return c.person, nil }},
		{method: http.MethodPost, path: prefix + "/me/password", id: "changeMyPassword", what: "Change one's own password; ends all sessions", role: access.Viewer, person: true, body: renewed{}, do: a.renew},
		{method: http.MethodGet, path: prefix + "/me/tokens", id: "listMyTokens", what: "One's own tokens", role: access.Viewer, reply: list[token]{}, do: func(c *call) (any, error) {
			all, err := a.State.Tokens(c.Context(), c.person.ID)
			return tokensOf(all), err
		}},
		{method: http.MethodPost, path: prefix + "/me/tokens", id: "addMyToken", what: "Make a token of one's own", role: access.Viewer, person: true, body: wished{}, reply: given{}, made: true, do: func(c *call) (any, error) {
			return a.give(c, c.person.Name)
		}},
		{method: http.MethodDelete, path: prefix + "/me/tokens/{id}", id: "revokeMyToken", what: "End a token of one's own", role: access.Viewer, do: func(c *call) (any, error) {
			return nil, a.revoke(c, c.person.ID)
		}},
		{method: http.MethodGet, path: prefix + "/users", id: "listUsers", what: "All users", role: access.Admin, reply: list[account]{}, do: a.listUsers},
		{method: http.MethodPost, path: prefix + "/users", id: "addUser", what: "Add a user", role: access.Admin, person: true, body: added{}, reply: account{}, made: true, do: a.addUser},
		{method: http.MethodGet, path: user, id: "getUser", what: "One user", role: access.Admin, reply: account{}, do: a.getUser},
		{method: http.MethodPatch, path: user, id: "changeUser", what: "Change a user, as read with the etag in If-Match; ends their sessions", role: access.Admin, person: true, body: changed{}, reply: account{}, do: a.changeUser},
		{method: http.MethodGet, path: user + "/tokens", id: "listTokens", what: "The tokens of a user", role: access.Admin, reply: list[token]{}, do: func(c *call) (any, error) {
			u, err := a.State.User(c.Context(), c.PathValue("name"))
			if err != nil {
				return nil, err
			}
			all, err := a.State.Tokens(c.Context(), u.ID)
			return tokensOf(all), err
		}},
		{method: http.MethodPost, path: user + "/tokens", id: "addToken", what: "Make a token of a user", role: access.Admin, person: true, body: wished{}, reply: given{}, made: true, do: func(c *call) (any, error) {
			return a.give(c, c.PathValue("name"))
		}},
		{method: http.MethodDelete, path: prefix + "/tokens/{id}", id: "revokeToken", what: "End a token", role: access.Admin, do: func(c *call) (any, error) { return nil, a.revoke(c, 0) }},
	}
}

func (a *api) listUsers(c *call) (any, error) {
	all, err := a.State.Users(c.Context())
	shown := make([]account, 0, len(all))
	for _, u := range all {
		shown = append(shown, accountOf(u))
	}
	return whole(shown), err
}

func (a *api) getUser(c *call) (any, error) {
	u, err := a.State.User(c.Context(), c.PathValue("name"))
	return accountOf(u), err
}

// role refuses one that is none.
func role(r access.Role) error {
	if _, err := access.ParseRole(string(r)); err != nil {
		return refuse(http.StatusUnprocessableEntity, "api.role")
	}
	return nil
}

func (a *api) addUser(c *call) (any, error) {
	var in added
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := role(in.Role); err != nil {
		return nil, err
	}
	u, err := a.Door.AddUser(c.Context(), c.person.Actor(), in.Name, in.Role, in.Password)
	return accountOf(u), err
}

func (a *api) changeUser(c *call) (any, error) {
	match := c.Header.Get("If-Match")
	if match == "" {
		return nil, refuse(http.StatusPreconditionRequired, "api.ifmatch")
	}
	micros, err := strconv.ParseInt(strings.Trim(match, `"`), 10, 64)
	if err != nil {
		return nil, access.ErrStale
	}
	var in changed
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Role != nil {
		if err := role(*in.Role); err != nil {
			return nil, err
		}
	}
	if in == (changed{}) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.missing", "role, disabled, password")
	}
	u, err := a.Door.ChangeUser(c.Context(), c.person.Actor(), c.PathValue("name"), access.Change{Role: in.Role, Disabled: in.Disabled, Password: in.Password}, time.UnixMicro(micros).UTC())
	return accountOf(u), err
}

func (a *api) renew(c *call) (any, error) {
	var in renewed
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := a.Door.Prove(c.Context(), c.person, in.Current); err != nil {
		return nil, err
	}
	_, err := a.Door.ChangeUser(c.Context(), c.person.Actor(), c.person.Name, access.Change{Password: &in.Password}, time.Time{})
	return nil, err
}

// usualToken is how long a token lives of which nothing is said.
const usualToken = 90 * 24 * time.Hour

func (a *api) give(c *call, user string) (any, error) {
	var in wished
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Expires.IsZero() {
		in.Expires = a.State.Now().Add(usualToken)
	}
	secret, t, err := a.Door.AddToken(c.Context(), c.person.Actor(), access.TokenWish{User: user, Name: in.Name, Role: in.Role, Scopes: in.Scopes, Expires: in.Expires})
	if err != nil {
		return nil, err
	}
	return given{Token: tokenOf(t), Secret: secret}, nil
}

func (a *api) revoke(c *call, owner int64) error {
	id, err := c.id("id")
	if err != nil {
		return err
	}
	return a.Door.RevokeToken(c.Context(), c.person.Actor(), id, owner)
}
