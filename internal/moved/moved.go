// Package moved finds out what became of a module or package that cannot be fetched: a
// slip in its spelling, a version that is none, another place, or no place at all. What
// it finds are proposals ([Proposal]) with evidence, best first; who carries them out
// asks a person first.
//
// The flow is spelling, version, registry, migration; each step that is sure spares the
// next. Names come from where they are trusted: go.mod, go.sum, the well-known ones, this
// machine's module cache, and what the author or the host of the code says of itself.
// That a name which is near exists is no reason to propose it: that is what those count
// on who register it.
//
// It never runs a tool, sends no login to a registry, asks nobody about names that look
// private, and makes at most [MaxRequests] requests a name, redirects included.
//
// A new way of being lost goes into the file of its step (registry.go, version.go,
// migration.go; packages.go for npm and PyPI), its words into internal/msg/moved.go, its
// story into internal/faultlab/lost_names.go.
package moved

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// MaxRequests bounds what is asked of servers for one name, redirects included.
const MaxRequests = 8

// Question is a name that cannot be fetched.
type Question struct {
	Ecosystem Ecosystem
	// Path is as it was typed; Version may be empty.
	Path, Version string
	// Declares is what the go.mod of that version calls the module, where the tool has told
	// so; empty where it has not.
	Declares string
}

// Route is where a name may be asked for.
type Route struct {
	// Proxies are module proxies, registries or indexes, in the order of the tool.
	Proxies []*url.URL
	// Code says that the host of the code may be asked.
	Code bool
	// Private is why nobody may be asked; zero where somebody may.
	Private msg.Reason
}

// Options are what the machine knows and allows.
type Options struct {
	// Transport makes one request and follows no redirect: see [NewTransport]. nil: nobody
	// is asked.
	Transport http.RoundTripper
	// Route tells where a name may be asked for; nil: nowhere.
	Route func(path string) Route
	// Here is what the project and this machine know.
	Here Here
	// Tokens are for APIs of forges, by host (api.github.com); each goes to that host only,
	// over TLS.
	Tokens map[string]string
	// All bounds the whole (5 s), Each one answer (3 s).
	All, Each time.Duration
}

// Step is a part of the flow.
type Step string

// The steps, in their order.
const (
	Spelling   Step = "spelling"
	Versions   Step = "version"
	Registered Step = "registry"
	Migration  Step = "migration"
	Outcome    Step = "outcome"
)

// Seen is what one step found, in words.
type Seen struct {
	Step Step
	Said msg.Reason
}

// Request is one that was made.
type Request struct {
	Step Step
	// URL is without logins. Status is 0 where Err says why there is no answer.
	URL    string
	Status int
	Err    string
	Took   time.Duration
}

// Owner is who can do something where the user cannot.
type Owner struct {
	// Name is an account of a forge (github.com/acme), a host or a maintainer of a package;
	// URL a page where to ask, empty where none is known.
	Name, URL string
}

// Report is all that was found out.
type Report struct {
	Question  Question
	Seen      []Seen
	Requests  []Request
	Proposals []Proposal
	// Private is why nobody was asked; zero where somebody was, or might have been.
	Private msg.Reason
	Owner   Owner
	// Known says that the registry has the name; Lost that it has not. Neither: nobody said.
	Known, Lost bool
}

// Find looks for what became of a name. It ends within Options.All.
func Find(ctx context.Context, q Question, o Options) Report {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.All, 5*time.Second))
	defer cancel()
	f := &finder{Options: o, q: q, report: Report{Question: q, Owner: ownerOf(q)}}
	f.Here.index()
	switch q.Ecosystem {
	case Npm, PyPI:
		f.findPackage(ctx)
	default:
		f.findModule(ctx)
	}
	f.report.Proposals = ordered(f.report.Proposals)
	f.conclude()
	return f.report
}

// finder is one search.
type finder struct {
	Options
	q      Question
	report Report
	// path is what was asked without what surrounds it; version likewise.
	path, version string
	guesses       []spelling.Guess
	// told are answers, so that nothing is asked twice.
	told  map[string]listing
	spent int
}

func (f *finder) say(step Step, why msg.Reason) {
	f.report.Seen = append(f.report.Seen, Seen{step, why})
}

func (f *finder) propose(p Proposal) {
	p.Ecosystem = f.q.Ecosystem
	p.From = cmp.Or(p.From, f.q.Path)
	p.FromVersion = f.q.Version
	p.Confidence = max(0.05, min(0.98, p.Confidence))
	f.report.Proposals = append(f.report.Proposals, p)
}

// conclude says in the end what there is to do.
func (f *finder) conclude() {
	if len(f.report.Proposals) == 0 {
		switch {
		case f.report.Known:
			f.say(Outcome, msg.Because("moved.outcome.well"))
		case !f.report.Private.IsZero():
			f.say(Outcome, msg.Because("moved.outcome.private", f.report.Owner.Name))
		case f.report.Lost:
			f.say(Outcome, msg.Because("moved.outcome.unknown", f.report.Owner.Name))
		default:
			f.say(Outcome, msg.Because("moved.outcome.open"))
		}
		return
	}
	switch p := f.report.Proposals[0]; {
	case p.Mend == MarkAbandoned, p.Mend == AskOwner:
		f.say(Outcome, msg.Because("moved.outcome.owner", f.report.Owner.Name))
	case p.Kind == Typo:
		f.say(Outcome, msg.Because("moved.outcome.near"))
	default:
		f.say(Outcome, msg.Because("moved.outcome.ask"))
	}
}
