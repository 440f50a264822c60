package route

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/mask"
)

// Command is what go is told to do.
type Command string

// The commands that can be simulated, each for one module outside of a module and
// with an empty module cache.
const (
	// ListModule is `go list -m M@V`, or M@latest where there is no version.
	ListModule Command = "list"
	// Download is `go mod download M@V`.
	Download Command = "download"
	// Versions is `go list -m -versions M`.
	Versions Command = "versions"
	// Has is the one file of Query.Kinds of a canonical version, as go would ask for it
	// where it has all the others. What it says is not looked at: a status of 200 is
	// enough.
	Has Command = "has"
)

// Answer is what a server says to one request. The zero value is a connection that
// ends without an answer.
type Answer struct {
	// Status is the HTTP status; 0 where no answer came.
	Status int
	Body   []byte
	// Location is where a status of 3xx points to.
	Location string
	// Broken says that the body ends before its time.
	Broken bool
	// File holds a zip of Size bytes in place of Body, which may be too large for it.
	File io.ReaderAt
	Size int64
}

// Request is one request that go is about to make.
type Request struct {
	Kind Kind
	// URL has no login; Login is the one that its entry of GOPROXY has, nil where none.
	URL   string
	Login *url.Userinfo
	// Hop and Again are as in [Asked].
	Hop   int
	Again bool
	// Redirected is the URL that was asked for first, where answers led here; nil where
	// none did.
	Redirected *url.URL
	// Insecure says that GOINSECURE takes the certificate as it is.
	Insecure bool
	// Want and Version say what is wanted of a repository ([VCS]): Info, Mod, Zip, List or
	// Latest, where Body is what a proxy would answer; empty where go only tries it.
	Want    Kind
	Version string
}

// Asked is one request that go makes.
type Asked struct {
	Kind Kind   `json:"kind"`
	URL  string `json:"url"`
	// Hop is the place in [Route.Hops]; -1 for the checksum database itself.
	Hop int `json:"hop"`
	// Again says that the same was asked just before: a 4xx over https is repeated.
	Again  bool `json:"again,omitempty"`
	Status int  `json:"status"`
}

// Outcome is what go reports.
type Outcome struct {
	OK bool `json:"ok"`
	// Hop is whose error is reported, as in [Asked]; -1 where no server is to blame.
	Hop int `json:"hop"`
	// NotFound says that it counts as absence.
	NotFound bool `json:"not_found"`
	// Says is the part of go's message that names the cause.
	Says string `json:"says,omitempty"`
}

// Simulation is a run of go.
type Simulation struct {
	Asked   []Asked `json:"asked"`
	Outcome Outcome `json:"outcome"`
}

// failure is an error of the simulated go.
type failure struct {
	says     string
	notFound bool
	hop      int
}

// Simulate tells every request that go makes for q, and what it reports, where
// servers answer as answers says. Tiles of the checksum database, which go fetches at
// the same time, are in the order of their names.
func Simulate(cfg Config, command Command, q Query, answers func(url string) Answer) Simulation {
	return Run(cfg, command, q, func(r Request) Answer { return answers(r.URL) })
}

// Run is [Simulate] for answers that cost something: ask is told all that go knows of
// a request. It is called from several goroutines where the checksum database's tiles
// are fetched.
func Run(cfg Config, command Command, q Query, ask func(Request) Answer) Simulation {
	e := &engine{
		settings: read(cfg), q: q, answers: ask, repos: map[string]*repo{}, pages: map[string]page{},
		info: map[string]string{}, mods: map[string][]byte{}, summaries: map[string]summary{}, hop: -1,
	}
	f := e.run(command)
	if e.fatal != nil {
		f = e.fatal
	}
	e.sortTiles()
	sim := Simulation{Asked: e.asked, Outcome: Outcome{OK: f == nil, Hop: -1}}
	if f != nil {
		sim.Outcome = Outcome{Hop: f.hop, NotFound: f.notFound, Says: mask.Text(f.says)}
	}
	return sim
}

// engine is one process of go.
type engine struct {
	*settings
	q       Query
	answers func(Request) Answer

	mu    sync.Mutex
	asked []Asked
	hop   int      // whose turn it is
	fatal *failure // ends go at once
	// zip is the last one that came as a file.
	zip     io.ReaderAt
	zipSize int64

	repos     map[string]*repo // by the entry's url: asked twice in a list, a proxy remembers
	pages     map[string]page
	info      map[string]string // the module cache: version -> the version it stands for
	mods      map[string][]byte
	summaries map[string]summary
	latest    *latestResult
	sums      sums
}

func (e *engine) fail(says string) *failure { return &failure{says: says, hop: e.hop} }

func (e *engine) absent(says string) *failure {
	return &failure{says: says, hop: e.hop, notFound: true}
}

func (e *engine) run(command Command) *failure {
	switch {
	case len(e.problems) > 0 && e.problems[0].Code == "bad-proxy":
		return &failure{says: "invalid proxy URL", hop: -1}
	case len(e.problems) > 0:
		return &failure{says: "GOPROXY list is not the empty string, but contains no entries", hop: -1}
	}
	if err := module.CheckPath(e.q.Module); err != nil {
		return &failure{says: "malformed module path", hop: -1}
	}
	switch command {
	case Versions:
		return e.listVersions()
	case Has:
		return e.has(e.q.kinds()[0], e.q.Version)
	}
	version, f := e.query(e.q.Version)
	if f != nil {
		return f
	}
	// go list -m looks into go.mod for its go line, and does not mind a failure.
	_, _ = e.summary(version)
	if command == ListModule {
		return nil
	}
	if f := e.cacheMod(version); f != nil {
		return f
	}
	return e.downloadZip(version)
}

// try walks the list as modfetch.TryProxies does.
func (e *engine) try(ask func(entry) *failure) *failure {
	const (
		absentRank = iota
		proxyRank
		directRank
	)
	var best *failure
	rank := absentRank
	before := e.hop
	defer func() { e.hop = before }()
	for i, p := range e.proxies {
		e.hop = i
		f := ask(p)
		if f == nil {
			return nil
		}
		switch {
		case p.kind == ByItem || p.kind == NoProxy && f.says != saysUseProxy:
			best, rank = f, directRank
		case rank <= proxyRank && !f.notFound:
			best, rank = f, proxyRank
		case rank == absentRank:
			best = f
		}
		if p.falls != FallsAny && !f.notFound {
			break
		}
	}
	return best
}

// What go says where a hop is passed over.
const (
	saysOff      = "module lookup disabled by GOPROXY=off"
	saysNoProxy  = "disabled by GOPRIVATE/GONOPROXY"
	saysUseProxy = "path does not match GOPRIVATE/GONOPROXY"
)

// get is one request with all that web.Get makes of it: the repetition of a 4xx,
// redirects, and http in place of https where a page may be insecure.
func (e *engine) get(kind Kind, u *url.URL, insecure bool) (Answer, *failure) {
	if u.Scheme == "file" {
		a := e.ask(Request{Kind: kind}, u)
		return a, nil
	}
	if u.Scheme == "http" && u.User != nil && !insecure {
		return Answer{}, e.fail("refusing to pass credentials to insecure URL: " + u.Redacted())
	}
	a, f := e.follow(Request{Kind: kind, Insecure: insecure}, u)
	if f == nil && u.Scheme == "https" && a.Status >= 400 && a.Status < 500 {
		a, f = e.follow(Request{Kind: kind, Insecure: insecure, Again: true}, u)
	}
	return a, f
}

// page asks for a page whose scheme is open.
func (e *engine) page(u *url.URL, insecure bool) (Answer, *failure) {
	a, f := e.get(Discovery, u, insecure)
	if f != nil && insecure {
		plain := *u
		plain.Scheme = "http"
		return e.get(Discovery, &plain, true)
	}
	return a, f
}

// follow asks and goes after redirects, at most ten; never from https to http.
func (e *engine) follow(r Request, u *url.URL) (Answer, *failure) {
	at, secure := u, u.Scheme == "https" && !r.Insecure
	for range 10 {
		a := e.ask(r, at)
		if a.Status == 0 {
			return a, e.fail("Get " + quoted(at.Redacted()) + ": ")
		}
		if a.Location == "" || !redirects(a.Status) {
			return a, nil
		}
		next, err := at.Parse(a.Location)
		if err != nil {
			return a, e.fail("failed to parse Location header")
		}
		if secure && next.Scheme != "https" {
			return a, e.fail("redirected from secure URL")
		}
		at, r.Redirected = next, u
	}
	return Answer{}, e.fail("stopped after 10 redirects")
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func quoted(s string) string { return `"` + s + `"` }

func (e *engine) ask(r Request, u *url.URL) Answer {
	if e.isFatal() {
		return Answer{}
	}
	r.URL, r.Login, r.Hop = bare(u), u.User, e.hop
	a := e.answers(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.File != nil {
		e.zip, e.zipSize = a.File, a.Size
	}
	e.asked = append(e.asked, Asked{Kind: r.Kind, URL: r.URL, Hop: r.Hop, Again: r.Again, Status: a.Status})
	return a
}

func (e *engine) isFatal() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fatal != nil
}

// body is the content of a good answer.
func (e *engine) body(kind Kind, u *url.URL) ([]byte, *failure) {
	a, f := e.get(kind, u, false)
	switch {
	case f != nil:
		return nil, f
	case a.Status != http.StatusOK:
		return nil, e.statusFailure(u, a)
	case a.Broken:
		return nil, e.fail("unexpected EOF")
	}
	return a.Body, nil
}

func (e *engine) statusFailure(u *url.URL, a Answer) *failure {
	f := e.fail("reading " + u.Redacted() + ": ")
	f.notFound = a.Status == http.StatusNotFound || a.Status == http.StatusGone
	return f
}

func (e *engine) sortTiles() {
	for i := 0; i < len(e.asked); {
		j := i
		for j < len(e.asked) && e.asked[j].Kind == Tile {
			j++
		}
		slices.SortFunc(e.asked[i:j], func(a, b Asked) int { return strings.Compare(a.URL, b.URL) })
		i = max(j, i+1)
	}
}
