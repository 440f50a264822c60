package trace

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/scratch"
)

// shownDates is how many of the newest versions are asked for their date, askers how
// many at once.
const (
	shownDates  = 40
	directDates = 8 // each is a fetch
	askers      = 8
)

// Source is one place that was asked which versions it has.
type Source struct {
	// Name is the server, "direct", or a directory.
	Name string
	Hop  route.Hop
	// Passed says that go never asks it for this module.
	Passed   bool
	Versions []string
	// Latest is what the source calls the newest where it has no release.
	Latest string
	// Text is what go would print where it has nothing; Report holds the requests.
	Text   string
	Report Report
	mod    []byte
	times  map[string]time.Time
}

// Found tells whether the source knows the module.
func (s *Source) Found() bool { return len(s.Versions) > 0 || s.Latest != "" }

// VersionLine is one version.
type VersionLine struct {
	Version string
	Time    time.Time // zero where nobody said
	// Sources are the places in Versions.Sources that have it.
	Sources []int
	// Retracted says that the author withdrew it, Why in the author's words.
	Retracted bool
	Why       string
}

// Versions is all that is known of a module's versions, newest first.
type Versions struct {
	Module string
	// Ecosystem is "npm" or "pypi"; empty for modules of Go.
	Ecosystem  string
	Sources    []Source
	Lines      []VersionLine
	Deprecated string
	// Undated are how many more there are than dates were asked for.
	Undated int
}

// FindVersions asks each place that go may ask for the module, all at once. With all it
// asks for every version's date.
func FindVersions(ctx context.Context, o Options, all bool) (Versions, error) {
	plan := route.Plan(o.Config, route.Query{Module: o.Query.Module, Version: "latest"})
	v := Versions{Module: o.Query.Module}
	seen := map[string]bool{}
	for _, h := range plan.Hops {
		s := Source{Name: h.Server, Hop: h, Passed: h.Passed != nil}
		if h.Direct != nil {
			s.Name = string(route.ByItem)
		}
		if h.Kind == route.Off || h.Kind == route.NoProxy && s.Passed || h.Direct != nil && seen[s.Name] {
			continue // direct behind noproxy is the same place
		}
		seen[s.Name] = true
		v.Sources = append(v.Sources, s)
	}
	errs := make([]error, len(v.Sources))
	var wg sync.WaitGroup
	for i := range v.Sources {
		if !v.Sources[i].Passed {
			wg.Go(func() { errs[i] = v.Sources[i].ask(ctx, o) })
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return v, err
	}
	v.join()
	v.judge()
	v.date(ctx, o, all)
	return v, context.Cause(ctx)
}

// alone is the configuration under which go would ask nobody but the hop. What is
// listed is not verified, so that no name goes to the checksum database.
func alone(cfg route.Config, h route.Hop) route.Config {
	value := string(route.ByItem)
	if h.Kind == route.Proxy {
		rest := cfg.Env.Value("GOPROXY")
		for range h.Rule.Item {
			end := strings.IndexAny(rest+",", ",|")
			value, rest = strings.TrimSpace(rest[:end]), rest[min(end+1, len(rest)):]
		}
	}
	env := goenv.Env{}
	for k, set := range cfg.Env {
		env[k] = set
	}
	env["GOPROXY"] = goenv.Setting{Value: value, Origin: goenv.FromOS}
	env["GONOPROXY"] = goenv.Setting{Value: "none", Origin: goenv.FromOS}
	env["GONOSUMDB"] = goenv.Setting{Value: "*", Origin: goenv.FromOS}
	cfg.Env = env
	return cfg
}

// ask lists the versions of one source, and reads the newest one's go.mod.
func (s *Source) ask(ctx context.Context, o Options) error {
	o = o.withDefaults()
	o.Config = alone(o.Config, s.Hop)
	r, done, err := newRunner(o)
	if err != nil {
		return err
	}
	defer done()
	r.direct.listing = true
	s.times = map[string]time.Time{}
	listed := false
	sim := route.Run(o.Config, route.Versions, o.Query, func(q route.Request) route.Answer {
		a := r.answer(ctx, q)
		if a.Status != 200 || a.Broken {
			return a
		}
		switch {
		case q.Kind == route.List || q.Want == route.List:
			s.Versions, listed = readList(a.Body), true
		case q.Kind == route.Mod || q.Want == route.Mod:
			s.mod = a.Body
		case q.Kind == route.Info || q.Want == route.Info || q.Kind == route.Latest || q.Want == route.Latest:
			if version, t := infoTime(a.Body); !t.IsZero() {
				s.times[version] = t
			}
			if q.Kind == route.Latest || q.Want == route.Latest {
				s.Latest = infoVersion(a.Body)
			}
		}
		return a
	})
	if listed && len(s.Versions) == 0 && sim.Outcome.OK { // untagged: go asks for the newest commit
		sim = route.Run(o.Config, route.ListModule, o.Query, func(q route.Request) route.Answer {
			a := r.answer(ctx, q)
			if a.Status == 200 && (q.Kind == route.Latest || q.Want == route.Latest) {
				s.Latest = infoVersion(a.Body)
				_, s.times[s.Latest] = infoTime(a.Body)
			}
			return a
		})
	}
	s.Report = Report{Route: route.Plan(o.Config, o.Query), Requests: r.seen, Commands: r.direct.commands, Outcome: sim.Outcome, Served: served(sim)}
	if !sim.Outcome.OK && !s.Found() {
		s.Text, s.Report.GaveUp = r.text(s.Report)
		s.Report.Text = s.Text
	}
	return nil
}

// mostVersions bounds what a list may hold.
const mostVersions = 50_000

func readList(data []byte) []string {
	var list []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 && semver.IsValid(f[0]) && len(list) < mostVersions {
			list = append(list, f[0])
		}
	}
	return list
}

// join makes one list of all sources', the newest first.
func (v *Versions) join() {
	at := map[string]int{}
	for i := range v.Sources {
		names := v.Sources[i].Versions
		if l := v.Sources[i].Latest; len(names) == 0 && l != "" {
			names = []string{l}
		}
		for _, name := range names {
			k, ok := at[name]
			if !ok {
				k = len(v.Lines)
				at[name] = k
				v.Lines = append(v.Lines, VersionLine{Version: name})
			}
			if line := &v.Lines[k]; !slices.Contains(line.Sources, i) {
				line.Sources = append(line.Sources, i)
			}
			if t, ok := v.Sources[i].times[name]; ok {
				v.Lines[k].Time = t
			}
		}
	}
	slices.SortFunc(v.Lines, func(a, b VersionLine) int {
		if c := semver.Compare(b.Version, a.Version); c != 0 {
			return c
		}
		return strings.Compare(b.Version, a.Version)
	})
}

// judge reads retractions and deprecation from the first source that showed a go.mod,
// as go would.
func (v *Versions) judge() {
	i := slices.IndexFunc(v.Sources, func(s Source) bool { return s.mod != nil })
	if i < 0 {
		return
	}
	f, err := modfile.ParseLax("go.mod", v.Sources[i].mod, nil)
	if err != nil {
		return
	}
	if f.Module != nil {
		v.Deprecated = f.Module.Deprecated
	}
	for k := range v.Lines {
		for _, r := range f.Retract {
			if semver.Compare(r.Low, v.Lines[k].Version) <= 0 && semver.Compare(v.Lines[k].Version, r.High) <= 0 {
				v.Lines[k].Retracted, v.Lines[k].Why = true, r.Rationale
			}
		}
	}
}

// date asks for the dates of the newest versions, each at the first source that has it.
func (v *Versions) date(ctx context.Context, o Options, all bool) {
	most := len(v.Lines)
	if !all {
		most = min(most, shownDates)
	}
	v.Undated = len(v.Lines) - most
	bySource := map[int][]*VersionLine{}
	for k := range v.Lines[:most] {
		if line := &v.Lines[k]; line.Time.IsZero() {
			at := line.Sources[0]
			bySource[at] = append(bySource[at], line)
		}
	}
	var wg sync.WaitGroup
	for at, lines := range bySource {
		wg.Go(func() { v.Sources[at].date(ctx, o, lines, all) })
	}
	wg.Wait()
}

func (s *Source) date(ctx context.Context, o Options, lines []*VersionLine, all bool) {
	o = o.withDefaults()
	o.Config = alone(o.Config, s.Hop)
	r, done, err := newRunner(o)
	if err != nil {
		return
	}
	defer done()
	if s.Hop.Kind != route.Proxy {
		if !all {
			lines = lines[:min(len(lines), directDates)]
		}
		r.direct.dates(ctx, lines)
		return
	}
	queue := make(chan *VersionLine)
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for line := range queue {
				q := o.Query
				q.Version = line.Version
				route.Run(o.Config, route.ListModule, q, func(q route.Request) route.Answer {
					if q.Kind != route.Info {
						return route.Answer{} // no more than the date is wanted
					}
					a := r.answer(ctx, q)
					if a.Status == 200 {
						_, line.Time = infoTime(a.Body)
					}
					return a
				})
			}
		})
	}
	for _, line := range lines {
		queue <- line
	}
	close(queue)
	wg.Wait()
}

// Prefixes are the module paths that may hold a package, the longest first: go asks for
// each of them.
func Prefixes(path string) []string {
	var list []string
	least := 1
	if host, _, _ := strings.Cut(path, "/"); host == "github.com" || host == "bitbucket.org" {
		least = 3
	}
	for strings.Count(path, "/")+1 >= least && path != "" {
		list = append(list, path)
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return list
}

// newRunner makes what a trace needs; done takes it away.
func newRunner(o Options) (r *runner, done func(), err error) {
	spool, err := os.MkdirTemp(o.Dir, "keepwell-trace-")
	if err != nil {
		return nil, nil, err
	}
	r = &runner{Options: o, began: time.Now(), spool: spool, quiet: map[string]keepwell.Code{}}
	r.logins = newLogins(o.Config)
	if r.client, err = newClient(o, r.logins); err != nil {
		scratch.Remove(spool)
		return nil, nil, err
	}
	r.direct = &direct{r: r, results: map[string]directResult{}}
	return r, func() {
		if r.zip != nil {
			_ = r.zip.Close()
		}
		r.client.close()
		scratch.Remove(spool)
	}, nil
}
