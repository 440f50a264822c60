package route

import (
	"errors"
	"net/url"
	"path"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
)

// settings is a Config, read.
type settings struct {
	cfg      Config
	proxies  []entry
	ignored  []string
	problems []Rule
	noProxy  patterns
	noSumDB  patterns
	private  patterns
	insecure patterns
	tunnel   func(*url.URL) (*url.URL, error)
}

// entry is one place of the list that go walks.
type entry struct {
	kind HopKind
	// url is what go uses as the proxy's URL, with credentials; or the word itself.
	url   string
	base  *url.URL
	falls Falls
	rule  Rule
}

func read(cfg Config) *settings {
	s := &settings{cfg: cfg}
	s.private = s.patterns("GOPRIVATE")
	s.noProxy = s.patterns("GONOPROXY")
	s.noSumDB = s.patterns("GONOSUMDB")
	s.insecure = s.patterns("GOINSECURE")
	s.tunnel = tunnels(cfg.Env)
	s.readProxies()
	return s
}

// rule starts the rule of a setting.
func (s *settings) rule(code, setting string) Rule {
	v := s.cfg.Env[setting]
	return Rule{Code: code, Setting: setting, Origin: string(v.Origin), File: mask.Text(v.File)}
}

var errScheme = errors.New("a module proxy is reached over http, https or file")

// readProxies splits GOPROXY as cmd/go does: at the first comma or bar, blanks
// trimmed, direct and off end the list.
func (s *settings) readProxies() {
	value := s.cfg.Env.Value("GOPROXY")
	if s.noProxy.list != "" && value != "direct" {
		s.proxies = append(s.proxies, entry{kind: NoProxy, url: string(NoProxy), falls: FallsNotFound, rule: s.rule("noproxy", "GONOPROXY")})
	}
	ended, named := false, false
	for item := 1; value != ""; item++ {
		word, falls := value, FallsNotFound
		if i := strings.IndexAny(value, ",|"); i >= 0 {
			word = value[:i]
			if value[i] == '|' {
				falls = FallsAny
			}
			value = value[i+1:]
		} else {
			value = ""
		}
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if ended {
			s.ignored = append(s.ignored, bareText(word))
			continue
		}
		named = true
		e, err := s.entry(word, falls, item)
		if err != nil {
			r := s.rule("bad-proxy", "GOPROXY")
			r.Item, r.Value = item, bareText(word)
			s.problems = append(s.problems, r)
			return
		}
		s.proxies = append(s.proxies, e)
		ended = e.kind == Off || e.kind == ByItem
	}
	if !named {
		s.problems = append(s.problems, s.rule("no-proxy", "GOPROXY"))
	}
}

func (s *settings) entry(word string, falls Falls, item int) (entry, error) {
	r := s.rule("item", "GOPROXY")
	r.Item, r.Value = item, bareText(word)
	switch word {
	case "off":
		return entry{kind: Off, url: word, falls: FallsNever, rule: r}, nil
	case "direct":
		return entry{kind: ByItem, url: word, falls: FallsNever, rule: r}, nil
	}
	if strings.ContainsAny(word, ".:/") && !strings.Contains(word, ":/") && !path.IsAbs(word) {
		word = "https://" + word
	}
	base, err := proxyBase(word)
	return entry{kind: Proxy, url: word, base: base, falls: falls, rule: r}, err
}

func proxyBase(raw string) (*url.URL, error) {
	base, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	switch base.Scheme {
	case "http", "https":
		return base, nil
	case "file":
		if *base == (url.URL{Scheme: base.Scheme, Path: base.Path, RawPath: base.RawPath}) {
			return base, nil
		}
	}
	return nil, errScheme
}

// moduleURL is the URL of a module's file at a proxy.
func moduleURL(raw, modulePath, file string) (*url.URL, error) {
	base, err := proxyBase(raw)
	if err != nil {
		return nil, err
	}
	escaped, err := module.EscapePath(modulePath)
	if err != nil {
		return nil, err
	}
	u := *base
	u.Path = path.Join(strings.TrimSuffix(base.Path, "/")+"/"+escaped, file)
	u.RawPath = path.Join(strings.TrimSuffix(base.RawPath, "/")+"/"+pathEscape(escaped), pathEscape(file))
	return &u, nil
}

// pathEscape escapes all but the slashes.
func pathEscape(s string) string { return strings.ReplaceAll(url.PathEscape(s), "%2F", "/") }

// below is base with a path appended, as cmd/go's web.Join makes it.
func below(base *url.URL, name string) *url.URL {
	u := *base
	u.Path = strings.TrimSuffix(base.Path, "/") + "/" + name
	u.RawPath = strings.TrimSuffix(base.RawPath, "/") + "/" + name
	return &u
}

// server names what is behind a proxy's URL.
func server(u *url.URL) string {
	if u.Scheme == "file" {
		return "file://" + u.Path
	}
	return u.Host
}

// bare is u without credentials.
func bare(u *url.URL) string {
	v := *u
	v.User = nil
	return v.String()
}

// bareText takes the credentials out of an entry that may be no URL.
func bareText(word string) string { return mask.Text(withoutLogin(word)) }

func withoutLogin(word string) string {
	if u, err := url.Parse(word); err == nil && u.Host != "" {
		return bare(u)
	}
	scheme, rest, ok := strings.Cut(word, "://")
	if !ok {
		scheme, rest = "", word
	}
	if scheme == "file" {
		return word
	}
	host, tail, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(rest, '@'); at > len(host) {
		return bareJoin(scheme, rest[at+1:]) // a password with a slash
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
		if tail != "" {
			host += "/" + tail
		}
		return bareJoin(scheme, host)
	}
	return word
}

func bareJoin(scheme, rest string) string {
	if scheme == "" {
		return rest
	}
	return scheme + "://" + rest
}

// patterns is a comma-separated list of globs that match prefixes of module paths.
type patterns struct {
	list string
	rule Rule
}

func (s *settings) patterns(setting string) patterns {
	r := s.rule("pattern", setting)
	list := s.cfg.Env.Value(setting)
	if setting == "GONOPROXY" || setting == "GONOSUMDB" {
		// Both take GOPRIVATE's value where they are empty themselves.
		if v := s.cfg.Env["GOPRIVATE"]; list == "" || s.cfg.Env[setting].Origin == goenv.FromDefault {
			list = v.Value
			r.From, r.Origin, r.File = "GOPRIVATE", string(v.Origin), mask.Text(v.File)
		}
	}
	return patterns{list, r}
}

// match returns the rule of the first item that matches, as x/mod decides it.
func (p patterns) match(modulePath string) (Rule, bool) {
	if !module.MatchPrefixPatterns(p.list, modulePath) {
		return Rule{}, false
	}
	item := 0
	for pattern := range strings.SplitSeq(p.list, ",") {
		item++
		if module.MatchPrefixPatterns(pattern, modulePath) {
			r := p.rule
			r.Item, r.Value = item, pattern
			return r, true
		}
	}
	return p.rule, true
}
