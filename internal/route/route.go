// Package route tells, without asking anyone, where the go command would get a
// module: which servers in which order, by which rule, what falls through to the
// next, how the checksum is verified, with which credentials, and which private
// looking names would be told to public servers ([Plan]). Given the servers'
// answers, it tells every request that go would make and what it would report in
// the end ([Simulate], or [Run] where real servers answer); a property test holds that
// to the real go command.
//
// The rules are those of cmd/go (modfetch/proxy.go, repo.go, sumdb.go; web/http.go;
// auth; vcs). The package does no I/O, reads no environment and holds no words:
// rules are codes with arguments, which internal/cli puts into sentences.
//
// A new rule of go goes into the file of its part (proxies.go, direct.go,
// checksum.go, access.go), into simulate.go where it changes what is asked, and
// into the generator of real_test.go. What marks a name as private is in leaks.go.
package route

import (
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
)

// Config is everything that decides a route.
type Config struct {
	// Env are go's settings that are in force, and the variables of the HTTP proxy.
	Env goenv.Env
	// InsteadOf are git's url.<base>.insteadOf rules: what begins with the key is
	// fetched from the value.
	InsteadOf map[string]string
	// Netrc are the machines of the netrc file whose lines are complete (go ignores
	// those without a login or a password). Names only: secrets stay where they are.
	Netrc []string
	// Known are go-import tags that were seen before, by the import path asked for.
	Known map[string]Import
	// Main are the paths of the main modules; empty outside of a module.
	Main []string
	// Public are hosts that serve everyone, beside the known mirrors: the caller adds
	// the ones of $GOROOT/go.env.
	Public []string
}

// Kind is a kind of request in the protocol of module proxies.
type Kind string

// The kinds. Lookup and Supported go to the checksum database, Discovery is
// ?go-get=1, VCS is a version control tool's own traffic.
const (
	Info      Kind = "info"
	Mod       Kind = "mod"
	Zip       Kind = "zip"
	List      Kind = "list"
	Latest    Kind = "latest"
	Discovery Kind = "discovery"
	VCS       Kind = "vcs"
	Supported Kind = "supported"
	Lookup    Kind = "lookup"
	Tile      Kind = "tile"
)

// Query is what go is asked for.
type Query struct {
	Module string
	// Version is canonical (v1.2.3) or a branch, tag or commit; empty and "latest" ask for
	// the list and what is newest.
	Version string
	// Kinds are the requests of interest; empty means all that a download makes: info,
	// mod and zip, or list, latest, info and mod where there is no version.
	Kinds []Kind
	// InSum says that go.sum holds both lines of the version: then the checksum
	// database is not asked.
	InSum bool
}

func (q Query) kinds() []Kind {
	switch {
	case len(q.Kinds) > 0:
		return q.Kinds
	case q.Version == "" || q.Version == "latest":
		return []Kind{List, Latest}
	case !semver.IsValid(q.Version) || module.CanonicalVersion(q.Version) != q.Version:
		return []Kind{Info} // names the version of the others
	}
	return []Kind{Info, Mod, Zip}
}

// Rule is why something is so: a code, and the setting behind it.
type Rule struct {
	Code string `json:"code"`
	// Setting is the variable that decides, Origin and File where its value is from.
	Setting string `json:"setting,omitempty"`
	Origin  string `json:"origin,omitempty"`
	File    string `json:"file,omitempty"`
	// From is the variable that Setting takes its default from: GOPRIVATE.
	From string `json:"from,omitempty"`
	// Item is the place in the setting's list, from 1.
	Item int `json:"item,omitempty"`
	// Value is the pattern or item that decides, without credentials.
	Value string `json:"value,omitempty"`
}

// Route is where one module would come from.
type Route struct {
	Module  string `json:"module"`
	Version string `json:"version,omitempty"`
	// Problems are settings or names with which go stops before it asks anyone.
	Problems []Rule `json:"problems"`
	Kinds    []Kind `json:"kinds"`
	// Hops are asked in this order, for each kind of request anew.
	Hops []Hop `json:"hops"`
	// Ignored are entries of GOPROXY behind direct or off, which go never reads.
	Ignored []string `json:"ignored,omitempty"`
	// Reports says whose error go shows where all hops fail: "direct" (that of
	// direct, whatever a proxy said), "proxy" (the last proxy's that is not a plain
	// "not found", else the last "not found") or "off".
	Reports  string   `json:"reports"`
	Checksum Checksum `json:"checksum"`
	Leaks    []Leak   `json:"leaks"`
}

// HopKind is what stands at a place of the list.
type HopKind string

// The kinds of hops. NoProxy stands before GOPROXY wherever GONOPROXY is set.
const (
	Proxy   HopKind = "proxy"
	ByItem  HopKind = "direct"
	Off     HopKind = "off"
	NoProxy HopKind = "noproxy"
)

// Falls says which failures go on to the next hop.
type Falls string

// The ways to fall. Not found is status 404 and 410, a file that is not there, and a
// failed discovery; a bad answer with status 200 is found out too late in a zip.
const (
	FallsNotFound Falls = "not-found"
	FallsAny      Falls = "any"
	FallsNever    Falls = "end" // the list ends here
)

// Hop is one place that go may ask.
type Hop struct {
	Kind HopKind `json:"kind"`
	// Server is host[:port] of a proxy, or the directory of a file:// one.
	Server string `json:"server,omitempty"`
	// Base is the proxy's URL without credentials.
	Base string `json:"base,omitempty"`
	Rule Rule   `json:"rule"`
	// Passed says why the hop is passed over without asking; nil where it is asked.
	Passed *Rule `json:"passed,omitempty"`
	// Asks are the URLs for the kinds of the route.
	Asks  []Ask `json:"asks,omitempty"`
	Falls Falls `json:"falls"`
	// Access is how the server is reached; nil for off and what is passed over.
	Access *Access `json:"access,omitempty"`
	// Direct is set for direct and noproxy hops that are asked.
	Direct *Direct `json:"direct,omitempty"`
}

// Ask is one URL that would be requested.
type Ask struct {
	Kind Kind   `json:"kind"`
	URL  string `json:"url"`
}

// Plan tells the route of q under cfg.
func Plan(cfg Config, q Query) Route {
	s := read(cfg)
	r := Route{
		Module: q.Module, Version: q.Version, Problems: slices.Clone(s.problems), Kinds: q.kinds(),
		Hops: []Hop{}, Leaks: []Leak{}, Ignored: s.ignored,
	}
	if err := module.CheckPath(q.Module); err != nil {
		r.Problems = append(r.Problems, Rule{Code: "bad-path", Value: q.Module})
	}
	private, isPrivate := s.noProxy.match(q.Module)
	for i, e := range s.proxies {
		r.Hops = append(r.Hops, s.hop(q, e, i == len(s.proxies)-1, private, isPrivate))
	}
	if r.Problems == nil {
		r.Problems = []Rule{}
	}
	r.Reports = reports(r.Hops)
	r.Checksum = s.checksum(q)
	r.Leaks = append(r.Leaks, s.leaks(r)...)
	return r
}

func (s *settings) hop(q Query, e entry, last bool, private Rule, isPrivate bool) Hop {
	h := Hop{Kind: e.kind, Rule: e.rule, Falls: e.falls}
	if last {
		h.Falls = FallsNever
	}
	if e.kind == Proxy {
		h.Server, h.Base = mask.Text(server(e.base)), mask.Text(bare(e.base)) // a directory may be below a home
	}
	switch {
	case e.kind == NoProxy && !isPrivate:
		h.Passed = &Rule{Code: "not-private", Setting: "GONOPROXY"}
	case e.kind == NoProxy:
		h.Rule = private
		h.setDirect(s, q)
	case e.kind == ByItem:
		h.setDirect(s, q)
	case isPrivate:
		h.Passed = &private
	case e.kind == Proxy:
		h.Access = s.access(e.base)
		h.Asks = asks(e.url, q)
	}
	return h
}

func (h *Hop) setDirect(s *settings, q Query) {
	d := s.direct(q.Module)
	h.Direct = &d
	switch {
	case d.Discovery != "":
		h.Asks = []Ask{{Discovery, d.Discovery}}
	case d.Repo != "":
		h.Asks = []Ask{{VCS, d.Repo}}
	}
}

// asks are the URLs of q at a proxy; none where the path or version has no URL.
func asks(base string, q Query) []Ask {
	list := make([]Ask, 0, len(q.kinds()))
	for _, k := range q.kinds() {
		file := "@" + string(k)
		switch k {
		case Latest:
		case List:
			file = "@v/list"
		default:
			version, err := module.EscapeVersion(q.Version)
			if err != nil || q.Version == "" {
				continue
			}
			file = "@v/" + version + "." + string(k)
		}
		if u, err := moduleURL(base, q.Module, file); err == nil {
			u.User = nil
			list = append(list, Ask{k, mask.Text(u.String())})
		}
	}
	return list
}

// reports follows the ranks of cmd/go: direct, then a proxy's refusal, then absence.
func reports(hops []Hop) string {
	kind := "off"
	for _, h := range hops {
		switch {
		case h.Direct != nil:
			return "direct"
		case h.Kind == Proxy && h.Passed == nil:
			kind = "proxy"
		}
	}
	return kind
}

// String is the way in one line, such as "goproxy.cn -> direct".
func (r Route) String() string {
	words := make([]string, 0, len(r.Hops))
	for _, h := range r.Hops {
		if h.Passed == nil {
			words = append(words, h.name())
		}
	}
	return strings.Join(words, " -> ")
}

func (h Hop) name() string {
	if h.Kind == Proxy {
		return h.Server
	}
	if h.Kind == NoProxy {
		return string(ByItem)
	}
	return string(h.Kind)
}
