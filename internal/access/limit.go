package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

// SlowDownError says that an attempt came too soon after others that failed.
type SlowDownError struct {
	// After is how long to wait.
	After time.Duration
}

func (s *SlowDownError) Error() string {
	return fmt.Sprintf("too many failed attempts (hint: try again in %s)", s.After.Round(time.Second))
}

// pace is how attempts that fail slow down those that follow: some are free, then one
// after a second, two, four, … most. It starts anew where none failed for forget.
type pace struct {
	free         int64
	most, forget time.Duration
}

// Nobody is locked out for long by what others do: who logged in before with the same
// browser is counted alone, everybody else waits for half a minute at most.
func accountPace() pace { return pace{free: 5, most: 30 * time.Second, forget: time.Hour} }
func addressPace() pace { return pace{free: 20, most: time.Minute, forget: 15 * time.Minute} }

// longestForget is when failures are of no use any more.
const longestForget = time.Hour

// count takes one attempt as failed before it is made, so that many at once are many;
// wait says how much too early it is, and then nothing was counted.
func (p pace) count(a *state.Attempts, now time.Time) (wait time.Duration) {
	if now.Sub(a.Updated) > p.forget {
		a.Failures, a.Next = 0, time.Time{}
	}
	if wait = a.Next.Sub(now); wait > 0 && !a.Next.IsZero() {
		return wait
	}
	a.Failures++
	if over := a.Failures - p.free; over > 0 {
		const doublings = 10
		a.Next = now.Add(min(time.Second<<min(over-1, doublings), p.most))
	}
	return 0
}

// attempt counts an attempt to log in to an account; giveBack is for when it succeeds.
func (d *Door) attempt(ctx context.Context, account, address string) error {
	return d.st.Tx(ctx, func(tx *state.Tx) error {
		if err := tx.ForgetAttempts(ctx, tx.Now().Add(-longestForget)); err != nil {
			return err
		}
		for _, part := range []struct {
			key string
			pace
		}{{address, addressPace()}, {account, accountPace()}} {
			var wait time.Duration
			if _, err := tx.ChangeAttempts(ctx, part.key, func(a *state.Attempts) { wait = part.count(a, tx.Now()) }); err != nil {
				return err
			}
			if wait > 0 {
				return &SlowDownError{wait} // rolls back: only attempts that are made count
			}
		}
		return nil
	})
}

// giveBack forgets the failures of an account, and of an address only the one attempt:
// else who has an account would guess others' between two logins.
func giveBack(ctx context.Context, tx *state.Tx, account, address string) error {
	_, err := tx.ChangeAttempts(ctx, account, func(a *state.Attempts) { a.Failures, a.Next = 0, time.Time{} })
	if err != nil {
		return err
	}
	_, err = tx.ChangeAttempts(ctx, address, func(a *state.Attempts) { a.Failures = max(a.Failures-1, 0) })
	return err
}

// addressKey and accountKey are what attempts are counted under. Names are hashed: they
// are as long as who asks likes.
func (d *Door) addressKey(r *http.Request) string { return "address " + network(d.o.Address(r)) }

func accountKey(name, device string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + device))
	return "account " + hex.EncodeToString(sum[:16])
}

// deviceSetting is where the key stands that proofs of devices are signed with.
const deviceSetting = "access.device_key"

// deviceKey is the same on all nodes: the first who needs it makes it.
func (d *Door) deviceKey(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.device != nil {
		return d.device, nil
	}
	word, ok, err := d.st.Setting(ctx, deviceSetting)
	if err != nil {
		return nil, err
	}
	if !ok {
		fresh := secret()
		if err := d.st.Tx(ctx, func(tx *state.Tx) (err error) {
			if err := tx.LockSchema(ctx); err != nil { // one node makes it
				return err
			}
			if word, ok, err = tx.Setting(ctx, deviceSetting); err != nil || ok {
				return err
			}
			word = fresh
			return tx.SetSetting(ctx, deviceSetting, word)
		}); err != nil {
			return nil, err
		}
	}
	d.device = []byte(word)
	return d.device, nil
}

// A browser in which somebody logged in keeps a proof of it for that name: random text
// and its signature with the name.
func (d *Door) proof(ctx context.Context, name string) (string, error) {
	key, err := d.deviceKey(ctx)
	if err != nil {
		return "", err
	}
	text := secret()
	return text + "." + sign(key, name, text), nil
}

// proven is the random text of a proof for the name; "" where there is none.
func (d *Door) proven(ctx context.Context, name, proof string) (string, error) {
	text, signature, ok := strings.Cut(proof, ".")
	if !ok {
		return "", nil
	}
	key, err := d.deviceKey(ctx)
	if err != nil || !hmac.Equal([]byte(signature), []byte(sign(key, name, text))) {
		return "", err
	}
	return text, nil
}

func sign(key []byte, name, text string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(name + "\x00" + text)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// secret is 256 random bits in 43 characters.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// ignore drops an error that is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
