package doctor

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/settings"
)

// settingCodes are the faults that a wrong setting brings about.
func settingCodes() []keepwell.Code {
	return []keepwell.Code{
		"proxy/misconfigured", "sum/misconfigured", "auth/goprivate-unset", "version/toolchain", "vcs/disallowed", "local/gopath",
		"local/goroot", "net/http-proxy", "net/dns", "proxy/not-found", "version/go-too-old", "local/vendor", "version/invalid", "version/conflict",
	}
}

// mendSetting puts a sound value in the place of one that go cannot read, as far as it
// is certain what was meant.
func mendSetting(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	for _, name := range c.brokenSettings(f) {
		value, ok := soundValue(c.Settings, name)
		if !ok || mask.Text(name+"="+value) != name+"="+value { // a secret is not shown, and what is not shown is not agreed to
			continue
		}
		return c.assignments("setting", []string{name, value}, [2]string{name, value})
	}
	return nil
}

// brokenSettings are the variables that bring f about, worst first.
func (c *Case) brokenSettings(f keepwell.Finding) []string {
	var out []string
	for _, l := range c.Settings.Lints() {
		// A line in another file (a Dockerfile, an .npmrc) is no variable of this machine.
		if l.Line > 0 || c.Settings.KindOf(l.Name) == settings.Unknown || c.Settings.KindOf(l.Name) == settings.Derived || l.Severity == keepwell.SeverityInfo {
			continue
		}
		named := f.Facts["setting"] == l.Name || f.Facts["setting"] == "" && l.Code == f.Code && l.Code != ""
		// go names its flags and its list of servers itself.
		said := l.Severity == keepwell.SeverityError && saysAny(f, "$"+l.Name, l.Name+"=", l.Name+":")
		if (named || said) && !slices.Contains(out, l.Name) {
			out = append(out, l.Name)
		}
	}
	return out
}

func saysAny(f keepwell.Finding, words ...string) bool {
	for _, e := range f.Evidence {
		for _, w := range words {
			if strings.Contains(e.Text, w) {
				return true
			}
		}
	}
	return false
}

// soundValue is what was meant with the value in force; false where that is not certain.
func soundValue(s *settings.Settings, name string) (string, bool) {
	was := inForce(s, name)
	value := was
	for range 4 { // a value can be wrong in more than one way
		faulty := faultyLints(s, name, value)
		if len(faulty) == 0 {
			return value, value != was
		}
		next := value
		for _, l := range faulty {
			if set, ok := strings.CutPrefix(l.Set, name+"="); ok && set != value {
				next = set
				break
			}
		}
		if next == value {
			switch name {
			case "GOPROXY":
				next = soundProxies(s, value)
			case "GOFLAGS":
				next = soundFlags(value, faulty)
			case "GOSUMDB":
				next = soundSumdb(value)
			case "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy":
				next = soundHTTPProxy(value)
			}
		}
		if next == value {
			return "", false
		}
		value = next
	}
	return "", false
}

func inForce(s *settings.Settings, name string) string {
	if set, ok := s.Env[name]; ok && set.Value != "" {
		return set.Value
	}
	return s.OS[name]
}

// faultyLints is what is wrong with name if it held value; an unset variable is sound.
func faultyLints(s *settings.Settings, name, value string) []settings.Lint {
	var out []settings.Lint
	if value == "" {
		return nil
	}
	for _, l := range s.With(name, value).Lints() {
		if l.Name == name && l.Line == 0 && l.Severity != keepwell.SeverityInfo {
			out = append(out, l)
		}
	}
	return out
}

// soundProxies mends the entries of GOPROXY that go cannot use: a keyword that was
// mistyped becomes the keyword, a scheme with a slip the scheme; what names no server
// at all is left out. Nothing left means the default.
func soundProxies(_ *settings.Settings, list string) string {
	var b strings.Builder
	sep := ""
	for list != "" {
		entry := list
		next := ""
		if i := strings.IndexAny(list, ",|"); i >= 0 {
			entry, next, list = list[:i], list[i:i+1], list[i+1:]
		} else {
			list = ""
		}
		if sound := soundProxy(strings.TrimSpace(entry)); sound != "" {
			if b.Len() > 0 {
				b.WriteString(sep)
			}
			b.WriteString(sound)
			sep = next
		}
	}
	return b.String()
}

func soundProxy(entry string) string {
	word := strings.ToLower(entry)
	for _, keyword := range []string{"direct", "off"} {
		if word == keyword || keyword == "direct" && slips(word, keyword) {
			return keyword
		}
	}
	u, err := url.Parse(entry)
	scheme, rest, cut := strings.Cut(entry, ":")
	switch {
	case cut && strings.HasPrefix(rest, "/") && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file"):
		for _, known := range []string{"https", "http"} {
			if s := strings.ToLower(scheme); s == known || slips(s, known) {
				rest = strings.TrimLeft(rest, "/")
				if sound, err := url.Parse(known + "://" + rest); err == nil && sound.Host != "" {
					return sound.String()
				}
			}
		}
		return ""
	case err != nil:
		return ""
	case u.Scheme == "" && !strings.ContainsAny(entry, ".:/") && !path.IsAbs(entry):
		return ""
	}
	return entry
}

// slips reports words that differ by one letter: missing, added, changed, or two
// exchanged.
func slips(a, b string) bool {
	if a == b || len(a)-len(b) > 1 || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case len(a) < len(b):
		return a[i:] == b[i+1:]
	case len(a) > len(b):
		return a[i+1:] == b[i:]
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// soundFlags leaves out the words that are no flags of go.
func soundFlags(value string, faulty []settings.Lint) string {
	var bad []string
	for _, l := range faulty {
		switch l.ID {
		case "goflags-word", "goflags-unknown":
			bad = append(bad, l.Args...)
		case "goflags-vendor":
			bad = append(bad, "-mod=vendor", "--mod=vendor")
		}
	}
	if len(bad) == 0 || strings.ContainsAny(value, `"'`) {
		return value
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(value), func(w string) bool { return slices.Contains(bad, w) }), " ")
}

// soundHTTPProxy mends the scheme of an HTTP proxy's address.
func soundHTTPProxy(value string) string {
	rest := value
	scheme := "http"
	if s, after, ok := strings.Cut(value, ":/"); ok {
		if _, err := strconv.Atoi(after); err != nil {
			scheme, rest = strings.ToLower(s), strings.TrimLeft(after, "/")
		}
	}
	for _, known := range []string{"http", "https", "socks5"} {
		if scheme == known || slips(scheme, known) {
			if u, err := url.Parse(known + "://" + rest); err == nil && u.Hostname() != "" && u.Port() != "" {
				return u.String()
			}
		}
	}
	return value
}

// soundSumdb knows two slips: a word that says no more than "on", which is the default,
// and the address with its scheme. A word that says "off" is no consent to go without.
func soundSumdb(value string) string {
	fields := strings.Fields(value)
	if len(fields) == 1 && slices.Contains([]string{"on", "true", "yes", "default", "enable", "enabled"}, strings.ToLower(fields[0])) {
		return ""
	}
	if len(fields) != 1 {
		return value
	}
	if u, err := url.Parse(fields[0]); err == nil && u.Host != "" && u.User == nil && !strings.Contains(u.Host, "+") {
		return u.Host
	}
	return value
}

// mendPrivate names a private module as such: the narrowest pattern, in each list that
// would otherwise tell public servers of it.
func mendPrivate(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	s := c.Settings
	pattern := f.Facts["scope"]
	if pattern == "" || f.Facts["setting"] != "" || strings.HasPrefix(pattern, "golang.org") || !strings.Contains(pattern, ".") || !keepwell.ValidFact("scope", pattern) {
		return nil
	}
	for _, l := range s.With("GOPRIVATE", pattern).Lints() {
		if l.ID == "broad-goprivate" { // a whole forge is nobody's
			return nil
		}
	}
	values := [][2]string{}
	private := s.Env.Value("GOPRIVATE")
	if !covered(private, pattern) {
		values = append(values, [2]string{"GOPRIVATE", settings.AddPattern(private, pattern)})
	}
	for _, name := range []string{"GONOPROXY", "GONOSUMDB"} {
		own := inForce(s, name)
		if s.OS[name] == "" && s.Go.User[name] == "" || covered(own, pattern) {
			continue // it follows GOPRIVATE
		}
		value := settings.AddPattern(own, pattern)
		if own == "none" {
			value = ""
		}
		values = append(values, [2]string{name, value})
	}
	if len(values) == 0 {
		return nil
	}
	return c.assignments("private", []string{pattern}, values...)
}

// covered reports whether a list of patterns holds one as wide as pattern already.
func covered(list, pattern string) bool { return module.MatchPrefixPatterns(list, pattern) }
