package trace

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
)

var errNotFile = errors.New("not a regular file")

// file reads from a file:// entry.
func (r *runner) file(q route.Request, u *url.URL) route.Answer {
	rec := Request{Kind: q.Kind, URL: mask.Text(q.URL), Server: "file://", Hop: q.Hop, At: time.Since(r.began)}
	a := r.readFile(q, localName(u), &rec)
	rec.Took = time.Since(r.began) - rec.At
	rec.Spans = []Span{{Body, rec.At, rec.Took}}
	rec.Status = a.Status
	r.keep(q, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, rec)
	return a
}

func (r *runner) readFile(q route.Request, name string, rec *Request) route.Answer {
	// Before it is opened: a pipe would hold the trace up.
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return route.Answer{Status: 404}
	case err == nil && !info.Mode().IsRegular():
		err = errNotFile
	}
	if err != nil {
		rec.Err = mask.Text(err.Error())
		return route.Answer{}
	}
	f, err := os.Open(name)
	if err != nil {
		rec.Err = mask.Text(err.Error())
		return route.Answer{}
	}
	rec.Bytes = info.Size()
	if q.Kind == route.Zip && info.Size() <= largestZip {
		r.takeZip(f, info.Size())
		return route.Answer{Status: 200, File: f, Size: info.Size()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile))
	if err != nil {
		rec.Err = mask.Text(err.Error())
		return route.Answer{}
	}
	return route.Answer{Status: 200, Body: data}
}

func (r *runner) takeZip(f *os.File, size int64) {
	if r.zip != nil {
		_ = r.zip.Close()
	}
	r.zip, r.zipSize = f, size
}

func infoVersion(data []byte) string {
	var info struct{ Version string }
	if json.Unmarshal(data, &info) != nil {
		return ""
	}
	return info.Version
}

func infoTime(data []byte) (string, time.Time) {
	var info struct {
		Version string
		Time    time.Time
	}
	if json.Unmarshal(data, &info) != nil {
		return "", time.Time{}
	}
	return info.Version, info.Time
}

// proof hashes what came and holds it to go.sum; the database's word was checked on
// the way.
func (r *runner) proof(sums map[string]string, ok bool) Proof {
	p := Proof{Size: r.zipSize}
	began := time.Now()
	if r.zip != nil {
		var err error
		if p.Hash, err = hashZip(r.zip, r.zipSize); err != nil {
			p.Damage = r.hide(err.Error())
		}
	}
	if r.mod != nil {
		p.ModHash, _ = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(r.mod)), nil
		})
	}
	p.Took = time.Since(began)
	key := r.Query.Module + " " + r.version
	for _, pair := range [][2]string{{key, p.Hash}, {key + "/go.mod", p.ModHash}} {
		if want := sums[pair[0]]; want != "" && pair[1] != "" {
			p.InSum = true
			if want != pair[1] && p.Wrong == "" {
				p.Wrong = pair[0] + " " + want
			}
		}
	}
	if ok && r.note != nil {
		p.Database, p.Record, p.Tree = readNote(r.note)
		for _, q := range r.seen {
			if q.Kind == route.Tile && q.Status == 200 {
				p.Tiles++
			}
		}
	}
	return p
}

// hashZip is the h1: sum of a module's zip. A zip that unpacks to more than go would
// take has none.
func hashZip(in io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(in, size)
	if err != nil {
		return "", err
	}
	room := uint64(modzip.MaxZipFile)
	files := map[string]*zip.File{}
	var names []string
	for _, f := range z.File {
		if f.UncompressedSize64 > room {
			return "", errLarge
		}
		room -= f.UncompressedSize64
		names, files[f.Name] = append(names, f.Name), f
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
}

// readNote reads the numbers of a lookup's answer: the record's, and the tree's size.
// Its signature was verified by the database's client.
func readNote(data []byte) (name string, record, tree int64) {
	lines := strings.Split(string(data), "\n")
	record, _ = strconv.ParseInt(lines[0], 10, 64)
	for i, line := range lines {
		if strings.HasSuffix(line, " database tree") && i+1 < len(lines) {
			tree, _ = strconv.ParseInt(lines[i+1], 10, 64)
		}
		if rest, ok := strings.CutPrefix(line, "— "); ok && name == "" {
			name, _, _ = strings.Cut(rest, " ")
		}
	}
	return name, record, tree
}

// InCache tells whether the module cache already holds the version, so that go would
// ask nobody.
func InCache(modcache, path, version string) bool {
	p, err1 := module.EscapePath(path)
	v, err2 := module.EscapeVersion(version)
	if modcache == "" || version == "" || err1 != nil || err2 != nil {
		return false
	}
	_, err := os.Stat(filepath.Join(modcache, "cache", "download", filepath.FromSlash(p), "@v", v+".zip"))
	return err == nil
}
