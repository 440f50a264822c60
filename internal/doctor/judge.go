package doctor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
)

// Judge puts the findings of all checks in order: the root cause first, what it brings
// about folded into it, and what did not cause the failure last, as info.
//
// What the real command said leads: it is what the user sees. A probe or a look at a
// file leads in its place where it names the same trouble more exactly: as a rival of
// that finding, as its cause in the catalogue, or one layer below it on the same host.
// Where the command succeeded, nothing else counts.
func Judge(seen []Outcome) []keepwell.Finding {
	var said, way, beside []keepwell.Finding
	tried, works, hung := false, true, false
	first := "" // the server that go asks first
	for _, o := range seen {
		switch {
		case o.Tried:
			tried = true
			works = works && (o.Works || o.Side)
			hung = hung || o.Hung
			said = append(said, o.Findings...)
		case o.Settles != "":
		case len(o.Layers) > 0:
			way = append(way, o.Findings...)
			first = cmp.Or(first, o.Layers[0].Target.Host)
		default:
			beside = append(beside, o.Findings...)
		}
	}
	if tried && works {
		return ordered(hygiene(append(said, beside...))) // servers that were not needed are nobody's concern
	}
	beside = append(beside, way...)
	said, beside = exact(settled(said, seen), beside, first)
	if len(said) == 0 && (hung || !tried) {
		// Nobody could say it: what was seen on the way is all there is.
		return ordered(foldCauses(merged(beside)))
	}
	// A server without a name is what a broken setting made of one.
	beside = slices.DeleteFunc(beside, func(f keepwell.Finding) bool { return isWay(f.Code) && hostOf(f) == "" && f.Facts["setting"] == "" })
	return ordered(foldCauses(append(merged(said), hygiene(beside)...)))
}

// hygiene makes info of what caused nothing.
func hygiene(list []keepwell.Finding) []keepwell.Finding {
	out := slices.Clone(list)
	for i := range out {
		out[i].Severity = keepwell.SeverityInfo
	}
	return merged(out)
}

// exact lets what was looked at take the place of what the command said, where it names
// the same trouble more exactly, and takes it out of beside. first is the server that go
// asks first.
func exact(said, beside []keepwell.Finding, first string) (_, left []keepwell.Finding) {
	said = slices.Clone(said)
	taken := make([]bool, len(beside))
	for i, s := range said {
		if severity(s) != keepwell.SeverityError {
			continue
		}
		for j, b := range beside {
			if taken[j] || !explains(b, s, first) {
				continue
			}
			taken[j] = true
			said[i] = join(b, said[i])
		}
	}
	for j, b := range beside {
		if !taken[j] {
			left = append(left, b)
		}
	}
	return said, left
}

// settled puts what a further look found in the place of what it settles.
func settled(said []keepwell.Finding, seen []Outcome) []keepwell.Finding {
	said = slices.Clone(said)
	for _, o := range seen {
		i := slices.IndexFunc(said, func(f keepwell.Finding) bool { return f.Code == o.Settles && o.Settles != "" })
		if i >= 0 && len(o.Findings) > 0 {
			said[i] = join(o.Findings[0], said[i])
		}
	}
	return said
}

// explains reports whether b, which was looked at, is what s, which a tool said, is
// about.
func explains(b, s keepwell.Finding, first string) bool {
	switch {
	case severity(b) == keepwell.SeverityInfo:
		return false
	case isWay(b.Code) && (s.Code == "proxy/misconfigured" || s.Code == "sum/misconfigured"):
		return false // no server fails where there is none
	case b.Code == "proxy/bad-response" && s.Code == "sum/go-sum-mismatch":
		return first != "" && strings.EqualFold(hostOf(b), first) // a page in the place of a file has another hash
	}
	if b.Code == s.Code {
		return sameHost(b, s)
	}
	if family, _, _ := strings.Cut(string(b.Code), "/"); family == "version" && b.Facts["module"] != "" && b.Facts["module"] == s.Facts["module"] {
		return true // a version that is none explains whatever anybody says of it
	}
	if b.Code == "module/bad-path" && s.Code == "sum/missing-entry" {
		return true // what cannot be asked for never gets a sum
	}
	if slices.ContainsFunc(s.Rivals, func(r keepwell.Rival) bool { return r.Code == b.Code }) {
		return sameHost(b, s)
	}
	if f, err := faults.Lookup(s.Code); err == nil && slices.Contains(f.DependsOn, b.Code) {
		return sameHost(b, s)
	}
	if s.Code == "net/slow" && (b.Code == "net/http-proxy" || hostOf(b) != "" && strings.EqualFold(hostOf(b), hostOf(s))) {
		return true // a silence says least of all; an HTTP proxy stands before every server
	}
	return isWay(b.Code) && isWay(s.Code) && sameHost(b, s) && hostOf(s) != ""
}

// isWay reports the families of faults on the way to a server.
func isWay(c keepwell.Code) bool {
	family, _, _ := strings.Cut(string(c), "/")
	return family == "net" || family == "tls"
}

// sameHost reports whether two findings are about the same server, as far as they say.
func sameHost(a, b keepwell.Finding) bool {
	x, y := hostOf(a), hostOf(b)
	return x == "" || y == "" || strings.EqualFold(x, y)
}

func hostOf(f keepwell.Finding) string {
	return cmp.Or(f.Facts["host"], f.Facts["proxy"], f.Facts["address"])
}

// join is a with the evidence and the facts of b; the code is a's.
func join(a, b keepwell.Finding) keepwell.Finding {
	out := a
	out.Severity = keepwell.SeverityError
	out.Confidence = max(a.Confidence, b.Confidence)
	out.Evidence = append(slices.Clone(b.Evidence), a.Evidence...)
	out.Tool, out.Count = cmp.Or(b.Tool, a.Tool), max(a.Count, b.Count)
	out.Owner = cmp.Or(a.Owner, ownerOf(a, b))
	out.Facts = keepwell.Facts{}
	order := []keepwell.Facts{b.Facts, a.Facts}
	if a.Code == b.Code { // a probe asks after a module of its own choice: what the tool asked for counts
		slices.Reverse(order)
	}
	for _, facts := range order {
		for k, v := range facts {
			out.Facts[k] = v
		}
	}
	out.Rivals = nil
	for _, r := range a.Rivals {
		if r.Code != b.Code {
			out.Rivals = append(out.Rivals, r)
		}
	}
	return out
}

func ownerOf(a, b keepwell.Finding) keepwell.Owner {
	if a.Code == b.Code {
		return b.Owner
	}
	return ""
}

// merged folds findings of one code about one host and module.
func merged(list []keepwell.Finding) []keepwell.Finding {
	var out []keepwell.Finding
	for _, f := range list {
		i := slices.IndexFunc(out, func(o keepwell.Finding) bool { return sameTrouble(o, f) })
		if i < 0 {
			out = append(out, f)
			continue
		}
		s := out[i].Severity
		out[i] = join(out[i], f)
		out[i].Evidence = proofs(out[i].Evidence)
		out[i].Severity = s
	}
	return out
}

// sameTrouble reports whether two findings are one to their reader. Notes are folded
// only where all that they are about is the same.
func sameTrouble(a, b keepwell.Finding) bool {
	same := func(name string) bool { return a.Facts[name] == b.Facts[name] }
	if a.Code != b.Code || severity(a) != severity(b) || !same("setting") {
		return false
	}
	if severity(b) == keepwell.SeverityInfo {
		return same("module") && same("path") && hostOf(a) == hostOf(b)
	}
	return sameHost(a, b) && (same("module") || a.Facts["module"] == "" || b.Facts["module"] == "")
}

// proofs keeps the first of each: nobody reads more.
func proofs(e []keepwell.Evidence) []keepwell.Evidence {
	var out []keepwell.Evidence
	for _, x := range e {
		if !slices.ContainsFunc(out, func(o keepwell.Evidence) bool { return o.Text == x.Text && o.Source == x.Source }) && len(out) < 6 {
			out = append(out, x)
		}
	}
	return out
}

// foldCauses leaves out what another found fault brings about.
func foldCauses(list []keepwell.Finding) []keepwell.Finding {
	has := func(code keepwell.Code, but int) bool {
		for i, f := range list {
			if i != but && f.Code == code && severity(f) == keepwell.SeverityError {
				return true
			}
		}
		return false
	}
	var out []keepwell.Finding
	for i, f := range list {
		entry, err := faults.Lookup(f.Code)
		if err == nil && severity(f) != keepwell.SeverityInfo && slices.ContainsFunc(entry.DependsOn, func(c keepwell.Code) bool { return has(c, i) }) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func severity(f keepwell.Finding) keepwell.Severity {
	if f.Severity != "" {
		return f.Severity
	}
	if entry, err := faults.Lookup(f.Code); err == nil {
		return entry.Severity
	}
	return keepwell.SeverityError
}

// ordered sorts by severity; equals keep their order.
func ordered(list []keepwell.Finding) []keepwell.Finding {
	out := append([]keepwell.Finding{}, list...)
	for i := range out {
		out[i].Severity = severity(out[i])
	}
	slices.SortStableFunc(out, func(a, b keepwell.Finding) int { return cmp.Compare(a.Severity.Rank(), b.Severity.Rank()) })
	return out
}
