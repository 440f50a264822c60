package modbundle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrAbsent is what a Prover's Get says where there is no such file.
var ErrAbsent = errors.New("there is no such file")

// Prover gathers what go wants of the checksum database.
type Prover struct {
	// Name and Key of the database, as in GOSUMDB.
	Name, Key string
	// Get brings a file of it, by its name in an archive.
	Get func(ctx context.Context, name string) ([]byte, error)
	// Have reads what the bundles have that the new one continues, and Heads are the signed
	// trees of theirs; nil where it continues none.
	Have  func(name string) ([]byte, error)
	Heads [][]byte
}

// record is what the database says of one version.
type record struct {
	name string
	id   int64
	text []byte
}

// Prove brings the records of versions and the tiles that prove them, as files of an
// archive, and those of which the database knows nothing.
//
// Each record comes under the tree that was the newest when it was asked for; go would
// want the proof that these trees continue each other, in the order it meets them. So all
// of them get the newest of these trees, and every order needs the same tiles.
//
// Where older bundles are continued, a machine may have remembered their trees: the tiles
// prove that the newest continues each of them, and prove the older records under it.
func (p Prover) Prove(ctx context.Context, versions []module.Version) (files map[string][]byte, unknown []module.Version, err error) {
	verifier, err := note.NewVerifier(p.Key)
	if err != nil {
		return nil, nil, err
	}
	base := "sumdb/" + p.Name
	var records []record
	var known []module.Version
	head, newest, err := newestOf(p.Heads, verifier)
	if err != nil {
		return nil, nil, fmt.Errorf("the signed tree of an older bundle: %w", err)
	}
	for _, v := range versions {
		at, err := escaped(v, "@")
		if err != nil {
			return nil, nil, err
		}
		r := record{name: base + "/lookup/" + at}
		if p.has(r.name) {
			known = append(known, v)
			continue
		}
		data, err := p.Get(ctx, r.name)
		if errors.Is(err, ErrAbsent) {
			unknown = append(unknown, v)
			continue
		}
		var rest []byte
		if err == nil {
			r.id, r.text, rest, err = tlog.ParseRecord(data)
		}
		var tree tlog.Tree
		if err == nil {
			tree, err = treeOf(rest, verifier)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.name, err)
		}
		if tree.N > newest {
			newest, head = tree.N, slices.Clone(rest)
		}
		records, known = append(records, r), append(known, v)
	}
	files = map[string][]byte{}
	if !p.has(base + "/supported") {
		files[base+"/supported"] = []byte{}
	}
	if len(records) == 0 {
		return files, unknown, nil
	}
	files[base+"/latest"] = head
	for _, r := range records {
		line, err := tlog.FormatRecord(r.id, r.text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.name, err)
		}
		files[r.name] = append(line, head...)
	}
	for _, older := range append([][]byte{nil}, p.Heads...) {
		if err := p.tiles(ctx, known, files, head, older); err != nil {
			return nil, nil, err
		}
	}
	return files, unknown, nil
}

// newestOf is the largest of signed trees; -1 where there is none.
func newestOf(heads [][]byte, verifier note.Verifier) (head []byte, n int64, err error) {
	n = -1
	for _, h := range heads {
		tree, err := treeOf(h, verifier)
		if err != nil {
			return nil, 0, err
		}
		if tree.N > n {
			n, head = tree.N, h
		}
	}
	return head, n, nil
}

func (p Prover) has(name string) bool {
	if p.Have == nil {
		return false
	}
	_, err := p.Have(name)
	return err == nil
}

func treeOf(data []byte, verifier note.Verifier) (tlog.Tree, error) {
	n, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.ParseTree([]byte(n.Text))
}

// tiles lets go's own client read the records, and adds what it asks for to files. The
// client is one that saw the tree older, or none, and then head.
func (p Prover) tiles(ctx context.Context, versions []module.Version, files map[string][]byte, head, older []byte) error {
	reader := &reader{p: p, ctx: ctx, files: files, head: head, latest: older}
	client := sumdb.NewClient(reader)
	for _, v := range versions {
		if _, err := client.Lookup(v.Path, v.Version); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("proving %s@%s: %w", v.Path, v.Version, err)
		}
	}
	return nil
}

// reader is a machine that has never seen the database.
type reader struct {
	p      Prover
	ctx    context.Context //nolint:containedctx // x/mod/sumdb hands none over
	mu     sync.Mutex
	files  map[string][]byte
	latest []byte
	head   []byte // comes with every record; nil: each with its own
}

func (r *reader) ReadRemote(path string) ([]byte, error) {
	name := "sumdb/" + r.p.Name + path
	r.mu.Lock()
	data, ok := r.files[name]
	r.mu.Unlock()
	if ok {
		return data, nil
	}
	if r.p.Have != nil {
		if data, err := r.p.Have(name); err == nil {
			return r.under(path, data)
		}
	}
	if r.p.Get == nil {
		return nil, ErrAbsent
	}
	data, err := r.p.Get(r.ctx, name)
	if err == nil {
		r.mu.Lock()
		r.files[name] = data
		r.mu.Unlock()
	}
	return data, err
}

// under gives an older record the newest tree, so that its tiles are gathered there.
func (r *reader) under(path string, data []byte) ([]byte, error) {
	if r.head == nil || !strings.HasPrefix(path, "/lookup/") {
		return data, nil
	}
	id, text, _, err := tlog.ParseRecord(data)
	if err != nil {
		return nil, err
	}
	line, err := tlog.FormatRecord(id, text)
	return append(line, r.head...), err
}

func (r *reader) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(r.p.Key), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest, nil
}

func (r *reader) WriteConfig(_ string, _, now []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = now
	return nil
}

func (r *reader) ReadCache(string) ([]byte, error) { return nil, ErrAbsent }
func (r *reader) WriteCache(string, []byte)        {}
func (r *reader) Log(string)                       {}
func (r *reader) SecurityError(string)             {} // Lookup fails, too
