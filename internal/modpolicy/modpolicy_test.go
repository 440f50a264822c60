package modpolicy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modpolicy"
)

var day = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func versions(t testing.TB, list ...string) modpolicy.Versions {
	t.Helper()
	v, err := modpolicy.ParseVersions(list)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func age(s time.Duration) *time.Duration { return &s }

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	t.Parallel()
	p := &modpolicy.Policy{MinimumAge: 72 * time.Hour, Except: "own.example.com", Rules: []modpolicy.Rule{
		{Name: "fixed", Action: modpolicy.Allow, Modules: "example.com/log", Versions: versions(t, "2.17.1"), MinimumAge: age(0)},
		{Name: "hole", Action: modpolicy.Deny, Modules: "example.com/log", Versions: versions(t, ">=2.0.0 <2.17.1"), Reason: "remote code"},
		{Name: "ended", Action: modpolicy.Deny, Modules: "example.com/old", Until: day},
		{Name: "holds", Action: modpolicy.Deny, Modules: "example.com/other", Until: day.Add(time.Second)},
		{Name: "slow", Action: modpolicy.Allow, Modules: "example.com/slow", MinimumAge: age(240 * time.Hour)},
		{Name: "no-evil", Action: modpolicy.Deny, Modules: "evil.example.com,*.example.net/x"},
		{Name: "go", Action: modpolicy.Deny, Modules: modpolicy.Toolchain, Versions: versions(t, "<1.25")},
	}}
	for _, c := range []struct {
		module, version, rule string
		allowed               bool
		age                   time.Duration
	}{
		{"example.com/log", "v2.17.1+incompatible", "fixed", true, 0},
		{"example.com/log", "v2.17.0+incompatible", "hole", false, 0},
		{"example.com/log", "v1.9.0", "", true, 72 * time.Hour},
		{"example.com/log/sub", "v2.1.0", "hole", false, 0}, // a pattern is a prefix
		{"example.com/logger", "v2.1.0", "", true, 72 * time.Hour},
		{"example.com/old", "v1.0.0", "", true, 72 * time.Hour},
		{"example.com/other", "v1.0.0", "holds", false, 0},
		{"example.com/slow", "v1.0.0", "slow", true, 240 * time.Hour},
		{"own.example.com/a", "v1.0.0", "", true, 0},
		{"evil.example.com/a/b", "v1.0.0", "no-evil", false, 0},
		{"a.example.net/x/y", "v1.0.0", "no-evil", false, 0},
		{"a.example.net/y", "v1.0.0", "", true, 72 * time.Hour},
		{modpolicy.Toolchain, "v0.0.1-go1.24.9.linux-amd64", "go", false, 0},
		{modpolicy.Toolchain, "v0.0.1-go1.25rc1.linux-amd64", "go", false, 0},
		{modpolicy.Toolchain, "v0.0.1-go1.25.0.windows-arm64", "", true, 72 * time.Hour},
		{modpolicy.Toolchain, "v0.0.1-go1.26.1.linux-amd64", "", true, 72 * time.Hour},
	} {
		v := p.Decide(c.module, c.version, day)
		if v.Allowed != c.allowed || v.Rule != c.rule || v.MinimumAge != c.age {
			t.Errorf("%s@%s: %+v, want %+v", c.module, c.version, v, c)
		}
	}
	if v := p.Decide("example.com/log", "v2.3.0", day); v.Reason != "remote code" || v.Index != 1 {
		t.Errorf("%+v", v)
	}
	if at := p.Changes(day); !at.Equal(day.Add(time.Second)) {
		t.Errorf("changes at %v", at)
	}
	if at := p.Changes(day.Add(time.Second)); !at.IsZero() {
		t.Errorf("changes at %v", at)
	}
}

func TestAModuleIsDeniedWhereNoVersionIsLeft(t *testing.T) {
	t.Parallel()
	p := &modpolicy.Policy{Rules: []modpolicy.Rule{
		{Name: "one", Action: modpolicy.Allow, Modules: "example.com/some", Versions: versions(t, "1.2.3")},
		{Name: "below", Action: modpolicy.Deny, Modules: "example.com/all", Versions: versions(t, "<1.0.0")},
		{Name: "all", Action: modpolicy.Deny, Modules: "example.com"},
	}}
	for path, want := range map[string]string{"example.com/some": "", "example.com/all": "all", "example.com/x": "all", "example.org/x": ""} {
		if v := p.DecideModule(path, day); v.Rule != want || v.Allowed != (want == "") {
			t.Errorf("%s: %+v", path, v)
		}
	}
	var none *modpolicy.Policy
	if !none.DecideModule("a.b/c", day).Allowed || !none.Decide("a.b/c", "v1.0.0", day).Allowed || !none.Empty() || none.Aged() || !none.Changes(day).IsZero() {
		t.Error("no policy forbids something")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	const stamp = "v0.0.0-20260102030405-abcdefabcdef"
	for _, c := range []struct {
		set      string
		in, out  string // separated by blanks
		ofModule string
	}{
		{"<1.2.3", "v1.2.2 v0.0.1 v1.2.3-rc.1 " + stamp, "v1.2.3 v2.0.0", ""},
		{"<=1.2", "v1.2.0 v1.1.9", "v1.2.1", ""},
		{">=2.0.0 <2.1.5", "v2.0.0 v2.1.4", "v2.1.5 v1.9.9", ""},
		{">1.0.0 !=1.2.3", "v1.2.4 v1.0.1", "v1.2.3 v1.0.0", ""},
		{"1.2.3", "v1.2.3", "v1.2.4 v1.2.3-rc.1", ""},
		{"=v1.2.3", "v1.2.3", "v1.2.4", ""},
		{"1.2.3-rc.1", "v1.2.3-rc.1", "v1.2.3", ""},
		{"1.0.0 || >=3", "v1.0.0 v3.0.0 v4.1.0", "v1.0.1 v2.0.0", ""},
		{"pre-release", "v1.2.3-rc.1", "v1.2.3 " + stamp, ""},
		{"pseudo", stamp, "v1.2.3 v1.2.3-rc.1", ""},
		{"release", "v1.2.3 v2.0.0+incompatible", "v1.2.3-rc.1 " + stamp, ""},
		{"pre-release >=1.0.0", "v1.2.3-rc.1", "v0.9.0-rc.1 v1.2.3", ""},
		{">=1.25", "v0.0.1-go1.25.0.linux-amd64 v0.0.1-go1.26rc1.linux-amd64", "v0.0.1-go1.24.11.linux-amd64 v0.0.1-x", modpolicy.Toolchain},
		{">=go1.25.3", "v0.0.1-go1.25.10.linux-amd64", "v0.0.1-go1.25.2.linux-amd64", modpolicy.Toolchain},
		{"pre-release", "v0.0.1-go1.26rc1.linux-amd64", "v0.0.1-go1.26.0.linux-amd64", modpolicy.Toolchain},
		{"release", "v0.0.1-go1.26.0.linux-amd64", "v0.0.1-go1.26beta1.linux-amd64", modpolicy.Toolchain},
		{"pseudo", "", "v0.0.1-go1.26.0.linux-amd64", modpolicy.Toolchain},
	} {
		set, path := versions(t, c.set), c.ofModule
		if path == "" {
			path = "example.com/m"
		}
		for _, v := range strings.Fields(c.in) {
			if !set.Match(path, v) {
				t.Errorf("%s does not take %s", c.set, v)
			}
		}
		for _, v := range strings.Fields(c.out) {
			if set.Match(path, v) {
				t.Errorf("%s takes %s", c.set, v)
			}
		}
	}
	for _, bad := range []string{"", "  ", "<", "1.2", "=1", "latest", "^1.2.3", "~1.2", "1.x", "1.2.3 ||", ">= 1.0.0", "<1.2.3,>2"} {
		if v, err := modpolicy.ParseVersions([]string{bad}); err == nil {
			t.Errorf("%q was read as %v", bad, v)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := modpolicy.Rule{Name: "n", Action: modpolicy.Deny, Modules: modpolicy.Toolchain, Versions: versions(t, "<1.26rc1")}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*modpolicy.Rule){
		"name":        func(r *modpolicy.Rule) { r.Name = "" },
		"action":      func(r *modpolicy.Rule) { r.Action = "forbid" },
		"modules":     func(r *modpolicy.Rule) { r.Modules = "" },
		"minimum_age": func(r *modpolicy.Rule) { r.MinimumAge = age(1) },
		"1.26rc1":     func(r *modpolicy.Rule) { r.Modules = "example.com" },
	} {
		r := good
		change(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAgeAndDates(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{"72h": 72 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "0": 0, "0d": 0, "90m": 90 * time.Minute} {
		if got, err := modpolicy.ParseAge(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "7", "d", "-1d", "7 d", "99999d", "1y", "9999999999h", "1.5d"} {
		if got, err := modpolicy.ParseAge(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	for d, want := range map[time.Duration]string{72 * time.Hour: "3d", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 0: "0"} {
		if got := modpolicy.ShowAge(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if u, err := modpolicy.ParseUntil("2026-11-23"); err != nil || u.Before(day) {
		t.Errorf("a day is not held to its end: %v, %v", u, err)
	}
	if _, err := modpolicy.ParseUntil("soon"); err == nil {
		t.Error("soon is a day")
	}
	if got, err := modpolicy.ParsePatterns([]string{"a.b/c", "*.d"}); err != nil || got != "a.b/c,*.d" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "a,b", "a b", "https://a.b", "/a", "a//b", "a@v1", "a.b/...", "[a"} {
		if got, err := modpolicy.ParsePatterns([]string{bad}); err == nil {
			t.Errorf("%q is the pattern %q", bad, got)
		}
	}
}

// FuzzVersions: no text makes it panic, and what is read decides the same when written
// out again.
func FuzzVersions(f *testing.F) {
	for _, s := range []string{"<1.2.3", ">=2.0.0 <2.1.5 || pseudo", "1.2.3-rc.1", ">=go1.25rc1", "!=v1.0.0+x", "release"} {
		f.Add(s, "v1.2.3")
		f.Add(s, "v0.0.1-go1.25.3.linux-amd64")
	}
	f.Fuzz(func(t *testing.T, s, version string) {
		set, err := modpolicy.ParseVersions([]string{s})
		if err != nil {
			return
		}
		var text []string
		for _, r := range set {
			text = append(text, r.String())
		}
		again, err := modpolicy.ParseVersions(text)
		if err != nil {
			t.Fatalf("%q reads, %q does not: %v", s, text, err)
		}
		for _, path := range []string{"example.com/m", modpolicy.Toolchain} {
			if set.Match(path, version) != again.Match(path, version) {
				t.Errorf("%q and %q differ on %s@%s", s, text, path, version)
			}
		}
	})
}
