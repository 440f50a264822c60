package modproxy

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/module"
)

// List are the upstreams of some modules.
type List struct {
	// Patterns are as in GOPRIVATE; empty: every module.
	Patterns  string
	Upstreams []Upstream
}

// Upstream is one place to ask.
type Upstream struct {
	// Name is what people are told: host and port, or direct.
	Name string
	// Base is the URL of a proxy, with its login; nil for direct.
	Base *url.URL
	// Final says that a refusal (401, 403, 451) by it ends the search, and that its
	// silence is no proof that a module does not exist.
	Final bool
	// Spare is asked where one before it failed or is slow, but not for what those say
	// does not exist: it learns of no name without need.
	Spare bool
	// Logins are what it may be logged into with; nil: what the user has.
	Logins *Logins
	// sums is set for the checksum database itself.
	sums bool
	// bundles has the files of an upstream that is one of them.
	bundles *bundles
}

// local is the directory of a file:// upstream.
func (u *Upstream) local() (dir string, ok bool) {
	if u.Base == nil || u.Base.Scheme != "file" {
		return "", false
	}
	dir = u.Base.Path
	const drive = 3 // "/C:"
	if filepath.Separator != '/' && len(dir) >= drive && dir[2] == ':' {
		dir = dir[1:]
	}
	return filepath.FromSlash(dir), true
}

// isDirect tells the version control systems.
func (u *Upstream) isDirect() bool { return u.Base == nil }

// upstreamsFor are whom a module's name may be told, and whether its list is for some
// modules only.
func (p *Proxy) upstreamsFor(path string) (list []Upstream, own bool) {
	return p.live.Load().upstreamsFor(path)
}

func (l *live) upstreamsFor(path string) (list []Upstream, own bool) {
	for _, l := range l.Lists {
		if l.Patterns == "" {
			return l.Upstreams, false
		}
		if module.MatchPrefixPatterns(l.Patterns, path) {
			return l.Upstreams, true
		}
	}
	return nil, true
}

// Asked are whom a module's name would be told, by the entry for patterns; ok says that
// there is one.
func Asked(lists []List, path string) (upstreams []Upstream, patterns string, ok bool) {
	for _, l := range lists {
		if l.Patterns == "" || module.MatchPrefixPatterns(l.Patterns, path) {
			return l.Upstreams, l.Patterns, true
		}
	}
	return nil, "", false
}
func (p *Proxy) lists() []List { return p.live.Load().Lists }

// ParseUpstreams reads the value of --upstream: A,B,C where any failure moves on to the
// next and A! makes a refusal final. With PATTERNS= before it, the list is for the
// modules that match, where patterns are separated by spaces.
func ParseUpstreams(value string) (List, error) {
	var l List
	if patterns, rest, ok := strings.Cut(value, "="); ok && !strings.ContainsAny(patterns, ":,|") {
		l.Patterns, value = strings.Join(strings.Fields(patterns), ","), rest
		if l.Patterns == "" {
			return l, errors.New("no pattern before =")
		}
	}
	for item := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == '|' }) {
		item = strings.TrimSpace(item)
		bare, final := strings.CutSuffix(item, "!")
		if r := foreignSeparator(bare); r != 0 && !isPath(bare) {
			return l, &SeparatorError{Item: clean(item), Rune: r}
		}
		if isPath(bare) {
			at, err := filepath.Abs(bare)
			if err != nil {
				return l, err
			}
			bare = fileURL(at)
		}
		u, err := parseUpstream(bare)
		if err != nil {
			return l, err
		}
		u.Final = final
		l.Upstreams = append(l.Upstreams, u)
	}
	if len(l.Upstreams) == 0 {
		return l, errors.New("no upstream")
	}
	return l, nil
}

// SeparatorError is a character that separates nothing here, in what should be one
// upstream. Full-width ones come from Chinese keyboards.
type SeparatorError struct {
	Item string
	Rune rune
}

func (e *SeparatorError) Error() string {
	return fmt.Sprintf("%q in %q separates no upstreams", e.Rune, e.Item)
}

// foreignSeparator is the first character of item that no URL has as it is, and people
// take for a comma; 0 where there is none.
func foreignSeparator(item string) rune {
	for _, r := range item {
		if unicode.IsSpace(r) || strings.ContainsRune(";，；、｜", r) {
			return r
		}
	}
	return 0
}

// ErrPlainLogin is returned for a login in an http URL.
var ErrPlainLogin = errors.New("a login is never sent over http")

// File is the directory or bundle that is the upstream, where it is one.
func (u *Upstream) File() (name string, ok bool) { return u.local() }

// isPath tells a directory or a bundle, by its path, from a host's name.
func isPath(item string) bool {
	return filepath.IsAbs(item) || strings.HasPrefix(item, "./") || strings.HasPrefix(item, "../") ||
		filepath.Separator != '/' && (strings.HasPrefix(item, `.\`) || strings.HasPrefix(item, `..\`))
}

func fileURL(at string) string {
	at = filepath.ToSlash(at)
	if !strings.HasPrefix(at, "/") { // a drive of Windows
		at = "/" + at
	}
	return (&url.URL{Scheme: "file", Path: at}).String()
}

// ParseGOPROXY reads the user's own list. What go passes on, goes on; and so do
// transport failures, 429, 5xx and bad content. A refusal by a host that is not public
// is final, unless a bar follows it. off ends the list; none is left of "off" alone.
func ParseGOPROXY(value string, public func(host string) bool) (List, error) {
	var l List
	for value != "" {
		item, after := value, ""
		bar := false
		if i := strings.IndexAny(value, ",|"); i >= 0 {
			item, after, bar = value[:i], value[i+1:], value[i] == '|'
		}
		value = after
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if item == "off" {
			break
		}
		u, err := parseUpstream(item)
		if err != nil {
			return l, err
		}
		u.Final = !bar && !u.isDirect() && !public(u.Base.Hostname())
		l.Upstreams = append(l.Upstreams, u)
		if u.isDirect() {
			break
		}
	}
	return l, nil
}

func parseUpstream(item string) (Upstream, error) {
	if item == "direct" {
		return Upstream{Name: "direct"}, nil
	}
	if strings.ContainsAny(item, ".:/") && !strings.Contains(item, ":/") && !filepath.IsAbs(item) {
		item = "https://" + item
	}
	u, err := url.Parse(item)
	if err != nil {
		return Upstream{}, fmt.Errorf("upstream %q is no URL", clean(item))
	}
	switch {
	case !slices.Contains([]string{"http", "https", "file"}, u.Scheme):
		return Upstream{}, fmt.Errorf("upstream %q: want http, https, file or direct", clean(item))
	case u.Scheme != "file" && u.Host == "":
		return Upstream{}, fmt.Errorf("upstream %q has no host", clean(item))
	case u.Scheme == "http" && u.User != nil:
		return Upstream{}, fmt.Errorf("upstream %s: %w", u.Host, ErrPlainLogin)
	}
	u.RawQuery, u.Fragment = "", ""
	name := u.Host
	if u.Scheme == "file" {
		name = u.Path
	}
	return Upstream{Name: name, Base: u}, nil
}

// address is where u has the file.
func (u *Upstream) address(a ask) *url.URL {
	rest := a.key
	if u.sums {
		rest = strings.TrimPrefix(a.rest, "/")
	}
	to := *u.Base
	to.User = nil
	// The key is escaped as the protocol wants it, and has no byte that a URL would escape
	// but + and ! and ~, which all servers take as they are.
	to.Path = strings.TrimSuffix(to.Path, "/") + "/" + rest
	to.RawPath = ""
	return &to
}
