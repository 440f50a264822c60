package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// What argon2id costs: OWASP's least, 19 MiB, twice, one thread. A hash names its own, so
// that these can be raised: whoever logs in then is hashed anew.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	hashLen = 32
)

// Bounds of passwords. The longest keeps hashing cheap, the shortest guessing dear.
const (
	leastPassword = 12
	mostPassword  = 1024
)

// What callers tell apart with errors.Is.
var (
	// ErrPassword refuses a new password.
	ErrPassword = errors.New("a password has 12 characters or more, at most 1024 bytes, and is not the name (hint: several words are easy to keep in mind)")
	// ErrBusy says that so many log in at once that one more would have to wait too long.
	ErrBusy = errors.New("too many log in at once (hint: try again in a few seconds)")
)

// hasher hashes passwords, few at once: each takes 19 MiB.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	count   atomic.Int64 // hashes made, for tests
}

func newHasher(n int) *hasher { return &hasher{slots: make(chan struct{}, n)} }

// enter waits for a slot; leave must be called after nil.
func (h *hasher) enter(ctx context.Context) error {
	const most = 16 // waiters a slot: about half a second each
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > int64(most*cap(h.slots)) {
		return ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.slots }

func (h *hasher) key(password string, p params) []byte {
	h.count.Add(1)
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.threads, hashLen)
}

type params struct {
	memory, passes uint32
	threads        uint8
	salt, hash     []byte
}

// usual are the parameters of new hashes, with an empty salt.
func usual() params {
	return params{memory: memory, passes: passes, threads: threads, salt: make([]byte, saltLen), hash: make([]byte, hashLen)}
}

// hash encodes a password as $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	p := usual()
	_, _ = rand.Read(p.salt) // never fails
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads, enc(p.salt), enc(h.key(password, p))), nil
}

// verify tells whether a password fits; old, that its hash should be made anew. An
// encoded hash that is none, such as that of an unknown user, costs the same and never
// fits.
func (h *hasher) verify(ctx context.Context, encoded, password string) (ok, old bool, err error) {
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer h.leave()
	p, known := decode(encoded)
	same := subtle.ConstantTimeCompare(h.key(password, p), p.hash) == 1
	return known && same, p.memory != memory || p.passes != passes || p.threads != threads, nil
}

// decode reads an encoded hash; what is none gives the usual parameters and known false.
func decode(encoded string) (p params, known bool) {
	const parts = 6
	f := strings.Split(encoded, "$")
	if len(f) != parts || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return usual(), false
	}
	var err error
	if _, err = fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); err != nil || p.passes == 0 || p.threads == 0 {
		return usual(), false
	}
	var errs [2]error
	p.salt, errs[0] = base64.RawStdEncoding.DecodeString(f[4])
	p.hash, errs[1] = base64.RawStdEncoding.DecodeString(f[5])
	if errors.Join(errs[:]...) != nil || len(p.hash) != hashLen || p.memory > 16*memory || p.passes > 16 {
		return usual(), false
	}
	return p, true
}

// goodPassword refuses what is guessed first.
func goodPassword(name, password string) error {
	if utf8.RuneCountInString(password) < leastPassword || len(password) > mostPassword || !utf8.ValidString(password) || strings.EqualFold(name, password) {
		return ErrPassword
	}
	return nil
}
