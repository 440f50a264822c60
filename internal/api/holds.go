package api

import (
	"net/http"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/state"
)

// What holds automation back: mutes, breakers, cooldowns.

// muted asks for a mute.
type muted struct {
	Scope string    `json:"scope,omitempty" jsonschema:"nothing (everything), playbook:NAME, code:CODE or asset:NAME; * at the end stands for any rest"`
	Until time.Time `json:"until,omitzero" jsonschema:"when it ends; nothing: when it is lifted"`
	Why   string    `json:"why" jsonschema:"why, for the journal"`
}

// identified is the number of what was made.
type identified struct {
	ID int64 `json:"id"`
}

// reset asks to close a breaker.
type reset struct {
	Key string `json:"key"`
	Why string `json:"why" jsonschema:"why, for the journal"`
}

func (a *api) holds() []route {
	return []route{
		{
			method: http.MethodGet, path: prefix + "/mutes", id: "listMutes", what: "Times in which automation is silent, newest first", role: access.Viewer,
			query: paged(param{name: "active", what: "only those that hold now, all on one page", values: []string{"true"}}),
			reply: list[state.Mute]{}, do: a.listMutes,
		},
		{
			method: http.MethodPost, path: prefix + "/mutes", id: "addMute", what: "Silence automation everywhere or in a scope", role: access.Operator,
			body: muted{}, reply: identified{}, made: true, do: a.addMute,
		},
		{
			method: http.MethodDelete, path: prefix + "/mutes/{id}", id: "liftMute", what: "End a mute", role: access.Operator,
			do: func(c *call) (any, error) {
				id, err := c.id("id")
				if err != nil {
					return nil, err
				}
				return nil, a.Engine.Unmute(c.Context(), id, c.person.Actor())
			},
		},
		{
			method: http.MethodGet, path: prefix + "/breakers", id: "listBreakers", what: "Breakers that are not closed", role: access.Viewer,
			reply: list[state.Breaker]{}, do: func(c *call) (any, error) {
				all, err := a.State.Breakers(c.Context())
				for i := range all {
					all[i].Reason = c.words(all[i].Reason)
				}
				return whole(all), err
			},
		},
		{
			method: http.MethodPost, path: prefix + "/breakers/reset", id: "resetBreaker", what: "Close a breaker by hand", role: access.Operator,
			body: reset{}, do: a.resetBreaker,
		},
		{
			method: http.MethodGet, path: prefix + "/cooldowns", id: "listCooldowns", what: "Cooldowns that are not over, the longest first", role: access.Viewer,
			reply: list[state.Cooldown]{}, do: func(c *call) (any, error) {
				all, err := a.State.Cooldowns(c.Context())
				for i := range all {
					all[i].Reason = c.words(all[i].Reason)
				}
				return whole(all), err
			},
		},
	}
}

func (a *api) listMutes(c *call) (any, error) {
	if c.get("active") != "" {
		all, err := a.State.ActiveMutes(c.Context())
		return whole(all), err
	}
	p, limit := c.page()
	all, err := a.State.Mutes(c.Context(), p)
	if err != nil {
		return nil, err
	}
	return listed(all, limit, func(m state.Mute) int64 { return m.ID }), nil
}

func (a *api) addMute(c *call) (any, error) {
	var in muted
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := text("why", in.Why, true); err != nil {
		return nil, err
	}
	if !in.Until.IsZero() && !in.Until.After(a.State.Now()) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.until")
	}
	if !word(in.Scope) || !scoped(in.Scope) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.mutescope")
	}
	id, err := a.Engine.Mute(c.Context(), in.Scope, in.Until, c.person.Actor(), c.why(in.Why))
	return identified{id}, err
}

func (a *api) resetBreaker(c *call) (any, error) {
	var in reset
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := text("why", in.Why, true); err != nil {
		return nil, err
	}
	if !word(in.Key) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.text", "key", mostWord)
	}
	// Only one that is there: a breaker that nobody has is not made here.
	all, err := a.State.Breakers(c.Context())
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Key == in.Key {
			return nil, a.Engine.ResetBreaker(c.Context(), in.Key, c.person.Actor(), c.why(in.Why))
		}
	}
	return nil, state.ErrNotFound
}
