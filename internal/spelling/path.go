package spelling

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// Source is where a name is known from, the most trusted first.
type Source int

// The sources.
const (
	Required  Source = iota // the project requires it
	Summed                  // the project's go.sum or lock file has it
	WellKnown               // one of the lists here
	Cached                  // the module cache has it: somebody on this machine used it once
	OnlyHost                // the host is well known, what follows is as it was typed
)

// Known is a module path or package and where it is known from.
type Known struct {
	Path string
	From Source
}

// What tells in which way a name differs from the one that is known.
type What string

// The ways.
const (
	Letters What = "letters"
	InCase  What = "case"
	InHost  What = "host"
	NoHost  What = "no-host" // the host was left out
	InMajor What = "major"   // the same name with another major version
	Within  What = "within"  // a package of the known module
)

// Guess is a known name that may be meant.
type Guess struct {
	// Typed is the part of the name in question that stands for Path: all of it, or what
	// precedes a package's directory.
	Typed, Path string
	From        Source
	What        What
	// Cost is how far Typed is from Path: see [Slip].
	Cost float64
}

// Clean takes away what a browser or git puts around a module path: a scheme, www.,
// .git, a branch, a slash at the end, blanks.
func Clean(typed string) string {
	s := strings.TrimSpace(typed)
	for _, scheme := range []string{"https://", "http://", "git://", "ssh://", "git+https://", "git+ssh://", "https:/", "http:/"} {
		s = strings.TrimPrefix(s, scheme)
	}
	if rest, ok := strings.CutPrefix(s, "git@"); ok {
		s = strings.Replace(rest, ":", "/", 1)
	}
	s = strings.TrimPrefix(s, "www.")
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	for _, sep := range []string{"/-/", "/tree/", "/blob/", "/releases/", "/src/branch/"} {
		if at := strings.Index(s, sep); at > 0 {
			s = s[:at]
		}
	}
	s = strings.ReplaceAll(s, "\\", "/")
	s = strings.TrimRight(s, "/")
	host, rest, ok := strings.Cut(s, "/")
	if !ok {
		return s
	}
	if host = strings.ToLower(host); slices.Contains(Hosts(), host) { // elsewhere .git names the repository
		rest = strings.TrimSuffix(rest, ".git")
	}
	return host + "/" + rest
}

// splitMajor is a path without its major suffix, and the suffix: "/v2", ".v3" or "".
func splitMajor(path string) (base, major string) {
	if b, m, ok := module.SplitPathVersion(path); ok {
		return b, m
	}
	for _, bad := range []string{"/v0", "/v1"} { // which no module has
		if b, ok := strings.CutSuffix(path, bad); ok {
			return b, bad
		}
	}
	return path, ""
}

// number is the number in a major suffix; 1 without one.
func number(major string) int {
	n, err := strconv.Atoi(strings.TrimLeft(major, "/.v"))
	if err != nil {
		return 1
	}
	return n
}

// Base is a module path without its major suffix.
func Base(path string) string { base, _ := splitMajor(path); return base }

// mostGuesses bounds what is returned.
const mostGuesses = 6

// Paths are the known module paths that may be meant by path, nearest first. A path that
// is known itself has none.
func Paths(path string, known []Known) []Guess {
	var out []Guess
	base, major := splitMajor(path)
	add := func(g Guess) {
		if i := slices.IndexFunc(out, func(o Guess) bool { return o.Path == g.Path }); i >= 0 {
			out[i].From = min(out[i].From, g.From)
			return
		}
		out = append(out, g)
	}
	all := slices.Clone(known)
	for _, m := range Modules() {
		all = append(all, Known{m, WellKnown})
	}
	if slices.ContainsFunc(known, func(k Known) bool { return k.Path == path && k.From != Cached }) || slices.Contains(Modules(), base) && major == "" {
		return nil
	}
	for _, k := range all {
		if k.Path == path {
			continue
		}
		if g, ok := compare(path, base, major, k); ok {
			add(g)
		}
	}
	if g, ok := hostOnly(path); ok {
		add(g)
	}
	if rest, ok := strings.CutPrefix(path, "github.com/golang/x/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		add(Guess{Typed: "github.com/golang/x/" + name, Path: "golang.org/x/" + name, From: OnlyHost, What: InHost, Cost: letter})
	}
	for i := range out { // what differs from something trusted by a hair is not to be trusted for being near
		out[i].Cost += squats(out[i], all)
	}
	slices.SortStableFunc(out, func(a, b Guess) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(a.From, b.From), strings.Compare(a.Path, b.Path))
	})
	return out[:min(len(out), mostGuesses)]
}

// Squats reports whether a name that this machine has only met is nearly one that the
// project requires or that is well known.
func Squats(path string, known []Known) bool {
	all := slices.Clone(known)
	for _, m := range Modules() {
		all = append(all, Known{m, WellKnown})
	}
	return squats(Guess{Path: path, From: Cached}, all) > 0
}

func squats(g Guess, all []Known) float64 {
	if g.From != Cached {
		return 0
	}
	for _, k := range all {
		if k.From >= Cached || Base(k.Path) == Base(g.Path) {
			continue
		}
		if o, ok := compare(g.Path, Base(g.Path), "", k); ok && (o.What == Letters || o.What == InHost) {
			return 1
		}
	}
	return 0
}

// compare reads path for k.
func compare(path, base, major string, k Known) (Guess, bool) {
	g := Guess{Typed: path, Path: k.Path, From: k.From}
	kbase, kmajor := splitMajor(k.Path)
	switch {
	case base == kbase:
		if k.From == WellKnown && major == "" {
			return g, false
		}
		g.What, g.Cost = InMajor, separator+0.02*float64(max(number(major)-number(kmajor), number(kmajor)-number(major)))
		return g, major != kmajor
	case strings.HasPrefix(path, k.Path+"/"):
		g.What = Within
		return g, true
	case strings.EqualFold(base, kbase):
		g.What, g.Cost = InCase, otherCase
		g.Path = k.Path
		if kmajor == "" && strings.HasPrefix(major, "/v") && major > "/v1" {
			g.Path += major
		}
		return g, true
	}
	a, b := strings.Split(base, "/"), strings.Split(kbase, "/")
	if len(b) == len(a)+1 && !strings.Contains(a[0], ".") && slices.Equal(a, b[1:]) && len(a) > 1 {
		g.What, g.Cost = NoHost, slip
		g.Path = withMajor(k.Path, kmajor, major)
		return g, true
	}
	if len(a) < len(b) || len(b) < 2 {
		return g, false
	}
	differ := 0
	for i := range b {
		if a[i] == b[i] {
			continue
		}
		differ++
		cost, ok := Near(a[i], b[i])
		if i == 0 {
			cost, ok = nearHost(a[0], b[0], slices.Equal(a[1:len(b)], b[1:]))
			g.What = InHost
		}
		if !ok {
			return g, false
		}
		g.Cost += cost
	}
	if differ == 0 || differ > 2 || g.Cost > 2 {
		return g, false
	}
	if g.What == "" {
		g.What = Letters
	}
	g.Typed = strings.Join(a[:len(b)], "/")
	if len(a) == len(b) {
		g.Typed = path
		g.Path = withMajor(k.Path, kmajor, major)
	}
	return g, true
}

// withMajor keeps the major version that was typed where the known path names none.
func withMajor(path, kmajor, major string) string {
	if kmajor == "" && strings.HasPrefix(major, "/v") && major > "/v1" {
		return path + major
	}
	return path
}

// nearHost tells whether a is a slip for the host b. Two hosts that exist are confused
// only where all that follows is the same.
func nearHost(a, b string, same bool) (float64, bool) {
	if slices.Contains(Hosts(), a) {
		return letter, same
	}
	first, _, _ := strings.Cut(a, ".")
	second, _, _ := strings.Cut(b, ".")
	if strings.Count(a, ".") == 1 && strings.Count(b, ".") == 1 && first == second && len(first) > 4 {
		return letter, true // github.org
	}
	if strings.TrimSuffix(a, ".com") == strings.TrimSuffix(strings.TrimSuffix(b, ".org"), ".com") && strings.Count(a, ".") == strings.Count(b, ".") && strings.Count(a, ".") > 1 {
		return letter, true // go.uber.com
	}
	cost, ok := Near(a, b)
	if strings.ReplaceAll(a, ".", "") == strings.ReplaceAll(b, ".", "") {
		return separator, true // githubcom
	}
	return cost, ok
}

// hostOnly corrects the host of a path of which nothing else is known.
func hostOnly(path string) (Guess, bool) {
	host, rest, ok := strings.Cut(path, "/")
	if !ok || slices.Contains(Hosts(), host) || len(host) < 6 || strings.Count(rest, "/") < 1 {
		return Guess{}, false
	}
	best := Guess{Typed: path, From: OnlyHost, What: InHost, Cost: 9}
	for _, h := range Hosts() {
		if len(h) < 8 { // the short ones are near too much
			continue
		}
		if cost, near := nearHost(host, h, false); near && cost < best.Cost {
			best.Cost, best.Path = cost, h+"/"+rest
		}
	}
	return best, best.Path != ""
}

// Words are the known names of packages that may be meant by name, nearest first; alias
// names what is known under another name. Names are compared as they are: normalise
// them before.
func Words(name string, known []Known, list []string) []Guess {
	all := slices.Clone(known)
	for _, m := range list {
		all = append(all, Known{m, WellKnown})
	}
	if slices.ContainsFunc(all, func(k Known) bool { return k.Path == name && k.From != Cached }) {
		return nil
	}
	var out []Guess
	for _, k := range all {
		g := Guess{Typed: name, Path: k.Path, From: k.From, What: Letters}
		var ok bool
		switch {
		case strings.EqualFold(name, k.Path):
			g.What, g.Cost, ok = InCase, otherCase, true
		case strings.Contains(name, "/") && strings.Contains(k.Path, "/"):
			a, x, _ := strings.Cut(name, "/")
			b, y, _ := strings.Cut(k.Path, "/")
			c1, ok1 := equalOrNear(a, b)
			c2, ok2 := equalOrNear(x, y)
			g.Cost, ok = c1+c2, ok1 && ok2 && c1+c2 <= 2
		case strings.TrimPrefix(strings.ReplaceAll(k.Path, "/", "-"), "@") == name, "@"+name == k.Path:
			g.Cost, ok = separator, true // the scope forgotten or flattened
		default:
			g.Cost, ok = Near(name, k.Path)
		}
		if !ok || slices.ContainsFunc(out, func(o Guess) bool { return o.Path == g.Path }) {
			continue
		}
		out = append(out, g)
	}
	slices.SortStableFunc(out, func(a, b Guess) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(a.From, b.From), strings.Compare(a.Path, b.Path))
	})
	return out[:min(len(out), mostGuesses)]
}

func equalOrNear(a, b string) (float64, bool) {
	if a == b {
		return 0, true
	}
	return Near(a, b)
}
