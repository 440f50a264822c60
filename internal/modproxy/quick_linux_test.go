package modproxy

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// oneDir is a store that has nothing but files in a directory.
type oneDir struct {
	Store
	dir string
}

func (s oneDir) OpenFile(_ context.Context, e modstore.Entry) (*os.File, error) {
	return os.Open(filepath.Join(s.dir, e.Sum))
}

// TestSharedFilesAreClosed soon after nobody wants them: else the room of what was
// collected would never be free. One that is being sent stays open until it was.
func TestSharedFilesAreClosed(t *testing.T) {
	t.Parallel()
	store := oneDir{dir: t.TempDir()}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(store.dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var o openFiles
		defer o.close()
		get := func(sum string) *openFile {
			f, err := o.get(t.Context(), store.OpenFile, modstore.Entry{Sum: sum})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		open := func(f *openFile) bool {
			_, err := f.Stat()
			return err == nil
		}
		sending, idle := get("a"), get("b")
		if o.put(idle); get("b") != idle {
			t.Error("a file that is wanted again at once was opened again")
		}
		o.put(idle)
		time.Sleep(2 * openFor) // of the bubble's clock
		synctest.Wait()
		if open(idle) || !open(sending) || len(o.all) != 0 {
			t.Errorf("idle open %t, sending open %t, %d kept", open(idle), open(sending), len(o.all))
		}
		if o.put(sending); open(sending) {
			t.Error("a file that was sent stays open")
		}
		again := get("b") // the look for old ones begins anew
		o.put(again)
		time.Sleep(2 * openFor)
		synctest.Wait()
		if again == idle || open(again) {
			t.Error("a file that was opened later stays open")
		}
	})
}
