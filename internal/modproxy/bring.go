package modproxy

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Imported is what Import did.
type Imported struct {
	Files int
	// Refused are files that were not what they should be, with the reason.
	Refused []string
}

// Import takes the files of a directory with the layout of $GOMODCACHE/cache/download,
// which goproxy's directories have too, into the store. Each is admitted as if a server
// had sent it; lists are left, since they grow old.
func (p *Proxy) Import(ctx context.Context, dir string) (Imported, error) {
	var done Imported
	dir, err := filepath.Abs(dir)
	if err != nil {
		return done, err
	}
	from := []Upstream{{Name: dir, Base: &url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}}}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		a, err := parse(filepath.ToSlash(rel))
		if err != nil || !a.fixed() {
			return nil //nolint:nilerr // locks, lists, go's own state
		}
		if _, err := p.Store.Get(ctx, a.key); err == nil {
			done.Files++
			return nil
		}
		if err := p.permitName(p.now(), a); err != nil { // the checksum database is not told either
			done.Refused = append(done.Refused, a.key+": "+strings.Split(err.Error(), "\n")[0])
			return nil
		}
		_, own := p.upstreamsFor(a.module)
		if _, err := p.fetch(ctx, a, from, own); err != nil {
			why := strings.Split(strings.TrimSpace(err.Error()), "\n")
			done.Refused = append(done.Refused, a.key+": "+why[len(why)-1])
			return nil
		}
		done.Files++
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil && !os.IsNotExist(err) {
		err = fmt.Errorf("importing %s: %w", dir, err)
	}
	return done, err
}
