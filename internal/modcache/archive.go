package modcache

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/klauspost/compress/flate"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// reader reads archives and directories, one after the other, with buffers that last.
// One goroutine uses it.
type reader struct {
	packed, plain, file []byte
	entries             []entry
	in                  bytes.Reader
	out                 io.ReadCloser
	sum                 hash.Hash
}

// The errors of an archive.
var (
	errContent = errors.New("a file of the archive is damaged")
	errBounds  = errors.New("it reaches beyond the end of the archive")
	errSize    = errors.New("larger than go allows")
	errName    = errors.New("not a name that go allows")
	errTwice   = errors.New("differs from another name in case only, or is file and directory")
)

// checkNames holds the names and announced sizes in an archive to the rules by which
// golang.org/x/mod/zip unpacks. Its own CheckZip opens the file itself, which would
// count as use; a test holds this to it.
func checkNames(m module.Version, z *zip.Reader) error {
	if module.CanonicalVersion(m.Version) != m.Version {
		return &module.InvalidVersionError{Version: m.Version, Err: errName}
	}
	if err := module.Check(m.Path, m.Version); err != nil {
		return err
	}
	prefix := m.Path + "@" + m.Version + "/"
	room := uint64(modzip.MaxZipFile)
	names := claims{}
	for _, f := range z.File {
		rel, ok := strings.CutPrefix(f.Name, prefix)
		name, dir := strings.CutSuffix(rel, "/")
		switch {
		case !ok:
			return fmt.Errorf("%q: %w: not below %s", f.Name, errName, prefix)
		case rel == "":
			continue
		case path.Clean(name) != name:
			return fmt.Errorf("%q: %w", rel, errName)
		}
		if err := module.CheckFilePath(name); err != nil {
			return err
		}
		if !names.claim(name, dir) {
			return fmt.Errorf("%q: %w", rel, errTwice)
		}
		if dir {
			continue
		}
		most := room
		switch {
		case name == "go.mod":
			most = min(most, modzip.MaxGoMod)
		case name == "LICENSE":
			most = min(most, modzip.MaxLICENSE)
		case strings.EqualFold(path.Base(name), "go.mod"):
			return fmt.Errorf("%q: %w", rel, errName)
		}
		if f.UncompressedSize64 > most {
			return fmt.Errorf("%q: %w", rel, errSize)
		}
		room -= f.UncompressedSize64
	}
	return nil
}

// claims are the names of an archive by what a file system without case makes of them.
type claims map[string]claim

type claim struct {
	name string
	dir  bool
}

// claim takes a name and the directories above it; it is refused where another one has
// it: a file twice, a file and a directory, two that differ in case only.
func (c claims) claim(name string, dir bool) bool {
	for file := !dir; name != "."; name, file = path.Dir(name), false {
		key, mine := folded(name), claim{name, !file}
		if other, ok := c[key]; ok {
			if file || other != mine {
				return false
			}
			return true // and all above it
		}
		c[key] = mine
	}
	return true
}

// folded is the same for all names that differ in case only.
func folded(name string) string {
	plain := func(r rune) bool { return r < 'A' || r > 'Z' && r < 0x80 }
	if strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 {
		return name
	}
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, name)
}

// summary is what a dirhash is made of: a line a file.
type summary struct{ lines []string }

func (s *summary) add(name string, sum []byte) {
	s.lines = append(s.lines, name+"\x00"+hex.EncodeToString(sum))
}

// h1 is dirhash.Hash1 of what was added.
func (s *summary) h1() string {
	slices.Sort(s.lines) // a NUL sorts before all that a name may hold
	h := sha256.New()
	for _, l := range s.lines {
		name, sum, _ := strings.Cut(l, "\x00")
		_, _ = io.WriteString(h, sum+"  "+name+"\n") // a hash cannot fail
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// compared is what an archive and its directory have to do with each other.
type compared struct {
	h1 string
	// mod is the go.mod in the archive; nil where it has none.
	mod []byte
	// changed, missing and extra are files of the directory, by their slashed names.
	changed, missing, extra []string
}

// slurp reads a file of at most the given size into buf.
func slurp(name string, size int64, buf []byte) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return buf[:0], err
	}
	defer f.Close()
	buf = slices.Grow(buf[:0], int(size)+1)[:size+1]
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}

// archive reads an archive whole: its directory against go's rules, every file against
// its checksum, its sum as go has it; where tree is not nil, every file against that of
// the directory root, byte by byte.
func (r *reader) archive(name string, size int64, m module.Version, root string, tree map[string]entry) (compared, error) {
	var c compared
	if size > modzip.MaxZipFile {
		return c, errSize
	}
	var err error
	if r.packed, err = slurp(name, size, r.packed); err != nil {
		return c, err
	}
	z, err := zip.NewReader(bytes.NewReader(r.packed), int64(len(r.packed)))
	if err == nil {
		err = checkNames(m, z)
	}
	if err != nil {
		return c, err
	}
	prefix := m.Path + "@" + m.Version + "/"
	var sums summary
	seen := 0
	for _, f := range z.File {
		data, err := r.inflate(f)
		if err != nil {
			return c, fmt.Errorf("%w: %s: %w", errContent, f.Name, err)
		}
		sum := sha256.Sum256(data)
		sums.add(f.Name, sum[:])
		rel := strings.TrimPrefix(f.Name, prefix)
		if rel == "go.mod" {
			c.mod = bytes.Clone(data)
		}
		if tree == nil || strings.HasSuffix(rel, "/") || rel == "" {
			continue
		}
		seen++
		r.compare(&c, root, unpackedName(m, rel, tree), data, tree)
	}
	c.h1 = sums.h1()
	if files := countFiles(tree); files > seen-len(c.missing) {
		c.extra = extraOf(z, m, prefix, tree)
	}
	return c, nil
}

// unpackedName is what a file of an archive is called in the directory: go gives the
// go.mod files of a toolchain their names back.
func unpackedName(m module.Version, rel string, tree map[string]entry) string {
	if dir, base := path.Split(rel); m.Path == toolchain && base == "_go.mod" {
		if _, ok := tree[rel]; !ok {
			return dir + "go.mod"
		}
	}
	return rel
}

func countFiles(tree map[string]entry) (n int) {
	for name := range tree {
		if !strings.HasSuffix(name, "/") {
			n++
		}
	}
	return n
}

// extraOf lists the files of a directory that the archive does not have.
func extraOf(z *zip.Reader, m module.Version, prefix string, tree map[string]entry) (out []string) {
	have := make(map[string]bool, len(z.File))
	for _, f := range z.File {
		rel := strings.TrimPrefix(f.Name, prefix)
		have[rel] = true
		if dir, base := path.Split(rel); m.Path == toolchain && base == "_go.mod" { // go copies it
			have[dir+"go.mod"] = true
		}
	}
	for name := range tree {
		if !strings.HasSuffix(name, "/") && !have[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (r *reader) compare(c *compared, root, rel string, want []byte, tree map[string]entry) {
	e, ok := tree[rel]
	switch {
	case !ok:
		c.missing = append(c.missing, rel)
		return
	case !e.mode.IsRegular() || e.size != int64(len(want)):
		c.changed = append(c.changed, rel)
		return
	case e.size == 0:
		return
	}
	var err error
	if r.file, err = slurp(filepath.Join(root, filepath.FromSlash(rel)), e.size, r.file); err != nil || !bytes.Equal(r.file, want) {
		c.changed = append(c.changed, rel)
	}
}

// inflate returns the bytes of a file in an archive, held to its checksum; they are
// overwritten by the next call.
func (r *reader) inflate(f *zip.File) ([]byte, error) {
	off, err := f.DataOffset()
	if err != nil {
		return nil, err
	}
	end := off + int64(f.CompressedSize64)
	if off < 0 || end < off || end > int64(len(r.packed)) || f.UncompressedSize64 > modzip.MaxZipFile {
		return nil, errBounds
	}
	data := r.packed[off:end]
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		if data, err = r.deflated(data, int(f.UncompressedSize64)); err != nil {
			return nil, err
		}
	default:
		return nil, zip.ErrAlgorithm
	}
	if uint64(len(data)) != f.UncompressedSize64 {
		return nil, io.ErrUnexpectedEOF
	}
	if crc32.ChecksumIEEE(data) != f.CRC32 {
		return nil, zip.ErrChecksum
	}
	return data, nil
}

func (r *reader) deflated(packed []byte, size int) ([]byte, error) {
	r.in.Reset(packed)
	if again, ok := r.out.(flate.Resetter); !ok || again.Reset(&r.in, nil) != nil {
		r.out = flate.NewReader(&r.in)
	}
	r.plain = slices.Grow(r.plain[:0], size+1)[:size+1]
	n, err := io.ReadFull(r.out, r.plain)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && n == size, errors.Is(err, io.EOF) && size == 0:
		return r.plain[:n], nil
	case err == nil: // more than was announced
		return nil, zip.ErrFormat
	}
	return nil, err
}

// hashTree is dirhash.HashDir of an unpacked module.
func (r *reader) hashTree(root string, m module.Version, tree map[string]entry) (string, error) {
	var sums summary
	if r.sum == nil {
		r.sum = sha256.New()
	}
	r.plain = slices.Grow(r.plain[:0], 64<<10)[:64<<10]
	for name, e := range tree {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if !e.mode.IsRegular() {
			return "", &os.PathError{Op: "read", Path: filepath.Join(root, name), Err: errors.ErrUnsupported}
		}
		f, err := open(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		r.sum.Reset()
		_, err = io.CopyBuffer(struct{ io.Writer }{r.sum}, struct{ io.Reader }{f}, r.plain)
		_ = f.Close()
		if err != nil {
			return "", err
		}
		sums.add(m.Path+"@"+m.Version+"/"+name, r.sum.Sum(nil))
	}
	return sums.h1(), nil
}

// hashMod is the sum that go.sum has of a go.mod.
func hashMod(data []byte) string {
	sum := sha256.Sum256(data)
	var s summary
	s.add("go.mod", sum[:])
	return s.h1()
}
