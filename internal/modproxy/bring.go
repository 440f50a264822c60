package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Imported is what Import did.
type Imported struct {
	// Files were taken, Had of them were here before.
	Files, Had int
	// Unshared of them could not be handed on to the other replicas.
	Unshared int
	// Refused are files that were not what they should be, with the reason, by name.
	Refused []Refusal
}

// Refusal is why a file was not taken.
type Refusal struct {
	Key    string `json:"file"`
	Reason string `json:"reason"`
}

// found is a file of a directory.
type found struct {
	a  ask
	at string // where it lies below the directory
	h1 string // what the directory itself recorded (.ziphash)
}

// Import takes the files of a directory into the store: a module cache
// ($GOMODCACHE/cache/download, whose layout the directories of goproxy and an unpacked
// bundle have, too), or a disk of Athens (MODULE/VERSION/source.zip). Each is admitted as
// if a server had sent it, and a zip is also held to the .ziphash beside it. Lists are
// left, since they grow old. What is here already stays. told is called for each file; nil:
// nobody is.
func (p *Proxy) Import(ctx context.Context, dir string, told func()) (Imported, error) {
	var done Imported
	dir, err := filepath.Abs(dir)
	if err != nil {
		return done, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return done, fmt.Errorf("importing %s: %w", dir, err)
	}
	defer root.Close() //nolint:errcheck // only read
	const atOnce = 8
	work := make(chan found)
	var workers sync.WaitGroup
	var mu sync.Mutex
	for range atOnce {
		workers.Go(func() {
			for f := range work {
				had, err := p.bring(ctx, root, dir, f)
				mu.Lock()
				if errors.Is(err, errUnshared) {
					done.Unshared++
					err = nil
				}
				switch {
				case err != nil:
					why := strings.Split(strings.TrimSpace(err.Error()), "\n")
					done.Refused = append(done.Refused, Refusal{f.a.key, strings.TrimSpace(why[len(why)-1])})
				case had:
					done.Had++
					done.Files++
				default:
					done.Files++
				}
				mu.Unlock()
				if told != nil {
					told()
				}
			}
		})
	}
	err = walk(ctx, root, func(f found) { work <- f })
	close(work)
	workers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	slices.SortFunc(done.Refused, func(a, b Refusal) int { return strings.Compare(a.Key, b.Key) })
	if err != nil {
		err = fmt.Errorf("importing %s: %w", dir, err)
	}
	return done, err
}

// walk names the files of the protocol.
func walk(ctx context.Context, root *os.Root, f func(found)) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if !d.Type().IsRegular() { // a link may lead anywhere
			return nil
		}
		if a, ok := foundAt(name); ok {
			f(found{a: a, at: name, h1: recorded(root, name)})
		}
		return nil
	})
}

// recorded is the sum that go wrote beside a zip when it came.
func recorded(root *os.Root, name string) string {
	base, ok := strings.CutSuffix(name, ".zip")
	if !ok {
		return ""
	}
	const most = 256
	st, err := root.Stat(base + ".ziphash")
	if err != nil || st.Size() > most {
		return ""
	}
	data, err := root.ReadFile(base + ".ziphash")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// foundAt reads what a file is by its place; ok is false for locks, lists and what else
// lies about.
func foundAt(name string) (a ask, ok bool) {
	if strings.Contains(name, "/@v/") {
		a, err := parse(name)
		return a, err == nil && a.fixed()
	}
	// Athens: MODULE/VERSION/{go.mod,source.zip,VERSION.info}, the names as they are or
	// escaped.
	dir, file := path.Split(name)
	dir, version := path.Split(strings.TrimSuffix(dir, "/"))
	dir = strings.TrimSuffix(dir, "/")
	ext := map[string]string{"go.mod": ".mod", "source.zip": ".zip", version + ".info": ".info"}[file]
	if ext == "" || dir == "" {
		return a, false
	}
	if v, err := module.UnescapeVersion(version); err == nil {
		version = v
	}
	if p, err := module.UnescapePath(dir); err == nil {
		dir = p
	}
	escaped, err := module.EscapePath(dir)
	if err != nil {
		return a, false
	}
	escapedVersion, err := module.EscapeVersion(version)
	if err != nil {
		return a, false
	}
	a, err = parse(escaped + "/@v/" + escapedVersion + ext)
	return a, err == nil && a.fixed()
}

var errUnshared = errors.New("not shared")

// unsharedBy marks what is here although others do not have it.
func unsharedBy(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errUnshared, err)
}

// bring admits one file and keeps it.
func (p *Proxy) bring(ctx context.Context, root *os.Root, dir string, f found) (had bool, err error) {
	shared, others := p.Store.(Shared)
	if _, err := p.Store.Get(ctx, f.a.key); err == nil {
		if others {
			_, err = shared.HandOn(ctx, f.a.key)
		}
		return true, unsharedBy(err)
	}
	if err := p.permitName(p.now(), f.a); err != nil { // the checksum database is not told either
		rule, _, _ := strings.Cut(err.Error(), "\n")
		return false, errors.New(rule)
	}
	file, err := root.Open(f.at)
	if err != nil {
		return false, err
	}
	defer file.Close()
	b, err := p.newBody(f.a)
	if err != nil {
		return false, err
	}
	defer b.discard()
	if err := copyUpTo(b, file, p.most(f.a)); err != nil {
		return false, err
	}
	_, own := p.upstreamsFor(f.a.module)
	c := &admission{p: p, a: f.a, expected: p.expect(ctx, f.a, own), recorded: f.h1}
	u := &Upstream{Name: dir, Base: &url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}}
	g, err := c.admit(ctx, u, b)
	if err == nil {
		e, err := p.keep(ctx, f.a, modstore.Entry{Key: f.a.key, H1: g.h1, Source: g.server, Via: g.via}, g.body)
		if err == nil && others {
			_, err = p.publish(ctx, shared, f.a, c, e)
			err = unsharedBy(err)
		}
		return false, err
	}
	var t *trouble
	if !errors.As(err, &t) && ctx.Err() == nil {
		p.Log.Warn("refused what was imported", "directory", dir, "file", f.a.key, "reason", clean(err.Error()))
		p.setAside(ctx, u, f.a, b, clean(err.Error()))
	}
	return false, err
}
