package modbundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/keepwell/keepwell/internal/modbundle"
)

const database = "sum.example.org"

// world is modules and a checksum database of them, which grows.
type world struct {
	t     testing.TB
	key   string
	ops   *sumdb.TestServer
	files map[string][]byte
	sums  map[string]string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, database)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: key, files: map[string][]byte{}, sums: map[string]string{}}
	w.ops = sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		zip, mod := w.sums[path+" "+version], w.sums[path+" "+version+"/go.mod"]
		if zip == "" {
			return nil, fs.ErrNotExist
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, mod), nil
	})
	return w
}

// add makes a version, which the database knows from now on.
func (w *world) add(v module.Version, code string) {
	w.t.Helper()
	gomod := "module " + v.Path + "\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{"go.mod": gomod, "x.go": code} {
		f, err := z.Create(v.Path + "@" + v.Version + "/" + name)
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	at := v.Path + "/@v/" + v.Version
	w.files[at+".zip"], w.files[at+".mod"], w.files[at+".info"] = b.Bytes(), []byte(gomod), []byte(`{"Version":"`+v.Version+`"}`)
	name := filepath.Join(w.t.TempDir(), "m.zip")
	err := os.WriteFile(name, b.Bytes(), 0o600)
	var h, hm string
	if err == nil {
		h, err = dirhash.HashZip(name, dirhash.Hash1)
	}
	if err == nil {
		hm, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(gomod)), nil })
	}
	if err == nil {
		w.sums[v.Path+" "+v.Version], w.sums[v.Path+" "+v.Version+"/go.mod"] = h, hm
		_, err = w.ops.Lookup(context.Background(), v)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// grow adds records of others, so that tiles fill up.
func (w *world) grow(n int) {
	w.t.Helper()
	for i := range n {
		v := module.Version{Path: fmt.Sprintf("example.com/other%d", len(w.sums)), Version: "v1.0.0"}
		w.sums[v.Path+" "+v.Version], w.sums[v.Path+" "+v.Version+"/go.mod"] = fmt.Sprint("h1:", i), "h1:x"
		if _, err := w.ops.Lookup(context.Background(), v); err != nil {
			w.t.Fatal(err)
		}
	}
}

// get asks the database as a server would be asked.
func (w *world) get(ctx context.Context, name string) ([]byte, error) {
	rest := strings.TrimPrefix(name, "sumdb/"+database)
	switch {
	case strings.HasPrefix(rest, "/lookup/"):
		path, version, _ := strings.Cut(strings.TrimPrefix(rest, "/lookup/"), "@")
		id, err := w.ops.Lookup(ctx, module.Version{Path: path, Version: version})
		if err != nil {
			return nil, modbundle.ErrAbsent
		}
		records, err := w.ops.ReadRecords(ctx, id, 1)
		if err != nil {
			return nil, err
		}
		head, err := w.ops.Signed(ctx)
		return append(fmt.Appendf(nil, "%d\n%s\n", id, records[0]), head...), err
	case strings.HasPrefix(rest, "/tile/"):
		t, err := tlog.ParseTilePath(rest[1:])
		if err != nil {
			return nil, err
		}
		return w.ops.ReadTileData(ctx, t)
	}
	return w.ops.Signed(ctx)
}

// bundle writes what versions need beside older.
func (w *world) bundle(name string, older *modbundle.Set, versions ...module.Version) {
	w.t.Helper()
	p := modbundle.Prover{Name: database, Key: w.key, Get: w.get, Have: older.ReadFile, Heads: older.Heads(database)}
	all := slices.Clone(versions)
	for _, m := range older.Modules() {
		all = append(all, m.Key())
	}
	made, unknown, err := p.Prove(w.t.Context(), all)
	if err != nil || len(unknown) > 0 {
		w.t.Fatal(unknown, err)
	}
	c := modbundle.Content{Made: made, Since: older.IDs(), Open: func(_ context.Context, key string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(w.files[key])), nil
	}}
	for _, v := range versions {
		c.Modules = append(c.Modules, modbundle.Module{Path: v.Path, Version: v.Version, Zip: w.sums[v.Path+" "+v.Version], Mod: w.sums[v.Path+" "+v.Version+"/go.mod"], Trust: "sumdb"})
		at := v.Path + "/@v/" + v.Version
		c.Keys = append(c.Keys, at+".zip", at+".mod", at+".info")
	}
	write(w.t, name, c)
}

// machine is a client of the database that reaches nothing but a set.
type machine struct {
	key, latest string
	set         *modbundle.Set
}

func (m *machine) ReadRemote(path string) ([]byte, error) {
	return m.set.ReadFile("sumdb/" + database + path)
}

func (m *machine) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(m.key), nil
	}
	return []byte(m.latest), nil
}
func (m *machine) WriteConfig(_ string, _, now []byte) error { m.latest = string(now); return nil }
func (m *machine) ReadCache(string) ([]byte, error)          { return nil, fs.ErrNotExist }
func (m *machine) WriteCache(string, []byte)                 {}
func (m *machine) Log(string)                                {}
func (m *machine) SecurityError(string)                      {}

// looks lets the machine look up versions in turn.
func (m *machine) looks(versions ...module.Version) error {
	c := sumdb.NewClient(m)
	for _, v := range versions {
		if _, err := c.Lookup(v.Path, v.Version); err != nil {
			return err
		}
	}
	return nil
}

// TestProofsContinue carries a database's growth to machines without network: those that
// know the tree of an older bundle and those that know none, whatever they ask first.
func TestProofsContinue(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	one, two, three := module.Version{Path: "example.com/one", Version: "v1.0.0"}, module.Version{Path: "example.com/two", Version: "v1.0.0"}, module.Version{Path: "example.com/two", Version: "v1.1.0"}
	w.grow(100)
	w.add(one, "package one")
	w.grow(1000) // the tree's edge is in another tile than the record
	w.bundle(at("base"), &modbundle.Set{}, one)
	w.grow(3000)
	w.add(two, "package two")
	w.bundle(at("delta"), open(t, at("base")), two)
	w.bundle(at("full"), &modbundle.Set{}, one, two)
	w.grow(500)
	w.add(three, "package two // 1")
	w.bundle(at("last"), open(t, at("base"), at("delta")), three)

	base := machine{key: w.key, set: open(t, at("base"))}
	if err := base.looks(one); err != nil {
		t.Fatal(err)
	}
	if err := (&machine{key: w.key, latest: base.latest, set: open(t, at("full"))}).looks(two); err == nil {
		t.Error("a bundle that continues none satisfied a machine that knows an older tree: the test proves nothing")
	}
	for _, order := range [][]module.Version{{one, two, three}, {three, two, one}, {two, three, one}, {one, three, two}} {
		for _, latest := range []string{"", base.latest} {
			m := machine{key: w.key, latest: latest, set: open(t, at("last"), at("delta"), at("base"))}
			if err := m.looks(order...); err != nil {
				t.Errorf("%v, knowing %q: %v", order, latest, err)
			}
		}
	}
	// All modules are proved, and the versions are in one list.
	s := open(t, at("base"), at("delta"), at("last"))
	checked, err := s.Verify(t.Context(), modbundle.Verifier{Name: database, Key: w.key}, nil)
	if err != nil || len(checked) != 3 || slices.ContainsFunc(checked, func(c modbundle.Checked) bool { return c.Proof != modbundle.ProofDatabase }) {
		t.Errorf("%+v %v", checked, err)
	}
	if list, err := s.ReadFile("example.com/two/@v/list"); err != nil || string(list) != "v1.0.0\nv1.1.0\n" {
		t.Errorf("%q %v", list, err)
	}
	// A delta alone is of no use, and says what it continues.
	_, err = modbundle.OpenSet(at("last"))
	var missing *modbundle.BaseError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), modbundle.Short(s.Bundles[0].ID)) {
		t.Errorf("%v", err)
	}
	if _, err := modbundle.OpenSet(at("delta"), at("last")); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	// It has only what is new.
	for name := range map[string]bool{"example.com/one/@v/v1.0.0.zip": true, "sumdb/" + database + "/lookup/example.com/one@v1.0.0": true} {
		if slices.ContainsFunc(s.Bundles[1].Manifest.Files, func(f modbundle.File) bool { return f.Name == name }) {
			t.Errorf("the delta has %s again", name)
		}
	}
}

// TestVerifyFindsLies rewrites bundles as somebody on the way could.
func TestVerifyFindsLies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, other := module.Version{Path: "example.com/one", Version: "v1.0.0"}, module.Version{Path: "example.com/private", Version: "v1.0.0"}
	w.add(v, "package one")
	w.add(other, "package private")
	name := filepath.Join(t.TempDir(), "a.zip")
	w.bundle(name, &modbundle.Set{}, v)
	verify := func(file string, with modbundle.Verifier) []modbundle.Checked {
		t.Helper()
		list, err := open(t, file).Verify(t.Context(), with, nil)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	ours := modbundle.Verifier{Name: database, Key: w.key}
	if got := verify(name, ours); len(got) != 1 || got[0].Proof != modbundle.ProofDatabase || got[0].Problem != "" {
		t.Errorf("%+v", got)
	}
	if got := verify(name, modbundle.Verifier{Sums: w.sums}); got[0].Proof != modbundle.ProofSum {
		t.Errorf("by go.sum: %+v", got)
	}
	if got := verify(name, modbundle.Verifier{}); got[0].Proof != modbundle.ProofNone || got[0].Problem != "" {
		t.Errorf("by nobody: %+v", got)
	}
	if got := verify(name, modbundle.Verifier{Sums: map[string]string{"example.com/one v1.0.0": "h1:other"}}); !strings.Contains(got[0].Problem, "where go.sum has h1:other") {
		t.Errorf("%+v", got)
	}
	if got := verify(name, modbundle.Verifier{Name: database, Key: newWorld(t).key}); !strings.Contains(got[0].Problem, "checksum database") {
		t.Errorf("another key: %+v", got)
	}
	// The code is changed, and the manifest says so.
	evil := newWorld(t)
	evil.add(v, "package one // evil")
	c := modbundle.Content{
		Keys: []string{"example.com/one/@v/v1.0.0.zip", "example.com/one/@v/v1.0.0.mod"}, Made: map[string][]byte{},
		Modules: []modbundle.Module{{Path: v.Path, Version: v.Version, Zip: evil.sums["example.com/one v1.0.0"], Mod: w.sums["example.com/one v1.0.0/go.mod"]}},
		Open: func(_ context.Context, key string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(evil.files[key])), nil
		},
	}
	good := open(t, name)
	for _, file := range good.Names() {
		if strings.HasPrefix(file, "sumdb/") {
			data, err := good.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c.Made[file] = data
		}
	}
	lie := filepath.Join(t.TempDir(), "lie.zip")
	write(t, lie, c)
	if err := open(t, lie).Check(t.Context(), nil); err != nil {
		t.Errorf("the lie is consistent: %v", err)
	}
	if got := verify(lie, ours); !strings.Contains(got[0].Problem, "where the checksum database has") {
		t.Errorf("%+v", got)
	}
	// Beside the true one it is refused at once.
	if _, err := modbundle.OpenSet(name, lie); err == nil || !strings.Contains(err.Error(), "lie.zip: it has another example.com/one@v1.0.0") {
		t.Errorf("%v", err)
	}
	// The manifest claims another sum than the bytes have.
	c.Modules[0].Zip = w.sums["example.com/one v1.0.0"]
	write(t, lie, c)
	if got := verify(lie, modbundle.Verifier{}); !strings.Contains(got[0].Problem, "where the manifest has") {
		t.Errorf("%+v", got)
	}
	// What unpacks to more than it says.
	c.Open = func(_ context.Context, key string) (io.ReadCloser, error) {
		if strings.HasSuffix(key, ".zip") {
			return io.NopCloser(bytes.NewReader(bomb(t))), nil
		}
		return io.NopCloser(strings.NewReader("module example.com/one\n")), nil
	}
	write(t, lie, c)
	if got := verify(lie, modbundle.Verifier{}); !strings.Contains(got[0].Problem, "unpacks to more") {
		t.Errorf("%+v", got)
	}
}

// bomb is a zip whose directory says that it unpacks to two gigabytes.
func bomb(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.CreateRaw(&zip.FileHeader{Name: "x", Method: zip.Deflate, UncompressedSize64: 2 << 30}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDamageIsNamed turns single bytes of a bundle.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := module.Version{Path: "example.com/one", Version: "v1.0.0"}
	w.add(v, "package one")
	dir := t.TempDir()
	name := filepath.Join(dir, "a.zip")
	w.bundle(name, &modbundle.Set{}, v)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.zip")
	try := func(data []byte) error {
		if err := os.WriteFile(broken, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := modbundle.OpenSet(broken)
		if err != nil {
			return err
		}
		defer s.Close()
		return s.Check(t.Context(), nil)
	}
	if err := try(good); err != nil {
		t.Fatal(err)
	}
	inZip := bytes.Index(good, w.files["example.com/one/@v/v1.0.0.zip"]) + 40
	data := bytes.Clone(good)
	data[inZip] ^= 1
	if err := try(data); err == nil || !strings.Contains(err.Error(), "broken.zip: example.com/one/@v/v1.0.0.zip: damaged") {
		t.Errorf("%v", err)
	}
	for _, n := range []int{0, 10, len(good) / 2, len(good) - 1} {
		var f *modbundle.FileError
		if err := try(good[:n]); !errors.As(err, &f) || f.Name != broken {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	w, tmp := newWorld(t), t.TempDir()
	at := func(name string) string { return filepath.Join(tmp, name) }
	one, two := module.Version{Path: "example.com/one", Version: "v1.0.0"}, module.Version{Path: "example.com/one", Version: "v1.1.0"}
	w.add(one, "package one")
	w.bundle(at("base"), &modbundle.Set{}, one)
	w.add(two, "package one // 1")
	w.bundle(at("delta"), open(t, at("base")), two)
	dir := at("dir")
	unpack := func(names ...string) {
		t.Helper()
		s := open(t, names...)
		if err := s.Unpack(t.Context(), dir, nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range s.Names() {
			want, err := s.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %q %v", name, got, err)
			}
		}
	}
	unpack(at("base"))
	// What was cut off, or has rotted, is written again.
	for _, name := range []string{"example.com/one/@v/v1.0.0.zip", "example.com/one/@v/v1.0.0.mod.keepwell-part"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("PK"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unpack(at("base"), at("delta"))
	if left, _ := filepath.Glob(filepath.Join(dir, "example.com/one/@v/*part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// The proofs of another history do not mix with these.
	w.bundle(at("new"), &modbundle.Set{}, two)
	if err := open(t, at("new")).Unpack(t.Context(), dir, nil); !errors.Is(err, modbundle.ErrMixed) {
		t.Errorf("%v", err)
	}
	// A link that lies there leads nobody out.
	outside := t.TempDir()
	dir = at("linked")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Symlink(outside, filepath.Join(dir, "example.com"))); err != nil {
		t.Fatal(err)
	}
	if err := open(t, at("base")).Unpack(t.Context(), dir, nil); err == nil {
		t.Error("it followed a link")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

// TestWriteClearsWhatWasLeft finds the files of a process that is gone, and of one that
// is not.
func TestWriteClearsWhatWasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{".keepwell-bundle-1", ".keepwell-bundle-1.lock", ".keepwell-bundle-2", ".keepwell-bundle-2.lock"} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	busy := flock.New(at(".keepwell-bundle-2.lock"))
	if err := busy.Lock(); err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	write(t, at("a.zip"), content())
	var names []string
	list, err := os.ReadDir(dir)
	for _, e := range list {
		names = append(names, e.Name())
	}
	if want := []string{".keepwell-bundle-2", ".keepwell-bundle-2.lock", "a.zip"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v %v", names, err)
	}
}

// FuzzOpen holds that whatever opens can be read, proved and unpacked, and writes
// nothing outside of its directory.
func FuzzOpen(f *testing.F) {
	w := newWorld(f)
	v := module.Version{Path: "example.com/one", Version: "v1.0.0"}
	w.add(v, "package one")
	name := filepath.Join(f.TempDir(), "a.zip")
	w.bundle(name, &modbundle.Set{}, v)
	good, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, file := range []string{"../x", "/x", "a/../../x", "sumdb/../x", at + ".mod", "example.com/one/@v/list", "sumdb/x/latest"} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		manifest, err := json.Marshal(modbundle.Manifest{Format: 1, Files: []modbundle.File{{Name: file, Size: 1, SHA256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}})
		if err != nil {
			f.Fatal(err)
		}
		for n, data := range map[string][]byte{file: []byte("x"), modbundle.ManifestName: manifest} {
			e, err := z.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Store})
			if err == nil {
				_, err = e.Write(data)
			}
			if err != nil {
				f.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tmp := t.TempDir()
		file := filepath.Join(tmp, "x.zip")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := modbundle.OpenSet(file)
		if err != nil {
			return
		}
		defer s.Close()
		if err := s.Check(t.Context(), nil); err == nil {
			for _, name := range s.Names() {
				if _, err := s.ReadFile(name); err != nil {
					t.Errorf("%q was checked, but cannot be read: %v", name, err)
				}
			}
		}
		_, _ = s.Verify(t.Context(), modbundle.Verifier{Name: database, Key: w.key}, nil)
		_ = s.Unpack(t.Context(), filepath.Join(tmp, "in"), nil)
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 2 {
			t.Errorf("written outside: %v %v", left, err)
		}
	})
}
