package journal

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/state"
)

// KeyFile is the name of the key in the data directory.
const KeyFile = "journal.key"

// Key signs checkpoints.
type Key struct{ private ed25519.PrivateKey }

// Public is what checkpoints are verified with.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// OpenKey reads the key at path, a file that its owner alone may read, or makes one.
func OpenKey(path string) (Key, error) {
	k, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil || errors.Is(err, fs.ErrExist) { // two at once: the first one's
			k, err = readKey(path)
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("the journal's key: %w", err)
	}
	return k, nil
}

func readKey(path string) (Key, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Key{}, err
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("%s may be read by others (hint: chmod 600)", path)
	}
	data, err := plainfile.Read(path)
	if err != nil {
		return Key{}, err
	}
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("%s holds no key (hint: 32 random bytes in base64; without the file one is made)", path)
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// makeKey writes a key under another name first: whoever sees the file sees all of it.
func makeKey(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key*") // readable by its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // the link stays
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(seed) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // never over one that is there
}

// message is what a checkpoint signs.
func message(c state.Checkpoint) []byte {
	return fmt.Appendf(nil, "keepwell journal checkpoint 1\n%d\n%d\n%x\n", c.Seq, c.At.UnixMicro(), c.Hash)
}

// Checkpoint signs the end of the chain, unless it is signed already.
func Checkpoint(ctx context.Context, st *state.State, key Key) error {
	err := st.Tx(ctx, func(tx *state.Tx) error {
		end, err := tx.LockJournal(ctx)
		if err != nil || end.Seq == 0 {
			return err
		}
		c := state.Checkpoint{Link: end, At: time.UnixMicro(tx.Now().UnixMicro()).UTC(), PublicKey: key.Public()}
		c.Signature = ed25519.Sign(key.private, message(c))
		return tx.PutCheckpoint(ctx, c)
	})
	if err != nil {
		return fmt.Errorf("signing the journal: %w", err)
	}
	return nil
}

// Cut removes the entries before the last checkpoint that is older than t. The rest
// stays provable: the checkpoint stands for what is gone. It tells how many went.
func Cut(ctx context.Context, st *state.State, t time.Time) (removed int64, err error) {
	err = st.Tx(ctx, func(tx *state.Tx) error {
		c, err := tx.CheckpointBefore(ctx, t)
		if errors.Is(err, state.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		removed, err = tx.CutJournal(ctx, c.Seq)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("cutting the journal: %w", err)
	}
	return removed, nil
}
