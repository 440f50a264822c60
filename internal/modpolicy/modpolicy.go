// Package modpolicy decides which module versions may be had: an ordered list of rules,
// of which the first that matches decides, and an age that a version must have. It is
// pure: no clock, no store, no network. When a version was published, and who is to be
// told what, its caller knows.
//
// A new condition of a rule is a field of [Rule] and a line in Rule.matches.
package modpolicy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// Action is what a rule does with what it matches.
type Action string

// The actions.
const (
	Allow Action = "allow"
	Deny  Action = "deny"
)

// Rule allows or denies some versions of some modules.
type Rule struct {
	Name   string
	Action Action
	// Modules are patterns as in GOPRIVATE.
	Modules string
	// Versions are those that the rule is for; nil: all.
	Versions Versions
	// Reason is shown to whoever is refused, ReasonZH the same in Chinese; both may be
	// empty.
	Reason, ReasonZH string
	// Until is when the rule ends to hold; zero: never.
	Until time.Time
	// MinimumAge, of a rule that allows, takes the place of Policy.MinimumAge.
	MinimumAge *time.Duration
}

// Policy is a list of rules. The zero value, and nil, allow everything.
type Policy struct {
	Rules []Rule
	// MinimumAge is how long a version must have been public, where no rule says
	// otherwise; Except are patterns of modules that may be younger.
	MinimumAge time.Duration
	Except     string
}

// AgeRule is the name under which Policy.MinimumAge refuses.
const AgeRule = "minimum-age"

// Verdict is what a policy says of one version.
type Verdict struct {
	// Allowed is the answer as far as rules go: what is allowed must be MinimumAge old,
	// too.
	Allowed bool
	// Rule names what decided; "" where no rule matched. Reason is its reason.
	Rule, Reason, ReasonZH string
	// Index is the place of the rule in the list, -1 where none matched.
	Index int
	// MinimumAge is demanded of the version by the rule AgeRule names.
	MinimumAge time.Duration
	AgeRule    string
}

// Empty says that nothing is forbidden, ever.
func (p *Policy) Empty() bool { return p == nil || len(p.Rules) == 0 && p.MinimumAge <= 0 }

// Aged says that the age of some versions counts.
func (p *Policy) Aged() bool {
	if p == nil {
		return false
	}
	for i := range p.Rules {
		if age := p.Rules[i].MinimumAge; age != nil && *age > 0 {
			return true
		}
	}
	return p.MinimumAge > 0
}

// Decide is the verdict on a version of a module. The version is canonical.
func (p *Policy) Decide(path, version string, now time.Time) Verdict {
	v := Verdict{Allowed: true, Index: -1}
	if p == nil {
		return v
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.ended(now) || !r.matches(path) || !r.Versions.Match(path, version) {
			continue
		}
		v = r.verdict(i)
		if r.MinimumAge != nil {
			v.MinimumAge, v.AgeRule = *r.MinimumAge, r.Name
			return v
		}
		break
	}
	if v.Allowed && p.MinimumAge > 0 && !module.MatchPrefixPatterns(p.Except, path) {
		v.MinimumAge, v.AgeRule = p.MinimumAge, AgeRule
	}
	return v
}

// DecideModule tells whether every version of a module is denied: then nobody needs to
// be asked for any of them.
func (p *Policy) DecideModule(path string, now time.Time) Verdict {
	if p == nil {
		return Verdict{Allowed: true, Index: -1}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.ended(now) || !r.matches(path) {
			continue
		}
		if r.Action == Allow { // some version, at least
			break
		}
		if len(r.Versions) == 0 {
			return r.verdict(i)
		}
	}
	return Verdict{Allowed: true, Index: -1}
}

// Changes is the next moment at which a rule ends to hold; zero where none does.
func (p *Policy) Changes(now time.Time) time.Time {
	var next time.Time
	if p == nil {
		return next
	}
	for i := range p.Rules {
		if u := p.Rules[i].Until; u.After(now) && (next.IsZero() || u.Before(next)) {
			next = u
		}
	}
	return next
}

func (r *Rule) ended(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

func (r *Rule) matches(path string) bool { return module.MatchPrefixPatterns(r.Modules, path) }

func (r *Rule) verdict(i int) Verdict {
	return Verdict{Allowed: r.Action == Allow, Rule: r.Name, Reason: r.Reason, ReasonZH: r.ReasonZH, Index: i}
}

// ParsePatterns reads patterns of modules and joins them as GOPRIVATE does.
func ParsePatterns(list []string) (string, error) {
	for _, p := range list {
		switch {
		case p == "" || strings.ContainsAny(p, ", \t\r\n"):
			return "", fmt.Errorf("pattern %q: want one pattern without blanks or commas", p)
		case strings.Contains(p, "://"):
			return "", fmt.Errorf("pattern %q: want a module path, not a URL", p)
		case strings.HasPrefix(p, "/") || strings.Contains(p, "//"):
			return "", fmt.Errorf("pattern %q has an empty element", p)
		case strings.Contains(p, "@"):
			return "", fmt.Errorf("pattern %q: versions belong into versions", p)
		case strings.Contains(p, "..."):
			return "", fmt.Errorf("pattern %q: leave ... out, since a prefix matches all below it", p)
		}
		if err := wellFormed(p); err != nil {
			return "", fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return strings.Join(list, ","), nil
}

// ParseAge reads a duration in which d are days and w weeks: 72h, 7d, 2w.
func ParseAge(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	const longest = 10 * 366 * day
	d, err := time.ParseDuration(s)
	for unit, size := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		var n int64
		if n, err = strconv.ParseInt(number, 10, 16); err == nil {
			d = time.Duration(n) * size
		}
	}
	switch {
	case s == "0":
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("age %q: want a number with d, w or h, such as 7d", s)
	case d < 0 || d > longest:
		return 0, fmt.Errorf("age %q: want between 0 and ten years", s)
	}
	return d, nil
}

// ShowAge writes what ParseAge reads.
func ShowAge(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 && d > 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" {
		return "0"
	}
	return s
}

// ParseUntil reads a day, of which the rule holds all (UTC), or a moment.
func ParseUntil(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("until %q: want a day such as 2027-01-31", s)
	}
	return t, nil
}

// Validate reports what a rule lacks.
func (r *Rule) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("a rule needs a name")
	case r.Action != Allow && r.Action != Deny:
		return fmt.Errorf("action %q is none of allow, deny", r.Action)
	case r.Modules == "":
		return errors.New("a rule needs modules")
	case r.MinimumAge != nil && r.Action == Deny:
		return errors.New("minimum_age belongs to a rule that allows")
	}
	for _, l := range r.Versions {
		if l.onlyGo() && r.Modules != Toolchain {
			return fmt.Errorf("version %q is one of go, which only the module %s has", l.text, Toolchain)
		}
	}
	return nil
}
