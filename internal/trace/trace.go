// Package trace walks the way of one download for real: the requests that the go
// command would make, in its order and by its rules ([route.Run]), each with the time
// of its phases, and go itself where the way leads to a repository. It keeps the zip in
// a temporary file only, checks it as `go mod verify` would, and writes what it saw as
// a HAR file.
//
// It sends a login only where go would, only to the host and port that it belongs to,
// only over TLS with a checked certificate, and keeps it out of everything that it
// returns. It never speaks to metadata or link-local addresses, and bounds what it
// reads, how long a server may be silent, and how often it is led elsewhere.
//
// What is asked is decided in internal/route, never here. A new phase of a request goes
// into client.go and into harTimings; words are made in internal/cli.
package trace

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
)

// Options of one trace. Zero values mean the machine's.
type Options struct {
	Config route.Config
	Query  route.Query
	// Env are variables to try, NAME=VALUE; they reach go itself where it is run.
	Env []string
	// Silent is how long a server may say nothing (8 s), Dial how long a connection may
	// take (4 s), All how long the whole (10 min).
	Silent, Dial, All time.Duration
	// Progress, if set, is told how much of a zip has come; total is 0 where unknown.
	Progress func(done, total int64)
	// Dir is where temporary files lie; "" is the system's place.
	Dir string
}

// Phase is a part of a request.
type Phase string

// The phases, in their order.
const (
	DNS  Phase = "dns"
	TCP  Phase = "tcp"
	TLS  Phase = "tls"
	Wait Phase = "wait"
	Body Phase = "body"
)

// Span is when a phase began, from the trace's beginning, and how long it took.
type Span struct {
	Phase Phase
	At    time.Duration
	Took  time.Duration
}

// Request is one that was made.
type Request struct {
	Kind route.Kind
	// URL and Location are without logins and without the values of a query.
	URL, Location string
	Server        string
	// Hop, Again and Redirected are as in [route.Request].
	Hop               int
	Again, Redirected bool
	At, Took          time.Duration
	Spans             []Span
	Status            int
	Bytes             int64
	Protocol          string
	Address           string
	// Reused says that the connection was there before.
	Reused bool
	// Login is where the login that was sent is from: "url", "netrc", "git" or "command";
	// empty where none was sent.
	Login string
	// Err is why there was no whole answer; Code is set where keepwell gave up, which go
	// would not have done.
	Err  string
	Code keepwell.Code
	// Said is the server's own text.
	Said string
	// Headers are the harmless ones of the answer.
	Headers [][2]string
}

// Command is one step of the go command and what it ran.
type Command struct {
	// Text is what ran, with short names for directories.
	Text     string
	At, Took time.Duration
	// Depth is 0 for go itself, 1 for what it ran.
	Depth  int
	Failed bool
}

// Proof is what speaks for the content.
type Proof struct {
	// Hash and ModHash are h1: sums of the zip and of go.mod; empty where not fetched.
	Hash, ModHash string
	Size          int64
	// Took is how long hashing took.
	Took time.Duration
	// Database vouched for both; Tree is how many records it had, Record the number of
	// this one, Tiles how many tiles proved it.
	Database string
	Tree     int64
	Record   int64
	Tiles    int
	// InSum says that go.sum holds the sums; Wrong is its line that says otherwise.
	InSum bool
	Wrong string
	// Damage is why the zip cannot be unpacked; empty where it can.
	Damage string
}

// Report is all that was seen.
type Report struct {
	Route    route.Route
	Version  string // what was found; empty where nothing was
	Requests []Request
	Commands []Command
	Outcome  route.Outcome
	Proof    Proof
	// Served is the hop that delivered the zip, else the last that delivered anything; -1.
	Served int
	// Text is what go would have printed for a failure.
	Text string
	// GaveUp is the code of the fault that made keepwell stop where go would wait.
	GaveUp keepwell.Code
	Took   time.Duration
}

func (o Options) withDefaults() Options {
	o.Silent, o.Dial, o.All = cmp.Or(o.Silent, 8*time.Second), cmp.Or(o.Dial, 4*time.Second), cmp.Or(o.All, 10*time.Minute)
	return o
}

// ErrTimeout says that Options.All was over.
var ErrTimeout = errors.New("the whole time allowed is over")

// runner is one trace under way.
type runner struct {
	Options
	began   time.Time
	client  *client
	logins  *logins
	direct  *direct
	spool   string
	mu      sync.Mutex
	seen    []Request
	quiet   map[string]keepwell.Code // hosts that kept silent
	zip     *os.File
	zipSize int64
	mod     []byte
	version string
	note    []byte // the database's answer to the lookup
}

// Run makes the download of o.Query. sums are the lines of go.sum, by "path version".
func Run(ctx context.Context, o Options, sums map[string]string) (Report, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, o.All, ErrTimeout)
	defer cancel()
	r, done, err := newRunner(o)
	if err != nil {
		return Report{}, err
	}
	defer done()
	sim := route.Run(o.Config, route.Download, o.Query, func(q route.Request) route.Answer { return r.answer(ctx, q) })
	rep := Report{Route: route.Plan(o.Config, r.found()), Version: r.version, Requests: r.seen, Commands: r.direct.commands, Outcome: sim.Outcome}
	rep.Served = served(sim)
	rep.Proof = r.proof(sums, sim.Outcome.OK)
	if rep.Proof.Wrong != "" && rep.Outcome.OK {
		rep.Outcome = route.Outcome{Hop: rep.Served, Says: "checksum mismatch"}
	}
	if rep.Proof.Damage != "" && rep.Outcome.OK { // go hashes each zip, whoever vouches for it
		rep.Outcome = route.Outcome{Hop: rep.Served, Says: rep.Proof.Damage}
	}
	if !rep.Outcome.OK {
		rep.Text, rep.GaveUp = r.text(rep)
	}
	rep.Took = time.Since(r.began)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrTimeout) {
		return rep, cause
	}
	return rep, nil
}

// found is the query with the version that was found for it.
func (r *runner) found() route.Query {
	q := r.Query
	q.Version, q.Kinds = cmp.Or(r.version, q.Version), nil
	return q
}

// served is the hop whose zip, or else whatever else, came.
func served(sim route.Simulation) int {
	hop := -1
	for _, a := range sim.Asked {
		if a.Status != 200 || a.Hop < 0 {
			continue
		}
		switch a.Kind {
		case route.Info, route.Mod, route.Zip, route.VCS, route.List, route.Latest:
			hop = a.Hop
		}
	}
	return hop
}

// answer is what a server, a directory or go itself says to one request.
func (r *runner) answer(ctx context.Context, q route.Request) route.Answer {
	if ctx.Err() != nil {
		return route.Answer{}
	}
	if q.Kind == route.VCS {
		return r.direct.answer(ctx, q)
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		return route.Answer{}
	}
	if u.Scheme == "file" {
		return r.file(q, u)
	}
	rec, a := r.get(ctx, q, u)
	r.keep(q, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, rec)
	return a
}

// keep remembers what the proof needs.
func (r *runner) keep(q route.Request, a route.Answer) {
	if a.Status != 200 || a.Broken {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case q.Kind == route.Info || q.Want == route.Info:
		r.version = cmp.Or(infoVersion(a.Body), r.version)
	case q.Kind == route.Mod || q.Want == route.Mod:
		if want := q.Version; want == "" || want == r.version {
			r.mod = a.Body
		}
	case q.Kind == route.Lookup:
		r.note = a.Body
	}
}

// hide takes out what must not be shown: what looks like a secret, and the very ones
// that are in use.
func (r *runner) hide(s string) string { return mask.Text(r.logins.hide(s)) }

// shownURL is u without login and without the values of its query, which may be a
// signature.
func shownURL(u *url.URL) string {
	v := *u
	v.User, v.Fragment, v.RawFragment = nil, "", ""
	if v.RawQuery != "" && v.RawQuery != "go-get=1" {
		var names []string
		for pair := range strings.SplitSeq(v.RawQuery, "&") {
			name, _, _ := strings.Cut(pair, "=")
			names = append(names, name+"="+mask.Secret)
		}
		v.RawQuery = strings.Join(names, "&")
	}
	return mask.Text(v.String())
}
