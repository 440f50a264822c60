package doctor

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/route"
)

// wantsNetwork reports whether servers are worth a look: something has to be fetched,
// or nothing of a project is here and the machine itself is in question.
func wantsNetwork(c *Case, seen []Outcome) bool {
	if c.wantsNpm() || c.wantsPip() {
		return true
	}
	return wantsFetch(c, seen) || len(c.Asked) == 0 && !c.wantsGo() && len(c.Settings.Gos) > 0
}

// lookNetwork probes the servers on the way, all at once.
func lookNetwork(ctx context.Context, c *Case, seen []Outcome) Outcome {
	var targets []observe.Target
	var names []string
	for _, arg := range c.servers(seen) {
		t, err := observe.Parse(arg, c.Observe)
		if err != nil || slices.Contains(names, t.String()) {
			continue
		}
		targets, names = append(targets, t), append(names, t.String())
	}
	for _, t := range c.registries(ctx) {
		targets, names = append(targets, t), append(names, t.String())
	}
	if len(targets) == 0 {
		return Outcome{State: observe.NotChecked, Key: "doctor.network.none"}
	}
	looked := make([]Looked, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { looked[i] = Looked{Target: t, Results: observe.Look(ctx, t, c.Observe)} })
	}
	wg.Wait()
	o := Outcome{State: observe.Yes, Key: "doctor.network.fine", Args: []string{strings.Join(names, ", ")}, Layers: looked}
	var bad []string
	for i, l := range looked {
		found := observe.Findings(l.Results, func(r observe.Result) string { return names[i] + ": " + c.Say(r.Key, r.Args...) })
		// The probe asks for a module of its own choice; that a proxy lacks it is no fault.
		found = slices.DeleteFunc(found, func(f keepwell.Finding) bool { return f.Code == "proxy/not-found" })
		for _, f := range found {
			if f.Facts == nil {
				f.Facts = keepwell.Facts{}
			}
			f.Tool = toolOf(l.Target)
			if f.Facts["host"] == "" && keepwell.ValidFact("host", l.Target.Host) {
				f.Facts["host"] = l.Target.Host
			}
			o.Findings = append(o.Findings, f)
		}
		if len(found) > 0 {
			bad = append(bad, names[i])
		}
	}
	if len(bad) > 0 {
		o.State, o.Key, o.Args = observe.No, "doctor.network.bad", []string{strings.Join(bad, ", ")}
	}
	return o
}

// toolOf is the tool that asks a server.
func toolOf(t observe.Target) string {
	switch {
	case t.Registry != "":
		return "npm"
	case t.Index != "":
		return "pip"
	}
	return "go"
}

// mostServers bounds how many servers are probed.
const mostServers = 6

// servers are those that go would ask for what is missing, in its order; where nothing
// is in question, those of the settings.
func (c *Case) servers(seen []Outcome) []string {
	var list []string
	add := func(u string) {
		if u != "" && !slices.Contains(list, u) && len(list) < mostServers {
			list = append(list, u)
		}
	}
	for _, q := range c.queries(seen) {
		r := route.Plan(c.Route, q)
		for _, h := range r.Hops {
			if h.Passed != nil {
				continue
			}
			for _, a := range h.Asks {
				if u, err := url.Parse(a.URL); err == nil && u.Host != "" {
					u.Path, u.RawQuery, u.RawPath = "", "", ""
					if h.Kind == route.Proxy && h.Base != "" {
						add(h.Base)
						continue
					}
					add(u.String())
				}
			}
		}
		if r.Checksum.Used && r.Checksum.Problem == nil {
			add(r.Checksum.Direct)
		}
	}
	if len(list) == 0 && !c.wantsNpm() && !c.wantsPip() {
		for _, p := range c.Observe.GoProxies {
			add(p)
		}
	}
	return list
}

// queries are the modules in question, as routes are asked for.
func (c *Case) queries(seen []Outcome) []route.Query {
	var out []route.Query
	for _, s := range c.Asked {
		if s.Ecosystem == Go {
			out = append(out, route.Query{Module: s.Path, Version: s.Version})
		}
	}
	if o := find(seen, "modules"); o != nil && len(c.Asked) == 0 {
		for _, m := range o.Missing[:min(len(o.Missing), most)] {
			if len(m.Path) > longestPath {
				continue
			}
			out = append(out, route.Query{Module: m.Path, Version: m.Version})
		}
	}
	return out
}

// named adds to the root cause which setting leads to the server that it is about: what
// is to be changed is often that, and not the network.
func (c *Case) named(list []keepwell.Finding) []keepwell.Finding {
	if len(list) == 0 || !isWay(list[0].Code) || hostOf(list[0]) == "" {
		return list
	}
	f := &list[0]
	for _, e := range f.Evidence {
		if strings.Contains(e.Text, "GOPROXY=") {
			return list
		}
	}
	for _, entry := range c.Observe.GoProxies {
		if u, err := url.Parse(entry); err == nil && strings.EqualFold(u.Hostname(), hostOf(*f)) && c.shown("GOPROXY") != "" {
			f.Evidence = append(slices.Clone(f.Evidence), keepwell.Evidence{Source: "environment", Text: c.proof("GOPROXY") + c.Say("doctor.named", "GOPROXY")})
			return list
		}
	}
	return list
}
