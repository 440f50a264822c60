package modproxy

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/inflate"
)

// admission holds what upstreams send to what was asked for. Its methods' errors say
// what is wrong with the content; a *trouble says something else.
type admission struct {
	p *Proxy
	a ask
	// expected is what the sum has to be; it is looked up while the file comes.
	expected *expectation
	// recorded is the sum that lies beside an imported zip; "" where none does.
	recorded string
}

func (c *admission) admit(ctx context.Context, u *Upstream, b *body) (got, error) {
	g := got{body: b, server: u.Name}
	var err error
	switch c.a.kind {
	case info, latest:
		err = c.a.checkInfo(b.mem.Bytes())
	case list:
		err = checkList(b)
	case goMod:
		if err = checkMod(b.mem.Bytes()); err == nil {
			g.h1, err = hashMod(b.mem.Bytes())
		}
	case zipped:
		g.h1, err = c.p.checkZip(c.a, b.file.Name())
	}
	if err != nil || g.h1 == "" {
		return g, err
	}
	if c.recorded != "" && c.recorded != g.h1 {
		return g, fmt.Errorf("wrong content: %s, where the .ziphash beside it has %s", g.h1, clean(c.recorded))
	}
	g.via, err = c.vouch(ctx, u, g.h1)
	return g, err
}

// looksLikePage tells the page of a portal or a login.
func looksLikePage(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n\ufeff"), []byte("<"))
}

var errPage = content(KindPage, "a web page in place of the file", "")

func (a ask) checkInfo(data []byte) error {
	var got struct {
		Version string
		Time    time.Time
	}
	if looksLikePage(data) {
		return errPage
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return content(KindEmpty, "an empty answer", "")
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return content(KindInfo, "no valid JSON", err.Error())
	}
	switch {
	case a.fixed() && got.Version != a.version:
		return &badContent{KindInfo, strconv.Quote(got.Version), fmt.Sprintf("it is about version %q", got.Version)}
	case !canonical(got.Version):
		return &badContent{KindInfo, strconv.Quote(got.Version), fmt.Sprintf("version %q is not canonical", got.Version)}
	}
	return module.Check(a.module, got.Version)
}

// checkList leaves the versions. Mirrors add what is none; go passes it over, too.
func checkList(b *body) error {
	data := b.mem.Bytes()
	if looksLikePage(data) {
		return errPage
	}
	var kept bytes.Buffer
	lines := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		lines++
		if !semver.IsValid(f[0]) {
			continue
		}
		kept.WriteString(f[0])
		if len(f) > 1 { // the time of a version, which go knows; all else is nobody's
			if _, err := time.Parse(time.RFC3339, f[1]); err == nil {
				kept.WriteString(" " + f[1])
			}
		}
		kept.WriteByte('\n')
	}
	if lines > 0 && kept.Len() == 0 {
		return content(KindList, "not a list of versions", "")
	}
	b.mem = kept
	return nil
}

func checkMod(data []byte) error {
	if looksLikePage(data) {
		return errPage
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return content(KindMod, "no valid go.mod", err.Error())
	}
	if f.Module == nil {
		return content(KindMod, "no valid go.mod", "the module line is missing")
	}
	return nil
}

func hashMod(data []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

// checkZip reads the directory against go's rules and limits, then every byte: that
// holds each file to its CRC and gives the sum.
func (p *Proxy) checkZip(a ask, name string) (string, error) {
	cf, err := modzip.CheckZip(module.Version{Path: a.module, Version: a.version}, name)
	if err == nil {
		err = cf.Err()
	}
	if err != nil {
		return "", noZip(name, err)
	}
	h1, err := p.hashZip(name)
	if err != nil {
		return "", content(KindZip, "no valid module zip", err.Error())
	}
	return h1, nil
}

// noZip says why a file is no module's zip; a page is what most of them are.
func noZip(name string, err error) error {
	f, openErr := os.Open(name)
	if openErr != nil {
		return openErr
	}
	defer f.Close()
	start := make([]byte, 64)
	n, _ := io.ReadFull(f, start) // a shorter file is one, too
	if looksLikePage(start[:n]) {
		return &badContent{KindPage, "", "no valid module zip: " + errPage.Error()}
	}
	return content(KindZip, "no valid module zip", err.Error())
}

// hashZip is dirhash.HashZip in less time. It runs for every zip that comes. The library
// has the last word on a zip that it does not get through.
func (p *Proxy) hashZip(name string) (string, error) {
	i, ok := p.inflaters.Get().(*inflater)
	if !ok {
		i = &inflater{buf: make([]byte, 64<<10)}
	}
	defer p.inflaters.Put(i)
	h1, err := i.hashZip(name)
	if err != nil {
		return dirhash.HashZip(name, dirhash.Hash1)
	}
	return h1, nil
}

// hashZip has a faster inflater and one buffer for all files. Each file is held to its
// size and its CRC by archive/zip, whoever inflates it.
func (i *inflater) hashZip(name string) (string, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return "", err
	}
	defer z.Close() //nolint:errcheck // only read
	z.RegisterDecompressor(zip.Deflate, i.open)
	names := make([]string, 0, len(z.File))
	files := make(map[string]*zip.File, len(z.File))
	for _, f := range z.File {
		names = append(names, f.Name)
		files[f.Name] = f
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		r, err := files[name].Open()
		return &bufferedFile{r, i.buf}, err
	})
}

// inflater inflates one file after the other: as a whole where it is of usual size, else
// as it is read.
type inflater struct {
	whole inflate.Decoder
	plain bytes.Reader // what whole made
	in    []byte       // what it makes it of
	out   io.ReadCloser
	buf   []byte
}

func (i *inflater) open(r io.Reader) io.ReadCloser {
	const most, mostPlain = 2 << 20, 8 << 20
	if s, ok := r.(*io.SectionReader); ok && s.Size() <= most {
		i.in = slices.Grow(i.in[:0], int(s.Size())+inflate.Ahead)
		i.in = i.in[:cap(i.in)]
		n, _ := io.ReadFull(s, i.in[:s.Size()]) // what is missing is missed when it is inflated
		plain, ok := i.whole.Decode(i.in, n, mostPlain)
		if ok {
			i.plain.Reset(plain)
			return io.NopCloser(&i.plain)
		}
		_, _ = s.Seek(0, io.SeekStart) // a section can
	}
	if again, ok := i.out.(flate.Resetter); ok && again.Reset(r, nil) == nil {
		return i.out
	}
	i.out = flate.NewReader(r)
	return i.out
}

// bufferedFile is read through a buffer that the next file uses too: Hash1 reads one
// after the other.
type bufferedFile struct {
	io.ReadCloser
	buf []byte
}

func (f *bufferedFile) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f.ReadCloser}, f.buf)
}

// Who vouched for a file, in modstore.Entry.Via.
const (
	firstUse    = "first use"
	viaDatabase = "sumdb"
)

// expectation is a sum that is being looked up.
type expectation struct {
	done    chan struct{}
	h1, via string
	err     error
}

// expect looks up the sum that a has to have: in the client's go.sum, in the checksum
// database, in what was seen first.
func (p *Proxy) expect(ctx context.Context, a ask, own bool) *expectation {
	x := &expectation{done: make(chan struct{})}
	key := a.sumKey()
	if h1 := p.Sums[key]; h1 != "" || key == "" {
		x.h1, x.via = h1, "go.sum"
		close(x.done)
		return x
	}
	p.work.Go(func() {
		defer close(x.done)
		if !own && p.database.covers(a.module) {
			_, version, _ := strings.Cut(key, " ")
			at, end := p.span(ctx, "checksum database")
			x.h1, x.err = p.database.sum(at, a.module, version)
			end(x.err)
			var f *Failure
			switch {
			case x.h1 != "":
				x.via = viaDatabase
				return
			case errors.Is(x.err, errForked), ctx.Err() != nil:
				return
			case errors.As(x.err, &f) && f.Status == http.StatusNotFound:
			default:
				p.seen.unverified(p.database.name)
			}
		}
		x.h1, x.err = p.Store.Trusted(ctx, key)
		x.via = firstUse
	})
	return x
}

// vouch compares h1 with what is expected, or pins it where nobody expects anything.
func (c *admission) vouch(ctx context.Context, u *Upstream, h1 string) (string, error) {
	x := c.expected
	select {
	case <-x.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if x.err != nil {
		return "", &trouble{how: broken, said: "nobody can vouch for the content: " + clean(x.err.Error()), why: Why{Kind: KindUnvouched, Detail: x.err.Error()}, err: x.err}
	}
	want := x.h1
	if want == "" {
		var err error
		if want, err = c.p.Store.Trust(ctx, c.a.sumKey(), h1); err != nil {
			return "", unkept(err)
		}
	}
	if want == h1 {
		return x.via, nil
	}
	if x.via == firstUse {
		c.p.seen.alarm(c.a.sumKey(), u.Name)
		c.p.Log.Error("the content of a version changed since it was first seen", "module", c.a.module, "version", c.a.version, "upstream", u.Name)
	}
	return "", &badContent{KindWrong, x.via, fmt.Sprintf("wrong content: %s, where %s has %s", h1, x.via, want)}
}
