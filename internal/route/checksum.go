package route

import (
	"net/url"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell/internal/mask"
)

// toolchainModule is always verified, whatever GOSUMDB says.
const toolchainModule = "golang.org/toolchain"

// The public checksum database: go knows its key, and a second address of it that
// is reachable from mainland China.
const (
	sumName  = "sum.golang.org"
	sumKey   = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	sumAlias = "sum.golang.google.cn"
)

// Checksum is the way to the checksum database.
type Checksum struct {
	// Used says whether the database is asked; Rule says why or why not.
	Used bool `json:"used"`
	Rule Rule `json:"rule"`
	// Name is the database, whose key signs; Via are the proxies asked for
	// /sumdb/<name>/supported, in order; Direct is where it is asked where none of
	// them has it.
	Name   string   `json:"name,omitempty"`
	Via    []SumVia `json:"via,omitempty"`
	Direct string   `json:"direct,omitempty"`
	// DirectAccess is how Direct is reached.
	DirectAccess *Access `json:"direct_access,omitempty"`
	// Lookup is asked below the base, once for the version's both lines.
	Lookup string `json:"lookup,omitempty"`
	// Problem says why every lookup fails; nil where the setting is good.
	Problem *Rule `json:"problem,omitempty"`
}

// SumVia is one proxy that may answer for the database. Status 200, whatever the
// body, makes it the only way; 404 and 410, or any failure where Falls is any, go on
// to the next; all else makes the database unavailable.
type SumVia struct {
	Server string `json:"server"`
	URL    string `json:"url"`
	Falls  Falls  `json:"falls"`
}

// database is GOSUMDB, read.
type database struct {
	name, key string
	base      *url.URL // explicit, asked instead of proxies; nil where not given
	direct    *url.URL
}

// readDatabase reads GOSUMDB as cmd/go does. The code names what is wrong.
func readDatabase(value string) (db database, code string) {
	if value == sumAlias {
		value = sumName + " https://" + sumAlias
	}
	fields := strings.Fields(value)
	switch {
	case value == "off":
		return db, "sumdb-off"
	case len(fields) == 0:
		return db, "sumdb-missing"
	case len(fields) > 2:
		return db, "sumdb-fields"
	}
	db.key = fields[0]
	if db.key == sumName {
		db.key = sumKey
	}
	verifier, err := note.NewVerifier(db.key)
	if err != nil {
		return db, "sumdb-key"
	}
	db.name = verifier.Name()
	u, err := url.Parse("https://" + db.name)
	if err != nil || strings.HasSuffix(db.name, "/") || u.Host == "" || u.RawPath != "" ||
		*u != (url.URL{Scheme: "https", Host: u.Host, Path: u.Path}) {
		return db, "sumdb-name"
	}
	db.direct = u
	if len(fields) == 2 {
		if db.base, err = url.Parse(fields[1]); err != nil {
			return db, "sumdb-url"
		}
	}
	return db, ""
}

// asksDatabase tells whether a module without a line in go.sum is looked up.
func (s *settings) asksDatabase(modulePath string) (Rule, bool) {
	if modulePath == toolchainModule {
		proxies := s.cfg.Env.Value("GOPROXY")
		if !strings.HasPrefix(proxies, "file://") || strings.ContainsAny(proxies, ",|") {
			return Rule{Code: "toolchain"}, true
		}
	}
	if s.cfg.Env.Value("GOSUMDB") == "off" {
		return s.rule("sumdb-off", "GOSUMDB"), false
	}
	if r, ok := s.noSumDB.match(modulePath); ok {
		return r, false
	}
	return s.rule("sumdb", "GOSUMDB"), true
}

func (s *settings) checksum(q Query) Checksum {
	var c Checksum
	c.Rule, c.Used = s.asksDatabase(q.Module)
	if q.InSum {
		c.Rule, c.Used = Rule{Code: "go.sum"}, false
	}
	if !c.Used {
		return c
	}
	db, code := readDatabase(s.cfg.Env.Value("GOSUMDB"))
	if code != "" {
		r := s.rule(code, "GOSUMDB")
		c.Problem = &r
		return c
	}
	c.Name = db.name
	if path, err := module.EscapePath(q.Module); err == nil && q.Version != "" {
		if version, err := module.EscapeVersion(q.Version); err == nil {
			c.Lookup = "/lookup/" + path + "@" + version
		}
	}
	if db.base != nil {
		c.Direct, c.DirectAccess = mask.Text(bare(db.base)), s.access(db.base)
		c.Rule.Code = "sumdb-url"
		return c
	}
	c.Direct, c.DirectAccess = bare(db.direct), s.access(db.direct)
	for _, e := range s.proxies {
		if e.kind == Proxy {
			c.Via = append(c.Via, SumVia{mask.Text(server(e.base)), mask.Text(bare(below(e.base, "sumdb/"+db.name+"/supported"))), e.falls})
		}
	}
	return c
}
