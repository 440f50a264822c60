package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

// Trust says whose signatures count. Each node signs with a key of its own; the public
// ones lie in the database, and each is announced in the journal.
type Trust struct {
	// Pinned are keys that are known from elsewhere: a node's own, from its file; those of
	// the configuration, or of --key.
	Pinned []ed25519.PublicKey
	// FirstUse takes the keys of the database for what they say they are. Whoever can write
	// there can add one, which then stands in the journal. Without it only those count that a
	// pinned key vouches for, directly or through others.
	FirstUse bool
}

// Trusted is why a key counts.
type Trusted string

// Why keys count.
const (
	TrustedPinned   Trusted = "pinned"
	TrustedVouched  Trusted = "vouched" // by one that is pinned, or vouched for
	TrustedFirstUse Trusted = "first-use"
	TrustedNot      Trusted = "not"
)

// KeyUse is a key, why it counts, and what it signed.
type KeyUse struct {
	PublicKey string    `json:"publicKey"`      // in hex
	ID        string    `json:"id"`             // its first 16 digits
	Node      string    `json:"node,omitempty"` // the machine it was made on
	Created   time.Time `json:"created,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	// VouchedBy is the ID of the key that it follows.
	VouchedBy string  `json:"vouchedBy,omitempty"`
	Trusted   Trusted `json:"trusted"`
	// Checkpoints is how many of its signatures hold, Last the entry under the last of them.
	Checkpoints int64 `json:"checkpoints"`
	Last        int64 `json:"last"`

	key state.JournalKey
}

func useOf(k state.JournalKey) KeyUse {
	return KeyUse{
		PublicKey: hex.EncodeToString(k.PublicKey), ID: KeyID(k.PublicKey), Node: k.Node, Created: k.Created, Retired: k.Retired, VouchedBy: KeyID(k.VouchedBy),
		Trusted: TrustedNot, key: k,
	}
}

// KeyID is how people tell keys apart.
func KeyID(public []byte) string { return hex.EncodeToString(public[:min(len(public), 8)]) }

// ParseKey reads a public key in hex.
func ParseKey(text string) (ed25519.PublicKey, error) {
	public, err := hex.DecodeString(text)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%.80q is no public key (hint: 64 hexadecimal digits, as keepwell serve journal keys shows)", text)
	}
	return public, nil
}

// Judge tells for each key why it counts.
func (t Trust) Judge(known []state.JournalKey) []KeyUse {
	var uses []KeyUse
	for _, k := range known {
		uses = append(uses, useOf(k))
	}
	find := func(public []byte) int {
		return slices.IndexFunc(uses, func(u KeyUse) bool { return bytes.Equal(u.key.PublicKey, public) })
	}
	for _, p := range t.Pinned {
		i := find(p)
		if i < 0 { // it signed before keys were written down
			i, uses = len(uses), append(uses, useOf(state.JournalKey{PublicKey: p}))
		}
		uses[i].Trusted = TrustedPinned
	}
	for again := true; again; {
		again = false
		for i, u := range uses {
			by := find(u.key.VouchedBy)
			if u.Trusted == TrustedNot && by >= 0 && uses[by].Trusted != TrustedNot && ed25519.Verify(u.key.VouchedBy, vouch(u.key.PublicKey), u.key.Vouch) {
				uses[i].Trusted, again = TrustedVouched, true
			}
		}
	}
	for i := range uses {
		if uses[i].Trusted == TrustedNot && t.FirstUse {
			uses[i].Trusted = TrustedFirstUse
		}
	}
	return uses
}

// vouch is what a key signs to say that another follows it.
func vouch(public []byte) []byte {
	return fmt.Appendf(nil, "keepwell journal key 1\n%x\n", public)
}

// announced is the data of an entry of the kinds KeyAdded and KeyRetired. (A name with
// "key" in it would be masked.)
type announced struct {
	ID        string `json:"id"`
	Public    string `json:"public"` // in hex
	Node      string `json:"node,omitempty"`
	VouchedBy string `json:"vouchedBy,omitempty"`
}

// Next is the name of the file of the key that follows the one at path.
func Next(path string) string { return path + ".next" }

// Rotate makes the key that follows the one at path, which the next [Enlist] puts in
// its place. One that waits already is returned.
func Rotate(path string) (Key, error) {
	if _, err := readKey(path); err != nil {
		return Key{}, fmt.Errorf("the journal's key: %w", err)
	}
	return OpenKey(Next(path))
}

// Enlist opens the key at path, or makes one, and sees that it stands in the database and
// in the journal. Where a key follows it ([Rotate]), that one takes its place: the old
// one vouches for it and signs no more. node is the machine, for people.
func Enlist(ctx context.Context, st *state.State, path, node string) (Key, error) {
	k, err := OpenKey(path)
	if err != nil {
		return k, err
	}
	retired, err := enlist(ctx, st, k, node, nil)
	if err != nil {
		return k, fmt.Errorf("the journal's key: %w", err)
	}
	next, err := readKey(Next(path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && retired:
		return k, fmt.Errorf("the journal's key: another has followed the one in %s (hint: remove the file, and a new one is made)", path)
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err == nil && !next.Public().Equal(k.Public()):
		_, err = enlist(ctx, st, next, node, &k)
	}
	if err == nil { // a crash before leaves both files, and the next start goes on
		err = os.Rename(Next(path), path)
	}
	if err != nil {
		return k, fmt.Errorf("the journal's next key: %w", err)
	}
	return next, nil
}

// enlist writes a key down where it is not yet; before is the one that it follows. It tells
// whether the key was retired before.
func enlist(ctx context.Context, st *state.State, k Key, node string, before *Key) (retired bool, err error) {
	err = st.Tx(ctx, func(tx *state.Tx) error {
		known, err := tx.JournalKeys(ctx)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(known, func(s state.JournalKey) bool { return bytes.Equal(s.PublicKey, k.Public()) }); i >= 0 {
			retired = !known[i].Retired.IsZero()
			return nil
		}
		row := state.JournalKey{PublicKey: k.Public(), Node: node}
		says := announced{ID: KeyID(k.Public()), Public: hex.EncodeToString(k.Public()), Node: node}
		if before != nil {
			row.VouchedBy, row.Vouch = before.Public(), ed25519.Sign(before.private, vouch(k.Public()))
			says.VouchedBy = KeyID(before.Public())
		}
		if err := Append(tx, Entry{Kind: KeyAdded, Actor: actor, Why: says.ID, Data: says}); err != nil {
			return err
		}
		tx.BeforeCommit(func(ctx context.Context, tx *state.Tx) error { // after that entry took its place
			end, err := tx.JournalEnd(ctx)
			if err != nil {
				return err
			}
			row.Entry = end.Seq
			return tx.PutJournalKey(ctx, row)
		})
		if before == nil {
			return nil
		}
		gone := announced{ID: KeyID(before.Public()), Public: hex.EncodeToString(before.Public())}
		return errors.Join(tx.RetireJournalKey(ctx, before.Public()), Append(tx, Entry{Kind: KeyRetired, Actor: actor, Why: gone.ID, Data: gone}))
	})
	return retired, err
}

// actor is who writes of keys.
const actor = "keepwell"
