package modconfig

import (
	"errors"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/spelling"
)

type reader struct {
	o        Options
	c        *Config
	problems []Problem
	// credentials are those of the file, by name.
	credentials map[string]*credential
}

type credential struct {
	modproxy.Credential
	line int
	used bool
}

const mostProblems = 100

func (r *reader) wrong(line int, key string, args ...any) {
	if len(r.problems) < mostProblems {
		r.problems = append(r.problems, Problem{line, key, args})
	}
}

// fields hands each value of a mapping to the reader of its key.
func (r *reader) fields(n *yaml.Node, readers map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, "config.mapping", strings.Join(slices.Sorted(maps.Keys(readers)), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		read, ok := readers[k.Value]
		switch near := spelling.Meant(k.Value, slices.Sorted(maps.Keys(readers))); {
		case seen[k.Value] > 0:
			r.wrong(k.Line, "config.twice", k.Value, seen[k.Value])
		case ok:
			read(v)
		case near != "":
			r.wrong(k.Line, "config.near", k.Value, near)
		default:
			r.wrong(k.Line, "config.unknown", k.Value, strings.Join(slices.Sorted(maps.Keys(readers)), ", "))
		}
		seen[k.Value] = k.Line
	}
}

func (r *reader) top(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.c.lines[n.Content[i].Value] = n.Content[i].Line
		}
	}
	var upstreams *yaml.Node // credentials may stand behind them
	r.fields(n, map[string]func(*yaml.Node){
		"listen":     func(v *yaml.Node) { r.c.Listen = r.word(v, "listen") },
		"dir":        func(v *yaml.Node) { r.c.Dir = r.path(r.word(v, "dir")) },
		"token_file": func(v *yaml.Node) { r.c.TokenFile = r.path(r.word(v, "token_file")) },
		"tls_cert":   func(v *yaml.Node) { r.c.TLSCert = r.path(r.word(v, "tls_cert")) },
		"tls_key":    func(v *yaml.Node) { r.c.TLSKey = r.path(r.word(v, "tls_key")) },
		"url":        func(v *yaml.Node) { r.c.URL = r.word(v, "url") },
		"otlp":       func(v *yaml.Node) { r.c.OTLP = r.word(v, "otlp") },
		"log": func(v *yaml.Node) {
			if r.c.Log = v.Value; v.Value != "json" && v.Value != "text" {
				r.wrong(v.Line, "config.enum", "log", "json, text")
			}
		},
		"grace": func(v *yaml.Node) {
			var err error
			if r.c.Grace, err = time.ParseDuration(v.Value); err != nil || r.c.Grace < 0 || r.c.Grace > time.Hour {
				r.wrong(v.Line, "config.grace", v.Value)
			}
		},
		"quota":    func(v *yaml.Node) { r.c.Quota = r.quota(v, "quota") },
		"s3":       func(v *yaml.Node) { r.c.S3 = r.bucket(v) },
		"s3_quota": func(v *yaml.Node) { r.c.S3Quota = r.quota(v, "s3_quota") },
		"s3_unconditional": func(v *yaml.Node) {
			r.c.S3Unconditional = r.truth(v, "s3_unconditional")
		},
		"allow_private":  func(v *yaml.Node) { r.c.AllowPrivate = r.hosts(v, "allow_private") },
		"comma_friendly": func(v *yaml.Node) { r.c.CommaFriendly = r.truth(v, "comma_friendly") },
		"upstreams":      func(v *yaml.Node) { upstreams = v },
		"credentials":    r.readCredentials,
		"rules":          r.rules,
		"minimum_age": func(v *yaml.Node) {
			var err error
			if r.c.Policy.MinimumAge, err = modpolicy.ParseAge(r.word(v, "minimum_age")); err != nil {
				r.wrong(v.Line, "config.age", err)
			}
		},
		"minimum_age_except": func(v *yaml.Node) { r.c.Policy.Except = r.patterns(v, "minimum_age_except") },
		"age_by": func(v *yaml.Node) {
			switch v.Value {
			case "claimed":
			case "first-seen":
				r.c.FirstSeen = true
			default:
				r.wrong(v.Line, "config.enum", "age_by", "claimed, first-seen")
			}
		},
	})
	if upstreams != nil {
		r.upstreams(upstreams)
	}
	for _, name := range slices.Sorted(maps.Keys(r.credentials)) {
		if c := r.credentials[name]; !c.used {
			r.wrong(c.line, "config.credential.unused", name)
		}
	}
	if r.c.lines["minimum_age_except"] > 0 && r.c.lines["minimum_age"] == 0 {
		r.wrong(r.c.lines["minimum_age_except"], "config.except")
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
}

// word is a text on one line.
func (r *reader) word(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" || strings.ContainsAny(n.Value, "\n\r\x00") {
		r.wrong(n.Line, "config.word", key)
		return ""
	}
	return n.Value
}

func (r *reader) truth(n *yaml.Node, key string) bool {
	var b bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
		r.wrong(n.Line, "config.bool", key)
	}
	return b
}

// words are several texts, or one.
func (r *reader) words(n *yaml.Node, key string) []*yaml.Node {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.wrong(n.Line, "config.words", key)
		return nil
	}
	var all []*yaml.Node
	for _, c := range n.Content {
		if r.word(c, key) != "" {
			all = append(all, c)
		}
	}
	return all
}

func (r *reader) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.o.Base, name)
}

var (
	hostName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	})
	ruleName  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) })
	reference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`) })
	amount    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[1-9][0-9]{0,8}[KMGT]?$`) })
)

func (r *reader) quota(n *yaml.Node, key string) string {
	if !amount().MatchString(n.Value) {
		r.wrong(n.Line, "config.quota", key, n.Value)
	}
	return n.Value
}

// bucket is the address of a bucket. Who opens it says what else may be wrong with it.
func (r *reader) bucket(n *yaml.Node) string {
	address := r.word(n, "s3")
	u, err := url.Parse(address)
	switch {
	case address == "":
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") == "":
		r.wrong(n.Line, "config.s3")
	case u.User != nil:
		r.wrong(n.Line, "config.s3login")
	}
	return address
}

func (r *reader) hosts(n *yaml.Node, key string) []string {
	var all []string
	for _, w := range r.words(n, key) {
		if !hostName().MatchString(w.Value) {
			r.wrong(w.Line, "config.host", w.Value)
			continue
		}
		all = append(all, w.Value)
	}
	return all
}

// patterns joins patterns of modules.
func (r *reader) patterns(n *yaml.Node, key string) string {
	var all []string
	for _, w := range r.words(n, key) {
		if _, err := modpolicy.ParsePatterns([]string{w.Value}); err != nil {
			r.wrong(w.Line, "config.pattern", err)
			continue
		}
		all = append(all, w.Value)
	}
	return strings.Join(all, ",")
}

func (r *reader) each(n *yaml.Node, key string, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n.Line, "config.sequence", key)
		return
	}
	for _, c := range n.Content {
		read(c)
	}
}

func (r *reader) rules(n *yaml.Node) {
	names := map[string]int{}
	r.each(n, "rules", func(n *yaml.Node) {
		before := len(r.problems)
		rule := r.rule(n)
		if at := names[rule.Name]; at > 0 && rule.Name != "" {
			r.wrong(n.Line, "config.rule.twice", rule.Name, at)
		}
		names[rule.Name], r.c.lines["rule "+rule.Name] = n.Line, n.Line
		if len(r.problems) > before {
			return
		}
		if err := rule.Validate(); err != nil {
			r.wrong(n.Line, "config.rule", err)
			return
		}
		r.c.Policy.Rules = append(r.c.Policy.Rules, rule)
	})
}

func (r *reader) rule(n *yaml.Node) modpolicy.Rule {
	var rule modpolicy.Rule
	has := map[string]bool{}
	r.fields(n, map[string]func(*yaml.Node){
		"name": func(v *yaml.Node) {
			has["name"] = true
			if rule.Name = v.Value; v.Kind != yaml.ScalarNode || !ruleName().MatchString(v.Value) || v.Value == modpolicy.AgeRule {
				r.wrong(v.Line, "config.rule.name", modpolicy.AgeRule)
			}
		},
		"action": func(v *yaml.Node) {
			has["action"] = true
			if rule.Action = modpolicy.Action(v.Value); rule.Action != modpolicy.Allow && rule.Action != modpolicy.Deny {
				r.wrong(v.Line, "config.enum", "action", "allow, deny")
			}
		},
		"modules": func(v *yaml.Node) { has["modules"] = true; rule.Modules = r.patterns(v, "modules") },
		"versions": func(v *yaml.Node) {
			for _, w := range r.words(v, "versions") {
				set, err := modpolicy.ParseVersions([]string{w.Value})
				if err != nil {
					r.wrong(w.Line, "config.versions", err)
				}
				rule.Versions = append(rule.Versions, set...)
			}
		},
		"reason": func(v *yaml.Node) {
			if v.Kind == yaml.ScalarNode {
				rule.Reason = v.Value
				return
			}
			r.fields(v, map[string]func(*yaml.Node){
				"en": func(v *yaml.Node) { rule.Reason = v.Value }, "zh": func(v *yaml.Node) { rule.ReasonZH = v.Value },
			})
		},
		"until": func(v *yaml.Node) {
			var err error
			if rule.Until, err = modpolicy.ParseUntil(v.Value); err != nil {
				r.wrong(v.Line, "config.until", v.Value)
			}
		},
		"minimum_age": func(v *yaml.Node) {
			age, err := modpolicy.ParseAge(v.Value)
			if err != nil {
				r.wrong(v.Line, "config.age", err)
			}
			rule.MinimumAge = &age
		},
	})
	for _, key := range []string{"name", "action", "modules"} {
		if n.Kind == yaml.MappingNode && !has[key] {
			r.wrong(n.Line, "config.lacks", key)
		}
	}
	return rule
}

func (r *reader) upstreams(n *yaml.Node) {
	rest := 0
	r.each(n, "upstreams", func(n *yaml.Node) {
		l := r.upstream(n)
		if rest > 0 {
			r.wrong(n.Line, "config.behind", rest)
		}
		if l.Patterns == "" {
			rest = n.Line
		}
		r.c.Lists = append(r.c.Lists, l)
	})
	if len(r.c.Lists) == 0 && n.Kind == yaml.SequenceNode {
		r.wrong(n.Line, "config.words", "upstreams")
	}
}

func (r *reader) upstream(n *yaml.Node) modproxy.List {
	var l modproxy.List
	logins, own, hasServers := &modproxy.Logins{}, false, false
	var named []*yaml.Node
	r.fields(n, map[string]func(*yaml.Node){
		"modules":     func(v *yaml.Node) { l.Patterns = r.patterns(v, "modules") },
		"servers":     func(v *yaml.Node) { hasServers = true; l.Upstreams = r.servers(v) },
		"credentials": func(v *yaml.Node) { named = r.words(v, "credentials") },
		"own_logins":  func(v *yaml.Node) { own = r.truth(v, "own_logins") },
	})
	if n.Kind == yaml.MappingNode && !hasServers {
		r.wrong(n.Line, "config.lacks", "servers")
	}
	if own && len(named) > 0 {
		r.wrong(n.Line, "config.own")
	}
	for _, w := range named {
		c := r.credentials[w.Value]
		if c == nil {
			r.wrong(w.Line, "config.credential.none", w.Value, strings.Join(slices.Sorted(maps.Keys(r.credentials)), ", "))
			continue
		}
		c.used = true
		if hasServers && !fits(c, l.Upstreams) {
			r.wrong(w.Line, "config.credential.fits", w.Value, strings.Join(c.Hosts, ", "))
		}
		logins.Credentials = append(logins.Credentials, c.Credential)
	}
	if !own {
		for i := range l.Upstreams {
			l.Upstreams[i].Logins = logins
		}
	}
	return l
}

// fits says that a server of the list may be sent the credential.
func fits(c *credential, list []modproxy.Upstream) bool {
	for _, u := range list {
		switch {
		case u.Base == nil:
			return true
		case u.Base.Scheme == "https" && c.Helper == "" && c.SSHKey == "" && slices.ContainsFunc(c.Hosts, func(h string) bool {
			return strings.EqualFold(strings.TrimSuffix(h, ":443"), strings.TrimSuffix(u.Base.Host, ":443"))
		}):
			return true
		}
	}
	return false
}

func (r *reader) servers(n *yaml.Node) []modproxy.Upstream {
	var all []modproxy.Upstream
	for _, w := range r.words(n, "servers") {
		if strings.Contains(w.Value, "@") {
			r.wrong(w.Line, "config.login")
			continue
		}
		l, err := modproxy.ParseUpstreams(w.Value)
		if err == nil && l.Patterns != "" {
			err = errors.New("patterns belong into modules")
		}
		if err != nil {
			r.wrong(w.Line, "config.server", err)
			continue
		}
		all = append(all, l.Upstreams...)
	}
	return all
}
