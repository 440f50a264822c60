package modproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
)

// permit holds a request to the rules, before anybody is told a name.
func (p *Proxy) permit(ctx context.Context, l *live, a ask) error {
	if l.permitted(a.key) {
		return nil
	}
	if err := p.permitName(l, a); err != nil {
		return err
	}
	if upstreams, _ := l.upstreamsFor(a.module); len(upstreams) == 0 || !canonical(a.version) || a.database != "" {
		return nil
	}
	return p.oldEnough(ctx, l, a, a.version)
}

// permitName is what can be decided without a question to anyone.
func (p *Proxy) permitName(l *live, a ask) error {
	now := time.Now()
	v := l.Policy.DecideModule(a.module, now)
	if v.Allowed && canonical(a.version) {
		v = l.Policy.Decide(a.module, a.version, now)
	}
	if v.Allowed {
		return nil
	}
	return p.forbidden(a.what(), v)
}

func (p *Proxy) forbidden(what string, v modpolicy.Verdict) *Failure {
	f := &Failure{Status: http.StatusForbidden, What: what, Rule: v.Rule}
	reason := v.Reason
	if v.ReasonZH != "" && (p.Lang == msg.ZH || reason == "") {
		reason = v.ReasonZH
	}
	for line := range strings.SplitSeq(reason, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			f.Tried = append(f.Tried, line)
		}
	}
	return f
}

// young is the answer for what is not old enough yet.
func (p *Proxy) young(what string, v modpolicy.Verdict, public time.Time) *Failure {
	f := p.forbidden(what, modpolicy.Verdict{Rule: v.AgeRule})
	if v.AgeRule == v.Rule {
		f = p.forbidden(what, v)
	}
	const form = "2006-01-02 15:04 UTC"
	f.Tried = append(f.Tried, msg.Text(p.Lang, "proxy.young", public.UTC().Format(form),
		modpolicy.ShowAge(v.MinimumAge), public.Add(v.MinimumAge).Add(time.Minute-1).Truncate(time.Minute).UTC().Format(form)))
	return f
}

// screen takes out of an answer what the rules do not allow.
func (p *Proxy) screen(ctx context.Context, l *live, a ask, e modstore.Entry) (modstore.Entry, error) {
	switch {
	case l.free:
	case a.kind == list:
		return p.screenList(ctx, l, a, e)
	case a.kind == latest || a.kind == info && !a.fixed():
		return p.screenQuery(ctx, l, a, e)
	default:
		l.permit(a.key)
	}
	return e, nil
}

// screenQuery judges the version that a server has for latest, or for a branch. In
// place of a latest that may not be had stands the highest of the list that may.
func (p *Proxy) screenQuery(ctx context.Context, l *live, a ask, e modstore.Entry) (modstore.Entry, error) {
	data, err := p.whole(ctx, e)
	if err != nil {
		return e, err
	}
	version, _ := readInfo(data)
	denied := p.permitVersion(ctx, l, a, version)
	var f *Failure
	if denied == nil || a.kind != latest || !errors.As(denied, &f) || f.Status != http.StatusForbidden {
		return e, denied
	}
	all := ask{kind: list, module: a.module, key: strings.TrimSuffix(a.key, "@latest") + "@v/list"}
	versions, err := p.find(ctx, all)
	if err != nil {
		return e, denied
	}
	if data, err = p.whole(ctx, versions); err != nil {
		return e, denied
	}
	best := highest(strings.Fields(string(data)))
	if best == "" {
		return e, denied
	}
	at, err := infoOf(a, best)
	if err != nil {
		return e, denied
	}
	return p.find(ctx, at)
}

// permitVersion judges a version that a server named.
func (p *Proxy) permitVersion(ctx context.Context, l *live, a ask, version string) error {
	if v := l.Policy.Decide(a.module, version, time.Now()); !v.Allowed {
		return p.forbidden(a.module+"@"+version, v)
	}
	return p.oldEnough(ctx, l, a, version)
}

// highest is what go would take of versions: the highest release, or else pre-release.
func highest(versions []string) string {
	best := ""
	for _, v := range versions {
		release, bestRelease := semver.Prerelease(v) == "", best != "" && semver.Prerelease(best) == ""
		if best == "" || release && !bestRelease || release == bestRelease && semver.Compare(v, best) > 0 {
			best = v
		}
	}
	return best
}

// screenList leaves the versions that may be had, so that go takes one of them by
// itself.
func (p *Proxy) screenList(ctx context.Context, l *live, a ask, e modstore.Entry) (modstore.Entry, error) {
	data, err := p.whole(ctx, e)
	if err != nil {
		return e, err
	}
	var versions []string // each is the first word of its line
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 {
			versions = append(versions, f[0])
		}
	}
	now := time.Now()
	aged := false
	demands := make(map[string]modpolicy.Verdict, len(versions))
	for _, v := range versions {
		verdict := l.Policy.Decide(a.module, v, now)
		if verdict.Allowed {
			demands[v] = verdict
			aged = aged || verdict.MinimumAge > 0
		}
	}
	if aged {
		s, err := p.sighted(ctx, a.module, versions, e)
		if err != nil {
			return e, err
		}
		p.dropYoung(ctx, l, a, s, demands, now)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 {
			if _, ok := demands[f[0]]; ok {
				kept.WriteString(strings.TrimSpace(line) + "\n")
			}
		}
	}
	e.Data, e.Sum, e.Size = []byte(kept.String()), "", int64(kept.Len())
	return e, nil
}

// sighted is what is known of when the versions of a list were first seen; versions that
// are new are noted.
func (p *Proxy) sighted(ctx context.Context, path string, versions []string, e modstore.Entry) (sightings, error) {
	if e.Source == "store" && e.Stored.IsZero() { // made up of what is kept: no list of a server
		s, _, err := p.seenOf(ctx, path)
		return s, err
	}
	return p.sight(ctx, path, e.Stored, versions, true)
}

// dropYoung takes from demands what is too young. What is said about a version is asked
// from the highest downwards, and in each line of releases (v1.2) only until one is old
// enough: those below it came before. One that came later all the same is refused when
// it is asked for.
func (p *Proxy) dropYoung(ctx context.Context, l *live, a ask, s sightings, demands map[string]modpolicy.Verdict, now time.Time) {
	lines := map[string][]string{}
	for v, d := range demands {
		first, appeared := s.first(v)
		switch {
		case d.MinimumAge <= 0 || !first.IsZero() && now.Sub(first) >= d.MinimumAge:
		case appeared || l.FirstSeen || first.IsZero():
			delete(demands, v)
		default:
			line := semver.MajorMinor(v)
			if semver.Prerelease(v) != "" {
				line += "-"
			}
			lines[line] = append(lines[line], v)
		}
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	const parallel = 8
	room := make(chan struct{}, parallel)
	for _, line := range lines {
		slices.SortFunc(line, func(a, b string) int { return semver.Compare(b, a) })
		work.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			for _, v := range line {
				at, err := p.claimed(ctx, a, v)
				mu.Lock()
				d := demands[v]
				old := err == nil && !at.IsZero() && now.Sub(at) >= d.MinimumAge
				if !old {
					delete(demands, v)
				}
				mu.Unlock()
				if old {
					return
				}
			}
		})
	}
	work.Wait()
}

// oldEnough holds a version to the age that it must have.
func (p *Proxy) oldEnough(ctx context.Context, l *live, a ask, version string) error {
	now := time.Now()
	v := l.Policy.Decide(a.module, version, now)
	if v.MinimumAge <= 0 {
		return nil
	}
	s, _, err := p.seenOf(ctx, a.module)
	if err != nil {
		return err
	}
	first, appeared := s.first(version)
	if !first.IsZero() && now.Sub(first) >= v.MinimumAge {
		return nil
	}
	claim := time.Time{}
	if first.IsZero() || !appeared && !l.FirstSeen {
		if claim, err = p.claimed(ctx, a, version); err != nil {
			return err // there is none, or nobody can say
		}
	}
	if first.IsZero() {
		if s, err = p.sight(ctx, a.module, now, []string{version}, false); err != nil {
			return err
		}
		first, appeared = s.first(version)
	}
	public := first
	if !appeared && !l.FirstSeen && !claim.IsZero() && claim.Before(first) {
		public = claim
	}
	if now.Sub(public) >= v.MinimumAge {
		return nil
	}
	what := a.what()
	if a.version != version {
		what = a.module + "@" + version
	}
	return p.young(what, v, public)
}

// claimed is the time that a version bears: when its author says it was made.
func (p *Proxy) claimed(ctx context.Context, a ask, version string) (time.Time, error) {
	at, err := infoOf(a, version)
	if err != nil {
		return time.Time{}, err
	}
	e, err := p.seek(ctx, at)
	if err != nil {
		return time.Time{}, err
	}
	data, err := p.whole(ctx, e)
	_, made := readInfo(data)
	return made, err
}

func readInfo(data []byte) (version string, made time.Time) {
	var i struct {
		Version string
		Time    time.Time
	}
	_ = json.Unmarshal(data, &i) // it was admitted
	return i.Version, i.Time
}

// infoOf is the question for a version's .info.
func infoOf(a ask, version string) (ask, error) {
	path, err := module.EscapePath(a.module)
	if err != nil {
		return ask{}, err
	}
	v, err := module.EscapeVersion(version)
	return ask{kind: info, module: a.module, version: version, key: path + "/@v/" + v + ".info"}, err
}

func (p *Proxy) whole(ctx context.Context, e modstore.Entry) ([]byte, error) {
	if e.Data != nil {
		return e.Data, nil
	}
	f, err := p.openFile(ctx, e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := &body{}
	err = copyUpTo(b, f, p.Limits.LargestFile)
	return b.mem.Bytes(), err
}

// sightings are when the versions of one module were first seen. It is the one age that
// nobody outside can choose.
type sightings struct {
	// Since is when the first list of versions came, with Base; seconds of Unix.
	Since int64    `json:"since,omitempty"`
	Base  []string `json:"base,omitempty"`
	// Later are versions that were in no list before, or asked for before any list.
	Later map[string]int64 `json:"later,omitempty"`
}

// first is when a version was first seen, zero where it never was. appeared says that it
// was not there when others were: then it is no older, whatever it claims.
func (s sightings) first(version string) (at time.Time, appeared bool) {
	if unix, ok := s.Later[version]; ok {
		return time.Unix(unix, 0), s.Since != 0 && unix > s.Since && !module.IsPseudoVersion(version)
	}
	if slices.Contains(s.Base, version) {
		return time.Unix(s.Since, 0), false
	}
	return time.Time{}, false
}

// add notes versions, and tells whether any was new.
func (s *sightings) add(at int64, versions []string, all bool) bool {
	fresh := all && s.Since == 0
	if fresh {
		s.Since = at
	}
	known := make(map[string]bool, len(s.Base)+len(s.Later))
	for _, v := range s.Base {
		known[v] = true
	}
	for v := range s.Later {
		known[v] = true
	}
	changed := fresh
	for _, v := range versions {
		switch {
		case known[v]:
			continue
		case fresh:
			s.Base = append(s.Base, v)
		default:
			if s.Later == nil {
				s.Later = map[string]int64{}
			}
			s.Later[v] = at
		}
		known[v], changed = true, true
	}
	return changed
}

// remember notes what a list shows, so that ages are known on the day when rules ask
// for them.
func (p *Proxy) remember(ctx context.Context, a ask, e modstore.Entry) {
	if p.live.Load().Policy == nil {
		return
	}
	data, err := p.whole(ctx, e)
	if err == nil {
		var versions []string
		for line := range strings.Lines(string(data)) {
			versions = append(versions, strings.Fields(line)[0])
		}
		_, err = p.sight(ctx, a.module, e.Stored, versions, true)
	}
	if err != nil {
		p.Log.Warn("cannot note when versions were first seen", "module", a.module, "error", err)
	}
}

func (p *Proxy) seenOf(ctx context.Context, path string) (s sightings, raw string, err error) {
	raw, err = p.Store.Note(ctx, "seen "+path)
	if err == nil && raw != "" {
		if err = json.Unmarshal([]byte(raw), &s); err != nil {
			err = fmt.Errorf("reading when %s was first seen: %w", path, err)
		}
	}
	return s, raw, err
}

// sight notes versions that exist; all: they are all that there are.
func (p *Proxy) sight(ctx context.Context, path string, at time.Time, versions []string, all bool) (sightings, error) {
	for range 8 { // other processes may note, too
		s, raw, err := p.seenOf(ctx, path)
		if err != nil || !s.add(at.Unix(), versions, all) {
			return s, err
		}
		data, err := json.Marshal(s)
		if err != nil {
			return s, err
		}
		if done, err := p.Store.SetNote(ctx, "seen "+path, raw, string(data)); err != nil || done {
			return s, err
		}
	}
	return sightings{}, errors.New("the store is too busy to note what was seen")
}
