package state

import (
	"context"
	"errors"
	"time"
)

// What holds automation back lies here and not in memory: it survives restarts.

// Cooldown is a time in which something is not done again.
type Cooldown struct {
	Key    string    `json:"key"` // of the caller's, such as playbook and asset
	Until  time.Time `json:"until"`
	Set    time.Time `json:"set"`
	Reason string    `json:"reason"`
}

func scanCooldown(s scanner) (c Cooldown, err error) {
	var us [2]int64
	err = s.Scan(&c.Key, &us[0], &us[1], &c.Reason)
	whens([]*time.Time{&c.Until, &c.Set}, us[:])
	return c, err
}

// SetCooldown begins a cooldown, or lengthens the one there is; it never shortens.
func (tx *Tx) SetCooldown(ctx context.Context, key string, until time.Time, reason string) error {
	_, err := tx.exec(ctx, "INSERT INTO cooldowns(key, until_at, set_at, reason) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(key) DO UPDATE SET "+
		"until_at = excluded.until_at, set_at = excluded.set_at, reason = excluded.reason WHERE excluded.until_at > cooldowns.until_at", key, micros(until), micros(tx.now()), reason)
	return err
}

// EndCooldown ends a cooldown; no error where there is none.
func (tx *Tx) EndCooldown(ctx context.Context, key string) error {
	_, err := tx.exec(ctx, "DELETE FROM cooldowns WHERE key = ?1", key)
	return err
}

// Cooling reads the cooldown of a key that is not over; ok is false where there is none.
func (r Reader) Cooling(ctx context.Context, key string) (c Cooldown, ok bool, err error) {
	c, err = one(ctx, r, scanCooldown, "SELECT key, until_at, set_at, reason FROM cooldowns WHERE key = ?1 AND until_at > ?2", key, micros(r.now()))
	return found(c, err)
}

// Cooldowns lists those that are not over, the longest first.
func (r Reader) Cooldowns(ctx context.Context) ([]Cooldown, error) {
	return list(ctx, r, scanCooldown, "SELECT key, until_at, set_at, reason FROM cooldowns WHERE until_at > ?1 ORDER BY until_at DESC, key LIMIT 1000", micros(r.now()))
}

func found[T any](v T, err error) (T, bool, error) {
	if errors.Is(err, ErrNotFound) {
		return v, false, nil
	}
	return v, err == nil, err
}

// BreakerState says whether a breaker lets through.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed BreakerState = "closed" // lets through
	BreakerOpen   BreakerState = "open"   // does not
	BreakerHalf   BreakerState = "half"   // lets one through to see
)

// Breaker counts what went wrong in a row.
type Breaker struct {
	Key         string       `json:"key"`
	State       BreakerState `json:"state"`
	Failures    int64        `json:"failures"`
	Ineffective int64        `json:"ineffective"` // succeeded, and did not help
	Opened      time.Time    `json:"opened,omitzero"`
	Until       time.Time    `json:"until,omitzero"`
	Updated     time.Time    `json:"updated"`
	Reason      string       `json:"reason,omitempty"`
}

const breakerColumns = "key, state, failures, ineffective, opened_at, until_at, updated_at, reason"

func scanBreaker(s scanner) (b Breaker, err error) {
	var us [3]int64
	err = s.Scan(&b.Key, &b.State, &b.Failures, &b.Ineffective, &us[0], &us[1], &us[2], &b.Reason)
	whens([]*time.Time{&b.Opened, &b.Until, &b.Updated}, us[:])
	return b, err
}

// ChangeBreaker reads a breaker (closed and at zero where there is none yet), has it
// changed by f, and stores it; no other transaction can do so in between.
func (tx *Tx) ChangeBreaker(ctx context.Context, key string, f func(*Breaker)) (Breaker, error) {
	// The row is there before it is locked: two first failures at once are two.
	if _, err := tx.exec(ctx, "INSERT INTO breakers("+breakerColumns+") VALUES(?1, 'closed', 0, 0, 0, 0, ?2, '') ON CONFLICT DO NOTHING", key, micros(tx.now())); err != nil {
		return Breaker{}, err
	}
	b, err := one(ctx, tx.Reader, scanBreaker, "SELECT "+breakerColumns+" FROM breakers WHERE key = ?1"+tx.kind.lockRow(), key)
	if err != nil {
		return b, err
	}
	f(&b)
	b.Key, b.Updated = key, when(micros(tx.now()))
	return b, tx.must(ctx, "UPDATE breakers SET state = ?2, failures = ?3, ineffective = ?4, opened_at = ?5, until_at = ?6, updated_at = ?7, reason = ?8 WHERE key = ?1",
		key, string(b.State), b.Failures, b.Ineffective, micros(b.Opened), micros(b.Until), micros(b.Updated), b.Reason)
}

// Breaker reads a breaker; closed and at zero where there is none yet.
func (r Reader) Breaker(ctx context.Context, key string) (Breaker, error) {
	b, err := one(ctx, r, scanBreaker, "SELECT "+breakerColumns+" FROM breakers WHERE key = ?1", key)
	if errors.Is(err, ErrNotFound) {
		return Breaker{Key: key, State: BreakerClosed}, nil
	}
	return b, err
}

// Breakers lists those that are not closed.
func (r Reader) Breakers(ctx context.Context) ([]Breaker, error) {
	return list(ctx, r, scanBreaker, "SELECT "+breakerColumns+" FROM breakers WHERE state <> 'closed' ORDER BY updated_at DESC, key LIMIT 1000")
}

// Mute is a time in which automation is silent, everywhere or in a scope.
type Mute struct {
	ID     int64     `json:"id"`
	Scope  string    `json:"scope"` // "": everywhere; else of the caller's
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is lifted
	Lifted time.Time `json:"lifted,omitzero"`
	Lifter string    `json:"liftedBy,omitempty"`
}

const muteColumns = "id, scope, reason, set_by, from_at, until_at, lifted_at, lifted_by"

func scanMute(s scanner) (m Mute, err error) {
	var us [3]int64
	err = s.Scan(&m.ID, &m.Scope, &m.Reason, &m.By, &us[0], &us[1], &us[2], &m.Lifter)
	whens([]*time.Time{&m.From, &m.Until, &m.Lifted}, us[:])
	return m, err
}

// AddMute adds a mute and returns its id; a zero From is now.
func (tx *Tx) AddMute(ctx context.Context, m Mute) (int64, error) {
	if m.From.IsZero() {
		m.From = tx.now()
	}
	return one(ctx, tx.Reader, number, "INSERT INTO mutes(scope, reason, set_by, from_at, until_at, lifted_at, lifted_by) VALUES(?1, ?2, ?3, ?4, ?5, 0, '') RETURNING id",
		m.Scope, m.Reason, m.By, micros(m.From), micros(m.Until))
}

// LiftMute ends a mute; ErrConflict where it was lifted.
func (tx *Tx) LiftMute(ctx context.Context, id int64, by string) error {
	return tx.must(ctx, "UPDATE mutes SET lifted_at = ?2, lifted_by = ?3 WHERE id = ?1 AND lifted_at = 0", id, micros(tx.now()), by)
}

// ActiveMutes lists the mutes that hold now.
func (r Reader) ActiveMutes(ctx context.Context) ([]Mute, error) {
	return list(ctx, r, scanMute, "SELECT "+muteColumns+" FROM mutes WHERE lifted_at = 0 AND from_at <= ?1 AND (until_at = 0 OR until_at > ?1) ORDER BY id", micros(r.now()))
}

// Mutes lists all mutes, newest first.
func (r Reader) Mutes(ctx context.Context, p Page) ([]Mute, error) {
	var w where
	return list(ctx, r, scanMute, "SELECT "+muteColumns+" FROM mutes"+w.page("id", p), w.args...)
}
