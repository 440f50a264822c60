package state

import (
	"context"
	"time"
)

// Attempts are failures in a row to log in, of an account or from an address.
type Attempts struct {
	Key      string // of the caller's
	Failures int64
	// Next is when another attempt is let through.
	Next    time.Time
	Updated time.Time
}

const attemptColumns = "key, failures, next_at, updated_at"

func scanAttempts(s scanner) (a Attempts, err error) {
	var us [2]int64
	err = s.Scan(&a.Key, &a.Failures, &us[0], &us[1])
	whens([]*time.Time{&a.Next, &a.Updated}, us[:])
	return a, err
}

// ChangeAttempts reads the failures of a key (none where there are none yet), has them
// changed by f, and stores them; no other transaction can do so in between.
func (tx *Tx) ChangeAttempts(ctx context.Context, key string, f func(*Attempts)) (Attempts, error) {
	// The row is there before it is locked: two first failures at once are two.
	if _, err := tx.exec(ctx, "INSERT INTO login_attempts("+attemptColumns+") VALUES(?1, 0, 0, ?2) ON CONFLICT DO NOTHING", key, micros(tx.now())); err != nil {
		return Attempts{}, err
	}
	a, err := one(ctx, tx.Reader, scanAttempts, "SELECT "+attemptColumns+" FROM login_attempts WHERE key = ?1"+tx.kind.lockRow(), key)
	if err != nil {
		return a, err
	}
	f(&a)
	a.Key, a.Updated = key, when(micros(tx.now()))
	return a, tx.must(ctx, "UPDATE login_attempts SET failures = ?2, next_at = ?3, updated_at = ?4 WHERE key = ?1", key, a.Failures, micros(a.Next), micros(a.Updated))
}

// ForgetAttempts removes the failures of keys that had none since t.
func (tx *Tx) ForgetAttempts(ctx context.Context, t time.Time) error {
	_, err := tx.exec(ctx, "DELETE FROM login_attempts WHERE updated_at < ?1", micros(t))
	return err
}

// LockUser reads a user by name, whom no other transaction can change until this ends.
func (tx *Tx) LockUser(ctx context.Context, name string) (User, error) {
	return one(ctx, tx.Reader, scanUser, "SELECT "+userColumns+" FROM users WHERE name = ?1"+tx.kind.lockRow(), name)
}

// LockAdmins locks the users of a role that are not disabled, so that the last one cannot
// be taken away by two at once, and counts them.
func (tx *Tx) LockAdmins(ctx context.Context, role string) (int, error) {
	all, err := list(ctx, tx.Reader, number, "SELECT id FROM users WHERE role = ?1 AND disabled = 0 ORDER BY id"+tx.kind.lockRow(), role)
	return len(all), err
}
