package route

import (
	"errors"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb"
)

// sums is the simulated go's way to the checksum database. The client is the one
// that go uses, so that its requests are asked and its proofs checked as go does.
type sums struct {
	opened bool
	client *sumdb.Client
	ops    *sumOps
	f      *failure
}

// verify has the database vouch for the hash of a version (or version/go.mod).
func (e *engine) verify(version string, hash func() (string, error)) *failure {
	if _, used := e.asksDatabase(e.q.Module); !used || e.q.InSum {
		return nil
	}
	h, err := hash()
	if err != nil {
		return e.fail("zip: ")
	}
	blamed := e.hop
	defer func() { e.hop = blamed }()
	if f := e.openSums(); f != nil {
		return f
	}
	e.hop = -1
	lines, err := e.sums.client.Lookup(e.q.Module, version)
	if err != nil {
		if f := e.sums.ops.failed; f != nil {
			return f
		}
		return e.fail("verifying ")
	}
	e.sums.ops.failed = nil // a tile was had in another size
	prefix := e.q.Module + " " + version + " "
	for _, line := range lines {
		if line == prefix+h {
			return nil
		}
		if strings.HasPrefix(line, prefix+"h1:") {
			e.hop = blamed // the database's word stands against the server's
			return e.fail("checksum mismatch")
		}
	}
	return e.fail("checksum missing from sumdb response")
}

// openSums reads GOSUMDB, once.
func (e *engine) openSums() *failure {
	if e.sums.opened {
		return e.sums.f
	}
	e.sums.opened = true
	db, code := readDatabase(e.cfg.Env.Value("GOSUMDB"))
	if code != "" {
		says := "invalid GOSUMDB"
		switch code {
		case "sumdb-off":
			says = "checksum database disabled by GOSUMDB=off"
		case "sumdb-missing":
			says = "missing GOSUMDB"
		case "sumdb-name":
			says = "invalid sumdb name"
		}
		e.sums.f = &failure{says: says, hop: -1}
		return e.sums.f
	}
	e.sums.ops = &sumOps{e: e, db: db, kept: map[string][]byte{}}
	e.sums.client = sumdb.NewClient(e.sums.ops)
	return nil
}

// sumOps are the client's hands.
type sumOps struct {
	e    *engine
	db   database
	once sync.Once
	base *url.URL
	// failed is the first failure of a request; the client's own words are not go's.
	failed *failure

	mu   sync.Mutex
	kept map[string][]byte
}

var (
	errNoAnswer = errors.New("no answer")
	errNotKept  = errors.New("not kept")
)

func (o *sumOps) ReadRemote(path string) ([]byte, error) {
	o.once.Do(o.findBase)
	o.mu.Lock()
	base := o.base
	o.mu.Unlock()
	if base == nil {
		return nil, errNoAnswer
	}
	kind := Lookup
	if strings.HasPrefix(path, "/tile/") {
		kind = Tile
	}
	data, f := o.e.body(kind, below(base, strings.TrimPrefix(path, "/")))
	if f != nil {
		f.notFound = false // go wraps it in words only
		o.mu.Lock()
		if o.failed == nil {
			o.failed = f
		}
		o.mu.Unlock()
		return nil, errNoAnswer
	}
	return data, nil
}

// findBase asks the proxies, in their order, whether they speak for the database.
func (o *sumOps) findBase() {
	if o.db.base != nil {
		o.base = o.db.base
		return
	}
	f := o.e.try(func(p entry) *failure {
		if p.kind != Proxy {
			return o.e.absent(saysUseProxy)
		}
		if _, f := o.e.body(Supported, below(p.base, "sumdb/"+o.db.name+"/supported")); f != nil {
			return f
		}
		o.base = below(p.base, "sumdb/"+o.db.name)
		return nil
	})
	switch {
	case f == nil:
	case f.notFound:
		o.base = o.db.direct
	default:
		o.failed = f
	}
}

func (o *sumOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.db.key), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept["config/"+file], nil
}

func (o *sumOps) WriteConfig(file string, _, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept["config/"+file] = data
	return nil
}

func (o *sumOps) ReadCache(file string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if data, ok := o.kept[file]; ok {
		return data, nil
	}
	return nil, errNotKept
}

func (o *sumOps) WriteCache(file string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept[file] = data
}

func (o *sumOps) Log(string) {}

// SecurityError ends go at once.
func (o *sumOps) SecurityError(string) {
	o.e.mu.Lock()
	defer o.e.mu.Unlock()
	o.e.fatal = &failure{says: "SECURITY ERROR", hop: -1}
}
