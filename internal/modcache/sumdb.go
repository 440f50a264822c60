package modcache

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What go stores of a checksum database is a tree of hashes in tiles, answers that are
// its leaves, and signed heads of the tree. go takes all of it as it finds it, and fails
// for ever of what does not fit: so each file is held here to what is signed. The rules
// are those of golang.org/x/mod/sumdb/tlog.

// tileHeight is the height of go's tiles: 256 hashes each.
const tileHeight = 8

// tileAt is the place of a tile in the tree, whatever its width.
type tileAt struct {
	level int
	n     int64
}

// storedTile is a tile as it lies on the disk.
type storedTile struct {
	tlog.Tile
	path string
}

// storedAnswer is an answer that was given: a leaf of the tree.
type storedAnswer struct {
	path string
	id   int64
	leaf tlog.Hash
}

// stored is what there is of one database.
type stored struct {
	v *verifying
	// verifier knows the key; nil where nobody here does, and then nothing can be proved.
	verifier note.Verifier
	tiles    map[tileAt][]storedTile  // the widest first
	answers  map[int64][]storedAnswer // by the tile of their leaves
	heads    map[int64]tlog.Hash
	// proved are the hashes that a tile is proved to begin with, width how many; those of
	// leaves are not kept.
	proved map[tileAt][]byte
	width  map[tileAt]int
	bad    map[string]bool
	signed map[string]error
	upper  map[string][]byte
}

// sumdbFiles are the files of each database, by its name.
func (v *verifying) sumdbFiles(inv *inventory) map[string][]noted {
	out := map[string][]noted{}
	for _, n := range inv.notes {
		name := ""
		if rel, err := filepath.Rel(filepath.Join(v.Cache.download(), "sumdb"), n.path); err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
			for _, part := range []string{"/lookup/", "/tile/"} {
				name, _, _ = strings.Cut(name, part)
			}
		} else if rel, err := filepath.Rel(v.Cache.Sumdb, n.path); err == nil {
			name = filepath.ToSlash(filepath.Dir(rel))
		}
		out[name] = append(out[name], n)
	}
	return out
}

// sumdb judges all that is stored of checksum databases.
func (v *verifying) sumdb(inv *inventory) {
	all := v.sumdbFiles(inv)
	for _, name := range sortedKeys(all) {
		stamp, settled := v.notesStamp(all[name])
		key := "sumdb/" + name
		if known, ok := v.old.all[key]; ok && known.stamp == stamp {
			v.now.all[key] = known
			continue
		}
		before := len(v.report.Faults)
		v.storedOf(name, all[name])
		if settled && len(v.report.Faults) == before {
			v.now.all[key] = record{stamp: stamp}
		}
	}
}

// notesStamp is as [looking.stamp], over the files of a database and the key in force.
func (v *verifying) notesStamp(list []noted) (stamp string, settled bool) {
	if !stamps {
		return "", false
	}
	slices.SortFunc(list, func(a, b noted) int { return cmp.Compare(a.path, b.path) })
	h := sha256.New()
	h.Write([]byte(v.Database))
	newest := int64(0)
	for _, n := range list {
		buf := append([]byte(n.path), 0)
		for _, part := range []uint64{uint64(n.mode), n.dev, n.ino, uint64(n.size), uint64(n.changed), uint64(n.modified.UnixNano())} {
			buf = binary.LittleEndian.AppendUint64(buf, part)
		}
		newest = max(newest, n.changed)
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil)), time.Unix(0, newest).Before(v.began.Add(-settleTime))
}

// storedOf judges the files of one database.
func (v *verifying) storedOf(name string, list []noted) {
	s := &stored{
		v: v, verifier: verifierOf(name, v.Database), tiles: map[tileAt][]storedTile{}, heads: map[int64]tlog.Hash{},
		answers: map[int64][]storedAnswer{}, proved: map[tileAt][]byte{}, width: map[tileAt]int{}, bad: map[string]bool{}, signed: map[string]error{}, upper: map[string][]byte{},
	}
	for _, n := range list {
		if t, ok := tileOf(n.path); ok {
			at := tileAt{t.L, t.N}
			s.tiles[at] = append(s.tiles[at], storedTile{t, n.path})
		} else if err := s.note(n); err != nil {
			s.fault(n.path, err.Error())
		}
	}
	if s.verifier == nil {
		return
	}
	for at := range s.tiles {
		slices.SortFunc(s.tiles[at], func(a, b storedTile) int { return cmp.Compare(b.W, a.W) })
	}
	s.beyond()
	failed := s.proveHeads()
	s.proveTiles()
	for _, n := range sortedSizes(failed) {
		s.suspect(n, failed[n])
	}
}

func sortedSizes(failed map[int64]edge) []int64 { return slices.Sorted(maps.Keys(failed)) }

// verifierOf is the key of a database: go's own, or the one in GOSUMDB.
func verifierOf(name, setting string) note.Verifier {
	key := sumKey
	if name != "sum.golang.org" {
		key, _, _ = strings.Cut(strings.TrimSpace(setting), " ")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil || verifier.Name() != name {
		return nil
	}
	return verifier
}

func (s *stored) fault(path, detail string) {
	if s.bad[path] {
		return
	}
	s.bad[path] = true
	s.v.report.Faults = append(s.v.report.Faults, Fault{
		Kind: KindSumdb, Severity: severityOf(KindSumdb), Path: path, Detail: detail, Mends: []Mend{{Action: ActRemove, Path: path}}, Fetch: true,
	})
}

// The errors of an answer and of a tile.
var (
	errNoHead    = errors.New("no signed tree")
	errNoAnswer  = errors.New("it is about another module")
	errSignature = errors.New("the signature is not the database's")
)

// Words of faults that no library words.
const (
	notTheTree   = "not what the signed tree has"
	notTheAnswer = "not the answer that the signed tree has"
)

// note reads an answer, or the newest head.
func (s *stored) note(n noted) error {
	data, err := slurp(n.path, min(n.size, 1<<20), nil)
	if err != nil {
		return nil //nolint:nilerr // it went meanwhile, or is another's: nothing can be said
	}
	s.v.bytes.Add(int64(len(data)))
	_, name, lookup := strings.Cut(filepath.ToSlash(n.path), "/lookup/")
	if !lookup {
		if len(data) == 0 {
			return nil // a tree of which nothing was seen
		}
		return s.head(data)
	}
	id, text, head, err := tlog.ParseRecord(data)
	if err != nil {
		return fmt.Errorf("%s", cmp.Or(firstLine(data), err.Error()))
	}
	if !answers(name, text) {
		return errNoAnswer
	}
	s.answers[id>>tileHeight] = append(s.answers[id>>tileHeight], storedAnswer{n.path, id, tlog.RecordHash(text)})
	return s.head(head)
}

// answers reports whether a record is about the module that its file is called for.
func answers(name string, text []byte) bool {
	path, version, _ := strings.Cut(name, "@")
	m, ok := unescaped(path, version)
	return ok && bytes.HasPrefix(text, []byte(m.Path+" "+m.Version+" ")) && module.Check(m.Path, m.Version) == nil
}

// head holds a signed head of the tree to its signature; most answers share one.
func (s *stored) head(signed []byte) error {
	if !bytes.HasPrefix(signed, []byte("go.sum database tree\n")) || !bytes.Contains(signed, []byte("\n\n\u2014 ")) {
		return fmt.Errorf("%w: %s", errNoHead, firstLine(signed))
	}
	if s.verifier == nil {
		return nil
	}
	known, ok := s.signed[string(signed)]
	if ok {
		return known
	}
	err := func() error {
		n, err := note.Open(signed, note.VerifierList(s.verifier))
		if err != nil {
			return errSignature
		}
		tree, err := tlog.ParseTree([]byte(n.Text))
		if err != nil {
			return err
		}
		s.heads[tree.N] = tree.Hash
		return nil
	}()
	s.signed[string(signed)] = err
	return err
}

// data reads a tile; those above the leaves are kept, since they are few and asked often.
func (s *stored) data(t storedTile) []byte {
	if data, ok := s.upper[t.path]; ok {
		return data
	}
	data, err := slurp(t.path, int64(t.W)*tlog.HashSize, nil)
	if err != nil || len(data) != t.W*tlog.HashSize {
		data = nil // it went meanwhile, or was just written
	}
	s.v.bytes.Add(int64(len(data)))
	if t.L > 0 || t.W < 1<<tileHeight {
		s.upper[t.path] = data
	}
	return data
}

// edge are the tiles of one head's right edge, as they are chosen to be.
type edge map[tileAt]storedTile

// readEdge reads the hashes of a tree from its chosen edge.
func (s *stored) readEdge(chosen edge) tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			want := tlog.TileForIndex(tileHeight, index)
			t := chosen[tileAt{want.L, want.N}]
			var err error
			if out[i], err = tlog.HashFromTile(t.Tile, s.data(t), index); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

// edgeOf chooses the stored tiles of the right edge of a tree of n leaves: the narrowest
// that suffice, or the widest; ok is false where one is not stored.
func (s *stored) edgeOf(n int64, widest bool) (chosen edge, ok bool) {
	chosen = edge{}
	for level := 0; n>>(tileHeight*level) > 0; level++ {
		need := needed(n, level)
		if need == 0 {
			continue
		}
		at := tileAt{level, n >> (tileHeight * (level + 1))}
		for _, t := range s.tiles[at] { // the widest first
			if t.W >= need {
				chosen[at] = t
				if widest {
					break
				}
			}
		}
		if chosen[at].path == "" {
			return nil, false
		}
	}
	return chosen, true
}

// needed is how many hashes of the last tile of a level a tree of n leaves has.
func needed(n int64, level int) int { return int(n>>(tileHeight*level)) & (1<<tileHeight - 1) }

// proveHeads proves the right edges of the trees that are signed, and returns the tiles
// of those of which one must be bad.
func (s *stored) proveHeads() (failed map[int64]edge) {
	failed = map[int64]edge{}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(s.heads))) {
		var chosen edge
		proved := false
		for _, widest := range []bool{false, true} {
			var ok bool
			if chosen, ok = s.edgeOf(n, widest); !ok {
				break
			}
			hash, err := tlog.TreeHash(n, s.readEdge(chosen))
			if proved = err == nil && hash == s.heads[n]; proved {
				break
			}
		}
		switch {
		case proved:
			for at, t := range chosen {
				s.prove(at, s.data(t)[:needed(n, at.level)*tlog.HashSize])
			}
		case len(chosen) > 0:
			failed[n] = chosen
		}
	}
	return failed
}

func (s *stored) prove(at tileAt, data []byte) {
	if len(data) > len(s.proved[at]) {
		s.proved[at] = data
	}
}

// proveTiles holds each tile to those above it, the highest first.
func (s *stored) proveTiles() {
	order := slices.SortedFunc(maps.Keys(s.tiles), func(a, b tileAt) int { return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(a.n, b.n)) })
	for _, at := range order {
		above := s.proved[tileAt{at.level + 1, at.n >> tileHeight}]
		place := int(at.n&(1<<tileHeight-1)) * tlog.HashSize
		found := make([][]byte, len(s.tiles[at]))
		for i, t := range s.tiles[at] {
			data := s.data(t)
			if found[i] = data; data == nil || t.W < 1<<tileHeight || len(above) < place+tlog.HashSize {
				continue
			}
			if root := rootOf(data); bytes.Equal(root[:], above[place:place+tlog.HashSize]) {
				s.prove(at, data)
			} else {
				s.fault(t.path, notTheTree)
			}
		}
		known := s.proved[at]
		for i, t := range s.tiles[at] {
			data := found[i]
			if n := min(len(data), len(known)); !bytes.Equal(data[:n], known[:n]) {
				s.fault(t.path, notTheTree)
			}
		}
		s.width[at] = len(known) / tlog.HashSize
		if at.level == 0 {
			s.leaves(at, known)
			delete(s.proved, at)
		}
	}
}

// rootOf is the hash of all that a whole tile is about.
func rootOf(data []byte) tlog.Hash {
	row := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range row {
		copy(row[i][:], data[i*tlog.HashSize:])
	}
	for ; len(row) > 1; row = row[:len(row)/2] {
		for i := range len(row) / 2 {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// suspect judges the edge of a tree that is not what was signed: what nothing else proves
// can be at fault, and where that is more than one tile nobody can say which.
func (s *stored) suspect(n int64, tiles edge) {
	for _, t := range tiles {
		if s.bad[t.path] {
			return // that explains it
		}
	}
	for at, t := range tiles {
		if s.width[at] < needed(n, at.level) {
			s.fault(t.path, notTheTree)
		}
	}
}

// beyond judges answers that no tree here is large enough for.
func (s *stored) beyond() {
	largest := int64(0)
	for n := range s.heads {
		largest = max(largest, n)
	}
	for tile, list := range s.answers {
		if tile >= largest>>tileHeight {
			for _, a := range list {
				if a.id >= largest {
					s.fault(a.path, notTheAnswer)
				}
			}
		}
	}
}

// leaves holds the answers below a tile to it.
func (s *stored) leaves(at tileAt, known []byte) {
	for _, a := range s.answers[at.n] {
		place := int(a.id&(1<<tileHeight-1)) * tlog.HashSize
		if place+tlog.HashSize <= len(known) && !bytes.Equal(a.leaf[:], known[place:place+tlog.HashSize]) {
			s.fault(a.path, notTheAnswer)
		}
	}
}
