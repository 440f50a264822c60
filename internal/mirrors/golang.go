package mirrors

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/keepwell/keepwell/internal/observe"
)

// The public checksum database: go knows its key (cmd/go/internal/modfetch/key.go), and
// a second address of it that is reachable from mainland China.
const (
	SumName  = "sum.golang.org"
	SumAlias = "sum.golang.google.cn"
	sumKey   = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
)

// largestZip bounds what a zip may unpack to while it is hashed.
const largestZip = 64 << 20

func goProtocol() protocol {
	return protocol{
		small: func(ask Ask) (string, func(*answer) bool) {
			return goFile(ask.Path, ask.Version, ".info"), func(a *answer) bool {
				var info struct{ Version string }
				return json.Unmarshal(a.body, &info) == nil && info.Version == ask.Version
			}
		},
		rest: goRest,
		file: func(l *looker) string {
			path, version := l.ask.File()
			return goFile(path, version, ".zip")
		},
		whole: goZip,
		newer: semver.Compare,
	}
}

func goPath(path string) string {
	escaped, err := module.EscapePath(path)
	if err != nil { // the catalogue and --module were held to it
		return "/invalid"
	}
	return "/" + escaped
}

func goFile(path, version, ext string) string {
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		escaped = "invalid"
	}
	return goPath(path) + "/@v/" + escaped + ext
}

func goRest(ctx context.Context, l *looker) {
	var wg sync.WaitGroup
	wg.Go(func() { l.mod(ctx) })
	wg.Go(func() { l.absent(ctx, goPath(l.ask.Absent)+"/@v/list") })
	wg.Go(func() { l.newest(ctx, func(name string) string { return goPath(name) + "/@v/list" }, newestListed) })
	wg.Go(func() {
		c, sums := lookup(ctx, l.c, l.o.SumDB, l.ask)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.m.Sums, l.m.sums = c, sums
	})
	wg.Wait()
}

func (l *looker) mod(ctx context.Context) {
	a, err := l.c.get(ctx, goFile(l.ask.Path, l.ask.Version, ".mod"), largestAnswer)
	switch {
	case err != nil:
		return
	case a.status != http.StatusOK:
		l.worse(a.wrong(".mod"))
		return
	case modfile.ModulePath(a.body) != l.ask.Path:
		l.worse(a.wrong(".mod"))
		return
	}
	sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.body)), nil })
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.m.modSum = sum
	}
}

// newestListed is the newest release of a list, or else the newest of all.
func newestListed(_ string, a *answer) string {
	release, other := "", ""
	for line := range strings.Lines(string(a.body)) {
		v := strings.TrimSpace(line)
		switch {
		case !semver.IsValid(v):
		case semver.Prerelease(v) != "":
			other = newestOf(other, v)
		default:
			release = newestOf(release, v)
		}
	}
	if release != "" {
		return release
	}
	return other
}

func newestOf(a, b string) string {
	if a == "" || semver.Compare(b, a) > 0 {
		return b
	}
	return a
}

// goZip holds a zip to the checksum database.
func goZip(l *looker, data []byte, sums map[string]string) bool {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return false
	}
	if sums["zip"] == "" || l.ask.Chosen() {
		return true
	}
	files, names, left := map[string]*zip.File{}, []string{}, uint64(largestZip)
	for _, f := range z.File {
		if f.UncompressedSize64 > left { // not looked at, so nothing is said of it
			return true
		}
		left -= f.UncompressedSize64
		files[f.Name] = f
		names = append(names, f.Name)
	}
	sum, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		r, err := files[name].Open()
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, int64(files[name].UncompressedSize64)), r}, nil
	})
	return err == nil && sum == sums["zip"]
}

// database reads GOSUMDB as go does: a name that go knows, or a key; and an address
// of its own, which go then asks in the place of proxies.
func database(value string) (name, key, own string) {
	f := strings.Fields(value)
	if len(f) == 0 || f[0] == "off" {
		return "", "", ""
	}
	if len(f) > 1 {
		own = f[1]
	}
	switch f[0] {
	case SumName:
		return SumName, sumKey, own
	case SumAlias: // go asks this address itself where no proxy has the database
		return SumName, sumKey, own
	}
	name, _, _ = strings.Cut(f[0], "+")
	return name, f[0], own
}

// lookup asks the checksum database through a mirror, as go does, and proves the answer
// to be part of the signed tree. sums are its hashes of the zip and of go.mod.
func lookup(ctx context.Context, c *client, value string, ask Ask) (Check, map[string]string) {
	name, key, own := database(value)
	switch {
	case name == "":
		return unknown("mirrors.sums.off"), nil
	case own != "":
		return unknown("mirrors.sums.own"), nil
	}
	a, err := c.get(ctx, "/sumdb/"+name+"/supported", largestAnswer)
	switch {
	case err != nil:
		return why(err), nil
	case absent(a.status):
		return no("mirrors.sums.direct", name), nil
	case a.status == http.StatusUnauthorized:
		return unknown("mirrors.why.login"), nil
	case a.status != http.StatusOK:
		return no("mirrors.sums.stops", strconv.Itoa(a.status)), nil
	}
	return prove(ctx, c, "/sumdb/"+name, key, ask)
}

// Direct asks the public checksum database itself, at its name or its other address.
func Direct(ctx context.Context, host string, ask Ask, o Options) Check {
	o = o.withDefaults()
	if o.Offline {
		return unknown("mirrors.why.offline")
	}
	ctx, cancel := context.WithTimeout(ctx, o.Each)
	defer cancel()
	c := newClient("https://"+host, o)
	defer c.close()
	check, _ := prove(ctx, c, "", sumKey, ask)
	return check
}

func prove(ctx context.Context, c *client, base, key string, ask Ask) (Check, map[string]string) {
	l := &ledger{ctx: ctx, c: c, base: base, key: key}
	db := sumdb.NewClient(l)
	sums := map[string]string{}
	for file, version := range map[string]string{"zip": ask.Version, "mod": ask.Version + "/go.mod"} {
		lines, err := db.Lookup(ask.Path, version)
		if err != nil {
			return l.verdict(), nil
		}
		for _, line := range lines {
			if f := strings.Fields(line); len(f) == 3 && f[1] == version {
				sums[file] = f[2]
			}
		}
	}
	return yes("mirrors.sums.proved"), sums
}

// ledger is a checksum database reached over a client, without memory.
type ledger struct {
	ctx       context.Context // sumdb.ClientOps has no room for it
	c         *client
	base, key string

	mu     sync.Mutex
	failed error // of the way there
	status int   // the last that was not 200
}

var errNotKept = errors.New("nothing is kept")

// ReadRemote implements [sumdb.ClientOps].
func (l *ledger) ReadRemote(path string) ([]byte, error) {
	a, err := l.c.get(l.ctx, l.base+path, largestAnswer)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = err
		return nil, err
	}
	if a.status != http.StatusOK {
		l.status = a.status
		return nil, errors.New(http.StatusText(a.status))
	}
	return a.body, nil
}

// ReadConfig implements [sumdb.ClientOps]: each look begins with an empty tree.
func (l *ledger) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(l.key), nil
	}
	return nil, nil
}

// WriteConfig implements [sumdb.ClientOps].
func (l *ledger) WriteConfig(string, []byte, []byte) error { return nil }

// ReadCache implements [sumdb.ClientOps].
func (l *ledger) ReadCache(string) ([]byte, error) { return nil, errNotKept }

// WriteCache implements [sumdb.ClientOps].
func (l *ledger) WriteCache(string, []byte) {}

// Log implements [sumdb.ClientOps].
func (l *ledger) Log(string) {}

// SecurityError implements [sumdb.ClientOps]: the lookup fails, and verdict tells.
func (l *ledger) SecurityError(string) {}

// verdict says why a lookup failed.
func (l *ledger) verdict() Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		c := why(l.failed)
		c.State = observe.NotChecked
		return c
	case l.status != 0:
		return no("mirrors.sums.stops", strconv.Itoa(l.status))
	}
	return no("mirrors.sums.bad")
}
