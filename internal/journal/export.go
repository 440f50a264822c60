package journal

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/keepwell/keepwell/internal/state"
)

// line is a line of an export: an entry as it is hashed, a checkpoint, a key, or the end.
type line struct {
	Entry int64  `json:"entry,omitempty"`
	Body  string `json:"body,omitempty"`
	Hash  string `json:"hash,omitempty"` // all bytes in hex

	Checkpoint int64  `json:"checkpoint,omitempty"`
	PublicKey  string `json:"publicKey,omitempty"`
	Signature  string `json:"signature,omitempty"`

	Key       string    `json:"key,omitempty"` // the public one
	Announced int64     `json:"announced,omitempty"`
	Node      string    `json:"node,omitempty"`
	VouchedBy string    `json:"vouchedBy,omitempty"`
	Vouch     string    `json:"vouch,omitempty"`
	Retired   time.Time `json:"retired,omitzero"`
	At        time.Time `json:"at,omitzero"` // of a checkpoint; when a key was made

	End     *int64 `json:"end,omitempty"`
	Entries string `json:"entries,omitempty"`
}

// exportAtOnce is how many entries are read and written at once.
const exportAtOnce = 500

// Export writes the entries after seq in order, the checkpoints, the keys and, last, a
// line that says that it is whole, each a line of JSON. flush is called now and then.
func Export(ctx context.Context, r Source, seq int64, w io.Writer, flush func() error) error {
	lines := json.NewEncoder(w)
	entries := 0
	for {
		rows, err := r.JournalAfter(ctx, seq, exportAtOnce)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := lines.Encode(line{Entry: row.Seq, Body: row.Body, Hash: hex.EncodeToString(row.Hash)}); err != nil {
				return err
			}
			seq, entries = row.Seq, entries+1
		}
		if err := flush(); err != nil {
			return err
		}
		if len(rows) < exportAtOnce {
			break
		}
	}
	points, err := r.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, p := range points {
		if p.Seq > seq {
			continue // signed since
		}
		err = errors.Join(err, lines.Encode(line{
			Checkpoint: p.Seq, At: p.At, Hash: hex.EncodeToString(p.Hash), PublicKey: hex.EncodeToString(p.PublicKey), Signature: hex.EncodeToString(p.Signature),
		}))
	}
	keys, worse := r.JournalKeys(ctx)
	if err = errors.Join(err, worse); err != nil {
		return err
	}
	for _, k := range keys {
		err = errors.Join(err, lines.Encode(line{
			Key: hex.EncodeToString(k.PublicKey), Announced: k.Entry, Node: k.Node, At: k.Created, Retired: k.Retired,
			VouchedBy: hex.EncodeToString(k.VouchedBy), Vouch: hex.EncodeToString(k.Vouch),
		}))
	}
	return errors.Join(err, lines.Encode(line{End: &seq, Entries: strconv.Itoa(entries)}))
}

// Exported is a journal in a file that [Export] wrote. It is read twice: what proves the
// entries stands after them.
type Exported struct {
	f      *os.File
	lines  *bufio.Reader
	end    state.Link
	points []state.Checkpoint
	keys   []state.JournalKey
}

// OpenExport opens an exported journal; an error where it was cut off.
func OpenExport(path string) (*Exported, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the exported journal: %w", err)
	}
	x := &Exported{f: f}
	if err := x.scan(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the exported journal %s: %w", path, err), f.Close())
	}
	return x, nil
}

// Close closes the file.
func (x *Exported) Close() error { return x.f.Close() }

// longestLine is more than an entry can be, whose quotes and controls are escaped.
const longestLine = 8 * most

// next reads a line; io.EOF after the last.
func (x *Exported) next() (l line, err error) {
	var text []byte
	for {
		part, err := x.lines.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > longestLine {
			return l, fmt.Errorf("a line is longer than %d bytes", longestLine)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(text) > 0, err == nil:
			if err := json.Unmarshal(text, &l); err != nil {
				return l, fmt.Errorf("%.60q is no line of an export: %w", text, err)
			}
			return l, nil
		}
		return l, err
	}
}

// scan reads what stands after the entries.
func (x *Exported) scan() error {
	x.lines = bufio.NewReader(x.f)
	whole, entries := false, 0
	for {
		l, err := x.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && whole {
			err = errors.New("something follows the end")
		}
		if err == nil {
			err = x.take(l)
		}
		if err != nil {
			return err
		}
		if l.Entry != 0 {
			entries++
		}
		if whole = l.End != nil; whole && (*l.End != x.end.Seq && entries > 0 || l.Entries != strconv.Itoa(entries)) {
			return fmt.Errorf("it says that it has %s entries up to %d, and has %d up to %d", l.Entries, *l.End, entries, x.end.Seq)
		}
	}
	if !whole {
		return errors.New("its end is missing (hint: export it again)")
	}
	_, err := x.f.Seek(0, io.SeekStart)
	x.lines.Reset(x.f)
	return err
}

func (x *Exported) take(l line) (err error) {
	bytes := func(text string) []byte {
		b, wrong := hex.DecodeString(text)
		err = errors.Join(err, wrong)
		return b
	}
	switch {
	case l.Entry != 0:
		x.end = state.Link{Seq: l.Entry, Hash: bytes(l.Hash)}
	case l.Checkpoint != 0:
		x.points = append(x.points, state.Checkpoint{Link: state.Link{Seq: l.Checkpoint, Hash: bytes(l.Hash)}, At: l.At, PublicKey: bytes(l.PublicKey), Signature: bytes(l.Signature)})
	case l.Key != "":
		x.keys = append(x.keys, state.JournalKey{
			PublicKey: bytes(l.Key), Node: l.Node, Created: l.At, Entry: l.Announced, VouchedBy: bytes(l.VouchedBy), Vouch: bytes(l.Vouch), Retired: l.Retired,
		})
	}
	return err
}

// JournalEnd is the last entry.
func (x *Exported) JournalEnd(context.Context) (state.Link, error) { return x.end, nil }

// Checkpoints are all there are.
func (x *Exported) Checkpoints(context.Context) ([]state.Checkpoint, error) { return x.points, nil }

// JournalKeys are all there are.
func (x *Exported) JournalKeys(context.Context) ([]state.JournalKey, error) { return x.keys, nil }

// JournalAfter reads on: each entry is had once.
func (x *Exported) JournalAfter(ctx context.Context, _ int64, limit int) (rows []state.JournalRow, err error) {
	for len(rows) < limit && ctx.Err() == nil {
		l, err := x.next()
		if errors.Is(err, io.EOF) || err == nil && l.Entry == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		hash, err := hex.DecodeString(l.Hash)
		if err != nil {
			return nil, err
		}
		row := state.JournalRow{Seq: l.Entry, Body: l.Body, Hash: hash}
		var b body
		if json.Unmarshal([]byte(l.Body), &b) == nil { // else it is not what was written
			row.At, row.Kind, row.Actor, row.Incident, row.Run = time.UnixMicro(b.At).UTC(), string(b.Kind), b.Actor, b.Incident, b.Run
		}
		rows = append(rows, row)
	}
	return rows, ctx.Err()
}
