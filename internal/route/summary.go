package route

import (
	"slices"
	"strings"
)

// Summary is what equal routes share: everything but the module's own name.
type Summary struct {
	// Hops are the servers that are asked, in order, each with how it falls through.
	Hops []Step `json:"hops"`
	// Private is set where GONOPROXY takes the module past all proxies.
	Private bool `json:"private"`
	// Verified says whether the checksum database is asked; Database names it, Via are
	// the proxies that are asked for it first.
	Verified bool     `json:"verified"`
	Database string   `json:"database,omitempty"`
	Via      []string `json:"via,omitempty"`
	// Why is the code of the rule that decides on the database.
	Why string `json:"why"`
	// Problems are the codes of what stops go before it asks.
	Problems []string `json:"problems,omitempty"`
}

// Step is one server of a summary: host[:port], "direct" or "off".
type Step struct {
	Server string `json:"server"`
	Falls  Falls  `json:"falls"`
}

// Summary returns what r has in common with others.
func (r Route) Summary() Summary {
	s := Summary{
		Hops: []Step{}, Verified: r.Checksum.Used && r.Checksum.Problem == nil, Database: r.Checksum.Name, Why: r.Checksum.Rule.Code,
	}
	for _, h := range r.Hops {
		switch {
		case h.Passed != nil:
			continue
		case h.Kind == NoProxy:
			s.Private = true
		}
		// direct behind noproxy asks the same place again.
		if s.Private && len(s.Hops) > 0 {
			continue
		}
		falls := h.Falls
		if s.Private {
			falls = FallsNever
		}
		s.Hops = append(s.Hops, Step{h.name(), falls})
	}
	for _, v := range r.Checksum.Via {
		s.Via = append(s.Via, v.Server)
	}
	for _, p := range r.Problems {
		s.Problems = append(s.Problems, p.Code)
	}
	if r.Checksum.Problem != nil {
		s.Why = r.Checksum.Problem.Code
	}
	return s
}

// key is equal where summaries are.
func (s Summary) key() string {
	var b strings.Builder
	for _, h := range s.Hops {
		b.WriteString(h.Server + " " + string(h.Falls) + "\n")
	}
	b.WriteString(s.Database + "\n" + s.Why + "\n" + strings.Join(s.Via, " ") + "\n" + strings.Join(s.Problems, " "))
	if s.Private {
		b.WriteString("\nprivate")
	}
	return b.String()
}

// Group are modules that would come the same way.
type Group struct {
	Summary Summary  `json:"route"`
	Modules []string `json:"modules"`
	// Example is the route of the first module.
	Example Route `json:"-"`
}

// Groups puts equal routes together: the largest group first, modules sorted.
func Groups(routes []Route) []Group {
	var groups []Group
	at := map[string]int{}
	for _, r := range routes {
		s := r.Summary()
		i, ok := at[s.key()]
		if !ok {
			i = len(groups)
			at[s.key()] = i
			groups = append(groups, Group{Summary: s, Example: r})
		}
		groups[i].Modules = append(groups[i].Modules, r.Module)
	}
	for _, g := range groups {
		slices.Sort(g.Modules)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return len(b.Modules) - len(a.Modules) })
	return groups
}

// Told is one server and the private looking modules that it would be told.
type Told struct {
	To      string   `json:"to"`
	Role    string   `json:"role"`
	Public  bool     `json:"public"`
	Certain bool     `json:"certain"` // for one of the modules at least
	Modules []string `json:"modules"`
	// Patterns are what GOPRIVATE would have to hold, each once.
	Patterns []string `json:"patterns"`
}

// Leaks gathers the leaks of many routes by server.
func Leaks(routes []Route) []Told {
	var list []Told
	for _, r := range routes {
		for _, l := range r.Leaks {
			i := slices.IndexFunc(list, func(t Told) bool { return t.To == l.To && t.Role == l.Role })
			if i < 0 {
				i = len(list)
				list = append(list, Told{To: l.To, Role: l.Role, Public: l.Public})
			}
			list[i].Certain = list[i].Certain || l.Certain
			list[i].Modules = append(list[i].Modules, r.Module)
			if !slices.Contains(list[i].Patterns, l.Pattern) {
				list[i].Patterns = append(list[i].Patterns, l.Pattern)
			}
		}
	}
	return list
}

// Change are modules whose way changes alike between two configurations.
type Change struct {
	Before  Summary  `json:"before"`
	After   Summary  `json:"after"`
	Modules []string `json:"modules"`
}

// Difference is what a change of settings does to routes.
type Difference struct {
	Changes []Change `json:"changes"`
	// Same counts the modules whose way stays as it was.
	Same int `json:"same"`
	// Closed are leaks that end, Opened leaks that begin.
	Closed []Told `json:"closed"`
	Opened []Told `json:"opened"`
}

// Diff compares the routes of the same modules under two configurations, a before
// and b after; modules that are missing on one side are left out.
func Diff(a, b []Route) Difference {
	d := Difference{Changes: []Change{}, Closed: []Told{}, Opened: []Told{}}
	after := map[string]Route{}
	for _, r := range b {
		after[r.Module] = r
	}
	at := map[string]int{}
	var closed, opened []Route
	for _, old := range a {
		now, ok := after[old.Module]
		if !ok {
			continue
		}
		closed = append(closed, without(old, now))
		opened = append(opened, without(now, old))
		was, is := old.Summary(), now.Summary()
		if was.key() == is.key() {
			d.Same++
			continue
		}
		key := was.key() + "\n=>\n" + is.key()
		i, ok := at[key]
		if !ok {
			i = len(d.Changes)
			at[key] = i
			d.Changes = append(d.Changes, Change{Before: was, After: is})
		}
		d.Changes[i].Modules = append(d.Changes[i].Modules, old.Module)
	}
	d.Closed = append(d.Closed, Leaks(closed)...)
	d.Opened = append(d.Opened, Leaks(opened)...)
	slices.SortStableFunc(d.Changes, func(x, y Change) int { return len(y.Modules) - len(x.Modules) })
	return d
}

// without keeps of r the leaks that other does not have.
func without(r, other Route) Route {
	r.Leaks = slices.DeleteFunc(slices.Clone(r.Leaks), func(l Leak) bool {
		return slices.ContainsFunc(other.Leaks, func(o Leak) bool { return o.To == l.To && o.Role == l.Role })
	})
	return r
}
