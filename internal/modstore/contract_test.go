package modstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/modstore/storetest"
)

// process is one of several that share a directory, as storetest wants it.
type process struct{ *modstore.Store }

func (p process) Put(ctx context.Context, key string, data []byte) error {
	st, err := p.Stage()
	if err != nil {
		return err
	}
	defer st.Discard()
	if _, err := st.Write(data); err != nil {
		return err
	}
	_, err = p.Store.Put(ctx, modstore.Entry{Key: key, Source: "test"}, st)
	return err
}

// Bytes looks as the proxy does when nobody has to be asked: rot is for Scrub to find.
func (p process) Bytes(ctx context.Context, key string) ([]byte, error) {
	if _, err := p.Scrub(ctx); err != nil {
		return nil, err
	}
	e, err := p.Get(ctx, key)
	if err != nil || e.Data != nil {
		return e.Data, err
	}
	f, err := p.OpenFile(ctx, e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// TestContract runs what every store keeps to over a directory that processes share.
func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.World {
		dir := t.TempDir()
		file := func(data []byte) string {
			sum := sha256.Sum256(data)
			return filepath.Join(dir, "blobs", hex.EncodeToString(sum[:1]), hex.EncodeToString(sum[:]))
		}
		return storetest.World{
			Open: func(t *testing.T) storetest.Replica { return process{open(t, modstore.Options{Dir: dir})} },
			Spoil: func(t *testing.T, data []byte) {
				bad := append([]byte{data[0] ^ 1}, data[1:]...)
				if err := os.WriteFile(file(data), bad, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			Lose: func(t *testing.T, data []byte) {
				if err := os.Remove(file(data)); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
