package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/route"
)

// database is the checksum database, asked through the upstreams and at its own
// address. What it answers is proved (x/mod/sumdb) before it counts or is kept: a
// record, and every tile that leads to the signed tree, is then kept for ever.
type database struct {
	p        *Proxy
	name     string
	key      string
	verifier note.Verifier
	own      Upstream
	only     bool

	// quick is for admission, which may do without; patient is for clients.
	quick, patient atomic.Pointer[sumdb.Client]

	tree atomic.Pointer[[]byte] // that was signed, the last one

	mu    sync.Mutex
	down  time.Time      // not asked for admission until then
	away  bool           // the log was told that it does not answer
	last  error          // what the last file of it failed with; nil: it came
	lacks map[string]int // upstreams that do not serve it
	why   map[string]error
	fork  string
}

var (
	errDown   = errors.New("the checksum database cannot be reached")
	errForked = errors.New("the checksum database contradicts itself")
)

// newDatabase reads GOSUMDB; nil where there is none.
func newDatabase(p *Proxy, value string) (*database, error) {
	r, ok, err := route.ReadDatabase(value)
	if err != nil || !ok {
		return nil, err
	}
	d := &database{p: p, name: r.Name, key: r.Key, only: r.Only, lacks: map[string]int{}, why: map[string]error{}}
	if d.verifier, err = note.NewVerifier(r.Key); err != nil {
		return nil, err
	}
	// Only the database itself can say that it has no record.
	d.own = Upstream{Name: r.At.Host, Base: r.At, sums: true, Final: true}
	d.quick.Store(d.newClient(p.Limits.Sum))
	const patience = 30 * time.Second
	d.patient.Store(d.newClient(max(patience, p.Limits.Sum)))
	return d, nil
}

// newClient takes the place of one that saw a failure: it would remember that for ever.
func (d *database) newClient(limit time.Duration) *sumdb.Client {
	return sumdb.NewClient(&sumOps{d, limit})
}

// covers tells whether go would ask for the module.
func (d *database) covers(path string) bool {
	return d != nil && (path == "golang.org/toolchain" || !module.MatchPrefixPatterns(d.p.Unlisted, path))
}

// sum is the h1: sum of a version, which may end in /go.mod.
func (d *database) sum(ctx context.Context, path, version string) (string, error) {
	d.mu.Lock()
	resting := time.Now().Before(d.down)
	d.mu.Unlock()
	if resting {
		// What is kept needs nobody, but may: without a line there is no telling.
		if data, err := d.kept(ctx, path, version); err == nil {
			return lineOf(strings.Split(string(data), "\n"), path, version)
		}
		return "", errDown
	}
	lines, err := d.ask(ctx, &d.quick, d.p.Limits.Sum, path, version)
	if err == nil {
		d.back()
		return lineOf(lines, path, version)
	}
	if ctx.Err() != nil { // the client went away: that says nothing of the database
		return "", ctx.Err()
	}
	var f *Failure
	switch {
	case errors.Is(err, errForked), errors.As(err, &f) && f.doubted:
	case f != nil && f.Status == http.StatusNotFound:
		d.back() // that it has no record is an answer, too
	default:
		d.leave(path, err)
	}
	return "", err
}

// leave lets the database alone for a while. The log is told when that begins, whoever
// asked, and when it ends: not for each module.
func (d *database) leave(path string, err error) {
	d.mu.Lock()
	d.down = time.Now().Add(d.p.Limits.Rest)
	told, last := d.away, d.last
	d.away = true
	d.mu.Unlock()
	if told {
		return
	}
	why := "what came of it cannot be proved"
	switch {
	case last != nil && d.only:
		why = "it is out of reach at the address of GOSUMDB"
	case last != nil:
		why = "no upstream passes it on (/sumdb), and the database itself is out of reach"
	}
	d.p.Log.Warn("the checksum database cannot be asked: "+why+"; until it answers, new modules are trusted on first use",
		"database", d.name, "module", path, "error", clean(err.Error()))
}

// back tells that the database answers again. An answer that was under way when another
// failed says nothing of what comes.
func (d *database) back() {
	d.mu.Lock()
	was := d.away && !time.Now().Before(d.down)
	if was {
		d.away = false
	}
	d.mu.Unlock()
	if was {
		d.p.Log.Info("the checksum database answers again", "database", d.name)
	}
}

// kept is a record that was proved before.
func (d *database) kept(ctx context.Context, path, version string) ([]byte, error) {
	p, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	v, err := module.EscapeVersion(strings.TrimSuffix(version, "/go.mod"))
	if err != nil {
		return nil, err
	}
	e, err := d.p.Store.Get(ctx, "sumdb/"+d.name+"/lookup/"+p+"@"+v)
	return e.Data, err
}

func lineOf(lines []string, path, version string) (string, error) {
	for _, line := range lines {
		if h1, ok := strings.CutPrefix(line, path+" "+version+" "); ok {
			return strings.TrimSpace(h1), nil
		}
	}
	return "", errors.New("the checksum database has no line for it")
}

// ask looks a version up; what it waits for does not know of ctx, and ends with the
// proxy.
func (d *database) ask(ctx context.Context, at *atomic.Pointer[sumdb.Client], limit time.Duration, path, version string) ([]string, error) {
	client := at.Load()
	type answer struct {
		lines []string
		err   error
	}
	done := make(chan answer, 1)
	d.p.work.Go(func() {
		lines, err := client.Lookup(path, version)
		done <- answer{lines, err}
	})
	var got answer
	select {
	case got = <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if got.err == nil {
		return got.lines, nil
	}
	at.CompareAndSwap(client, d.newClient(limit))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fork != "" {
		return nil, fmt.Errorf("%w: %s", errForked, clean(d.fork))
	}
	p, _ := module.EscapePath(path)
	v, _ := module.EscapeVersion(strings.TrimSuffix(version, "/go.mod"))
	if why := d.why["/lookup/"+p+"@"+v]; why != nil {
		return nil, why
	}
	return nil, got.err
}

// remote brings a file of the database from whoever has it, checked as far as it can
// be by itself.
func (d *database) remote(ctx context.Context, rest string) ([]byte, error) {
	a, err := parse("sumdb/" + d.name + rest)
	if err != nil {
		return nil, err
	}
	var list []Upstream
	if !d.only {
		everyone, _ := d.p.everyone()
		for _, u := range everyone {
			dir, local := u.local()
			if local && !u.speaksFor(dir, d.name) {
				continue
			}
			d.mu.Lock()
			const often = 2
			lacks := d.lacks[u.Name] >= often
			d.mu.Unlock()
			if !u.isDirect() && !lacks {
				u.Final = false
				list = append(list, u)
			}
		}
	}
	list = append(list, d.own)
	g, err := d.p.race(ctx, a, list, func(_ context.Context, u *Upstream, b *body) (got, error) {
		return got{body: b, server: u.Name}, d.check(a, b.mem.Bytes())
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range list {
		if u.Name == g.server {
			break
		}
		d.lacks[u.Name]++
	}
	return g.body.mem.Bytes(), nil
}

// DatabaseAnswers tells whether the checksum database can be reached within
// Limits.Sum; true where none is asked for.
func (p *Proxy) DatabaseAnswers(ctx context.Context) bool {
	if p.database == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, p.Limits.Sum)
	defer cancel()
	_, err := p.database.remote(ctx, "/latest")
	return err == nil
}

// everyone are the upstreams of modules that no pattern takes.
func (p *Proxy) everyone() ([]Upstream, bool) {
	for _, l := range p.live.Load().Lists {
		if l.Patterns == "" {
			return l.Upstreams, true
		}
	}
	return nil, false
}

// signed holds a tree to the database's key. Most records come with the tree that the one
// before came with, to the last byte: its signature is not looked at again.
func (d *database) signed(tree []byte) error {
	if known := d.tree.Load(); known != nil && bytes.Equal(*known, tree) {
		return nil
	}
	_, err := note.Open(tree, note.VerifierList(d.verifier))
	if err == nil {
		known := bytes.Clone(tree)
		d.tree.Store(&known)
	}
	return err
}

func (d *database) check(a ask, data []byte) error {
	// A tile is raw hashes, which may begin with any byte, "<" too.
	if a.kind != sumTile && looksLikePage(data) {
		return errPage
	}
	switch a.kind {
	case sumLookup:
		_, _, rest, err := tlog.ParseRecord(data)
		if err == nil {
			err = d.signed(rest)
		}
		return err
	case sumLatest:
		return d.signed(data)
	case sumTile:
		t, err := tlog.ParseTilePath(strings.TrimPrefix(a.rest, "/"))
		if err == nil && t.L >= 0 && len(data) != t.W*tlog.HashSize {
			if err = errors.New("a tile of another size"); looksLikePage(data) {
				err = errPage
			}
		}
		return err
	}
	return nil
}

// serve answers for a client: what was proved, or else what can be checked here and
// will be proved by the client.
func (d *database) serve(ctx context.Context, a ask) ([]byte, error) {
	switch a.kind {
	case sumLookup:
		if e, err := d.p.Store.Get(ctx, a.key); err == nil {
			return e.Data, nil
		}
		if wishesOf(ctx).kept {
			return nil, notKept(a.key)
		}
		const patience = 30 * time.Second
		limit := max(patience, d.p.Limits.Sum)
		for again := false; ; again = true {
			client := d.patient.Load()
			if _, err := d.ask(ctx, &d.patient, limit, a.module, a.version); err != nil {
				return nil, err
			}
			e, err := d.p.Store.Get(ctx, a.key)
			if err == nil || again {
				return e.Data, err
			}
			// The store was collected since: a client that knows nothing brings it back.
			d.patient.CompareAndSwap(client, d.newClient(limit))
		}
	case sumTile:
		if _, err := tlog.ParseTilePath(strings.TrimPrefix(a.rest, "/")); err != nil {
			return nil, &Failure{Status: http.StatusNotFound, What: a.key}
		}
		if e, err := d.p.Store.Get(ctx, a.key); err == nil {
			return d.whole(ctx, e)
		}
		if wishesOf(ctx).kept {
			return nil, notKept(a.key)
		}
		return d.remote(ctx, a.rest)
	}
	var data []byte
	err := error(notKept(a.key))
	if !wishesOf(ctx).kept {
		data, err = d.remote(ctx, a.rest)
	}
	if err != nil {
		if known, noteErr := d.p.Store.Note(ctx, d.name+"/latest"); noteErr == nil && known != "" {
			return []byte(known), nil // what was proved last
		}
	}
	return data, err
}

func (d *database) whole(ctx context.Context, e modstore.Entry) ([]byte, error) {
	if e.Data != nil {
		return e.Data, nil
	}
	f, err := d.p.Store.OpenFile(ctx, e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// sumOps is what x/mod/sumdb needs of the world.
type sumOps struct {
	d     *database
	limit time.Duration
}

func (o *sumOps) ReadRemote(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(o.d.p.ctx, o.limit)
	defer cancel()
	data, err := o.d.remote(ctx, path)
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	o.d.last = err
	if err == nil {
		delete(o.d.why, path)
	} else if strings.HasPrefix(path, "/lookup/") {
		const most = 1024
		if len(o.d.why) >= most {
			clear(o.d.why)
		}
		o.d.why[path] = err
	}
	return data, err
}

func (o *sumOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.d.key), nil
	}
	v, err := o.d.p.Store.Note(o.d.p.ctx, file)
	return []byte(v), err
}

func (o *sumOps) WriteConfig(file string, old, now []byte) error {
	ok, err := o.d.p.Store.SetNote(o.d.p.ctx, file, string(old), string(now))
	if err == nil && !ok {
		return sumdb.ErrWriteConflict
	}
	return err
}

func (o *sumOps) ReadCache(file string) ([]byte, error) {
	e, err := o.d.p.Store.Get(o.d.p.ctx, "sumdb/"+file)
	if err != nil {
		return nil, err
	}
	return o.d.whole(o.d.p.ctx, e)
}

func (o *sumOps) WriteCache(file string, data []byte) {
	if _, err := o.d.p.Store.PutData(o.d.p.ctx, modstore.Entry{Key: "sumdb/" + file, Source: o.d.name, Via: "sumdb"}, data); err != nil {
		o.d.p.Log.Warn("cannot keep a file of the checksum database", "file", file, "error", err)
	}
}

func (o *sumOps) Log(string) {}

func (o *sumOps) SecurityError(words string) {
	o.d.mu.Lock()
	o.d.fork = words
	o.d.mu.Unlock()
	o.d.p.Log.Error("the checksum database contradicts itself", "words", clean(words))
}
