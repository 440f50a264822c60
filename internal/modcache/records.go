package modcache

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// record is what was found of a version that was sound.
type record struct {
	// stamp is over the names, sizes, permissions, times of writing and of change, and
	// numbers of all its files: the system changes one of them with every change.
	stamp string
	// zip and mod are the sums of its archive, or directory, and of its go.mod.
	zip, mod string
}

// records are those of one cache, by module@version.
type records struct{ all map[string]record }

func newRecords() *records { return &records{map[string]record{}} }

// recordsHead begins the file; its last line is the sum of all before it.
const recordsHead = "keepwell module cache records 1\n"

// readRecords reads the file; one that is absent or not whole has none.
func readRecords(name string) *records {
	r := newRecords()
	if name == "" || !stamps {
		return r
	}
	data, err := os.ReadFile(name)
	if err != nil || len(data) < sha256.Size*2+1 {
		return r
	}
	at := len(data) - sha256.Size*2 - 1
	sum := sha256.Sum256(data[:at])
	if hex.EncodeToString(sum[:]) != string(bytes.TrimSpace(data[at:])) || !bytes.HasPrefix(data, []byte(recordsHead)) {
		return r
	}
	for line := range strings.Lines(string(data[len(recordsHead):at])) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 4 {
			r.all[f[0]] = record{f[1], f[2], f[3]}
		}
	}
	return r
}

// write replaces the file, whole or not at all.
func (r *records) write(name string) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("recording what was found: %w", err)
	}
	sweep(filepath.Dir(name))
	f, err := os.CreateTemp(filepath.Dir(name), leftoverPrefix+"*")
	if err != nil {
		return fmt.Errorf("recording what was found: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("recording what was found: %w", err)
		}
	}()
	sum := sha256.New()
	w := bufio.NewWriter(f)
	put := func(s string) {
		sum.Write([]byte(s))
		_, _ = w.WriteString(s) // Flush has the error
	}
	put(recordsHead)
	for _, key := range sortedKeys(r.all) {
		put(strings.Join([]string{key, r.all[key].stamp, r.all[key].zip, r.all[key].mod}, "\t") + "\n")
	}
	_, _ = w.WriteString(hex.EncodeToString(sum.Sum(nil)) + "\n")
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// leftoverPrefix begins what is being written.
const leftoverPrefix = ".keepwell-"

// sweep removes what killed runs were writing; another run may be writing just now.
func sweep(dir string) {
	list, _ := os.ReadDir(dir) // what cannot be listed cannot be swept
	for _, d := range list {
		if info, err := d.Info(); err == nil && strings.HasPrefix(d.Name(), leftoverPrefix) && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(dir, d.Name()))
		}
	}
}

// settleTime is how long ago the last change must be for a stamp to tell the next one:
// clocks of file systems are coarse.
const settleTime = 2 * time.Second

// stamp is over all that the version has; settled is false where something changed so
// lately that a later change might not show.
func (l *looking) stamp() (stamp string, settled bool) {
	if !stamps {
		return "", false
	}
	h := sha256.New()
	buf := make([]byte, 0, 256)
	newest := int64(0)
	put := func(name string, e entry) {
		buf = append(buf[:0], name...)
		buf = append(buf, 0)
		for _, n := range []uint64{uint64(e.mode), e.dev, e.ino} {
			buf = binary.LittleEndian.AppendUint64(buf, n)
		}
		if !e.mode.IsDir() {
			for _, n := range []int64{e.size, e.changed, e.modified.UnixNano()} {
				buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
			}
			newest = max(newest, e.changed)
		}
		h.Write(buf)
	}
	for _, ext := range sortedKeys(l.files) {
		if ext != extLock {
			put(ext, l.files[ext])
		}
	}
	if l.held.tree.name != "" {
		put("/", l.held.tree)
	}
	for _, name := range sortedKeys(l.tree) {
		put(name, l.tree[name])
	}
	return hex.EncodeToString(h.Sum(nil)), time.Unix(0, newest).Before(l.began.Add(-settleTime))
}
